import { ConfigurationMistake } from '../orders/errors.ts';
import type { AdapterSettings } from './adapter.ts';

/** What adapters read from their settings in the same way. */

/** An option as trimmed text; `undefined` when it is empty or no text. */
export function textOption(settings: AdapterSettings, name: string): string | undefined {
  const value = settings.options[name];
  return (typeof value === 'string' && value.trim()) || undefined;
}

/**
 * How long an unanswered write may still be carried out, in milliseconds: the option `settleSeconds`, or twice the time-out
 * (option `timeout`, seconds, 20) and half a minute.
 */
export function settleTime(settings: AdapterSettings): number {
  const { settleSeconds, timeout } = settings.options;
  if (isSeconds(settleSeconds)) return settleSeconds * 1000;
  return (isSeconds(timeout) ? timeout : 20) * 2000 + 30_000;
}

function isSeconds(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}

/** The address of a route below the base URL. @throws ConfigurationMistake `BASE_URL_INVALID` */
export function urlOf(settings: AdapterSettings, path: string): string {
  const protocol = URL.parse(settings.baseUrl)?.protocol;
  if (protocol !== 'https:' && protocol !== 'http:') {
    throw new ConfigurationMistake(
      'BASE_URL_INVALID',
      `The base URL of ${settings.reference} is not a web address. Enter it with https:// in its config node.`,
    );
  }
  return settings.baseUrl.replace(/\/+$/, '') + path;
}

/** The header that carries the API key. @throws ConfigurationMistake `CREDENTIALS_MISSING` */
export function bearer(settings: AdapterSettings): Record<string, string> {
  const { apiKey } = settings.credentials;
  if (!apiKey) {
    throw new ConfigurationMistake(
      'CREDENTIALS_MISSING',
      `${settings.reference} has no API key. Enter it in its config node.`,
    );
  }
  return { authorization: `Bearer ${apiKey}` };
}

/** The current webhook secret and the one before it. */
export function webhookSecrets(settings: AdapterSettings): (string | undefined)[] {
  return [settings.credentials['webhookSecret'], settings.credentials['oldWebhookSecret']];
}
