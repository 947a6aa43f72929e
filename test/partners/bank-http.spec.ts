import { createHmac } from 'node:crypto';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import should from 'should';
import { BusinessRefusal, ConfigurationMistake, InDoubt, TemporaryFault } from '../../orders/errors.ts';
import { createHttp } from '../../partners/http.ts';
import { createIsoHttp } from '../../partners/bank/iso20022.ts';
import type { Json, Write, Writer } from '../../partners/write.ts';
import { bankSettings, run } from './bank-samples.ts';
import { recording, recovering, sending } from './writers.ts';

interface Call {
  method: string;
  url: string;
  headers: IncomingMessage['headers'];
  body: string;
}

describe('bank by HTTP', () => {
  let server: Server;
  let calls: Call[];
  let answer: (call: Call) => { status: number; body: string } | undefined;
  let baseUrl: string;
  const http = createHttp({ partner: 'bank', timeout: 300 });

  before(async () => {
    server = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => {
        const call = {
          method: request.method ?? '',
          url: request.url ?? '',
          headers: request.headers,
          body: Buffer.concat(parts).toString(),
        };
        calls.push(call);
        const answered = answer(call);
        if (!answered) return request.socket.destroy();
        response.writeHead(answered.status, { 'content-type': 'application/json' });
        return response.end(answered.body);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/`;
  });
  after(async () => {
    http.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  beforeEach(() => {
    calls = [];
  });

  const bank = (
    credentials: Record<string, string | undefined> = {
      apiKey: 'test-key',
      webhookSecret: 'hook',
      oldWebhookSecret: 'old-hook',
    },
  ) => createIsoHttp(bankSettings({ baseUrl, credentials }), { http, now: () => 0 });

  const json = (status: number, body: unknown) => ({ status, body: JSON.stringify(body) });
  const taken = { messageId: 'RUN-1', status: 'RCVD' };
  const notFound = json(404, { error: { code: 'not_found', message: 'no' } });

  it('posts the file with the key, once', async () => {
    answer = () => json(202, taken);
    const steps: Write<Json>[] = [];
    should(await bank().submit(run(), recording(steps))).eql(taken);
    should(calls).have.length(1);
    should(calls[0]).match({ method: 'POST', url: '/api/payments', body: /<MsgId>RUN-1<\/MsgId>/ });
    should(calls[0]?.headers).match({ authorization: 'Bearer test-key', 'content-type': /^application\/xml/ });
    should(steps).match([{ step: 'post', settle: 'probe', whenMissing: 'ask' }]);
  });

  it('is in doubt after anything that leaves open what the bank did', async () => {
    const answers = [
      undefined,
      json(500, {}),
      json(200, {}),
      json(200, { ...taken, messageId: 'RUN-2' }),
      { status: 200, body: '<html>' },
      { status: 200, body: '' },
    ];
    for (const each of answers) {
      answer = () => each;
      await should(bank().submit(run(), sending)).be.rejectedWith(InDoubt);
    }
  });

  it('finds by its message id what was taken before the answer was lost', async () => {
    answer = ({ method }) => (method === 'GET' ? json(200, { ...taken, status: 'ACTC', payments: [] }) : json(500, {}));
    should(await bank().submit(run(), recovering())).eql({ messageId: 'RUN-1', status: 'ACTC' });
    should(calls.map(({ method, url }) => `${method} ${url}`)).eql(['GET /api/payments/RUN-1']);
  });

  it('believes "not found" only when the bank itself says so', async () => {
    const find = async (): Promise<unknown> => {
      const steps: Write<Json>[] = [];
      answer = () => json(202, taken);
      await bank().submit(run(), recording(steps));
      const [write] = steps;
      return write?.settle === 'probe' ? write : undefined;
    };
    const write = (await find()) as { find(): Promise<unknown> };
    answer = () => notFound;
    should(await write.find()).be.undefined();
    for (const unclear of [
      { status: 404, body: '<h1>Not Found</h1>' },
      json(404, {}),
      json(200, { ...taken, messageId: 'x' }),
      json(500, {}),
      undefined,
    ]) {
      answer = () => unclear;
      await should(write.find()).be.rejectedWith(Error);
    }
  });

  it("takes a person's word for it only when the bank shows the file, and never sends it for that", async () => {
    const adopting: Writer = (write) => write.adopt!('TAN-4711');
    answer = () => json(200, taken);
    should(await bank().submit(run(), adopting)).eql(taken);
    answer = () => notFound;
    await should(bank().submit(run(), adopting)).be.rejectedWith(/does not show the payment file RUN-1/);
    should(calls.map(({ method }) => method)).eql(['GET', 'GET']);
  });

  it('takes "we already have it" for done when the bank shows it', async () => {
    answer = ({ method }) =>
      method === 'GET' ? json(200, taken) : json(409, { error: { code: 'duplicate_message' } });
    should(await bank().submit(run(), sending)).eql(taken);
    answer = ({ method }) => (method === 'GET' ? notFound : json(409, { error: { code: 'duplicate_message' } }));
    await should(bank().submit(run(), sending)).be.rejectedWith(InDoubt);
    answer = ({ method }) => (method === 'GET' ? json(503, {}) : json(409, { error: { code: 'duplicate_message' } }));
    await should(bank().submit(run(), sending)).be.rejectedWith(InDoubt);
  });

  it('tells a refusal, a pause and wrong credentials apart', async () => {
    answer = () => json(400, { error: { code: 'schema_invalid', message: 'PmtInf missing' } });
    await should(bank().submit(run(), sending)).be.rejectedWith({
      name: 'BusinessRefusal',
      code: 'BANK_REFUSED',
      message: /PmtInf missing/,
    });
    answer = () => json(429, {});
    await should(bank().submit(run(), sending)).be.rejectedWith(TemporaryFault);
    answer = () => json(401, {});
    await should(bank().submit(run(), sending)).be.rejectedWith({
      name: 'ConfigurationMistake',
      code: 'CREDENTIALS_REFUSED',
    });
    calls = [];
    await should(bank({}).submit(run(), sending)).be.rejectedWith({
      name: 'ConfigurationMistake',
      code: 'CREDENTIALS_MISSING',
    });
    should(calls).eql([]);
  });

  it('posts nothing that is not approved', async () => {
    answer = () => json(202, taken);
    await should(bank().submit(run(undefined, { state: 'waiting-for-approval' }), sending)).be.rejectedWith(
      BusinessRefusal,
    );
    should(calls).eql([]);
  });

  it('waits as long as the options say', () => {
    const of = (options: Record<string, unknown>) =>
      createIsoHttp(bankSettings({ options }), { http, now: () => 0 }).settleTime;
    should(of({})).equal(70_000);
    should(of({ timeout: 5 })).equal(40_000);
    should(of({ settleSeconds: 1.5 })).equal(1500);
    should(of({ settleSeconds: Number.NaN, timeout: '5' })).equal(70_000);
  });

  it('tests the connection', async () => {
    answer = () => json(200, { ok: true });
    should(await bank().testConnection()).match({ ok: true });
    should(calls[0]).match({ method: 'GET', url: '/api/health' });
    answer = () => json(200, {});
    should(await bank().testConnection()).match({ ok: false, message: /base URL/ });
    answer = () => json(401, {});
    should(await bank().testConnection()).match({ ok: false, message: /credentials/ });
    should(
      await createIsoHttp(bankSettings({ baseUrl: 'file:///etc' }), { http, now: () => 0 }).testConnection(),
    ).match({ ok: false, message: /https/ });
  });

  describe('posted reports', () => {
    const xml =
      '<Document><CstmrPmtStsRpt><GrpHdr><MsgId>B-1</MsgId><CreDtTm>2026-11-23T08:00:00Z</CreDtTm></GrpHdr>' +
      '<OrgnlGrpInfAndSts><OrgnlMsgId>RUN-1</OrgnlMsgId><GrpSts>ACSC</GrpSts></OrgnlGrpInfAndSts></CstmrPmtStsRpt></Document>';
    const signed = (body: string, key = 'hook') => ({
      headers: { 'x-signature': createHmac('sha256', key).update(body).digest('hex') },
      body: Buffer.from(body),
    });

    it('are facts with the XML as it came', () => {
      const [fact, ...more] = bank().receive(signed(xml));
      should(more).eql([]);
      should(fact).match({ kind: 'payment-status', body: xml, dedupeKey: /^report:B-1:/ });
      should(bank().readStatus(fact?.body)).match({ run: 'RUN-1', all: { state: 'paid' } });
      should(bank().receive(signed(xml, 'old-hook'))).have.length(1);
    });

    it('are refused when they are not signed by the bank', () => {
      for (const request of [
        signed(xml, 'other'),
        { ...signed(xml), body: Buffer.from(xml.replace('ACSC', 'RJCT')) },
        { headers: {}, body: Buffer.from(xml) },
      ]) {
        should(() => bank().receive(request)).throw(ConfigurationMistake, { code: 'NOT_AUTHENTIC' });
      }
      should(() => bank({}).receive(signed(xml, ''))).throw(ConfigurationMistake, { code: 'NOT_AUTHENTIC' });
    });

    it('are refused as unreadable only when they are no XML; other XML is kept for a person', () => {
      for (const body of ['', '{}', '<a>', '<!DOCTYPE a><a/>']) {
        should(() => bank().receive(signed(body))).throw(BusinessRefusal, { code: 'BODY_UNREADABLE' });
      }
      const [fact] = bank().receive(signed('<Document><BkToCstmrStmt/></Document>'));
      should(() => bank().readStatus(fact?.body)).throw(BusinessRefusal, { code: 'STATUS_UNREADABLE' });
      should(() => bank().readStatus({ no: 'text' })).throw(BusinessRefusal, { code: 'STATUS_UNREADABLE' });
    });
  });
});
