import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import should from 'should';
import { demoOrders } from '../../sandbox/catalogue.ts';
import { keys, PARTNERS, startSandbox, type Sandbox } from '../../sandbox/index.ts';
import { listenAsDropline, until } from './dropline.ts';

describe('sandbox', () => {
  let dropline: Awaited<ReturnType<typeof listenAsDropline>>;
  let folder: string;
  let sandbox: Sandbox | undefined;

  beforeEach(async () => {
    dropline = await listenAsDropline();
    folder = mkdtempSync(join(tmpdir(), 'sandbox-'));
  });

  afterEach(async () => {
    await sandbox?.close();
    sandbox = undefined;
    await dropline.close();
    rmSync(folder, { recursive: true });
  });

  it('serves every partner on a port of its own, and one effect log on all of them', async () => {
    sandbox = await startSandbox({ port: 0, dropline, speed: 20 });
    await placeOrder(sandbox.urls.shop);
    for (const name of PARTNERS) {
      const health = await fetch(`${sandbox.urls[name]}/__sandbox/health`);
      should(await health.json()).eql({ ok: true, partner: name });
      const effects = (await (await fetch(`${sandbox.urls[name]}/__sandbox/effects`)).json()) as {
        operation: string;
      }[];
      should(effects.map(({ operation }) => operation)).eql(['order.place']);
    }
    should(new Set(Object.values(sandbox.urls)).size).equal(PARTNERS.length);
    await until(
      () => dropline.received.some(({ path }) => path === '/dropship/orders/shop'),
      'the order webhook has arrived',
    );
  });

  it('every secret is obviously fake, and none is used twice', () => {
    const secrets = Object.values(keys).flatMap((each) => Object.values(each as Record<string, string>));
    should(new Set(secrets).size).equal(secrets.length);
    for (const secret of secrets) {
      const plain = secret.startsWith('whsec_') ? Buffer.from(secret.slice(6), 'base64').toString() : secret;
      should(plain).match(/sandbox/);
    }
  });

  it('a port that is taken is an error that leaves nothing running', async () => {
    // Outside the range from which the system gives out ports by itself.
    const port = 20_000 + (process.pid % 10_000);
    const other = createServer().listen(port + 1, '127.0.0.1');
    await once(other, 'listening');
    await should(startSandbox({ port, dropline })).be.rejectedWith({ code: 'EADDRINUSE' });
    const free = createServer().listen(port, '127.0.0.1');
    await once(free, 'listening');
    free.close();
    other.close();
  });

  it('as a command it says where everything is, and ends on SIGTERM with its state saved', async () => {
    const stateFile = join(folder, 'state.json');
    const env = { ...process.env, SANDBOX_PORT: '0', SANDBOX_STATE: stateFile, DROPLINE_URL: dropline.url };
    const command = spawn(process.execPath, ['sandbox/main.ts'], { env, stdio: ['ignore', 'pipe', 'inherit'] });
    let printed = '';
    command.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()));
    await until(() => printed.includes('Ctrl+C'), 'it has started');
    for (const name of PARTNERS) should(printed).match(new RegExp(`^${name} +http://127\\.0\\.0\\.1:\\d+$`, 'm'));
    should(printed).match(/sandbox-erp-api-key/);
    const shop = /^shop +(\S+)$/m.exec(printed)?.[1] ?? '';
    await placeOrder(shop);
    command.kill('SIGTERM');
    should((await once(command, 'exit'))[0]).equal(0);
    sandbox = await startSandbox({ port: 0, dropline, stateFile });
    should(sandbox.world.effects.map(({ operation }) => operation)).eql(['order.place']);
  });
});

async function placeOrder(shop: string): Promise<void> {
  const [order] = demoOrders;
  const body = { customer: order?.customer, country: order?.customer.country, lines: order?.lines };
  const answer = await fetch(`${shop}/__sandbox/shop/orders`, { method: 'POST', body: JSON.stringify(body) });
  should(answer.status).equal(201);
}
