{
  interface ErpComplete {
    name: string;
    erp: string;
  }

  RED.nodes.registerType<ErpComplete>('erp-complete', {
    category: 'drop shipping',
    color: '#A9CF9F',
    icon: 'dropship-box-check.svg',
    defaults: {
      name: { value: '' },
      erp: { value: '', type: 'erp-system', required: true },
    },
    inputs: 1,
    outputs: 1,
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
    outputLabels() {
      return this._('port.out');
    },
  });
}
