import type { Bill } from '../orders/bill.ts';
import { BusinessRefusal, ConfigurationMistake } from '../orders/errors.ts';
import { describeMoney, sameMoney, sum, type Money } from '../orders/money.ts';
import {
  endToEndId,
  forwardPaymentState,
  paymentId,
  runContentHash,
  type Payable,
  type Payables,
  type Payment,
  type PaymentRun,
  type PaymentStatus,
} from '../orders/payment.ts';
import type { ErpPayable } from '../partners/erp/port.ts';
import { activeBeneficiary } from './beneficiaries.ts';
import type { Core } from './core.ts';
import { expectStep, stepCame } from './deadlines.ts';
import type { Judgement } from './dispatcher.ts';
import { documentState, getDocument, putDocument, setDocumentState } from './documents.ts';
import { insertEvent, type Emit, type LedgerEvent } from './events.ts';
import { raise, settle } from './exceptions.ts';
import { note } from './history.ts';
import type { LedgerPartner } from './partners.ts';
import { query, queryOne, type Transaction } from './store.ts';

/** Milliseconds until a bill is due that does not say when. */
const USUAL_TERM = 30 * 86_400_000;

/** A bill that was entered must be paid, where payments are made from here: it is told before it is late. */
export function* expectPayment(core: Core, bill: Bill): Transaction<void> {
  if (!(yield* queryOne(`SELECT reference FROM partner WHERE role = 'bank' LIMIT 1`))) return;
  const now = core.now();
  const due = Date.parse(bill.dueAt ?? '') || now + USUAL_TERM;
  const { reserve, run } = core.settings.deadlines;
  const what = `Bill ${bill.id} is due soon and has not been taken into a payment run.`;
  yield* expectStep(`due ${bill.id}`, what, Math.max(due - reserve, now + run), bill.orderId);
}

/** A person or a schedule asks what is due: an event, so that a crash in the middle forgets nothing. */
export function askPayables(core: Core, erp: string, question: string): Promise<string | undefined> {
  return core.transact('ask payables', () =>
    insertEvent(core, { partner: erp, kind: 'payables-asked', dedupeKey: `payables:${question}`, body: { question } }),
  );
}

/**
 * The question's id becomes the run's, and so the MsgId at the bank: at most 30 characters with `run-`, never twice there. Events are counted
 * anew in a new ledger, so the second of the question stands in it as well.
 */
export function judgePayables(event: LedgerEvent): Judgement {
  const id = `${event.partner.slice(0, 8)}-${Math.floor(event.storedAt / 1000).toString(36)}-${event.id}`;
  return { verdict: 'emit', emits: [{ outcome: 'asked', payload: { type: 'payables-question', id } }] };
}

/**
 * Reserves what the ERP says is due: a bill that the ledger has matched and entered, with the amount that was billed, and
 * that no live payment has yet. Bills that people entered in the ERP by hand are not ours to pay.
 */
export function* reservePayables(
  core: Core,
  eventId: string,
  id: string,
  erp: string,
  due: readonly ErpPayable[],
): Transaction<Payables> {
  const now = core.now();
  const bills: Payables['bills'] = [];
  for (const payable of due) {
    const bill = yield* findBill(erp, payable);
    if (!bill) continue;
    if (bill.total.minor !== payable.open.minor || bill.total.currency !== payable.open.currency) {
      yield* raise(now, {
        subject: `bill ${bill.id}`,
        code: 'OPEN_AMOUNT_DIFFERS',
        message: `The ERP says that ${describeMoney(payable.open)} of bill ${bill.number} of ${bill.supplier} are open, but ${describeMoney(bill.total)} were billed. Pay it by hand or correct the ERP.`,
        orderId: bill.orderId,
        eventId,
      });
      continue;
    }
    const payment = paymentId(bill);
    const reserved = yield* queryOne(
      `INSERT INTO reservation (bill, payment, event_id, live, reserved_at) VALUES (?, ?, ?, 1, ?) ON CONFLICT (bill) WHERE live = 1 DO NOTHING RETURNING bill`,
      bill.id,
      payment,
      Number(eventId),
      now,
    );
    if (!reserved) continue;
    yield* stepCame(`due ${bill.id}`, now);
    bills.push({
      bill: bill.id,
      supplier: bill.supplier,
      number: bill.number,
      orderId: bill.orderId,
      purchaseOrder: bill.purchaseOrder,
      amount: bill.total,
      dueAt: payable.dueAt,
      erpBillId: payable.erpBillId,
    });
    yield* settle(
      now,
      { subject: `bill ${bill.id}`, code: 'OPEN_AMOUNT_DIFFERS' },
      'dropline',
      'The amounts agree now.',
    );
    yield* note(now, { orderId: bill.orderId, eventId, what: 'payment reserved', subject: bill.id });
  }
  if (bills.length > 0)
    yield* expectStep(
      `run ${id}`,
      `Bills that are due (${bills.map((each) => each.number).join(', ')}) have been reserved, but no payment run was made of them.`,
      now + core.settings.deadlines.run,
    );
  return { type: 'payables', id, erp, bills };
}

function* findBill(erp: string, payable: ErpPayable) {
  const rows = yield* query<{ id: string }>(
    `SELECT id FROM document WHERE kind = 'bill' AND state = 'entered' AND (CAST(? AS TEXT) IS NULL OR order_id = (SELECT order_id FROM document WHERE kind = 'purchase-order' AND id = ?))`,
    payable.purchaseOrder,
    payable.purchaseOrder,
  );
  for (const row of rows) {
    const bill = yield* getDocument('bill', row.id);
    if (bill?.erp?.partner === erp && bill.erp.id === payable.erpBillId) return bill;
  }
  return undefined;
}

/**
 * Makes the payment run for reserved bills, to the beneficiaries that are in force now. Bills that cannot be paid are given
 * back with an exception. A second bank account that is wired to the same bills gets the first one's run.
 */
export function* createRun(
  core: Core,
  eventId: string,
  payables: Payables,
  account: { reference: string; approvalsNeeded: number; limit: Money | undefined },
): Transaction<{ run: PaymentRun | null }> {
  const now = core.now();
  const at = new Date(now).toISOString();
  const runId = `run-${payables.id}`;
  yield* stepCame(`run ${payables.id}`, now);
  const payments: Payment[] = [];
  const currency = payables.bills[0]?.amount.currency ?? 'EUR';
  for (const payable of payables.bills) {
    const id = yield* checkReserved(payable, eventId);
    const beneficiary = yield* activeBeneficiary(payable.supplier, now);
    if (!beneficiary || payable.amount.currency !== currency) {
      yield* release(id, eventId);
      yield* raise(now, {
        subject: id,
        code: beneficiary ? 'CURRENCY_MISMATCH' : 'BENEFICIARY_MISSING',
        message: beneficiary
          ? `Bill ${payable.number} is in ${payable.amount.currency}, the others of this run in ${currency}. It waits for a run of its own.`
          : `There is no approved bank account for ${payable.supplier}. Enter it and have it approved; the bill is then taken into the next run.`,
        orderId: payable.orderId,
        eventId,
      });
      continue;
    }
    yield* settle(now, { subject: id }, 'dropline', `It is in ${runId} now.`);
    const earlier = yield* queryOne<{ n: number }>(
      `SELECT COUNT(*) AS n FROM reservation WHERE payment = ? AND live = 0 AND event_id < ?`,
      id,
      Number(eventId),
    );
    payments.push({
      type: 'payment',
      id,
      endToEndId: endToEndId(id, Number(earlier?.n ?? 0) + 1),
      run: runId,
      bill: payable.bill,
      billNumber: payable.number,
      supplier: payable.supplier,
      erp: payables.erp,
      erpBillId: payable.erpBillId,
      orderId: payable.orderId,
      amount: payable.amount,
      beneficiary,
      state: 'reserved',
    });
  }
  if (payments.length === 0) return { run: null };
  const total = sum(
    payments.map((payment) => payment.amount),
    currency,
  );
  const run: PaymentRun = {
    type: 'payment-run',
    id: runId,
    account: account.reference,
    createdAt: at,
    createdBy: 'dropline',
    currency,
    total,
    payments,
    contentHash: '',
    state: 'waiting-for-approval',
    approvalsNeeded: account.approvalsNeeded,
    approvals: [],
  };
  run.contentHash = runContentHash(run);
  if (account.limit && total.minor > account.limit.minor) {
    yield* refuseRun(
      core,
      run,
      eventId,
      `It comes to ${describeMoney(total)}; the limit of a run is ${describeMoney(account.limit)}.`,
    );
    return { run: { ...run, state: 'refused' } };
  }
  yield* putDocument(run, now);
  for (const payment of payments) yield* putDocument(payment, now);
  yield* expectStep(
    `pay ${run.id}`,
    `Payment run ${run.id} has not been approved and sent to the bank.`,
    now + core.settings.deadlines.pay,
  );
  return { run };
}

/**
 * Money is paid by the ledger's word, never by a message's: the bill must be the one that was reserved, with its amount.
 * @throws BusinessRefusal `DOCUMENT_CHANGED`
 */
function* checkReserved(payable: Payable, eventId: string): Transaction<string> {
  const bill = yield* getDocument('bill', payable.bill);
  const reserved = yield* queryOne<{ payment: string }>(
    `SELECT payment FROM reservation WHERE bill = ? AND event_id = ?`,
    payable.bill,
    Number(eventId),
  );
  const agrees =
    bill !== undefined &&
    reserved !== undefined &&
    reserved.payment === paymentId(bill) &&
    bill.supplier === payable.supplier &&
    bill.number === payable.number &&
    bill.erp?.id === payable.erpBillId &&
    sameMoney(bill.total, payable.amount);
  if (!agrees) {
    throw new BusinessRefusal(
      'DOCUMENT_CHANGED',
      `The flow changed what is to be paid for bill ${String(payable.bill).slice(0, 60)}. Suppliers, numbers and amounts must stay as the ledger has them.`,
      {
        status: 'document changed',
      },
    );
  }
  return reserved.payment;
}

/** A run that will not be paid: its bills are free for another one. */
export function* refuseRun(core: Core, run: PaymentRun, eventId: string, reason: string): Transaction<PaymentRun> {
  const now = core.now();
  const refused: PaymentRun = { ...run, state: 'refused' };
  yield* putDocument(refused, now);
  for (const payment of run.payments) yield* release(payment.id);
  yield* stepCame(`pay ${run.id}`, now);
  yield* raise(now, {
    subject: `run ${run.id}`,
    code: 'RUN_REFUSED',
    message: `Payment run ${run.id} was refused. ${reason}`,
    eventId,
  });
  return refused;
}

/** The bank has the run: from here on only the bank's word counts. */
export function* markRunSent(core: Core, run: PaymentRun): Transaction<void> {
  const now = core.now();
  yield* putDocument({ ...run, state: 'sent', sentAt: new Date(now).toISOString() }, now);
  for (const payment of run.payments) {
    const known = (yield* getPayment(payment.endToEndId)) ?? payment;
    yield* putDocument({ ...known, state: forwardPaymentState(known.state, 'sent') }, now);
    yield* note(now, {
      orderId: payment.orderId,
      what: 'payment sent to the bank',
      subject: payment.id,
      detail: { run: run.id, amount: payment.amount.minor, currency: payment.amount.currency },
    });
  }
  yield* stepCame(`pay ${run.id}`, now);
  if (yield* isReported(run)) return;
  yield* expectStep(
    `report ${run.id}`,
    `${run.account} has not reported what became of every payment of ${run.id}, or its report has not come in.`,
    now + core.settings.deadlines.report,
  );
}

/** Whether the bank has said of every payment of a run what became of it. */
function* isReported(run: PaymentRun): Transaction<boolean> {
  for (const payment of run.payments) {
    const { state } = (yield* getPayment(payment.endToEndId)) ?? payment;
    if (!['paid', 'rejected', 'returned'].includes(state)) return false;
  }
  return true;
}

/** A person's decision about a run, as an event of its own: waiting for people blocks nothing. */
export interface RunDecision {
  run: string;
  decision: 'approved' | 'refused';
  by: string;
  /** What the person saw. */
  contentHash: string;
  reason?: string;
}

/** @throws BusinessRefusal `RUN_UNKNOWN`, `RUN_NOT_WAITING`, `RUN_CHANGED`, `APPROVER_IS_CREATOR` */
export function decideRun(core: Core, decision: RunDecision): Promise<{ run: PaymentRun }> {
  return core.transact('decide run', function* (): Transaction<{ run: PaymentRun }> {
    const run = yield* getDocument('payment-run', decision.run);
    if (!run) throw new BusinessRefusal('RUN_UNKNOWN', `There is no payment run ${decision.run}.`);
    if (run.state !== 'waiting-for-approval')
      throw new BusinessRefusal(
        'RUN_NOT_WAITING',
        `Payment run ${run.id} is not waiting for approval any more: it is ${run.state}.`,
      );
    if (run.contentHash !== decision.contentHash || runContentHash(run) !== run.contentHash) {
      throw new BusinessRefusal(
        'RUN_CHANGED',
        `Payment run ${run.id} is not what was looked at. Load it again and compare.`,
      );
    }
    if (decision.by === run.createdBy || run.approvals.some((approval) => approval.by === decision.by)) {
      throw new BusinessRefusal(
        'APPROVER_IS_CREATOR',
        `${decision.by} has made or approved payment run ${run.id} already. Another person must approve it.`,
      );
    }
    yield* insertEvent(core, {
      partner: run.account,
      kind: 'run-decision',
      dedupeKey: `${decision.decision}:${run.id}:${decision.by}`,
      body: decision,
    });
    return { run };
  });
}

export function* judgeRunDecision(core: Core, event: LedgerEvent): Transaction<Judgement> {
  const decision = event.body as RunDecision;
  const run = yield* getDocument('payment-run', decision.run);
  if (!run || run.state !== 'waiting-for-approval' || run.contentHash !== decision.contentHash) {
    return { verdict: 'close', note: 'the run is not waiting any more' };
  }
  // Checked again: between a decision and its judgement the same person may have decided twice.
  if (decision.by === run.createdBy || run.approvals.some((approval) => approval.by === decision.by)) {
    return { verdict: 'close', note: `${decision.by} has made or approved the run already` };
  }
  const now = core.now();
  const at = new Date(now).toISOString();
  if (decision.decision === 'refused') {
    const refused = yield* refuseRun(core, run, event.id, `By ${decision.by}: ${decision.reason ?? 'no reason given'}`);
    return { verdict: 'emit', emits: [{ outcome: 'refused', payload: { ...refused } }] };
  }
  const approvals = [...run.approvals, { by: decision.by, at }];
  if (approvals.length < run.approvalsNeeded) {
    yield* putDocument({ ...run, approvals }, now);
    return { verdict: 'close', note: 'another approval is needed' };
  }
  const approved: PaymentRun = { ...run, approvals, state: 'approved' };
  yield* putDocument(approved, now);
  for (const payment of run.payments) {
    yield* note(now, {
      orderId: payment.orderId,
      eventId: event.id,
      what: 'payment approved',
      subject: payment.id,
      detail: { run: run.id },
    });
  }
  return { verdict: 'emit', emits: [{ outcome: 'approved', payload: { ...approved } }] };
}

/** What the bank reports: each payment moves forward only, and only news is told to the flow. */
export function* judgeStatus(core: Core, event: LedgerEvent, bank: LedgerPartner): Transaction<Judgement> {
  if (!bank.readStatus)
    throw new ConfigurationMistake('PARTNER_OF_OTHER_KIND', `"${bank.reference}" is not configured as a bank account.`);
  const report = bank.readStatus(event.body);
  const run = yield* getDocument('payment-run', report.run);
  if (!run || run.account !== bank.reference) {
    throw new BusinessRefusal(
      'RUN_UNKNOWN',
      `${bank.reference} reports on ${report.run || 'a file without a number'}, which is no payment run of this account. Look at the bank's report.`,
    );
  }
  const unknown = report.payments.filter(
    (status) => !run.payments.some((payment) => payment.endToEndId === status.endToEndId),
  );
  if (unknown.length > 0) {
    yield* raise(core.now(), {
      subject: `event ${event.id}`,
      code: 'PAYMENT_UNKNOWN',
      message: `${bank.reference} reports on payments that are not in ${run.id}: ${unknown.map((status) => status.endToEndId || 'one without a reference').join(', ')}. Ask the bank whose they are.`,
      eventId: event.id,
    });
  }
  const emits: Emit[] = [];
  for (const payment of run.payments) {
    const status =
      report.payments.find((candidate) => candidate.endToEndId === payment.endToEndId) ??
      (report.all ? { ...report.all, endToEndId: payment.endToEndId } : undefined);
    if (status) emits.push(...(yield* applyStatus(core, event, payment, status)));
  }
  if (yield* isReported(run)) yield* stepCame(`report ${run.id}`, core.now());
  return emits.length > 0 ? { verdict: 'emit', emits } : { verdict: 'close', note: 'nothing final in it' };
}

function* applyStatus(core: Core, event: LedgerEvent, planned: Payment, status: PaymentStatus): Transaction<Emit[]> {
  const now = core.now();
  const known = (yield* getPayment(planned.endToEndId)) ?? planned;
  const state = forwardPaymentState(known.state, status.state);
  if (state === known.state) return [];
  const payment: Payment = {
    ...known,
    state,
    ...(status.reason === undefined ? {} : { reason: status.reason }),
    ...(state === 'paid' ? { settledAt: status.at } : {}),
  };
  yield* putDocument(payment, now);
  yield* note(now, {
    orderId: payment.orderId,
    eventId: event.id,
    what: `payment ${state}`,
    subject: payment.id,
    detail: { code: status.code, ...(status.reason ? { reason: status.reason } : {}) },
  });
  if (known.state === 'unclear')
    yield* settle(
      now,
      { subject: payment.endToEndId, code: 'PAYMENT_UNCLEAR' },
      'dropline',
      `The bank says ${status.code} now.`,
    );
  switch (state) {
    case 'paid':
      return [{ outcome: 'paid', payload: { ...payment }, orderId: payment.orderId }];
    case 'rejected':
    case 'returned':
      // Once only: after a rejection the bill may stand in a newer run, whose reservation this late news must not free.
      if (known.state !== 'rejected') yield* release(payment.id);
      if (state === 'returned' && (yield* documentState('bill', payment.bill)) === 'paid')
        yield* setDocumentState('bill', payment.bill, 'entered', now);
      yield* raise(now, {
        subject: payment.id,
        code: 'PAYMENT_REJECTED',
        message: `The bank ${state} the payment of ${describeMoney(payment.amount)} to ${payment.supplier} for bill ${payment.billNumber} (${status.code}${status.reason ? `: ${status.reason}` : ''}). Correct the account; the bill is taken into the next run.`,
        orderId: payment.orderId,
        eventId: event.id,
      });
      return [{ outcome: 'rejected', payload: { ...payment }, orderId: payment.orderId }];
    case 'unclear':
      yield* raise(now, {
        subject: payment.endToEndId,
        code: 'PAYMENT_UNCLEAR',
        message: `The bank says "${status.code}" of the payment to ${payment.supplier} for bill ${payment.billNumber}. Ask the bank; it is not sent again.`,
        orderId: payment.orderId,
        eventId: event.id,
      });
      return [];
    default:
      return [];
  }
}

/** The ERP knows that a bill is paid. */
export function* markBillPaid(core: Core, billId: string): Transaction<void> {
  yield* setDocumentState('bill', billId, 'paid', core.now());
}

function* release(payment: string, eventId?: string): Transaction<void> {
  yield* query(
    `UPDATE reservation SET live = 0 WHERE payment = ? AND live = 1 AND (CAST(? AS BIGINT) IS NULL OR event_id = ?)`,
    payment,
    eventId === undefined ? null : Number(eventId),
    eventId === undefined ? null : Number(eventId),
  );
}

export function* getPayment(endToEnd: string): Transaction<Payment | undefined> {
  return yield* getDocument('payment', endToEnd);
}
