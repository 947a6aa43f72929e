import should from 'should';
import { putDocument, getDocument, documentState, setDocumentState } from '../../ledger/documents.ts';
import type { Emit } from '../../ledger/events.ts';
import {
  askPayables,
  createRun,
  decideRun,
  getPayment,
  markBillPaid,
  markRunSent,
  reservePayables,
} from '../../ledger/payments.ts';
import {
  activeBeneficiary,
  approveBeneficiary,
  beneficiaries,
  proposeBeneficiary,
} from '../../ledger/beneficiaries.ts';
import type { Payables, PaymentRun, PaymentStatus } from '../../orders/payment.ts';
import type { ErpPayable } from '../../partners/erp/port.ts';
import { bill, eur, order, purchaseOrder, address } from '../orders/samples.ts';
import {
  bench,
  bindAll,
  events,
  exceptionOf,
  fact,
  openCodes,
  receive,
  rejection,
  within,
  START,
  type Bench,
} from './harness.ts';

const HOUR = 3_600_000;
const IBAN = 'AT611904300234573201';
const OTHER_IBAN = 'DE89370400440532013000';

describe('payments', () => {
  let at: Bench;
  let emitted: { outcome: string; payload: Record<string, unknown> }[];
  let question: number;

  beforeEach(async () => {
    at = await bench({ quietTime: 1000 });
    emitted = [];
    question = 0;
    await bindAll(at.ledger);
    for (const kind of ['payables-asked', 'payment-status', 'run-decision']) {
      receive(at.ledger, kind, (_event, emits: Emit[]) =>
        emits.forEach((emit) => emitted.push({ outcome: emit.outcome, payload: emit.payload })),
      );
    }
    await at.ledger.start();
    await within(at.ledger, function* () {
      yield* putDocument(order(), START, 'taken');
      yield* putDocument(purchaseOrder({ state: 'shipped' }), START);
    });
  });
  afterEach(() => at.close());

  /** A bill that was matched and entered in the ERP. */
  const enter = (number: string, amount = '58.30', supplier = 'vineyard') =>
    within(at.ledger, () =>
      putDocument(
        bill({
          id: `${supplier}/${number}`,
          supplier,
          number,
          total: eur(amount),
          erp: { partner: 'erp-main', id: `erp-${number}`, number: `ERP/${number}` },
        }),
        START,
        'entered',
      ),
    );
  const payable = (number: string, amount = '58.30'): ErpPayable => ({
    erpBillId: `erp-${number}`,
    billNumber: number,
    open: eur(amount),
    dueAt: '2026-11-22',
  });

  /** Somebody asks what is due, and the ERP answers. */
  async function reserve(...due: ErpPayable[]): Promise<{ payables: Payables; eventId: string }> {
    question += 1;
    await askPayables(at.ledger.core, 'erp-main', `question ${question}`);
    at.ledger.dispatcher.wake();
    await at.clock.settle();
    const asked = (await events(at.ledger)).filter((event) => event.kind === 'payables-asked').at(-1)!;
    const payables = await within(at.ledger, () =>
      reservePayables(at.ledger.core, asked.id, `erp-main-${asked.id}`, 'erp-main', due),
    );
    return { payables, eventId: asked.id };
  }

  async function run(
    reserved: { payables: Payables; eventId: string },
    account: Partial<Parameters<typeof createRun>[3]> = {},
  ): Promise<PaymentRun | null> {
    const made = await at.ledger.effects.once<{ run: PaymentRun | null }>({
      eventId: reserved.eventId,
      orderId: undefined,
      kind: 'pay-run',
      document: reserved.payables.id,
      content: reserved.payables.bills,
      decide: () =>
        createRun(at.ledger.core, reserved.eventId, reserved.payables, {
          reference: 'bank-main',
          approvalsNeeded: 1,
          limit: undefined,
          ...account,
        }),
    });
    return made.result.run;
  }

  async function trust(supplier = 'vineyard', iban = IBAN, waitingTime = 0): Promise<void> {
    const proposed = await proposeBeneficiary(at.ledger.core, { supplier, name: supplier, iban, address }, 'ann');
    await approveBeneficiary(at.ledger.core, supplier, proposed.version, 'ben', { waitingTime, fourEyes: true });
  }

  async function decide(
    made: PaymentRun,
    by: string,
    decision: 'approved' | 'refused' = 'approved',
    more: object = {},
  ): Promise<string | undefined> {
    const code = await rejection(
      decideRun(at.ledger.core, { run: made.id, decision, by, contentHash: made.contentHash, ...more }),
    );
    at.ledger.dispatcher.wake();
    await at.clock.settle();
    return code;
  }
  const stateOf = (made: PaymentRun) => within(at.ledger, () => documentState('payment-run', made.id));

  async function sent(...numbers: string[]): Promise<PaymentRun> {
    const made = (await run(await reserve(...numbers.map((number) => payable(number)))))!;
    await decide(made, 'cy');
    await within(at.ledger, () => markRunSent(at.ledger.core, made));
    return made;
  }

  let reports = 0;
  async function report(
    made: PaymentRun,
    payments: (Pick<PaymentStatus, 'endToEndId' | 'state'> & { code?: string })[],
    all?: PaymentStatus['state'],
  ): Promise<void> {
    reports += 1;
    const full = payments.map((each) => ({ code: 'XXXX', at: '2026-11-23', ...each }));
    await fact(at.ledger, 'bank-main', 'payment-status', `report ${reports}`, {
      run: made.id,
      payments: full,
      ...(all ? { all: { state: all, code: 'ALL', at: '2026-11-23' } } : {}),
    });
    await at.clock.settle();
  }
  const paymentState = async (endToEnd: string) => (await within(at.ledger, () => getPayment(endToEnd)))?.state;

  describe('reservation', () => {
    it('two triggers at once reserve a bill once', async () => {
      await enter('INV-5');
      const [one, two] = await Promise.all([reserve(payable('INV-5')), reserve(payable('INV-5'))]);
      [one, two]
        .map((each) => each.payables.bills.length)
        .sort()
        .should.deepEqual([0, 1]);
      (await reserve(payable('INV-5'))).payables.bills.should.deepEqual([]);
    });

    it('bills that were not entered by us, are not in the ERP yet or belong to another ERP are not paid', async () => {
      await enter('INV-5');
      await within(at.ledger, () =>
        putDocument(
          bill({ id: 'vineyard/INV-6', number: 'INV-6', erp: { partner: 'erp-main', id: 'erp-INV-6', number: '6' } }),
          START,
          'mismatch',
        ),
      );
      await within(at.ledger, () =>
        putDocument(
          bill({ id: 'vineyard/INV-7', number: 'INV-7', erp: { partner: 'erp-other', id: 'erp-INV-7', number: '7' } }),
          START,
          'entered',
        ),
      );
      const { payables } = await reserve(payable('INV-1'), payable('INV-5'), payable('INV-6'), payable('INV-7'));
      payables.bills.map((each) => each.number).should.deepEqual(['INV-5']);
    });

    it('an open amount that is not the billed one is not paid but for a person, until they agree', async () => {
      await enter('INV-5');
      (await reserve(payable('INV-5', '58.29'))).payables.bills.should.deepEqual([]);
      (await openCodes(at.ledger)).should.deepEqual(['OPEN_AMOUNT_DIFFERS']);
      (await reserve(payable('INV-5'))).payables.bills.length.should.equal(1);
      (await openCodes(at.ledger)).should.deepEqual([]);
    });

    it('a bill without an approved account is given back, told, and paid in a later run once there is one', async () => {
      await enter('INV-5');
      should(await run(await reserve(payable('INV-5')))).be.null();
      (await openCodes(at.ledger)).should.deepEqual(['BENEFICIARY_MISSING']);
      await trust();
      const made = await run(await reserve(payable('INV-5')));
      made!.payments.length.should.equal(1);
      (await openCodes(at.ledger)).should.deepEqual([]);
    });

    it('bills of another currency wait for a run of their own', async () => {
      await trust();
      await enter('INV-5');
      const usd = { minor: 900, currency: 'USD' };
      await within(at.ledger, () =>
        putDocument(
          bill({
            id: 'vineyard/INV-6',
            number: 'INV-6',
            total: usd,
            currency: 'USD',
            erp: { partner: 'erp-main', id: 'erp-INV-6', number: '6' },
          }),
          START,
          'entered',
        ),
      );
      const made = await run(await reserve(payable('INV-5'), { ...payable('INV-6'), open: usd }));
      made!.payments.map((each) => each.billNumber).should.deepEqual(['INV-5']);
      (await openCodes(at.ledger)).should.deepEqual(['CURRENCY_MISMATCH']);
      const second = await run(await reserve(payable('INV-5'), { ...payable('INV-6'), open: usd }));
      second!.total.should.deepEqual(usd);
      (await openCodes(at.ledger)).should.deepEqual([]);
    });

    it('reserved bills of which the flow makes no run are told', async () => {
      await trust();
      await enter('INV-5');
      await enter('INV-6');
      await run(await reserve(payable('INV-6')));
      await reserve(payable('INV-5'));
      await at.clock.advance(HOUR + 1000);
      (await openCodes(at.ledger)).should.deepEqual(['NOT_PROGRESSING']);
      (await exceptionOf(at.ledger, 'NOT_PROGRESSING')).message.should.match(/INV-5/);
    });

    it('a run over the limit is refused and its bills are free again', async () => {
      await trust();
      await enter('INV-5');
      const made = await run(await reserve(payable('INV-5')), { limit: eur('50.00') });
      made!.state.should.equal('refused');
      (await openCodes(at.ledger)).should.deepEqual(['RUN_REFUSED']);
      (await reserve(payable('INV-5'))).payables.bills.length.should.equal(1);
    });

    it('a second bank account that is wired to the same bills gets the first run, and pays nothing', async () => {
      await trust();
      await enter('INV-5');
      const reserved = await reserve(payable('INV-5'));
      const first = await run(reserved);
      const second = await run(reserved, { reference: 'bank-other' });
      second!.should.deepEqual(first);
      second!.account.should.equal('bank-main');
    });
  });

  describe('approval', () => {
    let made: PaymentRun;
    const prepare = async (approvalsNeeded: number) => {
      await trust();
      await enter('INV-5');
      made = (await run(await reserve(payable('INV-5')), { approvalsNeeded }))!;
    };

    it('one other person is enough where one is asked for', async () => {
      await prepare(1);
      should(await decide(made, 'cy')).be.undefined();
      should(await stateOf(made)).equal('approved');
      emitted.at(-1)!.outcome.should.equal('approved');
    });

    it('its creator cannot approve it', async () => {
      await prepare(1);
      should(await decide(made, 'dropline')).equal('APPROVER_IS_CREATOR');
      should(await stateOf(made)).equal('waiting-for-approval');
    });

    it('two means two different people', async () => {
      await prepare(2);
      await decide(made, 'cy');
      should(await stateOf(made)).equal('waiting-for-approval');
      should(await decide(made, 'cy')).equal('APPROVER_IS_CREATOR');
      should(await stateOf(made)).equal('waiting-for-approval');
      await decide(made, 'di');
      should(await stateOf(made)).equal('approved');
      emitted.filter((each) => each.outcome === 'approved').length.should.equal(1);
    });

    it('the same person is not two people by deciding twice before the first decision is judged', async () => {
      await prepare(2);
      const decision = { run: made.id, decision: 'approved' as const, by: 'cy', contentHash: made.contentHash };
      await Promise.allSettled([
        decideRun(at.ledger.core, { ...decision, reason: 'looks right' }),
        decideRun(at.ledger.core, { ...decision, reason: 'really' }),
      ]);
      at.ledger.dispatcher.wake();
      await at.clock.settle();
      should(await stateOf(made)).equal('waiting-for-approval');
      (await within(at.ledger, () => getDocument('payment-run', made.id)))!.approvals.length.should.equal(1);
    });

    it('is good only for what was looked at', async () => {
      await prepare(1);
      should(await decide({ ...made, contentHash: 'another' }, 'cy')).equal('RUN_CHANGED');
      const manipulated = {
        ...made,
        payments: made.payments.map((each) => ({ ...each, beneficiary: { ...each.beneficiary, iban: OTHER_IBAN } })),
      };
      await within(at.ledger, () => putDocument(manipulated, START));
      should(await decide(made, 'cy')).equal('RUN_CHANGED');
      should(await stateOf(made)).equal('waiting-for-approval');
    });

    it('a refusal frees the bills; a decision after it comes too late', async () => {
      await prepare(2);
      await decide(made, 'cy');
      await decide(made, 'di', 'refused', { reason: 'wrong supplier' });
      should(await stateOf(made)).equal('refused');
      should(await decide(made, 'ed')).equal('RUN_NOT_WAITING');
      (await exceptionOf(at.ledger, 'RUN_REFUSED')).message.should.match(/wrong supplier/);
      (await reserve(payable('INV-5'))).payables.bills.length.should.equal(1);
    });

    it('an approval and a refusal at the same moment: one of them counts', async () => {
      await prepare(1);
      const base = { run: made.id, contentHash: made.contentHash };
      await Promise.all([
        decideRun(at.ledger.core, { ...base, decision: 'approved', by: 'cy' }),
        decideRun(at.ledger.core, { ...base, decision: 'refused', by: 'di' }),
      ]);
      at.ledger.dispatcher.wake();
      await at.clock.settle();
      emitted.filter((each) => each.outcome === 'approved' || each.outcome === 'refused').length.should.equal(1);
    });
  });

  describe('what the bank reports', () => {
    beforeEach(async () => {
      await trust();
      for (const number of ['INV-5', 'INV-6', 'INV-7']) await enter(number);
    });

    it('paid is told once, however often it is reported, and earlier news after it changes nothing', async () => {
      const made = await sent('INV-5');
      const endToEndId = made.payments[0]!.endToEndId;
      await report(made, [{ endToEndId, state: 'accepted' }]);
      await report(made, [{ endToEndId, state: 'paid' }]);
      await report(made, [{ endToEndId, state: 'paid' }]);
      await report(made, [{ endToEndId, state: 'accepted' }]);
      emitted.filter((each) => each.outcome === 'paid').length.should.equal(1);
      should(await paymentState(endToEndId)).equal('paid');
    });

    it('a report that came before our own record of sending is not taken back by it', async () => {
      const made = (await run(await reserve(payable('INV-5'))))!;
      await decide(made, 'cy');
      await report(made, [], 'paid');
      await within(at.ledger, () => markRunSent(at.ledger.core, made));
      should(await paymentState(made.payments[0]!.endToEndId)).equal('paid');
    });

    it('a mixed report: what it says of one payment goes before what it says of all', async () => {
      const made = await sent('INV-5', 'INV-6', 'INV-7');
      const [one, two, three] = made.payments.map((each) => each.endToEndId);
      await report(
        made,
        [
          { endToEndId: two!, state: 'rejected' },
          { endToEndId: 'foreign', state: 'paid' },
        ],
        'paid',
      );
      [await paymentState(one!), await paymentState(two!), await paymentState(three!)].should.deepEqual([
        'paid',
        'rejected',
        'paid',
      ]);
      emitted
        .filter((each) => each.outcome === 'paid' || each.outcome === 'rejected')
        .map((each) => each.outcome)
        .sort()
        .should.deepEqual(['paid', 'paid', 'rejected']);
    });

    it('a rejected payment is released, told, and paid anew under another end-to-end id; then nothing is left to settle', async () => {
      const first = await sent('INV-5');
      await report(first, [{ endToEndId: first.payments[0]!.endToEndId, state: 'rejected' }]);
      (await openCodes(at.ledger)).should.deepEqual(['PAYMENT_REJECTED']);
      const second = await sent('INV-5');
      second.payments[0]!.endToEndId.should.not.equal(first.payments[0]!.endToEndId);
      second.payments[0]!.id.should.equal(first.payments[0]!.id);
      await report(second, [{ endToEndId: second.payments[0]!.endToEndId, state: 'paid' }]);
      (await openCodes(at.ledger)).should.deepEqual([]);
      (await reserve(payable('INV-5'))).payables.bills.should.deepEqual([]);
    });

    it('late news of a rejected payment does not free the bill that a newer run is paying', async () => {
      const first = await sent('INV-5');
      const endToEndId = first.payments[0]!.endToEndId;
      await report(first, [{ endToEndId, state: 'rejected' }]);
      await sent('INV-5');
      await report(first, [{ endToEndId, state: 'returned' }]);
      (await reserve(payable('INV-5'))).payables.bills.should.deepEqual([]);
    });

    it('a bank that contradicts itself is for a person, and nothing is paid again', async () => {
      const made = await sent('INV-5');
      const endToEndId = made.payments[0]!.endToEndId;
      await report(made, [{ endToEndId, state: 'paid' }]);
      await report(made, [{ endToEndId, state: 'rejected' }]);
      (await openCodes(at.ledger)).should.deepEqual(['PAYMENT_UNCLEAR']);
      (await reserve(payable('INV-5'))).payables.bills.should.deepEqual([]);
      await report(made, [{ endToEndId, state: 'paid' }]);
      (await openCodes(at.ledger)).should.deepEqual([]);
    });

    it('money that came back after it was paid can be paid anew once the ERP says that the bill is open', async () => {
      const made = await sent('INV-5');
      const endToEndId = made.payments[0]!.endToEndId;
      await report(made, [{ endToEndId, state: 'paid' }]);
      await within(at.ledger, () => markBillPaid(at.ledger.core, 'vineyard/INV-5'));
      (await reserve(payable('INV-5'))).payables.bills.should.deepEqual([]);
      await report(made, [{ endToEndId, state: 'returned' }]);
      (await openCodes(at.ledger)).should.deepEqual(['PAYMENT_REJECTED']);
      const again = await sent('INV-5');
      again.payments[0]!.endToEndId.should.not.equal(endToEndId);
    });

    it('a payment in a report that is not in the run is for a person, and the others count', async () => {
      const made = await sent('INV-5');
      const { endToEndId } = made.payments[0]!;
      await report(made, [
        { endToEndId, state: 'paid' },
        { endToEndId: 'somebody-elses', state: 'paid' },
      ]);
      (await openCodes(at.ledger)).should.deepEqual(['PAYMENT_UNKNOWN']);
      should(await paymentState(endToEndId)).equal('paid');
    });

    it('a report on a run of another account, or on none of ours, is for a person', async () => {
      const made = await sent('INV-5');
      await report({ ...made, id: 'run-foreign' }, [], 'paid');
      (await openCodes(at.ledger)).should.deepEqual(['RUN_UNKNOWN']);
      should(await paymentState(made.payments[0]!.endToEndId)).equal('sent');
    });
  });

  describe("suppliers' bank accounts", () => {
    it('are usable only after another person approved them and the waiting time has passed', async () => {
      const active = () => within(at.ledger, () => activeBeneficiary('vineyard', at.clock.now()));
      const rules = { waitingTime: 24 * HOUR, fourEyes: true };
      const first = await proposeBeneficiary(
        at.ledger.core,
        { supplier: 'vineyard', name: 'Vineyard', iban: IBAN, address },
        'ann',
      );
      should(await active()).be.undefined();
      should(await rejection(approveBeneficiary(at.ledger.core, 'vineyard', first.version, 'ann', rules))).equal(
        'APPROVER_IS_CREATOR',
      );
      await approveBeneficiary(at.ledger.core, 'vineyard', first.version, 'ben', rules);
      should(await rejection(approveBeneficiary(at.ledger.core, 'vineyard', first.version, 'cy', rules))).equal(
        'BENEFICIARY_UNKNOWN',
      );
      should(await active()).be.undefined();
      at.clock.time += 24 * HOUR;
      should((await active())?.iban).equal(IBAN);
    });

    it('a change leaves the old account in force until it is usable, and runs that were made before it as they are', async () => {
      await trust('vineyard', IBAN);
      await enter('INV-5');
      await enter('INV-6');
      const before = (await run(await reserve(payable('INV-5'))))!;
      await trust('vineyard', OTHER_IBAN, 24 * HOUR);
      const meanwhile = (await run(await reserve(payable('INV-6'))))!;
      meanwhile.payments[0]!.beneficiary.iban.should.equal(IBAN);
      at.clock.time += 24 * HOUR;
      await decide(before, 'cy');
      (await within(at.ledger, () =>
        getDocument('payment-run', before.id),
      ))!.payments[0]!.beneficiary.version.should.equal(1);
      (await within(at.ledger, () => beneficiaries('vineyard')))
        .map((each) => `${each.version} ${each.state}`)
        .should.deepEqual(['1 approved', '2 approved']);
    });

    it('simultaneous proposals get versions of their own', async () => {
      const all = await Promise.all(
        ['a', 'b', 'c'].map((by) =>
          proposeBeneficiary(at.ledger.core, { supplier: 'vineyard', name: by, iban: IBAN, address }, by),
        ),
      );
      all
        .map((each) => each.version)
        .sort()
        .should.deepEqual([1, 2, 3]);
    });
  });

  it('a bill that is paid is never reserved again', async () => {
    await enter('INV-5');
    await within(at.ledger, () => setDocumentState('bill', 'vineyard/INV-5', 'paid', START));
    (await reserve(payable('INV-5'))).payables.bills.should.deepEqual([]);
  });
});
