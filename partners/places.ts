/** Places for a limited number of calls at a time; who finds none waits in line, first come, first served. */
export interface Places {
  /** True when there was one; it must be given back. */
  take(): boolean;
  /**
   * Waits for one. `false`: the line is too long, or it has been waited too long, or `signal` is aborted; nothing is to be given back.
   */
  wait(signal?: AbortSignal): Promise<boolean>;
  giveBack(): void;
  readonly running: number;
  readonly waiting: number;
}

export interface PlacesOptions {
  places: number;
  /** Most that may stand in line. */
  longestLine: number;
  /** Milliseconds. */
  longestWait: number;
}

export function createPlaces({ places, longestLine, longestWait }: PlacesOptions): Places {
  /** In the order in which they came, which is what a Set keeps; leaving it from the middle costs nothing. */
  const line = new Set<() => boolean>();
  let running = 0;

  return {
    take() {
      // Who comes now does not overtake who waits.
      if (running >= places || line.size > 0) return false;
      running += 1;
      return true;
    },
    wait(signal) {
      if (line.size >= longestLine || signal?.aborted) return Promise.resolve(false);
      return new Promise((resolve) => {
        const since = performance.now();
        const timer = setTimeout(() => leave(false), longestWait);
        // A process that was frozen meanwhile may hear of the place before it hears of the time.
        const called = () => leave(performance.now() - since <= longestWait);
        const cancelled = () => leave(false);
        function leave(hasPlace: boolean): boolean {
          line.delete(called);
          clearTimeout(timer);
          signal?.removeEventListener('abort', cancelled);
          resolve(hasPlace);
          return hasPlace;
        }
        signal?.addEventListener('abort', cancelled, { once: true });
        line.add(called);
      });
    },
    giveBack() {
      // The place goes over without becoming free between.
      for (const next of line) if (next()) return;
      running -= 1;
    },
    get running() {
      return running;
    },
    get waiting() {
      return line.size;
    },
  };
}
