import should from 'should';
import { raise } from '../../ledger/exceptions.ts';
import {
  bench,
  effectState,
  eventState,
  exceptionOf,
  fact,
  FakePartner,
  openCodes,
  operationOf,
  receive,
  runNode,
  supplier,
  type Bench,
} from './harness.ts';

const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: { code?: string }) => error.code,
  );

describe('what a person can do about an exception', () => {
  let at: Bench;
  beforeEach(async () => {
    at = await bench();
    await at.ledger.start();
  });
  afterEach(() => at.close());

  it('a decision that is recorded is not "tried again": the exception stays until somebody settles it', async () => {
    await fact(at.ledger, 'erp-main', 'payables-asked', 'q', {});
    await at.ledger.transact('test', () =>
      raise(at.clock.now(), {
        subject: 'route shop-nz-1 1',
        code: 'NOBODY_DELIVERS',
        message: 'Nobody.',
        eventId: '1',
      }),
    );
    const { id } = await exceptionOf(at.ledger, 'NOBODY_DELIVERS');
    should(await codeOf(at.ledger.retryException(id, 'jo'))).equal('NOTHING_TO_RETRY');
    (await openCodes(at.ledger)).should.deepEqual(['NOBODY_DELIVERS']);
    await at.ledger.settleException(id, 'jo', 'Bought it round the corner.');
    (await openCodes(at.ledger)).should.deepEqual([]);
    should(await codeOf(at.ledger.settleException(id, 'jo', 'again'))).equal('EXCEPTION_UNKNOWN');
  });

  it('a call that is tried again looks first: what is there after all is taken over, not made a second time', async () => {
    const partner = new FakePartner(at.clock);
    partner.faults = ['unreachable'];
    receive(at.ledger, 'payables-asked', (event) =>
      runNode(at.ledger, event.id, () =>
        at.ledger.effects.operation(operationOf(event.id, 'PO-1', partner.write('probe', 'PO-1'))),
      ),
    );
    await at.ledger.partners.bind({ reference: 'erp-main', role: 'erp', product: 'test', baseUrl: 'https://erp.test' });
    await fact(at.ledger, 'erp-main', 'payables-asked', 'q', {});
    await at.clock.advance(100);
    partner.requests.length.should.equal(1);
    // "Connection refused" was not the whole truth, or a person has made it meanwhile.
    partner.done.set('PO-1', 1);
    await at.clock.advance(60_000);
    partner.requests.length.should.equal(1);
    should((await effectState(at.ledger, 'po-create/erp-main/PO-1/create'))?.state).equal('done');
  });

  it('facts of a partner whose config node was missing are judged as soon as it is there', async () => {
    await fact(at.ledger, 'vineyard', 'shipment', 's', {});
    await at.clock.advance(100);
    should((await eventState(at.ledger)).state).equal('waiting');
    const calls: string[] = [];
    await at.ledger.bindPartner({
      ...supplier('vineyard'),
      readSupplier: (kind) => {
        calls.push(kind);
        throw Object.assign(new Error('broken'), { name: 'TypeError' });
      },
    });
    await at.clock.settle();
    calls.should.deepEqual(['shipment']);
  });
});
