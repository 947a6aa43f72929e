import { createHmac } from 'node:crypto';
import { CURRENCY, products, suppliers, type CatalogueOffer, type SupplierName } from './catalogue.ts';
import { CALLBACK, createCallbacks, type Callback } from './callbacks.ts';
import { quantityToUnits, toDecimal, toUnits, unitsToQuantity } from './decimal.ts';
import type { Answer, Json, Partner, Request, World } from './world.ts';

export interface SupplierOptions {
  apiKey: string;
  /** `whsec_` and base64, as Standard Webhooks has it. */
  webhookSecret: string;
  dropline: { url: string };
}

type Ordered = {
  line: string;
  sku: string;
  name: string;
  /** Quantities in millionths; strings, because the state is JSON. */
  quantity: string;
  unitCost: string;
  shipped: string;
  cancelled: string;
  answer: 'accepted' | 'rejected' | 'backordered';
};

type SupplierOrder = {
  id: string;
  number: string;
  /** The purchase order as it came, to tell a repetition from another one with the same number. */
  content: string;
  shipping: string;
  lines: Ordered[];
  acknowledged: boolean;
  shipments: number;
  billed: boolean;
  cancellations: { content: string; lines: { line: string; quantity: string }[]; decided: boolean }[];
  /** Documents that a `shuffle-callbacks` fault holds back until all are there; absent: each is sent at once. */
  held?: Document[];
};

type Document = { operation: string; callback: Omit<Callback, 'attempt'> };

/** Milliseconds at speed 1. */
const ACKNOWLEDGE_AFTER = 1000;
const SHIP_AFTER = { least: 1000, spread: 2000 };
const NEXT_PARCEL_AFTER = 1000;
const BILL_AFTER = 1000;
const DECIDE_AFTER = 500;

/**
 * A pretend supplier that speaks the REST/JSON protocol: `prompt` accepts and ships everything at once, `parcels` ships every purchase
 * order of more than one piece in two parcels, `moody` gives back the lines that the catalogue marks so. Its documents are numbered after the
 * purchase order, so that a rerun gives the same numbers. The effect log holds `order.accept` and `order.cancel`, and, when the
 * supplier makes them and not when they arrive, `acknowledgement.send`, `shipment.send` and `bill.send`.
 */
export function createSupplier(world: World, name: SupplierName, options: SupplierOptions): Partner {
  const profile = suppliers[name];
  let orders = new Map<string, SupplierOrder>();
  const callbacks = createCallbacks(world, name, `${options.dropline.url}/dropship/suppliers/${name}`, ({ id, body }) =>
    standardWebhookHeaders(options.webhookSecret, id, Math.floor(world.now() / 1000), body),
  );

  function acceptOrder(request: Request): Answer | Promise<Answer> {
    if (request.headers['idempotency-key'] === undefined) {
      return refusal(400, 'idempotency_key_missing', 'Send the header Idempotency-Key.');
    }
    const body = readJson(request.body);
    const mistake = mistakeIn(body, profile.countries);
    if (mistake) return refusal(422, mistake.code, mistake.message);
    const po = body as PurchaseOrderBody;
    const content = canonical(po);
    const known = orders.get(po.number);
    if (known) {
      return known.content === content
        ? { status: 200, body: receipt(known) }
        : refusal(409, 'number_taken', `We already have another purchase order ${po.number}.`);
    }
    const order: SupplierOrder = {
      id: `SO-${po.number}`,
      number: po.number,
      content,
      shipping: po.shipping,
      lines: po.lines.map((line) => ({
        line: line.line,
        sku: line.sku,
        name: line.name,
        quantity: String(quantityToUnits(line.quantity)),
        unitCost: line.unitCost,
        shipped: '0',
        cancelled: '0',
        answer: answerTo(name, line.sku),
      })),
      acknowledged: false,
      shipments: 0,
      billed: false,
      cancellations: [],
    };
    if (world.takeFault(name, ['shuffle-callbacks'], 'order.accept', po.number)) order.held = [];
    orders.set(po.number, order);
    world.record(name, 'order.accept', po.number, order.id, {
      currency: po.currency,
      total: po.total,
      shipTo: po.shipTo,
      lines: po.lines.map(({ line, sku, quantity, unitCost }) => ({ line, sku, quantity, unitCost })),
    });
    const answer = { status: 201, body: receipt(order) };
    if (!world.takeFault(name, ['early-callback'], 'order.accept', po.number)) {
      world.schedule(name, ACKNOWLEDGE_AFTER, 'acknowledge', order.number);
      return answer;
    }
    const early = acknowledge(order);
    return early ? callbacks.deliver({ ...early.callback, attempt: 1 }).then(() => answer) : answer;
  }

  /** The acknowledgement, unless it is held back; the caller sends it. */
  function acknowledge(order: SupplierOrder): Document | undefined {
    order.acknowledged = true;
    const document = issue(order, 'acknowledgement.send', 'purchase_order.acknowledged', `ACK-${order.number}`, {
      supplierOrderId: order.id,
      currency: CURRENCY,
      lines: order.lines.map(({ line, sku, answer, quantity }) => ({
        line,
        sku,
        status: answer,
        quantity: unitsToQuantity(BigInt(quantity)),
        ...(answer === 'accepted' ? { shipBy: day(world.now(), profile.leadTimeDays) } : { reason: REASONS[answer] }),
      })),
    });
    if (order.cancellations.length > 0) world.schedule(name, 0, 'decide', order.number);
    if (openLines(order).length > 0) {
      world.schedule(
        name,
        SHIP_AFTER.least + SHIP_AFTER.spread * world.draw(name, order.number, 'ship'),
        'ship',
        order.number,
      );
    }
    world.changed();
    return hold(order, document);
  }

  function ship(order: SupplierOrder): void {
    const open = openLines(order);
    const total = open.reduce((sum, { units }) => sum + units, 0n);
    if (total === 0n) return;
    const inTwo = name === 'parcels' && order.shipments === 0 && total > 1_000_000n;
    // Half of it, rounded up to whole pieces.
    let room = inTwo ? ((total / 2n + 999_999n) / 1_000_000n) * 1_000_000n : total;
    const lines: { line: string; sku: string; quantity: string }[] = [];
    for (const { ordered, units } of open) {
      const packed = units < room ? units : room;
      if (packed === 0n) continue;
      room -= packed;
      ordered.shipped = String(BigInt(ordered.shipped) + packed);
      lines.push({ line: ordered.line, sku: ordered.sku, quantity: unitsToQuantity(packed) });
    }
    order.shipments += 1;
    const number = `SH-${order.number}-${order.shipments}`;
    const trackingNumber = trackingOf(world, name, number);
    const document = issue(order, 'shipment.send', 'shipment.sent', number, {
      shippedAt: new Date(world.now()).toISOString(),
      parcels: [{ carrier: 'DHL', trackingNumber, trackingUrl: `https://track.example/${trackingNumber}` }],
      lines,
    });
    sendUnlessHeld(order, document);
    if (openLines(order).length > 0) world.schedule(name, NEXT_PARCEL_AFTER, 'ship', order.number);
    else world.schedule(name, BILL_AFTER, 'bill', order.number);
    world.changed();
  }

  function bill(order: SupplierOrder): void {
    order.billed = true;
    const lines = order.lines.filter((line) => line.shipped !== '0');
    const goods = lines.reduce((sum, { unitCost, shipped }) => sum + amountOf(unitCost, BigInt(shipped)), 0n);
    const document = issue(order, 'bill.send', 'invoice.issued', `INV-${order.number}`, {
      issuedAt: new Date(world.now()).toISOString(),
      dueAt: day(world.now(), profile.paymentDays),
      currency: CURRENCY,
      lines: lines.map(({ line, sku, shipped, unitCost }) => ({
        line,
        sku,
        quantity: unitsToQuantity(BigInt(shipped)),
        unitCost,
      })),
      shipping: order.shipping,
      total: toDecimal(goods + (toUnits(order.shipping, 2) ?? 0n), 2),
    });
    sendUnlessHeld(order, document);
    world.changed();
  }

  function askCancellation(order: SupplierOrder, request: Request): Answer {
    const body = readJson(request.body) as { reason?: unknown; lines?: unknown } | undefined;
    const lines = readCancelled(body?.lines, order);
    if (typeof body?.reason !== 'string' || !lines) {
      return refusal(422, 'invalid', 'Send a reason, and lines of this purchase order with a positive quantity.');
    }
    const content = canonical({ reason: body.reason, lines });
    if (!order.cancellations.some((each) => each.content === content)) {
      order.cancellations.push({ content, lines, decided: false });
      world.schedule(name, DECIDE_AFTER, 'decide', order.number);
      world.changed();
    }
    return { status: 202, body: { status: 'asked' } };
  }

  /** Cancelled while nothing has left the house; what was not answered yet is acknowledged first, so that both documents agree. */
  function decideCancellations(order: SupplierOrder): void {
    if (!order.acknowledged) return;
    for (const [index, cancellation] of order.cancellations.entries()) {
      if (cancellation.decided) continue;
      cancellation.decided = true;
      const cancelled = order.shipments > 0 ? [] : cancelLines(order, cancellation.lines);
      const accepted = cancelled.length > 0;
      const number = `CAN-${order.number}-${index + 1}`;
      const document = describeDocument(order, 'order.cancel', 'purchase_order.cancelled', number, {
        accepted,
        lines: accepted ? cancelled : cancellation.lines.map((line) => ({ ...line, sku: skuOf(order, line.line) })),
        ...(accepted
          ? {}
          : { reason: order.shipments > 0 ? 'It has already been shipped.' : 'Nothing of it is left to cancel.' }),
      });
      if (accepted) world.record(name, 'order.cancel', order.number, number, { lines: cancelled });
      sendUnlessHeld(order, document);
    }
    world.changed();
  }

  /** Makes a document, which is what the effect log is about, and gives the callback that tells of it. */
  function issue(
    order: SupplierOrder,
    operation: string,
    type: string,
    number: string,
    detail: { [key: string]: Json },
  ): Document {
    world.record(name, operation, order.number, number, detail);
    return describeDocument(order, operation, type, number, detail);
  }

  function describeDocument(
    order: SupplierOrder,
    operation: string,
    type: string,
    number: string,
    detail: { [key: string]: Json },
  ): Document {
    const data = { number, purchaseOrder: order.number, ...detail };
    const body = JSON.stringify({ type, timestamp: new Date(world.now()).toISOString(), data });
    return { operation, callback: { id: `msg_${name}_${number}`, body } };
  }

  function sendUnlessHeld(order: SupplierOrder, document: Document): void {
    const ready = hold(order, document);
    if (ready) callbacks.send(0, ready.operation, order.number, ready.callback);
  }

  /** Gives the document back unless it is held back; with the last one all leave, the last first. */
  function hold(order: SupplierOrder, document: Document): Document | undefined {
    if (!order.held) return document;
    order.held.push(document);
    const complete = order.billed || (order.acknowledged && openLines(order).length === 0 && order.shipments === 0);
    if (complete) {
      for (const [index, each] of order.held.toReversed().entries()) {
        callbacks.send(index * 200, each.operation, order.number, each.callback);
      }
      delete order.held;
    }
    return undefined;
  }

  return {
    name,
    describe(request) {
      const { number, cancellation } = routeOf(request.path);
      if (request.path === '/health') return { operation: 'health', reference: '', write: false };
      if (cancellation) return { operation: 'order.cancel', reference: number, write: true };
      if (request.method === 'POST') {
        const body = readJson(request.body) as { number?: unknown } | undefined;
        return { operation: 'order.accept', reference: String(body?.number ?? ''), write: true };
      }
      return { operation: 'order.get', reference: number, write: false };
    },
    handle(request) {
      if (request.headers.authorization !== `Bearer ${options.apiKey}`)
        return refusal(401, 'unauthorized', 'The API key is missing or wrong.');
      const { method, path } = request;
      if (method === 'GET' && path === '/health') return { status: 200, body: { ok: true } };
      if (method === 'POST' && path === '/purchase-orders') return acceptOrder(request);
      const { number, cancellation } = routeOf(path);
      const order = orders.get(number);
      if (!order) return refusal(404, 'not_found', 'There is no such thing here.');
      if (cancellation && method === 'POST') return askCancellation(order, request);
      if (!cancellation && method === 'GET') return { status: 200, body: describeOrder(order) };
      return refusal(405, 'method_not_allowed', `${method} is not possible here.`);
    },
    error: (status, message) => refusal(status, CODES[status] ?? 'internal', message),
    due(action, data) {
      if (action === CALLBACK) return callbacks.deliver(data);
      const order = orders.get(String(data));
      if (!order) throw new Error(`${name} has a timer "${action}" for ${String(data)}, which it does not know.`);
      if (action === 'acknowledge') {
        const document = acknowledge(order);
        if (document) callbacks.send(0, document.operation, order.number, document.callback);
      } else if (action === 'ship') ship(order);
      else if (action === 'bill') bill(order);
      else decideCancellations(order);
      return undefined;
    },
    save: () => [...orders.values()] as unknown as Json,
    load(state) {
      orders = new Map((state as unknown as SupplierOrder[]).map((order) => [order.number, order]));
    },
  };
}

/** Headers of https://www.standardwebhooks.com: HMAC-SHA256 over id, timestamp and raw body, keyed with the decoded secret. */
export function standardWebhookHeaders(
  secret: string,
  id: string,
  timestamp: number,
  body: string,
): Record<string, string> {
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64');
  return {
    'content-type': 'application/json',
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': `v1,${signature}`,
  };
}

const CODES: Record<number, string> = {
  401: 'unauthorized',
  404: 'not_found',
  409: 'number_taken',
  422: 'refused',
  429: 'rate_limited',
};
const REASONS = { rejected: 'We no longer sell this.', backordered: 'Out of stock; the next delivery is open.' };

interface PurchaseOrderBody {
  number: string;
  currency: string;
  shipTo: { [part: string]: Json };
  lines: { line: string; sku: string; name: string; quantity: string; unitCost: string }[];
  shipping: string;
  total: string;
}

/** What is wrong with a purchase order; `undefined` for a good one. */
function mistakeIn(body: unknown, countries: string[]): { code: string; message: string } | undefined {
  const invalid = (message: string) => ({ code: 'invalid', message });
  if (typeof body !== 'object' || body === null) return invalid('Send the purchase order as JSON.');
  const { number, orderedAt, currency, shipTo, lines, shipping, total } = body as Record<string, unknown>;
  if (typeof number !== 'string' || !/^[\w./-]{1,60}$/.test(number))
    return invalid('"number" is missing or not a number of a purchase order.');
  if (typeof orderedAt !== 'string' || Number.isNaN(Date.parse(orderedAt)))
    return invalid('"orderedAt" is missing or not a time.');
  if (currency !== CURRENCY) return { code: 'currency_unsupported', message: `We sell in ${CURRENCY} only.` };
  const address = (shipTo ?? {}) as Record<string, unknown>;
  for (const part of ['name', 'street', 'city', 'country']) {
    if (typeof address[part] !== 'string' || address[part] === '') return invalid(`"shipTo.${part}" is missing.`);
  }
  if (!countries.includes(String(address['country']))) {
    return { code: 'country_not_served', message: `We do not deliver to ${String(address['country'])}.` };
  }
  if (!Array.isArray(lines) || lines.length === 0) return invalid('A purchase order has lines.');
  const shippingCents = toUnits(shipping, 2);
  if (shippingCents === undefined) return invalid('"shipping" is not an amount.');
  let sum = shippingCents;
  const seen = new Set<string>();
  for (const each of lines as Record<string, unknown>[]) {
    const { line, sku, name, quantity, unitCost } = each ?? {};
    if (typeof line !== 'string' || seen.has(line)) return invalid('Every line has its own "line".');
    seen.add(line);
    if (typeof sku !== 'string' || typeof name !== 'string') return invalid(`Line ${line} has no "sku" or no "name".`);
    const units = quantityToUnits(quantity);
    if (units === undefined || units === 0n) return invalid(`Line ${line}: "quantity" is not a positive quantity.`);
    if (toUnits(unitCost, 2) === undefined) return invalid(`Line ${line}: "unitCost" is not an amount.`);
    sum += amountOf(unitCost as string, units);
  }
  if (toUnits(total, 2) !== sum)
    return {
      code: 'total_wrong',
      message: `The lines and the shipping make ${toDecimal(sum, 2)}, not ${String(total)}.`,
    };
  return undefined;
}

/** Cents, rounded half up. */
function amountOf(unitCost: string, millionths: bigint): bigint {
  return ((toUnits(unitCost, 2) ?? 0n) * millionths + 500_000n) / 1_000_000n;
}

function answerTo(supplier: SupplierName, sku: string): Ordered['answer'] {
  const offers: CatalogueOffer[] = products.find((product) => product.sku === sku)?.offers ?? [];
  const offer = offers.find((each) => each.supplier === supplier);
  return offer ? (offer.answer ?? 'accepted') : 'rejected';
}

/** What is still to be shipped, in millionths. */
function openLines(order: SupplierOrder): { ordered: Ordered; units: bigint }[] {
  return order.lines
    .filter((ordered) => ordered.answer === 'accepted')
    .map((ordered) => ({
      ordered,
      units: BigInt(ordered.quantity) - BigInt(ordered.shipped) - BigInt(ordered.cancelled),
    }))
    .filter(({ units }) => units > 0n);
}

/** Takes as much off the lines as was asked for and is still open, and says what that was. */
function cancelLines(
  order: SupplierOrder,
  asked: { line: string; quantity: string }[],
): { line: string; sku: string; quantity: string }[] {
  const cancelled: { line: string; sku: string; quantity: string }[] = [];
  for (const { line, quantity } of asked) {
    const open = openLines(order).find(({ ordered }) => ordered.line === line);
    const wanted = quantityToUnits(quantity) ?? 0n;
    if (!open) continue;
    const units = wanted < open.units ? wanted : open.units;
    open.ordered.cancelled = String(BigInt(open.ordered.cancelled) + units);
    cancelled.push({ line, sku: open.ordered.sku, quantity: unitsToQuantity(units) });
  }
  return cancelled;
}

function readCancelled(lines: unknown, order: SupplierOrder): { line: string; quantity: string }[] | undefined {
  if (!Array.isArray(lines) || lines.length === 0) return undefined;
  const read = (lines as Record<string, unknown>[]).map((each) => ({
    line: String(each?.['line']),
    units: quantityToUnits(each?.['quantity']),
  }));
  if (read.some(({ line, units }) => !units || !order.lines.some((ordered) => ordered.line === line))) return undefined;
  return read.map(({ line, units }) => ({ line, quantity: unitsToQuantity(units ?? 0n) }));
}

function skuOf(order: SupplierOrder, line: string): string {
  return order.lines.find((ordered) => ordered.line === line)?.sku ?? '';
}

function receipt(order: SupplierOrder): Json {
  return { id: order.id, number: order.number, status: 'received' };
}

function describeOrder(order: SupplierOrder): Json {
  const open = openLines(order).length > 0;
  const status = !order.acknowledged
    ? 'received'
    : open
      ? 'acknowledged'
      : order.shipments > 0
        ? 'shipped'
        : 'cancelled';
  return {
    id: order.id,
    number: order.number,
    status,
    lines: order.lines.map(({ line, sku, answer, quantity, shipped, cancelled }) => ({
      line,
      sku,
      status: order.acknowledged ? answer : 'received',
      quantity: unitsToQuantity(BigInt(quantity)),
      shipped: unitsToQuantity(BigInt(shipped)),
      cancelled: unitsToQuantity(BigInt(cancelled)),
    })),
  };
}

/** Fourteen digits that look like a carrier's, the same for the same shipment in every run. */
function trackingOf(world: World, supplier: string, shipment: string): string {
  return `JD${String(Math.floor(world.draw(supplier, shipment, 'tracking') * 1e12)).padStart(12, '0')}`;
}

function day(now: number, plusDays: number): string {
  return new Date(now + plusDays * 86_400_000).toISOString().slice(0, 10);
}

function routeOf(path: string): { number: string; cancellation: boolean } {
  const match = /^\/purchase-orders\/([^/]+)(\/cancellation)?$/.exec(path);
  try {
    return { number: decodeURIComponent(match?.[1] ?? ''), cancellation: match?.[2] !== undefined };
  } catch {
    return { number: '', cancellation: false };
  }
}

function refusal(status: number, code: string, message: string): Answer {
  return { status, body: { error: { code, message } } };
}

/** `undefined` for what is no JSON. */
function readJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}

/** The same text for the same content, whatever the order of the keys. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) =>
    typeof each === 'object' && each !== null && !Array.isArray(each)
      ? Object.fromEntries(Object.entries(each).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : each,
  );
}
