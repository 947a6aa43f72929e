import type { Backup } from '../ledger/backup.ts';
import { declareRestored } from '../ledger/restored.ts';
import { BusinessRefusal } from '../orders/errors.ts';
import type { AdminRoutes } from './admin-routes.ts';

/** What people do about the ledger itself: copy it, and say that it was put back from a copy. */
export function addLedgerRoutes({ change, ledger }: AdminRoutes): void {
  change('ledger/backup', 'dropship.ledger.backup', async (request): Promise<Backup> => {
    const { backups } = await ledger(request);
    if (!backups) {
      throw new BusinessRefusal(
        'BACKUP_ELSEWHERE',
        'This ledger lies in a database server, which has backups of its own: use pg_dump or those of your provider.',
      );
    }
    return backups.make();
  });
  change('ledger/restored', 'dropship.ledger.restored', async (request, by) => {
    const at = request.body?.['at'];
    const { core } = await ledger(request);
    const { restoredAt } = await declareRestored(core, at === undefined ? undefined : String(at), by);
    return { restoredAt: new Date(restoredAt).toISOString() };
  });
}
