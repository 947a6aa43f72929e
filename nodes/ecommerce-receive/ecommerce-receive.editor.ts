{
  interface EcommerceReceive {
    name: string;
    platform: string;
    pollMinutes: number;
  }

  RED.nodes.registerType<EcommerceReceive>('ecommerce-receive', {
    category: 'drop shipping',
    color: '#A3C7DE',
    icon: 'dropship-cart.svg',
    defaults: {
      name: { value: '' },
      platform: { value: '', type: 'ecommerce-platform', required: true },
      pollMinutes: { value: 5, validate: dropship.valid.number({ min: 0, max: 1440, integer: true }) },
    },
    inputs: 1,
    outputs: 4,
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
    outputLabels(index) {
      const port = ['new', 'changed', 'cancelled', 'reply'][index];
      return port && this._(`port.${port}`);
    },
    oneditprepare() {
      dropship.showAddress(this, 'orders', 'platform');
    },
  });
}
