import { randomBytes } from 'node:crypto';
import { asError } from '../orders/errors.ts';
import type { Tools } from './tools.ts';
import { noteDeaths } from './deaths.ts';
import { OPEN } from './schema.ts';
import { query, queryOne, type Store, type Transaction } from './store.ts';

/** Owner of all events where a ledger belongs to one process: a file that only one may open. */
const ALONE = 'alone';

/** Milliseconds by which the ledger may be ahead of the machine's clock and is still believed. */
const CLOCK_TRUST = 3_600_000;

/** How often a sign of life is given, as a part of the lease. */
const BEATS_PER_LEASE = 4;

interface Neighbour {
  beat: number;
  /** When its beat was last seen to change, on our own clock. */
  changedAt: number;
  /** Revision of its flows. */
  flows: string | null;
}

/** What the rest of the ledger does when the circle of instances changes. */
export interface InstanceListener {
  /** Others' events have become free: look for them. */
  freed(): void;
  /** This process was frozen or cut off for so long that others have taken its events: it owns nothing any more. */
  displaced(): void;
}

/**
 * This process among those that share a ledger. Each owns the events that it works on and gives signs of life by counting up
 * its row; one whose count stands still for the length of the lease is dead, and its events are free. Nobody compares clocks: the
 * standstill is measured on the observer's own clock, and only over a time in which the observer itself reached the database.
 */
export class Instance {
  #id: string;
  /** Milliseconds by which the database's clock is ahead of ours. */
  #ahead = 0;
  #latest = 0;
  /** When our last sign of life was certainly given, on our own clock. */
  #beatAt = -Infinity;
  #neighbours = new Map<string, Neighbour>();
  /** When events of owners that are not registered were last looked for. */
  #orphansAt = -Infinity;
  #flows: string | undefined;
  #differ = false;
  #eldest = true;
  #cancel: (() => void) | undefined;
  #closed = false;
  readonly #store: Store;
  readonly #tools: Tools;
  readonly #lease: () => number;
  #listener: InstanceListener | undefined;

  constructor(store: Store, tools: Tools, lease: () => number) {
    this.#store = store;
    this.#tools = tools;
    this.#lease = lease;
    this.#id = store.dialect.now === undefined ? ALONE : newId();
  }

  /** What stands as `owner` in the events of this process. */
  get id(): string {
    return this.#id;
  }

  /** Whether other processes may work on the same ledger. */
  get shared(): boolean {
    return this.#store.dialect.now !== undefined;
  }

  /** Whole milliseconds since 1970, by the database's clock where it is shared; never goes back. */
  now = (): number => {
    this.#latest = Math.max(this.#latest, Math.floor(this.#tools.now() + this.#ahead));
    return this.#latest;
  };

  /** False when others may already have taken over what this process has in work: then no partner may be called. */
  holdsLease(): boolean {
    return !this.shared || this.#tools.now() - this.#beatAt < this.#lease();
  }

  /** One of all instances: for what needs to be done once, such as asking a shop for new orders. */
  get isEldest(): boolean {
    return this.#eldest;
  }

  /** Whether another living instance runs other flows. */
  get flowsDiffer(): boolean {
    return this.#differ;
  }

  get neighbours(): number {
    return this.#neighbours.size;
  }

  /** Which flows this process runs; others are told with the next sign of life. */
  set flows(revision: string) {
    this.#flows = revision;
  }

  /**
   * Time does not go back behind what stands in the ledger: where the clock of the machine is a little behind it, time goes on from there.
   * @returns whether the clock is so far behind that what stands there must have been wrong
   */
  startAfter(latest: number): boolean {
    const behind = latest - this.#tools.now();
    if (behind > CLOCK_TRUST) return true;
    this.#ahead = Math.max(0, behind);
    return false;
  }

  /** Registers with those that share the ledger, and goes on to give signs of life. */
  async join(listener: InstanceListener): Promise<void> {
    this.#listener = listener;
    if (!this.shared) return;
    await this.#beat();
    this.#schedule();
  }

  async leave(): Promise<void> {
    this.#closed = true;
    this.#cancel?.();
    if (!this.shared) return;
    const id = this.#id;
    const now = this.now();
    await this.#store.transact(function* (): Transaction<void> {
      yield* query(`DELETE FROM instance WHERE id = ?`, id);
      yield* releaseEvents(id, now);
    });
  }

  #schedule(): void {
    if (this.#closed) return;
    this.#cancel = this.#tools.after(this.#lease() / BEATS_PER_LEASE, () => {
      void this.#beat()
        .catch((error: unknown) => {
          // Nobody can be told dead by somebody who does not reach the database: others' standstill is counted anew.
          this.#seenAnew();
          this.#tools.log('warn', `no sign of life could be given: ${asError(error).message}`);
        })
        .finally(() => this.#schedule());
    });
  }

  #seenAnew(): void {
    for (const neighbour of this.#neighbours.values()) neighbour.changedAt = this.#tools.now();
  }

  async #beat(): Promise<void> {
    const began = this.#tools.now();
    // Frozen or starved itself: what it did not see says nothing about the others.
    if (began - this.#beatAt > (this.#lease() * 2) / BEATS_PER_LEASE) this.#seenAnew();
    const first = this.#beatAt === -Infinity;
    const { mine, others, clock } = await this.#store.transact(() => this.#sign(first));
    const arrived = this.#tools.now();
    if (!mine) {
      this.#displaced();
      return this.#beat();
    }
    this.#beatAt = began;
    // Half of the round trip has gone by since the database read its clock.
    this.#ahead = clock - (began + arrived) / 2;
    this.#look(others, arrived);
    await this.#buryDead(arrived);
    if (this.#eldest && arrived - this.#orphansAt >= this.#lease()) {
      this.#orphansAt = arrived;
      const freed = await this.#store.transact(() => freeOrphans(this.now()));
      if (freed > 0) this.#listener?.freed();
    }
  }

  *#sign(first: boolean): Transaction<{ mine: boolean; others: InstanceRow[]; clock: number }> {
    const clock = yield* queryOne<{ now: number }>(`SELECT ${this.#store.dialect.now!} AS now`);
    const now = Number(clock?.now);
    const flows = this.#flows ?? null;
    const mine = first
      ? yield* queryOne(
          `INSERT INTO instance (id, beat, flows, started_at) VALUES (?, 1, ?, ?)
           ON CONFLICT (id) DO UPDATE SET beat = instance.beat + 1 RETURNING id`,
          this.#id,
          flows,
          now,
        )
      : yield* queryOne(`UPDATE instance SET beat = beat + 1, flows = ? WHERE id = ? RETURNING id`, flows, this.#id);
    const others = yield* query<InstanceRow>(`SELECT id, beat, flows, started_at FROM instance`);
    return { mine: mine !== undefined, others, clock: now };
  }

  #look(rows: InstanceRow[], now: number): void {
    const me = rows.find((row) => row.id === this.#id);
    const seen = new Map<string, Neighbour>();
    for (const row of rows) {
      if (row.id === this.#id) continue;
      const known = this.#neighbours.get(row.id);
      const beat = Number(row.beat);
      seen.set(row.id, {
        beat,
        changedAt: known?.beat === beat ? known.changedAt : now,
        flows: row.flows,
      });
    }
    this.#neighbours = seen;
    this.#eldest = !rows.some(
      (row) =>
        row.id !== this.#id &&
        (Number(row.started_at) < Number(me?.started_at) ||
          (Number(row.started_at) === Number(me?.started_at) && row.id < this.#id)),
    );
    const differ = [...seen.values()].some(
      (neighbour) => neighbour.flows !== null && this.#flows !== undefined && neighbour.flows !== this.#flows,
    );
    if (differ && !this.#differ) {
      this.#tools.log(
        'warn',
        'Another Node-RED on this ledger runs other flows. An order may be handled by either: deploy the same flows to all of them.',
      );
      this.#tools.observe?.({ what: 'flows differ' });
    }
    this.#differ = differ;
  }

  /** Frees the events of those who have given no sign of life for the length of the lease. */
  async #buryDead(now: number): Promise<void> {
    for (const [id, neighbour] of this.#neighbours) {
      if (now - neighbour.changedAt < this.#lease()) continue;
      const buried = await this.#store.transact(() => freeEvents(id, neighbour.beat, this.now()));
      this.#neighbours.delete(id);
      if (buried === undefined) continue;
      this.#tools.log('warn', `Another Node-RED on this ledger has died; its ${buried} open events are taken over.`);
      this.#tools.observe?.({ what: 'instance taken over' });
      this.#listener?.freed();
    }
  }

  #displaced(): void {
    this.#tools.log(
      'warn',
      'This Node-RED was frozen or cut off from the database for so long that others took over its events. It goes on with new ones.',
    );
    this.#id = newId();
    this.#beatAt = -Infinity;
    this.#listener?.displaced();
  }
}

interface InstanceRow {
  id: string;
  beat: number;
  flows: string | null;
  started_at: number;
}

/** @returns how many events are free now; `undefined` when it lives after all or somebody else has buried it. */
function* freeEvents(id: string, beat: number, now: number): Transaction<number | undefined> {
  const dead = yield* queryOne(`DELETE FROM instance WHERE id = ? AND beat = ? RETURNING id`, id, beat);
  if (!dead) return undefined;
  yield* noteDeaths(`owner = ?`, id);
  return (yield* releaseEvents(id, now)).length;
}

/** What a frozen instance has still written down as its own after it was buried. */
function* freeOrphans(now: number): Transaction<number> {
  const rows = yield* query(
    `UPDATE event SET owner = NULL, due_at = COALESCE(due_at, ?) WHERE ${OPEN}
     AND owner IS NOT NULL AND owner NOT IN (SELECT id FROM instance) RETURNING id`,
    now,
  );
  return rows.length;
}

function* releaseEvents(owner: string, now: number) {
  return yield* query(
    `UPDATE event SET owner = NULL, due_at = COALESCE(due_at, ?) WHERE ${OPEN} AND owner = ? RETURNING id`,
    now,
    owner,
  );
}

function newId(): string {
  return randomBytes(6).toString('hex');
}
