import { appendFileSync } from 'node:fs';

/**
 * The crash points of a test run: every await boundary of the engine has a name. `DROPLINE_CRASH_AT="after send po-send send 1"` has
 * the process kill itself at the first point of that name, `DROPLINE_CRASH_LOG=file` writes down each point that is passed, in the
 * same words. Without `NODE_ENV=test` and one of them this is a no-op.
 */
export function crashPointsFrom(environment: NodeJS.ProcessEnv): (name: string) => void {
  const { NODE_ENV: mode, DROPLINE_CRASH_AT: at, DROPLINE_CRASH_LOG: log } = environment;
  if (mode !== 'test' || (!at && !log)) return () => {};
  const passed = new Map<string, number>();
  return (name) => {
    const count = (passed.get(name) ?? 0) + 1;
    passed.set(name, count);
    if (log) appendFileSync(log, `${name} ${count}\n`);
    if (`${name} ${count}` === at) process.kill(process.pid, 'SIGKILL');
  };
}
