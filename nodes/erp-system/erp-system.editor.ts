{
  interface ErpSystem {
    name: string;
    reference: string;
    ledger: string;
    product: 'odoo' | 'generic';
    baseUrl: string;
    timeout: number;
    options: Record<string, unknown> | string;
    movedTo: string;
  }

  RED.nodes.registerType<ErpSystem, 'user' | 'password' | 'apiKey'>('erp-system', {
    category: 'config',
    defaults: {
      name: { value: '' },
      reference: { value: '', required: true, validate: dropship.valid.reference() },
      ledger: { value: '', type: 'dropship-ledger', required: false },
      product: { value: 'odoo', required: true },
      baseUrl: { value: '', required: true, validate: dropship.valid.url() },
      timeout: { value: 20, validate: dropship.valid.number({ min: 1, max: 300, integer: true }) },
      options: { value: {}, validate: dropship.valid.options() },
      movedTo: { value: '' },
    },
    credentials: {
      user: { type: 'text' },
      password: { type: 'password' },
      apiKey: { type: 'password' },
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
