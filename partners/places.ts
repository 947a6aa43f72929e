import { Deadlines, type Timed } from './deadlines.ts';

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

/** Who waits in line. */
interface Waiting extends Timed {
  /** A place is free. @returns whether it is taken */
  called(): boolean;
  /** The call is cancelled. */
  handleEvent(): void;
}

export function createPlaces({ places, longestLine, longestWait }: PlacesOptions): Places {
  /** In the order in which they came, which is what a Set keeps; leaving it from the middle costs nothing. */
  const line = new Set<Waiting>();
  const deadlines = new Deadlines();
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
        const waiting: Waiting = {
          deadline: performance.now() + longestWait,
          // A process that was frozen meanwhile may hear of the place before it hears of the time.
          called: () => leave(performance.now() <= waiting.deadline),
          timedOut: () => void leave(false),
          handleEvent: () => void leave(false),
        };
        function leave(hasPlace: boolean): boolean {
          line.delete(waiting);
          deadlines.delete(waiting);
          signal?.removeEventListener('abort', waiting);
          resolve(hasPlace);
          return hasPlace;
        }
        signal?.addEventListener('abort', waiting);
        deadlines.add(waiting);
        line.add(waiting);
      });
    },
    giveBack() {
      // The place goes over without becoming free between.
      for (const next of line) if (next.called()) return;
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
