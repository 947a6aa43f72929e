import type { NodeAPI } from 'node-red';
import type { Happening, Tools } from '../ledger/tools.ts';
import { DroplineError } from '../orders/errors.ts';

type Level = 'debug' | 'info' | 'warn' | 'error';

/**
 * How loud each happening is. With Node-RED's usual level `info` the log shows what needs attention and nothing per order;
 * a structured log, which a machine reads, tells of the end of each event as well.
 */
const LEVELS: Record<Happening['what'], Level> = {
  'event stored': 'debug',
  'event repeated': 'debug',
  'event emitted': 'debug',
  'event parked': 'debug',
  'event closed': 'debug',
  'event quarantined': 'warn',
  'effect done': 'debug',
  'effect retried': 'debug',
  'effect in doubt': 'warn',
  'effect refused': 'warn',
  'effect asked': 'warn',
  'instance taken over': 'warn',
  'flows differ': 'warn',
};

interface Settings {
  dropship?: { log?: string };
  /** Node-RED's own. */
  logging?: Record<string, { level?: string }>;
}

/** The engine says these in a sentence as well, which is enough for people. */
const IN_WORDS = new Set<Happening['what']>(['instance taken over', 'flows differ']);

const FIELDS = ['eventId', 'orderId', 'partner', 'kind', 'effect', 'attempt', 'outcome', 'milliseconds'] as const;

/** Longest text of one field, and of a message, in characters. */
const LONGEST_FIELD = 200;
const LONGEST_MESSAGE = 1000;

/**
 * A line of the structured log. An object, so that a log handler of Node-RED's can take its fields; where it is printed it is its JSON.
 */
class Line {
  constructor(fields: Record<string, string | number>) {
    Object.assign(this, fields);
  }

  toString(): string {
    return JSON.stringify(this);
  }
}

/**
 * The ledger's log, through Node-RED's. With `dropship: { log: 'json' }` in the settings file each line is one JSON object, otherwise a short
 * text. Ids and codes only.
 * @param ledger its name, for processes with several
 */
export function createLog(RED: NodeAPI, ledger?: string): Required<Pick<Tools, 'log' | 'observe'>> {
  const { dropship, logging } = RED.settings as unknown as Settings;
  const structured = dropship?.log === 'json';
  // Steps come by the thousand. Where nobody wants them, not even their lines are made.
  const detailed = Object.values(logging ?? {}).some(({ level }) => level === 'debug' || level === 'trace');
  const write = (level: Level, line: string | Line) => RED.log[level](line as string);
  const lineOf = (level: Level, what: string, more: Record<string, string | number>) =>
    new Line({ time: new Date().toISOString(), level, log: 'dropship', ...(ledger ? { ledger } : {}), what, ...more });

  return {
    log(level, message) {
      const text = harmless(message);
      write(level, structured ? lineOf(level, 'message', { message: text }) : `[dropship] ${text}`);
    },
    observe(happening) {
      const { what } = happening;
      const level = structured && what === 'event closed' ? 'info' : LEVELS[what];
      if (level === 'debug' && !detailed) return;
      if (structured) {
        write(level, lineOf(level, what, fieldsOf(happening)));
      } else if (!IN_WORDS.has(what)) {
        const fields = Object.entries(fieldsOf(happening)).map(([name, value]) => `${name}=${value}`);
        write(level, `[dropship] ${what} ${fields.join(' ')}`);
      }
    },
  };
}

/** The known fields and no others, whatever somebody hands over one day. */
function fieldsOf(happening: Happening): Record<string, string | number> {
  const fields: Record<string, string | number> = {};
  for (const name of FIELDS) {
    const value = happening[name];
    if (typeof value === 'number') fields[name] = value;
    else if (value !== undefined) fields[name] = oneLine(String(value)).slice(0, LONGEST_FIELD);
  }
  return fields;
}

/**
 * What an error says, without what it may have picked up on its way: messages are ours, but those of parsers quote what they read, and those of
 * drivers the address that they were given.
 */
export function harmless(message: string): string {
  return oneLine(
    message
      .replace(/,? (?:\.\.\.)?"[^]*"(?:\.\.\.)? is not valid JSON/g, ' is not valid JSON')
      .replace(/\/\/[^\s/@]{1,300}@/g, '//')
      .replace(/[^\s@<>"'(:]{1,64}@[^\s@<>"'),;]{1,200}\.[^\s@<>"'),;.]{2,20}/g, '<e-mail>')
      .replace(/\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b/g, '<IBAN>'),
  ).slice(0, LONGEST_MESSAGE);
}

/** Nobody outside may begin a line of our log. */
function oneLine(text: string): string {
  // oxlint-disable-next-line no-control-regex -- they are what is taken out
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ');
}

/** Where the documents in messages hold what belongs to people, whole or in their fields. */
const PERSONAL = new Set(['customer', 'shipTo', 'billTo', 'note', 'iban', 'beneficiary']);

/** Fields below those that are about a place rather than a person. */
const PUBLIC = new Set(['country', 'region', 'supplier', 'state', 'version']);

/**
 * A partner's refusal may repeat what it was sent ("no delivery to Jane Doe, Mill Lane 3"). In the log it is the same without the
 * people of the document that the message is about; the desk shows the whole.
 */
export function withoutPeople(message: string, document: unknown): string {
  const found = new Set<string>();
  collect(document, false, found);
  // The longest first: a street's name may hold the town's.
  const values = [...found].toSorted((a, b) => b.length - a.length);
  return values.reduce(
    // Whole words only: the digits of a postal code may stand in an order's number.
    (text, value) =>
      text.replace(
        new RegExp(`(?<![\\p{L}\\p{N}-])${value.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')}(?![\\p{L}\\p{N}-])`, 'giu'),
        '…',
      ),
    harmless(message),
  );
}

/** The error as a Catch node and the log may have it: what to do, its code, and nobody's name. */
export function forLog(error: Error, document: unknown): Error {
  const message = withoutPeople(error.message, document);
  // Another object: whoever shares the error (the desk, a second node) has the whole; and what else it holds (an answer) stays there.
  return Object.create(Object.getPrototypeOf(error) as object, {
    name: { value: error.name, writable: true, configurable: true },
    message: { value: message, writable: true, configurable: true },
    stack: { value: error.stack?.replace(error.message, () => message), writable: true, configurable: true },
    ...(error.cause === undefined ? {} : { cause: { value: error.cause } }),
    ...(error instanceof DroplineError
      ? { code: { value: error.code, enumerable: true }, status: { value: error.status, enumerable: true } }
      : {}),
  }) as Error;
}

function collect(value: unknown, personal: boolean, found: Set<string>): void {
  if (typeof value === 'string') {
    if (!personal) return;
    // As a whole and word by word: a partner may write it in its own order.
    for (const part of [oneLine(value).trim(), ...oneLine(value).split(/[\s,;]+/)])
      if (part.length > 2) found.add(part);
  } else if (typeof value === 'object' && value !== null) {
    for (const [name, item] of Object.entries(value))
      collect(item, personal ? !PUBLIC.has(name) : PERSONAL.has(name), found);
  }
}
