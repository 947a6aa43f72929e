import { ConfigurationMistake } from '../../orders/errors.ts';
import type { InboundFact } from '../adapter.ts';
import { HttpRefusal } from '../http.ts';
import { compileExchange, exchange, type Connection, type Input } from './call.ts';
import { describe } from './mapping.ts';
import { toFact } from './inbound.ts';
import type { GenericOptions, Poll } from './options.ts';
import { compilePaging, firstPage, listOf, nextPage, type Page } from './paging.ts';
import { getPath, readTime } from './read.ts';

/** How far one poll has come. All of them together are the cursor, as JSON. */
interface Progress {
  /** Everything changed before this time has been seen. ISO 8601. */
  since: string;
  /** The partner's own cursor. */
  token?: string;
  /** A round under way: when it began, the next page, the latest change seen. */
  began?: string;
  page?: Page;
  latest?: string;
}

interface Cursor {
  polls: Record<string, Progress>;
  /** Whose turn it is. */
  turn: number;
}

export type PollResult<Kind extends string> = { facts: InboundFact<Kind>[]; cursor: string; more: boolean };

const DAY = 86_400_000;

/** Seconds asked for again each time: clocks differ, and a partner may show a change late. Repeats cost nothing. */
const OVERLAP = 120;

/**
 * Compiles the polls of the options. Each call of the result fetches one page of one poll; `more` until all polls have come to their end.
 * The time of the last change moves on only after the last page, so that a crash in between repeats pages and loses none.
 */
export function compilePolls<Kind extends string>(
  connection: Connection,
  options: GenericOptions,
  now: () => number,
  only: Kind | undefined,
  defaultKey: (kind: Kind) => readonly string[],
): ((cursor: string | undefined) => Promise<PollResult<Kind>>) | undefined {
  const configured = [options.poll ?? []].flat();
  if (configured.length === 0) return undefined;
  const isList = Array.isArray(options.poll);
  const polls = configured.map((poll, index) => compilePoll(connection, poll, isList ? `poll[${index}]` : 'poll'));

  return async (text) => {
    const cursor = readCursor(text);
    const turn = cursor.turn < polls.length ? cursor.turn : 0;
    const poll = polls[turn];
    if (!poll) throw new ConfigurationMistake('OPTIONS_INVALID', `${connection.partner} has no poll.`);
    const before = cursor.polls[poll.name] ?? { since: new Date(now() - DAY).toISOString() };
    const { items, after, isDone } = await poll.fetch(before, now());
    const kind = (poll.kind ?? only) as Kind;
    const facts = items.map((item) => toFact(kind, item, poll.key, options, defaultKey(kind), connection.partner));
    const next = isDone ? (turn + 1) % polls.length : turn;
    return {
      facts,
      cursor: JSON.stringify({ polls: { ...cursor.polls, [poll.name]: after }, turn: next } satisfies Cursor),
      more: !isDone || next !== 0,
    };
  };
}

function compilePoll(connection: Connection, poll: Poll, where: string) {
  const { compiler, partner } = connection;
  const call = compileExchange(compiler, poll, where);
  const paging = compilePaging(compiler, poll.paging, `${where}.paging`);
  const items = compiler.mapping(poll.items, `${where}.items`);
  const token = poll.cursor === undefined ? undefined : compiler.mapping(poll.cursor, `${where}.cursor`);
  const detail = poll.detail && compileExchange(compiler, poll.detail, `${where}.detail`);

  async function fetch(before: Progress, now: number): Promise<{ items: unknown[]; after: Progress; isDone: boolean }> {
    const began = before.began ?? new Date(now).toISOString();
    const input = pollInput(before, (poll.overlap ?? OVERLAP) * 1000, partner);
    const page = before.page ?? firstPage(paging);
    const { answer, request } = await exchange(connection, call, input, { isRead: true, page });
    const seen = { ...answer, input };
    const found = listOf(await items.evaluate(seen), `${where}.items`, connection, request);
    const next = await nextPage(connection, paging, page, answer, input, request);
    const given = await token?.evaluate(seen);
    const newToken = typeof given === 'string' || typeof given === 'number' ? String(given) : before.token;
    const sorted =
      poll.changedAt === undefined ? found : [...found].sort((a, b) => (changeOf(a) < changeOf(b) ? -1 : 1));
    const latest = [before.latest ?? '', ...found.map(changeOf)].reduce((a, b) => (a > b ? a : b));
    const documents: unknown[] = [];
    for (const item of sorted) documents.push(await documentOf(item, input));
    if (next !== undefined) {
      return {
        items: documents,
        isDone: false,
        after: {
          since: before.since,
          began,
          page: next,
          ...(before.token === undefined ? {} : { token: before.token }),
          ...(latest ? { latest } : {}),
        },
      };
    }
    // Without the time of change: all that has changed up to the beginning of this round has been seen.
    const reached = poll.changedAt === undefined ? began : latest || before.since;
    const since = [reached, new Date(now).toISOString()].reduce((a, b) => (a < b ? a : b));
    return {
      items: documents,
      // A partner with its own cursor and no pages is asked until it has nothing more.
      isDone: paging !== undefined || token === undefined || found.length === 0 || newToken === before.token,
      after: {
        since: since > before.since ? since : before.since,
        ...(newToken === undefined ? {} : { token: newToken }),
      },
    };
  }

  function changeOf(item: unknown): string {
    const value = poll.changedAt === undefined ? undefined : getPath(item, poll.changedAt);
    return typeof value === 'string' || typeof value === 'number' ? (readTime(String(value), undefined) ?? '') : '';
  }

  async function documentOf(item: unknown, input: Input): Promise<unknown> {
    if (!detail) return item;
    try {
      const { answer } = await exchange(connection, detail, { ...input, item }, { isRead: true });
      return detail.response ? await detail.response.evaluate({ ...answer, input: { ...input, item } }) : answer.body;
    } catch (thrown) {
      // Deleted since it was listed: what the list said is kept, and must not stop the others.
      if (thrown instanceof HttpRefusal && [404, 410].includes(thrown.response.status)) return item;
      throw thrown;
    }
  }

  return { name: poll.name ?? 'main', kind: poll.kind, key: poll.key, fetch };
}

/** What a poll's templates can use. */
function pollInput({ since, token }: Progress, overlap: number, partner: string): Input {
  const from = Date.parse(since) - overlap;
  return {
    partner,
    since: new Date(from).toISOString(),
    sinceDate: new Date(from).toISOString().slice(0, 10),
    sinceSeconds: Math.floor(from / 1000),
    sinceMilliseconds: from,
    ...(token === undefined ? {} : { cursor: token }),
  };
}

function readCursor(text: string | undefined): Cursor {
  if (text === undefined) return { polls: {}, turn: 0 };
  try {
    const { polls, turn } = JSON.parse(text) as Cursor;
    return { polls: { ...polls }, turn: Number.isInteger(turn) && turn >= 0 ? turn : 0 };
  } catch (cause) {
    throw new ConfigurationMistake(
      'CURSOR_INVALID',
      `The poll's cursor is ${describe(text)}, which is not one of ours.`,
      { cause },
    );
  }
}
