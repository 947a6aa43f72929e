import { DEFAULT_SETTINGS, type LedgerSettings } from '../../ledger/settings.ts';
import type { Tools } from '../../ledger/tools.ts';
import { Obsolete, Waiting, type Operation } from '../../ledger/effects.ts';
import type { Emit, LedgerEvent } from '../../ledger/events.ts';
import { exceptions, raise } from '../../ledger/exceptions.ts';
import { Ledger } from '../../ledger/ledger.ts';
import type { LedgerPartner } from '../../ledger/partners.ts';
import { migrate } from '../../ledger/schema.ts';
import { openPostgres } from '../../ledger/postgres.ts';
import { openSqlite } from '../../ledger/sqlite.ts';
import { query, queryOne, type Store, type Transaction } from '../../ledger/store.ts';
import { BusinessRefusal, ConfigurationMistake, InDoubt, TemporaryFault, asError } from '../../orders/errors.ts';
import type { Order } from '../../orders/order.ts';
import type { PaymentStatus } from '../../orders/payment.ts';
import type { SupplierDocument } from '../../partners/supplier/port.ts';
import type { Write } from '../../partners/write.ts';
import { postgres } from '../support/postgres.ts';

/** A repeatable sequence of numbers in [0, 1) (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let word = Math.imul(state ^ (state >>> 15), state | 1);
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61);
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const START = Date.UTC(2026, 10, 22, 12);

interface Timer {
  at: number;
  id: number;
  action: () => void;
}

/** Time that passes only when a test says so. Between two timers the database is given the time it needs. */
export class Clock {
  time = START;
  #timers: Timer[] = [];
  #jumpedAt = 0;
  #count = 0;
  #pending = 0;

  now = (): number => this.time;

  /** When somebody last set the clock forward. */
  steadySince = (): number => this.#jumpedAt;

  /** Somebody sets the clock; what was to happen in a minute still does so in a minute. */
  jump(milliseconds: number): void {
    this.time += milliseconds;
    if (milliseconds > 0) this.#jumpedAt = this.time;
    for (const timer of this.#timers) timer.at += milliseconds;
  }

  after = (milliseconds: number, action: () => void): (() => void) => {
    const timer = { at: this.time + milliseconds, id: ++this.#count, action };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((each) => each !== timer);
    };
  };

  /** The store, counted, so that `settle` knows when the database has nothing more to do. */
  watch(store: Store, shared = store.dialect.now !== undefined): Store {
    const counted = <Result>(call: Promise<Result>) => {
      this.#pending += 1;
      return call.finally(() => {
        this.#pending -= 1;
      });
    };
    const time = () => String(this.time);
    return {
      // A database that several processes share has a clock of its own.
      dialect: shared
        ? {
            ...store.dialect,
            get now() {
              return time();
            },
          }
        : store.dialect,
      transact: (work, ahead) => counted(store.transact(work, ahead)),
      read: (work) => counted(store.read(work)),
      close: () => store.close(),
    };
  }

  /** Until nothing happens any more without the clock. */
  async settle(): Promise<void> {
    for (let still = 0; still < 2;) {
      await new Promise((resolve) => setImmediate(resolve));
      still = this.#pending === 0 ? still + 1 : 0;
    }
  }

  /** Runs the next timer; false when there is none before `limit`. */
  async step(limit: number): Promise<boolean> {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.at <= limit && (!next || timer.at < next.at || (timer.at === next.at && timer.id < next.id)))
        next = timer;
    }
    if (!next) return false;
    this.#timers.splice(this.#timers.indexOf(next), 1);
    this.time = Math.max(this.time, next.at);
    next.action();
    await this.settle();
    return true;
  }

  async advance(milliseconds: number): Promise<void> {
    const end = this.time + milliseconds;
    await this.settle();
    while (await this.step(end));
    this.time = end;
  }
}

/** Thrown by a crash point: the process that met it is dead from then on. */
export class Crash extends Error {}

/** One life of a Node-RED process on a ledger: when it is killed, nothing that it began goes on. */
export class Life {
  alive = true;
  readonly ledger: Ledger;
  readonly log: string[] = [];
  #thawed: Promise<void> = Promise.resolve();
  #thaw: (() => void) | undefined;

  constructor(
    store: Store,
    clock: Clock,
    options: {
      settings?: Partial<LedgerSettings>;
      random?: () => number;
      crashPoint?: (name: string, life: Life) => void;
    } = {},
  ) {
    const tools: Tools = {
      now: clock.now,
      steadySince: clock.steadySince,
      random: options.random ?? (() => 0.5),
      after: (milliseconds, action) => clock.after(milliseconds, () => this.#awake(action)),
      log: (level, message) => void this.log.push(`${level} ${message}`),
      crashPoint: (name) => {
        if (!this.alive) throw new Crash(`${name}, after its death`);
        options.crashPoint?.(name, this);
      },
    };
    this.ledger = new Ledger(this.#own(store), tools, { ...DEFAULT_SETTINGS, ...options.settings });
  }

  #own(store: Store): Store {
    return {
      dialect: store.dialect,
      transact: (work, ahead) => (this.alive ? this.here(store.transact(work, ahead)) : never()),
      read: (work) => (this.alive ? this.here(store.read(work)) : never()),
      close: () => store.close(),
    };
  }

  /** What a dead process waits for never comes; what a frozen one waits for comes when it thaws. */
  here<Result>(promise: Promise<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      promise.then(
        (result) => this.#awake(() => resolve(result)),
        (error: unknown) => this.#awake(() => reject(asError(error))),
      );
    });
  }

  #awake(action: () => void): void {
    if (!this.alive) return;
    if (this.#thaw) void this.#thawed.then(() => this.#awake(action));
    else action();
  }

  /** As SIGSTOP: it does nothing and does not know it; what it has sent is on its way. */
  freeze(): void {
    this.#thawed = new Promise((resolve) => (this.#thaw = resolve));
  }

  get frozen(): boolean {
    return this.#thaw !== undefined;
  }

  thaw(): void {
    const thaw = this.#thaw;
    this.#thaw = undefined;
    thaw?.();
  }

  /** Ends the process at this point, as kill -9 does. */
  die(at: string): never {
    this.alive = false;
    throw new Crash(at);
  }
}

function never(): Promise<never> {
  return new Promise(() => undefined);
}

export interface Bench {
  clock: Clock;
  store: Store;
  life: Life;
  ledger: Ledger;
  /** The process is killed; a new one opens the same ledger. It is not started. */
  restart(settings?: Partial<LedgerSettings>): Promise<void>;
  /** Fails the process at the next crash point of that name. */
  crashAt(name: string): void;
  /** The database does not answer at the next crash point of that name. */
  failAt(name: string): void;
  close(): Promise<void>;
}

/** An empty database of the backend under test: SQLite in memory or, with `LEDGER=postgres`, a real PostgreSQL. */
export async function openFresh(): Promise<Store> {
  if (process.env['LEDGER'] !== 'postgres') return openSqlite(':memory:');
  const store = await openPostgres(await (await postgres()).createDatabase());
  // The clock of a test is the only one.
  return { ...store, dialect: { ...store.dialect, now: undefined } };
}

/** A ledger under a clock of its own. Closed with `close`. @param file of SQLite, whatever the backend under test */
export async function bench(settings: Partial<LedgerSettings> = {}, file?: string): Promise<Bench> {
  const clock = new Clock();
  const store = clock.watch(await (file === undefined ? openFresh() : openSqlite(file)));
  await migrate(store);
  let fatal: string | undefined;
  let failing: string | undefined;
  const crashPoint = (name: string, life: Life) => {
    if (name === failing) {
      failing = undefined;
      throw new TemporaryFault('LEDGER_UNAVAILABLE', 'The disk is full.');
    }
    if (name !== fatal) return;
    fatal = undefined;
    life.die(name);
  };
  const life = new Life(store, clock, { settings, crashPoint });
  const made: Bench = {
    clock,
    store,
    life,
    ledger: life.ledger,
    restart(others = settings) {
      made.life.alive = false;
      made.life = new Life(store, clock, { settings: others, crashPoint });
      made.ledger = made.life.ledger;
      return Promise.resolve();
    },
    crashAt(name) {
      fatal = name;
    },
    failAt(name) {
      failing = name;
    },
    close: () => store.close(),
  };
  return made;
}

export type Fault =
  /** Done and answered. */
  | 'none'
  /** Certainly not done, worth another try. */
  | 'unreachable'
  /** Certainly not done, and never will be. */
  | 'refused'
  /** Done, the answer is lost. */
  | 'answer-lost'
  /** Not done, and nobody knows. */
  | 'request-lost'
  /** Unanswered now, done a while later. */
  | 'late'
  /** Done, and then our own code falls over the answer. */
  | 'unreadable';

/** A partner that remembers every effect, and every request for one. */
export class FakePartner {
  /** How often each reference was really done. */
  readonly done = new Map<string, number>();
  readonly requests: string[] = [];
  finds = 0;
  faults: Fault[] = [];
  /** Milliseconds until a late request is done. */
  lateness = 3000;
  /** Whether it recognises the key of a repeated request. */
  deduplicates = false;
  /** How many times `find` fails first. */
  blind = 0;
  latency = 0;
  /** Told of every effect that really happens. */
  happened: (reference: string) => void = () => undefined;
  /** What goes wrong with the next request, and with the next search. */
  nextFault: () => Fault = () => this.faults.shift() ?? 'none';
  nextBlind: () => boolean = () => this.blind > 0 && this.blind-- > 0;
  readonly #clock: Clock;
  readonly #keys = new Map<string, string>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async create(reference: string, key: string): Promise<{ id: string }> {
    this.requests.push(reference);
    const fault = this.nextFault();
    if (this.latency > 0) await new Promise<void>((resolve) => this.#clock.after(this.latency, resolve));
    const answer = { id: `P-${reference}` };
    switch (fault) {
      case 'unreachable':
        throw new TemporaryFault('PARTNER_UNAVAILABLE', 'connection refused');
      case 'refused':
        throw new BusinessRefusal('PARTNER_REFUSED', 'The article is not sold any more.');
      case 'request-lost':
        throw new InDoubt('ANSWER_LOST', 'time-out');
      case 'late':
        this.#clock.after(this.lateness, () => this.#accept(reference, key));
        throw new InDoubt('ANSWER_LOST', 'time-out');
      case 'answer-lost':
        this.#accept(reference, key);
        throw new InDoubt('ANSWER_LOST', 'connection reset');
      case 'unreadable':
        this.#accept(reference, key);
        throw new TypeError("Cannot read properties of undefined (reading 'id')");
      case 'none':
        this.#accept(reference, key);
        return answer;
    }
  }

  #accept(reference: string, key: string): void {
    if (this.deduplicates && this.#keys.get(key) === reference) return;
    this.#keys.set(key, reference);
    this.done.set(reference, (this.done.get(reference) ?? 0) + 1);
    this.happened(reference);
  }

  async find(reference: string): Promise<{ id: string } | undefined> {
    this.finds += 1;
    if (this.nextBlind()) {
      throw new TemporaryFault('PARTNER_UNAVAILABLE', 'search is down');
    }
    return this.done.has(reference) ? { id: `P-${reference}` } : undefined;
  }

  times(reference: string): number {
    return this.done.get(reference) ?? 0;
  }

  /** One write that creates `reference` here. */
  write(
    settle: Write<{ id: string }>['settle'],
    reference: string,
    options: { look?: 'always'; whenMissing?: 'ask'; step?: string } = {},
  ): Write<{ id: string }> {
    const step = options.step ?? 'create';
    const send = ({ key }: { key: string }) => this.create(reference, key);
    if (settle !== 'probe') return { step, settle, send };
    const { look, whenMissing } = options;
    return {
      step,
      settle,
      send,
      find: () => this.find(reference),
      ...(look ? { look } : {}),
      ...(whenMissing ? { whenMissing } : {}),
    };
  }
}

export const SETTLE_TIME = 10_000;

/** An operation of one write, with the fields that a test does not care about filled in. */
export function operationOf(
  eventId: string,
  reference: string,
  write: Write<{ id: string }>,
  changes: Partial<Operation<{ id: string }>> = {},
): Operation<{ id: string }> {
  return {
    eventId,
    orderId: 'shop-nz-1001',
    kind: 'po-create',
    partner: 'erp-main',
    document: reference,
    content: { reference },
    settleTime: SETTLE_TIME,
    call: (writer) => writer(write),
    ...changes,
  };
}

/** How one of our nodes takes part: busy while it works, and its errors are settled as the nodes settle them. */
export async function runNode<Result>(
  ledger: Ledger,
  eventId: string,
  run: () => Promise<Result>,
): Promise<Result | undefined> {
  ledger.dispatcher.started(eventId);
  try {
    return await run();
  } catch (thrown) {
    const error = asError(thrown);
    if (error instanceof Waiting) ledger.dispatcher.returnAt(eventId, error.until);
    else if (error instanceof Obsolete) return undefined;
    else if (error instanceof TemporaryFault)
      ledger.dispatcher.returnAt(eventId, ledger.core.now() + (error.retryAfter ?? 3000));
    else if (error instanceof BusinessRefusal || error instanceof ConfigurationMistake) {
      if (!ledger.effects.isRaised(error)) {
        await ledger.transact('raise', () =>
          raise(ledger.core.now(), {
            subject: `node event ${eventId} ${error.code}`,
            code: error.code,
            message: error.message,
            eventId,
          }),
        );
      }
    } else ledger.dispatcher.failed(eventId, error);
    return undefined;
  } finally {
    ledger.dispatcher.ended(eventId);
  }
}

/** Receives one kind of event with a function; the answer holds what was emitted. */
export function receive(
  ledger: Ledger,
  kind: string,
  run: (event: LedgerEvent, emits: Emit[]) => unknown = () => undefined,
  partner = '*',
  id = `node ${kind}`,
): LedgerEvent[] {
  const received: LedgerEvent[] = [];
  ledger.dispatcher.addReceiver(partner, kind, {
    id,
    emit: (event, emits) => {
      received.push(event);
      run(event, emits);
    },
  });
  return received;
}

/** A shop whose documents are `{ order, paid, cancelled }`, a supplier whose documents are ours, a bank likewise. */
export const shop: LedgerPartner = {
  reference: 'shop-nz',
  role: 'ecommerce',
  product: 'test',
  baseUrl: 'https://shop.test',
  readOrder: (body) => ({ paid: true, cancelled: false, ...(body as { order: Order }) }),
};

export function supplier(reference: string): LedgerPartner {
  return {
    reference,
    role: 'supplier',
    product: 'test',
    baseUrl: `https://${reference}.test`,
    readSupplier: (_kind, body) => body as SupplierDocument,
  };
}

export const bank: LedgerPartner = {
  reference: 'bank-main',
  role: 'bank',
  product: 'test',
  baseUrl: 'https://bank.test',
  readStatus: (body) => body as { run: string; all?: Omit<PaymentStatus, 'endToEndId'>; payments: PaymentStatus[] },
};

export const erp: LedgerPartner = { reference: 'erp-main', role: 'erp', product: 'test', baseUrl: 'https://erp.test' };

export async function bindAll(ledger: Ledger, suppliers = ['vineyard', 'cellar']): Promise<void> {
  for (const partner of [shop, bank, erp, ...suppliers.map(supplier)]) await ledger.partners.bind(partner);
}

/** Stores one fact. */
export function fact(
  ledger: Ledger,
  partner: string,
  kind: string,
  key: string,
  body: unknown,
): Promise<{ stored: number; repeated: number }> {
  return ledger.store(partner, [{ kind, dedupeKey: key, body }]);
}

export interface EventState {
  id: string;
  kind: string;
  state: string;
  note: string | null;
  attempts: number;
  emitted: number;
  due_at: number | null;
}

export async function events(ledger: Ledger): Promise<EventState[]> {
  const rows = await ledger.transact('events', () =>
    query<EventState>(
      `SELECT CAST(id AS TEXT) AS id, kind, state, note, attempts, emitted, due_at FROM event ORDER BY event.id`,
    ),
  );
  return rows.map((row) => ({ ...row }));
}

export async function eventState(ledger: Ledger, id = '1'): Promise<EventState> {
  const found = (await events(ledger)).find((event) => event.id === id);
  if (!found) throw new Error(`there is no event ${id}`);
  return found;
}

export async function effectState(
  ledger: Ledger,
  key: string,
): Promise<{ state: string; attempt: number; due_at: number | null } | undefined> {
  const row = await ledger.transact('effect', () =>
    queryOne<{ state: string; attempt: number; due_at: number | null }>(
      `SELECT state, attempt, due_at FROM effect WHERE key = ?`,
      key,
    ),
  );
  return row && { ...row };
}

/** Codes of the open exceptions. */
export async function openCodes(ledger: Ledger): Promise<string[]> {
  return (await ledger.transact('exceptions', () => exceptions({ state: 'open' }))).map((each) => each.code).sort();
}

export async function exceptionOf(
  ledger: Ledger,
  code: string,
): Promise<{ id: string; message: string; subject: string }> {
  const found = (await ledger.transact('exceptions', () => exceptions({ state: 'open' }))).find(
    (each) => each.code === code,
  );
  if (!found) throw new Error(`no open exception ${code}, but ${(await openCodes(ledger)).join(', ') || 'none'}`);
  return found;
}

/** Runs a generator of reads or writes. */
export function within<Result>(ledger: Ledger, work: () => Transaction<Result>): Promise<Result> {
  return ledger.transact('test', work);
}

/** The code of what a promise rejects with; undefined when it resolves. */
export async function rejection(promise: Promise<unknown>): Promise<string | undefined> {
  try {
    await promise;
    return undefined;
  } catch (thrown) {
    return (thrown as { code?: string }).code ?? asError(thrown).message;
  }
}
