import { createHash } from 'node:crypto';
import { BusinessRefusal, ConfigurationMistake, DroplineError, TemporaryFault, asError } from '../orders/errors.ts';
import type { Attempt, Json, Write, Writer } from '../partners/write.ts';
import { backOff, type Core } from './core.ts';
import { raise, settle } from './exceptions.ts';
import { note } from './history.ts';
import { query, queryOne, type Transaction } from './store.ts';

/**
 * Effects: what changes something at a partner, and decisions of the ledger that a replay must find again. Each has a
 * business key, `kind/partner/document` (and `/step` for one outbound call of it), so that an edited flow finds its old
 * results and two nodes for the same effect make one.
 */
export interface Effects {
  /** An operation at a partner: its writes are settled one by one, its outcome is recorded with the documents it changes. */
  operation<Result extends Json>(operation: Operation<Result>): Promise<Recorded<Result>>;
  /** A decision of the ledger itself, made at most once: it returns the recorded result ever after. */
  once<Result>(decision: Decision<Result>): Promise<Recorded<Result>>;
  /** Whether the exception that an error means stands in the ledger already. */
  isRaised(error: unknown): boolean;
}

export interface Recorded<Result> {
  result: Result;
  /** True when it had been done before: this is a repetition. */
  replayed: boolean;
}

interface Identity {
  eventId: string;
  orderId: string | undefined;
  /** Such as `po-create`. */
  kind: string;
  /** Number of the document, with its revision where the effect is a change. */
  document: string;
  /** Business content: "same key, different request" compares this and never a wire body. */
  content: unknown;
}

/** What every write of an operation shares. */
interface Frame extends Identity {
  /** The partner's reference. */
  partner: string;
  /** Milliseconds that an unanswered call may still be carried out in. */
  settleTime: number;
  /** Re-checked in the transaction of each intent; throws when the document's state forbids the call (a cancelled PO is not sent). */
  guard?: (() => Transaction<void>) | undefined;
}

export interface Operation<Result> extends Frame {
  call(write: Writer): Promise<Result>;
  /** What the outcome changes in the ledger, in the transaction that records it. */
  record?: (result: Result) => Transaction<void>;
}

export interface Decision<Result> extends Identity {
  partner?: string;
  /** The result is kept as JSON. */
  decide: () => Transaction<Result>;
}

/** The event must come back at `until`: a retry, a settle time or a partner's pause. Neither an error nor a result. */
export class Waiting extends Error {
  /** Milliseconds since 1970. */
  readonly until: number;

  constructor(until: number, reason: string) {
    super(reason);
    this.name = 'Waiting';
    this.until = until;
  }
}

/** The document is no longer wanted (a purchase order that was cancelled meanwhile): nothing is sent, nothing is wrong. */
export class Obsolete extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'Obsolete';
  }
}

/** How often a write is sent before a person is asked, when each answer was lost and the partner never has it. */
const MOST_SENDS = 10;

/** Error code of a write that was certainly not made and that its document's state forbids. */
const OBSOLETE = 'OBSOLETE';

interface EffectRow {
  key: string;
  state: 'sending' | 'in-doubt' | 'waiting' | 'done' | 'refused' | 'asked';
  attempt: number;
  content_hash: string;
  result: string | null;
  error_code: string | null;
  error: string | null;
  first_started_at: number;
  started_at: number;
  due_at: number | null;
}

type Next<Result> =
  | { next: 'answer'; result: Result }
  /** `look`: a write that looks before it sends has not looked yet for this attempt. */
  | { next: 'send'; attempt: number; look: boolean }
  | { next: 'find'; attempt: number; since: number }
  | { next: 'wait'; until: number; reason: string }
  | { next: 'refuse'; error: Error; raised?: boolean };

/** Who is told of a step, so that events close only when all is quiet. */
export interface EffectListener {
  started(eventId: string): void;
  ended(eventId: string): void;
}

export function createEffects(core: Core, listener: EffectListener): Effects {
  /** One call per key at a time in this process; a second caller (a redeployed node, a second node) shares it. */
  const inFlight = new Map<string, Promise<unknown>>();
  const raised = new WeakSet<Error>();

  function single<Result>(key: string, run: () => Promise<Result>): Promise<Result> {
    const running = inFlight.get(key) as Promise<Result> | undefined;
    if (running) return running;
    const started = run().finally(() => inFlight.delete(key));
    inFlight.set(key, started);
    return started;
  }

  async function operation<Result extends Json>(op: Operation<Result>): Promise<Recorded<Result>> {
    const key = `${op.kind}/${op.partner}/${op.document}`;
    const hash = contentHash(op.content);
    return busy(op.eventId, key, async () => {
      const known = await core.transact(`look up ${op.kind}`, function* () {
        yield* reopen(op.eventId);
        return yield* recorded<Result>(key, hash, op);
      });
      if (known) return { result: known.result, replayed: true };
      const result = await op.call((write) => perform(op, `${key}/${write.step}`, hash, write));
      return record(key, hash, op, function* () {
        if (op.record) yield* op.record(result);
        return result;
      });
    });
  }

  function once<Result>(decision: Decision<Result>): Promise<Recorded<Result>> {
    const key = [decision.kind, decision.partner, decision.document].filter((part) => part !== undefined).join('/');
    return busy(decision.eventId, key, () => record(key, contentHash(decision.content), decision, decision.decide));
  }

  /** The event counts as busy meanwhile, also for a caller that only shares what another one began. */
  async function busy<Result>(eventId: string, key: string, run: () => Promise<Result>): Promise<Result> {
    listener.started(eventId);
    try {
      return await single(key, run);
    } finally {
      listener.ended(eventId);
    }
  }

  function record<Result>(
    key: string,
    hash: string,
    identity: Identity & { partner?: string },
    decide: () => Transaction<Result>,
  ): Promise<Recorded<Result>> {
    return core.transact(`record ${identity.kind}`, function* (): Transaction<Recorded<Result>> {
      yield* reopen(identity.eventId);
      const known = yield* recorded<Result>(key, hash, identity);
      if (known) return { result: known.result, replayed: true };
      const result = yield* decide();
      const now = core.now();
      yield* query(
        `INSERT INTO effect (key, event_id, order_id, partner, kind, document, state, attempt, content_hash, result, first_started_at, started_at, finished_at)
         VALUES (?, ?, ?, ?, ?, ?, 'done', 1, ?, ?, ?, ?, ?)`,
        key,
        Number(identity.eventId),
        identity.orderId,
        identity.partner,
        identity.kind,
        identity.document,
        hash,
        JSON.stringify(result),
        now,
        now,
        now,
      );
      yield* note(now, {
        orderId: identity.orderId,
        eventId: identity.eventId,
        what: identity.kind,
        subject: identity.document,
        detail: { ...(identity.partner ? { partner: identity.partner } : {}), ...summaryOf(result) },
      });
      return { result, replayed: false };
    });
  }

  /** One outbound call: intent, call, result, each committed; in doubt it is settled the way the adapter says. */
  function perform<Result extends Json>(op: Frame, key: string, hash: string, write: Write<Result>): Promise<Result> {
    return single(key, async () => {
      let next = await core.transact(`intend ${op.kind} ${write.step}`, () => intend<Result>(op, key, hash, write));
      for (;;) {
        switch (next.next) {
          case 'answer':
            return next.result;
          case 'refuse':
            // A guard's refusal is news to nobody yet; every other one stands in the ledger.
            if (next.error instanceof DroplineError && next.raised !== false) raised.add(next.error);
            throw next.error;
          case 'wait':
            throw new Waiting(next.until, next.reason);
          case 'find':
            next = await find(op, key, write, next.attempt, next.since);
            break;
          case 'send':
            next = await send(op, key, write, next.attempt, next.look);
        }
      }
    });
  }

  /** Decides, in one transaction with the check of the document's state, what is to be done about a write. */
  function* intend<Result extends Json>(
    op: Frame,
    key: string,
    hash: string,
    write: Write<Result>,
  ): Transaction<Next<Result>> {
    yield* reopen(op.eventId);
    const now = core.now();
    const row = yield* queryOne<EffectRow>(`SELECT * FROM effect WHERE key = ?`, key);
    if (row?.state === 'done') {
      const known = yield* recorded<Result>(key, hash, op);
      return { next: 'answer', result: known!.result };
    }
    const forbidden = yield* forbid(op, row);
    if (!row) {
      if (forbidden) return { next: 'refuse', error: forbidden, raised: false };
      yield* query(
        `INSERT INTO effect (key, event_id, order_id, partner, kind, document, step, state, attempt, content_hash, summary, first_started_at, started_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, 'sending', 1, ?, ?, ?, ?)`,
        key,
        Number(op.eventId),
        op.orderId,
        op.partner,
        op.kind,
        op.document,
        write.step,
        hash,
        write.summary ? JSON.stringify(write.summary) : null,
        now,
        now,
      );
      return { next: 'send', attempt: 1, look: true };
    }
    switch (row.state) {
      case 'refused':
        if (forbidden) return { next: 'refuse', error: forbidden, raised: false };
        // What was given up only because the document was not wanted was never refused by anyone.
        if (row.content_hash === hash && row.error_code !== OBSOLETE) return { next: 'refuse', error: asRefusal(row) };
        return yield* takeAttempt(key, hash, row.attempt, now);
      case 'asked':
        return { next: 'refuse', error: asRefusal(row) };
      case 'waiting':
        if (forbidden) return { next: 'refuse', error: forbidden, raised: false };
        if ((row.due_at ?? 0) > now) return { next: 'wait', until: row.due_at ?? now, reason: row.error ?? 'waiting' };
        return yield* takeAttempt(key, hash, row.attempt, now);
      default: {
        // `sending` with nobody sending it in this process: the process died between intent and result. What is in doubt
        // is settled even when the document is no longer wanted: the partner may have it.
        if (row.content_hash !== hash) {
          return yield* ask(
            op,
            key,
            row.attempt,
            `Whether ${op.partner} has done "${describe(op, write)}" is not known, and its content has changed since.`,
          );
        }
        if (write.settle === 'idempotent') {
          if (forbidden)
            return yield* ask(
              op,
              key,
              row.attempt,
              `${forbidden.message} Whether ${op.partner} has done "${describe(op, write)}" before is not known.`,
            );
          return yield* takeAttempt(key, hash, row.attempt, now);
        }
        if (write.settle === 'ask')
          return yield* ask(
            op,
            key,
            row.attempt,
            `Whether ${op.partner} has done "${describe(op, write)}" is not known, and it cannot be asked.`,
          );
        const due = row.state === 'in-doubt' ? (row.due_at ?? now) : Number(row.started_at) + op.settleTime;
        if (due <= now) return { next: 'find', attempt: row.attempt, since: Number(row.first_started_at) };
        yield* query(
          `UPDATE effect SET state = 'in-doubt', due_at = ? WHERE key = ? AND attempt = ?`,
          due,
          key,
          row.attempt,
        );
        return { next: 'wait', until: due, reason: `${op.partner} may still be working on it` };
      }
    }
  }

  /** Why the document's state forbids a call now. A write that was certainly not made is given up with it. */
  function* forbid(op: Frame, row: EffectRow | undefined): Transaction<Error | undefined> {
    try {
      if (op.guard) yield* op.guard();
      return undefined;
    } catch (thrown) {
      if (!(thrown instanceof DroplineError) && !(thrown instanceof Obsolete)) throw thrown;
      if (row?.state === 'waiting') {
        yield* query(
          `UPDATE effect SET state = 'refused', due_at = NULL, error_code = ?, error = ? WHERE key = ?`,
          OBSOLETE,
          thrown.message,
          row.key,
        );
      }
      return thrown;
    }
  }

  /** The next attempt, by compare-and-set: of two that try, one gets it. */
  function* takeAttempt<Result>(key: string, hash: string, attempt: number, now: number): Transaction<Next<Result>> {
    const won = yield* queryOne(
      `UPDATE effect SET state = 'sending', attempt = attempt + 1, content_hash = ?, started_at = ?, due_at = NULL WHERE key = ? AND attempt = ? RETURNING key`,
      hash,
      now,
      key,
      attempt,
    );
    if (!won) return { next: 'wait', until: now + 1000, reason: 'another instance is at it' };
    return { next: 'send', attempt: attempt + 1, look: true };
  }

  async function send<Result extends Json>(
    op: Frame,
    key: string,
    write: Write<Result>,
    number: number,
    look: boolean,
  ): Promise<Next<Result>> {
    const attempt: Attempt = { key, number, signal: new AbortController().signal };
    core.crashPoint(`before send ${op.kind} ${write.step}`);
    let result: Result;
    let adopted = false;
    try {
      // A retry looks first: what was taken for certainly not sent, or sent again by a person's word, may be there after all.
      const looks = look && write.settle === 'probe' && (write.look === 'always' || number > 1);
      const found = looks ? await write.find() : undefined;
      adopted = found !== undefined;
      result = found ?? (await write.send(attempt));
    } catch (thrown) {
      core.crashPoint(`after failed send ${op.kind} ${write.step}`);
      return settleFailure(op, key, write, number, asError(thrown));
    }
    core.crashPoint(`after send ${op.kind} ${write.step}`);
    return commit(op, key, number, result, adopted);
  }

  async function find<Result extends Json>(
    op: Frame,
    key: string,
    write: Write<Result>,
    attempt: number,
    since: number,
  ): Promise<Next<Result>> {
    if (write.settle !== 'probe') throw new Error(`${key} is settled by ${write.settle}, not by a probe`);
    core.crashPoint(`before find ${op.kind} ${write.step}`);
    let found: Result | undefined;
    try {
      found = await write.find();
    } catch (thrown) {
      return postpone(op, key, attempt, 'in-doubt', asError(thrown), since);
    }
    core.crashPoint(`after find ${op.kind} ${write.step}`);
    if (found !== undefined) return commit(op, key, attempt, found, true);
    return core.transact(`retry ${op.kind} ${write.step}`, function* (): Transaction<Next<Result>> {
      yield* query(
        `UPDATE effect SET state = 'waiting', due_at = ? WHERE key = ? AND attempt = ? AND state <> 'done'`,
        core.now(),
        key,
        attempt,
      );
      const row = yield* queryOne<EffectRow>(`SELECT * FROM effect WHERE key = ?`, key);
      const forbidden = yield* forbid(op, row);
      if (forbidden) return { next: 'refuse', error: forbidden, raised: false };
      if (write.whenMissing === 'ask') {
        return yield* ask(
          op,
          key,
          attempt,
          `${op.partner} does not know of "${describe(op, write)}". Because it is about money it is not sent again by itself.`,
        );
      }
      if (attempt >= MOST_SENDS) {
        return yield* ask(
          op,
          key,
          attempt,
          `${op.partner} left "${describe(op, write)}" unanswered ${attempt} times and does not have it.`,
        );
      }
      const taken = yield* takeAttempt<Result>(key, row?.content_hash ?? '', attempt, core.now());
      return taken.next === 'send' ? { ...taken, look: false } : taken;
    });
  }

  function commit<Result extends Json>(
    op: Frame,
    key: string,
    attempt: number,
    result: Result,
    adopted: boolean,
  ): Promise<Next<Result>> {
    return core.transact(`result of ${op.kind}`, function* (): Transaction<Next<Result>> {
      const now = core.now();
      const mine = yield* queryOne(
        `UPDATE effect SET state = 'done', result = ?, error_code = NULL, error = NULL, due_at = NULL, finished_at = ? WHERE key = ? AND attempt = ? AND state <> 'done' RETURNING key`,
        JSON.stringify(result ?? null),
        now,
        key,
        attempt,
      );
      if (!mine) {
        // Another instance went on while this one was frozen: what stands in the ledger counts.
        const row = yield* queryOne<EffectRow>(`SELECT * FROM effect WHERE key = ?`, key);
        if (row?.state === 'done') return { next: 'answer', result: JSON.parse(row.result ?? 'null') as Result };
        return { next: 'wait', until: now + 1000, reason: 'another instance is at it' };
      }
      yield* settle(now, { subject: key }, 'dropline', adopted ? 'Found at the partner.' : 'Done after all.');
      if (adopted)
        yield* note(now, {
          orderId: op.orderId,
          eventId: op.eventId,
          what: 'found at the partner',
          subject: key,
          detail: summaryOf(result),
        });
      return { next: 'answer', result };
    });
  }

  function settleFailure<Result>(
    op: Frame,
    key: string,
    write: Write<Json>,
    attempt: number,
    error: Error,
  ): Promise<Next<Result>> {
    if (error instanceof TemporaryFault) return postpone(op, key, attempt, 'waiting', error);
    if (error instanceof BusinessRefusal || error instanceof ConfigurationMistake) {
      return core.transact(`refusal of ${op.kind}`, function* (): Transaction<Next<Result>> {
        yield* refuse(op, key, attempt, 'refused', error.code, error.message);
        return { next: 'refuse', error };
      });
    }
    // Everything else leaves open whether it was done: a mistake in our own code after the request included.
    return core.transact(`doubt about ${op.kind}`, function* (): Transaction<Next<Result>> {
      const now = core.now();
      if (write.settle === 'ask') {
        return yield* ask(
          op,
          key,
          attempt,
          `Whether ${op.partner} has done "${describe(op, write)}" is not known, and it cannot be asked. ${error.message}`,
        );
      }
      const due = now + (write.settle === 'idempotent' ? backOff(attempt, core.random()) : op.settleTime);
      if (write.settle === 'idempotent' && attempt >= MOST_SENDS) {
        return yield* ask(
          op,
          key,
          attempt,
          `${op.partner} left "${describe(op, write)}" unanswered ${attempt} times. ${error.message}`,
        );
      }
      yield* query(
        `UPDATE effect SET state = 'in-doubt', due_at = ?, error_code = ?, error = ? WHERE key = ? AND attempt = ? AND state <> 'done'`,
        due,
        error instanceof DroplineError ? error.code : 'UNEXPECTED',
        error.message,
        key,
        attempt,
      );
      yield* note(now, {
        orderId: op.orderId,
        eventId: op.eventId,
        what: 'in doubt',
        subject: key,
        detail: { attempt, error: error.message },
      });
      return { next: 'wait', until: due, reason: error.message };
    });
  }

  /** Temporary: comes back by itself, until the patience is at its end and a person is asked. */
  function postpone<Result>(
    op: Frame,
    key: string,
    attempt: number,
    state: 'waiting' | 'in-doubt',
    error: Error,
    since?: number,
  ): Promise<Next<Result>> {
    return core.transact(`pause of ${op.kind}`, function* (): Transaction<Next<Result>> {
      const now = core.now();
      const row = yield* queryOne<{ first_started_at: number }>(
        `SELECT first_started_at FROM effect WHERE key = ?`,
        key,
      );
      if (now - Number(since ?? row?.first_started_at ?? now) > core.settings.patience) {
        const code = error instanceof DroplineError ? error.code : 'UNEXPECTED';
        yield* refuse(
          op,
          key,
          attempt,
          state === 'waiting' ? 'refused' : 'asked',
          code,
          `${error.message} It has been tried for a long time.`,
        );
        return { next: 'refuse', error };
      }
      // A probe that fails counts no attempt, so it is the time that has gone by that slows it down.
      const elapsed = state === 'in-doubt' ? now - Number(since ?? now) : 0;
      const wait =
        (error instanceof TemporaryFault ? error.retryAfter : undefined) ??
        Math.max(backOff(attempt, core.random()), Math.min(Math.round(elapsed / 4), 300_000));
      yield* query(
        `UPDATE effect SET state = ?, due_at = ?, error_code = ?, error = ? WHERE key = ? AND attempt = ? AND state <> 'done'`,
        state,
        now + wait,
        error instanceof DroplineError ? error.code : 'UNEXPECTED',
        error.message,
        key,
        attempt,
      );
      return { next: 'wait', until: now + wait, reason: error.message };
    });
  }

  function* ask<Result>(op: Frame, key: string, attempt: number, message: string): Transaction<Next<Result>> {
    const advice = `${message} Look it up at ${op.partner}. If it is not there, have it tried again; if it is, settle this by hand.`;
    yield* refuse(op, key, attempt, 'asked', 'IN_DOUBT', advice);
    return { next: 'refuse', error: new BusinessRefusal('IN_DOUBT', advice) };
  }

  function* refuse(op: Frame, key: string, attempt: number, state: 'refused' | 'asked', code: string, message: string) {
    yield* query(
      `UPDATE effect SET state = ?, due_at = NULL, error_code = ?, error = ? WHERE key = ? AND attempt = ? AND state <> 'done'`,
      state,
      code,
      message,
      key,
      attempt,
    );
    yield* raise(core.now(), { subject: key, code, message, orderId: op.orderId, eventId: op.eventId, effectKey: key });
  }

  /** The recorded result of a finished effect. Another business content under the same key is for a person. */
  function* recorded<Result>(key: string, hash: string, identity: Identity) {
    const row = yield* queryOne<EffectRow>(`SELECT * FROM effect WHERE key = ? AND state = 'done'`, key);
    if (!row) return undefined;
    if (row.content_hash !== hash) {
      throw new BusinessRefusal(
        'EFFECT_DIVERGED',
        `${identity.kind} of ${identity.document} was done before with other lines, quantities, costs or another address. It is not done again; compare the order's history.`,
        { status: 'differs from before' },
      );
    }
    return { result: JSON.parse(row.result ?? 'null') as Result };
  }

  /**
   * A message of a closed event that reaches an effect opens it again, so that a crash from here on is made good. It is in
   * work, not due: emitting it again would send it through the same long delay once more, for ever.
   */
  function* reopen(eventId: string) {
    yield* query(
      `UPDATE event SET state = 'open', due_at = NULL, closed_at = NULL WHERE id = ? AND state = 'closed'`,
      Number(eventId),
    );
  }

  return { operation, once, isRaised: (error) => error instanceof Error && raised.has(error) };
}

/** SHA-256 over JSON with sorted keys: the same business content gives the same hash whatever the order of its fields. */
export function contentHash(content: unknown): string {
  return createHash('sha256').update(canonical(content)).digest('hex').slice(0, 32);
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).filter(([, item]) => item !== undefined);
    entries.sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`).join(',')}}`;
  }
  return JSON.stringify(value ?? null);
}

function describe(op: Frame, write: { step: string }): string {
  return `${op.kind} ${op.document} (${write.step})`;
}

function asRefusal(row: EffectRow): BusinessRefusal {
  return new BusinessRefusal(row.error_code ?? 'REFUSED', row.error ?? 'It was refused before.');
}

/** Small scalar fields of a result, for the history. */
function summaryOf(result: unknown): Record<string, Json> {
  if (typeof result !== 'object' || result === null || Array.isArray(result)) return {};
  const scalars = Object.entries(result).filter(([, value]) => typeof value === 'string' || typeof value === 'number');
  return Object.fromEntries(scalars.slice(0, 8)) as Record<string, Json>;
}
