import { money, sum } from '../../orders/money.ts';
import { runContentHash, type Payment, type PaymentRun } from '../../orders/payment.ts';
import type { AdapterSettings } from '../../partners/adapter.ts';
import type { FileSettings } from '../../partners/bank/pain001.ts';

/** IBANs of banks' manuals. */
export const OWN_IBAN = 'DE89370400440532013000';

export const fileSettings: FileSettings = {
  account: {
    name: 'Kitchen & Cellar GmbH',
    iban: 'DE89 3704 0044 0532 0130 00',
    bic: 'COBADEFFXXX',
    address: {
      name: 'Kitchen & Cellar GmbH',
      street: 'Hauptstraße',
      postalCode: '10115',
      city: 'Berlin',
      country: 'DE',
    },
  },
  buildingNumber: '12a',
  characterSet: 'sepa',
};

export function bankSettings(change: Partial<AdapterSettings> = {}): AdapterSettings {
  return {
    reference: 'bank',
    baseUrl: 'http://127.0.0.1:1',
    options: {
      accountName: 'Kitchen & Cellar GmbH',
      iban: OWN_IBAN,
      bic: 'COBADEFFXXX',
      street: 'Hauptstraße',
      buildingNumber: '12a',
      postalCode: '10115',
      city: 'Berlin',
      country: 'DE',
      settleSeconds: 0,
    },
    credentials: { apiKey: 'test-key', webhookSecret: 'test-webhook-secret' },
    ...change,
  };
}

type Change = Partial<Omit<Payment, 'beneficiary'>> & {
  beneficiary?: Partial<Omit<Payment['beneficiary'], 'address'>>;
  address?: Partial<Payment['beneficiary']['address']>;
};

export function payment(number: number, { beneficiary, address, ...change }: Change = {}): Payment {
  return {
    type: 'payment',
    id: `pay/vineyard/INV-${number}`,
    endToEndId: `vineyard/INV-${number}`,
    run: 'RUN-1',
    bill: `vineyard/INV-${number}`,
    billNumber: `INV-${number}`,
    supplier: 'vineyard',
    erp: 'erp-main',
    erpBillId: String(number),
    orderId: 'shop-1001',
    amount: money(2920, 'EUR'),
    state: 'reserved',
    ...change,
    beneficiary: {
      supplier: 'vineyard',
      version: 1,
      name: 'Château du Prêt & Fils',
      iban: 'FR1420041010050500013M02606',
      ...beneficiary,
      address: {
        name: 'x',
        street: '5 rue de l’Église',
        postalCode: '33000',
        city: 'Bordeaux',
        country: 'FR',
        ...address,
      },
    },
  };
}

/** An approved run whose sums and hash fit. */
export function run(payments: Payment[] = [payment(1), payment(2)], change: Partial<PaymentRun> = {}): PaymentRun {
  const currency = change.currency ?? payments[0]?.amount.currency ?? 'EUR';
  const made: PaymentRun = {
    type: 'payment-run',
    id: 'RUN-1',
    account: 'bank',
    createdAt: '2026-11-20T09:00:00.000Z',
    createdBy: 'anna',
    currency,
    total: sum(
      payments.map(({ amount }) => amount),
      currency,
    ),
    payments,
    contentHash: '',
    state: 'approved',
    approvalsNeeded: 1,
    approvals: [{ by: 'ben', at: '2026-11-20T10:00:00.000Z' }],
    ...change,
  };
  return { ...made, contentHash: runContentHash(made) };
}
