import should from 'should';
import { steadyClock } from '../../ledger/clock.ts';
import { migrate } from '../../ledger/schema.ts';
import { query } from '../../ledger/store.ts';
import {
  bench,
  bindAll,
  Clock,
  effectState,
  eventState,
  fact,
  FakePartner,
  Life,
  openFresh,
  operationOf,
  receive,
  runNode,
  SETTLE_TIME,
} from './harness.ts';

const HOUR = 3_600_000;

describe('the clock', () => {
  const at = (wall: number, monotonic: number) => {
    const time = { wall, monotonic };
    return {
      time,
      clock: steadyClock(
        () => time.wall,
        () => time.monotonic,
      ),
    };
  };

  it('tells the time of the wall clock and goes on evenly', () => {
    const { time, clock } = at(1_000_000, 500);
    clock.now().should.equal(1_000_000);
    time.monotonic += 250;
    clock.now().should.equal(1_000_250);
  });

  it('does not go back with the wall clock', () => {
    const { time, clock } = at(10 * HOUR, 0);
    time.wall -= 5 * HOUR;
    time.monotonic += 1000;
    clock.now().should.equal(10 * HOUR + 1000);
    clock.steadySince().should.equal(0);
  });

  it('does not follow small corrections, and tells when it has followed a jump', () => {
    const { time, clock } = at(10 * HOUR, 0);
    time.wall += 30_000;
    time.monotonic += 1000;
    clock.now().should.equal(10 * HOUR + 1000);
    time.wall += 8 * HOUR;
    clock.now().should.equal(18 * HOUR + 30_000);
    clock.steadySince().should.equal(18 * HOUR + 30_000);
  });
});

describe('a clock that jumps', () => {
  it('does not cut the settle time short: the partner is not asked before it may have done what it was asked', async () => {
    const here = await bench();
    const partner = new FakePartner(here.clock);
    partner.faults = ['late'];
    partner.lateness = SETTLE_TIME / 2;
    await bindAll(here.ledger);
    receive(here.ledger, 'payables-asked', (event) => {
      void runNode(here.ledger, event.id, () =>
        here.ledger.effects.operation(operationOf(event.id, 'R1', partner.write('probe', 'R1'))),
      );
    });
    await here.ledger.start();
    await fact(here.ledger, 'erp-main', 'payables-asked', 'q', {});
    await here.clock.advance(1000);
    partner.requests.length.should.equal(1);
    here.clock.jump(3 * HOUR);
    await here.clock.advance(SETTLE_TIME / 4);
    partner.finds.should.equal(0);
    await here.clock.advance(4 * SETTLE_TIME);
    partner.times('R1').should.equal(1);
    (await effectState(here.ledger, 'po-create/erp-main/R1/create'))!.state.should.equal('done');
    await here.close();
  });

  for (const [title, back] of [
    ['a little', 20 * 60_000],
    ['by a day', 24 * HOUR],
  ] as const) {
    it(`back ${title} while the process was down leaves nothing lying`, async () => {
      const clock = new Clock();
      const store = clock.watch(await openFresh());
      await migrate(store);
      const partner = new FakePartner(clock);
      const begin = async () => {
        const life = new Life(store, clock, { settings: { quietTime: 3000 } });
        await life.ledger.join();
        await bindAll(life.ledger);
        receive(life.ledger, 'payables-asked', (event) => {
          void runNode(life.ledger, event.id, () =>
            life.ledger.effects.operation(operationOf(event.id, 'R1', partner.write('probe', 'R1'))),
          );
        });
        await life.ledger.start();
        return life;
      };
      const first = await begin();
      partner.faults = ['answer-lost'];
      await fact(first.ledger, 'erp-main', 'payables-asked', 'q', {});
      await clock.advance(1000);
      first.alive = false;
      clock.jump(-back);
      const second = await begin();
      await clock.advance(3 * SETTLE_TIME);
      partner.times('R1').should.equal(1);
      partner.requests.length.should.equal(1);
      (await eventState(second.ledger)).state.should.equal('closed');
      const future = await second.ledger.transact('look', () =>
        query(`SELECT at FROM history WHERE at > ?`, clock.now() + HOUR + SETTLE_TIME),
      );
      should(future.length === 0 || back > HOUR).be.true();
      await store.close();
    });
  }
});
