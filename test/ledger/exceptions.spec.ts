import should from 'should';
import { exceptions, raise, type Exception } from '../../ledger/exceptions.ts';
import { expectStep } from '../../ledger/deadlines.ts';
import { historyOf } from '../../ledger/history.ts';
import { putDocument } from '../../ledger/documents.ts';
import { BusinessRefusal } from '../../orders/errors.ts';
import type { Write } from '../../partners/write.ts';
import { order as sampleOrder } from '../orders/samples.ts';
import {
  bench,
  effectState,
  erp,
  eventState,
  exceptionOf,
  fact,
  FakePartner,
  openCodes,
  operationOf,
  receive,
  rejection,
  runNode,
  supplier,
  within,
  type Bench,
} from './harness.ts';

const KEY = 'po-create/erp-main/PO-1/create';

describe('what a person can do about an exception', () => {
  let at: Bench;
  let partner: FakePartner;
  /** Numbers that were asked about at the partner. */
  let looked: string[];
  /** How long the partner takes for it. */
  let looking: Promise<void>;

  beforeEach(async () => {
    at = await bench();
    partner = new FakePartner(at.clock);
    looked = [];
    looking = Promise.resolve();
    await begin();
  });
  afterEach(() => at.close());

  /** A flow of one node that makes the purchase order PO-1; its writes take a number that begins with P. */
  async function begin(settle: Write<{ id: string }>['settle'] = 'ask', kind = 'po-create'): Promise<void> {
    receive(at.ledger, 'payables-asked', (event) =>
      runNode(at.ledger, event.id, () => {
        const write: Write<{ id: string }> = {
          ...partner.write(settle, 'PO-1'),
          adopt: async (number) => {
            looked.push(number);
            await looking;
            if (!number.startsWith('P'))
              throw new BusinessRefusal('NUMBER_DIFFERS', 'That is an order to somebody else.');
            return { id: number };
          },
        };
        return at.ledger.effects.operation(operationOf(event.id, 'PO-1', write, { kind }));
      }),
    );
    await at.ledger.start();
    await at.ledger.partners.bind(erp);
  }

  /** The process is killed and started again. */
  async function again(): Promise<void> {
    await at.restart();
    await begin();
    await at.clock.advance(60_000);
  }

  /** The exception that the first try ended in. */
  async function after(fault: 'refused' | 'answer-lost' | 'request-lost'): Promise<Exception> {
    partner.faults = [fault];
    await fact(at.ledger, 'erp-main', 'payables-asked', 'q', {});
    await at.clock.advance(100);
    return only();
  }

  async function only(): Promise<Exception> {
    const all = await within(at.ledger, () => exceptions());
    should(all).have.length(1);
    return all[0]!;
  }

  const actions = async () => (await only()).actions.map((action) => action.name);
  const result = async () => (await effectState(at.ledger, KEY))?.state;
  const history = async () =>
    (await within(at.ledger, () => historyOf('shop-nz-1001'))).map(({ what, detail }) => [what, detail['by']]);

  it('a call that was refused is made again, once, and comes back as the same exception if nothing was mended', async () => {
    const { id } = await after('refused');
    should(await actions()).deepEqual(['retry', 'done', 'settle']);
    partner.faults = ['refused'];
    await at.ledger.retryException(id, 'jo');
    await at.clock.advance(100);
    should(await only()).match({ id, state: 'open', settledBy: null });
    await at.ledger.retryException(id, 'jo');
    await at.clock.advance(100);
    should(await only()).match({ id, state: 'settled', settledBy: 'jo', actions: [] });
    should([partner.requests.length, partner.times('PO-1')]).deepEqual([3, 1]);
  });

  it("a number of the partner becomes the result, in the person's name, and nothing is sent again", async () => {
    const { id, message } = await after('answer-lost');
    should(message).match(/mark it done with its number/);
    await at.ledger.answerWithNumber(id, 'jo', 'P-4711');
    await at.clock.advance(100);
    should(await only()).match({ state: 'settled', settledBy: 'jo', settlement: 'Done, as P-4711.' });
    should(await result()).equal('done');
    should([looked, partner.requests.length]).deepEqual([['P-4711'], 1]);
    should(await history()).containDeep([
      ['said to be done', 'jo'],
      ['found at the partner', 'jo'],
      ['exception settled', 'jo'],
    ]);
  });

  it('a number that is wrong changes nothing but the message, and another one can be given', async () => {
    const { id } = await after('answer-lost');
    await at.ledger.answerWithNumber(id, 'jo', 'X-1');
    await at.clock.advance(100);
    should(await only()).match({
      id,
      state: 'open',
      message: /^"X-1" was not taken: That is an order to somebody else\..*is not known/,
    });
    should(await actions()).deepEqual(['retry', 'done', 'settle']);
    should(await result()).equal('asked');
    await at.ledger.answerWithNumber(id, 'jo', 'P-1');
    await at.clock.advance(100);
    should((await only()).state).equal('settled');
    should([looked, partner.requests.length]).deepEqual([['X-1', 'P-1'], 1]);
  });

  for (const point of [
    'before give number',
    'after give number',
    'before adopt po-create create',
    'after adopt po-create create',
    'before result of po-create',
    'after result of po-create',
    'after record po-create',
  ]) {
    it(`a number outlives the process that is killed "${point}", or was never taken`, async () => {
      const { id } = await after('answer-lost');
      at.crashAt(point);
      await at.ledger.answerWithNumber(id, 'jo', 'P-1').catch(() => undefined);
      await at.clock.advance(100).catch(() => undefined);
      should(at.life.alive).be.false();
      await again();
      const kept = point !== 'before give number';
      should((await only()).state).equal(kept ? 'settled' : 'open');
      should(await result()).equal(kept ? 'done' : 'asked');
      should(partner.requests).have.length(1);
    });
  }

  it('a retry outlives the process that is killed after it, and is made once', async () => {
    const { id } = await after('refused');
    at.crashAt('after retry exception');
    await at.ledger.retryException(id, 'jo').catch(() => undefined);
    await again();
    should([(await only()).state, partner.times('PO-1'), partner.requests.length]).deepEqual(['settled', 1, 2]);
  });

  it('of three people who press at the same moment one is heard, and the others are told', async () => {
    const { id } = await after('refused');
    const outcomes = await Promise.all([
      rejection(at.ledger.retryException(id, 'jo')),
      rejection(at.ledger.answerWithNumber(id, 'kim', 'P-1')),
      rejection(at.ledger.settleException(id, 'ann', 'Bought it round the corner.')),
    ]);
    await at.clock.advance(100);
    // A database server may take any of them first.
    const first = outcomes.indexOf(undefined);
    should(outcomes).deepEqual([0, 1, 2].map((each) => (each === first ? undefined : 'ACTION_NOT_SAFE')));
    should({ looked, requests: partner.requests.length, by: (await only()).settledBy }).deepEqual(
      [
        { looked: [], requests: 2, by: 'jo' },
        { looked: ['P-1'], requests: 1, by: 'kim' },
        { looked: [], requests: 1, by: 'ann' },
      ][first],
    );
    should(await rejection(at.ledger.settleException(id, 'ann', 'Again.'))).equal('ACTION_NOT_SAFE');
  });

  it('of two numbers that are given at the same moment the first counts', async () => {
    const { id } = await after('answer-lost');
    const outcomes = await Promise.all([
      rejection(at.ledger.answerWithNumber(id, 'jo', 'P-1')),
      rejection(at.ledger.answerWithNumber(id, 'kim', 'P-2')),
    ]);
    await at.clock.advance(100);
    const first = outcomes.indexOf(undefined);
    should(outcomes).deepEqual([0, 1].map((each) => (each === first ? undefined : 'ACTION_NOT_SAFE')));
    should([looked, partner.requests.length]).deepEqual([[['P-1', 'P-2'][first]], 1]);
  });

  for (const fault of ['refused', 'answer-lost'] as const) {
    it(`while a number is being looked up, nothing else is done about it (${fault})`, async () => {
      const { id } = await after(fault);
      let found = (): void => undefined;
      looking = new Promise((resolve) => (found = resolve));
      await at.ledger.answerWithNumber(id, 'jo', 'P-1');
      should(await actions()).deepEqual([]);
      for (const other of [
        () => at.ledger.settleException(id, 'ann', 'Bought it round the corner.'),
        () => at.ledger.retryException(id, 'ann', { certain: true }),
        () => at.ledger.answerWithNumber(id, 'ann', 'P-2'),
        () => at.ledger.cancelByHand(id, 'ann', 'Not wanted.'),
      ])
        should(await rejection(other())).equal('ACTION_NOT_SAFE');
      await at.clock.advance(100);
      should(await rejection(at.ledger.settleException(id, 'ann', 'Enough.'))).equal('ACTION_NOT_SAFE');
      found();
      await at.clock.advance(100);
      should(await only()).match({ state: 'settled', settledBy: 'jo', settlement: 'Done, as P-1.' });
      should([looked, partner.requests.length]).deepEqual([['P-1'], 1]);
    });
  }

  it('an exception that nobody knows is not acted upon', async () => {
    for (const id of ['1', '99999999999999999999', 'x', ''])
      should(await rejection(at.ledger.settleException(id, 'jo', 'Done.'))).equal('EXCEPTION_UNKNOWN');
  });

  it('money whose fate is unknown is sent again only on the word that it certainly was not', async () => {
    await at.close();
    at = await bench();
    partner = new FakePartner(at.clock);
    await begin('ask', 'pay-send');
    const { id } = await after('request-lost');
    should(await rejection(at.ledger.retryException(id, 'jo'))).equal('ACTION_NOT_SAFE');
    should(await rejection(at.ledger.retryException(id, 'jo', { certain: false }))).equal('ACTION_NOT_SAFE');
    await at.clock.advance(100);
    should([partner.requests.length, (await only()).state]).deepEqual([1, 'open']);
    await at.ledger.retryException(id, 'jo', { certain: true });
    await at.clock.advance(100);
    should([partner.times('PO-1'), (await only()).settlement]).deepEqual([
      1,
      'Tried again: it was certainly not done.',
    ]);
  });

  it('a decision that is recorded is not "tried again": the exception stays until somebody settles it', async () => {
    await fact(at.ledger, 'erp-main', 'payables-asked', 'q', {});
    await at.ledger.transact('test', () =>
      raise(at.clock.now(), { subject: 'bill b', code: 'BILL_MISMATCH', message: 'Differs.', eventId: '1' }),
    );
    const { id } = await exceptionOf(at.ledger, 'BILL_MISMATCH');
    for (const action of ['retryException', 'rerouteLines'] as const)
      should(await rejection(at.ledger[action](id, 'jo'))).equal('ACTION_NOT_SAFE');
    should(await rejection(at.ledger.cancelByHand(id, 'jo', 'why'))).equal('ACTION_NOT_SAFE');
    should(await rejection(at.ledger.answerWithNumber(id, 'jo', '1'))).equal('ACTION_NOT_SAFE');
    (await openCodes(at.ledger)).should.deepEqual(['BILL_MISMATCH']);
    await at.ledger.settleException(id, 'jo', 'Bought it round the corner.');
    (await openCodes(at.ledger)).should.deepEqual([]);
    should(await rejection(at.ledger.settleException(id, 'jo', 'again'))).equal('ACTION_NOT_SAFE');
  });

  it('a call that is tried again looks first: what is there after all is taken over, not made a second time', async () => {
    await at.close();
    at = await bench();
    partner = new FakePartner(at.clock);
    await begin('probe');
    const { id } = await after('refused');
    // "Refused" was not the whole truth, or a person has made it meanwhile.
    partner.done.set('PO-1', 1);
    await at.ledger.retryException(id, 'jo');
    await at.clock.advance(100);
    should([partner.requests.length, await result()]).deepEqual([1, 'done']);
  });

  it('a step that a mended flow was to make is told once more if it does not come even then', async () => {
    await within(at.ledger, () => putDocument(sampleOrder({ id: 'shop-nz-1001' }), at.clock.now(), 'taken'));
    await within(at.ledger, () =>
      expectStep('route shop-nz-1001', 'Not routed.', at.clock.now() + 1000, 'shop-nz-1001'),
    );
    await at.clock.advance(5000);
    const { id } = await only();
    should(await actions()).deepEqual(['retry', 'cancel', 'settle']);
    await at.ledger.retryException(id, 'jo');
    await at.clock.advance(5000);
    should((await only()).state).equal('settled');
    await at.clock.advance(at.ledger.core.settings.deadlines.route);
    should(await only()).match({ id, state: 'open' });
  });

  it('facts of a partner whose config node was missing are judged as soon as it is there', async () => {
    await fact(at.ledger, 'vineyard', 'shipment', 's', {});
    await at.clock.advance(100);
    should((await eventState(at.ledger)).state).equal('waiting');
    const calls: string[] = [];
    await at.ledger.bindPartner({
      ...supplier('vineyard'),
      readSupplier: (kind) => {
        calls.push(kind);
        throw Object.assign(new Error('broken'), { name: 'TypeError' });
      },
    });
    await at.clock.settle();
    [...new Set(calls)].should.deepEqual(['shipment']);
  });
});
