import { createServer, type Server } from 'node:http';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Node, NodeAPI } from 'node-red';
import helper from 'node-red-node-test-helper';
import should from 'should';
import { exceptions, type Exception } from '../../ledger/exceptions.ts';
import type { Ledger } from '../../ledger/ledger.ts';
import { effectList, orderList, orderView, type OrderView } from '../../ledger/views.ts';
import bankAccount from '../../nodes/bank-account/bank-account.ts';
import bankPay from '../../nodes/bank-pay/bank-pay.ts';
import bankReceive from '../../nodes/bank-receive/bank-receive.ts';
import type { LedgerNode } from '../../nodes/configs.ts';
import type { DropshipMessage } from '../../nodes/document-node.ts';
import dropshipLedger from '../../nodes/dropship-ledger/dropship-ledger.ts';
import ecommerceCancel from '../../nodes/ecommerce-cancel/ecommerce-cancel.ts';
import ecommerceComplete from '../../nodes/ecommerce-complete/ecommerce-complete.ts';
import ecommercePlatform from '../../nodes/ecommerce-platform/ecommerce-platform.ts';
import ecommerceReceive from '../../nodes/ecommerce-receive/ecommerce-receive.ts';
import erpBill from '../../nodes/erp-bill/erp-bill.ts';
import erpChangePo from '../../nodes/erp-change-po/erp-change-po.ts';
import erpComplete from '../../nodes/erp-complete/erp-complete.ts';
import erpCreateOrder from '../../nodes/erp-create-order/erp-create-order.ts';
import erpCreatePo from '../../nodes/erp-create-po/erp-create-po.ts';
import erpPayables from '../../nodes/erp-payables/erp-payables.ts';
import erpSystem from '../../nodes/erp-system/erp-system.ts';
import { closeLedgers } from '../../nodes/ledgers.ts';
import orderWhen from '../../nodes/order-when/order-when.ts';
import supplier from '../../nodes/supplier/supplier.ts';
import supplierCancel from '../../nodes/supplier-cancel/supplier-cancel.ts';
import supplierReceive from '../../nodes/supplier-receive/supplier-receive.ts';
import supplierRoute from '../../nodes/supplier-route/supplier-route.ts';
import supplierSend from '../../nodes/supplier-send/supplier-send.ts';
import { demoFlows } from '../../scripts/demo-flows.ts';
import type { FlowNode } from '../../scripts/examples.ts';
import { check } from '../../sandbox/check.ts';
import { startSandbox, type Sandbox } from '../../sandbox/index.ts';

const require = createRequire(import.meta.url);

const REGISTER = [
  dropshipLedger,
  ecommercePlatform,
  erpSystem,
  supplier,
  bankAccount,
  ecommerceReceive,
  erpCreateOrder,
  supplierRoute,
  erpCreatePo,
  erpChangePo,
  supplierSend,
  supplierCancel,
  supplierReceive,
  erpComplete,
  ecommerceComplete,
  ecommerceCancel,
  erpBill,
  erpPayables,
  bankPay,
  bankReceive,
  orderWhen,
];

helper.init(require.resolve('node-red'));

/** What a node said with `node.status`, in its own words: the test helper does not translate. */
export type Status = { fill?: string; shape?: string; text?: string };

export interface Bench {
  sandbox: Sandbox;
  /** Where the nodes' endpoints are. */
  url: string;
  bankFolder: string;
  /** Starts a flow; config nodes that it names are those of flows/partners.json, at the sandbox. */
  load(flow: TestNode[], changes?: Record<string, Record<string, unknown>>): Promise<void>;
  /** A deploy of another flow, or of the same one. @param type default: full */
  deploy(
    flow: TestNode[],
    changes?: Record<string, Record<string, unknown>>,
    type?: 'full' | 'flows' | 'nodes',
  ): Promise<void>;
  /** What arrives at a node of type `helper`, from now on. */
  messages(id: string): DropshipMessage[];
  status(id: string): Status | undefined;
  /** All that it has said since it was first made: what stands there for a moment only is not missed on a busy machine. */
  statuses(id: string): Status[];
  errors(id: string): string[];
  /** How often the node called `done`, and with which errors. */
  done(id: string): { times: number; errors: unknown[] };
  ledger(): Promise<Ledger>;
  order(id: string): Promise<OrderView>;
  exceptions(): Promise<Exception[]>;
  /** What is wrong between the ledger and the partners; `close` asserts that it is nothing. */
  check(): Promise<string[]>;
  /** Places an order in the sandbox shop, which sends its webhook. */
  place(lines: Record<string, number>, country?: string): Promise<string>;
  close(): Promise<void>;
}

export type TestNode = { id: string; type: string; [property: string]: unknown };

/**
 * Pretend partners and a Node-RED without editor in this process, with the nodes from their sources and a ledger in a fresh
 * folder. One at a time: Node-RED has one runtime per process.
 */
export async function startBench(options: { speed?: number } = {}): Promise<Bench> {
  const folder = mkdtempSync(join(tmpdir(), 'dropline-nodes-'));
  const bankFolder = join(folder, 'bank');
  mkdirSync(bankFolder);
  let red: NodeAPI | undefined;
  const server: Server = createServer((request, response) => {
    const app = red?.httpNode as unknown as ((...args: unknown[]) => void) | undefined;
    if (app) return app(request, response);
    response.writeHead(503).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const sandbox = await startSandbox({
    port: 0,
    dropline: { url },
    speed: options.speed ?? 20,
    bank: { folder: bankFolder },
  });

  const statuses = new Map<string, Status[]>();
  const errors = new Map<string, string[]>();
  const arrived = new Map<string, DropshipMessage[]>();
  const finished = new Map<string, { times: number; errors: unknown[] }>();
  const list = <Item>(map: Map<string, Item[]>, id: string): Item[] => map.get(id) ?? map.set(id, []).get(id)!;

  /** Runs before the nodes register themselves, and so sees what every node of ours does. */
  function observe(RED: NodeAPI): void {
    red = RED;
    const { createNode } = RED.nodes;
    RED.nodes.createNode = (node: Node, config) => {
      createNode(node, config);
      const { id } = config as { id: string };
      const { status, error, on } = node;
      node.status = (value: unknown) => {
        list(statuses, id).push(value as Status);
        status.call(node, value as never);
      };
      node.error = (message: unknown, ...rest: unknown[]) => {
        list(errors, id).push(String(message));
        return (error as (...args: unknown[]) => void).call(node, message, ...rest);
      };
      node.on = ((event: string, listener: (...args: unknown[]) => void) => {
        if (event !== 'input') return (on as (...args: unknown[]) => unknown).call(node, event, listener);
        const counting = function (this: Node, msg: unknown, send: unknown, done: (...args: unknown[]) => void) {
          listener.call(this, msg, send, (...args: unknown[]) => {
            const known = finished.get(id) ?? { times: 0, errors: [] };
            finished.set(id, { times: known.times + 1, errors: [...known.errors, ...args.filter(Boolean)] });
            done(...args);
          });
        };
        return (on as (...args: unknown[]) => unknown).call(node, event, counting);
      }) as Node['on'];
    };
  }

  /** Collects what arrives at a `helper`; it is registered by the test helper, so it is watched from outside. */
  const watch = (flow: TestNode[]) => {
    for (const { id } of flow.filter((node) => node.type === 'helper')) {
      helper.getNode(id)?.on('input', (msg: unknown) => list(arrived, id).push(msg as DropshipMessage));
    }
  };

  /** Partners that a test has put a server of its own in the place of: the sandbox knows nothing of what they did. */
  const replaced = new Set<string>();

  function completeFlow(flow: TestNode[], changes: Record<string, Record<string, unknown>> = {}) {
    for (const [id, change] of Object.entries(changes)) if ('baseUrl' in change) replaced.add(id.replace(/^dl-/, ''));
    const all = demoFlows(sandbox, bankFolder, { 'dl-ledger': { quietTime: 0.4 } });
    const configs = all
      .filter((node) => !('z' in node) && node.type !== 'tab')
      .map((node) => ({ ...node, ...changes[node.id] }));
    const nodes = [
      { id: 'tab', type: 'tab', label: 'Test' },
      ...configs,
      ...flow.map((node) => ({ wires: [], z: 'tab', ...node })),
    ];
    const credentials: Record<string, unknown> = {};
    const bare = nodes.map(({ credentials: secret, ...node }: FlowNode) => {
      if (secret) credentials[node.id] = secret;
      return node;
    });
    return { bare: bare as TestNode[], credentials };
  }

  const core = (name: string) =>
    require(require.resolve(`@node-red/nodes/core/${name}`, { paths: [require.resolve('node-red')] })) as (
      RED: NodeAPI,
    ) => void;
  const register = [observe, core('function/10-function.js'), ...REGISTER] as never;
  const settings = {
    userDir: folder,
    functionExternalModules: false,
    functionGlobalContext: {},
    logging: { console: { level: 'off' } },
  };
  let loaded = false;

  const bench: Bench = {
    sandbox,
    url,
    bankFolder,
    async load(flow, changes) {
      helper.settings(settings as never);
      const { bare, credentials } = completeFlow(flow, changes);
      loaded = true;
      await helper.load(register, bare as never, credentials as never);
      watch(flow);
    },
    async deploy(flow, changes, type = 'full') {
      const { bare, credentials } = completeFlow(flow, changes);
      await helper.setFlows(bare as never, type, credentials as never);
      watch(flow);
    },
    messages: (id) => list(arrived, id),
    status: (id) => statuses.get(id)?.at(-1),
    statuses: (id) => list(statuses, id),
    errors: (id) => list(errors, id),
    done: (id) => finished.get(id) ?? { times: 0, errors: [] },
    ledger: () => (helper.getNode('dl-ledger') as unknown as LedgerNode).ledger(),
    async order(id) {
      const view = await (await bench.ledger()).transact('test', () => orderView(id));
      if (!view) throw new Error(`The ledger has no order ${id}.`);
      return view;
    },
    async check() {
      // Some tests deploy a flow whose ledger cannot be had.
      const node = helper.getNode('dl-ledger') as unknown as LedgerNode | null;
      const ledger = await node?.ledger().catch(() => undefined);
      if (!ledger) return [];
      // What is just under way when a test has seen enough may end first.
      const end = Date.now() + 5000;
      for (;;) {
        const { views, effects } = await ledger.transact('test', function* () {
          const views: OrderView[] = [];
          for (const { id } of yield* orderList(1000)) views.push((yield* orderView(id))!);
          return { views, effects: yield* effectList() };
        });
        const ofSandbox = effects.filter(({ partner }) => partner === null || !replaced.has(partner));
        const log = sandbox.world.effects.filter(({ partner }) => !replaced.has(partner));
        const problems = check({ views, effects: ofSandbox, log, partial: true });
        if (problems.length === 0 || Date.now() > end) return problems;
        await delay(50);
      }
    },
    async exceptions() {
      return (await bench.ledger()).transact('test', () => exceptions({ state: 'open' }));
    },
    async place(lines, country = 'DE') {
      const answer = await fetch(`${sandbox.urls.shop}/__sandbox/shop/orders`, {
        method: 'POST',
        body: JSON.stringify({ country, lines: Object.entries(lines).map(([sku, quantity]) => ({ sku, quantity })) }),
      });
      const { id, error } = (await answer.json()) as { id: number; error?: string };
      if (error !== undefined) throw new Error(error);
      return `shop-${id}`;
    },
    async close() {
      const problems = loaded ? await bench.check() : [];
      if (loaded) await helper.unload();
      await closeLedgers();
      await sandbox.close();
      await new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      });
      rmSync(folder, { recursive: true, force: true });
      should(problems).deepEqual([], 'the ledger and the partners agree after the test');
    },
  };
  return bench;
}

/** Waits for what must come; it fails with what it waited for. */
export async function until<Result>(
  what: string,
  look: () => Result | Promise<Result>,
  within = 10_000,
): Promise<Exclude<Result, false | '' | 0 | null | undefined>> {
  const end = Date.now() + within;
  for (;;) {
    const found = await look();
    if (found) return found as Exclude<Result, false | '' | 0 | null | undefined>;
    if (Date.now() > end) throw new Error(`${what}: this did not come within ${within} ms.`);
    await delay(20);
  }
}

/** The offers of the shipped routing node. */
export function shippedRoute(): TestNode {
  const flow = require('../../flows/intake.json') as TestNode[];
  const { z: _tab, ...route } = flow.find((node) => node.type === 'supplier-route')!;
  return route as TestNode;
}

/** Whether a value is what JSON can say, all through: no class instances, no undefined list items, no BigInt. */
export function isPlainJson(value: unknown): boolean {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return true;
  if (typeof value === 'number') return Number.isFinite(value);
  if (Array.isArray(value)) return value.every(isPlainJson);
  if (typeof value !== 'object') return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return (
    (prototype === Object.prototype || prototype === null) &&
    Object.values(value).every((each) => each === undefined || isPlainJson(each))
  );
}
