import { electronicFormatIBAN, isValidIBAN } from 'ibantools';
import { approveBeneficiary, beneficiaries, proposeBeneficiary } from '../ledger/beneficiaries.ts';
import { getDocument } from '../ledger/documents.ts';
import { decideRun } from '../ledger/payments.ts';
import { runList } from '../ledger/views.ts';
import { BusinessRefusal } from '../orders/errors.ts';
import { found, limitOf, type AdminRequest, type AdminRoutes } from './admin-routes.ts';

/** Milliseconds between the approval of a changed bank account and its first use; `settings.dropship.beneficiaryWait` (hours) changes it. */
const BENEFICIARY_WAIT = 24 * 3_600_000;

/** Payment runs and their approval; suppliers' bank accounts, which need two people. */
export function addPaymentRoutes({ settings, development, read, change, ledger, view }: AdminRoutes): void {
  read('runs', (request) => view(request, () => runList(limitOf(request))));
  read('runs/:id', async (request) =>
    found(await view(request, () => getDocument('payment-run', request.params['id'] ?? '')), 'payment run'),
  );
  read('suppliers/:supplier/beneficiary', (request) =>
    view(request, () => beneficiaries(request.params['supplier'] ?? '')),
  );

  const decide = (decision: 'approved' | 'refused') => async (request: AdminRequest, by: string) => {
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
