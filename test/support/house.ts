import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { EffectView, OrderView } from '../../ledger/views.ts';
import { check } from '../../sandbox/check.ts';
import { startSandbox, type Sandbox } from '../../sandbox/index.ts';
import { demoFlows } from '../../scripts/demo-flows.ts';
import type { FlowNode } from '../../scripts/examples.ts';
import { freePort, shippedFlows, startNodeRed, type NodeRed } from '../../scripts/node-red.ts';
import { approveBankAccounts, approveWaitingRuns } from '../../scripts/people.ts';
import { postgres } from './postgres.ts';

export interface HouseOptions {
  /** How much faster than in the demo the partners are. Default 20. */
  speed?: number;
  /** Seconds until a partner that does not answer is given up. Default 1. */
  timeout?: number;
  /** Seconds until a partner is asked whether it did what it did not answer. Default: a second after the time-out. */
  settle?: number;
  /** Seconds until a quiet event is closed. Default 1. */
  quiet?: number;
  /** Further properties of the flow's nodes by id, such as `{ 'dl-ledger': { quietTime: 5 } }`. */
  changes?: Record<string, Record<string, unknown>>;
  /** Further settings of Node-RED, as JavaScript source of object properties. */
  settings?: string;
  /** Added to the environment of each Node-RED of the house. */
  env?: (userDir: string) => Record<string, string>;
  /** Where the ledger is kept: the default file, or a fresh database of the real PostgreSQL that the specs share. */
  ledger?: 'sqlite' | 'postgres';
}

/** What a customer puts into the basket. */
export interface Basket {
  lines: { sku: string; quantity: number }[];
  country: string;
}

/**
 * A house for tests: the sandbox partners in this process, and a real Node-RED with the shipped flows and short times beside it, all on free ports. Node-RED
 * can be killed and started again on the same user directory while the partners go on.
 */
export interface House {
  sandbox: Sandbox;
  userDir: string;
  /** What was deployed at first: the shipped flows with their credentials and short times. */
  flows: FlowNode[];
  /** The running Node-RED; another one after each start. */
  readonly red: NodeRed;
  /** Starts Node-RED (again). @throws Error when it dies before it answers */
  start(env?: Record<string, string>): Promise<NodeRed>;
  kill(): Promise<void>;
  /** A customer orders. Answers Dropline's order id, before the shop's webhook leaves: faults may still be aimed at it. */
  place(basket: Basket): Promise<string>;
  /** One look: asks what is due, approves what waits for it, and says how the orders stand. Unknown orders are missing. */
  look(ids: string[]): Promise<OrderView[]>;
  /**
   * Looks until every order is as it should be.
   * @param done default: complete in the shop and every bill paid
   * @param patience milliseconds
   * @throws Error that says what is missing
   */
  until(ids: string[], done?: (view: OrderView) => boolean, patience?: number): Promise<OrderView[]>;
  /** `until`, and the ledger has nothing open any more. */
  settled(ids: string[], done?: (view: OrderView) => boolean, patience?: number): Promise<OrderView[]>;
  /**
   * What is wrong between the ledger and the partners, for these orders.
   * @param sameAs other references of sandbox partners, such as `{ 'erp-2': 'erp' }`
   */
  check(views: OrderView[], sameAs?: Record<string, string>): Promise<string[]>;
  /** The end of Node-RED's log. */
  log(): string;
  close(): Promise<void>;
}

/** Complete in the shop and every bill paid. */
export function isComplete(view: OrderView): boolean {
  return view.state === 'complete' && view.progress.paid.reached;
}

export async function openHouse(options: HouseOptions = {}): Promise<House> {
  const { speed = 20, settings } = options;
  const folder = mkdtempSync(join(tmpdir(), 'dropline-house-'));
  const userDir = join(folder, 'node-red');
  const bankFolder = join(folder, 'to-bank');
  mkdirSync(bankFolder, { recursive: true });
  const port = await freePort();
  const sandbox = await startSandbox({
    port: 0,
    speed,
    dropline: { url: `http://127.0.0.1:${port}` },
    bank: { folder: bankFolder },
  });
  // By its address in the environment, as people do who do not want a password in the flow's credentials.
  const url = options.ledger === 'postgres' ? await (await postgres()).createDatabase() : undefined;
  const ledgerNode = url && { store: 'postgres', credentials: { url: '${LEDGER_URL}' } };
  const withLedger: HouseOptions = {
    ...options,
    ...(ledgerNode
      ? { changes: { ...options.changes, 'dl-ledger': { ...options.changes?.['dl-ledger'], ...ledgerNode } } }
      : {}),
  };
  let red: NodeRed | undefined;
  let asked = 0;

  const running = (): NodeRed => {
    if (!red) throw new Error('Node-RED does not run.');
    return red;
  };

  const house: House = {
    sandbox,
    userDir,
    flows: demoFlows(sandbox, bankFolder, quick(withLedger)),
    get red() {
      return running();
    },
    async start(env = {}) {
      await red?.kill();
      red = undefined;
      red = await startNodeRed({
        userDir,
        port,
        env: { ...options.env?.(userDir), ...env, ...(url ? { LEDGER_URL: url } : {}) },
        ...(settings === undefined ? {} : { settings }),
      });
      if (url) red = askingAbout('dl-ledger', red);
      return red;
    },
    async kill() {
      await red?.kill();
    },
    async place(basket) {
      const body = Buffer.from(JSON.stringify(basket));
      const { status, body: answer } = await sandbox.partners.shop.handle({
        method: 'POST',
        path: '/__sandbox/shop/orders',
        query: new URLSearchParams(),
        headers: {},
        body,
      });
      if (status !== 201) throw new Error(`The sandbox shop refused the order: ${JSON.stringify(answer)}`);
      return `shop-${(answer as { id: number }).id}`;
    },
    async look(ids) {
      const views: OrderView[] = [];
      for (const id of ids) {
        const view = await running().get<OrderView>(`/dropship/orders/${id}`).catch(ignoreUnknown);
        if (view) views.push(view);
      }
      if (
        Date.now() - asked > 500 &&
        views.some((view) => view.bills.some((bill) => bill.state === 'entered' && !isUnderWay(view, bill.id)))
      ) {
        asked = Date.now();
        await running().post('/inject/dl-pay-ask').catch(ignoreUnknown);
      }
      await approveWaitingRuns(running()).catch(ignoreUnknown);
      return views;
    },
    async until(ids, done = isComplete, patience = 30_000) {
      const end = Date.now() + patience;
      const ready = new Map<string, OrderView>();
      for (;;) {
        const views = await house.look(ids.filter((id) => !ready.has(id)));
        for (const view of views) if (done(view)) ready.set(view.order.id, view);
        if (ready.size === ids.length) return ids.map((id) => ready.get(id)!);
        if (Date.now() > end) {
          const arrived = new Set([...ready.keys(), ...views.map((view) => view.order.id)]);
          const missing = ids.filter((id) => !arrived.has(id)).map((id) => `${id} has not arrived.`);
          throw new Error(
            [
              `Not settled after ${patience} ms:`,
              ...missing,
              ...views.filter((view) => !done(view)).map(describe),
              ...(await unfinished(running())),
            ].join('\n  '),
          );
        }
        await delay(50);
      }
    },
    async settled(ids, done = isComplete, patience = 30_000) {
      const end = Date.now() + patience;
      await house.until(ids, done, patience);
      for (;;) {
        const { events } = await running().get<{ events: { state: string; n: number }[] }>('/dropship/work');
        const open = events.filter((event) => ['open', 'stored', 'waiting'].includes(event.state));
        if (open.length === 0) return house.until(ids, done, patience);
        if (Date.now() > end)
          throw new Error(
            [
              `Still ${open.map((event) => `${event.n} ${event.state}`).join(', ')} events.`,
              ...(await unfinished(running())),
            ].join('\n  '),
          );
        await delay(50);
      }
    },
    async check(views, sameAs = {}) {
      const ids = views.map((view) => view.order.id);
      // A callback that a kill has refused is repeated by its partner after a while, perhaps later than the order needs it.
      const end = Date.now() + 10_000;
      for (;;) {
        const problems = check({
          views: (await house.look(ids)).filter((view) => ids.includes(view.order.id)),
          effects: (await running().get<EffectView[]>('/dropship/effects')).map((effect) => ({
            ...effect,
            partner: sameAs[effect.partner ?? ''] ?? effect.partner,
          })),
          log: sandbox.world.effects,
        });
        if (problems.length === 0 || Date.now() > end) return problems;
        await delay(200);
      }
    },
    log: () => readFileSync(join(userDir, 'node-red.log'), 'utf8').slice(-4000),
    async close() {
      await red?.stop();
      await sandbox.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };

  try {
    await house.start();
    await running().deploy(house.flows);
    await approveBankAccounts(running());
    return house;
  } catch (error) {
    await house.close();
    throw error;
  }
}

/** What differs from the shipped flows: short times, and shelves that never empty, so that the hundredth order is like the first. */
function quick({
  timeout = 1,
  settle = timeout + 1,
  quiet = 1,
  changes = {},
}: HouseOptions): Record<string, Record<string, unknown>> {
  const offers = shippedFlows().find((node) => node.id === 'dl-in-route')?.['offers'] as Record<string, unknown>[];
  const partner = (options: Record<string, unknown> = {}) => ({
    timeout,
    options: { settleSeconds: settle, ...options },
  });
  const nodes: Record<string, Record<string, unknown>> = {
    'dl-ledger': { quietTime: quiet },
    'dl-in-receive': { pollMinutes: 0.02 },
    'dl-in-route': { offers: offers.map((offer) => ({ ...offer, stock: '' })) },
    'dl-shop': partner({ completion: 'auto' }),
    'dl-erp': partner({ database: 'sandbox' }),
    'dl-prompt': partner(),
    'dl-parcels': partner(),
    'dl-moody': partner(),
  };
  for (const [id, properties] of Object.entries(changes)) nodes[id] = { ...nodes[id], ...properties };
  return nodes;
}

/** The admin routes answer about the default ledger unless another one is named. */
function askingAbout(ledger: string, red: NodeRed): NodeRed {
  const about = (path: string) =>
    path.startsWith('/dropship/') ? `${path}${path.includes('?') ? '&' : '?'}ledger=${ledger}` : path;
  return { ...red, get: (path) => red.get(about(path)), post: (path, body) => red.post(about(path), body) };
}

async function unfinished(red: NodeRed): Promise<string[]> {
  const effects = await red.get<EffectView[]>('/dropship/effects');
  return effects
    .filter((effect) => effect.state !== 'done')
    .map((effect) => `${effect.key}: ${effect.state}, attempt ${effect.attempt}, ${effect.error ?? ''}`);
}

function isUnderWay(view: OrderView, bill: string): boolean {
  return view.payments.some((payment) => payment.bill === bill && !['rejected', 'returned'].includes(payment.state));
}

function describe(view: OrderView): string {
  const open = view.exceptions
    .filter((exception) => exception.state === 'open')
    .map((exception) => `${exception.code}: ${exception.message}`);
  return [`${view.order.id} is ${view.state}.`, ...view.progress.paid.missing, ...open].join(' ');
}

/** The order has not arrived yet, Node-RED has just started and the flows have not, or the ledger cannot be had for a moment: whoever looks, looks again. */
function ignoreUnknown(error: Error): undefined {
  if (!/answered (404|503)|This is a test/.test(error.message)) throw error;
}
