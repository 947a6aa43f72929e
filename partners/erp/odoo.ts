import { settleTime } from '../settings.ts';
import { BusinessRefusal, ConfigurationMistake } from '../../orders/errors.ts';
import type { Order } from '../../orders/order.ts';
import type { AdapterSettings, AdapterTools, ConnectionTest } from '../adapter.ts';
import type { Json, Writer } from '../write.ts';
import { enterBill, payables, registerPayment } from './odoo-accounting.ts';
import { byNumber, mustBeOurs, mustFit } from './odoo-adopt.ts';
import { createJson2 } from './odoo-json2.ts';
import {
  customerReference,
  ensureCustomer,
  ensureDeliveryAddress,
  ensureProducts,
  productsOf,
} from './odoo-masterdata.ts';
import type { OdooOptions } from './odoo-masterdata.ts';
import { changePurchase, createPurchase, erpId, type OdooDesk } from './odoo-purchases.ts';
import { receive } from './odoo-receipts.ts';
import { createTurns, wireAmount, withRecords, type OdooRecords, type Row } from './odoo-records.ts';
import type { ErpDocument, ErpSystem } from './port.ts';

/** Confirmed; `done` is what Odoo up to 17 calls a locked order. */
const CONFIRMED = new Set(['sale', 'done']);

/**
 * Odoo 19 by JSON-2. Odoo deduplicates nothing and none of its reference fields is unique, but all its reads are consistent:
 * every write is settled by a probe for our reference. Each action is followed by a read of the state, because Odoo answers
 * without an error also when it stopped half-way.
 *
 * Our references: `res.partner.ref` customer, ship-to and supplier; `sale.order.client_order_ref` order; `purchase.order.partner_ref` purchase
 * order; `stock.picking.origin` (behind the purchase order) shipment; `account.move.ref` the supplier's bill number;
 * `account.payment.memo` payment. Products are found by Internal Reference (`default_code`).
 * The bot user works in one company, its own.
 */
export function createOdoo(settings: AdapterSettings, tools: AdapterTools): ErpSystem {
  const options = settings.options as OdooOptions;
  const desk: OdooDesk = { odoo: withRecords(createJson2(settings, tools)), options, partner: settings.reference };
  const inTurn = createTurns();

  return {
    product: 'Odoo',
    settleTime: settleTime(settings),
    testConnection: () => testConnection(desk),
    // Two orders of one new customer at a time would both find no contact and both make one.
    createOrder: (order, write) => inTurn(customerReference(order), () => createSale(desk, order, write)),
    createPurchaseOrder: (po, order, write) =>
      inTurn(customerReference(order), () => createPurchase(desk, po, order, write)),
    changePurchaseOrder: (po, write) => inTurn(po.id, () => changePurchase(desk, po, write)),
    // Two shipments of one purchase order take the same open picking, one after the other.
    receiveShipment: (shipment, po, write) => inTurn(po.id, () => receive(desk, shipment, po, write)),
    completeOrder: (order, write) => completeSale(desk, order, write),
    enterBill: (bill, po, write) => inTurn(po.id, () => enterBill(desk, bill, po, write)),
    payables: (dueOn) => payables(desk, dueOn),
    registerPayment: (payment, write) => registerPayment(desk, payment, tools.now(), write),
  };
}

async function createSale(desk: OdooDesk, order: Order, write: Writer): Promise<ErpDocument> {
  const { odoo, options, partner } = desk;
  const customer = await ensureCustomer(odoo, order, write);
  const shipTo = await ensureDeliveryAddress(odoo, order, order.shipTo, async () => customer, write);
  await ensureProducts(odoo, options, order.lines, write);

  const id = await write({
    step: 'create',
    summary: { order: order.id, lines: order.lines.map((line) => `${line.quantity} x ${line.sku}`) },
    settle: 'probe',
    look: 'always',
    find: async () =>
      (await odoo.find('sale.order', [['client_order_ref', '=', order.id]], ['name'], { limit: 1 }))[0]?.id,
    async adopt(number) {
      const found = await byNumber(desk, 'sale.order', number, ['client_order_ref', 'currency_id']);
      mustBeOurs(desk, number, found.text('client_order_ref'), order.id);
      const currency = found.one('currency_id')?.name ?? '';
      mustFit(desk, number, currency === order.currency, `is in ${currency} instead of ${order.currency}`);
      return found.id;
    },
    async send({ signal }) {
      const pricelist = options.pricelists?.[order.currency];
      const values = {
        partner_id: customer,
        partner_shipping_id: shipTo,
        client_order_ref: order.id,
        ...(pricelist === undefined ? {} : { pricelist_id: pricelist }),
        order_line: await saleLines(desk, order),
      };
      return odoo.create('sale.order', values, signal);
    },
  });

  const read = (): Promise<Row> => odoo.get('sale.order', id, ['name', 'state', 'currency_id']);
  const confirmed = (row: Row): ErpDocument | undefined =>
    CONFIRMED.has(row.text('state')) ? { id: String(id), number: row.text('name') } : undefined;
  return write({
    step: 'confirm',
    summary: { order: order.id },
    settle: 'probe',
    find: async () => confirmed(await read()),
    async send({ signal }) {
      const before = await read();
      if (confirmed(before)) return confirmed(before)!;
      const currency = before.one('currency_id')?.name;
      if (currency !== order.currency) {
        throw new ConfigurationMistake(
          'CURRENCY_MISMATCH',
          `${partner} (Odoo) made ${before.text('name')} in ${currency}, the order is in ${order.currency}. Name the pricelist for ${order.currency} in the config node, give ${before.text('name')} that pricelist in Odoo, then try again.`,
        );
      }
      if (before.text('state') !== 'cancel') await odoo.press('sale.order', 'action_confirm', id, signal);
      const after = await read();
      if (confirmed(after)) return confirmed(after)!;
      throw new BusinessRefusal(
        'SALE_NOT_CONFIRMED',
        `${partner} (Odoo) has ${after.text('name')} in the state "${after.text('state')}" instead of confirmed. Confirm it in Odoo, then try again.`,
      );
    },
  });
}

/** A line of a sale needs a product, also for what the shop charges for shipping and gives as discount. */
async function saleLines(desk: OdooDesk, order: Order): Promise<unknown[]> {
  const { odoo, options, partner } = desk;
  const extras = [
    { sku: options.shippingProduct ?? 'SHIPPING', amount: order.shipping, sign: 1 },
    { sku: options.discountProduct ?? 'DISCOUNT', amount: order.discount, sign: -1 },
  ].flatMap(({ sku, amount, sign }) =>
    amount && amount.minor !== 0 ? [{ sku, price: sign * Math.abs(wireAmount(amount)) }] : [],
  );
  const skus = [...order.lines.map((line) => line.sku), ...extras.map((extra) => extra.sku)];
  const products = await productsOf(odoo, partner, skus);
  return [
    ...order.lines.map((line) => [
      0,
      0,
      {
        product_id: products.get(line.sku),
        name: line.name,
        product_uom_qty: Number(line.quantity),
        price_unit: wireAmount(line.unitPrice),
      },
    ]),
    ...extras.map(({ sku, price }) => [0, 0, { product_id: products.get(sku), product_uom_qty: 1, price_unit: price }]),
  ];
}

/**
 * All has shipped. Confirming the sale has made a delivery from our own warehouse, which will never leave because the suppliers
 * have shipped: it is cancelled, or somebody would send the goods a second time. Then the sale is locked.
 */
async function completeSale(desk: OdooDesk, order: Order, write: Writer): Promise<Record<string, Json>> {
  const { odoo, partner } = desk;
  const id = erpId(order, partner, 'sales order', 'erp-create-order');

  const warehouse = async (): Promise<Row[]> => {
    const pickings = await picksOf(odoo, id);
    const open = pickings.filter((row) => !['done', 'cancel'].includes(row.text('state')));
    const late = open.filter((row) => row.text('picking_type_code') === 'dropship');
    if (late.length > 0) {
      throw new BusinessRefusal(
        'DELIVERIES_OPEN',
        `${partner} (Odoo) still expects ${late.map((row) => row.text('name')).join(', ')} of ${order.erp?.number}. Receive or cancel it in Odoo, then try again.`,
      );
    }
    return open.filter((row) => row.text('picking_type_code') === 'outgoing');
  };
  await write({
    step: 'close-deliveries',
    summary: { order: order.id },
    settle: 'probe',
    find: async () => ((await warehouse()).length === 0 ? { cancelled: [] } : undefined),
    async send({ signal }) {
      const open = await warehouse();
      const names = open.map((row) => row.text('name'));
      if (open.length > 0)
        await odoo.call('stock.picking', 'action_cancel', { ids: open.map((row) => row.id) }, { signal });
      const left = await warehouse();
      if (left.length === 0) return { cancelled: names };
      throw new BusinessRefusal(
        'DELIVERIES_OPEN',
        `${partner} (Odoo) did not cancel ${left.map((row) => row.text('name')).join(', ')}. Cancel it in Odoo, then try again.`,
      );
    },
  });

  const read = (): Promise<Row> => odoo.get('sale.order', id, ['name', 'state', 'locked', 'delivery_status']);
  const locked = (row: Row): Record<string, Json> | undefined =>
    row.truth('locked')
      ? { number: row.text('name'), state: row.text('state'), deliveries: row.text('delivery_status') }
      : undefined;
  return write({
    step: 'lock',
    summary: { order: order.id },
    settle: 'probe',
    find: async () => locked(await read()),
    async send({ signal }) {
      const before = await read();
      if (locked(before)) return locked(before)!;
      await odoo.press('sale.order', 'action_lock', id, signal);
      const after = await read();
      if (locked(after)) return locked(after)!;
      throw new BusinessRefusal(
        'SALE_NOT_LOCKED',
        `${partner} (Odoo) did not lock ${after.text('name')}. Lock it in Odoo, then try again.`,
      );
    },
  });
}

/** The sale's own deliveries and the drop shipments of the purchase orders that name it as their source. */
async function picksOf(odoo: OdooRecords, sale: number): Promise<Row[]> {
  const own = await odoo.get('sale.order', sale, ['name', 'picking_ids']);
  const purchases = await odoo.find('purchase.order', [['origin', '=', own.text('name')]], ['picking_ids']);
  const ids = new Set([...own.many('picking_ids'), ...purchases.flatMap((row) => row.many('picking_ids'))]);
  return odoo.find('stock.picking', [['id', 'in', [...ids]]], ['name', 'state', 'picking_type_code']);
}

/** One record of each app that the adapter needs; the first that is missing says what to do. */
async function testConnection(desk: OdooDesk): Promise<ConnectionTest> {
  const { odoo, partner } = desk;
  const apps = {
    Sales: 'sale.order',
    Purchase: 'purchase.order',
    Inventory: 'stock.picking',
    Invoicing: 'account.move',
  };
  const missing: string[] = [];
  for (const [app, model] of Object.entries(apps)) {
    try {
      await odoo.find(model, [], ['name'], { limit: 1 });
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      if (!(error instanceof ConfigurationMistake) || error.code !== 'ERP_PART_MISSING')
        return { ok: false, message: error.message };
      missing.push(app);
    }
  }
  if (missing.length > 0) {
    return { ok: false, message: `${partner} (Odoo) answers, but lacks ${missing.join(', ')}. Install it under Apps.` };
  }
  try {
    const [dropship] = await odoo.find('stock.picking.type', [['code', '=', 'dropship']], ['name'], { limit: 1 });
    return dropship
      ? {
          ok: true,
          message: `${partner} (Odoo) answers, and Sales, Purchase, Inventory with drop shipping and Invoicing are there.`,
        }
      : {
          ok: false,
          message: `${partner} (Odoo) answers, but drop shipping is off. Switch Dropshipping on under Purchase, Configuration, Settings.`,
        };
  } catch (error) {
    return { ok: false, message: error instanceof Error ? error.message : String(error) };
  }
}
