import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import axios, { type AxiosError, type AxiosResponse } from 'axios';
import { BusinessRefusal, ConfigurationMistake, InDoubt, TemporaryFault } from '../orders/errors.ts';
import { parseJson } from './json.ts';

export interface HttpRequest {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'HEAD';
  url: string;
  headers?: Record<string, string>;
  query?: Record<string, string | number | boolean | undefined>;
  /** Sent as JSON. */
  json?: unknown;
  /** Sent as it is; set a content type in `headers`. */
  text?: string;
  /** Changes nothing at the partner although it is no GET (a search by POST): a lost answer is then no doubt. */
  read?: boolean;
  /** Milliseconds; the partner's default otherwise. */
  timeout?: number;
  signal?: AbortSignal;
}

export interface HttpResponse {
  status: number;
  /** Lower-case names. */
  headers: Record<string, string>;
  text: string;
}

/** A certain refusal, with the answer for adapters that know what it means. */
export class HttpRefusal extends BusinessRefusal {
  readonly response: HttpResponse;

  constructor(message: string, response: HttpResponse) {
    super('PARTNER_REFUSED', message);
    this.response = response;
  }
}

/**
 * Calls to one partner. Both methods throw what the outcome means for a write (see reliability: certain or in doubt):
 * `TemporaryFault` not sent or asked to wait, `ConfigurationMistake` credentials or rights, `HttpRefusal` any other 4xx,
 * `InDoubt` everything that leaves open whether it was done. For reads nothing is in doubt.
 */
export interface Http {
  send(request: HttpRequest): Promise<HttpResponse>;
  /** `send`, and the answer as hardened JSON (`undefined` for an empty body). */
  json(request: HttpRequest): Promise<unknown>;
  /** Ends idle connections; calls under way go on, and theirs are ended with them. */
  close(): void;
}

export interface HttpOptions {
  /** The partner's reference, for messages. */
  partner: string;
  /** Milliseconds until an unanswered call is given up. */
  timeout: number;
  /** Most connections at a time. Default 16. */
  maxConnections?: number;
  /** Largest answer in bytes. Default 10 MB. */
  maxAnswer?: number;
}

/** Nothing has left the machine, or no connection stood: certainly not sent. */
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
]);

export function createHttp(options: HttpOptions): Http {
  const connections = { keepAlive: true, maxSockets: options.maxConnections ?? 16 };
  const httpAgent = new HttpAgent(connections);
  const httpsAgent = new HttpsAgent(connections);
  const client = axios.create({
    httpAgent,
    httpsAgent,
    timeout: options.timeout,
    // A followed redirect turns a POST into a GET and takes API keys to another host.
    maxRedirects: 0,
    maxContentLength: options.maxAnswer ?? 10_000_000,
    maxBodyLength: 20_000_000,
    responseType: 'text',
    // The body is parsed by our own hardened parser; axios would lose the digits of large ids.
    transformResponse: (data: unknown) => data,
    validateStatus: () => true,
  });

  async function send(request: HttpRequest): Promise<HttpResponse> {
    const isRead = request.read ?? (request.method === 'GET' || request.method === 'HEAD');
    let answer: AxiosResponse<string>;
    try {
      answer = await client.request<string>({
        method: request.method,
        url: request.url,
        headers: {
          accept: 'application/json',
          ...(request.json === undefined ? {} : { 'content-type': 'application/json' }),
          ...request.headers,
        },
        params: request.query,
        data: request.json === undefined ? request.text : JSON.stringify(request.json),
        ...(request.timeout === undefined ? {} : { timeout: request.timeout }),
        ...(request.signal ? { signal: request.signal } : {}),
      });
    } catch (thrown) {
      throw transportError(thrown as AxiosError, isRead, options.partner);
    }
    const response: HttpResponse = {
      status: answer.status,
      headers: plainHeaders(answer.headers),
      text: typeof answer.data === 'string' ? answer.data : '',
    };
    if (response.status >= 200 && response.status < 300) return response;
    throw statusError(response, isRead, options.partner);
  }

  return {
    send,
    async json(request) {
      const response = await send(request);
      if (response.text.trim() === '') return undefined;
      try {
        return parseJson(response.text);
      } catch (cause) {
        throw unexpectedAnswer(request, options.partner, 'not valid JSON', cause);
      }
    },
    close() {
      for (const agent of [httpAgent, httpsAgent]) {
        // Not `destroy`, which would also reset the calls that are under way: a deploy must not put an order in doubt.
        Object.assign(agent, { keepAlive: false });
        for (const socket of Object.values(agent.freeSockets).flat()) socket?.destroy();
      }
    },
  };
}

/** For adapters: the answer arrived with 2xx but is not what the partner documents. After a write that is in doubt. */
export function unexpectedAnswer(
  request: HttpRequest,
  partner: string,
  what: string,
  cause?: unknown,
): InDoubt | TemporaryFault {
  const isRead = request.read ?? (request.method === 'GET' || request.method === 'HEAD');
  const message = `${partner} answered ${request.method} ${pathOf(request.url)} with something unexpected: ${what}. Check that the base URL and the version are right.`;
  return isRead
    ? new TemporaryFault('ANSWER_UNEXPECTED', message, { cause })
    : new InDoubt('ANSWER_UNEXPECTED', message, { cause });
}

function transportError(error: AxiosError, isRead: boolean, partner: string): Error {
  const code = error.code ?? '';
  // Axios' own error holds the request with its credentials and its body: it must never reach a log.
  const cause = Object.assign(new Error(error.message), { code });
  if (NOT_SENT.has(code)) {
    return new TemporaryFault(
      'PARTNER_UNREACHABLE',
      `${partner} cannot be reached (${code}). Check its base URL and that it is running; Dropline tries again by itself.`,
      { cause },
    );
  }
  const what =
    code === 'ECONNABORTED' || code === 'ETIMEDOUT'
      ? 'did not answer in time'
      : `broke the connection (${code || error.message})`;
  return isRead
    ? new TemporaryFault('PARTNER_UNAVAILABLE', `${partner} ${what}. Dropline tries again by itself.`, { cause })
    : new InDoubt(
        'ANSWER_LOST',
        `${partner} ${what}: whether it did what was asked is not known. Dropline asks before it sends again.`,
        { cause },
      );
}

function statusError(response: HttpResponse, isRead: boolean, partner: string): Error {
  const { status } = response;
  const retryAfter = readRetryAfter(response.headers['retry-after']);
  const wait = retryAfter === undefined ? {} : { retryAfter };
  if (status === 429) {
    return new TemporaryFault(
      'RATE_LIMITED',
      `${partner} asks for fewer calls (429). Dropline waits and tries again.`,
      wait,
    );
  }
  if (status === 401) {
    return new ConfigurationMistake(
      'CREDENTIALS_REFUSED',
      `${partner} refuses the credentials (401). Enter current ones in its config node.`,
    );
  }
  if (status === 403) {
    return new ConfigurationMistake(
      'RIGHTS_MISSING',
      `${partner} denies the right to do this (403). Give the API user the missing right. ${excerpt(response.text)}`,
    );
  }
  if (status >= 300 && status < 400) {
    const message = `${partner} answered with a redirect (${status}), which is not followed. Set the base URL to where it leads.`;
    return isRead ? new ConfigurationMistake('PARTNER_REDIRECTS', message) : new InDoubt('PARTNER_REDIRECTS', message);
  }
  if (status >= 400 && status < 500 && status !== 408) {
    return new HttpRefusal(`${partner} refused (${status}): ${excerpt(response.text) || 'no reason given'}`, response);
  }
  return isRead
    ? new TemporaryFault(
        'PARTNER_UNAVAILABLE',
        `${partner} has a problem of its own (${status}). Dropline tries again by itself.`,
        wait,
      )
    : new InDoubt(
        'ANSWER_LOST',
        `${partner} answered ${status}: whether it did what was asked is not known. Dropline asks before it sends again.`,
      );
}

/** Milliseconds from a Retry-After header in seconds or as a date; at most one hour, because partners err. */
export function readRetryAfter(header: string | undefined, now: number = Date.now()): number | undefined {
  if (!header) return undefined;
  const seconds = /^\d+$/.test(header.trim()) ? Number(header) : (Date.parse(header) - now) / 1000;
  return Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0), 3600) * 1000 : undefined;
}

/** The beginning of an error body, on one line and without markup: enough to act on, too little to leak a page. */
export function excerpt(text: string): string {
  return text
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ')
    .trim()
    .slice(0, 200);
}

function pathOf(url: string): string {
  return URL.canParse(url) ? new URL(url).pathname : url;
}

function plainHeaders(headers: AxiosResponse['headers']): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value)]));
}
