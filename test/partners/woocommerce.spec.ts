import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import should from 'should';
import fc from 'fast-check';
import { createHttp, type Http, type HttpRequest } from '../../partners/http.ts';
import { oauthSignature } from '../../partners/ecommerce/oauth1.ts';
import type { EcommercePlatform } from '../../partners/ecommerce/port.ts';
import { createWooCommerce } from '../../partners/ecommerce/woocommerce.ts';
import type { InboundRequest } from '../../partners/adapter.ts';
import type { Attempt, Json, Write, Writer } from '../../partners/write.ts';
import type { Order } from '../../orders/order.ts';
import type { Shipment } from '../../orders/shipment.ts';
import { createShop, type ShopOptions } from '../../sandbox/shop.ts';
import { serve } from '../../sandbox/serve.ts';
import { createWorld, type World } from '../../sandbox/world.ts';

const KEY = 'ck_test';
const SECRET = 'cs_test';
const HOOK_SECRET = 'hook-secret';

interface Recorded {
  headers: Record<string, string>;
  secret: string;
  raw: string;
}

function recorded(version: string): Recorded {
  const path = new URL(`../fixtures/woocommerce/webhook-order.created-wc${version}.json`, import.meta.url);
  return JSON.parse(readFileSync(path, 'utf8')) as Recorded;
}

function shop(
  more: { options?: Record<string, unknown>; credentials?: Record<string, string>; url?: string; http?: Http } = {},
): EcommercePlatform {
  const settings = {
    reference: 'shop',
    baseUrl: more.url ?? 'http://shop.invalid',
    options: more.options ?? {},
    credentials: { key: KEY, secret: SECRET, webhookSecret: HOOK_SECRET, ...more.credentials },
  };
  return createWooCommerce(settings, {
    http: more.http ?? createHttp({ partner: 'shop', timeout: 500 }),
    now: () => Date.now(),
  });
}

function signed(body: string, secret = HOOK_SECRET, topic = 'order.updated'): InboundRequest {
  const signature = createHmac('sha256', secret).update(body).digest('base64');
  return {
    headers: {
      'x-wc-webhook-signature': signature,
      'x-wc-webhook-topic': topic,
      'x-wc-webhook-resource': topic.split('.')[0],
    },
    body: Buffer.from(body),
  };
}

/** A real order body; what a test changes of it. */
function body(changes: Record<string, unknown> = {}): Record<string, unknown> {
  return { ...(JSON.parse(recorded('11.0.1').raw) as Record<string, unknown>), ...changes };
}

function line(changes: Record<string, unknown> = {}): Record<string, unknown> {
  return { id: 1, name: 'Mug', sku: 'MUG', quantity: 2, total: '25.00', total_tax: '0.00', ...changes };
}

describe('WooCommerce: what comes in', () => {
  for (const version of ['7.9.0', '11.0.1']) {
    it(`a delivery recorded from WooCommerce ${version} is authentic and reads as an order`, () => {
      const { headers, secret, raw } = recorded(version);
      const platform = shop({ credentials: { webhookSecret: secret } });
      const facts = platform.receive({ headers, body: Buffer.from(raw) });
      facts.should.have.length(1);
      const { order, paid, cancelled } = platform.readOrder(facts[0]?.body);
      should({ paid, cancelled }).eql({ paid: true, cancelled: false });
      order.id.should.equal('shop-11');
      order.number.should.equal('11');
      order.placedAt.should.match(/^2026-11-22T14:\d\d:\d\d\.000Z$/);
      order.customer.should.eql({ name: 'Jana Nováková', email: 'jana@example.com', phone: '+420777123456' });
      order.shipTo.should.eql({
        name: 'Jana Nováková',
        street: 'Dlouhá 1',
        postalCode: '11000',
        city: 'Praha',
        country: 'CZ',
        phone: '+420777123456',
      });
      order.lines.should.have.length(1);
      should(order.lines[0]).match({
        id: '1',
        name: 'Mug',
        quantity: '2',
        unitPrice: { minor: 1250, currency: 'EUR' },
      });
      should(order.shipping).eql({ minor: 500, currency: 'EUR' });
      order.total.should.eql({ minor: 3000, currency: 'EUR' });
    });

    it(`a delivery recorded from WooCommerce ${version} with any one byte changed is refused`, () => {
      const { headers, secret, raw } = recorded(version);
      const platform = shop({ credentials: { webhookSecret: secret } });
      const bytes = Buffer.from(raw);
      fc.assert(
        fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, difference) => {
          const changed = Buffer.from(bytes);
          changed[at] = (changed[at] ?? 0) ^ difference;
          should(() => platform.receive({ headers, body: changed })).throw({ code: 'NOT_AUTHENTIC' });
        }),
        { numRuns: 200 },
      );
    });
  }

  it('the old secret holds while a new one is brought in, and no other', () => {
    const platform = shop({ credentials: { oldWebhookSecret: 'before' } });
    const text = JSON.stringify(body());
    platform.receive(signed(text)).should.have.length(1);
    platform.receive(signed(text, 'before')).should.have.length(1);
    should(() => platform.receive(signed(text, 'another'))).throw({ code: 'NOT_AUTHENTIC' });
  });

  it('the unsigned ping of a new webhook holds nothing; any other unsigned body is refused', () => {
    const platform = shop();
    platform.receive({ headers: {}, body: Buffer.from('webhook_id=7') }).should.eql([]);
    should(() => platform.receive({ headers: {}, body: Buffer.from('webhook_id=7&id=1') })).throw({
      code: 'NOT_AUTHENTIC',
    });
    should(() => platform.receive({ headers: {}, body: Buffer.from(JSON.stringify(body())) })).throw({
      code: 'NOT_AUTHENTIC',
    });
  });

  it('a signed body that is no JSON is unreadable, and records of other topics hold nothing for us', () => {
    const platform = shop();
    should(() => platform.receive(signed('{"id":'))).throw({ code: 'BODY_UNREADABLE' });
    platform.receive(signed('{"id": 9, "sku": "MUG"}', HOOK_SECRET, 'product.updated')).should.eql([]);
    platform.receive(signed(JSON.stringify(body({ status: 'checkout-draft' })))).should.eql([]);
  });

  it('a deleted order is a fact that a person must look at', () => {
    const platform = shop();
    const facts = platform.receive(signed('{"id": 11}', HOOK_SECRET, 'order.deleted'));
    facts.should.have.length(1);
    should(() => platform.readOrder(facts[0]?.body)).throw({ code: 'ORDER_DELETED' });
  });

  it('created, updated, repetitions and a poll of one state are one fact; each change that matters is another', () => {
    const platform = shop();
    const keyOf = (changes: Record<string, unknown>, topic = 'order.updated'): string | undefined =>
      platform.receive(signed(JSON.stringify(body(changes)), HOOK_SECRET, topic))[0]?.dedupeKey;
    const key = keyOf({});
    should(key).match(/^order:11@2026-11-22T14:40:12:[0-9a-f]{12}$/);
    should(keyOf({}, 'order.created')).equal(key);
    should(keyOf({ _links: {}, meta_data: [], is_editable: true, a_plugin_adds: 1 })).equal(key);
    const { status, ...rest } = body();
    const turned = JSON.stringify({ ...rest, status });
    should(platform.receive(signed(turned))[0]?.dedupeKey).equal(key);
    const changes = [
      { status: 'cancelled' },
      { date_modified_gmt: '2026-11-22T14:40:13' },
      { line_items: [line({ quantity: 1 })] },
      { refunds: [{ id: 5, total: '-1.00' }] },
      { shipping: { ...(body()['shipping'] as object), city: 'Brno' } },
    ];
    const keys = new Set([key, ...changes.map((change) => keyOf(change))]);
    keys.size.should.equal(changes.length + 1);
  });
});

describe('WooCommerce: reading an order', () => {
  const read = (changes: Record<string, unknown>, options = {}): ReturnType<EcommercePlatform['readOrder']> =>
    shop({ options }).readOrder(body(changes));

  const refusals: [what: string, changes: Record<string, unknown>, code: string, names?: RegExp][] = [
    ['no lines', { line_items: [] }, 'ORDER_WITHOUT_LINES'],
    [
      'no country',
      { shipping: {}, billing: { ...(body()['billing'] as object), country: '' } },
      'ADDRESS_WITHOUT_COUNTRY',
    ],
    [
      'a country in words',
      { shipping: { address_1: 'Dlouhá 1', city: 'Praha', last_name: 'N', country: 'Czechia' } },
      'ADDRESS_WITHOUT_COUNTRY',
    ],
    ['no street', { shipping: { city: 'Praha', last_name: 'N', country: 'CZ' } }, 'ADDRESS_INCOMPLETE', /street/],
    ['quantity 0', { line_items: [line({ quantity: 0 })] }, 'QUANTITY_INVALID', /Line 1 \(Mug\)/],
    ['a negative quantity', { line_items: [line({ quantity: -1 })] }, 'QUANTITY_INVALID'],
    ['quantity 1e9', { line_items: [line({ quantity: 1e9 })] }, 'QUANTITY_INVALID'],
    ['no quantity', { line_items: [line({ quantity: null })] }, 'QUANTITY_INVALID'],
    ['an empty SKU', { line_items: [line({ sku: '' })] }, 'SKU_MISSING', /Line 1 \(Mug\)/],
    ['SKU null', { line_items: [line({ sku: null })] }, 'SKU_MISSING'],
    ['an unknown currency', { currency: 'XXX' }, 'CURRENCY_UNKNOWN'],
    ['no currency', { currency: undefined }, 'CURRENCY_UNKNOWN'],
    ['an amount with letters', { total: '12,50 €' }, 'AMOUNT_INVALID'],
    ['no total', { total: undefined }, 'AMOUNT_INVALID'],
    ['cents in yen', { currency: 'JPY', total: '30.50' }, 'AMOUNT_INVALID'],
    ['no date', { date_created_gmt: null }, 'ORDER_UNREADABLE'],
    ['no id', { id: undefined }, 'ORDER_UNREADABLE'],
    ['a path as id', { id: '../1' }, 'ORDER_UNREADABLE'],
  ];
  for (const [what, changes, code, names] of refusals) {
    it(`${what}: ${code}`, () => {
      should(() => read(changes)).throw({ name: 'BusinessRefusal', code, ...(names ? { message: names } : {}) });
    });
  }

  it('nothing but an order is read as one, and no garbage ends in another error than a refusal', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...Object.keys(body())), fc.jsonValue()), (changes) => {
        try {
          read(changes);
        } catch (error) {
          should(error).have.property('name', 'BusinessRefusal');
        }
      }),
    );
    for (const garbage of [null, undefined, 7, 'order', [], {}]) {
      should(() => shop().readOrder(garbage)).throw({ code: 'ORDER_UNREADABLE' });
    }
  });

  it('ids beyond 2^53 keep all their digits', () => {
    const raw = JSON.stringify(body()).replace('"id":11,', '"id":9007199254740993,');
    const platform = shop();
    const [fact] = platform.receive(signed(raw));
    platform.readOrder(fact?.body).order.id.should.equal('shop-9007199254740993');
    should(fact?.dedupeKey).startWith('order:9007199254740993@');
  });

  it('the state of the order says whether it is paid and whether it lives; the paid states are a choice', () => {
    const stateOf = (status: string, options = {}): unknown => {
      const { paid, cancelled } = read({ status }, options);
      return { paid, cancelled };
    };
    for (const status of ['processing', 'completed']) should(stateOf(status)).eql({ paid: true, cancelled: false });
    for (const status of ['pending', 'on-hold']) should(stateOf(status)).eql({ paid: false, cancelled: false });
    for (const status of ['cancelled', 'refunded', 'failed', 'trash'])
      should(stateOf(status)).eql({ paid: false, cancelled: true });
    should(stateOf('on-hold', { paidStatuses: 'on-hold, ready' })).eql({ paid: true, cancelled: false });
    should(stateOf('processing', { paidStatuses: ['on-hold'] })).eql({ paid: false, cancelled: false });
  });

  it('without a shipping address the parcel goes to the billing address; the shop fills in its country alone', () => {
    const { order } = read({ shipping: { first_name: '', city: '', country: 'DE' } });
    order.shipTo.country.should.equal('CZ');
    should(order).not.have.property('billTo');
    const other = read({
      shipping: { first_name: 'Max', last_name: 'Muster', address_1: 'Weg 1', city: 'Wien', country: 'at' },
    }).order;
    other.shipTo.should.match({ name: 'Max Muster', country: 'AT' });
    should(other.billTo).match({ name: 'Jana Nováková', country: 'CZ' });
  });

  it('times are GMT, whatever the zone of this machine', () => {
    const zone = process.env['TZ'];
    process.env['TZ'] = 'Asia/Tokyo';
    try {
      const { order } = read({ date_created_gmt: '2026-11-22T14:40:12', date_created: '2026-11-22T15:40:12' });
      order.placedAt.should.equal('2026-11-22T14:40:12.000Z');
    } finally {
      if (zone === undefined) delete process.env['TZ'];
      else process.env['TZ'] = zone;
    }
  });

  it('a registered customer has an id, a guest has none', () => {
    should(read({ customer_id: 42 }).order.customer.shopCustomerId).equal('42');
    should(read({ customer_id: 0 }).order.customer).not.have.property('shopCustomerId');
  });

  it('the unit price is what the customer pays after coupons, exact where the total divides', () => {
    const priceOf = (total: string, quantity: unknown): unknown =>
      read({ line_items: [line({ total, quantity, price: 0.1 })] }).order.lines[0]?.unitPrice.minor;
    should(priceOf('22.50', 2)).equal(1125);
    should(priceOf('10.00', 3)).equal(333);
    should(priceOf('20.00', 3)).equal(667);
    should(priceOf('0.00', 5)).equal(0);
    should(priceOf('5.00', '2.5')).equal(200);
    fc.assert(
      fc.property(fc.nat(1_000_000), fc.integer({ min: 1, max: 1000 }), (price, quantity) => {
        should(priceOf(((price * quantity) / 100).toFixed(2), quantity)).equal(price);
      }),
    );
  });

  it('refunded quantities are not delivered and not charged; a cancelled order keeps its lines', () => {
    const refunds = [
      {
        id: 7,
        amount: '12.50',
        line_items: [
          { id: 8, quantity: -1, total: '-12.50', meta_data: [{ id: 1, key: '_refunded_item_id', value: '1' }] },
        ],
      },
    ];
    const { order } = read({ line_items: [line(), line({ id: 2, sku: 'CUP' })], total: '55.00', refunds });
    order.lines
      .map(({ sku, quantity }) => [sku, quantity])
      .should.eql([
        ['MUG', '1'],
        ['CUP', '2'],
      ]);
    order.total.minor.should.equal(4250);
    const twice = read({ line_items: [line(), line({ id: 2, sku: 'CUP' })], refunds: [...refunds, ...refunds] }).order;
    twice.lines.map(({ sku }) => sku).should.eql(['CUP']);
    should(() => read({ line_items: [line({ quantity: 1 })], refunds })).throw({ code: 'ORDER_WITHOUT_LINES' });
    read({ status: 'refunded', line_items: [line({ quantity: 1 })], refunds }).order.lines.should.have.length(1);
    // A goodwill refund has an amount and no lines.
    const goodwill = read({ total: '30.00', refunds: [{ id: 9, total: '-5.00' }] }).order;
    should(goodwill.lines[0]?.quantity).equal('2');
    goodwill.total.minor.should.equal(2500);
  });
});

describe('WooCommerce: authentication', () => {
  it('the OAuth 1.0a signature is that of an independent implementation', () => {
    // Computed with Python: hmac, hashlib, base64 and urllib.parse.quote(safe='~').
    const parameters = {
      status: 'any',
      search: "Nováková's (50%) *",
      modified_after: '2026-11-22T14:40:12',
      oauth_consumer_key: 'ck_0123456789abcdef',
      oauth_nonce: 'a1b2c3d4e5f6',
      oauth_signature_method: 'HMAC-SHA256',
      oauth_timestamp: '1795358412',
    };
    oauthSignature('GET', 'http://shop.example/wp-json/wc/v3/orders', parameters, 'cs_fedcba9876543210').should.equal(
      'cBaBxUsyy47PmdYDhsn51ULZiD8oQeEjAse9/E4uU6c=',
    );
  });

  it('over https the key goes as Basic and nothing of it into the address; over http only its signature leaves', async () => {
    const asked: HttpRequest[] = [];
    const http: Http = {
      send: () => Promise.reject(new Error('not used')),
      json(request) {
        asked.push(request);
        return Promise.resolve([]);
      },
      close() {},
    };
    await shop({ url: 'https://shop.example/', http }).poll(undefined);
    await shop({ url: 'http://shop.example/', http }).poll(undefined);
    const [secure, plain] = asked;
    should(secure?.url).equal('https://shop.example/wp-json/wc/v3/orders');
    should(secure?.headers).eql({ authorization: `Basic ${Buffer.from(`${KEY}:${SECRET}`).toString('base64')}` });
    JSON.stringify(secure?.query).should.not.containEql('oauth');
    should(plain?.headers).be.undefined();
    should(plain?.query).have.property('oauth_consumer_key', KEY);
    JSON.stringify(plain).should.not.containEql(SECRET);
  });

  it('a missing key or an unknown option is named', async () => {
    await shop({ credentials: { secret: '' } })
      .poll(undefined)
      .should.be.rejectedWith({ code: 'CREDENTIALS_MISSING', message: /cs_/ });
    should(() => shop({ options: { completion: 'magic' } })).throw({ code: 'OPTION_INVALID' });
    should(() => shop({ url: 'shop.example' })).throw({ code: 'BASE_URL_INVALID' });
    await shop().poll('page 2').should.be.rejectedWith({ code: 'CURSOR_UNREADABLE' });
  });
});

/** Sends once and believes the answer. */
const trusting: Writer = (write) => write.send(attempt(1));

/** Keeps results like the ledger: a step that is done answers from the record. Counts what was sent. */
function ledger(): { write: Writer; sent: string[] } {
  const done = new Map<string, Json>();
  const sent: string[] = [];
  const write: Writer = async <Result extends Json>(each: Write<Result>): Promise<Result> => {
    const known = done.get(each.step);
    if (known !== undefined) return known as Result;
    let result = each.settle === 'probe' && each.look === 'always' ? await each.find() : undefined;
    if (result === undefined) {
      sent.push(each.step);
      result = await each.send(attempt(1));
    }
    done.set(each.step, result);
    return result;
  };
  return { write, sent };
}

/** The answer of every first call is lost; what the write says about its settlement must lead to the same end without a second effect. */
const losing: Writer = async (write) => {
  await write.send(attempt(1)).catch(() => undefined);
  if (write.settle === 'ask') throw new Error('A person would be asked.');
  if (write.settle === 'idempotent') return write.send(attempt(2));
  const found = await write.find();
  if (found === undefined) throw new Error(`"${write.step}" was done, but is not found again.`);
  return found;
};

function attempt(number: number): Attempt {
  return { key: 'test', number, signal: AbortSignal.timeout(5000) };
}

describe('WooCommerce: against the pretend shop', () => {
  let world: World;
  let open: { close(): Promise<void> }[];

  beforeEach(() => {
    world = createWorld();
    open = [];
  });

  afterEach(async () => {
    for (const each of open) await each.close();
    world.close();
  });

  async function start(
    more: Partial<ShopOptions> = {},
    options: Record<string, unknown> = {},
  ): Promise<{ url: string; platform: EcommercePlatform }> {
    const listener = await serve(world, createShop(world, { key: KEY, secret: SECRET, ...more }), 0);
    const http = createHttp({ partner: 'shop', timeout: 500 });
    open.push({ close: async () => (http.close(), await listener.close()) });
    return { url: listener.url, platform: shop({ url: listener.url, options, http }) };
  }

  async function post(url: string, path: string, json: unknown): Promise<Record<string, unknown>> {
    const answer = await fetch(`${url}/__sandbox/shop/${path}`, { method: 'POST', body: JSON.stringify(json) });
    answer.ok.should.be.true();
    return (await answer.json()) as Record<string, unknown>;
  }

  /** An order of two bottles and an apron, as the poll gives it. */
  async function placed(url: string, platform: EcommercePlatform): Promise<Order> {
    const lines = [
      { sku: 'WINE-RIESLING', quantity: 2 },
      { sku: 'APRON-LINEN', quantity: 1 },
    ];
    const { id } = await post(url, 'orders', { lines, country: 'DE' });
    const { facts } = await platform.poll(undefined);
    const fact = facts.find(({ dedupeKey }) => dedupeKey.startsWith(`order:${String(id)}@`));
    return platform.readOrder(fact?.body).order;
  }

  function shipment(order: Order, number: string, sku: string, quantity: string, tracking: string[]): Shipment {
    const orderLine = order.lines.find((each) => each.sku === sku)?.id ?? '';
    return {
      type: 'shipment',
      id: `prompt/${number}`,
      number,
      supplier: 'prompt',
      purchaseOrder: `${order.id}-1`,
      orderId: order.id,
      shippedAt: '2026-11-23T10:00:00.000Z',
      parcels: tracking.map((trackingNumber) => ({
        carrier: 'DHL',
        trackingNumber,
        trackingUrl: `https://track.example/${trackingNumber}?a=1&b=2`,
      })),
      lines: [{ line: '1', orderLine, sku, quantity }],
    };
  }

  const effects = (operation: string): string[] =>
    world.effects.filter((each) => each.operation === operation).map((each) => each.reference);

  async function shown(url: string, order: Order): Promise<string> {
    return (await fetch(`${url}/storefront/orders/${order.shopOrderId}`)).text();
  }

  it('testing the connection says in a sentence what it found', async () => {
    const { platform } = await start({ webhook: { url: 'http://127.0.0.1:1/', secret: HOOK_SECRET } });
    const test = await platform.testConnection();
    test.should.eql({
      ok: true,
      message: 'Cork & Pan answers, the key may read and write orders, and order webhooks are active (2).',
    });
  });

  it('testing the connection names what is missing: the key, the right, the site, the webhook', async () => {
    const { url } = await start({ permissions: 'read' });
    const readOnly = await shop({ url }).testConnection();
    readOnly.ok.should.be.false();
    readOnly.message.should.match(/Read\/Write/);
    const wrong = await shop({ url, credentials: { secret: 'cs_wrong' } }).testConnection();
    wrong.ok.should.be.false();
    wrong.message.should.match(/Site Address/);
    const elsewhere = await shop({ url: `${url}/blog` }).testConnection();
    elsewhere.ok.should.be.false();
    elsewhere.message.should.match(/base URL/);
    const nowhere = await shop({ url: 'http://127.0.0.1:1' }).testConnection();
    nowhere.ok.should.be.false();
    nowhere.message.should.match(/cannot be reached/);
  });

  it('a webhook that WooCommerce has disabled is named', async () => {
    const { url, platform } = await start({
      webhook: { url: 'http://127.0.0.1:1/', secret: HOOK_SECRET },
      webhookDelay: 1,
    });
    await post(url, 'orders', { lines: [{ sku: 'OIL-OLIVE', quantity: 1 }], country: 'DE', deliveries: 7 });
    for (let tries = 0; tries < 100; tries += 1) {
      if (!(await platform.testConnection()).ok) break;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const test = await platform.testConnection();
    test.ok.should.be.false();
    test.message.should.match(/"Dropline created" \(order\.created\) is disabled/);
  });

  for (const [apart, changed, after] of [
    // The first page only finds out that they share a second; from the second on, offsets count.
    ['in one second', 5, 1],
    ['a second apart', 60, 0],
  ] as const) {
    it(`the poll misses none of 230 orders placed ${apart}, though ${changed} of its first page change meanwhile`, async () => {
      const { url, platform } = await start();
      let clock = Math.floor(Date.now() / 1000) * 1000 - 300_000;
      world.now = () => clock;
      const ids: string[] = [];
      const order = { lines: [{ sku: 'OIL-OLIVE', quantity: 1 }], country: 'DE', deliveries: 0 };
      for (let count = 0; count < 230; count += 1) {
        if (apart === 'a second apart') clock += 1000;
        ids.push(String((await post(url, 'orders', order))['id']));
      }
      clock += 1000;
      const seen = new Set<string>();
      let cursor: string | undefined;
      for (let pages = 0; pages < 12; pages += 1) {
        const page = await platform.poll(cursor);
        for (const { body: each } of page.facts) seen.add(String((each as { id: number }).id));
        cursor = page.cursor;
        if (!page.more) break;
        // They move to the end, and all behind them move up.
        if (pages === after)
          for (const id of ids.slice(0, changed)) await post(url, `orders/${id}/status`, { status: 'on-hold' });
      }
      ids.filter((id) => !seen.has(id)).should.eql([]);
      // The next poll looks back a little and ends at the same place.
      let again = await platform.poll(cursor);
      while (again.more) again = await platform.poll(again.cursor);
      again.cursor.should.equal(cursor);
    });
  }

  it('webhooks of the shop are authentic, and created, updated and poll of one order are one fact', async () => {
    const received: InboundRequest[] = [];
    const endpoint = createServer((request, response) => {
      void request.toArray().then((chunks) => {
        received.push({ headers: request.headers, body: Buffer.concat(chunks as Buffer[]) });
        response.end();
      });
    });
    await new Promise<void>((resolve) => endpoint.listen(0, '127.0.0.1', resolve));
    open.push({ close: async () => endpoint.close().closeAllConnections() });
    const { port } = endpoint.address() as AddressInfo;
    const hook = { url: `http://127.0.0.1:${port}/dropship/orders/shop`, secret: HOOK_SECRET };
    const { url, platform } = await start({ webhook: hook, webhookDelay: 1 });
    await post(url, 'orders', {
      lines: [{ sku: 'OIL-OLIVE', quantity: 1 }],
      country: 'DE',
      customer: { name: 'Zoë Ďáblová' },
      deliveries: 2,
    });
    for (let tries = 0; received.length < 6 && tries < 200; tries += 1)
      await new Promise((resolve) => setTimeout(resolve, 10));
    // Two pings, then created and updated twice each.
    received.should.have.length(6);
    const facts = received.flatMap((request) => platform.receive(request));
    facts.should.have.length(4);
    const polled = (await platform.poll(undefined)).facts;
    new Set([...facts, ...polled].map(({ dedupeKey }) => dedupeKey)).size.should.equal(1);
    platform.readOrder(facts[0]?.body).order.customer.name.should.equal('Zoë Ďáblová');
  });

  it('a poll sees what was refunded, line by line', async () => {
    const { url, platform } = await start();
    const order = await placed(url, platform);
    await post(url, `orders/${order.shopOrderId}/refund`, { lines: [{ sku: 'WINE-RIESLING', quantity: 1 }] });
    const { facts } = await platform.poll(undefined);
    const now = platform.readOrder(facts.at(-1)?.body).order;
    now.lines.map(({ quantity }) => quantity).should.eql(['1', '1']);
    now.total.minor.should.equal(order.total.minor - 1290);
  });

  for (const [mode, fulfilments] of [
    ['auto', true],
    ['fulfillments', true],
    ['auto', false],
    ['meta', true],
  ] as const) {
    describe(`completion "${mode}", fulfilments ${fulfilments ? 'on' : 'off'}`, () => {
      it('two shipments of one order both stand in the shop, and the customer hears of each once', async () => {
        const { url, platform } = await start({ fulfilments }, { completion: mode });
        const order = await placed(url, platform);
        await platform.fulfil(shipment(order, 'SH-1', 'WINE-RIESLING', '2', ['JD1']), order, trusting);
        await platform.fulfil(shipment(order, 'SH-2', 'APRON-LINEN', '1', ['JD12']), order, trusting);
        effects('fulfilment.create').should.eql([`${order.shopOrderId}/JD1`, `${order.shopOrderId}/JD12`]);
        effects('customer.notify').should.have.length(2);
        (await shown(url, order)).should.match(/JD1<[^]*JD12</);
      });

      it('two shipments at the same moment do not overwrite each other', async () => {
        const { url, platform } = await start({ fulfilments }, { completion: mode });
        const order = await placed(url, platform);
        await Promise.all([
          platform.fulfil(shipment(order, 'SH-1', 'WINE-RIESLING', '1', ['JD1']), order, trusting),
          platform.fulfil(shipment(order, 'SH-2', 'WINE-RIESLING', '1', ['JD2']), order, trusting),
        ]);
        (await shown(url, order)).should.match(/JD1<[^]*JD2<|JD2<[^]*JD1</);
      });

      it('when each answer is lost, nothing is written and nobody told twice', async () => {
        const { url, platform } = await start({ fulfilments }, { completion: mode });
        const order = await placed(url, platform);
        await platform.fulfil(shipment(order, 'SH-1', 'WINE-RIESLING', '2', ['JD1']), order, losing);
        await platform.fulfil(shipment(order, 'SH-2', 'APRON-LINEN', '1', ['JD2', 'JD3']), order, losing);
        effects('fulfilment.create').should.have.length(fulfilments && mode !== 'meta' ? 2 : 3);
        effects('customer.notify').should.have.length(2);
      });

      it('what a person has already entered in the shop is adopted, and the customer not told again', async () => {
        const { url, platform } = await start({ fulfilments }, { completion: mode });
        const order = await placed(url, platform);
        const { id: _, ...byHand } = shipment(order, 'SH-1', 'WINE-RIESLING', '2', ['JD1']);
        await enterByHand(url, order, byHand.parcels[0]?.trackingNumber ?? '', fulfilments && mode !== 'meta');
        const before = world.effects.length;
        const { write, sent } = ledger();
        await platform.fulfil(shipment(order, 'SH-1', 'WINE-RIESLING', '2', ['JD1']), order, write);
        sent.should.eql([]);
        world.effects.length.should.equal(before);
      });
    });
  }

  /** As the shop's own pages would: a fulfilment without our mark, or the list of the Shipment Tracking extension. */
  async function enterByHand(url: string, order: Order, tracking: string, asFulfilment: boolean): Promise<void> {
    const path = `/wp-json/wc/v3/orders/${order.shopOrderId}`;
    const send = asFulfilment
      ? {
          method: 'POST',
          url: `${url}${path}/fulfillments`,
          json: {
            status: 'fulfilled',
            is_fulfilled: true,
            meta_data: [
              { key: '_items', value: [{ item_id: 1, qty: 2 }] },
              { key: '_tracking_number', value: tracking },
            ],
          },
        }
      : {
          method: 'PUT',
          url: `${url}${path}`,
          json: { meta_data: [{ key: '_wc_shipment_tracking_items', value: [{ tracking_number: tracking }] }] },
        };
    const query = {
      oauth_consumer_key: KEY,
      oauth_nonce: String(Math.random()),
      oauth_signature_method: 'HMAC-SHA256',
      oauth_timestamp: String(Math.floor(Date.now() / 1000)),
    };
    const signature = oauthSignature(send.method, send.url, query, SECRET);
    const address = `${send.url}?${new URLSearchParams({ ...query, oauth_signature: signature }).toString()}`;
    const answer = await fetch(address, { method: send.method, body: JSON.stringify(send.json) });
    answer.ok.should.be.true();
  }

  it('a shop that turns its fulfilments on later is not written to a second time on a replay', async () => {
    const first = await start({ fulfilments: false });
    const order = await placed(first.url, first.platform);
    const { write, sent } = ledger();
    const parcel = shipment(order, 'SH-1', 'WINE-RIESLING', '2', ['JD1']);
    const done = await first.platform.fulfil(parcel, order, write);
    should(await first.platform.fulfil(parcel, order, write)).eql(done);
    sent.should.eql(['fulfil', 'note']);
  });

  it('"fulfillments" in a shop that has none is a configuration mistake, and nothing is written', async () => {
    const { url, platform } = await start({ fulfilments: false }, { completion: 'fulfillments' });
    const order = await placed(url, platform);
    const parcel = shipment(order, 'SH-1', 'WINE-RIESLING', '2', ['JD1']);
    await platform.fulfil(parcel, order, trusting).should.be.rejectedWith({ code: 'FULFILMENTS_OFF' });
    effects('fulfilment.create').should.eql([]);
    effects('customer.notify').should.eql([]);
  });

  it('a list of tracking numbers that another writer has overwritten is whole again when the order is completed', async () => {
    const { url, platform } = await start({}, { completion: 'meta' });
    const order = await placed(url, platform);
    await platform.fulfil(shipment(order, 'SH-1', 'WINE-RIESLING', '2', ['JD1']), order, trusting);
    await enterByHand(url, order, 'BY-HAND', false);
    (await shown(url, order)).should.not.containEql('JD1</code>');
    await platform.complete(order, trusting);
    const page = await shown(url, order);
    page.should.containEql('JD1</code>').and.containEql('BY-HAND</code>');
    effects('fulfilment.create').should.eql([`${order.shopOrderId}/JD1`, `${order.shopOrderId}/BY-HAND`]);
  });

  it('a supplier cannot put markup or a script link before the customer', async () => {
    const { url, platform } = await start({}, { completion: 'meta' });
    const order = await placed(url, platform);
    const parcel = shipment(order, 'SH-1', 'WINE-RIESLING', '2', ['JD1<img src=x>']);
    parcel.parcels = [{ carrier: '<b>DHL', trackingNumber: 'JD1<img>', trackingUrl: 'javascript:alert(1)' }];
    await platform.fulfil(parcel, order, trusting);
    const written = JSON.stringify(world.state());
    written.should.not.containEql('javascript:').and.not.containEql('<img').and.not.containEql('<b>');
  });

  it('completing is done once however often it is asked, and also when the answer is lost', async () => {
    const { url, platform } = await start();
    const order = await placed(url, platform);
    should(await platform.complete(order, losing)).eql({ status: 'completed' });
    should(await platform.complete(order, trusting)).eql({ status: 'completed' });
    effects('order.complete').should.eql([order.shopOrderId]);
  });

  it('completing does not undo a cancellation in the shop', async () => {
    const { url, platform } = await start();
    const order = await placed(url, platform);
    await post(url, `orders/${order.shopOrderId}/status`, { status: 'cancelled' });
    await platform
      .complete(order, trusting)
      .should.be.rejectedWith({ name: 'BusinessRefusal', code: 'ORDER_CANCELLED_IN_SHOP' });
    effects('order.complete').should.eql([]);
  });

  it('cancelled lines are told to the customer by name; the order is cancelled only when nothing is left', async () => {
    const { url, platform } = await start();
    const order = await placed(url, platform);
    const lines = order.lines.map(({ id, sku, quantity }) => ({ orderLine: id, sku, quantity }));
    await platform.cancelLines(lines.slice(0, 1), order, false, 'It costs $& more.', losing);
    (await shown(url, order)).should.match(/2 x Riesling dry[^]*It costs \$&#38; more\./);
    effects('order.cancel').should.eql([]);
    should(await platform.cancelLines(lines.slice(1), order, true, 'Sold out.', losing)).match({ status: 'cancelled' });
    effects('order.cancel').should.eql([order.shopOrderId]);
    effects('customer.notify').should.have.length(2);
  });

  it('an order that is already refunded is not turned into a cancelled one', async () => {
    const { url, platform } = await start();
    const order = await placed(url, platform);
    await post(url, `orders/${order.shopOrderId}/status`, { status: 'refunded' });
    should(await platform.cancelLines([], order, true, 'Sold out.', trusting)).match({ status: 'refunded' });
    effects('order.cancel').should.eql([]);
  });

  for (const kind of ['reset-after', 'error-after', 'garbage', 'hang'] as const) {
    it(`${kind}: done but not answered is in doubt, and found again`, async () => {
      const { url, platform } = await start({ fulfilments: false });
      const order = await placed(url, platform);
      world.faults = [
        { partner: 'shop', operation: 'fulfilment.create', kind, times: 1 },
        { partner: 'shop', operation: 'note.create', kind, times: 1 },
      ];
      const doubts: string[] = [];
      const write: Writer = async (each) => {
        try {
          return await each.send(attempt(1));
        } catch (error) {
          doubts.push((error as Error).name);
          const found = each.settle === 'probe' ? await each.find() : undefined;
          if (found === undefined) throw error;
          return found;
        }
      };
      // In "auto" the call for fulfilments would take the first fault; here it is the metadata's turn.
      const meta = shop({ url, options: { completion: 'meta' } });
      await meta.fulfil(shipment(order, 'SH-1', 'WINE-RIESLING', '2', ['JD1']), order, write);
      doubts.should.eql(['InDoubt', 'InDoubt']);
      effects('fulfilment.create').should.have.length(1);
      effects('customer.notify').should.have.length(1);
    });
  }

  it('a maintenance page with 200 is not taken for an order, a list or a note', async () => {
    const { url, platform } = await start();
    const order = await placed(url, platform);
    const parcel = shipment(order, 'SH-1', 'WINE-RIESLING', '2', ['JD1']);
    world.faults = [{ partner: 'shop', kind: 'maintenance', times: 3 }];
    await platform.poll(undefined).should.be.rejectedWith({ name: 'TemporaryFault' });
    await platform.fulfil(parcel, order, trusting).should.be.rejectedWith({ name: 'InDoubt' });
    await platform.complete(order, trusting).should.be.rejectedWith({ name: 'TemporaryFault' });
  });
});
