import { parse, type ExpressionStatement, type Expression, type ObjectExpression } from 'acorn';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import semver from 'semver';
import should from 'should';
import { manifest, pack, readJson, ROOT } from './package.ts';

/**
 * What flows.nodered.org checks of a package (https://nodered.org/docs/creating-nodes/packaging, the rules of node-red-dev),
 * as far as it can be checked offline, and what we promise beyond it.
 */
describe('the package on the scorecard of flows.nodered.org', () => {
  it('P01, P03, P04, P05: names its licence, its repository, its scope and its keyword', () => {
    should(manifest.license).equal('MIT');
    should(manifest.repository?.url).match(/^git\+https:\/\/.+\.git$/);
    should(manifest.bugs?.url).startWith('https://');
    should(manifest.name).match(/^@[a-z\d][\w.-]+\/[a-z\d][\w.-]*$/);
    should(manifest.keywords).containEql('node-red');
  });

  it('P06: declares both Node-RED lines that it is tested on', () => {
    for (const line of ['node-red', 'node-red-4']) {
      const { version } = readJson<{ version: string }>('node_modules', line, 'package.json');
      should(semver.satisfies(version, manifest['node-red'].version)).equal(true, `Node-RED ${version}`);
    }
  });

  it('P07: admits the oldest Node.js that Node-RED admits', () => {
    const { engines } = readJson<{ engines: { node: string } }>('node_modules', 'node-red', 'package.json');
    const oldest = semver.minVersion(engines.node)!;
    should(semver.satisfies(oldest, manifest.engines!.node)).equal(true, `Node.js ${oldest.version}`);
  });

  it('N01: defines each node in a way that the scorecard can read, and once', () => {
    const defined = Object.values(manifest['node-red'].nodes).map((file) => definedIn(file.replace('.js', '.html')));
    should(defined.map(({ type }) => type)).deepEqual(Object.keys(manifest['node-red'].nodes));
  });

  it('N02: shows each node in an example', () => {
    const shown = new Set(
      globSync('examples/**/*.json', { cwd: ROOT }).flatMap((file) =>
        readJson<{ type: string }[]>(file).map(({ type }) => type),
      ),
    );
    const nodes = Object.values(manifest['node-red'].nodes).map((file) => definedIn(file.replace('.js', '.html')));
    const missing = nodes.filter(({ type, category }) => category !== 'config' && !shown.has(type));
    should(missing.map(({ type }) => type)).deepEqual([]);
  });

  it('D01: has at most six dependencies', () => {
    should(Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies }).length).belowOrEqual(6);
  });
});

/** The node that an editor page defines: found, as the scorecard does, by parsing its inline script without running it. */
function definedIn(page: string): { type: string; category: string } {
  const html = readFileSync(join(ROOT, page), 'utf8');
  const script = /<script.+?type=['"]text\/javascript['"].*?>([\S\s]*?)<\/script>/i.exec(html)?.[1] ?? '';
  const { body } = parse(script, { ecmaVersion: 'latest' });
  const statements = body.flatMap((statement) => (statement.type === 'BlockStatement' ? statement.body : []));
  const call = statements
    .filter((statement): statement is ExpressionStatement => statement.type === 'ExpressionStatement')
    .map(({ expression }) => expression)
    .find((expression) => expression.type === 'CallExpression');
  if (!call) throw new Error(`${page} registers nothing.`);
  const [type, definition] = call.arguments as [Expression, ObjectExpression];
  should(definition.type).equal('ObjectExpression', `the definition in ${page}`);
  const value = (name: string) => {
    const property = definition.properties.find(
      (each) => each.type === 'Property' && each.key.type === 'Identifier' && each.key.name === name,
    );
    return property?.type === 'Property' ? property.value : undefined;
  };
  should(value('defaults')?.type).equal('ObjectExpression', `the defaults in ${page}`);
  const literal = (expression: Expression | undefined, what: string) => {
    if (expression?.type !== 'Literal') throw new Error(`${page}: ${what} is not a literal.`);
    return String(expression.value);
  };
  const category = literal(value('category'), 'the category');
  if (category !== 'config') {
    for (const name of ['color', 'icon', 'inputs', 'outputs']) literal(value(name), name);
  }
  return { type: literal(type, 'the type'), category };
}

describe('what is installed with the package', () => {
  interface Locked {
    dev?: boolean;
    license?: string;
    engines?: { node?: string };
    hasInstallScript?: boolean;
  }
  const runtime = Object.entries(readJson<{ packages: Record<string, Locked> }>('package-lock.json').packages)
    .filter(([path, { dev }]) => path !== '' && !dev)
    .map(([path, entry]) => ({ path, ...entry }));

  it('is the whole tree of its dependencies', () => {
    for (const name of Object.keys(manifest.dependencies)) {
      should(runtime.some(({ path }) => path === `node_modules/${name}`)).equal(true, name);
    }
  });

  it('runs no script on the machine of whoever installs it', () => {
    should(runtime.filter(({ hasInstallScript }) => hasInstallScript).map(({ path }) => path)).deepEqual([]);
    const { scripts } = readJson<{ scripts: Record<string, string> }>('package.json');
    should(Object.keys(scripts)).not.containEql('preinstall');
    should(Object.keys(scripts)).not.containEql('install');
    should(Object.keys(scripts)).not.containEql('postinstall');
  });

  it('has permissive licences only', () => {
    const permissive = /^\(?(MIT|ISC|BSD-2-Clause|BSD-3-Clause|0BSD|Apache-2\.0|BlueOak-1\.0\.0)( or .+)?\)?$/i;
    should(runtime.filter(({ license }) => !permissive.test(license ?? '')).map(({ path }) => path)).deepEqual([]);
  });

  it('runs on Node.js 22.9', () => {
    const narrow = runtime.filter(({ engines }) => engines?.node && !semver.satisfies('22.9.0', engines.node));
    should(narrow.map(({ path }) => path)).deepEqual([]);
  });
});

describe('the content of the package', () => {
  let files: string[];
  before(async () => {
    files = (await pack()).files.map(({ path }) => path).sort();
  });
  const isThere = (file: string) => should(files.includes(file)).equal(true, file);

  it('is what runs, what it is documented with, and nothing else', () => {
    const allowed = [
      /^dist\/(orders|ledger|partners|nodes|desk)\//,
      /^dist\/types\.(js|d\.ts)$/,
      /^examples\/([\w-]+\/)?[\w-]+\.json$/,
      /^(icons|resources)\/[\w-]+\.\w+$/,
      /^docs\/[\w-]+\.md$/,
      /^(package\.json|README\.md|CHANGELOG\.md|LICENSE)$/,
    ];
    should(files.filter((file) => !allowed.some((pattern) => pattern.test(file)))).deepEqual([]);
    should(files.filter((file) => /\.(map|spec\.js|editor\.(js|ts))$|(?<!\.d)\.ts$/.test(file))).deepEqual([]);
  });

  it('has all that a node needs: its code, its page, its help and its texts', () => {
    for (const [type, code] of Object.entries(manifest['node-red'].nodes)) {
      const folder = `dist/nodes/${type}`;
      const parts = [`${type}.html`, `locales/en-US/${type}.json`, `locales/en-US/${type}.html`];
      for (const file of [code, ...parts.map((part) => `${folder}/${part}`)]) isThere(file);
    }
    should(files.filter((file) => /^dist\/nodes\/[\w-]+\/icons\/[\w-]+\.svg$/.test(file)).length).be.above(10);
  });

  it('has the examples, the shared editor code, the types and the documents that npm shows', () => {
    for (const file of ['resources/dropship-editor.js', 'dist/types.d.ts', 'README.md', 'CHANGELOG.md', 'LICENSE']) {
      isThere(file);
    }
    should(files.filter((file) => file.startsWith('examples/')).length).be.above(2);
  });
});
