import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Pool } from 'undici';
import { startContender, type ContenderName } from './contenders.ts';
import { nextOrderId, post } from './load.ts';
import { orderNumber, webhookBody, webhookHeaders } from './orders.ts';
import type { Partners } from './partner-process.ts';
import type { Report } from './partners.ts';

/** What a power cut costs: SIGKILL in the middle of a run, a new start, and then a comparison with what the partners were asked. */

export interface CrashResult extends Report {
  contender: ContenderName;
  orders: number;
  /** Orders that were at both suppliers when it was killed. */
  placedBefore: number;
  /** Milliseconds from the new start until the partners were asked nothing more. */
  settledIn: number;
}

/** Milliseconds without a call after which nothing more is expected. */
const QUIET = 4000;

/**
 * Posts orders, 64 at a time, kills the contender once a third of them are placed, starts it again, and goes on. Like a shop, it
 * repeats what was not answered with 2xx until it is.
 */
export async function measureCrash(
  name: ContenderName,
  options: { folder: string; partners: Partners; database?: string | undefined; orders: number },
): Promise<CrashResult> {
  const { partners, orders } = options;
  await partners.forget();
  await partners.delay(20);
  const contender = await startContender(name, {
    folder: join(options.folder, 'crash'),
    partners: partners.url,
    database: options.database,
    quietTime: 1,
    timeout: 2,
    settleTime: 1,
  });
  try {
    const ids = Array.from({ length: orders }, nextOrderId);
    const placed = new Set<string>();
    let enough: () => void = () => undefined;
    const third = new Promise<void>((resolve) => (enough = resolve));
    partners.onPlaced = (number) => {
      placed.add(number);
      if (placed.size >= orders / 3) enough();
    };
    const { origin, pathname } = new URL(contender.url);
    const pool = new Pool(origin, { connections: 64 });
    const queue = [...ids];
    const posting = Promise.all(
      Array.from({ length: 64 }, async () => {
        for (let id = queue.shift(); id !== undefined; id = queue.shift()) {
          const body = webhookBody(id);
          while ((await post(pool, pathname, webhookHeaders(body), body)) !== 'accepted') await delay(50);
          // Not all at once, so that the kill meets orders that are just coming in.
          await delay(100);
        }
      }),
    );
    await third;
    const placedBefore = placed.size;
    await contender.kill();
    const begin = Date.now();
    await contender.start();
    await posting;
    await quiet(contender.open, partners);
    await pool.destroy();
    return {
      contender: name,
      orders,
      placedBefore,
      settledIn: Date.now() - begin - QUIET,
      ...(await partners.report(ids.map(orderNumber))),
    };
  } finally {
    await contender.kill();
  }
}

/** Until the contender has nothing open, if it says so, and the partners have not been called for a while. A minute at most. */
async function quiet(open: () => Promise<number | undefined>, partners: Partners): Promise<void> {
  const end = Date.now() + 60_000;
  let last = -1;
  let since = Date.now();
  while (Date.now() < end) {
    const { calls } = await partners.count();
    if (calls !== last || ((await open()) ?? 0) > 0) {
      last = calls;
      since = Date.now();
    } else if (Date.now() - since >= QUIET) return;
    await delay(250);
  }
}
