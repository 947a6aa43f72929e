import { createHash } from 'node:crypto';
import type { Address, Customer } from '../../orders/address.ts';
import { exponentOf } from '../../orders/currencies.ts';
import { BusinessRefusal } from '../../orders/errors.ts';
import { money, parseMoney, sum, type Money } from '../../orders/money.ts';
import type { Order, OrderLine } from '../../orders/order.ts';
import { add, isZero, parseQuantity, quantityToMillionths, subtract, type Quantity } from '../../orders/quantity.ts';
import type { InboundFact, InboundRequest } from '../adapter.ts';
import type { ShopOrder } from './port.ts';
import { isBody, metaOf, records, text, type Body } from './woocommerce-fields.ts';

/** The shop has nothing more to deliver. `trash`: a person has thrown the order away. */
export const OVER = ['cancelled', 'refunded', 'failed', 'trash'];

/** Baskets that the block checkout saves as orders while the customer still types. */
const DRAFTS = ['checkout-draft', 'auto-draft'];

/** In the order's currency. @throws BusinessRefusal `AMOUNT_INVALID` */
type ReadAmount = (value: unknown) => Money;

/**
 * What of an order makes a new fact: everything that `readOrder` reads, and nothing else. `created` and `updated` come with one
 * body; a poll gives other `_links` and whatever a plugin adds for its user. The date alone would not do, because it counts whole
 * seconds. The list also fixes the sequence of the keys.
 */
const SUBSTANCE = (
  'id status currency number customer_id customer_note date_created_gmt total total_tax shipping_total billing shipping ' +
  'first_name last_name company address_1 address_2 city state postcode country email phone ' +
  'line_items sku name quantity fee_lines refunds meta_data key value'
).split(' ');

/**
 * The order in an authentic body, or nothing. Headers are not signed: they only help to tell a deleted order from the records of other topics.
 */
export function factOf(body: unknown, headers: InboundRequest['headers'] = {}): InboundFact<'order'>[] {
  if (!isBody(body)) return [];
  const isOrder = Array.isArray(body['line_items']) || headers['x-wc-webhook-resource'] === 'order';
  if (!isOrder || DRAFTS.includes(text(body['status']))) return [];
  const refunds = records(body['refunds']).map((refund) => ({ ...refund, line_items: records(refund['line_items']) }));
  // Only the lines of refunds need their metadata, to say which line of the order they take back.
  const bare = (record: Body): Body => ({ ...record, meta_data: undefined });
  const lines = records(body['line_items']).map(bare);
  const fees = records(body['fee_lines']).map(bare);
  const substance = JSON.stringify({ ...bare(body), line_items: lines, fee_lines: fees, refunds }, SUBSTANCE);
  const hash = createHash('sha256').update(substance).digest('hex').slice(0, 12);
  return [
    {
      kind: 'order',
      dedupeKey: `order:${text(body['id'])}@${text(body['date_modified_gmt']) || 'deleted'}:${hash}`,
      body,
    },
  ];
}

/**
 * The shop's document in our words.
 * @throws BusinessRefusal `ORDER_UNREADABLE`, `ORDER_DELETED`, `ORDER_WITHOUT_LINES`, `ADDRESS_WITHOUT_COUNTRY`, `ADDRESS_INCOMPLETE`,
 * `SKU_MISSING`, `QUANTITY_INVALID`, `CURRENCY_UNKNOWN`, `AMOUNT_INVALID`
 */
export function readOrder(body: unknown, shop: string, paidStatuses: string[]): ShopOrder {
  if (!isBody(body) || !/^[1-9]\d*$/.test(text(body['id']))) {
    throw new BusinessRefusal(
      'ORDER_UNREADABLE',
      'The document from the shop is no order: it has no id. Check what the webhook sends.',
    );
  }
  const id = text(body['id']);
  if (body['line_items'] === undefined) {
    throw new BusinessRefusal(
      'ORDER_DELETED',
      `The shop has deleted order ${id}. Cancel it here if it must not be delivered.`,
    );
  }
  const status = text(body['status']);
  const cancelled = OVER.includes(status);
  const currency = text(body['currency']);
  exponentOf(currency);
  const amount: ReadAmount = (value) => parseMoney(text(value), currency);
  const refunds = records(body['refunds']);
  // A cancelled order keeps its lines: they say what is cancelled.
  const refunded = cancelled ? new Map<string, Quantity>() : refundedQuantities(refunds);
  const lines = records(body['line_items']).flatMap((item) => readLine(item, refunded, amount));
  if (lines.length === 0) {
    throw new BusinessRefusal(
      'ORDER_WITHOUT_LINES',
      `Order ${text(body['number']) || id} has no lines to deliver. Correct it in the shop, or cancel it there.`,
    );
  }
  const billing = isBody(body['billing']) ? body['billing'] : {};
  const shipping = isBody(body['shipping']) ? body['shipping'] : {};
  const goesTo = hasAddress(shipping) ? shipping : billing;
  const number = text(body['number']) || id;
  const fees = records(body['fee_lines']).map((fee) => amount(fee['total']));
  const discount = sum(
    fees.filter((fee) => fee.minor < 0),
    currency,
  );
  const note = text(body['customer_note']);
  const order: Order = {
    type: 'order',
    id: `${shop}-${id}`,
    shop,
    shopOrderId: id,
    number,
    placedAt: readDate(body['date_created_gmt'], number),
    changedAt: readDate(body['date_modified_gmt'], number),
    currency,
    customer: readCustomer(billing, shipping, text(body['customer_id'])),
    shipTo: readAddress(goesTo, number, text(shipping['phone']) || text(billing['phone'])),
    ...(billing !== goesTo && missingIn(billing).length === 0
      ? { billTo: readAddress(billing, number, text(billing['phone'])) }
      : {}),
    lines,
    shipping: amount(body['shipping_total'] ?? '0'),
    // Coupons are already off the lines' totals; what is left are fees below zero.
    ...(discount.minor < 0 ? { discount: money(-discount.minor, currency) } : {}),
    tax: amount(body['total_tax'] ?? '0'),
    // A refund's total is negative.
    total: sum(
      [amount(body['total']), ...(cancelled ? [] : refunds.map((refund) => refundTotal(refund, amount)))],
      currency,
    ),
    revision: 0,
    ...(note ? { note } : {}),
  };
  return { order, paid: paidStatuses.includes(status), cancelled };
}

/** In the order a refund has `total` ("-12.50"), as a document of its own `amount` ("12.50"). */
function refundTotal(refund: Body, amount: ReadAmount): Money {
  const minor = amount(refund['total'] ?? refund['amount']).minor;
  return { ...amount('0'), minor: minor === 0 ? 0 : -Math.abs(minor) };
}

/** Where the refunds' own lines are at hand (the poll reads them): `_refunded_item_id` names the order's line, the quantity is negative. */
function refundedQuantities(refunds: Body[]): Map<string, Quantity> {
  const refunded = new Map<string, Quantity>();
  for (const line of refunds.flatMap((refund) => records(refund['line_items']))) {
    const item = text(metaOf(line).get('_refunded_item_id'));
    const quantity = text(line['quantity']).replace(/^-/, '');
    if (item && Number(quantity) > 0) refunded.set(item, add(refunded.get(item) ?? '0', parseQuantity(quantity)));
  }
  return refunded;
}

/**
 * One line, or none when all of it was refunded. `unitPrice` comes from the line's `total`, after coupons: what the customer pays.
 * The shop's own `price` is the same as a binary fraction ("price": 8.3333333333) and is not read. A total that does not divide
 * into whole cents leaves a rounded unit price; `order.total` is the amount that counts.
 */
function readLine(item: Body, refunded: Map<string, Quantity>, amount: ReadAmount): OrderLine[] {
  const id = text(item['id']);
  const name = text(item['name']);
  const which = `Line ${id} (${name.slice(0, 60) || 'without a name'})`;
  const sku = text(item['sku']);
  if (!sku)
    throw new BusinessRefusal(
      'SKU_MISSING',
      `${which} has no SKU. Enter one at the product in the shop, then save the order again.`,
    );
  let ordered: Quantity;
  try {
    ordered = parseQuantity(item['quantity']);
  } catch (error) {
    throw error instanceof BusinessRefusal
      ? new BusinessRefusal(error.code, `${which}: ${error.message}`, { cause: error })
      : error;
  }
  const quantity = subtract(ordered, refunded.get(id) ?? '0');
  if (isZero(quantity)) return [];
  const unitPrice = divide(amount(item['total']), ordered);
  // The tax of what is left after a refund is not in the document.
  const tax = quantity === ordered && text(item['total_tax']) ? { tax: amount(item['total_tax']) } : {};
  return [{ id, sku, name, quantity, unitPrice, ...tax }];
}

/** Rounded half up. */
function divide(total: Money, quantity: Quantity): Money {
  const divisor = quantityToMillionths(quantity);
  const doubled = 2n * BigInt(total.minor) * 1_000_000n;
  return money(Number((doubled + (total.minor < 0 ? -divisor : divisor)) / (2n * divisor)), total.currency);
}

/** WooCommerce fills in the shop's own country where a customer gave no shipping address: a country alone is none. */
function hasAddress(address: Body): boolean {
  return ['address_1', 'city', 'postcode'].some((part) => text(address[part]) !== '');
}

/** What a parcel cannot do without. Some countries have no post codes, Singapore has no city. */
function missingIn(address: Body): string[] {
  return [
    ...(countryOf(address) ? [] : ['country']),
    ...(fullName(address) || text(address['company']) ? [] : ['name']),
    ...(text(address['address_1']) ? [] : ['street']),
    ...(text(address['city']) || text(address['postcode']) ? [] : ['city']),
  ];
}

function countryOf(address: Body): string {
  const country = text(address['country']).toUpperCase();
  return /^[A-Z]{2}$/.test(country) ? country : '';
}

function readAddress(address: Body, order: string, phone: string): Address {
  const missing = missingIn(address);
  if (missing.length > 0) {
    const code = missing.includes('country') ? 'ADDRESS_WITHOUT_COUNTRY' : 'ADDRESS_INCOMPLETE';
    throw new BusinessRefusal(
      code,
      `The address of order ${order} has no ${missing.join(' and no ')}. Complete it in the shop's order.`,
    );
  }
  const company = text(address['company']);
  const street2 = text(address['address_2']);
  const postalCode = text(address['postcode']);
  const region = text(address['state']);
  return {
    name: fullName(address) || company,
    ...(company ? { company } : {}),
    street: text(address['address_1']),
    ...(street2 ? { street2 } : {}),
    ...(postalCode ? { postalCode } : {}),
    city: text(address['city']),
    ...(region ? { region } : {}),
    country: countryOf(address),
    ...(phone ? { phone } : {}),
  };
}

/** `customer_id` 0 is a guest. */
function readCustomer(billing: Body, shipping: Body, customerId: string): Customer {
  const email = text(billing['email']);
  const phone = text(billing['phone']);
  const company = text(billing['company']);
  return {
    name: fullName(billing) || company || fullName(shipping) || text(shipping['company']),
    ...(email ? { email } : {}),
    ...(phone ? { phone } : {}),
    ...(company ? { company } : {}),
    ...(customerId && customerId !== '0' ? { shopCustomerId: customerId } : {}),
  };
}

function fullName(address: Body): string {
  return `${text(address['first_name'])} ${text(address['last_name'])}`.trim();
}

/** `date_*_gmt` carries no zone: "2026-11-22T14:40:12". */
function readDate(value: unknown, order: string): string {
  const date = Date.parse(`${text(value).replace(/Z$/, '')}Z`);
  if (Number.isNaN(date))
    throw new BusinessRefusal('ORDER_UNREADABLE', `Order ${order} has no date. Save it again in the shop.`);
  return new Date(date).toISOString();
}
