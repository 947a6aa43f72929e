import { CURRENCY, EU, products, suppliers } from './catalogue.ts';
import { createOdooMethods, type Methods } from './odoo-methods.ts';
import { billReference, models, shipmentOf } from './odoo-models.ts';
import { createStore, OdooError, type Row, type Store, type Values } from './odoo-store.ts';
import type { Answer, Partner, Request, World } from './world.ts';

export interface OdooOptions {
  /** Default `erp`. */
  name?: string;
  apiKey: string;
  /** The one database; the header X-Odoo-Database may name it. */
  database?: string;
  /** Purchase orders from this total on stop in "to approve". Default: none does. */
  approvalFrom?: number;
  /** Asks about back-orders whatever the context says, as Odoo 17 and some added modules do. */
  alwaysAsksForBackorders?: boolean;
}

/** Odoo, with a door for tests that play the people in the office. */
export interface Odoo extends Partner {
  store: Store;
}

/**
 * Odoo 19 behind JSON-2, with Sales, Purchase, Inventory, Dropshipping and Invoicing, in one company in EUR without taxes.
 * Seeded with the catalogue's products (Internal Reference = SKU) and suppliers (Reference = our name of them).
 * Source: odoo.com/documentation/19.0/developer/reference/external_api.html and the behaviour of a running Odoo 19.
 */
export function createOdoo(world: World, options: OdooOptions): Odoo {
  const name = options.name ?? 'erp';
  const store = createStore(
    { ...models },
    {
      created: (model, row) => methods.created(model, row),
      written: (model, row, before, values) => methods.written(model, row, before, values),
    },
  );
  const methods: Methods = createOdooMethods({
    store,
    approvalFrom: options.approvalFrom ?? Infinity,
    alwaysAsksForBackorders: options.alwaysAsksForBackorders ?? false,
    today: () => new Date(world.now()).toISOString().slice(0, 10),
    record: (operation, reference, id, detail) => world.record(name, operation, reference, String(id), detail),
  });
  seed(store);
  // What the seed creates is no effect of anyone's call.
  methods.rollback();

  function parse(request: Request): { model: string; method: string; body: Values } | undefined {
    const match = /^\/json\/2\/([\w.]+)\/(\w+)$/.exec(request.path);
    if (request.method !== 'POST' || !match) return undefined;
    let body: unknown;
    try {
      body = JSON.parse(request.body.toString('utf8') || '{}');
    } catch {
      body = undefined;
    }
    return {
      model: match[1] ?? '',
      method: match[2] ?? '',
      body: typeof body === 'object' && body !== null ? (body as Values) : {},
    };
  }

  function error(status: number, message: string, exception?: string): Answer {
    const names: Record<number, string> = {
      401: 'werkzeug.exceptions.Unauthorized',
      403: 'odoo.exceptions.AccessError',
      404: 'werkzeug.exceptions.NotFound',
      422: 'odoo.exceptions.UserError',
      429: 'werkzeug.exceptions.TooManyRequests',
    };
    const body = {
      name: exception ?? names[status] ?? 'builtins.Exception',
      message,
      arguments: [message],
      context: {},
      debug: '',
    };
    return { status, body };
  }

  return {
    name,
    store,
    describe(request) {
      const call = parse(request);
      return call
        ? describe(store, call.model, call.method, call.body)
        : { operation: 'unknown', reference: '', write: false };
    },
    handle(request) {
      const call = parse(request);
      if (!call) return error(404, 'Did you mean POST /json/2/<model>/<method>?');
      const { authorization } = request.headers;
      if (String(authorization).toLowerCase() !== `bearer ${options.apiKey}`.toLowerCase())
        return error(401, 'Invalid apikey');
      const database = request.headers['x-odoo-database'];
      if (database !== undefined && options.database !== undefined && database !== options.database) {
        return {
          status: 404,
          headers: { 'content-type': 'text/html' },
          body: '<!doctype html><title>404 Not Found</title>',
        };
      }
      if (call.method.startsWith('_')) {
        return error(403, `Private methods (such as '${call.model}.${call.method}') cannot be called remotely.`);
      }
      // One SQL transaction per call: what fails leaves nothing behind. Effects are recorded when it has succeeded.
      store.begin();
      try {
        const result = methods.call(call.model, call.method, call.body);
        methods.commit();
        if (!READS.has(call.method)) world.changed();
        return { status: 200, body: typeof result === 'string' ? JSON.stringify(result) : result };
      } catch (thrown) {
        store.rollback();
        methods.rollback();
        if (!(thrown instanceof OdooError)) throw thrown;
        return error(thrown.status, thrown.message, thrown.exception);
      }
    },
    error: (status, message) => error(status, message),
    due() {},
    save: () => store.save(),
    load: (state) => store.load(state),
  };
}

const READS = new Set(['search_read', 'read', 'search', 'search_count', 'fields_get']);

/** Writes under the names that effects have; reads and the rest as `model.method`. */
function describe(
  store: Store,
  model: string,
  method: string,
  body: Values,
): { operation: string; reference: string; write: boolean } {
  const values = Array.isArray(body['vals_list'])
    ? ((body['vals_list'][0] ?? {}) as Values)
    : ((body['vals'] ?? {}) as Values);
  const id = Array.isArray(body['ids']) ? body['ids'][0] : undefined;
  const row = store.rows(model).find((each) => each.id === id);
  const text = (value: unknown): string => (typeof value === 'string' ? value : '');
  const write = (operation: string, reference: unknown) => ({ operation, reference: text(reference), write: true });
  switch (`${model}.${method}`) {
    case 'res.partner.create':
      if (values['supplier_rank']) return write('vendor.create', values['ref']);
      return write(values['parent_id'] ? 'address.create' : 'customer.create', values['ref']);
    case 'product.product.create':
      return write('product.create', values['default_code']);
    case 'sale.order.create':
      return write('sale.create', values['client_order_ref']);
    case 'sale.order.action_confirm':
      return write('sale.confirm', row?.['client_order_ref']);
    case 'sale.order.action_lock':
      return write('sale.complete', row?.['client_order_ref']);
    case 'purchase.order.create':
      return write('purchase.create', values['partner_ref']);
    case 'purchase.order.button_confirm':
      return write('purchase.confirm', row?.['partner_ref']);
    case 'purchase.order.write':
      return write('purchase.change', row?.['partner_ref']);
    case 'purchase.order.button_cancel':
      return write('purchase.cancel', row?.['partner_ref']);
    case 'stock.picking.write':
      return write('receipt.prepare', shipmentOf(values['origin']));
    case 'stock.picking.button_validate':
      return write('receipt.done', shipmentOf(row?.['origin']));
    case 'stock.picking.action_cancel':
      return write('delivery.cancel', row?.['origin']);
    case 'account.move.create':
      return write('bill.create', billReference(store, values));
    case 'account.move.action_post':
      return write('bill.post', row && billReference(store, row));
    case 'account.payment.register.action_create_payments':
      return write('payment.create', row?.['communication']);
    default:
      return { operation: `${model}.${method}`, reference: '', write: !READS.has(method) };
  }
}

function seed(store: Store): void {
  const euro = store.create('res.currency', { name: CURRENCY });
  store.create('res.currency', { name: 'USD' });
  store.create('product.pricelist', { name: 'Default', currency_id: euro.id });
  const countries = new Map<string, Row>();
  for (const code of [...EU, 'CH', 'GB', 'NO', 'US'])
    countries.set(code, store.create('res.country', { name: code, code }));
  for (const app of ['sale_management', 'purchase', 'stock', 'stock_dropshipping', 'stock_delivery', 'account']) {
    store.create('ir.module.module', { name: app, state: 'installed' });
  }
  const immediate = store.create('account.payment.term', { name: 'Immediate Payment', days: 0 });
  store.create('account.journal', { name: 'Bank', code: 'BNK1', type: 'bank' });
  store.create('stock.route', { name: 'Dropship' });
  store.create('stock.picking.type', { name: 'Receipts', code: 'incoming' });
  store.create('stock.picking.type', { name: 'Delivery Orders', code: 'outgoing' });
  store.create('stock.picking.type', { name: 'Dropship', code: 'dropship' });
  for (const supplier of Object.values(suppliers)) {
    store.create('res.partner', {
      name: supplier.company,
      ref: supplier.name,
      is_company: true,
      supplier_rank: 1,
      street: supplier.address.street,
      zip: supplier.address.postalCode,
      city: supplier.address.city,
      country_id: countries.get(supplier.address.country)?.id ?? false,
      property_supplier_payment_term_id: immediate.id,
    });
  }
  for (const product of products) {
    store.create('product.product', {
      name: product.name,
      default_code: product.sku,
      is_storable: true,
      list_price: Number(product.price),
    });
  }
  store.create('product.product', { name: 'Shipping', default_code: 'SHIPPING', type: 'service' });
  store.create('product.product', { name: 'Discount', default_code: 'DISCOUNT', type: 'service' });
}
