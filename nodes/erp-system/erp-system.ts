import type { NodeAPI } from 'node-red';
import { registerPartner } from '../configs.ts';

/** An ERP. */
export default function (RED: NodeAPI): void {
  registerPartner(
    RED,
    'erp-system',
    'erp',
    { user: { type: 'text' }, password: { type: 'password' }, apiKey: { type: 'password' } },
    () => ({}),
  );
}
