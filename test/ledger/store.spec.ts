import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import should from 'should';
import { migrate, SQLITE, type Dialect } from '../../ledger/schema.ts';
import { openSqlite } from '../../ledger/sqlite.ts';
import { query, type Store, type Transaction } from '../../ledger/store.ts';
import { rejection } from './harness.ts';

/** What every backend must keep. `open` gives a store with an empty schema; `reopen` opens the same database anew. */
export function storeContract(
  name: string,
  open: () => Promise<{ store: Store; dialect: Dialect; reopen(): Promise<Store>; remove(): Promise<void> }>,
): void {
  describe(`store contract: ${name}`, () => {
    let opened: Awaited<ReturnType<typeof open>>;
    let store: Store;
    beforeEach(async () => {
      opened = await open();
      store = opened.store;
      await migrate(store, opened.dialect);
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

    it('a transaction sees what an earlier one wrote, in the order in which they were begun', async () => {
      const seen: number[] = [];
      await store.transact(() => put('count', 0));
      await Promise.all(
        Array.from({ length: 450 }, () =>
          store
            .transact(function* () {
              const [row] = yield* query<{ n: number }>(`UPDATE thing SET n = n + 1 WHERE name = 'count' RETURNING n`);
              return Number(row?.n);
            })
            .then((n) => seen.push(n)),
        ),
      );
      seen.should.deepEqual(Array.from({ length: 450 }, (_, index) => index + 1));
    });

    it('hands back values as they were given: text, whole numbers up to 2^53, null', async () => {
      await store.transact(() => query(`CREATE TABLE value (t TEXT, n BIGINT, e TEXT)`));
      const text = 'Ünïcode "quoted" \u0001 💶';
      await store.transact(() =>
        query(`INSERT INTO value (t, n, e) VALUES (?, ?, ?)`, text, Number.MAX_SAFE_INTEGER, undefined),
      );
      const [row] = await store.transact(() => query(`SELECT t, n, e FROM value`));
      ({ ...row }).should.deepEqual({ t: text, n: Number.MAX_SAFE_INTEGER, e: null });
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
      await Promise.all([before, closing]);
      await new Promise((resolve) => setImmediate(resolve));
      await store.close();
      store = await opened.reopen();
      (await names()).should.deepEqual(['last']);
    });

    it('the schema may be brought up to date any number of times', async () => {
      await migrate(store, opened.dialect);
      await migrate(store, opened.dialect);
    });

    it('refuses a ledger that a newer version wrote', async () => {
      await store.transact(() => query(`UPDATE meta SET value = '999' WHERE key = 'schema'`));
      should(await rejection(migrate(store, opened.dialect))).equal('LEDGER_FROM_NEWER_VERSION');
    });
  });
}

storeContract('SQLite', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'dropline-store-'));
  const file = join(folder, 'sub', 'ledger.sqlite');
  return {
    store: await openSqlite(file),
    dialect: SQLITE,
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
    should(await rejection(openSqlite(file))).equal('LEDGER_UNREADABLE');
    should(await rejection(openSqlite(file))).equal('LEDGER_UNREADABLE');
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
