/**
 * The characters that every SEPA bank must take (EPC217-08, "Best practices: SEPA requirements for an extended character set"):
 * `a-z A-Z 0-9 / - ? : ( ) . , ' +` and the space.
 */
const BASIC_LATIN = /^[A-Za-z0-9/\-?:().,'+ ]*$/;

/** Where taking off the accent is not what people of the language write, or does not lead to a basic letter. */
// prettier-ignore
const SPELLINGS: Record<string, string> = {
  ä: 'ae', ö: 'oe', ü: 'ue', Ä: 'Ae', Ö: 'Oe', Ü: 'Ue', ß: 'ss', ẞ: 'SS',
  æ: 'ae', Æ: 'AE', œ: 'oe', Œ: 'OE', ø: 'o', Ø: 'O', å: 'a', Å: 'A', þ: 'th', Þ: 'TH', ð: 'd', Ð: 'D',
  ł: 'l', Ł: 'L', đ: 'd', Đ: 'D', ħ: 'h', Ħ: 'H', ı: 'i', ŧ: 't', Ŧ: 'T', ŋ: 'n', Ŋ: 'N',
  '&': '+', _: '-', '‐': '-', '‑': '-', '–': '-', '—': '-', '"': "'", '‘': "'", '’': "'", '´': "'", '`': "'",
  '“': "'", '”': "'", '„': "'", '«': "'", '»': "'", '[': '(', ']': ')', '{': '(', '}': ')', ';': ',', '€': 'EUR',
};

/**
 * Text in basic Latin. Letters and digits of other scripts become `?`, and `complete` is false then: for a name that is too
 * little, for a remittance text it may do. Other signs become a space.
 */
export function toBasicLatin(text: string): { text: string; complete: boolean } {
  let complete = true;
  const written = Array.from(text.normalize('NFC'), (character) => {
    const spelling = SPELLINGS[character] ?? character.normalize('NFKD').replace(/\p{M}/gu, '');
    if (BASIC_LATIN.test(spelling)) return spelling;
    if (!/[\p{L}\p{N}]/u.test(character)) return ' ';
    complete = false;
    return '?';
  });
  return { text: tidy(written.join('')), complete };
}

/** On one line, without control characters and without spaces at the ends or in a row. */
export function tidy(text: string): string {
  return text.replace(/[\s\p{Cc}]+/gu, ' ').trim();
}
