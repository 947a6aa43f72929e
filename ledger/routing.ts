import { allocate, type Explanation, type RoutingQuestion } from '../orders/allocation.ts';
import { ConfigurationMistake } from '../orders/errors.ts';
import type { Offer } from '../orders/offer.ts';
import type { AffectedLine, Order } from '../orders/order.ts';
import { createPurchaseOrders, liveQuantity, type PurchaseOrder } from '../orders/purchase-order.ts';
import { add, compare, isZero, smaller, subtract, total, type Quantity } from '../orders/quantity.ts';
import { openAllocations, releaseStock, takeStock } from './allocations.ts';
import type { Core } from './core.ts';
import { expectStep, stepCame } from './deadlines.ts';
import { documentsOf, getDocument, putDocument } from './documents.ts';
import { hurryWaiting } from './events.ts';
import { raise } from './exceptions.ts';
import { note } from './history.ts';
import { query, type Transaction } from './store.ts';

/** What a routing round decided; recorded, so that a replay finds it whatever offers and rules say by then. */
export type Routed = {
  purchaseOrders: PurchaseOrder[];
  undeliverable: AffectedLine[];
  explanation: Explanation[];
  /** The routing node that decided: a person's answer to what it found goes to it, should it still be there. */
  madeBy?: { node: string };
};

/** The name of a routing round: the first, or the document that freed the lines. */
export function roundOf(freedBy: string | undefined): string {
  return freedBy ?? '1';
}

/**
 * Decides who delivers what, numbers the purchase orders, takes the stock: one decision, in one transaction, so that a
 * hundred orders at once cannot promise the same piece twice.
 * @param freed the lines that a supplier gave back; undefined for the first round of an order
 */
export function* route(
  core: Core,
  eventId: string,
  order: Order,
  freed: { lines: readonly AffectedLine[]; purchaseOrder: string | undefined; freedBy: string | undefined } | undefined,
  question: Pick<RoutingQuestion, 'offers' | 'suppliers' | 'rules' | 'strategy' | 'wholeUnits'>,
  /** By a person's word, suppliers that gave the article back are asked again. */
  again: { include?: boolean } = {},
): Transaction<Routed> {
  const now = core.now();
  const existing = yield* documentsOf('purchase-order', order.id);
  const lines = freed
    ? uncovered(order, existing, freed.lines)
    : order.lines.map((line) => ({ orderLine: line.id, sku: line.sku, quantity: line.quantity }));
  const allocation = allocate({
    ...question,
    lines,
    shipTo: order.shipTo,
    openAllocations: yield* openAllocations(question.offers, now),
    suppliers: yield* withOpenOrders(question.suppliers),
    excluded: again.include ? [] : exclusions(existing),
    orderTotal: order.total,
  });
  const round = existing.reduce((latest, po) => Math.max(latest, po.round), 0) + 1;
  const purchaseOrders = createPurchaseOrders(order, allocation, { round, at: new Date(now).toISOString(), existing });
  for (const po of purchaseOrders) {
    yield* putDocument(po, now);
    yield* takeStock(po, now);
    yield* expectStep(
      `send ${po.id}`,
      `Purchase order ${po.id} has not been sent to ${po.supplier}.`,
      now + core.settings.deadlines.send,
      order.id,
    );
  }
  yield* stepCame(freed?.freedBy ? `route ${order.id} ${freed.freedBy}` : `route ${order.id}`, now);
  yield* hurryWaiting(core, order.id, now);
  for (const line of allocation.explanation) {
    yield* note(now, {
      orderId: order.id,
      eventId,
      what: 'routed',
      subject: `${order.id} line ${line.line}`,
      detail: { why: line.sentence },
    });
  }
  if (allocation.undeliverable.length > 0) {
    yield* raise(now, {
      subject: `route ${order.id} ${roundOf(freed?.freedBy)}`,
      code: 'NOBODY_DELIVERS',
      message: `${allocation.undeliverable.map((line) => line.reason ?? `Nobody can deliver ${line.quantity} of ${line.sku}`).join('. ')}. Find a supplier and add an offer, or tell the customer that it will not come.`,
      orderId: order.id,
      eventId,
    });
  }
  return { purchaseOrders, undeliverable: allocation.undeliverable, explanation: allocation.explanation };
}

/** What is asked for again: never more than the order's lines lack by now. */
export function uncovered(
  order: Order,
  purchaseOrders: readonly PurchaseOrder[],
  freed: readonly AffectedLine[],
): { orderLine: string; sku: string; quantity: Quantity }[] {
  const wanted = new Map<string, Quantity>();
  for (const line of freed) wanted.set(line.orderLine, add(wanted.get(line.orderLine) ?? '0', line.quantity));
  return order.lines.flatMap((line) => {
    const asked = wanted.get(line.id);
    if (asked === undefined) return [];
    const covered = total([
      ...purchaseOrders.flatMap((po) => po.lines.filter((each) => each.orderLine === line.id).map(liveQuantity)),
      ...(order.undeliverable ?? []).filter((each) => each.orderLine === line.id).map((each) => each.quantity),
    ]);
    const lacking = compare(covered, line.quantity) >= 0 ? '0' : subtract(line.quantity, covered);
    const quantity = smaller(asked, lacking);
    return isZero(quantity) ? [] : [{ orderLine: line.id, sku: line.sku, quantity }];
  });
}

/** A purchase order that never left: nothing of it is wanted any more, and its stock is free again. */
export function* takeBack(po: PurchaseOrder, at: number): Transaction<void> {
  const after: PurchaseOrder = {
    ...po,
    lines: po.lines.map((line) => ({ ...line, freed: line.quantity })),
    revision: po.revision + 1,
    state: 'cancelled',
  };
  yield* putDocument(after, at);
  yield* releaseStock(after);
  yield* stepCame(`send ${po.id}`, at);
}

/** A supplier that gave an article back is not asked for it again. */
function exclusions(purchaseOrders: readonly PurchaseOrder[]): { supplier: string; sku: string; reason: string }[] {
  return purchaseOrders.flatMap((po) =>
    po.lines
      .filter((line) => !isZero(line.freed))
      .map((line) => ({ supplier: po.supplier, sku: line.sku, reason: `gave it back (${po.id})` })),
  );
}

function* withOpenOrders(suppliers: RoutingQuestion['suppliers']): Transaction<RoutingQuestion['suppliers']> {
  if (suppliers.every((terms) => terms.openOrderLimit === undefined)) return suppliers;
  const rows = yield* query<{ partner: string; n: number }>(
    `SELECT partner, COUNT(*) AS n FROM document WHERE kind = 'purchase-order' AND state NOT IN ('shipped', 'cancelled') GROUP BY partner`,
  );
  return suppliers.map((terms) => ({
    ...terms,
    openOrders: Number(rows.find((row) => row.partner === terms.supplier)?.n ?? 0),
  }));
}

/**
 * Lines go to another supplier only after the ERP's purchase order was reduced: otherwise it would hold both.
 * @throws ConfigurationMistake `ERP_NOT_REDUCED`
 */
export function* checkReduced(purchaseOrder: string | undefined): Transaction<void> {
  if (purchaseOrder === undefined) return;
  const po = yield* getDocument('purchase-order', purchaseOrder);
  if (po?.erp && (po.erpRevision ?? 0) < po.revision) {
    throw new ConfigurationMistake(
      'ERP_NOT_REDUCED',
      `${po.id} still stands in the ERP with the lines that ${po.supplier} gave back. Put an "erp-change-po" node before "supplier-route" for rejected lines.`,
      {
        status: 'ERP not reduced',
      },
    );
  }
}

/** Offers that are kept in the ledger. */
export function* storedOffers(): Transaction<Offer[]> {
  const rows = yield* query<{ body: string }>(`SELECT body FROM offer ORDER BY supplier, sku`);
  return rows.map((row) => JSON.parse(row.body) as Offer);
}

/** Replaces the offers of one supplier. */
export function* putOffers(supplier: string, offers: readonly Offer[], at: number): Transaction<void> {
  yield* query(`DELETE FROM offer WHERE supplier = ?`, supplier);
  for (const offer of offers) {
    yield* query(
      `INSERT INTO offer (supplier, sku, body, updated_at) VALUES (?, ?, ?, ?) ON CONFLICT (supplier, sku) DO UPDATE SET body = excluded.body`,
      supplier,
      offer.sku,
      JSON.stringify(offer),
      at,
    );
  }
}
