import { readFile, stat } from 'node:fs/promises';
import type { Ledger } from '../ledger/ledger.ts';
import { storedOffers } from '../ledger/routing.ts';
import type { SupplierTerms } from '../orders/allocation.ts';
import { ConfigurationMistake } from '../orders/errors.ts';
import { money, parseMoney, type Money } from '../orders/money.ts';
import type { Offer } from '../orders/offer.ts';
import { readOffersCsv } from '../orders/offers-csv.ts';
import { parseQuantity } from '../orders/quantity.ts';
import { partnersOf, type PartnerConfig, type PartnerNode } from './configs.ts';
import type { DropshipMessage } from './document-node.ts';

/** Where a `supplier-route` node takes its offers from. */
export interface OfferSource {
  source: 'table' | 'file' | 'message' | 'ledger';
  offers: OfferRow[];
  file: string;
}

/** A row of the table in the edit dialog: everything is text. */
export interface OfferRow {
  supplier: string;
  sku: string;
  supplierSku?: string;
  unitCost: string;
  currency: string;
  stock?: string;
  leadTimeDays?: string | number;
  countries?: string;
  minimumQuantity?: string;
}

/**
 * The offers as they stand now. They are kept for the next order: nobody changes them.
 * @throws ConfigurationMistake `OFFERS_MISSING`, `OFFERS_INVALID`
 */
export async function offersOf(config: OfferSource, msg: DropshipMessage, ledger: Ledger): Promise<Offer[]> {
  switch (config.source) {
    case 'file':
      return offersOfFile(config.file);
    case 'message': {
      const offers = msg['offers'];
      if (!Array.isArray(offers)) {
        throw new ConfigurationMistake(
          'OFFERS_MISSING',
          'The node takes its offers from msg.offers, but the message has none. Put a node before it that sets msg.offers to a list.',
          { status: 'no offers' },
        );
      }
      return offers.map((row: unknown, index) => readOffer(row, `msg.offers[${index}]`));
    }
    case 'ledger':
      return ledger.core.read(storedOffers);
    default:
      return offersOfTable(config.offers ?? []);
  }
}

/** Tables that were read before. A deploy brings another table. */
const tables = new WeakMap<OfferRow[], Offer[]>();

function offersOfTable(rows: OfferRow[]): Offer[] {
  const known = tables.get(rows);
  if (known) return known;
  const offers = rows.map((row, index) => readOffer(row, `Row ${index + 1} of the table`));
  tables.set(rows, offers);
  return offers;
}

const byArticle = new WeakMap<Offer[], Map<string, Offer[]>>();

/** The offers for the articles of some lines: an assortment is large, an order is small. */
export function offersFor(lines: readonly { sku: string }[], offers: Offer[]): Offer[] {
  const articles = byArticle.get(offers) ?? groupByArticle(offers);
  byArticle.set(offers, articles);
  return [...new Set(lines.map(({ sku }) => sku))].flatMap((sku) => articles.get(sku) ?? []);
}

function groupByArticle(offers: Offer[]): Map<string, Offer[]> {
  const articles = new Map<string, Offer[]>();
  for (const offer of offers) {
    const found = articles.get(offer.sku);
    if (found) found.push(offer);
    else articles.set(offer.sku, [offer]);
  }
  return articles;
}

/** Files by path; read again when they change. A file that is just being written keeps the offers of before. */
const files = new Map<string, { stamp: string; offers: Offer[] }>();

async function offersOfFile(path: string): Promise<Offer[]> {
  const known = files.get(path);
  try {
    const { mtimeMs, size } = await stat(path);
    const stamp = `${mtimeMs} ${size}`;
    if (known?.stamp === stamp) return known.offers;
    const { offers, problems } = readOffersCsv(await readFile(path, 'utf8'));
    const [problem] = problems;
    if (problem)
      throw new ConfigurationMistake('OFFERS_INVALID', `${path}, line ${problem.line}: ${problem.problem}`, {
        status: 'offers invalid',
      });
    files.set(path, { stamp, offers });
    return offers;
  } catch (cause) {
    if (cause instanceof ConfigurationMistake) throw cause;
    throw new ConfigurationMistake(
      'OFFERS_MISSING',
      `The file of offers "${path}" cannot be read. Check its path and rights.`,
      { status: 'no offers', cause },
    );
  }
}

/** A row of a table or of `msg.offers`: texts as a person types them, or an offer as the code has it. */
export function readOffer(row: unknown, where: string): Offer {
  const fields = (typeof row === 'object' && row !== null ? row : {}) as Record<string, unknown>;
  const text = (name: string) => {
    const value = fields[name];
    return typeof value === 'string' || typeof value === 'number' ? String(value).trim() : '';
  };
  try {
    if (!text('supplier') || !text('sku')) throw new Error('supplier and sku are needed.');
    const cost = fields['unitCost'];
    const unitCost =
      typeof cost === 'object' && cost !== null
        ? money(Number((cost as Money).minor), String((cost as Money).currency))
        : parseMoney(text('unitCost'), text('currency') || 'EUR');
    const countries = Array.isArray(fields['countries']) ? fields['countries'].map(String) : listOf(text('countries'));
    return {
      supplier: text('supplier'),
      sku: text('sku'),
      ...(text('supplierSku') ? { supplierSku: text('supplierSku') } : {}),
      unitCost,
      ...(text('stock') ? { stock: stockOf(text('stock')) } : {}),
      ...(text('leadTimeDays') ? { leadTimeDays: Number(text('leadTimeDays')) } : {}),
      ...(countries.length > 0 ? { countries } : {}),
      ...(text('minimumQuantity') ? { minimumQuantity: parseQuantity(text('minimumQuantity')) } : {}),
    };
  } catch (cause) {
    throw new ConfigurationMistake('OFFERS_INVALID', `${where}: ${(cause as Error).message}`, {
      status: 'offers invalid',
      cause,
    });
  }
}

/** Unlike an ordered quantity, a stock may be zero. */
function stockOf(text: string): string {
  return /^0+(\.0+)?$/.test(text) ? '0' : parseQuantity(text);
}

/** What routing must know of the suppliers that are configured on this ledger. */
export function supplierTerms(ledgerFile: string): SupplierTerms[] {
  return partnersOf(ledgerFile, 'supplier').map((supplier) => {
    const known = terms.get(supplier);
    if (known) return known;
    const read = termsOf(supplier.reference, supplier.settings);
    terms.set(supplier, read);
    return read;
  });
}

/** Read once for each config node: a deploy that changes one makes it anew. */
const terms = new WeakMap<PartnerNode, SupplierTerms>();

function termsOf(reference: string, config: PartnerConfig): SupplierTerms {
  const text = (name: string) => String(config[name] ?? '').trim();
  const currency = text('currency') || 'EUR';
  const amount = (name: string) => parseMoney(text(name) || '0', currency);
  return {
    supplier: reference,
    name: String(config.name || reference),
    priority: Number(text('priority') || 10),
    countries: listOf(text('countries')),
    shippingCost: amount('shippingCost'),
    handlingCost: amount('handlingCost'),
    ...(text('freeShippingFrom') ? { freeShippingFrom: amount('freeShippingFrom') } : {}),
    ...(text('minimumOrder') ? { minimumOrder: amount('minimumOrder') } : {}),
    ...(text('leadTimeDays') ? { leadTimeDays: Number(text('leadTimeDays')) } : {}),
    ...(text('openOrderLimit') ? { openOrderLimit: Number(text('openOrderLimit')) } : {}),
  };
}

function listOf(text: string): string[] {
  return text
    .split(/[\s,;]+/)
    .map((item) => item.trim().toUpperCase())
    .filter(Boolean);
}
