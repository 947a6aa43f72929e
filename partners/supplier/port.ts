import type { PurchaseOrder } from '../../orders/purchase-order.ts';
import type { ConnectionTest, InboundFact, InboundRequest, Patience } from '../adapter.ts';
import type { Json, Writer } from '../write.ts';

export type SupplierFactKind = 'acknowledgement' | 'shipment' | 'bill' | 'cancellation';

/** A supplier. */
export interface Supplier extends Patience {
  readonly product: string;

  testConnection(): Promise<ConnectionTest>;

  /** Sends the purchase order. The answer may already hold the supplier's own number. */
  sendPurchaseOrder(po: PurchaseOrder, write: Writer): Promise<{ supplierOrderId?: string }>;

  /** Asks to cancel the purchase order or some of its lines; the answer arrives as a `cancellation`. */
  requestCancellation(
    po: PurchaseOrder,
    lines: { line: string; quantity: string }[],
    reason: string,
    write: Writer,
  ): Promise<Record<string, Json>>;

  /**
   * Checks the signature over the raw bytes and finds the facts in a callback.
   * @throws ConfigurationMistake `NOT_AUTHENTIC` (answered 401), BusinessRefusal `BODY_UNREADABLE` (answered 400)
   */
  receive(request: InboundRequest): InboundFact<SupplierFactKind>[];

  /** For suppliers that call nobody: facts since the cursor. Absent where the product has none. */
  poll?(cursor: string | undefined): Promise<{ facts: InboundFact<SupplierFactKind>[]; cursor: string; more: boolean }>;

  /**
   * The supplier's document in our words. Pure. The purchase order is named, not yet looked up: lines carry the purchase order's line
   * or, where the supplier does not repeat our line numbers, only the SKU.
   * @throws BusinessRefusal that says what is wrong with the document
   */
  read(kind: SupplierFactKind, body: unknown): SupplierDocument;
}

interface SupplierDocumentBase {
  /** The supplier's own number of this document. */
  number: string;
  /** Our number of the purchase order. */
  purchaseOrder: string;
  at: string;
}

interface SupplierLine {
  /** Our line number, where the supplier repeats it. */
  line?: string;
  sku: string;
  quantity: string;
}

export type SupplierDocument =
  | (SupplierDocumentBase & {
      kind: 'acknowledgement';
      supplierOrderId?: string;
      lines: (SupplierLine & {
        status: 'accepted' | 'changed' | 'backordered' | 'rejected';
        /** Decimal major units, with the document's currency. */
        unitCost?: string;
        shipBy?: string;
        reason?: string;
      })[];
      currency?: string;
    })
  | (SupplierDocumentBase & {
      kind: 'shipment';
      parcels: { carrier: string; trackingNumber: string; trackingUrl?: string }[];
      lines: SupplierLine[];
    })
  | (SupplierDocumentBase & {
      kind: 'bill';
      dueAt?: string;
      currency: string;
      /** Decimal major units. */
      lines: (SupplierLine & { unitCost: string })[];
      shipping?: string;
      tax?: string;
      total: string;
    })
  | (SupplierDocumentBase & { kind: 'cancellation'; accepted: boolean; lines: SupplierLine[]; reason?: string });
