import { actionsOf, type Action, type Situation } from './actions.ts';
import { note } from './history.ts';
import { query, queryOne, type Transaction } from './store.ts';

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
  /** What a person can safely do about it as things stand; none once it is settled. */
  actions: Action[];
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

export interface ExceptionFilter {
  state?: 'open' | 'settled';
  orderId?: string;
  id?: string;
}

/** Exceptions, newest first, with the actions that are safe. */
export function* exceptions(filter: ExceptionFilter = {}): Transaction<Exception[]> {
  return (yield* exceptionsAsTheyStand(filter)).map(({ exception }) => exception);
}

/** The key of a person's decision about an exception: one for each time that it was raised, whoever is first. */
export function decisionKey(exception: { id: string; raisedAt: number }): string {
  return `decision:${exception.id}:${exception.raisedAt}`;
}

/** With what decides about the actions, for those who carry one out. */
export function* exceptionsAsTheyStand(
  filter: ExceptionFilter,
): Transaction<{ exception: Exception; situation: Situation }[]> {
  const wanted = [
    ...(filter.state === undefined ? [] : [{ where: 'x.state = ?', value: filter.state }]),
    ...(filter.orderId === undefined ? [] : [{ where: 'x.order_id = ?', value: filter.orderId }]),
    ...(filter.id === undefined ? [] : [{ where: 'x.id = ?', value: Number(filter.id) }]),
  ];
  const rows = yield* query<ExceptionRow>(
    `SELECT x.*, v.state AS event_state, e.kind AS effect_kind, e.state AS effect_state, e.adopts AS adopts, e.given AS given, o.state AS order_state,
       CASE WHEN EXISTS (SELECT 1 FROM document p WHERE p.order_id = x.order_id AND p.kind = 'purchase-order' AND (p.state NOT IN ('allocated', 'cancelled')
         OR (p.state = 'allocated' AND EXISTS (SELECT 1 FROM effect s WHERE s.order_id = p.order_id AND s.kind = 'po-send' AND s.document = p.id
           AND s.state IN ('sending', 'in-doubt', 'asked', 'done'))))) THEN 1 ELSE 0 END AS has_left,
       CASE WHEN EXISTS (SELECT 1 FROM event d WHERE d.order_id = x.order_id
         AND d.dedupe_key = 'decision:' || CAST(x.id AS TEXT) || ':' || CAST(x.raised_at AS TEXT)) THEN 1 ELSE 0 END AS decided
     FROM exception x LEFT JOIN event v ON v.id = x.event_id LEFT JOIN effect e ON e.key = x.effect_key
       LEFT JOIN document o ON o.kind = 'order' AND o.id = x.order_id
     WHERE ${['1 = 1', ...wanted.map(({ where }) => where)].join(' AND ')}
     ORDER BY x.raised_at DESC, x.id DESC LIMIT 1000`,
    ...wanted.map(({ value }) => value),
  );
  return rows.map((row) => {
    const situation: Situation = {
      code: row.code,
      event: row.event_state === null ? undefined : { state: row.event_state },
      effect:
        row.effect_kind === null || row.effect_state === null
          ? undefined
          : {
              kind: row.effect_kind,
              state: row.effect_state,
              adopts: Number(row.adopts) === 1,
              given: row.given !== null,
            },
      order: row.order_state === null ? undefined : { state: row.order_state, left: Number(row.has_left) === 1 },
      decided: Number(row.decided) === 1,
    };
    const exception: Exception = {
      id: String(row.id),
      subject: row.subject,
      code: row.code,
      message: row.message,
      orderId: row.order_id,
      eventId: row.event_id === null ? null : String(row.event_id),
      effectKey: row.effect_key,
      state: row.state,
      raisedAt: Number(row.raised_at),
      settledAt: row.settled_at === null ? null : Number(row.settled_at),
      settledBy: row.settled_by,
      settlement: row.settlement,
      actions: row.state === 'open' ? actionsOf(situation) : [],
    };
    return { exception, situation };
  });
}

interface ExceptionRow {
  id: number;
  subject: string;
  code: string;
  message: string;
  order_id: string | null;
  event_id: number | null;
  effect_key: string | null;
  state: 'open' | 'settled';
  raised_at: number;
  settled_at: number | null;
  settled_by: string | null;
  settlement: string | null;
  event_state: string | null;
  effect_kind: string | null;
  effect_state: string | null;
  adopts: number | null;
  given: string | null;
  order_state: string | null;
  has_left: number;
  decided: number;
}
