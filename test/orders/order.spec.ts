import fc from 'fast-check';
import should from 'should';
import { isCountry } from '../../orders/countries.ts';
import { BusinessRefusal } from '../../orders/errors.ts';
import { checkOrder, orderContent, sameOrderContent, type Order } from '../../orders/order.ts';
import { address, codeOf, eur, order } from './samples.ts';

const pieces = { wholeUnits: true };
const line = (changes: object) => [{ ...order().lines[0]!, ...changes }];

describe('an order', () => {
  it('that is complete passes', () => {
    should(codeOf(() => checkOrder(order(), pieces))).be.undefined();
    should(codeOf(() => checkOrder(order({ lines: line({ quantity: '0.5' }) }), { wholeUnits: false }))).be.undefined();
  });

  const faults: [string, string, Partial<Order>][] = [
    ['without lines', 'ORDER_WITHOUT_LINES', { lines: [] }],
    ['with the quantity zero', 'QUANTITY_INVALID', { lines: line({ quantity: '0' }) }],
    ['with a negative quantity', 'QUANTITY_INVALID', { lines: line({ quantity: '-1' }) }],
    ['with a fraction of a piece', 'FRACTION_NOT_ALLOWED', { lines: line({ quantity: '1.5' }) }],
    ['without an SKU', 'SKU_MISSING', { lines: line({ sku: ' ' }) }],
    ['with two lines of one id', 'LINE_ID_DUPLICATE', { lines: [...line({}), ...line({})] }],
    ['with a line without an id', 'LINE_ID_DUPLICATE', { lines: line({ id: '' }) }],
    ['in an unknown currency', 'CURRENCY_UNKNOWN', { currency: 'EURO' }],
    [
      'with a price in another currency',
      'CURRENCY_MISMATCH',
      { lines: line({ unitPrice: { minor: 1, currency: 'USD' } }) },
    ],
    ['with a price that is no integer', 'AMOUNT_INVALID', { total: { minor: 1.5, currency: 'EUR' } }],
    ['without a country', 'ADDRESS_WITHOUT_COUNTRY', { shipTo: { ...address, country: '' } }],
    ['with a country in words', 'ADDRESS_WITHOUT_COUNTRY', { shipTo: { ...address, country: 'Austria' } }],
    ['with a country that does not exist', 'ADDRESS_WITHOUT_COUNTRY', { shipTo: { ...address, country: 'UK' } }],
    ['with a path as its id', 'ORDER_ID_INVALID', { id: '../1' }],
    ['with an id that is too long', 'ORDER_ID_INVALID', { id: 'x'.repeat(61) }],
    ['with a line feed after its id', 'ORDER_ID_INVALID', { id: 'shop-1\n' }],
  ];
  for (const [what, code, changes] of faults) {
    it(`${what} is refused as ${code}`, () => {
      should(codeOf(() => checkOrder(order(changes), pieces))).equal(code);
      should(() => checkOrder(order(changes), pieces)).throw(BusinessRefusal);
    });
  }

  it('is the same order when only names, notes, times and the order of its lines differ', () => {
    const other = order({ changedAt: '2027-01-01T00:00:00Z', note: 'ring twice', revision: 3 });
    other.lines.reverse();
    other.lines[0] = { ...other.lines[0]!, name: 'Renamed', quantity: '5.0' };
    sameOrderContent(order(), other).should.be.true();
  });

  it('is another order when a quantity, SKU, price, currency, line or the address differs', () => {
    const changed: Partial<Order>[] = [
      { lines: line({}) },
      { lines: [...line({ quantity: '4' }), order().lines[1]!] },
      { lines: [...line({ sku: 'ROSE' }), order().lines[1]!] },
      { lines: [...line({ unitPrice: eur('12.01') }), order().lines[1]!] },
      { lines: [...line({ unitPrice: { minor: 1200, currency: 'USD' } }), order().lines[1]!] },
      { currency: 'USD' },
      { shipTo: { ...address, street: 'Kaigasse 5' } },
      { shipTo: { ...address, company: 'Lind Ltd' } },
    ];
    for (const changes of changed) sameOrderContent(order(), order(changes)).should.be.false();
  });

  it('keeps its content through JSON', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray(Object.entries(address), { minLength: 5 }), (fields) => {
        const reordered = order({ shipTo: Object.fromEntries(fields) as unknown as Order['shipTo'] });
        should(JSON.parse(JSON.stringify(orderContent(reordered)))).deepEqual(orderContent(order()));
      }),
    );
  });
});

describe('countries', () => {
  it('are the assigned codes of ISO 3166-1 and Kosovo, not withdrawn or invented ones', () => {
    const letters = Array.from({ length: 26 }, (_, index) => String.fromCharCode(65 + index));
    letters
      .flatMap((a) => letters.map((b) => a + b))
      .filter(isCountry)
      .length.should.equal(250);
    for (const code of ['NZ', 'GB', 'XK', 'SS']) isCountry(code).should.be.true();
    for (const code of ['UK', 'EU', 'DD', 'AN', 'XX', 'ZZ', 'nz', '']) isCountry(code).should.be.false();
  });
});
