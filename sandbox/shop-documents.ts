import { CURRENCY } from './catalogue.ts';
import type { Json } from './world.ts';

/** An order as the pretend shop keeps it, and as WooCommerce's REST API v3 writes it. */

export interface Meta {
  id: number;
  key: string;
  value: Json;
}

export interface ShopOrder {
  id: number;
  status: string;
  placedAt: number;
  changedAt: number;
  address: WooAddress;
  customerId: number;
  lines: { id: number; sku: string; name: string; quantity: number; price: number }[];
  meta: Meta[];
  notes: { id: number; at: number; author: string; note: string; customer: boolean }[];
  fulfilments: { id: number; status: string; fulfilled: boolean; at: number; meta: Meta[] }[];
  refunds: {
    id: number;
    at: number;
    amount: number;
    reason: string;
    lines: { id: number; line: number; quantity: number }[];
  }[];
  /** How often each tracking number has stood in the metadata at most, so that writing a list again is no new effect. */
  seen: Record<string, number>;
}

export interface WooAddress {
  first_name: string;
  last_name: string;
  company: string;
  address_1: string;
  address_2: string;
  city: string;
  state: string;
  postcode: string;
  country: string;
  email: string;
  phone: string;
}

export interface Hook {
  id: number;
  name: string;
  status: string;
  topic: string;
  failures: number;
}

export const API = '/wp-json/wc/v3/';

/** Cents for one order, whatever is in it. */
export const SHIPPING = 500;

/** The shop's clock is not GMT: who takes `date_modified` for `date_modified_gmt` is an hour off. */
export const ZONE = 3_600_000;

export function orderBody(order: ShopOrder): Record<string, Json> {
  const { id } = order;
  return {
    id,
    parent_id: 0,
    status: order.status,
    currency: CURRENCY,
    version: '11.0.1',
    prices_include_tax: false,
    date_created: local(order.placedAt),
    date_modified: local(order.changedAt),
    discount_total: '0.00',
    discount_tax: '0.00',
    shipping_total: amount(SHIPPING),
    shipping_tax: '0.00',
    cart_tax: '0.00',
    total: amount(totalOf(order)),
    total_tax: '0.00',
    customer_id: order.customerId,
    order_key: `wc_order_${id}`,
    billing: { ...order.address },
    shipping: { ...order.address, email: undefined },
    payment_method: 'bacs',
    payment_method_title: 'Bank',
    transaction_id: '',
    created_via: 'checkout',
    customer_note: '',
    date_completed: null,
    date_paid: local(order.placedAt),
    number: String(id),
    meta_data: order.meta.map((meta) => ({ ...meta })),
    line_items: order.lines.map((line) => ({
      id: line.id,
      name: line.name,
      product_id: line.id,
      variation_id: 0,
      quantity: line.quantity,
      tax_class: '',
      subtotal: amount(line.price * line.quantity),
      subtotal_tax: '0.00',
      total: amount(line.price * line.quantity),
      total_tax: '0.00',
      taxes: [],
      meta_data: [],
      sku: line.sku,
      // A JSON number, unlike every other amount.
      price: line.price / 100,
      image: { id: '', src: '' },
      parent_name: null,
    })),
    tax_lines: [],
    shipping_lines: [
      {
        id: id + 500_000,
        method_title: 'Standard',
        method_id: 'flat_rate',
        total: amount(SHIPPING),
        total_tax: '0.00',
        taxes: [],
      },
    ],
    fee_lines: [],
    coupon_lines: [],
    refunds: order.refunds.map((refund) => ({
      id: refund.id,
      reason: refund.reason,
      total: `-${amount(refund.amount)}`,
    })),
    needs_payment: false,
    needs_processing: true,
    date_created_gmt: gmt(order.placedAt),
    date_modified_gmt: gmt(order.changedAt),
    date_completed_gmt: null,
    date_paid_gmt: gmt(order.placedAt),
    currency_symbol: '€',
    _links: {
      self: [{ href: `http://shop.sandbox${API}orders/${id}` }],
      collection: [{ href: `http://shop.sandbox${API}orders` }],
    },
  };
}

export function noteBody({ id, author, at, note, customer }: ShopOrder['notes'][number]): Record<string, Json> {
  return { id, author, date_created: local(at), date_created_gmt: gmt(at), note, customer_note: customer, _links: {} };
}

export function fulfilmentBody(
  { id, status, fulfilled, at, meta }: ShopOrder['fulfilments'][number],
  order: ShopOrder,
): Record<string, Json> {
  return {
    id,
    entity_type: 'WC_Order',
    entity_id: String(order.id),
    status,
    is_fulfilled: fulfilled,
    date_updated: local(at).replace('T', ' '),
    date_deleted: null,
    meta_data: meta.map((each) => ({ ...each })),
  };
}

export function refundBody(refund: ShopOrder['refunds'][number], order: ShopOrder): Record<string, Json> {
  return {
    id: refund.id,
    date_created: local(refund.at),
    date_created_gmt: gmt(refund.at),
    amount: amount(refund.amount),
    reason: refund.reason,
    meta_data: [],
    line_items: refund.lines.map(({ id, line, quantity }) => {
      const ordered = order.lines.find((each) => each.id === line);
      return {
        id,
        name: ordered?.name ?? '',
        quantity: -quantity,
        total: `-${amount((ordered?.price ?? 0) * quantity)}`,
        sku: ordered?.sku ?? '',
        meta_data: [{ id: id + 900_000, key: '_refunded_item_id', value: String(line) }],
      };
    }),
  };
}

export function hookBody({ id, name, status, topic }: Hook): Record<string, Json> {
  const event = topic.slice('order.'.length);
  return { id, name, status, topic, resource: 'order', event, hooks: [`woocommerce_${event}_order`], delivery_url: '' };
}

/** As PHP's json_encode writes it: ASCII only, slashes escaped. */
export function escaped(value: unknown): string {
  return JSON.stringify(value)
    .replace(/[\u0080-\uffff]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .replaceAll('/', '\\/');
}

export function trackingNumbersIn(meta: Meta[]): string[] {
  const items = asList(meta.find(({ key }) => key === '_wc_shipment_tracking_items')?.value) as {
    tracking_number?: unknown;
  }[];
  return items.map((item) => String(item?.tracking_number ?? ''));
}

export function trackingOf({ meta }: { meta: Meta[] }): string {
  return String(meta.find(({ key }) => key === '_tracking_number')?.value ?? '');
}

export function totalOf(order: ShopOrder): number {
  return order.lines.reduce((sum, line) => sum + line.price * line.quantity, SHIPPING);
}

/** "12.90" as 1290. */
export function cents(price: string): number {
  return Math.round(Number(price) * 100);
}

export function amount(inCents: number): string {
  return (inCents / 100).toFixed(2);
}

export function second(milliseconds: number): number {
  return Math.floor(milliseconds / 1000) * 1000;
}

export function gmt(milliseconds: number): string {
  return new Date(milliseconds).toISOString().slice(0, 19);
}

export function local(milliseconds: number): string {
  return gmt(milliseconds + ZONE);
}

export function asList(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}
