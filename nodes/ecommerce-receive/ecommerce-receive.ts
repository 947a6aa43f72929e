import type { NodeAPI, NodeDef } from 'node-red';
import { chosenPartner, partnerLedger } from '../choices.ts';
import { registerReceiveNode } from '../receive-node.ts';

interface Config extends NodeDef {
  platform: string;
  pollMinutes: string | number;
}

/** Orders come in: by the shop's webhooks, over a wire from `http in`, and by polling for what webhooks missed. */
export default function (RED: NodeAPI): void {
  registerReceiveNode<'ecommerce', Config>(RED, 'ecommerce-receive', {
    section: 'orders',
    kinds: ['order'],
    partners: (red, config) => {
      const chosen = chosenPartner(red, 'ecommerce', config.platform);
      return { chosen, all: [chosen] };
    },
    ledger: (red, config) => partnerLedger(red, 'ecommerce', config.platform),
    receive: (shop, request) => shop.adapter().receive(request),
    poll: (shop) => ({ name: 'orders', fetch: (cursor) => shop.adapter().poll(cursor) }),
    pollMinutes: (config) => Number(config.pollMinutes),
    ports: { placed: 0, changed: 1, cancelled: 2 },
    replyPort: 3,
  });
}
