{
  interface ErpBill {
    name: string;
    erp: string;
    priceTolerance: string;
    amountTolerance: string;
  }

  RED.nodes.registerType<ErpBill>('erp-bill', {
    category: 'drop shipping',
    color: '#A9CF9F',
    icon: 'dropship-bill.svg',
    defaults: {
      name: { value: '' },
      erp: { value: '', type: 'erp-system', required: true },
      priceTolerance: { value: '0', validate: dropship.valid.number({ min: 0, max: 100 }) },
      amountTolerance: { value: '0', validate: dropship.valid.decimal() },
    },
    inputs: 1,
    outputs: 2,
    paletteLabel() {
      return this._('title.palette');
    },
    label() {
      return this.name || dropship.title(this, this.erp);
    },
    labelStyle() {
      return this.name ? 'node_label_italic' : '';
    },
    inputLabels() {
      return this._('port.in');
    },
    outputLabels(index) {
      const port = ['matched', 'mismatch'][index];
      return port && this._(`port.${port}`);
    },
  });
}
