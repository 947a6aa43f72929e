{
  interface SupplierReceive {
    name: string;
    supplier: string;
    ledger: string;
    pollMinutes: number;
  }

  RED.nodes.registerType<SupplierReceive>('supplier-receive', {
    category: 'drop shipping',
    color: '#F3B567',
    icon: 'dropship-truck.svg',
    defaults: {
      name: { value: '' },
      supplier: { value: '', type: 'supplier', required: false },
      ledger: { value: '', type: 'dropship-ledger', required: false },
      pollMinutes: { value: 0, validate: dropship.valid.number({ min: 0, max: 1440, integer: true }) },
    },
    inputs: 1,
    outputs: 6,
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
    outputLabels(index) {
      const port = ['acknowledged', 'shipped', 'rejected', 'billed', 'cancelled', 'reply'][index];
      return port && this._(`port.${port}`);
    },
    oneditprepare() {
      dropship.showAddress(this, 'suppliers', 'supplier');
    },
  });
}
