import type { NodeAPI, NodeDef } from 'node-red';
import { documentState, getDocument, putDocument } from '../../ledger/documents.ts';
import { Obsolete } from '../../ledger/effects.ts';
import { orderContent, type Order } from '../../orders/order.ts';
import { chosenPartner, partnerLedger } from '../choices.ts';
import { registerDocumentNode } from '../document-node.ts';
import { notInOtherErp } from '../steps.ts';

interface Config extends NodeDef {
  erp: string;
}

/** Tells the ERP about the sale. */
export default function (RED: NodeAPI): void {
  registerDocumentNode<Order, Config>(RED, 'erp-create-order', {
    accepts: ['order'],
    ledger: (red, config) => partnerLedger(red, 'erp', config.erp),
    async run({ payload: order, config, ledger, operation }) {
      const erp = chosenPartner(RED, 'erp', config.erp);
      const created = await operation({
        kind: 'so-create',
        partner: erp,
        document: order.id,
        orderId: order.id,
        content: orderContent(order),
        *guard() {
          if ((yield* documentState('order', order.id)) === 'cancelled')
            throw new Obsolete(`Order ${order.id} was cancelled.`);
          yield* notInOtherErp(order.id, erp.reference);
        },
        call: (write) => erp.adapter().createOrder(order, write),
        *record(document) {
          const known = yield* getDocument('order', order.id);
          if (known)
            yield* putDocument(
              { ...known, erp: { partner: erp.reference, ...document } },
              ledger.core.now(),
              (yield* documentState('order', order.id)) ?? 'taken',
            );
        },
      });
      return { ...order, erp: { partner: erp.reference, ...created } };
    },
  });
}
