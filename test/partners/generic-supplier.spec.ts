import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import should from 'should';
import { BusinessRefusal } from '../../orders/errors.ts';
import type { AdapterTools } from '../../partners/adapter.ts';
import { createGenericSupplier } from '../../partners/supplier/generic.ts';
import type { Supplier } from '../../partners/supplier/port.ts';
import {
  createWriter,
  documented,
  failure,
  fails,
  partnerOf,
  purchaseOrder,
  startServer,
  type Answer,
  type Asked,
  type PretendServer,
} from './generic-support.ts';

const CREDENTIALS = { apiKey: 'key-1', webhookSecret: 'hook-secret', oldWebhookSecret: 'old-secret' };

/** A supplier that always answers 200, and takes a RequestId only once. */
function pretendSupplier() {
  const state = { orders: new Map<string, any>(), next: undefined as Answer | undefined, invoices: [] as any[] };
  function handle({ method, path, query, headers, json }: Asked): Answer {
    if (headers['x-api-key'] !== 'key-1') return { json: { Result: 'ERROR', Message: 'Who are you?' } };
    if (state.next) {
      const { next } = state;
      state.next = undefined;
      return next;
    }
    if (path === '/v2/orders' && method === 'POST') {
      if (!state.orders.has(json.RequestId))
        state.orders.set(json.RequestId, { ...json, OrderNo: `V/${state.orders.size + 1}` });
      return { json: { Result: 'OK', OrderNo: state.orders.get(json.RequestId).OrderNo } };
    }
    if (path === '/v2/invoices') {
      const page = Number(query.get('page'));
      return { json: { Invoices: state.invoices.slice((page - 1) * 2, page * 2) } };
    }
    if (path === '/v2/orders/V%2F77/cancel') return { json: { Result: 'OK' } };
    return { json: { Result: 'ERROR', Message: `no ${path}` } };
  }
  return { state, handle };
}

describe('partners/supplier/generic', () => {
  let server: PretendServer;
  let supplier: Supplier;
  let pretend: ReturnType<typeof pretendSupplier>;
  let tools: AdapterTools & { clock: number };

  beforeEach(async () => {
    pretend = pretendSupplier();
    server = await startServer(pretend.handle);
    const made = partnerOf(server, documented('supplier'), CREDENTIALS);
    tools = made.tools;
    supplier = createGenericSupplier(made.settings, tools);
  });

  afterEach(async () => {
    tools.http.close();
    await server.close();
  });

  function withOptions(change: (options: Record<string, any>) => void) {
    const options = documented('supplier');
    change(options);
    return createGenericSupplier({ reference: 'acme', baseUrl: server.url, options, credentials: CREDENTIALS }, tools);
  }

  function signed(body: unknown, secret = 'hook-secret') {
    const raw = Buffer.from(JSON.stringify(body));
    const signature = `sha256=${createHmac('sha256', secret).update(raw).digest('hex')}`;
    return { headers: { 'x-signature': signature }, body: raw };
  }

  it('sends the purchase order in the words of the supplier, a single line as a list', async () => {
    const sent = await supplier.sendPurchaseOrder(purchaseOrder, createWriter().write);
    sent.should.deepEqual({ supplierOrderId: 'V/1' });
    const [order] = [...pretend.state.orders.values()];
    order.Items.should.deepEqual([{ Pos: 1, Article: 'V-17', Pieces: 3 }]);
    order.Recipient.should.deepEqual({
      Name: 'Ana Ruiz',
      Line1: '12 Harbour Rd',
      Postcode: '6011',
      Town: 'Wellington',
      Country: 'NZ',
    });
  });

  for (const fault of ['lose', 'page', 'late500'] as const) {
    it(`sends again with the same key when the answer was spoilt (${fault}), and orders once`, async () => {
      const writer = createWriter();
      server.spoil('POST', fault);
      (await supplier.sendPurchaseOrder(purchaseOrder, writer.write)).should.deepEqual({ supplierOrderId: 'V/1' });
      should(writer.sent['send']).equal(2);
      pretend.state.orders.size.should.equal(1);
    });
  }

  it('tells a refusal inside of status 200 from a busy partner and from an answer of another shape', async () => {
    const send = (answer: Answer) => {
      pretend.state.next = answer;
      return failure(supplier.sendPurchaseOrder(purchaseOrder, askWriter));
    };
    const refused = await send({ json: { Result: 'ERROR', Message: 'Article V-17 is discontinued' } });
    refused.should.be.instanceof(BusinessRefusal);
    refused.message.should.equal('acme refused: Article V-17 is discontinued');
    (await send({ json: { Result: 'BUSY' } })).code.should.equal('PARTNER_BUSY');
    (await send({ json: { result: 'ok' } })).name.should.equal('InDoubt');
    (await send({ json: { Result: 'OK' } })).message.should.containEql('supplierOrderId is missing');
    (await send({ text: '' })).name.should.equal('InDoubt');
    (await send({ json: ['?'] })).name.should.equal('InDoubt');
    (
      await send({ text: '{"Result":"OK", "OrderNo":', headers: { 'content-type': 'application/json' } })
    ).name.should.equal('InDoubt');
  });

  it('is in doubt about an error inside of status 200 that the options do not explain', async () => {
    const plain = withOptions((options) => {
      const send = options['operations'].sendPurchaseOrder;
      for (const field of ['refused', 'success', 'tryLater', 'response']) delete send[field];
    });
    for (const body of [{ error: 'no stock' }, { success: false }, { status: 'error' }, { errors: ['x'] }]) {
      pretend.state.next = { json: body };
      (await failure(plain.sendPurchaseOrder(purchaseOrder, askWriter))).name.should.equal('InDoubt');
    }
    pretend.state.next = { json: { error: null, errors: [], status: 'new' } };
    (await plain.sendPurchaseOrder(purchaseOrder, askWriter)).should.deepEqual({});
  });

  it('is in doubt about a web page with status 200, although no answer was expected', async () => {
    const plain = withOptions((options) => {
      const send = options['operations'].sendPurchaseOrder;
      for (const field of ['refused', 'success', 'tryLater', 'response']) delete send[field];
    });
    for (const page of [
      { text: '<!DOCTYPE html><p>Log in</p>' },
      { text: 'hello', headers: { 'content-type': 'text/html' } },
    ]) {
      pretend.state.next = page;
      (await failure(plain.sendPurchaseOrder(purchaseOrder, askWriter))).message.should.containEql('a web page');
    }
    pretend.state.next = { status: 204 };
    (await plain.sendPurchaseOrder(purchaseOrder, askWriter)).should.deepEqual({});
  });

  it('encodes what it puts into a path', async () => {
    await supplier.requestCancellation(
      purchaseOrder,
      [{ line: '1', quantity: '2' }],
      'Customer cancelled',
      createWriter().write,
    );
    server.asked.at(-1)?.path.should.equal('/v2/orders/V%2F77/cancel');
    server.asked.at(-1)?.json.should.deepEqual({ Items: [{ Pos: 1, Pieces: 2 }], Why: 'Customer cancelled' });
  });

  it('finds all documents of one callback by kind, with the business key', () => {
    const facts = supplier.receive(
      signed({
        Events: [
          { Type: 'ping', Data: {} },
          { Type: 'order.confirmed', Data: acknowledgement },
          { Type: 'parcel.sent', Data: delivery },
        ],
      }),
    );
    facts
      .map(({ kind, dedupeKey }) => [kind, dedupeKey])
      .should.deepEqual([
        ['acknowledgement', 'acknowledgement:shop-nz-1001-1@2026-11-21T09:00:00Z'],
        ['shipment', 'shipment:LS-9'],
      ]);
    should(facts[1]?.body).deepEqual(delivery);
    supplier.receive(signed({ Events: [] }, 'old-secret')).should.be.empty();
  });

  it('gives a document that cannot be read a key of its own content, whatever the order of its fields', () => {
    const keyOf = (data: object) =>
      supplier.receive(signed({ Events: [{ Type: 'parcel.sent', Data: data }] }))[0]?.dedupeKey;
    should(keyOf({ a: 1, b: 2 })).match(/^shipment:sha256-[0-9a-f]{32}$/);
    should(keyOf({ a: 1, b: 2 })).equal(keyOf({ b: 2, a: 1 }));
    should(keyOf({ a: 1, b: 2 })).not.equal(keyOf({ a: 1, b: 3 }));
  });

  it('believes no callback without exactly the right signature', () => {
    const good = signed({ Events: [] });
    const refused = (request: Parameters<Supplier['receive']>[0]) =>
      fails(() => supplier.receive(request)).code.should.equal('NOT_AUTHENTIC');
    refused({ ...good, body: Buffer.concat([good.body, Buffer.from(' ')]) });
    refused({ ...good, headers: {} });
    refused({ ...good, headers: { 'x-signature': good.headers['x-signature'].slice(7) } });
    refused({ ...good, headers: { 'x-signature': [good.headers['x-signature'], good.headers['x-signature']] } });
    refused(signed({ Events: [] }, 'another'));
    const silent = createGenericSupplier(
      { reference: 'acme', baseUrl: server.url, options: documented('supplier'), credentials: {} },
      tools,
    );
    fails(() => silent.receive(good)).code.should.equal('CREDENTIALS_MISSING');
  });

  it('knows a key in a header, basic authentication, and no signature only when that is said twice', () => {
    const body = Buffer.from('{"Events":[]}');
    const keyed = withOptions((o) =>
      Object.assign(o['callbacks'], { signature: 'header-key', header: 'X-Token', prefix: 'Token ' }),
    );
    keyed.receive({ headers: { 'x-token': 'Token hook-secret' }, body }).should.be.empty();
    for (const wrong of ['Token hook-secre', 'hook-secret', 'Token ', undefined]) {
      fails(() => keyed.receive({ headers: { 'x-token': wrong }, body })).code.should.equal('NOT_AUTHENTIC');
    }
    const basic = withOptions((o) => Object.assign(o['callbacks'], { signature: 'basic', user: 'dropline' }));
    const header = (text: string) => ({
      headers: { authorization: `Basic ${Buffer.from(text).toString('base64')}` },
      body,
    });
    basic.receive(header('dropline:hook-secret')).should.be.empty();
    fails(() => basic.receive(header('dropline:'))).code.should.equal('NOT_AUTHENTIC');
    const none = (acceptUnsigned: boolean) =>
      withOptions((o) => (o['callbacks'] = { ...o['callbacks'], signature: 'none', acceptUnsigned }));
    fails(() => none(false)).message.should.containEql('callbacks.acceptUnsigned must be true');
    none(true).receive({ headers: {}, body }).should.be.empty();
  });

  it('refuses an authentic callback that it cannot place instead of dropping it', () => {
    const unknown = fails(() => supplier.receive(signed({ Events: [{ Type: 'order.exploded', Data: {} }] })));
    unknown.code.should.equal('BODY_UNREADABLE');
    unknown.message.should.containEql('"order.exploded"').and.containEql('callbacks.facts.kind.table');
    fails(() => supplier.receive(signed({ events: [] }))).message.should.containEql('callbacks.facts.list');
    const raw = Buffer.from('{"Events":');
    const signature = `sha256=${createHmac('sha256', 'hook-secret').update(raw).digest('hex')}`;
    fails(() => supplier.receive({ headers: { 'x-signature': signature }, body: raw })).code.should.equal(
      'BODY_UNREADABLE',
    );
  });

  it('reads acknowledgement, shipment, bill and cancellation', () => {
    supplier.read('acknowledgement', acknowledgement).should.deepEqual({
      kind: 'acknowledgement',
      number: 'shop-nz-1001-1@2026-11-21T09:00:00.000Z',
      purchaseOrder: 'shop-nz-1001-1',
      at: '2026-11-21T09:00:00.000Z',
      supplierOrderId: 'V/77',
      lines: [
        { line: '1', sku: 'V-17', quantity: '2', status: 'accepted', shipBy: '2026-11-25' },
        { line: '1', sku: 'V-17', quantity: '1', status: 'backordered', reason: 'in March' },
      ],
    });
    supplier.read('shipment', delivery).should.deepEqual({
      kind: 'shipment',
      number: 'LS-9',
      purchaseOrder: 'shop-nz-1001-1',
      at: '2026-11-21T10:00:00.000Z',
      parcels: [
        { carrier: 'DHL', trackingNumber: 'JD01' },
        { carrier: 'DHL', trackingNumber: '9007199254740993' },
      ],
      lines: [
        { line: '1', sku: 'V-17', quantity: '1' },
        { line: '1', sku: 'V-17', quantity: '1' },
      ],
    });
    supplier.read('bill', invoice('R-1')).should.deepEqual({
      kind: 'bill',
      number: 'R-1',
      purchaseOrder: 'shop-nz-1001-1',
      at: '2026-11-21T23:00:00.000Z',
      dueAt: '2026-12-05',
      currency: 'EUR',
      lines: [{ line: '1', sku: 'V-17', quantity: '3', unitCost: '8.10' }],
      shipping: '4.00',
      total: '28.30',
    });
    supplier
      .read('cancellation', {
        PoNumber: 'P',
        When: 1763715600,
        Outcome: 'TOO_LATE',
        Items: { Pos: 1, Article: 'A', Pieces: 1 },
      })
      .should.containEql({ accepted: false, at: '2025-11-21T09:00:00.000Z' });
  });

  it('says which field of which document cannot be read, and why', () => {
    const wrong = (change: object) => fails(() => supplier.read('acknowledgement', { ...acknowledgement, ...change }));
    wrong({ Items: [{ ...acknowledgement.Items[0], State: 'PERHAPS' }] }).message.should.equal(
      'acme: read.acknowledgement.lines[0].status (at "State") is "PERHAPS", which the table does not have: add it, or set "otherwise".',
    );
    wrong({ PoNumber: null }).message.should.containEql(
      'read.acknowledgement.purchaseOrder (at "PoNumber") is not in the document',
    );
    wrong({ When: 'soon' }).message.should.containEql('"soon" is no time');
    wrong({ Items: [] }).code.should.equal('DOCUMENT_WITHOUT_LINES');
    wrong({ Items: [{ ...acknowledgement.Items[0], Pieces: '-1' }] }).code.should.equal('QUANTITY_INVALID');
    const cents = fails(() => supplier.read('bill', { ...invoice('R-1'), TotalCents: 28.3 }));
    cents.message.should.containEql('read.bill.total').and.containEql('no whole number of minor units');
  });

  it('reads any document or refuses it with a sentence, and never touches a prototype', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('acknowledgement', 'shipment', 'bill', 'cancellation'),
        fc.jsonValue(),
        (kind, body) => {
          try {
            supplier.read(kind as 'bill', body);
          } catch (error) {
            if (!(error instanceof BusinessRefusal)) throw error;
          }
          return ({} as { x?: unknown }).x === undefined;
        },
      ),
      { numRuns: 300 },
    );
    fails(() => withOptions((o) => (o['read'].bill.total = 'a[b]'))).message.should.containEql(
      'read.bill.total "a[b]" is not a path',
    );
    fails(() => withOptions((o) => (o['read'].bill.total = { path: 'a', tabel: {} }))).message.should.containEql(
      'read.bill.total.tabel',
    );
  });

  it('fetches bills page by page, and moves its cursor only after the last page', async () => {
    pretend.state.invoices = ['R-1', 'R-2', 'R-3'].map(invoice);
    const first = await supplier.poll!(undefined);
    first.facts.map(({ dedupeKey }) => dedupeKey).should.deepEqual(['bill:R-1', 'bill:R-2']);
    first.more.should.equal(true);
    server.asked.at(-1)?.query.get('changed_since')?.should.equal('2026-11-21T11:58:00.000Z');
    const second = await supplier.poll!(first.cursor);
    second.facts.map(({ dedupeKey }) => dedupeKey).should.deepEqual(['bill:R-3']);
    second.more.should.equal(false);
    server.asked.at(-1)?.query.get('page')?.should.equal('2');
    pretend.state.invoices = [];
    const third = await supplier.poll!(second.cursor);
    should(server.asked.at(-1)?.query.get('changed_since')).equal('2026-11-22T09:58:00.000Z');
    third.facts.should.be.empty();
    third.more.should.equal(false);
  });

  it('does not take an answer of another shape for an empty list', async () => {
    pretend.state.next = { json: { Result: 'OK' } };
    (await failure(supplier.poll!(undefined))).code.should.equal('ANSWER_UNEXPECTED');
  });

  it('goes on from the beginning of the last round where changes carry no time, and never into the future', async () => {
    const timeless = withOptions((options) => {
      options['poll'] = { path: '/feed', query: { from: '{sinceSeconds}' }, items: 'body', kind: 'bill', overlap: 0 };
    });
    pretend.state.next = { json: [invoice('R-1')] };
    const first = await timeless.poll!(undefined);
    const began = tools.clock;
    tools.clock += 60_000;
    pretend.state.next = { json: [] };
    await timeless.poll!(first.cursor);
    should(server.asked.at(-1)?.query.get('from')).equal(String(began / 1000));

    pretend.state.invoices = [{ ...invoice('R-2'), ChangedAt: '2099-01-01T00:00:00Z' }];
    const future = await supplier.poll!(undefined);
    await supplier.poll!(future.cursor);
    should(server.asked.at(-1)?.query.get('changed_since')).equal(new Date(tools.clock - 120_000).toISOString());
  });

  it('has no poll where none is configured', () => {
    should(withOptions((options) => delete options['poll']).poll).equal(undefined);
  });

  it('follows the cursor of the partner until there is nothing more', async () => {
    const own = withOptions((options) => {
      options['poll'] = {
        path: '/feed',
        query: { from: '{cursor}' },
        items: 'body.list',
        kind: 'bill',
        cursor: 'body.next',
      };
    });
    pretend.state.next = { json: { list: [invoice('R-1')], next: 7 } };
    const first = await own.poll!(undefined);
    server.asked.at(-1)?.query.has('from').should.equal(false);
    first.more.should.equal(true);
    pretend.state.next = { json: { list: [], next: 7 } };
    const second = await own.poll!(first.cursor);
    should(server.asked.at(-1)?.query.get('from')).equal('7');
    second.more.should.equal(false);
  });

  it('does one call per item of a step, each recorded under its own name', async () => {
    const lineByLine = withOptions((options) => {
      Object.assign(options['operations'].sendPurchaseOrder, {
        steps: [
          {
            name: 'line',
            each: 'po.lines',
            method: 'PUT',
            path: '/v2/lines/{item.sku}',
            request: "{ 'cost': item.unitCost.decimal }",
            success: [200],
            settle: 'idempotent',
          },
          { name: 'gift', when: '$count(po.lines) > 1', method: 'PUT', path: '/v2/gift', settle: 'idempotent' },
        ],
      });
    });
    const writer = createWriter();
    await lineByLine.sendPurchaseOrder(purchaseOrder, writer.write);
    writer.sent.should.deepEqual({ send: 1, 'line-1': 1 });
    server.asked.at(-1)?.json.should.deepEqual({ cost: '8.10' });
    const twice = createWriter();
    const [line] = purchaseOrder.lines;
    pretend.state.next = { json: { Result: 'OK', OrderNo: 'V/1' } };
    await lineByLine.sendPurchaseOrder({ ...purchaseOrder, lines: [line!, line!] }, twice.write);
    twice.sent.should.deepEqual({ send: 1, 'line-1': 1, 'line-1-2': 1, gift: 1 });
  });

  it('waits for a job that was accepted and is done later', async () => {
    const slow = withOptions((options) => {
      Object.assign(options['operations'].sendPurchaseOrder, {
        success: [202],
        refused: undefined,
        tryLater: undefined,
        response: "{ 'supplierOrderId': body.job }",
        steps: [
          {
            name: 'job',
            path: '/jobs/{results.send.supplierOrderId}',
            tryLater: "body.state = 'running'",
            refused: "body.state = 'failed' ? body.why",
            response: "{ 'supplierOrderId': body.order }",
          },
        ],
        result: 'results.job',
      });
      options['operations'].sendPurchaseOrder = JSON.parse(JSON.stringify(options['operations'].sendPurchaseOrder));
    });
    const writer = createWriter();
    pretend.state.next = { status: 202, json: { job: 5 } };
    const send = () => slow.sendPurchaseOrder(purchaseOrder, writer.write);
    // The job cannot be read at once: that changes nothing about the order that was sent.
    (await failure(send())).code.should.equal('ANSWER_UNEXPECTED');
    pretend.state.next = { json: { state: 'running' } };
    (await failure(send())).code.should.equal('PARTNER_BUSY');
    pretend.state.next = { json: { state: 'failed', why: 'no stock' } };
    (await failure(send())).message.should.equal('acme refused: no stock');
    pretend.state.next = { json: { state: 'done', order: 'V/5' } };
    (await send()).should.deepEqual({ supplierOrderId: 'V/5' });
    should(writer.sent['send']).equal(1);
  });
});

const askWriter: Parameters<Supplier['sendPurchaseOrder']>[1] = (write) =>
  write.send({ key: 'k', number: 1, signal: AbortSignal.timeout(5000) });

const acknowledgement = {
  PoNumber: 'shop-nz-1001-1',
  When: '2026-11-21T09:00:00Z',
  OrderNo: 'V/77',
  Items: [
    { Pos: 1, Article: 'V-17', Pieces: 2, State: 'OK', ReadyOn: '2026-11-25' },
    { Pos: 1, Article: 'V-17', Pieces: 1, State: 'LATER', Remark: 'in March' },
  ],
};

const delivery = {
  DeliveryNote: 'LS-9',
  PoNumber: 'shop-nz-1001-1',
  SentAt: '2026-11-21T11:00:00+01:00',
  Carrier: 'DHL',
  Parcels: [
    { Barcode: 'JD01', Items: [{ Pos: 1, Article: 'V-17', Pieces: '1.000' }] },
    { Barcode: '9007199254740993', Items: [{ Pos: 1, Article: 'V-17', Pieces: 1 }] },
  ],
};

function invoice(number: string) {
  return {
    InvoiceNo: number,
    PoNumber: 'shop-nz-1001-1',
    IssuedOn: '2026-11-22',
    DueOn: '2026-12-05',
    ChangedAt: '2026-11-22T10:00:00Z',
    FreightCents: 400,
    TotalCents: 2830,
    Items: [
      { Kind: 'article', Pos: 1, Article: 'V-17', Pieces: 3, PriceCents: 810 },
      { Kind: 'text', Article: 'Thank you' },
    ],
  };
}
