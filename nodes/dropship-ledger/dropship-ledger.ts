import { resolve } from 'node:path';
import type { NodeAPI, Node, NodeDef } from 'node-red';
import { BACKUP, DEFAULT_SETTINGS, RETENTION, type LedgerSettings } from '../../ledger/settings.ts';
import type { LedgerNode } from '../configs.ts';
import { installAdmin } from '../admin.ts';
import { describeDatabase } from '../../ledger/postgres.ts';
import { ConfigurationMistake } from '../../orders/errors.ts';
import { keepLedger, ledgerFile, useLedger, whenOpen } from '../ledgers.ts';

interface Config extends NodeDef {
  /** Nodes that were made before there was a choice have none. */
  store?: 'file' | 'postgres';
  file: string;
  quietTime: string | number;
  batch: string | number;
  maxEffects: string | number;
  maxAttempts: string | number;
  patience: string | number;
  /** Nodes that were made before these were here have none of them. */
  backupFolder?: string;
  backupHours?: string | number;
  backupKeep?: string | number;
  redactAfterDays?: string | number;
}

/** The ledger: where everything is written down before anyone is answered. */
export default function (RED: NodeAPI): void {
  installAdmin(RED);
  function construct(this: LedgerNode, config: Config): void {
    RED.nodes.createNode(this, config);
    const url = config.store === 'postgres' ? (this.credentials as { url?: string }).url?.trim() : undefined;
    this.file = config.store === 'postgres' ? addressOf(this, url) : ledgerFile(RED, config.file);
    this.ledger = keepLedger(async () => {
      if (config.store === 'postgres') describeDatabase(required(url));
      return useLedger(RED, this.file, settingsOf(RED, config), url);
    });
    const stop = new AbortController();
    this.on('close', () => stop.abort());
    let told = '';
    const missing = (error: Error) => {
      // Once, and not at every try.
      if (error.message !== told) this.warn(error.message);
      told = error.message;
    };
    whenOpen(this.ledger, missing, stop.signal).then(
      () => told && this.log('The ledger is there.'),
      (error: Error) => this.error(error.message),
    );
  }
  RED.nodes.registerType('dropship-ledger', construct as unknown as (this: Node, config: NodeDef) => void, {
    credentials: { url: { type: 'password' } },
  });
}

/** What the ledger is known by: the address without its password. A mistake in it is told when the ledger is used. */
function addressOf(node: Node, url: string | undefined): string {
  try {
    return describeDatabase(required(url));
  } catch {
    return `database of ${node.id}`;
  }
}

function required(url: string | undefined): string {
  if (url) return url;
  throw new ConfigurationMistake(
    'LEDGER_URL_MISSING',
    "The ledger has no database URL. Enter it in the ledger's config node, or choose a file there.",
    { status: 'no database URL' },
  );
}

/** The edit dialog's units (seconds, hours) as the ledger has them; what is left empty or wrong keeps its default. */
function settingsOf(RED: NodeAPI, config: Config): Partial<LedgerSettings> {
  const positive = (value: string | number, unit: number, standard: number) =>
    Number(value) > 0 ? Number(value) * unit : standard;
  /** Zero means never. */
  const orNever = (value: string | number | undefined, standard: number) =>
    String(value ?? '').trim() !== '' && Number(value) >= 0 ? Number(value) : standard;
  const folder = String(config.backupFolder ?? '').trim();
  return {
    quietTime: positive(config.quietTime, 1000, DEFAULT_SETTINGS.quietTime),
    batch: positive(config.batch, 1, DEFAULT_SETTINGS.batch),
    maxEffects: positive(config.maxEffects, 1, DEFAULT_SETTINGS.maxEffects),
    maxAttempts: positive(config.maxAttempts, 1, DEFAULT_SETTINGS.maxAttempts),
    patience: positive(config.patience, 3_600_000, DEFAULT_SETTINGS.patience),
    backup: {
      folder: folder && resolve(String(RED.settings['userDir'] ?? '.'), folder),
      everyHours: orNever(config.backupHours, BACKUP.everyHours),
      keep: positive(config.backupKeep ?? '', 1, BACKUP.keep),
    },
    retention: { redactAfterDays: orNever(config.redactAfterDays, RETENTION.redactAfterDays) },
  };
}
