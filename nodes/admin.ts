import { electronicFormatIBAN, isValidIBAN } from 'ibantools';
import type { NodeAPI } from 'node-red';
import { openAllocations } from '../ledger/allocations.ts';
import { allocate } from '../orders/allocation.ts';
import { isCountry } from '../orders/countries.ts';
import { describeMoney } from '../orders/money.ts';
import { parseQuantity } from '../orders/quantity.ts';
import { approveBeneficiary, beneficiaries, proposeBeneficiary } from '../ledger/beneficiaries.ts';
import { decideRun } from '../ledger/payments.ts';
import { exceptions } from '../ledger/exceptions.ts';
import { putOffers } from '../ledger/routing.ts';
import { effectList, openWork, orderList, orderView, runList } from '../ledger/views.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Transaction } from '../ledger/store.ts';
import { getDocument } from '../ledger/documents.ts';
import { asError, BusinessRefusal, DroplineError } from '../orders/errors.ts';
import { products } from './catalogue.ts';
import { fileOfLedger, ledgerOf, type PartnerNode } from './configs.ts';
import type { DropshipMessage } from './document-node.ts';
import { offersOf, readOffer, supplierTerms } from './offers.ts';
import type { RouteConfig } from './supplier-route/supplier-route.ts';

/** Milliseconds between the approval of a changed bank account and its first use; `settings.dropship.beneficiaryWait` (hours) changes it. */
const BENEFICIARY_WAIT = 24 * 3_600_000;

interface Settings {
  adminAuth?: unknown;
  dropship?: { development?: boolean; beneficiaryWait?: number };
}

interface Request {
  params: Record<string, string>;
  query: Record<string, string | undefined>;
  body: Record<string, unknown> | undefined;
  user?: { username?: string };
}

interface Response {
  status(code: number): Response;
  json(body: unknown): void;
}

type Handler = (request: Request, response: Response) => void;

const installed = new WeakSet<object>();

/**
 * The admin routes, each with its own permission. Those that change something refuse to work when Node-RED has no admin
 * login, because then anybody who reaches the port could approve payments; `dropship: { development: true }` in the
 * settings file lifts that on a developer's machine.
 */
export function installAdmin(RED: NodeAPI): void {
  const admin = RED.httpAdmin as unknown as
    { get(path: string, ...handlers: unknown[]): void; post(path: string, ...handlers: unknown[]): void } | undefined;
  if (!admin || installed.has(admin)) return;
  installed.add(admin);
  const settings = RED.settings as unknown as Settings;
  const development = settings.dropship?.development === true;

  const read = (path: string, handler: (request: Request) => Promise<unknown>) =>
    admin.get(`/dropship/${path}`, RED.auth.needsPermission('dropship.read'), answering(handler));
  const change = (path: string, permission: string, handler: (request: Request, by: string) => Promise<unknown>) =>
    admin.post(
      `/dropship/${path}`,
      RED.auth.needsPermission(permission),
      answering((request) => {
        if (!settings.adminAuth && !development) {
          throw new BusinessRefusal(
            'LOGIN_REQUIRED',
            'Node-RED has no admin login, so nobody can be held to this. Set adminAuth in the settings file.',
          );
        }
        const by = request.user?.username;
        // Where adminAuth has a `default` user, somebody who has not logged in gets this far and is nobody.
        if (settings.adminAuth && !by) {
          throw new BusinessRefusal('LOGIN_REQUIRED', "Log in to Node-RED first: this is done in somebody's name.");
        }
        return handler(request, by ?? 'development');
      }),
    );
  const ledger = (request: Request) => ledgerOf(RED, request.query['ledger']);
  const view = async <Result>(request: Request, work: () => Transaction<Result>) =>
    (await ledger(request)).transact('view', work);

  read('catalogue', async () => products());
  read('orders', (request) => view(request, () => orderList(limitOf(request))));
  read('orders/:id', async (request) =>
    found(await view(request, () => orderView(request.params['id'] ?? '')), 'order'),
  );
  read('effects', (request) =>
    view(request, () => effectList(request.query['order'] ? { orderId: request.query['order'] } : {})),
  );
  read('work', async (request) => {
    const book: Ledger = await ledger(request);
    return { events: await book.transact('view', openWork), ...book.dispatcher.load() };
  });
  read('exceptions', (request) =>
    view(request, () => exceptions(request.query['state'] === 'settled' ? { state: 'settled' } : { state: 'open' })),
  );
  read('runs', (request) => view(request, () => runList(limitOf(request))));
  read('runs/:id', async (request) =>
    found(await view(request, () => getDocument('payment-run', request.params['id'] ?? '')), 'payment run'),
  );
  read('suppliers/:supplier/beneficiary', (request) =>
    view(request, () => beneficiaries(request.params['supplier'] ?? '')),
  );
  read('partners/:id/test', async (request) => {
    const partner = RED.nodes.getNode(request.params['id'] ?? '') as PartnerNode | null;
    if (typeof partner?.testConnection !== 'function')
      throw new BusinessRefusal('NOT_FOUND', 'This config node is not deployed yet. Deploy, then test.');
    return partner.testConnection();
  });

  // It changes nothing, but it reads the file that the dialog names: for people who may edit flows.
  admin.post(
    '/dropship/route/dry-run',
    RED.auth.needsPermission('flows.write'),
    answering((request) => dryRun(RED, request.body ?? {})),
  );
  change('exceptions/:id/retry', 'dropship.exception.settle', async (request, by) => {
    await (await ledger(request)).retryException(request.params['id'] ?? '', by);
    return { settled: request.params['id'] };
  });
  change('exceptions/:id/settle', 'dropship.exception.settle', async (request, by) => {
    const how = typeof request.body?.['how'] === 'string' ? request.body['how'].slice(0, 500) : 'Settled by hand.';
    await (await ledger(request)).settleException(request.params['id'] ?? '', by, how);
    return { settled: request.params['id'] };
  });
  const decide = (decision: 'approved' | 'refused') => async (request: Request, by: string) => {
    const book = await ledger(request);
    const run = await book.transact('view', () => getDocument('payment-run', request.params['id'] ?? ''));
    const reason = request.body?.['reason'];
    await decideRun(book.core, {
      run: request.params['id'] ?? '',
      decision,
      by,
      // What the person saw; a caller that names no hash decides about the run as it stands.
      contentHash: String(request.body?.['contentHash'] ?? run?.contentHash ?? ''),
      ...(typeof reason === 'string' ? { reason } : {}),
    });
    book.dispatcher.wake();
    return { run: request.params['id'], decision, by };
  };
  change('runs/:id/approve', 'dropship.payment.approve', decide('approved'));
  change('runs/:id/refuse', 'dropship.payment.approve', decide('refused'));

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
  change('suppliers/:supplier/beneficiary', 'dropship.beneficiary.propose', async (request, by) => {
    const book = await ledger(request);
    return proposeBeneficiary(book.core, readBeneficiary(request.params['supplier'] ?? '', request.body ?? {}), by);
  });
  change('suppliers/:supplier/beneficiary/:version/approve', 'dropship.beneficiary.approve', async (request, by) => {
    const book = await ledger(request);
    const hours = settings.dropship?.beneficiaryWait;
    return approveBeneficiary(book.core, request.params['supplier'] ?? '', Number(request.params['version']), by, {
      waitingTime: development ? 0 : hours === undefined ? BENEFICIARY_WAIT : hours * 3_600_000,
      fourEyes: !development,
    });
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

/** Express does not catch what an asynchronous handler throws: here it becomes an answer, never a crash. */
function answering(handler: (request: Request) => Promise<unknown>): Handler {
  return (request, response) => {
    Promise.resolve()
      .then(() => handler(request))
      .then(
        (result) => response.json(result),
        (thrown: unknown) => {
          const error = asError(thrown);
          const code = error instanceof DroplineError ? error.code : 'UNEXPECTED';
          response
            .status(STATUS[code] ?? (error instanceof DroplineError ? 409 : 500))
            .json({ error: { code, message: error.message } });
        },
      )
      .catch(() => undefined);
  };
}

const STATUS: Record<string, number> = {
  LOGIN_REQUIRED: 403,
  NOT_FOUND: 404,
  RUN_UNKNOWN: 404,
  EXCEPTION_UNKNOWN: 404,
  BENEFICIARY_UNKNOWN: 404,
  BENEFICIARY_INVALID: 400,
  OFFERS_INVALID: 400,
};

function found<Item>(item: Item | undefined, what: string): Item {
  if (item === undefined) throw new BusinessRefusal('NOT_FOUND', `There is no such ${what}.`);
  return item;
}

function limitOf(request: Request): number {
  const limit = Number(request.query['limit']);
  return Number.isInteger(limit) && limit > 0 ? Math.min(limit, 1000) : 100;
}

function readBeneficiary(supplier: string, body: Record<string, unknown>) {
  const text = (name: string) => (typeof body[name] === 'string' ? body[name].trim() : '');
  const iban = electronicFormatIBAN(text('iban'));
  if (!iban || !isValidIBAN(iban))
    throw new BusinessRefusal('BENEFICIARY_INVALID', "The IBAN is not valid. Compare it with the supplier's letter.");
  for (const field of ['name', 'street', 'city', 'country']) {
    if (!text(field))
      throw new BusinessRefusal(
        'BENEFICIARY_INVALID',
        `"${field}" is missing: banks refuse payments without a structured address.`,
      );
  }
  return {
    supplier,
    name: text('name'),
    iban,
    ...(text('bic') ? { bic: text('bic') } : {}),
    address: {
      name: text('name'),
      street: text('street'),
      ...(text('postalCode') ? { postalCode: text('postalCode') } : {}),
      city: text('city'),
      country: text('country').toUpperCase(),
    },
  };
}
