import type { NodeAPI, NodeDef } from 'node-red';
import { orderProgress } from '../../ledger/views.ts';
import { BusinessRefusal } from '../../orders/errors.ts';
import type { Milestone } from '../../orders/progress.ts';
import { ledgerOf } from '../configs.ts';
import { registerDocumentNode, type Payload } from '../document-node.ts';

interface Config extends NodeDef {
  ledger: string;
  condition: Milestone;
  purpose: string;
}

const DOCUMENTS = ['order', 'purchase-order', 'order-lines', 'acknowledgement', 'cancellation', 'shipment', 'bill', 'payment'];

/**
 * Passes once per order, when all of it is created, acknowledged, shipped or paid: the durable join, and the guard for a
 * user's own mail or chat nodes. "Once" is kept in the ledger: the event that reached the milestone passes, again on its
 * replay, and no other one does.
 */
export default function (RED: NodeAPI): void {
  registerDocumentNode<Payload, Config>(RED, 'order-when', {
    accepts: DOCUMENTS,
    ledger: (red, config) => ledgerOf(red, config.ledger),
    async run({ payload, msg, config, ledger, eventId, once, node }) {
      const { orderId } = msg;
      if (typeof orderId !== 'string') throw new BusinessRefusal('ORDER_MISSING', 'The message has no msg.orderId, so it is not known which order is meant.');
      const progress = await ledger.transact('read progress', () => orderProgress(orderId));
      if (!progress) throw new BusinessRefusal('DOCUMENT_UNKNOWN', `The ledger has no order "${orderId}".`);
      const milestone = progress[config.condition] ?? progress.shipped;
      if (!milestone.reached) return undefined;
      const { result } = await once<{ eventId: string }>({
        kind: `when-${config.condition}`,
        document: config.purpose ? `${orderId}/${config.purpose}` : orderId,
        orderId,
        content: orderId,
        *decide() {
          return { eventId };
        },
      });
      if (result.eventId !== eventId) return undefined;
      // Of several messages of the event that reached it one passes, in each run through the flow.
      return firstOfRun(node.id, eventId, ledger.dispatcher.emission(eventId)) ? payload : undefined;
    },
  });

  /** The last run of each event that passed, by node; a few are enough, because runs of one event lie close together. */
  const passed = new Map<string, number>();

  function firstOfRun(nodeId: string, eventId: string, run: number): boolean {
    const key = `${nodeId} ${eventId}`;
    if (passed.get(key) === run) return false;
    passed.set(key, run);
    if (passed.size > 1000) passed.delete(passed.keys().next().value ?? key);
    return true;
  }
}
