import type { Address } from './address.ts';
import { ConfigurationMistake } from './errors.ts';
import { parseMoney, type Money } from './money.ts';

/**
 * "Exclude cellar when country is NZ". `only`: where the condition holds, nobody but the suppliers of such rules; `prefer`: this
 * supplier before all others, whatever it costs, as far as its stock goes.
 */
export interface RoutingRule {
  action: 'exclude' | 'only' | 'prefer';
  /** Reference of the supplier. */
  supplier: string;
  field: 'country' | 'sku' | 'region' | 'postalCode' | 'total';
  operator: 'is' | 'is not' | 'starts with' | 'matches' | 'above' | 'below';
  /** For `matches` a glob with `*` and `?`; for `above` and `below` a decimal amount in the order's currency. */
  value: string;
}

/** What a rule looks at. Capitals and small letters are the same. */
export interface RuleSubject {
  shipTo: Pick<Address, 'country' | 'region' | 'postalCode'>;
  sku: string;
  /** The order's total; without it, rules on the total do not hold. */
  total?: Money;
}

/**
 * Whether the rule's condition holds.
 * @throws ConfigurationMistake `RULE_INVALID`
 */
export function ruleHolds(rule: RoutingRule, subject: RuleSubject): boolean {
  if (rule.field === 'total') return totalHolds(rule, subject.total);
  const found = (rule.field === 'sku' ? subject.sku : (subject.shipTo[rule.field] ?? '')).trim().toLowerCase();
  const value = rule.value.trim().toLowerCase();
  switch (rule.operator) {
    case 'is':
      return found === value;
    case 'is not':
      return found !== value;
    case 'starts with':
      return found.startsWith(value);
    case 'matches':
      return matchesGlob(value, found);
    default:
      throw invalid(rule, '"above" and "below" are for the total only.');
  }
}

function totalHolds(rule: RoutingRule, total: Money | undefined): boolean {
  if (rule.operator !== 'above' && rule.operator !== 'below') {
    throw invalid(rule, 'A total is compared with "above" or "below".');
  }
  if (!total) return false;
  let limit: Money;
  try {
    limit = parseMoney(rule.value, total.currency);
  } catch (cause) {
    throw invalid(rule, `"${rule.value.slice(0, 40)}" is not an amount in ${total.currency}.`, cause);
  }
  return rule.operator === 'above' ? total.minor > limit.minor : total.minor < limit.minor;
}

/** Glob with `*` (any characters) and `?` (one), without a regular expression: at most pattern times text steps. */
export function matchesGlob(pattern: string, text: string): boolean {
  let p = 0;
  let t = 0;
  let star = -1;
  let resume = 0;
  while (t < text.length) {
    if (pattern[p] === '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.length && (pattern[p] === '?' || pattern[p] === text[t])) {
      p++;
      t++;
    } else if (star >= 0) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}

/** For people: "exclude cellar when country is NZ". */
export function describeRule(rule: RoutingRule): string {
  return `${rule.action} ${rule.supplier} when ${rule.field} ${rule.operator} ${rule.value}`;
}

function invalid(rule: RoutingRule, why: string, cause?: unknown): ConfigurationMistake {
  return new ConfigurationMistake(
    'RULE_INVALID',
    `The routing rule "${describeRule(rule)}" cannot be used. ${why}`,
    cause === undefined ? {} : { cause },
  );
}
