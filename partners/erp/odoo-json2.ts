import { BusinessRefusal, ConfigurationMistake, DroplineError } from '../../orders/errors.ts';
import type { AdapterSettings, AdapterTools } from '../adapter.ts';
import { HttpRefusal, unexpectedAnswer, type HttpRequest } from '../http.ts';
import { parseJson } from '../json.ts';

/** A public method of one of Odoo's models. What carries the call (JSON-2 since 19, JSON-RPC before) does not show. */
export interface OdooTransport {
  /** `ids` and `context` among the arguments as Odoo names them; `changesNothing` for reads and for wizards that only prepare. */
  call(model: string, method: string, args: Record<string, unknown>, how?: CallOptions): Promise<unknown>;
  /** The error for an answer that is not what Odoo documents: in doubt after a write, temporary after a read. */
  unexpected(model: string, method: string, what: string): DroplineError;
}

export interface CallOptions {
  signal?: AbortSignal | undefined;
  changesNothing?: boolean;
}

const READS = new Set(['search_read', 'read', 'search', 'search_count', 'fields_get']);

/**
 * JSON-2, new in Odoo 19: `POST /json/2/<model>/<method>` with named arguments and an API key as bearer token. One SQL
 * transaction per call, so an error answer means that nothing of it was kept.
 * Source: odoo.com/documentation/19.0/developer/reference/external_api.html
 * @throws BusinessRefusal with Odoo's own sentence; ConfigurationMistake for keys, rights, apps and versions
 */
export function createJson2(settings: AdapterSettings, tools: AdapterTools): OdooTransport {
  const { apiKey } = settings.credentials;
  const { database } = settings.options;
  const base = settings.baseUrl.replace(/\/+$/, '');

  function requestFor(model: string, method: string, changesNothing = READS.has(method)): HttpRequest {
    return { method: 'POST', url: `${base}/json/2/${model}/${method}`, read: changesNothing };
  }

  return {
    async call(model, method, args, how = {}) {
      if (!apiKey) {
        throw new ConfigurationMistake(
          'CREDENTIALS_MISSING',
          `${settings.reference} has no API key. Make one in Odoo (the bot user's preferences, Account Security) and enter it in the config node.`,
        );
      }
      const request = requestFor(model, method, how.changesNothing);
      try {
        const answer = await tools.http.json({
          ...request,
          headers: {
            authorization: `bearer ${apiKey}`,
            ...(typeof database === 'string' && database ? { 'x-odoo-database': database } : {}),
          },
          json: args,
          ...(how.signal ? { signal: how.signal } : {}),
        });
        // Odoo answers every call with a JSON value; an empty body comes from something in front of it.
        if (answer === undefined) throw unexpectedAnswer(request, settings.reference, 'an empty answer');
        return answer;
      } catch (thrown) {
        throw explain(thrown, settings.reference, model, method);
      }
    },
    unexpected: (model, method, what) =>
      unexpectedAnswer(requestFor(model, method), settings.reference, `${model}.${method} ${what}`),
  };
}

/** Odoo's error body is `{name, message, arguments, context, debug}`; `name` is the Python class of the exception. */
function explain(thrown: unknown, partner: string, model: string, method: string): unknown {
  if (thrown instanceof ConfigurationMistake && thrown.code === 'CREDENTIALS_REFUSED') {
    return new ConfigurationMistake(
      'CREDENTIALS_REFUSED',
      `${partner} (Odoo) refuses the API key. It may have expired (keys made in Odoo live for at most three months) or belong to another database: make a new one and enter it in the config node.`,
      { cause: thrown },
    );
  }
  if (thrown instanceof ConfigurationMistake && thrown.code === 'RIGHTS_MISSING') {
    return new ConfigurationMistake(
      'RIGHTS_MISSING',
      `${partner} (Odoo) denies its bot user ${model}.${method}. Give that user the Sales, Purchase, Inventory and Invoicing rights.`,
      { cause: thrown },
    );
  }
  if (!(thrown instanceof HttpRefusal)) return thrown;
  const { status } = thrown.response;
  const { name, message } = errorBody(thrown.response.text);
  const exception = name.split('.').at(-1) ?? '';
  if (exception === 'MissingError') {
    return new BusinessRefusal('ERP_RECORD_MISSING', `${partner} (Odoo) no longer has the record: ${message}`, {
      cause: thrown,
    });
  }
  if (status === 404) {
    return name
      ? new ConfigurationMistake(
          'ERP_PART_MISSING',
          `${partner} (Odoo) has no ${model}.${method} (${message}). Install the app that brings it, or choose the right version.`,
          { cause: thrown },
        )
      : new ConfigurationMistake(
          'ERP_NOT_FOUND',
          `${partner} has no JSON-2 interface at this address (404). It needs Odoo 19 or newer; check the base URL and the database.`,
          { cause: thrown },
        );
  }
  if (
    status === 422 &&
    (exception === 'TypeError' || exception === 'ValueError' || exception === 'UnprocessableEntity')
  ) {
    return new ConfigurationMistake(
      'ERP_CALL_INVALID',
      `${partner} (Odoo) does not understand ${model}.${method}: ${message}. Check its version and that the apps Sales, Purchase, Inventory and Invoicing are installed.`,
      { cause: thrown },
    );
  }
  return new BusinessRefusal(
    'ERP_REFUSED',
    `${partner} (Odoo) refuses ${model}.${method}: ${message || thrown.message}`,
    {
      cause: thrown,
    },
  );
}

function errorBody(text: string): { name: string; message: string } {
  let body: unknown;
  try {
    body = parseJson(text);
  } catch {
    return { name: '', message: '' };
  }
  const { name, message } = (body ?? {}) as Record<string, unknown>;
  return {
    name: typeof name === 'string' ? name : '',
    message: typeof message === 'string' ? message.slice(0, 500) : '',
  };
}
