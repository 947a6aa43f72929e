import should from 'should';
import type { LedgerEvent } from '../../ledger/events.ts';
import { migrate } from '../../ledger/schema.ts';
import { query, type Store } from '../../ledger/store.ts';
import {
  bindAll,
  Clock,
  events,
  fact,
  FakePartner,
  Life,
  openFresh,
  operationOf,
  receive,
  runNode,
  SETTLE_TIME,
  within,
} from './harness.ts';

const QUIET = 3000;
const LEASE = 6000;
/** Milliseconds in which one that stands still is given up and its events are in work elsewhere. */
const TAKEN_OVER = LEASE + 2500;

describe('a process that stood still while another one took over its event', () => {
  let clock: Clock;
  let store: Store;
  let partner: FakePartner;
  /** What the flow of each process does with an event. */
  type Step = (life: Life, event: LedgerEvent) => unknown;

  beforeEach(async () => {
    clock = new Clock();
    store = clock.watch(await openFresh(), true);
    await migrate(store);
    partner = new FakePartner(clock);
  });
  afterEach(() => store.close());

  async function begin(step: Step, crashPoint: (name: string, life: Life) => void = () => undefined): Promise<Life> {
    const life = new Life(store, clock, { settings: { quietTime: QUIET, lease: LEASE }, crashPoint });
    await life.ledger.join();
    await bindAll(life.ledger);
    receive(life.ledger, 'payables-asked', (event) => void step(life, event));
    await life.ledger.start();
    return life;
  }

  const send =
    (settle: 'probe' | 'idempotent'): Step =>
    (life, event) =>
      runNode(life.ledger, event.id, () =>
        life.ledger.effects.operation(operationOf(event.id, 'PO-1', partner.write(settle, 'PO-1'))),
      );
  const ask = (life: Life) => fact(life.ledger, 'erp-main', 'payables-asked', 'q1', {});
  const owner = async () =>
    (await store.transact(() => query<{ owner: string | null }>(`SELECT owner FROM event`)))[0]!.owner;

  it('makes no call for which it holds an intent only', async () => {
    let point = '';
    const frozen = await begin(send('idempotent'), (name, life) => {
      // The intent reaches the database; the process hears of it when it goes on.
      if (name !== 'before intend po-create create' || point) return;
      point = name;
      life.freeze();
    });
    const other = await begin(send('idempotent'));
    partner.latency = 20_000;
    await ask(frozen);
    await clock.advance(TAKEN_OVER + SETTLE_TIME);
    point.should.equal('before intend po-create create');
    partner.requests.should.deepEqual(['PO-1']);
    (await owner())!.should.equal(other.ledger.core.instance.id);
    frozen.thaw();
    await clock.advance(5000);
    partner.requests.should.deepEqual(['PO-1']);
  });

  it('leaves the event to its new owner when its own step must come back later', async () => {
    const frozen = await begin(send('probe'));
    const other = await begin(send('probe'));
    partner.latency = 100;
    partner.faults = ['request-lost'];
    await ask(frozen);
    await clock.advance(50);
    partner.requests.should.deepEqual(['PO-1']);
    frozen.freeze();
    await clock.advance(TAKEN_OVER);
    (await owner())!.should.equal(other.ledger.core.instance.id);
    frozen.thaw();
    // Before it knows that it was given up.
    await clock.settle();
    await clock.advance(10);
    (await owner())!.should.equal(other.ledger.core.instance.id);
    await clock.advance(SETTLE_TIME + 4 * QUIET);
    partner.times('PO-1').should.equal(1);
    (await events(other.ledger))[0]!.state.should.equal('closed');
  });

  it('does not close the event that is in work at its new owner', async () => {
    const frozen = await begin(() => undefined);
    const other = await begin((life, event) =>
      runNode(life.ledger, event.id, () => new Promise((resolve) => clock.after(60_000, () => resolve(undefined)))),
    );
    await ask(frozen);
    await clock.advance(100);
    frozen.freeze();
    await clock.advance(TAKEN_OVER);
    (await owner())!.should.equal(other.ledger.core.instance.id);
    frozen.thaw();
    await clock.advance(2 * QUIET);
    (await events(other.ledger))[0]!.state.should.equal('open');
  });

  it('does not take the event back when a message of it reaches a node late, and calls nobody for it', async () => {
    const frozen = await begin((life, event) => clock.after(20_000, () => void send('idempotent')(life, event)));
    const other = await begin(send('idempotent'));
    partner.latency = 60_000;
    await ask(frozen);
    await clock.advance(100);
    frozen.freeze();
    await clock.advance(TAKEN_OVER);
    partner.requests.should.deepEqual(['PO-1']);
    frozen.thaw();
    await clock.advance(20_000);
    partner.requests.should.deepEqual(['PO-1']);
    (await owner())!.should.equal(other.ledger.core.instance.id);
  });

  it('makes no call either when it stood still while it looked whether somebody else had made it', async () => {
    const frozen = await begin((life, event) =>
      runNode(life.ledger, event.id, () =>
        life.ledger.effects.operation(
          operationOf(event.id, 'PO-1', {
            ...partner.write('probe', 'PO-1', { look: 'always' }),
            find: () => life.here(new Promise<undefined>((resolve) => clock.after(100, () => resolve(undefined)))),
          } as ReturnType<FakePartner['write']>),
        ),
      ),
    );
    await begin(send('probe'));
    await ask(frozen);
    await clock.advance(50);
    frozen.freeze();
    await clock.advance(TAKEN_OVER + SETTLE_TIME);
    partner.times('PO-1').should.equal(1);
    frozen.thaw();
    await clock.advance(5000);
    partner.requests.should.deepEqual(['PO-1']);
  });

  it('calls nobody when a step of it that had begun before comes to its call late', async () => {
    const frozen = await begin((life, event) =>
      runNode(life.ledger, event.id, async () => {
        await new Promise<void>((resolve) => clock.after(20_000, resolve));
        return life.ledger.effects.operation(operationOf(event.id, 'PO-1', partner.write('idempotent', 'PO-1')));
      }),
    );
    const other = await begin(send('idempotent'));
    partner.latency = 60_000;
    await ask(frozen);
    await clock.advance(100);
    frozen.freeze();
    await clock.advance(TAKEN_OVER);
    partner.requests.should.deepEqual(['PO-1']);
    frozen.thaw();
    await clock.advance(20_000);
    partner.requests.should.deepEqual(['PO-1']);
    (await owner())!.should.equal(other.ledger.core.instance.id);
  });

  for (const [first, second] of [
    [0, 1],
    [1, 0],
  ] as const) {
    it(`after a sleep of the whole machine number ${first + 1}, which wakes first, does not take the other one for dead`, async () => {
      const both = [await begin(send('probe')), await begin(send('probe'))];
      const ids = both.map((life) => life.ledger.core.instance.id);
      // So that they know of each other.
      await clock.advance(LEASE);
      both.forEach((life) => life.freeze());
      await clock.advance(10 * LEASE);
      both[first]!.thaw();
      await clock.advance(1000);
      both[second]!.thaw();
      await clock.advance(LEASE);
      should(both.flatMap(({ log }) => log)).eql([]);
      should(both.map((life) => life.ledger.core.instance.id)).eql(ids);
      const rows = await within(both[0]!.ledger, () => query<{ id: string }>(`SELECT id FROM instance`));
      rows
        .map(({ id }) => id)
        .toSorted()
        .should.deepEqual(ids.toSorted());
    });
  }
});
