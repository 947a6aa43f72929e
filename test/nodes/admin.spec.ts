import { createRequire } from 'node:module';
import type { NodeAPI } from 'node-red';
import should from 'should';
import { installAdmin } from '../../nodes/admin.ts';
import type { PaymentRun } from '../../orders/payment.ts';
import type { Exception } from '../../ledger/exceptions.ts';
import type { OrderView } from '../../ledger/views.ts';
import { suppliers } from '../../sandbox/catalogue.ts';
import { tokenFor } from '../../scripts/node-red.ts';
import { until } from './harness.ts';
import { startReal, type Real } from './real.ts';

const { hashSync } = createRequire(import.meta.url)('bcryptjs') as { hashSync(text: string, rounds: number): string };

type Handler = (request: unknown, response: unknown) => void;

interface Route {
  method: 'GET' | 'POST';
  path: string;
  permission: string;
  handler: Handler;
}

/** The routes as the code registers them: what is added there is tested here. */
function routesOf(settings: Record<string, unknown> = {}): Route[] {
  const routes: Route[] = [];
  const add = (method: Route['method']) => (path: string, permission: string, handler: Handler) => {
    routes.push({ method, path, permission, handler });
  };
  // What is mounted with `use` is the desk's page, which holds no data: test/desk/desk.spec.ts looks at it.
  const httpAdmin = { get: add('GET'), post: add('POST'), use: () => undefined };
  installAdmin({
    httpAdmin,
    settings,
    auth: { needsPermission: (permission: string) => permission },
  } as unknown as NodeAPI);
  return routes;
}

const ROUTES = routesOf();

/** What changes something. A flow's author may try a routing without it. */
const changes = ({ permission }: Route) => permission !== 'dropship.read' && permission !== 'flows.write';

/** With every parameter filled in. */
const urlOf = ({ path }: Route) => path.replaceAll(/:\w+/g, '1');

const PEOPLE = {
  alice: '*',
  bob: '*',
  carol: '*',
  viewer: ['dropship.read'],
  designer: ['flows.read', 'flows.write'],
  outsider: ['nodes.read'],
  clerk: ['dropship.read', 'dropship.exception.settle'],
};

const adminAuth = `adminAuth: ${JSON.stringify({
  type: 'credentials',
  users: Object.entries(PEOPLE).map(([username, permissions]) => ({
    username,
    password: hashSync(`${username}-password`, 4),
    permissions,
  })),
})},`;

async function placed(real: Real, lines: { sku: string; quantity: number }[]): Promise<{ id: number }> {
  const answer = await fetch(`${real.sandbox.urls.shop}/__sandbox/shop/orders`, {
    method: 'POST',
    body: JSON.stringify({ country: 'DE', lines }),
  });
  return (await answer.json()) as { id: number };
}

describe('the admin routes with an admin login', () => {
  let real: Real;
  const tokens = new Map<string, string>();

  before(async () => {
    real = await startReal({
      settings: `${adminAuth} dropship: { beneficiaryWait: 0 },`,
      login: { username: 'alice', password: 'alice-password' },
      changes: { 'dl-in-receive': { pollMinutes: 0 }, 'dl-pay-run': { approvals: 2 } },
    });
    for (const [username, permissions] of Object.entries(PEOPLE)) {
      const scope = [permissions].flat().join(' ');
      tokens.set(username, await tokenFor(real.red.url, { username, password: `${username}-password` }, scope));
    }
  });
  after(() => real.close());

  async function call<Body>(who: string | undefined, method: string, path: string, body?: unknown) {
    const response = await fetch(`${real.red.url}${path}`, {
      method,
      headers: {
        'content-type': 'application/json',
        ...(who === undefined ? {} : { authorization: `Bearer ${tokens.get(who)}` }),
      },
      ...(method === 'POST' ? { body: JSON.stringify(body ?? {}) } : {}),
    });
    const text = await response.text();
    return {
      status: response.status,
      text,
      body: (text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : undefined) as Body,
    };
  }

  it('are the ones that this test knows of, each with a permission of its own', () => {
    should(ROUTES.length).be.aboveOrEqual(15);
    for (const route of ROUTES) should(route.permission).match(/^(dropship\.[a-z.]+|flows\.write)$/, route.path);
    for (const { permission, path } of ROUTES.filter(({ method }) => method === 'GET'))
      should(permission).equal('dropship.read', path);
    // What moves money must not be had by a permission that ends in "read" or "write".
    for (const { permission } of ROUTES.filter(({ path }) => /approve|refuse|beneficiary$/.test(path))) {
      should(permission).match(/^dropship\.(read|.*\.(approve|propose))$/);
    }
  });

  for (const route of ROUTES) {
    it(`${route.method} ${route.path} is closed to strangers and to users without ${route.permission}`, async () => {
      const url = urlOf(route);
      should((await call(undefined, route.method, url)).status).equal(401);
      should((await call('outsider', route.method, url)).status).equal(401);
      if (route.permission !== 'flows.write') should((await call('designer', route.method, url)).status).equal(401);
      const viewer = (await call('viewer', route.method, url)).status;
      if (route.permission === 'dropship.read') should(viewer).not.equal(401);
      else should(viewer).equal(401);
      // What nobody could mean, so that the other tests find the ledger as it was.
      const { status, text, body } = await call<{ file?: string }>('carol', route.method, url, { at: 'never' });
      should([401, 403, 500]).not.containEql(status);
      // Who may make a backup is told where it is, and nobody else is.
      should(text.replace(JSON.stringify(body?.file), '')).not.match(
        /node_modules|\/(home|root|tmp|usr)\/|\bat .*:\d+/,
      );
    });
  }

  it('try a routing with the settings of a dialog that was never deployed, and leave no trace of it', async () => {
    const offer = { supplier: 'prompt', sku: 'CORKSCREW', unitCost: '8.00', currency: 'EUR', stock: '2' };
    const dialog = {
      ledger: 'dl-ledger',
      strategy: 'cheapest',
      source: 'table',
      offers: [offer, { ...offer, supplier: 'parcels', unitCost: '9.00', stock: '4' }],
      rules: [],
      wholeUnits: true,
      country: 'DE',
      lines: [{ sku: 'CORKSCREW', quantity: '5' }],
    };
    const path = '/dropship/route/dry-run';
    type Answer = { sentences: string[]; total: string; error?: { code: string } };
    for (let times = 0; times < 2; times += 1) {
      const { status, body } = await call<Answer>('designer', 'POST', path, dialog);
      should(status).equal(200);
      should(body.sentences[0]).match(
        /^CORKSCREW: Prompt Trading: 2 of 5 at 8\.00; Parcels & Partner: 3 of 5 at 9\.00/,
      );
      should(body.total).equal('54.80 EUR');
    }
    const nowhere = await call<Answer>('designer', 'POST', path, { ...dialog, country: 'XX' });
    should([nowhere.status, nowhere.body.error?.code]).deepEqual([409, 'ADDRESS_WITHOUT_COUNTRY']);
    const fraction = await call<Answer>('designer', 'POST', path, {
      ...dialog,
      lines: [{ sku: 'CORKSCREW', quantity: '-1' }],
    });
    should([fraction.status, fraction.body.error?.code]).deepEqual([409, 'QUANTITY_INVALID']);
    should((await call<unknown[]>('viewer', 'GET', '/dropship/orders')).body).deepEqual([]);
  });

  it("replace a supplier's offers in the ledger as a whole, and route from them", async () => {
    const path = '/dropship/suppliers/prompt/offers';
    const dialog = {
      ledger: 'dl-ledger',
      source: 'ledger',
      rules: [],
      country: 'DE',
      lines: [{ sku: 'LEDGER-1', quantity: '1' }],
    };
    const routed = async () =>
      (await call<{ sentences: string[] }>('designer', 'POST', '/dropship/route/dry-run', dialog)).body.sentences[0];
    const put = (offers: unknown) =>
      call<{ offers: number; error: { code: string } }>('alice', 'POST', path, { offers });
    should((await put([{ sku: 'LEDGER-1', unitCost: '3.00', currency: 'EUR', stock: 5 }])).body.offers).equal(1);
    should(await routed()).match(/Prompt Trading: 1 of 1 at 3\.00/);
    for (const wrong of [undefined, [{ unitCost: '1.00' }], [{ sku: 'A', unitCost: 'dear' }], ['A'], [null]]) {
      const answer = await put(wrong);
      should([answer.status, answer.body.error.code]).deepEqual([400, 'OFFERS_INVALID']);
    }
    should(await routed()).match(/at 3\.00/, 'a wrong list changes nothing');
    should((await put([])).body.offers).equal(0);
    should(await routed()).match(/Nobody can deliver/);
  });

  it("let no one person change a supplier's account, and nobody enter a wrong one", async () => {
    const { company, iban, bic, address } = suppliers.prompt;
    const { street, postalCode, city, country } = address;
    const account = { name: company, iban, bic, street, postalCode, city, country };
    const path = '/dropship/suppliers/prompt/beneficiary';
    for (const wrong of [{ iban: 'DE89370400440532013001' }, { iban: '' }, { street: '' }, { name: 7 }]) {
      const answer = await call<{ error: { code: string } }>('alice', 'POST', path, { ...account, ...wrong });
      should([answer.status, answer.body.error.code]).deepEqual([400, 'BENEFICIARY_INVALID']);
    }
    const proposed = await call<{ version: number; proposedBy: string }>('alice', 'POST', path, account);
    should([proposed.status, proposed.body.proposedBy]).deepEqual([200, 'alice']);
    const approve = `${path}/${proposed.body.version}/approve`;
    const own = await call<{ error: { code: string } }>('alice', 'POST', approve);
    should([own.status, own.body.error.code]).deepEqual([409, 'APPROVER_IS_CREATOR']);
    const second = await call<{ state: string; approvedBy: string }>('bob', 'POST', approve);
    should([second.status, second.body.state, second.body.approvedBy]).deepEqual([200, 'approved', 'bob']);
    should((await call('carol', 'POST', approve)).status).equal(404, 'it is approved already');
    should((await call('carol', 'POST', `${path}/99/approve`)).status).equal(404);
  });

  it('pay a run only after two people have approved exactly what they saw', async () => {
    const { id } = await placed(real, [{ sku: 'WINE-PINOT', quantity: 1 }]);
    const order = () => call<OrderView>('viewer', 'GET', `/dropship/orders/shop-${id}`);
    await until('the bill in the ERP', async () => (await order()).body?.bills?.[0]?.state === 'entered');
    should((await call('alice', 'POST', '/inject/dl-pay-ask')).status).equal(200);
    const runs = () => call<PaymentRun[]>('viewer', 'GET', '/dropship/runs');
    const run = await until('the run', async () => (await runs()).body[0]);
    const known = async () => (await call<PaymentRun>('viewer', 'GET', `/dropship/runs/${run.id}`)).body;
    const approve = (who: string, contentHash = run.contentHash, of = run.id) =>
      call<{ error?: { code: string } }>(who, 'POST', `/dropship/runs/${of}/approve`, { contentHash });
    const answered = async (answer: ReturnType<typeof approve>) => [
      (await answer).status,
      (await answer).body.error?.code,
    ];

    should(await answered(approve('alice', 'another hash'))).deepEqual([409, 'RUN_CHANGED']);
    should(await answered(approve('alice', run.contentHash, 'run-nobody'))).deepEqual([404, 'RUN_UNKNOWN']);
    should(await answered(approve('alice'))).deepEqual([200, undefined]);
    await until('the first approval', async () => (await known()).approvals.length === 1);
    should(await answered(approve('alice'))).deepEqual([409, 'APPROVER_IS_CREATOR']);
    should((await known()).state).equal('waiting-for-approval');
    should(await answered(approve('bob'))).deepEqual([200, undefined]);
    await until('the payment', async () => (await order()).body.progress.paid.reached);
    should((await known()).approvals.map(({ by }) => by)).deepEqual(['alice', 'bob']);
    should(await answered(approve('carol'))).deepEqual([409, 'RUN_NOT_WAITING']);
    should(real.sandbox.world.effects.filter(({ operation }) => operation === 'payment.execute')).have.length(1);
  });

  it('find orders by the number of the shop, of the order, of a purchase order, in any case, and no more than asked for', async () => {
    const { id } = await placed(real, [{ sku: 'WINE-RIESLING', quantity: 1 }]);
    await until('the purchase order', async () =>
      (await call<OrderView>('viewer', 'GET', `/dropship/orders/shop-${id}`)).body?.purchaseOrders?.some(
        (po) => po.erp,
      ),
    );
    const search = async (text: string, more = '') =>
      (
        await call<{ id: string }[]>('viewer', 'GET', `/dropship/orders?search=${encodeURIComponent(text)}${more}`)
      ).body.map((row) => row.id);
    for (const text of [`shop-${id}`, `SHOP-${id}`, String(id), `op-${id}-1`, ` shop-${id}-1 `])
      should((await search(text)).includes(`shop-${id}`)).be.true(text);
    for (const text of ['%', '_', '!', "' OR 1=1 --", '"', '\\', 'nobody'.repeat(100)])
      should(await search(text)).deepEqual([], text);
    should(await search('', '&limit=0')).containEql(`shop-${id}`);
    // A parameter that comes twice or as an object is none.
    should((await call('viewer', 'GET', '/dropship/orders?search=a&search=b')).status).equal(200);
    should((await call('viewer', 'GET', '/dropship/exceptions?order[x]=1&state[]=open')).status).equal(200);
  });

  it('say which actions are safe for an exception, and carry one out in the name of who presses it', async () => {
    interface Row extends Exception {
      history: { what: string; detail: Record<string, unknown> }[];
      effect: { key: string; state: string } | null;
      error?: { code: string; message: string };
    }
    const answered = ({ status, body }: { status: number; body: Row }) => [status, body.error?.code];
    real.sandbox.world.faults.push({ partner: 'prompt', operation: 'order.accept', kind: 'refuse', times: 2 });
    const { id } = await placed(real, [{ sku: 'WINE-RIESLING', quantity: 1 }]);
    const path = `/dropship/exceptions?order=shop-${id}`;
    const open = async () => (await call<Row[]>('viewer', 'GET', path)).body;
    const [raised] = await until('the exception', async () => (await open()).length > 0 && (await open()));
    should(raised!.code).equal('SUPPLIER_REJECTED');
    should(raised!.actions.map(({ name }) => name)).deepEqual(['retry', 'done', 'cancel', 'settle']);
    const one = `/dropship/exceptions/${raised!.id}`;
    const shown = (await call<Row>('viewer', 'GET', one)).body;
    should(shown.effect).match({ key: raised!.effectKey, state: 'refused' });
    should(shown.history.map(({ what }) => what)).containEql('exception');
    should((await call<Row>('viewer', 'GET', '/dropship/exceptions/999999')).status).equal(404);

    const press = (who: string, action: string, body: unknown = {}) => call<Row>(who, 'POST', `${one}/${action}`, body);
    for (const action of ['done', 'cancel']) should((await press('clerk', action)).status).equal(401, action);
    const wrong: [string, unknown][] = [
      ['retry', { certain: 'yes' }],
      ['done', {}],
      ['done', { number: 4711 }],
      ['done', { number: 'x'.repeat(101) }],
      ['done', { number: 'A\nB' }],
      ['reroute', { include: 1 }],
      ['cancel', {}],
      ['cancel', { reason: '   ' }],
      ['settle', { how: ['a'] }],
    ];
    for (const [action, body] of wrong)
      should(answered(await press('carol', action, body))).deepEqual([400, 'BODY_INVALID'], action);
    const unsafe = await press('carol', 'reroute');
    should([answered(unsafe), unsafe.body.error?.message]).deepEqual([
      [409, 'ACTION_NOT_SAFE'],
      'Only lines that nobody delivers can be routed again.',
    ]);
    const [clerk, carol] = await Promise.all([
      press('clerk', 'retry'),
      press('carol', 'settle', { how: 'By telephone.' }),
    ]);
    should([clerk.status, carol.status].sort()).deepEqual([200, 409]);
    const [winner, by] = clerk.status === 200 ? [clerk, 'clerk'] : [carol, 'carol'];
    should(winner.body).match({ state: 'settled', settledBy: by, actions: [] });
    const entries = (await call<OrderView>('viewer', 'GET', `/dropship/orders/shop-${id}`)).body.history;
    should(entries.filter(({ what, detail }) => what === 'exception settled' && detail['by'] === by)).have.length(1);
    const settled = (await call<Row[]>('viewer', 'GET', `${path}&state=all`)).body;
    should(settled.map(({ id: each }) => each)).containEql(raised!.id);
  });
});

describe('the admin routes without an admin login', () => {
  let real: Real;
  before(async () => {
    real = await startReal({ settings: 'dropship: {},', changes: { 'dl-in-receive': { pollMinutes: 0 } } });
  });
  after(() => real.close());

  it('show, but change nothing, whoever asks', async () => {
    for (const route of ROUTES) {
      const response = await fetch(`${real.red.url}${urlOf(route)}`, {
        method: route.method,
        ...(route.method === 'POST' ? { headers: { 'content-type': 'application/json' }, body: '{}' } : {}),
      });
      const text = await response.text();
      if (!changes(route)) {
        should([200, 400, 404, 409]).containEql(response.status);
        continue;
      }
      should(response.status).equal(403, route.path);
      should(text).match(/"LOGIN_REQUIRED".*Set adminAuth in the settings file\./);
    }
  });

  it('take nobody for somebody where the login has a default user', async () => {
    for (const { handler, permission, path } of routesOf({ adminAuth: {} }).filter(changes)) {
      const answer = await new Promise<unknown>((resolve) => {
        let status = 200;
        const response = {
          status(code: number) {
            status = code;
            return response;
          },
          json: (body: { error: { code: string } }) => resolve([status, body.error.code]),
        };
        handler({ params: {}, query: {}, body: {}, user: { anonymous: true, permissions: '*' } }, response);
      });
      should(answer).deepEqual([403, 'LOGIN_REQUIRED'], `${permission} ${path}`);
    }
  });
});
