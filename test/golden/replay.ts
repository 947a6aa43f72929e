import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { gunzipSync } from 'node:zlib';
import { startSandbox, type Sandbox } from '../../sandbox/index.ts';
import { demoFlows } from '../../scripts/demo-flows.ts';
import type { FlowNode } from '../../scripts/examples.ts';
import { freePort, startNodeRed, type NodeRed } from '../../scripts/node-red.ts';

/** What `scripts/golden.ts` of a released version wrote. */
export interface Golden {
  /** Such as `0.1.0 finished`. */
  title: string;
  folder: string;
  version: string;
  /** When Node-RED was killed. */
  at: string;
  orders: { id: string; state: string }[];
}

/** All golden ledgers of one name, of every released version. */
export function goldenLedgers(name: 'finished' | 'open'): Golden[] {
  return readdirSync(import.meta.dirname, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(import.meta.dirname, entry.name, name))
    .filter((folder) => existsSync(folder))
    .map((folder) => {
      const golden = JSON.parse(readFileSync(join(folder, 'golden.json'), 'utf8')) as Omit<Golden, 'title' | 'folder'>;
      return { title: `${golden.version} ${name}`, folder, ...golden };
    });
}

/** A golden ledger brought to life: a copy of it, the partners as they were, and a Node-RED of the current version that has the flows of then. */
export interface Replay {
  sandbox: Sandbox;
  red: NodeRed;
  /** The copy; read it after `red` has ended. */
  ledger: string;
  close(): Promise<void>;
}

/** How long Node-RED has been dead, as far as the copy can tell: long enough for the doubts of then to be due. */
const DEAD_FOR = 40_000;

/** @param prepare changes the copy before it is opened */
export async function replay(
  golden: Golden,
  prepare: (ledger: DatabaseSync) => void = () => undefined,
): Promise<Replay> {
  const folder = mkdtempSync(join(tmpdir(), 'dropline-golden-'));
  const userDir = join(folder, 'node-red');
  const bankFolder = join(folder, 'to-bank');
  mkdirSync(bankFolder);
  const shift = Date.now() - DEAD_FOR - Date.parse(golden.at);
  const ledger = copyOf(golden, join(userDir, 'dropship'), (database) => {
    moveTimes(database, shift);
    prepare(database);
  });
  const stateFile = join(folder, 'sandbox.json');
  const state = JSON.parse(unpacked(golden, 'sandbox.json').toString('utf8')) as { timers: { dueAt: number }[] };
  for (const timer of state.timers) timer.dueAt += shift;
  writeFileSync(stateFile, JSON.stringify(state));

  const port = await freePort();
  const dropline = { url: `http://127.0.0.1:${port}` };
  const sandbox = await startSandbox({ port: 0, speed: 20, stateFile, dropline, bank: { folder: bankFolder } });
  let red: NodeRed | undefined;
  const close = async () => {
    await red?.stop();
    await sandbox.close();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    red = await startNodeRed({ userDir, port });
    await red.deploy(flowsOfThen(golden, sandbox, bankFolder));
    return { sandbox, red, ledger, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** An unpacked copy of the golden ledger in this folder; answers its path. */
export function copyOf(
  golden: Golden,
  folder: string,
  change: (ledger: DatabaseSync) => void = () => undefined,
): string {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'ledger.sqlite');
  writeFileSync(file, unpacked(golden, 'ledger.sqlite'));
  const database = new DatabaseSync(file);
  change(database);
  database.close();
  return file;
}

/** The flows as that version's user had them, with today's addresses of the partners and times short enough for a test. */
function flowsOfThen(golden: Golden, sandbox: Sandbox, bankFolder: string): FlowNode[] {
  const now = new Map(demoFlows(sandbox, bankFolder).map((node) => [node.id, node]));
  const flows = JSON.parse(unpacked(golden, 'flows.json').toString('utf8')) as FlowNode[];
  return flows.map((node) => {
    if (node.type === 'dropship-ledger') return { ...node, quietTime: 1 };
    if (node.type === 'ecommerce-receive') return { ...node, pollMinutes: 0.02 };
    const today = now.get(node.id);
    if (today?.['baseUrl'] === undefined) return node;
    const { baseUrl, credentials } = today;
    // The partners have moved to other ports of this machine: a person says that they are still the same.
    const options = { ...(node['options'] as object), settleSeconds: 1 };
    return {
      ...node,
      baseUrl,
      credentials,
      options,
      timeout: 2,
      movedTo: `${String(node['product'])} ${String(baseUrl)}`,
    };
  });
}

/** As if the ledger had been written just now: patience and deadlines would be long over otherwise. */
function moveTimes(ledger: DatabaseSync, shift: number): void {
  const columns = ledger
    .prepare(
      `SELECT m.name AS "table", c.name AS "column" FROM sqlite_master m JOIN pragma_table_info(m.name) c
       WHERE m.type = 'table' AND c.type = 'BIGINT' AND (c.name = 'at' OR c.name LIKE '%\\_at' ESCAPE '\\' OR c.name IN ('usable_from', 'known_since'))`,
    )
    .all() as { table: string; column: string }[];
  for (const { table, column } of columns)
    ledger.prepare(`UPDATE "${table}" SET "${column}" = "${column}" + ? WHERE "${column}" IS NOT NULL`).run(shift);
}

function unpacked(golden: Golden, file: string): Buffer {
  return gunzipSync(readFileSync(join(golden.folder, `${file}.gz`)));
}
