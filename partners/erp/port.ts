import type { Bill } from '../../orders/bill.ts';
import type { Money } from '../../orders/money.ts';
import type { Order } from '../../orders/order.ts';
import type { Payment } from '../../orders/payment.ts';
import type { PurchaseOrder } from '../../orders/purchase-order.ts';
import type { Shipment } from '../../orders/shipment.ts';
import type { ConnectionTest, Patience } from '../adapter.ts';
import type { Json, Writer } from '../write.ts';

/** What an ERP calls a document: `id` for calls, `number` for people. */
export type ErpDocument = { id: string; number: string };

/**
 * An ERP. Every operation may be run again from its beginning: each of its writes answers from the ledger when it is done.
 * Our references in the ERP: `order.id` on the sales order, `po.id` on the purchase order, `bill.number` on the bill (with its vendor),
 * `payment.endToEndId` on the payment.
 */
export interface ErpSystem extends Patience {
  readonly product: string;

  testConnection(): Promise<ConnectionTest>;

  /** Customer and ship-to (found or created, never doubled), sales order, confirmed. */
  createOrder(order: Order, write: Writer): Promise<ErpDocument>;

  /** Drop-ship purchase order with the customer's address, linked to the sale, confirmed. `order.erp` is set. */
  createPurchaseOrder(po: PurchaseOrder, order: Order, write: Writer): Promise<ErpDocument>;

  /**
   * Makes the ERP's purchase order agree with `po` after lines were given back: what remains of a line is quantity - freed;
   * all lines freed: cancelled. `po.erp` and `po.revision` are set.
   */
  changePurchaseOrder(po: PurchaseOrder, write: Writer): Promise<ErpDocument>;

  /** Receives a shipment in full or in part, with its tracking numbers. `po.erp` is set. */
  receiveShipment(shipment: Shipment, po: PurchaseOrder, write: Writer): Promise<{ id: string }>;

  /** Everything has shipped: completes the sale. */
  completeOrder(order: Order, write: Writer): Promise<Record<string, Json>>;

  /** The supplier's bill, posted. Refuses a number that the vendor's bills already have with another content. */
  enterBill(bill: Bill, po: PurchaseOrder, write: Writer): Promise<ErpDocument>;

  /** Posted, unpaid bills that are due on or before the day (YYYY-MM-DD). A read. */
  payables(dueOn: string): Promise<ErpPayable[]>;

  /** The bank has paid: the payment on the bill, with our reference. */
  registerPayment(payment: Payment, write: Writer): Promise<ErpDocument>;
}

export interface ErpPayable {
  erpBillId: string;
  /** The supplier's invoice number as it stands on the bill. */
  billNumber: string;
  /** Our number of the purchase order that the bill belongs to, when the ERP knows it. */
  purchaseOrder?: string;
  open: Money;
  dueAt: string;
}
