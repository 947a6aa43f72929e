import { ConfigurationMistake } from '../orders/errors.ts';
import { query, queryOne, type Dialect, type Store } from './store.ts';

/**
 * Condition for events that are not at their end, in the words of the partial index `event_open`: a database uses the index only where it
 * finds them again. What is closed may be millions.
 */
export const OPEN = `state IN ('stored', 'waiting', 'open')`;

/** Condition for effects that come to their end by themselves, in the words of the partial index `effect_unsettled`. */
export const UNSETTLED = `state <> 'done' AND state IN ('sending', 'in-doubt', 'waiting')`;

/**
 * The numbered changes of the schema, oldest first. A released one is never edited: a new one follows. Times named `..._at`
 * are milliseconds since 1970 where the engine computes with them, and ISO 8601 in JSON bodies.
 */
const MIGRATIONS: ((dialect: Dialect) => string[])[] = [
  (dialect) => [
    // Our short names of partners, bound to what they stand for.
    `CREATE TABLE partner (reference TEXT PRIMARY KEY, role TEXT NOT NULL, product TEXT NOT NULL, base_url TEXT NOT NULL, bound_at BIGINT NOT NULL)`,

    // Inbound facts, stored before anyone is answered. `due_at` NULL: in work; `emits`: what the flow is told, fixed when judged.
    `CREATE TABLE event (
      id ${dialect.id}, partner TEXT NOT NULL, kind TEXT NOT NULL, dedupe_key TEXT NOT NULL, content_hash TEXT NOT NULL,
      order_id TEXT, body TEXT NOT NULL, raw TEXT, state TEXT NOT NULL, outcome TEXT, emits TEXT, note TEXT,
      attempts INTEGER NOT NULL DEFAULT 0, emitted INTEGER NOT NULL DEFAULT 0, owner TEXT,
      stored_at BIGINT NOT NULL, due_at BIGINT, closed_at BIGINT, UNIQUE (partner, dedupe_key))`,
    `CREATE INDEX event_due ON event (state, due_at, id)`,
    `CREATE INDEX event_order ON event (order_id)`,

    // Outbound calls that change something, and decisions of the ledger itself; known by a business key.
    `CREATE TABLE effect (
      key TEXT PRIMARY KEY, event_id BIGINT NOT NULL, order_id TEXT, partner TEXT, kind TEXT NOT NULL, document TEXT NOT NULL, step TEXT,
      state TEXT NOT NULL, attempt INTEGER NOT NULL, content_hash TEXT NOT NULL, summary TEXT, result TEXT, error_code TEXT, error TEXT,
      first_started_at BIGINT NOT NULL, started_at BIGINT NOT NULL, due_at BIGINT, finished_at BIGINT)`,
    `CREATE INDEX effect_event ON effect (event_id)`,
    `CREATE INDEX effect_order ON effect (order_id)`,

    `CREATE TABLE document (
      kind TEXT NOT NULL, id TEXT NOT NULL, order_id TEXT, partner TEXT, state TEXT NOT NULL, body TEXT NOT NULL, updated_at BIGINT NOT NULL,
      PRIMARY KEY (kind, id))`,
    `CREATE INDEX document_order ON document (order_id, kind)`,
    `CREATE INDEX document_state ON document (kind, state, updated_at)`,

    // What suppliers' shelves still owe to our purchase orders, and since when a stock figure is known.
    `CREATE TABLE allocated (
      purchase_order TEXT NOT NULL, line TEXT NOT NULL, supplier TEXT NOT NULL, sku TEXT NOT NULL, quantity TEXT NOT NULL,
      shipped INTEGER NOT NULL DEFAULT 0, allocated_at BIGINT NOT NULL, PRIMARY KEY (purchase_order, line))`,
    `CREATE INDEX allocated_offer ON allocated (supplier, sku)`,
    `CREATE TABLE stock_figure (supplier TEXT NOT NULL, sku TEXT NOT NULL, stock TEXT NOT NULL, known_since BIGINT NOT NULL, PRIMARY KEY (supplier, sku))`,
    `CREATE TABLE offer (supplier TEXT NOT NULL, sku TEXT NOT NULL, body TEXT NOT NULL, updated_at BIGINT NOT NULL, PRIMARY KEY (supplier, sku))`,

    // Where suppliers' money goes: a row a version, never changed, never deleted.
    `CREATE TABLE beneficiary (
      supplier TEXT NOT NULL, version INTEGER NOT NULL, state TEXT NOT NULL, body TEXT NOT NULL, proposed_by TEXT NOT NULL, proposed_at BIGINT NOT NULL,
      approved_by TEXT, usable_from BIGINT, PRIMARY KEY (supplier, version))`,

    // A bill stands in at most one live payment.
    `CREATE TABLE reservation (bill TEXT NOT NULL, payment TEXT NOT NULL, event_id BIGINT NOT NULL, live INTEGER NOT NULL, reserved_at BIGINT NOT NULL)`,
    `CREATE UNIQUE INDEX reservation_live ON reservation (bill) WHERE live = 1`,
    `CREATE UNIQUE INDEX reservation_payment ON reservation (payment, event_id)`,

    // What needs a person.
    `CREATE TABLE exception (
      id ${dialect.id}, subject TEXT NOT NULL, code TEXT NOT NULL, message TEXT NOT NULL, order_id TEXT, event_id BIGINT, effect_key TEXT,
      state TEXT NOT NULL, raised_at BIGINT NOT NULL, settled_at BIGINT, settled_by TEXT, settlement TEXT, UNIQUE (code, subject))`,
    `CREATE INDEX exception_state ON exception (state, raised_at)`,

    // Business deadlines: what should have happened by when.
    `CREATE TABLE deadline (key TEXT PRIMARY KEY, order_id TEXT, step TEXT NOT NULL, due_at BIGINT NOT NULL, missed INTEGER NOT NULL DEFAULT 0)`,
    `CREATE INDEX deadline_due ON deadline (missed, due_at)`,

    `CREATE TABLE poll_cursor (partner TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (partner, name))`,

    // Append-only.
    `CREATE TABLE history (id ${dialect.id}, at BIGINT NOT NULL, order_id TEXT, event_id BIGINT, what TEXT NOT NULL, subject TEXT NOT NULL, detail TEXT)`,
    `CREATE INDEX history_order ON history (order_id, id)`,
  ],
  () => [
    // The processes that share the ledger. `beat` counts up while one lives; whose does not is dead, whatever the clocks say.
    `CREATE TABLE instance (id TEXT PRIMARY KEY, beat BIGINT NOT NULL, flows TEXT, started_at BIGINT NOT NULL)`,

    // What is open is little, what was is much: looking for work must not depend on how long the ledger has been in use.
    `DROP INDEX event_due`,
    // With the state, so that they are counted without a look at each: their bodies are large.
    `CREATE INDEX event_open ON event (owner, due_at, id, state) WHERE state IN ('stored', 'waiting', 'open')`,
    `CREATE INDEX event_noted ON event (id) WHERE state IN ('stored', 'waiting', 'open') AND note IS NOT NULL`,
    `CREATE INDEX event_waiting ON event (order_id) WHERE state = 'waiting'`,
    `CREATE INDEX event_aside ON event (state) WHERE state IN ('quarantined', 'unusable')`,
    `CREATE INDEX event_closed ON event (closed_at) WHERE state = 'closed'`,
    // Whether an event has any is asked of what is unsettled only, and of that alone there is an index.
    `DROP INDEX effect_event`,
    `CREATE INDEX effect_unsettled ON effect (event_id, state, partner) WHERE state <> 'done'`,
    `DROP INDEX document_order`,
    `CREATE INDEX document_of_order ON document (order_id, kind, id)`,
    `DROP INDEX allocated_offer`,
    `CREATE INDEX allocated_offer ON allocated (supplier, sku, shipped, allocated_at)`,
    // Not of all kinds: a document is written many times, and each index of its state or time with it.
    `DROP INDEX document_state`,
    `CREATE INDEX document_recent_order ON document (updated_at) WHERE kind = 'order'`,
    `CREATE INDEX document_recent_run ON document (updated_at) WHERE kind = 'payment-run'`,
    `CREATE INDEX document_bill ON document (state) WHERE kind = 'bill'`,
    `CREATE INDEX document_open_po ON document (partner) WHERE kind = 'purchase-order' AND state NOT IN ('shipped', 'cancelled')`,

    // Whether it may be this event that its process died of.
    `ALTER TABLE event ADD COLUMN suspicion TEXT`,

    // How often an answer was lost, which leaves open whether it was done; an attempt that was certainly not made counts for nothing.
    `ALTER TABLE effect ADD COLUMN lost INTEGER NOT NULL DEFAULT 0`,

    // A person's answer to a write that nobody could look up: the partner's number, and whether the write can take one.
    `ALTER TABLE effect ADD COLUMN adopts INTEGER NOT NULL DEFAULT 0`,
    `ALTER TABLE effect ADD COLUMN given TEXT`,

    // When the personal data of a finished order were removed.
    `ALTER TABLE event ADD COLUMN redacted_at BIGINT`,
    `ALTER TABLE document ADD COLUMN redacted_at BIGINT`,
    `CREATE INDEX document_personal ON document (updated_at, id) WHERE kind = 'order' AND redacted_at IS NULL`,
    `CREATE INDEX event_personal ON event (stored_at) WHERE redacted_at IS NULL AND order_id IS NULL`,
    `CREATE INDEX exception_order ON exception (order_id)`,
  ],
];

/**
 * Brings the database to the newest schema. Runs any number of times.
 * @throws ConfigurationMistake `LEDGER_FROM_NEWER_VERSION` when a newer Dropline wrote it
 */
export async function migrate(store: Store): Promise<void> {
  const { alone } = store.dialect;
  await store.transact(function* () {
    if (alone) yield* query(alone);
    yield* query(`CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)`);
    const row = yield* queryOne<{ value: string }>(`SELECT value FROM meta WHERE key = 'schema'`);
    const version = Number(row?.value ?? 0);
    if (version > MIGRATIONS.length) {
      throw new ConfigurationMistake(
        'LEDGER_FROM_NEWER_VERSION',
        `The ledger was written by a newer Dropline (schema ${version}, this one knows ${MIGRATIONS.length}). Install that version or newer.`,
      );
    }
    if (version === MIGRATIONS.length) return;
    // First, so that whoever waited for another process's change sees what it did: the conflict here has this run again.
    yield* query(
      `INSERT INTO meta (key, value) VALUES ('schema', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
      String(MIGRATIONS.length),
    );
    for (const change of MIGRATIONS.slice(version)) {
      for (const sql of change(store.dialect)) yield* query(sql);
    }
  });
}
