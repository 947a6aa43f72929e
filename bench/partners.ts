import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SUPPLIERS } from './orders.ts';

/**
 * The partners of the benchmark, in one process of their own (`bench/partner-process.ts` starts it), so that their work is not
 * counted: an ERP under `/erp` and the suppliers under their references, all of them plain HTTP. Nothing is
 * deduplicated here: whoever sends twice has created twice, and is told on.
 *
 * POST creates and GET with `?ref=` asks by our reference.
 */

/** What the bench asks. */
export type Question =
  { ask: 'delay'; milliseconds: number } | { ask: 'forget' } | { ask: 'count' } | { ask: 'report'; orders: string[] };

/** What the partners say by themselves, and answer. */
export type News =
  | { is: 'open'; port: number }
  /** Both suppliers have answered for these orders. */
  | { is: 'placed'; orders: string[] }
  /** The first call since `forget`; milliseconds since 1970. */
  | { is: 'called'; at: number }
  | { is: 'answer'; answer: Report | Count | null };

/** Calls that have arrived since `forget`. */
export interface Count {
  calls: number;
  creations: number;
}

/** What five creations for each order came to: the sale, two purchase orders in the ERP, one at each supplier. */
export interface Report {
  created: number;
  lost: number;
  doubled: number;
  /** The first few, for the log. */
  examples: string[];
}

interface Creation {
  id: string;
  number: string;
  /** Times created. */
  times: number;
}

interface Placed {
  erpOrder: string[];
  erpPurchaseOrders: string[];
  suppliers: Record<string, string[]>;
  answered: Set<string>;
}

const creations = new Map<string, Creation>();
const orders = new Map<string, Placed>();
let delay = 0;
let calls = 0;
let counter = 0;
let news: string[] = [];

if (process.send) serve();

function serve(): void {
  const server = createServer((request, response) => answer(request, response));
  // A contender that is stopped while another one is measured finds its connections as it left them.
  server.keepAliveTimeout = 0;
  server.requestTimeout = 0;
  server.listen(0, '127.0.0.1', () => say({ is: 'open', port: (server.address() as AddressInfo).port }));
  process.on('message', (question: Question) => say({ is: 'answer', answer: reply(question) }));
  process.on('disconnect', () => process.exit());
}

function say(message: News): void {
  process.send?.(message);
}

function reply(question: Question): Report | Count | null {
  switch (question.ask) {
    case 'delay':
      delay = question.milliseconds;
      return null;
    case 'forget':
      creations.clear();
      orders.clear();
      calls = 0;
      return null;
    case 'count':
      return { calls, creations: [...creations.values()].reduce((sum, { times }) => sum + times, 0) };
    case 'report':
      return report(question.orders);
  }
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  calls += 1;
  if (calls === 1) say({ is: 'called', at: Date.now() });
  const [path = '', search = ''] = (request.url ?? '').split('?', 2);
  if (request.method === 'GET') {
    const known = creations.get(`${path} ${new URLSearchParams(search).get('ref')}`);
    return send(response, 200, { data: known ? [{ id: known.id, number: known.number }] : [] });
  }
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const body = JSON.parse(Buffer.concat(chunks).toString('utf8')) as { ref: string; order: string };
    const created = create(path, body);
    const [, who = ''] = path.split('/');
    const done = () => {
      send(response, 201, { id: created.id, number: created.number });
      if (isSupplier(who)) supplierAnswered(who, body.order);
    };
    if (delay > 0) setTimeout(done, delay);
    else done();
  });
}

function send(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response
    .writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
    .end(text);
}

function isSupplier(who: string): boolean {
  return (SUPPLIERS as readonly string[]).includes(who);
}

function create(path: string, { ref, order }: { ref: string; order: string }): Creation {
  const key = `${path} ${ref}`;
  const known = creations.get(key);
  if (known) {
    known.times += 1;
    return known;
  }
  counter += 1;
  const created = { id: String(counter), number: `N-${counter}`, times: 1 };
  creations.set(key, created);
  const placed = placedOf(order);
  if (path === '/erp/orders') placed.erpOrder.push(key);
  else if (path === '/erp/purchase-orders') placed.erpPurchaseOrders.push(key);
  else if (path.endsWith('/orders')) (placed.suppliers[path] ??= []).push(key);
  return created;
}

function placedOf(order: string): Placed {
  let placed = orders.get(order);
  if (!placed) {
    placed = { erpOrder: [], erpPurchaseOrders: [], suppliers: {}, answered: new Set() };
    orders.set(order, placed);
  }
  return placed;
}

function supplierAnswered(supplier: string, order: string): void {
  const { answered } = placedOf(order);
  if (answered.has(supplier)) return;
  answered.add(supplier);
  if (answered.size < SUPPLIERS.length) return;
  // One message for all of a turn: the partners' process must not become the bottleneck.
  if (news.length === 0)
    setImmediate(() => {
      say({ is: 'placed', orders: news });
      news = [];
    });
  news.push(order);
}

/** Too few documents of a kind are lost ones; a second document of a kind, or a document created a second time, is a double. */
function report(expected: string[]): Report {
  const result: Report = { created: 0, lost: 0, doubled: 0, examples: [] };
  const tell = (what: string) => {
    if (result.examples.length < 5) result.examples.push(what);
  };
  for (const order of expected) {
    const placed = placedOf(order);
    const kinds: [string, string[], number][] = [
      ['sale in the ERP', placed.erpOrder, 1],
      ['purchase orders in the ERP', placed.erpPurchaseOrders, SUPPLIERS.length],
      ...SUPPLIERS.map((name): [string, string[], number] => [
        `purchase order at ${name}`,
        placed.suppliers[`/${name}/orders`] ?? [],
        1,
      ]),
    ];
    for (const [what, keys, wanted] of kinds) {
      const times = keys.reduce((sum, key) => sum + (creations.get(key)?.times ?? 0), 0);
      const lost = Math.max(0, wanted - keys.length);
      const doubled = Math.max(0, times - Math.min(wanted, keys.length));
      result.created += times;
      result.lost += lost;
      result.doubled += doubled;
      if (lost > 0) tell(`${order}: ${what}: ${keys.length} of ${wanted}`);
      if (doubled > 0) tell(`${order}: ${what}: created ${times} times (${keys.join(', ')})`);
    }
  }
  return result;
}
