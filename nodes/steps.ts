import { documentState, getDocument } from '../ledger/documents.ts';
import { Obsolete, Waiting } from '../ledger/effects.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Transaction } from '../ledger/store.ts';
import { BusinessRefusal, ConfigurationMistake } from '../orders/errors.ts';
import type { Order } from '../orders/order.ts';
import type { PurchaseOrder } from '../orders/purchase-order.ts';

/** How long a step waits for the one before it (which another event makes) before it looks again, in milliseconds. */
const LOOK_AGAIN = 1500;

/** In the transaction of an intent: a purchase order of which nothing is left, or whose order was cancelled before it left, is not sent. */
export function* stillWanted(purchaseOrder: string): Transaction<void> {
  const po = yield* getDocument('purchase-order', purchaseOrder);
  if (!po || po.state === 'cancelled') throw new Obsolete(`${purchaseOrder} was cancelled.`);
  if (po.state === 'allocated' && (yield* documentState('order', po.orderId)) === 'cancelled')
    throw new Obsolete(`Order ${po.orderId} was cancelled.`);
}

/** @throws BusinessRefusal `DOCUMENT_UNKNOWN` */
export async function orderOf(ledger: Ledger, orderId: string): Promise<Order> {
  const order = await ledger.transact('read order', () => getDocument('order', orderId));
  if (!order) throw new BusinessRefusal('DOCUMENT_UNKNOWN', `The ledger has no order "${orderId}".`);
  return order;
}

/** @throws ConfigurationMistake `ORDER_NOT_IN_ERP` when no node before this one told the ERP about the sale */
export async function orderInErp(ledger: Ledger, orderId: string): Promise<Order> {
  const order = await orderOf(ledger, orderId);
  if (!order.erp) {
    throw new ConfigurationMistake(
      'ORDER_NOT_IN_ERP',
      `The ERP does not know order ${orderId} yet. Put an "erp-create-order" node before this one.`,
      { status: 'order not in ERP' },
    );
  }
  return order;
}

/** @throws BusinessRefusal `DOCUMENT_UNKNOWN` */
export async function purchaseOrderOf(ledger: Ledger, id: string): Promise<PurchaseOrder> {
  const po = await ledger.transact('read purchase order', () => getDocument('purchase-order', id));
  if (!po) throw new BusinessRefusal('DOCUMENT_UNKNOWN', `The ledger has no purchase order "${id}".`);
  return po;
}

/** A callback may overtake the order that it answers: what the ERP does not know yet is waited for, by a row with a due time. */
export async function purchaseOrderInErp(ledger: Ledger, id: string): Promise<PurchaseOrder> {
  const po = await purchaseOrderOf(ledger, id);
  if (!po.erp) throw new Waiting(ledger.core.now() + LOOK_AGAIN, `${id} is not in the ERP yet`);
  return po;
}

/** The ERP takes a bill only after the goods: waits until every shipment of the purchase order is booked there. */
export async function whenReceived(ledger: Ledger, po: PurchaseOrder): Promise<void> {
  const missing = await ledger.transact('read receipts', function* () {
    for (const key of po.applied ?? []) {
      if (!key.startsWith('shipment ')) continue;
      const shipment = yield* getDocument('shipment', key.slice('shipment '.length));
      if (shipment && shipment.erpReceiptId === undefined) return shipment.id;
    }
    return undefined;
  });
  if (missing !== undefined)
    throw new Waiting(ledger.core.now() + LOOK_AGAIN, `shipment ${missing} is not booked in the ERP yet`);
}
