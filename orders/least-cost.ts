/**
 * The search behind routing, in plain numbers: who delivers how many units of each item at the least total weight. Weights are whatever
 * the caller wants little of (cost, days, parcels, in tiers); goods are the money that a supplier's thresholds are measured in.
 */
export interface Problem {
  items: Item[];
  suppliers: Parcel[];
  /** Weight of a unit that nobody delivers; above anything that delivering it could weigh. */
  undelivered: number;
  /** All weights are integers: then two solutions differ by one at least, and the search may stop half a unit short. */
  integral: boolean;
  /** How many steps the search may take. Steps, not time: the same question must have the same answer on every machine. */
  effort: number;
}

export interface Item {
  /** Units wanted. */
  units: number;
  /** Lightest first. */
  sources: Source[];
}

export interface Source {
  supplier: number;
  /** Per unit. */
  weight: number;
  goods: number;
  /** Units at most; and at least, if any. */
  most: number;
  least: number;
}

/** What using a supplier at all brings with it. */
export interface Parcel {
  weight: number;
  /** Comes on top while the goods are below `freeFrom`. */
  shippingWeight: number;
  freeFrom: number;
  /** The goods must reach this, or the supplier is not used. */
  minimum: number;
}

export interface Solution {
  /** Units per item and source, in the order of the problem. */
  units: number[][];
  weight: number;
  exact: boolean;
}

/**
 * Branch and bound over the sets of suppliers that are used. Within a set every item is filled from its lightest sources, which is the
 * best there is unless minimum orders, minimum quantities or free shipping make it worth leaving that; then a second search, over
 * quantities, is bounded by what reaching each threshold costs at least.
 */
export function leastWeight(problem: Problem): Solution {
  const { items, suppliers } = problem;
  const gap = problem.integral ? 0.5 : 0;
  let steps = problem.effort;
  let best: number[][] = items.map((item) => item.sources.map(() => 0));
  let bestWeight = items.reduce((sum, item) => sum + item.units * problem.undelivered, 0);

  const allowed = new Uint8Array(suppliers.length).fill(1);
  const goods = new Float64Array(suppliers.length);
  const used = new Uint8Array(suppliers.length);
  const mostGoods = new Float64Array(suppliers.length);
  for (const item of items) {
    for (const source of item.sources) {
      mostGoods[source.supplier]! += source.goods * Math.min(source.most, item.units);
    }
  }
  const coupled = suppliers.some((parcel) => parcel.minimum > 0 || parcel.freeFrom < Infinity) || hasLeast(items);

  const offer = (units: number[][], weight: number) => {
    if (weight >= bestWeight - gap) return;
    bestWeight = weight;
    best = units;
  };

  /** Fills every item from its lightest allowed sources. Leaves `goods` and `used`; returns the weight without parcels. */
  const fill = (): number => {
    goods.fill(0);
    used.fill(0);
    steps -= items.length;
    let weight = 0;
    for (const item of items) {
      let rest = item.units;
      for (const source of item.sources) {
        if (allowed[source.supplier] === 0) continue;
        const units = source.most < rest ? source.most : rest;
        weight += units * source.weight;
        goods[source.supplier]! += units * source.goods;
        used[source.supplier] = 1;
        rest -= units;
        if (rest === 0) break;
      }
      weight += rest * problem.undelivered;
    }
    return weight;
  };

  /** The weight of the last fill with its parcels, or Infinity when a minimum is not kept. */
  const filledWeight = (weight: number): number => {
    for (let s = 0; s < suppliers.length; s++) {
      if (used[s] === 0) continue;
      const parcel = suppliers[s]!;
      if (goods[s]! < parcel.minimum) return Infinity;
      weight += parcel.weight + (goods[s]! < parcel.freeFrom ? parcel.shippingWeight : 0);
    }
    return weight;
  };

  const filledUnits = (): number[][] =>
    items.map((item) => {
      let rest = item.units;
      return item.sources.map((source) => {
        const units = allowed[source.supplier] === 0 ? 0 : Math.min(source.most, rest);
        rest -= units;
        return units;
      });
    });

  /** Tries the fill of the allowed suppliers as a solution. Returns the fill's weight without parcels. */
  const tryFill = (): number => {
    const weight = fill();
    const whole = filledWeight(weight);
    if (whole < bestWeight - gap) {
      const units = filledUnits();
      if (keepsLeast(items, units)) offer(units, whole);
    }
    return weight;
  };

  /** A good first solution, so that the search can discard much: leave out, one by one, whom it is best to do without. */
  const descend = () => {
    tryFill();
    for (;;) {
      const before = bestWeight;
      let without = -1;
      for (let s = 0; s < suppliers.length && steps > 0; s++) {
        if (allowed[s] === 0) continue;
        const known = bestWeight;
        allowed[s] = 0;
        tryFill();
        allowed[s] = 1;
        if (bestWeight < known) without = s;
      }
      if (bestWeight >= before) break;
      allowed[without] = 0;
    }
    allowed.fill(1);
  };

  /** The suppliers before `next` are decided: used for certain, or not allowed. The others may be used. */
  const decided = new Uint8Array(suppliers.length);
  const branch = (next: number) => {
    if (steps <= 0) return;
    const weight = tryFill();
    let bound = weight;
    for (let s = 0; s < next; s++) {
      if (decided[s] === 0) continue;
      const parcel = suppliers[s]!;
      if (mostGoods[s]! < parcel.minimum) return;
      bound += parcel.weight + (mostGoods[s]! < parcel.freeFrom ? parcel.shippingWeight : 0);
    }
    if (bound >= bestWeight - gap) return;
    if (next === suppliers.length) {
      if (coupled) searchQuantities();
      return;
    }
    decided[next] = 1;
    branch(next + 1);
    decided[next] = 0;
    allowed[next] = 0;
    branch(next + 1);
    allowed[next] = 1;
  };

  /** The best solution that uses exactly the allowed suppliers, where thresholds make the plain fill impossible or unwise. */
  const searchQuantities = () => {
    steps -= 2 * items.length;
    const list = items.map((item) => item.sources.filter((source) => allowed[source.supplier] === 1));
    const open = suppliers.map((_, s) => s).filter((s) => allowed[s] === 1);
    // Weight of the plain fill from item i on, and the weight of the last unit of each item in it.
    const suffix = new Float64Array(items.length + 1);
    const marginal = new Float64Array(items.length);
    const suffixGoods = suppliers.map(() => new Float64Array(items.length + 1));
    for (let i = items.length - 1; i >= 0; i--) {
      let rest = items[i]!.units;
      let weight = 0;
      marginal[i] = problem.undelivered;
      for (const source of list[i]!) {
        const units = Math.min(source.most, rest);
        weight += units * source.weight;
        if (rest > 0 && units === rest) marginal[i] = source.weight;
        rest -= units;
      }
      suffix[i] = suffix[i + 1]! + weight + rest * problem.undelivered;
      for (const s of open) suffixGoods[s]![i] = suffixGoods[s]![i + 1]!;
      for (const source of list[i]!) suffixGoods[source.supplier]![i]! += source.goods * source.most;
    }
    // What a unit at this supplier weighs more than the plain fill, cheapest per money first: the price of reaching a threshold.
    const lifts = suppliers.map((_, s) =>
      list
        .flatMap((sources, item) => sources.map((source) => ({ source, item })))
        .filter(({ source }) => source.supplier === s && source.goods > 0)
        .map(({ source, item }) => ({
          item,
          source,
          goods: source.goods * source.most,
          ratio: Math.max(0, source.weight - marginal[item]!) / source.goods,
        }))
        .sort((a, b) => a.ratio - b.ratio),
    );
    const lift = (s: number, missing: number, from: number): number => {
      let weight = 0;
      for (const each of lifts[s]!) {
        if (missing <= 0) break;
        if (each.item < from) continue;
        weight += each.ratio * Math.min(missing, each.goods);
        missing -= each.goods;
      }
      return missing > 1e-6 ? Infinity : weight;
    };
    const have = new Float64Array(suppliers.length);
    /** The least that parcels and thresholds can add when the items before `from` are decided. */
    const parcels = (from: number): number => {
      let weight = 0;
      for (const s of open) {
        const parcel = suppliers[s]!;
        const reach = have[s]! + suffixGoods[s]![from]!;
        if (reach < parcel.minimum) return Infinity;
        const toMinimum = parcel.minimum > have[s]! ? lift(s, parcel.minimum - have[s]!, from) : 0;
        const toFree = reach < parcel.freeFrom ? Infinity : lift(s, parcel.freeFrom - have[s]!, from);
        weight += parcel.weight + Math.min(parcel.shippingWeight + toMinimum, Math.max(toMinimum, toFree));
      }
      return weight;
    };
    const chosen = list.map((sources) => sources.map(() => 0));

    const complete = (weight: number) => {
      const count = new Uint8Array(suppliers.length);
      chosen.forEach((units, i) => units.forEach((u, k) => u > 0 && (count[list[i]![k]!.supplier] = 1)));
      for (const s of open) {
        if (count[s] === 0) continue;
        const parcel = suppliers[s]!;
        if (have[s]! < parcel.minimum) return;
        weight += parcel.weight + (have[s]! < parcel.freeFrom ? parcel.shippingWeight : 0);
      }
      if (weight >= bestWeight - gap) return;
      const units = items.map((item, i) =>
        item.sources.map((source) => {
          const k = list[i]!.indexOf(source);
          return k < 0 ? 0 : chosen[i]![k]!;
        }),
      );
      offer(units, weight);
    };

    /** A good solution to begin with: the plain fill, with units moved to whom it pays to lift over a threshold. */
    const liftPlainFill = () => {
      let weight = 0;
      items.forEach((item, i) => {
        let rest = item.units;
        list[i]!.forEach((source, k) => {
          const units = Math.min(source.most, rest);
          chosen[i]![k] = units;
          have[source.supplier]! += units * source.goods;
          weight += units * source.weight;
          rest -= units;
        });
        weight += rest * problem.undelivered;
      });
      for (const s of open) {
        const parcel = suppliers[s]!;
        const pays = lift(s, parcel.freeFrom, 0) < parcel.shippingWeight;
        const target = Math.max(parcel.minimum, pays ? parcel.freeFrom : 0);
        for (const { item, source } of lifts[s]!) {
          if (have[s]! >= target) break;
          const k = list[item]!.indexOf(source);
          for (let from = list[item]!.length - 1; from >= 0 && have[s]! < target; from--) {
            const giver = list[item]![from]!;
            if (from === k || chosen[item]![from] === 0) continue;
            const wanted = Math.ceil((target - have[s]!) / source.goods);
            const units = Math.min(wanted, chosen[item]![from]!, source.most - chosen[item]![k]!);
            chosen[item]![from]! -= units;
            chosen[item]![k]! += units;
            have[giver.supplier]! -= units * giver.goods;
            have[s]! += units * source.goods;
            weight += units * (source.weight - giver.weight);
          }
        }
      }
      const whole = list.every((sources, i) =>
        sources.every((source, k) => chosen[i]![k] === 0 || chosen[i]![k]! >= source.least),
      );
      if (whole) complete(weight);
      have.fill(0);
      for (const units of chosen) units.fill(0);
    };

    const decide = (i: number, k: number, rest: number, weight: number) => {
      if (--steps <= 0) return;
      const source = list[i]?.[k];
      if (rest > 0 && source) {
        const later = list[i]![k + 1]?.weight ?? problem.undelivered;
        for (let units = Math.min(source.most, rest); units >= 0; units--) {
          const soFar = weight + units * source.weight;
          // Fewer units here weigh more elsewhere: once that alone is too much, it stays so.
          if (soFar + (rest - units) * later + suffix[i + 1]! + floor >= bestWeight - gap) break;
          if (units > 0 && units < source.least) continue;
          chosen[i]![k] = units;
          have[source.supplier]! += units * source.goods;
          decide(i, k + 1, rest - units, soFar);
          have[source.supplier]! -= units * source.goods;
          chosen[i]![k] = 0;
          if (steps <= 0) return;
        }
        return;
      }
      const soFar = weight + rest * problem.undelivered;
      if (i + 1 >= items.length) return complete(soFar);
      if (soFar + suffix[i + 1]! + floor >= bestWeight - gap) return;
      steps -= open.length;
      if (soFar + suffix[i + 1]! + parcels(i + 1) >= bestWeight - gap) return;
      decide(i + 1, 0, items[i + 1]!.units, soFar);
    };
    // Parcels without the price of reaching thresholds: within an item that price is already in the units.
    const floor = open.reduce((sum, s) => {
      const parcel = suppliers[s]!;
      return sum + parcel.weight + (suffixGoods[s]![0]! < parcel.freeFrom ? parcel.shippingWeight : 0);
    }, 0);
    if (items.length === 0 || suffix[0]! + parcels(0) >= bestWeight - gap) return;
    liftPlainFill();
    decide(0, 0, items[0]!.units, 0);
  };

  descend();
  branch(0);
  return { units: best, weight: bestWeight, exact: steps > 0 };
}

function hasLeast(items: readonly Item[]): boolean {
  return items.some((item) => item.sources.some((source) => source.least > 1));
}

function keepsLeast(items: readonly Item[], units: readonly number[][]): boolean {
  return items.every((item, i) =>
    item.sources.every((source, k) => units[i]![k] === 0 || units[i]![k]! >= source.least),
  );
}
