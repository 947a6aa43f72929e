import { Pool, type Dispatcher } from 'undici';

/** The connections to a partner, which has one address, or two where its tokens come from elsewhere. */
export class Connections {
  readonly #most: number;
  readonly #connectTimeout: number;
  readonly #pools = new Map<string, Pool>();
  /** 1: one call at a time on a connection, which is kept for the next; 0: a connection for each call. */
  #pipelining: 0 | 1 = 1;

  /**
   * @param most connections to one address
   * @param connectTimeout milliseconds that one may take to stand
   */
  constructor(most: number, connectTimeout: number) {
    this.#most = most;
    this.#connectTimeout = connectTimeout;
  }

  dispatch(origin: string, call: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    let pool = this.#pools.get(origin);
    if (!pool) {
      pool = this.#open(origin);
      this.#pools.set(origin, pool);
    }
    pool.dispatch(call, handler);
  }

  #open(origin: string): Pool {
    return new Pool(origin, {
      connections: this.#most,
      pipelining: this.#pipelining,
      // The time-out is for the whole call, and kept by who calls.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: { timeout: this.#connectTimeout },
    });
  }

  close(): void {
    // Graceful: what is under way goes on. Not `destroy`, which would reset it: a deploy must not put an order in doubt.
    for (const pool of this.#pools.values()) pool.close(() => undefined);
    this.#pools.clear();
    this.#pipelining = 0;
  }
}
