/** Milliseconds by which the wall clock must differ before it is believed rather than our own counting. */
const JUMP = 60_000;

export interface SteadyClock {
  /** Milliseconds since 1970; never goes back. */
  now(): number;
  /** Since when time has passed evenly: a settle time that began before has not certainly gone by. */
  steadySince(): number;
}

/**
 * A clock for durations that also tells the time. It starts at the wall clock and goes on by the monotonic one, so that somebody
 * who sets the computer's clock does not cut a settle time short or put a retry off by hours. A wall clock that is a minute
 * or more ahead is followed (a machine that was suspended, a clock that was wrong before), and the jump is told by
 * `steadySince`; one that is behind is not.
 * @param wall milliseconds since 1970
 * @param monotonic milliseconds since any moment; never goes back
 */
export function steadyClock(wall: () => number, monotonic: () => number): SteadyClock {
  let offset = wall() - monotonic();
  let since = 0;
  return {
    now() {
      const counted = monotonic() + offset;
      const ahead = wall() - counted;
      if (ahead < JUMP) return Math.floor(counted);
      offset += ahead;
      since = Math.floor(counted + ahead);
      return since;
    },
    steadySince: () => since,
  };
}
