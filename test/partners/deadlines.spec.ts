import should from 'should';
import { Deadlines, type Timed } from '../../partners/deadlines.ts';

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

describe('Deadlines on one timer', () => {
  /** Tells how late each was called, in the order of the calls. */
  function watched(deadlines: Deadlines) {
    const over: { name: string; late: number }[] = [];
    const add = (name: string, wait: number, then: () => void = () => undefined): Timed => {
      const timed = {
        deadline: performance.now() + wait,
        timedOut() {
          over.push({ name, late: performance.now() - timed.deadline });
          then();
        },
      };
      deadlines.add(timed);
      return timed;
    };
    return { over, add };
  }

  it('each is told once, not before its time, whatever the order in which they came', async () => {
    const { over, add } = watched(new Deadlines());
    add('third', 90);
    add('first', 20);
    add('second', 50);
    await pause(150);
    should(over.map(({ name }) => name)).eql(['first', 'second', 'third']);
    for (const { late } of over) should(late).be.within(0, 40);
  });

  it('who is taken out is not told, and the others are', async () => {
    const deadlines = new Deadlines();
    const { over, add } = watched(deadlines);
    const answered = add('answered', 20);
    add('late', 40);
    deadlines.delete(answered);
    await pause(90);
    should(over.map(({ name }) => name)).eql(['late']);
  });

  it('one that begins while others are told is told too', async () => {
    const { over, add } = watched(new Deadlines());
    add('first', 10, () => add('next', 10));
    add('last', 60);
    await pause(120);
    should(over.map(({ name }) => name)).eql(['first', 'next', 'last']);
  });

  it('those whose time was over while the process stood still are told at once', async () => {
    const { over, add } = watched(new Deadlines());
    add('a', 10);
    add('b', 30);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60);
    await pause(5);
    should(over.map(({ name }) => name)).eql(['a', 'b']);
  });

  it('one that lies further ahead than a timer reaches, or never comes, is not told now', async () => {
    const { over, add } = watched(new Deadlines());
    add('in 50 days', 50 * 86_400_000);
    add('never', Infinity);
    await pause(30);
    should(over).eql([]);
  });
});
