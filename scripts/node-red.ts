import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer, type AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { FlowNode } from './examples.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** Node.js keeps the compiled code of Node-RED here, which saves a fifth of the time that a start takes. Written when one ends in order. */
const compileCache = join(root, '.build', 'compile-cache');

export interface NodeRedOptions {
  userDir: string;
  port: number;
  /** Added to the environment. */
  env?: Record<string, string>;
  /** Further settings, as JavaScript source of object properties. */
  settings?: string;
  /** Path of Node-RED's `red.js`. Default: the one of the project. */
  red?: string;
  /** Where `settings` put the admin API (`httpAdminRoot`), such as `/admin`. */
  adminRoot?: string;
  /** Who deploys and asks, where `settings` have an `adminAuth`. */
  login?: { username: string; password: string };
  /** Whether the project itself is installed in the user directory. Default true. */
  link?: boolean;
}

export interface NodeRed {
  url: string;
  process: ChildProcess;
  /** Settles with the exit code or signal. */
  exited: Promise<number | string>;
  get<T = unknown>(path: string): Promise<T>;
  post<T = unknown>(path: string, body?: unknown): Promise<T>;
  deploy(flows: FlowNode[], type?: 'full' | 'flows' | 'nodes'): Promise<void>;
  /** In order (SIGTERM), by process id. */
  stop(): Promise<void>;
  /** SIGKILL. */
  kill(): Promise<void>;
}

/**
 * Starts a real Node-RED on the loopback interface with the built package in its user directory, and waits until it answers.
 * Its log is `node-red.log` in the user directory.
 * @throws Error with the end of that log when it does not come up
 */
export async function startNodeRed(options: NodeRedOptions): Promise<NodeRed> {
  const { userDir, port } = options;
  prepareUserDir(options);
  const log = join(userDir, 'node-red.log');
  const output = openSync(log, 'a');
  const red = options.red ?? createRequire(import.meta.url).resolve('node-red/red.js');
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', red, '--userDir', userDir, '--settings', join(userDir, 'settings.js')],
    {
      cwd: userDir,
      env: { NODE_COMPILE_CACHE: compileCache, ...process.env, DROPLINE_PORT: String(port), ...options.env },
      stdio: ['ignore', output, output],
    },
  );
  closeSync(output);
  // Whatever ends this process, its Node-RED does not outlive it.
  const killAtExit = () => void child.kill('SIGKILL');
  process.once('exit', killAtExit);
  const exited = new Promise<number | string>((resolve) =>
    child.once('exit', (code, signal) => {
      process.removeListener('exit', killAtExit);
      resolve(code ?? signal ?? 'unknown');
    }),
  );
  const url = `http://127.0.0.1:${port}`;
  const admin = `${url}${options.adminRoot ?? ''}`;
  let authorization: { authorization: string } | undefined;

  async function call<T>(
    path: string,
    init: Omit<RequestInit, 'headers'> & { headers?: Record<string, string> },
  ): Promise<T> {
    const response = await fetch(`${admin}${path}`, { ...init, headers: { ...init.headers, ...authorization } });
    const text = await response.text();
    if (!response.ok)
      throw new Error(`${init.method ?? 'GET'} ${path} answered ${response.status}: ${text.slice(0, 300)}`);
    try {
      return JSON.parse(text) as T;
    } catch {
      return text as T;
    }
  }
  const end = async (signal: NodeJS.Signals) => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    await exited;
  };
  const nodeRed: NodeRed = {
    url,
    process: child,
    exited,
    get: (path) => call(path, {}),
    post: (path, body = {}) =>
      call(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    async deploy(flows, type = 'full') {
      await call('/flows', {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'node-red-api-version': 'v2', 'node-red-deployment-type': type },
        body: JSON.stringify({ flows }),
      });
    },
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
  };
  for (let tries = 0; tries < 1200; tries += 1) {
    if (child.exitCode !== null || child.signalCode !== null) break;
    const up = await fetch(`${admin}/flows`)
      .then((response) => response.ok || response.status === 401)
      .catch(() => false);
    if (up && options.login) authorization = { authorization: `Bearer ${await tokenFor(admin, options.login)}` };
    if (up) return nodeRed;
    await delay(50);
  }
  const code = child.exitCode ?? child.signalCode;
  await end('SIGKILL');
  throw new Error(
    `Node-RED did not start (${code ?? 'no answer within a minute'}). The end of ${log}:\n${readFileSync(log, 'utf8').slice(-2000)}`,
  );
}

/** A token of the admin API. @param scope what it is good for; no more than the user may do */
export async function tokenFor(
  admin: string,
  login: { username: string; password: string },
  scope = '*',
): Promise<string> {
  const response = await fetch(`${admin}/auth/token`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ client_id: 'node-red-admin', grant_type: 'password', scope, ...login }),
  });
  if (!response.ok) throw new Error(`Node-RED does not let ${login.username} in: ${response.status}`);
  return ((await response.json()) as { access_token: string }).access_token;
}

function prepareUserDir(options: NodeRedOptions): void {
  const { userDir } = options;
  mkdirSync(join(userDir, 'node_modules', '@dropline'), { recursive: true });
  const link = join(userDir, 'node_modules', '@dropline', 'node-red-dropship');
  if (options.link !== false && !existsSync(link)) symlinkSync(root, link, 'dir');
  // A package.json of its own: without "type": "module", so that settings.js is read the way Node-RED expects.
  const manifest = join(userDir, 'package.json');
  if (!existsSync(manifest))
    writeFileSync(manifest, `${JSON.stringify({ name: 'dropline-user-dir', private: true })}\n`);
  const secretFile = join(userDir, '.credential-secret');
  if (!existsSync(secretFile)) writeFileSync(secretFile, randomBytes(24).toString('hex'), { mode: 0o600 });
  writeFileSync(
    join(userDir, 'settings.js'),
    `module.exports = {
  uiPort: process.env.DROPLINE_PORT,
  uiHost: '127.0.0.1',
  flowFile: 'flows.json',
  credentialSecret: ${JSON.stringify(readFileSync(secretFile, 'utf8'))},
  telemetry: { enabled: false, updateNotification: false },
  editorTheme: { tours: false, projects: { enabled: false } },
  // No admin login on a developer's machine: lifts Dropline's refusal to approve payments without one.
  dropship: { development: true },
  ${options.settings ?? ''}
};
`,
  );
}

/** The project's flows with their config nodes, as they stand in flows/. */
export function shippedFlows(): FlowNode[] {
  return ['partners', 'intake', 'fulfilment', 'payment'].flatMap(
    (name) => JSON.parse(readFileSync(join(root, 'flows', `${name}.json`), 'utf8')) as FlowNode[],
  );
}

/** A port that nobody has now. */
export async function freePort(): Promise<number> {
  const probe = createServer();
  const { port } = await new Promise<AddressInfo>((resolve, reject) =>
    probe.once('error', reject).listen(0, '127.0.0.1', () => resolve(probe.address() as AddressInfo)),
  );
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
