import type { OrderRow, OrderView } from './api.ts';
import { h } from './dom.ts';
import { linesOf, safeLink, steps, type Fact, type Party, type Step } from './history.ts';
import { ago, amount, hasText, t, when } from './texts.ts';

/** As many orders as the list asks for. */
export const ORDER_LIMIT = 100;

/** @param counts open exceptions by order */
export function orderListPage(
  rows: OrderRow[] | undefined,
  search: string,
  counts: Map<string, number>,
): HTMLElement[] {
  const hint = h('p', { class: 'hint', id: 'search-hint' }, t('orders.searchHint'));
  const field = h('input', {
    id: 'search',
    name: 'search',
    type: 'search',
    autocomplete: 'off',
    spellcheck: 'false',
    value: search,
    'aria-describedby': 'search-hint',
  });
  const form = h(
    'form',
    { role: 'search', class: 'search' },
    h('label', { for: 'search' }, t('orders.search')),
    field,
    hint,
  );
  return [heading(t('orders.title')), form, orderRows(rows, search, counts)];
}

function orderRows(rows: OrderRow[] | undefined, search: string, counts: Map<string, number>): HTMLElement {
  if (!rows) return loading();
  if (rows.length === 0) {
    return h(
      'p',
      { class: 'empty', 'data-key': 'empty' },
      search ? t('orders.noMatch', { search }) : t('orders.empty'),
    );
  }
  const columns = ['number', 'shop', 'state', 'exceptions', 'changed'].map((name) =>
    h('th', { scope: 'col', role: 'columnheader' }, t(['orders', name])),
  );
  const cell = (name: string, content: Node | string | false, kind = '') =>
    h('td', { role: 'cell', class: kind, 'data-label': t(['orders', name]) }, content);
  const body = rows.map((row) => {
    const open = counts.get(row.id) ?? 0;
    const link = h('a', { href: orderLink(row.id) }, row.number);
    return h(
      'tr',
      { role: 'row', 'data-key': row.id },
      h('th', { scope: 'row', role: 'rowheader' }, link, ' ', h('small', {}, row.id)),
      cell('shop', row.shop),
      cell('state', badge(label('orderState', row.state), row.state)),
      cell(
        'exceptions',
        open > 0 && badge(t('orders.exceptionCount', { count: open }), 'alarm'),
        open ? '' : 'nothing',
      ),
      cell('changed', time(row.updatedAt, ago(row.updatedAt))),
    );
  });
  // The roles are said because a phone lays the rows out as blocks, which takes them away.
  const table = h(
    'table',
    { role: 'table', class: 'orders' },
    h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, ...columns)),
    h('tbody', { role: 'rowgroup' }, ...body),
  );
  const more = rows.length >= ORDER_LIMIT && h('p', { class: 'hint' }, t('orders.limit', { count: rows.length }));
  return h('div', { 'data-key': 'rows' }, table, more);
}

/** What the reader wants to see of the timeline. */
export interface Filter {
  party: Party | undefined;
  minor: boolean;
}

export function orderPage(id: string, view: OrderView | undefined | null, filter: Filter): HTMLElement[] {
  const back = h('p', { class: 'back', 'data-key': 'back' }, h('a', { href: '#/orders' }, `← ${t('order.back')}`));
  if (view === undefined) return [back, heading(t('order.title', { number: id })), loading()];
  if (view === null)
    return [back, heading(t('order.title', { number: id })), h('p', { class: 'empty' }, t('order.unknown', { id }))];
  const { order } = view;
  const title = heading(t('order.title', { number: order.number }), badge(label('orderState', view.state), view.state));
  const summary = factList([
    fact('order', order.id),
    fact('placed', time(Date.parse(order.placedAt))),
    fact('total', amount(order.total)),
    fact(
      'shipTo',
      [order.shipTo.name, order.shipTo.postalCode, order.shipTo.city, order.shipTo.country].filter(Boolean).join(', '),
    ),
  ]);
  return [
    back,
    title,
    h('div', { 'data-key': 'summary' }, summary),
    ...openExceptions(view),
    progressBar(view),
    section('stands', t('order.stands'), h('div', { class: 'cards' }, ...cards(view))),
    section('lines', t('order.lines'), lineTable(view)),
    section('timeline', t('order.timeline'), ...timeline(view, filter)),
  ];
}

function openExceptions(view: OrderView): HTMLElement[] {
  const open = view.exceptions.filter(({ state }) => state === 'open');
  if (open.length === 0) return [];
  const rows = open.map(({ id, code, message }) =>
    h(
      'li',
      { 'data-key': id },
      h('strong', {}, exceptionTitle(code)),
      h('p', {}, message),
      h(
        'a',
        { href: exceptionLink(id) },
        t('order.settle'),
        h('span', { class: 'unseen' }, `: ${exceptionTitle(code)}`),
      ),
    ),
  );
  return [section('needs', t('order.needsPerson'), h('ul', { class: 'alarms' }, ...rows))];
}

function progressBar(view: OrderView): HTMLElement {
  const { created, acknowledged, shipped, paid } = view.progress;
  const billed =
    shipped.reached &&
    view.purchaseOrders.every(({ lines }) =>
      lines.every(({ billed: so, quantity, freed }) => Number(so) >= Number(quantity) - Number(freed)),
    );
  const reached: [string, boolean, string[]][] = [
    ['created', created.reached, created.missing],
    ['acknowledged', acknowledged.reached, acknowledged.missing],
    ['shipped', shipped.reached, shipped.missing],
    ['complete', view.state === 'complete', []],
    ['billed', billed, paid.missing],
    ['paid', paid.reached, paid.missing],
  ];
  const next = view.state === 'cancelled' ? undefined : reached.find(([, done]) => !done);
  const items = reached.map(([name, done]) => {
    const state = done ? 'done' : name === next?.[0] ? 'next' : 'open';
    return h(
      'li',
      { class: state, 'data-key': name, ...(state === 'next' ? { 'aria-current': 'step' } : {}) },
      h('span', {}, t(['progress', name])),
      ' ',
      h('small', {}, t(['progress', state])),
    );
  });
  const missing =
    next && next[2].length > 0
      ? h(
          'div',
          { class: 'missing', 'data-key': 'missing' },
          h('p', {}, t('order.waitingFor', { step: t(['progress', next[0]]) })),
          h('ul', {}, ...next[2].map((sentence) => h('li', {}, sentence))),
        )
      : undefined;
  return section('progress', t('order.progress'), h('ol', { class: 'progress' }, ...items), missing);
}

/** Where the order stands with each party: shop, ERP, one card per purchase order, bank. */
function cards(view: OrderView): HTMLElement[] {
  const { order } = view;
  const suppliers = view.purchaseOrders.map((po) => {
    const shipments = view.shipments.filter(({ purchaseOrder }) => purchaseOrder === po.id);
    const bills = view.bills.filter(({ purchaseOrder }) => purchaseOrder === po.id);
    return card('supplier', po.supplier, [
      fact('purchaseOrder', po.id),
      fact('state', label('poState', po.state)),
      fact('lines', linesOf(po.lines)),
      fact('total', amount(po.total)),
      fact('supplierNumber', po.supplierOrderId),
      fact('erpNumber', po.erp?.number),
      ...shipments.flatMap(({ parcels }) =>
        parcels.map((parcel) =>
          fact('tracking', linked(`${parcel.carrier} ${parcel.trackingNumber}`, safeLink(parcel.trackingUrl))),
        ),
      ),
      ...bills.map((bill) => fact('bill', `${bill.number}, ${amount(bill.total)}, ${label('billState', bill.state)}`)),
    ]);
  });
  const payments = view.payments.map((payment) =>
    fact('bill', `${payment.billNumber}, ${amount(payment.amount)}, ${label('paymentState', payment.state)}`),
  );
  return [
    card('shop', order.shop, [fact('orderNumber', order.number), fact('state', label('orderState', view.state))]),
    card('erp', order.erp?.partner, [fact('sale', order.erp?.number)]),
    ...suppliers,
    card('bank', undefined, payments),
  ];
}

function card(party: Party, partner: string | undefined, facts: (Row | undefined)[]): HTMLElement {
  const shown = facts.filter((each) => each !== undefined);
  return h(
    'article',
    { class: `card ${party}` },
    h('h3', {}, partyTag(party), partner ? ` ${partner}` : ''),
    shown.length > 0 ? factList(shown) : h('p', { class: 'hint' }, t('order.none')),
  );
}

function lineTable({ order, purchaseOrders }: OrderView): HTMLElement {
  const counts = ['accepted', 'shipped', 'billed'] as const;
  const hasUndeliverable = (order.undeliverable ?? []).length > 0;
  const names = ['sku', 'name', 'ordered', ...counts, ...(hasUndeliverable ? ['undeliverable'] : [])];
  const rows = order.lines.map((line) => {
    const parts = purchaseOrders.flatMap(({ lines }) => lines.filter(({ orderLine }) => orderLine === line.id));
    const gone = (order.undeliverable ?? []).filter(({ orderLine }) => orderLine === line.id);
    return h(
      'tr',
      { 'data-key': line.id },
      h('th', { scope: 'row' }, line.sku),
      h('td', {}, line.name),
      h('td', { class: 'number' }, line.quantity),
      ...counts.map((name) => h('td', { class: 'number' }, totalOf(parts.map((part) => part[name])))),
      hasUndeliverable && h('td', { class: 'number' }, totalOf(gone.map(({ quantity }) => quantity))),
    );
  });
  const table = h(
    'table',
    {},
    h(
      'thead',
      {},
      h(
        'tr',
        {},
        ...names.map((name, index) => h('th', { scope: 'col', class: index > 1 ? 'number' : '' }, t(['table', name]))),
      ),
    ),
    h('tbody', {}, ...rows),
  );
  return h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': t('order.lines') }, table);
}

/** For reading only; the ledger counts exactly. */
function totalOf(quantities: string[]): string {
  return String(Number(quantities.reduce((sum, quantity) => sum + Number(quantity), 0).toFixed(6)));
}

function timeline(view: OrderView, filter: Filter): HTMLElement[] {
  const all = steps(view.history, view);
  if (all.length === 0) return [h('p', { class: 'empty' }, t('order.timelineEmpty'))];
  const parties = (['shop', 'erp', 'supplier', 'bank', 'dropline'] as const).filter((party) =>
    all.some((step) => step.party === party),
  );
  const choice = (party: Party | undefined) =>
    h(
      'button',
      {
        type: 'button',
        'data-do': 'filter',
        'data-party': party ?? '',
        'aria-pressed': String(filter.party === party),
      },
      party ? t(['party', party]) : t('order.everyone'),
    );
  const minor = h('input', { type: 'checkbox', id: 'minor', 'data-do': 'minor', checked: filter.minor });
  const shown = all.filter(
    (step) => (filter.minor || !step.minor) && (filter.party === undefined || step.party === filter.party),
  );
  return [
    h(
      'div',
      { class: 'filter', role: 'group', 'aria-label': t('order.filter'), 'data-key': 'filter' },
      choice(undefined),
      ...parties.map(choice),
      h('label', { for: 'minor' }, minor, ` ${t('order.minor')}`),
    ),
    stepList(shown),
  ];
}

/** The lines of a timeline, oldest first. */
export function stepList(shown: Step[]): HTMLElement {
  return h('ol', { class: 'timeline', 'data-key': 'steps' }, ...shown.map(stepRow));
}

function stepRow(step: Step): HTMLElement {
  return h(
    'li',
    { class: `${step.party}${step.alarm ? ' alarm' : ''}`, 'data-key': step.key },
    time(step.at),
    h('span', { class: 'who' }, partyTag(step.party), step.partner ? ` ${step.partner}` : ''),
    h(
      'div',
      { class: 'what' },
      h('p', {}, step.sentence),
      step.remark !== undefined && h('p', { class: 'remark' }, step.remark),
      step.facts.length > 0 &&
        factList(step.facts.map(({ label: name, value, link }: Fact) => ({ name, value: linked(value, link) }))),
    ),
  );
}

/** A label with its value in a list of facts. */
export interface Row {
  name: string;
  value: string | HTMLElement;
}

export function fact(name: string, value: string | HTMLElement | undefined): Row | undefined {
  return value === undefined || value === '' ? undefined : { name: t(['fact', name]), value };
}

export function factList(rows: (Row | undefined)[]): HTMLElement {
  const items = rows.flatMap((row) => (row ? [h('div', {}, h('dt', {}, row.name), h('dd', {}, row.value))] : []));
  return h('dl', { class: 'facts' }, ...items);
}

export function heading(title: string, ...more: HTMLElement[]): HTMLElement {
  return h('h1', { id: 'title', tabindex: '-1', 'data-key': 'title' }, title, ...more.flatMap((each) => [' ', each]));
}

export function loading(): HTMLElement {
  return h('p', { class: 'empty', 'data-key': 'loading' }, t('page.loading'));
}

export function time(at: number, text = when(at)): HTMLElement {
  const moment = new Date(at);
  const iso = Number.isNaN(moment.getTime()) ? undefined : moment.toISOString();
  return h('time', { datetime: iso, title: iso }, text);
}

export function badge(text: string, kind: string): HTMLElement {
  return h('span', { class: `badge ${/^[\w-]+$/.test(kind) ? kind : ''}` }, text);
}

export function exceptionTitle(code: string): string {
  return hasText(['exceptionTitle', code]) ? t(['exceptionTitle', code]) : t('exceptionTitle.other');
}

export function orderLink(id: string): string {
  return `#/orders/${encodeURIComponent(id)}`;
}

export function exceptionLink(id: string): string {
  return `#/exceptions/${encodeURIComponent(id)}`;
}

function partyTag(party: Party): HTMLElement {
  return h('span', { class: `party ${party}` }, t(['party', party]));
}

function linked(text: string, href: string | undefined): string | HTMLElement {
  return href ? h('a', { href, rel: 'noopener noreferrer', target: '_blank' }, text) : text;
}

function label(group: string, state: string): string {
  return t([group, state]);
}

function section(key: string, title: string, ...content: (HTMLElement | undefined)[]): HTMLElement {
  const id = `section-${key}`;
  return h('section', { 'data-key': key, 'aria-labelledby': id }, h('h2', { id }, title), ...content);
}
