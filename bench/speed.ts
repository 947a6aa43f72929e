import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startContender, type Contender, type ContenderName } from './contenders.ts';
import { storeThenAnswer, wholeIntake, type IntakeFigures, type WholeFigures } from './load.ts';
import type { Partners } from './partner-process.ts';
import { cpuTime, go, halt } from './processes.ts';
import { summariseProfile } from './profile.ts';

/** The two measures of speed: the whole intake of all contenders, and storing and answering alone. */

export interface SpeedOptions {
  folder: string;
  partners: Partners;
  database?: string | undefined;
  /** Length of one slice. */
  seconds: number;
  rounds: number;
  /** Folder for CPU profiles. */
  profile?: string | undefined;
  say(text: string): void;
}

/** One contender at one speed of the partners. */
export interface WholeResult extends WholeFigures {
  contender: ContenderName;
  /** Milliseconds until a partner answers. */
  partnerDelay: number;
  /** Orders a second in each round. */
  rounds: number[];
}

/** Milliseconds that partners take to answer. */
export const PARTNER_DELAYS = [0, 20] as const;

/** Milliseconds after which Dropline must have closed the events of a run; its quiet time is half a minute. */
const CLOSING = 90_000;

/**
 * The whole intake, slice by slice in turn, so that whatever else this machine does hits all alike. A contender that is not
 * measured is stopped (SIGSTOP). CPU counts from a contender's first order to the end of all its work, also what it does for
 * an order long after that has left.
 */
export async function measureWhole(names: ContenderName[], options: SpeedOptions): Promise<WholeResult[]> {
  const { partners, seconds, rounds, say } = options;
  const contenders: Contender[] = [];
  try {
    for (const name of names) {
      const contender = await startContender(name, { ...options, partners: partners.url, ...profileOf(name, options) });
      contenders.push(contender);
      await partners.delay(0);
      await wholeIntake(contender, partners, { seconds });
      await closed(contender);
      halt(contender.pid);
    }
    const results: WholeResult[] = [];
    for (const partnerDelay of PARTNER_DELAYS) {
      await partners.delay(partnerDelay);
      const slices = new Map(contenders.map((contender) => [contender, [] as WholeFigures[]]));
      const cpuBefore = new Map(contenders.map((contender) => [contender, cpuTime(contender.pid)]));
      for (let round = 1; round <= rounds; round += 1) {
        for (const contender of contenders) {
          await partners.forget();
          go(contender.pid);
          const profiled = options.profile !== undefined && partnerDelay === 0 && round === rounds;
          if (profiled) await toggleProfile(contender);
          const slice = await wholeIntake(contender, partners, { seconds });
          if (profiled) {
            await toggleProfile(contender);
            say(`\n${contender.name}\n${summariseProfile(join(options.profile!, contender.name), slice.orders)}\n`);
          }
          slices.get(contender)!.push(slice);
          say(
            `  partners ${partnerDelay} ms, round ${round}, ${contender.name}: ${slice.rate.toFixed(0)} orders/s, ${slice.cpuPerOrder.toFixed(2)} ms CPU`,
          );
          halt(contender.pid);
        }
      }
      for (const contender of contenders) {
        go(contender.pid);
        await closed(contender);
        halt(contender.pid);
        const own = slices.get(contender)!;
        const orders = own.reduce((sum, slice) => sum + slice.orders, 0);
        results.push({
          contender: contender.name,
          partnerDelay,
          orders,
          rate: median(own.map(({ rate }) => rate)),
          cpuPerOrder: (cpuTime(contender.pid) - cpuBefore.get(contender)!) / Math.max(1, orders),
          p50: median(own.map(({ p50 }) => p50)),
          p99: median(own.map(({ p99 }) => p99)),
          rounds: own.map(({ rate }) => rate),
        });
      }
    }
    return results;
  } finally {
    for (const contender of contenders) await contender.kill();
  }
}

function profileOf(name: ContenderName, { profile }: SpeedOptions): { profile?: string } {
  return profile === undefined ? {} : { profile: join(profile, name) };
}

async function toggleProfile(contender: Contender): Promise<void> {
  process.kill(contender.pid, 'SIGWINCH');
  await delay(1000);
}

/** Waits until a contender that keeps an account has nothing open any more. */
async function closed(contender: Contender): Promise<void> {
  const end = Date.now() + CLOSING;
  for (;;) {
    const open = await contender.open();
    if (open === undefined || open === 0) return;
    if (Date.now() > end) throw new Error(`${contender.name} still has ${open} events open.\n${contender.log()}`);
    await delay(500);
  }
}

export interface IntakeResult {
  contender: ContenderName;
  quiet: IntakeFigures;
  /** The same while all flows are deployed again and again. */
  deploying: IntakeFigures;
  deploys: number;
}

/** Storing and answering: 50 connections at the endpoint. Each event is judged and emitted as well, to a flow without further nodes. */
export async function measureIntake(name: ContenderName, options: SpeedOptions): Promise<IntakeResult> {
  const { partners, seconds } = options;
  const folder = join(options.folder, 'intake');
  const contender = await startContender(name, { ...options, folder, partners: partners.url, reach: 'intake' });
  try {
    await storeThenAnswer(contender, { seconds: 3 });
    const quiet = await storeThenAnswer(contender, { seconds });
    let deploys = 0;
    const load = storeThenAnswer(contender, { seconds });
    const end = Date.now() + (seconds - 2) * 1000;
    while (Date.now() < end) {
      await delay(1500);
      await contender.deploy!();
      deploys += 1;
    }
    return { contender: name, quiet, deploying: await load, deploys };
  } finally {
    await contender.kill();
  }
}

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}
