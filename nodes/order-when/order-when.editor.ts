{
  interface OrderWhen {
    name: string;
    ledger: string;
    condition: 'created' | 'acknowledged' | 'shipped' | 'paid';
    purpose: string;
  }

  RED.nodes.registerType<OrderWhen>('order-when', {
    category: 'drop shipping',
    color: '#DEBD5C',
    icon: 'dropship-join.svg',
    defaults: {
      name: { value: '' },
      ledger: { value: '', type: 'dropship-ledger', required: false },
      condition: { value: 'shipped', required: true },
      purpose: { value: '' },
    },
    inputs: 1,
    outputs: 1,
    paletteLabel() {
      return this._('title.palette');
    },
    label() {
      return this.name || this._(`title.${this.condition}`);
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
