import type { InboundFact } from '../partners/adapter.ts';
import { createCore, DEFAULT_SETTINGS, type Core, type LedgerSettings, type Tools } from './core.ts';
import { Dispatcher } from './dispatcher.ts';
import { createEffects, type Effects } from './effects.ts';
import { getEvent, rerunEvent, storeFacts } from './events.ts';
import { exceptions, settle } from './exceptions.ts';
import { createJudge } from './judge.ts';
import { Partners, type LedgerPartner } from './partners.ts';
import { migrate, SQLITE, type Dialect } from './schema.ts';
import { openSqlite } from './sqlite.ts';
import { query, queryOne, type Store, type Transaction } from './store.ts';
import { BusinessRefusal } from '../orders/errors.ts';

/** What was decided and recorded: running its event again would only find the same decision. */
const DECIDED = new Set([
  'NOBODY_DELIVERS',
  'BILL_MISMATCH',
  'ORDER_CHANGED',
  'ACKNOWLEDGEMENT_DIFFERS',
  'RUN_REFUSED',
  'PAYMENT_REJECTED',
  'PAYMENT_UNCLEAR',
]);

/**
 * The durable record under the flow: every inbound fact, every outbound effect, the documents and their history. It emits
 * what is open, remembers what is done, and so makes an ordinary, editable flow survive crashes and deploys.
 */
export class Ledger {
  readonly core: Core;
  readonly partners: Partners;
  readonly effects: Effects;
  readonly dispatcher: Dispatcher;
  readonly #store: Store;
  #started = false;

  constructor(store: Store, tools: Tools, settings: LedgerSettings) {
    this.#store = store;
    this.core = createCore(store, tools, settings);
    this.partners = new Partners(this.core);
    this.dispatcher = new Dispatcher(this.core, createJudge(this.core, this.partners));
    this.effects = createEffects(this.core, this.dispatcher);
  }

  /**
   * The flows run, so receivers are there: the first time, what a dead process had in work is taken back and the ledger
   * begins to emit; after a deploy, what was in work is emitted again.
   */
  async start(): Promise<void> {
    if (this.#started) return this.dispatcher.resume();
    this.#started = true;
    try {
      await this.dispatcher.start();
    } catch (error) {
      this.#started = false;
      throw error;
    }
  }

  /**
   * Commits facts before their sender is answered, then sets them to work.
   * @param raw the body as it came in
   */
  async store(
    partner: string,
    facts: InboundFact<string>[],
    raw?: string,
  ): Promise<{ stored: number; repeated: number }> {
    if (facts.length === 0) return { stored: 0, repeated: 0 };
    const result = await storeFacts(this.core, partner, facts, raw);
    this.dispatcher.wake();
    return result;
  }

  /** Reads or changes documents. `name` names the crash points. */
  transact<Result>(name: string, work: () => Transaction<Result>): Promise<Result> {
    return this.core.transact(name, work);
  }

  /** The effect of an exception is tried again, or its event judged again; the exception is settled, and comes back if nothing is mended. */
  async retryException(id: string, by: string): Promise<void> {
    await this.core.transact(
      'retry exception',
      function* (this: Ledger): Transaction<void> {
        const [exception] = yield* exceptions({ id });
        if (!exception || exception.state !== 'open')
          throw new BusinessRefusal('EXCEPTION_UNKNOWN', `There is no open exception ${id}.`);
        if (exception.eventId === null || DECIDED.has(exception.code))
          throw new BusinessRefusal(
            'NOTHING_TO_RETRY',
            `Exception ${id} has nothing that could be tried again. Settle what it says by hand.`,
          );
        const now = this.core.now();
        if (exception.effectKey !== null) {
          yield* query(
            `UPDATE effect SET state = 'waiting', due_at = ?, first_started_at = ? WHERE key = ? AND state IN ('refused', 'asked')`,
            now,
            now,
            exception.effectKey,
          );
        }
        const event = yield* getEvent(exception.eventId);
        // What was never judged to an end has nothing to tell the flow yet.
        if (event) yield* rerunEvent(event.id, event.emits === null ? 'stored' : 'open', now);
        yield* settle(now, { id }, by, 'Tried again.');
      }.bind(this),
    );
    this.dispatcher.wake();
  }

  /** A person has done what an exception asks for, or decided that nothing is to be done. */
  async settleException(id: string, by: string, how: string): Promise<void> {
    const settled = await this.core.transact('settle exception', () => settle(this.core.now(), { id }, by, how));
    if (settled === 0) throw new BusinessRefusal('EXCEPTION_UNKNOWN', `There is no open exception ${id}.`);
  }

  /** The partner's documents can be read from now on: what waited for that is judged at once. */
  async bindPartner(partner: LedgerPartner): Promise<void> {
    await this.partners.bind(partner);
    await this.core.transact('partner is back', () =>
      query(
        `UPDATE event SET due_at = ? WHERE partner = ? AND state IN ('stored', 'waiting')`,
        this.core.now(),
        partner.reference,
      ),
    );
    this.dispatcher.wake();
  }

  /** Where a poll goes on. */
  async cursor(partner: string, name: string): Promise<string | undefined> {
    const row = await this.core.transact('read cursor', () =>
      queryOne<{ value: string }>(`SELECT value FROM poll_cursor WHERE partner = ? AND name = ?`, partner, name),
    );
    return row?.value;
  }

  async moveCursor(partner: string, name: string, value: string): Promise<void> {
    await this.core.transact('move cursor', () =>
      query(
        `INSERT INTO poll_cursor (partner, name, value) VALUES (?, ?, ?) ON CONFLICT (partner, name) DO UPDATE SET value = excluded.value`,
        partner,
        name,
        value,
      ),
    );
  }

  async close(): Promise<void> {
    await this.dispatcher.close();
    await this.#store.close();
  }
}

/**
 * Opens a ledger and brings its schema up to date. It stores at once; it emits after `start`.
 * @param where the path of a SQLite file, or a store that is open already
 * @throws ConfigurationMistake that says why the ledger cannot be opened
 */
export async function openLedger(
  where: string | { store: Store; dialect: Dialect },
  tools: Tools,
  settings: Partial<LedgerSettings> = {},
): Promise<Ledger> {
  const { store, dialect } = typeof where === 'string' ? { store: await openSqlite(where), dialect: SQLITE } : where;
  try {
    await migrate(store, dialect);
    return new Ledger(store, tools, { ...DEFAULT_SETTINGS, ...settings });
  } catch (error) {
    await store.close();
    throw error;
  }
}
