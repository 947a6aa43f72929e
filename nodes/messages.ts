import type { Ledger } from '../ledger/ledger.ts';
import { getDocument } from '../ledger/documents.ts';
import { BusinessRefusal, ConfigurationMistake } from '../orders/errors.ts';
import { orderContent, type Order } from '../orders/order.ts';
import { purchaseOrderContent, type PurchaseOrder } from '../orders/purchase-order.ts';
import { contentHash } from '../ledger/effects.ts';

/**
 * Checks that a message holds a document of an accepted type, and that nobody changed on the way what must agree with the
 * ledger: identity, lines, quantities, costs, currency, ship-to. Anything else may be enriched by the flow.
 * @throws ConfigurationMistake `WRONG_DOCUMENT`; BusinessRefusal `DOCUMENT_CHANGED`, `DOCUMENT_UNKNOWN`
 */
export async function checkDocument(ledger: Ledger, msg: { payload?: unknown }, accepts: string[]): Promise<{ type: string }> {
  const payload = msg.payload;
  const found = typeof payload === 'object' && payload !== null && 'type' in payload ? String(payload.type) : describe(payload);
  if (!accepts.includes(found)) {
    throw new ConfigurationMistake('WRONG_DOCUMENT', `msg.payload must be ${accepts.map((type) => `"${type}"`).join(' or ')}, but it is ${found}. Check which output this node is wired to.`, {
      status: 'wrong document',
    });
  }
  const document = payload as { type: string; id?: string };
  if (document.type === 'order' || document.type === 'purchase-order') await compare(ledger, document as Order | PurchaseOrder);
  return document;
}

async function compare(ledger: Ledger, document: Order | PurchaseOrder): Promise<void> {
  const known = await ledger.transact('check document', () => getDocument(document.type, document.id));
  if (!known) {
    throw new BusinessRefusal('DOCUMENT_UNKNOWN', `The ledger has no ${document.type} "${String(document.id).slice(0, 60)}". Do not change its id in the flow.`);
  }
  if (contentHash(identityOf(document)) !== contentHash(identityOf(known))) {
    throw new BusinessRefusal(
      'DOCUMENT_CHANGED',
      `The flow changed lines, quantities, costs, currency or the address of ${document.type} ${document.id}. These must stay as the ledger has them; add other properties instead.`,
      { status: 'document changed' },
    );
  }
}

/** A purchase order as it was ordered: what a supplier gave back later does not make it another one. */
export function orderedContent(po: PurchaseOrder): unknown {
  return purchaseOrderContent({ ...po, lines: po.lines.map((line) => ({ ...line, freed: '0' })) });
}

function identityOf(document: Order | PurchaseOrder): unknown {
  try {
    return document.type === 'order' ? [document.id, document.shop, orderContent(document)] : [document.id, document.orderId, orderedContent(document)];
  } catch {
    return 'broken';
  }
}

function describe(payload: unknown): string {
  if (payload === undefined) return 'missing';
  if (payload === null) return 'null';
  return Array.isArray(payload) ? 'a list' : `a ${typeof payload} without a type`;
}
