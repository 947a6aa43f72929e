import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { ConfigurationMistake, TemporaryFault, asError } from '../orders/errors.ts';
import type { Row, Store, Transaction } from './store.ts';

/** Transactions that share one commit. More would hold up the event loop, fewer would cost disk syncs. */
const LARGEST_BATCH = 200;

interface Waiting {
  work: () => Transaction<unknown>;
  resolve(result: unknown): void;
  reject(error: Error): void;
}

type Outcome = { result: unknown } | { error: Error };

/**
 * The default store: the SQLite that is built into Node.js, with full durability. All transactions of one turn of the
 * event loop share one commit, each in a savepoint of its own, so that one that throws fails alone.
 * @param file path of the ledger, or `:memory:` for tests
 * @throws ConfigurationMistake `LEDGER_NEEDS_NEWER_NODE`, `LEDGER_IN_USE`, `LEDGER_UNREADABLE`
 */
export async function openSqlite(file: string): Promise<Store> {
  const { DatabaseSync } = await import('node:sqlite').catch((cause: unknown) => {
    throw new ConfigurationMistake(
      'LEDGER_NEEDS_NEWER_NODE',
      `The ledger needs the SQLite that is built into Node.js 22.13 and newer; this is ${process.version}. Start Node-RED with a newer Node.js.`,
      { cause },
    );
  });
  const lock = file === ':memory:' ? undefined : takeLock(DatabaseSync, file);
  const database = openDatabase(DatabaseSync, file, lock);

  const statements = new Map<string, StatementSync>();
  const queue: Waiting[] = [];
  let scheduled = false;
  let closed = false;

  function prepare(sql: string): StatementSync {
    let statement = statements.get(sql);
    if (!statement) {
      statement = database.prepare(sql);
      statements.set(sql, statement);
    }
    return statement;
  }

  function run(work: () => Transaction<unknown>): Outcome {
    database.exec('SAVEPOINT item');
    try {
      const transaction = work();
      let step = transaction.next([]);
      while (!step.done) {
        const { sql, parameters } = step.value;
        step = transaction.next(prepare(sql).all(...parameters) as Row[]);
      }
      database.exec('RELEASE item');
      return { result: step.value };
    } catch (thrown) {
      database.exec('ROLLBACK TO item; RELEASE item');
      return { error: asError(thrown) };
    }
  }

  function commitBatch(): void {
    scheduled = false;
    if (queue.length === 0) return;
    const batch = queue.splice(0, LARGEST_BATCH);
    if (queue.length > 0) schedule();
    const outcomes: Outcome[] = [];
    try {
      database.exec('BEGIN IMMEDIATE');
      for (const { work } of batch) outcomes.push(run(work));
      database.exec('COMMIT');
    } catch (cause) {
      if (database.isTransaction) database.exec('ROLLBACK');
      const error = new TemporaryFault(
        'LEDGER_UNAVAILABLE',
        `The ledger cannot be written (${asError(cause).message}). Check disk space and rights of ${file}.`,
        { cause },
      );
      for (const { reject } of batch) reject(error);
      return;
    }
    batch.forEach(({ resolve, reject }, index) => {
      const outcome = outcomes[index];
      if (outcome && 'result' in outcome) resolve(outcome.result);
      else reject(outcome?.error ?? new Error('a transaction has no outcome'));
    });
  }

  function schedule(): void {
    if (scheduled) return;
    scheduled = true;
    setImmediate(commitBatch);
  }

  return {
    transact<Result>(work: () => Transaction<Result>): Promise<Result> {
      if (closed)
        return Promise.reject(new TemporaryFault('LEDGER_CLOSED', 'The ledger is closed: Node-RED is stopping.'));
      return new Promise<Result>((resolve, reject) => {
        queue.push({ work, resolve: resolve as (result: unknown) => void, reject });
        schedule();
      });
    },
    close() {
      if (closed) return Promise.resolve();
      closed = true;
      while (queue.length > 0) commitBatch();
      statements.clear();
      database.close();
      lock?.close();
      return Promise.resolve();
    },
  };
}

function openDatabase(Database: typeof DatabaseSync, file: string, lock: DatabaseSync | undefined): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    database = new Database(file);
    database.exec(
      'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000;',
    );
    return database;
  } catch (cause) {
    database?.close();
    lock?.close();
    throw new ConfigurationMistake(
      'LEDGER_UNREADABLE',
      `The ledger ${file} cannot be opened (${asError(cause).message}). Check the folder's rights, or restore the file from its backup.`,
      { cause },
    );
  }
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
    if (/locked|busy/i.test(asError(cause).message)) {
      throw new ConfigurationMistake(
        'LEDGER_IN_USE',
        `The ledger ${file} is in use by another Node-RED process. Stop that one, or give this one a ledger of its own.`,
        { cause },
      );
    }
    throw new ConfigurationMistake(
      'LEDGER_UNREADABLE',
      `The ledger ${file} cannot be opened (${asError(cause).message}). Check that the folder exists and may be written.`,
      { cause },
    );
  }
}
