import type { NodeAPI, NodeDef } from 'node-red';
import { getDocument, putDocument } from '../../ledger/documents.ts';
import type { Cancellation } from '../../orders/acknowledgement.ts';
import type { OrderLines } from '../../orders/order.ts';
import { purchaseOrderContent, type PurchaseOrder } from '../../orders/purchase-order.ts';
import { chosenPartner, partnerLedger } from '../choices.ts';
import { registerDocumentNode } from '../document-node.ts';
import { purchaseOrderInErp, purchaseOrderOf } from '../steps.ts';

interface Config extends NodeDef {
  erp: string;
}

/** Makes the ERP's purchase order agree with what the supplier still delivers. Hands on what came in. */
export default function (RED: NodeAPI): void {
  registerDocumentNode<PurchaseOrder | OrderLines | Cancellation, Config>(RED, 'erp-change-po', {
    accepts: ['purchase-order', 'order-lines', 'cancellation'],
    ledger: (red, config) => partnerLedger(red, 'erp', config.erp),
    async run({ payload, config, ledger, operation }) {
      const erp = chosenPartner(RED, 'erp', config.erp);
      const id = payload.type === 'purchase-order' ? payload.id : payload.purchaseOrder;
      if (id === undefined) return payload;
      const known = await purchaseOrderOf(ledger, id);
      if (known.revision === 0 || (known.erpRevision ?? 0) >= known.revision) return payload;
      const po = await purchaseOrderInErp(ledger, id);
      await operation({
        kind: 'po-change',
        partner: erp,
        document: `${po.id}/${po.revision}`,
        orderId: po.orderId,
        content: purchaseOrderContent(po),
        call: (write) => erp.adapter().changePurchaseOrder(po, write),
        *record() {
          const current = yield* getDocument('purchase-order', po.id);
          if (current)
            yield* putDocument(
              { ...current, erpRevision: Math.max(current.erpRevision ?? 0, po.revision) },
              ledger.core.now(),
            );
        },
      });
      return payload;
    },
  });
}
