import { createRequire } from 'node:module';
import should from 'should';
import type { Fault } from '../../sandbox/faults.ts';
import { shippedRoute, startBench, until, type Bench, type TestNode } from './harness.ts';

/** Node-RED's hooks are those of the process: they see every message that arrives at a node, and every `done`. */
interface Hooks {
  add(name: string, hook: (event: HookEvent) => void): void;
  remove(name: string): void;
}

interface HookEvent {
  msg: { _msgid: string };
  destination?: { node: { type: string } };
  node?: { node: { type: string } };
}

const require = createRequire(import.meta.url);
const { hooks } = require(require.resolve('@node-red/util', { paths: [require.resolve('node-red')] })) as {
  hooks: Hooks;
};

const FLOW: TestNode[] = [
  { id: 'in', type: 'ecommerce-receive', platform: 'dl-shop', pollMinutes: 0, wires: [['sale'], [], [], []] },
  { id: 'sale', type: 'erp-create-order', erp: 'dl-erp', wires: [['route']] },
  { ...shippedRoute(), id: 'route', wires: [['po'], []] },
  { id: 'po', type: 'erp-create-po', erp: 'dl-erp', wires: [['send']] },
  { id: 'send', type: 'supplier-send', supplier: '', ledger: 'dl-ledger', wires: [[]] },
];

const renamed = (id: string) => FLOW.map((node) => (node.id === id ? { ...node, name: 'renamed' } : node));

/** Deleted and drawn anew. */
const replaced = JSON.parse(
  JSON.stringify(FLOW).replaceAll('"po"', '"po-2"').replaceAll('"send"', '"send-2"'),
) as TestNode[];

describe('a deploy in the middle of a step', () => {
  let bench: Bench;
  /** Per node object, and so per deployed instance, and message: how often it arrived, and how often the node was done with it. */
  const seen = new Map<object, Map<string, { type: string; arrived: number; done: number }>>();
  const count = (node: { type: string }, id: string, what: 'arrived' | 'done') => {
    const messages = seen.get(node) ?? seen.set(node, new Map()).get(node)!;
    const message = messages.get(id) ?? { type: node.type, arrived: 0, done: 0 };
    messages.set(id, { ...message, [what]: message[what] + 1 });
  };

  beforeEach(async () => {
    seen.clear();
    hooks.add('onReceive.redeploy', (event) => count(event.destination!.node, event.msg._msgid, 'arrived'));
    hooks.add('onComplete.redeploy', (event) => count(event.node!.node, event.msg._msgid, 'done'));
    bench = await startBench();
  });
  afterEach(async () => {
    hooks.remove('*.redeploy');
    await bench.close();
  });

  /** A purchase order that takes its time at the ERP or at the supplier, and a deploy meanwhile. */
  async function deployDuring(
    slow: Pick<Fault, 'partner' | 'operation'>,
    flow: TestNode[],
    type: 'full' | 'flows' | 'nodes',
  ): Promise<void> {
    const fault: Fault = { ...slow, kind: 'slow', delay: 300, times: 1 };
    bench.sandbox.world.faults = [fault];
    await bench.load(FLOW);
    const id = await bench.place({ 'WINE-RIESLING': 1 });
    await until('the slow call', () => fault.times === 0);
    await bench.deploy(flow, {}, type);
    await until('the purchase order at the supplier', async () => {
      const { purchaseOrders } = await bench.order(id);
      return purchaseOrders[0]?.sentAt !== undefined;
    });
    const ledger = await bench.ledger();
    await until('the end of the work', () => ledger.dispatcher.load().inWork === 0);
    for (const operation of ['sale.create', 'purchase.create', 'purchase.confirm', 'order.accept'])
      should(bench.sandbox.world.effects.filter((entry) => entry.operation === operation)).have.length(1);
    const messages = [...seen.values()].flatMap((each) => [...each.values()]);
    should(messages.map((message) => message.type)).containDeep(['erp-create-order', 'erp-create-po', 'supplier-send']);
    should(messages.filter(({ arrived, done }) => arrived !== done)).eql([]);
    should(await bench.exceptions()).eql([]);
  }

  const AT_ERP = { partner: 'erp', operation: 'purchase.create' };
  const AT_SUPPLIER = { partner: 'prompt', operation: 'order.accept' };
  for (const type of ['full', 'flows', 'nodes'] as const) {
    for (const [what, flow] of [
      ['that renames the node', renamed('po')],
      ['that renames the node behind it', renamed('send')],
      ['that replaces both', replaced],
      ['that changes nothing', FLOW],
    ] as const) {
      it(`of ${type === 'full' ? 'everything' : `modified ${type}`} ${what}: one effect, the order goes on, done once for each message`, async () => {
        await deployDuring(AT_ERP, flow, type);
      });
    }
    it(`of ${type === 'full' ? 'everything' : `modified ${type}`} while the supplier is asked: it gets the purchase order once`, async () => {
      await deployDuring(AT_SUPPLIER, renamed('send'), type);
    });
  }
});
