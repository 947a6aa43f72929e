import type { NodeAPI } from 'node-red';
import type { Ledger } from '../ledger/ledger.ts';
import type { Transaction } from '../ledger/store.ts';
import { asError, BusinessRefusal, DroplineError } from '../orders/errors.ts';
import { meantLedger } from './used-ledgers.ts';

/** What the admin routes read of Node-RED's settings file. */
export interface AdminSettings {
  adminAuth?: unknown;
  dropship?: { development?: boolean; beneficiaryWait?: number };
}

export interface AdminRequest {
  params: Record<string, string>;
  /** Express makes lists and objects of parameters that come twice or with brackets: read it with `queryOf`. */
  query: Record<string, unknown>;
  body: Record<string, unknown> | undefined;
  user?: { username?: string };
}

interface Response {
  status(code: number): Response;
  json(body: unknown): void;
}

/** How the admin routes are made; every one has its permission. Paths are below `/dropship/`. */
export interface AdminRoutes {
  RED: NodeAPI;
  settings: AdminSettings;
  /** A developer's machine: no login is asked for. */
  development: boolean;
  read(path: string, handler: (request: AdminRequest) => Promise<unknown>): void;
  /** A POST that changes something, in somebody's name. */
  change(path: string, permission: string, handler: (request: AdminRequest, by: string) => Promise<unknown>): void;
  /** A POST that changes nothing, for people who may do this. */
  ask(path: string, permission: string, handler: (request: AdminRequest) => Promise<unknown>): void;
  /** The ledger that `?ledger=` names, or the only one. @throws BusinessRefusal `LEDGER_AMBIGUOUS` */
  ledger(request: AdminRequest): Promise<Ledger>;
  view<Result>(request: AdminRequest, work: () => Transaction<Result>): Promise<Result>;
}

interface AdminApp {
  get(path: string, ...handlers: unknown[]): void;
  post(path: string, ...handlers: unknown[]): void;
}

export function createRoutes(RED: NodeAPI, app: AdminApp): AdminRoutes {
  const settings = RED.settings as unknown as AdminSettings;
  const development = settings.dropship?.development === true;
  const ledger = (request: AdminRequest) => meantLedger(RED, queryOf(request, 'ledger'));
  const ask: AdminRoutes['ask'] = (path, permission, handler) =>
    app.post(`/dropship/${path}`, RED.auth.needsPermission(permission), answering(handler));
  return {
    RED,
    settings,
    development,
    ledger,
    ask,
    view: async (request, work) => (await ledger(request)).core.read(work),
    read: (path, handler) =>
      app.get(`/dropship/${path}`, RED.auth.needsPermission('dropship.read'), answering(handler)),
    change: (path, permission, handler) =>
      ask(path, permission, (request) => handler(request, whoIs(request, settings, development))),
  };
}

/** @throws BusinessRefusal `LOGIN_REQUIRED` */
function whoIs(request: AdminRequest, settings: AdminSettings, development: boolean): string {
  if (!settings.adminAuth && !development) {
    throw new BusinessRefusal(
      'LOGIN_REQUIRED',
      'Node-RED has no admin login, so nobody can be held to this. Set adminAuth in the settings file.',
    );
  }
  const by = request.user?.username;
  // Where adminAuth has a `default` user, somebody who has not logged in gets this far and is nobody.
  if (settings.adminAuth && !by) {
    throw new BusinessRefusal('LOGIN_REQUIRED', "Log in to Node-RED first: this is done in somebody's name.");
  }
  return by ?? 'development';
}

/** Express does not catch what an asynchronous handler throws: here it becomes an answer, never a crash. */
function answering(
  handler: (request: AdminRequest) => Promise<unknown>,
): (request: AdminRequest, response: Response) => void {
  return (request, response) => {
    Promise.resolve()
      .then(() => handler(request))
      .then(
        (result) => response.json(result),
        (thrown: unknown) => {
          const error = asError(thrown);
          const code = error instanceof DroplineError ? error.code : 'UNEXPECTED';
          response
            .status(STATUS[code] ?? (error instanceof DroplineError ? 409 : 500))
            .json({ error: { code, message: error.message } });
        },
      )
      .catch(() => undefined);
  };
}

const STATUS: Record<string, number> = {
  LOGIN_REQUIRED: 403,
  NOT_FOUND: 404,
  RUN_UNKNOWN: 404,
  EXCEPTION_UNKNOWN: 404,
  BENEFICIARY_UNKNOWN: 404,
  BENEFICIARY_INVALID: 400,
  OFFERS_INVALID: 400,
  BODY_INVALID: 400,
  TIME_INVALID: 400,
  LEDGER_AMBIGUOUS: 400,
  BACKUP_FAILED: 503,
  LEDGER_UNAVAILABLE: 503,
};

export function found<Item>(item: Item | undefined, what: string): Item {
  if (item === undefined) throw new BusinessRefusal('NOT_FOUND', `There is no such ${what}.`);
  return item;
}

/** A parameter of the URL, where it is one text. */
export function queryOf(request: AdminRequest, name: string): string | undefined {
  const value = request.query[name];
  return typeof value === 'string' ? value : undefined;
}

export function limitOf(request: AdminRequest): number {
  const limit = Number(request.query['limit']);
  return Number.isInteger(limit) && limit > 0 ? Math.min(limit, 1000) : 100;
}

/**
 * A text of the request's body without the spaces around it.
 * @throws BusinessRefusal `BODY_INVALID` that says what to send
 */
export function textOf(request: AdminRequest, field: string, most: number, what: string): string {
  const value = request.body?.[field];
  const text = typeof value === 'string' ? value.trim() : '';
  // It is written into the history and shown again: one line, without control characters.
  if (text === '' || text.length > most || /\p{Cc}/u.test(text))
    throw new BusinessRefusal(
      'BODY_INVALID',
      `Send {"${field}": "..."}: ${what}, at most ${most} characters in one line.`,
    );
  return text;
}

/** A yes or no of the request's body; missing means no. @throws BusinessRefusal `BODY_INVALID` */
export function flagOf(request: AdminRequest, field: string): boolean {
  const value = request.body?.[field];
  if (value !== undefined && typeof value !== 'boolean')
    throw new BusinessRefusal('BODY_INVALID', `"${field}" must be true or false.`);
  return value === true;
}
