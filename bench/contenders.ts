import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { freePort, startNodeRed, type NodeRed } from '../scripts/node-red.ts';
import { coreFlow } from './core-flow.ts';
import { droplineFlow, type DroplineFlowOptions } from './dropline-flow.ts';
import { SHOP } from './orders.ts';

export type ContenderName = 'core' | 'program' | 'dropline' | 'dropline-postgres';

/** One of those that are compared, running in a process of its own. */
export interface Contender {
  name: ContenderName;
  /** Where the shop posts its orders. */
  url: string;
  /** Of the process whose CPU counts. */
  readonly pid: number;
  /** Again on the same port and the same data, after `kill`. */
  start(): Promise<void>;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** In order. */
  stop(): Promise<void>;
  /** Deploys the same flows again, all of them; only where there is Node-RED. */
  deploy?(): Promise<void>;
  /** Asks its admin API; only where there is Node-RED. */
  get?<Answer>(path: string): Promise<Answer>;
  /** How many orders it still has in work by its own account; `undefined` when it keeps no account. */
  open(): Promise<number | undefined>;
  /** The end of its log. */
  log(): string;
}

export interface ContenderOptions extends Omit<DroplineFlowOptions, 'reach'> {
  folder: string;
  reach?: DroplineFlowOptions['reach'];
  /** Writes a CPU profile of what happens between two SIGWINCH into this folder. */
  profile?: string | undefined;
}

/** The ledger of a Dropline contender that is started in this folder. */
export function ledgerFileIn(folder: string): string {
  return join(folder, 'dropline', 'dropship', 'ledger.sqlite');
}

/** Starts a contender on a free port, its data in a folder of its own. What stands there already it goes on with, but for its flows. */
export async function startContender(name: ContenderName, options: ContenderOptions): Promise<Contender> {
  const folder = join(options.folder, name);
  mkdirSync(folder, { recursive: true });
  const contender =
    name === 'program' ? await createProgram(folder, options) : await createNodeRed(name, folder, options);
  await contender.start();
  return contender;
}

/** The environment that lets a contender be profiled. */
function profiling(profile: string | undefined): Record<string, string> {
  if (!profile) return {};
  return {
    BENCH_PROFILE: profile,
    NODE_OPTIONS: `--import=${pathToFileURL(join(import.meta.dirname, 'profiler.ts')).href}`,
  };
}

async function createNodeRed(
  name: Exclude<ContenderName, 'program'>,
  userDir: string,
  options: ContenderOptions,
): Promise<Contender> {
  const port = await freePort();
  const flows =
    name === 'core'
      ? coreFlow(options.partners)
      : droplineFlow({
          ...options,
          reach: options.reach ?? 'whole',
          database: name === 'dropline-postgres' ? options.database : undefined,
        });
  const path = name === 'core' ? '/orders' : `/dropship/orders/${SHOP}`;
  rmSync(join(userDir, 'flows.json'), { force: true });
  rmSync(join(userDir, 'flows_cred.json'), { force: true });
  let red: NodeRed | undefined;
  const running = () => {
    if (!red) throw new Error(`${name} does not run.`);
    return red;
  };
  return {
    name,
    url: `http://127.0.0.1:${port}${path}`,
    get pid() {
      return running().process.pid!;
    },
    async start() {
      const isNew = !existsSync(join(userDir, 'flows.json'));
      red = await startNodeRed({ userDir, port, env: profiling(options.profile), link: name !== 'core' });
      if (isNew) await red.deploy(flows);
      await answering(`http://127.0.0.1:${port}${path}`, join(userDir, 'node-red.log'));
    },
    kill: () => running().kill(),
    stop: () => running().stop(),
    deploy: () => running().deploy(flows),
    get: (path) => running().get(path),
    async open() {
      if (name === 'core') return undefined;
      const { events } = await running().get<{ events: { state: string; n: number }[] }>('/dropship/work');
      return events
        .filter(({ state }) => ['stored', 'waiting', 'open'].includes(state))
        .reduce((sum, { n }) => sum + n, 0);
    },
    log: () => endOf(join(userDir, 'node-red.log')),
  };
}

/** Node-RED is up before its flows are: an empty request is refused by the endpoint once it is there, with anything but 404 and 503. */
async function answering(url: string, log: string): Promise<void> {
  for (let tries = 0; tries < 1200; tries += 1) {
    const status = await fetch(url, { method: 'POST', body: '' })
      .then((response) => response.status)
      .catch(() => 0);
    if (![0, 404, 503].includes(status)) return;
    await delay(25);
  }
  throw new Error(`${url} does not answer.\n${endOf(log)}`);
}

async function createProgram(folder: string, options: ContenderOptions): Promise<Contender> {
  const port = await freePort();
  const file = join(folder, 'program.log');
  const url = `http://127.0.0.1:${port}/orders`;
  let child: ReturnType<typeof spawn> | undefined;
  let exited: Promise<void> = Promise.resolve();
  const end = async (signal: NodeJS.Signals) => {
    child?.kill(signal);
    await exited;
  };
  return {
    name: 'program',
    url,
    get pid() {
      return child!.pid!;
    },
    async start() {
      const output = openSync(file, 'a');
      child = spawn(
        process.execPath,
        [
          '--disable-warning=ExperimentalWarning',
          join(import.meta.dirname, 'program.ts'),
          String(port),
          options.partners,
          join(folder, 'journal'),
        ],
        { stdio: ['ignore', output, output], env: { ...process.env, ...profiling(options.profile) } },
      );
      closeSync(output);
      const started = child;
      const killAtExit = () => void started.kill('SIGKILL');
      process.once('exit', killAtExit);
      exited = new Promise((resolve) =>
        started.once('exit', () => {
          process.removeListener('exit', killAtExit);
          resolve();
        }),
      );
      await answering(url, file);
    },
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
    open: () => Promise.resolve(undefined),
    log: () => endOf(file),
  };
}

function endOf(file: string): string {
  return existsSync(file) ? readFileSync(file, 'utf8').slice(-2000) : '';
}
