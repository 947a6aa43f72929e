import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { productOf, products, type PostalAddress } from './catalogue.ts';
import {
  API,
  amount,
  asList,
  cents,
  escaped,
  fulfilmentBody,
  hookBody,
  noteBody,
  orderBody,
  refundBody,
  second,
  totalOf,
  trackingNumbersIn,
  trackingOf,
  ZONE,
  type Hook,
  type Meta,
  type ShopOrder,
  type WooAddress,
} from './shop-documents.ts';
import { orderPage, shopPage } from './storefront.ts';
import type { Answer, Json, Partner, Request, World } from './world.ts';

export interface ShopOptions {
  /** The consumer key and secret of the REST API. */
  key: string;
  secret: string;
  /** What the key may do. */
  permissions?: 'read' | 'read_write';
  /** Where webhooks go and what signs them. Missing: the shop has no webhooks. */
  webhook?: { url: string; secret: string };
  /** WooCommerce's own fulfilments (10.1 or later, feature turned on). Default true; false: 404 `rest_no_route`. */
  fulfilments?: boolean;
  /** Milliseconds until a webhook leaves (WooCommerce queues them, for up to a minute). Default 50. */
  webhookDelay?: number;
}

/** What the storefront shows of an order, and what its checkout asks for. */
export interface PlacedOrder {
  lines: { sku: string; quantity: number }[];
  customer: Partial<PostalAddress> & { country: string };
}

interface ShopState {
  nextId: number;
  orders: Record<string, ShopOrder>;
  hooks: Hook[];
  pinged: boolean;
}

const STATUSES = [
  'pending',
  'processing',
  'on-hold',
  'completed',
  'cancelled',
  'refunded',
  'failed',
  'trash',
  'checkout-draft',
];

/**
 * A pretend WooCommerce shop: its REST API v3 (OAuth 1.0a over plain HTTP; Basic is refused there, as WooCommerce does), its
 * webhooks, a storefront under `/`, and control routes: `POST /__sandbox/shop/orders` places an order, `.../orders/<id>/status` and
 * `.../orders/<id>/refund` do what a person in the shop would.
 */
export function createShop(world: World, options: ShopOptions): Partner {
  const { webhook, fulfilments: hasFulfilments = true, permissions = 'read_write', webhookDelay = 50 } = options;
  const nonces = new Map<string, number>();
  let state: ShopState = {
    nextId: 1001,
    orders: {},
    hooks: webhook
      ? [
          { id: 1, name: 'Dropline created', status: 'active', topic: 'order.created', failures: 0 },
          { id: 2, name: 'Dropline updated', status: 'active', topic: 'order.updated', failures: 0 },
        ]
      : [],
    pinged: false,
  };
  // Runs once the shop is served, and does nothing where it has run before.
  if (webhook) world.schedule('shop', webhookDelay, 'ping', null);

  function place({ lines, customer }: PlacedOrder, deliveries: number): ShopOrder {
    const now = world.now();
    const order: ShopOrder = {
      id: state.nextId++,
      status: 'processing',
      placedAt: now,
      changedAt: now,
      address: wooAddress(customer),
      customerId: 0,
      lines: lines.map(({ sku, quantity }) => {
        const { name, price } = productOf(sku);
        return { id: state.nextId++, sku, name, quantity, price: cents(price) };
      }),
      meta: [],
      notes: [],
      fulfilments: [],
      refunds: [],
      seen: {},
    };
    state.orders[order.id] = order;
    world.record('shop', 'order.place', String(order.id), String(order.id), {
      country: customer.country,
      lines: lines.map(({ sku, quantity }) => ({ sku, quantity })),
      total: amount(totalOf(order)),
    });
    for (let times = 0; times < deliveries; times += 1) {
      announce(order, 'order.created');
      announce(order, 'order.updated');
    }
    world.changed();
    return order;
  }

  function announce(order: ShopOrder, topic: string): void {
    for (const hook of state.hooks.filter((each) => each.topic === topic)) {
      world.schedule('shop', webhookDelay, 'deliver', { hook: hook.id, order: order.id });
    }
  }

  /** What every save of an order does: another date, and `order.updated` for whoever listens. */
  function save(order: ShopOrder): void {
    order.changedAt = world.now();
    announce(order, 'order.updated');
    world.changed();
  }

  function setStatus(order: ShopOrder, status: string, by: 'api' | 'shop'): void {
    if (order.status === status) return;
    const before = order.status;
    order.status = status;
    addNote(order, `Order status changed from ${before} to ${status}.`, false);
    if (status === 'completed') world.record('shop', 'order.complete', String(order.id), String(order.id), { by });
    if (status === 'cancelled') world.record('shop', 'order.cancel', String(order.id), String(order.id), { by });
  }

  function addNote(order: ShopOrder, note: string, customer: boolean): ShopOrder['notes'][number] {
    // WordPress keeps comments as HTML: tags go, ampersands become entities.
    const kept = note.replace(/<[^>]*>/g, '').replace(/&(?!#?\w+;)/g, '&amp;');
    const added = {
      id: state.nextId++,
      at: world.now(),
      author: customer ? 'Dropline' : 'WooCommerce',
      note: kept,
      customer,
    };
    order.notes.push(added);
    return added;
  }

  function mergeMeta(order: ShopOrder, given: unknown): void {
    for (const { id, key, value } of asList(given) as Partial<Meta>[]) {
      const found = order.meta.find((meta) => (id ? meta.id === id : meta.key === key));
      if (value === null) order.meta = order.meta.filter((meta) => meta !== found);
      else if (found) found.value = value ?? '';
      else if (typeof key === 'string') order.meta.push({ id: state.nextId++, key, value: value ?? '' });
    }
    const counts: Record<string, number> = {};
    for (const number of trackingNumbersIn(order.meta)) counts[number] = (counts[number] ?? 0) + 1;
    for (const [number, count] of Object.entries(counts)) {
      for (let seen = order.seen[number] ?? 0; seen < count; seen += 1) {
        world.record('shop', 'fulfilment.create', `${order.id}/${number}`, String(order.id), {
          by: 'meta',
          order: order.id,
        });
      }
      order.seen[number] = Math.max(count, order.seen[number] ?? 0);
    }
  }

  function listOrders(query: URLSearchParams): Answer {
    const size = Number(query.get('per_page') ?? 10);
    const page = Number(query.get('page') ?? 1);
    if (!(size >= 1 && size <= 100) || !(page >= 1))
      return failure(400, 'rest_invalid_param', 'Invalid parameter(s): per_page');
    const statuses = (query.get('status') ?? 'any').split(',');
    const after = query.get('modified_after');
    // Without `dates_are_gmt` the shop takes the date for its own time.
    const since =
      after === null
        ? -Infinity
        : Date.parse(`${after.replace(/Z$/, '')}Z`) - (query.get('dates_are_gmt') === 'true' ? 0 : ZONE);
    const by = query.get('orderby') ?? 'date';
    const value = (order: ShopOrder): number =>
      by === 'modified' ? second(order.changedAt) : by === 'id' ? order.id : second(order.placedAt);
    const direction = query.get('order') === 'asc' ? 1 : -1;
    const found = Object.values(state.orders)
      .filter((order) => (statuses.includes('any') ? order.status !== 'trash' : statuses.includes(order.status)))
      .filter((order) => second(order.changedAt) > since)
      .sort((a, b) => direction * (value(a) - value(b) || a.id - b.id));
    const from = query.has('offset') ? Number(query.get('offset')) : (page - 1) * size;
    return json(200, found.slice(from, from + size).map(orderBody), {
      'x-wp-total': String(found.length),
      'x-wp-totalpages': String(Math.ceil(found.length / size)),
    });
  }

  function putOrder(order: ShopOrder | undefined, body: Record<string, unknown>): Answer {
    if (!order) return failure(400, 'woocommerce_rest_shop_order_invalid_id', 'Invalid ID.');
    const { status, meta_data: meta } = body;
    if (status !== undefined && !STATUSES.includes(String(status)))
      return failure(400, 'rest_invalid_param', 'Invalid parameter(s): status');
    if (meta !== undefined) mergeMeta(order, meta);
    if (status !== undefined) setStatus(order, String(status), 'api');
    save(order);
    return json(200, orderBody(order));
  }

  function postNote(order: ShopOrder, body: Record<string, unknown>): Answer {
    if (typeof body['note'] !== 'string' || body['note'] === '') {
      return failure(400, 'rest_missing_callback_param', 'Missing parameter(s): note');
    }
    const note = addNote(order, body['note'], body['customer_note'] === true);
    world.record('shop', 'note.create', String(order.id), String(note.id), {
      note: note.note,
      customer: note.customer,
    });
    if (note.customer)
      world.record('shop', 'customer.notify', String(order.id), String(note.id), { by: 'note', note: note.note });
    world.changed();
    return json(201, noteBody(note));
  }

  /** WooCommerce checks the form of the items only: neither that they are in the order nor how many are left. */
  function postFulfilment(order: ShopOrder, body: Record<string, unknown>): Answer {
    const meta = (asList(body['meta_data']) as Partial<Meta>[]).map(({ key = '', value = '' }) => ({
      id: state.nextId++,
      key,
      value,
    }));
    const items = meta.find(({ key }) => key === '_items')?.value;
    if (!Array.isArray(items) || items.length === 0)
      return failure(400, 0, 'The fulfillment should contain at least one item.');
    for (const item of items as { item_id?: unknown; qty?: unknown }[]) {
      const valid =
        Number.isInteger(item.item_id) && Number(item.item_id) > 0 && typeof item.qty === 'number' && item.qty > 0;
      if (!valid) return failure(400, 0, 'Invalid item.');
    }
    if (!['fulfilled', 'unfulfilled'].includes(String(body['status'])))
      return failure(400, 0, 'Invalid fulfillment status.');
    const made = {
      id: state.nextId++,
      status: String(body['status']),
      fulfilled: body['is_fulfilled'] === true,
      at: world.now(),
      meta,
    };
    order.fulfilments.push(made);
    const tracking = trackingOf(made);
    const reference = `${order.id}/${tracking}`;
    world.record('shop', 'fulfilment.create', reference, String(made.id), {
      by: 'fulfilment',
      order: order.id,
      items: items as Json,
    });
    if (made.fulfilled && body['notify_customer'] === true) {
      world.record('shop', 'customer.notify', String(order.id), String(made.id), { by: 'fulfilment', tracking });
    }
    save(order);
    return json(201, fulfilmentBody(made, order));
  }

  function putHook(hook: Hook | undefined, body: Record<string, unknown>): Answer {
    if (!hook) return failure(404, 'woocommerce_rest_shop_webhook_invalid_id', 'Invalid ID.');
    if (['active', 'paused', 'disabled'].includes(String(body['status']))) {
      hook.status = String(body['status']);
      hook.failures = 0;
    }
    world.changed();
    return json(200, hookBody(hook));
  }

  function api(request: Request): Answer {
    const { method, path } = request;
    const refusal = authenticate(request);
    if (refusal) return refusal;
    let body: Record<string, unknown> = {};
    try {
      if (request.body.length > 0) body = JSON.parse(request.body.toString('utf8')) as Record<string, unknown>;
    } catch {
      return failure(400, 'rest_invalid_json', 'Invalid JSON body passed.');
    }
    const [collection, id, part] = path.slice(API.length).split('/');
    const order = id === undefined ? undefined : state.orders[id];
    const route = `${method} ${collection}${id === undefined ? '' : '/id'}${part === undefined ? '' : `/${part}`}`;
    const unknownOrder = failure(404, 'woocommerce_rest_shop_order_invalid_id', 'Invalid ID.');
    switch (route) {
      case 'GET orders':
        return listOrders(request.query);
      case 'GET orders/id':
        return order ? json(200, orderBody(order)) : unknownOrder;
      case 'PUT orders/id':
        return putOrder(order, body);
      case 'GET orders/id/notes': {
        if (!order) return failure(404, 'woocommerce_rest_order_invalid_id', 'Invalid order ID.');
        const type = request.query.get('type') ?? 'any';
        return json(
          200,
          order.notes.filter((note) => type === 'any' || (type === 'customer') === note.customer).map(noteBody),
        );
      }
      case 'POST orders/id/notes':
        return order ? postNote(order, body) : failure(404, 'woocommerce_rest_order_invalid_id', 'Invalid order ID.');
      case 'GET orders/id/refunds':
        return order
          ? json(
              200,
              order.refunds.map((refund) => refundBody(refund, order)),
            )
          : unknownOrder;
      case 'GET orders/id/fulfillments':
        if (!hasFulfilments) return noRoute();
        return order
          ? json(
              200,
              order.fulfilments.map((each) => fulfilmentBody(each, order)),
            )
          : unknownOrder;
      case 'POST orders/id/fulfillments':
        if (!hasFulfilments) return noRoute();
        return order ? postFulfilment(order, body) : unknownOrder;
      case 'GET webhooks':
        return json(200, state.hooks.map(hookBody));
      case 'PUT webhooks/id':
        return putHook(
          state.hooks.find((hook) => String(hook.id) === id),
          body,
        );
      default:
        return noRoute();
    }
  }

  /** WC_REST_Authentication: Basic counts only where the site sees HTTPS, and the sandbox has none. */
  function authenticate(request: Request): Answer | undefined {
    const given = Object.fromEntries(request.query);
    if (given['oauth_consumer_key'] === undefined) {
      return failure(401, 'woocommerce_rest_cannot_view', 'Sorry, you cannot list resources.');
    }
    const missing = ['oauth_timestamp', 'oauth_nonce', 'oauth_signature', 'oauth_signature_method'].filter(
      (name) => !given[name],
    );
    if (missing.length > 0)
      return failure(
        401,
        'woocommerce_rest_authentication_missing_parameter',
        `Missing OAuth parameter ${missing.join(', ')}`,
      );
    const denied = (message: string): Answer => failure(401, 'woocommerce_rest_authentication_error', message);
    if (given['oauth_consumer_key'] !== options.key) return denied('Consumer key is invalid.');
    if (given['oauth_signature_method'] !== 'HMAC-SHA256')
      return denied('Invalid signature - signature method is invalid.');
    const { oauth_signature: signature = '', ...signed } = given;
    const expected = oauthSignature(
      request.method,
      `http://${String(request.headers['host'])}${request.path}`,
      signed,
      options.secret,
    );
    const sent = Buffer.from(signature);
    if (sent.length !== expected.length || !timingSafeEqual(sent, expected)) {
      return denied('Invalid signature - provided signature does not match.');
    }
    const now = world.now() / 1000;
    if (Math.abs(Number(given['oauth_timestamp']) - now) > 900) return denied('Invalid timestamp.');
    const nonce = String(given['oauth_nonce']);
    if (nonces.has(nonce)) return denied('Invalid nonce - nonce has already been used.');
    nonces.set(nonce, now);
    for (const [old, at] of nonces) if (at < now - 900) nonces.delete(old);
    if (permissions === 'read' && request.method !== 'GET')
      return denied('The API key provided does not have write permissions.');
    return undefined;
  }

  function storefront(request: Request): Answer {
    const page = (status: number, html: string): Answer => ({
      status,
      headers: { 'content-type': 'text/html; charset=utf-8' },
      body: html,
    });
    if (request.method === 'GET' && request.path === '/') return page(200, shopPage());
    if (request.method === 'POST' && request.path === '/storefront/orders') {
      const basket = readBasket(new URLSearchParams(request.body.toString('utf8')));
      if (typeof basket === 'string') return page(400, shopPage(basket));
      const order = place(basket, 1);
      return { status: 303, headers: { location: `/storefront/orders/${order.id}` }, body: '' };
    }
    const order = state.orders[/^\/storefront\/orders\/(\d+)$/.exec(request.path)?.[1] ?? ''];
    if (request.method === 'GET' && order) {
      const parcels = [...order.fulfilments.map(trackingOf), ...trackingNumbersIn(order.meta)];
      return page(200, orderPage(order, amount(totalOf(order)), [...new Set(parcels)]));
    }
    return page(404, shopPage('There is no such page.'));
  }

  function control(request: Request): Answer {
    const known = /^\/__sandbox\/shop\/orders(?:\/(\d+)\/(status|refund))?$/.exec(request.path);
    const [, id, act] = known ?? [];
    const order = state.orders[id ?? ''];
    if (request.method !== 'POST' || !known || (id !== undefined && !order)) {
      return { status: 404, body: { error: 'The shop has no such control route, or no such order.' } };
    }
    try {
      const body = JSON.parse(request.body.toString('utf8')) as Record<string, unknown>;
      if (order && act === 'status') {
        const status = String(body['status']);
        if (!STATUSES.includes(status)) throw new Error(`"status" is one of ${STATUSES.join(', ')}.`);
        setStatus(order, status, 'shop');
        save(order);
        return { status: 200, body: { id: order.id, status } };
      }
      if (order) return { status: 200, body: refund(order, body) };
      const {
        lines,
        country,
        customer = {},
        deliveries = 1,
      } = body as Partial<PlacedOrder> & { country?: string; deliveries?: number };
      if (!Array.isArray(lines) || lines.length === 0 || typeof country !== 'string') {
        throw new Error('An order needs "lines": [{ "sku", "quantity" }] and "country", such as "DE".');
      }
      for (const line of lines)
        if (!(line.quantity > 0)) throw new Error(`"quantity" of ${line.sku} is a number above 0.`);
      return { status: 201, body: { id: place({ lines, customer: { ...customer, country } }, Number(deliveries)).id } };
    } catch (error) {
      return { status: 400, body: { error: (error as Error).message } };
    }
  }

  function refund(order: ShopOrder, body: Record<string, unknown>): Json {
    const lines = (asList(body['lines']) as { sku: string; quantity: number }[]).map(({ sku, quantity }) => {
      const line = order.lines.find((each) => each.sku === sku);
      if (!line) throw new Error(`The order has no line ${sku}.`);
      return { id: state.nextId++, line: line.id, quantity, price: line.price };
    });
    const made = {
      id: state.nextId++,
      at: world.now(),
      amount: lines.reduce((sum, line) => sum + line.price * line.quantity, 0),
      reason: String(body['reason'] ?? ''),
      lines: lines.map(({ id, line, quantity }) => ({ id, line, quantity })),
    };
    order.refunds.push(made);
    save(order);
    return { id: made.id, amount: amount(made.amount) };
  }

  /** WC_Webhook: one POST, no retry, no redirects, 200 to 302 counts as received; after more than 5 failures in a row it is disabled. */
  async function deliver(hook: Hook, order: ShopOrder): Promise<void> {
    if (!webhook || hook.status !== 'active') return;
    // The body is the order as it is now, not as it was when the event happened.
    const body = escaped(orderBody(order));
    const received = await post(body, {
      'content-type': 'application/json',
      'x-wc-webhook-source': 'http://shop.sandbox/',
      'x-wc-webhook-topic': hook.topic,
      'x-wc-webhook-resource': 'order',
      'x-wc-webhook-event': hook.topic.slice('order.'.length),
      'x-wc-webhook-signature': createHmac('sha256', webhook.secret).update(body).digest('base64'),
      'x-wc-webhook-id': String(hook.id),
      // wp_hash(id + second): the same for two deliveries of one hook within a second.
      'x-wc-webhook-delivery-id': createHash('md5')
        .update(`${hook.id}${second(world.now())}`)
        .digest('hex'),
    });
    hook.failures = received ? 0 : hook.failures + 1;
    if (hook.failures > 5) hook.status = 'disabled';
    world.changed();
  }

  async function post(body: string, headers: Record<string, string>): Promise<boolean> {
    if (!webhook) return false;
    try {
      const answer = await fetch(webhook.url, {
        method: 'POST',
        headers: { 'user-agent': 'WooCommerce/11.0.1 Hookshot (WordPress/7.1)', ...headers },
        body,
        redirect: 'manual',
        signal: AbortSignal.timeout(60_000),
      });
      await answer.arrayBuffer();
      return answer.status >= 200 && answer.status <= 302;
    } catch {
      // Nobody there, or no answer: a failed delivery like any other.
      return false;
    }
  }

  return {
    name: 'shop',
    describe: (request) => describe(request),
    handle(request) {
      if (request.path.startsWith('/__sandbox/')) return control(request);
      if (request.path === '/wp-json/' || request.path === '/wp-json') {
        return json(200, { name: 'Cork & Pan', namespaces: ['oembed/1.0', 'wc/v1', 'wc/v2', 'wc/v3', 'wp/v2'] });
      }
      if (request.path.startsWith(API)) return api(request);
      if (request.path.startsWith('/wp-json/')) return noRoute();
      return storefront(request);
    },
    error: (status, message) => failure(status, 'woocommerce_rest_error', message),
    async due(action, data) {
      if (action === 'ping' && !state.pinged) {
        state.pinged = true;
        world.changed();
        for (const hook of state.hooks)
          await post(`webhook_id=${hook.id}`, { 'content-type': 'application/x-www-form-urlencoded' });
      }
      if (action === 'deliver') {
        const { hook: hookId, order: orderId } = data as { hook: number; order: number };
        const hook = state.hooks.find((each) => each.id === hookId);
        const order = state.orders[orderId];
        if (hook && order) await deliver(hook, order);
      }
    },
    save: () => structuredClone(state) as unknown as Json,
    load(saved) {
      state = structuredClone(saved) as unknown as ShopState;
      nonces.clear();
    },
  };
}

function describe({ method, path, body }: Request): ReturnType<Partner['describe']> {
  const [collection = '', id = '', part] = path.startsWith(API) ? path.slice(API.length).split('/') : [];
  const write = method !== 'GET' && path.startsWith(API);
  if (!path.startsWith(API))
    return { operation: path.startsWith('/wp-json') ? 'index.read' : 'storefront', reference: '', write };
  if (collection !== 'orders') return { operation: `${collection}.${write ? 'change' : 'list'}`, reference: id, write };
  if (!write) {
    const reads: Record<string, string> = {
      notes: 'note.list',
      fulfillments: 'fulfilment.list',
      refunds: 'refund.list',
    };
    return {
      operation: id === '' ? 'order.list' : part === undefined ? 'order.read' : (reads[part] ?? part),
      reference: id,
      write,
    };
  }
  if (part === 'notes') return { operation: 'note.create', reference: id, write };
  let sent: Record<string, unknown> = {};
  try {
    const parsed: unknown = JSON.parse(body.toString('utf8'));
    if (typeof parsed === 'object' && parsed !== null) sent = parsed as Record<string, unknown>;
  } catch {
    // Whatever it is, it is refused later.
  }
  const meta = asList(sent['meta_data']).filter((each) => typeof each === 'object' && each !== null) as Meta[];
  if (part === 'fulfillments')
    return { operation: 'fulfilment.create', reference: `${id}/${trackingOf({ meta })}`, write };
  if (sent['status'] === 'completed') return { operation: 'order.complete', reference: id, write };
  if (sent['status'] === 'cancelled') return { operation: 'order.cancel', reference: id, write };
  const added = trackingNumbersIn(meta).at(-1);
  return added === undefined
    ? { operation: 'order.change', reference: id, write }
    : { operation: 'fulfilment.create', reference: `${id}/${added}`, write };
}

function json(status: number, body: unknown, headers: Record<string, string> = {}): Answer {
  return { status, headers: { 'content-type': 'application/json; charset=UTF-8', ...headers }, body: escaped(body) };
}

function failure(status: number, code: string | number, message: string): Answer {
  return json(status, { code, message, data: { status } });
}

function noRoute(): Answer {
  return failure(404, 'rest_no_route', 'No route was found matching the URL and request method.');
}

/** RFC 5849, section 3.4, on its own: the sandbox must not share the adapter's mistakes. */
function oauthSignature(method: string, url: string, parameters: Record<string, string>, secret: string): Buffer {
  const pairs = Object.keys(parameters)
    .sort()
    .map((name) => `${percent(name)}=${percent(parameters[name] ?? '')}`);
  const base = `${method.toUpperCase()}&${percent(url)}&${percent(pairs.join('&'))}`;
  return Buffer.from(
    createHmac('sha256', `${percent(secret)}&`)
      .update(base)
      .digest('base64'),
  );
}

function percent(value: string): string {
  return [...Buffer.from(value, 'utf8')]
    .map((byte) =>
      /[A-Za-z0-9._~-]/.test(String.fromCharCode(byte))
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
    )
    .join('');
}

/** The checkout's form: `qty:<SKU>` for each product, and the customer. @returns what is missing, for the customer, as a string */
function readBasket(form: URLSearchParams): PlacedOrder | string {
  const lines = [...form]
    .filter(([name]) => name.startsWith('qty:'))
    .map(([name, value]) => ({ sku: name.slice(4), quantity: Number(value || 0) }))
    .filter(({ quantity }) => quantity !== 0);
  const field = (name: string): string => (form.get(name) ?? '').trim();
  const customer = {
    name: field('name'),
    email: field('email'),
    street: field('street'),
    postalCode: field('postalCode'),
    city: field('city'),
    country: field('country'),
  };
  if (lines.some(({ sku }) => !products.some((product) => product.sku === sku))) return 'We do not sell one of these.';
  if (lines.length === 0) return 'Choose how many you would like of at least one product.';
  if (lines.some(({ quantity }) => !Number.isInteger(quantity) || quantity < 1 || quantity > 999))
    return 'Order between 1 and 999 of a product.';
  if (!customer.name || !customer.street || !customer.city || !/^[A-Z]{2}$/.test(customer.country)) {
    return 'Enter your name, street, city and country.';
  }
  return { lines, customer };
}

function wooAddress(customer: PlacedOrder['customer']): WooAddress {
  const names = (customer.name ?? 'Sam Sample').split(' ');
  return {
    first_name: names.slice(0, -1).join(' '),
    last_name: names.at(-1) ?? '',
    company: customer.company ?? '',
    address_1: customer.street ?? 'Example Street 1',
    address_2: '',
    city: customer.city ?? 'Exampleton',
    state: '',
    postcode: customer.postalCode ?? '10001',
    country: customer.country,
    email: customer.email ?? 'sam@customer.example',
    phone: customer.phone ?? '',
  };
}
