import type { InboundFact } from '../partners/adapter.ts';
import { Backups } from './backup.ts';
import { createCore, type Core } from './core.ts';
import { DEFAULT_SETTINGS, type LedgerSettings } from './settings.ts';
import type { Tools } from './tools.ts';
import { Dispatcher } from './dispatcher.ts';
import { createEffects, type Effects } from './effects.ts';
import { storeFacts } from './events.ts';
import { createJudge } from './judge.ts';
import { Partners, type LedgerPartner } from './partners.ts';
import { recogniseBackup } from './restored.ts';
import { Retention } from './retention.ts';
import { migrate, OPEN } from './schema.ts';
import {
  answerWithNumber,
  cancelByHand,
  rerouteLines,
  retryException,
  settleByHand,
  type RerouteAnswer,
  type RetryAnswer,
} from './settlements.ts';
import { networkWarning, openSqlite } from './sqlite.ts';
import { query, queryOne, type Store, type Transaction } from './store.ts';
import { asError } from '../orders/errors.ts';

/**
 * The durable record under the flow: every inbound fact, every outbound effect, the documents and their history. It emits
 * what is open, remembers what is done, and so makes an ordinary, editable flow survive crashes and deploys.
 */
export class Ledger {
  readonly core: Core;
  readonly partners: Partners;
  readonly effects: Effects;
  readonly dispatcher: Dispatcher;
  readonly retention: Retention;
  /** A database server has backups of its own. */
  readonly backups: Backups | undefined;
  readonly #store: Store;
  #started = false;

  /** @param file where the ledger is one */
  constructor(store: Store, tools: Tools, settings: LedgerSettings, file?: string) {
    this.#store = store;
    this.core = createCore(store, tools, settings);
    this.partners = new Partners(this.core);
    this.dispatcher = new Dispatcher(this.core, createJudge(this.core, this.partners));
    this.effects = createEffects(this.core, this.dispatcher);
    this.retention = new Retention(this.core, () => this.core.settings.retention);
    this.backups = file === undefined ? undefined : new Backups(this.core, file, () => this.core.settings.backup);
  }

  /** Takes its place among the processes that share the ledger. */
  join(): Promise<void> {
    const { dispatcher } = this;
    return this.core.instance.join({
      freed: () => dispatcher.wake(),
      displaced: () => dispatcher.displaced(),
    });
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
      this.retention.start();
      this.backups?.start();
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

  /** What people do about exceptions; see `settlements.ts`. `by` is who, for the history. */
  retryException(id: string, by: string, answer: RetryAnswer = {}): Promise<void> {
    return this.#answer('retry exception', () => retryException(this.core, id, by, answer));
  }

  answerWithNumber(id: string, by: string, number: string): Promise<void> {
    return this.#answer('give number', () => answerWithNumber(this.core, id, by, number));
  }

  rerouteLines(id: string, by: string, answer: RerouteAnswer = {}): Promise<void> {
    return this.#answer('reroute by hand', () => rerouteLines(this.core, id, by, answer));
  }

  cancelByHand(id: string, by: string, reason: string): Promise<void> {
    return this.#answer('cancel by hand', () => cancelByHand(this.core, id, by, reason));
  }

  settleException(id: string, by: string, how: string): Promise<void> {
    return this.#answer('settle exception', () => settleByHand(this.core, id, by, how));
  }

  async #answer(name: string, work: () => Transaction<void>): Promise<void> {
    await this.core.transact(name, work);
    this.dispatcher.wake();
  }

  /** The partner's documents can be read from now on: what waited for that is judged at once. */
  async bindPartner(partner: LedgerPartner): Promise<void> {
    await this.partners.bind(partner);
    const now = this.core.now();
    await this.core.transact('partner is back', () =>
      query(
        // By the index of what is open, and not by the one of partners: all events of a partner are many. What is due already stays as it
        // is: after a deploy that may be thousands.
        `UPDATE event SET due_at = ? WHERE ${OPEN} AND due_at > ? AND state <> 'open' AND partner || '' = ?`,
        now,
        now,
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
    await this.backups?.close();
    await this.retention.close();
    await this.dispatcher.close();
    await this.core.instance.leave().catch((error: unknown) => this.core.log('warn', asError(error).message));
    await this.#store.close();
  }
}

/**
 * Opens a ledger and brings its schema up to date. It stores at once; it emits after `start`.
 * @param where the path of a SQLite file, a `postgres://` URL, or a store that is open already
 * @throws ConfigurationMistake that says why the ledger cannot be opened
 */
export async function openLedger(
  where: string | Store,
  tools: Tools,
  settings: Partial<LedgerSettings> = {},
): Promise<Ledger> {
  const store = typeof where === 'string' ? await openStore(where) : where;
  try {
    await migrate(store);
    const restored = await recogniseBackup(store, tools.now());
    if (restored) {
      tools.log(
        'warn',
        'The ledger was put back from a backup: what may have been done since is looked up before it is done again.',
      );
    }
    const file = typeof where === 'string' && where !== ':memory:' && !isDatabaseUrl(where) ? where : undefined;
    const warning = file === undefined ? undefined : networkWarning(file);
    if (warning) tools.log('warn', warning);
    const ledger = new Ledger(store, tools, { ...DEFAULT_SETTINGS, ...settings }, file);
    await ledger.join();
    return ledger;
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** By the form of the address; the driver of a server database is loaded only where one is used. */
async function openStore(where: string): Promise<Store> {
  if (!isDatabaseUrl(where)) return openSqlite(where);
  const { openPostgres } = await import('./postgres.ts');
  return openPostgres(where);
}

/** Whether the address of a ledger is that of a PostgreSQL server rather than a file. */
export function isDatabaseUrl(where: string): boolean {
  return /^postgres(ql)?:\/\//.test(where);
}
