{
  interface BankPay {
    name: string;
    account: string;
    approvals: number | string;
    limit: string;
  }

  RED.nodes.registerType<BankPay>('bank-pay', {
    category: 'drop shipping',
    color: '#CDB0CD',
    icon: 'dropship-bank.svg',
    defaults: {
      name: { value: '' },
      account: { value: '', type: 'bank-account', required: true },
      approvals: { value: '1', required: true, validate: dropship.valid.number({ min: 1, max: 2, integer: true }) },
      limit: { value: '', validate: dropship.valid.decimal({ optional: true }) },
    },
    inputs: 1,
    outputs: 3,
    paletteLabel() {
      return this._('title.palette');
    },
    label() {
      return this.name || dropship.title(this, this.account);
    },
    labelStyle() {
      return this.name ? 'node_label_italic' : '';
    },
    inputLabels() {
      return this._('port.in');
    },
    outputLabels(index) {
      const port = ['waiting', 'sent', 'refused'][index];
      return port && this._(`port.${port}`);
    },
  });
}
