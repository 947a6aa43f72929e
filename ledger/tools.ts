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
