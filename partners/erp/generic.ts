import { parseMoney } from '../../orders/money.ts';
import type { PurchaseOrder } from '../../orders/purchase-order.ts';
import { isZero, subtract } from '../../orders/quantity.ts';
import type { AdapterSettings, AdapterTools } from '../adapter.ts';
import { identifier } from '../generic/mapping.ts';
import {
  compileList,
  documentShape,
  idShape,
  operationMissing,
  recordShape,
  type ListItem,
} from '../generic/operation.ts';
import { createPartner, skipped } from '../generic/partner.ts';
import type { PartnerKind } from '../generic/schema.ts';
import { unexpectedAnswer } from '../http.ts';
import type { ErpPayable, ErpSystem } from './port.ts';

const REQUIRED = [
  'createOrder',
  'createPurchaseOrder',
  'changePurchaseOrder',
  'receiveShipment',
  'enterBill',
  'payables',
  'registerPayment',
];

const KIND: PartnerKind = {
  name: 'an ERP',
  operations: {
    createOrder: 'create',
    createPurchaseOrder: 'create',
    changePurchaseOrder: 'change',
    cancelPurchaseOrder: 'cancel',
    receiveShipment: 'receive',
    completeOrder: 'complete',
    enterBill: 'enter',
    payables: '',
    registerPayment: 'register',
  },
  lists: ['payables'],
  answering: ['createOrder', 'createPurchaseOrder', 'receiveShipment', 'enterBill', 'registerPayment'],
  facts: [],
  reads: {},
};

/**
 * An ERP with any REST API, described in the options (`docs/generic-rest.md`). `completeOrder` may be left out; so may
 * `cancelPurchaseOrder`, and `changePurchaseOrder` is then used for whole cancellations as well.
 * @throws ConfigurationMistake `OPTIONS_INVALID`, `MAPPING_ENGINE_MISSING`
 */
export function createGenericErp(settings: AdapterSettings, tools: AdapterTools): ErpSystem {
  const partner = createPartner(KIND, REQUIRED, settings, tools);
  const { connection } = partner;
  const listing = partner.options.operations?.['payables'];
  const listPayables = listing && compileList(connection, listing, 'operations.payables');

  function payable({ item, where, request }: ListItem): ErpPayable {
    try {
      const row = (typeof item === 'object' && item !== null ? item : {}) as Record<string, unknown>;
      const currency = identifier(row['currency'], 'currency');
      const dueAt = identifier(row['dueAt'], 'dueAt');
      if (Number.isNaN(Date.parse(dueAt))) throw new Error(`dueAt "${dueAt.slice(0, 40)}" is no date`);
      const { purchaseOrder } = row;
      return {
        erpBillId: identifier(row['erpBillId'], 'erpBillId'),
        billNumber: identifier(row['billNumber'], 'billNumber'),
        ...(purchaseOrder === undefined || purchaseOrder === null || purchaseOrder === ''
          ? {}
          : { purchaseOrder: identifier(purchaseOrder, 'purchaseOrder') }),
        open: parseMoney(amount(row['open']), currency),
        dueAt,
      };
    } catch (thrown) {
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      throw unexpectedAnswer(request, settings.reference, `${where}: ${why}`, thrown);
    }
  }

  return {
    product: 'generic',
    settleTime: partner.settleTime,
    testConnection: partner.testConnection,

    async createOrder(order, write) {
      return partner.run('createOrder', { order }, documentShape, write, {
        order: order.id,
        lines: order.lines.length,
      });
    },

    async createPurchaseOrder(po, order, write) {
      return partner.run('createPurchaseOrder', { po, order }, documentShape, write, {
        purchaseOrder: po.id,
        lines: po.lines.length,
      });
    },

    async changePurchaseOrder(po, write) {
      const lines = po.lines.map((line) => ({ ...line, remaining: subtract(line.quantity, line.freed) }));
      const whole = lines.every((line) => isZero(line.remaining));
      const operation = whole && partner.can('cancelPurchaseOrder') ? 'cancelPurchaseOrder' : 'changePurchaseOrder';
      const known = erpDocument(po);
      const changed = await partner.run(operation, { po: { ...po, lines }, whole }, recordShape, write, {
        purchaseOrder: po.id,
        revision: po.revision,
      });
      return {
        id: changed['id'] === undefined ? known.id : identifier(changed['id'], 'id'),
        number: changed['number'] === undefined ? known.number : identifier(changed['number'], 'number'),
      };
    },

    async receiveShipment(shipment, po, write) {
      return partner.run('receiveShipment', { shipment, po }, idShape, write, {
        shipment: shipment.id,
        lines: shipment.lines.length,
      });
    },

    async completeOrder(order, write) {
      if (!partner.can('completeOrder')) return skipped('completeOrder');
      return partner.run('completeOrder', { order }, recordShape, write, { order: order.id });
    },

    async enterBill(bill, po, write) {
      // The number may have been entered by somebody else: it is looked for before the first call as well.
      return partner.run('enterBill', { bill, po }, documentShape, write, { bill: bill.id }, 'always');
    },

    async payables(dueOn) {
      if (!listPayables) throw operationMissing(settings.reference, 'payables');
      const rows = await listPayables({ dueOn });
      // Not every ERP can filter by due date.
      return rows.map(payable).filter(({ dueAt }) => dueAt.slice(0, 10) <= dueOn);
    },

    async registerPayment(payment, write) {
      return partner.run('registerPayment', { payment }, documentShape, write, { payment: payment.id });
    },
  };
}

function erpDocument(po: PurchaseOrder): { id: string; number: string } {
  return { id: po.erp?.id ?? po.id, number: po.erp?.number ?? po.erp?.id ?? po.id };
}

/** Text or number; a number that arithmetic has blurred fails in parseMoney. */
function amount(value: unknown): string | number {
  if (typeof value === 'string' || typeof value === 'number') return value;
  throw new Error('open must be a decimal amount such as "12.50"');
}
