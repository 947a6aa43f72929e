import type { Bill } from '../orders/bill.ts';
import type { Order } from '../orders/order.ts';
import type { Payment, PaymentRun } from '../orders/payment.ts';
import { progress, type Progress } from '../orders/progress.ts';
import type { PurchaseOrder } from '../orders/purchase-order.ts';
import type { Shipment } from '../orders/shipment.ts';
import { documentsOf, documentState, getDocument } from './documents.ts';
import { exceptions, type Exception } from './exceptions.ts';
import { historyOf, type HistoryEntry } from './history.ts';
import { OPEN } from './schema.ts';
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

interface OrderRow {
  id: string;
  state: string;
  updated_at: number;
  body: string;
}

/** How many orders a search reads through; older ones are found by the beginning of their id or by a whole number of a purchase order. */
const SEARCHED = 20_000;

/**
 * Orders, the ones that changed last first.
 * @param search part of the order's id, a purchase order's number, or part of the number that the shop or the ERP calls it by; capital and
 * small letters are the same
 */
export function* orderList(
  limit: number,
  search = '',
): Transaction<{ id: string; state: string; updatedAt: number; number: string; shop: string }[]> {
  const wanted = search.trim().slice(0, 100);
  const rows =
    wanted === ''
      ? yield* query<OrderRow>(
          `SELECT id, state, updated_at, body FROM document WHERE kind = 'order' ORDER BY updated_at DESC LIMIT ?`,
          limit,
        )
      : yield* findOrders(wanted, limit);
  return rows.map((row) => {
    const order = JSON.parse(row.body) as Order;
    return { id: row.id, state: row.state, updatedAt: Number(row.updated_at), number: order.number, shop: order.shop };
  });
}

function* findOrders(wanted: string, limit: number): Transaction<OrderRow[]> {
  const lower = wanted.toLowerCase();
  const begins = yield* query<OrderRow>(
    `SELECT id, state, updated_at, body FROM document WHERE kind = 'order' AND id >= ? AND id < ? ORDER BY id LIMIT ?`,
    lower,
    `${lower}\u{10ffff}`,
    limit,
  );
  const ordered = yield* query<OrderRow>(
    `SELECT o.id, o.state, o.updated_at, o.body FROM document p JOIN document o ON o.kind = 'order' AND o.id = p.order_id
     WHERE p.kind = 'purchase-order' AND p.id IN (?, ?)`,
    wanted,
    lower,
  );
  const recent = yield* query<OrderRow>(
    `SELECT id, state, updated_at, body FROM
       (SELECT id, state, updated_at, body FROM document WHERE kind = 'order' ORDER BY updated_at DESC LIMIT ${SEARCHED}) AS recent
     WHERE LOWER(id) LIKE ? ESCAPE '!' OR LOWER(id) LIKE ? ESCAPE '!' OR LOWER(body) LIKE ? ESCAPE '!' ORDER BY updated_at DESC LIMIT ?`,
    `%${literally(lower)}%`,
    // The number of a purchase order is its order's id and a count.
    `%${literally(lower.replace(/-\d+$/, '') || lower)}`,
    `%"number":"${literally(JSON.stringify(lower).slice(1, -1))}%`,
    limit,
  );
  const found = new Map([...begins, ...ordered, ...recent].map((row) => [row.id, row]));
  return [...found.values()].sort((a, b) => Number(b.updated_at) - Number(a.updated_at)).slice(0, limit);
}

/** For a LIKE pattern whose escape is `!`. */
function literally(text: string): string {
  return text.replace(/[!%_]/g, '!$&');
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
export function* effectList(filter: { orderId?: string; key?: string } = {}): Transaction<EffectView[]> {
  const [where, ...values] =
    filter.key !== undefined
      ? [`key = ?`, filter.key]
      : filter.orderId !== undefined
        ? [`order_id = ?`, filter.orderId]
        : ['1 = 1'];
  const rows = yield* query<Record<string, string | number | null>>(
    `SELECT key, event_id, order_id, partner, kind, document, step, state, attempt, result, error FROM effect WHERE ${where} ORDER BY first_started_at, key`,
    ...values,
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

/** What stays where it is until something comes, and for what: a receiver in the flow, a config node, another document, a retry. */
export function* waitingEvents(): Transaction<
  { id: string; kind: string; partner: string; orderId: string | null; state: string; note: string; dueAt: number }[]
> {
  const rows = yield* query<Record<string, string | number | null>>(
    `SELECT id, kind, partner, order_id, state, note, due_at FROM event WHERE ${OPEN} AND note IS NOT NULL ORDER BY id LIMIT 200`,
  );
  return rows.map((row) => ({
    id: String(row['id']),
    kind: String(row['kind']),
    partner: String(row['partner']),
    orderId: row['order_id'] as string | null,
    state: String(row['state']),
    note: String(row['note']),
    dueAt: Number(row['due_at']),
  }));
}

/** Events that are not at their end, by state. What is closed is not counted: it may be millions. */
export function* openWork(): Transaction<{ state: string; n: number }[]> {
  const rows = yield* query<{ state: string; n: number }>(
    `SELECT state, COUNT(*) AS n FROM event WHERE ${OPEN} GROUP BY state
     UNION ALL SELECT state, COUNT(*) AS n FROM event WHERE state IN ('quarantined', 'unusable') GROUP BY state`,
  );
  return rows.map((row) => ({ state: row.state, n: Number(row.n) }));
}
