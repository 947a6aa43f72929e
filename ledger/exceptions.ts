import { note } from './history.ts';
import { query, queryOne } from './store.ts';

/** What needs a person. */
export interface Exception {
  id: string;
  subject: string;
  code: string;
  message: string;
  orderId: string | null;
  eventId: string | null;
  effectKey: string | null;
  state: 'open' | 'settled';
  raisedAt: number;
  settledAt: number | null;
  settledBy: string | null;
  settlement: string | null;
}

interface Raised {
  /** What it is about; with the code it is raised once, however often a replay finds it again. */
  subject: string;
  code: string;
  /** For people: what is wrong and what to do. */
  message: string;
  orderId?: string | undefined;
  eventId?: string | undefined;
  effectKey?: string | undefined;
}

/** Raises an exception in the transaction that found it. A settled one of the same code and subject opens again. */
export function* raise(at: number, raised: Raised) {
  const known = yield* queryOne<{ state: string; message: string }>(
    `SELECT state, message FROM exception WHERE code = ? AND subject = ?`,
    raised.code,
    raised.subject,
  );
  if (known?.state === 'open' && known.message === raised.message) return;
  yield* query(
    `INSERT INTO exception (subject, code, message, order_id, event_id, effect_key, state, raised_at) VALUES (?, ?, ?, ?, ?, ?, 'open', ?)
     ON CONFLICT (code, subject) DO UPDATE SET message = excluded.message, event_id = excluded.event_id, effect_key = excluded.effect_key,
       state = 'open', raised_at = excluded.raised_at, settled_at = NULL, settled_by = NULL, settlement = NULL`,
    raised.subject,
    raised.code,
    raised.message,
    raised.orderId,
    raised.eventId === undefined ? null : Number(raised.eventId),
    raised.effectKey,
    at,
  );
  yield* note(at, {
    orderId: raised.orderId,
    eventId: raised.eventId,
    what: 'exception',
    subject: raised.subject,
    detail: { code: raised.code, message: raised.message },
  });
}

/** Settles what is open about a subject, because it came right (`by` = 'dropline') or a person settled it. */
export function* settle(
  at: number,
  filter: { id: string } | { subject: string; code?: string },
  by: string,
  settlement: string,
) {
  const rows =
    'id' in filter
      ? yield* query<{ id: number; order_id: string | null; subject: string; code: string }>(
          `UPDATE exception SET state = 'settled', settled_at = ?, settled_by = ?, settlement = ? WHERE id = ? AND state = 'open'
           RETURNING id, order_id, subject, code`,
          at,
          by,
          settlement,
          Number(filter.id),
        )
      : yield* query<{ id: number; order_id: string | null; subject: string; code: string }>(
          `UPDATE exception SET state = 'settled', settled_at = ?, settled_by = ?, settlement = ? WHERE subject = ? AND state = 'open' AND (CAST(? AS TEXT) IS NULL OR code = ?)
           RETURNING id, order_id, subject, code`,
          at,
          by,
          settlement,
          filter.subject,
          filter.code,
          filter.code,
        );
  for (const row of rows) {
    yield* note(at, {
      orderId: row.order_id ?? undefined,
      what: 'exception settled',
      subject: row.subject,
      detail: { code: row.code, by, settlement },
    });
  }
  return rows.length;
}

export function* exceptions(filter: { state?: 'open' | 'settled'; orderId?: string; id?: string } = {}) {
  const rows = yield* query<Record<string, string | number | null>>(
    `SELECT * FROM exception WHERE (CAST(? AS TEXT) IS NULL OR state = ?) AND (CAST(? AS TEXT) IS NULL OR order_id = ?) AND (CAST(? AS BIGINT) IS NULL OR id = ?) ORDER BY raised_at DESC, id DESC LIMIT 1000`,
    filter.state,
    filter.state,
    filter.orderId,
    filter.orderId,
    filter.id === undefined ? null : Number(filter.id),
    filter.id === undefined ? null : Number(filter.id),
  );
  return rows.map(
    (row) =>
      ({
        id: String(row['id']),
        subject: row['subject'],
        code: row['code'],
        message: row['message'],
        orderId: row['order_id'],
        eventId: row['event_id'] === null ? null : String(row['event_id']),
        effectKey: row['effect_key'],
        state: row['state'],
        raisedAt: row['raised_at'],
        settledAt: row['settled_at'],
        settledBy: row['settled_by'],
        settlement: row['settlement'],
      }) as Exception,
  );
}
