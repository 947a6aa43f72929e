import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { TemporaryFault, asError } from '../orders/errors.ts';
import type { Core } from './core.ts';
import type { BackupSettings } from './settings.ts';
import { raise, settle } from './exceptions.ts';

export interface Backup {
  /** Path of the copy. */
  file: string;
  bytes: number;
  /** ISO 8601 UTC; what was committed before is in it. */
  at: string;
  /** How long it took. */
  milliseconds: number;
}

/** What the exception of a failed copy is about. */
const SUBJECT = 'backup of the ledger';

/** How often it is looked whether a copy is due: a machine that sleeps at night makes its copy in the morning. */
const LOOK_EVERY = 600_000;

/** Until the first look after a start, which has enough to do. */
const FIRST_LOOK = 60_000;

/** Copies of one SQLite ledger, made while it is used: on demand, and by the clock. */
export class Backups {
  readonly #core: Core;
  readonly #ledger: string;
  readonly #settings: () => BackupSettings;
  #running: Promise<Backup> | undefined;
  #cancel: (() => void) | undefined;
  #closed = false;

  /** @param settings asked anew each time, because a deploy may change them */
  constructor(core: Core, ledger: string, settings: () => BackupSettings) {
    this.#core = core;
    this.#ledger = ledger;
    this.#settings = settings;
  }

  /** Begins to make copies by the clock. */
  start(): void {
    this.#lookAfter(FIRST_LOOK);
  }

  /**
   * A copy now; who asks while one is made gets that one.
   * @throws TemporaryFault `BACKUP_FAILED`; the copies of before are kept
   */
  make(): Promise<Backup> {
    this.#running ??= this.#make().finally(() => (this.#running = undefined));
    return this.#running;
  }

  /** Waits for the copy that is being made. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel?.();
    await this.#running?.catch(() => undefined);
  }

  #lookAfter(milliseconds: number): void {
    if (this.#closed) return;
    this.#cancel = this.#core.after(milliseconds, () => {
      void this.#look().finally(() => this.#lookAfter(LOOK_EVERY));
    });
  }

  async #look(): Promise<void> {
    const { everyHours, folder } = this.#settings();
    if (everyHours <= 0) return;
    try {
      const newest = backupsOf(this.#ledger, folder).at(-1);
      if (newest && this.#core.now() - newest.at < everyHours * 3_600_000) return;
      await this.make();
    } catch (thrown) {
      // It stands in the ledger as an exception; the next look tries again.
      this.#core.log('error', asError(thrown).message);
    }
  }

  async #make(): Promise<Backup> {
    const { folder, keep } = this.#settings();
    const begun = this.#core.now();
    try {
      const file = await backUp(this.#ledger, folder, begun);
      removeOldest(this.#ledger, folder, Math.max(1, keep));
      await this.#core.transact('backup made', () =>
        settle(this.#core.now(), { subject: SUBJECT }, 'dropline', 'A newer backup was made.'),
      );
      this.#core.log('info', `backup of the ledger made: ${file}`);
      return {
        file,
        bytes: statSync(file).size,
        at: new Date(begun).toISOString(),
        milliseconds: this.#core.now() - begun,
      };
    } catch (thrown) {
      const error = new TemporaryFault(
        'BACKUP_FAILED',
        `The ledger ${this.#ledger} could not be copied to ${folder || 'its folder'} (${asError(thrown).message}). See that the folder is there, may be written and has space for a copy of the ledger. The backups of before are kept; it is tried again.`,
        { status: 'backup failed', cause: thrown },
      );
      await this.#core
        .transact('backup failed', () =>
          raise(this.#core.now(), { subject: SUBJECT, code: error.code, message: error.message }),
        )
        .catch((unsaid: unknown) => this.#core.log('error', asError(unsaid).message));
      throw error;
    }
  }
}

/** One copy, complete or not there at all: written under another name, then renamed. Answers its path. */
async function backUp(ledger: string, folder: string, now: number): Promise<string> {
  const target = folder || dirname(ledger);
  mkdirSync(target, { recursive: true });
  const file = join(target, `${basename(ledger)}.backup-${stampOf(now)}`);
  const partial = `${file}.partial`;
  // Of a process that died in the middle.
  for (const name of readdirSync(target)) {
    if (name.startsWith(`${basename(ledger)}.backup-`) && name.includes('.partial')) rmSync(join(target, name));
  }
  try {
    await copy({ from: ledger, to: partial, at: now });
    renameSync(partial, file);
    syncFolder(target);
    return file;
  } catch (error) {
    rmSync(partial, { force: true });
    rmSync(`${partial}-journal`, { force: true });
    throw error;
  }
}

function copy(workerData: { from: string; to: string; at: number }): Promise<void> {
  // Beside this file, and compiled with it.
  const script = new URL(`./backup-worker${extname(import.meta.url)}`, import.meta.url);
  return new Promise((resolve, reject) => {
    const worker = new Worker(script, { workerData, execArgv: ['--disable-warning=ExperimentalWarning'] });
    worker.once('error', reject);
    worker.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`the copying ended with ${code}`))));
  });
}

/** So that a power cut does not take the new name away again. Windows has no way to, and needs none. */
function syncFolder(folder: string): void {
  if (process.platform === 'win32') return;
  const handle = openSync(folder, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

/** The copies of a ledger, oldest first. */
export function backupsOf(ledger: string, folder: string): { file: string; at: number }[] {
  const target = folder || dirname(ledger);
  let names: string[];
  try {
    names = readdirSync(target);
  } catch {
    // The folder is made with the first copy.
    return [];
  }
  const prefix = `${basename(ledger)}.backup-`;
  return names
    .filter((name) => name.startsWith(prefix))
    .map((name) => ({ file: join(target, name), at: timeOf(name.slice(prefix.length)) }))
    .filter((each) => !Number.isNaN(each.at))
    .sort((a, b) => a.at - b.at);
}

function removeOldest(ledger: string, folder: string, keep: number): void {
  for (const { file } of backupsOf(ledger, folder).slice(0, -keep)) rmSync(file);
}

/** ISO 8601 in its basic form, because not every file system takes colons: `20261123T065730Z`. */
function stampOf(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace(/[-:]|\.\d+/g, '');
}

/** Not a number where it is no such stamp. */
function timeOf(stamp: string): number {
  const parts = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(stamp);
  if (!parts) return Number.NaN;
  const [, year, month, day, hour, minute, second] = parts;
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
}
