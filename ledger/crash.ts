import { appendFileSync } from 'node:fs';

/**
 * The crash points of a test run: every await boundary of the engine is counted; at the chosen count the process kills
 * itself. `DROPLINE_CRASH_AT=17` kills at the 17th point, `DROPLINE_CRASH_LOG=file` writes the name of each point passed.
 * Without `NODE_ENV=test` and one of them this is a no-op.
 */
export function crashPointsFrom(environment: NodeJS.ProcessEnv): (name: string) => void {
  const at = Number(environment['DROPLINE_CRASH_AT'] ?? 0);
  const log = environment['DROPLINE_CRASH_LOG'];
  if (environment['NODE_ENV'] !== 'test' || (!at && !log)) return () => {};
  let count = 0;
  return (name) => {
    count += 1;
    if (log) appendFileSync(log, `${count} ${name}\n`);
    if (count === at) process.kill(process.pid, 'SIGKILL');
  };
}
