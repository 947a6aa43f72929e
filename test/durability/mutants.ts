/** One place in the sources and what is made of it. */
interface Change {
  file: string;
  /** Occurs exactly once in the file. */
  replace: string;
  by: string;
}

/** A test that must fail; without `name` any of the file. */
export interface Killer {
  spec: string;
  /** Part of the test's full name. */
  name?: string;
  /** How many histories, where the spec simulates them. */
  seeds?: number;
}

/** The engine with one of its safeguards taken out. */
export interface Mutant {
  title: string;
  changes: Change[];
  killer: Killer;
  /** Among those that every `npm test` tries. */
  quick?: true;
}

const EFFECTS = 'ledger/effects.ts';
const DISPATCHER = 'ledger/dispatcher.ts';
const DEATHS = 'ledger/deaths.ts';
const INSTANCE = 'ledger/instance.ts';
const SCHEMA = 'ledger/schema.ts';
const SQLITE = 'ledger/sqlite.ts';

const effects = (name: string): Killer => ({ spec: 'test/ledger/effects.spec.ts', name });
const dispatcher = (name: string): Killer => ({ spec: 'test/ledger/dispatcher.spec.ts', name });
const instances = (name: string): Killer => ({ spec: 'test/ledger/instances.spec.ts', name });
const takeover = (name: string): Killer => ({ spec: 'test/ledger/takeover.spec.ts', name });
const payments = (name: string): Killer => ({ spec: 'test/ledger/payments.spec.ts', name });
const histories = (seeds: number): Killer => ({ spec: 'test/ledger/simulation.spec.ts', seeds });

/** In the order of an order's way: events, effects, ownership, money. */
export const MUTANTS: Mutant[] = [
  {
    title: 'one fact may be stored twice (no unique key of partner and fact)',
    changes: [
      { file: SCHEMA, replace: ', UNIQUE (partner, dedupe_key))`', by: ')`' },
      { file: 'ledger/events.ts', replace: ' ON CONFLICT (partner, dedupe_key) DO NOTHING', by: '' },
      { file: 'ledger/events.ts', replace: 'if (known?.content_hash === hash) return undefined;', by: '' },
    ],
    killer: { spec: 'test/ledger/events.spec.ts', name: 'fifty simultaneous deliveries' },
  },
  {
    title: 'the attempt is counted only after the event was emitted',
    changes: [
      {
        file: DISPATCHER,
        replace: 'elsewhere ? event.attempts : event.attempts + 1,',
        by: 'event.attempts,',
      },
    ],
    killer: dispatcher('are counted before anything is emitted'),
    quick: true,
  },
  {
    title: 'an event that always kills its process is never set aside',
    changes: [
      { file: DISPATCHER, replace: 'if (event.attempts >= this.#core.settings.maxAttempts) {', by: 'if (false) {' },
    ],
    killer: dispatcher('is set aside after the fifth time'),
  },
  {
    title: 'a death on several suspects counts against each of them',
    changes: [{ file: DEATHS, replace: 'others || onTrial.length > 1 ? 1 : 0', by: 'others ? 1 : 0' }],
    killer: dispatcher('of a hundred, some more deaths find the one'),
  },
  {
    title: 'suspects that nobody knew of are emitted together with others',
    changes: [{ file: DISPATCHER, replace: 'if (suspects.length === 0 && due.some(isSuspected))', by: 'if (false)' }],
    killer: dispatcher('suspects that could not be emitted before are tried apart'),
  },
  {
    title: 'a replay emits something else than what was fixed',
    changes: [
      {
        file: DISPATCHER,
        replace: 'receiver.emit(event, event.emits ?? []);',
        by: 'receiver.emit(event, (event.emits ?? []).slice(event.emitted > 0 ? 1 : 0));',
      },
    ],
    killer: histories(50),
  },
  {
    title: 'what was in work when the process died is not taken back',
    changes: [{ file: DISPATCHER, replace: "await this.#core.transact('recover', () => this.#recover());", by: '' }],
    killer: dispatcher('is settled after the restart'),
  },
  {
    title: 'what was in work is not emitted again after a deploy',
    changes: [{ file: DISPATCHER, replace: "await this.#giveBack('redeploy');", by: '' }],
    killer: dispatcher('what was in work is emitted again'),
  },
  {
    title: 'what a late message opened while a deploy was given back is forgotten with it',
    changes: [
      { file: DISPATCHER, replace: 'this.#forget(some);', by: 'this.#forget([...this.#work.keys()]);' },
      {
        file: DISPATCHER,
        replace: '    this.#uncertain = true;\n    this.#paused = false;',
        by: '    this.#paused = false;',
      },
    ],
    killer: dispatcher('an event that a late message opens again while it lasts'),
  },
  {
    title: 'what is in work in the ledger alone after a deploy stays there',
    changes: [
      {
        file: DISPATCHER,
        replace: '    this.#uncertain = true;\n    this.#paused = false;',
        by: '    this.#paused = false;',
      },
    ],
    killer: dispatcher('an event that the ledger alone holds to be in work'),
  },
  {
    title: 'a row that a transaction which was undone had written is answered from memory',
    changes: [{ file: SQLITE, replace: 'keptRows.forgetAll();\n    database.exec(sql);', by: 'database.exec(sql);' }],
    killer: { spec: 'test/ledger/store.spec.ts', name: 'a row that may be kept in memory' },
    quick: true,
  },
  {
    title: 'a row is answered from memory although it was changed without a word of what stands there then',
    changes: [{ file: SQLITE, replace: 'else if (table !== undefined) keptRows.forgetTable(table);', by: '' }],
    killer: { spec: 'test/ledger/store.spec.ts', name: 'a row that may be kept in memory' },
  },
  {
    title: 'a call leaves before the disk keeps its intent',
    changes: [
      {
        file: EFFECTS,
        replace: 'further?: () => Transaction<Result>, ahead = false',
        by: 'further?: () => Transaction<Result>, ahead = true',
      },
    ],
    killer: effects('no call leaves before the disk keeps its intent'),
  },
  {
    title: 'somebody is told of what the disk does not keep yet',
    changes: [
      {
        file: SQLITE,
        replace: 'if (waiting.ahead) tell(waiting, outcomes[index]);',
        by: 'tell(waiting, outcomes[index]);',
      },
    ],
    killer: { spec: 'test/ledger/sqlite.spec.ts', name: 'the disk keeps: nobody is told before it says so' },
    quick: true,
  },
  {
    title: 'an event closes while one of its effects is unsettled',
    changes: [
      {
        file: DISPATCHER,
        replace:
          'AND NOT EXISTS (SELECT 1 FROM effect WHERE event_id = event.id AND ${UNSETTLED}) RETURNING id, emitted',
        by: 'RETURNING id, emitted',
      },
    ],
    killer: dispatcher('an effect whose step has gone from the flow'),
  },
  {
    title: 'an event closes while one of its steps runs',
    changes: [
      { file: DISPATCHER, replace: 'work.running === 0 && now - work.lastStep >=', by: 'now - work.lastStep >=' },
    ],
    killer: dispatcher('a step that takes longer than it holds the event open'),
  },
  {
    title: 'an effect of a closed event does not open it again',
    changes: [
      {
        file: EFFECTS,
        replace: 'if (!listener.isHeld(op.eventId)) await hold(op.eventId);',
        by: '',
      },
    ],
    killer: dispatcher('an event that was opened again survives the death of the process'),
  },
  {
    title: 'the intent is committed with the result, not before the call',
    changes: [
      {
        file: EFFECTS,
        replace:
          'let next = await results.commit(`intend ${op.kind} ${write.step}`, () => intend<Result>(op, key, hash, write));',
        by: `const decide = () => intend<Result>(op, key, hash, write);
      Object.assign(op, { decide });
      let next = await (canWait(write)
        ? core.transact('undone', function* () { throw { undone: yield* decide() }; }).catch((thrown) => { if (thrown.undone) return thrown.undone; throw thrown; })
        : results.commit('intend', decide));`,
      },
      {
        file: EFFECTS,
        replace: 'results.add(() => settleSmoothly(op, key, result));',
        by: 'results.add(function* () { yield* op.decide(); yield* settleSmoothly(op, key, result); });',
      },
    ],
    killer: effects('the process dies'),
  },
  {
    title: 'a call whose process died counts as certainly not made',
    changes: [
      {
        file: EFFECTS,
        replace: "VALUES (?, ?, ?, ?, ?, ?, ?, 'sending', 1,",
        by: "VALUES (?, ?, ?, ?, ?, ?, ?, 'waiting', 1,",
      },
    ],
    killer: effects('a process that dies between intent and answer waits the settle time'),
  },
  {
    title: 'a finished operation is made again',
    changes: [
      {
        file: EFFECTS,
        replace: 'const known = await core.read(() => recorded<Result>(key, hash, op));',
        by: 'const known = undefined as Recorded<Result> | undefined;',
      },
    ],
    killer: effects('a later caller is given the recorded result'),
  },
  {
    title: 'a finished call is made again',
    changes: [
      {
        file: EFFECTS,
        replace: "if (row.state === 'done') {\n      const known",
        by: 'if (false) {\n      const known',
      },
    ],
    killer: effects('a finished write of an unfinished operation'),
  },
  {
    title: 'the same key with another content passes for done',
    changes: [
      {
        file: EFFECTS,
        replace: 'if (row.content_hash !== hash && !(yield* isRedacted(identity.orderId))) {',
        by: 'if (false) {',
      },
    ],
    killer: effects('another business content under the same key'),
  },
  {
    title: 'simultaneous callers do not share one call',
    changes: [{ file: EFFECTS, replace: 'if (running) return running;', by: '' }],
    killer: effects('simultaneous callers share one call'),
  },
  {
    title: 'the state of the document is not looked at again in the intent',
    changes: [
      {
        file: EFFECTS,
        replace: '(yield* forbid(op, undefined)) ?? ((yield* isRedacted',
        by: '(undefined as Error | undefined) ?? ((yield* isRedacted',
      },
    ],
    killer: effects('what is not wanted any more is not sent'),
  },
  {
    title: 'the state of the document is not looked at again after a search that found nothing',
    changes: [
      {
        file: EFFECTS,
        replace: "const forbidden = yield* forbid(op, row);\n      if (forbidden) return { next: 'refuse'",
        by: "const forbidden = undefined as Error | undefined;\n      if (forbidden) return { next: 'refuse'",
      },
    ],
    killer: effects('what is in doubt is looked for even when its document was cancelled'),
  },
  {
    title: 'the partner is asked at once, without the settle time',
    changes: [
      { file: EFFECTS, replace: "if (due <= now) return { next: 'find'", by: "if (due > 0) return { next: 'find'" },
    ],
    killer: effects('a process that dies between intent and answer waits the settle time'),
    quick: true,
  },
  {
    title: 'a search that fails counts as "not found"',
    changes: [
      {
        file: EFFECTS,
        replace: "return postpone(op, key, attempt, 'in-doubt', asError(thrown), since);",
        by: '',
      },
    ],
    killer: effects('a search that fails decides nothing'),
  },
  {
    title: 'money that is not found is sent again',
    changes: [{ file: EFFECTS, replace: "if (write.whenMissing === 'ask') {", by: 'if (false) {' }],
    killer: effects('money that is not found is left to a person'),
  },
  {
    title: 'no compare-and-set on the attempt',
    changes: [
      {
        file: EFFECTS,
        replace: 'due_at = NULL WHERE key = ? AND attempt = ?`,\n      hash,',
        by: 'due_at = NULL WHERE key = ? AND ? > 0`,\n      hash,',
      },
    ],
    killer: effects('of two processes on one ledger that find the same doubt, one sends'),
    quick: true,
  },
  {
    title: 'a late result overwrites what another process recorded',
    changes: [
      {
        file: EFFECTS,
        replace: "finished_at = ? WHERE key = ? AND attempt = ? AND state <> 'done'",
        by: 'finished_at = ? WHERE key = ? AND ? > 0',
      },
    ],
    killer: effects('a late answer that says something else'),
  },
  {
    title: 'a call is made after the lease has run out',
    changes: [{ file: EFFECTS, replace: 'if (!adopted && !mayCall()) return takenOver();', by: '' }],
    killer: takeover('makes no call either when it stood still while it looked'),
  },
  {
    title: 'an event is worked on although another process has it',
    changes: [
      {
        file: EFFECTS,
        replace: "(state = 'open' AND (owner = ? OR owner IS NULL))",
        by: "(state = 'open' AND ? IS NOT NULL)",
      },
    ],
    killer: takeover('does not take the event back'),
  },
  {
    title: 'an event is put back although another process has taken it over',
    changes: [
      {
        file: DISPATCHER,
        replace: "(state = 'closed' OR (state = 'open' AND owner = ?))",
        by: "(state = 'closed' OR (state = 'open' AND ? IS NOT NULL))",
      },
    ],
    killer: takeover('leaves the event to its new owner'),
  },
  {
    title: 'two processes work on one order at the same time',
    changes: [{ file: DISPATCHER, replace: 'return other?.owner;', by: 'return undefined;' }],
    killer: instances('an order is worked on by one of them at a time'),
  },
  {
    title: 'the events of a dead process are not taken over',
    changes: [
      {
        file: INSTANCE,
        replace: 'if (now - neighbour.changedAt < this.#lease()) continue;',
        by: 'continue;',
      },
    ],
    killer: instances('when all have died'),
  },
  {
    title: 'one that was frozen itself takes the others for dead',
    changes: [
      {
        file: INSTANCE,
        replace: 'if (began - this.#beatAt > (this.#lease() * 2) / BEATS_PER_LEASE) this.#seenAnew();',
        by: '',
      },
    ],
    killer: takeover('after a sleep of the whole machine'),
  },
  {
    title: 'one that was given up goes on as if it owned its events',
    changes: [{ file: INSTANCE, replace: 'this.#listener?.displaced();', by: '' }],
    killer: takeover('calls nobody when a step of it'),
  },
  {
    title: 'a bill may stand in two live payments (no unique index)',
    changes: [
      {
        file: SCHEMA,
        replace: 'CREATE UNIQUE INDEX reservation_live',
        by: 'CREATE INDEX reservation_live',
      },
      { file: 'ledger/payments.ts', replace: ' ON CONFLICT (bill) WHERE live = 1 DO NOTHING', by: '' },
    ],
    killer: payments('two triggers at once reserve a bill once'),
  },
];
