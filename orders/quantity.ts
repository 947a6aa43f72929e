import { BusinessRefusal } from './errors.ts';

/**
 * How many of something: a decimal string without sign or exponent, at most six digits after the point ("3", "0.5").
 * A string, because some goods are sold by the metre and a JSON number is a binary fraction.
 */
export type Quantity = string;

const PATTERN = /^(\d{1,9})(?:\.(\d{1,6}))?$/;
const WHOLE = /^\d{1,9}$/;
const ONE = 1_000_000;

/**
 * Reads what a partner sent (3, "3", "3.000", "0.50") into the one written form ("3", "0.5").
 * @throws BusinessRefusal `QUANTITY_INVALID` for zero, negative, non-numeric and absurdly large values
 */
export function parseQuantity(value: unknown): Quantity {
  const text = typeof value === 'number' || typeof value === 'string' ? String(value).trim() : '';
  const millionths = WHOLE.test(text)
    ? Number(text) * ONE
    : fraction(text.replace(/(\.\d*?)0+$/, '$1').replace(/\.$/, ''));
  if (millionths === undefined || millionths <= 0) {
    throw new BusinessRefusal(
      'QUANTITY_INVALID',
      `"${text.slice(0, 40)}" is not a quantity. Send a positive number below 1,000,000,000 with at most six decimals.`,
    );
  }
  return written(millionths);
}

/** A quantity as an exact integer number of millionths, for arithmetic that may leave the range of a number. */
export function quantityToMillionths(quantity: Quantity): bigint {
  return BigInt(toMillionths(quantity));
}

/** The written form of a number of millionths; negative numbers are a mistake of the caller and become "0". */
export function quantityFromMillionths(millionths: bigint): Quantity {
  if (millionths <= 0n) return '0';
  const one = BigInt(ONE);
  const decimals = decimalsOf((millionths % one).toString());
  return decimals ? `${millionths / one}.${decimals}` : `${millionths / one}`;
}

/** A quantity in millionths, below 10^15: as a number exact, and so are sums of nine. The one place where quantities become numbers. */
export function toMillionths(quantity: Quantity): number {
  // By far the most are whole.
  if (WHOLE.test(quantity)) return Number(quantity) * ONE;
  const millionths = fraction(quantity);
  if (millionths === undefined)
    throw new BusinessRefusal('QUANTITY_INVALID', `"${String(quantity).slice(0, 40)}" is not a quantity.`);
  return millionths;
}

function fraction(text: string): number | undefined {
  const match = PATTERN.exec(text);
  return match ? Number(match[1]) * ONE + Number((match[2] ?? '').padEnd(6, '0')) : undefined;
}

/** The written form of so many millionths, an exact number; negative numbers become "0". */
export function written(millionths: number): Quantity {
  if (millionths <= 0) return '0';
  const rest = millionths % ONE;
  const whole = String((millionths - rest) / ONE);
  return rest === 0 ? whole : `${whole}.${decimalsOf(String(rest))}`;
}

function decimalsOf(millionths: string): string {
  return millionths.padStart(6, '0').replace(/0+$/, '');
}

export function add(a: Quantity, b: Quantity): Quantity {
  return written(toMillionths(a) + toMillionths(b));
}

/** a - b, never below zero. */
export function subtract(a: Quantity, b: Quantity): Quantity {
  return written(toMillionths(a) - toMillionths(b));
}

/** Negative, zero or positive like any comparison. */
export function compare(a: Quantity, b: Quantity): number {
  return Math.sign(toMillionths(a) - toMillionths(b));
}

export function isZero(quantity: Quantity): boolean {
  return toMillionths(quantity) === 0;
}

export function isWhole(quantity: Quantity): boolean {
  return toMillionths(quantity) % ONE === 0;
}

export function total(quantities: Iterable<Quantity>): Quantity {
  let millionths = 0n;
  for (const quantity of quantities) millionths += quantityToMillionths(quantity);
  return quantityFromMillionths(millionths);
}

/** The one written form of a quantity that may be zero: "3.0" is "3". */
export function normalQuantity(quantity: Quantity): Quantity {
  return written(toMillionths(quantity));
}

/** The smaller of two. */
export function smaller(a: Quantity, b: Quantity): Quantity {
  return compare(a, b) <= 0 ? a : b;
}

/** The larger of two. */
export function larger(a: Quantity, b: Quantity): Quantity {
  return compare(a, b) >= 0 ? a : b;
}
