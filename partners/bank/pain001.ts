import { createHash } from 'node:crypto';
import { electronicFormatIBAN, isSEPACountry, isValidBIC, isValidIBAN } from 'ibantools';
import type { Address } from '../../orders/address.ts';
import { isCurrency } from '../../orders/currencies.ts';
import { BusinessRefusal, ConfigurationMistake } from '../../orders/errors.ts';
import { decimal, describeMoney, sameMoney, sum } from '../../orders/money.ts';
import type { Payment, PaymentRun } from '../../orders/payment.ts';
import { element, writeXml, type XmlOutput } from '../xml.ts';
import { businessDayFrom } from './business-day.ts';
import { tidy, toBasicLatin } from './characters.ts';
import type { OrderingAccount } from './port.ts';

/** `sepa`: basic Latin, which every bank takes. `utf8`: everything that XML can write, for banks that say so. */
export type CharacterSet = 'sepa' | 'utf8';

/** Our own account, and how the bank wants its files. */
export interface FileSettings {
  account: OrderingAccount;
  /** The account's currency, where the bank wants it named. */
  accountCurrency?: string;
  /** Where the account's street comes without it. */
  buildingNumber?: string;
  characterSet: CharacterSet;
}

const NAMESPACE = 'urn:iso:std:iso:20022:tech:xsd:pain.001.001.09';

/** The largest amount of one SEPA credit transfer (EPC132-08, Customer-to-PSP implementation guidelines): 999,999,999.99 EUR. */
const SEPA_LIMIT = 99_999_999_999;

/**
 * The run as a pain.001.001.09 document (ISO 20022 customer credit transfer initiation). Pure: the same run yields the same
 * bytes, so a file that is written again is the same file.
 *
 * Payments in SEPA and beyond stand in payment information blocks of their own. A run with one block gives it the MsgId as
 * PmtInfId: a status for the block is then one for the run (see pain002.ts).
 * @throws BusinessRefusal that names the payment and what is missing
 * @throws ConfigurationMistake when our own account is incomplete
 */
export function writePain001(run: PaymentRun, settings: FileSettings): string {
  checkRun(run);
  const sepa = run.payments.filter(isSepa);
  const beyond = run.payments.filter((payment) => !isSepa(payment));
  const blocks =
    sepa.length > 0 && beyond.length > 0
      ? [block(run, `${run.id}-SEPA`, sepa, settings), block(run, `${run.id}-OTHER`, beyond, settings)]
      : [block(run, run.id, run.payments, settings)];

  const header = element('GrpHdr', [
    element('MsgId', run.id),
    element('CreDtTm', createdAt(run)),
    element('NbOfTxs', String(run.payments.length)),
    element('CtrlSum', controlSum(run.payments, run.currency)),
    element('InitgPty', [element('Nm', ownText(settings.account.name, 'name', 70, settings.characterSet))]),
  ]);
  return writeXml(element('Document', [element('CstmrCdtTrfInitn', [header, ...blocks])], { xmlns: NAMESPACE }));
}

function checkRun(run: PaymentRun): void {
  if (!/^[A-Za-z0-9-]{1,30}$/.test(run.id)) {
    throw new BusinessRefusal('RUN_INVALID', 'The payment run has no usable id. Make a new run.');
  }
  if (run.payments.length === 0) {
    throw new BusinessRefusal('RUN_EMPTY', `The payment run ${run.id} holds no payments. Make a new run.`);
  }
  const ids = new Set(run.payments.map((payment) => payment.endToEndId));
  const total = sum(
    run.payments.map((payment) => payment.amount),
    run.currency,
  );
  if (ids.size !== run.payments.length || !sameMoney(total, run.total)) {
    throw new BusinessRefusal(
      'RUN_INVALID',
      `The payment run ${run.id} does not add up: its payments are ${describeMoney(total)} with ${ids.size} ids for ${run.payments.length} payments, its total says ${describeMoney(run.total)}. Make a new run.`,
    );
  }
}

function block(run: PaymentRun, id: string, payments: Payment[], settings: FileSettings): XmlOutput {
  const { account, accountCurrency, buildingNumber, characterSet } = settings;
  const inSepa = payments.every(isSepa);
  if (accountCurrency !== undefined && !isCurrency(accountCurrency)) throw ownMistake('its currency, such as EUR');
  return element('PmtInf', [
    element('PmtInfId', id),
    element('PmtMtd', 'TRF'),
    element('NbOfTxs', String(payments.length)),
    element('CtrlSum', controlSum(payments, run.currency)),
    inSepa ? element('PmtTpInf', [element('SvcLvl', [element('Cd', 'SEPA')])]) : undefined,
    element('ReqdExctnDt', [element('Dt', executionDay(run))]),
    element('Dbtr', [
      element('Nm', ownText(account.name, 'name', 70, characterSet)),
      account.address && ownAddress(account.address, buildingNumber, characterSet),
    ]),
    element('DbtrAcct', [
      element('Id', [element('IBAN', ownIban(account.iban))]),
      accountCurrency === undefined ? undefined : element('Ccy', accountCurrency),
    ]),
    element('DbtrAgt', [element('FinInstnId', [ownBank(account.bic)])]),
    element('ChrgBr', inSepa ? 'SLEV' : 'SHAR'),
    ...payments.map((payment) => transaction(payment, inSepa, characterSet)),
  ]);
}

function transaction(payment: Payment, inSepa: boolean, characterSet: CharacterSet): XmlOutput {
  const { amount, beneficiary, endToEndId } = payment;
  if (!/^[A-Za-z0-9+?:().,'/-]{1,35}$/.test(endToEndId) || /^\/|\/\/|\/$/.test(endToEndId)) {
    throw refuse(payment, 'PAYMENT_ID_INVALID', 'it has no id that a bank takes. Make a new run');
  }
  if (amount.minor <= 0 || (inSepa && amount.minor > SEPA_LIMIT)) {
    throw refuse(payment, 'AMOUNT_INVALID', 'no bank transfers this amount. Correct the bill in the ERP');
  }
  const text = (name: string, value: string | undefined, most: number): string =>
    beneficiaryText(payment, name, value, most, characterSet);
  const { street, postalCode, city, region, country }: Partial<Address> = beneficiary.address ?? {};
  if (country === undefined || !/^[A-Z]{2}$/.test(country)) {
    throw refuse(
      payment,
      'BENEFICIARY_INCOMPLETE',
      'the supplier has no country. Enter it in the beneficiary as two capital letters',
    );
  }
  const iban = beneficiaryIban(payment);
  const bic = bicOf(payment, inSepa);
  return element('CdtTrfTxInf', [
    element('PmtId', [
      element('InstrId', endToEndId),
      element('EndToEndId', endToEndId),
      inSepa ? undefined : element('UETR', uetr(endToEndId)),
    ]),
    element('Amt', [element('InstdAmt', decimal(amount), { Ccy: amount.currency })]),
    bic === undefined ? undefined : element('CdtrAgt', [element('FinInstnId', [element('BICFI', bic)])]),
    element('Cdtr', [
      element('Nm', text('name', beneficiary.name, inSepa ? 70 : 140)),
      // Structured, street and town and country at the least: files with free address lines alone are refused since
      // November 2026 (EPC, "Provision of Addresses under the EPC Payment Schemes"). A second address line helps parcels
      // to arrive, not money, and has no element of its own.
      address(text('street', street, 70), text('city', city, 35), country, {
        ...(postalCode?.trim() ? { PstCd: text('postal code', postalCode, 16) } : {}),
        ...(region?.trim() ? { CtrySubDvsn: text('region', region, 35) } : {}),
      }),
    ]),
    element('CdtrAcct', [element('Id', [element('IBAN', iban)])]),
    remittance(payment.billNumber, characterSet),
  ]);
}

function address(
  street: string | undefined,
  city: string,
  country: string,
  rest: { BldgNb?: string; PstCd?: string; CtrySubDvsn?: string },
): XmlOutput {
  const optional = (name: keyof typeof rest): XmlOutput | undefined =>
    rest[name] === undefined ? undefined : element(name, rest[name]);
  return element('PstlAdr', [
    street === undefined ? undefined : element('StrtNm', street),
    optional('BldgNb'),
    optional('PstCd'),
    element('TwnNm', city),
    optional('CtrySubDvsn'),
    element('Ctry', country),
  ]);
}

/** The supplier's own invoice number: as ISO 11649 creditor reference if it is one, as free text otherwise, never both. */
function remittance(billNumber: string, characterSet: CharacterSet): XmlOutput | undefined {
  if (isCreditorReference(billNumber)) {
    const type = element('Tp', [element('CdOrPrtry', [element('Cd', 'SCOR')])]);
    return element('RmtInf', [element('Strd', [element('CdtrRefInf', [type, element('Ref', billNumber)])])]);
  }
  const written = characterSet === 'sepa' ? toBasicLatin(billNumber).text : tidy(billNumber);
  const text = Array.from(written).slice(0, 140).join('').trim();
  return text ? element('RmtInf', [element('Ustrd', text)]) : undefined;
}

/** `RF`, two check digits, up to 21 characters; mod 97 as for an IBAN. */
function isCreditorReference(text: string): boolean {
  if (!/^RF\d{2}[A-Z0-9]{1,21}$/.test(text)) return false;
  const digits = Array.from(text.slice(4) + text.slice(0, 4), (character) => parseInt(character, 36)).join('');
  return BigInt(digits) % 97n === 1n;
}

function isSepa(payment: Payment): boolean {
  const iban = electronicFormatIBAN(payment.beneficiary.iban) ?? '';
  return payment.amount.currency === 'EUR' && isSEPACountry(iban.slice(0, 2));
}

function controlSum(payments: Payment[], currency: string): string {
  return decimal(
    sum(
      payments.map((payment) => payment.amount),
      currency,
    ),
  );
}

/** The moment of the last approval, to the second: the file must not depend on when it is written. */
function createdAt(run: PaymentRun): string {
  const milliseconds = Date.parse(run.approvals.at(-1)?.at ?? run.createdAt);
  if (Number.isNaN(milliseconds)) {
    throw new BusinessRefusal('RUN_INVALID', `The payment run ${run.id} has no time of creation. Make a new run.`);
  }
  return `${new Date(milliseconds).toISOString().slice(0, 19)}Z`;
}

/** A file that asks for a day on which no bank works is refused by some banks. */
function executionDay(run: PaymentRun): string {
  const day = run.executeOn ?? createdAt(run).slice(0, 10);
  if (!/^20\d{2}-\d{2}-\d{2}$/.test(day) || Number.isNaN(Date.parse(day))) {
    throw new BusinessRefusal(
      'RUN_INVALID',
      `The payment run ${run.id} has no valid day of execution. Choose another.`,
    );
  }
  return businessDayFrom(day);
}

/** The tracking id of a cross-border payment, a version 4 UUID: made from the EndToEndId, so that it never changes. */
function uetr(endToEndId: string): string {
  const hex = createHash('sha256').update(`uetr:${endToEndId}`).digest('hex');
  const variant = '89ab'[parseInt(hex.charAt(16), 16) % 4];
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

function beneficiaryText(
  payment: Payment,
  name: string,
  value: string | undefined,
  most: number,
  set: CharacterSet,
): string {
  const { text, complete } = written(value ?? '', set);
  if (!text) {
    throw refuse(
      payment,
      'BENEFICIARY_INCOMPLETE',
      `the supplier has no ${name}. Enter it in the beneficiary: banks want name, street, city and country`,
    );
  }
  if (!complete) {
    throw refuse(
      payment,
      'BENEFICIARY_TEXT_INVALID',
      `the supplier's ${name} is in letters that banks do not take. Enter it in Latin letters in the beneficiary`,
    );
  }
  if (Array.from(text).length > most) {
    throw refuse(
      payment,
      'BENEFICIARY_TEXT_TOO_LONG',
      `the supplier's ${name} is longer than ${most} characters. Shorten it in the beneficiary`,
    );
  }
  return text;
}

function beneficiaryIban(payment: Payment): string {
  const iban = electronicFormatIBAN(payment.beneficiary.iban) ?? '';
  if (!isValidIBAN(iban))
    throw refuse(payment, 'IBAN_INVALID', 'the supplier has no valid IBAN. Enter it again in the beneficiary');
  return iban;
}

function bicOf(payment: Payment, inSepa: boolean): string | undefined {
  const bic = payment.beneficiary.bic?.replaceAll(' ', '').toUpperCase();
  if (!bic) {
    if (inSepa) return undefined;
    throw refuse(
      payment,
      'BIC_MISSING',
      'the supplier has no BIC. Enter it in the beneficiary: payments outside SEPA need it',
    );
  }
  if (!isValidBIC(bic))
    throw refuse(payment, 'BIC_INVALID', 'the supplier has no valid BIC. Enter it again in the beneficiary');
  return bic;
}

function refuse(payment: Payment, code: string, why: string): BusinessRefusal {
  const what = `${describeMoney(payment.amount)} to ${payment.supplier} for ${payment.billNumber}`;
  return new BusinessRefusal(code, `${what} cannot be paid: ${why}.`);
}

function written(value: string, set: CharacterSet): { text: string; complete: boolean } {
  return set === 'sepa' ? toBasicLatin(value) : { text: tidy(value), complete: true };
}

function ownText(value: string, name: string, most: number, set: CharacterSet): string {
  const { text, complete } = written(value, set);
  if (!text || !complete || Array.from(text).length > most)
    throw ownMistake(`its ${name}, at most ${most} Latin letters`);
  return text;
}

function ownAddress(of: Address, buildingNumber: string | undefined, set: CharacterSet): XmlOutput {
  if (!/^[A-Z]{2}$/.test(of.country)) throw ownMistake('its country as two capital letters');
  const street = of.street.trim() ? ownText(of.street, 'street', 70, set) : undefined;
  return address(street, ownText(of.city, 'city', 35, set), of.country, {
    ...(buildingNumber ? { BldgNb: ownText(buildingNumber, 'building number', 16, set) } : {}),
    ...(of.postalCode?.trim() ? { PstCd: ownText(of.postalCode, 'postal code', 16, set) } : {}),
  });
}

function ownIban(value: string): string {
  const iban = electronicFormatIBAN(value) ?? '';
  if (!isValidIBAN(iban)) throw ownMistake('its IBAN');
  return iban;
}

/** A bank that needs no BIC still needs the element (EPC132-08, Debtor Agent). */
function ownBank(value: string | undefined): XmlOutput {
  const bic = value?.replaceAll(' ', '').toUpperCase();
  if (!bic) return element('Othr', [element('Id', 'NOTPROVIDED')]);
  if (!isValidBIC(bic)) throw ownMistake('its BIC, or none');
  return element('BICFI', bic);
}

function ownMistake(what: string): ConfigurationMistake {
  return new ConfigurationMistake(
    'ACCOUNT_INCOMPLETE',
    `The bank account cannot be written into a file. Enter ${what} in its config node.`,
  );
}
