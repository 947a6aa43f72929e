import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startSandbox, type Sandbox } from '../../sandbox/index.ts';
import { demoFlows } from '../../scripts/demo-flows.ts';
import type { FlowNode } from '../../scripts/examples.ts';
import { freePort, shippedFlows, startNodeRed, type NodeRed } from '../../scripts/node-red.ts';
import { approveBankAccounts } from '../../scripts/people.ts';
import { openBalancer } from './balancer.ts';
import { startPostgres, type Postgres } from './postgres.ts';

/** One Node-RED of several. `red` is missing while it is down. */
export interface Member {
  name: string;
  userDir: string;
  port: number;
  red: NodeRed | undefined;
  /** Standing still by SIGSTOP. */
  frozen: boolean;
  /** What it was deployed last. */
  flows: FlowNode[];
}

/** Several real Node-REDs with the same flows on one real PostgreSQL, a load balancer before them, and the sandbox partners in this process. */
export interface Cluster {
  sandbox: Sandbox;
  postgres: Postgres;
  members: Member[];
  /** The shipped flows with their credentials and short times. */
  flows: FlowNode[];
  /** One that runs, another one each time; `undefined` while none does. */
  someone(): NodeRed | undefined;
  /** SIGKILL. */
  kill(member: Member): Promise<void>;
  /** Starts it again, with the flows that were deployed meanwhile. */
  start(member: Member): Promise<void>;
  /** SIGSTOP for so many milliseconds. */
  freeze(member: Member, milliseconds: number): Promise<void>;
  /** To all that run; the others get them when they start or go on. */
  deploy(flows: FlowNode[], type: 'full' | 'flows' | 'nodes'): Promise<void>;
  /** The logs of all. */
  log(): string;
  close(): Promise<void>;
}

export interface ClusterOptions {
  size: number;
  /** How much faster than in the demo the partners are. */
  speed: number;
  /** Seconds until a partner that does not answer is given up, and until it is asked whether it did what it did not answer. */
  timeout: number;
  settle: number;
  /** Seconds until a quiet event is closed. */
  quiet: number;
}

export async function openCluster(options: ClusterOptions): Promise<Cluster> {
  const folder = mkdtempSync(join(tmpdir(), 'dropline-cluster-'));
  const bankFolder = join(folder, 'to-bank');
  mkdirSync(bankFolder);
  const ends: (() => Promise<unknown> | void)[] = [() => rmSync(folder, { recursive: true, force: true })];
  const close = async () => {
    for (const end of ends.splice(0).toReversed()) await end();
  };
  try {
    const postgres = await startPostgres();
    ends.push(() => postgres.stop());
    const url = await postgres.createDatabase();
    const ports: number[] = [];
    for (let index = 0; index < options.size; index += 1) ports.push(await freePort());
    const balancer = await openBalancer(ports);
    ends.push(() => balancer.close());
    const sandbox = await startSandbox({
      port: 0,
      speed: options.speed,
      dropline: { url: balancer.url },
      bank: { folder: bankFolder },
    });
    ends.push(() => sandbox.close());
    const flows = demoFlows(sandbox, bankFolder, quick(options));
    let current = flows;
    let turn = 0;
    const members = ports.map((port, index): Member => {
      const name = `node-red-${index + 1}`;
      return { name, userDir: join(folder, name), port, red: undefined, frozen: false, flows: [] };
    });
    ends.push(() => Promise.all(members.map(async ({ red }) => red?.kill())));

    const give = async (member: Member, type: 'full' | 'flows' | 'nodes') => {
      const wanted = current;
      const { red } = member;
      try {
        await red?.deploy(wanted, type);
        member.flows = wanted;
      } catch (error) {
        // Killed meanwhile: it gets them when it starts.
        if (member.red === red) throw error;
      }
    };
    const cluster: Cluster = {
      sandbox,
      postgres,
      members,
      flows,
      someone() {
        const there = members.flatMap(({ red, frozen }) => (red && !frozen ? [red] : []));
        turn += 1;
        return there[turn % there.length];
      },
      async kill(member) {
        const { red } = member;
        member.red = undefined;
        await red?.kill();
      },
      async start(member) {
        const red = await startNodeRed({ userDir: member.userDir, port: member.port, env: { LEDGER_URL: url } });
        member.red = aboutTheLedger(red);
        if (member.flows !== current) await give(member, 'full');
      },
      async freeze(member, milliseconds) {
        const { red } = member;
        if (!red) return;
        member.frozen = true;
        red.process.kill('SIGSTOP');
        await delay(milliseconds);
        red.process.kill('SIGCONT');
        member.frozen = false;
        if (member.flows !== current) await give(member, 'full');
      },
      async deploy(wanted, type) {
        current = wanted;
        for (const member of members) {
          if (!member.frozen && member.red) await give(member, type);
        }
      },
      log: () => members.map(({ userDir }) => readFileSync(join(userDir, 'node-red.log'), 'utf8')).join('\n'),
      close,
    };
    await Promise.all(members.map((member) => cluster.start(member)));
    // A deploy is answered before the new nodes stand.
    for (const end = Date.now() + 10_000; ; await delay(100)) {
      const done = await approveBankAccounts(cluster.someone()!).then(
        () => true,
        (error: unknown) => {
          if (Date.now() > end || !/LEDGER_MISSING/.test(String(error))) throw error;
          return false;
        },
      );
      if (done) return cluster;
    }
  } catch (error) {
    await close();
    throw error;
  }
}

/** What differs from the shipped flows: the ledger's place, short times, and shelves that never empty. */
function quick({ timeout, settle, quiet }: ClusterOptions): Record<string, Record<string, unknown>> {
  const offers = shippedFlows().find((node) => node.id === 'dl-in-route')?.['offers'] as Record<string, unknown>[];
  const partner = (options: Record<string, unknown> = {}) => ({
    timeout,
    options: { settleSeconds: settle, ...options },
  });
  return {
    'dl-ledger': { store: 'postgres', credentials: { url: '${LEDGER_URL}' }, quietTime: quiet },
    'dl-in-receive': { pollMinutes: 0.05 },
    'dl-in-route': { offers: offers.map((offer) => ({ ...offer, stock: '' })) },
    'dl-shop': partner({ completion: 'auto' }),
    'dl-erp': partner({ database: 'sandbox' }),
    'dl-prompt': partner(),
    'dl-parcels': partner(),
    'dl-moody': partner(),
  };
}

/** The admin routes answer about the default ledger, a file, unless another one is named. */
function aboutTheLedger(red: NodeRed): NodeRed {
  const about = (path: string) =>
    path.startsWith('/dropship/') ? `${path}${path.includes('?') ? '&' : '?'}ledger=dl-ledger` : path;
  return { ...red, get: (path) => red.get(about(path)), post: (path, body) => red.post(about(path), body) };
}
