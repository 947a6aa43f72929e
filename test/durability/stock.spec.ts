import should from 'should';
import { setTimeout as delay } from 'node:timers/promises';
import type { OrderView } from '../../ledger/views.ts';
import { liveQuantity } from '../../orders/purchase-order.ts';
import { openHouse, type House } from '../support/house.ts';

const offer = {
  supplier: 'prompt',
  sku: 'CORKSCREW',
  supplierSku: 'P-3001',
  unitCost: '8.00',
  currency: 'EUR',
  stock: '10',
};

const isRouted = (view: OrderView): boolean =>
  view.purchaseOrders.length > 0 || view.exceptions.some((exception) => exception.code === 'NOBODY_DELIVERS');

describe('A hundred orders at once against a stock of ten', function () {
  this.timeout(120_000);
  let house: House;

  before(async () => {
    house = await openHouse({ changes: { 'dl-in-route': { offers: [offer] } } });
  });
  after(() => house?.close());

  it('get exactly ten pieces, through a kill -9 in the middle; the others are exceptions with a reason', async () => {
    const ids = await Promise.all(
      Array.from({ length: 100 }, () => house.place({ lines: [{ sku: 'CORKSCREW', quantity: 1 }], country: 'DE' })),
    );
    for (let views: OrderView[] = []; views.filter(isRouted).length < 5; await delay(20)) views = await house.look(ids);
    await house.kill();
    await house.start();
    const views = await house.until(ids, isRouted, 60_000);

    const promised = views.flatMap((view) => view.purchaseOrders.flatMap((po) => po.lines.map(liveQuantity)));
    should(promised.filter((quantity) => quantity !== '0')).have.length(10);
    const left = views.filter((view) => view.purchaseOrders.length === 0);
    should(left).have.length(90);
    for (const view of left) {
      should(view.exceptions.find((exception) => exception.code === 'NOBODY_DELIVERS')?.message).match(/CORKSCREW/);
    }
    const delivered = await house.settled(
      views.filter((view) => view.purchaseOrders.length > 0).map((view) => view.order.id),
      undefined,
      60_000,
    );
    should(await house.check([...delivered, ...left])).deepEqual([]);
    should(house.sandbox.world.effects.filter((entry) => entry.operation === 'order.accept')).have.length(10);
  });
});
