/** The fictional wine-and-kitchen shop that all pretend partners share. Everything is in EUR; amounts are decimal strings. */

export type SupplierName = 'prompt' | 'parcels' | 'moody';

export interface PostalAddress {
  name: string;
  company?: string;
  street: string;
  postalCode: string;
  city: string;
  /** ISO 3166-1 alpha-2. */
  country: string;
  phone?: string;
  email?: string;
}

export interface CatalogueSupplier {
  name: SupplierName;
  /** As it stands in the ERP and on a payment. */
  company: string;
  /** What it charges for one purchase order. */
  shipping: string;
  leadTimeDays: number;
  /** Where it ships to. */
  countries: string[];
  /** Days from a bill to the day when it is due. */
  paymentDays: number;
  iban: string;
  bic: string;
  address: PostalAddress;
}

export interface CatalogueOffer {
  supplier: SupplierName;
  /** The supplier's own article number. */
  supplierSku: string;
  unitCost: string;
  stock: number;
  /** How the supplier answers when it is ordered; shipped unless told. */
  answer?: 'rejected' | 'backordered';
}

export interface Product {
  sku: string;
  name: string;
  /** What the customer pays for one, before tax. */
  price: string;
  /** Cheapest first by unit cost. */
  offers: CatalogueOffer[];
}

export interface DemoOrder {
  /** What the order shows. */
  title: string;
  customer: PostalAddress;
  lines: { sku: string; quantity: number }[];
  /** How it comes out at least cost while all stock is there: the purchase orders at first, and again after lines were given back. */
  outcome: { supplier: SupplierName; lines: Record<string, number> }[];
  /** Lines that nobody delivers to the country of the order. */
  undeliverable?: Record<string, number>;
}

export const EU = 'AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE'.split(' ');

export const CURRENCY = 'EUR';

/** The IBANs are the well-known examples of banks' manuals: valid in form, nobody's account. */
export const suppliers: Record<SupplierName, CatalogueSupplier> = {
  prompt: {
    name: 'prompt',
    company: 'Prompt Trading GmbH',
    shipping: '4.90',
    leadTimeDays: 2,
    countries: ['DE', 'AT', 'NL', 'BE', 'FR', 'CZ'],
    paymentDays: 14,
    iban: 'DE89370400440532013000',
    bic: 'COBADEFFXXX',
    address: {
      name: 'Prompt Trading GmbH',
      street: 'Hafenstrasse 12',
      postalCode: '20457',
      city: 'Hamburg',
      country: 'DE',
      email: 'orders@prompt.example',
    },
  },
  parcels: {
    name: 'parcels',
    company: 'Parcels & Partner s.r.o.',
    shipping: '6.90',
    leadTimeDays: 4,
    countries: ['DE', 'AT', 'CZ', 'PL'],
    paymentDays: 30,
    iban: 'CZ6508000000192000145399',
    bic: 'GIBACZPXXXX',
    address: {
      name: 'Parcels & Partner s.r.o.',
      street: 'Dlouha 33',
      postalCode: '110 00',
      city: 'Praha',
      country: 'CZ',
      email: 'orders@parcels.example',
    },
  },
  moody: {
    name: 'moody',
    company: 'Moody Imports B.V.',
    shipping: '5.90',
    leadTimeDays: 6,
    countries: EU,
    paymentDays: 14,
    iban: 'NL91ABNA0417164300',
    bic: 'ABNANL2AXXX',
    address: {
      name: 'Moody Imports B.V.',
      street: 'Keizersgracht 77',
      postalCode: '1015 CE',
      city: 'Amsterdam',
      country: 'NL',
      email: 'orders@moody.example',
    },
  },
};

/** The retailer: whose account the payments leave. */
export const retailer = {
  company: 'Cork & Pan GmbH',
  iban: 'DE75512108001245126199',
  bic: 'SOGEDEFFXXX',
  address: { name: 'Cork & Pan GmbH', street: 'Marktplatz 3', postalCode: '70173', city: 'Stuttgart', country: 'DE' },
};

/** A valid IBAN whose account the pretend bank takes for closed. */
export const closedIban = 'BE68539007547034';

export const products: Product[] = [
  {
    sku: 'WINE-RIESLING',
    name: 'Riesling dry, 0.75 l',
    price: '12.90',
    offers: [
      { supplier: 'prompt', supplierSku: 'P-1001', unitCost: '7.10', stock: 120 },
      { supplier: 'parcels', supplierSku: 'PP/RIE/75', unitCost: '7.40', stock: 60 },
    ],
  },
  {
    sku: 'WINE-PINOT',
    name: 'Pinot noir, 0.75 l',
    price: '18.50',
    offers: [{ supplier: 'prompt', supplierSku: 'P-1002', unitCost: '10.20', stock: 80 }],
  },
  {
    sku: 'GLASS-BURGUNDY',
    name: 'Burgundy glasses, set of 6',
    price: '39.00',
    offers: [{ supplier: 'parcels', supplierSku: 'PP/GLB/06', unitCost: '22.50', stock: 40 }],
  },
  {
    sku: 'OIL-OLIVE',
    name: 'Olive oil, 0.5 l',
    price: '11.90',
    offers: [
      { supplier: 'parcels', supplierSku: 'PP/OIL/50', unitCost: '6.00', stock: 200 },
      { supplier: 'prompt', supplierSku: 'P-2001', unitCost: '6.20', stock: 90 },
    ],
  },
  {
    sku: 'CORKSCREW',
    name: 'Corkscrew, two-step',
    price: '15.90',
    offers: [
      { supplier: 'prompt', supplierSku: 'P-3001', unitCost: '8.00', stock: 2 },
      { supplier: 'parcels', supplierSku: 'PP/COR/02', unitCost: '9.00', stock: 4 },
    ],
  },
  {
    sku: 'KNIFE-CHEF',
    name: "Chef's knife, 20 cm",
    price: '49.00',
    offers: [
      { supplier: 'moody', supplierSku: '77-KNF-20', unitCost: '22.00', stock: 15, answer: 'rejected' },
      { supplier: 'prompt', supplierSku: 'P-3002', unitCost: '26.50', stock: 30 },
    ],
  },
  {
    sku: 'MILL-PEPPER',
    name: 'Pepper mill, beech',
    price: '24.90',
    offers: [
      { supplier: 'moody', supplierSku: '77-MIL-01', unitCost: '9.00', stock: 25, answer: 'backordered' },
      { supplier: 'parcels', supplierSku: 'PP/MIL/01', unitCost: '11.00', stock: 35 },
    ],
  },
  {
    sku: 'APRON-LINEN',
    name: 'Apron, linen',
    price: '29.90',
    offers: [{ supplier: 'moody', supplierSku: '77-APR-LI', unitCost: '14.00', stock: 50 }],
  },
];

/** @throws Error when the catalogue has no such SKU */
export function productOf(sku: string): Product {
  const product = products.find((each) => each.sku === sku);
  if (!product) throw new Error(`The sandbox has no product ${sku}.`);
  return product;
}

const customers = {
  berlin: {
    name: 'Erika Mustermann',
    street: 'Musterweg 1',
    postalCode: '10115',
    city: 'Berlin',
    country: 'DE',
    phone: '+49 30 5550101',
    email: 'erika@customer.example',
  },
  wien: {
    name: 'Max Beispiel',
    company: 'Beispiel OG',
    street: 'Ringstraße 5',
    postalCode: '1010',
    city: 'Wien',
    country: 'AT',
    phone: '+43 1 5550102',
    email: 'max@customer.example',
  },
  brno: {
    name: 'Jana Nováková',
    street: 'Květná 8',
    postalCode: '602 00',
    city: 'Brno',
    country: 'CZ',
    phone: '+420 555 010 103',
    email: 'jana@customer.example',
  },
  roma: {
    name: 'Mario Rossi',
    street: 'Via Esempio 10',
    postalCode: '00184',
    city: 'Roma',
    country: 'IT',
    phone: '+39 06 5550104',
    email: 'mario@customer.example',
  },
} satisfies Record<string, PostalAddress>;

/** Unit costs, stock and countries are chosen so that these come out as they say. */
export const demoOrders: DemoOrder[] = [
  {
    title: 'One line, one supplier',
    customer: customers.berlin,
    lines: [{ sku: 'WINE-RIESLING', quantity: 2 }],
    outcome: [{ supplier: 'prompt', lines: { 'WINE-RIESLING': 2 } }],
  },
  {
    title: 'Three lines, two suppliers',
    customer: customers.wien,
    lines: [
      { sku: 'WINE-PINOT', quantity: 3 },
      { sku: 'GLASS-BURGUNDY', quantity: 1 },
      { sku: 'OIL-OLIVE', quantity: 2 },
    ],
    outcome: [
      { supplier: 'prompt', lines: { 'WINE-PINOT': 3 } },
      { supplier: 'parcels', lines: { 'GLASS-BURGUNDY': 1, 'OIL-OLIVE': 2 } },
    ],
  },
  {
    title: 'A line that is split, because nobody has enough in stock',
    customer: customers.berlin,
    lines: [{ sku: 'CORKSCREW', quantity: 5 }],
    outcome: [
      { supplier: 'prompt', lines: { CORKSCREW: 2 } },
      { supplier: 'parcels', lines: { CORKSCREW: 3 } },
    ],
  },
  {
    title: 'A purchase order that comes in two parcels',
    customer: customers.brno,
    lines: [{ sku: 'GLASS-BURGUNDY', quantity: 2 }],
    outcome: [{ supplier: 'parcels', lines: { 'GLASS-BURGUNDY': 2 } }],
  },
  {
    title: 'Rejected by the cheapest supplier, sent to another',
    customer: customers.berlin,
    lines: [{ sku: 'KNIFE-CHEF', quantity: 1 }],
    outcome: [
      { supplier: 'moody', lines: { 'KNIFE-CHEF': 1 } },
      { supplier: 'prompt', lines: { 'KNIFE-CHEF': 1 } },
    ],
  },
  {
    title: 'One line back-ordered and sent to another supplier, one shipped',
    customer: customers.wien,
    lines: [
      { sku: 'MILL-PEPPER', quantity: 1 },
      { sku: 'APRON-LINEN', quantity: 2 },
    ],
    outcome: [
      { supplier: 'moody', lines: { 'MILL-PEPPER': 1, 'APRON-LINEN': 2 } },
      { supplier: 'parcels', lines: { 'MILL-PEPPER': 1 } },
    ],
  },
  {
    title: 'A line that nobody delivers to the country of the order',
    customer: customers.roma,
    lines: [
      { sku: 'APRON-LINEN', quantity: 1 },
      { sku: 'WINE-PINOT', quantity: 6 },
    ],
    outcome: [{ supplier: 'moody', lines: { 'APRON-LINEN': 1 } }],
    undeliverable: { 'WINE-PINOT': 6 },
  },
  {
    title: 'An order that nobody can deliver',
    customer: customers.roma,
    lines: [{ sku: 'GLASS-BURGUNDY', quantity: 1 }],
    outcome: [],
    undeliverable: { 'GLASS-BURGUNDY': 1 },
  },
];
