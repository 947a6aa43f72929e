import { createHmac, timingSafeEqual } from 'node:crypto';
import { existsSync, fdatasync, openSync, readFileSync, write } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { Pool } from 'undici';
import { ASSORTMENT, orderNumber, WEBHOOK_SECRET } from './orders.ts';

/**
 * The same intake as a bare Node.js program, written for this one task: no Node-RED, no database, nothing to configure. A journal
 * file that is synced before anything goes on (one sync for all who wait) makes it as durable as Dropline: intent and result
 * of each call are in it, and after a crash the partner is asked about calls without a result. What the same durability costs at
 * the least.
 *
 * `node program.ts <port> <partners' URL> <journal file>`
 */
interface ShopOrder {
  id: string;
  currency: string;
  buyer: { first: string; last: string; email: string };
  delivery: { first: string; last: string; address_1: string; zip: string; city: string; country: string };
  line_items: { sku: string; quantity: number; unit_price: string }[];
}

interface Answer {
  id: string;
  number: string;
}

type Entry =
  | { is: 'order'; body: string }
  | { is: 'intent'; key: string }
  | { is: 'result'; key: string; answer: Answer }
  | { is: 'finished'; order: string };

const [port = '', partners = '', journalFile = ''] = process.argv.slice(2);
const offers = new Map(ASSORTMENT.map((article) => [article.sku, article]));
const pool = new Pool(partners, { connections: 128, keepAliveTimeout: 600_000, keepAliveMaxTimeout: 600_000 });
const known = new Set<string>();
const intents = new Set<string>();
const results = new Map<string, Answer>();

const unfinished = readJournal();
const journal = openSync(journalFile, 'a');
createServer((request, response) => void take(request, response)).listen(Number(port), '127.0.0.1');
for (const order of unfinished) start(order);

/** What the journal of a dead process leaves to be done. */
function readJournal(): ShopOrder[] {
  const open = new Map<string, ShopOrder>();
  if (!existsSync(journalFile)) return [];
  for (const line of readFileSync(journalFile, 'utf8').split('\n')) {
    const entry = entryOf(line);
    if (entry?.is === 'order') {
      const order = JSON.parse(entry.body) as ShopOrder;
      known.add(order.id);
      open.set(order.id, order);
    } else if (entry?.is === 'intent') intents.add(entry.key);
    else if (entry?.is === 'result') results.set(entry.key, entry.answer);
    else if (entry?.is === 'finished') open.delete(entry.order);
  }
  return [...open.values()];
}

/** The last line may have been cut off by the crash; nobody was told of it. */
function entryOf(line: string): Entry | undefined {
  try {
    return JSON.parse(line) as Entry;
  } catch {
    return undefined;
  }
}

let waiting: { text: string; done: () => void }[] = [];
let writing = false;

/** Resolves once the entry is on the disk. */
function append(entry: Entry): Promise<void> {
  return new Promise((done) => {
    waiting.push({ text: `${JSON.stringify(entry)}\n`, done });
    if (!writing) setImmediate(commit);
  });
}

function commit(): void {
  if (writing || waiting.length === 0) return;
  writing = true;
  const batch = waiting;
  waiting = [];
  write(journal, batch.map(({ text }) => text).join(''), (writeError) => {
    if (writeError) throw writeError;
    fdatasync(journal, (syncError) => {
      if (syncError) throw syncError;
      writing = false;
      for (const { done } of batch) done();
      commit();
    });
  });
}

async function take(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const given = Buffer.from(String(request.headers['x-signature']));
  const due = Buffer.from(`sha256=${createHmac('sha256', WEBHOOK_SECRET).update(body).digest('hex')}`);
  if (given.length !== due.length || !timingSafeEqual(given, due)) {
    response.writeHead(401).end();
    return;
  }
  const text = body.toString('utf8');
  const order = JSON.parse(text) as ShopOrder;
  if (!known.has(order.id)) {
    known.add(order.id);
    await append({ is: 'order', body: text });
    start(order);
  }
  response.writeHead(200, { 'content-type': 'application/json' }).end('{"stored":1}');
}

/** A partner that cannot be reached is asked again after a second. */
function start(order: ShopOrder): void {
  place(order).catch(() => setTimeout(() => start(order), 1000));
}

async function place(order: ShopOrder): Promise<void> {
  const number = orderNumber(order.id);
  const to = order.delivery;
  const address = {
    name: `${to.first} ${to.last}`,
    street: to.address_1,
    zip: to.zip,
    city: to.city,
    country: to.country,
  };
  const sale = await call('/erp/orders', number, {
    ref: number,
    order: number,
    customer: { name: `${order.buyer.first} ${order.buyer.last}`, email: order.buyer.email },
    currency: order.currency,
    lines: order.line_items.map((line) => ({ sku: line.sku, qty: String(line.quantity), price: line.unit_price })),
  });
  const parts = new Map<string, ShopOrder['line_items']>();
  for (const line of order.line_items) {
    const { supplier } = offers.get(line.sku)!;
    parts.set(supplier, [...(parts.get(supplier) ?? []), line]);
  }
  await Promise.all(
    [...parts].map(async ([supplier, lines], index) => {
      const ref = `${number}-${index + 1}`;
      await call('/erp/purchase-orders', ref, {
        ref,
        order: number,
        sales_order_id: sale.id,
        vendor: supplier,
        currency: order.currency,
        ship_to: address,
        lines: lines.map((line, at) => ({
          ref: String(at + 1),
          sku: line.sku,
          qty: String(line.quantity),
          cost: offers.get(line.sku)!.cost,
        })),
      });
      await call(`/${supplier}/orders`, ref, {
        ref,
        order: number,
        recipient: address,
        items: lines.map((line, at) => ({ pos: at + 1, article: line.sku, pieces: line.quantity })),
      });
    }),
  );
  await append({ is: 'finished', order: order.id });
}

/** One call, made once: its intent is on the disk before, its result after it. */
async function call(path: string, ref: string, body: unknown): Promise<Answer> {
  const key = `${path} ${ref}`;
  const done = results.get(key);
  if (done) return done;
  let answer: Answer | undefined;
  if (intents.has(key)) answer = (await send<{ data: Answer[] }>('GET', `${path}?ref=${ref}`)).data[0];
  else {
    await append({ is: 'intent', key });
    intents.add(key);
  }
  answer ??= await send<Answer>('POST', path, body);
  await append({ is: 'result', key, answer });
  results.set(key, answer);
  return answer;
}

async function send<Result>(method: 'GET' | 'POST', path: string, body?: unknown): Promise<Result> {
  const answer = await pool.request({
    method,
    path,
    headers: { 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await answer.body.text();
  if (answer.statusCode >= 300) throw new Error(`${path} answered ${answer.statusCode}`);
  return JSON.parse(text) as Result;
}
