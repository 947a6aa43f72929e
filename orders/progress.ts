import type { AffectedLine, Order } from './order.ts';
import { isEmpty, liveQuantity, type PurchaseOrder, type PurchaseOrderLine } from './purchase-order.ts';
import { compare, subtract, total, type Quantity } from './quantity.ts';

/** What `order-when` can wait for. */
export type Milestone = 'created' | 'acknowledged' | 'shipped' | 'paid';

/** For each milestone: whether the whole order is there, and if not, what it waits for, in sentences. */
export type Progress = Record<Milestone, { reached: boolean; missing: string[] }>;

/**
 * Where an order stands as a whole. Every ordered quantity must be on a purchase order (less what was given back) or reported as one
 * that will not come; and then all purchase orders that are left must be `created` (the ERP knows them), `acknowledged` (the
 * supplier has accepted every line), `shipped` (every line in full), `paid` (shipped, billed in full, every bill paid).
 * An order of which nothing will come reaches nothing: it ends by cancellation.
 */
export function progress(state: {
  order: Pick<Order, 'id' | 'lines'>;
  /** All that the order ever had. */
  purchaseOrders: readonly PurchaseOrder[];
  /** What nobody can deliver or the customer no longer wants, as reported to the shop; all rounds together. */
  undeliverable: readonly AffectedLine[];
  /** All bills of the order. */
  bills: readonly { number: string; paid: boolean }[];
}): Progress {
  const live = state.purchaseOrders.filter((po) => !isEmpty(po));
  const common = uncovered(state.order, state.purchaseOrders, state.undeliverable);
  if (live.length === 0 && common.length === 0) common.push(`Nothing of order ${state.order.id} will be delivered.`);
  const created = live.filter((po) => po.erp === undefined).map((po) => `${po.id} is not in the ERP yet.`);
  const acknowledged = shortOf(live, (line) => line.accepted, 'accepted');
  const shipped = shortOf(live, (line) => line.shipped, 'shipped');
  const paid = [
    ...shipped,
    ...shortOf(live, (line) => line.billed, 'billed'),
    ...state.bills.filter((bill) => !bill.paid).map((bill) => `Bill ${bill.number} is not paid yet.`),
  ];
  const result = (missing: string[]) => ({
    reached: common.length + missing.length === 0,
    missing: [...common, ...missing],
  });
  return {
    created: result(created),
    acknowledged: result(acknowledged),
    shipped: result(shipped),
    paid: result(paid),
  };
}

function uncovered(
  order: Pick<Order, 'id' | 'lines'>,
  purchaseOrders: readonly PurchaseOrder[],
  undeliverable: readonly AffectedLine[],
): string[] {
  return order.lines.flatMap((line) => {
    const covered = total([
      ...purchaseOrders.flatMap((po) => po.lines.filter((each) => each.orderLine === line.id).map(liveQuantity)),
      ...undeliverable.filter((each) => each.orderLine === line.id).map((each) => each.quantity),
    ]);
    if (compare(covered, line.quantity) >= 0) return [];
    return [`${subtract(line.quantity, covered)} of ${line.sku} (line ${line.id}) are on no purchase order.`];
  });
}

function shortOf(
  purchaseOrders: readonly PurchaseOrder[],
  done: (line: PurchaseOrderLine) => Quantity,
  word: string,
): string[] {
  return purchaseOrders.flatMap((po) =>
    po.lines
      .filter((line) => compare(done(line), liveQuantity(line)) < 0)
      .map((line) => `${po.id}: ${done(line)} of ${liveQuantity(line)} ${line.sku} ${word} so far.`),
  );
}
