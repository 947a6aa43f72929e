import type { NodeAPI, NodeDef } from 'node-red';
import { documentsOf, getDocument, putDocument } from '../../ledger/documents.ts';
import type { Ledger } from '../../ledger/ledger.ts';
import { query } from '../../ledger/store.ts';
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
      for (const id of await concerned(ledger, payload)) {
        const known = await purchaseOrderOf(ledger, id);
        if (known.revision === 0 || (known.erpRevision ?? 0) >= known.revision) continue;
        if (known.state === 'cancelled' && !known.erp && !(await mayReachErp(ledger, id))) continue;
        const po = await purchaseOrderInErp(ledger, id, erp.reference);
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
      }
      return payload;
    },
  });
}

/** The purchase orders that a document is about: lines of no particular one concern all of their order. */
async function concerned(ledger: Ledger, payload: PurchaseOrder | OrderLines | Cancellation): Promise<string[]> {
  if (payload.type === 'purchase-order') return [payload.id];
  if (payload.purchaseOrder !== undefined) return [payload.purchaseOrder];
  const all = await ledger.transact('read purchase orders', () => documentsOf('purchase-order', payload.orderId));
  return all.map((po) => po.id);
}

/** What was cancelled before the ERP heard of it is not waited for, unless it may have heard. */
async function mayReachErp(ledger: Ledger, id: string): Promise<boolean> {
  const [begun] = await ledger.transact('read effects', () =>
    query(
      `SELECT key FROM effect WHERE kind = 'po-create' AND document = ? AND (state IN ('sending', 'in-doubt', 'waiting', 'asked') OR (state = 'done' AND step = 'create')) LIMIT 1`,
      id,
    ),
  );
  return begun !== undefined;
}
