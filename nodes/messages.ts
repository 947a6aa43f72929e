import type { Ledger } from '../ledger/ledger.ts';
import { faultOf } from '../ledger/validate.ts';
import { documentRow, type Documents } from '../ledger/documents.ts';
import { BusinessRefusal, ConfigurationMistake } from '../orders/errors.ts';
import { orderContent, type Order } from '../orders/order.ts';
import { purchaseOrderContent, type PurchaseOrder } from '../orders/purchase-order.ts';
import { sameContent, Obsolete } from '../ledger/effects.ts';

/**
 * Checks that a message holds a document of an accepted type, and that nobody changed on the way what must agree with the
 * ledger: identity, lines, quantities, costs, currency, ship-to. Anything else may be enriched by the flow.
 * @throws ConfigurationMistake `WRONG_DOCUMENT`; BusinessRefusal `DOCUMENT_CHANGED`, `DOCUMENT_UNKNOWN`
 */
export async function checkDocument(
  ledger: Ledger,
  msg: { payload?: unknown },
  accepts: string[],
): Promise<{ type: string }> {
  const payload = msg.payload;
  const found =
    typeof payload === 'object' && payload !== null && 'type' in payload ? String(payload.type) : describe(payload);
  if (!accepts.includes(found)) {
    throw new ConfigurationMistake(
      'WRONG_DOCUMENT',
      `msg.payload must be ${accepts.map((type) => `"${type}"`).join(' or ')}, but it is ${found}. Check which output this node is wired to.`,
      {
        status: 'wrong document',
      },
    );
  }
  const document = payload as { type: string; id?: string };
  const kind = KINDS.find((each) => each === document.type);
  const body = kind && (await ledger.core.read(() => documentRow(kind, String(document.id))))?.body;
  // By far the most frequent: it is the document to the letter.
  if (body !== undefined && body === JSON.stringify(document)) return document;
  const fault = faultOf(document);
  if (fault !== undefined) {
    throw new ConfigurationMistake(
      'WRONG_DOCUMENT',
      `msg.payload is no complete ${found} any more: ${fault} A node before this one changed it.`,
      { status: 'wrong document' },
    );
  }
  if (kind) compare(kind, String(document.id), document, body);
  return document;
}

/** The documents that stand in the ledger under their own id. The others hold only what is looked up there again. */
const KINDS = ['order', 'purchase-order', 'shipment', 'bill'] as const;
type Kind = (typeof KINDS)[number];

function compare(kind: Kind, id: string, document: object, body: string | undefined): void {
  if (body === undefined) {
    throw new BusinessRefusal(
      'DOCUMENT_UNKNOWN',
      `The ledger has no ${kind} "${id.slice(0, 60)}". Do not change its id in the flow.`,
    );
  }
  const known = JSON.parse(body) as Known;
  if (!sameContent(identityOf(document as Known), identityOf(known))) {
    if (known.type === 'order' && isOlder(document, known))
      throw new Obsolete(`A later state of order ${id} is on its way.`);
    throw new BusinessRefusal(
      'DOCUMENT_CHANGED',
      `The flow changed lines, quantities, costs, currency or the address of ${kind} ${id}. These must stay as the ledger has them; add other properties instead.`,
      { status: 'document changed' },
    );
  }
}

/** A purchase order as it was ordered: what a supplier gave back later does not make it another one. */
export function orderedContent(po: PurchaseOrder): unknown {
  return purchaseOrderContent({ ...po, lines: po.lines.map((line) => ({ ...line, freed: '0' })) });
}

type Known = Documents[Kind];

function identityOf(document: Known): unknown {
  try {
    switch (document.type) {
      case 'order':
        return [document.id, document.shop, orderContent(document)];
      case 'purchase-order':
        return [document.id, document.orderId, orderedContent(document)];
      case 'shipment':
        return [
          document.id,
          document.supplier,
          document.purchaseOrder,
          document.orderId,
          document.lines.map(({ line, orderLine, sku, quantity }) => [line, orderLine, sku, quantity]),
        ];
      case 'bill':
        return [
          document.id,
          document.supplier,
          document.number,
          document.purchaseOrder,
          document.orderId,
          document.lines,
          document.shipping,
          document.tax,
          document.total,
        ];
    }
  } catch {
    return 'broken';
  }
}

/** The customer changed the order while an older state of it was on its way through the flow. */
function isOlder(document: object, known: Order): boolean {
  return 'revision' in document && typeof document.revision === 'number' && document.revision < known.revision;
}

function describe(payload: unknown): string {
  if (payload === undefined) return 'missing';
  if (payload === null) return 'null';
  return Array.isArray(payload) ? 'a list' : `a ${typeof payload} without a type`;
}
