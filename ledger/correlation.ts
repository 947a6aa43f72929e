import { AsyncLocalStorage } from 'node:async_hooks';

/**
 * Which effect a call to a partner belongs to, so that its log and ours can be laid side by side, and whether this process may still
 * make it. It follows the call by itself: an adapter need not pass it on.
 */
const current = new AsyncLocalStorage<{ id: string; mayChange: () => boolean }>();

/**
 * Runs a call to a partner as part of the effect `id`: numbers and references, never people.
 * @param mayChange false when others may have taken the effect over meanwhile: asked right before each request that changes something
 */
export function correlated<Result>(id: string, mayChange: () => boolean, call: () => Promise<Result>): Promise<Result> {
  return current.run({ id, mayChange }, call);
}

/** The effect whose call this is, where it is one. */
export function correlation(): string | undefined {
  return current.getStore()?.id;
}

/** Whether a request that changes something may leave now. */
export function mayChange(): boolean {
  return current.getStore()?.mayChange() ?? true;
}
