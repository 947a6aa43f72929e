import { addressContent, type Address, type Customer } from './address.ts';
import { isCountry } from './countries.ts';
import { exponentOf } from './currencies.ts';
import { BusinessRefusal } from './errors.ts';
import { describeMoney, money, type Money } from './money.ts';
import { isWhole, normalQuantity, parseQuantity, type Quantity } from './quantity.ts';

/** What the customer bought in the shop. `id` is the shop's reference and the shop's order id: `shop-nz-1001`. */
export interface Order {
  type: 'order';
  id: string;
  /** Reference of the shop, such as `shop-nz`. */
  shop: string;
  /** The shop's own id of the order; a string, because some shops count beyond 2^53. */
  shopOrderId: string;
  /** What the customer sees on the confirmation. */
  number: string;
  placedAt: string;
  /** When the shop last changed it (ISO 8601 UTC); later states win. */
  changedAt: string;
  currency: string;
  customer: Customer;
  shipTo: Address;
  billTo?: Address;
  lines: OrderLine[];
  shipping?: Money;
  discount?: Money;
  tax?: Money;
  total: Money;
  /** Counts the changes after intake, from 0. Changes and cancellations carry it in their effect keys. */
  revision: number;
  /** What the ERP calls it, once it knows it. */
  erp?: ErpRecord;
  /** A note of the customer for the delivery. */
  note?: string;
  /** What will not come, as told to the shop. */
  undeliverable?: AffectedLine[];
}

export interface OrderLine {
  /** The shop's id of the line. */
  id: string;
  sku: string;
  name: string;
  quantity: Quantity;
  /** What the customer pays for one, before tax where the shop says so. */
  unitPrice: Money;
  tax?: Money;
}

/** A document as an ERP knows it: `id` for calls, `number` for people. */
export interface ErpRecord {
  /** Reference of the ERP, such as `erp-main`. */
  partner: string;
  id: string;
  number: string;
}

/** Lines of one order that something happened to together: nobody can deliver them, or they will not come. */
export interface OrderLines {
  type: 'order-lines';
  orderId: string;
  lines: AffectedLine[];
  /** For people: why. */
  reason: string;
  /** The purchase order from which the lines were freed, when a supplier gave them back. */
  purchaseOrder?: string;
  /** Which document freed them, such as `acknowledgement vineyard/ACK-7`: the name of the routing round that it starts. */
  freedBy?: string;
}

export interface AffectedLine {
  /** `OrderLine.id` */
  orderLine: string;
  sku: string;
  quantity: Quantity;
  reason?: string;
}

/**
 * Refuses an order that nobody could deliver or account for. `wholeUnits`: the retailer sells pieces only.
 * @throws BusinessRefusal `ORDER_ID_INVALID`, `ORDER_WITHOUT_LINES`, `SKU_MISSING`, `QUANTITY_INVALID`, `FRACTION_NOT_ALLOWED`,
 * `LINE_ID_DUPLICATE`, `CURRENCY_UNKNOWN`, `CURRENCY_MISMATCH`, `AMOUNT_INVALID`, `ADDRESS_WITHOUT_COUNTRY`
 */
export function checkOrder(order: Order, rules: { wholeUnits: boolean }): void {
  // The id stands in effect keys, file names and URLs, and PO numbers are made of it.
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$/.test(order.id)) {
    throw new BusinessRefusal(
      'ORDER_ID_INVALID',
      `"${String(order.id).slice(0, 70)}" cannot be used as an order's id. Use at most 60 letters, digits, dots, hyphens and underscores, beginning with a letter or digit.`,
    );
  }
  exponentOf(order.currency);
  if (order.lines.length === 0) {
    throw new BusinessRefusal(
      'ORDER_WITHOUT_LINES',
      `Order ${order.id} has no lines, so there is nothing to deliver. Look at the order in the shop.`,
    );
  }
  const seen = new Set<string>();
  for (const line of order.lines) checkLine(order, line, seen, rules.wholeUnits);
  for (const amount of [order.total, order.shipping, order.discount, order.tax]) {
    if (amount !== undefined) checkAmount(order, amount);
  }
  if (!isCountry(order.shipTo.country)) {
    throw new BusinessRefusal(
      'ADDRESS_WITHOUT_COUNTRY',
      order.shipTo.country
        ? `"${String(order.shipTo.country).slice(0, 40)}" in the ship-to address of order ${order.id} is not a country. Send the two capital letters of ISO 3166, such as NZ.`
        : `The ship-to address of order ${order.id} names no country. Complete the address in the shop.`,
    );
  }
}

function checkLine(order: Order, line: OrderLine, seen: Set<string>, wholeUnits: boolean): void {
  if (!line.id || seen.has(line.id)) {
    throw new BusinessRefusal(
      'LINE_ID_DUPLICATE',
      `Order ${order.id} has ${line.id ? `two lines with the id "${line.id}"` : 'a line without an id'}. Every line needs its own id.`,
    );
  }
  seen.add(line.id);
  if (!line.sku.trim()) {
    throw new BusinessRefusal(
      'SKU_MISSING',
      `Line ${line.id} of order ${order.id} has no SKU. Give the product an SKU in the shop: suppliers are found by it.`,
    );
  }
  const quantity = parseQuantity(line.quantity);
  if (wholeUnits && !isWhole(quantity)) {
    throw new BusinessRefusal(
      'FRACTION_NOT_ALLOWED',
      `Line ${line.id} of order ${order.id} asks for ${quantity} of ${line.sku}, but only whole units are sold.`,
    );
  }
  checkAmount(order, line.unitPrice);
  if (line.tax !== undefined) checkAmount(order, line.tax);
}

function checkAmount(order: Order, amount: Money): void {
  money(amount.minor, amount.currency);
  if (amount.currency !== order.currency) {
    throw new BusinessRefusal(
      'CURRENCY_MISMATCH',
      `Order ${order.id} is in ${order.currency}, but names ${describeMoney(amount)}. Send one currency per order.`,
    );
  }
}

/** What an order is about, as plain JSON: two orders with the same content ask for the same goods to the same place. */
export interface OrderContent {
  currency: string;
  shipTo: Record<string, string>;
  lines: { line: string; sku: string; quantity: Quantity; unitPrice: Money }[];
}

/** The business content for comparison: lines (by id), quantities, prices, currency, ship-to. */
export function orderContent(order: Order): OrderContent {
  return {
    currency: order.currency,
    shipTo: addressContent(order.shipTo),
    lines: order.lines
      .map((line) => ({
        line: line.id,
        sku: line.sku,
        quantity: normalQuantity(line.quantity),
        unitPrice: money(line.unitPrice.minor, line.unitPrice.currency),
      }))
      .sort((a, b) => (a.line < b.line ? -1 : a.line > b.line ? 1 : 0)),
  };
}

/** Whether two versions of an order ask for the same (`orderContent`); notes, names and times do not count. */
export function sameOrderContent(a: Order, b: Order): boolean {
  return JSON.stringify(orderContent(a)) === JSON.stringify(orderContent(b));
}
