import type { DroplineError } from '../orders/errors.ts';
import type { Http } from './http.ts';

/** What an adapter is built from. Secrets arrive here and nowhere else. */
export interface AdapterSettings {
  /** Our short name of the partner, such as `erp-main`. */
  reference: string;
  baseUrl: string;
  /** The product's own settings from the edit dialog, such as Odoo's database or a mapping. */
  options: Record<string, unknown>;
  credentials: Record<string, string | undefined>;
}

/** What an adapter is handed. The domain, the ledger and the adapters require nothing of Node-RED. */
export interface AdapterTools {
  http: Http;
  /** Milliseconds since 1970. */
  now(): number;
  /** Compiles a JSONata expression. Absent where no engine is at hand; mappings then fail with a clear sentence. */
  jsonata?: (expression: string) => JsonataExpression;
}

/** A compiled JSONata expression. */
export interface JsonataExpression {
  (input: unknown): Promise<unknown>;
  /** Its syntax tree. Absent where the engine does not evaluate it on the input as it is handed in. */
  ast?: unknown;
}

/** The answer of "Test connection": one sentence that says what is missing, or what was found. */
export interface ConnectionTest {
  ok: boolean;
  message: string;
}

/** How long an unanswered write may still be carried out by the partner, in milliseconds: client time-out + late acceptance. */
export interface Patience {
  settleTime: number;
}

/** A request as it came in, before anything is believed. */
export interface InboundRequest {
  /** Lower-case names. A header that came twice has two values. */
  headers: Record<string, string | string[] | undefined>;
  body: Buffer;
}

/** Thrown by `receive` when a request is not authentic: answered 401 without detail. */
export type Unauthentic = DroplineError;

/** One inbound fact, found in an authentic request or by polling; stored before anyone is answered. */
export interface InboundFact<Kind extends string> {
  kind: Kind;
  /**
   * The business identity that repeats of the same fact share: `order:1001@2026-11-22T14:40:12`, `shipment:SH-12`. Never a delivery id.
   */
  dedupeKey: string;
  /** The partner's document as parsed JSON, kept as it is. */
  body: unknown;
}
