import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Family, Sample } from './metrics.ts';
import { OPEN } from './schema.ts';
import { inPlaces, placesFor, query, queryOne, type Store, type Transaction } from './store.ts';

/** States of effects that do not come right by themselves at once, as what they are called in the metrics. */
const UNSETTLED: { state: string; name: string; help: string }[] = [
  {
    state: 'sending',
    name: 'dropship_effects_sending',
    help: 'Calls under way, or that a dead process had under way.',
  },
  {
    state: 'in-doubt',
    name: 'dropship_effects_in_doubt',
    help: 'Calls of which it is not known whether they were done.',
  },
  { state: 'waiting', name: 'dropship_effects_waiting', help: 'Calls that failed and are made again by themselves.' },
  { state: 'asked', name: 'dropship_effects_asked', help: 'Calls in doubt that only a person can settle.' },
  { state: 'refused', name: 'dropship_effects_refused', help: 'Calls that a partner has refused, ever since.' },
];

/** Open events looked at in one turn of the event loop. There may be a hundred thousand, and an order that comes in must not wait for them all. */
const LOOKED_AT_ONCE = 2000;
const PLACES = placesFor(LOOKED_AT_ONCE);

interface Count {
  state: string;
  kind: string;
  n: number;
  due: number;
  oldest: number;
}

/**
 * What stands in the ledger now, as numbers. Reads what is unfinished, by the partial indexes that hold nothing else: its cost does not
 * depend on how many orders were finished.
 * @param now milliseconds since 1970, by the ledger's clock
 */
export async function ledgerFigures({ read }: Pick<Store, 'read'>, now: number): Promise<Family[]> {
  const open: Count[] = [];
  const ids = await read(openEvents);
  for (let from = 0; from < ids.length; from += LOOKED_AT_ONCE) {
    open.push(...(await read(() => countsOf(ids.slice(from, from + LOOKED_AT_ONCE), now))));
    await nextTurn();
  }
  return read(() => families(summed(open), now));
}

/**
 * From the index alone, and as one text, because a row each takes five times as long. Whatever happens to one of them before it is looked at, it counts
 * once, or no more when it is closed by then.
 */
export function* openEvents(): Transaction<number[]> {
  const row = yield* queryOne<{ ids: string | null }>(
    `SELECT string_agg(CAST(id AS TEXT), ',') AS ids FROM event WHERE ${OPEN}`,
  );
  return row?.ids ? row.ids.split(',').map(Number) : [];
}

export function* countsOf(ids: number[], now: number): Transaction<Count[]> {
  return yield* query<Count>(
    `SELECT state, kind, COUNT(*) AS n, SUM(CASE WHEN due_at <= ? THEN 1 ELSE 0 END) AS due, MIN(stored_at) AS oldest
     FROM event WHERE id IN (${PLACES}) AND ${OPEN} GROUP BY state, kind`,
    now,
    ...inPlaces(ids, LOOKED_AT_ONCE),
  );
}

function summed(counts: Count[]): Count[] {
  const sums = new Map<string, Count>();
  for (const { state, kind, n, due, oldest } of counts) {
    const sum = sums.get(`${state} ${kind}`) ?? { state, kind, n: 0, due: 0, oldest: Infinity };
    sum.n += Number(n);
    sum.due += Number(due);
    sum.oldest = Math.min(sum.oldest, Number(oldest));
    sums.set(`${state} ${kind}`, sum);
  }
  return [...sums.values()];
}

export function* families(open: Count[], now: number): Transaction<Family[]> {
  const aside = yield* query<{ state: string; kind: string; n: number; oldest: number }>(
    `SELECT state, kind, COUNT(*) AS n, MIN(stored_at) AS oldest FROM event WHERE state IN ('quarantined', 'unusable') GROUP BY state, kind`,
  );
  const effects = yield* query<{ state: string; partner: string | null; n: number }>(
    `SELECT state, partner, COUNT(*) AS n FROM effect WHERE state <> 'done' GROUP BY state, partner`,
  );
  const doubts = yield* query<{ partner: string | null; oldest: number }>(
    `SELECT partner, MIN(started_at) AS oldest FROM effect WHERE state <> 'done' AND state = 'in-doubt' GROUP BY partner`,
  );
  const exceptions = yield* query<{ code: string; n: number; oldest: number }>(
    `SELECT code, COUNT(*) AS n, MIN(raised_at) AS oldest FROM exception WHERE state = 'open' GROUP BY code`,
  );
  const events = [...open, ...aside];
  const age = (since: number) => Math.max(0, now - Number(since)) / 1000;
  const oldest = new Map<string, number>();
  for (const row of events) oldest.set(row.state, Math.max(oldest.get(row.state) ?? 0, age(row.oldest)));

  return [
    gauge(
      'dropship_events',
      'Events that are not closed, by state and kind.',
      events.map(({ state, kind, n }) => ({ labels: { state, kind }, value: Number(n) })),
    ),
    gauge(
      'dropship_events_oldest_seconds',
      'Age of the oldest event that is not closed, by state.',
      [...oldest].map(([state, value]) => ({ labels: { state }, value })),
    ),
    gauge('dropship_events_due', 'Events that are due and not in work yet: the length of the queue.', [
      { labels: {}, value: open.reduce((sum, { due }) => sum + due, 0) },
    ]),
    ...UNSETTLED.map(({ state, name, help }) =>
      gauge(
        name,
        help,
        effects
          .filter((row) => row.state === state)
          .map(({ partner, n }) => ({ labels: { partner: partner ?? '' }, value: Number(n) })),
      ),
    ),
    gauge(
      'dropship_effects_oldest_doubt_seconds',
      'Age of the oldest call in doubt.',
      doubts.map((row) => ({ labels: { partner: row.partner ?? '' }, value: age(row.oldest) })),
    ),
    gauge(
      'dropship_exceptions_open',
      'What waits for a person, by code.',
      exceptions.map(({ code, n }) => ({ labels: { code }, value: Number(n) })),
    ),
    gauge(
      'dropship_exceptions_oldest_seconds',
      'Age of what has waited longest for a person, by code.',
      exceptions.map((row) => ({ labels: { code: row.code }, value: age(row.oldest) })),
    ),
  ];
}

/** A family of numbers that go up and down. */
export function gauge(name: string, help: string, samples: Sample[]): Family {
  return { name, help, type: 'gauge', samples };
}
