import type { NodeAPI, NodeDef } from 'node-red';
import { expectStep, stepCame } from '../../ledger/deadlines.ts';
import { documentState, getDocument, putDocument, setDocumentState } from '../../ledger/documents.ts';
import type { Transaction } from '../../ledger/store.ts';
import { orderParts } from '../../ledger/views.ts';
import type { Shipment } from '../../orders/shipment.ts';
import { ledgerOfChoice, partnerFor } from '../choices.ts';
import { registerDocumentNode } from '../document-node.ts';
import { orderOf } from '../steps.ts';

interface Config extends NodeDef {
  platform: string;
  ledger: string;
}

/** Tells the shop what has shipped, with tracking, and so the customer; closes the order when all has shipped. */
export default function (RED: NodeAPI): void {
  registerDocumentNode<Shipment, Config>(RED, 'ecommerce-complete', {
    accepts: ['shipment'],
    ledger: (red, config) => ledgerOfChoice(red, 'ecommerce', config.platform, config.ledger),
    async run({ payload: shipment, config, ledger, operation }) {
      const order = await orderOf(ledger, shipment.orderId);
      const shop = partnerFor(RED, 'ecommerce', config.platform, config.ledger, order.shop);
      const told = await operation({
        kind: 'shipment-tell',
        partner: shop,
        document: shipment.id,
        orderId: order.id,
        content: { lines: shipment.lines, parcels: shipment.parcels },
        call: (write) => shop.adapter().fulfil(shipment, order, write),
        *record({ id }) {
          const now = ledger.core.now();
          const known = yield* getDocument('shipment', shipment.id);
          if (known) yield* putDocument({ ...known, fulfilmentId: id }, now);
          yield* stepCame(`tell shop ${shipment.id}`, now);
          if (!(yield* allTold(order.id))) return;
          const what = `Order ${order.id} has not been completed in the shop.`;
          yield* expectStep(`complete ${order.id}`, what, now + ledger.core.settings.deadlines.tellShop, order.id);
        },
      });
      if (await ledger.transact('read order', () => allTold(order.id))) {
        await operation({
          kind: 'order-complete',
          partner: shop,
          document: order.id,
          orderId: order.id,
          content: order.id,
          call: (write) => shop.adapter().complete(order, write),
          *record() {
            const now = ledger.core.now();
            if ((yield* documentState('order', order.id)) === 'taken')
              yield* setDocumentState('order', order.id, 'complete', now);
            yield* stepCame(`complete ${order.id}`, now);
          },
        });
      }
      return { ...shipment, fulfilmentId: told.id };
    },
  });
}

/** Everything has shipped, and the shop knows each shipment. */
function* allTold(orderId: string): Transaction<boolean> {
  const order = yield* getDocument('order', orderId);
  if (!order) return false;
  const { shipments, progress } = yield* orderParts(order);
  return progress.shipped.reached && shipments.every((each) => each.fulfilmentId !== undefined);
}
