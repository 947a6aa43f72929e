import should from 'should';
import { isSuspected, noteDeaths, SUSPECTED, tried, triedTogether, trialsOf, trialTime } from '../../ledger/deaths.ts';
import { migrate } from '../../ledger/schema.ts';
import { query, type Store, type Transaction } from '../../ledger/store.ts';
import { openFresh } from './harness.ts';

interface Row {
  id: number;
  suspicion: string | null;
  attempts: number;
}

describe('what a death says of the events in work', () => {
  let store: Store;
  beforeEach(async () => {
    store = await openFresh();
    await migrate(store);
  });
  afterEach(() => store.close());

  /** Events in work, by what stood about them: how suspected they are, and their attempts. */
  async function afterDeath(...before: [suspicion: string | null, attempts: number][]): Promise<Row[]> {
    return store.transact(function* (): Transaction<Row[]> {
      for (const [index, [suspicion, attempts]] of before.entries()) {
        yield* query(
          `INSERT INTO event (partner, kind, dedupe_key, content_hash, body, state, owner, stored_at, suspicion, attempts)
           VALUES ('shop', 'order', ?, 'h', '{}', 'open', 'dead', 1, ?, ?)`,
          String(index),
          suspicion,
          attempts,
        );
      }
      yield* noteDeaths(`owner = ?`, 'dead');
      return yield* query<Row>(`SELECT id, suspicion, attempts FROM event ORDER BY id`);
    });
  }
  const said = (rows: Row[]) => rows.map(({ suspicion, attempts }) => [suspicion, Number(attempts)]);

  it('counts against one that was tried alone', async () => {
    should(said(await afterDeath(['in work', 3]))).eql([['on trial', 3]]);
  });

  it('counts against it again, and keeps how often it was tried before', async () => {
    should(said(await afterDeath(['on trial 2', 4]))).eql([['on trial 2', 4]]);
  });

  it('counts against none of several that were tried together, and makes them the first to be tried', async () => {
    should(said(await afterDeath(['in work', 3], ['in work 1', 3], ['on trial', 3]))).eql([
      ['on trial', 2],
      ['on trial 1', 2],
      ['on trial', 2],
    ]);
  });

  it('counts against nobody while one that was tried before is in work, and that one is watched longer the next time', async () => {
    should(said(await afterDeath([tried(2), 2], ['in work', 3]))).eql([
      ['in work 2', 2],
      ['on trial', 2],
    ]);
  });

  it('makes a suspect of what was in work for no reason of its own, from the second time on', async () => {
    const rows = await afterDeath([null, 1], [null, 2]);
    should(said(rows)).eql([
      ['in work', 1],
      ['in work', 2],
    ]);
    should(rows.map(isSuspected)).eql([false, true]);
  });

  it('is read the same by the database and here', async () => {
    const rows = await afterDeath(
      [null, 2],
      ['in work', 1],
      ['in work 1', 3],
      ['on trial', 3],
      [tried(1), 2],
      [null, 2],
      [null, 2],
    );
    await store.transact(function* () {
      yield* query(`UPDATE event SET suspicion = NULL WHERE id = 6`);
      yield* query(`UPDATE event SET suspicion = ? WHERE id = 7`, tried(1));
    });
    const [all, found] = await store.read(function* () {
      return [
        yield* query<Row>(`SELECT id, suspicion, attempts FROM event ORDER BY id`),
        yield* query<Row>(`SELECT id FROM event WHERE ${SUSPECTED} ORDER BY id`),
      ] as const;
    });
    should(rows).have.length(7);
    should(found.length).be.within(3, 5);
    should(found.map(({ id }) => Number(id))).eql(all.filter(isSuspected).map(({ id }) => Number(id)));
  });
});

describe('a trial', () => {
  it('is of a third of the suspects, and in the end of one', () => {
    should([1, 2, 3, 4, 100].map(triedTogether)).eql([1, 1, 1, 2, 34]);
  });

  it('takes a second, and twice as long for each one before that was followed by a death, until its events are closed', () => {
    should([0, 1, 2, 4, 5, 6].map((trials) => trialTime(trials, 30_000))).eql([
      1000,
      2000,
      4000,
      16_000,
      Infinity,
      Infinity,
    ]);
    should(trialTime(0, 400)).equal(400);
  });

  it('takes as long as the most tried of its events needs', () => {
    should(trialsOf([])).equal(0);
    should(
      trialsOf([{ suspicion: null }, { suspicion: 'in work' }, { suspicion: 'on trial 3' }, { suspicion: tried(2) }]),
    ).equal(3);
  });
});
