import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { CrashPlan } from '../../ledger/crash.ts';
import type { NodeRed } from '../../scripts/node-red.ts';
import type { House } from '../support/house.ts';

/** What happens at a crash point. */
export type Mishap = NonNullable<CrashPlan['what']>;

/**
 * Points that looking at orders passes, and looks for due events and missed deadlines: most of them find nothing, and how many there are depends on
 * the clock. What a claim finds has its own point, `before emit`.
 */
const NOT_OF_THE_ORDER = /^(before|after) (view|deadlines|claim|adopt) /;

let runs = 0;

/** The environment of a Node-RED whose crash points can be armed while it runs. */
export function withCrashPoints(userDir: string): Record<string, string> {
  const plan = join(userDir, 'crash-plan.json');
  return { NODE_ENV: 'test', DROPLINE_CRASH_PLAN: plan, DROPLINE_CRASH_LOG: join(userDir, 'crash-points') };
}

/**
 * From now on this happens at this point, once, and points are counted from one. Without a point nothing happens, but points are written down.
 * @param point or several with ` & ` between them: at each of them
 */
export function arm({ userDir }: House, point?: string, what: Mishap = 'kill'): void {
  const plan: CrashPlan = { run: ++runs, at: point?.split(' & ') ?? [], what };
  const file = withCrashPoints(userDir)['DROPLINE_CRASH_PLAN']!;
  writeFileSync(`${file}.new`, JSON.stringify(plan));
  renameSync(`${file}.new`, file);
}

/** The points that were passed since `arm`, in their order. */
export function passed({ userDir }: House): string[] {
  return readFileSync(withCrashPoints(userDir)['DROPLINE_CRASH_LOG']!, 'utf8').trim().split('\n');
}

/** The name of a point without its number. */
export function nameOf(point: string): string {
  return point.replace(/ \d+$/, '');
}

/**
 * The crash points that an order passes when all goes well, in their order.
 * @param place has a customer order; answers Dropline's order id
 */
export async function recordPoints(house: House, place: () => Promise<string>): Promise<string[]> {
  await startDoomed(house);
  const points = await pointsOf(house, place);
  return points.filter((point) => !NOT_OF_THE_ORDER.test(point));
}

/** The same in a Node-RED that runs with crash points, with a few of those that depend on the clock. */
export async function pointsOf(house: House, place: () => Promise<string>): Promise<string[]> {
  arm(house);
  const problems = await house.check(await house.settled([await place()]));
  if (problems.length > 0) throw new Error(`Without any crash: ${problems.join(' ')}`);
  return passed(house).filter(isWorthATrial);
}

/** Of the points that depend on the clock the first two, and none of looking. */
export function isWorthATrial(point: string): boolean {
  return !NOT_OF_THE_ORDER.test(point) || /^\w+ (?!view).* [12]$/.test(point);
}

/**
 * Groups of points that one order can meet one after the other, far apart, so that not each costs an order of its own.
 * @param points all of the order, in their order
 * @param size at most so many in a group
 * @param mayFollow which points may stand behind the first one of a group
 */
export function grouped(
  points: readonly string[],
  chosen: readonly string[],
  size: number,
  mayFollow: (point: string) => boolean = () => true,
): string[][] {
  const positions = new Map(points.map((point, index) => [point, index]));
  const apart = points.length / (size + 1);
  const left = new Set(chosen);
  const groups: string[][] = [];
  for (const first of chosen) {
    if (!left.delete(first)) continue;
    const group = [first];
    let from = positions.get(first)! + apart;
    for (const point of left) {
      if (group.length === size) break;
      if (positions.get(point)! < from || !mayFollow(point)) continue;
      left.delete(point);
      group.push(point);
      from = positions.get(point)! + apart;
    }
    groups.push(group);
  }
  return groups;
}

/** So many of them, spread over the whole way. */
export function spread<Item>(items: readonly Item[], size: number): Item[] {
  const wanted = Math.min(size, items.length);
  return Array.from({ length: wanted }, (_, index) => items[Math.floor(((index + 0.5) * items.length) / wanted)]!);
}

/** Starts a Node-RED that kills itself at this point. @returns undefined when it did so before it answered */
export function startDoomed(house: House, point?: string, what?: Mishap): Promise<NodeRed | undefined> {
  arm(house, point, what);
  return house.start(withCrashPoints(house.userDir)).catch((error: Error) => {
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
