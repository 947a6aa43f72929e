import type { Kept, Row } from './store.ts';

/** Characters of all rows together. */
const MOST = 8_000_000;
/** Counted for each beside its texts. */
const ENTRY = 200;

interface Entry {
  rows: Row[];
  size: number;
}

/**
 * Rows that are read again soon after they were written, or that none is there, in the memory of a process that has the database
 * to itself. What was written longest ago goes first.
 */
export class KeptRows {
  readonly #entries = new Map<string, Entry>();
  readonly #tables = new Set<string>();
  #size = 0;

  /** One row or none; `undefined` when it is not known. */
  get({ key }: Kept): Row[] | undefined {
    return this.#entries.get(key)?.rows;
  }

  put({ table, key }: Kept, rows: Row[]): void {
    this.#forget(key);
    const size = rows.reduce((sum, row) => sum + sizeOf(row), ENTRY);
    this.#entries.set(key, { rows, size });
    this.#tables.add(table);
    this.#size += size;
    while (this.#size > MOST) this.#forget(this.#entries.keys().next().value!);
  }

  forgetTable(table: string): void {
    if (this.#tables.has(table)) this.forgetAll();
  }

  forgetAll(): void {
    this.#entries.clear();
    this.#tables.clear();
    this.#size = 0;
  }

  #forget(key: string): void {
    const entry = this.#entries.get(key);
    if (!entry) return;
    this.#entries.delete(key);
    this.#size -= entry.size;
  }
}

function sizeOf(row: Row): number {
  return Object.values(row).reduce<number>((sum, value) => sum + (typeof value === 'string' ? value.length : 8), 0);
}
