import type { Rule } from './read.ts';

/**
 * The settings of a generic REST partner, as they stand in the edit dialog. `docs/generic-rest.md` explains each field.
 * Texts of type `Expression` are JSONata; texts of type `Template` are plain text with JSONata in `{braces}`.
 */
export interface GenericOptions {
  auth?: AuthOptions;
  /** Sent with every call. */
  headers?: Record<string, Template>;
  /** Sent with every call, such as an API version. */
  query?: Record<string, QueryValue>;
  /** Seconds that the partner may still carry out a call whose answer was lost. */
  settleSeconds?: number;
  /** Seconds until an unanswered call is given up; set by the config node. */
  timeout?: number;
  test?: { method?: Method; path: string; query?: Record<string, QueryValue> };
  operations?: Record<string, Operation>;
  callbacks?: Callbacks;
  poll?: Poll | Poll[];
  /** How documents that come in are read, by kind (`order`; `acknowledgement`, `shipment`, `bill`, `cancellation`). */
  read?: Record<string, Record<string, Rule>>;
}

/** Long expressions may be written as a list of lines. */
export type Expression = string | string[];
export type Template = string;
export type QueryValue = Template | number | boolean;
export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
/** Statuses, or a JSONata condition over the answer. */
export type Condition = number[] | string;

export interface AuthOptions {
  type: 'none' | 'header' | 'query' | 'basic' | 'bearer' | 'oauth2' | 'login';
  header?: string;
  /** Written before the key or token in the header, such as "Token ". */
  prefix?: string;
  /** The query parameter that carries the key. */
  parameter?: string;
  tokenUrl?: string;
  scope?: string;
  grant?: 'client_credentials' | 'password';
  clientAuth?: 'basic' | 'body';
  /** Further fields of the token request, such as `audience`. */
  fields?: Record<string, string>;
  /** `login` only: names of the JSON fields that carry user and password. */
  userField?: string;
  passwordField?: string;
  /** Path of the token in the answer to the token request. */
  token?: string;
  /** Seconds that a token holds where the answer does not say. */
  tokenLifetime?: number;
}

/** One HTTP call. */
export interface Call {
  method?: Method;
  path: Template;
  query?: Record<string, QueryValue>;
  headers?: Record<string, Template>;
  request?: Expression;
  bodyType?: 'json' | 'form' | 'text';
}

/** One HTTP call, and what its answer means. */
export interface Exchange extends Call {
  response?: Expression;
  success?: Condition;
  refused?: Expression;
  tryLater?: Condition;
}

export interface Probe extends Call {
  response: Expression;
  missing: Condition;
  /** False: a document with our reference but another content. */
  agrees?: Expression;
  paging?: Paging;
}

export interface Settled extends Exchange {
  settle?: 'idempotent' | 'probe' | 'ask';
  idempotency?: { in: 'header' | 'query' | 'body'; name: string; format?: 'plain' | 'uuid' | 'sha256' };
  /** The call may be made twice by its nature (it sets a state). */
  repeatable?: boolean;
  probe?: Probe;
  look?: 'when-in-doubt' | 'always';
  whenMissing?: 'send' | 'ask';
  duplicate?: { when: Condition; response?: Expression };
}

export interface Step extends Settled {
  name: string;
  when?: Expression;
  each?: Expression;
}

export interface Operation extends Omit<Settled, 'path'> {
  path?: Template;
  before?: Step[];
  steps?: Step[];
  result?: Expression;
  /** Lists only. */
  paging?: Paging;
}

export interface Paging {
  type: 'next' | 'page' | 'offset' | 'link';
  /** `next`: where the next page is: a URL, a path, or a token for `parameter`. */
  next?: Expression;
  parameter?: string;
  first?: number;
  size?: number;
  sizeParameter?: string;
  /** The list in the answer; counted to know whether a page was full. */
  items?: Expression;
}

export interface Poll extends Call {
  /** Tells several polls apart. */
  name?: string;
  items: Expression;
  kind?: string;
  key?: string[];
  /** Path of the time of change in an item. */
  changedAt?: string;
  /** A cursor that the partner itself hands out. */
  cursor?: Expression;
  /** Seconds that are asked for again each time. */
  overlap?: number;
  paging?: Paging;
  detail?: Call & { response?: Expression };
}

export interface Callbacks {
  signature: 'standard-webhooks' | 'hmac-sha256' | 'header-key' | 'basic' | 'none';
  header?: string;
  encoding?: 'hex' | 'base64';
  prefix?: string;
  user?: string;
  acceptUnsigned?: boolean;
  facts?: FactRule | FactRule[];
}

export interface FactRule {
  /** Path of a list in the body: one fact for each item. */
  list?: string;
  /** Path of the document in the item (or body). */
  document?: string;
  /** A fixed kind, or where it stands. */
  kind?: string | { path?: string; header?: string; table: Record<string, string>; otherwise?: string };
  /** Paths in the document that repeats of one fact share. */
  key?: string[];
}
