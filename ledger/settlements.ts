import { BusinessRefusal } from '../orders/errors.ts';
import type { AffectedLine, Order } from '../orders/order.ts';
import { whyNot, type ActionName, type Situation } from './actions.ts';
import type { Core } from './core.ts';
import { insertDecision, type LinesDecision } from './decisions.ts';
import { expectAgain, stepCame } from './deadlines.ts';
import { documentsOf, getDocument, setDocumentState } from './documents.ts';
import type { Given } from './effects.ts';
import { getEvent, rerunEvent } from './events.ts';
import { exceptionsAsTheyStand, settle, type Exception } from './exceptions.ts';
import { note } from './history.ts';
import { takeBack, uncovered, type Routed } from './routing.ts';
import { query, queryOne, type Transaction } from './store.ts';

/**
 * What people do about exceptions. Each is one transaction that looks at things as they stand in it: of two people who press at the
 * same moment, one is told why not. What follows from it is done by the flow, from an event, and so survives a crash.
 */

/** What a person says with an action. */
export interface RetryAnswer {
  /** "It was certainly not done": what is about money is not tried again without it. */
  certain?: boolean;
}

export interface RerouteAnswer {
  /** Suppliers that gave the article back are asked again as well. */
  include?: boolean;
}

/** The call is made again, or the event judged or run again. The exception comes back if nothing is mended. */
export function* retryException(core: Core, id: string, by: string, answer: RetryAnswer): Transaction<void> {
  const { exception, situation } = yield* open(id, 'retry');
  const offered = exception.actions.find((action) => action.name === 'retry');
  if (offered?.certain && answer.certain !== true) {
    throw new BusinessRefusal(
      'ACTION_NOT_SAFE',
      'It is about money. Ask the partner first; then say that it was certainly not done ("certain": true).',
    );
  }
  yield* settleOpen(core, exception, by, answer.certain ? 'Tried again: it was certainly not done.' : 'Tried again.');
  const now = core.now();
  if (situation.effect && exception.effectKey !== null) {
    const waiting = yield* query(
      `UPDATE effect SET state = 'waiting', due_at = ?, first_started_at = ?, given = NULL WHERE key = ? AND state IN ('refused', 'asked') RETURNING key`,
      now,
      now,
      exception.effectKey,
    );
    if (waiting.length === 0) throw unsafe('It is under way by itself at this moment.');
  }
  if (exception.code === 'NOT_PROGRESSING') {
    const due = now + core.settings.deadlines.route;
    for (const event of yield* expectAgain(exception.subject, exception.orderId, due))
      yield* rerunEvent(core, event, 'open');
    return;
  }
  const event = exception.eventId === null ? undefined : yield* getEvent(exception.eventId);
  // What was never judged to an end has nothing to tell the flow yet.
  if (event) yield* rerunEvent(core, event.id, event.emits === null ? 'stored' : 'open');
}

/**
 * It is done at the partner, under this number. The number is kept with the effect and its event run again; the adapter then looks
 * the number up where it can, and what it finds becomes the result.
 */
export function* answerWithNumber(core: Core, id: string, by: string, number: string): Transaction<void> {
  const { exception } = yield* open(id, 'done');
  const given: Given = { number, by };
  const kept = yield* query(
    `UPDATE effect SET given = ? WHERE key = ? AND state IN ('refused', 'asked') AND (given IS NULL OR given = ?) RETURNING key`,
    JSON.stringify(given),
    exception.effectKey,
    (yield* queryOne<{ given: string | null }>(`SELECT given FROM effect WHERE key = ?`, exception.effectKey))?.given,
  );
  const event = exception.eventId === null ? undefined : yield* getEvent(exception.eventId);
  if (kept.length === 0 || !event) throw unsafe('It is under way by itself at this moment.');
  yield* note(core.now(), {
    orderId: exception.orderId ?? undefined,
    eventId: event.id,
    what: 'said to be done',
    subject: exception.subject,
    detail: { by, number },
  });
  yield* rerunEvent(core, event.id, 'open');
}

/** Suppliers are looked for again. The exception is settled by the routing, which raises what is still left. */
export function* rerouteLines(core: Core, id: string, by: string, answer: RerouteAnswer): Transaction<void> {
  const { exception } = yield* open(id, 'reroute');
  const { order, round, lines, router } = yield* linesOf(exception);
  const telling = yield* queryOne(
    `SELECT key FROM effect WHERE order_id = ? AND kind = 'lines-cancel' AND state IN ('sending', 'in-doubt', 'asked') LIMIT 1`,
    order.id,
  );
  if (telling)
    throw unsafe(
      'The shop is being told, or may have been told, that lines of this order will not come. Settle that first.',
    );
  yield* decide(core, exception, router, {
    decision: 'reroute',
    orderId: order.id,
    exception: exception.id,
    round,
    lines,
    by,
    ...(answer.include ? { include: true } : {}),
  });
}

/** The lines that nobody delivers, or an order of which nothing has left, are given up. */
export function* cancelByHand(core: Core, id: string, by: string, reason: string): Transaction<void> {
  const { exception } = yield* open(id, 'cancel');
  if (exception.code === 'NOBODY_DELIVERS') {
    const { order, round, lines, router } = yield* linesOf(exception);
    yield* decide(core, exception, router, {
      decision: 'cancel',
      orderId: order.id,
      exception: exception.id,
      round,
      lines,
      by,
      reason,
    });
    return;
  }
  const order = yield* getDocument('order', exception.orderId ?? '');
  if (!order) throw unsafe('It is about no order that could be cancelled.');
  yield* decide(core, exception, (yield* roundOfOrder(order.id, '1'))?.madeBy?.node, {
    decision: 'cancel',
    orderId: order.id,
    exception: exception.id,
    lines: order.lines.map((line) => ({ orderLine: line.id, sku: line.sku, quantity: line.quantity })),
    by,
    reason,
  });
  yield* giveUpOrder(core, order, by);
}

/** From this transaction on nothing of the order is sent to anybody: every intent looks at the order's state. */
function* giveUpOrder(core: Core, order: Order, by: string): Transaction<void> {
  const now = core.now();
  yield* setDocumentState('order', order.id, 'cancelled', now);
  yield* stepCame(`route ${order.id}`, now);
  for (const po of yield* documentsOf('purchase-order', order.id)) {
    if (po.state === 'allocated') yield* takeBack(po, now);
  }
  for (const { exception, situation } of yield* exceptionsAsTheyStand({ state: 'open', orderId: order.id })) {
    // What a partner may have is still to be found out.
    if (situation.effect?.state !== 'asked') yield* settle(now, { id: exception.id }, by, 'The order was given up.');
  }
}

function* decide(
  core: Core,
  exception: Exception,
  router: string | undefined,
  decision: LinesDecision,
): Transaction<void> {
  if (!(yield* insertDecision(core, exception, router, decision))) {
    throw unsafe('Somebody has decided about it already, and that is being carried out.');
  }
  const { by, include, reason, lines } = decision;
  yield* note(core.now(), {
    orderId: decision.orderId,
    what: decision.decision === 'reroute' ? 'routed again by hand' : 'given up by hand',
    subject: exception.subject,
    detail: {
      by,
      lines: lines.map((line) => `${line.quantity} x ${line.sku}`).join(', '),
      ...(include ? { include } : {}),
      ...(reason === undefined ? {} : { reason }),
    },
  });
}

/** A person has done what an exception asks for, or decided that nothing is to be done. */
export function* settleByHand(core: Core, id: string, by: string, how: string): Transaction<void> {
  const { exception } = yield* open(id, 'settle');
  yield* settleOpen(core, exception, by, how);
}

/** @throws BusinessRefusal `EXCEPTION_UNKNOWN`, `ACTION_NOT_SAFE` */
function* open(id: string, action: ActionName): Transaction<{ exception: Exception; situation: Situation }> {
  const known = /^\d{1,15}$/.test(id);
  // Holds the row until the end of the transaction: a database that runs several at once makes the second one wait, and see the first one's.
  if (known) yield* query(`UPDATE exception SET state = state WHERE id = ?`, Number(id));
  const [found] = known ? yield* exceptionsAsTheyStand({ id }) : [];
  if (!found) throw new BusinessRefusal('EXCEPTION_UNKNOWN', `There is no exception ${id.slice(0, 40)}.`);
  if (found.exception.state !== 'open') {
    const { settledBy, settlement } = found.exception;
    throw unsafe(`It was settled already, by ${settledBy ?? 'nobody'}: ${settlement ?? ''}`);
  }
  const why = whyNot(action, found.situation);
  if (why !== undefined) throw unsafe(why);
  return found;
}

/** Of two that settle it at the same moment, one does. */
function* settleOpen(core: Core, exception: Exception, by: string, how: string): Transaction<void> {
  if ((yield* settle(core.now(), { id: exception.id }, by, how)) === 0)
    throw unsafe('It was settled by somebody else at this moment.');
}

function unsafe(why: string): BusinessRefusal {
  return new BusinessRefusal('ACTION_NOT_SAFE', why);
}

/** What of a routing round nobody delivers to this day. */
function* linesOf(
  exception: Exception,
): Transaction<{ order: Order; round: string; lines: AffectedLine[]; router: string | undefined }> {
  const order = yield* getDocument('order', exception.orderId ?? '');
  const round = exception.subject.slice(`route ${exception.orderId ?? ''} `.length);
  const routed = yield* roundOfOrder(exception.orderId ?? '', round);
  if (!order || !routed) throw unsafe('The ledger does not know any more which lines it was about.');
  const lines = uncovered(order, yield* documentsOf('purchase-order', order.id), routed.undeliverable);
  if (lines.length === 0)
    throw unsafe('Nothing of it is left: every piece is on a purchase order, or the shop was told. Settle it.');
  return { order, round, lines, router: routed.madeBy?.node };
}

function* roundOfOrder(orderId: string, round: string): Transaction<Routed | undefined> {
  const row = yield* queryOne<{ result: string }>(
    `SELECT result FROM effect WHERE key = ? AND state = 'done'`,
    `allocate/${orderId}/${round}`,
  );
  return row ? (JSON.parse(row.result) as Routed) : undefined;
}
