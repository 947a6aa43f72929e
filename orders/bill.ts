import { asError } from './errors.ts';
import { describeMoney, sameMoney, sum, times, type Money } from './money.ts';
import type { ErpRecord } from './order.ts';
import { resolveLines, type PurchaseOrder, type PurchaseOrderLine } from './purchase-order.ts';
import { add, compare, isZero, quantityToMillionths, total, type Quantity } from './quantity.ts';
import type { Shipment } from './shipment.ts';

/** The supplier's invoice for one purchase order (or a part of it). */
export interface Bill {
  type: 'bill';
  /** The supplier's reference and the supplier's invoice number: `vineyard/INV-5`. */
  id: string;
  number: string;
  supplier: string;
  purchaseOrder: string;
  orderId: string;
  issuedAt: string;
  dueAt?: string;
  currency: string;
  lines: BillLine[];
  shipping?: Money;
  tax?: Money;
  total: Money;
  erp?: ErpRecord;
}

export interface BillLine {
  /** `PurchaseOrderLine.id` */
  line: string;
  sku: string;
  quantity: Quantity;
  unitCost: Money;
}

/** Why a bill cannot be paid as it is. `line` is `PurchaseOrderLine.id`; `what` is a sentence for finance people. */
export interface BillDifference {
  line?: string;
  what: string;
}

/**
 * The three-way match: may this bill be paid, given what was ordered and what has shipped? Quantities (with those of earlier bills) are
 * covered by shipments; unit costs are the purchase order's within the tolerance; shipping is charged once and is what was expected
 * within the tolerance; the total adds up to the cent; one currency. Tax is not on the purchase order: it is checked for what no
 * country charges. `shipments` and `earlierBills` are those of this purchase order; the bill itself among them counts once.
 */
export function matchBill(match: {
  bill: Bill;
  po: PurchaseOrder;
  shipments: readonly Shipment[];
  earlierBills: readonly Bill[];
  /** Per cent of the purchase order's unit cost, such as 2.5. */
  priceTolerancePercent: number | string;
  /** What shipping may exceed the expected amount by. */
  amountTolerance: Money;
}): { matched: boolean; differences: BillDifference[] } {
  const { bill, po } = match;
  const differences: BillDifference[] = [];
  if (bill.purchaseOrder !== po.id || bill.supplier !== po.supplier) {
    const what = `Bill ${bill.number} of ${bill.supplier} is for ${bill.purchaseOrder}, not for ${po.id} of ${po.supplier}.`;
    return { matched: false, differences: [{ what }] };
  }
  if ([bill.currency, bill.total.currency].some((currency) => currency !== po.currency)) {
    const what = `The bill is in ${bill.currency === po.currency ? bill.total.currency : bill.currency}, the purchase order in ${po.currency}.`;
    return { matched: false, differences: [{ what }] };
  }
  const earlier = byId(match.earlierBills).filter((other) => other.id !== bill.id);
  try {
    differences.push(
      ...quantityDifferences(bill, po, byId(match.shipments), earlier),
      ...costDifferences(bill, po, match.priceTolerancePercent),
      ...shippingDifferences(bill, po, byId(match.shipments), earlier, match.amountTolerance),
      ...totalDifferences(bill),
    );
  } catch (thrown) {
    // An unknown line, a second currency or a quantity that is none: the sentence says which.
    differences.push({ what: asError(thrown).message });
  }
  return { matched: differences.length === 0, differences };
}

function quantityDifferences(bill: Bill, po: PurchaseOrder, shipments: Shipment[], earlier: Bill[]): BillDifference[] {
  const differences: BillDifference[] = [];
  for (const row of bill.lines) {
    if (isZero(row.quantity)) differences.push({ line: row.line, what: `${row.sku} is billed with the quantity 0.` });
  }
  for (const line of po.lines) {
    const billed = quantityOn([bill], po, line);
    if (isZero(billed)) continue;
    const before = quantityOn(earlier, po, line);
    const shipped = quantityOn(shipments, po, line);
    if (compare(add(billed, before), shipped) > 0) {
      const with_ = isZero(before) ? '' : ` after ${before} on earlier bills`;
      differences.push({
        line: line.id,
        what: `${line.sku}: ${billed} billed${with_}, but ${isZero(shipped) ? 'none has' : `only ${shipped} have`} shipped.`,
      });
    }
  }
  return differences;
}

function costDifferences(bill: Bill, po: PurchaseOrder, tolerancePercent: number | string): BillDifference[] {
  const tolerance = quantityToMillionths(String(tolerancePercent));
  const differences: BillDifference[] = [];
  for (const row of resolveLines(po, bill.lines)) {
    const agreed = po.lines.find((line) => line.id === row.line)?.unitCost;
    if (!agreed) continue;
    const off = BigInt(Math.abs(row.unitCost.minor - agreed.minor));
    if (row.unitCost.currency !== agreed.currency || off * 100_000_000n > BigInt(Math.abs(agreed.minor)) * tolerance) {
      const allowed = tolerance === 0n ? '' : ` (${tolerancePercent} % tolerated)`;
      differences.push({
        line: row.line,
        what: `${row.sku}: billed at ${describeMoney(row.unitCost)}, ordered at ${describeMoney(agreed)}${allowed}.`,
      });
    }
  }
  return differences;
}

function shippingDifferences(
  bill: Bill,
  po: PurchaseOrder,
  shipments: Shipment[],
  earlier: Bill[],
  tolerance: Money,
): BillDifference[] {
  if (!bill.shipping || bill.shipping.minor === 0) return [];
  if (bill.shipping.minor < 0) return [{ what: `Shipping is negative: ${describeMoney(bill.shipping)}.` }];
  const differences: BillDifference[] = [];
  const before = earlier.find((other) => (other.shipping?.minor ?? 0) !== 0);
  if (before) differences.push({ what: `Shipping was billed already, on bill ${before.number}.` });
  if (shipments.length === 0) differences.push({ what: 'Shipping is billed, but nothing has shipped.' });
  // The sum refuses a tolerance in another currency; a tolerance of nothing has none.
  const allowed = tolerance.minor === 0 ? po.shipping : sum([po.shipping, tolerance], po.currency);
  if (bill.shipping.minor > allowed.minor) {
    const tolerated = tolerance.minor === 0 ? '' : ` (${describeMoney(tolerance)} more tolerated)`;
    differences.push({
      what: `Shipping is ${describeMoney(bill.shipping)}, expected were ${describeMoney(po.shipping)}${tolerated}.`,
    });
  }
  return differences;
}

/** No country charges more than 27 % value added tax (Hungary); without a bound, any amount could be billed as tax. */
const HIGHEST_TAX_PERCENT = 27n;

function totalDifferences(bill: Bill): BillDifference[] {
  const differences: BillDifference[] = [];
  const net = sum(
    [...bill.lines.map((row) => times(row.unitCost, row.quantity)), ...(bill.shipping ? [bill.shipping] : [])],
    bill.currency,
  );
  const gross = sum(bill.tax ? [net, bill.tax] : [net], bill.currency);
  if (!sameMoney(gross, bill.total)) {
    differences.push({
      what: `The lines, shipping and tax add up to ${describeMoney(gross)}, the bill says ${describeMoney(bill.total)}.`,
    });
  }
  if (bill.total.minor <= 0) {
    differences.push({ what: `The total is ${describeMoney(bill.total)}: a bill asks for more than nothing.` });
  }
  // One minor unit more, because the supplier may have rounded line by line.
  if (bill.tax && BigInt(bill.tax.minor - bill.lines.length - 1) * 100n > BigInt(net.minor) * HIGHEST_TAX_PERCENT) {
    differences.push({
      what: `Tax is ${describeMoney(bill.tax)} on ${describeMoney(net)}, more than ${HIGHEST_TAX_PERCENT} %.`,
    });
  }
  if (bill.tax && bill.tax.minor < 0) differences.push({ what: `Tax is negative: ${describeMoney(bill.tax)}.` });
  return differences;
}

function quantityOn(documents: readonly (Bill | Shipment)[], po: PurchaseOrder, line: PurchaseOrderLine): Quantity {
  return total(
    documents
      .filter((document) => document.purchaseOrder === po.id && document.supplier === po.supplier)
      .flatMap((document) => resolveLines<{ line: string; sku: string; quantity: Quantity }>(po, document.lines))
      .filter((row) => row.line === line.id)
      .map((row) => row.quantity),
  );
}

function byId<Document extends { id: string }>(documents: readonly Document[]): Document[] {
  return [...new Map(documents.map((document) => [document.id, document])).values()];
}
