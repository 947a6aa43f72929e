import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { DEADLINES } from '../../ledger/settings.ts';
import type { Exception } from '../../ledger/exceptions.ts';
import type { EffectView, OrderView } from '../../ledger/views.ts';
import type { FlowNode } from '../../scripts/examples.ts';
import { isComplete, openHouse, type Basket, type House } from '../support/house.ts';
import { editsOf, type Edit } from './edits.ts';
import { endOf, recordPoints, startDoomed } from './points.ts';

/**
 * An edit of the flow in the middle of an order: Node-RED is killed at a crash point and comes back with other flows, written into its
 * file before the start (`file`) or deployed after it (`deploy`). Nothing may happen twice at any partner, and the order either completes
 * or says what is missing. Then the edit is undone, what people can have tried again is tried again, and the order must complete.
 *
 * `npm test` takes a few pairs of edit and point. `EDITS=all` takes every point with one edit after the other, `EDITS=100` so many
 * points, `EDITS="without dl-in-send @ after send erp-create-po 1"` one pair.
 */
const SAMPLE = [
  'every node twice @ after emit order 1',
  'a second ERP @ after send so-create create 1',
  'past dl-in-order @ before emit order 1',
  'Switch without a match before dl-in-po @ after record allocate 1',
  'Function with a new object before dl-in-send @ after send erp-create-po 1',
  'replaced config nodes @ after send po-send send 1',
  'a supplier with another reference @ after send po-send send 1',
  'Delay of 90 s before dl-ff-shop @ before intend so-complete close-deliveries 1',
  'without dl-ff-shop @ after record shipment-tell 1',
  'replaced nodes @ after send pay-send hand-over 1',
  'without dl-in-receive @ after emit order 1',
  'every config node twice @ before emit payment-status 1',
];

const BASKET: Basket = { lines: [{ sku: 'WINE-RIESLING', quantity: 2 }], country: 'DE' };

/** Seconds after which a step that did not come is told; hours and days in earnest. */
const DEADLINE = 2;
const deadlines = Object.fromEntries(Object.keys(DEADLINES).map((name) => [name, DEADLINE / 60]));

/** Milliseconds after which what is only not done yet counts as what is missing. */
const STILL = 5000;

/** Milliseconds until an order that does not complete must have said why. */
const PATIENCE = 12_000;

/** What a person settles by hand: there is nothing that could be tried again. */
const BY_HAND = new Set(['EVENT_LOST', 'NOBODY_DELIVERS']);

interface Pair {
  edit: Edit;
  point: string;
  how: 'file' | 'deploy';
}

describe('The flow is edited while an order is under way', function () {
  this.timeout(0);

  it('nothing happens twice; the order completes or says what is missing, and completes when the edit is undone', async () => {
    const failures: string[] = [];
    let house = await open();
    try {
      const pairs = await chosen(house);
      let crashes = 0;
      let complete = 0;
      for (const pair of pairs) {
        const report: Report = { died: false, completed: false, said: [] };
        const started = Date.now();
        const problems = await editAt(house, pair, report);
        if (report.died) crashes += 1;
        if (report.completed) complete += 1;
        if (process.env['EDITS'])
          process.stdout.write(
            `      ${titleOf(pair)} (${pair.how}, ${Date.now() - started} ms): ${report.completed ? 'complete' : report.said.join(' | ')}\n`,
          );
        if (problems.length === 0) continue;
        failures.push(failureAt(pair, problems, report, house));
        process.stdout.write(`${failures.at(-1)}\n`);
        // What the failed order left open would spoil the next one.
        await house.close();
        house = await open();
      }
      // The points of two runs differ a little, because partners answer in their own time.
      if (failures.length === 0 && crashes < pairs.length * 0.8)
        failures.push(`Only ${crashes} of ${pairs.length} chosen points were reached.`);
      process.stdout.write(
        `      ${pairs.length} edits, ${crashes} of them after a crash: ${complete} orders completed all the same\n`,
      );
    } finally {
      await house.close();
    }
    if (failures.length > 0) throw new Error(`${failures.length} edits failed, see above. ${failures.at(-1)}`);
  });
});

function open(): Promise<House> {
  return openHouse({
    timeout: 2,
    settle: 0.5,
    quiet: 0.3,
    settings: `credentialSecret: false, dropship: { development: true, deadlines: ${JSON.stringify(deadlines)} },`,
  });
}

async function chosen(house: House): Promise<Pair[]> {
  const edits = editsOf(house.flows);
  const pairOf = (text: string, index: number): Pair => {
    const [name = '', point = ''] = text.split(' @ ');
    const edit = edits.find((each) => each.name === name);
    if (!edit) throw new Error(`There is no edit "${name}". There are: ${edits.map((each) => each.name).join(', ')}`);
    return { edit, point, how: index % 2 === 0 ? 'file' : 'deploy' };
  };
  const wish = process.env['EDITS'];
  if (!wish) return SAMPLE.map(pairOf);
  if (wish !== 'all' && !/^\d+$/.test(wish)) return wish.split(',').map((text) => pairOf(text.trim(), howOf()));
  const points = await recordPoints(house, () => house.place(BASKET));
  const size = wish === 'all' ? points.length : Number(wish);
  return Array.from({ length: size }, (_, index) => ({
    // Two rhythms without a common measure: each edit meets points all over the way.
    edit: edits[(index * 37) % edits.length]!,
    point: points[Math.floor((index * points.length) / size)]!,
    how: Math.floor(index / 2) % 2 === 0 ? 'file' : 'deploy',
  }));
}

/** `EDIT_BY=deploy` repeats a pair that was deployed. */
function howOf(): number {
  return process.env['EDIT_BY'] === 'deploy' ? 1 : 0;
}

interface Report {
  died: boolean;
  completed: boolean;
  said: string[];
}

async function editAt(house: House, { edit, point, how }: Pair, report: Report): Promise<string[]> {
  let id = '';
  try {
    const red = await startDoomed(house, point);
    id = await house.place(BASKET);
    report.died = (red ? await endOf(house, id) : 'SIGKILL') === 'SIGKILL';
    const edited = edit.apply(house.flows);
    if (how === 'file') {
      await house.kill();
      writeFlows(house.userDir, edited);
    }
    await house.start();
    if (how === 'deploy') await house.red.deploy(edited);
    const problems = await outcome(house, edit, id, report);
    if (edit.logs && !edit.logs.test(house.log())) problems.push(`The log does not say ${String(edit.logs)}.`);
    await house.red.deploy(house.flows);
    await mend(house, id, report);
    return [...problems, ...(await house.check(await house.settled([id]), edit.sameAs))];
  } catch (error) {
    return [`${id || 'No order'}: ${(error as Error).message}`];
  }
}

/** Looks until the order is complete, or says why it is not. */
async function outcome(house: House, edit: Edit, id: string, report: Report): Promise<string[]> {
  const started = Date.now();
  for (;;) {
    const [view] = await house.look([id]);
    const waited = Date.now() - started;
    const { told, undone } = await reasons(house, id, view);
    const said = [...told, ...undone];
    if (view && isComplete(view) && said.length === 0) {
      report.completed = true;
      return [];
    }
    report.said = (waited > STILL ? said : told).filter((each) => edit.names?.test(each));
    if (report.said.length > 0) return [];
    if (!view && edit.closesIntake && waited > 2500) {
      report.said = ['has not come in'];
      return [];
    }
    if (waited > PATIENCE)
      return [`${id} neither completes nor says what is missing. It says: ${said.join(' | ') || 'nothing'}`];
    await delay(100);
  }
}

/** What the admin API says of an order that is not through: `told` needs somebody or something, `undone` may just be under way. */
async function reasons(
  house: House,
  id: string,
  view: OrderView | undefined,
): Promise<{ told: string[]; undone: string[] }> {
  const { red } = house;
  const work = await red.get<{
    events: { state: string; n: number }[];
    waiting: { kind: string; partner: string; orderId: string | null; note: string }[];
  }>('/dropship/work');
  const effects = await red.get<EffectView[]>('/dropship/effects');
  const mine = (about: { orderId: string | null }) => about.orderId === null || about.orderId === id;
  return {
    told: [
      ...(await exceptionsOf(house, id)).map(({ code, message }) => `${code}: ${message}`),
      ...work.waiting.filter(mine).map(({ kind, partner, note }) => `${kind} of ${partner}: ${note}`),
    ],
    undone: [
      ...effects
        .filter((effect) => effect.state !== 'done' && mine(effect))
        .map((effect) => `${effect.key}: ${effect.state} ${effect.error ?? ''}`),
      ...work.events.filter(({ state }) => state !== 'closed').map((event) => `${event.n} ${event.state} events`),
      ...(view?.bills.length && !view.payments.length ? view.progress.paid.missing : []),
    ],
  };
}

/** Open exceptions of this order, and of no order: payment runs. */
async function exceptionsOf(house: House, id: string): Promise<Exception[]> {
  const all = await house.red.get<Exception[]>('/dropship/exceptions');
  return all.filter(({ orderId }) => orderId === null || orderId === id);
}

/** What people do at the desk once the flow has been mended: they have everything tried again, until the order is complete. */
async function mend(house: House, id: string, report: Report): Promise<void> {
  const end = Date.now() + 30_000;
  for (;;) {
    for (const { id: number, code, actions } of await exceptionsOf(house, id)) {
      report.said.push(code);
      const offered = actions.map(({ name }) => name);
      const act = offered.includes('retry') ? 'retry' : BY_HAND.has(code) && 'settle';
      if (!act) continue;
      await house.red.post(`/dropship/exceptions/${number}/${act}`).catch((error: Error) => {
        // It came right a moment ago, or is at it.
        if (!/EXCEPTION_UNKNOWN|ACTION_NOT_SAFE/.test(error.message)) throw error;
      });
    }
    const [view] = await house.look([id]);
    if (view && isComplete(view) && (await exceptionsOf(house, id)).length === 0) return;
    if (Date.now() > end) {
      const { told, undone } = await reasons(house, id, view);
      throw new Error(`not complete 30 s after the edit was undone. It says: ${[...told, ...undone].join(' | ')}`);
    }
    await delay(300);
  }
}

/** As Node-RED keeps them: the credentials in a file of their own, here without encryption. */
function writeFlows(userDir: string, flows: FlowNode[]): void {
  const credentials = flows.flatMap((node) => (node['credentials'] ? [[node.id, node['credentials']] as const] : []));
  const bare = flows.map(({ credentials: _credentials, ...node }) => node);
  writeFileSync(join(userDir, 'flows.json'), JSON.stringify(bare));
  writeFileSync(join(userDir, 'flows_cred.json'), JSON.stringify(Object.fromEntries(credentials)));
}

function titleOf({ edit, point }: Pair): string {
  return `${edit.name} @ ${point}`;
}

function failureAt(pair: Pair, problems: string[], report: Report, house: House): string {
  const by = pair.how === 'deploy' ? ' EDIT_BY=deploy' : '';
  const again = `EDITS="${titleOf(pair)}"${by} node node_modules/mocha/bin/mocha.js --no-config --exit test/durability/edits.spec.ts`;
  return `${titleOf(pair)} (${pair.how}):\n  ${problems.join('\n  ')}\n  It said: ${report.said.join(' | ')}\n  Again: ${again}\n  The end of Node-RED's log:\n${house.log()}`;
}
