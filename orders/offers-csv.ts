import { isCountry } from './countries.ts';
import { asError, BusinessRefusal } from './errors.ts';
import { parseMoney } from './money.ts';
import type { Offer } from './offer.ts';
import { normalQuantity, parseQuantity, type Quantity } from './quantity.ts';

const REQUIRED = ['supplier', 'sku', 'unitCost', 'currency'] as const;
const OPTIONAL = ['supplierSku', 'stock', 'leadTimeDays', 'countries', 'minimumQuantity'] as const;
type Column = (typeof REQUIRED)[number] | (typeof OPTIONAL)[number];

const MAX_CHARACTERS = 20_000_000;
const MAX_OFFERS = 200_000;
const MAX_FIELD = 1_000;
/** A file that is wrong throughout need not be listed throughout. */
const MAX_PROBLEMS = 100;

/**
 * Reads offers from a CSV file (RFC 4180: comma, double quotes, quotes doubled within quotes). The first line names the columns as in
 * `Offer`, in any order: supplier, sku, unitCost and currency are required; supplierSku, stock, leadTimeDays, countries (separated by
 * spaces, commas or semicolons) and minimumQuantity may be missing or empty. Amounts are decimals in major units. Unknown columns are
 * ignored. A row with a fault is left out and reported with its line in the file; the other rows count.
 */
export function readOffersCsv(text: string): { offers: Offer[]; problems: { line: number; problem: string }[] } {
  const offers: Offer[] = [];
  const problems: { line: number; problem: string }[] = [];
  const report = (line: number, problem: string) => {
    if (problems.length < MAX_PROBLEMS) problems.push({ line, problem });
    else if (problems.length === MAX_PROBLEMS)
      problems.push({ line, problem: 'There are more problems after this one.' });
  };
  if (text.length > MAX_CHARACTERS) {
    report(1, `The file has more than ${MAX_CHARACTERS} characters. Split it.`);
    return { offers, problems };
  }
  let columns: (Column | undefined)[] | undefined;
  for (const { line, fields, fault } of records(text)) {
    if (fault) {
      report(line, fault);
      continue;
    }
    if (fields.length === 1 && fields[0]?.trim() === '') continue;
    if (!columns) {
      columns = fields.map(columnOf);
      const missing = missingColumns(columns);
      if (missing) {
        report(line, missing);
        return { offers, problems };
      }
      continue;
    }
    if (fields.length !== columns.length) {
      report(line, `The row has ${fields.length} fields, the first row names ${columns.length} columns.`);
      continue;
    }
    if (offers.length >= MAX_OFFERS) {
      report(line, `Only the first ${MAX_OFFERS} offers are read. Split the file.`);
      break;
    }
    try {
      offers.push(offerOf(columns, fields));
    } catch (thrown) {
      report(line, asError(thrown).message);
    }
  }
  if (!columns)
    report(1, `The file is empty. Its first line must name the columns: ${[...REQUIRED, ...OPTIONAL].join(',')}.`);
  return { offers, problems };
}

function columnOf(name: string): Column | undefined {
  const wanted = name.trim().toLowerCase();
  return [...REQUIRED, ...OPTIONAL].find((column) => column.toLowerCase() === wanted);
}

function missingColumns(columns: (Column | undefined)[]): string | undefined {
  const twice = columns.find((column, index) => column && columns.indexOf(column) !== index);
  if (twice) return `The first row names the column "${twice}" twice.`;
  const missing = REQUIRED.filter((column) => !columns.includes(column));
  if (missing.length === 0) return undefined;
  return `The first row must name the columns; missing: ${missing.join(', ')}. Columns are separated by commas.`;
}

function offerOf(columns: (Column | undefined)[], fields: string[]): Offer {
  const value = (column: Column) => fields[columns.indexOf(column)]?.trim() ?? '';
  for (const column of REQUIRED) {
    if (value(column) === '') throw new BusinessRefusal('OFFER_INVALID', `"${column}" is empty.`);
  }
  const unitCost = parseMoney(value('unitCost'), value('currency').toUpperCase());
  if (unitCost.minor < 0) throw new BusinessRefusal('OFFER_INVALID', `"unitCost" is negative.`);
  const days = value('leadTimeDays');
  if (!/^\d{0,3}$/.test(days))
    throw new BusinessRefusal('OFFER_INVALID', `"${days.slice(0, 40)}" is no number of days.`);
  const countries = value('countries')
    .toUpperCase()
    .split(/[ ,;]+/)
    .filter(Boolean);
  const unknown = countries.find((country) => !isCountry(country));
  if (unknown) {
    const shown = unknown.slice(0, 40);
    throw new BusinessRefusal(
      'OFFER_INVALID',
      `"${shown}" is no country. Use the two letters of ISO 3166, such as NZ.`,
    );
  }
  return {
    supplier: value('supplier'),
    sku: value('sku'),
    ...(value('supplierSku') === '' ? {} : { supplierSku: value('supplierSku') }),
    unitCost,
    ...(value('stock') === '' ? {} : { stock: stockOf(value('stock')) }),
    ...(days === '' ? {} : { leadTimeDays: Number(days) }),
    ...(countries.length === 0 ? {} : { countries }),
    ...(value('minimumQuantity') === '' ? {} : { minimumQuantity: parseQuantity(value('minimumQuantity')) }),
  };
}

/** Stock may be zero, and suppliers write what is oversold as a negative number: nothing there either way. */
function stockOf(text: string): Quantity {
  if (/^-\d+(?:\.\d+)?$/.test(text) || /^0+(?:\.0+)?$/.test(text)) return '0';
  return normalQuantity(parseQuantity(text));
}

/** Records of RFC 4180 with the line on which each begins; line ends may be CRLF, LF or CR. */
function* records(text: string): Generator<{ line: number; fields: string[]; fault?: string }> {
  let at = text.charCodeAt(0) === 0xfeff ? 1 : 0;
  let line = 1;
  while (at < text.length) {
    const begin = line;
    const fields: string[] = [];
    let fault: string | undefined;
    for (;;) {
      let field: string;
      if (text[at] === '"') {
        const end = closingQuote(text, at + 1);
        if (end < 0) {
          yield {
            line: begin,
            fields,
            fault: 'A quote that opens here is never closed; the rest of the file is not read.',
          };
          return;
        }
        const raw = text.slice(at + 1, end);
        line += lineEnds(raw);
        field = raw.replaceAll('""', '"');
        at = end + 1;
        if (at < text.length && !',\r\n'.includes(text[at] ?? '')) {
          fault ??= 'After a closing quote there must be a comma or the end of the line.';
          at = endOfField(text, at);
        }
      } else {
        const end = endOfField(text, at);
        field = text.slice(at, end);
        if (field.includes('"'))
          fault ??= 'A field that holds a quote must be in quotes itself, with the quote doubled.';
        at = end;
      }
      if (field.length > MAX_FIELD) fault ??= `A field has more than ${MAX_FIELD} characters.`;
      fields.push(field);
      if (text[at] !== ',') break;
      at++;
    }
    if (text[at] === '\r' && text[at + 1] === '\n') at++;
    at++;
    line++;
    yield { line: begin, fields, ...(fault === undefined ? {} : { fault }) };
  }
}

function closingQuote(text: string, from: number): number {
  for (let at = text.indexOf('"', from); at >= 0; at = text.indexOf('"', at + 2)) {
    if (text[at + 1] !== '"') return at;
  }
  return -1;
}

function endOfField(text: string, from: number): number {
  let at = from;
  while (at < text.length && text[at] !== ',' && text[at] !== '\n' && text[at] !== '\r') at++;
  return at;
}

function lineEnds(text: string): number {
  return text.match(/\r\n|\r|\n/g)?.length ?? 0;
}
