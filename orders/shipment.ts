import type { Quantity } from './quantity.ts';

/** The supplier's ship notice. */
export interface Shipment {
  type: 'shipment';
  /** The supplier's reference and the supplier's number of the shipment: `vineyard/SH-12`. */
  id: string;
  number: string;
  supplier: string;
  purchaseOrder: string;
  orderId: string;
  shippedAt: string;
  parcels: Parcel[];
  lines: ShippedLine[];
  /** What the ERP calls its receipt, once it is booked there. */
  erpReceiptId?: string;
  /** What the shop calls the fulfilment, once the customer is told. */
  fulfilmentId?: string;
}

export interface Parcel {
  /** The carrier's code or name as the supplier gave it. */
  carrier: string;
  trackingNumber: string;
  trackingUrl?: string;
}

export interface ShippedLine {
  /** `PurchaseOrderLine.id` */
  line: string;
  /** `OrderLine.id` */
  orderLine: string;
  sku: string;
  quantity: Quantity;
}
