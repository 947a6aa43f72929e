import type { Happening } from './tools.ts';

export type Labels = Record<string, string>;

/** One number of a family. A histogram has one per bucket, and two more. */
export interface Sample {
  suffix?: '_bucket' | '_sum' | '_count';
  labels: Labels;
  value: number;
}

/** What is measured under one name. */
export interface Family {
  name: string;
  help: string;
  type: 'counter' | 'gauge' | 'histogram';
  samples: Sample[];
}

/** What has happened in one ledger since the process started, as numbers. */
export interface Metrics {
  observe(happening: Happening): void;
  families(): Family[];
}

/** Most series of one name. Kinds, partners and codes are few; whatever lies beyond is counted together, as `other`. */
const MOST_SERIES = 500;

/** Upper bounds in seconds: a call to a partner, and the way of an event from its intake to its end. */
const CALL_SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const EVENT_SECONDS = [0.5, 1, 5, 15, 60, 300, 900, 3600, 14_400, 86_400, 604_800];

export function createMetrics(): Metrics {
  const intake = counter('dropship_intake_total', 'Facts that came in: stored, or repeated and therefore ignored.', [
    'partner',
    'kind',
    'outcome',
  ]);
  const emitted = counter('dropship_events_emitted_total', 'Events sent into the flow, repetitions included.', [
    'kind',
  ]);
  const parked = counter('dropship_events_parked_total', 'Events put back, to wait or after an unexpected error.', [
    'kind',
    'outcome',
  ]);
  const quarantined = counter('dropship_events_quarantined_total', 'Events set aside because they failed too often.', [
    'kind',
  ]);
  const effects = counter('dropship_effects_total', 'Calls that change something at a partner, by how they ended.', [
    'partner',
    'kind',
    'outcome',
  ]);
  const retries = counter('dropship_effect_retries_total', 'Calls that certainly failed and are made again.', [
    'partner',
    'kind',
    'code',
  ]);
  const doubts = counter(
    'dropship_effect_doubts_total',
    'Calls of which it was not known whether the partner obeyed.',
    ['partner', 'kind', 'code'],
  );
  const takeovers = counter('dropship_instances_taken_over_total', 'Dead instances whose events were taken over.', []);
  const calls = histogram(
    'dropship_effect_duration_seconds',
    'Time that a partner took for a call.',
    ['partner', 'kind'],
    CALL_SECONDS,
  );
  const ways = histogram(
    'dropship_event_duration_seconds',
    'Time from the intake of an event to its end, the quiet time included.',
    ['kind'],
    EVENT_SECONDS,
  );

  return {
    observe(happening) {
      const { what, partner = '', kind = '', outcome = '', milliseconds } = happening;
      switch (what) {
        case 'event stored':
          return intake.add([partner, kind, 'stored']);
        case 'event repeated':
          return intake.add([partner, kind, 'repeated']);
        case 'event emitted':
          return emitted.add([kind]);
        case 'event parked':
          return parked.add([kind, outcome || 'waiting']);
        case 'event quarantined':
          return quarantined.add([kind]);
        case 'event closed':
          if (milliseconds !== undefined) ways.add([kind], milliseconds / 1000);
          return;
        case 'effect done':
          effects.add([partner, kind, outcome]);
          // How long a search for what had been done before takes says nothing of the call.
          if (outcome === 'answered' && milliseconds !== undefined) calls.add([partner, kind], milliseconds / 1000);
          return;
        case 'effect refused':
          return effects.add([partner, kind, 'refused']);
        case 'effect asked':
          return effects.add([partner, kind, 'asked']);
        case 'effect retried':
          return retries.add([partner, kind, outcome]);
        case 'effect in doubt':
          return doubts.add([partner, kind, outcome]);
        case 'instance taken over':
          return takeovers.add([]);
        case 'flows differ':
          // Asked when somebody looks: it passes.
          return;
      }
    },
    families: () =>
      [intake, emitted, parked, quarantined, effects, retries, doubts, takeovers, calls, ways].map((each) =>
        each.family(),
      ),
  };
}

function counter(name: string, help: string, names: string[]) {
  const series = new Map<string, { labels: Labels; value: number }>();
  return {
    add(values: string[]): void {
      placeFor(series, names, values, (labels) => ({ labels, value: 0 })).value += 1;
    },
    family: (): Family => ({ name, help, type: 'counter', samples: [...series.values()] }),
  };
}

function histogram(name: string, help: string, names: string[], bounds: number[]) {
  const series = new Map<string, { labels: Labels; counts: number[]; sum: number }>();
  return {
    add(values: string[], seconds: number): void {
      const place = placeFor(series, names, values, (labels) => ({
        labels,
        counts: Array.from({ length: bounds.length + 1 }, () => 0),
        sum: 0,
      }));
      const bucket = bounds.findIndex((bound) => seconds <= bound);
      const index = bucket === -1 ? bounds.length : bucket;
      place.counts[index] = (place.counts[index] ?? 0) + 1;
      place.sum += seconds;
    },
    family: (): Family => ({
      name,
      help,
      type: 'histogram',
      samples: [...series.values()].flatMap(({ labels, counts, sum }) => {
        let count = 0;
        const buckets = counts.map((own, index): Sample => {
          count += own;
          const le = index < bounds.length ? String(bounds[index]) : '+Inf';
          return { suffix: '_bucket', labels: { ...labels, le }, value: count };
        });
        return [...buckets, { suffix: '_sum', labels, value: sum }, { suffix: '_count', labels, value: count }];
      }),
    }),
  };
}

/** @param values of the labels, in the order of their names */
function placeFor<Place>(
  series: Map<string, Place>,
  names: string[],
  values: string[],
  create: (labels: Labels) => Place,
): Place {
  const known = series.get(values.join('\n'));
  if (known) return known;
  const own = series.size < MOST_SERIES ? values : names.map(() => 'other');
  const key = own.join('\n');
  const place = series.get(key) ?? create(Object.fromEntries(names.map((name, index) => [name, own[index] ?? ''])));
  series.set(key, place);
  return place;
}

/** The families of several sources as one list, each name once; a source's labels are added to its samples. */
export function merged(sources: { labels: Labels; families: Family[] }[]): Family[] {
  const byName = new Map<string, Family>();
  for (const { labels, families } of sources) {
    for (const { name, help, type, samples } of families) {
      const family = byName.get(name) ?? { name, help, type, samples: [] };
      byName.set(name, family);
      for (const sample of samples) family.samples.push({ ...sample, labels: { ...labels, ...sample.labels } });
    }
  }
  return [...byName.values()];
}

/** https://prometheus.io/docs/instrumenting/exposition_formats/ (text format 0.0.4). */
export const EXPOSITION_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** The text that a Prometheus server reads. Families without a sample are left out. */
export function exposition(families: Family[]): string {
  const lines: string[] = [];
  for (const { name, help, type, samples } of families) {
    if (samples.length === 0) continue;
    lines.push(`# HELP ${name} ${help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}`, `# TYPE ${name} ${type}`);
    for (const { suffix = '', labels, value } of samples) {
      lines.push(`${name}${suffix}${labelText(labels)} ${numberText(value)}`);
    }
  }
  return lines.map((line) => `${line}\n`).join('');
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

function numberText(value: number): string {
  if (value === Infinity) return '+Inf';
  return value === -Infinity ? '-Inf' : String(value);
}
