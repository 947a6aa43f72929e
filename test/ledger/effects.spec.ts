import should from 'should';
import { createCore } from '../../ledger/core.ts';
import { DEFAULT_SETTINGS } from '../../ledger/settings.ts';
import { contentHash, createEffects, Obsolete, type Operation } from '../../ledger/effects.ts';
import { queryOne, type Store, type Transaction } from '../../ledger/store.ts';
import { BusinessRefusal, TemporaryFault } from '../../orders/errors.ts';
import type { Write } from '../../partners/write.ts';
import {
  bench,
  bindAll,
  effectState,
  eventState,
  exceptionOf,
  fact,
  FakePartner,
  openCodes,
  operationOf,
  receive,
  rejection,
  runNode,
  SETTLE_TIME,
  within,
  type Bench,
  type Fault,
} from './harness.ts';

const QUIET = 30_000;
const HOUR = 3_600_000;
const KEY = 'po-create/erp-main/PO-1/create';
type Settle = Write<{ id: string }>['settle'];

describe('effects', () => {
  let at: Bench;
  let partner: FakePartner;
  let results: { result: { id: string }; replayed: boolean }[];
  let operation: (eventId: string) => Operation<{ id: string }>;

  beforeEach(async () => {
    at = await bench({ quietTime: QUIET, patience: HOUR });
    partner = new FakePartner(at.clock);
    results = [];
    await begin();
  });
  afterEach(() => at.close());

  /** A flow of one node, in the process that lives now. */
  async function begin(): Promise<void> {
    await bindAll(at.ledger);
    const ledger = at.ledger;
    receive(ledger, 'payables-asked', (event) => {
      void runNode(ledger, event.id, async () => results.push(await ledger.effects.operation(operation(event.id))));
    });
    await ledger.start();
  }

  /** Of another process that holds each event, without a dispatcher. */
  const effectsOn = (store: Store) => {
    const silent = { started() {}, ended() {}, isHeld: () => true, held() {} };
    const tools = { now: at.clock.now, random: () => 0.5, after: at.clock.after, log() {}, crashPoint() {} };
    return createEffects(createCore(store, tools, DEFAULT_SETTINGS), silent);
  };

  const use = (
    settle: Settle,
    options: Parameters<FakePartner['write']>[2] = {},
    changes: Partial<Operation<{ id: string }>> = {},
  ) => {
    partner.deduplicates = settle === 'idempotent';
    operation = (eventId) => operationOf(eventId, 'PO-1', partner.write(settle, 'PO-1', options), changes);
  };
  const trigger = async (milliseconds = 0) => {
    await fact(at.ledger, 'erp-main', 'payables-asked', 'q1', {});
    await at.clock.advance(milliseconds);
  };
  const closedQuietly = async () => {
    (await eventState(at.ledger)).state.should.equal('closed');
    (await openCodes(at.ledger)).should.deepEqual([]);
  };

  for (const settle of ['idempotent', 'probe', 'ask'] as const) {
    describe(`settled by ${settle}`, () => {
      const inDoubt: Fault[] = ['answer-lost', 'request-lost', 'late', 'unreadable'];
      for (const fault of ['none', 'unreachable', ...(settle === 'ask' ? [] : inDoubt)] as Fault[]) {
        it(`${fault}: happens exactly once, by itself`, async () => {
          use(settle);
          partner.faults = [fault];
          await trigger(5 * 60_000);
          partner.times('PO-1').should.equal(1);
          should(results.at(-1)?.result).deepEqual({ id: 'P-PO-1' });
          await closedQuietly();
        });
      }

      if (settle === 'ask') {
        for (const fault of inDoubt) {
          it(`${fault}: is never sent again by itself; a person is asked`, async () => {
            use(settle);
            partner.faults = [fault];
            await trigger(HOUR);
            partner.requests.length.should.equal(1);
            (await openCodes(at.ledger)).should.deepEqual(['IN_DOUBT']);
            (await eventState(at.ledger)).state.should.equal('closed');
          });
        }
      }

      it('a refusal is not tried again; it is when a person says so, and the exception is settled', async () => {
        use(settle);
        partner.faults = ['refused'];
        await trigger(10 * 60_000);
        partner.requests.length.should.equal(1);
        const { id } = await exceptionOf(at.ledger, 'PARTNER_REFUSED');
        await at.ledger.retryException(id, 'jo');
        await at.clock.advance(QUIET * 2);
        partner.times('PO-1').should.equal(1);
        await closedQuietly();
      });

      it('refused again after the retry: the exception comes back', async () => {
        use(settle);
        partner.faults = ['refused', 'refused'];
        await trigger(60_000);
        await at.ledger.retryException((await exceptionOf(at.ledger, 'PARTNER_REFUSED')).id, 'jo');
        await at.clock.advance(60_000);
        (await openCodes(at.ledger)).should.deepEqual(['PARTNER_REFUSED']);
        partner.times('PO-1').should.equal(0);
      });

      it('a refusal with corrected content is tried again by itself', async () => {
        use(settle);
        partner.faults = ['refused'];
        await trigger(60_000);
        use(settle, {}, { content: { reference: 'PO-1', corrected: true } });
        await fact(at.ledger, 'erp-main', 'payables-asked', 'q2', {});
        await at.clock.advance(60_000);
        partner.times('PO-1').should.equal(1);
        (await openCodes(at.ledger)).should.deepEqual([]);
      });

      for (const [point, sent] of [
        ['after intend po-create create', false],
        ['after send po-create create', true],
        [settle === 'ask' ? 'before result of po-create' : 'before record po-create', true],
      ] as const) {
        it(`the process dies ${point}: ${settle === 'ask' ? 'a person is asked' : 'it has happened exactly once in the end'}`, async () => {
          use(settle);
          at.crashAt(point);
          await trigger(1000);
          at.life.alive.should.be.false();
          partner.times('PO-1').should.equal(sent ? 1 : 0);
          await at.restart();
          await begin();
          await at.clock.advance(10 * 60_000);
          if (settle === 'ask') {
            partner.times('PO-1').should.equal(sent ? 1 : 0);
            (await openCodes(at.ledger)).should.deepEqual(['IN_DOUBT']);
          } else {
            partner.times('PO-1').should.equal(1);
            await closedQuietly();
          }
        });
      }

      it('the process dies after the result: the replay calls nobody', async () => {
        use(settle);
        at.crashAt(settle === 'ask' ? 'after result of po-create' : 'after record po-create');
        await trigger(1000);
        await at.restart();
        await begin();
        await at.clock.advance(10 * 60_000);
        partner.requests.length.should.equal(1);
        results.length.should.equal(1);
        await closedQuietly();
      });
    });
  }

  for (const settle of ['idempotent', 'probe'] as const) {
    it(`${settle}: a result that the ledger could not record is settled as a doubt, not sent blindly again`, async () => {
      use(settle);
      at.failAt('before record po-create');
      await trigger(60_000);
      partner.times('PO-1').should.equal(1);
      partner.requests.length.should.equal(settle === 'probe' ? 1 : 2);
      await closedQuietly();
    });
  }

  it('a request that is done late is not sent twice: it is looked for only after the settle time', async () => {
    use('probe');
    partner.faults = ['late'];
    partner.lateness = SETTLE_TIME - 1;
    await trigger(SETTLE_TIME - 1);
    partner.finds.should.equal(0);
    await at.clock.advance(60_000);
    partner.requests.length.should.equal(1);
    partner.times('PO-1').should.equal(1);
  });

  it('a process that dies between intent and answer waits the settle time before it asks', async () => {
    use('probe');
    partner.faults = ['late'];
    partner.lateness = SETTLE_TIME - 1;
    at.crashAt('after failed send po-create create');
    await trigger(1000);
    await at.restart();
    await begin();
    await at.clock.advance(60_000);
    partner.requests.length.should.equal(1);
    partner.times('PO-1').should.equal(1);
  });

  it('a search that fails decides nothing: it is asked again, and less and less often', async () => {
    use('probe');
    partner.faults = ['answer-lost'];
    partner.blind = 1_000_000;
    at.ledger.core.settings.patience = 24 * HOUR;
    await trigger(6 * HOUR);
    partner.requests.length.should.equal(1);
    partner.finds.should.be.within(30, 200);
    partner.blind = 0;
    await at.clock.advance(10 * 60_000);
    partner.times('PO-1').should.equal(1);
    await closedQuietly();
  });

  it('answers lost again and again end with a person, not with an endless row of sends', async () => {
    for (const settle of ['idempotent', 'probe'] as const) {
      const reference = `PO-${settle}`;
      operation = (eventId) => operationOf(eventId, reference, partner.write(settle, reference));
      partner.faults = Array.from({ length: 30 }, () => 'request-lost' as const);
      await fact(at.ledger, 'erp-main', 'payables-asked', settle, {});
      await at.clock.advance(2 * HOUR);
      partner.requests.filter((each) => each === reference).length.should.equal(10);
    }
    (await openCodes(at.ledger)).should.deepEqual(['IN_DOUBT', 'IN_DOUBT']);
  });

  it('money that is not found is left to a person', async () => {
    use('probe', { whenMissing: 'ask' });
    partner.faults = ['request-lost'];
    await trigger(HOUR);
    partner.requests.length.should.equal(1);
    const { id } = await exceptionOf(at.ledger, 'IN_DOUBT');
    await at.ledger.retryException(id, 'jo');
    await at.clock.advance(60_000);
    partner.times('PO-1').should.equal(1);
    await closedQuietly();
  });

  describe('a write that looks before it sends', () => {
    it('adopts what somebody else has made', async () => {
      use('probe', { look: 'always' });
      partner.done.set('PO-1', 1);
      await trigger(60_000);
      partner.requests.length.should.equal(0);
      should(results[0]?.result).deepEqual({ id: 'P-PO-1' });
      await closedQuietly();
    });

    it('looks again when the first look failed', async () => {
      use('probe', { look: 'always' });
      partner.done.set('PO-1', 1);
      partner.blind = 1;
      await trigger(60_000);
      partner.requests.length.should.equal(0);
      partner.times('PO-1').should.equal(1);
      await closedQuietly();
    });

    it('looks again before a second send', async () => {
      use('probe', { look: 'always' });
      partner.faults = ['unreachable'];
      await trigger(0);
      await at.clock.settle();
      partner.done.set('PO-1', 1);
      await at.clock.advance(60_000);
      partner.times('PO-1').should.equal(1);
    });

    it('is not sent when the ledger could not record what was found', async () => {
      use('probe', { look: 'always' });
      partner.done.set('PO-1', 1);
      at.failAt('before result of po-create');
      await trigger(60_000);
      partner.requests.length.should.equal(0);
      partner.times('PO-1').should.equal(1);
    });
  });

  it('a temporary fault that lasts longer than the patience goes to a person, and comes right when they retry', async () => {
    use('probe');
    partner.faults = Array.from({ length: 2000 }, () => 'unreachable' as const);
    await trigger(2 * HOUR);
    (await openCodes(at.ledger)).should.deepEqual(['PARTNER_UNAVAILABLE']);
    const asked = partner.requests.length;
    await at.clock.advance(HOUR);
    partner.requests.length.should.equal(asked);
    partner.faults = [];
    await at.ledger.retryException((await exceptionOf(at.ledger, 'PARTNER_UNAVAILABLE')).id, 'jo');
    await at.clock.advance(60_000);
    partner.times('PO-1').should.equal(1);
    await closedQuietly();
  });

  it('a partner that asks for a pause is not called before, and the pause counts as no failure', async () => {
    const calls: number[] = [];
    operation = (eventId) =>
      operationOf(eventId, 'PO-1', {
        step: 'create',
        settle: 'idempotent',
        async send() {
          calls.push(at.clock.now());
          if (calls.length <= 7) throw new TemporaryFault('RATE_LIMITED', 'slow down', { retryAfter: 90_000 });
          return { id: 'P-PO-1' };
        },
      });
    await trigger(20 * 60_000);
    calls.length.should.equal(8);
    calls.forEach((time, index) => index > 0 && (time - calls[index - 1]!).should.be.aboveOrEqual(90_000));
    await closedQuietly();
  });

  describe('guards', () => {
    let wanted: boolean;
    function* guard(): Transaction<void> {
      if (!wanted) throw new Obsolete('PO-1 was cancelled.');
    }
    beforeEach(() => {
      wanted = true;
    });

    it('what is not wanted any more is not sent, and nothing is wrong', async () => {
      wanted = false;
      use('probe', {}, { guard });
      await trigger(60_000);
      partner.requests.length.should.equal(0);
      should(await effectState(at.ledger, KEY)).be.undefined();
      await closedQuietly();
    });

    it('a write that was certainly not made is given up when its document is cancelled', async () => {
      use('probe', {}, { guard });
      partner.faults = ['unreachable'];
      await trigger(0);
      await at.clock.settle();
      wanted = false;
      await at.clock.advance(10 * 60_000);
      partner.requests.length.should.equal(1);
      should((await effectState(at.ledger, KEY))?.state).equal('refused');
      await closedQuietly();
    });

    it('and is made when its document is wanted again after all', async () => {
      use('probe', {}, { guard });
      partner.faults = ['unreachable'];
      await trigger(0);
      await at.clock.settle();
      wanted = false;
      await at.clock.advance(10 * 60_000);
      wanted = true;
      await fact(at.ledger, 'erp-main', 'payables-asked', 'q2', {});
      await at.clock.advance(60_000);
      partner.times('PO-1').should.equal(1);
    });

    it('what is in doubt is looked for even when its document was cancelled, and never sent again', async () => {
      use('probe', {}, { guard });
      partner.faults = ['answer-lost'];
      await trigger(0);
      await at.clock.settle();
      wanted = false;
      await at.clock.advance(10 * 60_000);
      partner.requests.length.should.equal(1);
      should((await effectState(at.ledger, KEY))?.state).equal('done');

      wanted = true;
      operation = (eventId) => operationOf(eventId, 'PO-2', partner.write('probe', 'PO-2'), { guard });
      partner.faults = ['request-lost'];
      await fact(at.ledger, 'erp-main', 'payables-asked', 'q2', {});
      await at.clock.settle();
      wanted = false;
      await at.clock.advance(10 * 60_000);
      partner.times('PO-2').should.equal(0);
      partner.requests.filter((each) => each === 'PO-2').length.should.equal(1);
      (await openCodes(at.ledger)).should.deepEqual([]);
    });

    it('what is in doubt and can only be sent again is for a person once its document was cancelled', async () => {
      use('idempotent', {}, { guard });
      partner.faults = ['answer-lost'];
      await trigger(0);
      await at.clock.settle();
      wanted = false;
      await at.clock.advance(10 * 60_000);
      partner.requests.length.should.equal(1);
      (await openCodes(at.ledger)).should.deepEqual(['IN_DOUBT']);
    });

    it('a business refusal by the guard is told, not swallowed', async () => {
      use(
        'probe',
        {},
        {
          *guard() {
            throw new BusinessRefusal('RUN_NOT_APPROVED', 'Not approved.');
          },
        },
      );
      await trigger(60_000);
      partner.requests.length.should.equal(0);
      (await openCodes(at.ledger)).should.deepEqual(['RUN_NOT_APPROVED']);
    });
  });

  describe('the same effect from two places', () => {
    it('simultaneous callers share one call', async () => {
      partner.latency = 500;
      use('ask');
      await fact(at.ledger, 'erp-main', 'payables-asked', 'q1', {});
      await at.clock.settle();
      const calls = Array.from({ length: 5 }, () => at.ledger.effects.operation(operation('1')));
      await at.clock.advance(1000);
      (await Promise.all(calls))
        .map((each) => each.result.id)
        .should.deepEqual(Array.from({ length: 5 }, () => 'P-PO-1'));
      partner.requests.length.should.equal(1);
    });

    it('a later caller is given the recorded result, as a repetition, and the adapter is not even asked', async () => {
      use('ask');
      await trigger(1000);
      const call = () => Promise.reject(new Error('the adapter was asked'));
      const again = await at.ledger.effects.operation({ ...operation('1'), call });
      again.should.deepEqual({ result: { id: 'P-PO-1' }, replayed: true });
      partner.requests.length.should.equal(1);
    });

    it('another business content under the same key is for a person and is not sent', async () => {
      use('ask');
      await trigger(1000);
      use('ask', {}, { content: { reference: 'PO-1', quantity: '2' } });
      await fact(at.ledger, 'erp-main', 'payables-asked', 'q2', {});
      await at.clock.advance(60_000);
      partner.requests.length.should.equal(1);
      (await openCodes(at.ledger)).should.deepEqual(['EFFECT_DIVERGED']);
    });

    it('content that changes while the first request is in doubt is for a person and is not sent', async () => {
      for (const settle of ['idempotent', 'probe'] as const) {
        const reference = `PO-${settle}`;
        operation = (eventId) => operationOf(eventId, reference, partner.write(settle, reference));
        partner.faults = ['answer-lost'];
        await fact(at.ledger, 'erp-main', 'payables-asked', settle, {});
        await at.clock.settle();
        operation = (eventId) =>
          operationOf(eventId, reference, partner.write(settle, reference), { content: 'another' });
        await at.clock.advance(5 * 60_000);
        partner.requests.filter((each) => each === reference).length.should.equal(1);
      }
      (await openCodes(at.ledger)).should.deepEqual(['IN_DOUBT', 'IN_DOUBT']);
    });

    it('of two processes on one ledger that find the same doubt, one sends', async () => {
      use('probe');
      partner.faults = ['request-lost'];
      await trigger(0);
      await at.clock.settle();
      at.life.alive = false;
      at.clock.time += SETTLE_TIME + 1;
      const two = [0, 1].map(() => effectsOn(at.store));
      partner.latency = 100;
      const outcomes = Promise.allSettled(two.map((effects) => effects.operation(operation('1'))));
      await at.clock.advance(1000);
      (await outcomes)
        .map((each) => each.status)
        .sort()
        .should.deepEqual(['fulfilled', 'rejected']);
      partner.requests.length.should.equal(2);
      partner.times('PO-1').should.equal(1);
    });

    it('a frozen process that comes back late does not overwrite what another one recorded', async () => {
      use('probe');
      partner.latency = 60_000;
      at.life.alive.should.be.true();
      const [frozen, other] = [0, 1].map(() => effectsOn(at.store));
      await fact(at.ledger, 'erp-main', 'payables-asked', 'q1', {});
      at.ledger.dispatcher.pause();
      const slow = frozen!.operation(operation('1'));
      await at.clock.advance(SETTLE_TIME + 1);
      partner.latency = 0;
      const found = await rejection(other!.operation(operation('1')));
      should(found).be.undefined();
      await at.clock.advance(60_000);
      (await slow).result.should.deepEqual({ id: 'P-PO-1' });
      should((await effectState(at.ledger, KEY))?.attempt).equal(2);
    });

    it('no call leaves before the disk keeps its intent; what came of it goes on at once, and the next intent keeps both', async () => {
      let keep = () => {};
      /** A disk that keeps nothing until `keep`. */
      const slow: Store = {
        ...at.store,
        transact: (work, ahead) => {
          const written = at.store.transact(work, ahead);
          return ahead
            ? written
            : Promise.all([written, new Promise<void>((kept) => (keep = kept))]).then(([result]) => result);
        },
      };
      const effects = effectsOn(slow);
      use('probe');
      await fact(at.ledger, 'erp-main', 'payables-asked', 'q1', {});
      at.ledger.dispatcher.pause();
      let outcome: unknown;
      void effects.operation(operation('1')).then(({ result }) => (outcome = result));
      await at.clock.advance(1000);
      partner.requests.length.should.equal(0);
      keep();
      await at.clock.advance(1000);
      partner.requests.length.should.equal(1);
      should(outcome).deepEqual({ id: 'P-PO-1' });
    });

    it('money is kept by the disk before anybody goes on with it', async () => {
      const waited: string[] = [];
      const watched: Store = {
        ...at.store,
        transact: (work, ahead) => {
          if (!ahead) waited.push('the disk');
          return at.store.transact(work, ahead);
        },
      };
      const effects = effectsOn(watched);
      use('probe', { whenMissing: 'ask' });
      await fact(at.ledger, 'erp-main', 'payables-asked', 'q1', {});
      at.ledger.dispatcher.pause();
      await Promise.all([effects.operation(operation('1')), at.clock.advance(1000)]);
      // For its intent, and for the bank's answer.
      waited.should.deepEqual(['the disk', 'the disk']);
    });

    it('a late answer that says something else than what was recorded changes nothing', async () => {
      const [frozen, other] = [0, 1].map(() => effectsOn(at.store));
      await fact(at.ledger, 'erp-main', 'payables-asked', 'q1', {});
      at.ledger.dispatcher.pause();
      const saying = (id: string, latency: number) =>
        operationOf('1', 'PO-1', {
          step: 'create',
          settle: 'idempotent',
          send: () => new Promise((resolve) => at.clock.after(latency, () => resolve({ id }))),
        });
      const slow = frozen!.operation(saying('late', 60_000));
      await at.clock.advance(1000);
      const quick = other!.operation(saying('recorded', 100));
      await at.clock.advance(1000);
      (await quick).result.should.deepEqual({ id: 'recorded' });
      await at.clock.advance(60_000);
      (await slow).result.should.deepEqual({ id: 'recorded' });
      const row = await within(at.ledger, () => queryOne(`SELECT result FROM effect WHERE key = ?`, KEY));
      should(JSON.parse(String(row?.['result']))).eql({ id: 'recorded' });
    });
  });

  describe('decisions of the ledger', () => {
    it('are made once, and found again by every replay', async () => {
      let made = 0;
      const decide = (eventId: string) =>
        at.ledger.effects.once({
          eventId,
          orderId: undefined,
          kind: 'allocate',
          document: 'shop-nz-1001/1',
          content: 'same',
          *decide() {
            made += 1;
            return { choice: made };
          },
        });
      const all = await Promise.all(Array.from({ length: 10 }, () => decide('1')));
      all.map((each) => each.result.choice).should.deepEqual(Array.from({ length: 10 }, () => 1));
      (await decide('1')).should.deepEqual({ result: { choice: 1 }, replayed: true });
      made.should.equal(1);
    });

    it('leave nothing behind when they fail', async () => {
      const decision = (fail: boolean) =>
        at.ledger.effects.once({
          eventId: '1',
          orderId: undefined,
          kind: 'allocate',
          document: 'x',
          content: 1,
          *decide() {
            if (fail) throw new Obsolete('cancelled');
            return 5;
          },
        });
      await should(decision(true)).be.rejectedWith(Obsolete);
      (await decision(false)).should.deepEqual({ result: 5, replayed: false });
    });
  });

  it('an operation of several writes goes on where it stopped', async () => {
    operation = (eventId) =>
      operationOf(eventId, 'PO-1', partner.write('probe', 'PO-1'), {
        async call(write) {
          await write(partner.write('probe', 'customer', { step: 'customer' }));
          await write(partner.write('probe', 'order', { step: 'order' }));
          return write(partner.write('probe', 'confirm', { step: 'confirm' }));
        },
      });
    partner.faults = ['none', 'answer-lost', 'unreachable', 'none'];
    at.crashAt('after intend po-create order');
    await trigger(1000);
    at.life.alive.should.be.false();
    await at.restart();
    await begin();
    await at.clock.advance(10 * 60_000);
    [...partner.done.entries()].should.deepEqual([
      ['customer', 1],
      ['order', 1],
      ['confirm', 1],
    ]);
    await closedQuietly();
  });

  for (const settle of ['idempotent', 'probe', 'ask'] as const) {
    it(`${settle}: a finished write of an unfinished operation is answered from the ledger, neither made nor looked for again`, async () => {
      operation = (eventId) =>
        operationOf(eventId, 'PO-1', partner.write(settle, 'PO-1'), {
          async call(write) {
            await write(partner.write(settle, 'customer', { step: 'customer' }));
            return write(partner.write(settle, 'order', { step: 'order' }));
          },
        });
      partner.faults = ['none', 'unreachable', 'none'];
      await trigger(10 * 60_000);
      partner.requests.should.deepEqual(['customer', 'order', 'order']);
      // Of a write that is tried again, and of no other.
      partner.finds.should.equal(settle === 'probe' ? 1 : 0);
      await closedQuietly();
    });
  }

  it('equal content gives equal hashes whatever the order of its fields, and other content does not', () => {
    contentHash({ a: 1, b: { c: [1, 2], d: undefined } }).should.equal(contentHash({ b: { c: [1, 2] }, a: 1 }));
    contentHash({ a: [1, 2] }).should.not.equal(contentHash({ a: [2, 1] }));
    contentHash({ a: '1' }).should.not.equal(contentHash({ a: 1 }));
    contentHash('null').should.not.equal(contentHash(null));
  });
});
