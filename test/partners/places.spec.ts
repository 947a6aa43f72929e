import should from 'should';
import { createPlaces } from '../../partners/places.ts';

describe('Places for calls', () => {
  it('go to who has waited longest, and who comes later does not overtake', async () => {
    const places = createPlaces({ places: 1, longestLine: 10, longestWait: 5000 });
    const order: number[] = [];
    should(places.take()).be.true();
    const waits = [1, 2, 3].map(async (number) => {
      should(await places.wait()).be.true();
      order.push(number);
      await new Promise(setImmediate);
      places.giveBack();
    });
    should(places.take()).be.false();
    should([places.running, places.waiting]).eql([1, 3]);
    places.giveBack();
    should(places.take()).be.false();
    await Promise.all(waits);
    should(order).eql([1, 2, 3]);
    should([places.running, places.waiting]).eql([0, 0]);
  });

  it('are refused to who finds a long line, waits too long, or is cancelled; the others move up', async () => {
    const places = createPlaces({ places: 1, longestLine: 2, longestWait: 30 });
    places.take();
    const abort = new AbortController();
    const cancelled = places.wait(abort.signal);
    const late = places.wait();
    should(await places.wait()).be.false();
    abort.abort();
    should(await cancelled).be.false();
    should(await late).be.false();
    should(await places.wait(abort.signal)).be.false();
    const next = places.wait();
    places.giveBack();
    should(await next).be.true();
    places.giveBack();
    should([places.running, places.waiting]).eql([0, 0]);
  });

  it('are not given to who was called after his time because the process stood still', async () => {
    const places = createPlaces({ places: 1, longestLine: 2, longestWait: 30 });
    places.take();
    const late = places.wait();
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60);
    places.giveBack();
    should(await late).be.false();
    should(places.take()).be.true();
  });
});
