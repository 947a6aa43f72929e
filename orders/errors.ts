/**
 * What can go wrong, in the four classes that decide what happens next. Every error has a `code` for
 * programs, a `status` short enough to stand under a node, and a message that says what to do.
 */
export class DroplineError extends Error {
  readonly code: string;
  /** Under 20 characters: it stands under the node. */
  readonly status: string;

  constructor(code: string, message: string, options: { status?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.status = options.status ?? code.toLowerCase().replaceAll('_', ' ').slice(0, 20);
  }
}

/** A person must change something outside (an order, a product, an agreement): trying again as it is cannot help. */
export class BusinessRefusal extends DroplineError {}

/** A setting is missing or wrong: the integration engineer must change it. Nothing has happened at the partner. */
export class ConfigurationMistake extends DroplineError {}

/** Certainly not done, and worth another try by itself (connection refused, 429, maintenance with Retry-After). */
export class TemporaryFault extends DroplineError {
  /** Milliseconds that the partner asked us to wait, where it said so. */
  readonly retryAfter: number | undefined;

  constructor(code: string, message: string, options: { status?: string; cause?: unknown; retryAfter?: number } = {}) {
    super(code, message, options);
    this.retryAfter = options.retryAfter;
  }
}

/** The partner may or may not have done it (time-out, reset, 5xx, garbage with 200): never simply sent again. */
export class InDoubt extends DroplineError {}

/** Turns anything thrown into an Error; the original stays as the cause. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown), { cause: thrown });
}
