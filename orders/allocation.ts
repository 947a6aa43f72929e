import type { Address } from './address.ts';
import { leastWeight, type Item, type Parcel } from './least-cost.ts';
import { decimal, describeMoney, money, sum, times, type Money } from './money.ts';
import type { Offer } from './offer.ts';
import type { AffectedLine } from './order.ts';
import { add, subtract, toMillionths, written, type Quantity } from './quantity.ts';
import { describeRule, ruleHolds, type RoutingRule } from './routing-rules.ts';

/** Who delivers what, and why. */
export interface Allocation {
  /** In the order of the lines; within a line, the supplier first that gives most. */
  lines: AllocatedLine[];
  /** One per supplier that is used, in the order in which purchase orders are numbered. */
  parcels: AllocatedParcel[];
  undeliverable: AffectedLine[];
  explanation: Explanation[];
  /** Goods, shipping and handling. */
  totalCost: Money;
  /** False when the search was cut short: valid, but perhaps not the best. */
  exact: boolean;
}

export interface AllocatedLine {
  /** `OrderLine.id` */
  orderLine: string;
  supplier: string;
  sku: string;
  supplierSku?: string;
  quantity: Quantity;
  unitCost: Money;
  /** For people: why this supplier. */
  reason: string;
}

export interface AllocatedParcel {
  supplier: string;
  goods: Money;
  /** Shipping and handling of the parcel. */
  shipping: Money;
}

/** How one line was decided. */
export interface Explanation {
  /** `OrderLine.id` */
  line: string;
  candidates: { supplier: string; quantity: Quantity; unitCost: Money; verdict: string }[];
  sentence: string;
}

/** What the retailer has agreed with a supplier. Amounts in other currencies than the offer's are not used. */
export interface SupplierTerms {
  /** Reference. */
  supplier: string;
  /** For people; the reference where there is none. */
  name?: string;
  /** Lower first. */
  priority: number;
  /** ISO codes that the supplier ships to; empty: everywhere. */
  countries: string[];
  shippingCost: Money;
  handlingCost: Money;
  /** Goods of this amount ship free; handling stays. */
  freeShippingFrom?: Money;
  /** Least goods per purchase order. */
  minimumOrder?: Money;
  /** Where the offer says nothing. */
  leadTimeDays?: number;
  /** How many open purchase orders the supplier can work on, and how many are open now. */
  openOrderLimit?: number;
  openOrders?: number;
}

export type Strategy = 'cheapest' | 'fastest' | 'fewest-parcels' | 'priority';

export interface RoutingQuestion {
  /** Lines of one order, or what was freed of them. */
  lines: readonly { orderLine: string; sku: string; quantity: Quantity }[];
  shipTo: Pick<Address, 'country' | 'region' | 'postalCode'>;
  offers: readonly Offer[];
  suppliers: readonly SupplierTerms[];
  /** What is promised to other orders and not yet taken off the stock in the offers. */
  openAllocations: readonly { supplier: string; sku: string; quantity: Quantity }[];
  /** Who is not asked (again): for one SKU, or for anything. */
  excluded: readonly { supplier: string; sku?: string; reason?: string }[];
  rules: readonly RoutingRule[];
  strategy: Strategy;
  /** Only whole pieces are sold. */
  wholeUnits: boolean;
  /** The order's total, for rules on it. */
  orderTotal?: Money;
  /** Currency to buy in. Default: the one in which most lines find an offer. */
  currency?: string;
  /** How many steps the search may take; steps, so that every machine decides alike. Default 100,000, some milliseconds. */
  effort?: number;
}

/** An offer that could be used, or the reason why not. */
interface Candidate {
  offer: Offer;
  terms: SupplierTerms | undefined;
  /** Place of the supplier by priority, then reference. */
  rank: number;
  /** Why it cannot be used. */
  obstacle?: string;
  /** On the shelf and free, in millionths; undefined: as much as anyone wants. */
  free?: number;
  days?: number;
  preferred: boolean;
}

/** One SKU of the order with all that is wanted of it. */
interface Want {
  sku: string;
  /** In millionths. */
  wanted: number;
  candidates: Candidate[];
  usable: Candidate[];
  /** Somebody is preferred for it by a rule. */
  hasPreferred: boolean;
}

const ONE = 1_000_000;

/**
 * Finds who delivers what: as much as can be delivered; of that, as much as possible from preferred suppliers; then what the strategy
 * wants (`fastest`: fewest days, unit by unit; `fewest-parcels`; `priority`: unit by unit); then the least landed cost: goods, shipping
 * and handling per parcel. Ties go to fewer parcels, then by priority, then by reference. The order of the offers does not matter.
 * Minimum quantities count per SKU and purchase order.
 * @throws ConfigurationMistake `RULE_INVALID`, BusinessRefusal `QUANTITY_INVALID`
 */
export function allocate(question: RoutingQuestion): Allocation {
  const currency = question.currency ?? currencyOf(question);
  const suppliers = [...question.suppliers].sort((a, b) => a.priority - b.priority || order(a.supplier, b.supplier));
  const wants = wantsOf(question, suppliers, currency);
  const used = suppliers.filter((terms) => wants.some((want) => want.usable.some((each) => each.terms === terms)));
  const grain = grainOf(question, wants, used);
  const solution = leastWeight(problemOf(question, wants, used, currency, grain));
  const takes = wants.map((want, item) =>
    want.usable.map((candidate, source) => ({
      candidate,
      rest: (solution.units[item]?.[source] ?? 0) * grain,
    })),
  );

  const names = new Map(suppliers.map((terms) => [terms.supplier, terms.name ?? terms.supplier]));
  const nameOf = (supplier: string) => names.get(supplier) ?? supplier;
  const lines: AllocatedLine[] = [];
  const undeliverable: AffectedLine[] = [];
  const explanation: Explanation[] = [];
  for (const line of question.lines) {
    const index = wants.findIndex((want) => want.sku === line.sku);
    const want = wants[index];
    if (!want) continue;
    const given = new Map<Candidate, Quantity>();
    let rest = toMillionths(line.quantity);
    for (const take of takes[index] ?? []) {
      const part = Math.min(take.rest, rest);
      if (part <= 0) continue;
      take.rest -= part;
      rest -= part;
      given.set(take.candidate, written(part));
    }
    const told = explain(question, line, want, given, currency, nameOf);
    explanation.push(told);
    for (const [{ offer }, quantity] of given) {
      lines.push({
        orderLine: line.orderLine,
        supplier: offer.supplier,
        sku: line.sku,
        ...(offer.supplierSku === undefined ? {} : { supplierSku: offer.supplierSku }),
        quantity,
        unitCost: offer.unitCost,
        reason: told.sentence,
      });
    }
    if (rest > 0) {
      const quantity = written(rest);
      undeliverable.push({ orderLine: line.orderLine, sku: line.sku, quantity, reason: told.sentence });
    }
  }
  const parcels = used
    .filter((terms) => lines.some((line) => line.supplier === terms.supplier))
    .map((terms) => parcelOf(terms, lines, currency));
  const totalCost = sum(
    parcels.flatMap((parcel) => [parcel.goods, parcel.shipping]),
    currency,
  );
  return { lines, parcels, undeliverable, explanation, totalCost, exact: solution.exact };
}

/** The currency in which most lines find an offer; of several, the first in the alphabet. */
function currencyOf(question: RoutingQuestion): string {
  const skus = new Map<string, Set<string>>();
  const wanted = new Set(question.lines.map((line) => line.sku));
  for (const offer of question.offers) {
    if (!wanted.has(offer.sku)) continue;
    const found = skus.get(offer.unitCost.currency) ?? new Set();
    skus.set(offer.unitCost.currency, found.add(offer.sku));
  }
  const [most] = [...skus].sort((a, b) => b[1].size - a[1].size || order(a[0], b[0]));
  return most?.[0] ?? question.suppliers[0]?.shippingCost.currency ?? question.orderTotal?.currency ?? 'EUR';
}

function wantsOf(question: RoutingQuestion, suppliers: SupplierTerms[], currency: string): Want[] {
  const wanted = new Map<string, number>();
  for (const line of question.lines) {
    wanted.set(line.sku, (wanted.get(line.sku) ?? 0) + toMillionths(line.quantity));
  }
  const ranks = new Map(suppliers.map((terms, rank) => [terms.supplier, rank]));
  const offers = new Map<string, Offer[]>();
  for (const offer of question.offers) {
    if (!wanted.has(offer.sku)) continue;
    const found = offers.get(offer.sku);
    if (found) found.push(offer);
    else offers.set(offer.sku, [offer]);
  }
  const promised = new Map<string, Quantity>();
  for (const { supplier, sku, quantity } of question.openAllocations) {
    const key = JSON.stringify([supplier, sku]);
    promised.set(key, add(promised.get(key) ?? '0', quantity));
  }
  return [...wanted].map(([sku, quantity]) => {
    const rules = question.rules.filter((rule) =>
      ruleHolds(rule, {
        shipTo: question.shipTo,
        sku,
        ...(question.orderTotal ? { total: question.orderTotal } : {}),
      }),
    );
    const candidates = (offers.get(sku) ?? []).map((offer): Candidate => {
      const rank = ranks.get(offer.supplier);
      const terms = rank === undefined ? undefined : suppliers[rank];
      const taken = promised.get(JSON.stringify([offer.supplier, sku])) ?? '0';
      const free = offer.stock === undefined ? undefined : toMillionths(subtract(offer.stock, taken));
      const obstacle = obstacleOf(question, offer, terms, rules, currency, free, taken);
      const days = offer.leadTimeDays ?? terms?.leadTimeDays;
      return {
        offer,
        terms,
        rank: rank ?? suppliers.length,
        ...(obstacle === undefined ? {} : { obstacle }),
        ...(free === undefined ? {} : { free: question.wholeUnits ? free - (free % ONE) : free }),
        ...(days === undefined ? {} : { days }),
        preferred: rules.some((rule) => rule.action === 'prefer' && rule.supplier === offer.supplier),
      };
    });
    candidates.sort(
      (a, b) =>
        a.rank - b.rank ||
        order(a.offer.supplier, b.offer.supplier) ||
        a.offer.unitCost.minor - b.offer.unitCost.minor ||
        order(JSON.stringify(ordered(a.offer)), JSON.stringify(ordered(b.offer))),
    );
    const usable: Candidate[] = [];
    for (const candidate of candidates) {
      if (candidate.obstacle !== undefined) continue;
      const least = toMillionths(candidate.offer.minimumQuantity ?? '0');
      const most = candidate.free === undefined || candidate.free > quantity ? quantity : candidate.free;
      if (least > most) {
        candidate.obstacle = `sells ${candidate.offer.minimumQuantity} or more`;
      } else if (usable.some((other) => other.terms === candidate.terms)) {
        candidate.obstacle = 'has another offer that costs no more';
      } else {
        usable.push(candidate);
      }
    }
    return { sku, wanted: quantity, candidates, usable, hasPreferred: usable.some((each) => each.preferred) };
  });
}

/** Why an offer cannot be used, as the end of a sentence that begins with the supplier's name. */
function obstacleOf(
  question: RoutingQuestion,
  offer: Offer,
  terms: SupplierTerms | undefined,
  rules: readonly RoutingRule[],
  currency: string,
  free: number | undefined,
  taken: Quantity,
): string | undefined {
  if (!terms) return 'is no supplier of this ledger';
  const { country } = question.shipTo;
  for (const countries of [terms.countries, offer.countries ?? []]) {
    if (countries.length > 0 && !countries.includes(country)) return `does not ship to ${country}`;
  }
  const excluded = question.excluded.find(
    (each) => each.supplier === offer.supplier && (each.sku === undefined || each.sku === offer.sku),
  );
  if (excluded) return `is not asked again${excluded.reason ? `: ${excluded.reason}` : ''}`;
  const against = rules.find((rule) => rule.action === 'exclude' && rule.supplier === offer.supplier);
  if (against) return `is left out by the rule "${describeRule(against)}"`;
  const only = rules.filter((rule) => rule.action === 'only');
  if (only[0] && !only.some((rule) => rule.supplier === offer.supplier)) {
    return `is left out by the rule "${describeRule(only[0])}"`;
  }
  if (offer.unitCost.currency !== currency) {
    return `asks for ${offer.unitCost.currency}, and this order is bought in ${currency}`;
  }
  const amounts = [terms.shippingCost, terms.handlingCost, terms.freeShippingFrom, terms.minimumOrder];
  const foreign = amounts.find((amount) => amount && amount.minor !== 0 && amount.currency !== currency);
  if (foreign) return `has terms in ${foreign.currency}, and this order is bought in ${currency}`;
  if (offer.unitCost.minor < 0) return 'asks for less than nothing';
  if (terms.openOrderLimit !== undefined && (terms.openOrders ?? 0) >= terms.openOrderLimit) {
    return `has ${terms.openOrders ?? 0} open orders and takes ${terms.openOrderLimit}`;
  }
  if (free !== undefined && (question.wholeUnits ? free < ONE : free <= 0)) {
    return toMillionths(offer.stock ?? '0') === 0
      ? 'has none in stock'
      : `has ${offer.stock} in stock${taken === '0' ? '' : `, promised to other orders: ${taken}`}`;
  }
  return undefined;
}

/** The largest quantity that all quantities are multiples of, in millionths: the search counts in it. */
function grainOf(question: RoutingQuestion, wants: Want[], used: SupplierTerms[]): number {
  if (question.wholeUnits) return ONE;
  let grain = 0;
  for (const want of wants) {
    grain = commonDivisor(grain, want.wanted);
    for (const candidate of want.usable) {
      if (candidate.free !== undefined && candidate.free < want.wanted) grain = commonDivisor(grain, candidate.free);
      grain = commonDivisor(grain, toMillionths(candidate.offer.minimumQuantity ?? '0'));
    }
  }
  // Where thresholds may split a quantity anywhere, whole units are fine enough to split at.
  if (used.some((terms) => terms.minimumOrder || terms.freeShippingFrom)) grain = commonDivisor(grain, ONE);
  return grain > 0 ? grain : ONE;
}

/** The question in numbers: tiers of the objective become digits of one weight. */
function problemOf(
  question: RoutingQuestion,
  wants: Want[],
  used: SupplierTerms[],
  currency: string,
  grain: number,
): { items: Item[]; suppliers: Parcel[]; undelivered: number; integral: boolean; effort: number } {
  const scale = grain / ONE;
  const units = wants.map((want) => Math.floor(want.wanted / grain));
  const all = units.reduce((sum, each) => sum + each, 0);
  const minor = (amount: Money | undefined) => amount?.minor ?? 0;
  const places = new Map(used.map((terms, place) => [terms, place]));
  const slowest = 1 + Math.max(0, ...wants.flatMap((want) => want.usable.map((each) => each.days ?? 0)));
  const priorities = [...new Set(used.map((terms) => terms.priority))].sort((a, b) => a - b);
  const wish = (candidate: Candidate): number => {
    if (question.strategy === 'fastest') return candidate.days ?? slowest;
    return question.strategy === 'priority' ? priorities.indexOf(candidate.terms?.priority ?? 0) : 0;
  };
  const perParcel = question.strategy === 'fewest-parcels' ? 1 : 0;
  const most = (of: (candidate: Candidate) => number) =>
    wants.reduce((sum, want, i) => sum + units[i]! * want.usable.reduce((max, each) => Math.max(max, of(each)), 0), 0);

  const ties = all * used.length;
  const costs =
    most((each) => each.offer.unitCost.minor * scale) +
    used.reduce((sum, terms) => sum + minor(terms.shippingCost) + minor(terms.handlingCost), 0);
  const wishes = most(wish) + perParcel * used.length;
  const preferences = wants.reduce((sum, want, i) => sum + (want.hasPreferred ? units[i]! : 0), 0);
  let tie = 1;
  let cost = used.length * (ties + 1) + ties + 1;
  let wished = cost * (Math.ceil(costs) + 1);
  let preferred = wished * (wishes + 1);
  let undelivered = preferred * (preferences + 1);
  let integral = Number.isInteger(scale) && Number.isInteger(wishes);
  if (undelivered * (all + 1) > Number.MAX_SAFE_INTEGER) {
    // Too large for exact doubles: ties are left to the order of the search.
    tie = 0;
    cost = 1;
    wished = Math.ceil(costs) + 1;
    preferred = wished * (wishes + 1);
    undelivered = preferred * (preferences + 1);
    integral &&= undelivered * (all + 1) <= Number.MAX_SAFE_INTEGER;
  }
  // Sums of fractions are a hair off: thresholds must not be missed by it.
  const threshold = (amount: Money | undefined, none: number) =>
    amount === undefined ? none : integral ? amount.minor : amount.minor - 1e-6;

  const items = wants.map((want, i): Item => {
    const weighed = want.usable.map((candidate) => {
      const { offer } = candidate;
      const place = places.get(candidate.terms!) ?? 0;
      const dislike = want.hasPreferred && !candidate.preferred ? preferred : 0;
      const free = candidate.free === undefined ? Infinity : Math.floor(candidate.free / grain);
      return {
        candidate,
        source: {
          supplier: place,
          weight: dislike + wish(candidate) * wished + offer.unitCost.minor * scale * cost + place * tie,
          goods: offer.unitCost.minor * scale,
          most: Math.min(free, units[i]!),
          least: Math.ceil(toMillionths(offer.minimumQuantity ?? '0') / grain),
        },
      };
    });
    weighed.sort((a, b) => a.source.weight - b.source.weight || a.source.supplier - b.source.supplier);
    want.usable = weighed.map((each) => each.candidate);
    return { units: units[i]!, sources: weighed.map((each) => each.source) };
  });
  const suppliers = used.map((terms): Parcel => ({
    weight: minor(terms.handlingCost) * cost + perParcel * wished + (ties + 1) * tie,
    shippingWeight: minor(terms.shippingCost) * cost,
    freeFrom: threshold(terms.shippingCost.minor > 0 ? terms.freeShippingFrom : undefined, Infinity),
    minimum: threshold(terms.minimumOrder, 0),
  }));
  return { items, suppliers, undelivered, integral, effort: question.effort ?? 100_000 };
}

function parcelOf(terms: SupplierTerms, lines: AllocatedLine[], currency: string): AllocatedParcel {
  const goods = sum(
    lines.filter((line) => line.supplier === terms.supplier).map((line) => times(line.unitCost, line.quantity)),
    currency,
  );
  const free = terms.freeShippingFrom !== undefined && goods.minor >= terms.freeShippingFrom.minor;
  return {
    supplier: terms.supplier,
    goods,
    shipping: money((free ? 0 : terms.shippingCost.minor) + terms.handlingCost.minor, currency),
  };
}

/** In plain words: "Vineyard Direct: 3 of 3 at 8.10; Cellar Co has 1 in stock". */
function explain(
  question: RoutingQuestion,
  line: RoutingQuestion['lines'][number],
  want: Want,
  given: Map<Candidate, Quantity>,
  currency: string,
  nameOf: (supplier: string) => string,
): Explanation {
  const dearest = Math.max(0, ...[...given.keys()].map((each) => each.offer.unitCost.minor));
  let missing = toMillionths(line.quantity);
  for (const quantity of given.values()) missing -= toMillionths(quantity);
  const told = want.candidates.map((candidate) => {
    const { offer } = candidate;
    const quantity = given.get(candidate) ?? '0';
    const verdict = given.has(candidate)
      ? `${quantity} of ${line.quantity} at ${decimal(offer.unitCost)}`
      : (candidate.obstacle ?? (missing > 0 ? notReached(candidate) : notChosen(question, candidate, given, dearest)));
    return { candidate, quantity, verdict };
  });
  const chosen = told
    .filter((each) => given.has(each.candidate))
    .map((each) => `${nameOf(each.candidate.offer.supplier)}: ${each.verdict}`);
  const others = told
    .filter((each) => !given.has(each.candidate))
    .map((each) => `${nameOf(each.candidate.offer.supplier)} ${each.verdict}`);
  const nobody = missing > 0 ? [`nobody can deliver ${written(missing)} of ${line.sku}`] : [];
  const none = want.candidates.length === 0 ? ['no supplier offers it'] : [];
  const sentence = [...chosen, ...nobody, ...others.slice(0, 5), ...none].join('; ');
  return {
    line: line.orderLine,
    candidates: told.map(({ candidate, quantity, verdict }) => ({
      supplier: candidate.offer.supplier,
      quantity,
      unitCost: candidate.offer.unitCost,
      verdict,
    })),
    sentence: sentence.charAt(0).toUpperCase() + sentence.slice(1),
  };
}

/** Why a usable offer does not help with what is missing: its minimum order, or other lines took the stock. */
function notReached({ offer, terms, free }: Candidate): string {
  const has = free === undefined ? `asks for ${decimal(offer.unitCost)}` : `has ${written(free)} in stock`;
  return terms?.minimumOrder ? `${has}, and takes orders from ${describeMoney(terms.minimumOrder)}` : has;
}

function notChosen(
  question: RoutingQuestion,
  candidate: Candidate,
  given: Map<Candidate, Quantity>,
  dearest: number,
): string {
  const { offer } = candidate;
  const cost = decimal(offer.unitCost);
  if (!candidate.preferred && [...given.keys()].some((each) => each.preferred))
    return `asks for ${cost}, is not preferred`;
  if (question.strategy === 'fastest' && [...given.keys()].every((each) => slower(candidate, each))) {
    return `asks for ${cost}, takes ${candidate.days === undefined ? 'an unknown time' : `${candidate.days} days`}`;
  }
  if (offer.unitCost.minor > dearest) return `asks for ${cost}`;
  if (question.strategy === 'priority' && [...given.keys()].every((each) => each.rank < candidate.rank)) {
    return `asks for ${cost}, comes later by priority`;
  }
  if (question.strategy === 'fewest-parcels') return `asks for ${cost}, would be one more parcel`;
  if (offer.unitCost.minor === dearest) return `asks for ${cost} as well`;
  if (candidate.free !== undefined && candidate.free < toMillionths([...given.values()][0] ?? '0')) {
    return `has ${shelf(candidate)} in stock at ${cost}, and another parcel would cost more`;
  }
  return `asks for ${cost}, but with its parcel the order would cost more`;
}

function slower(candidate: Candidate, than: Candidate): boolean {
  return (candidate.days ?? Infinity) > (than.days ?? Infinity);
}

function shelf(candidate: Candidate): Quantity {
  return written(candidate.free ?? 0);
}

/** An offer with its fields in one order, to compare. */
function ordered(offer: Offer): unknown[] {
  return [
    offer.unitCost.currency,
    offer.supplierSku ?? '',
    offer.stock ?? '',
    offer.leadTimeDays ?? '',
    offer.countries ?? [],
    offer.minimumQuantity ?? '',
  ];
}

function commonDivisor(a: number, b: number): number {
  while (b > 0) [a, b] = [b, a % b];
  return a;
}

/** By code units: the same on every machine, whatever its language. */
function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
