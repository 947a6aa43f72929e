import type { NodeAPI, Node, NodeDef } from 'node-red';
import { DEFAULT_SETTINGS, type LedgerSettings } from '../../ledger/core.ts';
import type { LedgerNode } from '../configs.ts';
import { installAdmin } from '../admin.ts';
import { ledgerFile, useLedger } from '../ledgers.ts';

interface Config extends NodeDef {
  file: string;
  quietTime: string | number;
  batch: string | number;
  maxEffects: string | number;
  maxAttempts: string | number;
  patience: string | number;
}

/** The ledger: where everything is written down before anyone is answered. */
export default function (RED: NodeAPI): void {
  installAdmin(RED);
  function construct(this: LedgerNode, config: Config): void {
    RED.nodes.createNode(this, config);
    this.file = ledgerFile(RED, config.file);
    this.ledger = () => useLedger(RED, this.file, settingsOf(config));
    this.ledger().catch((error: Error) => this.error(error.message));
  }
  RED.nodes.registerType('dropship-ledger', construct as unknown as (this: Node, config: NodeDef) => void);
}

/** The edit dialog's units (seconds, hours) in milliseconds; what is left empty or wrong keeps its default. */
function settingsOf(config: Config): Partial<LedgerSettings> {
  const positive = (value: string | number, unit: number, standard: number) =>
    Number(value) > 0 ? Number(value) * unit : standard;
  return {
    quietTime: positive(config.quietTime, 1000, DEFAULT_SETTINGS.quietTime),
    batch: positive(config.batch, 1, DEFAULT_SETTINGS.batch),
    maxEffects: positive(config.maxEffects, 1, DEFAULT_SETTINGS.maxEffects),
    maxAttempts: positive(config.maxAttempts, 1, DEFAULT_SETTINGS.maxAttempts),
    patience: positive(config.patience, 3_600_000, DEFAULT_SETTINGS.patience),
  };
}
