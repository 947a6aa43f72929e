import { setTimeout as delay } from 'node:timers/promises';
import type { NodeAPI, NodeDef } from 'node-red';
import type { Ledger } from '../ledger/ledger.ts';
import { BusinessRefusal } from '../orders/errors.ts';
import { fileOfLedger, ledgerOf } from './configs.ts';

export interface UsedLedger {
  /** Of its config node, or `default`. */
  id: string;
  /** Empty where nobody has named it. */
  name: string;
}

interface Config extends NodeDef {
  d?: boolean;
  disabled?: boolean;
  ledger?: string;
}

/** Stands for the ledger of what names none. */
const DEFAULT = 'default';

const PARTNER_TYPES = ['ecommerce-platform', 'erp-system', 'supplier', 'bank-account'];

/** Milliseconds for which a config node is waited for: a deploy is answered before the new nodes stand. */
const PATIENCE = 5000;

/** The ledgers that the flows use, each file once: by config node, and the default one where a partner names none. */
export function usedLedgers(RED: NodeAPI): UsedLedger[] {
  const configs = enabledNodes(RED);
  const byFile = new Map<string, UsedLedger>();
  for (const { id, name } of configs.filter(({ type }) => type === 'dropship-ledger')) {
    const file = fileOfLedger(RED, id);
    if (!byFile.has(file)) byFile.set(file, { id, name });
  }
  const usesDefault = configs.some(({ type, ledger }) => PARTNER_TYPES.includes(type) && !ledger);
  const standard = fileOfLedger(RED, undefined);
  if ((usesDefault || byFile.size === 0) && !byFile.has(standard)) byFile.set(standard, { id: DEFAULT, name: '' });
  return [...byFile.values()];
}

/** Those that Node-RED starts: none that is disabled, or stands on a tab that is. */
function enabledNodes(RED: NodeAPI): Config[] {
  const all: Config[] = [];
  RED.nodes.eachNode((config) => void all.push(config as Config));
  const tabs = new Set(all.filter(({ type, disabled }) => type === 'tab' && !disabled).map(({ id }) => id));
  return all.filter(({ d, z }) => !d && (!z || tabs.has(z)));
}

/**
 * The ledger that somebody who asks from outside means: the named one, or the only one.
 * @throws BusinessRefusal `LEDGER_AMBIGUOUS`: to guess would show, or change, somebody else's orders
 * @throws ConfigurationMistake `LEDGER_MISSING`
 */
export async function meantLedger(RED: NodeAPI, id: string | undefined): Promise<Ledger> {
  await deployed(RED);
  if (id) return ledgerOf(RED, id === DEFAULT ? undefined : id);
  const used = usedLedgers(RED);
  const [only] = used;
  if (used.length === 1 && only) return meantLedger(RED, only.id);
  const names = used.map((each) => `?ledger=${each.id} (${each.name || 'without a name'})`);
  throw new BusinessRefusal(
    'LEDGER_AMBIGUOUS',
    `The flows use ${used.length} ledgers. Say which one is meant: ${names.join(', ')}.`,
  );
}

/** Waits until the ledgers' config nodes stand, as far as they are going to. */
async function deployed(RED: NodeAPI): Promise<void> {
  const until = Date.now() + PATIENCE;
  const isThere = ({ id, type }: Config) => type !== 'dropship-ledger' || RED.nodes.getNode(id);
  while (!enabledNodes(RED).every(isThere) && Date.now() < until) await delay(50);
}
