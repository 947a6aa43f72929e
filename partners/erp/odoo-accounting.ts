import type { Bill } from '../../orders/bill.ts';
import { BusinessRefusal, ConfigurationMistake, TemporaryFault } from '../../orders/errors.ts';
import { describeMoney, sameMoney } from '../../orders/money.ts';
import type { Payment } from '../../orders/payment.ts';
import type { PurchaseOrder } from '../../orders/purchase-order.ts';
import { add, compare, type Quantity } from '../../orders/quantity.ts';
import type { Writer } from '../write.ts';
import { byNumber, mustAmountTo, mustFit } from './odoo-adopt.ts';
import { currencyId, productsOf } from './odoo-masterdata.ts';
import { erpId, purchaseLines, type OdooDesk } from './odoo-purchases.ts';
import { wireAmount, type Domain, type Row } from './odoo-records.ts';
import type { ErpDocument, ErpPayable } from './port.ts';

const PAGE = 200;

/** `canceled` and `rejected` since Odoo 18, `cancel` in 17; all others (draft, posted, in_process, paid) are payments. */
const VOID_PAYMENTS = ['canceled', 'rejected', 'cancel'];

/**
 * The supplier's bill, created in one call with number, dates, lines and their link to the purchase order, then posted.
 *
 * Not by `purchase.order.action_create_invoice`, which makes the same document in the same way but without the supplier's number: until a
 * second call had written it, two bills of one purchase order, or a lost answer, could not be told apart.
 * Odoo accepts a second bill with the same number, so we look first.
 */
export async function enterBill(desk: OdooDesk, bill: Bill, po: PurchaseOrder, write: Writer): Promise<ErpDocument> {
  const { odoo, options, partner } = desk;
  const purchase = erpId(po, partner, 'purchase order', 'erp-create-po');

  const id = await write({
    step: 'create',
    summary: { bill: bill.id, purchaseOrder: po.id, total: describeMoney(bill.total) },
    settle: 'probe',
    look: 'always',
    find: async () => (await findBill(desk, bill, purchase)).ours,
    async adopt(number) {
      const order = await odoo.get('purchase.order', purchase, ['partner_id']);
      const ofVendor: Domain = [
        ['move_type', '=', 'in_invoice'],
        ['partner_id', '=', order.one('partner_id')?.id],
      ];
      const found = await byNumber(desk, 'account.move', number, ['amount_total', 'currency_id'], ofVendor, ['ref']);
      mustAmountTo(desk, number, found.money('amount_total', currencyOf(found)), bill.total);
      return found.id;
    },
    async send({ signal }) {
      const { ours, foreign, order } = await findBill(desk, bill, purchase);
      if (ours !== undefined) return ours;
      if (foreign) {
        throw new BusinessRefusal(
          'BILL_DUPLICATE',
          `${partner} (Odoo) already has a bill ${bill.number} of this vendor with another content (${foreign}). Ask the supplier which one is right; cancel the wrong one in Odoo, then try again.`,
        );
      }
      const lines = await purchaseLines(odoo, partner, purchase, po);
      refuseUnreceived(partner, bill, lines);
      const shippingSku = options.shippingProduct ?? 'SHIPPING';
      const shipping = bill.shipping && bill.shipping.minor !== 0 ? bill.shipping : undefined;
      const shippingProduct = shipping && (await productsOf(odoo, partner, [shippingSku])).get(shippingSku);
      const values = {
        move_type: 'in_invoice',
        partner_id: order.one('partner_id')?.id,
        ref: bill.number,
        invoice_origin: order.text('name'),
        currency_id: await currencyId(odoo, partner, bill.currency),
        invoice_date: bill.issuedAt.slice(0, 10),
        // A payment term would overrule the due date that the supplier has written on the bill.
        ...(bill.dueAt ? { invoice_payment_term_id: false, invoice_date_due: bill.dueAt.slice(0, 10) } : {}),
        invoice_line_ids: [
          ...bill.lines.map((line) => [
            0,
            0,
            {
              purchase_line_id: lines.get(line.line)?.id,
              product_id: lines.get(line.line)?.one('product_id')?.id,
              quantity: Number(line.quantity),
              price_unit: wireAmount(line.unitCost),
            },
          ]),
          ...(shipping ? [[0, 0, { product_id: shippingProduct, quantity: 1, price_unit: wireAmount(shipping) }]] : []),
        ],
      };
      return odoo.create('account.move', values, signal);
    },
  });

  const read = (): Promise<Row> => odoo.get('account.move', id, ['name', 'state', 'amount_total', 'currency_id']);
  const posted = (row: Row): ErpDocument | undefined =>
    row.text('state') === 'posted' ? { id: String(id), number: row.text('name') } : undefined;
  return write({
    step: 'post',
    summary: { bill: bill.id, total: describeMoney(bill.total) },
    settle: 'probe',
    find: async () => posted(await read()),
    async send({ signal }) {
      const before = await read();
      if (posted(before)) return posted(before)!;
      const total = before.money('amount_total', currencyOf(before));
      if (!sameMoney(total, bill.total)) {
        throw new BusinessRefusal(
          'BILL_TOTAL_DIFFERS',
          `${partner} (Odoo) computes ${describeMoney(total)} for the bill ${bill.number}, the supplier writes ${describeMoney(bill.total)}. Correct the taxes of the draft in Odoo (or of the vendor and products), then try again.`,
        );
      }
      await odoo.press('account.move', 'action_post', id, signal);
      const after = await read();
      if (posted(after)) return posted(after)!;
      throw new BusinessRefusal(
        'BILL_NOT_POSTED',
        `${partner} (Odoo) left the bill ${bill.number} in the state "${after.text('state')}". Post it in Odoo, then try again.`,
      );
    },
  });
}

/**
 * The bill with this number of the purchase order's vendor: ours when it belongs to our purchase order and has our amount (or is still a
 * draft), else `foreign` says what it is.
 */
async function findBill(
  desk: OdooDesk,
  bill: Bill,
  purchase: number,
): Promise<{ ours?: number; foreign?: string; order: Row }> {
  const { odoo } = desk;
  const order = await odoo.get('purchase.order', purchase, ['name', 'partner_id', 'invoice_ids']);
  const candidates = await odoo.find(
    'account.move',
    [
      ['move_type', '=', 'in_invoice'],
      ['partner_id', '=', order.one('partner_id')?.id],
      ['ref', '=', bill.number],
      ['state', '!=', 'cancel'],
    ],
    ['name', 'state', 'amount_total', 'currency_id'],
  );
  const known = new Set(order.many('invoice_ids'));
  const amountOf = (row: Row) => row.money('amount_total', currencyOf(row));
  const ours = candidates.find(
    (row) => known.has(row.id) && (row.text('state') === 'draft' || sameMoney(amountOf(row), bill.total)),
  );
  if (ours) return { ours: ours.id, order };
  const [first] = candidates;
  if (!first) return { order };
  const link = known.has(first.id) ? '' : ', not linked to this purchase order';
  return { foreign: `${first.text('name') || 'a draft'}, ${describeMoney(amountOf(first))}${link}`, order };
}

/** Odoo would post more than has arrived. Usually the receipt is only on its way: tried again by itself. */
function refuseUnreceived(partner: string, bill: Bill, lines: Map<string, Row>): void {
  const billed = new Map<string, Quantity>();
  for (const line of bill.lines) billed.set(line.line, add(billed.get(line.line) ?? '0', line.quantity));
  for (const [id, quantity] of billed) {
    const line = lines.get(id);
    if (!line) {
      throw new BusinessRefusal(
        'LINE_UNKNOWN',
        `The bill ${bill.number} names the line ${id}, which ${bill.purchaseOrder} does not have. Ask the supplier for a corrected bill.`,
      );
    }
    if (compare(add(line.quantity('qty_invoiced'), quantity), line.quantity('qty_received')) > 0) {
      throw new TemporaryFault(
        'RECEIPT_PENDING',
        `${partner} (Odoo) has received ${line.quantity('qty_received')} and billed ${line.quantity('qty_invoiced')} of line ${id} of ${bill.purchaseOrder}; ${bill.number} bills ${quantity} more. Receive the shipment in Odoo (erp-complete) first.`,
      );
    }
  }
}

/** Page by page by id, so that a bill that is paid meanwhile shifts no other off a page. */
export async function payables(desk: OdooDesk, dueOn: string): Promise<ErpPayable[]> {
  const { odoo } = desk;
  const found: ErpPayable[] = [];
  for (let last = 0; ;) {
    const page = await odoo.find(
      'account.move',
      [
        ['move_type', '=', 'in_invoice'],
        ['state', '=', 'posted'],
        ['payment_state', 'in', ['not_paid', 'partial']],
        ['invoice_date_due', '<=', dueOn],
        ['id', '>', last],
      ],
      ['ref', 'amount_residual', 'currency_id', 'invoice_date_due'],
      { limit: PAGE },
    );
    const orders =
      page.length > 0
        ? await purchaseReferences(
            desk,
            page.map((row) => row.id),
          )
        : new Map<number, string>();
    for (const row of page) {
      const purchaseOrder = orders.get(row.id);
      found.push({
        erpBillId: String(row.id),
        billNumber: row.text('ref'),
        ...(purchaseOrder ? { purchaseOrder } : {}),
        open: row.money('amount_residual', currencyOf(row)),
        dueAt: row.text('invoice_date_due'),
      });
    }
    if (page.length < PAGE) return found;
    last = page.at(-1)?.id ?? last;
  }
}

/** Bill id -> `partner_ref` of the purchase order it was made from. */
async function purchaseReferences(desk: OdooDesk, bills: number[]): Promise<Map<number, string>> {
  const orders = await desk.odoo.find('purchase.order', [['invoice_ids', 'in', bills]], ['partner_ref', 'invoice_ids']);
  return new Map(
    orders.flatMap((order) => order.many('invoice_ids').map((bill) => [bill, order.text('partner_ref')] as const)),
  );
}

/**
 * Registers the payment on the bill by Odoo's wizard; our reference becomes the payment's memo. No money moves here, and what was
 * registered is found by a consistent read: it may be sent again.
 */
export async function registerPayment(
  desk: OdooDesk,
  payment: Payment,
  now: number,
  write: Writer,
): Promise<ErpDocument> {
  const { odoo, options, partner } = desk;
  const bill = Number(payment.erpBillId);
  const find = async (): Promise<ErpDocument | undefined> => {
    const domain = [
      ['memo', '=', payment.endToEndId],
      ['state', 'not in', VOID_PAYMENTS],
    ] satisfies [string, string, unknown][];
    const [found] = await odoo.find('account.payment', domain, ['name', 'amount', 'currency_id'], { limit: 1 });
    if (!found) return undefined;
    const amount = found.money('amount', currencyOf(found));
    if (!sameMoney(amount, payment.amount)) {
      throw new BusinessRefusal(
        'PAYMENT_DIFFERS',
        `${partner} (Odoo) has the payment ${payment.endToEndId} with ${describeMoney(amount)} instead of ${describeMoney(payment.amount)}. Correct it in Odoo, then try again.`,
      );
    }
    return { id: String(found.id), number: found.text('name') || String(found.id) };
  };
  return write({
    step: 'pay',
    summary: { payment: payment.id, endToEndId: payment.endToEndId, amount: describeMoney(payment.amount) },
    settle: 'probe',
    look: 'always',
    find,
    async adopt(number) {
      const fields = ['amount', 'currency_id', 'reconciled_bill_ids'];
      const found = await byNumber(desk, 'account.payment', number, fields);
      mustAmountTo(desk, number, found.money('amount', currencyOf(found)), payment.amount);
      mustFit(desk, number, found.many('reconciled_bill_ids').includes(bill), `does not pay ${payment.billNumber}`);
      return { id: String(found.id), number: found.text('name') };
    },
    async send({ signal }) {
      const already = await find();
      if (already) return already;
      const fields = ['name', 'state', 'payment_state', 'amount_residual', 'currency_id'];
      const before = await odoo.get('account.move', bill, fields);
      const open = before.money('amount_residual', currencyOf(before));
      if (
        before.text('state') !== 'posted' ||
        open.currency !== payment.amount.currency ||
        open.minor < payment.amount.minor
      ) {
        throw new BusinessRefusal(
          'BILL_NOT_OPEN',
          `${partner} (Odoo) has ${describeMoney(open)} open on the bill ${before.text('name')} (${before.text('payment_state')}), but ${describeMoney(payment.amount)} was paid as ${payment.endToEndId}. Somebody may have registered the payment under another memo: compare in Odoo.`,
        );
      }
      const context = { active_model: 'account.move', active_ids: [bill] };
      const values = {
        payment_date: (payment.settledAt ?? new Date(now).toISOString()).slice(0, 10),
        amount: wireAmount(payment.amount),
        communication: payment.endToEndId,
        ...(options.paymentJournal ? { journal_id: await journalId(desk, options.paymentJournal) } : {}),
      };
      // The wizard is a form that Odoo throws away: creating it changes nothing.
      const wizard = await odoo.call(
        'account.payment.register',
        'create',
        { vals_list: [values], context },
        { signal, changesNothing: true },
      );
      if (!Array.isArray(wizard) || typeof wizard[0] !== 'number') {
        throw new TemporaryFault(
          'ANSWER_UNEXPECTED',
          `${partner} (Odoo) opened no payment form for the bill ${before.text('name')}.`,
        );
      }
      await odoo.press('account.payment.register', 'action_create_payments', wizard[0], signal, context);
      const made = await find();
      if (made) return made;
      throw odoo.unexpected(
        'account.payment.register',
        'action_create_payments',
        `made no payment with the memo ${payment.endToEndId}`,
      );
    },
  });
}

async function journalId(desk: OdooDesk, code: string): Promise<number> {
  const [journal] = await desk.odoo.find('account.journal', [['code', '=', code]], ['name'], { limit: 1 });
  if (journal) return journal.id;
  throw new ConfigurationMistake(
    'JOURNAL_UNKNOWN',
    `${desk.partner} (Odoo) has no journal with the code "${code}". Correct the payment journal in the config node.`,
  );
}

/** The display name of a currency in Odoo is its ISO code. */
function currencyOf(row: Row): string {
  return row.one('currency_id')?.name ?? '';
}
