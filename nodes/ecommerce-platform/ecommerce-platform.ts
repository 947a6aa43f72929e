import type { NodeAPI } from 'node-red';
import { registerPartner } from '../configs.ts';

/** A shop. */
export default function (RED: NodeAPI): void {
  registerPartner(
    RED,
    'ecommerce-platform',
    'ecommerce',
    {
      key: { type: 'password' },
      secret: { type: 'password' },
      webhookSecret: { type: 'password' },
      oldWebhookSecret: { type: 'password' },
    },
    (adapter, config) => ({
      readOrder: (body) => adapter.readOrder(body),
      takeWhen: config['takeWhen'] === 'placed' ? 'placed' : 'paid',
    }),
  );
}
