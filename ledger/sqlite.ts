import { closeSync, fdatasync, fdatasyncSync, mkdirSync, openSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { ConfigurationMistake, TemporaryFault, asError, type DroplineError } from '../orders/errors.ts';
import { KeptRows } from './kept-rows.ts';
import { damaged, databaseFault, isBusy, unavailable, unsynced } from './sqlite-faults.ts';
import type { Dialect, Row, Statement, Store, Transaction } from './store.ts';

/** Transactions that share one commit. More would hold up the event loop, fewer would cost disk syncs. */
const LARGEST_BATCH = 200;

/** Milliseconds that a transaction waits at most for others to share its commit. */
const GATHERING = 5;

interface Waiting {
  work: () => Transaction<unknown>;
  /** It is told what came of it before the disk keeps it. */
  ahead: boolean;
  resolve(result: unknown): void;
  reject(error: Error): void;
}

type Outcome = { result: unknown } | { error: Error };

interface Prepared {
  statement: StatementSync;
  /** Whether it has rows to give. */
  hasRows: boolean;
  /** The table that it changes. */
  table: string | undefined;
}

const NO_ROWS: Row[] = [];

/** Has the disk keep what was written to a file; answers when it does. */
type Sync = (file: number, done: (error: Error | null) => void) => void;

/**
 * The default store: the SQLite that is built into Node.js, with full durability. SQLite writes its log and does not wait for
 * the disk; we do, in the background, and nobody is told of a transaction before, unless it may be told `ahead`. What comes
 * meanwhile shares the next commit.
 * Where one of a batch throws, the whole batch is run again with a savepoint each, so that it fails alone: two statements a
 * transaction are saved for all others.
 * @param file path of the ledger, or `:memory:` for tests
 * @throws ConfigurationMistake `LEDGER_NEEDS_NEWER_NODE`, `LEDGER_IN_USE`, `LEDGER_UNREADABLE`, `LEDGER_CORRUPT`
 */
export async function openSqlite(file: string, sync: Sync = fdatasync): Promise<Store> {
  const { DatabaseSync } = await import('node:sqlite').catch((cause: unknown) => {
    throw new ConfigurationMistake(
      'LEDGER_NEEDS_NEWER_NODE',
      `The ledger needs the SQLite that is built into Node.js 22.13 and newer; this is ${process.version}. Start Node-RED with a newer Node.js.`,
      { cause },
    );
  });
  const lock = file === ':memory:' ? undefined : takeLock(DatabaseSync, file);
  const database = openDatabase(DatabaseSync, file, lock);

  const statements = new Map<string, Prepared>();
  const keptRows = new KeptRows();
  const begin = database.prepare('BEGIN IMMEDIATE');
  const commit = database.prepare('COMMIT');
  const queue: Waiting[] = [];
  /** SQLite's log. Closing it again does not touch SQLite's locks, which are on the other files. */
  const log = file === ':memory:' ? undefined : openSync(`${file}-wal`, 'r+');
  let scheduled = false;
  let syncing = false;
  let whenSynced: (() => void) | undefined;
  let closed = false;
  /** Once the file is known to be damaged, every further write could make it worse. */
  let broken: DroplineError | undefined;

  function prepare(sql: string): Prepared {
    let prepared = statements.get(sql);
    if (!prepared) {
      prepared = {
        statement: database.prepare(sql),
        hasRows: /^\s*(SELECT|WITH|PRAGMA)|\bRETURNING\b/i.test(sql),
        table: /^(?!\s*SELECT)[^(]*?\b(?:INTO|UPDATE|FROM)\s+(\w+)/i.exec(sql)?.[1],
      };
      statements.set(sql, prepared);
    }
    return prepared;
  }

  function drive<Result>(work: () => Transaction<Result>): Result {
    const transaction = work();
    let step = transaction.next([]);
    while (!step.done) step = transaction.next(execute(step.value));
    return step.value;
  }

  /** A kept row is answered from memory. Whoever changes its table without saying what stands there then has all of it forgotten. */
  function execute({ sql, parameters, kept, counts }: Statement): Row[] {
    if (kept && !kept.after) {
      const known = keptRows.get(kept);
      if (known) return known;
    }
    const { statement, hasRows, table } = prepare(sql);
    let rows = NO_ROWS;
    if (hasRows) rows = statement.all(...parameters) as Row[];
    else {
      const { changes } = statement.run(...parameters);
      if (counts) rows = [{ changed: Number(changes) }];
    }
    if (kept) keptRows.put(kept, kept.after ? [kept.after] : rows);
    else if (table !== undefined) keptRows.forgetTable(table);
    return rows;
  }

  /** @returns undefined when one of them throws: nothing has been committed, and which ones may be is to be found out */
  function runTogether(batch: Waiting[]): Outcome[] | undefined {
    begin.run();
    const outcomes: Outcome[] = [];
    for (const { work } of batch) {
      try {
        outcomes.push({ result: drive(work) });
      } catch (thrown) {
        if (databaseFault(thrown, file)) throw thrown;
        undo('ROLLBACK');
        return undefined;
      }
    }
    commit.run();
    return outcomes;
  }

  /** Each in a savepoint of its own. */
  function runApart(batch: Waiting[]): Outcome[] {
    begin.run();
    const outcomes = batch.map(({ work }) => run(work));
    commit.run();
    return outcomes;
  }

  /** @throws what is wrong with the database; what is wrong with the transaction is its own outcome */
  function run(work: () => Transaction<unknown>): Outcome {
    database.exec('SAVEPOINT item');
    try {
      const result = drive(work);
      database.exec('RELEASE item');
      return { result };
    } catch (thrown) {
      if (databaseFault(thrown, file)) throw thrown;
      undo('ROLLBACK TO item; RELEASE item');
      return { error: asError(thrown) };
    }
  }

  function commitBatch(): void {
    scheduled = false;
    if (queue.length === 0 || syncing) return;
    const batch = queue.splice(0, LARGEST_BATCH);
    let outcomes: Outcome[];
    try {
      if (broken) throw broken;
      outcomes = runTogether(batch) ?? runApart(batch);
    } catch (thrown) {
      rollBack();
      const error = understood(thrown);
      for (const { reject } of batch) reject(error);
      if (queue.length > 0) schedule();
      return;
    }
    if (log !== undefined && closed) fdatasyncSync(log);
    if (log === undefined || closed) return batch.forEach((waiting, index) => tell(waiting, outcomes[index]));
    batch.forEach((waiting, index) => {
      if (waiting.ahead) tell(waiting, outcomes[index]);
    });
    syncing = true;
    sync(log, (error) => {
      syncing = false;
      // The system may have dropped what it could not write, although SQLite takes it for written.
      if (error) broken ??= unsynced(error, file);
      batch.forEach((waiting, index) => {
        if (error) waiting.reject(broken!);
        else if (!waiting.ahead) tell(waiting, outcomes[index]);
      });
      if (whenSynced) whenSynced();
      else if (queue.length > 0) schedule();
    });
  }

  function tell({ resolve, reject }: Waiting, outcome: Outcome | undefined): void {
    if (outcome && 'result' in outcome) resolve(outcome.result);
    else reject(outcome?.error ?? new Error('a transaction has no outcome'));
  }

  /** What it kept since the beginning of the transaction does not stand in the ledger. */
  function undo(sql: string): void {
    keptRows.forgetAll();
    database.exec(sql);
  }

  /** A full disk may have rolled back already, a damaged file may refuse even that: the next `BEGIN` tells. */
  function rollBack(): void {
    try {
      keptRows.forgetAll();
      if (database.isTransaction) database.exec('ROLLBACK');
    } catch (thrown) {
      broken ??= databaseFault(thrown, file)?.damaged ? understood(thrown) : undefined;
    }
  }

  function understood(thrown: unknown): DroplineError {
    if (broken) return broken;
    const fault = databaseFault(thrown, file);
    if (fault?.damaged) broken = fault.error;
    return fault?.error ?? unavailable(thrown, file);
  }

  function schedule(): void {
    if (scheduled || syncing) return;
    scheduled = true;
    const begun = performance.now();
    setImmediate(gather, begun, queue.length);
  }

  /**
   * As long as each turn of the event loop brings more, the commit waits for it: pages that many write to are written once. When
   * there is nothing to do but to commit, nobody waits.
   */
  function gather(begun: number, before: number): void {
    const isGrowing = queue.length > before && queue.length < LARGEST_BATCH;
    if (isGrowing && !closed && performance.now() - begun < GATHERING) setImmediate(gather, begun, queue.length);
    else commitBatch();
  }

  return {
    dialect: SQLITE,
    read<Result>(work: () => Transaction<Result>): Promise<Result> {
      if (closed) return Promise.reject(closedFault());
      if (broken) return Promise.reject(broken);
      try {
        return Promise.resolve(drive(work));
      } catch (thrown) {
        return Promise.reject(databaseFault(thrown, file) ? understood(thrown) : asError(thrown));
      }
    },
    transact<Result>(work: () => Transaction<Result>, ahead = false): Promise<Result> {
      if (closed) return Promise.reject(closedFault());
      return new Promise<Result>((resolve, reject) => {
        queue.push({ work, ahead, resolve: resolve as (result: unknown) => void, reject });
        schedule();
      });
    },
    async close() {
      if (closed) return;
      closed = true;
      if (syncing) await new Promise<void>((resolve) => (whenSynced = resolve));
      while (queue.length > 0) commitBatch();
      statements.clear();
      if (log !== undefined) closeSync(log);
      database.close();
      lock?.close();
    },
  };
}

const SQLITE: Dialect = { id: 'INTEGER PRIMARY KEY AUTOINCREMENT', now: undefined, alone: undefined };

function closedFault(): TemporaryFault {
  return new TemporaryFault('LEDGER_CLOSED', 'The ledger is closed: Node-RED is stopping.');
}

/**
 * - `synchronous = NORMAL`: the file is sound after a power cut; that what was answered is in it, `sync` sees to.
 * - `secure_delete`: what is redacted or replaced is overwritten, so that it is in no free page of the file; measured: no slower.
 * - `wal_autocheckpoint`: pages that are written again and again are copied into the file once in 32 MB of log, not in 4.
 * - `journal_size_limit`: the log that a long reader (a backup) made grow is cut again by the checkpoint after it.
 * - No memory-mapped reads: there a fault of the disk kills the process instead of failing one read.
 */
const PRAGMAS = `
  PRAGMA busy_timeout = 1000;
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = NORMAL;
  PRAGMA foreign_keys = ON;
  PRAGMA secure_delete = ON;
  PRAGMA cache_size = -32000;
  PRAGMA wal_autocheckpoint = 8000;
  PRAGMA journal_size_limit = 67108864;
`;

function openDatabase(Database: typeof DatabaseSync, file: string, lock: DatabaseSync | undefined): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    database = new Database(file);
    database.exec(PRAGMAS);
    probe(database);
    return database;
  } catch (cause) {
    database?.close();
    lock?.close();
    if (databaseFault(cause, file)?.damaged) throw damaged(cause, file);
    throw unreadable(file, cause);
  }
}

/**
 * Whether the file can be read and written, without reading all of it: a quick check of a million orders takes minutes. The last row of
 * each table is looked at, and a file that is shorter than its header says is noticed by SQLite itself.
 * What is damaged elsewhere is found when it is read; the backup checks its whole copy.
 */
function probe(database: DatabaseSync): void {
  database.exec('BEGIN IMMEDIATE; ROLLBACK');
  const tables = database.prepare(`SELECT name FROM sqlite_master WHERE type = 'table'`).all();
  for (const { name } of tables) database.prepare(`SELECT * FROM "${name}" ORDER BY rowid DESC LIMIT 1`).all();
}

/** `statfs` types of NFS, SMB and CIFS (statfs(2)): their locks cannot be relied on. */
const NETWORK_FILE_SYSTEMS = new Set([0x6969, 0x517b, 0xff534d42, 0xfe534d42]);

/** A sentence of warning where a ledger lies on a network drive, as far as the operating system tells. */
export function networkWarning(file: string, typeOf = (folder: string) => statfsSync(folder).type): string | undefined {
  let type: number;
  try {
    type = typeOf(dirname(file));
  } catch {
    // The folder is not there yet, or the system does not tell: opening the ledger says what is wrong.
    return undefined;
  }
  if (!NETWORK_FILE_SYSTEMS.has(type)) return undefined;
  return `The ledger ${file} lies on a network drive, where SQLite's locks and writes cannot be relied on. Move it to a local disk, or use PostgreSQL.`;
}

/**
 * One process per ledger: a transaction held open on a small file beside it. The operating system ends the lock with the
 * process, so a killed Node-RED never has to be waited for, and the ledger itself stays readable for other programs.
 */
function takeLock(Database: typeof DatabaseSync, file: string): DatabaseSync {
  let lock: DatabaseSync | undefined;
  try {
    mkdirSync(dirname(file), { recursive: true });
    lock = new Database(`${file}.lock`);
    lock.exec('PRAGMA busy_timeout = 500; BEGIN EXCLUSIVE');
    return lock;
  } catch (cause) {
    lock?.close();
    if (isBusy(cause)) {
      throw new ConfigurationMistake(
        'LEDGER_IN_USE',
        `The ledger ${file} is in use by another Node-RED process. Stop that one, or give this one a ledger of its own.`,
        { cause },
      );
    }
    throw unreadable(file, cause);
  }
}

function unreadable(file: string, cause: unknown): ConfigurationMistake {
  return new ConfigurationMistake(
    'LEDGER_UNREADABLE',
    `The ledger ${file} cannot be opened (${asError(cause).message}). Check that its folder exists, that the user that Node-RED runs as may write both, and that the disk has space left.`,
    { cause },
  );
}
