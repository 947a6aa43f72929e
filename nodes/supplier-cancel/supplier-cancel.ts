import type { NodeAPI, NodeDef } from 'node-red';
import { documentsOf, getDocument } from '../../ledger/documents.ts';
import { Waiting } from '../../ledger/effects.ts';
import type { Ledger } from '../../ledger/ledger.ts';
import { takeBack } from '../../ledger/routing.ts';
import { query, type Transaction } from '../../ledger/store.ts';
import type { Order, OrderLines } from '../../orders/order.ts';
import { isEmpty, remaining, type PurchaseOrder } from '../../orders/purchase-order.ts';
import { isZero, smaller, type Quantity } from '../../orders/quantity.ts';
import { ledgerOfChoice, partnerFor } from '../choices.ts';
import { registerDocumentNode, type Output } from '../document-node.ts';
import { purchaseOrderOf } from '../steps.ts';

interface Config extends NodeDef {
  supplier: string;
  ledger: string;
  reason: string;
}

/** Milliseconds until it is looked again whether a purchase order has left. */
const LOOK_AGAIN = 1500;

type Asked = { line: string; quantity: Quantity }[];

/** Asks suppliers to cancel; a purchase order that never left is cancelled at once. */
export default function (RED: NodeAPI): void {
  registerDocumentNode<Order | PurchaseOrder | OrderLines, Config>(RED, 'supplier-cancel', {
    accepts: ['order', 'purchase-order', 'order-lines'],
    ledger: (red, config) => ledgerOfChoice(red, 'supplier', config.supplier, config.ledger),
    async run({ payload, config, ledger, operation, once }) {
      const outputs: Output[] = [];
      for (const { po, lines } of await concerned(ledger, payload)) {
        if (lines.length === 0) continue;
        const reason = config.reason || ('reason' in payload ? payload.reason : 'Cancelled by the customer.');
        const document = `${po.id}/${po.revision + 1}`;
        const { result: dropped } = await once<boolean>({
          kind: 'po-drop',
          document,
          orderId: po.orderId,
          content: lines,
          *decide() {
            const known = yield* getDocument('purchase-order', po.id);
            if (!known || known.state !== 'allocated' || (yield* mayHaveLeft(po, ledger.core.now()))) return false;
            yield* takeBack(known, ledger.core.now());
            return true;
          },
        });
        if (!dropped) {
          const supplier = partnerFor(RED, 'supplier', config.supplier, config.ledger, po.supplier);
          await operation({
            kind: 'po-cancel',
            partner: supplier,
            document,
            orderId: po.orderId,
            content: lines,
            call: (write) => supplier.adapter().requestCancellation(po, lines, reason, write),
          });
        }
        outputs.push({ port: 0, payload: await purchaseOrderOf(ledger, po.id) });
      }
      return outputs;
    },
  });
}

/** Whether the supplier may have the purchase order although nobody has recorded it yet. While that is being found out, it is waited for. */
function* mayHaveLeft(po: PurchaseOrder, now: number): Transaction<boolean> {
  const sending = yield* query<{ state: string }>(
    `SELECT state FROM effect WHERE kind = 'po-send' AND document = ? AND state <> 'waiting'`,
    po.id,
  );
  if (sending.some(({ state }) => state === 'sending' || state === 'in-doubt'))
    throw new Waiting(now + LOOK_AGAIN, `${po.id} is just being sent`);
  return sending.some(({ state }) => state === 'done' || state === 'asked');
}

/** The purchase orders that a document is about, and what of each can still be cancelled. */
async function concerned(
  ledger: Ledger,
  payload: Order | PurchaseOrder | OrderLines,
): Promise<{ po: PurchaseOrder; lines: Asked }[]> {
  const orderId = payload.type === 'order' ? payload.id : payload.orderId;
  const all = await ledger.transact('read purchase orders', () => documentsOf('purchase-order', orderId));
  return all
    .filter(
      (po) =>
        !isEmpty(po) &&
        (payload.type !== 'purchase-order' || po.id === payload.id) &&
        (payload.type !== 'order-lines' || !payload.purchaseOrder || po.id === payload.purchaseOrder),
    )
    .map((po) => ({ po, lines: cancellable(po, payload) }));
}

function cancellable(po: PurchaseOrder, payload: Order | PurchaseOrder | OrderLines): Asked {
  return po.lines.flatMap((line) => {
    const asked =
      payload.type === 'order-lines'
        ? payload.lines.find((each) => each.orderLine === line.orderLine)?.quantity
        : remaining(line);
    if (asked === undefined) return [];
    const quantity = smaller(asked, remaining(line));
    return isZero(quantity) ? [] : [{ line: line.id, quantity }];
  });
}
