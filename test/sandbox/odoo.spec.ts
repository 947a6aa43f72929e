import should from 'should';
import { createOdoo, type Odoo } from '../../sandbox/odoo.ts';
import { createWorld, type Json, type World } from '../../sandbox/world.ts';

const API_KEY = 'sandbox-odoo-key';

type Called = { status: number; body: any };

describe('sandbox Odoo', () => {
  let world: World;
  let odoo: Odoo;

  beforeEach(() => {
    world = createWorld();
    odoo = createOdoo(world, { apiKey: API_KEY, database: 'sandbox' });
  });
  afterEach(() => world.close());

  function request(path: string, body: unknown, headers: Record<string, string> = {}) {
    const all = { authorization: `bearer ${API_KEY}`, ...headers };
    return {
      method: 'POST',
      path,
      query: new URLSearchParams(),
      headers: all,
      body: Buffer.from(JSON.stringify(body)),
    };
  }
  async function call(
    model: string,
    method: string,
    body: Record<string, unknown> = {},
    headers?: Record<string, string>,
  ): Promise<Called> {
    return (await odoo.handle(request(`/json/2/${model}/${method}`, body, headers))) as Called;
  }
  async function done(model: string, method: string, body: Record<string, unknown> = {}): Promise<any> {
    const answer = await call(model, method, body);
    answer.status.should.equal(200, JSON.stringify(answer.body));
    return answer.body;
  }
  async function refused(model: string, method: string, body: Record<string, unknown>): Promise<string> {
    const answer = await call(model, method, body);
    answer.status.should.equal(422);
    answer.body.name.should.equal('odoo.exceptions.UserError');
    return answer.body.message;
  }
  const create = async (model: string, values: Record<string, unknown>): Promise<number> =>
    (await done(model, 'create', { vals_list: [values] }))[0];
  const read = async (model: string, id: number, fields: string[]) =>
    (await done(model, 'read', { ids: [id], fields }))[0];
  const find = (model: string, domain: unknown[], more: Record<string, unknown> = {}) =>
    done(model, 'search_read', { domain, fields: ['name'], ...more });
  const idOf = async (model: string, field: string, value: string): Promise<number> =>
    (await find(model, [[field, '=', value]]))[0].id;

  async function purchase(quantity = 3): Promise<number> {
    return create('purchase.order', {
      partner_id: await idOf('res.partner', 'ref', 'prompt'),
      partner_ref: 'shop-1-1',
      picking_type_id: await idOf('stock.picking.type', 'code', 'dropship'),
      order_line: [
        [
          0,
          0,
          {
            product_id: await idOf('product.product', 'default_code', 'OIL-OLIVE'),
            product_qty: quantity,
            price_unit: 6.2,
          },
        ],
      ],
    });
  }
  async function sale(): Promise<number> {
    const partner_id = await create('res.partner', { name: 'Anna' });
    const product_id = await idOf('product.product', 'default_code', 'OIL-OLIVE');
    return create('sale.order', {
      partner_id,
      client_order_ref: 'shop-1',
      order_line: [[0, 0, { product_id, product_uom_qty: 2 }]],
    });
  }
  async function bill(values: Record<string, unknown> = {}): Promise<number> {
    const partner_id = await idOf('res.partner', 'ref', 'prompt');
    const line = [0, 0, { quantity: 2, price_unit: 6.2 }];
    return create('account.move', {
      move_type: 'in_invoice',
      partner_id,
      ref: 'INV-1',
      invoice_date: '2026-11-23',
      invoice_line_ids: [line],
      ...values,
    });
  }

  describe('JSON-2', () => {
    it('answers errors with their status and Odoo’s error body', async () => {
      const wrongKey = await call('res.partner', 'search_read', {}, { authorization: 'bearer wrong' });
      wrongKey.status.should.equal(401);
      Object.keys(wrongKey.body).should.deepEqual(['name', 'message', 'arguments', 'context', 'debug']);
      (await call('res.partner', '_compute_name')).status.should.equal(403);
      (await call('no.model', 'search_read')).status.should.equal(404);
      (await call('res.partner', 'no_method')).status.should.equal(404);
      const gone = await call('res.partner', 'write', { ids: [9999], vals: { name: 'x' } });
      gone.should.containDeep({ status: 404, body: { name: 'odoo.exceptions.MissingError' } });
      (await call('res.partner', 'create', {})).should.containDeep({
        status: 422,
        body: { name: 'builtins.TypeError' },
      });
      (await call('res.partner', 'search_read', { fields: ['nonsense'] })).status.should.equal(422);
      (await call('res.partner', 'search_read', {}, { 'x-odoo-database': 'other' })).status.should.equal(404);
    });

    it('keeps nothing of a call that fails, as one transaction', async () => {
      const before = odoo.store.rows('res.partner').length;
      const answer = await call('res.partner', 'create', { vals_list: [{ name: 'kept?' }, { nonsense: 1 }] });
      answer.status.should.equal(422);
      odoo.store.rows('res.partner').should.have.length(before);
      world.effects.should.have.length(0);

      const id = await purchase();
      const commands = [
        [1, 1, { product_qty: 1 }],
        [2, 1],
        [1, 9999, { product_qty: 1 }],
      ];
      (
        await call('purchase.order', 'write', { ids: [id], vals: { partner_ref: 'other', order_line: commands } })
      ).status.should.equal(404);
      (await read('purchase.order', id, ['partner_ref', 'order_line'])).should.containDeep({
        partner_ref: 'shop-1-1',
        order_line: [1],
      });
      (await read('purchase.order.line', 1, ['product_qty'])).product_qty.should.equal(3);
      world.effects.map((effect) => effect.operation).should.deepEqual(['purchase.create']);
    });

    it('knows the operators of domains and joins them by &, | and !', async () => {
      const codes = async (...domain: unknown[]) =>
        (await done('product.product', 'search_read', { domain, fields: ['default_code'] })).map(
          (row: any) => row.default_code,
        );
      (await codes(['default_code', '=', 'OIL-OLIVE'])).should.deepEqual(['OIL-OLIVE']);
      (await codes(['default_code', 'like', 'WINE'])).should.deepEqual(['WINE-RIESLING', 'WINE-PINOT']);
      (await codes(['default_code', 'like', 'wine'])).should.deepEqual([]);
      (await codes(['default_code', 'ilike', 'wine'])).should.have.length(2);
      (await codes(['default_code', '=ilike', 'wine-%'])).should.have.length(2);
      (await codes('|', ['default_code', '=', 'SHIPPING'], ['default_code', '=', 'DISCOUNT'])).should.have.length(2);
      (await codes('!', ['type', '=', 'consu'])).should.deepEqual(['SHIPPING', 'DISCOUNT']);
      (await codes('&', ['type', '=', 'service'], '!', ['default_code', 'in', ['SHIPPING']])).should.deepEqual([
        'DISCOUNT',
      ]);
      (await codes(['default_code', 'not in', ['SHIPPING']], ['type', '!=', 'consu'])).should.deepEqual(['DISCOUNT']);
      (await codes(['list_price', '>=', 39], ['list_price', '<', 49])).should.deepEqual(['GLASS-BURGUNDY']);
      (await call('product.product', 'search_read', { domain: [['name', 'resembles', 'x']] })).status.should.equal(422);
    });

    it('limits, skips and orders, and shows a many2one with its name', async () => {
      const ids = (await find('product.product', [], { order: 'id desc', limit: 2, offset: 1 })).map(
        (row: any) => row.id,
      );
      ids[0].should.equal(ids[1] + 1);
      (
        await read('res.partner', await idOf('res.partner', 'ref', 'moody'), ['country_id', 'parent_id'])
      ).should.containDeep({
        country_id: [await idOf('res.country', 'code', 'NL'), 'NL'],
        parent_id: false,
      });
    });

    it('comes back from its saved state with everything in it', async () => {
      const id = await purchase();
      const saved = JSON.parse(JSON.stringify(odoo.save())) as Json;
      const other = createOdoo(createWorld(), { apiKey: API_KEY });
      other.load(saved);
      other.store.get('purchase.order', id)['partner_ref']!.should.equal('shop-1-1');
      should(other.store.create('purchase.order', { partner_id: 1 })['name']).equal('P00002');
    });
  });

  it('accepts a second document with the same reference, of every kind', async () => {
    await sale();
    await sale();
    await purchase();
    await purchase();
    await done('account.move', 'action_post', { ids: [await bill()] });
    await done('account.move', 'action_post', {
      ids: [await bill({ invoice_line_ids: [[0, 0, { quantity: 1, price_unit: 99 }]] })],
    });
    for (const operation of ['sale.create', 'purchase.create', 'bill.post']) {
      const references = world.effects
        .filter((effect) => effect.operation === operation)
        .map((effect) => effect.reference);
      references.should.have.length(2);
      references[0]!.should.equal(references[1]);
    }
  });

  it('confirms a purchase order once, and answers true to the second time', async () => {
    const id = await purchase();
    (await done('purchase.order', 'button_confirm', { ids: [id] })).should.equal(true);
    (await done('purchase.order', 'button_confirm', { ids: [id] })).should.equal(true);
    (await read('purchase.order', id, ['state', 'picking_ids'])).should.containDeep({
      state: 'purchase',
      picking_ids: [1],
    });
    world.effects.filter((effect) => effect.operation === 'purchase.confirm').should.have.length(1);
  });

  it('answers true to a confirmation that only stops for approval', async () => {
    odoo = createOdoo(world, { apiKey: API_KEY, approvalFrom: 10 });
    const id = await purchase();
    (await done('purchase.order', 'button_confirm', { ids: [id] })).should.equal(true);
    (await read('purchase.order', id, ['state', 'picking_ids'])).should.containDeep({
      state: 'to approve',
      picking_ids: [],
    });
  });

  describe('a confirmed sale', () => {
    it('waits for a delivery from the own warehouse and makes no purchase order', async () => {
      const id = await sale();
      await done('sale.order', 'action_confirm', { ids: [id] });
      (await find('stock.picking', [['origin', '=', 'S00001']]))[0].name.should.startWith('WH/OUT');
      odoo.store.rows('purchase.order').should.have.length(0);
      (await refused('sale.order', 'action_confirm', { ids: [id] })).should.match(
        /not in a state requiring confirmation/,
      );
    });

    it('makes a draft purchase order for products with the Dropship route', async () => {
      const product = odoo.store.rows('product.product').find((row) => row['default_code'] === 'OIL-OLIVE')!;
      product['route_ids'] = [1];
      odoo.store.create('product.supplierinfo', { product_id: product.id, partner_id: 1, price: 6 });
      await done('sale.order', 'action_confirm', { ids: [await sale()] });
      odoo.store.rows('purchase.order')[0]!.should.have.properties({ state: 'draft', origin: 'S00001' });
      odoo.store.rows('stock.picking').should.have.length(0);
    });
  });

  describe('button_validate', () => {
    async function picking(): Promise<{ id: number; move: number }> {
      const order = await purchase();
      await done('purchase.order', 'button_confirm', { ids: [order] });
      const [id] = (await read('purchase.order', order, ['picking_ids'])).picking_ids;
      const [move] = (await read('stock.picking', id, ['move_ids'])).move_ids;
      return { id, move };
    }

    it('answers with an action instead of doing a partial receipt, without an error', async () => {
      const { id, move } = await picking();
      await done('stock.move', 'write', { ids: [move], vals: { quantity: 1, picked: true } });
      (await done('stock.picking', 'button_validate', { ids: [id] })).res_model.should.equal(
        'stock.backorder.confirmation',
      );
      (await read('stock.picking', id, ['state'])).state.should.equal('assigned');
      const [wizard] = await done('stock.backorder.confirmation', 'create', { vals_list: [{ pick_ids: [[4, id]] }] });
      await done('stock.backorder.confirmation', 'process', {
        ids: [wizard],
        context: { button_validate_picking_ids: [id] },
      });
      (await read('stock.picking', id, ['state'])).state.should.equal('done');
    });

    it('puts the rest into a back-order that inherits the source but not the tracking number', async () => {
      const { id, move } = await picking();
      const vals = {
        origin: 'P00001, prompt/SH-1',
        carrier_tracking_ref: 'T1',
        move_ids: [[1, move, { quantity: 1, picked: true }]],
      };
      await done('stock.picking', 'write', { ids: [id], vals });
      (await done('stock.picking', 'button_validate', { ids: [id], context: { skip_backorder: true } })).should.equal(
        true,
      );
      const [rest] = await done('stock.picking', 'search_read', {
        domain: [['backorder_id', '=', id]],
        fields: ['origin', 'carrier_tracking_ref', 'state'],
      });
      rest.should.containDeep({ origin: 'P00001, prompt/SH-1', carrier_tracking_ref: false, state: 'assigned' });
      world.effects.at(-1)!.should.containDeep({
        operation: 'receipt.done',
        reference: 'prompt/SH-1',
        detail: { lines: [{ sku: 'OIL-OLIVE', quantity: 1 }] },
      });
      (await done('stock.picking', 'button_validate', { ids: [id] })).should.equal(true);
      world.effects.filter((effect) => effect.operation === 'receipt.done').should.have.length(1);
    });

    it('drops the rest where the operation type never makes back-orders', async () => {
      const { id, move } = await picking();
      for (const type of odoo.store.rows('stock.picking.type')) type['create_backorder'] = 'never';
      await done('stock.move', 'write', { ids: [move], vals: { quantity: 1, picked: true } });
      await done('stock.picking', 'button_validate', { ids: [id], context: { skip_backorder: true } });
      (await find('stock.picking', [])).should.have.length(1);
      (await read('purchase.order', 1, ['receipt_status'])).receipt_status.should.equal('full');
    });

    it('then refuses to reduce the purchase order below what was received, or to cancel it', async () => {
      const { id, move } = await picking();
      await done('stock.move', 'write', { ids: [move], vals: { quantity: 2, picked: true } });
      await done('stock.picking', 'button_validate', { ids: [id], context: { skip_backorder: true } });
      const reduce = { ids: [1], vals: { order_line: [[1, 1, { product_qty: 1 }]] } };
      (await refused('purchase.order', 'write', reduce)).should.match(/below the received quantity/);
      (await refused('purchase.order', 'button_cancel', { ids: [1] })).should.match(
        /receptions have already been done/,
      );
    });
  });

  describe('bills and payments', () => {
    it('posts no bill without a date, and none twice', async () => {
      const undated = await bill({ invoice_date: false });
      (await refused('account.move', 'action_post', { ids: [undated] })).should.match(/date is required/);
      const dated = await bill();
      await done('account.move', 'action_post', { ids: [dated] });
      (await refused('account.move', 'action_post', { ids: [dated] })).should.match(/must be in draft/);
    });

    it('lets the payment term overrule a due date that was written', async () => {
      const withTerm = await bill({ invoice_date_due: '2026-12-24' });
      (await read('account.move', withTerm, ['invoice_date_due'])).invoice_date_due.should.equal('2026-11-23');
      const without = await bill({ invoice_date_due: '2026-12-24', invoice_payment_term_id: false });
      (await read('account.move', without, ['invoice_date_due'])).invoice_date_due.should.equal('2026-12-24');
    });

    it('pays a bill once: the second try of the wizard is an error', async () => {
      const id = await bill();
      await done('account.move', 'action_post', { ids: [id] });
      const context = { active_model: 'account.move', active_ids: [id] };
      const [wizard] = await done('account.payment.register', 'create', {
        vals_list: [{ communication: 'E2E-1' }],
        context,
      });
      await done('account.payment.register', 'action_create_payments', { ids: [wizard], context });
      (await read('account.move', id, ['payment_state', 'amount_residual'])).should.containDeep({
        payment_state: 'paid',
        amount_residual: 0,
      });
      (await read('account.payment', 1, ['state', 'memo', 'amount'])).should.containDeep({
        state: 'in_process',
        memo: 'E2E-1',
        amount: 12.4,
      });
      (await refused('account.payment.register', 'action_create_payments', { ids: [wizard], context })).should.match(
        /nothing left to pay/,
      );
    });
  });

  it('names what a request asks for and our reference in it, so that faults can aim', async () => {
    const described = (model: string, method: string, body: unknown) =>
      odoo.describe(request(`/json/2/${model}/${method}`, body));
    const create = described('purchase.order', 'create', { vals_list: [{ partner_ref: 'shop-1-1' }] });
    create.should.deepEqual({ operation: 'purchase.create', reference: 'shop-1-1', write: true });
    const id = await purchase();
    described('purchase.order', 'button_confirm', { ids: [id] }).should.deepEqual({
      operation: 'purchase.confirm',
      reference: 'shop-1-1',
      write: true,
    });
    described('purchase.order', 'search_read', {}).should.deepEqual({
      operation: 'purchase.order.search_read',
      reference: '',
      write: false,
    });
    odoo.describe({ ...request('/elsewhere', 'x'), body: Buffer.from('{') }).write.should.equal(false);
    odoo
      .describe({ ...request('/json/2/sale.order/create', ''), body: Buffer.from('[[') })
      .operation.should.equal('sale.create');
  });
});
