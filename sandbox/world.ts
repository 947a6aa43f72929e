import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { draw, drawChaos, takePlanned, type Chaos, type Fault, type FaultKind } from './faults.ts';

export type { Chaos, Fault, FaultKind } from './faults.ts';

export type Json = string | number | boolean | null | Json[] | { [key: string]: Json | undefined };

/** Something that really happened at a partner, once for each time that it happened. */
export interface EffectRecord {
  seq: number;
  at: string;
  partner: string;
  /** Such as `purchase.create`; the names are fixed, the checker of the tests counts by them. */
  operation: string;
  /** Our own reference as the partner received it. */
  reference: string;
  /** What the partner calls it. */
  id: string;
  detail: Json;
}

export interface Request {
  method: string;
  /** Without the query. */
  path: string;
  query: URLSearchParams;
  /** Lower-case names. */
  headers: Record<string, string | string[] | undefined>;
  body: Buffer;
}

export interface Answer {
  status: number;
  headers?: Record<string, string>;
  /** An object is sent as JSON, a string as it is, `undefined` as an empty body. */
  body: unknown;
}

/** One pretend partner. It speaks the real protocol: the adapter cannot tell. */
export interface Partner {
  name: string;
  /** What a request asks for and our own reference in it, so that faults can aim. Must not throw, whatever was sent. */
  describe(request: Request): { operation: string; reference: string; write: boolean };
  /** Also gets the partner's own control routes, `/__sandbox/<partner>/...`; those see no faults. */
  handle(request: Request): Answer | Promise<Answer>;
  /** The partner's own error shape, for `refuse` (422), `rate-limit` (429) and `error-*` (500). */
  error(status: number, message: string): Answer;
  /**
   * A due timer. What a synchronous handler changes is saved in one piece with the end of the timer; an asynchronous one is run again
   * after a restart in its middle. What it throws ends the process: a mistake of the sandbox must not pass for one of Dropline.
   */
  due(action: string, data: Json): void | Promise<void>;
  /** Everything that must survive a restart of the sandbox. */
  save(): Json;
  load(state: Json): void;
}

/** What all partners of one sandbox share: the effect log, timers, faults and the state file. */
export interface World {
  readonly seed: number;
  /** Milliseconds since 1970. */
  now(): number;
  /** In [0, 1), seeded; depends on how often it was called before. `draw` where that must not matter. */
  random(): number;
  /** In [0, 1); depends on the world's seed and the arguments alone. */
  draw(...of: (string | number)[]): number;
  /** Appends to the effect log. Only what really happened, at the moment when it happens. */
  record(partner: string, operation: string, reference: string, id: string, detail: Json): void;
  /** Calls `partner.due(action, data)` after `inMs` / speed. Survives a restart; what fell due meanwhile comes at once. */
  schedule(partner: string, inMs: number, action: string, data: Json): void;
  /** Something that must survive has changed: written to the state file before any answer leaves. */
  changed(): void;
  readonly effects: readonly EffectRecord[];
  /** Planned faults; the first that fits is taken. */
  faults: Fault[];
  /** Random faults, where no planned one fits. */
  chaos: Chaos | undefined;
  /** The fault that hits this attempt, counted as happened; `undefined` where all goes well. */
  takeFault(partner: string, kinds: readonly FaultKind[], operation: string, reference: string): Fault | undefined;
  /** Gives the partner its saved state and starts its timers; `serve` does it. */
  register(partner: Partner): void;
  /** Writes the state file now if anything has changed. */
  flush(): void;
  state(): Json;
  /** Everything back to the beginning: effects, faults, timers and the partners' own state. */
  reset(): void;
  /** Counts the resets: what began before one must not end after it. */
  readonly generation: number;
  /** Stops all timers and writes the state file. */
  close(): void;
}

export interface WorldOptions {
  seed?: number;
  /** Missing: everything is forgotten at the end. */
  stateFile?: string;
  /** 10 makes the partners ten times as fast. Faults' delays are not scaled. */
  speed?: number;
}

interface Timer {
  id: number;
  partner: string;
  dueAt: number;
  action: string;
  data: Json;
}

interface SavedWorld {
  version: 1;
  random: number;
  nextTimer: number;
  effects: EffectRecord[];
  faults: Fault[];
  chaos?: Chaos;
  attempts: Record<string, number>;
  timers: Timer[];
  partners: Record<string, Json>;
}

export function createWorld(options: WorldOptions = {}): World {
  const { seed = 1, stateFile, speed = 1 } = options;
  const partners = new Map<string, Partner>();
  const beginnings = new Map<string, Json>();
  const running = new Map<number, NodeJS.Timeout>();
  let saved = read(stateFile) ?? beginning(seed);
  let dirty = false;
  let flushing: NodeJS.Immediate | undefined;
  let closed = false;
  let generation = 0;

  function start(timer: Timer): void {
    if (closed || !partners.has(timer.partner)) return;
    running.set(
      timer.id,
      setTimeout(() => void run(timer), Math.max(0, timer.dueAt - Date.now())),
    );
  }

  async function run(timer: Timer): Promise<void> {
    running.delete(timer.id);
    const begun = generation;
    const ending = partners.get(timer.partner)?.due(timer.action, timer.data);
    // A synchronous handler and the end of its timer are saved together: neither is lost nor done twice.
    if (ending) await ending;
    if (closed || begun !== generation) return;
    saved.timers = saved.timers.filter((each) => each.id !== timer.id);
    world.changed();
    world.flush();
  }

  const world: World = {
    seed,
    now: () => Date.now(),
    random() {
      // mulberry32: small, and its whole state is one number that can be saved.
      saved.random = (saved.random + 0x6d2b79f5) | 0;
      let mixed = Math.imul(saved.random ^ (saved.random >>> 15), 1 | saved.random);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
      world.changed();
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
    },
    draw: (...of) => draw(seed, ...of),
    record(partner, operation, reference, id, detail) {
      const at = new Date(world.now()).toISOString();
      saved.effects.push({
        seq: saved.effects.length + 1,
        at,
        partner,
        operation,
        reference,
        id,
        detail: structuredClone(detail),
      });
      world.changed();
    },
    schedule(partner, inMs, action, data) {
      const timer = { id: saved.nextTimer++, partner, dueAt: world.now() + inMs / speed, action, data };
      saved.timers.push(timer);
      start(timer);
      world.changed();
    },
    changed() {
      dirty = true;
      if (stateFile !== undefined && !closed) flushing ??= setImmediate(() => world.flush());
    },
    get effects() {
      return saved.effects;
    },
    get faults() {
      return saved.faults;
    },
    set faults(faults) {
      saved.faults = faults;
      world.changed();
    },
    get chaos() {
      return saved.chaos;
    },
    set chaos(chaos) {
      if (chaos) saved.chaos = chaos;
      else delete saved.chaos;
      saved.attempts = {};
      world.changed();
    },
    takeFault(partner, kinds, operation, reference) {
      const planned = takePlanned(saved.faults, kinds, partner, operation, reference);
      if (planned) world.changed();
      if (planned || !saved.chaos) return planned;
      const key = JSON.stringify([partner, operation, reference, kinds[0] ?? '']);
      const attempt = (saved.attempts[key] ?? 0) + 1;
      saved.attempts[key] = attempt;
      world.changed();
      return drawChaos(saved.chaos, kinds, partner, operation, reference, attempt);
    },
    register(partner) {
      partners.set(partner.name, partner);
      beginnings.set(partner.name, partner.save());
      const state = saved.partners[partner.name];
      if (state !== undefined) partner.load(structuredClone(state));
      const mine = saved.timers.filter((timer) => timer.partner === partner.name);
      for (const timer of mine.toSorted((a, b) => a.dueAt - b.dueAt || a.id - b.id)) start(timer);
    },
    state() {
      for (const [name, partner] of partners) saved.partners[name] = partner.save();
      return structuredClone(saved) as unknown as Json;
    },
    flush() {
      if (flushing) clearImmediate(flushing);
      flushing = undefined;
      // After its end another world may have taken over the file.
      if (!dirty || closed || stateFile === undefined) return;
      dirty = false;
      for (const [name, partner] of partners) saved.partners[name] = partner.save();
      mkdirSync(dirname(stateFile), { recursive: true });
      writeFileSync(`${stateFile}.tmp`, JSON.stringify(saved));
      renameSync(`${stateFile}.tmp`, stateFile);
    },
    reset() {
      generation += 1;
      for (const timeout of running.values()) clearTimeout(timeout);
      running.clear();
      saved = beginning(seed);
      for (const [name, partner] of partners) partner.load(structuredClone(beginnings.get(name) ?? null));
      world.changed();
      world.flush();
    },
    get generation() {
      return generation;
    },
    close() {
      for (const timeout of running.values()) clearTimeout(timeout);
      running.clear();
      world.flush();
      closed = true;
    },
  };
  return world;
}

function beginning(seed: number): SavedWorld {
  return { version: 1, random: seed, nextTimer: 1, effects: [], faults: [], attempts: {}, timers: [], partners: {} };
}

function read(stateFile: string | undefined): SavedWorld | undefined {
  if (stateFile === undefined) return undefined;
  let text: string;
  try {
    text = readFileSync(stateFile, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const state = JSON.parse(text) as SavedWorld;
  if (state.version !== 1)
    throw new Error(`${stateFile} is of another version of the sandbox. Delete it to begin anew.`);
  return state;
}
