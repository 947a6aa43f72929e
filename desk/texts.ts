import type { Money } from '../orders/money.ts';

type Texts = { [key: string]: string | Texts };

let texts: Texts = {};

/** Loads what the desk says. Numbers and times follow the browser's language; the words are English so far. */
export async function loadTexts(): Promise<void> {
  const response = await fetch('locales/en-US.json');
  if (!response.ok) throw new Error(`locales/en-US.json: ${response.status}`);
  texts = (await response.json()) as Texts;
}

/** The text of a path such as `orders.title`, its `{name}`s filled in. A text that is missing shows its last part as it is. */
export function t(path: readonly string[] | string, values: Record<string, string | number> = {}): string {
  const steps = typeof path === 'string' ? path.split('.') : path;
  const found = lookUp(steps) ?? steps.at(-1) ?? '';
  return found.replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? ''));
}

/** Whether there is a text: for codes that may be newer than the desk. */
export function hasText(path: readonly string[]): boolean {
  return lookUp(path) !== undefined;
}

function lookUp(steps: readonly string[]): string | undefined {
  let at: string | Texts | undefined = texts;
  for (const step of steps) at = typeof at === 'object' && Object.hasOwn(at, step) ? at[step] : undefined;
  return typeof at === 'string' ? at : undefined;
}

/** `EUR 30.80` the way the reader writes it. Exact: the decimal point is set in the text, nothing is divided. */
export function amount({ minor, currency }: Money): string {
  try {
    const format = new Intl.NumberFormat(undefined, { style: 'currency', currency });
    const digits = format.resolvedOptions().maximumFractionDigits ?? 2;
    const text = String(Math.abs(minor)).padStart(digits + 1, '0');
    const whole = text.slice(0, text.length - digits);
    const decimal = digits === 0 ? whole : `${whole}.${text.slice(-digits)}`;
    return format.format(`${minor < 0 ? '-' : ''}${decimal}` as `${number}`);
  } catch {
    // Not a currency that the browser knows: the ledger's own words.
    return `${minor} ${currency}`;
  }
}

/** Time of day, with the date when it was on another day. Nothing for what is no time. */
export function when(at: number): string {
  const time = new Date(at);
  if (Number.isNaN(time.getTime())) return '';
  const day = new Date().toDateString() === time.toDateString() ? {} : ({ dateStyle: 'medium' } as const);
  return new Intl.DateTimeFormat(undefined, { ...day, timeStyle: 'medium' }).format(time);
}

export function day(iso: string): string {
  const time = new Date(iso);
  if (Number.isNaN(time.getTime())) return iso;
  return new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeZone: 'UTC' }).format(time);
}

/** How long ago, roughly: "5 minutes ago". */
export function ago(at: number): string {
  const seconds = Math.max(0, Math.round((Date.now() - at) / 1000));
  const format = new Intl.RelativeTimeFormat('en-US', { numeric: 'auto' });
  if (seconds < 60) return t('time.justNow');
  if (seconds < 3600) return format.format(-Math.floor(seconds / 60), 'minute');
  if (seconds < 48 * 3600) return format.format(-Math.floor(seconds / 3600), 'hour');
  return format.format(-Math.floor(seconds / 86_400), 'day');
}
