import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import should from 'should';
import type { SupplierName } from '../../sandbox/catalogue.ts';
import { createSupplier } from '../../sandbox/suppliers.ts';
import { serve } from '../../sandbox/serve.ts';
import { createWorld, type EffectRecord, type Json, type World, type WorldOptions } from '../../sandbox/world.ts';
import { listenAsDropline, until } from './dropline.ts';

const API_KEY = 'sandbox-test-key';
const SECRET = `whsec_${Buffer.from('sandbox-webhook-secret-0123').toString('base64')}`;

interface Line {
  line: string;
  sku: string;
  name: string;
  quantity: string;
  unitCost: string;
}

function purchaseOrder(
  number: string,
  lines: [sku: string, quantity: string, unitCost: string][],
  total: string,
  country = 'DE',
) {
  return {
    number,
    orderedAt: '2026-11-23T08:00:00Z',
    currency: 'EUR',
    shipTo: { name: 'Erika Mustermann', street: 'Musterweg 1', postalCode: '10115', city: 'Berlin', country },
    lines: lines.map(([sku, quantity, unitCost], index): Line => ({
      line: String(index + 1),
      sku,
      name: sku,
      quantity,
      unitCost,
    })),
    shipping: '4.90',
    total,
  };
}

describe('sandbox suppliers', () => {
  let dropline: Awaited<ReturnType<typeof listenAsDropline>>;
  let folder: string;
  const closing: (() => Promise<void>)[] = [];

  beforeEach(async () => {
    dropline = await listenAsDropline();
    folder = mkdtempSync(join(tmpdir(), 'sandbox-suppliers-'));
  });

  afterEach(async () => {
    for (const close of closing.splice(0).toReversed()) await close();
    await dropline.close();
    rmSync(folder, { recursive: true });
  });

  async function start(name: SupplierName, options: WorldOptions = {}) {
    const world = createWorld({ speed: 40, ...options });
    const listener = await serve(
      world,
      createSupplier(world, name, { apiKey: API_KEY, webhookSecret: SECRET, dropline }),
      0,
    );
    let stopped = false;
    const stop = async () => {
      if (stopped) return;
      stopped = true;
      await listener.close();
      world.close();
    };
    closing.push(stop);
    const call = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
      const answer = await fetch(listener.url + path, {
        method,
        headers: { authorization: `Bearer ${API_KEY}`, 'idempotency-key': 'key-1', ...headers },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
    };
    return { world, call, stop };
  }

  const facts = (): ({ type: string; number: string } & Record<string, unknown>)[] =>
    dropline.received.map(({ body }) => {
      const { type, data } = JSON.parse(body) as { type: string; data: { number: string; [key: string]: unknown } };
      return { type, ...data };
    });
  const types = () => facts().map(({ type }) => type);
  const effects = (world: World) => world.effects.map(({ operation, reference }) => `${operation} ${reference}`);
  const billed = () => until(() => types().includes('invoice.issued'), 'the bill has arrived');

  const TWO_WINES = purchaseOrder(
    'shop-1-1',
    [
      ['WINE-RIESLING', '2', '7.10'],
      ['WINE-PINOT', '1', '10.20'],
    ],
    '29.30',
  );

  it('prompt acknowledges all, ships all in one parcel and bills goods and shipping', async () => {
    const { world, call } = await start('prompt');
    const answer = await call('POST', '/purchase-orders', TWO_WINES);
    should(answer).eql({ status: 201, body: { id: 'SO-shop-1-1', number: 'shop-1-1', status: 'received' } });
    await billed();
    const [acknowledgement, shipment, invoice] = facts();
    should(types()).eql(['purchase_order.acknowledged', 'shipment.sent', 'invoice.issued']);
    should(new Set(dropline.received.map(({ path }) => path))).eql(new Set(['/dropship/suppliers/prompt']));
    should(acknowledgement).match({
      number: 'ACK-shop-1-1',
      purchaseOrder: 'shop-1-1',
      supplierOrderId: 'SO-shop-1-1',
      currency: 'EUR',
    });
    should(acknowledgement?.['lines']).match([
      { line: '1', sku: 'WINE-RIESLING', status: 'accepted', quantity: '2' },
      { line: '2', sku: 'WINE-PINOT', status: 'accepted', quantity: '1' },
    ]);
    should(shipment).match({ number: 'SH-shop-1-1-1', purchaseOrder: 'shop-1-1' });
    should(shipment?.['lines']).eql([
      { line: '1', sku: 'WINE-RIESLING', quantity: '2' },
      { line: '2', sku: 'WINE-PINOT', quantity: '1' },
    ]);
    should((shipment?.['parcels'] as { trackingNumber: string }[] | undefined)?.[0]?.trackingNumber).match(
      /^JD\d{12}$/,
    );
    should(invoice).match({ number: 'INV-shop-1-1', currency: 'EUR', shipping: '4.90', total: '29.30' });
    should(effects(world)).eql([
      'order.accept shop-1-1',
      'acknowledgement.send shop-1-1',
      'shipment.send shop-1-1',
      'bill.send shop-1-1',
    ]);
  });

  it('signs every callback by Standard Webhooks over the raw body', async () => {
    const { call } = await start('prompt');
    await call('POST', '/purchase-orders', TWO_WINES);
    await billed();
    for (const { headers, body } of dropline.received) {
      const signed = `${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.${body}`;
      const expected = createHmac('sha256', 'sandbox-webhook-secret-0123').update(signed).digest('base64');
      should(headers['webhook-signature']).equal(`v1,${expected}`);
      should(Math.abs(Number(headers['webhook-timestamp']) - Date.now() / 1000)).be.below(5);
    }
    should(new Set(dropline.received.map(({ headers }) => headers['webhook-id'])).size).equal(3);
  });

  it('parcels ships more than one piece in two parcels and bills once, when all has gone', async () => {
    const { call } = await start('parcels');
    await call(
      'POST',
      '/purchase-orders',
      purchaseOrder(
        'shop-2-1',
        [
          ['GLASS-BURGUNDY', '3', '22.50'],
          ['OIL-OLIVE', '2', '6.00'],
        ],
        '84.40',
      ),
    );
    await billed();
    const shipments = facts().filter(({ type }) => type === 'shipment.sent');
    should(shipments.map(({ lines }) => lines)).eql([
      [{ line: '1', sku: 'GLASS-BURGUNDY', quantity: '3' }],
      [{ line: '2', sku: 'OIL-OLIVE', quantity: '2' }],
    ]);
    should(shipments.map(({ number }) => number)).eql(['SH-shop-2-1-1', 'SH-shop-2-1-2']);
    should(types().at(-1)).equal('invoice.issued');
    should(facts().at(-1)?.['total']).equal('84.40');
  });

  it('parcels ships a single piece at once', async () => {
    const { call } = await start('parcels');
    await call('POST', '/purchase-orders', purchaseOrder('shop-3-1', [['GLASS-BURGUNDY', '1', '22.50']], '27.40'));
    await billed();
    should(types()).eql(['purchase_order.acknowledged', 'shipment.sent', 'invoice.issued']);
  });

  it('moody gives back what the catalogue marks and what it does not sell, and ships and bills only the rest', async () => {
    const { world, call } = await start('moody');
    const lines: [string, string, string][] = [
      ['KNIFE-CHEF', '1', '22.00'],
      ['MILL-PEPPER', '2', '9.00'],
      ['WINE-PINOT', '1', '1.00'],
      ['APRON-LINEN', '2', '14.00'],
    ];
    await call('POST', '/purchase-orders', purchaseOrder('shop-4-1', lines, '73.90', 'IT'));
    await billed();
    const [acknowledgement, shipment, invoice] = facts();
    const acknowledged = acknowledgement?.['lines'] as { status: string; reason?: string }[];
    should(acknowledged.map(({ status }) => status)).eql(['rejected', 'backordered', 'rejected', 'accepted']);
    should(acknowledged.map(({ reason }) => reason !== undefined)).eql([true, true, true, false]);
    should(shipment?.['lines']).eql([{ line: '4', sku: 'APRON-LINEN', quantity: '2' }]);
    should(invoice).match({
      lines: [{ line: '4', sku: 'APRON-LINEN', quantity: '2', unitCost: '14.00' }],
      total: '32.90',
    });
    should(effects(world).length).equal(4);
  });

  it('ships and bills nothing when nothing was accepted', async () => {
    const { world, call } = await start('moody');
    await call('POST', '/purchase-orders', purchaseOrder('shop-5-1', [['KNIFE-CHEF', '1', '22.00']], '26.90'));
    await until(() => types().length === 1, 'the acknowledgement has arrived');
    await new Promise((resolve) => setTimeout(resolve, 200));
    should(effects(world)).eql(['order.accept shop-5-1', 'acknowledgement.send shop-5-1']);
    should((world.state() as { timers: Json[] }).timers).eql([]);
  });

  it('takes the same purchase order again without doing anything, and refuses another one of the same number', async () => {
    const { world, call } = await start('prompt');
    const first = await call('POST', '/purchase-orders', TWO_WINES);
    const { lines, ...rest } = TWO_WINES;
    const again = await call('POST', '/purchase-orders', { lines, ...rest }, { 'idempotency-key': 'key-2' });
    should(again).eql({ status: 200, body: first.body });
    const other = await call('POST', '/purchase-orders', { ...TWO_WINES, shipping: '5.90', total: '30.30' });
    should(other.status).equal(409);
    should(other.body).match({ error: { code: 'number_taken' } });
    should(effects(world)).eql(['order.accept shop-1-1']);
  });

  it('shows a purchase order as soon as it is accepted, and what became of it', async () => {
    const { call } = await start('prompt');
    should((await call('GET', '/purchase-orders/shop-1-1')).status).equal(404);
    await call('POST', '/purchase-orders', TWO_WINES);
    should((await call('GET', '/purchase-orders/shop-1-1')).body).match({
      id: 'SO-shop-1-1',
      number: 'shop-1-1',
      status: 'received',
    });
    await billed();
    const { body } = await call('GET', '/purchase-orders/shop-1-1');
    should(body).match({ status: 'shipped' });
    should((body['lines'] as Json[])[0]).eql({
      line: '1',
      sku: 'WINE-RIESLING',
      status: 'accepted',
      quantity: '2',
      shipped: '2',
      cancelled: '0',
    });
  });

  it('answers health, and 401 without the API key', async () => {
    const { call, world } = await start('prompt');
    should(await call('GET', '/health')).eql({ status: 200, body: { ok: true } });
    for (const [method, path, body] of [
      ['GET', '/health', undefined],
      ['POST', '/purchase-orders', TWO_WINES],
    ] as const) {
      const refused = await call(method, path, body, { authorization: 'Bearer wrong' });
      should(refused.status).equal(401);
      should(refused.body).match({ error: { code: 'unauthorized' } });
    }
    should(effects(world)).eql([]);
  });

  const wrong: [what: string, status: number, code: string, body: unknown, headers?: Record<string, string>][] = [
    ['no JSON object', 422, 'invalid', 'text'],
    ['no number', 422, 'invalid', { ...TWO_WINES, number: undefined }],
    ['no city', 422, 'invalid', { ...TWO_WINES, shipTo: { ...TWO_WINES.shipTo, city: '' } }],
    [
      'a country that it does not serve',
      422,
      'country_not_served',
      { ...TWO_WINES, shipTo: { ...TWO_WINES.shipTo, country: 'PL' } },
    ],
    ['another currency', 422, 'currency_unsupported', { ...TWO_WINES, currency: 'USD' }],
    ['no lines', 422, 'invalid', { ...TWO_WINES, lines: [] }],
    ['a quantity of zero', 422, 'invalid', { ...TWO_WINES, lines: [{ ...TWO_WINES.lines[0], quantity: '0' }] }],
    ['a quantity that is a number', 422, 'invalid', { ...TWO_WINES, lines: [{ ...TWO_WINES.lines[0], quantity: 2 }] }],
    [
      'a cost in tenths of a cent',
      422,
      'invalid',
      { ...TWO_WINES, lines: [{ ...TWO_WINES.lines[0], unitCost: '7.105' }] },
    ],
    ['two lines of one number', 422, 'invalid', { ...TWO_WINES, lines: [TWO_WINES.lines[0], TWO_WINES.lines[0]] }],
    ['a total that is off by a cent', 422, 'total_wrong', { ...TWO_WINES, total: '29.31' }],
  ];
  for (const [what, status, code, body] of wrong) {
    it(`refuses a purchase order with ${what} and does nothing`, async () => {
      const { call, world } = await start('prompt');
      const refused = await call('POST', '/purchase-orders', body);
      should(refused.status).equal(status);
      should(refused.body).match({ error: { code } });
      should(effects(world)).eql([]);
    });
  }

  describe('cancellation', () => {
    const CANCEL = { reason: 'The customer has changed her mind.', lines: [{ line: '1', quantity: '2' }] };

    it('is accepted while nothing has been shipped; the rest is shipped and billed', async () => {
      const { call, world } = await start('prompt', { speed: 20 });
      await call('POST', '/purchase-orders', TWO_WINES);
      should(await call('POST', '/purchase-orders/shop-1-1/cancellation', CANCEL)).eql({
        status: 202,
        body: { status: 'asked' },
      });
      should((await call('POST', '/purchase-orders/shop-1-1/cancellation', CANCEL)).status).equal(202);
      await billed();
      should(types()).eql([
        'purchase_order.acknowledged',
        'purchase_order.cancelled',
        'shipment.sent',
        'invoice.issued',
      ]);
      should(facts()[1]).match({
        number: 'CAN-shop-1-1-1',
        accepted: true,
        lines: [{ line: '1', sku: 'WINE-RIESLING', quantity: '2' }],
      });
      should(facts()[2]?.['lines']).eql([{ line: '2', sku: 'WINE-PINOT', quantity: '1' }]);
      should(facts()[3]?.['total']).equal('15.10');
      should(effects(world).filter((effect) => effect.startsWith('order.cancel'))).eql(['order.cancel shop-1-1']);
    });

    it('of everything ends the purchase order', async () => {
      const { call, world } = await start('prompt', { speed: 20 });
      await call('POST', '/purchase-orders', TWO_WINES);
      const all = { reason: 'x', lines: [...CANCEL.lines, { line: '2', quantity: '1' }] };
      await call('POST', '/purchase-orders/shop-1-1/cancellation', all);
      await until(() => types().includes('purchase_order.cancelled'), 'it is cancelled');
      await until(() => (world.state() as { timers: Json[] }).timers.length === 0, 'nothing is left to do');
      should(types()).eql(['purchase_order.acknowledged', 'purchase_order.cancelled']);
      should((await call('GET', '/purchase-orders/shop-1-1')).body).match({ status: 'cancelled' });
    });

    it('is refused once something has been shipped, and leaves no effect', async () => {
      const { call, world } = await start('prompt');
      await call('POST', '/purchase-orders', TWO_WINES);
      await until(() => types().includes('shipment.sent'), 'it is shipped');
      await call('POST', '/purchase-orders/shop-1-1/cancellation', CANCEL);
      await until(() => types().includes('purchase_order.cancelled'), 'the answer has arrived');
      const answer = facts().find(({ type }) => type === 'purchase_order.cancelled');
      should(answer).match({
        accepted: false,
        lines: [{ line: '1', quantity: '2' }],
        reason: 'It has already been shipped.',
      });
      should(effects(world)).not.containEql('order.cancel shop-1-1');
    });

    it('of an unknown purchase order, line or quantity is refused at once', async () => {
      const { call } = await start('prompt');
      await call('POST', '/purchase-orders', TWO_WINES);
      should((await call('POST', '/purchase-orders/shop-9-1/cancellation', CANCEL)).status).equal(404);
      for (const lines of [[], [{ line: '7', quantity: '1' }], [{ line: '1', quantity: '0' }], [null], undefined]) {
        should((await call('POST', '/purchase-orders/shop-1-1/cancellation', { ...CANCEL, lines })).status).equal(422);
      }
    });
  });

  describe('callbacks', () => {
    it('are sent again until Dropline takes them, with the same id and body', async () => {
      dropline.statuses.push(500, 404, 302);
      const { call } = await start('prompt');
      await call('POST', '/purchase-orders', TWO_WINES);
      await billed();
      await until(() => dropline.received.length === 6, 'all attempts were made');
      const acknowledgements = dropline.received.filter(({ body }) => body.includes('acknowledged'));
      const others = dropline.received.filter(({ body }) => !body.includes('acknowledged'));
      const ids = (received: typeof acknowledgements) =>
        received.map(({ headers, body }) => `${String(headers['webhook-id'])} ${body}`);
      should(new Set(ids(acknowledgements)).size).equal(1);
      should(new Set(ids(others)).size).equal(2);
    });

    it('duplicate-callback: one document arrives twice, and was made once', async () => {
      const { call, world } = await start('prompt');
      world.faults = [{ partner: 'prompt', operation: 'shipment.send', kind: 'duplicate-callback', times: 1 }];
      await call('POST', '/purchase-orders', TWO_WINES);
      await until(() => dropline.received.length === 4, 'all four have arrived');
      should(types().toSorted()).eql([
        'invoice.issued',
        'purchase_order.acknowledged',
        'shipment.sent',
        'shipment.sent',
      ]);
      const [first, second] = dropline.received.filter(({ body }) => body.includes('shipment.sent'));
      should(first?.body).equal(second?.body);
      should(effects(world).filter((effect) => effect.startsWith('shipment'))).eql(['shipment.send shop-1-1']);
    });

    it('shuffle-callbacks: the bill comes first and the acknowledgement last, though they were made in order', async () => {
      const { call, world } = await start('parcels');
      world.faults = [{ partner: 'parcels', kind: 'shuffle-callbacks', times: 1 }];
      await call('POST', '/purchase-orders', purchaseOrder('shop-2-1', [['GLASS-BURGUNDY', '2', '22.50']], '49.90'));
      await until(() => dropline.received.length === 4, 'all four have arrived');
      should(facts().map(({ number }) => number)).eql([
        'INV-shop-2-1',
        'SH-shop-2-1-2',
        'SH-shop-2-1-1',
        'ACK-shop-2-1',
      ]);
      should(world.effects.map(({ id }) => id)).eql([
        'SO-shop-2-1',
        'ACK-shop-2-1',
        'SH-shop-2-1-1',
        'SH-shop-2-1-2',
        'INV-shop-2-1',
      ]);
    });

    it('early-callback: the acknowledgement arrives before the purchase order is answered', async () => {
      const { call, world } = await start('prompt');
      world.faults = [{ partner: 'prompt', operation: 'order.accept', kind: 'early-callback', times: 1 }];
      const answer = await call('POST', '/purchase-orders', TWO_WINES);
      should(types()).eql(['purchase_order.acknowledged']);
      should(answer.status).equal(201);
      await billed();
      should(types()).eql(['purchase_order.acknowledged', 'shipment.sent', 'invoice.issued']);
    });
  });

  it('goes on after a restart where it was: nothing is lost and nothing is done twice', async () => {
    const stateFile = join(folder, 'state.json');
    const before = await start('parcels', { stateFile });
    await before.call(
      'POST',
      '/purchase-orders',
      purchaseOrder('shop-2-1', [['GLASS-BURGUNDY', '2', '22.50']], '49.90'),
    );
    await until(() => types().includes('shipment.sent'), 'the first parcel has left');
    await before.stop();
    const after = await start('parcels', { stateFile });
    await billed();
    should(new Set(facts().map(({ number }) => number))).eql(
      new Set(['ACK-shop-2-1', 'SH-shop-2-1-1', 'SH-shop-2-1-2', 'INV-shop-2-1']),
    );
    should(effects(after.world)).eql([
      'order.accept shop-2-1',
      'acknowledgement.send shop-2-1',
      'shipment.send shop-2-1',
      'shipment.send shop-2-1',
      'bill.send shop-2-1',
    ]);
    const again = await after.call(
      'POST',
      '/purchase-orders',
      purchaseOrder('shop-2-1', [['GLASS-BURGUNDY', '2', '22.50']], '49.90'),
    );
    should(again.status).equal(200);
  });

  it('ships and bills exactly what it accepted, whatever was ordered', async () => {
    const quantity = fc.oneof(fc.integer({ min: 1, max: 40 }).map(String), fc.constantFrom('0.5', '1.25', '2.000001'));
    const line = fc.tuple(
      fc.constantFrom('OIL-OLIVE', 'GLASS-BURGUNDY', 'KNIFE-CHEF', 'MILL-PEPPER', 'APRON-LINEN'),
      quantity,
    );
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom<SupplierName>('prompt', 'parcels', 'moody'),
        fc.array(line, { minLength: 1, maxLength: 6 }),
        async (name, lines) => {
          const world = createManualWorld();
          const supplier = createSupplier(world, name, { apiKey: API_KEY, webhookSecret: SECRET, dropline });
          const po = purchaseOrder(
            'p',
            lines.map(([sku, of]) => [sku, of, '0.00']),
            '4.90',
          );
          const headers = { authorization: `Bearer ${API_KEY}`, 'idempotency-key': 'k' };
          const request = {
            method: 'POST',
            path: '/purchase-orders',
            query: new URLSearchParams(),
            headers,
            body: Buffer.from(JSON.stringify(po)),
          };
          should((await supplier.handle(request)).status).equal(201);
          for (let timer = world.timers.shift(); timer; timer = world.timers.shift()) {
            if (timer.action !== 'callback') await supplier.due(timer.action, timer.data);
          }
          const accepted = linesOf(world.effects, 'acknowledgement.send').filter(({ status }) => status === 'accepted');
          should(quantities(linesOf(world.effects, 'shipment.send'))).eql(quantities(accepted));
          should(quantities(linesOf(world.effects, 'bill.send'))).eql(quantities(accepted));
          const parcels = world.effects.filter(({ operation }) => operation === 'shipment.send').length;
          const pieces = accepted.reduce((sum, each) => sum + Number(each.quantity), 0);
          should(parcels).equal(pieces === 0 ? 0 : name === 'parcels' && pieces > 1 ? 2 : 1);
        },
      ),
      { numRuns: 150 },
    );
  });
});

/** A world whose timers the test runs by hand. */
function createManualWorld(): World & { timers: { action: string; data: Json }[] } {
  const timers: { action: string; data: Json }[] = [];
  const world = createWorld();
  return Object.assign(Object.create(world) as World, {
    timers,
    schedule: (_partner: string, _inMs: number, action: string, data: Json) => void timers.push({ action, data }),
  });
}

interface DocumentLine {
  line: string;
  quantity: string;
  status?: string;
}

function linesOf(effects: readonly EffectRecord[], operation: string): DocumentLine[] {
  return effects
    .filter((effect) => effect.operation === operation)
    .flatMap(({ detail }) => (detail as unknown as { lines: DocumentLine[] }).lines);
}

/** Millionths per line. */
function quantities(lines: DocumentLine[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const { line, quantity } of lines) sums[line] = (sums[line] ?? 0) + Math.round(Number(quantity) * 1e6);
  return sums;
}
