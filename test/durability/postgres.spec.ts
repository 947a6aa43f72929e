import should from 'should';
import { openHouse, type House } from '../support/house.ts';
import { postgres } from '../support/postgres.ts';

describe('A real Node-RED with its ledger in PostgreSQL', function () {
  this.timeout(120_000);
  let house: House;
  before(async () => {
    house = await openHouse({ ledger: 'postgres', timeout: 2, settle: 0.5, quiet: 0.3 });
  });
  after(() => house.close());

  it('brings an order to its end, and the ledger agrees with the partners', async () => {
    const ids = [await house.place({ lines: [{ sku: 'WINE-RIESLING', quantity: 2 }], country: 'DE' })];
    (await house.check(await house.settled(ids, undefined, 60_000))).should.deepEqual([]);
  });

  it('a crash of the database server and of Node-RED in the midst of orders costs nothing and doubles nothing', async () => {
    const ids: string[] = [];
    for (let n = 0; n < 4; n += 1)
      ids.push(await house.place({ lines: [{ sku: 'WINE-PINOT', quantity: 1 }], country: 'DE' }));
    await house.until(ids, (view) => view.purchaseOrders.length > 0, 30_000);
    await (await postgres()).restart('immediate');
    await house.kill();
    await house.start();
    const views = await house.settled(ids, undefined, 60_000);
    (await house.check(views)).should.deepEqual([]);
    should(house.log()).not.match(/uncaught/i);
  });
});
