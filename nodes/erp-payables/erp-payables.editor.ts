{
  interface ErpPayables {
    name: string;
    erp: string;
    dailyAt: string;
    dueWithinDays: number;
  }

  RED.nodes.registerType<ErpPayables>('erp-payables', {
    category: 'drop shipping',
    color: '#A9CF9F',
    icon: 'dropship-calendar.svg',
    defaults: {
      name: { value: '' },
      erp: { value: '', type: 'erp-system', required: true },
      dailyAt: { value: '', validate: dropship.valid.time() },
      dueWithinDays: { value: 0, validate: dropship.valid.number({ min: 0, max: 90, integer: true }) },
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
