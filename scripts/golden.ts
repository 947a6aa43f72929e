import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import type { EffectView, OrderView } from '../ledger/views.ts';
import { demoOrders } from '../sandbox/catalogue.ts';
import { startSandbox, type Sandbox } from '../sandbox/index.ts';
import type { Fault } from '../sandbox/world.ts';
import { demoFlows } from './demo-flows.ts';
import type { FlowNode } from './examples.ts';
import { Journey } from './journey.ts';
import { freePort, shippedFlows, startNodeRed, type NodeRed } from './node-red.ts';
import { approveBankAccounts, approveWaitingRuns } from './people.ts';

/**
 * Writes the golden ledgers of this version, `test/golden/<version>/`: `node scripts/build.ts && node scripts/golden.ts`. Run once for each
 * release, and never again: they prove that every later version goes on from what this one wrote.
 *
 *   finished/   the demo's orders, delivered and paid, or waiting for a person with a reason
 *   open/       orders at every stage, and Node-RED killed in the middle
 *
 * Each holds the ledger, the state of the sandbox's partners, the flows, and the orders as the version showed them.
 */
const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
const target = process.argv[2] ?? join(root, 'test', 'golden', version);

/** Stands in the golden ledgers where the temporary folder of the machine that wrote them stood. */
const BANK_FOLDER = '/var/spool/dropship/bank';

/** Milliseconds until an order must be where it should be. */
const PATIENCE = 120_000;

interface Stage {
  title: string;
  order: number;
  /** What goes wrong at its partners. */
  faults?: (order: string) => Fault[];
  /** Whether the ledger has come so far with this order. */
  reached: (view: OrderView | undefined, effects: EffectView[]) => boolean;
}

const unsettled =
  (kind: string, state: string): Stage['reached'] =>
  (view, effects) =>
    effects.some(
      (effect) =>
        effect.orderId === view?.order.id && effect.kind === kind && effect.step !== null && effect.state === state,
    );

/** Where orders stand when Node-RED is killed. The slow ones come first, so that the short doubts are the freshest. */
const STAGES: Stage[] = [
  {
    title: 'a payment run that waits for approval',
    order: 0,
    reached: (view) => view?.payments.some((payment) => payment.state === 'reserved') ?? false,
  },
  {
    title: 'an order that nobody can deliver',
    order: 7,
    reached: (view) => view?.exceptions.some((exception) => exception.code === 'NOBODY_DELIVERS') ?? false,
  },
  {
    title: 'a purchase order that the supplier refused',
    order: 0,
    faults: (order) => [
      { partner: 'prompt', operation: 'order.accept', reference: `${order}-1`, kind: 'refuse', times: 1 },
    ],
    reached: (view) => view?.exceptions.some((exception) => exception.state === 'open') ?? false,
  },
  {
    title: 'two suppliers, one of whom has not been reached',
    order: 1,
    faults: (order) => [
      {
        partner: 'parcels',
        operation: 'order.accept',
        reference: `${order}-2`,
        kind: 'rate-limit',
        times: 1,
        retryAfter: 30,
      },
    ],
    reached: unsettled('po-send', 'waiting'),
  },
  {
    title: 'a line that was rejected and goes to another supplier',
    order: 4,
    reached: (view) => (view?.purchaseOrders.length ?? 0) > 0,
  },
  {
    title: 'a purchase order in the ERP whose answer was lost',
    order: 0,
    faults: (order) => [
      { partner: 'erp', operation: 'purchase.create', reference: `${order}-1`, kind: 'reset-after', times: 1 },
    ],
    reached: unsettled('po-create', 'in-doubt'),
  },
  {
    title: 'a purchase order that the supplier has, and has not answered',
    order: 0,
    faults: (order) => [
      { partner: 'prompt', operation: 'order.accept', reference: `${order}-1`, kind: 'hang', times: 1 },
    ],
    reached: unsettled('po-send', 'sending'),
  },
  {
    title: 'an order that the ERP is writing down',
    order: 2,
    faults: (order) => [{ partner: 'erp', operation: 'sale.create', reference: order, kind: 'hang', times: 1 }],
    reached: unsettled('so-create', 'sending'),
  },
];

/** Of the flows: short times, and doubts that last until the process is killed. */
const CHANGES: Record<string, Record<string, unknown>> = {
  'dl-ledger': { quietTime: 2 },
  'dl-in-receive': { pollMinutes: 0.1 },
  ...Object.fromEntries(
    ['dl-shop', 'dl-erp', 'dl-prompt', 'dl-parcels', 'dl-moody'].map((id) => [
      id,
      { timeout: 20, options: { ...optionsOf(id), settleSeconds: 25 } },
    ]),
  ),
};

await make('finished', async (world) => {
  const journey = new Journey(() => undefined);
  const ids: string[] = [];
  for (const index of demoOrders.keys()) ids.push(await place(world, index));
  await until('every order to be at its end', async () => {
    const views = await look(world, ids);
    if (views.some((view) => view.bills.some((bill) => bill.state === 'entered')))
      await world.red.post('/inject/dl-pay-ask').catch(() => undefined);
    await approveWaitingRuns(world.red);
    return views.length === ids.length && views.every((view) => journey.isSettled(view)) && (await isQuiet(world.red));
  });
  return ids;
});

await make('open', async (world) => {
  const ids: string[] = [];
  for (const [index, stage] of STAGES.entries()) {
    const id = await place(world, stage.order, stage.faults);
    ids.push(id);
    await until(stage.title, async () => {
      const [view] = await look(world, [id]);
      if (index === 0 && view?.bills.some((bill) => bill.state === 'entered'))
        await world.red.post('/inject/dl-pay-ask').catch(() => undefined);
      return stage.reached(view, await world.red.get<EffectView[]>('/dropship/effects'));
    });
  }
  return ids;
});

interface World {
  sandbox: Sandbox;
  red: NodeRed;
}

/** A fresh house, what happens in it, and a killed Node-RED: then its ledger and all that belongs to it. */
async function make(name: string, happen: (world: World) => Promise<string[]>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'dropline-golden-'));
  const userDir = join(folder, 'node-red');
  const bankFolder = join(folder, 'to-bank');
  mkdirSync(bankFolder);
  const port = await freePort();
  const stateFile = join(folder, 'sandbox.json');
  const dropline = { url: `http://127.0.0.1:${port}` };
  const sandbox = await startSandbox({ port: 0, speed: 10, stateFile, dropline, bank: { folder: bankFolder } });
  let red: NodeRed | undefined;
  try {
    red = await startNodeRed({ userDir, port });
    await red.deploy(demoFlows(sandbox, bankFolder, CHANGES));
    await approveBankAccounts(red);
    const ids = await happen({ sandbox, red });
    const orders = await look({ sandbox, red }, ids);
    await red.kill();
    await sandbox.close();
    const at = new Date().toISOString();
    const folderName = join(target, name);
    mkdirSync(folderName, { recursive: true });
    const ledger = join(folder, 'ledger.sqlite');
    copyLedger(join(userDir, 'dropship', 'ledger.sqlite'), ledger, bankFolder);
    writeFileSync(join(folderName, 'ledger.sqlite.gz'), gzipSync(readFileSync(ledger), { level: 9 }));
    const state = readFileSync(stateFile, 'utf8').replaceAll(bankFolder, BANK_FOLDER);
    writeFileSync(join(folderName, 'sandbox.json.gz'), gzipSync(state, { level: 9 }));
    writeFileSync(join(folderName, 'flows.json.gz'), gzipSync(JSON.stringify(neutral(CHANGES)), { level: 9 }));
    const summary = { version, at, orders: orders.map(({ order, state }) => ({ id: order.id, state })) };
    writeFileSync(join(folderName, 'golden.json'), `${JSON.stringify(summary, null, 2)}\n`);
    process.stdout.write(`${name}: ${ids.length} orders, ${new Date().toISOString()}\n`);
  } finally {
    await red?.kill();
    await sandbox.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** One file without a journal, and without what deleted rows leave behind. */
function copyLedger(from: string, to: string, bankFolder: string): void {
  const ledger = new DatabaseSync(from);
  const columns = ledger
    .prepare(
      `SELECT m.name AS "table", c.name AS "column" FROM sqlite_master m JOIN pragma_table_info(m.name) c
       WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND c.type = 'TEXT'`,
    )
    .all() as { table: string; column: string }[];
  for (const { table, column } of columns) {
    ledger
      .prepare(`UPDATE "${table}" SET "${column}" = REPLACE("${column}", ?, ?) WHERE INSTR("${column}", ?) > 0`)
      .run(bankFolder, BANK_FOLDER, bankFolder);
  }
  ledger.prepare('VACUUM INTO ?').run(to);
  ledger.close();
}

/** The flows as they were deployed, without the addresses and keys of this run. */
function neutral(changes: Record<string, Record<string, unknown>>): FlowNode[] {
  return shippedFlows().map((node) => ({ ...node, ...changes[node.id] }));
}

function optionsOf(id: string): Record<string, unknown> {
  return shippedFlows().find((node) => node.id === id)?.['options'] as Record<string, unknown>;
}

async function place(
  { sandbox }: World,
  demoOrder: number,
  faults: (order: string) => Fault[] = () => [],
): Promise<string> {
  const order = demoOrders[demoOrder]!;
  const { status, body } = await sandbox.partners.shop.handle({
    method: 'POST',
    path: '/__sandbox/shop/orders',
    query: new URLSearchParams(),
    headers: {},
    body: Buffer.from(
      JSON.stringify({ lines: order.lines, country: order.customer.country, customer: order.customer }),
    ),
  });
  if (status !== 201) throw new Error(`The sandbox shop refused the order: ${JSON.stringify(body)}`);
  const id = `shop-${(body as { id: number }).id}`;
  sandbox.world.faults = [...sandbox.world.faults, ...faults(id)];
  return id;
}

async function look({ red }: World, ids: string[]): Promise<OrderView[]> {
  const views: OrderView[] = [];
  for (const id of ids) {
    const view = await red.get<OrderView>(`/dropship/orders/${id}`).catch(() => undefined);
    if (view) views.push(view);
  }
  return views;
}

async function isQuiet(red: NodeRed): Promise<boolean> {
  const { events } = await red.get<{ events: { state: string }[] }>('/dropship/work');
  return !events.some((event) => ['open', 'stored', 'waiting'].includes(event.state));
}

async function until(what: string, reached: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + PATIENCE;
  while (!(await reached())) {
    if (Date.now() > end) throw new Error(`Waited in vain for ${what}.`);
    await delay(100);
  }
}
