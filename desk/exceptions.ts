import type { ActionName, ExceptionRow } from './api.ts';
import { h } from './dom.ts';
import { steps } from './history.ts';
import {
  badge,
  exceptionLink,
  exceptionTitle,
  fact,
  factList,
  heading,
  loading,
  orderLink,
  stepList,
  time,
} from './orders.ts';
import { hasText, t } from './texts.ts';

/** An action that somebody has chosen and not confirmed yet, or that runs. */
export interface Pending {
  exception: string;
  action: ActionName;
  running: boolean;
  /** Why it was not done. */
  fault: string | undefined;
}

/** What an action asks for, under the name that the admin API expects. */
const FIELDS: Partial<Record<ActionName, string>> = { done: 'number', cancel: 'reason', settle: 'how' };

export function exceptionListPage(
  rows: ExceptionRow[] | undefined,
  state: 'open' | 'settled',
  pending: Pending | undefined,
): HTMLElement[] {
  const tab = (name: 'open' | 'settled', href: string) =>
    h('a', { href, 'aria-current': name === state ? 'page' : undefined }, t(['exceptions', name]));
  return [
    heading(t('exceptions.title')),
    h(
      'nav',
      { class: 'tabs', 'aria-label': t('exceptions.title'), 'data-key': 'tabs' },
      tab('open', '#/exceptions'),
      tab('settled', '#/exceptions/settled'),
    ),
    rows ? cards(rows, state, pending) : loading(),
  ];
}

function cards(rows: ExceptionRow[], state: 'open' | 'settled', pending: Pending | undefined): HTMLElement {
  if (rows.length === 0) {
    const text = state === 'open' ? t('exceptions.empty') : t('exceptions.emptySettled');
    return h('p', { class: 'empty', 'data-key': 'empty' }, text);
  }
  const items = rows.map((row) =>
    h(
      'li',
      { 'data-key': row.id },
      h(
        'article',
        { class: `exception ${row.state}`, 'aria-labelledby': `exception-${row.id}` },
        h('h2', { id: `exception-${row.id}` }, h('a', { href: exceptionLink(row.id) }, exceptionTitle(row.code))),
        ...body(row, pending),
      ),
    ),
  );
  return h('ul', { class: 'exceptions', 'data-key': 'rows' }, ...items);
}

export function exceptionPage(
  id: string,
  row: ExceptionRow | undefined | null,
  pending: Pending | undefined,
): HTMLElement[] {
  const back = h(
    'p',
    { class: 'back', 'data-key': 'back' },
    h('a', { href: '#/exceptions' }, `← ${t('exceptions.back')}`),
  );
  if (row === undefined) return [back, heading(t('exceptions.title')), loading()];
  if (row === null)
    return [back, heading(t('exceptions.title')), h('p', { class: 'empty' }, t('exceptions.unknown', { id }))];
  const history = steps(row.history ?? []).filter(({ minor }) => !minor);
  return [
    back,
    heading(exceptionTitle(row.code), badge(t(['exceptions', row.state]), row.state === 'open' ? 'alarm' : 'complete')),
    h(
      'article',
      { class: `exception ${row.state}`, 'aria-labelledby': 'title', 'data-key': 'exception' },
      ...body(row, pending),
    ),
    h(
      'section',
      { 'aria-labelledby': 'section-history', 'data-key': 'history' },
      h('h2', { id: 'section-history' }, t('exceptions.history')),
      history.length > 0 ? stepList(history) : h('p', { class: 'empty' }, t('exceptions.historyEmpty')),
    ),
  ];
}

function body(row: ExceptionRow, pending: Pending | undefined): (HTMLElement | false)[] {
  const settled =
    row.settledAt === null
      ? []
      : [
          fact('settled', time(row.settledAt)),
          fact('by', row.settledBy ?? undefined),
          fact('settlement', row.settlement ?? undefined),
        ];
  return [
    h('p', { class: 'message' }, row.message),
    factList([
      row.orderId === null ? undefined : fact('order', h('a', { href: orderLink(row.orderId) }, row.orderId)),
      fact('subject', row.subject === row.orderId ? undefined : row.subject),
      fact('code', row.code),
      fact('raised', time(row.raisedAt)),
      ...settled,
    ]),
    row.state === 'open' && actions(row, pending),
  ];
}

function actions(row: ExceptionRow, pending: Pending | undefined): HTMLElement {
  if (row.actions.length === 0) return h('p', { class: 'hint', 'data-key': 'actions' }, t('exceptions.noActions'));
  const mine = pending?.exception === row.id ? pending : undefined;
  const busy = pending?.running === true;
  const buttons = row.actions.map(({ name }) =>
    h(
      'button',
      {
        type: 'button',
        'data-do': 'choose',
        'data-id': row.id,
        'data-action': name,
        'aria-expanded': String(mine?.action === name),
        disabled: busy,
      },
      t(['act', name, 'button']),
    ),
  );
  return h(
    'div',
    { class: 'actions', 'data-key': 'actions' },
    h('div', { class: 'buttons', 'data-key': 'buttons' }, ...buttons),
    mine && confirmation(mine, row),
  );
}

/** In place: what will happen, what has to be known for it, and the way back. */
function confirmation({ exception, action, running, fault }: Pending, row: ExceptionRow): HTMLElement | undefined {
  const chosen = row.actions.find(({ name }) => name === action);
  if (!chosen) return undefined;
  const field = FIELDS[action];
  const ids = {
    text: `confirm-${exception}`,
    field: `field-${exception}`,
    certain: `certain-${exception}`,
    fault: `fault-${exception}`,
  };
  return h(
    'form',
    {
      class: `confirm ${action}`,
      'data-key': `confirm-${action}`,
      'data-id': exception,
      'data-action': action,
      'aria-labelledby': ids.text,
      novalidate: true,
    },
    h('p', { id: ids.text }, `${chosen.means} ${t(['act', action, 'consequence'])}`.trim()),
    field !== undefined &&
      h(
        'p',
        { class: 'field' },
        h('label', { for: ids.field }, t(['act', action, 'field'])),
        h('input', {
          id: ids.field,
          name: field,
          type: 'text',
          maxlength: action === 'done' ? 100 : 500,
          required: true,
          autocomplete: 'off',
          readonly: running,
          'aria-describedby': fault ? ids.fault : undefined,
          'aria-invalid': fault ? 'true' : undefined,
        }),
      ),
    chosen.certain === true &&
      h(
        'p',
        { class: 'field' },
        h('input', { id: ids.certain, name: 'certain', type: 'checkbox', required: true, disabled: running }),
        h('label', { for: ids.certain }, ` ${t(['act', action, 'certain'])}`),
      ),
    h('p', { id: ids.fault, class: 'fault', role: 'alert', 'data-key': 'fault' }, fault ?? ''),
    h(
      'div',
      { class: 'buttons' },
      h(
        'button',
        { type: 'submit', class: action === 'cancel' ? 'danger' : 'primary', disabled: running },
        running ? t('act.running') : t(['act', action, 'go']),
      ),
      h('button', { type: 'button', 'data-do': 'keep', disabled: running }, t('act.keep')),
    ),
  );
}

/** What is said when it was done. */
export function outcome(action: ActionName): string {
  return hasText(['act', action, 'said']) ? t(['act', action, 'said']) : '';
}
