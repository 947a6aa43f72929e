import should from 'should';
import { putDocument } from '../../ledger/documents.ts';
import { declareRestored, notRoutedBefore } from '../../ledger/restored.ts';
import { Retention } from '../../ledger/retention.ts';
import { query } from '../../ledger/store.ts';
import { order } from '../orders/samples.ts';
import {
  bench,
  bindAll,
  effectState,
  exceptionOf,
  fact,
  FakePartner,
  openCodes,
  operationOf,
  receive,
  rejection,
  runNode,
  within,
  type Bench,
} from './harness.ts';
import type { Write } from '../../partners/write.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** The ledger lost what it did since its backup; the partners did not. */
describe('after the ledger was put back from a backup', () => {
  let at: Bench;
  let partner: FakePartner;
  let write: Write<{ id: string }>;

  /** An event of an order that was placed so long after the restore. */
  async function begin(settle: Write<{ id: string }>['settle'], placed: number, options: { whenMissing?: 'ask' } = {}) {
    write = partner.write(settle, 'PO-1', options);
    receive(at.ledger, 'order', (event) =>
      runNode(at.ledger, event.id, () => at.ledger.effects.operation(operationOf(event.id, 'PO-1', write))),
    );
    const placedAt = new Date(at.clock.time + placed).toISOString();
    await fact(at.ledger, 'shop-nz', 'order', 'order:1001', { order: order({ placedAt }) });
    await at.clock.advance(5000);
  }

  beforeEach(async () => {
    at = await bench();
    partner = new FakePartner(at.clock);
    await bindAll(at.ledger);
    await at.ledger.start();
    await declareRestored(at.ledger.core, undefined, 'bob');
  });
  afterEach(() => at.close());

  const state = async () => (await effectState(at.ledger, 'po-create/erp-main/PO-1/create'))?.state;

  it('what the partner has already is found and adopted, and not sent again', async () => {
    partner.done.set('PO-1', 1);
    await begin('probe', -DAY);
    should([partner.requests.length, partner.finds, partner.times('PO-1')]).deepEqual([0, 1, 1]);
    should(await state()).equal('done');
  });

  it('what the partner does not have is sent, once', async () => {
    await begin('probe', -DAY);
    should([partner.requests.length, partner.finds, partner.times('PO-1')]).deepEqual([1, 1, 1]);
    should(await state()).equal('done');
  });

  it('while the partner cannot be asked, nothing is sent; also when the process dies before it is', async () => {
    partner.blind = Infinity;
    await begin('probe', -DAY);
    should([partner.requests.length, partner.times('PO-1')]).deepEqual([0, 0]);
    partner.done.set('PO-1', 1);
    partner.blind = 0;
    await at.restart();
    await bindAll(at.ledger);
    receive(at.ledger, 'order', (event) =>
      runNode(at.ledger, event.id, () => at.ledger.effects.operation(operationOf(event.id, 'PO-1', write))),
    );
    await at.ledger.start();
    await at.clock.advance(60_000);
    should([partner.requests.length, partner.times('PO-1')]).deepEqual([0, 1]);
    should(await state()).equal('done');
  });

  it('money that is not found at the bank is a person’s matter', async () => {
    await begin('probe', -DAY, { whenMissing: 'ask' });
    should(partner.requests.length).equal(0);
    should(await state()).equal('asked');
    (await openCodes(at.ledger)).should.containEql('IN_DOUBT');
  });

  it('money that is found at the bank is adopted', async () => {
    partner.done.set('PO-1', 1);
    await begin('probe', -DAY, { whenMissing: 'ask' });
    should([partner.requests.length, await state()]).deepEqual([0, 'done']);
  });

  it('where nobody can be asked, a person is; what that person has tried again is sent', async () => {
    await begin('ask', -DAY);
    should(partner.requests.length).equal(0);
    const exception = await exceptionOf(at.ledger, 'IN_DOUBT');
    exception.message.should.match(/put back from a backup/);
    await at.ledger.retryException(exception.id, 'bob');
    await at.clock.advance(5000);
    should(partner.times('PO-1')).equal(1);
  });

  it('what the partner recognises by its key is sent with the same key', async () => {
    partner.deduplicates = true;
    await partner.create('PO-1', 'po-create/erp-main/PO-1/create');
    await begin('idempotent', -DAY);
    should([partner.requests.length, partner.times('PO-1'), await state()]).deepEqual([2, 1, 'done']);
  });

  it('an order that was placed after it is new: nothing is looked up, nobody is asked', async () => {
    await begin('probe', 2 * HOUR);
    should([partner.requests.length, partner.finds, partner.times('PO-1')]).deepEqual([1, 0, 1]);
  });

  it('a new order needs no person at a partner that cannot be asked either', async () => {
    await begin('ask', 2 * HOUR);
    should([partner.times('PO-1'), await state()]).deepEqual([1, 'done']);
  });

  it('an older order is not routed a second time before a person has looked; a new one is at once', async () => {
    const placedAt = (after: number) => new Date(at.clock.time + after).toISOString();
    await within(at.ledger, () => putDocument(order({ id: 'old', placedAt: placedAt(-DAY) }), at.clock.time));
    await within(at.ledger, () => putDocument(order({ id: 'new', placedAt: placedAt(2 * HOUR) }), at.clock.time));
    should(await rejection(within(at.ledger, () => notRoutedBefore('old')))).equal('MAYBE_ROUTED');
    should(await rejection(within(at.ledger, () => notRoutedBefore('new')))).equal(undefined);
    await within(at.ledger, () =>
      query(
        `INSERT INTO exception (subject, code, message, order_id, state, raised_at) VALUES ('x', 'MAYBE_ROUTED', '', 'old', 'settled', 1)`,
      ),
    );
    should(await rejection(within(at.ledger, () => notRoutedBefore('old')))).equal(undefined);
  });
});

describe('an order whose personal data were removed', () => {
  let at: Bench;
  let partner: FakePartner;
  beforeEach(async () => {
    at = await bench();
    partner = new FakePartner(at.clock);
    await bindAll(at.ledger);
    receive(at.ledger, 'order');
    await at.ledger.start();
    await fact(at.ledger, 'shop-nz', 'order', 'order:1001', { order: order() });
    await at.clock.settle();
  });
  afterEach(() => at.close());

  const call = (reference: string, content: unknown) =>
    at.ledger.effects.operation(operationOf('1', reference, partner.write('probe', reference), { content }));

  async function redact(): Promise<void> {
    await at.clock.advance(120_000);
    await within(at.ledger, () => query(`DELETE FROM deadline`));
    await within(at.ledger, () => query(`UPDATE exception SET state = 'settled'`));
    at.clock.time += 91 * DAY;
    const retention = new Retention(at.ledger.core, () => ({ redactAfterDays: 90 }));
    while (await retention.batch());
  }

  it('answers what was done from the record, whatever the rest of it says, and calls nobody', async () => {
    await call('PO-1', { shipTo: 'Mia Lind' });
    await redact();
    const again = await call('PO-1', { shipTo: '(removed)' });
    should(again).deepEqual({ result: { id: 'P-PO-1' }, replayed: true });
    should(partner.requests).deepEqual(['PO-1']);
  });

  it('is never sent to a partner: what is missing is a person’s matter', async () => {
    await redact();
    should(await rejection(call('PO-2', { shipTo: '(removed)' }))).equal('ORDER_REDACTED');
    should(partner.requests).deepEqual([]);
  });
});
