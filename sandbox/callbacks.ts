import type { Json, World } from './world.ts';

/** A call that a partner makes to Dropline. It is kept in a timer, and so survives a restart of the sandbox. */
export type Callback = {
  /** The same over all attempts. */
  id: string;
  body: string;
  /** From 1. */
  attempt: number;
};

/** Timer action of a callback: the partner's `due` hands it to `deliver`. */
export const CALLBACK = 'callback';

export interface Callbacks {
  /** Sends it after `inMs` (scaled by the world's speed), twice where a `duplicate-callback` fault hits it. */
  send(inMs: number, operation: string, reference: string, callback: Omit<Callback, 'attempt'>): void;
  /** One attempt now; after a failure the next one is scheduled. */
  deliver(data: Json): Promise<void>;
}

/**
 * A partner's callbacks: posted until somebody answers 2xx, after 1, 2, 4, 8 ... s and at most a minute (scaled by the world's speed).
 * @param headers the headers of one attempt, with a fresh signature
 */
export function createCallbacks(
  world: World,
  partner: string,
  url: string,
  headers: (callback: Callback) => Record<string, string>,
): Callbacks {
  return {
    send(inMs, operation, reference, { id, body }) {
      const twice = world.takeFault(partner, ['duplicate-callback'], operation, reference) !== undefined;
      world.schedule(partner, inMs, CALLBACK, { id, body, attempt: 1 });
      if (twice) world.schedule(partner, inMs + 200, CALLBACK, { id, body, attempt: 1 });
    },
    async deliver(data) {
      const callback = data as Callback;
      const { generation } = world;
      if (await post(url, headers(callback), callback.body)) return;
      if (world.generation !== generation) return;
      const wait = Math.min(1000 * 2 ** (callback.attempt - 1), 60_000);
      world.schedule(partner, wait, CALLBACK, { ...callback, attempt: callback.attempt + 1 });
    },
  };
}

/** True for 2xx. A connection that fails counts like any other answer: the caller tries again. */
async function post(url: string, headers: Record<string, string>, body: string): Promise<boolean> {
  try {
    const answer = await fetch(url, {
      method: 'POST',
      headers,
      body,
      redirect: 'manual',
      signal: AbortSignal.timeout(15_000),
    });
    await answer.arrayBuffer();
    return answer.ok;
  } catch {
    return false;
  }
}
