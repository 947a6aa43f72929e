import type { InboundFact } from '../partners/adapter.ts';
import type { Core } from './core.ts';
import { contentHash } from './effects.ts';
import { query, queryOne, type Transaction } from './store.ts';

/**
 * An inbound fact on its way through: `stored` (not judged yet), `waiting` (for something that must come first), `open` (the
 * flow is at it), `closed`, `unusable` (an exception says why), `quarantined` (it failed too often).
 */
export type EventState = 'stored' | 'waiting' | 'open' | 'closed' | 'unusable' | 'quarantined';

/** A message for the flow: which outcome it is, and the document. Fixed when the event is judged, so a replay sends the same. */
export interface Emit {
  outcome: string;
  payload: { type: string; [field: string]: unknown };
  orderId?: string;
}

export interface LedgerEvent {
  id: string;
  partner: string;
  kind: string;
  orderId: string | null;
  body: unknown;
  state: EventState;
  emits: Emit[] | null;
  attempts: number;
  /** How often it was emitted before. */
  emitted: number;
  storedAt: number;
}

export interface EventRow {
  id: number;
  partner: string;
  kind: string;
  order_id: string | null;
  body: string;
  state: EventState;
  emits: string | null;
  note: string | null;
  suspicion: string | null;
  attempts: number;
  emitted: number;
  stored_at: number;
}

/**
 * Commits facts before their sender is answered. A repeat of the same fact changes nothing; the same business key with
 * another content is kept beside the first and judged on its own.
 * @param raw the body as it came in, kept for the record where it is not to the letter what is written down of it
 */
export async function storeFacts(
  core: Core,
  partner: string,
  facts: InboundFact<string>[],
  raw: string | undefined,
): Promise<{ stored: number; repeated: number }> {
  const ids = await core.transact('store', function* (): Transaction<(string | undefined)[]> {
    const inserted: (string | undefined)[] = [];
    for (const { kind, dedupeKey, body } of facts)
      inserted.push(yield* insertEvent(core, { partner, kind, dedupeKey, body, raw }));
    return inserted;
  });
  facts.forEach(({ kind }, index) => {
    const eventId = ids[index];
    core.observe(
      eventId === undefined
        ? { what: 'event repeated', partner, kind }
        : { what: 'event stored', partner, kind, eventId },
    );
  });
  const stored = ids.filter((id) => id !== undefined).length;
  return { stored, repeated: facts.length - stored };
}

interface NewEvent {
  partner: string;
  kind: string;
  dedupeKey: string;
  body: unknown;
  raw?: string | undefined;
  orderId?: string;
}

/** Inserts an event; `undefined` when it is a repeat. */
export function* insertEvent(core: Core, event: NewEvent): Transaction<string | undefined> {
  const hash = contentHash(event.body);
  const id = yield* insertAs(core, event, event.dedupeKey, hash);
  if (id !== undefined) return id;
  const known = yield* queryOne<{ content_hash: string }>(
    `SELECT content_hash FROM event WHERE partner = ? AND dedupe_key = ?`,
    event.partner,
    event.dedupeKey,
  );
  if (known?.content_hash === hash) return undefined;
  return yield* insertAs(core, event, `${event.dedupeKey}#${hash.slice(0, 12)}`, hash);
}

function* insertAs(core: Core, event: NewEvent, key: string, hash: string): Transaction<string | undefined> {
  const now = core.now();
  const body = JSON.stringify(event.body);
  const row = yield* queryOne<{ id: number }>(
    `INSERT INTO event (partner, kind, dedupe_key, content_hash, order_id, body, raw, state, owner, stored_at, due_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, 'stored', ?, ?, ?) ON CONFLICT (partner, dedupe_key) DO NOTHING RETURNING id`,
    event.partner,
    event.kind,
    key,
    hash,
    event.orderId,
    body,
    // Where it came in just as it is written down, once is enough.
    event.raw === body ? undefined : event.raw,
    core.instance.id,
    now,
    now,
  );
  if (!row) return undefined;
  core.stir();
  return String(row.id);
}

/** Without the raw body, which nobody reads on the way. */
export const EVENT_COLUMNS =
  'id, partner, kind, order_id, body, state, emits, note, suspicion, attempts, emitted, stored_at';

export function* getEvent(id: string) {
  const row = yield* queryOne<EventRow>(`SELECT ${EVENT_COLUMNS} FROM event WHERE id = ?`, Number(id));
  return row ? asEvent(row) : undefined;
}

/** Has an event judged (again) or run through the flow again, at once and here. */
export function* rerunEvent(core: Core, id: string, state: 'stored' | 'open') {
  core.stir();
  yield* query(
    `UPDATE event SET state = ?, due_at = ?, owner = ?, attempts = 0, note = NULL, suspicion = NULL, closed_at = NULL WHERE id = ?`,
    state,
    core.now(),
    core.instance.id,
    Number(id),
  );
}

/** Events that wait for something to come first are judged at once, because it may have come. */
export function* hurryWaiting(core: Core, orderId: string, now: number) {
  core.stir();
  yield* query(
    `UPDATE event SET due_at = ? WHERE state = 'waiting' AND (order_id = ? OR order_id IS NULL)`,
    now,
    orderId,
  );
}

export function asEvent(row: EventRow): LedgerEvent {
  return {
    id: String(row.id),
    partner: row.partner,
    kind: row.kind,
    orderId: row.order_id,
    body: JSON.parse(row.body) as unknown,
    state: row.state,
    emits: row.emits ? (JSON.parse(row.emits) as Emit[]) : null,
    attempts: Number(row.attempts),
    emitted: Number(row.emitted),
    storedAt: Number(row.stored_at),
  };
}
