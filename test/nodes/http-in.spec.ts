import { readFileSync } from 'node:fs';
import should from 'should';
import type { FlowNode } from '../../scripts/examples.ts';
import type { OrderView } from '../../ledger/views.ts';
import { until } from './harness.ts';
import { post, shopHeaders, startReal, supplierHeaders, wooOrder, type Real } from './real.ts';

const small = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../flows/small/${name}.json`, import.meta.url), 'utf8')) as FlowNode[];

describe('a core "http in" node before the receivers', () => {
  let real: Real;
  let secret: string;

  /** The two small flows, and the config nodes of the big ones. */
  const flows = (skipBodyParsing = true): FlowNode[] => [
    ...real.flows().filter((node) => !('z' in node) && node.type !== 'tab'),
    ...small('intake-http-in').map((node) => ({
      ...node,
      ...(node.type === 'http in' ? { skipBodyParsing } : {}),
      // So that the test sees what the flow's author sees beside the flow.
      ...(node.type === 'debug' ? { console: true } : {}),
    })),
    ...small('callbacks-http-in'),
  ];

  before(async () => {
    real = await startReal({ deployed: false });
    secret = real.sandbox.keys.shop.webhookSecret;
    await real.deploy(flows());
  });
  after(() => real.close());

  const orders = () => `${real.root}/shop/orders`;
  const callbacks = () => `${real.root}/suppliers/prompt`;

  it('takes in a signed body as the own address does, once, and answers through "http response"', async () => {
    const order = wooOrder();
    const body = JSON.stringify(order, null, 1);
    const first = await post(orders(), body, shopHeaders(body, secret));
    should([first.status, JSON.parse(first.text)]).deepEqual([200, { stored: 1, repeated: 0 }]);
    should(first.headers['content-type']).equal('application/json; charset=utf-8');
    const again = await post(`${real.root}/dropship/orders/shop`, body, shopHeaders(body, secret));
    should(JSON.parse(again.text)).deepEqual({ stored: 0, repeated: 1 });
    await until('the order', () =>
      real.red.get<OrderView>(`/dropship/orders/shop-${String(order['id'])}`).catch(() => undefined),
    );
  });

  it('takes in callbacks of a supplier, and nothing that another one has signed', async () => {
    const data = { number: 'SH-1', purchaseOrder: 'shop-1-1', lines: [{ line: '1', quantity: '1' }] };
    const body = JSON.stringify({ type: 'shipment.sent', timestamp: new Date().toISOString(), data });
    const { prompt, parcels } = real.sandbox.keys;
    const taken = await post(callbacks(), body, supplierHeaders(body, prompt.webhookSecret));
    should([taken.status, taken.text]).deepEqual([200, '{"stored":1,"repeated":0}']);
    should((await post(callbacks(), body, supplierHeaders(body, parcels.webhookSecret))).status).equal(401);
  });

  it('answers 401, 400 and a doubled signature as the own address does', async () => {
    const body = JSON.stringify(wooOrder());
    const headers = shopHeaders(body, secret);
    for (const [sent, given, status] of [
      [body, { ...headers, 'x-wc-webhook-signature': 'AAAA' }, 401],
      [body, { 'content-type': 'application/json' }, 401],
      [
        body,
        { ...headers, 'x-wc-webhook-signature': Array(2).fill(headers['x-wc-webhook-signature']) as string[] },
        401,
      ],
      [body.slice(0, -5), shopHeaders(body.slice(0, -5), secret), 400],
    ] as const) {
      const here = await post(orders(), sent, given);
      const there = await post(`${real.root}/dropship/orders/shop`, sent, given);
      should([here.status, here.text]).deepEqual([status, there.text]);
    }
  });

  it('that has parsed the body is answered 500, and its author is told what to switch on', async () => {
    await real.deploy(flows(false));
    const body = JSON.stringify(wooOrder());
    const answer = await until('the parsed body', async () => {
      const given = await post(orders(), body, shopHeaders(body, secret));
      return given.status === 500 && given;
    });
    should(JSON.parse(answer.text)).deepEqual({
      error: {
        code: 'BODY_PARSED',
        message: 'This endpoint is not set up completely. Send the message again later.',
      },
    });
    await until('the sentence in the log', () => /"http in" node .*"Do not parse request body"/.test(real.log()));
    // Mended, the same message is taken in.
    await real.deploy(flows());
    await until('the same message', async () => (await post(orders(), body, shopHeaders(body, secret))).status === 200);
  });
});
