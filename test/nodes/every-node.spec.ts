import should from 'should';
import type { DropshipMessage } from '../../nodes/document-node.ts';
import { isPlainJson, shippedRoute, startBench, until, type Bench, type TestNode } from './harness.ts';
import helper from 'node-red-node-test-helper';

/** The nodes that take a document, with the property that names their partner. */
const DOCUMENT_NODES: { type: string; partner?: string; config: Record<string, unknown>; outputs: number }[] = [
  { type: 'erp-create-order', partner: 'erp', config: { erp: 'dl-erp' }, outputs: 1 },
  { type: 'supplier-route', config: { ...shippedRoute() }, outputs: 2 },
  { type: 'erp-create-po', partner: 'erp', config: { erp: 'dl-erp' }, outputs: 1 },
  { type: 'erp-change-po', partner: 'erp', config: { erp: 'dl-erp' }, outputs: 1 },
  { type: 'supplier-send', partner: 'supplier', config: { supplier: '', ledger: 'dl-ledger' }, outputs: 1 },
  {
    type: 'supplier-cancel',
    partner: 'supplier',
    config: { supplier: '', ledger: 'dl-ledger', reason: '' },
    outputs: 1,
  },
  { type: 'erp-complete', partner: 'erp', config: { erp: 'dl-erp' }, outputs: 1 },
  { type: 'ecommerce-complete', partner: 'platform', config: { platform: '', ledger: 'dl-ledger' }, outputs: 1 },
  {
    type: 'ecommerce-cancel',
    partner: 'platform',
    config: { platform: '', ledger: 'dl-ledger', reason: '' },
    outputs: 1,
  },
  {
    type: 'erp-bill',
    partner: 'erp',
    config: { erp: 'dl-erp', priceTolerance: '0', amountTolerance: '0' },
    outputs: 2,
  },
  { type: 'bank-pay', partner: 'account', config: { account: 'dl-bank', approvals: 1, limit: '' }, outputs: 3 },
  { type: 'order-when', config: { ledger: 'dl-ledger', condition: 'shipped', purpose: '' }, outputs: 1 },
];

const RECEIVERS: { type: string; partner: string; config: Record<string, unknown>; outputs: number }[] = [
  { type: 'ecommerce-receive', partner: 'platform', config: { platform: 'dl-shop', pollMinutes: 0 }, outputs: 4 },
  {
    type: 'supplier-receive',
    partner: 'supplier',
    config: { supplier: '', ledger: 'dl-ledger', pollMinutes: 0 },
    outputs: 6,
  },
  { type: 'bank-receive', partner: 'account', config: { account: 'dl-bank', pollMinutes: 0 }, outputs: 3 },
  { type: 'erp-payables', partner: 'erp', config: { erp: 'dl-erp', dailyAt: '', dueWithinDays: 0 }, outputs: 1 },
];

const CATCH: TestNode[] = [
  { id: 'problems', type: 'catch', scope: null, uncaught: false, wires: [['caught']] },
  { id: 'caught', type: 'helper' },
];

const node = (type: string, outputs: number, config: Record<string, unknown>): TestNode => ({
  ...config,
  // Node-RED takes a node that is named like its own type for a config node that depends on itself.
  id: `the-${type}`,
  type,
  wires: Array.from({ length: outputs }, () => ['out']),
});

const TESTED = DOCUMENT_NODES.map(({ type, outputs, config }) => node(type, outputs, config));

interface Caught extends DropshipMessage {
  error: { message: string; code?: string; source: { id: string } };
}

describe('every node', () => {
  let bench: Bench;
  beforeEach(async () => {
    bench = await startBench();
  });
  afterEach(() => bench.close());

  const caughtFrom = (id: string) => (bench.messages('caught') as Caught[]).filter((msg) => msg.error.source.id === id);

  it('whose partner is missing is red, says what to do, and lets the rest of the flow run', async () => {
    const broken = [...DOCUMENT_NODES, ...RECEIVERS].flatMap(({ type, partner, config, outputs }) =>
      partner ? [{ ...node(type, outputs, { ...config, [partner]: 'gone' }), id: `the-${type}-broken` }] : [],
    );
    await bench.load([
      ...broken,
      { id: 'in', type: 'ecommerce-receive', platform: 'dl-shop', pollMinutes: 0, wires: [['out'], [], [], []] },
      { id: 'out', type: 'helper' },
      ...CATCH,
    ]);
    should(broken.length).equal(14);
    for (const { id } of broken) {
      const status = await until(`status of ${id}`, () => bench.status(id)?.text && bench.status(id));
      should(status.fill).equal('red', id);
      should(status.text!.length).be.belowOrEqual(20);
      should(bench.errors(id)[0]).match(/config node is missing. Open this node, choose one, and deploy\.$/);
      helper.getNode(id).receive({ payload: { type: 'order' }, eventId: '1' } as never);
    }
    for (const { id } of broken) {
      const [caught] = await until(`an error of ${id} at Catch`, () => caughtFrom(id).length > 0 && caughtFrom(id));
      should(caught!.error.code).equal('PARTNER_MISSING', id);
      should(bench.done(id).times).equal(1, id);
    }
    await bench.place({ 'WINE-RIESLING': 1 });
    await until('the order at the healthy node', () => bench.messages('out').length > 0);
  });

  it('that gets a document of the wrong type fails once, as WRONG_DOCUMENT, and names what it expects', async () => {
    await bench.load([...TESTED, { id: 'out', type: 'helper' }, ...CATCH]);
    for (const { id } of TESTED) {
      for (const payload of [{ type: 'weather' }, 'text', undefined, null, [1]]) {
        helper.getNode(id).receive({ payload, eventId: '1', orderId: 'shop-1' } as never);
      }
    }
    for (const { id } of TESTED) {
      const caught = await until(`errors of ${id}`, () => caughtFrom(id).length === 5 && caughtFrom(id));
      for (const { error } of caught) {
        should(error.code).equal('WRONG_DOCUMENT');
        should(error.message).match(
          /msg\.payload must be "[a-z-]+".* but it is (weather|a string without a type|missing|null|a list)\. Check/,
        );
      }
      should(bench.done(id).times).equal(5);
      await until(`${id} to be red`, () => bench.status(id)?.fill === 'red');
      should(bench.status(id)?.text).equal('wrong document');
    }
    should(bench.messages('out')).have.length(0);
    // What reached a Catch node stands in the ledger too, once for each message that is another one.
    const raised = (await bench.exceptions()).filter(({ code }) => code === 'WRONG_DOCUMENT');
    should(raised.length).be.aboveOrEqual(DOCUMENT_NODES.length);
  });

  it('that gets a message without its event fails once, as EVENT_LOST, and says how to mend the flow', async () => {
    await bench.load([...TESTED, { id: 'out', type: 'helper' }, ...CATCH]);
    for (const { id } of TESTED) helper.getNode(id).receive({ payload: { type: 'order' } } as never);
    for (const { id } of TESTED) {
      const [caught] = await until(`the error of ${id}`, () => caughtFrom(id).length > 0 && caughtFrom(id));
      should(caught!.error.code).equal('EVENT_LOST');
      should(caught!.error.message).match(/"return msg", not a new object/);
      should(bench.done(id).times).equal(1);
    }
    should(bench.messages('out')).have.length(0);
  });

  it('that a second receiver stands beside is not disturbed by it: the second one is red', async () => {
    await bench.load([
      ...RECEIVERS.flatMap((receiver) => {
        const first = node(receiver.type, receiver.outputs, receiver.config);
        return [first, { ...first, id: `the-${receiver.type}-second`, wires: [] }];
      }),
      { id: 'out', type: 'helper' },
      ...CATCH,
    ]);
    for (const receiver of RECEIVERS) {
      const second = `the-${receiver.type}-second`;
      await until(`${second} to be red`, () => bench.status(second)?.fill === 'red');
      should(bench.errors(second)[0]).match(/^Another .*each event goes to one (receiver|node)\.$/);
      should(bench.status(`the-${receiver.type}`)?.fill).not.equal('red');
    }
    await bench.place({ 'WINE-RIESLING': 1 });
    await until('the order', () => bench.messages('out').length > 0);
    should(bench.messages('out')).have.length(1);
    should(isPlainJson(bench.messages('out')[0])).be.true();
  });

  it('closes at once, whatever it is doing, without running into the time that Node-RED allows', async () => {
    await bench.load([
      ...TESTED,
      ...RECEIVERS.map(({ type, outputs, config }) => node(type, outputs, { ...config, pollMinutes: 1 })),
      { id: 'out', type: 'helper' },
    ]);
    bench.sandbox.world.faults.push({ partner: 'shop', kind: 'hang', times: 1 });
    helper.getNode('the-ecommerce-receive').receive({} as never);
    const begun = Date.now();
    await helper.clearFlows();
    should(Date.now() - begun).be.below(10_000);
  });
});
