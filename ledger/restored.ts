import { BusinessRefusal } from '../orders/errors.ts';
import type { Order } from '../orders/order.ts';
import type { PaymentRun } from '../orders/payment.ts';
import type { Core } from './core.ts';
import { getDocument } from './documents.ts';
import { note } from './history.ts';
import { query, queryKept, queryOne, type Store, type Transaction } from './store.ts';

/**
 * A ledger that was put back from a backup has forgotten what was done since the backup was made. From then on, what concerns an
 * order or a bill of the time before is looked up at the partner before it is done for what the ledger takes to be the first time.
 */
export interface Restored {
  /** When it was put back, in milliseconds since 1970: what was placed or billed later cannot have been forgotten. */
  restoredAt: number;
  /** When the backup was made, where that is known. */
  backupAt?: number;
}

/** Key in the table `meta` of what `backup-worker.ts` writes into its copies: when the copy was made. */
const MARK = 'backup_of';
/** Key in the table `meta` of when the ledger was last put back. */
const RESTORED = 'restored';

/** By how much partners' clocks may be behind ours. */
const CLOCKS_DIFFER = 3_600_000;

/** Suppliers date their invoices by the day, in their own time zone. */
const A_DAY = 24 * 3_600_000;

/**
 * Recognises a backup that is opened as the ledger. Called at each opening, before anything is emitted; finds it once.
 * @param now milliseconds since 1970
 */
export async function recogniseBackup(store: Store, now: number): Promise<Restored | undefined> {
  return store.transact(function* () {
    const mark = yield* queryOne<{ value: string }>(`SELECT value FROM meta WHERE key = ?`, MARK);
    if (!mark) return undefined;
    yield* query(`DELETE FROM meta WHERE key = ?`, MARK);
    const restored = { restoredAt: now, backupAt: Number(mark.value) };
    yield* remember(restored);
    yield* note(now, { what: 'restored from a backup', subject: 'ledger', detail: { ...restored } });
    return restored;
  });
}

/**
 * A person says that the ledger was put back from a backup that bears no mark: a plain copy, or PostgreSQL.
 * @param at ISO 8601; when it was put back. Default: now
 * @throws BusinessRefusal `TIME_INVALID`
 */
export async function declareRestored(core: Core, at: string | undefined, by: string): Promise<Restored> {
  const now = core.now();
  const restoredAt = at === undefined ? now : Date.parse(at);
  if (Number.isNaN(restoredAt) || restoredAt > now + 60_000) {
    throw new BusinessRefusal(
      'TIME_INVALID',
      'Say when the ledger was put back, such as {"at": "2027-01-31T08:00:00Z"}, or leave it out for now.',
    );
  }
  const restored = { restoredAt };
  await core.transact('declare restored', function* () {
    yield* remember(restored);
    yield* note(now, { what: 'restored from a backup', subject: 'ledger', detail: { ...restored, by } });
  });
  return restored;
}

function* remember(restored: Restored) {
  yield* query(
    `INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
    RESTORED,
    JSON.stringify(restored),
  );
}

/** When the ledger was last put back from a backup, if ever. */
export function* restored(): Transaction<Restored | undefined> {
  const row = yield* queryKept<{ value: string }>(
    { table: 'meta', key: `meta ${RESTORED}` },
    `SELECT value FROM meta WHERE key = ?`,
    RESTORED,
  );
  return row ? (JSON.parse(row.value) as Restored) : undefined;
}

/**
 * Whether an effect that the ledger has no row of may have been made all the same, before the ledger was put back. What is of
 * unknown age may.
 */
export function* mayBeForgotten(effect: { orderId: string | undefined; document: string }): Transaction<boolean> {
  const known = yield* restored();
  if (!known) return false;
  const run = yield* getDocument('payment-run', effect.document);
  if (run) return yield* paysOldBill(run, known.restoredAt);
  const order: Order | undefined =
    effect.orderId === undefined ? undefined : yield* getDocument('order', effect.orderId);
  return !order || !(Date.parse(order.placedAt) > known.restoredAt + CLOCKS_DIFFER);
}

function* paysOldBill(run: PaymentRun, restoredAt: number): Transaction<boolean> {
  for (const { bill } of run.payments) {
    const document = yield* getDocument('bill', bill);
    if (!document || !(Date.parse(document.issuedAt) > restoredAt + A_DAY)) return true;
  }
  return false;
}

/**
 * In the transaction that routes an order for what the ledger takes to be the first time. Prices and stock have moved on since, so another
 * routing would give the same purchase order numbers to other suppliers: a person looks whether there are any.
 * @throws BusinessRefusal `MAYBE_ROUTED`, until a person has settled that exception or has it tried again
 */
export function* notRoutedBefore(orderId: string): Transaction<void> {
  if (!(yield* mayBeForgotten({ orderId, document: orderId }))) return;
  const answered = yield* queryOne(
    `SELECT id FROM exception WHERE code = 'MAYBE_ROUTED' AND order_id = ? AND state = 'settled'`,
    orderId,
  );
  if (answered) return;
  throw new BusinessRefusal(
    'MAYBE_ROUTED',
    `The ledger was put back from a backup, so it does not know whether ${orderId} had been given to suppliers before. Look in the ERP for purchase orders that begin with ${orderId}-. If there are none, have it tried again; if there are, finish this order by hand.`,
    { status: 'may be routed' },
  );
}
