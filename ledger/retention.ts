import { asError } from '../orders/errors.ts';
import type { Core } from './core.ts';
import type { RetentionSettings } from './settings.ts';
import { note } from './history.ts';
import { OPEN } from './schema.ts';
import { query, queryKept, queryOne, type Transaction } from './store.ts';

/** Stands where a person's name, address, mail or telephone number stood. */
export const REDACTED = '(removed)';

const DAY = 24 * 3_600_000;

/** Orders, or events of no order, that one transaction takes: a few hundred rows, so that nobody waits for it. */
const ORDERS_AT_A_TIME = 5;
const EVENTS_AT_A_TIME = 100;

/** Milliseconds between two batches, and between two looks when there was nothing left to do. */
const PAUSE = 3000;
const LOOK_EVERY = 3_600_000;

/** Where partners' documents are about a customer. Banks' and our own are about suppliers, approvals and dates. */
const ABOUT_CUSTOMERS = `partner IN (SELECT reference FROM partner WHERE role IN ('ecommerce', 'erp', 'supplier'))`;

/** Fields of our documents that hold a person. */
const PEOPLE = new Set(['customer', 'shipTo', 'billTo']);

/** What of them stays: for tax and statistics, and the shop's own number of its customer, which is an id. */
const IMPERSONAL = new Set(['country', 'shopCustomerId']);

/** Too many other sentences hold these by chance. */
const COMMON = new Set([...IMPERSONAL, 'city', 'region', 'postalCode']);

/** A text of the customer. */
const FREE_TEXT = 'note';

/**
 * Removes personal data from orders that were finished long ago. Ids, quantities, amounts, states, keys and content hashes stay: a
 * repeat of an old event is still recognised, a finished effect still answers, the desk still shows the order. Nothing is done for a
 * redacted order any more (`ORDER_REDACTED`).
 */
export class Retention {
  readonly #core: Core;
  readonly #settings: () => RetentionSettings;
  #cancel: (() => void) | undefined;
  #closed = false;
  #running: Promise<void> = Promise.resolve();
  /** How far this round has come, so that an order that cannot be redacted yet does not keep the others. */
  #after: Position = BEGINNING;

  /** @param settings asked anew each time, because a deploy may change them */
  constructor(core: Core, settings: () => RetentionSettings) {
    this.#core = core;
    this.#settings = settings;
  }

  start(): void {
    this.#next(LOOK_EVERY / 60);
  }

  /** Waits for the batch that is under way. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel?.();
    await this.#running;
  }

  #next(milliseconds: number): void {
    if (this.#closed) return;
    this.#cancel = this.#core.after(milliseconds, () => {
      this.#running = this.batch().then(
        (more) => this.#next(more ? PAUSE : LOOK_EVERY),
        (thrown: unknown) => {
          this.#core.log('warn', `personal data could not be removed yet: ${asError(thrown).message}`);
          this.#next(LOOK_EVERY);
        },
      );
    });
  }

  /** One transaction. Answers whether there may be more to do. */
  async batch(): Promise<boolean> {
    const { redactAfterDays } = this.#settings();
    if (redactAfterDays <= 0) return false;
    const now = this.#core.now();
    const before = now - redactAfterDays * DAY;
    const after = this.#after;
    const done = await this.#core.transact('redact', () => redactBatch(after, before, now));
    this.#after = done.last ?? BEGINNING;
    return done.last !== undefined || done.events === EVENTS_AT_A_TIME;
  }
}

interface Position {
  updatedAt: number;
  id: string;
}

const BEGINNING: Position = { updatedAt: 0, id: '' };

function* redactBatch(after: Position, before: number, now: number) {
  const orders = yield* query<{ id: string; updated_at: number }>(
    `SELECT id, updated_at FROM document WHERE kind = 'order' AND redacted_at IS NULL AND updated_at < ?
       AND (updated_at > ? OR (updated_at = ? AND id > ?)) ORDER BY updated_at, id LIMIT ${ORDERS_AT_A_TIME}`,
    before,
    after.updatedAt,
    after.updatedAt,
    after.id,
  );
  for (const { id } of orders) if (yield* isOver(id, before)) yield* redactOrder(id, now);
  const events = yield* query<{ id: number }>(
    `SELECT id FROM event WHERE order_id IS NULL AND redacted_at IS NULL AND state IN ('closed', 'unusable', 'quarantined') AND stored_at < ? AND ${ABOUT_CUSTOMERS}
       AND NOT EXISTS (SELECT 1 FROM exception WHERE event_id = event.id AND exception.state = 'open') ORDER BY stored_at LIMIT ${EVENTS_AT_A_TIME}`,
    before,
  );
  for (const { id } of events) yield* redactEvents(`id = ?`, Number(id), now);
  const last = orders.at(-1);
  return {
    last: last && { updatedAt: Number(last.updated_at), id: last.id },
    events: events.length,
  };
}

/**
 * Nothing happens to the order any more: nothing of it is open, unsettled, due, unpaid or waits for a person, and nothing has happened
 * since `before`.
 */
function* isOver(orderId: string, before: number): Transaction<boolean> {
  const alive = yield* queryOne(
    `SELECT 1 AS alive WHERE
       EXISTS (SELECT 1 FROM event WHERE order_id = ? AND (${OPEN} OR COALESCE(closed_at, stored_at) >= ?))
       OR EXISTS (SELECT 1 FROM effect WHERE order_id = ? AND (state NOT IN ('done', 'refused') OR COALESCE(finished_at, started_at) >= ?))
       OR EXISTS (SELECT 1 FROM document WHERE order_id = ? AND (updated_at >= ?
         OR (kind = 'bill' AND state NOT IN ('paid', 'mismatch')) OR (kind = 'payment' AND state NOT IN ('paid', 'rejected', 'returned'))))
       OR EXISTS (SELECT 1 FROM exception WHERE order_id = ? AND state = 'open')
       OR EXISTS (SELECT 1 FROM deadline WHERE order_id = ? AND missed = 0)`,
    orderId,
    before,
    orderId,
    before,
    orderId,
    before,
    orderId,
    orderId,
  );
  return alive === undefined;
}

function* redactOrder(orderId: string, now: number): Transaction<void> {
  const documents = yield* query<{ kind: string; id: string; body: string }>(
    `SELECT kind, id, body FROM document WHERE order_id = ?`,
    orderId,
  );
  const people = new Set<string>();
  for (const { body } of documents) collectPeople(JSON.parse(body) as unknown, people);
  for (const { kind, id, body } of documents) {
    yield* query(
      `UPDATE document SET body = ?, redacted_at = ? WHERE kind = ? AND id = ?`,
      scrubbed(withoutPeople(body), people),
      now,
      kind,
      id,
    );
  }
  yield* redactEvents(`order_id = ?`, orderId, now, people);
  yield* redactTexts('effect', 'key', ['summary', 'result'], ['error'], orderId, people);
  yield* redactTexts('exception', 'id', [], ['message', 'settlement'], orderId, people);
  yield* redactTexts('history', 'id', ['detail'], [], orderId, people);
  yield* note(now, { orderId, what: 'personal data removed', subject: orderId });
}

/** Bodies go as a whole, because each partner has fields of its own; what the flow was told keeps its shape. */
function* redactEvents(
  condition: 'id = ?' | 'order_id = ?',
  value: string | number,
  now: number,
  people: ReadonlySet<string> = new Set(),
): Transaction<void> {
  const events = yield* query<{
    id: number;
    body: string;
    emits: string | null;
    note: string | null;
    raw: string | null;
    theirs: number;
  }>(
    `SELECT id, body, emits, note, raw, CASE WHEN ${ABOUT_CUSTOMERS} THEN 1 ELSE 0 END AS theirs FROM event WHERE ${condition}`,
    value,
  );
  for (const event of events) {
    const theirs = Number(event.theirs) === 1;
    yield* query(
      `UPDATE event SET body = ?, raw = ?, emits = ?, note = ?, redacted_at = ? WHERE id = ?`,
      theirs ? JSON.stringify({ redacted: true }) : scrubbed(event.body, people),
      theirs || event.raw === null ? null : scrubbed(event.raw, people),
      event.emits === null ? null : scrubbed(withoutPeople(event.emits), people),
      event.note === null ? null : scrubbed(event.note, people),
      now,
      Number(event.id),
    );
  }
}

function* redactTexts(
  table: 'effect' | 'exception' | 'history',
  key: 'key' | 'id',
  json: string[],
  texts: string[],
  orderId: string,
  people: ReadonlySet<string>,
): Transaction<void> {
  const columns = [...json, ...texts];
  const rows = yield* query(`SELECT ${key}, ${columns.join(', ')} FROM ${table} WHERE order_id = ?`, orderId);
  for (const row of rows) {
    const values = columns.map((column) => {
      const value = row[column];
      if (typeof value !== 'string') return null;
      return scrubbed(json.includes(column) ? withoutPeople(value) : value, people);
    });
    if (values.every((value, index) => value === row[columns[index]!])) continue;
    const assignments = columns.map((column) => `${column} = ?`).join(', ');
    yield* query(`UPDATE ${table} SET ${assignments} WHERE ${key} = ?`, ...values, row[key]);
  }
}

/** Whether the personal data of an order are gone, so that nothing about it can be sent any more. */
export function* isRedacted(orderId: string | undefined): Transaction<boolean> {
  if (orderId === undefined) return false;
  const row = yield* queryKept<{ redacted_at: number | null }>(
    { table: 'document', key: `redacted ${orderId}` },
    `SELECT redacted_at FROM document WHERE kind = 'order' AND id = ?`,
    orderId,
  );
  return row !== undefined && row.redacted_at !== null;
}

/** JSON with the fields that hold people emptied, at any depth. A partner's id of a customer is a text, and stays. */
function withoutPeople(json: string): string {
  return JSON.stringify(JSON.parse(json), (field, value: unknown) => {
    if (field === FREE_TEXT && typeof value === 'string') return REDACTED;
    return PEOPLE.has(field) && typeof value === 'object' ? emptied(value) : value;
  });
}

function emptied(value: unknown): unknown {
  if (typeof value === 'string') return REDACTED;
  if (Array.isArray(value)) return value.map(emptied);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([field, inner]) => [field, IMPERSONAL.has(field) ? inner : emptied(inner)]),
  );
}

/** The names, streets, mail addresses and telephone numbers themselves: sentences of ours or of a partner may quote them. */
function collectPeople(value: unknown, into: Set<string>, isPerson = false): void {
  if (typeof value !== 'object' || value === null) return;
  for (const [field, inner] of Object.entries(value)) {
    if (typeof inner === 'object') collectPeople(inner, into, isPerson || PEOPLE.has(field));
    else if (typeof inner === 'string' && (isPerson ? !COMMON.has(field) : field === FREE_TEXT) && inner.length >= 3)
      into.add(inner);
  }
}

function scrubbed(text: string, people: ReadonlySet<string>): string {
  let result = text;
  // The longest first: a name may be a part of another text.
  for (const person of [...people].sort((a, b) => b.length - a.length)) {
    result = result.replaceAll(person, REDACTED).replaceAll(JSON.stringify(person).slice(1, -1), REDACTED);
  }
  return result;
}
