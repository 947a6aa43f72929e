/**
 * Builds what Node-RED loads: `node scripts/build.ts [--strict]`.
 *
 *   dist/       the runtime, one `.js` per `.ts`; per node its editor page, locales and icon; the desk's page
 *   resources/  the editor code that all nodes share, and the examples of API options
 *   examples/   what the Import menu offers, from flows/
 *
 * With `--strict` (packing, CI) a node folder with a missing part or a missing entry in package.json fails the build;
 * without it, it is named and left out.
 */
import { spawn } from 'node:child_process';
import { cpSync, existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  assertPlainScript,
  editorHtml,
  iconsOf,
  mergeCatalogues,
  optionExamples,
  withPartials,
  type Catalogue,
} from './editor-html.ts';
import { exampleOf, printExample, type FlowNode } from './examples.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const strict = process.argv.includes('--strict');
const at = (...parts: string[]): string => join(root, ...parts);

try {
  await build();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

async function build(): Promise<void> {
  for (const made of ['dist', '.build', 'resources']) rmSync(at(made), { recursive: true, force: true });
  const projects = ['tsconfig.build.json', 'tsconfig.editor.json', 'desk/tsconfig.json'];
  const faults = (await Promise.all(projects.map(compile))).join('');
  if (strict && faults) throw new Error(faults);
  copyAssets();
  buildDesk();
  buildSharedEditor();
  buildOptionExamples();
  const types = nodeTypes().filter(isComplete);
  for (const type of types) buildNode(type);
  checkManifest(types);
  buildExamples();
  // What could be built is there to try out, but nobody takes it for sound.
  if (faults) throw new Error(faults);
}

/** The compiler's complaints, or nothing. It emits in spite of them. */
async function compile(project: string): Promise<string> {
  const tsc = at('node_modules', 'typescript', 'bin', 'tsc');
  const child = spawn(process.execPath, [tsc, '-p', at(project), '--pretty', 'false'], { cwd: root });
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  child.stderr.on('data', (chunk) => (output += chunk));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  return code === 0 ? '' : `${output.trim()}\n${project} does not compile.\n`;
}

/** What stands beside the code and is read at run time (pages, SQL, schemas); tsc copies nothing. */
function copyAssets(): void {
  const files = globSync('{orders,ledger,partners}/**/*.*', { cwd: root });
  for (const file of files.filter((name) => !/\.(ts|md)$/.test(name))) cpSync(at(file), at('dist', file));
}

/** The desk runs in browsers: what it needs of the domain are types only, so its own files are all of it. */
function buildDesk(): void {
  for (const file of globSync('desk/*.js', { cwd: at('.build/desk') }))
    cpSync(at('.build/desk', file), at('dist', file));
  for (const file of globSync('desk/{*.{html,css,svg},locales/*.json}', { cwd: root }))
    cpSync(at(file), at('dist', file));
}

function buildSharedEditor(): void {
  const script = read('.build/editor/nodes/dropship.editor.js');
  assertPlainScript('all nodes', script);
  write('resources/dropship-editor.js', script);
}

/** What "Start from the example" offers is what the documentation explains and its tests run. */
function buildOptionExamples(): void {
  const examples = optionExamples(read('docs/generic-rest.md'));
  for (const [type, text] of Object.entries(examples)) write(`resources/options-${type}.json`, text);
}

function nodeTypes(): string[] {
  return globSync('nodes/*/*.{ts,html}', { cwd: root })
    .map((file) => basename(dirname(file)))
    .filter((type, index, all) => all.indexOf(type) === index && partsOf(type).some((part) => existsSync(at(part))))
    .sort();
}

function partsOf(type: string): string[] {
  const names = [
    `${type}.ts`,
    `${type}.editor.ts`,
    `${type}.html`,
    `locales/en-US/${type}.json`,
    `locales/en-US/${type}.html`,
  ];
  return names.map((name) => `nodes/${type}/${name}`);
}

function isComplete(type: string): boolean {
  const missing = partsOf(type).filter((part) => !existsSync(at(part)));
  if (missing.length > 0) complain(`The node ${type} is left out: ${missing.join(', ')} is missing.`);
  return missing.length === 0;
}

function buildNode(type: string): void {
  const script = read(`.build/editor/nodes/${type}/${type}.editor.js`);
  const template = withPartials(read(`nodes/${type}/${type}.html`), (name) => read(`nodes/partials/${name}.html`));
  write(`dist/nodes/${type}/${type}.html`, editorHtml(type, script, template));
  for (const icon of iconsOf(script)) {
    if (!existsSync(at('icons', icon)))
      throw new Error(`The node ${type} names the icon ${icon}, which is not in icons/.`);
    cpSync(at('icons', icon), at('dist/nodes', type, 'icons', icon));
  }
  for (const file of globSync(`nodes/${type}/locales/*/*`, { cwd: root })) {
    const language = basename(dirname(file));
    if (file.endsWith('.json'))
      write(`dist/${file}`, JSON.stringify(mergeCatalogues(sharedTexts(language), catalogue(file))));
    else cpSync(at(file), at('dist', file));
  }
}

function sharedTexts(language: string): Catalogue {
  const file = `nodes/locales/${language}/shared.json`;
  return existsSync(at(file)) ? catalogue(file) : {};
}

/** Node-RED loads what package.json lists and nothing else. */
function checkManifest(types: string[]): void {
  const manifest = JSON.parse(read('package.json')) as { 'node-red'?: { nodes?: Record<string, string> } };
  const listed = manifest['node-red']?.nodes ?? {};
  for (const type of types) {
    const expected = `dist/nodes/${type}/${type}.js`;
    if (listed[type] !== expected)
      complain(`package.json does not list "${type}": "${expected}" under node-red.nodes.`);
  }
  for (const type of Object.keys(listed)) {
    if (!types.includes(type)) complain(`package.json lists the node ${type}, which was not built.`);
  }
}

function buildExamples(): void {
  const partnersFile = 'flows/partners.json';
  const flows = globSync('flows/{*,small/*}.json', { cwd: root }).filter((file) => file !== partnersFile);
  if (flows.length === 0) return;
  rmSync(at('examples'), { recursive: true, force: true });
  const partners = existsSync(at(partnersFile)) ? flow(partnersFile) : [];
  for (const file of flows) write(file.replace(/^flows/, 'examples'), printExample(exampleOf(flow(file), partners)));
}

function catalogue(file: string): Catalogue {
  return parse<Catalogue>(file);
}

function flow(file: string): FlowNode[] {
  return parse<FlowNode[]>(file);
}

function parse<T>(file: string): T {
  try {
    return JSON.parse(read(file)) as T;
  } catch (cause) {
    throw new Error(`${file} is not valid JSON: ${String(cause)}`, { cause });
  }
}

function read(file: string): string {
  return readFileSync(at(file), 'utf8');
}

function write(file: string, text: string): void {
  mkdirSync(dirname(at(file)), { recursive: true });
  writeFileSync(at(file), text);
}

function complain(message: string): void {
  if (strict) throw new Error(message);
  console.warn(message);
}
