/**
 * JSON Schemas of the documents that travel in `msg.payload`, by their `type`. A flow may add properties; what stands here
 * must be there. Rules that need more than one document's own fields (sums, states, what was ordered) are functions.
 */
export type DocumentType =
  | 'order'
  | 'order-lines'
  | 'purchase-order'
  | 'acknowledgement'
  | 'cancellation'
  | 'shipment'
  | 'bill'
  | 'payables'
  | 'payment-run'
  | 'payment';

type Schema = Record<string, unknown>;

const text: Schema = { type: 'string', minLength: 1, maxLength: 500 };
const id: Schema = { type: 'string', minLength: 1, maxLength: 200 };
const time: Schema = { type: 'string', minLength: 10, maxLength: 40 };
const quantity: Schema = { type: 'string', pattern: '^\\d{1,9}(\\.\\d{1,6})?$' };
const currency: Schema = { type: 'string', pattern: '^[A-Z]{3}$' };
const count: Schema = { type: 'integer', minimum: 0 };
const money = object({ minor: { type: 'integer' }, currency });
const address = object({
  name: { type: 'string' },
  street: { type: 'string' },
  city: { type: 'string' },
  country: { type: 'string', pattern: '^[A-Z]{2}$' },
});
const affectedLine = object({ orderLine: id, sku: text, quantity });
const erp = object({ partner: id, id, number: text });
const beneficiary = object({ supplier: id, version: count, name: text, iban: text, address });

const payment = document('payment', {
  id,
  endToEndId: { type: 'string', minLength: 1, maxLength: 35 },
  run: id,
  bill: id,
  billNumber: text,
  supplier: id,
  erp: id,
  erpBillId: id,
  orderId: id,
  amount: money,
  beneficiary,
  state: { enum: ['reserved', 'sent', 'accepted', 'paid', 'rejected', 'returned', 'unclear'] },
});

export const schemas: Record<DocumentType, Schema> = {
  order: document(
    'order',
    {
      id,
      shop: id,
      shopOrderId: id,
      number: text,
      placedAt: time,
      changedAt: time,
      currency,
      customer: object({ name: { type: 'string' } }),
      shipTo: address,
      lines: list(object({ id, sku: text, name: { type: 'string' }, quantity, unitPrice: money })),
      total: money,
      revision: count,
    },
    { erp, undeliverable: { type: 'array', items: affectedLine } },
  ),
  'order-lines': document(
    'order-lines',
    { orderId: id, lines: list(affectedLine), reason: { type: 'string' } },
    { purchaseOrder: id, freedBy: id },
  ),
  'purchase-order': document(
    'purchase-order',
    {
      id,
      orderId: id,
      supplier: id,
      round: count,
      createdAt: time,
      currency,
      shipTo: address,
      lines: list(
        object({
          id,
          orderLine: id,
          sku: text,
          name: { type: 'string' },
          quantity,
          unitCost: money,
          accepted: quantity,
          freed: quantity,
          shipped: quantity,
          billed: quantity,
        }),
      ),
      shipping: money,
      total: money,
      revision: count,
      state: { enum: ['allocated', 'sent', 'acknowledged', 'partly-shipped', 'shipped', 'cancelled'] },
    },
    { erp, erpRevision: count, supplierOrderId: id },
  ),
  acknowledgement: document('acknowledgement', {
    id,
    supplier: id,
    purchaseOrder: id,
    orderId: id,
    at: time,
    lines: list(
      object({ line: id, sku: text, status: { enum: ['accepted', 'changed', 'backordered', 'rejected'] }, quantity }),
    ),
  }),
  cancellation: document('cancellation', {
    id,
    supplier: id,
    purchaseOrder: id,
    orderId: id,
    at: time,
    accepted: { type: 'boolean' },
    lines: { type: 'array', items: object({ line: id, sku: text, quantity }) },
  }),
  shipment: document('shipment', {
    id,
    number: text,
    supplier: id,
    purchaseOrder: id,
    orderId: id,
    shippedAt: time,
    parcels: { type: 'array', items: object({ carrier: { type: 'string' }, trackingNumber: { type: 'string' } }) },
    lines: list(object({ line: id, orderLine: id, sku: text, quantity })),
  }),
  bill: document(
    'bill',
    {
      id,
      number: text,
      supplier: id,
      purchaseOrder: id,
      orderId: id,
      issuedAt: time,
      currency,
      lines: list(object({ line: id, sku: text, quantity, unitCost: money })),
      total: money,
    },
    { shipping: money, tax: money, erp },
  ),
  payables: document('payables', {
    id,
    erp: id,
    bills: {
      type: 'array',
      items: object({
        bill: id,
        supplier: id,
        number: text,
        orderId: id,
        purchaseOrder: id,
        amount: money,
        dueAt: time,
        erpBillId: id,
      }),
    },
  }),
  'payment-run': document('payment-run', {
    id: { type: 'string', pattern: '^[A-Za-z0-9-]{1,30}$' },
    account: id,
    createdAt: time,
    createdBy: id,
    currency,
    total: money,
    payments: list(payment),
    contentHash: text,
    state: { enum: ['waiting-for-approval', 'approved', 'sent', 'refused'] },
    approvalsNeeded: count,
    approvals: { type: 'array', items: object({ by: id, at: time }) },
  }),
  payment,
};

function document(type: DocumentType, required: Record<string, Schema>, optional: Record<string, Schema> = {}): Schema {
  return object({ type: { const: type }, ...required }, optional);
}

function object(required: Record<string, Schema>, optional: Record<string, Schema> = {}): Schema {
  return { type: 'object', required: Object.keys(required), properties: { ...required, ...optional } };
}

function list(items: Schema): Schema {
  return { type: 'array', minItems: 1, items };
}
