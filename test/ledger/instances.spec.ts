import should from 'should';
import type { LedgerSettings } from '../../ledger/settings.ts';
import { insertEvent } from '../../ledger/events.ts';
import { migrate } from '../../ledger/schema.ts';
import { query, type Store } from '../../ledger/store.ts';
import { TemporaryFault } from '../../orders/errors.ts';
import {
  bindAll,
  Clock,
  effectState,
  events,
  fact,
  FakePartner,
  Life,
  openCodes,
  openFresh,
  operationOf,
  receive,
  runNode,
  SETTLE_TIME,
  within,
} from './harness.ts';

const QUIET = 3000;
const LEASE = 6000;

describe('several instances on one ledger', () => {
  let clock: Clock;
  let store: Store;
  let lives: Life[];
  let partner: FakePartner;
  /** Whether the database answers. */
  let reachable: boolean;

  beforeEach(async () => {
    clock = new Clock();
    reachable = true;
    const database = await openFresh();
    store = clock.watch(
      {
        ...database,
        transact: (work) =>
          reachable
            ? database.transact(work)
            : Promise.reject(new TemporaryFault('LEDGER_UNAVAILABLE', 'The database does not answer.')),
      },
      true,
    );
    await migrate(store);
    lives = [];
    partner = new FakePartner(clock);
  });
  afterEach(() => store.close());

  async function begin(settings: Partial<LedgerSettings> = {}): Promise<Life> {
    const life = new Life(store, clock, { settings: { quietTime: QUIET, lease: LEASE, ...settings } });
    lives.push(life);
    await life.ledger.join();
    await bindAll(life.ledger);
    return life;
  }

  /** A Node-RED whose flow sends one purchase order per event. */
  async function withFlow(settle: 'probe' | 'idempotent' = 'probe'): Promise<{ life: Life; received: string[] }> {
    const life = await begin();
    const received: string[] = [];
    receive(life.ledger, 'payables-asked', (event) => {
      received.push(event.id);
      void runNode(life.ledger, event.id, () =>
        life.ledger.effects.operation(operationOf(event.id, `R${event.id}`, partner.write(settle, `R${event.id}`))),
      );
    });
    await life.ledger.start();
    return { life, received };
  }

  const ask = (life: Life, name: string) => fact(life.ledger, 'erp-main', 'payables-asked', name, {});
  const kill = (life: Life) => {
    life.alive = false;
  };
  const owners = async (life: Life) =>
    (await within(life.ledger, () => query<{ owner: string | null }>(`SELECT owner FROM event ORDER BY id`))).map(
      (row) => row.owner,
    );
  const allClosed = async (life: Life) => (await events(life.ledger)).every((event) => event.state === 'closed');

  it('each event is worked on by one of them', async () => {
    const all = [await withFlow(), await withFlow(), await withFlow()];
    for (let number = 0; number < 60; number++) await ask(all[number % 3]!.life, `q${number}`);
    await clock.advance(3 * QUIET);
    const received = all.flatMap((each) => each.received);
    received.length.should.equal(60);
    new Set(received).size.should.equal(60);
    should(await allClosed(all[0]!.life)).be.true();
    partner.requests.length.should.equal(60);
  });

  it("a dead one's events are taken over within 10 s", async () => {
    const first = await withFlow();
    const second = await withFlow();
    partner.latency = 1000;
    for (let number = 0; number < 5; number++) await ask(first.life, `q${number}`);
    await clock.advance(100);
    first.received.length.should.equal(5);
    kill(first.life);
    await clock.advance(9000);
    second.received.toSorted().should.deepEqual(['1', '2', '3', '4', '5']);
    await clock.advance(SETTLE_TIME + 4 * QUIET);
    for (let id = 1; id <= 5; id++) partner.times(`R${id}`).should.equal(1);
    should(await allClosed(second.life)).be.true();
  });

  it('when all have died, the next one takes over everything', async () => {
    const first = await withFlow();
    const second = await withFlow();
    partner.latency = 500;
    await ask(first.life, 'q1');
    await ask(second.life, 'q2');
    await clock.advance(10);
    kill(first.life);
    kill(second.life);
    await clock.advance(60_000);
    const third = await withFlow();
    await clock.advance(LEASE + SETTLE_TIME + 4 * QUIET);
    third.received.length.should.be.above(1);
    should(await allClosed(third.life)).be.true();
    partner.times('R1').should.equal(1);
    partner.times('R2').should.equal(1);
  });

  it('one that ends in order frees its events at once, and none of them counts as failed', async () => {
    const first = await withFlow();
    const second = await withFlow();
    partner.latency = 60_000;
    await ask(first.life, 'q1');
    await clock.advance(100);
    kill(first.life);
    // What the process does on SIGTERM, after which it is gone.
    first.life.alive = true;
    await first.life.ledger.dispatcher.close();
    await first.life.ledger.core.instance.leave();
    kill(first.life);
    await clock.advance(600);
    second.received.should.deepEqual(['1']);
    (await events(second.life.ledger))[0]!.attempts.should.be.below(2);
  });

  it('a frozen one that wakes after it was given up calls nobody', async () => {
    const first = await withFlow();
    const second = await withFlow();
    // Frozen while it waits for the answer about its intent.
    receive(first.life.ledger, 'payables-asked', () => undefined);
    await ask(first.life, 'q1');
    first.life.freeze();
    await clock.advance(LEASE + 2000 + SETTLE_TIME + 4 * QUIET);
    second.received.should.deepEqual(['1']);
    const requests = partner.requests.length;
    requests.should.equal(1);
    first.life.thaw();
    await clock.advance(4 * QUIET);
    partner.requests.length.should.equal(requests);
    partner.times('R1').should.equal(1);
    should(await allClosed(second.life)).be.true();
    should(first.life.log.join()).match(/others took over/);
  });

  it('a frozen one whose call is out leaves one effect, and its late result does no harm', async () => {
    const first = await withFlow();
    const second = await withFlow();
    partner.latency = 200;
    await ask(first.life, 'q1');
    await clock.advance(100);
    partner.requests.length.should.equal(1);
    first.life.freeze();
    await clock.advance(LEASE + 2000);
    second.received.should.deepEqual(['1']);
    first.life.thaw();
    await clock.advance(SETTLE_TIME + 6 * QUIET);
    partner.times('R1').should.equal(1);
    (await effectState(second.life.ledger, 'po-create/erp-main/R1/create'))!.state.should.equal('done');
    should(await allClosed(second.life)).be.true();
    (await openCodes(second.life.ledger)).should.deepEqual([]);
  });

  it('one that was given up goes on with new events', async () => {
    const first = await withFlow();
    const second = await withFlow();
    first.life.freeze();
    await clock.advance(LEASE + 4000);
    first.life.thaw();
    await clock.advance(LEASE);
    await ask(first.life, 'q1');
    await clock.advance(4 * QUIET);
    first.received.should.deepEqual(['1']);
    second.received.should.deepEqual([]);
    should(await allClosed(second.life)).be.true();
  });

  it('nobody is given up while the database does not answer', async () => {
    const first = await withFlow();
    const second = await withFlow();
    partner.latency = 60_000;
    await ask(first.life, 'q1');
    await clock.advance(100);
    reachable = false;
    await clock.advance(10 * LEASE);
    reachable = true;
    await clock.advance(LEASE / 2);
    should(second.life.log.join()).not.match(/has died/);
    should(first.life.log.join()).not.match(/has died/);
    second.received.should.deepEqual([]);
  });

  it('an order is worked on by one of them at a time: the second event goes to the one that has begun', async () => {
    const first = await withFlow();
    const second = await withFlow();
    partner.latency = 2000;
    for (const each of [first, second]) {
      await within(each.life.ledger, () =>
        insertEvent(each.life.ledger.core, {
          partner: 'erp-main',
          kind: 'payables-asked',
          dedupeKey: each === first ? 'q1' : 'q2',
          body: {},
          orderId: 'shop-nz-1',
        }),
      );
      each.life.ledger.dispatcher.wake();
      await clock.advance(100);
    }
    await clock.advance(1000);
    first.received.should.deepEqual(['1', '2']);
    second.received.should.deepEqual([]);
    new Set(await owners(first.life)).size.should.equal(1);
  });

  it('what one has no receiver for goes to another that has one', async () => {
    const bare = await begin();
    await bare.ledger.start();
    const able = await withFlow();
    await ask(bare, 'q1');
    await clock.advance(4 * QUIET);
    able.received.should.deepEqual(['1']);
    should(await allClosed(able.life)).be.true();
  });

  it('different flows are warned about, once, and it ends when they are the same', async () => {
    const first = await withFlow();
    const second = await withFlow();
    first.life.ledger.core.instance.flows = 'one';
    second.life.ledger.core.instance.flows = 'two';
    await clock.advance(3 * LEASE);
    should(first.life.ledger.core.instance.flowsDiffer).be.true();
    should(second.life.ledger.core.instance.flowsDiffer).be.true();
    first.life.log.filter((line) => /other flows/.test(line)).length.should.equal(1);
    second.life.ledger.core.instance.flows = 'one';
    await clock.advance(LEASE);
    should(first.life.ledger.core.instance.flowsDiffer).be.false();
  });

  it('one of them is the eldest, and the next when it dies', async () => {
    const first = await withFlow();
    await clock.advance(1000);
    const second = await withFlow();
    await clock.advance(LEASE);
    should(first.life.ledger.core.instance.isEldest).be.true();
    should(second.life.ledger.core.instance.isEldest).be.false();
    kill(first.life);
    await clock.advance(2 * LEASE);
    should(second.life.ledger.core.instance.isEldest).be.true();
  });

  it('a claim whose answer was lost with the connection is found and emitted', async () => {
    const { life, received } = await withFlow();
    const { transact } = store;
    let lost = false;
    store.transact = async (work) => {
      const result = await transact(work);
      const isClaim = typeof result === 'object' && result !== null && 'claimed' in result;
      if (!isClaim || lost || (result as unknown as { claimed: unknown[] }).claimed.length === 0) return result;
      lost = true;
      throw new TemporaryFault('LEDGER_UNAVAILABLE', 'The connection broke while it was committed.');
    };
    await ask(life, 'q1');
    await clock.advance(4 * QUIET);
    should(lost).be.true();
    received.should.deepEqual(['1']);
    should(await allClosed(life)).be.true();
  });

  it('a claim that was committed unanswered and run again by the database is found and emitted', async () => {
    const { life, received } = await withFlow();
    const { transact } = store;
    let again = false;
    store.transact = async (work) => {
      const result = await transact(work);
      const isClaim = typeof result === 'object' && result !== null && 'claimed' in result;
      if (!isClaim || again || (result as unknown as { claimed: unknown[] }).claimed.length === 0) return result;
      again = true;
      return transact(work);
    };
    await ask(life, 'q1');
    await clock.advance(4 * QUIET);
    should(again).be.true();
    received.should.deepEqual(['1']);
    should(await allClosed(life)).be.true();
  });

  it('an event of which a step is made while it is about to be closed stays open until it is quiet again', async () => {
    const { life } = await withFlow();
    const { transact } = store;
    let states: string[] | undefined;
    store.transact = async (work) => {
      const first = work().next();
      if (states || first.done || !/SET state = 'closed', closed_at/.test(first.value.sql)) return transact(work);
      states = [];
      const step = { eventId: '1', orderId: undefined, kind: 'late', document: '1', content: '1' };
      await runNode(life.ledger, '1', () => life.ledger.effects.once({ ...step, *decide() {} }));
      const result = await transact(work);
      states = (await events(life.ledger)).map(({ state }) => state);
      return result;
    };
    await ask(life, 'q1');
    await clock.advance(4 * QUIET);
    should(states).deepEqual(['open']);
    should(await allClosed(life)).be.true();
  });
});
