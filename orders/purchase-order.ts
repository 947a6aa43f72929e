import type { Acknowledgement, AcknowledgedLine, Cancellation } from './acknowledgement.ts';
import { addressContent, type Address } from './address.ts';
import type { Allocation } from './allocation.ts';
import type { Bill } from './bill.ts';
import { BusinessRefusal } from './errors.ts';
import { describeMoney, money, sameMoney, sum, times, type Money } from './money.ts';
import type { AffectedLine, ErpRecord, Order } from './order.ts';
import { add, compare, isZero, larger, normalQuantity, smaller, subtract, total, type Quantity } from './quantity.ts';
import type { Shipment } from './shipment.ts';

/** One supplier's share of one order. `id` is its number everywhere: the order's id and a count, `shop-nz-1001-2`. */
export interface PurchaseOrder {
  type: 'purchase-order';
  id: string;
  orderId: string;
  /** Reference of the supplier. */
  supplier: string;
  /** Which routing round made it, from 1. */
  round: number;
  createdAt: string;
  currency: string;
  shipTo: Address;
  lines: PurchaseOrderLine[];
  /** What the supplier is expected to charge for shipping and handling. */
  shipping: Money;
  /** Goods and shipping, before tax. */
  total: Money;
  /** Counts reductions and cancellations, from 0. */
  revision: number;
  state: PurchaseOrderState;
  erp?: ErpRecord;
  /** The revision that the ERP's purchase order agrees with; missing: the first. */
  erpRevision?: number;
  /** What the supplier calls it, once sent or acknowledged. */
  supplierOrderId?: string;
  sentAt?: string;
  /** The supplier's documents that are already counted in the lines, such as `shipment vineyard/SH-12`: each counts once. */
  applied?: string[];
  /** Time of the latest acknowledgement that is counted; an older one that arrives late does not take back what a later one accepted. */
  acknowledgedAt?: string;
}

export interface PurchaseOrderLine {
  /** Counts from "1" within the purchase order. */
  id: string;
  /** `OrderLine.id` */
  orderLine: string;
  sku: string;
  /** The supplier's own article number, where the offer names one. */
  supplierSku?: string;
  name: string;
  quantity: Quantity;
  unitCost: Money;
  /** Confirmed by the supplier so far. */
  accepted: Quantity;
  /** Given back by the supplier (rejected, back-ordered, cancelled) so far. */
  freed: Quantity;
  shipped: Quantity;
  billed: Quantity;
}

/** Only forward: allocated, sent, acknowledged, partly-shipped, shipped; or cancelled when nothing of it is left. */
export type PurchaseOrderState = 'allocated' | 'sent' | 'acknowledged' | 'partly-shipped' | 'shipped' | 'cancelled';

/**
 * One purchase order per supplier of the allocation, in the allocation's order. Numbers are `<order.id>-<n>` and go on after
 * `existing`, all purchase orders that the order ever had. They share nothing with each other, the order or the offers: each goes its own way
 * through a flow that may change it.
 * @throws BusinessRefusal `LINE_UNKNOWN` when the allocation names a line that the order does not have
 */
export function createPurchaseOrders(
  order: Order,
  allocation: Pick<Allocation, 'lines' | 'parcels'>,
  context: { round: number; at: string; existing: readonly Pick<PurchaseOrder, 'id'>[] },
): PurchaseOrder[] {
  const prefix = `${order.id}-`;
  const counts = context.existing
    .filter((po) => po.id.startsWith(prefix))
    .map((po) => Number(po.id.slice(prefix.length)));
  let count = Math.max(0, ...counts.filter(Number.isSafeInteger));
  return allocation.parcels.map((parcel) => {
    const lines = allocation.lines
      .filter((line) => line.supplier === parcel.supplier)
      .map((line, index): PurchaseOrderLine => {
        const orderLine = order.lines.find((candidate) => candidate.id === line.orderLine);
        if (!orderLine) throw lineUnknown(`Order ${order.id} has no line ${line.orderLine}; it cannot be ordered.`);
        return {
          id: String(index + 1),
          orderLine: orderLine.id,
          sku: orderLine.sku,
          ...(line.supplierSku === undefined ? {} : { supplierSku: line.supplierSku }),
          name: orderLine.name,
          quantity: line.quantity,
          unitCost: { ...line.unitCost },
          accepted: '0',
          freed: '0',
          shipped: '0',
          billed: '0',
        };
      });
    const po: PurchaseOrder = {
      type: 'purchase-order',
      id: `${prefix}${++count}`,
      orderId: order.id,
      supplier: parcel.supplier,
      round: context.round,
      createdAt: context.at,
      currency: parcel.shipping.currency,
      shipTo: { ...order.shipTo },
      lines,
      shipping: parcel.shipping,
      total: money(0, parcel.shipping.currency),
      revision: 0,
      state: 'allocated',
    };
    return { ...po, total: totalOf(po) };
  });
}

/** What is still wanted of a line: ordered less given back. */
export function liveQuantity(line: PurchaseOrderLine): Quantity {
  return subtract(line.quantity, line.freed);
}

/** What has yet to ship of a line. */
export function remaining(line: PurchaseOrderLine): Quantity {
  return subtract(liveQuantity(line), line.shipped);
}

/** Whether nothing of the purchase order is wanted any more. */
export function isEmpty(po: PurchaseOrder): boolean {
  return po.lines.every((line) => isZero(liveQuantity(line)));
}

/** What a purchase order asks for, as plain JSON: equal content means the same goods at the same cost to the same place. */
export interface PurchaseOrderContent {
  supplier: string;
  currency: string;
  shipTo: Record<string, string>;
  lines: { line: string; sku: string; quantity: Quantity; unitCost: Money }[];
}

/** The business content for comparison: supplier, lines with what is still wanted and its cost, currency, ship-to. */
export function purchaseOrderContent(po: PurchaseOrder): PurchaseOrderContent {
  return {
    supplier: po.supplier,
    currency: po.currency,
    shipTo: addressContent(po.shipTo),
    lines: po.lines
      .filter((line) => !isZero(liveQuantity(line)))
      .map((line) => ({
        line: line.id,
        sku: line.sku,
        quantity: liveQuantity(line),
        unitCost: money(line.unitCost.minor, line.unitCost.currency),
      })),
  };
}

/**
 * Finds our lines in a supplier's document whose lines may name only the SKU (ours or the supplier's own article number).
 * The SKU comes back as ours.
 * @throws BusinessRefusal `LINE_UNKNOWN` when a line fits none of ours, or more than one
 */
export function resolveLines<Line extends { line?: string; sku: string }>(
  po: PurchaseOrder,
  lines: readonly Line[],
): (Line & { line: string; orderLine: string; sku: string })[] {
  return lines.map((line) => {
    const fitting = po.lines.filter(
      (ours) =>
        (line.line === undefined || line.line === ours.id) &&
        ((line.line !== undefined && line.sku === '') || line.sku === ours.sku || line.sku === ours.supplierSku),
    );
    const [ours] = fitting;
    const named = line.line === undefined ? `"${line.sku}"` : `line ${line.line} "${line.sku}"`;
    if (!ours) {
      const known = po.lines.map((each) => `${each.id} "${each.sku}"`).join(', ');
      throw lineUnknown(`The supplier names ${named}, which ${po.id} does not have. Its lines are ${known}.`);
    }
    if (fitting.length > 1) {
      const several = fitting.map((each) => each.id).join(' and ');
      throw lineUnknown(
        `The supplier names ${named}, which fits lines ${several} of ${po.id}. Ask the supplier to repeat our line numbers.`,
      );
    }
    return { ...line, line: ours.id, orderLine: ours.orderLine, sku: ours.sku };
  });
}

/** The purchase order has left for the supplier. */
export function markSent(po: PurchaseOrder, sent: { at: string; supplierOrderId?: string }): PurchaseOrder {
  return settled({
    ...po,
    sentAt: po.sentAt ?? sent.at,
    ...(sent.supplierOrderId === undefined ? {} : { supplierOrderId: sent.supplierOrderId }),
  });
}

/** A purchase order after a document of the supplier, and what that document gave back for others to deliver. */
export interface Reduced {
  po: PurchaseOrder;
  freed: AffectedLine[];
}

/**
 * Counts the supplier's answer. What is rejected or back-ordered is given back, and so is the rest of a line that is accepted in part;
 * what has shipped is never given back. `differences` are sentences for a person: another cost (ours stays), more than was ordered
 * (the line stays as it is), goods that were given back before. The same acknowledgement twice changes nothing.
 * @throws BusinessRefusal `LINE_UNKNOWN`, `OTHER_PURCHASE_ORDER`
 */
export function applyAcknowledgement(po: PurchaseOrder, ack: Acknowledgement): Reduced & { differences: string[] } {
  checkBelongs(po, ack);
  if (isApplied(po, ack)) return { po, freed: [], differences: [] };
  const answers = groupByLine(po, ack.lines);
  const late = po.acknowledgedAt !== undefined && ack.at < po.acknowledgedAt;
  const differences: string[] = [];
  const freed: AffectedLine[] = [];
  const lines = po.lines.map((line) => {
    const rows = answers.get(line.id);
    if (!rows) return line;
    const answer = answerOf(po, line, rows, late);
    differences.push(...answer.differences);
    if (!isZero(answer.freed)) freed.push(affected(line, answer.freed, reasonOf(po, rows)));
    const after = { ...line, freed: add(line.freed, answer.freed) };
    return { ...after, accepted: smaller(larger(line.accepted, answer.accepted), liveQuantity(after)) };
  });
  const acknowledgedAt = late ? po.acknowledgedAt : ack.at;
  const after = applied({ ...po, lines, sentAt: po.sentAt ?? ack.at }, ack, freed);
  return {
    po: {
      ...after,
      ...(acknowledgedAt === undefined ? {} : { acknowledgedAt }),
      ...(ack.supplierOrderId === undefined ? {} : { supplierOrderId: ack.supplierOrderId }),
    },
    freed,
    differences,
  };
}

function answerOf(po: PurchaseOrder, line: PurchaseOrderLine, rows: AcknowledgedLine[], late: boolean) {
  const differences: string[] = [];
  const what = `line ${line.id} "${line.sku}" of ${po.id}`;
  for (const row of rows) {
    if (row.unitCost && !sameMoney(row.unitCost, line.unitCost)) {
      differences.push(
        `${po.supplier} names ${describeMoney(row.unitCost)} for ${what}; ordered at ${describeMoney(line.unitCost)}.`,
      );
    }
  }
  const live = liveQuantity(line);
  const taken = rows.filter((row) => row.status === 'accepted' || row.status === 'changed');
  const given = rows.filter((row) => row.status === 'rejected' || row.status === 'backordered');
  const confirmed = total(taken.map((row) => row.quantity));
  // "Rejected: 0" is how some suppliers write that nothing of the line will come.
  const back = given.some((row) => isZero(row.quantity))
    ? subtract(live, confirmed)
    : total(given.map((row) => row.quantity));
  if (compare(add(confirmed, back), line.quantity) > 0) {
    differences.push(`${po.supplier} answers for ${add(confirmed, back)} of ${what}; ordered were ${line.quantity}.`);
    return { accepted: '0', freed: '0', differences };
  }
  if (compare(confirmed, live) > 0) {
    differences.push(
      `${po.supplier} accepts ${confirmed} of ${what}, but ${line.freed} of ${line.quantity} were given back before and may come from elsewhere.`,
    );
  }
  // A line that is accepted in part answers for the whole line. A line that is only given back does not say whether it repeats
  // what was given back before, so that is not given back again.
  const rest = subtract(live, larger(confirmed, line.shipped));
  const whole = compare(back, line.quantity) === 0;
  const wanted = taken.length > 0 || whole ? rest : subtract(back, line.freed);
  if (taken.length === 0 && !whole && !isZero(line.freed)) {
    differences.push(
      `${po.supplier} gives back ${back} of ${what}, of which ${line.freed} were given back before. Ask ${po.supplier} how many will come.`,
    );
  }
  const kept = late ? larger(line.accepted, line.shipped) : line.shipped;
  const freed = smaller(wanted, subtract(live, kept));
  if (compare(add(back, kept), line.quantity) > 0 || compare(wanted, subtract(live, kept)) > 0) {
    const why = compare(line.shipped, kept) === 0 ? 'shipped' : 'been accepted by a later answer';
    differences.push(
      `${po.supplier} gives back ${larger(back, wanted)} of ${what}, but ${kept} of ${line.quantity} have ${why}.`,
    );
  }
  return { accepted: confirmed, freed, differences };
}

/**
 * Counts a shipment; what ships is thereby accepted. The same shipment twice changes nothing.
 * @throws BusinessRefusal `SHIPPED_MORE_THAN_ORDERED`, `LINE_UNKNOWN`, `OTHER_PURCHASE_ORDER`
 */
export function applyShipment(po: PurchaseOrder, shipment: Shipment): PurchaseOrder {
  checkBelongs(po, shipment);
  if (isApplied(po, shipment)) return po;
  const rows = groupByLine(po, shipment.lines);
  const lines = po.lines.map((line) => {
    const quantity = total((rows.get(line.id) ?? []).map((row) => row.quantity));
    if (compare(quantity, remaining(line)) > 0) {
      throw new BusinessRefusal(
        'SHIPPED_MORE_THAN_ORDERED',
        `Shipment ${shipment.number} brings ${quantity} of line ${line.id} "${line.sku}" of ${po.id}, but only ${remaining(line)} can still ship: ` +
          `${line.quantity} ordered, ${line.freed} given back, ${line.shipped} shipped before. Ask ${po.supplier} what was sent.`,
      );
    }
    const shipped = add(line.shipped, quantity);
    return { ...line, shipped, accepted: larger(line.accepted, shipped) };
  });
  return applied({ ...po, lines, sentAt: po.sentAt ?? shipment.shippedAt }, shipment, []);
}

/**
 * Counts the supplier's answer to a cancellation. Refused: nothing changes. Accepted: its lines are given back, all of them when it
 * names none; what was given back before counts once. The same answer twice changes nothing.
 * @throws BusinessRefusal `CANCELLED_AFTER_SHIPPING` when it covers what has shipped, `LINE_UNKNOWN`, `OTHER_PURCHASE_ORDER`
 */
export function applyCancellation(po: PurchaseOrder, cancellation: Cancellation): Reduced {
  checkBelongs(po, cancellation);
  if (isApplied(po, cancellation)) return { po, freed: [] };
  if (!cancellation.accepted) return { po: applied(po, cancellation, []), freed: [] };
  const rows = groupByLine(po, cancellation.lines);
  const whole = cancellation.lines.length === 0;
  const freed: AffectedLine[] = [];
  const lines = po.lines.map((line) => {
    const quantity = whole ? remaining(line) : total((rows.get(line.id) ?? []).map((row) => row.quantity));
    if (compare(add(quantity, line.shipped), line.quantity) > 0) {
      throw new BusinessRefusal(
        'CANCELLED_AFTER_SHIPPING',
        `${po.supplier} cancels ${quantity} of line ${line.id} "${line.sku}" of ${po.id}, but of ${line.quantity} ordered ${line.shipped} have shipped. Ask ${po.supplier} which is true.`,
      );
    }
    const back = smaller(quantity, remaining(line));
    if (isZero(back)) return line;
    freed.push(affected(line, back, cancellation.reason ?? `cancelled by ${po.supplier}`));
    const after = { ...line, freed: add(line.freed, back) };
    return { ...after, accepted: smaller(line.accepted, liveQuantity(after)) };
  });
  return { po: applied({ ...po, lines }, cancellation, freed), freed };
}

/**
 * Counts a bill that `matchBill` has matched, or a person accepted. The same bill twice changes nothing.
 * @throws BusinessRefusal `BILLED_MORE_THAN_ORDERED`, `LINE_UNKNOWN`, `OTHER_PURCHASE_ORDER`
 */
export function applyBill(po: PurchaseOrder, bill: Bill): PurchaseOrder {
  checkBelongs(po, bill);
  if (isApplied(po, bill)) return po;
  const rows = groupByLine(po, bill.lines);
  const lines = po.lines.map((line) => {
    const billed = add(line.billed, total((rows.get(line.id) ?? []).map((row) => row.quantity)));
    if (compare(billed, liveQuantity(line)) > 0) {
      throw new BusinessRefusal(
        'BILLED_MORE_THAN_ORDERED',
        `With bill ${bill.number}, ${billed} of line ${line.id} "${line.sku}" of ${po.id} are billed, but only ${liveQuantity(line)} were ordered and kept. Ask ${po.supplier} for a corrected bill.`,
      );
    }
    return { ...line, billed };
  });
  return applied({ ...po, lines }, bill, []);
}

type SupplierDocument = Acknowledgement | Shipment | Cancellation | Bill;

function checkBelongs(po: PurchaseOrder, document: SupplierDocument): void {
  if (document.purchaseOrder === po.id && document.supplier === po.supplier) return;
  throw new BusinessRefusal(
    'OTHER_PURCHASE_ORDER',
    `${document.type} ${document.id} of ${document.supplier} is about ${document.purchaseOrder}, not about ${po.id} of ${po.supplier}.`,
  );
}

function isApplied(po: PurchaseOrder, document: SupplierDocument): boolean {
  return po.applied?.includes(`${document.type} ${document.id}`) ?? false;
}

function applied(po: PurchaseOrder, document: SupplierDocument, freed: AffectedLine[]): PurchaseOrder {
  return settled({
    ...po,
    applied: [...(po.applied ?? []), `${document.type} ${document.id}`],
    revision: freed.length > 0 ? po.revision + 1 : po.revision,
  });
}

function groupByLine<Row extends { line: string; sku: string }>(po: PurchaseOrder, rows: readonly Row[]) {
  const groups = new Map<string, Row[]>();
  for (const row of resolveLines(po, rows)) groups.set(row.line, [...(groups.get(row.line) ?? []), row]);
  return groups;
}

/** State and total follow from the lines. */
function settled(po: PurchaseOrder): PurchaseOrder {
  return { ...po, state: forward(po.state, stateOf(po)), total: totalOf(po) };
}

function stateOf(po: PurchaseOrder): PurchaseOrderState {
  if (isEmpty(po)) return 'cancelled';
  if (po.lines.every((line) => isZero(remaining(line)))) return 'shipped';
  if (po.lines.some((line) => !isZero(line.shipped))) return 'partly-shipped';
  if (po.lines.every((line) => compare(line.accepted, liveQuantity(line)) >= 0)) return 'acknowledged';
  return po.sentAt === undefined ? 'allocated' : 'sent';
}

const STATES: PurchaseOrderState[] = ['allocated', 'sent', 'acknowledged', 'partly-shipped', 'shipped', 'cancelled'];

function forward(current: PurchaseOrderState, next: PurchaseOrderState): PurchaseOrderState {
  return STATES.indexOf(next) > STATES.indexOf(current) ? next : current;
}

function totalOf(po: PurchaseOrder): Money {
  const goods = po.lines.map((line) => times(line.unitCost, liveQuantity(line)));
  return sum(isEmpty(po) ? goods : [...goods, po.shipping], po.currency);
}

function affected(line: PurchaseOrderLine, quantity: Quantity, reason: string): AffectedLine {
  return { orderLine: line.orderLine, sku: line.sku, quantity: normalQuantity(quantity), reason };
}

function reasonOf(po: PurchaseOrder, rows: AcknowledgedLine[]): string {
  const back = rows.find((row) => row.status === 'rejected' || row.status === 'backordered');
  if (back?.reason) return back.reason;
  if (back) return `${back.status === 'rejected' ? 'rejected' : 'back-ordered'} by ${po.supplier}`;
  return rows.find((row) => row.reason)?.reason ?? `${po.supplier} delivers less than was ordered`;
}

function lineUnknown(message: string): BusinessRefusal {
  return new BusinessRefusal('LINE_UNKNOWN', message);
}
