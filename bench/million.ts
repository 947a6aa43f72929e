import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Pool } from 'undici';
import { createBigLedger } from './big-ledger.ts';
import { ledgerFileIn, startContender, type Contender } from './contenders.ts';
import { nextOrderId, post, storeThenAnswer, wholeIntake } from './load.ts';
import { orderNumber, webhookBody, webhookHeaders } from './orders.ts';
import { startPartners, type Partners } from './partner-process.ts';
import { go, halt, residentMemory, temporaryFolder } from './processes.ts';
import { median } from './speed.ts';

/**
 * Whether Dropline stays fast as its ledger grows: an empty ledger and one with a million finished orders, side by side.
 *
 *   --orders=N   finished orders in the large ledger; 1000000
 *   --seconds=N  length of each measured slice; 6
 *   --json       the figures as JSON on standard output, the table on standard error
 *
 * Exits with 1 when a target is missed. It needs some ten GB in the folder for temporary files (TMPDIR), and frees them again.
 */
const { values: flags } = parseArgs({
  options: {
    orders: { type: 'string', default: '1000000' },
    seconds: { type: 'string', default: '6' },
    json: { type: 'boolean', default: false },
  },
});

const ORDERS = Number(flags.orders);
const SECONDS = Number(flags.seconds);
const ROUNDS = 3;

/** How much worse the large ledger may be. */
const WORST_RATIO = 1.2;
/** Milliseconds from the start of Node-RED to its first call to a partner. */
const START = 5000;
/** Orders that are open when Dropline is killed. */
const OPEN = 100;
/** Pieces on each shelf: enough for all, and counted against all that was ever allocated. */
const STOCK = 999_999_999;

const LEDGERS = ['empty', 'large'] as const;
type LedgerName = (typeof LEDGERS)[number];

/** Medians of the rounds. */
interface Figures {
  /** Orders a second that are stored and answered. */
  intakeRate: number;
  intakeP99: number;
  /** Orders a second that reach their suppliers. */
  wholeRate: number;
  wholeCpu: number;
  /** Milliseconds from the start of Node-RED after a SIGKILL to its first call for an open order, and to the last order's placement. */
  firstCall: number;
  recovered: number;
  /** MB after the whole intake. */
  memory: number;
}

const say = (text: string) => console.error(text);

async function main(): Promise<Record<LedgerName, Figures>> {
  const folder = temporaryFolder('dropline-million');
  const partners = await startPartners();
  try {
    const folders = { empty: join(folder, 'empty'), large: join(folder, 'large') };
    for (const each of Object.values(folders)) mkdirSync(each);
    const begin = Date.now();
    await createBigLedger(folders.large, partners, ORDERS);
    const size = statSync(ledgerFileIn(folders.large)).size / 1e9;
    say(`${ORDERS} finished orders: ${size.toFixed(2)} GB, made in ${((Date.now() - begin) / 1000).toFixed(0)} s`);
    return await measure(folders, partners);
  } finally {
    await partners.close();
  }
}

async function measure(folders: Record<LedgerName, string>, partners: Partners): Promise<Record<LedgerName, Figures>> {
  const options = { partners: partners.url, quietTime: 1, settleTime: 1, timeout: 60, stock: STOCK };
  await partners.delay(0);

  const intake = await inTurn(
    (name) => startContender('dropline', { ...options, folder: folders[name], reach: 'intake' }),
    (dropline) => storeThenAnswer(dropline, { seconds: SECONDS }),
  );
  const whole = await inTurn(
    (name) => startContender('dropline', { ...options, folder: folders[name] }),
    async (dropline) => {
      const figures = await wholeIntake(dropline, partners, { seconds: SECONDS });
      return { ...figures, memory: residentMemory(dropline.pid) };
    },
  );
  const recovery: Record<LedgerName, { firstCall: number; recovered: number }[]> = { empty: [], large: [] };
  for (let round = 1; round <= ROUNDS; round += 1) {
    for (const name of LEDGERS) recovery[name].push(await recover(folders[name], options, partners));
  }

  const figures = (name: LedgerName): Figures => ({
    intakeRate: median(intake[name].map(({ rate }) => rate)),
    intakeP99: median(intake[name].map(({ p99 }) => p99)),
    wholeRate: median(whole[name].map(({ rate }) => rate)),
    wholeCpu: median(whole[name].map(({ cpuPerOrder }) => cpuPerOrder)),
    firstCall: median(recovery[name].map(({ firstCall }) => firstCall)),
    recovered: median(recovery[name].map(({ recovered }) => recovered)),
    memory: median(whole[name].map(({ memory }) => memory)),
  });
  return { empty: figures('empty'), large: figures('large') };
}

/** Measures both ledgers in turn; the one that is not measured is stopped. */
async function inTurn<Slice>(
  start: (name: LedgerName) => Promise<Contender>,
  slice: (dropline: Contender) => Promise<Slice>,
): Promise<Record<LedgerName, Slice[]>> {
  const slices: Record<LedgerName, Slice[]> = { empty: [], large: [] };
  const running = new Map<LedgerName, Contender>();
  try {
    for (const name of LEDGERS) {
      const dropline = await start(name);
      running.set(name, dropline);
      await slice(dropline);
      halt(dropline.pid);
    }
    for (let round = 1; round <= ROUNDS; round += 1) {
      for (const [name, dropline] of running) {
        go(dropline.pid);
        slices[name].push(await slice(dropline));
        halt(dropline.pid);
      }
    }
    for (const dropline of running.values()) {
      go(dropline.pid);
      await allClosed(dropline);
      await dropline.stop();
    }
  } finally {
    for (const dropline of running.values()) await dropline.kill();
  }
  return slices;
}

async function allClosed(dropline: Contender): Promise<void> {
  for (let tries = 0; tries < 240; tries += 1) {
    if ((await dropline.open()) === 0) return;
    await delay(500);
  }
  throw new Error(`Dropline still has open events after two minutes.\n${dropline.log()}`);
}

/** Orders that wait for the ERP's answer when Dropline is killed, and how long the next process takes to bring them to their suppliers. */
async function recover(
  folder: string,
  options: Omit<Parameters<typeof startContender>[1], 'folder'>,
  partners: Partners,
): Promise<{ firstCall: number; recovered: number }> {
  const dropline = await startContender('dropline', { ...options, folder });
  try {
    await allClosed(dropline);
    await partners.delay(60_000);
    const { origin, pathname } = new URL(dropline.url);
    const pool = new Pool(origin, { connections: 50 });
    const ids = Array.from({ length: OPEN }, nextOrderId);
    await Promise.all(
      ids.map(async (id) => {
        const body = webhookBody(id);
        const outcome = await post(pool, pathname, webhookHeaders(body), body);
        if (outcome !== 'accepted') throw new Error(`An order was answered with ${outcome}.`);
      }),
    );
    await pool.destroy();
    await delay(1500);
    await dropline.kill();
    await partners.delay(0);
    await partners.forget();
    const waiting = new Set(ids.map(orderNumber));
    const done = new Promise<void>((resolve) => {
      partners.onPlaced = (number) => {
        waiting.delete(number);
        if (waiting.size === 0) resolve();
      };
    });
    const begin = Date.now();
    await dropline.start();
    await Promise.race([
      done,
      delay(60_000, undefined, { ref: false }).then(() => {
        throw new Error(`${waiting.size} of ${OPEN} orders were not recovered within a minute.\n${dropline.log()}`);
      }),
    ]);
    return { firstCall: partners.firstCall()! - begin, recovered: Date.now() - begin };
  } finally {
    await dropline.kill();
  }
}

/** Each measure: how it is printed, and how much worse the large ledger is. */
const MEASURES: { name: string; print(figures: Figures): string; worse(large: Figures, empty: Figures): number }[] = [
  {
    name: 'stored and answered',
    print: ({ intakeRate }) => `${intakeRate.toFixed(0)} /s`,
    worse: (large, empty) => empty.intakeRate / large.intakeRate,
  },
  {
    name: 'whole intake',
    print: ({ wholeRate }) => `${wholeRate.toFixed(0)} /s`,
    worse: (large, empty) => empty.wholeRate / large.wholeRate,
  },
  {
    name: 'CPU an order',
    print: ({ wholeCpu }) => `${wholeCpu.toFixed(2)} ms`,
    worse: (large, empty) => large.wholeCpu / empty.wholeCpu,
  },
  {
    name: 'start to first call',
    print: ({ firstCall }) => `${firstCall.toFixed(0)} ms`,
    worse: (large, empty) => large.firstCall / empty.firstCall,
  },
  {
    name: `${OPEN} orders recovered`,
    print: ({ recovered }) => `${recovered.toFixed(0)} ms`,
    worse: (large, empty) => large.recovered / empty.recovered,
  },
  {
    name: 'resident memory',
    print: ({ memory }) => `${memory.toFixed(0)} MB`,
    worse: (large, empty) => large.memory / empty.memory,
  },
];

const { empty, large } = await main();
const missed: string[] = [];
const row = (...cells: string[]) => cells.map((cell, index) => (index ? cell.padStart(12) : cell.padEnd(24))).join('');
const table = [row('', 'empty', `${ORDERS}`, 'worse by')];
for (const { name, print, worse } of MEASURES) {
  const ratio = worse(large, empty);
  table.push(row(name, print(empty), print(large), ratio.toFixed(2)));
  if (!(ratio <= WORST_RATIO)) missed.push(`${name}: worse by ${ratio.toFixed(2)}, at most ${WORST_RATIO} is allowed`);
}
if (large.firstCall >= START)
  missed.push(`start to first call: ${large.firstCall.toFixed(0)} ms, less than ${START} is wanted`);
table.push('', missed.length === 0 ? 'Every target is met.' : 'Missed:', ...missed.map((each) => `  ${each}`));
(flags.json ? console.error : console.log)(table.join('\n'));
if (flags.json) console.log(JSON.stringify({ orders: ORDERS, empty, large, missed }, undefined, 2));
process.exit(missed.length === 0 ? 0 : 1);
