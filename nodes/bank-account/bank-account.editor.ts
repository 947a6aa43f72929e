{
  interface BankAccount {
    name: string;
    reference: string;
    ledger: string;
    product: 'iso20022-folder' | 'iso20022-http';
    baseUrl: string;
    timeout: number;
    options: Record<string, unknown> | string;
    movedTo: string;
  }

  RED.nodes.registerType<BankAccount, 'apiKey' | 'webhookSecret' | 'oldWebhookSecret'>('bank-account', {
    category: 'config',
    defaults: {
      name: { value: '' },
      reference: { value: '', required: true, validate: dropship.valid.reference() },
      ledger: { value: '', type: 'dropship-ledger', required: false },
      product: { value: 'iso20022-folder', required: true },
      baseUrl: { value: '', required: true, validate: dropship.valid.folderOrUrl() },
      timeout: { value: 20, validate: dropship.valid.number({ min: 1, max: 300, integer: true }) },
      options: { value: {}, validate: dropship.valid.options({ iban: true }) },
      movedTo: { value: '' },
    },
    credentials: {
      apiKey: { type: 'password' },
      webhookSecret: { type: 'password' },
      oldWebhookSecret: { type: 'password' },
    },
    label() {
      return dropship.partnerLabel(this);
    },
    oneditprepare() {
      dropship.partner.open(this);
    },
    oneditsave() {
      dropship.partner.save(this);
    },
    oneditcancel() {
      dropship.partner.close();
    },
    oneditdelete() {
      dropship.partner.close();
    },
  });
}
