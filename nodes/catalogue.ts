import { ConfigurationMistake } from '../orders/errors.ts';
import type { AdapterSettings, AdapterTools } from '../partners/adapter.ts';
import { createIsoFolder, createIsoHttp } from '../partners/bank/iso20022.ts';
import type { Bank } from '../partners/bank/port.ts';
import { createGenericShop } from '../partners/ecommerce/generic.ts';
import type { EcommercePlatform } from '../partners/ecommerce/port.ts';
import { createWooCommerce } from '../partners/ecommerce/woocommerce.ts';
import { createGenericErp } from '../partners/erp/generic.ts';
import { createOdoo } from '../partners/erp/odoo.ts';
import type { ErpSystem } from '../partners/erp/port.ts';
import { createGenericSupplier } from '../partners/supplier/generic.ts';
import type { Supplier } from '../partners/supplier/port.ts';
import { createRestJson } from '../partners/supplier/rest-json.ts';

/** What each role's adapters are. */
export interface AdapterOf {
  ecommerce: EcommercePlatform;
  erp: ErpSystem;
  supplier: Supplier;
  bank: Bank;
}

export type Role = keyof AdapterOf;

type Factory<Adapter> = (settings: AdapterSettings, tools: AdapterTools) => Adapter;

/** The products that can be chosen in the config nodes. A new adapter is added here and in the config node's editor. */
const PRODUCTS: { [R in Role]: Record<string, Factory<AdapterOf[R]>> } = {
  ecommerce: { woocommerce: createWooCommerce, generic: createGenericShop },
  erp: { odoo: createOdoo, generic: createGenericErp },
  supplier: { 'rest-json': createRestJson, generic: createGenericSupplier },
  bank: { 'iso20022-folder': createIsoFolder, 'iso20022-http': createIsoHttp },
};

/** @throws ConfigurationMistake `PRODUCT_UNKNOWN`, or what the adapter says of its settings */
export function createAdapter<R extends Role>(
  role: R,
  product: string,
  settings: AdapterSettings,
  tools: AdapterTools,
): AdapterOf[R] {
  const factory = Object.hasOwn(PRODUCTS[role], product) ? PRODUCTS[role][product] : undefined;
  if (!factory) {
    throw new ConfigurationMistake(
      'PRODUCT_UNKNOWN',
      `There is no ${role} adapter "${product}". Choose one of ${Object.keys(PRODUCTS[role]).join(', ')}.`,
    );
  }
  return factory(settings, tools);
}

export function products(): Record<Role, string[]> {
  return {
    ecommerce: Object.keys(PRODUCTS.ecommerce),
    erp: Object.keys(PRODUCTS.erp),
    supplier: Object.keys(PRODUCTS.supplier),
    bank: Object.keys(PRODUCTS.bank),
  };
}
