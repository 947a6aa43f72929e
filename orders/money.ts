import { BusinessRefusal } from './errors.ts';
import { exponentOf } from './currencies.ts';
import { toMillionths, type Quantity } from './quantity.ts';

/**
 * An amount of money: integer minor units (cents, pence; yen as they are) and the ISO 4217 code.
 * Plain JSON on purpose, so that it travels in messages; never a fraction.
 */
export interface Money {
  minor: number;
  currency: string;
}

/** @throws BusinessRefusal `AMOUNT_INVALID` when `minor` is no safe integer or the currency is unknown. */
export function money(minor: number, currency: string): Money {
  exponentOf(currency);
  if (!Number.isSafeInteger(minor)) throw invalid(String(minor), currency);
  return { minor, currency };
}

/**
 * Reads a decimal amount ("12.50", 12.5, "-3") in major units. Further digits than the currency has are
 * accepted only when they are zero: nothing is rounded silently.
 * @throws BusinessRefusal `AMOUNT_INVALID`, `CURRENCY_UNKNOWN`
 */
export function parseMoney(amount: string | number, currency: string): Money {
  const digits = exponentOf(currency);
  const match = /^(-?)(\d{1,15})(?:\.(\d+))?$/.exec(String(amount).trim());
  if (!match) throw invalid(String(amount), currency);
  const [, sign, whole = '0', fraction = ''] = match;
  if (/[1-9]/.test(fraction.slice(digits))) throw invalid(String(amount), currency);
  const minor = Number(whole + fraction.slice(0, digits).padEnd(digits, '0'));
  return money(sign && minor !== 0 ? -minor : minor, currency);
}

/** The amount as a decimal string with all digits of its currency: `{1250, EUR}` is "12.50", `{1250, JPY}` is "1250". */
export function decimal(amount: Money): string {
  const digits = exponentOf(amount.currency);
  const text = String(Math.abs(amount.minor)).padStart(digits + 1, '0');
  const sign = amount.minor < 0 ? '-' : '';
  return digits === 0 ? sign + text : `${sign}${text.slice(0, -digits)}.${text.slice(-digits)}`;
}

/** For people: "12.50 EUR". */
export function describeMoney(amount: Money): string {
  return `${decimal(amount)} ${amount.currency}`;
}

/** @throws BusinessRefusal `CURRENCY_MISMATCH` when the amounts are not of one currency. */
export function sum(amounts: Iterable<Money>, currency: string): Money {
  let minor = 0;
  for (const amount of amounts) {
    if (amount.currency !== currency) {
      throw new BusinessRefusal(
        'CURRENCY_MISMATCH',
        `${describeMoney(amount)} cannot be added to an amount in ${currency}. Send one currency per document.`,
      );
    }
    minor += amount.minor;
  }
  return money(minor, currency);
}

/** Price times quantity, rounded half up (away from zero) to a whole minor unit. */
export function times(price: Money, quantity: Quantity): Money {
  const millionths = toMillionths(quantity);
  const product = price.minor * millionths;
  if (!Number.isSafeInteger(product) || !Number.isInteger(price.minor)) return timesLarge(price, millionths);
  const rest = product % 1_000_000;
  const whole = (product - rest) / 1_000_000;
  return money(Math.abs(rest) < 500_000 ? whole : whole + Math.sign(rest), price.currency);
}

/** What a number does not hold exactly on the way. */
function timesLarge(price: Money, millionths: number): Money {
  const product = BigInt(price.minor) * BigInt(millionths);
  const half = product < 0n ? -500_000n : 500_000n;
  return money(Number((product + half) / 1_000_000n), price.currency);
}

export function sameMoney(a: Money, b: Money): boolean {
  return a.minor === b.minor && a.currency === b.currency;
}

function invalid(amount: string, currency: string): BusinessRefusal {
  return new BusinessRefusal(
    'AMOUNT_INVALID',
    `"${amount.slice(0, 40)}" is not an amount in ${currency}. Send a decimal number with at most ${exponentOf(currency)} digits after the point.`,
  );
}
