import type { NodeAPI, NodeDef } from 'node-red';
import { checkReduced, roundOf, type Routed } from '../../ledger/routing.ts';
import { decisionsFor, LINES_DECISION, routeAsDecided } from '../../ledger/decisions.ts';
import { Obsolete } from '../../ledger/effects.ts';
import { documentState } from '../../ledger/documents.ts';
import { notRoutedBefore } from '../../ledger/restored.ts';
import type { Strategy } from '../../orders/allocation.ts';
import type { RoutingRule } from '../../orders/routing-rules.ts';
import { orderContent, type Order, type OrderLines } from '../../orders/order.ts';
import { fileOfLedger, ledgerOf } from '../configs.ts';
import { registerDocumentNode, type DocumentNode, type Output } from '../document-node.ts';
import { offersFor, offersOf, supplierTerms, type OfferSource } from '../offers.ts';
import { emitThroughStep } from '../receive-node.ts';
import { orderOf } from '../steps.ts';

export interface RouteConfig extends NodeDef, OfferSource {
  ledger: string;
  strategy: Strategy;
  rules: RoutingRule[];
  wholeUnits: boolean;
}

const PURCHASE_ORDER = 0;
const NOBODY = 1;
const GIVEN_UP = 2;

/** Decides which supplier delivers what: one message per purchase order, one for what nobody can deliver, one for what a person gave up. */
export default function (RED: NodeAPI): void {
  const ledger = (red: NodeAPI, config: RouteConfig) => ledgerOf(red, config.ledger);

  const decide: DocumentNode<Order | OrderLines, RouteConfig> = {
    accepts: ['order', 'order-lines'],
    ledger,
    async run({ payload, msg, config, ledger: book, eventId, once }) {
      const order = payload.type === 'order' ? payload : await orderOf(book, payload.orderId);
      const freed =
        payload.type === 'order'
          ? undefined
          : { lines: payload.lines, purchaseOrder: payload.purchaseOrder, freedBy: payload.freedBy };
      const offers = offersFor(order.lines, await offersOf(config, msg, book));
      const suppliers = supplierTerms(fileOfLedger(RED, config.ledger));
      const { result } = await once<Routed>({
        kind: 'allocate',
        document: `${order.id}/${roundOf(freed?.freedBy)}`,
        orderId: order.id,
        content: freed ? freed.lines : orderContent(order),
        *decide() {
          if ((yield* documentState('order', order.id)) === 'cancelled')
            throw new Obsolete(`Order ${order.id} was cancelled.`);
          yield* notRoutedBefore(order.id);
          yield* checkReduced(freed?.purchaseOrder);
          const question = {
            offers,
            suppliers,
            rules: config.rules ?? [],
            strategy: config.strategy || 'cheapest',
            wholeUnits: config.wholeUnits !== false,
          };
          const routed = yield* routeAsDecided(book.core, eventId, order, freed, question);
          return { ...routed, madeBy: { node: config.id } };
        },
      });
      const outputs: Output[] = result.purchaseOrders.map((po) => ({ port: PURCHASE_ORDER, payload: po }));
      if (result.undeliverable.length > 0) {
        const lines: OrderLines = {
          type: 'order-lines',
          orderId: order.id,
          lines: result.undeliverable,
          reason: 'Nobody can deliver them.',
          ...(freed?.freedBy === undefined ? {} : { freedBy: freed.freedBy }),
        };
        outputs.push({ port: NOBODY, payload: lines });
      }
      return outputs;
    },
  };

  /** What a person gave up goes on as it is; the nodes behind tell ERP and shop. */
  const giveUp: DocumentNode<OrderLines, RouteConfig> = {
    accepts: ['order-lines'],
    ledger,
    run: ({ payload }) => Promise.resolve({ port: GIVEN_UP, payload }),
  };

  registerDocumentNode<Order | OrderLines, RouteConfig>(RED, 'supplier-route', decide, {
    kind: LINES_DECISION,
    partner: (_red, config) => decisionsFor(config.id),
    standsIn: true,
    emit(node, config, event, emits) {
      for (const emit of emits)
        emitThroughStep(RED, node, config, emit.outcome === 'reroute' ? decide : giveUp, event, [emit]);
    },
  });
}
