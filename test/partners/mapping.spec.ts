import jsonata from 'jsonata';
import should from 'should';
import { ConfigurationMistake } from '../../orders/errors.ts';
import { decimal } from '../../orders/money.ts';
import { outgoing, withDecimals } from '../../partners/generic/mapping.ts';

describe('a document as mappings see it', () => {
  it('has the decimal text of each amount, however deep it stands', () => {
    const document = {
      total: { minor: 1250, currency: 'EUR' },
      lines: [{ sku: 'A', price: { minor: 5, currency: 'EUR' } }, { sku: 'B' }],
      deep: { deeper: { yen: { minor: 1250, currency: 'JPY' } } },
      note: null,
    };
    const before = structuredClone(document);
    should(withDecimals(document, decimal)).eql({
      total: { minor: 1250, currency: 'EUR', decimal: '12.50' },
      lines: [{ sku: 'A', price: { minor: 5, currency: 'EUR', decimal: '0.05' } }, { sku: 'B' }],
      deep: { deeper: { yen: { minor: 1250, currency: 'JPY', decimal: '1250' } } },
      note: null,
    });
    should(document).eql(before);
  });

  it('cannot be written into by an expression: JSONata adds to an empty list that is grouped', async () => {
    const document = { shipment: { parcels: [], tags: ['x'], lines: [[]] } };
    const before = structuredClone(document);
    for (const expression of ["shipment.parcels{ 'a': 'b' }", 'shipment.tags[]', "shipment.lines{ 'a': 'b' }"]) {
      const input = withDecimals(document, decimal);
      await jsonata(expression).evaluate(input);
      should(document).eql(before);
      should(Object.keys(document.shipment.tags)).eql(['0']);
    }
  });
});

describe('what a mapping gave, ready to be sent', () => {
  const send = (value: unknown) => JSON.stringify(outgoing(value, 'acme', 'operations.x.request'));

  it('is sent as it is', () => {
    should(send({ a: [1, 2.5, 'x', null, true, { b: '12.50' }] })).equal('{"a":[1,2.5,"x",null,true,{"b":"12.50"}]}');
  });

  it('has numbers with exactly the digits of their text where these are asked for', () => {
    should(send({ a: [{ $number: '12.50' }, { b: { $number: '9007199254740993' } }], c: 1 })).equal(
      '{"a":[12.50,{"b":9007199254740993}],"c":1}',
    );
    should(() => send({ a: { $number: 'twelve' } })).throw(ConfigurationMistake, {
      message: /a is to be a number, but "twelve" is none/,
    });
    should(send({ a: { $number: '1', b: 2 } })).equal('{"a":{"$number":"1","b":2}}');
  });

  it('is refused with a number that is not exact, and says where it stands', () => {
    for (const [value, where] of [
      [{ a: [1, { b: 0.1 + 0.2 }] }, /request cannot be used: a\[1\]\.b is 0\.30000000000000004, which is not exact/],
      [{ a: 2 ** 53 }, /request cannot be used: a is 9007199254740992, which is not exact/],
      [0.1 + 0.2, /the body is 0\.30000000000000004/],
    ] as const) {
      should(() => send(value)).throw(ConfigurationMistake, { code: 'MAPPING_FAILED', message: where });
    }
  });
});
