import should from 'should';
import type { OrderView } from '../../ledger/views.ts';
import { endToEndId, paymentId } from '../../orders/payment.ts';
import { CALLBACK_FAULTS, REQUEST_FAULTS, type Fault, type FaultKind } from '../../sandbox/faults.ts';
import type { EffectRecord } from '../../sandbox/world.ts';
import { isComplete, openHouse, type Basket, type House } from '../support/house.ts';

/** Everything that an order writes at its partners, and what is ordered so that it is written. `reference`: how a fault aims at this one write of this one order. */
interface Write {
  partner: string;
  operation: string;
  basket: Basket;
  reference: (orderId: string) => string;
  /** The reference becomes known only when this has happened. */
  after?: { operation: string; reference: (orderId: string) => string; learn: (entry: EffectRecord) => string };
}

const WINE: Basket = { lines: [{ sku: 'WINE-RIESLING', quantity: 2 }], country: 'DE' };
const REJECTED: Basket = { lines: [{ sku: 'KNIFE-CHEF', quantity: 1 }], country: 'DE' };
const BACKORDERED: Basket = {
  lines: [
    { sku: 'MILL-PEPPER', quantity: 1 },
    { sku: 'APRON-LINEN', quantity: 2 },
  ],
  country: 'AT',
};
const TWO_PARCELS: Basket = { lines: [{ sku: 'GLASS-BURGUNDY', quantity: 2 }], country: 'CZ' };

const shopOrder = (id: string) => id.replace('shop-', '');
const shipment = (id: string) => `prompt/SH-${id}-1-1`;
const bill = (id: string) => `prompt/INV-${id}-1`;

function writes(addressMark: string): Write[] {
  const erp = (operation: string, reference: (id: string) => string, basket = WINE): Write => ({
    partner: 'erp',
    operation,
    reference,
    basket,
  });
  return [
    erp('customer.create', (id) => `${id}/customer`),
    erp('address.create', (id) => `${id}/customer/to/${addressMark}`),
    erp('sale.create', (id) => id),
    erp('sale.confirm', (id) => id),
    erp('purchase.create', (id) => `${id}-1`),
    erp('purchase.confirm', (id) => `${id}-1`),
    { partner: 'prompt', operation: 'order.accept', reference: (id) => `${id}-1`, basket: WINE },
    erp('purchase.cancel', (id) => `${id}-1`, REJECTED),
    erp('purchase.change', (id) => `${id}-1`, BACKORDERED),
    erp('receipt.prepare', shipment),
    erp('receipt.done', shipment),
    {
      ...erp('delivery.cancel', (id) => id),
      after: {
        operation: 'sale.create',
        reference: (id) => id,
        learn: ({ detail }) => (detail as { number: string }).number,
      },
    },
    erp('sale.complete', (id) => id),
    {
      partner: 'shop',
      operation: 'fulfilment.create',
      reference: shopOrder,
      basket: WINE,
      after: {
        operation: 'shipment.send',
        reference: (id) => `${id}-1`,
        learn: ({ reference, detail }) =>
          `${shopOrder(reference.replace(/-1$/, ''))}/${(detail as { parcels: { trackingNumber: string }[] }).parcels[0]!.trackingNumber}`,
      },
    },
    { partner: 'shop', operation: 'order.complete', reference: shopOrder, basket: WINE },
    erp('bill.create', bill),
    erp('bill.post', bill),
    erp('payment.create', (id) => endToEndId(paymentId({ supplier: 'prompt', number: `INV-${id}-1` }))),
  ];
}

/** Milliseconds: shorter than the time-out; longer than it, and shorter than time-out and settle time together. */
const DELAY: Partial<Record<FaultKind, number>> = { slow: 300, late: 2000 };

interface Case {
  title: string;
  kind: FaultKind;
  id: string;
  fault: Fault;
}

const REFUSED = /Refused, because a test asked for it/;

describe('Each fault at each write of an order', function () {
  this.timeout(300_000);
  let house: House;
  const cases: Case[] = [];
  const views = new Map<string, OrderView>();
  const refusedFor = new Map<string, string[]>();

  before(async () => {
    house = await openHouse({ timeout: 1, settle: 2 });
    const first = await house.place(WINE);
    await house.settled([first]);
    const addressMark = house.sandbox.world.effects
      .find((entry) => entry.operation === 'address.create' && entry.reference.startsWith(first))!
      .reference.split('/')
      .at(-1)!;
    for (const kind of REQUEST_FAULTS)
      for (const write of writes(addressMark)) cases.push(await placeWith(house, kind, write));
    for (const kind of CALLBACK_FAULTS) {
      for (const [basket, partner] of [
        [WINE, 'prompt'],
        [TWO_PARCELS, 'parcels'],
      ] as const)
        cases.push(
          await placeWith(house, kind, { partner, operation: 'order.accept', reference: (id) => `${id}-1`, basket }),
        );
    }
    for (const operation of ['acknowledgement.send', 'shipment.send', 'bill.send']) {
      cases.push(
        await placeWith(house, 'duplicate-callback', {
          partner: 'prompt',
          operation,
          reference: (id) => `${id}-1`,
          basket: WINE,
        }),
      );
    }
    const refused = cases.filter(({ kind }) => kind === 'refuse').map(({ id }) => id);
    for (const view of await house.until(
      refused,
      (each) => reasons(each).some((reason) => REFUSED.test(reason)),
      60_000,
    )) {
      refusedFor.set(view.order.id, reasons(view));
      // What a person does at the desk once the partner has mended it.
      for (const { id, state, message } of view.exceptions)
        if (state === 'open' && REFUSED.test(message)) await house.red.post(`/dropship/exceptions/${id}/retry`);
    }
    for (const view of await house.settled(
      cases.map(({ id }) => id),
      isComplete,
      90_000,
    ))
      views.set(view.order.id, view);
  });

  after(() => house?.close());

  for (const kind of [...REQUEST_FAULTS, ...CALLBACK_FAULTS]) {
    const guarantee =
      kind === 'refuse'
        ? 'the order waits for a person with the reason, and goes on when it is tried again'
        : 'the order ends complete and paid';
    it(`${kind}: ${guarantee}; nothing is done twice`, async () => {
      const mine = cases.filter((each) => each.kind === kind);
      should(mine.length).be.above(0);
      for (const { title, fault, id } of mine) {
        should(fault.times).equal(0, `the fault at ${title} never happened`);
        if (kind === 'refuse') should(refusedFor.get(id)?.length ?? 0).be.above(0);
      }
      should(await house.check(mine.map(({ id }) => views.get(id)!))).eql([]);
    });
  }

  it('leaves no exception open, and books that agree as a whole', async () => {
    should([...views.values()].flatMap(reasons)).eql([]);
    should(await house.check([...views.values()])).eql([]);
  });
});

/** An order with one fault in its way. */
async function placeWith(house: House, kind: FaultKind, write: Write): Promise<Case> {
  const { world } = house.sandbox;
  const id = await house.place(write.basket);
  const delay = DELAY[kind];
  const callback = kind === 'duplicate-callback' && write.operation === 'order.accept';
  const fault: Fault = {
    partner: write.partner,
    kind,
    times: 1,
    reference: write.reference(id),
    ...(callback ? {} : { operation: write.operation }),
    ...(delay === undefined ? {} : { delay }),
  };
  const { after } = write;
  if (after) {
    const record = world.record;
    world.record = (partner, operation, reference, ...rest) => {
      record(partner, operation, reference, ...rest);
      if (operation !== after.operation || reference !== after.reference(id)) return;
      fault.reference = after.learn(world.effects.at(-1)!);
      world.faults.push(fault);
    };
  } else world.faults.push(fault);
  return { title: `${kind} at ${write.operation} of ${id}`, kind, id, fault };
}

function reasons(view: OrderView): string[] {
  return view.exceptions.filter((exception) => exception.state === 'open').map((exception) => exception.message);
}
