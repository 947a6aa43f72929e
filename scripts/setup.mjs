/**
 * Makes a fresh checkout ready, and does nothing when it is: installs what the lock file names, builds what has changed.
 * Plain JavaScript without dependencies, because it runs on the system's Node.js before anything is installed.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const say = (text) => process.stderr.write(`${text}\n`);

/** The Node.js that the project brings along, whatever the system has. */
export const node = join(root, 'node_modules', '.bin', 'node');

/** What the build reads. */
const SOURCES = [
  'orders',
  'ledger',
  'partners',
  'nodes',
  'desk',
  'flows',
  'icons',
  'scripts',
  'types.ts',
  'docs/generic-rest.md',
  'package.json',
  'tsconfig.base.json',
  'tsconfig.build.json',
  'tsconfig.editor.json',
];

export function setUp() {
  install();
  build();
}

function install() {
  if (isInstalled()) return;
  say('Installing packages (about a minute the first time) ...');
  const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error'];
  run('npm', args, 'The packages could not be installed. Check that the npm registry can be reached.');
}

/** Whether each package of the lock file is there in its version, by the list that npm keeps of what it has installed. */
function isInstalled() {
  const list = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(list) || !existsSync(node)) return false;
  const { packages: installed } = JSON.parse(readFileSync(list, 'utf8'));
  const { packages: locked } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  return Object.entries(locked).every(
    // Optional ones may be for another system. The empty path is the project itself.
    ([path, { version, optional }]) => path === '' || optional || installed[path]?.version === version,
  );
}

function build() {
  // Beside dist, because everything in dist is published.
  const built = join(root, '.build', 'built');
  const newest = Math.max(...SOURCES.map((source) => newestIn(join(root, source))));
  if (existsSync(built) && existsSync(join(root, 'dist')) && statSync(built).mtimeMs >= newest) return;
  say('Building ...');
  const begun = new Date();
  run(node, [join(root, 'scripts', 'build.ts')], 'The build failed; see the messages above.');
  writeFileSync(built, '');
  // What was edited during the build counts as not built.
  utimesSync(built, begun, begun);
}

/** A folder counts itself too: its time tells of a file that was removed. */
function newestIn(path) {
  if (!existsSync(path)) return 0;
  const state = statSync(path);
  if (!state.isDirectory()) return state.mtimeMs;
  return Math.max(state.mtimeMs, ...readdirSync(path).map((name) => newestIn(join(path, name))));
}

function run(command, args, explanation) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  if (error || status !== 0) {
    say(explanation);
    process.exit(1);
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) setUp();
