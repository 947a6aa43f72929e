import { Instance } from './instance.ts';
import type { LedgerSettings } from './settings.ts';
import type { Store, Transaction } from './store.ts';
import type { Happening, Tools } from './tools.ts';

/** The database with its crash points, and the tools: what every part of the ledger stands on. */
export interface Core extends Tools {
  readonly settings: LedgerSettings;
  /** This process among those that share the ledger. */
  readonly instance: Instance;
  /**
   * `name` names the crash points before and after the commit.
   * @param ahead see `Store`
   */
  transact<Result>(name: string, work: () => Transaction<Result>, ahead?: boolean): Promise<Result>;
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
    async transact(name, work, ahead) {
      tools.crashPoint(`before ${name}`);
      const result = await store.transact(work, ahead);
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
