import { createServer as createHttpServer, type IncomingMessage, type RequestListener } from 'node:http';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { inspect } from 'node:util';
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import axios, { Axios } from 'axios';
import fc from 'fast-check';
import should from 'should';
import { ConfigurationMistake, InDoubt, TemporaryFault } from '../../orders/errors.ts';
import { createHttpAdapter, Outgoing, type HttpResponse } from '../../partners/http-adapter.ts';
import { createHttp, HttpRefusal, readRetryAfter, type HttpOptions, type PartnerHttp } from '../../partners/http.ts';
import { failure } from './generic-support.ts';

const TIMEOUT = 250;

/** What each test opened, closed after it. */
const opened: (() => void)[] = [];

function http(options: Partial<HttpOptions> = {}): PartnerHttp {
  const created = createHttp({ partner: 'acme', timeout: TIMEOUT, ...options });
  opened.push(() => created.close());
  return created;
}

async function listen(server: Server): Promise<string> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  opened.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function serve(handle: RequestListener): Promise<{ url: string; asked: IncomingMessage[] }> {
  const asked: IncomingMessage[] = [];
  const server = createHttpServer((request, response) => {
    asked.push(request);
    request.resume().on('end', () => handle(request, response));
  });
  return { url: `http://${await listen(server)}/orders`, asked };
}

/** Speaks raw bytes: `handle` gets each request's socket once its head and its small body have come. */
async function serveRaw(
  handle: (socket: Socket, count: number) => void,
): Promise<{ url: string; received: string[]; connections: () => number }> {
  const received: string[] = [];
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    let count = 0;
    socket.on('data', (data) => {
      received.push(data.toString());
      count += 1;
      handle(socket, count);
    });
  });
  return { url: `http://${await listen(server)}/orders`, received, connections: () => connections };
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

const post = (url: string) => ({ method: 'POST', url, json: { sku: 'RED-1' } }) as const;
const get = (url: string) => ({ method: 'GET', url }) as const;

/** How a write and a read end that meet the same fault. */
async function both(client: PartnerHttp, url: string) {
  return { write: await failure(client.send(post(url))), read: await failure(client.send(get(url))) };
}

afterEach(() => {
  for (const close of opened.splice(0)) close();
});

describe('HTTP to a partner: what an outcome means', () => {
  const afterwards: Record<string, (socket: Socket) => void> = {
    'no answer': () => undefined,
    'a reset': (socket) => socket.resetAndDestroy(),
    'an end without an answer': (socket) => socket.end(),
    'bytes that are no HTTP': (socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n'),
    'an answer that is cut off': (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"id":'),
    'a cut-off answer in chunks': (socket) =>
      socket.end('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{"id"\r\n'),
    'a broken gzip': (socket) =>
      socket.end('HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nabcd'),
    'an answer whose bytes drip for ever': (socket) => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n');
      const drip = setInterval(() => socket.write(' '), 20);
      socket.on('close', () => clearInterval(drip));
    },
    'headers that drip for ever': (socket) => {
      socket.write('HTTP/1.1 200 OK\r\n');
      const drip = setInterval(() => socket.write('x-a: b\r\n'), 20);
      socket.on('close', () => clearInterval(drip));
    },
  };
  for (const [fault, happen] of Object.entries(afterwards)) {
    it(`${fault}: a write is in doubt, a read comes back, and both end in time`, async () => {
      const { url, received } = await serveRaw(happen);
      const started = Date.now();
      const { write, read } = await both(http(), url);
      should(write).be.instanceOf(InDoubt).with.property('code', 'ANSWER_LOST');
      should(read).be.instanceOf(TemporaryFault).with.property('code', 'PARTNER_UNAVAILABLE');
      should(Date.now() - started).be.below(3 * TIMEOUT);
      should(received.filter((text) => text.startsWith('POST'))).have.length(1);
    });
  }

  it('a write is certainly not sent when nothing listens, the name is unknown, or the other side speaks no TLS', async () => {
    const { url, received } = await serveRaw((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    for (const address of ['http://127.0.0.1:1/', 'http://partner.invalid/', url.replace('http:', 'https:')]) {
      const error = await failure(http({ timeout: 5000 }).send(post(address)));
      should(error).be.instanceOf(TemporaryFault).with.property('code', 'PARTNER_UNREACHABLE');
    }
    should(received.join('')).not.containEql('RED-1');
  });

  it('a write is certainly not sent when the time is over before the connection stands', async () => {
    const { url, received } = await serveRaw(() => undefined);
    const error = await failure(http().send(post(url.replace('http:', 'https:'))));
    should(error).be.instanceOf(TemporaryFault).with.property('code', 'PARTNER_UNREACHABLE');
    should(error.message).match(/ETIMEDOUT/);
    await pause(50);
    should(received.join('')).not.containEql('RED-1');
  });

  it('a write that was given up before its connection stood is not sent when it stands after all', async () => {
    const { url, received, connections } = await serveRaw(() => undefined);
    const call = failure(http({ timeout: 30 }).send(post(url)));
    // The process stands still: the time is over before it hears of the connection.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 80);
    should(await call)
      .be.instanceOf(TemporaryFault)
      .with.property('code', 'PARTNER_UNREACHABLE');
    while (connections() === 0) await pause(5);
    await pause(100);
    should(received.join('')).not.containEql('POST');
  });

  it('an answer that comes late but in time is taken', async () => {
    const { url } = await serve((_, response) => setTimeout(() => response.end('{"id":1}'), TIMEOUT / 2));
    should(await http().json(post(url))).eql({ id: 1 });
  });

  it('a call may have a time-out of its own', async () => {
    const { url } = await serve((_, response) => setTimeout(() => response.end('{}'), TIMEOUT * 2));
    should(await http().json({ ...post(url), timeout: TIMEOUT * 10 })).eql({});
  });

  it('a cancelled write is in doubt once it was sent, and certainly not sent before', async () => {
    const { url, received } = await serveRaw(() => undefined);
    const abort = new AbortController();
    const call = http().send({ ...post(url), signal: abort.signal });
    while (received.length === 0) await pause(5);
    abort.abort();
    should(await failure(call)).be.instanceOf(InDoubt);
    const error = await failure(http().send({ ...post(url), signal: abort.signal }));
    should(error).be.instanceOf(TemporaryFault).with.property('code', 'CALL_CANCELLED');
    should(received).have.length(1);
  });

  it('a redirect is not followed, with a write in doubt', async () => {
    const { url, asked } = await serve((_, response) => response.writeHead(302, { location: '/login' }).end());
    const { write, read } = await both(http(), url);
    should(write).be.instanceOf(InDoubt).with.property('code', 'PARTNER_REDIRECTS');
    should(read).be.instanceOf(ConfigurationMistake).with.property('code', 'PARTNER_REDIRECTS');
    should(asked).have.length(2);
  });

  it('an address that is none, and a header that cannot be written, are mistakes of the configuration', async () => {
    const { url, asked } = await serve((_, response) => response.end());
    for (const request of [
      get('acme.example/orders'),
      get('file:///etc/passwd'),
      { ...post(url), headers: { 'x-api-key': '鍵' } },
      { ...post(url), json: undefined, text: 'x'.repeat(20_000_001) },
    ]) {
      const error = await failure(http().send(request as never));
      should(error).be.instanceOf(ConfigurationMistake).with.property('code', 'REQUEST_INVALID');
    }
    should(asked).have.length(0);
  });

  it('a refusal carries the answer; no error of a call holds its credentials', async () => {
    const { url } = await serve((request, response) =>
      request.url === '/orders'
        ? response.writeHead(422, { 'x-reason': 'sku' }).end('{"error":"no such SKU"}')
        : request.socket.destroy(),
    );
    const secret = { headers: { authorization: 'Bearer s3cr3t' }, json: { iban: 'NZ12-345' } };
    const refused = await failure(http().send({ ...post(url), ...secret }));
    should(refused).be.instanceOf(HttpRefusal);
    should((refused as unknown as HttpRefusal).response).match({ status: 422, headers: { 'x-reason': 'sku' } });
    for (const address of [url, `${url}/lost`, 'http://127.0.0.1:1/']) {
      const error = await failure(http().send({ ...post(address), ...secret }));
      should(inspect(error, { depth: 20, showHidden: true })).not.match(/s3cr3t|NZ12/);
    }
  });
});

describe('HTTP to a partner: the answer', () => {
  const text = JSON.stringify({ id: 'Ü-1', note: 'x'.repeat(5000) });
  const packed: [string, Buffer][] = [
    ['gzip', gzipSync(text)],
    ['x-gzip', gzipSync(text)],
    ['GZIP', gzipSync(text)],
    ['deflate', deflateSync(text)],
    ['deflate', deflateRawSync(text)],
    ['br', brotliCompressSync(text)],
    ['identity', Buffer.from(text)],
  ];
  for (const [encoding, body] of packed) {
    it(`is unpacked: ${encoding}, ${body.length} bytes`, async () => {
      const { url, asked } = await serve((_, response) => {
        response.writeHead(200, { 'content-encoding': encoding });
        for (let at = 0; at < body.length; at += 9) response.write(body.subarray(at, at + 9));
        response.end();
      });
      should((await http().send(get(url))).text).equal(text);
      should(asked[0]!.headers['accept-encoding']).equal('gzip, deflate, br');
    });
  }

  it('is given up when it is too large, also when it only unpacks to too much', async () => {
    const { url } = await serve((request, response) =>
      request.url === '/orders'
        ? response.end('x'.repeat(2000))
        : response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('x'.repeat(2_000_000))),
    );
    const client = http({ maxAnswer: 1999 });
    for (const address of [url, `${url}/bomb`]) {
      should(await failure(client.send(post(address)))).be.instanceOf(InDoubt);
      should(await failure(client.send(get(address)))).be.instanceOf(TemporaryFault);
    }
    should((await http({ maxAnswer: 2000 }).send(get(url))).text).have.length(2000);
  });

  it('may be empty, also where the headers say that it is packed', async () => {
    const { url } = await serve((_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end());
    should((await http().send({ method: 'HEAD', url })).text).equal('');
    should(await http().json(post(url))).equal(undefined);
  });

  it('loses its byte order mark, and its headers are lower-case', async () => {
    const { url } = await serve((_, response) =>
      response.writeHead(200, { 'X-Total': '3', 'X-Many': ['a', 'b'] }).end('\uFEFF{}'),
    );
    const answer = await http().send(get(url));
    should(answer.text).equal('{}');
    should(answer.headers).match({ 'x-total': '3', 'x-many': 'a, b' });
  });
});

describe('HTTP to a partner: the request', () => {
  it('has its query written as axios writes it', () =>
    fc.assert(
      fc.asyncProperty(
        fc.dictionary(fc.stringMatching(/^[a-z_[\]:$ä]{1,8}$/), fc.oneof(fc.string(), fc.integer(), fc.boolean())),
        async (query) => {
          const seen: string[] = [];
          const { url } = await serve((request, response) => response.end(void seen.push(request.url!)));
          await http({ timeout: 5000 }).send({ ...get(url), query });
          const alike = (text: string | number | boolean) => axios.getUri({ url: '', params: { x: text } }).slice(3);
          const parts = Object.entries(query).map(([name, value]) => `${alike(name)}=${alike(value)}`);
          // The address itself may escape more, such as an apostrophe.
          const { pathname, search } = new URL(`${url}${parts.length ? `?${parts.join('&')}` : ''}`);
          should(seen[0]).equal(pathname + search);
        },
      ),
      { numRuns: 40 },
    ));

  it('takes user and password from the address, as the address encodes them', async () => {
    const { url, asked } = await serve((_, response) => response.end());
    await http().send(get(url.replace('http://', 'http://anna%40acme:p%25w@')));
    should(asked[0]!.headers.authorization).equal(`Basic ${Buffer.from('anna@acme:p%w').toString('base64')}`);
    should(asked[0]!.url).equal('/orders');
  });

  it('goes to each address as it is written, however many there are', async () => {
    const { url, asked } = await serve((_, response) => response.end());
    const client = http({ timeout: 5000 });
    const paths = Array.from({ length: 200 }, (_, index) => `/orders/${index % 150}?page=${index % 7}`);
    for (const path of paths) await client.send(get(new URL(path, url).href));
    should(asked.map((request) => request.url)).eql(paths);
  });

  it('says what its body is, unless it is told', async () => {
    const { url, asked } = await serve((_, response) => response.end());
    const client = http();
    await client.send(post(url));
    await client.send({ method: 'POST', url, text: 'a=1' });
    await client.send({
      method: 'POST',
      url,
      text: '<a/>',
      headers: { 'content-type': 'application/xml', accept: '*/*' },
    });
    await client.send(get(url));
    should(asked.map(({ headers }) => [headers['content-type'], headers.accept, headers['content-length']])).eql([
      ['application/json', 'application/json', '15'],
      ['application/x-www-form-urlencoded', 'application/json', '3'],
      ['application/xml', '*/*', '4'],
      [undefined, 'application/json', undefined],
    ]);
    should(asked[0]!.headers).match({ 'user-agent': 'Dropline', 'accept-encoding': 'gzip, deflate, br' });
  });

  it('loses what a pasted key brings along; a line break in it begins no header', async () => {
    const { url, asked } = await serve((_, response) => response.end());
    await http().send({ ...get(url), headers: { authorization: '\t Bearer k3y\r\nx-evil: 1\u007f \n' } });
    should(asked[0]!.headers.authorization).equal('Bearer k3yx-evil: 1');
    should(asked[0]!.headers).not.have.property('x-evil');
  });

  it('may be made by an instance of axios, with its interceptors', async () => {
    const { url, asked } = await serve((_, response) => response.writeHead(404).end('{}'));
    const limits = { connections: 1, connectTimeout: TIMEOUT, maxAnswer: 100, maxBody: 100 };
    const { adapter, close } = createHttpAdapter(limits, {});
    opened.push(close);
    const client = new Axios({ adapter });
    const seen: unknown[] = [];
    client.interceptors.response.use((response) => (seen.push(response.status), response));
    const { data } = await client.post<HttpResponse>(url, new Outgoing({ 'x-a': 'b' }, '{}', TIMEOUT, undefined));
    should(data).match({ status: 404, text: '{}' });
    should(asked[0]!.headers).match({ 'x-a': 'b', 'content-length': '2' });
    should(seen).eql([404]);
  });

  it('names what it belongs to on every call that belongs to something, in characters that a header may have', async () => {
    let id: string | undefined = 'shop-1001/po-create/erp/shop-1001-1/create';
    const { url, asked } = await serve((_, response) => response.end());
    const client = http({ correlation: () => id });
    await client.send(post(url));
    id = 'vineyard/INV 5\r\nx-evil: 1/ß\ud800';
    await client.send(post(url));
    id = undefined;
    await client.send(get(url));
    should(asked.map(({ headers }) => headers['x-correlation-id'])).eql([
      'shop-1001/po-create/erp/shop-1001-1/create',
      'vineyard/INV%205%0D%0Ax-evil:%201/%C3%9F%EF%BF%BD',
      undefined,
    ]);
    should(asked.some(({ headers }) => 'x-evil' in headers)).be.false();
  });

  it('changes nothing once another process may be at it, and may still look', async () => {
    const { url, asked } = await serve((_, response) => response.end());
    const client = http({ mayChange: () => false });
    await should(client.send(post(url))).be.rejectedWith({ code: 'TAKEN_OVER' });
    await client.send(get(url));
    await client.send({ ...post(url), read: true });
    should(asked.length).equal(2);
  });
});

describe('HTTP to a partner: connections', () => {
  const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}';

  it('are used again', async () => {
    const { url, connections } = await serveRaw((socket) => socket.write(OK));
    const client = http();
    // A call that follows at once takes a second one: undici leaves each alone for a moment, for partners that close without a word.
    for (let call = 0; call < 20; call += 1) await client.send(post(url));
    should(connections()).be.belowOrEqual(2);
  });

  it('one that the partner has closed meanwhile is not used again', async () => {
    const { url, received, connections } = await serveRaw((socket) => socket.write(OK, () => socket.end()));
    const client = http();
    for (let call = 0; call < 5; call += 1) {
      await client.send(post(url));
      await pause(20);
    }
    should(connections()).equal(5);
    should(received).have.length(5);
  });

  it('one that breaks just when it is used again leaves a write in doubt, and the write is never sent a second time by itself', async () => {
    const { url, received } = await serveRaw((socket, count) =>
      count === 1 ? socket.write(OK) : socket.resetAndDestroy(),
    );
    const client = http();
    await client.send(post(url));
    await pause(20);
    const error = await failure(client.send(post(url)));
    should(error).be.instanceOf(InDoubt);
    await pause(50);
    should(received).have.length(2);
  });

  it('a write that meets a closing connection is either in doubt or done, and never done twice', async () => {
    const { url, received } = await serveRaw((socket) => {
      socket.write(OK);
      // The partner's idle time is over just when the next call begins.
      setImmediate(() => socket.end());
    });
    const client = http();
    let sure = 0;
    let doubt = 0;
    // Pauses between keep the breaker out of it.
    for (let call = 0; call < 60; call += 1) {
      try {
        await client.send(post(url));
        sure += 1;
      } catch (error) {
        if (error instanceof InDoubt) doubt += 1;
        client.resume();
      }
    }
    should(received.length).be.within(sure, sure + doubt);
    should(sure).be.above(0);
  });

  it('are ended by close; the call under way goes on, and a later one of the same operation is still made', async () => {
    const { url, connections } = await serveRaw((socket) => setTimeout(() => socket.write(OK), 60));
    const closed: Promise<unknown>[] = [];
    const client = http();
    await client.send(post(url));
    await pause(20);
    const underWay = client.send(post(url));
    await pause(20);
    client.close();
    closed.push(underWay, client.send(post(url)));
    for (const answer of await Promise.all(closed)) should(answer).match({ status: 200 });
    should(connections()).equal(2);
    await client.send(post(url));
    should(connections()).equal(3);
  });

  it('stand again once the partner does, also where all of them were refused or given up', async () => {
    const port = Number(new URL((await serveRaw(() => undefined)).url).port);
    opened.pop()!();
    const url = `http://127.0.0.1:${port}/orders`;
    const client = http({ maxConcurrent: 2 });
    const refused = await Promise.all([1, 2, 3, 4].map(() => failure(client.send(post(url)))));
    for (const error of refused) should(error.code).equal('PARTNER_UNREACHABLE');
    client.resume();
    let isSilent = true;
    const server = createHttpServer((request, response) => {
      if (!isSilent) request.resume().on('end', () => response.end('{}'));
    });
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    opened.push(() => (server.close(), server.closeAllConnections()));
    const lost = await Promise.all([1, 2].map(() => failure(client.send(post(url)))));
    for (const error of lost) should(error.code).equal('ANSWER_LOST');
    isSilent = false;
    client.resume();
    for (const answer of await Promise.all([1, 2, 3, 4].map(() => client.json(post(url))))) should(answer).eql({});
  });

  describe('through the proxy that the environment names', () => {
    const before = { ...process.env };
    afterEach(() => {
      delete process.env['http_proxy'];
      delete process.env['no_proxy'];
      Object.assign(process.env, before);
    });

    it('goes what it does not except', async () => {
      const proxy = await serve((_, response) => response.end('{"via":"proxy"}'));
      process.env['http_proxy'] = new URL(proxy.url).origin;
      process.env['no_proxy'] = 'localhost';
      should(await http().json(post('http://partner.invalid/orders'))).eql({ via: 'proxy' });
      should(proxy.asked[0]!.url).equal('http://partner.invalid/orders');
    });

    it('an answer that drips is given up, and a write that did not reach the proxy was certainly not sent', async () => {
      const { url } = await serveRaw(afterDrip);
      process.env['http_proxy'] = new URL(url).origin;
      const started = Date.now();
      should(await failure(http().send(post('http://partner.invalid/')))).be.instanceOf(InDoubt);
      should(Date.now() - started).be.below(3 * TIMEOUT);
      process.env['http_proxy'] = 'http://127.0.0.1:1';
      const error = await failure(http().send(post('http://partner.invalid/')));
      should(error).be.instanceOf(TemporaryFault).with.property('code', 'PARTNER_UNREACHABLE');
    });

    function afterDrip(socket: Socket): void {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n');
      const drip = setInterval(() => socket.write(' '), 20);
      socket.on('close', () => clearInterval(drip));
    }
  });
});

describe('HTTP to a partner: how many at a time', () => {
  it('never more than allowed, in the order in which they came', async () => {
    let running = 0;
    let most = 0;
    const order: string[] = [];
    const { url } = await serve((request, response) => {
      order.push(request.url!.slice('/orders/'.length));
      most = Math.max(most, ++running);
      setTimeout(() => {
        running -= 1;
        response.end();
      }, 5);
    });
    const client = http({ maxConcurrent: 3, timeout: 5000 });
    const numbers = Array.from({ length: 30 }, (_, index) => String(index));
    const calls = numbers.map((number) => client.send(post(`${url}/${number}`)));
    should(client.state()).eql({ open: false, waiting: 27, running: 3 });
    await Promise.all(calls);
    should(most).equal(3);
    // Three at a time may arrive in another order among themselves, and no further.
    order.forEach((number, place) => should(Math.abs(Number(number) - place)).be.belowOrEqual(3));
    should(client.state()).eql({ open: false, waiting: 0, running: 0 });
  });

  it('waiting in line does not count against the time of a call', async () => {
    const { url } = await serve((_, response) => setTimeout(() => response.end(), TIMEOUT * 0.7));
    const client = http({ maxConcurrent: 2 });
    await Promise.all([client.send(post(url)), client.send(post(url)), client.send(post(url)), client.send(post(url))]);
  });

  it('who finds the line too long, or waits too long in it, was certainly not sent and is told when to come back', async () => {
    const { url, asked } = await serve(() => undefined);
    const client = http({ maxConcurrent: 1, random: () => 0.5 });
    const calls = Array.from({ length: 1002 }, () => failure(client.send(post(url))));
    const last = await calls.at(-1)!;
    should(last).be.instanceOf(TemporaryFault).and.match({ code: 'PARTNER_BUSY', retryAfter: 3500 });
    should(asked.length).be.belowOrEqual(1);
    const [first, ...others] = await Promise.all(calls);
    should(first).be.instanceOf(InDoubt);
    for (const error of others)
      if (!(error instanceof InDoubt))
        should(error).be.instanceOf(TemporaryFault).with.property('code', 'PARTNER_BUSY');
    should(others.filter((error) => error instanceof InDoubt).length).be.below(asked.length);
  });

  it('who is cancelled in line was certainly not sent, and holds up nobody', async () => {
    const { url, asked } = await serve((_, response) => setTimeout(() => response.end(), 50));
    const client = http({ maxConcurrent: 1 });
    const abort = new AbortController();
    const first = client.send(post(url));
    const second = failure(client.send({ ...post(url), signal: abort.signal }));
    const third = client.send(post(url));
    abort.abort();
    should(await second)
      .be.instanceOf(TemporaryFault)
      .with.property('code', 'CALL_CANCELLED');
    await Promise.all([first, third]);
    should(asked).have.length(2);
  });
});

describe('HTTP to a partner that is down', () => {
  const RIGHT = (_: unknown, response: { end(): void }) => response.end();

  /** A clock that passes only when told, and no chance. */
  function manual(options: Partial<HttpOptions> = {}) {
    const clock = { now: 1_800_000_000_000 };
    return { clock, client: http({ now: () => clock.now, random: () => 1, ...options }) };
  }

  for (const kind of ['reset', '500', 'refused'] as const) {
    it(`after five failures in a row nothing is sent for a while: ${kind}`, async () => {
      const { url, asked } = await serve((request, response) =>
        kind === 'reset' ? request.socket.destroy() : response.writeHead(500).end(),
      );
      const { client, clock } = manual();
      const target = kind === 'refused' ? 'http://127.0.0.1:1/' : url;
      for (let call = 0; call < 5; call += 1) {
        should(client.state().open).be.false();
        should((await failure(client.send(post(target)))).code).not.equal('PARTNER_PAUSED');
      }
      should(client.state()).eql({ open: true, until: clock.now + 1000, waiting: 0, running: 0 });
      const error = await failure(client.send(post(target)));
      should(error).be.instanceOf(TemporaryFault).and.match({ code: 'PARTNER_PAUSED', retryAfter: 1500 });
      should(asked.length).equal(kind === 'refused' ? 0 : 5);
    });
  }

  it('three failures in a row, as of a fault at one write, open nothing', async () => {
    let fails = 0;
    const { url } = await serve((request, response) => (++fails % 4 ? request.socket.destroy() : response.end()));
    const { client } = manual();
    for (let call = 1; call <= 20; call += 1) {
      if (call % 4) should(await failure(client.send(post(url)))).be.instanceOf(InDoubt);
      else await client.send(post(url));
    }
    should(client.state().open).be.false();
  });

  it('refusals, wrong credentials and answers of no use are no failures', async () => {
    const statuses = [422, 401, 403, 404, 302, 429, 200];
    let call = 0;
    const { url } = await serve((_, response) => response.writeHead(statuses[call++ % 7]!).end('<html>'));
    const { client } = manual();
    for (let turn = 0; turn < 21; turn += 1) await failure(client.json(get(url)));
    should(client.state().open).be.false();
    should(call).equal(21);
  });

  it('after the pause one call tries; the others follow when it comes through', async () => {
    let isDown = true;
    const { url, asked } = await serve((request, response) =>
      isDown ? request.socket.destroy() : setTimeout(() => response.end(), 40),
    );
    const { client, clock } = manual();
    for (let call = 0; call < 5; call += 1) await failure(client.send(get(url)));
    isDown = false;
    clock.now += 1000;
    const trial = client.send(get(url));
    const others = await Promise.all([1, 2, 3].map(() => failure(client.send(post(url)))));
    should(others.map(({ code }) => code)).eql(['PARTNER_PAUSED', 'PARTNER_PAUSED', 'PARTNER_PAUSED']);
    await trial;
    should(asked).have.length(6);
    await Promise.all([client.send(post(url)), client.send(post(url))]);
    should(client.state().open).be.false();
  });

  it('calls that wait in line when it opens are let go without being sent', async () => {
    const { url, asked } = await serve((request) => request.socket.destroy());
    const { client } = manual({ maxConcurrent: 1, timeout: 5000 });
    const errors = await Promise.all(Array.from({ length: 20 }, () => failure(client.send(post(url)))));
    should(asked).have.length(5);
    should(errors.filter(({ code }) => code === 'ANSWER_LOST')).have.length(5);
    should(errors.filter(({ code }) => code === 'PARTNER_PAUSED')).have.length(15);
    should(client.state()).match({ waiting: 0, running: 0 });
  });

  it('a partner that is known to be there again gets its calls at once', async () => {
    const { url } = await serve(RIGHT);
    const { client } = manual();
    for (let call = 0; call < 5; call += 1) await failure(client.send(get('http://127.0.0.1:1/')));
    should((await failure(client.send(get(url)))).code).equal('PARTNER_PAUSED');
    client.resume();
    await client.send(get(url));
  });

  for (const status of [429, 503]) {
    it(`${status} with Retry-After is kept to by all calls`, async () => {
      let isAsking = true;
      const { url, asked } = await serve((_, response) =>
        isAsking ? response.writeHead(status, { 'retry-after': '30' }).end() : response.end(),
      );
      const { client, clock } = manual();
      const first = await failure(client.send(get(url)));
      should(first).be.instanceOf(TemporaryFault).with.property('retryAfter', 30_000);
      should(client.state()).match({ open: true, until: clock.now + 30_000 });
      clock.now += 29_999;
      should(await failure(client.send(post(url)))).match({ code: 'PARTNER_PAUSED' });
      isAsking = false;
      clock.now += 1;
      await client.send(post(url));
      should(asked).have.length(2);
    });
  }

  it('a write that a broken partner answers with 503 stays in doubt whatever it asks', async () => {
    const { url } = await serve((_, response) => response.writeHead(503, { 'retry-after': '30' }).end());
    should(await failure(http().send(post(url)))).be.instanceOf(InDoubt);
  });
});

describe('Retry-After', () => {
  const now = Date.parse('2026-11-22T12:00:00Z');
  const cases: [string | undefined, number | undefined][] = [
    ['120', 120_000],
    [' 5 ', 5000],
    ['0.5', 500],
    ['86400', 3_600_000],
    ['Sun, 22 Nov 2026 12:00:30 GMT', 30_000],
    ['2026-11-22T12:01:00Z', 60_000],
    ['Sun, 22 Nov 2026 11:00:00 GMT', undefined],
    ['0', undefined],
    ['-5', undefined],
    ['soon', undefined],
    ['5, 5', undefined],
    ['', undefined],
    [undefined, undefined],
  ];
  for (const [header, expected] of cases) {
    it(`${JSON.stringify(header)} is ${expected ?? 'nothing to go by'}`, () =>
      should(readRetryAfter(header, now)).equal(expected));
  }

  it('a date counts from the clock of the partner, which may be wrong', async () => {
    const { url } = await serve((_, response) =>
      response
        .writeHead(429, { date: 'Sun, 01 Jan 2023 00:00:00 GMT', 'retry-after': 'Sun, 01 Jan 2023 00:00:09 GMT' })
        .end(),
    );
    should(await failure(http().send(get(url)))).have.property('retryAfter', 9000);
  });
});
