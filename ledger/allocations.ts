import type { Offer } from '../orders/offer.ts';
import { liveQuantity, type PurchaseOrder } from '../orders/purchase-order.ts';
import { isZero, total } from '../orders/quantity.ts';
import { query, queryOne, type Transaction } from './store.ts';

/** Takes the quantities of new purchase orders off the suppliers' shelves. */
export function* takeStock(po: PurchaseOrder, at: number): Transaction<void> {
  for (const line of po.lines) {
    yield* query(
      `INSERT INTO allocated (purchase_order, line, supplier, sku, quantity, allocated_at) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (purchase_order, line) DO NOTHING`,
      po.id,
      line.id,
      po.supplier,
      line.sku,
      line.quantity,
      at,
    );
  }
}

/** What a supplier gave back no longer counts against its stock. */
export function* releaseStock(po: PurchaseOrder): Transaction<void> {
  for (const line of po.lines) {
    const live = liveQuantity(line);
    if (isZero(live)) yield* query(`DELETE FROM allocated WHERE purchase_order = ? AND line = ?`, po.id, line.id);
    else yield* query(`UPDATE allocated SET quantity = ? WHERE purchase_order = ? AND line = ?`, live, po.id, line.id);
  }
}

/** Once a purchase order has shipped in full, the supplier's next stock figure is known to be without it. */
export function* markShipped(po: PurchaseOrder): Transaction<void> {
  if (po.state === 'shipped') yield* query(`UPDATE allocated SET shipped = 1 WHERE purchase_order = ?`, po.id);
}

/**
 * What our purchase orders still owe to the stock figures of these offers. A figure that has not changed since an allocation was
 * made cannot know of it, shipped or not; a newer figure is taken to be without what has shipped, and with all that has not.
 * @param record false for a dry run, which leaves no trace of the figures that it was asked with
 */
export function* openAllocations(
  offers: readonly Offer[],
  now: number,
  record = true,
): Transaction<{ supplier: string; sku: string; quantity: string }[]> {
  const open: { supplier: string; sku: string; quantity: string }[] = [];
  for (const offer of offers) {
    if (offer.stock === undefined) continue;
    const since = yield* knownSince(offer, offer.stock, now, record);
    // Two questions of one index: the shipped ones of years must not be read to find the newest.
    const rows = yield* query<{ quantity: string }>(
      `SELECT quantity FROM allocated WHERE supplier = ? AND sku = ? AND shipped = 0
       UNION ALL SELECT quantity FROM allocated WHERE supplier = ? AND sku = ? AND shipped = 1 AND allocated_at >= ?`,
      offer.supplier,
      offer.sku,
      offer.supplier,
      offer.sku,
      since,
    );
    if (rows.length > 0)
      open.push({ supplier: offer.supplier, sku: offer.sku, quantity: total(rows.map((row) => row.quantity)) });
  }
  return open;
}

/** Since when this stock figure stands: a figure that is only repeated is no news. */
function* knownSince(offer: Offer, stock: string, now: number, record: boolean): Transaction<number> {
  const known = yield* queryOne<{ stock: string; known_since: number }>(
    `SELECT stock, known_since FROM stock_figure WHERE supplier = ? AND sku = ?`,
    offer.supplier,
    offer.sku,
  );
  if (known?.stock === stock) return Number(known.known_since);
  if (!record) return now;
  yield* query(
    `INSERT INTO stock_figure (supplier, sku, stock, known_since) VALUES (?, ?, ?, ?)
     ON CONFLICT (supplier, sku) DO UPDATE SET stock = excluded.stock, known_since = excluded.known_since`,
    offer.supplier,
    offer.sku,
    stock,
    now,
  );
  return now;
}
