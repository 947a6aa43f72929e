import { globSync, readFileSync } from 'node:fs';
import { join, normalize } from 'node:path';
import should from 'should';
import { manifest, ROOT } from './package.ts';

/** What a folder may use of the others: their code, or only their types, which leave no trace in what runs. */
const DIRECTION: Record<string, { code: string[]; types: string[] }> = {
  orders: { code: [], types: [] },
  partners: { code: ['orders'], types: [] },
  ledger: { code: ['orders'], types: ['partners'] },
  nodes: { code: ['orders', 'ledger', 'partners'], types: [] },
  desk: { code: ['orders', 'ledger', 'partners'], types: [] },
  // The other side: sharing code with an adapter would be sharing its mistakes.
  sandbox: { code: [], types: ['orders', 'ledger', 'partners', 'nodes'] },
};

/** Only the face knows that Node-RED exists, and only its types: the runtime hands itself in as `RED`. */
const SEES_NODE_RED = ['nodes', 'desk'];

interface Import {
  from: string;
  typeOnly: boolean;
}

function importsOf(source: string): Import[] {
  const imports = source.matchAll(/^import\s+(type\s)?(?:[\w\s{},*$]*\sfrom\s+)?['"]([^'"]+)['"]/gm);
  const exports = source.matchAll(/^export\s+(type\s)?[\w\s{},*$]*\sfrom\s+['"]([^'"]+)['"]/gm);
  const calls = source.matchAll(/\b(?:import|require)\(\s*['"]([^'"]+)['"]/g);
  return [
    ...[...imports, ...exports].map(([, type, from = '']) => ({ from, typeOnly: type !== undefined })),
    ...[...calls].map(([, from = '']) => ({ from, typeOnly: false })),
  ];
}

/** The imports of one file that point the wrong way, in words. `file` is relative to the project. */
function wrongWay(file: string, source: string): string[] {
  const folder = file.slice(0, file.indexOf('/'));
  const { code, types } = DIRECTION[folder]!;
  const isAllowed = ({ from, typeOnly }: Import): boolean => {
    if (from.startsWith('.')) {
      const target = normalize(join(file, '..', from)).split('/')[0]!;
      return target === folder || code.includes(target) || (typeOnly && types.includes(target));
    }
    if (from.startsWith('node:')) return true;
    if (from === 'node-red') return typeOnly && SEES_NODE_RED.includes(folder);
    if (folder === 'orders') return false;
    const packageName = from.split('/', from.startsWith('@') ? 2 : 1).join('/');
    const installed = { ...manifest.dependencies, ...manifest.optionalDependencies, ...manifest.peerDependencies };
    return packageName in (folder === 'sandbox' ? manifest.devDependencies : installed);
  };
  return importsOf(source)
    .filter((each) => !isAllowed(each))
    .map(({ from }) => `${file} imports ${from}`);
}

describe('imports point one way', () => {
  for (const folder of Object.keys(DIRECTION)) {
    it(`in ${folder}`, () => {
      const files = globSync(`${folder}/**/*.ts`, { cwd: ROOT });
      should(files.flatMap((file) => wrongWay(file, readFileSync(join(ROOT, file), 'utf8')))).deepEqual([]);
    });
  }

  it('and the check sees an import in each form that it can have', () => {
    const forms = [
      "import { a } from '../ledger/core.ts';",
      "import {\n  a,\n  b,\n} from '../ledger/core.ts';",
      "import type { A } from '../ledger/core.ts';",
      "import '../ledger/core.ts';",
      "export * from '../ledger/core.ts';",
      "export type { A } from '../ledger/core.ts';",
      "const { a } = await import('../ledger/core.ts');",
      "const a = require('../ledger/core.ts');",
    ];
    for (const form of forms) {
      should(wrongWay('orders/order.ts', form)).deepEqual(['orders/order.ts imports ../ledger/core.ts'], form);
    }
    should(wrongWay('partners/erp/odoo.ts', "import axios from 'axios';\nimport { a } from '../http.ts';")).deepEqual(
      [],
    );
    should(wrongWay('partners/erp/odoo.ts', "import fc from 'fast-check';")).have.length(1);
    should(wrongWay('ledger/core.ts', "import type { NodeAPI } from 'node-red';")).have.length(1);
    should(wrongWay('sandbox/shop.ts', "import { decimal } from '../orders/money.ts';")).have.length(1);
    should(wrongWay('sandbox/shop.ts', "import type { Money } from '../orders/money.ts';")).deepEqual([]);
  });
});
