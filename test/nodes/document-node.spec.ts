import { createRequire } from 'node:module';
import type { Node, NodeAPI } from 'node-red';
import should from 'should';
import type { Ledger } from '../../ledger/ledger.ts';
import { runStep, type DropshipMessage, type Handed } from '../../nodes/document-node.ts';

const util = createRequire(import.meta.url)('@node-red/util') as { util: NodeAPI['util'] };

/** Runs a step that hands on what it is told to, and tells what the node sends, each message with its output. */
async function sentBy(msg: DropshipMessage, handed: Handed): Promise<{ port: number; message: DropshipMessage }[]> {
  const sent: { port: number; message: DropshipMessage }[] = [];
  const ledger = {
    core: { crashPoint: () => undefined },
    dispatcher: { started: () => undefined, ended: () => undefined },
  } as unknown as Ledger;
  const RED = { util: util.util, _: (key: string) => key } as unknown as NodeAPI;
  await runStep(
    RED,
    { type: 'a-node' } as Node,
    { id: 'n', type: 'a-node', name: '', z: '' },
    { accepts: ['question'], ledger: () => Promise.resolve(ledger), run: () => Promise.resolve(handed) },
    msg,
    (ports) =>
      ports.forEach((message, port) => {
        if (message) sent.push({ port, message: message as DropshipMessage });
      }),
    () => undefined,
  );
  return sent;
}

const question = (more: Record<string, unknown> = {}): DropshipMessage =>
  ({ _msgid: 'm', eventId: '7', orderId: 'shop-1', payload: { type: 'question' }, ...more }) as DropshipMessage;

describe('what a node sends', () => {
  it('is the message that came, with the document that it hands on', async () => {
    const msg = question({ note: { gift: true } });
    const [only, ...more] = await sentBy(msg, { type: 'answer' });
    should(more).be.empty();
    should(only?.port).equal(0);
    should(only?.message).equal(msg);
    should(msg.payload).deepEqual({ type: 'answer' });
  });

  it('leaves at the chosen output', async () => {
    should((await sentBy(question(), { port: 2, payload: { type: 'answer' } })).map(({ port }) => port)).deepEqual([2]);
  });

  it('is a message of its own for each document, so that a flow may change one and not the others', async () => {
    const answers = ['first', 'second', 'third'].map((type, index) => ({ port: index % 2, payload: { type } }));
    const sent = await sentBy(question({ note: { gift: true } }), answers);
    should(sent.map(({ port, message }) => [port, message.payload])).deepEqual([
      [0, { type: 'first' }],
      [1, { type: 'second' }],
      [0, { type: 'third' }],
    ]);
    const [first, ...others] = sent.map(({ message }) => message);
    (first!['note'] as { gift: boolean }).gift = false;
    for (const other of others) {
      should(other['note']).deepEqual({ gift: true });
      should([other._msgid, other.eventId, other.orderId]).deepEqual(['m', '7', 'shop-1']);
    }
  });

  it('keeps the request of "http in" on each message, and on the one that came', async () => {
    const req = { socket: {} };
    const sent = await sentBy(question({ req }), [
      { port: 0, payload: { type: 'first' } },
      { port: 0, payload: { type: 'second' } },
    ]);
    should(sent.map(({ message }) => message['req'] === req)).deepEqual([true, true]);
  });
});
