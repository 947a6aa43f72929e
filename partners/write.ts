/**
 * How an adapter changes something at a partner.
 *
 * An adapter never just calls: it describes one outbound call and how that call is settled when its answer is lost,
 * and hands it to the `Writer` that the ledger supplies. The ledger commits the intent, calls `send`, commits the
 * result, and answers a replay from the record. One write is one call: a step that needs two calls is two writes.
 */
export type Writer = <Result extends Json>(write: Write<Result>) => Promise<Result>;

/** Results are kept in the ledger as JSON. */
export type Json = string | number | boolean | null | Json[] | { [key: string]: Json | undefined };

export type Write<Result> = {
  /** Names the step within the operation and within the effect's key, such as `create` or `confirm`. */
  step: string;
  /** What the partner is asked, shown in the order's history: ids, quantities, amounts; no people, no secrets. */
  summary?: Record<string, Json>;
  /**
   * A person says that it is done, under this number of the partner's: gives the result that `send` would have given. Only reads; the
   * number is looked up where the partner can be asked, and believed where not.
   * @throws BusinessRefusal that says what is wrong with the number
   */
  adopt?(number: string): Promise<Result>;
} & Settlement<Result>;

/** How an unanswered call is settled. The type demands an answer: a write without one does not compile. */
export type Settlement<Result> =
  | {
      /** The partner deduplicates our key, or the call sets a state that it may set twice. It is simply sent again. */
      settle: 'idempotent';
      send(attempt: Attempt): Promise<Result>;
    }
  | {
      /** The partner can be asked by our own reference, by a strongly consistent read. Not found: it is sent again. */
      settle: 'probe';
      /** `undefined` means "certainly not there". Throws when the answer is unclear, never decides on an unfinished page. */
      find(): Promise<Result | undefined>;
      /**
       * `always` looks before the first call as well: for documents that somebody else may have made (a person in the
       * shop, a ledger restored from backup).
       */
      look?: 'when-in-doubt' | 'always';
      /** `ask` for money: what is not found is left to a person instead of being sent again. Default `send`. */
      whenMissing?: 'send' | 'ask';
      send(attempt: Attempt): Promise<Result>;
    }
  | {
      /** Neither: a person decides. */
      settle: 'ask';
      send(attempt: Attempt): Promise<Result>;
    };

export interface Attempt {
  /** The ledger's key of this write; constant over all attempts. What a partner with idempotency keys is given. */
  key: string;
  /** From 1. */
  number: number;
  /** Aborted when nobody wants the call any more; where nobody could say so there is none. */
  signal?: AbortSignal;
}
