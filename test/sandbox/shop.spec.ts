import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import should from 'should';
import { products } from '../../sandbox/catalogue.ts';
import { createShop, type ShopOptions } from '../../sandbox/shop.ts';
import { serve } from '../../sandbox/serve.ts';
import { createWorld, type World } from '../../sandbox/world.ts';

const KEY = 'ck_sandbox';
const SECRET = 'cs_sandbox';
const HOOK_SECRET = 'sandbox-hook-č';

type Answered = { status: number; headers: Headers; text: string; json: any };

describe('sandbox shop', () => {
  let world: World;
  let open: (() => Promise<unknown>)[];
  let nonce = 0;

  beforeEach(() => {
    world = createWorld();
    open = [];
  });

  afterEach(async () => {
    for (const close of open) await close();
    world.close();
  });

  async function start(options: Partial<ShopOptions> = {}): Promise<string> {
    const listener = await serve(
      world,
      createShop(world, { key: KEY, secret: SECRET, webhookDelay: 1, ...options }),
      0,
    );
    open.push(() => listener.close());
    return listener.url;
  }

  /** As WooCommerce's documentation signs: the parameters in the query. `change` spoils them. */
  async function call(
    method: string,
    address: string,
    json?: unknown,
    change: {
      secret?: string;
      oauth?: Record<string, string>;
      headers?: Record<string, string>;
      unsigned?: boolean;
    } = {},
  ): Promise<Answered> {
    const url = new URL(address);
    if (!change.unsigned) {
      const oauth = {
        oauth_consumer_key: KEY,
        oauth_nonce: `n${++nonce}`,
        oauth_signature_method: 'HMAC-SHA256',
        oauth_timestamp: String(Math.floor(Date.now() / 1000)),
        ...change.oauth,
      };
      for (const [name, value] of Object.entries(oauth)) url.searchParams.set(name, value);
      const query = [...url.searchParams]
        .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
        .sort();
      const base = [method, url.origin + url.pathname, query.join('&')].map(encodeURIComponent).join('&');
      url.searchParams.set(
        'oauth_signature',
        createHmac('sha256', `${change.secret ?? SECRET}&`)
          .update(base)
          .digest('base64'),
      );
    }
    const answer = await fetch(url, {
      method,
      headers: change.headers ?? {},
      ...(json === undefined ? {} : { body: JSON.stringify(json) }),
    });
    const text = await answer.text();
    return {
      status: answer.status,
      headers: answer.headers,
      text,
      json: text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : undefined,
    };
  }

  async function place(url: string, more: Record<string, unknown> = {}): Promise<number> {
    const order = { lines: [{ sku: 'WINE-RIESLING', quantity: 2 }], country: 'DE', ...more };
    const answer = await call('POST', `${url}/__sandbox/shop/orders`, order, { unsigned: true });
    answer.status.should.equal(201);
    return answer.json.id as number;
  }

  const api = (url: string, path: string): string => `${url}/wp-json/wc/v3/${path}`;
  const effects = (operation: string): unknown[] =>
    world.effects.filter((each) => each.operation === operation).map((each) => each.reference);

  /** Receives webhooks; answers what the test says. */
  async function endpoint(
    status: () => number,
  ): Promise<{ url: string; received: { headers: IncomingHttpHeaders; body: string }[] }> {
    const received: { headers: IncomingHttpHeaders; body: string }[] = [];
    const server = createServer((request, response) => {
      void request.toArray().then((chunks) => {
        received.push({ headers: request.headers, body: Buffer.concat(chunks as Buffer[]).toString() });
        response.writeHead(status()).end();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    open.push(async () => server.close().closeAllConnections());
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/dropship/orders/shop`, received };
  }

  async function until(what: () => boolean | Promise<boolean>): Promise<void> {
    for (let tries = 0; tries < 300; tries += 1) {
      if (await what()) return;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error('It did not happen in time.');
  }

  it('an order has the form, the amounts and the escapes of WooCommerce', async () => {
    const url = await start();
    const id = await place(url, { customer: { name: 'Jana Nováková', email: 'jana@customer.example' } });
    const { json, text } = await call('GET', api(url, `orders/${id}`));
    should(json).match({
      id,
      status: 'processing',
      currency: 'EUR',
      total: '30.80',
      shipping_total: '5.00',
      number: String(id),
      customer_id: 0,
    });
    should(json.line_items[0]).match({
      sku: 'WINE-RIESLING',
      quantity: 2,
      price: 12.9,
      total: '25.80',
      subtotal: '25.80',
    });
    json.billing.last_name.should.equal('Nováková');
    text.should.containEql('Nov\\u00e1kov\\u00e1').and.containEql('\\/wp-json\\/');
    json.date_modified_gmt.should.match(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$/);
    json.date_modified.should.not.equal(json.date_modified_gmt);
    effects('order.place').should.eql([String(id)]);
  });

  it('every body of another form than an order is refused by the control route, and nothing is placed', async () => {
    const url = await start();
    for (const body of [
      {},
      { lines: [], country: 'DE' },
      { lines: [{ sku: 'NONE', quantity: 1 }], country: 'DE' },
      { lines: [{ sku: 'OIL-OLIVE', quantity: 0 }], country: 'DE' },
    ]) {
      (await call('POST', `${url}/__sandbox/shop/orders`, body, { unsigned: true })).status.should.equal(400);
    }
    world.effects.should.have.length(0);
  });

  describe('authentication', () => {
    const refused: [what: string, change: Parameters<typeof call>[3], code: string][] = [
      ['nothing', { unsigned: true }, 'woocommerce_rest_cannot_view'],
      [
        'Basic over plain HTTP',
        { unsigned: true, headers: { authorization: `Basic ${btoa(`${KEY}:${SECRET}`)}` } },
        'woocommerce_rest_cannot_view',
      ],
      ['another secret', { secret: 'cs_other' }, 'woocommerce_rest_authentication_error'],
      ['another key', { oauth: { oauth_consumer_key: 'ck_other' } }, 'woocommerce_rest_authentication_error'],
      ['an old time', { oauth: { oauth_timestamp: '1700000000' } }, 'woocommerce_rest_authentication_error'],
      ['no time', { oauth: { oauth_timestamp: '' } }, 'woocommerce_rest_authentication_missing_parameter'],
    ];
    for (const [what, change, code] of refused) {
      it(`${what}: 401 ${code}`, async () => {
        const url = await start();
        const { status, json } = await call('GET', api(url, 'orders'), undefined, change);
        should({ status, code: json.code, data: json.data }).eql({ status: 401, code, data: { status: 401 } });
      });
    }

    it('a signature holds for its own method, path and query, and once', async () => {
      const url = await start();
      const oauth = { oauth_nonce: 'the-same' };
      (await call('GET', api(url, 'orders?status=any'), undefined, { oauth })).status.should.equal(200);
      (await call('GET', api(url, 'orders?status=any'), undefined, { oauth })).json.message.should.match(/nonce/);
    });

    it('a key that may only read writes nothing', async () => {
      const url = await start({ permissions: 'read' });
      const id = await place(url);
      (await call('GET', api(url, `orders/${id}`))).status.should.equal(200);
      const { status, json } = await call('PUT', api(url, `orders/${id}`), { status: 'completed' });
      status.should.equal(401);
      json.message.should.match(/write permissions/);
      effects('order.complete').should.eql([]);
    });
  });

  it('lists by status, date and page, and says how many there are', async () => {
    const url = await start();
    const ids = [await place(url), await place(url), await place(url)];
    await call('PUT', api(url, `orders/${ids[1]}`), { status: 'on-hold' });
    const page = await call('GET', api(url, 'orders?per_page=2&page=2&orderby=id&order=asc'));
    page.json.map((order: { id: number }) => order.id).should.eql([ids[2]]);
    should([page.headers.get('x-wp-total'), page.headers.get('x-wp-totalpages')]).eql(['3', '2']);
    const held = await call('GET', api(url, 'orders?status=on-hold'));
    held.json.map((order: { id: number }) => order.id).should.eql([ids[1]]);
    const past = new Date(Date.now() - 10_000).toISOString().slice(0, 19);
    const future = new Date(Date.now() + 10_000).toISOString().slice(0, 19);
    (await call('GET', api(url, `orders?dates_are_gmt=true&modified_after=${past}`))).json.should.have.length(3);
    (await call('GET', api(url, `orders?dates_are_gmt=true&modified_after=${future}`))).json.should.have.length(0);
    (await call('GET', api(url, 'orders?per_page=101'))).json.code.should.equal('rest_invalid_param');
  });

  it('PUT merges metadata by key, by id, and removes with null; completing again is no second effect', async () => {
    const url = await start();
    const id = await place(url);
    const put = async (json: unknown): Promise<any> => (await call('PUT', api(url, `orders/${id}`), json)).json;
    await put({
      meta_data: [
        { key: 'a', value: 1 },
        { key: 'b', value: [2] },
      ],
    });
    const { meta_data: meta } = await put({ meta_data: [{ key: 'a', value: 3 }] });
    meta
      .map(({ key, value }: { key: string; value: unknown }) => [key, value])
      .should.eql([
        ['a', 3],
        ['b', [2]],
      ]);
    (await put({ meta_data: [{ id: meta[1].id, key: 'b', value: null }] })).meta_data.should.have.length(1);
    await put({ status: 'completed' });
    await put({ status: 'completed' });
    effects('order.complete').should.eql([String(id)]);
    (await call('PUT', api(url, `orders/${id}`), { status: 'shipped' })).json.code.should.equal('rest_invalid_param');
    (await call('PUT', api(url, 'orders/0'), {})).json.code.should.equal('woocommerce_rest_shop_order_invalid_id');
    (await call('GET', api(url, 'orders/1'))).status.should.equal(404);
  });

  it('each new tracking number in the metadata is one effect; the same list again is none', async () => {
    const url = await start();
    const id = await place(url);
    const track = (...numbers: string[]): Promise<Answered> =>
      call('PUT', api(url, `orders/${id}`), {
        meta_data: [
          { key: '_wc_shipment_tracking_items', value: numbers.map((tracking_number) => ({ tracking_number })) },
        ],
      });
    await track('A');
    await track('A');
    await track('A', 'B');
    await track('B');
    await track('A', 'B');
    effects('fulfilment.create').should.eql([`${id}/A`, `${id}/B`]);
    await track('A', 'B', 'B');
    effects('fulfilment.create').should.eql([`${id}/A`, `${id}/B`, `${id}/B`]);
  });

  it('a note is made as often as it is posted, and only a customer note is told', async () => {
    const url = await start();
    const id = await place(url);
    for (const customer_note of [true, true, false]) {
      (
        await call('POST', api(url, `orders/${id}/notes`), { note: 'Wine & <b>cheese</b>', customer_note })
      ).status.should.equal(201);
    }
    effects('note.create').should.have.length(3);
    effects('customer.notify').should.have.length(2);
    const notes = (await call('GET', api(url, `orders/${id}/notes?type=customer`))).json;
    notes.map(({ note }: { note: string }) => note).should.eql(['Wine &amp; cheese', 'Wine &amp; cheese']);
  });

  it('a fulfilment is made as often as it is posted, whatever its quantities, and needs items', async () => {
    const url = await start();
    const id = await place(url);
    const meta_data = [
      { key: '_items', value: [{ item_id: 1, qty: 99 }] },
      { key: '_tracking_number', value: 'JD1' },
    ];
    const body = { status: 'fulfilled', is_fulfilled: true, notify_customer: true, meta_data };
    for (let times = 0; times < 2; times += 1)
      (await call('POST', api(url, `orders/${id}/fulfillments`), body)).status.should.equal(201);
    effects('fulfilment.create').should.eql([`${id}/JD1`, `${id}/JD1`]);
    effects('customer.notify').should.have.length(2);
    (await call('GET', api(url, `orders/${id}/fulfillments`))).json.should.have.length(2);
    for (const spoilt of [
      { ...body, meta_data: [] },
      { ...body, meta_data: [{ key: '_items', value: [{ item_id: '1', qty: 1 }] }] },
      { ...body, status: 'sent' },
    ]) {
      (await call('POST', api(url, `orders/${id}/fulfillments`), spoilt)).status.should.equal(400);
    }
    effects('fulfilment.create').should.have.length(2);
  });

  it('without fulfilments their routes do not exist', async () => {
    const url = await start({ fulfilments: false });
    const id = await place(url);
    for (const method of ['GET', 'POST']) {
      const { status, json } = await call(
        method,
        api(url, `orders/${id}/fulfillments`),
        method === 'POST' ? {} : undefined,
      );
      should({ status, code: json.code }).eql({ status: 404, code: 'rest_no_route' });
    }
  });

  describe('webhooks', () => {
    it('ping once, then created and updated with one signed body, and the delivery id of the second', async () => {
      const { url: hook, received } = await endpoint(() => 200);
      const url = await start({ webhook: { url: hook, secret: HOOK_SECRET } });
      await until(() => received.length === 2);
      received.map(({ body }) => body).should.eql(['webhook_id=1', 'webhook_id=2']);
      received.every(({ headers }) => headers['x-wc-webhook-signature'] === undefined).should.be.true();
      await place(url);
      await until(() => received.length === 4);
      const [created, updated] = received.slice(2);
      should(updated?.body).equal(created?.body);
      should(created?.headers['x-wc-webhook-signature']).equal(updated?.headers['x-wc-webhook-signature']);
      should(created?.headers['x-wc-webhook-signature']).equal(
        createHmac('sha256', HOOK_SECRET)
          .update(created?.body ?? '')
          .digest('base64'),
      );
      should([created, updated].map((each) => each?.headers['x-wc-webhook-topic']).sort()).eql([
        'order.created',
        'order.updated',
      ]);
      should(created?.headers['x-wc-webhook-delivery-id']).match(/^[0-9a-f]{32}$/);
    });

    it('are delivered as often as the test asks', async () => {
      const { url: hook, received } = await endpoint(() => 200);
      const url = await start({ webhook: { url: hook, secret: HOOK_SECRET } });
      await place(url, { deliveries: 0 });
      await place(url, { deliveries: 3 });
      await until(() => received.length === 8);
      await new Promise((resolve) => setTimeout(resolve, 50));
      received.should.have.length(8);
    });

    it('are not sent again after a failure; more than 5 in a row disable the hook, a success in between starts the count anew', async () => {
      let status = 500;
      const { url: hook, received } = await endpoint(() => status);
      const url = await start({ webhook: { url: hook, secret: HOOK_SECRET } });
      const states = async (): Promise<string[]> =>
        (await call('GET', api(url, 'webhooks'))).json.map((each: { status: string }) => each.status);
      await place(url, { deliveries: 5 });
      await until(() => received.length === 12);
      (await states()).should.eql(['active', 'active']);
      status = 200;
      await place(url);
      await until(() => received.length === 14);
      status = 500;
      await place(url, { deliveries: 5 });
      await until(() => received.length === 24);
      (await states()).should.eql(['active', 'active']);
      await place(url);
      await until(async () => (await states()).join() === 'disabled,disabled');
      const before = received.length;
      await place(url);
      await new Promise((resolve) => setTimeout(resolve, 50));
      received.should.have.length(before);
      await call('PUT', api(url, 'webhooks/1'), { status: 'active' });
      status = 200;
      await place(url);
      await until(() => received.length === before + 1);
    });

    it('carry the state at delivery, and every change is announced as updated', async () => {
      const { url: hook, received } = await endpoint(() => 200);
      const url = await start({ webhook: { url: hook, secret: HOOK_SECRET }, webhookDelay: 60 });
      const id = await place(url);
      await call('POST', `${url}/__sandbox/shop/orders/${id}/status`, { status: 'cancelled' }, { unsigned: true });
      await until(() => received.length === 5);
      const orders = received.filter(({ headers }) => headers['x-wc-webhook-topic'] !== undefined);
      orders
        .map(({ body }) => (JSON.parse(body) as { status: string }).status)
        .should.eql(['cancelled', 'cancelled', 'cancelled']);
      effects('order.cancel').should.eql([String(id)]);
    });
  });

  it('keeps orders, notes and hooks over a restart, and does not ping again', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'shop-'));
    open.push(async () => rmSync(folder, { recursive: true }));
    const { url: hook, received } = await endpoint(() => 200);
    const options = { webhook: { url: hook, secret: HOOK_SECRET } };
    world = createWorld({ stateFile: join(folder, 'state.json') });
    const url = await start(options);
    const id = await place(url);
    await call('POST', api(url, `orders/${id}/notes`), { note: 'Hello', customer_note: true });
    await until(() => received.length === 4);
    await open.pop()?.();
    world.close();
    world = createWorld({ stateFile: join(folder, 'state.json') });
    const again = await start(options);
    (await call('GET', api(again, `orders/${id}/notes`))).json.should.have.length(1);
    effects('order.place').should.eql([String(id)]);
    (await place(again)).should.be.above(id);
    await until(() => received.length === 6);
    received.filter(({ body }) => body.startsWith('webhook_id')).should.have.length(2);
  });

  describe('storefront', () => {
    const order = {
      name: '<script>alert(1)</script> Smith',
      street: 'Weg 1',
      postalCode: '1010',
      city: 'Wien',
      country: 'AT',
      email: 'a@b.example',
    };
    const buy = (url: string, fields: Record<string, string>): Promise<Response> =>
      fetch(`${url}/storefront/orders`, { method: 'POST', body: new URLSearchParams(fields), redirect: 'manual' });

    it('shows the whole catalogue without anything from elsewhere', async () => {
      const page = await (await fetch(await start())).text();
      for (const { sku } of products) page.should.containEql(`name="qty:${sku}"`);
      page.should.not.match(/<script|<link|<img|url\(|https?:/);
    });

    it('takes an order as a person places it, and shows how it stands', async () => {
      const url = await start();
      const answer = await buy(url, { ...order, 'qty:OIL-OLIVE': '2', 'qty:APRON-LINEN': '0' });
      answer.status.should.equal(303);
      const at = answer.headers.get('location') ?? '';
      const id = at.split('/').at(-1) ?? '';
      effects('order.place').should.eql([id]);
      (await call('GET', api(url, `orders/${id}`))).json.total.should.equal('28.80');
      await call('PUT', api(url, `orders/${id}`), {
        status: 'completed',
        meta_data: [{ key: '_wc_shipment_tracking_items', value: [{ tracking_number: 'JD<1>' }] }],
      });
      await call('POST', api(url, `orders/${id}/notes`), { note: 'On its way & soon there', customer_note: true });
      const page = await (await fetch(url + at)).text();
      page.should
        .containEql('Complete')
        .and.containEql('JD&#60;1&#62;')
        .and.containEql('On its way &#38; soon there')
        .and.containEql('28.80 EUR');
      page.should.not.containEql('<script');
    });

    it('asks again when something is missing, and places nothing', async () => {
      const url = await start();
      for (const fields of [
        order,
        { ...order, 'qty:OIL-OLIVE': '-1' },
        { ...order, 'qty:OIL-OLIVE': '1.5' },
        { ...order, street: '', 'qty:OIL-OLIVE': '1' },
      ]) {
        const answer = await buy(url, fields);
        answer.status.should.equal(400);
        (await answer.text()).should.containEql('role="alert"');
      }
      world.effects.should.have.length(0);
      (await fetch(`${url}/storefront/orders/77`)).status.should.equal(404);
    });

    it('an unknown product is no order', async () => {
      const url = await start();
      (await buy(url, { ...order, 'qty:NONE': '1' })).status.should.equal(400);
      world.effects.should.have.length(0);
    });
  });

  it('names what a request asks for, so that faults can aim', async () => {
    const url = await start();
    const id = await place(url);
    const hit = async (operation: string, reference: string, act: () => Promise<Answered>): Promise<void> => {
      world.faults = [{ partner: 'shop', operation, reference, kind: 'refuse', times: 1 }];
      (await act()).status.should.equal(422, operation);
    };
    await hit('order.list', '', () => call('GET', api(url, 'orders')));
    await hit('order.read', String(id), () => call('GET', api(url, `orders/${id}`)));
    await hit('note.create', String(id), () => call('POST', api(url, `orders/${id}/notes`), { note: 'x' }));
    await hit('note.list', String(id), () => call('GET', api(url, `orders/${id}/notes`)));
    await hit('order.complete', String(id), () => call('PUT', api(url, `orders/${id}`), { status: 'completed' }));
    await hit('order.cancel', String(id), () => call('PUT', api(url, `orders/${id}`), { status: 'cancelled' }));
    const items = [{ key: '_wc_shipment_tracking_items', value: [{ tracking_number: 'A' }] }];
    await hit('fulfilment.create', `${id}/A`, () => call('PUT', api(url, `orders/${id}`), { meta_data: items }));
    const own = [{ key: '_tracking_number', value: 'B' }];
    await hit('fulfilment.create', `${id}/B`, () =>
      call('POST', api(url, `orders/${id}/fulfillments`), { meta_data: own }),
    );
    world.effects.should.have.length(1);
  });
});
