import { createHmac } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { demoFlows } from '../../scripts/demo-flows.ts';
import type { FlowNode } from '../../scripts/examples.ts';
import { startNodeRed, type NodeRed, type NodeRedOptions } from '../../scripts/node-red.ts';
import { startSandbox, type Sandbox } from '../../sandbox/index.ts';
import { standardWebhookHeaders } from '../../sandbox/suppliers.ts';

export interface RealOptions extends Partial<Pick<NodeRedOptions, 'settings' | 'adminRoot' | 'login'>> {
  speed?: number;
  /** `httpNodeRoot` in `settings`. */
  nodeRoot?: string;
  /** Further properties of the shipped flows' nodes, by id. */
  changes?: Record<string, Record<string, unknown>>;
  /** Deployed beside the shipped flows. */
  more?: FlowNode[];
  /** Whether the shipped flows are deployed before it is handed over. Default true. */
  deployed?: boolean;
}

/** A real Node-RED with the built package in a process of its own, and the pretend partners in this one. */
export interface Real {
  sandbox: Sandbox;
  readonly red: NodeRed;
  userDir: string;
  bankFolder: string;
  /** Where the endpoints are: `<root>/dropship/orders/shop`. */
  root: string;
  flows(changes?: Record<string, Record<string, unknown>>): FlowNode[];
  /** Deploys, and waits until the nodes stand: Node-RED answers before. */
  deploy(flows: FlowNode[]): Promise<void>;
  /** Again, on the same port and user directory. */
  start(): Promise<NodeRed>;
  log(): string;
  close(): Promise<void>;
}

export async function startReal(options: RealOptions = {}): Promise<Real> {
  const folder = mkdtempSync(join(tmpdir(), 'dropline-real-'));
  const bankFolder = join(folder, 'bank');
  mkdirSync(bankFolder);
  const userDir = join(folder, 'node-red');
  const port = await freePort();
  const root = `http://127.0.0.1:${port}${options.nodeRoot ?? ''}`;
  const sandbox = await startSandbox({
    port: 0,
    speed: options.speed ?? 20,
    dropline: { url: root },
    bank: { folder: bankFolder },
  });
  let red: NodeRed | undefined;
  const killAtExit = () => void red?.process.kill('SIGKILL');
  process.once('exit', killAtExit);
  const real: Real = {
    sandbox,
    get red() {
      if (!red) throw new Error('Node-RED does not run.');
      return red;
    },
    userDir,
    bankFolder,
    root,
    flows: (changes = {}) => [
      ...demoFlows(sandbox, bankFolder, { 'dl-ledger': { quietTime: 1 }, ...options.changes, ...changes }),
      ...(options.more ?? []),
    ],
    async deploy(flows) {
      await real.red.deploy(flows);
      for (let tries = 0; (await post(`${root}/dropship/orders/shop`, '', {})).status !== 401; tries += 1) {
        if (tries > 200) throw new Error('The nodes do not stand 10 s after the deploy.');
        await delay(50);
      }
    },
    async start() {
      const { settings, adminRoot, login } = options;
      red = await startNodeRed({
        userDir,
        port,
        ...(settings ? { settings } : {}),
        ...(adminRoot ? { adminRoot } : {}),
        ...(login ? { login } : {}),
      });
      return red;
    },
    log: () => readFileSync(join(userDir, 'node-red.log'), 'utf8'),
    async close() {
      process.removeListener('exit', killAtExit);
      await red?.kill();
      await sandbox.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  try {
    await real.start();
    if (options.deployed ?? true) await real.deploy(real.flows());
    return real;
  } catch (error) {
    await real.close();
    throw error;
  }
}

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
}

/** One POST over a connection of its own. Headers with a list of values are sent as often; a body in parts is sent without a length. */
export function post(
  url: string,
  body: string | Buffer | Iterable<Buffer>,
  headers: Record<string, string | string[]> = {},
  method = 'POST',
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const isWhole = typeof body === 'string' || Buffer.isBuffer(body);
    const sent = httpRequest(
      url,
      {
        method,
        agent: false,
        headers: { ...headers, ...(isWhole ? { 'content-length': String(Buffer.byteLength(body)) } : {}) },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text: Buffer.concat(chunks).toString(),
          }),
        );
      },
    );
    sent.on('error', reject);
    if (isWhole) return void sent.end(body);
    const parts = body[Symbol.iterator]();
    const next = () => {
      const { done, value } = parts.next();
      if (done) return void sent.end();
      if (sent.write(value)) setImmediate(next);
      else sent.once('drain', next);
    };
    next();
  });
}

/** WooCommerce's headers for a body. */
export function shopHeaders(body: string | Buffer, secret: string): Record<string, string> {
  return {
    'content-type': 'application/json',
    'x-wc-webhook-topic': 'order.updated',
    'x-wc-webhook-resource': 'order',
    'x-wc-webhook-signature': createHmac('sha256', secret).update(body).digest('base64'),
  };
}

/** Standard Webhooks' headers for a body. */
export function supplierHeaders(body: string | Buffer, secret: string, at = Date.now()): Record<string, string> {
  return standardWebhookHeaders(secret, 'msg_test', Math.floor(at / 1000), body.toString());
}

let lastOrder = 5000;

/** An order as WooCommerce writes it, with an id that no other test has. Nobody delivers it, so nothing more comes of it. */
export function wooOrder(changes: Record<string, unknown> = {}): Record<string, unknown> {
  lastOrder += 1;
  const address = {
    first_name: 'Sam',
    last_name: 'Sample',
    address_1: 'Example Street 1',
    city: 'Exampleton',
    postcode: '10001',
    country: 'DE',
  };
  return {
    id: lastOrder,
    number: String(lastOrder),
    status: 'processing',
    currency: 'EUR',
    date_created_gmt: '2026-11-22T10:00:00',
    date_modified_gmt: '2026-11-22T10:00:00',
    total: '12.90',
    total_tax: '0.00',
    shipping_total: '0.00',
    customer_id: 0,
    billing: { ...address, email: 'sam@customer.example' },
    shipping: address,
    line_items: [wooLine()],
    ...changes,
  };
}

export function wooLine(changes: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    id: 1,
    name: 'Riesling',
    sku: 'NOT-SOLD',
    quantity: 1,
    total: '12.90',
    subtotal: '12.90',
    total_tax: '0.00',
    price: 12.9,
    ...changes,
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  const { port } = await new Promise<AddressInfo>((resolve) =>
    server.listen(0, '127.0.0.1', () => resolve(server.address() as AddressInfo)),
  );
  await new Promise((resolve) => server.close(resolve));
  return port;
}
