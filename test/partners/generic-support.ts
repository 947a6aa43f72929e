import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import jsonata from 'jsonata';
import { InDoubt } from '../../orders/errors.ts';
import type { Order } from '../../orders/order.ts';
import type { PurchaseOrder } from '../../orders/purchase-order.ts';
import type { AdapterSettings, AdapterTools } from '../../partners/adapter.ts';
import { createHttp } from '../../partners/http.ts';
import type { Json, Write, Writer } from '../../partners/write.ts';

export interface Asked {
  method: string;
  path: string;
  query: URLSearchParams;
  headers: IncomingMessage['headers'];
  text: string;
  json: any;
}

export interface Answer {
  status?: number;
  headers?: Record<string, string>;
  /** `rawJSON` values keep the digits of large ids. */
  json?: unknown;
  text?: string;
}

/** `lose`: done, but the connection breaks. `page`: done, but a proxy answers 200 with a web page. `late500`: done, but 500. */
export type Fault = 'lose' | 'page' | 'late500';

export interface PretendServer {
  url: string;
  asked: Asked[];
  /** The next call of this method is carried out, and its answer spoiled. */
  spoil(method: string, fault: Fault): void;
  close(): Promise<void>;
}

export async function startServer(handle: (asked: Asked) => Answer): Promise<PretendServer> {
  const asked: Asked[] = [];
  const faults: { method: string; fault: Fault }[] = [];

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString('utf8');
    const url = new URL(request.url ?? '/', 'http://localhost');
    const isJson = (request.headers['content-type'] ?? '').includes('json') && text !== '';
    const call: Asked = {
      method: request.method ?? '',
      path: url.pathname,
      query: url.searchParams,
      headers: request.headers,
      text,
      json: isJson ? JSON.parse(text) : undefined,
    };
    asked.push(call);
    const answer = handle(call);
    const index = faults.findIndex(({ method }) => method === call.method);
    const [spoilt] = index < 0 ? [] : faults.splice(index, 1);
    if (spoilt?.fault === 'lose') return void request.socket.destroy();
    if (spoilt?.fault === 'page')
      return void response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Welcome</html>');
    if (spoilt?.fault === 'late500') return void response.writeHead(500).end('oops');
    const body = answer.text ?? (answer.json === undefined ? '' : JSON.stringify(answer.json));
    const type = answer.json === undefined ? {} : { 'content-type': 'application/json' };
    response.writeHead(answer.status ?? 200, { ...type, ...answer.headers }).end(body);
  }

  const server = createServer((request, response) => {
    serve(request, response).catch((error: unknown) => response.writeHead(599).end(String(error)));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    spoil: (method, fault) => faults.push({ method, fault }),
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** What JSON.parse would round. */
export function bareNumber(digits: string): unknown {
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(digits);
}

export function partnerOf(
  server: PretendServer,
  options: Record<string, unknown>,
  credentials: Record<string, string>,
  base = '',
): { settings: AdapterSettings; tools: AdapterTools & { clock: number } } {
  const tools = {
    clock: Date.parse('2026-11-22T12:00:00Z'),
    http: createHttp({ partner: 'acme', timeout: 2000 }),
    now: () => tools.clock,
    jsonata: (text: string) => {
      const expression = jsonata(text);
      return Object.assign((input: unknown) => expression.evaluate(input) as Promise<unknown>, {
        ast: expression.ast(),
      });
    },
  };
  return { settings: { reference: 'acme', baseUrl: server.url + base, options, credentials }, tools };
}

/** The JSON block with this name in the documentation: what stands there is what is tested. */
export function documented(name: string): Record<string, any> {
  const text = readFileSync(new URL('../../docs/generic-rest.md', import.meta.url), 'utf8');
  const block = new RegExp(`^\`\`\`json ${name}\\n(.*?)^\`\`\``, 'ms').exec(text)?.[1];
  if (block === undefined) throw new Error(`docs/generic-rest.md has no block "json ${name}"`);
  return JSON.parse(block) as Record<string, any>;
}

export interface TestWriter {
  write: Writer;
  /** How often each step was sent. */
  sent: Record<string, number>;
  /** Steps whose outcome was left to a person. */
  asked: string[];
}

/** A ledger in miniature: records results, and settles what is in doubt as the write says. */
export function createWriter(): TestWriter {
  const records = new Map<string, Json>();
  const sent: Record<string, number> = {};
  const asked: string[] = [];

  async function run<Result extends Json>(write: Write<Result>): Promise<Result> {
    if (write.settle === 'probe' && write.look === 'always') {
      const there = await write.find();
      if (there !== undefined) return there;
    }
    for (let number = 1; number < 4; number += 1) {
      sent[write.step] = (sent[write.step] ?? 0) + 1;
      try {
        return await write.send({ key: `test/acme/${write.step}`, number, signal: AbortSignal.timeout(5000) });
      } catch (error) {
        if (!(error instanceof InDoubt)) throw error;
        if (write.settle === 'idempotent') continue;
        const found = write.settle === 'probe' ? await write.find() : undefined;
        if (found !== undefined) return found;
        if (write.settle === 'ask' || write.whenMissing === 'ask') {
          asked.push(write.step);
          throw error;
        }
      }
    }
    throw new Error(`${write.step} did not settle`);
  }

  return {
    sent,
    asked,
    async write(write) {
      const recorded = records.get(write.step);
      if (recorded !== undefined) return recorded as never;
      const result = await run(write);
      records.set(write.step, result);
      return result;
    },
  };
}

/** What a promise was rejected with. */
export async function failure(promise: Promise<unknown>): Promise<Error & { code: string }> {
  try {
    await promise;
  } catch (error) {
    return error as Error & { code: string };
  }
  throw new Error('It should have failed.');
}

export function fails(action: () => unknown): Error & { code: string } {
  try {
    action();
  } catch (error) {
    return error as Error & { code: string };
  }
  throw new Error('It should have failed.');
}

const EUR = (minor: number) => ({ minor, currency: 'EUR' });

const shipTo = {
  name: 'Ana Ruiz',
  street: '12 Harbour Rd',
  postalCode: '6011',
  city: 'Wellington',
  country: 'NZ',
};

export const order: Order = {
  type: 'order',
  id: 'shop-nz-1001',
  shop: 'shop-nz',
  shopOrderId: '1001',
  number: '#1001',
  placedAt: '2026-11-20T08:00:00.000Z',
  changedAt: '2026-11-20T08:00:00.000Z',
  currency: 'EUR',
  customer: { name: 'Ana Ruiz', email: 'ana+shop@example.com' },
  shipTo,
  lines: [{ id: '9007199254740995', sku: 'RED-1', name: 'Red', quantity: '3', unitPrice: EUR(1250) }],
  total: EUR(3750),
  revision: 0,
  erp: { partner: 'acme', id: '9007199254740993', number: 'SO-1' },
};

export const purchaseOrder: PurchaseOrder = {
  type: 'purchase-order',
  id: 'shop-nz-1001-1',
  orderId: order.id,
  supplier: 'vineyard',
  round: 1,
  createdAt: '2026-11-20T08:00:00.000Z',
  currency: 'EUR',
  shipTo,
  lines: [
    {
      id: '1',
      orderLine: '9007199254740995',
      sku: 'RED-1',
      supplierSku: 'V-17',
      name: 'Red',
      quantity: '3',
      unitCost: EUR(810),
      accepted: '0',
      freed: '0',
      shipped: '0',
      billed: '0',
    },
  ],
  shipping: EUR(0),
  total: EUR(2430),
  revision: 0,
  state: 'allocated',
  erp: { partner: 'acme', id: '9007199254740999', number: 'PO-1' },
  supplierOrderId: 'V/77',
};

export const shipment = {
  type: 'shipment' as const,
  id: 'vineyard/SH-12',
  number: 'SH-12',
  supplier: 'vineyard',
  purchaseOrder: purchaseOrder.id,
  orderId: order.id,
  shippedAt: '2026-11-21T08:00:00.000Z',
  parcels: [{ carrier: 'DHL', trackingNumber: 'JD01' }],
  lines: [{ line: '1', orderLine: '9007199254740995', sku: 'RED-1', quantity: '2' }],
};

export const bill = {
  type: 'bill' as const,
  id: 'vineyard/INV-5',
  number: 'INV-5',
  supplier: 'vineyard',
  purchaseOrder: purchaseOrder.id,
  orderId: order.id,
  issuedAt: '2026-11-21T08:00:00.000Z',
  dueAt: '2026-12-05',
  currency: 'EUR',
  lines: [{ line: '1', sku: 'RED-1', quantity: '3', unitCost: EUR(810) }],
  total: EUR(2430),
};
