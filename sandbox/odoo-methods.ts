import { billReference, shipmentOf } from './odoo-models.ts';
import { OdooError, userError, type Row, type Store, type Values } from './odoo-store.ts';
import type { Json } from './world.ts';

export interface OdooSetting {
  store: Store;
  approvalFrom: number;
  alwaysAsksForBackorders: boolean;
  /** YYYY-MM-DD */
  today(): string;
  record(operation: string, reference: string, id: number, detail: Json): void;
}

export interface Methods {
  call(model: string, method: string, body: Values): Json;
  created(model: string, row: Row): void;
  written(model: string, row: Row, before: Row, values: Values): void;
  /** The transaction stands: its effects are recorded. */
  commit(): void;
  rollback(): void;
}

type Method = (ids: number[], body: Values, context: Values) => Json;

/** What Odoo's buttons and wizards do, with the traps that integrations fall into. */
export function createOdooMethods({
  store,
  approvalFrom,
  alwaysAsksForBackorders,
  today,
  record,
}: OdooSetting): Methods {
  let pending: Parameters<typeof record>[] = [];
  const effect: typeof record = (...entry) => void pending.push(entry);
  const text = (value: Json | undefined): string => (typeof value === 'string' ? value : '');
  const number = (prefix: string): string => `${prefix}${String(store.next(prefix)).padStart(5, '0')}`;
  const linesOf = (model: string, order: Row): Row[] =>
    store.rows(model).filter((line) => line['order_id'] === order.id);
  const movesOf = (picking: Row): Row[] => store.rows('stock.move').filter((move) => move['picking_id'] === picking.id);
  const skuOf = (line: Row): string => text(store.get('product.product', line['product_id'] as number)['default_code']);
  const typeWith = (code: string): Row => store.rows('stock.picking.type').find((type) => type['code'] === code)!;
  const pickingsOf = (model: string, row: Row): Row[] =>
    (store.value(model, row, 'picking_ids') as number[]).map((id) => store.get('stock.picking', id));
  const quantities = (lines: Row[], field: string): Json =>
    lines.map((line) => ({ sku: skuOf(line), quantity: line[field] ?? 0 }));

  const generic: Record<string, (model: string, body: Values) => Json> = {
    search_read(model, body) {
      const { domain = [], fields, limit, offset, order, context } = body;
      const names =
        Array.isArray(fields) && fields.length > 0 ? (fields as string[]) : Object.keys(store.models[model] ?? {});
      const found = store.search(model, domain, {
        ...(typeof limit === 'number' ? { limit } : {}),
        ...(typeof offset === 'number' ? { offset } : {}),
        ...(typeof order === 'string' && order ? { order } : {}),
        archived: (context as Values | undefined)?.['active_test'] === false,
      });
      return found.map((row) => store.read(model, row, names));
    },
    search: (model, body) => store.search(model, body['domain'] ?? []).map((row) => row.id),
    search_count: (model, body) => store.search(model, body['domain'] ?? []).length,
    read: (model, body) =>
      (body['ids'] as number[]).map((id) =>
        store.read(model, store.get(model, id), (body['fields'] ?? []) as string[]),
      ),
    fields_get(model, body) {
      const wanted = body['allfields'] as string[] | undefined;
      const fields = Object.entries(store.models[model] ?? {}).filter(
        ([name]) => wanted === undefined || wanted.includes(name),
      );
      return Object.fromEntries(fields.map(([name, field]) => [name, { type: field.kind }]));
    },
    create(model, body) {
      const list = body['vals_list'];
      if (list === undefined)
        throw new OdooError(422, 'builtins.TypeError', "missing a required argument: 'vals_list'");
      return (Array.isArray(list) ? list : [list]).map((values) => store.create(model, values as Values).id);
    },
    write(model, body) {
      if (typeof body['vals'] !== 'object')
        throw new OdooError(422, 'builtins.TypeError', "missing a required argument: 'vals'");
      store.write(model, (body['ids'] ?? []) as number[], body['vals'] as Values);
      return true;
    },
  };

  const buttons: Record<string, Method> = {
    'sale.order.action_confirm': (ids) => {
      for (const order of ids.map((id) => store.get('sale.order', id))) {
        if (order['state'] !== 'draft' && order['state'] !== 'sent') {
          throw userError('Some orders are not in a state requiring confirmation.');
        }
        order['state'] = 'sale';
        const goods = linesOf('sale.order.line', order).filter((line) => productOf(line)['type'] === 'consu');
        const dropshipped = goods.filter((line) => ((productOf(line)['route_ids'] ?? []) as number[]).length > 0);
        deliverFromWarehouse(
          order,
          goods.filter((line) => !dropshipped.includes(line)),
        );
        draftPurchases(order, dropshipped);
        effect('sale.confirm', text(order['client_order_ref']), order.id, { number: text(order['name']) });
      }
      return true;
    },
    'sale.order.action_lock': (ids) => {
      for (const order of ids.map((id) => store.get('sale.order', id))) {
        if (order['locked']) continue;
        order['locked'] = true;
        effect('sale.complete', text(order['client_order_ref']), order.id, { number: text(order['name']) });
      }
      return true;
    },
    // A second confirmation, like one that stops for approval, answers true.
    'purchase.order.button_confirm': (ids) => {
      for (const order of ids.map((id) => store.get('purchase.order', id))) {
        if (order['state'] !== 'draft' && order['state'] !== 'sent') continue;
        if ((store.value('purchase.order', order, 'amount_total') as number) >= approvalFrom)
          order['state'] = 'to approve';
        else approve(order);
      }
      return true;
    },
    'purchase.order.button_approve': (ids) => {
      for (const order of ids.map((id) => store.get('purchase.order', id)))
        if (order['state'] === 'to approve') approve(order);
      return {};
    },
    'purchase.order.button_cancel': (ids) => {
      for (const order of ids.map((id) => store.get('purchase.order', id))) {
        if (order['state'] === 'cancel') continue;
        const bills = (store.value('purchase.order', order, 'invoice_ids') as number[]).map((id) =>
          store.get('account.move', id),
        );
        if (bills.some((bill) => bill['state'] === 'posted')) {
          throw userError('Unable to cancel this purchase order. You must first cancel the related vendor bills.');
        }
        if (pickingsOf('purchase.order', order).some((picking) => picking['state'] === 'done')) {
          throw userError(
            `Unable to cancel purchase order ${text(order['name'])} as some receptions have already been done.`,
          );
        }
        for (const picking of pickingsOf('purchase.order', order)) cancelPicking(picking);
        order['state'] = 'cancel';
        effect('purchase.cancel', text(order['partner_ref']), order.id, { number: text(order['name']) });
      }
      return true;
    },
    'stock.picking.button_validate': (ids, _body, context) => {
      for (const picking of ids.map((id) => store.get('stock.picking', id))) {
        const asks = validate(picking, context);
        if (asks) return asks;
      }
      return true;
    },
    'stock.picking.action_cancel': (ids) => {
      for (const picking of ids.map((id) => store.get('stock.picking', id))) {
        if (picking['state'] === 'done') throw userError('You cannot cancel a transfer that has been done.');
        cancelPicking(picking);
      }
      return true;
    },
    'stock.backorder.confirmation.process': (_ids, _body, context) => {
      const waiting = (context['button_validate_picking_ids'] ?? []) as number[];
      for (const id of waiting) validate(store.get('stock.picking', id), context, true);
      return true;
    },
    'account.move.action_post': (ids) => {
      for (const move of ids.map((id) => store.get('account.move', id))) {
        if (move['state'] !== 'draft')
          throw userError(`The entry ${text(move['name'])} (id ${move.id}) must be in draft.`);
        if (move['move_type'] === 'in_invoice' && !move['invoice_date']) {
          throw userError('The Bill/Refund date is required to validate this document.');
        }
        move['state'] = 'posted';
        if (!move['name']) move['name'] = number(`BILL/${today().slice(0, 7).replace('-', '/')}/`);
        effect('bill.post', billReference(store, move), move.id, billDetail(move));
      }
      return false;
    },
    'account.payment.register.create': (_ids, body, context) => {
      const bill = registered(context);
      const values = ((body['vals_list'] as Values[] | undefined)?.[0] ?? {}) as Values;
      const amount = values['amount'] ?? store.value('account.move', bill, 'amount_residual');
      return [store.create('account.payment.register', { payment_date: today(), ...values, amount }).id];
    },
    'account.payment.register.action_create_payments': (ids, _body, context) => {
      const bill = registered(context);
      const wizard = store.get('account.payment.register', ids[0] ?? 0);
      const payment = store.create('account.payment', {
        name: number(`PBNK1/${today().slice(0, 4)}/`),
        // In 19 a payment is "in process" until the bank statement confirms it.
        state: 'in_process',
        memo: wizard['communication'] ?? false,
        date: wizard['payment_date'] ?? false,
        amount: wizard['amount'] ?? 0,
        currency_id: bill['currency_id'] ?? false,
        partner_id: bill['partner_id'] ?? false,
        journal_id: wizard['journal_id'] || 1,
        reconciled_bill_ids: [[6, 0, [bill.id]]],
      });
      const detail = { ...billDetail(bill), amount: payment['amount'] ?? 0, bill: billReference(store, bill) };
      effect('payment.create', text(payment['memo']), payment.id, detail);
      return { type: 'ir.actions.act_window', res_model: 'account.payment', res_id: payment.id };
    },
  };

  function productOf(line: Row): Row {
    return store.get('product.product', line['product_id'] as number);
  }

  function deliverFromWarehouse(order: Row, lines: Row[]): void {
    if (lines.length === 0) return;
    store.create('stock.picking', {
      name: number('WH/OUT/'),
      state: 'confirmed',
      origin: text(order['name']),
      partner_id: order['partner_shipping_id'] ?? order['partner_id'] ?? false,
      picking_type_id: typeWith('outgoing').id,
      move_ids: lines.map((line) => [
        0,
        0,
        {
          product_id: line['product_id'] ?? false,
          sale_line_id: line.id,
          product_uom_qty: line['product_uom_qty'] ?? 0,
          state: 'confirmed',
        },
      ]),
    });
  }

  /** Products with the Dropship route are bought by Odoo itself, from the first vendor in the product's list. */
  function draftPurchases(order: Row, lines: Row[]): void {
    const vendorOf = (line: Row): Row | undefined =>
      store.rows('product.supplierinfo').find((seller) => seller['product_id'] === line['product_id']);
    for (const vendor of new Set(lines.map((line) => vendorOf(line)?.['partner_id']))) {
      if (vendor === undefined) throw userError('There is no matching vendor price to generate the purchase order.');
      store.create('purchase.order', {
        partner_id: vendor,
        origin: text(order['name']),
        picking_type_id: typeWith('dropship').id,
        dest_address_id: order['partner_shipping_id'] ?? false,
        currency_id: 1,
        order_line: lines
          .filter((line) => vendorOf(line)?.['partner_id'] === vendor)
          .map((line) => [
            0,
            0,
            {
              product_id: line['product_id'] ?? false,
              product_qty: line['product_uom_qty'] ?? 0,
              price_unit: vendorOf(line)?.['price'] ?? 0,
              sale_line_id: line.id,
            },
          ]),
      });
    }
  }

  function approve(order: Row): void {
    order['state'] = 'purchase';
    store.create('stock.picking', {
      name: number('WH/DS/'),
      origin: text(order['name']),
      partner_id: order['dest_address_id'] ?? false,
      picking_type_id: order['picking_type_id'] ?? typeWith('incoming').id,
      // The supplier's stock is not reserved: the whole quantity stands there beforehand, but nothing is picked.
      move_ids: linesOf('purchase.order.line', order)
        .filter((line) => productOf(line)['type'] === 'consu' && (line['product_qty'] as number) > 0)
        .map((line) => [
          0,
          0,
          {
            product_id: line['product_id'] ?? false,
            purchase_line_id: line.id,
            product_uom_qty: line['product_qty'] ?? 0,
            quantity: line['product_qty'] ?? 0,
          },
        ]),
    });
    const lines = quantities(linesOf('purchase.order.line', order), 'product_qty');
    effect('purchase.confirm', text(order['partner_ref']), order.id, { number: text(order['name']), lines });
  }

  function cancelPicking(picking: Row): void {
    if (picking['state'] === 'done') return;
    picking['state'] = 'cancel';
    for (const move of movesOf(picking)) move['state'] = 'cancel';
  }

  /** Once any move is picked, only picked ones are done; otherwise all. Returns the question, if Odoo has one. */
  function validate(picking: Row, context: Values, isConfirmed = false): Json | undefined {
    if (picking['state'] === 'done') return undefined;
    if (picking['state'] === 'cancel') throw userError('You cannot validate a cancelled transfer.');
    const moves = movesOf(picking).filter((move) => move['state'] !== 'cancel');
    const anyPicked = moves.some((move) => move['picked']);
    const done = new Map(moves.map((move) => [move, anyPicked && !move['picked'] ? 0 : (move['quantity'] as number)]));
    if (![...done.values()].some((quantity) => quantity > 0)) {
      throw userError(
        'You cannot validate a transfer if no quantities are reserved. To force the transfer, encode quantities.',
      );
    }
    const rest = moves.filter((move) => done.get(move)! < (move['product_uom_qty'] as number));
    const mode = store.get('stock.picking.type', picking['picking_type_id'] as number)['create_backorder'];
    const mayAsk = !isConfirmed && (alwaysAsksForBackorders || !context['skip_backorder']);
    if (rest.length > 0 && mode === 'ask' && mayAsk) {
      return {
        type: 'ir.actions.act_window',
        name: 'Create Backorder?',
        res_model: 'stock.backorder.confirmation',
        target: 'new',
        context: { default_pick_ids: [[4, picking.id]], button_validate_picking_ids: [picking.id] },
      };
    }
    const dropped = (context['picking_ids_not_to_backorder'] ?? []) as number[];
    const isDropped = mode === 'never' || (mode !== 'always' && dropped.includes(picking.id));
    if (rest.length > 0 && !isDropped) backorder(picking, rest, done);
    for (const move of moves) {
      const quantity = done.get(move)!;
      if (quantity === 0) {
        if (move['picking_id'] === picking.id) move['state'] = 'cancel';
        continue;
      }
      Object.assign(move, { quantity, product_uom_qty: quantity, picked: true, state: 'done' });
    }
    picking['state'] = 'done';
    const doneMoves = movesOf(picking).filter((move) => move['state'] === 'done');
    const reference = shipmentOf(picking['origin']);
    const detail = {
      picking: text(picking['name']),
      purchase: purchaseReference(doneMoves[0]),
      tracking: text(picking['carrier_tracking_ref']),
      lines: quantities(doneMoves, 'quantity'),
    };
    effect('receipt.done', reference, picking.id, detail);
    return undefined;
  }

  function purchaseReference(move: Row | undefined): string {
    if (!move?.['purchase_line_id']) return '';
    const line = store.get('purchase.order.line', move['purchase_line_id'] as number);
    return text(store.get('purchase.order', line['order_id'] as number)['partner_ref']);
  }

  /** A copy of the picking, with its source and note but without its tracking number, takes what is missing. */
  function backorder(picking: Row, rest: Row[], done: Map<Row, number>): void {
    const copy = store.create('stock.picking', {
      name: number(picking['picking_type_id'] === typeWith('dropship').id ? 'WH/DS/' : 'WH/OUT/'),
      origin: picking['origin'] ?? false,
      note: picking['note'] ?? false,
      partner_id: picking['partner_id'] ?? false,
      picking_type_id: picking['picking_type_id'] ?? false,
      backorder_id: picking.id,
    });
    for (const move of rest) {
      const missing = (move['product_uom_qty'] as number) - done.get(move)!;
      if (done.get(move) === 0) Object.assign(move, { picking_id: copy.id, quantity: missing, picked: false });
      else {
        store.create('stock.move', {
          picking_id: copy.id,
          product_id: move['product_id'] ?? false,
          purchase_line_id: move['purchase_line_id'] ?? false,
          sale_line_id: move['sale_line_id'] ?? false,
          product_uom_qty: missing,
          quantity: missing,
        });
      }
    }
  }

  function registered(context: Values): Row {
    const [id] = (context['active_ids'] ?? []) as number[];
    if (context['active_model'] !== 'account.move' || id === undefined) {
      throw userError(
        'The register payment wizard should only be called on account.move or account.move.line records.',
      );
    }
    const bill = store.get('account.move', id);
    if (bill['state'] !== 'posted') throw userError('You can only register payment for posted journal entries.');
    if ((store.value('account.move', bill, 'amount_residual') as number) <= 0) {
      throw userError(
        "You can't register a payment because there is nothing left to pay on the selected journal items.",
      );
    }
    return bill;
  }

  function billDetail(move: Row): { [key: string]: Json } {
    const currency = move['currency_id'] ? text(store.get('res.currency', move['currency_id'] as number)['name']) : '';
    return { total: store.value('account.move', move, 'amount_total'), currency, due: text(move['invoice_date_due']) };
  }

  /** A confirmed purchase order passes a changed quantity on to its open moves. */
  function changeQuantity(line: Row, from: number): void {
    const order = store.get('purchase.order', line['order_id'] as number);
    const to = line['product_qty'] as number;
    if (order['state'] === 'cancel') throw userError('A cancelled purchase order cannot be changed.');
    if (order['state'] === 'purchase') {
      if (to < (store.value('purchase.order.line', line, 'qty_received') as number)) {
        throw userError(
          'You cannot decrease the ordered quantity below the received quantity.\nCreate a return first.',
        );
      }
      let difference = to - from;
      for (const move of store.rows('stock.move')) {
        if (move['purchase_line_id'] !== line.id || move['state'] === 'done' || move['state'] === 'cancel') continue;
        const change = Math.max(difference, -(move['product_uom_qty'] as number));
        move['product_uom_qty'] = (move['product_uom_qty'] as number) + change;
        move['quantity'] = move['product_uom_qty'];
        difference -= change;
        if (move['product_uom_qty'] === 0) move['state'] = 'cancel';
        const picking = store.get('stock.picking', move['picking_id'] as number);
        if (movesOf(picking).every((each) => each['state'] === 'cancel')) picking['state'] = 'cancel';
      }
    }
    const detail = { line: { sku: skuOf(line), from, to } };
    effect('purchase.change', text(order['partner_ref']), order.id, detail);
  }

  return {
    call(model, method, body) {
      if (!store.models[model])
        throw new OdooError(404, 'werkzeug.exceptions.NotFound', `the model '${model}' does not exist`);
      const button = buttons[`${model}.${method}`];
      const { ids = [], context = {}, ...rest } = body;
      if (button) return button(ids as number[], rest, context as Values);
      const shared = generic[method];
      if (shared) return shared(model, body);
      throw new OdooError(404, 'werkzeug.exceptions.NotFound', `The method '${model}.${method}' does not exist`);
    },
    created(model, row) {
      switch (model) {
        case 'res.partner': {
          const operation = row['supplier_rank']
            ? 'vendor.create'
            : row['parent_id']
              ? 'address.create'
              : 'customer.create';
          effect(operation, text(row['ref']), row.id, {});
          break;
        }
        case 'product.product':
          effect('product.create', text(row['default_code']), row.id, {});
          break;
        case 'sale.order':
          if (!row['partner_id'])
            throw new OdooError(
              422,
              'odoo.exceptions.ValidationError',
              "Missing required value for the field 'Customer' (partner_id).",
            );
          row['name'] = number('S');
          row['partner_shipping_id'] ??= row['partner_id'];
          effect('sale.create', text(row['client_order_ref']), row.id, {
            number: row['name'],
            lines: quantities(linesOf('sale.order.line', row), 'product_uom_qty'),
            total: store.value('sale.order', row, 'amount_total'),
          });
          break;
        case 'purchase.order':
          if (!row['partner_id'])
            throw new OdooError(
              422,
              'odoo.exceptions.ValidationError',
              "Missing required value for the field 'Vendor' (partner_id).",
            );
          row['name'] = number('P');
          effect('purchase.create', text(row['partner_ref']), row.id, {
            number: row['name'],
            vendor: text(store.get('res.partner', row['partner_id'] as number)['ref']),
            lines: quantities(linesOf('purchase.order.line', row), 'product_qty'),
            total: store.value('purchase.order', row, 'amount_total'),
          });
          break;
        case 'sale.order.line':
        case 'purchase.order.line':
          if (!row['product_id'])
            throw new OdooError(422, 'odoo.exceptions.ValidationError', 'Missing required fields on accountable line.');
          break;
        case 'account.move':
          dueByTerm(row);
          if (row['move_type'] === 'in_invoice')
            effect('bill.create', billReference(store, row), row.id, billDetail(row));
          break;
      }
    },
    written(model, row, before, values) {
      if (
        model === 'purchase.order.line' &&
        values['product_qty'] !== undefined &&
        row['product_qty'] !== before['product_qty']
      ) {
        changeQuantity(row, before['product_qty'] as number);
      }
      if (model === 'stock.move' && before['state'] === 'done')
        throw userError('A transfer that is done cannot be changed.');
      if (model === 'account.move') {
        if (before['state'] === 'posted' && (values['invoice_line_ids'] || values['invoice_date'])) {
          throw userError('You cannot modify a posted entry. Reset it to draft first.');
        }
        dueByTerm(row);
      }
    },
    commit() {
      for (const entry of pending) record(...entry);
      pending = [];
    },
    rollback() {
      pending = [];
    },
  };

  /** A payment term overrules a due date that was written; without one it stays, or is the bill's date. */
  function dueByTerm(move: Row): void {
    if (move['move_type'] !== 'in_invoice') return;
    const vendor = move['partner_id'] ? store.get('res.partner', move['partner_id'] as number) : undefined;
    const term = move['invoice_payment_term_id'] ?? vendor?.['property_supplier_payment_term_id'] ?? false;
    move['invoice_payment_term_id'] = term;
    const date = text(move['invoice_date']) || today();
    if (!term) return void (move['invoice_date_due'] ||= date);
    const days = store.get('account.payment.term', term as number)['days'] as number;
    move['invoice_date_due'] = new Date(Date.parse(`${date}T00:00:00Z`) + days * 86_400_000).toISOString().slice(0, 10);
  }
}
