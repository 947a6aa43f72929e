import type { AdapterSettings, AdapterTools } from '../adapter.ts';
import { receiveFacts } from '../generic/inbound.ts';
import { recordShape, supplierOrderShape } from '../generic/operation.ts';
import { createPartner } from '../generic/partner.ts';
import { compilePolls } from '../generic/poll.ts';
import { createReader, type Reader } from '../generic/read.ts';
import type { Fields, PartnerKind } from '../generic/schema.ts';
import { ConfigurationMistake } from '../../orders/errors.ts';
import type { Supplier, SupplierDocument, SupplierFactKind } from './port.ts';

const REQUIRED = ['sendPurchaseOrder', 'requestCancellation'];

function lines(more: Fields): Fields[string] {
  return { as: 'list', needed: true, fields: { line: 'optional', sku: 'needed', quantity: 'needed', ...more } };
}

const KIND: PartnerKind = {
  name: 'a supplier',
  operations: { sendPurchaseOrder: 'send', requestCancellation: 'ask' },
  answering: [],
  facts: ['acknowledgement', 'shipment', 'bill', 'cancellation'],
  reads: {
    acknowledgement: {
      number: 'optional',
      purchaseOrder: 'needed',
      at: 'needed',
      supplierOrderId: 'optional',
      currency: 'optional',
      lines: lines({ status: 'needed', unitCost: 'optional', shipBy: 'optional', reason: 'optional' }),
    },
    shipment: {
      number: 'needed',
      purchaseOrder: 'needed',
      at: 'needed',
      parcels: { as: 'list', fields: { carrier: 'needed', trackingNumber: 'needed', trackingUrl: 'optional' } },
      lines: lines({}),
    },
    bill: {
      number: 'needed',
      purchaseOrder: 'needed',
      at: 'needed',
      dueAt: 'optional',
      currency: 'needed',
      lines: lines({ unitCost: 'needed' }),
      shipping: 'optional',
      tax: 'optional',
      total: 'needed',
    },
    cancellation: {
      number: 'optional',
      purchaseOrder: 'needed',
      at: 'needed',
      accepted: 'needed',
      lines: lines({}),
      reason: 'optional',
    },
  },
};

/**
 * What repeats of one document share. A supplier numbers its shipments and bills; its answers often carry only the number of
 * the order, and may come several times with different content.
 */
const KEYS: Record<SupplierFactKind, readonly string[]> = {
  acknowledgement: ['purchaseOrder', 'at'],
  shipment: ['number'],
  bill: ['number'],
  cancellation: ['purchaseOrder', 'at'],
};

const STATES = ['accepted', 'changed', 'backordered', 'rejected'] as const;

/**
 * A supplier with any REST API, described in the options (`docs/generic-rest.md`).
 * @throws ConfigurationMistake `OPTIONS_INVALID`, `MAPPING_ENGINE_MISSING`
 */
export function createGenericSupplier(settings: AdapterSettings, tools: AdapterTools): Supplier {
  const partner = createPartner(KIND, REQUIRED, settings, tools);
  const { options } = partner;
  const defaultKey = (kind: SupplierFactKind) => KEYS[kind];
  const poll = compilePolls<SupplierFactKind>(partner.connection, options, tools.now, undefined, defaultKey);

  return {
    product: 'generic',
    settleTime: partner.settleTime,
    testConnection: partner.testConnection,

    async sendPurchaseOrder(po, write) {
      return partner.run('sendPurchaseOrder', { po }, supplierOrderShape, write, {
        purchaseOrder: po.id,
        lines: po.lines.length,
      });
    },

    async requestCancellation(po, lines, reason, write) {
      const asked = lines.map(({ line, quantity }) => ({ ...po.lines.find(({ id }) => id === line), line, quantity }));
      return partner.run('requestCancellation', { po, lines: asked, reason }, recordShape, write, {
        purchaseOrder: po.id,
        lines: lines.length,
      });
    },

    receive: (request) => receiveFacts(request, settings, tools, options, undefined, defaultKey),

    ...(poll ? { poll } : {}),

    read(kind, body) {
      const rules = options.read?.[kind];
      if (!rules) {
        throw new ConfigurationMistake(
          'OPTIONS_INVALID',
          `${settings.reference} sent a document of kind "${kind}", but its options do not say how to read it. Add read.${kind} in its config node.`,
          { status: 'options invalid' },
        );
      }
      return document(kind, createReader(rules, { value: body }, settings.reference, `read.${kind}`));
    },
  };
}

function document(kind: SupplierFactKind, reader: Reader): SupplierDocument {
  const purchaseOrder = reader.neededText('purchaseOrder');
  const at = reader.neededTime('at');
  const lines = reader.list('lines');
  if (lines.length === 0) throw reader.wrong('lines', 'has no lines', 'DOCUMENT_WITHOUT_LINES');
  const reason = optional('reason', reader.text('reason'));
  switch (kind) {
    case 'acknowledgement': {
      const currency = reader.text('currency')?.toUpperCase();
      return {
        kind,
        number: reader.text('number') ?? `${purchaseOrder}@${at}`,
        purchaseOrder,
        at,
        ...optional('supplierOrderId', reader.text('supplierOrderId')),
        ...optional('currency', currency),
        lines: lines.map((line) => ({
          ...supplierLine(line),
          status: line.choice('status', STATES),
          ...optional('unitCost', line.amount('unitCost', currency)),
          ...optional('shipBy', line.dayOrTime('shipBy')),
          ...optional('reason', line.text('reason')),
        })),
      };
    }
    case 'shipment':
      return {
        kind,
        number: reader.neededText('number'),
        purchaseOrder,
        at,
        parcels: reader.list('parcels').map((parcel) => ({
          carrier: parcel.neededText('carrier'),
          trackingNumber: parcel.neededText('trackingNumber'),
          ...optional('trackingUrl', parcel.text('trackingUrl')),
        })),
        lines: lines.map(supplierLine),
      };
    case 'bill': {
      const currency = reader.neededText('currency').toUpperCase();
      return {
        kind,
        number: reader.neededText('number'),
        purchaseOrder,
        at,
        ...optional('dueAt', reader.dayOrTime('dueAt')),
        currency,
        lines: lines.map((line) => ({ ...supplierLine(line), unitCost: neededAmount(line, 'unitCost', currency) })),
        ...optional('shipping', reader.amount('shipping', currency)),
        ...optional('tax', reader.amount('tax', currency)),
        total: neededAmount(reader, 'total', currency),
      };
    }
    case 'cancellation':
      return {
        kind,
        number: reader.text('number') ?? `${purchaseOrder}@${at}`,
        purchaseOrder,
        at,
        accepted: neededFlag(reader, 'accepted'),
        lines: lines.map(supplierLine),
        ...reason,
      };
  }
}

function supplierLine(line: Reader): { line?: string; sku: string; quantity: string } {
  return { ...optional('line', line.text('line')), sku: line.neededText('sku'), quantity: line.quantity('quantity') };
}

function neededAmount(reader: Reader, field: string, currency: string): string {
  const amount = reader.amount(field, currency);
  if (amount === undefined) throw reader.wrong(field, 'is not in the document', 'AMOUNT_INVALID');
  return amount;
}

function neededFlag(reader: Reader, field: string): boolean {
  const flag = reader.flag(field);
  if (flag === undefined) throw reader.wrong(field, 'is not in the document');
  return flag;
}

function optional<Field extends string>(field: Field, value: string | undefined): { [name in Field]?: string } {
  return (value === undefined || value === '' ? {} : { [field]: value }) as { [name in Field]?: string };
}
