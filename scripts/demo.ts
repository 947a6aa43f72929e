import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { OrderView } from '../ledger/views.ts';
import { demoOrders } from '../sandbox/catalogue.ts';
import { PARTNERS, startSandbox, type Sandbox } from '../sandbox/index.ts';
import { demoFlows } from './demo-flows.ts';
import { Journey, journeyTable, verdict } from './journey.ts';
import { startNodeRed, type NodeRed } from './node-red.ts';
import { approveBankAccounts, approveWaitingRuns } from './people.ts';

/**
 * The main job with pretend partners: starts the sandbox and Node-RED with the project's flows, places a handful of orders in
 * the sandbox shop, shows their journey, approves the payment run, and ends in a table. It keeps running, unless `--once`.
 */
const { values: options } = parseArgs({
  options: { once: { type: 'boolean', default: false }, fresh: { type: 'boolean', default: false } },
});

const data = join(dirname(fileURLToPath(import.meta.url)), '..', '.dropline');
const port = Number(process.env['PORT'] ?? 1880);
const sandboxPort = Number(process.env['SANDBOX_PORT'] ?? 4010);
const bankFolder = join(data, 'bank', 'to-bank');
/** Milliseconds that the demo orders may take before the demo says what is missing. */
const PATIENCE = 240_000;

const say = (text: string) => process.stdout.write(`${text}\n`);

/** What the demo has done so far; beside the ledger, so that a second start goes on instead of ordering again. */
interface DemoState {
  /** Order ids in the shop, in the order of `demoOrders`. */
  placed: string[];
}

let sandbox: Sandbox | undefined;
let nodeRed: NodeRed | undefined;
let stopping = false;

async function stop(code: number): Promise<never> {
  stopping = true;
  await nodeRed?.stop();
  await sandbox?.close();
  process.exit(code);
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    say('\nStopping Node-RED and the sandbox. Nothing is lost: "npm start" goes on.');
    void stop(signal === 'SIGINT' ? 130 : 143);
  });
}

try {
  await run();
} catch (error) {
  // A call that failed because Node-RED died says less than its death does.
  const code = await Promise.race([nodeRed?.exited, delay(500)]);
  if (!stopping)
    say(code === undefined ? `\n${error instanceof Error ? error.message : String(error)}` : farewell(code));
  await stop(1);
}

function farewell(code: number | string): string {
  return `\nNode-RED ended (${code}). Nothing is lost: run "npm start" again and the orders go on. Its log is ${join(data, 'node-red', 'node-red.log')}.`;
}

async function run(): Promise<void> {
  if (!Number.isInteger(port) || port < 1 || port > 65535)
    throw new Error(`PORT=${process.env['PORT']} is not a port. Use a number from 1 to 65535.`);
  await mustBeFree(port, 'the editor', 'PORT');
  for (const [index, name] of PARTNERS.entries())
    await mustBeFree(sandboxPort + index, `the sandbox partner "${name}"`, 'SANDBOX_PORT');
  if (options.fresh) rmSync(data, { recursive: true, force: true });
  mkdirSync(bankFolder, { recursive: true });

  say('Starting the sandbox partners: a shop, an ERP, three suppliers, a bank ...');
  sandbox = await startSandbox({
    port: sandboxPort,
    stateFile: join(data, 'sandbox.json'),
    dropline: { url: `http://127.0.0.1:${port}` },
    bank: { folder: bankFolder },
  });

  say('Starting Node-RED ...');
  const userDir = join(data, 'node-red');
  const flowsExist = existsSync(join(userDir, 'flows.json'));
  nodeRed = await startNodeRed({ userDir, port });
  void nodeRed.exited.then((code) => {
    if (stopping) return;
    say(farewell(code));
    void stop(1);
  });
  if (!flowsExist) await nodeRed.deploy(demoFlows(sandbox, bankFolder, { 'dl-ledger': { quietTime: 5 } }));
  await retrying(() => approveBankAccounts(nodeRed!));

  const placed = await placeOrders(sandbox);
  say('');
  const views = await follow(nodeRed, placed);
  say('');
  say(
    journeyTable(
      views,
      sandbox.world.effects,
      demoOrders.map((order) => order.title),
    ),
  );
  const problems = verdict(views, demoOrders, sandbox.world.effects, await nodeRed.get('/dropship/effects'));
  say('');
  if (problems.length > 0) {
    say('Not every demo order is as it should be:');
    for (const problem of problems) say(`  - ${problem}`);
    if (options.once) await stop(1);
  } else {
    say(
      `All ${views.length} demo orders are accounted for: delivered and paid to the cent, or waiting for a person with a reason. Nothing was done twice.`,
    );
    if (options.once) await stop(0);
  }
  say(`
Editor        ${nodeRed.url}/            (the three tabs of the flow; edit and deploy as you like)
Sandbox shop  ${sandbox.urls.shop}/            (place an order by hand and watch it travel)
Orders        ${nodeRed.url}/dropship/orders   exceptions: ${nodeRed.url}/dropship/exceptions   payment runs: ${nodeRed.url}/dropship/runs
Files         ${data}

Runs on until Ctrl+C. New payment runs wait for an approval: POST ${nodeRed.url}/dropship/runs/<id>/approve`);
}

async function placeOrders(world: Sandbox): Promise<string[]> {
  const file = join(data, 'demo.json');
  const state: DemoState = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as DemoState) : { placed: [] };
  if (state.placed.length > 0)
    say(`Going on with ${state.placed.length} demo orders (start with "npm start -- --fresh" to begin anew).`);
  for (const [index, order] of demoOrders.entries()) {
    if (state.placed[index] !== undefined) continue;
    const response = await fetch(`${world.urls.shop}/__sandbox/shop/orders`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      // The first one's webhook is delivered three times: it must stay one order.
      body: JSON.stringify({
        lines: order.lines,
        country: order.customer.country,
        customer: order.customer,
        deliveries: index === 0 ? 3 : 1,
      }),
    });
    if (!response.ok) throw new Error(`The sandbox shop refused the order "${order.title}": ${await response.text()}`);
    const { id } = (await response.json()) as { id: number | string };
    state.placed.push(String(id));
    writeFileSync(file, JSON.stringify(state));
    say(`Placed in the shop: order ${id}, ${order.title.toLowerCase()}`);
  }
  return state.placed.map((id) => `shop-${id}`);
}

/** Prints each new step until every order is where it should be; asks for payment and approves as a person would. */
async function follow(red: NodeRed, ids: string[]): Promise<OrderView[]> {
  const journey = new Journey(say);
  const until = Date.now() + PATIENCE;
  let views: OrderView[] = [];
  for (let round = 0; Date.now() < until; round += 1) {
    views = [];
    for (const id of ids) {
      const view = await red.get<OrderView>(`/dropship/orders/${id}`).catch(() => undefined);
      if (view) views.push(view);
    }
    journey.show(views);
    if (views.length === ids.length && views.every((view) => journey.isSettled(view))) return views;
    if (round % 10 === 9 && views.some((view) => view.bills.some((bill) => bill.state === 'entered'))) {
      await red.post('/inject/dl-pay-ask').catch(() => undefined);
    }
    for (const run of await approveWaitingRuns(red)) {
      say(`${' '.repeat(10)}payment run ${run.id} of ${run.payments.length} payments: approved by the demo's person`);
    }
    await delay(300);
  }
  return views;
}

async function retrying<T>(action: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await action();
    } catch (error) {
      if (tries >= 50) throw error;
      await delay(200);
    }
  }
}

function mustBeFree(candidate: number, what: string, variable: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', () =>
      reject(
        new Error(
          `Port ${candidate} for ${what} is taken. Stop the program that has it (perhaps an earlier "npm start"), or choose another: ${variable}=${candidate + 1000} npm start`,
        ),
      ),
    );
    probe.listen(candidate, '127.0.0.1', () => probe.close(() => resolve()));
  });
}
