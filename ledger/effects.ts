import { hash as digest } from 'node:crypto';
import { BusinessRefusal, ConfigurationMistake, DroplineError, TemporaryFault, asError } from '../orders/errors.ts';
import type { Attempt, Json, Write, Writer } from '../partners/write.ts';
import { correlated } from './correlation.ts';
import { backOff, type Core } from './core.ts';
import type { Happening } from './tools.ts';
import { raise, settle } from './exceptions.ts';
import { note } from './history.ts';
import { mayBeForgotten } from './restored.ts';
import { isRedacted } from './retention.ts';
import { change, query, queryOne, type Transaction } from './store.ts';

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
  /** Whether the write at hand takes a person's number for its result. */
  adopts?: boolean;
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

/** A person's answer to a write that was refused or that nobody can look up: the number that it has at the partner, and who says so. */
export interface Given {
  number: string;
  by: string;
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
  given: string | null;
  lost: number;
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
  /** `changed`: the content is not the one that the number was given for. */
  | { next: 'adopt'; attempt: number; given: Given; changed: boolean }
  | { next: 'refuse'; error: Error; raised?: boolean };

/** Who is told of a step, so that events close only when all is quiet. */
export interface EffectListener {
  started(eventId: string): void;
  ended(eventId: string): void;
  /** Whether the event is certainly in work by this process, so that a crash from here on is made good. */
  isHeld(eventId: string): boolean;
  /** It is from now on. */
  held(eventId: string): void;
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
      if (!listener.isHeld(op.eventId)) await hold(op.eventId);
      const known = await core.read(() => recorded<Result>(key, hash, op));
      if (known) return { result: known.result, replayed: true };
      const results = new Results(core);
      let result: Result;
      try {
        result = await op.call((write) => perform(op, `${key}/${write.step}`, hash, write, results));
      } catch (thrown) {
        await results.commit(`result of ${op.kind}`);
        throw thrown;
      }
      return results.commit(`record ${op.kind}`, () => recordOutcome(key, hash, op, result), true);
    });
  }

  function once<Result>(decision: Decision<Result>): Promise<Recorded<Result>> {
    const key = [decision.kind, decision.partner, decision.document].filter((part) => part !== undefined).join('/');
    return busy(decision.eventId, key, async () => {
      if (!listener.isHeld(decision.eventId)) await hold(decision.eventId);
      const hash = contentHash(decision.content);
      return core.transact(`record ${decision.kind}`, () => recordDecision(key, hash, decision));
    });
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

  function* recordDecision<Result>(
    key: string,
    hash: string,
    decision: Decision<Result>,
  ): Transaction<Recorded<Result>> {
    const known = yield* recorded<Result>(key, hash, decision);
    if (known) return { result: known.result, replayed: true };
    const result = yield* decision.decide();
    yield* insertDone(key, hash, decision, result);
    return { result, replayed: false };
  }

  function* recordOutcome<Result>(
    key: string,
    hash: string,
    op: Operation<Result>,
    result: Result,
  ): Transaction<Recorded<Result>> {
    if (!(yield* insertDone(key, hash, op, result))) {
      // Another instance went on while this one was frozen: what stands in the ledger counts.
      const known = yield* recorded<Result>(key, hash, op);
      return { result: known!.result, replayed: true };
    }
    if (op.record) yield* op.record(result);
    return { result, replayed: false };
  }

  /** @returns false when it stands there already */
  function* insertDone(
    key: string,
    hash: string,
    identity: Identity & { partner?: string },
    result: unknown,
  ): Transaction<boolean> {
    const now = core.now();
    const inserted = yield* change(
      `INSERT INTO effect (key, event_id, order_id, partner, kind, document, state, attempt, content_hash, result, first_started_at, started_at, finished_at)
       VALUES (?, ?, ?, ?, ?, ?, 'done', 1, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING`,
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
    if (inserted === 0) return false;
    yield* note(now, {
      orderId: identity.orderId,
      eventId: identity.eventId,
      what: identity.kind,
      subject: identity.document,
      detail: { ...(identity.partner ? { partner: identity.partner } : {}), ...summaryOf(result) },
    });
    return true;
  }

  /** One outbound call: intent, call, result, each committed; in doubt it is settled the way the adapter says. */
  function perform<Result extends Json>(
    whole: Frame,
    key: string,
    hash: string,
    write: Write<Result>,
    results: Results,
  ): Promise<Result> {
    const op: Frame = { ...whole, adopts: write.adopt !== undefined };
    return single(key, async () => {
      let next = await results.commit(`intend ${op.kind} ${write.step}`, () => intend<Result>(op, key, hash, write));
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
          case 'adopt':
            next = await adopt(op, key, write, next);
            break;
          case 'send':
            next = await send(op, key, write, next.attempt, next.look, results);
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
    const now = core.now();
    // First what is by far the most frequent: nobody has begun it.
    const begun = yield* change(
      `INSERT INTO effect (key, event_id, order_id, partner, kind, document, step, state, attempt, content_hash, summary, first_started_at, started_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, 'sending', 1, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING`,
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
    if (begun > 0) {
      const forbidden =
        (yield* forbid(op, undefined)) ?? ((yield* isRedacted(op.orderId)) ? orderRedacted(op) : undefined);
      if (forbidden) {
        yield* query(`DELETE FROM effect WHERE key = ?`, key);
        return { next: 'refuse', error: forbidden, raised: false };
      }
      // A ledger that was put back from a backup has forgotten its intents of since then: in doubt from the start.
      const forgotten = write.settle !== 'idempotent' && (yield* mayBeForgotten(op));
      if (!forgotten) return { next: 'send', attempt: 1, look: true };
      yield* query(`UPDATE effect SET state = 'in-doubt' WHERE key = ?`, key);
      if (write.settle === 'probe') return { next: 'find', attempt: 1, since: now };
      return yield* ask(
        op,
        key,
        1,
        `The ledger was put back from a backup, so it does not know whether ${op.partner} has done "${describe(op, write)}" before, and it cannot be asked.`,
      );
    }
    const [row] = yield* query<EffectRow>(`SELECT * FROM effect WHERE key = ?`, key);
    if (!row) throw new Error(`${key} is neither there nor can it be made`);
    if (row.state === 'done') {
      const known = yield* recorded<Result>(key, hash, op);
      return { next: 'answer', result: known!.result };
    }
    // What a person says to be there is taken over even when the document is no longer wanted.
    if (row.given && write.adopt && (row.state === 'asked' || row.state === 'refused')) {
      const given = JSON.parse(row.given) as Given;
      return { next: 'adopt', attempt: row.attempt, given, changed: row.content_hash !== hash };
    }
    const forbidden = yield* forbid(op, row);
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
        if (row.state === 'sending') yield* query(`UPDATE effect SET lost = lost + 1 WHERE key = ?`, key);
        if (write.settle === 'idempotent') {
          if (row.state === 'in-doubt' && (row.due_at ?? 0) > now)
            return { next: 'wait', until: row.due_at ?? now, reason: row.error ?? 'in doubt' };
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
        // A jump of the clock is no time that has gone by.
        const unsettled = Math.max(Number(row.started_at), core.steadySince()) + op.settleTime;
        const due =
          row.state === 'in-doubt' && core.steadySince() <= Number(row.started_at) ? (row.due_at ?? now) : unsettled;
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
    const won = yield* change(
      `UPDATE effect SET state = 'sending', attempt = attempt + 1, content_hash = ?, started_at = ?, due_at = NULL WHERE key = ? AND attempt = ?`,
      hash,
      now,
      key,
      attempt,
    );
    if (won === 0) return { next: 'wait', until: now + 1000, reason: 'another instance is at it' };
    return { next: 'send', attempt: attempt + 1, look: true };
  }

  const mayCall = () => core.instance.holdsLease();

  const takenOver = (): { next: 'wait'; until: number; reason: string } => ({
    next: 'wait',
    until: core.now() + core.settings.lease,
    reason: 'others have taken over',
  });

  async function send<Result extends Json>(
    op: Frame,
    key: string,
    write: Write<Result>,
    number: number,
    look: boolean,
    results: Results,
  ): Promise<Next<Result>> {
    const attempt: Attempt = { key, number };
    core.crashPoint(`before send ${op.kind} ${write.step}`);
    const began = core.now();
    let result: Result;
    let adopted = false;
    try {
      // A retry looks first: what was taken for certainly not sent, or sent again by a person's word, may be there after all.
      const looks = look && write.settle === 'probe' && (write.look === 'always' || number > 1);
      const id = correlationId(op, key);
      const found = looks ? await correlated(id, mayCall, () => write.find()) : undefined;
      adopted = found !== undefined;
      // Frozen since the intent, or while it looked: others may be at it by now. What they find is an intent, and they ask the partner.
      if (!adopted && !mayCall()) return takenOver();
      result = found ?? (await correlated(id, mayCall, () => write.send(attempt)));
    } catch (thrown) {
      core.crashPoint(`after failed send ${op.kind} ${write.step}`);
      return settleFailure(op, key, write, number, asError(thrown));
    }
    core.crashPoint(`after send ${op.kind} ${write.step}`);
    observe('effect done', op, key, number, {
      outcome: adopted ? 'adopted' : 'answered',
      milliseconds: core.now() - began,
    });
    if (number > 1 || adopted || !canWait(write)) return commit(op, key, number, result, adopted);
    results.add(() => settleSmoothly(op, key, result));
    return { next: 'answer', result };
  }

  function observe(
    what: Happening['what'],
    op: Frame,
    effect: string,
    attempt: number,
    more: { outcome?: string; milliseconds?: number } = {},
  ): void {
    const { eventId, orderId, partner, kind } = op;
    core.observe({ what, eventId, orderId, partner, kind, effect, attempt, ...more });
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
      found = await correlated(correlationId(op, key), mayCall, () => write.find());
    } catch (thrown) {
      return postpone(op, key, attempt, 'in-doubt', asError(thrown), since);
    }
    core.crashPoint(`after find ${op.kind} ${write.step}`);
    if (found !== undefined) observe('effect done', op, key, attempt, { outcome: 'adopted' });
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
      const lost = Number(row?.lost ?? 0);
      if (lost >= MOST_SENDS) {
        return yield* ask(
          op,
          key,
          attempt,
          `${op.partner} left "${describe(op, write)}" unanswered ${lost} times and does not have it.`,
        );
      }
      const taken = yield* takeAttempt<Result>(key, row?.content_hash ?? '', attempt, core.now());
      return taken.next === 'send' ? { ...taken, look: false } : taken;
    });
  }

  /** What the adapter makes of a person's number is the result. A number that it does not take leaves everything as it was. */
  async function adopt<Result extends Json>(
    op: Frame,
    key: string,
    write: Write<Result>,
    { attempt, given, changed }: Extract<Next<Result>, { next: 'adopt' }>,
  ): Promise<Next<Result>> {
    core.crashPoint(`before adopt ${op.kind} ${write.step}`);
    let result: Result;
    try {
      if (!write.adopt) throw new Error(`${key} takes no number`);
      if (changed)
        throw new BusinessRefusal(
          'CONTENT_CHANGED',
          'The content has changed since, so it may stand for something else.',
        );
      const { adopt: take } = write;
      result = await correlated(correlationId(op, key), mayCall, () => take(given.number));
    } catch (thrown) {
      core.crashPoint(`after failed adopt ${op.kind} ${write.step}`);
      return core.transact(`number of ${op.kind} refused`, function* (): Transaction<Next<Result>> {
        const row = yield* queryOne<EffectRow>(
          `UPDATE effect SET given = NULL WHERE key = ? AND attempt = ? AND state <> 'done' RETURNING *`,
          key,
          attempt,
        );
        const code = row?.error_code ?? 'IN_DOUBT';
        const message = `"${given.number}" was not taken: ${asError(thrown).message} What had happened before: ${row?.error ?? ''}`;
        const about = { orderId: op.orderId, eventId: op.eventId, effectKey: key };
        yield* raise(core.now(), { subject: key, code, message, ...about });
        return { next: 'refuse', error: new BusinessRefusal(code, message) };
      });
    }
    core.crashPoint(`after adopt ${op.kind} ${write.step}`);
    observe('effect done', op, key, attempt, { outcome: 'adopted' });
    return commit(op, key, attempt, result, true, given);
  }

  function commit<Result extends Json>(
    op: Frame,
    key: string,
    attempt: number,
    result: Result,
    adopted: boolean,
    given?: Given,
  ): Promise<Next<Result>> {
    return core.transact(`result of ${op.kind}`, () => settleResult(op, key, attempt, result, adopted, given));
  }

  /** The result of a first attempt that went well: by far the most frequent, and there is nothing to settle with it. */
  function* settleSmoothly<Result extends Json>(op: Frame, key: string, result: Result): Transaction<void> {
    const smooth = yield* change(
      `UPDATE effect SET state = 'done', result = ?, finished_at = ? WHERE key = ? AND attempt = 1 AND state = 'sending'`,
      JSON.stringify(result ?? null),
      core.now(),
      key,
    );
    if (smooth > 0) return;
    const next = yield* settleResult(op, key, 1, result, false);
    if (next.next === 'wait') throw new Waiting(next.until, next.reason);
  }

  function* settleResult<Result extends Json>(
    op: Frame,
    key: string,
    attempt: number,
    result: Result,
    adopted: boolean,
    given?: Given,
  ): Transaction<Next<Result>> {
    const now = core.now();
    const mine = yield* change(
      `UPDATE effect SET state = 'done', result = ?, error_code = NULL, error = NULL, due_at = NULL, finished_at = ? WHERE key = ? AND attempt = ? AND state <> 'done'`,
      JSON.stringify(result ?? null),
      now,
      key,
      attempt,
    );
    if (mine === 0) {
      // Another instance went on while this one was frozen: what stands in the ledger counts.
      const row = yield* queryOne<EffectRow>(`SELECT * FROM effect WHERE key = ?`, key);
      if (row?.state === 'done') return { next: 'answer', result: JSON.parse(row.result ?? 'null') as Result };
      return { next: 'wait', until: now + 1000, reason: 'another instance is at it' };
    }
    if (given) yield* settle(now, { subject: key }, given.by, `Done, as ${given.number}.`);
    else yield* settle(now, { subject: key }, 'dropline', adopted ? 'Found at the partner.' : 'Done after all.');
    if (adopted)
      yield* note(now, {
        orderId: op.orderId,
        eventId: op.eventId,
        what: 'found at the partner',
        subject: key,
        detail: { ...summaryOf(result), ...given },
      });
    return { next: 'answer', result };
  }

  function settleFailure<Result>(
    op: Frame,
    key: string,
    write: Write<Json>,
    attempt: number,
    error: Error,
  ): Promise<Next<Result>> {
    if (error instanceof TemporaryFault) {
      return core
        .read(() => isDoubtful(key, write))
        .then((doubtful) => postpone(op, key, attempt, doubtful ? 'in-doubt' : 'waiting', error));
    }
    if (error instanceof BusinessRefusal || error instanceof ConfigurationMistake) {
      return core.transact(`refusal of ${op.kind}`, function* (): Transaction<Next<Result>> {
        // Wrong credentials say nothing of an earlier attempt whose answer was lost.
        const doubtful = error instanceof ConfigurationMistake && (yield* isDoubtful(key, write));
        yield* refuse(op, key, attempt, doubtful ? 'asked' : 'refused', error.code, error.message);
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
      const row = yield* queryOne<{ lost: number }>(
        `UPDATE effect SET lost = lost + 1 WHERE key = ? AND attempt = ? RETURNING lost`,
        key,
        attempt,
      );
      const lost = Number(row?.lost ?? 0);
      const due = now + (write.settle === 'idempotent' ? backOff(Math.max(1, lost), core.random()) : op.settleTime);
      if (write.settle === 'idempotent' && lost >= MOST_SENDS) {
        return yield* ask(
          op,
          key,
          attempt,
          `${op.partner} left "${describe(op, write)}" unanswered ${lost} times. ${error.message}`,
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
      observe('effect in doubt', op, key, attempt, {
        outcome: error instanceof DroplineError ? error.code : 'UNEXPECTED',
      });
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

  /**
   * Whether an earlier attempt may have been done although this one certainly was not. A write that is looked up is known to be
   * missing before it is sent again; one that is simply repeated is not.
   */
  function* isDoubtful(key: string, write: { settle: string }): Transaction<boolean> {
    if (write.settle !== 'idempotent') return false;
    const row = yield* queryOne<{ lost: number }>(`SELECT lost FROM effect WHERE key = ?`, key);
    return Number(row?.lost ?? 0) > 0;
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
      observe('effect retried', op, key, attempt, {
        outcome: error instanceof DroplineError ? error.code : 'UNEXPECTED',
      });
      return { next: 'wait', until: now + wait, reason: error.message };
    });
  }

  function* ask<Result>(op: Frame, key: string, attempt: number, message: string): Transaction<Next<Result>> {
    const advice = `${message} Look it up at ${op.partner}. If it is not there, have it tried again; if it is, ${op.adopts ? 'mark it done with its number there' : 'settle this by hand'}.`;
    yield* refuse(op, key, attempt, 'asked', 'IN_DOUBT', advice);
    return { next: 'refuse', error: new BusinessRefusal('IN_DOUBT', advice) };
  }

  function* refuse(op: Frame, key: string, attempt: number, state: 'refused' | 'asked', code: string, message: string) {
    observe(state === 'asked' ? 'effect asked' : 'effect refused', op, key, attempt, { outcome: code });
    yield* query(
      `UPDATE effect SET state = ?, due_at = NULL, error_code = ?, error = ?, adopts = ? WHERE key = ? AND attempt = ? AND state <> 'done'`,
      state,
      code,
      message,
      op.adopts ? 1 : 0,
      key,
      attempt,
    );
    yield* raise(core.now(), { subject: key, code, message, orderId: op.orderId, eventId: op.eventId, effectKey: key });
  }

  /** The recorded result of a finished effect. Another business content under the same key is for a person. */
  function* recorded<Result>(key: string, hash: string, identity: Identity) {
    const row = yield* queryOne<EffectRow>(`SELECT * FROM effect WHERE key = ? AND state = 'done'`, key);
    if (!row) return undefined;
    // What is left of a redacted order is not what the hash was made of, and nothing is sent from here.
    if (row.content_hash !== hash && !(yield* isRedacted(identity.orderId))) {
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
   * @throws Waiting when another instance has taken the event over: it goes on there
   */
  async function hold(eventId: string): Promise<void> {
    await core.transact('hold', function* (): Transaction<void> {
      const { id: owner } = core.instance;
      const mine = yield* change(
        `UPDATE event SET owner = ?, due_at = CASE WHEN state = 'closed' THEN NULL ELSE due_at END, state = 'open', closed_at = NULL
         WHERE id = ? AND (state = 'closed' OR (state = 'open' AND (owner = ? OR owner IS NULL)))`,
        owner,
        Number(eventId),
        owner,
      );
      if (mine > 0) return;
      const other = yield* queryOne(`SELECT id FROM event WHERE id = ? AND state = 'open'`, Number(eventId));
      if (other) throw new Waiting(core.now() + core.settings.lease, 'another instance goes on with it');
    });
    listener.held(eventId);
  }

  return { operation, once, isRaised: (error) => error instanceof Error && raised.has(error) };
}

/** Whether two contents are the same business content, whatever the order of their fields. */
export function sameContent(a: unknown, b: unknown): boolean {
  return canonical(a) === canonical(b);
}

/**
 * Whether a result may wait for the next commit of its operation. A crash before it leaves a doubt that settles itself; one that
 * only a person can settle, or that is about money, is not risked to save a commit.
 */
function canWait(write: Write<Json>): boolean {
  return write.settle === 'idempotent' || (write.settle === 'probe' && write.whenMissing !== 'ask');
}

/** Results of an operation's calls that ride with its next commit: the next intent, or its record. */
class Results {
  #waiting: (() => Transaction<void>)[] = [];
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  add(settle: () => Transaction<void>): void {
    this.#waiting.push(settle);
  }

  /** @param ahead see `Store`: what comes of a call that was answered may be found out again */
  async commit<Result>(name: string, further?: () => Transaction<Result>, ahead = false): Promise<Result> {
    const waiting = this.#waiting;
    if (waiting.length === 0 && !further) return undefined as Result;
    const outcome = await this.#core.transact(
      name,
      function* (): Transaction<Result> {
        for (const settle of waiting) yield* settle();
        return (further ? yield* further() : undefined) as Result;
      },
      ahead,
    );
    this.#waiting = this.#waiting.filter((settle) => !waiting.includes(settle));
    return outcome;
  }
}

/** SHA-256 over JSON with sorted keys: the same business content gives the same hash whatever the order of its fields. */
export function contentHash(content: unknown): string {
  return digest('sha256', canonical(content)).slice(0, 32);
}

function canonical(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value ?? null);
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  const object = value as Record<string, unknown>;
  let text = '';
  for (const key of sorted(Object.keys(object))) {
    const item = object[key];
    if (item !== undefined) text += `${text === '' ? '' : ','}${quoted(key)}:${canonical(item)}`;
  }
  return `{${text}}`;
}

/** In place, by UTF-16 code units as `sort()` does it, which makes copies: of all that an order left for the collector they were the most. */
function sorted(names: string[]): string[] {
  if (names.length > 64) return names.sort();
  for (let next = 1; next < names.length; next += 1) {
    const name = names[next]!;
    let at = next;
    for (; at > 0 && names[at - 1]! > name; at -= 1) names[at] = names[at - 1]!;
    names[at] = name;
  }
  return names;
}

function quoted(name: string): string {
  return /^\w*$/.test(name) ? `"${name}"` : JSON.stringify(name);
}

/** What stands in the log of the partner's side too: numbers and references, never people. */
function correlationId(op: Frame, key: string): string {
  return `${op.orderId ?? op.document}/${key}`;
}

function describe(op: Frame, write: { step: string }): string {
  return `${op.kind} ${op.document} (${write.step})`;
}

function orderRedacted(op: Frame): BusinessRefusal {
  return new BusinessRefusal(
    'ORDER_REDACTED',
    `Order ${op.orderId} was finished long ago and its personal data have been removed, so ${op.kind} of ${op.document} cannot be sent to ${op.partner} any more. Do it there by hand, then settle this.`,
    { status: 'order redacted' },
  );
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
