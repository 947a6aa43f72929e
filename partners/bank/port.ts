import type { Address } from '../../orders/address.ts';
import type { PaymentRun, PaymentStatus } from '../../orders/payment.ts';
import type { ConnectionTest, InboundFact, InboundRequest, Patience } from '../adapter.ts';
import type { Json, Writer } from '../write.ts';

/** Our own account at the bank, from the config node. */
export interface OrderingAccount {
  name: string;
  iban: string;
  bic?: string;
  address?: Address;
}

/** A bank account that suppliers are paid from. */
export interface Bank extends Patience {
  readonly product: string;

  testConnection(): Promise<ConnectionTest>;

  /**
   * Checks that the run can be written at all (addresses, lengths, characters, amounts), before anybody is asked to approve it. Pure.
   * @throws BusinessRefusal that names the payment and what is missing
   */
  check(run: PaymentRun): void;

  /** Hands the approved run to the bank: exactly the content whose hash was approved. */
  submit(run: PaymentRun, write: Writer): Promise<Record<string, Json>>;

  /** A status report that was posted to us. Authentic or refused, as for the other partners. */
  receive(request: InboundRequest): InboundFact<'payment-status'>[];

  /** Status reports that wait in a folder or at the bank, oldest first. `done` is called once they are stored. */
  poll?(
    cursor: string | undefined,
  ): Promise<{ facts: InboundFact<'payment-status'>[]; cursor: string; more: boolean; done?: () => Promise<void> }>;

  /** What the report says, most detailed level first. `run` is our MsgId. Pure. */
  readStatus(body: unknown): { run: string; all?: Omit<PaymentStatus, 'endToEndId'>; payments: PaymentStatus[] };
}
