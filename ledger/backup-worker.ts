import { closeSync, fsyncSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { workerData } from 'node:worker_threads';

/**
 * Copies a ledger in a thread of its own, so that the event loop goes on: as of one moment, while others write, without what deleted
 * rows leave behind. The copy is marked as one, checked as a whole, and on the disk when this ends.
 */
const { from, to, at } = workerData as { from: string; to: string; at: number };

const ledger = new DatabaseSync(from, { readOnly: true });
ledger.exec('PRAGMA busy_timeout = 10000');
ledger.prepare('VACUUM INTO ?').run(to);
ledger.close();

const copy = new DatabaseSync(to);
copy
  .prepare(
    `INSERT INTO meta (key, value) VALUES ('backup_of', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
  )
  .run(String(at));
const faults = copy
  .prepare('PRAGMA integrity_check(3)')
  .all()
  .map((row) => String(row['integrity_check']));
copy.close();
if (faults.join() !== 'ok') throw new Error(`the copy is damaged: ${faults.join('; ')}`);

const written = openSync(to, 'r+');
fsyncSync(written);
closeSync(written);
