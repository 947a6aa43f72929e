import { Ajv, type ValidateFunction } from 'ajv';
import { BusinessRefusal } from '../../orders/errors.ts';
import { decimal, parseMoney } from '../../orders/money.ts';
import { parseQuantity } from '../../orders/quantity.ts';
import type { SupplierDocument, SupplierFactKind } from './port.ts';

/**
 * The callbacks of the REST/JSON protocol in our words. The schemas say what may be in them; what is taken over is copied
 * field by field into new objects.
 */

interface Line {
  line?: string;
  sku: string;
  quantity: string | number;
}

interface Callback<Data> {
  timestamp: string;
  data: { number: string; purchaseOrder: string } & Data;
}

interface AcknowledgementData {
  supplierOrderId?: string;
  currency?: string;
  lines: (Line & {
    status: 'accepted' | 'changed' | 'backordered' | 'rejected';
    unitCost?: string;
    shipBy?: string;
    reason?: string;
  })[];
}

interface ShipmentData {
  shippedAt: string;
  parcels: { carrier: string; trackingNumber: string; trackingUrl?: string }[];
  lines: Line[];
}

interface InvoiceData {
  issuedAt: string;
  dueAt?: string;
  currency: string;
  lines: (Line & { unitCost: string })[];
  shipping?: string;
  tax?: string;
  total: string;
}

interface CancellationData {
  accepted: boolean;
  lines: Line[];
  reason?: string;
}

// Quantities come as text or number.
const ajv = new Ajv({ allowUnionTypes: true });
const id = { type: 'string', minLength: 1, maxLength: 100 };
const text = { type: 'string', maxLength: 1000 };
const amount = { type: 'string', pattern: '^[0-9]{1,15}([.][0-9]{1,6})?$' };
const currency = { type: 'string', pattern: '^[A-Z]{3}$' };
const time = { type: 'string', maxLength: 40 };
const line = { line: id, sku: id, quantity: { type: ['string', 'number'] } };

function lines(properties: object, required: string[]): object {
  return {
    type: 'array',
    maxItems: 1000,
    items: { type: 'object', required: ['sku', 'quantity', ...required], properties: { ...line, ...properties } },
  };
}

function callback<Data>(properties: object, required: string[]): ValidateFunction<Callback<Data>> {
  return ajv.compile<Callback<Data>>({
    type: 'object',
    required: ['timestamp', 'data'],
    properties: {
      timestamp: time,
      data: {
        type: 'object',
        required: ['number', 'purchaseOrder', ...required],
        properties: { number: id, purchaseOrder: id, ...properties },
      },
    },
  });
}

const isAcknowledgement = callback<AcknowledgementData>(
  {
    supplierOrderId: id,
    currency,
    lines: lines(
      {
        status: { enum: ['accepted', 'changed', 'backordered', 'rejected'] },
        unitCost: amount,
        shipBy: time,
        reason: text,
      },
      ['status'],
    ),
  },
  ['lines'],
);

const isShipment = callback<ShipmentData>(
  {
    shippedAt: time,
    parcels: {
      type: 'array',
      maxItems: 1000,
      items: {
        type: 'object',
        required: ['carrier', 'trackingNumber'],
        properties: { carrier: id, trackingNumber: id, trackingUrl: text },
      },
    },
    lines: lines({}, []),
  },
  ['shippedAt', 'parcels', 'lines'],
);

const isInvoice = callback<InvoiceData>(
  {
    issuedAt: time,
    dueAt: time,
    currency,
    lines: lines({ unitCost: amount }, ['unitCost']),
    shipping: amount,
    tax: amount,
    total: amount,
  },
  ['issuedAt', 'currency', 'lines', 'total'],
);

const isCancellation = callback<CancellationData>(
  { accepted: { type: 'boolean' }, lines: lines({}, []), reason: text },
  ['accepted', 'lines'],
);

/** @throws BusinessRefusal `DOCUMENT_INVALID`, `QUANTITY_INVALID`, `AMOUNT_INVALID`, `CURRENCY_UNKNOWN` */
export function readDocument(kind: SupplierFactKind, body: unknown, partner: string): SupplierDocument {
  const read = { acknowledgement, shipment, bill, cancellation }[kind];
  return read(body, partner);
}

function acknowledgement(body: unknown, partner: string): SupplierDocument {
  const { data, timestamp } = valid(isAcknowledgement, body, partner);
  if (data.currency === undefined && data.lines.some((each) => each.unitCost !== undefined)) {
    throw invalid(partner, 'it names a unitCost but no currency');
  }
  return {
    kind: 'acknowledgement',
    ...head(data),
    at: instant(timestamp, partner),
    ...optional('supplierOrderId', data.supplierOrderId),
    ...optional('currency', data.currency),
    lines: data.lines.map((each) => ({
      ...readLine(each),
      status: each.status,
      ...optional('unitCost', readAmount(each.unitCost, data.currency)),
      ...optional('shipBy', each.shipBy && dayOrInstant(each.shipBy, partner)),
      ...optional('reason', readText(each.reason)),
    })),
  };
}

function shipment(body: unknown, partner: string): SupplierDocument {
  const { data } = valid(isShipment, body, partner);
  return {
    kind: 'shipment',
    ...head(data),
    at: instant(data.shippedAt, partner),
    parcels: data.parcels.map((parcel) => ({
      carrier: plain(parcel.carrier),
      trackingNumber: plain(parcel.trackingNumber),
      ...optional('trackingUrl', webAddress(parcel.trackingUrl)),
    })),
    lines: data.lines.map(readLine),
  };
}

function bill(body: unknown, partner: string): SupplierDocument {
  const { data } = valid(isInvoice, body, partner);
  return {
    kind: 'bill',
    ...head(data),
    at: instant(data.issuedAt, partner),
    ...optional('dueAt', data.dueAt && dayOrInstant(data.dueAt, partner)),
    currency: data.currency,
    lines: data.lines.map((each) => ({
      ...readLine(each),
      unitCost: decimal(parseMoney(each.unitCost, data.currency)),
    })),
    ...optional('shipping', readAmount(data.shipping, data.currency)),
    ...optional('tax', readAmount(data.tax, data.currency)),
    total: decimal(parseMoney(data.total, data.currency)),
  };
}

function cancellation(body: unknown, partner: string): SupplierDocument {
  const { data, timestamp } = valid(isCancellation, body, partner);
  return {
    kind: 'cancellation',
    ...head(data),
    at: instant(timestamp, partner),
    accepted: data.accepted,
    lines: data.lines.map(readLine),
    ...optional('reason', readText(data.reason)),
  };
}

function head(data: { number: string; purchaseOrder: string }): { number: string; purchaseOrder: string } {
  return { number: plain(data.number), purchaseOrder: data.purchaseOrder };
}

function readLine({ line: number, sku, quantity }: Line): { line?: string; sku: string; quantity: string } {
  return { ...optional('line', number), sku, quantity: parseQuantity(quantity) };
}

function readAmount(value: string | undefined, of: string | undefined): string | undefined {
  return value === undefined || of === undefined ? undefined : decimal(parseMoney(value, of));
}

function readText(value: string | undefined): string | undefined {
  return value === undefined ? undefined : plain(value);
}

/** On one line: these texts end in mails, headers and pages of others. */
function plain(value: string): string {
  return value.replace(/[\p{Cc}\u2028\u2029]+/gu, ' ').trim();
}

/** The customer gets to click on it, so it is a web address or it is left out; the tracking number still stands. */
function webAddress(value: string | undefined): string | undefined {
  return value !== undefined && URL.canParse(value) && /^https?:$/.test(new URL(value).protocol)
    ? new URL(value).href
    : undefined;
}

/** A day stays a day: a due date has no hour. */
function dayOrInstant(value: string, partner: string): string {
  return /^\d{4}-\d{2}-\d{2}$/.test(value) ? instant(value, partner).slice(0, 10) : instant(value, partner);
}

function instant(value: string, partner: string): string {
  const hasOffset = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2}))?$/.test(value);
  const milliseconds = hasOffset ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(milliseconds)) throw invalid(partner, `"${plain(value)}" is not a time in ISO 8601 with its offset`);
  return new Date(milliseconds).toISOString();
}

function optional<Key extends string, Value>(key: Key, value: Value | undefined | ''): { [K in Key]?: Value } {
  return value === undefined || value === '' ? {} : ({ [key]: value } as { [K in Key]?: Value });
}

function valid<Data>(isValid: ValidateFunction<Callback<Data>>, body: unknown, partner: string): Callback<Data> {
  if (isValid(body)) return body;
  const fault = isValid.errors?.[0];
  throw invalid(partner, `${fault?.instancePath ?? ''} ${fault?.message ?? 'is not as documented'}`.trim());
}

function invalid(partner: string, why: string): BusinessRefusal {
  return new BusinessRefusal(
    'DOCUMENT_INVALID',
    `The document of ${partner} cannot be used: ${why}. Ask the supplier for a corrected one.`,
  );
}
