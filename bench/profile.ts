import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SqlTimes } from './profiler.ts';

/** What a CPU profile says, as text: where a contender's time goes. */

interface ProfileNode {
  id: number;
  callFrame: { functionName: string; url: string; lineNumber: number };
  children?: number[];
}

interface Profile {
  nodes: ProfileNode[];
  samples: number[];
  timeDeltas: number[];
}

/** Frames of V8 itself that are no work. */
const IDLE = new Set(['(idle)', '(program)', '(root)']);

/** How many rows a table has. */
const ROWS = 40;

/**
 * The profile in a folder: busy milliseconds an order by area, by function (its own time), by function of Dropline's (with all that
 * it calls), and by SQL statement.
 * @param orders that were done while it was taken
 */
export function summariseProfile(folder: string, orders: number): string {
  const profile = JSON.parse(readFileSync(join(folder, 'cpu.cpuprofile'), 'utf8')) as Profile;
  const byId = new Map(profile.nodes.map((node) => [node.id, node]));
  const parents = new Map<number, number>();
  for (const node of profile.nodes) for (const child of node.children ?? []) parents.set(child, node.id);

  const own = new Map<string, number>();
  const inclusive = new Map<string, number>();
  const areas = new Map<string, number>();
  let busy = 0;
  let idle = 0;
  profile.samples.forEach((sample, index) => {
    const time = (profile.timeDeltas[index] ?? 0) / 1000;
    const node = byId.get(sample)!;
    if (IDLE.has(node.callFrame.functionName) || node.callFrame.url === 'node:inspector') {
      idle += time;
      return;
    }
    busy += time;
    add(own, nameOf(node), time);
    const seen = new Set<string>();
    let area = areaOf(node);
    for (let at: ProfileNode | undefined = node; at; at = byId.get(parents.get(at.id) ?? -1)) {
      area ??= areaOf(at);
      const name = nameOf(at);
      if (isOurs(at) && !seen.has(name)) add(inclusive, name, time);
      seen.add(name);
    }
    add(areas, area ?? 'Node.js: sockets, promises, timers', time);
  });

  const perOrder = (time: number) => (time / Math.max(1, orders)).toFixed(3).padStart(8);
  const share = (time: number) => `${((time / busy) * 100).toFixed(1)} %`.padStart(7);
  const table = (title: string, of: Map<string, number>) => [
    '',
    title,
    ...[...of]
      .sort(([, a], [, b]) => b - a)
      .slice(0, ROWS)
      .map(([name, time]) => `${perOrder(time)} ms ${share(time)}  ${name}`),
  ];
  return [
    `${orders} orders, busy ${perOrder(busy).trim()} ms an order, idle or outside JavaScript ${idle.toFixed(0)} ms in all`,
    ...table('By area (native calls count for the code that makes them)', areas),
    ...table('By function, its own time', own),
    ...table("By Dropline's function, with what it calls (asynchronous parts count where they run)", inclusive),
    ...sqlTable(folder, orders),
  ].join('\n');
}

function sqlTable(folder: string, orders: number): string[] {
  const statements = Object.entries(JSON.parse(readFileSync(join(folder, 'statements.json'), 'utf8')) as SqlTimes);
  if (statements.length === 0) return [];
  const row = (times: number, milliseconds: number, text: string) =>
    `${(milliseconds / orders).toFixed(3).padStart(8)} ms ${(times / orders).toFixed(2).padStart(6)} times  ${text}`;
  const all = statements.reduce((sum, [, { times }]) => sum + times, 0);
  const took = statements.reduce((sum, [, { milliseconds }]) => sum + milliseconds, 0);
  return [
    '',
    'By SQL statement, an order (time as it passes: COMMIT waits for the disk)',
    row(all, took, 'all'),
    ...statements
      .sort(([, a], [, b]) => b.milliseconds - a.milliseconds)
      .slice(0, ROWS)
      .map(([sql, { times, milliseconds }]) => row(times, milliseconds, sql.replace(/\s+/g, ' ').slice(0, 140))),
  ];
}

function add(to: Map<string, number>, key: string, time: number): void {
  to.set(key, (to.get(key) ?? 0) + time);
}

function nameOf({ callFrame: { functionName, url, lineNumber } }: ProfileNode): string {
  return `${functionName || '(anonymous)'}  ${url ? `${shorten(url)}:${lineNumber + 1}` : ''}`.trim();
}

function shorten(url: string): string {
  const path = url.replace(/^file:\/\//, '');
  const [, inPackage] = /.*\/node_modules\/(.*)/.exec(path) ?? [];
  const [, inDropline] = /.*\/(dist\/.*)/.exec(path) ?? [];
  return inPackage ?? inDropline ?? path;
}

function isOurs({ callFrame: { url } }: ProfileNode): boolean {
  return /\/dist\/(ledger|nodes|orders|partners)\//.test(url) && !url.includes('/node_modules/axios');
}

/** Whose work a frame is; `undefined` for native code and Node.js itself, which work for whoever called them. */
function areaOf({ callFrame: { functionName, url } }: ProfileNode): string | undefined {
  if (functionName === '(garbage collector)') return 'garbage collection';
  const path = url.replace(/^file:\/\//, '');
  const [, own] = /.*\/dist\/((?:ledger|nodes|orders|partners)\/[^:]*)$/.exec(path) ?? [];
  if (own) return `dropline ${own}`;
  const [, name] = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path) ?? [];
  if (name) return name;
  if (path.startsWith('node:internal/modules')) return 'module loading';
  return undefined;
}
