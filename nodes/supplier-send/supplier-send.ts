import type { NodeAPI, NodeDef } from 'node-red';
import { expectStep, stepCame } from '../../ledger/deadlines.ts';
import { getDocument, putDocument } from '../../ledger/documents.ts';
import { markSent, type PurchaseOrder } from '../../orders/purchase-order.ts';
import { ledgerOfChoice, partnerFor } from '../choices.ts';
import { registerDocumentNode } from '../document-node.ts';
import { orderedContent } from '../messages.ts';
import { stillWanted } from '../steps.ts';

interface Config extends NodeDef {
  supplier: string;
  ledger: string;
}

/** Sends the purchase order to its supplier, in the supplier's own format. */
export default function (RED: NodeAPI): void {
  registerDocumentNode<PurchaseOrder, Config>(RED, 'supplier-send', {
    accepts: ['purchase-order'],
    ledger: (red, config) => ledgerOfChoice(red, 'supplier', config.supplier, config.ledger),
    async run({ payload: po, config, ledger, operation }) {
      const supplier = partnerFor(RED, 'supplier', config.supplier, config.ledger, po.supplier);
      const sent = await operation({
        kind: 'po-send',
        partner: supplier,
        document: po.id,
        orderId: po.orderId,
        content: orderedContent(po),
        guard: () => stillWanted(po.id),
        call: (write) => supplier.adapter().sendPurchaseOrder(po, write),
        *record(answer) {
          const now = ledger.core.now();
          const known = yield* getDocument('purchase-order', po.id);
          if (!known) return;
          const after = markSent(known, { at: new Date(now).toISOString(), ...answer });
          yield* putDocument(after, now);
          yield* stepCame(`send ${po.id}`, now);
          if (after.state === 'sent') {
            yield* expectStep(
              `acknowledge ${po.id}`,
              `${po.supplier} has not acknowledged purchase order ${po.id}.`,
              now + ledger.core.settings.deadlines.acknowledge,
              po.orderId,
            );
          }
        },
      });
      return { ...po, ...sent };
    },
  });
}
