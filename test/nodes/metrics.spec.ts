import { createRequire } from 'node:module';
import should from 'should';
import { tokenFor } from '../../scripts/node-red.ts';
import { isComplete, openHouse, type House } from '../support/house.ts';
import { readExposition, type Read } from '../support/prometheus.ts';
import { startReal, type Real } from './real.ts';

const { hashSync } = createRequire(import.meta.url)('bcryptjs') as { hashSync(text: string, rounds: number): string };

/** The sum of what has these labels. */
function sum(samples: Read[], name: string, labels: Record<string, string> = {}): number {
  return samples
    .filter((one) => one.name === name && Object.entries(labels).every(([key, value]) => one.labels[key] === value))
    .reduce((total, { value }) => total + value, 0);
}

describe('GET dropship/metrics of a real Node-RED', () => {
  let house: House;
  before(async () => {
    house = await openHouse();
  });
  after(() => house?.close());

  async function scrape(): Promise<Read[]> {
    const response = await fetch(`${house.red.url}/dropship/metrics`);
    should(response.status).equal(200);
    should(response.headers.get('content-type')).equal('text/plain; version=0.0.4; charset=utf-8');
    return readExposition(await response.text());
  }

  it('counts an order from the intake to the paid supplier, with what went wrong on its way', async () => {
    const started = Date.now() / 1000;
    house.sandbox.world.faults.push(
      { partner: 'erp', operation: 'sale.create', kind: 'reset-after', times: 1 },
      { partner: 'prompt', operation: 'order.accept', kind: 'rate-limit', times: 1 },
      { partner: 'prompt', kind: 'duplicate-callback', times: 1 },
    );
    const id = await house.place({ lines: [{ sku: 'WINE-RIESLING', quantity: 2 }], country: 'DE' });
    await house.settled([id], isComplete, 60_000);
    const samples = await scrape();

    should(sum(samples, 'dropship_ledger_up')).equal(1);
    should(sum(samples, 'dropship_effects_total', { partner: 'prompt', kind: 'po-send', outcome: 'answered' })).equal(
      1,
    );
    should(sum(samples, 'dropship_effects_total', { kind: 'so-create', outcome: 'adopted' })).be.aboveOrEqual(1);
    should(sum(samples, 'dropship_effect_doubts_total', { partner: 'erp', kind: 'so-create' })).equal(1);
    should(sum(samples, 'dropship_effect_retries_total', { partner: 'prompt', kind: 'po-send' })).equal(1);
    should(sum(samples, 'dropship_effect_duration_seconds_count', { partner: 'prompt', kind: 'po-send' })).equal(1);
    should(sum(samples, 'dropship_event_duration_seconds_count', { kind: 'shipment' })).be.aboveOrEqual(1);
    should(sum(samples, 'dropship_events')).equal(0);
    should(sum(samples, 'dropship_effects_in_doubt')).equal(0);
    should(samples.filter(({ name }) => name === 'dropship_partner_paused').length).be.aboveOrEqual(5);
    should(sum(samples, 'process_start_time_seconds')).be.within(started - 120, started + 5);
    const build = samples.find(({ name }) => name === 'dropship_build_info')?.labels;
    should(build?.['version']).match(/^\d+\.\d+\.\d+/);
    should(build?.['node_red']).match(/^\d+\.\d+\.\d+/);
  }).timeout(120_000);

  it('counts what came in, and what came again', async () => {
    const samples = await scrape();
    const orders = { partner: 'shop', kind: 'order' };
    should(sum(samples, 'dropship_intake_total', { ...orders, outcome: 'stored' })).be.aboveOrEqual(1);
    should(sum(samples, 'dropship_intake_total', { outcome: 'repeated' })).be.aboveOrEqual(1);
  });

  it('shows a partner that is left alone, and what waits for it', async () => {
    house.sandbox.world.chaos = { seed: 1, rate: 1, kinds: ['error-before'], partners: ['prompt'] };
    const ids = await Promise.all(
      Array.from({ length: 6 }, () => house.place({ lines: [{ sku: 'WINE-RIESLING', quantity: 1 }], country: 'DE' })),
    );
    const end = Date.now() + 30_000;
    let samples = await scrape();
    while (sum(samples, 'dropship_partner_paused', { partner: 'prompt' }) === 0 && Date.now() < end)
      samples = await scrape();
    should(sum(samples, 'dropship_partner_paused', { partner: 'prompt' })).equal(1);
    should(sum(samples, 'dropship_partner_paused', { partner: 'erp' })).equal(0);
    should(
      sum(samples, 'dropship_effects_in_doubt', { partner: 'prompt' }) +
        sum(samples, 'dropship_effects_waiting', { partner: 'prompt' }),
    ).be.aboveOrEqual(1);
    house.sandbox.world.chaos = undefined;
    await house.settled(ids, isComplete, 90_000);
    should(sum(await scrape(), 'dropship_partner_paused')).equal(0);
  }).timeout(180_000);

  it('is answered in less than 20 ms', async () => {
    const times: number[] = [];
    for (let each = 0; each < 20; each += 1) {
      const before = performance.now();
      await scrape();
      times.push(performance.now() - before);
    }
    should(times.toSorted((a, b) => a - b)[10]).be.below(20);
  });
});

describe('GET dropship/metrics with an admin login', () => {
  const TOKEN = 'a-token-for-the-scraper';
  const users = { viewer: ['dropship.read'], outsider: ['nodes.read'] };
  let real: Real;
  before(async () => {
    const adminAuth = {
      type: 'credentials',
      users: Object.entries({ ...users, admin: '*' }).map(([username, permissions]) => ({
        username,
        password: hashSync(`${username}-password`, 4),
        permissions,
      })),
    };
    real = await startReal({
      settings: `adminAuth: ${JSON.stringify(adminAuth)}, dropship: { metricsToken: '${TOKEN}' },`,
      login: { username: 'admin', password: 'admin-password' },
    });
  });
  after(() => real?.close());

  const status = async (path: string, authorization?: string) =>
    (await fetch(`${real.red.url}${path}`, { headers: authorization === undefined ? {} : { authorization } })).status;

  it('is closed to strangers and wrong tokens', async () => {
    for (const authorization of [undefined, '', TOKEN, `Basic ${TOKEN}`, 'Bearer', 'Bearer ', `Bearer ${TOKEN}x`])
      should(await status('/dropship/metrics', authorization)).be.oneOf([400, 401]);
  });

  it('is open to a login with dropship.read, and to no other', async () => {
    const token = (username: keyof typeof users) =>
      tokenFor(real.red.url, { username, password: `${username}-password` }, users[username].join(' '));
    should(await status('/dropship/metrics', `Bearer ${await token('viewer')}`)).equal(200);
    should(await status('/dropship/metrics', `Bearer ${await token('outsider')}`)).equal(401);
  });

  it('is open to the token of the settings file, which opens nothing else', async () => {
    should(await status('/dropship/metrics', `Bearer ${TOKEN}`)).equal(200);
    for (const path of ['/dropship/orders', '/dropship/exceptions', '/dropship/effects', '/flows', '/settings'])
      should(await status(path, `Bearer ${TOKEN}`)).equal(401, path);
  });
});
