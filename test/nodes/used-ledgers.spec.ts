import { EventEmitter } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NodeAPI } from 'node-red';
import should from 'should';
import type { Ledger } from '../../ledger/ledger.ts';
import { createRoutes, type AdminRequest } from '../../nodes/admin-routes.ts';
import { installDesk } from '../../nodes/desk.ts';
import { closeLedgers } from '../../nodes/ledgers.ts';

type Handler = (request: AdminRequest, response: Answer) => void;

interface Answer {
  status(code: number): Answer;
  json(body: unknown): void;
}

interface Config {
  id: string;
  type: string;
  name?: string;
  file?: string;
  ledger?: string;
  d?: boolean;
  z?: string;
  disabled?: boolean;
}

describe('which ledger somebody at the admin routes means', () => {
  let userDir: string;
  beforeEach(() => {
    userDir = mkdtempSync(join(tmpdir(), 'dropline-used-'));
  });
  afterEach(async () => {
    await closeLedgers();
    rmSync(userDir, { recursive: true, force: true });
  });

  /** A Node-RED with these config nodes, as far as the admin routes see it. Each ledger is known by its name. */
  function redWith(nodes: Config[], stands: (id: string) => boolean = () => true) {
    const handlers = new Map<string, Handler>();
    const add = (method: string) => (path: string, _permission: unknown, handler: Handler) =>
      void handlers.set(`${method} ${path}`, handler);
    const httpAdmin = { get: add('GET'), post: add('POST'), use: () => undefined };
    const RED = {
      settings: { userDir, dropship: { development: true } },
      events: new EventEmitter(),
      log: { info() {}, warn() {}, error() {}, debug() {} },
      auth: { needsPermission: (permission: string) => permission },
      httpAdmin,
      nodes: {
        eachNode: (look: (config: object) => void) => nodes.forEach(look),
        getNode(id: string) {
          const node = nodes.find((each) => each.id === id && stands(id));
          return node?.type === 'dropship-ledger'
            ? { file: node.file ?? `${id}.sqlite`, ledger: () => Promise.resolve({ core: id } as unknown as Ledger) }
            : null;
        },
      },
    } as unknown as NodeAPI;
    installDesk(RED);
    const routes = createRoutes(RED, httpAdmin);
    const answer = async (request: AdminRequest) => ({ ledger: (await routes.ledger(request)).core });
    routes.read('look', answer);
    routes.change('do', 'dropship.exception.settle', answer);
    return (path: string, query: Record<string, string> = {}) =>
      new Promise<{ status: number; body: any }>((resolve) => {
        let status = 200;
        const response: Answer = {
          status(code) {
            status = code;
            return this;
          },
          json: (body) => resolve({ status, body }),
        };
        handlers.get(path)!({ params: {}, query, body: {} }, response);
      });
  }

  const one = { id: 'l1', type: 'dropship-ledger', name: 'Wine' };
  const two = { id: 'l2', type: 'dropship-ledger', name: 'Tools' };
  const shop = (ledger: string) => ({ id: `shop-${ledger}`, type: 'ecommerce-platform', ledger });

  it('is the only one that is deployed, wherever it lies, and no other file is made', async () => {
    const call = redWith([one, shop('l1')]);
    for (const path of ['GET /dropship/look', 'POST /dropship/do'])
      should(await call(path)).deepEqual({ status: 200, body: { ledger: 'l1' } });
    should(existsSync(join(userDir, 'dropship'))).equal(false);
    should(readdirSync(userDir)).deepEqual([]);
  });

  it('is the default one where there is none, or where partners name none', async () => {
    for (const nodes of [[], [shop('')]]) {
      const call = redWith(nodes);
      should((await call('GET /dropship/ledgers')).body).deepEqual([{ id: 'default', name: '' }]);
      should((await call('GET /dropship/look')).status).equal(200);
      should(existsSync(join(userDir, 'dropship', 'ledger.sqlite'))).equal(true);
    }
  });

  it('must be said where there are several, and the answer tells which there are', async () => {
    const call = redWith([one, two, shop('l1'), shop('l2')]);
    should((await call('GET /dropship/ledgers')).body).deepEqual([
      { id: 'l1', name: 'Wine' },
      { id: 'l2', name: 'Tools' },
    ]);
    for (const path of ['GET /dropship/look', 'POST /dropship/do']) {
      const { status, body } = await call(path);
      should([status, body.error.code]).deepEqual([400, 'LEDGER_AMBIGUOUS']);
      should(body.error.message).match(/\?ledger=l1 \(Wine\), \?ledger=l2 \(Tools\)/);
      should((await call(path, { ledger: 'l2' })).body).deepEqual({ ledger: 'l2' });
    }
    should(readdirSync(userDir)).deepEqual([]);
  });

  it('may be the default one beside others, by its own name', async () => {
    const call = redWith([one, shop('l1'), shop('')]);
    should((await call('GET /dropship/ledgers')).body).deepEqual([
      { id: 'l1', name: 'Wine' },
      { id: 'default', name: '' },
    ]);
    should((await call('GET /dropship/look')).body.error.code).equal('LEDGER_AMBIGUOUS');
    should((await call('GET /dropship/look', { ledger: 'default' })).status).equal(200);
  });

  it('counts two config nodes of the same file once, and disabled ones not at all', async () => {
    const off = { id: 'tab', type: 'tab', disabled: true };
    const nodes = [
      { ...one, file: 'a' },
      { ...two, file: 'a' },
      { ...two, id: 'l3', d: true },
    ];
    const call = redWith([...nodes, { ...two, id: 'l4', z: 'tab' }, off], (id) => id !== 'l3' && id !== 'l4');
    should((await call('POST /dropship/do')).body).deepEqual({ ledger: 'l1' });
  });

  it('is waited for while a deploy has been answered and its nodes do not stand yet', async () => {
    const later = Date.now() + 200;
    const call = redWith([one, shop('l1')], () => Date.now() > later);
    should((await call('GET /dropship/look')).body).deepEqual({ ledger: 'l1' });
  });

  it('is not another one when the named one is gone', async () => {
    const call = redWith([one]);
    should((await call('GET /dropship/look', { ledger: 'gone' })).body.error.code).equal('LEDGER_MISSING');
  });
});
