import { ConfigurationMistake, DroplineError, TemporaryFault } from '../../orders/errors.ts';
import type { AdapterSettings, AdapterTools } from '../adapter.ts';
import { HttpRefusal, type HttpRequest, type HttpResponse } from '../http.ts';
import { parseJson } from '../json.ts';
import type { AuthOptions } from './options.ts';
import { getPath } from './read.ts';

/** Puts the credentials on calls, keeps tokens, and keeps both out of every message. */
export interface Authenticator {
  /**
   * Sends with credentials. A refused token (401) is fetched anew: a read is repeated once; a write is reported as a
   * `TemporaryFault` (401 means that nothing was done), so that the ledger repeats it as a new attempt.
   */
  send(request: HttpRequest): Promise<HttpResponse>;
}

/** A token is renewed this long before it runs out: a call under way must not lose it. Milliseconds. */
const MARGIN = 30_000;

/** Where the answer does not say how long a token holds. Seconds. */
const DEFAULT_LIFETIME = 300;

interface Token {
  value: string;
  /** Milliseconds since 1970. */
  fetchedAt: number;
  renewAt: number;
}

export function createAuthenticator(
  settings: AdapterSettings,
  tools: AdapterTools,
  options: AuthOptions = { type: 'none' },
): Authenticator {
  const partner = settings.reference;
  // Shops name their credentials key and secret, the other partners user, password and API key.
  const given = settings.credentials;
  const user = given['user'] || given['key'] || undefined;
  const password = given['password'] || given['secret'] || undefined;
  const apiKey = given['apiKey'] || given['secret'] || undefined;
  const usesToken = options.type === 'oauth2' || options.type === 'login';
  let token: Token | undefined;
  let fetching: Promise<Token> | undefined;

  async function send(request: HttpRequest): Promise<HttpResponse> {
    const isRead = request.read ?? request.method === 'GET';
    const current = usesToken ? await currentToken() : undefined;
    try {
      return await tools.http.send(withCredentials(request, current));
    } catch (thrown) {
      if (!current || !isRefusedToken(thrown)) throw redacted(thrown);
      if (token === current) token = undefined;
      const isNew = tools.now() - current.fetchedAt < 2_000;
      if (isNew) throw redacted(thrown);
      if (!isRead) {
        throw new TemporaryFault(
          'TOKEN_REFUSED',
          `${partner} no longer takes the token (401): nothing was done. Dropline fetches a new one and tries again by itself.`,
        );
      }
    }
    const renewed = await currentToken();
    try {
      return await tools.http.send(withCredentials(request, renewed));
    } catch (thrown) {
      throw redacted(thrown);
    }
  }

  function withCredentials(request: HttpRequest, current: Token | undefined): HttpRequest {
    switch (options.type) {
      case 'none':
        return request;
      case 'header':
        return withHeader(
          request,
          options.header ?? 'authorization',
          (options.prefix ?? '') + needed(apiKey, 'API key'),
        );
      case 'query': {
        const url = new URL(request.url);
        url.searchParams.set(options.parameter ?? 'api_key', needed(apiKey, 'API key'));
        return { ...request, url: url.href };
      }
      case 'basic':
        return withHeader(request, 'authorization', `Basic ${basicValue()}`);
      case 'bearer':
        return withHeader(request, 'authorization', `Bearer ${needed(apiKey, 'API key')}`);
      case 'oauth2':
      case 'login':
        return withHeader(
          request,
          options.header ?? 'authorization',
          (options.prefix ?? 'Bearer ') + (current?.value ?? ''),
        );
    }
  }

  /** Some partners take an API key as user name with an empty password. */
  function basicValue(): string {
    return Buffer.from(`${needed(user ?? apiKey, 'user')}:${password ?? ''}`, 'utf8').toString('base64');
  }

  /** One token request at a time, whoever asks. */
  async function currentToken(): Promise<Token> {
    if (token && tools.now() < token.renewAt) return token;
    fetching ??= fetchToken().finally(() => {
      fetching = undefined;
    });
    token = await fetching;
    return token;
  }

  async function fetchToken(): Promise<Token> {
    const request = options.type === 'oauth2' ? oauthRequest() : loginRequest();
    let response: HttpResponse;
    try {
      response = await tools.http.send(request);
    } catch (thrown) {
      if (thrown instanceof TemporaryFault) {
        throw new TemporaryFault(
          'TOKEN_UNAVAILABLE',
          `${partner} gives no token at present: ${redact(thrown.message)}`,
          thrown.retryAfter === undefined ? {} : { retryAfter: thrown.retryAfter },
        );
      }
      const why = thrown instanceof HttpRefusal ? refusalOf(thrown.response) : '';
      const code =
        thrown instanceof DroplineError && thrown.code === 'PARTNER_REDIRECTS' ? thrown.code : 'CREDENTIALS_REFUSED';
      throw new ConfigurationMistake(
        code,
        `${partner} gives no token for these credentials${why && ` (${why})`}. Check them and auth.tokenUrl in its config node.`,
      );
    }
    const answer = readAnswer(response);
    const value = getPath(answer, options.token ?? 'access_token');
    if (typeof value !== 'string' || value === '') {
      throw new ConfigurationMistake(
        'CREDENTIALS_REFUSED',
        `${partner} answered the token request without a token in "${options.token ?? 'access_token'}". Check auth.tokenUrl and auth.token.`,
      );
    }
    const stated = Number(getPath(answer, 'expires_in') ?? options.tokenLifetime ?? DEFAULT_LIFETIME);
    const lifetime = (Number.isFinite(stated) && stated > 0 ? stated : DEFAULT_LIFETIME) * 1000;
    const now = tools.now();
    // Half the life of a very short token: it must serve at least once.
    return { value, fetchedAt: now, renewAt: now + Math.max(lifetime - MARGIN, lifetime / 2) };
  }

  function oauthRequest(): HttpRequest {
    const id = needed(user, 'user (the client id)');
    const secret = needed(apiKey ?? password, 'API key (the client secret)');
    const isPassword = options.grant === 'password';
    const form = new URLSearchParams({ grant_type: options.grant ?? 'client_credentials', ...options.fields });
    if (options.scope) form.set('scope', options.scope);
    if (isPassword) {
      form.set('username', id);
      form.set('password', needed(password, 'password'));
    } else if (options.clientAuth === 'body') {
      form.set('client_id', id);
      form.set('client_secret', secret);
    }
    // RFC 6749, 2.3.1: id and secret are form-encoded before they are joined.
    const basic = Buffer.from(`${formEncoded(id)}:${formEncoded(secret)}`, 'utf8').toString('base64');
    return {
      method: 'POST',
      url: tokenUrl(),
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        ...(isPassword || options.clientAuth === 'body' ? {} : { authorization: `Basic ${basic}` }),
      },
      text: form.toString(),
      read: true,
    };
  }

  function loginRequest(): HttpRequest {
    return {
      method: 'POST',
      url: tokenUrl(),
      json: {
        ...options.fields,
        [options.userField ?? 'username']: needed(user, 'user'),
        [options.passwordField ?? 'password']: needed(password ?? apiKey, 'password'),
      },
      read: true,
    };
  }

  function tokenUrl(): string {
    const url = options.tokenUrl ?? '';
    return /^https?:\/\//i.test(url) ? url : `${settings.baseUrl.replace(/\/+$/, '')}/${url.replace(/^\/+/, '')}`;
  }

  function needed(secret: string | undefined, name: string): string {
    if (secret) return secret;
    throw new ConfigurationMistake(
      'CREDENTIALS_MISSING',
      `${partner} needs its ${name} for auth.type ${options.type}. Enter it in its config node.`,
    );
  }

  function refusalOf(response: HttpResponse): string {
    const answer = readAnswer(response);
    const why = [getPath(answer, 'error'), getPath(answer, 'error_description') ?? getPath(answer, 'message')];
    return redact(why.filter((part) => typeof part === 'string').join(': ')).slice(0, 200);
  }

  /** The error as it was, without secrets: partners like to repeat what they were sent, and causes hold whole requests. */
  function redacted(thrown: unknown): unknown {
    if (!(thrown instanceof DroplineError)) return thrown;
    thrown.message = redact(thrown.message);
    if (thrown instanceof HttpRefusal) thrown.response.text = redact(thrown.response.text);
    if (thrown.cause !== undefined) {
      const { message, code } = thrown.cause as { message?: unknown; code?: unknown };
      thrown.cause = new Error(redact([code, message].filter((part) => typeof part === 'string').join(': ')));
    }
    return thrown;
  }

  function redact(text: string): string {
    const secrets = [password, apiKey, token?.value, given['webhookSecret'], given['oldWebhookSecret']]
      .filter((secret) => secret !== undefined && secret.length >= 4)
      .flatMap((secret) => [secret as string, encodeURIComponent(secret as string)]);
    if (options.type === 'basic' && (user ?? apiKey)) secrets.push(basicValue());
    return secrets.reduce((safe, secret) => safe.replaceAll(secret, '***'), text);
  }

  return { send };
}

function withHeader(request: HttpRequest, name: string, value: string): HttpRequest {
  return { ...request, headers: { ...request.headers, [name.toLowerCase()]: value } };
}

function isRefusedToken(thrown: unknown): boolean {
  return thrown instanceof DroplineError && thrown.code === 'CREDENTIALS_REFUSED';
}

/** A token answer that is no JSON holds no token; what that means is said by the caller. */
function readAnswer(response: HttpResponse): unknown {
  try {
    return parseJson(response.text);
  } catch {
    return undefined;
  }
}

function formEncoded(text: string): string {
  return new URLSearchParams({ x: text }).toString().slice(2);
}
