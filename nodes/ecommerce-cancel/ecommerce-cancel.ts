import type { NodeAPI, NodeDef } from 'node-red';
import { settle } from '../../ledger/exceptions.ts';
import { contentHash } from '../../ledger/effects.ts';
import { documentState, getDocument, putDocument } from '../../ledger/documents.ts';
import { roundOf } from '../../ledger/routing.ts';
import { add, compare, total } from '../../orders/quantity.ts';
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
