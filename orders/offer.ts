import type { Money } from './money.ts';
import type { Quantity } from './quantity.ts';

/** A supplier can deliver this SKU. */
export interface Offer {
  supplier: string;
  sku: string;
  supplierSku?: string;
  unitCost: Money;
  /** What the supplier has on the shelf, before our open allocations are taken off. Missing: as much as anyone wants. */
  stock?: Quantity;
  leadTimeDays?: number;
  /** ISO country codes that the supplier ships to. Missing or empty: everywhere. */
  countries?: string[];
  /** Smallest quantity per purchase order line. */
  minimumQuantity?: Quantity;
}
