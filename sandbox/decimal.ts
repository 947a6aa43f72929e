/** Decimal strings as exact integers, for the pretend partners only: they share no arithmetic with Dropline. */

/** "12.5" with 2 digits is 1250n; `undefined` for what is no plain decimal number or has more digits than that. */
export function toUnits(text: unknown, digits: number): bigint | undefined {
  const match = typeof text === 'string' ? /^(\d{1,15})(?:\.(\d+))?$/.exec(text) : null;
  const fraction = match?.[2]?.replace(/0+$/, '') ?? '';
  if (!match || fraction.length > digits) return undefined;
  return BigInt(match[1] + fraction.padEnd(digits, '0'));
}

/** 1250n with 2 digits is "12.50". */
export function toDecimal(units: bigint, digits: number): string {
  const text = String(units).padStart(digits + 1, '0');
  return digits === 0 ? text : `${text.slice(0, -digits)}.${text.slice(-digits)}`;
}

/** Quantities have up to six digits after the point and are written without needless zeros: "3", "0.5". */
export function quantityToUnits(text: unknown): bigint | undefined {
  return toUnits(text, 6);
}

export function unitsToQuantity(units: bigint): string {
  return toDecimal(units, 6).replace(/\.?0+$/, '');
}
