import { AsyncLocalStorage } from 'node:async_hooks';

/**
 * Which effect a call to a partner belongs to, so that its log and ours can be laid side by side. It follows the call by itself: an adapter
 * need not pass it on.
 */
const current = new AsyncLocalStorage<string>();

/** Runs a call to a partner as part of the effect `id`: numbers and references, never people. */
export function correlated<Result>(id: string, call: () => Promise<Result>): Promise<Result> {
  return current.run(id, call);
}

/** The effect whose call this is, where it is one. */
export function correlation(): string | undefined {
  return current.getStore();
}
