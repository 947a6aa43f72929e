import should from 'should';
import type { Payment } from '../../orders/payment.ts';
import type { AdapterTools } from '../../partners/adapter.ts';
import { createGenericErp } from '../../partners/erp/generic.ts';
import type { ErpSystem } from '../../partners/erp/port.ts';
import {
  bareNumber,
  bill,
  createWriter,
  documented,
  failure,
  fails,
  order,
  partnerOf,
  purchaseOrder,
  shipment,
  startServer,
  type Answer,
  type Asked,
  type PretendServer,
} from './generic-support.ts';

const CREDENTIALS = { user: 'client', apiKey: 'geheim-s3cret' };

/** An ERP with envelopes, ids beyond 2^53 and short-lived tokens. It never deduplicates by itself, except bills (409). */
function pretendErp() {
  const state = {
    customers: [] as Record<string, any>[],
    orders: [] as Record<string, any>[],
    purchaseOrders: [] as Record<string, any>[],
    bills: [] as Record<string, any>[],
    payments: [] as Record<string, any>[],
    tokens: 0,
    validToken: '',
    expiresIn: 3600,
    forgetsPayments: false,
  };
  let lastId = 9007199254740992n;
  const nextId = () => String((lastId += 1n));
  const shown = (rows: Record<string, any>[]) => ({ data: rows.map((row) => ({ ...row, id: bareNumber(row['id']) })) });

  function handle({ method, path, query, headers, text, json }: Asked): Answer {
    if (path === '/api/oauth/token') {
      if (headers.authorization !== `Basic ${Buffer.from('client:geheim-s3cret').toString('base64')}`) {
        return {
          status: 400,
          json: { error: 'invalid_client', error_description: `no such secret ${text} geheim-s3cret` },
        };
      }
      state.tokens += 1;
      state.validToken = `token-${state.tokens}`;
      return { json: { access_token: state.validToken, token_type: 'bearer', expires_in: state.expiresIn } };
    }
    if (headers.authorization !== `Bearer ${state.validToken}`) return { status: 401, json: {} };
    if (path === '/api/company') return { json: { data: { name: 'ACME' } } };
    if (path === '/api/customers' && method === 'GET') {
      return { json: shown(state.customers.filter((row) => row['email'] === query.get('email'))) };
    }
    if (path === '/api/customers') {
      const customer = { id: nextId(), ...json };
      state.customers.push(customer);
      return { status: 201, json: { data: { ...customer, id: bareNumber(customer.id) } } };
    }
    const tables: Record<string, Record<string, any>[]> = {
      '/api/sales-orders': state.orders,
      '/api/purchase-orders': state.purchaseOrders,
    };
    const table = tables[path];
    if (table && method === 'GET') {
      return { json: shown(table.filter((row) => row['external_ref'] === query.get('external_ref'))) };
    }
    if (table) {
      const row: Record<string, any> = { id: nextId(), doc_no: `D-${table.length + 1}`, text, ...json };
      table.push(row);
      return {
        status: 201,
        headers: { location: `http://elsewhere.example/api/x/${row['id']}` },
        json: { data: { id: bareNumber(row['id']), doc_no: row['doc_no'] } },
      };
    }
    const confirm = /^\/api\/sales-orders\/(\d+)\/confirm$/.exec(path);
    if (confirm) {
      const found = state.orders.find((row) => row['id'] === confirm[1]);
      if (!found) return { status: 404 };
      found['confirmed'] = true;
      return { status: 204 };
    }
    if (path === '/api/bills' && method === 'POST') {
      if (state.bills.some((row) => row['invoice_no'] === json.invoice_no))
        return { status: 409, json: { message: 'exists' } };
      const row = { id: nextId(), ...json };
      state.bills.push(row);
      return { status: 201, json: { data: { ...row, id: bareNumber(row.id) } } };
    }
    if (path === '/api/bills' && query.has('invoice_no')) {
      return { json: shown(state.bills.filter((row) => row['invoice_no'] === query.get('invoice_no'))) };
    }
    if (path === '/api/bills') {
      const isSecond = query.get('after') === 'b1';
      const row = (id: string, no: string, amount: string, due: string) => ({
        id: bareNumber(id),
        invoice_no: no,
        po_ref: 'shop-nz-1001-1',
        open_amount: bareNumber(amount),
        currency: 'EUR',
        due_on: due,
      });
      return isSecond
        ? {
            json: {
              data: [row('9007199254741001', 'INV-6', '0.10', '2026-12-01'), row('3', 'INV-7', '5', '2027-01-01')],
              links: { next: null },
            },
          }
        : {
            json: {
              data: [row('9007199254741000', 'INV-5', '24.30', '2026-12-05')],
              links: { next: '/api/bills?status=open&after=b1' },
            },
          };
    }
    const payment = /^\/api\/bills\/(\d+)\/payments$/.exec(path);
    if (payment) {
      if (state.forgetsPayments) return { status: 202, text: 'queued' };
      state.payments.push({ id: nextId(), ...json });
      return { status: 201, json: { data: { id: bareNumber(state.payments.at(-1)?.['id']) } } };
    }
    if (path === '/api/payments')
      return { json: shown(state.payments.filter((row) => row['memo'] === query.get('memo'))) };
    if (/^\/api\/purchase-orders\/\d+/.test(path))
      return method === 'DELETE' ? { status: 404 } : { json: { data: { id: 5 } } };
    return { status: 418, text: 'no such path' };
  }
  return { state, handle };
}

describe('partners/erp/generic', () => {
  let server: PretendServer;
  let erp: ErpSystem;
  let pretend: ReturnType<typeof pretendErp>;
  let tools: AdapterTools & { clock: number };

  beforeEach(async () => {
    pretend = pretendErp();
    server = await startServer(pretend.handle);
    const made = partnerOf(server, documented('erp'), CREDENTIALS, '/api');
    tools = made.tools;
    erp = createGenericErp(made.settings, made.tools);
  });

  afterEach(async () => {
    tools.http.close();
    await server.close();
  });

  function withOptions(
    change: (options: Record<string, any>) => void,
    credentials: Record<string, string> = CREDENTIALS,
  ) {
    const options = documented('erp');
    change(options);
    return createGenericErp({ reference: 'acme', baseUrl: `${server.url}/api`, options, credentials }, tools);
  }

  it('creates customer, order and confirmation, with all digits of ids and amounts', async () => {
    const { write } = createWriter();
    const document = await erp.createOrder(order, write);
    document.should.containEql({ id: '9007199254740994', number: 'D-1' });
    pretend.state.orders[0]?.['confirmed'].should.equal(true);
    pretend.state.orders[0]?.['text'].should
      .containEql('"customer_id":9007199254740993')
      .and.containEql('"price":12.50');
    pretend.state.orders[0]?.['lines'].should.have.length(1);
  });

  it('asks nothing of the ERP when everything is in the ledger already', async () => {
    const { write } = createWriter();
    await erp.createOrder(order, write);
    const calls = server.asked.length;
    const again = await erp.createOrder(order, write);
    again.id.should.equal('9007199254740994');
    server.asked.length.should.equal(calls);
  });

  for (const fault of ['lose', 'page', 'late500'] as const) {
    it(`finds every document whose answer was spoilt (${fault}) by its probe, and makes none twice`, async () => {
      const { state } = pretend;
      await erp.testConnection(); // The token is there: the next POST is the first document.
      for (const step of ['customer', 'create']) {
        const fresh = createWriter();
        state.customers.length = 0;
        state.orders.length = 0;
        // With a customer there, the first POST is the order.
        if (step === 'create') state.customers.push({ id: '9007199254741111', email: order.customer.email });
        server.spoil('POST', fault);
        await erp.createOrder(order, fresh.write);
        state.customers.should.have.length(1);
        state.orders.should.have.length(1);
        should(fresh.sent[step]).equal(1);
      }
      for (const [rows, act] of [
        [
          state.purchaseOrders,
          (w: ReturnType<typeof createWriter>) => erp.createPurchaseOrder(purchaseOrder, order, w.write),
        ],
        [state.bills, (w: ReturnType<typeof createWriter>) => erp.enterBill(bill, purchaseOrder, w.write)],
        [state.payments, (w: ReturnType<typeof createWriter>) => erp.registerPayment(payment, w.write)],
      ] as const) {
        server.spoil('POST', fault);
        const result = await act(createWriter());
        rows.should.have.length(1);
        result.id.should.equal(rows[0]?.['id']);
      }
    });
  }

  it('takes the id from the Location header of 201', async () => {
    const result = await erp.createPurchaseOrder(purchaseOrder, order, createWriter().write);
    result.should.containEql({ id: '9007199254740993', number: 'D-1' });
  });

  it('reuses a customer who is there, and refuses to search without the condition', async () => {
    pretend.state.customers.push({ id: '9007199254740995', email: order.customer.email });
    await erp.createOrder(order, createWriter().write);
    pretend.state.customers.should.have.length(1);
    const nameless = { ...order, customer: { name: 'Nobody' } };
    const error = await failure(erp.createOrder(nameless, createWriter().write));
    error.code.should.equal('MAPPING_FAILED');
    error.message.should.containEql('operations.createOrder.before[0].probe.query.email');
  });

  it('adopts a bill that the ERP calls a duplicate, and refuses one with another amount', async () => {
    pretend.state.bills.push({ id: '77', invoice_no: 'INV-5', total: 24.3 });
    const lookless = withOptions((options) => (options['operations'].enterBill.look = 'when-in-doubt'));
    const adopted = await lookless.enterBill(bill, purchaseOrder, createWriter().write);
    adopted.should.containEql({ id: '77', number: 'INV-5' });
    pretend.state.bills[0]!['total'] = 99;
    const error = await failure(erp.enterBill(bill, purchaseOrder, createWriter().write));
    error.code.should.equal('FOUND_DIFFERENT');
    pretend.state.bills.should.have.length(1);
  });

  it('leaves a payment that the probe does not find to a person', async () => {
    pretend.state.forgetsPayments = true;
    const writer = createWriter();
    (await failure(erp.registerPayment(payment, writer.write))).code.should.equal('ANSWER_UNEXPECTED');
    writer.asked.should.deepEqual(['register']);
    should(writer.sent['register']).equal(1);
  });

  it('reads all pages of the due bills, exact to the cent, and only what is due', async () => {
    const due = await erp.payables('2026-12-31');
    due.should.deepEqual([
      {
        erpBillId: '9007199254741000',
        billNumber: 'INV-5',
        purchaseOrder: 'shop-nz-1001-1',
        open: { minor: 2430, currency: 'EUR' },
        dueAt: '2026-12-05',
      },
      {
        erpBillId: '9007199254741001',
        billNumber: 'INV-6',
        purchaseOrder: 'shop-nz-1001-1',
        open: { minor: 10, currency: 'EUR' },
        dueAt: '2026-12-01',
      },
    ]);
  });

  it('refuses amounts that arithmetic has blurred, in lists and in requests', async () => {
    const blurred = withOptions((options) => {
      options['operations'].payables.response =
        "[body.data.{ 'erpBillId': id, 'billNumber': invoice_no, 'open': 0.1 + 0.2, 'currency': currency, 'dueAt': due_on }]";
      options['operations'].registerPayment.request = "{ 'amount': payment.amount.minor / 7 }";
    });
    const listed = await failure(blurred.payables('2026-12-31'));
    listed.code.should.equal('ANSWER_UNEXPECTED');
    listed.message.should.containEql('operations.payables.response[0]');
    const sent = await failure(blurred.registerPayment(payment, createWriter().write));
    sent.code.should.equal('MAPPING_FAILED');
    sent.message.should.containEql('operations.registerPayment.request').and.containEql('amount');
    server.asked.filter(({ path }) => path.endsWith('/payments') && path.includes('bills')).should.be.empty();
  });

  it('cancels with the operation for that when nothing remains, and changes otherwise', async () => {
    const [line] = purchaseOrder.lines;
    const part = { ...purchaseOrder, revision: 1, lines: [{ ...line!, freed: '1' }] };
    const known = await erp.changePurchaseOrder(part, createWriter().write);
    known.should.deepEqual({ id: '9007199254740999', number: 'PO-1' });
    server.asked.at(-1)?.method.should.equal('PUT');
    server.asked.at(-1)?.json.should.deepEqual({ lines: [{ ref: '1', qty: '2' }] });
    // 404 counts as cancelled here: success says so.
    await erp.changePurchaseOrder({ ...part, lines: [{ ...line!, freed: '3' }] }, createWriter().write);
    server.asked.at(-1)?.method.should.equal('DELETE');
  });

  it('sends our key as a UUID that is always the same', async () => {
    const receipts = () =>
      server.asked.filter(({ path }) => path.endsWith('/receipts')).map(({ headers }) => headers['idempotency-key']);
    await erp.receiveShipment(shipment, purchaseOrder, createWriter().write);
    await erp.receiveShipment(shipment, purchaseOrder, createWriter().write);
    should(receipts()[0]).match(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    should(receipts()[0]).equal(receipts()[1]);
  });

  it('fetches one token for many calls, renews it before it runs out, and repeats a read whose token was refused', async () => {
    await Promise.all([erp.payables('2026-12-31'), erp.payables('2026-12-31')]);
    pretend.state.tokens.should.equal(1);
    tools.clock += (3600 - 29) * 1000;
    await erp.payables('2026-12-31');
    pretend.state.tokens.should.equal(2);
    tools.clock += 60_000;
    pretend.state.validToken = 'revoked';
    await erp.payables('2026-12-31');
    pretend.state.tokens.should.equal(3);
  });

  it('does not repeat a write whose token was refused by itself: nothing was done, and the ledger tries again', async () => {
    await erp.payables('2026-12-31');
    tools.clock += 60_000;
    pretend.state.validToken = 'revoked';
    const error = await failure(erp.createPurchaseOrder(purchaseOrder, order, createWriter().write));
    error.code.should.equal('TOKEN_REFUSED');
    pretend.state.purchaseOrders.should.be.empty();
    await erp.createPurchaseOrder(purchaseOrder, order, createWriter().write);
    pretend.state.purchaseOrders.should.have.length(1);
  });

  it('never shows a secret in an error, nor in its cause', async () => {
    const wrong = withOptions(() => {}, { user: 'client', apiKey: 'wrong-s3cret' });
    const error = await failure(wrong.payables('2026-12-31'));
    error.code.should.equal('CREDENTIALS_REFUSED');
    error.message.should.containEql('invalid_client').and.not.containEql('wrong-s3cret');
    const echo = await startServer((asked) => ({ status: 400, text: `bad key ${asked.headers['x-key']}` }));
    try {
      const chatty = createGenericErp(
        {
          reference: 'acme',
          baseUrl: echo.url,
          options: {
            auth: { type: 'header', header: 'X-Key' },
            operations: { payables: { path: '/x', response: 'body' } },
          },
          credentials: { apiKey: 'geheim-s3cret' },
        },
        tools,
      );
      const refused = await failure(chatty.payables('2026-12-31'));
      refused.message.should.containEql('bad key ***');
      JSON.stringify([refused, refused.cause, Object.entries(refused)]).should.not.containEql('geheim');
      await echo.close();
      const gone = await failure(chatty.payables('2026-12-31'));
      gone.code.should.match(/^PARTNER_UN/);
      const { inspect } = await import('node:util');
      inspect(gone, { depth: 9 }).should.not.containEql('geheim');
    } finally {
      await echo.close();
    }
  });

  it('says which operation is missing and where to add it; the optional one is skipped', async () => {
    const bare = createGenericErp({ reference: 'acme', baseUrl: server.url, options: {}, credentials: {} }, tools);
    const error = await failure(bare.createOrder(order, createWriter().write));
    error.code.should.equal('OPERATION_MISSING');
    error.message.should.containEql('operations.createOrder');
    (await failure(bare.payables('2026-12-31'))).code.should.equal('OPERATION_MISSING');
    (await bare.completeOrder(order, createWriter().write)).should.deepEqual({
      skipped: 'operations.completeOrder is not configured',
    });
  });

  it('tests the connection in one sentence, whatever is wrong', async () => {
    (await erp.testConnection()).should.deepEqual({ ok: true, message: 'acme answers GET /api/company with 200.' });
    const unset = await withOptions((options) => delete options['test']).testConnection();
    unset.ok.should.equal(false);
    unset.message.should.containEql('options.test');
    const keyless = await withOptions(() => {}, {}).testConnection();
    keyless.message.should.containEql('client id');
  });

  it('names each wrong field, and what it should be', () => {
    const message = (change: (options: Record<string, any>) => void) => {
      const error = fails(() => withOptions(change));
      error.code.should.equal('OPTIONS_INVALID');
      return error.message;
    };
    message((o) => delete o['operations'].createPurchaseOrder.settle).should.containEql(
      'operations.createPurchaseOrder.settle must be idempotent, probe or ask',
    );
    message((o) => (o['operations'].createPurchaseOrder.settle = 'maybe')).should.containEql(
      'operations.createPurchaseOrder.settle must be idempotent, probe or ask',
    );
    message((o) => (o['operations'].createPo = {})).should.containEql(
      'operations.createPo is not an operation of an ERP; it has createOrder',
    );
    message((o) => delete o['operations'].createPurchaseOrder.probe.missing).should.containEql('certainly not there');
    message((o) => delete o['operations'].receiveShipment.idempotency).should.containEql(
      'operations.receiveShipment.idempotency is missing',
    );
    message((o) => (o['operations'].payables.paging.next = 7)).should.containEql(
      'operations.payables.paging.next must be a text or a list',
    );
    message((o) => (o['operations'].createOrder.steps[0].name = 'create')).should.containEql('is taken');
    message((o) => (o['auth'] = { type: 'oauth2' })).should.containEql('auth.tokenUrl is missing');
    message((o) => (o['operations'].payables.response = 'body.data[')).should.containEql(
      'operations.payables.response is not a valid JSONata',
    );
    message((o) => (o['test'].path = 'https://elsewhere.example/')).should.containEql('test.path must be a path');
  });

  it('says what is missing where no JSONata engine is at hand', () => {
    const { jsonata: _none, ...without } = tools;
    const settings = { reference: 'acme', baseUrl: server.url, options: documented('erp'), credentials: CREDENTIALS };
    fails(() => createGenericErp(settings, without)).code.should.equal('MAPPING_ENGINE_MISSING');
  });

  it('refuses empty and climbing values in paths, and links to other sites', async () => {
    const climbing = { ...purchaseOrder, erp: { ...purchaseOrder.erp!, id: '..' } };
    (await failure(erp.receiveShipment(shipment, climbing, createWriter().write))).code.should.equal('MAPPING_FAILED');
    const nowhere = { ...purchaseOrder, erp: { ...purchaseOrder.erp!, id: '' } };
    const error = await failure(erp.receiveShipment(shipment, nowhere, createWriter().write));
    error.message.should.containEql('{po.erp.id} gives nothing');
    const foreign = withOptions(
      (options) => (options['operations'].payables.paging.next = "'https://evil.example/bills'"),
    );
    (await failure(foreign.payables('2026-12-31'))).code.should.equal('LINK_FOREIGN');
  });

  it('asks a person when our reference is there twice', async () => {
    const twin = { external_ref: purchaseOrder.id, doc_no: 'D' };
    pretend.state.purchaseOrders.push({ id: '1', ...twin }, { id: '2', ...twin });
    const careful = withOptions((options) => (options['operations'].createPurchaseOrder.look = 'always'));
    const error = await failure(careful.createPurchaseOrder(purchaseOrder, order, createWriter().write));
    error.code.should.equal('FOUND_TWICE');
    pretend.state.purchaseOrders.should.have.length(2);
  });

  it('looks through all pages before it says that a document is not there', async () => {
    let posts = 0;
    let pages = 0;
    const odd = await startServer(({ method, query }) => {
      if (method === 'POST') {
        posts += 1;
        return { json: { data: { id: 9, doc_no: 'D-9' } }, headers: { location: '/x/9' } };
      }
      pages += 1;
      const page = Number(query.get('page'));
      if (page > 3) return { status: 404, json: {} };
      return {
        json: { data: [{ id: page, external_ref: page === there ? purchaseOrder.id : 'other', doc_no: `D-${page}` }] },
      };
    });
    let there = 3;
    try {
      const options = documented('erp');
      options['auth'] = { type: 'none' };
      Object.assign(options['operations'].createPurchaseOrder, {
        look: 'always',
        probe: {
          path: '/purchase-orders',
          response: "body.data[external_ref = $$.input.po.id].{ 'id': id, 'number': doc_no }",
          missing: "status = 404 or $type(body.data) = 'array'",
          paging: { type: 'page', items: 'body.data' },
        },
      });
      const listing = createGenericErp({ reference: 'acme', baseUrl: odd.url, options, credentials: {} }, tools);
      (await listing.createPurchaseOrder(purchaseOrder, order, createWriter().write)).number.should.equal('D-3');
      pages.should.equal(3);
      posts.should.equal(0);
      there = 0;
      (await listing.createPurchaseOrder(purchaseOrder, order, createWriter().write)).number.should.equal('D-9');
      pages.should.equal(7);
      posts.should.equal(1);
    } finally {
      await odd.close();
    }
  });

  it('stops a list whose pages do not come to an end', async () => {
    const endless = withOptions((options) => (options['operations'].payables.paging.next = "'/api/bills?after=b1'"));
    (await failure(endless.payables('2026-12-31'))).code.should.equal('PAGING_ENDLESS');
  });

  it('never takes an unclear answer to a probe for "not there"', async () => {
    const writer = createWriter();
    for (const [response, code] of [
      [{ status: 404, json: {} }, 'PROBE_UNCLEAR'],
      [{ json: { error: 'index is being rebuilt' } }, 'ANSWER_UNEXPECTED'],
      [{ json: {} }, 'ANSWER_UNEXPECTED'],
      [{ text: '<html>maintenance</html>' }, 'ANSWER_UNEXPECTED'],
    ] as const) {
      let posts = 0;
      const odd = await startServer(({ method }) => {
        if (method === 'GET') return response;
        posts += 1;
        return { text: 'thanks' };
      });
      try {
        const options = documented('erp');
        options['auth'] = { type: 'none' };
        const unclear = createGenericErp({ reference: 'acme', baseUrl: odd.url, options, credentials: {} }, tools);
        (await failure(unclear.createPurchaseOrder(purchaseOrder, order, writer.write))).code.should.equal(code);
        posts.should.equal(1);
      } finally {
        await odd.close();
      }
    }
  });
});

const payment = {
  type: 'payment',
  id: 'pay/vineyard/INV-5',
  endToEndId: 'E2E-1',
  erpBillId: '9007199254741000',
  amount: { minor: 2430, currency: 'EUR' },
} as Payment;
