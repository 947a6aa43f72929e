import type { Store, Transaction } from './store.ts';

/** What the ledger is handed from outside: time, chance, timers, a log and, under test, crash points. */
export interface Tools {
  /** Milliseconds since 1970. */
  now(): number;
  /** 0 <= n < 1. */
  random(): number;
  /** Runs once after so many milliseconds; the answer cancels. */
  after(milliseconds: number, action: () => void): () => void;
  /** Ids and codes only, never people. */
  log(level: 'info' | 'warn' | 'error', message: string): void;
  /** Called at every await boundary. A no-op but under test, where it may kill the process. */
  crashPoint(name: string): void;
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
}

export const DEFAULT_SETTINGS: LedgerSettings = {
  quietTime: 30_000,
  batch: 64,
  maxEffects: 256,
  maxAttempts: 5,
  patience: 24 * 3_600_000,
  earlyCallbackTime: 3_600_000,
  wholeUnits: true,
};

/** The database with its crash points, and the tools: what every part of the ledger stands on. */
export interface Core extends Tools {
  readonly settings: LedgerSettings;
  /** `name` names the crash points before and after the commit. */
  transact<Result>(name: string, work: () => Transaction<Result>): Promise<Result>;
}

export function createCore(store: Store, tools: Tools, settings: LedgerSettings): Core {
  return {
    now: tools.now,
    random: tools.random,
    after: tools.after,
    log: tools.log,
    crashPoint: tools.crashPoint,
    settings,
    async transact(name, work) {
      tools.crashPoint(`before ${name}`);
      const result = await store.transact(work);
      tools.crashPoint(`after ${name}`);
      return result;
    },
  };
}

/** Whole milliseconds before the next try: doubles from one second to five minutes, with jitter so that retries do not march in step. */
export function backOff(attempt: number, random: number): number {
  return Math.round(Math.min(1000 * 2 ** Math.min(attempt - 1, 9), 300_000) * (0.5 + random / 2));
}
