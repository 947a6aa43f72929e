import { inspect } from 'node:util';
import { setTimeout as delay } from 'node:timers/promises';
import helper from 'node-red-node-test-helper';
import should from 'should';
import { openWork } from '../../ledger/views.ts';
import type { LedgerNode } from '../../nodes/configs.ts';
import { startPostgres, type Postgres } from '../support/postgres.ts';
import { startBench, type Bench } from './harness.ts';
import { post, shopHeaders, wooOrder } from './real.ts';

const CANARY = 'canary-51ab';

describe('The ledger of a flow in PostgreSQL', function () {
  this.timeout(60_000);

  let server: Postgres;
  let bench: Bench;
  before(async () => {
    server = await startPostgres({ password: CANARY });
  });
  after(() => server.stop());
  beforeEach(async () => {
    bench = await startBench();
  });
  afterEach(async () => {
    delete process.env['LEDGER_TEST_URL'];
    await bench.close();
  });

  const receiver = { id: 'receive', type: 'ecommerce-receive', platform: 'dl-shop', paidOnly: true, pollMinutes: 0 };
  const inDatabase = (url: string) => ({ 'dl-ledger': { store: 'postgres', credentials: { url } } });
  const withPassword = (url: string) => url.replace('postgres@', `postgres:${CANARY}@`);
  const hook = () => {
    const body = JSON.stringify(wooOrder());
    return post(`${bench.url}/dropship/orders/shop`, body, shopHeaders(body, bench.sandbox.keys.shop.webhookSecret));
  };
  const node = () => helper.getNode('dl-ledger') as unknown as LedgerNode;

  it('is chosen with a URL, which may stand in the environment, and shown without its password', async () => {
    process.env['LEDGER_TEST_URL'] = withPassword(await server.createDatabase());
    await bench.load([receiver], inDatabase('${LEDGER_TEST_URL}'));
    await until(() => bench.status('receive')?.text === 'status.listening');
    (await hook()).status.should.equal(200);
    node().file.should.match(/^postgres:\/\/postgres@127\.0\.0\.1:\d+\/test_\d+$/);
    inspect([node().file, bench.errors('dl-ledger')], { depth: 5 }).should.not.containEql(CANARY);
    const events = await server.sql(`SELECT COUNT(*)::int AS n FROM event`, process.env['LEDGER_TEST_URL']);
    events.should.deepEqual([{ n: 1 }]);
  });

  it('without a URL, or with one that is none, it says what to enter, and nothing is taken in', async () => {
    await bench.load([receiver], inDatabase(''));
    await until(() => bench.status('receive')?.text === 'no database URL');
    bench
      .errors('dl-ledger')
      .join()
      .should.match(/has no database URL/);
    (await hook()).status.should.equal(503);
    await bench.deploy([receiver], inDatabase(`postgres://postgres:${CANARY}#1@host/db`));
    await until(() => bench.status('receive')?.text === 'wrong database URL');
    bench
      .errors('dl-ledger')
      .join()
      .should.match(/percent-encoded/)
      .and.not.containEql(CANARY);
  });

  it('a database that is down when Node-RED starts: senders are asked to come back, and all starts by itself when it comes', async () => {
    const url = withPassword(await server.createDatabase());
    await server.halt();
    try {
      await bench.load([receiver, { id: 'create', type: 'erp-create-order', erp: 'dl-erp' }], inDatabase(url));
      await until(() => bench.status('receive')?.text === 'ledger unavailable');
      await until(() => bench.status('create')?.text === 'ledger unavailable');
      const began = Date.now();
      const answer = await hook();
      answer.status.should.equal(503);
      should(answer.headers['retry-after']).equal('10');
      (Date.now() - began).should.be.below(5000);
    } finally {
      await server.start();
    }
    await until(() => bench.status('receive')?.text === 'status.listening');
    await until(() => bench.status('create')?.text === undefined);
    (await hook()).status.should.equal(200);
    // Judged, and so emitted: the dispatcher runs.
    for (const end = Date.now() + 10_000; ; await delay(50)) {
      const work = await (await bench.ledger()).transact('test', openWork);
      if (work.some(({ state }) => state !== 'stored')) break;
      Date.now().should.be.below(end, 'the event was not judged');
    }
  });

  it('a database that goes away while Node-RED runs: 503 meanwhile, 200 as soon as it is back', async () => {
    const url = withPassword(await server.createDatabase());
    await bench.load([receiver], inDatabase(url));
    await until(() => bench.status('receive')?.text === 'status.listening');
    await server.halt('immediate');
    try {
      (await hook()).status.should.equal(503);
    } finally {
      await server.start();
    }
    (await hook()).status.should.equal(200);
  });
});

async function until(isSo: () => boolean): Promise<void> {
  for (const end = Date.now() + 25_000; !isSo(); await delay(50))
    if (Date.now() > end) throw new Error(`not yet: ${isSo}`);
}

describe('The settings of a ledger', () => {
  let bench: Bench;
  beforeEach(async () => {
    bench = await startBench();
  });
  afterEach(() => bench.close());

  const flow = [{ id: 'create', type: 'erp-create-order', erp: 'dl-erp' }];
  const settings = async (changes: Record<string, unknown>) => {
    await bench.deploy(flow, { 'dl-ledger': changes });
    const { backup, retention } = (await bench.ledger()).core.settings;
    return { ...backup, ...retention };
  };

  it('are those of the newest deploy; zero means never, and what is empty or missing has its default', async () => {
    await bench.load(flow);
    const standard = { folder: '', everyHours: 24, keep: 7, redactAfterDays: 90 };
    const missing = { backupFolder: undefined, backupHours: undefined, backupKeep: undefined };
    should(await settings({ ...missing, redactAfterDays: undefined })).deepEqual(standard);
    should(await settings({ backupFolder: ' ', backupHours: '', backupKeep: '', redactAfterDays: '' })).deepEqual(
      standard,
    );
    should(
      await settings({ backupFolder: '/mnt/b', backupHours: '0', backupKeep: '30', redactAfterDays: '0' }),
    ).deepEqual({ folder: '/mnt/b', everyHours: 0, keep: 30, redactAfterDays: 0 });
  });
});
