import type { PurchaseOrder } from '../orders/purchase-order.ts';
import type { Shipment } from '../orders/shipment.ts';
import type { HistoryEntry, OrderView } from './api.ts';
import { amount, day, hasText, t } from './texts.ts';

/** Who did something, or whom it was done with. */
export type Party = 'shop' | 'erp' | 'supplier' | 'bank' | 'dropline';

export interface Fact {
  label: string;
  value: string;
  link?: string;
}

/** One line of the timeline, for people. */
export interface Step {
  /** Stays the same from one refresh to the next. */
  key: string;
  at: number;
  party: Party;
  /** Reference of the partner, where it is known. */
  partner: string | undefined;
  sentence: string;
  /** In the partner's or the ledger's own words. */
  remark: string | undefined;
  facts: Fact[];
  /** Bookkeeping that another line says better: shown on request. */
  minor: boolean;
  /** A person was or is needed. */
  alarm: boolean;
}

const PARTIES: Record<string, Party> = {
  'order placed': 'shop',
  'waits for payment': 'shop',
  'order changed in the shop': 'shop',
  'order cancelled in the shop': 'shop',
  'shipment-tell': 'shop',
  'order-complete': 'shop',
  'lines-cancel': 'shop',
  'so-create': 'erp',
  'so-complete': 'erp',
  'po-create': 'erp',
  'po-change': 'erp',
  'shipment-receive': 'erp',
  'bill-enter': 'erp',
  'pay-register': 'erp',
  'po-send': 'supplier',
  'po-cancel': 'supplier',
  acknowledgement: 'supplier',
  shipment: 'supplier',
  bill: 'supplier',
  'cancelled by the supplier': 'supplier',
  'too late to cancel': 'supplier',
  'pay-send': 'bank',
};

/** What is about a call, which the subject names: `po-create/erp/shop-1004-1/ship-to`. */
const OF_CALLS = new Set(['found at the partner', 'in doubt', 'said to be done']);

/** What goes without saying: joins, the frame of a decision, and that an address was known already. */
const MINOR = /^(allocate|when-[\w-]+|payables|pay-run)$/;
const MINOR_FOUND = /\/(ship-to|customer)$/;

/** The history of an order in sentences, oldest first. What the desk does not know is shown as it is. */
export function steps(history: readonly HistoryEntry[], view?: OrderView): Step[] {
  return history.map((entry, index) => stepOf(entry, index, view));
}

function stepOf(entry: HistoryEntry, index: number, view: OrderView | undefined): Step {
  const { what, detail } = entry;
  const ofCall = OF_CALLS.has(what);
  const call = ofCall ? entry.subject.split('/') : [];
  const kind = ofCall ? (call[0] ?? '') : what;
  const po = view && purchaseOrderOf(entry, view);
  const shipment = view?.shipments.find(({ id }) => id === entry.subject || id === detail['document']);
  const party = PARTIES[kind] ?? (kind.startsWith('payment ') ? 'bank' : 'dropline');
  const action = hasText(['action', kind]) ? t(['action', kind]) : entry.subject;
  const freed = what === 'acknowledgement' && Number(detail['freed'] ?? 0) > 0;
  const sentence = ['history', freed ? 'acknowledgement freed' : what];
  return {
    key: String(index),
    at: entry.at,
    party,
    partner: text(detail['partner']) ?? (ofCall ? call[1] : partnerOf(party, view, po, shipment)),
    sentence: hasText(sentence) ? t(sentence, { action, count: text(detail['freed']) ?? '' }) : what,
    remark: text(detail['why']) ?? text(detail['message']) ?? text(detail['error']) ?? text(detail['reason']),
    facts: factsOf(entry, view, po, shipment),
    minor: MINOR.test(what) || (what === 'found at the partner' && MINOR_FOUND.test(entry.subject)),
    alarm: what === 'exception',
  };
}

function factsOf(
  { what, subject, detail }: HistoryEntry,
  view: OrderView | undefined,
  po: PurchaseOrder | undefined,
  shipment: Shipment | undefined,
): Fact[] {
  const facts: Fact[] = [];
  const add = (name: string, value: unknown, link?: string) => {
    const shown = text(value);
    if (shown !== undefined && shown !== '')
      facts.push({ label: t(['fact', name]), value: shown, ...(link ? { link } : {}) });
  };
  if (po) add('purchaseOrder', po.id);
  const bill = view?.bills.find(({ id }) => id === subject || id === detail['document']);
  const payment = view?.payments.find(({ id, bill: of, endToEndId }) => [id, of, endToEndId].includes(subject));
  switch (what) {
    case 'order placed':
      add('orderNumber', detail['number']);
      if (view) add('lines', linesOf(view.order.lines));
      add('total', money(detail));
      add('country', detail['country']);
      break;
    case 'routed': {
      const line = view?.order.lines.find(({ id }) => subject.endsWith(` line ${id}`));
      if (line) add('lines', linesOf([line]));
      else add('subject', subject);
      break;
    }
    case 'so-create':
    case 'so-complete':
    case 'po-create':
    case 'po-change':
      add('erpNumber', detail['number']);
      if (what === 'po-create' && po) add('total', amount(po.total));
      break;
    case 'po-send':
      if (po) add('lines', linesOf(po.lines));
      add('supplierNumber', detail['supplierOrderId']);
      break;
    case 'acknowledgement':
    case 'cancelled by the supplier':
    case 'too late to cancel':
      add('supplierNumber', withoutPartner(detail['document']));
      break;
    case 'shipment':
    case 'shipment-tell':
    case 'shipment-receive':
      add('shipment', shipment?.number ?? withoutPartner(detail['document'] ?? subject));
      if (shipment) {
        if (what !== 'shipment-receive') add('lines', linesOf(shipment.lines));
        if (what !== 'shipment-receive')
          for (const { carrier, trackingNumber, trackingUrl } of shipment.parcels)
            add('tracking', `${carrier} ${trackingNumber}`, safeLink(trackingUrl));
      } else add('tracking', detail['tracking']);
      if (what === 'shipment-receive') add('erpNumber', detail['id']);
      if (what === 'shipment-tell') add('shopNumber', detail['id']);
      break;
    case 'bill':
      add('bill', bill?.number ?? withoutPartner(detail['document']));
      if (bill) add('lines', linesOf(bill.lines));
      add('total', money(detail));
      if (bill?.dueAt) add('due', day(bill.dueAt));
      break;
    case 'bill-match':
    case 'bill-enter':
    case 'payment reserved':
      add('bill', bill?.number ?? withoutPartner(subject));
      if (bill) add('total', amount(bill.total));
      if (what === 'bill-enter') add('erpNumber', detail['number']);
      break;
    case 'found at the partner':
    case 'in doubt':
      break;
    case 'said to be done':
    case 'routed again by hand':
    case 'given up by hand':
      add('lines', detail['lines']);
      add('partnerNumber', detail['number']);
      add('by', detail['by']);
      break;
    case 'exception':
    case 'exception settled':
      add('code', detail['code']);
      add('by', detail['by'] === 'dropline' ? undefined : detail['by']);
      add('settlement', detail['settlement']);
      break;
    default:
      if (payment) {
        add('bill', payment.billNumber);
        add('total', amount(payment.amount));
        add('supplier', payment.supplier);
        add('run', detail['run']);
        if (what === 'pay-register') add('erpNumber', detail['number']);
        else add('bankCode', detail['code']);
      } else if (!po && subject !== view?.order.id) {
        add('subject', subject);
        add('by', detail['by']);
      }
  }
  return facts;
}

/** `3 × WINE-PINOT, 1 × GLASS-BURGUNDY` */
export function linesOf(lines: readonly { quantity: string; sku: string }[]): string {
  return lines.map(({ quantity, sku }) => `${quantity} × ${sku}`).join(', ');
}

/** A link that came from a partner is followed only where it is plain HTTPS: never `javascript:`. */
export function safeLink(url: string | undefined): string | undefined {
  return url !== undefined && URL.canParse(url) && new URL(url).protocol === 'https:' ? url : undefined;
}

function purchaseOrderOf({ subject, detail }: HistoryEntry, view: OrderView): PurchaseOrder | undefined {
  const document = [subject, detail['document']];
  const owner =
    view.shipments.find(({ id }) => document.includes(id))?.purchaseOrder ??
    view.bills.find(({ id }) => document.includes(id))?.purchaseOrder;
  // A change carries its revision (`shop-1004-1/1`), a call its kind and partner (`po-create/erp/shop-1004-1/create`).
  const parts = subject.split('/');
  return view.purchaseOrders.find(({ id }) => id === owner || parts.includes(id));
}

function partnerOf(
  party: Party,
  view: OrderView | undefined,
  po: PurchaseOrder | undefined,
  shipment: Shipment | undefined,
): string | undefined {
  if (party === 'shop') return view?.order.shop;
  if (party === 'erp') return view?.order.erp?.partner;
  if (party === 'supplier') return po?.supplier ?? shipment?.supplier;
  return undefined;
}

/** Documents of suppliers carry the supplier's reference (`vineyard/SH-12`), which the line names anyway. */
function withoutPartner(id: unknown): string | undefined {
  const name = text(id);
  return name?.slice(name.indexOf('/') + 1);
}

function money(detail: Record<string, unknown>): string | undefined {
  const minor = detail['total'] ?? detail['amount'];
  const currency = detail['currency'];
  return typeof minor === 'number' && typeof currency === 'string' ? amount({ minor, currency }) : undefined;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : undefined;
}
