import should from 'should';
import type { EventRow } from '../../ledger/events.ts';
import type { NodeRed } from '../../scripts/node-red.ts';
import { openHouse, type House } from '../support/house.ts';

/** An article that no flow survives. */
const POISON = 'KNIFE-CHEF';

interface Waiting {
  id: string;
  state: EventRow['state'];
}

describe('an order that kills the process each time it passes through the flow', function () {
  this.timeout(120_000);
  let house: House;
  before(async () => {
    house = await openHouse({ quiet: 4 });
    await house.red.deploy([
      ...house.flows.map((node) =>
        node.id === 'dl-in-receive'
          ? { ...node, wires: [['dl-poison'], ...(node['wires'] as string[][]).slice(1)] }
          : node,
      ),
      {
        id: 'dl-poison',
        type: 'switch',
        z: 'dl-intake',
        property: '$exists(payload.lines[sku = "KNIFE-CHEF"])',
        propertyType: 'jsonata',
        rules: [{ t: 'true' }, { t: 'else' }],
        checkall: 'false',
        outputs: 2,
        wires: [['dl-kill'], ['dl-in-order']],
      },
      // The parent of the shell is Node-RED.
      {
        id: 'dl-kill',
        type: 'exec',
        z: 'dl-intake',
        command: 'kill -9 $PPID',
        addpay: '',
        useSpawn: 'false',
        wires: [[], [], []],
      },
    ]);
  });
  after(() => house.close());

  it('is counted and set aside, the others are not, and go on', async () => {
    const place = (sku: string) => house.place({ lines: [{ sku, quantity: 1 }], country: 'DE' });
    const poison = await place(POISON);
    const others = await Promise.all(
      Array.from({ length: 4 }, () => ['WINE-RIESLING', 'WINE-PINOT', 'OIL-OLIVE'])
        .flat()
        .map(place),
    );
    let deaths = 0;
    for (let red: NodeRed | undefined = house.red; deaths < 20; deaths++) {
      const { exited } = red ?? { exited: undefined };
      // While it dies its answers fail, which is no news.
      const settled = house.settled(others, undefined, 60_000).then(() => 'settled');
      const end = exited && (await Promise.race([exited, settled.catch(() => exited)]));
      settled.catch(() => undefined);
      if (end === 'settled') break;
      // The order may kill it again before it answers.
      red = await house.start().catch((error: Error) => {
        if (!/SIGKILL/.test(error.message)) throw error;
        return undefined;
      });
    }
    deaths.should.be.within(3, 12);
    const views = await house.settled(others);
    (await house.check(views)).should.deepEqual([]);
    const exceptions = await house.red.get<{ code: string; orderId: string | null }[]>('/dropship/exceptions');
    exceptions
      .map(({ code, orderId }) => ({ code, orderId }))
      .should.deepEqual([{ code: 'EVENT_FAILS', orderId: poison }]);
    const { events } = await house.red.get<{ events: { state: Waiting['state']; n: number }[] }>('/dropship/work');
    should(events.find(({ state }) => state === 'quarantined')?.n).equal(1);
  });
});
