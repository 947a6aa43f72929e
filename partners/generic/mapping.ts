import { BusinessRefusal, ConfigurationMistake } from '../../orders/errors.ts';
import type { AdapterTools, JsonataExpression } from '../adapter.ts';
import { compileAst, LEFT_TO_JSONATA } from './jsonata-compile.ts';
import type { Condition, Expression, QueryValue, Template } from './options.ts';

/** A compiled expression of the options; `where` names it in messages, such as `operations.createOrder.request`. */
export interface Mapping {
  where: string;
  /**
   * The result as plain JSON that shares nothing with the input; `undefined` where the expression gives nothing. What can be had at
   * once is no promise.
   */
  evaluate: (input: unknown) => unknown;
}

/** A compiled text with `{expressions}`. */
export interface TextTemplate {
  where: string;
  /** No placeholder is in it: it is the same for every input. */
  isFixed: boolean;
  /** @param encode is applied to each inserted value; a value that is missing or empty is an error */
  fill(input: unknown, encode?: (value: string) => string): Promise<string>;
  /** Like `fill`, but `undefined` when the whole text is one placeholder that gives nothing. */
  fillOptional(input: unknown): Promise<string | undefined>;
}

/** Compiles what stands in the options, each with the name of its field. */
export interface Compiler {
  partner: string;
  mapping(expression: Expression, where: string): Mapping;
  template(text: Template, where: string): TextTemplate;
}

/**
 * Every expression is compiled when the adapter is built, so that a slip shows in the editor and not with the first order.
 * @throws ConfigurationMistake `MAPPING_ENGINE_MISSING`, `OPTIONS_INVALID`
 */
export function createCompiler(tools: Pick<AdapterTools, 'jsonata'>, partner: string): Compiler {
  function compile(expression: string, where: string): JsonataExpression {
    if (!tools.jsonata) {
      throw new ConfigurationMistake(
        'MAPPING_ENGINE_MISSING',
        `${partner}: ${where} is a JSONata expression, but no JSONata engine is at hand. Run inside Node-RED, or hand the adapter \`tools.jsonata\`.`,
      );
    }
    try {
      return tools.jsonata(expression);
    } catch (thrown) {
      throw new ConfigurationMistake(
        'OPTIONS_INVALID',
        `${partner}: ${where} is not a valid JSONata expression (${reason(thrown)}). Correct it in the config node.`,
        { status: 'options invalid', cause: thrown },
      );
    }
  }

  function mapping(expression: Expression, where: string): Mapping {
    const run = compile([expression].flat().join('\n'), where);
    const compiled = compileAst(run.ast);

    async function evaluate(input: unknown): Promise<unknown> {
      let result: unknown;
      try {
        result = await run(input);
      } catch (thrown) {
        throw mappingFailed(partner, where, reason(thrown), thrown);
      }
      return plain(result);
    }

    if (!compiled) return { where, evaluate };
    return {
      where,
      evaluate(input) {
        const result = compiled(input);
        return result === LEFT_TO_JSONATA ? evaluate(input) : result;
      },
    };
  }

  function template(text: string, where: string): TextTemplate {
    const parts = splitTemplate(text).map((part) =>
      typeof part === 'string' ? part : { source: part.expression, mapping: mapping(part.expression, where) },
    );

    async function value(part: { source: string; mapping: Mapping }, input: unknown): Promise<string | undefined> {
      const result = await part.mapping.evaluate(input);
      if (result === undefined || result === null || result === '') return undefined;
      if (typeof result === 'object') {
        throw mappingFailed(
          partner,
          where,
          `{${part.source}} gives ${describe(result)}, and a text or number is needed`,
        );
      }
      if (typeof result === 'number') checkNumber(result, `{${part.source}}`, partner, where);
      return String(result);
    }

    async function fill(input: unknown, encode: (value: string) => string = (same) => same): Promise<string> {
      let filled = '';
      for (const part of parts) {
        if (typeof part === 'string') {
          filled += part;
          continue;
        }
        const given = await value(part, input);
        if (given === undefined) throw mappingFailed(partner, where, `{${part.source}} gives nothing`);
        filled += encode(given);
      }
      return filled;
    }

    return {
      where,
      isFixed: parts.every((part) => typeof part === 'string'),
      fill,
      async fillOptional(input) {
        const [only] = parts;
        return parts.length === 1 && only !== undefined && typeof only !== 'string' ? value(only, input) : fill(input);
      },
    };
  }

  return { partner, mapping, template };
}

/** A yes-or-no over an answer: a list of statuses, or a JSONata condition. */
export type CompiledCondition = (answer: { status: number }) => Promise<boolean>;

export function compileCondition(compiler: Compiler, condition: Condition, where: string): CompiledCondition {
  if (typeof condition !== 'string') return async (answer) => condition.includes(answer.status);
  const mapping = compiler.mapping(condition, where);
  return async (answer) => isTrue(await mapping.evaluate(answer));
}

/**
 * @param strict where a value that gives nothing is an error: a search without its condition would find somebody else's document
 */
export async function fillQuery(
  compiled: [string, TextTemplate | number | boolean][],
  input: unknown,
  strict: boolean,
): Promise<[string, string][]> {
  const filled: [string, string][] = [];
  for (const [name, value] of compiled) {
    const text =
      typeof value !== 'object' ? String(value) : strict ? await value.fill(input) : await value.fillOptional(input);
    if (text !== undefined) filled.push([name, text]);
  }
  return filled;
}

export function compileQuery(
  compiler: Compiler,
  query: Record<string, QueryValue> | undefined,
  where: string,
): [string, TextTemplate | number | boolean][] {
  return Object.entries(query ?? {}).map(([name, value]) => [
    name,
    typeof value === 'string' ? compiler.template(value, `${where}.${name}`) : value,
  ]);
}

/** Nothing has been sent when a mapping fails before a call. */
export function mappingFailed(partner: string, where: string, why: string, cause?: unknown): ConfigurationMistake {
  return new ConfigurationMistake(
    'MAPPING_FAILED',
    `${partner}: ${where} cannot be used: ${why}. Correct the mapping in the config node, or the document that it was given.`,
    { status: 'mapping failed', cause },
  );
}

/** Splits "a/{b.c}/d" into texts and expressions. Braces and quotes within an expression are respected. */
export function splitTemplate(text: string): (string | { expression: string })[] {
  const parts: (string | { expression: string })[] = [];
  let rest = 0;
  for (let at = text.indexOf('{'); at >= 0; at = text.indexOf('{', rest)) {
    const end = closingBrace(text, at);
    if (end < 0) break;
    if (at > rest) parts.push(text.slice(rest, at));
    parts.push({ expression: text.slice(at + 1, end) });
    rest = end + 1;
  }
  if (rest < text.length) parts.push(text.slice(rest));
  return parts;
}

function closingBrace(text: string, open: number): number {
  let depth = 0;
  let quote = '';
  for (let at = open; at < text.length; at += 1) {
    const character = text[at] ?? '';
    if (quote) {
      if (character === '\\') at += 1;
      else if (character === quote) quote = '';
    } else if (character === '"' || character === "'" || character === '`') quote = character;
    else if (character === '{') depth += 1;
    else if (character === '}') {
      depth -= 1;
      if (depth === 0) return at;
    }
  }
  return -1;
}

/**
 * What a request mapping gave, ready to be sent: numbers that arithmetic has blurred (24.299999999999997) or that have lost
 * digits are refused, and `{"$number": "12.50"}` becomes a bare number with exactly these digits (amounts with their zeros, ids beyond 2^53).
 */
export function outgoing(value: unknown, partner: string, where: string): unknown {
  return isReady(value) ? value : written(value, partner, where, '');
}

/** Nothing in it is refused or written differently. */
function isReady(value: unknown): boolean {
  if (typeof value === 'number') return isExact(value);
  if (Array.isArray(value)) return value.every(isReady);
  if (typeof value !== 'object' || value === null) return true;
  const fields = value as Record<string, unknown>;
  for (const key of Object.keys(fields)) if (key === '$number' || !isReady(fields[key])) return false;
  return true;
}

function written(value: unknown, partner: string, where: string, path: string): unknown {
  if (typeof value === 'number') checkNumber(value, path || 'the body', partner, where);
  if (Array.isArray(value)) return value.map((item, index) => written(item, partner, where, `${path}[${index}]`));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value);
  if (entries.length === 1 && entries[0]?.[0] === '$number')
    return bareNumber(String(entries[0][1]), partner, where, path);
  return Object.fromEntries(
    entries.map(([key, item]) => [key, written(item, partner, where, path ? `${path}.${key}` : key)]),
  );
}

/** JSON.rawJSON is there from Node 22 on; TypeScript's library does not know it yet. */
const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown };

function bareNumber(digits: string, partner: string, where: string, path: string): unknown {
  if (!/^-?(0|[1-9]\d*)(\.\d+)?$/.test(digits)) {
    throw mappingFailed(partner, where, `${path} is to be a number, but "${digits.slice(0, 40)}" is none`);
  }
  return rawJSON(digits);
}

function checkNumber(value: number, path: string, partner: string, where: string): void {
  if (isExact(value)) return;
  throw mappingFailed(
    partner,
    where,
    `${path} is ${value}, which is not exact. Take amounts from the document's \`decimal\` texts instead of calculating them`,
  );
}

function isExact(value: number): boolean {
  return Number.isInteger(value) ? Number.isSafeInteger(value) : /^-?\d+\.\d{1,6}$/.test(String(value));
}

/**
 * A document as mappings see it: each amount of money has its `decimal` text beside `minor` and `currency`, so that nobody
 * needs to divide by a hundred (which is wrong for yen, and inexact). Every list is
 * copied, because JSONata writes into some that it is given; objects without lists and amounts stay as they are.
 */
export function withDecimals(
  value: unknown,
  decimal: (amount: { minor: number; currency: string }) => string,
): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => withDecimals(item, decimal));
  const fields = value as Record<string, unknown>;
  const { minor, currency } = fields;
  let copy = fields;
  for (const key of Object.keys(fields)) {
    const field = fields[key];
    if (typeof field !== 'object') continue;
    const seen = withDecimals(field, decimal);
    if (seen === field) continue;
    if (copy === fields) copy = { ...fields };
    copy[key] = seen;
  }
  if (typeof minor !== 'number' || typeof currency !== 'string') return copy;
  return { ...copy, decimal: decimal({ minor, currency }) };
}

/** JSONata's own truth: empty lists, empty texts, 0 and nothing are false. */
export function isTrue(value: unknown): boolean {
  return Array.isArray(value)
    ? value.some(isTrue)
    : typeof value === 'object' && value !== null
      ? Object.keys(value).length > 0
      : Boolean(value);
}

/** An id or a number for people, as a partner gave it: a non-empty text or an exact whole number. */
export function identifier(value: unknown, field: string): string {
  if (typeof value === 'string' && value.trim() !== '') return value.trim();
  if (typeof value === 'number' && Number.isSafeInteger(value)) return String(value);
  throw new BusinessRefusal(
    'ANSWER_INCOMPLETE',
    `${field} is ${describe(value)}, and a text or whole number is needed`,
  );
}

export function describe(value: unknown): string {
  if (value === undefined || value === null) return 'missing';
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'object')
    return `an object with ${Object.keys(value).slice(0, 6).join(', ') || 'nothing in it'}`;
  return `"${String(value).slice(0, 60)}"`;
}

/** JSONata's sequences and functions do not leave this file. */
function plain(value: unknown): unknown {
  const text = JSON.stringify(value);
  return text === undefined ? undefined : (JSON.parse(text) as unknown);
}

/** JSONata throws plain objects with a message. */
function reason(thrown: unknown): string {
  const { message, position } = (
    typeof thrown === 'object' && thrown !== null ? thrown : { message: String(thrown) }
  ) as {
    message?: unknown;
    position?: unknown;
  };
  const where = typeof position === 'number' ? ` at character ${position}` : '';
  return `${String(message ?? 'unknown reason')
    .replace(/\.$/, '')
    .slice(0, 200)}${where}`;
}
