import { globSync, readFileSync } from 'node:fs';
import should from 'should';
import { exampleOf, type FlowNode } from '../../scripts/examples.ts';
import { until } from './harness.ts';
import { startReal, type Real } from './real.ts';

const ROOT = new URL('../../', import.meta.url);
const read = (file: string) => JSON.parse(readFileSync(new URL(file, ROOT), 'utf8')) as FlowNode[];
const FLOWS = globSync('flows/{*,small/*}.json', { cwd: ROOT }).filter((file) => file !== 'flows/partners.json');
const SMALL = FLOWS.filter((file) => file.startsWith('flows/small/'));

const { 'node-red': registered } = JSON.parse(readFileSync(new URL('package.json', ROOT), 'utf8')) as {
  'node-red': { nodes: Record<string, string> };
};

describe('the examples', () => {
  let real: Real;
  before(async () => {
    real = await startReal({ deployed: false });
  });
  after(() => real.close());

  it('show every node at least once', () => {
    const shown = new Set([...FLOWS, 'flows/partners.json'].flatMap(read).map(({ type }) => type));
    should(Object.keys(registered.nodes).filter((type) => !shown.has(type))).deepEqual([]);
  });

  it('have ids of their own, so that they can be imported side by side', () => {
    const ids = FLOWS.flatMap(read).map(({ id }) => id);
    should(ids.filter((id, index) => ids.indexOf(id) !== index)).deepEqual([]);
  });

  for (const file of SMALL) {
    it(`${file} begins with an explanation, wires to what it has, and runs as it is imported`, async () => {
      const flow = read(file);
      should(flow[0]?.type).equal('tab');
      should(String(flow[0]?.['info'])).match(/\.$/);
      should(flow[1]?.type).equal('comment');
      const ids = new Set(flow.map(({ id }) => id));
      for (const { wires } of flow)
        for (const id of ((wires ?? []) as string[][]).flat()) should(ids.has(id)).be.true(id);
      // As the Import menu has it, with the partners that it names at the sandbox.
      const partners = real.flows().filter((node) => !('z' in node) && node.type !== 'tab');
      const before = real.log().length;
      await real.red.deploy(exampleOf(flow, partners));
      const log = await until(
        'the start',
        () => /Started (modified )?flows/i.test(real.log().slice(before)) && real.log().slice(before),
      );
      should(log).not.match(/missing type|\[error\]|Unknown|not installed/i);
    });
  }
});
