import should from 'should';
import { LINES_DECISION, routeAsDecided } from '../../ledger/decisions.ts';
import { documentsOf, documentState, getDocument, putDocument } from '../../ledger/documents.ts';
import type { LedgerEvent } from '../../ledger/events.ts';
import { exceptions, type Exception } from '../../ledger/exceptions.ts';
import { historyOf } from '../../ledger/history.ts';
import { roundOf, type Routed } from '../../ledger/routing.ts';
import { query } from '../../ledger/store.ts';
import type { SupplierTerms } from '../../orders/allocation.ts';
import type { Offer } from '../../orders/offer.ts';
import type { OrderLines } from '../../orders/order.ts';
import { eur, order as sampleOrder } from '../orders/samples.ts';
import { bench, bindAll, events, fact, openCodes, receive, rejection, runNode, within, type Bench } from './harness.ts';

const terms = (supplier: string): SupplierTerms => ({
  supplier,
  priority: 1,
  countries: [],
  shippingCost: eur('4.00'),
  handlingCost: eur('0.00'),
});

describe("a person's decision about lines that nobody delivers", () => {
  let at: Bench;
  /** What stands on the suppliers' shelves. */
  let stock: Record<string, string>;
  /** What was given up, as it reaches the nodes that tell ERP and shop. */
  let told: OrderLines[];

  const order = sampleOrder({ id: 'shop-nz-1', lines: [{ ...sampleOrder().lines[0]!, quantity: '10' }] });

  beforeEach(async () => {
    at = await bench();
    stock = { vineyard: '6' };
    await begin();
  });
  afterEach(() => at.close());

  /** The routing node, and one behind it that would tell the shop. */
  async function begin(): Promise<void> {
    told = [];
    const route = (event: LedgerEvent, freed?: OrderLines) =>
      runNode(at.ledger, event.id, () =>
        at.ledger.effects.once<Routed>({
          eventId: event.id,
          orderId: order.id,
          kind: 'allocate',
          document: `${order.id}/${roundOf(freed?.freedBy)}`,
          content: freed?.lines ?? order.lines,
          decide: () => {
            const offers = Object.entries(stock).map(([supplier, pieces]): Offer => ({
              supplier,
              sku: order.lines[0]!.sku,
              unitCost: eur('8.00'),
              stock: pieces,
            }));
            const question = {
              offers,
              suppliers: offers.map(({ supplier }) => terms(supplier)),
              rules: [],
              strategy: 'cheapest' as const,
              wholeUnits: true,
            };
            const lines = freed && { lines: freed.lines, purchaseOrder: undefined, freedBy: freed.freedBy };
            return routeAsDecided(at.ledger.core, event.id, order, lines, question);
          },
        }),
      );
    receive(at.ledger, 'payables-asked', (event) => route(event));
    receive(at.ledger, LINES_DECISION, (event, emits) => {
      for (const { outcome, payload } of emits) {
        if (outcome === 'reroute') void route(event, payload as unknown as OrderLines);
        else void runNode(at.ledger, event.id, () => Promise.resolve(told.push(payload as unknown as OrderLines)));
      }
    });
    await at.ledger.start();
    await bindAll(at.ledger);
  }

  async function again(): Promise<void> {
    await at.restart();
    await begin();
    await at.clock.advance(60_000);
  }

  /** Ten were ordered, six are on a purchase order; the exception is about four. */
  async function nobody(): Promise<Exception> {
    await within(at.ledger, () => putDocument(order, at.clock.now(), 'taken'));
    await fact(at.ledger, 'erp-main', 'payables-asked', 'q', {});
    await at.clock.advance(100);
    return openOne();
  }

  async function openOne(): Promise<Exception> {
    const [exception, ...more] = await within(at.ledger, () => exceptions({ state: 'open' }));
    should(more).have.length(0);
    return exception!;
  }

  const purchaseOrders = async () =>
    (await within(at.ledger, () => documentsOf('purchase-order', order.id))).map((po) => [
      po.supplier,
      po.lines[0]!.quantity,
      po.state,
    ]);
  const decisions = async () => (await events(at.ledger)).filter(({ kind }) => kind === LINES_DECISION);
  const who = async () =>
    (await within(at.ledger, () => historyOf(order.id)))
      .filter(({ what }) => /by hand|settled/.test(what))
      .map(({ what, detail }) => [what, detail['by']]);

  it('to route them again takes the offers of now and only what is left, and settles the exception', async () => {
    const { id } = await nobody();
    stock = { vineyard: '6', cellar: '20' };
    await at.ledger.rerouteLines(id, 'jo');
    await at.clock.advance(100);
    should(await purchaseOrders()).deepEqual([
      ['vineyard', '6', 'allocated'],
      ['cellar', '4', 'allocated'],
    ]);
    should(await openCodes(at.ledger)).deepEqual([]);
    should(await who()).deepEqual([
      ['routed again by hand', 'jo'],
      ['exception settled', 'jo'],
    ]);
  });

  it('is raised anew with what is left and why, and can be routed again any number of times', async () => {
    const first = await nobody();
    stock = { vineyard: '6', cellar: '3' };
    await at.ledger.rerouteLines(first.id, 'jo');
    await at.clock.advance(100);
    const second = await openOne();
    should(second.message).match(/Cellar: 3 of 4 .* nobody can deliver 1 of/);
    should(second.actions.map(({ name }) => name)).deepEqual(['reroute', 'cancel', 'settle']);
    await at.ledger.rerouteLines(second.id, 'jo');
    await at.clock.advance(100);
    const third = await openOne();
    should(third.id).not.equal(second.id);
    stock = { vineyard: '20' };
    await at.ledger.rerouteLines(third.id, 'jo');
    await at.clock.advance(100);
    should((await purchaseOrders()).map(([supplier, quantity]) => [supplier, quantity])).deepEqual([
      ['vineyard', '6'],
      ['cellar', '3'],
      ['vineyard', '1'],
    ]);
    should(await openCodes(at.ledger)).deepEqual([]);
  });

  it('leaves a supplier that gave the article back out, unless the person wants it asked once more', async () => {
    const first = await nobody();
    await within(at.ledger, function* () {
      const [po] = yield* documentsOf('purchase-order', order.id);
      const lines = po!.lines.map((line) => ({ ...line, freed: '1' }));
      yield* putDocument({ ...po!, lines }, at.clock.now());
    });
    stock = { vineyard: '100' };
    await at.ledger.rerouteLines(first.id, 'jo');
    await at.clock.advance(100);
    const second = await openOne();
    should(second.message).match(/gave it back/);
    await at.ledger.rerouteLines(second.id, 'jo', { include: true });
    await at.clock.advance(100);
    should((await purchaseOrders()).map(([supplier, quantity]) => [supplier, quantity])).deepEqual([
      ['vineyard', '6'],
      ['vineyard', '4'],
    ]);
  });

  for (const point of [
    'before reroute by hand',
    'after reroute by hand',
    'after claim',
    `before emit ${LINES_DECISION}`,
    `after emit ${LINES_DECISION}`,
    'before record allocate',
    'after record allocate',
  ]) {
    it(`outlives the process that is killed "${point}", and is carried out once`, async () => {
      const { id } = await nobody();
      stock = { cellar: '20' };
      at.crashAt(point);
      await at.ledger.rerouteLines(id, 'jo').catch(() => undefined);
      await at.clock.advance(100).catch(() => undefined);
      should(at.life.alive).be.false();
      // What the suppliers have may change meanwhile: what was decided before stays.
      if (point === 'after record allocate') stock = { vineyard: '20' };
      await again();
      if (point.startsWith('before reroute')) {
        should(await openCodes(at.ledger)).deepEqual(['NOBODY_DELIVERS']);
        return;
      }
      should((await purchaseOrders()).map(([supplier, quantity]) => [supplier, quantity])).deepEqual([
        ['vineyard', '6'],
        ['cellar', '4'],
      ]);
      should(await openCodes(at.ledger)).deepEqual([]);
    });
  }

  it('is one decision, whoever presses at the same moment', async () => {
    const { id } = await nobody();
    stock = { cellar: '20' };
    const outcomes = await Promise.all([
      rejection(at.ledger.rerouteLines(id, 'jo')),
      rejection(at.ledger.cancelByHand(id, 'kim', 'too dear')),
      rejection(at.ledger.rerouteLines(id, 'ann', { include: true })),
    ]);
    should(outcomes).deepEqual([undefined, 'ACTION_NOT_SAFE', 'ACTION_NOT_SAFE']);
    should(await decisions()).have.length(1);
    await at.clock.advance(100);
    should(told).have.length(0);
    should(await rejection(at.ledger.rerouteLines(id, 'jo'))).equal('ACTION_NOT_SAFE');
  });

  it('to give them up tells of them and of nothing that a supplier has', async () => {
    const { id } = await nobody();
    await at.ledger.cancelByHand(id, 'jo', 'Not made any more.');
    await at.clock.advance(100);
    should(told).have.length(1);
    should(told[0]).match({ orderId: order.id, reason: 'Not made any more.', lines: [{ quantity: '4' }] });
    should(await purchaseOrders()).deepEqual([['vineyard', '6', 'allocated']]);
    // The shop has not been told yet; should the flow not do it, that is told.
    should(await openCodes(at.ledger)).deepEqual(['NOBODY_DELIVERS']);
    await at.clock.advance(at.ledger.core.settings.deadlines.tellShop + 1000);
    should(await openCodes(at.ledger)).containEql('NOT_PROGRESSING');
  });

  it('is not carried out for what was delivered otherwise by then, or for an order that was cancelled', async () => {
    const { id } = await nobody();
    at.ledger.dispatcher.pause();
    await at.ledger.rerouteLines(id, 'jo');
    // Before it is judged the shop cancels the order.
    await within(at.ledger, () => putDocument(order, at.clock.now(), 'cancelled'));
    await at.ledger.dispatcher.resume();
    await at.clock.advance(100);
    should(await openCodes(at.ledger)).deepEqual([]);
    should((await decisions())[0]).match({ state: 'closed', note: 'The order was cancelled.' });
    should(await purchaseOrders()).have.length(1);
  });

  it('waits while it is not known whether the shop was told that they will not come', async () => {
    const { id } = await nobody();
    await within(at.ledger, () =>
      query(
        `INSERT INTO effect (key, event_id, order_id, partner, kind, document, step, state, attempt, content_hash, first_started_at, started_at)
         VALUES ('lines-cancel/shop/x/note', 1, ?, 'shop', 'lines-cancel', 'x', 'note', 'asked', 1, '', 0, 0)`,
        order.id,
      ),
    );
    should(await rejection(at.ledger.rerouteLines(id, 'jo'))).equal('ACTION_NOT_SAFE');
    should(await decisions()).have.length(0);
  });

  describe('or about an order of which nothing has left', () => {
    /** Something else is wrong with the order. */
    async function changed(): Promise<string> {
      stock = { vineyard: '20' };
      await within(at.ledger, () => putDocument(order, at.clock.now(), 'taken'));
      await fact(at.ledger, 'erp-main', 'payables-asked', 'q', {});
      await at.clock.advance(100);
      await at.clock.advance(at.ledger.core.settings.deadlines.send + 1000);
      return (await openOne()).id;
    }

    const sending = (state: string) =>
      within(at.ledger, () =>
        query(
          `INSERT INTO effect (key, event_id, order_id, partner, kind, document, step, state, attempt, content_hash, first_started_at, started_at)
           VALUES ('po-send/vineyard/shop-nz-1-1/send', 1, ?, 'vineyard', 'po-send', 'shop-nz-1-1', 'send', ?, 1, '', 0, 0)`,
          order.id,
          state,
        ),
      );

    it('gives up all of it at once: its purchase orders, their stock, and what else was wrong with it', async () => {
      const id = await changed();
      await at.ledger.cancelByHand(id, 'jo', 'The customer rang.');
      should(await within(at.ledger, () => documentState('order', order.id))).equal('cancelled');
      should(await purchaseOrders()).deepEqual([['vineyard', '10', 'cancelled']]);
      should(await within(at.ledger, () => query(`SELECT * FROM allocated`))).have.length(0);
      await at.clock.advance(100);
      should(told[0]).match({ reason: 'The customer rang.', lines: [{ quantity: '10' }] });
      should(await openCodes(at.ledger)).deepEqual([]);
      should(await who()).containDeep([['given up by hand', 'jo']]);
    });

    it('outlives the process that is killed right after the answer', async () => {
      const id = await changed();
      at.crashAt('after cancel by hand');
      await at.ledger.cancelByHand(id, 'jo', 'The customer rang.').catch(() => undefined);
      await again();
      should(told).have.length(1);
    });

    for (const state of ['sending', 'in-doubt', 'asked', 'done']) {
      it(`is refused while a purchase order is, or may be, with a supplier (${state})`, async () => {
        const id = await changed();
        await sending(state);
        should(await rejection(at.ledger.cancelByHand(id, 'jo', 'The customer rang.'))).equal('ACTION_NOT_SAFE');
        should(await within(at.ledger, () => documentState('order', order.id))).equal('taken');
        should((await within(at.ledger, () => getDocument('purchase-order', 'shop-nz-1-1')))?.state).equal('allocated');
      });
    }

    it('is possible where the supplier certainly does not have it', async () => {
      const id = await changed();
      await sending('refused');
      should(await rejection(at.ledger.cancelByHand(id, 'jo', 'The customer rang.'))).be.undefined();
    });
  });
});
