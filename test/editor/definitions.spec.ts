import should from 'should';
import {
  ALL_NODES,
  catalogueOf,
  CONFIG_NODES,
  definitionOf,
  editedNode,
  FLOW_NODES,
  helpOf,
  isThere,
  read,
  scriptOf,
  templateOf,
  textAt,
} from './definitions.ts';

/** Properties that a script of ours shows and saves, because one input cannot hold them. */
const HANDLED: Record<string, string[]> = {
  'ecommerce-platform': ['options'],
  'erp-system': ['options'],
  supplier: ['options'],
  'bank-account': ['options'],
  'supplier-route': ['offers', 'rules'],
};

/** Names that Node-RED keeps for itself (editor-client, `js/nodes.js`), besides single letters. */
const RESERVED = [
  'id',
  'type',
  'wires',
  'inputs',
  'outputs',
  'users',
  'valid',
  'changed',
  'dirty',
  'moved',
  'selected',
];

const COLOUR = /#[0-9a-f]{3,8}\b|\b(rgb|hsl)a?\(/i;

function matches(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map((match) => match[1] ?? '');
}

describe('the editor of each node', () => {
  for (const type of ALL_NODES) {
    describe(type, () => {
      const isConfig = CONFIG_NODES.includes(type);
      const prefix = isConfig ? 'node-config-input' : 'node-input';

      it('has an editor, a template, a help and a catalogue of its own name', () => {
        for (const file of [
          `${type}.editor.ts`,
          `${type}.html`,
          `locales/en-US/${type}.html`,
          `locales/en-US/${type}.json`,
        ]) {
          should(isThere('nodes', type, file)).equal(true, file);
        }
        should(templateOf(type)).startWith(`<script type="text/html" data-template-name="${type}">`);
        should(helpOf(type)).startWith(`<script type="text/html" data-help-name="${type}">`);
      });

      it('registers one type with literals, as the Node-RED scorecard reads them', () => {
        const script = scriptOf(type);
        const definition = definitionOf(type);
        should(matches(script, /RED\.nodes\.registerType\s*\(\s*'([^']+)',\s*\{/g)).deepEqual([type]);
        for (const name of ['category', 'color', 'icon', 'inputs', 'outputs'] as const) {
          if (definition[name] === undefined) continue;
          const literal = typeof definition[name] === 'number' ? `${definition[name]}` : `'${definition[name]}'`;
          should(matches(script, new RegExp(`^ {4,6}${name}: (.+),$`, 'gm'))).deepEqual([literal], name);
        }
        should(script).match(/^ {4,6}defaults: \{$/m);
      });

      it('stands in the right category with colour, icon and ports', () => {
        const definition = definitionOf(type);
        should(definition.category).equal(isConfig ? 'config' : 'drop shipping');
        if (isConfig) return;
        should(definition.color).match(/^#[0-9A-F]{6}$/);
        should(definition.icon).match(/^dropship-[a-z-]+\.svg$/);
        should(isThere('icons', String(definition.icon))).equal(true, definition.icon);
        should(definition.inputs).equal(1);
      });

      it('keeps away from names that Node-RED uses itself', () => {
        for (const name of Object.keys(definitionOf(type).defaults)) {
          should(RESERVED.includes(name) || name.length === 1).equal(false, name);
        }
      });

      it('has an input for every property and secret, and none for others', () => {
        const { defaults, credentials = {} } = definitionOf(type);
        const inputs = matches(
          templateOf(type),
          new RegExp(`<(?:input|select|textarea)[^>]*id="${prefix}-(\\w+)"`, 'g'),
        );
        const expected = [...Object.keys(defaults), ...Object.keys(credentials)];
        should([...inputs, ...(HANDLED[type] ?? [])].sort()).deepEqual(expected.sort());
      });

      it('offers every choice that is its default', () => {
        const { defaults } = definitionOf(type);
        for (const [, name = '', choices = ''] of templateOf(type).matchAll(
          /<select[^>]*id="[\w-]+-input-(\w+)"[^>]*>(.*?)<\/select>/gs,
        )) {
          should(matches(choices, /value="([^"]*)"/g)).containEql(String(defaults[name]?.value));
        }
      });

      it('starts valid but for what a person must enter', () => {
        const { defaults } = definitionOf(type);
        const fresh = editedNode(
          type,
          Object.fromEntries(Object.entries(defaults).map(([name, { value }]) => [name, value])),
        );
        for (const [name, { value, validate }] of Object.entries(defaults)) {
          if (!validate || ['reference', 'baseUrl'].includes(name) || (type === 'bank-account' && name === 'options'))
            continue;
          should(validate.call(fresh, value, {})).equal(true, name);
        }
      });

      it('gives reasons: every validator has the two parameters that Node-RED asks for', () => {
        for (const [name, { validate }] of Object.entries(definitionOf(type).defaults)) {
          if (validate) should(validate.length).equal(2, name);
        }
      });

      it('sends every secret as a password: a text would be readable in the editor', () => {
        for (const [name, { type: kind }] of Object.entries(definitionOf(type).credentials ?? {})) {
          should(kind).equal(name === 'user' ? 'text' : 'password', name);
        }
        const secrets = Object.keys(definitionOf(type).credentials ?? {}).filter((name) => name !== 'user');
        for (const secret of secrets)
          should(templateOf(type)).match(new RegExp(`<input[^>]*type="password"[^>]*id="${prefix}-${secret}"`));
      });

      it('has a text for every label, hint and message that it names', () => {
        const catalogue = catalogueOf(type);
        const inTemplate = matches(templateOf(type), /data-i18n="([^"]+)"/g).flatMap((keys) => keys.split(';'));
        const inScript = matches(scriptOf(type), /\b_\('([^']+)'/g);
        for (const key of [...inTemplate.map((each) => each.replace(/^\[[\w-]+\]/, '')), ...inScript]) {
          should(textAt(catalogue, key)).be.a.String().and.not.equal('', key);
        }
      });

      it('shows no text that is not in the catalogue', () => {
        const visible = templateOf(type)
          .replace(/<option value="pain[^>]*>[^<]*/g, '')
          .replace(/<[^>]*>/g, '')
          .trim();
        should(visible).equal('');
      });

      it('has names for itself and all its ports', () => {
        const definition = definitionOf(type);
        const node = editedNode(type, { name: '', strategy: 'cheapest', condition: 'shipped' });
        should(definition.label.call(node)).be.a.String().and.not.equal('');
        if (isConfig) return;
        should(definition.label.call({ ...node, name: 'Mine' })).equal('Mine');
        should(definition.paletteLabel?.call(node)).be.a.String().and.not.equal('');
        should(definition.inputLabels?.call(node)).be.a.String().and.not.equal('');
        for (let port = 0; port < (definition.outputs ?? 0); port++) {
          should(definition.outputLabels?.call(node, port))
            .be.a.String()
            .and.not.equal('', `output ${port + 1}`);
        }
      });

      it('leaves colours to the theme', () => {
        should(templateOf(type)).not.match(COLOUR);
        should(helpOf(type)).not.match(COLOUR);
        should(templateOf(type)).not.match(/style="/);
      });

      it('has a help in the form of the style guide', () => {
        const help = helpOf(type);
        should(help).match(/^<script[^>]*>\s*<p>/);
        const headings = matches(help, /<h3>(\w+)<\/h3>/g);
        should(headings).deepEqual(
          isConfig ? ['Properties', 'Details', 'References'] : ['Inputs', 'Outputs', 'Details', 'References'],
        );
        should(help).not.match(/<(b|strong|i|em|h1|h2|h4)>/);
        const outputs = definitionOf(type).outputs ?? 0;
        const ports = help.match(/<ol class="node-ports">(.*?)<\/ol>/s)?.[1];
        should(ports ? matches(ports, /<li>\s*(\S)/g).length : Math.min(outputs, 1)).equal(outputs);
        if (!isConfig) should(/<p>Example.*?<pre>|<p>What is added.*?<pre>/s.test(help)).equal(true, 'an example');
      });
    });
  }

  it('has no folder of a node that this list lacks', () => {
    const listed = new Set(ALL_NODES);
    const manifest = JSON.parse(read('package.json')) as { 'node-red'?: { nodes?: Record<string, string> } };
    for (const type of Object.keys(manifest['node-red']?.nodes ?? {})) should(listed.has(type)).equal(true, type);
    should(FLOW_NODES.length).equal(16);
  });
});

describe('the shared editor code', () => {
  it('leaves colours to the theme', () => {
    should(read('nodes', 'dropship.editor.ts')).not.match(COLOUR);
  });

  it('has a text for every message that it names', () => {
    const catalogue = catalogueOf('dropship-ledger');
    const keys = matches(read('nodes', 'dropship.editor.ts'), /'(dropship\.[\w.]+)'/g);
    should(keys.length).be.above(20);
    for (const key of keys) should(textAt(catalogue, key)).be.a.String();
  });

  it('names the palette category in words, in every catalogue', () => {
    for (const type of FLOW_NODES)
      should(textAt(catalogueOf(type), 'palette.label.drop_shipping')).equal('drop shipping');
  });

  it('translates every status that a node shows', () => {
    const catalogue = catalogueOf('dropship-ledger');
    for (const file of ['document-node.ts', 'receive-node.ts']) {
      if (!isThere('nodes', file)) continue;
      for (const key of matches(read('nodes', file), /'(status\.[\w.-]+)'/g)) {
        should(textAt(catalogue, key)).be.a.String();
        // With what usually stands in it filled in.
        const values: Record<string, string> = { partner: 'shop', time: '14:05', count: '12' };
        const shown = String(textAt(catalogue, key)).replace(/__(\w+)__/, (_, name: string) => values[name]!);
        should(shown).match(/^(?!.*undefined).{1,19}$/);
      }
    }
  });
});

describe('the labels', () => {
  it('name the partner by its reference once it is chosen', () => {
    const definition = definitionOf('erp-create-po', [{ id: 'e1', type: 'erp-system', reference: 'main-erp' }]);
    should(definition.label.call(editedNode('erp-create-po', { name: '', erp: 'e1' }))).equal('PO in main-erp');
    should(definition.label.call(editedNode('erp-create-po', { name: '', erp: '' }))).equal('PO in the ERP');
  });

  it('of partners are their references', () => {
    const { label } = definitionOf('supplier');
    should(label.call(editedNode('supplier', { name: '', reference: 'vineyard' }))).equal('vineyard');
    should(label.call(editedNode('supplier', { name: 'Vineyard', reference: 'vineyard' }))).equal(
      'Vineyard (vineyard)',
    );
  });
});
