import { createHmac } from 'node:crypto';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import should from 'should';
import { BusinessRefusal, ConfigurationMistake, DroplineError, InDoubt, TemporaryFault } from '../../orders/errors.ts';
import { money } from '../../orders/money.ts';
import type { PurchaseOrder, PurchaseOrderLine } from '../../orders/purchase-order.ts';
import { createHttp } from '../../partners/http.ts';
import type { SupplierFactKind } from '../../partners/supplier/port.ts';
import { createRestJson } from '../../partners/supplier/rest-json.ts';
import type { Json, Write } from '../../partners/write.ts';
import { recording, recovering, sending } from './writers.ts';

interface Call {
  method: string;
  url: string;
  headers: IncomingMessage['headers'];
  body: string;
}

const KEY = Buffer.from('0123456789abcdef0123456789abcdef');
const SECRET = `whsec_${KEY.toString('base64')}`;
const NOW = Date.parse('2026-11-22T12:00:00Z');

function poLine(change: Partial<PurchaseOrderLine> = {}): PurchaseOrderLine {
  return {
    id: '1',
    orderLine: '11',
    sku: 'WINE-RED',
    supplierSku: 'VR-7',
    name: 'Red wine',
    quantity: '3',
    unitCost: money(810, 'EUR'),
    accepted: '0',
    freed: '0',
    shipped: '0',
    billed: '0',
    ...change,
  };
}

function purchaseOrder(lines = [poLine()]): PurchaseOrder {
  return {
    type: 'purchase-order',
    id: 'shop-1001-1',
    orderId: 'shop-1001',
    supplier: 'vineyard',
    round: 1,
    createdAt: '2026-11-22T11:00:00.000Z',
    currency: 'EUR',
    shipTo: {
      name: 'Ada Zoë',
      street: 'Weg 1',
      postalCode: '10115',
      city: 'Berlin',
      country: 'DE',
      email: 'ada@example.org',
      phone: '+49301',
    },
    lines,
    shipping: money(490, 'EUR'),
    total: money(2920, 'EUR'),
    revision: 0,
    state: 'allocated',
  };
}

describe('supplier by REST/JSON', () => {
  let server: Server;
  let calls: Call[];
  let answer: (call: Call) => { status: number; body: string } | undefined;
  let baseUrl: string;
  const http = createHttp({ partner: 'vineyard', timeout: 300 });

  before(async () => {
    server = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => {
        const call = {
          method: request.method ?? '',
          url: request.url ?? '',
          headers: request.headers,
          body: Buffer.concat(parts).toString(),
        };
        calls.push(call);
        const answered = answer(call);
        if (!answered) return request.socket.destroy();
        response.writeHead(answered.status, { 'content-type': 'application/json' });
        return response.end(answered.body);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  });
  after(async () => {
    http.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  beforeEach(() => {
    calls = [];
  });

  const supplier = (
    credentials: Record<string, string | undefined> = { apiKey: 'test-key', webhookSecret: SECRET },
    options = {},
  ) => createRestJson({ reference: 'vineyard', baseUrl, options, credentials }, { http, now: () => NOW });

  const json = (status: number, body: unknown) => ({ status, body: JSON.stringify(body) });
  const error = (status: number, code: string) => json(status, { error: { code, message: `because of ${code}` } });
  const received = { id: 'SO-77', number: 'shop-1001-1', status: 'received' };

  describe('sending a purchase order', () => {
    it('posts what the protocol says, with amounts and quantities as text', async () => {
      answer = () => json(201, received);
      const steps: Write<Json>[] = [];
      should(await supplier().sendPurchaseOrder(purchaseOrder(), recording(steps))).eql({ supplierOrderId: 'SO-77' });
      should(calls).have.length(1);
      should(calls[0]).match({ method: 'POST', url: '/v1/purchase-orders' });
      should(calls[0]?.headers).match({ authorization: 'Bearer test-key', 'idempotency-key': 'test/key' });
      should(JSON.parse(calls[0]?.body ?? '')).eql({
        number: 'shop-1001-1',
        orderedAt: '2026-11-22T11:00:00.000Z',
        currency: 'EUR',
        shipTo: {
          name: 'Ada Zoë',
          street: 'Weg 1',
          postalCode: '10115',
          city: 'Berlin',
          country: 'DE',
          phone: '+49301',
        },
        lines: [{ line: '1', sku: 'WINE-RED', supplierSku: 'VR-7', name: 'Red wine', quantity: '3', unitCost: '8.10' }],
        shipping: '4.90',
        total: '29.20',
      });
      should(steps).match([{ step: 'send', settle: 'probe' }]);
      should(JSON.stringify(steps[0]?.summary)).not.containEql('Ada');
    });

    it('leaves out what was given back before', async () => {
      answer = () => json(201, received);
      const lines = [poLine({ freed: '1' }), poLine({ id: '2', quantity: '2', freed: '2' })];
      await supplier().sendPurchaseOrder(purchaseOrder(lines), sending);
      should(JSON.parse(calls[0]?.body ?? '')).match({ lines: [{ line: '1', quantity: '2' }], total: '21.10' });
      should(JSON.parse(calls[0]?.body ?? '').lines).have.length(1);
    });

    it('finds by our number what the supplier has taken before the answer was lost', async () => {
      answer = ({ method }) => (method === 'GET' ? json(200, { ...received, lines: [] }) : undefined);
      should(await supplier().sendPurchaseOrder(purchaseOrder(), recovering())).eql({ supplierOrderId: 'SO-77' });
      should(calls.map(({ method, url }) => `${method} ${url}`)).eql(['GET /v1/purchase-orders/shop-1001-1']);
    });

    it('sends again what the supplier certainly does not have', async () => {
      answer = ({ method }) => (method === 'GET' ? error(404, 'not_found') : json(201, received));
      should(await supplier().sendPurchaseOrder(purchaseOrder(), recovering())).eql({ supplierOrderId: 'SO-77' });
      should(calls.map(({ method }) => method)).eql(['GET', 'POST']);
    });

    it('sends nothing while the answer to "do you have it?" is unclear', async () => {
      const unclear = [
        { status: 404, body: '<h1>Not Found</h1>' },
        error(404, 'no_such_route'),
        json(404, {}),
        json(200, { ...received, number: 'shop-1001-2' }),
        json(200, {}),
        json(500, {}),
        undefined,
      ];
      for (const each of unclear) {
        calls = [];
        answer = () => each;
        await should(supplier().sendPurchaseOrder(purchaseOrder(), recovering())).be.rejectedWith(Error);
        // A broken connection may be tried again by the transport, as a read.
        should(calls.every(({ method }) => method === 'GET')).be.true();
      }
    });

    it('is in doubt after anything that leaves open what the supplier did', async () => {
      const answers = [
        undefined,
        json(500, {}),
        json(302, {}),
        json(200, {}),
        json(201, { ...received, id: 77 }),
        json(201, { ...received, number: 'shop-1001-2' }),
        { status: 200, body: '<html>maintenance</html>' },
        { status: 200, body: '' },
      ];
      for (const each of answers) {
        answer = () => each;
        await should(supplier().sendPurchaseOrder(purchaseOrder(), sending)).be.rejectedWith(InDoubt);
      }
    });

    it('tells a rejection, a taken number, a pause and wrong credentials apart', async () => {
      const sent = () => supplier().sendPurchaseOrder(purchaseOrder(), sending);
      answer = () => error(422, 'sku_unknown');
      await should(sent()).be.rejectedWith({
        name: 'BusinessRefusal',
        code: 'SUPPLIER_REJECTED',
        message: /because of sku_unknown/,
      });
      answer = () => error(409, 'number_taken');
      await should(sent()).be.rejectedWith({ name: 'BusinessRefusal', code: 'NUMBER_TAKEN', message: /shop-1001-1/ });
      answer = () => json(429, {});
      await should(sent()).be.rejectedWith(TemporaryFault);
      answer = () => error(401, 'unauthorized');
      await should(sent()).be.rejectedWith({ name: 'ConfigurationMistake', code: 'CREDENTIALS_REFUSED' });
      calls = [];
      await should(supplier({}).sendPurchaseOrder(purchaseOrder(), sending)).be.rejectedWith({
        code: 'CREDENTIALS_MISSING',
      });
      should(calls).eql([]);
    });
  });

  it('asks to cancel lines, with one key for all attempts', async () => {
    answer = () => json(202, { status: 'asked' });
    const steps: Write<Json>[] = [];
    const lines = [{ line: '1', quantity: '2' }];
    should(await supplier().requestCancellation(purchaseOrder(), lines, 'customer', recording(steps))).eql({
      status: 'asked',
    });
    should(calls[0]).match({ method: 'POST', url: '/v1/purchase-orders/shop-1001-1/cancellation' });
    should(JSON.parse(calls[0]?.body ?? '')).eql({ reason: 'customer', lines });
    should(calls[0]?.headers['idempotency-key']).equal('test/key');
    should(steps).match([{ settle: 'idempotent' }]);
    answer = () => error(422, 'shipped');
    await should(supplier().requestCancellation(purchaseOrder(), lines, 'x', sending)).be.rejectedWith({
      code: 'SUPPLIER_REJECTED',
    });
    answer = () => json(202, { status: 'done' });
    await should(supplier().requestCancellation(purchaseOrder(), lines, 'x', sending)).be.rejectedWith(InDoubt);
  });

  it('tests the connection', async () => {
    answer = () => json(200, { ok: true });
    should(await supplier().testConnection()).match({ ok: true });
    should(calls[0]).match({ method: 'GET', url: '/v1/health' });
    answer = () => json(401, {});
    should(await supplier().testConnection()).match({ ok: false, message: /credentials/ });
    answer = () => ({ status: 200, body: '<html>' });
    should(await supplier().testConnection()).match({ ok: false, message: /base URL/ });
  });

  it('waits for late acceptance as the options say', () => {
    should(supplier().settleTime).equal(70_000);
    should(supplier({}, { settleSeconds: 2 }).settleTime).equal(2000);
  });

  describe('callbacks', () => {
    function callback(content: unknown, key = KEY) {
      const body = Buffer.from(typeof content === 'string' ? content : JSON.stringify(content));
      const timestamp = String(NOW / 1000);
      const signature = createHmac('sha256', key).update(`id.${timestamp}.`).update(body).digest('base64');
      return {
        headers: { 'webhook-id': 'id', 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${signature}` },
        body,
      };
    }

    const timestamp = '2026-11-22T12:59:00+01:00';
    const documents: Record<string, [SupplierFactKind, Record<string, unknown>]> = {
      'purchase_order.acknowledged': [
        'acknowledgement',
        {
          number: 'ACK-1',
          purchaseOrder: 'shop-1001-1',
          supplierOrderId: 'SO-77',
          currency: 'EUR',
          lines: [
            { line: '1', sku: 'WINE-RED', status: 'changed', quantity: '2.000', unitCost: '8.1', shipBy: '2026-11-25' },
            { line: '2', sku: 'CORK', status: 'rejected', quantity: 1, reason: 'out\nof range' },
          ],
        },
      ],
      'shipment.sent': [
        'shipment',
        {
          number: 'SH-1',
          purchaseOrder: 'shop-1001-1',
          shippedAt: '2026-11-22T11:30:00Z',
          parcels: [
            { carrier: 'DHL', trackingNumber: 'JD 1', trackingUrl: 'https://example.org/t?n=1' },
            { carrier: 'DHL', trackingNumber: 'JD 2', trackingUrl: 'javascript:alert(1)' },
          ],
          lines: [{ line: '1', sku: 'WINE-RED', quantity: '2' }],
        },
      ],
      'invoice.issued': [
        'bill',
        {
          number: 'INV-1',
          purchaseOrder: 'shop-1001-1',
          issuedAt: '2026-11-22T11:30:00Z',
          dueAt: '2026-12-22',
          currency: 'EUR',
          lines: [{ line: '1', sku: 'WINE-RED', quantity: '2', unitCost: '8.10' }],
          shipping: '4.9',
          tax: '0',
          total: '21.10',
        },
      ],
      'purchase_order.cancelled': [
        'cancellation',
        { number: 'CAN-1', purchaseOrder: 'shop-1001-1', accepted: false, lines: [], reason: 'already packed' },
      ],
    };

    for (const [type, [kind, data]] of Object.entries(documents)) {
      it(`${type} is a fact with the supplier's number as its identity, the same for a repetition`, () => {
        const body = { type, timestamp, data };
        should(supplier().receive(callback(body))).eql([
          { kind, dedupeKey: `${kind}:${String(data['number'])}`, body },
        ]);
      });
    }

    it('are refused when the supplier has not signed them', () => {
      const body = { type: 'shipment.sent', timestamp, data: documents['shipment.sent']?.[1] };
      for (const request of [
        callback(body, Buffer.alloc(32)),
        { ...callback(body), body: Buffer.from('{}') },
        { headers: {}, body: Buffer.from('{}') },
      ]) {
        should(() => supplier().receive(request)).throw(ConfigurationMistake, { code: 'NOT_AUTHENTIC' });
      }
      should(() => supplier({ apiKey: 'x' }).receive(callback(body))).throw(ConfigurationMistake, {
        code: 'NOT_AUTHENTIC',
      });
      const rotated = supplier({
        webhookSecret: `whsec_${Buffer.alloc(32, 1).toString('base64')}`,
        oldWebhookSecret: SECRET,
      });
      should(rotated.receive(callback(body))).have.length(1);
    });

    it('are refused as unreadable when they are no JSON object with a type', () => {
      for (const body of [
        '',
        '<xml/>',
        '[]',
        'null',
        '{}',
        '{"type":1}',
        '{"type":"shipment.sent","data":{"__proto__":{}}}',
      ]) {
        should(() => supplier().receive(callback(body))).throw(BusinessRefusal, { code: 'BODY_UNREADABLE' });
      }
    });

    it('of other types are none of our business', () => {
      for (const type of ['endpoint.ping', 'constructor', '__proto__']) {
        should(supplier().receive(callback({ type, timestamp, data: {} }))).eql([]);
      }
    });

    it('without a number are kept under their content, for a person to see', () => {
      for (const data of [undefined, null, {}, { number: 7 }, { number: '' }, { number: 'x'.repeat(101) }]) {
        const [fact] = supplier().receive(callback({ type: 'shipment.sent', timestamp, data }));
        should(fact?.dedupeKey).match(/^shipment:sha256-[0-9a-f]{64}$/);
        should(() => supplier().read('shipment', fact?.body)).throw(BusinessRefusal, { code: 'DOCUMENT_INVALID' });
      }
    });

    const read = (type: string, change: Record<string, unknown> = {}, envelope: Record<string, unknown> = {}) => {
      const [kind, data] = documents[type] ?? [];
      return supplier().read(kind ?? 'bill', { type, timestamp, ...envelope, data: { ...data, ...change } });
    };

    it('become documents in our words, with what is allowed and nothing else', () => {
      should(
        read('purchase_order.acknowledged', {
          state: 'paid',
          iban: 'x',
        }),
      ).eql({
        kind: 'acknowledgement',
        number: 'ACK-1',
        purchaseOrder: 'shop-1001-1',
        at: '2026-11-22T11:59:00.000Z',
        supplierOrderId: 'SO-77',
        currency: 'EUR',
        lines: [
          { line: '1', sku: 'WINE-RED', quantity: '2', status: 'changed', unitCost: '8.10', shipBy: '2026-11-25' },
          { line: '2', sku: 'CORK', quantity: '1', status: 'rejected', reason: 'out of range' },
        ],
      });
      should(read('shipment.sent')).eql({
        kind: 'shipment',
        number: 'SH-1',
        purchaseOrder: 'shop-1001-1',
        at: '2026-11-22T11:30:00.000Z',
        parcels: [
          { carrier: 'DHL', trackingNumber: 'JD 1', trackingUrl: 'https://example.org/t?n=1' },
          { carrier: 'DHL', trackingNumber: 'JD 2' },
        ],
        lines: [{ line: '1', sku: 'WINE-RED', quantity: '2' }],
      });
      should(read('invoice.issued')).eql({
        kind: 'bill',
        number: 'INV-1',
        purchaseOrder: 'shop-1001-1',
        at: '2026-11-22T11:30:00.000Z',
        dueAt: '2026-12-22',
        currency: 'EUR',
        lines: [{ line: '1', sku: 'WINE-RED', quantity: '2', unitCost: '8.10' }],
        shipping: '4.90',
        tax: '0.00',
        total: '21.10',
      });
      should(read('purchase_order.cancelled')).eql({
        kind: 'cancellation',
        number: 'CAN-1',
        purchaseOrder: 'shop-1001-1',
        at: '2026-11-22T11:59:00.000Z',
        accepted: false,
        lines: [],
        reason: 'already packed',
      });
    });

    it('are refused in words when something in them cannot be used', () => {
      const refused = (code: string, type: string, change: Record<string, unknown>, envelope = {}) =>
        should(() => read(type, change, envelope)).throw(BusinessRefusal, { code });
      const line = { sku: 'WINE-RED', quantity: '1' };
      for (const quantity of ['0', '-1', '1e3', 'one', '1,5', '']) {
        refused('QUANTITY_INVALID', 'shipment.sent', { lines: [{ ...line, quantity }] });
      }
      refused('DOCUMENT_INVALID', 'shipment.sent', { lines: [{ ...line, quantity: null }] });
      refused('DOCUMENT_INVALID', 'shipment.sent', { lines: [{ quantity: '1' }] });
      refused('DOCUMENT_INVALID', 'shipment.sent', { shippedAt: 'yesterday' });
      refused('DOCUMENT_INVALID', 'shipment.sent', { shippedAt: '2026-11-22T11:30:00' });
      refused('DOCUMENT_INVALID', 'shipment.sent', { purchaseOrder: 1001 });
      refused('DOCUMENT_INVALID', 'purchase_order.acknowledged', { lines: [{ ...line, status: 'maybe' }] });
      refused('DOCUMENT_INVALID', 'purchase_order.acknowledged', { currency: undefined }, {});
      refused('DOCUMENT_INVALID', 'purchase_order.acknowledged', {}, { timestamp: undefined });
      refused('DOCUMENT_INVALID', 'purchase_order.cancelled', { accepted: 'yes' });
      refused('DOCUMENT_INVALID', 'invoice.issued', { total: 21.1 });
      refused('DOCUMENT_INVALID', 'invoice.issued', { total: '-21.10' });
      refused('AMOUNT_INVALID', 'invoice.issued', { total: '21.105' });
      refused('CURRENCY_UNKNOWN', 'invoice.issued', { currency: 'XXX' });
    });

    it('throw nothing but a DroplineError and pollute nothing, whatever they hold', () => {
      const kinds = fc.constantFrom<SupplierFactKind>('acknowledgement', 'shipment', 'bill', 'cancellation');
      const mutated = fc
        .tuple(
          fc.constantFrom(...Object.values(documents)),
          fc.dictionary(fc.constantFrom('number', 'lines', 'currency', 'total', 'parcels', 'x'), fc.jsonValue()),
        )
        .map(([[kind, data], change]): [SupplierFactKind, unknown] => [
          kind,
          { timestamp, data: { ...data, ...change } },
        ]);
      fc.assert(
        fc.property(fc.oneof(mutated, fc.tuple(kinds, fc.jsonValue())), ([kind, body]) => {
          try {
            const document = supplier().read(kind, body);
            should(Object.getPrototypeOf(document)).equal(Object.prototype);
          } catch (thrown) {
            should(thrown).be.instanceof(DroplineError);
          }
          should(({} as Record<string, unknown>)['x']).be.undefined();
        }),
        { numRuns: 300 },
      );
    });
  });
});
