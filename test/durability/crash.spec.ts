import type { Fault } from '../../sandbox/world.ts';
import { openHouse, type Basket, type House } from '../support/house.ts';
import {
  arm,
  endOf,
  grouped,
  isWorthATrial,
  nameOf,
  passed,
  pointsOf,
  spread,
  startDoomed,
  withCrashPoints,
  type Mishap,
} from './points.ts';

/**
 * Crash points, one after the other (reliability by enumeration, as SQLite tests its n-th failure): a first run writes down every point
 * that an order passes on its way from the shop's webhook to the paid supplier; then, for each point, a real Node-RED is killed there,
 * started again, and the order must end complete and paid with nothing lost and nothing done twice. The same with an error that is thrown at the point,
 * while the process lives on.
 *
 * What only a recovery passes (starting, asking partners, trying again) is found on the way; at each such point the recovery is
 * killed, or fails, as well.
 *
 * `npm test` takes a sample spread over the whole way. `CRASH_POINTS=all` takes every point, `CRASH_POINTS=100` so many
 * of each scenario, `CRASH_POINTS="after emit order 1"` one, `CRASH_POINTS="after emit order 1 + before recover 1"` a second one during the
 * recovery from the first, or later in the same order; errors at several points of one order stand with ` & ` between them. `CRASH_BACKEND` is `sqlite`, `postgres` or `both`; `CRASH_MODE` is `kill`, `throw` (`error` and `fault` by turns) or `both`.
 */
interface Scenario {
  title: string;
  basket: Basket;
  faults?: Fault[];
}

const SCENARIOS: Scenario[] = [
  { title: 'one supplier', basket: { lines: [{ sku: 'WINE-RIESLING', quantity: 2 }], country: 'DE' } },
  {
    title: 'two suppliers',
    basket: {
      lines: [
        { sku: 'WINE-PINOT', quantity: 3 },
        { sku: 'GLASS-BURGUNDY', quantity: 1 },
        { sku: 'OIL-OLIVE', quantity: 2 },
      ],
      country: 'AT',
    },
  },
  {
    title: 'a rejected line that goes to another supplier',
    basket: { lines: [{ sku: 'KNIFE-CHEF', quantity: 1 }], country: 'DE' },
  },
  {
    title: 'two partial shipments',
    basket: { lines: [{ sku: 'GLASS-BURGUNDY', quantity: 2 }], country: 'CZ' },
  },
  {
    title: 'callbacks that come early and twice',
    basket: { lines: [{ sku: 'WINE-PINOT', quantity: 1 }], country: 'DE' },
    faults: [
      { partner: 'prompt', operation: 'order.accept', kind: 'early-callback', times: 1 },
      { partner: 'prompt', kind: 'duplicate-callback', times: 3 },
      { partner: 'bank', kind: 'duplicate-callback', times: 2 },
    ],
  },
  {
    title: 'answers that are lost',
    basket: { lines: [{ sku: 'WINE-RIESLING', quantity: 2 }], country: 'DE' },
    faults: [
      { partner: 'erp', operation: 'sale.create', kind: 'reset-after', times: 1 },
      { partner: 'erp', operation: 'purchase.create', kind: 'error-before', times: 1 },
      { partner: 'prompt', operation: 'order.accept', kind: 'reset-after', times: 1 },
      { partner: 'shop', operation: 'fulfilment.create', kind: 'garbage', times: 1 },
      { partner: 'erp', operation: 'payment.create', kind: 'reset-after', times: 1 },
    ],
  },
];

type Backend = 'sqlite' | 'postgres';

/** One order with its mishaps. */
interface Trial {
  /** The first point is that of the order, each further one comes after the process was started again. All but the last one kill. */
  at: string[];
  how: Mishap;
}

interface Outcome {
  problems: string[];
  /** The points that were passed: partners answer in their own time, so that two runs differ a little. */
  reached: string[];
  /** The points that recoveries passed, each with the one where the process had been killed. */
  recovery: (readonly [point: string, after: string])[];
}

/** How many points of each scenario `npm test` tries: kills, errors, and crashes of the recovery. */
const SAMPLE: Record<Backend, [number, number, number]> = { sqlite: [12, 6, 2], postgres: [2, 1, 1] };

/** One for each core of a small machine. */
const HOUSES = 2;

/** What the flows do not need and would cost time at each start. */
const LEAN = `
  disableEditor: true,
  nodesExcludes: ['90-exec.js', 'rbe.js', '05-tls.js', '06-httpproxy.js', '10-mqtt.js', '21-httprequest.js', '22-websocket.js', '31-tcpin.js', '32-udp.js',
    '70-CSV.js', '70-HTML.js', '70-JSON.js', '70-XML.js', '70-YAML.js', '17-split.js', '18-sort.js', '19-batch.js', '10-file.js', '23-watch.js'],
  dropship: { development: true, lease: 0.4 },`;

/** Recovery points that have been tried: a start is the same whatever the order. */
const tried = new Set<string>();

for (const backend of backends()) {
  describe(`A crash at any point of an order (${backend})`, function () {
    this.timeout(0);
    for (const scenario of SCENARIOS) {
      it(`${scenario.title}: nothing is lost and nothing done twice`, async () => {
        const run = await Run.open(scenario, backend);
        try {
          await run.all();
        } finally {
          await run.close();
        }
        if (run.failures.length > 0)
          throw new Error(`${run.failures.length} points failed, see above. ${run.failures.at(-1)}`);
      });
    }
  });
}

/** The trials of a scenario, in two houses side by side. */
class Run {
  readonly failures: string[] = [];
  readonly #scenario: Scenario;
  readonly #backend: Backend;
  readonly #houses: House[];
  /** Points of recoveries that the order itself does not pass, and after which point they came. */
  readonly #recovery = new Map<string, string>();
  readonly #reached = new Set<string>();

  private constructor(scenario: Scenario, backend: Backend, houses: House[]) {
    this.#scenario = scenario;
    this.#backend = backend;
    this.#houses = houses;
  }

  static async open(scenario: Scenario, backend: Backend): Promise<Run> {
    return new Run(scenario, backend, await Promise.all(Array.from({ length: HOUSES }, () => open(backend))));
  }

  async close(): Promise<void> {
    await Promise.all(this.#houses.map((house) => house.close()));
  }

  async all(): Promise<void> {
    const wish = process.env['CRASH_POINTS'];
    if (wish && wish !== 'all' && !/^\d+$/.test(wish)) {
      const how = (process.env['CRASH_MODE'] ?? 'kill') as Mishap;
      return this.#try(wish.split(',').map((point) => ({ at: point.split(' + '), how })));
    }
    const points = await pointsOf(this.#houses[0]!, () => place(this.#houses[0]!, this.#scenario));
    const size = wish === 'all' ? Infinity : wish ? Number(wish) : undefined;
    const [kills, errors, again] = size === undefined ? SAMPLE[this.#backend] : [size, size, Math.ceil(size / 6)];
    const names = new Set(points.map(nameOf));
    const killed = spread(points, isMeant('kill') ? kills : 0);
    const failing = spread(points, isMeant('throw') ? errors : 0);
    await this.#try([...deaths(points, killed), ...throws(points, failing)], names);
    // What a group did not reach, because it had been passed before, is tried alone.
    const missed = (chosen: string[], kind: string) => chosen.filter((point) => !this.#reached.has(`${kind} ${point}`));
    await this.#try([
      ...missed(killed, 'kill').map((point): Trial => ({ at: [point], how: 'kill' })),
      ...missed(failing, 'throw').map((point, index): Trial => ({ at: [point], how: errorBy(index) })),
    ]);
    // What only a recovery passes is known now.
    const second = [...this.#recovery].filter(([point]) => !tried.has(`${this.#backend} ${point}`));
    const chosen = spread(second, isMeant('kill') ? again : 0);
    for (const [point] of chosen) tried.add(`${this.#backend} ${point}`);
    await this.#try(
      chosen.flatMap(([point, first]): Trial[] => [
        { at: [first, point], how: 'kill' },
        // A mistake in the program while nodes start shows at the node until the next deploy; a database that is not there yet must not.
        ...(isMeant('throw') ? [{ at: [first, point], how: 'fault' as const }] : []),
      ]),
    );
    const lost = [...missed(killed, 'kill'), ...missed(failing, 'throw')];
    const all = killed.length + failing.length;
    process.stdout.write(
      `      ${all - lost.length} of ${all} reached; the order has ${points.length} points; ${chosen.length} of ${second.length} more of its recoveries tried\n`,
    );
    if (this.failures.length === 0 && lost.length > Math.max(1, all * 0.2))
      this.failures.push(`Only ${all - lost.length} of ${all} chosen points were reached.`);
  }

  /** @param known names of points of which nothing more is to be learned */
  async #try(trials: Trial[], known?: Set<string>): Promise<void> {
    const queue = [...trials];
    const began = performance.now();
    let done = 0;
    const all = trials.reduce((sum, trial) => sum + pointsIn(trial), 0);
    const work = async (place: number) => {
      for (let trial = queue.shift(); trial; trial = queue.shift()) {
        const { problems, reached, recovery } = await tryAt(this.#houses[place]!, this.#scenario, trial);
        if (problems.length > 0) {
          await this.#fail(place, trial, problems);
        } else if (known && trial.how === 'kill') {
          for (const [point, after] of recovery)
            if (isWorthATrial(point) && !known.has(nameOf(point)) && !this.#recovery.has(point))
              this.#recovery.set(point, after);
        }
        for (const point of reached) this.#reached.add(`${trial.how === 'kill' ? 'kill' : 'throw'} ${point}`);
        const before = done;
        done += pointsIn(trial);
        if (Math.floor(done / 25) > Math.floor(before / 25)) this.#tell(done, all, (performance.now() - began) / 1000);
      }
    };
    await Promise.all(this.#houses.map((_, place) => work(place)));
  }

  async #fail(place: number, trial: Trial, problems: string[]): Promise<void> {
    this.failures.push(failureAt(this.#scenario, this.#backend, trial, problems, this.#houses[place]!));
    process.stdout.write(`${this.failures.at(-1)}\n`);
    // What the failed order left open would spoil the next one.
    await this.#houses[place]!.close();
    this.#houses[place] = await open(this.#backend);
  }

  #tell(done: number, all: number, seconds: number): void {
    process.stdout.write(
      `      ${new Date().toTimeString().slice(0, 8)} ${this.#scenario.title}, ${this.#backend}: ${done} of ${all}, ${(seconds / done).toFixed(2)} s each, ${this.failures.length} failed\n`,
    );
  }
}

function backends(): Backend[] {
  const wish = process.env['CRASH_BACKEND'];
  return wish === 'sqlite' || wish === 'postgres' ? [wish] : ['sqlite', 'postgres'];
}

function isMeant(mode: 'kill' | 'throw'): boolean {
  const wish = process.env['CRASH_MODE'] ?? 'both';
  return wish === 'both' || (mode === 'kill' ? wish === 'kill' : wish !== 'kill');
}

/** A mistake in the program and a database that cannot be reached, by turns. */
function errorBy(index: number): Mishap {
  const wish = process.env['CRASH_MODE'];
  return wish === 'error' || wish === 'fault' ? wish : index % 2 === 0 ? 'error' : 'fault';
}

/** A new process counts from one, so only what has not been passed before a death is certainly the same point after it. */
function deaths(points: string[], chosen: string[]): Trial[] {
  return grouped(points, chosen, 4, (point) => point.endsWith(' 1')).map((at) => ({ at, how: 'kill' }));
}

function throws(points: string[], chosen: string[]): Trial[] {
  return grouped(points, chosen, 5).map((group, index) => ({ at: [group.join(' & ')], how: errorBy(index) }));
}

function pointsIn({ at }: Trial): number {
  return at.flatMap((stage) => stage.split(' & ')).length;
}

function open(backend: Backend): Promise<House> {
  return openHouse({
    speed: 20,
    timeout: 2,
    settle: 0.2,
    quiet: 0.2,
    settings: LEAN,
    env: withCrashPoints,
    ledger: backend,
  });
}

async function tryAt(house: House, scenario: Scenario, { at, how }: Trial): Promise<Outcome> {
  const reached: string[] = [];
  const recovery: Outcome['recovery'] = [];
  let id = '';
  try {
    let end: string | number = 'settled';
    for (const [index, point] of at.entries()) {
      const what = index === at.length - 1 ? how : 'kill';
      if (index === 0) arm(house, point, what);
      const red = index === 0 ? house.red : await startDoomed(house, point, what);
      if (!id) id = await place(house, scenario);
      end = red ? await endOf(house, id) : 'SIGKILL';
      const here = passed(house);
      if (index > 0) recovery.push(...here.map((each) => [each, at[index - 1]!] as const));
      reached.push(...point.split(' & ').filter((each) => here.includes(each)));
      if (end === 'settled') break;
      if (end !== 'SIGKILL') return { problems: [`Node-RED ended by itself: ${end}.`], reached, recovery };
    }
    if (end === 'SIGKILL') await startDoomed(house);
    const problems = await house.check(await house.settled([id]));
    if (end === 'SIGKILL') recovery.push(...passed(house).map((each) => [each, at.at(-1)!] as const));
    return { problems, reached, recovery };
  } catch (error) {
    return { problems: [`${id || 'No order'}: ${(error as Error).message}`], reached, recovery };
  }
}

function place(house: House, { basket, faults = [] }: Scenario): Promise<string> {
  house.sandbox.world.faults = structuredClone(faults);
  return house.place(basket);
}

function failureAt(scenario: Scenario, backend: Backend, { at, how }: Trial, problems: string[], house: House): string {
  const point = at.join(' + ');
  const again = `CRASH_BACKEND=${backend} CRASH_MODE=${how} CRASH_POINTS="${point}" node node_modules/mocha/bin/mocha.js --no-config test/durability/crash.spec.ts -g "${scenario.title}"`;
  return `${how} at "${point}" (${backend}):\n  ${problems.join('\n  ')}\n  Again: ${again}\n  The end of Node-RED's log:\n${house.log()}`;
}
