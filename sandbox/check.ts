import type { EffectView, OrderView } from '../ledger/views.ts';
import { quantityToUnits, toUnits, unitsToQuantity } from './decimal.ts';
import type { EffectRecord } from './world.ts';

/** What Dropline says (orders as `/dropship/orders/:id` shows them, the effects of `/dropship/effects`) and what the partners did (`/__sandbox/effects`). */
export interface Books {
  views: OrderView[];
  effects: EffectView[];
  log: readonly EffectRecord[];
  /** The flow is only a part of the process, so that suppliers' answers and routing may be missing from the ledger. */
  partial?: boolean;
}

/** How a ledger effect stands in the effect log. */
interface Mark {
  operation: string;
  /** Our own reference as the partner was given it; several where one effect may carry one of them. */
  references: string[];
  /** What the partner calls it, according to the ledger; `undefined` where the result does not say. */
  id?: string | undefined;
}

/** What a partner may do once only for one reference. Others may repeat: notes, changes of a purchase order, what partners send themselves. */
const ONCE = new Set([
  'customer.create',
  'address.create',
  'sale.create',
  'sale.confirm',
  'sale.complete',
  'purchase.create',
  'purchase.confirm',
  'purchase.cancel',
  'order.accept',
  'receipt.done',
  'fulfilment.create',
  'order.complete',
  'bill.create',
  'bill.post',
  'file.accept',
  'payment.execute',
  'payment.create',
]);

/** What an effect of this kind and step leaves at its partner. Steps that are missing here (preparations, cancellation requests) leave no entry of their own. */
const MARKS: Record<string, (effect: EffectView, find: Find) => Mark> = {
  'so-create create': (effect) => ({
    operation: 'sale.create',
    references: [effect.document],
    id: idOf(effect.result),
  }),
  'so-create confirm': (effect) => ({
    operation: 'sale.confirm',
    references: [effect.document],
    id: idOf(effect.result),
  }),
  'so-complete lock': (effect) => ({ operation: 'sale.complete', references: [effect.document] }),
  'po-create create': (effect) => ({
    operation: 'purchase.create',
    references: [effect.document],
    id: idOf(effect.result),
  }),
  'po-create confirm': (effect) => ({
    operation: 'purchase.confirm',
    references: [effect.document],
    id: idOf(effect.result),
  }),
  'po-change cancel': (effect) => ({
    operation: 'purchase.cancel',
    references: [withoutRevision(effect.document)],
    id: idOf(effect.result),
  }),
  'po-send send': (effect) => ({
    operation: 'order.accept',
    references: [effect.document],
    id: field(effect.result, 'supplierOrderId'),
  }),
  'shipment-receive validate': (effect) => ({
    operation: 'receipt.done',
    references: [effect.document],
    id: idOf(effect.result),
  }),
  'shipment-tell fulfil': (effect, find) => ({
    operation: 'fulfilment.create',
    references: find.tracking(effect.document),
    id: idOf(effect.result),
  }),
  'order-complete complete': (effect, find) => ({
    operation: 'order.complete',
    references: [find.shopOrder(effect.document)],
  }),
  'bill-enter create': (effect) => ({
    operation: 'bill.create',
    references: [effect.document],
    id: idOf(effect.result),
  }),
  'bill-enter post': (effect) => ({ operation: 'bill.post', references: [effect.document], id: idOf(effect.result) }),
  'pay-send hand-over': (effect) => ({ operation: 'file.accept', references: [effect.document] }),
  'pay-register pay': (effect) => ({
    operation: 'payment.create',
    references: [effect.document],
    id: idOf(effect.result),
  }),
};

/** Operations whose every entry must have a finished effect. */
const OURS = new Set(
  Object.values(MARKS).map(
    (mark) =>
      mark({ document: '', result: undefined } as EffectView, { tracking: () => [], shopOrder: () => '' }).operation,
  ),
);

interface Find {
  tracking(shipmentId: string): string[];
  shopOrder(orderId: string): string;
}

/**
 * Compares what the ledger says of some orders with what their partners did, once everything has settled. Entries of orders that are not
 * among the views are left out; an entry that belongs to no order of the shop is reported.
 * @returns a sentence for each thing that is wrong; none when all is well
 */
export function check({ views, effects, log, partial = false }: Books): string[] {
  const shops = new Set(views.map((view) => view.order.shopOrderId));
  const known = knownOf(views, log);
  const strangers: string[] = [];
  /** By the shop's id of the order, so that thousands of orders are not each compared with all that ever happened. */
  const entriesOf = new Map<string, EffectRecord[]>();
  const mine = log.filter((entry) => {
    const order = shopOrderOf(entry, known);
    if (order === undefined) strangers.push(`${name(entry)} belongs to no order of the shop.`);
    if (order === undefined || !(order === ANY || shops.has(order))) return false;
    append(entriesOf, order, entry);
    return true;
  });
  const orders = new Set(views.map((view) => view.order.id));
  const own = effects.filter((effect) => effect.orderId === null || orders.has(effect.orderId));
  return [
    ...strangers,
    ...doneTwice(mine),
    ...differences(views, own, mine),
    ...views.flatMap((view) => {
      const entries = entriesOf.get(view.order.shopOrderId) ?? [];
      return [
        ...(partial ? [] : [...arrived(view, entries), ...quantities(view)]),
        ...shipped(view, entries),
        ...money(view, entries),
      ];
    }),
    ...unknownPayments(views, mine),
  ];
}

/** I2: nothing twice. */
function doneTwice(log: readonly EffectRecord[]): string[] {
  const counts = new Map<string, EffectRecord[]>();
  for (const entry of log) {
    const told = entry.operation === 'customer.notify' && field(entry.detail, 'by') === 'fulfilment';
    if (!ONCE.has(entry.operation) && !told) continue;
    const key = `${entry.partner} ${entry.operation} ${entry.reference} ${told ? field(entry.detail, 'tracking') : ''}`;
    append(counts, key, entry);
  }
  return [...counts.values()]
    .filter((entries) => entries.length > 1)
    .map(
      (entries) =>
        `${name(entries[0]!)} happened ${entries.length} times (${entries.map((entry) => entry.id).join(', ')}).`,
    );
}

/** I2, I3, I4: each finished effect is at its partner, under the id that the ledger has; and nothing is there without its effect. */
function differences(views: OrderView[], effects: EffectView[], log: readonly EffectRecord[]): string[] {
  const problems: string[] = [];
  const accounted = new Set<EffectRecord>();
  const tracking = new Map(
    views.flatMap((view) =>
      view.shipments.map((shipment) => [
        shipment.id,
        shipment.parcels.map((parcel) => `${view.order.shopOrderId}/${parcel.trackingNumber}`),
      ]),
    ),
  );
  const shopOrders = new Map(views.map((view) => [view.order.id, view.order.shopOrderId]));
  const find: Find = {
    tracking: (shipmentId) => tracking.get(shipmentId) ?? [],
    shopOrder: (orderId) => shopOrders.get(orderId) ?? orderId,
  };
  const found = new Map<string, EffectRecord[]>();
  for (const entry of log) append(found, `${entry.partner} ${entry.operation} ${entry.reference}`, entry);
  const runs = new Set(views.flatMap((view) => view.payments.map((payment) => payment.run)));
  for (const effect of effects) {
    const mark = MARKS[`${effect.kind} ${effect.step}`]?.(effect, find);
    if (!mark || (effect.kind === 'pay-send' && !runs.has(effect.document))) continue;
    const entries = [...new Set(mark.references)].flatMap(
      (reference) => found.get(`${effect.partner} ${mark.operation} ${reference}`) ?? [],
    );
    for (const entry of entries) accounted.add(entry);
    switch (effect.state) {
      case 'done':
        if (entries.length === 0)
          problems.push(
            `${effect.key} is done in the ledger, but ${effect.partner} has no ${mark.operation} of ${mark.references.join(' or ')}.`,
          );
        else if (mark.id !== undefined && !entries.some((entry) => entry.id === mark.id)) {
          problems.push(
            `${effect.key} has the id ${mark.id} in the ledger, but ${effect.partner} calls it ${entries.map((entry) => entry.id).join(', ')}.`,
          );
        }
        break;
      case 'asked':
        // A person has been asked whether it was done: both answers are possible.
        break;
      case 'refused':
        if (entries.length > 0)
          problems.push(`${effect.key} was refused according to the ledger, but ${effect.partner} did it.`);
        break;
      default:
        problems.push(`${effect.key} is not settled: ${effect.state}.`);
    }
  }
  for (const entry of log) {
    // What people did in the shop themselves.
    if (!OURS.has(entry.operation) || accounted.has(entry) || field(entry.detail, 'by') === 'shop') continue;
    problems.push(`${name(entry)} has no effect in the ledger.`);
  }
  return problems;
}

/** I1: what suppliers sent, and were told had arrived, is in the ledger, or an exception says why not. */
function arrived(view: OrderView, log: readonly EffectRecord[]): string[] {
  if (view.exceptions.some((exception) => exception.state === 'open')) return [];
  const known = new Set([
    ...[...view.shipments, ...view.bills].map((document) => document.id),
    ...view.history
      .filter((entry) => entry.what === 'acknowledgement')
      .map((entry) => String(entry.detail['document'])),
  ]);
  return log
    .filter((entry) => ['acknowledgement.send', 'shipment.send', 'bill.send'].includes(entry.operation))
    .filter(
      (entry) =>
        view.purchaseOrders.some((po) => po.id === entry.reference) && !known.has(`${entry.partner}/${entry.id}`),
    )
    .map((entry) => `${entry.partner} sent ${entry.id}, which the ledger does not have.`);
}

/** I5: the purchase orders ask for what the customer ordered, less what will not come or waits for a person. */
function quantities(view: OrderView): string[] {
  const open = view.exceptions.some((exception) => exception.state === 'open');
  return view.order.lines.flatMap((line) => {
    const ordered = units(line.quantity);
    const live = view.purchaseOrders
      .flatMap((po) => po.lines)
      .filter((each) => each.orderLine === line.id)
      .reduce((sum, each) => sum + units(each.quantity) - units(each.freed), 0n);
    const reported = (view.order.undeliverable ?? [])
      .filter((each) => each.orderLine === line.id)
      .reduce((sum, each) => sum + units(each.quantity), 0n);
    const what = `Line ${line.id} of ${view.order.id} (${line.sku}): ${unitsToQuantity(ordered)} ordered, ${unitsToQuantity(live)} on purchase orders, ${unitsToQuantity(reported)} reported as not coming`;
    if (live + reported > ordered) return [`${what}: more than was ordered.`];
    if (live + reported < ordered && !open && view.state !== 'cancelled') return [`${what}, and no exception is open.`];
    return [];
  });
}

/** I5 at the suppliers, I9: what each was asked for, what each shipped, what the shop told the customer. */
function shipped(view: OrderView, log: readonly EffectRecord[]): string[] {
  const problems: string[] = [];
  for (const po of view.purchaseOrders) {
    const accepted = log.find((entry) => entry.operation === 'order.accept' && entry.reference === po.id);
    if (accepted && accepted.partner !== po.supplier)
      problems.push(`${po.id} is for ${po.supplier}, but ${accepted.partner} has it.`);
    for (const line of po.lines) {
      const asked = sumOf(accepted ? [accepted] : [], 'line', line.id);
      if (accepted && asked !== units(line.quantity)) {
        problems.push(
          `Line ${line.id} of ${po.id} is ${line.quantity} in the ledger, but ${po.supplier} was asked for ${unitsToQuantity(asked)}.`,
        );
      }
      const sent = sumOf(
        log.filter((entry) => entry.operation === 'shipment.send' && entry.reference === po.id),
        'line',
        line.id,
      );
      if (units(line.shipped) > sent)
        problems.push(
          `Line ${line.id} of ${po.id} counts ${line.shipped} as shipped, but ${po.supplier} shipped ${unitsToQuantity(sent)}.`,
        );
    }
  }
  const fulfilments = log.filter(
    (entry) => entry.operation === 'fulfilment.create' && field(entry.detail, 'order') === view.order.shopOrderId,
  );
  for (const line of view.order.lines) {
    const told = sumOf(fulfilments, 'item_id', line.id);
    const sent = view.purchaseOrders
      .flatMap((po) =>
        po.lines.filter((each) => each.orderLine === line.id).map((each) => ({ po: po.id, line: each.id })),
      )
      .reduce(
        (sum, each) =>
          sum +
          sumOf(
            log.filter((entry) => entry.operation === 'shipment.send' && entry.reference === each.po),
            'line',
            each.line,
          ),
        0n,
      );
    if (told > sent)
      problems.push(
        `The shop told the customer of ${view.order.id} that ${unitsToQuantity(told)} of ${line.sku} were sent, but ${unitsToQuantity(sent)} were.`,
      );
  }
  return problems;
}

/** I6, I8: each bill is paid at most once, to the cent, to the approved account, after it was matched and entered. */
function money(view: OrderView, log: readonly EffectRecord[]): string[] {
  return view.bills.flatMap((bill) => {
    const payments = view.payments.filter((payment) => payment.bill === bill.id);
    const executed = log.filter(
      (entry) =>
        entry.operation === 'payment.execute' && payments.some((payment) => payment.endToEndId === entry.reference),
    );
    const problems = executed.length > 1 ? [`Bill ${bill.id} was paid ${executed.length} times.`] : [];
    for (const entry of executed) {
      const payment = payments.find((each) => each.endToEndId === entry.reference)!;
      const amount = toUnits(field(entry.detail, 'amount'), DIGITS);
      const named = `Bill ${bill.id}`;
      if (
        amount === undefined ||
        amount !== BigInt(bill.total.minor) ||
        field(entry.detail, 'currency') !== bill.total.currency
      ) {
        problems.push(
          `${named} is about ${bill.total.minor} minor units of ${bill.total.currency}, but the bank paid ${field(entry.detail, 'amount')} ${field(entry.detail, 'currency')}.`,
        );
      }
      if (payment.state !== 'paid' && payment.state !== 'returned')
        problems.push(`${named} was paid, but counts as ${payment.state}.`);
      if (field(entry.detail, 'iban') !== payment.beneficiary.iban)
        problems.push(
          `${named} was to be paid to ${payment.beneficiary.iban}, but the bank paid ${field(entry.detail, 'iban')}.`,
        );
      const entered = log.find((each) => each.operation === 'bill.post' && each.reference === bill.id);
      if (!entered || entered.seq > entry.seq)
        problems.push(`${named} was paid before it was matched and entered in the ERP.`);
      if (bill.state === 'mismatch' || bill.state === 'received')
        problems.push(`${named} was paid although it is "${bill.state}".`);
      const po = view.purchaseOrders.find((each) => each.id === bill.purchaseOrder);
      if (po?.supplier !== bill.supplier)
        problems.push(
          `${named} of ${bill.supplier} was paid, but ${bill.purchaseOrder} is ${po ? `${po.supplier}'s` : 'unknown'}.`,
        );
      for (const line of bill.lines) {
        const received = po?.lines.find((each) => each.id === line.line);
        if (!received || units(line.quantity) > units(received.shipped))
          problems.push(
            `${named} was paid for ${line.quantity} of line ${line.line}, but ${received?.shipped ?? '0'} shipped.`,
          );
      }
    }
    if (bill.state === 'paid' && executed.length === 0)
      problems.push(`Bill ${bill.id} counts as paid, but the bank did not execute it.`);
    return problems;
  });
}

/** I6: the bank pays nothing that the ledger does not know of. Executions whose order is not known otherwise are told by the bill number that they carry. */
function unknownPayments(views: OrderView[], log: readonly EffectRecord[]): string[] {
  const known = new Set(views.flatMap((view) => view.payments.map((payment) => payment.endToEndId)));
  return log
    .filter((entry) => entry.operation === 'payment.execute' && !known.has(entry.reference))
    .map((entry) => `The bank executed ${entry.reference}, which no order knows.`);
}

/** All currencies of the sandbox have cents. */
const DIGITS = 2;

/** An entry that may concern several orders. */
const ANY = '*';

/** What tells whose an entry is. */
interface Known {
  /** The shop's ids of all orders that were placed. */
  placed: Set<string>;
  /** Of the order that is paid for, by end-to-end id. */
  payments: Map<string, string>;
  runs: Set<string>;
}

function knownOf(views: OrderView[], log: readonly EffectRecord[]): Known {
  const payments = views.flatMap(({ order, payments: each }) => each.map((payment) => ({ order, payment })));
  return {
    placed: new Set(log.filter((entry) => entry.operation === 'order.place').map((entry) => entry.id)),
    payments: new Map(payments.map(({ order, payment }) => [payment.endToEndId, order.shopOrderId])),
    runs: new Set(payments.map(({ payment }) => payment.run)),
  };
}

/** The shop's id of the order that an entry is about; `undefined` when it is about none. */
function shopOrderOf(entry: EffectRecord, { placed, payments, runs }: Known): string | undefined {
  // Contacts of a customer with an account, and articles, belong to no single order.
  if (entry.operation === 'product.create' || /^[^/]+\/customer\//.test(entry.reference)) return ANY;
  const paid = payments.get(entry.reference);
  if (paid !== undefined) return paid;
  // A rejection carries no more than the payment's own reference, a file no more than its run's.
  if (entry.operation === 'payment.reject') return OTHERS;
  if (entry.operation === 'file.accept') return runs.has(entry.reference) ? ANY : OTHERS;
  // Dropline's order id is `shop-<id>`; it stands in the numbers of purchase orders, and so in those of shipments and bills.
  const texts = [entry.reference, entry.id, field(entry.detail, 'remittance') ?? '', field(entry.detail, 'bill') ?? ''];
  for (const text of texts) {
    const id =
      /(?:^|[^\w])shop-(\d+)/.exec(text)?.[1] ?? (entry.partner === 'shop' ? /^(\d+)/.exec(text)?.[1] : undefined);
    if (id !== undefined && placed.has(id)) return id;
  }
  return undefined;
}

/** Of an order that is not looked at. */
const OTHERS = '-';

function withoutRevision(document: string): string {
  return document.replace(/\/\d+$/, '');
}

function sumOf(entries: readonly EffectRecord[], key: 'line' | 'item_id', line: string): bigint {
  let sum = 0n;
  for (const entry of entries) {
    const { lines, items } = entry.detail as { lines?: Record<string, unknown>[]; items?: Record<string, unknown>[] };
    for (const each of lines ?? items ?? []) {
      if (String(each[key]) === line) sum += units(String(each['quantity'] ?? each['qty']));
    }
  }
  return sum;
}

function units(quantity: string): bigint {
  const found = quantityToUnits(quantity);
  if (found === undefined) throw new Error(`"${quantity}" is no quantity.`);
  return found;
}

/** A result is the partner's id itself, or an object that has it. */
function idOf(result: unknown): string | undefined {
  return typeof result === 'number' || typeof result === 'string' ? String(result) : field(result, 'id');
}

function append<Key, Item>(lists: Map<Key, Item[]>, key: Key, item: Item): void {
  const list = lists.get(key);
  if (list) list.push(item);
  else lists.set(key, [item]);
}

function field(value: unknown, key: string): string | undefined {
  const found = typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[key] : undefined;
  return typeof found === 'string' || typeof found === 'number' ? String(found) : undefined;
}

function name(entry: EffectRecord): string {
  return `${entry.operation} ${entry.reference} at ${entry.partner}`;
}
