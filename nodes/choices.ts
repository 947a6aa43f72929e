import type { NodeAPI } from 'node-red';
import type { Ledger } from '../ledger/ledger.ts';
import { ConfigurationMistake } from '../orders/errors.ts';
import type { Role } from './catalogue.ts';
import { fileOfLedger, ledgerOf, partnerById, partnerByReference, type PartnerNode } from './configs.ts';

const NAMES: Record<Role, string> = { ecommerce: 'shop', erp: 'ERP', supplier: 'supplier', bank: 'bank account' };

/**
 * The partner that a node has chosen.
 * @throws ConfigurationMistake `PARTNER_MISSING`
 */
export function chosenPartner<R extends Role>(RED: NodeAPI, role: R, id: string): PartnerNode<R> {
  const partner = (RED.nodes.getNode(id) as PartnerNode | null) ?? partnerById(id);
  if (partner?.role !== role) {
    throw new ConfigurationMistake(
      'PARTNER_MISSING',
      `No ${NAMES[role]} is chosen, or its config node is missing. Open this node, choose one, and deploy.`,
      {
        status: `no ${NAMES[role]} chosen`.slice(0, 20),
      },
    );
  }
  return partner as PartnerNode<R>;
}

/**
 * The ledger of the chosen partner.
 * @throws ConfigurationMistake `PARTNER_MISSING`, at once
 */
export function partnerLedger(RED: NodeAPI, role: Role, id: string): Promise<Ledger> {
  return chosenPartner(RED, role, id).ledger();
}

/**
 * The ledger of the chosen partner or, where the document says which partner is meant, the chosen ledger.
 * @throws ConfigurationMistake `PARTNER_MISSING`, `LEDGER_MISSING`, at once
 */
export function ledgerOfChoice(RED: NodeAPI, role: Role, partnerId: string, ledgerId: string): Promise<Ledger> {
  return partnerId ? partnerLedger(RED, role, partnerId) : ledgerOf(RED, ledgerId);
}

/** The chosen partner or, where none is chosen, the one that the document names. */
export function partnerFor<R extends Role>(
  RED: NodeAPI,
  role: R,
  partnerId: string,
  ledgerId: string,
  reference: string,
): PartnerNode<R> {
  return partnerId
    ? chosenPartner(RED, role, partnerId)
    : partnerByReference(fileOfLedger(RED, ledgerId), reference, role);
}
