import type { NodeAPI, NodeDef } from 'node-red';
import { stepCame } from '../../ledger/deadlines.ts';
import { documentsOf, getDocument, putDocument } from '../../ledger/documents.ts';
import { raise } from '../../ledger/exceptions.ts';
import type { Ledger } from '../../ledger/ledger.ts';
import { expectPayment } from '../../ledger/payments.ts';
import type { Transaction } from '../../ledger/store.ts';
import { matchBill, type Bill } from '../../orders/bill.ts';
import { parseMoney } from '../../orders/money.ts';
import { applyBill } from '../../orders/purchase-order.ts';
import { chosenPartner, partnerLedger } from '../choices.ts';
import { registerDocumentNode } from '../document-node.ts';
import { purchaseOrderInErp, whenReceived } from '../steps.ts';

interface Config extends NodeDef {
  erp: string;
  priceTolerance: string | number;
  amountTolerance: string | number;
}

type Match = { matched: boolean; differences: { line?: string; what: string }[] };

/** Three-way match of purchase order, shipments and bill; a bill that matches is entered in the ERP, any other goes to a person. */
export default function (RED: NodeAPI): void {
  registerDocumentNode<Bill, Config>(RED, 'erp-bill', {
    accepts: ['bill'],
    ledger: (red, config) => partnerLedger(red, 'erp', config.erp),
    async run({ payload: bill, config, ledger, eventId, operation, once }) {
      const erp = chosenPartner(RED, 'erp', config.erp);
      const { result } = await once<Match>({
        kind: 'bill-match',
        document: bill.id,
        orderId: bill.orderId,
        content: billContent(bill),
        decide: () => match(ledger, eventId, bill, config),
      });
      if (!result.matched) return { port: 1, payload: { ...bill, differences: result.differences } };
      const po = await purchaseOrderInErp(ledger, bill.purchaseOrder, erp.reference);
      await whenReceived(ledger, po);
      const entered = await operation({
        kind: 'bill-enter',
        partner: erp,
        document: bill.id,
        orderId: bill.orderId,
        content: billContent(bill),
        call: (write) => erp.adapter().enterBill(bill, po, write),
        *record(document) {
          const known = yield* getDocument('bill', bill.id);
          const now = ledger.core.now();
          if (known) yield* putDocument({ ...known, erp: { partner: erp.reference, ...document } }, now, 'entered');
          yield* stepCame(`match ${bill.id}`, now);
          yield* expectPayment(ledger.core, bill);
        },
      });
      return { port: 0, payload: { ...bill, erp: { partner: erp.reference, ...entered } } };
    },
  });
}

/** Matches within the tolerances of the node and counts the bill on its purchase order, or raises what differs. */
function* match(ledger: Ledger, eventId: string, bill: Bill, config: Config): Transaction<Match> {
  const now = ledger.core.now();
  const po = yield* getDocument('purchase-order', bill.purchaseOrder);
  if (!po) return { matched: false, differences: [{ what: `There is no purchase order ${bill.purchaseOrder}.` }] };
  const ofOrder = <Item extends { purchaseOrder: string }>(items: Item[]) =>
    items.filter((item) => item.purchaseOrder === po.id);
  const found = matchBill({
    bill,
    po,
    shipments: ofOrder(yield* documentsOf('shipment', po.orderId)),
    earlierBills: ofOrder(yield* documentsOf('bill', po.orderId)).filter((other) =>
      po.applied?.includes(`bill ${other.id}`),
    ),
    priceTolerancePercent: Number(config.priceTolerance) || 0,
    amountTolerance: parseMoney(String(config.amountTolerance || '0'), bill.currency),
  });
  if (found.matched) {
    yield* putDocument(applyBill(po, bill), now);
    yield* putDocument(bill, now, 'matched');
  } else {
    yield* putDocument(bill, now, 'mismatch');
    yield* stepCame(`match ${bill.id}`, now);
    yield* raise(now, {
      subject: `bill ${bill.id}`,
      code: 'BILL_MISMATCH',
      message: `Bill ${bill.number} of ${bill.supplier} does not match: ${found.differences.map((difference) => difference.what).join(' ')} Ask the supplier for a corrected bill.`,
      orderId: bill.orderId,
      eventId,
    });
  }
  return found;
}

function billContent(bill: Bill): unknown {
  return {
    purchaseOrder: bill.purchaseOrder,
    lines: bill.lines,
    shipping: bill.shipping,
    tax: bill.tax,
    total: bill.total,
  };
}
