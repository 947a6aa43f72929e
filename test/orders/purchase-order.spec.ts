import fc from 'fast-check';
import should from 'should';
import type { Acknowledgement, Cancellation } from '../../orders/acknowledgement.ts';
import { BusinessRefusal } from '../../orders/errors.ts';
import {
  applyAcknowledgement,
  applyBill,
  applyCancellation,
  applyShipment,
  createPurchaseOrders,
  liveQuantity,
  markSent,
  purchaseOrderContent,
  remaining,
  resolveLines,
  type PurchaseOrder,
  type PurchaseOrderState,
} from '../../orders/purchase-order.ts';
import { compare, quantityToMillionths } from '../../orders/quantity.ts';
import type { Shipment } from '../../orders/shipment.ts';
import {
  acknowledgement,
  address,
  bill,
  cancellation,
  codeOf,
  eur,
  order,
  purchaseOrder,
  shipment,
} from './samples.ts';

describe('creating purchase orders', () => {
  const allocation = {
    lines: [
      { orderLine: 'a', supplier: 'vineyard', sku: 'RED', quantity: '2', unitCost: eur('8.10'), reason: '' },
      {
        orderLine: 'b',
        supplier: 'cellar',
        sku: 'WHITE',
        supplierSku: 'C-9',
        quantity: '5',
        unitCost: eur('6.00'),
        reason: '',
      },
      { orderLine: 'a', supplier: 'cellar', sku: 'RED', quantity: '1', unitCost: eur('9.00'), reason: '' },
    ],
    parcels: [
      { supplier: 'cellar', goods: eur('39.00'), shipping: eur('5.00') },
      { supplier: 'vineyard', goods: eur('16.20'), shipping: eur('0.00') },
    ],
  };

  it('makes one per supplier, with the customer’s address, totals and names', () => {
    const [cellar, vineyard, ...others] = createPurchaseOrders(order(), allocation, {
      round: 1,
      at: '2026-11-02T10:01:00Z',
      existing: [],
    });
    others.should.be.empty();
    should(cellar).containDeep({ id: 'shop-nz-1001-1', supplier: 'cellar', state: 'allocated', total: eur('44.00') });
    should(cellar?.shipTo).deepEqual(address);
    should(
      cellar?.lines.map((line) => [line.id, line.orderLine, line.quantity, line.supplierSku, line.name]),
    ).deepEqual([
      ['1', 'b', '5', 'C-9', 'White wine'],
      ['2', 'a', '1', undefined, 'Red wine'],
    ]);
    should(vineyard).containDeep({ id: 'shop-nz-1001-2', total: eur('16.20'), round: 1, revision: 0 });
  });

  it('never gives a number twice: numbers go on after the existing ones', () => {
    const existing = [{ id: 'shop-nz-1001-9' }, { id: 'shop-nz-1001-10' }, { id: 'shop-nz-10011-77' }];
    const made = createPurchaseOrders(order(), allocation, { round: 2, at: '2026-11-02T10:01:00Z', existing });
    should(made.map((po) => po.id)).deepEqual(['shop-nz-1001-11', 'shop-nz-1001-12']);
  });

  it('refuses a line that the order does not have', () => {
    const lines = [{ ...allocation.lines[0]!, orderLine: 'z' }];
    const context = { round: 1, at: '2026-11-02T10:01:00Z', existing: [] };
    should(codeOf(() => createPurchaseOrders(order(), { ...allocation, lines }, context))).equal('LINE_UNKNOWN');
  });
});

describe('purchase orders of one routing', () => {
  it('share nothing with each other, the order or the offers, so that a flow may change any of them', () => {
    const bought = order();
    const unitCost = eur('8.10');
    const line = { supplier: 'vineyard', orderLine: 'a', sku: 'RED', quantity: '1', unitCost, reason: '' };
    const parcel = { supplier: 'vineyard', goods: eur('8.10'), shipping: eur('4.00') };
    const [first, second] = createPurchaseOrders(
      bought,
      {
        lines: [line, { ...line, supplier: 'cellar' }],
        parcels: [parcel, { supplier: 'cellar', goods: eur('8.10'), shipping: eur('4.00') }],
      },
      { round: 1, at: '2026-11-02T10:01:00Z', existing: [] },
    );
    const untouched = structuredClone([second, bought, unitCost]);
    first!.shipTo.city = 'Linz';
    first!.lines[0]!.unitCost.minor = 1;
    first!.shipping.minor = 1;
    first!.total.minor = 1;
    should([second, bought, unitCost]).deepEqual(untouched);
  });
});

describe('the content of a purchase order', () => {
  it('is what is still wanted: states, names and records of others do not count', () => {
    const other = purchaseOrder({
      state: 'acknowledged',
      revision: 4,
      erp: { partner: 'erp-main', id: '7', number: 'P7' },
    });
    should(purchaseOrderContent(other)).deepEqual(purchaseOrderContent(purchaseOrder()));
    const { po } = applyCancellation(purchaseOrder(), cancellation('C-1', true, { 1: '3', 2: '1' }));
    should(purchaseOrderContent(po).lines).deepEqual([
      { line: '2', sku: 'WHITE', quantity: '4', unitCost: eur('6.00') },
    ]);
  });
});

describe('finding our lines in a supplier’s document', () => {
  it('goes by line number, by our SKU or by the supplier’s own', () => {
    const found = resolveLines(purchaseOrder(), [
      { line: '2', sku: '' },
      { sku: 'V-1' },
      { sku: 'WHITE', extra: true },
    ]);
    should(found).deepEqual([
      { line: '2', orderLine: 'b', sku: 'WHITE' },
      { line: '1', orderLine: 'a', sku: 'RED' },
      { line: '2', orderLine: 'b', sku: 'WHITE', extra: true },
    ]);
  });

  it('refuses what is unknown, contradictory or ambiguous', () => {
    const twice = purchaseOrder();
    twice.lines[1] = { ...twice.lines[1]!, sku: 'RED' };
    const cases: [PurchaseOrder, { line?: string; sku: string }][] = [
      [purchaseOrder(), { sku: 'ROSE' }],
      [purchaseOrder(), { sku: '' }],
      [purchaseOrder(), { line: '3', sku: 'RED' }],
      [purchaseOrder(), { line: '1', sku: 'WHITE' }],
      [twice, { sku: 'RED' }],
    ];
    for (const [po, line] of cases) should(codeOf(() => resolveLines(po, [line]))).equal('LINE_UNKNOWN');
    should(resolveLines(twice, [{ line: '2', sku: 'RED' }])[0]?.orderLine).equal('b');
  });
});

describe('an acknowledgement', () => {
  const all = acknowledgement('ACK-1', [
    { line: '1', status: 'accepted', quantity: '3' },
    { line: '2', status: 'accepted', quantity: '5' },
  ]);

  it('of everything makes the purchase order acknowledged and frees nothing', () => {
    const { po, freed, differences } = applyAcknowledgement(purchaseOrder(), { ...all, supplierOrderId: 'V-77' });
    should(po).containDeep({ state: 'acknowledged', supplierOrderId: 'V-77', revision: 0, total: eur('58.30') });
    should([freed, differences]).deepEqual([[], []]);
  });

  it('of one line leaves the purchase order unacknowledged', () => {
    const { po } = applyAcknowledgement(purchaseOrder(), { ...all, lines: all.lines.slice(0, 1) });
    po.state.should.equal('sent');
  });

  it('that rejects and back-orders frees those lines, with the supplier’s reason', () => {
    const { po, freed } = applyAcknowledgement(
      purchaseOrder(),
      acknowledgement('ACK-1', [
        { line: '1', status: 'rejected', quantity: '3', reason: 'discontinued' },
        { line: '2', status: 'accepted', quantity: '3' },
        { line: '2', status: 'backordered', quantity: '2' },
      ]),
    );
    should(freed).deepEqual([
      { orderLine: 'a', sku: 'RED', quantity: '3', reason: 'discontinued' },
      { orderLine: 'b', sku: 'WHITE', quantity: '2', reason: 'back-ordered by vineyard' },
    ]);
    should(po).containDeep({ state: 'acknowledged', revision: 1, total: eur('22.00') });
  });

  it('of less than was asked frees the rest', () => {
    const ack = acknowledgement('ACK-1', [{ line: '2', status: 'changed', quantity: '1' }]);
    const { po, freed } = applyAcknowledgement(purchaseOrder(), ack);
    should(freed.map((line) => line.quantity)).deepEqual(['4']);
    should(po.lines[1]).containDeep({ accepted: '1', freed: '4' });
  });

  it('that rejects everything, also as "quantity 0", cancels the purchase order', () => {
    const ack = acknowledgement('ACK-1', [
      { line: '1', status: 'rejected', quantity: '3' },
      { line: '2', status: 'rejected', quantity: '0' },
    ]);
    const { po } = applyAcknowledgement(purchaseOrder(), ack);
    should(po).containDeep({ state: 'cancelled', total: eur('0.00') });
  });

  it('with another cost is a difference for a person, and our cost stays', () => {
    const lines = [{ ...all.lines[0]!, unitCost: eur('8.50') }, all.lines[1]!];
    const { po, differences } = applyAcknowledgement(purchaseOrder(), { ...all, lines });
    differences.should.have.length(1);
    should(differences[0]).match(/8\.50 EUR.*8\.10 EUR/);
    should(po.lines[0]?.unitCost).deepEqual(eur('8.10'));
  });

  it('of more than was ordered is a difference, and the line stays as it is', () => {
    for (const status of ['accepted', 'rejected'] as const) {
      const ack = acknowledgement('ACK-1', [{ line: '1', status, quantity: '4' }]);
      const { po, freed, differences } = applyAcknowledgement(purchaseOrder(), ack);
      should(po.lines[0]).deepEqual(purchaseOrder().lines[0]);
      should([freed.length, differences.length]).deepEqual([0, 1]);
    }
  });

  it('that accepts what was given back before is a difference: it may come twice', () => {
    const rejected = applyAcknowledgement(
      purchaseOrder(),
      acknowledgement('ACK-1', [{ line: '1', status: 'rejected', quantity: '3' }]),
    );
    const { po, freed, differences } = applyAcknowledgement(rejected.po, { ...all, id: 'vineyard/ACK-2' });
    should(po.lines[0]).containDeep({ accepted: '0', freed: '3' });
    should([freed.length, differences.length]).deepEqual([0, 1]);
  });

  it('sent again under a new number frees nothing a second time', () => {
    const lines = [
      { line: '2', status: 'accepted', quantity: '3' },
      { line: '2', status: 'backordered', quantity: '2' },
      { line: '1', status: 'rejected', quantity: '1' },
    ] as const;
    const once = applyAcknowledgement(purchaseOrder(), acknowledgement('ACK-1', [...lines]));
    const twice = applyAcknowledgement(once.po, acknowledgement('ACK-2', [...lines]));
    should(twice.freed).be.empty();
    should(twice.po.lines).deepEqual(once.po.lines);
    should(twice.differences).have.length(1);
  });

  it('that arrives late does not take back what a later one accepted', () => {
    const later = applyAcknowledgement(purchaseOrder(), { ...all, at: '2026-11-02T12:00:00Z' });
    const early = acknowledgement(
      'ACK-0',
      [{ line: '1', status: 'backordered', quantity: '3' }],
      '2026-11-02T11:00:00Z',
    );
    const { po, freed, differences } = applyAcknowledgement(later.po, early);
    should([freed.length, differences.length, po.state]).deepEqual([0, 1, 'acknowledged']);
    const rejectedLater = applyAcknowledgement(later.po, { ...early, at: '2026-11-02T13:00:00Z' });
    should(rejectedLater.freed.map((line) => line.quantity)).deepEqual(['3']);
  });

  it('never frees what has shipped', () => {
    const shipped = applyShipment(purchaseOrder(), shipment('SH-1', { 1: '2' }));
    const ack = acknowledgement('ACK-1', [{ line: '1', status: 'rejected', quantity: '3' }]);
    const { po, freed, differences } = applyAcknowledgement(shipped, ack);
    should(freed.map((line) => line.quantity)).deepEqual(['1']);
    should(po.lines[0]).containDeep({ freed: '1', shipped: '2' });
    differences.should.have.length(1);
  });

  it('for another purchase order or of another supplier is refused', () => {
    should(codeOf(() => applyAcknowledgement(purchaseOrder(), { ...all, supplier: 'cellar' }))).equal(
      'OTHER_PURCHASE_ORDER',
    );
    should(codeOf(() => applyAcknowledgement(purchaseOrder(), { ...all, purchaseOrder: 'x-1' }))).equal(
      'OTHER_PURCHASE_ORDER',
    );
  });
});

describe('a shipment', () => {
  it('implies acceptance, and partly shipped becomes shipped', () => {
    const part = applyShipment(purchaseOrder(), shipment('SH-1', { 1: '3', 2: '1' }));
    should(part).containDeep({ state: 'partly-shipped' });
    should(part.lines.map((line) => [line.accepted, line.shipped, remaining(line)])).deepEqual([
      ['3', '3', '0'],
      ['1', '1', '4'],
    ]);
    applyShipment(part, shipment('SH-2', { 2: '4' })).state.should.equal('shipped');
  });

  it('of more than was ordered less given back is refused, with line and numbers', () => {
    const { po } = applyCancellation(purchaseOrder(), cancellation('C-1', true, { 1: '1' }));
    should(codeOf(() => applyShipment(po, shipment('SH-1', { 1: '3' })))).equal('SHIPPED_MORE_THAN_ORDERED');
    should(() => applyShipment(po, shipment('SH-1', { 1: '3' }))).throw(
      /3 of line 1 "RED".*only 2.*3 ordered, 1 given back/,
    );
    const twoParcels = shipment('SH-1', { 1: '2' });
    twoParcels.lines.push(...twoParcels.lines);
    should(codeOf(() => applyShipment(po, twoParcels))).equal('SHIPPED_MORE_THAN_ORDERED');
  });

  it('completes the purchase order when the rest was given back', () => {
    const part = applyShipment(purchaseOrder(), shipment('SH-1', { 1: '3', 2: '2' }));
    const { po } = applyCancellation(part, cancellation('C-1', true, { 2: '3' }));
    po.state.should.equal('shipped');
  });
});

describe('a cancellation', () => {
  it('that the supplier refuses changes no line', () => {
    const { po, freed } = applyCancellation(purchaseOrder(), cancellation('C-1', false, { 1: '3' }));
    should([po.lines, po.revision, freed]).deepEqual([purchaseOrder().lines, 0, []]);
  });

  it('without lines gives back everything that has not shipped', () => {
    const shipped = applyShipment(purchaseOrder(), shipment('SH-1', { 1: '1' }));
    const { po, freed } = applyCancellation(shipped, cancellation('C-1', true, {}));
    should(freed.map((line) => [line.orderLine, line.quantity])).deepEqual([
      ['a', '2'],
      ['b', '5'],
    ]);
    po.state.should.equal('shipped');
  });

  it('of what has shipped is refused', () => {
    const shipped = applyShipment(purchaseOrder(), shipment('SH-1', { 1: '1' }));
    should(codeOf(() => applyCancellation(shipped, cancellation('C-1', true, { 1: '3' })))).equal(
      'CANCELLED_AFTER_SHIPPING',
    );
  });

  it('of what was given back before counts once', () => {
    const rejected = applyAcknowledgement(
      purchaseOrder(),
      acknowledgement('ACK-1', [{ line: '1', status: 'rejected', quantity: '3' }]),
    );
    should(applyCancellation(rejected.po, cancellation('C-1', true, { 1: '3' })).freed).be.empty();
  });
});

describe('a bill', () => {
  it('counts once, and never more than was ordered and kept', () => {
    const once = applyBill(purchaseOrder(), bill());
    should(once.lines.map((line) => line.billed)).deepEqual(['3', '5']);
    should(applyBill(once, bill())).deepEqual(once);
    should(codeOf(() => applyBill(once, bill({ id: 'vineyard/INV-6' })))).equal('BILLED_MORE_THAN_ORDERED');
  });
});

describe('a purchase order under any documents in any order, repeated at will', () => {
  const quantity = fc.integer({ min: 0, max: 6 }).map(String);
  const lineId = fc.constantFrom('1', '2');
  const status = fc.constantFrom('accepted', 'changed', 'backordered', 'rejected');
  const at = fc.constantFrom('2026-11-02T11:00:00Z', '2026-11-02T12:00:00Z', '2026-11-02T13:00:00Z');
  const number = fc.integer({ min: 1, max: 4 });
  const document = fc.oneof(
    fc
      .tuple(number, fc.array(fc.record({ line: lineId, status, quantity }), { maxLength: 4 }), at)
      .map(([n, lines, when]) => acknowledgement(`D-${n}`, lines, when)),
    fc.tuple(number, lineId, quantity).map(([n, line, q]) => shipment(`D-${n}`, { [line]: q })),
    fc
      .tuple(number, fc.boolean(), lineId, quantity)
      .map(([n, ok, line, q]) => cancellation(`D-${n}`, ok, { [line]: q })),
  );

  function apply(po: PurchaseOrder, each: Acknowledgement | Shipment | Cancellation): PurchaseOrder {
    try {
      if (each.type === 'acknowledgement') return applyAcknowledgement(po, each).po;
      return each.type === 'shipment' ? applyShipment(po, each) : applyCancellation(po, each).po;
    } catch (thrown) {
      should(thrown).be.instanceof(BusinessRefusal);
      return po;
    }
  }

  it('never ships, accepts or gives back more than was ordered, and moves forward only', () => {
    const states: PurchaseOrderState[] = [
      'allocated',
      'sent',
      'acknowledged',
      'partly-shipped',
      'shipped',
      'cancelled',
    ];
    fc.assert(
      fc.property(fc.array(document, { maxLength: 12 }), (documents) => {
        let po = purchaseOrder();
        for (const each of documents) {
          const next = apply(po, each);
          for (const [index, line] of next.lines.entries()) {
            const before = po.lines[index]!;
            for (const field of ['freed', 'shipped'] as const)
              should(compare(line[field], before[field]) >= 0).be.true();
            const used = quantityToMillionths(line.freed) + quantityToMillionths(line.shipped);
            should(used <= quantityToMillionths(line.quantity)).be.true();
            should(compare(line.accepted, liveQuantity(line)) <= 0).be.true();
            should(compare(line.accepted, line.shipped) >= 0).be.true();
          }
          should(states.indexOf(next.state) >= states.indexOf(po.state)).be.true();
          should(next.revision >= po.revision).be.true();
          should(apply(next, each)).deepEqual(next);
          po = next;
        }
      }),
      { numRuns: 300 },
    );
  });

  it('reports as freed exactly what its lines give back', () => {
    fc.assert(
      fc.property(fc.array(document, { maxLength: 8 }), (documents) => {
        let po = purchaseOrder();
        let reported = 0n;
        for (const each of documents) {
          const before = po;
          po = apply(po, each);
          if (po === before || each.type === 'shipment') continue;
          const { freed } =
            each.type === 'acknowledgement' ? applyAcknowledgement(before, each) : applyCancellation(before, each);
          for (const line of freed) reported += quantityToMillionths(line.quantity);
        }
        const inLines = po.lines.reduce((sum, line) => sum + quantityToMillionths(line.freed), 0n);
        should(reported).equal(inLines);
      }),
    );
  });

  it('is marked as sent once, and not back from a later state', () => {
    const allocated = purchaseOrder({ state: 'allocated' });
    delete allocated.sentAt;
    const sent = markSent(allocated, { at: '2026-11-02T10:05:00Z', supplierOrderId: 'V-1' });
    should(sent).containDeep({ state: 'sent', sentAt: '2026-11-02T10:05:00Z', supplierOrderId: 'V-1' });
    should(markSent(sent, { at: '2026-11-02T11:05:00Z' })).deepEqual(sent);
    markSent(purchaseOrder({ state: 'shipped' }), { at: 'x' }).state.should.equal('shipped');
  });
});
