import { openAllocations } from '../ledger/allocations.ts';
import { putOffers } from '../ledger/routing.ts';
import { allocate } from '../orders/allocation.ts';
import { isCountry } from '../orders/countries.ts';
import { BusinessRefusal } from '../orders/errors.ts';
import { describeMoney } from '../orders/money.ts';
import { parseQuantity } from '../orders/quantity.ts';
import type { NodeAPI } from 'node-red';
import type { AdminRoutes } from './admin-routes.ts';
import { fileOfLedger, ledgerOf } from './configs.ts';
import type { DropshipMessage } from './document-node.ts';
import { offersOf, readOffer, supplierTerms } from './offers.ts';
import type { RouteConfig } from './supplier-route/supplier-route.ts';

/** Offers that are kept in the ledger, and a routing to try. */
export function addRoutingRoutes({ RED, ask, change, ledger }: AdminRoutes): void {
  // It changes nothing, but it reads the file that the dialog names: for people who may edit flows.
  ask('route/dry-run', 'flows.write', (request) => dryRun(RED, request.body ?? {}));
  change('suppliers/:supplier/offers', 'dropship.offers.replace', async (request) => {
    const supplier = request.params['supplier'] ?? '';
    const rows = request.body?.['offers'];
    if (!Array.isArray(rows)) {
      throw new BusinessRefusal(
        'OFFERS_INVALID',
        'Send {"offers": [...]} with all offers of the supplier; the ones of before are replaced.',
      );
    }
    const offers = rows.map((row: object, index) => readOffer({ ...row, supplier }, `offers[${index}]`));
    const book = await ledger(request);
    await book.transact('offers', () => putOffers(supplier, offers, book.core.now()));
    return { supplier, offers: offers.length };
  });
}

/** What `supplier-route` would decide for an order, with the settings of an edit dialog that need not be deployed. */
async function dryRun(
  RED: NodeAPI,
  body: Record<string, unknown>,
): Promise<{ sentences: string[]; total: string; exact: boolean }> {
  const config = body as unknown as RouteConfig;
  if (config.source === 'message') {
    throw new BusinessRefusal(
      'NOTHING_TO_TRY',
      'The offers come with the message, so there are none to try with. Choose the table for a while.',
    );
  }
  const ledger = await ledgerOf(RED, config.ledger);
  const offers = await offersOf(config, {} as DropshipMessage, ledger);
  const lines = Array.isArray(body['lines']) ? (body['lines'] as { sku?: unknown; quantity?: unknown }[]) : [];
  const country = String(body['country'] ?? '').toUpperCase();
  if (!isCountry(country))
    throw new BusinessRefusal('ADDRESS_WITHOUT_COUNTRY', 'Enter the country of the order, two letters such as DE.');
  if (lines.length === 0) throw new BusinessRefusal('ORDER_WITHOUT_LINES', 'Enter at least one SKU with its quantity.');
  const allocation = allocate({
    lines: lines.map((line, index) => ({
      orderLine: String(index + 1),
      sku: String(line.sku ?? ''),
      quantity: parseQuantity(line.quantity),
    })),
    shipTo: { country },
    offers,
    suppliers: supplierTerms(fileOfLedger(RED, config.ledger)),
    openAllocations: await ledger.transact('view', () => openAllocations(offers, ledger.core.now(), false)),
    excluded: [],
    rules: config.rules ?? [],
    strategy: config.strategy || 'cheapest',
    wholeUnits: config.wholeUnits !== false,
  });
  return {
    sentences: allocation.explanation.map((line) => `${lines[Number(line.line) - 1]?.sku as string}: ${line.sentence}`),
    total: describeMoney(allocation.totalCost),
    exact: allocation.exact,
  };
}
