import type { NodeAPI } from 'node-red';
import { registerPartner } from '../configs.ts';

/** A bank account that suppliers are paid from. */
export default function (RED: NodeAPI): void {
  registerPartner(
    RED,
    'bank-account',
    'bank',
    {
      user: { type: 'text' },
      password: { type: 'password' },
      apiKey: { type: 'password' },
      webhookSecret: { type: 'password' },
      oldWebhookSecret: { type: 'password' },
    },
    (adapter) => ({ readStatus: (body) => adapter.readStatus(body) }),
  );
}
