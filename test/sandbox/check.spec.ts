import should from 'should';
import { check, type Books } from '../../sandbox/check.ts';
import type { EffectRecord } from '../../sandbox/world.ts';

/** Books that agree: an order of two lines from two suppliers, of which one gave a line back to the other; shipped, billed and paid. */
function good(): Books {
  const eur = (minor: number) => ({ minor, currency: 'EUR' });
  const poLine = (orderLine: string, sku: string, quantity: string, freed = '0') => ({
    id: '1',
    orderLine,
    sku,
    name: sku,
    quantity,
    unitCost: eur(700),
    accepted: freed === '0' ? quantity : '0',
    freed,
    shipped: freed === '0' ? quantity : '0',
    billed: freed === '0' ? quantity : '0',
  });
  const po = (number: number, supplier: string, line: ReturnType<typeof poLine>) => ({
    type: 'purchase-order',
    id: `shop-7-${number}`,
    orderId: 'shop-7',
    supplier,
    lines: [line],
  });
  const view = {
    order: {
      type: 'order',
      id: 'shop-7',
      shop: 'shop',
      shopOrderId: '7',
      lines: [
        { id: '8', sku: 'WINE', quantity: '2' },
        { id: '9', sku: 'KNIFE', quantity: '1' },
      ],
    },
    state: 'complete',
    purchaseOrders: [
      po(1, 'prompt', poLine('8', 'WINE', '2')),
      po(2, 'moody', poLine('9', 'KNIFE', '1', '1')),
      po(3, 'parcels', poLine('9', 'KNIFE', '1')),
    ],
    shipments: [
      { id: 'prompt/SH-shop-7-1-1', purchaseOrder: 'shop-7-1', parcels: [{ carrier: 'DHL', trackingNumber: 'JD1' }] },
      { id: 'parcels/SH-shop-7-3-1', purchaseOrder: 'shop-7-3', parcels: [{ carrier: 'DHL', trackingNumber: 'JD3' }] },
    ],
    bills: [
      {
        id: 'prompt/INV-shop-7-1',
        supplier: 'prompt',
        purchaseOrder: 'shop-7-1',
        total: eur(1400),
        lines: [{ line: '1', quantity: '2' }],
        state: 'paid',
      },
      {
        id: 'parcels/INV-shop-7-3',
        supplier: 'parcels',
        purchaseOrder: 'shop-7-3',
        total: eur(700),
        lines: [{ line: '1', quantity: '1' }],
        state: 'paid',
      },
    ],
    payments: [
      {
        bill: 'prompt/INV-shop-7-1',
        endToEndId: 'prompt/A',
        run: 'run-1',
        state: 'paid',
        beneficiary: { iban: 'DE89370400440532013000' },
      },
      {
        bill: 'parcels/INV-shop-7-3',
        endToEndId: 'parcels/B',
        run: 'run-1',
        state: 'paid',
        beneficiary: { iban: 'CZ6508000000192000145399' },
      },
    ],
    exceptions: [],
    history: [],
  };
  const log: EffectRecord[] = [];
  const effects: object[] = [];
  const happened = (
    partner: string,
    operation: string,
    reference: string,
    id: string,
    detail: EffectRecord['detail'] = {},
  ) => log.push({ seq: log.length + 1, at: '2026-11-23T00:00:00.000Z', partner, operation, reference, id, detail });
  const did = (
    kind: string,
    partner: string,
    document: string,
    step: string,
    result: unknown,
    orderId: string | null = 'shop-7',
  ) =>
    effects.push({
      key: `${kind}/${partner}/${document}/${step}`,
      eventId: '1',
      orderId,
      partner,
      kind,
      document,
      step,
      state: 'done',
      attempt: 1,
      result,
      error: null,
    });

  happened('shop', 'order.place', '7', '7');
  happened('shop', 'order.place', '90', '90');
  happened('erp', 'customer.create', 'shop-7/customer', '4');
  happened('erp', 'sale.create', 'shop-7', '1');
  did('so-create', 'erp', 'shop-7', 'create', 1);
  happened('erp', 'sale.confirm', 'shop-7', '1');
  did('so-create', 'erp', 'shop-7', 'confirm', { id: '1', number: 'S1' });
  for (const [number, supplier, line, item, amount, iban, payment] of [
    [
      '1',
      'prompt',
      { line: '1', sku: 'WINE', quantity: '2' },
      { item_id: 8, qty: 2 },
      '14.00',
      'DE89370400440532013000',
      'prompt/A',
    ],
    ['2', 'moody', { line: '1', sku: 'KNIFE', quantity: '1' }, undefined, '', '', ''],
    [
      '3',
      'parcels',
      { line: '1', sku: 'KNIFE', quantity: '1' },
      { item_id: 9, qty: 1 },
      '7.00',
      'CZ6508000000192000145399',
      'parcels/B',
    ],
  ] as const) {
    const id = `shop-7-${number}`;
    happened('erp', 'purchase.create', id, number);
    did('po-create', 'erp', id, 'create', Number(number));
    happened('erp', 'purchase.confirm', id, number);
    did('po-create', 'erp', id, 'confirm', { id: number, number: `P${number}` });
    happened(supplier, 'order.accept', id, `SO-${id}`, { lines: [line] });
    did('po-send', supplier, id, 'send', { supplierOrderId: `SO-${id}` });
    if (!item) {
      happened('erp', 'purchase.cancel', id, number);
      did('po-change', 'erp', `${id}/1`, 'cancel', { id: number });
      continue;
    }
    const shipment = `${supplier}/SH-${id}-1`;
    happened(supplier, 'shipment.send', id, `SH-${id}-1`, { lines: [line] });
    happened('erp', 'receipt.done', shipment, `1${number}`);
    did('shipment-receive', 'erp', shipment, 'validate', { id: `1${number}` });
    happened('shop', 'fulfilment.create', `7/JD${number}`, `10${number}`, {
      by: 'fulfilment',
      order: 7,
      items: [item],
    });
    happened('shop', 'customer.notify', '7', `10${number}`, { by: 'fulfilment', tracking: `JD${number}` });
    did('shipment-tell', 'shop', shipment, 'fulfil', { id: `10${number}`, note: false });
    const bill = `${supplier}/INV-${id}`;
    happened('erp', 'bill.create', bill, `2${number}`);
    did('bill-enter', 'erp', bill, 'create', Number(`2${number}`));
    happened('erp', 'bill.post', bill, `2${number}`);
    did('bill-enter', 'erp', bill, 'post', { id: `2${number}`, number: 'B' });
    happened('bank', 'payment.execute', payment, `TX-${payment}`, {
      iban,
      amount,
      currency: 'EUR',
      remittance: `INV-${id}`,
    });
    happened('erp', 'payment.create', payment, `3${number}`, { bill });
    did('pay-register', 'erp', payment, 'pay', { id: `3${number}`, number: 'P' });
  }
  happened('shop', 'order.complete', '7', '7', { by: 'api' });
  did('order-complete', 'shop', 'shop-7', 'complete', { status: 'completed' });
  happened('erp', 'sale.complete', 'shop-7', '1');
  did('so-complete', 'erp', 'shop-7', 'lock', { number: 'S1' });
  happened('bank', 'file.accept', 'run-1', 'run-1', {});
  did('pay-send', 'bank', 'run-1', 'hand-over', { file: 'run-1.xml' }, null);
  return { views: [view], effects, log } as unknown as Books;
}

/** The books after somebody has spoiled them. Types are left aside: what is spoiled need not fit them. */
function spoiled(spoil: (books: any) => void): string[] {
  const books = good();
  spoil(books);
  return check(books);
}

type Spoilt = any;

const entry = (books: Spoilt, operation: string, reference?: string) =>
  books.log.find(
    (each: EffectRecord) => each.operation === operation && (reference === undefined || each.reference === reference),
  );
const effect = (books: Spoilt, key: string) => books.effects.find((each: { key: string }) => each.key === key);
const without = (list: unknown[], item: unknown) => list.splice(list.indexOf(item), 1);

describe('The checker of ledger and partners', () => {
  it('finds nothing wrong where the books agree', () => {
    should(check(good())).eql([]);
  });

  it('leaves out what belongs to orders that are not looked at', () => {
    should(
      spoiled((books) => {
        books.log.push({ ...entry(books, 'sale.create'), reference: 'shop-90' });
        books.log.push({
          ...entry(books, 'payment.execute'),
          reference: 'prompt/Z',
          detail: { remittance: 'INV-shop-90-1' },
        });
      }),
    ).eql([]);
  });

  for (const operation of [
    'customer.create',
    'sale.create',
    'sale.confirm',
    'sale.complete',
    'purchase.create',
    'purchase.confirm',
    'purchase.cancel',
    'order.accept',
    'receipt.done',
    'fulfilment.create',
    'customer.notify',
    'order.complete',
    'bill.create',
    'bill.post',
    'file.accept',
    'payment.execute',
    'payment.create',
  ]) {
    it(`I2: reports that a partner did ${operation} twice`, () => {
      const problems = spoiled((books) => books.log.push({ ...entry(books, operation), id: 'other' }));
      should(problems.join(' ')).match(new RegExp(`${operation.replace('.', '\\.')} .* happened 2 times`));
    });
  }

  for (const key of [
    'so-create/erp/shop-7/create',
    'so-create/erp/shop-7/confirm',
    'so-complete/erp/shop-7/lock',
    'po-create/erp/shop-7-1/create',
    'po-create/erp/shop-7-1/confirm',
    'po-change/erp/shop-7-2/1/cancel',
    'po-send/prompt/shop-7-1/send',
    'shipment-receive/erp/prompt/SH-shop-7-1-1/validate',
    'shipment-tell/shop/prompt/SH-shop-7-1-1/fulfil',
    'order-complete/shop/shop-7/complete',
    'bill-enter/erp/prompt/INV-shop-7-1/create',
    'bill-enter/erp/prompt/INV-shop-7-1/post',
    'pay-send/bank/run-1/hand-over',
    'pay-register/erp/prompt/A/pay',
  ]) {
    it(`I3: reports what a partner did without ${key} in the ledger`, () => {
      should(spoiled((books) => without(books.effects, effect(books, key))).join(' ')).match(
        /has no effect in the ledger/,
      );
    });

    it(`I3: reports that ${key} is unsettled, and that it counts as refused although the partner did it`, () => {
      should(spoiled((books) => (effect(books, key).state = 'in-doubt')).join(' ')).match(/is not settled: in-doubt/);
      should(spoiled((books) => (effect(books, key).state = 'refused')).join(' ')).match(
        /refused according to the ledger, but .* did it/,
      );
    });

    it(`I4: reports that the partner does not have what ${key} says is done`, () => {
      const problems = spoiled(
        (books) => (books.log = books.log.filter((each: EffectRecord) => each.operation === 'order.place')),
      );
      should(problems.join(' ')).containEql(`${key} is done in the ledger, but`);
    });
  }

  it('I4: reports that a partner knows a document by another id', () => {
    should(spoiled((books) => (effect(books, 'po-create/erp/shop-7-1/create').result = 99)).join(' ')).match(
      /has the id 99 in the ledger, but erp calls it 1/,
    );
    should(spoiled((books) => (entry(books, 'order.accept').id = 'SO-other')).join(' ')).match(
      /prompt calls it SO-other/,
    );
    should(spoiled((books) => (entry(books, 'fulfilment.create').id = '5')).join(' ')).match(/shop calls it 5/);
  });

  it('I4: reports what belongs to no order', () => {
    should(
      spoiled((books) => books.log.push({ ...entry(books, 'sale.create'), reference: '', id: '77' })).join(' '),
    ).match(/belongs to no order/);
    should(
      spoiled((books) =>
        books.log.push({ ...entry(books, 'payment.execute'), reference: 'x', id: 'x', detail: {} }),
      ).join(' '),
    ).match(/belongs to no order/);
  });

  it('I1: reports a ship notice or bill that was sent and is not in the ledger', () => {
    should(spoiled((books) => books.views[0].shipments.pop()).join(' ')).match(
      /parcels sent SH-shop-7-3-1, which the ledger does not have/,
    );
    should(
      spoiled((books) =>
        books.log.push({ ...entry(books, 'shipment.send'), operation: 'bill.send', id: 'INV-2' }),
      ).join(' '),
    ).match(/prompt sent INV-2, which/);
    should(
      spoiled((books) =>
        books.log.push({ ...entry(books, 'shipment.send'), operation: 'acknowledgement.send', id: 'ACK-2' }),
      ).join(' '),
    ).match(/prompt sent ACK-2, which/);
  });

  it('I5: reports lines that are on too many or too few purchase orders', () => {
    should(spoiled((books) => (books.views[0].purchaseOrders[1].lines[0].freed = '0')).join(' ')).match(
      /Line 9 .* more than was ordered/,
    );
    const few = (books: Spoilt) => (books.views[0].purchaseOrders[2].lines[0].freed = '1');
    should(spoiled(few).join(' ')).match(/Line 9 .* no exception is open/);
    const explained = spoiled((books) => {
      few(books);
      books.views[0].order.undeliverable = [{ orderLine: '9', sku: 'KNIFE', quantity: '1' }];
    });
    should(explained.join(' ')).not.match(/Line 9/);
    const waiting = spoiled((books) => {
      few(books);
      books.views[0].exceptions = [{ state: 'open', code: 'NOBODY_DELIVERS' }];
    });
    should(waiting.join(' ')).not.match(/Line 9/);
  });

  it('I5: reports that a supplier was asked for something else than the purchase order says', () => {
    should(spoiled((books) => (entry(books, 'order.accept').detail.lines[0].quantity = '3')).join(' ')).match(
      /was asked for 3/,
    );
  });

  it('I6: reports a bill that was paid twice, with another amount or currency, or to another account', () => {
    const twice = spoiled((books) => {
      books.views[0].payments.push({ ...books.views[0].payments[0], endToEndId: 'prompt/C' });
      books.log.push({ ...entry(books, 'payment.execute'), reference: 'prompt/C' });
    });
    should(twice.join(' ')).match(/Bill prompt\/INV-shop-7-1 was paid 2 times/);
    should(spoiled((books) => (entry(books, 'payment.execute').detail.amount = '14.01')).join(' ')).match(
      /the bank paid 14.01/,
    );
    should(spoiled((books) => (entry(books, 'payment.execute').detail.currency = 'USD')).join(' ')).match(/14.00 USD/);
    should(spoiled((books) => (entry(books, 'payment.execute').detail.iban = 'BE68539007547034')).join(' ')).match(
      /the bank paid BE68539007547034/,
    );
  });

  it('I6: reports a payment that no order knows, and a paid bill that the bank never paid', () => {
    const unknown = spoiled((books) =>
      books.log.push({ ...entry(books, 'payment.execute'), reference: 'x', detail: { remittance: 'INV-shop-7-1' } }),
    );
    should(unknown.join(' ')).match(/x, which no order knows/);
    should(spoiled((books) => without(books.log, entry(books, 'payment.execute'))).join(' ')).match(
      /the bank did not execute it/,
    );
    should(spoiled((books) => (books.views[0].payments[0].state = 'sent')).join(' ')).match(
      /was paid, but counts as sent/,
    );
  });

  it('I7: reports what was paid before it was matched, or for goods that did not ship', () => {
    should(spoiled((books) => (entry(books, 'bill.post').seq = 1000)).join(' ')).match(/before it was matched/);
    should(spoiled((books) => (books.views[0].bills[0].state = 'mismatch')).join(' ')).match(
      /although it is "mismatch"/,
    );
    should(spoiled((books) => (books.views[0].bills[0].lines[0].quantity = '3')).join(' ')).match(
      /was paid for 3 of line 1, but 2 shipped/,
    );
  });

  it('I8: reports what one supplier did to the purchase order of another', () => {
    should(spoiled((books) => (entry(books, 'order.accept').partner = 'moody')).join(' ')).match(
      /is for prompt, but moody has it/,
    );
    should(spoiled((books) => (books.views[0].bills[0].supplier = 'moody')).join(' ')).match(
      /of moody was paid, but shop-7-1 is prompt's/,
    );
  });

  it('I9: reports that the customer was told, or the ledger counts, more than was shipped', () => {
    should(spoiled((books) => (entry(books, 'fulfilment.create').detail.items[0].qty = 3)).join(' ')).match(
      /told the customer .* 3 of WINE were sent, but 2 were/,
    );
    should(spoiled((books) => (books.views[0].purchaseOrders[0].lines[0].shipped = '3')).join(' ')).match(
      /counts 3 as shipped, but prompt shipped 2/,
    );
  });
});
