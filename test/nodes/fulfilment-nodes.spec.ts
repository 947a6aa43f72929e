import should from 'should';
import { query } from '../../ledger/store.ts';
import { rerunEvent } from '../../ledger/events.ts';
import type { DropshipMessage } from '../../nodes/document-node.ts';
import type { Bill } from '../../orders/bill.ts';
import type { OrderLines } from '../../orders/order.ts';
import type { Shipment } from '../../orders/shipment.ts';
import { standardWebhookHeaders } from '../../sandbox/suppliers.ts';
import { isPlainJson, shippedRoute, startBench, until, type Bench, type TestNode } from './harness.ts';

const INTAKE: TestNode[] = [
  { id: 'in', type: 'ecommerce-receive', platform: 'dl-shop', pollMinutes: 0, wires: [['order'], [], ['cancel'], []] },
  { id: 'order', type: 'erp-create-order', erp: 'dl-erp', wires: [['route']] },
  { ...shippedRoute(), id: 'route', wires: [['po'], ['tell']] },
  { id: 'po', type: 'erp-create-po', erp: 'dl-erp', wires: [['send']] },
  { id: 'send', type: 'supplier-send', supplier: '', ledger: 'dl-ledger', wires: [['sent']] },
  { id: 'tell', type: 'ecommerce-cancel', platform: '', ledger: 'dl-ledger', reason: '', wires: [['told']] },
  { id: 'cancel', type: 'supplier-cancel', supplier: '', ledger: 'dl-ledger', reason: '', wires: [['change']] },
  { id: 'change', type: 'erp-change-po', erp: 'dl-erp', wires: [['asked']] },
];

const FULFILMENT: TestNode[] = [
  {
    id: 'answers',
    type: 'supplier-receive',
    supplier: '',
    ledger: 'dl-ledger',
    pollMinutes: 0,
    wires: [['acknowledged'], ['receive', 'shipment'], ['reduce', 'freed'], ['match', 'bill'], ['less'], []],
  },
  { id: 'receive', type: 'erp-complete', erp: 'dl-erp', wires: [['shop']] },
  { id: 'shop', type: 'ecommerce-complete', platform: '', ledger: 'dl-ledger', wires: [['all', 'again', 'fulfilled']] },
  { id: 'all', type: 'order-when', ledger: 'dl-ledger', condition: 'shipped', purpose: 'mail', wires: [['mail']] },
  {
    id: 'again',
    type: 'order-when',
    ledger: 'dl-ledger',
    condition: 'shipped',
    purpose: 'mail',
    wires: [['second mail']],
  },
  { id: 'reduce', type: 'erp-change-po', erp: 'dl-erp', wires: [['route', 'reduced']] },
  {
    id: 'match',
    type: 'erp-bill',
    erp: 'dl-erp',
    priceTolerance: '0',
    amountTolerance: '0',
    wires: [['entered'], ['mismatch']],
  },
  { id: 'less', type: 'erp-change-po', erp: 'dl-erp', wires: [['cancelled']] },
];

const ENDS = [
  'sent',
  'told',
  'asked',
  'acknowledged',
  'shipment',
  'freed',
  'bill',
  'fulfilled',
  'mail',
  'second mail',
  'reduced',
  'entered',
  'mismatch',
  'cancelled',
];

function flow(): TestNode[] {
  return [
    ...INTAKE,
    ...FULFILMENT,
    { id: 'problems', type: 'catch', scope: null, uncaught: false, wires: [['caught']] },
    ...[...ENDS, 'caught'].map((id) => ({ id, type: 'helper' })),
  ];
}

describe('the nodes of fulfilment', () => {
  let bench: Bench;
  beforeEach(async () => {
    bench = await startBench({ speed: 30 });
    await bench.load(flow());
  });
  afterEach(() => bench.close());

  const effects = (operation: string) => bench.sandbox.world.effects.filter((effect) => effect.operation === operation);
  const first = (id: string): Promise<DropshipMessage> => until(`a message at ${id}`, () => bench.messages(id)[0]);
  const quiet = () => until('everything quiet', async () => (await bench.ledger()).dispatcher.load().inWork === 0);

  it('carry what the suppliers answer into the ERP and the shop, each document once, in plain JSON', async () => {
    const id = await bench.place({ 'WINE-PINOT': 3, 'GLASS-BURGUNDY': 2 }, 'AT');
    await until('all bills', () => bench.messages('entered').length === 2);
    await quiet();
    should(bench.messages('acknowledged').map(({ payload }) => (payload as { type: string }).type)).deepEqual([
      'acknowledgement',
      'acknowledgement',
    ]);
    // `parcels` ships two pieces in two parcels.
    const shipments = bench.messages('fulfilled').map(({ payload }) => payload as Shipment);
    should(shipments).have.length(3);
    should(
      shipments.every((shipment) => shipment.erpReceiptId !== undefined && shipment.fulfilmentId !== undefined),
    ).be.true();
    should(bench.messages('entered').every(({ payload }) => (payload as Bill).erp?.partner === 'erp')).be.true();
    for (const end of ENDS) for (const message of bench.messages(end)) should(isPlainJson(message)).be.true();
    for (const end of ENDS) for (const message of bench.messages(end)) should(message.orderId).equal(id);
    should(effects('bill.post')).have.length(2);
    should(effects('fulfilment.create')).have.length(3);
    should(effects('order.complete')).have.length(1);
    should(effects('sale.complete')).have.length(1);
    should((await bench.order(id)).state).equal('complete');
    should(bench.messages('caught')).have.length(0);
  });

  it('pass an order once at order-when: after the last parcel, at one of two nodes with the same purpose, and again on a replay', async () => {
    await bench.place({ 'WINE-PINOT': 3, 'GLASS-BURGUNDY': 2 }, 'AT');
    await until('three shipments', () => bench.messages('fulfilled').length >= 3);
    await quiet();
    const passed = () => bench.messages('mail').length + bench.messages('second mail').length;
    should(passed()).equal(1);
    // The event that passed is run again, as after a crash.
    const ledger = await bench.ledger();
    const mails = () => [...bench.messages('mail'), ...bench.messages('second mail')];
    const { eventId } = mails()[0]!;
    await ledger.transact('test', function* () {
      yield* rerunEvent(ledger.core, eventId!, 'open');
    });
    ledger.dispatcher.wake();
    await until('the replay', () => passed() === 2);
    should(mails().map(({ replayed }) => replayed)).containEql(true);
    await quiet();
    should(passed()).equal(2);
  });

  it('give rejected and back-ordered lines to another supplier, after the ERP knows that the first one does not deliver them', async () => {
    const id = await bench.place({ 'KNIFE-CHEF': 1, 'APRON-LINEN': 1 });
    const freed = await first('freed');
    should(freed.payload).match({
      type: 'order-lines',
      orderId: id,
      purchaseOrder: `${id}-1`,
      reason: 'We no longer sell this.',
    });
    should((freed.payload as OrderLines).lines.map(({ sku, quantity }) => [sku, quantity])).deepEqual([
      ['KNIFE-CHEF', '1'],
    ]);
    await until('both bills', () => bench.messages('entered').length === 2);
    const [change] = effects('purchase.change');
    const second = effects('purchase.create')[1];
    should(change!.seq).be.below(second!.seq);
    should((await bench.order(id)).purchaseOrders.map(({ supplier }) => supplier)).deepEqual(['moody', 'prompt']);
    should((await first('reduced')).payload).deepEqual(freed.payload);
  });

  it('tell the shop what nobody delivers, and settle the exception by it', async () => {
    const id = await bench.place({ 'WINE-PINOT': 1, 'APRON-LINEN': 1 }, 'IT');
    const told = await first('told');
    should(told.payload).match({ type: 'order-lines', orderId: id, lines: [{ sku: 'WINE-PINOT', quantity: '1' }] });
    should(effects('customer.notify').length).be.aboveOrEqual(1);
    should((await bench.exceptions()).map(({ code }) => code)).not.containEql('NOBODY_DELIVERS');
    should((await bench.order(id)).order.undeliverable).have.length(1);
  });

  it('ask the suppliers to stop when the customer cancels, and reduce the ERP by what they have agreed to', async () => {
    bench.sandbox.world.faults.push({
      partner: 'prompt',
      operation: 'acknowledgement.send',
      kind: 'duplicate-callback',
      times: 1,
    });
    const id = await bench.place({ 'WINE-PINOT': 1 });
    await first('sent');
    const control = `${bench.sandbox.urls.shop}/__sandbox/shop/orders/${id.slice('shop-'.length)}/status`;
    await fetch(control, { method: 'POST', body: JSON.stringify({ status: 'cancelled' }) });
    const asked = await first('asked');
    should(asked.payload).match({ type: 'purchase-order', id: `${id}-1` });
    const answer = await first('cancelled');
    should(answer.payload).match({ type: 'cancellation', purchaseOrder: `${id}-1` });
    await quiet();
    const view = await bench.order(id);
    const accepted = (answer.payload as { accepted: boolean }).accepted;
    should(view.state).equal('cancelled');
    should(effects('order.cancel').filter(({ partner }) => partner === 'prompt')).have.length(accepted ? 1 : 0);
    should(view.purchaseOrders[0]!.state === 'cancelled').equal(accepted);
    should(effects('purchase.cancel')).have.length(accepted ? 1 : 0);
  });

  it('do not drop a purchase order while it is in doubt whether the supplier has it; once it is known that not, it is dropped', async () => {
    await bench.deploy(flow(), { 'dl-prompt': { options: { settleSeconds: 1 } } });
    bench.sandbox.world.faults.push({ partner: 'prompt', operation: 'order.accept', kind: 'reset-before', times: 1 });
    const id = await bench.place({ 'WINE-PINOT': 1 });
    const ledger = await bench.ledger();
    const states = (kind: string) =>
      ledger.transact('test', () => query<{ state: string }>(`SELECT state FROM effect WHERE kind = ?`, kind));
    const inDoubt = async () => (await states('po-send')).some(({ state }) => state === 'in-doubt');
    await until('the doubt', inDoubt);
    const control = `${bench.sandbox.urls.shop}/__sandbox/shop/orders/${id.slice('shop-'.length)}/status`;
    await fetch(control, { method: 'POST', body: JSON.stringify({ status: 'cancelled' }) });
    await until('the cancellation', async () => (await bench.order(id)).state === 'cancelled');
    while (await inDoubt()) should(await states('po-drop')).deepEqual([]);
    await first('asked');
    await quiet();
    should(effects('order.accept')).have.length(0);
    should((await bench.order(id)).purchaseOrders.map(({ state }) => state)).deepEqual(['cancelled']);
    should(bench.messages('caught')).have.length(0);
  });

  it('send a bill that does not match to the second output and to a person, and not into the ERP', async () => {
    const id = await bench.place({ 'WINE-PINOT': 1 });
    await first('shipment');
    const [line] = (await bench.order(id)).purchaseOrders[0]!.lines;
    const data = {
      number: 'INV-DEAR',
      purchaseOrder: `${id}-1`,
      issuedAt: new Date().toISOString(),
      currency: 'EUR',
      lines: [{ line: line!.id, sku: line!.sku, quantity: '1', unitCost: '99.00' }],
      shipping: '4.90',
      total: '103.90',
    };
    const body = JSON.stringify({ type: 'invoice.issued', timestamp: new Date().toISOString(), data });
    const headers = standardWebhookHeaders(
      bench.sandbox.keys.prompt.webhookSecret,
      'msg_dear',
      Math.floor(Date.now() / 1000),
      body,
    );
    should((await fetch(`${bench.url}/dropship/suppliers/prompt`, { method: 'POST', headers, body })).status).equal(
      200,
    );
    const mismatch = await first('mismatch');
    should((mismatch.payload as { differences: { what: string }[] }).differences.length).be.above(0);
    should((mismatch.payload as Bill).number).equal('INV-DEAR');
    should((await bench.exceptions()).map(({ code }) => code)).containEql('BILL_MISMATCH');
    // The supplier's own, right one is entered all the same.
    const entered = await first('entered');
    should((entered.payload as Bill).number).equal(`INV-${id}-1`);
    should(effects('bill.create').map(({ reference }) => reference)).deepEqual([`prompt/INV-${id}-1`]);
  });
});
