import should from 'should';
import { progress, type Milestone } from '../../orders/progress.ts';
import {
  applyAcknowledgement,
  applyBill,
  applyCancellation,
  applyShipment,
  type PurchaseOrder,
} from '../../orders/purchase-order.ts';
import { acknowledgement, bill, cancellation, order, purchaseOrder, shipment } from './samples.ts';

type State = Parameters<typeof progress>[0];

function reached(changes: Partial<State>): Milestone[] {
  const all = progress({ order: order(), purchaseOrders: [], undeliverable: [], bills: [], ...changes });
  return (['created', 'acknowledged', 'shipped', 'paid'] as const).filter((milestone) => all[milestone].reached);
}

const erp = { partner: 'erp-main', id: '7', number: 'P7' };
const accepted = (po: PurchaseOrder) =>
  applyAcknowledgement(
    po,
    acknowledgement('ACK-1', [
      { line: '1', status: 'accepted', quantity: '3' },
      { line: '2', status: 'accepted', quantity: '5' },
    ]),
  ).po;
const shipped = (po: PurchaseOrder) => applyShipment(po, shipment('SH-1', { 1: '3', 2: '5' }));

describe('the progress of an order', () => {
  it('goes from created to acknowledged, shipped and paid', () => {
    const created = purchaseOrder({ erp });
    const billed = applyBill(shipped(created), bill());
    should(reached({ purchaseOrders: [purchaseOrder()] })).deepEqual([]);
    should(reached({ purchaseOrders: [created] })).deepEqual(['created']);
    should(reached({ purchaseOrders: [accepted(created)] })).deepEqual(['created', 'acknowledged']);
    should(reached({ purchaseOrders: [shipped(created)] })).deepEqual(['created', 'acknowledged', 'shipped']);
    should(reached({ purchaseOrders: [billed], bills: [{ number: 'INV-5', paid: false }] })).not.containEql('paid');
    should(reached({ purchaseOrders: [billed], bills: [{ number: 'INV-5', paid: true }] })).containEql('paid');
  });

  it('waits for quantities that are on no purchase order', () => {
    const { po } = applyCancellation(purchaseOrder({ erp }), cancellation('C-1', true, { 2: '2' }));
    should(reached({ purchaseOrders: [po] })).deepEqual([]);
    const { created } = progress({ order: order(), purchaseOrders: [po], undeliverable: [], bills: [] });
    should(created.missing).deepEqual(['2 of WHITE (line b) are on no purchase order.']);
    const undeliverable = [{ orderLine: 'b', sku: 'WHITE', quantity: '2' }];
    should(reached({ purchaseOrders: [po], undeliverable })).deepEqual(['created']);
    const second = purchaseOrder({
      id: 'shop-nz-1001-2',
      erp,
      lines: [{ ...purchaseOrder().lines[1]!, quantity: '2' }],
    });
    should(reached({ purchaseOrders: [po, second] })).deepEqual(['created']);
  });

  it('waits for every purchase order, not for cancelled ones', () => {
    const cancelled = applyCancellation(purchaseOrder(), cancellation('C-1', true, {})).po;
    const next = shipped(purchaseOrder({ erp }));
    should(reached({ purchaseOrders: [cancelled, next] })).containEql('shipped');
    const waiting = purchaseOrder({ id: 'shop-nz-1001-3', erp });
    should(reached({ purchaseOrders: [next, waiting] })).deepEqual(['created']);
  });

  it('is not shipped by a part of a shipment, and says what is missing', () => {
    const po = applyShipment(purchaseOrder({ erp }), shipment('SH-1', { 1: '3', 2: '4' }));
    const all = progress({ order: order(), purchaseOrders: [po], undeliverable: [], bills: [] });
    should(all.shipped).deepEqual({ reached: false, missing: ['shop-nz-1001-1: 4 of 5 WHITE shipped so far.'] });
  });

  it('reaches nothing when nothing will come', () => {
    const undeliverable = order().lines.map((line) => ({ orderLine: line.id, sku: line.sku, quantity: line.quantity }));
    should(reached({ undeliverable })).deepEqual([]);
  });
});
