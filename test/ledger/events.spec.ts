import should from 'should';
import { getEvent } from '../../ledger/events.ts';
import { query } from '../../ledger/store.ts';
import { bench, bindAll, events, fact, receive, within, type Bench } from './harness.ts';

describe('inbound events', () => {
  let at: Bench;
  beforeEach(async () => {
    at = await bench();
    await bindAll(at.ledger);
  });
  afterEach(() => at.close());

  it('a fact is durable before the sender is answered, with its raw body', async () => {
    await at.ledger.store(
      'erp-main',
      [{ kind: 'payables-asked', dedupeKey: 'q1', body: { question: '1' } }],
      '{"question": "1"}',
    );
    await at.restart();
    const [row] = await within(at.ledger, () =>
      query<{ raw: string; body: string; state: string }>(`SELECT raw, body, state FROM event`),
    );
    ({ ...row }).should.deepEqual({ raw: '{"question": "1"}', body: '{"question":"1"}', state: 'stored' });
  });

  it('nothing is emitted before the flows run', async () => {
    const received = receive(at.ledger, 'payables-asked');
    await fact(at.ledger, 'erp-main', 'payables-asked', 'q1', {});
    await at.clock.advance(120_000);
    received.length.should.equal(0);
    await at.ledger.start();
    await at.clock.advance(1000);
    received.length.should.equal(1);
  });

  it('a repeat of the same fact is answered as such and goes no further, whatever the order of its fields', async () => {
    const first = await fact(at.ledger, 'erp-main', 'payables-asked', 'q1', { a: 1, b: [{ c: 2, d: 3 }] });
    const second = await fact(at.ledger, 'erp-main', 'payables-asked', 'q1', { b: [{ d: 3, c: 2 }], a: 1 });
    first.should.deepEqual({ stored: 1, repeated: 0 });
    second.should.deepEqual({ stored: 0, repeated: 1 });
    (await events(at.ledger)).length.should.equal(1);
  });

  it('the same key with another content is kept beside the first, once, however often each is repeated', async () => {
    for (let round = 0; round < 3; round++) {
      for (const amount of [1, 2, 3]) await fact(at.ledger, 'erp-main', 'payables-asked', 'q1', { amount });
    }
    const rows = await within(at.ledger, () => query<{ id: number }>(`SELECT id FROM event ORDER BY id`));
    const kept = await Promise.all(rows.map(({ id }) => within(at.ledger, () => getEvent(String(id)))));
    kept.map((event) => (event!.body as { amount: number }).amount).should.deepEqual([1, 2, 3]);
  });

  it('of fifty simultaneous deliveries of one fact one is stored', async () => {
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => fact(at.ledger, 'erp-main', 'payables-asked', 'q1', { a: 1 })),
    );
    answers.reduce((sum, answer) => sum + answer.stored, 0).should.equal(1);
    answers.reduce((sum, answer) => sum + answer.repeated, 0).should.equal(49);
    (await events(at.ledger)).length.should.equal(1);
  });

  it('the same key of two partners is two facts', async () => {
    await fact(at.ledger, 'vineyard', 'shipment', 'shipment:1', {});
    await fact(at.ledger, 'cellar', 'shipment', 'shipment:1', {});
    (await events(at.ledger)).length.should.equal(2);
  });

  it('facts of one request are stored together or not at all', async () => {
    const circular: Record<string, unknown> = {};
    const deep: unknown[] = [];
    circular['self'] = {
      toJSON: () => {
        throw new Error('no JSON');
      },
    };
    await should(
      at.ledger.store('erp-main', [
        { kind: 'payables-asked', dedupeKey: 'a', body: deep },
        { kind: 'payables-asked', dedupeKey: 'b', body: circular },
      ]),
    ).be.rejected();
    (await events(at.ledger)).length.should.equal(0);
  });
});
