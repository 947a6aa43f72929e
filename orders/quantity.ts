import { BusinessRefusal } from './errors.ts';

/**
 * How many of something: a decimal string without sign or exponent, at most six digits after the point ("3", "0.5").
 * A string, because some goods are sold by the metre and a JSON number is a binary fraction.
 */
export type Quantity = string;

const PATTERN = /^(\d{1,9})(?:\.(\d{1,6}))?$/;
const ONE = 1_000_000n;

/**
 * Reads what a partner sent (3, "3", "3.000", "0.50") into the one written form ("3", "0.5").
 * @throws BusinessRefusal `QUANTITY_INVALID` for zero, negative, non-numeric and absurdly large values
 */
export function parseQuantity(value: unknown): Quantity {
  const text = typeof value === 'number' || typeof value === 'string' ? String(value).trim() : '';
  const match = PATTERN.exec(text.replace(/(\.\d*?)0+$/, '$1').replace(/\.$/, ''));
  if (!match || BigInt(match[1] ?? '0') * ONE + BigInt((match[2] ?? '').padEnd(6, '0')) <= 0n) {
    throw new BusinessRefusal(
      'QUANTITY_INVALID',
      `"${text.slice(0, 40)}" is not a quantity. Send a positive number below 1,000,000,000 with at most six decimals.`,
    );
  }
  return quantityFromMillionths(BigInt(match[1] ?? '0') * ONE + BigInt((match[2] ?? '').padEnd(6, '0')));
}

/** A quantity as an exact integer number of millionths. The one place where quantities become numbers. */
export function quantityToMillionths(quantity: Quantity): bigint {
  const match = PATTERN.exec(quantity);
  if (!match) throw new BusinessRefusal('QUANTITY_INVALID', `"${String(quantity).slice(0, 40)}" is not a quantity.`);
  return BigInt(match[1] ?? '0') * ONE + BigInt((match[2] ?? '').padEnd(6, '0'));
}

/** The written form of a number of millionths; negative numbers are a mistake of the caller and become "0". */
export function quantityFromMillionths(millionths: bigint): Quantity {
  if (millionths <= 0n) return '0';
  const fraction = (millionths % ONE).toString().padStart(6, '0').replace(/0+$/, '');
  return fraction ? `${millionths / ONE}.${fraction}` : `${millionths / ONE}`;
}

export function add(a: Quantity, b: Quantity): Quantity {
  return quantityFromMillionths(quantityToMillionths(a) + quantityToMillionths(b));
}

/** a - b, never below zero. */
export function subtract(a: Quantity, b: Quantity): Quantity {
  return quantityFromMillionths(quantityToMillionths(a) - quantityToMillionths(b));
}

/** Negative, zero or positive like any comparison. */
export function compare(a: Quantity, b: Quantity): number {
  const difference = quantityToMillionths(a) - quantityToMillionths(b);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

export function isZero(quantity: Quantity): boolean {
  return quantityToMillionths(quantity) === 0n;
}

export function isWhole(quantity: Quantity): boolean {
  return quantityToMillionths(quantity) % ONE === 0n;
}

export function total(quantities: Iterable<Quantity>): Quantity {
  let millionths = 0n;
  for (const quantity of quantities) millionths += quantityToMillionths(quantity);
  return quantityFromMillionths(millionths);
}

/** The one written form of a quantity that may be zero: "3.0" is "3". */
export function normalQuantity(quantity: Quantity): Quantity {
  return quantityFromMillionths(quantityToMillionths(quantity));
}

/** The smaller of two. */
export function smaller(a: Quantity, b: Quantity): Quantity {
  return compare(a, b) <= 0 ? a : b;
}

/** The larger of two. */
export function larger(a: Quantity, b: Quantity): Quantity {
  return compare(a, b) >= 0 ? a : b;
}
