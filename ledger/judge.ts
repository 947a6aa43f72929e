import type { Acknowledgement, Cancellation } from '../orders/acknowledgement.ts';
import type { Bill } from '../orders/bill.ts';
import { BusinessRefusal, ConfigurationMistake } from '../orders/errors.ts';
import { parseMoney } from '../orders/money.ts';
import { checkOrder, sameOrderContent, type AffectedLine, type Order } from '../orders/order.ts';
import {
  applyAcknowledgement,
  applyCancellation,
  applyShipment,
  resolveLines,
  type PurchaseOrder,
} from '../orders/purchase-order.ts';
import { compare } from '../orders/quantity.ts';
import type { Shipment } from '../orders/shipment.ts';
import type { ShopOrder } from '../partners/ecommerce/port.ts';
import type { SupplierDocument, SupplierFactKind } from '../partners/supplier/port.ts';
import { releaseStock, markShipped } from './allocations.ts';
import type { Core } from './core.ts';
import { expectStep, stepCame } from './deadlines.ts';
import { judgeLinesDecision, LINES_DECISION } from './decisions.ts';
import type { Judge, Judgement } from './dispatcher.ts';
import { documentState, getDocument, putDocument } from './documents.ts';
import { hurryWaiting, type Emit, type LedgerEvent } from './events.ts';
import { raise } from './exceptions.ts';
import { note } from './history.ts';
import type { LedgerPartner, Partners } from './partners.ts';
import { judgePayables, judgeRunDecision, judgeStatus } from './payments.ts';
import { query, queryOne, type Transaction } from './store.ts';
import { faultOf } from './validate.ts';

/** How often an event that waits for another one is looked at, should nothing hurry it. */
const LOOK_AGAIN = 30_000;

/**
 * What an inbound fact means, given everything that is known: the business half of the intake, after the sender has been
 * answered. It changes the documents and fixes what the flow is told, in the transaction that claims the event.
 */
export function createJudge(core: Core, partners: Partners): Judge {
  return function* judge(event: LedgerEvent): Transaction<Judgement> {
    if (event.kind === LINES_DECISION) return yield* judgeLinesDecision(core, event);
    const partner = partners.get(event.partner);
    if (!partner) {
      return { verdict: 'wait', until: core.now() + LOOK_AGAIN, note: `no config node for ${event.partner}` };
    }
    try {
      switch (event.kind) {
        case 'order':
          return yield* judgeOrder(core, event, partner);
        case 'acknowledgement':
        case 'shipment':
        case 'bill':
        case 'cancellation':
          return yield* judgeSupplierDocument(core, event, event.kind, partner);
        case 'payment-status':
          return yield* judgeStatus(core, event, partner);
        case 'run-decision':
          return yield* judgeRunDecision(core, event);
        case 'payables-asked':
          return judgePayables(event);
        default:
          throw new BusinessRefusal('KIND_UNKNOWN', `Nothing here knows what a "${event.kind}" is.`);
      }
    } catch (thrown) {
      return unusable(thrown);
    }
  };
}

/** What cannot be used, and why, for a person. Errors of the program are not judged here. */
function unusable(thrown: unknown, orderId?: string): Judgement {
  if (!(thrown instanceof BusinessRefusal) && !(thrown instanceof ConfigurationMistake)) throw thrown;
  return {
    verdict: 'unusable',
    code: thrown.code,
    message: thrown.message,
    ...(orderId === undefined ? {} : { orderId }),
  };
}

/** From here on it is known which order is meant, so that what is wrong shows with that order. */
function* aboutOrder(orderId: string, judging: Transaction<Judgement>): Transaction<Judgement> {
  try {
    return yield* judging;
  } catch (thrown) {
    return unusable(thrown, orderId);
  }
}

function* judgeOrder(core: Core, event: LedgerEvent, shop: LedgerPartner): Transaction<Judgement> {
  if (!shop.readOrder) throw notOfRole(shop, 'orders');
  const read = shop.readOrder(event.body);
  return yield* aboutOrder(read.order.id, judgeOrderState(core, event, shop, read));
}

function* judgeOrderState(
  core: Core,
  event: LedgerEvent,
  shop: LedgerPartner,
  { order, paid, cancelled }: ShopOrder,
): Transaction<Judgement> {
  const now = core.now();
  const known = yield* getDocument('order', order.id);
  if (!known) {
    if (cancelled) {
      // Kept, because the news of the order itself may be late and must not be taken for a new one.
      yield* putDocument(order, now, 'cancelled');
      return { verdict: 'close', note: 'cancelled before it was taken', orderId: order.id };
    }
    if (shop.takeWhen !== 'placed' && !paid) {
      yield* note(now, { orderId: order.id, eventId: event.id, what: 'waits for payment', subject: order.id });
      return { verdict: 'close', note: 'not paid yet: the shop tells when it is', orderId: order.id };
    }
    checkOrder(order, core.settings);
    yield* putDocument(checkSchema(order), now, 'taken');
    yield* note(now, {
      orderId: order.id,
      eventId: event.id,
      what: 'order placed',
      subject: order.id,
      detail: {
        number: order.number,
        lines: order.lines.length,
        total: order.total.minor,
        currency: order.currency,
        country: order.shipTo.country,
      },
    });
    yield* expectStep(
      `route ${order.id}`,
      `Order ${order.id} has not been routed to suppliers.`,
      now + core.settings.deadlines.route,
      order.id,
    );
    return {
      verdict: 'emit',
      emits: [{ outcome: 'placed', payload: { ...order }, orderId: order.id }],
      orderId: order.id,
    };
  }
  const state = yield* documentState('order', order.id);
  if (state === 'cancelled') return { verdict: 'close', note: 'already cancelled', orderId: order.id };
  if (order.changedAt < known.changedAt)
    return { verdict: 'close', note: 'older than what is known', orderId: order.id };
  if (cancelled) {
    const after = { ...known, changedAt: order.changedAt, revision: known.revision + 1 };
    yield* putDocument(after, now, 'cancelled');
    yield* stepCame(`route ${order.id}`, now);
    yield* note(now, { orderId: order.id, eventId: event.id, what: 'order cancelled in the shop', subject: order.id });
    return {
      verdict: 'emit',
      emits: [{ outcome: 'cancelled', payload: { ...after }, orderId: order.id }],
      orderId: order.id,
    };
  }
  if (sameOrderContent(order, known)) {
    // From now on anything older than this is old news.
    yield* putDocument({ ...known, changedAt: order.changedAt }, now, state);
    return { verdict: 'close', note: 'nothing changed that concerns delivery', orderId: order.id };
  }
  checkOrder(checkSchema(order), core.settings);
  return yield* judgeChange(core, event, { ...order, revision: known.revision + 1 });
}

/** An order that was edited after intake: free to change until something has been done for it, a person's matter afterwards. */
function* judgeChange(core: Core, event: LedgerEvent, order: Order): Transaction<Judgement> {
  const now = core.now();
  const begun = yield* queryOne(`SELECT key FROM effect WHERE order_id = ? LIMIT 1`, order.id);
  if (begun) {
    yield* raise(now, {
      subject: `order ${order.id}`,
      code: 'ORDER_CHANGED',
      message: `Order ${order.id} was changed in the shop after it had been given to the ERP or to suppliers. Compare both, then change or cancel there what is still possible.`,
      orderId: order.id,
      eventId: event.id,
    });
    return { verdict: 'close', note: 'changed too late: see the exception', orderId: order.id };
  }
  yield* putDocument(order, now, 'taken');
  // What the flow has not begun yet would be told of an order that is no longer so.
  yield* query(
    `UPDATE event SET state = 'closed', note = 'replaced by a later state of the order', due_at = NULL, closed_at = ? WHERE order_id = ? AND kind = 'order' AND state = 'open' AND id <> ?`,
    now,
    order.id,
    Number(event.id),
  );
  yield* note(now, { orderId: order.id, eventId: event.id, what: 'order changed in the shop', subject: order.id });
  return {
    verdict: 'emit',
    emits: [{ outcome: 'changed', payload: { ...order }, orderId: order.id }],
    orderId: order.id,
  };
}

function* judgeSupplierDocument(
  core: Core,
  event: LedgerEvent,
  kind: SupplierFactKind,
  supplier: LedgerPartner,
): Transaction<Judgement> {
  if (!supplier.readSupplier) throw notOfRole(supplier, 'supplier documents');
  const document = supplier.readSupplier(kind, event.body);
  const now = core.now();
  const po = yield* getDocument('purchase-order', document.purchaseOrder);
  if (!po || po.supplier !== supplier.reference) {
    // One answer for an unknown number and for another supplier's: nobody learns what others are asked to deliver.
    const giveUpAt = event.storedAt + core.settings.earlyCallbackTime;
    if (now < giveUpAt) {
      return {
        verdict: 'wait',
        until: Math.min(giveUpAt, now + LOOK_AGAIN),
        note: `no purchase order ${document.purchaseOrder} yet`,
      };
    }
    throw new BusinessRefusal(
      'PO_UNKNOWN',
      `${supplier.reference} sent a ${kind} (${document.number}) for ${document.purchaseOrder}, which is no purchase order of this supplier. Ask the supplier which one is meant.`,
    );
  }
  return yield* aboutOrder(po.orderId, judgeDocumentOf(core, event, kind, po, document));
}

function* judgeDocumentOf(
  core: Core,
  event: LedgerEvent,
  kind: SupplierFactKind,
  po: PurchaseOrder,
  document: SupplierDocument,
): Transaction<Judgement> {
  const id = `${po.supplier}/${document.number}`;
  if ((yield* documentState(kind, id)) !== undefined) {
    throw new BusinessRefusal(
      'DOCUMENT_CONFLICT',
      `${po.supplier} sent ${kind} ${document.number} a second time with other content. The first one counts; ask the supplier for a document with a number of its own.`,
    );
  }
  const common = { id, supplier: po.supplier, purchaseOrder: po.id, orderId: po.orderId };
  switch (document.kind) {
    case 'acknowledgement':
      return yield* judgeAcknowledgement(core, event, po, {
        ...common,
        type: 'acknowledgement',
        at: document.at,
        ...(document.supplierOrderId === undefined ? {} : { supplierOrderId: document.supplierOrderId }),
        lines: resolveLines(po, document.lines).map(({ orderLine: _orderLine, unitCost, ...line }) => ({
          ...line,
          ...(unitCost === undefined ? {} : { unitCost: parseMoney(unitCost, document.currency ?? po.currency) }),
        })),
      });
    case 'shipment':
      return yield* judgeShipment(core, event, po, {
        ...common,
        type: 'shipment',
        number: document.number,
        shippedAt: document.at,
        parcels: document.parcels,
        lines: resolveLines(po, document.lines),
      });
    case 'bill':
      return yield* judgeBill(core, event, po, readBill(document, po, common));
    case 'cancellation':
      return yield* judgeCancellation(core, event, po, {
        ...common,
        type: 'cancellation',
        at: document.at,
        accepted: document.accepted,
        lines: resolveLines(po, document.lines).map(({ line, sku, quantity }) => ({ line, sku, quantity })),
        ...(document.reason === undefined ? {} : { reason: document.reason }),
      });
  }
}

function* judgeAcknowledgement(
  core: Core,
  event: LedgerEvent,
  po: PurchaseOrder,
  ack: Acknowledgement,
): Transaction<Judgement> {
  const now = core.now();
  const { po: after, freed, differences } = applyAcknowledgement(po, ack);
  yield* putDocument(checkSchema(ack), now);
  yield* putDocument(after, now);
  yield* supplierAnswered(po, now);
  yield* expectGoods(core, after);
  yield* note(now, {
    orderId: po.orderId,
    eventId: event.id,
    what: 'acknowledgement',
    subject: po.id,
    detail: { document: ack.id, freed: freed.length },
  });
  if (differences.length > 0) {
    yield* raise(now, {
      subject: ack.id,
      code: 'ACKNOWLEDGEMENT_DIFFERS',
      message: `${differences.join(' ')} Agree with ${po.supplier} before the bill comes.`,
      orderId: po.orderId,
      eventId: event.id,
    });
  }
  const emits: Emit[] = [];
  const taken = ack.lines.filter((line) => line.status === 'accepted' || line.status === 'changed');
  if (taken.length > 0) emits.push({ outcome: 'acknowledged', payload: { ...ack, lines: taken }, orderId: po.orderId });
  if (freed.length > 0) emits.push(yield* free(core, after, freed, `acknowledgement ${ack.id}`));
  return emits.length > 0
    ? { verdict: 'emit', emits, orderId: po.orderId }
    : { verdict: 'close', note: 'nothing new in it', orderId: po.orderId };
}

/** A supplier that answers has the purchase order, whatever our own record of sending it says yet. */
function* supplierAnswered(po: PurchaseOrder, now: number): Transaction<void> {
  yield* stepCame(`send ${po.id}`, now);
  yield* stepCame(`acknowledge ${po.id}`, now);
}

/** What a supplier has still to do for a purchase order: ship all of it, then bill it. */
function* expectGoods(core: Core, po: PurchaseOrder): Transaction<void> {
  const now = core.now();
  const { ship, bill } = core.settings.deadlines;
  if (po.state === 'acknowledged' || po.state === 'partly-shipped') {
    const what = `${po.supplier} has not shipped all of purchase order ${po.id}, or its ship notice has not come in.`;
    return yield* expectStep(`ship ${po.id}`, what, now + ship, po.orderId);
  }
  yield* stepCame(`ship ${po.id}`, now);
  if (po.state !== 'shipped' || po.lines.every((line) => compare(line.billed, line.shipped) >= 0)) return;
  const what = `${po.supplier} has not billed purchase order ${po.id}, or the bill has not come in.`;
  yield* expectStep(`bill ${po.id}`, what, now + bill, po.orderId);
}

/** Lines that a supplier gave back: their stock is free again, and somebody else must deliver them. */
function* free(core: Core, po: PurchaseOrder, freed: AffectedLine[], by: string): Transaction<Emit> {
  const now = core.now();
  yield* releaseStock(po);
  if ((yield* documentState('order', po.orderId)) !== 'cancelled')
    yield* expectStep(
      `route ${po.orderId} ${by}`,
      `Lines that ${po.supplier} gave back from ${po.id} have not been routed again.`,
      now + core.settings.deadlines.route,
      po.orderId,
    );
  const reasons = [...new Set(freed.map((line) => line.reason).filter((reason) => reason !== undefined))];
  return {
    outcome: 'freed',
    orderId: po.orderId,
    payload: {
      type: 'order-lines',
      orderId: po.orderId,
      purchaseOrder: po.id,
      freedBy: by,
      lines: freed,
      reason: reasons.join(' ') || `${po.supplier} gave them back.`,
    },
  };
}

function* judgeShipment(core: Core, event: LedgerEvent, po: PurchaseOrder, shipment: Shipment): Transaction<Judgement> {
  const now = core.now();
  const after = applyShipment(po, shipment);
  yield* putDocument(checkSchema(shipment), now);
  yield* putDocument(after, now);
  yield* markShipped(after);
  yield* supplierAnswered(po, now);
  yield* expectGoods(core, after);
  yield* expectStep(
    `tell shop ${shipment.id}`,
    `Shipment ${shipment.id} has not been told to the shop and its customer.`,
    now + core.settings.deadlines.tellShop,
    po.orderId,
  );
  yield* hurryWaiting(core, po.orderId, now);
  yield* note(now, {
    orderId: po.orderId,
    eventId: event.id,
    what: 'shipment',
    subject: po.id,
    detail: {
      document: shipment.id,
      tracking: shipment.parcels.map((parcel) => `${parcel.carrier} ${parcel.trackingNumber}`).join(', '),
    },
  });
  return {
    verdict: 'emit',
    emits: [{ outcome: 'shipped', payload: { ...shipment }, orderId: po.orderId }],
    orderId: po.orderId,
  };
}

function* judgeBill(core: Core, event: LedgerEvent, po: PurchaseOrder, bill: Bill): Transaction<Judgement> {
  const now = core.now();
  const tooEarly = bill.lines.some((row) => {
    const line = po.lines.find((candidate) => candidate.id === row.line);
    return line !== undefined && compare(row.quantity, line.shipped) > 0;
  });
  const giveUpAt = event.storedAt + core.settings.earlyCallbackTime;
  if (tooEarly && now < giveUpAt) {
    return {
      verdict: 'wait',
      until: Math.min(giveUpAt, now + LOOK_AGAIN),
      note: 'the bill came before its ship notice',
      orderId: po.orderId,
    };
  }
  yield* putDocument(checkSchema(bill), now, 'received');
  yield* stepCame(`bill ${po.id}`, now);
  yield* expectStep(
    `match ${bill.id}`,
    `Bill ${bill.id} has not been matched and entered in the ERP.`,
    now + core.settings.deadlines.matchBill,
    po.orderId,
  );
  yield* note(now, {
    orderId: po.orderId,
    eventId: event.id,
    what: 'bill',
    subject: po.id,
    detail: { document: bill.id, total: bill.total.minor, currency: bill.currency },
  });
  return {
    verdict: 'emit',
    emits: [{ outcome: 'billed', payload: { ...bill }, orderId: po.orderId }],
    orderId: po.orderId,
  };
}

function* judgeCancellation(
  core: Core,
  event: LedgerEvent,
  po: PurchaseOrder,
  cancellation: Cancellation,
): Transaction<Judgement> {
  const now = core.now();
  const { po: after } = applyCancellation(po, cancellation);
  yield* putDocument(checkSchema(cancellation), now);
  yield* putDocument(after, now);
  yield* releaseStock(after);
  if (after.state === 'cancelled') yield* supplierAnswered(po, now);
  if (after.state === 'cancelled' || after.state === 'shipped') yield* expectGoods(core, after);
  yield* note(now, {
    orderId: po.orderId,
    eventId: event.id,
    what: cancellation.accepted ? 'cancelled by the supplier' : 'too late to cancel',
    subject: po.id,
    detail: { document: cancellation.id },
  });
  return {
    verdict: 'emit',
    emits: [{ outcome: 'cancelled', payload: { ...cancellation }, orderId: po.orderId }],
    orderId: po.orderId,
  };
}

function readBill(
  document: Extract<SupplierDocument, { kind: 'bill' }>,
  po: PurchaseOrder,
  common: Pick<Bill, 'id' | 'supplier' | 'purchaseOrder' | 'orderId'>,
): Bill {
  const amount = (text: string) => parseMoney(text, document.currency);
  return {
    ...common,
    type: 'bill',
    number: document.number,
    issuedAt: document.at,
    ...(document.dueAt === undefined ? {} : { dueAt: document.dueAt }),
    currency: document.currency,
    lines: resolveLines(po, document.lines).map(({ line, sku, quantity, unitCost }) => ({
      line,
      sku,
      quantity,
      unitCost: amount(unitCost),
    })),
    ...(document.shipping === undefined ? {} : { shipping: amount(document.shipping) }),
    ...(document.tax === undefined ? {} : { tax: amount(document.tax) }),
    total: amount(document.total),
  };
}

/** @throws BusinessRefusal `DOCUMENT_INVALID`: an adapter's reader or a mapping left something out */
function checkSchema<Item extends { type: string; id: string }>(document: Item): Item {
  const fault = faultOf(document);
  if (fault !== undefined)
    throw new BusinessRefusal(
      'DOCUMENT_INVALID',
      `${document.type} ${document.id} is not complete: ${fault} Ask the sender, or correct the mapping in the config node.`,
    );
  return document;
}

function notOfRole(partner: LedgerPartner, what: string): ConfigurationMistake {
  return new ConfigurationMistake(
    'PARTNER_OF_OTHER_KIND',
    `"${partner.reference}" is configured as ${partner.role} and cannot read ${what}. Check its config node.`,
  );
}
