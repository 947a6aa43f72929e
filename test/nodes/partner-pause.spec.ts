import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import should from 'should';
import { partnerById, type PartnerNode } from '../../nodes/configs.ts';
import { startBench, type Bench } from './harness.ts';

describe('the config node of a partner', () => {
  let bench: Bench;
  let server: Server;
  let isDown = false;
  let calls = 0;

  beforeEach(async () => {
    isDown = false;
    calls = 0;
    server = createServer((request, response) => {
      calls += 1;
      if (isDown) return void request.socket.destroy();
      response.setHeader('content-type', 'application/json').end('{"ok":true}');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    bench = await startBench();
  });
  afterEach(async () => {
    await bench.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  async function partner(options: Record<string, unknown>): Promise<PartnerNode> {
    const { port } = server.address() as AddressInfo;
    await bench.load([], { 'dl-prompt': { baseUrl: `http://127.0.0.1:${port}`, timeout: 1, options } });
    return partnerById('dl-prompt')!;
  }

  it('leaves a partner alone that is down, but a person who tests the connection reaches it, and ends the pause', async () => {
    const prompt = await partner({ maxConcurrent: 2 });
    isDown = true;
    const throughTheBreaker = () =>
      prompt
        .adapter()
        .testConnection()
        .catch((error: Error) => ({ ok: false, message: error.message }));
    for (let call = 0; call < 5; call += 1) should((await throughTheBreaker()).ok).be.false();
    should(prompt.httpState()).match({ open: true, running: 0, waiting: 0 });
    should(calls).equal(5);
    should((await throughTheBreaker()).message).match(/left alone/);
    should(calls).equal(5);

    should((await prompt.testConnection()).message).not.match(/left alone/);
    should(calls).equal(6);
    should(prompt.httpState()).match({ open: true });

    isDown = false;
    should((await prompt.testConnection()).ok).be.true();
    should(prompt.httpState()).match({ open: false });
    should((await throughTheBreaker()).ok).be.true();
  });

  it('says what is wrong with its most calls at a time', async () => {
    const prompt = await partner({ maxConcurrent: 'many' });
    should(() => prompt.adapter()).throw(/"maxConcurrent" of "prompt" must be a whole number from 1 to 256/);
    should(await prompt.testConnection()).match({ ok: false, message: /maxConcurrent/ });
  });
});
