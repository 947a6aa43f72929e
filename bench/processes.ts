import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Processes and what Linux tells of them. Figures are of the whole process, all its threads. */

/** The kernel's clock ticks a second, which `/proc` counts in; 100 on every Linux that Node.js runs on. */
const TICKS = 100;

/** Milliseconds of CPU that the process has used since it began. @throws Error when it has ended */
export function cpuTime(pid: number): number {
  const file = `/proc/${pid}/stat`;
  if (!existsSync(file)) throw new Error(`Process ${pid} has ended, or this is no Linux.`);
  const stat = readFileSync(file, 'utf8');
  // The second field, the name, may hold blanks and brackets.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS;
}

/** Resident memory in MB. */
export function residentMemory(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line?.[1] ?? 0) / 1024;
}

/** Stops a process without its knowledge, so that it takes no CPU from the one that is measured; `go` lets it run on. */
export function halt(pid: number): void {
  process.kill(pid, 'SIGSTOP');
}

export function go(pid: number): void {
  process.kill(pid, 'SIGCONT');
}

/**
 * A folder that is gone when this process ends, however it ends; and a Ctrl+C is made an end in order, so that contenders, which are
 * killed at the exit of this process, are not left behind.
 */
export function temporaryFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `${name}-`));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1));
  return folder;
}
