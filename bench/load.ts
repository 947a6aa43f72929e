import { setTimeout as delay } from 'node:timers/promises';
import { Pool } from 'undici';
import type { Contender } from './contenders.ts';
import { orderNumber, webhookBody, webhookHeaders } from './orders.ts';
import type { Partners } from './partner-process.ts';
import { cpuTime } from './processes.ts';

/** The load, the same for every contender. All orders of a run have numbers that nobody used before. */

let lastOrder = 1_000_000;

export function nextOrderId(): string {
  lastOrder += 1;
  return String(lastOrder);
}

export interface IntakeFigures {
  posted: number;
  /** Answered with 2xx. */
  accepted: number;
  /** Accepted orders a second. */
  rate: number;
  /** Milliseconds from the request to its answer. */
  p50: number;
  p99: number;
  longest: number;
  /** Milliseconds of the contender's CPU for an order. */
  cpuPerOrder: number;
  /** What was answered otherwise, and how often. */
  refused: Record<string, number>;
}

/** Posts orders for some seconds over so many kept connections, each as soon as the one before is answered. */
export async function storeThenAnswer(
  contender: Contender,
  { seconds, connections = 50 }: { seconds: number; connections?: number },
): Promise<IntakeFigures> {
  const { url, pid } = contender;
  const pool = new Pool(new URL(url).origin, { connections });
  const path = new URL(url).pathname;
  const times: number[] = [];
  const refused: Record<string, number> = {};
  let posted = 0;
  const cpuBefore = cpuTime(pid);
  const begin = performance.now();
  const end = begin + seconds * 1000;
  await Promise.all(
    Array.from({ length: connections }, async () => {
      while (performance.now() < end) {
        const body = webhookBody(nextOrderId());
        const headers = webhookHeaders(body);
        posted += 1;
        const sent = performance.now();
        const outcome = await post(pool, path, headers, body);
        if (outcome === 'accepted') times.push(performance.now() - sent);
        else {
          refused[outcome] = (refused[outcome] ?? 0) + 1;
          // Whoever is refused comes back a little later.
          await delay(20);
        }
      }
    }),
  );
  const took = (performance.now() - begin) / 1000;
  const cpu = cpuTime(pid) - cpuBefore;
  await pool.destroy();
  times.sort((a, b) => a - b);
  return {
    posted,
    accepted: times.length,
    rate: times.length / took,
    p50: times[times.length >> 1] ?? 0,
    p99: times[Math.floor(times.length * 0.99)] ?? 0,
    longest: times.at(-1) ?? 0,
    cpuPerOrder: cpu / Math.max(1, times.length),
    refused,
  };
}

/** Answers `accepted`, or what came instead of a 2xx. */
export async function post(pool: Pool, path: string, headers: Record<string, string>, body: string): Promise<string> {
  try {
    const answer = await pool.request({ method: 'POST', path, headers, body });
    await answer.body.dump();
    return answer.statusCode >= 200 && answer.statusCode < 300 ? 'accepted' : String(answer.statusCode);
  } catch (thrown) {
    return (thrown as { code?: string }).code ?? String(thrown);
  }
}

export interface WholeFigures {
  /** Orders whose last purchase order a supplier answered. */
  orders: number;
  /** Orders a second. */
  rate: number;
  /** Milliseconds of the contender's CPU for an order, all that it did from the first to the last. */
  cpuPerOrder: number;
  /** Milliseconds from the webhook to the last supplier's answer. */
  p50: number;
  p99: number;
}

/** Milliseconds in which the last orders of a slice must come to their end. */
const PATIENCE = 20_000;

/**
 * Keeps so many orders in flight for some seconds: a new one is posted when one has its last purchase order at a supplier.
 * @throws Error when orders get stuck, with the end of the contender's log
 */
export async function wholeIntake(
  contender: Contender,
  partners: Partners,
  { seconds, inFlight = 64 }: { seconds: number; inFlight?: number },
): Promise<WholeFigures> {
  const { url, pid } = contender;
  const pool = new Pool(new URL(url).origin, { connections: inFlight });
  const path = new URL(url).pathname;
  const flying = new Map<string, number>();
  const times: number[] = [];
  let within = 0;
  const cpuBefore = cpuTime(pid);
  const begin = performance.now();
  const end = begin + seconds * 1000;
  const failed: string[] = [];

  const launch = () => {
    const id = nextOrderId();
    const body = webhookBody(id);
    flying.set(orderNumber(id), performance.now());
    void post(pool, path, webhookHeaders(body), body).then((outcome) => {
      if (outcome !== 'accepted') failed.push(outcome);
    });
  };
  partners.onPlaced = (number) => {
    const since = flying.get(number);
    if (since === undefined) return;
    flying.delete(number);
    const now = performance.now();
    times.push(now - since);
    if (now >= end) return;
    within += 1;
    launch();
  };
  for (let n = 0; n < inFlight; n += 1) launch();
  while (performance.now() < end || flying.size > 0) {
    await delay(10);
    if (failed.length > 0 || performance.now() > end + PATIENCE) {
      await pool.destroy();
      throw new Error(
        `${contender.name}: ${flying.size} orders did not reach their suppliers (${failed[0] ?? 'all were accepted'}).\n${contender.log()}`,
      );
    }
  }
  const cpu = cpuTime(pid) - cpuBefore;
  await pool.destroy();
  times.sort((a, b) => a - b);
  return {
    orders: times.length,
    rate: within / seconds,
    cpuPerOrder: cpu / Math.max(1, times.length),
    p50: times[times.length >> 1] ?? 0,
    p99: times[Math.floor(times.length * 0.99)] ?? 0,
  };
}
