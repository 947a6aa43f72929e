import type { NodeAPI, NodeDef } from 'node-red';
import { stepCame } from '../../ledger/deadlines.ts';
import { getDocument, putDocument } from '../../ledger/documents.ts';
import type { PurchaseOrder } from '../../orders/purchase-order.ts';
import { chosenPartner, partnerLedger } from '../choices.ts';
import { registerDocumentNode } from '../document-node.ts';
import { orderedContent } from '../messages.ts';
import { orderInErp, stillWanted } from '../steps.ts';

interface Config extends NodeDef {
  erp: string;
}

/** Creates and confirms the purchase order in the ERP. */
export default function (RED: NodeAPI): void {
  registerDocumentNode<PurchaseOrder, Config>(RED, 'erp-create-po', {
    accepts: ['purchase-order'],
    ledger: (red, config) => partnerLedger(red, 'erp', config.erp),
    async run({ payload: po, config, ledger, operation }) {
      const erp = chosenPartner(RED, 'erp', config.erp);
      const created = await operation({
        kind: 'po-create',
        partner: erp,
        document: po.id,
        orderId: po.orderId,
        content: orderedContent(po),
        guard: () => stillWanted(po.id),
        call: async (write) =>
          erp.adapter().createPurchaseOrder(po, await orderInErp(ledger, po.orderId, erp.reference), write),
        *record(document) {
          const known = yield* getDocument('purchase-order', po.id);
          const now = ledger.core.now();
          if (known) yield* putDocument({ ...known, erp: { partner: erp.reference, ...document } }, now);
          yield* stepCame(`enter ${po.id}`, now);
        },
      });
      return { ...po, erp: { partner: erp.reference, ...created } };
    },
  });
}
