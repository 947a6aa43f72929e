import { createHmac } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { XmlDocument, XsdValidator } from 'libxml2-wasm';
import should from 'should';
import { createBank, type BankOptions } from '../../sandbox/bank.ts';
import { retailer } from '../../sandbox/catalogue.ts';
import { isIban } from '../../sandbox/pain001.ts';
import { serve } from '../../sandbox/serve.ts';
import { createWorld, type World, type WorldOptions } from '../../sandbox/world.ts';
import { listenAsDropline, until } from './dropline.ts';

const API_KEY = 'sandbox-bank-key';
const SECRET = 'sandbox-bank-secret';
const CLOSED = 'BE68539007547034';
const FRENCH = 'FR1420041010050500013M02606';
const GERMAN = 'DE89370400440532013000';
const STRUCTURED =
  '<PstlAdr><StrtNm>Hafenstrasse</StrtNm><BldgNb>12</BldgNb><PstCd>20457</PstCd><TwnNm>Hamburg</TwnNm><Ctry>DE</Ctry></PstlAdr>';

interface Pay {
  id: string;
  amount?: string;
  currency?: string;
  iban?: string;
  address?: string;
}

/** A payment file with one payment instruction for each list of payments. */
function pain001(
  msgId: string,
  instructions: Pay[][],
  wrong: { count?: number; sum?: string; instructionSum?: string; debtor?: string } = {},
): string {
  const sum = (pays: Pay[]) =>
    (pays.reduce((cents, { amount = '10.00' }) => cents + Math.round(Number(amount) * 100), 0) / 100).toFixed(2);
  const all = instructions.flat();
  return `<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"><CstmrCdtTrfInitn>
<GrpHdr><MsgId>${msgId}</MsgId><CreDtTm>2026-11-23T08:00:00Z</CreDtTm><NbOfTxs>${wrong.count ?? all.length}</NbOfTxs><CtrlSum>${wrong.sum ?? sum(all)}</CtrlSum><InitgPty><Nm>Cork and Pan</Nm></InitgPty></GrpHdr>
${instructions
  .map(
    (
      pays,
      index,
    ) => `<PmtInf><PmtInfId>${msgId}-${index + 1}</PmtInfId><PmtMtd>TRF</PmtMtd><NbOfTxs>${pays.length}</NbOfTxs>
<CtrlSum>${wrong.instructionSum ?? sum(pays)}</CtrlSum><ReqdExctnDt><Dt>2026-11-23</Dt></ReqdExctnDt><Dbtr><Nm>Cork and Pan</Nm></Dbtr>
<DbtrAcct><Id><IBAN>${wrong.debtor ?? retailer.iban}</IBAN></Id></DbtrAcct><DbtrAgt><FinInstnId><BICFI>SOGEDEFFXXX</BICFI></FinInstnId></DbtrAgt>
${pays
  .map(
    ({ id, amount = '10.00', currency = 'EUR', iban = GERMAN, address = STRUCTURED }) =>
      `<CdtTrfTxInf><PmtId><InstrId>I-${id}</InstrId><EndToEndId>${id}</EndToEndId></PmtId><Amt><InstdAmt Ccy="${currency}">${amount}</InstdAmt></Amt>
<Cdtr><Nm>Prompt Trading</Nm>${address}</Cdtr><CdtrAcct><Id><IBAN>${iban}</IBAN></Id></CdtrAcct><RmtInf><Ustrd>INV-${id}</Ustrd></RmtInf></CdtTrfTxInf>`,
  )
  .join('\n')}</PmtInf>`,
  )
  .join('\n')}
</CstmrCdtTrfInitn></Document>`;
}

/** What a pain.002 says, outermost level first: `GRP ACTC`, `INSTR <id> RJCT AC02`, `TX <EndToEndId> RJCT AC04`. */
function readReport(xml: string): string[] {
  const validator = XsdValidator.fromDoc(
    XmlDocument.fromBuffer(readFileSync(new URL('../../sandbox/schemas/pain.002.001.10.xsd', import.meta.url))),
  );
  const document = XmlDocument.fromString(xml);
  validator.validate(document);
  const p = { p: 'urn:iso:std:iso:20022:tech:xsd:pain.002.001.10' };
  const found: string[] = [];
  for (const node of document.find('//p:OrgnlGrpInfAndSts | //p:OrgnlPmtInfAndSts | //p:TxInfAndSts', p)) {
    const text = (path: string) => (node as typeof document.root).get(path, p)?.content ?? '';
    const level = [
      ['GRP', 'p:OrgnlMsgId', 'p:GrpSts'],
      ['INSTR', 'p:OrgnlPmtInfId', 'p:PmtInfSts'],
      ['TX', 'p:OrgnlEndToEndId', 'p:TxSts'],
    ].find(([, id]) => text(id ?? '') !== '');
    const [kind = '', id = '', status = ''] = level ?? [];
    found.push([kind, text(id), text(status), text('p:StsRsnInf/p:Rsn/p:Cd')].join(' ').trim());
  }
  document.dispose();
  validator.dispose();
  return found;
}

describe('sandbox bank', () => {
  let dropline: Awaited<ReturnType<typeof listenAsDropline>>;
  let home: string;
  let folder: string;
  let statusFolder: string;
  const closing: (() => Promise<void>)[] = [];

  beforeEach(async () => {
    dropline = await listenAsDropline();
    home = mkdtempSync(join(tmpdir(), 'sandbox-bank-'));
    folder = join(home, 'in');
    statusFolder = join(home, 'status');
  });

  afterEach(async () => {
    for (const close of closing.splice(0).toReversed()) await close();
    await dropline.close();
    rmSync(home, { recursive: true });
  });

  async function start(options: Partial<BankOptions> = {}, worldOptions: WorldOptions = {}) {
    const world = createWorld({ speed: 20, ...worldOptions });
    const bank = createBank(world, {
      apiKey: API_KEY,
      webhookSecret: SECRET,
      dropline,
      closedIbans: [CLOSED],
      ...options,
    });
    const listener = await serve(world, bank, 0);
    let stopped = false;
    const stop = async () => {
      if (stopped) return;
      stopped = true;
      await listener.close();
      world.close();
    };
    closing.push(stop);
    const send = async (xml: string, headers: Record<string, string> = {}) => {
      const answer = await fetch(`${listener.url}/payments`, {
        method: 'POST',
        headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/xml', ...headers },
        body: xml,
      });
      return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
    };
    const probe = async (msgId: string) => {
      const answer = await fetch(`${listener.url}/payments/${msgId}`, {
        headers: { authorization: `Bearer ${API_KEY}` },
      });
      return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
    };
    return { world, bank, send, probe, stop };
  }

  const effects = (world: World) => world.effects.map(({ operation, reference }) => `${operation} ${reference}`);
  const reports = () => dropline.received.map(({ body }) => readReport(body));
  const arrived = (count: number) => until(() => dropline.received.length === count, `${count} reports have arrived`);
  const files = (path: string) =>
    readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => entry.name);

  it('executes a good file and reports ACTC and ACSP first, then ACSC for each payment', async () => {
    const { world, send, probe } = await start();
    should(
      await send(
        pain001('RUN-1', [
          [
            { id: 'E1', amount: '29.30' },
            { id: 'E2', iban: FRENCH },
          ],
        ]),
      ),
    ).eql({
      status: 202,
      body: { messageId: 'RUN-1', status: 'RCVD' },
    });
    should((await probe('RUN-1')).body).eql({
      messageId: 'RUN-1',
      status: 'ACTC',
      payments: [
        { endToEndId: 'E1', status: 'ACSP' },
        { endToEndId: 'E2', status: 'ACSP' },
      ],
    });
    should(effects(world)).eql(['file.accept RUN-1']);
    await arrived(2);
    should(reports()).eql([
      ['GRP RUN-1 ACTC', 'INSTR RUN-1-1 ACTC', 'TX E1 ACSP', 'TX E2 ACSP'],
      ['GRP RUN-1 ACSC', 'INSTR RUN-1-1 ACSC', 'TX E1 ACSC', 'TX E2 ACSC'],
    ]);
    should(effects(world)).eql(['file.accept RUN-1', 'payment.execute E1', 'payment.execute E2']);
    should(world.effects[1]?.detail).match({ iban: GERMAN, amount: '29.30', currency: 'EUR', remittance: 'INV-E1' });
    should((await probe('RUN-1')).body).match({ status: 'ACSC' });
    should((await probe('RUN-9')).status).equal(404);
  });

  it('signs every report with HMAC-SHA256 over the raw body', async () => {
    const { send } = await start();
    await send(pain001('RUN-1', [[{ id: 'E1' }]]));
    await arrived(2);
    for (const { path, headers, body } of dropline.received) {
      should(path).equal('/dropship/bank/bank');
      should(headers['x-signature']).equal(createHmac('sha256', SECRET).update(body).digest('hex'));
      should(headers['content-type']).equal('application/xml');
    }
  });

  it('takes a MsgId once: 409 for the second, whatever is in it, and nothing is paid twice', async () => {
    const { world, send } = await start();
    await send(pain001('RUN-1', [[{ id: 'E1' }]]));
    for (const again of [pain001('RUN-1', [[{ id: 'E1' }]]), pain001('RUN-1', [[{ id: 'E2' }]])]) {
      const refused = await send(again);
      should(refused.status).equal(409);
      should(refused.body).match({ error: { code: 'duplicate_message' } });
    }
    await arrived(2);
    should(effects(world)).eql(['file.accept RUN-1', 'payment.execute E1']);
  });

  it('rejects an EndToEndId that it has, in the same file or another, with DUPL and pays the rest', async () => {
    const { world, send } = await start();
    await send(pain001('RUN-1', [[{ id: 'E1' }, { id: 'E1' }]]));
    await send(pain001('RUN-2', [[{ id: 'E1' }, { id: 'E2' }]]));
    await arrived(4);
    const ofRun2 = reports().filter(([group]) => group?.startsWith('GRP RUN-2'));
    should(ofRun2).eql([
      ['GRP RUN-2 PART', 'INSTR RUN-2-1 PART', 'TX E1 RJCT DUPL', 'TX E2 ACSP'],
      ['GRP RUN-2 PART', 'INSTR RUN-2-1 PART', 'TX E1 RJCT DUPL', 'TX E2 ACSC'],
    ]);
    should(effects(world).filter((effect) => effect.startsWith('payment.execute'))).eql([
      'payment.execute E1',
      'payment.execute E2',
    ]);
  });

  it('takes a payment again that it had rejected', async () => {
    const { world, send } = await start();
    await send(pain001('RUN-1', [[{ id: 'E1', iban: 'DE00370400440532013000' }]]));
    await arrived(1);
    await send(pain001('RUN-2', [[{ id: 'E1' }]]));
    await arrived(3);
    should(effects(world)).eql(['file.accept RUN-1', 'payment.reject E1', 'file.accept RUN-2', 'payment.execute E1']);
  });

  it('rejects a payment to a closed account with AC04 on execution, after it was accepted', async () => {
    const { world, send, probe } = await start();
    await send(pain001('RUN-1', [[{ id: 'E1', iban: CLOSED }, { id: 'E2' }]]));
    await arrived(2);
    should(reports()).eql([
      ['GRP RUN-1 ACTC', 'INSTR RUN-1-1 ACTC', 'TX E1 ACSP', 'TX E2 ACSP'],
      ['GRP RUN-1 PART', 'INSTR RUN-1-1 PART', 'TX E1 RJCT AC04', 'TX E2 ACSC'],
    ]);
    should(effects(world)).eql(['file.accept RUN-1', 'payment.reject E1', 'payment.execute E2']);
    should((await probe('RUN-1')).body['payments']).eql([
      { endToEndId: 'E1', status: 'RJCT', reason: 'AC04' },
      { endToEndId: 'E2', status: 'ACSC' },
    ]);
  });

  const LINES = (count: number) => '<AdrLine>somewhere</AdrLine>'.repeat(count);
  const rejected: [what: string, code: string, pay: Partial<Pay>][] = [
    ['an IBAN with wrong check digits', 'AC01', { iban: 'DE88370400440532013000' }],
    ['another currency', 'AM03', { currency: 'USD' }],
    ['a zero amount', 'AM01', { amount: '0.00' }],
    ['tenths of a cent', 'AM12', { amount: '1.005' }],
    ['an address in free lines only', 'BE04', { address: `<PstlAdr>${LINES(2)}</PstlAdr>` }],
    [
      'an address without a town',
      'BE04',
      { address: '<PstlAdr><StrtNm>Hafenstrasse</StrtNm><Ctry>DE</Ctry></PstlAdr>' },
    ],
    [
      'an address with three free lines',
      'BE04',
      { address: `<PstlAdr><TwnNm>Hamburg</TwnNm><Ctry>DE</Ctry>${LINES(3)}</PstlAdr>` },
    ],
    ['no address outside the EEA', 'BE04', { iban: 'CH9300762011623852957', address: '' }],
  ];
  for (const [what, code, pay] of rejected) {
    it(`rejects a payment with ${what} as ${code} and pays the others`, async () => {
      const { world, send } = await start();
      const amounts = pay.amount === '1.005' ? { sum: '11.005', instructionSum: '11.005' } : {};
      should((await send(pain001('RUN-1', [[{ id: 'E1', ...pay }, { id: 'E2' }]], amounts))).status).equal(202);
      await arrived(2);
      should(reports()[0]).eql(['GRP RUN-1 PART', 'INSTR RUN-1-1 PART', `TX E1 RJCT ${code}`, 'TX E2 ACSP']);
      should(effects(world)).eql(['file.accept RUN-1', 'payment.reject E1', 'payment.execute E2']);
    });
  }

  it('accepts town and country with two free lines, and no address within the EEA', async () => {
    const { world, send } = await start();
    const hybrid = `<PstlAdr><TwnNm>Hamburg</TwnNm><Ctry>DE</Ctry>${LINES(2)}</PstlAdr>`;
    await send(
      pain001('RUN-1', [
        [
          { id: 'E1', address: hybrid },
          { id: 'E2', address: '' },
        ],
      ]),
    );
    await arrived(2);
    should(effects(world).slice(1)).eql(['payment.execute E1', 'payment.execute E2']);
  });

  it('rejects a payment instruction as a whole, and says so at that level only', async () => {
    const { world, send } = await start();
    await send(pain001('RUN-1', [[{ id: 'E1' }, { id: 'E2' }]], { debtor: GERMAN }));
    await arrived(1);
    should(reports()[0]).eql(['GRP RUN-1 RJCT', 'INSTR RUN-1-1 RJCT AC02']);
    should(effects(world)).eql(['file.accept RUN-1', 'payment.reject E1', 'payment.reject E2']);
  });

  for (const [what, wrong, code] of [
    ['count', { count: 3 }, 'AM18'],
    ['control sum', { sum: '20.01' }, 'AM10'],
  ] as const) {
    it(`rejects a whole file whose ${what} is wrong, at the group level only`, async () => {
      const { world, send, probe } = await start();
      should((await send(pain001('RUN-1', [[{ id: 'E1' }], [{ id: 'E2' }]], wrong))).status).equal(202);
      await arrived(1);
      should(reports()).eql([[`GRP RUN-1 RJCT ${code}`]]);
      should(effects(world)).eql(['payment.reject E1', 'payment.reject E2']);
      should((await probe('RUN-1')).body).match({ status: 'RJCT', reason: code });
    });
  }

  it('rejects only the payment instruction whose control sum is wrong', async () => {
    const { send } = await start();
    await send(
      pain001('RUN-1', [[{ id: 'E1', amount: '7.00' }], [{ id: 'E2', amount: '5.00' }]], { instructionSum: '5.00' }),
    );
    await arrived(2);
    should(reports()[1]).eql(['GRP RUN-1 PART', 'INSTR RUN-1-1 RJCT AM10', 'INSTR RUN-1-2 ACSC', 'TX E2 ACSC']);
  });

  it('refuses at once what is no pain.001.001.09, not XML, not well-formed, or without the key, and does nothing', async () => {
    const { world, send } = await start();
    const good = pain001('RUN-1', [[{ id: 'E1' }]]);
    const cases: [number, string, string, Record<string, string>?][] = [
      [400, 'schema_invalid', good.replace('<PmtMtd>TRF</PmtMtd>', '')],
      [400, 'schema_invalid', good.replaceAll('pain.001.001.09', 'pain.001.001.03')],
      [400, 'schema_invalid', good.slice(0, -5)],
      [400, 'schema_invalid', good.replace('<Document', '<!DOCTYPE Document [<!ENTITY x "y">]><Document')],
      [415, 'not_xml', good, { 'content-type': 'application/json' }],
      [401, 'unauthorized', good, { authorization: 'Bearer wrong' }],
    ];
    for (const [status, code, xml, headers] of cases) {
      const refused = await send(xml, headers);
      should(refused.status).equal(status);
      should(refused.body).match({ error: { code } });
    }
    should(effects(world)).eql([]);
    should((await send(good)).status).equal(202);
  });

  describe('with folders', () => {
    it('takes *.xml from the folder, leaves hidden and unfinished files, and puts reports into the status folder', async () => {
      const { world, bank } = await start({ folder, statusFolder, post: false });
      const unwatch = bank.watch();
      try {
        for (const name of ['.RUN-2.xml', 'RUN-3.xml.tmp', 'notes.txt'])
          writeFileSync(join(folder, name), pain001(name, [[{ id: name }]]));
        writeFileSync(join(folder, 'RUN-1.tmp'), pain001('RUN-1', [[{ id: 'E1' }]]));
        renameSync(join(folder, 'RUN-1.tmp'), join(folder, 'RUN-1.xml'));
        await until(() => files(statusFolder).length === 2, 'both reports are there');
      } finally {
        unwatch();
      }
      should(files(folder)).eql(['.RUN-2.xml', 'RUN-3.xml.tmp', 'notes.txt']);
      should(files(join(folder, 'accepted'))).eql(['RUN-1.xml']);
      const [first = '', second = ''] = files(statusFolder);
      should(readReport(readFileSync(join(statusFolder, first), 'utf8'))).eql([
        'GRP RUN-1 ACTC',
        'INSTR RUN-1-1 ACTC',
        'TX E1 ACSP',
      ]);
      should(readReport(readFileSync(join(statusFolder, second), 'utf8'))).eql([
        'GRP RUN-1 ACSC',
        'INSTR RUN-1-1 ACSC',
        'TX E1 ACSC',
      ]);
      should(effects(world)).eql(['file.accept RUN-1', 'payment.execute E1']);
      should(dropline.received).eql([]);
    });

    it('rejects a second file of the same MsgId at the group level with DUPL, and does not touch the first', async () => {
      const { world, bank } = await start({ folder });
      for (const name of ['a.xml', 'a.xml']) {
        writeFileSync(join(folder, name), pain001('RUN-1', [[{ id: 'E1' }]]));
        bank.scan();
      }
      await arrived(3);
      should(
        reports()
          .map(([group]) => group)
          .toSorted(),
      ).eql(['GRP RUN-1 ACSC', 'GRP RUN-1 ACTC', 'GRP RUN-1 RJCT DUPL']);
      should(effects(world)).eql(['file.accept RUN-1', 'payment.execute E1']);
      should([files(join(folder, 'accepted')), files(join(folder, 'rejected'))]).eql([['a.xml'], ['a.xml']]);
    });

    it('moves what it cannot read to rejected, with the reason beside it and, where the MsgId can be read, FF01', async () => {
      const { world, bank } = await start({ folder });
      writeFileSync(join(folder, 'broken.xml'), 'not XML at all');
      writeFileSync(
        join(folder, 'invalid.xml'),
        pain001('RUN-1', [[{ id: 'E1' }]]).replace('<PmtMtd>TRF</PmtMtd>', ''),
      );
      bank.scan();
      should(files(join(folder, 'rejected'))).eql(['broken.xml', 'broken.xml.txt', 'invalid.xml', 'invalid.xml.txt']);
      should(readFileSync(join(folder, 'rejected', 'invalid.xml.txt'), 'utf8')).match(/does not agree with the schema/);
      await arrived(1);
      should(reports()).eql([['GRP RUN-1 RJCT FF01']]);
      should(effects(world)).eql([]);
    });

    it('moves a file that it had taken before a crash without taking it again', async () => {
      const stateFile = join(home, 'state.json');
      const before = await start({ folder }, { stateFile });
      writeFileSync(join(folder, 'a.xml'), pain001('RUN-1', [[{ id: 'E1' }]]));
      before.bank.scan();
      const atCrash = JSON.stringify(before.world.state()).replace('"digest"', '"toMove":"a.xml","digest"');
      await before.stop();
      renameSync(join(folder, 'accepted', 'a.xml'), join(folder, 'a.xml'));
      writeFileSync(stateFile, atCrash);
      const after = await start({ folder }, { stateFile });
      after.bank.scan();
      should([files(folder), files(join(folder, 'accepted'))]).eql([[], ['a.xml']]);
      await arrived(2);
      should(reports().map(([group]) => group)).eql(['GRP RUN-1 ACTC', 'GRP RUN-1 ACSC']);
      should(effects(after.world)).eql(['file.accept RUN-1', 'payment.execute E1']);
    });
  });

  describe('callbacks', () => {
    it('are sent again until Dropline takes them', async () => {
      dropline.statuses.push(503, 500);
      const { send } = await start();
      await send(pain001('RUN-1', [[{ id: 'E1' }]]));
      await arrived(4);
      should(new Set(reports().map(([group]) => group))).eql(new Set(['GRP RUN-1 ACTC', 'GRP RUN-1 ACSC']));
    });

    it('duplicate-callback: a report arrives twice', async () => {
      const { world, send } = await start();
      world.faults = [{ partner: 'bank', kind: 'duplicate-callback', times: 1 }];
      await send(pain001('RUN-1', [[{ id: 'E1' }]]));
      await arrived(3);
      should(reports().map(([group]) => group)).eql(['GRP RUN-1 ACTC', 'GRP RUN-1 ACTC', 'GRP RUN-1 ACSC']);
      should(effects(world).length).equal(2);
    });

    it('shuffle-callbacks: the final report arrives before the first', async () => {
      const { world, send } = await start();
      world.faults = [{ partner: 'bank', kind: 'shuffle-callbacks', times: 1 }];
      await send(pain001('RUN-1', [[{ id: 'E1' }]]));
      await arrived(2);
      should(reports().map(([group]) => group)).eql(['GRP RUN-1 ACSC', 'GRP RUN-1 ACTC']);
    });

    it('early-callback: the first report arrives before the file is answered', async () => {
      const { world, send } = await start();
      world.faults = [{ partner: 'bank', kind: 'early-callback', times: 1 }];
      const answer = await send(pain001('RUN-1', [[{ id: 'E1' }]]));
      should(reports().map(([group]) => group)).eql(['GRP RUN-1 ACTC']);
      should(answer.status).equal(202);
      await arrived(2);
    });
  });

  it('faults can aim at the MsgId: a file that was accepted late is paid once, and shown by the probe', async () => {
    const { world, send, probe } = await start();
    world.faults = [{ partner: 'bank', operation: 'file.accept', reference: 'RUN-1', kind: 'reset-after', times: 1 }];
    await send(pain001('RUN-1', [[{ id: 'E1' }]])).then(
      () => should.fail(undefined, undefined, 'It was answered.'),
      (error: Error) => should(error.message).equal('fetch failed'),
    );
    should((await probe('RUN-1')).status).equal(200);
    should((await send(pain001('RUN-1', [[{ id: 'E1' }]]))).status).equal(409);
    await arrived(2);
    should(effects(world)).eql(['file.accept RUN-1', 'payment.execute E1']);
  });

  it('goes on after a restart: payments that are due are executed once', async () => {
    const stateFile = join(home, 'state.json');
    const before = await start({}, { stateFile });
    await before.send(pain001('RUN-1', [[{ id: 'E1' }]]));
    await before.stop();
    await sleep(120);
    should(dropline.received).eql([]);
    const after = await start({}, { stateFile });
    await arrived(2);
    should(effects(after.world)).eql(['file.accept RUN-1', 'payment.execute E1']);
    should((await after.send(pain001('RUN-1', [[{ id: 'E1' }]]))).status).equal(409);
    await after.stop();
    const last = await start({}, { stateFile });
    await sleep(50);
    should(effects(last.world).length).equal(2);
  });

  it('knows a valid IBAN', () => {
    for (const iban of [GERMAN, FRENCH, CLOSED, retailer.iban, 'GB29NWBK60161331926819'])
      should(isIban(iban)).be.true();
    for (const iban of ['', 'DE89370400440532013001', 'de89370400440532013000', 'DE89 3704 0044 0532 0130 00'])
      should(isIban(iban)).be.false();
  });
});
