import should from 'should';
import { createGenericErp } from '../../partners/erp/generic.ts';
import type { ErpSystem } from '../../partners/erp/port.ts';
import { createRestJson } from '../../partners/supplier/rest-json.ts';
import type { Writer } from '../../partners/write.ts';
import {
  failure,
  order,
  partnerOf,
  purchaseOrder,
  startServer,
  type Answer,
  type PretendServer,
} from './generic-support.ts';

/** As the ledger after a person has given a number for the step. */
const adopting =
  (step: string, number: string): Writer =>
  (write) => {
    if (write.step !== step || !write.adopt) throw new Error(`${write.step} was not expected`);
    return write.adopt(number);
  };

describe("a person's number for a call", () => {
  let server: PretendServer;
  let answer: () => Answer;
  beforeEach(async () => {
    answer = () => ({ status: 500 });
    server = await startServer(() => answer());
  });
  afterEach(() => server.close());

  const code = async (work: Promise<unknown>) => (await failure(work)).code;
  /** Nothing was changed at the partner. */
  const onlyRead = () => server.asked.every(({ method }) => method === 'GET').should.be.true();

  describe('to an ERP with any REST API', () => {
    const erp = (create: Record<string, unknown>): ErpSystem => {
      const none = { method: 'POST', path: '/x', settle: 'ask', response: '{ "id": body.id, "number": body.id }' };
      const operations = Object.fromEntries(
        ['createOrder', 'changePurchaseOrder', 'receiveShipment', 'enterBill', 'registerPayment'].map((name) => [
          name,
          none,
        ]),
      );
      const { settings, tools } = partnerOf(
        server,
        { auth: { type: 'none' }, operations: { ...operations, createPurchaseOrder: create } },
        {},
      );
      return createGenericErp(settings, tools);
    };
    const asking = {
      method: 'POST',
      path: '/orders',
      settle: 'ask',
      response: '{ "id": body.id, "number": body.number }',
    };
    const adopt = (create: Record<string, unknown>, number: string) =>
      erp(create).createPurchaseOrder(purchaseOrder, order, adopting('create', number));

    it('is believed where the ERP cannot be asked', async () => {
      should(await adopt(asking, 'PO-7')).match({ id: 'PO-7', number: 'PO-7' });
      should(server.asked).have.length(0);
    });

    it('is looked up where it can, and refused when the ERP does not have it or has it under another number', async () => {
      const probing = {
        ...asking,
        settle: 'probe',
        probe: {
          method: 'GET',
          path: '/orders/1',
          response: '{ "id": body.id, "number": body.number }',
          missing: [404],
        },
      };
      answer = () => ({ json: { id: '17', number: 'PO-7' } });
      should(await adopt(probing, 'PO-7')).match({ id: '17', number: 'PO-7' });
      should(await adopt(probing, '17')).match({ id: '17', number: 'PO-7' });
      should(await code(adopt(probing, 'PO-8'))).equal('NUMBER_DIFFERS');
      answer = () => ({ status: 404, json: {} });
      should(await code(adopt(probing, 'PO-7'))).equal('NUMBER_UNKNOWN');
      onlyRead();
    });

    it('fits a result that is put together of what the call answered', async () => {
      const result = '{ "id": results.create.id, "number": "N/" & results.create.number }';
      should(await adopt({ ...asking, result }, 'PO-7')).match({ id: 'PO-7', number: 'N/PO-7' });
    });
  });

  describe("to a supplier with Dropline's own protocol", () => {
    const supplier = () => {
      const { settings, tools } = partnerOf(server, {}, { apiKey: 'key', webhookSecret: 'whsec_c2VjcmV0' });
      return createRestJson(settings, tools);
    };
    const send = (number: string) => supplier().sendPurchaseOrder(purchaseOrder, adopting('send', number));

    it('is looked up, and refused when the supplier has none or another one', async () => {
      answer = () => ({ json: { id: 'V/77', number: purchaseOrder.id } });
      should(await send('V/77')).deepEqual({ supplierOrderId: 'V/77' });
      should(await send(purchaseOrder.id)).deepEqual({ supplierOrderId: 'V/77' });
      should(await code(send('V/78'))).equal('NUMBER_DIFFERS');
      answer = () => ({ status: 404, json: { error: { code: 'not_found' } } });
      should(await code(send('V/77'))).equal('NUMBER_UNKNOWN');
      onlyRead();
    });

    it('is believed for a cancellation, whose answer comes by itself', async () => {
      const lines = [{ line: '1', quantity: '3' }];
      const asked = supplier().requestCancellation(purchaseOrder, lines, 'why', adopting('ask', 'C-1'));
      should(await asked).deepEqual({ status: 'asked', number: 'C-1' });
    });
  });
});
