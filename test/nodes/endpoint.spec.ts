import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import should from 'should';
import type { Exception } from '../../ledger/exceptions.ts';
import type { OrderView } from '../../ledger/views.ts';
import { until } from './harness.ts';
import { post, shopHeaders, startReal, supplierHeaders, wooLine, wooOrder, type Answer, type Real } from './real.ts';

/** What no answer to a stranger may hold: paths, stacks, names of our own files and settings. */
const INTERNALS =
  /\/work|\/tmp|\/home|node_modules|\.ts\b|\.js\b|sqlite|\bat [A-Za-z.]+ \(|TypeError|config node|secret/i;

describe('the endpoints of a real Node-RED', () => {
  let real: Real;
  let shopSecret: string;
  let promptSecret: string;

  before(async () => {
    real = await startReal({
      settings: 'dropship: { development: true, bodyTimeout: 1 },',
      changes: { 'dl-in-receive': { pollMinutes: 0 } },
    });
    shopSecret = real.sandbox.keys.shop.webhookSecret;
    promptSecret = real.sandbox.keys.prompt.webhookSecret;
  });
  after(() => real.close());

  const shop = () => `${real.root}/dropship/orders/shop`;
  const prompt = () => `${real.root}/dropship/suppliers/prompt`;
  const postOrder = (order: unknown) => {
    const body = typeof order === 'string' ? order : JSON.stringify(order);
    return post(shop(), body, shopHeaders(body, shopSecret));
  };
  const callback = (type: string, data: unknown) => JSON.stringify({ type, timestamp: new Date().toISOString(), data });
  const postCallback = (type: string, data: unknown) => {
    const body = callback(type, data);
    return post(prompt(), body, supplierHeaders(body, promptSecret));
  };
  /** Events taken in since the process started, closed ones too. */
  const stored = async () => {
    const text = await (await fetch(`${real.red.url}/dropship/metrics`)).text();
    const counts = text.matchAll(/^dropship_intake_total\{[^\n]*outcome="stored"[^\n]*\} (\d+)$/gm);
    return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
  };
  const exceptions = () => real.red.get<Exception[]>('/dropship/exceptions');
  const isRefusal = (answer: Answer, status: number, code: string) => {
    should([answer.status, answer.text]).match([status, /^\{"error":/]);
    const { error } = JSON.parse(answer.text) as { error: { code: string; message: string } };
    should(error.code).equal(code);
    should(error.message).match(/^[A-Z].*\.$/);
    should(answer.text).not.match(INTERNALS);
    should(answer.headers['content-type']).equal('application/json; charset=utf-8');
  };

  it('take a signed body in as it is, byte for byte, although the admin API reads JSON at the same root', async () => {
    // Spaces and escapes that no serialiser would write again.
    const order = wooOrder();
    const body = JSON.stringify(order).replace('"Sam"', '  "S\\u0061m"').replace('{', '{ \n ');
    const first = await post(shop(), body, shopHeaders(body, shopSecret));
    should([first.status, JSON.parse(first.text)]).deepEqual([200, { stored: 1, repeated: 0 }]);
    const second = await post(shop(), body, shopHeaders(body, shopSecret));
    should([second.status, JSON.parse(second.text)]).deepEqual([200, { stored: 0, repeated: 1 }]);
    const view = await until('the order', () =>
      real.red.get<OrderView>(`/dropship/orders/shop-${String(order['id'])}`).catch(() => undefined),
    );
    should(view.order.shipTo.name).equal('Sam Sample');
  });

  it('take in what is urlencoded, text or without a type as well: only the signature counts', async () => {
    for (const type of [
      'application/x-www-form-urlencoded',
      'text/plain',
      'application/xml',
      'application/json; charset=iso-8859-1',
    ]) {
      const body = JSON.stringify(wooOrder({ status: 'pending' }));
      const answer = await post(shop(), body, { ...shopHeaders(body, shopSecret), 'content-type': type });
      should(answer.status).equal(200, type);
    }
  });

  it('refuse what is not authentic with 401, all alike, and keep nothing of it', async () => {
    const body = JSON.stringify(wooOrder());
    const good = shopHeaders(body, shopSecret);
    const { 'x-wc-webhook-signature': signature, ...unsigned } = good;
    const document = callback('shipment.sent', { number: 'SH-1', purchaseOrder: 'x' });
    const signed = supplierHeaders(document, promptSecret);
    const old = Date.now() - 400_000;
    const attempts: [string, string, string, Record<string, string | string[]>][] = [
      ['no signature', shop(), body, unsigned],
      ['an empty one', shop(), body, { ...good, 'x-wc-webhook-signature': '' }],
      ['one of another secret', shop(), body, shopHeaders(body, 'another secret')],
      ['one of another body', shop(), body, shopHeaders(`${body} `, shopSecret)],
      ['two', shop(), body, { ...good, 'x-wc-webhook-signature': [signature!, signature!] }],
      ['a right and a wrong one', shop(), body, { ...good, 'x-wc-webhook-signature': [signature!, 'AAAA'] }],
      [
        'one in hex',
        shop(),
        body,
        { ...good, 'x-wc-webhook-signature': Buffer.from(signature!, 'base64').toString('hex') },
      ],
      ['nothing at all', prompt(), document, {}],
      ['a time five minutes ago', prompt(), document, supplierHeaders(document, promptSecret, old)],
      ['a time in the future', prompt(), document, supplierHeaders(document, promptSecret, Date.now() + 400_000)],
      [
        'a time that was not signed',
        prompt(),
        document,
        { ...supplierHeaders(document, promptSecret, old), 'webhook-timestamp': signed['webhook-timestamp']! },
      ],
      [
        "another supplier's secret",
        prompt(),
        document,
        supplierHeaders(document, real.sandbox.keys.parcels.webhookSecret),
      ],
      [
        'a signature twice',
        prompt(),
        document,
        { ...signed, 'webhook-signature': [signed['webhook-signature']!, signed['webhook-signature']!] },
      ],
      ["the shop's kind of signature", prompt(), document, shopHeaders(document, promptSecret)],
      ['at the bank', `${real.root}/dropship/bank/bank`, '<x/>', { 'x-signature': '00' }],
    ];
    const before = await stored();
    const answers = new Set<string>();
    for (const [what, url, sent, headers] of attempts) {
      const answer = await post(url, sent, headers);
      should(answer.status).equal(401, what);
      isRefusal(answer, 401, 'NOT_AUTHENTIC');
      answers.add(answer.text);
    }
    should(answers.size).equal(1);
    should(await stored()).equal(before);
  });

  it('refuse what cannot be read or is too large, with a sentence that helps and tells nothing of our insides', async () => {
    const json = (text: string | Buffer) => post(shop(), text, shopHeaders(text, shopSecret));
    const order = JSON.stringify(wooOrder());
    const before = await stored();
    isRefusal(await json(order.slice(0, -10)), 400, 'BODY_UNREADABLE');
    isRefusal(await json(''), 400, 'BODY_UNREADABLE');
    isRefusal(await json(`{"a":${'['.repeat(40)}${']'.repeat(40)}}`), 400, 'BODY_UNREADABLE');
    isRefusal(await json(`${'['.repeat(200_000)}${']'.repeat(200_000)}`), 400, 'BODY_UNREADABLE');
    isRefusal(await json(order.replace('{', '{"__proto__":{"polluted":1},')), 400, 'BODY_UNREADABLE');
    isRefusal(
      await json(order.replace('"billing":{', '"billing":{"constructor":{"prototype":{"polluted":1}},')),
      400,
      'BODY_UNREADABLE',
    );
    isRefusal(
      await json(Buffer.concat([Buffer.from(order.slice(0, -1)), Buffer.from([0x2c, 0xff, 0xfe, 0x7d])])),
      400,
      'BODY_UNREADABLE',
    );
    isRefusal(
      await post(shop(), gzipSync(order), { ...shopHeaders(gzipSync(order), shopSecret), 'content-encoding': 'gzip' }),
      415,
      'ENCODING_NOT_SUPPORTED',
    );
    isRefusal(
      await post(`${real.root}/dropship/orders/nobody`, order, shopHeaders(order, shopSecret)),
      404,
      'NOT_FOUND',
    );
    isRefusal(
      await post(`${real.root}/dropship/suppliers/shop`, order, shopHeaders(order, shopSecret)),
      404,
      'NOT_FOUND',
    );
    const large = Buffer.alloc(1_100_000, ' ');
    isRefusal(await post(shop(), large, shopHeaders(large, shopSecret)), 413, 'BODY_TOO_LARGE');
    should(await stored()).equal(before);
    should((await post(shop(), order, shopHeaders(order, shopSecret))).status).equal(200, 'the process lives');
  });

  it('throw away a flood of bytes without keeping it in memory', async () => {
    const memory = () =>
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${real.red.process.pid}/status`, 'utf8'))![1]) / 1024;
    const part = Buffer.alloc(1_000_000, ' ');
    const before = memory();
    const parts = Array.from({ length: 150 }, () => part);
    // It is cut off, or answered 413: never read to its end and kept.
    const answer = await post(shop(), parts, {}).catch(() => undefined);
    if (answer) isRefusal(answer, 413, 'BODY_TOO_LARGE');
    should(memory() - before).be.below(60);
    should((await postOrder(wooOrder({ status: 'pending' }))).status).equal(200);
  });

  it('end a request whose body drips in', async () => {
    const { port } = new URL(real.root);
    const begun = Date.now();
    const text = await new Promise<string>((resolve, reject) => {
      const socket = connect(Number(port), '127.0.0.1', () =>
        socket.write('POST /dropship/orders/shop HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n{'),
      );
      const drip = setInterval(() => socket.write(' '), 50);
      let received = '';
      socket.on('data', (chunk) => (received += chunk.toString()));
      socket.on('error', () => undefined);
      socket.on('close', () => {
        clearInterval(drip);
        resolve(received);
      });
      setTimeout(() => {
        socket.destroy();
        reject(new Error('It was not ended.'));
      }, 5000).unref();
    });
    should(text).match(/^HTTP\/1\.1 408 .*BODY_TOO_SLOW/s);
    should(Date.now() - begun).be.within(900, 3000);
  });

  it('leave other methods to Node-RED, without a stack', async () => {
    for (const method of ['GET', 'PUT', 'DELETE', 'PATCH']) {
      const answer = await post(shop(), '', {}, method);
      should(answer.status).equal(404, method);
      should(answer.text).not.match(INTERNALS);
    }
  });

  it('keep what is authentic and cannot be used: 200, and an exception that says why', async () => {
    const cases: [string, Record<string, unknown>, string][] = [
      ['no lines', { line_items: [] }, 'ORDER_WITHOUT_LINES'],
      ['quantity 0', { line_items: [wooLine({ quantity: 0 })] }, 'QUANTITY_INVALID'],
      ['a negative quantity', { line_items: [wooLine({ quantity: -1 })] }, 'QUANTITY_INVALID'],
      ['an absurd quantity', { line_items: [wooLine({ quantity: 1e9 })] }, 'QUANTITY_INVALID'],
      ['half a bottle', { line_items: [wooLine({ quantity: 0.5 })] }, 'FRACTION_NOT_ALLOWED'],
      ['an unknown currency', { currency: 'XXQ' }, 'CURRENCY_UNKNOWN'],
      ['no SKU', { line_items: [wooLine({ sku: '' })] }, 'SKU_MISSING'],
      ['an SKU that nobody sells', { line_items: [wooLine({ sku: 'UNKNOWN-1' })] }, 'SKU_UNKNOWN'],
      ['no country', { shipping: { first_name: 'A', address_1: 'B', city: 'C' } }, 'ADDRESS_WITHOUT_COUNTRY'],
      ['an amount that is none', { total: 'a lot' }, 'AMOUNT_INVALID'],
      ['no date', { date_modified_gmt: null }, 'ORDER_UNREADABLE'],
    ];
    for (const [what, changes, code] of cases) {
      const known = new Set((await exceptions()).map(({ id }) => id));
      const answer = await postOrder(wooOrder(changes));
      should([answer.status, JSON.parse(answer.text)]).deepEqual([200, { stored: 1, repeated: 0 }], what);
      const found = await until(`${code} for ${what}`, async () =>
        (await exceptions()).find((exception) => !known.has(exception.id) && exception.code === code),
      );
      should(found.message).match(/\.$/);
    }
    should((await postOrder(wooOrder())).status).equal(200, 'the process lives');
  });

  it('keep every digit of an id beyond 2^53', async () => {
    const answer = await postOrder(JSON.stringify(wooOrder()).replace(/"id":\d+/, '"id":9007199254740993'));
    should(answer.status).equal(200);
    await until('the order', () => real.red.get('/dropship/orders/shop-9007199254740993').catch(() => undefined));
    await real.red.get('/dropship/orders/shop-9007199254740992').should.be.rejectedWith(/404/);
  });

  it('answer a callback for another supplier, for nobody, and for a purchase order that does not exist yet all alike, and change nothing', async () => {
    const { id } = (await (
      await fetch(`${real.sandbox.urls.shop}/__sandbox/shop/orders`, {
        method: 'POST',
        body: JSON.stringify({ country: 'CZ', lines: [{ sku: 'GLASS-BURGUNDY', quantity: 1 }] }),
      })
    ).json()) as { id: number };
    const view = () => real.red.get<OrderView>(`/dropship/orders/shop-${id}`);
    await until(
      'the bill of "parcels", which is its last word',
      async () => (await view().catch(() => undefined))?.purchaseOrders[0]?.lines[0]?.billed === '1',
    );
    const before = (await view()).purchaseOrders;
    const answers = new Set<string>();
    for (const purchaseOrder of [`shop-${id}-1`, 'shop-1-1', `shop-${id}-2`, 'nothing like it', '']) {
      for (const [type, more] of [
        [
          'shipment.sent',
          {
            shippedAt: new Date().toISOString(),
            parcels: [{ carrier: 'DHL', trackingNumber: '1' }],
            lines: [{ line: '1', sku: 'GLASS-BURGUNDY', quantity: '1' }],
          },
        ],
        ['purchase_order.cancelled', { accepted: true, lines: [{ line: '1', sku: 'GLASS-BURGUNDY', quantity: '1' }] }],
      ] as const) {
        const answer = await postCallback(type, { number: `F-${purchaseOrder}-${type}`, purchaseOrder, ...more });
        answers.add(`${answer.status} ${answer.text}`);
      }
    }
    should([...answers]).deepEqual(['200 {"stored":1,"repeated":0}']);
    await delay(300);
    should((await view()).purchaseOrders).deepEqual(before);
  });

  it('keep a ship notice of more than was ordered from being believed', async () => {
    const { id } = (await (
      await fetch(`${real.sandbox.urls.shop}/__sandbox/shop/orders`, {
        method: 'POST',
        body: JSON.stringify({ country: 'DE', lines: [{ sku: 'WINE-PINOT', quantity: 2 }] }),
      })
    ).json()) as { id: number };
    const view = () => real.red.get<OrderView>(`/dropship/orders/shop-${id}`);
    await until('the shipment', async () => (await view().catch(() => undefined))?.shipments.length === 1);
    const answer = await postCallback('shipment.sent', {
      number: 'SH-TOO-MUCH',
      purchaseOrder: `shop-${id}-1`,
      shippedAt: new Date().toISOString(),
      parcels: [{ carrier: 'DHL', trackingNumber: '1' }],
      lines: [{ line: '1', sku: 'WINE-PINOT', quantity: '1' }],
    });
    should(answer.status).equal(200);
    const found = await until('the exception', async () =>
      (await exceptions()).find(({ code }) => code === 'SHIPPED_MORE_THAN_ORDERED'),
    );
    should(found.message).containEql(`shop-${id}-1`);
    should((await view()).shipments).have.length(1);
  });

  it('answer 2xx to every request through full deploys', async () => {
    const statuses: Record<number, number> = {};
    let deploying = true;
    const before = await stored();
    let sent = 0;
    const sender = async () => {
      while (deploying) {
        sent += 1;
        const { status } = await postOrder(wooOrder({ status: 'pending' }));
        statuses[status] = (statuses[status] ?? 0) + 1;
      }
    };
    const senders = Promise.all(Array.from({ length: 8 }, sender));
    for (let times = 0; times < 3 || sent < 250; times += 1) {
      await real.red.deploy(real.flows({ 'dl-in-receive': { pollMinutes: 0, name: `Deploy ${times}` } }));
      await delay(100);
    }
    deploying = false;
    await senders;
    should(statuses).deepEqual({ 200: sent });
    should(sent).be.above(200);
    should(await stored()).be.aboveOrEqual(before + sent);
  });

  it('ask the sender to come back, with 503, while the ledger cannot be opened', async () => {
    await real.red.deploy(real.flows({ 'dl-ledger': { file: '/dev/null/ledger.sqlite' } }));
    const order = wooOrder();
    // The editor is answered before the new nodes stand.
    const answer = await until('the new ledger', async () => {
      const given = await postOrder(order);
      return given.status !== 200 && given;
    });
    isRefusal(answer, 503, 'NOT_STORED');
    should(Number(answer.headers['retry-after'])).be.above(0);
    should(real.log()).match(/no\/such\/folder|ledger/, 'the reason is in the log');
    await real.red.deploy(real.flows());
    await until('the old ledger', async () => (await postOrder(order)).status === 200);
  });

  it('answer nothing but 503 and 200 while Node-RED starts', async () => {
    await real.red.kill();
    const order = JSON.stringify(wooOrder({ status: 'pending' }));
    const seen: number[] = [];
    const starting = real.start();
    const until200 = async () => {
      for (const end = Date.now() + 15_000; Date.now() < end;) {
        const answer = await post(shop(), order, shopHeaders(order, shopSecret)).catch(() => undefined);
        if (answer) seen.push(answer.status);
        if (answer?.status === 503) should(Number(answer.headers['retry-after'])).be.above(0);
        if (answer?.status === 200) return;
        await delay(5);
      }
    };
    await Promise.all([starting, until200()]);
    should([...new Set(seen)].filter((status) => status !== 503 && status !== 200)).deepEqual([]);
    should(seen.at(-1)).equal(200);
  });
});

describe('the endpoints under httpNodeRoot, with the admin API elsewhere', () => {
  let real: Real;
  before(async () => {
    real = await startReal({
      settings: "httpAdminRoot: '/admin', httpNodeRoot: '/api', httpNodeAuth: { user: 'node', pass: 'x' },",
      adminRoot: '/admin',
      nodeRoot: '/api',
      changes: { 'dl-in-receive': { pollMinutes: 0 } },
    });
  });
  after(() => real.close());

  it('are there and nowhere else; the basic auth of all nodes together does not stand before them', async () => {
    const order = wooOrder();
    const body = JSON.stringify(order);
    const headers = shopHeaders(body, real.sandbox.keys.shop.webhookSecret);
    const taken = await post(`${real.root}/dropship/orders/shop`, body, headers);
    should([taken.status, taken.text]).deepEqual([200, '{"stored":1,"repeated":0}']);
    should((await post(`${real.red.url}/dropship/orders/shop`, body, headers)).status).equal(404);
    should((await post(`${real.red.url}/admin/dropship/orders/shop`, body, headers)).status).equal(404);
    await until('the order', () => real.red.get(`/dropship/orders/shop-${String(order['id'])}`).catch(() => undefined));
    should((await fetch(`${real.root}/dropship/orders`)).status).not.equal(
      200,
      'what the admin API answers is not at the open root',
    );
  });
});
