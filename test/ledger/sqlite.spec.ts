import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import should from 'should';
import { migrate } from '../../ledger/schema.ts';
import { networkWarning, openSqlite } from '../../ledger/sqlite.ts';
import { query, queryOne, type Store, type Transaction } from '../../ledger/store.ts';
import { rejection } from './harness.ts';

const LARGE = 'x'.repeat(3000);

function* put(n: number): Transaction<void> {
  yield* query(`INSERT INTO thing (n, body) VALUES (?, ?)`, n, LARGE);
}

function* numbers(): Transaction<number[]> {
  return (yield* query<{ n: number }>(`SELECT n FROM thing ORDER BY n`)).map((row) => row.n);
}

/** A ledger with `count` rows of a page each. */
async function ledgerWith(file: string, count: number): Promise<Store> {
  const store = await openSqlite(file);
  await migrate(store);
  await store.transact(() => query(`CREATE TABLE thing (n BIGINT PRIMARY KEY, body TEXT NOT NULL)`));
  await Promise.all(Array.from({ length: count }, (_, n) => store.transact(() => put(n))));
  return store;
}

/** No page more than there are now: to SQLite the same as a disk that is full. */
async function fill(store: Store): Promise<void> {
  const pages = await store.transact(() => queryOne<{ page_count: number }>(`PRAGMA page_count`));
  await store.transact(() => query(`PRAGMA max_page_count = ${pages!.page_count}`));
}

const makeRoom = (store: Store) => store.transact(() => query(`PRAGMA max_page_count = 1000000`));

const outcome = (promise: Promise<unknown>) =>
  promise.then(
    () => 'stored',
    (error: Error & { code?: string }) => `${error.code}: ${error.message}`,
  );

describe('what the SQLite ledger has answered', () => {
  let folder: string;
  let store: Store;
  /** What the disk is asked to keep, until it says that it does. */
  let asked: ((error: Error | null) => void)[];
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'dropline-sync-'));
    asked = [];
    let hold = false;
    store = await openSqlite(join(folder, 'ledger.sqlite'), (_file, done) => {
      if (hold) asked.push(done);
      else done(null);
    });
    await migrate(store);
    await store.transact(() => query(`CREATE TABLE thing (n BIGINT PRIMARY KEY, body TEXT NOT NULL)`));
    hold = true;
  });
  afterEach(async () => {
    for (const done of asked.splice(0)) done(null);
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const turns = async (count: number) => {
    for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
  };

  it('the disk keeps: nobody is told before it says so, and what came meanwhile waits for its own turn', async () => {
    const told: number[] = [];
    for (const n of [1, 2]) void store.transact(() => put(n)).then(() => told.push(n));
    await turns(5);
    asked.length.should.equal(1);
    void store.transact(() => put(3)).then(() => told.push(3));
    await turns(5);
    should([told, asked.length]).deepEqual([[], 1]);
    asked.shift()!(null);
    await turns(5);
    should([told, asked.length]).deepEqual([[1, 2], 1]);
    asked.shift()!(null);
    await turns(5);
    told.should.deepEqual([1, 2, 3]);
  });

  it('a transaction that only reads what the disk does not keep yet waits as well', async () => {
    void store.transact(() => put(1));
    await turns(5);
    let seen: number[] | undefined;
    void store.transact(numbers).then((found) => (seen = found));
    await turns(5);
    should(seen).be.undefined();
    asked.shift()!(null);
    await turns(5);
    asked.shift()!(null);
    await turns(5);
    seen!.should.deepEqual([1]);
  });

  it('what need not be kept before it is told of is told once it is written, and its successor waits for the disk to keep both', async () => {
    const told: number[] = [];
    void store.transact(() => put(1), true).then(() => told.push(1));
    await turns(5);
    should([told, asked.length]).deepEqual([[1], 1]);
    void store.transact(() => put(2)).then(() => told.push(2));
    await turns(5);
    should([told, asked.length]).deepEqual([[1], 1]);
    asked.shift()!(null);
    await turns(5);
    should([told, asked.length]).deepEqual([[1], 1]);
    asked.shift()!(null);
    await turns(5);
    told.should.deepEqual([1, 2]);
  });

  it('when the disk did not keep it nobody is told that it did, and nothing is taken any more', async () => {
    const first = outcome(store.transact(() => put(1)));
    await turns(5);
    const second = outcome(store.transact(() => put(2)));
    asked.shift()!(new Error('EIO: i/o error, fdatasync'));
    (await first).should.match(/^LEDGER_UNAVAILABLE: The disk did not keep .* start Node-RED again/);
    (await second).should.match(/^LEDGER_UNAVAILABLE/);
    (await outcome(store.transact(() => put(3)))).should.match(/^LEDGER_UNAVAILABLE/);
    asked.length.should.equal(0);
  });

  it('what is under way when it is closed is kept and told', async () => {
    const first = outcome(store.transact(() => put(1)));
    await turns(5);
    const second = outcome(store.transact(() => put(2)));
    const closed = store.close();
    await turns(5);
    asked.shift()!(null);
    await closed;
    should([await first, await second]).deepEqual(['stored', 'stored']);
  });
});

describe('the SQLite file of the ledger, when the disk fails it', () => {
  let folder: string;
  let file: string;
  let store: Store | undefined;
  let child: ChildProcess | undefined;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'dropline-sqlite-'));
    file = join(folder, 'ledger.sqlite');
  });
  afterEach(async () => {
    child?.kill('SIGKILL');
    child = undefined;
    await store?.close();
    store = undefined;
    rmSync(folder, { recursive: true, force: true });
  });

  it('on a full disk nothing is taken for stored, the refusal says what to do, and with space again it goes on by itself', async () => {
    store = await ledgerWith(file, 20);
    await fill(store);
    const refused = await Promise.all([100, 101, 102].map((n) => outcome(store!.transact(() => put(n)))));
    for (const each of refused) should(each).match(/^LEDGER_UNAVAILABLE: .*disk is full: free some space.*by itself/);
    (await store.read(numbers)).should.have.length(20);
    await makeRoom(store);
    should(await outcome(store.transact(() => put(200)))).equal('stored');
    (await store.read(numbers)).should.have.length(21);
    await store.close();
    store = await openSqlite(file);
    (await store.read(numbers)).should.have.length(21);
  });

  it('of transactions that share a commit with one that meets the full disk, none is taken for stored', async () => {
    store = await ledgerWith(file, 20);
    await store.transact(() => query(`CREATE TABLE small (n BIGINT)`));
    await fill(store);
    const results = await Promise.all([
      outcome(store.transact(() => query(`INSERT INTO small (n) VALUES (1)`))),
      outcome(store.transact(() => put(100))),
    ]);
    for (const each of results) should(each).match(/^LEDGER_UNAVAILABLE/);
    (await store.read(() => query(`SELECT n FROM small`))).should.have.length(0);
    // Alone it fits on a page that there is.
    should(await outcome(store.transact(() => query(`INSERT INTO small (n) VALUES (1)`)))).equal('stored');
  });

  it('when writes to the file fail, what was resolved is there, what was rejected is not, and it goes on when they work again', async function () {
    if (spawnSync('prlimit', ['--version']).status !== 0) return this.skip();
    child = spawn(
      'sh',
      ['-c', `ulimit -S -f 400; exec "$0" --input-type=module --eval "$1"`, process.execPath, FILLER(file)],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
    const next = async () => JSON.parse((await lines.next()).value as string) as { stored: number; failed: string };
    const full = await next();
    should(full.failed).match(/^LEDGER_UNAVAILABLE: The ledger cannot be written .* (space|full)/);
    should(full.stored).be.above(10);
    spawnSync('prlimit', ['--fsize=unlimited:unlimited', '--pid', String(child.pid)]).status!.should.equal(0);
    child.stdin!.write('there is space again\n');
    const after = await next();
    should(after.failed).equal('');
    should(after.stored).equal(full.stored + 1);
    child.kill('SIGKILL');
    await once(child, 'exit');
    store = await openSqlite(file);
    const [row] = await store.read(() => query<{ n: number }>(`SELECT COUNT(*) AS n FROM thing`));
    should(row!.n).equal(after.stored);
  });

  it('when it may only be read, nothing is taken for stored, and the refusal names the right that is missing', async () => {
    store = await ledgerWith(file, 3);
    await store.transact(() => query(`PRAGMA query_only = ON`));
    should(await outcome(store.transact(() => put(100)))).match(/^LEDGER_UNAVAILABLE: .*needs the right to write/);
    (await store.read(numbers)).should.have.length(3);
    await store.transact(() => query(`PRAGMA query_only = OFF`)).catch(() => undefined);
  });

  it('a file that may only be read is not opened', async function () {
    if (process.getuid?.() === 0) return this.skip();
    await (await ledgerWith(file, 3)).close();
    chmodSync(file, 0o400);
    should(await rejection(openSqlite(file))).equal('LEDGER_UNREADABLE');
    chmodSync(file, 0o600);
  });

  it('a transaction that fails by its own mistake is no fault of the database', async () => {
    store = await ledgerWith(file, 3);
    should(await rejection(store.transact(() => put(1)))).equal('ERR_SQLITE_ERROR');
    should(await rejection(store.transact(() => query(`SELECT nonsense`)))).equal('ERR_SQLITE_ERROR');
    should(await outcome(store.transact(() => put(50)))).equal('stored');
  });

  it('the log of a killed process is taken in: all that was resolved is there', async () => {
    child = spawn(process.execPath, ['--input-type=module', '--eval', WRITER(file)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout!, 'data');
    child.kill('SIGKILL');
    await once(child, 'exit');
    should(statSync(`${file}-wal`).size).be.above(10_000);
    store = await openSqlite(file);
    should((await store.read(numbers)).length).be.aboveOrEqual(30);
  });

  it('its log stays small while it is written to', async () => {
    store = await ledgerWith(file, 20);
    for (let round = 0; round < 120; round += 1)
      await Promise.all(Array.from({ length: 200 }, (_, n) => store!.transact(() => put(1000 + round * 200 + n))));
    should(statSync(file).size).be.above(60_000_000);
    should(statSync(`${file}-wal`).size).be.below(40_000_000);
  });

  it('what is replaced or deleted is nowhere in the file any more', async () => {
    store = await ledgerWith(file, 20);
    const canary = 'CANARY-OF-A-CUSTOMER ';
    await store.transact(() => query(`INSERT INTO thing (n, body) VALUES (900, ?)`, canary.repeat(2000)));
    await store.transact(() => query(`INSERT INTO thing (n, body) VALUES (901, ?)`, canary));
    await store.transact(() => query(`UPDATE thing SET body = 'short' WHERE n = 900`));
    await store.transact(() => query(`DELETE FROM thing WHERE n = 901`));
    await store.close();
    readFileSync(file).includes('CANARY').should.be.false();
  });

  describe('and is damaged', () => {
    const DAMAGED =
      /^LEDGER_CORRUPT: .*damaged.* 1\. Stop Node-RED\. 2\. Move .*-wal.* 3\. Copy the newest backup .* 4\. Start/;

    it('in its beginning or cut off, it is not opened, and the refusal says how the backup is put back', async () => {
      await (await ledgerWith(file, 50)).close();
      const sound = readFileSync(file);
      writeFileSync(file, Buffer.concat([Buffer.alloc(4096, 7), sound.subarray(4096)]));
      should(await outcome(openSqlite(file))).match(DAMAGED);
      writeFileSync(file, sound);
      truncateSync(file, 40_960);
      should(await outcome(openSqlite(file))).match(DAMAGED);
      // The lock was given back, and a sound file in its place is taken.
      writeFileSync(file, sound);
      store = await openSqlite(file);
      (await store.read(numbers)).should.have.length(50);
    });

    it('in its middle, what meets the damage stops every further write', async () => {
      await (await ledgerWith(file, 200)).close();
      damage(file);
      store = await openSqlite(file);
      should(await outcome(store.read(() => query(`SELECT SUM(LENGTH(body)) FROM thing`)))).match(DAMAGED);
      should(await outcome(store.transact(() => put(1000)))).match(DAMAGED);
      should(await outcome(store.read(() => query(`SELECT 1`)))).match(DAMAGED);
      await store.close();
      store = await openSqlite(file);
      const [row] = await store.read(() => query<{ n: number }>(`SELECT COUNT(*) AS n FROM thing WHERE n = 1000`));
      should(row!.n).equal(0);
    });

    it('opening does not read all of a large file: a full check takes many times as long', async () => {
      store = await ledgerWith(file, 20_000);
      let begun = performance.now();
      await store.read(() => query(`PRAGMA integrity_check`));
      const check = performance.now() - begun;
      await store.close();
      begun = performance.now();
      store = await openSqlite(file);
      should(performance.now() - begun).be.below(check / 2);
    });
  });

  it('on a network drive it warns, elsewhere it does not', () => {
    const types = { 0x6969: true, 0xff534d42: true, 0xef53: false, 0x01021994: false };
    for (const [type, warns] of Object.entries(types))
      should(networkWarning(file, () => Number(type)) !== undefined).equal(warns, type);
    should(networkWarning(file, () => 0x6969)).match(/network drive.*local disk, or use PostgreSQL/);
    should(networkWarning(join(folder, 'not', 'there', 'yet.sqlite'))).equal(undefined);
  });
});

/** Overwrites a fifth of the file, in its middle. */
function damage(file: string): void {
  const pages = Math.floor(statSync(file).size / 4096);
  const handle = openSync(file, 'r+');
  for (let page = Math.floor(pages * 0.4); page < Math.floor(pages * 0.6); page += 1)
    writeSync(handle, Buffer.alloc(4096, 0xaa), 0, 4096, page * 4096);
  closeSync(handle);
}

const IMPORTS = `
  import { openSqlite } from ${JSON.stringify(new URL('../../ledger/sqlite.ts', import.meta.url).href)};
  import { query } from ${JSON.stringify(new URL('../../ledger/store.ts', import.meta.url).href)};
`;

/** Writes until a write fails, tells how many it was told are stored; once more after a line of input. */
const FILLER = (file: string) => `${IMPORTS}
  const store = await openSqlite(${JSON.stringify(file)});
  await store.transact(() => query('CREATE TABLE thing (n INTEGER PRIMARY KEY, body TEXT)'));
  let stored = 0;
  const write = () => store.transact(() => query('INSERT INTO thing (body) VALUES (?)', 'x'.repeat(3000))).then(() => { stored += 1; return ''; }, (error) => error.code + ': ' + error.message);
  let failed = '';
  while (!failed && stored < 5000) failed = await write();
  console.log(JSON.stringify({ stored, failed }));
  process.stdin.once('data', async () => console.log(JSON.stringify({ failed: await write(), stored })));
`;

const WRITER = (file: string) => `${IMPORTS}
  const store = await openSqlite(${JSON.stringify(file)});
  await store.transact(() => query('CREATE TABLE thing (n BIGINT, body TEXT)'));
  for (let n = 0; n < 30; n += 1) await store.transact(() => query('INSERT INTO thing (n, body) VALUES (?, ?)', n, 'x'.repeat(1000)));
  process.stdout.write('written');
  setInterval(() => store.transact(() => query('INSERT INTO thing (n, body) VALUES (99, NULL)')), 1);
`;
