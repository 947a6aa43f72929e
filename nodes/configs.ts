import type { NodeAPI, Node, NodeDef, NodeMessage } from 'node-red';
import { correlation, mayChange } from '../ledger/correlation.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { LedgerPartner, PartnerRole } from '../ledger/partners.ts';
import { asError, ConfigurationMistake, DroplineError } from '../orders/errors.ts';
import type { AdapterTools, ConnectionTest } from '../partners/adapter.ts';
import { createHttp, type Http, type HttpState, type PartnerHttp } from '../partners/http.ts';
import { createAdapter, type AdapterOf, type Role } from './catalogue.ts';
import { keepLedger, ledgerFile, useLedger, whenOpen } from './ledgers.ts';

/** The runtime side of `dropship-ledger`. */
export interface LedgerNode extends Node {
  file: string;
  ledger(): Promise<Ledger>;
}

/** The runtime side of a partner's config node. */
export interface PartnerNode<R extends Role = Role> extends Node {
  role: R;
  reference: string;
  /** The config as it was deployed. */
  settings: PartnerConfig;
  file: string;
  /** Built at the first use, so that a mistake shows in the nodes that use it and never stops a deploy. */
  adapter(): AdapterOf[R];
  ledger(): Promise<Ledger>;
  /** Goes past the pause of a partner that was down, and ends it when the partner answers. */
  testConnection(): Promise<ConnectionTest>;
  /** Calls under way and waiting, and whether the partner is left alone; `undefined` before its first use. */
  httpState(): HttpState | undefined;
}

export interface PartnerConfig extends NodeDef {
  reference: string;
  ledger: string;
  product: string;
  baseUrl: string;
  timeout: string | number;
  options: Record<string, unknown>;
  movedTo: string;
  [property: string]: unknown;
}

/**
 * Partners by ledger file and reference, for nodes that find theirs in the document (a PO's supplier, an order's shop), and by the
 * id of their node. While a deploy replaces them the old ones stay: requests come in and calls are under way meanwhile, and an
 * order must not be routed as if its suppliers were gone.
 */
const configured = new Map<string, PartnerNode>();
const byId = new Map<string, PartnerNode>();
const ledgersById = new Map<string, LedgerNode>();

/** Config nodes that a deploy has closed; gone, or replaced, when the flows have started again. */
const closed = new WeakSet<PartnerNode>();

/** The runtimes whose deploys are followed. */
const followed = new WeakSet<object>();

/** After a deploy: what was closed and not replaced is gone. Registered with the node types, and so called before any node hears of the start. */
function forgetRemoved(RED: NodeAPI): void {
  if (followed.has(RED.events)) return;
  followed.add(RED.events);
  RED.events.on('flows:started', () => {
    for (const known of [configured, byId]) {
      for (const [key, partner] of known) if (closed.has(partner)) known.delete(key);
    }
    for (const id of ledgersById.keys()) if (!RED.nodes.getNode(id)) ledgersById.delete(id);
  });
}

/** The partner's config node by its id. */
export function partnerById(id: string): PartnerNode | undefined {
  return byId.get(id);
}

/** @throws ConfigurationMistake `PARTNER_NOT_CONFIGURED` */
export function partnerByReference<R extends Role>(file: string, reference: string, role: R): PartnerNode<R> {
  const partner = configured.get(`${file} ${reference}`);
  if (partner?.role !== role) {
    throw new ConfigurationMistake(
      'PARTNER_NOT_CONFIGURED',
      `There is no ${role} config node with the reference "${reference}" on this ledger. Add one and deploy.`,
      {
        status: `no ${reference}`.slice(0, 20),
      },
    );
  }
  return partner as PartnerNode<R>;
}

export function partnersOf(file: string, role: Role): PartnerNode[] {
  return [...configured.values()].filter((partner) => partner.file === file && partner.role === role);
}

/** The file of the chosen ledger, or of the default one. */
export function fileOfLedger(RED: NodeAPI, ledgerId: string | undefined): string {
  return ledgerId ? (ledgerNode(RED, ledgerId)?.file ?? `no ledger ${ledgerId}`) : ledgerFile(RED, undefined);
}

function ledgerNode(RED: NodeAPI, id: string): LedgerNode | undefined {
  const deployed = RED.nodes.getNode(id) as LedgerNode | null;
  if (deployed) ledgersById.set(id, deployed);
  return deployed ?? ledgersById.get(id);
}

/** The ledger file of a partner's config node. */
export function fileOfNode(RED: NodeAPI, partnerId: string): string {
  return (RED.nodes.getNode(partnerId) as PartnerNode | null)?.file ?? ledgerFile(RED, undefined);
}

/**
 * The chosen ledger or, where none is chosen, the default one.
 * @throws ConfigurationMistake `LEDGER_MISSING`, at once: another ledger than the chosen one would do everything a second time
 */
export function ledgerOf(RED: NodeAPI, ledgerId: string | undefined): Promise<Ledger> {
  if (!ledgerId) return useLedger(RED, ledgerFile(RED, undefined), {});
  const chosen = ledgerNode(RED, ledgerId);
  if (!chosen) {
    throw new ConfigurationMistake(
      'LEDGER_MISSING',
      'The config node of the chosen ledger is missing. Open the node that names it, choose a ledger, and deploy.',
      {
        status: 'no ledger',
      },
    );
  }
  return chosen.ledger();
}

/**
 * Registers the type of a partner's config node.
 * @param bind what else the ledger must know of the partner, from its adapter
 */
export function registerPartner<R extends Role>(
  RED: NodeAPI,
  type: string,
  role: R,
  credentials: Record<string, { type: 'text' | 'password' }>,
  bind: (adapter: AdapterOf[R], config: PartnerConfig) => Partial<LedgerPartner>,
): void {
  forgetRemoved(RED);
  function construct(this: PartnerNode<R>, config: PartnerConfig): void {
    RED.nodes.createNode(this, config);
    this.role = role;
    this.reference = (config.reference ?? '').trim();
    this.settings = config;
    this.file = fileOfLedger(RED, config.ledger);
    // Found once: while a deploy replaces the ledger's config node, requests are still stored in this one.
    const chosen = config.ledger ? ledgerNode(RED, config.ledger) : undefined;
    const timeout = Number(config.timeout) || 20;
    let http: PartnerHttp | undefined;
    let adapter: AdapterOf[R] | undefined;
    let binding: { partner: LedgerPartner; bound: Promise<void> } | undefined;

    /** @throws ConfigurationMistake `OPTIONS_INVALID` */
    const readOptions = () => {
      const { maxConcurrent, ...options } = optionsOf(config.options, this.reference);
      return { maxConcurrent: concurrencyOf(maxConcurrent, this.reference), options };
    };

    const openHttp = () => {
      const { maxConcurrent } = readOptions();
      return createHttp({
        partner: this.reference,
        timeout: timeout * 1000,
        correlation,
        mayChange,
        ...(maxConcurrent === undefined ? {} : { maxConcurrent }),
      });
    };

    /** @throws ConfigurationMistake */
    const build = (over: Http): AdapterOf[R] =>
      createAdapter(
        role,
        config.product,
        {
          reference: this.reference,
          baseUrl: String(config.baseUrl).trim().replace(/\/+$/, ''),
          options: { ...readOptions().options, timeout },
          credentials: (this.credentials ?? {}) as Record<string, string | undefined>,
        },
        tools(RED, this, over),
      );

    this.adapter = () => {
      if (!/^[a-z][a-z0-9-]{1,19}$/.test(this.reference)) {
        throw new ConfigurationMistake(
          'REFERENCE_INVALID',
          `"${this.reference}" cannot be a reference. Use 2 to 20 lower-case letters, digits and hyphens, beginning with a letter.`,
        );
      }
      if (!String(config.baseUrl ?? '').trim()) {
        throw new ConfigurationMistake(
          'BASE_URL_MISSING',
          `"${this.reference}" has no base URL (or folder). Enter it in its config node.`,
        );
      }
      http ??= openHttp();
      adapter ??= build(http);
      return adapter;
    };

    this.httpState = () => http?.state();

    this.ledger = keepLedger(async () => {
      const ledger = await (chosen ? chosen.ledger() : ledgerOf(RED, config.ledger));
      if (!binding) {
        const partner: LedgerPartner = {
          reference: this.reference,
          role: role as PartnerRole,
          product: config.product,
          baseUrl: String(config.baseUrl ?? '').trim(),
          ...(config.movedTo ? { movedTo: config.movedTo } : {}),
          ...bind(this.adapter(), config),
        };
        binding = { partner, bound: ledger.bindPartner(partner) };
        binding.bound.catch(() => (binding = undefined));
      }
      await binding.bound;
      return ledger;
    });

    this.testConnection = async () => {
      let apart: PartnerHttp | undefined;
      try {
        // What keeps the adapter from being built is said first, in the words of the nodes that use it.
        this.adapter();
        // Connections and tokens of its own: a person who asks gets an answer also while the partner is left alone.
        apart = openHttp();
        const test = await build(apart).testConnection();
        if (test.ok) http?.resume();
        return test;
      } catch (thrown) {
        return { ok: false, message: asError(thrown).message };
      } finally {
        apart?.close();
      }
    };

    const key = `${this.file} ${this.reference}`;
    const present = configured.get(key);
    byId.set(this.id, this);
    if (present && !closed.has(present) && this.reference)
      this.error(`Two config nodes have the reference "${this.reference}". Each partner needs its own.`);
    else configured.set(key, this);
    // Bound at once, so that facts that came in meanwhile can be judged; a mistake shows in the nodes that use the partner.
    const stop = new AbortController();
    whenOpen(this.ledger, () => undefined, stop.signal).catch((thrown: unknown) => this.error(messageOf(thrown)));

    this.on('close', (_removed: boolean, done: () => void) => {
      closed.add(this);
      stop.abort();
      http?.close();
      done();
    });
  }
  RED.nodes.registerType(type, construct as unknown as (this: Node, config: NodeDef) => void, { credentials });
}

function tools(RED: NodeAPI, node: Node, http: Http): AdapterTools {
  return {
    http,
    now: () => Date.now(),
    jsonata(expression) {
      const prepared = RED.util.prepareJSONataExpression(expression, node);
      const evaluate = (input: unknown) =>
        new Promise<unknown>((resolve, reject) => {
          RED.util.evaluateJSONataExpression(prepared, input as NodeMessage, (error: Error | null, result: unknown) =>
            error ? reject(error) : resolve(result),
          );
        });
      // An expression that speaks of `msg` is given the input under that name, as old flows expect it.
      const inside = prepared as unknown as { ast?(): unknown; _legacyMode?: boolean };
      return inside._legacyMode === false ? Object.assign(evaluate, { ast: inside.ast?.() }) : evaluate;
    },
  };
}

/** Options are an object, or the JSON text of one where a person typed it. */
function optionsOf(options: unknown, reference: string): Record<string, unknown> {
  if (typeof options === 'string' && options.trim()) {
    try {
      return JSON.parse(options) as Record<string, unknown>;
    } catch (cause) {
      throw new ConfigurationMistake(
        'OPTIONS_INVALID',
        `The options of "${reference}" are not valid JSON. Open its config node and correct them.`,
        { cause },
      );
    }
  }
  return typeof options === 'object' && options !== null ? (options as Record<string, unknown>) : {};
}

/** @throws ConfigurationMistake `OPTIONS_INVALID` */
function concurrencyOf(value: unknown, reference: string): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 256) return value;
  throw new ConfigurationMistake(
    'OPTIONS_INVALID',
    `The option "maxConcurrent" of "${reference}" must be a whole number from 1 to 256: the most calls at a time.`,
  );
}

function messageOf(thrown: unknown): string {
  const error = asError(thrown);
  return error instanceof DroplineError ? `${error.code}: ${error.message}` : error.message;
}
