import type { EffectView, OrderView } from '../ledger/views.ts';
import { decimal, describeMoney, sum } from '../orders/money.ts';
import type { DemoOrder } from '../sandbox/catalogue.ts';
import { check } from '../sandbox/check.ts';
import type { EffectRecord } from '../sandbox/world.ts';

/** The steps of an order's history, in words. */
const STEPS: Record<string, string> = {
  'so-create': 'the ERP knows the sale',
  'po-create': 'purchase order in the ERP',
  'po-send': 'sent to the supplier',
  'po-change': 'reduced in the ERP',
  acknowledgement: 'the supplier answers',
  shipment: 'the supplier ships',
  'shipment-receive': 'received in the ERP',
  'shipment-tell': 'told to the shop and the customer, with tracking',
  'so-complete': 'sale complete in the ERP',
  'order-complete': 'order complete in the shop',
  bill: 'the supplier bills',
  'bill-match': 'bill matches purchase order and shipments',
  'bill-enter': 'bill in the ERP',
  'pay-register': 'the ERP knows that it is paid',
  exception: 'needs a person',
};

/** Steps that say nothing that another line does not say. */
const SILENT = new Set(['allocate', 'when-shipped', 'when-acknowledged', 'when-paid', 'payment accepted']);

/** Prints an order's history as it grows, a line a step. */
export class Journey {
  readonly #say: (line: string) => void;
  readonly #shown = new Map<string, number>();

  constructor(say: (line: string) => void) {
    this.#say = say;
  }

  /** Prints what is new, of all orders together, in the order of time. */
  show(views: OrderView[]): void {
    const news = views.flatMap((view) => {
      const shown = this.#shown.get(view.order.id) ?? 0;
      this.#shown.set(view.order.id, view.history.length);
      return view.history.slice(shown).map((entry) => ({ order: view.order.id, entry }));
    });
    news.sort((a, b) => a.entry.at - b.entry.at);
    for (const { order, entry } of news) {
      // That the ERP had the customer's address already is no news to anyone.
      if (SILENT.has(entry.what) || /\/(ship-to|customer)$/.test(entry.subject)) continue;
      const subject = entry.subject === order ? '' : ` ${entry.subject.replace(`${order} `, '')}`;
      const detail = detailOf(entry.detail);
      this.#say(
        `${new Date(entry.at).toISOString().slice(11, 19)}  ${order}  ${STEPS[entry.what] ?? entry.what}${subject}${detail ? `: ${detail}` : ''}`,
      );
    }
  }

  /** Paid as a whole, or all that can happen without a person has happened. */
  isSettled(view: OrderView): boolean {
    if (view.progress.paid.reached && view.state === 'complete') return true;
    const stuck = view.exceptions.some(
      (exception) => exception.state === 'open' && exception.code === 'NOBODY_DELIVERS',
    );
    return (
      stuck &&
      view.bills.every((bill) => bill.state === 'paid') &&
      view.purchaseOrders.every((po) => po.state === 'shipped' || po.state === 'cancelled')
    );
  }
}

/** What happened to each order, in a table for people. */
export function journeyTable(views: OrderView[], log: readonly EffectRecord[], titles: string[]): string {
  const rows = views.flatMap((view, index) => {
    const paid = view.payments.filter((payment) => payment.state === 'paid');
    const total =
      paid.length > 0
        ? sum(
            paid.map((payment) => payment.amount),
            paid[0]!.amount.currency,
          )
        : undefined;
    const last = paid
      .map((payment) => payment.settledAt ?? '')
      .sort()
      .at(-1);
    const open = view.exceptions.filter((exception) => exception.state === 'open');
    const done = log.some(
      (entry) =>
        entry.partner === 'shop' && entry.operation === 'order.complete' && entry.reference === view.order.shopOrderId,
    );
    const first = [view.order.id, titles[index] ?? '', view.order.erp?.number ?? '-'];
    const end = [
      done ? 'completed' : open.length > 0 ? `exception: ${open[0]!.code}` : 'open',
      total ? decimal(total) : '-',
      last ? last.slice(11, 19) : '-',
    ];
    const pos = view.purchaseOrders.length > 0 ? view.purchaseOrders : [undefined];
    return pos.map((po, line) => {
      const tracking = po
        ? view.shipments
            .filter((shipment) => shipment.purchaseOrder === po.id)
            .flatMap((shipment) => shipment.parcels.map((parcel) => parcel.trackingNumber))
        : [];
      return [
        ...(line === 0 ? first : ['', '', '']),
        po ? `${po.id} ${po.supplier}${po.state === 'cancelled' ? ' (given back)' : ''}` : '-',
        po?.erp?.number ?? '-',
        tracking.join(' ') || '-',
        ...(line === 0 ? end : ['', '', '']),
      ];
    });
  });
  return printTable(
    ['Order', 'What it shows', 'ERP sale', 'Purchase order', 'ERP PO', 'Tracking', 'Shop', 'Paid EUR', 'At (UTC)'],
    rows,
  );
}

/** Why the demo is not as it should be; empty when every order is accounted for. */
export function verdict(
  views: OrderView[],
  orders: DemoOrder[],
  log: readonly EffectRecord[],
  effects: EffectView[],
): string[] {
  const problems: string[] = check({ views, effects, log });
  if (views.length < orders.length) problems.push(`Only ${views.length} of ${orders.length} orders have arrived.`);
  for (const [index, order] of orders.entries()) {
    const view = views[index];
    if (!view) continue;
    const open = view.exceptions.filter((exception) => exception.state === 'open');
    if (order.undeliverable) {
      if (!open.some((exception) => exception.code === 'NOBODY_DELIVERS'))
        problems.push(`${view.order.id} should be an exception that says why nobody delivers.`);
    } else if (!view.progress.paid.reached || view.state !== 'complete') {
      problems.push(
        `${view.order.id} is not complete and paid: ${view.progress.paid.missing.join(' ')} ${open.map((exception) => exception.message).join(' ')}`,
      );
    }
  }
  return problems;
}

function detailOf(detail: Record<string, unknown>): string {
  const { currency, ...rest } = detail;
  return Object.entries(rest)
    .filter(([name, value]) => name !== 'partner' && name !== 'id' && name !== 'code' && value !== 0)
    .map(([name, value]) => {
      if ((name === 'total' || name === 'amount') && typeof value === 'number' && typeof currency === 'string')
        return describeMoney({ minor: value, currency });
      return ['why', 'message', 'number', 'tracking', 'document'].includes(name)
        ? String(value)
        : `${name} ${String(value)}`;
    })
    .join(', ');
}

function printTable(head: string[], rows: string[][]): string {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)));
  const line = (cells: string[]) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}
