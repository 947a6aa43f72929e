import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { XmlDocument, XsdValidator } from 'libxml2-wasm';
import should from 'should';
import { BusinessRefusal, ConfigurationMistake } from '../../orders/errors.ts';
import { decimal, money } from '../../orders/money.ts';
import type { Payment } from '../../orders/payment.ts';
import { businessDayFrom } from '../../partners/bank/business-day.ts';
import { toBasicLatin } from '../../partners/bank/characters.ts';
import { writePain001, type FileSettings } from '../../partners/bank/pain001.ts';
import { child, childrenOf, parseXml, textOf, type XmlElement } from '../../partners/xml.ts';
import { fileSettings, payment, run } from './bank-samples.ts';

/** As JSON from an older ledger may be. */
function withoutAddress({ beneficiary }: Payment): Payment['beneficiary'] {
  const { address: _left, ...rest } = beneficiary;
  return rest as Payment['beneficiary'];
}

describe('pain.001', () => {
  let schema: XmlDocument;
  let validator: XsdValidator;

  before(() => {
    schema = XmlDocument.fromBuffer(
      readFileSync(new URL('../../sandbox/schemas/pain.001.001.09.xsd', import.meta.url)),
    );
    validator = XsdValidator.fromDoc(schema);
  });
  after(() => {
    validator.dispose();
    schema.dispose();
  });

  /** Writes the file, holds it against ISO's schema, and reads it back. */
  function written(of = run(), settings: FileSettings = fileSettings): XmlElement {
    const xml = writePain001(of, settings);
    const document = XmlDocument.fromString(xml);
    try {
      validator.validate(document);
    } finally {
      document.dispose();
    }
    const root = child(parseXml(xml), 'CstmrCdtTrfInitn');
    if (!root) throw new Error('no initiation');
    return root;
  }

  const blocksOf = (root: XmlElement) => childrenOf(root, 'PmtInf');
  const transactionsOf = (root: XmlElement) => blocksOf(root).flatMap((block) => childrenOf(block, 'CdtTrfTxInf'));

  function refused(code: string, of = run(), settings = fileSettings): void {
    should(() => writePain001(of, settings)).throw(BusinessRefusal, { code });
  }

  it('validates against the schema and says who pays whom how much for what', () => {
    const root = written();
    should(textOf(root, 'GrpHdr', 'MsgId')).equal('RUN-1');
    should(textOf(root, 'GrpHdr', 'CreDtTm')).equal('2026-11-20T10:00:00Z');
    should(textOf(root, 'GrpHdr', 'NbOfTxs')).equal('2');
    should(textOf(root, 'GrpHdr', 'CtrlSum')).equal('58.40');
    const [block] = blocksOf(root);
    should(blocksOf(root)).have.length(1);
    should(textOf(block, 'PmtInfId')).equal('RUN-1');
    should(textOf(block, 'PmtTpInf', 'SvcLvl', 'Cd')).equal('SEPA');
    should(textOf(block, 'ChrgBr')).equal('SLEV');
    should(textOf(block, 'ReqdExctnDt', 'Dt')).equal('2026-11-20');
    should(textOf(block, 'Dbtr', 'Nm')).equal('Kitchen + Cellar GmbH');
    should(textOf(block, 'Dbtr', 'PstlAdr', 'StrtNm')).equal('Hauptstrasse');
    should(textOf(block, 'Dbtr', 'PstlAdr', 'BldgNb')).equal('12a');
    should(textOf(block, 'DbtrAcct', 'Id', 'IBAN')).equal('DE89370400440532013000');
    should(textOf(block, 'DbtrAgt', 'FinInstnId', 'BICFI')).equal('COBADEFFXXX');
    const [first] = transactionsOf(root);
    should(textOf(first, 'PmtId', 'EndToEndId')).equal('vineyard/INV-1');
    should(textOf(first, 'PmtId', 'InstrId')).equal('vineyard/INV-1');
    should(textOf(first, 'Amt', 'InstdAmt')).equal('29.20');
    should(textOf(first, 'Cdtr', 'Nm')).equal('Chateau du Pret + Fils');
    should(textOf(first, 'Cdtr', 'PstlAdr', 'StrtNm')).equal("5 rue de l'Eglise");
    should(textOf(first, 'Cdtr', 'PstlAdr', 'TwnNm')).equal('Bordeaux');
    should(textOf(first, 'Cdtr', 'PstlAdr', 'Ctry')).equal('FR');
    should(textOf(first, 'CdtrAcct', 'Id', 'IBAN')).equal('FR1420041010050500013M02606');
    should(textOf(first, 'RmtInf', 'Ustrd')).equal('INV-1');
  });

  it('is the same bytes for the same run', () => {
    should(writePain001(run(), fileSettings)).equal(writePain001(structuredClone(run()), fileSettings));
  });

  it('validates with the least that a configuration has', () => {
    const root = written(run(), { account: { name: 'K', iban: fileSettings.account.iban }, characterSet: 'utf8' });
    should(textOf(blocksOf(root)[0], 'DbtrAgt', 'FinInstnId', 'Othr', 'Id')).equal('NOTPROVIDED');
    should(textOf(transactionsOf(root)[0], 'Cdtr', 'Nm')).equal('Château du Prêt & Fils');
  });

  it('sums any amounts exactly, in any currency', () => {
    const currency = fc.constantFrom('EUR', 'JPY', 'KWD', 'USD');
    const amounts = fc.array(fc.integer({ min: 1, max: 99_999_999_999 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(currency, amounts, (code, minors) => {
        const beneficiary = { bic: 'AGRIFRPP' };
        const payments = minors.map((minor, index) => payment(index, { amount: money(minor, code), beneficiary }));
        const root = written(run(payments));
        const exact = minors.reduce((all, minor) => all + BigInt(minor), 0n);
        should(textOf(root, 'GrpHdr', 'CtrlSum')).equal(decimal(money(Number(exact), code)));
        const digits = textOf(root, 'GrpHdr', 'CtrlSum')?.replace('.', '') ?? '';
        should(BigInt(digits)).equal(exact);
        const parts = transactionsOf(root).map((each) =>
          BigInt(textOf(each, 'Amt', 'InstdAmt')?.replace('.', '') ?? ''),
        );
        should(parts).eql(minors.map(BigInt));
      }),
      { numRuns: 40 },
    );
  });

  it('validates, or is refused in words, whatever stands in names, addresses and bill numbers', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 80 }),
      fc.string({ unit: 'grapheme', maxLength: 160 }),
      fc.constantFrom('', ' ', 'Łódź', 'Αθήνα', '東京', '<&>', '//', 'RF18539007547034', 'a\nb\u0000c', 'ü'.repeat(70)),
    );
    let files = 0;
    fc.assert(
      fc.property(
        text,
        text,
        text,
        text,
        text,
        fc.constantFrom('sepa', 'utf8'),
        (name, street, city, postalCode, number, characterSet) => {
          const paid = payment(1, {
            beneficiary: { name },
            address: { street, city, postalCode, region: city },
            billNumber: number,
          });
          try {
            written(run([paid]), { ...fileSettings, characterSet: characterSet as 'sepa' | 'utf8' });
            files++;
          } catch (error) {
            should(error).be.instanceof(BusinessRefusal);
          }
        },
      ),
      { numRuns: 400, examples: [['a', 'b', 'c', 'd', 'e', 'sepa']] },
    );
    should(files).be.above(10);
  });

  it('writes nothing but basic Latin for `sepa`', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        should(toBasicLatin(text).text).match(/^[A-Za-z0-9/\-?:().,'+ ]*$/);
      }),
    );
    should(toBasicLatin('Äpfel & Öl, Große Straße; “Łódź” – Ærø_Å€')).eql({
      text: "Aepfel + Oel, Grosse Strasse, 'Lodz' - AEro-AEUR",
      complete: true,
    });
    should(toBasicLatin('A\u0308pfel ①').text).equal('Aepfel 1');
    should(toBasicLatin('Иван 2')).eql({ text: '???? 2', complete: false });
  });

  it('wants the beneficiary complete, and names the supplier otherwise', () => {
    for (const address of [{ street: ' ' }, { city: '' }, { country: '' }, { country: 'France' }, { country: 'fr' }]) {
      refused('BENEFICIARY_INCOMPLETE', run([payment(1, { address })]));
    }
    const bare = payment(1);
    refused('BENEFICIARY_INCOMPLETE', { ...run([bare]), payments: [{ ...bare, beneficiary: withoutAddress(bare) }] });
    refused('BENEFICIARY_INCOMPLETE', run([payment(1, { beneficiary: { name: '***' } })]));
    refused('BENEFICIARY_TEXT_INVALID', run([payment(1, { address: { city: 'Αθήνα' } })]));
    refused('BENEFICIARY_TEXT_TOO_LONG', run([payment(1, { beneficiary: { name: 'ü'.repeat(36) } })]));
    written(run([payment(1, { beneficiary: { name: 'ü'.repeat(35) } })]));
    should(() => writePain001(run([payment(1, { address: { street: '' } })]), fileSettings)).throw(
      /29\.20 EUR to vineyard for INV-1 cannot be paid: the supplier has no street/,
    );
  });

  it('takes valid IBANs and BICs only, in the form that people write', () => {
    const iban = (value: string) => run([payment(1, { beneficiary: { iban: value } })]);
    should(
      textOf(transactionsOf(written(iban('fr14 2004 1010 0505 0001 3m02 606')))[0], 'CdtrAcct', 'Id', 'IBAN'),
    ).equal('FR1420041010050500013M02606');
    for (const wrong of ['', 'FR1420041010050500013M02607', 'DE89 3704', '123456789']) {
      refused('IBAN_INVALID', iban(wrong));
    }
    refused('BIC_INVALID', run([payment(1, { beneficiary: { bic: 'NOPE' } })]));
  });

  it('refuses amounts that nobody can transfer', () => {
    for (const minor of [0, -1, 100_000_000_000])
      refused('AMOUNT_INVALID', run([payment(1, { amount: money(minor, 'EUR') })]));
    written(run([payment(1, { amount: money(99_999_999_999, 'EUR') })]));
  });

  it('refuses a run that does not add up', () => {
    refused('RUN_EMPTY', run([]));
    refused('RUN_INVALID', run(undefined, { total: money(5841, 'EUR') }));
    refused('RUN_INVALID', run([payment(1), payment(1)]));
    refused('CURRENCY_MISMATCH', { ...run(), currency: 'USD', total: money(5840, 'USD') });
    for (const id of ['', 'a/b', '../x', 'a b', 'x'.repeat(31)]) refused('RUN_INVALID', run(undefined, { id }));
    for (const executeOn of ['', 'soon', '2026-13-01', '9999999-01-01'])
      refused('RUN_INVALID', run(undefined, { executeOn }));
    for (const endToEndId of ['', '/a', 'a/', 'a//b', 'a b', 'é', 'x'.repeat(36)]) {
      refused('PAYMENT_ID_INVALID', run([payment(1, { endToEndId })]));
    }
  });

  it('gives payments beyond SEPA a block of their own, with BIC and UETR', () => {
    const turkish = { iban: 'TR330006100519786457841326', bic: 'ISBKTRIS' };
    const root = written(run([payment(1), payment(2, { beneficiary: turkish })]));
    should(blocksOf(root).map((block) => textOf(block, 'PmtInfId'))).eql(['RUN-1-SEPA', 'RUN-1-OTHER']);
    should(blocksOf(root).map((block) => textOf(block, 'CtrlSum'))).eql(['29.20', '29.20']);
    should(blocksOf(root).map((block) => textOf(block, 'PmtTpInf', 'SvcLvl', 'Cd'))).eql(['SEPA', undefined]);
    should(blocksOf(root).map((block) => textOf(block, 'ChrgBr'))).eql(['SLEV', 'SHAR']);
    const [, beyond] = transactionsOf(root);
    should(textOf(beyond, 'PmtId', 'UETR')).match(
      /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    );
    should(textOf(beyond, 'CdtrAgt', 'FinInstnId', 'BICFI')).equal('ISBKTRIS');
    const dollars = written(run([payment(1, { amount: money(100, 'USD'), beneficiary: { bic: 'AGRIFRPP' } })]));
    should(textOf(blocksOf(dollars)[0], 'PmtTpInf')).be.undefined();
    should(textOf(blocksOf(dollars)[0], 'PmtInfId')).equal('RUN-1');
  });

  it('writes a creditor reference as one, and anything else as text', () => {
    const remittance = (billNumber: string) =>
      child(transactionsOf(written(run([payment(1, { billNumber })])))[0], 'RmtInf');
    should(textOf(remittance('RF18539007547034'), 'Strd', 'CdtrRefInf', 'Ref')).equal('RF18539007547034');
    should(textOf(remittance('RF18539007547034'), 'Ustrd')).be.undefined();
    should(textOf(remittance('RF19539007547034'), 'Ustrd')).equal('RF19539007547034');
    should(textOf(remittance('x'.repeat(200)), 'Ustrd')).equal('x'.repeat(140));
  });

  it('asks for a day on which banks work', () => {
    const day = (executeOn: string) => textOf(blocksOf(written(run(undefined, { executeOn })))[0], 'ReqdExctnDt', 'Dt');
    should(day('2026-11-21')).equal('2026-11-23');
    should(day('2026-12-25')).equal('2026-12-28');
    should(businessDayFrom('2027-01-01')).equal('2027-01-04');
    should(businessDayFrom('2026-05-01')).equal('2026-05-04');
    for (const [goodFriday, next] of [
      ['2024-03-29', '2024-04-02'],
      ['2025-04-18', '2025-04-22'],
      ['2026-04-03', '2026-04-07'],
      ['2027-03-26', '2027-03-30'],
      ['2038-04-23', '2038-04-27'],
    ] as const) {
      should(businessDayFrom(goodFriday)).equal(next);
    }
    should(businessDayFrom('2026-05-25')).equal('2026-05-25');
  });

  it('says what our own account lacks', () => {
    const { account } = fileSettings;
    const address = { name: 'x', street: 'a', city: 'b', country: 'DE' };
    for (const change of [
      { account: { ...account, iban: 'DE00' } },
      { account: { ...account, name: 'Ω' } },
      { account: { ...account, bic: 'NOPE' } },
      { account: { ...account, address: { ...address, country: 'Germany' } } },
      { account: { ...account, address: { ...address, city: '' } } },
      { accountCurrency: 'euro' },
    ]) {
      should(() => writePain001(run(), { ...fileSettings, ...change })).throw(ConfigurationMistake, {
        code: 'ACCOUNT_INCOMPLETE',
      });
    }
  });
});
