import type { FlowNode } from '../scripts/examples.ts';
import { ASSORTMENT, SHOP } from './orders.ts';

/**
 * The whole intake wired by hand from Node-RED's own nodes: `http in`, answered at once, then the ERP and the suppliers by
 * `http request` with kept connections. Nothing is written down, so nothing survives a crash: what one has without Dropline.
 * @param partners where the ERP and the suppliers are
 */
export function coreFlow(partners: string): FlowNode[] {
  const z = 'core';
  const request = (id: string, next: string, url = ''): FlowNode => ({
    id,
    type: 'http request',
    z,
    name: '',
    method: 'POST',
    ret: 'obj',
    paytoqs: 'ignore',
    url,
    tls: '',
    persist: true,
    proxy: '',
    insecureHTTPParser: false,
    authType: '',
    senderr: true,
    headers: [],
    wires: next ? [[next]] : [[]],
  });
  const script = (id: string, outputs: number, wires: string[][], func: string): FlowNode => ({
    id,
    type: 'function',
    z,
    name: '',
    func,
    outputs,
    timeout: 0,
    noerr: 0,
    initialize: '',
    finalize: '',
    libs: [],
    wires,
  });
  const offers = JSON.stringify(
    Object.fromEntries(ASSORTMENT.map(({ sku, supplier, cost }) => [sku, { supplier, cost }])),
  );
  return [
    { id: z, type: 'tab', label: 'By hand', disabled: false },
    {
      id: 'core-in',
      type: 'http in',
      z,
      name: '',
      url: '/orders',
      method: 'post',
      upload: false,
      wires: [['core-answer', 'core-order']],
    },
    script('core-answer', 1, [['core-response']], `return { req: msg.req, res: msg.res, payload: { taken: true } };`),
    { id: 'core-response', type: 'http response', z, name: '', statusCode: '202', headers: {}, wires: [] },
    script(
      'core-order',
      1,
      [['core-erp-order']],
      `const order = msg.payload;
const number = '${SHOP}-' + order.id;
return {
  order,
  number,
  payload: {
    ref: number,
    order: number,
    customer: { name: order.buyer.first + ' ' + order.buyer.last, email: order.buyer.email },
    currency: order.currency,
    lines: order.line_items.map((line) => ({ sku: line.sku, qty: String(line.quantity), price: line.unit_price })),
  },
};`,
    ),
    request('core-erp-order', 'core-split', `${partners}/erp/orders`),
    script(
      'core-split',
      1,
      [['core-erp-po']],
      `const offers = ${offers};
const { order, number } = msg;
const parts = new Map();
for (const line of order.line_items) {
  const { supplier, cost } = offers[line.sku];
  if (!parts.has(supplier)) parts.set(supplier, []);
  parts.get(supplier).push({ line, cost });
}
const to = order.delivery;
const address = { name: to.first + ' ' + to.last, street: to.address_1, zip: to.zip, city: to.city, country: to.country };
return [[...parts].map(([supplier, lines], index) => ({
  number,
  supplier,
  po: number + '-' + (index + 1),
  address,
  lines,
  payload: {
    ref: number + '-' + (index + 1),
    order: number,
    sales_order_id: msg.payload.id,
    vendor: supplier,
    currency: order.currency,
    ship_to: address,
    lines: lines.map(({ line, cost }, at) => ({ ref: String(at + 1), sku: line.sku, qty: String(line.quantity), cost })),
  },
}))];`,
    ),
    request('core-erp-po', 'core-send', `${partners}/erp/purchase-orders`),
    script(
      'core-send',
      1,
      [['core-supplier']],
      `return {
  url: '${partners}/' + msg.supplier + '/orders',
  payload: {
    ref: msg.po,
    order: msg.number,
    recipient: msg.address,
    items: msg.lines.map(({ line }, at) => ({ pos: at + 1, article: line.sku, pieces: line.quantity })),
  },
};`,
    ),
    request('core-supplier', ''),
    {
      id: 'core-catch',
      type: 'catch',
      z,
      name: '',
      scope: null,
      uncaught: false,
      wires: [['core-problem']],
    },
    {
      id: 'core-problem',
      type: 'debug',
      z,
      name: '',
      active: true,
      tosidebar: false,
      console: true,
      tostatus: false,
      complete: 'error',
      targetType: 'msg',
      wires: [],
    },
  ];
}
