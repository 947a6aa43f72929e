import type { FlowNode } from '../scripts/examples.ts';
import { ASSORTMENT, SHOP, SUPPLIERS, WEBHOOK_SECRET } from './orders.ts';

export interface DroplineFlowOptions {
  /** Where the ERP and the suppliers are. */
  partners: string;
  /** `intake`: what comes in is stored, judged and emitted, and no node follows. `whole`: on to the suppliers. */
  reach: 'intake' | 'whole';
  /** A PostgreSQL URL; SQLite otherwise. */
  database?: string | undefined;
  /** Seconds; Dropline's defaults where they are left out. */
  quietTime?: number | undefined;
  timeout?: number | undefined;
  settleTime?: number | undefined;
  /** Pieces of each article that each supplier has; not asked for where it is left out. */
  stock?: number | undefined;
}

/** The same intake with Dropline's nodes. Suppliers' callbacks go on to the ERP and the shop, so that orders can be finished. */
export function droplineFlow(options: DroplineFlowOptions): FlowNode[] {
  const z = 'dropline';
  const whole = options.reach === 'whole';
  const partner = (id: string, type: string, baseUrl: string, more: Record<string, unknown>): FlowNode => ({
    id: `bench-${id}`,
    type,
    name: id,
    reference: id,
    ledger: 'bench-ledger',
    product: 'generic',
    baseUrl,
    timeout: options.timeout ?? 20,
    movedTo: '',
    ...more,
  });
  const settle = options.settleTime === undefined ? {} : { settleSeconds: options.settleTime };
  return [
    {
      id: 'bench-ledger',
      type: 'dropship-ledger',
      name: '',
      file: '',
      ...(options.database ? { store: 'postgres', credentials: { url: options.database } } : {}),
      quietTime: options.quietTime ?? 30,
      batch: 64,
      maxEffects: 256,
      maxAttempts: 5,
      patience: 24,
    },
    partner(SHOP, 'ecommerce-platform', `${options.partners}/shop`, {
      takeWhen: 'paid',
      options: { ...SHOP_OPTIONS, ...settle },
      credentials: { webhookSecret: WEBHOOK_SECRET },
    }),
    partner('erp', 'erp-system', `${options.partners}/erp`, { options: { ...ERP_OPTIONS, ...settle } }),
    ...SUPPLIERS.map((name) =>
      partner(name, 'supplier', `${options.partners}/${name}`, {
        options: { ...SUPPLIER_OPTIONS, ...settle },
        credentials: { webhookSecret: WEBHOOK_SECRET },
        priority: 10,
        countries: 'DE, AT, NL, BE, FR',
        shippingCost: '4.90',
        handlingCost: '0',
        freeShippingFrom: '',
        currency: 'EUR',
        leadTimeDays: '2',
        minimumOrder: '',
        openOrderLimit: '',
      }),
    ),
    { id: z, type: 'tab', label: 'Dropline', disabled: false },
    {
      id: 'bench-receive',
      type: 'ecommerce-receive',
      z,
      name: '',
      platform: `bench-${SHOP}`,
      pollMinutes: 0,
      wires: whole ? [['bench-order'], [], [], []] : [[], [], [], []],
    },
    ...(whole ? wholeIntake(z, options.stock) : []),
  ];
}

function wholeIntake(z: string, stock: number | undefined): FlowNode[] {
  const erp = { z, name: '', erp: 'bench-erp' };
  return [
    { id: 'bench-order', type: 'erp-create-order', ...erp, wires: [['bench-route']] },
    {
      id: 'bench-route',
      type: 'supplier-route',
      z,
      name: '',
      ledger: 'bench-ledger',
      strategy: 'cheapest',
      source: 'table',
      offers: ASSORTMENT.map(({ sku, supplier, cost }) => ({
        supplier,
        sku,
        supplierSku: sku,
        unitCost: cost,
        currency: 'EUR',
        stock: stock === undefined ? '' : String(stock),
        leadTimeDays: '',
        countries: '',
        minimumQuantity: '',
      })),
      file: '',
      rules: [],
      wholeUnits: true,
      wires: [['bench-po'], []],
    },
    { id: 'bench-po', type: 'erp-create-po', ...erp, wires: [['bench-send']] },
    { id: 'bench-send', type: 'supplier-send', z, name: '', supplier: '', ledger: 'bench-ledger', wires: [[]] },
    {
      id: 'bench-callbacks',
      type: 'supplier-receive',
      z,
      name: '',
      supplier: '',
      ledger: 'bench-ledger',
      pollMinutes: 0,
      wires: [[], ['bench-received'], [], [], [], []],
    },
    { id: 'bench-received', type: 'erp-complete', ...erp, wires: [['bench-told']] },
    {
      id: 'bench-told',
      type: 'ecommerce-complete',
      z,
      name: '',
      platform: '',
      ledger: 'bench-ledger',
      wires: [[]],
    },
  ];
}

/** Asked by our reference when an answer was lost; the partners do not deduplicate. */
function probed(path: string, reference: string) {
  return {
    settle: 'probe',
    probe: {
      path,
      query: { ref: `{${reference}}` },
      response: "body.data.{ 'id': id, 'number': number }",
      missing: 'body.data = []',
    },
  };
}

const DOCUMENT = "body.{ 'id': id, 'number': number }";

const CALLBACKS = {
  signature: 'hmac-sha256',
  header: 'X-Signature',
  encoding: 'hex',
  prefix: 'sha256=',
};

/** As many calls at a time as orders are in flight: the default of 16 would be the limit with partners of 20 ms. */
const MAX_CONCURRENT = 64;

const SHOP_OPTIONS = {
  auth: { type: 'none' },
  operations: {
    fulfil: {
      method: 'POST',
      path: '/fulfilments',
      request: "{ 'ref': shipment.id, 'order': order.id, 'tracking': shipment.parcels.trackingNumber }",
      response: "body.{ 'id': id }",
      ...probed('/fulfilments', 'shipment.id'),
    },
  },
  callbacks: { ...CALLBACKS, facts: { kind: 'order' } },
  read: {
    order: {
      shopOrderId: 'id',
      number: 'order_name | id',
      placedAt: 'created_at',
      changedAt: 'updated_at',
      currency: 'currency',
      customer: { name: { text: '{buyer.first} {buyer.last}' }, email: 'buyer.email', phone: 'buyer.phone' },
      shipTo: {
        name: { text: '{delivery.first} {delivery.last}' },
        street: 'delivery.address_1',
        street2: 'delivery.address_2',
        postalCode: 'delivery.zip',
        city: 'delivery.city',
        country: 'delivery.country',
      },
      lines: {
        each: 'line_items',
        fields: { id: 'id', sku: 'sku', name: 'title', quantity: 'quantity', unitPrice: 'unit_price' },
      },
      shipping: { path: 'delivery_fee', default: '0' },
      total: 'grand_total',
      note: 'buyer_note',
      paid: { exists: 'paid_at' },
    },
  },
};

const ERP_OPTIONS = {
  auth: { type: 'none' },
  maxConcurrent: MAX_CONCURRENT,
  operations: {
    createOrder: {
      method: 'POST',
      path: '/orders',
      request: [
        "{ 'ref': order.id, 'order': order.id,",
        "  'customer': { 'name': order.customer.name, 'email': order.customer.email }, 'currency': order.currency,",
        "  'lines': [order.lines.{ 'sku': sku, 'qty': quantity, 'price': unitPrice.decimal }] }",
      ],
      response: DOCUMENT,
      ...probed('/orders', 'order.id'),
    },
    createPurchaseOrder: {
      method: 'POST',
      path: '/purchase-orders',
      request: [
        "{ 'ref': po.id, 'order': order.id, 'sales_order_id': order.erp.id, 'vendor': po.supplier, 'currency': po.currency,",
        "  'ship_to': po.shipTo.{ 'name': name, 'street': street, 'zip': postalCode, 'city': city, 'country': country },",
        "  'lines': [po.lines.{ 'ref': id, 'sku': sku, 'qty': quantity, 'cost': unitCost.decimal }] }",
      ],
      response: DOCUMENT,
      ...probed('/purchase-orders', 'po.id'),
    },
    receiveShipment: {
      method: 'POST',
      path: '/receipts',
      request: "{ 'ref': shipment.id, 'order': po.orderId }",
      response: "body.{ 'id': id }",
      ...probed('/receipts', 'shipment.id'),
    },
  },
};

const SUPPLIER_OPTIONS = {
  auth: { type: 'none' },
  maxConcurrent: MAX_CONCURRENT,
  operations: {
    sendPurchaseOrder: {
      method: 'POST',
      path: '/orders',
      request: [
        "{ 'ref': po.id, 'order': po.orderId,",
        "  'recipient': po.shipTo.{ 'name': name, 'street': street, 'zip': postalCode, 'city': city, 'country': country },",
        "  'items': [po.lines.{ 'pos': $number(id), 'article': sku, 'pieces': $number(quantity) }] }",
      ],
      response: "{ 'supplierOrderId': body.number }",
      settle: 'probe',
      probe: {
        path: '/orders',
        query: { ref: '{po.id}' },
        response: "body.data.{ 'supplierOrderId': number }",
        missing: 'body.data = []',
      },
    },
  },
  callbacks: {
    ...CALLBACKS,
    facts: { kind: { path: 'kind', table: { acknowledgement: 'acknowledgement', shipment: 'shipment' } } },
  },
  read: {
    acknowledgement: {
      purchaseOrder: 'ref',
      at: 'at',
      lines: { each: 'items', fields: { sku: 'article', quantity: 'pieces', status: 'state' } },
    },
    shipment: {
      number: 'note',
      purchaseOrder: 'ref',
      at: 'at',
      parcels: { each: 'parcels', fields: { carrier: 'carrier', trackingNumber: 'barcode' } },
      lines: { each: 'items', fields: { sku: 'article', quantity: 'pieces' } },
    },
  },
};
