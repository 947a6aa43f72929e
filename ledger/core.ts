import { BACKUP, type BackupSettings } from './backup.ts';
import { DEADLINES, type Deadlines } from './deadlines.ts';
import { Instance } from './instance.ts';
import { RETENTION, type RetentionSettings } from './retention.ts';
import type { Store, Transaction } from './store.ts';

/** What the ledger is handed from outside: time, chance, timers, a log and, under test, crash points. */
export interface Tools {
  /** Milliseconds since 1970; never goes back while the process lives. */
  now(): number;
  /** Since when time has passed evenly; absent where it always has. */
  steadySince?(): number;
  /** 0 <= n < 1. */
  random(): number;
  /** Runs once after so many milliseconds; the answer cancels. */
  after(milliseconds: number, action: () => void): () => void;
  /** Ids and codes only, never people. */
  log(level: 'info' | 'warn' | 'error', message: string): void;
  /** Called at every await boundary. A no-op but under test, where it may kill the process. */
  crashPoint(name: string): void;
  /** For metrics and the structured log. */
  observe?(happening: Happening): void;
}

/** Something that happened in the engine, in ids and codes: never people, never secrets. */
export interface Happening {
  what:
    | 'event stored'
    | 'event repeated'
    | 'event emitted'
    | 'event parked'
    | 'event closed'
    | 'event quarantined'
    | 'effect done'
    | 'effect retried'
    | 'effect in doubt'
    | 'effect refused'
    | 'effect asked'
    | 'instance taken over'
    | 'flows differ';
  eventId?: string;
  orderId?: string | undefined;
  partner?: string | undefined;
  /** Of the event (`order`) or the effect (`po-send`). */
  kind?: string;
  /** Business key of the effect. */
  effect?: string;
  attempt?: number;
  /** `answered`, `adopted` or an error code. */
  outcome?: string;
  /** Duration of the call, or the age of the event. */
  milliseconds?: number;
}

export interface LedgerSettings {
  /** Milliseconds without a step after which an event with nothing unsettled is closed. */
  quietTime: number;
  /** Events emitted at a time. */
  batch: number;
  /** Calls to partners in work, beyond which no further event is emitted. */
  maxEffects: number;
  /** Errors and process deaths after which an event is set aside for a person. */
  maxAttempts: number;
  /** Milliseconds for which temporary faults of a partner are tried again before a person is asked. */
  patience: number;
  /** Milliseconds until an early callback (a purchase order that we do not know yet) becomes an exception. */
  earlyCallbackTime: number;
  /** Whether goods are sold in whole units only. */
  wholeUnits: boolean;
  deadlines: Deadlines;
  /** Milliseconds without a sign of life after which another instance's events are taken over. */
  lease: number;
  backup: BackupSettings;
  retention: RetentionSettings;
}

export const DEFAULT_SETTINGS: LedgerSettings = {
  quietTime: 30_000,
  batch: 64,
  maxEffects: 256,
  maxAttempts: 5,
  patience: 24 * 3_600_000,
  earlyCallbackTime: 3_600_000,
  wholeUnits: true,
  deadlines: DEADLINES,
  lease: 6000,
  backup: BACKUP,
  retention: RETENTION,
};

/** The database with its crash points, and the tools: what every part of the ledger stands on. */
export interface Core extends Tools {
  readonly settings: LedgerSettings;
  /** This process among those that share the ledger. */
  readonly instance: Instance;
  /** `name` names the crash points before and after the commit. */
  transact<Result>(name: string, work: () => Transaction<Result>): Promise<Result>;
  /** Reads only, as of the last commit; changes nothing, so it has no crash point. */
  read<Result>(work: () => Transaction<Result>): Promise<Result>;
  steadySince(): number;
  observe(happening: Happening): void;
  /** Called in a transaction that makes an event due, so that the dispatcher looks again after it. */
  stir(): void;
}

export function createCore(store: Store, tools: Tools, settings: LedgerSettings): Core {
  const instance = new Instance(store, tools, () => settings.lease);
  return {
    now: instance.now,
    steadySince: () => tools.steadySince?.() ?? 0,
    random: tools.random,
    after: tools.after,
    log: tools.log,
    crashPoint: tools.crashPoint,
    observe: (happening) => tools.observe?.(happening),
    stir: () => undefined,
    settings,
    instance,
    async transact(name, work) {
      tools.crashPoint(`before ${name}`);
      const result = await store.transact(work);
      tools.crashPoint(`after ${name}`);
      return result;
    },
    read: (work) => store.read(work),
  };
}

/** Whole milliseconds before the next try: doubles from one second to five minutes, with jitter so that retries do not march in step. */
export function backOff(attempt: number, random: number): number {
  return Math.round(Math.min(1000 * 2 ** Math.min(attempt - 1, 9), 300_000) * (0.5 + random / 2));
}
