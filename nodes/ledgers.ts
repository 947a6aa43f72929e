import { randomBytes } from 'node:crypto';
import { join, resolve } from 'node:path';
import type { NodeAPI } from 'node-red';
import { asError } from '../orders/errors.ts';
import type { LedgerSettings, Tools } from '../ledger/core.ts';
import { crashPointsFrom } from '../ledger/crash.ts';
import { openLedger, type Ledger } from '../ledger/ledger.ts';

/**
 * The open ledgers of this process, by file. They outlive deploys: what was in work when a node was replaced is still known,
 * and effects in flight go on.
 */
const open = new Map<string, Promise<Ledger>>();

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
 * Opens the ledger, or returns the open one with the newest settings.
 * @throws ConfigurationMistake that says why it cannot be opened; the next call tries again
 */
export function useLedger(RED: NodeAPI, file: string, settings: Partial<LedgerSettings>): Promise<Ledger> {
  followDeploys(RED);
  let ledger = open.get(file);
  if (!ledger) {
    const running = flowsRun;
    ledger = openLedger(file, processTools(RED), settings).then(async (opened) => {
      // A ledger that is first needed after the flows have started (by a deploy) has nobody else to start it.
      if (running) await opened.start();
      return opened;
    });
    open.set(file, ledger);
    ledger.catch(() => open.delete(file));
  } else {
    void ledger.then((present) => Object.assign(present.core.settings, settings)).catch(() => undefined);
  }
  return ledger;
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
  for (const ledger of ledgers) await ledger.then((opened) => opened.close()).catch(() => undefined);
}

/** While flows are replaced nothing is emitted; afterwards whatever was in work is emitted again. */
export function followDeploys(RED: NodeAPI): void {
  if (followed.has(RED.events)) return;
  followed.add(RED.events);
  const each = (action: (ledger: Ledger) => Promise<void> | void) => {
    for (const ledger of open.values()) {
      ledger.then(action).catch((error: unknown) => RED.log.error(`[dropship] ${asError(error).message}`));
    }
  };
  RED.events.on('flows:stopping', () => each((ledger) => ledger.dispatcher.pause()));
  RED.events.on('flows:started', () => {
    flowsRun = true;
    each((ledger) => ledger.start());
  });
}

function processTools(RED: NodeAPI): Tools {
  return {
    now: () => Date.now(),
    random: () => randomBytes(4).readUInt32LE() / 2 ** 32,
    after(milliseconds, action) {
      const timer = setTimeout(action, milliseconds);
      return () => clearTimeout(timer);
    },
    log: (level, message) => RED.log[level](`[dropship] ${message}`),
    crashPoint: crashPointsFrom(process.env),
  };
}
