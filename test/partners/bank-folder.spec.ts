import { mkdir, mkdtemp, readdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import should from 'should';
import { BusinessRefusal, ConfigurationMistake, InDoubt } from '../../orders/errors.ts';
import { createHttp } from '../../partners/http.ts';
import { createIsoFolder } from '../../partners/bank/iso20022.ts';
import type { Json, Write, Writer } from '../../partners/write.ts';
import { bankSettings, payment, run } from './bank-samples.ts';
import { recording, recovering, sending } from './writers.ts';

describe('bank by folder', () => {
  let folder: string;
  let now: number;
  const http = createHttp({ partner: 'bank', timeout: 1000 });
  after(() => http.close());

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dropline-bank-'));
    now = Date.now() + 60_000;
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  function bank(options: Record<string, unknown> = {}, baseUrl = folder) {
    const settings = bankSettings({ baseUrl });
    Object.assign(settings.options, options);
    return createIsoFolder(settings, { http, now: () => now });
  }

  const filesIn = async (path = folder) => (await readdir(path)).filter((name) => !name.startsWith('.')).toSorted();

  /** Does the steps before the named one, and dies when it is done but not yet recorded, or before it is begun. */
  function dying(step: string, when: 'before' | 'after', record: Record<string, Json> = {}): Writer {
    return async <Result extends Json>(write: Write<Result>): Promise<Result> => {
      if (write.step === step && when === 'before') throw new Error('killed');
      const result = await sending(write);
      if (write.step === step) throw new Error('killed');
      record[write.step] = result;
      return result;
    };
  }

  describe('handing over', () => {
    it('puts the whole file into the folder under its message id, and nothing else', async () => {
      const steps: Write<Json>[] = [];
      should(await bank().submit(run(), recording(steps))).eql({ file: 'RUN-1.xml' });
      should(await filesIn()).eql(['RUN-1.xml']);
      should(await readFile(join(folder, 'RUN-1.xml'), 'utf8'))
        .containEql('<MsgId>RUN-1</MsgId>')
        .and.endWith('</Document>\n');
      should(await readdir(join(folder, '.dropline'))).eql([]);
      should(steps.map(({ step, settle }) => [step, settle])).eql([
        ['stage', 'idempotent'],
        ['hand-over', 'probe'],
      ]);
      should(steps[0]?.summary).eql({ messageId: 'RUN-1', payments: 2, total: '58.40 EUR' });
    });

    it('shows nothing to the bank before the last step', async () => {
      await should(bank().submit(run(), dying('hand-over', 'before'))).be.rejectedWith('killed');
      should(await filesIn()).eql([]);
    });

    it('goes on after a crash in the middle of staging', async () => {
      await mkdir(join(folder, '.dropline'));
      await writeFile(join(folder, '.dropline', 'RUN-1-1.xml.part'), '<Document');
      await writeFile(join(folder, '.dropline', 'RUN-1-1.xml'), 'an older attempt');
      await bank().submit(run(), recovering({}, 1));
      should(await readFile(join(folder, 'RUN-1.xml'), 'utf8')).endWith('</Document>\n');
    });

    it('hands over after a crash between staging and moving', async () => {
      const record: Record<string, Json> = {};
      await should(bank().submit(run(), dying('hand-over', 'before', record))).be.rejectedWith('killed');
      should(await bank().submit(run(), recovering(record))).eql({ file: 'RUN-1.xml' });
      should(await filesIn()).eql(['RUN-1.xml']);
    });

    it('hands nothing over twice after a crash between moving and its record, even when the bank has the file', async () => {
      const record: Record<string, Json> = {};
      await should(bank().submit(run(), dying('hand-over', 'after', record))).be.rejectedWith('killed');
      await rename(join(folder, 'RUN-1.xml'), join(folder, 'collected'));
      should(await bank().submit(run(), recovering(record))).eql({ file: 'RUN-1.xml' });
      should(await filesIn()).eql(['collected']);
    });

    it('is not deceived by an old attempt that stages too late', async () => {
      const record: Record<string, Json> = {};
      let stageOfOldAttempt: Write<Json> | undefined;
      const second: Writer = async <Result extends Json>(write: Write<Result>): Promise<Result> => {
        if (write.step === 'stage') stageOfOldAttempt = write as unknown as Write<Json>;
        const result = await write.send({ key: 'k', number: 2, signal: AbortSignal.timeout(1000) });
        record[write.step] = result;
        return result;
      };
      await bank().submit(run(), second);
      await rename(join(folder, 'RUN-1.xml'), join(folder, 'collected'));
      await stageOfOldAttempt?.send({ key: 'k', number: 1, signal: AbortSignal.timeout(1000) });
      delete record['hand-over'];
      should(await bank().submit(run(), recovering(record))).eql({ file: 'RUN-1.xml' });
      should(await filesIn()).eql(['collected']);
    });

    it('is in doubt, not refused, when another attempt has moved the file first', async () => {
      const record: Record<string, Json> = {};
      await should(bank().submit(run(), dying('hand-over', 'after', record))).be.rejectedWith('killed');
      const blind: Writer = async (write) =>
        Object.hasOwn(record, write.step) ? (record[write.step] as never) : await sending(write);
      await should(bank().submit(run(), blind)).be.rejectedWith(InDoubt);
    });

    it('decides nothing when the disk is not there', async () => {
      const record: Record<string, Json> = {};
      await should(bank().submit(run(), dying('hand-over', 'before', record))).be.rejectedWith('killed');
      await rename(folder, `${folder}-away`);
      await should(bank().submit(run(), recovering(record))).be.rejectedWith({
        name: 'ConfigurationMistake',
        code: 'FOLDER_MISSING',
      });
      await mkdir(folder);
      await should(bank().submit(run(), recovering(record))).be.rejectedWith({
        name: 'ConfigurationMistake',
        code: 'FOLDER_MISSING',
      });
      await rm(folder, { recursive: true });
      await rename(`${folder}-away`, folder);
      await bank().submit(run(), recovering(record));
      should(await filesIn()).eql(['RUN-1.xml']);
    });

    it('overwrites nobody', async () => {
      await writeFile(join(folder, 'RUN-1.xml'), 'somebody else');
      await should(bank().submit(run(), sending)).be.rejectedWith({ name: 'BusinessRefusal', code: 'FILE_EXISTS' });
      should(await readFile(join(folder, 'RUN-1.xml'), 'utf8')).equal('somebody else');
    });

    it('refuses a staged file that somebody has changed', async () => {
      const record: Record<string, Json> = {};
      await should(bank().submit(run(), dying('hand-over', 'before', record))).be.rejectedWith('killed');
      const staged = join(folder, '.dropline', 'RUN-1-1.xml');
      await writeFile(staged, (await readFile(staged, 'utf8')).replace('29.20', '99.20'));
      await should(bank().submit(run(), recovering(record))).be.rejectedWith({
        name: 'BusinessRefusal',
        code: 'FILE_CHANGED',
      });
      should(await filesIn()).eql([]);
    });

    it('creates no folder in place of a missing one, and takes full paths only', async () => {
      const elsewhere = join(folder, 'not', 'there');
      await should(bank({}, elsewhere).submit(run(), sending)).be.rejectedWith({
        name: 'ConfigurationMistake',
        code: 'FOLDER_MISSING',
      });
      await should(bank({}, 'bank').submit(run(), sending)).be.rejectedWith({
        name: 'ConfigurationMistake',
        code: 'FOLDER_INVALID',
      });
      should(await filesIn()).eql([]);
    });

    it('takes no id that leads out of the folder', async () => {
      for (const id of ['../RUN-1', 'a/b', '.', '']) {
        await should(bank().submit(run(undefined, { id }), sending)).be.rejectedWith({
          name: 'BusinessRefusal',
          code: 'RUN_INVALID',
        });
      }
    });
  });

  describe('what is handed over', () => {
    const refused = async (code: string, of = run()) => {
      await should(bank().submit(of, sending)).be.rejectedWith({ name: 'BusinessRefusal', code });
      should(await filesIn()).eql([]);
    };

    it('is approved by as many people as it needs', async () => {
      await refused('NOT_APPROVED', run(undefined, { state: 'waiting-for-approval' }));
      await refused('NOT_APPROVED', run(undefined, { state: 'refused' }));
      const once = { by: 'ben', at: '2026-11-20T10:00:00.000Z' };
      await refused('NOT_APPROVED', run(undefined, { approvals: [] }));
      await refused('NOT_APPROVED', run(undefined, { approvalsNeeded: 2, approvals: [once, once] }));
    });

    it('is the content that was approved, at the account that it was approved for', async () => {
      const changed = run();
      const [first] = changed.payments;
      if (first) first.beneficiary.iban = 'DE89370400440532013000';
      await refused('NOT_APPROVED', changed);
      await refused('WRONG_ACCOUNT', run(undefined, { account: 'other-bank' }));
    });

    it('can be checked before anybody approves it', async () => {
      const early = run([payment(1, { address: { city: '' } })], { state: 'waiting-for-approval', approvals: [] });
      should(() => bank().check(early)).throw(BusinessRefusal, { code: 'BENEFICIARY_INCOMPLETE' });
      bank().check(run(undefined, { state: 'waiting-for-approval', approvals: [] }));
    });

    it('follows the options of the account', async () => {
      for (const [options, code] of [
        [{ iban: '' }, 'ACCOUNT_INCOMPLETE'],
        [{ accountName: undefined }, 'ACCOUNT_INCOMPLETE'],
        [{ city: '' }, 'ACCOUNT_INCOMPLETE'],
        [{ schema: 'pain.001.001.03' }, 'SCHEMA_UNKNOWN'],
        [{ characterSet: 'latin1' }, 'SCHEMA_UNKNOWN'],
      ] as const) {
        should(() => bank(options).check(run())).throw(ConfigurationMistake, { code });
      }
      await bank({ characterSet: 'utf8', currency: 'EUR' }).submit(run(), sending);
      const text = await readFile(join(folder, 'RUN-1.xml'), 'utf8');
      should(text).containEql('Hauptstraße').and.containEql('<Ccy>EUR</Ccy>').and.containEql('<BldgNb>12a</BldgNb>');
    });
  });

  describe('status reports', () => {
    let statusFolder: string;
    beforeEach(async () => {
      statusFolder = join(folder, 'status');
      await mkdir(statusFolder);
    });

    const xml = (code: string) =>
      `<Document><CstmrPmtStsRpt><GrpHdr><MsgId>B-${code}</MsgId><CreDtTm>2026-11-23T08:00:00Z</CreDtTm></GrpHdr>` +
      `<OrgnlGrpInfAndSts><OrgnlMsgId>RUN-1</OrgnlMsgId><GrpSts>${code}</GrpSts></OrgnlGrpInfAndSts></CstmrPmtStsRpt></Document>`;

    async function put(name: string, content: string | Buffer, ageInSeconds: number): Promise<void> {
      await writeFile(join(statusFolder, name), content);
      const time = new Date(now - ageInSeconds * 1000);
      await utimes(join(statusFolder, name), time, time);
    }

    async function poll() {
      const polled = await bank({ statusFolder }).poll?.(undefined);
      if (!polled?.done) throw new Error('nothing to poll');
      return { ...polled, done: polled.done };
    }

    it('come oldest first, and stay until they are stored', async () => {
      await put('b.xml', xml('ACTC'), 30);
      await put('a.xml', xml('ACSC'), 20);
      const first = await poll();
      should(first.facts.map(({ body }) => bank().readStatus(body).all?.state)).eql(['accepted', 'paid']);
      should(first.facts.every(({ dedupeKey }) => dedupeKey.startsWith('report:B-AC'))).be.true();
      should((await poll()).facts).eql(first.facts);
      await first.done();
      should((await poll()).facts).eql([]);
      should(await filesIn(join(statusFolder, 'read'))).eql(['a.xml', 'b.xml']);
    });

    it('are left alone while they are being written, and unless they are XML files', async () => {
      await put('growing.xml', xml('ACSC').slice(0, 50), 1);
      await put('.hidden.xml', xml('ACSC'), 30);
      await put('half.xml.part', xml('ACSC'), 30);
      await mkdir(join(statusFolder, 'folder.xml'));
      should((await poll()).facts).eql([]);
      now += 10_000;
      should((await poll()).facts).have.length(1);
    });

    it('are kept for a person when they cannot be read, and hold nothing up', async () => {
      await put('a.xml', '<Document', 40);
      await put('b.xml', Buffer.from([0x3c, 0xff, 0x00]), 35);
      await put('huge.xml', Buffer.alloc(10_000_100, 0x20), 33);
      await put('c.xml', xml('ACSC'), 30);
      const { facts, done } = await poll();
      should(facts).have.length(4);
      for (const { dedupeKey, body } of facts.slice(0, 3)) {
        should(dedupeKey).startWith('report:unreadable:');
        should(() => bank().readStatus(body)).throw(BusinessRefusal, { code: 'BODY_UNREADABLE' });
      }
      should(bank().readStatus(facts[3]?.body).all?.state).equal('paid');
      await done();
      should(await filesIn(join(statusFolder, 'read'))).eql(['a.xml', 'b.xml', 'c.xml', 'huge.xml']);
    });

    it('with a name that was there before push nothing out', async () => {
      for (const code of ['ACTC', 'ACSP', 'ACSC']) {
        await put('status.xml', xml(code), 30);
        await (await poll()).done();
      }
      should(await filesIn(join(statusFolder, 'read'))).eql(['2-status.xml', '3-status.xml', 'status.xml']);
      should(await readFile(join(statusFolder, 'read', 'status.xml'), 'utf8')).equal(xml('ACTC'));
    });

    it('come in batches', async () => {
      for (let index = 0; index < 53; index++) await put(`${index}.xml`, xml(`C${index}`), 100 - index);
      const first = await poll();
      should([first.facts.length, first.more]).eql([50, true]);
      await first.done();
      const second = await poll();
      should([second.facts.length, second.more]).eql([3, false]);
    });

    it('are polled only where a folder is named', () => {
      should(bank().poll).be.undefined();
    });
  });

  it('tests the connection in both folders and says what is missing', async () => {
    should(await bank().testConnection()).match({ ok: true });
    should(await filesIn()).eql([]);
    should(await readdir(join(folder, '.dropline'))).eql([]);
    should(await bank({}, join(folder, 'none')).testConnection()).match({ ok: false, message: /not there/ });
    should(await bank({ statusFolder: join(folder, 'none') }).testConnection()).match({ ok: false, message: /none/ });
    should(await bank({ iban: '' }).testConnection()).match({ ok: false, message: /IBAN/ });
  });
});
