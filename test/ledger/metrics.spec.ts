import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import should from 'should';
import type { Happening } from '../../ledger/tools.ts';
import { countsOf, families, ledgerFigures, openEvents } from '../../ledger/figures.ts';
import { createMetrics, exposition, merged, type Family } from '../../ledger/metrics.ts';
import { migrate } from '../../ledger/schema.ts';
import { openSqlite } from '../../ledger/sqlite.ts';
import { query, type Store, type Transaction, type Value } from '../../ledger/store.ts';
import { readExposition, type Read } from '../support/prometheus.ts';
import { openFresh } from './harness.ts';

function after(...happenings: Happening[]): Read[] {
  const metrics = createMetrics();
  for (const happening of happenings) metrics.observe(happening);
  return readExposition(exposition(metrics.families()));
}

function valueOf(samples: Read[], name: string, labels: Record<string, string> = {}): number | undefined {
  const found = samples.filter(
    (sample) => sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
  );
  should(found.length).be.belowOrEqual(1, `${name} ${JSON.stringify(labels)} is not one series`);
  return found[0]?.value;
}

const sent: Happening = { what: 'effect done', partner: 'vineyard', kind: 'po-send', outcome: 'answered' };

describe('the text for Prometheus', () => {
  it('keeps what a label says, whatever is in it', () => {
    const odd = 'C:\\bills\\"new"\nline {a="b"} # HELP x';
    const family: Family = {
      name: 'a',
      help: 'With a \\ and\na line break.',
      type: 'gauge',
      samples: [{ labels: { odd, plain: '' }, value: 1 }],
    };
    const text = exposition([family]);
    should(text.split('\n')).have.length(4);
    should(text).startWith('# HELP a With a \\\\ and\\na line break.\n# TYPE a gauge\n');
    should(readExposition(text)).deepEqual([{ name: 'a', labels: { odd, plain: '' }, value: 1 }]);
  });

  it('says numbers in the words of the format', () => {
    const samples = [Infinity, -Infinity, NaN, 0, 1.5e-9, 1e21].map((value, index) => ({
      labels: { n: String(index) },
      value,
    }));
    const text = exposition([{ name: 'a', help: 'b', type: 'gauge', samples }]);
    should(readExposition(text).map(({ value }) => value)).deepEqual([Infinity, -Infinity, NaN, 0, 1.5e-9, 1e21]);
  });

  it('has each name once when it comes from two ledgers', () => {
    const one = createMetrics();
    const two = createMetrics();
    one.observe(sent);
    two.observe(sent);
    two.observe(sent);
    const samples = readExposition(
      exposition(
        merged([
          { labels: { ledger: 'a' }, families: one.families() },
          { labels: { ledger: 'b' }, families: two.families() },
        ]),
      ),
    );
    should(valueOf(samples, 'dropship_effects_total', { ledger: 'a' })).equal(1);
    should(valueOf(samples, 'dropship_effects_total', { ledger: 'b' })).equal(2);
  });
});

describe('the reader that these tests trust', () => {
  const wrong: [string, string][] = [
    ['a sample without its header', 'a 1\n'],
    ['a header that comes twice', '# HELP a b\n# TYPE a gauge\na 1\n# HELP a b\n# TYPE a gauge\na{b="c"} 1\n'],
    ['a series that comes twice', '# HELP a b\n# TYPE a gauge\na{b="c"} 1\na{b="c"} 2\n'],
    ['an open quotation', '# HELP a b\n# TYPE a gauge\na{b="c} 1\n'],
    ['a raw quotation mark in a label', '# HELP a b\n# TYPE a gauge\na{b="c"d"} 1\n'],
    ['a number that is none', '# HELP a b\n# TYPE a gauge\na Infinity\n'],
    ['a counter by another name', '# HELP a b\n# TYPE a counter\na 1\n'],
    [
      'buckets that count down',
      '# HELP a b\n# TYPE a histogram\na_bucket{le="1"} 2\na_bucket{le="+Inf"} 1\na_sum 1\na_count 1\n',
    ],
    ['a histogram without +Inf', '# HELP a b\n# TYPE a histogram\na_bucket{le="1"} 2\na_sum 1\na_count 2\n'],
    ['a last line without an end', '# HELP a b\n# TYPE a gauge\na 1'],
  ];
  for (const [what, text] of wrong) {
    it(`refuses ${what}`, () => should(() => readExposition(text)).throw());
  }
});

describe('what is counted', () => {
  it('is what happened to calls, by partner, kind and end', () => {
    const samples = after(
      sent,
      sent,
      { ...sent, outcome: 'adopted' },
      { ...sent, what: 'effect refused', outcome: 'PARTNER_REFUSED' },
      { ...sent, what: 'effect asked', outcome: 'IN_DOUBT' },
      { ...sent, what: 'effect retried', outcome: 'PARTNER_PAUSED' },
      { ...sent, what: 'effect in doubt', outcome: 'ANSWER_LOST' },
      { ...sent, partner: 'mill' },
    );
    const name = 'dropship_effects_total';
    const vineyard = { partner: 'vineyard', kind: 'po-send' };
    should(valueOf(samples, name, { ...vineyard, outcome: 'answered' })).equal(2);
    should(valueOf(samples, name, { ...vineyard, outcome: 'adopted' })).equal(1);
    should(valueOf(samples, name, { ...vineyard, outcome: 'refused' })).equal(1);
    should(valueOf(samples, name, { ...vineyard, outcome: 'asked' })).equal(1);
    should(valueOf(samples, name, { partner: 'mill' })).equal(1);
    should(valueOf(samples, 'dropship_effect_retries_total', { ...vineyard, code: 'PARTNER_PAUSED' })).equal(1);
    should(valueOf(samples, 'dropship_effect_doubts_total', { ...vineyard, code: 'ANSWER_LOST' })).equal(1);
  });

  it('is what happened to events', () => {
    const event: Happening = { what: 'event stored', partner: 'shop', kind: 'order', eventId: '1', orderId: 'shop-1' };
    const samples = after(
      event,
      { ...event, what: 'event repeated' },
      { ...event, what: 'event emitted' },
      { ...event, what: 'event parked' },
      { ...event, what: 'event parked', outcome: 'failed' },
      { ...event, what: 'event quarantined' },
      { ...event, what: 'event closed', milliseconds: 31_000 },
      { what: 'instance taken over' },
      { what: 'flows differ' },
    );
    should(valueOf(samples, 'dropship_intake_total', { partner: 'shop', kind: 'order', outcome: 'stored' })).equal(1);
    should(valueOf(samples, 'dropship_intake_total', { outcome: 'repeated' })).equal(1);
    should(valueOf(samples, 'dropship_events_emitted_total', { kind: 'order' })).equal(1);
    should(valueOf(samples, 'dropship_events_parked_total', { outcome: 'waiting' })).equal(1);
    should(valueOf(samples, 'dropship_events_parked_total', { outcome: 'failed' })).equal(1);
    should(valueOf(samples, 'dropship_events_quarantined_total')).equal(1);
    should(valueOf(samples, 'dropship_event_duration_seconds_sum', { kind: 'order' })).equal(31);
    should(valueOf(samples, 'dropship_instances_taken_over_total')).equal(1);
  });

  it('puts a time that is exactly a bound into the bucket of that bound, and the longest into none', () => {
    const samples = after(
      { ...sent, milliseconds: 10 },
      { ...sent, milliseconds: 11 },
      { ...sent, milliseconds: 600_000 },
    );
    const bucket = (le: string) => valueOf(samples, 'dropship_effect_duration_seconds_bucket', { le });
    should(bucket('0.01')).equal(1);
    should(bucket('0.025')).equal(2);
    should(bucket('60')).equal(2);
    should(bucket('+Inf')).equal(3);
    should(valueOf(samples, 'dropship_effect_duration_seconds_count')).equal(3);
    should(valueOf(samples, 'dropship_effect_duration_seconds_sum')).be.approximately(600.021, 1e-9);
  });

  it('does not take a search for the time of a call', () => {
    const samples = after({ ...sent, outcome: 'adopted', milliseconds: 5 });
    should(valueOf(samples, 'dropship_effect_duration_seconds_count')).be.undefined();
  });

  it('never has more than 501 series of a name, and loses no count', () => {
    const samples = after(
      ...Array.from({ length: 2000 }, (_, index): Happening => ({ ...sent, outcome: `made up ${index}` })),
    ).filter(({ name }) => name === 'dropship_effects_total');
    should(samples).have.length(501);
    should(samples.reduce((sum, { value }) => sum + value, 0)).equal(2000);
    should(samples.at(-1)?.labels).deepEqual({ partner: 'other', kind: 'other', outcome: 'other' });
  });

  it('names no event, order or effect', () => {
    const text = JSON.stringify(
      after({ ...sent, eventId: '4711', orderId: 'shop-4711', effect: 'po-send/vineyard/shop-4711-1', attempt: 4711 }),
    );
    should(text).not.match(/4711/);
  });
});

describe('what is read from the ledger', () => {
  const NOW = 1_800_000_000_000;
  let store: Store;
  beforeEach(async () => {
    store = await openFresh();
    await migrate(store);
  });
  afterEach(() => store.close());

  function* event(key: string, state: string, kind: string, age: number, due: number | null): Transaction<void> {
    yield* query(
      `INSERT INTO event (partner, kind, dedupe_key, content_hash, body, state, stored_at, due_at, closed_at) VALUES ('shop', ?, ?, 'h', '{}', ?, ?, ?, ?)`,
      kind,
      key,
      state,
      NOW - age,
      due,
      state === 'closed' ? NOW : null,
    );
  }
  function* effect(key: string, state: string, partner: string, age: number): Transaction<void> {
    yield* query(
      `INSERT INTO effect (key, event_id, partner, kind, document, state, attempt, content_hash, first_started_at, started_at) VALUES (?, 1, ?, 'po-send', 'd', ?, 1, 'h', ?, ?)`,
      key,
      partner,
      state,
      NOW - age,
      NOW - age,
    );
  }
  const figures = async () => readExposition(exposition(await ledgerFigures(store, NOW)));

  it('is nothing but an empty queue where nothing has happened', async () => {
    should(await figures()).deepEqual([{ name: 'dropship_events_due', labels: {}, value: 0 }]);
  });

  it('is what is unfinished, with its age', async () => {
    await store.transact(function* () {
      yield* event('1', 'stored', 'order', 5000, NOW - 1);
      yield* event('2', 'open', 'order', 90_000, null);
      yield* event('3', 'open', 'bill', 60_000, NOW + 1000);
      yield* event('4', 'waiting', 'shipment', 1000, NOW);
      yield* event('5', 'quarantined', 'order', 7_200_000, null);
      yield* event('6', 'closed', 'order', 9_000_000, null);
      yield* effect('a', 'in-doubt', 'vineyard', 30_000);
      yield* effect('b', 'in-doubt', 'vineyard', 10_000);
      yield* effect('c', 'waiting', 'mill', 0);
      yield* effect('d', 'asked', 'mill', 0);
      yield* effect('e', 'refused', 'mill', 0);
      yield* effect('f', 'sending', 'mill', 0);
      yield* effect('g', 'done', 'mill', 0);
      for (const [subject, state] of Object.entries({ x: 'open', y: 'open', z: 'settled' })) {
        yield* query(
          `INSERT INTO exception (subject, code, message, state, raised_at) VALUES (?, 'IN_DOUBT', 'm', ?, ?)`,
          subject,
          state,
          NOW - 4000,
        );
      }
    });
    const samples = await figures();
    should(valueOf(samples, 'dropship_events', { state: 'open', kind: 'order' })).equal(1);
    should(valueOf(samples, 'dropship_events', { state: 'open', kind: 'bill' })).equal(1);
    should(valueOf(samples, 'dropship_events', { state: 'quarantined' })).equal(1);
    should(valueOf(samples, 'dropship_events', { state: 'closed' })).be.undefined();
    should(valueOf(samples, 'dropship_events_oldest_seconds', { state: 'open' })).equal(90);
    should(valueOf(samples, 'dropship_events_due')).equal(2);
    should(valueOf(samples, 'dropship_effects_in_doubt', { partner: 'vineyard' })).equal(2);
    should(valueOf(samples, 'dropship_effects_oldest_doubt_seconds', { partner: 'vineyard' })).equal(30);
    for (const state of ['waiting', 'asked', 'refused', 'sending'])
      should(valueOf(samples, `dropship_effects_${state}`, { partner: 'mill' })).equal(1, state);
    should(valueOf(samples, 'dropship_exceptions_open', { code: 'IN_DOUBT' })).equal(2);
    should(valueOf(samples, 'dropship_exceptions_oldest_seconds', { code: 'IN_DOUBT' })).equal(4);
  });
});

describe('the cost of reading the ledger', () => {
  it('is spread over turns of the event loop, and every open event counts once', async () => {
    const store = await openFresh();
    await migrate(store);
    await store.transact(function* () {
      for (let number = 0; number < 5001; number++) {
        yield* query(
          `INSERT INTO event (partner, kind, dedupe_key, content_hash, body, state, stored_at, due_at) VALUES ('shop', ?, ?, 'h', '{}', ?, ?, ?)`,
          number % 3 === 0 ? 'bill' : 'order',
          String(number),
          number % 2 === 0 ? 'open' : 'stored',
          1000 - Math.floor(number / 10),
          number % 2 === 0 ? null : 1000,
        );
      }
    });
    let turns = 0;
    let reading = true;
    const count = () => {
      turns += 1;
      if (reading) setImmediate(count);
    };
    setImmediate(count);
    const samples = readExposition(exposition(await ledgerFigures(store, 1000)));
    reading = false;
    should(turns).be.aboveOrEqual(3);
    const of = (state: string, kind: string) => valueOf(samples, 'dropship_events', { state, kind });
    should([of('open', 'bill'), of('open', 'order'), of('stored', 'bill'), of('stored', 'order')]).eql([
      834, 1667, 833, 1667,
    ]);
    should(valueOf(samples, 'dropship_events_due')).equal(2500);
    should(valueOf(samples, 'dropship_events_oldest_seconds', { state: 'open' })).equal(0.5);
    await store.close();
  });

  it('does not grow with finished work: every statement goes by an index that holds the unfinished', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'dropline-metrics-'));
    try {
      const file = join(folder, 'ledger.sqlite');
      const store = await openSqlite(file);
      await migrate(store);
      await store.close();
      const statements = [openEvents(), countsOf([1], 0), families([], 0)].flatMap(statementsOf);
      should(statements.length).be.above(4);
      const database = new DatabaseSync(file);
      for (const { sql, parameters } of statements) {
        const plan = database.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...parameters);
        const access = plan.map(({ detail }) => String(detail)).filter((detail) => /^(SCAN|SEARCH)/.test(detail));
        should(access).have.length(1);
        should(access[0]).match(
          / (event_open|event_aside|effect_unsettled|exception_state|INTEGER PRIMARY KEY)\b/,
          sql,
        );
      }
      database.close();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

/** What a transaction asks of an empty database. */
function statementsOf(work: Transaction<unknown>): { sql: string; parameters: Value[] }[] {
  const statements = [];
  for (let step = work.next(); !step.done; step = work.next([])) statements.push(step.value);
  return statements;
}
