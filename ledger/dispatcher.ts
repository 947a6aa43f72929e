import { asError, TemporaryFault } from '../orders/errors.ts';
import { backOff, type Core } from './core.ts';
import {
  isSuspected,
  MOST_SUSPECTED_FIRST,
  noteDeaths,
  SUSPECTED,
  tried,
  triedTogether,
  trialsOf,
  trialTime,
  WAS_ON_TRIAL,
} from './deaths.ts';
import { anyMissed, raiseMissed } from './deadlines.ts';
import { asEvent, EVENT_COLUMNS, type Emit, type EventRow, type LedgerEvent } from './events.ts';
import { raise, settle } from './exceptions.ts';
import { OPEN, UNSETTLED } from './schema.ts';
import { inPlaces, placesFor, query, queryOne, type Transaction } from './store.ts';

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
  /** They are suspects, to be tried with nothing else; how many trials they have been through before. */
  trials: number | undefined;
  /** Whether any due event is suspected. */
  suspects: boolean;
  /** Whether there may be more that is due now. */
  more: boolean;
  /** When the next one is due. */
  next: number | undefined;
}

/** Suspects that were emitted together, and nothing else with them. */
interface Trial {
  ids: string[];
  /** How many trials they have been through before. */
  trials: number;
}

/** An emission that did not happen. */
interface Unsent {
  event: LedgerEvent;
  note: string | undefined;
  until: number;
}

interface Work {
  kind: string;
  orderId: string | undefined;
  partner: string | undefined;
  storedAt: number;
  lastStep: number;
  /** Effects and node handlers at it now. */
  running: number;
  /** The earliest time at which it must come back; nothing until then. */
  until: number | undefined;
  /** What it comes back for. */
  why: string | undefined;
  failed: Error | undefined;
  emission: number;
  /** It was on trial and has not killed the process, so that its attempt does not count unless it fails after all. */
  vouched: boolean;
  /** Whether the ledger certainly holds it open and in work by this process. */
  held: boolean;
}

/** Milliseconds in which an emitted message must have reached a node of ours to go on counting as a place in the queue. */
const TRAVEL_TIME = 250;
const SWEEP = 500;
/** Milliseconds between two sweeps from which on the process has not run as it should. */
const LATE = 4 * SWEEP;
const RECEIVER_CHECK = 60_000;
/** Events closed or given back in one transaction. More would hold up the event loop, and with it the answers of the endpoints. */
const AT_ONCE = 200;
const PLACES = placesFor(AT_ONCE);

/** Note of an event that waits for somebody to receive it. */
const NO_RECEIVER = 'no receiver';

/**
 * Emits open events while there is room, brings back what is due, closes what is quiet. The only source of messages: a
 * first run and a replay take the same way.
 */
export class Dispatcher {
  readonly #core: Core;
  readonly #judge: Judge;
  readonly #work = new Map<string, Work>();
  /** Emitted events that have not reached a node of ours yet, oldest first, and when they were emitted. */
  readonly #travelling = new Map<string, number>();
  readonly #receivers = new Map<string, Receiver>();
  #running = 0;
  /** Nothing is emitted before the flows run for the first time, nor while a deploy replaces them. */
  #paused = true;
  #closed = false;
  #dispatching = false;
  #again = false;
  /** More was due than there was room for, or a transaction has made something due. */
  #backlog = false;
  /** Counts deploys, so that the end of one is not taken for that of the next. */
  #deploys = 0;
  /** Those that are tried, with nothing else. */
  #trial: Trial | undefined;
  /** Whether due events may be suspected: only then they are looked for. */
  #suspects = true;
  /** Whether it is the turn of those that are not suspected. */
  #othersTurn = false;
  /** Kinds of which events wait for a receiver. */
  readonly #unreceived = new Set<string>();
  /** What is in work in the ledger may not be in work here, and then it is lost. */
  #uncertain = false;
  #cancelTimer: (() => void) | undefined;
  #timerAt = Infinity;
  #cancelSweep: (() => void) | undefined;
  #sweeping: Promise<void> = Promise.resolve();
  #sweptAt = 0;

  constructor(core: Core, judge: Judge) {
    this.#core = core;
    this.#judge = judge;
    core.stir = () => {
      this.#backlog = true;
    };
  }

  /** Takes back what a dead process had in work, then begins to emit. Called once the flows run. */
  async start(): Promise<void> {
    const deploy = this.#deploys;
    await this.#core.transact('recover', () => this.#recover());
    // A deploy that has begun meanwhile goes on from here when it ends.
    if (deploy === this.#deploys) this.#paused = false;
    this.#scheduleSweep();
    this.wake();
  }

  *#recover(): Transaction<void> {
    const { instance } = this.#core;
    if (!instance.shared) yield* this.#checkClock();
    const now = this.#core.now();
    // Where the ledger belongs to one process, everything is its own; where it is shared, only what nobody owns is taken.
    const dead = instance.shared
      ? `(owner IS NULL OR owner NOT IN (SELECT id FROM instance))`
      : `(owner IS NULL OR due_at IS NULL)`;
    yield* noteDeaths(dead);
    yield* query(
      `UPDATE event SET owner = ?, due_at = COALESCE(due_at, ?) WHERE ${OPEN} AND ${dead}`,
      instance.shared ? null : instance.id,
      now,
    );
    // Receivers have registered before this process knew of what waits for them.
    if (!instance.shared) yield* receiverIsThere(now);
  }

  /** What was put off by a clock that was wrong must not lie until that time comes. */
  *#checkClock(): Transaction<void> {
    const last = yield* queryOne<{ at: number }>(`SELECT at FROM history ORDER BY id DESC LIMIT 1`);
    if (!last || !this.#core.instance.startAfter(Number(last.at))) return;
    const now = this.#core.now();
    this.#core.log(
      'warn',
      `The clock of this machine is ${Math.round((Number(last.at) - now) / 60_000)} minutes behind what stands in the ledger. Check it. What was put off is looked at now.`,
    );
    yield* query(`UPDATE event SET due_at = ? WHERE ${OPEN} AND due_at > ?`, now, now);
    // Doubts are settled as if the call had been made just now: the partner gets its full time.
    yield* query(
      `UPDATE effect SET state = CASE WHEN state = 'in-doubt' THEN 'sending' ELSE state END, started_at = ?, first_started_at = ?, due_at = NULL
       WHERE ${UNSETTLED} AND started_at > ?`,
      now,
      now,
      now,
    );
  }

  /** Others have taken what this process had in work, because it gave no sign of life: it owns nothing any more. */
  displaced(): void {
    this.#forget([...this.#work.keys()]);
    this.wake();
  }

  /** One receiver per partner and kind of event; false when there is another already. `partner` may be `*`. */
  addReceiver(partner: string, kind: string, receiver: Receiver): boolean {
    const key = `${partner} ${kind}`;
    const present = this.#receivers.get(key);
    if (present && present.id !== receiver.id) return false;
    this.#receivers.set(key, receiver);
    // Asked only where there are some: it looks at all that is open, for each receiver of a deploy.
    if (this.#unreceived.delete(kind)) this.#welcome(kind);
    return true;
  }

  /** What waits for a receiver of this kind goes on, as soon as the database answers. */
  #welcome(kind: string): void {
    void this.#core
      .transact('receiver', () => receiverIsThere(this.#core.now(), kind))
      .then(() => this.wake())
      .catch((error: unknown) => {
        this.#core.log('error', asError(error).message);
        if (!this.#closed) this.#core.after(1000, () => this.#welcome(kind));
      });
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
    this.#deploys += 1;
    this.#paused = true;
  }

  /** The flows run again: whatever was in work may have lost its message and is emitted again; that is no failed attempt. */
  resume(): Promise<void> {
    return this.#resume(this.#deploys);
  }

  /** @param deploy whose end it is; when the next one has begun meanwhile, that one's end goes on from here */
  async #resume(deploy: number): Promise<void> {
    if (this.#closed || deploy !== this.#deploys) return;
    this.#paused = true;
    try {
      await this.#giveBack('redeploy');
    } catch (thrown) {
      this.#core.log('error', `after the deploy the ledger does not go on yet: ${asError(thrown).message}`);
      this.#core.after(1000, () => void this.#resume(deploy));
      return;
    }
    if (deploy !== this.#deploys) return;
    // A late message may have opened an event between its look at the ledger and here.
    this.#uncertain = true;
    this.#paused = false;
    this.wake();
  }

  /** Steps that still run are counted until they end. */
  #forget(ids: Iterable<string>): void {
    this.#trial = undefined;
    for (const id of ids) {
      this.#travelling.delete(id);
      const work = this.#work.get(id);
      if (work?.running === 0) this.#work.delete(id);
      else if (work) Object.assign(work, { until: undefined, failed: undefined, held: false });
    }
  }

  /** What is in work is due at once, and its attempt does not count: nothing failed. What comes into work meanwhile stays. */
  async #giveBack(name: string): Promise<void> {
    const ids = [...this.#work.keys()];
    const now = this.#core.now();
    const owner = this.#core.instance.id;
    for (let from = 0; from < ids.length; from += AT_ONCE) {
      const some = ids.slice(from, from + AT_ONCE);
      await this.#core.transact(name, () =>
        query(
          `UPDATE event SET due_at = ?, attempts = CASE WHEN attempts > 0 THEN attempts - 1 ELSE 0 END
           WHERE id IN (${PLACES}) AND state = 'open' AND due_at IS NULL AND owner = ?`,
          now,
          ...inPlaces(some.map(Number), AT_ONCE),
          owner,
        ),
      );
      this.#forget(some);
    }
  }

  /** A step of an event began: it counts as busy until `ended`. */
  started(eventId: string): void {
    this.#running += 1;
    const work = this.#touch(eventId);
    work.running += 1;
  }

  isHeld(eventId: string): boolean {
    return this.#work.get(eventId)?.held ?? false;
  }

  held(eventId: string): void {
    const work = this.#work.get(eventId);
    if (work) work.held = true;
  }

  ended(eventId: string): void {
    this.#running -= 1;
    const work = this.#work.get(eventId);
    if (work) {
      work.lastStep = this.#core.now();
      work.running = Math.max(0, work.running - 1);
      if (work.running === 0 && work.until !== undefined) this.#park(eventId, work);
    }
    if (this.#backlog) this.wake();
  }

  /**
   * The event must come back at this time (a retry, a settle time).
   * @param why for people, in ids and codes
   */
  returnAt(eventId: string, until: number, why?: string): void {
    const work = this.#touch(eventId);
    if (why !== undefined && until <= (work.until ?? Infinity)) work.why = why;
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
      work = newWork(now);
      this.#work.set(eventId, work);
    }
    work.lastStep = now;
    this.#travelling.delete(eventId);
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
      if (this.#closed || this.#paused || this.#onTrial()) return;
      const now = this.#core.now();
      const room = Math.min(
        this.#core.settings.batch,
        this.#core.settings.maxEffects - this.#running - this.#onTheWay(now),
      );
      if (room <= 0) {
        this.#backlog = true;
        if (this.#travelling.size > 0) this.#wakeAt(now + TRAVEL_TIME);
        return;
      }
      this.#backlog = false;
      const judging: { id: string | undefined } = { id: undefined };
      /** Taken by a run of the claim that came to its commit. */
      const taken = new Set<string>();
      let claim: Claim;
      try {
        claim = await this.#core.transact(
          'claim',
          function* (this: Dispatcher): Transaction<Claim> {
            const made = yield* this.#claim(now, room, judging);
            for (const event of made.claimed) taken.add(event.id);
            return made;
          }.bind(this),
          // The attempt must be counted when the process dies of the event, which a power cut is not.
          true,
        );
        // The database runs it again when the answer to its commit was lost, and then it does not see what it has taken already.
        if (taken.size > claim.claimed.length) this.#uncertain = true;
      } catch (thrown) {
        this.#backlog = true;
        // Not the database but one event: it fails alone, the others of the claim are claimed anew.
        if (judging.id === undefined || thrown instanceof TemporaryFault) {
          this.#uncertain = true;
          throw thrown;
        }
        await this.#judgeFailed(judging.id, asError(thrown));
        continue;
      }
      this.#suspects = claim.suspects;
      this.#othersTurn = claim.trials !== undefined;
      this.#trial =
        claim.trials === undefined ? undefined : { ids: claim.claimed.map(({ id }) => id), trials: claim.trials };
      if (claim.next !== undefined) this.#wakeAt(claim.next);
      const unsent = claim.claimed.map((event) => this.#emit(event, now)).filter((each) => each !== undefined);
      try {
        if (unsent.length > 0) await this.#putBack(unsent);
      } catch (thrown) {
        // They stand in the ledger as in work.
        this.#uncertain = true;
        throw thrown;
      }
      if (!claim.more && !this.#backlog) return;
    }
  }

  #emit(event: LedgerEvent, now: number): Unsent | undefined {
    if (this.#paused) return { event, note: undefined, until: now };
    const receiver = this.#receiverOf(event);
    if (!receiver) {
      this.#unreceived.add(event.kind);
      return { event, note: NO_RECEIVER, until: now + RECEIVER_CHECK };
    }
    this.#work.set(event.id, {
      ...newWork(now),
      kind: event.kind,
      orderId: event.orderId ?? undefined,
      partner: event.partner,
      storedAt: event.storedAt,
      running: this.#work.get(event.id)?.running ?? 0,
      emission: event.emitted + 1,
      held: true,
    });
    this.#travelling.set(event.id, now);
    try {
      this.#core.crashPoint(`before emit ${event.kind}`);
      receiver.emit(event, event.emits ?? []);
      this.#core.crashPoint(`after emit ${event.kind}`);
    } catch (thrown) {
      this.#core.log('error', `event ${event.id} could not be emitted: ${asError(thrown).message}`);
      this.failed(event.id, asError(thrown));
    }
    this.#observe('event emitted', event.id, this.#work.get(event.id), { attempt: event.attempts + 1 });
    return undefined;
  }

  /** Emitted a moment ago and not yet at a node of ours: each will take a place. */
  #onTheWay(now: number): number {
    for (const [id, emittedAt] of this.#travelling) {
      if (now - emittedAt < TRAVEL_TIME) break;
      this.#travelling.delete(id);
    }
    return this.#travelling.size;
  }

  /** Whether suspects are being tried, so that nothing else is in danger when one of them kills the process. */
  #onTrial(): boolean {
    if (!this.#trial) return false;
    const { trials } = this.#trial;
    const watched = this.#trial.ids.flatMap((id) => {
      const work = this.#work.get(id);
      return work ? [{ id, work }] : [];
    });
    const end =
      Math.max(...watched.map(({ work }) => work.lastStep)) + trialTime(trials, this.#core.settings.quietTime);
    if (watched.some(({ work }) => work.running > 0) || end > this.#core.now()) {
      this.#backlog = true;
      if (end < Infinity) this.#wakeAt(end);
      return true;
    }
    this.#trial = undefined;
    if (watched.length === 0) return false;
    for (const { work } of watched) work.vouched = true;
    void this.#core
      .transact(
        'vouch',
        function* (this: Dispatcher): Transaction<void> {
          for (const { id } of watched)
            yield* query(
              `UPDATE event SET attempts = attempts - 1, suspicion = ? WHERE id = ? AND state = 'open' AND owner = ? AND attempts > 0`,
              tried(trials + 1),
              Number(id),
              this.#core.instance.id,
            );
        }.bind(this),
      )
      .catch((error: unknown) => this.#core.log('error', asError(error).message));
    return false;
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

  /** Events that could not be emitted: their attempt does not count. Where there is no receiver they wait, visibly, for anyone who has one. */
  #putBack(unsent: Unsent[]): Promise<void> {
    const { instance } = this.#core;
    return this.#core.transact('put back', function* (): Transaction<void> {
      for (const { event, note, until } of unsent)
        yield* query(
          `UPDATE event SET due_at = ?, note = ?, owner = ?, attempts = attempts - 1, emitted = emitted - 1 WHERE id = ? AND owner = ?`,
          until,
          note,
          note !== undefined && instance.shared ? null : instance.id,
          Number(event.id),
          instance.id,
        );
    });
  }

  /** Judges what is new and takes what is due, counting the attempt before anything is emitted. Suspects and others take turns. */
  *#claim(now: number, room: number, judging: { id: string | undefined }): Transaction<Claim> {
    const owner = this.#core.instance.id;
    const limit = Math.max(1, Math.floor(room));
    const suspects = this.#suspects ? yield* this.#nextOnTrial(now, limit) : [];
    const onTrial = suspects.length > 0 && !this.#othersTurn;
    const due = onTrial
      ? suspects
      : yield* query<EventRow>(
          `SELECT ${EVENT_COLUMNS} FROM event WHERE ${OPEN} AND owner = ? AND due_at <= ?
           ${suspects.length > 0 ? `AND (suspicion IS NULL OR NOT (${SUSPECTED}))` : ''} ORDER BY due_at, id LIMIT ?`,
          owner,
          now,
          limit,
        );
    // One that nobody knew of, left by an earlier process or another one: from now on they are looked for.
    if (suspects.length === 0 && due.some(isSuspected))
      return { claimed: [], trials: undefined, suspects: true, more: true, next: undefined };
    const claimed: LedgerEvent[] = [];
    for (const row of due) {
      judging.id = String(row.id);
      const event = yield* this.#take(row, now, onTrial);
      if (event) claimed.push(event);
    }
    judging.id = undefined;
    const more = due.length === limit || suspects.length > 0;
    const next = more
      ? undefined
      : yield* queryOne<{ due: number | null }>(
          `SELECT MIN(due_at) AS due FROM event WHERE ${OPEN} AND owner = ? AND due_at > ?`,
          owner,
          now,
        );
    return {
      claimed,
      trials: onTrial ? trialsOf(due) : undefined,
      suspects: suspects.length > 0,
      more,
      next: next?.due === null || next === undefined ? undefined : Number(next.due),
    };
  }

  /** A part of those that are suspected most; none when no due event is suspected. */
  *#nextOnTrial(now: number, limit: number): Transaction<EventRow[]> {
    const owner = this.#core.instance.id;
    const due = `${OPEN} AND owner = ? AND due_at <= ? AND ${SUSPECTED}`;
    const suspected = yield* queryOne<{ n: number; most: number | null }>(
      `SELECT COUNT(*) AS n, SUM(CASE WHEN ${WAS_ON_TRIAL} THEN 1 ELSE 0 END) AS most FROM event WHERE ${due}`,
      owner,
      now,
    );
    const alike = Number(suspected?.most) || Number(suspected?.n);
    if (alike === 0) return [];
    return yield* query<EventRow>(
      `SELECT ${EVENT_COLUMNS} FROM event WHERE ${due} ORDER BY ${MOST_SUSPECTED_FIRST} LIMIT ?`,
      owner,
      now,
      Math.min(limit, triedTogether(alike)),
    );
  }

  /** @returns the event that is to be emitted, if it is */
  *#take(row: EventRow, now: number, onTrial: boolean): Transaction<LedgerEvent | undefined> {
    let event = asEvent(row);
    const isNew = event.state !== 'open';
    if (isNew) {
      const judged = yield* this.#judgeEvent(event, now);
      if (!judged) return undefined;
      // Errors while it was judged say nothing of its way through the flow.
      event = { ...judged, attempts: 0 };
    }
    if (event.attempts >= this.#core.settings.maxAttempts) {
      yield* query(`UPDATE event SET state = 'quarantined', due_at = NULL WHERE id = ?`, Number(event.id));
      yield* raise(now, {
        subject: `event ${event.id}`,
        code: 'EVENT_FAILS',
        message: `The ${event.kind} from ${event.partner} failed ${event.attempts} times (an error in the flow, a step that is missing from it, or the process died). Mend the flow, then run it again; other events go on.`,
        orderId: event.orderId ?? undefined,
        eventId: event.id,
      });
      this.#core.observe({ what: 'event quarantined', eventId: event.id, kind: event.kind, partner: event.partner });
      return undefined;
    }
    const elsewhere = yield* this.#workedElsewhere(event);
    yield* query(
      `UPDATE event SET state = 'open', emits = ?, order_id = ?, note = NULL, suspicion = ?, attempts = ?, emitted = ?, due_at = ?, owner = ? WHERE id = ?`,
      isNew ? JSON.stringify(event.emits) : row.emits,
      event.orderId,
      onTrial ? row.suspicion : null,
      elsewhere ? event.attempts : event.attempts + 1,
      elsewhere ? event.emitted : event.emitted + 1,
      elsewhere ? now : null,
      elsewhere ?? this.#core.instance.id,
      Number(event.id),
    );
    return elsewhere ? undefined : event;
  }

  /** Adapters take turns with one order in memory, so an order is worked on by one instance at a time: the one that has begun. */
  *#workedElsewhere(event: LedgerEvent): Transaction<string | undefined> {
    if (!this.#core.instance.shared || event.orderId === null) return undefined;
    const other = yield* queryOne<{ owner: string }>(
      `SELECT owner FROM event WHERE order_id = ? AND state = 'open' AND due_at IS NULL AND owner <> ? LIMIT 1`,
      event.orderId,
      this.#core.instance.id,
    );
    return other?.owner;
  }

  *#judgeEvent(event: LedgerEvent, now: number): Transaction<LedgerEvent | undefined> {
    const judgement = yield* this.#judge(event);
    const orderId = judgement.orderId ?? event.orderId;
    switch (judgement.verdict) {
      case 'emit':
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
    const { failed, why } = work;
    const until = work.until ?? this.#core.now();
    this.#travelling.delete(eventId);
    void this.#core
      .transact('park', () => this.#parkEvent(eventId, until, failed, work.vouched, why))
      .then(() => {
        this.#observe('event parked', eventId, work, failed ? { outcome: 'failed' } : {});
        this.#backlog = true;
        this.wake();
      })
      .catch((error: unknown) => {
        this.#core.log('error', `event ${eventId} could not be put back: ${asError(error).message}`);
        this.#work.set(eventId, { ...work, running: this.#work.get(eventId)?.running ?? 0 });
      });
  }

  /**
   * Another branch of the flow may have put the event back before: the earlier time counts, and so does that branch's failure.
   * A message that outlived its event (a long delay in the flow) opens it again.
   */
  *#parkEvent(
    eventId: string,
    until: number,
    failed: Error | undefined,
    vouched: boolean,
    why?: string,
  ): Transaction<void> {
    const owner = this.#core.instance.id;
    const row = yield* queryOne<{ attempts: number; due_at: number | null }>(
      `SELECT attempts, due_at FROM event WHERE id = ? AND (state = 'closed' OR (state = 'open' AND owner = ?))`,
      Number(eventId),
      owner,
    );
    if (!row) return;
    const parked = row.due_at !== null;
    const attempts = Number(row.attempts) + (failed && vouched ? 1 : 0);
    const due = failed ? this.#core.now() + backOff(attempts, this.#core.random()) : until;
    yield* query(
      `UPDATE event SET state = 'open', owner = ?, closed_at = NULL, due_at = ?, attempts = ?, note = ?, suspicion = NULL WHERE id = ?`,
      owner,
      parked ? Math.min(due, Number(row.due_at)) : due,
      failed || parked ? attempts : 0,
      (failed?.message ?? why)?.slice(0, 200) ?? null,
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
    const now = this.#core.now();
    const late = now - this.#sweptAt > LATE;
    this.#sweptAt = now;
    if (this.#paused) return;
    for (const [id, work] of this.#work) {
      // Frozen, or starved: messages may still stand in its queue, so that time was not quiet.
      if (late) work.lastStep = now;
      // Could not be put back before, because the database did not answer.
      if (work.running === 0 && work.until !== undefined) this.#park(id, work);
    }
    if (this.#uncertain) await this.#reconcile(now);
    const quiet = [...this.#work].filter(([, work]) => this.#isQuiet(work, now)).map(([id]) => id);
    for (let from = 0; from < quiet.length; from += AT_ONCE) await this.#close(quiet.slice(from, from + AT_ONCE), now);
    await this.#raiseMissed(now);
    const { instance } = this.#core;
    if (instance.shared) await this.#core.transact('adopt', () => this.#adopt(now));
    // What others have handed over or freed tells nobody.
    if (instance.shared || this.#trial !== undefined) this.wake();
  }

  async #raiseMissed(now: number): Promise<void> {
    while (!this.#closed && (await this.#core.read(() => anyMissed(now))))
      await this.#core.transact('deadlines', () => raiseMissed(now));
  }

  #isQuiet(work: Work, now: number): boolean {
    return work.running === 0 && now - work.lastStep >= this.#core.settings.quietTime;
  }

  async #close(ids: string[], now: number): Promise<void> {
    const closing = ids.map((id) => [id, this.#work.get(id)] as const);
    // A step that begins meanwhile opens it again.
    for (const [, work] of closing) if (work) work.held = false;
    const back = await this.#core.transact('close', () => this.#closeQuiet(ids, now));
    for (const [id, work] of closing) {
      if (!work || this.#work.get(id) !== work || work.until !== undefined || !this.#isQuiet(work, now)) continue;
      this.#work.delete(id);
      if (!back.has(id)) this.#observe('event closed', id, work, { milliseconds: now - work.storedAt });
    }
    if (back.size > 0) {
      this.#backlog = true;
      this.wake();
    }
  }

  /**
   * What the ledger holds to be in work here and is not: the answer to its claim was lost with the connection, or a late message opened it while
   * all was given back. Nothing is claimed meanwhile, because what has just been claimed is in work here only once that is known.
   */
  async #reconcile(now: number): Promise<void> {
    if (this.#dispatching) return;
    this.#dispatching = true;
    this.#uncertain = false;
    try {
      await this.#core.transact(
        'reconcile',
        function* (this: Dispatcher): Transaction<void> {
          const { id: owner } = this.#core.instance;
          const rows = yield* query<{ id: number }>(
            `SELECT id FROM event WHERE ${OPEN} AND owner = ? AND due_at IS NULL`,
            owner,
          );
          for (const { id } of rows) {
            // A step of a closed event counts here before it is in work there.
            if (!this.#work.has(String(id)))
              yield* query(`UPDATE event SET due_at = ? WHERE id = ? AND state = 'open'`, now, id);
          }
        }.bind(this),
      );
    } catch (thrown) {
      this.#uncertain = true;
      throw thrown;
    } finally {
      this.#dispatching = false;
    }
    this.#again = false;
    this.#backlog = true;
    this.wake();
  }

  /** Takes events that nobody owns, of kinds that the flows here receive. */
  *#adopt(now: number): Transaction<void> {
    const kinds = [...new Set([...this.#receivers.keys()].map((key) => key.slice(key.indexOf(' ') + 1)))];
    if (kinds.length === 0) return;
    yield* query(
      `UPDATE event SET owner = ?, due_at = CASE WHEN note = 'no receiver' THEN ? ELSE due_at END
       WHERE owner IS NULL AND id IN (SELECT id FROM event WHERE ${OPEN} AND owner IS NULL AND (due_at <= ? OR note = 'no receiver')
         AND kind IN (${kinds.map(() => '?').join(', ')}) ORDER BY due_at, id LIMIT ?)`,
      this.#core.instance.id,
      now,
      now,
      ...kinds,
      Math.max(1, Math.floor(this.#core.settings.batch)),
    );
  }

  /** @returns those that are not at their end and were put back */
  *#closeQuiet(ids: string[], now: number): Transaction<Set<string>> {
    const owner = this.#core.instance.id;
    // A step of one has begun, perhaps before another run of this transaction: closed now, it would not be replayed after a crash.
    const quiet = ids.filter((id) => {
      const work = this.#work.get(id);
      return !work || this.#isQuiet(work, now);
    });
    // What has a due time was put back by another branch of the flow and is not at its end.
    const atEnd = `id IN (${PLACES}) AND state = 'open' AND due_at IS NULL AND owner = ?`;
    const closed = yield* query<{ id: number; emitted: number }>(
      `UPDATE event SET state = 'closed', closed_at = ?, attempts = 0, note = NULL, suspicion = NULL WHERE ${atEnd}
       AND NOT EXISTS (SELECT 1 FROM effect WHERE event_id = event.id AND ${UNSETTLED}) RETURNING id, emitted`,
      now,
      ...inPlaces(quiet.map(Number), AT_ONCE),
      owner,
    );
    for (const { id, emitted } of closed) {
      if (Number(emitted) > 1)
        yield* settle(now, { subject: `event ${id}`, code: 'EVENT_FAILS' }, 'dropline', 'It ran to its end.');
    }
    const back = new Set<string>();
    if (closed.length === quiet.length) return back;
    const unsettled = yield* query<{ id: number; attempts: number; due: number }>(
      `SELECT id, attempts, (SELECT MIN(COALESCE(due_at, ?)) FROM effect WHERE event_id = event.id AND ${UNSETTLED}) AS due
       FROM event WHERE ${atEnd}`,
      now,
      ...inPlaces(quiet.map(Number), AT_ONCE),
      owner,
    );
    for (const row of unsettled) {
      // Due, and yet the message never reached its step: the flow may have lost it, which must not go on for ever.
      const due = Number(row.due);
      const missed = due <= now;
      yield* query(
        `UPDATE event SET due_at = ?, attempts = ? WHERE id = ?`,
        missed ? now + backOff(Math.max(1, Number(row.attempts)), this.#core.random()) : due,
        missed ? Number(row.attempts) : 0,
        row.id,
      );
      back.add(String(row.id));
    }
    return back;
  }

  #observe(
    what: 'event emitted' | 'event parked' | 'event closed',
    eventId: string,
    work: Work | undefined,
    more: { attempt?: number; outcome?: string; milliseconds?: number },
  ): void {
    if (!work) return;
    const { kind, orderId, partner } = work;
    this.#core.observe({ what, eventId, kind, orderId, partner, ...more });
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

/** What waits for a receiver, of this kind or of any, is due. Left out is what is due anyway, because that may be much. */
function* receiverIsThere(now: number, kind?: string): Transaction<void> {
  yield* query(
    `UPDATE event SET due_at = ?, note = NULL WHERE ${OPEN} AND due_at > ? AND note = ? AND kind = COALESCE(?, kind)`,
    now,
    now,
    NO_RECEIVER,
    kind,
  );
}

function newWork(now: number): Work {
  return {
    kind: '',
    orderId: undefined,
    partner: undefined,
    storedAt: now,
    lastStep: now,
    running: 0,
    until: undefined,
    why: undefined,
    failed: undefined,
    emission: 0,
    vouched: false,
    held: false,
  };
}
