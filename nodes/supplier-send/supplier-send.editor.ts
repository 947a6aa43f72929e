{
  interface SupplierSend {
    name: string;
    supplier: string;
    ledger: string;
  }

  RED.nodes.registerType<SupplierSend>('supplier-send', {
    category: 'drop shipping',
    color: '#F3B567',
    icon: 'dropship-send.svg',
    defaults: {
      name: { value: '' },
      supplier: { value: '', type: 'supplier', required: false },
      ledger: { value: '', type: 'dropship-ledger', required: false },
    },
    inputs: 1,
    outputs: 1,
    paletteLabel() {
      return this._('title.palette');
    },
    label() {
      return this.name || dropship.title(this, this.supplier);
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
