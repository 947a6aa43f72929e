import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What stands before several Node-REDs and hands each request to the next one that is there, as a load balancer does. */
export interface Balancer {
  url: string;
  close(): Promise<void>;
}

/** Milliseconds until one that took the request and does not answer is given up. Longer than a sender's patience would only hide it. */
const PATIENCE = 5000;

/**
 * @param ports where they listen on the loopback interface. One that refuses the connection is passed over; a request that one has
 * taken and not answered is not given to another: its sender hears 502 or 504 and decides
 */
export async function openBalancer(ports: readonly number[]): Promise<Balancer> {
  let turn = 0;
  const server = createServer((incoming, outgoing) => {
    turn += 1;
    const order = ports.map((_, index) => ports[(turn + index) % ports.length]!);
    readAll(incoming).then(
      (body) => hand(incoming, body, order, outgoing),
      () => outgoing.destroy(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function hand(incoming: IncomingMessage, body: Buffer, ports: readonly number[], outgoing: ServerResponse): void {
  const [port, ...others] = ports;
  if (port === undefined) return void outgoing.writeHead(503).end();
  const passed = request(
    {
      host: '127.0.0.1',
      port,
      method: incoming.method,
      path: incoming.url,
      headers: incoming.headers,
      agent: false,
      timeout: PATIENCE,
    },
    (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      // Headers have gone out: all that can be told of a line that breaks now is to break the other one.
      answer.on('error', () => outgoing.destroy()).pipe(outgoing);
    },
  );
  let late = false;
  passed.on('timeout', () => {
    late = true;
    passed.destroy();
  });
  passed.on('error', (error: NodeJS.ErrnoException) => {
    if (outgoing.headersSent) return void outgoing.destroy();
    if (error.code === 'ECONNREFUSED') return hand(incoming, body, others, outgoing);
    outgoing.writeHead(late ? 504 : 502).end();
  });
  passed.end(body);
}

async function readAll(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
