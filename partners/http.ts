import { AxiosHeaders } from 'axios';
import { BusinessRefusal, ConfigurationMistake, InDoubt, TemporaryFault } from '../orders/errors.ts';
import { createBreaker, type Outcome } from './breaker.ts';
import { CallError, createHttpAdapter, Outgoing, type HttpResponse } from './http-adapter.ts';
import { parseJson } from './json.ts';
import { createPlaces } from './places.ts';

export type { HttpResponse };

export interface HttpRequest {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'HEAD';
  url: string;
  /** Lower-case names. */
  headers?: Record<string, string>;
  query?: Record<string, string | number | boolean | undefined>;
  /** Sent as JSON. */
  json?: unknown;
  /** Sent as it is; set a content type in `headers`. */
  text?: string;
  /** Changes nothing at the partner although it is no GET (a search by POST): a lost answer is then no doubt. */
  read?: boolean;
  /** Milliseconds for the whole call, waiting in line aside; the partner's default otherwise. */
  timeout?: number;
  signal?: AbortSignal | undefined;
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
 * `InDoubt` everything that leaves open whether it was done. For reads nothing is in doubt. No call is repeated here.
 * Calls wait for their turn, and a partner that is down is left alone for a while: `PARTNER_BUSY` and `PARTNER_PAUSED` were never sent.
 */
export interface Http {
  send(request: HttpRequest): Promise<HttpResponse>;
  /** `send`, and the answer as hardened JSON (`undefined` for an empty body). */
  json(request: HttpRequest): Promise<unknown>;
  /** Ends idle connections; calls under way go on, and theirs are ended with them. */
  close(): void;
}

/** The HTTP of a partner as its config node holds it. */
export interface PartnerHttp extends Http {
  state(): HttpState;
  /** The partner is there again, as a test of the connection has shown: calls are let through at once. */
  resume(): void;
}

export interface HttpState {
  /** True while calls are refused without being made, because the partner is down or has asked for a pause. */
  open: boolean;
  /** Milliseconds since 1970 when the next call may try. */
  until?: number;
  /** Calls that wait for their turn. */
  waiting: number;
  /** Calls under way. */
  running: number;
}

export interface HttpOptions {
  /** The partner's reference, for messages. */
  partner: string;
  /** Milliseconds until an unanswered call is given up. */
  timeout: number;
  /** Most calls at a time; the others wait in line. Default 16. */
  maxConcurrent?: number;
  /** Largest answer in bytes. Default 10 MB. */
  maxAnswer?: number;
  /** What a call belongs to, for the header `x-correlation-id`; it names no people. */
  correlation?: () => string | undefined;
  /** Asked right before a request that changes something leaves; false when another process may be at it by now. */
  mayChange?: () => boolean;
  /** Milliseconds since 1970. */
  now?: () => number;
  /** From 0 to 1. */
  random?: () => number;
}

/** For axios' config: a call's own are in its `Outgoing`. */
const NO_HEADERS = new AxiosHeaders();

/** Control characters, the tab aside. */
// eslint-disable-next-line no-control-regex
const CONTROLS = /[\0-\x08\x0a-\x1f\x7f]+/g;

/** A header's value that holds such, or has blanks around it. */
// eslint-disable-next-line no-control-regex
const UNCLEAN = /[\0-\x08\x0a-\x1f\x7f]|^[\t ]|[\t ]$/;

/** Most calls that stand in line. */
const LONGEST_LINE = 1000;

/** These never leave: an address or a header that cannot be, a body over the limit. */
const UNSENDABLE = new Set([
  'ERR_BAD_REQUEST',
  'ERR_INVALID_URL',
  'ERR_INVALID_CHAR',
  'UND_ERR_INVALID_ARG',
  'UND_ERR_NOT_SUPPORTED',
]);

/** The answer came and is of no use: it says nothing against the partner's being there. */
const UNREADABLE = /^(ERR_BAD_RESPONSE|ERR_BUFFER_TOO_LARGE|Z_|ERR_BROTLI|ERR__ERROR_FORMAT)/;

export function createHttp(options: HttpOptions): PartnerHttp {
  const { partner, timeout, maxConcurrent = 16, now = Date.now, random = Math.random } = options;
  const breaker = createBreaker({ now, random });
  // Nobody waits longer than a call may take: a settle time, which begins with the intent, must outlast both.
  const places = createPlaces({ places: maxConcurrent, longestLine: LONGEST_LINE, longestWait: timeout });
  const { adapter, close } = createHttpAdapter({
    connections: maxConcurrent,
    connectTimeout: timeout,
    maxAnswer: options.maxAnswer ?? 10_000_000,
    maxBody: 20_000_000,
  });

  async function send(request: HttpRequest): Promise<HttpResponse> {
    // Asked before the line as well, so that nobody stands in it for nothing.
    const refusal = breaker.refusal();
    if (refusal !== undefined) throw paused(refusal);
    if (request.signal?.aborted) throw cancelled();
    if (!places.take() && !(await places.wait(request.signal))) throw request.signal?.aborted ? cancelled() : busy();
    try {
      const entry = breaker.enter();
      if ('refusal' in entry) throw paused(entry.refusal);
      try {
        return await call(request, entry.ended);
      } finally {
        entry.ended({ is: 'unknown' });
      }
    } finally {
      places.giveBack();
    }
  }

  async function call(request: HttpRequest, ended: (outcome: Outcome) => void): Promise<HttpResponse> {
    const { method, json } = request;
    const isRead = changesNothing(request);
    const id = options.correlation?.();
    if (!isRead && options.mayChange?.() === false) throw takenOver();
    let answer: HttpResponse;
    try {
      const outgoing = new Outgoing(
        headersOf(request, id),
        json === undefined ? request.text : JSON.stringify(json),
        request.timeout ?? timeout,
        request.signal,
      );
      const url = withQuery(request.url, request.query);
      // The adapter by itself: an instance of axios would merge, check and transform what is complete already.
      answer = (await adapter({ method, url, headers: NO_HEADERS, data: outgoing })).data as HttpResponse;
    } catch (thrown) {
      const error = thrown as Error & { code?: string };
      const code = error.code ?? '';
      ended({
        is: UNREADABLE.test(code) ? 'up' : code === 'ERR_CANCELED' || UNSENDABLE.has(code) ? 'unknown' : 'down',
      });
      throw transportError(error, isRead, partner);
    }
    ended(outcomeOf(answer, now()));
    if (answer.status >= 200 && answer.status < 300) return answer;
    throw statusError(answer, isRead, partner, now());
  }

  function paused(retryAfter: number): TemporaryFault {
    return new TemporaryFault(
      'PARTNER_PAUSED',
      `${partner} is left alone for a moment, because it was down or asked for it; nothing was sent. Dropline tries again by itself.`,
      { retryAfter },
    );
  }

  function busy(): TemporaryFault {
    return new TemporaryFault(
      'PARTNER_BUSY',
      `More calls wait for ${partner} than it takes in time; nothing was sent. Dropline tries again by itself. If this stays, raise "maxConcurrent" in its options, if ${partner} can bear more calls at a time.`,
      { retryAfter: Math.round(2000 + random() * 3000) },
    );
  }

  function takenOver(): TemporaryFault {
    return new TemporaryFault(
      'TAKEN_OVER',
      `This Node-RED stood still for so long that another one may have taken its work over; nothing was sent to ${partner}.`,
    );
  }

  function cancelled(): TemporaryFault {
    return new TemporaryFault('CALL_CANCELLED', `The call to ${partner} was cancelled before it was sent.`);
  }

  return {
    send,
    async json(request) {
      const response = await send(request);
      if (response.text.trim() === '') return undefined;
      try {
        return parseJson(response.text);
      } catch (cause) {
        throw unexpectedAnswer(request, partner, 'not valid JSON', cause);
      }
    },
    close,
    state() {
      const until = breaker.until();
      const { waiting, running } = places;
      return { open: until !== undefined, ...(until === undefined ? {} : { until }), waiting, running };
    },
    resume: () => breaker.resume(),
  };
}

/** What an answer says about the partner's being there. */
function outcomeOf(response: HttpResponse, now: number): Outcome {
  const { status } = response;
  const is = status >= 500 ? 'down' : 'up';
  const pause = status === 429 || status === 503 ? retryAfterOf(response, now) : undefined;
  return pause === undefined ? { is } : { is, pause };
}

/** For adapters: the answer arrived with 2xx but is not what the partner documents. After a write that is in doubt. */
export function unexpectedAnswer(
  request: HttpRequest,
  partner: string,
  what: string,
  cause?: unknown,
): InDoubt | TemporaryFault {
  const message = `${partner} answered ${request.method} ${pathOf(request.url)} with something unexpected: ${what}. Check that the base URL and the version are right.`;
  return changesNothing(request)
    ? new TemporaryFault('ANSWER_UNEXPECTED', message, { cause })
    : new InDoubt('ANSWER_UNEXPECTED', message, { cause });
}

function transportError(error: Error & { code?: string }, isRead: boolean, partner: string): Error {
  const code = error.code ?? '';
  const isSent = !(error instanceof CallError) || error.sent;
  // An error of axios' own holds the request with its credentials and its body: it must never reach a log.
  const cause = Object.assign(new Error(error.message), { code });
  if (!isSent && UNSENDABLE.has(code)) {
    return new ConfigurationMistake(
      'REQUEST_INVALID',
      `${partner} cannot be called like this: ${error.message}. Check its base URL, and that its credentials hold no line breaks or foreign characters.`,
      { cause },
    );
  }
  if (!isSent) {
    return new TemporaryFault(
      'PARTNER_UNREACHABLE',
      `${partner} cannot be reached (${code || error.message}). Check its base URL and that it is running; Dropline tries again by itself.`,
      { cause },
    );
  }
  const what = code === 'ETIMEDOUT' ? 'did not answer in time' : `broke the connection (${code || error.message})`;
  return isRead
    ? new TemporaryFault('PARTNER_UNAVAILABLE', `${partner} ${what}. Dropline tries again by itself.`, { cause })
    : new InDoubt(
        'ANSWER_LOST',
        `${partner} ${what}: whether it did what was asked is not known. Dropline asks before it sends again.`,
        { cause },
      );
}

function statusError(response: HttpResponse, isRead: boolean, partner: string, now: number): Error {
  const { status } = response;
  const retryAfter = retryAfterOf(response, now);
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

/** A date is counted from the partner's own clock, where the answer shows it: clocks differ. */
function retryAfterOf({ headers }: HttpResponse, now: number): number | undefined {
  return readRetryAfter(headers['retry-after'], readDate(headers['date']) ?? now);
}

/**
 * Milliseconds from a Retry-After header in seconds or as a date (RFC 9110, 10.2.3); at most one hour, because partners err.
 * `undefined` also for "now": without a wait of our own the same call would go out again at once, for ever.
 */
export function readRetryAfter(header: string | undefined, now: number = Date.now()): number | undefined {
  const text = header?.trim() ?? '';
  const date = readDate(text);
  const wait = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1000 : date === undefined ? 0 : date - now;
  return wait > 0 ? Math.round(Math.min(wait, 3_600_000)) : undefined;
}

/** Only what looks like a date: `Date.parse` takes "-5" for a month. */
function readDate(text: string | undefined): number | undefined {
  const time = /^[A-Z][a-z]{2}.*\d{2}:\d{2}:\d{2}|^\d{4}-\d{2}-\d{2}T/.test(text ?? '') ? Date.parse(text!) : NaN;
  return Number.isNaN(time) ? undefined : time;
}

/** The beginning of an error body, on one line and without markup: enough to act on, too little to leak a page. */
export function excerpt(text: string): string {
  return text
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ')
    .trim()
    .slice(0, 200);
}

function changesNothing({ method, read }: HttpRequest): boolean {
  return read ?? (method === 'GET' || method === 'HEAD');
}

/** What the request names itself comes last, and counts. */
function headersOf({ method, headers, json }: HttpRequest, correlation: string | undefined): Record<string, string> {
  const result: Record<string, string> = { accept: 'application/json' };
  if (json !== undefined) result['content-type'] = 'application/json';
  // As axios has it for a body that says nothing of itself.
  else if (method === 'POST' || method === 'PUT' || method === 'PATCH')
    result['content-type'] = 'application/x-www-form-urlencoded';
  if (correlation !== undefined) result['x-correlation-id'] = headerValue(correlation);
  for (const name in headers) result[name] = cleaned(headers[name]!);
  return result;
}

/** Without what a pasted key brings along, such as a line break at its end; it would end the header, and begin another. */
function cleaned(value: string): string {
  return UNCLEAN.test(value) ? value.replace(CONTROLS, '').replace(/^[\t ]+|[\t ]+$/g, '') : value;
}

/** Written as axios writes it. What signs an address must see the same. */
function withQuery(url: string, query: HttpRequest['query']): string {
  if (!query) return url;
  const parts = Object.entries(query)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${queryPart(name)}=${queryPart(String(value))}`);
  if (parts.length === 0) return url;
  const [bare = ''] = url.split('#');
  return `${bare}${bare.includes('?') ? '&' : '?'}${parts.join('&')}`;
}

function queryPart(text: string): string {
  return encodeURIComponent(text).replace(/%3A/g, ':').replace(/%24/g, '$').replace(/%2C/g, ',').replace(/%20/g, '+');
}

/** Document numbers come from partners, and may hold anything. */
function headerValue(text: string): string {
  if (text.length <= 250 && !/[^\x21-\x7e]/.test(text)) return text;
  const escaped = text.replace(/[^\x21-\x7e]+/g, (part) =>
    [...Buffer.from(part)].map((byte) => `%${byte.toString(16).padStart(2, '0').toUpperCase()}`).join(''),
  );
  return escaped.slice(0, 250);
}

function pathOf(url: string): string {
  return URL.canParse(url) ? new URL(url).pathname : url;
}
