import fc from 'fast-check';
import should from 'should';
import { allocate, type RoutingQuestion, type SupplierTerms } from '../../orders/allocation.ts';
import { times } from '../../orders/money.ts';
import type { Offer } from '../../orders/offer.ts';
import { compare, total } from '../../orders/quantity.ts';
import { codeOf, eur } from './samples.ts';

function terms(supplier: string, changes: Partial<SupplierTerms> = {}): SupplierTerms {
  return { supplier, priority: 10, countries: [], shippingCost: eur('0'), handlingCost: eur('0'), ...changes };
}

function offer(supplier: string, sku: string, cost: string, changes: Partial<Offer> = {}): Offer {
  return { supplier, sku, unitCost: eur(cost), ...changes };
}

function question(changes: Partial<RoutingQuestion>): RoutingQuestion {
  return {
    lines: [{ orderLine: 'a', sku: 'RED', quantity: '3' }],
    shipTo: { country: 'NZ', region: 'AUK', postalCode: '1010' },
    offers: [],
    suppliers: [terms('cellar', { name: 'Cellar Co' }), terms('vineyard', { name: 'Vineyard Direct' })],
    openAllocations: [],
    excluded: [],
    rules: [],
    strategy: 'cheapest',
    wholeUnits: true,
    ...changes,
  };
}

/** "a vineyard 3" for each allocated line. */
function routed(changes: Partial<RoutingQuestion>): string[] {
  return allocate(question(changes)).lines.map((line) => `${line.orderLine} ${line.supplier} ${line.quantity}`);
}

describe('routing', () => {
  const both = [offer('vineyard', 'RED', '8.10'), offer('cellar', 'RED', '9.00', { stock: '1' })];

  it('takes the cheapest supplier and says why, in plain words', () => {
    const { lines, parcels, explanation, totalCost, exact } = allocate(question({ offers: both }));
    should(lines).containDeep([{ orderLine: 'a', supplier: 'vineyard', quantity: '3', unitCost: eur('8.10') }]);
    should(parcels).deepEqual([{ supplier: 'vineyard', goods: eur('24.30'), shipping: eur('0') }]);
    should([totalCost, exact]).deepEqual([eur('24.30'), true]);
    should(explanation[0]?.sentence).equal('Vineyard Direct: 3 of 3 at 8.10; Cellar Co asks for 9.00');
  });

  it('counts shipping and handling per parcel, not unit costs alone', () => {
    const suppliers = [terms('cellar'), terms('vineyard', { shippingCost: eur('2.00'), handlingCost: eur('1.00') })];
    should(routed({ offers: [both[0]!, offer('cellar', 'RED', '9.00')], suppliers })).deepEqual(['a cellar 3']);
  });

  it('splits a line where stock demands it, less what is promised to other orders', () => {
    const offers = [offer('vineyard', 'RED', '8.10', { stock: '4' }), offer('cellar', 'RED', '9.00')];
    const openAllocations = [
      { supplier: 'vineyard', sku: 'RED', quantity: '1' },
      { supplier: 'vineyard', sku: 'RED', quantity: '1' },
      { supplier: 'vineyard', sku: 'WHITE', quantity: '9' },
    ];
    should(routed({ offers, openAllocations })).deepEqual(['a vineyard 2', 'a cellar 1']);
  });

  it('shares one stock between two lines of one SKU', () => {
    const lines = [
      { orderLine: 'a', sku: 'RED', quantity: '2' },
      { orderLine: 'b', sku: 'RED', quantity: '2' },
    ];
    const offers = [offer('vineyard', 'RED', '8.10', { stock: '3' }), offer('cellar', 'RED', '9.00')];
    should(routed({ lines, offers })).deepEqual(['a vineyard 2', 'b vineyard 1', 'b cellar 1']);
  });

  it('reports what nobody can deliver, with the reason', () => {
    const { lines, undeliverable } = allocate(question({ offers: [both[1]!] }));
    should(lines.map((line) => line.quantity)).deepEqual(['1']);
    should(undeliverable).containDeep([{ orderLine: 'a', sku: 'RED', quantity: '2' }]);
    should(undeliverable[0]?.reason).match(/Cellar Co: 1 of 3 at 9\.00; nobody can deliver 2 of RED/);
    should(allocate(question({})).undeliverable[0]?.reason).match(/no supplier offers it/);
  });

  const obstacles: [string, RegExp, Partial<RoutingQuestion>][] = [
    ['who does not ship there', /does not ship to NZ/, { suppliers: [terms('vineyard', { countries: ['AU', 'GB'] })] }],
    [
      'whose offer is for other countries',
      /does not ship to NZ/,
      { offers: [offer('vineyard', 'RED', '1', { countries: ['AU'] })] },
    ],
    [
      'who is excluded',
      /not asked again: rejected before/,
      { excluded: [{ supplier: 'vineyard', reason: 'rejected before' }] },
    ],
    ['who is excluded for the SKU', /not asked again/, { excluded: [{ supplier: 'vineyard', sku: 'RED' }] }],
    [
      'whose open orders are at the limit',
      /has 20 open orders/,
      { suppliers: [terms('vineyard', { openOrderLimit: 20, openOrders: 20 })] },
    ],
    [
      'who asks for another currency',
      /asks for USD/,
      {
        currency: 'EUR',
        offers: [{ ...offer('vineyard', 'RED', '1'), unitCost: { minor: 100, currency: 'USD' } }],
      },
    ],
    ['who has none', /none in stock/, { offers: [offer('vineyard', 'RED', '1', { stock: '0' })] }],
    ['who has less than a whole piece', /0\.9 in stock/, { offers: [offer('vineyard', 'RED', '1', { stock: '0.9' })] }],
    [
      'who sells larger quantities only',
      /sells 6 or more/,
      { offers: [offer('vineyard', 'RED', '1', { minimumQuantity: '6' })] },
    ],
    [
      'whose minimum order is not reached',
      /takes orders from 50\.00 EUR/,
      { suppliers: [terms('vineyard', { minimumOrder: eur('50') })] },
    ],
    ['who is unknown', /no supplier of this ledger/, { suppliers: [terms('cellar')] }],
    [
      'whom a rule leaves out',
      /exclude vineyard when country is nz/,
      { rules: [{ action: 'exclude', supplier: 'vineyard', field: 'country', operator: 'is', value: 'nz' }] },
    ],
    [
      'whom another supplier’s "only" leaves out',
      /only cellar when sku matches R\*/,
      { rules: [{ action: 'only', supplier: 'cellar', field: 'sku', operator: 'matches', value: 'R*' }] },
    ],
  ];
  for (const [who, reason, changes] of obstacles) {
    it(`never asks a supplier ${who}`, () => {
      const { lines, undeliverable } = allocate(question({ offers: [both[0]!], ...changes }));
      lines.should.be.empty();
      should(undeliverable[0]?.reason).match(reason);
    });
  }

  it('asks the others when a supplier is excluded for one SKU only', () => {
    const lines = ['RED', 'WHITE'].map((sku) => ({ orderLine: sku, sku, quantity: '1' }));
    const offers = [...both, offer('vineyard', 'WHITE', '5')];
    const excluded = [{ supplier: 'vineyard', sku: 'RED' }];
    should(routed({ lines, offers, excluded })).deepEqual(['RED cellar 1', 'WHITE vineyard 1']);
  });

  it('prefers whom a rule prefers, whatever it costs, as far as its stock goes', () => {
    const rules = [
      { action: 'prefer', supplier: 'cellar', field: 'region', operator: 'starts with', value: 'A' },
    ] as const;
    should(routed({ offers: both, rules })).deepEqual(['a vineyard 2', 'a cellar 1'].sort());
  });

  it('applies rules on the order’s total', () => {
    const rules = [
      { action: 'exclude', supplier: 'vineyard', field: 'total', operator: 'above', value: '100' },
    ] as const;
    const offers = [both[0]!];
    should(routed({ offers, rules, orderTotal: eur('100.00') })).have.length(1);
    should(routed({ offers, rules, orderTotal: eur('100.01') })).be.empty();
    const wrong = [{ action: 'exclude', supplier: 'x', field: 'total', operator: 'is', value: '1' }] as const;
    should(codeOf(() => routed({ offers, rules: wrong }))).equal('RULE_INVALID');
  });

  it('follows the strategy', () => {
    const lines = ['RED', 'WHITE'].map((sku) => ({ orderLine: sku, sku, quantity: '1' }));
    const suppliers = [
      terms('cellar', { priority: 1, leadTimeDays: 9 }),
      terms('fast', { priority: 9, leadTimeDays: 1 }),
      terms('vineyard', { priority: 5 }),
    ];
    const offers = [
      offer('cellar', 'RED', '7'),
      offer('fast', 'RED', '9'),
      offer('vineyard', 'RED', '5'),
      offer('fast', 'WHITE', '8'),
      offer('vineyard', 'WHITE', '9', { leadTimeDays: 2 }),
    ];
    const by = (strategy: RoutingQuestion['strategy']) => routed({ lines, offers, suppliers, strategy });
    should(by('cheapest')).deepEqual(['RED vineyard 1', 'WHITE fast 1']);
    should(by('fastest')).deepEqual(['RED fast 1', 'WHITE fast 1']);
    should(by('fewest-parcels')).deepEqual(['RED vineyard 1', 'WHITE vineyard 1']);
    should(by('priority')).deepEqual(['RED cellar 1', 'WHITE vineyard 1']);
  });

  it('breaks ties by fewer parcels, then priority, then reference', () => {
    const offers = [offer('vineyard', 'RED', '8'), offer('cellar', 'RED', '8')];
    should(routed({ offers })).deepEqual(['a cellar 3']);
    const suppliers = [terms('cellar'), terms('vineyard', { priority: 1 })];
    should(routed({ offers, suppliers })).deepEqual(['a vineyard 3']);
    const lines = ['RED', 'WHITE'].map((sku) => ({ orderLine: sku, sku, quantity: '1' }));
    should(routed({ lines, offers: [...offers, offer('vineyard', 'WHITE', '1')] })).deepEqual([
      'RED vineyard 1',
      'WHITE vineyard 1',
    ]);
  });

  it('moves goods to reach free shipping when that is cheaper, and not otherwise', () => {
    const lines = ['RED', 'WHITE'].map((sku) => ({ orderLine: sku, sku, quantity: '1' }));
    const offers = [offer('vineyard', 'RED', '40'), offer('vineyard', 'WHITE', '11'), offer('cellar', 'WHITE', '9')];
    const free = { shippingCost: eur('6'), freeShippingFrom: eur('50') };
    const { parcels, totalCost } = allocate(
      question({ lines, offers, suppliers: [terms('cellar'), terms('vineyard', free)] }),
    );
    should([parcels.length, totalCost]).deepEqual([1, eur('51')]);
    const cheap = { ...free, shippingCost: eur('1') };
    const split = allocate(question({ lines, offers, suppliers: [terms('cellar'), terms('vineyard', cheap)] }));
    should([split.parcels.length, split.totalCost]).deepEqual([2, eur('50')]);
  });

  it('deals with fractions where they are sold', () => {
    const lines = [{ orderLine: 'a', sku: 'CLOTH', quantity: '2.5' }];
    const offers = [offer('vineyard', 'CLOTH', '1.00', { stock: '0.75' }), offer('cellar', 'CLOTH', '1.01')];
    const { lines: made, totalCost } = allocate(question({ lines, offers, wholeUnits: false }));
    should(made.map((line) => line.quantity)).deepEqual(['0.75', '1.75']);
    should(totalCost).deepEqual(eur('2.52'));
  });

  it('buys in the currency in which most lines find an offer', () => {
    const lines = ['RED', 'WHITE'].map((sku) => ({ orderLine: sku, sku, quantity: '1' }));
    const usd = (sku: string) => ({ ...offer('cellar', sku, '1'), unitCost: { minor: 900, currency: 'USD' } });
    const offers = [offer('vineyard', 'RED', '8.10'), usd('RED'), usd('WHITE')];
    should(routed({ lines, offers, suppliers: [terms('cellar'), terms('vineyard')] })).deepEqual([
      'RED cellar 1',
      'WHITE cellar 1',
    ]);
  });

  it('cut short is still valid, and says that it is not exact', () => {
    const { lines, exact } = allocate(question({ offers: both, effort: 1 }));
    exact.should.be.false();
    should(total(lines.map((line) => line.quantity))).equal('3');
  });
});

describe('routing of any small order', () => {
  const references = ['a', 'b', 'c'];
  const skus = ['P', 'Q', 'R'];
  const cents = (max: number) => fc.integer({ min: 0, max }).map((minor) => ({ minor, currency: 'EUR' }));
  const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined, freq: 2 });
  const defined = <T extends object>(value: T) =>
    Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined));
  const supplier = (reference: string) =>
    fc
      .record({
        priority: fc.integer({ min: 1, max: 3 }),
        countries: fc.constantFrom<string[][]>([], [], ['NZ'], ['AU']),
        shippingCost: cents(600),
        handlingCost: cents(100),
        freeShippingFrom: maybe(cents(3000)),
        minimumOrder: maybe(cents(2500)),
      })
      .map((each) => terms(reference, defined(each)));
  const one = (reference: string, sku: string) =>
    fc
      .record({
        unitCost: cents(1000),
        stock: maybe(fc.integer({ min: 0, max: 3 }).map(String)),
        leadTimeDays: maybe(fc.integer({ min: 0, max: 5 })),
        minimumQuantity: maybe(fc.integer({ min: 1, max: 3 }).map(String)),
        countries: maybe(fc.constantFrom<string[][]>([], ['NZ', 'AU'], ['AU'])),
      })
      .map((each) => ({ ...offer(reference, sku, '0'), ...defined(each) }) as Offer);
  const strategies = ['cheapest', 'fastest', 'fewest-parcels', 'priority'] as const;
  const small = fc
    .record({
      suppliers: fc.tuple(...references.map(supplier)),
      offers: fc
        .tuple(...references.flatMap((reference) => skus.map((sku) => maybe(one(reference, sku)))))
        .map((all) => all.flatMap((each) => (each ? [each] : []))),
      lines: fc
        .tuple(...skus.map(() => fc.integer({ min: 0, max: 3 })))
        .map((all) =>
          all.flatMap((n, index) => (n > 0 ? [{ orderLine: `l${index}`, sku: skus[index]!, quantity: `${n}` }] : [])),
        ),
      openAllocations: fc.array(
        fc.record({
          supplier: fc.constantFrom(...references),
          sku: fc.constantFrom(...skus),
          quantity: fc.constant('1'),
        }),
        { maxLength: 3 },
      ),
      strategy: fc.constantFrom(...strategies),
      preferred: maybe(fc.constantFrom(...references)),
    })
    .map(({ preferred, ...each }) =>
      question({
        ...each,
        currency: 'EUR',
        rules: preferred
          ? [{ action: 'prefer', supplier: preferred, field: 'country', operator: 'is', value: 'NZ' }]
          : [],
      }),
    );

  /** What is free at a supplier for a SKU, or 0 when it may not deliver it. */
  function limit(q: RoutingQuestion, reference: string, sku: string): number {
    const found = q.offers.find((each) => each.supplier === reference && each.sku === sku);
    const who = q.suppliers.find((each) => each.supplier === reference)!;
    if (!found || (who.countries.length > 0 && !who.countries.includes('NZ'))) return 0;
    if (found.countries && found.countries.length > 0 && !found.countries.includes('NZ')) return 0;
    if (found.stock === undefined) return 99;
    const open = q.openAllocations.filter((each) => each.supplier === reference && each.sku === sku).length;
    return Math.max(0, Number(found.stock) - open);
  }

  /** Every way to share `n` among three suppliers and nobody. */
  function* shares(n: number): Generator<[number, number, number]> {
    for (let a = 0; a <= n; a++) {
      for (let b = 0; a + b <= n; b++) for (let c = 0; a + b + c <= n; c++) yield [a, b, c];
    }
  }

  /** [undelivered, not preferred, strategy, cost] of a plan, or nothing when it breaks a rule. */
  function judge(q: RoutingQuestion, plan: readonly (readonly number[])[]): number[] | undefined {
    let undelivered = 0;
    let disliked = 0;
    let wish = 0;
    let cost = 0;
    const preferred = q.rules[0]?.supplier;
    const slowest = 1 + Math.max(0, ...q.offers.map((each) => each.leadTimeDays ?? 0));
    const priorities = [...new Set(q.suppliers.map((each) => each.priority))].sort();
    const goods = [0, 0, 0];
    for (const [index, line] of q.lines.entries()) {
      const wanted = Number(line.quantity);
      undelivered += wanted - plan[index]!.reduce((sum, n) => sum + n, 0);
      for (const [s, reference] of references.entries()) {
        const n = plan[index]![s]!;
        if (n === 0) continue;
        const found = q.offers.find((each) => each.supplier === reference && each.sku === line.sku);
        if (!found || n > limit(q, reference, line.sku) || n < Number(found.minimumQuantity ?? '0')) return undefined;
        goods[s]! += n * found.unitCost.minor;
        const most = Math.min(wanted, limit(q, preferred ?? '', line.sku));
        const least = Number(
          q.offers.find((each) => each.supplier === preferred && each.sku === line.sku)?.minimumQuantity ?? '0',
        );
        if (preferred && reference !== preferred && most > 0 && most >= least) disliked += n;
        if (q.strategy === 'fastest') wish += n * (found.leadTimeDays ?? slowest);
        if (q.strategy === 'priority') {
          wish += n * priorities.indexOf(q.suppliers.find((each) => each.supplier === reference)!.priority);
        }
      }
    }
    for (const [s, reference] of references.entries()) {
      if (!plan.some((each) => each[s]! > 0)) continue;
      const who = q.suppliers.find((each) => each.supplier === reference)!;
      if (who.minimumOrder && goods[s]! < who.minimumOrder.minor) return undefined;
      const free = who.freeShippingFrom && goods[s]! >= who.freeShippingFrom.minor;
      cost += goods[s]! + who.handlingCost.minor + (free ? 0 : who.shippingCost.minor);
      if (q.strategy === 'fewest-parcels') wish++;
    }
    return [undelivered, disliked, wish, cost];
  }

  function smaller(a: number[], b: number[] | undefined): boolean {
    if (!b) return true;
    const at = a.findIndex((value, index) => value !== b[index]);
    return at >= 0 && a[at]! < b[at]!;
  }

  function bruteForce(q: RoutingQuestion): number[] | undefined {
    let best: number[] | undefined;
    const go = (plan: number[][]) => {
      const line = q.lines[plan.length];
      if (!line) {
        const judged = judge(q, plan);
        if (judged && smaller(judged, best)) best = judged;
        return;
      }
      for (const share of shares(Number(line.quantity))) {
        if (share.every((n, s) => n <= limit(q, references[s]!, line.sku))) go([...plan, share]);
      }
    };
    go([]);
    return best;
  }

  const planOf = (q: RoutingQuestion, lines: { orderLine: string; supplier: string; quantity: string }[]) =>
    q.lines.map((line) =>
      references.map((reference) =>
        Number(
          total(
            lines
              .filter((each) => each.orderLine === line.orderLine && each.supplier === reference)
              .map((each) => each.quantity),
          ),
        ),
      ),
    );

  it('is as good as the best of all possible plans, with free shipping, minimum orders and minimum quantities', () => {
    fc.assert(
      fc.property(small, (q) => {
        const result = allocate(q);
        const judged = judge(q, planOf(q, result.lines));
        should(judged).deepEqual(bruteForce(q));
        should(result.totalCost.minor).equal(judged?.[3]);
        result.exact.should.be.true();
      }),
      { numRuns: Number(process.env['ROUTING_RUNS'] ?? 250) },
    );
  });

  it('allocates or reports every line exactly once, within free stock, to suppliers who ship there', () => {
    fc.assert(
      fc.property(small, fc.constantFrom(1, 40, 100_000), (q, effort) => {
        const { lines, undeliverable, explanation, parcels } = allocate({ ...q, effort });
        for (const line of q.lines) {
          const mine = [...lines, ...undeliverable].filter((each) => each.orderLine === line.orderLine);
          should(compare(total(mine.map((each) => each.quantity)), line.quantity)).equal(0);
          should(new Set(mine.map((each) => ('supplier' in each ? each.supplier : ''))).size).equal(mine.length);
        }
        for (const line of lines) {
          should(Number(line.quantity)).be.belowOrEqual(limit(q, line.supplier, line.sku));
          should(Number(line.quantity)).be.above(0);
        }
        should(judge(q, planOf(q, lines))).be.ok();
        should(explanation.map((each) => each.line)).deepEqual(q.lines.map((line) => line.orderLine));
        for (const parcel of parcels) {
          const goods = lines.filter((line) => line.supplier === parcel.supplier);
          should(parcel.goods.minor).equal(
            goods.reduce((sum, line) => sum + times(line.unitCost, line.quantity).minor, 0),
          );
        }
      }),
      { numRuns: 300 },
    );
  });

  it('does not depend on the order of offers and suppliers', () => {
    fc.assert(
      fc.property(small, fc.integer(), fc.constantFrom(20, 100_000), (q, seed, effort) => {
        const shuffled = <T>(list: readonly T[]): T[] =>
          list
            .map((each, index) => ({ each, key: Math.imul(index + 1, seed | 1) >>> 3 }))
            .sort((a, b) => a.key - b.key)
            .map(({ each }) => each);
        const again = { ...q, offers: shuffled(q.offers), suppliers: shuffled(q.suppliers), effort };
        should(allocate(again)).deepEqual(allocate({ ...q, effort }));
      }),
    );
  });
});
