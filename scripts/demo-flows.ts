import type { Sandbox } from '../sandbox/index.ts';
import type { FlowNode } from './examples.ts';
import { shippedFlows } from './node-red.ts';

/**
 * The shipped flows, pointed at a running sandbox and given its keys: what a retailer does in the edit dialogs.
 * @param changes further properties by node id, such as `{ 'dl-ledger': { quietTime: 1 } }`
 */
export function demoFlows(
  sandbox: Pick<Sandbox, 'urls' | 'keys'>,
  bankFolder: string,
  changes: Record<string, Record<string, unknown>> = {},
): FlowNode[] {
  const { urls, keys } = sandbox;
  const supplier = (name: 'prompt' | 'parcels' | 'moody') => ({ baseUrl: urls[name], credentials: keys[name] });
  const partners: Record<string, Record<string, unknown>> = {
    'dl-shop': {
      baseUrl: urls.shop,
      credentials: {
        key: keys.shop.consumerKey,
        secret: keys.shop.consumerSecret,
        webhookSecret: keys.shop.webhookSecret,
      },
    },
    'dl-erp': { baseUrl: urls.erp, credentials: { apiKey: keys.erp.apiKey } },
    'dl-prompt': supplier('prompt'),
    'dl-parcels': supplier('parcels'),
    'dl-moody': supplier('moody'),
    'dl-bank': { baseUrl: bankFolder, credentials: { webhookSecret: keys.bank.webhookSecret } },
  };
  return shippedFlows().map((node) => ({ ...node, ...partners[node.id], ...changes[node.id] }));
}
