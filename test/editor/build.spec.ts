import { globSync } from 'node:fs';
import should from 'should';
import { assertPlainScript, editorHtml, iconsOf, mergeCatalogues, optionExamples } from '../../scripts/editor-html.ts';
import { exampleOf, printExample, type FlowNode } from '../../scripts/examples.ts';
import { read, ROOT } from './definitions.ts';

describe("a node's editor page", () => {
  const page = editorHtml(
    'supplier',
    "{ RED.nodes.registerType('supplier', {}); }",
    '<script type="text/html"></script>',
  );

  it('loads the shared code before the own script, from a relative address', () => {
    should(page.indexOf('src="resources/@dropline/node-red-dropship/dropship-editor.js"')).be.above(0);
    should(page.indexOf('src="resources/')).be.below(page.indexOf('registerType'));
  });

  it('shows the scorecard the script and nothing else', () => {
    const scripts = [...page.matchAll(/<script.+?type=['"]text\/javascript['"].*?>([\S\s]*?)<\/script>/gi)];
    should(scripts.map((match) => match[1]?.trim())).deepEqual(["{ RED.nodes.registerType('supplier', {}); }"]);
  });

  it('is refused when the script is a module or would end the tag', () => {
    for (const line of [
      "import x from 'y';",
      'export const x = 1;',
      "const x = await import('y');",
      'const x = "</script>";',
    ]) {
      should(() => assertPlainScript('supplier', `{\n  ${line}\n}`)).throw(/plain script/);
    }
    should(() => assertPlainScript('supplier', "const important = 'exported';")).not.throw();
  });

  it('brings the icons that the script names', () => {
    should(iconsOf("icon: 'dropship-cart.svg',\n icon: 'dropship-cart.svg'")).deepEqual(['dropship-cart.svg']);
    should(iconsOf("icon: 'font-awesome/fa-cart'")).deepEqual([]);
  });
});

describe('the catalogue of a node', () => {
  it('has the shared texts, and its own first', () => {
    const merged = mergeCatalogues({ a: { x: 'shared', y: 'shared' }, b: 'shared' }, { a: { x: 'own' }, c: 'own' });
    should(merged).deepEqual({ a: { x: 'own', y: 'shared' }, b: 'shared', c: 'own' });
  });
});

describe('the example of API options', () => {
  it('is the one of the documentation, and valid JSON', () => {
    const examples = optionExamples(read('docs', 'generic-rest.md'));
    should(Object.keys(examples).sort()).deepEqual(['ecommerce-platform', 'erp-system', 'supplier']);
    for (const text of Object.values(examples)) should(JSON.parse(text)).have.property('operations');
  });

  it('cannot be lost silently', () => {
    should(() => optionExamples('```json erp\n{}\n```')).throw(/shop/);
  });
});

describe('an example flow', () => {
  const ledger = { id: 'l', type: 'dropship-ledger' };
  const shop = { id: 's', type: 'ecommerce-platform', ledger: 'l' };
  const erp = { id: 'e', type: 'erp-system' };
  const tab = { id: 't', type: 'tab' };
  const receive = { id: 'r', type: 'ecommerce-receive', z: 't', platform: 's' };

  it('brings the config nodes that it names, directly or through each other, and no others', () => {
    should(exampleOf([tab, receive], [ledger, shop, erp])).deepEqual([tab, receive, ledger, shop]);
  });

  it('has each node once, also when it brings a config node itself', () => {
    should(exampleOf([tab, receive, shop], [ledger, shop])).deepEqual([tab, receive, shop, ledger]);
    should(exampleOf([receive, { ...receive, id: 'r2' }], [shop, ledger])).deepEqual([
      receive,
      { ...receive, id: 'r2' },
      shop,
      ledger,
    ]);
  });

  it('of this package is made from flows/ (run the build after a change)', () => {
    const flowOf = (...path: string[]) => JSON.parse(read(...path)) as FlowNode[];
    const partners = flowOf('flows', 'partners.json');
    for (const file of globSync('examples/**/*.json', { cwd: ROOT })) {
      const flow = flowOf(file.replace(/^examples/, 'flows'));
      should(read(file)).equal(printExample(exampleOf(flow, partners)), file);
    }
  });

  it('is printed for people to read', () => {
    should(printExample([tab])).equal('[\n  {\n    "id": "t",\n    "type": "tab"\n  }\n]\n');
  });
});
