import type { NodeAPI, NodeDef } from 'node-red';
import { getDocument, putDocument } from '../../ledger/documents.ts';
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
      const po = await purchaseOrderInErp(ledger, shipment.purchaseOrder);
      const received = await operation({
        kind: 'shipment-receive',
        partner: erp,
        document: shipment.id,
        orderId: shipment.orderId,
        content: { purchaseOrder: shipment.purchaseOrder, lines: shipment.lines },
        call: (write) => erp.adapter().receiveShipment(shipment, po, write),
        *record({ id }) {
          const known = yield* getDocument('shipment', shipment.id);
          if (known) yield* putDocument({ ...known, erpReceiptId: id }, ledger.core.now());
        },
      });
      const order = await orderInErp(ledger, shipment.orderId);
      const { shipments, progress } = await ledger.transact('read order', () => orderParts(order));
      if (progress.shipped.reached && shipments.every((each) => each.erpReceiptId !== undefined)) {
        await operation({
          kind: 'so-complete',
          partner: erp,
          document: order.id,
          orderId: order.id,
          content: order.id,
          call: (write) => erp.adapter().completeOrder(order, write),
        });
      }
      return { ...shipment, erpReceiptId: received.id };
    },
  });
}
