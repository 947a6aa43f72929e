import type { NodeAPI } from 'node-red';
import { registerPartner } from '../configs.ts';

/** A supplier. */
export default function (RED: NodeAPI): void {
  registerPartner(
    RED,
    'supplier',
    'supplier',
    {
      user: { type: 'text' },
      password: { type: 'password' },
      apiKey: { type: 'password' },
      webhookSecret: { type: 'password' },
      oldWebhookSecret: { type: 'password' },
    },
    (adapter) => ({ readSupplier: (kind, body) => adapter.read(kind, body) }),
  );
}
