import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import helper from 'node-red-node-test-helper';
import should from 'should';
import { getDocument } from '../../ledger/documents.ts';
import { approveBeneficiary, proposeBeneficiary } from '../../ledger/beneficiaries.ts';
import { decideRun } from '../../ledger/payments.ts';
import type { Payables, Payment, PaymentRun } from '../../orders/payment.ts';
import { suppliers } from '../../sandbox/catalogue.ts';
import { isPlainJson, shippedRoute, startBench, until, type Bench, type TestNode } from './harness.ts';

const ENDS = ['entered', 'due', 'waiting', 'sent', 'refused', 'paid', 'rejected', 'all', 'caught'];

/** From the order to the paid supplier in one tab. */
function flow(pay: Record<string, unknown> = {}): TestNode[] {
  return [
    { id: 'in', type: 'ecommerce-receive', platform: 'dl-shop', pollMinutes: 0, wires: [['order'], [], [], []] },
    { id: 'order', type: 'erp-create-order', erp: 'dl-erp', wires: [['route']] },
    { ...shippedRoute(), id: 'route', wires: [['po'], []] },
    { id: 'po', type: 'erp-create-po', erp: 'dl-erp', wires: [['send']] },
    { id: 'send', type: 'supplier-send', supplier: '', ledger: 'dl-ledger', wires: [[]] },
    {
      id: 'answers',
      type: 'supplier-receive',
      supplier: '',
      ledger: 'dl-ledger',
      pollMinutes: 0,
      wires: [[], ['receive'], [], ['match'], [], []],
    },
    { id: 'receive', type: 'erp-complete', erp: 'dl-erp', wires: [['shop']] },
    { id: 'shop', type: 'ecommerce-complete', platform: '', ledger: 'dl-ledger', wires: [[]] },
    {
      id: 'match',
      type: 'erp-bill',
      erp: 'dl-erp',
      priceTolerance: '0',
      amountTolerance: '0',
      wires: [['entered'], []],
    },
    { id: 'ask', type: 'erp-payables', erp: 'dl-erp', dailyAt: '', dueWithinDays: 30, wires: [['pay', 'due']] },
    {
      id: 'pay',
      type: 'bank-pay',
      account: 'dl-bank',
      approvals: 2,
      limit: '',
      ...pay,
      wires: [['waiting'], ['sent'], ['refused']],
    },
    {
      id: 'report',
      type: 'bank-receive',
      account: 'dl-bank',
      pollMinutes: 0,
      wires: [['paid', 'done'], ['rejected'], []],
    },
    { id: 'done', type: 'order-when', ledger: 'dl-ledger', condition: 'paid', purpose: '', wires: [['all']] },
    { id: 'problems', type: 'catch', scope: null, uncaught: false, wires: [['caught']] },
    ...ENDS.map((id) => ({ id, type: 'helper' })),
  ];
}

describe('the nodes of payment', () => {
  let bench: Bench;
  beforeEach(async () => {
    bench = await startBench({ speed: 30 });
  });
  afterEach(() => bench.close());

  const first = <Payload>(id: string): Promise<Payload> =>
    until(`a message at ${id}`, () => bench.messages(id)[0]?.payload as Payload);
  const executed = () => bench.sandbox.world.effects.filter(({ operation }) => operation === 'payment.execute');

  async function approveAccount(name: keyof typeof suppliers): Promise<void> {
    const { core } = await bench.ledger();
    const { company, iban, bic, address } = suppliers[name];
    const { version } = await proposeBeneficiary(core, { supplier: name, name: company, iban, bic, address }, 'anna');
    await approveBeneficiary(core, name, version, 'bert', { waitingTime: 0, fourEyes: true });
  }

  async function decide(run: PaymentRun, by: string, decision: 'approved' | 'refused' = 'approved'): Promise<void> {
    const ledger = await bench.ledger();
    await decideRun(ledger.core, { run: run.id, decision, by, contentHash: run.contentHash });
    ledger.dispatcher.wake();
  }

  async function known(run: string): Promise<PaymentRun> {
    return (await (await bench.ledger()).transact('test', () => getDocument('payment-run', run)))!;
  }

  async function billEntered(): Promise<string> {
    const id = await bench.place({ 'WINE-PINOT': 2 });
    await first('entered');
    return id;
  }

  const askWhatIsDue = () => helper.getNode('ask').receive({ payload: 'now' } as never);

  it('pay a bill after two people have approved it, to the cent and once, and tell the ERP', async () => {
    await bench.load(flow());
    await approveAccount('prompt');
    const id = await billEntered();
    askWhatIsDue();
    should(await first<Payables>('due')).match({
      type: 'payables',
      bills: [{ supplier: 'prompt', number: `INV-${id}-1` }],
    });
    const run = await first<PaymentRun>('waiting');
    should(run).match({ state: 'waiting-for-approval', approvalsNeeded: 2, total: { minor: 2530, currency: 'EUR' } });
    await decide(run, 'anna');
    await until('the first approval', async () => (await known(run.id)).approvals.length === 1);
    await should(decide(run, 'anna')).be.rejectedWith(/anna has made or approved payment run/);
    should((await known(run.id)).state).equal('waiting-for-approval');
    should(readdirSync(bench.bankFolder).filter((name) => name.endsWith('.xml'))).have.length(0);
    should(bench.messages('sent')).have.length(0);
    await decide(run, 'bert');
    should((await first<PaymentRun>('sent')).state).equal('sent');
    const payment = await first<Payment>('paid');
    should(payment).match({ state: 'paid', billNumber: `INV-${id}-1`, amount: { minor: 2530, currency: 'EUR' } });
    await first('all');
    should(executed().map(({ detail }) => detail)).match([{ amount: '25.30', iban: suppliers.prompt.iban }]);
    should(bench.sandbox.world.effects.filter(({ operation }) => operation === 'payment.create')).have.length(1);
    should((await bench.order(id)).progress.paid.reached).be.true();
    // Asked again, nothing is due, and no message goes out.
    askWhatIsDue();
    await until('the second question', () => bench.done('ask').times === 2);
    await until('everything quiet', async () => (await bench.ledger()).dispatcher.load().inWork === 0);
    should(bench.messages('due')).have.length(1);
    should(executed()).have.length(1);
    for (const end of ENDS) for (const message of bench.messages(end)) should(isPlainJson(message)).be.true();
    should(bench.messages('caught')).have.length(0);
    should(bench.done('ask')).deepEqual({ times: 2, errors: [] });
  });

  it('send a run over its limit, and one that a person refuses, to the third output, and pay nothing', async () => {
    await bench.load(flow({ limit: '20.00' }));
    await approveAccount('prompt');
    await billEntered();
    askWhatIsDue();
    should((await first<PaymentRun>('refused')).state).equal('refused');
    should((await bench.exceptions()).map(({ code }) => code)).containEql('RUN_REFUSED');
    // The limit is raised, the bill is due again; now a person says no.
    await bench.deploy(flow());
    askWhatIsDue();
    const run = await first<PaymentRun>('waiting');
    await decide(run, 'bert', 'refused');
    await until('the refusal', () => bench.messages('refused').length === 2);
    should(bench.messages('sent')).have.length(0);
    should(executed()).have.length(0);
    should(readdirSync(join(bench.bankFolder))).not.containEql(`${run.id}.xml`);
  });

  it('do not pay a supplier without an approved account, and say so to a person', async () => {
    await bench.load(flow());
    await billEntered();
    askWhatIsDue();
    await until('the exception', async () =>
      (await bench.exceptions()).some(({ code }) => code === 'BENEFICIARY_MISSING'),
    );
    should(bench.messages('waiting')).have.length(0);
    // Once the account is there the bill is taken into the next run.
    await approveAccount('prompt');
    askWhatIsDue();
    should((await first<PaymentRun>('waiting')).payments).have.length(1);
    should((await bench.exceptions()).map(({ code }) => code)).not.containEql('BENEFICIARY_MISSING');
  });

  it("read the bank's report from a file that the flow has read, and repeat nothing for a second copy", async () => {
    const reports: string[] = [];
    await bench.load(flow({ approvals: 1 }), {
      'dl-bank': { credentials: { webhookSecret: 'another one, so that what the bank posts is not believed' } },
    });
    await approveAccount('prompt');
    await billEntered();
    askWhatIsDue();
    await decide(await first<PaymentRun>('waiting'), 'anna');
    const run = await first<PaymentRun>('sent');
    await until('the bank', () => executed().length === 1);
    const [payment] = run.payments;
    reports.push(report(run.id, payment!.endToEndId));
    for (const text of [...reports, ...reports])
      helper.getNode('report').receive({ payload: text, filename: 'report.xml' } as never);
    should(await first<Payment>('paid')).match({ state: 'paid', endToEndId: payment!.endToEndId });
    await until('everything quiet', async () => (await bench.ledger()).dispatcher.load().inWork === 0);
    should(bench.messages('paid')).have.length(1);
    should(bench.done('report')).deepEqual({ times: 2, errors: [] });
    // What is no report at all is an error for the flow's author.
    helper.getNode('report').receive({ payload: 'no XML' } as never);
    const caught = await until('the error at Catch', () => bench.messages('caught')[0]);
    should((caught as { error?: { code?: string } }).error?.code).equal('BODY_UNREADABLE');
    should(bench.done('report').times).equal(3);
  });
});

function report(run: string, payment: string): string {
  return `<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"><CstmrPmtStsRpt>
<GrpHdr><MsgId>STS-1</MsgId><CreDtTm>2026-11-23T10:00:00Z</CreDtTm></GrpHdr>
<OrgnlGrpInfAndSts><OrgnlMsgId>${run}</OrgnlMsgId><OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId></OrgnlGrpInfAndSts>
<OrgnlPmtInfAndSts><OrgnlPmtInfId>${run}</OrgnlPmtInfId>
<TxInfAndSts><OrgnlEndToEndId>${payment}</OrgnlEndToEndId><TxSts>ACSC</TxSts></TxInfAndSts>
</OrgnlPmtInfAndSts></CstmrPmtStsRpt></Document>`;
}
