import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { EffectView, OrderView } from '../../ledger/views.ts';
import type { PaymentRun } from '../../orders/payment.ts';
import { suppliers } from '../../sandbox/catalogue.ts';
import { check } from '../../sandbox/check.ts';
import { startSandbox, type Sandbox } from '../../sandbox/index.ts';
import { demoFlows } from '../../scripts/demo-flows.ts';
import { startNodeRed, type NodeRed } from '../../scripts/node-red.ts';

export interface HouseOptions {
  /** How much faster than in the demo the partners are. Default 20. */
  speed?: number;
  /** Seconds until a partner that does not answer is given up. Default 1. */
  timeout?: number;
  /** Further properties of the flow's nodes by id, such as `{ 'dl-ledger': { quietTime: 5 } }`. */
  changes?: Record<string, Record<string, unknown>>;
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
  /** The running Node-RED; another one after each start. */
  readonly red: NodeRed;
  /** Starts Node-RED (again). @throws Error when it dies before it answers */
  start(env?: Record<string, string>): Promise<NodeRed>;
  kill(): Promise<void>;
  /** A customer orders. Answers Dropline's order id. */
  place(basket: Basket): Promise<string>;
  /** One look: asks what is due, approves what waits for it, and says how the orders stand. Unknown orders are missing. */
  look(ids: string[]): Promise<OrderView[]>;
  /**
   * Looks until every order is settled and the ledger has nothing open.
   * @param done default: shipped, told to the shop and paid as a whole
   * @throws Error that says what is missing
   */
  settled(ids: string[], done?: (view: OrderView) => boolean, patience?: number): Promise<OrderView[]>;
  /** What is wrong between the ledger and the partners, for these orders. */
  check(views: OrderView[]): Promise<string[]>;
  /** The end of Node-RED's log. */
  log(): string;
  close(): Promise<void>;
}

/** Complete in the shop and every bill paid. */
export function isComplete(view: OrderView): boolean {
  return view.state === 'complete' && view.progress.paid.reached;
}

export async function openHouse(options: HouseOptions = {}): Promise<House> {
  const { speed = 20, timeout = 1 } = options;
  const folder = mkdtempSync(join(tmpdir(), 'dropline-house-'));
  const userDir = join(folder, 'node-red');
  const bankFolder = join(folder, 'to-bank');
  mkdirSync(bankFolder, { recursive: true });
  const port = await freePort();
  const sandbox = await startSandbox({ port: 0, speed, dropline: { url: `http://127.0.0.1:${port}` }, bank: { folder: bankFolder } });
  let red: NodeRed | undefined;
  let asked = 0;
  // Whatever becomes of the test, its Node-RED does not outlive it.
  const killAtExit = () => void red?.process.kill('SIGKILL');
  process.once('exit', killAtExit);

  const running = (): NodeRed => {
    if (!red) throw new Error('Node-RED does not run.');
    return red;
  };

  const house: House = {
    sandbox,
    userDir,
    get red() {
      return running();
    },
    async start(env = {}) {
      await red?.kill();
      red = undefined;
      red = await startNodeRed({ userDir, port, env });
      return red;
    },
    async kill() {
      await red?.kill();
    },
    async place({ lines, country }) {
      const response = await fetch(`${sandbox.urls.shop}/__sandbox/shop/orders`, { method: 'POST', body: JSON.stringify({ lines, country }) });
      if (!response.ok) throw new Error(`The sandbox shop refused the order: ${await response.text()}`);
      return `shop-${((await response.json()) as { id: number }).id}`;
    },
    async look(ids) {
      const views: OrderView[] = [];
      for (const id of ids) {
        const view = await running().get<OrderView>(`/dropship/orders/${id}`).catch(ignoreUnknown);
        if (view) views.push(view);
      }
      if (Date.now() - asked > 500 && views.some((view) => view.bills.some((bill) => bill.state === 'entered' && !isUnderWay(view, bill.id)))) {
        asked = Date.now();
        await running().post('/inject/dl-pay-ask');
      }
      for (const run of await running().get<PaymentRun[]>('/dropship/runs')) {
        if (run.state === 'waiting-for-approval') await running().post(`/dropship/runs/${run.id}/approve`, { contentHash: run.contentHash }).catch(ignoreDecided);
      }
      return views;
    },
    async settled(ids, done = isComplete, patience = 30_000) {
      const until = Date.now() + patience;
      for (;;) {
        const views = await house.look(ids);
        const { events } = await running().get<{ events: { state: string; n: number }[] }>('/dropship/work');
        const open = events.filter((event) => ['open', 'stored', 'waiting'].includes(event.state));
        if (views.length === ids.length && views.every(done) && open.length === 0) return views;
        if (Date.now() > until) {
          throw new Error(
            [
              `Not settled after ${patience} ms: ${ids.length - views.length} orders have not arrived; events: ${open.map((event) => `${event.n} ${event.state}`).join(', ') || 'none open'}.`,
              ...views.filter((view) => !done(view)).map(describe),
              ...(await running().get<EffectView[]>('/dropship/effects'))
                .filter((effect) => effect.state !== 'done')
                .map((effect) => `${effect.key}: ${effect.state}, attempt ${effect.attempt}, ${effect.error ?? ''}`),
            ].join('\n  '),
          );
        }
        await delay(100);
      }
    },
    async check(views) {
      return check({ views, effects: await running().get<EffectView[]>('/dropship/effects'), log: sandbox.world.effects });
    },
    log: () => readFileSync(join(userDir, 'node-red.log'), 'utf8').slice(-4000),
    async close() {
      process.removeListener('exit', killAtExit);
      await red?.stop();
      await sandbox.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };

  try {
    await house.start();
    await running().deploy(demoFlows(sandbox, bankFolder, quick(timeout, options.changes)));
    await approveBeneficiaries(running());
    return house;
  } catch (error) {
    await house.close();
    throw error;
  }
}

/** The shipped flows' nodes with short times. */
function quick(timeout: number, changes: Record<string, Record<string, unknown>> = {}): Record<string, Record<string, unknown>> {
  const ledger = { quietTime: 1 };
  const receive = { pollMinutes: 0.02 };
  const options = (more: Record<string, unknown> = {}) => ({ timeout, options: { settleSeconds: timeout + 1, ...more } });
  const nodes: Record<string, Record<string, unknown>> = {
    'dl-ledger': ledger,
    'dl-in-receive': receive,
    'dl-shop': options({ completion: 'auto' }),
    'dl-erp': options({ database: 'sandbox' }),
    'dl-prompt': options(),
    'dl-parcels': options(),
    'dl-moody': options(),
  };
  for (const [id, properties] of Object.entries(changes)) nodes[id] = { ...nodes[id], ...properties };
  return nodes;
}

async function approveBeneficiaries(red: NodeRed): Promise<void> {
  for (const { name, company, iban, bic, address } of Object.values(suppliers)) {
    const path = `/dropship/suppliers/${name}/beneficiary`;
    const { street, postalCode, city, country } = address;
    const { version } = await red.post<{ version: number }>(path, { name: company, iban, bic, street, postalCode, city, country });
    await red.post(`${path}/${version}/approve`);
  }
}

function isUnderWay(view: OrderView, bill: string): boolean {
  return view.payments.some((payment) => payment.bill === bill && !['rejected', 'returned'].includes(payment.state));
}

function describe(view: OrderView): string {
  const open = view.exceptions.filter((exception) => exception.state === 'open').map((exception) => `${exception.code}: ${exception.message}`);
  return [`${view.order.id} is ${view.state}.`, ...view.progress.paid.missing, ...open].join(' ');
}

/** The order has not arrived yet. */
function ignoreUnknown(error: Error): undefined {
  if (!/answered 404/.test(error.message)) throw error;
}

/** Somebody (an earlier look) has decided about the run meanwhile. */
function ignoreDecided(error: Error): void {
  if (!/RUN_NOT_WAITING/.test(error.message)) throw error;
}

/** A port that nobody has now. */
async function freePort(): Promise<number> {
  const server = createServer();
  const { port } = await new Promise<AddressInfo>((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address() as AddressInfo)));
  await new Promise((resolve) => server.close(resolve));
  return port;
}
