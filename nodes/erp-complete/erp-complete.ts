import type { NodeAPI, NodeDef } from 'node-red';
import { expectStep, stepCame } from '../../ledger/deadlines.ts';
import { getDocument, putDocument } from '../../ledger/documents.ts';
import type { Transaction } from '../../ledger/store.ts';
import { orderParts } from '../../ledger/views.ts';
import type { Shipment } from '../../orders/shipment.ts';
import { chosenPartner, partnerLedger } from '../choices.ts';
import { registerDocumentNode } from '../document-node.ts';
import { orderInErp, purchaseOrderInErp } from '../steps.ts';

interface Config extends NodeDef {
  erp: string;
}

/** Receives a shipment in the ERP; completes the sale when all has shipped. */
export default function (RED: NodeAPI): void {
  registerDocumentNode<Shipment, Config>(RED, 'erp-complete', {
    accepts: ['shipment'],
    ledger: (red, config) => partnerLedger(red, 'erp', config.erp),
    async run({ payload: shipment, config, ledger, operation }) {
      const erp = chosenPartner(RED, 'erp', config.erp);
      const po = await purchaseOrderInErp(ledger, shipment.purchaseOrder, erp.reference);
      const received = await operation({
        kind: 'shipment-receive',
        partner: erp,
        document: shipment.id,
        orderId: shipment.orderId,
        content: { purchaseOrder: shipment.purchaseOrder, lines: shipment.lines },
        call: (write) => erp.adapter().receiveShipment(shipment, po, write),
        *record({ id }) {
          const known = yield* getDocument('shipment', shipment.id);
          const now = ledger.core.now();
          if (known) yield* putDocument({ ...known, erpReceiptId: id }, now);
          yield* stepCame(`receive ${shipment.id}`, now);
          if (!(yield* allReceived(shipment.orderId))) return;
          const what = `Order ${shipment.orderId} has not been completed in the ERP.`;
          const due = now + ledger.core.settings.deadlines.enter;
          yield* expectStep(`complete in ERP ${shipment.orderId}`, what, due, shipment.orderId);
        },
      });
      const order = await orderInErp(ledger, shipment.orderId, erp.reference);
      if (await ledger.transact('read order', () => allReceived(order.id))) {
        await operation({
          kind: 'so-complete',
          partner: erp,
          document: order.id,
          orderId: order.id,
          content: order.id,
          call: (write) => erp.adapter().completeOrder(order, write),
          record: () => stepCame(`complete in ERP ${order.id}`, ledger.core.now()),
        });
      }
      return { ...shipment, erpReceiptId: received.id };
    },
  });
}

/** Everything has shipped, and the ERP has each shipment. */
function* allReceived(orderId: string): Transaction<boolean> {
  const order = yield* getDocument('order', orderId);
  if (!order) return false;
  const { shipments, progress } = yield* orderParts(order);
  return progress.shipped.reached && shipments.every((each) => each.erpReceiptId !== undefined);
}
