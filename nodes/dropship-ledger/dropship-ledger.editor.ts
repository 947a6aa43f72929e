{
  interface DropshipLedger {
    name: string;
    file: string;
    quietTime: number;
    batch: number;
    maxEffects: number;
    maxAttempts: number;
    patience: number;
  }

  RED.nodes.registerType<DropshipLedger>('dropship-ledger', {
    category: 'config',
    defaults: {
      name: { value: '' },
      file: { value: '' },
      quietTime: { value: 30, validate: dropship.valid.number({ min: 1, max: 3600, integer: true }) },
      batch: { value: 64, validate: dropship.valid.number({ min: 1, max: 10000, integer: true }) },
      maxEffects: { value: 256, validate: dropship.valid.number({ min: 1, max: 10000, integer: true }) },
      maxAttempts: { value: 5, validate: dropship.valid.number({ min: 1, max: 100, integer: true }) },
      patience: { value: 24, validate: dropship.valid.number({ min: 1, max: 720 }) },
    },
    label() {
      return this.name || this.file || this._('title.default');
    },
  });
}
