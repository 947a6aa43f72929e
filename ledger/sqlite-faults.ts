import { ConfigurationMistake, TemporaryFault, asError, type DroplineError } from '../orders/errors.ts';

/** Primary result codes (sqlite.org/rescode.html); the extended ones carry them in their lowest byte. */
const PERM = 3;
const BUSY = 5;
const LOCKED = 6;
const NOMEM = 7;
const READONLY = 8;
const IOERR = 10;
const CORRUPT = 11;
const FULL = 13;
const CANTOPEN = 14;
const PROTOCOL = 15;
const NOTADB = 26;

/** What went wrong with the database itself rather than with a statement: nothing of the transaction is kept. */
export type DatabaseFault = { damaged: boolean; error: DroplineError };

/**
 * Tells a fault of the database, its file or its disk from an error in a transaction (a violated constraint, a mistake in our
 * own code), which is nobody else's.
 * @param file path of the ledger, for the sentence that says what to do
 */
export function databaseFault(thrown: unknown, file: string): DatabaseFault | undefined {
  const code = primaryCode(thrown);
  if (code === CORRUPT || code === NOTADB) return { damaged: true, error: damaged(thrown, file) };
  const what = code === undefined ? undefined : REMEDIES[code];
  return what === undefined ? undefined : { damaged: false, error: unavailable(thrown, file, what(file)) };
}

/** Whether another connection has the database to itself at the moment. */
export function isBusy(thrown: unknown): boolean {
  const code = primaryCode(thrown);
  return code === BUSY || code === LOCKED;
}

/** `LEDGER_UNAVAILABLE` for whatever has kept a transaction from being stored. */
export function unavailable(thrown: unknown, file: string, remedy = `Check the disk of ${file}.`): TemporaryFault {
  return new TemporaryFault(
    'LEDGER_UNAVAILABLE',
    `The ledger cannot be written (${asError(thrown).message}). ${remedy} Nothing is accepted until then; after that it goes on by itself.`,
    { status: 'ledger unavailable', cause: thrown },
  );
}

/** After a write that the disk did not keep, what stands in memory and what stands on the disk may differ: only a new start tells. */
export function unsynced(thrown: unknown, file: string): TemporaryFault {
  return new TemporaryFault(
    'LEDGER_UNAVAILABLE',
    `The disk did not keep what was written to the ledger ${file} (${asError(thrown).message}). See that it has no fault, then start Node-RED again. Nothing is accepted until then.`,
    { status: 'ledger unavailable', cause: thrown },
  );
}

/** `LEDGER_CORRUPT`, with the way back. */
export function damaged(thrown: unknown, file: string): ConfigurationMistake {
  return new ConfigurationMistake(
    'LEDGER_CORRUPT',
    [
      `The ledger ${file} is damaged (${asError(thrown).message}), so nothing is read from it or written to it.`,
      `1. Stop Node-RED.`,
      `2. Move ${file}, ${file}-wal and ${file}-shm into another folder; do not delete them.`,
      `3. Copy the newest backup (${file}.backup-<time>, or from your backup folder) to ${file}.`,
      `4. Start Node-RED. What happened since the backup is looked up at the partners before it is done again.`,
    ].join(' '),
    { status: 'ledger damaged', cause: thrown },
  );
}

const REMEDIES: Record<number, (file: string) => string> = {
  [PERM]: mayNotWrite,
  [READONLY]: mayNotWrite,
  [CANTOPEN]: mayNotWrite,
  [FULL]: (file) => `The disk is full: free some space on the disk of ${file}.`,
  [IOERR]: (file) => `The disk does not take it: see that the disk of ${file} has space left and no fault.`,
  [BUSY]: inUse,
  [LOCKED]: inUse,
  [PROTOCOL]: inUse,
  [NOMEM]: () => `The machine is out of memory: end other programs, or give Node-RED more.`,
};

function mayNotWrite(file: string): string {
  return `The user that Node-RED runs as needs the right to write ${file} and its folder.`;
}

function inUse(file: string): string {
  return `Another program is writing to ${file}: close it.`;
}

function primaryCode(thrown: unknown): number | undefined {
  const { errcode } = thrown as { errcode?: unknown };
  return typeof errcode === 'number' ? errcode & 0xff : undefined;
}
