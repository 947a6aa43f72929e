{
  interface DropshipLedger {
    name: string;
    store: 'file' | 'postgres';
    file: string;
    quietTime: number;
    batch: number;
    maxEffects: number;
    maxAttempts: number;
    patience: number;
    backupFolder: string;
    backupHours: number | string;
    backupKeep: number | string;
    redactAfterDays: number | string;
  }

  RED.nodes.registerType<DropshipLedger, 'url'>('dropship-ledger', {
    category: 'config',
    defaults: {
      name: { value: '' },
      store: { value: 'file' },
      file: { value: '' },
      quietTime: { value: 30, validate: dropship.valid.number({ min: 1, max: 3600, integer: true }) },
      batch: { value: 64, validate: dropship.valid.number({ min: 1, max: 10000, integer: true }) },
      maxEffects: { value: 256, validate: dropship.valid.number({ min: 1, max: 10000, integer: true }) },
      maxAttempts: { value: 5, validate: dropship.valid.number({ min: 1, max: 100, integer: true }) },
      patience: { value: 24, validate: dropship.valid.number({ min: 1, max: 720 }) },
      // Empty in nodes that were made before these were here: the same as the values that new ones begin with.
      backupFolder: { value: '', validate: dropship.valid.folder() },
      backupHours: { value: 24, validate: dropship.valid.number({ min: 0, max: 720, optional: true }) },
      backupKeep: { value: 7, validate: dropship.valid.number({ min: 1, max: 1000, integer: true, optional: true }) },
      redactAfterDays: {
        value: 90,
        validate: dropship.valid.number({ min: 0, max: 36500, integer: true, optional: true }),
      },
    },
    credentials: {
      url: { type: 'password' },
    },
    label() {
      if (this.store === 'postgres') return this.name || this._('title.database');
      return this.name || this.file || this._('title.default');
    },
    oneditprepare() {
      const store = $('#node-config-input-store');
      const url = $('#node-config-input-url');
      // Made before there was a choice.
      if (!store.val()) store.val('file');
      const show = (): void => {
        const isDatabase = store.val() === 'postgres';
        $('.dropship-ledger-file').toggle(!isDatabase);
        $('.dropship-ledger-database').toggle(isDatabase);
        const typed = String(url.val() ?? '').trim();
        const isSaved = typed === '__PWD__';
        const isRight = isSaved || typed.startsWith('${') || /^postgres(ql)?:\/\/[^#\s]+\/[^/@#\s]+$/.test(typed);
        $('#dropship-ledger-url-wrong').toggle(isDatabase && !isRight);
      };
      store.on('change', show);
      url.on('input change', show);
      show();
    },
  });
}
