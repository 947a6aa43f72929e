import { statfsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { DatabaseSync } from 'node:sqlite';
import type { OrderView } from '../ledger/views.ts';
import { ledgerFileIn, startContender, type Contender } from './contenders.ts';
import { ASSORTMENT, orderNumber, SUPPLIERS, webhookBody, webhookHeaders } from './orders.ts';
import type { Partners } from './partner-process.ts';

/**
 * A ledger with many finished orders. One order is taken through a real Dropline, from the webhook to the last shipment; the
 * rows that it leaves are then copied in the database, each copy with an order number and times of its own. So the rows are real
 * ones whatever the schema is, and a million orders take minutes.
 */

/** Number of the order that is copied. It stands nowhere else in its rows. */
const TEMPLATE = 5_000_000;

const TEMPLATE_ORDER = webhookBody(String(TEMPLATE));

/** Milliseconds between two orders of the copied past. */
const APART = 20_000;

/** Copies in one statement. */
const CHUNK = 10_000;

/** Bytes that one finished order needs at most, with its indexes. */
const ROOM = 40_000;

/** Makes the ledger of the Dropline contender that will be started in `folder`. @throws Error when the disk is too small */
export async function createBigLedger(folder: string, partners: Partners, orders: number): Promise<void> {
  const free = statfsSync(folder);
  if (free.bavail * free.bsize < orders * ROOM) {
    throw new Error(
      `${orders} orders may need ${((orders * ROOM) / 1e9).toFixed(0)} GB in ${folder}, and there are ${((free.bavail * free.bsize) / 1e9).toFixed(0)} GB. Set TMPDIR to a larger disk, or use --orders=N.`,
    );
  }
  await finishOneOrder(folder, partners);
  multiply(ledgerFileIn(folder), orders);
}

async function finishOneOrder(folder: string, partners: Partners): Promise<void> {
  await partners.delay(0);
  const dropline = await startContender('dropline', { folder, partners: partners.url, quietTime: 1 });
  try {
    const id = orderNumber(String(TEMPLATE));
    await tell(dropline.url, TEMPLATE_ORDER);
    const sent = await until(dropline, id, ({ purchaseOrders }) =>
      purchaseOrders.every(({ state }) => state === 'sent'),
    );
    const suppliers = dropline.url.replace(/orders\/[^/]+$/, 'suppliers');
    for (const { id: ref, supplier, lines } of sent.purchaseOrders) {
      const items = lines.map(({ sku, quantity }) => ({ article: sku, pieces: quantity, state: 'accepted' }));
      const at = new Date().toISOString();
      const url = `${suppliers}/${supplier}`;
      await tell(url, JSON.stringify({ kind: 'acknowledgement', ref, at, items }));
      await delay(500);
      const parcels = [{ carrier: 'DHL', barcode: `00340434${ref.slice(-9)}` }];
      await tell(url, JSON.stringify({ kind: 'shipment', note: `DN-${ref}`, ref, at, parcels, items }));
    }
    await until(dropline, id, ({ state }) => state === 'complete');
    while ((await dropline.open()) !== 0) await delay(200);
    await dropline.stop();
  } finally {
    await dropline.kill();
  }
}

async function tell(url: string, body: string): Promise<void> {
  const answer = await fetch(url, { method: 'POST', headers: webhookHeaders(body), body });
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}: ${await answer.text()}`);
}

async function until(dropline: Contender, id: string, done: (view: OrderView) => boolean): Promise<OrderView> {
  for (let tries = 0; tries < 150; tries += 1) {
    const view = await dropline.get!<OrderView>(`/dropship/orders/${id}`).catch(() => undefined);
    if (view && view.purchaseOrders.length > 0 && done(view)) return view;
    await delay(200);
  }
  throw new Error(`Order ${id} was not finished.\n${dropline.log()}`);
}

interface Column {
  name: string;
  type: string;
}

/** Copies the one order so many times. */
function multiply(file: string, orders: number): void {
  const database = new DatabaseSync(file);
  try {
    database.exec('PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000');
    const tables = database
      .prepare(`SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name`)
      .all()
      .map(({ name }) => String(name));
    const copies = tables.flatMap((table) => copyOf(database, table, orders) ?? []);
    for (let first = 1; first <= orders; first += CHUNK) {
      database.exec('BEGIN');
      for (const copy of copies) database.prepare(copy).run(first, Math.min(orders, first + CHUNK - 1));
      database.exec('COMMIT');
    }
  } finally {
    database.close();
  }
}

/** The copies are spread over the whole assortment. Every article's number is as long as every other's. */
function otherArticles(text: string): string {
  return SUPPLIERS.reduce((inner, supplier) => {
    const own = ASSORTMENT.filter((article) => article.supplier === supplier).map(({ sku }) => sku);
    const [sku] = own.filter((each) => TEMPLATE_ORDER.includes(each));
    const numbers = own.map((each, index) => `WHEN ${index} THEN '${each}'`).join(' ');
    return `replace(${inner}, '${sku}', CASE i % ${own.length} ${numbers} END)`;
  }, text);
}

/** The statement that copies the rows of the order in one table for the numbers from ? to ?; `undefined` for tables without any. */
function copyOf(database: DatabaseSync, table: string, orders: number): string | undefined {
  const columns = database.prepare(`SELECT name, type FROM pragma_table_info(?)`).all(table) as unknown as Column[];
  const texts = columns.filter(({ type }) => type === 'TEXT');
  if (texts.length === 0) return undefined;
  const isOurs = texts.map(({ name }) => `${name} LIKE '%${TEMPLATE}%'`).join(' OR ');
  database.exec(`CREATE TEMP TABLE template_${table} AS SELECT * FROM main.${table} WHERE ${isOurs}`);
  const rows = database.prepare(`SELECT COUNT(*) AS n FROM template_${table}`).get();
  if (Number(rows?.['n']) === 0) return undefined;
  const highest = (of: string) => Number(database.prepare(`SELECT MAX(id) AS id FROM main.${of}`).get()?.['id'] ?? 0);
  const expression = ({ name, type }: Column) => {
    if (type === 'TEXT') return otherArticles(`replace(${name}, '${TEMPLATE}', CAST(${TEMPLATE} + i AS TEXT))`);
    if (name === 'id') return `id + i * ${highest(table)}`;
    if (name === 'event_id') return `event_id + i * ${highest('event')}`;
    if (name === 'at' || name.endsWith('_at')) return `${name} - (${orders} - i) * ${APART}`;
    return name;
  };
  return `WITH RECURSIVE number (i) AS (SELECT ? UNION ALL SELECT i + 1 FROM number WHERE i < ?)
    INSERT INTO main.${table} (${columns.map(({ name }) => name).join(', ')})
    SELECT ${columns.map(expression).join(', ')} FROM number, template_${table}`;
}
