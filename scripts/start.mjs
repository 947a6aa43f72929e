/** `npm start`: installs and builds what is missing, then runs the demo on the Node.js that the project brings along. */
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { node, setUp } from './setup.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

setUp();
const demo = spawn(
  node,
  ['--disable-warning=ExperimentalWarning', join(root, 'scripts', 'demo.ts'), ...process.argv.slice(2)],
  {
    cwd: root,
    stdio: 'inherit',
  },
);
// The terminal sends its signals to the whole group; the demo ends what it started, and this process ends with it.
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => demo.kill(signal));
demo.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 1)));
