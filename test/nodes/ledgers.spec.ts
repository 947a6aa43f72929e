import { EventEmitter } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NodeAPI } from 'node-red';
import should from 'should';
import { closeLedgers, keepLedger, useLedger } from '../../nodes/ledgers.ts';
import { TemporaryFault } from '../../orders/errors.ts';

describe('the ledger of a config node', () => {
  let folder: string;
  let asked: number;
  let failing: boolean;
  let ledger: ReturnType<typeof keepLedger>;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'dropline-ledgers-'));
    const RED = {
      settings: { userDir: folder },
      events: new EventEmitter(),
      log: { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined },
    } as unknown as NodeAPI;
    asked = 0;
    failing = false;
    ledger = keepLedger(async () => {
      asked += 1;
      if (failing) throw new TemporaryFault('LEDGER_UNAVAILABLE', 'Not now.');
      return useLedger(RED, join(folder, 'ledger.sqlite'), {});
    });
  });
  afterEach(async () => {
    await closeLedgers();
    rmSync(folder, { recursive: true, force: true });
  });

  it('is asked for once while it is open', async () => {
    const first = await ledger();
    should(await ledger()).equal(first);
    should(await ledger()).equal(first);
    should(asked).equal(1);
  });

  it('is asked for again with each use until it can be had', async () => {
    failing = true;
    await should(ledger()).rejectedWith({ code: 'LEDGER_UNAVAILABLE' });
    await should(ledger()).rejectedWith({ code: 'LEDGER_UNAVAILABLE' });
    failing = false;
    await ledger();
    await ledger();
    should(asked).equal(3);
  });

  it('is another one after it was closed', async () => {
    const first = await ledger();
    await closeLedgers();
    const second = await ledger();
    should(second).not.equal(first);
    should(await ledger()).equal(second);
    should(asked).equal(2);
  });
});
