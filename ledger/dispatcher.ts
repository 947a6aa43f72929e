import { asError, TemporaryFault } from '../orders/errors.ts';
import { backOff, type Core } from './core.ts';
import { raiseMissed } from './deadlines.ts';
import { asEvent, type Emit, type EventRow, type LedgerEvent } from './events.ts';
import { raise, settle } from './exceptions.ts';
import { query, queryOne, type Transaction } from './store.ts';

/** Takes the messages of an event into the flow. */
export interface Receiver {
  /** For the red status of a second receiver: who has it. */
  id: string;
  emit(event: LedgerEvent, emits: Emit[]): void;
}

/** What judging an event comes to; it is applied in the same transaction. */
export type Judgement =
  | { verdict: 'emit'; emits: Emit[]; orderId?: string }
  /** Nothing to tell the flow (a repetition, nothing that concerns us). */
  | { verdict: 'close'; note: string; orderId?: string }
  /** Something must come first. */
  | { verdict: 'wait'; until: number; note: string; orderId?: string }
  | { verdict: 'unusable'; code: string; message: string; orderId?: string };

/** Judges one event: what it changes in the documents, and what the flow is told. Throws a DroplineError for what is unusable. */
export type Judge = (event: LedgerEvent) => Transaction<Judgement>;

interface Claim {
  claimed: LedgerEvent[];
  /** How many due events were looked at: there may be more. */
  looked: number;
  /** When the next one is due. */
  next: number | undefined;
}

interface Work {
  lastStep: number;
  /** Effects and node handlers at it now. */
  running: number;
  /** The earliest time at which it must come back; nothing until then. */
  until: number | undefined;
  failed: Error | undefined;
  emittedAt: number;
  emission: number;
  stepped: boolean;
}

/** Milliseconds in which an emitted message must have reached a node of ours to go on counting as a place in the queue. */
const TRAVEL_TIME = 250;
const SWEEP = 500;
const RECEIVER_CHECK = 60_000;

/**
 * Emits open events while there is room, brings back what is due, closes what is quiet. The only source of messages: a
 * first run and a replay take the same way.
 */
export class Dispatcher {
  readonly #core: Core;
  readonly #judge: Judge;
  readonly #work = new Map<string, Work>();
  readonly #receivers = new Map<string, Receiver>();
  #running = 0;
  /** Nothing is emitted before the flows run for the first time, nor while a deploy replaces them. */
  #paused = true;
  #closed = false;
  #dispatching = false;
  #again = false;
  #cancelTimer: (() => void) | undefined;
  #timerAt = Infinity;
  #cancelSweep: (() => void) | undefined;
  #sweeping: Promise<void> = Promise.resolve();

  constructor(core: Core, judge: Judge) {
    this.#core = core;
    this.#judge = judge;
  }

  /** Takes back what a dead process had in work, then begins to emit. Called once the flows run. */
  async start(): Promise<void> {
    const now = this.#core.now();
    await this.#core.transact('recover', () =>
      query(`UPDATE event SET due_at = ?, owner = NULL WHERE state = 'open' AND due_at IS NULL`, now),
    );
    this.#paused = false;
    this.#scheduleSweep();
    this.wake();
  }

  /** One receiver per partner and kind of event; false when there is another already. `partner` may be `*`. */
  addReceiver(partner: string, kind: string, receiver: Receiver): boolean {
    const key = `${partner} ${kind}`;
    const present = this.#receivers.get(key);
    if (present && present.id !== receiver.id) return false;
    this.#receivers.set(key, receiver);
    void this.#core
      .transact('receiver', () =>
        query(
          `UPDATE event SET due_at = ?, note = NULL WHERE state IN ('open', 'stored') AND kind = ? AND note = 'no receiver'`,
          this.#core.now(),
          kind,
        ),
      )
      .then(() => this.wake())
      .catch((error: unknown) => this.#core.log('error', asError(error).message));
    return true;
  }

  removeReceiver(partner: string, kind: string, id: string): void {
    const key = `${partner} ${kind}`;
    if (this.#receivers.get(key)?.id === id) this.#receivers.delete(key);
  }

  #receiverOf(event: LedgerEvent): Receiver | undefined {
    return this.#receivers.get(`${event.partner} ${event.kind}`) ?? this.#receivers.get(`* ${event.kind}`);
  }

  /** A deploy begins: nothing is emitted while nodes come and go. */
  pause(): void {
    this.#paused = true;
  }

  /** The flows run again: whatever was in work may have lost its message and is emitted again; that is no failed attempt. */
  async resume(): Promise<void> {
    if (this.#closed) return;
    try {
      await this.#giveBack('redeploy');
    } catch (thrown) {
      this.#core.log('error', `after the deploy the ledger does not go on yet: ${asError(thrown).message}`);
      this.#core.after(1000, () => void this.resume());
      return;
    }
    // Steps of the replaced nodes that still run are counted until they end.
    for (const [id, work] of this.#work) {
      if (work.running === 0) this.#work.delete(id);
      else Object.assign(work, { until: undefined, failed: undefined });
    }
    this.#paused = false;
    this.wake();
  }

  /** What is in work is due at once, and its attempt does not count: nothing failed. */
  #giveBack(name: string): Promise<void> {
    const ids = [...this.#work.keys()];
    const now = this.#core.now();
    return this.#core.transact(name, function* (): Transaction<void> {
      for (const id of ids) {
        yield* query(
          `UPDATE event SET due_at = ?, attempts = CASE WHEN attempts > 0 THEN attempts - 1 ELSE 0 END WHERE id = ? AND state = 'open' AND due_at IS NULL`,
          now,
          Number(id),
        );
      }
    });
  }

  /** A step of an event began: it counts as busy until `ended`. */
  started(eventId: string): void {
    this.#running += 1;
    const work = this.#touch(eventId);
    work.running += 1;
  }

  ended(eventId: string): void {
    this.#running -= 1;
    const work = this.#work.get(eventId);
    if (work) {
      work.lastStep = this.#core.now();
      work.running = Math.max(0, work.running - 1);
      if (work.running === 0 && work.until !== undefined) this.#park(eventId, work);
    }
    this.wake();
  }

  /** The event must come back at this time (a retry, a settle time). */
  returnAt(eventId: string, until: number): void {
    const work = this.#touch(eventId);
    work.until = Math.min(work.until ?? Infinity, until);
    if (work.running === 0) this.#park(eventId, work);
  }

  /** An unexpected error, as a process death counts: after some of them the event is set aside. */
  failed(eventId: string, error: Error): void {
    const work = this.#touch(eventId);
    work.failed = error;
    work.until = Math.min(work.until ?? Infinity, this.#core.now());
    if (work.running === 0) this.#park(eventId, work);
  }

  /** Which run of an event through the flow is under way; tells the messages of a replay from those before it. */
  emission(eventId: string): number {
    return this.#work.get(eventId)?.emission ?? 0;
  }

  /** Numbers for status texts and metrics. */
  load(): { inWork: number; running: number } {
    return { inWork: this.#work.size, running: this.#running };
  }

  #touch(eventId: string): Work {
    const now = this.#core.now();
    let work = this.#work.get(eventId);
    if (!work) {
      work = {
        lastStep: now,
        running: 0,
        until: undefined,
        failed: undefined,
        emittedAt: now,
        emission: 0,
        stepped: true,
      };
      this.#work.set(eventId, work);
    }
    work.lastStep = now;
    work.stepped = true;
    return work;
  }

  /** Looks for due events, now or as soon as the present look is over. */
  wake(): void {
    if (this.#closed || this.#paused) return;
    if (this.#dispatching) {
      this.#again = true;
      return;
    }
    this.#dispatching = true;
    void this.#dispatch()
      .catch((error: unknown) => {
        if (this.#closed) return;
        this.#core.log('error', asError(error).message);
        this.#wakeAt(this.#core.now() + 1000);
      })
      .finally(() => {
        this.#dispatching = false;
        if (this.#again) {
          this.#again = false;
          this.wake();
        }
      });
  }

  async #dispatch(): Promise<void> {
    for (;;) {
      if (this.#closed || this.#paused) return;
      const now = this.#core.now();
      const travelling = [...this.#work.values()].filter(
        (work) => !work.stepped && now - work.emittedAt < TRAVEL_TIME,
      ).length;
      const room = Math.min(this.#core.settings.batch, this.#core.settings.maxEffects - this.#running - travelling);
      if (room <= 0) {
        if (travelling > 0) this.#wakeAt(now + TRAVEL_TIME);
        return;
      }
      const judging: { id: string | undefined } = { id: undefined };
      let claim: Claim;
      try {
        claim = await this.#core.transact('claim', () => this.#claim(now, room, judging));
      } catch (thrown) {
        // Not the database but one event: it fails alone, the others of the claim are claimed anew.
        if (judging.id === undefined || thrown instanceof TemporaryFault) throw thrown;
        await this.#judgeFailed(judging.id, asError(thrown));
        continue;
      }
      if (claim.next !== undefined) this.#wakeAt(claim.next);
      if (claim.looked === 0) return;
      for (const event of claim.claimed) {
        const receiver = this.#receiverOf(event);
        if (!receiver || this.#paused) {
          await this.#putBack(event, receiver ? undefined : 'no receiver', receiver ? now : now + RECEIVER_CHECK);
          continue;
        }
        this.#work.set(event.id, {
          ...newWork(now),
          running: this.#work.get(event.id)?.running ?? 0,
          emission: event.emitted + 1,
        });
        this.#core.crashPoint(`before emit ${event.kind}`);
        try {
          receiver.emit(event, event.emits ?? []);
        } catch (thrown) {
          this.#core.log('error', `event ${event.id} could not be emitted: ${asError(thrown).message}`);
          this.failed(event.id, asError(thrown));
        }
        this.#core.crashPoint(`after emit ${event.kind}`);
      }
    }
  }

  /** An error in our own code or an adapter's reader, not a judgement: it counts against this event, and after some of them a person is asked. */
  async #judgeFailed(eventId: string, error: Error): Promise<void> {
    this.#core.log('error', `event ${eventId} could not be judged: ${error.message}`);
    const { maxAttempts } = this.#core.settings;
    await this.#core.transact(
      'judge failed',
      function* (this: Dispatcher): Transaction<void> {
        const now = this.#core.now();
        const row = yield* queryOne<{ attempts: number; kind: string; partner: string; order_id: string | null }>(
          `UPDATE event SET attempts = attempts + 1 WHERE id = ? RETURNING attempts, kind, partner, order_id`,
          Number(eventId),
        );
        if (!row) return;
        if (row.attempts < maxAttempts) {
          yield* query(
            `UPDATE event SET due_at = ?, note = ? WHERE id = ?`,
            now + backOff(row.attempts, this.#core.random()),
            error.message.slice(0, 200),
            Number(eventId),
          );
          return;
        }
        yield* query(
          `UPDATE event SET state = 'quarantined', due_at = NULL, note = ? WHERE id = ?`,
          error.message.slice(0, 200),
          Number(eventId),
        );
        yield* raise(now, {
          subject: `event ${eventId}`,
          code: 'EVENT_FAILS',
          message: `The ${row.kind} from ${row.partner} could not be read ${row.attempts} times (${error.message.slice(0, 200)}). This is a mistake in the program or in a mapping: mend it, then run the event again; other events go on.`,
          orderId: row.order_id ?? undefined,
          eventId,
        });
      }.bind(this),
    );
  }

  /** An event that could not be emitted: its attempt does not count. Where there is no receiver it waits, visibly. */
  #putBack(event: LedgerEvent, note: string | undefined, until: number): Promise<unknown> {
    return this.#core.transact('put back', () =>
      query(
        `UPDATE event SET due_at = ?, note = ?, attempts = attempts - 1, emitted = emitted - 1 WHERE id = ?`,
        until,
        note,
        Number(event.id),
      ),
    );
  }

  /** Judges what is new and takes what is due, counting the attempt before anything is emitted. */
  *#claim(now: number, room: number, judging: { id: string | undefined }): Transaction<Claim> {
    const due = yield* query<EventRow>(
      `SELECT * FROM event WHERE state IN ('stored', 'waiting', 'open') AND due_at <= ? ORDER BY due_at, id LIMIT ${Math.max(1, Math.floor(room))}`,
      now,
    );
    const claimed: LedgerEvent[] = [];
    for (const row of due) {
      judging.id = String(row.id);
      let event = asEvent(row);
      if (event.state !== 'open') {
        const judged = yield* this.#judgeEvent(event, now);
        // Errors while it was judged say nothing of its way through the flow.
        if (judged) event = { ...judged, attempts: 0 };
        else continue;
      }
      judging.id = undefined;
      if (event.attempts >= this.#core.settings.maxAttempts) {
        yield* query(`UPDATE event SET state = 'quarantined', due_at = NULL WHERE id = ?`, Number(event.id));
        yield* raise(now, {
          subject: `event ${event.id}`,
          code: 'EVENT_FAILS',
          message: `The ${event.kind} from ${event.partner} failed ${event.attempts} times (an error in the flow, a step that is missing from it, or the process died). Mend the flow, then run it again; other events go on.`,
          orderId: event.orderId ?? undefined,
          eventId: event.id,
        });
        continue;
      }
      yield* query(
        `UPDATE event SET attempts = ?, emitted = emitted + 1, due_at = NULL WHERE id = ?`,
        event.attempts + 1,
        Number(event.id),
      );
      claimed.push(event);
    }
    judging.id = undefined;
    const next = yield* queryOne<{ due: number | null }>(
      `SELECT MIN(due_at) AS due FROM event WHERE state IN ('stored', 'waiting', 'open') AND due_at > ?`,
      now,
    );
    return {
      claimed,
      looked: due.length,
      next: next?.due === null || next === undefined ? undefined : Number(next.due),
    };
  }

  *#judgeEvent(event: LedgerEvent, now: number): Transaction<LedgerEvent | undefined> {
    const judgement = yield* this.#judge(event);
    const orderId = judgement.orderId ?? event.orderId;
    switch (judgement.verdict) {
      case 'emit':
        yield* query(
          `UPDATE event SET state = 'open', emits = ?, order_id = ?, note = NULL WHERE id = ?`,
          JSON.stringify(judgement.emits),
          orderId,
          Number(event.id),
        );
        return { ...event, state: 'open', emits: judgement.emits, orderId };
      case 'close':
        yield* query(
          `UPDATE event SET state = 'closed', note = ?, order_id = ?, due_at = NULL, closed_at = ? WHERE id = ?`,
          judgement.note,
          orderId,
          now,
          Number(event.id),
        );
        return undefined;
      case 'wait':
        yield* query(
          `UPDATE event SET state = 'waiting', note = ?, order_id = ?, due_at = ? WHERE id = ?`,
          judgement.note,
          orderId,
          judgement.until,
          Number(event.id),
        );
        return undefined;
      case 'unusable':
        yield* query(
          `UPDATE event SET state = 'unusable', note = ?, order_id = ?, due_at = NULL WHERE id = ?`,
          judgement.code,
          orderId,
          Number(event.id),
        );
        yield* raise(now, {
          subject: `event ${event.id}`,
          code: judgement.code,
          message: judgement.message,
          orderId: orderId ?? undefined,
          eventId: event.id,
        });
        return undefined;
    }
  }

  /** Nothing runs any more and it must come back later: it gives up its place until then. */
  #park(eventId: string, work: Work): void {
    this.#work.delete(eventId);
    const { failed } = work;
    const until = work.until ?? this.#core.now();
    void this.#core
      .transact('park', () => this.#parkEvent(eventId, until, failed))
      .then(() => this.wake())
      .catch((error: unknown) => {
        this.#core.log('error', `event ${eventId} could not be put back: ${asError(error).message}`);
        this.#work.set(eventId, { ...work, running: this.#work.get(eventId)?.running ?? 0 });
      });
  }

  /**
   * Another branch of the flow may have put the event back before: the earlier time counts, and so does that branch's failure.
   * A message that outlived its event (a long delay in the flow) opens it again.
   */
  *#parkEvent(eventId: string, until: number, failed: Error | undefined): Transaction<void> {
    const row = yield* queryOne<{ attempts: number; due_at: number | null }>(
      `SELECT attempts, due_at FROM event WHERE id = ? AND state IN ('open', 'closed')`,
      Number(eventId),
    );
    if (!row) return;
    const parked = row.due_at !== null;
    const due = failed ? this.#core.now() + backOff(Number(row.attempts), this.#core.random()) : until;
    yield* query(
      `UPDATE event SET state = 'open', closed_at = NULL, due_at = ?, attempts = ?, note = ? WHERE id = ?`,
      parked ? Math.min(due, Number(row.due_at)) : due,
      failed || parked ? Number(row.attempts) : 0,
      failed ? failed.message.slice(0, 200) : null,
      Number(eventId),
    );
  }

  #scheduleSweep(): void {
    this.#cancelSweep = this.#core.after(Math.min(SWEEP, this.#core.settings.quietTime), () => {
      this.#sweeping = this.#sweep()
        .catch((error: unknown) => this.#core.log('error', asError(error).message))
        .finally(() => {
          if (!this.#closed) this.#scheduleSweep();
        });
    });
  }

  /** Closes events that have been quiet, unless one of their effects is unsettled; raises missed deadlines. */
  async #sweep(): Promise<void> {
    if (this.#paused) return;
    const now = this.#core.now();
    for (const [id, work] of this.#work) {
      // Could not be put back before, because the database did not answer.
      if (work.running === 0 && work.until !== undefined) this.#park(id, work);
    }
    const quiet = [...this.#work]
      .filter(([, work]) => work.running === 0 && now - work.lastStep >= this.#core.settings.quietTime)
      .map(([id]) => id);
    if (quiet.length > 0) {
      const back = await this.#core.transact('close', () => this.#closeQuiet(quiet, now));
      for (const id of quiet) {
        const work = this.#work.get(id);
        if (work && work.running === 0 && work.until === undefined) this.#work.delete(id);
      }
      if (back) this.wake();
    }
    await this.#core.transact('deadlines', () => raiseMissed(now));
  }

  *#closeQuiet(ids: string[], now: number): Transaction<boolean> {
    let back = false;
    for (const id of ids) {
      const unsettled = yield* queryOne<{ due: number | null; n: number }>(
        `SELECT MIN(COALESCE(due_at, ?)) AS due, COUNT(*) AS n FROM effect WHERE event_id = ? AND state IN ('sending', 'in-doubt', 'waiting')`,
        now,
        Number(id),
      );
      // What has a due time was put back by another branch of the flow and is not at its end.
      const row = yield* queryOne<{ attempts: number }>(
        `SELECT attempts FROM event WHERE id = ? AND state = 'open' AND due_at IS NULL`,
        Number(id),
      );
      if (!row) continue;
      if (Number(unsettled?.n ?? 0) === 0) {
        yield* query(`UPDATE event SET state = 'closed', closed_at = ?, attempts = 0 WHERE id = ?`, now, Number(id));
        yield* settle(now, { subject: `event ${id}`, code: 'EVENT_FAILS' }, 'dropline', 'It ran to its end.');
        continue;
      }
      // Due, and yet the message never reached its step: the flow may have lost it, which must not go on for ever.
      const due = Number(unsettled?.due ?? now);
      const missed = due <= now;
      yield* query(
        `UPDATE event SET due_at = ?, attempts = ? WHERE id = ?`,
        missed ? now + backOff(Math.max(1, Number(row.attempts)), this.#core.random()) : due,
        missed ? Number(row.attempts) : 0,
        Number(id),
      );
      back = true;
    }
    return back;
  }

  #wakeAt(time: number): void {
    if (this.#closed) return;
    const now = this.#core.now();
    if (time >= this.#timerAt && this.#timerAt > now) return;
    this.#cancelTimer?.();
    this.#timerAt = time;
    this.#cancelTimer = this.#core.after(Math.max(1, Math.min(time - now, 60_000)), () => {
      this.#timerAt = Infinity;
      this.wake();
    });
  }

  /** An orderly end is no failure: what is in work is emitted again by the next process, as if for the first time. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelTimer?.();
    this.#cancelSweep?.();
    await this.#sweeping;
    await this.#giveBack('stop').catch((error: unknown) => this.#core.log('error', asError(error).message));
  }
}

function newWork(now: number): Work {
  return {
    lastStep: now,
    running: 0,
    until: undefined,
    failed: undefined,
    emittedAt: now,
    emission: 0,
    stepped: false,
  };
}
