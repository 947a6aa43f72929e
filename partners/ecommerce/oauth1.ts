import { createHmac, randomUUID } from 'node:crypto';
import type { HttpRequest } from '../http.ts';

/**
 * The signature of OAuth 1.0a with HMAC-SHA256 and no token, which is why the key ends in "&" (RFC 5849, section 3.4;
 * WC_REST_Authentication::check_oauth_signature). JSON bodies are not signed.
 */
export function oauthSignature(
  method: string,
  url: string,
  parameters: Record<string, string>,
  secret: string,
): string {
  const pairs = Object.entries(parameters).map(([name, value]) => [encode(name), encode(value)] as const);
  pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const base = [method, url, pairs.map(([name, value]) => `${name}=${value}`).join('&')].map(encode).join('&');
  return createHmac('sha256', `${encode(secret)}&`)
    .update(base)
    .digest('base64');
}

/** In the query, not in a header: PHP hands on the Authorization header on some servers only (WooCommerce REST documentation). */
export function oauth(
  method: string,
  url: string,
  query: NonNullable<HttpRequest['query']>,
  { key, secret }: { key: string; secret: string },
  now: number,
): Record<string, string> {
  const own = {
    oauth_consumer_key: key,
    oauth_nonce: randomUUID().replaceAll('-', ''),
    oauth_signature_method: 'HMAC-SHA256',
    oauth_timestamp: String(Math.floor(now / 1000)),
  };
  const asked = Object.entries(query).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, String(value)] as const],
  );
  return { ...own, oauth_signature: oauthSignature(method, url, { ...Object.fromEntries(asked), ...own }, secret) };
}

/** RFC 3986: `encodeURIComponent` leaves five characters too many. */
function encode(value: string): string {
  return encodeURIComponent(value).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
