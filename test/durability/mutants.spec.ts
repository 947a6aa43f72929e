import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import should from 'should';
import { MUTANTS, type Killer, type Mutant } from './mutants.ts';

/**
 * Would the tests notice? Safeguards are taken out of a copy of the sources, one at a time, and a test that is known to need
 * it must fail there. `MUTANTS=all` tries all of them, `MUTANTS="lease"` those with that in their title; otherwise only the quick ones.
 */
const wanted = process.env['MUTANTS'];
const chosen = MUTANTS.filter((mutant) =>
  wanted === undefined ? mutant.quick : wanted === 'all' || mutant.title.includes(wanted),
);

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
/** What the ledger's tests need. */
const COPIED = ['orders', 'ledger', 'partners', 'sandbox', 'scripts', 'test', 'package.json'];
/** Milliseconds for one run of one test. */
const PATIENCE = 120_000;

/** What mocha says of a run. */
interface Outcome {
  passed: number;
  failed: string[];
  /** Its output where it could not even run the test. */
  broken?: string;
}

describe('The tests of the engine notice when a safeguard is missing', function () {
  this.timeout(PATIENCE + 10_000);
  let copy: string;

  before(() => {
    should(chosen.length).be.above(0, `No mutant has "${wanted}" in its title.`);
    copy = mkdtempSync(join(tmpdir(), 'dropline-mutants-'));
    for (const name of COPIED) cpSync(join(root, name), join(copy, name), { recursive: true });
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'), 'dir');
  });
  after(() => rmSync(copy, { recursive: true, force: true }));

  it('each change fits at exactly one place of the sources', () => {
    for (const { title, changes } of MUTANTS) {
      for (const { file, replace } of changes)
        should([title, readFileSync(join(root, file), 'utf8').split(replace).length - 1]).eql([title, 1]);
    }
  });

  it('nothing fails in the unchanged copy', async function () {
    const killers = [...new Map(chosen.map(({ killer }) => [JSON.stringify(killer), killer])).values()];
    this.timeout(killers.length * PATIENCE);
    for (const killer of killers) {
      const { passed, failed, broken } = await run(copy, killer);
      should([killer, broken, failed]).eql([killer, undefined, []]);
      should(passed).be.above(0, `There is no test "${killer.name}" in ${killer.spec}.`);
    }
  });

  for (const mutant of chosen) {
    it(mutant.title, async () => {
      const outcome = await mutated(copy, mutant, () => run(copy, mutant.killer));
      should(outcome.broken).equal(undefined);
      should(outcome.failed.length).be.above(0, 'It survives.');
    });
  }
});

/** With these changes in the copy, and without them afterwards. */
async function mutated<Result>(copy: string, { changes }: Mutant, work: () => Promise<Result>): Promise<Result> {
  const before = new Map(changes.map(({ file }) => [file, readFileSync(join(copy, file), 'utf8')]));
  try {
    for (const { file, replace, by } of changes) {
      const source = readFileSync(join(copy, file), 'utf8');
      writeFileSync(
        join(copy, file),
        source.replace(replace, () => by),
      );
    }
    return await work();
  } finally {
    for (const [file, source] of before) writeFileSync(join(copy, file), source);
  }
}

function run(copy: string, { spec, name, seeds }: Killer): Promise<Outcome> {
  const mocha = createRequire(import.meta.url).resolve('mocha/bin/mocha.js');
  const filter = name === undefined ? [] : ['--fgrep', name];
  const { SEED: _seed, CRASH_POINTS: _points, ...env } = process.env;
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [
        '--disable-warning=ExperimentalWarning',
        mocha,
        '--no-config',
        '--exit',
        '--bail',
        '--timeout',
        '30000',
        '--reporter',
        'json',
        ...filter,
        spec,
      ],
      {
        cwd: copy,
        env: { ...env, ...(seeds === undefined ? {} : { SEEDS: String(seeds) }) },
        timeout: PATIENCE,
        killSignal: 'SIGKILL',
        maxBuffer: 64 * 1024 * 1024,
      },
      (error, stdout, stderr) => {
        try {
          const { stats, failures } = JSON.parse(stdout) as {
            stats: { passes: number };
            failures: { fullTitle: string }[];
          };
          resolve({ passed: stats.passes, failed: failures.map(({ fullTitle }) => fullTitle) });
        } catch {
          resolve({ passed: 0, failed: [], broken: `${error?.message ?? ''}\n${stdout}\n${stderr}`.slice(-2000) });
        }
      },
    );
  });
}
