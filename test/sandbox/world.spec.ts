import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import should from 'should';
import { demoOrders, productOf, suppliers, type SupplierName } from '../../sandbox/catalogue.ts';
import { drawChaos, REQUEST_FAULTS, type FaultKind } from '../../sandbox/faults.ts';
import { serve } from '../../sandbox/serve.ts';
import { createWorld, type Json, type Partner, type World, type WorldOptions } from '../../sandbox/world.ts';

/** Accepts `POST /things/<reference>`; a timer `later` records as well. */
function createTinyPartner(world: World): Partner & { count: number } {
  const partner: Partner & { count: number } = {
    name: 'tiny',
    count: 0,
    describe: ({ path, method }) => ({
      operation: `thing.${method.toLowerCase()}`,
      reference: path.split('/')[2] ?? '',
      write: method === 'POST',
    }),
    handle({ path, method }) {
      if (path === '/broken') throw new Error('a mistake of this partner');
      if (path.startsWith('/__sandbox/tiny/')) return { status: 200, body: { control: path } };
      if (method === 'GET') return { status: 200, body: { count: partner.count } };
      partner.count += 1;
      const reference = path.split('/')[2] ?? '';
      world.record('tiny', 'thing.create', reference, String(partner.count), { count: partner.count });
      return { status: 201, body: { id: String(partner.count) } };
    },
    error: (status, message) => ({ status, body: { tiny: message } }),
    due(action, data) {
      partner.count += 1;
      world.record('tiny', action, String(data), String(partner.count), null);
    },
    save: () => ({ count: partner.count }),
    load(state) {
      partner.count = (state as { count: number }).count;
    },
  };
  return partner;
}

async function post(url: string, body?: unknown): Promise<{ status: number; headers: Headers; text: string }> {
  const answer = await fetch(url, {
    method: 'POST',
    redirect: 'manual',
    signal: AbortSignal.timeout(300),
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: answer.status, headers: answer.headers, text: await answer.text() };
}

describe('sandbox world', () => {
  const closing: (() => Promise<void> | void)[] = [];
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sandbox-world-'));
  });

  afterEach(async () => {
    for (const close of closing.splice(0).toReversed()) await close();
    rmSync(folder, { recursive: true });
  });

  async function start(
    options: WorldOptions = {},
  ): Promise<{ world: World; partner: Partner & { count: number }; url: string; stop(): Promise<void> }> {
    const world = createWorld(options);
    const partner = createTinyPartner(world);
    const listener = await serve(world, partner, 0);
    const stop = async () => {
      await listener.close();
      world.close();
    };
    closing.push(() =>
      stop().catch((error: NodeJS.ErrnoException) => void should(error.code).equal('ERR_SERVER_NOT_RUNNING')),
    );
    return { world, partner, url: listener.url, stop };
  }

  const effects = (world: World) => world.effects.map(({ operation, reference }) => `${operation} ${reference}`);

  describe('faults', () => {
    const answered: { kind: FaultKind; accepted: boolean; status: number; text?: string }[] = [
      { kind: 'refuse', accepted: false, status: 422, text: '{"tiny":"Refused, because a test asked for it."}' },
      { kind: 'error-before', accepted: false, status: 500 },
      { kind: 'error-after', accepted: true, status: 500 },
      { kind: 'garbage', accepted: true, status: 200, text: '{"id": "SO-' },
      { kind: 'rate-limit', accepted: false, status: 429 },
      { kind: 'redirect', accepted: false, status: 302, text: '' },
      { kind: 'slow', accepted: true, status: 201, text: '{"id":"1"}' },
      { kind: 'maintenance', accepted: false, status: 200 },
    ];
    for (const { kind, accepted, status, text } of answered) {
      it(`${kind}: ${accepted ? 'done' : 'nothing done'} and answered with ${status}, once`, async () => {
        const { world, url } = await start();
        world.faults = [{ partner: 'tiny', kind, times: 1, delay: 60, retryAfter: 7 }];
        const begun = Date.now();
        const answer = await post(`${url}/things/a`);
        should(answer.status).equal(status);
        if (text !== undefined) should(answer.text).equal(text);
        if (kind === 'rate-limit') should(answer.headers.get('retry-after')).equal('7');
        if (kind === 'slow') should(Date.now() - begun).be.aboveOrEqual(55);
        if (kind === 'maintenance') should(answer.headers.get('content-type')).equal('text/html');
        should(effects(world)).eql(accepted ? ['thing.create a'] : []);
        should((await post(`${url}/things/b`)).status).equal(201);
        should(effects(world).at(-1)).equal('thing.create b');
      });
    }

    for (const { kind, accepted } of [
      { kind: 'reset-before', accepted: false },
      { kind: 'reset-after', accepted: true },
      { kind: 'hang', accepted: true },
    ] as const) {
      it(`${kind}: ${accepted ? 'done' : 'nothing done'} and never answered`, async () => {
        const { world, url } = await start();
        world.faults = [{ partner: 'tiny', kind, times: 1 }];
        const error = (await post(`${url}/things/a`).catch((thrown: Error) => thrown)) as Error & {
          cause?: { code?: string };
        };
        if (kind === 'hang') should(error.name).equal('TimeoutError');
        else should(error.cause?.code).equal('ECONNRESET');
        should(effects(world)).eql(accepted ? ['thing.create a'] : []);
      });
    }

    it('late: never answered, and done only after the delay, though the caller has gone', async () => {
      const { world, url } = await start();
      world.faults = [{ partner: 'tiny', kind: 'late', times: 1, delay: 400 }];
      const error = (await post(`${url}/things/a`).catch((thrown: Error) => thrown)) as Error;
      should(error.name).equal('TimeoutError');
      should(effects(world)).eql([]);
      await sleep(250);
      should(effects(world)).eql(['thing.create a']);
    });

    it('late: a reset in between drops it', async () => {
      const { world, url } = await start();
      world.faults = [{ partner: 'tiny', kind: 'late', times: 1, delay: 350 }];
      await post(`${url}/things/a`).catch(() => undefined);
      world.reset();
      await sleep(200);
      should(effects(world)).eql([]);
    });

    it('hit only the partner, operation and reference that they name, reads included', async () => {
      const { world, url } = await start();
      world.faults = [
        { partner: 'other', kind: 'refuse', times: 9 },
        { partner: 'tiny', operation: 'thing.get', kind: 'error-before', times: 1 },
        { partner: 'tiny', reference: 'c', kind: 'refuse', times: 2 },
      ];
      should((await post(`${url}/things/a`)).status).equal(201);
      should((await fetch(`${url}/things/a`)).status).equal(500);
      should((await fetch(`${url}/things/a`)).status).equal(200);
      const statuses = [];
      for (let attempt = 0; attempt < 3; attempt++) statuses.push((await post(`${url}/things/c`)).status);
      should(statuses).eql([422, 422, 201]);
    });

    it('a mistake of the partner itself is answered with its 500 and reported', async () => {
      const { url } = await start();
      const warned = new Promise<Error>((resolve) => process.once('warning', resolve));
      const answer = await post(`${url}/broken`);
      should(answer.status).equal(500);
      should(answer.text).match(/a mistake of this partner/);
      should((await warned).message).equal('a mistake of this partner');
    });
  });

  describe('chaos', () => {
    it('gives the same for the same seed, partner, operation, reference and attempt, and about as often as its rate says', () => {
      const outcome = (seed: number) =>
        Array.from(
          { length: 400 },
          (_, n) =>
            drawChaos(
              { seed, rate: 0.3, kinds: [...REQUEST_FAULTS], partners: [] },
              REQUEST_FAULTS,
              'erp',
              'sale.create',
              `shop-${n}`,
              1,
            )?.kind,
        );
      should(outcome(7)).eql(outcome(7));
      should(outcome(7)).not.eql(outcome(8));
      should(outcome(7).filter(Boolean).length).be.within(80, 160);
      should(new Set(outcome(7)).size).equal(REQUEST_FAULTS.length + 1);
    });

    it('does not depend on the order of the requests', async () => {
      const statuses = async (references: string[]) => {
        const { url } = await start({ seed: 3 });
        await post(`${url}/__sandbox/chaos`, {
          seed: 5,
          rate: 0.5,
          kinds: ['refuse', 'error-after'],
          partners: ['tiny'],
        });
        const found: Record<string, number[]> = {};
        for (const reference of references)
          (found[reference] ??= []).push((await post(`${url}/things/${reference}`)).status);
        return found;
      };
      const forward = await statuses(['a', 'b', 'c', 'd', 'a', 'b', 'c', 'd']);
      should(await statuses(['d', 'd', 'c', 'c', 'b', 'b', 'a', 'a'])).eql(forward);
      should(new Set(Object.values(forward).flat()).size).be.above(1);
    });

    it('spares the partners and kinds that it does not name', () => {
      const chaos = { seed: 1, rate: 1, kinds: ['refuse' as const], partners: ['shop'] };
      should(drawChaos(chaos, REQUEST_FAULTS, 'erp', 'x', 'y', 1)).be.undefined();
      should(drawChaos(chaos, ['early-callback'], 'shop', 'x', 'y', 1)).be.undefined();
      should(drawChaos(chaos, REQUEST_FAULTS, 'shop', 'x', 'y', 1)?.kind).equal('refuse');
    });
  });

  describe('control routes', () => {
    it('show the effects of all partners, faults, state and health', async () => {
      const { url, world } = await start();
      await post(`${url}/things/a`);
      const get = async (route: string) =>
        (await fetch(`${url}/__sandbox/${route}`)).json() as Promise<Record<string, Json>>;
      should(await get('health')).eql({ ok: true, partner: 'tiny' });
      const [effect] = (await get('effects')) as unknown as Record<string, Json>[];
      should(effect).match({
        seq: 1,
        partner: 'tiny',
        operation: 'thing.create',
        reference: 'a',
        id: '1',
        detail: { count: 1 },
      });
      should((await get('state'))['partners']).eql({ tiny: { count: 1 } });
      await post(`${url}/__sandbox/faults`, { partner: 'tiny', kind: 'refuse' });
      should(await get('faults')).eql([{ partner: 'tiny', kind: 'refuse', times: 1 }]);
      await fetch(`${url}/__sandbox/faults`, { method: 'DELETE' });
      should(world.faults).eql([]);
    });

    it('refuse a fault or a kind that does not exist, and say which there are', async () => {
      const { url } = await start();
      const wrong = await post(`${url}/__sandbox/faults`, { partner: 'tiny', kind: 'explode' });
      should(wrong.status).equal(400);
      should(wrong.text).match(/explode.* is no kind of fault.*reset-after/);
      should((await post(`${url}/__sandbox/chaos`, { rate: 'often' })).status).equal(400);
      should((await post(`${url}/__sandbox/faults`, 7)).status).equal(400);
    });

    it("leave the partner's own control routes to the partner, without faults", async () => {
      const { url, world } = await start();
      world.faults = [{ partner: 'tiny', kind: 'refuse', times: 1 }];
      should((await post(`${url}/__sandbox/tiny/things`)).text).equal('{"control":"/__sandbox/tiny/things"}');
      should(world.faults[0]?.times).equal(1);
    });

    it('reset brings everything back to the beginning, timers too', async () => {
      const { url, world, partner } = await start();
      const first = world.random();
      await post(`${url}/things/a`);
      world.schedule('tiny', 50, 'later', 'a');
      await post(`${url}/__sandbox/reset`);
      await sleep(100);
      should(world.effects).eql([]);
      should(partner.count).equal(0);
      should(world.random()).equal(first);
    });
  });

  describe('state file', () => {
    it('is complete when an answer arrives, and leaves no half-written file', async () => {
      const stateFile = join(folder, 'deep', 'state.json');
      const { url } = await start({ stateFile });
      await post(`${url}/things/a`);
      const second = createWorld({ stateFile });
      closing.push(() => second.close());
      should(effects(second)).eql(['thing.create a']);
      should(readdirSync(join(folder, 'deep'))).eql(['state.json']);
    });

    it('brings back effects, faults, chaos, partners and the random numbers', async () => {
      const stateFile = join(folder, 'state.json');
      const before = await start({ stateFile, seed: 9 });
      await post(`${before.url}/things/a`);
      before.world.faults = [{ partner: 'tiny', kind: 'refuse', times: 2 }];
      before.world.chaos = { seed: 1, rate: 0.1, kinds: ['hang'], partners: [] };
      should((await post(`${before.url}/things/b`)).status).equal(422);
      const drawn = [before.world.random(), before.world.random()];
      await before.stop();

      const fresh = createWorld({ seed: 9 });
      should([fresh.random(), fresh.random()]).eql(drawn);
      const after = await start({ stateFile, seed: 9 });
      should(effects(after.world)).eql(['thing.create a']);
      should(after.partner.count).equal(1);
      should(after.world.faults).eql([{ partner: 'tiny', kind: 'refuse', times: 1 }]);
      should(after.world.chaos?.kinds).eql(['hang']);
      should(after.world.random()).equal(fresh.random());
    });

    it('keeps pending timers: due ones fire at once after a restart, each once', async () => {
      const stateFile = join(folder, 'state.json');
      const before = await start({ stateFile });
      before.world.schedule('tiny', 30, 'later', 'missed');
      before.world.schedule('tiny', 300, 'later', 'still to come');
      await before.stop();
      await sleep(60);
      should(before.world.effects).eql([]);

      const after = await start({ stateFile });
      await sleep(40);
      should(effects(after.world)).eql(['later missed']);
      await sleep(300);
      should(effects(after.world)).eql(['later missed', 'later still to come']);
      await after.stop();

      const last = await start({ stateFile });
      await sleep(40);
      should(effects(last.world)).eql(['later missed', 'later still to come']);
    });

    it('a timer and what it changed are saved together', async () => {
      const stateFile = join(folder, 'state.json');
      const { world } = await start({ stateFile });
      world.schedule('tiny', 10, 'later', 'a');
      await sleep(60);
      const saved = createWorld({ stateFile }).state() as { timers: Json[]; effects: Json[] };
      should(saved.timers).eql([]);
      should(saved.effects.length).equal(1);
    });
  });

  it('speed scales timers', async () => {
    const { world } = await start({ speed: 20 });
    world.schedule('tiny', 1000, 'later', 'a');
    await sleep(100);
    should(effects(world)).eql(['later a']);
  });
});

describe('sandbox catalogue', () => {
  /** Cheapest goods and shipping over every way to spread the order's pieces over its suppliers; exact, because the orders are small. */
  function cheapest(
    lines: { sku: string; quantity: number }[],
    country: string,
    excluded: SupplierName[],
  ): Record<string, Record<string, number>> | undefined {
    let best: { cost: number; plan: Record<string, Record<string, number>> } | undefined;
    const spread = (index: number, plan: Record<string, Record<string, number>>) => {
      const line = lines[index];
      if (!line) {
        const names = Object.keys(plan) as SupplierName[];
        let cost = names.reduce((sum, name) => sum + Number(suppliers[name].shipping), 0);
        for (const name of names) {
          for (const [sku, quantity] of Object.entries(plan[name] ?? {})) {
            cost += quantity * Number(productOf(sku).offers.find((offer) => offer.supplier === name)?.unitCost);
          }
        }
        if (!best || cost < best.cost) best = { cost, plan };
        return;
      }
      const offers = productOf(line.sku).offers.filter(
        ({ supplier }) => !excluded.includes(supplier) && suppliers[supplier].countries.includes(country),
      );
      const take = (offer: number, open: number, taken: Record<string, Record<string, number>>) => {
        if (open === 0) return spread(index + 1, taken);
        const from = offers[offer];
        if (!from) return undefined;
        for (let quantity = Math.min(open, from.stock); quantity >= 0; quantity--) {
          const own =
            quantity === 0 ? taken : { ...taken, [from.supplier]: { ...taken[from.supplier], [line.sku]: quantity } };
          take(offer + 1, open - quantity, own);
        }
        return undefined;
      };
      take(0, line.quantity, plan);
    };
    spread(0, {});
    return best?.plan;
  }

  for (const order of demoOrders) {
    it(`least cost gives what the demo order says: ${order.title}`, () => {
      const { country } = order.customer;
      const deliverable = order.lines.filter(({ sku }) => !order.undeliverable?.[sku]);
      for (const [sku, quantity] of Object.entries(order.undeliverable ?? {})) {
        should(cheapest([{ sku, quantity }], country, [])).be.undefined();
      }
      const first = cheapest(deliverable, country, []) ?? {};
      const outcome = Object.entries(first).map(([supplier, lines]) => ({ supplier, lines }));
      const givenBack: { sku: string; quantity: number }[] = [];
      for (const { supplier, lines } of outcome) {
        for (const [sku, quantity] of Object.entries(lines)) {
          if (productOf(sku).offers.find((offer) => offer.supplier === supplier)?.answer)
            givenBack.push({ sku, quantity });
        }
      }
      if (givenBack.length > 0) {
        const second = cheapest(givenBack, country, ['moody']) ?? {};
        outcome.push(...Object.entries(second).map(([supplier, lines]) => ({ supplier, lines })));
      }
      should(outcome).eql(order.outcome);
    });
  }
});
