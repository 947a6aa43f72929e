import { globSync } from 'node:fs';
import should from 'should';
import type { FlowNode } from '../../scripts/examples.ts';
import { ALL_NODES, definitionOf, editedNode, read, ROOT } from './definitions.ts';

/** What Node-RED itself writes beside a node's own properties. */
const BY_NODE_RED = ['id', 'type', 'z', 'x', 'y', 'wires', 'g', 'd', 'l', 'info'];

const partners = JSON.parse(read('flows', 'partners.json')) as FlowNode[];

describe('a shipped flow in the editor', () => {
  for (const file of globSync('flows/**/*.json', { cwd: ROOT })) {
    it(`${file} has exactly the properties that its nodes have, all valid`, () => {
      for (const node of (JSON.parse(read(file)) as FlowNode[]).filter(({ type }) => ALL_NODES.includes(type))) {
        const { defaults } = definitionOf(node.type, partners);
        const own = Object.keys(node).filter((name) => !BY_NODE_RED.includes(name));
        should(own.sort()).deepEqual(Object.keys(defaults).sort(), `${node.type} ${node.id}`);
        for (const [name, { required, validate }] of Object.entries(defaults)) {
          const where = `${node.type} ${node.id} ${name}`;
          if (required) should(Boolean(node[name])).equal(true, where);
          if (validate && !/^\$\{\w+\}$/.test(String(node[name]))) {
            should(validate.call(editedNode(node.type, node), node[name], {})).equal(true, where);
          }
        }
      }
    });
  }
});
