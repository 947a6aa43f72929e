/**
 * How long one routing decision takes: `node bench/routing.ts`. Prints the median and the 99th percentile over many random orders, and
 * fails when the median of the target case (12 candidate suppliers, 50 lines) is not under 5 ms.
 */
import { allocate, type RoutingQuestion, type SupplierTerms } from '../orders/allocation.ts';
import type { Offer } from '../orders/offer.ts';

const TARGET_MS = 5;

interface Case {
  name: string;
  suppliers: number;
  lines: number;
  /** Which of the suppliers have free shipping and a minimum order. */
  thresholds: boolean;
  target: boolean;
}

const cases: Case[] = [
  { name: '4 suppliers, 3 lines', suppliers: 4, lines: 3, thresholds: true, target: true },
  { name: '12 suppliers, 50 lines, shipping per parcel', suppliers: 12, lines: 50, thresholds: false, target: true },
  { name: '12 suppliers, 50 lines, thresholds as well', suppliers: 12, lines: 50, thresholds: true, target: true },
  { name: '30 suppliers, 200 lines, thresholds as well', suppliers: 30, lines: 200, thresholds: true, target: false },
];

/** Park and Miller's generator: the same orders in every run. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}

function question(size: Case, seed: number): RoutingQuestion {
  const random = generator(seed + 1);
  const eur = (minor: number) => ({ minor, currency: 'EUR' });
  const suppliers = Array.from({ length: size.suppliers }, (_, s): SupplierTerms => {
    const shippingCost = eur(400 + random(800));
    const thresholds = size.thresholds && s % 3 === 0 ? { freeShippingFrom: eur(5_000 + random(20_000)) } : {};
    const minimum = size.thresholds && s % 4 === 1 ? { minimumOrder: eur(2_000 + random(6_000)) } : {};
    const handlingCost = eur(random(200));
    return { supplier: `s${s}`, priority: 10, countries: [], shippingCost, handlingCost, ...thresholds, ...minimum };
  });
  const offers: Offer[] = [];
  const lines = Array.from({ length: size.lines }, (_, index) => {
    const base = 500 + random(4_000);
    const quantity = 1 + random(4);
    for (const { supplier } of suppliers) {
      if (random(10) >= 7) continue;
      const stock = random(3) === 0 ? { stock: String(random(5)) } : { stock: '100' };
      offers.push({ supplier, sku: `k${index}`, unitCost: eur(base + random(base >> 1)), ...stock });
    }
    return { orderLine: String(index), sku: `k${index}`, quantity: String(quantity) };
  });
  return {
    lines,
    shipTo: { country: 'NZ' },
    offers,
    suppliers,
    openAllocations: [],
    excluded: [],
    rules: [],
    strategy: 'cheapest',
    wholeUnits: true,
  };
}

let failed = false;
for (const size of cases) {
  const questions = Array.from({ length: 200 }, (_, seed) => question(size, seed));
  for (const each of questions.slice(0, 50)) allocate(each);
  let exact = 0;
  const times = questions.map((each) => {
    const begin = performance.now();
    const result = allocate(each);
    const took = performance.now() - begin;
    if (result.exact) exact++;
    return took;
  });
  times.sort((a, b) => a - b);
  const [median = 0, p99 = 0] = [times[times.length >> 1], times[Math.floor(times.length * 0.99)]];
  const verdict = size.target && median >= TARGET_MS ? `  NOT under ${TARGET_MS} ms` : '';
  failed ||= verdict !== '';
  const figures = `median ${median.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms, exact ${exact} of ${times.length}`;
  console.log(`${size.name}: ${figures}${verdict}`);
}
if (failed) process.exitCode = 1;
