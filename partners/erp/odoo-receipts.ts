import { BusinessRefusal, ConfigurationMistake, TemporaryFault } from '../../orders/errors.ts';
import type { PurchaseOrder } from '../../orders/purchase-order.ts';
import { add, compare, isZero, subtract, type Quantity } from '../../orders/quantity.ts';
import type { Shipment } from '../../orders/shipment.ts';
import type { Writer } from '../write.ts';
import { erpId, purchaseLines, type OdooDesk } from './odoo-purchases.ts';
import type { OdooRecords, Row } from './odoo-records.ts';

/**
 * A shipment becomes one done picking; Odoo puts what is missing into a back-order, which the next shipment takes.
 *
 * Our reference stands in the picking's Source Document after Odoo's own ("P00012, vineyard/SH-12"), where Odoo itself lists
 * several sources with commas. The tracking field cannot carry it: carriers use numbers again, one parcel may hold two
 * shipments, and it is only there with the delivery app. Notes are HTML that Odoo rewrites, so they cannot be searched exactly.
 * A back-order is a copy and inherits the text: therefore only a done picking proves a receipt.
 */
export async function receive(
  desk: OdooDesk,
  shipment: Shipment,
  po: PurchaseOrder,
  write: Writer,
): Promise<{ id: string }> {
  const { odoo, partner } = desk;
  const purchase = erpId(po, partner, 'purchase order', 'erp-create-po');
  const number = po.erp?.number ?? String(purchase);
  const origin = `${number}, ${shipment.id}`;

  const picking = await write({
    step: 'prepare',
    summary: {
      shipment: shipment.id,
      purchaseOrder: po.id,
      lines: shipment.lines.map((line) => `${line.quantity} x ${line.sku}`),
    },
    settle: 'probe',
    look: 'always',
    find: async () => {
      const mine = await odoo.find(
        'stock.picking',
        [
          ['origin', '=', origin],
          ['state', '!=', 'cancel'],
        ],
        ['state'],
        { limit: 1 },
      );
      return mine[0]?.id;
    },
    async send({ signal }) {
      const { id, moves } = await openReceipt(desk, purchase, number, origin, shipment, po);
      // Quantities, source and tracking in one call: a picking that has our reference also has our quantities.
      const vals = { origin, ...(await trackingValues(odoo, shipment)), move_ids: moves };
      await odoo.call('stock.picking', 'write', { ids: [id], vals }, { signal });
      return id;
    },
  });

  const read = (): Promise<Row> => odoo.get('stock.picking', picking, ['name', 'state', 'origin']);
  const isDone = (row: Row): boolean => row.text('state') === 'done' && row.text('origin') === origin;
  return write({
    step: 'validate',
    summary: { shipment: shipment.id, picking },
    settle: 'probe',
    look: 'always',
    find: async () => (isDone(await read()) ? { id: String(picking) } : undefined),
    async send({ signal }) {
      const before = await read();
      if (isDone(before)) return { id: String(picking) };
      if (before.text('origin') !== origin) {
        throw new BusinessRefusal(
          'RECEIPT_CHANGED',
          `${partner} (Odoo): somebody changed the Source Document of ${before.text('name')} while ${shipment.id} was being received. Check its quantities in Odoo, set the source to "${origin}", then try again.`,
        );
      }
      const answer = await odoo.press('stock.picking', 'button_validate', picking, signal, {
        skip_backorder: true,
        skip_sms: true,
      });
      await confirmBackorder(odoo, answer, picking, signal);
      const after = await read();
      // button_validate answers true, or an action that asks a person something: only the state tells.
      if (isDone(after)) return { id: String(picking) };
      throw new BusinessRefusal(
        'RECEIPT_NOT_DONE',
        `${partner} (Odoo) did not complete the receipt ${after.text('name')} (state "${after.text('state')}"); it may ask something, such as for lot numbers. Validate it in Odoo, then try again.`,
      );
    },
  });
}

/** Odoo 17 asks with a wizard whether the rest becomes a back-order, whatever the context says. */
async function confirmBackorder(
  odoo: OdooRecords,
  answer: unknown,
  picking: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (typeof answer !== 'object' || answer === null) return;
  if ((answer as Record<string, unknown>)['res_model'] !== 'stock.backorder.confirmation') return;
  const context = { button_validate_picking_ids: [picking], skip_sms: true };
  const wizard = await odoo.call(
    'stock.backorder.confirmation',
    'create',
    {
      vals_list: [
        {
          pick_ids: [[4, picking]],
          backorder_confirmation_line_ids: [[0, 0, { picking_id: picking, to_backorder: true }]],
        },
      ],
      context,
    },
    { signal, changesNothing: true },
  );
  if (!Array.isArray(wizard) || typeof wizard[0] !== 'number') {
    throw odoo.unexpected('stock.backorder.confirmation', 'create', 'gave no id');
  }
  await odoo.press('stock.backorder.confirmation', 'process', wizard[0], signal, context);
}

/** The open drop shipment that can take all lines, and the commands that set its quantities. */
async function openReceipt(
  desk: OdooDesk,
  purchase: number,
  number: string,
  origin: string,
  shipment: Shipment,
  po: PurchaseOrder,
): Promise<{ id: number; moves: unknown[] }> {
  const { odoo, partner } = desk;
  const known = (await odoo.get('purchase.order', purchase, ['picking_ids'])).many('picking_ids');
  const all = await odoo.find(
    'stock.picking',
    [['id', 'in', known]],
    ['name', 'state', 'origin', 'picking_type_code', 'picking_type_id'],
  );
  const open = all.filter(
    (row) => row.text('picking_type_code') === 'dropship' && !['done', 'cancel'].includes(row.text('state')),
  );
  for (const row of open) {
    const claim = row.text('origin');
    const isCopy = all.some((other) => other.text('state') === 'done' && other.text('origin') === claim);
    if (claim.startsWith(`${number}, `) && claim !== origin && !isCopy) {
      throw new TemporaryFault(
        'RECEIPT_BUSY',
        `${partner} (Odoo) is still receiving "${claim}" on ${row.text('name')}; ${shipment.id} follows. If that one was given up, empty the Source Document in Odoo.`,
      );
    }
  }

  const lines = await purchaseLines(odoo, partner, purchase, po);
  const wanted = new Map<number, Quantity>();
  for (const shipped of shipment.lines) {
    const line = lines.get(shipped.line);
    if (!line)
      throw new BusinessRefusal(
        'LINE_UNKNOWN',
        `${shipment.id} names the line ${shipped.line}, which ${po.id} does not have.`,
      );
    wanted.set(line.id, add(wanted.get(line.id) ?? '0', shipped.quantity));
  }
  const moves = await odoo.find(
    'stock.move',
    [
      ['picking_id', 'in', open.map((row) => row.id)],
      ['state', 'not in', ['done', 'cancel']],
    ],
    ['picking_id', 'purchase_line_id', 'product_uom_qty'],
  );
  for (const row of open) {
    const own = moves.filter((move) => move.one('picking_id')?.id === row.id);
    const commands = distribute(own, wanted);
    if (!commands) continue;
    await refuseLostRest(odoo, partner, row, own, wanted);
    return { id: row.id, moves: commands };
  }
  throw new BusinessRefusal(
    'RECEIPT_NOT_OPEN',
    `${partner} (Odoo) has no open drop shipment of ${number} that still expects ${shipment.lines.map((line) => `${line.quantity} x ${line.sku}`).join(', ')}. Compare ${shipment.id} with the receipts of ${number} in Odoo.`,
  );
}

/** Fills the moves of one picking up to what each expects; `undefined` when they cannot take everything. */
function distribute(moves: Row[], wanted: Map<number, Quantity>): unknown[] | undefined {
  const left = new Map(wanted);
  const commands = moves.map((move) => {
    const line = move.one('purchase_line_id')?.id ?? 0;
    const want = left.get(line) ?? '0';
    const expected = move.quantity('product_uom_qty');
    const take = compare(want, expected) < 0 ? want : expected;
    left.set(line, subtract(want, take));
    // Odoo fills in the whole quantity beforehand; what is not picked goes to the back-order.
    return [1, move.id, isZero(take) ? { picked: false } : { quantity: Number(take), picked: true }];
  });
  return [...left.values()].every(isZero) ? commands : undefined;
}

/** With "Create Backorder: Never" Odoo would cancel what has not been shipped yet. */
async function refuseLostRest(
  odoo: OdooRecords,
  partner: string,
  picking: Row,
  moves: Row[],
  wanted: Map<number, Quantity>,
): Promise<void> {
  const expected = moves.reduce((sum, move) => add(sum, move.quantity('product_uom_qty')), '0');
  const taken = [...wanted.values()].reduce(add, '0');
  const type = picking.one('picking_type_id');
  if (compare(taken, expected) >= 0 || !type) return;
  if ((await odoo.get('stock.picking.type', type.id, ['create_backorder'])).text('create_backorder') === 'never') {
    throw new ConfigurationMistake(
      'BACKORDERS_OFF',
      `${partner} (Odoo) would cancel the rest of ${picking.text('name')}: its operation type never creates back-orders. Set "Create Backorder" of ${type.name} to Always in Odoo.`,
    );
  }
}

/** `carrier_tracking_ref` comes with the delivery app (stock_delivery); without it the numbers go into the note. */
async function trackingValues(odoo: OdooRecords, shipment: Shipment): Promise<Record<string, unknown>> {
  const numbers = shipment.parcels.map((parcel) => parcel.trackingNumber).join(', ');
  if (!numbers) return {};
  const args = { allfields: ['carrier_tracking_ref'], attributes: ['type'] };
  const fields = await odoo.call('stock.picking', 'fields_get', args);
  if (typeof fields !== 'object' || fields === null)
    throw odoo.unexpected('stock.picking', 'fields_get', 'gave no fields');
  return 'carrier_tracking_ref' in fields ? { carrier_tracking_ref: numbers } : { note: `Tracking: ${numbers}` };
}
