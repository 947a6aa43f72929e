/** A JSON object of WooCommerce's REST API. */
export type Body = Record<string, unknown>;

export function metaOf(record: Body): Map<string, unknown> {
  return new Map(records(record['meta_data']).map((meta) => [text(meta['key']), meta['value']]));
}

export function isBody(value: unknown): value is Body {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function records(value: unknown): Body[] {
  return Array.isArray(value) ? value.filter(isBody) : [];
}

export function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : [];
}

export function text(value: unknown): string {
  return typeof value === 'string' ? value.trim() : typeof value === 'number' ? String(value) : '';
}
