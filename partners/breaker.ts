/**
 * Spares a partner that is down, and us the waiting for it: after some failures in a row it is left alone for a while, then one
 * call tries, and its success lets the others follow. What is refused meanwhile was certainly not sent. In memory, for one process.
 */
export interface Breaker {
  /** Milliseconds after which a call should come back; `undefined` when it may go on now. Changes nothing. */
  refusal(): number | undefined;
  /** Asked right before a call; each that may go (`ended` in the answer) must tell how it ended. */
  enter(): { refusal: number } | { ended: (outcome: Outcome) => void };
  /** The partner is known to be there again, by a call that went past the breaker. */
  resume(): void;
  /** Milliseconds since 1970 until which calls are refused, while they are. */
  until(): number | undefined;
}

export interface Outcome {
  /** `down`: no answer, or one that says that the partner is broken. `unknown`: nothing was learnt about it (we cancelled the call). */
  is: 'up' | 'down' | 'unknown';
  /** Milliseconds for which the partner asks to be left alone. */
  pause?: number;
}

export interface BreakerOptions {
  /** Milliseconds since 1970. */
  now(): number;
  /** From 0 to 1. */
  random(): number;
}

/** Failures in a row that open it; the sandbox's faults, and real hiccups, come in ones, twos and threes. */
const MOST_FAILURES = 5;

/** Failures that lie further apart are no row. Milliseconds. */
const WINDOW = 300_000;

const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 60_000;

/** How far refused calls are spread at most when they come back. Milliseconds. */
const WIDEST_SPREAD = 15_000;

export function createBreaker({ now, random }: BreakerOptions): Breaker {
  let failures = 0;
  let lastFailure = 0;
  /** How often it has opened since the partner was last there. */
  let openings = 0;
  let openUntil: number | undefined;
  /** How long it was last opened for. */
  let length = 0;
  /** The one call that may try after the pause. */
  let trial: object | undefined;

  function refusal(): number | undefined {
    if (openUntil === undefined) return undefined;
    const left = openUntil - now();
    if (left <= 0 && !trial) return undefined;
    // While one call tries, the others wait about as long as before: the longer the outage, the fewer come to ask.
    const wait = left > 0 ? left : Math.min(length, LONGEST_PAUSE);
    return Math.round(wait + random() * Math.min(Math.max(wait / 2, FIRST_PAUSE / 4), WIDEST_SPREAD));
  }

  function open(milliseconds: number): void {
    length = milliseconds;
    openUntil = Math.max(openUntil ?? 0, now() + milliseconds);
  }

  function close(): void {
    failures = 0;
    openings = 0;
    openUntil = undefined;
  }

  function failed(isTrial: boolean): void {
    // What was under way when it opened tells nothing new.
    if (openUntil !== undefined && !isTrial) return;
    failures = now() - lastFailure > WINDOW ? 1 : failures + 1;
    lastFailure = now();
    if (failures < MOST_FAILURES && !isTrial) return;
    const longest = Math.min(FIRST_PAUSE * 2 ** openings, LONGEST_PAUSE);
    openings = Math.min(openings + 1, 10);
    open(Math.round(longest * (0.5 + random() / 2)));
  }

  /** Only the failures are counted: an answer to a call from before does not lift a pause that the partner asked for. */
  function answered(isTrial: boolean): void {
    if (openUntil === undefined || isTrial || failures >= MOST_FAILURES) close();
    else failures = 0;
  }

  return {
    refusal,
    enter() {
      const refused = refusal();
      if (refused !== undefined) return { refusal: refused };
      const me = {};
      if (openUntil !== undefined) trial = me;
      let isOver = false;
      return {
        ended(outcome) {
          if (isOver) return;
          isOver = true;
          const isTrial = trial === me;
          if (isTrial) trial = undefined;
          if (outcome.pause !== undefined) {
            // Its own word counts from here, not what went wrong before.
            failures = 0;
            open(outcome.pause);
          } else if (outcome.is === 'up') answered(isTrial);
          else if (outcome.is === 'down') failed(isTrial);
        },
      };
    },
    resume: close,
    until: () => (openUntil !== undefined && (openUntil > now() || trial) ? Math.max(openUntil, now()) : undefined),
  };
}
