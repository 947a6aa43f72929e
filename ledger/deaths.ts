import type { EventRow } from './events.ts';
import { OPEN } from './schema.ts';
import { query, queryOne, type Transaction } from './store.ts';

/**
 * Which event it was that killed a process. What was in work when it died is suspected after the second time, and from then on
 * emitted apart from all else: a third of those that are suspected most, then a third of what remains. Where the process dies on several, those
 * are the ones that are suspected most from then on, so a few deaths find the one of many. Only who dies alone, again and again, is set aside,
 * and nobody else with it.
 *
 * It stands in `event.suspicion`, one of the words below. A number after it says how many trials the event has been through without harm, after
 * which its process died all the same.
 */

/** It was in work, with others, when its process died. */
const IN_WORK = 'in work';

/** It was being tried. */
const ON_TRIAL = 'on trial';

/** It was tried and did no harm, or not yet. */
const TRIED = 'tried';

/** From how many attempts on an event that was in work when its process died is tried apart. */
const SUSPICIOUS = 2;

/** Condition for events that the process died on when they were tried, alone or together: they are suspected most. */
export const WAS_ON_TRIAL = `suspicion LIKE '${ON_TRIAL}%'`;

/** Condition for events that are to be tried. `isSuspected` says the same of a row. */
export const SUSPECTED = `(suspicion LIKE '${IN_WORK}%' OR ${WAS_ON_TRIAL}) AND attempts >= ${SUSPICIOUS}`;
export const MOST_SUSPECTED_FIRST = `CASE WHEN ${WAS_ON_TRIAL} THEN 0 ELSE 1 END, attempts DESC, due_at, id`;

export function isSuspected({ suspicion, attempts }: Pick<EventRow, 'suspicion' | 'attempts'>): boolean {
  return (suspicion?.startsWith(IN_WORK) || suspicion?.startsWith(ON_TRIAL)) === true && Number(attempts) >= SUSPICIOUS;
}

/** How many of so many that are suspected alike are tried at a time. */
export function triedTogether(alike: number): number {
  return Math.ceil(alike / 3);
}

/** How many trials the most tried of these events has been through. */
export function trialsOf(rows: Pick<EventRow, 'suspicion'>[]): number {
  return Math.max(0, ...rows.map(({ suspicion }) => Number(/ (\d+)$/.exec(suspicion ?? '')?.[1] ?? 0)));
}

/** The `suspicion` of one that has come through so many trials. */
export function tried(trials: number): string {
  return `${TRIED} ${trials}`;
}

/** Milliseconds without a step after which those that are tried are held to be harmless, at first. */
const TRIAL = 1000;

/**
 * Some kill only after a while. Each trial that was followed by a death all the same doubles the time for which the next one is watched, up to
 * the very end of its events.
 * @param trials how many they have been through before
 */
export function trialTime(trials: number, quietTime: number): number {
  const time = TRIAL * 2 ** trials;
  return time >= quietTime && trials > 0 ? Infinity : Math.min(time, quietTime);
}

/**
 * Notes what dead processes had in work, before it is given to others.
 * @param ofTheDead condition on `owner`, with its parameters
 */
export function* noteDeaths(ofTheDead: string, ...parameters: string[]): Transaction<void> {
  const inWork = `${OPEN} AND state = 'open' AND due_at IS NULL AND ${ofTheDead}`;
  const others = yield* queryOne(
    `SELECT id FROM event WHERE ${inWork} AND suspicion LIKE '${TRIED}%' LIMIT 1`,
    ...parameters,
  );
  const onTrial = yield* query(`SELECT id FROM event WHERE ${inWork} AND ${SUSPECTED} LIMIT 2`, ...parameters);
  // It counts only where it was certainly this one: not another one that was tried with it, nor one that was tried before and was still in work.
  yield* query(
    `UPDATE event SET suspicion = REPLACE(suspicion, '${IN_WORK}', '${ON_TRIAL}'), attempts = attempts - ? WHERE ${inWork} AND ${SUSPECTED}`,
    others || onTrial.length > 1 ? 1 : 0,
    ...parameters,
  );
  yield* query(
    `UPDATE event SET suspicion = REPLACE(COALESCE(suspicion, '${IN_WORK}'), '${TRIED}', '${IN_WORK}')
     WHERE ${inWork} AND (suspicion IS NULL OR NOT ${WAS_ON_TRIAL})`,
    ...parameters,
  );
}
