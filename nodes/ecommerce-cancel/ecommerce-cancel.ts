import type { NodeAPI, NodeDef } from 'node-red';
import { settle } from '../../ledger/exceptions.ts';
import { stepCame } from '../../ledger/deadlines.ts';
import { givenUp } from '../../ledger/decisions.ts';
import { contentHash, Obsolete } from '../../ledger/effects.ts';
import { documentsOf, documentState, getDocument, putDocument } from '../../ledger/documents.ts';
import { roundOf, uncovered } from '../../ledger/routing.ts';
import type { Transaction } from '../../ledger/store.ts';
import { add, compare, total, type Quantity } from '../../orders/quantity.ts';
import type { AffectedLine, Order, OrderLines } from '../../orders/order.ts';
import { ledgerOfChoice, partnerFor } from '../choices.ts';
import { registerDocumentNode } from '../document-node.ts';
import { orderOf } from '../steps.ts';

interface Config extends NodeDef {
  platform: string;
  ledger: string;
  reason: string;
}

/** Tells the shop, and so the customer, what will not come. */
export default function (RED: NodeAPI): void {
  registerDocumentNode<OrderLines, Config>(RED, 'ecommerce-cancel', {
    accepts: ['order-lines'],
    ledger: (red, config) => ledgerOfChoice(red, 'ecommerce', config.platform, config.ledger),
    async run({ payload, config, ledger, operation }) {
      const order = await orderOf(ledger, payload.orderId);
      const shop = partnerFor(RED, 'ecommerce', config.platform, config.ledger, order.shop);
      const whole = coversAll(order, payload.lines);
      const document = `${order.id}/${contentHash(payload.lines.map(({ orderLine, quantity }) => [orderLine, quantity])).slice(0, 12)}`;
      await operation({
        kind: 'lines-cancel',
        partner: shop,
        document,
        orderId: order.id,
        content: payload.lines.map(({ orderLine, quantity }) => [orderLine, quantity]),
        guard: () => stillUndelivered(order.id, payload.lines),
        call: (write) =>
          shop.adapter().cancelLines(payload.lines, order, whole, config.reason || payload.reason, write),
        *record() {
          const now = ledger.core.now();
          const known = yield* getDocument('order', order.id);
          if (!known) return;
          const state = whole ? 'cancelled' : ((yield* documentState('order', order.id)) ?? 'taken');
          yield* putDocument(
            { ...known, undeliverable: [...(known.undeliverable ?? []), ...payload.lines] },
            now,
            state,
          );
          yield* stepCame(givenUp(order.id, roundOf(payload.freedBy)), now);
          yield* settle(
            now,
            { subject: `route ${order.id} ${roundOf(payload.freedBy)}`, code: 'NOBODY_DELIVERS' },
            'dropline',
            'The shop and the customer were told.',
          );
        },
      });
      return payload;
    },
  });
}

/** Lines that were routed again meanwhile will come: the customer must not be told otherwise. */
function* stillUndelivered(orderId: string, lines: readonly AffectedLine[]): Transaction<void> {
  const order = yield* getDocument('order', orderId);
  if (!order) return;
  const left = uncovered(order, yield* documentsOf('purchase-order', orderId), lines);
  const sum = (of: readonly { quantity: Quantity }[]) => total(of.map((line) => line.quantity));
  if (compare(sum(left), sum(lines)) < 0)
    throw new Obsolete(
      `Lines of ${orderId} that nobody delivered are on a purchase order by now, or the shop was told.`,
    );
}

/** Whether nothing of the order is left with these lines gone. */
function coversAll(order: Order, lines: AffectedLine[]): boolean {
  return order.lines.every((line) => {
    const earlier = total(
      (order.undeliverable ?? []).filter((each) => each.orderLine === line.id).map((each) => each.quantity),
    );
    const now = total(lines.filter((each) => each.orderLine === line.id).map((each) => each.quantity));
    return compare(add(earlier, now), line.quantity) >= 0;
  });
}
