import type { NodeAPI } from 'node-red';
import { effectList, openWork, orderList, orderView, waitingEvents } from '../ledger/views.ts';
import { BusinessRefusal } from '../orders/errors.ts';
import { addExceptionRoutes } from './admin-exceptions.ts';
import { installMetrics } from './admin-metrics.ts';
import { addLedgerRoutes } from './admin-ledger.ts';
import { addPaymentRoutes } from './admin-payments.ts';
import { createRoutes, found, limitOf, queryOf } from './admin-routes.ts';
import { addRoutingRoutes } from './admin-routing.ts';
import { products } from './catalogue.ts';
import type { PartnerNode } from './configs.ts';
import { installDesk } from './desk.ts';

const installed = new WeakSet<object>();

/**
 * The admin routes, each with its own permission. Those that change something refuse to work when Node-RED has no admin
 * login, because then anybody who reaches the port could approve payments; `dropship: { development: true }` in the
 * settings file lifts that on a developer's machine.
 */
export function installAdmin(RED: NodeAPI): void {
  const admin = RED.httpAdmin as unknown as Parameters<typeof createRoutes>[1] | undefined;
  if (!admin || installed.has(admin)) return;
  installed.add(admin);
  installMetrics(RED);
  installDesk(RED);
  const routes = createRoutes(RED, admin);
  const { read, ledger, view } = routes;

  read('catalogue', async () => products());
  read('orders', (request) => view(request, () => orderList(limitOf(request), queryOf(request, 'search'))));
  read('orders/:id', async (request) =>
    found(await view(request, () => orderView(request.params['id'] ?? '')), 'order'),
  );
  read('effects', (request) =>
    view(request, () => {
      const orderId = queryOf(request, 'order');
      return effectList(orderId ? { orderId } : {});
    }),
  );
  read('work', async (request) => {
    const book = await ledger(request);
    const [events, waiting] = await Promise.all([
      book.transact('view', openWork),
      book.transact('view', waitingEvents),
    ]);
    return { events, waiting, ...book.dispatcher.load() };
  });
  read('partners/:id/test', async (request) => {
    const partner = RED.nodes.getNode(request.params['id'] ?? '') as PartnerNode | null;
    if (typeof partner?.testConnection !== 'function')
      throw new BusinessRefusal('NOT_FOUND', 'This config node is not deployed yet. Deploy, then test.');
    return partner.testConnection();
  });
  addExceptionRoutes(routes);
  addLedgerRoutes(routes);
  addPaymentRoutes(routes);
  addRoutingRoutes(routes);
}
