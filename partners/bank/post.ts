import { Ajv } from 'ajv';
import { BusinessRefusal, InDoubt } from '../../orders/errors.ts';
import type { AdapterSettings, AdapterTools } from '../adapter.ts';
import { HttpRefusal, unexpectedAnswer, type HttpRequest } from '../http.ts';
import { parseJson } from '../json.ts';
import { bearer, urlOf } from '../settings.ts';
import type { Writer } from '../write.ts';

/** Payment files by HTTP: `POST /payments` with the XML, `GET /payments/<MsgId>` to see what the bank has. */

const ajv = new Ajv();
const isTaken = ajv.compile<{ messageId: string; status: string }>({
  type: 'object',
  required: ['messageId', 'status'],
  properties: { messageId: { type: 'string' }, status: { type: 'string', minLength: 1, maxLength: 35 } },
});
const isHealthy = ajv.compile<{ ok: true }>({ type: 'object', required: ['ok'], properties: { ok: { const: true } } });
const isNotFound = ajv.compile({
  type: 'object',
  required: ['error'],
  properties: { error: { type: 'object', required: ['code'], properties: { code: { const: 'not_found' } } } },
});

type Taken = { messageId: string; status: string };

/** Money: what the bank does not have after a lost answer is left to a person, never sent again. */
export async function postFile(
  settings: AdapterSettings,
  tools: AdapterTools,
  msgId: string,
  content: () => string,
  summary: Record<string, string | number>,
  write: Writer,
): Promise<Taken> {
  async function call(request: HttpRequest): Promise<Taken> {
    const answer = await tools.http.json({ ...request, headers: { ...bearer(settings), ...request.headers } });
    if (!isTaken(answer) || answer.messageId !== msgId) {
      throw unexpectedAnswer(request, settings.reference, `no payment file ${msgId} with its status`);
    }
    return { messageId: answer.messageId, status: answer.status };
  }

  async function find(): Promise<Taken | undefined> {
    try {
      return await call({ method: 'GET', url: urlOf(settings, `/payments/${encodeURIComponent(msgId)}`) });
    } catch (error) {
      if (error instanceof HttpRefusal && saysNotFound(error)) return undefined;
      throw error;
    }
  }

  /** The MsgId is the bank's guard against duplicates: an earlier attempt of ours has arrived. */
  async function adopt(): Promise<Taken> {
    let cause: unknown;
    try {
      const earlier = await find();
      if (earlier) return earlier;
    } catch (error) {
      cause = error;
    }
    const message = `${settings.reference} has had the payment file ${msgId} before, but does not show it now.`;
    throw new InDoubt('ANSWER_UNEXPECTED', message, { cause });
  }

  return await write<Taken>({
    step: 'post',
    summary,
    settle: 'probe',
    whenMissing: 'ask',
    find,
    async adopt(number) {
      const found = await find();
      if (found) return found;
      throw new BusinessRefusal(
        'NUMBER_UNKNOWN',
        `${settings.reference} does not show the payment file ${msgId}, so "${number}" cannot stand for it.`,
      );
    },
    async send({ signal }) {
      const text = content();
      const headers = { 'content-type': 'application/xml; charset=utf-8' };
      try {
        return await call({ method: 'POST', url: urlOf(settings, '/payments'), text, headers, signal });
      } catch (error) {
        if (!(error instanceof HttpRefusal)) throw error;
        if (error.response.status === 409) return await adopt();
        throw new BusinessRefusal(
          'BANK_REFUSED',
          `${settings.reference} refuses the payment file ${msgId}: nothing of it is paid. ${error.message}`,
          { cause: error },
        );
      }
    },
  });
}

/** Whether the bank answers and takes the key; throws what is wrong otherwise. */
export async function tryBank(settings: AdapterSettings, tools: AdapterTools): Promise<void> {
  const request: HttpRequest = { method: 'GET', url: urlOf(settings, '/health'), headers: bearer(settings) };
  const answer = await tools.http.json(request);
  if (!isHealthy(answer)) throw unexpectedAnswer(request, settings.reference, 'no {"ok":true}');
}

/** Any server has a 404 for a wrong path; only this one says that the bank does not have the file. */
function saysNotFound(error: HttpRefusal): boolean {
  if (error.response.status !== 404) return false;
  try {
    return isNotFound(parseJson(error.response.text));
  } catch {
    // An error page of something in between.
    return false;
  }
}
