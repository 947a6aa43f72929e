import should from 'should';
import type { Bill } from '../../orders/bill.ts';
import { DroplineError, InDoubt } from '../../orders/errors.ts';
import { parseMoney } from '../../orders/money.ts';
import type { Order } from '../../orders/order.ts';
import type { Payment } from '../../orders/payment.ts';
import type { PurchaseOrder } from '../../orders/purchase-order.ts';
import type { Shipment } from '../../orders/shipment.ts';
import { createOdoo } from '../../partners/erp/odoo.ts';
import type { ErpDocument, ErpSystem } from '../../partners/erp/port.ts';
import { createHttp, type Http } from '../../partners/http.ts';
import type { Write, Writer } from '../../partners/write.ts';
import { createOdoo as createSandboxOdoo, type Odoo, type OdooOptions } from '../../sandbox/odoo.ts';
import { serve } from '../../sandbox/serve.ts';
import { createWorld, type FaultKind, type World } from '../../sandbox/world.ts';

const API_KEY = 'sandbox-odoo-key';
const eur = (amount: string) => parseMoney(amount, 'EUR');
const attempt = (number = 1) => ({ key: 'k', number, signal: AbortSignal.timeout(5000) });

/** Sends each write once, after a look where the write asks for one. */
const plain: Writer = async (write) => (await lookFirst(write)) ?? write.send(attempt());

/** Throws the answer away and then only believes the probe. */
const forgetful: Writer = async (write) => {
  const there = await lookFirst(write);
  if (there !== undefined) return there;
  await write.send(attempt());
  return probe(write);
};

/** As the ledger does it: looks first where asked, and settles a doubt by the probe before it sends again. */
const ledgerLike: Writer = async (write) => {
  const known = await lookFirst(write);
  if (known !== undefined) return known;
  for (let number = 1; ; number += 1) {
    try {
      return await write.send(attempt(number));
    } catch (error) {
      if (!(error instanceof InDoubt) || number === 5 || write.settle !== 'probe') throw error;
      const there = await write.find();
      if (there !== undefined) return there;
    }
  }
};

async function lookFirst<Result>(write: Write<Result>): Promise<Result | undefined> {
  return write.settle === 'probe' && write.look === 'always' ? write.find() : undefined;
}

async function probe<Result>(write: Write<Result>): Promise<Result> {
  if (write.settle !== 'probe') throw new Error(`${write.step} cannot be probed`);
  const found = await write.find();
  if (found === undefined) throw new Error(`${write.step} was done, but the probe does not find it`);
  return found;
}

const order: Order = {
  type: 'order',
  id: 'shop-1001',
  shop: 'shop',
  shopOrderId: '1001',
  number: '1001',
  placedAt: '2026-11-22T10:00:00Z',
  changedAt: '2026-11-22T10:00:00Z',
  currency: 'EUR',
  customer: { name: 'Anna Beispiel', email: 'anna@example.com' },
  shipTo: {
    name: 'Anna Beispiel',
    street: 'Lindenweg 4',
    postalCode: '10115',
    city: 'Berlin',
    region: 'Berlin',
    country: 'DE',
  },
  lines: [
    { id: '11', sku: 'WINE-RIESLING', name: 'Riesling dry', quantity: '3', unitPrice: eur('12.90') },
    { id: '12', sku: 'OIL-OLIVE', name: 'Olive oil', quantity: '2', unitPrice: eur('11.90') },
  ],
  shipping: eur('4.90'),
  total: eur('67.40'),
  revision: 0,
};

const po: PurchaseOrder = {
  type: 'purchase-order',
  id: 'shop-1001-1',
  orderId: 'shop-1001',
  supplier: 'prompt',
  round: 1,
  createdAt: '2026-11-22T10:01:00Z',
  currency: 'EUR',
  shipTo: order.shipTo,
  lines: [poLine('1', '11', 'WINE-RIESLING', '3', '7.10'), poLine('2', '12', 'OIL-OLIVE', '2', '6.20')],
  shipping: eur('4.90'),
  total: eur('38.60'),
  revision: 0,
  state: 'allocated',
};

function poLine(id: string, orderLine: string, sku: string, quantity: string, cost: string) {
  return {
    id,
    orderLine,
    sku,
    name: sku,
    quantity,
    unitCost: eur(cost),
    accepted: '0',
    freed: '0',
    shipped: '0',
    billed: '0',
  };
}

function shipmentOf(id: string, quantities: Record<string, string>): Shipment {
  return {
    type: 'shipment',
    id: `prompt/${id}`,
    number: id,
    supplier: 'prompt',
    purchaseOrder: po.id,
    orderId: order.id,
    shippedAt: '2026-11-23T08:00:00Z',
    parcels: [{ carrier: 'DHL', trackingNumber: `TRACK-${id}` }],
    lines: po.lines
      .filter((line) => quantities[line.id] !== undefined)
      .map((line) => ({ line: line.id, orderLine: line.orderLine, sku: line.sku, quantity: quantities[line.id]! })),
  };
}

function billOf(number: string, quantities: Record<string, string>, total: string, shipping?: string): Bill {
  return {
    type: 'bill',
    id: `prompt/${number}`,
    number,
    supplier: 'prompt',
    purchaseOrder: po.id,
    orderId: order.id,
    issuedAt: '2026-11-23T09:00:00Z',
    dueAt: '2026-12-07',
    currency: 'EUR',
    lines: po.lines
      .filter((line) => quantities[line.id] !== undefined)
      .map((line) => ({ line: line.id, sku: line.sku, quantity: quantities[line.id]!, unitCost: line.unitCost })),
    ...(shipping === undefined ? {} : { shipping: eur(shipping) }),
    total: eur(total),
  };
}

function paymentOf(bill: ErpDocument, amount: string, endToEndId: string): Payment {
  return {
    type: 'payment',
    id: 'pay/prompt/INV-5',
    endToEndId,
    run: 'run-1',
    bill: 'prompt/INV-5',
    billNumber: 'INV-5',
    supplier: 'prompt',
    erp: 'erp',
    erpBillId: bill.id,
    orderId: order.id,
    amount: eur(amount),
    beneficiary: {
      supplier: 'prompt',
      version: 1,
      name: 'Prompt',
      iban: 'DE89370400440532013000',
      address: order.shipTo,
    },
    state: 'paid',
    settledAt: '2026-12-07T06:00:00Z',
  };
}

async function failure(work: Promise<unknown>): Promise<DroplineError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  should(error).be.instanceOf(DroplineError);
  return error as DroplineError;
}

describe('Odoo', () => {
  let world: World;
  let sandbox: Odoo;
  let close: () => Promise<void>;
  let url: string;
  let http: Http;
  let erp: ErpSystem;

  async function start(options: Partial<OdooOptions> = {}): Promise<void> {
    world = createWorld();
    sandbox = createSandboxOdoo(world, { apiKey: API_KEY, database: 'sandbox', ...options });
    const listener = await serve(world, sandbox, 0);
    url = listener.url;
    http = createHttp({ partner: 'erp', timeout: 400 });
    close = async () => {
      http.close();
      await listener.close();
      world.close();
    };
    erp = adapter();
  }

  function adapter(options: Record<string, unknown> = {}, apiKey: string | undefined = API_KEY): ErpSystem {
    const settings = {
      reference: 'erp',
      baseUrl: `${url}/`,
      options: { database: 'sandbox', ...options },
      credentials: { apiKey },
    };
    return createOdoo(settings, { http, now: () => Date.now() });
  }

  const effects = (operation: string) => world.effects.filter((effect) => effect.operation === operation);
  const fail = (kind: FaultKind, operation?: string) =>
    world.faults.push({ partner: 'erp', kind, times: 1, ...(operation === undefined ? {} : { operation }) });
  const withErp = <Document extends Order | PurchaseOrder>(document: Document, known: ErpDocument): Document => ({
    ...document,
    erp: { partner: 'erp', ...known },
  });
  async function ordered(write: Writer = plain) {
    const sale = withErp(order, await erp.createOrder(order, write));
    const purchase = withErp(po, await erp.createPurchaseOrder(po, sale, write));
    return { sale, purchase };
  }

  beforeEach(() => start());
  afterEach(() => close());

  describe('a number that a person found in it', () => {
    /** As the ledger after a person's answer: what would be created is taken over from the number. */
    const adopting =
      (number: string): Writer =>
      (write) =>
        write.adopt && /create|pay/.test(write.step) ? write.adopt(number) : plain(write);
    const codeAndMessage = async (work: Promise<unknown>) => {
      const { code, message } = await failure(work);
      return `${code} ${message}`;
    };

    it('stands for the sale and the purchase order, which are not made a second time', async () => {
      const { sale, purchase } = await ordered();
      const known = await erp.createOrder(order, adopting(sale.erp!.number));
      known.should.match({ id: sale.erp!.id, number: sale.erp!.number });
      const adopted = await erp.createPurchaseOrder(po, sale, adopting(purchase.erp!.number));
      adopted.should.match({ id: purchase.erp!.id, number: purchase.erp!.number });
      [effects('sale.create').length, effects('purchase.create').length].should.deepEqual([1, 1]);
    });

    it("is refused when it is nobody's, another order's, another supplier's, or has other quantities", async () => {
      const { sale, purchase } = await ordered();
      const { number } = purchase.erp!;
      const adopt = (changes: Partial<PurchaseOrder>, as = number) =>
        codeAndMessage(erp.createPurchaseOrder({ ...po, ...changes }, sale, adopting(as)));
      (await adopt({}, 'P99999')).should.match(/^NUMBER_UNKNOWN .*no document with the number "P99999"/);
      (await adopt({ id: 'shop-1001-2' })).should.match(/^NUMBER_DIFFERS .*belongs to shop-1001-1, not to shop-1001-2/);
      (await adopt({ supplier: 'parcels' })).should.match(/^NUMBER_DIFFERS .*is an order to .*, not to parcels/);
      (await adopt({ currency: 'USD' })).should.match(/^NUMBER_DIFFERS .*is in EUR instead of USD/);
      const lines = po.lines.map((line) => ({ ...line, quantity: '9' }));
      (await adopt({ lines })).should.match(/^NUMBER_DIFFERS .*orders \d+ of line 1 .* instead of 9/);
      const other = codeAndMessage(erp.createOrder({ ...order, id: 'shop-1002' }, adopting(sale.erp!.number)));
      (await other).should.match(/^NUMBER_DIFFERS .*belongs to shop-1001, not to shop-1002/);
      effects('purchase.create').should.have.length(1);
    });

    it('stands for a bill and a payment with the same amount, and for no other', async () => {
      const { purchase, first } = await cycle(plain);
      const bill = billOf('INV-5', { 1: '1', 2: '2' }, '24.40', '4.90');
      for (const number of ['INV-5', first.number])
        (await erp.enterBill(bill, purchase, adopting(number))).id.should.equal(first.id);
      (await codeAndMessage(erp.enterBill(bill, purchase, adopting('INV-6')))).should.match(
        /^NUMBER_DIFFERS .*is about 14.20 EUR instead of 24.40 EUR/,
      );
      const payment = paymentOf(first, '24.40', 'E2E-5');
      const known = await erp.registerPayment(payment, plain);
      (await erp.registerPayment(payment, adopting(known.number))).should.deepEqual(known);
      const dear = codeAndMessage(erp.registerPayment({ ...payment, amount: eur('25.00') }, adopting(known.number)));
      (await dear).should.match(/^NUMBER_DIFFERS .*24.40 EUR instead of 25.00 EUR/);
      const another = codeAndMessage(erp.registerPayment({ ...payment, erpBillId: '99' }, adopting(known.number)));
      (await another).should.match(/^NUMBER_DIFFERS .*does not pay INV-5/);
    });
  });

  /** The whole life of one order with two shipments and two bills. */
  async function cycle(write: Writer) {
    const { sale, purchase } = await ordered(write);
    await erp.receiveShipment(shipmentOf('SH-1', { 1: '1', 2: '2' }), purchase, write);
    await erp.receiveShipment(shipmentOf('SH-2', { 1: '2' }), purchase, write);
    const completed = await erp.completeOrder(sale, write);
    const first = await erp.enterBill(billOf('INV-5', { 1: '1', 2: '2' }, '24.40', '4.90'), purchase, write);
    const second = await erp.enterBill(billOf('INV-6', { 1: '2' }, '14.20'), purchase, write);
    const due = await erp.payables('2026-12-07');
    const payment = await erp.registerPayment(paymentOf(first, '24.40', 'E2E-5'), write);
    return { sale, purchase, completed, first, second, due, payment };
  }

  function oneOfEach(): void {
    const counted = Object.fromEntries(
      [...new Set(world.effects.map((one) => one.operation))].map((name) => [name, effects(name).length]),
    );
    counted.should.deepEqual({
      'customer.create': 1,
      'address.create': 1,
      'sale.create': 1,
      'sale.confirm': 1,
      'purchase.create': 1,
      'purchase.confirm': 1,
      'receipt.done': 2,
      'sale.complete': 1,
      'bill.create': 2,
      'bill.post': 2,
      'payment.create': 1,
    });
  }

  it('carries an order from the sale to the paid bill', async () => {
    const { sale, purchase, completed, first, due, payment } = await cycle(plain);
    sale.erp!.number.should.match(/^S\d+$/);
    purchase.erp!.number.should.match(/^P\d+$/);
    completed.should.have.properties({ state: 'sale', deliveries: 'full' });
    first.number.should.startWith('BILL/');
    due.should.deepEqual([
      { erpBillId: '1', billNumber: 'INV-5', purchaseOrder: 'shop-1001-1', open: eur('24.40'), dueAt: '2026-12-07' },
      { erpBillId: '2', billNumber: 'INV-6', purchaseOrder: 'shop-1001-1', open: eur('14.20'), dueAt: '2026-12-07' },
    ]);
    payment.number.should.startWith('PBNK1/');
    (await erp.payables('2026-12-07')).map((bill) => bill.billNumber).should.deepEqual(['INV-6']);
    oneOfEach();
    effects('sale.create')[0]!.should.containDeep({ reference: 'shop-1001', detail: { total: 67.4 } });
    effects('purchase.create')[0]!.should.containDeep({
      reference: 'shop-1001-1',
      detail: { vendor: 'prompt', total: 33.7 },
    });
    effects('bill.post')
      .map((effect) => effect.reference)
      .should.deepEqual(['prompt/INV-5', 'prompt/INV-6']);
    effects('payment.create')[0]!.should.containDeep({
      reference: 'E2E-5',
      detail: { amount: 24.4, bill: 'prompt/INV-5' },
    });
    // The delivery from the own warehouse must not stay open: somebody would send the goods again.
    sandbox.store
      .rows('stock.picking')
      .find((row) => String(row['name']).startsWith('WH/OUT'))!
      ['state']!.should.equal('cancel');
  });

  it('links the purchase order to the sale and to the ship-to address', async () => {
    const { sale, purchase } = await ordered();
    const odooPurchase = sandbox.store.get('purchase.order', Number(purchase.erp!.id));
    should(odooPurchase['origin']).equal(sale.erp!.number);
    const odooSale = sandbox.store.get('sale.order', Number(sale.erp!.id));
    should(odooPurchase['dest_address_id']).equal(odooSale['partner_shipping_id']);
    const shipTo = sandbox.store.get('res.partner', odooPurchase['dest_address_id'] as number);
    shipTo.should.have.properties({ type: 'delivery', street: 'Lindenweg 4', parent_id: odooSale['partner_id'] });
  });

  it('finds every write by its probe when the answer was thrown away', async () => {
    await cycle(forgetful);
    oneOfEach();
  });

  for (const kind of [
    'reset-after',
    'error-after',
    'garbage',
    'hang',
    'error-before',
    'reset-before',
    'maintenance',
  ] as const) {
    it(`makes nothing twice and loses nothing when each write meets ${kind}`, async () => {
      const writes = [
        'customer.create',
        'address.create',
        'sale.create',
        'sale.confirm',
        'purchase.create',
        'purchase.confirm',
      ];
      const later = [
        'receipt.prepare',
        'receipt.done',
        'delivery.cancel',
        'sale.complete',
        'bill.create',
        'bill.post',
        'payment.create',
      ];
      for (const operation of [...writes, ...later]) fail(kind, operation);
      await cycle(ledgerLike);
      world.faults.filter((fault) => fault.times > 0).should.deepEqual([], 'every fault has struck');
      oneOfEach();
    });
  }

  it('does nothing more when an operation runs again from its beginning, even with an empty ledger', async () => {
    await cycle(ledgerLike);
    await cycle(ledgerLike);
    oneOfEach();
  });

  it('uses the contact and address of a registered customer again, but not those of a guest', async () => {
    const registered = (id: string): Order => ({ ...order, id, customer: { ...order.customer, shopCustomerId: '77' } });
    await Promise.all([
      erp.createOrder(registered('shop-1'), ledgerLike),
      erp.createOrder(registered('shop-2'), ledgerLike),
    ]);
    effects('customer.create')
      .map((effect) => effect.reference)
      .should.deepEqual(['shop/customer/77']);
    effects('address.create').should.have.length(1);
    await erp.createOrder({ ...order, id: 'shop-3' }, ledgerLike);
    effects('customer.create').should.have.length(2);
  });

  it('gives each of two partial shipments a done picking of its own, also when they come at the same time', async () => {
    const { purchase } = await ordered();
    const [first, second] = await Promise.all([
      erp.receiveShipment(shipmentOf('SH-1', { 1: '2' }), purchase, ledgerLike),
      erp.receiveShipment(shipmentOf('SH-2', { 1: '1', 2: '2' }), purchase, ledgerLike),
    ]);
    first.id.should.not.equal(second.id);
    const pickings = [first, second].map(({ id }) => sandbox.store.get('stock.picking', Number(id)));
    pickings.map((row) => row['state']).should.deepEqual(['done', 'done']);
    pickings.map((row) => row['carrier_tracking_ref']).should.deepEqual(['TRACK-SH-1', 'TRACK-SH-2']);
    effects('receipt.done')
      .map((effect) => effect.detail)
      .should.containDeepOrdered([
        { lines: [{ sku: 'WINE-RIESLING', quantity: 2 }] },
        {
          lines: [
            { sku: 'OIL-OLIVE', quantity: 2 },
            { sku: 'WINE-RIESLING', quantity: 1 },
          ],
        },
      ]);
  });

  it('does not take a picking that another shipment is being received on', async () => {
    const { purchase } = await ordered();
    const preparing: Writer = async (write) => {
      const result = await write.send(attempt());
      if (write.step === 'prepare') throw new InDoubt('CRASH', 'the process ended here');
      return result;
    };
    await failure(erp.receiveShipment(shipmentOf('SH-1', { 1: '2' }), purchase, preparing));
    (await failure(erp.receiveShipment(shipmentOf('SH-2', { 1: '1' }), purchase, plain))).code.should.equal(
      'RECEIPT_BUSY',
    );
    await erp.receiveShipment(shipmentOf('SH-1', { 1: '2' }), purchase, ledgerLike);
    await erp.receiveShipment(shipmentOf('SH-2', { 1: '1' }), purchase, ledgerLike);
    effects('receipt.done')
      .map((effect) => effect.reference)
      .should.deepEqual(['prompt/SH-1', 'prompt/SH-2']);
  });

  it('receives no more than the purchase order still expects', async () => {
    const { purchase } = await ordered();
    const error = await failure(erp.receiveShipment(shipmentOf('SH-1', { 1: '4' }), purchase, plain));
    error.code.should.equal('RECEIPT_NOT_OPEN');
    effects('receipt.done').should.have.length(0);
  });

  it('answers the question for a back-order where Odoo asks it although told not to', async () => {
    await close();
    await start({ alwaysAsksForBackorders: true });
    const { purchase } = await ordered();
    await erp.receiveShipment(shipmentOf('SH-1', { 1: '1' }), purchase, plain);
    await erp.receiveShipment(shipmentOf('SH-2', { 1: '2', 2: '2' }), purchase, plain);
    effects('receipt.done')
      .map((effect) => effect.reference)
      .should.deepEqual(['prompt/SH-1', 'prompt/SH-2']);
  });

  it('refuses a partial receipt where Odoo would cancel the rest', async () => {
    const { purchase } = await ordered();
    for (const type of sandbox.store.rows('stock.picking.type')) type['create_backorder'] = 'never';
    (await failure(erp.receiveShipment(shipmentOf('SH-1', { 1: '1' }), purchase, plain))).code.should.equal(
      'BACKORDERS_OFF',
    );
  });

  it('reduces a purchase order to what was not given back, and cancels it when nothing is left', async () => {
    const { purchase } = await ordered();
    const freed = (one: string, two: string): PurchaseOrder => ({
      ...purchase,
      revision: purchase.revision + 1,
      lines: purchase.lines.map((line) => ({ ...line, freed: line.id === '1' ? one : two })),
    });
    await erp.changePurchaseOrder(freed('1', '2'), forgetful);
    await erp.changePurchaseOrder(freed('1', '2'), plain);
    effects('purchase.change')
      .map((effect) => effect.detail)
      .should.deepEqual([
        { line: { sku: 'WINE-RIESLING', from: 3, to: 2 } },
        { line: { sku: 'OIL-OLIVE', from: 2, to: 0 } },
      ]);
    await erp.changePurchaseOrder(freed('3', '2'), forgetful);
    await erp.changePurchaseOrder(freed('3', '2'), plain);
    effects('purchase.cancel').should.have.length(1);
    const error = await failure(erp.changePurchaseOrder(freed('1', '2'), plain));
    error.code.should.equal('PURCHASE_CANCELLED');
  });

  it('says in Odoo’s words why a purchase order cannot be cancelled', async () => {
    const { purchase } = await ordered();
    await erp.receiveShipment(shipmentOf('SH-1', { 1: '1' }), purchase, plain);
    const all = { ...purchase, lines: purchase.lines.map((line) => ({ ...line, freed: line.quantity })) };
    const error = await failure(erp.changePurchaseOrder(all, plain));
    error.code.should.equal('ERP_REFUSED');
    error.message.should.match(/some receptions have already been done/);
  });

  it('stops at a purchase order that needs approval, and goes on once it is approved', async () => {
    await close();
    await start({ approvalFrom: 30 });
    const sale = withErp(order, await erp.createOrder(order, plain));
    const error = await failure(erp.createPurchaseOrder(po, sale, plain));
    error.code.should.equal('PURCHASE_NEEDS_APPROVAL');
    await http.json({
      method: 'POST',
      url: `${url}/json/2/purchase.order/button_approve`,
      headers: { authorization: `bearer ${API_KEY}` },
      json: { ids: [1] },
    });
    (await erp.createPurchaseOrder(po, sale, ledgerLike)).number.should.equal('P00001');
    effects('purchase.create').should.have.length(1);
  });

  describe('bills', () => {
    async function received() {
      const { purchase } = await ordered();
      await erp.receiveShipment(shipmentOf('SH-1', { 1: '3', 2: '2' }), purchase, plain);
      return purchase;
    }

    it('adopts its own bill and refuses the same number with another amount', async () => {
      const purchase = await received();
      const entered = await erp.enterBill(billOf('INV-5', { 1: '1' }, '7.10'), purchase, plain);
      (await erp.enterBill(billOf('INV-5', { 1: '1' }, '7.10'), purchase, plain)).should.deepEqual(entered);
      const error = await failure(erp.enterBill(billOf('INV-5', { 1: '2' }, '14.20'), purchase, ledgerLike));
      error.code.should.equal('BILL_DUPLICATE');
      error.message.should.match(/7\.10 EUR/);
      effects('bill.create').should.have.length(1);
    });

    it('refuses a number that a person has entered without this purchase order', async () => {
      const purchase = await received();
      const vendor = sandbox.store.get('purchase.order', Number(purchase.erp!.id))['partner_id']!;
      const line = [0, 0, { quantity: 1, price_unit: 7.1 }];
      sandbox.store.create('account.move', {
        move_type: 'in_invoice',
        partner_id: vendor,
        ref: 'INV-5',
        currency_id: 1,
        invoice_line_ids: [line],
      });
      (await failure(erp.enterBill(billOf('INV-5', { 1: '1' }, '7.10'), purchase, ledgerLike))).code.should.equal(
        'BILL_DUPLICATE',
      );
    });

    it('keeps the two bills of one purchase order apart when they come at the same time', async () => {
      const purchase = await received();
      const bills = [billOf('INV-5', { 1: '1' }, '7.10'), billOf('INV-6', { 1: '2', 2: '2' }, '26.60')];
      const entered = await Promise.all(bills.map((bill) => erp.enterBill(bill, purchase, ledgerLike)));
      new Set(entered.map((bill) => bill.id)).size.should.equal(2);
      effects('bill.post')
        .map((effect) => effect.detail)
        .should.containDeepOrdered([{ total: 7.1 }, { total: 26.6 }]);
    });

    it('waits when more is billed than was received', async () => {
      const { purchase } = await ordered();
      const error = await failure(erp.enterBill(billOf('INV-5', { 1: '1' }, '7.10'), purchase, plain));
      error.code.should.equal('RECEIPT_PENDING');
      effects('bill.create').should.have.length(0);
    });

    it('does not post a bill whose total Odoo computes differently', async () => {
      const purchase = await received();
      const error = await failure(erp.enterBill(billOf('INV-5', { 1: '1' }, '8.45'), purchase, plain));
      error.code.should.equal('BILL_TOTAL_DIFFERS');
      effects('bill.post').should.have.length(0);
    });

    it('takes the due date of the supplier, whatever the payment term of the vendor says', async () => {
      const purchase = await received();
      await erp.enterBill(billOf('INV-5', { 1: '1' }, '7.10'), purchase, plain);
      (await erp.payables('2026-12-06')).should.have.length(0);
      (await erp.payables('2026-12-07')).should.have.length(1);
    });

    it('lists payables beyond one page, each once', async () => {
      for (let number = 1; number <= 401; number += 1) {
        const line = [0, 0, { quantity: 1, price_unit: 0.1 * number }];
        const values = {
          move_type: 'in_invoice',
          state: 'posted',
          partner_id: 1,
          ref: `B-${number}`,
          currency_id: 1,
          invoice_date: '2026-11-01',
        };
        sandbox.store.create('account.move', { ...values, invoice_line_ids: [line] });
      }
      const due = await erp.payables('2026-12-31');
      new Set(due.map((bill) => bill.billNumber)).size.should.equal(401);
      due.find((bill) => bill.billNumber === 'B-3')!.open.should.deepEqual(eur('0.30'));
      should(due[0]!.purchaseOrder).be.undefined();
    });

    it('registers a payment once, in part where the bank paid in part, and never on a paid bill', async () => {
      const purchase = await received();
      const bill = await erp.enterBill(billOf('INV-5', { 1: '3' }, '21.30'), purchase, plain);
      const part = await erp.registerPayment(paymentOf(bill, '20.00', 'E2E-1'), plain);
      (await erp.registerPayment(paymentOf(bill, '20.00', 'E2E-1'), plain)).should.deepEqual(part);
      (await erp.payables('2026-12-07'))[0]!.open.should.deepEqual(eur('1.30'));
      await erp.registerPayment(paymentOf(bill, '1.30', 'E2E-2'), forgetful);
      (await failure(erp.registerPayment(paymentOf(bill, '1.30', 'E2E-3'), ledgerLike))).code.should.equal(
        'BILL_NOT_OPEN',
      );
      (await failure(erp.registerPayment(paymentOf(bill, '2.30', 'E2E-2'), ledgerLike))).code.should.equal(
        'PAYMENT_DIFFERS',
      );
      effects('payment.create').should.have.length(2);
    });
  });

  describe('what is missing in Odoo', () => {
    it('names the product or the vendor to create, and creates nothing', async () => {
      const unknown = { ...order, lines: [{ ...order.lines[0]!, sku: 'NEW-1' }] };
      const error = await failure(erp.createOrder(unknown, plain));
      error.code.should.equal('SKU_UNKNOWN');
      error.message.should.match(/"NEW-1".*Create it in Odoo/);
      const sale = withErp(order, await erp.createOrder(order, ledgerLike));
      (await failure(erp.createPurchaseOrder({ ...po, supplier: 'nobody' }, sale, plain))).code.should.equal(
        'VENDOR_UNKNOWN',
      );
      effects('purchase.create').should.have.length(0);
    });

    it('creates both, once, where the settings allow it', async () => {
      erp = adapter({ createMissing: true });
      const unknown = { ...order, lines: [{ ...order.lines[0]!, sku: 'NEW-1' }] };
      const sale = withErp(unknown, await erp.createOrder(unknown, forgetful));
      const purchase = { ...po, supplier: 'nobody', lines: [{ ...po.lines[0]!, sku: 'NEW-1' }] };
      await erp.createPurchaseOrder(purchase, sale, ledgerLike);
      effects('product.create')
        .map((effect) => effect.reference)
        .should.deepEqual(['NEW-1']);
      effects('vendor.create')
        .map((effect) => effect.reference)
        .should.deepEqual(['nobody']);
    });

    it('finds the vendor by the id or name in the settings', async () => {
      erp = adapter({ vendors: { one: 'Moody Imports B.V.', two: 2 } });
      const sale = withErp(order, await erp.createOrder(order, plain));
      await erp.createPurchaseOrder({ ...po, id: 'shop-1001-1', supplier: 'one' }, sale, ledgerLike);
      await erp.createPurchaseOrder({ ...po, id: 'shop-1001-2', supplier: 'two' }, sale, ledgerLike);
      effects('purchase.create')
        .map((effect) => effect.detail)
        .should.containDeepOrdered([{ vendor: 'moody' }, { vendor: 'parcels' }]);
    });

    it('does not choose between two products with one SKU', async () => {
      sandbox.store.create('product.product', { name: 'Twin', default_code: 'OIL-OLIVE' });
      (await failure(erp.createOrder(order, plain))).code.should.equal('SKU_AMBIGUOUS');
    });

    it('does not confirm a sale in another currency', async () => {
      const error = await failure(erp.createOrder({ ...order, currency: 'USD' }, plain));
      error.code.should.equal('CURRENCY_MISMATCH');
      effects('sale.confirm').should.have.length(0);
    });

    it('asks for the earlier node when a document has no number of the ERP', async () => {
      const error = await failure(erp.createPurchaseOrder(po, order, plain));
      error.code.should.equal('ERP_NUMBER_MISSING');
      error.message.should.match(/erp-create-order/);
    });
  });

  describe('connection', () => {
    it('says in one sentence that all is there', async () => {
      const test = await erp.testConnection();
      test.should.deepEqual({
        ok: true,
        message: 'erp (Odoo) answers, and Sales, Purchase, Inventory with drop shipping and Invoicing are there.',
      });
    });

    it('says what is wrong with the key, the database, the address or the apps', async () => {
      (await adapter({}, 'wrong').testConnection()).message.should.match(/refuses the API key/);
      (await adapter({}, '').testConnection()).message.should.match(/has no API key/);
      (await adapter({ database: 'other' }).testConnection()).message.should.match(/no JSON-2 interface.*database/);
      fail('maintenance');
      (await erp.testConnection()).message.should.match(/something unexpected/);
      sandbox.store.rows('stock.picking.type').find((row) => row['code'] === 'dropship')!['code'] = 'incoming';
      (await erp.testConnection()).message.should.match(/Switch Dropshipping on/);
      delete sandbox.store.models['purchase.order'];
      (await erp.testConnection()).message.should.equal(
        'erp (Odoo) answers, but lacks Purchase. Install it under Apps.',
      );
    });

    it('tells a configuration mistake from a refusal and a doubt', async () => {
      const classOf = async (work: Promise<unknown>) => (await failure(work)).constructor.name;
      (await classOf(adapter({}, 'wrong').payables('2026-12-31'))).should.equal('ConfigurationMistake');
      fail('maintenance');
      (await classOf(erp.payables('2026-12-31'))).should.equal('TemporaryFault');
      for (const [kind, expected] of [
        ['maintenance', 'InDoubt'],
        ['error-after', 'InDoubt'],
        ['refuse', 'BusinessRefusal'],
        ['rate-limit', 'TemporaryFault'],
      ] as const) {
        fail(kind, 'sale.create');
        (await classOf(erp.createOrder({ ...order, id: `shop-${kind}` }, ledgerOnce))).should.equal(expected, kind);
      }
    });

    const ledgerOnce: Writer = (write) => write.send(attempt());

    it('waits twice the time-out and half a minute for a late acceptance, unless told', () => {
      erp.settleTime.should.equal(70_000);
      adapter({ settleSeconds: 5 }).settleTime.should.equal(5000);
    });
  });
});
