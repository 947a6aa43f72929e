import { createHmac, timingSafeEqual } from 'node:crypto';
import { ConfigurationMistake } from '../orders/errors.ts';
import type { InboundRequest } from './adapter.ts';

/**
 * Whether a callback really comes from the partner: HMAC-SHA256 over the raw bytes, compared in constant time. Several secrets
 * may hold at once, so that a secret can be changed without losing a callback; empty ones are left out. Without any secret
 * nothing is authentic.
 */

type Header = string | string[] | undefined;

/** A signed time may differ this much from ours, in seconds. Standard Webhooks leaves the number open; its libraries use 5 minutes. */
const TOLERANCE = 300;

/** Bytes. The standard says 24 and more; what is shorter than this is a password in the wrong form, and can be guessed. */
const MIN_KEY = 16;

/** No key rotation signs with more; a longer list is only work for us. */
const MAX_SIGNATURES = 16;

/**
 * One header that holds the HMAC-SHA256 of the raw body, with the secret's characters as UTF-8 key (WooCommerce, Shopify, ...).
 * @throws ConfigurationMistake `NOT_AUTHENTIC`
 */
export function verifyHmac(check: {
  body: Buffer;
  header: Header;
  secrets: readonly (string | undefined)[];
  encoding: 'hex' | 'base64';
}): void {
  const given = decode(single(check.header), check.encoding);
  // The keys stay text: Node.js takes five times as long to make the same key of a buffer.
  const keys = present(check.secrets);
  if (!given || !anyMatches([given], keys, check.body)) throw notAuthentic('The signature does not fit.');
}

/**
 * Standard Webhooks: `webhook-signature` is a list of `v1,<base64>` over `{webhook-id}.{webhook-timestamp}.{raw body}`. A secret
 * is `whsec_` and the key in base64; one without that prefix is taken as base64 as well, as the reference libraries do.
 * Source: standard-webhooks/standard-webhooks, spec/standard-webhooks.md.
 * @param check.now milliseconds since 1970
 * @returns the `webhook-id`
 * @throws ConfigurationMistake `NOT_AUTHENTIC`
 */
export function verifyStandardWebhook(check: {
  headers: InboundRequest['headers'];
  body: Buffer;
  secrets: readonly (string | undefined)[];
  now: number;
}): string {
  const id = single(check.headers['webhook-id']);
  const timestamp = single(check.headers['webhook-timestamp']);
  const signatures = single(check.headers['webhook-signature']);
  // Node.js joins repeated headers with ", ", which a list of signatures never contains.
  if (!id || !timestamp || !signatures || signatures.includes(', ')) {
    throw notAuthentic('A Standard Webhooks header is missing or stands there twice.');
  }
  if (!/^\d{1,12}$/.test(timestamp) || Math.abs(Math.floor(check.now / 1000) - Number(timestamp)) > TOLERANCE) {
    throw notAuthentic('The signed time is more than five minutes from the time here. Check the clocks of both sides.');
  }
  const given = signatures
    .split(' ')
    .slice(0, MAX_SIGNATURES)
    .filter((signature) => signature.startsWith('v1,'))
    .map((signature) => decode(signature.slice(3), 'base64'))
    .filter((signature) => signature !== undefined);
  const keys = present(check.secrets)
    .map((secret) => Buffer.from(secret.replace(/^whsec_/, ''), 'base64'))
    .filter((key) => key.length >= MIN_KEY);
  if (keys.length === 0) {
    throw notAuthentic('The webhook secret is too short. Enter `whsec_` and at least 24 random bytes in base64.');
  }
  const signed = Buffer.concat([Buffer.from(`${id}.${timestamp}.`, 'utf8'), check.body]);
  if (!anyMatches(given, keys, signed)) throw notAuthentic('No signature fits.');
  return id;
}

/** Compares every signature with every key, whatever fits first: the time taken says nothing. */
function anyMatches(given: Buffer[], keys: (Buffer | string)[], signed: Buffer): boolean {
  let matches = false;
  for (const key of keys) {
    const expected = createHmac('sha256', key).update(signed).digest();
    for (const signature of given) {
      if (signature.length === expected.length && timingSafeEqual(signature, expected)) matches = true;
    }
  }
  return matches;
}

/** A header that came twice (as two values, or joined by Node.js with a comma where no signature has one) counts as missing. */
function single(header: Header): string | undefined {
  if (Array.isArray(header)) return header.length === 1 ? header[0] : undefined;
  return header;
}

/** The bytes of a signature in exactly the expected form; Buffer.from would pass over foreign characters. */
function decode(text: string | undefined, encoding: 'hex' | 'base64'): Buffer | undefined {
  const form = encoding === 'hex' ? /^[0-9a-fA-F]{64}$/ : /^[A-Za-z0-9+/]{43}=$/;
  return text !== undefined && form.test(text) ? Buffer.from(text, encoding) : undefined;
}

function present(secrets: readonly (string | undefined)[]): string[] {
  const given = secrets.filter((secret) => secret !== undefined && secret !== '') as string[];
  if (given.length === 0) {
    throw notAuthentic('No webhook secret is set. Enter the one that the partner signs with in its config node.');
  }
  return given;
}

function notAuthentic(why: string): ConfigurationMistake {
  return new ConfigurationMistake('NOT_AUTHENTIC', `The request is not authentic: ${why}`, { status: 'not authentic' });
}
