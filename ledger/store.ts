/**
 * The port to the database. A transaction is written once, as a generator that yields SQL statements and receives their
 * rows; SQLite runs it synchronously inside a shared, group-committed transaction, a server database asynchronously on a
 * connection of its own. A transaction may be run again from its beginning after a conflict, so it touches nothing but
 * the database.
 *
 * The SQL is the subset that SQLite and PostgreSQL share: `?` parameters, `ON CONFLICT`, `RETURNING`, TEXT and BIGINT.
 */
export interface Store {
  readonly dialect: Dialect;
  /**
   * Resolves once the transaction is durable. Rejects with what `work` threw (rolled back) or, when the database cannot be
   * had, with a TemporaryFault `LEDGER_UNAVAILABLE`: the transaction may then have been committed all the same.
   * @param ahead that it may resolve as soon as a crash of this process cannot undo it. A power cut may, and then undoes every later
   *   transaction with it: for what nobody outside learns of before the next transaction
   */
  transact<Result>(work: () => Transaction<Result>, ahead?: boolean): Promise<Result>;
  /** Reads only, as of the last commit: it waits for no commit of others. */
  read<Result>(work: () => Transaction<Result>): Promise<Result>;
  close(): Promise<void>;
}

/** What differs between databases. */
export interface Dialect {
  /** A primary key that counts up by itself. */
  id: string;
  /** SQL of the database's own time in milliseconds since 1970, where several processes share it and their clocks differ. */
  now: string | undefined;
  /**
   * SQL with which a transaction waits until no other one that began with it is under way: for what several processes must not
   * do at once and that takes as long as it takes, such as a change of the schema.
   */
  alone: string | undefined;
}

export type Transaction<Result> = Generator<Statement, Result, Row[]>;

export interface Statement {
  sql: string;
  parameters: Value[];
  /** The one row that it reads or writes, where that is a row that may be kept in memory. */
  kept?: Kept;
  /** What comes back is one row that says how many rows it changed. */
  counts?: true;
}

/**
 * Names a row. A store whose database belongs to this process alone may answer a read of it from memory; any other write to the
 * table makes it forget what it keeps.
 */
export interface Kept {
  table: string;
  /** What the row is asked for by, and nothing else in the ledger is. */
  key: string;
  /** What a read of it finds after this write; `undefined` for a read. */
  after?: Row;
}

export type Value = string | number | null;
export type Row = Record<string, Value>;

/** One statement inside a transaction: `const rows = yield* query('SELECT ...', id)`. */
export function* query<R = Row>(sql: string, ...parameters: (Value | undefined)[]): Generator<Statement, R[], Row[]> {
  return (yield { sql, parameters: nullsFor(parameters) }) as R[];
}

/** How many rows a statement changed. Cheaper than `RETURNING`, for which a database keeps what it changes aside. */
export function* change(sql: string, ...parameters: (Value | undefined)[]): Generator<Statement, number, Row[]> {
  const rows = yield { sql, parameters: nullsFor(parameters), counts: true };
  return Number(rows[0]?.['changed']);
}

/** In place: there are dozens of statements in the way of an order. */
function nullsFor(parameters: (Value | undefined)[]): Value[] {
  for (let index = 0; index < parameters.length; index += 1) parameters[index] ??= null;
  return parameters as Value[];
}

/** Reads the row that `kept` names, by the same columns each time. */
export function* queryKept<R = Row>(
  kept: Kept,
  sql: string,
  ...parameters: Value[]
): Generator<Statement, R | undefined, Row[]> {
  const rows = yield { sql, parameters, kept };
  return rows[0] as R | undefined;
}

/** The first row of a statement, if any. */
export function* queryOne<R = Row>(
  sql: string,
  ...parameters: (Value | undefined)[]
): Generator<Statement, R | undefined, Row[]> {
  const rows = yield* query<R>(sql, ...parameters);
  return rows[0];
}

/** Placeholders for a list of at most `most` values in `IN (...)`: always as many, so that one prepared statement serves lists of all lengths. */
export function placesFor(most: number): string {
  return Array.from({ length: most }, () => '?').join(', ');
}

/** The values for `placesFor(most)`; NULL, which equals nothing, in the places that are left. */
export function inPlaces(values: readonly number[], most: number): (number | undefined)[] {
  return Array.from({ length: most }, (_, index) => values[index]);
}
