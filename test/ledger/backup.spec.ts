import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import should from 'should';
import { backupsOf, Backups } from '../../ledger/backup.ts';
import type { BackupSettings } from '../../ledger/settings.ts';
import { exceptions } from '../../ledger/exceptions.ts';
import { declareRestored, mayBeForgotten, recogniseBackup, restored } from '../../ledger/restored.ts';
import { putDocument } from '../../ledger/documents.ts';
import { openSqlite } from '../../ledger/sqlite.ts';
import { query } from '../../ledger/store.ts';
import { bill, order, payment } from '../orders/samples.ts';
import { bench, openCodes, rejection, within, type Bench } from './harness.ts';

const HOUR = 3_600_000;

describe('backups of a SQLite ledger', () => {
  let folder: string;
  let file: string;
  let at: Bench;
  let settings: BackupSettings;
  let backups: Backups;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'dropline-backup-'));
    file = join(folder, 'ledger.sqlite');
    settings = { folder: '', everyHours: 24, keep: 3 };
    at = await bench({}, file);
    backups = new Backups(at.ledger.core, file, () => settings);
    await within(at.ledger, () => query(`CREATE TABLE thing (n BIGINT PRIMARY KEY, body TEXT NOT NULL)`));
  });
  afterEach(async () => {
    await backups.close();
    await at.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const write = (n: number) =>
    within(at.ledger, function* () {
      // Both or neither: a copy that is not of one moment would have one of them.
      yield* query(`INSERT INTO thing (n, body) VALUES (?, ?)`, n, 'x'.repeat(2000));
      yield* query(`INSERT INTO thing (n, body) VALUES (?, ?)`, -n, 'x'.repeat(2000));
    });
  const copies = () => backupsOf(file, settings.folder).map((each) => each.file);
  const leftovers = (of = folder) => readdirSync(of).filter((name) => name.includes('.partial'));

  it('are of one moment, and sound, while the ledger is written to without a pause', async () => {
    await Promise.all(Array.from({ length: 8000 }, (_, n) => write(n + 1)));
    let stop = false;
    let written = 8000;
    const before = written;
    const writing = (async () => {
      while (!stop) {
        await write((written += 1));
        await delay(0);
      }
    })();
    const backup = await backups.make();
    const during = written - before;
    stop = true;
    await writing;
    // The event loop went on, and so did the commits.
    should(during).be.above(3);
    should(statSync(backup.file).size).equal(backup.bytes);
    const store = await openSqlite(backup.file);
    const [row] = await store.read(() =>
      query<{ n: number; sum: number; least: number }>(
        `SELECT COUNT(*) AS n, SUM(n) AS sum, MIN(n) AS least FROM thing`,
      ),
    );
    should(row!.sum).equal(0);
    should(row!.n)
      .be.aboveOrEqual(16_000)
      .and.be.belowOrEqual(2 * written);
    const [check] = await store.read(() => query(`PRAGMA integrity_check`));
    should({ ...check }).deepEqual({ integrity_check: 'ok' });
    await store.close();
    leftovers().should.deepEqual([]);
  });

  it('asked for twice at once, one is made', async () => {
    const [first, second] = await Promise.all([backups.make(), backups.make()]);
    should(second).equal(first);
    copies().should.have.length(1);
  });

  it('as many are kept as was chosen, the newest ones, and nothing else is touched', async () => {
    writeFileSync(join(folder, 'ledger.sqlite.backup-notes.txt'), 'mine');
    for (let day = 0; day < 5; day += 1) {
      await backups.make();
      at.clock.time += 24 * HOUR;
    }
    const times = backupsOf(file, '').map((each) => each.at);
    times.should.deepEqual([2, 3, 4].map((day) => at.clock.time - (5 - day) * 24 * HOUR));
    readdirSync(folder).should.containEql('ledger.sqlite.backup-notes.txt');
  });

  it('go into the chosen folder, which is made', async () => {
    settings.folder = join(folder, 'other', 'disk');
    const { file: copy } = await backups.make();
    should(copy.startsWith(settings.folder)).be.true();
    copies().should.deepEqual([copy]);
    leftovers(settings.folder).should.deepEqual([]);
  });

  it('one that fails leaves the older ones, is told to a person, and the exception goes when the next one succeeds', async () => {
    await backups.make();
    const older = copies();
    writeFileSync(join(folder, 'a file'), '');
    settings.folder = join(folder, 'a file', 'below');
    should(await rejection(backups.make())).equal('BACKUP_FAILED');
    (await openCodes(at.ledger)).should.deepEqual(['BACKUP_FAILED']);
    const [raised] = await within(at.ledger, () => exceptions({ state: 'open' }));
    raised!.message.should.match(/could not be copied to .*may be written and has space/);
    settings.folder = '';
    copies().should.deepEqual(older);
    at.clock.time += 1000;
    await backups.make();
    (await openCodes(at.ledger)).should.deepEqual([]);
  });

  it('of a damaged ledger none is made, and the older ones stay', async () => {
    await Promise.all(Array.from({ length: 200 }, (_, n) => write(n + 1)));
    await backups.make();
    at.clock.time += 1000;
    await within(at.ledger, () => query(`SELECT 1`));
    await at.store.read(() => query(`PRAGMA wal_checkpoint(TRUNCATE)`));
    truncateSync(file, Math.floor(statSync(file).size / 2 / 4096) * 4096);
    should(await rejection(backups.make())).equal('BACKUP_FAILED');
    copies().should.have.length(1);
    leftovers().should.deepEqual([]);
  });

  it('what a killed process left half written is removed by the next one, and never taken for a backup', async () => {
    writeFileSync(`${file}.backup-20261101T000000Z.partial`, 'half');
    copies().should.deepEqual([]);
    await backups.make();
    leftovers().should.deepEqual([]);
  });

  it('are made by the clock: soon after a start when one is due, then each time that the newest is old enough', async () => {
    const made = async (n: number) => {
      for (let tries = 0; tries < 200 && copies().length < n; tries += 1) await delay(25);
      await at.clock.settle();
      copies().should.have.length(n);
    };
    backups.start();
    await at.clock.advance(61_000);
    await made(1);
    await at.clock.advance(23 * HOUR);
    copies().should.have.length(1);
    await at.clock.advance(HOUR);
    await made(2);
    settings.everyHours = 0;
    await at.clock.advance(100 * HOUR);
    copies().should.have.length(2);
  });
});

describe('a ledger that was put back from a backup', () => {
  let folder: string;
  let at: Bench;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'dropline-restored-'));
    mkdirSync(folder, { recursive: true });
    at = await bench({}, join(folder, 'ledger.sqlite'));
  });
  afterEach(async () => {
    await at.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const forgotten = (effect: { orderId?: string; document?: string } = {}) =>
    within(at.ledger, () => mayBeForgotten({ orderId: effect.orderId, document: effect.document ?? 'x' }));
  const iso = (milliseconds: number) => new Date(milliseconds).toISOString();

  it('is recognised as one by the mark that its copy bears, once, and remembers it ever after', async () => {
    const madeAt = at.clock.time;
    const backups = new Backups(at.ledger.core, join(folder, 'ledger.sqlite'), () => ({
      folder: '',
      everyHours: 0,
      keep: 1,
    }));
    const { file } = await backups.make();
    should(await recogniseBackup(at.store, at.clock.time)).equal(undefined);
    const later = madeAt + 5 * HOUR;
    let store = await openSqlite(file);
    should(await recogniseBackup(store, later)).deepEqual({ restoredAt: later, backupAt: madeAt });
    await store.close();
    store = await openSqlite(file);
    should(await recogniseBackup(store, later + 9 * HOUR)).equal(undefined);
    should(await store.read(() => restored())).deepEqual({ restoredAt: later, backupAt: madeAt });
    await store.close();
  });

  it('a ledger that never was has forgotten nothing', async () => {
    should(await forgotten()).be.false();
    should(await forgotten({ orderId: 'shop-nz-1001' })).be.false();
  });

  it('has forgotten what concerns orders of the time before; of an order placed after it, nothing', async () => {
    const { time } = at.clock;
    await declareRestored(at.ledger.core, undefined, 'bob');
    for (const [id, placedAt] of [
      ['old', time - 24 * HOUR],
      ['just', time + HOUR / 2],
      ['new', time + 2 * HOUR],
    ] as const)
      await within(at.ledger, () => putDocument(order({ id, placedAt: iso(placedAt) }), time));
    should(await forgotten({ orderId: 'old' })).be.true();
    // The shop's clock may be behind ours.
    should(await forgotten({ orderId: 'just' })).be.true();
    should(await forgotten({ orderId: 'new' })).be.false();
    should(await forgotten({ orderId: 'unknown' })).be.true();
    should(await forgotten()).be.true();
  });

  it('has forgotten payments of bills of the time before; a run of newer bills is new', async () => {
    const { time } = at.clock;
    await declareRestored(at.ledger.core, iso(time), 'bob');
    const run = (id: string, bills: string[]) => ({
      type: 'payment-run' as const,
      id,
      account: 'bank-main',
      createdAt: iso(time),
      createdBy: 'dropline',
      currency: 'EUR',
      total: bill().total,
      payments: bills.map((each) => payment({ bill: each })),
      contentHash: '',
      state: 'approved' as const,
      approvalsNeeded: 1,
      approvals: [],
    });
    await within(at.ledger, function* () {
      yield* putDocument(bill({ id: 'vineyard/OLD', issuedAt: iso(time - HOUR) }), time);
      yield* putDocument(bill({ id: 'vineyard/NEW', issuedAt: iso(time + 48 * HOUR) }), time);
      yield* putDocument(run('run-old', ['vineyard/NEW', 'vineyard/OLD']), time);
      yield* putDocument(run('run-new', ['vineyard/NEW']), time);
    });
    should(await forgotten({ document: 'run-old' })).be.true();
    should(await forgotten({ document: 'run-new' })).be.false();
  });

  it('a person may say so, with a time that makes sense', async () => {
    for (const wrong of ['yesterday', iso(at.clock.time + HOUR)])
      should(await rejection(declareRestored(at.ledger.core, wrong, 'bob'))).equal('TIME_INVALID');
    should(await declareRestored(at.ledger.core, iso(at.clock.time - HOUR), 'bob')).deepEqual({
      restoredAt: at.clock.time - HOUR,
    });
  });
});
