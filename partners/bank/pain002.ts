import { createHash } from 'node:crypto';
import { BusinessRefusal } from '../../orders/errors.ts';
import type { PaymentStatus } from '../../orders/payment.ts';
import { child, childrenOf, parseXml, textOf, type XmlElement } from '../xml.ts';

/** What a report says of a run: of payments that it names, and of all others (`all`). */
export interface StatusReport {
  /** Our MsgId. */
  run: string;
  all?: Status;
  payments: PaymentStatus[];
}

type Status = Omit<PaymentStatus, 'endToEndId'>;
type State = PaymentStatus['state'];

/**
 * The codes of ISO's external lists ExternalPaymentGroupStatus1Code and ExternalPaymentTransactionStatus1Code, in our words. What
 * is not here needs a person, as do the codes that ask for something: ACFW and PATC wait for a confirmation or a further
 * signature of ours, BLCK is neither paid nor returned, CANC was cancelled at the bank, RVCM, RVMC, RVNM and RVNA are findings
 * of the Verification of Payee.
 */
const STATES = new Map<string, State>([
  ...codes('paid', 'ACCC ACSC'),
  ...codes('accepted', 'ACTC ACCP ACSP ACWC ACFC ACPD ACWP RCVD PDNG RCVC RVNC'),
  ...codes('rejected', 'RJCT'),
]);

function codes(state: State, list: string): [string, State][] {
  return list.split(' ').map((code) => [code, state]);
}

/**
 * Reasons of a rejection that mean: we have this already. What is rejected is the repetition; the first may well be paid, so
 * it must not be paid anew. Source: ISO's ExternalStatusReason1Code.
 */
const DUPLICATE = new Set(['AM05', 'DU01', 'DU02', 'DU03', 'DU04', 'DU05', 'DUPL']);

/** What one level says: a status, `mixed` (PART: look below), or nothing. */
type Level = Status | 'mixed' | undefined;

/**
 * A pain.002 payment status report of any version. Elements are found by local name and in any order, because what banks send
 * does not always fit the schema. Nothing is taken for accepted that the report does not clearly accept.
 *
 * The most detailed level that is there wins; a rejection covers everything below it; a level that contradicts the rejection
 * above it is `unclear`; PART says nothing by itself.
 * @throws BusinessRefusal `BODY_UNREADABLE` no XML; `STATUS_UNREADABLE` no status report, or of no file that can be named
 */
export function readPain002(xml: string): StatusReport {
  const report = statusReport(xml);
  const group = child(report, 'OrgnlGrpInfAndSts');
  const run = textOf(group, 'OrgnlMsgId');
  if (!run) throw unreadable('does not name the file that it is about (OrgnlMsgId)');
  const at = reportTime(report);

  let whole = levelStatus(group, 'GrpSts', at);
  const payments: PaymentStatus[] = [];
  /** Statuses of something smaller than the run that we cannot name: half of its blocks, a payment without id. */
  const parts: Status[] = [];
  const blocks = childrenOf(report, 'OrgnlPmtInfAndSts');
  for (const block of blocks) {
    const own = levelStatus(block, 'PmtInfSts', at);
    const status = below(whole, own);
    const transactions = childrenOf(block, 'TxInfAndSts');
    for (const transaction of transactions) {
      const ofPayment = paymentStatus(transaction, status, at);
      const endToEndId = paymentId(transaction);
      if (endToEndId) payments.push({ endToEndId, ...ofPayment });
      else parts.push(ofPayment);
    }
    if (blocks.length === 1 && isWholeRun(block, run)) whole = status;
    else if (own && transactions.length === 0 && status && status !== 'mixed') parts.push(status);
  }
  const all = ofAllOthers(whole, parts, payments);
  return { run, ...(all ? { all } : {}), payments };
}

/**
 * What repeats of a report share: its own MsgId and its content, because some banks give two reports one MsgId. Any XML has a
 * key, so that a file of another kind is kept and seen.
 * @throws BusinessRefusal `BODY_UNREADABLE`
 */
export function statusReportKey(xml: string): string {
  const root = parseXml(xml);
  const id = textOf(reportIn(root), 'GrpHdr', 'MsgId') ?? root.name;
  return `report:${id.slice(0, 35)}:${createHash('sha256').update(xml).digest('hex').slice(0, 16)}`;
}

function statusReport(xml: string): XmlElement {
  const report = reportIn(parseXml(xml));
  if (!report) throw unreadable('is not a payment status report (pain.002)');
  return report;
}

function reportIn(root: XmlElement): XmlElement | undefined {
  return root.name === 'CstmrPmtStsRpt' ? root : child(root, 'CstmrPmtStsRpt');
}

/** The status of the payments that the report does not name; `undefined` when it says nothing of them. */
function ofAllOthers(whole: Level, parts: Status[], payments: PaymentStatus[]): Status | undefined {
  const all = whole === 'mixed' ? undefined : whole;
  const other = parts.find((part) => part.state !== 'accepted' && part.state !== all?.state);
  if (other) {
    return {
      ...other,
      state: 'unclear',
      reason: 'The bank says this of a part of the file that it does not name clearly.',
    };
  }
  // An accepting code above is not final for what is below, as soon as something below is not settled.
  const isSettled = [...parts, ...payments].every(({ state }) => state === 'paid');
  return all?.state === 'paid' && !isSettled ? { ...all, state: 'accepted' } : all;
}

/** Our files have one block with the MsgId as its id, or two blocks with other ids (see pain001.ts). */
function isWholeRun(block: XmlElement, run: string): boolean {
  return [run, 'NOTPROVIDED', undefined].includes(textOf(block, 'OrgnlPmtInfId'));
}

function paymentStatus(transaction: XmlElement, above: Level, at: string): Status {
  const own = levelStatus(transaction, 'TxSts', at);
  const status = below(above, own);
  if (status && status !== 'mixed') return own ? status : { ...status, ...reasonOf(transaction, status.state) };
  return { state: 'unclear', code: 'NONE', reason: 'The bank names the payment and gives it no status.', at };
}

/** We write our id into both elements. */
function paymentId(transaction: XmlElement): string | undefined {
  return [textOf(transaction, 'OrgnlEndToEndId'), textOf(transaction, 'OrgnlInstrId')].find(
    (id) => id !== undefined && id !== 'NOTPROVIDED' && id.length <= 35,
  );
}

function below(above: Level, own: Level): Level {
  if (own === undefined) return above;
  if (typeof above !== 'object' || above.state !== 'rejected') return own;
  if (own !== 'mixed' && own.state === 'rejected') return own;
  return {
    ...above,
    state: 'unclear',
    reason: 'The bank rejects the whole and accepts a part of it. Ask the bank what it has done.',
  };
}

function levelStatus(level: XmlElement | undefined, name: 'GrpSts' | 'PmtInfSts' | 'TxSts', at: string): Level {
  const code = textOf(level, name)?.slice(0, 35);
  if (code === undefined) return undefined;
  if (code === 'PART' && name !== 'TxSts') return 'mixed';
  const isDuplicate = reasonCodes(level).some((reason) => DUPLICATE.has(reason));
  const state = isDuplicate ? 'unclear' : (STATES.get(code) ?? 'unclear');
  const fallback = state === 'unclear' ? { reason: `The bank says ${code}. Look the payment up at the bank.` } : {};
  return { state, code, ...fallback, ...reasonOf(level, state), at };
}

/** Why, in the bank's words. The reason's code takes the place of RJCT, which says no more than the state. */
function reasonOf(level: XmlElement | undefined, state: State): { code?: string; reason?: string } {
  const given = reasonCodes(level);
  const texts = childrenOf(level, 'StsRsnInf').flatMap((info) => childrenOf(info, 'AddtlInf').map(({ text }) => text));
  const reason = [...given, ...texts]
    .join(' ')
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim()
    .slice(0, 500);
  const [code] = given;
  return { ...(code && state === 'rejected' ? { code: code.slice(0, 35) } : {}), ...(reason ? { reason } : {}) };
}

function reasonCodes(level: XmlElement | undefined): string[] {
  return childrenOf(level, 'StsRsnInf')
    .map((info) => textOf(info, 'Rsn', 'Cd') ?? textOf(info, 'Rsn', 'Prtry'))
    .filter((code) => code !== undefined);
}

/** ISODateTime may come without an offset: then it is taken as UTC, which only orders reports. */
function reportTime(report: XmlElement): string {
  const written = textOf(report, 'GrpHdr', 'CreDtTm') ?? '';
  const milliseconds = Date.parse(/(Z|[+-]\d{2}:\d{2})$/.test(written) ? written : `${written}Z`);
  if (Number.isNaN(milliseconds)) throw unreadable('has no readable time of creation (CreDtTm)');
  return new Date(milliseconds).toISOString();
}

function unreadable(why: string): BusinessRefusal {
  return new BusinessRefusal('STATUS_UNREADABLE', `The file ${why}. Look at it, and ask the bank for the right one.`);
}
