{
  interface EcommerceCancel {
    name: string;
    platform: string;
    ledger: string;
    reason: string;
  }

  RED.nodes.registerType<EcommerceCancel>('ecommerce-cancel', {
    category: 'drop shipping',
    color: '#A3C7DE',
    icon: 'dropship-cart-cross.svg',
    defaults: {
      name: { value: '' },
      platform: { value: '', type: 'ecommerce-platform', required: false },
      ledger: { value: '', type: 'dropship-ledger', required: false },
      reason: { value: '' },
    },
    inputs: 1,
    outputs: 1,
    paletteLabel() {
      return this._('title.palette');
    },
    label() {
      return this.name || dropship.title(this, this.platform);
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
