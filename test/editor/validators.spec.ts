import should from 'should';
import { definitionOf, editedNode } from './definitions.ts';

/** True, or the reason that the editor shows. */
function judge(
  type: string,
  property: string,
  value: unknown,
  node: Record<string, unknown> = {},
  others: Record<string, unknown>[] = [],
) {
  const validate = definitionOf(type, others).defaults[property]?.validate;
  if (!validate) throw new Error(`${type}.${property} has no validator`);
  return validate.call(editedNode(type, node), value, {});
}

function accepts(type: string, property: string, values: unknown[], node?: Record<string, unknown>): void {
  for (const value of values) should(judge(type, property, value, node)).equal(true, JSON.stringify(value));
}

function refuses(
  type: string,
  property: string,
  values: unknown[],
  reason: RegExp,
  node?: Record<string, unknown>,
): void {
  for (const value of values)
    should(judge(type, property, value, node))
      .be.a.String()
      .and.match(reason, JSON.stringify(value));
}

describe('the editor refuses with a reason', () => {
  it('a reference that cannot stand in keys and URLs', () => {
    accepts('supplier', 'reference', ['vineyard', 'a1', 'shop-nz-2', 'a'.repeat(20)]);
    refuses(
      'supplier',
      'reference',
      ['', 'a', '1shop', 'Shop', 'shop nz', 'shop_nz', 'a'.repeat(21), 'shop/nz'],
      /2 to 20/,
    );
  });

  it('a reference that another partner of the same ledger has, of whatever kind', () => {
    const others = [{ id: 'other', type: 'erp-system', reference: 'main', ledger: '' }];
    should(judge('supplier', 'reference', 'main', {}, others)).match(/already/);
    const ledgers = [
      { id: 'first', type: 'dropship-ledger', file: '' },
      { id: 'second', type: 'dropship-ledger', file: '/data/second.sqlite' },
    ];
    should(judge('supplier', 'reference', 'main', { ledger: 'second' }, [...others, ...ledgers])).equal(true);
    should(judge('supplier', 'reference', 'main', { ledger: 'first' }, [...others, ...ledgers])).match(/already/);
    should(judge('supplier', 'reference', 'main', { id: 'other' }, others)).equal(true);
  });

  it('a base URL that is no web address', () => {
    accepts('erp-system', 'baseUrl', ['https://erp.example', 'http://127.0.0.1:4010/api']);
    refuses('erp-system', 'baseUrl', ['', 'erp.example', 'ftp://erp.example', 'javascript:alert(1)'], /https:/);
  });

  it('a folder where the bank takes a URL, and the reverse', () => {
    accepts('bank-account', 'baseUrl', ['/var/bank', 'C:\\bank', '\\\\server\\bank'], { product: 'iso20022-folder' });
    refuses('bank-account', 'baseUrl', ['bank', 'https://bank.example'], /folder/, { product: 'iso20022-folder' });
    accepts('bank-account', 'baseUrl', ['https://bank.example/payments'], { product: 'iso20022-http' });
    refuses('bank-account', 'baseUrl', ['/var/bank'], /web address/, { product: 'iso20022-http' });
  });

  it('a backup folder that depends on where Node-RED was started', () => {
    accepts('dropship-ledger', 'backupFolder', ['', '/mnt/backup', 'D:\\backup', '${BACKUPS}', undefined]);
    refuses('dropship-ledger', 'backupFolder', ['backup', './backup', 'https://backup.example'], /full path/);
  });

  it('numbers out of range', () => {
    accepts('dropship-ledger', 'batch', [1, '64', 10000]);
    accepts('dropship-ledger', 'backupHours', [0, '24', 0.5, '', undefined]);
    refuses('dropship-ledger', 'backupHours', ['-1', '721', 'daily'], /from 0 to 720/);
    accepts('dropship-ledger', 'backupKeep', [1, '7', '', undefined]);
    refuses('dropship-ledger', 'backupKeep', ['0', '1.5', '1001'], /from 1 to 1000/);
    accepts('dropship-ledger', 'redactAfterDays', [0, '90', '', undefined]);
    refuses('dropship-ledger', 'redactAfterDays', ['-1', '1.5', 'never'], /from 0 to 36500/);
    refuses('dropship-ledger', 'batch', ['', 0, -1, 10001, '1.5', 'many'], /from 1 to 10000/);
    accepts('supplier', 'openOrderLimit', ['', '5']);
    refuses('supplier', 'openOrderLimit', ['0', 'x'], /whole number/);
    accepts('erp-bill', 'priceTolerance', ['0', '2.5', 100]);
    refuses('erp-bill', 'priceTolerance', ['-1', '101', ''], /from 0 to 100/);
  });

  it('amounts that are no plain decimals', () => {
    accepts('supplier', 'shippingCost', ['0', '4.90', 12]);
    refuses('supplier', 'shippingCost', ['', '4,90', '-1', '1e3', 'EUR 5'], /4\.90/);
    accepts('supplier', 'minimumOrder', ['', '25']);
    refuses('bank-pay', 'limit', ['1.000,00', '-5'], /4\.90/);
  });

  it('times, countries and currencies in another form', () => {
    accepts('erp-payables', 'dailyAt', ['', '00:00', '07:30', '23:59']);
    refuses('erp-payables', 'dailyAt', ['7:30', '24:00', '07:60', 'noon'], /07:30/);
    accepts('supplier', 'countries', ['', 'NZ', 'NZ, AU', 'NZ,AU']);
    refuses('supplier', 'countries', ['nz', 'NZL', 'NZ AU', 'NZ,'], /two capital letters/);
    accepts('supplier', 'currency', ['EUR']);
    refuses('supplier', 'currency', ['', 'eur', 'EURO'], /three capital letters/);
  });

  it('an IBAN whose check digits are wrong', () => {
    const options = (iban: string) => ({ iban });
    accepts('bank-account', 'options', [
      options('DE89 3704 0044 0532 0130 00'),
      options('GB82WEST12345698765432'),
      options('${OUR_IBAN}'),
    ]);
    refuses('bank-account', 'options', [{}, options(''), options('DE88370400440532013000'), options('4711')], /IBAN/);
  });

  it('options of a generic partner that are not JSON, or describe no operations', () => {
    accepts('erp-system', 'options', [{ operations: {} }], { product: 'generic' });
    refuses('erp-system', 'options', ['{ "auth": '], /not valid JSON/, { product: 'generic' });
    refuses('erp-system', 'options', [{}, { operations: [] }], /operations/, { product: 'generic' });
    accepts('erp-system', 'options', [{}, { database: 'prod' }], { product: 'odoo' });
  });

  it('offers and rules with gaps, and says in which row', () => {
    const offer = { supplier: 'vineyard', sku: 'WINE-1', unitCost: '8.10', currency: 'EUR', stock: '' };
    accepts('supplier-route', 'offers', [[], [offer]]);
    refuses('supplier-route', 'offers', [[offer, { ...offer, sku: '' }]], /Row 2 .*SKU/);
    refuses('supplier-route', 'offers', [[{ ...offer, unitCost: '8,10' }]], /Row 1 .*Unit cost/);
    const rule = { action: 'exclude', supplier: 'vineyard', field: 'country', operator: 'is', value: 'US' };
    accepts('supplier-route', 'rules', [[], [rule]]);
    refuses('supplier-route', 'rules', [[{ ...rule, supplier: '' }]], /Row 1 .*Supplier/);
  });
});
