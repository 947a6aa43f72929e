import { createHash } from 'node:crypto';
import { BusinessRefusal } from '../../orders/errors.ts';
import { decimal, sum, times } from '../../orders/money.ts';
import type { PurchaseOrder } from '../../orders/purchase-order.ts';
import { isZero, subtract } from '../../orders/quantity.ts';
import { Ajv, type Schema, type ValidateFunction } from 'ajv';
import type { AdapterSettings, AdapterTools } from '../adapter.ts';
import { HttpRefusal, unexpectedAnswer, type HttpRequest } from '../http.ts';
import { parseJson } from '../json.ts';
import { bearer, settleTime, urlOf, webhookSecrets } from '../settings.ts';
import { verifyStandardWebhook } from '../signature.ts';
import type { Json } from '../write.ts';
import type { Supplier, SupplierFactKind } from './port.ts';
import { readDocument } from './rest-json-documents.ts';

/** Callback types of the protocol. A type that is not here is none of our business, as Standard Webhooks recommends. */
const KINDS: Record<string, SupplierFactKind> = {
  'purchase_order.acknowledged': 'acknowledgement',
  'shipment.sent': 'shipment',
  'invoice.issued': 'bill',
  'purchase_order.cancelled': 'cancellation',
};

interface AcceptedOrder {
  id: string;
  number: string;
}

const ajv = new Ajv();
const isAcceptedOrder = ajv.compile<AcceptedOrder>(
  object({ id: { type: 'string', minLength: 1, maxLength: 200 }, number: { type: 'string' } }),
);
const isAsked = ajv.compile<{ status: 'asked' }>(object({ status: { const: 'asked' } }));
const isHealthy = ajv.compile<{ ok: true }>(object({ ok: { const: true } }));
const isRefusal = ajv.compile<{ error: { code: string; message?: string } }>(
  object({
    error: {
      type: 'object',
      required: ['code'],
      properties: { code: { type: 'string' }, message: { type: 'string', nullable: true } },
    },
  }),
);

/** A supplier who speaks Dropline's own protocol: JSON over HTTP out, Standard Webhooks in. */
export function createRestJson(settings: AdapterSettings, tools: AdapterTools): Supplier {
  const partner = settings.reference;

  function request(
    method: 'GET' | 'POST',
    path: string,
    rest: Pick<HttpRequest, 'json' | 'signal' | 'headers'> = {},
  ): HttpRequest {
    return { method, url: urlOf(settings, path), ...rest, headers: { ...bearer(settings), ...rest.headers } };
  }

  /** Calls, and believes the answer only when it has the documented form; another form leaves a write in doubt. */
  async function call<Answer>(asked: HttpRequest, isAnswer: ValidateFunction<Answer>, what: string): Promise<Answer> {
    const answer = await tools.http.json(asked);
    if (!isAnswer(answer)) throw unexpectedAnswer(asked, partner, `no ${what}`);
    return answer;
  }

  async function callAboutOrder(asked: HttpRequest, po: PurchaseOrder): Promise<{ supplierOrderId: string }> {
    const what = `purchase order with an id and our number ${po.id}`;
    const answer = await call(asked, isAcceptedOrder, what);
    if (answer.number !== po.id) throw unexpectedAnswer(asked, partner, `no ${what}`);
    return { supplierOrderId: answer.id };
  }

  return {
    product: 'rest-json',
    settleTime: settleTime(settings),

    async testConnection() {
      try {
        await call(request('GET', '/health'), isHealthy, '{"ok":true}');
        return { ok: true, message: `${partner} answers and accepts the API key.` };
      } catch (error) {
        return { ok: false, message: error instanceof Error ? error.message : String(error) };
      }
    },

    async sendPurchaseOrder(po, write) {
      const document = purchaseOrderDocument(po);
      const path = `/purchase-orders/${encodeURIComponent(po.id)}`;
      const find = async () => {
        try {
          return await callAboutOrder(request('GET', path), po);
        } catch (error) {
          // Any server has a 404 for a wrong path; only this one says that the supplier does not have the order.
          if (refusalCode(error, 404) === 'not_found') return undefined;
          throw error;
        }
      };
      return await write<{ supplierOrderId: string }>({
        step: 'send',
        summary: { number: po.id, lines: document.lines.length, total: `${document.total} ${document.currency}` },
        settle: 'probe',
        find,
        async adopt(number) {
          const found = await find();
          if (found && [found.supplierOrderId, po.id].includes(number)) return found;
          throw new BusinessRefusal(
            found ? 'NUMBER_DIFFERS' : 'NUMBER_UNKNOWN',
            found
              ? `${partner} has ${po.id} as ${found.supplierOrderId}, not as ${number}.`
              : `${partner} does not have the purchase order ${po.id}.`,
          );
        },
        async send({ key, signal }) {
          const headers = { 'idempotency-key': key };
          try {
            return await callAboutOrder(request('POST', '/purchase-orders', { json: document, signal, headers }), po);
          } catch (error) {
            if (refusalCode(error, 409) === 'number_taken') {
              throw new BusinessRefusal(
                'NUMBER_TAKEN',
                `${partner} already has a purchase order ${po.id} with other content. Compare the two with the supplier; if theirs is wrong, have it cancelled there.`,
                { cause: error },
              );
            }
            throw asRejection(error, `the purchase order ${po.id}`);
          }
        },
      });
    },

    async requestCancellation(po, lines, reason, write) {
      return await write<Record<string, Json>>({
        step: 'ask',
        summary: { number: po.id, lines: lines.map(({ line, quantity }) => `${quantity} of line ${line}`) },
        // The protocol counts a cancellation with the same key once.
        settle: 'idempotent',
        // Asked for by telephone: the answer arrives as a callback all the same.
        adopt: (number) => Promise.resolve({ status: 'asked', number }),
        async send({ key, signal }) {
          const json = { reason, lines: lines.map(({ line, quantity }) => ({ line, quantity })) };
          const headers = { 'idempotency-key': key };
          const path = `/purchase-orders/${encodeURIComponent(po.id)}/cancellation`;
          try {
            const answer = await call(request('POST', path, { json, signal, headers }), isAsked, '{"status":"asked"}');
            return { status: answer.status };
          } catch (error) {
            throw asRejection(error, `to cancel the purchase order ${po.id}`);
          }
        },
      });
    },

    receive({ headers, body }) {
      verifyStandardWebhook({ headers, body, secrets: webhookSecrets(settings), now: tools.now() });
      const callback = parseJson(body);
      if (!isRecord(callback) || typeof callback['type'] !== 'string') {
        throw new BusinessRefusal('BODY_UNREADABLE', 'The body is not an object with a "type".');
      }
      const kind = Object.hasOwn(KINDS, callback['type']) ? KINDS[callback['type']] : undefined;
      return kind === undefined ? [] : [{ kind, dedupeKey: `${kind}:${identity(callback, body)}`, body: callback }];
    },

    read: (kind, body) => readDocument(kind, body, partner),
  };

  /** What the supplier says in a refusal that means the content, not the call. */
  function asRejection(error: unknown, what: string): unknown {
    if (refusalCode(error, 409, 422, 404) === undefined) return error;
    const { message } = error as HttpRefusal;
    return new BusinessRefusal(
      'SUPPLIER_REJECTED',
      `${partner} refuses ${what}. ${message} Correct it, or give the lines to another supplier.`,
      { cause: error },
    );
  }
}

/** What is ordered now: lines that were given back before the order went out are left out, and not paid for. */
function purchaseOrderDocument(po: PurchaseOrder) {
  const lines = po.lines
    .map((line) => ({ ...line, quantity: subtract(line.quantity, line.freed) }))
    .filter((line) => !isZero(line.quantity));
  const goods = lines.map((line) => times(line.unitCost, line.quantity));
  const { name, company, street, street2, postalCode, city, region, country, phone } = po.shipTo;
  return {
    number: po.id,
    orderedAt: po.createdAt,
    currency: po.currency,
    shipTo: { name, company, street, street2, postalCode, city, region, country, phone },
    lines: lines.map(({ id, sku, supplierSku, name: title, quantity, unitCost }) => ({
      line: id,
      sku,
      supplierSku,
      name: title,
      quantity,
      unitCost: decimal(unitCost),
    })),
    shipping: decimal(po.shipping),
    total: decimal(sum([...goods, po.shipping], po.currency)),
  };
}

/** The supplier's number of the document; without one, the content: it is kept, and `read` says what is missing. */
function identity(callback: Record<string, unknown>, raw: Buffer): string {
  const number = isRecord(callback['data']) ? callback['data']['number'] : undefined;
  const isNumber = typeof number === 'string' && number !== '' && number.length <= 100;
  return isNumber ? number : `sha256-${createHash('sha256').update(raw).digest('hex')}`;
}

/** The protocol's own error code in a refusal with one of these statuses. */
function refusalCode(error: unknown, ...statuses: number[]): string | undefined {
  if (!(error instanceof HttpRefusal) || !statuses.includes(error.response.status)) return undefined;
  try {
    const body = parseJson(error.response.text);
    return isRefusal(body) ? body.error.code : undefined;
  } catch {
    // An error page of something in between, which has no code of the protocol.
    return undefined;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Every property is required; further ones are let pass, because the supplier's answers may grow. */
function object(properties: Record<string, Schema>): Schema {
  return { type: 'object', required: Object.keys(properties), properties };
}
