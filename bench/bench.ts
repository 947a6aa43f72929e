import { existsSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { ContenderName } from './contenders.ts';
import { measureCrash, type CrashResult } from './crash.ts';
import { startPartners } from './partner-process.ts';
import { temporaryFolder } from './processes.ts';
import { measureIntake, measureWhole, PARTNER_DELAYS, type IntakeResult, type WholeResult } from './speed.ts';

/**
 * `npm run bench`: how fast Dropline is, beside the same job without it, and what each of them loses in a crash.
 *
 *   --quick            short slices, for a first look
 *   --rounds=20        more rounds of the whole intake, of two seconds each: for a machine that is busy with other things as well
 *   --only=whole,crash some of the measures: whole, intake, crash
 *   --contenders=...   some of the contenders of the whole intake: core, program, dropline, dropline-postgres
 *   --postgres=URL     Dropline on PostgreSQL as well
 *   --profile=FOLDER   where the CPU of the whole intake goes, and the profiles themselves for a browser's developer tools
 *   --json             the figures as JSON on standard output, the table on standard error
 *
 * Exits with 1 when a target is missed. Build before (`npm run build`): Dropline runs as it is delivered.
 */
const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    only: { type: 'string', default: 'whole,intake,crash' },
    contenders: { type: 'string' },
    postgres: { type: 'string' },
    profile: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});

/** The targets. */
const INTAKE_RATE = 1500;
const INTAKE_P99 = 200;

interface Results {
  /** Figures of different machines, or of a busy one, cannot be compared; the ratios can. */
  machine: string;
  whole: WholeResult[];
  intake: IntakeResult[];
  crash: CrashResult[];
  missed: string[];
}

const say = (text: string) => console.error(text);
const print = (text: string) => (flags.json ? console.error(text) : console.log(text));

async function main(): Promise<Results> {
  if (!existsSync(join(import.meta.dirname, '..', 'dist', 'nodes'))) {
    throw new Error('There is no built package. Run "npm run build" first.');
  }
  const wanted = new Set(flags.only.split(','));
  const droplines: ContenderName[] = flags.postgres ? ['dropline', 'dropline-postgres'] : ['dropline'];
  const names = (flags.contenders?.split(',') as ContenderName[] | undefined) ?? ['core', 'program', ...droplines];
  const folder = temporaryFolder('dropline-bench');
  const partners = await startPartners();
  const options = {
    folder,
    partners,
    database: flags.postgres,
    seconds: flags.rounds ? 2 : flags.quick ? 4 : 8,
    rounds: flags.rounds ? Number(flags.rounds) : flags.quick ? 1 : 3,
    profile: flags.profile,
    say,
  };
  const results: Results = { machine: machine(), whole: [], intake: [], crash: [], missed: [] };
  try {
    if (wanted.has('whole')) results.whole = await measureWhole(names, options);
    if (wanted.has('intake'))
      for (const name of droplines)
        results.intake.push(await measureIntake(name, { ...options, seconds: flags.quick ? 5 : 15 }));
    if (wanted.has('crash'))
      for (const name of names)
        results.crash.push(await measureCrash(name, { ...options, orders: flags.quick ? 150 : 400 }));
  } finally {
    await partners.close();
  }
  results.missed = missedTargets(results);
  return results;
}

function machine(): string {
  const [load = 0] = loadavg();
  return `${availableParallelism()} x ${cpus()[0]?.model ?? 'unknown CPU'}, Node.js ${process.version}, load ${load.toFixed(1)} before the run`;
}

function wholeOf({ whole }: Results, contender: ContenderName, partnerDelay: number): WholeResult | undefined {
  return whole.find((each) => each.contender === contender && each.partnerDelay === partnerDelay);
}

function missedTargets(results: Results): string[] {
  const missed: string[] = [];
  const expect = (met: boolean, what: string) => {
    if (!met) missed.push(what);
  };
  for (const partnerDelay of PARTNER_DELAYS) {
    const core = wholeOf(results, 'core', partnerDelay);
    const dropline = wholeOf(results, 'dropline', partnerDelay);
    if (!core || !dropline) continue;
    const at = `with partners of ${partnerDelay} ms`;
    expect(dropline.rate > core.rate, `more orders a second than wired by hand, ${at}`);
    expect(dropline.cpuPerOrder <= core.cpuPerOrder, `no more CPU an order than wired by hand, ${at}`);
  }
  for (const { contender, quiet, deploying } of results.intake) {
    expect(quiet.rate >= INTAKE_RATE, `${contender}: ${INTAKE_RATE} orders/s stored and answered`);
    for (const [when, figures] of [
      ['', quiet],
      [' during deploys', deploying],
    ] as const) {
      expect(figures.p99 < INTAKE_P99, `${contender}: answered within ${INTAKE_P99} ms (p99)${when}`);
      expect(figures.accepted === figures.posted, `${contender}: every order answered with 2xx${when}`);
    }
  }
  for (const { contender, lost, doubled } of results.crash) {
    if (!contender.startsWith('dropline')) continue;
    expect(lost === 0, `${contender}: nothing lost in a crash`);
    expect(doubled === 0, `${contender}: nothing done twice after a crash`);
  }
  return missed;
}

function report(results: Results): string {
  const lines = ['', results.machine];
  if (flags.profile) lines.push('Profiled: the last round with partners of 0 ms is slower than it would be.');
  if (results.whole.length > 0) {
    lines.push(
      '',
      'Whole intake: webhook, sale in the ERP, routing to two suppliers, two purchase orders in the ERP, two at suppliers. 64 orders in flight.',
      "Required: more than core's orders/s with no more CPU an order. Goal: twice core's orders/s.",
      row('contender', 'partners', 'orders/s', 'CPU/order', 'p50', 'p99', 'rate/core', 'CPU/core', 'rate/program'),
    );
    for (const each of results.whole) {
      const core = wholeOf(results, 'core', each.partnerDelay);
      const program = wholeOf(results, 'program', each.partnerDelay);
      lines.push(
        row(
          each.contender,
          `${each.partnerDelay} ms`,
          each.rate.toFixed(0),
          `${each.cpuPerOrder.toFixed(2)} ms`,
          `${each.p50.toFixed(0)} ms`,
          `${each.p99.toFixed(0)} ms`,
          ratio(each.rate, core?.rate),
          ratio(each.cpuPerOrder, core?.cpuPerOrder),
          ratio(each.rate, program?.rate),
        ),
      );
    }
  }
  if (results.intake.length > 0) {
    lines.push(
      '',
      'Store, then answer: 50 connections. Each event is judged and emitted too, to a flow that ends there.',
      `Required: ${INTAKE_RATE} orders/s, p99 below ${INTAKE_P99} ms, every order answered with 2xx; the last two also during deploys.`,
      row('contender', 'when', 'orders/s', 'CPU/order', 'p50', 'p99', 'longest', 'answered 2xx'),
    );
    for (const { contender, quiet, deploying, deploys } of results.intake) {
      for (const [when, figures] of [
        ['quiet', quiet],
        [`${deploys} deploys`, deploying],
      ] as const) {
        lines.push(
          row(
            contender,
            when,
            figures.rate.toFixed(0),
            `${figures.cpuPerOrder.toFixed(2)} ms`,
            `${figures.p50.toFixed(0)} ms`,
            `${figures.p99.toFixed(0)} ms`,
            `${figures.longest.toFixed(0)} ms`,
            `${((figures.accepted / Math.max(1, figures.posted)) * 100).toFixed(2)} %`,
          ),
        );
      }
    }
  }
  if (results.crash.length > 0) {
    lines.push(
      '',
      'SIGKILL in the middle of a run, then a new start. Five calls an order; what was not answered with 2xx is posted again.',
      'Required of Dropline: 0 lost, 0 doubled.',
      row('contender', 'orders', 'before kill', 'created', 'lost', 'doubled', 'settled in'),
    );
    for (const each of results.crash) {
      lines.push(
        row(
          each.contender,
          String(each.orders),
          String(each.placedBefore),
          String(each.created),
          String(each.lost),
          String(each.doubled),
          `${(each.settledIn / 1000).toFixed(1)} s`,
        ),
      );
      if (each.contender.startsWith('dropline')) lines.push(...each.examples.map((example) => `  ${example}`));
    }
  }
  lines.push(
    '',
    results.missed.length === 0 ? 'Every target is met.' : 'Missed:',
    ...results.missed.map((each) => `  ${each}`),
  );
  return lines.join('\n');
}

function row(first: string, ...cells: string[]): string {
  return first.padEnd(18) + cells.map((cell) => cell.padStart(13)).join('');
}

function ratio(value: number, base: number | undefined): string {
  return base ? (value / base).toFixed(2) : '-';
}

const results = await main();
print(report(results));
if (flags.json) console.log(JSON.stringify(results, undefined, 2));
process.exit(results.missed.length === 0 ? 0 : 1);
