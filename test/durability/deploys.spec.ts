import should from 'should';
import { setTimeout as delay } from 'node:timers/promises';
import type { Exception } from '../../ledger/exceptions.ts';
import type { FlowNode } from '../../scripts/examples.ts';
import { openHouse, type Basket, type House } from '../support/house.ts';
import { editsOf } from './edits.ts';

const BASKETS: Basket[] = [
  { lines: [{ sku: 'WINE-RIESLING', quantity: 2 }], country: 'DE' },
  {
    lines: [
      { sku: 'WINE-PINOT', quantity: 3 },
      { sku: 'GLASS-BURGUNDY', quantity: 1 },
    ],
    country: 'AT',
  },
  { lines: [{ sku: 'KNIFE-CHEF', quantity: 1 }], country: 'DE' },
];

/** Milliseconds between two deploys: shorter than an order takes, and long enough for some of its steps. */
const PAUSE = 150;

describe('Deploys while orders are under way', function () {
  this.timeout(90_000);
  let house: House;
  before(async () => {
    house = await openHouse({ timeout: 2, settle: 0.5, quiet: 0.3 });
  });
  after(() => house?.close());

  /** Orders come in and flows are deployed, until each order has met several of them. */
  async function deployMeanwhile(deploys: { flows: FlowNode[]; type: 'full' | 'flows' | 'nodes' }[]): Promise<void> {
    const ids: string[] = [];
    for (const [index, { flows, type }] of deploys.entries()) {
      if (index % 3 === 0) ids.push(await house.place(BASKETS[(index / 3) % BASKETS.length]!));
      await delay(PAUSE);
      await house.red.deploy(flows, type);
    }
    await house.red.deploy(house.flows);
    const views = await house.settled(ids);
    should(await house.check(views)).eql([]);
    should((await house.red.get<Exception[]>('/dropship/exceptions')).map(({ code, message }) => [code, message])).eql(
      [],
    );
    should(house.log()).not.match(/Close timed out|uncaught|EVENT_LOST/i);
  }

  for (const type of ['full', 'flows', 'nodes'] as const) {
    it(`"${type}" deploys of renamed nodes: every order completes, and nothing happens twice`, async () => {
      const inFlow = house.flows.filter((node) => node['z'] !== undefined);
      const changed = (round: number) =>
        house.flows.map((node) =>
          inFlow.indexOf(node) % 3 === round % 3 ? { ...node, name: `${node.id} of round ${round}` } : node,
        );
      await deployMeanwhile(Array.from({ length: 12 }, (_, round) => ({ flows: changed(round), type })));
    });
  }

  it('nodes that are replaced, renamed, doubled and put back by deploys of all kinds: every order completes, and nothing happens twice', async () => {
    const types = ['full', 'flows', 'nodes'] as const;
    const edits = editsOf(house.flows).filter(({ name, names }) => names === undefined && !name.startsWith('without'));
    should(edits.map(({ name }) => name)).containEql('replaced nodes');
    await deployMeanwhile(
      edits.flatMap((edit, index) => [
        { flows: edit.apply(house.flows), type: types[index % 3]! },
        { flows: house.flows, type: types[(index + 1) % 3]! },
      ]),
    );
  });
});
