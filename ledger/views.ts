import type { Bill } from '../orders/bill.ts';
import type { Order } from '../orders/order.ts';
import type { Payment, PaymentRun } from '../orders/payment.ts';
import { progress, type Progress } from '../orders/progress.ts';
import type { PurchaseOrder } from '../orders/purchase-order.ts';
import type { Shipment } from '../orders/shipment.ts';
import { documentsOf, documentState, getDocument } from './documents.ts';
import { exceptions, type Exception } from './exceptions.ts';
import { historyOf, type HistoryEntry } from './history.ts';
import { query, type Transaction } from './store.ts';

/** Everything that is known of one order: where it stands with the shop, the ERP, each supplier and the bank. */
export interface OrderView {
  order: Order;
  /** `taken`, `complete` or `cancelled`. */
  state: string;
  purchaseOrders: PurchaseOrder[];
  shipments: Shipment[];
  bills: (Bill & { state: string })[];
  payments: Payment[];
  progress: Progress;
  exceptions: Exception[];
  history: HistoryEntry[];
}

export function* orderView(id: string): Transaction<OrderView | undefined> {
  const order = yield* getDocument('order', id);
  if (!order) return undefined;
  return {
    order,
    state: (yield* documentState('order', id)) ?? 'taken',
    ...(yield* orderParts(order)),
    exceptions: yield* exceptions({ orderId: id }),
    history: yield* historyOf(id),
  };
}

/** The documents of an order and how far they bring it: what `order-when` and completion ask. */
export function* orderParts(order: Order) {
  const purchaseOrders = yield* documentsOf('purchase-order', order.id);
  const shipments = yield* documentsOf('shipment', order.id);
  const bills: (Bill & { state: string })[] = [];
  for (const bill of yield* documentsOf('bill', order.id))
    bills.push({ ...bill, state: (yield* documentState('bill', bill.id)) ?? 'received' });
  const payments = yield* documentsOf('payment', order.id);
  return {
    purchaseOrders,
    shipments,
    bills,
    payments,
    progress: progress({
      order,
      purchaseOrders,
      undeliverable: order.undeliverable ?? [],
      bills: bills.map((bill) => ({ number: bill.number, paid: bill.state === 'paid' })),
    }),
  };
}

export function* orderProgress(id: string): Transaction<Progress | undefined> {
  const order = yield* getDocument('order', id);
  return order ? (yield* orderParts(order)).progress : undefined;
}

/** Orders, newest first. */
export function* orderList(
  limit: number,
): Transaction<{ id: string; state: string; updatedAt: number; number: string; shop: string }[]> {
  const rows = yield* query<{ id: string; state: string; updated_at: number; body: string }>(
    `SELECT id, state, updated_at, body FROM document WHERE kind = 'order' ORDER BY updated_at DESC LIMIT ?`,
    limit,
  );
  return rows.map((row) => {
    const order = JSON.parse(row.body) as Order;
    return { id: row.id, state: row.state, updatedAt: Number(row.updated_at), number: order.number, shop: order.shop };
  });
}

export function* runList(limit: number): Transaction<PaymentRun[]> {
  const rows = yield* query<{ body: string }>(
    `SELECT body FROM document WHERE kind = 'payment-run' ORDER BY updated_at DESC LIMIT ?`,
    limit,
  );
  return rows.map((row) => JSON.parse(row.body) as PaymentRun);
}

export interface EffectView {
  key: string;
  eventId: string;
  orderId: string | null;
  partner: string | null;
  kind: string;
  document: string;
  step: string | null;
  state: string;
  attempt: number;
  result: unknown;
  error: string | null;
}

/** Effects, for the checker and the desk. */
export function* effectList(filter: { orderId?: string } = {}): Transaction<EffectView[]> {
  const rows = yield* query<Record<string, string | number | null>>(
    `SELECT key, event_id, order_id, partner, kind, document, step, state, attempt, result, error FROM effect WHERE (CAST(? AS TEXT) IS NULL OR order_id = ?) ORDER BY first_started_at, key`,
    filter.orderId,
    filter.orderId,
  );
  return rows.map((row) => ({
    key: String(row['key']),
    eventId: String(row['event_id']),
    orderId: row['order_id'] as string | null,
    partner: row['partner'] as string | null,
    kind: String(row['kind']),
    document: String(row['document']),
    step: row['step'] as string | null,
    state: String(row['state']),
    attempt: Number(row['attempt']),
    result: row['result'] === null ? undefined : (JSON.parse(String(row['result'])) as unknown),
    error: row['error'] as string | null,
  }));
}

/** Whether anything is still to be done by itself: open events and when the next is due. */
export function* openWork(): Transaction<{ state: string; n: number }[]> {
  const rows = yield* query<{ state: string; n: number }>(`SELECT state, COUNT(*) AS n FROM event GROUP BY state`);
  return rows.map((row) => ({ state: row.state, n: Number(row.n) }));
}
