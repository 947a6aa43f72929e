import { query } from './store.ts';

/** One line of an order's history, as the desk shows it. */
export interface HistoryEntry {
  at: number;
  orderId: string | null;
  eventId: string | null;
  what: string;
  subject: string;
  detail: Record<string, unknown>;
}

/** Appends to the history, in the transaction of what happened. Ids, quantities and amounts only: no people, no secrets. */
export function* note(
  at: number,
  entry: {
    orderId?: string | undefined;
    eventId?: string | undefined;
    what: string;
    subject: string;
    detail?: Record<string, unknown>;
  },
) {
  yield* query(
    `INSERT INTO history (at, order_id, event_id, what, subject, detail) VALUES (?, ?, ?, ?, ?, ?)`,
    at,
    entry.orderId,
    entry.eventId === undefined ? null : Number(entry.eventId),
    entry.what,
    entry.subject,
    entry.detail ? JSON.stringify(entry.detail) : null,
  );
}

export function* historyOf(orderId: string) {
  const rows = yield* query<{
    at: number;
    order_id: string | null;
    event_id: number | null;
    what: string;
    subject: string;
    detail: string | null;
  }>(`SELECT at, order_id, event_id, what, subject, detail FROM history WHERE order_id = ? ORDER BY id`, orderId);
  return rows.map((row): HistoryEntry => ({
    at: Number(row.at),
    orderId: row.order_id,
    eventId: row.event_id === null ? null : String(row.event_id),
    what: row.what,
    subject: row.subject,
    detail: row.detail ? (JSON.parse(row.detail) as Record<string, unknown>) : {},
  }));
}
