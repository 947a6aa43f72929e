import should from 'should';
import type { LedgerEvent } from '../../ledger/events.ts';
import { Waiting } from '../../ledger/effects.ts';
import { query } from '../../ledger/store.ts';
import {
  bench,
  bindAll,
  erp,
  events,
  eventState,
  exceptionOf,
  fact,
  FakePartner,
  openCodes,
  operationOf,
  receive,
  runNode,
  shop,
  SETTLE_TIME,
  within,
  type Bench,
} from './harness.ts';
import { order } from '../orders/samples.ts';

const QUIET = 30_000;

describe('the dispatcher', () => {
  let at: Bench;
  beforeEach(async () => {
    at = await bench({ quietTime: QUIET });
    await bindAll(at.ledger);
  });
  afterEach(() => at.close());

  const ask = (name: string) => fact(at.ledger, 'erp-main', 'payables-asked', name, {});

  describe('attempts', () => {
    it('are counted before anything is emitted', async () => {
      at.crashAt('before emit payables-asked');
      const received = receive(at.ledger, 'payables-asked');
      await at.ledger.start();
      await ask('q1');
      await at.clock.settle();
      received.length.should.equal(0);
      await at.restart();
      (await eventState(at.ledger)).attempts.should.equal(1);
    });

    it('an event that kills the process again and again is set aside after the fifth time, for a person', async () => {
      await ask('q1');
      for (let life = 0; life < 8; life++) {
        await bindAll(at.ledger);
        receive(at.ledger, 'payables-asked');
        at.crashAt('after emit payables-asked');
        await at.ledger.start();
        await at.clock.advance(1000);
        await at.restart();
      }
      const event = await eventState(at.ledger);
      event.state.should.equal('quarantined');
      event.emitted.should.equal(5);
      (await openCodes(at.ledger)).should.deepEqual(['EVENT_FAILS']);
    });

    for (const [title, delay] of [
      ['at once', 0],
      ['a while after it was emitted', 5000],
    ] as const) {
      it(`of many events in work, only the one that kills the process ${title} is set aside`, async () => {
        for (let number = 1; number <= 30; number++) await ask(`q${number}`);
        let deaths = 0;
        for (; deaths < 40; deaths++) {
          let dead = false;
          const { life } = at;
          await bindAll(at.ledger);
          receive(at.ledger, 'payables-asked', (event) => {
            const kill = () => {
              if (life !== at.life) return;
              dead = true;
              life.alive = false;
            };
            if (event.id === '17') at.clock.after(delay, kill);
            else void runNode(at.ledger, event.id, async () => undefined);
          });
          await at.ledger.start();
          for (let seconds = 0; seconds < 40 * 60 && !dead; seconds++) await at.clock.advance(1000);
          if (!dead) break;
          await at.restart();
        }
        const states = await events(at.ledger);
        states
          .filter((event) => event.state !== 'closed')
          .map(({ id, state }) => ({ id, state }))
          .should.deepEqual([{ id: '17', state: 'quarantined' }]);
        deaths.should.be.below(delay === 0 ? 8 : 20);
      });
    }

    /** The process dies with all of these in work, as often as told. */
    const dieWith = async (count: number, times: number) => {
      for (let number = 1; number <= count; number++) await ask(`q${number}`);
      for (let life = 0; life < times; life++) {
        await bindAll(at.ledger);
        const received = receive(at.ledger, 'payables-asked');
        await at.ledger.start();
        await at.clock.advance(2000);
        received.length.should.equal(count);
        await at.restart();
      }
      await bindAll(at.ledger);
    };

    it('a hundred that were in work in two processes that died, and have waited often before, are through within some ten seconds', async () => {
      await dieWith(100, 2);
      await within(at.ledger, () => query(`UPDATE event SET emitted = 40`));
      const received = receive(at.ledger, 'payables-asked', (event) => {
        void runNode(at.ledger, event.id, async () => undefined);
      });
      await at.ledger.start();
      received.length.should.be.belowOrEqual(34);
      await at.clock.advance(13_000);
      received.length.should.equal(100);
      await at.clock.advance(2 * QUIET);
      (await events(at.ledger)).every(({ state }) => state === 'closed').should.be.true();
    });

    it('of a hundred, some more deaths find the one that kills the process, and no other is set aside', async () => {
      await dieWith(100, 2);
      let deaths = 2;
      for (; deaths < 40; deaths++) {
        const { life, ledger } = at;
        let dead = false;
        receive(ledger, 'payables-asked', (event) => {
          if (event.id !== '57') return void runNode(ledger, event.id, async () => undefined);
          dead = true;
          life.alive = false;
        });
        await ledger.start();
        for (let seconds = 0; seconds < 60 && !dead; seconds++) await at.clock.advance(1000);
        if (!dead) break;
        await at.restart();
        await bindAll(at.ledger);
      }
      deaths.should.be.belowOrEqual(10);
      (await events(at.ledger))
        .filter(({ state }) => state !== 'closed')
        .map(({ id, state }) => ({ id, state }))
        .should.deepEqual([{ id: '57', state: 'quarantined' }]);
    });

    it('suspects that could not be emitted before are tried apart when their receiver comes, and others are not held up by them', async () => {
      await dieWith(10, 2);
      await at.ledger.start();
      await at.clock.advance(10_000);
      const others = receive(at.ledger, 'run-decision');
      await fact(at.ledger, 'erp-main', 'payables-asked', 'new', {});
      const received = receive(at.ledger, 'payables-asked');
      await at.clock.settle();
      others.length.should.equal(0);
      received.filter(({ id }) => Number(id) <= 10).length.should.be.belowOrEqual(4);
      await at.clock.advance(10_000);
      received.length.should.equal(11);
    });

    it('an event whose node throws is tried five times with growing pauses, delays no other, and runs when a person says so', async () => {
      let mended = false;
      const times: number[] = [];
      receive(at.ledger, 'payables-asked', (event) => {
        void runNode(at.ledger, event.id, async () => {
          if (event.id !== '1' || mended) return;
          times.push(at.clock.now());
          throw new TypeError('x is not a function');
        });
      });
      await at.ledger.start();
      await ask('bad');
      await ask('good');
      await at.clock.advance(QUIET + 1000);
      (await eventState(at.ledger, '2')).state.should.equal('closed');
      await at.clock.advance(10 * 60_000);
      times.length.should.equal(5);
      for (let index = 2; index < 5; index++)
        (times[index]! - times[index - 1]!).should.be.above(times[index - 1]! - times[index - 2]!);
      (await eventState(at.ledger)).state.should.equal('quarantined');
      mended = true;
      await at.ledger.retryException((await exceptionOf(at.ledger, 'EVENT_FAILS')).id, 'jo');
      await at.clock.advance(2 * QUIET);
      (await eventState(at.ledger)).state.should.equal('closed');
      (await openCodes(at.ledger)).should.deepEqual([]);
    });

    it('a receiver that throws fails its own event only', async () => {
      const received: string[] = [];
      receive(at.ledger, 'payables-asked', (event) => {
        if (event.id === '1') throw new Error('cannot be cloned');
        received.push(event.id);
      });
      await ask('q1');
      await ask('q2');
      await ask('q3');
      await at.ledger.start();
      await at.clock.advance(10 * 60_000);
      received.should.deepEqual(['2', '3']);
      (await events(at.ledger)).map((event) => event.state).should.deepEqual(['quarantined', 'closed', 'closed']);
      (await openCodes(at.ledger)).should.deepEqual(['EVENT_FAILS']);
    });

    it('waiting counts as none, however often', async () => {
      let until = 40;
      receive(at.ledger, 'payables-asked', (event) => {
        void runNode(at.ledger, event.id, async () => {
          until -= 1;
          if (until > 0) throw new Waiting(at.clock.now() + 1000, 'not yet');
        });
      });
      await at.ledger.start();
      await ask('q1');
      await at.clock.advance(3 * 60_000);
      const event = await eventState(at.ledger);
      event.state.should.equal('closed');
      event.emitted.should.equal(40);
    });

    it('an orderly end of the process counts as none', async () => {
      await ask('q1');
      for (let life = 0; life < 8; life++) {
        await bindAll(at.ledger);
        receive(at.ledger, 'payables-asked');
        await at.ledger.start();
        await at.clock.advance(1000);
        await at.ledger.dispatcher.close();
        await at.restart();
      }
      await bindAll(at.ledger);
      receive(at.ledger, 'payables-asked');
      await at.ledger.start();
      await at.clock.advance(2 * QUIET);
      (await eventState(at.ledger)).state.should.equal('closed');
      (await openCodes(at.ledger)).should.deepEqual([]);
    });
  });

  describe('judging', () => {
    it('an error in an adapter counts against its own event and ends as an exception; the others go on', async () => {
      let broken = true;
      await at.ledger.partners.bind({
        ...shop,
        readOrder: (body) => {
          const { id } = body as { id: string };
          if (broken && id === 'shop-nz-13')
            throw new TypeError("Cannot read properties of undefined (reading 'line_items')");
          return { order: order({ id, shopOrderId: id }), paid: true, cancelled: false };
        },
      });
      const received = receive(at.ledger, 'order');
      for (let number = 10; number < 20; number++)
        await fact(at.ledger, 'shop-nz', 'order', `order:${number}`, { id: `shop-nz-${number}` });
      await at.ledger.start();
      await at.clock.advance(1000);
      received.length.should.equal(9);
      await at.clock.advance(10 * 60_000);
      received.length.should.equal(9);
      const bad = (await events(at.ledger))[3]!;
      bad.state.should.equal('quarantined');
      (await exceptionOf(at.ledger, 'EVENT_FAILS')).message.should.match(/line_items/);

      broken = false;
      await at.ledger.retryException((await exceptionOf(at.ledger, 'EVENT_FAILS')).id, 'jo');
      await at.clock.advance(1000);
      received.length.should.equal(10);
      should((received[9]?.emits ?? []).length).equal(1);
    });

    it('more due events than fit in one batch are all judged, even when none of them is for the flow', async () => {
      at.ledger.core.settings.batch = 4;
      for (let number = 0; number < 50; number++)
        await fact(at.ledger, 'shop-nz', 'order', `order:${number}`, {
          order: order({ id: `shop-nz-${number}` }),
          paid: false,
        });
      await at.ledger.start();
      await at.clock.settle();
      (await events(at.ledger)).filter((event) => event.state === 'closed').length.should.equal(50);
    });
  });

  describe('the end of an event', () => {
    it('comes after the quiet time, not before', async () => {
      receive(at.ledger, 'payables-asked');
      await at.ledger.start();
      await ask('q1');
      await at.clock.advance(QUIET - 1000);
      (await eventState(at.ledger)).state.should.equal('open');
      await at.clock.advance(2000);
      (await eventState(at.ledger)).state.should.equal('closed');
    });

    it('a step begins the quiet time anew, and a step that takes longer than it holds the event open', async () => {
      receive(at.ledger, 'payables-asked');
      await at.ledger.start();
      await ask('q1');
      await at.clock.advance(QUIET - 1000);
      at.ledger.dispatcher.started('1');
      await at.clock.advance(5 * QUIET);
      (await eventState(at.ledger)).state.should.equal('open');
      at.ledger.dispatcher.ended('1');
      await at.clock.advance(QUIET - 1000);
      (await eventState(at.ledger)).state.should.equal('open');
      await at.clock.advance(2000);
      (await eventState(at.ledger)).state.should.equal('closed');
    });

    it('does not come right after the process stood still: its messages may still be on their way', async () => {
      const received = receive(at.ledger, 'payables-asked');
      await at.ledger.start();
      await ask('q1');
      await at.clock.advance(1000);
      received.length.should.equal(1);
      at.life.freeze();
      await at.clock.advance(2 * QUIET);
      at.life.thaw();
      await at.clock.advance(QUIET - 1000);
      (await eventState(at.ledger)).state.should.equal('open');
      await at.clock.advance(2000);
      (await eventState(at.ledger)).state.should.equal('closed');
    });

    it('does not come while an effect is unsettled', async () => {
      const partner = new FakePartner(at.clock);
      partner.faults = ['late'];
      partner.blind = 1;
      receive(at.ledger, 'payables-asked', (event) => {
        void runNode(at.ledger, event.id, () =>
          at.ledger.effects.operation(
            operationOf(event.id, 'PO-1', partner.write('probe', 'PO-1'), { settleTime: 10 * QUIET }),
          ),
        );
      });
      await at.ledger.start();
      await ask('q1');
      await at.clock.advance(9 * QUIET);
      (await eventState(at.ledger)).state.should.equal('open');
      await at.clock.advance(10 * QUIET);
      (await eventState(at.ledger)).state.should.equal('closed');
      partner.times('PO-1').should.equal(1);
    });

    it('a message that a foreign node held longer opens the event again, runs on, and is not repeated for it', async () => {
      const partner = new FakePartner(at.clock);
      let arrivals = 0;
      receive(at.ledger, 'payables-asked', (event) => {
        at.clock.after(2 * QUIET, () => {
          arrivals += 1;
          void runNode(at.ledger, event.id, () =>
            at.ledger.effects.operation(operationOf(event.id, 'PO-1', partner.write('probe', 'PO-1'))),
          );
        });
      });
      await at.ledger.start();
      await ask('q1');
      await at.clock.advance(2 * QUIET - 1000);
      (await eventState(at.ledger)).state.should.equal('closed');
      await at.clock.advance(2000);
      (await eventState(at.ledger)).state.should.equal('open');
      await at.clock.advance(20 * QUIET);
      (await eventState(at.ledger)).state.should.equal('closed');
      arrivals.should.equal(1);
      partner.times('PO-1').should.equal(1);
    });

    it('an event that was opened again survives the death of the process', async () => {
      const partner = new FakePartner(at.clock);
      let delay = 2 * QUIET;
      const begin = async () => {
        const { ledger } = at;
        await bindAll(ledger);
        receive(ledger, 'payables-asked', (event) => {
          at.clock.after(
            delay,
            () =>
              void runNode(ledger, event.id, () =>
                ledger.effects.operation(operationOf(event.id, 'PO-1', partner.write('probe', 'PO-1'))),
              ),
          );
        });
        await ledger.start();
      };
      await begin();
      await ask('q1');
      at.crashAt('after intend po-create create');
      await at.clock.advance(2 * QUIET + 1000);
      at.life.alive.should.be.false();
      delay = 0;
      await at.restart();
      await begin();
      await at.clock.advance(10 * QUIET);
      partner.times('PO-1').should.equal(1);
      (await eventState(at.ledger)).state.should.equal('closed');
    });

    it('a late message that must come back brings its closed event back', async () => {
      let waits = 0;
      receive(at.ledger, 'payables-asked', (event) => {
        at.clock.after(waits === 0 ? 2 * QUIET : 0, () => {
          void runNode(at.ledger, event.id, async () => {
            waits += 1;
            if (waits === 1) throw new Waiting(at.clock.now() + 5000, 'the purchase order is not in the ERP yet');
          });
        });
      });
      await at.ledger.start();
      await ask('q1');
      await at.clock.advance(6 * QUIET);
      waits.should.equal(2);
      (await eventState(at.ledger)).state.should.equal('closed');
    });

    it('an effect whose step has gone from the flow ends with a person, not with endless repetition', async () => {
      const partner = new FakePartner(at.clock);
      partner.faults = ['unreachable'];
      let hasStep = true;
      const received = receive(at.ledger, 'payables-asked', (event) => {
        if (hasStep)
          void runNode(at.ledger, event.id, () =>
            at.ledger.effects.operation(operationOf(event.id, 'PO-1', partner.write('probe', 'PO-1'))),
          );
      });
      await at.ledger.start();
      await ask('q1');
      await at.clock.settle();
      hasStep = false;
      await at.clock.advance(3_600_000);
      (await openCodes(at.ledger)).should.deepEqual(['EVENT_FAILS']);
      received.length.should.be.belowOrEqual(7);
    });
  });

  describe('branches of one event', () => {
    /** Two branches: `first` at once, `second` after `later`. */
    const branches = (
      later: number,
      first: (event: LedgerEvent) => Promise<unknown>,
      second: (event: LedgerEvent) => Promise<unknown>,
    ) =>
      receive(at.ledger, 'payables-asked', (event) => {
        void runNode(at.ledger, event.id, () => first(event));
        at.clock.after(later, () => void runNode(at.ledger, event.id, () => second(event)));
      });

    it('a branch that must come back does so although another one ends in between', async () => {
      let calls = 0;
      const received = branches(
        1000,
        async () => {
          calls += 1;
          if (calls === 1) throw new Waiting(at.clock.now() + 10 * QUIET, 'much later');
        },
        async () => undefined,
      );
      await at.ledger.start();
      await ask('q1');
      await at.clock.advance(9 * QUIET);
      (await eventState(at.ledger)).state.should.equal('open');
      await at.clock.advance(3 * QUIET);
      calls.should.equal(2);
      received.length.should.equal(2);
      (await eventState(at.ledger)).state.should.equal('closed');
    });

    it('the earlier of two times to come back counts', async () => {
      for (const [one, two] of [
        [5000, 100_000],
        [100_000, 5000],
      ] as const) {
        const begun = at.clock.now();
        const times: number[] = [];
        const waiting = (time: number) => async () => {
          if (times.length < 2) throw new Waiting(begun + time, 'later');
        };
        const received = receive(
          at.ledger,
          'payables-asked',
          (event) => {
            times.push(at.clock.now());
            void runNode(at.ledger, event.id, waiting(one));
            at.clock.after(1000, () => void runNode(at.ledger, event.id, waiting(two)));
          },
          'erp-main',
          'node',
        );
        await at.ledger.start();
        await ask(`q ${one}`);
        await at.clock.advance(3 * QUIET + 100_000);
        (times[1]! - begun).should.be.within(5000, 5600);
        received.length.should.equal(2);
      }
    });

    it('a failing branch is not forgotten because another one waits', async () => {
      const received = branches(
        10,
        async () => {
          throw new TypeError('broken');
        },
        async () => {
          throw new Waiting(at.clock.now() + 1000, 'waiting');
        },
      );
      await at.ledger.start();
      await ask('q1');
      await at.clock.advance(20 * 60_000);
      (await openCodes(at.ledger)).should.deepEqual(['EVENT_FAILS']);
      received.length.should.equal(5);
    });
  });

  describe('receivers', () => {
    it('an event without a receiver waits, visibly, and goes on when one comes', async () => {
      await at.ledger.start();
      await ask('q1');
      await at.clock.advance(10 * 60_000);
      const event = await eventState(at.ledger);
      [event.state, event.note, event.attempts, event.emitted].should.deepEqual(['open', 'no receiver', 0, 0]);
      const received = receive(at.ledger, 'payables-asked');
      await at.clock.settle();
      received.length.should.equal(1);
      await at.clock.advance(2 * QUIET);
      (await eventState(at.ledger)).state.should.equal('closed');
    });

    it('a receiver that comes while the database does not answer is served as soon as it does, not at the next look a minute later', async () => {
      await at.ledger.start();
      await ask('q1');
      await at.clock.advance(1000);
      at.failAt('before receiver');
      const received = receive(at.ledger, 'payables-asked');
      await at.clock.settle();
      received.length.should.equal(0);
      await at.clock.advance(1000);
      received.length.should.equal(1);
    });

    it('an event that an earlier process had no receiver for is emitted as soon as there is one', async () => {
      await at.ledger.start();
      await ask('q1');
      await at.clock.advance(1000);
      await at.ledger.dispatcher.close();
      await at.restart();
      await bindAll(at.ledger);
      const received = receive(at.ledger, 'payables-asked');
      await at.ledger.start();
      await at.clock.settle();
      received.length.should.equal(1);
    });

    it('the second receiver of a kind is refused until the first has gone', async () => {
      const nothing = () => undefined;
      const { dispatcher } = at.ledger;
      dispatcher.addReceiver('erp-main', 'bill', { id: 'a', emit: nothing }).should.be.true();
      dispatcher.addReceiver('erp-main', 'bill', { id: 'b', emit: nothing }).should.be.false();
      dispatcher.addReceiver('erp-main', 'bill', { id: 'a', emit: nothing }).should.be.true();
      dispatcher.removeReceiver('erp-main', 'bill', 'b');
      dispatcher.addReceiver('erp-main', 'bill', { id: 'b', emit: nothing }).should.be.false();
      dispatcher.removeReceiver('erp-main', 'bill', 'a');
      dispatcher.addReceiver('erp-main', 'bill', { id: 'b', emit: nothing }).should.be.true();
    });

    it('a receiver for one partner goes before the one for all', async () => {
      const all = receive(at.ledger, 'payables-asked');
      const one = receive(at.ledger, 'payables-asked', undefined, 'erp-main', 'node 2');
      await at.ledger.start();
      await ask('q1');
      await at.clock.settle();
      [all.length, one.length].should.deepEqual([0, 1]);
    });
  });

  describe('a deploy', () => {
    it('nothing is emitted while it lasts; what was in work is emitted again and that is no failed attempt', async () => {
      const received = receive(at.ledger, 'payables-asked');
      await at.ledger.start();
      await ask('q1');
      await at.clock.advance(1000);
      for (let deploy = 0; deploy < 10; deploy++) {
        at.ledger.dispatcher.pause();
        const before = received.length;
        await ask(`during ${deploy}`);
        await at.clock.advance(5 * QUIET);
        received.length.should.equal(before);
        await at.ledger.start();
        await at.clock.advance(1000);
        // What came during the deploy, and what was in work when it began.
        received.length.should.be.above(before + 1);
      }
      await at.clock.advance(3 * QUIET);
      (await events(at.ledger)).every((event) => event.state === 'closed').should.be.true();
      (await openCodes(at.ledger)).should.deepEqual([]);
    });

    it('an effect in flight is joined by the replay, not made twice, and both keep the event open', async () => {
      const partner = new FakePartner(at.clock);
      partner.latency = 3 * QUIET;
      receive(at.ledger, 'payables-asked', (event) => {
        void runNode(at.ledger, event.id, () =>
          at.ledger.effects.operation(operationOf(event.id, 'PO-1', partner.write('ask', 'PO-1'))),
        );
      });
      await at.ledger.start();
      await ask('q1');
      await at.clock.advance(1000);
      at.ledger.dispatcher.pause();
      await at.clock.advance(1000);
      await at.ledger.start();
      await at.clock.advance(2 * QUIET);
      (await eventState(at.ledger)).state.should.equal('open');
      await at.clock.advance(4 * QUIET);
      partner.requests.length.should.equal(1);
      (await eventState(at.ledger)).state.should.equal('closed');
      at.ledger.dispatcher.load().should.deepEqual({ inWork: 0, running: 0 });
    });

    it('a call of the old flow holds its event open even when the new flow has no such step', async () => {
      const partner = new FakePartner(at.clock);
      partner.latency = 4 * QUIET;
      let hasStep = true;
      const received = receive(at.ledger, 'payables-asked', (event) => {
        if (hasStep)
          void runNode(at.ledger, event.id, () =>
            at.ledger.effects.operation(operationOf(event.id, 'PO-1', partner.write('ask', 'PO-1'))),
          );
      });
      await at.ledger.start();
      await ask('q1');
      await at.clock.advance(1000);
      at.ledger.dispatcher.pause();
      hasStep = false;
      await at.ledger.start();
      await at.clock.advance(3 * QUIET);
      (await eventState(at.ledger)).state.should.equal('open');
      received.length.should.equal(2);
      await at.clock.advance(3 * QUIET);
      (await eventState(at.ledger)).state.should.equal('closed');
      received.length.should.equal(2);
    });

    /** Has something done in between: when the ledger has what a deploy gives back, and nobody here knows yet. */
    const afterGivingBack = (act: () => Promise<void>) => {
      const { core } = at.ledger;
      const transact = core.transact.bind(core);
      core.transact = async (name, work) => {
        const result = await transact(name, work);
        if (name === 'redeploy') await act();
        return result;
      };
    };

    it('an event that a late message opens again while it lasts is still closed', async () => {
      const partner = new FakePartner(at.clock);
      const received = receive(at.ledger, 'payables-asked');
      await at.ledger.start();
      await ask('q1');
      await at.clock.advance(2 * QUIET);
      (await eventState(at.ledger)).state.should.equal('closed');
      await ask('q2');
      await at.clock.advance(1000);
      afterGivingBack(async () => {
        await runNode(at.ledger, '1', () =>
          at.ledger.effects.operation(operationOf('1', 'PO-1', partner.write('probe', 'PO-1'))),
        );
        (await eventState(at.ledger)).should.have.properties({ state: 'open', due_at: null });
      });
      at.ledger.dispatcher.pause();
      await at.ledger.start();
      await at.clock.advance(3 * QUIET);
      (await events(at.ledger)).map(({ state }) => state).should.deepEqual(['closed', 'closed']);
      received.map(({ id }) => id).should.deepEqual(['1', '2', '2']);
      partner.requests.length.should.equal(1);
    });

    it('an event that the ledger alone holds to be in work is emitted again after it, and what is in work is left alone', async () => {
      const received = receive(at.ledger, 'payables-asked');
      await at.ledger.start();
      await ask('q1');
      await at.clock.advance(2 * QUIET);
      at.ledger.dispatcher.pause();
      // As a commit whose answer was lost would leave it.
      await within(at.ledger, () =>
        query(`UPDATE event SET state = 'open', due_at = NULL, owner = 'alone' WHERE id = 1`),
      );
      await at.ledger.start();
      await ask('q2');
      await at.clock.advance(5000);
      received.map(({ id }) => id).should.deepEqual(['1', '2', '1']);
      await at.clock.advance(2 * QUIET);
      (await events(at.ledger)).map(({ state }) => state).should.deepEqual(['closed', 'closed']);
    });

    it('that begins before the one before is over for the ledger still stops all emission', async () => {
      const received = receive(at.ledger, 'payables-asked');
      await at.ledger.start();
      await ask('q1');
      await at.clock.advance(1000);
      let deploys = 0;
      afterGivingBack(async () => {
        deploys += 1;
        if (deploys === 1) at.ledger.dispatcher.pause();
      });
      at.ledger.dispatcher.pause();
      await at.ledger.start();
      await at.clock.advance(5000);
      received.length.should.equal(1);
      await at.ledger.start();
      await at.clock.advance(1000);
      received.length.should.equal(2);
    });

    it('gives back a little at a time what may be thousands', async () => {
      Object.assign(at.ledger.core.settings, { maxEffects: 2000, batch: 2000 });
      const received = receive(at.ledger, 'payables-asked');
      await at.ledger.start();
      for (let number = 1; number <= 901; number++) await ask(`q${number}`);
      await at.clock.advance(1000);
      received.length.should.equal(901);
      let commits = 0;
      afterGivingBack(async () => {
        commits += 1;
      });
      at.ledger.dispatcher.pause();
      await at.ledger.start();
      commits.should.equal(5);
      await at.clock.advance(1000);
      received.length.should.equal(1802);
      (await events(at.ledger)).every(({ attempts }) => attempts === 1).should.be.true();
    });

    it('is over for the ledger even when the database did not answer at first', async () => {
      const received = receive(at.ledger, 'payables-asked');
      await at.ledger.start();
      await ask('q1');
      await at.clock.advance(1000);
      at.ledger.dispatcher.pause();
      at.failAt('before redeploy');
      await at.ledger.start();
      await at.clock.advance(5000);
      received.length.should.equal(2);
    });
  });

  it('a database that does not answer when an event is put back does not lose it', async () => {
    let calls = 0;
    receive(at.ledger, 'payables-asked', (event) => {
      void runNode(at.ledger, event.id, async () => {
        calls += 1;
        if (calls === 1) throw new Waiting(at.clock.now() + 1000, 'later');
      });
    });
    await at.ledger.start();
    at.failAt('before park');
    await ask('q1');
    await at.clock.advance(10_000);
    calls.should.equal(2);
  });

  it('what was claimed together with an event that could not be put back is emitted all the same', async () => {
    await at.ledger.bindPartner({ ...erp, reference: 'erp-2', baseUrl: 'https://erp-2.test' });
    const received = receive(at.ledger, 'payables-asked', undefined, 'erp-main');
    await fact(at.ledger, 'erp-2', 'payables-asked', 'nobody receives this', {});
    await ask('q');
    at.failAt('before put back');
    await at.ledger.start();
    await at.clock.advance(2 * QUIET);
    received.length.should.equal(1);
    (await eventState(at.ledger, '2')).state.should.equal('closed');
  });

  it('a ledger that could not start begins as if for the first time', async () => {
    const received = receive(at.ledger, 'payables-asked');
    await ask('q1');
    at.failAt('before recover');
    await should(at.ledger.start()).be.rejected();
    await at.ledger.start();
    await at.clock.advance(2 * QUIET);
    received.length.should.equal(1);
    (await eventState(at.ledger)).state.should.equal('closed');
  });

  it('never has more calls in work than it may, and works off all events', async () => {
    Object.assign(at.ledger.core.settings, { batch: 8, maxEffects: 20 });
    const partner = new FakePartner(at.clock);
    partner.latency = 700;
    let running = 0;
    let most = 0;
    receive(at.ledger, 'payables-asked', (event) => {
      void runNode(at.ledger, event.id, async () => {
        most = Math.max(most, ++running);
        await at.ledger.effects
          .operation(operationOf(event.id, `PO-${event.id}`, partner.write('probe', `PO-${event.id}`)))
          .finally(() => (running -= 1));
      });
    });
    await at.ledger.start();
    await Promise.all(Array.from({ length: 100 }, (_, index) => ask(`q${index}`)));
    await at.clock.advance(5 * 60_000);
    partner.done.size.should.equal(100);
    most.should.be.within(5, 20);
    (await events(at.ledger)).every((event) => event.state === 'closed').should.be.true();
  });

  it('an effect that a dead process was sending is settled after the restart, and its event closes', async () => {
    const partner = new FakePartner(at.clock);
    partner.faults = ['late'];
    partner.latency = 1000;
    const begin = async () => {
      const { ledger } = at;
      await bindAll(ledger);
      receive(
        ledger,
        'payables-asked',
        (event) =>
          void runNode(ledger, event.id, () =>
            ledger.effects.operation(operationOf(event.id, 'PO-1', partner.write('probe', 'PO-1'))),
          ),
      );
      await ledger.start();
    };
    await begin();
    await ask('q1');
    await at.clock.advance(500);
    await at.restart();
    await begin();
    await at.clock.advance(SETTLE_TIME + 3 * QUIET);
    partner.times('PO-1').should.equal(1);
    partner.requests.length.should.equal(1);
    (await eventState(at.ledger)).state.should.equal('closed');
    const [unsettled] = await at.ledger.transact('count', () =>
      query<{ n: number }>(`SELECT COUNT(*) AS n FROM effect WHERE state <> 'done'`),
    );
    should(unsettled?.n).equal(0);
  });
});
