import should from 'should';
import { documentsOf, documentState, getDocument, putDocument } from '../../ledger/documents.ts';
import type { Emit } from '../../ledger/events.ts';
import { hurryWaiting } from '../../ledger/events.ts';
import { query } from '../../ledger/store.ts';
import { takeStock } from '../../ledger/allocations.ts';
import type { Order } from '../../orders/order.ts';
import { markSent, type PurchaseOrder } from '../../orders/purchase-order.ts';
import { order, purchaseOrder } from '../orders/samples.ts';
import {
  bench,
  bindAll,
  eventState,
  events,
  exceptionOf,
  fact,
  openCodes,
  receive,
  shop,
  within,
  START,
  type Bench,
} from './harness.ts';

const HOUR = 3_600_000;
const at10 = (minutes: number) => new Date(Date.UTC(2026, 10, 2, 10, minutes)).toISOString();

describe('judging what comes in', () => {
  let at: Bench;
  let emitted: { kind: string; outcome: string; payload: Record<string, unknown> }[];

  beforeEach(async () => {
    at = await bench();
    emitted = [];
    await bindAll(at.ledger);
    for (const kind of ['order', 'acknowledgement', 'shipment', 'bill', 'cancellation']) {
      receive(at.ledger, kind, (event, emits: Emit[]) =>
        emits.forEach((emit) => emitted.push({ kind: event.kind, outcome: emit.outcome, payload: emit.payload })),
      );
    }
    await at.ledger.start();
  });
  afterEach(() => at.close());

  const outcomes = () => emitted.map((each) => each.outcome);
  const note = async (id: string) => (await eventState(at.ledger, id)).note;

  describe('orders', () => {
    let count = 0;
    const news = async (changes: Partial<Order>, life: { paid?: boolean; cancelled?: boolean } = {}) => {
      await fact(at.ledger, 'shop-nz', 'order', `order:1001@${(count += 1)}`, { order: order(changes), ...life });
      await at.clock.settle();
    };
    const known = () => within(at.ledger, () => getDocument('order', 'shop-nz-1001'));
    const state = () => within(at.ledger, () => documentState('order', 'shop-nz-1001'));

    it('a paid order is taken once, however often the shop tells of it', async () => {
      await news({});
      await news({ changedAt: at10(5) });
      await news({ changedAt: at10(1), note: 'ring twice' });
      outcomes().should.deepEqual(['placed']);
      should(await state()).equal('taken');
    });

    it('an unpaid order waits until the shop says that it is paid', async () => {
      await news({}, { paid: false });
      outcomes().should.deepEqual([]);
      should(await known()).be.undefined();
      await news({ changedAt: at10(1) });
      outcomes().should.deepEqual(['placed']);
    });

    it('an unpaid order is taken at once from a shop of which that was chosen', async () => {
      await at.ledger.partners.bind({ ...shop, takeWhen: 'placed' });
      await news({}, { paid: false });
      outcomes().should.deepEqual(['placed']);
    });

    it('late news of an earlier state changes nothing', async () => {
      await news({ changedAt: at10(9) });
      await news({ changedAt: at10(1), shipTo: { ...order().shipTo, street: 'Old street 1' } });
      await news({ changedAt: at10(0) }, { paid: false });
      await news({ changedAt: at10(2) }, { cancelled: true });
      outcomes().should.deepEqual(['placed']);
      should(await state()).equal('taken');
    });

    it('an address that was changed and changed back does not come back by a late message', async () => {
      await news({ changedAt: at10(1) });
      await news({ changedAt: at10(3) });
      await news({ changedAt: at10(2), shipTo: { ...order().shipTo, street: 'Somewhere else 1' } });
      outcomes().should.deepEqual(['placed']);
      (await known())!.shipTo.street.should.equal('Kaigasse 4');
    });

    it('an order whose cancellation overtook it is not taken', async () => {
      await news({ changedAt: at10(5) }, { cancelled: true });
      await news({ changedAt: at10(0) });
      outcomes().should.deepEqual([]);
      should(await state()).equal('cancelled');
    });

    it('a change before anything was done for it is passed on with its revision', async () => {
      await news({});
      await news({ changedAt: at10(1), lines: [{ ...order().lines[0]!, quantity: '2' }] });
      outcomes().should.deepEqual(['placed', 'changed']);
      should((await known())?.revision).equal(1);
    });

    it('a change after something was done is for a person, and the order stays as it was', async () => {
      await news({});
      await at.ledger.effects.once({
        eventId: '1',
        orderId: 'shop-nz-1001',
        kind: 'allocate',
        document: 'shop-nz-1001/1',
        content: 1,
        *decide() {
          return 1;
        },
      });
      await news({ changedAt: at10(1), lines: [{ ...order().lines[0]!, quantity: '2' }] });
      outcomes().should.deepEqual(['placed']);
      (await openCodes(at.ledger)).should.deepEqual(['ORDER_CHANGED']);
      (await known())!.lines[0]!.quantity.should.equal('3');
    });

    it('a cancellation is passed on once, and nothing after it counts', async () => {
      await news({});
      await news({ changedAt: at10(1) }, { cancelled: true });
      await news({ changedAt: at10(1) }, { cancelled: true });
      await news({ changedAt: at10(2), lines: [{ ...order().lines[0]!, quantity: '2' }] });
      outcomes().should.deepEqual(['placed', 'cancelled']);
      should(await state()).equal('cancelled');
    });

    it('an order that nobody could deliver is for a person, and is taken when they have mended it', async () => {
      let broken = true;
      await at.ledger.partners.bind({
        ...shop,
        readOrder: () => ({ order: order(broken ? { lines: [] } : {}), paid: true, cancelled: false }),
      });
      await news({});
      (await openCodes(at.ledger)).should.deepEqual(['ORDER_WITHOUT_LINES']);
      (await eventState(at.ledger)).state.should.equal('unusable');
      should(await known()).be.undefined();
      const { id } = await exceptionOf(at.ledger, 'ORDER_WITHOUT_LINES');
      await at.ledger.retryException(id, 'jo');
      await at.clock.settle();
      (await openCodes(at.ledger)).should.deepEqual(['ORDER_WITHOUT_LINES']);
      broken = false;
      await at.ledger.retryException(id, 'jo');
      await at.clock.settle();
      outcomes().should.deepEqual(['placed']);
      (await openCodes(at.ledger)).should.deepEqual([]);
    });

    it('an order of a shop that is not configured any more waits for it', async () => {
      at.ledger.partners.unbind(at.ledger.partners.get('shop-nz')!);
      await news({});
      (await eventState(at.ledger)).state.should.equal('waiting');
      await at.ledger.partners.bind(shop);
      await at.clock.advance(31_000);
      outcomes().should.deepEqual(['placed']);
    });
  });

  describe("suppliers' documents", () => {
    const PO = 'shop-nz-1001-1';
    const place = async (changes: Partial<PurchaseOrder> = {}) => {
      const po = purchaseOrder(changes);
      await within(at.ledger, function* () {
        yield* putDocument(order(), START, 'taken');
        yield* putDocument(po, START);
        yield* takeStock(po, START);
        yield* hurryWaiting(at.ledger.core, po.orderId, START);
      });
    };
    const po = async (id = PO) => (await within(at.ledger, () => getDocument('purchase-order', id)))!;
    const from = async (supplier: string, kind: string, number: string, body: object, key = `${kind}:${number}`) => {
      await fact(at.ledger, supplier, kind, key, { kind, number, purchaseOrder: PO, at: at10(30), ...body });
      await at.clock.settle();
    };
    const ack = (number: string, lines: object[], more: object = {}) =>
      from('vineyard', 'acknowledgement', number, { lines, ...more });
    const ship = (number: string, lines: object[], more: object = {}) =>
      from('vineyard', 'shipment', number, {
        lines,
        parcels: [{ carrier: 'post', trackingNumber: `T-${number}` }],
        ...more,
      });
    const cancel = (number: string, accepted: boolean, lines: object[] = []) =>
      from('vineyard', 'cancellation', number, { accepted, lines });
    const bill = (number: string, red: string) =>
      from('vineyard', 'bill', number, {
        currency: 'EUR',
        lines: [{ line: '1', sku: 'RED', quantity: red, unitCost: '8.10' }],
        total: '1.00',
      });
    const red = (quantity: string, more: object = {}) => ({ line: '1', sku: 'RED', quantity, ...more });
    const white = (quantity: string, more: object = {}) => ({ line: '2', sku: 'WHITE', quantity, ...more });
    const allocated = async () =>
      (
        await within(at.ledger, () =>
          query<{ line: string; quantity: string }>(`SELECT line, quantity FROM allocated ORDER BY line`),
        )
      ).map((row) => `${row.line}:${row.quantity}`);

    it('an acknowledgement that accepts all is told once', async () => {
      await place();
      const lines = [red('3', { status: 'accepted' }), white('5', { status: 'accepted' })];
      await ack('A1', lines);
      await ack('A1', lines);
      outcomes().should.deepEqual(['acknowledged']);
      (await po()).state.should.equal('acknowledged');
    });

    it('lines that are rejected or back-ordered are freed, apart from those that are accepted, and their stock is free again', async () => {
      await place();
      await ack('A1', [red('3', { status: 'accepted' }), white('5', { status: 'rejected', reason: 'sold out' })]);
      outcomes().should.deepEqual(['acknowledged', 'freed']);
      emitted[0]!.payload['lines']!.should.have.length(1);
      emitted[1]!.payload.should.containDeep({
        type: 'order-lines',
        purchaseOrder: PO,
        freedBy: 'acknowledgement vineyard/A1',
        lines: [{ sku: 'WHITE', quantity: '5' }],
        reason: 'sold out',
      });
      (await allocated()).should.deepEqual(['1:3']);
      (await po()).revision.should.equal(1);
    });

    it('a document before our own record of the purchase order waits and counts once it is there', async () => {
      await ack('A1', [red('3', { status: 'accepted' }), white('5', { status: 'accepted' })]);
      await ship('S1', [red('3')]);
      (await events(at.ledger)).map((event) => event.state).should.deepEqual(['waiting', 'waiting']);
      await place();
      at.ledger.dispatcher.wake();
      await at.clock.settle();
      outcomes().should.deepEqual(['acknowledged', 'shipped']);
      (await openCodes(at.ledger)).should.deepEqual([]);
    });

    it('a shipment before its acknowledgement counts, and the acknowledgement after it does no harm', async () => {
      await place();
      await ship('S1', [red('3'), white('5')]);
      await ack('A1', [red('3', { status: 'accepted' }), white('5', { status: 'rejected' })]);
      const after = await po();
      after.state.should.equal('shipped');
      after.lines.map((line) => line.freed).should.deepEqual(['0', '0']);
      outcomes()
        .filter((outcome) => outcome === 'freed')
        .should.deepEqual([]);
      (await openCodes(at.ledger)).should.deepEqual(['ACKNOWLEDGEMENT_DIFFERS']);
    });

    it('an answer does not take our own later record of sending back', async () => {
      await place({ state: 'allocated' });
      await ship('S1', [red('3')]);
      await within(at.ledger, function* () {
        const known = yield* getDocument('purchase-order', PO);
        yield* putDocument(markSent(known!, { at: at10(40) }), START);
      });
      (await po()).state.should.equal('partly-shipped');
    });

    it('a shipment that is told twice is shipped once, and more than was ordered is for a person', async () => {
      await place();
      await ship('S1', [red('2')]);
      await ship('S1', [red('2')]);
      await ship('S2', [red('2')]);
      outcomes().should.deepEqual(['shipped']);
      (await po()).lines[0]!.shipped.should.equal('2');
      (await openCodes(at.ledger)).should.deepEqual(['SHIPPED_MORE_THAN_ORDERED']);
      should(await within(at.ledger, () => documentState('shipment', 'vineyard/S2'))).be.undefined();
    });

    it('another document under a number that was used before is for a person; the first one counts', async () => {
      await place();
      await ship('S1', [red('2')]);
      await ship('S1', [red('3')]);
      outcomes().should.deepEqual(['shipped']);
      (await openCodes(at.ledger)).should.deepEqual(['DOCUMENT_CONFLICT']);
      (await po()).lines[0]!.shipped.should.equal('2');
    });

    it("another supplier's purchase order is answered exactly as one that does not exist", async () => {
      await place();
      const body = { lines: [red('3')], parcels: [] };
      await from('cellar', 'shipment', 'S1', body);
      await from('cellar', 'shipment', 'S2', { ...body, purchaseOrder: 'shop-nz-9999-1' });
      await at.clock.advance(HOUR + 60_000);
      const states = await events(at.ledger);
      states.map((event) => event.state).should.deepEqual(['unusable', 'unusable']);
      (await openCodes(at.ledger)).should.deepEqual(['PO_UNKNOWN', 'PO_UNKNOWN']);
      (await po()).lines[0]!.shipped.should.equal('0');
      const history = await within(at.ledger, () =>
        query<{ n: number }>(`SELECT COUNT(*) AS n FROM history WHERE order_id = 'shop-nz-1001'`),
      );
      Number(history[0]!.n).should.equal(0);
    });

    it('a line that the purchase order does not have is for a person, and nothing is counted', async () => {
      await place();
      await ship('S1', [{ sku: 'GREEN', quantity: '1' }, red('1')]);
      (await openCodes(at.ledger)).should.deepEqual(['LINE_UNKNOWN']);
      (await po()).lines[0]!.shipped.should.equal('0');
    });

    it('a bill before its ship notice waits for it, but not for ever', async () => {
      await place();
      await bill('B1', '3');
      (await eventState(at.ledger)).note!.should.match(/before its ship notice/);
      await ship('S1', [red('3')]);
      outcomes().should.deepEqual(['shipped', 'billed']);
      await from('vineyard', 'bill', 'B2', {
        currency: 'EUR',
        lines: [{ line: '2', sku: 'WHITE', quantity: '5', unitCost: '6.00' }],
        total: '30.00',
      });
      await at.clock.advance(HOUR + 60_000);
      outcomes().should.deepEqual(['shipped', 'billed', 'billed']);
    });

    it('a bill with an amount that is none is for a person', async () => {
      await place();
      await from('vineyard', 'bill', 'B1', {
        currency: 'EUR',
        lines: [{ line: '1', sku: 'RED', quantity: '1', unitCost: '8.1051' }],
        total: '1.00',
      });
      (await openCodes(at.ledger)).should.deepEqual(['AMOUNT_INVALID']);
    });

    it('an accepted cancellation frees what has not shipped and its stock; a refused one changes nothing', async () => {
      await place();
      await cancel('C1', false);
      (await po()).state.should.equal('sent');
      await ship('S1', [red('3')]);
      await cancel('C2', true);
      outcomes().should.deepEqual(['cancelled', 'shipped', 'cancelled']);
      (await po()).lines.map((line) => line.freed).should.deepEqual(['0', '5']);
      (await allocated()).should.deepEqual(['1:3']);
    });

    it('a cancellation of what has shipped is for a person; judged again it says the same', async () => {
      await place();
      await ship('S1', [red('3')]);
      await cancel('C1', true, [red('3')]);
      const { id } = await exceptionOf(at.ledger, 'CANCELLED_AFTER_SHIPPING');
      await at.ledger.retryException(id, 'jo');
      await at.clock.settle();
      (await openCodes(at.ledger)).should.deepEqual(['CANCELLED_AFTER_SHIPPING']);
      (await note('2'))!.should.equal('CANCELLED_AFTER_SHIPPING');
    });

    it('documents in every order lead to the same quantities', async () => {
      const steps: Record<string, () => Promise<void>> = {
        ack: () => ack('A1', [red('3', { status: 'accepted' }), white('2', { status: 'accepted' })]),
        one: () => ship('S1', [red('3')]),
        two: () => ship('S2', [white('2')]),
      };
      for (const sequence of [
        ['ack', 'one', 'two'],
        ['one', 'ack', 'two'],
        ['two', 'one', 'ack'],
        ['one', 'two', 'ack'],
      ]) {
        await at.close();
        at = await bench();
        await bindAll(at.ledger);
        await at.ledger.start();
        await place();
        for (const step of sequence) await steps[step]!();
        const after = await po();
        after.lines.map((line) => `${line.shipped}/${line.freed}`).should.deepEqual(['3/0', '2/3']);
        after.state.should.equal('shipped');
        (await allocated()).should.deepEqual(['1:3', '2:2']);
        (await within(at.ledger, () => documentsOf('shipment', 'shop-nz-1001'))).length.should.equal(2);
      }
    });
  });

  it('a partner that is configured as something else cannot be read from', async () => {
    await fact(at.ledger, 'vineyard', 'order', 'o', {});
    await fact(at.ledger, 'shop-nz', 'shipment', 's', {});
    await fact(at.ledger, 'shop-nz', 'payment-status', 'p', {});
    await fact(at.ledger, 'shop-nz', 'horoscope', 'h', {});
    await at.clock.settle();
    (await openCodes(at.ledger)).should.deepEqual([
      'KIND_UNKNOWN',
      'PARTNER_OF_OTHER_KIND',
      'PARTNER_OF_OTHER_KIND',
      'PARTNER_OF_OTHER_KIND',
    ]);
  });
});
