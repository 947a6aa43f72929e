import { setTimeout as delay } from 'node:timers/promises';
import type { Pool, PoolClient, QueryResult } from 'pg';
import { ConfigurationMistake, TemporaryFault, asError } from '../orders/errors.ts';
import type { Dialect, Row, Statement, Store, Transaction, Value } from './store.ts';

/** Connections of one process, and so its transactions at a time; the others wait for their turn. */
const CONNECTIONS = 8;

/** Milliseconds. */
const TIMES = {
  connect: 3000,
  /** One statement; the server gives it up. */
  statement: 5000,
  /** One answer; the server is given up, because it may be gone without a word. */
  answer: 6000,
  /** For a row that another process holds; more than `idle`, so that one that stands still does not fail the others. */
  lock: 4000,
  /** Between two statements of a transaction: then its process has been stopped, or its machine is gone. */
  idle: 3000,
  /** For which a transaction is tried again without a connection. */
  outage: 3000,
  /** For which a transaction is tried again after conflicts. */
  conflicts: 15_000,
  /** After which a sender may come back. */
  retryAfter: 5000,
  /** For connections to end in order. */
  close: 2000,
};

/** What one attempt of a transaction failed of, when it was the database and not the transaction's own work. */
class DatabaseFailure extends Error {
  /**
   * `conflict`: another transaction came first. `stale`: the connection knows the statement no more. `gone`: no database to be had.
   * `refused`: it does not let us in, and will not before somebody changes something. `other`: the statement was wrong.
   */
  readonly kind: 'conflict' | 'stale' | 'gone' | 'refused' | 'other';
  override readonly cause: Error;

  constructor(kind: DatabaseFailure['kind'], cause: Error) {
    super(cause.message);
    this.kind = kind;
    this.cause = cause;
  }
}

/**
 * The store of several instances: PostgreSQL 15 or newer. Every transaction is serializable, on a connection of its own, and is run again
 * after a conflict or a lost connection. Nothing is kept in the session, so that PgBouncer may stand between (in transaction mode).
 * @param address `postgres://user:password@host:5432/database?schema=name`, or a function that gives the one of now
 * @throws ConfigurationMistake `LEDGER_NEEDS_PG`, `LEDGER_URL_INVALID`, `LEDGER_UNREADABLE`
 * @throws TemporaryFault `LEDGER_UNAVAILABLE`
 */
export async function openPostgres(address: string | (() => string)): Promise<Store> {
  const url = typeof address === 'string' ? () => address : address;
  const name = describeDatabase(url());
  const { default: pg } = await import('pg').catch((cause: unknown) => {
    throw new ConfigurationMistake(
      'LEDGER_NEEDS_PG',
      'A ledger in PostgreSQL needs the driver "pg", which is not installed. Run "npm install pg" in the user directory of Node-RED and start it again.',
      { cause },
    );
  });

  let pool: { pool: Pool; clients: Set<PoolClient>; url: string } | undefined;
  const turns = createTurns(CONNECTIONS);
  const inWork = new Set<Promise<unknown>>();
  const statements = new Map<string, { name: string; text: string }>();
  let named = true;
  let closed = false;
  /** Why the last attempt found no database: whoever has waited for long enough already need not try as well. */
  let outage: DatabaseFailure | undefined;
  const { schema } = readUrl(url());

  /** A new one when the password has changed, or when the connections of the old one cannot be trusted. */
  function currentPool(): Pool {
    if (pool?.url !== url()) {
      void dropPool();
      const { connection } = readUrl(url());
      const made = new pg.Pool({
        connectionString: connection,
        application_name: 'dropline',
        max: CONNECTIONS,
        connectionTimeoutMillis: TIMES.connect,
        query_timeout: TIMES.answer,
        keepAlive: true,
        keepAliveInitialDelayMillis: 10_000,
        types: { getTypeParser },
      });
      // A connection that breaks tells so at each of its uses; what its listeners hear beside that is nothing new.
      const clients = new Set<PoolClient>();
      made.on('error', ignore);
      made.on('connect', (client) => clients.add(client.on('error', ignore)));
      made.on('remove', (client) => clients.delete(client));
      pool = { pool: made, clients, url: url() };
    }
    return pool.pool;
  }

  /** Connections that do not end in order, because nobody answers at their other end, are broken off. */
  async function dropPool(): Promise<void> {
    const old = pool;
    pool = undefined;
    if (!old) return;
    await Promise.race([old.pool.end(), delay(TIMES.close, undefined, { ref: false })]);
    old.clients.forEach(destroy);
  }

  function prepare(sql: string): { name?: string; text: string } {
    let statement = statements.get(sql);
    if (!statement) {
      statement = { name: `d${statements.size}`, text: numbered(sql) };
      statements.set(sql, statement);
    }
    return named ? statement : { text: statement.text };
  }

  async function ask(client: PoolClient, { sql, parameters, counts }: Statement, patient: boolean): Promise<Row[]> {
    const { rows, rowCount } = await answer(
      client.query<Row>({
        ...prepare(sql),
        values: parameters.map(toDatabase),
        ...(patient ? { query_timeout: 2 ** 31 - 1 } : {}),
      }),
    );
    return counts ? [{ changed: rowCount }] : rows.map(fromDatabase);
  }

  async function attempt<Result>(begin: string, work: () => Transaction<Result>): Promise<Result> {
    const client = await answer(currentPool().connect());
    let broken: Error | undefined;
    try {
      await beginOn(client, begin);
      const transaction = work();
      let patient = false;
      let step = transaction.next([]);
      while (!step.done) {
        if (step.value.sql === ALONE) {
          patient = true;
          await answer(client.query('SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0'));
        }
        step = transaction.next(await ask(client, step.value, patient));
      }
      const { command } = await answer(client.query('COMMIT'));
      if (command !== 'COMMIT') throw new Error(`COMMIT was answered with ${command}`);
      return step.value;
    } catch (thrown) {
      broken = await rollBack(client, thrown);
      throw thrown;
    } finally {
      // What cannot be rolled back is closed: an answer that comes late must not meet the next transaction.
      if (broken) destroy(client);
      client.release(broken);
    }
  }

  async function inTurn<Result>(begin: string, work: () => Transaction<Result>): Promise<Result> {
    const began = Date.now();
    const leave = await turns.take();
    let outageBegan: number | undefined;
    try {
      for (let tries = 1; ; tries += 1) {
        if (outage && tries === 1 && Date.now() - began > TIMES.outage) throw outage;
        try {
          const result = await attempt(begin, work);
          outage = undefined;
          return result;
        } catch (thrown) {
          if (!(thrown instanceof DatabaseFailure)) throw thrown;
          if (thrown.kind === 'other' || thrown.kind === 'refused') throw thrown;
          let patience = TIMES.conflicts;
          if (thrown.kind === 'stale') named &&= !isUnnamed(thrown.cause);
          if (thrown.kind === 'gone') {
            outage = thrown;
            outageBegan ??= Date.now();
            patience = outageBegan - began + TIMES.outage;
            // One that did not answer is not the only one of its kind.
            if (isSilence(thrown.cause)) void dropPool();
          }
          const wait = Math.min(tries, 8) * (thrown.kind === 'gone' ? 100 : 4) * (0.5 + Math.random());
          if (Date.now() + wait - began > patience) throw thrown;
          await delay(wait);
        }
      }
    } finally {
      leave();
    }
  }

  function run<Result>(begin: string, work: () => Transaction<Result>): Promise<Result> {
    if (closed) return Promise.reject(closedFault());
    const running = inTurn(begin, work).catch((thrown: unknown) => {
      if (!(thrown instanceof DatabaseFailure)) throw thrown;
      throw thrown.kind === 'other' ? thrown.cause : unavailable(name, thrown.cause);
    });
    inWork.add(running);
    const done = () => void inWork.delete(running);
    running.then(done, done);
    return running;
  }

  const store: Store = {
    dialect: POSTGRES,
    transact: (work) => run(beginWith('SERIALIZABLE', schema), work),
    read: (work) => run(beginWith('REPEATABLE READ READ ONLY', schema), work),
    async close() {
      if (closed) return;
      closed = true;
      await Promise.allSettled(inWork);
      await dropPool();
    },
  };
  try {
    if (schema) await createSchema(run, schema);
    else await store.read(function* () {});
    return store;
  } catch (thrown) {
    await store.close();
    throw mistake(name, thrown);
  }
}

/** The address as it may be shown and logged: without the password, and the same for every password. */
export function describeDatabase(url: string): string {
  const { shown } = readUrl(url);
  return shown;
}

const ALONE = `SELECT pg_advisory_xact_lock(hashtext('dropline ledger'))`;

const POSTGRES: Dialect = {
  id: 'BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY',
  now: 'CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)',
  alone: ALONE,
};

/**
 * All in one round trip. Settings hold for the transaction only. `synchronous_commit` is never less than `on`, whatever the role's default.
 * The last column tells a standby, to which an address may lead after a failover.
 */
function beginWith(mode: string, schema: string | undefined): string {
  return [
    `BEGIN ISOLATION LEVEL ${mode}`,
    ...(schema ? [`SET LOCAL search_path = "${schema}"`] : []),
    `SET LOCAL statement_timeout = ${TIMES.statement}`,
    `SET LOCAL lock_timeout = ${TIMES.lock}`,
    `SET LOCAL idle_in_transaction_session_timeout = ${TIMES.idle}`,
    `SELECT CASE WHEN current_setting('synchronous_commit') = 'remote_apply' THEN NULL
       ELSE set_config('synchronous_commit', 'on', true) END, pg_is_in_recovery() AS standby`,
  ].join('; ');
}

async function beginOn(client: PoolClient, begin: string): Promise<void> {
  const results = (await answer(client.query(begin))) as unknown as QueryResult<{ standby?: number }>[];
  if (results.at(-1)?.rows[0]?.standby !== 0) {
    throw new DatabaseFailure('gone', new Error('this server is a standby, which only reads'));
  }
}

/** The transaction is undone; answers the error for which its connection must be closed. */
async function rollBack(client: PoolClient, thrown: unknown): Promise<Error | undefined> {
  if (thrown instanceof DatabaseFailure && (thrown.kind === 'gone' || thrown.kind === 'stale')) return thrown;
  try {
    await answer(client.query('ROLLBACK'));
    return undefined;
  } catch (failure) {
    return asError(failure);
  }
}

function destroy(client: PoolClient): void {
  const { connection } = client as unknown as { connection?: { stream?: { destroy(): void } } };
  connection?.stream?.destroy();
}

async function createSchema(
  run: (begin: string, work: () => Transaction<void>) => Promise<void>,
  schema: string,
): Promise<void> {
  await run(beginWith('SERIALIZABLE', undefined), function* () {
    yield { sql: ALONE, parameters: [] };
    // Asked first: to create it takes a right that a role need not have where it exists.
    const found: Row[] = yield { sql: 'SELECT 1 AS n FROM pg_namespace WHERE nspname = ?', parameters: [schema] };
    if (found.length === 0) yield { sql: `CREATE SCHEMA IF NOT EXISTS "${schema}"`, parameters: [] };
  });
}

/**
 * Takes the address apart.
 * @throws ConfigurationMistake `LEDGER_URL_INVALID`, which shows nothing of it: what cannot be read may be a password
 */
function readUrl(address: string): { connection: string; shown: string; schema: string | undefined } {
  const wrong = (what: string) =>
    new ConfigurationMistake(
      'LEDGER_URL_INVALID',
      `The address of the ledger's database ${what}. Write it as postgres://user:password@host:5432/database, and special characters of the password percent-encoded (# as %23, / as %2F, @ as %40).`,
      { status: 'wrong database URL' },
    );
  let url: URL;
  try {
    url = new URL(address.trim());
    decodeURIComponent(url.username + url.password);
  } catch {
    throw wrong('cannot be read');
  }
  if (!/^postgres(ql)?:$/.test(url.protocol)) throw wrong('does not begin with postgres://');
  // A password with a raw #, / or ? would stand in one of these.
  if (url.hash || !/^\/[^/@]+$/.test(url.pathname) || url.search.includes('@')) throw wrong('names no database');
  const schema = url.searchParams.get('schema') ?? undefined;
  if (schema !== undefined && !/^[a-z_][a-z0-9_]{0,62}$/.test(schema))
    throw wrong('has a schema that is not of small letters, digits and _');
  url.searchParams.delete('schema');
  const user = url.username ? `${url.username}@` : '';
  return {
    connection: url.href,
    shown: `postgres://${user}${url.host || (url.searchParams.get('host') ?? '')}${url.pathname}${schema ? `?schema=${schema}` : ''}`,
    schema,
  };
}

async function answer<Result>(promise: Promise<Result>): Promise<Result> {
  try {
    return await promise;
  } catch (thrown) {
    const error = asError(thrown);
    throw new DatabaseFailure(kindOf(error), error);
  }
}

/** By SQLSTATE (PostgreSQL documentation, appendix A); an error without one comes from the network or the driver. */
function kindOf(error: Error): DatabaseFailure['kind'] {
  const code = sqlState(error);
  if (error instanceof TypeError) return 'other';
  if (error.message.includes('password must be a string')) return 'refused';
  if (code === undefined) return 'gone';
  if (['40001', '40P01', '55P03'].includes(code)) return 'conflict';
  if (isUnnamed(error) || (code === '0A000' && error.message.includes('cached plan'))) return 'stale';
  // BEGIN SERIALIZABLE on a standby; a write where the server lets nobody write.
  if (code === '0A000' && error.message.includes('hot standby')) return 'gone';
  if (['25006', '25P03', '25P04', '57014'].includes(code) || /^(08|53|57P|58)/.test(code)) return 'gone';
  // At the start a mistake; later the password was changed, or the database is being restored.
  if (/^(28|3D)/.test(code)) return 'refused';
  return 'other';
}

/** Prepared statements get lost, or meet, behind a PgBouncer that does not follow them. */
function isUnnamed(error: Error): boolean {
  return ['26000', '42P05'].includes(sqlState(error) ?? '');
}

/** The connection may be half open: nothing came back. */
function isSilence(error: Error): boolean {
  return /time-?out/i.test(error.message) && sqlState(error) === undefined;
}

function sqlState(error: Error): string | undefined {
  const { code } = error as { code?: unknown };
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && /\d/.test(code) ? code : undefined;
}

function unavailable(name: string, cause: Error): TemporaryFault {
  return new TemporaryFault(
    'LEDGER_UNAVAILABLE',
    `The ledger's database ${name} cannot be had (${reasonOf(cause)}). Check that the server runs, is reachable from here and accepts writes; what waits goes on by itself.`,
    { status: 'ledger unavailable', cause, retryAfter: TIMES.retryAfter },
  );
}

/** What only a person can mend, told when the store is opened. */
function mistake(name: string, thrown: unknown): Error {
  const error = asError(thrown);
  const cause = error instanceof TemporaryFault && error.cause instanceof Error ? error.cause : error;
  const code = sqlState(cause) ?? '';
  const advice =
    code.startsWith('28') || /password must be a string/.test(cause.message)
      ? 'Check the user and the password in its address.'
      : code.startsWith('3D')
        ? 'Create the database, or correct its name in the address.'
        : code === '42501'
          ? 'Grant its user CREATE on the database or schema.'
          : undefined;
  if (!advice) return error;
  return new ConfigurationMistake(
    'LEDGER_UNREADABLE',
    `The ledger's database ${name} cannot be opened (${reasonOf(cause)}). ${advice}`,
    {
      cause,
    },
  );
}

/** Node.js tells an unreachable host as several errors in one that has no words of its own. */
function reasonOf(error: Error): string {
  const { errors, code } = error as { errors?: Error[]; code?: string };
  return error.message || errors?.map((each) => each.message).join(', ') || code || error.name;
}

/** `?` as `$1`, `$2`, ..., but for those in quotes. */
function numbered(sql: string): string {
  let count = 0;
  return sql.replaceAll(/'[^']*'|"[^"]*"|\?/g, (found) => (found === '?' ? `$${(count += 1)}` : found));
}

/** The control character SUBSTITUTE. */
const STAND_IN = '\u001a';

/** PostgreSQL refuses NUL in a text. Another control character stands for it, and for itself: what came in is handed back as it was. */
function toDatabase(value: Value): Value {
  if (typeof value !== 'string' || !(value.includes('\0') || value.includes(STAND_IN))) return value;
  return value.replaceAll(STAND_IN, `${STAND_IN}1`).replaceAll('\0', `${STAND_IN}0`);
}

function fromDatabase(row: Row): Row {
  for (const [column, value] of Object.entries(row)) {
    if (typeof value === 'string' && value.includes(STAND_IN))
      row[column] = value.replaceAll(`${STAND_IN}0`, '\0').replaceAll(`${STAND_IN}1`, STAND_IN);
  }
  return row;
}

/** Whole numbers, sums and averages as numbers, truth as 1 and 0, all else as text: what SQLite answers. */
function getTypeParser(oid: number): (text: string) => Value {
  if (oid === BOOL) return (text) => (text === 't' ? 1 : 0);
  return NUMBERS.has(oid) ? Number : String;
}

/** Object ids of pg_type: bool; int8, int2, int4, float4, float8, numeric. */
const BOOL = 16;
const NUMBERS = new Set([20, 21, 23, 700, 701, 1700]);

/** Lets so many work at a time, the others in their order. */
function createTurns(limit: number): { take(): Promise<() => void> } {
  const waiting: (() => void)[] = [];
  let taken = 0;
  const leave = () => {
    const next = waiting.shift();
    if (next) next();
    else taken -= 1;
  };
  return {
    async take() {
      if (taken < limit) taken += 1;
      else await new Promise<void>((resolve) => waiting.push(resolve));
      return leave;
    },
  };
}

function closedFault(): TemporaryFault {
  return new TemporaryFault('LEDGER_CLOSED', 'The ledger is closed: Node-RED is stopping.');
}

function ignore(): void {}
