import type { AffectedLine, Order, OrderLines } from '../orders/order.ts';
import type { Core } from './core.ts';
import { expectStep } from './deadlines.ts';
import type { Judgement } from './dispatcher.ts';
import { documentsOf, documentState, getDocument } from './documents.ts';
import { Waiting } from './effects.ts';
import { insertEvent, type LedgerEvent } from './events.ts';
import { decisionKey, settle, type Exception } from './exceptions.ts';
import { route, uncovered, type Routed } from './routing.ts';
import { queryOne, type Transaction } from './store.ts';

/** The kind of the events that hold a person's decision about lines that nobody delivers, or about an order that is given up. */
export const LINES_DECISION = 'lines-decision';

/** A person's decision, as an event of its own: a replay finds the same one, and waiting for people blocks nothing. */
export interface LinesDecision {
  decision: 'reroute' | 'cancel';
  orderId: string;
  /** Id of the exception that it answers. */
  exception: string;
  /** The routing round that found nobody; without it the decision is about the whole order. */
  round?: string;
  lines: AffectedLine[];
  by: string;
  /** Rerouting: suppliers that gave the article back are asked again as well. */
  include?: boolean;
  /** Cancelling: why. */
  reason?: string;
}

/** Whose such an event is: the routing node that asked, should it still be there; any other one takes it otherwise. */
export function decisionsFor(router: string | undefined): string {
  return `dropline/${router ?? ''}`;
}

/** One decision for each time that an exception was raised. @returns false when there is one already */
export function* insertDecision(
  core: Core,
  exception: Exception,
  router: string | undefined,
  decision: LinesDecision,
): Transaction<boolean> {
  const event = {
    partner: decisionsFor(router),
    kind: LINES_DECISION,
    dedupeKey: decisionKey(exception),
    body: decision,
    orderId: decision.orderId,
  };
  return (yield* insertEvent(core, event)) !== undefined;
}

/** What is left of the lines by now goes into the flow; the steps that must follow are watched. */
export function* judgeLinesDecision(core: Core, event: LedgerEvent): Transaction<Judgement> {
  const decision = event.body as LinesDecision;
  const { orderId, round } = decision;
  const now = core.now();
  const order = yield* getDocument('order', orderId);
  const lines = order ? uncovered(order, yield* documentsOf('purchase-order', orderId), decision.lines) : [];
  const cancelled = round !== undefined && (yield* documentState('order', orderId)) === 'cancelled';
  if (lines.length === 0 || cancelled) {
    const why = cancelled ? 'The order was cancelled.' : 'Nothing of it was left.';
    yield* settle(now, { id: decision.exception }, 'dropline', why);
    return { verdict: 'close', note: why, orderId };
  }
  if (decision.decision === 'reroute') {
    const freedBy = `reroute ${event.id}`;
    yield* expectStep(
      `route ${orderId} ${freedBy}`,
      `Lines of order ${orderId} that ${decision.by} wanted routed again have not been routed.`,
      now + core.settings.deadlines.route,
      orderId,
    );
    const payload: OrderLines = { type: 'order-lines', orderId, lines, freedBy, reason: 'Routed again by hand.' };
    return { verdict: 'emit', emits: [{ outcome: 'reroute', payload: { ...payload }, orderId }], orderId };
  }
  const freedBy = round ?? `cancel ${event.id}`;
  yield* expectStep(
    givenUp(orderId, freedBy),
    `What ${decision.by} gave up of order ${orderId} has not been told to the shop.`,
    now + core.settings.deadlines.tellShop,
    orderId,
  );
  const payload: OrderLines = {
    type: 'order-lines',
    orderId,
    lines,
    reason: decision.reason ?? 'Given up by hand.',
    ...(freedBy === '1' ? {} : { freedBy }),
  };
  return { verdict: 'emit', emits: [{ outcome: 'given-up', payload: { ...payload }, orderId }], orderId };
}

/** The key of the deadline by which the shop must have been told what was given up. */
export function givenUp(orderId: string, round: string): string {
  return `give up ${orderId} ${round}`;
}

/** Milliseconds until it is looked again whether the shop was told that lines will not come. */
const LOOK_AGAIN = 1500;

/**
 * A routing round. Where the event is a person's word to route again, that person's exception is settled by it, and suppliers that gave the
 * article back are asked once more if the person wants it.
 * @throws Waiting while the shop is just being told that lines of the order will not come
 */
export function* routeAsDecided(
  core: Core,
  eventId: string,
  order: Order,
  freed: Parameters<typeof route>[3],
  question: Parameters<typeof route>[4],
): Transaction<Routed> {
  const row = yield* queryOne<{ body: string }>(
    `SELECT body FROM event WHERE id = ? AND kind = '${LINES_DECISION}'`,
    Number(eventId),
  );
  const decision = row && (JSON.parse(row.body) as LinesDecision);
  if (decision?.decision !== 'reroute') return yield* route(core, eventId, order, freed, question);
  const now = core.now();
  const telling = yield* queryOne(
    `SELECT key FROM effect WHERE order_id = ? AND kind = 'lines-cancel' AND state IN ('sending', 'in-doubt') LIMIT 1`,
    order.id,
  );
  if (telling) throw new Waiting(now + LOOK_AGAIN, `the shop is being told about lines of ${order.id}`);
  yield* settle(now, { id: decision.exception }, decision.by, 'Routed again.');
  return yield* route(core, eventId, order, freed, question, { include: decision.include === true });
}
