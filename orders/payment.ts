import { createHash } from 'node:crypto';
import { addressContent, type Address } from './address.ts';
import type { Money } from './money.ts';

/** Bills that the ERP says are due and that Dropline has reserved for one payment run. */
export interface Payables {
  type: 'payables';
  id: string;
  erp: string;
  bills: Payable[];
}

export interface Payable {
  /** `Bill.id` */
  bill: string;
  supplier: string;
  number: string;
  orderId: string;
  purchaseOrder: string;
  /** What the ERP says is still open. */
  amount: Money;
  dueAt: string;
  /** What the ERP calls the bill. */
  erpBillId: string;
}

/** Several payments to one bank at once, approved as a whole. */
export interface PaymentRun {
  type: 'payment-run';
  /** At most 30 characters of `[A-Za-z0-9-]`: it is the MsgId of the file. */
  id: string;
  /** Reference of the bank account. */
  account: string;
  createdAt: string;
  createdBy: string;
  currency: string;
  total: Money;
  payments: Payment[];
  /** SHA-256 of the payments; an approval is good for this content only. */
  contentHash: string;
  state: PaymentRunState;
  /** How many different people must approve it. */
  approvalsNeeded: number;
  approvals: { by: string; at: string }[];
  sentAt?: string;
  /** When the bank is to execute it, YYYY-MM-DD. */
  executeOn?: string;
}

export type PaymentRunState = 'waiting-for-approval' | 'approved' | 'sent' | 'refused';

/** Money to one supplier for one bill. `id` is `pay/<supplier>/<bill number>`: switching accounts must not pay twice. */
export interface Payment {
  type: 'payment';
  id: string;
  /** At most 35 characters, unique for ever. */
  endToEndId: string;
  run: string;
  bill: string;
  billNumber: string;
  supplier: string;
  erp: string;
  erpBillId: string;
  orderId: string;
  amount: Money;
  beneficiary: Beneficiary;
  state: PaymentState;
  /** Why the bank rejected or returned it. */
  reason?: string;
  settledAt?: string;
}

/** reserved, sent, accepted (on its way), then paid; or rejected, returned; unclear needs a person. */
export type PaymentState = 'reserved' | 'sent' | 'accepted' | 'paid' | 'rejected' | 'returned' | 'unclear';

/** Where a supplier's money goes: one version of it. Never taken from a message, only from the ledger. */
export interface Beneficiary {
  supplier: string;
  /** Counts from 1. */
  version: number;
  name: string;
  iban: string;
  bic?: string;
  address: Address;
}

/** What a bank says of one payment, in our words. */
export interface PaymentStatus {
  endToEndId: string;
  state: 'accepted' | 'paid' | 'rejected' | 'returned' | 'unclear';
  /** The bank's own code, such as `ACSC` or `AC04`. */
  code: string;
  reason?: string;
  at: string;
}

/** The payment of a bill: `pay/<supplier>/<bill number>`. One bill has one payment, whatever account pays it. */
export function paymentId(bill: { supplier: string; number: string }): string {
  return `pay/${bill.supplier}/${bill.number.trim()}`;
}

/**
 * The reference that the bank carries to the supplier and back: at most 35 characters that every bank accepts, no slash at either end,
 * no two in a row (a rule of the SEPA credit transfer). It follows from the payment id alone: `vineyard/INV-5`, or
 * a readable beginning and a hash when the bill's number is long or holds other characters. Two ids never differ in case only.
 * `attempt` counts from 1: a payment that is made anew after the bank rejected it needs a new reference.
 */
export function endToEndId(payment: string, attempt = 1): string {
  const [, supplier = '', number = ''] = /^pay\/([^/]*)\/(.*)$/s.exec(payment) ?? [];
  const plain = `${supplier}/${number}`;
  // One slash and no small letters after it: never equal to the other form, which has two.
  if (attempt === 1 && plain.length <= 35 && /^[a-z][a-z0-9-]*\/[A-Z0-9][A-Z0-9.-]*$/.test(plain)) return plain;
  const begin = (text: string) => text.replace(/[^A-Za-z0-9.-]/g, '').slice(0, 8) || 'X';
  return `${begin(supplier)}/${begin(number)}/${hash16(JSON.stringify([payment, attempt]))}`;
}

/** 80 bits of SHA-256 in capitals and digits: banks and people may change the case of letters. */
function hash16(text: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  const digest = createHash('sha256').update(text).digest();
  return Array.from({ length: 16 }, (_, index) => {
    const bit = index * 5;
    const word = ((digest[bit >> 3] ?? 0) << 8) | (digest[(bit >> 3) + 1] ?? 0);
    return alphabet[(word >> (11 - (bit & 7))) & 31];
  }).join('');
}

/**
 * SHA-256 (hex) of what an approval is given for: the account, the day, and to whom each payment goes (the beneficiary's version and
 * bank details), how much, for which bill. States and the order of the payments do not count.
 */
export function runContentHash(
  run: Pick<PaymentRun, 'id' | 'account' | 'currency' | 'total' | 'payments' | 'executeOn'>,
): string {
  const payments = run.payments
    .map((payment) => ({
      id: payment.id,
      endToEndId: payment.endToEndId,
      bill: payment.bill,
      billNumber: payment.billNumber,
      supplier: payment.supplier,
      erp: payment.erp,
      erpBillId: payment.erpBillId,
      amount: [payment.amount.minor, payment.amount.currency],
      beneficiary: {
        supplier: payment.beneficiary.supplier,
        version: payment.beneficiary.version,
        name: payment.beneficiary.name,
        iban: payment.beneficiary.iban,
        bic: payment.beneficiary.bic ?? '',
        address: addressContent(payment.beneficiary.address),
      },
    }))
    .sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
  const content = {
    id: run.id,
    account: run.account,
    currency: run.currency,
    total: [run.total.minor, run.total.currency],
    executeOn: run.executeOn ?? '',
    payments,
  };
  return createHash('sha256').update(JSON.stringify(content)).digest('hex');
}

/** Where each piece of news leads; news that is not listed is older than what we know and changes nothing. */
const NEXT: Record<PaymentState, Partial<Record<PaymentState, PaymentState>>> = {
  reserved: {
    sent: 'sent',
    accepted: 'accepted',
    paid: 'paid',
    rejected: 'rejected',
    returned: 'returned',
    unclear: 'unclear',
  },
  sent: { accepted: 'accepted', paid: 'paid', rejected: 'rejected', returned: 'returned', unclear: 'unclear' },
  accepted: { paid: 'paid', rejected: 'rejected', returned: 'returned', unclear: 'unclear' },
  unclear: { accepted: 'accepted', paid: 'paid', rejected: 'rejected', returned: 'returned' },
  // A bank that takes back "paid" or "rejected" contradicts itself; a rejected bill may have been paid anew: a person must look.
  paid: { returned: 'returned', rejected: 'unclear' },
  rejected: { paid: 'unclear', returned: 'returned' },
  returned: {},
};

/** The state of a payment after news of it: forward only. News that is late or repeated changes nothing. */
export function forwardPaymentState(current: PaymentState, next: PaymentState): PaymentState {
  return NEXT[current][next] ?? current;
}
