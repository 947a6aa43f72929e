import { SaxesParser } from 'saxes';
import { BusinessRefusal, DroplineError } from '../orders/errors.ts';

/**
 * An element without its namespace prefix and attributes. Banks send the right elements under the wrong namespace, or under
 * none (the file's message name stands in its own elements), so only local names count.
 */
export interface XmlElement {
  name: string;
  children: XmlElement[];
  /** Its own text, trimmed. */
  text: string;
}

const MAX_SIZE = 10_000_000;
const MAX_DEPTH = 32;
const MAX_ELEMENTS = 300_000;

/** The encodings that are met in files of partners, by their names in the XML declaration. */
const ENCODINGS = new Set(['utf-8', 'us-ascii', 'iso-8859-1', 'iso-8859-15', 'windows-1252']);

/**
 * The text of a file in the encoding that its XML declaration names; UTF-8 where it names none.
 * @throws BusinessRefusal `BODY_UNREADABLE`
 */
export function decodeXml(bytes: Buffer): string {
  if (bytes.length > MAX_SIZE) throw unreadable(`is larger than ${MAX_SIZE / 1e6} MB`);
  const declared = /^<\?xml[^>]*?\sencoding\s*=\s*["']([^"']*)/.exec(bytes.toString('latin1', 0, 200))?.[1];
  const encoding = (declared ?? 'utf-8').toLowerCase();
  if (!ENCODINGS.has(encoding)) throw unreadable('is in an encoding that is not supported. Send UTF-8');
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    throw unreadable(`is not valid ${encoding}`);
  }
}

/**
 * The one hardened way in for XML from outside: no DOCTYPE, so no entities but the five of XML itself; limits on size, depth
 * and number of elements. Returns the root.
 * @throws BusinessRefusal `BODY_UNREADABLE` with a sentence that the sender can act on
 */
export function parseXml(text: string): XmlElement {
  if (text.length > MAX_SIZE) throw unreadable(`is larger than ${MAX_SIZE / 1e6} MB`);
  const parser = new SaxesParser({ xmlns: false });
  const open: XmlElement[] = [];
  let root: XmlElement | undefined;
  let count = 0;

  parser.on('doctype', () => {
    throw unreadable('has a DOCTYPE, which is not allowed');
  });
  parser.on('opentag', (tag) => {
    if (open.length >= MAX_DEPTH) throw unreadable(`is nested deeper than ${MAX_DEPTH} levels`);
    if (++count > MAX_ELEMENTS) throw unreadable(`has more than ${MAX_ELEMENTS} elements`);
    const element: XmlElement = { name: tag.name.slice(tag.name.indexOf(':') + 1), children: [], text: '' };
    open.at(-1)?.children.push(element);
    root ??= element;
    open.push(element);
  });
  const addText = (part: string): void => {
    const element = open.at(-1);
    if (element) element.text += part;
  };
  parser.on('text', addText);
  parser.on('cdata', addText);
  parser.on('closetag', () => {
    const element = open.pop();
    if (element) element.text = element.text.trim();
  });
  parser.on('error', (error) => {
    throw unreadable(`is not well-formed (${error.message.slice(0, 100)})`);
  });

  try {
    parser.write(text).close();
  } catch (thrown) {
    throw thrown instanceof DroplineError ? thrown : unreadable('is not well-formed', thrown);
  }
  if (!root) throw unreadable('is empty');
  return root;
}

/** The first element at the end of the path, such as `child(report, 'GrpHdr', 'MsgId')`. */
export function child(element: XmlElement | undefined, ...path: string[]): XmlElement | undefined {
  return path.reduce((at, name) => at?.children.find((candidate) => candidate.name === name), element);
}

export function childrenOf(element: XmlElement | undefined, name: string): XmlElement[] {
  return element?.children.filter((candidate) => candidate.name === name) ?? [];
}

/** The text at the end of the path; `undefined` when it is not there or empty. */
export function textOf(element: XmlElement | undefined, ...path: string[]): string | undefined {
  return child(element, ...path)?.text || undefined;
}

/** What is to be written. Absent parts of the content are left out, so that optional elements stand in their place. */
export interface XmlOutput {
  name: string;
  content: string | (XmlOutput | undefined)[];
  attributes: Record<string, string>;
}

export function element(
  name: string,
  content: XmlOutput['content'],
  attributes: Record<string, string> = {},
): XmlOutput {
  return { name, content, attributes };
}

/**
 * The document as UTF-8 text, indented for people.
 * @throws BusinessRefusal `TEXT_INVALID` for characters that XML has no way to write
 */
export function writeXml(root: XmlOutput): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n${write(root, '')}\n`;
}

function write({ name, content, attributes }: XmlOutput, indent: string): string {
  const start = Object.entries(attributes).reduce((tag, [key, value]) => `${tag} ${key}="${escape(value)}"`, name);
  if (typeof content === 'string') return `${indent}<${start}>${escape(content)}</${name}>`;
  const inner = content.filter((part) => part !== undefined).map((part) => write(part, `${indent}  `));
  return `${indent}<${start}>\n${inner.join('\n')}\n${indent}</${name}>`;
}

function escape(text: string): string {
  // Everything outside the production Char of XML 1.0: control characters, halves of surrogate pairs, U+FFFE and U+FFFF.
  if (/[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/u.test(text)) {
    throw new BusinessRefusal('TEXT_INVALID', 'A text holds characters that cannot be written. Type it again by hand.');
  }
  return text.replace(/[&<>"'\r]/g, (character) => `&#${character.charCodeAt(0)};`);
}

function unreadable(why: string, cause?: unknown): BusinessRefusal {
  return new BusinessRefusal('BODY_UNREADABLE', `The XML ${why}.`, { cause });
}
