import type { Json } from './world.ts';

export type Values = Record<string, Json | undefined>;
export type Row = Values & { id: number };

/** How Odoo keeps and shows a field. */
export type Field =
  | {
      kind: 'char' | 'html' | 'boolean' | 'float' | 'integer' | 'date' | 'selection';
      default?: Json;
      compute?: Compute;
    }
  | { kind: 'many2one'; to: string; compute?: Compute }
  | { kind: 'many2many'; to: string; compute?: Compute }
  /** The records of `to` whose `inverse` points here. */
  | { kind: 'one2many'; to: string; inverse: string };

type Compute = (row: Row, store: Store) => Json;

export type Models = Record<string, Record<string, Field>>;

/** What Odoo answers instead of a result: the HTTP status and the Python class of the exception. */
export class OdooError extends Error {
  readonly status: number;
  readonly exception: string;

  constructor(status: number, exception: string, message: string) {
    super(message);
    this.status = status;
    this.exception = exception;
  }
}

export const userError = (message: string): OdooError => new OdooError(422, 'odoo.exceptions.UserError', message);

/** An ORM in memory: just enough of Odoo's `create`, `write`, `search_read` with domains and x2many commands. */
export interface Store {
  models: Models;
  rows(model: string): Row[];
  get(model: string, id: number): Row;
  /** A field's value as it is in Python: ids for relations, `false` for nothing. */
  value(model: string, row: Row, field: string): Json;
  create(model: string, values: Values): Row;
  write(model: string, ids: number[], values: Values): void;
  search(
    model: string,
    domain: unknown,
    options?: { limit?: number; offset?: number; order?: string; archived?: boolean },
  ): Row[];
  /** As `read` shows it: many2one as [id, name]. */
  read(model: string, row: Row, fields: string[]): Record<string, Json>;
  /** The next number of a sequence, from 1. */
  next(sequence: string): number;
  /** Begins a transaction: from here on `rollback` takes everything back, except that numbers are not given out again. */
  begin(): void;
  rollback(): void;
  save(): Json;
  load(state: Json): void;
}

export interface Hooks {
  created(model: string, row: Row): void;
  written(model: string, row: Row, before: Row, values: Values): void;
}

export function createStore(models: Models, hooks: Hooks): Store {
  let tables: Record<string, Row[]> = {};
  let byId = new Map<string, Row>();
  let sequences: Record<string, number> = {};
  let undo: (() => void)[] = [];

  /** Buttons and hooks write to rows directly; each change leaves behind how to take it back. */
  const tracked = (row: Row): Row =>
    new Proxy(row, {
      set(target, name: string, value: Json) {
        const [had, old] = [Object.hasOwn(target, name), target[name]];
        undo.push(() => {
          if (had) target[name] = old;
          else delete target[name];
        });
        target[name] = value;
        return true;
      },
    });

  const fieldOf = (model: string, name: string): Field => {
    const fields = models[model];
    if (!fields) throw new OdooError(404, 'werkzeug.exceptions.NotFound', `the model '${model}' does not exist`);
    const field = name === 'id' ? { kind: 'integer' as const } : fields[name];
    if (!field) throw new OdooError(422, 'builtins.ValueError', `Invalid field '${name}' in '${model}'`);
    return field;
  };

  const store: Store = {
    models,
    rows: (model) => (tables[model] ??= []),
    get(model, id) {
      const found = byId.get(`${model},${id}`);
      if (found) return found;
      throw new OdooError(
        404,
        'odoo.exceptions.MissingError',
        `Record does not exist or has been deleted.\n(Record: ${model}(${id},))`,
      );
    },
    value(model, row, name) {
      const field = fieldOf(model, name);
      if (field.kind === 'one2many') {
        return store
          .rows(field.to)
          .filter((each) => each[field.inverse] === row.id)
          .map((each) => each.id);
      }
      if (field.compute) return field.compute(row, store);
      return (
        row[name] ?? (field.kind === 'many2many' ? [] : field.kind === 'float' || field.kind === 'integer' ? 0 : false)
      );
    },
    create(model, values) {
      const row = tracked({ id: store.next(model) });
      for (const [name, field] of Object.entries(models[model] ?? {})) {
        if ('default' in field && field.default !== undefined) row[name] = field.default;
      }
      store.rows(model).push(row);
      byId.set(`${model},${row.id}`, row);
      undo.push(() => remove(model, row.id));
      assign(model, row, values);
      hooks.created(model, row);
      return row;
    },
    write(model, ids, values) {
      for (const row of ids.map((id) => store.get(model, id))) {
        const before = { ...row };
        assign(model, row, values);
        hooks.written(model, row, before, values);
      }
    },
    search(model, domain, { limit, offset = 0, order = 'id', archived = false } = {}) {
      const matches = compile(model, domain);
      const isActive = (row: Row): boolean => archived || !models[model]?.['active'] || row['active'] !== false;
      const found = store.rows(model).filter((row) => isActive(row) && matches(row));
      const keys = order.split(',').map((part) => part.trim().split(/\s+/) as [string, string?]);
      for (const [name] of keys) fieldOf(model, name);
      found.sort((a, b) => {
        for (const [name, direction] of keys) {
          const [left, right] = [store.value(model, a, name), store.value(model, b, name)] as [string, string];
          if (left !== right) return (left < right ? -1 : 1) * (direction?.toLowerCase() === 'desc' ? -1 : 1);
        }
        return 0;
      });
      return found.slice(offset, limit === undefined ? undefined : offset + limit);
    },
    read(model, row, names) {
      const shown: Record<string, Json> = { id: row.id };
      for (const name of names) {
        const field = fieldOf(model, name);
        const value = store.value(model, row, name);
        shown[name] =
          field.kind === 'many2one' && typeof value === 'number' ? [value, displayName(field.to, value)] : value;
      }
      return shown;
    },
    next(sequence) {
      return (sequences[sequence] = (sequences[sequence] ?? 0) + 1);
    },
    begin() {
      undo = [];
    },
    rollback() {
      const steps = undo;
      undo = [];
      for (const step of steps.reverse()) step();
    },
    save() {
      const plain = Object.entries(tables).map(([model, rows]) => [model, rows.map((row) => ({ ...row }))]);
      return structuredClone({ tables: Object.fromEntries(plain), sequences }) as Json;
    },
    load(state) {
      const saved = structuredClone(state) as unknown as {
        tables: Record<string, Row[]>;
        sequences: Record<string, number>;
      };
      tables = Object.fromEntries(Object.entries(saved.tables).map(([model, rows]) => [model, rows.map(tracked)]));
      sequences = saved.sequences;
      byId = new Map(Object.entries(tables).flatMap(([model, rows]) => rows.map((row) => [`${model},${row.id}`, row])));
    },
  };

  function remove(model: string, id: number): void {
    const before = store.rows(model);
    const removed = store.get(model, id);
    tables[model] = before.filter((row) => row.id !== id);
    byId.delete(`${model},${id}`);
    undo.push(() => {
      tables[model] = before;
      byId.set(`${model},${id}`, removed);
    });
  }

  function displayName(model: string, id: number): string {
    return String(store.get(model, id)['name'] ?? `${model},${id}`);
  }

  /** Relations take commands: [0, 0, values] create, [1, id, values] write, [2, id] delete, [4, id] link, [5] clear, [6, 0, ids] set. */
  function assign(model: string, row: Row, values: Values): void {
    for (const [name, value] of Object.entries(values)) {
      const field = fieldOf(model, name);
      if ('compute' in field) throw userError(`The field ${name} of ${model} is computed.`);
      if (field.kind === 'one2many') {
        for (const [command, id, nested] of value as [number, number, Values?][]) {
          if (command === 0) store.create(field.to, { ...nested, [field.inverse]: row.id });
          else if (command === 1) store.write(field.to, [id], nested ?? {});
          else if (command === 2) remove(field.to, id);
          else
            throw new OdooError(422, 'builtins.ValueError', `Command ${command} is not supported for ${model}.${name}`);
        }
      } else if (field.kind === 'many2many') {
        for (const [command, id, ids] of value as [number, number, number[]?][]) {
          const linked = (row[name] ?? []) as number[];
          if (command === 4) row[name] = [...new Set([...linked, id])];
          else if (command === 5) row[name] = [];
          else if (command === 6) row[name] = ids ?? [];
          else
            throw new OdooError(422, 'builtins.ValueError', `Command ${command} is not supported for ${model}.${name}`);
        }
      } else {
        if (field.kind === 'many2one' && typeof value === 'number') store.get(field.to, value);
        const isNumber = field.kind === 'float' || field.kind === 'integer';
        if (isNumber && typeof value !== 'number') {
          throw new OdooError(422, 'builtins.ValueError', `could not convert to number: ${JSON.stringify(value)}`);
        }
        row[name] = value === '' && field.kind === 'char' ? false : value;
      }
    }
  }

  /** Prefix notation; what stands side by side is joined by '&'. */
  function compile(model: string, domain: unknown): (row: Row) => boolean {
    if (!Array.isArray(domain)) throw new OdooError(422, 'builtins.ValueError', 'the domain is not a list');
    const rest: unknown[] = [...domain];
    const one = (): ((row: Row) => boolean) => {
      const item = rest.shift();
      if (item === '!') {
        const inner = one();
        return (row) => !inner(row);
      }
      if (item === '&' || item === '|') {
        const [left, right] = [one(), one()];
        return item === '&' ? (row) => left(row) && right(row) : (row) => left(row) || right(row);
      }
      if (!Array.isArray(item) || item.length !== 3) {
        throw new OdooError(422, 'builtins.ValueError', `Invalid leaf ${JSON.stringify(item)} in the domain`);
      }
      return leaf(model, item as [string, string, Json]);
    };
    const terms: ((row: Row) => boolean)[] = [];
    while (rest.length > 0) terms.push(one());
    return (row) => terms.every((term) => term(row));
  }

  function leaf(model: string, [path, operator, wanted]: [string, string, Json]): (row: Row) => boolean {
    const name = path.split('.')[0] ?? '';
    const field = fieldOf(model, name);
    if (path.includes('.')) {
      if (!('to' in field)) throw new OdooError(422, 'builtins.ValueError', `Invalid path ${path}`);
      const inner = leaf(field.to, [path.slice(name.length + 1), operator, wanted]);
      return (row) => {
        const value = store.value(model, row, name);
        const ids = Array.isArray(value) ? value : value === false ? [] : [value];
        return ids.some((id) => inner(store.get(field.to, id as number)));
      };
    }
    const test = operators[operator];
    if (!test) throw new OdooError(422, 'builtins.ValueError', `Invalid operator '${operator}' in the domain`);
    if ((operator === 'in' || operator === 'not in') && !Array.isArray(wanted)) {
      throw new OdooError(422, 'builtins.ValueError', `The operator '${operator}' takes a list`);
    }
    const negative = operator === '!=' || operator.startsWith('not ');
    return (row) => {
      const value = store.value(model, row, name);
      const each = Array.isArray(value) ? (value.length > 0 ? value : [false]) : [value];
      return negative ? each.every((one) => test(one, wanted)) : each.some((one) => test(one, wanted));
    };
  }

  return store;
}

/** Comparisons with nothing (`false`) are never true in SQL; only = and != and in know it. */
const operators: Record<string, (value: Json, wanted: Json) => boolean> = {
  '=': (value, wanted) => (value || false) === (wanted || false) || value === wanted,
  '!=': (value, wanted) => !((value || false) === (wanted || false) || value === wanted),
  in: (value, wanted) => (wanted as Json[]).includes(value),
  'not in': (value, wanted) => !(wanted as Json[]).includes(value),
  '<': (value, wanted) => value !== false && value! < wanted!,
  '<=': (value, wanted) => value !== false && value! <= wanted!,
  '>': (value, wanted) => value !== false && value! > wanted!,
  '>=': (value, wanted) => value !== false && value! >= wanted!,
  like: (value, wanted) => like(value, `%${wanted}%`, ''),
  'not like': (value, wanted) => !like(value, `%${wanted}%`, ''),
  ilike: (value, wanted) => like(value, `%${wanted}%`, 'i'),
  'not ilike': (value, wanted) => !like(value, `%${wanted}%`, 'i'),
  '=like': (value, wanted) => like(value, String(wanted), ''),
  '=ilike': (value, wanted) => like(value, String(wanted), 'i'),
};

function like(value: Json, pattern: string, flags: string): boolean {
  if (typeof value !== 'string') return false;
  const escaped = pattern
    .replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
    .replaceAll('%', '.*')
    .replaceAll('_', '.');
  return new RegExp(`^${escaped}$`, `s${flags}`).test(value);
}
