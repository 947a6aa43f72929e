import type { NodeAPI, NodeDef } from 'node-red';
import { chosenPartner, ledgerOfChoice } from '../choices.ts';
import { fileOfLedger, partnersOf, type PartnerNode } from '../configs.ts';
import { registerReceiveNode } from '../receive-node.ts';

interface Config extends NodeDef {
  supplier: string;
  ledger: string;
  pollMinutes: string | number;
}

/** What suppliers answer: acknowledgements, ship notices, bills, cancellations. */
export default function (RED: NodeAPI): void {
  registerReceiveNode<'supplier', Config>(RED, 'supplier-receive', {
    section: 'suppliers',
    kinds: ['acknowledgement', 'shipment', 'bill', 'cancellation'],
    partners: (red, config) => {
      if (!config.supplier)
        return {
          chosen: undefined,
          all: partnersOf(fileOfLedger(red, config.ledger), 'supplier') as PartnerNode<'supplier'>[],
        };
      const chosen = chosenPartner(red, 'supplier', config.supplier);
      return { chosen, all: [chosen] };
    },
    ledger: (red, config) => ledgerOfChoice(red, 'supplier', config.supplier, config.ledger),
    receive: (supplier, request) => supplier.adapter().receive(request),
    poll: (supplier) => {
      const adapter = supplier.adapter();
      return adapter.poll ? { name: 'documents', fetch: (cursor) => adapter.poll!(cursor) } : undefined;
    },
    pollMinutes: (config) => Number(config.pollMinutes),
    ports: { acknowledged: 0, shipped: 1, freed: 2, billed: 3, cancelled: 4 },
    replyPort: 5,
  });
}
