import should from 'should';
import { documentsOf, getDocument, putDocument } from '../../ledger/documents.ts';
import { checkReduced, putOffers, route, storedOffers, type Routed } from '../../ledger/routing.ts';
import { applyAcknowledgement, liveQuantity } from '../../orders/purchase-order.ts';
import { releaseStock } from '../../ledger/allocations.ts';
import type { Offer } from '../../orders/offer.ts';
import type { AffectedLine, Order } from '../../orders/order.ts';
import { total } from '../../orders/quantity.ts';
import type { SupplierTerms } from '../../orders/allocation.ts';
import { eur, order as sampleOrder } from '../orders/samples.ts';
import { bench, openCodes, rejection, within, START, type Bench } from './harness.ts';

const terms = (supplier: string, more: Partial<SupplierTerms> = {}): SupplierTerms => ({
  supplier,
  priority: 1,
  countries: [],
  shippingCost: eur('4.00'),
  handlingCost: eur('0.00'),
  ...more,
});
const offer = (supplier: string, sku: string, cost: string, stock?: string): Offer => ({
  supplier,
  sku,
  unitCost: eur(cost),
  ...(stock === undefined ? {} : { stock }),
});

describe('routing in the ledger', () => {
  let at: Bench;
  let offers: Offer[];
  let suppliers: SupplierTerms[];
  beforeEach(async () => {
    at = await bench();
    offers = [offer('vineyard', 'RED', '8.00', '10'), offer('cellar', 'RED', '9.00', '0')];
    suppliers = [terms('vineyard'), terms('cellar')];
  });
  afterEach(() => at.close());

  const orderOf = (number: number, quantity = '1'): Order =>
    sampleOrder({
      id: `shop-nz-${number}`,
      shopOrderId: String(number),
      lines: [{ ...sampleOrder().lines[0]!, quantity }],
    });
  const routed = (order: Order, freed?: { lines: AffectedLine[]; purchaseOrder: string; freedBy: string }) =>
    at.ledger.effects.once<Routed>({
      eventId: '1',
      orderId: order.id,
      kind: 'allocate',
      document: `${order.id}/${freed?.freedBy ?? '1'}`,
      content: freed?.lines ?? order.lines,
      decide: () =>
        route(at.ledger.core, '1', order, freed, {
          offers,
          suppliers,
          rules: [],
          strategy: 'cheapest',
          wholeUnits: true,
        }),
    });
  const quantityOf = (results: { result: Routed }[]) =>
    total(
      results.flatMap(({ result }) => result.purchaseOrders.flatMap((po) => po.lines.map((line) => line.quantity))),
    );

  it('a hundred simultaneous orders never get more than the ten pieces that there are, and get all of them', async () => {
    const results = await Promise.all(Array.from({ length: 100 }, (_, index) => routed(orderOf(index))));
    quantityOf(results).should.equal('10');
    results.filter(({ result }) => result.undeliverable.length > 0).length.should.equal(90);
    (await openCodes(at.ledger)).length.should.equal(90);
  });

  it('a replay finds the recorded allocation, whatever the offers say by then', async () => {
    const first = await routed(orderOf(1, '3'));
    offers = [offer('cellar', 'RED', '0.01', '1000')];
    const second = await routed(orderOf(1, '3'));
    second.replayed.should.be.true();
    second.result.should.deepEqual(JSON.parse(JSON.stringify(first.result)));
    (await within(at.ledger, () => documentsOf('purchase-order', 'shop-nz-1'))).length.should.equal(1);
  });

  /** The supplier gives back some of the first purchase order, as the judge counts it. */
  async function reject(
    order: Order,
    quantity: string,
    number: string,
  ): Promise<{ lines: AffectedLine[]; purchaseOrder: string; freedBy: string }> {
    const id = `${order.id}-1`;
    return within(at.ledger, function* () {
      const po = (yield* getDocument('purchase-order', id))!;
      const { po: after, freed } = applyAcknowledgement(po, {
        type: 'acknowledgement',
        id: `vineyard/${number}`,
        supplier: 'vineyard',
        purchaseOrder: id,
        orderId: order.id,
        at: '2026-11-22T13:00:00Z',
        lines: [{ line: '1', sku: 'RED', status: 'rejected', quantity }],
      });
      yield* putDocument(after, START);
      yield* releaseStock(after);
      return { lines: freed, purchaseOrder: id, freedBy: `acknowledgement vineyard/${number}` };
    });
  }

  it('freed lines are routed once, to another supplier, under new numbers', async () => {
    const order = orderOf(1, '3');
    await within(at.ledger, () => putDocument(order, START, 'taken'));
    await routed(order);
    offers = [offer('vineyard', 'RED', '8.00', '10'), offer('cellar', 'RED', '9.00', '50')];
    const freed = await reject(order, '3', 'A1');
    const [one, two] = await Promise.all([routed(order, freed), routed(order, freed)]);
    one.result.purchaseOrders
      .map((po) => `${po.id} ${po.supplier} ${po.round}`)
      .should.deepEqual(['shop-nz-1-2 cellar 2']);
    two.result.should.deepEqual(one.result);
    const all = await within(at.ledger, () => documentsOf('purchase-order', order.id));
    total(all.flatMap((po) => po.lines.map(liveQuantity))).should.equal('3');
  });

  it('the same freed lines told under another name are not ordered twice', async () => {
    const order = orderOf(1, '3');
    await routed(order);
    offers = [offer('cellar', 'RED', '9.00', '50')];
    const freed = await reject(order, '3', 'A1');
    await routed(order, freed);
    const again = await routed(order, { ...freed, freedBy: 'acknowledgement vineyard/A1-copy' });
    again.result.purchaseOrders.should.deepEqual([]);
  });

  it('what nobody else can deliver is told', async () => {
    const order = orderOf(1, '3');
    await routed(order);
    const freed = await reject(order, '3', 'A1');
    const { result } = await routed(order, freed);
    result.undeliverable.map((line) => line.quantity).should.deepEqual(['3']);
    (await openCodes(at.ledger)).should.deepEqual(['NOBODY_DELIVERS']);
  });

  it('stock that a supplier gives back is free for the next order, while the figure is the same', async () => {
    const one = orderOf(1, '10');
    await routed(one);
    (await routed(orderOf(2, '10'))).result.undeliverable.length.should.equal(1);
    await reject(one, '10', 'A1');
    quantityOf([await routed(orderOf(3, '10'))]).should.equal('10');
  });

  it('the open purchase orders of a supplier count against its limit', async () => {
    suppliers = [terms('vineyard', { openOrderLimit: 2 })];
    const results = await Promise.all([1, 2, 3].map((number) => routed(orderOf(number))));
    results
      .map(({ result }) => result.purchaseOrders.length)
      .sort()
      .should.deepEqual([0, 1, 1]);
  });

  it('lines go elsewhere only after the ERP has let go of them', async () => {
    const order = orderOf(1, '3');
    await routed(order);
    await within(at.ledger, function* () {
      const po = (yield* getDocument('purchase-order', 'shop-nz-1-1'))!;
      yield* putDocument({ ...po, erp: { partner: 'erp-main', id: '5', number: 'P5' } }, START);
    });
    await reject(order, '3', 'A1');
    should(await rejection(within(at.ledger, () => checkReduced('shop-nz-1-1')))).equal('ERP_NOT_REDUCED');
    await within(at.ledger, function* () {
      const po = (yield* getDocument('purchase-order', 'shop-nz-1-1'))!;
      yield* putDocument({ ...po, erpRevision: po.revision }, START);
    });
    should(await rejection(within(at.ledger, () => checkReduced('shop-nz-1-1')))).be.undefined();
  });

  it('stored offers of one supplier are replaced as a whole', async () => {
    await within(at.ledger, () =>
      putOffers('vineyard', [offer('vineyard', 'RED', '8.00'), offer('vineyard', 'WHITE', '6.00')], START),
    );
    await within(at.ledger, () => putOffers('cellar', [offer('cellar', 'RED', '9.00')], START));
    await within(at.ledger, () => putOffers('vineyard', [offer('vineyard', 'WHITE', '6.50')], START));
    (await within(at.ledger, storedOffers))
      .map((each) => `${each.supplier} ${each.sku} ${each.unitCost.minor}`)
      .should.deepEqual(['cellar RED 900', 'vineyard WHITE 650']);
  });
});
