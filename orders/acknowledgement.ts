import type { Money } from './money.ts';
import type { Quantity } from './quantity.ts';

/** The supplier's answer to a purchase order, line by line. */
export interface Acknowledgement {
  type: 'acknowledgement';
  /** The supplier's reference and the supplier's document id: `vineyard/ACK-7`. */
  id: string;
  supplier: string;
  purchaseOrder: string;
  orderId: string;
  at: string;
  supplierOrderId?: string;
  lines: AcknowledgedLine[];
}

export interface AcknowledgedLine {
  /** `PurchaseOrderLine.id` */
  line: string;
  sku: string;
  status: 'accepted' | 'changed' | 'backordered' | 'rejected';
  quantity: Quantity;
  /** Where the supplier names another cost than ours. */
  unitCost?: Money;
  shipBy?: string;
  reason?: string;
}

/** The supplier's answer to our request to cancel. */
export interface Cancellation {
  type: 'cancellation';
  id: string;
  supplier: string;
  purchaseOrder: string;
  orderId: string;
  at: string;
  /** False: too late, the supplier ships it. */
  accepted: boolean;
  lines: { line: string; sku: string; quantity: Quantity }[];
  reason?: string;
}
