/**
 * Makes a fresh checkout ready, and does nothing when it is: installs what the lock file names, builds what has changed.
 * Plain JavaScript without dependencies, because it runs on the system's Node.js before anything is installed.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const say = (text) => process.stderr.write(`${text}\n`);

export function setUp() {
  install();
  build();
}

function install() {
  const lock = createHash('sha256').update(readFileSync(join(root, 'package-lock.json'))).digest('hex');
  const stamp = join(root, 'node_modules', '.dropline-installed');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return;
  say('Installing packages (about a minute the first time) ...');
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], 'The packages could not be installed. Check that the npm registry can be reached.');
  writeFileSync(stamp, lock);
}

function build() {
  const built = join(root, 'dist', '.built');
  const sources = ['orders', 'ledger', 'partners', 'nodes', 'desk', 'flows', 'icons', 'scripts', 'package.json', 'tsconfig.json', 'types.ts'];
  const newest = Math.max(...sources.map((source) => newestIn(join(root, source))));
  if (existsSync(built) && statSync(built).mtimeMs >= newest) return;
  say('Building ...');
  run(join(root, 'node_modules', '.bin', 'node'), [join(root, 'scripts', 'build.ts')], 'The build failed; see the messages above.');
  writeFileSync(built, '');
}

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
