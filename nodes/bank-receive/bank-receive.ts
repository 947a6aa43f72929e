import type { NodeAPI, NodeDef } from 'node-red';
import { markBillPaid } from '../../ledger/payments.ts';
import type { Payment } from '../../orders/payment.ts';
import { statusReportKey } from '../../partners/bank/pain002.ts';
import { decodeXml } from '../../partners/xml.ts';
import { chosenPartner, partnerLedger } from '../choices.ts';
import { fileOfNode, partnerByReference } from '../configs.ts';
import { registerReceiveNode } from '../receive-node.ts';

interface Config extends NodeDef {
  account: string;
  pollMinutes: string | number;
}

const PAID = 0;
const REJECTED = 1;

/** What the bank reports: payments are settled, and the ERP is told what is paid. */
export default function (RED: NodeAPI): void {
  registerReceiveNode<'bank', Config>(RED, 'bank-receive', {
    section: 'bank',
    kinds: ['payment-status'],
    partners: (red, config) => {
      const chosen = chosenPartner(red, 'bank', config.account);
      return { chosen, all: [chosen] };
    },
    ledger: (red, config) => partnerLedger(red, 'bank', config.account),
    receive: (bank, request) => bank.adapter().receive(request),
    poll: (bank) => {
      const adapter = bank.adapter();
      return adapter.poll ? { name: 'status', fetch: (cursor) => adapter.poll!(cursor) } : undefined;
    },
    pollMinutes: (config) => Number(config.pollMinutes),
    fromFlow: (_bank, payload) => {
      const body = Buffer.isBuffer(payload) ? decodeXml(payload) : String(payload);
      return [{ kind: 'payment-status', dedupeKey: statusReportKey(body), body }];
    },
    ports: { paid: PAID, rejected: REJECTED },
    replyPort: 2,
    step: {
      accepts: ['payment'],
      async run({ payload, config, ledger, operation }) {
        const payment = payload as Payment;
        if (payment.state !== 'paid') return { port: REJECTED, payload: payment };
        const erp = partnerByReference(fileOfNode(RED, config.account), payment.erp, 'erp');
        await operation({
          kind: 'pay-register',
          partner: erp,
          document: payment.endToEndId,
          orderId: payment.orderId,
          content: { bill: payment.bill, amount: payment.amount },
          call: (write) => erp.adapter().registerPayment(payment, write),
          record: () => markBillPaid(ledger.core, payment.bill),
        });
        return { port: PAID, payload: payment };
      },
    },
  });
}
