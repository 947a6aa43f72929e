{
  interface BankReceive {
    name: string;
    account: string;
    pollMinutes: number;
  }

  RED.nodes.registerType<BankReceive>('bank-receive', {
    category: 'drop shipping',
    color: '#CDB0CD',
    icon: 'dropship-bank-check.svg',
    defaults: {
      name: { value: '' },
      account: { value: '', type: 'bank-account', required: true },
      pollMinutes: { value: 1, validate: dropship.valid.number({ min: 0, max: 1440, integer: true }) },
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
      const port = ['paid', 'rejected', 'reply'][index];
      return port && this._(`port.${port}`);
    },
    oneditprepare() {
      dropship.showAddress(this, 'bank', 'account');
    },
  });
}
