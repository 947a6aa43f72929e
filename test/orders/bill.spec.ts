import fc from 'fast-check';
import should from 'should';
import { matchBill, type Bill } from '../../orders/bill.ts';
import { sum, times } from '../../orders/money.ts';
import { bill, eur, purchaseOrder, shipment } from './samples.ts';

const shipped = [shipment('SH-1', { 1: '3' }), shipment('SH-2', { 2: '5' })];

function match(one: Bill, changes: Partial<Parameters<typeof matchBill>[0]> = {}) {
  return matchBill({
    bill: one,
    po: purchaseOrder(),
    shipments: shipped,
    earlierBills: [],
    priceTolerancePercent: 0,
    amountTolerance: eur('0'),
    ...changes,
  });
}

/** The bill with changed parts and the total that they add up to. */
function summed(changes: Partial<Bill>): Bill {
  const changed = bill(changes);
  const lines = changed.lines.map((line) => times(line.unitCost, line.quantity));
  const extra = [changed.shipping, changed.tax].flatMap((amount) => (amount ? [amount] : []));
  return { ...changed, total: sum([...lines, ...extra], 'EUR') };
}

const red = (changes: object) => [{ ...bill().lines[0]!, ...changes }];

describe('the three-way match', () => {
  it('passes a bill for what was ordered and has shipped', () => {
    should(match(bill())).deepEqual({ matched: true, differences: [] });
    should(match(summed({ tax: eur('11.66') })).matched).be.true();
  });

  it('passes the same bill again: it is not its own earlier bill', () => {
    should(match(bill(), { earlierBills: [bill()] }).matched).be.true();
  });

  it('refuses what has not shipped', () => {
    const { differences } = match(bill(), { shipments: [shipment('SH-1', { 1: '3', 2: '4' })] });
    should(differences).deepEqual([{ line: '2', what: 'WHITE: 5 billed, but only 4 have shipped.' }]);
  });

  it('counts a shipment once that was reported twice', () => {
    const half = shipment('SH-1', { 1: '3', 2: '3' });
    should(match(bill(), { shipments: [half, half] }).matched).be.false();
  });

  it('refuses what earlier bills have billed already', () => {
    const earlier = summed({
      id: 'vineyard/INV-4',
      number: 'INV-4',
      lines: red({ quantity: '1' }),
      shipping: eur('0'),
    });
    const { differences } = match(bill(), { earlierBills: [earlier] });
    should(differences).deepEqual([
      { line: '1', what: 'RED: 3 billed after 1 on earlier bills, but only 3 have shipped.' },
    ]);
    const rest = summed({ lines: red({ quantity: '2' }) });
    should(match(rest, { earlierBills: [earlier] }).matched).be.true();
  });

  it('refuses a unit cost off by more than the tolerance, in both directions', () => {
    should(match(summed({ lines: red({ unitCost: eur('8.11') }) })).differences).deepEqual([
      { line: '1', what: 'RED: billed at 8.11 EUR, ordered at 8.10 EUR.' },
    ]);
    const within = { priceTolerancePercent: '2.5' };
    should(match(summed({ lines: red({ unitCost: eur('8.30') }) }), within).matched).be.true();
    should(match(summed({ lines: red({ unitCost: eur('8.31') }) }), within).matched).be.false();
    should(match(summed({ lines: red({ unitCost: eur('7.89') }) }), within).matched).be.false();
  });

  it('refuses shipping above the expected, and shipping that is charged again', () => {
    should(match(summed({ shipping: eur('4.50') })).matched).be.false();
    should(match(summed({ shipping: eur('4.50') }), { amountTolerance: eur('0.50') }).matched).be.true();
    const earlier = summed({ id: 'vineyard/INV-4', number: 'INV-4', lines: [] });
    should(match(bill(), { earlierBills: [earlier] }).differences).deepEqual([
      { what: 'Shipping was billed already, on bill INV-4.' },
    ]);
  });

  it('refuses a total that does not add up, by a single cent', () => {
    should(match(bill({ total: eur('58.31') })).differences).deepEqual([
      { what: 'The lines, shipping and tax add up to 58.30 EUR, the bill says 58.31 EUR.' },
    ]);
  });

  it('refuses another currency, another purchase order, an unknown line, nothing, and a credit', () => {
    should(match(bill({ currency: 'USD' })).differences).have.length(1);
    should(match(bill({ total: { minor: 5830, currency: 'USD' } })).matched).be.false();
    should(match(bill({ purchaseOrder: 'shop-nz-1002-1' })).matched).be.false();
    should(match(bill({ supplier: 'cellar' })).matched).be.false();
    should(match(summed({ lines: red({ line: '9' }) })).differences[0]?.what).match(/does not have/);
    should(match(summed({ lines: [], shipping: eur('0') })).matched).be.false();
    should(match(summed({ lines: [], shipping: eur('-4.00') })).matched).be.false();
    should(match(summed({ lines: red({ quantity: '0' }) })).matched).be.false();
  });

  it('refuses tax that no country charges', () => {
    should(match(summed({ tax: eur('15.74') })).matched).be.true();
    should(match(summed({ tax: eur('58.30') })).matched).be.false();
    should(match(summed({ tax: eur('-1.00') })).matched).be.false();
  });

  it('never lets bills that match take more than was shipped at the agreed cost', () => {
    const one = fc.record({
      quantity: fc.integer({ min: 1, max: 4 }).map(String),
      line: fc.constantFrom(0, 1),
      shipping: fc.constantFrom('0', '2.00', '4.00'),
    });
    fc.assert(
      fc.property(fc.array(one, { maxLength: 6 }), (bills) => {
        const paid: Bill[] = [];
        for (const [index, each] of bills.entries()) {
          const lines = [{ ...bill().lines[each.line]!, quantity: each.quantity }];
          const next = summed({ id: `vineyard/I-${index}`, number: `I-${index}`, lines, shipping: eur(each.shipping) });
          if (match(next, { earlierBills: paid }).matched) paid.push(next);
        }
        const all = sum(
          paid.map((each) => each.total),
          'EUR',
        );
        should(all.minor <= bill().total.minor).be.true();
      }),
    );
  });
});
