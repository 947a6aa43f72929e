/** What may be set about a ledger, and what it is otherwise. */
export interface LedgerSettings {
  /** Milliseconds without a step after which an event with nothing unsettled is closed. */
  quietTime: number;
  /** Events emitted at a time. */
  batch: number;
  /** Calls to partners in work, beyond which no further event is emitted. */
  maxEffects: number;
  /** Errors and process deaths after which an event is set aside for a person. */
  maxAttempts: number;
  /** Milliseconds for which temporary faults of a partner are tried again before a person is asked. */
  patience: number;
  /** Milliseconds until an early callback (a purchase order that we do not know yet) becomes an exception. */
  earlyCallbackTime: number;
  /** Whether goods are sold in whole units only. */
  wholeUnits: boolean;
  deadlines: Deadlines;
  /** Milliseconds without a sign of life after which another instance's events are taken over. */
  lease: number;
  backup: BackupSettings;
  retention: RetentionSettings;
}

export interface BackupSettings {
  /** Where the copies go; empty: beside the ledger. A folder on another disk survives this one. */
  folder: string;
  /** Hours between two copies; 0: only on demand. */
  everyHours: number;
  /** Copies that are kept; the oldest ones are deleted once a newer one is complete. */
  keep: number;
}

export interface RetentionSettings {
  /** Days after the last step of a finished order until the people in it are removed; 0: never. */
  redactAfterDays: number;
}

/** Milliseconds until the next step of the business must have come. */
export interface Deadlines {
  /** An order, or lines that were given back, to suppliers. */
  route: number;
  /** A purchase order to its supplier. */
  send: number;
  /** The supplier's first answer. */
  acknowledge: number;
  /** All of an acknowledged purchase order on its way. */
  ship: number;
  /** A shipment told to the shop. */
  tellShop: number;
  /** The bill for what has shipped. */
  bill: number;
  /** A bill matched and entered in the ERP. */
  matchBill: number;
  /** What another step waits for in the ERP. */
  enter: number;
  /** A bill taken into a payment run: so long before it is due. */
  reserve: number;
  /** Reserved bills made a payment run. */
  run: number;
  /** A payment run approved and sent. */
  pay: number;
  /** What became of every payment of a run, from the bank. */
  report: number;
}

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

export const DEADLINES: Deadlines = {
  route: HOUR / 4,
  send: HOUR,
  acknowledge: 4 * HOUR,
  ship: 10 * DAY,
  tellShop: HOUR,
  bill: 30 * DAY,
  matchBill: HOUR,
  enter: HOUR,
  reserve: 3 * DAY,
  run: HOUR,
  pay: 3 * DAY,
  report: 4 * DAY,
};

export const BACKUP: BackupSettings = { folder: '', everyHours: 24, keep: 7 };

export const RETENTION: RetentionSettings = { redactAfterDays: 90 };

export const DEFAULT_SETTINGS: LedgerSettings = {
  quietTime: 30_000,
  batch: 64,
  maxEffects: 256,
  maxAttempts: 5,
  patience: 24 * 3_600_000,
  earlyCallbackTime: 3_600_000,
  wholeUnits: true,
  deadlines: DEADLINES,
  lease: 6000,
  backup: BACKUP,
  retention: RETENTION,
};
