import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import should from 'should';
import { Backups } from '../../ledger/backup.ts';
import { restored } from '../../ledger/restored.ts';
import { addLedgerRoutes } from '../../nodes/admin-ledger.ts';
import type { AdminRequest, AdminRoutes } from '../../nodes/admin-routes.ts';
import { bench, rejection, type Bench } from '../ledger/harness.ts';

type Change = (request: AdminRequest, by: string) => Promise<unknown>;

describe('the admin routes of the ledger itself', () => {
  let folder: string;
  let at: Bench;
  let backups: Backups | undefined;
  const routes = new Map<string, { permission: string; handler: Change }>();

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'dropline-admin-'));
    at = await bench({}, join(folder, 'ledger.sqlite'));
    backups = new Backups(at.ledger.core, join(folder, 'ledger.sqlite'), () => ({
      folder: '',
      everyHours: 0,
      keep: 1,
    }));
    addLedgerRoutes({
      change: (path: string, permission: string, handler: Change) => void routes.set(path, { permission, handler }),
      ledger: () => Promise.resolve({ core: at.ledger.core, backups }),
    } as unknown as AdminRoutes);
  });
  afterEach(async () => {
    await at.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const call = (path: string, body?: Record<string, unknown>) =>
    routes.get(path)!.handler({ params: {}, query: {}, body }, 'alice');

  it('each has a permission of its own', () => {
    [...routes]
      .map(([path, { permission }]) => [path, permission])
      .should.deepEqual([
        ['ledger/backup', 'dropship.ledger.backup'],
        ['ledger/restored', 'dropship.ledger.restored'],
      ]);
  });

  it('a backup is made on demand, and the answer says where it is', async () => {
    const { file, bytes } = (await call('ledger/backup')) as { file: string; bytes: number };
    should(existsSync(file)).be.true();
    should(bytes).be.above(4096);
  });

  it('a ledger in a database server says where its backups are made', async () => {
    backups = undefined;
    should(await rejection(call('ledger/backup'))).equal('BACKUP_ELSEWHERE');
  });

  it('a person says that the ledger was put back, and when', async () => {
    const answer = await call('ledger/restored', { at: new Date(at.clock.time - 1000).toISOString() });
    should(answer).deepEqual({ restoredAt: new Date(at.clock.time - 1000).toISOString() });
    should(await at.ledger.core.read(() => restored())).deepEqual({ restoredAt: at.clock.time - 1000 });
    should(await rejection(call('ledger/restored', { at: 'soon' }))).equal('TIME_INVALID');
  });
});
