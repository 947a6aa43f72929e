import fc from 'fast-check';
import should from 'should';
import { BusinessRefusal } from '../../orders/errors.ts';
import { times } from '../../orders/money.ts';
import {
  add,
  compare,
  isWhole,
  isZero,
  normalQuantity,
  parseQuantity,
  quantityFromMillionths,
  quantityToMillionths,
  subtract,
  total,
  type Quantity,
} from '../../orders/quantity.ts';

const LARGEST = '999999999.999999';

/** Any quantity as a partner may write it, zeros at the end included. */
const quantities: fc.Arbitrary<Quantity> = fc
  .tuple(fc.integer({ min: 0, max: 999_999_999 }), fc.option(fc.stringMatching(/^\d{1,6}$/), { nil: undefined }))
  .map(([whole, decimals]) => (decimals === undefined ? `${whole}` : `${whole}.${decimals}`));

/** What stands in the text, in millionths, by the rules of decimal writing alone. */
function exactly(quantity: Quantity): bigint {
  const [whole = '', decimals = ''] = quantity.split('.');
  return BigInt(whole + decimals.padEnd(6, '0'));
}

describe('a quantity', () => {
  it('is reckoned with to the last millionth, however large', () => {
    fc.assert(
      fc.property(quantities, quantities, (a, b) => {
        const [x, y] = [exactly(a), exactly(b)];
        should(quantityToMillionths(a)).equal(x);
        should(exactly(normalQuantity(a))).equal(x);
        should(compare(a, b)).equal(x < y ? -1 : x > y ? 1 : 0);
        should(isZero(a)).equal(x === 0n);
        should(isWhole(a)).equal(x % 1_000_000n === 0n);
        should(subtract(a, b)).equal(quantityFromMillionths(x - y));
        should(add(a, b)).equal(quantityFromMillionths(x + y));
      }),
    );
    should(add(LARGEST, LARGEST)).equal('1999999999.999998');
    should(subtract(LARGEST, '0.000001')).equal('999999999.999998');
  });

  it('is summed to the last millionth, however many there are', () => {
    should(total(Array.from({ length: 1001 }, () => LARGEST))).equal('1000999999999.998999');
  });

  it('has one written form', () => {
    const forms = ['3', '3.0', '3.000000', '003', '0.50', '0.000001', '0', '0.0'];
    should(forms.map(normalQuantity)).deepEqual(['3', '3', '3', '3', '0.5', '0.000001', '0', '0']);
    should(['3.', '3.0000000', ' 7 ', 3, 0.5].map(parseQuantity)).deepEqual(['3', '3', '7', '3', '0.5']);
  });

  it('is refused where it is none', () => {
    for (const wrong of ['', '0', '0.000', '-1', '1e3', '1,5', '1000000000', '0.0000001', NaN, null, undefined, {}, []])
      should(() => parseQuantity(wrong)).throw(BusinessRefusal, { code: 'QUANTITY_INVALID' });
    for (const wrong of ['', '-1', 'three', '1.', '1.0000000', '1000000000'])
      should(() => isZero(wrong)).throw(BusinessRefusal, { code: 'QUANTITY_INVALID' });
  });
});

describe('a price times a quantity', () => {
  it('is rounded half away from zero, and exact before that, however large', () => {
    fc.assert(
      fc.property(fc.integer({ min: -2_000_000, max: 2_000_000 }), quantities, (minor, quantity) => {
        const product = BigInt(minor) * exactly(quantity);
        const rounded = (product + (product < 0n ? -500_000n : 500_000n)) / 1_000_000n;
        should(times({ minor, currency: 'EUR' }, quantity).minor).equal(Number(rounded));
      }),
    );
    const cents = (minor: number, quantity: string) => times({ minor, currency: 'EUR' }, quantity).minor;
    should([cents(1, '0.5'), cents(1, '0.499999'), cents(-1, '0.5'), cents(-1, '0.4')]).deepEqual([1, 0, -1, 0]);
    should(cents(9_000_000_000, '1000.5')).equal(9_004_500_000_000);
  });
});
