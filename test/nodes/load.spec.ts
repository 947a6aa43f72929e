import { spawn } from 'node:child_process';
import should from 'should';
import { check } from '../../sandbox/check.ts';
import type { EffectView, OrderView } from '../../ledger/views.ts';
import { until } from './harness.ts';
import { startReal, type Real } from './real.ts';

const ORDERS = 100;

const BASKETS: { lines: { sku: string; quantity: number }[]; country: string }[] = [
  { lines: [{ sku: 'OIL-OLIVE', quantity: 1 }], country: 'DE' },
  { lines: [{ sku: 'WINE-PINOT', quantity: 1 }], country: 'AT' },
  { lines: [{ sku: 'APRON-LINEN', quantity: 1 }], country: 'IT' },
  { lines: [{ sku: 'WINE-RIESLING', quantity: 1 }], country: 'CZ' },
];

describe('a hundred orders at once', () => {
  let real: Real;
  before(async () => {
    // Plenty of everything, so that each order can be delivered.
    real = await startReal({ speed: 50, changes: { 'dl-in-receive': { pollMinutes: 0 } } });
    const flows = real
      .flows()
      .map((node) =>
        node.type === 'supplier-route'
          ? { ...node, offers: (node['offers'] as { stock: string }[]).map((offer) => ({ ...offer, stock: '1000' })) }
          : node,
      );
    await real.deploy(flows);
  });
  after(() => real.close());

  it('all ship, nothing happens twice, and the editor answers all the time', async function () {
    this.timeout(90_000);
    const watch = watchEditor(`${real.red.url}/settings`);
    const placed = await Promise.all(
      Array.from({ length: ORDERS }, async (_, index) => {
        const response = await fetch(`${real.sandbox.urls.shop}/__sandbox/shop/orders`, {
          method: 'POST',
          body: JSON.stringify({ ...BASKETS[index % BASKETS.length], deliveries: 2 }),
        });
        return `shop-${((await response.json()) as { id: number }).id}`;
      }),
    );
    const list = () => real.red.get<{ id: string; state: string }[]>('/dropship/orders?limit=1000');
    await until(
      'all orders complete',
      async () => (await list()).filter(({ state }) => state === 'complete').length === ORDERS,
      60_000,
    );
    const effects = await until(
      'nothing open',
      async () => {
        const found = await real.red.get<EffectView[]>('/dropship/effects');
        const bills = found.filter(({ kind, step }) => kind === 'bill-enter' && step === null);
        return bills.length === ORDERS && found.every(({ state }) => state === 'done') && found;
      },
      30_000,
    );
    const waits = await watch();
    should(waits.length).be.above(20);
    // Not how fast it is on a busy machine, but that nothing blocks it: usually it answers within 0.3 s.
    should(Math.max(...waits)).be.below(10_000);
    const views: OrderView[] = [];
    for (const id of placed) views.push(await real.red.get<OrderView>(`/dropship/orders/${id}`));
    should(check({ views, effects, log: real.sandbox.world.effects })).deepEqual([]);
    const count = (operation: string) =>
      real.sandbox.world.effects.filter((effect) => effect.operation === operation).length;
    for (const operation of ['sale.create', 'purchase.create', 'order.accept', 'bill.post', 'order.complete']) {
      should(count(operation)).equal(ORDERS, operation);
    }
    should(await real.red.get('/dropship/exceptions')).deepEqual([]);
  });
});

/**
 * Asks for a page again and again, from a process of its own: this one is busy with being all the partners. What comes back
 * ends it and answers the milliseconds that each answer took.
 */
function watchEditor(url: string): () => Promise<number[]> {
  const script = `
    const waits = [];
    process.stdin.on('end', () => { console.log(JSON.stringify(waits)); process.exit(); }).resume();
    for (;;) {
      const begun = Date.now();
      const { status } = await fetch(${JSON.stringify(url)});
      waits.push(status === 200 ? Date.now() - begun : Infinity);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  return async () => {
    child.stdin.end();
    await new Promise((resolve) => child.once('close', resolve));
    return (JSON.parse(output) as (number | null)[]).map((wait) => wait ?? Infinity);
  };
}
