import should from 'should';
import type { Exception } from '../../ledger/exceptions.ts';
import type { Ledger } from '../../ledger/ledger.ts';
import { query } from '../../ledger/store.ts';
import { effectList } from '../../ledger/views.ts';
import { createHttp } from '../../partners/http.ts';
import { createRestJson } from '../../partners/supplier/rest-json.ts';
import { sending } from '../partners/writers.ts';
import { shippedRoute, startBench, until, type Bench, type TestNode } from './harness.ts';

/** Order intake as it is shipped: what a person gives up goes to ERP and shop. `offers` changes the offers of the routing. */
function intake(offers: (offer: Record<string, string>) => Record<string, string> = (offer) => offer): TestNode[] {
  const route = shippedRoute();
  return [
    { id: 'in', type: 'ecommerce-receive', platform: 'dl-shop', pollMinutes: 0, wires: [['order'], [], [], []] },
    { id: 'order', type: 'erp-create-order', erp: 'dl-erp', wires: [['route']] },
    {
      ...route,
      id: 'route',
      offers: (route['offers'] as Record<string, string>[]).map(offers),
      wires: [['po'], ['nobody'], ['change']],
    },
    { id: 'po', type: 'erp-create-po', erp: 'dl-erp', wires: [['send']] },
    { id: 'send', type: 'supplier-send', supplier: '', ledger: 'dl-ledger', wires: [['sent']] },
    { id: 'change', type: 'erp-change-po', erp: 'dl-erp', wires: [['tell']] },
    {
      id: 'tell',
      type: 'ecommerce-cancel',
      platform: '',
      ledger: 'dl-ledger',
      reason: 'We are sorry.',
      wires: [['told']],
    },
    ...['nobody', 'sent', 'told'].map((id) => ({ id, type: 'helper' })),
  ];
}

/** Six corkscrews are on the shelves; ten are wanted. */
const TEN = { CORKSCREW: 10 };
const restocked = (offer: Record<string, string>) =>
  offer['sku'] === 'CORKSCREW' && offer['supplier'] === 'parcels' ? { ...offer, stock: '40' } : offer;

describe('what people do about exceptions, in a flow', () => {
  let bench: Bench;
  let ledger: Ledger;
  beforeEach(async () => {
    bench = await startBench();
  });
  afterEach(() => bench.close());

  const effects = (operation: string) => bench.sandbox.world.effects.filter((effect) => effect.operation === operation);
  const quantities = async (id: string) =>
    (await bench.order(id)).purchaseOrders.map((po) => [po.supplier, po.lines[0]!.quantity, po.state]);

  async function exception(code: string): Promise<Exception> {
    ledger = await bench.ledger();
    return until(code, async () => (await bench.exceptions()).find((each) => each.code === code));
  }
  const quiet = () => until('quiet', () => ledger.dispatcher.load().inWork === 0);

  it('lines are routed again with the stock of now; a full deploy and the news of the order change nothing about it', async () => {
    await bench.load(intake());
    const id = await bench.place(TEN);
    await until('the first purchase orders', () => bench.messages('sent').length === 2);
    const { id: raised } = await exception('NOBODY_DELIVERS');
    await bench.deploy(intake(restocked));
    await ledger.rerouteLines(raised, 'jo');
    await until('another purchase order', async () => (await bench.order(id)).purchaseOrders[2]?.state === 'sent');
    should((await quantities(id)).map(([supplier, quantity]) => [supplier, quantity])).deepEqual([
      ['prompt', '2'],
      ['parcels', '4'],
      ['parcels', '4'],
    ]);
    should(await bench.exceptions()).have.length(0);
    await bench.deploy([...intake(), { id: 'new', type: 'helper' }]);
    await quiet();
    should([effects('order.accept').length, effects('purchase.create').length]).deepEqual([3, 3]);
  });

  it('the node that decided first decides again, and another one where it is gone', async () => {
    const other = { ...intake(restocked)[2]!, id: 'other', wires: [['po'], ['nobody'], ['change']] };
    // The other one is there first, so it is the one that stands in.
    await bench.load([other, ...intake()]);
    await bench.place(TEN);
    const first = await exception('NOBODY_DELIVERS');
    await ledger.rerouteLines(first.id, 'jo');
    await until('the answer of the same node', async () => (await bench.exceptions())[0]?.id !== first.id);
    const second = await exception('NOBODY_DELIVERS');
    should(second.subject).match(/reroute/);
    // As after an edit of the flow that replaced the node.
    await ledger.transact('test', () =>
      query(`UPDATE effect SET result = REPLACE(result, '"node":"route"', '"node":"gone"') WHERE kind = 'allocate'`),
    );
    await ledger.rerouteLines(second.id, 'jo');
    await until('the answer of the one that stands in', async () => (await bench.exceptions()).length === 0);
  });

  it('lines that are given up are told to the shop, once, and settled; what suppliers have goes on', async () => {
    await bench.load(intake());
    const id = await bench.place(TEN);
    await until('the first purchase orders', () => bench.messages('sent').length === 2);
    const { id: raised } = await exception('NOBODY_DELIVERS');
    await ledger.cancelByHand(raised, 'jo', 'Not made any more.');
    await until('the news', () => bench.messages('told').length > 0);
    await quiet();
    const view = await bench.order(id);
    should(view.state).equal('taken');
    should(view.order.undeliverable).match([{ sku: 'CORKSCREW', quantity: '4' }]);
    should(await quantities(id)).match([
      ['prompt', '2'],
      ['parcels', '4'],
    ]);
    should(await bench.exceptions()).have.length(0);
    await bench.deploy([...intake(restocked), { id: 'new', type: 'helper' }]);
    await quiet();
    should(effects('customer.notify')).have.length(1);
    const told = (await ledger.transact('test', () => effectList({ orderId: id }))).filter(
      ({ kind }) => kind === 'lines-cancel',
    );
    should(told.map(({ step, state }) => `${step ?? 'all'} ${state}`).sort()).deepEqual(['all done', 'note done']);
  });

  it('an order of which nothing has left is cancelled in the shop, and its purchase order in the ERP', async () => {
    await bench.load(intake());
    bench.sandbox.world.faults.push({ partner: 'prompt', operation: 'order.accept', kind: 'refuse', times: 1 });
    const id = await bench.place({ 'WINE-RIESLING': 2 });
    const { id: raised, actions } = await exception('SUPPLIER_REJECTED');
    should(actions.map(({ name }) => name)).containEql('cancel');
    await ledger.cancelByHand(raised, 'jo', 'The customer rang.');
    await until('the news', () => bench.messages('told').length > 0);
    await quiet();
    const view = await bench.order(id);
    should([view.state, view.purchaseOrders[0]!.state]).deepEqual(['cancelled', 'cancelled']);
    should(view.purchaseOrders[0]).match({ revision: 1, erpRevision: 1 });
    should(effects('purchase.cancel')).have.length(1);
    should(effects('order.cancel')).have.length(1);
    should(effects('order.accept')).have.length(0);
    should(await bench.exceptions()).have.length(0);
  });

  it('lines that were routed again are not cancelled by a flow that gets to it late', async () => {
    await bench.load(intake());
    const id = await bench.place(TEN);
    const { id: raised } = await exception('NOBODY_DELIVERS');
    const wiredLate = intake(restocked).map((node) =>
      node.id === 'route' ? { ...node, wires: [['po'], ['tell'], ['change']] } : node,
    );
    ledger.dispatcher.pause();
    await ledger.rerouteLines(raised, 'jo');
    await bench.deploy(intake(restocked));
    await until('another purchase order', async () => (await bench.order(id)).purchaseOrders.length === 3);
    // From now on the shop is told of what nobody delivers; the first round, whose lines are on their way by now, comes by once more.
    await bench.deploy(wiredLate);
    await ledger.transact('test', () => query(`UPDATE event SET state = 'open', due_at = 0 WHERE kind = 'order'`));
    ledger.dispatcher.wake();
    await until('the old lines at the node', () => bench.status('tell')?.text === 'status.obsolete');
    should(effects('customer.notify')).have.length(0);
  });

  it("the supplier's number stands for a purchase order whose answer was lost, after it was looked up there", async () => {
    await bench.load(intake());
    bench.sandbox.world.faults.push({ partner: 'prompt', operation: 'order.accept', kind: 'refuse', times: 1 });
    const id = await bench.place({ 'WINE-RIESLING': 2 });
    const { id: raised } = await exception('SUPPLIER_REJECTED');
    await ledger.answerWithNumber(raised, 'jo', 'SO-4711');
    const refused = await until('the answer', async () =>
      (await bench.exceptions()).find(({ message }) => /was not taken/.test(message)),
    );
    should(refused.message).match(/^"SO-4711" was not taken: prompt does not have the purchase order/);
    should((await bench.order(id)).purchaseOrders[0]!.state).equal('allocated');
    // The supplier enters it by hand, and says so on the telephone.
    const prompt = createRestJson(
      {
        reference: 'prompt',
        baseUrl: bench.sandbox.urls.prompt,
        options: {},
        credentials: bench.sandbox.keys.prompt as unknown as Record<string, string>,
      },
      { http: createHttp({ partner: 'prompt', timeout: 2000 }), now: Date.now, jsonata: () => () => Promise.resolve() },
    );
    await prompt.sendPurchaseOrder((await bench.order(id)).purchaseOrders[0]!, sending);
    await ledger.answerWithNumber(raised, 'jo', `SO-${id}-1`);
    await until('the purchase order', () => bench.messages('sent').length > 0);
    should((await bench.order(id)).purchaseOrders[0]).match({ state: 'sent', supplierOrderId: `SO-${id}-1` });
    should(await bench.exceptions()).have.length(0);
  });
});
