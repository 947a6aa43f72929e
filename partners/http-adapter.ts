import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { promisify } from 'node:util';
import { brotliDecompress, constants, inflateRaw, unzip } from 'node:zlib';
import {
  AxiosHeaders,
  getAdapter,
  type AxiosAdapter,
  type AxiosResponse,
  type InternalAxiosRequestConfig,
  type RawAxiosResponseHeaders,
} from 'axios';
import type { Dispatcher } from 'undici';
import { Connections } from './connections.ts';
import { Deadlines, type Timed } from './deadlines.ts';

export interface HttpAdapter {
  /**
   * To be called by itself, or as the `adapter` of an axios instance: takes `url`, `method`, and an `Outgoing` as `data`, and gives an
   * `HttpResponse` as `data`. It throws `CallError`.
   */
  adapter: AxiosAdapter;
  /** Ends idle connections; calls under way go on, and so may later ones, each on a connection of its own. */
  close(): void;
}

export interface AdapterOptions {
  /** Most connections to one address that are kept. */
  connections: number;
  /** Milliseconds that a connection may take to stand. */
  connectTimeout: number;
  /** Largest answer in bytes, as it comes and unpacked. */
  maxAnswer: number;
  /** Largest body of a request in bytes. */
  maxBody: number;
}

/**
 * What a call carries, as `data` of axios' config: an instance of a class goes through axios as it is, where `headers` of the config
 * would be merged and brought into form for each call, which costs more than sending it.
 */
export class Outgoing {
  /** Lower-case names; the adapter adds its own. */
  readonly headers: Record<string, string>;
  readonly body: string | undefined;
  /** Milliseconds for the whole call; 0 for as long as it takes. */
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;

  constructor(
    headers: Record<string, string>,
    body: string | undefined,
    timeout: number,
    signal: AbortSignal | undefined,
  ) {
    this.headers = headers;
    this.body = body;
    this.timeout = timeout;
    this.signal = signal;
  }
}

export interface HttpResponse {
  status: number;
  /** Lower-case names. */
  headers: Record<string, string>;
  text: string;
}

/** A call without an answer. It holds nothing of the request: no credentials, no body. */
export class CallError extends Error {
  /** Of the system, of undici, or axios' own: `ECONNREFUSED`, `HPE_INVALID_CONSTANT`, `ETIMEDOUT`, `ERR_CANCELED`, `ERR_BAD_RESPONSE`. */
  readonly code: string;
  /** False: no byte of the request has left the machine. True where that is not known. */
  readonly sent: boolean;

  constructor(message: string, code: string, sent: boolean, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'CallError';
    this.code = code;
    this.sent = sent;
  }
}

/**
 * Axios over undici: a third of the processor time that axios' own adapter takes for a call, and it tells when a call has begun to
 * leave the machine. Where the environment names a proxy axios' own does the work.
 */
export function createHttpAdapter(options: AdapterOptions, environment = process.env): HttpAdapter {
  return hasProxy(environment) ? overAxios(options) : overUndici(options);
}

/** Also where NO_PROXY excepts the partner: axios knows how to read that. */
function hasProxy(environment: NodeJS.ProcessEnv): boolean {
  return ['http_proxy', 'https_proxy', 'all_proxy'].some(
    (name) => environment[name] || environment[name.toUpperCase()],
  );
}

function overUndici({ connections: kept, connectTimeout, maxAnswer, maxBody }: AdapterOptions): HttpAdapter {
  const connections = new Connections(kept, connectTimeout);
  const deadlines = new Deadlines();
  const targetOf = rememberTargets();

  return {
    adapter: (config) =>
      new Promise((resolve, reject) => {
        const outgoing = config.data as Outgoing;
        const { headers, body, signal } = outgoing;
        const target = targetOf(config.url ?? '');
        // A character takes three bytes at the most.
        if (body !== undefined && body.length * 3 > maxBody && Buffer.byteLength(body) > maxBody)
          throw new CallError(`the body is larger than ${maxBody} bytes`, 'ERR_BAD_REQUEST', false);
        if (signal?.aborted) throw new CallError('cancelled', 'ERR_CANCELED', false);
        headers['accept-encoding'] ??= 'gzip, deflate, br';
        headers['user-agent'] ??= 'Dropline';
        if (target.authorization !== undefined) headers['authorization'] = target.authorization;
        connections.dispatch(
          target.origin,
          {
            path: target.path,
            method: config.method!.toUpperCase() as Dispatcher.HttpMethod,
            headers,
            // An empty text is no body at all: undici would not send its length.
            body: body || null,
          },
          new Call(outgoing, maxAnswer, deadlines, (answer) => resolve(responseTo(config, answer)), reject),
        );
      }),
    close: () => connections.close(),
  };
}

/** What axios would bring into form and nobody reads: the headers are in the answer. */
const NO_HEADERS = new AxiosHeaders();

function responseTo(config: InternalAxiosRequestConfig, answer: HttpResponse): AxiosResponse<HttpResponse> {
  return { data: answer, status: answer.status, statusText: '', headers: NO_HEADERS, config };
}

/** One call on a connection, from its being queued to its answer. */
class Call implements Dispatcher.DispatchHandler, Timed {
  readonly deadline: number;
  readonly #timeout: number;
  readonly #signal: AbortSignal | undefined;
  readonly #maxAnswer: number;
  readonly #deadlines: Deadlines;
  readonly #resolve: (answer: HttpResponse) => void;
  readonly #reject: (error: unknown) => void;
  /** Set once the call has a connection and begins to be written. */
  #controller: Dispatcher.DispatchController | undefined;
  #isOver = false;
  #status = 0;
  #headers: Record<string, string> = {};
  readonly #chunks: Buffer[] = [];
  #size = 0;

  constructor(
    { timeout, signal }: Outgoing,
    maxAnswer: number,
    deadlines: Deadlines,
    resolve: (answer: HttpResponse) => void,
    reject: (error: unknown) => void,
  ) {
    this.deadline = timeout > 0 ? performance.now() + timeout : Infinity;
    this.#timeout = timeout;
    this.#signal = signal;
    this.#maxAnswer = maxAnswer;
    this.#deadlines = deadlines;
    this.#resolve = resolve;
    this.#reject = reject;
    deadlines.add(this);
    signal?.addEventListener('abort', this);
  }

  timedOut(): void {
    this.#stop(`no answer within ${this.#timeout} ms`, 'ETIMEDOUT');
  }

  /** The call is cancelled. */
  handleEvent(): void {
    this.#stop('cancelled', 'ERR_CANCELED');
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // Given up while it waited for a connection: nothing is written.
    if (this.#isOver) controller.abort(new CallError('given up', 'ERR_CANCELED', false));
    else this.#controller = controller;
  }

  onResponseStart(
    _: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    // An informational answer (1xx) is followed by the real one.
    this.#status = status;
    this.#headers = plain(headers);
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#size += chunk.length;
    if (this.#size > this.#maxAnswer)
      this.#stop(`the answer is larger than ${this.#maxAnswer} bytes`, 'ERR_BAD_RESPONSE');
    else this.#chunks.push(chunk);
  }

  onResponseEnd(): void {
    if (this.#isOver) return;
    this.#end();
    const raw = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks);
    const encoding = this.#headers['content-encoding'];
    if (!encoding || raw.length === 0) return this.#answer(raw);
    decompress(raw, encoding.toLowerCase(), this.#maxAnswer).then(
      (data) => {
        delete this.#headers['content-encoding'];
        this.#answer(data);
      },
      (thrown: unknown) => this.#reject(callError(thrown, true)),
    );
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.#fail(callError(error, this.#controller !== undefined));
  }

  #answer(data: Buffer): void {
    this.#resolve({ status: this.#status, headers: this.#headers, text: textOf(data) });
  }

  #stop(message: string, code: string): void {
    const error = new CallError(message, code, this.#controller !== undefined);
    this.#fail(error);
    this.#controller?.abort(error);
  }

  #fail(error: CallError): void {
    if (this.#isOver) return;
    this.#end();
    this.#reject(error);
  }

  #end(): void {
    this.#isOver = true;
    this.#deadlines.delete(this);
    this.#signal?.removeEventListener('abort', this);
  }
}

/** Where a call goes. */
interface Target {
  origin: string;
  path: string;
  /** User and password of the address, as a header. */
  authorization: string | undefined;
}

/** Most addresses that are remembered: most calls of a partner go to a few. */
const REMEMBERED = 64;

function rememberTargets(): (url: string) => Target {
  const known = new Map<string, Target>();
  return (url) => {
    let target = known.get(url);
    if (!target) {
      target = readTarget(url);
      if (known.size >= REMEMBERED) known.clear();
      known.set(url, target);
    }
    return target;
  };
}

/** @throws CallError `ERR_BAD_REQUEST`, not sent */
function readTarget(url: string): Target {
  const address = URL.parse(url);
  if (address?.protocol !== 'http:' && address?.protocol !== 'https:')
    throw new CallError('not an http(s) address', 'ERR_BAD_REQUEST', false);
  const { origin, pathname, search, username, password } = address;
  const pair = username || password ? `${decode(username)}:${decode(password)}` : undefined;
  return {
    origin,
    path: pathname + search,
    authorization: pair === undefined ? undefined : `Basic ${Buffer.from(pair).toString('base64')}`,
  };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    // A password that holds a bare % was not encoded, and stands as it was typed.
    return part;
  }
}

/** Undici gives the names in lower case, and what came several times as a list. */
function plain(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  for (const name in headers) {
    const value = headers[name];
    if (Array.isArray(value)) headers[name] = value.join(', ');
  }
  return headers as Record<string, string>;
}

/** UTF-8, without the byte order mark that some partners put first. */
function textOf(data: Buffer): string {
  const start = data[0] === 0xef && data[1] === 0xbb && data[2] === 0xbf ? 3 : 0;
  return data.toString('utf8', start);
}

const unzipped = promisify(unzip);
const inflated = promisify(inflateRaw);
const unbrotlied = promisify(brotliDecompress);

/** The answer as it was before it was packed; a small one that unpacks to a huge one is given up at the limit. */
async function decompress(data: Buffer, encoding: string, limit: number): Promise<Buffer> {
  const most = limit >= 0 ? { maxOutputLength: limit } : {};
  // As browsers and axios do, an answer without its end mark is taken: that it is whole, its length has shown.
  const zlib = { ...most, finishFlush: constants.Z_SYNC_FLUSH };
  switch (encoding) {
    case 'gzip':
    case 'x-gzip':
    case 'compress':
    case 'x-compress':
      return unzipped(data, zlib);
    case 'deflate':
      // Some servers leave out the zlib header that the standard asks for (RFC 9110, 8.4.1.2).
      return (data[0]! & 0x0f) === 8 ? unzipped(data, zlib) : inflated(data, zlib);
    case 'br':
      return unbrotlied(data, { ...most, finishFlush: constants.BROTLI_OPERATION_FLUSH });
    default:
      return data;
  }
}

/** What axios reports where no connection stood: certainly not sent. */
const NOT_SENT = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'CERT_HAS_EXPIRED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'ERR_INVALID_URL',
  'ERR_INVALID_CHAR',
  'ERR_BAD_REQUEST',
]);

function overAxios({ connections, maxAnswer, maxBody }: AdapterOptions): HttpAdapter {
  const httpAgent = new HttpAgent({ keepAlive: true, maxSockets: connections });
  const httpsAgent = new HttpsAgent({ keepAlive: true, maxSockets: connections });
  const viaAxios = getAdapter('http');

  return {
    async adapter(config) {
      const { headers, body, timeout, signal } = config.data as Outgoing;
      // Axios' own time-out begins anew with every byte: a partner that lets its answer drip would never be given up.
      const whole = timeout > 0 ? AbortSignal.timeout(timeout) : undefined;
      const signals = [whole, signal].filter((given) => given !== undefined);
      try {
        const {
          status,
          headers: received,
          data,
        } = (await viaAxios({
          ...config,
          headers: AxiosHeaders.from(headers),
          data: body,
          timeout,
          signal: AbortSignal.any(signals),
          httpAgent,
          httpsAgent,
          // A followed redirect turns a POST into a GET and takes API keys to another host.
          maxRedirects: 0,
          maxContentLength: maxAnswer,
          maxBodyLength: maxBody,
          responseType: 'text',
          validateStatus: () => true,
        })) as AxiosResponse<string>;
        return responseTo(config, { status, headers: plainOf(received), text: typeof data === 'string' ? data : '' });
      } catch (thrown) {
        if (whole?.aborted && !signal?.aborted)
          throw new CallError(`no answer within ${timeout} ms`, 'ETIMEDOUT', true);
        const { message, code, cause } = callError(thrown, true);
        throw new CallError(message, code, !NOT_SENT.has(code), cause);
      }
    },
    close() {
      for (const agent of [httpAgent, httpsAgent]) {
        Object.assign(agent, { keepAlive: false });
        for (const socket of Object.values(agent.freeSockets).flat()) socket?.destroy();
      }
    },
  };
}

function plainOf(headers: RawAxiosResponseHeaders): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value)]));
}

/** The code may stand in the error, in its cause, or in the first of several (one for each address of a host). */
function callError(thrown: unknown, sent: boolean): CallError {
  if (thrown instanceof CallError) return thrown;
  const error = thrown as { message?: string; code?: unknown; cause?: unknown; errors?: unknown[] };
  const inner = error.errors?.[0] ?? error.cause;
  const code = typeof error.code === 'string' && error.code !== 'UND_ERR' ? error.code : undefined;
  const innerCode = inner ? callError(inner, sent).code : '';
  return new CallError(error.message || String(thrown), code ?? innerCode, sent);
}
