import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { TemporaryFault } from '../orders/errors.ts';

/** What a test wants to happen, as JSON in the file of the plan. */
export interface CrashPlan {
  /** Another number is another plan: counting and the log begin anew. */
  run: number;
  /** Names of points and how often each has been passed, such as `after send po-send send 1`. None: nothing happens anywhere. */
  at: string[];
  /** The process kills itself; or the point fails as a mistake in the program does, or as a database that cannot be reached. */
  what?: 'kill' | 'error' | 'fault';
}

/**
 * The crash points of a test run: every await boundary of the engine has a name. `DROPLINE_CRASH_PLAN=file` says what happens at which
 * point, once; the file is read at each point, so that a process that runs already can be given another plan (replace the file by renaming, never write
 * into it). `DROPLINE_CRASH_LOG=file` takes down each point that is passed, in the words of the plan. Without `NODE_ENV=test` and one of
 * them this is a no-op.
 */
export function crashPointsFrom(environment: NodeJS.ProcessEnv): (name: string) => void {
  const { NODE_ENV: mode, DROPLINE_CRASH_PLAN: file, DROPLINE_CRASH_LOG: log } = environment;
  if (mode !== 'test' || (!file && !log)) return () => {};
  const passed = new Map<string, number>();
  let plan: CrashPlan = { run: -1, at: [] };
  return (name) => {
    const newest = file && existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as CrashPlan) : plan;
    if (newest.run !== plan.run) {
      plan = newest;
      passed.clear();
      if (log) writeFileSync(log, '');
    }
    const count = (passed.get(name) ?? 0) + 1;
    passed.set(name, count);
    if (log) appendFileSync(log, `${name} ${count}\n`);
    const point = `${name} ${count}`;
    if (!plan.at.includes(point)) return;
    if (plan.what === 'error') throw new Error(`This is a test: a mistake in the program at "${point}".`);
    if (plan.what === 'fault')
      throw new TemporaryFault('LEDGER_UNAVAILABLE', `This is a test: no database at "${point}".`);
    process.kill(process.pid, 'SIGKILL');
  };
}
