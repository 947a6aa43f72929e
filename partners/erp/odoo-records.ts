import { exponentOf } from '../../orders/currencies.ts';
import { decimal, parseMoney, type Money } from '../../orders/money.ts';
import { quantityFromMillionths, type Quantity } from '../../orders/quantity.ts';
import type { OdooTransport } from './odoo-json2.ts';

/** An Odoo domain in prefix notation: `[['ref', '=', 'x'], ['state', '!=', 'cancel']]`. */
export type Domain = (string | [field: string, operator: string, value: unknown])[];

/** A record as `search_read` gives it, with accessors that refuse another shape than Odoo documents. */
export interface Row {
  id: number;
  /** Odoo writes an empty text as `false`; here it is ''. */
  text(field: string): string;
  truth(field: string): boolean;
  quantity(field: string): Quantity;
  money(field: string, currency: string): Money;
  /** A many2one arrives as `[id, display name]` or `false`. */
  one(field: string): { id: number; name: string } | undefined;
  many(field: string): number[];
}

export interface OdooRecords extends OdooTransport {
  find(model: string, domain: Domain, fields: string[], options?: FindOptions): Promise<Row[]>;
  /** The record with this id. @throws TemporaryFault when Odoo does not give exactly it */
  get(model: string, id: number, fields: string[]): Promise<Row>;
  /** Creates one record. @returns its id */
  create(model: string, values: Record<string, unknown>, signal: AbortSignal | undefined): Promise<number>;
  /** Runs a button of one record. */
  press(
    model: string,
    method: string,
    id: number,
    signal: AbortSignal | undefined,
    context?: Record<string, unknown>,
  ): Promise<unknown>;
}

export interface FindOptions {
  limit?: number;
  /** Default `id`: of duplicates the oldest comes first, on every look. */
  order?: string;
  context?: Record<string, unknown>;
}

export function withRecords(transport: OdooTransport): OdooRecords {
  async function find(model: string, domain: Domain, fields: string[], options: FindOptions = {}): Promise<Row[]> {
    const { order = 'id', limit, context } = options;
    const answer = await transport.call(model, 'search_read', {
      domain,
      fields,
      order,
      ...(limit === undefined ? {} : { limit }),
      ...(context ? { context } : {}),
    });
    if (!Array.isArray(answer)) throw transport.unexpected(model, 'search_read', 'gave no list');
    return answer.map((record) => row(transport, model, record));
  }

  return {
    ...transport,
    find,
    async get(model, id, fields) {
      const [found, ...more] = await find(model, [['id', '=', id]], fields);
      if (!found || found.id !== id || more.length > 0)
        throw transport.unexpected(model, 'search_read', `did not give the record ${id}`);
      return found;
    },
    async create(model, values, signal) {
      const answer = await transport.call(model, 'create', { vals_list: [values] }, { signal });
      const id: unknown = Array.isArray(answer) ? answer[0] : undefined;
      if (typeof id !== 'number' || !Number.isSafeInteger(id))
        throw transport.unexpected(model, 'create', 'gave no id');
      return id;
    },
    press: (model, method, id, signal, context) =>
      transport.call(model, method, { ids: [id], ...(context ? { context } : {}) }, { signal }),
  };
}

/** Decimal digits survive: both `8.1` and `8.10` mean the same to Odoo's floats, which round to the currency on arrival. */
export function wireAmount(amount: Money): number {
  return Number(decimal(amount));
}

/**
 * Odoo computes amounts in binary floats and rounds them to the currency's digits when it stores them; what is left of
 * the float (0.30000000000000004) is taken off here, a real further digit is refused.
 */
function amountFromFloat(value: number, currency: string): Money | undefined {
  const text = value.toFixed(exponentOf(currency));
  return Math.abs(Number(text) - value) < 1e-6 ? parseMoney(text.replace(/^-(0(\.0+)?)$/, '$1'), currency) : undefined;
}

function row(transport: OdooTransport, model: string, record: unknown): Row {
  if (typeof record !== 'object' || record === null) throw transport.unexpected(model, 'search_read', 'gave no record');
  const values = record as Record<string, unknown>;
  const wrong = (field: string): Error => transport.unexpected(model, 'search_read', `gave no usable ${field}`);
  const numeric = (field: string): number => {
    const value = values[field];
    if (typeof value !== 'number' || !Number.isFinite(value)) throw wrong(field);
    return value;
  };
  if (typeof values['id'] !== 'number') throw wrong('id');
  return {
    id: values['id'],
    text(field) {
      const value = values[field];
      if (value === false) return '';
      if (typeof value !== 'string') throw wrong(field);
      return value;
    },
    truth(field) {
      const value = values[field];
      if (typeof value !== 'boolean') throw wrong(field);
      return value;
    },
    quantity: (field) => quantityFromMillionths(BigInt(Math.round(numeric(field) * 1_000_000))),
    money(field, currency) {
      const amount = amountFromFloat(numeric(field), currency);
      if (!amount) throw wrong(field);
      return amount;
    },
    one(field) {
      const value = values[field];
      if (value === false) return undefined;
      if (!Array.isArray(value) || typeof value[0] !== 'number' || typeof value[1] !== 'string') throw wrong(field);
      return { id: value[0], name: value[1] };
    },
    many(field) {
      const value = values[field];
      if (!Array.isArray(value) || value.some((id) => typeof id !== 'number')) throw wrong(field);
      return value as number[];
    },
  };
}

/** Runs what has the same key one after the other, within this process. */
export type InTurn = <Result>(key: string, operation: () => Promise<Result>) => Promise<Result>;

export function createTurns(): InTurn {
  const last = new Map<string, Promise<unknown>>();
  return (key, operation) => {
    const turn = (last.get(key) ?? Promise.resolve()).then(operation, operation);
    const ended = turn.then(
      () => undefined,
      () => undefined,
    );
    last.set(key, ended);
    void ended.then(() => {
      if (last.get(key) === ended) last.delete(key);
    });
    return turn;
  };
}
