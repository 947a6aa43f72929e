import type { IncomingMessage, ServerResponse } from 'node:http';
import type { NodeAPI } from 'node-red';
import type { Ledger } from '../ledger/ledger.ts';
import { asError, DroplineError } from '../orders/errors.ts';
import type { InboundFact, InboundRequest } from '../partners/adapter.ts';
import { flowsAreRunning, followDeploys } from './ledgers.ts';
import { createLog } from './log.ts';

/**
 * The HTTP endpoints of all receive nodes: `POST /dropship/orders/:reference`, `/dropship/suppliers/:reference`, `/dropship/bank/:reference`.
 *
 * One middleware for the life of the process, put before everything else that Node-RED has in its way: signatures need the raw
 * bytes, which Node-RED's own JSON parser would consume; and nodes that are being replaced by a deploy must not cost a 404.
 */
export type Section = 'orders' | 'suppliers' | 'bank';

/** What stands behind one URL: who reads a request, and where its facts are stored. */
export interface Intake {
  /** Of the receive node, so that a replaced node takes over its own URL. */
  nodeId: string;
  reference: string;
  /** @throws DroplineError `NOT_AUTHENTIC`, `BODY_UNREADABLE` */
  receive(request: InboundRequest): InboundFact<string>[];
  ledger(): Promise<Ledger>;
  /** Hears why a request was not taken in; the sender is told no more than it needs. */
  refused(error: Error): void;
}

interface Settings {
  maxBody: number;
  bodyTimeout: number;
}

interface Limits {
  /** Bytes. */
  size: number;
  /** Milliseconds. */
  time: number;
}

export interface Answer {
  status: number;
  body: { error: { code: string; message: string } } | { stored: number; repeated: number };
  retryAfter?: number;
}

/** Largest body in bytes; `settings.dropship.maxBody` changes it. */
const MAX_BODY = 1_000_000;
/** Seconds for a whole body to arrive; `settings.dropship.bodyTimeout` changes it. */
const BODY_TIMEOUT = 30;
/** Seconds after which a sender may come back when we cannot store. */
const RETRY_AFTER = 10;

const intakes = new Map<string, Intake>();
const installed = new WeakSet<object>();

/** The URLs of one node from now on. */
export function setIntakes(section: Section, nodeId: string, own: Intake[]): void {
  for (const [target, intake] of intakes) {
    if (intake.nodeId === nodeId && !own.some(({ reference }) => target === `${section}/${reference}`))
      intakes.delete(target);
  }
  for (const intake of own) intakes.set(`${section}/${intake.reference}`, intake);
}

/** Takes the route once per process. */
export function installEndpoints(RED: NodeAPI): void {
  const app = RED.httpNode as unknown as Application | undefined;
  if (typeof app !== 'function' || installed.has(app)) return;
  installed.add(app);
  followDeploys(RED);
  const { log } = createLog(RED);
  const root = rootOf(app);
  const { maxBody = MAX_BODY, bodyTimeout = BODY_TIMEOUT } =
    (RED.settings as { dropship?: Partial<Settings> }).dropship ?? {};
  const limits = { size: Number(maxBody), time: Number(bodyTimeout) * 1000 };
  const middleware = (request: IncomingMessage, response: ServerResponse, next: () => void) => {
    // Only POST: with the default admin root, the same paths are read by the admin API with GET.
    const target = request.method === 'POST' ? targetOf(request.url ?? '', mountOf(app)) : undefined;
    if (!target) return next();
    serve(request, response, target, limits).catch((thrown: unknown) => {
      log('error', asError(thrown).message);
      send(response, notStored());
    });
  };
  root.use(middleware);
  const stack = root._router?.stack ?? [];
  const index = stack.findIndex((layer) => layer.handle === middleware);
  if (index > 0) stack.unshift(...stack.splice(index, 1));
}

/**
 * Verifies, stores, and only then answers: a sender that gets a 2xx may forget the message. Nothing about our insides, and
 * the same answer whether a purchase order is unknown or another supplier's.
 */
export async function takeIn(intake: Intake, request: InboundRequest): Promise<Answer> {
  let facts: InboundFact<string>[];
  try {
    facts = intake.receive(request);
  } catch (thrown) {
    intake.refused(asError(thrown));
    if (!(thrown instanceof DroplineError)) return notStored();
    if (thrown.code === 'NOT_AUTHENTIC')
      return refusal(401, 'NOT_AUTHENTIC', 'The signature or key of this message is not valid.');
    if (thrown.code === 'BODY_UNREADABLE') return refusal(400, thrown.code, thrown.message);
    return refusal(503, 'NOT_CONFIGURED', 'This endpoint is not set up completely. Send the message again later.');
  }
  try {
    const ledger = await intake.ledger();
    return { status: 200, body: await ledger.store(intake.reference, facts, request.body.toString('utf8')) };
  } catch (thrown) {
    intake.refused(asError(thrown));
    return notStored();
  }
}

function notStored(): Answer {
  return refusal(503, 'NOT_STORED', 'The message could not be stored. Send it again later.');
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  target: string,
  limits: Limits,
): Promise<void> {
  const intake = intakes.get(target);
  if (!intake) {
    request.resume();
    if (!flowsAreRunning())
      return send(response, refusal(503, 'STARTING', 'Node-RED is starting. Send the message again later.'));
    return send(response, refusal(404, 'NOT_FOUND', `There is no receiver for ${target}. Check the URL.`));
  }
  const encoding = request.headers['content-encoding'] ?? 'identity';
  if (encoding !== 'identity')
    return send(response, refusal(415, 'ENCODING_NOT_SUPPORTED', 'Send the body without compression.'));
  const body = await readBody(request, limits);
  if (body === 'too large')
    return send(response, refusal(413, 'BODY_TOO_LARGE', `The body is larger than ${limits.size} bytes.`), {
      connection: 'close',
    });
  if (body === 'too slow')
    return send(response, refusal(408, 'BODY_TOO_SLOW', `The body did not arrive within ${limits.time / 1000} s.`), {
      connection: 'close',
    });
  send(response, await takeIn(intake, { headers: distinctHeaders(request), body }));
}

/** The raw body, or why it was not waited for. */
function readBody(request: IncomingMessage, limits: Limits): Promise<Buffer | 'too large' | 'too slow'> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const end = (body: Buffer | 'too large' | 'too slow') => {
      clearTimeout(timer);
      resolve(body);
    };
    /** What still comes is thrown away. */
    const giveUp = (why: 'too large' | 'too slow') => {
      request.removeAllListeners('data');
      request.resume();
      end(why);
    };
    const timer = setTimeout(giveUp, limits.time, 'too slow');
    if (Number(request.headers['content-length'] ?? 0) > limits.size) return giveUp('too large');
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > limits.size) giveUp('too large');
      else chunks.push(chunk);
    });
    request.once('end', () =>
      end(size > limits.size ? 'too large' : chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)),
    );
    // The sender has gone: nobody hears the answer.
    request.once('error', () => giveUp('too slow'));
    request.once('close', () => request.readableEnded || giveUp('too slow'));
  });
}

/** Headers with all their values: a signature that stands twice must be seen twice, and Node.js joins or drops repetitions. */
function distinctHeaders({ rawHeaders }: IncomingMessage): InboundRequest['headers'] {
  // Without a prototype, so that a header may be called anything.
  const headers = Object.create(null) as Record<string, string | string[]>;
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!.toLowerCase();
    const value = rawHeaders[index + 1]!;
    const before = headers[name];
    headers[name] = before === undefined ? value : [before, value].flat();
  }
  return headers;
}

function targetOf(url: string, mount: string): string | undefined {
  const path = url.split('?', 1)[0] ?? '';
  if (!path.startsWith(`${mount}/dropship/`)) return undefined;
  const match = /^(orders|suppliers|bank)\/([a-z0-9-]{1,40})\/?$/.exec(path.slice(mount.length + '/dropship/'.length));
  return match ? `${match[1]}/${match[2]}` : undefined;
}

function refusal(status: number, code: string, message: string): Answer {
  return { status, body: { error: { code, message } }, ...(status === 503 ? { retryAfter: RETRY_AFTER } : {}) };
}

function send(response: ServerResponse, answer: Answer, headers: Record<string, string> = {}): void {
  if (response.headersSent) return;
  const body = JSON.stringify(answer.body);
  response.writeHead(answer.status, {
    'content-type': 'application/json; charset=utf-8',
    // With its length known, the answer leaves in one piece.
    'content-length': Buffer.byteLength(body),
    ...(answer.retryAfter === undefined ? {} : { 'retry-after': String(answer.retryAfter) }),
    ...headers,
  });
  response.end(body);
}

/** The part of Express that is needed here: Node-RED's node app may be mounted in the admin app or in a host program's. */
interface Application {
  (): void;
  use(handler: (request: IncomingMessage, response: ServerResponse, next: () => void) => void): void;
  parent?: Application;
  mountpath?: string | string[];
  path(): string;
  _router?: { stack: { handle: unknown }[] };
}

function rootOf(app: Application): Application {
  return app.parent ? rootOf(app.parent) : app;
}

function mountOf(app: Application): string {
  return app.path().replace(/\/+$/, '');
}
