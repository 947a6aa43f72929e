/** The editor code that all nodes share, served as `resources/dropship-editor.js`. Every node's page loads it; the first one wins. */
{
  const RESOURCES = `${RED.settings.apiRootUrl}resources/@dropline/node-red-dropship`;
  const PARTNER_TYPES = ['ecommerce-platform', 'erp-system', 'supplier', 'bank-account'];
  const CALLBACK_KINDS: Record<string, CallbackKind> = {
    'ecommerce-platform': 'orders',
    supplier: 'suppliers',
    'bank-account': 'bank',
  };

  const valid: DropshipEditor['valid'] = {
    reference() {
      return validator((node, value) => {
        if (!/^[a-z][a-z0-9-]{1,19}$/.test(value)) return node._('dropship.error.reference');
        return isTaken(node, value) ? node._('dropship.error.referenceTaken', { reference: value }) : true;
      });
    },
    url() {
      return validator((node, value) => isUrl(value) || node._('dropship.error.url'));
    },
    folderOrUrl() {
      return validator((node, value) => {
        if (chosenIn(node, 'product').endsWith('-folder')) return isFolder(value) || node._('dropship.error.folder');
        return isUrl(value) || node._('dropship.error.url');
      });
    },
    folder() {
      return validator((node, value) => {
        return value === '' || value.startsWith('${') || isFolder(value) || node._('dropship.error.folder');
      });
    },
    number(range) {
      return validator((node, value) => {
        if (value === '' && range.optional) return true;
        const number = Number(value);
        const inside = value !== '' && number >= range.min && number <= range.max;
        if (inside && (!range.integer || Number.isInteger(number))) return true;
        return node._(range.integer ? 'dropship.error.wholeNumber' : 'dropship.error.number', { ...range });
      });
    },
    decimal(rule = {}) {
      return validator((node, value) => {
        return (value === '' && rule.optional) || isDecimal(value) || node._('dropship.error.decimal');
      });
    },
    time() {
      return validator((node, value) => {
        return value === '' || /^([01]\d|2[0-3]):[0-5]\d$/.test(value) || node._('dropship.error.time');
      });
    },
    countries() {
      return validator((node, value) => areCountries(value) || node._('dropship.error.countries'));
    },
    currency() {
      return validator((node, value) => /^[A-Z]{3}$/.test(value) || node._('dropship.error.currency'));
    },
    options(rules = {}) {
      return function (this: EditorNode, value: unknown, _options: unknown): true | string {
        if (typeof value === 'string' && value !== '') return this._('dropship.error.json');
        const options = (value || {}) as Record<string, unknown>;
        if (chosenIn(this, 'product') === 'generic') {
          return isObject(options['operations']) || this._('dropship.error.operations');
        }
        const iban = String(options['iban'] ?? '');
        if (rules.iban && !isVariable(iban) && !isIban(iban)) return this._('dropship.error.iban');
        return true;
      };
    },
    rows(rules) {
      return function (this: EditorNode, value: unknown, _options: unknown): true | string {
        const rows = Array.isArray(value) ? (value as Record<string, string>[]) : [];
        for (const [index, row] of rows.entries()) {
          const number = index + 1;
          const missing = rules.required.find((name) => !row[name]);
          if (missing)
            return this._('dropship.error.rowIncomplete', { row: number, field: this._(`column.${missing}`) });
          const wrong = (rules.decimals ?? []).find((name) => row[name] && !isDecimal(row[name]));
          if (wrong) return this._('dropship.error.rowNumber', { row: number, field: this._(`column.${wrong}`) });
        }
        return true;
      };
    },
  };

  function validator(check: (node: EditorNode & Record<string, unknown>, value: string) => true | string): Validator {
    return function (this: EditorNode, value: unknown, _options: unknown): true | string {
      return check(this as EditorNode & Record<string, unknown>, String(value ?? '').trim());
    };
  }

  function isTaken(node: EditorNode & Record<string, unknown>, reference: string): boolean {
    const file = fileOf(chosenIn(node, 'ledger'));
    let taken = false;
    RED.nodes.eachConfig((other) => {
      const isOther = other.id !== node.id && PARTNER_TYPES.includes(other.type) && other['reference'] === reference;
      if (isOther && fileOf(String(other['ledger'] ?? '')) === file) taken = true;
    });
    return taken;
  }

  /** Ledgers with the same file are one; no ledger is the default one, whose file is not named either. */
  function fileOf(ledgerId: string): string {
    return String(RED.nodes.node(ledgerId)?.['file'] ?? '').trim();
  }

  function isUrl(value: string): boolean {
    try {
      return ['http:', 'https:'].includes(new URL(value).protocol);
    } catch {
      return false;
    }
  }

  function isFolder(value: string): boolean {
    return /^(\/|[A-Za-z]:[\\/]|\\\\)/.test(value);
  }

  function isDecimal(value: string | undefined): boolean {
    return /^\d{1,15}(\.\d+)?$/.test(String(value ?? '').trim());
  }

  function areCountries(value: string): boolean {
    return value === '' || value.split(',').every((code) => /^[A-Z]{2}$/.test(code.trim()));
  }

  function isVariable(value: string): boolean {
    return /^\$(\{\w+\}|\(\w+\))$/.test(value);
  }

  function isObject(value: unknown): value is Record<string, unknown> {
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  }

  /** Shape and check digits (ISO 13616, ISO 7064 mod 97-10). */
  function isIban(value: string): boolean {
    const iban = value.replace(/\s/g, '').toUpperCase();
    if (!/^[A-Z]{2}\d{2}[A-Z0-9]{11,30}$/.test(iban)) return false;
    let remainder = 0;
    for (const character of iban.slice(4) + iban.slice(0, 4)) {
      for (const digit of String(parseInt(character, 36))) remainder = (remainder * 10 + Number(digit)) % 97;
    }
    return remainder === 1;
  }

  /** What is chosen in the open dialog of this node, or what is saved: validators run in both places. */
  function chosenIn(node: EditorNode, property: 'product' | 'ledger'): string {
    const isOpen = $('#node-config-input-product').data('dropship-node') === node.id;
    const value = isOpen ? $(`#node-config-input-${property}`).val() : (node as PartnerNode)[property];
    return String(value ?? '');
  }

  function title(node: EditorNode, partnerId: string | undefined): string {
    const reference = partnerId ? RED.nodes.node(partnerId)?.['reference'] : undefined;
    return reference ? node._('title.with', { partner: reference }) : node._('title.without');
  }

  function partnerLabel(node: EditorNode & { name: string; reference: string }): string {
    const reference = node.reference || node._('title.palette');
    return node.name ? `${node.name} (${reference})` : reference;
  }

  function referencesOf(type: string): string[] {
    const references = new Set<string>();
    RED.nodes.eachConfig((node) => {
      if (node.type === type && node['reference']) references.add(String(node['reference']));
    });
    return [...references].sort();
  }

  let jsonEditor: CodeEditor | undefined;

  function open(node: PartnerNode): void {
    const product = $('#node-config-input-product').data('dropship-node', node.id);
    const saved = isObject(node.options) ? node.options : {};
    $('[data-option]').each(function () {
      setInput($(this), saved[$(this).attr('data-option') ?? '']);
    });
    product.on('change', () => showProduct(node, String(product.val())));
    showProduct(node, String(product.val() ?? node.product));
    prepareMove(node);
    prepareTest(node);
    const kind = CALLBACK_KINDS[node.type];
    if (kind) {
      const reference = $('#node-config-input-reference');
      const update = (): void => writeAddress(node, kind, String(reference.val()).trim());
      reference.on('input change', update);
      prepareCopy(node);
      update();
    }
  }

  /** Shows the rows of one product and hides the others'. */
  function showProduct(node: PartnerNode, product: string): void {
    $('[data-product]').each(function () {
      $(this).toggle(($(this).attr('data-product') ?? '').split(' ').includes(product));
    });
    if (product === 'generic' && !jsonEditor) prepareJson(node);
  }

  /** The options of a generic partner as text. The example is the one of the documentation (`docs/generic-rest.md`). */
  function prepareJson(node: PartnerNode): void {
    const { options } = node;
    const value =
      typeof options === 'string' ? options : JSON.stringify(node.product === 'generic' ? options : {}, null, 2);
    const editor = RED.editor.createEditor({ id: 'dropship-json', mode: 'ace/mode/json', value });
    jsonEditor = editor;
    $('#dropship-json-example').on('click', (event) => {
      event.preventDefault();
      void $.get({ url: `${RESOURCES}/options-${node.type}.json`, dataType: 'text' }).done((text: string) => {
        if (jsonEditor === editor) editor.setValue(text);
      });
    });
  }

  function prepareMove(node: PartnerNode): void {
    const row = $('#dropship-moved-row');
    const box = $('#dropship-moved');
    const target = (): string =>
      `${$('#node-config-input-product').val()} ${String($('#node-config-input-baseUrl').val()).trim()}`;
    const movedTo = $('#node-config-input-movedTo');
    row.toggle(Boolean(RED.nodes.node(node.id)));
    box.prop('checked', node.movedTo !== '' && node.movedTo === target());
    box.on('change', () => movedTo.val(box.prop('checked') ? target() : ''));
    $('#node-config-input-product, #node-config-input-baseUrl').on('input change', () => {
      box.prop('checked', movedTo.val() !== '' && movedTo.val() === target());
    });
  }

  function prepareTest(node: PartnerNode): void {
    const button = $('#dropship-test');
    const form = button.closest('form, .red-ui-tray-body');
    let touched = false;
    // Node-RED and this script fill the dialog with change events of their own, before the person can.
    setTimeout(() => form.on('input change', () => (touched = true)), 300);
    button.on('click', (event) => {
      event.preventDefault();
      if (touched || node.changed || !RED.nodes.node(node.id))
        return showResult(false, node._('dropship.test.deployFirst'));
      button.prop('disabled', true);
      showResult(undefined, node._('dropship.test.running'));
      $.getJSON(`${RED.settings.apiRootUrl}dropship/partners/${node.id}/test`)
        .done((answer: { ok: boolean; message: string }) => showResult(answer.ok, answer.message))
        .fail((request) => showResult(false, testFailure(node, request)))
        .always(() => button.prop('disabled', false));
    });
  }

  function testFailure(node: EditorNode, request: JQuery.jqXHR): string {
    const answer = request.responseJSON as { error?: { message?: string } } | undefined;
    if (answer?.error?.message) return answer.error.message;
    if (request.status === 401 || request.status === 403) return node._('dropship.test.notAllowed');
    return node._(request.status === 404 ? 'dropship.test.deployFirst' : 'dropship.test.noAnswer');
  }

  /** `ok` undefined: still running. */
  function showResult(ok: boolean | undefined, message: string): void {
    const icon = ok === undefined ? 'fa-circle-o-notch fa-spin' : ok ? 'fa-check' : 'fa-exclamation-triangle';
    $('#dropship-test-result')
      .removeClass('dropship-good dropship-bad')
      .addClass(ok === undefined ? '' : ok ? 'dropship-good' : 'dropship-bad')
      .empty()
      .append($('<i>').addClass(`fa ${icon}`), document.createTextNode(` ${message}`))
      .get(0)
      ?.scrollIntoView({ block: 'nearest' });
  }

  function save(node: PartnerNode): void {
    const product = String($('#node-config-input-product').val());
    node.options = jsonEditor && product === 'generic' ? readJson(jsonEditor.getValue()) : readOptions(product);
    close();
  }

  function readJson(text: string): Record<string, unknown> | string {
    try {
      const value: unknown = JSON.parse(text);
      return isObject(value) ? value : text;
    } catch {
      return text;
    }
  }

  /** Only what the product knows: a value typed for another product is not carried along. */
  function readOptions(product: string): Record<string, unknown> {
    const options: Record<string, unknown> = {};
    $('[data-option]').each(function () {
      const owner = $(this).closest('[data-product]').attr('data-product');
      if (owner && !owner.split(' ').includes(product)) return;
      const value = readInput($(this));
      if (value !== undefined) options[$(this).attr('data-option') ?? ''] = value;
    });
    return options;
  }

  function readInput(input: JQuery): unknown {
    if (input.is(':checkbox')) return input.prop('checked') === true || undefined;
    const text = String(input.val() ?? '').trim();
    if (text === '') return undefined;
    return input.attr('data-option-kind') === 'map' ? readMap(text) : text;
  }

  /** One pair in each line, `name = value`; a whole number stays a number. */
  function readMap(text: string): Record<string, string | number> {
    const pairs = text.split('\n').flatMap((line) => {
      const at = line.indexOf('=');
      const [name, value] = [line.slice(0, Math.max(at, 0)).trim(), line.slice(at + 1).trim()];
      return name && value ? [[name, /^\d{1,15}$/.test(value) ? Number(value) : value] as const] : [];
    });
    return Object.fromEntries(pairs);
  }

  function close(): void {
    jsonEditor?.destroy();
    jsonEditor = undefined;
  }

  function setInput(input: JQuery, value: unknown): void {
    if (input.is(':checkbox')) input.prop('checked', value === true);
    else if (isObject(value))
      input.val(
        Object.entries(value)
          .map((pair) => pair.join(' = '))
          .join('\n'),
      );
    else if (value !== undefined) input.val(String(value));
  }

  function showAddress(node: EditorNode, kind: CallbackKind, property: string): void {
    const partner = $(`#node-input-${property}`);
    const update = (): void => {
      const reference = RED.nodes.node(String(partner.val()))?.['reference'];
      writeAddress(node, kind, reference ? String(reference) : '');
    };
    partner.on('change', update);
    prepareCopy(node);
    update();
  }

  function writeAddress(node: EditorNode, kind: CallbackKind, reference: string): void {
    const nodeRoot = RED.settings.httpNodeRoot;
    const base =
      nodeRoot === false ? '' : `${location.origin}/${nodeRoot.replace(/^\/+|\/+$/g, '')}`.replace(/\/$/, '');
    const known = reference || node._('dropship.address.placeholder');
    $('#dropship-address').val(base ? `${base}/dropship/${kind}/${known}` : node._('dropship.address.switchedOff'));
  }

  function prepareCopy(node: EditorNode): void {
    const address = $('#dropship-address');
    $('#dropship-address-copy').on('click', (event) => {
      event.preventDefault();
      RED.clipboard.copyText(String(address.val()), $('#dropship-address-copy'), node._('dropship.address.copied'));
    });
  }

  const STYLE = `
    .dropship-hint { margin: 4px 0 0 calc(28% + 4px); font-size: 12px; line-height: 1.4; color: var(--red-ui-secondary-text-color); }
    .dropship-form .form-row > label { width: 28%; vertical-align: top; padding-top: 7px; }
    .dropship-form .form-row > label.dropship-wide { width: auto; max-width: calc(100% - 40px); padding-top: 2px; }
    .dropship-form .form-row > input[type='checkbox'] { width: auto; margin: 4px 6px 0 calc(28% + 4px); vertical-align: top; }
    .dropship-form input.dropship-short { width: 120px; }
    .dropship-form input[readonly] { color: var(--red-ui-form-text-color); }
    .dropship-section { margin: 22px 0 12px; padding-top: 12px; border-top: 1px solid var(--red-ui-secondary-border-color); font-size: 14px; font-weight: bold; color: var(--red-ui-primary-text-color); }
    .dropship-unit { margin-left: 6px; color: var(--red-ui-secondary-text-color); }
    .dropship-row { display: inline-flex; width: 70%; gap: 8px; }
    .dropship-row input { flex: 1; min-width: 0; width: auto; }
    .dropship-form textarea { width: 70%; height: auto; box-sizing: border-box; }
    #dropship-json { height: 320px; margin-top: 6px; }
    #dropship-test-result { margin: 8px 0 0 calc(28% + 4px); line-height: 1.4; }
    .dropship-good i { color: var(--red-ui-text-color-success); }
    .dropship-bad i { color: var(--red-ui-text-color-error); }
    .dropship-fields { display: flex; flex-wrap: wrap; gap: 6px 8px; align-items: flex-end; }
    .dropship-form .dropship-fields label { display: flex; flex-direction: column; flex: 1 1 90px; min-width: 80px; width: auto; margin: 0; font-size: 11px; line-height: 1.5; color: var(--red-ui-secondary-text-color); }
    .dropship-form .dropship-fields label:has([data-column='sku']), .dropship-form .dropship-fields label:has([data-column='supplierSku']) { flex-basis: 150px; }
    .dropship-form .dropship-fields label input, .dropship-form .dropship-fields label select { width: 100%; min-width: 0; margin: 0; }
  `;

  const page = window as unknown as { dropship?: DropshipEditor };
  if (!page.dropship) {
    $('<style>').text(STYLE).appendTo('head');
    page.dropship = { valid, title, partnerLabel, partner: { open, save, close }, showAddress, referencesOf };
  }
}
