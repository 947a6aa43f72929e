import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { NodeRed } from '../../scripts/node-red.ts';
import type { House } from '../support/house.ts';

/**
 * Points that looking at orders passes, and looks for due events and missed deadlines: most of them find nothing, and how many there are depends on
 * the clock. What a claim finds has its own point, `before emit`.
 */
const NOT_OF_THE_ORDER = /^(before|after) (view|deadlines|claim) /;

/**
 * The crash points that an order passes when all goes well, in their order.
 * @param place has a customer order; answers Dropline's order id
 */
export async function recordPoints(house: House, place: () => Promise<string>): Promise<string[]> {
  return withLog(async (log, points) => {
    await house.start({ NODE_ENV: 'test', DROPLINE_CRASH_LOG: log });
    const views = await house.settled([await place()]);
    const problems = await house.check(views);
    if (problems.length > 0) throw new Error(`Without any crash: ${problems.join(' ')}`);
    return points().filter((point) => !NOT_OF_THE_ORDER.test(point));
  });
}

/** So many of them, spread over the whole way. */
export function spread(points: readonly string[], size: number): string[] {
  const wanted = Math.min(size, points.length);
  return Array.from(
    { length: wanted },
    (_, index) => points[Math.floor(((index + 0.5) * points.length) / wanted)] ?? '',
  );
}

/** Starts a Node-RED that kills itself at this point. @returns undefined when it did so before it answered */
export function startDoomed(house: House, point: string): Promise<NodeRed | undefined> {
  return house.start({ NODE_ENV: 'test', DROPLINE_CRASH_AT: point }).catch((error: Error) => {
    if (!/SIGKILL/.test(error.message)) throw error;
    return undefined;
  });
}

/**
 * Brings the order to its end, or Node-RED to its: then looking at the order fails first.
 * @returns `settled`, or the exit code or signal of Node-RED
 */
export async function endOf(house: House, id: string): Promise<string | number> {
  const { exited } = house.red;
  try {
    await house.settled([id]);
    return 'settled';
  } catch (error) {
    const end = await Promise.race([exited, delay(1000)]);
    if (end === undefined) throw error;
    return end;
  }
}

async function withLog<Result>(work: (file: string, points: () => string[]) => Promise<Result>): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'dropline-points-'));
  const file = join(folder, 'points');
  try {
    return await work(file, () => readFileSync(file, 'utf8').trim().split('\n'));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
