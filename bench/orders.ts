import { createHmac } from 'node:crypto';

/** What every contender is told and does: the same orders, the same two suppliers, the same prices. */

/** The suppliers' references. */
export const SUPPLIERS = ['north', 'south'] as const;
export type SupplierName = (typeof SUPPLIERS)[number];

/** The shop's reference, the first part of our order numbers. */
export const SHOP = 'shop';

/** Key of the shop's webhook signatures. */
export const WEBHOOK_SECRET = 'bench-webhook-secret';

/** Articles that each supplier has; neither has one of the other's, so an order with one of each needs both. */
const ARTICLES = 20;

export interface Article {
  sku: string;
  supplier: SupplierName;
  /** Decimal text, EUR. */
  cost: string;
}

export const ASSORTMENT: readonly Article[] = SUPPLIERS.flatMap((supplier, s) =>
  Array.from({ length: ARTICLES }, (_, index) => ({
    sku: `${supplier.toUpperCase()}-${100 + index}`,
    supplier,
    cost: `${4 + s + index}.50`,
  })),
);

/** Our number of the shop's order, by which the partners know it. */
export function orderNumber(shopOrderId: string): string {
  return `${SHOP}-${shopOrderId}`;
}

/** The shop's webhook of a paid order with two lines, one for each supplier. */
export function webhookBody(shopOrderId: string): string {
  const seed = Number.parseInt(shopOrderId, 10);
  const line = (supplier: number, id: string) => {
    const index = (seed * (supplier + 3)) % ARTICLES;
    const { sku, cost } = ASSORTMENT[supplier * ARTICLES + index]!;
    return { id, sku, title: `Article ${sku}`, quantity: 1 + (index % 3), unit_price: String(Number(cost) * 2), cost };
  };
  const lines = [line(0, '1'), line(1, '2')];
  const total = lines.reduce((sum, { quantity, unit_price }) => sum + quantity * Number(unit_price), 0);
  return JSON.stringify({
    id: shopOrderId,
    order_name: `#${shopOrderId}`,
    created_at: '2026-11-02T08:15:30Z',
    updated_at: '2026-11-02T08:16:02Z',
    paid_at: '2026-11-02T08:16:02Z',
    currency: 'EUR',
    buyer: { first: 'Erika', last: 'Mustermann', email: 'erika@example.com', phone: '+49 711 555 0199' },
    delivery: {
      first: 'Erika',
      last: 'Mustermann',
      address_1: 'Heidestraße 17',
      address_2: 'Hinterhaus',
      zip: '51147',
      city: 'Köln',
      country: 'DE',
      method: 'standard',
    },
    line_items: lines.map(({ cost: _cost, ...each }) => each),
    delivery_fee: '0',
    grand_total: total.toFixed(2),
    buyer_note: 'Please ring twice.',
    source: { channel: 'web', session: 'b1946ac92492d2347c6235b4d2611184', locale: 'de-DE' },
  });
}

/** The headers of a webhook. */
export function webhookHeaders(body: string): Record<string, string> {
  return {
    'content-type': 'application/json',
    'x-signature': `sha256=${createHmac('sha256', WEBHOOK_SECRET).update(body).digest('hex')}`,
  };
}
