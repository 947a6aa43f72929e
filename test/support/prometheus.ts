/** One sample as a Prometheus server reads it. */
export interface Read {
  name: string;
  labels: Record<string, string>;
  value: number;
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*/;
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"/;
const VALUE = /^(NaN|[+-]Inf|[+-]?\d+(\.\d+)?(e[+-]?\d+)?)$/;

/**
 * Reads the text format 0.0.4, and is stricter than a server has to be: each family has HELP and TYPE once and all its samples
 * together below them, no series occurs twice, counters end in _total and never fall below 0, and the buckets of a histogram count up to
 * its `_count`.
 * @throws Error that names the line
 */
export function readExposition(text: string): Read[] {
  if (text !== '' && !text.endsWith('\n')) throw new Error('The last line does not end');
  const samples: Read[] = [];
  const types = new Map<string, string>();
  const series = new Set<string>();
  let helped = '';
  let family = '';
  for (const line of text.split('\n').slice(0, -1)) {
    const fail = (why: string): never => {
      throw new Error(`${why}: ${line}`);
    };
    const help = /^# HELP (\S+) ((?:[^\\\n]|\\[\\n])*)$/.exec(line);
    const type = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line);
    if (help) {
      helped = help[1]!;
      if (types.has(helped)) fail('HELP for the second time');
      continue;
    }
    if (type) {
      family = type[1]!;
      if (family !== helped) fail('TYPE without its HELP');
      if (types.has(family)) fail('TYPE for the second time');
      if (type[2] === 'counter' && !family.endsWith('_total')) fail('A counter that does not end in _total');
      types.set(family, type[2]!);
      continue;
    }
    const sample = sampleOf(line) ?? fail('Neither a comment nor a sample');
    const base = types.get(family) === 'histogram' ? sample.name.replace(/_(bucket|sum|count)$/, '') : sample.name;
    if (base !== family) fail(`A sample below the header of ${family}`);
    const { le, ...own } = sample.labels;
    const key = JSON.stringify([sample.name, le, Object.entries(own).toSorted(([a], [b]) => (a < b ? -1 : 1))]);
    if (series.has(key)) fail('A series for the second time');
    series.add(key);
    if (types.get(family) !== 'gauge' && !(sample.value >= 0)) fail('A count below 0');
    samples.push(sample);
  }
  for (const [name, type] of types) if (type === 'histogram') checkHistogram(name, samples);
  return samples;
}

function sampleOf(line: string): Read | undefined {
  const name = NAME.exec(line)?.[0];
  if (name === undefined) return undefined;
  let rest = line.slice(name.length);
  const labels: Record<string, string> = {};
  if (rest.startsWith('{')) {
    rest = rest.slice(1);
    for (;;) {
      const label = LABEL.exec(rest);
      if (!label || label[1]! in labels) return undefined;
      labels[label[1]!] = label[2]!.replaceAll(/\\(.)/g, (_, mark: string) => (mark === 'n' ? '\n' : mark));
      rest = rest.slice(label[0].length);
      if (rest.startsWith('}')) break;
      if (!rest.startsWith(',')) return undefined;
      rest = rest.slice(1);
    }
    rest = rest.slice(1);
  }
  if (!rest.startsWith(' ') || !VALUE.test(rest.slice(1))) return undefined;
  return { name, labels, value: Number(rest.slice(1).replace('Inf', 'Infinity')) };
}

function checkHistogram(name: string, samples: Read[]): void {
  const groups = new Map<string, { le: number; value: number }[]>();
  const keyOf = ({ le: _le, ...labels }: Record<string, string>) => JSON.stringify(labels);
  for (const { name: own, labels, value } of samples) {
    if (own !== `${name}_bucket`) continue;
    const le = Number((labels['le'] ?? 'none').replace('Inf', 'Infinity'));
    const group = groups.get(keyOf(labels)) ?? [];
    groups.set(keyOf(labels), [...group, { le, value }]);
  }
  for (const [key, buckets] of groups) {
    const one = (suffix: string) =>
      samples.filter((sample) => sample.name === `${name}_${suffix}` && keyOf(sample.labels) === key);
    if (one('count').length !== 1 || one('sum').length !== 1) throw new Error(`${name} ${key} lacks _count or _sum`);
    buckets.forEach(({ le, value }, index) => {
      const before = buckets[index - 1];
      if (Number.isNaN(le) || (before && (before.le >= le || before.value > value)))
        throw new Error(`The buckets of ${name} ${key} do not count up`);
    });
    const last = buckets.at(-1);
    if (last?.le !== Infinity || last.value !== one('count')[0]!.value)
      throw new Error(`The last bucket of ${name} ${key} is not +Inf with the whole count`);
  }
}
