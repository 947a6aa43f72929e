import type { AcknowledgedLine, Acknowledgement, Cancellation } from '../../orders/acknowledgement.ts';
import type { Bill, BillLine } from '../../orders/bill.ts';
import { parseMoney, type Money } from '../../orders/money.ts';
import type { Order } from '../../orders/order.ts';
import type { Beneficiary, Payment } from '../../orders/payment.ts';
import type { PurchaseOrder } from '../../orders/purchase-order.ts';
import type { ShippedLine, Shipment } from '../../orders/shipment.ts';

export const eur = (amount: string): Money => parseMoney(amount, 'EUR');

export const address = { name: 'Mia Lind', street: 'Kaigasse 4', postalCode: '5020', city: 'Salzburg', country: 'AT' };

/** 3 of RED at 12.00 and 5 of WHITE at 9.00, for Salzburg. */
export function order(changes: Partial<Order> = {}): Order {
  return {
    type: 'order',
    id: 'shop-nz-1001',
    shop: 'shop-nz',
    shopOrderId: '1001',
    number: '1001',
    placedAt: '2026-11-02T10:00:00Z',
    changedAt: '2026-11-02T10:00:00Z',
    currency: 'EUR',
    customer: { name: 'Mia Lind' },
    shipTo: address,
    lines: [
      { id: 'a', sku: 'RED', name: 'Red wine', quantity: '3', unitPrice: eur('12.00') },
      { id: 'b', sku: 'WHITE', name: 'White wine', quantity: '5', unitPrice: eur('9.00') },
    ],
    total: eur('81.00'),
    revision: 0,
    ...changes,
  };
}

/** 3 of RED at 8.10 (line 1) and 5 of WHITE at 6.00 (line 2), shipping 4.00. */
export function purchaseOrder(changes: Partial<PurchaseOrder> = {}): PurchaseOrder {
  const nothing = { accepted: '0', freed: '0', shipped: '0', billed: '0' };
  return {
    type: 'purchase-order',
    id: 'shop-nz-1001-1',
    orderId: 'shop-nz-1001',
    supplier: 'vineyard',
    round: 1,
    createdAt: '2026-11-02T10:01:00Z',
    currency: 'EUR',
    shipTo: address,
    lines: [
      {
        id: '1',
        orderLine: 'a',
        sku: 'RED',
        supplierSku: 'V-1',
        name: 'Red wine',
        quantity: '3',
        unitCost: eur('8.10'),
        ...nothing,
      },
      { id: '2', orderLine: 'b', sku: 'WHITE', name: 'White wine', quantity: '5', unitCost: eur('6.00'), ...nothing },
    ],
    shipping: eur('4.00'),
    total: eur('58.30'),
    revision: 0,
    state: 'sent',
    sentAt: '2026-11-02T10:02:00Z',
    ...changes,
  };
}

const of = { supplier: 'vineyard', purchaseOrder: 'shop-nz-1001-1', orderId: 'shop-nz-1001' };
const skus: Record<string, string> = { 1: 'RED', 2: 'WHITE' };

export function acknowledgement(
  id: string,
  lines: (Pick<AcknowledgedLine, 'line' | 'status' | 'quantity'> & Partial<AcknowledgedLine>)[],
  at = '2026-11-02T11:00:00Z',
): Acknowledgement {
  return {
    type: 'acknowledgement',
    id: `vineyard/${id}`,
    ...of,
    at,
    lines: lines.map((line) => ({ sku: skus[line.line] ?? '', ...line })),
  };
}

/** `quantities` by purchase order line. */
export function shipment(id: string, quantities: Record<string, string>): Shipment {
  const lines: ShippedLine[] = Object.entries(quantities).map(([line, quantity]) => ({
    line,
    orderLine: line === '1' ? 'a' : 'b',
    sku: skus[line] ?? '',
    quantity,
  }));
  return {
    type: 'shipment',
    id: `vineyard/${id}`,
    number: id,
    ...of,
    shippedAt: '2026-11-03T09:00:00Z',
    parcels: [{ carrier: 'post', trackingNumber: `T-${id}` }],
    lines,
  };
}

export function cancellation(id: string, accepted: boolean, quantities: Record<string, string>): Cancellation {
  return {
    type: 'cancellation',
    id: `vineyard/${id}`,
    ...of,
    at: '2026-11-02T12:00:00Z',
    accepted,
    lines: Object.entries(quantities).map(([line, quantity]) => ({ line, sku: skus[line] ?? '', quantity })),
  };
}

/** Everything of `purchaseOrder()`, billed as ordered: 58.30. */
export function bill(changes: Partial<Bill> = {}): Bill {
  const lines: BillLine[] = [
    { line: '1', sku: 'RED', quantity: '3', unitCost: eur('8.10') },
    { line: '2', sku: 'WHITE', quantity: '5', unitCost: eur('6.00') },
  ];
  return {
    type: 'bill',
    id: 'vineyard/INV-5',
    number: 'INV-5',
    ...of,
    issuedAt: '2026-11-04',
    currency: 'EUR',
    lines,
    shipping: eur('4.00'),
    total: eur('58.30'),
    ...changes,
  };
}

export function beneficiary(changes: Partial<Beneficiary> = {}): Beneficiary {
  return { supplier: 'vineyard', version: 1, name: 'Vineyard Ltd', iban: 'AT611904300234573201', address, ...changes };
}

export function payment(changes: Partial<Payment> = {}): Payment {
  return {
    type: 'payment',
    id: 'pay/vineyard/INV-5',
    endToEndId: 'vineyard/INV-5',
    run: 'run-1',
    bill: 'vineyard/INV-5',
    billNumber: 'INV-5',
    supplier: 'vineyard',
    erp: 'erp-main',
    erpBillId: '77',
    orderId: 'shop-nz-1001',
    amount: eur('58.30'),
    beneficiary: beneficiary(),
    state: 'reserved',
    ...changes,
  };
}

/** The `code` of what `action` throws; undefined when it throws nothing. */
export function codeOf(action: () => unknown): string | undefined {
  try {
    action();
  } catch (thrown) {
    return (thrown as { code?: string }).code ?? String(thrown);
  }
  return undefined;
}
