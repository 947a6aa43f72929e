import { setTimeout as delay } from 'node:timers/promises';
import type { Node, NodeAPI } from 'node-red';
import should from 'should';
import { clearStatus, showStatus, timed, translated } from '../../nodes/status.ts';

function fakeNode() {
  const shown: { at: number; text: string }[] = [];
  const node = {
    status: (status: { text?: string }) => void shown.push({ at: Date.now(), text: status.text ?? '' }),
  } as unknown as Node;
  return { node, texts: () => shown.map(({ text }) => text), shown };
}

describe('the text under a node', () => {
  it('stands there at once', () => {
    const { node, texts } = fakeNode();
    showStatus(node, { text: 'done' });
    should(texts()).deepEqual(['done']);
  });

  it('is sent at most about four times a second under load, and the last one stands there in the end', async () => {
    const { node, shown, texts } = fakeNode();
    const end = Date.now() + 1100;
    let count = 0;
    while (Date.now() < end) {
      for (let each = 0; each < 50; each += 1) {
        showStatus(node, { text: 'working' }, true);
        showStatus(node, { text: `done ${(count += 1)}` });
      }
      await delay(1);
    }
    showStatus(node, { text: 'the last' });
    await delay(400);
    should(count).be.above(1000);
    should(shown.length).be.within(3, 7);
    should(texts().at(-1)).equal('the last');
    shown.slice(1).forEach(({ at }, index) => should(at - shown[index]!.at).be.aboveOrEqual(240));
  });

  it('is not sent again when it stands there already', async () => {
    const { node, texts } = fakeNode();
    for (let each = 0; each < 3; each += 1) {
      showStatus(node, { text: 'done' });
      await delay(300);
    }
    should(texts()).deepEqual(['done']);
  });

  it('says that a step works only when the step takes its time', async () => {
    const { node, texts } = fakeNode();
    showStatus(node, { text: 'working' }, true);
    showStatus(node, { text: 'done' });
    await delay(400);
    showStatus(node, { text: 'working' }, true);
    await delay(600);
    showStatus(node, { text: 'done again' });
    should(texts()).deepEqual(['done', 'working', 'done again']);
  });

  it('goes with the node, and nothing comes after it', async () => {
    const { node, texts } = fakeNode();
    showStatus(node, { text: 'done' });
    showStatus(node, { text: 'too late' });
    clearStatus(node);
    await delay(400);
    should(texts()).deepEqual(['done', '']);
  });

  it('names the time of day', () => {
    const RED = { _: (key: string, { time }: { time: string }) => `${key} ${time}` } as unknown as NodeAPI;
    should(timed(RED, 'done', new Date(2026, 10, 23, 4, 5, 59).getTime())()).equal('done 04:05');
  });

  it('is looked up in the catalogue once for each thing that it says', () => {
    const asked: number[] = [];
    const RED = {
      _: (_key: string, { count }: { count: number }) => {
        asked.push(count);
        return `working on ${count}`;
      },
    } as unknown as NodeAPI;
    const texts = [2, 3, 2, 2].map((count) => translated(RED, 'status.working-on', { count }));
    should(texts).deepEqual(['working on 2', 'working on 3', 'working on 2', 'working on 2']);
    should(asked).deepEqual([2, 3]);
  });

  it('is looked up again while the catalogue is not there yet', () => {
    let loaded = false;
    const RED = { _: (key: string) => (loaded ? 'Fertig' : key) } as unknown as NodeAPI;
    should(translated(RED, 'status.done', { time: '04:05' })).equal('status.done');
    loaded = true;
    should(translated(RED, 'status.done', { time: '04:05' })).equal('Fertig');
  });
});
