import type { NodeAPI, Node, NodeDef, NodeMessageInFlow } from 'node-red';
import { contentHash, Obsolete, Waiting, type Recorded } from '../ledger/effects.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Emit, LedgerEvent } from '../ledger/events.ts';
import { raise } from '../ledger/exceptions.ts';
import { BusinessRefusal, ConfigurationMistake, DroplineError, TemporaryFault, asError } from '../orders/errors.ts';
import type { Json, Writer } from '../partners/write.ts';
import { backOff } from '../ledger/core.ts';
import { forLog, harmless, withoutPeople } from './log.ts';
import { whenOpen } from './ledgers.ts';
import { checkDocument } from './messages.ts';
import { clearStatus, showStatus, timed, translated, type Status } from './status.ts';
import type { Transaction } from '../ledger/store.ts';
import type { PartnerNode } from './configs.ts';
import type { Role } from './catalogue.ts';

/** The message that travels between our nodes. */
export interface DropshipMessage extends NodeMessageInFlow {
  orderId?: string;
  eventId?: string;
  replayed?: boolean;
  [property: string]: unknown;
}

/** A document in a message, told apart by its type. */
export interface Payload {
  type: string;
}

/** What a node hands on: a document on its first output, or on a chosen one; several, which share nothing with each other; or nothing. */
export type Handed = Payload | Output | Output[] | undefined;

export interface Output {
  /** From 0. */
  port: number;
  payload: Payload;
}

/** Everything that a node's step needs. */
export interface Step<Accepted extends Payload, Config extends NodeDef> {
  payload: Accepted;
  msg: DropshipMessage;
  config: Config;
  node: Node;
  RED: NodeAPI;
  ledger: Ledger;
  eventId: string;
  /** An operation at a partner, found by its business key; see `Effects`. */
  operation<Result extends Json>(operation: StepOperation<Result>): Promise<Result>;
  /** A decision of the ledger itself, made at most once. */
  once<Result>(decision: StepDecision<Result>): Promise<Recorded<Result>>;
}

export interface StepOperation<Result> {
  kind: string;
  partner: PartnerNode<Role>;
  document: string;
  orderId: string | undefined;
  content: unknown;
  guard?: () => Transaction<void>;
  call(write: Writer): Promise<Result>;
  record?: (result: Result) => Transaction<void>;
}

export interface StepDecision<Result> {
  kind: string;
  document: string;
  orderId: string | undefined;
  content: unknown;
  decide: () => Transaction<Result>;
}

/** What makes one node different from the others. */
export interface DocumentNode<Accepted extends Payload, Config extends NodeDef> {
  /** The document types that it reads; anything else fails as `WRONG_DOCUMENT`. */
  accepts: Accepted['type'][];
  /** The ledger that its partner, or its own choice, names. */
  ledger(RED: NodeAPI, config: Config): Promise<Ledger>;
  run(step: Step<Accepted, Config>): Promise<Handed>;
}

/** For a node that also goes on when a person has decided: the events that it receives. */
export interface AnswersEvents<Config extends NodeDef> {
  kind: string;
  partner(RED: NodeAPI, config: Config): string;
  /** It also goes on for nodes of its kind that are gone, unless another one does already. */
  standsIn?: true;
  emit(node: Node, config: Config, event: LedgerEvent, emits: Emit[]): void;
}

/**
 * Registers a node that takes a document, makes its effect, and hands the document on. Status, checks, errors, retries, `done`
 * exactly once, replay and redeploy are settled here, for all of them.
 */
export function registerDocumentNode<Accepted extends Payload, Config extends NodeDef>(
  RED: NodeAPI,
  type: string,
  definition: DocumentNode<Accepted, Config>,
  answers?: AnswersEvents<Config>,
): void {
  function construct(this: Node, config: Config): void {
    RED.nodes.createNode(this, config);
    let inWork = 0;
    const working: Status = {
      fill: 'blue',
      shape: 'ring',
      text: () => (inWork === 1 ? 'status.working' : translated(RED, 'status.working-on', { count: inWork })),
    };
    const show = (outcome: Status) => {
      inWork -= 1;
      showStatus(this, inWork > 0 ? working : outcome);
    };
    this.on('input', (msg, send, done) => {
      inWork += 1;
      showStatus(this, working, true);
      runStep(RED, this, config, definition, msg as DropshipMessage, send, show).then(
        () => done(),
        (thrown: unknown) => done(asError(thrown)),
      );
    });
    let leave: (() => void) | undefined;
    this.on('close', (_removed: boolean, done: () => void) => {
      leave?.();
      clearStatus(this);
      done();
    });
    // A mistake in the settings shows under the node as soon as it is deployed, not with the first order.
    let missed = false;
    const missing = (error: Error) => {
      missed = true;
      showStatus(this, { fill: 'yellow', shape: 'ring', text: shortly(error) });
    };
    // Asked in vain and closed meanwhile: nothing is taken for a node that is gone.
    const stop = new AbortController();
    this.on('close', () => stop.abort());
    whenOpen(async () => definition.ledger(RED, config), missing, stop.signal)
      .then((ledger) => {
        if (stop.signal.aborted || !ledger) return;
        if (missed) clearStatus(this);
        if (answers) leave = receiveEvents(RED, this, config, answers, ledger);
      })
      .catch((thrown: unknown) => showMistake(this, thrown));
  }
  RED.nodes.registerType(type, construct as (this: Node, config: NodeDef) => void);
}

/** A mistake in the settings: red until it is mended. */
export function showMistake(node: Node, thrown: unknown): void {
  const error = asError(thrown);
  showStatus(node, { fill: 'red', shape: 'ring', text: shortly(error) });
  node.error(harmless(error.message));
}

/** Takes the events of one kind for this node, unless another one does. The answer gives them back. */
export function receiveEvents<Config extends NodeDef>(
  RED: NodeAPI,
  node: Node,
  config: Config,
  answers: AnswersEvents<Config>,
  ledger: Ledger,
): () => void {
  const partner = answers.partner(RED, config);
  const receiver = {
    id: node.id,
    emit: (event: LedgerEvent, emits: Emit[]) => answers.emit(node, config, event, emits),
  };
  if (!ledger.dispatcher.addReceiver(partner, answers.kind, receiver)) {
    throw new ConfigurationMistake(
      'SECOND_RECEIVER',
      `Another ${node.type} node already goes on for ${partner}. Remove one of them: each event goes to one node.`,
      {
        status: 'second receiver',
      },
    );
  }
  // After each deploy anew: the one that did so may be gone by then.
  const standIn = () => void ledger.dispatcher.addReceiver('*', answers.kind, receiver);
  if (answers.standsIn) {
    standIn();
    RED.events.on('flows:started', standIn);
  }
  return () => {
    RED.events.removeListener('flows:started', standIn);
    ledger.dispatcher.removeReceiver('*', answers.kind, node.id);
    ledger.dispatcher.removeReceiver(partner, answers.kind, node.id);
  };
}

/** What stands under a node about an error. */
export function shortly(error: Error): string {
  return error instanceof DroplineError ? error.status : 'status.error';
}

/**
 * Runs one step for one message: checks it, runs it, sends on what it hands out, shows the outcome (once). Resolves for what
 * comes back by itself; rejects with what a Catch node should see.
 */
export async function runStep<Accepted extends Payload, Config extends NodeDef>(
  RED: NodeAPI,
  node: Node,
  config: Config,
  definition: DocumentNode<Accepted, Config>,
  msg: DropshipMessage,
  send: (msg: (NodeMessageInFlow | null)[]) => void,
  show: (outcome: Status) => void = (outcome) => showStatus(node, outcome),
): Promise<void> {
  try {
    show(await handle(RED, node, config, definition, msg, send));
  } catch (thrown) {
    const error = asError(thrown);
    show({ fill: 'red', shape: 'dot', text: shortly(error) });
    throw forLog(error, msg.payload);
  }
}

async function handle<Accepted extends Payload, Config extends NodeDef>(
  RED: NodeAPI,
  node: Node,
  config: Config,
  definition: DocumentNode<Accepted, Config>,
  msg: DropshipMessage,
  send: (msg: (NodeMessageInFlow | null)[]) => void,
): Promise<Status> {
  const ledger = await definition.ledger(RED, config);
  const eventId = eventOf(msg) ?? (await eventLost(ledger, node, msg));
  ledger.dispatcher.started(eventId);
  let asked: PartnerNode<Role> | undefined;
  try {
    const payload = await checkDocument(ledger, msg, definition.accepts);
    let replayed = true;
    const note = <Result>(recorded: Recorded<Result>) => {
      replayed &&= recorded.replayed;
      return recorded;
    };
    const handed = await definition.run({
      payload: payload as Accepted,
      msg,
      config,
      node,
      RED,
      ledger,
      eventId,
      operation: async ({ partner, ...operation }) => {
        asked = partner;
        const recorded = await ledger.effects.operation({
          ...operation,
          partner: partner.reference,
          settleTime: partner.adapter().settleTime,
          eventId,
        });
        asked = undefined;
        return note(recorded).result;
      },
      once: async (decision) => note(await ledger.effects.once({ ...decision, eventId })),
    });
    ledger.core.crashPoint(`before send ${node.type}`);
    sendOn(RED, msg, handed, send);
    ledger.core.crashPoint(`after send ${node.type}`);
    return replayed
      ? { fill: 'green', shape: 'ring', text: timed(RED, 'status.repeated') }
      : { fill: 'green', shape: 'dot', text: timed(RED, 'status.done') };
  } catch (thrown) {
    const error = asError(thrown);
    if (error instanceof Waiting) {
      ledger.dispatcher.returnAt(eventId, error.until, error.message);
      return { fill: 'yellow', shape: 'ring', text: whatFor(RED, error.until - ledger.core.now(), asked) };
    }
    return await settleError(ledger, node, eventId, msg, error);
  } finally {
    ledger.dispatcher.ended(eventId);
  }
}

function sendOn(
  RED: NodeAPI,
  msg: DropshipMessage,
  handed: Handed,
  send: (msg: (NodeMessageInFlow | null)[]) => void,
): void {
  if (handed === undefined) return;
  const outputs = Array.isArray(handed) ? handed : 'port' in handed ? [handed] : [{ port: 0, payload: handed }];
  // The first goes on as the message that came, with whatever else the flow has put on it; further ones are copies, without the document
  // that came: each has its own. All are made before one leaves, for from then on the flow may change it.
  const messages = outputs.map(({ payload }, index): DropshipMessage => {
    const message = index === 0 ? msg : RED.util.cloneMessage({ ...msg, payload: undefined });
    return Object.assign(message, { payload });
  });
  // One by one: of several that it is given together, Node-RED copies all but the first.
  outputs.forEach(({ port }, index) => send([...Array.from({ length: port }, () => null), messages[index] ?? null]));
}

function eventOf({ eventId }: DropshipMessage): string | undefined {
  return typeof eventId === 'string' && /^\d{1,15}$/.test(eventId) ? eventId : undefined;
}

/** @throws ConfigurationMistake `EVENT_LOST`, which is an exception as well: no replay of the event will tell of it */
async function eventLost(ledger: Ledger, node: Node, msg: DropshipMessage): Promise<never> {
  const error = new ConfigurationMistake(
    'EVENT_LOST',
    'The message has no msg.eventId: a node before this one made a new message. In a Function node change msg and "return msg", not a new object.',
    { status: 'event lost' },
  );
  await ledger.transact('raise', () =>
    raise(ledger.core.now(), {
      subject: `${node.type} ${subjectOf(msg)}`.slice(0, 100),
      code: error.code,
      message: error.message,
      orderId: orderOf(msg),
    }),
  );
  throw error;
}

/** The order that a message is about, by its id or its document. */
function orderOf(msg: DropshipMessage): string | undefined {
  const payload = (msg.payload ?? {}) as { type?: unknown; id?: unknown; orderId?: unknown };
  const orderId = msg.orderId ?? payload.orderId ?? (payload.type === 'order' ? payload.id : undefined);
  return typeof orderId === 'string' ? orderId.slice(0, 100) : undefined;
}

/** For whom, or for how long; a partner that is left alone for a while is named as such. */
function whatFor(RED: NodeAPI, milliseconds: number, partner: PartnerNode<Role> | undefined): string | (() => string) {
  if (partner) {
    const isPaused = partner.httpState()?.open === true;
    return () => RED._(isPaused ? 'status.paused' : 'status.waiting-for', { partner: partner.reference });
  }
  return milliseconds < 60_000 ? 'status.waiting' : timed(RED, 'status.waiting-until', Date.now() + milliseconds);
}

/** What an error means for the event: come back later, a person's matter, or a mistake in the program. */
async function settleError(
  ledger: Ledger,
  node: Node,
  eventId: string,
  msg: DropshipMessage,
  error: Error,
): Promise<Status> {
  if (error instanceof Obsolete) return { fill: 'grey', shape: 'ring', text: 'status.obsolete' };
  if (error instanceof TemporaryFault) {
    ledger.dispatcher.returnAt(
      eventId,
      ledger.core.now() + (error.retryAfter ?? backOff(3, ledger.core.random())),
      error.message,
    );
    node.warn(withoutPeople(error.message, msg.payload));
    return { fill: 'yellow', shape: 'ring', text: error.status };
  }
  if (error instanceof BusinessRefusal || error instanceof ConfigurationMistake) {
    if (!ledger.effects.isRaised(error)) {
      await ledger.transact('raise', () =>
        raise(ledger.core.now(), {
          subject: `${node.type} ${subjectOf(msg)}`,
          code: error.code,
          message: error.message,
          orderId: typeof msg.orderId === 'string' ? msg.orderId : undefined,
          eventId,
        }),
      );
    }
    throw error;
  }
  ledger.dispatcher.failed(eventId, error);
  throw error;
}

function subjectOf(msg: DropshipMessage): string {
  const payload = msg.payload as { id?: unknown; orderId?: unknown } | undefined;
  const subject = payload?.id ?? payload?.orderId ?? msg.orderId;
  return typeof subject === 'string' ? subject : `event ${String(msg.eventId)} ${contentHash(payload).slice(0, 8)}`;
}
