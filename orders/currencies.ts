import { BusinessRefusal } from './errors.ts';

/** ISO 4217 codes in use with two minor digits. */
const TWO_DIGITS =
  'AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC CUP CVE ' +
  'CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR ' +
  'KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NPR NZD PAB PEN ' +
  'PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD ' +
  'TWD TZS UAH USD UZS VED VES WST XCD XCG YER ZAR ZMW ZWG';

/** Exponents other than two. `Intl.NumberFormat` is no source: it says what is usual to print, not what ISO 4217 says. */
const OTHER_DIGITS: Record<number, string> = {
  0: 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF',
  3: 'BHD IQD JOD KWD LYD OMR TND',
  4: 'CLF UYW',
};

const exponents = new Map<string, number>(TWO_DIGITS.split(' ').map((code) => [code, 2]));
for (const [digits, codes] of Object.entries(OTHER_DIGITS)) {
  for (const code of codes.split(' ')) exponents.set(code, Number(digits));
}

/**
 * Digits after the decimal point of a currency (ISO 4217).
 * @throws BusinessRefusal `CURRENCY_UNKNOWN`
 */
export function exponentOf(currency: string): number {
  const digits = exponents.get(currency);
  if (digits === undefined) {
    throw new BusinessRefusal(
      'CURRENCY_UNKNOWN',
      `"${String(currency).slice(0, 10)}" is not a currency code. Use the three capital letters of ISO 4217, such as EUR.`,
    );
  }
  return digits;
}

export function isCurrency(code: string): boolean {
  return exponents.has(code);
}
