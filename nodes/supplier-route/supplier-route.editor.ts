{
  interface SupplierRoute {
    name: string;
    ledger: string;
    strategy: 'cheapest' | 'fastest' | 'fewest-parcels' | 'priority';
    source: 'table' | 'file' | 'message' | 'ledger';
    offers: Row[];
    file: string;
    rules: Row[];
    wholeUnits: boolean;
  }

  type Row = Record<string, string>;

  const OFFER = [
    'supplier',
    'sku',
    'supplierSku',
    'unitCost',
    'currency',
    'stock',
    'leadTimeDays',
    'countries',
    'minimumQuantity',
  ];
  const RULE = ['action', 'supplier', 'field', 'operator', 'value'];

  /** What a column may hold; other columns are free text. */
  const CHOICES: Record<string, string[]> = {
    action: ['exclude', 'only', 'prefer'],
    field: ['country', 'sku', 'region', 'postalCode', 'total'],
    operator: [],
  };

  /** Operators go by the field (`fitOperators`): an order's total is compared as an amount, everything else as text. */
  const TEXT_OPERATORS = ['is', 'is not', 'starts with', 'matches'];
  const TOTAL_OPERATORS = ['above', 'below'];

  /** An editable list whose rows are the columns, each with its name above it. */
  function prepareList(
    node: EditorNode,
    id: string,
    columns: string[],
    rows: Row[],
    button: string,
    initial: Row,
  ): void {
    const list = $(`#node-input-${id}-list`);
    list.editableList({
      addButton: node._(`button.${button}`),
      sortable: true,
      removable: true,
      height: 'auto',
      addItem(container, _index, data) {
        const row = Object.keys(data).length > 0 ? data : initial;
        const fields = $('<div class="dropship-fields">').appendTo(container);
        for (const column of columns) {
          $('<label>')
            .text(node._(`column.${column}`))
            .append(inputFor(node, column, row[column] ?? ''))
            .appendTo(fields);
        }
        fitOperators(node, fields, row['operator']);
      },
    });
    list.editableList('addItems', rows);
  }

  function fitOperators(node: EditorNode, fields: JQuery, chosen: string | undefined): void {
    const field = fields.find('[data-column="field"]');
    const operator = fields.find('[data-column="operator"]');
    const fit = (): void =>
      offer(node, operator, 'operator', field.val() === 'total' ? TOTAL_OPERATORS : TEXT_OPERATORS);
    field.on('change', fit);
    fit();
    if (chosen) operator.val(chosen);
  }

  function inputFor(node: EditorNode, column: string, value: string): JQuery {
    const choices = column === 'supplier' ? suppliers(value) : CHOICES[column];
    if (!choices) return $('<input type="text">').attr('data-column', column).val(value);
    const select = $('<select>').attr('data-column', column);
    offer(node, select, column, choices);
    return select.val(value || (choices[0] ?? ''));
  }

  /** Fills a select anew; what was chosen stays when it is still on offer. */
  function offer(node: EditorNode, select: JQuery, column: string, choices: string[]): void {
    const chosen = String(select.val() ?? '');
    select.empty();
    for (const choice of choices) {
      const words = column === 'supplier' ? choice || node._('choose') : node._(`${column}.${choice}`);
      select.append($('<option>').val(choice).text(words));
    }
    select.val(choices.includes(chosen) ? chosen : (choices[0] ?? ''));
  }

  /** A supplier that the table names stays on offer although it has no config node (any more). */
  function suppliers(chosen: string): string[] {
    return [...new Set(['', ...dropship.referencesOf('supplier'), chosen])];
  }

  function readList(id: string): Row[] {
    const rows: Row[] = [];
    $(`#node-input-${id}-list`)
      .editableList('items')
      .each(function () {
        const row: Row = {};
        $(this)
          .find('[data-column]')
          .each(function () {
            row[$(this).attr('data-column') ?? ''] = String($(this).val() ?? '').trim();
          });
        rows.push(row);
      });
    return rows;
  }

  /** "WINE-1 x 3, GLASS-6": SKUs with their quantities; without one it is a single piece. */
  function readLines(text: string): { sku: string; quantity: string }[] {
    return text
      .split(/[,;\n]/)
      .map((part) => /^\s*(.+?)(?:\s+[x*]?\s*(\d+(?:\.\d+)?))?\s*$/i.exec(part))
      .flatMap((match) => (match?.[1] ? [{ sku: match[1], quantity: match[2] ?? '1' }] : []));
  }

  /** Asks the runtime what it would decide with the settings of the dialog, deployed or not. */
  function prepareDryRun(node: EditorNode): void {
    const result = $('#dropship-dry-result');
    const show = (lines: string[]): void => {
      result.empty();
      for (const line of lines) $('<div>').text(line).appendTo(result);
    };
    $('#dropship-dry-run').on('click', () => {
      const ledger = String($('#node-input-ledger').val() ?? '');
      const question = {
        ledger: ledger === '_ADD_' ? '' : ledger,
        strategy: $('#node-input-strategy').val(),
        source: $('#node-input-source').val(),
        file: $('#node-input-file').val(),
        wholeUnits: $('#node-input-wholeUnits').prop('checked') as boolean,
        offers: readList('offers'),
        rules: readList('rules'),
        country: $('#dropship-dry-country').val(),
        lines: readLines(String($('#dropship-dry-lines').val() ?? '')),
      };
      $.ajax({
        url: `${RED.settings.apiRootUrl}dropship/route/dry-run`,
        method: 'POST',
        contentType: 'application/json',
        data: JSON.stringify(question),
      })
        .done((answer: { sentences: string[]; total: string }) =>
          show([...answer.sentences, node._('dryRun.total', { total: answer.total })]),
        )
        .fail((request) => {
          const said = (request.responseJSON as { error?: { message?: string } } | undefined)?.error?.message;
          const denied = request.status === 401 || request.status === 403;
          show([said ?? node._(denied ? 'dryRun.notAllowed' : 'dryRun.failed')]);
        });
    });
  }

  RED.nodes.registerType<SupplierRoute>('supplier-route', {
    category: 'drop shipping',
    color: '#F3B567',
    icon: 'dropship-fork.svg',
    defaults: {
      name: { value: '' },
      ledger: { value: '', type: 'dropship-ledger', required: false },
      strategy: { value: 'cheapest', required: true },
      source: { value: 'table', required: true },
      offers: {
        value: [],
        validate: dropship.valid.rows({
          required: ['supplier', 'sku', 'unitCost', 'currency'],
          decimals: ['unitCost', 'stock', 'leadTimeDays', 'minimumQuantity'],
        }),
      },
      file: { value: '' },
      rules: {
        value: [],
        validate: dropship.valid.rows({ required: ['action', 'supplier', 'field', 'operator', 'value'] }),
      },
      wholeUnits: { value: true },
    },
    inputs: 1,
    outputs: 3,
    paletteLabel() {
      return this._('title.palette');
    },
    label() {
      return this.name || this._(`title.${this.strategy}`);
    },
    labelStyle() {
      return this.name ? 'node_label_italic' : '';
    },
    inputLabels() {
      return this._('port.in');
    },
    outputLabels(index) {
      const port = ['po', 'undeliverable', 'givenUp'][index];
      return port && this._(`port.${port}`);
    },
    oneditprepare() {
      prepareList(this, 'offers', OFFER, this.offers, 'offer', { currency: 'EUR' });
      prepareList(this, 'rules', RULE, this.rules, 'rule', {});
      const source = $('#node-input-source');
      const show = (): void => {
        $('#dropship-offers-row').toggle(source.val() === 'table');
        $('#dropship-file-row').toggle(source.val() === 'file');
      };
      source.on('change', show);
      show();
      prepareDryRun(this);
    },
    oneditsave() {
      this.offers = readList('offers');
      this.rules = readList('rules');
    },
  });
}
