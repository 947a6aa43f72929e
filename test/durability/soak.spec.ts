import should from 'should';
import { setTimeout as delay } from 'node:timers/promises';
import type { Exception } from '../../ledger/exceptions.ts';
import type { EffectView, OrderView } from '../../ledger/views.ts';
import { check } from '../../sandbox/check.ts';
import { draw, type FaultKind } from '../../sandbox/faults.ts';
import type { NodeRed } from '../../scripts/node-red.ts';
import { approveWaitingRuns } from '../../scripts/people.ts';
import { openCluster, type Cluster, type Member } from '../support/cluster.ts';
import { isComplete, type Basket } from '../support/house.ts';
import { editsOf } from './edits.ts';

/**
 * Three Node-REDs on one PostgreSQL, partners that fail, and everything that can happen to processes: they are killed, stand still,
 * are deployed to, lose their database. `SOAK=long` runs the long one; SEED, ORDERS, KILLS, DEPLOYS, RESTARTS, STOPS, FAULTS
 * (of a thousand requests) and PAUSE (milliseconds between two disturbances) change it. A seed makes the same plan and the same faults again, not the same history: the
 * processes are real.
 */
const SIZES = {
  short: { orders: 60, kills: 5, deploys: 3, restarts: 1, stops: 1, pause: 1000, faults: 60 },
  // Each fault has the partner left alone for a moment, so that many of them leave little for the processes to do when they die.
  long: { orders: 2000, kills: 52, deploys: 21, restarts: 11, stops: 8, pause: 1500, faults: 15 },
};
const SIZE = process.env['SOAK'] === 'long' ? 'long' : 'short';
const SEED = Number(process.env['SEED'] ?? 1);
const plan = {
  orders: given('ORDERS', SIZES[SIZE].orders),
  kills: given('KILLS', SIZES[SIZE].kills),
  deploys: given('DEPLOYS', SIZES[SIZE].deploys),
  restarts: given('RESTARTS', SIZES[SIZE].restarts),
  stops: given('STOPS', SIZES[SIZE].stops),
  pause: given('PAUSE', SIZES[SIZE].pause),
  /** Of a thousand requests to partners. */
  faults: given('FAULTS', SIZES[SIZE].faults),
};

/** Milliseconds: as long as one that stands still or was killed may be missed before another takes over its events. */
const LEASE = 6000;
/** Orders under way at the same time; more than that have to wait at the till. */
const UNDER_WAY = 200;
/**
 * Milliseconds until everything must have come to its end once nothing fails any more. After a long trouble an effect that has failed ten times
 * is tried again only after up to five minutes.
 */
const PATIENCE = SIZE === 'long' ? 420_000 : 180_000;

const FAULTS: FaultKind[] = [
  'reset-before',
  'reset-after',
  'hang',
  'late',
  'error-before',
  'error-after',
  'garbage',
  'rate-limit',
  'maintenance',
  'duplicate-callback',
  'shuffle-callbacks',
  'early-callback',
];

const BASKETS: Basket[] = [
  { lines: [{ sku: 'WINE-RIESLING', quantity: 2 }], country: 'DE' },
  // Two suppliers.
  {
    lines: [
      { sku: 'WINE-PINOT', quantity: 3 },
      { sku: 'GLASS-BURGUNDY', quantity: 1 },
    ],
    country: 'AT',
  },
  // Rejected by the first supplier.
  { lines: [{ sku: 'KNIFE-CHEF', quantity: 1 }], country: 'DE' },
  // One line back-ordered.
  {
    lines: [
      { sku: 'MILL-PEPPER', quantity: 1 },
      { sku: 'APRON-LINEN', quantity: 2 },
    ],
    country: 'AT',
  },
  // In two parcels.
  { lines: [{ sku: 'GLASS-BURGUNDY', quantity: 2 }], country: 'CZ' },
];

/** What the one that takes over says. */
const TAKEN_OVER = /has died; its \d+ open events/g;

type Disturbance = 'kill' | 'deploy' | 'restart' | 'stop';

let drawn = 0;
/** In [0, 1), from the seed. */
const random = () => draw(SEED, 'soak', (drawn += 1));
const between = (from: number, to: number) => Math.floor(from + random() * (to - from));
const oneOf = <Item>(items: readonly Item[]): Item => items[between(0, items.length)]!;

describe(`A soak of ${plan.orders} orders with ${plan.kills} kills, ${plan.deploys} deploys, ${plan.restarts} crashes of the database and ${plan.stops} standstills`, function () {
  this.timeout(45 * 60_000);
  let cluster: Cluster;
  before(async () => {
    cluster = await openCluster({ size: 3, speed: 20, timeout: 2, settle: 4, quiet: 1 });
  });
  after(() => cluster?.close());

  it(`loses nothing, does nothing twice, and closes every event (SEED=${SEED})`, async () => {
    const began = Date.now();
    const { world } = cluster.sandbox;
    const people = new People(cluster);
    const done: Record<Disturbance, number> = { kill: 0, deploy: 0, restart: 0, stop: 0 };
    const background: Promise<void>[] = [];
    const meanwhile = (work: Promise<void>) => {
      background.push(work);
      // What it fails of is told when all of them are waited for.
      work.catch(() => undefined);
    };
    // `late`: after the caller's time-out, and before time-out and settle time have passed.
    world.chaos = { seed: SEED, rate: plan.faults / 1000, kinds: FAULTS, partners: [], delay: 3000, retryAfter: 1 };

    const disturbances = shuffled([
      ...Array.from({ length: plan.kills }, () => 'kill' as const),
      ...Array.from({ length: plan.deploys }, () => 'deploy' as const),
      ...Array.from({ length: plan.restarts }, () => 'restart' as const),
      ...Array.from({ length: plan.stops }, () => 'stop' as const),
    ]);
    const stopWorking = people.work();
    try {
      for (const [index, kind] of disturbances.entries()) {
        await placeOrders(index + 1, disturbances.length);
        await disturb(kind);
        done[kind] += 1;
      }
      await Promise.all(background);
      await cluster.deploy(cluster.flows, 'full');
      world.chaos = undefined;
      const troubled = Date.now() - began;

      const problems = await people.untilSettled();
      const views = await people.readAll();
      problems.push(...(await compared(views)));
      await stopWorking();
      const exceptions = await people.ask<Exception[]>('/dropship/exceptions?state=all');
      report(views, exceptions, { troubled, took: Date.now() - began });
      should(problems).eql([], `${problems.join('\n')}\n${story(problems, views)}`);
      should(views.filter((view) => !isComplete(view)).map(({ order }) => order.id)).eql([]);
      should(exceptions.filter(({ state }) => state === 'open').map(({ code, message }) => [code, message])).eql([]);
      // A soak in which nobody dies proves nothing.
      if (plan.kills > 0) should(cluster.log()).match(TAKEN_OVER);
      should(cluster.log()).not.match(/uncaught|unhandled|EVENT_LOST/i);
      should(done).eql({ kill: plan.kills, deploy: plan.deploys, restart: plan.restarts, stop: plan.stops });
    } finally {
      await stopWorking();
    }

    /** This part of the orders, spread over the pause. */
    async function placeOrders(part: number, parts: number): Promise<void> {
      const until = Math.round((plan.orders * part) / parts);
      const mine = until - people.placed.length;
      const end = Date.now() + 120_000;
      for (let count = 0; count < mine; count += 1) {
        await people.place(oneOf(BASKETS));
        await delay(plan.pause / mine);
        while (people.remaining.size >= UNDER_WAY && Date.now() < end) await delay(100);
      }
      if (mine === 0) await delay(plan.pause);
    }

    async function disturb(kind: Disturbance): Promise<void> {
      switch (kind) {
        case 'kill': {
          const member = await victim();
          await cluster.kill(member);
          const wait = between(200, 3000);
          meanwhile(delay(wait).then(() => cluster.start(member)));
          return;
        }
        case 'stop': {
          // The first one for longer than the lease, so that its events are taken over while it still believes them its own. Those
          // who watch it are killed as well, and begin to count anew.
          const long = done.stop % 2 === 0;
          const time = long ? between(2 * LEASE, 2 * LEASE + 4000) : between(300, LEASE - 2000);
          meanwhile(cluster.freeze(await victim(), time));
          return;
        }
        case 'restart':
          return cluster.postgres.restart('immediate');
        case 'deploy': {
          const edits = editsOf(cluster.flows).filter(({ name }) => EDITS.includes(name));
          should(edits.length).equal(EDITS.length);
          const edited = oneOf([...edits.map((edit) => edit.apply(cluster.flows)), cluster.flows]);
          return cluster.deploy(edited, (['full', 'flows', 'nodes'] as const)[done.deploy % 3]!);
        }
      }
    }

    /** One that runs; another one at least goes on meanwhile. */
    async function victim(): Promise<Member> {
      for (const end = Date.now() + 60_000; Date.now() < end; await delay(50)) {
        const there = cluster.members.filter(({ red, frozen }) => red && !frozen);
        if (there.length >= 2) return oneOf(there);
      }
      throw new Error('Fewer than two Node-REDs run for a minute.');
    }

    async function compared(views: OrderView[]): Promise<string[]> {
      // A callback that a kill has refused is repeated by its partner after a while, perhaps later than the order needs it.
      for (const end = Date.now() + 30_000; ; await delay(1000)) {
        const effects = await people.ask<EffectView[]>('/dropship/effects');
        const problems = check({ views, effects, log: world.effects });
        if (problems.length === 0 || Date.now() > end) return problems;
        views.splice(0, views.length, ...(await people.readAll()));
      }
    }

    /** What ledger, partners and logs say of the first orders that something is wrong with. */
    function story(problems: string[], views: OrderView[]): string {
      const ids = [...new Set(problems.flatMap((problem) => problem.match(/shop-\d+/g) ?? []))].slice(0, 3);
      const log = cluster.log().split('\n');
      return ids
        .flatMap((id) => [
          ...(views.find((view) => view.order.id === id)?.history ?? []).map((entry) => JSON.stringify(entry)),
          ...world.effects.filter((entry) => JSON.stringify(entry).includes(id)).map((entry) => JSON.stringify(entry)),
          ...log.filter((line) => line.includes(id)),
        ])
        .join('\n');
    }

    function report(views: OrderView[], exceptions: Exception[], times: { troubled: number; took: number }): void {
      const log = cluster.log();
      const of = (operation: string) => world.effects.filter((entry) => entry.operation === operation).length;
      const parts = (name: 'purchaseOrders' | 'shipments' | 'bills') =>
        views.reduce((sum, view) => sum + view[name].length, 0);
      const lines = [
        `seed ${SEED}, ${views.length} orders, ${parts('purchaseOrders')} purchase orders, ${parts('shipments')} shipments, ${parts('bills')} bills, ${of('payment.execute')} payments`,
        `${world.effects.length} effects at partners`,
        `${done.kill} kills, ${done.deploy} deploys, ${done.restart} crashes of the database, ${done.stop} standstills`,
        `${count(log, TAKEN_OVER)} takeovers, ${count(log, /so long that others took over/g)} came back to find theirs taken`,
        `exceptions: ${tally(exceptions.map(({ code }) => code))}; tried again by people: ${tally(people.retried)}`,
        `${Math.round(times.troubled / 1000)} s of trouble, ${Math.round(times.took / 1000)} s in all`,
      ];
      process.stdout.write(lines.map((line) => `      ${line}\n`).join(''));
    }
  });
});

/** Nothing of an order is lost by them, at any moment. */
const EDITS = ['renamed nodes', 'replaced nodes', 'every node twice'];

/** Customers who order, and those who look, pay and try again whenever one of the Node-REDs answers. */
class People {
  readonly placed: string[] = [];
  /** Orders that have not been seen complete and paid. */
  readonly remaining = new Set<string>();
  /** Codes of exceptions that were tried again. */
  readonly retried: string[] = [];
  readonly #cluster: Cluster;
  readonly #seen = new Map<string, number>();
  #asked = 0;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  async place(basket: Basket): Promise<void> {
    const { status, body } = await this.#cluster.sandbox.partners.shop.handle({
      method: 'POST',
      path: '/__sandbox/shop/orders',
      query: new URLSearchParams(),
      headers: {},
      body: Buffer.from(JSON.stringify(basket)),
    });
    should(status).equal(201);
    const id = `shop-${(body as { id: number }).id}`;
    this.placed.push(id);
    this.remaining.add(id);
  }

  /** Asks whoever answers. @throws Error the last answer, when nobody has for half a minute */
  async ask<Answer>(path: string): Promise<Answer> {
    let last: unknown;
    for (const end = Date.now() + 30_000; Date.now() < end; await delay(200)) {
      const red = this.#cluster.someone();
      try {
        if (red) return await patiently(red.get<Answer>(path));
      } catch (error) {
        last = error;
      }
    }
    throw last instanceof Error ? last : new Error('No Node-RED runs.');
  }

  /** Goes on until it is told to stop. What fails is done in the next round: somebody has been killed, or the database is away. */
  work(): () => Promise<void> {
    let stopped = false;
    const round = async () => {
      while (!stopped) {
        const red = this.#cluster.someone();
        if (red) await patiently(this.#round(red)).catch(() => undefined);
        await delay(500);
      }
    };
    const working = round();
    return async () => {
      stopped = true;
      await working;
    };
  }

  async #round(red: NodeRed): Promise<void> {
    await this.#look(red);
    // Each question is an event of its own, so it is not asked for nothing.
    if (this.remaining.size > 0 && Date.now() - this.#asked > 2000) {
      this.#asked = Date.now();
      await red.post('/inject/dl-pay-ask');
    }
    await approveWaitingRuns(red);
    for (const exception of await red.get<Exception[]>('/dropship/exceptions')) {
      const since = this.#seen.get(exception.id) ?? Date.now();
      this.#seen.set(exception.id, since);
      // Many come right by themselves.
      if (Date.now() - since < 3000 || !exception.actions.some(({ name, certain }) => name === 'retry' && !certain))
        continue;
      await red.post(`/dropship/exceptions/${exception.id}/retry`);
      this.#seen.delete(exception.id);
      this.retried.push(exception.code);
    }
  }

  /** At those that have waited longest. */
  async #look(red: NodeRed): Promise<void> {
    for (const id of [...this.remaining].slice(0, 40)) {
      const view = await red.get<OrderView>(`/dropship/orders/${id}`).catch((error: Error) => {
        if (!/answered 404/.test(error.message)) throw error;
        return undefined;
      });
      this.remaining.delete(id);
      if (!view || !isComplete(view)) this.remaining.add(id);
    }
  }

  /** Once nothing fails any more. @returns what has not come to its end */
  async untilSettled(): Promise<string[]> {
    for (const end = Date.now() + PATIENCE; ; await delay(300)) {
      const { events, waiting } = await this.ask<{
        events: { state: string; n: number }[];
        waiting: { id: string; kind: string; orderId: string | null; state: string; note: string }[];
      }>('/dropship/work');
      const open = events.filter(({ state }) => ['open', 'stored', 'waiting'].includes(state));
      if (this.remaining.size === 0 && open.length === 0) return [];
      if (Date.now() < end) continue;
      const unfinished = (await this.ask<EffectView[]>('/dropship/effects')).filter(({ state }) => state !== 'done');
      return [
        `Not settled after ${PATIENCE} ms: ${tally(open.map(({ state, n }) => `${n} ${state}`))} events.`,
        ...[...this.remaining].slice(0, 20).map((id) => `${id} is not complete and paid.`),
        ...waiting.slice(0, 20).map((event) => `${event.kind} of ${event.orderId} ${event.state}: ${event.note}`),
        ...unfinished.slice(0, 20).map(({ key, state, attempt, error }) => `${key}: ${state}, ${attempt}, ${error}`),
      ];
    }
  }

  /** Every order as the ledger shows it; one that it does not have is missing. */
  async readAll(): Promise<OrderView[]> {
    const views: OrderView[] = [];
    const ids = [...this.placed];
    const read = async () => {
      for (let id = ids.shift(); id !== undefined; id = ids.shift())
        views.push(await this.ask<OrderView>(`/dropship/orders/${id}`));
    };
    await Promise.all(Array.from({ length: 6 }, read));
    return views;
  }
}

/** One that stands still does not answer at all. */
async function patiently<Answer>(answer: Promise<Answer>): Promise<Answer> {
  const tooLong = new AbortController();
  try {
    return await Promise.race([
      answer,
      delay(15_000, undefined, { signal: tooLong.signal, ref: false }).then(() => {
        throw new Error('No answer within 15 s.');
      }),
    ]);
  } finally {
    tooLong.abort();
  }
}

function given(name: string, standard: number): number {
  const text = process.env[name];
  if (text === undefined) return standard;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new Error(`${name}=${text} is no number of anything.`);
  return value;
}

/** By the seed. */
function shuffled<Item>(items: Item[]): Item[] {
  return items
    .map((item) => ({ item, at: random() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

function count(text: string, what: RegExp): number {
  return [...text.matchAll(what)].length;
}

function tally(names: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const each of names) counts.set(each, (counts.get(each) ?? 0) + 1);
  return [...counts].map(([each, n]) => `${n} × ${each}`).join(', ') || 'none';
}
