import { createHash } from 'node:crypto';
import type { Order } from '../../orders/order.ts';
import { add, type Quantity } from '../../orders/quantity.ts';
import type { Parcel, Shipment } from '../../orders/shipment.ts';
import { metaOf, records, text, type Body } from './woocommerce-fields.ts';

/** Kept by the Shipment Tracking extension and by those that follow it; shown in the shop's order page and e-mails. */
const TRACKING_META = '_wc_shipment_tracking_items';

/** One key of our own per shipment, so that no writer can overwrite another's: see `trackingMeta`. */
const SHIPMENT_META = '_dropline_shipment_';

/** What writing a shipment leaves in the ledger. `note`: WooCommerce has not told the customer by itself. */
export type Fulfilled = { id: string; note: boolean };

/**
 * The body of POST fulfillments (OrderFulfillmentsRestController, since 10.1). Carriers go as "other" with their name, because the
 * shop's own list of carriers is a filter of its plugins. The shop does not check quantities against the order.
 */
export function fulfilmentOf(shipment: Shipment, order: Order): Record<string, unknown> {
  const quantities = new Map<string, Quantity>();
  for (const { orderLine, quantity } of shipment.lines) {
    quantities.set(orderLine, add(quantities.get(orderLine) ?? '0', quantity));
  }
  const items = [...quantities].map(([line, quantity]) => ({ item_id: exactNumber(line), qty: exactNumber(quantity) }));
  const [parcel] = shipment.parcels;
  const url = shipment.parcels.length === 1 ? webUrl(parcel?.trackingUrl) : '';
  const meta = {
    _items: items,
    ...(parcel
      ? { _tracking_number: trackingNumbers(shipment), _shipment_provider: 'other', _provider_name: carriers(shipment) }
      : {}),
    ...(url ? { _tracking_url: url } : {}),
    _dropline_shipment: shipment.id,
  };
  return {
    entity_type: 'WC_Order',
    entity_id: order.shopOrderId,
    status: 'fulfilled',
    is_fulfilled: true,
    notify_customer: !tellByNote(shipment),
    meta_data: Object.entries(meta).map(([key, value]) => ({ id: 0, key, value })),
  };
}

/** A fulfilment has room for one tracking number and one link. Several parcels are told in a note that lists them all. */
export function tellByNote(shipment: Shipment): boolean {
  return shipment.parcels.length > 1;
}

/**
 * What PUT must write so that the order's metadata holds this shipment and every earlier one; empty when it does already.
 * The extension's key holds one list for the whole order, so writing it is read-modify-write: of two instances that write at once,
 * or with a call that the shop carries out after we gave it up, one list overwrites the other. Therefore each shipment also stands
 * under a key of its own, and every later write, `complete` at the latest, puts back what the list has lost.
 */
export function trackingMeta(found: Body, shipment?: Shipment): { key: string; value: unknown }[] {
  const meta = metaOf(found);
  const own = shipment ? { key: `${SHIPMENT_META}${markOf(shipment.id)}`, value: trackingItems(shipment) } : undefined;
  const listed = records(meta.get(TRACKING_META));
  const kept = [...meta].filter(([key]) => key.startsWith(SHIPMENT_META)).flatMap(([, value]) => records(value));
  const list = [...listed];
  for (const item of [...kept, ...(own?.value ?? [])]) {
    if (!list.some((each) => text(each['tracking_number']) === text(item['tracking_number']))) list.push(item);
  }
  return [
    ...(own && !meta.has(own.key) ? [own] : []),
    ...(list.length > listed.length ? [{ key: TRACKING_META, value: list }] : []),
  ];
}

function trackingItems(shipment: Shipment): Body[] {
  return shipment.parcels.map((parcel) => ({
    tracking_provider: '',
    custom_tracking_provider: plain(parcel.carrier),
    custom_tracking_link: webUrl(parcel.trackingUrl),
    tracking_number: plain(parcel.trackingNumber),
    date_shipped: String(Math.floor(Date.parse(shipment.shippedAt) / 1000)),
    tracking_id: markOf(`${shipment.id} ${parcel.trackingNumber}`),
  }));
}

/** Ours by its own key; one that a person has entered by all of its tracking numbers. */
export function findTracking(order: Body, shipment: Shipment): Fulfilled | undefined {
  const mark = markOf(shipment.id);
  const meta = metaOf(order);
  if (meta.has(`${SHIPMENT_META}${mark}`)) {
    return trackingMeta(order, shipment).length === 0 ? { id: mark, note: true } : undefined;
  }
  const listed = records(meta.get(TRACKING_META)).map((item) => text(item['tracking_number']));
  const entered =
    shipment.parcels.length > 0 && shipment.parcels.every((parcel) => listed.includes(plain(parcel.trackingNumber)));
  return entered ? { id: mark, note: false } : undefined;
}

export function trackingNumbers(shipment: Shipment): string {
  return shipment.parcels.map((parcel) => plain(parcel.trackingNumber)).join(', ');
}

function carriers(shipment: Shipment): string {
  return [...new Set(shipment.parcels.map((parcel) => plain(parcel.carrier)))].join(', ');
}

export function describeParcel(parcel: Parcel): string {
  const url = webUrl(parcel.trackingUrl);
  return `${plain(parcel.carrier)} ${plain(parcel.trackingNumber)}${url ? ` ${url}` : ''}`;
}

/** Short, the same every time, and silent about which supplier it was: the customer sees it. */
export function markOf(identity: string): string {
  return createHash('sha256').update(identity).digest('hex').slice(0, 12);
}

/** Suppliers' words end up in the shop's pages and e-mails: no markup, no control characters. */
export function plain(words: string): string {
  return words
    .replace(/[<>\p{Cc}]+/gu, ' ')
    .replace(/ +/g, ' ')
    .trim();
}

/** A link that may stand in an e-mail to a customer, or nothing. */
function webUrl(url: string | undefined): string {
  return url !== undefined && URL.canParse(url) && /^https?:$/.test(new URL(url).protocol) ? new URL(url).href : '';
}

/** Digits as a JSON number without passing through a binary fraction; WooCommerce takes item ids as numbers only. */
function exactNumber(digits: string): unknown {
  // In Node.js since 21; TypeScript's library does not know it yet.
  return (JSON as unknown as { rawJSON(source: string): unknown }).rawJSON(digits);
}
