import { mkdirSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { join } from 'node:path';
import { DatabaseSync, StatementSync } from 'node:sqlite';

/**
 * Loaded before a contender's own program (`node --import`) when the bench is run with `--profile`: SIGWINCH starts a CPU profile and
 * a count of all SQL statements, the next one writes both into the folder `BENCH_PROFILE`. So they hold the load and not the start of
 * Node-RED (which, by the way, ends at SIGUSR2).
 */

/** Times run, and milliseconds in all, by SQL text. */
export type SqlTimes = Record<string, { times: number; milliseconds: number }>;

const folder = process.env['BENCH_PROFILE'];
const session = new Session();
let running = false;
let statements: SqlTimes = {};

if (folder) {
  mkdirSync(folder, { recursive: true });
  process.on('SIGWINCH', () => void toggle(folder));
  measureStatements();
}

async function toggle(into: string): Promise<void> {
  if (!running) {
    session.connect();
    await session.post('Profiler.enable');
    await session.post('Profiler.setSamplingInterval', { interval: 500 });
    await session.post('Profiler.start');
    statements = {};
    running = true;
    return;
  }
  running = false;
  const { profile } = await session.post('Profiler.stop');
  writeFileSync(join(into, 'cpu.cpuprofile'), JSON.stringify(profile));
  writeFileSync(join(into, 'statements.json'), JSON.stringify(statements));
  session.disconnect();
}

/** A profile sees that SQLite is busy, not with what. */
function measureStatements(): void {
  const { all, run } = StatementSync.prototype;
  const { exec } = DatabaseSync.prototype;
  StatementSync.prototype.all = function (this: StatementSync, ...parameters: Parameters<typeof all>) {
    return timed(this.sourceSQL, () => Reflect.apply(all, this, parameters) as ReturnType<typeof all>);
  } as typeof all;
  StatementSync.prototype.run = function (this: StatementSync, ...parameters: Parameters<typeof run>) {
    return timed(this.sourceSQL, () => Reflect.apply(run, this, parameters) as ReturnType<typeof run>);
  } as typeof run;
  DatabaseSync.prototype.exec = function (this: DatabaseSync, sql: string) {
    return timed(sql, () => exec.call(this, sql));
  };
}

function timed<Result>(sql: string, run: () => Result): Result {
  if (!running) return run();
  const begin = performance.now();
  try {
    return run();
  } finally {
    const entry = (statements[sql] ??= { times: 0, milliseconds: 0 });
    entry.times += 1;
    entry.milliseconds += performance.now() - begin;
  }
}
