import { expectStep } from '../ledger/deadlines.ts';
import { documentRow, documentState, getDocument } from '../ledger/documents.ts';
import { Obsolete, Waiting } from '../ledger/effects.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { queryOne, type Transaction } from '../ledger/store.ts';
import { BusinessRefusal, ConfigurationMistake } from '../orders/errors.ts';
import type { Order } from '../orders/order.ts';
import type { PurchaseOrder } from '../orders/purchase-order.ts';

/** How long a step waits for the one before it (which another event makes) before it looks again, in milliseconds. */
const LOOK_AGAIN = 1500;

/** In the transaction of an intent: a purchase order of which nothing is left, or whose order was cancelled before it left, is not sent. */
export function* stillWanted(purchaseOrder: string): Transaction<void> {
  const po = yield* documentRow('purchase-order', purchaseOrder);
  if (!po || po.state === 'cancelled') throw new Obsolete(`${purchaseOrder} was cancelled.`);
  if (po.state !== 'allocated' || po.order_id === null) return;
  if ((yield* documentState('order', po.order_id)) === 'cancelled')
    throw new Obsolete(`Order ${po.order_id} was cancelled.`);
}

/** @throws BusinessRefusal `DOCUMENT_UNKNOWN` */
export async function orderOf(ledger: Ledger, orderId: string): Promise<Order> {
  const order = await ledger.core.read(() => getDocument('order', orderId));
  if (!order) throw new BusinessRefusal('DOCUMENT_UNKNOWN', `The ledger has no order "${orderId}".`);
  return order;
}

/**
 * What was begun in one ERP is finished there: another one knows neither the sale nor the purchase order, and would book them a second time.
 * @throws ConfigurationMistake `OTHER_ERP`
 */
function checkErp(what: string, known: string | undefined, erp: string): void {
  if (known === undefined || known === erp) return;
  throw new ConfigurationMistake(
    'OTHER_ERP',
    `${what} is in the ERP "${known}", but this node works with "${erp}". Let orders that were begun with "${known}" be finished with it: choose it in this node, deploy, and try it again.`,
    { status: 'other ERP' },
  );
}

/** In the transaction of an intent: a sale that was told, or may have been told, to another ERP is not told to this one. */
export function* notInOtherErp(orderId: string, erp: string): Transaction<void> {
  const other = yield* queryOne<{ partner: string }>(
    `SELECT partner FROM effect WHERE order_id = ? AND kind = 'so-create' AND step = 'create' AND partner <> ? AND state NOT IN ('refused', 'waiting') LIMIT 1`,
    orderId,
    erp,
  );
  checkErp(`Order ${orderId}`, other?.partner, erp);
}

/** @throws ConfigurationMistake `ORDER_NOT_IN_ERP` when no node before this one told the ERP about the sale; `OTHER_ERP` */
export async function orderInErp(ledger: Ledger, orderId: string, erp: string): Promise<Order> {
  const order = await orderOf(ledger, orderId);
  if (!order.erp) {
    throw new ConfigurationMistake(
      'ORDER_NOT_IN_ERP',
      `The ERP does not know order ${orderId} yet. Put an "erp-create-order" node before this one.`,
      { status: 'order not in ERP' },
    );
  }
  checkErp(`Order ${orderId}`, order.erp.partner, erp);
  return order;
}

/** @throws BusinessRefusal `DOCUMENT_UNKNOWN` */
export async function purchaseOrderOf(ledger: Ledger, id: string): Promise<PurchaseOrder> {
  const po = await ledger.core.read(() => getDocument('purchase-order', id));
  if (!po) throw new BusinessRefusal('DOCUMENT_UNKNOWN', `The ledger has no purchase order "${id}".`);
  return po;
}

/** A callback may overtake the order that it answers: what the ERP does not know yet is waited for, by a row with a due time. */
export async function purchaseOrderInErp(ledger: Ledger, id: string, erp: string): Promise<PurchaseOrder> {
  const po = await purchaseOrderOf(ledger, id);
  if (!po.erp) throw await waitFor(ledger, po, `enter ${id}`, `Purchase order ${id} has not been entered in the ERP`);
  checkErp(`Purchase order ${id}`, po.erp.partner, erp);
  return po;
}

/** Waiting has a due time of its own, after which it is told what is waited for: the flow may have lost that step. */
async function waitFor(ledger: Ledger, po: PurchaseOrder, key: string, what: string): Promise<Waiting> {
  const now = ledger.core.now();
  const due = now + ledger.core.settings.deadlines.enter;
  await ledger.transact('wait', () => expectStep(key, `${what}, and the next step waits for it.`, due, po.orderId));
  return new Waiting(now + LOOK_AGAIN, what);
}

/** The ERP takes a bill only after the goods: waits until every shipment of the purchase order is booked there. */
export async function whenReceived(ledger: Ledger, po: PurchaseOrder): Promise<void> {
  const missing = await ledger.core.read(function* () {
    for (const key of po.applied ?? []) {
      if (!key.startsWith('shipment ')) continue;
      const shipment = yield* getDocument('shipment', key.slice('shipment '.length));
      if (shipment && shipment.erpReceiptId === undefined) return shipment.id;
    }
    return undefined;
  });
  if (missing !== undefined)
    throw await waitFor(ledger, po, `receive ${missing}`, `Shipment ${missing} has not been received in the ERP`);
}
