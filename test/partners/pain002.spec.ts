import fc from 'fast-check';
import should from 'should';
import { BusinessRefusal, DroplineError } from '../../orders/errors.ts';
import { readPain002, statusReportKey } from '../../partners/bank/pain002.ts';

interface Report {
  /** What stands before `GrpHdr`, such as another root. */
  root?: string;
  created?: string;
  run?: string;
  group?: string;
  blocks?: { id?: string; status?: string; transactions?: string[] }[];
}

const reasons = (...list: [code: string, text: string][]) =>
  list.map(([code, text]) => `<StsRsnInf><Rsn><Cd>${code}</Cd></Rsn><AddtlInf>${text}</AddtlInf></StsRsnInf>`).join('');

const transaction = (id: string, status?: string, more = '') =>
  `<TxInfAndSts><OrgnlInstrId>${id}</OrgnlInstrId><OrgnlEndToEndId>${id}</OrgnlEndToEndId>${
    status === undefined ? '' : `<TxSts>${status}</TxSts>`
  }${more}</TxInfAndSts>`;

function report({ root = 'Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"', ...of }: Report): string {
  const blocks = (of.blocks ?? []).map(
    ({ id, status, transactions }) =>
      `<OrgnlPmtInfAndSts>${id === undefined ? '' : `<OrgnlPmtInfId>${id}</OrgnlPmtInfId>`}${
        status === undefined ? '' : `<PmtInfSts>${status}</PmtInfSts>`
      }${(transactions ?? []).join('')}</OrgnlPmtInfAndSts>`,
  );
  return `<?xml version="1.0" encoding="UTF-8"?>
<${root}><CstmrPmtStsRpt>
  <GrpHdr><MsgId>BANK-77</MsgId><CreDtTm>${of.created ?? '2026-11-23T08:00:00+01:00'}</CreDtTm></GrpHdr>
  <OrgnlGrpInfAndSts><OrgnlMsgId>${of.run ?? 'RUN-1'}</OrgnlMsgId><OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>${
    of.group === undefined ? '' : `<GrpSts>${of.group}</GrpSts>`
  }</OrgnlGrpInfAndSts>
  ${blocks.join('\n')}
</CstmrPmtStsRpt></${root.split(' ')[0]}>`;
}

const states = (of: Report) => {
  const { all, payments } = readPain002(report(of));
  return {
    all: all?.state,
    payments: Object.fromEntries(payments.map(({ endToEndId, state }) => [endToEndId, state])),
  };
};

describe('pain.002', () => {
  it('says of each payment what the bank says, in UTC, with the reason', () => {
    const read = readPain002(
      report({
        group: 'PART',
        blocks: [
          {
            id: 'RUN-1',
            status: 'PART',
            transactions: [
              transaction('a/1', 'ACSC'),
              transaction('a/2', 'RJCT', reasons(['AC04', 'Account  closed'])),
            ],
          },
        ],
      }),
    );
    const at = '2026-11-23T07:00:00.000Z';
    should(read).eql({
      run: 'RUN-1',
      payments: [
        { endToEndId: 'a/1', state: 'paid', code: 'ACSC', at },
        { endToEndId: 'a/2', state: 'rejected', code: 'AC04', reason: 'AC04 Account closed', at },
      ],
    });
  });

  for (const [state, codes] of Object.entries({
    paid: 'ACCC ACSC',
    accepted: 'ACTC ACCP ACSP ACWC ACFC ACPD ACWP RCVD PDNG RCVC RVNC',
    rejected: 'RJCT',
    unclear: 'ACFW PATC CANC BLCK RVCM RVMC RVNM RVNA XXXX acsc toString __proto__ constructor',
  })) {
    it(`takes ${codes} for ${state}, at a payment and at the whole file`, () => {
      for (const code of codes.split(' ')) {
        should(states({ group: code })).eql({ all: state, payments: {} });
        should(states({ blocks: [{ id: 'RUN-1', transactions: [transaction('a/1', code)] }] })).eql({
          all: undefined,
          payments: { 'a/1': state },
        });
      }
    });
  }

  it('tells what an unclear code was', () => {
    should(readPain002(report({ group: 'ZZZZ' })).all).match({ state: 'unclear', code: 'ZZZZ', reason: /ZZZZ/ });
  });

  it('lets the most detailed level win', () => {
    const transactions = [transaction('a/1', 'RJCT')];
    should(states({ group: 'ACTC', blocks: [{ id: 'RUN-1', status: 'RJCT', transactions }] })).eql({
      all: 'rejected',
      payments: { 'a/1': 'rejected' },
    });
    should(states({ group: 'ACTC', blocks: [{ id: 'RUN-1', status: 'ACSC', transactions }] })).eql({
      all: 'accepted',
      payments: { 'a/1': 'rejected' },
    });
    should(states({ group: 'ACCP', blocks: [{ id: 'RUN-1', status: 'PART', transactions }] }).all).be.undefined();
  });

  it('rejects all below a rejection, with its reason', () => {
    const xml = report({ group: 'RJCT', blocks: [{ id: 'RUN-1', transactions: [transaction('a/1')] }] }).replace(
      '<GrpSts>RJCT</GrpSts>',
      `<GrpSts>RJCT</GrpSts>${reasons(['FF01', 'Invalid file'])}`,
    );
    const { all, payments } = readPain002(xml);
    should(all).match({ state: 'rejected', code: 'FF01', reason: 'FF01 Invalid file' });
    should(payments).match([{ endToEndId: 'a/1', state: 'rejected', code: 'FF01' }]);
    should(states({ blocks: [{ status: 'RJCT', transactions: [transaction('a/1')] }] })).eql({
      all: 'rejected',
      payments: { 'a/1': 'rejected' },
    });
  });

  it('believes neither side when a level contradicts the rejection above it', () => {
    for (const code of ['ACSC', 'ACSP', 'PDNG']) {
      const transactions = [transaction('a/1', code)];
      should(states({ group: 'RJCT', blocks: [{ id: 'RUN-1', transactions }] }).payments).eql({ 'a/1': 'unclear' });
      should(states({ group: 'RJCT', blocks: [{ id: 'RUN-1', status: code }] }).all).equal('unclear');
      should(states({ blocks: [{ id: 'RUN-1', status: 'RJCT', transactions }] }).payments).eql({ 'a/1': 'unclear' });
    }
    should(states({ group: 'RJCT', blocks: [{ id: 'RUN-1', status: 'PART' }] }).all).equal('unclear');
  });

  it('takes "settled" above for final only when nothing below is less', () => {
    const of = (...transactions: string[]) => states({ group: 'ACSC', blocks: [{ id: 'RUN-1', transactions }] }).all;
    should(of()).equal('paid');
    should(of(transaction('a/1', 'ACSC'))).equal('paid');
    for (const code of ['ACSP', 'RJCT', 'BLCK'])
      should(of(transaction('a/1', code), transaction('a/2', 'ACSC'))).equal('accepted');
  });

  it('leaves to a person what a rejection as duplicate means: the first may well be paid', () => {
    for (const code of ['AM05', 'DU01', 'DU02', 'DU03', 'DU04', 'DU05', 'DUPL']) {
      const more = reasons([code, 'Duplicate']);
      should(states({ blocks: [{ transactions: [transaction('a/1', 'RJCT', more)] }] }).payments).eql({
        'a/1': 'unclear',
      });
      const { all } = readPain002(report({ group: 'RJCT' }).replace('</GrpSts>', `</GrpSts>${more}`));
      should(all?.state).equal('unclear');
    }
  });

  it('does not apply to the run what the bank says of a part that we cannot name', () => {
    should(states({ blocks: [{ id: 'RUN-1-SEPA', status: 'RJCT' }] }).all).equal('unclear');
    should(
      states({
        group: 'PART',
        blocks: [
          { id: 'RUN-1-SEPA', status: 'ACSC' },
          { id: 'RUN-1-OTHER', status: 'RJCT' },
        ],
      }).all,
    ).equal('unclear');
    should(states({ group: 'RJCT', blocks: [{ id: 'RUN-1-SEPA', status: 'RJCT' }] }).all).equal('rejected');
    should(states({ group: 'ACTC', blocks: [{ id: 'theirs', status: 'ACSP' }] }).all).equal('accepted');
    should(states({ group: 'ACTC', blocks: [{ id: 'theirs', status: 'ACSC' }] }).all).equal('unclear');
    const nameless = '<TxInfAndSts><OrgnlEndToEndId>NOTPROVIDED</OrgnlEndToEndId><TxSts>RJCT</TxSts></TxInfAndSts>';
    should(states({ group: 'ACTC', blocks: [{ id: 'RUN-1', transactions: [nameless] }] })).eql({
      all: 'unclear',
      payments: {},
    });
    should(states({ group: 'RJCT', blocks: [{ id: 'RUN-1', transactions: [nameless] }] }).all).equal('rejected');
  });

  it('finds a payment by its instruction id when the end-to-end id is missing', () => {
    const transactions = ['<TxInfAndSts><OrgnlInstrId> a/1 </OrgnlInstrId><TxSts>ACSC</TxSts></TxInfAndSts>'];
    should(states({ blocks: [{ transactions }] }).payments).eql({ 'a/1': 'paid' });
  });

  it('gives a payment without any status to a person', () => {
    should(states({ blocks: [{ transactions: [transaction('a/1')] }] }).payments).eql({ 'a/1': 'unclear' });
    should(states({ group: 'PART', blocks: [{ transactions: [transaction('a/1')] }] }).payments).eql({
      'a/1': 'unclear',
    });
    should(states({ group: 'ACTC', blocks: [{ transactions: [transaction('a/1')] }] }).payments).eql({
      'a/1': 'accepted',
    });
  });

  it('reads files without a namespace, with a wrong one, with prefixes, in any order', () => {
    const content = { group: 'ACSC' };
    const plain = report({ ...content, root: 'Document' });
    const prefixed = report({ ...content, root: 'p:Document xmlns:p="urn:x"' }).replaceAll(
      'CstmrPmtStsRpt',
      'p:CstmrPmtStsRpt',
    );
    const misspelt = report({ ...content, root: 'Document Xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.03"' });
    const bare = plain.replaceAll(/<\/?Document>/g, '');
    const header = /<GrpHdr>.*<\/GrpHdr>/s.exec(plain)?.[0] ?? '';
    const turned = plain.replace(header, '').replace('</CstmrPmtStsRpt>', `${header}</CstmrPmtStsRpt>`);
    for (const xml of [plain, prefixed, misspelt, bare, turned]) should(readPain002(xml).all?.state).equal('paid');
  });

  it('takes a time without offset for UTC', () => {
    should(readPain002(report({ group: 'ACSC', created: '2026-11-23T08:00:00' })).all?.at).equal(
      '2026-11-23T08:00:00.000Z',
    );
  });

  it('is refused in words when it is no report on a file of ours', () => {
    for (const xml of [
      '<Document><BkToCstmrStmt/></Document>',
      report({ run: '' }),
      report({ created: 'today' }),
      '<CstmrPmtStsRpt/>',
    ]) {
      should(() => readPain002(xml)).throw(BusinessRefusal, { code: 'STATUS_UNREADABLE' });
    }
    should(() => readPain002('<Document>')).throw(BusinessRefusal, { code: 'BODY_UNREADABLE' });
  });

  it('throws nothing but a DroplineError, whatever it is', () => {
    const good = report({
      group: 'PART',
      blocks: [{ id: 'RUN-1', status: 'PART', transactions: [transaction('a/1', 'RJCT', reasons(['AC04', 'x']))] }],
    });
    const change = fc.tuple(
      fc.nat(good.length),
      fc.nat(30),
      fc.oneof(fc.string(), fc.constantFrom('<', '</GrpHdr>', '&#9;', 'RJCT')),
    );
    fc.assert(
      fc.property(fc.array(change, { maxLength: 4 }), (changes) => {
        const xml = changes.reduce((text, [at, cut, put]) => text.slice(0, at) + put + text.slice(at + cut), good);
        try {
          readPain002(xml);
          statusReportKey(xml);
        } catch (error) {
          should(error).be.instanceof(DroplineError);
        }
        should(({} as Record<string, unknown>)['x']).be.undefined();
      }),
      { numRuns: 500 },
    );
  });

  it('has the same key when it is repeated, and another for another content', () => {
    const xml = report({ group: 'ACTC' });
    should(statusReportKey(xml)).equal(statusReportKey(report({ group: 'ACTC' })));
    should(statusReportKey(xml)).startWith('report:BANK-77:');
    should(statusReportKey(xml)).not.equal(statusReportKey(report({ group: 'ACSC' })));
    should(statusReportKey('<Document><BkToCstmrStmt/></Document>')).startWith('report:Document:');
  });
});
