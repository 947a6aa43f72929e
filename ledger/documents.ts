import type { Acknowledgement, Cancellation } from '../orders/acknowledgement.ts';
import type { Bill } from '../orders/bill.ts';
import type { Order } from '../orders/order.ts';
import type { Payment, PaymentRun } from '../orders/payment.ts';
import type { PurchaseOrder } from '../orders/purchase-order.ts';
import type { Shipment } from '../orders/shipment.ts';
import { query, queryOne } from './store.ts';

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

/** A document as it is written down, as JSON. */
export function* documentBody(kind: DocumentKind, id: string) {
  const row = yield* queryOne<{ body: string }>(`SELECT body FROM document WHERE kind = ? AND id = ?`, kind, id);
  return row?.body;
}

export function* getDocument<K extends DocumentKind>(kind: K, id: string) {
  const row = yield* queryOne<{ body: string }>(`SELECT body FROM document WHERE kind = ? AND id = ?`, kind, id);
  return row ? (JSON.parse(row.body) as Documents[K]) : undefined;
}

/** Writes a document as a whole. `state` is a word to list by, from the document itself where it has one. */
export function* putDocument(document: Document, at: number, state?: string) {
  yield* query(
    `INSERT INTO document (kind, id, order_id, partner, state, body, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (kind, id) DO UPDATE SET state = excluded.state, body = excluded.body, updated_at = excluded.updated_at`,
    document.type,
    document.id,
    document.type === 'order' ? document.id : 'orderId' in document ? document.orderId : null,
    partnerOf(document),
    state ?? ('state' in document ? document.state : 'stored'),
    JSON.stringify(document),
    at,
  );
}

export function* documentState(kind: DocumentKind, id: string) {
  const row = yield* queryOne<{ state: string }>(`SELECT state FROM document WHERE kind = ? AND id = ?`, kind, id);
  return row?.state;
}

export function* setDocumentState(kind: DocumentKind, id: string, state: string, at: number) {
  yield* query(`UPDATE document SET state = ?, updated_at = ? WHERE kind = ? AND id = ?`, state, at, kind, id);
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
