import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { NodeAPI } from 'node-red';
import should from 'should';
import type { Happening } from '../../ledger/tools.ts';
import { createLog, forLog, harmless, withoutPeople } from '../../nodes/log.ts';
import { BusinessRefusal } from '../../orders/errors.ts';
import { retailer, suppliers } from '../../sandbox/catalogue.ts';
import { isComplete, openHouse, type Basket, type House } from '../support/house.ts';
import { post, shopHeaders } from './real.ts';

interface Written {
  level: string;
  line: unknown;
}

function logOf(dropship?: Record<string, unknown>, level = 'trace') {
  const written: Written[] = [];
  const to = (level: string) => (line: unknown) => void written.push({ level, line });
  const log = { debug: to('debug'), info: to('info'), warn: to('warn'), error: to('error') };
  const settings = { dropship, logging: { console: { level } } };
  const RED = { log, settings } as unknown as NodeAPI;
  return { ...createLog(RED, 'dropship/ledger.sqlite'), written };
}

const doubt: Happening = {
  what: 'effect in doubt',
  eventId: '17',
  orderId: 'shop-1001',
  partner: 'vineyard',
  kind: 'po-send',
  effect: 'po-send/vineyard/shop-1001-1/send',
  attempt: 2,
  outcome: 'ANSWER_LOST',
  milliseconds: 1003,
};

const EVERYTHING: Happening['what'][] = [
  'event stored',
  'event repeated',
  'event emitted',
  'event parked',
  'event closed',
  'event quarantined',
  'effect done',
  'effect retried',
  'effect in doubt',
  'effect refused',
  'effect asked',
  'instance taken over',
  'flows differ',
];

describe('the log', () => {
  it('is short text', () => {
    const { observe, log, written } = logOf();
    observe(doubt);
    log('error', 'event 17 could not be put back: disk full');
    should(written).deepEqual([
      {
        level: 'warn',
        line: '[dropship] effect in doubt eventId=17 orderId=shop-1001 partner=vineyard kind=po-send effect=po-send/vineyard/shop-1001-1/send attempt=2 outcome=ANSWER_LOST milliseconds=1003',
      },
      { level: 'error', line: '[dropship] event 17 could not be put back: disk full' },
    ]);
  });

  it('is one JSON object a line when the settings say so, with its fields for handlers that take objects', () => {
    const { observe, log, written } = logOf({ log: 'json' });
    observe(doubt);
    log('error', 'event 17 could not be put back: disk full');
    const [first, second] = written.map(({ line }) => JSON.parse(String(line)) as Record<string, unknown>);
    const { time, ...fields } = first!;
    should(new Date(String(time)).toISOString()).equal(time);
    should(fields).deepEqual({ level: 'warn', log: 'dropship', ledger: 'dropship/ledger.sqlite', ...doubt });
    should(second).match({ level: 'error', what: 'message', message: 'event 17 could not be put back: disk full' });
    should(written[0]?.line as object).have.property('eventId', '17');
    should(Object.keys(written[0]?.line as object)).not.containEql('toString');
  });

  it('tells at the usual level of what needs attention, and of no order that goes well', () => {
    const { observe, written } = logOf();
    for (const what of EVERYTHING) observe({ ...doubt, what });
    const loud = written.filter(({ level }) => level !== 'debug').map(({ line }) => String(line));
    should(loud.map((line) => /\] (\w+ (?:in doubt|\w+))/.exec(line)?.[1])).deepEqual([
      'event quarantined',
      'effect in doubt',
      'effect refused',
      'effect asked',
    ]);
  });

  it('tells in JSON of everything, at the usual level one line for each event that ended well', () => {
    const { observe, written } = logOf({ log: 'json' });
    for (const what of EVERYTHING) observe({ ...doubt, what });
    should(written).have.length(EVERYTHING.length);
    should(written.filter(({ level }) => level === 'info').map(({ line }) => (line as Happening).what)).deepEqual([
      'event closed',
    ]);
  });

  it('makes no lines about single steps where no log goes into detail', () => {
    for (const mode of [undefined, { log: 'json' }]) {
      const { observe, written } = logOf(mode, 'info');
      for (const what of EVERYTHING) observe({ ...doubt, what });
      should(written.map(({ level }) => level)).not.containEql('debug');
      should(written.length).be.above(3);
    }
  });

  it('takes over the known fields only', () => {
    const { observe, written } = logOf({ log: 'json' });
    observe({ ...doubt, body: { name: 'CANARY' }, error: new Error('CANARY') } as Happening);
    should(String(written[0]?.line)).not.match(/CANARY/);
  });

  it('cannot be given a second line, nor be filled, by what a partner calls its documents', () => {
    for (const mode of [undefined, { log: 'json' }]) {
      const { observe, log, written } = logOf(mode);
      observe({ ...doubt, effect: `x\r\n[error] forged\u2028forged\u0085\u001b[31m${'x'.repeat(10_000)}` });
      log('warn', `a\nb${'x'.repeat(10_000)}`);
      // oxlint-disable-next-line no-control-regex -- they are what is looked for
      for (const { line } of written) should(String(line)).not.match(/[\u0000-\u001f\u0085\u2028]/);
      for (const { line } of written) should(String(line).length).be.below(1500);
    }
  });
});

describe('what errors say in the log', () => {
  it('is without what a parser read', () => {
    const failures = ['CANARY', '{"name": CANARY Doe', `${'['.repeat(30)}"CANARY Doe" x${']'.repeat(30)}`].map(
      (text) => {
        try {
          return JSON.stringify(JSON.parse(text));
        } catch (error) {
          return (error as Error).message;
        }
      },
    );
    should(failures.filter((message) => message.includes('CANARY')).length).be.above(0);
    for (const message of failures) should(harmless(message)).not.match(/CANARY/);
    should(harmless('event 7 could not be judged: Unexpected token \'C\', "CANARY" is not valid JSON')).equal(
      "event 7 could not be judged: Unexpected token 'C' is not valid JSON",
    );
  });

  it('is without e-mail addresses, account numbers and the passwords of addresses', () => {
    should(harmless('no mailbox canary.doe+x@mail.example, really')).equal('no mailbox <e-mail>, really');
    should(harmless('postgres://me:CANARY@db.example:5432/x is away')).equal('postgres://db.example:5432/x is away');
    for (const iban of ['DE89370400440532013000', 'DE89 3704 0044 0532 0130 00', 'NL91ABNA0417164300'])
      should(harmless(`account ${iban} is closed`)).equal('account <IBAN> is closed');
  });

  it('keeps references, numbers of documents and codes', () => {
    const message = 'Order shop-1001: PARTNER_REFUSED by vineyard (422), po-send/vineyard/shop-1001-1, INV-2026-00017.';
    should(harmless(message)).equal(message);
  });

  const po = {
    type: 'purchase-order',
    id: 'shop-10115-1',
    supplier: 'vineyard',
    shipTo: {
      name: 'Jane Canary',
      street: 'Mill (old) Lane 3',
      postalCode: '10115',
      city: 'Ulm',
      country: 'DE',
      phone: '+49 30 123456',
    },
    lines: [{ sku: 'WINE' }],
  };

  it('is without the people of the document, in whatever order a partner writes them', () => {
    const said =
      'vineyard refused: no delivery of shop-10115-1 (WINE) to CANARY, Jane; Mill (old) Lane 3, 10115 Ulm, DE, +49 30 123456.';
    const text = withoutPeople(said, po);
    should(text).not.match(/canary|jane|mill|ulm|123456|\b10115 /i);
    should(text).match(/vineyard refused: no delivery of shop-10115-1 \(WINE\) to .*, DE/);
  });

  it('leaves the error of the desk as it is, and gives the log one without the answer', () => {
    const answer = { text: 'Jane Canary' };
    const error = Object.assign(new BusinessRefusal('PARTNER_REFUSED', 'No delivery to Jane Canary.'), { answer });
    const quiet = forLog(error, po);
    should(error.message).equal('No delivery to Jane Canary.');
    should(quiet).be.instanceof(BusinessRefusal);
    should(String(quiet)).equal('BusinessRefusal: No delivery to ….');
    should(quiet).have.property('code', 'PARTNER_REFUSED');
    should(`${quiet.stack} ${JSON.stringify(quiet)}`).not.match(/Canary/);
    should(quiet.stack).match(/log\.spec\.ts/);
  });
});

/** Words that stand for a person; none may be found in any log. Letters only, as people's names are, so that nothing takes them for an id. */
const PERSON = {
  name: 'Canariella Kanarienvogel',
  street: 'Zwitschergasse 4711',
  postalCode: '98765',
  city: 'Piepshausen',
  phone: '+49 171 9988776',
  email: 'canariella@vogel.example',
};
const CANARIES = ['Canariella', 'Kanarienvogel', 'Zwitschergasse', 'Piepshausen', '9988776', 'vogel.example'];

describe('the log of a real Node-RED, at level trace and with all details', () => {
  let house: House;
  let echo: Server;
  const basket = (sku: string) =>
    ({ lines: [{ sku, quantity: 1 }], country: 'DE', customer: PERSON }) as unknown as Basket;

  before(async () => {
    // A supplier that refuses everything and says it all again.
    echo = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const body = Buffer.concat(chunks).toString();
        const shipTo = /"shipTo":\{[^}]*\}/.exec(body)?.[0] ?? body;
        response.writeHead(422, { 'content-type': 'application/json' });
        response.end(JSON.stringify({ error: { code: 'REFUSED', message: `Cannot deliver to ${shipTo}` } }));
      });
    });
    await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
    house = await openHouse({
      settings: `
        logging: {
          console: { level: 'trace', metrics: true, audit: true },
          file: { level: 'trace', metrics: true, audit: true, handler: () => (entry) =>
            require('node:fs').appendFileSync(require('node:path').join(__dirname, 'entries.log'), JSON.stringify(entry) + '\\n') },
        },
        verbose: true,
        dropship: { development: true, log: 'json' },`,
      changes: { 'dl-moody': { baseUrl: `http://127.0.0.1:${(echo.address() as AddressInfo).port}`, timeout: 1 } },
    });
    // Without Catch nodes every error of a node is logged.
    writeFileSync(join(house.userDir, 'entries.log'), '');
    await house.red.deploy(house.flows.filter(({ type }) => type !== 'catch'));
  });
  after(async () => {
    await house?.close();
    echo?.close();
  });

  it('holds no name, address, phone, e-mail, IBAN, key or password, whatever goes wrong', async () => {
    const { world, keys } = house.sandbox;
    world.faults.push(
      { partner: 'erp', operation: 'customer.create', kind: 'error-after', times: 1 },
      { partner: 'erp', operation: 'sale.create', kind: 'garbage', times: 1 },
      { partner: 'erp', operation: 'purchase.create', kind: 'reset-after', times: 1 },
      { partner: 'prompt', operation: 'order.accept', kind: 'hang', times: 1 },
      { partner: 'shop', operation: 'fulfilment.create', kind: 'error-before', times: 1 },
      { partner: 'prompt', kind: 'duplicate-callback', times: 2 },
    );
    const well = await house.place(basket('WINE-RIESLING'));
    await house.until([well], isComplete, 60_000);
    const refused = await house.place(basket('KNIFE-CHEF'));
    const [view] = await house.until([refused], (each) => each.exceptions.length > 0, 30_000);
    // The desk is told everything: otherwise this test would look for what was never said.
    should(JSON.stringify(view?.exceptions)).match(/Kanarienvogel/);

    // What is not taken in: forged, cut off, and without sense.
    const url = `${house.red.url}/dropship/orders/shop`;
    const body = JSON.stringify({ id: 1, billing: { first_name: 'Canariella', address_1: 'Zwitschergasse' } });
    const { webhookSecret } = keys.shop;
    should((await post(url, body, shopHeaders(body, 'wrong'))).status).equal(401);
    const cut = body.slice(0, -5);
    should((await post(url, cut, shopHeaders(cut, webhookSecret))).status).equal(400);
    should((await post(url, body, shopHeaders(body, webhookSecret))).status).equal(200);
    await house.until([well]);

    const text = readFileSync(join(house.userDir, 'node-red.log'), 'utf8');
    const entries = readFileSync(join(house.userDir, 'entries.log'), 'utf8');
    const secrets = Object.values(keys).flatMap((own) => Object.values(own).map(String));
    const ibans = [...Object.values(suppliers).map(({ iban }) => iban), retailer.iban];
    should(secrets.length).be.above(8);
    for (const log of [text, entries]) {
      for (const canary of [...CANARIES, ...secrets, ...ibans])
        should(log.includes(canary)).be.false(whereIn(log, canary));
    }

    // And they are logs in which there was something to find.
    const lines = entries
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { msg?: Record<string, unknown> }).msg)
      .filter((msg) => msg?.['log'] === 'dropship');
    const told = new Set(lines.map((line) => line?.['what']));
    for (const what of ['event emitted', 'event closed', 'effect done', 'effect in doubt', 'effect refused'])
      should([...told]).containEql(what);
    should(lines.some((line) => line?.['orderId'] === well && line['what'] === 'effect done')).be.true();
    // The console prints the same lines as JSON after Node-RED's own date and level.
    const printed = text.split('\n').filter((line) => line.includes('"log":"dropship"'));
    should(printed.length).be.above(10);
    for (const line of printed)
      should(() => void JSON.parse(line.slice(line.indexOf('{'), line.lastIndexOf('}') + 1))).not.throw();
    // Errors of nodes stand there, without Catch nodes.
    should(text).match(/\[error\] \[supplier-send:.*refused/);
  }).timeout(180_000);
});

function whereIn(log: string, canary: string): string {
  const at = log.indexOf(canary);
  return `${canary}: ${log.slice(Math.max(0, at - 200), at + 100)}`;
}
