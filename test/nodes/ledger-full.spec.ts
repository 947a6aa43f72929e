import should from 'should';
import type { Ledger } from '../../ledger/ledger.ts';
import { query, queryOne } from '../../ledger/store.ts';
import { orderList } from '../../ledger/views.ts';
import { startBench, until, type Bench } from './harness.ts';
import { post, shopHeaders, wooOrder } from './real.ts';

describe('an endpoint while the disk of the ledger is full', () => {
  let bench: Bench;
  let ledger: Ledger;

  before(async () => {
    bench = await startBench();
    await bench.load(
      [
        { id: 'in', type: 'ecommerce-receive', platform: 'dl-shop', wires: [['out']] },
        { id: 'out', type: 'helper' },
      ],
      { 'dl-shop': { takeWhen: 'paid' } },
    );
    ledger = await bench.ledger();
  });
  after(async () => {
    await makeRoom();
    await bench.close();
  });

  const postOrder = (order: unknown) => {
    const body = JSON.stringify(order);
    return post(`${bench.url}/dropship/orders/shop`, body, shopHeaders(body, bench.sandbox.keys.shop.webhookSecret));
  };
  const makeRoom = () => ledger.transact('test', () => query(`PRAGMA max_page_count = 1000000`));
  const stored = async () =>
    Number((await ledger.core.read(() => queryOne<{ n: number }>(`SELECT COUNT(*) AS n FROM event`)))!.n);

  it('answers 503 with Retry-After and keeps nothing; once there is space the repeat is taken, and goes its way', async () => {
    const pages = await ledger.transact('test', () => queryOne<{ page_count: number }>(`PRAGMA page_count`));
    await ledger.transact('test', () => query(`PRAGMA max_page_count = ${pages!.page_count}`));
    // Larger than what is left on the pages that there are.
    const order = { ...wooOrder(), customer_note: 'x'.repeat(60_000) };
    const before = await stored();
    for (let times = 0; times < 3; times += 1) {
      const answer = await postOrder(order);
      should(answer.status).equal(503);
      should(Number(answer.headers['retry-after'])).be.above(0);
      should(answer.text).match(/"NOT_STORED"/);
    }
    should(await stored()).equal(before);
    await makeRoom();
    const answer = await postOrder(order);
    should([answer.status, answer.text]).deepEqual([200, '{"stored":1,"repeated":0}']);
    const id = `shop-${String((order as { id?: unknown }).id)}`;
    await until('the order', async () => {
      const orders = await ledger.core.read(() => orderList(100));
      return orders.some((each) => each.id === id) || undefined;
    });
  });
});
