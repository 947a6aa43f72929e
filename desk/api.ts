import type { ActionName } from '../ledger/actions.ts';
import type { Exception } from '../ledger/exceptions.ts';
import type { HistoryEntry } from '../ledger/history.ts';
import type { OrderView } from '../ledger/views.ts';

export type { ActionName, HistoryEntry, OrderView };

export interface LedgerRow {
  id: string;
  name: string;
}

export interface OrderRow {
  id: string;
  state: string;
  updatedAt: number;
  number: string;
  shop: string;
}

/** An exception with what may safely be done about it; asked for alone, also with what happened. */
export interface ExceptionRow extends Exception {
  history?: HistoryEntry[];
}

/** What the admin API answered instead of data. `status` 0: no answer at all. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** `<adminRoot>/`, where the editor is. */
export const editorUrl = new URL('../../', document.baseURI);

/** @throws ApiError */
export function get<Result>(path: string, query: Record<string, string>): Promise<Result> {
  return call<Result>('GET', path, query);
}

/** @throws ApiError */
export function post<Result>(path: string, query: Record<string, string>, body: object): Promise<Result> {
  return call<Result>('POST', path, query, body);
}

async function call<Result>(
  method: string,
  path: string,
  query: Record<string, string>,
  body?: object,
): Promise<Result> {
  const url = new URL(`dropship/${path}`, editorUrl);
  for (const [name, value] of Object.entries(query)) if (value !== '') url.searchParams.set(name, value);
  const token = accessToken();
  let response: Response;
  try {
    response = await fetch(url, {
      method,
      headers: {
        accept: 'application/json',
        ...(token ? { authorization: `Bearer ${token}` } : {}),
        ...(body ? { 'content-type': 'application/json' } : {}),
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
      cache: 'no-store',
      signal: AbortSignal.timeout(30_000),
    });
  } catch (cause) {
    throw new ApiError(0, 'NO_ANSWER', String(cause));
  }
  const answer: unknown = await response.json().catch(() => undefined);
  if (response.ok && answer !== undefined) return answer as Result;
  const { code, message } = (answer as { error?: { code?: string; message?: string } } | undefined)?.error ?? {};
  throw new ApiError(response.status, code ?? String(response.status), message ?? '');
}

/**
 * The login of the Node-RED editor on this origin. The editor keeps it under `auth-tokens` and its own path, slashes written as
 * hyphens (`settings.js` of @node-red/editor-client): `auth-tokens` at the root, `auth-tokens-admin` under /admin/.
 */
function accessToken(): string | undefined {
  const suffix = editorUrl.pathname.slice(0, -1).replace(/\//g, '-');
  try {
    const tokens = JSON.parse(localStorage.getItem(`auth-tokens${suffix}`) ?? 'null') as {
      access_token?: unknown;
    } | null;
    return typeof tokens?.access_token === 'string' ? tokens.access_token : undefined;
  } catch {
    return undefined;
  }
}
