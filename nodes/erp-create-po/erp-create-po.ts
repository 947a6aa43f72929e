import type { NodeAPI, NodeDef } from 'node-red';
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
        call: async (write) => erp.adapter().createPurchaseOrder(po, await orderInErp(ledger, po.orderId), write),
        *record(document) {
          const known = yield* getDocument('purchase-order', po.id);
          if (known) yield* putDocument({ ...known, erp: { partner: erp.reference, ...document } }, ledger.core.now());
        },
      });
      return { ...po, erp: { partner: erp.reference, ...created } };
    },
  });
}
