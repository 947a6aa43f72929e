import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import should from 'should';
import { openLedger } from '../../ledger/ledger.ts';
import { orderView, type EffectView, type OrderView } from '../../ledger/views.ts';
import type { Exception } from '../../ledger/exceptions.ts';
import { check } from '../../sandbox/check.ts';
import { Journey } from '../../scripts/journey.ts';
import { approveWaitingRuns } from '../../scripts/people.ts';
import { copyOf, goldenLedgers, replay, type Golden, type Replay } from '../golden/replay.ts';

/**
 * Ledgers that released versions wrote (`scripts/golden.ts`): whoever updates Dropline goes on with such a one, and with the flows
 * of then. Times are moved as if the old version had been stopped a moment ago.
 */
describe('A ledger that an older version wrote', function () {
  this.timeout(120_000);

  it('there is one of each kind for every released version', () => {
    const versions = (name: 'finished' | 'open') => goldenLedgers(name).map((golden) => golden.version);
    versions('finished').should.containEql('0.1.0');
    versions('open').should.deepEqual(versions('finished'));
  });

  for (const golden of [...goldenLedgers('finished'), ...goldenLedgers('open')]) {
    it(`${golden.title}: opens, twice, and shows its orders as they were`, async () => {
      const folder = mkdtempSync(join(tmpdir(), 'dropline-golden-'));
      try {
        const file = copyOf(golden, folder);
        for (const time of ['first', 'second']) {
          const ledger = await openLedger(file, quietTools);
          for (const { id, state } of golden.orders) {
            const view = await ledger.transact('view', () => orderView(id));
            should(view?.state).equal(state, `${id}, opened the ${time} time`);
            should(view!.history.length).be.above(0);
          }
          await ledger.close();
        }
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    });
  }

  for (const golden of goldenLedgers('finished')) {
    it(`${golden.title}: run again from its first event, it writes to no partner and changes no document`, async () => {
      let emitted = 0;
      const run = await replay(golden, (ledger) => {
        // What the flow was ever told is told again, as after a crash of which nobody knows how far it came.
        const told = ledger.prepare(
          `UPDATE event SET state = 'open', due_at = 0, closed_at = NULL WHERE emits IS NOT NULL RETURNING id`,
        );
        emitted = told.all().length;
      });
      try {
        const before = { log: [...run.sandbox.world.effects], books: booksOfThen(golden) };
        await until('every event to be closed again', async () => {
          const { events } = await run.red.get<{ events: { state: string; n: number }[] }>('/dropship/work');
          return !events.some((event) => ['open', 'stored', 'waiting'].includes(event.state));
        });
        await run.red.stop();
        const ledger = new DatabaseSync(run.ledger, { readOnly: true });
        const again = ledger.prepare(`SELECT COUNT(*) AS n FROM event WHERE emits IS NOT NULL AND emitted > 1`).get()!;
        ledger.close();
        should(Number(again['n'])).equal(emitted).and.be.above(30);
        run.sandbox.world.effects.should.deepEqual(before.log);
        books(run.ledger).should.deepEqual(before.books);
      } finally {
        await run.close();
      }
    });
  }

  for (const golden of goldenLedgers('open')) {
    it(`${golden.title}: goes on where it was killed, and ends with nothing lost and nothing done twice`, async () => {
      const run = await replay(golden);
      try {
        const ids = golden.orders.map((order) => order.id);
        const journey = new Journey(() => undefined);
        let views: OrderView[] = [];
        await until(
          'every order to be at its end',
          async () => {
            views = await look(run, ids);
            await actAsPeople(run, views);
            return views.length === ids.length && views.every((view) => journey.isSettled(view));
          },
          () => views.filter((view) => !journey.isSettled(view)).map(describeView),
        );
        let problems: string[] = [];
        await until(
          'ledger and partners to agree',
          async () => {
            problems = check({
              views: await look(run, ids),
              effects: await run.red.get<EffectView[]>('/dropship/effects'),
              log: run.sandbox.world.effects,
            });
            return problems.length === 0;
          },
          () => problems,
          15_000,
        );
      } finally {
        await run.close();
      }
    });
  }
});

const quietTools = {
  now: () => Date.now(),
  random: () => 0.5,
  after: () => () => undefined,
  log: () => undefined,
  crashPoint: () => undefined,
};

/** The books of the golden ledger as that version left them. */
function booksOfThen(golden: Golden): Record<string, unknown>[] {
  const folder = mkdtempSync(join(tmpdir(), 'dropline-golden-'));
  try {
    return books(copyOf(golden, folder));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What must not differ after a replay: each effect with its attempts and result, each document, each exception. */
function books(file: string): Record<string, unknown>[] {
  const ledger = new DatabaseSync(file, { readOnly: true });
  try {
    return [
      `SELECT key, state, attempt, content_hash, summary, result, error_code, error FROM effect ORDER BY key`,
      `SELECT kind, id, order_id, partner, state, body FROM document ORDER BY kind, id`,
      `SELECT subject, code, state, message FROM exception ORDER BY code, subject`,
      `SELECT id, emits FROM event WHERE emits IS NOT NULL ORDER BY id`,
    ].flatMap((sql) =>
      ledger
        .prepare(sql)
        .all()
        .map((row) => ({ ...row })),
    );
  } finally {
    ledger.close();
  }
}

async function look({ red }: Replay, ids: string[]): Promise<OrderView[]> {
  const views: OrderView[] = [];
  for (const id of ids) {
    const view = await red.get<OrderView>(`/dropship/orders/${id}`).catch(() => undefined);
    if (view) views.push(view);
  }
  return views;
}

/** A clerk has what was refused tried again; finance asks what is due, and approves. */
async function actAsPeople({ red }: Replay, views: OrderView[]): Promise<void> {
  const exceptions = await red.get<Exception[]>('/dropship/exceptions').catch(() => []);
  for (const { id, code } of exceptions) {
    if (code === 'SUPPLIER_REJECTED') await red.post(`/dropship/exceptions/${id}/retry`);
  }
  if (views.some((view) => view.bills.some((bill) => bill.state === 'entered')))
    await red.post('/inject/dl-pay-ask').catch(() => undefined);
  await approveWaitingRuns(red).catch(() => undefined);
}

function describeView(view: OrderView): string {
  const exceptions = view.exceptions
    .filter((each) => each.state === 'open')
    .map((each) => `${each.code}: ${each.message}`);
  return [`${view.order.id} is ${view.state}.`, ...view.progress.paid.missing, ...exceptions].join(' ');
}

async function until(
  what: string,
  reached: () => Promise<boolean>,
  missing: () => string[] = () => [],
  patience = 60_000,
): Promise<void> {
  const end = Date.now() + patience;
  while (!(await reached())) {
    if (Date.now() > end) throw new Error([`Waited in vain for ${what}.`, ...missing()].join('\n  '));
    await delay(200);
  }
}
