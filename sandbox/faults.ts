import { createHash } from 'node:crypto';

/** What can be made to go wrong around one request to a partner. */
export const REQUEST_FAULTS = [
  'refuse', // a documented refusal in the partner's own error shape; nothing done
  'reset-before', // the connection is reset; nothing done
  'reset-after', // accepted, then the connection is reset
  'hang', // accepted, never answered
  'late', // never answered; accepted only after `delay`, when the caller has long given up
  'error-before', // 500; nothing done
  'error-after', // accepted, then 500
  'garbage', // accepted, then 200 with a body that is cut off
  'rate-limit', // 429 with Retry-After; nothing done
  'redirect', // 302 to elsewhere; nothing done
  'slow', // accepted at once, answered after `delay`
  'maintenance', // 200 with an HTML page; nothing done
] as const;

/** What can be made to go wrong with the calls that suppliers and the bank make themselves. */
export const CALLBACK_FAULTS = [
  'duplicate-callback', // sent twice
  'shuffle-callbacks', // out of order: the bill or the shipment before the acknowledgement
  'early-callback', // sent before the request that caused it is answered
] as const;

export type RequestFaultKind = (typeof REQUEST_FAULTS)[number];
export type CallbackFaultKind = (typeof CALLBACK_FAULTS)[number];
export type FaultKind = RequestFaultKind | CallbackFaultKind;

export interface Fault {
  partner: string;
  /** As `Partner.describe` names it. Missing: any operation, reads included. */
  operation?: string;
  /** Our own reference in the request. Missing: any. */
  reference?: string;
  kind: FaultKind;
  /** How often it still happens; counts down to 0. */
  times: number;
  /** Milliseconds, not scaled by the world's speed: `late` (3000 unless told) and `slow` (1000). */
  delay?: number;
  /** Seconds, for `rate-limit`; 1 unless told. */
  retryAfter?: number;
}

/** Random faults. What happens depends on the seed and on the partner, operation, reference and attempt alone, so a rerun gives the same. */
export interface Chaos {
  seed: number;
  /** 0 to 1: the share of the requests (and callbacks) that are hit. */
  rate: number;
  kinds: FaultKind[];
  /** Empty: all. */
  partners: string[];
  delay?: number;
  retryAfter?: number;
}

/** The first planned fault that fits, counted down; `undefined` where all goes well. */
export function takePlanned(
  faults: Fault[],
  kinds: readonly FaultKind[],
  partner: string,
  operation: string,
  reference: string,
): Fault | undefined {
  const found = faults.find(
    (fault) =>
      fault.times > 0 &&
      fault.partner === partner &&
      kinds.includes(fault.kind) &&
      (fault.operation === undefined || fault.operation === operation) &&
      (fault.reference === undefined || fault.reference === reference),
  );
  if (found) found.times -= 1;
  return found;
}

/** What chaos decides for the n-th attempt at this. */
export function drawChaos(
  chaos: Chaos,
  kinds: readonly FaultKind[],
  partner: string,
  operation: string,
  reference: string,
  attempt: number,
): Fault | undefined {
  const possible = chaos.kinds.filter((kind) => kinds.includes(kind));
  if (possible.length === 0 || (chaos.partners.length > 0 && !chaos.partners.includes(partner))) return undefined;
  if (draw(chaos.seed, partner, operation, reference, attempt, 'whether') >= chaos.rate) return undefined;
  const kind =
    possible[Math.floor(draw(chaos.seed, partner, operation, reference, attempt, 'which') * possible.length)];
  if (kind === undefined) return undefined;
  return {
    partner,
    operation,
    reference,
    kind,
    times: 0,
    ...(chaos.delay === undefined ? {} : { delay: chaos.delay }),
    ...(chaos.retryAfter === undefined ? {} : { retryAfter: chaos.retryAfter }),
  };
}

/** A number in [0, 1) that depends on the arguments alone. */
export function draw(...of: (string | number)[]): number {
  return createHash('sha256').update(JSON.stringify(of)).digest().readUInt32BE(0) / 0x1_0000_0000;
}

/** @throws Error that names what is wrong with a fault sent to the control route */
export function readFault(value: unknown): Fault {
  const { partner, operation, reference, kind, times = 1, delay, retryAfter } = asRecord(value, 'A fault');
  if (typeof partner !== 'string') throw new Error('A fault needs "partner", such as "erp".');
  return {
    partner,
    kind: readKind(kind),
    times: readNumber(times, 'times'),
    ...(operation === undefined ? {} : { operation: String(operation) }),
    ...(reference === undefined ? {} : { reference: String(reference) }),
    ...(delay === undefined ? {} : { delay: readNumber(delay, 'delay') }),
    ...(retryAfter === undefined ? {} : { retryAfter: readNumber(retryAfter, 'retryAfter') }),
  };
}

/** @throws Error that names what is wrong with the chaos sent to the control route */
export function readChaos(value: unknown): Chaos {
  const { seed = 1, rate = 0, kinds = REQUEST_FAULTS, partners = [], delay, retryAfter } = asRecord(value, 'Chaos');
  if (!Array.isArray(kinds) || !Array.isArray(partners)) throw new Error('"kinds" and "partners" are lists.');
  return {
    seed: readNumber(seed, 'seed'),
    rate: readNumber(rate, 'rate'),
    kinds: kinds.map(readKind),
    partners: partners.map(String),
    ...(delay === undefined ? {} : { delay: readNumber(delay, 'delay') }),
    ...(retryAfter === undefined ? {} : { retryAfter: readNumber(retryAfter, 'retryAfter') }),
  };
}

function readKind(kind: unknown): FaultKind {
  const known = [...REQUEST_FAULTS, ...CALLBACK_FAULTS].find((each) => each === kind);
  if (!known)
    throw new Error(
      `"${String(kind)}" is no kind of fault. There are: ${[...REQUEST_FAULTS, ...CALLBACK_FAULTS].join(', ')}.`,
    );
  return known;
}

function readNumber(value: unknown, name: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0)
    throw new Error(`"${name}" is a number from 0.`);
  return value;
}

function asRecord(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error(`${what} is a JSON object.`);
  return value as Record<string, unknown>;
}
