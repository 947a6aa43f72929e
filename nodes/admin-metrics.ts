import { createHash, timingSafeEqual } from 'node:crypto';
import { createRequire } from 'node:module';
import type { NodeAPI } from 'node-red';
import { gauge, ledgerFigures } from '../ledger/figures.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { exposition, EXPOSITION_TYPE, merged, type Family } from '../ledger/metrics.ts';
import { asError } from '../orders/errors.ts';
import type { Role } from './catalogue.ts';
import { partnersOf } from './configs.ts';
import { openLedgers } from './ledgers.ts';
import { createLog } from './log.ts';

interface Request {
  headers: Record<string, string | undefined>;
}

interface Response {
  writeHead(status: number, headers: Record<string, string>): Response;
  end(body: string): void;
}

type Handler = (request: Request, response: Response, next: () => void) => void;

const ROLES: Role[] = ['ecommerce', 'erp', 'supplier', 'bank'];

/**
 * `GET dropship/metrics`, for Prometheus and what reads its text format. A login with `dropship.read` opens it, and so does the token
 * `dropship: { metricsToken: '...' }` of the settings file: it is good for these numbers alone, while that permission shows orders as well.
 */
export function installMetrics(RED: NodeAPI): void {
  const admin = RED.httpAdmin as unknown as { get(path: string, ...handlers: unknown[]): void };
  const { metricsToken } = (RED.settings as unknown as { dropship?: { metricsToken?: unknown } }).dropship ?? {};
  const { log } = createLog(RED);
  const serve: Handler = (_request, response) => {
    metricsText(RED).then(
      (text) => response.writeHead(200, { 'content-type': EXPOSITION_TYPE, 'cache-control': 'no-store' }).end(text),
      (thrown: unknown) => {
        log('error', `The metrics cannot be read: ${asError(thrown).message}`);
        response
          .writeHead(500, { 'content-type': 'text/plain' })
          .end('The metrics cannot be read; the log says why.\n');
      },
    );
  };
  if (typeof metricsToken === 'string' && metricsToken !== '') {
    const scraper: Handler = (request, response, next) =>
      isToken(request.headers['authorization'], metricsToken) ? serve(request, response, next) : next();
    admin.get('/dropship/metrics', scraper);
  }
  admin.get('/dropship/metrics', RED.auth.needsPermission('dropship.read'), serve);
}

/** In a time that tells nothing of how much was right. */
function isToken(authorization: string | undefined, token: string): boolean {
  const hash = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(hash(authorization ?? ''), hash(`Bearer ${token}`));
}

/** Several who ask at the same time get one answer. */
const reading = new WeakMap<Ledger, Promise<Family[]>>();

async function metricsText(RED: NodeAPI): Promise<string> {
  const sources = await Promise.all(
    openLedgers(RED).map(async ({ file, name, ledger, metrics }) => ({
      labels: { ledger: name },
      families: [...(await ledgerFamilies(ledger)), ...partnerFamilies(file), ...metrics.families()],
    })),
  );
  return exposition(merged([{ labels: {}, families: processFamilies(RED) }, ...sources]));
}

/** A ledger that cannot be read is itself the most important news: the rest is told all the same. */
async function ledgerFamilies(opening: Promise<Ledger>): Promise<Family[]> {
  const up = (value: number) =>
    gauge('dropship_ledger_up', 'Whether the ledger could be read.', [{ labels: {}, value }]);
  try {
    const ledger = await opening;
    let figures = reading.get(ledger);
    if (!figures) {
      figures = ledgerFigures(ledger.core, ledger.core.now()).finally(() => reading.delete(ledger));
      reading.set(ledger, figures);
    }
    const { inWork, running } = ledger.dispatcher.load();
    const { instance } = ledger.core;
    return [
      up(1),
      ...(await figures),
      gauge('dropship_events_in_work', 'Events that this Node-RED works on.', [{ labels: {}, value: inWork }]),
      gauge('dropship_steps_running', 'Steps of the flow under way in this Node-RED.', [
        { labels: {}, value: running },
      ]),
      gauge('dropship_instances', 'Living Node-REDs on the ledger, as this one sees it.', [
        { labels: {}, value: instance.neighbours + 1 },
      ]),
      gauge('dropship_flows_differ', '1 while another Node-RED on the ledger runs other flows.', [
        { labels: {}, value: instance.flowsDiffer ? 1 : 0 },
      ]),
    ];
  } catch {
    return [up(0)];
  }
}

function partnerFamilies(file: string): Family[] {
  const states = ROLES.flatMap((role) => partnersOf(file, role)).map((partner) => ({
    labels: { partner: partner.reference },
    state: partner.httpState(),
  }));
  const of = (value: (state: (typeof states)[number]['state']) => number) =>
    states.map(({ labels, state }) => ({ labels, value: value(state) }));
  return [
    gauge(
      'dropship_partner_paused',
      '1 while a partner is left alone because it is down or asked for it.',
      of((state) => (state?.open ? 1 : 0)),
    ),
    gauge(
      'dropship_partner_calls_running',
      'Calls to a partner under way.',
      of((state) => state?.running ?? 0),
    ),
    gauge(
      'dropship_partner_calls_waiting',
      'Calls that wait for their turn, because a partner takes only so many at a time.',
      of((state) => state?.waiting ?? 0),
    ),
  ];
}

function processFamilies(RED: NodeAPI): Family[] {
  const { version } = createRequire(import.meta.url)('@dropline/node-red-dropship/package.json') as { version: string };
  return [
    gauge('dropship_build_info', 'Versions, as labels.', [
      {
        labels: {
          version,
          node_red: String((RED.settings as unknown as { version?: string }).version ?? ''),
          node: process.versions.node,
        },
        value: 1,
      },
    ]),
    gauge('process_start_time_seconds', 'Start time of the process, in seconds since 1970.', [
      { labels: {}, value: Math.round(Date.now() - process.uptime() * 1000) / 1000 },
    ]),
    gauge('process_resident_memory_bytes', 'Memory of the process.', [
      { labels: {}, value: process.memoryUsage.rss() },
    ]),
  ];
}
