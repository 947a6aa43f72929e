/**
 * The documents that travel in `msg.payload`, for people who write Function nodes or adapters in TypeScript:
 * `import type { Order } from '@dropline/node-red-dropship'`.
 */
export type { AcknowledgedLine, Acknowledgement, Cancellation } from './orders/acknowledgement.ts';
export type { Address, Customer } from './orders/address.ts';
export type { Bill, BillLine } from './orders/bill.ts';
export type { Money } from './orders/money.ts';
export type { Offer } from './orders/offer.ts';
export type { AffectedLine, ErpRecord, Order, OrderLine, OrderLines } from './orders/order.ts';
export type {
  Beneficiary,
  Payable,
  Payables,
  Payment,
  PaymentRun,
  PaymentState,
  PaymentStatus,
} from './orders/payment.ts';
export type { PurchaseOrder, PurchaseOrderLine, PurchaseOrderState } from './orders/purchase-order.ts';
export type { Quantity } from './orders/quantity.ts';
export type { Parcel, Shipment, ShippedLine } from './orders/shipment.ts';
/** JSON Schemas of these documents, by their `type`. */
export { schemas, type DocumentType } from './orders/schemas.ts';
