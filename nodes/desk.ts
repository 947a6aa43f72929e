import { fileURLToPath } from 'node:url';
import type { NodeAPI } from 'node-red';
import { usedLedgers } from './used-ledgers.ts';

/** Where the build has put the page, seen from the built runtime. */
const FOLDER = fileURLToPath(new URL('../desk/', import.meta.url));
const FILE = /^(?:locales\/)?[\w-]+\.(?:html|css|js|json|svg)$/;

/**
 * The page works with the login of whoever reads it. So it takes nothing but its own files, makes no markup of text, sends nothing elsewhere,
 * and lets nobody put it into a frame, where a click could be stolen.
 */
const HEADERS = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cache-Control': 'no-cache',
};

interface Request {
  method: string;
  path: string;
  originalUrl: string;
}

interface Response {
  set(headers: Record<string, string>): Response;
  redirect(status: number, path: string): void;
  sendFile(path: string, options: object, done: (error?: Error) => void): void;
  sendStatus(status: number): void;
  json(body: unknown): void;
  headersSent: boolean;
}

interface Admin {
  use(path: string, handler: (request: Request, response: Response, next: () => void) => void): void;
  get(path: string, ...handlers: unknown[]): void;
}

/** The desk: `<adminRoot>/dropship/desk/`, static and without data, and which ledgers there are to look into. */
export function installDesk(RED: NodeAPI): void {
  const admin = RED.httpAdmin as unknown as Admin;
  admin.use('/dropship/desk', (request, response, next) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') return next();
    const [address = ''] = request.originalUrl.split('?');
    // Its files and the admin API are found from the page's own address, which has to end in a slash for that.
    if (request.path === '/' && !address.endsWith('/')) return response.redirect(302, 'desk/');
    const file = request.path === '/' ? 'index.html' : request.path.slice(1);
    if (!FILE.test(file)) return response.sendStatus(404);
    response.set(HEADERS).sendFile(file, { root: FOLDER, cacheControl: false }, (error) => {
      if (error && !response.headersSent) response.sendStatus(404);
    });
  });
  admin.get('/dropship/ledgers', RED.auth.needsPermission('dropship.read'), (_request: Request, response: Response) =>
    response.json(usedLedgers(RED)),
  );
}
