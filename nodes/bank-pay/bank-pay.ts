import type { NodeAPI, NodeDef } from 'node-red';
import { getDocument } from '../../ledger/documents.ts';
import { createRun, markRunSent, refuseRun } from '../../ledger/payments.ts';
import { asError, BusinessRefusal } from '../../orders/errors.ts';
import { parseMoney } from '../../orders/money.ts';
import { runContentHash, type Payables, type PaymentRun } from '../../orders/payment.ts';
import { chosenPartner, partnerLedger } from '../choices.ts';
import { registerDocumentNode, type DocumentNode, type Payload } from '../document-node.ts';
import { emitThroughStep } from '../receive-node.ts';

interface Config extends NodeDef {
  account: string;
  approvals: string | number;
  limit: string;
}

const WAITING = 0;
const SENT = 1;
const REFUSED = 2;

/** Makes a payment run of due bills, waits for its approval, and hands it to the bank. */
export default function (RED: NodeAPI): void {
  const ledger = (red: NodeAPI, config: Config) => partnerLedger(red, 'bank', config.account);

  /** Due bills come in: the run is written down, checked, and waits for people. */
  const propose: DocumentNode<Payables, Config> = {
    accepts: ['payables'],
    ledger,
    async run({ payload: payables, config, ledger: book, eventId, once }) {
      const bank = chosenPartner(RED, 'bank', config.account);
      const { result } = await once<{ run: PaymentRun | null }>({
        kind: 'pay-run',
        document: payables.id,
        orderId: undefined,
        content: payables.bills,
        *decide() {
          const currency = payables.bills[0]?.amount.currency ?? 'EUR';
          const made = yield* createRun(book.core, eventId, payables, {
            reference: bank.reference,
            approvalsNeeded: Number(config.approvals) === 2 ? 2 : 1,
            limit: config.limit ? parseMoney(config.limit, currency) : undefined,
          });
          if (!made.run || made.run.state === 'refused') return made;
          const reason = whyUnwritable(() => bank.adapter().check(made.run!));
          return reason === undefined ? made : { run: yield* refuseRun(book.core, made.run, eventId, reason) };
        },
      });
      if (!result.run) return undefined;
      return { port: result.run.state === 'refused' ? REFUSED : WAITING, payload: result.run };
    },
  };

  /** A person has decided: an approved run goes to the bank, once. */
  const pay: DocumentNode<Payload, Config> = {
    accepts: ['payment-run'],
    ledger,
    async run({ payload, config, ledger: book, operation }) {
      const run = payload as PaymentRun;
      if (run.state === 'refused') return { port: REFUSED, payload: run };
      const bank = chosenPartner(RED, 'bank', config.account);
      await operation({
        kind: 'pay-send',
        partner: bank,
        document: run.id,
        orderId: undefined,
        content: run.contentHash,
        *guard() {
          const known = yield* getDocument('payment-run', run.id);
          if (!known || (known.state !== 'approved' && known.state !== 'sent'))
            throw new BusinessRefusal('RUN_NOT_APPROVED', `Payment run ${run.id} is not approved.`);
          if (runContentHash(run) !== known.contentHash)
            throw new BusinessRefusal('RUN_CHANGED', `Payment run ${run.id} is not what was approved. It is not sent.`);
        },
        call: (write) => bank.adapter().submit(run, write),
        record: () => markRunSent(book.core, run),
      });
      return { port: SENT, payload: { ...run, state: 'sent' } };
    },
  };

  registerDocumentNode<Payables, Config>(RED, 'bank-pay', propose, {
    kind: 'run-decision',
    partner: (red, config) => chosenPartner(red, 'bank', config.account).reference,
    emit: (node, config, event, emits) => emitThroughStep(RED, node, config, pay, event, emits),
  });
}

function whyUnwritable(check: () => void): string | undefined {
  try {
    check();
    return undefined;
  } catch (thrown) {
    if (thrown instanceof BusinessRefusal) return thrown.message;
    throw asError(thrown);
  }
}
