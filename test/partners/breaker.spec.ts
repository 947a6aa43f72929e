import should from 'should';
import { createBreaker, type Breaker, type Outcome } from '../../partners/breaker.ts';

describe('The breaker of a partner', () => {
  let now: number;
  let random: number;
  let breaker: Breaker;

  beforeEach(() => {
    now = 1_800_000_000_000;
    random = 0;
    breaker = createBreaker({ now: () => now, random: () => random });
  });

  function begin(): (outcome: Outcome) => void {
    const entry = breaker.enter();
    if ('refusal' in entry) throw new Error(`refused for ${entry.refusal} ms`);
    return entry.ended;
  }

  function fail(times = 1): void {
    for (let call = 0; call < times; call += 1) begin()({ is: 'down' });
  }

  const pauseLength = () => (breaker.until() ?? now) - now;

  it('opens at the fifth failure in a row; a success, however late, begins a new row', () => {
    fail(4);
    begin()({ is: 'up' });
    fail(4);
    should(breaker.until()).equal(undefined);
    fail();
    should(pauseLength()).equal(500);
  });

  it('calls that we cancelled count neither way', () => {
    fail(4);
    begin()({ is: 'unknown' });
    fail();
    should(pauseLength()).equal(500);
  });

  it('failures that lie far apart are no row', () => {
    for (let call = 0; call < 20; call += 1) {
      fail();
      now += 300_001;
    }
    should(breaker.until()).equal(undefined);
  });

  it('pauses for a second, doubling to a minute while the trials fail, each with a share of chance', () => {
    for (const chance of [0, 0.5, 0.999]) {
      breaker = createBreaker({ now: () => now, random: () => chance });
      fail(5);
      const lengths = [pauseLength()];
      for (let trial = 0; trial < 9; trial += 1) {
        now = breaker.until()!;
        fail();
        lengths.push(pauseLength());
      }
      const full = [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000, 60_000];
      should(lengths).eql(full.map((length) => Math.round(length * (0.5 + chance / 2))));
    }
  });

  it('after the partner was there again it begins with a second anew', () => {
    fail(5);
    for (let trial = 0; trial < 4; trial += 1) {
      now = breaker.until()!;
      fail();
    }
    should(pauseLength()).equal(8000);
    now = breaker.until()!;
    begin()({ is: 'up' });
    fail(5);
    should(pauseLength()).equal(500);
  });

  it('tells refused calls to come back after the pause, and not all at once', () => {
    fail(5);
    const answers = [0, 0.25, 0.5, 1].map((chance) => {
      random = chance;
      return breaker.refusal();
    });
    should(answers).eql([500, 563, 625, 750]);
  });

  it('lets one call try; who comes meanwhile waits as long as the pause was', () => {
    fail(5);
    now += 500;
    should(breaker.refusal()).equal(undefined);
    const trial = begin();
    should(breaker.refusal()).equal(500);
    should(breaker.until()).equal(now);
    trial({ is: 'up' });
    should(breaker.refusal()).equal(undefined);
    should(breaker.until()).equal(undefined);
  });

  it('lets the next call try when the trial was cancelled', () => {
    fail(5);
    now += 500;
    begin()({ is: 'unknown' });
    begin()({ is: 'up' });
    should(breaker.until()).equal(undefined);
  });

  it('what was under way when it opened does not lengthen the pause, and an answer to it ends it', () => {
    const underWay = Array.from({ length: 16 }, begin);
    for (const ended of underWay.slice(0, 15)) ended({ is: 'down' });
    should(pauseLength()).equal(500);
    underWay[15]!({ is: 'up' });
    should(breaker.until()).equal(undefined);
  });

  it('each call tells its end once', () => {
    const ended = begin();
    for (let again = 0; again < 9; again += 1) ended({ is: 'down' });
    should(breaker.until()).equal(undefined);
  });

  it('keeps to a pause that the partner asks for, the longest one, whatever calls from before bring', () => {
    const underWay = Array.from({ length: 9 }, begin);
    underWay[0]!({ is: 'up', pause: 30_000 });
    underWay[1]!({ is: 'up', pause: 10_000 });
    for (const ended of underWay.slice(2, 8)) ended({ is: 'down' });
    underWay[8]!({ is: 'up' });
    should(pauseLength()).equal(30_000);
    now += 30_000;
    const trial = begin();
    should(breaker.refusal()).be.a.Number();
    trial({ is: 'down', pause: 5000 });
    should(pauseLength()).equal(5000);
  });

  it('spreads by 15 seconds at most, and asks nobody to come back later than that after a long pause', () => {
    begin()({ is: 'up', pause: 3_600_000 });
    random = 1;
    should(breaker.refusal()).equal(3_615_000);
    now += 3_600_000;
    begin();
    should(breaker.refusal()).equal(75_000);
  });

  it('can be told that the partner is there', () => {
    fail(5);
    breaker.resume();
    should(breaker.refusal()).equal(undefined);
  });
});
