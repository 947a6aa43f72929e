import { query, queryOne, type Transaction } from './store.ts';

/**
 * Which event it was that killed a process. What was in work when it died is suspected after the second time, and from then on
 * emitted alone; who dies alone again and again is set aside, and nobody else with it.
 */

/** `suspicion` of an event that was in work, with others, when its process died. */
const IN_WORK = 'in work';

/** Of one that was being tried alone. */
const ON_TRIAL = 'on trial';

/** Of one that was tried alone and did no harm, or not yet. */
export const TRIED = 'tried';

/** From how many attempts on an event that was in work when its process died is tried alone. */
const SUSPICIOUS = 2;

/** Condition for events that are to be tried alone; the first of them had the process die on it. */
export const SUSPECTED = `suspicion IN ('${IN_WORK}', '${ON_TRIAL}') AND attempts >= ${SUSPICIOUS}`;
export const MOST_SUSPECTED_FIRST = `CASE WHEN suspicion = '${ON_TRIAL}' THEN 0 ELSE 1 END, attempts DESC, due_at, id`;

/** Milliseconds without a step after which an event that is tried alone is held to be harmless, at first. */
const TRIAL = 1000;

/**
 * Some kill only after a while. Each emission doubles the time for which the event is watched, up to its very end.
 * @param emission which run of the event through the flow it is
 */
export function trialTime(emission: number, quietTime: number): number {
  const time = TRIAL * 2 ** Math.max(0, emission - SUSPICIOUS - 1);
  return time >= quietTime && emission > SUSPICIOUS + 1 ? Infinity : Math.min(time, quietTime);
}

/**
 * Notes what dead processes had in work, before it is given to others.
 * @param ofTheDead condition on `owner`, with its parameters
 */
export function* noteDeaths(ofTheDead: string, ...parameters: string[]): Transaction<void> {
  const inWork = `state = 'open' AND due_at IS NULL AND ${ofTheDead}`;
  const tried = yield* queryOne(
    `SELECT id FROM event WHERE ${inWork} AND suspicion = '${TRIED}' LIMIT 1`,
    ...parameters,
  );
  // It may have been one that was tried before and was still in work: then this one is only the first to be tried again.
  yield* query(
    `UPDATE event SET suspicion = '${ON_TRIAL}', attempts = attempts - ? WHERE ${inWork} AND ${SUSPECTED}`,
    tried ? 1 : 0,
    ...parameters,
  );
  yield* query(
    `UPDATE event SET suspicion = '${IN_WORK}' WHERE ${inWork} AND (suspicion IS NULL OR suspicion <> '${ON_TRIAL}')`,
    ...parameters,
  );
}
