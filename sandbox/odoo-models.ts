import type { Models, Row, Store, Values } from './odoo-store.ts';
import type { Json } from './world.ts';

/** The fields of Odoo 19 that integrations commonly use; an unknown field is an error, as in Odoo. */
export const models: Models = {
  'res.country': { name: { kind: 'char' }, code: { kind: 'char' } },
  'res.country.state': {
    name: { kind: 'char' },
    code: { kind: 'char' },
    country_id: { kind: 'many2one', to: 'res.country' },
  },
  'res.currency': { name: { kind: 'char' }, active: { kind: 'boolean', default: true } },
  'product.pricelist': { name: { kind: 'char' }, currency_id: { kind: 'many2one', to: 'res.currency' } },
  'account.payment.term': { name: { kind: 'char' }, days: { kind: 'integer' } },
  'account.journal': { name: { kind: 'char' }, code: { kind: 'char' }, type: { kind: 'selection' } },
  'stock.route': { name: { kind: 'char' } },
  'stock.picking.type': {
    name: { kind: 'char' },
    code: { kind: 'selection' },
    create_backorder: { kind: 'selection', default: 'ask' },
  },
  'res.partner': {
    name: { kind: 'char' },
    ref: { kind: 'char' },
    type: { kind: 'selection', default: 'contact' },
    parent_id: { kind: 'many2one', to: 'res.partner' },
    is_company: { kind: 'boolean', default: false },
    supplier_rank: { kind: 'integer', default: 0 },
    email: { kind: 'char' },
    phone: { kind: 'char' },
    street: { kind: 'char' },
    street2: { kind: 'char' },
    zip: { kind: 'char' },
    city: { kind: 'char' },
    country_id: { kind: 'many2one', to: 'res.country' },
    state_id: { kind: 'many2one', to: 'res.country.state' },
    property_supplier_payment_term_id: { kind: 'many2one', to: 'account.payment.term' },
    active: { kind: 'boolean', default: true },
  },
  'product.product': {
    name: { kind: 'char' },
    default_code: { kind: 'char' },
    type: { kind: 'selection', default: 'consu' },
    is_storable: { kind: 'boolean', default: false },
    purchase_method: { kind: 'selection', default: 'receive' },
    list_price: { kind: 'float', default: 0 },
    route_ids: { kind: 'many2many', to: 'stock.route' },
    seller_ids: { kind: 'one2many', to: 'product.supplierinfo', inverse: 'product_id' },
    active: { kind: 'boolean', default: true },
  },
  'product.supplierinfo': {
    product_id: { kind: 'many2one', to: 'product.product' },
    partner_id: { kind: 'many2one', to: 'res.partner' },
    price: { kind: 'float' },
  },
  'sale.order': {
    name: { kind: 'char' },
    state: { kind: 'selection', default: 'draft' },
    locked: { kind: 'boolean', default: false },
    partner_id: { kind: 'many2one', to: 'res.partner' },
    partner_shipping_id: { kind: 'many2one', to: 'res.partner' },
    client_order_ref: { kind: 'char' },
    origin: { kind: 'char' },
    pricelist_id: { kind: 'many2one', to: 'product.pricelist' },
    currency_id: {
      kind: 'many2one',
      to: 'res.currency',
      compute: (row, store) =>
        row['pricelist_id'] ? store.get('product.pricelist', row['pricelist_id'] as number)['currency_id']! : 1,
    },
    order_line: { kind: 'one2many', to: 'sale.order.line', inverse: 'order_id' },
    amount_total: {
      kind: 'float',
      compute: (row, store) => totalOf(store, 'sale.order.line', 'order_id', row, 'product_uom_qty'),
    },
    picking_ids: { kind: 'many2many', to: 'stock.picking', compute: salePickings },
    delivery_status: { kind: 'selection', compute: deliveryStatus },
  },
  'sale.order.line': {
    order_id: { kind: 'many2one', to: 'sale.order' },
    product_id: { kind: 'many2one', to: 'product.product' },
    name: { kind: 'char' },
    product_uom_qty: { kind: 'float', default: 1 },
    price_unit: { kind: 'float' },
    qty_delivered: {
      kind: 'float',
      compute: (row, store) =>
        doneQuantity(
          store,
          (move) => move['sale_line_id'] === row.id || purchaseLineOf(store, move)?.['sale_line_id'] === row.id,
        ),
    },
  },
  'purchase.order': {
    name: { kind: 'char' },
    state: { kind: 'selection', default: 'draft' },
    partner_id: { kind: 'many2one', to: 'res.partner' },
    partner_ref: { kind: 'char' },
    origin: { kind: 'char' },
    picking_type_id: { kind: 'many2one', to: 'stock.picking.type' },
    dest_address_id: { kind: 'many2one', to: 'res.partner' },
    currency_id: { kind: 'many2one', to: 'res.currency' },
    order_line: { kind: 'one2many', to: 'purchase.order.line', inverse: 'order_id' },
    amount_total: {
      kind: 'float',
      compute: (row, store) => totalOf(store, 'purchase.order.line', 'order_id', row, 'product_qty'),
    },
    picking_ids: { kind: 'many2many', to: 'stock.picking', compute: purchasePickings },
    invoice_ids: { kind: 'many2many', to: 'account.move', compute: purchaseBills },
    receipt_status: { kind: 'selection', compute: receiptStatus },
    invoice_status: { kind: 'selection', compute: invoiceStatus },
  },
  'purchase.order.line': {
    order_id: { kind: 'many2one', to: 'purchase.order' },
    product_id: { kind: 'many2one', to: 'product.product' },
    name: { kind: 'char' },
    product_qty: { kind: 'float', default: 1 },
    price_unit: { kind: 'float' },
    sale_line_id: { kind: 'many2one', to: 'sale.order.line' },
    qty_received: {
      kind: 'float',
      compute: (row, store) => doneQuantity(store, (move) => move['purchase_line_id'] === row.id),
    },
    qty_invoiced: { kind: 'float', compute: (row, store) => invoicedQuantity(store, row.id) },
  },
  'stock.picking': {
    name: { kind: 'char' },
    state: { kind: 'selection', default: 'assigned' },
    origin: { kind: 'char' },
    partner_id: { kind: 'many2one', to: 'res.partner' },
    picking_type_id: { kind: 'many2one', to: 'stock.picking.type' },
    picking_type_code: {
      kind: 'selection',
      compute: (row, store) => store.get('stock.picking.type', row['picking_type_id'] as number)['code']!,
    },
    backorder_id: { kind: 'many2one', to: 'stock.picking' },
    move_ids: { kind: 'one2many', to: 'stock.move', inverse: 'picking_id' },
    carrier_tracking_ref: { kind: 'char' },
    note: { kind: 'html' },
  },
  'stock.move': {
    picking_id: { kind: 'many2one', to: 'stock.picking' },
    product_id: { kind: 'many2one', to: 'product.product' },
    purchase_line_id: { kind: 'many2one', to: 'purchase.order.line' },
    sale_line_id: { kind: 'many2one', to: 'sale.order.line' },
    product_uom_qty: { kind: 'float' },
    quantity: { kind: 'float' },
    picked: { kind: 'boolean', default: false },
    state: { kind: 'selection', default: 'assigned' },
  },
  'stock.backorder.confirmation': {
    pick_ids: { kind: 'many2many', to: 'stock.picking' },
    backorder_confirmation_line_ids: {
      kind: 'one2many',
      to: 'stock.backorder.confirmation.line',
      inverse: 'backorder_confirmation_id',
    },
  },
  'stock.backorder.confirmation.line': {
    backorder_confirmation_id: { kind: 'many2one', to: 'stock.backorder.confirmation' },
    picking_id: { kind: 'many2one', to: 'stock.picking' },
    to_backorder: { kind: 'boolean' },
  },
  'account.move': {
    name: { kind: 'char' },
    move_type: { kind: 'selection', default: 'entry' },
    state: { kind: 'selection', default: 'draft' },
    partner_id: { kind: 'many2one', to: 'res.partner' },
    ref: { kind: 'char' },
    invoice_origin: { kind: 'char' },
    invoice_date: { kind: 'date' },
    invoice_date_due: { kind: 'date' },
    invoice_payment_term_id: { kind: 'many2one', to: 'account.payment.term' },
    currency_id: { kind: 'many2one', to: 'res.currency' },
    invoice_line_ids: { kind: 'one2many', to: 'account.move.line', inverse: 'move_id' },
    amount_total: {
      kind: 'float',
      compute: (row, store) => totalOf(store, 'account.move.line', 'move_id', row, 'quantity'),
    },
    amount_residual: { kind: 'float', compute: residualOf },
    payment_state: { kind: 'selection', compute: paymentState },
  },
  'account.move.line': {
    move_id: { kind: 'many2one', to: 'account.move' },
    name: { kind: 'char' },
    product_id: { kind: 'many2one', to: 'product.product' },
    purchase_line_id: { kind: 'many2one', to: 'purchase.order.line' },
    quantity: { kind: 'float', default: 1 },
    price_unit: { kind: 'float' },
  },
  'account.payment': {
    name: { kind: 'char' },
    state: { kind: 'selection', default: 'draft' },
    memo: { kind: 'char' },
    date: { kind: 'date' },
    amount: { kind: 'float' },
    currency_id: { kind: 'many2one', to: 'res.currency' },
    partner_id: { kind: 'many2one', to: 'res.partner' },
    journal_id: { kind: 'many2one', to: 'account.journal' },
    payment_type: { kind: 'selection', default: 'outbound' },
    reconciled_bill_ids: { kind: 'many2many', to: 'account.move' },
  },
  'account.payment.register': {
    payment_date: { kind: 'date' },
    amount: { kind: 'float' },
    communication: { kind: 'char' },
    journal_id: { kind: 'many2one', to: 'account.journal' },
  },
  'ir.module.module': { name: { kind: 'char' }, state: { kind: 'selection' } },
};

/** Odoo lists several sources with commas; the shipment stands behind the purchase order. */
export function shipmentOf(origin: unknown): string {
  return typeof origin === 'string' && origin.includes(', ') ? origin.slice(origin.indexOf(', ') + 2) : '';
}

/** Our name of the vendor and the number of the bill. */
export function billReference(store: Store, bill: Values): string {
  const vendor = store.rows('res.partner').find((row) => row.id === bill['partner_id']);
  return `${String(vendor?.['ref'] ?? '')}/${String(bill['ref'] ?? '')}`;
}

/** Cents as integers: the amounts of a demo must not show binary fractions that PostgreSQL's numeric would not. */
const cents = (amount: number): number => Math.round(amount * 100);

function totalOf(store: Store, lines: string, inverse: string, row: Row, quantity: string): number {
  const own = store.rows(lines).filter((line) => line[inverse] === row.id);
  return (
    own.reduce(
      (sum, line) => sum + cents(((line[quantity] as number) ?? 0) * ((line['price_unit'] as number) ?? 0)),
      0,
    ) / 100
  );
}

function doneQuantity(store: Store, matches: (move: Row) => boolean): number {
  const done = store.rows('stock.move').filter((move) => move['state'] === 'done' && matches(move));
  return done.reduce((sum, move) => sum + (move['quantity'] as number), 0);
}

function purchaseLineOf(store: Store, move: Row): Row | undefined {
  return move['purchase_line_id'] ? store.get('purchase.order.line', move['purchase_line_id'] as number) : undefined;
}

/** Drafts count as well; cancelled bills do not. */
function invoicedQuantity(store: Store, line: number): number {
  const billed = store.rows('account.move.line').filter((each) => each['purchase_line_id'] === line);
  const live = billed.filter((each) => store.get('account.move', each['move_id'] as number)['state'] !== 'cancel');
  return live.reduce((sum, each) => sum + (each['quantity'] as number), 0);
}

function lineIds(store: Store, model: string, order: Row): Set<Json | undefined> {
  return new Set(
    store
      .rows(model)
      .filter((line) => line['order_id'] === order.id)
      .map((line) => line.id),
  );
}

function purchasePickings(row: Row, store: Store): number[] {
  const lines = lineIds(store, 'purchase.order.line', row);
  const moves = store.rows('stock.move').filter((move) => lines.has(move['purchase_line_id']));
  return [...new Set(moves.map((move) => move['picking_id'] as number))];
}

function salePickings(row: Row, store: Store): number[] {
  const lines = lineIds(store, 'sale.order.line', row);
  const moves = store
    .rows('stock.move')
    .filter((move) => lines.has(move['sale_line_id']) || lines.has(purchaseLineOf(store, move)?.['sale_line_id']));
  return [...new Set(moves.map((move) => move['picking_id'] as number))];
}

function deliveryStatus(row: Row, store: Store): Json {
  const states = salePickings(row, store).map((id) => store.get('stock.picking', id)['state']);
  if (states.every((state) => state === 'cancel')) return false;
  if (states.every((state) => state === 'done' || state === 'cancel')) return 'full';
  return states.includes('done') ? 'partial' : 'pending';
}

function receiptStatus(row: Row, store: Store): Json {
  const states = purchasePickings(row, store).map((id) => store.get('stock.picking', id)['state']);
  if (states.every((state) => state === 'cancel')) return false;
  if (states.every((state) => state === 'done' || state === 'cancel')) return 'full';
  return states.includes('done') ? 'partial' : 'pending';
}

function purchaseBills(row: Row, store: Store): number[] {
  const lines = lineIds(store, 'purchase.order.line', row);
  const billed = store.rows('account.move.line').filter((line) => lines.has(line['purchase_line_id']));
  return [...new Set(billed.map((line) => line['move_id'] as number))];
}

function invoiceStatus(row: Row, store: Store): Json {
  if (row['state'] !== 'purchase') return 'no';
  const lines = store.rows('purchase.order.line').filter((line) => line['order_id'] === row.id);
  const open = lines.some(
    (line) => store.value('purchase.order.line', line, 'qty_received') !== invoicedQuantity(store, line.id),
  );
  if (open) return 'to invoice';
  return purchaseBills(row, store).length > 0 ? 'invoiced' : 'no';
}

function residualOf(row: Row, store: Store): number {
  if (row['state'] !== 'posted') return 0;
  const payments = store
    .rows('account.payment')
    .filter((payment) => (payment['reconciled_bill_ids'] as number[]).includes(row.id));
  const live = payments.filter((payment) => payment['state'] !== 'canceled' && payment['state'] !== 'rejected');
  const paid = live.reduce((sum, payment) => sum + cents(payment['amount'] as number), 0);
  return (cents(store.value('account.move', row, 'amount_total') as number) - paid) / 100;
}

function paymentState(row: Row, store: Store): Json {
  if (row['state'] !== 'posted') return 'not_paid';
  const residual = residualOf(row, store);
  if (residual <= 0) return 'paid';
  return residual < (store.value('account.move', row, 'amount_total') as number) ? 'partial' : 'not_paid';
}
