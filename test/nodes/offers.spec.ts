import should from 'should';
import type { Ledger } from '../../ledger/ledger.ts';
import { offersFor, offersOf, type OfferRow, type OfferSource } from '../../nodes/offers.ts';

const nobody = undefined as unknown as Ledger;

const row = (sku: string, unitCost: string): OfferRow => ({ supplier: 'vineyard', sku, unitCost, currency: 'EUR' });
const table = (...offers: OfferRow[]): OfferSource => ({ source: 'table', offers, file: '' });

describe('the offers of a routing node', () => {
  it('are those of its own table after each deploy', async () => {
    const before = table(row('RED', '8.10'));
    const after = table(row('RED', '8.20'));
    should((await offersOf(before, {} as never, nobody))[0]?.unitCost.minor).equal(810);
    should((await offersOf(after, {} as never, nobody))[0]?.unitCost.minor).equal(820);
    should(await offersOf(before, {} as never, nobody)).equal(await offersOf(before, {} as never, nobody));
  });

  it('are read anew from each message', async () => {
    const config: OfferSource = { source: 'message', offers: [], file: '' };
    const offers = [row('RED', '8.10')];
    const first = await offersOf(config, { offers } as never, nobody);
    offers[0]!.unitCost = '9.00';
    const second = await offersOf(config, { offers } as never, nobody);
    should([first[0]?.unitCost.minor, second[0]?.unitCost.minor]).deepEqual([810, 900]);
  });

  it('tell of a mistake in the table with every order', async () => {
    const broken = table(row('RED', 'much'));
    for (let time = 0; time < 2; time += 1)
      await should(offersOf(broken, {} as never, nobody)).rejectedWith({ code: 'OFFERS_INVALID' });
  });

  it('are asked for what the order has, each offer once', async () => {
    const offers = await offersOf(table(row('RED', '8'), row('WHITE', '6'), row('RED', '9')), {} as never, nobody);
    const found = offersFor([{ sku: 'RED' }, { sku: 'ROSE' }, { sku: 'RED' }], offers);
    should(found.map(({ unitCost }) => unitCost.minor)).deepEqual([800, 900]);
    should(offersFor([{ sku: 'WHITE' }], offers)).have.length(1);
  });
});
