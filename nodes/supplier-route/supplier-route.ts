import type { NodeAPI, NodeDef } from 'node-red';
import { checkReduced, roundOf, route, type Routed } from '../../ledger/routing.ts';
import { Obsolete } from '../../ledger/effects.ts';
import { documentState } from '../../ledger/documents.ts';
import type { Strategy } from '../../orders/allocation.ts';
import type { RoutingRule } from '../../orders/routing-rules.ts';
import { orderContent, type Order, type OrderLines } from '../../orders/order.ts';
import { fileOfLedger, ledgerOf } from '../configs.ts';
import { registerDocumentNode, type Output } from '../document-node.ts';
import { offersOf, supplierTerms, type OfferSource } from '../offers.ts';
import { orderOf } from '../steps.ts';

export interface RouteConfig extends NodeDef, OfferSource {
  ledger: string;
  strategy: Strategy;
  rules: RoutingRule[];
  wholeUnits: boolean;
}

/** Decides which supplier delivers what: one message per purchase order, and one for what nobody can deliver. */
export default function (RED: NodeAPI): void {
  registerDocumentNode<Order | OrderLines, RouteConfig>(RED, 'supplier-route', {
    accepts: ['order', 'order-lines'],
    ledger: (red, config) => ledgerOf(red, config.ledger),
    async run({ payload, msg, config, ledger, eventId, once }) {
      const order = payload.type === 'order' ? payload : await orderOf(ledger, payload.orderId);
      const freed =
        payload.type === 'order'
          ? undefined
          : { lines: payload.lines, purchaseOrder: payload.purchaseOrder, freedBy: payload.freedBy };
      const offers = await offersOf(config, msg, ledger);
      const suppliers = supplierTerms(fileOfLedger(RED, config.ledger));
      const { result } = await once<Routed>({
        kind: 'allocate',
        document: `${order.id}/${roundOf(freed?.freedBy)}`,
        orderId: order.id,
        content: freed ? freed.lines : orderContent(order),
        *decide() {
          if ((yield* documentState('order', order.id)) === 'cancelled')
            throw new Obsolete(`Order ${order.id} was cancelled.`);
          yield* checkReduced(freed?.purchaseOrder);
          return yield* route(ledger.core, eventId, order, freed, {
            offers,
            suppliers,
            rules: config.rules ?? [],
            strategy: config.strategy || 'cheapest',
            wholeUnits: config.wholeUnits !== false,
          });
        },
      });
      const outputs: Output[] = result.purchaseOrders.map((po) => ({ port: 0, payload: po }));
      if (result.undeliverable.length > 0) {
        const lines: OrderLines = {
          type: 'order-lines',
          orderId: order.id,
          lines: result.undeliverable,
          reason: 'Nobody can deliver them.',
        };
        outputs.push({ port: 1, payload: lines });
      }
      return outputs;
    },
  });
}
