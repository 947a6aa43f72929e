import { raise } from './exceptions.ts';
import { query, queryOne, type Transaction } from './store.ts';

/**
 * Whether the business gets on is watched apart from the events: what should happen next has a durable due time, and a
 * flow that drops it yields the exception `NOT_PROGRESSING`, which names the missing step.
 */
export function* expectStep(key: string, step: string, dueAt: number, orderId?: string) {
  yield* query(
    `INSERT INTO deadline (key, order_id, step, due_at) VALUES (?, ?, ?, ?) ON CONFLICT (key) DO NOTHING`,
    key,
    orderId,
    step,
    dueAt,
  );
}

/** The step came. An exception that missed it is settled. */
export function* stepCame(key: string, at: number) {
  const rows = yield* query<{ missed: number }>(`DELETE FROM deadline WHERE key = ? RETURNING missed`, key);
  if (rows[0]?.missed) {
    yield* query(
      `UPDATE exception SET state = 'settled', settled_at = ?, settled_by = 'dropline', settlement = 'The step came after all.' WHERE code = 'NOT_PROGRESSING' AND subject = ? AND state = 'open'`,
      at,
      key,
    );
  }
}

/** Exceptions raised in one transaction: after a long standstill there may be thousands, and more would hold up the event loop. */
const RAISED_AT_ONCE = 100;

/** Whether a deadline has passed that nobody has been told of. */
export function* anyMissed(now: number): Transaction<boolean> {
  return (yield* queryOne(`SELECT key FROM deadline WHERE missed = 0 AND due_at <= ? LIMIT 1`, now)) !== undefined;
}

/** Raises an exception for deadlines that have passed, the oldest first: all of them, if they are not too many for one transaction. */
export function* raiseMissed(now: number) {
  const rows = yield* query<{ key: string; order_id: string | null; step: string; due_at: number }>(
    `UPDATE deadline SET missed = 1 WHERE key IN (SELECT key FROM deadline WHERE missed = 0 AND due_at <= ? ORDER BY due_at LIMIT ?)
     RETURNING key, order_id, step, due_at`,
    now,
    RAISED_AT_ONCE,
  );
  for (const row of rows.toSorted((one, other) => Number(one.due_at) - Number(other.due_at))) {
    yield* raise(now, {
      subject: row.key,
      code: 'NOT_PROGRESSING',
      message: `${row.step} Check that the flow has a node for this step, that it is wired, and that its partner answers. Then try it again.`,
      orderId: row.order_id ?? undefined,
    });
  }
  return rows.length;
}

/**
 * The flow has been mended: should the step not come even now, it is told again.
 * @returns the events that the flow was told of the order, or of the bills of a payment run, to be run through it once more: what was done answers
 *   from the ledger, so only what is missing happens
 */
export function* expectAgain(key: string, orderId: string | null, dueAt: number): Transaction<string[]> {
  yield* query(`UPDATE deadline SET missed = 0, due_at = ? WHERE key = ?`, dueAt, key);
  const told = `SELECT id FROM event WHERE state = 'closed' AND emits IS NOT NULL`;
  const rows =
    orderId === null
      ? yield* query<{ id: number }>(
          `${told} AND id IN (SELECT event_id FROM effect WHERE kind = 'payables' AND document = ?)`,
          key.replace(/^\w+ (run-)?/, ''),
        )
      : yield* query<{ id: number }>(`${told} AND order_id = ?`, orderId);
  return rows.map(({ id }) => String(id));
}
