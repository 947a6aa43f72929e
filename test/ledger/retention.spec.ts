import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import should from 'should';
import { getDocument, putDocument, setDocumentState } from '../../ledger/documents.ts';
import { raise, settle } from '../../ledger/exceptions.ts';
import { expectStep } from '../../ledger/deadlines.ts';
import { historyOf } from '../../ledger/history.ts';
import { openLedger } from '../../ledger/ledger.ts';
import { isRedacted, REDACTED, Retention } from '../../ledger/retention.ts';
import { query, type Transaction } from '../../ledger/store.ts';
import { effectList, orderView } from '../../ledger/views.ts';
import type { Address } from '../../orders/address.ts';
import { order, purchaseOrder } from '../orders/samples.ts';
import { copyOf, goldenLedgers } from '../golden/replay.ts';
import { bench, bindAll, fact, receive, within, type Bench } from './harness.ts';

const DAY = 24 * 3_600_000;

describe('removing personal data from orders that were finished long ago', () => {
  let folder: string;
  let file: string;
  let at: Bench;
  let retention: Retention;

  async function open(): Promise<void> {
    folder = mkdtempSync(join(tmpdir(), 'dropline-retention-'));
    file = join(folder, 'ledger.sqlite');
    // The ledger's own clock work stays out of it: here the test calls.
    const settings = { quietTime: 1000, retention: { redactAfterDays: 0 } };
    at = await bench(settings, file);
    await bindAll(at.ledger);
    for (const kind of ['order', 'shipment']) receive(at.ledger, kind);
    await at.ledger.start();
    retention = new Retention(at.ledger.core, () => ({ redactAfterDays: 90 }));
  }

  async function close(): Promise<void> {
    await at.ledger.close().catch(() => undefined);
    await at.close();
    rmSync(folder, { recursive: true, force: true });
  }

  beforeEach(open);
  afterEach(close);

  /** All that is due, as the timer does it; answers the number of batches. */
  async function redactAll(): Promise<number> {
    for (let batches = 1; ; batches += 1) if (!(await retention.batch())) return batches;
  }

  const person = (text: string): Address => ({
    name: `${text} name`,
    company: `${text} company`,
    street: `${text} street`,
    street2: `${text} street2`,
    postalCode: `${text} code`,
    city: `${text} city`,
    region: `${text} region`,
    country: 'AT',
    phone: `${text} phone`,
    email: `${text}@mail.test`,
  });

  /** An order with everything that may speak of its customer, run to its end. */
  async function finishedOrder(number: string, text: string): Promise<void> {
    const shipTo = person(text);
    const id = `shop-nz-${number}`;
    const document = order({
      id,
      shopOrderId: number,
      number,
      shipTo,
      billTo: shipTo,
      customer: { name: `${text} name`, email: `${text}@mail.test`, shopCustomerId: `C-${number}` },
      note: `${text} note`,
    });
    const body = { order: document, secret_field_of_the_shop: { deep: [`${text} in a field that we do not know`] } };
    await at.ledger.store(
      'shop-nz',
      [{ kind: 'order', dedupeKey: `order:${number}`, body }],
      `raw ${JSON.stringify(body)}`,
    );
    await at.clock.settle();
    const eventId = await lastEvent();
    const po = purchaseOrder({ id: `${id}-1`, orderId: id, shipTo, state: 'shipped' });
    await within(at.ledger, () => putDocument(po, at.ledger.core.now()));
    await at.ledger.effects.once({
      eventId,
      orderId: id,
      kind: 'allocate',
      document: `${id}/1`,
      content: { number },
      *decide() {
        yield* query(`SELECT 1`);
        return { purchaseOrders: [po] };
      },
    });
    await within(at.ledger, function* () {
      const message = `The ERP refused "${text} street", because ${text} name is not known.`;
      yield* raise(at.ledger.core.now(), { subject: `so ${id}`, code: 'REFUSED', message, orderId: id, eventId });
      yield* settle(at.ledger.core.now(), { subject: `so ${id}` }, 'bob', `Spoke with ${text} name on the phone.`);
      yield* query(`UPDATE effect SET error = ? WHERE order_id = ?`, message, id);
      yield* setDocumentState('order', id, 'complete', at.ledger.core.now());
      // Its deadlines were met.
      yield* query(`DELETE FROM deadline WHERE order_id = ?`, id);
    });
    await at.clock.advance(5000);
  }

  async function lastEvent(): Promise<string> {
    const [row] = await within(at.ledger, () => query<{ id: number }>(`SELECT MAX(id) AS id FROM event`));
    return String(row!.id);
  }

  /** The bytes of the database and what lies beside it, once it is closed. */
  async function bytes(): Promise<string> {
    await at.ledger.close();
    return readFileSync(file).toString('utf8');
  }

  it('whatever an order, its shop and its exceptions say of a person, nothing of it is left anywhere in the file', async function () {
    this.timeout(120_000);
    await close();
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(
          // As people write: quotes, umlauts, backslashes, line breaks; long ones fill pages of their own.
          fc
            .tuple(
              fc.string({ unit: fc.constantFrom('a', 'Z', '"', '\\', 'ü', ' ', '\n', '<', '&', '💶'), maxLength: 8 }),
              fc.constantFrom(1, 1, 400),
            )
            .map(([odd, times]) => `${'canary'.repeat(times)}${odd}CANARY`),
          { minLength: 1, maxLength: 4, selector: (text) => text },
        ),
        async (texts) => {
          await open();
          try {
            for (const [index, text] of texts.entries()) await finishedOrder(String(index + 1), text);
            at.clock.time += 91 * DAY;
            await redactAll();
            const left = await bytes();
            should(left.toLowerCase().indexOf('canary')).equal(-1, excerpt(left));
          } finally {
            await close();
          }
        },
      ),
      { numRuns: 15 },
    );
    await open();
  });

  it('ids, quantities and amounts stay, and the desk still shows the order', async () => {
    await finishedOrder('7', 'canary');
    const before = (await within(at.ledger, () => orderView('shop-nz-7')))!;
    at.clock.time += 91 * DAY;
    await redactAll();
    const after = (await within(at.ledger, () => orderView('shop-nz-7')))!;
    after.order.lines.should.deepEqual(before.order.lines);
    after.order.total.should.deepEqual(before.order.total);
    should(after.order.customer).deepEqual({ name: REDACTED, email: REDACTED, shopCustomerId: 'C-7' });
    should(after.order.shipTo).match({ name: REDACTED, street: REDACTED, country: 'AT' });
    should(after.order.note).equal(REDACTED);
    should(after.state).equal('complete');
    should(after.purchaseOrders[0]!.lines).deepEqual(before.purchaseOrders[0]!.lines);
    should(after.exceptions[0]!.message).equal(`The ERP refused "${REDACTED}", because ${REDACTED} is not known.`);
    const history = await within(at.ledger, () => historyOf('shop-nz-7'));
    should(history.at(-1)?.what).equal('personal data removed');
    should(await within(at.ledger, () => isRedacted('shop-nz-7'))).be.true();
  });

  it('a repeat of an old event is still recognised, and a finished decision still answers for its content', async () => {
    await finishedOrder('7', 'canary');
    const [event] = await within(at.ledger, () => query(`SELECT * FROM event`));
    at.clock.time += 91 * DAY;
    await redactAll();
    const again = await fact(at.ledger, 'shop-nz', 'order', 'order:7', JSON.parse(String(event!['body'])));
    should(again).deepEqual({ stored: 0, repeated: 1 });
    const effects = await within(at.ledger, () => effectList());
    effects.map(({ key, state }) => [key, state]).should.deepEqual([['allocate/shop-nz-7/1', 'done']]);
    const [row] = await within(at.ledger, () => query(`SELECT content_hash FROM event`));
    should(row!['content_hash']).equal(event!['content_hash']);
  });

  it('is not done before its time, and not done twice', async () => {
    await finishedOrder('7', 'canary');
    at.clock.time += 89 * DAY;
    await redactAll();
    should(await within(at.ledger, () => isRedacted('shop-nz-7'))).be.false();
    at.clock.time += 2 * DAY;
    await redactAll();
    const removals = async () =>
      (await within(at.ledger, () => historyOf('shop-nz-7'))).filter((entry) => entry.what === 'personal data removed');
    should(await removals()).have.length(1);
    should(await redactAll()).equal(1);
    should(await removals()).have.length(1);
  });

  const ALIVE: Record<string, (id: string) => Transaction<unknown>> = {
    'an exception that a person has not settled': (id) =>
      raise(at.ledger.core.now(), { subject: id, code: 'X', message: 'x', orderId: id }),
    'a deadline to come': (id) => expectStep(`send ${id}`, 'It was not sent.', at.clock.time + 900 * DAY, id),
    'an event that is open': (id) =>
      query(`UPDATE event SET state = 'waiting', due_at = ? WHERE order_id = ?`, at.clock.time + 900 * DAY, id),
    'an effect that is in doubt': (id) =>
      query(`UPDATE effect SET state = 'in-doubt', due_at = ? WHERE order_id = ?`, at.clock.time + 900 * DAY, id),
    'a bill that is not paid': (id) =>
      query(
        `INSERT INTO document (kind, id, order_id, partner, state, body, updated_at) VALUES ('bill', 'b', ?, 'vineyard', 'entered', '{}', 1)`,
        id,
      ),
    'a document of yesterday': (id) =>
      query(
        `UPDATE document SET updated_at = ? WHERE kind = 'purchase-order' AND order_id = ?`,
        at.clock.time + 90 * DAY,
        id,
      ),
  };
  for (const [what, make] of Object.entries(ALIVE)) {
    it(`an order with ${what} keeps its customer, and keeps no other order from losing theirs`, async () => {
      await finishedOrder('1', 'first');
      await finishedOrder('2', 'canary');
      for (const number of ['3', '4', '5', '6', '7']) await finishedOrder(number, `other${number}`);
      await within(at.ledger, () => make('shop-nz-2'));
      at.clock.time += 91 * DAY;
      await redactAll();
      should((await within(at.ledger, () => getDocument('order', 'shop-nz-2')))!.shipTo.name).equal('canary name');
      for (const number of ['1', '3', '4', '5', '6', '7'])
        should(await within(at.ledger, () => isRedacted(`shop-nz-${number}`))).equal(true, number);
    });
  }

  it('what could never be read is removed as well, once nobody has to look at it any more', async () => {
    await fact(at.ledger, 'shop-nz', 'order', 'broken', { order: { ...order(), lines: 'canary of a broken order' } });
    await at.clock.settle();
    await at.clock.advance(60_000);
    const unusable = () =>
      within(at.ledger, () => query<{ state: string; body: string; id: number }>(`SELECT id, state, body FROM event`));
    const [event] = await unusable();
    await within(at.ledger, () =>
      query(`UPDATE event SET state = 'unusable', order_id = NULL, due_at = NULL WHERE id = ?`, event!.id),
    );
    await within(at.ledger, () =>
      raise(at.ledger.core.now(), { subject: 'e', code: 'ORDER_INVALID', message: 'x', eventId: String(event!.id) }),
    );
    at.clock.time += 91 * DAY;
    await redactAll();
    should((await unusable())[0]!.body).match(/canary/);
    await within(at.ledger, () => query(`UPDATE exception SET state = 'settled'`));
    await redactAll();
    should((await unusable())[0]!.body).equal('{"redacted":true}');
  });

  it('works in small transactions by the clock, and stops when it is closed', async () => {
    for (let number = 1; number <= 12; number += 1) await finishedOrder(String(number), `canary${number}`);
    at.clock.time += 91 * DAY;
    retention.start();
    const left = async () =>
      Number(
        (
          await within(at.ledger, () =>
            query(`SELECT COUNT(*) AS n FROM document WHERE kind = 'order' AND redacted_at IS NULL`),
          )
        )[0]!['n'],
      );
    await at.clock.advance(61_000);
    should(await left()).equal(7);
    await at.clock.advance(3100);
    should(await left()).equal(2);
    await retention.close();
    await at.clock.advance(60_000);
    should(await left()).equal(2);
  });

  for (const golden of goldenLedgers('finished')) {
    it(`a real ledger (${golden.title}): of customers whose orders are finished nothing is left, and of the others all`, async () => {
      // Versions before 0.2.0 left remnants in unused parts of the file: cleaned once, as the CHANGELOG says.
      const copy = copyOf(golden, join(folder, 'golden'), (database) =>
        database.exec('PRAGMA secure_delete = ON; VACUUM'),
      );
      const now = Date.parse(golden.at) + 91 * DAY;
      const tools = {
        now: () => now,
        random: () => 0.5,
        after: () => () => undefined,
        log: () => undefined,
        crashPoint: () => undefined,
      };
      const ledger = await openLedger(copy, tools);
      const paid = await ledger.transact('view', () =>
        query(
          `SELECT key, state, result FROM effect WHERE kind IN ('pay-send', 'payables', 'pay-register') ORDER BY key`,
        ),
      );
      retention = new Retention(ledger.core, () => ({ redactAfterDays: 90 }));
      await redactAll();
      const still = await ledger.transact('view', () =>
        query(
          `SELECT key, state, result FROM effect WHERE kind IN ('pay-send', 'payables', 'pay-register') ORDER BY key`,
        ),
      );
      should(still).deepEqual(paid);
      for (const { id, state } of golden.orders)
        should((await ledger.transact('view', () => orderView(id)))?.state).equal(state);
      await ledger.close();
      const left = readFileSync(copy).toString('utf8');
      const gone = [
        'Erika',
        'Musterweg',
        'Jana',
        'Nov\u00e1kov',
        'Kv\u011btn',
        'Beispiel',
        'Ringstra',
        'erika@',
        '5550101',
        '555 010 103',
      ];
      for (const text of gone) should(left.indexOf(text)).equal(-1, `${text}: ${excerpt(left, text)}`);
      left.should.containEql('Mario Rossi');
    });
  }
});

function excerpt(text: string, around = 'canary'): string {
  const index = text.toLowerCase().indexOf(around.toLowerCase());
  return index < 0 ? '' : text.slice(Math.max(0, index - 80), index + 120);
}
