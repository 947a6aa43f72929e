import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import should from 'should';
import { effectList } from '../../ledger/views.ts';
import type { FaultKind } from '../../sandbox/faults.ts';
import { shippedRoute, startBench, until, type Bench, type TestNode } from './harness.ts';

const FLOW: TestNode[] = [
  { id: 'in', type: 'ecommerce-receive', platform: 'dl-shop', pollMinutes: 0, wires: [['order'], [], [], []] },
  { id: 'order', type: 'erp-create-order', erp: 'dl-erp', wires: [['route']] },
  { ...shippedRoute(), id: 'route', wires: [['po'], []] },
  { id: 'po', type: 'erp-create-po', erp: 'dl-erp', wires: [['send']] },
  { id: 'send', type: 'supplier-send', supplier: '', ledger: 'dl-ledger', wires: [['sent']] },
  { id: 'problems', type: 'catch', scope: null, uncaught: false, wires: [['caught']] },
  { id: 'sent', type: 'helper' },
  { id: 'caught', type: 'helper' },
];

/** Seconds: a partner that does not answer is given up quickly, and asked soon. */
const QUICK = { timeout: 0.3, options: { settleSeconds: 0.6 } };

describe('a partner in trouble', () => {
  let bench: Bench;
  beforeEach(async () => {
    bench = await startBench();
  });
  afterEach(() => bench.close());

  const accepted = () => bench.sandbox.world.effects.filter(({ operation }) => operation === 'order.accept');
  const waits = () => bench.statuses('send').filter(({ text }) => text === 'status.waiting-for');
  const sendEffect = async () =>
    (await (await bench.ledger()).transact('test', () => effectList())).find(
      ({ kind, step }) => kind === 'po-send' && step === 'send',
    );

  /** Whether the supplier took the purchase order before its answer was lost, and how often it is sent in the end. */
  const LOST: { kind: FaultKind; sends: number; delay?: number }[] = [
    { kind: 'reset-before', sends: 2 },
    { kind: 'reset-after', sends: 1 },
    { kind: 'hang', sends: 1 },
    { kind: 'late', sends: 1, delay: 450 },
    { kind: 'slow', sends: 1, delay: 2000 },
    { kind: 'error-before', sends: 2 },
    { kind: 'error-after', sends: 1 },
    { kind: 'garbage', sends: 1 },
    { kind: 'maintenance', sends: 2 },
    { kind: 'redirect', sends: 2 },
  ];
  for (const { kind, sends, delay } of LOST) {
    it(`"${kind}" leaves a purchase order in doubt; the supplier is asked before it is sent again, and has it once`, async () => {
      await bench.load(FLOW, { 'dl-prompt': QUICK });
      bench.sandbox.world.faults.push({
        partner: 'prompt',
        operation: 'order.accept',
        kind,
        times: 1,
        ...(delay === undefined ? {} : { delay }),
      });
      const order = await bench.place({ 'WINE-RIESLING': 1 });
      await until('the node to say that it waits', () => waits().length > 0);
      should(waits().map(({ fill }) => fill)).matchEach('yellow');
      await until('the message to be done with', () => bench.done('send').times > 0);
      should(bench.done('send').errors).deepEqual([]);
      await until('the purchase order', () => bench.messages('sent').length > 0);
      should(accepted()).have.length(1);
      should((await sendEffect())?.attempt).equal(sends);
      should((await bench.order(order)).history.filter(({ what }) => what === 'in doubt')).not.be.empty();
      should(bench.messages('caught')).have.length(0);
      should(await bench.exceptions()).have.length(0);
    });
  }

  it('that nobody reaches is waited for, visibly, and gets its order when it is back', async () => {
    const nobody = createServer();
    const { port } = await new Promise<AddressInfo>((resolve) =>
      nobody.listen(0, '127.0.0.1', () => resolve(nobody.address() as AddressInfo)),
    );
    await new Promise((resolve) => nobody.close(resolve));
    const down = `http://127.0.0.1:${port}`;
    await bench.load(FLOW, { 'dl-prompt': { ...QUICK, baseUrl: down } });
    await bench.place({ 'WINE-RIESLING': 1 });
    await until('yellow', () => bench.statuses('send').some(({ fill }) => fill === 'yellow'));
    should((await sendEffect())!.error).match(/prompt/);
    should(bench.messages('caught')).have.length(0);
    await bench.deploy(FLOW, {
      'dl-prompt': { ...QUICK, baseUrl: bench.sandbox.urls.prompt, movedTo: `rest-json ${bench.sandbox.urls.prompt}` },
    });
    await until('the purchase order', () => bench.messages('sent').length > 0);
    should(accepted()).have.length(1);
  });

  it('whose base URL was changed without a word is red and gets nothing', async () => {
    await bench.load(FLOW, { 'dl-prompt': QUICK });
    await bench.ledger();
    await bench.deploy(FLOW, { 'dl-prompt': { ...QUICK, baseUrl: bench.sandbox.urls.parcels } });
    await until('the mistake', () => bench.errors('dl-prompt').some((message) => message.includes('PARTNER_MOVED')));
    should(bench.errors('dl-prompt').join()).match(/This is still the same system/);
  });

  it('that answers in another schema, with 200, gets a doubt and then a person, and never a second order', async () => {
    await bench.load(FLOW, { 'dl-prompt': { ...QUICK, baseUrl: bench.sandbox.urls.shop } });
    await bench.place({ 'WINE-RIESLING': 1 });
    await until('a problem', async () => {
      const effect = await sendEffect();
      return bench.messages('caught').length > 0 || effect?.state === 'in-doubt' || effect?.state === 'waiting';
    });
    should(accepted()).have.length(0);
    should(bench.messages('sent')).have.length(0);
    should(['in-doubt', 'waiting', 'refused', 'asked']).containEql((await sendEffect())?.state);
  });
});
