import type { ActionName } from '../ledger/actions.ts';
import { exceptions, type ExceptionFilter } from '../ledger/exceptions.ts';
import { historyOf } from '../ledger/history.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { effectList } from '../ledger/views.ts';
import { flagOf, found, queryOf, textOf, type AdminRequest, type AdminRoutes } from './admin-routes.ts';

/** What people do about an exception: the permission that it needs, and how it is read from the request. */
const ANSWERS: Record<
  ActionName,
  { permission: string; answer(book: Ledger, id: string, by: string, request: AdminRequest): Promise<void> }
> = {
  retry: {
    permission: 'dropship.exception.settle',
    answer: (book, id, by, request) => book.retryException(id, by, { certain: flagOf(request, 'certain') }),
  },
  done: {
    permission: 'dropship.exception.done',
    answer: (book, id, by, request) =>
      book.answerWithNumber(id, by, textOf(request, 'number', 100, 'the number that it has at the partner')),
  },
  reroute: {
    permission: 'dropship.exception.settle',
    answer: (book, id, by, request) => book.rerouteLines(id, by, { include: flagOf(request, 'include') }),
  },
  cancel: {
    permission: 'dropship.exception.cancel',
    answer: (book, id, by, request) => book.cancelByHand(id, by, textOf(request, 'reason', 500, 'why it is given up')),
  },
  settle: {
    permission: 'dropship.exception.settle',
    answer: (book, id, by, request) =>
      book.settleException(
        id,
        by,
        request.body?.['how'] === undefined
          ? 'Settled by hand.'
          : textOf(request, 'how', 500, 'what was done about it'),
      ),
  },
};

/** Exceptions, their causes, and what people do about them. */
export function addExceptionRoutes({ read, change, ledger, view }: AdminRoutes): void {
  read('exceptions', (request) => view(request, () => exceptions(filterOf(request))));
  read('exceptions/:id', (request) => view(request, () => exceptionView(idOf(request))));
  for (const [name, { permission, answer }] of Object.entries(ANSWERS)) {
    change(`exceptions/:id/${name}`, permission, async (request, by) => {
      const book = await ledger(request);
      await answer(book, idOf(request), by, request);
      return book.core.read(() => exceptionView(idOf(request)));
    });
  }
}

/** An exception with the history of its order and the effect that it is about. */
function* exceptionView(id: string) {
  const [exception] = /^\d{1,15}$/.test(id) ? yield* exceptions({ id }) : [];
  const { orderId, effectKey } = found(exception, 'exception');
  const [effect] = effectKey === null ? [] : yield* effectList({ key: effectKey });
  return { ...exception, effect: effect ?? null, history: orderId === null ? [] : yield* historyOf(orderId) };
}

/** The open ones, unless `?state=` asks for `settled` or `all`. */
function filterOf(request: AdminRequest): ExceptionFilter {
  const state = queryOf(request, 'state');
  const orderId = queryOf(request, 'order');
  return {
    ...(state === 'all' ? {} : { state: state === 'settled' ? ('settled' as const) : ('open' as const) }),
    ...(orderId ? { orderId } : {}),
  };
}

function idOf(request: AdminRequest): string {
  return request.params['id'] ?? '';
}
