import type { Acknowledgement, Cancellation } from '../orders/acknowledgement.ts';
import type { Bill } from '../orders/bill.ts';
import type { Order } from '../orders/order.ts';
import type { Payment, PaymentRun } from '../orders/payment.ts';
import type { PurchaseOrder } from '../orders/purchase-order.ts';
import type { Shipment } from '../orders/shipment.ts';
import { query, queryKept, type Kept } from './store.ts';

/** The documents that the ledger holds, by the `type` that they carry. */
export interface Documents {
  order: Order;
  'purchase-order': PurchaseOrder;
  acknowledgement: Acknowledgement;
  cancellation: Cancellation;
  shipment: Shipment;
  bill: Bill;
  'payment-run': PaymentRun;
  payment: Payment;
}

export type DocumentKind = keyof Documents;
export type Document = Documents[DocumentKind];

/** A document as it is written down. */
export type DocumentRow = {
  order_id: string | null;
  state: string;
  /** JSON. */
  body: string;
};

function kept(kind: DocumentKind, id: string): Kept {
  return { table: 'document', key: `${kind} ${id}` };
}

export function* documentRow(kind: DocumentKind, id: string) {
  return yield* queryKept<DocumentRow>(
    kept(kind, id),
    `SELECT order_id, state, body FROM document WHERE kind = ? AND id = ?`,
    kind,
    id,
  );
}

export function* getDocument<K extends DocumentKind>(kind: K, id: string) {
  const row = yield* documentRow(kind, id);
  return row ? (JSON.parse(row.body) as Documents[K]) : undefined;
}

/** Writes a document as a whole. `state` is a word to list by, from the document itself where it has one. */
export function* putDocument(document: Document, at: number, state?: string) {
  const after: DocumentRow = {
    order_id: document.type === 'order' ? document.id : 'orderId' in document ? document.orderId : null,
    state: state ?? ('state' in document ? document.state : 'stored'),
    body: JSON.stringify(document),
  };
  // A payment is kept by what the bank knows it by: made anew after a rejection it is another one.
  const id = document.type === 'payment' ? document.endToEndId : document.id;
  yield {
    sql: `INSERT INTO document (kind, id, order_id, partner, state, body, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (kind, id) DO UPDATE SET state = excluded.state, body = excluded.body, updated_at = excluded.updated_at`,
    parameters: [document.type, id, after.order_id, partnerOf(document), after.state, after.body, at],
    kept: { ...kept(document.type, id), after },
  };
}

export function* documentState(kind: DocumentKind, id: string) {
  return (yield* documentRow(kind, id))?.state;
}

export function* setDocumentState(kind: DocumentKind, id: string, state: string, at: number) {
  const row = yield* documentRow(kind, id);
  if (!row) return;
  yield {
    sql: `UPDATE document SET state = ?, updated_at = ? WHERE kind = ? AND id = ?`,
    parameters: [state, at, kind, id],
    kept: { ...kept(kind, id), after: { ...row, state } },
  };
}

/** All documents of one kind that belong to an order, oldest number first. */
export function* documentsOf<K extends DocumentKind>(kind: K, orderId: string) {
  const rows = yield* query<{ body: string }>(
    `SELECT body FROM document WHERE order_id = ? AND kind = ? ORDER BY id`,
    orderId,
    kind,
  );
  return rows.map((row) => JSON.parse(row.body) as Documents[K]);
}

function partnerOf(document: Document): string {
  switch (document.type) {
    case 'order':
      return document.shop;
    case 'payment-run':
      return document.account;
    default:
      return document.supplier;
  }
}
