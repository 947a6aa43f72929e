import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import should from 'should';
import { openPostgres } from '../../ledger/postgres.ts';
import { migrate } from '../../ledger/schema.ts';
import { openSqlite } from '../../ledger/sqlite.ts';
import { change, query, queryKept, type Store, type Transaction } from '../../ledger/store.ts';
import { asError } from '../../orders/errors.ts';
import { postgres } from '../support/postgres.ts';
import { rejection } from './harness.ts';

/** What every backend must keep. `open` gives a store with an empty schema; `reopen` opens the same database anew. */
export function storeContract(
  name: string,
  open: () => Promise<{ store: Store; reopen(): Promise<Store>; remove(): Promise<void> }>,
): void {
  describe(`store contract: ${name}`, function () {
    this.timeout(30_000);
    let opened: Awaited<ReturnType<typeof open>>;
    let store: Store;
    beforeEach(async () => {
      opened = await open();
      store = opened.store;
      await migrate(store);
      await store.transact(() => query(`CREATE TABLE thing (name TEXT PRIMARY KEY, n BIGINT NOT NULL)`));
    });
    afterEach(async () => {
      await store.close();
      await opened.remove();
    });

    function* put(thing: string, n: number): Transaction<void> {
      yield* query(`INSERT INTO thing (name, n) VALUES (?, ?)`, thing, n);
    }
    const names = async (from = store) =>
      (await from.transact(() => query<{ name: string }>(`SELECT name FROM thing ORDER BY name`))).map(
        (row) => row.name,
      );

    it('of transactions that share a commit, one that throws fails alone and leaves nothing behind', async () => {
      const results = await Promise.allSettled([
        store.transact(() => put('a', 1)),
        store.transact(function* () {
          yield* put('b', 1);
          throw new Error('changed my mind');
        }),
        store.transact(() => put('c', 1)),
      ]);
      results.map((result) => result.status).should.deepEqual(['fulfilled', 'rejected', 'fulfilled']);
      should((results[1] as PromiseRejectedResult).reason.message).equal('changed my mind');
      (await names()).should.deepEqual(['a', 'c']);
    });

    it('a violated constraint undoes its own transaction only', async () => {
      const results = await Promise.allSettled([
        store.transact(() => put('a', 1)),
        store.transact(function* () {
          yield* put('b', 1);
          yield* put('a', 2);
        }),
        store.transact(() => put('c', 1)),
      ]);
      results.map((result) => result.status).should.deepEqual(['fulfilled', 'rejected', 'fulfilled']);
      (await names()).should.deepEqual(['a', 'c']);
    });

    it('a transaction sees what was committed before it, and of many at once none is lost', async () => {
      await store.transact(() => put('count', 0));
      const seen = await Promise.all(
        Array.from({ length: 450 }, () =>
          store.transact(function* () {
            const [row] = yield* query<{ n: number }>(`SELECT n FROM thing WHERE name = 'count'`);
            const next = Number(row?.n) + 1;
            yield* query(`UPDATE thing SET n = ? WHERE name = 'count'`, next);
            return next;
          }),
        ),
      );
      seen.sort((a, b) => a - b).should.deepEqual(Array.from({ length: 450 }, (_, index) => index + 1));
    });

    it('a row that may be kept in memory is read as it stands, whatever else writes, throws or shares its commit', async () => {
      const named = (name: string) => ({ table: 'thing', key: `thing ${name}` });
      /** As the database has it, and as it may be remembered. */
      function* compared(name: string): Transaction<void> {
        const sql = `SELECT n FROM thing WHERE name = ?`;
        const [stands] = yield* query<{ n: number }>(sql, name);
        const read = yield* queryKept<{ n: number }>(named(name), sql, name);
        should([name, read && Number(read.n)]).deepEqual([name, stands && Number(stands.n)]);
      }
      function* run(steps: [string, string, number][]): Transaction<void> {
        for (const [what, name, n] of steps) {
          if (what === 'write')
            yield {
              sql: `INSERT INTO thing (name, n) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET n = excluded.n`,
              parameters: [name, n],
              kept: { ...named(name), after: { n } },
            };
          else if (what === 'write otherwise') yield* query(`UPDATE thing SET n = n + 1 WHERE name = ?`, name);
          else if (what === 'delete') yield* change(`DELETE FROM thing WHERE name = ?`, name);
          else if (what === 'throw') throw new Error('changed my mind');
          yield* compared(name);
        }
      }
      const step = fc.tuple(
        fc.constantFrom('write', 'write', 'read', 'read', 'write otherwise', 'delete', 'throw'),
        fc.constantFrom('a', 'b'),
        fc.nat(9),
      );
      await fc.assert(
        fc.asyncProperty(fc.array(fc.array(step, { maxLength: 6 }), { maxLength: 6 }), async (transactions) => {
          const outcomes = await Promise.allSettled(transactions.map((steps) => store.transact(() => run(steps))));
          for (const outcome of outcomes)
            if (outcome.status === 'rejected') should(asError(outcome.reason).message).equal('changed my mind');
          for (const name of ['a', 'b']) await store.read(() => compared(name));
        }),
        { numRuns: 60 },
      );
    });

    it('a statement tells how many rows it changed', async () => {
      for (const name of ['a', 'b']) await store.transact(() => put(name, 1));
      const upsert = `INSERT INTO thing (name, n) VALUES ('b', 5), ('c', 5) ON CONFLICT (name) DO NOTHING`;
      should(await store.transact(() => change(upsert))).equal(1);
      should(await store.transact(() => change(`UPDATE thing SET n = 2 WHERE n = ?`, 1))).equal(2);
      should(await store.transact(() => change(`DELETE FROM thing WHERE name = 'd'`))).equal(0);
    });

    it('two that each look at what the other one writes have an order: of two on duty only one may leave', async () => {
      for (let round = 0; round < 20; round += 1) {
        const group = Array.from({ length: 4 }, (_, index) => `${round}-${index}`);
        await store.transact(function* () {
          for (const member of group) yield* put(member, 1);
        });
        await Promise.all(
          group.map((member) =>
            store.transact(function* () {
              const rows = yield* query(`SELECT name FROM thing WHERE name LIKE ? AND n = 1`, `${round}-%`);
              if (rows.length > 1) yield* query(`UPDATE thing SET n = 0 WHERE name = ?`, member);
            }),
          ),
        );
        const rows = await store.read(() => query(`SELECT name FROM thing WHERE name LIKE ? AND n = 1`, `${round}-%`));
        rows.should.have.length(1, `round ${round}`);
      }
    });

    it('money is moved between accounts in any order and at once: the sum stays, and every reader sees it whole', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.tuple(fc.nat(3), fc.nat(3), fc.integer({ min: 1, max: 60 })), { minLength: 5, maxLength: 25 }),
          async (transfers) => {
            await store.transact(function* () {
              yield* query(`DELETE FROM thing`);
              for (let account = 0; account < 4; account += 1) yield* put(`account ${account}`, 100);
            });
            const sums: Promise<number>[] = [];
            const moves = transfers.map(([from, to, amount]) => {
              sums.push(
                store.read(function* () {
                  let sum = 0;
                  for (let account = 0; account < 4; account += 1) {
                    const [row] = yield* query<{ n: number }>(
                      `SELECT n FROM thing WHERE name = ?`,
                      `account ${account}`,
                    );
                    sum += Number(row?.n);
                  }
                  return sum;
                }),
              );
              return store.transact(function* () {
                const [row] = yield* query<{ n: number }>(`SELECT n FROM thing WHERE name = ?`, `account ${from}`);
                if (Number(row?.n) < amount || from === to) return;
                const [other] = yield* query<{ n: number }>(`SELECT n FROM thing WHERE name = ?`, `account ${to}`);
                yield* query(`UPDATE thing SET n = ? WHERE name = ?`, Number(row?.n) - amount, `account ${from}`);
                yield* query(`UPDATE thing SET n = ? WHERE name = ?`, Number(other?.n) + amount, `account ${to}`);
              });
            });
            await Promise.all(moves);
            new Set(await Promise.all(sums)).should.deepEqual(new Set([400]));
            const rows = await store.read(() => query<{ n: number }>(`SELECT n FROM thing`));
            rows.reduce((sum, { n }) => sum + n, 0).should.equal(400);
            Math.min(...rows.map(({ n }) => n)).should.be.aboveOrEqual(0);
          },
        ),
        { numRuns: 10 },
      );
    });

    it('a read sees every commit that was resolved before it', async () => {
      await store.transact(() => put('count', 0));
      for (let n = 1; n <= 50; n += 1) {
        await store.transact(() => query(`UPDATE thing SET n = ? WHERE name = 'count'`, n));
        const [row] = await store.read(() => query<{ n: number }>(`SELECT n FROM thing WHERE name = 'count'`));
        should(row?.n).equal(n);
      }
    });

    it('a read that throws rejects with what it threw', async () => {
      should(
        await rejection(
          store.read(function* () {
            throw new Error('not found');
          }),
        ),
      ).equal('not found');
      await should(store.read(() => query(`SELECT nonsense FROM thing`))).be.rejectedWith(/nonsense/);
    });

    it('hands back values as they were given: text of any characters, whole numbers up to 2^53, null', async () => {
      await store.transact(() => query(`CREATE TABLE value (id INTEGER PRIMARY KEY, t TEXT, n BIGINT, e TEXT)`));
      const texts = [
        '',
        'Ünïcode "quoted" \u0001 💶',
        "it's ? $1 \\ %",
        'a\0b\0',
        '\0',
        '\u001a',
        '\u001a0\u001a\0\u001a1',
        '{"a":"\\u0000"}',
      ];
      const numbers = [0, -1, 1, 2 ** 31, 2 ** 32 + 1, -(2 ** 40), Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER];
      await store.transact(function* () {
        for (const [id, text] of texts.entries())
          yield* query(`INSERT INTO value (id, t, n, e) VALUES (?, ?, ?, ?)`, id, text, numbers[id], undefined);
      });
      const rows = await store.transact(() => query(`SELECT t, n, e FROM value ORDER BY id`));
      rows.map((row) => ({ ...row })).should.deepEqual(texts.map((t, id) => ({ t, n: numbers[id], e: null })));
      for (const [id, text] of texts.entries()) {
        const found = await store.read(() => query<{ id: number }>(`SELECT id FROM value WHERE t = ?`, text));
        found.map((row) => row.id).should.deepEqual([id]);
      }
    });

    it('counts, sums and questions are answered with numbers', async () => {
      await store.transact(function* () {
        yield* put('a', 2 ** 40);
        yield* put('b', 1);
      });
      const [row] = await store.read(() =>
        query(
          `SELECT COUNT(*) AS count, SUM(n) AS sum, MAX(n) AS max, CASE WHEN EXISTS (SELECT 1 FROM thing) THEN 1 ELSE 0 END AS any FROM thing`,
        ),
      );
      ({ ...row }).should.deepEqual({ count: 2, sum: 2 ** 40 + 1, max: 2 ** 40, any: 1 });
    });

    it('a question mark in quotes is no parameter', async () => {
      const [row] = await store.read(() => query(`SELECT '?' AS a, 'it''s ?' AS b, CAST(? AS TEXT) AS "c?"`, 'given'));
      ({ ...row }).should.deepEqual({ a: '?', b: "it's ?", 'c?': 'given' });
    });

    it('numbers its rows by itself', async () => {
      await store.transact(() => query(`CREATE TABLE counted (id ${store.dialect.id}, name TEXT)`));
      const ids: number[] = [];
      for (const name of ['a', 'b', 'c']) {
        const [row] = await store.transact(() =>
          query<{ id: number }>(`INSERT INTO counted (name) VALUES (?) RETURNING id`, name),
        );
        ids.push(row!.id);
      }
      (ids[0]! < ids[1]! && ids[1]! < ids[2]!).should.be.true();
    });

    it("the database's time, where it has one, is in milliseconds and near ours", async () => {
      const { now } = store.dialect;
      if (now === undefined) return;
      const [row] = await store.read(() => query<{ now: number }>(`SELECT ${now} AS now`));
      should(row?.now).be.a.Number();
      Math.abs(Date.now() - row!.now).should.be.below(60_000);
    });

    it('what was resolved is there after a new start', async () => {
      await store.transact(() => put('kept', 1));
      await store.close();
      store = await opened.reopen();
      (await names()).should.deepEqual(['kept']);
    });

    it('writes what was begun before it was closed, and refuses what comes after', async () => {
      const before = store.transact(() => put('last', 1));
      const closing = store.close();
      (await rejection(store.transact(() => put('late', 1))))!.should.equal('LEDGER_CLOSED');
      (await rejection(store.read(() => query(`SELECT 1`))))!.should.equal('LEDGER_CLOSED');
      await Promise.all([before, closing]);
      await new Promise((resolve) => setImmediate(resolve));
      await store.close();
      store = await opened.reopen();
      (await names()).should.deepEqual(['last']);
    });

    it('the schema may be brought up to date any number of times', async () => {
      await migrate(store);
      await migrate(store);
    });

    it('refuses a ledger that a newer version wrote', async () => {
      await store.transact(() => query(`UPDATE meta SET value = '999' WHERE key = 'schema'`));
      should(await rejection(migrate(store))).equal('LEDGER_FROM_NEWER_VERSION');
    });
  });
}

storeContract('PostgreSQL', async () => {
  const url = await (await postgres()).createDatabase();
  return {
    store: await openPostgres(url),
    reopen: () => openPostgres(url),
    remove: async () => undefined,
  };
});

storeContract('PostgreSQL, in a schema of its own', async () => {
  const url = `${await (await postgres()).createDatabase()}?schema=dropline_test`;
  return {
    store: await openPostgres(url),
    reopen: () => openPostgres(url),
    remove: async () => undefined,
  };
});

storeContract('SQLite', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'dropline-store-'));
  const file = join(folder, 'sub', 'ledger.sqlite');
  return {
    store: await openSqlite(file),
    reopen: () => openSqlite(file),
    remove: async () => rmSync(folder, { recursive: true, force: true }),
  };
});

describe('the SQLite file of the ledger', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'dropline-store-'));
  });
  afterEach(() => {
    chmodSync(folder, 0o700);
    rmSync(folder, { recursive: true, force: true });
  });

  it('belongs to one process at a time, and is free again as soon as its holder is killed', async () => {
    const file = join(folder, 'ledger.sqlite');
    const holder = await holding(file);
    try {
      should(await rejection(openSqlite(file))).equal('LEDGER_IN_USE');
    } finally {
      holder.kill('SIGKILL');
    }
    await once(holder, 'exit');
    const store = await openSqlite(file);
    const rows = await store.transact(() => query<{ n: number }>(`SELECT n FROM thing`));
    rows.map((row) => row.n).should.deepEqual([7]);
    await store.close();
  });

  it('a second opening in the same process is refused too, and free after the first is closed', async () => {
    const file = join(folder, 'ledger.sqlite');
    const first = await openSqlite(file);
    should(await rejection(openSqlite(file))).equal('LEDGER_IN_USE');
    await first.close();
    await (await openSqlite(file)).close();
  });

  it('a file that is no database is refused with what to do, and left as it is', async () => {
    const file = join(folder, 'ledger.sqlite');
    writeFileSync(file, 'this is not a database, but it is long enough to be taken for one'.repeat(100));
    should(await rejection(openSqlite(file))).equal('LEDGER_CORRUPT');
    should(await rejection(openSqlite(file))).equal('LEDGER_CORRUPT');
  });

  it('a folder that cannot be made or written is refused with what to do', async function () {
    writeFileSync(join(folder, 'file'), '');
    should(await rejection(openSqlite(join(folder, 'file', 'ledger.sqlite')))).equal('LEDGER_UNREADABLE');
    if (process.getuid?.() === 0) return;
    chmodSync(folder, 0o500);
    should(await rejection(openSqlite(join(folder, 'ledger.sqlite')))).equal('LEDGER_UNREADABLE');
  });
});

/** Another process that has opened the ledger, written to it and goes on holding it. */
async function holding(file: string): Promise<ChildProcess> {
  const script = `
    import { openSqlite } from ${JSON.stringify(new URL('../../ledger/sqlite.ts', import.meta.url).href)};
    import { query } from ${JSON.stringify(new URL('../../ledger/store.ts', import.meta.url).href)};
    const store = await openSqlite(${JSON.stringify(file)});
    await store.transact(() => query('CREATE TABLE thing (n BIGINT)'));
    await store.transact(() => query('INSERT INTO thing (n) VALUES (7)'));
    process.stdout.write('open');
    setInterval(() => store.transact(() => query('SELECT 1')), 1000);
  `;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout!, 'data');
  return child;
}
