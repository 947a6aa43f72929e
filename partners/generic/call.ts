import { BusinessRefusal, ConfigurationMistake, DroplineError, TemporaryFault } from '../../orders/errors.ts';
import type { AdapterSettings, AdapterTools, ConnectionTest } from '../adapter.ts';
import { excerpt, HttpRefusal, unexpectedAnswer, type HttpRequest, type HttpResponse } from '../http.ts';
import { parseJson } from '../json.ts';
import { createAuthenticator, type Authenticator } from './auth.ts';
import {
  compileCondition,
  compileQuery,
  createCompiler,
  fillQuery,
  isTrue,
  mappingFailed,
  outgoing,
  type CompiledCondition,
  type Compiler,
  type Mapping,
  type TextTemplate,
} from './mapping.ts';
import type { Call, Exchange, GenericOptions, Method } from './options.ts';
import type { Page } from './paging.ts';

/** One generic partner: where it is, how to get in, and what goes with every call. */
export interface Connection {
  partner: string;
  baseUrl: URL;
  auth: Authenticator;
  compiler: Compiler;
  headers: [string, TextTemplate][];
  query: [string, TextTemplate | number | boolean][];
}

/** What an answer looks like to a mapping. */
export interface Answer {
  status: number;
  headers: Record<string, string>;
  /** Parsed JSON, the text where it is none, `undefined` where it is empty. */
  body: unknown;
}

export type Input = Record<string, unknown>;

export interface CompiledCall {
  where: string;
  method: Method;
  path: TextTemplate;
  /** The address without a query, once it is known of a path that is always the same. */
  address?: string;
  /** The whole path is one placeholder: it may hold a link of the partner. */
  isLink: boolean;
  /** It looks for our reference: no condition of it may be left out. */
  isSearch: boolean;
  query: [string, TextTemplate | number | boolean][];
  headers: [string, TextTemplate][];
  request: Mapping | undefined;
  bodyType: 'json' | 'form' | 'text';
}

export interface CompiledExchange extends CompiledCall {
  response: Mapping | undefined;
  success: CompiledCondition | undefined;
  refused: Mapping | undefined;
  tryLater: CompiledCondition | undefined;
  duplicate: CompiledCondition | undefined;
}

/**
 * @throws ConfigurationMistake `OPTIONS_INVALID` for a base URL that is none
 */
export function createConnection(settings: AdapterSettings, tools: AdapterTools, options: GenericOptions): Connection {
  const compiler = createCompiler(tools, settings.reference);
  if (!URL.canParse(settings.baseUrl) || !/^https?:$/.test(new URL(settings.baseUrl).protocol)) {
    throw new ConfigurationMistake(
      'OPTIONS_INVALID',
      `The base URL of ${settings.reference} must begin with https:// (or http://). Correct it in its config node.`,
    );
  }
  return {
    partner: settings.reference,
    baseUrl: new URL(settings.baseUrl),
    auth: createAuthenticator(settings, tools, options.auth),
    compiler,
    headers: compileHeaders(compiler, options.headers, 'headers'),
    query: compileQuery(compiler, options.query, 'query'),
  };
}

export function compileCall(compiler: Compiler, call: Call, where: string, method: Method = 'GET'): CompiledCall {
  if (/^[a-z]+:/i.test(call.path)) {
    throw new ConfigurationMistake(
      'OPTIONS_INVALID',
      `${compiler.partner}: ${where}.path must be a path such as /orders. Calls go to the base URL only; set that to ${call.path.slice(0, 60)} if it is meant.`,
    );
  }
  return {
    where,
    method: call.method ?? method,
    path: compiler.template(call.path, `${where}.path`),
    isSearch: where.endsWith('.probe'),
    isLink: /^\{[^{}]*\}$/.test(call.path),
    query: compileQuery(compiler, call.query, `${where}.query`),
    headers: compileHeaders(compiler, call.headers, `${where}.headers`),
    request: call.request === undefined ? undefined : compiler.mapping(call.request, `${where}.request`),
    bodyType: call.bodyType ?? 'json',
  };
}

export function compileExchange(
  compiler: Compiler,
  exchange: Exchange & { duplicate?: { when: number[] | string } },
  where: string,
  method: Method = 'GET',
): CompiledExchange {
  const condition = (value: number[] | string | undefined, name: string) =>
    value === undefined ? undefined : compileCondition(compiler, value, `${where}.${name}`);
  return {
    ...compileCall(compiler, exchange, where, method),
    response: exchange.response === undefined ? undefined : compiler.mapping(exchange.response, `${where}.response`),
    success: condition(exchange.success, 'success'),
    refused: exchange.refused === undefined ? undefined : compiler.mapping(exchange.refused, `${where}.refused`),
    tryLater: condition(exchange.tryLater, 'tryLater'),
    duplicate: condition(exchange.duplicate?.when, 'duplicate.when'),
  };
}

function compileHeaders(
  compiler: Compiler,
  headers: Record<string, string> | undefined,
  where: string,
): [string, TextTemplate][] {
  return Object.entries(headers ?? {}).map(([name, text]) => [
    name.toLowerCase(),
    compiler.template(text, `${where}.${name}`),
  ]);
}

/** Where our key of the write goes. */
export interface KeyPlace {
  in: 'header' | 'query' | 'body';
  name: string;
  value: string;
}

/**
 * The request of a call for these documents. Nothing has been sent when it throws.
 * @throws ConfigurationMistake `MAPPING_FAILED`
 */
export async function buildRequest(
  connection: Connection,
  call: CompiledCall,
  input: Input,
  as: { isRead: boolean; key?: KeyPlace; page?: Page | undefined; signal?: AbortSignal | undefined },
): Promise<HttpRequest> {
  const { partner } = connection;
  const query = new Map([
    ...(await fillQuery(connection.query, input, false)),
    ...(await fillQuery(call.query, input, call.isSearch)),
    ...Object.entries(as.page?.query ?? {}),
  ]);
  const headers: Record<string, string> = {};
  for (const [name, template] of [...connection.headers, ...call.headers]) {
    const value = await template.fillOptional(input);
    if (value !== undefined) headers[name] = value;
  }
  if (as.key?.in === 'header') headers[as.key.name.toLowerCase()] = as.key.value;
  if (as.key?.in === 'query') query.set(as.key.name, as.key.value);
  for (const [name, value] of Object.entries(headers)) {
    // Node.js would refuse such a header halfway, which looks like a broken connection.
    if (!/^[\t\x20-\x7e\xa0-\xff]*$/.test(value)) {
      throw mappingFailed(
        partner,
        `${call.where}.headers.${name}`,
        'the value has line breaks or characters that a header cannot carry',
      );
    }
  }
  return {
    method: call.method,
    url:
      as.page?.url === undefined
        ? await fillAddress(connection, call, input, query)
        : sameSite(connection, as.page.url, call.where).href,
    ...(await fillBody(connection, call, input, as.key, headers)),
    read: as.isRead,
    ...(as.signal ? { signal: as.signal } : {}),
  };
}

async function fillBody(
  { partner }: Connection,
  call: CompiledCall,
  input: Input,
  key: KeyPlace | undefined,
  headers: Record<string, string>,
): Promise<Pick<HttpRequest, 'headers' | 'json' | 'text'>> {
  if (!call.request) return { headers };
  const mapped = await call.request.evaluate(input);
  if (mapped === undefined || mapped === null) throw mappingFailed(partner, call.request.where, 'it gives nothing');
  const body = outgoing(mapped, partner, call.request.where);
  if (key?.in === 'body') {
    if (typeof body !== 'object' || body === null || Array.isArray(body)) {
      throw mappingFailed(partner, call.request.where, 'it must give an object, because our key goes into the body');
    }
    setPath(body as Record<string, unknown>, key.name.split('.'), key.value);
  }
  if (call.bodyType === 'json') return { headers, json: body };
  if (call.bodyType === 'form') {
    const form = new URLSearchParams(formFields(body));
    return { headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers }, text: form.toString() };
  }
  if (typeof body !== 'string')
    throw mappingFailed(partner, call.request.where, 'it must give a text, because bodyType is text');
  return { headers: { 'content-type': 'text/plain; charset=utf-8', ...headers }, text: body };
}

function setPath(target: Record<string, unknown>, path: string[], value: string): void {
  const [name = '', ...rest] = path;
  if (rest.length === 0) {
    target[name] = value;
    return;
  }
  const inner = target[name];
  const group = typeof inner === 'object' && inner !== null ? (inner as Record<string, unknown>) : {};
  target[name] = group;
  setPath(group, rest, value);
}

function formFields(value: unknown, name = ''): [string, string][] {
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value).flatMap(([key, item]) => formFields(item, name ? `${name}[${key}]` : key));
  }
  return value === undefined || value === null ? [] : [[name, String(value)]];
}

async function fillAddress(
  connection: Connection,
  call: CompiledCall,
  input: Input,
  query: Map<string, string>,
): Promise<string> {
  if (query.size === 0 && call.address !== undefined) return call.address;
  const url = await fillPath(connection, call, input);
  if (query.size === 0) {
    if (call.path.isFixed) call.address = url.href;
    return url.href;
  }
  const search = [...query]
    .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
    .join('&');
  url.search = url.search ? `${url.search}&${search}` : `?${search}`;
  return url.href;
}

async function fillPath(connection: Connection, call: CompiledCall, input: Input): Promise<URL> {
  if (call.isLink) return sameSite(connection, await call.path.fill(input), call.where);
  const path = await call.path.fill(input, (value) => {
    if (value === '.' || value === '..')
      throw mappingFailed(connection.partner, call.path.where, `"${value}" cannot be part of a path`);
    return encodeURIComponent(value);
  });
  const url = new URL(connection.baseUrl);
  const [before, search] = split(path, '?');
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/${before.replace(/^\/+/, '')}`;
  if (before === '' || before === '/') url.pathname = connection.baseUrl.pathname;
  if (search) url.search = url.search ? `${url.search}&${search}` : `?${search}`;
  return url;
}

/** A link of the partner, absolute or relative. It is followed only within the partner's own site: credentials go with it. */
export function sameSite(connection: Connection, link: string, where: string): URL {
  const base = connection.baseUrl;
  const url = URL.canParse(link, base.href) ? new URL(link, base.href) : undefined;
  if (url?.origin === base.origin) return url;
  throw new ConfigurationMistake(
    'LINK_FOREIGN',
    `${connection.partner}: ${where} leads to ${url ? url.origin : 'something that is no address'}, and only addresses at ${base.origin} are called. Correct the base URL if the partner has moved.`,
  );
}

/** What became of one call, in the order in which the options are asked. */
export type Outcome = { is: 'done' | 'duplicate'; answer: Answer; request: HttpRequest };

/**
 * Makes one call and decides what its answer means: asked to wait, refused, a duplicate, done, or unclear.
 * @throws TemporaryFault, BusinessRefusal, ConfigurationMistake; InDoubt for writes whose answer leaves it open
 */
export async function exchange(
  connection: Connection,
  compiled: CompiledExchange,
  input: Input,
  as: { isRead: boolean; key?: KeyPlace; page?: Page | undefined; signal?: AbortSignal | undefined },
): Promise<Outcome> {
  const { partner } = connection;
  const request = await buildRequest(connection, compiled, input, as);
  let response: HttpResponse;
  let refusal: HttpRefusal | undefined;
  try {
    response = await connection.auth.send(request);
  } catch (thrown) {
    if (!(thrown instanceof HttpRefusal)) throw thrown;
    refusal = thrown;
    response = thrown.response;
  }
  const answer = readAnswer(response, request, partner, refusal !== undefined);
  const seen = { ...answer, input };
  const unclear = (why: string, cause?: unknown) => refusal ?? unexpectedAnswer(request, partner, why, cause);

  async function judge(question: ((answer: typeof seen) => unknown) | undefined): Promise<unknown> {
    try {
      return await question?.(seen);
    } catch (thrown) {
      throw unclear(thrown instanceof Error ? thrown.message : String(thrown), thrown);
    }
  }

  const { tryLater, duplicate, refused, success } = compiled;
  if (await judge(tryLater)) {
    throw new TemporaryFault(
      'PARTNER_BUSY',
      `${partner} asks to try again later (${describeCall(request)}, ${answer.status}). Dropline does so by itself.`,
    );
  }
  if (await judge(duplicate)) return { is: 'duplicate', answer, request };
  const why = await judge(refused?.evaluate);
  if (isTrue(why)) {
    throw new BusinessRefusal('PARTNER_REFUSED', `${partner} refused: ${refusalText(why, response)}`, {
      status: 'refused',
    });
  }
  if (success) {
    if (await judge(success)) return { is: 'done', answer, request };
    throw unclear(`status ${answer.status} does not meet ${compiled.where}.success`);
  }
  if (refusal) throw refusal;
  if (isPage(answer)) throw unclear('a web page instead of data');
  if (!refused && looksLikeError(answer.body)) {
    throw unclear(
      `success with an error inside (${excerpt(response.text).slice(0, 120)}). Say in ${compiled.where}.refused what that means`,
    );
  }
  return { is: 'done', answer, request };
}

function readAnswer(response: HttpResponse, request: HttpRequest, partner: string, isRefusal: boolean): Answer {
  const { status, headers } = response;
  const text = response.text.replace(/^\uFEFF/, '').trim();
  if (text === '') return { status, headers, body: undefined };
  const saysJson = /\bjson\b/i.test(headers['content-type'] ?? '');
  if (saysJson || /^[[{]/.test(text)) {
    try {
      return { status, headers, body: parseJson(text) };
    } catch (cause) {
      if (saysJson && !isRefusal) throw unexpectedAnswer(request, partner, 'not valid JSON', cause);
    }
  }
  return { status, headers, body: text };
}

function isPage({ headers, body }: Answer): boolean {
  return (
    typeof body === 'string' && (/\bhtml\b/i.test(headers['content-type'] ?? '') || /^<(!doctype|html)/i.test(body))
  );
}

/** The usual ways of saying "no" with status 200. Where none of the options speaks of errors, these leave a call in doubt. */
function looksLikeError(body: unknown): boolean {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return false;
  const fields = body as Record<string, unknown>;
  return (
    fields['success'] === false ||
    fields['ok'] === false ||
    isTrue(fields['error']) ||
    isTrue(fields['errors']) ||
    /^(error|fail(ed|ure)?)$/i.test(String(fields['status'] ?? ''))
  );
}

function refusalText(why: unknown, response: HttpResponse): string {
  if (typeof why === 'string') return why.slice(0, 300);
  if (Array.isArray(why) && why.every((part) => typeof part === 'string')) return why.join('; ').slice(0, 300);
  return why === true ? excerpt(response.text) || 'no reason given' : JSON.stringify(why).slice(0, 300);
}

export function describeCall(request: HttpRequest): string {
  return `${request.method} ${new URL(request.url).pathname}`;
}

/** One sentence: whether the partner answers, takes the credentials, and which operations are still missing. */
export function compileTest(
  connection: Connection,
  options: GenericOptions,
  required: readonly string[],
): () => Promise<ConnectionTest> {
  const call = compileExchange(connection.compiler, options.test ?? { path: '/' }, 'test');
  const missing = required.filter((name) => !options.operations?.[name]);
  return () => testConnection(connection, call, options.test !== undefined, missing);
}

async function testConnection(
  connection: Connection,
  call: CompiledExchange,
  isChosen: boolean,
  missing: string[],
): Promise<ConnectionTest> {
  const { partner } = connection;
  const note = missing.length > 0 ? `; not configured yet: ${missing.join(', ')}` : '';
  try {
    const { answer, request } = await exchange(connection, call, {}, { isRead: true });
    return { ok: true, message: `${partner} answers ${describeCall(request)} with ${answer.status}${note}.` };
  } catch (thrown) {
    if (thrown instanceof HttpRefusal && !isChosen) {
      return {
        ok: false,
        message: `${partner} can be reached but has nothing at its base URL (${thrown.response.status}): name a path that any user may read in options.test, such as {"path": "/orders"}, so that the credentials are tried as well.`,
      };
    }
    if (thrown instanceof DroplineError) return { ok: false, message: thrown.message };
    throw thrown;
  }
}

function split(text: string, at: string): [string, string] {
  const index = text.indexOf(at);
  return index < 0 ? [text, ''] : [text.slice(0, index), text.slice(index + 1)];
}
