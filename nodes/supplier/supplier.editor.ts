{
  interface Supplier {
    name: string;
    reference: string;
    ledger: string;
    product: 'rest-json' | 'generic';
    baseUrl: string;
    timeout: number;
    options: Record<string, unknown> | string;
    movedTo: string;
    priority: number;
    countries: string;
    shippingCost: string;
    handlingCost: string;
    freeShippingFrom: string;
    currency: string;
    leadTimeDays: number;
    minimumOrder: string;
    openOrderLimit: number | string;
  }

  RED.nodes.registerType<Supplier, 'user' | 'password' | 'apiKey' | 'webhookSecret' | 'oldWebhookSecret'>('supplier', {
    category: 'config',
    defaults: {
      name: { value: '' },
      reference: { value: '', required: true, validate: dropship.valid.reference() },
      ledger: { value: '', type: 'dropship-ledger', required: false },
      product: { value: 'rest-json', required: true },
      baseUrl: { value: '', required: true, validate: dropship.valid.url() },
      timeout: { value: 20, validate: dropship.valid.number({ min: 1, max: 300, integer: true }) },
      options: { value: {}, validate: dropship.valid.options() },
      movedTo: { value: '' },
      priority: { value: 10, validate: dropship.valid.number({ min: 0, max: 1000, integer: true }) },
      countries: { value: '', validate: dropship.valid.countries() },
      shippingCost: { value: '0', validate: dropship.valid.decimal() },
      handlingCost: { value: '0', validate: dropship.valid.decimal() },
      freeShippingFrom: { value: '', validate: dropship.valid.decimal({ optional: true }) },
      currency: { value: 'EUR', required: true, validate: dropship.valid.currency() },
      leadTimeDays: { value: 2, validate: dropship.valid.number({ min: 0, max: 365, integer: true }) },
      minimumOrder: { value: '', validate: dropship.valid.decimal({ optional: true }) },
      openOrderLimit: {
        value: '',
        validate: dropship.valid.number({ min: 1, max: 1000000, integer: true, optional: true }),
      },
    },
    credentials: {
      user: { type: 'text' },
      password: { type: 'password' },
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
