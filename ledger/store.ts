/**
 * The port to the database. A transaction is written once, as a generator that yields SQL statements and receives their
 * rows; SQLite runs it synchronously inside a shared, group-committed transaction, a server database asynchronously on a
 * connection of its own. A transaction may be run again from its beginning after a conflict, so it touches nothing but
 * the database.
 *
 * The SQL is the subset that SQLite and PostgreSQL share: `?` parameters, `ON CONFLICT`, `RETURNING`, TEXT and BIGINT.
 */
export interface Store {
  /** Resolves once the transaction is durable. Rejects with what `work` threw (rolled back) or with a `StoreUnavailable`. */
  transact<Result>(work: () => Transaction<Result>): Promise<Result>;
  close(): Promise<void>;
}

export type Transaction<Result> = Generator<Statement, Result, Row[]>;

export interface Statement {
  sql: string;
  parameters: Value[];
}

export type Value = string | number | null;
export type Row = Record<string, Value>;

/** One statement inside a transaction: `const rows = yield* query('SELECT ...', id)`. */
export function* query<R = Row>(sql: string, ...parameters: (Value | undefined)[]): Generator<Statement, R[], Row[]> {
  const rows = yield { sql, parameters: parameters.map((value) => value ?? null) };
  return rows as R[];
}

/** The first row of a statement, if any. */
export function* queryOne<R = Row>(
  sql: string,
  ...parameters: (Value | undefined)[]
): Generator<Statement, R | undefined, Row[]> {
  const rows = yield* query<R>(sql, ...parameters);
  return rows[0];
}
