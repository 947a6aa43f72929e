import type { NodeAPI, NodeDef } from 'node-red';
import { stepCame } from '../../ledger/deadlines.ts';
import { documentState, getDocument, putDocument, setDocumentState } from '../../ledger/documents.ts';
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
        },
      });
      const { shipments, progress } = await ledger.transact('read order', () => orderParts(order));
      if (progress.shipped.reached && shipments.every((each) => each.fulfilmentId !== undefined)) {
        await operation({
          kind: 'order-complete',
          partner: shop,
          document: order.id,
          orderId: order.id,
          content: order.id,
          call: (write) => shop.adapter().complete(order, write),
          *record() {
            if ((yield* documentState('order', order.id)) === 'taken')
              yield* setDocumentState('order', order.id, 'complete', ledger.core.now());
          },
        });
      }
      return { ...shipment, fulfilmentId: told.id };
    },
  });
}
