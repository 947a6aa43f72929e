import { ConfigurationMistake } from '../../orders/errors.ts';
import { unexpectedAnswer, type HttpRequest } from '../http.ts';
import {
  exchange,
  sameSite,
  type Answer,
  type CompiledExchange,
  type Connection,
  type Input,
  type Outcome,
} from './call.ts';
import { describe, isTrue, type Compiler, type Mapping } from './mapping.ts';
import type { Paging } from './options.ts';

/** Which page is asked for; plain JSON, because a poll keeps it in its cursor. */
export interface Page {
  /** The partner's own address of the page. */
  url?: string;
  query?: Record<string, string>;
  /** Page number or offset. */
  at?: number;
}

export interface CompiledPaging extends Paging {
  where: string;
  nextPage: Mapping | undefined;
  list: Mapping | undefined;
}

/** More pages than this are a partner that does not stop. */
const MAX_PAGES = 10_000;

export function compilePaging(
  compiler: Compiler,
  paging: Paging | undefined,
  where: string,
): CompiledPaging | undefined {
  if (!paging) return undefined;
  return {
    ...paging,
    where,
    nextPage: paging.next === undefined ? undefined : compiler.mapping(paging.next, `${where}.next`),
    list: paging.items === undefined ? undefined : compiler.mapping(paging.items, `${where}.items`),
  };
}

export function firstPage(paging: CompiledPaging | undefined): Page | undefined {
  if (!paging) return undefined;
  const size: Record<string, string> =
    paging.sizeParameter && paging.size ? { [paging.sizeParameter]: String(paging.size) } : {};
  if (paging.type === 'page' || paging.type === 'offset') {
    const at = paging.first ?? (paging.type === 'page' ? 1 : 0);
    return { at, query: { ...size, [paging.parameter ?? paging.type]: String(at) } };
  }
  return { query: size };
}

/** The page after this answer; `undefined` after the last one. */
export async function nextPage(
  connection: Connection,
  paging: CompiledPaging | undefined,
  page: Page | undefined,
  answer: Answer,
  input: Input,
  request: HttpRequest,
): Promise<Page | undefined> {
  if (!paging) return undefined;
  switch (paging.type) {
    case 'link': {
      const link = linkToNext(answer.headers['link']);
      return link === undefined ? undefined : toUrl(link);
    }
    case 'next': {
      const next = await paging.nextPage?.evaluate({ ...answer, input });
      if (!isTrue(next)) return undefined;
      if (typeof next !== 'string' && typeof next !== 'number') {
        throw unexpectedAnswer(request, connection.partner, `${paging.where}.next gives ${describe(next)}`);
      }
      if (paging.parameter === undefined) return toUrl(String(next));
      return { query: { ...firstPage(paging)?.query, [paging.parameter]: String(next) } };
    }
    case 'page':
    case 'offset': {
      const items = listOf(
        await paging.list?.evaluate({ ...answer, input }),
        `${paging.where}.items`,
        connection,
        request,
      );
      if (items.length === 0 || (paging.size !== undefined && items.length < paging.size)) return undefined;
      const at = (page?.at ?? 0) + (paging.type === 'page' ? 1 : items.length);
      return { at, query: { ...page?.query, [paging.parameter ?? paging.type]: String(at) } };
    }
  }

  function toUrl(link: string): Page {
    const absolute = URL.canParse(link, request.url) ? new URL(link, request.url).href : link;
    return { url: sameSite(connection, absolute, paging?.where ?? 'paging').href };
  }
}

/** All answers of a list, page by page. */
export async function* pages(
  connection: Connection,
  call: CompiledExchange,
  paging: CompiledPaging | undefined,
  input: Input,
): AsyncGenerator<Outcome & { isLast: boolean }> {
  let page = firstPage(paging);
  const seen = new Set<string>();
  for (let count = 0; count < MAX_PAGES; count += 1) {
    const outcome = await exchange(connection, call, input, { isRead: true, page });
    const { answer, request } = outcome;
    // A refusal that the options call an answer (404 for "not there") has no further pages.
    page = answer.status < 300 ? await nextPage(connection, paging, page, answer, input, request) : undefined;
    yield { ...outcome, isLast: page === undefined };
    if (page === undefined) return;
    const next = JSON.stringify(page);
    if (seen.has(next)) break;
    seen.add(next);
  }
  throw new ConfigurationMistake(
    'PAGING_ENDLESS',
    `${connection.partner}: ${call.where}.paging does not come to an end: the same page is named again. Correct it in the config node.`,
  );
}

/**
 * A list as a mapping gave it. JSONata unwraps a list of one, so a single object is one; nothing at all is an answer of
 * another shape, and not an empty list.
 */
export function listOf(value: unknown, where: string, connection: Connection, request: HttpRequest): unknown[] {
  if (Array.isArray(value)) return value;
  if (typeof value === 'object' && value !== null) return [value];
  throw unexpectedAnswer(
    request,
    connection.partner,
    `${where} finds no list in it (if a filter may leave nothing, write the expression in [brackets])`,
  );
}

/** RFC 8288: `<https://...>; rel="next"`. */
function linkToNext(header: string | undefined): string | undefined {
  for (const [, link, parameters = ''] of (header ?? '').matchAll(
    /<([^>]*)>((?:\s*;[^,;="]+(?:="[^"]*"|=[^,;"]*)?)*)/g,
  )) {
    const relation = /;\s*rel\s*=\s*(?:"([^"]*)"|([^,;\s]+))/i.exec(parameters);
    if ((relation?.[1] ?? relation?.[2] ?? '').toLowerCase().split(/\s+/).includes('next')) return link;
  }
  return undefined;
}
