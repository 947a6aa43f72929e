import fc from 'fast-check';
import should from 'should';
import { readOffersCsv } from '../../orders/offers-csv.ts';
import { eur } from './samples.ts';

const header = 'supplier,sku,unitCost,currency';

describe('offers from a CSV file', () => {
  it('are read with all columns, in any order and case', () => {
    const text =
      '\ufeffSKU,Supplier,unitcost,currency,stock,leadTimeDays,countries,minimumQuantity,supplierSku,remark\r\n' +
      'RED,vineyard,8.1,eur,12,3,"NZ, au",6,V-1,hello\r\n' +
      'WHITE,cellar,6,EUR,,,,,,\r\n';
    should(readOffersCsv(text)).deepEqual({
      offers: [
        {
          supplier: 'vineyard',
          sku: 'RED',
          supplierSku: 'V-1',
          unitCost: eur('8.10'),
          stock: '12',
          leadTimeDays: 3,
          countries: ['NZ', 'AU'],
          minimumQuantity: '6',
        },
        { supplier: 'cellar', sku: 'WHITE', unitCost: eur('6.00') },
      ],
      problems: [],
    });
  });

  it('with a fault in one row keep the others, and the problem names the line of the file', () => {
    const text = [
      `${header},stock,countries,leadTimeDays`,
      'v,"A\n1",1,EUR,0,,',
      'v,B,x,EUR,,,',
      'v,C,1,EURO,,,',
      'v,,1,EUR,,,',
      'v,D,1,EUR',
      'v,E,-1,EUR,,,',
      'v,F,1,EUR,many,,',
      'v,G,1,EUR,,UK,',
      'v,H,1,EUR,,,soon',
      'v,I"x,1,EUR,,,',
      'v,"J"x,1,EUR,,,',
      '',
      'v,K,1,EUR,-3,,',
    ].join('\n');
    const { offers, problems } = readOffersCsv(text);
    should(offers.map((each) => [each.sku, each.stock])).deepEqual([
      ['A\n1', '0'],
      ['K', '0'],
    ]);
    should(problems.map((each) => each.line)).deepEqual([4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
    should(problems[0]?.problem).match(/"x" is not an amount in EUR/);
    should(problems[3]?.problem).match(/4 fields.*7 columns/);
  });

  it('without the needed columns say which are missing', () => {
    should(readOffersCsv('supplier;sku;unitCost;currency\nv;A;1;EUR').problems[0]?.problem).match(/missing: supplier/);
    should(readOffersCsv('').problems[0]?.problem).match(/empty/);
    should(readOffersCsv(`${header},sku\n`).problems[0]?.problem).match(/twice/);
  });

  it('with a quote that is never closed stop there with a problem', () => {
    const { offers, problems } = readOffersCsv(`${header}\nv,A,1,EUR\nv,"B,1,EUR\nv,C,1,EUR\n`);
    should(offers.map((each) => each.sku)).deepEqual(['A']);
    should(problems).containDeep([{ line: 3 }]);
  });

  it('come back as they were written, whatever the fields hold', () => {
    const field = fc.string({ minLength: 1, maxLength: 20 }).filter((text) => text.trim() === text && text !== '');
    const quoted = (text: string) => `"${text.replaceAll('"', '""')}"`;
    fc.assert(
      fc.property(fc.array(fc.tuple(field, field), { maxLength: 5 }), fc.constantFrom('\n', '\r\n'), (rows, end) => {
        const text = [header, ...rows.map((row) => [...row.map(quoted), '1.00', 'EUR'].join(','))].join(end);
        const { offers, problems } = readOffersCsv(text);
        problems.should.be.empty();
        should(offers.map((each) => [each.supplier, each.sku])).deepEqual(rows);
      }),
    );
  });

  it('never throw, whatever the file holds, and report a bounded number of problems', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 200, unit: fc.constantFrom('"', ',', '\n', '\r', 'a', '1', ' ') }), (text) => {
        readOffersCsv(`${header}\n${text}`).offers.should.be.Array();
      }),
    );
    readOffersCsv(`${header}\n${'v\n'.repeat(500)}`).problems.should.have.length(101);
  });
});
