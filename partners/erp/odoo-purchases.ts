import { BusinessRefusal, ConfigurationMistake } from '../../orders/errors.ts';
import type { Order } from '../../orders/order.ts';
import type { PurchaseOrder, PurchaseOrderLine } from '../../orders/purchase-order.ts';
import { compare, isZero, subtract, type Quantity } from '../../orders/quantity.ts';
import type { Writer } from '../write.ts';
import { byNumber, mustBeOurs, mustFit } from './odoo-adopt.ts';
import {
  currencyId,
  ensureDeliveryAddress,
  ensureProducts,
  ensureVendor,
  productsOf,
  vendorOf,
  type OdooOptions,
} from './odoo-masterdata.ts';
import { wireAmount, type OdooRecords, type Row } from './odoo-records.ts';
import type { ErpDocument } from './port.ts';

/** Odoo 17 and 18 lock a confirmed purchase order by the state `done`, 19 by a flag. */
const CONFIRMED = new Set(['purchase', 'done']);

/** What all of Odoo's operations share. */
export interface OdooDesk {
  odoo: OdooRecords;
  options: OdooOptions;
  /** Our reference of the ERP, for messages. */
  partner: string;
}

/**
 * Our purchase order as Odoo's, of the picking type "dropship" with the customer's address. The goods only: what shipping costs
 * comes with the supplier's bill. `partner_ref` has no unique constraint, so the probe by it is what prevents a second one.
 */
export async function createPurchase(
  desk: OdooDesk,
  po: PurchaseOrder,
  order: Order,
  write: Writer,
): Promise<ErpDocument> {
  const { odoo, options, partner } = desk;
  const sale = erpId(order, partner, 'sales order', 'erp-create-order');
  await ensureVendor(odoo, options, po.supplier, write);
  await ensureProducts(odoo, options, po.lines, write);
  const shipTo = await ensureDeliveryAddress(odoo, order, po.shipTo, () => customerOf(odoo, sale), write);

  const id = await write({
    step: 'create',
    summary: {
      purchaseOrder: po.id,
      supplier: po.supplier,
      lines: po.lines.map((line) => `${line.quantity} x ${line.sku}`),
    },
    settle: 'probe',
    look: 'always',
    find: async () => (await odoo.find('purchase.order', [['partner_ref', '=', po.id]], ['name'], { limit: 1 }))[0]?.id,
    adopt: (number) => adoptPurchase(desk, po, number),
    async send({ signal }) {
      const products = await productsOf(
        odoo,
        partner,
        po.lines.map((line) => line.sku),
      );
      const saleLines = await saleLinesOf(odoo, sale, order, products);
      const values = {
        partner_id: await vendorOf(odoo, options, partner, po.supplier),
        partner_ref: po.id,
        origin: order.erp?.number,
        picking_type_id: await dropshipType(odoo, partner),
        dest_address_id: shipTo,
        currency_id: await currencyId(odoo, partner, po.currency),
        order_line: po.lines.map((line) => [
          0,
          0,
          {
            product_id: products.get(line.sku),
            name: line.supplierSku ? `[${line.supplierSku}] ${line.name}` : line.name,
            product_qty: Number(line.quantity),
            price_unit: wireAmount(line.unitCost),
            // The delivered quantities of the sale follow from the drop shipment through this link.
            sale_line_id: saleLines.get(line.orderLine) ?? false,
          },
        ]),
      };
      return odoo.create('purchase.order', values, signal);
    },
  });

  const read = (): Promise<Row> => odoo.get('purchase.order', id, ['name', 'state']);
  const confirmed = (row: Row): ErpDocument | undefined =>
    CONFIRMED.has(row.text('state')) ? { id: String(id), number: row.text('name') } : undefined;
  return write({
    step: 'confirm',
    summary: { purchaseOrder: po.id },
    settle: 'probe',
    find: async () => confirmed(await read()),
    async send({ signal }) {
      const before = await read();
      if (confirmed(before)) return confirmed(before)!;
      // A second button_confirm answers true and does nothing; so does one that stops for approval. Only the state tells.
      if (before.text('state') === 'draft' || before.text('state') === 'sent') {
        await odoo.press('purchase.order', 'button_confirm', id, signal);
      }
      const after = await read();
      if (confirmed(after)) return confirmed(after)!;
      const number = after.text('name');
      if (after.text('state') === 'to approve') {
        throw new BusinessRefusal(
          'PURCHASE_NEEDS_APPROVAL',
          `${partner} (Odoo) holds ${number} for approval. A purchase administrator must approve it there (Purchase, Orders), or raise the limit under Purchase, Configuration, Settings; then try again.`,
        );
      }
      throw new BusinessRefusal(
        'PURCHASE_NOT_CONFIRMED',
        `${partner} (Odoo) has ${number} in the state "${after.text('state')}" instead of confirmed. Look at it in Odoo, then try again.`,
      );
    },
  });
}

/** A purchase order that somebody entered by hand: of this vendor, in this currency, with these quantities. */
async function adoptPurchase(desk: OdooDesk, po: PurchaseOrder, number: string): Promise<number> {
  const { odoo, options, partner } = desk;
  const found = await byNumber(desk, 'purchase.order', number, ['partner_id', 'partner_ref', 'currency_id']);
  mustBeOurs(desk, number, found.text('partner_ref'), po.id);
  const vendor = found.one('partner_id');
  const isVendor = vendor?.id === (await vendorOf(odoo, options, partner, po.supplier));
  mustFit(desk, number, isVendor, `is an order to ${vendor?.name ?? 'nobody'}, not to ${po.supplier}`);
  const currency = found.one('currency_id')?.name ?? '';
  mustFit(desk, number, currency === po.currency, `is in ${currency} instead of ${po.currency}`);
  for (const [id, line] of await purchaseLines(odoo, partner, found.id, po)) {
    const ours = po.lines.find((each) => each.id === id);
    const quantity = line.quantity('product_qty');
    const agrees = ours !== undefined && compare(quantity, subtract(ours.quantity, ours.freed)) === 0;
    mustFit(
      desk,
      number,
      agrees,
      `orders ${quantity} of line ${id} (${ours?.sku ?? ''}) instead of ${ours?.quantity ?? '0'}`,
    );
  }
  return found.id;
}

/** What remains of each line is quantity - freed; when nothing remains the order is cancelled. */
export async function changePurchase(desk: OdooDesk, po: PurchaseOrder, write: Writer): Promise<ErpDocument> {
  const { odoo, partner } = desk;
  const id = erpId(po, partner, 'purchase order', 'erp-create-po');
  const document = { id: String(id), number: po.erp?.number ?? String(id) };
  const read = (): Promise<Row> => odoo.get('purchase.order', id, ['name', 'state']);

  if (po.lines.every((line) => isZero(subtract(line.quantity, line.freed)))) {
    const cancelled = async (): Promise<ErpDocument | undefined> =>
      (await read()).text('state') === 'cancel' ? document : undefined;
    return write({
      step: 'cancel',
      summary: { purchaseOrder: po.id },
      settle: 'probe',
      find: cancelled,
      async send({ signal }) {
        const already = await cancelled();
        if (already) return already;
        await odoo.press('purchase.order', 'button_cancel', id, signal);
        const done = await cancelled();
        if (done) return done;
        throw new BusinessRefusal(
          'PURCHASE_NOT_CANCELLED',
          `${partner} (Odoo) did not cancel ${document.number}. Cancel it in Odoo (goods received or bills posted hinder it), then try again.`,
        );
      },
    });
  }

  const differences = async (): Promise<{ line: Row; quantity: Quantity }[]> => {
    if ((await read()).text('state') === 'cancel') {
      throw new BusinessRefusal(
        'PURCHASE_CANCELLED',
        `${partner} (Odoo) has ${document.number} as cancelled although lines of it remain. Make a new purchase order in Odoo or settle the order by hand.`,
      );
    }
    const lines = await purchaseLines(odoo, partner, id, po);
    return po.lines
      .map((line) => ({ line: lines.get(line.id)!, quantity: subtract(line.quantity, line.freed) }))
      .filter(({ line, quantity }) => compare(line.quantity('product_qty'), quantity) !== 0);
  };
  return write({
    step: 'change',
    summary: {
      purchaseOrder: po.id,
      lines: po.lines.map((line) => `${subtract(line.quantity, line.freed)} x ${line.sku}`),
    },
    settle: 'probe',
    find: async () => ((await differences()).length === 0 ? document : undefined),
    async send({ signal }) {
      const commands = (await differences()).map(({ line, quantity }) => [
        1,
        line.id,
        { product_qty: Number(quantity) },
      ]);
      // All lines in one call: it holds as a whole or not at all.
      if (commands.length > 0) {
        await odoo.call('purchase.order', 'write', { ids: [id], vals: { order_line: commands } }, { signal });
      }
      return document;
    },
  });
}

/**
 * Odoo's lines of our purchase order by our line ids: of the lines with one product, the first is the first. A person may have
 * added others (shipping), and the product may have been archived since.
 */
export async function purchaseLines(
  odoo: OdooRecords,
  partner: string,
  purchase: number,
  po: PurchaseOrder,
): Promise<Map<string, Row>> {
  const skus = [...new Set(po.lines.map((line) => line.sku))];
  const archivedToo = { context: { active_test: false } };
  const products = await odoo.find('product.product', [['default_code', 'in', skus]], ['default_code'], archivedToo);
  const skuOf = new Map(products.map((product) => [product.id, product.text('default_code')]));
  const fields = ['product_id', 'product_qty', 'qty_received', 'qty_invoiced'];
  const rest = await odoo.find('purchase.order.line', [['order_id', '=', purchase]], fields);
  const matched = po.lines.map((line): [string, Row] => {
    const at = rest.findIndex((row) => skuOf.get(row.one('product_id')?.id ?? 0) === line.sku);
    const [row] = at < 0 ? [] : rest.splice(at, 1);
    if (!row) throw lineMissing(partner, po, line);
    return [line.id, row];
  });
  return new Map(matched);
}

function lineMissing(partner: string, po: PurchaseOrder, line: PurchaseOrderLine): BusinessRefusal {
  return new BusinessRefusal(
    'ERP_LINE_MISSING',
    `${partner} (Odoo) no longer has line ${line.id} (${line.sku}) on ${po.erp?.number ?? po.id}. Put it back in Odoo, or settle this order by hand.`,
  );
}

/** `OrderLine.id` -> Odoo's line of the sale; lines of one SKU in the order in which we wrote them. */
async function saleLinesOf(
  odoo: OdooRecords,
  sale: number,
  order: Order,
  products: Map<string, number>,
): Promise<Map<string, number>> {
  const rest = await odoo.find('sale.order.line', [['order_id', '=', sale]], ['product_id']);
  const lines = new Map<string, number>();
  for (const line of order.lines) {
    const product = products.get(line.sku);
    const at = product === undefined ? -1 : rest.findIndex((row) => row.one('product_id')?.id === product);
    const [row] = at < 0 ? [] : rest.splice(at, 1);
    if (row) lines.set(line.id, row.id);
  }
  return lines;
}

async function customerOf(odoo: OdooRecords, sale: number): Promise<number> {
  const customer = (await odoo.get('sale.order', sale, ['partner_id'])).one('partner_id');
  if (!customer) throw odoo.unexpected('sale.order', 'search_read', 'gave no customer');
  return customer.id;
}

async function dropshipType(odoo: OdooRecords, partner: string): Promise<number> {
  const [type] = await odoo.find('stock.picking.type', [['code', '=', 'dropship']], ['name'], { limit: 1 });
  if (type) return type.id;
  throw new ConfigurationMistake(
    'DROPSHIP_MISSING',
    `${partner} (Odoo) has no operation type for drop shipping. Switch Dropshipping on in Odoo under Purchase, Configuration, Settings.`,
  );
}

/** Odoo's id of a document that an earlier node has put into the ERP. */
export function erpId(document: Order | PurchaseOrder, partner: string, what: string, node: string): number {
  const id = Number(document.erp?.id);
  if (Number.isSafeInteger(id) && id > 0) return id;
  throw new BusinessRefusal(
    'ERP_NUMBER_MISSING',
    `The ${what} ${document.id} has no number of ${partner} yet. Let it pass ${node} first.`,
  );
}
