import { createHash, randomBytes } from 'node:crypto';
import { join, relative, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { NodeAPI, NodeDef } from 'node-red';
import { asError, TemporaryFault } from '../orders/errors.ts';
import type { Tools } from '../ledger/tools.ts';
import { steadyClock } from '../ledger/clock.ts';
import { crashPointsFrom } from '../ledger/crash.ts';
import { DEADLINES, type Deadlines, type LedgerSettings } from '../ledger/settings.ts';
import { isDatabaseUrl, openLedger, type Ledger } from '../ledger/ledger.ts';
import { openPostgres } from '../ledger/postgres.ts';
import { createMetrics, type Metrics } from '../ledger/metrics.ts';
import { createLog } from './log.ts';

/**
 * The open ledgers of this process, by file. They outlive deploys: what was in work when a node was replaced is still known,
 * and effects in flight go on.
 */
const open = new Map<string, Promise<Ledger>>();

/** Those of them that are open by now. */
const opened = new WeakSet<Ledger>();

/** Of ledgers in databases, with their passwords: the newest of each, so that a changed password takes effect with a deploy. */
const urls = new Map<string, string>();

/** Milliseconds after which a database that could not be had is asked again, at first and in the end. */
const ASK_AGAIN = 1000;
const ASK_AGAIN_AT_MOST = 15_000;

const clock = steadyClock(
  () => Date.now(),
  () => performance.now(),
);

const metrics = new Map<string, Metrics>();

/** The runtimes whose deploys are followed: one, but for tests that start several. */
const followed = new WeakSet<object>();

let flowsRun = false;

export const DEFAULT_LEDGER_FILE = join('dropship', 'ledger.sqlite');

/** Path of the ledger that is used where none is chosen. */
export function ledgerFile(RED: NodeAPI, file: string | undefined): string {
  const userDir = String(RED.settings['userDir'] ?? '.');
  return resolve(userDir, file?.trim() || DEFAULT_LEDGER_FILE);
}

/**
 * Opens the ledger, or returns the open one with the newest settings. A database that cannot be had is asked again after a while, and
 * whoever asks meanwhile hears at once that it is not there: a sender must not be kept waiting.
 * @param file path of the ledger or, of one in a database, its address without the password
 * @param url the address with the password
 * @throws ConfigurationMistake that says why it cannot be opened; the next call tries again
 * @throws TemporaryFault `LEDGER_UNAVAILABLE`
 */
export function useLedger(
  RED: NodeAPI,
  file: string,
  settings: Partial<LedgerSettings>,
  url?: string,
): Promise<Ledger> {
  followDeploys(RED);
  if (url !== undefined) urls.set(file, url);
  const present = open.get(file);
  if (present) {
    void present.then((ledger) => Object.assign(ledger.core.settings, settings)).catch(() => undefined);
    return present;
  }
  const opening = openIt(RED, file, settings);
  open.set(file, opening);
  opening.then(
    (ledger) => open.get(file) === opening && opened.add(ledger),
    () => undefined,
  );
  opening.catch((error: unknown) => {
    if (!(error instanceof TemporaryFault)) return void open.delete(file);
    setTimeout(() => {
      if (open.get(file) === opening) open.delete(file);
    }, ASK_AGAIN).unref();
  });
  return opening;
}

async function openIt(RED: NodeAPI, file: string, settings: Partial<LedgerSettings>): Promise<Ledger> {
  const running = flowsRun;
  const where = urls.has(file) ? await openPostgres(() => urls.get(file) ?? file) : file;
  const ledger = await openLedger(where, processTools(RED, file), {
    deadlines: deadlinesOf(RED),
    ...leaseOf(RED),
    ...settings,
  });
  // A ledger that is first needed after the flows have started (by a deploy) has nobody else to start it.
  if (running) {
    ledger.core.instance.flows = flowsRevision(RED);
    begin(ledger);
  }
  return ledger;
}

/** Has the ledger emit from now on; while its database cannot be had, again and again. */
function begin(ledger: Ledger, wait = ASK_AGAIN): void {
  ledger.start().catch((error: unknown) => {
    ledger.core.log('error', asError(error).message);
    if (!(error instanceof TemporaryFault) || error.code === 'LEDGER_CLOSED') return;
    setTimeout(() => begin(ledger, Math.min(wait * 2, ASK_AGAIN_AT_MOST)), wait).unref();
  });
}

/**
 * The ledger as soon as it can be had.
 * @param missing hears each time that it is not there yet
 * @returns undefined when nobody waits for it any more
 * @throws ConfigurationMistake
 */
export async function whenOpen(
  use: () => Promise<Ledger>,
  missing: (error: TemporaryFault) => void,
  stop: AbortSignal,
): Promise<Ledger | undefined> {
  for (let wait = ASK_AGAIN; !stop.aborted; wait = Math.min(wait * 2, ASK_AGAIN_AT_MOST)) {
    try {
      return await use();
    } catch (error) {
      if (!(error instanceof TemporaryFault) || error.code === 'LEDGER_CLOSED') throw error;
      if (stop.aborted) break;
      missing(error);
      // An abort ends the wait.
      await delay(wait, undefined, { signal: stop, ref: false }).catch(() => undefined);
    }
  }
  return undefined;
}

/** `dropship: { deadlines: { acknowledge: 1440 } }` in the settings file, in minutes by name; what is not named keeps its default. */
function deadlinesOf(RED: NodeAPI): Deadlines {
  const set = (RED.settings as unknown as { dropship?: { deadlines?: Partial<Deadlines> } }).dropship?.deadlines ?? {};
  const deadlines = { ...DEADLINES };
  for (const name of Object.keys(deadlines) as (keyof Deadlines)[]) {
    const minutes = Number(set[name]);
    if (minutes > 0) deadlines[name] = minutes * 60_000;
  }
  return deadlines;
}

/** `dropship: { lease: 10 }` in the settings file, in seconds: how long an instance that gives no sign of life is held to be alive. */
function leaseOf(RED: NodeAPI): Pick<LedgerSettings, 'lease'> | undefined {
  const seconds = Number((RED.settings as unknown as { dropship?: { lease?: number } }).dropship?.lease);
  return seconds > 0 ? { lease: seconds * 1000 } : undefined;
}

/** Whether flows have started: until then a sender is asked to come back. */
export function flowsAreRunning(): boolean {
  return flowsRun;
}

/** Closes every ledger: for tests, and when the process ends in order. */
export async function closeLedgers(): Promise<void> {
  const ledgers = [...open.values()];
  open.clear();
  flowsRun = false;
  for (const opening of ledgers) {
    await opening
      .then((ledger) => {
        opened.delete(ledger);
        return ledger.close();
      })
      .catch(() => undefined);
  }
}

/**
 * Asks for the ledger until it has it, and from then on answers with it at once, for as long as it is open: every message of every node asks.
 * @param ask what may take its time, and what may fail
 */
export function keepLedger(ask: () => Promise<Ledger>): () => Promise<Ledger> {
  let kept: Promise<Ledger> | undefined;
  let known: Ledger | undefined;
  return () => {
    if (kept && known && opened.has(known)) return kept;
    const asked = ask();
    asked.then(
      (ledger) => {
        known = ledger;
        kept = asked;
      },
      () => undefined,
    );
    return asked;
  };
}

/** While flows are replaced nothing is emitted; afterwards whatever was in work is emitted again. */
export function followDeploys(RED: NodeAPI): void {
  if (followed.has(RED.events)) return;
  followed.add(RED.events);
  const { log } = createLog(RED);
  const each = (action: (ledger: Ledger) => Promise<void> | void) => {
    for (const ledger of open.values()) {
      ledger.then(action).catch((error: unknown) => log('error', asError(error).message));
    }
  };
  RED.events.on('flows:stopping', () => each((ledger) => ledger.dispatcher.pause()));
  RED.events.on('flows:started', () => {
    flowsRun = true;
    each((ledger) => {
      ledger.core.instance.flows = flowsRevision(RED);
      begin(ledger);
    });
  });
}

/** The same for the same flows, wherever their nodes stand on the canvas: instances on one ledger compare it. */
function flowsRevision(RED: NodeAPI): string {
  const nodes: string[] = [];
  RED.nodes.eachNode((node) => {
    const { x: _x, y: _y, w: _w, h: _h, ...rest } = node as NodeDef & Record<string, unknown>;
    nodes.push(JSON.stringify(rest));
  });
  return createHash('sha256').update(nodes.toSorted().join('\n')).digest('hex').slice(0, 16);
}

function processTools(RED: NodeAPI, file: string): Tools {
  const counted = metricsOf(file);
  const { log, observe } = createLog(RED, nameOf(RED, file));
  return {
    ...clock,
    random: () => randomBytes(4).readUInt32LE() / 2 ** 32,
    after(milliseconds, action) {
      const timer = setTimeout(action, milliseconds);
      return () => clearTimeout(timer);
    },
    log,
    observe(happening) {
      counted.observe(happening);
      observe(happening);
    },
    crashPoint: crashPointsFrom(process.env),
  };
}

/** What has happened in a ledger since the process started, also while it was closed in between. */
function metricsOf(file: string): Metrics {
  const known = metrics.get(file) ?? createMetrics();
  metrics.set(file, known);
  return known;
}

/** The ledgers that are in use, with their names: the file seen from the user directory, or the database without its password. */
export function openLedgers(RED: NodeAPI): { file: string; name: string; ledger: Promise<Ledger>; metrics: Metrics }[] {
  return [...open].map(([file, ledger]) => ({ file, name: nameOf(RED, file), ledger, metrics: metricsOf(file) }));
}

function nameOf(RED: NodeAPI, file: string): string {
  if (!isDatabaseUrl(file)) return relative(String(RED.settings['userDir'] ?? '.'), file);
  return URL.canParse(file) ? `${new URL(file).host}${new URL(file).pathname}` : 'database';
}
