/** What is given up at a time. */
export interface Timed {
  /** On the clock of `performance.now()`. */
  readonly deadline: number;
  /** Called once, at the deadline or soon after it. */
  timedOut(): void;
}

/** The longest that Node.js waits; more would be no wait at all. */
const LONGEST_TIMER = 2 ** 31 - 1;

/**
 * Many deadlines on one timer. Nearly all calls are answered long before theirs, so a call costs an entry here instead of a timer of
 * its own, and the timer looks about once per time-out which are over. It keeps no process alive: the calls' sockets do.
 */
export class Deadlines {
  readonly #open = new Set<Timed>();
  #timer: NodeJS.Timeout | undefined;
  /** When the timer looks next; never later than the first deadline. */
  #looksAt = Infinity;

  add(timed: Timed): void {
    this.#open.add(timed);
    if (timed.deadline < this.#looksAt) this.#lookAt(timed.deadline);
  }

  delete(timed: Timed): void {
    this.#open.delete(timed);
  }

  #lookAt(time: number): void {
    clearTimeout(this.#timer);
    this.#looksAt = time;
    const wait = Math.min(Math.max(time - performance.now(), 0), LONGEST_TIMER);
    this.#timer = setTimeout(() => this.#look(), wait).unref();
  }

  #look(): void {
    const now = performance.now();
    let first = Infinity;
    this.#looksAt = Infinity;
    for (const timed of this.#open) {
      if (timed.deadline <= now) {
        this.#open.delete(timed);
        timed.timedOut();
      } else first = Math.min(first, timed.deadline);
    }
    // A call that was begun meanwhile may have set the timer already.
    if (first < this.#looksAt) this.#lookAt(first);
  }
}
