import should from 'should';
import { expectStep, raiseMissed, stepCame } from '../../ledger/deadlines.ts';
import { getDocument, putDocument } from '../../ledger/documents.ts';
import { expectPayment } from '../../ledger/payments.ts';
import { query } from '../../ledger/store.ts';
import type { Bill } from '../../orders/bill.ts';
import { markSent } from '../../orders/purchase-order.ts';
import { order, purchaseOrder } from '../orders/samples.ts';
import { bench, bindAll, exceptionOf, fact, openCodes, receive, within, START, type Bench } from './harness.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

describe('business deadlines', () => {
  let at: Bench;
  beforeEach(async () => {
    at = await bench();
    await bindAll(at.ledger);
    for (const kind of ['order', 'shipment', 'acknowledgement', 'cancellation']) receive(at.ledger, kind);
  });
  afterEach(() => at.close());

  /** Nothing happens for days. */
  const later = async (milliseconds: number) => {
    await at.clock.advance(2000);
    at.clock.time += milliseconds;
    await at.clock.advance(2000);
  };

  it('a step that comes in time raises nothing', async () => {
    await at.ledger.start();
    await within(at.ledger, () => expectStep('send PO-1', 'PO-1 has not been sent.', START + HOUR, 'o'));
    await at.clock.advance(HOUR - 1000);
    await within(at.ledger, () => stepCame('send PO-1', at.clock.now()));
    await at.clock.advance(HOUR);
    (await openCodes(at.ledger)).should.deepEqual([]);
  });

  it('a step that does not come is told once, names the step, and is settled when it comes after all', async () => {
    await at.ledger.start();
    await within(at.ledger, () => expectStep('send PO-1', 'PO-1 has not been sent.', START + HOUR, 'o'));
    await at.clock.advance(3 * HOUR);
    (await openCodes(at.ledger)).should.deepEqual(['NOT_PROGRESSING']);
    (await exceptionOf(at.ledger, 'NOT_PROGRESSING')).message.should.match(/^PO-1 has not been sent\./);
    (await within(at.ledger, () => raiseMissed(at.clock.now()))).should.equal(0);
    await within(at.ledger, () => stepCame('send PO-1', at.clock.now()));
    (await openCodes(at.ledger)).should.deepEqual([]);
  });

  it('thousands that are missed at once are all told, a part of them in each transaction', async () => {
    await within(at.ledger, function* () {
      for (let number = 0; number < 1050; number++)
        yield* expectStep(`send PO-${number}`, 'It has not been sent.', START + HOUR + number, 'o');
    });
    (await within(at.ledger, () => raiseMissed(START + 2 * HOUR))).should.equal(100);
    (
      await within(at.ledger, () =>
        query(`SELECT key FROM deadline WHERE missed = 1 AND due_at >= ?`, START + HOUR + 100),
      )
    ).length.should.equal(0);
    await at.ledger.start();
    await later(2 * HOUR);
    (await within(at.ledger, () => query(`SELECT id FROM exception WHERE state = 'open'`))).length.should.equal(1050);
  });

  it('survives a restart', async () => {
    await within(at.ledger, () => expectStep('send PO-1', 'PO-1 has not been sent.', START + HOUR));
    await at.restart();
    at.clock.time += 2 * HOUR;
    await at.ledger.start();
    await at.clock.advance(1000);
    (await openCodes(at.ledger)).should.deepEqual(['NOT_PROGRESSING']);
  });

  it('expecting a step again does not put it off', async () => {
    await within(at.ledger, () => expectStep('send PO-1', 'first', START + HOUR));
    await within(at.ledger, () => expectStep('send PO-1', 'second', START + 5 * HOUR));
    await at.ledger.start();
    await at.clock.advance(2 * HOUR);
    (await exceptionOf(at.ledger, 'NOT_PROGRESSING')).message.should.match(/^first/);
  });

  it('an order that the flow drops is told, unless it is cancelled first', async () => {
    await at.ledger.start();
    await fact(at.ledger, 'shop-nz', 'order', 'order:1', { order: order() });
    await at.clock.advance(16 * 60_000);
    (await openCodes(at.ledger)).should.deepEqual(['NOT_PROGRESSING']);
    await fact(at.ledger, 'shop-nz', 'order', 'order:1@2', {
      order: order({ changedAt: '2026-11-02T11:00:00Z' }),
      cancelled: true,
    });
    await at.clock.advance(16 * 60_000);
    (await openCodes(at.ledger)).should.deepEqual([]);
  });

  for (const [kind, body] of [
    [
      'acknowledgement',
      {
        lines: [
          { line: '1', sku: 'RED', quantity: '3', status: 'accepted' },
          { line: '2', sku: 'WHITE', quantity: '5', status: 'accepted' },
        ],
      },
    ],
    ['cancellation', { accepted: true, lines: [] }],
    ['shipment', { parcels: [], lines: [{ line: '1', sku: 'RED', quantity: '3' }] }],
  ] as const) {
    it(`a supplier that answers with a ${kind} has the purchase order: nobody waits for it to be sent or acknowledged`, async () => {
      await at.ledger.start();
      await within(at.ledger, function* () {
        yield* putDocument(order(), START, 'taken');
        yield* putDocument(purchaseOrder({ state: 'allocated' }), START);
        yield* expectStep('send shop-nz-1001-1', 'not sent', START + HOUR, 'shop-nz-1001');
        yield* expectStep('acknowledge shop-nz-1001-1', 'not acknowledged', START + HOUR, 'shop-nz-1001');
      });
      await fact(at.ledger, 'vineyard', kind, `${kind}:1`, {
        kind,
        number: 'D1',
        purchaseOrder: 'shop-nz-1001-1',
        at: '2026-11-02T12:00:00Z',
        ...body,
      });
      await at.clock.settle();
      await within(at.ledger, function* () {
        yield* stepCame('tell shop vineyard/D1', START);
      });
      await at.clock.advance(2 * HOUR);
      (await openCodes(at.ledger)).should.deepEqual([]);
    });
  }

  it('a shipment that is not told to the shop is told to people', async () => {
    await at.ledger.start();
    await within(at.ledger, function* () {
      yield* putDocument(order(), START, 'taken');
      yield* putDocument(markSent(purchaseOrder(), { at: '2026-11-02T10:02:00Z' }), START);
    });
    await fact(at.ledger, 'vineyard', 'shipment', 's', {
      kind: 'shipment',
      number: 'S1',
      purchaseOrder: 'shop-nz-1001-1',
      at: '2026-11-02T12:00:00Z',
      parcels: [],
      lines: [{ line: '1', sku: 'RED', quantity: '3' }],
    });
    await at.clock.advance(HOUR + 2000);
    (await exceptionOf(at.ledger, 'NOT_PROGRESSING')).message.should.match(
      /Shipment vineyard\/S1 has not been told to the shop/,
    );
    should((await within(at.ledger, () => getDocument('shipment', 'vineyard/S1')))?.number).equal('S1');
  });

  it('an acknowledged purchase order that does not ship, and one that is not billed, are told', async () => {
    await at.ledger.start();
    await within(at.ledger, function* () {
      yield* putDocument(order(), START, 'taken');
      yield* putDocument(markSent(purchaseOrder(), { at: '2026-11-02T10:02:00Z' }), START);
    });
    const of = { purchaseOrder: 'shop-nz-1001-1', at: '2026-11-02T12:00:00Z' };
    const accepted = purchaseOrder().lines.map(({ id, sku, quantity }) => ({
      line: id,
      sku,
      quantity,
      status: 'accepted',
    }));
    await fact(at.ledger, 'vineyard', 'acknowledgement', 'a', {
      ...of,
      kind: 'acknowledgement',
      number: 'A1',
      lines: accepted,
    });
    await later(11 * DAY);
    (await exceptionOf(at.ledger, 'NOT_PROGRESSING')).message.should.match(
      /^vineyard has not shipped all of purchase order shop-nz-1001-1/,
    );
    const lines = accepted.map(({ line, sku, quantity }) => ({ line, sku, quantity }));
    await fact(at.ledger, 'vineyard', 'shipment', 's', { ...of, kind: 'shipment', number: 'S1', parcels: [], lines });
    await within(at.ledger, () => stepCame('tell shop vineyard/S1', START));
    await at.clock.settle();
    (await openCodes(at.ledger)).should.deepEqual([]);
    await later(31 * DAY);
    (await exceptionOf(at.ledger, 'NOT_PROGRESSING')).message.should.match(
      /^vineyard has not billed purchase order shop-nz-1001-1/,
    );
  });

  it('a bill that is in no payment run is told before it is due, where payments are made from here', async () => {
    await at.ledger.start();
    const bill = { id: 'vineyard/B1', orderId: 'o', dueAt: new Date(START + 10 * DAY).toISOString() } as Bill;
    await within(at.ledger, () => query(`DELETE FROM partner WHERE role = 'bank'`));
    await within(at.ledger, () => expectPayment(at.ledger.core, { ...bill, id: 'vineyard/B0' }));
    await within(at.ledger, () =>
      query(
        `INSERT INTO partner (reference, role, product, base_url, bound_at) VALUES ('a-bank', 'bank', 'p', 'u', 0)`,
      ),
    );
    await within(at.ledger, () => expectPayment(at.ledger.core, bill));
    await later(6 * DAY);
    (await openCodes(at.ledger)).should.deepEqual([]);
    await later(2 * DAY);
    (await exceptionOf(at.ledger, 'NOT_PROGRESSING')).message.should.match(/^Bill vineyard\/B1 is due soon/);
    (await openCodes(at.ledger)).should.have.length(1);
  });

  it('one that is tried again has the order told to the flow once more, and is told again should that not help', async () => {
    const emitted = receive(at.ledger, 'order');
    await at.ledger.start();
    await fact(at.ledger, 'shop-nz', 'order', 'order:1', { order: order() });
    await at.clock.advance(16 * 60_000);
    const before = emitted.length;
    before.should.be.above(0);
    await at.ledger.retryException((await exceptionOf(at.ledger, 'NOT_PROGRESSING')).id, 'alice');
    await at.clock.advance(60_000);
    emitted.length.should.equal(before + 1);
    (await openCodes(at.ledger)).should.deepEqual([]);
    await at.clock.advance(16 * 60_000);
    (await openCodes(at.ledger)).should.deepEqual(['NOT_PROGRESSING']);
  });
});
