import type { NodeAPI, NodeDef } from 'node-red';
import type { Ledger } from '../../ledger/ledger.ts';
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

const DOCUMENTS = [
  'order',
  'purchase-order',
  'order-lines',
  'acknowledgement',
  'cancellation',
  'shipment',
  'bill',
  'payment',
];

/**
 * Passes once per order, when all of it is created, acknowledged, shipped or paid: the durable join, and the guard for a
 * user's own mail or chat nodes. "Once" is kept in the ledger: the event that reached the milestone passes, again on its
 * replay, and no other one does.
 */
export default function (RED: NodeAPI): void {
  registerDocumentNode<Payload, Config>(RED, 'order-when', {
    accepts: DOCUMENTS,
    ledger: (red, config) => ledgerOf(red, config.ledger),
    async run({ payload, msg, config, ledger, eventId, once }) {
      const { orderId } = msg;
      if (typeof orderId !== 'string')
        throw new BusinessRefusal(
          'ORDER_MISSING',
          'The message has no msg.orderId, so it is not known which order is meant.',
        );
      const progress = await ledger.transact('read progress', () => orderProgress(orderId));
      if (!progress) throw new BusinessRefusal('DOCUMENT_UNKNOWN', `The ledger has no order "${orderId}".`);
      const milestone = progress[config.condition] ?? progress.shipped;
      if (!milestone.reached) return undefined;
      const document = config.purpose ? `${orderId}/${config.purpose}` : orderId;
      const { result } = await once<{ eventId: string }>({
        kind: `when-${config.condition}`,
        document,
        orderId,
        content: orderId,
        *decide() {
          return { eventId };
        },
      });
      if (result.eventId !== eventId) return undefined;
      // Of several messages of the event that reached it, and of several nodes with the same purpose, one passes in each run.
      return firstOfRun(ledger, `${config.condition} ${document}`, ledger.dispatcher.emission(eventId))
        ? payload
        : undefined;
    },
  });
}

/** The last run in which each milestone passed; a few are enough, because the messages of one run lie close together. */
const passed = new WeakMap<Ledger, Map<string, number>>();

function firstOfRun(ledger: Ledger, milestone: string, run: number): boolean {
  const known = passed.get(ledger) ?? new Map<string, number>();
  passed.set(ledger, known);
  // A message that outlived its event (a long delay in the flow) is of no run, and so counts as run 0.
  if (run <= (known.get(milestone) ?? -1)) return false;
  known.set(milestone, run);
  if (known.size > 1000) known.delete(known.keys().next().value ?? milestone);
  return true;
}
