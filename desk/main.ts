import {
  ApiError,
  editorUrl,
  get,
  post,
  type ActionName,
  type ExceptionRow,
  type LedgerRow,
  type OrderRow,
  type OrderView,
} from './api.ts';
import { h, show } from './dom.ts';
import { exceptionListPage, exceptionPage, outcome, type Pending } from './exceptions.ts';
import type { Party } from './history.ts';
import { heading, ORDER_LIMIT, orderListPage, orderPage, type Filter } from './orders.ts';
import { loadTexts, t, when } from './texts.ts';

/** Milliseconds between two looks at the ledger. */
const PACE = 4000;
const THEMES = ['system', 'light', 'dark'];

type Route =
  | { page: 'orders' }
  | { page: 'order'; id: string }
  | { page: 'exceptions'; state: 'open' | 'settled' }
  | { page: 'exception'; id: string };

/** What the page shows: `undefined` is not loaded yet, `null` is not there. */
const state = {
  route: routeOf(location.hash),
  ledgers: [] as LedgerRow[],
  ledger: stored('ledger'),
  search: '',
  orders: undefined as OrderRow[] | undefined,
  order: undefined as OrderView | undefined | null,
  open: undefined as ExceptionRow[] | undefined,
  settled: undefined as ExceptionRow[] | undefined,
  exception: undefined as ExceptionRow | undefined | null,
  filter: { party: undefined, minor: false } as Filter,
  pending: undefined as Pending | undefined,
  loggedOut: false,
  fault: '',
  seenAt: 0,
};

let timer: ReturnType<typeof setTimeout> | undefined;
/** Counts the looks: an answer that a later one, another page or an action has overtaken is not shown. */
let look = 0;

const part = (id: string) => document.getElementById(id)!;

applyTheme(stored('theme'));
await loadTexts();
document.addEventListener('click', onClick);
document.addEventListener('submit', onSubmit);
document.addEventListener('input', onInput);
document.addEventListener('change', onChange);
document.addEventListener('keydown', onKey);
document.addEventListener('visibilitychange', () => (document.hidden ? clearTimeout(timer) : refresh()));
window.addEventListener('hashchange', () => goTo(routeOf(location.hash)));
render();
refresh();

function routeOf(hash: string): Route {
  const [page, id] = hash.replace(/^#\/?/, '').split('/').map(decoded);
  if (page === 'exceptions') {
    if (!id || id === 'settled') return { page, state: id ? 'settled' : 'open' };
    return { page: 'exception', id };
  }
  return page === 'orders' && id ? { page: 'order', id } : { page: 'orders' };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function goTo(route: Route): void {
  // The link "Skip to content" and the like are no places to go to.
  if (JSON.stringify(route) === JSON.stringify(state.route)) return;
  Object.assign(state, { route, order: undefined, exception: undefined, settled: undefined, pending: undefined });
  say('');
  render();
  window.scrollTo(0, 0);
  document.getElementById('title')?.focus({ preventScroll: true });
  refresh();
}

/** Looks at the ledger now, and again after a while as long as somebody can see it. */
function refresh(): void {
  clearTimeout(timer);
  const mine = ++look;
  const overtaken = () => mine !== look;
  load(overtaken)
    .then(
      () => {
        if (overtaken()) return;
        Object.assign(state, { loggedOut: false, fault: '', seenAt: Date.now() });
      },
      (error: unknown) => {
        if (overtaken()) return;
        state.loggedOut = error instanceof ApiError && error.status === 401;
        state.fault = state.loggedOut ? '' : faultOf(error);
        // Its config node is gone since the last deploy: the next look begins with which there are.
        if (error instanceof ApiError && error.code === 'LEDGER_MISSING') state.ledgers = [];
      },
    )
    .then(() => {
      if (overtaken()) return;
      if (!document.hidden) timer = setTimeout(refresh, PACE);
      render();
    })
    .catch((error: unknown) => reportError(error));
}

async function load(overtaken: () => boolean): Promise<void> {
  if (state.ledgers.length === 0) {
    const ledgers = await get<LedgerRow[]>('ledgers', {});
    if (overtaken()) return;
    state.ledgers = ledgers;
    if (!ledgers.some(({ id }) => id === state.ledger)) state.ledger = ledgers[0]?.id ?? '';
  }
  const { route, ledger, search } = state;
  const [open, own] = await Promise.all([get<ExceptionRow[]>('exceptions', { ledger, state: 'open' }), ownData()]);
  if (overtaken()) return;
  Object.assign(state, { open, ...own });
  const { pending } = state;
  const isOpen = open.some(
    ({ id, actions }) => id === pending?.exception && actions.some(({ name }) => name === pending.action),
  );
  if (pending && !pending.running && !isOpen) {
    state.pending = undefined;
    say(t('exceptions.gone'));
  }

  async function ownData(): Promise<Partial<typeof state>> {
    switch (route.page) {
      case 'orders':
        return { orders: await get<OrderRow[]>('orders', { ledger, limit: String(ORDER_LIMIT), search }) };
      case 'order':
        return { order: await unlessMissing(get<OrderView>(`orders/${encodeURIComponent(route.id)}`, { ledger })) };
      case 'exceptions':
        return route.state === 'open'
          ? {}
          : { settled: await get<ExceptionRow[]>('exceptions', { ledger, state: 'settled' }) };
      case 'exception':
        return {
          exception: await unlessMissing(get<ExceptionRow>(`exceptions/${encodeURIComponent(route.id)}`, { ledger })),
        };
    }
  }
}

async function unlessMissing<Result>(answer: Promise<Result>): Promise<Result | null> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

function faultOf(error: unknown): string {
  if (!(error instanceof ApiError)) throw error;
  return error.status === 0 ? t('fault.noAnswer') : t('fault.failed', { code: error.code, message: error.message });
}

function render(): void {
  const content = state.loggedOut ? loginPage() : page();
  show(part('header'), ...header());
  show(part('main'), ...content);
  show(part('footer'), ...footer());
  document.title = t('page.title', { title: part('title').firstChild?.textContent ?? '' });
}

function page(): HTMLElement[] {
  const { route, pending } = state;
  switch (route.page) {
    case 'orders':
      return orderListPage(state.orders, state.search, exceptionsByOrder());
    case 'order':
      return orderPage(route.id, state.order, state.filter);
    case 'exceptions':
      return exceptionListPage(route.state === 'open' ? state.open : state.settled, route.state, pending);
    case 'exception':
      return exceptionPage(route.id, state.exception, pending);
  }
}

function loginPage(): HTMLElement[] {
  return [
    heading(t('login.title')),
    h('p', { class: 'empty', 'data-key': 'login' }, t('login.text')),
    h('p', { 'data-key': 'login-link' }, h('a', { class: 'button', href: editorUrl.href }, t('login.link'))),
  ];
}

function header(): HTMLElement[] {
  const { route, open, ledgers } = state;
  const count = open?.length ?? 0;
  const link = (here: boolean, href: string, ...content: (string | HTMLElement)[]) =>
    h('a', { href, 'aria-current': here ? 'page' : undefined }, ...content);
  const views = h(
    'nav',
    { 'aria-label': t('page.views') },
    link(route.page.startsWith('order'), '#/orders', t('orders.title')),
    link(
      route.page.startsWith('exception'),
      '#/exceptions',
      t('exceptions.title'),
      ...(count > 0 ? [h('span', { class: 'count' }, String(count))] : []),
    ),
  );
  const ledger =
    ledgers.length > 1
      ? choice(
          'ledger',
          t('page.ledger'),
          state.ledger,
          ledgers.map(({ id, name }) => [id, name || t('page.defaultLedger')]),
        )
      : [];
  return [
    h('a', { href: '#main', class: 'skip', 'data-do': 'skip' }, t('page.skip')),
    h('strong', { class: 'brand' }, t('page.name')),
    views,
    h(
      'div',
      { class: 'settings' },
      ...ledger,
      ...choice(
        'theme',
        t('theme.label'),
        stored('theme') || 'system',
        THEMES.map((name) => [name, t(['theme', name])]),
      ),
      h('a', { href: editorUrl.href }, t('page.editor')),
    ),
  ];
}

function choice(name: string, label: string, chosen: string, options: [string, string][]): HTMLElement[] {
  return [
    h(
      'label',
      { 'data-key': name },
      h('span', {}, label),
      h(
        'select',
        { name, id: name },
        ...options.map(([value, text]) => h('option', { value, selected: value === chosen }, text)),
      ),
    ),
  ];
}

function footer(): HTMLElement[] {
  const { seenAt, fault } = state;
  const seen = seenAt > 0 ? t(fault ? 'page.stale' : 'page.updated', { time: when(seenAt) }) : '';
  return [h('p', { class: 'fault', role: 'status' }, fault), h('p', { class: 'hint' }, seen)];
}

function exceptionsByOrder(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { orderId } of state.open ?? []) if (orderId) counts.set(orderId, (counts.get(orderId) ?? 0) + 1);
  return counts;
}

function onClick(event: MouseEvent): void {
  const control = event.target instanceof Element ? event.target.closest<HTMLElement>('[data-do]') : null;
  if (!control) return;
  const { do: what, id = '', action, party } = control.dataset;
  if (what === 'skip') {
    event.preventDefault();
    part('main').focus();
  } else if (what === 'choose') {
    const again = state.pending?.exception === id && state.pending.action === action;
    if (again) return keep();
    state.pending = { exception: id, action: action as ActionName, running: false, fault: undefined };
    say('');
    render();
    focusOn('.confirm input', '.confirm button');
  } else if (what === 'keep') {
    keep();
  } else if (what === 'filter') {
    state.filter.party = (party || undefined) as Party | undefined;
    render();
  }
}

function onSubmit(event: SubmitEvent): void {
  event.preventDefault();
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || !form.classList.contains('confirm')) return;
  const { pending } = state;
  if (!pending || pending.running) return;
  const missing = [...form.querySelectorAll('input')].find((input) =>
    input.type === 'checkbox' ? !input.checked : input.value.trim() === '',
  );
  if (missing) {
    pending.fault = t(missing.type === 'checkbox' ? 'act.uncertain' : 'act.missing');
    render();
    return missing.focus();
  }
  const answers = [...form.querySelectorAll('input')].map((input) =>
    input.type === 'checkbox' ? [input.name, true] : [input.name, input.value.trim()],
  );
  run(pending, Object.fromEntries(answers) as object).catch((error: unknown) => reportError(error));
}

async function run(pending: Pending, body: object): Promise<void> {
  const { exception, action } = pending;
  pending.running = true;
  pending.fault = undefined;
  // What is on its way was asked before the action: it is not shown any more.
  look += 1;
  clearTimeout(timer);
  render();
  try {
    await post(`exceptions/${encodeURIComponent(exception)}/${action}`, { ledger: state.ledger }, body);
  } catch (error) {
    pending.running = false;
    pending.fault = actionFault(error);
    render();
    focusOn('.confirm input', '.confirm button');
    return refresh();
  }
  if (state.pending === pending) state.pending = undefined;
  // Gone at once; if it is still open, the next look brings it back.
  state.open = state.open?.filter(({ id }) => id !== exception);
  render();
  say(outcome(action));
  document.getElementById('title')?.focus({ preventScroll: true });
  refresh();
}

function actionFault(error: unknown): string {
  if (!(error instanceof ApiError)) throw error;
  if (error.status === 0) return t('fault.unsure');
  return error.status === 401 ? t('fault.denied') : t('fault.action', { message: error.message || error.code });
}

/** The way back from a confirmation, to the button that led there. */
function keep(): void {
  const { pending } = state;
  if (!pending || pending.running) return;
  state.pending = undefined;
  render();
  focusOn(`button[data-id="${CSS.escape(pending.exception)}"][data-action="${pending.action}"]`);
}

function onInput(event: Event): void {
  if (!(event.target instanceof HTMLInputElement) || event.target.id !== 'search') return;
  state.search = event.target.value.trim();
  look += 1;
  clearTimeout(timer);
  timer = setTimeout(refresh, 250);
}

function onChange(event: Event): void {
  const control = event.target;
  if (control instanceof HTMLSelectElement && control.name === 'theme') {
    store('theme', control.value);
    applyTheme(control.value);
  } else if (control instanceof HTMLSelectElement && control.name === 'ledger') {
    store('ledger', control.value);
    Object.assign(state, { ledger: control.value, orders: undefined, order: undefined, open: undefined });
    Object.assign(state, { settled: undefined, exception: undefined, pending: undefined });
    render();
    refresh();
  } else if (control instanceof HTMLInputElement && control.dataset['do'] === 'minor') {
    state.filter.minor = control.checked;
    render();
  }
}

function onKey(event: KeyboardEvent): void {
  if (event.key === 'Escape' && state.pending) keep();
}

function focusOn(...selectors: string[]): void {
  for (const selector of selectors) {
    const found = document.querySelector<HTMLElement>(selector);
    if (found) return found.focus();
  }
}

/** Shows it above the page; screen readers read it out. */
function say(text: string): void {
  part('notice').textContent = text;
}

function applyTheme(theme: string): void {
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset['theme'] = theme;
  else delete document.documentElement.dataset['theme'];
}

function stored(name: string): string {
  try {
    return localStorage.getItem(`dropship-desk-${name}`) ?? '';
  } catch {
    return '';
  }
}

function store(name: string, value: string): void {
  try {
    localStorage.setItem(`dropship-desk-${name}`, value);
  } catch {
    // Where the browser keeps nothing, the choice lasts as long as the page.
  }
}
