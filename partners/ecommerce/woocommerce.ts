import { BusinessRefusal, ConfigurationMistake, DroplineError } from '../../orders/errors.ts';
import type { AffectedLine, Order } from '../../orders/order.ts';
import type { Shipment } from '../../orders/shipment.ts';
import type { AdapterSettings, AdapterTools, ConnectionTest } from '../adapter.ts';
import { HttpRefusal, unexpectedAnswer, type HttpRequest } from '../http.ts';
import { parseJson } from '../json.ts';
import { settleTime, textOption, urlOf, webhookSecrets } from '../settings.ts';
import { verifyHmac } from '../signature.ts';
import type { Writer } from '../write.ts';
import { oauth } from './oauth1.ts';
import type { EcommercePlatform, FulfilmentRecord } from './port.ts';
import { isBody, metaOf, records, strings, text, type Body } from './woocommerce-fields.ts';
import { factOf, OVER, readOrder } from './woocommerce-order.ts';
import {
  describeParcel,
  findTracking,
  fulfilmentOf,
  markOf,
  plain,
  tellByNote,
  trackingMeta,
  trackingNumbers,
  type Fulfilled,
} from './woocommerce-tracking.ts';

/** Where a shipment is written: WooCommerce's own fulfilments, the order's metadata, or the first of them that the shop has. */
const COMPLETIONS = ['auto', 'fulfillments', 'meta'] as const;

/** The most that WooCommerce gives at once. */
const PAGE = 100;

/** Seconds that a poll looks back behind the last order seen: an order takes a second or more to be stored with its date. */
const OVERLAP = 10;

/**
 * A WooCommerce shop (7.9 to 11) through its REST API v3.
 *
 * Options: `paidStatuses` (default `processing`, `completed`), `completion` (`auto`, `fulfillments` or `meta`), `settleSeconds`,
 * `shippedNote` with `{parcels}` and `cancelledNote` with `{lines}` and `{reason}` for customer notes.
 * Credentials: `key` (ck_...), `secret` (cs_...), `webhookSecret`, `oldWebhookSecret`.
 * Source: woocommerce.github.io/woocommerce-rest-api-docs; WooCommerce's own code where a class is named.
 * @throws ConfigurationMistake `OPTION_INVALID`, `BASE_URL_INVALID`
 */
export function createWooCommerce(settings: AdapterSettings, tools: AdapterTools): EcommercePlatform {
  const { http } = tools;
  const { reference, options, credentials } = settings;
  const site = urlOf(settings, '');
  const completion = readCompletion(textOption(settings, 'completion') ?? 'auto');
  const paidStatuses = readList(options['paidStatuses']) ?? ['processing', 'completed'];
  const shippedNote = textOption(settings, 'shippedNote') ?? 'A parcel of your order is on its way: {parcels}.';
  const cancelledNote =
    textOption(settings, 'cancelledNote') ?? 'We are sorry, these items will not come: {lines}. {reason}';

  /** A request with the authentication that WooCommerce takes: Basic where the site sees HTTPS, OAuth 1.0a over plain HTTP. */
  function request(method: HttpRequest['method'], path: string, more: Partial<HttpRequest> = {}): HttpRequest {
    const { key, secret } = credentials;
    if (!key || !secret) {
      const missing = key ? 'consumer secret (cs_...)' : 'consumer key (ck_...)';
      throw new ConfigurationMistake('CREDENTIALS_MISSING', `Enter the ${missing} of ${reference} in its config node.`);
    }
    const url = `${site}/wp-json/wc/v3/${path}`;
    if (url.startsWith('https:')) {
      const authorization = `Basic ${Buffer.from(`${key}:${secret}`).toString('base64')}`;
      return { method, url, headers: { authorization }, ...more };
    }
    const query = { ...more.query, ...oauth(method, url, more.query ?? {}, { key, secret }, tools.now()) };
    return { method, url, ...more, query };
  }

  async function readRecord(path: string, signal?: AbortSignal): Promise<Body> {
    const asked = request('GET', path, signal ? { signal } : {});
    const answer = await http.json(asked);
    if (!isBody(answer)) throw unexpectedAnswer(asked, reference, 'not a JSON object');
    return answer;
  }

  async function readRecords(path: string, query: HttpRequest['query'] = {}): Promise<Body[]> {
    const asked = request('GET', path, { query });
    const answer = await http.json(asked);
    if (!Array.isArray(answer) || !answer.every(isBody)) throw unexpectedAnswer(asked, reference, 'not a list');
    return answer;
  }

  async function change(
    method: 'POST' | 'PUT',
    path: string,
    json: unknown,
    signal: AbortSignal | undefined,
  ): Promise<Body> {
    const asked = request(method, path, { json, signal });
    const answer = await http.json(asked);
    // A maintenance page or a plugin's notice comes with 200 as well: only a record with an id says that it is done.
    if (!isBody(answer) || text(answer['id']) === '') throw unexpectedAnswer(asked, reference, 'no record with an id');
    return answer;
  }

  return {
    product: 'WooCommerce',
    settleTime: settleTime(settings),

    async testConnection() {
      try {
        return await test();
      } catch (error) {
        if (!(error instanceof DroplineError)) throw error;
        return { ok: false, message: explain(error) };
      }
    },

    receive({ headers, body }) {
      const signature = headers['x-wc-webhook-signature'];
      // A new webhook introduces itself without signature or X-WC headers (WC_Webhook::deliver_ping); it is answered and forgotten.
      if (signature === undefined && /^webhook_id=\d+$/.test(body.toString('latin1', 0, 40).trim())) return [];
      verifyHmac({ body, header: signature, secrets: webhookSecrets(settings), encoding: 'base64' });
      return factOf(parseJson(body), headers);
    },

    async poll(cursor) {
      const { after, offset } =
        cursor === undefined ? { after: seconds(tools.now() - 86_400_000), offset: 0 } : readCursor(cursor);
      const query = {
        modified_after: after,
        dates_are_gmt: true,
        orderby: 'modified',
        order: 'asc',
        per_page: PAGE,
        offset,
        status: 'any',
      };
      const orders = await readRecords('orders', query);
      for (const order of orders) {
        // The order itself holds of a refund only its amount; the lines are a document of their own.
        if (records(order['refunds']).length > 0) {
          order['refunds'] = await readRecords(`orders/${text(order['id'])}/refunds`, { per_page: PAGE });
        }
      }
      const facts = orders.flatMap((order) => factOf(order));
      const more = orders.length === PAGE;
      return { facts, cursor: nextCursor(after, offset, text(orders.at(-1)?.['date_modified_gmt']), more), more };
    },

    readOrder: (body) => readOrder(body, reference, paidStatuses),

    async fulfil(shipment, order, write): Promise<FulfilmentRecord> {
      const path = `orders/${order.shopOrderId}`;
      const mark = markOf(shipment.id);
      const items = shipment.lines.map(({ sku, quantity }) => `${quantity} x ${sku}`);
      const find = async () =>
        (completion === 'meta' ? undefined : await findFulfilment(path, shipment)) ??
        (completion === 'fulfillments' ? undefined : findTracking(await readRecord(path), shipment));
      const done = await write({
        step: 'fulfil',
        summary: { order: order.shopOrderId, tracking: trackingNumbers(shipment), lines: items },
        settle: 'probe',
        // A person in the shop may have entered the tracking number first; theirs is adopted and the customer not told again.
        look: 'always',
        find,
        // A person may have entered it with other tracking numbers, and the customer has it from there.
        adopt: async (number) => (await find()) ?? { id: number, note: false },
        async send({ signal }) {
          if (completion !== 'meta') {
            try {
              const made = await change('POST', `${path}/fulfillments`, fulfilmentOf(shipment, order), signal);
              return { id: text(made['id']), note: tellByNote(shipment) };
            } catch (error) {
              // Certainly not done: the feature came with 10.1, and a shop may have it off.
              if (!isNoRoute(error)) throw error;
              if (completion === 'fulfillments') throw fulfilmentsOff();
            }
          }
          await inTurn(order.id, async () => {
            const found = await readRecord(path, signal);
            await change('PUT', path, { meta_data: trackingMeta(found, shipment) }, signal);
          });
          return { id: mark, note: true };
        },
      });
      // The answer is kept with the write: a shop that turns its fulfilments on or off later is not written to a second time.
      if (done.note) {
        const parcels = shipment.parcels.map(describeParcel).join('; ') || items.join(', ');
        const message = shippedNote.replaceAll('{parcels}', () => parcels);
        await tell(order, mark, message, write);
      }
      return { id: done.id };
    },

    async complete(order, write) {
      const path = `orders/${order.shopOrderId}`;
      return write({
        step: 'complete',
        summary: { order: order.shopOrderId },
        settle: 'idempotent',
        send: ({ signal }) =>
          inTurn(order.id, async () => {
            const found = await readRecord(path, signal);
            const status = text(found['status']);
            if (OVER.includes(status)) {
              throw new BusinessRefusal(
                'ORDER_CANCELLED_IN_SHOP',
                `Order ${order.number} is "${status}" in ${reference}, although everything has shipped. Settle it with the customer, then set its status in the shop by hand.`,
              );
            }
            const meta = trackingMeta(found);
            if (status === 'completed' && meta.length === 0) return { status };
            const json = { status: 'completed', ...(meta.length > 0 ? { meta_data: meta } : {}) };
            return { status: text((await change('PUT', path, json, signal))['status']) };
          }),
      });
    },

    async cancelLines(lines, order, whole, reason, write) {
      const path = `orders/${order.shopOrderId}`;
      const mark = markOf(
        JSON.stringify([order.id, order.revision, lines.map((line) => [line.orderLine, line.quantity]), reason]),
      );
      const items = lines.map((line) => `${line.quantity} x ${nameOf(line, order)}`).join(', ');
      const message = cancelledNote.replaceAll('{lines}', () => items).replaceAll('{reason}', () => reason);
      const note = await tell(order, mark, message, write);
      if (!whole) return { note: note.id };
      const { status } = await write({
        step: 'cancel',
        summary: { order: order.shopOrderId },
        settle: 'idempotent',
        async send({ signal }) {
          const now = text((await readRecord(path, signal))['status']);
          // A refunded order stays refunded: setting it to cancelled would hide that the money is back.
          if (OVER.includes(now)) return { status: now };
          return { status: text((await change('PUT', path, { status: 'cancelled' }, signal))['status']) };
        },
      });
      return { note: note.id, status };
    },
  };

  /**
   * A note that WooCommerce mails to the customer. Notes take no key, so ours carries a short mark by which it is found again
   * (GET notes gives all of an order, unpaged); of the mark's characters none is changed by WordPress' filters.
   */
  function tell(order: Order, mark: string, message: string, write: Writer): Promise<{ id: string }> {
    const path = `orders/${order.shopOrderId}/notes`;
    return write({
      step: 'note',
      summary: { order: order.shopOrderId, mark },
      settle: 'probe',
      async find() {
        const notes = await readRecords(path, { type: 'customer' });
        const ours = notes.find((note) => text(note['note']).includes(`(Ref. ${mark})`));
        return ours && { id: text(ours['id']) };
      },
      adopt: (number) => Promise.resolve({ id: number }),
      async send({ signal }) {
        const note = `${plain(message)} (Ref. ${mark})`;
        return { id: text((await change('POST', path, { note, customer_note: true }, signal))['id']) };
      },
    });
  }

  /** @returns `undefined` where there is none, or where the shop has no fulfilments at all */
  async function findFulfilment(path: string, shipment: Shipment): Promise<Fulfilled | undefined> {
    let fulfilments: Body[];
    try {
      fulfilments = await readRecords(`${path}/fulfillments`);
    } catch (error) {
      if (!isNoRoute(error)) throw error;
      if (completion === 'fulfillments') throw fulfilmentsOff();
      return undefined;
    }
    const kept = fulfilments.map((each) => ({
      id: text(each['id']),
      fulfilled: text(each['status']) === 'fulfilled',
      meta: metaOf(each),
    }));
    const ours = kept.find(({ meta }) => meta.get('_dropline_shipment') === shipment.id);
    if (ours) return { id: ours.id, note: tellByNote(shipment) };
    const numbers = trackingNumbers(shipment);
    const persons = kept.find(
      ({ fulfilled, meta }) =>
        fulfilled &&
        numbers !== '' &&
        !meta.has('_dropline_shipment') &&
        text(meta.get('_tracking_number')) === numbers,
    );
    return persons && { id: persons.id, note: false };
  }

  function fulfilmentsOff(): ConfigurationMistake {
    return new ConfigurationMistake(
      'FULFILMENTS_OFF',
      `${reference} has no fulfilments (WooCommerce 10.1 or later with the feature turned on). Turn them on, or choose "auto" or "meta" as completion.`,
    );
  }

  async function test(): Promise<ConnectionTest> {
    const index = await http.json({ method: 'GET', url: `${site}/wp-json/`, query: { _fields: 'name,namespaces' } });
    if (!isBody(index) || !strings(index['namespaces']).includes('wc/v3')) {
      return {
        ok: false,
        message: `${site} is a WordPress site without WooCommerce's API v3. Activate WooCommerce there, or correct the base URL.`,
      };
    }
    await readRecords('orders', { per_page: 1 });
    if (!(await mayWrite())) {
      return {
        ok: false,
        message: `The key of ${reference} may only read. Give it the permission Read/Write in WooCommerce > Settings > Advanced > REST API.`,
      };
    }
    const hooks = (await readRecords('webhooks', { per_page: PAGE })).filter((hook) =>
      text(hook['topic']).startsWith('order.'),
    );
    const silent = hooks.find((hook) => text(hook['status']) !== 'active');
    if (silent) {
      const which = `the webhook "${text(silent['name'])}" (${text(silent['topic'])}) is ${text(silent['status'])}`;
      const why = 'WooCommerce disables one after more than 5 failures in a row';
      return {
        ok: false,
        message: `${reference} answers, but ${which}: ${why}. Set it to Active in WooCommerce > Settings > Advanced > Webhooks.`,
      };
    }
    const arrival =
      hooks.length > 0
        ? `order webhooks are active (${hooks.length})`
        : 'no webhook sends orders, so they arrive by polling only';
    return {
      ok: true,
      message: `${text(index['name']) || reference} answers, the key may read and write orders, and ${arrival}.`,
    };
  }

  /** Asks to change order 0, which no shop has: with the right to write it is refused as unknown, without it as forbidden (401). */
  async function mayWrite(): Promise<boolean> {
    try {
      await http.send(request('PUT', 'orders/0', { json: {}, read: true }));
      return true;
    } catch (error) {
      if (error instanceof HttpRefusal) return true;
      if (error instanceof ConfigurationMistake && error.code === 'CREDENTIALS_REFUSED') return false;
      throw error;
    }
  }

  function explain(error: DroplineError): string {
    if (error instanceof HttpRefusal && error.response.status === 404) {
      return `${site} has no WordPress REST API. Check the base URL, and that Settings > Permalinks is not "Plain".`;
    }
    if (error.code === 'CREDENTIALS_REFUSED' && site.startsWith('http:')) {
      return `${error.message} Over plain HTTP the key is signed for ${site}: it must be the Site Address that stands in WordPress > Settings > General.`;
    }
    return error.message;
  }
}

/**
 * Where the next page begins: `<GMT second>` and, while more orders than a page share one second, `+<offset>`. A full page goes on
 * from its last order's second (which is read again) and not by page number: an order that is changed meanwhile moves to the end
 * and would push another one over the edge of a page. Only within one second offsets must do; they overlap by ten.
 */
function nextCursor(after: string, offset: number, last: string, more: boolean): string {
  if (last === '') return after;
  if (!more) return seconds(Date.parse(`${last}Z`) - OVERLAP * 1000);
  const next = seconds(Date.parse(`${last}Z`) - 1000);
  return next > after ? next : `${after}+${offset + PAGE - 10}`;
}

function readCursor(cursor: string): { after: string; offset: number } {
  const [, after, offset = '0'] = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\+(\d{1,9}))?$/.exec(cursor) ?? [];
  if (after === undefined) {
    throw new ConfigurationMistake(
      'CURSOR_UNREADABLE',
      `"${cursor.slice(0, 40)}" is no place to go on polling from. Start the poll anew.`,
    );
  }
  return { after, offset: Number(offset) };
}

/** As WooCommerce writes times: whole seconds without a zone. */
function seconds(milliseconds: number): string {
  return new Date(milliseconds).toISOString().slice(0, 19);
}

/** Writers of one order's metadata, one after the other within this process. */
const turns = new Map<string, Promise<unknown>>();

async function inTurn<Result>(order: string, act: () => Promise<Result>): Promise<Result> {
  const before = turns.get(order) ?? Promise.resolve();
  const mine = before.then(act, act);
  turns.set(order, mine);
  try {
    return await mine;
  } finally {
    if (turns.get(order) === mine) turns.delete(order);
  }
}

function nameOf(line: AffectedLine, order: Order): string {
  return order.lines.find((each) => each.id === line.orderLine)?.name || line.sku;
}

function isNoRoute(error: unknown): boolean {
  if (!(error instanceof HttpRefusal) || error.response.status !== 404) return false;
  try {
    const body = parseJson(error.response.text);
    return isBody(body) && body['code'] === 'rest_no_route';
  } catch {
    // A 404 page of the web server: not WordPress' own answer.
    return false;
  }
}

function readCompletion(value: string): (typeof COMPLETIONS)[number] {
  const chosen = COMPLETIONS.find((each) => each === value);
  if (!chosen) {
    throw new ConfigurationMistake(
      'OPTION_INVALID',
      `"${value}" is no way to complete: choose ${COMPLETIONS.join(', ')}.`,
    );
  }
  return chosen;
}

/** A list, or one line with commas as an edit dialog gives it. */
function readList(value: unknown): string[] | undefined {
  const list = typeof value === 'string' ? value.split(/[\s,]+/).filter((each) => each !== '') : strings(value);
  return list.length > 0 ? list : undefined;
}
