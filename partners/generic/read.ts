import { BusinessRefusal, ConfigurationMistake } from '../../orders/errors.ts';
import { decimal, money, parseMoney, type Money } from '../../orders/money.ts';
import { parseQuantity } from '../../orders/quantity.ts';

/**
 * How documents that come in are read: a small declarative mapping, synchronous and pure. (JSONata 2 is asynchronous, and a
 * document must be readable in one go, the same today and in a replay next year.)
 *
 * A rule is a path (`order.lines[0].sku`; alternatives with ` | `: the first that is there), or an object, see `RuleObject`.
 * In a path `$` is the current item itself and `^` is the level around it; in `each`, `parcels[*].items` joins the lists of all parcels.
 */
export type Rule = string | RuleObject | { [field: string]: Rule };

export interface RuleObject {
  path?: string;
  /** A fixed value. */
  const?: string | number | boolean;
  /** Text with paths in braces: "{first_name} {last_name}". What is missing is left out. */
  text?: string;
  /** True when the path is there and not empty. */
  exists?: string;
  /** The partner's values and ours. */
  table?: Record<string, string | number | boolean>;
  /** For values that the table does not have; without it they are an error. */
  otherwise?: string | number | boolean;
  /** Where nothing is found. */
  default?: string | number | boolean;
  /** Amounts: the number counts minor units (cents). */
  minor?: boolean;
  /** Amounts and quantities with a decimal comma. */
  comma?: boolean;
  /** Times without a zone: their offset from UTC, such as "+12:00". */
  zone?: string;
  /** A list: its path, which items count, and the fields of an item. */
  each?: string;
  where?: Record<string, string | number | boolean | (string | number | boolean)[]>;
  fields?: Record<string, Rule>;
}

const RULE_KEYS = new Set([
  'path',
  'const',
  'text',
  'exists',
  'table',
  'otherwise',
  'default',
  'minor',
  'comma',
  'zone',
  'each',
  'where',
  'fields',
]);

/** The value in question and the levels around it, innermost last. */
export interface Scope {
  value: unknown;
  around?: Scope;
}

/** Reads fields of one document; every error names the field and the document. */
export interface Reader {
  /** `undefined` where the rule is not set or finds nothing. */
  text(field: string): string | undefined;
  neededText(field: string): string;
  time(field: string): string | undefined;
  neededTime(field: string): string;
  /** A day as YYYY-MM-DD where the partner gave only that, otherwise a time. */
  dayOrTime(field: string): string | undefined;
  flag(field: string): boolean | undefined;
  quantity(field: string): string;
  money(field: string, currency: string): Money | undefined;
  neededMoney(field: string, currency: string): Money;
  /** An amount in major units as text, with all digits of the currency where that is known. */
  amount(field: string, currency: string | undefined): string | undefined;
  /** One of the values, after the rule's table. */
  choice<Value extends string>(field: string, values: readonly Value[]): Value;
  /** A nested group of fields, such as an address; `undefined` when nothing of it is there. */
  group(field: string): Reader | undefined;
  list(field: string): Reader[];
  /** True when the rules name this field. */
  has(field: string): boolean;
  /** An error about this document: "shop-nz: read.order.lines[0].sku ..." */
  wrong(field: string, why: string, code?: string): BusinessRefusal;
}

/**
 * @param where names the rules in messages: `read.order`
 * @throws BusinessRefusal `DOCUMENT_INVALID` (or the code of money, quantity, ...) with the field and the reason
 */
export function createReader(rules: Record<string, Rule>, scope: Scope, partner: string, where: string): Reader {
  function find(field: string): unknown {
    const rule = rules[field];
    if (rule === undefined) return undefined;
    return applyRule(rule, scope, (why) => wrong(field, why));
  }

  function wrong(field: string, why: string, code = 'DOCUMENT_INVALID'): BusinessRefusal {
    const rule = rules[field];
    const source = rule === undefined ? '' : ` (${sourceOf(rule)})`;
    return new BusinessRefusal(code, `${partner}: ${where}.${field}${source} ${why}.`, { status: 'document invalid' });
  }

  function needed<Value>(value: Value | undefined, field: string): Value {
    if (value !== undefined) return value;
    throw wrong(field, field in rules ? 'is not in the document' : 'is not mapped: add it to the options');
  }

  function text(field: string): string | undefined {
    const value = find(field);
    if (value === undefined) return undefined;
    if (typeof value === 'object') throw wrong(field, 'is a list or an object, and a text is needed');
    return String(value).trim();
  }

  function number(field: string): string | undefined {
    const value = text(field);
    if (value === undefined) return undefined;
    return isObjectRule(rules[field]) && rules[field].comma ? value.replaceAll('.', '').replace(',', '.') : value;
  }

  function amount(field: string, currency: string): Money | undefined {
    const value = number(field);
    if (value === undefined) return undefined;
    const rule = rules[field];
    try {
      if (!isObjectRule(rule) || !rule.minor) return parseMoney(value, currency);
      if (!/^-?\d+$/.test(value)) throw wrong(field, `"${value.slice(0, 40)}" is no whole number of minor units`);
      return money(Number(value), currency);
    } catch (thrown) {
      throw named(thrown, field);
    }
  }

  function named(thrown: unknown, field: string): unknown {
    if (!(thrown instanceof BusinessRefusal) || thrown.code === 'DOCUMENT_INVALID') return thrown;
    return new BusinessRefusal(thrown.code, `${partner}: ${where}.${field}: ${thrown.message}`, { cause: thrown });
  }

  function time(field: string): string | undefined {
    const value = text(field);
    if (value === undefined) return undefined;
    const rule = rules[field];
    const read = readTime(value, isObjectRule(rule) ? rule.zone : undefined);
    if (!read) throw wrong(field, `"${value.slice(0, 40)}" is no time: send ISO 8601 or seconds since 1970`);
    return read;
  }

  return {
    text,
    neededText: (field) => needed(text(field), field),
    time,
    neededTime: (field) => needed(time(field), field),
    dayOrTime(field) {
      const value = text(field);
      return value !== undefined && /^\d{4}-\d{2}-\d{2}$/.test(value) && !Number.isNaN(Date.parse(value))
        ? value
        : time(field);
    },
    flag(field) {
      const value = find(field);
      if (value === undefined) return undefined;
      const words: Record<string, boolean> = { true: true, 1: true, yes: true, false: false, 0: false, no: false };
      const flag = words[String(value).toLowerCase()];
      if (flag === undefined)
        throw wrong(field, `is "${String(value).slice(0, 40)}", and true or false is needed: add a table`);
      return flag;
    },
    quantity(field) {
      const value = needed(number(field), field);
      try {
        return parseQuantity(value);
      } catch (thrown) {
        throw named(thrown, field);
      }
    },
    money: amount,
    amount(field, currency) {
      if (currency !== undefined) {
        const found = amount(field, currency);
        return found && decimal(found);
      }
      const digits = number(field);
      if (digits !== undefined && !/^-?\d{1,15}(\.\d+)?$/.test(digits))
        throw wrong(field, `"${digits.slice(0, 40)}" is no amount`, 'AMOUNT_INVALID');
      return digits;
    },
    neededMoney: (field, currency) => needed(amount(field, currency), field),
    choice(field, values) {
      const value = needed(text(field), field);
      const chosen = values.find((known) => known === value);
      if (chosen === undefined) {
        throw wrong(field, `is "${value.slice(0, 40)}", which must be ${values.join(', ')}: add it to the table`);
      }
      return chosen;
    },
    group(field) {
      const rule = rules[field];
      if (rule === undefined) return undefined;
      if (!isFieldMap(rule))
        throw mistake(partner, `${where}.${field}`, 'must be an object with the fields of the group');
      const found = Object.keys(rule).some(
        (name) => !isConstant(rule[name]) && applyRule(rule[name] ?? '', scope, () => wrong(field, '')) !== undefined,
      );
      return found ? createReader(rule, scope, partner, `${where}.${field}`) : undefined;
    },
    list(field) {
      const rule = rules[field];
      if (rule === undefined) return [];
      if (!isObjectRule(rule) || rule.each === undefined || rule.fields === undefined) {
        throw mistake(partner, `${where}.${field}`, 'must have "each" (the path of the list) and "fields"');
      }
      const { each, fields, where: filter } = rule;
      return itemsAt(each, scope)
        .map((value, index) => ({ value, index }))
        .filter(({ value }) => matches(value, filter, scope))
        .map(({ value, index }) =>
          createReader(fields, { value, around: scope }, partner, `${where}.${field}[${index}]`),
        );
    },
    has: (field) => field in rules,
    wrong,
  };
}

/** Finds slips in rules when the adapter is built: unknown keys in what is clearly a rule. */
export function checkRules(rules: Record<string, Rule>, where: string): string[] {
  return Object.entries(rules).flatMap(([field, rule]) => checkRule(rule, `${where}.${field}`));
}

function checkRule(rule: unknown, where: string): string[] {
  if (typeof rule === 'string') return rule.trim() === '' ? [`${where} must not be empty`] : pathProblems(rule, where);
  if (typeof rule !== 'object' || rule === null || Array.isArray(rule)) {
    return [`${where} must be a path or an object (a fixed value is {"const": ...})`];
  }
  if (isFieldMap(rule as Rule)) return checkRules(rule as Record<string, Rule>, where);
  const unknown = Object.keys(rule).filter((key) => !RULE_KEYS.has(key));
  if (unknown.length > 0) return unknown.map((key) => `${where}.${key} is not a known field`);
  const { fields, each, path } = rule as RuleObject;
  if ((each === undefined) !== (fields === undefined)) return [`${where} needs both "each" and "fields"`];
  return [
    ...(path === undefined ? [] : pathProblems(path, `${where}.path`)),
    ...(each === undefined ? [] : pathProblems(each.replaceAll('[*]', ''), `${where}.each`)),
    ...(fields === undefined ? [] : checkRules(fields, `${where}.fields`)),
  ];
}

function pathProblems(path: string, where: string): string[] {
  return alternatives(path)
    .filter((alternative) => steps(alternative) === undefined)
    .map(
      (alternative) =>
        `${where} "${alternative}" is not a path such as order.lines[0].sku (JSONata is not possible here)`,
    );
}

/**
 * The value at a path, or `undefined`: `data.items[0].sku`, `["odd name"].x`, `$` (the value itself), `^.id` (the level around).
 * Only own properties are seen.
 */
export function getPath(value: unknown, path: string): unknown {
  return lookUp({ value }, path);
}

function lookUp(scope: Scope, path: string): unknown {
  for (const alternative of parsed(path)) {
    const found = walk(scope, alternative);
    if (found !== undefined && found !== null && found !== '') return found;
  }
  return undefined;
}

function walk(scope: Scope, path: Path): unknown {
  let level: Scope | undefined = scope;
  let current: unknown = scope.value;
  for (const step of path) {
    if (step === '$') continue;
    if (step === '^') {
      level = level?.around;
      current = level?.value;
    } else if (Array.isArray(current) && typeof step === 'number') {
      current = current.at(step);
    } else if (typeof current === 'object' && current !== null && Object.hasOwn(current, step)) {
      current = (current as Record<string, unknown>)[step];
    } else return undefined;
  }
  return current;
}

type Path = readonly (string | number)[];

/** Paths stand in options and not in documents, so there are few; each is parsed once. */
const known = new Map<string, readonly Path[]>();

function parsed(path: string): readonly Path[] {
  let paths = known.get(path);
  if (!paths) {
    paths = alternatives(path).map((alternative) => steps(alternative) ?? []);
    known.set(path, paths);
  }
  return paths;
}

function alternatives(path: string): string[] {
  return path.split('|').map((alternative) => alternative.trim());
}

/** The steps of a path; `undefined` when it is none. */
function steps(path: string): (string | number)[] | undefined {
  const found: (string | number)[] = [];
  const step = /(?:^|\.)([^.[\]{}()"'\s|&?*=<>]+(?: [^.[\]{}()"'\s|&?*=<>]+)*)|\[(-?\d+)\]|\.?\["([^"]+)"\]/y;
  while (step.lastIndex < path.length) {
    const match = step.exec(path);
    if (!match) return undefined;
    found.push(match[2] === undefined ? (match[1] ?? match[3] ?? '') : Number(match[2]));
  }
  return found.length > 0 ? found : undefined;
}

/** The list at a path; a single object where a list could be (as converters from XML leave it) is a list of one. */
export function itemsAt(path: string, scope: Scope): unknown[] {
  const [outer, inner] = path.split(/\[\*\]\.(.*)/s);
  if (inner !== undefined)
    return itemsAt(outer ?? '$', scope).flatMap((value) => itemsAt(inner, { value, around: scope }));
  const found = lookUp(scope, path);
  if (found === undefined) return [];
  return Array.isArray(found) ? found : [found];
}

function applyRule(rule: Rule, scope: Scope, wrong: (why: string) => Error): unknown {
  if (typeof rule === 'string') return lookUp(scope, rule);
  if (!isObjectRule(rule)) return undefined;
  if (rule.const !== undefined) return rule.const;
  if (rule.exists !== undefined) return lookUp(scope, rule.exists) !== undefined;
  const found =
    rule.text === undefined
      ? rule.path === undefined
        ? undefined
        : lookUp(scope, rule.path)
      : fillText(rule.text, scope);
  if (found === undefined) return rule.default;
  if (!rule.table) return found;
  const key = String(found);
  if (Object.hasOwn(rule.table, key)) return rule.table[key];
  if (rule.otherwise !== undefined) return rule.otherwise;
  throw wrong(`is "${key.slice(0, 40)}", which the table does not have: add it, or set "otherwise"`);
}

function fillText(text: string, scope: Scope): string | undefined {
  let found = false;
  const filled = text.replace(/\{([^{}]+)\}/g, (_all, path: string) => {
    const value = lookUp(scope, path);
    if (value === undefined || typeof value === 'object') return '';
    found = true;
    return String(value);
  });
  return found ? filled.replace(/\s+/g, ' ').trim() : undefined;
}

function matches(value: unknown, filter: RuleObject['where'], around: Scope): boolean {
  return Object.entries(filter ?? {}).every(([path, wanted]) =>
    [wanted].flat().some((one) => String(lookUp({ value, around }, path) ?? '') === String(one)),
  );
}

/** ISO 8601 UTC; `undefined` when it is no time. Seconds and milliseconds since 1970 are told apart by their size. */
export function readTime(value: string, zone: string | undefined): string | undefined {
  if (/^\d{9,14}(\.\d+)?$/.test(value)) {
    const number = Number(value);
    return new Date(number < 100_000_000_000 ? number * 1000 : number).toISOString();
  }
  const match = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)\s*(Z|[+-]\d{2}:?\d{2})?)?$/i.exec(value);
  if (!match) return undefined;
  const [, day, clock = '00:00:00', given = zone ?? 'Z'] = match;
  const offset = /^[+-]\d{4}$/.test(given) ? `${given.slice(0, 3)}:${given.slice(3)}` : given;
  const milliseconds = Date.parse(`${day}T${clock}${offset}`);
  return Number.isNaN(milliseconds) ? undefined : new Date(milliseconds).toISOString();
}

function isObjectRule(rule: Rule | undefined): rule is RuleObject {
  return typeof rule === 'object' && !isFieldMap(rule);
}

/** An object is a rule when it says where its value comes from; otherwise it is a group of fields. */
function isFieldMap(rule: Rule): rule is { [field: string]: Rule } {
  return (
    typeof rule === 'object' && !['path', 'const', 'text', 'exists', 'each'].some((key) => Object.hasOwn(rule, key))
  );
}

function isConstant(rule: Rule | undefined): boolean {
  return isObjectRule(rule) && (rule.const !== undefined || rule.exists !== undefined);
}

function sourceOf(rule: Rule): string {
  if (typeof rule === 'string') return `at "${rule}"`;
  if (!isObjectRule(rule)) return 'a group';
  const source = rule.path ?? rule.each ?? rule.exists ?? rule.text;
  return source === undefined ? 'fixed' : `at "${source}"`;
}

function mistake(partner: string, where: string, why: string): ConfigurationMistake {
  return new ConfigurationMistake('OPTIONS_INVALID', `${partner}: ${where} ${why}. Correct it in the config node.`);
}
