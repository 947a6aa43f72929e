import { createHmac } from 'node:crypto';
import should from 'should';
import type { AdapterTools } from '../../partners/adapter.ts';
import { createGenericShop } from '../../partners/ecommerce/generic.ts';
import type { EcommercePlatform } from '../../partners/ecommerce/port.ts';
import { parseJson } from '../../partners/json.ts';
import {
  bareNumber,
  createWriter,
  documented,
  failure,
  fails,
  order,
  partnerOf,
  shipment,
  startServer,
  type Answer,
  type Asked,
  type PretendServer,
} from './generic-support.ts';

const KEY = Buffer.alloc(32, 7).toString('base64');
const CREDENTIALS = { key: 'ck_1', secret: 'cs_1', webhookSecret: `whsec_${KEY}` };

function pretendShop() {
  const state = { fulfilments: [] as any[], orders: [] as any[], last: undefined as Asked | undefined };
  function handle(asked: Asked): Answer {
    const { method, path, query, headers, json } = asked;
    state.last = asked;
    if (headers.authorization !== `Basic ${Buffer.from('ck_1:cs_1').toString('base64')}`) return { status: 401 };
    if (path === '/shop/orders/1001/fulfilments' && method === 'POST') {
      const made = { id: state.fulfilments.length + 1, ...json.fulfilment };
      state.fulfilments.push(made);
      return { status: 201, json: { fulfilment: made } };
    }
    if (path === '/shop/orders/1001/fulfilments') return { json: { fulfilments: state.fulfilments } };
    if (path === '/shop/orders' && method === 'GET') {
      const page = Number(query.get('p') ?? 1);
      const next = `<http://${headers.host}/shop/orders?p=1>; rel="first", </shop/orders?p=${page + 1}&updated_after=x>; title="a, b"; rel="next"`;
      return {
        json: { orders: state.orders.slice((page - 1) * 2, page * 2) },
        ...(state.orders.length > page * 2 ? { headers: { link: next } } : {}),
      };
    }
    if (path.startsWith('/shop/orders/1001')) return { json: {} };
    return { status: 404, json: {} };
  }
  return { state, handle };
}

describe('partners/ecommerce/generic', () => {
  let server: PretendServer;
  let shop: EcommercePlatform;
  let pretend: ReturnType<typeof pretendShop>;
  let tools: AdapterTools & { clock: number };

  beforeEach(async () => {
    pretend = pretendShop();
    server = await startServer(pretend.handle);
    const made = partnerOf(server, documented('shop'), CREDENTIALS, '/shop/');
    tools = made.tools;
    shop = createGenericShop(made.settings, tools);
  });

  afterEach(async () => {
    tools.http.close();
    await server.close();
  });

  function withOptions(change: (options: Record<string, any>) => void) {
    const options = documented('shop');
    change(options);
    return createGenericShop(
      { reference: 'acme', baseUrl: `${server.url}/shop`, options, credentials: CREDENTIALS },
      tools,
    );
  }

  function signed(text: string) {
    const time = String(Math.floor(tools.clock / 1000));
    const body = Buffer.from(text);
    const mac = createHmac('sha256', Buffer.from(KEY, 'base64')).update(`msg_1.${time}.`).update(body).digest('base64');
    return { headers: { 'webhook-id': 'msg_1', 'webhook-timestamp': time, 'webhook-signature': `v1,${mac}` }, body };
  }

  it('fulfils with tracking, and finds its fulfilment by our reference when the answer was lost', async () => {
    const writer = createWriter();
    server.spoil('POST', 'lose');
    (await shop.fulfil(shipment, order, writer.write)).id.should.equal('1');
    should(writer.sent['fulfil']).equal(1);
    pretend.state.fulfilments.should.have.length(1);
    pretend.state.fulfilments[0].should.containEql({ external_id: 'vineyard/SH-12' });
    pretend.state.fulfilments[0].line_items.should.deepEqual([{ line_item_id: '9007199254740995', quantity: 2 }]);
    pretend.state.fulfilments[0].tracking.should.deepEqual({ company: 'DHL', number: 'JD01' });
  });

  it('fulfils again when the first call was certainly not carried out', async () => {
    const broken = await startServer((asked) => {
      if (asked.method === 'GET') return { json: { fulfilments: [{ id: 9, external_id: 'another' }] } };
      calls += 1;
      return calls === 1 ? { status: 502 } : { status: 201, json: { fulfilment: { id: 5 } } };
    });
    let calls = 0;
    try {
      const retried = createGenericShop(
        { reference: 'acme', baseUrl: broken.url, options: documented('shop'), credentials: CREDENTIALS },
        tools,
      );
      (await retried.fulfil(shipment, order, createWriter().write)).id.should.equal('5');
      calls.should.equal(2);
    } finally {
      await broken.close();
    }
  });

  it('leaves a lost cancellation of lines to a person, because the shop can neither deduplicate nor be asked', async () => {
    const writer = createWriter();
    server.spoil('POST', 'lose');
    const lines = [{ orderLine: '9007199254740995', sku: 'RED-1', quantity: '1' }];
    (await failure(shop.cancelLines(lines, order, false, 'Sold out', writer.write))).code.should.equal('ANSWER_LOST');
    writer.asked.should.deepEqual(['cancel']);
    should(writer.sent['cancel']).equal(1);
    await shop.cancelLines(lines, order, true, 'Sold out', createWriter().write);
    should(pretend.state.last?.json).deepEqual({ order: { state: 'cancelled', note: 'Sold out' } });
  });

  it('completes where that is configured, and skips it otherwise', async () => {
    (await shop.complete(order, createWriter().write)).should.deepEqual({});
    should(pretend.state.last?.method).equal('PUT');
    const without = withOptions((options) => delete options['operations'].complete);
    (await without.complete(order, createWriter().write)).should.deepEqual({
      skipped: 'operations.complete is not configured',
    });
    const bare = withOptions((options) => delete options['operations']);
    (await failure(bare.fulfil(shipment, order, createWriter().write))).message.should.containEql(
      'Add operations.fulfil',
    );
    (await bare.testConnection()).should.deepEqual({
      ok: true,
      message: 'acme answers GET /shop/orders with 200; not configured yet: fulfil, cancelLines.',
    });
  });

  it('takes an order from a signed webhook with all digits of its id, and ignores other topics', () => {
    const [fact, ...others] = shop.receive(signed(`{"topic":"order.paid","order":${shopOrder('9007199254740993')}}`));
    others.should.be.empty();
    should(fact?.kind).equal('order');
    should(fact?.dedupeKey).equal('order:9007199254740993@2026-11-22T10:00:00+13:00');
    const { order: read, paid, cancelled } = shop.readOrder(fact?.body);
    read.id.should.equal('acme-9007199254740993');
    paid.should.equal(true);
    cancelled.should.equal(false);
    shop.receive(signed('{"topic":"product.changed","product":{}}')).should.be.empty();
    fails(() => shop.receive({ ...signed('{}'), body: Buffer.from('{"a":1}') })).code.should.equal('NOT_AUTHENTIC');
  });

  it('reads an order into our words', () => {
    shop.readOrder(parseJson(shopOrder('55'))).should.deepEqual({
      paid: true,
      cancelled: false,
      order: {
        type: 'order',
        id: 'acme-55',
        shop: 'acme',
        shopOrderId: '55',
        number: 'NZ-55',
        placedAt: '2026-11-21T20:00:00.000Z',
        changedAt: '2026-11-21T21:00:00.000Z',
        currency: 'NZD',
        customer: { name: 'Ana Ruiz', email: 'ana@example.com' },
        shipTo: { name: 'Ana Ruiz', street: '12 Harbour Rd', postalCode: '6011', city: 'Wellington', country: 'NZ' },
        lines: [
          {
            id: '9007199254740995',
            sku: 'RED-1',
            name: 'Red',
            quantity: '3',
            unitPrice: { minor: 1250, currency: 'NZD' },
          },
        ],
        shipping: { minor: 0, currency: 'NZD' },
        tax: { minor: 489, currency: 'NZD' },
        total: { minor: 3750, currency: 'NZD' },
        revision: 0,
      },
    });
  });

  it('says what is wrong with an order', () => {
    const wrong = (change: (order: any) => void) => {
      const body = parseJson(shopOrder('55')) as any;
      change(body);
      return fails(() => shop.readOrder(body));
    };
    wrong((body) => (body.delivery.country = 'Atlantis')).message.should.containEql(
      'read.order.shipTo.country (at "delivery.country") is "Atlantis"',
    );
    wrong((body) => delete body.delivery.country).code.should.equal('ADDRESS_WITHOUT_COUNTRY');
    wrong((body) => delete body.delivery).code.should.equal('ADDRESS_MISSING');
    wrong((body) => delete body.delivery.city).code.should.equal('ADDRESS_INCOMPLETE');
    wrong((body) => (body.line_items = [])).code.should.equal('ORDER_WITHOUT_LINES');
    wrong((body) => (body.line_items[0].unit_price = 0.1 + 0.2)).message.should.containEql(
      'read.order.lines[0].unitPrice',
    );
    wrong((body) => (body.grand_total = '12,50')).code.should.equal('AMOUNT_INVALID');
    wrong((body) => (body.currency = 'ZZZ')).code.should.equal('CURRENCY_UNKNOWN');
  });

  it('finds misspelt, missing and misplaced fields of read when the adapter is built', () => {
    const message = (change: (rules: any) => void) => fails(() => withOptions((o) => change(o['read'].order))).message;
    message((rules) => (rules.shipto = rules.shipTo)).should.containEql(
      'read.order.shipto is not a field of this document; it has shopOrderId',
    );
    message((rules) => delete rules.paid).should.containEql('read.order.paid is missing');
    message((rules) => delete rules.shipTo.country).should.containEql('read.order.shipTo.country is missing');
    message((rules) => (rules.lines = 'line_items')).should.containEql('read.order.lines must be {"each"');
    message((rules) => delete rules.lines.fields.sku).should.containEql('read.order.lines.fields.sku is missing');
    fails(() => withOptions((options) => delete options['read'])).message.should.containEql(
      'read.order is missing: documents of this kind come in',
    );
  });

  it('gives two ids of the shop never the same id of ours', () => {
    const idOf = (id: string) => shop.readOrder(parseJson(shopOrder(JSON.stringify(id)))).order.id;
    idOf('gid://shop/Order/1').should.match(/^acme-gid-shop-Order-1-[0-9a-f]{8}$/);
    idOf('a/b').should.not.equal(idOf('a-b'));
    idOf('a/b').should.not.equal(idOf('a b'));
  });

  it('finds by polling what webhooks missed, over the Link header, with the same keys', async () => {
    pretend.state.orders = ['1', '2', '3'].map((id) => parseJson(shopOrder(id)));
    const first = await shop.poll(undefined);
    first.more.should.equal(true);
    const second = await shop.poll(first.cursor);
    second.more.should.equal(false);
    [...first.facts, ...second.facts]
      .map(({ dedupeKey }) => dedupeKey)
      .should.deepEqual(
        ['1', '2', '3'].map(
          (id) => shop.receive(signed(`{"topic":"order.paid","order":${shopOrder(id)}}`))[0]?.dedupeKey,
        ),
      );
    await shop.poll(second.cursor);
    should(pretend.state.last?.query.get('updated_after')).equal('2026-11-21T20:58:00.000Z');
  });

  it('fetches the whole document of each item where the list shows only a part, and keeps what is gone', async () => {
    const thin = withOptions((options) => {
      options['poll'] = {
        path: '/orders',
        items: 'body.orders',
        detail: { path: '/orders/{item.id}', response: "$merge([input.item, {'whole': true}])" },
      };
    });
    pretend.state.orders = [{ id: 1001 }, { id: 404 }];
    const { facts, more } = await thin.poll(undefined);
    facts.map(({ body }) => body).should.deepEqual([{ id: 1001, whole: true }, { id: 404 }]);
    more.should.equal(false);
  });

  it('says that polling is not configured', async () => {
    const error = await failure(withOptions((options) => delete options['poll']).poll(undefined));
    error.code.should.equal('POLL_MISSING');
  });

  it('logs in with a form or a body of another kind, and sends forms and texts', async () => {
    let form: Asked | undefined;
    const odd = await startServer((asked) => {
      if (asked.path === '/session') return { json: { session: { id: `s-${asked.json.pw}` } } };
      if (asked.headers['x-session'] !== 's-cs_1') return { status: 401 };
      form = asked;
      return { text: '<ok id="7"/>' };
    });
    try {
      const options = {
        auth: {
          type: 'login',
          tokenUrl: '/session',
          userField: 'login',
          passwordField: 'pw',
          token: 'session.id',
          header: 'X-Session',
          prefix: '',
        },
        operations: {
          fulfil: {
            method: 'POST',
            path: '/ship?version=2',
            query: { 'api-version': 3, note: '{order.note}' },
            bodyType: 'form',
            request: "{ 'order': order.shopOrderId, 'tracking': shipment.parcels[0].{ 'no': trackingNumber } }",
            response: '$match(body, /id="(\\d+)"/).groups[0]',
            settle: 'ask',
          },
          complete: {
            method: 'POST',
            path: '/close',
            headers: { 'Content-Type': 'application/xml' },
            bodyType: 'text',
            request: "'<close>' & order.shopOrderId & '</close>'",
            settle: 'ask',
          },
        },
      };
      const other = createGenericShop(
        { reference: 'acme', baseUrl: odd.url, options, credentials: CREDENTIALS },
        tools,
      );
      (await other.fulfil(shipment, order, createWriter().write)).id.should.equal('7');
      should(form?.text).equal('order=1001&tracking%5Bno%5D=JD01');
      should([...(form?.query.entries() ?? [])]).deepEqual([
        ['version', '2'],
        ['api-version', '3'],
      ]);
      await other.complete(order, createWriter().write);
      should(form?.headers['content-type']).equal('application/xml');
      should(form?.text).equal('<close>1001</close>');
    } finally {
      await odd.close();
    }
  });
});

/** As the shop sends it: ids as bare numbers beyond 2^53, amounts as numbers and as texts. */
function shopOrder(id: string): string {
  return JSON.stringify({
    id: bareNumber(id.startsWith('"') ? '0' : id),
    order_name: `NZ-${id}`,
    state: 'open',
    created_at: '2026-11-22T09:00:00+13:00',
    updated_at: '2026-11-22T10:00:00+13:00',
    paid_at: '2026-11-22T09:01:00+13:00',
    currency: 'nzd',
    grand_total: '37.50',
    tax_total: 4.89,
    buyer: { first: 'Ana', last: 'Ruiz', email: 'ana@example.com' },
    delivery: {
      first: 'Ana',
      last: 'Ruiz',
      address_1: '12 Harbour Rd',
      address_2: '',
      zip: '6011',
      city: 'Wellington',
      country: 'New Zealand',
    },
    line_items: [
      {
        kind: 'product',
        id: bareNumber('9007199254740995'),
        variant: { sku: 'RED-1' },
        title: 'Red',
        quantity: 3,
        unit_price: 12.5,
      },
      { kind: 'gift-wrap', id: 8, title: 'Wrap' },
    ],
  }).replace('"id":0,', `"id":${id},`);
}
