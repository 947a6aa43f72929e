import { createHash, timingSafeEqual } from 'node:crypto';
import { BusinessRefusal, ConfigurationMistake } from '../../orders/errors.ts';
import type { AdapterSettings, AdapterTools, InboundFact, InboundRequest } from '../adapter.ts';
import { parseJson } from '../json.ts';
import { verifyHmac, verifyStandardWebhook } from '../signature.ts';
import type { Callbacks, FactRule, GenericOptions } from './options.ts';
import { createReader, getPath, itemsAt, type Rule } from './read.ts';

/**
 * The facts of an authentic request. Only the signature, the kind and the key are looked at here: what a document holds is judged
 * after it has been stored.
 * @param defaultKey fields of `read` that make the key where the options name no paths
 * @throws ConfigurationMistake `NOT_AUTHENTIC`, `CALLBACKS_MISSING`; BusinessRefusal `BODY_UNREADABLE`
 */
export function receiveFacts<Kind extends string>(
  request: InboundRequest,
  settings: AdapterSettings,
  tools: Pick<AdapterTools, 'now'>,
  options: GenericOptions,
  only: Kind | undefined,
  defaultKey: (kind: Kind) => readonly string[],
): InboundFact<Kind>[] {
  const { callbacks } = options;
  if (!callbacks) {
    throw new ConfigurationMistake(
      'CALLBACKS_MISSING',
      `${settings.reference} called, but its options have no "callbacks". Add them to its config node, or remove the webhook there.`,
      { status: 'callbacks missing' },
    );
  }
  verify(request, callbacks, settings, tools);
  if (request.body.length === 0) return [];
  const body = parseJson(request.body);
  const rules = callbacks.facts === undefined ? [{}] : [callbacks.facts].flat();
  const facts: InboundFact<Kind>[] = [];
  let applied = false;
  for (const rule of rules) {
    if (rule.list !== undefined && getPath(body, rule.list.replace(/\[\*\].*$/s, '') || '$') === undefined) continue;
    applied = true;
    for (const item of rule.list === undefined ? [body] : itemsAt(rule.list, { value: body })) {
      const kind = kindOf<Kind>(rule, item, request, settings.reference, only);
      if (kind === undefined) continue;
      const document = rule.document === undefined ? item : getPath(item, rule.document);
      if (document === undefined)
        throw unreadable(settings.reference, `nothing stands at callbacks.facts.document "${rule.document}"`);
      facts.push(toFact(kind, document, rule.key, options, defaultKey(kind), settings.reference));
    }
  }
  if (!applied) {
    throw unreadable(
      settings.reference,
      `nothing stands at ${rules.map((rule) => `"${rule.list}"`).join(' or ')} (callbacks.facts.list)`,
    );
  }
  return facts;
}

/** A document and its business key: the paths of the options, else the fields that `read` finds, else the content itself. */
export function toFact<Kind extends string>(
  kind: Kind,
  document: unknown,
  paths: string[] | undefined,
  options: GenericOptions,
  defaultKey: readonly string[],
  partner: string,
): InboundFact<Kind> {
  const parts = paths
    ? paths.map((path) => getPath(document, path))
    : readKey(options.read?.[kind], document, defaultKey, partner);
  const isWhole =
    parts.length > 0 && parts.every((part) => (typeof part === 'string' && part !== '') || typeof part === 'number');
  const identity = isWhole
    ? parts.join('@')
    : `sha256-${createHash('sha256').update(canonical(document)).digest('hex').slice(0, 32)}`;
  return { kind, dedupeKey: `${kind}:${identity}`, body: document };
}

/** A document that cannot be read has no key of its own; it is stored all the same, and its fault is told when it is read. */
function readKey(
  rules: Record<string, Rule> | undefined,
  document: unknown,
  fields: readonly string[],
  partner: string,
): unknown[] {
  if (!rules) return [];
  const reader = createReader(rules, { value: document }, partner, 'read');
  try {
    return fields.map((field) => reader.text(field));
  } catch (thrown) {
    if (thrown instanceof BusinessRefusal) return [];
    throw thrown;
  }
}

function kindOf<Kind extends string>(
  rule: FactRule,
  item: unknown,
  request: InboundRequest,
  partner: string,
  only: Kind | undefined,
): Kind | undefined {
  const { kind } = rule;
  if (kind === undefined) return only;
  if (typeof kind === 'string') return kind as Kind;
  const found =
    kind.header === undefined ? getPath(item, kind.path ?? '$') : request.headers[kind.header.toLowerCase()];
  const key = typeof found === 'object' ? '' : String(found ?? '');
  const chosen = Object.hasOwn(kind.table, key) ? kind.table[key] : kind.otherwise;
  if (chosen === undefined) {
    throw unreadable(
      partner,
      `its kind is "${key.slice(0, 60)}", which callbacks.facts.kind.table does not have. Add it there, with "ignore" if it is of no interest`,
    );
  }
  return chosen === 'ignore' ? undefined : (chosen as Kind);
}

function verify(
  request: InboundRequest,
  callbacks: Callbacks,
  settings: AdapterSettings,
  tools: Pick<AdapterTools, 'now'>,
): void {
  const { webhookSecret, oldWebhookSecret } = settings.credentials;
  const secrets = [webhookSecret, oldWebhookSecret].filter(
    (secret) => secret !== undefined && secret !== '',
  ) as string[];
  if (callbacks.signature === 'none') {
    if (callbacks.acceptUnsigned === true) return;
    throw notAuthentic(settings.reference);
  }
  if (secrets.length === 0) {
    throw new ConfigurationMistake(
      'CREDENTIALS_MISSING',
      `${settings.reference} called, but its webhook secret is not set. Enter it in its config node.`,
      { status: 'secret missing' },
    );
  }
  const name = callbacks.signature === 'basic' ? 'authorization' : (callbacks.header ?? '').toLowerCase();
  const header = single(request.headers[name]);
  switch (callbacks.signature) {
    case 'standard-webhooks':
      verifyStandardWebhook({ headers: request.headers, body: request.body, secrets, now: tools.now() });
      return;
    case 'hmac-sha256':
      verifyHmac({
        body: request.body,
        header: withoutPrefix(header, callbacks.prefix),
        secrets,
        encoding: callbacks.encoding ?? 'hex',
      });
      return;
    case 'header-key': {
      const given = withoutPrefix(header, callbacks.prefix);
      if (!secrets.some((secret) => isSame(given, secret))) throw notAuthentic(settings.reference);
      return;
    }
    case 'basic': {
      const given = /^basic /i.test(header ?? '')
        ? Buffer.from((header ?? '').slice(6).trim(), 'base64').toString('utf8')
        : undefined;
      if (!secrets.some((secret) => isSame(given, `${callbacks.user}:${secret}`)))
        throw notAuthentic(settings.reference);
      return;
    }
  }
}

/** A header that came twice is not believed. */
function single(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? (header.length === 1 ? header[0] : undefined) : header;
}

function withoutPrefix(header: string | undefined, prefix: string | undefined): string | undefined {
  if (!prefix || header === undefined) return header;
  return header.startsWith(prefix) ? header.slice(prefix.length) : undefined;
}

/** In constant time, whatever the lengths. */
function isSame(given: string | undefined, expected: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text, 'utf8').digest();
  return given !== undefined && timingSafeEqual(digest(given), digest(expected));
}

function notAuthentic(partner: string): ConfigurationMistake {
  return new ConfigurationMistake('NOT_AUTHENTIC', `A request in the name of ${partner} is not authentic.`, {
    status: 'not authentic',
  });
}

function unreadable(partner: string, why: string): BusinessRefusal {
  return new BusinessRefusal('BODY_UNREADABLE', `${partner} sent a document that cannot be placed: ${why}.`);
}

/** The same text for the same content, however its keys are ordered. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) =>
    typeof item === 'object' && item !== null && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
      : item,
  );
}
