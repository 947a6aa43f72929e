import { readFileSync } from 'node:fs';
import { XmlDocument, XmlElement, XsdValidator } from 'libxml2-wasm';
import { EU } from './catalogue.ts';
import { toUnits } from './decimal.ts';

/** ISO 20022 customer credit transfer initiation, as the pretend bank reads it. */
export interface Pain001 {
  msgId: string;
  count: string;
  controlSum?: string;
  instructions: Instruction[];
}

export interface Instruction {
  id: string;
  debtorIban: string;
  reason?: Reason;
  transfers: Transfer[];
}

export type Transfer = {
  endToEndId: string;
  instructionId?: string;
  uetr?: string;
  iban: string;
  amount: string;
  currency: string;
  creditor: string;
  remittance: string;
  reason?: Reason;
};

/** Of ISO's ExternalStatusReason1Code, and a sentence. */
export type Reason = { code: string; text: string };

export class Pain001Invalid extends Error {
  /** Where the file is at least readable enough to say what it is. */
  readonly msgId: string | undefined;

  constructor(message: string, msgId?: string) {
    super(message);
    this.msgId = msgId;
  }
}

const NAMESPACE = 'urn:iso:std:iso:20022:tech:xsd:pain.001.001.09';
const PREFIXES = { p: NAMESPACE };
const EEA = new Set([...EU, 'IS', 'LI', 'NO']);

let validator: XsdValidator | undefined;

/**
 * Reads and checks a file. What is wrong with single payment instructions or transfers stands at them as `reason`.
 * @returns `reason` where the whole file is refused
 * @throws Pain001Invalid when it is no valid pain.001.001.09
 */
export function readPain001(bytes: Buffer): { file: Pain001; reason?: Reason } {
  let document: XmlDocument;
  try {
    document = XmlDocument.fromBuffer(bytes);
  } catch (cause) {
    throw new Pain001Invalid(`The file is not well-formed XML: ${(cause as Error).message.trim()}`);
  }
  try {
    if (document.dtd) throw new Pain001Invalid('The file has a DOCTYPE, which a payment file must not have.');
    validate(document);
    const root = document.root;
    const header = required(root, 'p:CstmrCdtTrfInitn/p:GrpHdr');
    const elements = find(root, 'p:CstmrCdtTrfInitn/p:PmtInf');
    const controlSum = text(header, 'p:CtrlSum');
    const file = {
      msgId: text(header, 'p:MsgId'),
      count: text(header, 'p:NbOfTxs'),
      ...(controlSum === '' ? {} : { controlSum }),
      instructions: elements.map(readInstruction),
    };
    const reason = sumReason(
      header,
      file.instructions.flatMap((instruction) => instruction.transfers),
    );
    return { file, ...(reason ? { reason } : {}) };
  } finally {
    document.dispose();
  }
}

function validate(document: XmlDocument): void {
  if (!validator) {
    const schema = XmlDocument.fromBuffer(readFileSync(new URL('schemas/pain.001.001.09.xsd', import.meta.url)));
    validator = XsdValidator.fromDoc(schema);
    schema.dispose();
  }
  try {
    validator.validate(document);
  } catch (cause) {
    const msgId = document.root.get('//*[local-name()="GrpHdr"]/*[local-name()="MsgId"]')?.content;
    throw new Pain001Invalid(`The file does not agree with the schema: ${(cause as Error).message.trim()}`, msgId);
  }
}

function readInstruction(element: XmlElement): Instruction {
  const debtorIban = text(element, 'p:DbtrAcct/p:Id/p:IBAN');
  const transfers = find(element, 'p:CdtTrfTxInf').map((each) => readTransfer(each, debtorIban));
  const reason =
    sumReason(element, transfers) ??
    (isIban(debtorIban) ? undefined : { code: 'AC02', text: 'The account to be debited has no valid IBAN.' }) ??
    addressReason(element.get('p:Dbtr/p:PstlAdr', PREFIXES), true, 'debtor');
  return { id: text(element, 'p:PmtInfId'), debtorIban, transfers, ...(reason ? { reason } : {}) };
}

function readTransfer(element: XmlElement, debtorIban: string): Transfer {
  const instructionId = text(element, 'p:PmtId/p:InstrId');
  const uetr = text(element, 'p:PmtId/p:UETR');
  const amount = text(element, 'p:Amt/p:InstdAmt');
  const currency = text(element, 'p:Amt/p:InstdAmt/@Ccy');
  const iban = text(element, 'p:CdtrAcct/p:Id/p:IBAN');
  const withinEea = [iban, debtorIban].every((each) => EEA.has(each.slice(0, 2)));
  const reason =
    amountReason(amount, currency) ??
    (isIban(iban) ? undefined : { code: 'AC01', text: 'The account to be credited has no valid IBAN.' }) ??
    addressReason(element.get('p:Cdtr/p:PstlAdr', PREFIXES), withinEea, 'creditor');
  return {
    endToEndId: text(element, 'p:PmtId/p:EndToEndId'),
    ...(instructionId === '' ? {} : { instructionId }),
    ...(uetr === '' ? {} : { uetr }),
    iban,
    amount,
    currency,
    creditor: text(element, 'p:Cdtr/p:Nm'),
    remittance: text(element, 'p:RmtInf'),
    ...(reason ? { reason } : {}),
  };
}

/** NbOfTxs and CtrlSum of the whole file or of one payment instruction. CtrlSum adds plain amounts, whatever their currencies. */
function sumReason(element: XmlElement, transfers: Transfer[]): Reason | undefined {
  const count = text(element, 'p:NbOfTxs');
  if (count !== '' && Number(count) !== transfers.length) {
    return { code: 'AM18', text: `NbOfTxs says ${count}, the file has ${transfers.length}.` };
  }
  const controlSum = text(element, 'p:CtrlSum');
  if (controlSum === '') return undefined;
  const sum = transfers.reduce((so, { amount }) => so + (toUnits(amount, 5) ?? 0n), 0n);
  return toUnits(controlSum, 5) === sum
    ? undefined
    : { code: 'AM10', text: `CtrlSum says ${controlSum}, which is not the sum.` };
}

function amountReason(amount: string, currency: string): Reason | undefined {
  if (currency !== 'EUR') return { code: 'AM03', text: `This account pays in EUR only, not in ${currency}.` };
  const cents = toUnits(amount, 2);
  if (cents === undefined) return { code: 'AM12', text: `${amount} is not an amount in whole cents.` };
  return cents === 0n ? { code: 'AM01', text: 'The amount is zero.' } : undefined;
}

/**
 * Since November 2026 a postal address has at least town and country in their own elements, and at most two free lines for the rest
 * (European Payments Council, Provision of Addresses under the EPC Payment Schemes v2.1, section 7). Inside the EEA it may be missing.
 */
function addressReason(address: unknown, mayBeMissing: boolean, whose: string): Reason | undefined {
  if (!(address instanceof XmlElement)) {
    return mayBeMissing ? undefined : { code: 'BE04', text: `The address of the ${whose} is missing.` };
  }
  if (text(address, 'p:TwnNm') === '' || text(address, 'p:Ctry') === '') {
    return { code: 'BE04', text: `The address of the ${whose} needs TwnNm and Ctry.` };
  }
  if (find(address, 'p:AdrLine').length > 2) {
    return { code: 'BE04', text: `The address of the ${whose} has more than two AdrLine.` };
  }
  return undefined;
}

/** ISO 13616: moved by four and with letters as numbers it leaves 1 when divided by 97. */
export function isIban(iban: string): boolean {
  if (!/^[A-Z]{2}\d{2}[A-Z0-9]{11,30}$/.test(iban)) return false;
  const digits = (iban.slice(4) + iban.slice(0, 4)).replace(/[A-Z]/g, (letter) => String(letter.charCodeAt(0) - 55));
  return BigInt(digits) % 97n === 1n;
}

function find(element: XmlElement, path: string): XmlElement[] {
  return element.find(path, PREFIXES).filter((node) => node instanceof XmlElement);
}

function required(element: XmlElement, path: string): XmlElement {
  const [found] = find(element, path);
  if (!found) throw new Pain001Invalid(`The file has no ${path.replaceAll('p:', '')}.`);
  return found;
}

function text(element: XmlElement, path: string): string {
  return element.get(path, PREFIXES)?.content.trim() ?? '';
}
