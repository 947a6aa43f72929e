import { inspect } from 'node:util';
import { setTimeout as delay } from 'node:timers/promises';
import should from 'should';
import { describeDatabase, openPostgres } from '../../ledger/postgres.ts';
import { migrate } from '../../ledger/schema.ts';
import { query, type Store, type Transaction } from '../../ledger/store.ts';
import { ConfigurationMistake, DroplineError, TemporaryFault } from '../../orders/errors.ts';
import { openLine, postgres, startPostgres, type Line, type Postgres } from '../support/postgres.ts';
import { rejection } from './harness.ts';

/** No message, log or error may hold it. */
const CANARY = 'canary-7f3e';

describe('The ledger in PostgreSQL', function () {
  this.timeout(60_000);

  let server: Postgres;
  let line: Line;
  let store: Store;
  const warnings: Error[] = [];
  const hear = (thrown: unknown) => void warnings.push(thrown as Error);

  before(async () => {
    server = await startPostgres();
    process.on('uncaughtExceptionMonitor', hear);
  });
  after(async () => {
    process.removeListener('uncaughtExceptionMonitor', hear);
    await server.stop();
    warnings.should.deepEqual([]);
  });

  beforeEach(async () => {
    line = await openLine(await server.createDatabase());
    store = await openPostgres(line.url);
    await store.transact(function* () {
      yield* query(`CREATE TABLE thing (name TEXT PRIMARY KEY, n BIGINT NOT NULL)`);
      yield* query(`CREATE TABLE entry (id ${store.dialect.id}, name TEXT NOT NULL)`);
      yield* query(`INSERT INTO thing (name, n) VALUES ('a', 0), ('b', 0)`);
    });
  });
  afterEach(async () => {
    await store.close();
    await line.close();
  });

  /** Counts in two tables: half of it would show. */
  function* count(name = 'a'): Transaction<number> {
    yield* query(`INSERT INTO entry (name) VALUES (?)`, name);
    const [row] = yield* query<{ n: number }>(`UPDATE thing SET n = n + 1 WHERE name = ? RETURNING n`, name);
    return Number(row?.n);
  }
  const counted = async (name = 'a') => {
    const [row] = await store.read(() =>
      query<{ n: number; entries: number }>(
        `SELECT n, (SELECT COUNT(*) FROM entry WHERE name = thing.name) AS entries FROM thing WHERE name = ?`,
        name,
      ),
    );
    return row!;
  };

  it('a transaction whose connection breaks in its midst is run again, and counts once', async () => {
    let runs = 0;
    await store.transact(function* () {
      runs += 1;
      yield* query(`INSERT INTO entry (name) VALUES ('a')`);
      if (runs === 1) line.cut();
      yield* query(`UPDATE thing SET n = n + 1 WHERE name = 'a'`);
    });
    runs.should.equal(2);
    ({ ...(await counted()) }).should.deepEqual({ n: 1, entries: 1 });
  });

  it('a connection that breaks before COMMIT reaches the server: run again, counts once', async () => {
    line.cutAt('COMMIT', 'before');
    (await store.transact(() => count())).should.equal(1);
    ({ ...(await counted()) }).should.deepEqual({ n: 1, entries: 1 });
  });

  it('a connection that breaks after COMMIT has reached the server: run again whole, never half', async () => {
    line.cutAt('COMMIT', 'after');
    (await store.transact(() => count())).should.equal(2);
    ({ ...(await counted()) }).should.deepEqual({ n: 2, entries: 2 });
  });

  it('idle connections that break are replaced without a word', async () => {
    await Promise.all(Array.from({ length: 20 }, () => store.transact(() => count())));
    const before = line.opened();
    line.cut();
    await delay(50);
    await Promise.all(Array.from({ length: 20 }, () => store.transact(() => count())));
    (await counted()).n.should.equal(40);
    line.opened().should.be.above(before);
  });

  it('a server that dies under 50 transactions and comes back: all resolve, none lost, none half', async () => {
    const work = Array.from({ length: 50 }, async (_, index) => {
      await delay(index * 8);
      return store.transact(() => count(index % 2 ? 'a' : 'b'));
    });
    await delay(150);
    await server.restart('immediate');
    const results = await Promise.allSettled(work);
    results.filter((result) => result.status === 'rejected').should.deepEqual([]);
    for (const name of ['a', 'b']) {
      const { n, entries } = await counted(name);
      n.should.equal(entries);
      // One whose COMMIT was under way may have been done twice.
      n.should.be.within(25, 25 + 8);
    }
  });

  it('a server that stays down: refused as LEDGER_UNAVAILABLE within seconds, with what to do; afterwards all goes on', async () => {
    await server.halt('immediate');
    try {
      const began = Date.now();
      const faults = await Promise.all(
        Array.from({ length: 60 }, () =>
          store
            .transact(() => count())
            .then(
              () => undefined,
              (thrown: unknown) => thrown,
            ),
        ),
      );
      (Date.now() - began).should.be.below(9000);
      for (const fault of faults) {
        should(fault).be.instanceOf(TemporaryFault);
        (fault as TemporaryFault).code.should.equal('LEDGER_UNAVAILABLE');
        (fault as TemporaryFault).message.should
          .match(/ECONNREFUSED|ECONNRESET|terminated/)
          .and.match(/Check that the server runs/);
        (fault as TemporaryFault).retryAfter!.should.be.within(1000, 30_000);
      }
      should(await rejection(store.read(() => query(`SELECT 1`)))).equal('LEDGER_UNAVAILABLE');
    } finally {
      await server.start();
    }
    (await store.transact(() => count())).should.equal(1);
  });

  it('a line that swallows everything: refused within seconds, and the next transaction takes a new connection', async () => {
    await Promise.all(Array.from({ length: 8 }, () => store.transact(() => count())));
    line.blackHole();
    const began = Date.now();
    const refused = await Promise.all([
      rejection(store.transact(() => count())),
      rejection(store.read(() => query(`SELECT 1`))),
    ]);
    refused.should.deepEqual(['LEDGER_UNAVAILABLE', 'LEDGER_UNAVAILABLE']);
    (Date.now() - began).should.be.below(15_000);
    line.clear();
    const again = Date.now();
    await store.transact(() => count('b'));
    (Date.now() - again).should.be.below(1000);
  });

  it('a silent failure of old connections alone costs a wait, not a transaction', async () => {
    await Promise.all(Array.from({ length: 8 }, () => store.transact(() => count())));
    line.blackHole();
    const waiting = Promise.all(Array.from({ length: 8 }, () => store.transact(() => count('b'))));
    await delay(200);
    line.clear();
    await waiting;
    (await counted('b')).n.should.be.aboveOrEqual(8);
  });

  it('a frozen server is given up, and used again when it goes on', async () => {
    server.freeze();
    try {
      should(await rejection(store.transact(() => count()))).equal('LEDGER_UNAVAILABLE');
    } finally {
      server.thaw();
    }
    (await store.transact(() => count())).should.be.aboveOrEqual(1);
    const { n, entries } = await counted();
    n.should.equal(entries);
  });

  it('a process that stands still in a transaction gives its rows free within seconds, and comes back to a transaction of its own', async () => {
    let runs = 0;
    const standing = await openPostgres(line.url);
    const stands = standing.transact(function* () {
      runs += 1;
      yield* query(`UPDATE thing SET n = n + 100 WHERE name = 'a'`);
      // Longer than the server waits for a word: as SIGSTOP does, this lets nothing of the process go on.
      if (runs === 1) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 4500);
    });
    await stands;
    await standing.close();
    runs.should.equal(2);
    (await counted()).n.should.equal(100);
  });

  it('a row that a stopped process holds is had within seconds', async () => {
    const holder = new (await import('pg')).default.Client({ connectionString: line.url });
    holder.on('error', () => undefined);
    await holder.connect();
    await holder.query(`BEGIN; SET LOCAL idle_in_transaction_session_timeout = 3000`);
    await holder.query(`UPDATE thing SET n = 77 WHERE name = 'a'`);
    (await store.transact(() => count())).should.equal(1);
    await holder.end().catch(() => undefined);
  });

  it('five that open an empty database at once all succeed, and its schema is made once', async () => {
    const url = await server.createDatabase();
    const stores = await Promise.all(Array.from({ length: 5 }, () => openPostgres(`${url}?schema=shared`)));
    await Promise.all(stores.map((each) => migrate(each)));
    for (const each of stores) await each.close();
    const tables = await server.sql(
      `SELECT COUNT(*)::int AS n FROM pg_tables WHERE schemaname = 'shared' AND tablename = 'event'`,
      url,
    );
    tables.should.deepEqual([{ n: 1 }]);
  });

  it('a change of the schema may take its time, and whoever waits for it as well', async () => {
    const { alone } = store.dialect;
    const other = await openPostgres(line.url);
    const order: string[] = [];
    const slow = store.transact(function* () {
      yield* query(alone!);
      yield* query(`SELECT pg_sleep(6)`);
      order.push('slow');
    });
    await delay(100);
    const waiting = other.transact(function* () {
      yield* query(alone!);
      order.push('waiting');
    });
    await Promise.all([slow, waiting]);
    await other.close();
    order.should.deepEqual(['slow', 'waiting']);
  });

  it('a change of the tables by a newer instance does not break the statements of this one', async () => {
    const all = () => store.transact(() => query(`SELECT * FROM thing ORDER BY name`));
    await all();
    await all();
    const other = await openPostgres(line.url);
    await other.transact(() => query(`ALTER TABLE thing ADD COLUMN more TEXT`));
    await other.close();
    (await all())
      .map((row) => ({ ...row }))
      .should.deepEqual([
        { name: 'a', n: 0, more: null },
        { name: 'b', n: 0, more: null },
      ]);
  });

  it('lost names of prepared statements, as behind an old PgBouncer, cost a repetition and nothing else', async () => {
    await store.transact(() => count());
    // What another client of the pooler does on the same connection, in the eyes of this one.
    await store.transact(() => query(`DEALLOCATE ALL`));
    for (let n = 2; n <= 12; n += 1) (await store.transact(() => count())).should.equal(n);
  });

  it('a server that has become a standby or lets nobody write is refused, for reads of a standby too', async () => {
    const database = new URL(line.url).pathname.slice(1);
    await server.sql(`ALTER DATABASE ${database} SET default_transaction_read_only = on`);
    line.cut();
    const fault = (await store.transact(() => count()).catch((thrown: unknown) => thrown)) as DroplineError;
    fault.code.should.equal('LEDGER_UNAVAILABLE');
    fault.message.should.match(/read-only/);
    await server.sql(`ALTER DATABASE ${database} RESET default_transaction_read_only`);
    line.cut();
    (await store.transact(() => count())).should.equal(1);
  });

  it('commits are waited for, whatever the role says', async () => {
    const database = new URL(line.url).pathname.slice(1);
    await server.sql(`ALTER DATABASE ${database} SET synchronous_commit = off`);
    line.cut();
    const setting = () =>
      store
        .transact(() => query<{ s: string }>(`SELECT current_setting('synchronous_commit') AS s`))
        .then(([row]) => row?.s);
    should(await setting()).equal('on');
    await server.sql(`ALTER DATABASE ${database} SET synchronous_commit = remote_apply`);
    line.cut();
    should(await setting()).equal('remote_apply');
  });

  it('nothing stays in the session: what one transaction sets, the next one does not see', async () => {
    const rows = await server.sql(`SHOW search_path`, line.url);
    rows.should.deepEqual([{ search_path: '"$user", public' }]);
    const other = await openPostgres(`${line.url}?schema=elsewhere`);
    const client = (text: string) => other.transact(() => query<{ s: string }>(text)).then(([row]) => row?.s);
    should(await client(`SELECT current_schema() AS s`)).equal('elsewhere');
    await other.close();
    const left = await server.sql(`SELECT COUNT(*)::int AS n FROM pg_locks WHERE locktype = 'advisory'`);
    left.should.deepEqual([{ n: 0 }]);
  });

  it('closing does not wait for a server that has gone silent', async () => {
    line.blackHole();
    const began = Date.now();
    await store.close();
    (Date.now() - began).should.be.below(4000);
  });
});

describe('The address of a ledger in PostgreSQL', function () {
  this.timeout(30_000);

  const failure = async (url: string): Promise<DroplineError> => {
    const thrown: unknown = await openPostgres(url).then(
      () => undefined,
      (error: unknown) => error,
    );
    should(thrown).be.instanceOf(DroplineError, `${url} was opened`);
    inspect(thrown, { depth: 12, showHidden: true }).should.not.containEql(CANARY);
    return thrown as DroplineError;
  };

  it('a wrong password is told as such', async () => {
    const server = await startPostgres({ password: 'right' });
    try {
      const fault = await failure(`postgres://postgres:${CANARY}@127.0.0.1:${server.port}/postgres`);
      fault.should.be.instanceOf(ConfigurationMistake);
      fault.code.should.equal('LEDGER_UNREADABLE');
      fault.message.should.match(/password authentication failed/).and.match(/Check the user and the password/);
      const none = await failure(`postgres://postgres@127.0.0.1:${server.port}/postgres`);
      none.message.should.match(/Check the user and the password/);
      let password = CANARY;
      const url = () => `postgres://postgres:${password}@127.0.0.1:${server.port}/postgres`;
      password = 'right';
      const store = await openPostgres(url);
      await server.sql(`ALTER USER postgres PASSWORD 'newer'`, url());
      await server.halt('immediate');
      await server.start();
      should(await rejection(store.read(() => query(`SELECT 1`)))).equal('LEDGER_UNAVAILABLE');
      password = 'newer';
      (await store.read(() => query(`SELECT 1 AS n`))).should.have.length(1);
      await store.close();
    } finally {
      await server.stop();
    }
  });

  it('a database that does not exist, and a right that is missing, are told as such', async () => {
    const server = await postgres();
    const missing = await failure(`postgres://postgres:${CANARY}@127.0.0.1:${server.port}/nowhere`);
    missing.code.should.equal('LEDGER_UNREADABLE');
    missing.message.should.match(/"nowhere" does not exist/).and.match(/Create the database/);
    const url = new URL(await server.createDatabase());
    await server.sql(`CREATE ROLE weak LOGIN`);
    url.username = 'weak';
    url.password = CANARY;
    const weak = await failure(`${url.href}?schema=own`);
    weak.code.should.equal('LEDGER_UNREADABLE');
    weak.message.should.match(/permission denied/).and.match(/Grant its user CREATE/);
  });

  it('a server that is not there may come: a temporary fault', async () => {
    const began = Date.now();
    for (const host of ['127.0.0.1:1', 'localhost:1', 'no-such-host.invalid:5432']) {
      const fault = await failure(`postgres://postgres:${CANARY}@${host}/ledger`);
      fault.should.be.instanceOf(TemporaryFault);
      fault.code.should.equal('LEDGER_UNAVAILABLE');
      fault.message.should.match(/ECONNREFUSED|ENOTFOUND|EAI_AGAIN/).and.containEql(host);
    }
    (Date.now() - began).should.be.below(20_000);
  });

  it('what is no address is refused, and nothing of it is shown', async () => {
    for (const url of [
      `postgres://user:${CANARY}#x@host/db`,
      `postgres://user:12#${CANARY}@host/db`,
      `postgres://user:12/${CANARY}@host/db`,
      `postgres://user:12?${CANARY}@host/db`,
      `postgres://user:${CANARY}@host`,
      `postgres://user:${CANARY}%@host/db`,
      `postgres://user:${CANARY}@host/db/more`,
      `postgres://user:${CANARY}@host/db?schema=Ab-c`,
      `postgres:${CANARY}`,
      `mysql://user:${CANARY}@host/db`,
      CANARY,
    ]) {
      const fault = await failure(url);
      fault.code.should.equal('LEDGER_URL_INVALID');
      fault.message.should.match(/postgres:\/\/user:password@host:5432\/database/);
    }
  });

  it('is shown without its password', () => {
    describeDatabase(
      `postgres://dropline:${CANARY}@db.example:6432/ledger?schema=shop&sslmode=verify-full`,
    ).should.equal('postgres://dropline@db.example:6432/ledger?schema=shop');
    describeDatabase(`postgresql://db.example/ledger`).should.equal('postgres://db.example/ledger');
  });
});
