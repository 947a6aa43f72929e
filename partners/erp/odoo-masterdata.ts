import { createHash } from 'node:crypto';
import type { Address } from '../../orders/address.ts';
import { BusinessRefusal, ConfigurationMistake } from '../../orders/errors.ts';
import type { Order } from '../../orders/order.ts';
import type { Writer } from '../write.ts';
import type { Domain, OdooRecords } from './odoo-records.ts';

/** What stands in the edit dialog for Odoo. */
export interface OdooOptions {
  /** Sent as X-Odoo-Database; needed only where one server has several databases. */
  database?: string;
  /** Supplier reference -> Odoo's id or exact name of the vendor. Without an entry: the contact whose Reference is the supplier's. */
  vendors?: Record<string, number | string>;
  /** Create products and vendors that Odoo lacks, instead of refusing. */
  createMissing?: boolean;
  /** Internal references of the service products that carry a shop's shipping charge and discount, and a bill's shipping. */
  shippingProduct?: string;
  discountProduct?: string;
  /** Currency -> id of the pricelist for sales in it; the customer's own otherwise. */
  pricelists?: Record<string, number>;
  /** Code of the journal for payments to suppliers; Odoo's default otherwise. */
  paymentJournal?: string;
}

/** A product that an order or purchase order names. */
export interface Article {
  sku: string;
  name: string;
}

/** The customer's contact, found by our reference or created. @returns Odoo's id */
export async function ensureCustomer(odoo: OdooRecords, order: Order, write: Writer): Promise<number> {
  const reference = customerReference(order);
  const address = order.billTo ?? order.shipTo;
  return write({
    step: 'customer',
    summary: { reference },
    settle: 'probe',
    look: 'always',
    find: () => partnerByReference(odoo, reference),
    async send({ signal }) {
      const { company, name, email, phone } = order.customer;
      const values = {
        ...(await addressValues(odoo, address)),
        name: company ?? name,
        ref: reference,
        is_company: company !== undefined,
        email: email ?? address.email ?? false,
        phone: phone ?? address.phone ?? false,
      };
      return odoo.create('res.partner', values, signal);
    },
  });
}

/** A guest orders once, a registered customer again: his contact is reused. */
export function customerReference(order: Order): string {
  const { shopCustomerId } = order.customer;
  return shopCustomerId === undefined ? `${order.id}/customer` : `${order.shop}/customer/${shopCustomerId}`;
}

/**
 * The ship-to as a delivery address below the customer. Its reference is made of the address itself: the next order to the
 * same place reuses it, and a changed address never rewrites the one that an older document points to.
 */
export async function ensureDeliveryAddress(
  odoo: OdooRecords,
  order: Order,
  shipTo: Address,
  customer: () => Promise<number>,
  write: Writer,
): Promise<number> {
  const fields = [shipTo.name, shipTo.company, shipTo.street, shipTo.street2, shipTo.postalCode, shipTo.city];
  const content = JSON.stringify([...fields, shipTo.region, shipTo.country, shipTo.phone].map((field) => field ?? ''));
  const reference = `${customerReference(order)}/to/${createHash('sha256').update(content).digest('hex').slice(0, 12)}`;
  return write({
    step: 'ship-to',
    summary: { reference, country: shipTo.country },
    settle: 'probe',
    look: 'always',
    find: () => partnerByReference(odoo, reference),
    async send({ signal }) {
      const values = {
        ...(await addressValues(odoo, shipTo)),
        name: shipTo.company ? `${shipTo.name}, ${shipTo.company}` : shipTo.name,
        ref: reference,
        type: 'delivery',
        parent_id: await customer(),
        email: shipTo.email ?? false,
        phone: shipTo.phone ?? false,
      };
      return odoo.create('res.partner', values, signal);
    },
  });
}

/** With the option `createMissing`: every product exists afterwards, each made by a write of its own. */
export async function ensureProducts(
  odoo: OdooRecords,
  options: OdooOptions,
  articles: Article[],
  write: Writer,
): Promise<void> {
  if (!options.createMissing) return;
  for (const { sku, name } of new Map(articles.map((article) => [article.sku, article])).values()) {
    await write({
      step: `product/${sku}`,
      summary: { sku },
      settle: 'probe',
      look: 'always',
      find: async () =>
        (await odoo.find('product.product', [['default_code', '=', sku]], ['default_code'], { limit: 1 }))[0]?.id,
      // Goods are `consu` with `is_storable` since Odoo 18; billed is what was received.
      send: ({ signal }) =>
        odoo.create(
          'product.product',
          { name, default_code: sku, type: 'consu', is_storable: true, purchase_method: 'receive' },
          signal,
        ),
    });
  }
}

/**
 * Odoo's product ids by SKU (Internal Reference).
 * @throws BusinessRefusal `SKU_UNKNOWN`, `SKU_AMBIGUOUS`
 */
export async function productsOf(odoo: OdooRecords, partner: string, skus: string[]): Promise<Map<string, number>> {
  const wanted = [...new Set(skus)];
  const products = new Map<string, number>();
  for (const product of await odoo.find('product.product', [['default_code', 'in', wanted]], ['default_code'])) {
    const sku = product.text('default_code');
    if (products.has(sku)) {
      throw new BusinessRefusal(
        'SKU_AMBIGUOUS',
        `${partner} (Odoo) has several products with the Internal Reference "${sku}". Archive or rename all but one, then try again.`,
      );
    }
    products.set(sku, product.id);
  }
  const missing = wanted.filter((sku) => !products.has(sku));
  if (missing.length > 0) {
    throw new BusinessRefusal(
      'SKU_UNKNOWN',
      `${partner} (Odoo) has no product with the Internal Reference ${missing.map((sku) => `"${sku}"`).join(', ')}. Create it in Odoo, or let Dropline create missing products, then try again.`,
    );
  }
  return products;
}

/** With the option `createMissing`: the supplier's contact exists afterwards. */
export async function ensureVendor(
  odoo: OdooRecords,
  options: OdooOptions,
  supplier: string,
  write: Writer,
): Promise<void> {
  if (!options.createMissing || options.vendors?.[supplier] !== undefined) return;
  await write({
    step: 'vendor',
    summary: { supplier },
    settle: 'probe',
    look: 'always',
    find: () => partnerByReference(odoo, supplier),
    send: ({ signal }) =>
      odoo.create('res.partner', { name: supplier, ref: supplier, is_company: true, supplier_rank: 1 }, signal),
  });
}

/** @throws BusinessRefusal `VENDOR_UNKNOWN` when not exactly one contact is meant */
export async function vendorOf(
  odoo: OdooRecords,
  options: OdooOptions,
  partner: string,
  supplier: string,
): Promise<number> {
  const entry = options.vendors?.[supplier];
  const domain: Domain =
    entry === undefined
      ? [['ref', '=', supplier]]
      : typeof entry === 'number'
        ? [['id', '=', entry]]
        : [
            ['name', '=', entry],
            ['parent_id', '=', false],
          ];
  const [vendor, ...more] = await odoo.find('res.partner', domain, ['name'], { limit: 2 });
  if (vendor && more.length === 0) return vendor.id;
  const what =
    entry === undefined ? `the Reference "${supplier}"` : `the ${typeof entry === 'number' ? 'id' : 'name'} "${entry}"`;
  throw new BusinessRefusal(
    'VENDOR_UNKNOWN',
    `${partner} (Odoo) has ${vendor ? 'several vendors' : 'no vendor'} with ${what}. ${vendor ? 'Keep one' : 'Create the vendor or set the reference in Odoo'}, or name it in the config node under vendors, then try again.`,
  );
}

/** @throws ConfigurationMistake `CURRENCY_INACTIVE` */
export async function currencyId(odoo: OdooRecords, partner: string, code: string): Promise<number> {
  const [currency] = await odoo.find('res.currency', [['name', '=', code]], ['name'], { limit: 1 });
  if (currency) return currency.id;
  throw new ConfigurationMistake(
    'CURRENCY_INACTIVE',
    `${partner} (Odoo) has no active currency ${code}. Activate it in Odoo under Invoicing, Configuration, Currencies.`,
  );
}

async function partnerByReference(odoo: OdooRecords, reference: string): Promise<number | undefined> {
  return (await odoo.find('res.partner', [['ref', '=', reference]], ['name'], { limit: 1 }))[0]?.id;
}

async function addressValues(odoo: OdooRecords, address: Address): Promise<Record<string, unknown>> {
  const [country] = await odoo.find('res.country', [['code', '=', address.country]], ['code'], { limit: 1 });
  const [state] =
    country && address.region
      ? await odoo.find(
          'res.country.state',
          [['country_id', '=', country.id], '|', ['code', '=', address.region], ['name', '=ilike', address.region]],
          ['name'],
          { limit: 1 },
        )
      : [];
  return {
    street: address.street,
    street2: address.street2 ?? false,
    zip: address.postalCode ?? false,
    city: address.city,
    country_id: country?.id ?? false,
    state_id: state?.id ?? false,
  };
}
