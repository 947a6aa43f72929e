{
  interface EcommercePlatform {
    name: string;
    reference: string;
    ledger: string;
    product: 'woocommerce' | 'generic';
    baseUrl: string;
    takeWhen: 'paid' | 'placed';
    timeout: number;
    options: Record<string, unknown> | string;
    movedTo: string;
  }

  RED.nodes.registerType<EcommercePlatform, 'key' | 'secret' | 'webhookSecret' | 'oldWebhookSecret'>(
    'ecommerce-platform',
    {
      category: 'config',
      defaults: {
        name: { value: '' },
        reference: { value: '', required: true, validate: dropship.valid.reference() },
        ledger: { value: '', type: 'dropship-ledger', required: false },
        product: { value: 'woocommerce', required: true },
        baseUrl: { value: '', required: true, validate: dropship.valid.url() },
        takeWhen: { value: 'paid', required: true },
        timeout: { value: 20, validate: dropship.valid.number({ min: 1, max: 300, integer: true }) },
        options: { value: {}, validate: dropship.valid.options() },
        movedTo: { value: '' },
      },
      credentials: {
        key: { type: 'password' },
        secret: { type: 'password' },
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
    },
  );
}
