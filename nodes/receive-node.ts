import type { NodeAPI, Node, NodeDef } from 'node-red';
import type { Ledger } from '../ledger/ledger.ts';
import type { Emit, LedgerEvent } from '../ledger/events.ts';
import { asError, ConfigurationMistake, DroplineError } from '../orders/errors.ts';
import type { InboundFact, InboundRequest } from '../partners/adapter.ts';
import type { Role } from './catalogue.ts';
import type { PartnerNode } from './configs.ts';
import {
  runStep,
  shortly,
  showMistake,
  type DocumentNode,
  type DropshipMessage,
  type Payload,
} from './document-node.ts';
import { forLog, harmless } from './log.ts';
import { clearStatus, showStatus, timed, type Status } from './status.ts';
import { whenOpen } from './ledgers.ts';
import { installEndpoints, setIntakes, takeIn, type Answer, type Intake, type Section } from './endpoint.ts';

/** A poll of one partner: facts since the cursor, a page at a time. */
export interface Poll {
  name: string;
  fetch(
    cursor: string | undefined,
  ): Promise<{ facts: InboundFact<string>[]; cursor: string; more: boolean; done?: () => Promise<void> }>;
}

/** What makes one receive node different from the others. */
export interface ReceiveNode<R extends Role, Config extends NodeDef> {
  section: Section;
  /** The kinds of event that it emits. */
  kinds: string[];
  /** The partners whose facts it takes: one, or all that have no receiver of their own. */
  partners(RED: NodeAPI, config: Config): { chosen: PartnerNode<R> | undefined; all: PartnerNode<R>[] };
  ledger(RED: NodeAPI, config: Config): Promise<Ledger>;
  receive(partner: PartnerNode<R>, request: InboundRequest): InboundFact<string>[];
  poll?(partner: PartnerNode<R>): Poll | undefined;
  pollMinutes(config: Config): number;
  /** Facts in a message from the flow itself (a file that was read), which needs no signature. Absent: only `http in`. */
  fromFlow?(partner: PartnerNode<R>, payload: unknown): InboundFact<string>[];
  /** Output of each outcome. */
  ports: Record<string, number>;
  /** Output that answers a core `http in`. */
  replyPort: number | undefined;
  /** What is done before an outcome goes on, such as telling the ERP that a bill is paid. Default: the document goes on as it is. */
  step?: Pick<DocumentNode<Payload, Config>, 'accepts' | 'run'>;
}

const LISTENING: Status = { fill: 'green', shape: 'ring', text: 'status.listening' };

/** Milliseconds between two warnings of a receive node: whoever floods us must not flood the log. */
const WARN_EVERY = 60_000;

/** Milliseconds after a deploy before the first poll, so that all nodes stand. */
const FIRST_POLL = 3000;

/**
 * Registers a node at which facts come in: at its own endpoint, by polling, or over a wire from `http in`. All three only
 * store; what goes out is what the ledger emits, so a first run and a replay send the same message.
 */
export function registerReceiveNode<R extends Role, Config extends NodeDef>(
  RED: NodeAPI,
  type: string,
  definition: ReceiveNode<R, Config>,
): void {
  installEndpoints(RED);

  function construct(this: Node, config: Config): void {
    RED.nodes.createNode(this, config);
    const stop = new AbortController();
    let leave: (() => void) | undefined;
    const fail = (thrown: unknown) => showMistake(this, thrown);
    // Looked up each time: a config node may be replaced by a deploy that leaves this node as it is.
    const partners = (): PartnerNode<R>[] => {
      const { chosen, all } = definition.partners(RED, config);
      return chosen ? [chosen] : all;
    };
    /** A wrong secret is the commonest mistake of all, and only the log of the other side would show it. */
    const refused = (error: Error) => {
      showStatus(this, { fill: 'yellow', shape: 'ring', text: shortly(error) });
      if (Date.now() - lastWarning < WARN_EVERY) return;
      lastWarning = Date.now();
      this.warn(`A message was not taken in: ${harmless(error.message)}`);
    };
    let lastWarning = 0;
    const intakeOf = (partner: PartnerNode<R>): Intake => ({
      nodeId: this.id,
      reference: partner.reference,
      receive: (request) => definition.receive(partner, request),
      ledger: () => partner.ledger(),
      refused,
    });
    const openEndpoints = () => {
      let own: Intake[] = [];
      try {
        own = partners().map(intakeOf);
      } catch (thrown) {
        // No partner, no URL; that it is missing is said below, where the ledger is asked for.
        if (!(thrown instanceof ConfigurationMistake)) fail(thrown);
      }
      setIntakes(definition.section, this.id, own);
    };
    // Between a deploy's end of the old nodes and its start of the new ones the old ones' URLs go on, with the partners as they were.
    RED.events.on('flows:started', openEndpoints);

    const missing = (error: Error) => showStatus(this, { fill: 'yellow', shape: 'ring', text: shortly(error) });
    whenOpen(() => ledgerOf(RED, definition, config), missing, stop.signal)
      .then((ledger) => {
        if (stop.signal.aborted || !ledger) return;
        const receiver = {
          id: this.id,
          emit: (event: LedgerEvent, emits: Emit[]) => emit(RED, this, config, definition, event, emits),
        };
        const whose = receiverOf(RED, definition, config);
        leave = () => definition.kinds.forEach((kind) => ledger.dispatcher.removeReceiver(whose, kind, this.id));
        for (const kind of definition.kinds) {
          if (!ledger.dispatcher.addReceiver(whose, kind, receiver)) {
            showStatus(this, { fill: 'red', shape: 'ring', text: 'status.second-receiver' });
            this.error(
              `Another node already receives ${kind} of ${whose === '*' ? 'all suppliers' : whose}. Remove one of them: each event goes to one receiver.`,
            );
            return;
          }
        }
        showStatus(this, LISTENING);
        for (const partner of partners()) startPolling(RED, this, definition, config, partner, ledger, stop.signal);
      })
      .catch(fail);

    this.on('input', (msg, send, done) => {
      input(definition, partners, intakeOf, msg as DropshipMessage)
        .then(({ reply, error }) => {
          if (reply && definition.replyPort !== undefined) {
            const outputs: (DropshipMessage | null)[] = Array.from({ length: definition.replyPort }, () => null);
            send([...outputs, reply]);
          }
          if (!error) return done();
          showStatus(this, { fill: 'red', shape: 'ring', text: shortly(error) });
          done(forLog(error, undefined));
        })
        .catch(fail);
    });

    this.on('close', (removed: boolean, done: () => void) => {
      stop.abort();
      clearStatus(this);
      RED.events.removeListener('flows:started', openEndpoints);
      if (removed) setIntakes(definition.section, this.id, []);
      leave?.();
      done();
    });
  }
  RED.nodes.registerType(type, construct as (this: Node, config: NodeDef) => void);
}

/** Rejects instead of throwing: a node without its partner stays on the canvas and says what is missing. */
async function ledgerOf<R extends Role, Config extends NodeDef>(
  RED: NodeAPI,
  definition: ReceiveNode<R, Config>,
  config: Config,
): Promise<Ledger> {
  return definition.ledger(RED, config);
}

/** Whose events it receives: one partner's, or everybody's who has no receiver of their own. */
function receiverOf<R extends Role, Config extends NodeDef>(
  RED: NodeAPI,
  definition: ReceiveNode<R, Config>,
  config: Config,
): string {
  return definition.partners(RED, config).chosen?.reference ?? '*';
}

/** Sends what the ledger emits, a message per outcome. */
function emit<R extends Role, Config extends NodeDef>(
  RED: NodeAPI,
  node: Node,
  config: Config,
  definition: ReceiveNode<R, Config>,
  event: LedgerEvent,
  emits: Emit[],
): void {
  if (definition.step)
    return emitThroughStep(RED, node, config, { ...definition.step, ledger: definition.ledger }, event, emits);
  const replayed = event.emitted > 0;
  showStatus(node, {
    fill: 'green',
    shape: replayed ? 'ring' : 'dot',
    text: timed(RED, replayed ? 'status.repeated' : 'status.received'),
  });
  for (const one of emits) {
    const ports: (DropshipMessage | null)[] = Array.from({ length: definition.ports[one.outcome] ?? 0 }, () => null);
    node.send([...ports, messageOf(RED, event, one)]);
  }
}

/** The message of an event: plain JSON, without the request that once brought it. */
function messageOf(RED: NodeAPI, event: LedgerEvent, emit: Emit): DropshipMessage {
  return {
    _msgid: RED.util.generateId(),
    payload: emit.payload,
    eventId: event.id,
    replayed: event.emitted > 0,
    ...(emit.orderId === undefined ? {} : { orderId: emit.orderId }),
  };
}

/** For nodes whose events make an effect of their own before anything goes on: a run that was approved, bills that are due. */
export function emitThroughStep<Config extends NodeDef>(
  RED: NodeAPI,
  node: Node,
  config: Config,
  step: DocumentNode<Payload, Config>,
  event: LedgerEvent,
  emits: Emit[],
): void {
  for (const one of emits) {
    const message = messageOf(RED, event, one);
    runStep(RED, node, config, step, message, (ports) => node.send(ports)).catch((thrown: unknown) =>
      node.error(asError(thrown), message),
    );
  }
}

/** What becomes of a message on the wire: an answer for `http in`, and what a Catch node should see. */
interface Taken {
  reply?: DropshipMessage;
  error?: Error;
}

/** A message on the wire: a request of `http in` is taken in like one at the endpoint; anything else is a document or asks for a poll. */
async function input<R extends Role, Config extends NodeDef>(
  definition: ReceiveNode<R, Config>,
  allPartners: () => PartnerNode<R>[],
  intakeOf: (partner: PartnerNode<R>) => Intake,
  msg: DropshipMessage,
): Promise<Taken> {
  const request = msg['req'] as HttpIn | undefined;
  try {
    const partners = allPartners();
    const partner = request ? forRequest(partners, request.params) : partners[0];
    if (!partner) {
      throw new ConfigurationMistake(
        'PARTNER_MISSING',
        'No partner is chosen for this node, or the URL does not say which of several is meant. Choose one in this node.',
      );
    }
    if (request) {
      if (!Buffer.isBuffer(msg.payload)) {
        throw new ConfigurationMistake(
          'BODY_PARSED',
          'The "http in" node before this one has parsed the body, so its signature cannot be checked. Switch on "Do not parse request body" there, and deploy.',
        );
      }
      return {
        reply: replyWith(msg, await takeIn(intakeOf(partner), { headers: headersOf(request), body: msg.payload })),
      };
    }
    const { payload } = msg;
    if (definition.fromFlow && (typeof payload === 'string' || Buffer.isBuffer(payload)) && payload.length > 0) {
      const ledger = await partner.ledger();
      await ledger.store(partner.reference, definition.fromFlow(partner, payload));
    } else {
      for (const each of partners) await pollOnce(definition, each, await each.ledger());
    }
    return {};
  } catch (thrown) {
    const error = asError(thrown);
    if (!request) return { error };
    // The sender learns that it is not its fault, and nothing else.
    const message = 'This endpoint is not set up completely. Send the message again later.';
    const code = error instanceof DroplineError ? error.code : 'UNEXPECTED';
    return { reply: replyWith(msg, { status: 500, body: { error: { code, message } } }), error };
  }
}

/** The part of Express's request that `http in` leaves on the message. */
interface HttpIn {
  headers?: InboundRequest['headers'];
  headersDistinct?: Record<string, string[]>;
  params?: Record<string, string>;
}

/** Headers with all their values, as at our own endpoint. */
function headersOf(request: HttpIn): InboundRequest['headers'] {
  if (!request.headersDistinct) return request.headers ?? {};
  return Object.fromEntries(
    Object.entries(request.headersDistinct).map(([name, values]) => [name, values.length === 1 ? values[0] : values]),
  );
}

/** The message that came, with the answer for `http response`. */
function replyWith(msg: DropshipMessage, { status, body, retryAfter }: Answer): DropshipMessage {
  msg['statusCode'] = status;
  msg['headers'] = {
    'content-type': 'application/json; charset=utf-8',
    ...(retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) }),
  };
  msg.payload = body;
  return msg;
}

function forRequest<R extends Role>(
  partners: PartnerNode<R>[],
  params: Record<string, string> | undefined,
): PartnerNode<R> | undefined {
  const named = Object.values(params ?? {});
  return (
    partners.find((partner) => named.includes(partner.reference)) ?? (partners.length === 1 ? partners[0] : undefined)
  );
}

function startPolling<R extends Role, Config extends NodeDef>(
  RED: NodeAPI,
  node: Node,
  definition: ReceiveNode<R, Config>,
  config: Config,
  partner: PartnerNode<R>,
  ledger: Ledger,
  stop: AbortSignal,
): void {
  const minutes = definition.pollMinutes(config);
  if (!(minutes > 0) || !definition.poll) return;
  let failed = false;
  const next = (milliseconds: number) => {
    const timer = setTimeout(() => {
      // Of several instances on one ledger one asks; the next takes over when it dies.
      (ledger.core.instance.isEldest ? pollOnce(definition, partner, ledger) : Promise.resolve(0))
        .then(
          (stored) => {
            if (stop.aborted) return;
            if (stored > 0) showStatus(node, { fill: 'green', shape: 'dot', text: timed(RED, 'status.received') });
            else if (failed) showStatus(node, LISTENING);
            failed = false;
          },
          (thrown: unknown) => {
            const error = asError(thrown);
            if (!stop.aborted) showStatus(node, { fill: 'yellow', shape: 'ring', text: shortly(error) });
            failed = true;
            node.warn(harmless(error.message));
          },
        )
        .finally(() => {
          if (!stop.aborted) next(minutes * 60_000);
        })
        .catch(() => undefined);
    }, milliseconds);
    stop.addEventListener('abort', () => clearTimeout(timer), { once: true });
  };
  next(Math.min(FIRST_POLL, minutes * 60_000));
}

/** Fetches what is new and stores it; the cursor moves only after the facts are durable. */
async function pollOnce<R extends Role, Config extends NodeDef>(
  definition: ReceiveNode<R, Config>,
  partner: PartnerNode<R>,
  ledger: Ledger,
): Promise<number> {
  const poll = definition.poll?.(partner);
  if (!poll) return 0;
  let stored = 0;
  for (let more = true; more;) {
    const cursor = await ledger.cursor(partner.reference, poll.name);
    const page = await poll.fetch(cursor);
    stored += (await ledger.store(partner.reference, page.facts)).stored;
    if (page.cursor !== cursor) await ledger.moveCursor(partner.reference, poll.name, page.cursor);
    await page.done?.();
    more = page.more && page.cursor !== cursor;
  }
  return stored;
}
