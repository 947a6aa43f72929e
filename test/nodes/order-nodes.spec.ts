import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import helper from 'node-red-node-test-helper';
import should from 'should';
import type { DropshipMessage } from '../../nodes/document-node.ts';
import { effectList } from '../../ledger/views.ts';
import type { Order } from '../../orders/order.ts';
import type { PurchaseOrder } from '../../orders/purchase-order.ts';
import { isPlainJson, shippedRoute, startBench, until, type Bench, type TestNode } from './harness.ts';

/** From the shop to the supplier, with something between routing and the ERP's purchase order. */
function intake(between: TestNode[] = [], routeTo = between[0]?.id ?? 'po'): TestNode[] {
  return [
    {
      id: 'in',
      type: 'ecommerce-receive',
      platform: 'dl-shop',
      pollMinutes: 0,
      wires: [['order'], ['changed'], ['cancelled'], []],
    },
    { id: 'order', type: 'erp-create-order', erp: 'dl-erp', wires: [['route', 'ordered']] },
    { ...shippedRoute(), id: 'route', wires: [[routeTo], ['nobody']] },
    ...between,
    { id: 'po', type: 'erp-create-po', erp: 'dl-erp', wires: [['send']] },
    { id: 'send', type: 'supplier-send', supplier: '', ledger: 'dl-ledger', wires: [['sent']] },
    { id: 'problems', type: 'catch', scope: null, uncaught: false, wires: [['caught']] },
    ...['ordered', 'nobody', 'sent', 'changed', 'cancelled', 'caught'].map((id) => ({ id, type: 'helper' })),
  ];
}

const javascript = (func: string): TestNode => ({
  id: 'fn',
  type: 'function',
  func,
  outputs: 1,
  initialize: '',
  finalize: '',
  libs: [],
  wires: [['po']],
});

interface Caught extends DropshipMessage {
  error: { message: string; code?: string };
}

describe('the nodes of order intake', () => {
  let bench: Bench;
  beforeEach(async () => {
    bench = await startBench();
  });
  afterEach(() => bench.close());

  const effects = (operation: string) => bench.sandbox.world.effects.filter((effect) => effect.operation === operation);
  const caught = () => bench.messages('caught') as Caught[];

  it('carry an order from the shop to its suppliers, with small messages of plain JSON', async () => {
    await bench.load(intake());
    const id = await bench.place({ 'WINE-PINOT': 3, 'GLASS-BURGUNDY': 1 }, 'AT');
    const sent = await until(
      'both purchase orders',
      () => bench.messages('sent').length === 2 && bench.messages('sent'),
    );
    const order = bench.messages('ordered')[0]!;
    should((order.payload as Order).erp?.partner).equal('erp');
    for (const message of [order, ...sent]) {
      should(isPlainJson(message)).be.true();
      should(Object.keys(message).sort()).deepEqual(['_msgid', 'eventId', 'orderId', 'payload', 'replayed']);
      should(message.orderId).equal(id);
      should(message.replayed).be.false();
      should(JSON.stringify(message).length).be.below(4000);
    }
    const orders = sent.map(({ payload }) => payload as PurchaseOrder);
    should(orders.map(({ supplier }) => supplier).sort()).deepEqual(['parcels', 'prompt']);
    should(orders.every((po) => po.erp && po.supplierOrderId === `SO-${po.id}`)).be.true();
    should(effects('order.accept')).have.length(2);
    should(effects('purchase.create')).have.length(2);
    for (const node of ['order', 'route', 'po', 'send']) {
      await until(`${node} to say so`, () => bench.status(node)?.text === 'status.done');
      should(bench.status(node)?.fill).equal('green');
      should(bench.done(node).errors).have.length(0);
    }
    should(bench.done('send').times).equal(2);
    should(caught()).have.length(0);
  });

  it('say which lines nobody delivers, at the second output of the routing', async () => {
    await bench.load(intake());
    await bench.place({ 'WINE-PINOT': 1, 'APRON-LINEN': 1 }, 'IT');
    const [message] = await until('the lines', () => bench.messages('nobody').length > 0 && bench.messages('nobody'));
    should(message!.payload).match({ type: 'order-lines', lines: [{ sku: 'WINE-PINOT', quantity: '1' }] });
    await until('the rest to be sent', () => bench.messages('sent').length === 1);
    should((await bench.exceptions()).map(({ code }) => code)).deepEqual(['NOBODY_DELIVERS']);
  });

  it('do nothing twice when the shop tells of an order three times and the flow is deployed again meanwhile', async () => {
    await bench.load(intake());
    const id = await bench.place({ 'WINE-RIESLING': 2 });
    const { changedAt } = (await until(
      'the order',
      async () => (await bench.order(id).catch(() => undefined))?.order,
    ))!;
    should(changedAt).be.ok();
    await bench.deploy([...intake(), { id: 'new', type: 'helper' }]);
    await until('a run after the deploy', () => bench.messages('sent').length > 0);
    await bench.deploy(intake());
    await until('everything quiet', async () => (await bench.ledger()).dispatcher.load().inWork === 0);
    should(effects('sale.create')).have.length(1);
    should(effects('purchase.create')).have.length(1);
    should(effects('order.accept')).have.length(1);
    should((await bench.order(id)).purchaseOrders).have.length(1);
  });

  it('let a call that is under way go on through a full deploy: it is not in doubt, and not made again', async () => {
    await bench.load(intake());
    bench.sandbox.world.faults.push({
      partner: 'prompt',
      operation: 'order.accept',
      kind: 'slow',
      delay: 600,
      times: 1,
    });
    const id = await bench.place({ 'WINE-RIESLING': 2 });
    await until('the supplier to have it', () => effects('order.accept').length === 1);
    await bench.deploy([...intake(), { id: 'new', type: 'helper' }]);
    await until('the purchase order', () => bench.messages('sent').length > 0, 3000);
    const sent = await (await bench.ledger()).transact('test', () => effectList({ orderId: id }));
    should(sent.filter(({ kind }) => kind === 'po-send').map(({ state, attempt }) => [state, attempt])).deepEqual([
      ['done', 1],
      ['done', 1],
    ]);
    should(effects('order.accept')).have.length(1);
    should(caught()).have.length(0);
    should(await bench.exceptions()).have.length(0);
  });

  it('route and send an order, while a deploy replaces the suppliers, as if they were there', async () => {
    await bench.load(intake());
    // The moment in which the old config nodes are closed and the new ones do not stand yet.
    for (const id of ['dl-prompt', 'dl-parcels', 'dl-moody', 'dl-shop', 'dl-erp'])
      await helper.getNode(id).close(false);
    await bench.place({ 'WINE-RIESLING': 1 });
    await until('the purchase order', () => bench.messages('sent').length > 0);
    should(await bench.exceptions()).have.length(0);
    should(bench.messages('nobody')).have.length(0);
    should(bench.errors('in').concat(bench.errors('route'), bench.errors('send'))).deepEqual([]);
  });

  it('mark a repetition: the messages are the same, and nothing is called again', async () => {
    await bench.load(intake());
    await bench.place({ 'WINE-RIESLING': 2 });
    const [first] = await until(
      'the purchase order',
      () => bench.messages('sent').length > 0 && bench.messages('sent'),
    );
    await bench.deploy([...intake(), { id: 'other', type: 'helper' }]);
    const [, second] = await until('its repetition', () => bench.messages('sent').length > 1 && bench.messages('sent'));
    should(second!.replayed).be.true();
    const bare = ({ _msgid, replayed, ...message }: DropshipMessage) => message;
    should(bare(second!)).deepEqual(bare(first!));
    await until('the node to say so', () => bench.status('send')?.text === 'status.repeated');
    should(bench.status('send')).deepEqual({ fill: 'green', shape: 'ring', text: 'status.repeated' });
    should(effects('order.accept')).have.length(1);
  });

  it('refuse a quantity, a cost or an address that the flow has changed, before the ERP or a supplier hears of it', async () => {
    const changes = {
      'msg.payload.lines[0].quantity = "7"': 'DOCUMENT_CHANGED',
      'msg.payload.lines[0].unitCost.minor = 1': 'DOCUMENT_CHANGED',
      'msg.payload.shipTo.city = "Elsewhere"': 'DOCUMENT_CHANGED',
      // Not even a purchase order any more.
      'msg.payload.lines = []': 'WRONG_DOCUMENT',
    };
    for (const [change, code] of Object.entries(changes)) {
      await bench.load(intake([javascript(`${change}; return msg;`)]));
      await bench.place({ 'WINE-RIESLING': 2 });
      const [problem] = await until('the problem', () => caught().length > 0 && caught());
      should(problem!.error.code).equal(code, change);
      should(problem!.error.message).match(
        code === 'WRONG_DOCUMENT' ? /A node before this one changed it/ : /add other properties instead/,
      );
      should(bench.done('po')).match({ times: 1 });
      await until('the node to say so', () => bench.status('po')?.fill === 'red');
      should(bench.status('po')?.text).equal(code.toLowerCase().replace('_', ' '));
      should(effects('purchase.create')).have.length(0);
      should((await bench.exceptions()).map((exception) => exception.code)).deepEqual([code]);
      await bench.close();
      bench = await startBench();
    }
  });

  it('tell the author of a Function node that returns a new object what to do instead', async () => {
    await bench.load(intake([javascript('return { payload: msg.payload, orderId: msg.orderId };')]));
    await bench.place({ 'WINE-RIESLING': 2 });
    const [problem] = await until('the problem', () => caught().length > 0 && caught());
    should(problem!.error.code).equal('EVENT_LOST');
    should(problem!.error.message).match(/"return msg", not a new object/);
    should(effects('purchase.create')).have.length(0);
  });

  it('carry what a Function node adds to the document and to the message, as far as the supplier', async () => {
    const received: Record<string, unknown>[] = [];
    const partner = createServer((request: IncomingMessage, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        received.push(JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>);
        response.writeHead(201, { 'content-type': 'application/json' }).end('{"id":"S-1"}');
      });
    });
    await new Promise<void>((resolve) => partner.listen(0, '127.0.0.1', resolve));
    try {
      await bench.load(intake([javascript('msg.payload.giftText = "For Erika"; msg.colour = "red"; return msg;')]), {
        'dl-prompt': {
          product: 'generic',
          baseUrl: `http://127.0.0.1:${(partner.address() as AddressInfo).port}`,
          options: {
            auth: { type: 'none' },
            operations: {
              sendPurchaseOrder: {
                method: 'POST',
                path: '/orders',
                request: "{ 'number': po.id, 'gift': po.giftText, 'pieces': po.lines[0].quantity }",
                // Node-RED hands an expression that speaks of `msg` its input under that name.
                response: "{ 'supplierOrderId': msg.body.id }",
                settle: 'ask',
              },
            },
          },
        },
      });
      await bench.place({ 'WINE-RIESLING': 2 });
      const [sent] = await until(
        'the purchase order',
        () => bench.messages('sent').length > 0 && bench.messages('sent'),
      );
      should(received).deepEqual([{ number: 'shop-1001-1', gift: 'For Erika', pieces: '2' }]);
      should(sent).match({ colour: 'red', payload: { giftText: 'For Erika', supplierOrderId: 'S-1' } });
    } finally {
      partner.close();
      partner.closeAllConnections();
    }
  });

  it("give a partner's refusal to Catch with its code, and to a person, and not to the next node", async () => {
    await bench.load(intake());
    bench.sandbox.world.faults.push({ partner: 'prompt', operation: 'order.accept', kind: 'refuse', times: 1 });
    const id = await bench.place({ 'WINE-RIESLING': 2 });
    const [problem] = await until('the refusal', () => caught().length > 0 && caught());
    should(problem!.error.code).equal('SUPPLIER_REJECTED');
    should(problem!.orderId).equal(id);
    should(bench.done('send')).match({ times: 1 });
    should(bench.messages('sent')).have.length(0);
    should((await bench.exceptions()).map(({ code, orderId }) => [code, orderId])).deepEqual([
      ['SUPPLIER_REJECTED', id],
    ]);
    // A person has cleared it up with the supplier and has it tried again.
    const [exception] = await bench.exceptions();
    await (await bench.ledger()).retryException(exception!.id, 'test');
    await until('the purchase order', () => bench.messages('sent').length > 0);
    should(await bench.exceptions()).have.length(0);
    should(effects('order.accept')).have.length(1);
  });

  it('wait, yellow and without an error, for a partner who is down, and go on by themselves', async () => {
    await bench.load(intake());
    bench.sandbox.world.faults.push({
      partner: 'prompt',
      operation: 'order.accept',
      kind: 'rate-limit',
      retryAfter: 1,
      times: 1,
    });
    await bench.place({ 'WINE-RIESLING': 2 });
    await until('yellow', () => bench.status('send')?.fill === 'yellow');
    should(bench.done('send')).deepEqual({ times: 1, errors: [] });
    await until('the purchase order', () => bench.messages('sent').length > 0);
    should(effects('order.accept')).have.length(1);
    should(caught()).have.length(0);
    should(await bench.exceptions()).have.length(0);
  });

  it('send changes and cancellations in the shop to outputs of their own', async () => {
    await bench.load([
      {
        id: 'in',
        type: 'ecommerce-receive',
        platform: 'dl-shop',
        pollMinutes: 0,
        wires: [['placed'], ['changed'], ['cancelled'], []],
      },
      ...['placed', 'changed', 'cancelled'].map((id) => ({ id, type: 'helper' })),
    ]);
    const id = await bench.place({ 'WINE-RIESLING': 2, 'WINE-PINOT': 1 });
    await until('the order', () => bench.messages('placed').length === 1);
    const control = `${bench.sandbox.urls.shop}/__sandbox/shop/orders/${id.slice('shop-'.length)}`;
    const status = await fetch(`${control}/status`, { method: 'POST', body: JSON.stringify({ status: 'cancelled' }) });
    should(status.ok).be.true();
    const [cancelled] = await until(
      'the cancellation',
      () => bench.messages('cancelled').length > 0 && bench.messages('cancelled'),
    );
    should(cancelled!.payload).match({ type: 'order', id, revision: 1 });
    should((await bench.order(id)).state).equal('cancelled');
    should(bench.messages('changed')).have.length(0);
  });

  it('find by polling what the webhook did not tell, and take it once', async () => {
    await bench.load(
      [
        { id: 'in', type: 'ecommerce-receive', platform: 'dl-shop', pollMinutes: 0, wires: [['placed'], [], [], []] },
        { id: 'placed', type: 'helper' },
      ],
      {
        'dl-shop': {
          credentials: {
            key: bench.sandbox.keys.shop.consumerKey,
            secret: bench.sandbox.keys.shop.consumerSecret,
            webhookSecret: 'another one',
          },
        },
      },
    );
    const id = await bench.place({ 'WINE-RIESLING': 2 });
    for (let times = 0; times < 2; times += 1) {
      helper.getNode('in').receive({ payload: Date.now() } as never);
      await until('the poll', () => bench.done('in').times > times);
    }
    await until('the order', () => bench.messages('placed').length > 0);
    should(bench.messages('placed').map(({ orderId }) => orderId)).deepEqual([id]);
    should(bench.done('in')).deepEqual({ times: 2, errors: [] });
  });
});
