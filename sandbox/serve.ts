import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { readChaos, readFault, REQUEST_FAULTS, type Fault } from './faults.ts';
import type { Answer, Partner, Request, World } from './world.ts';

export interface Listener {
  /** Without a trailing slash. */
  url: string;
  close(): Promise<void>;
}

/**
 * Listens for one partner on the loopback interface (port 0: any free one), puts the faults around `partner.handle`, and answers the
 * control routes under `/__sandbox/`. The state file is written before an answer leaves.
 */
export async function serve(world: World, partner: Partner, port: number): Promise<Listener> {
  world.register(partner);
  const stopped = new AbortController();
  const server = createServer((incoming, outgoing) => {
    void answer(incoming, outgoing).catch((error: Error) => {
      if (stopped.signal.aborted) return;
      process.emitWarning(error);
      if (!outgoing.headersSent) send(outgoing, partner.error(500, `The sandbox itself has failed: ${error.message}`));
    });
  });
  // Connections that the server closes while the client takes them from its pool would be resets that no test has asked for.
  server.keepAliveTimeout = 120_000;

  async function answer(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const request = await readRequest(incoming);
    const control = controlRoute(world, partner, request);
    if (control) return finish(outgoing, control);
    if (request.path.startsWith('/__sandbox/')) return finish(outgoing, await partner.handle(request));
    const { operation, reference } = partner.describe(request);
    const fault = world.takeFault(partner.name, REQUEST_FAULTS, operation, reference);
    if (fault) return misbehave(fault, request, incoming, outgoing);
    finish(outgoing, await partner.handle(request));
  }

  async function misbehave(
    fault: Fault,
    request: Request,
    incoming: IncomingMessage,
    outgoing: ServerResponse,
  ): Promise<void> {
    const { kind } = fault;
    if (kind === 'refuse') return finish(outgoing, partner.error(422, 'Refused, because a test asked for it.'));
    if (kind === 'error-before')
      return finish(outgoing, partner.error(500, 'Something went wrong, because a test asked for it.'));
    if (kind === 'redirect') return finish(outgoing, { status: 302, headers: { location: '/elsewhere' }, body: '' });
    if (kind === 'maintenance')
      return finish(outgoing, { status: 200, headers: { 'content-type': 'text/html' }, body: MAINTENANCE_PAGE });
    if (kind === 'rate-limit') {
      const refusal = partner.error(429, 'Too many requests, because a test asked for it.');
      const retryAfter = String(fault.retryAfter ?? 1);
      return finish(outgoing, { ...refusal, status: 429, headers: { ...refusal.headers, 'retry-after': retryAfter } });
    }
    if (kind === 'reset-before') {
      world.flush();
      incoming.socket.resetAndDestroy();
      return;
    }
    if (kind === 'late') {
      // Forgotten when the sandbox ends meanwhile: a partner that dies may lose what it has not accepted yet.
      world.flush();
      const { generation } = world;
      await sleep(fault.delay ?? 3000, undefined, { signal: stopped.signal });
      if (world.generation === generation) {
        await partner.handle(request);
        world.flush();
      }
      return;
    }
    const accepted = await partner.handle(request);
    world.flush();
    if (kind === 'reset-after') incoming.socket.resetAndDestroy();
    else if (kind === 'error-after')
      send(outgoing, partner.error(500, 'Something went wrong, because a test asked for it.'));
    else if (kind === 'garbage')
      send(outgoing, { status: 200, headers: { 'content-type': 'application/json' }, body: '{"id": "SO-' });
    else if (kind === 'slow') {
      await sleep(fault.delay ?? 1000, undefined, { signal: stopped.signal });
      send(outgoing, accepted);
    }
    // What is left is `hang`: the connection stays open until the caller gives up.
  }

  function finish(outgoing: ServerResponse, ready: Answer): void {
    world.flush();
    send(outgoing, ready);
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close() {
      stopped.abort();
      return new Promise((resolve, reject) => {
        server.close((error) => (error ? reject(error) : resolve()));
        server.closeAllConnections();
      });
    },
  };
}

const MAINTENANCE_PAGE = '<!doctype html><title>Maintenance</title><h1>We will be back soon.</h1>';

function controlRoute(world: World, partner: Partner, request: Request): Answer | undefined {
  if (!request.path.startsWith('/__sandbox/')) return undefined;
  switch (`${request.method} ${request.path.slice('/__sandbox/'.length)}`) {
    case 'GET health':
      return { status: 200, body: { ok: true, partner: partner.name } };
    case 'GET effects':
      return { status: 200, body: world.effects };
    case 'GET state':
      return { status: 200, body: world.state() };
    case 'POST reset':
      world.reset();
      return { status: 200, body: { ok: true } };
    case 'GET faults':
      return { status: 200, body: world.faults };
    case 'POST faults':
      return control(request, (body) => {
        const added = (Array.isArray(body) ? body : [body]).map(readFault);
        world.faults = [...world.faults.filter((fault) => fault.times > 0), ...added];
        return world.faults;
      });
    case 'DELETE faults':
      world.faults = [];
      return { status: 200, body: [] };
    case 'POST chaos':
      return control(request, (body) => {
        const chaos = readChaos(body);
        world.chaos = chaos.rate > 0 ? chaos : undefined;
        return chaos;
      });
    default:
      return undefined;
  }
}

function control(request: Request, act: (body: unknown) => unknown): Answer {
  try {
    return { status: 200, body: act(JSON.parse(request.body.toString('utf8'))) };
  } catch (error) {
    return { status: 400, body: { error: (error as Error).message } };
  }
}

async function readRequest(incoming: IncomingMessage): Promise<Request> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  const url = new URL(incoming.url ?? '/', 'http://sandbox');
  return {
    method: incoming.method ?? 'GET',
    path: url.pathname,
    query: url.searchParams,
    headers: incoming.headers,
    body: Buffer.concat(chunks),
  };
}

function send(outgoing: ServerResponse, { status, headers, body }: Answer): void {
  if (outgoing.destroyed) return;
  const text = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body);
  const type = typeof body === 'string' ? 'text/plain; charset=utf-8' : 'application/json';
  outgoing.writeHead(status, {
    ...(text === '' ? {} : { 'content-type': type }),
    ...headers,
    'content-length': Buffer.byteLength(text),
  });
  outgoing.end(text);
}
