import { createHash } from 'node:crypto';
import { decimal } from '../../orders/money.ts';
import { BusinessRefusal, ConfigurationMistake, DroplineError, InDoubt, TemporaryFault } from '../../orders/errors.ts';
import { unexpectedAnswer, HttpRefusal, type HttpRequest } from '../http.ts';
import type { Attempt, Json, Write, Writer } from '../write.ts';
import {
  compileExchange,
  describeCall,
  exchange,
  type CompiledExchange,
  type Connection,
  type Input,
  type KeyPlace,
} from './call.ts';
import {
  compileCondition,
  identifier,
  isTrue,
  mappingFailed,
  withDecimals,
  type CompiledCondition,
  type Mapping,
} from './mapping.ts';
import { compilePaging, listOf, pages, type CompiledPaging } from './paging.ts';
import type { Operation, Settled, Step } from './options.ts';

/**
 * What the result of an operation must be. Throws a sentence about what is missing; `found` is true for a probe's result,
 * where it is enough that something was found.
 */
export type Shape<Result> = (value: unknown, found: boolean) => Result;

/** An operation of the options, ready to run. */
export interface CompiledOperation {
  where: string;
  before: CompiledStep[];
  main: CompiledWrite | undefined;
  steps: CompiledStep[];
  result: Mapping | undefined;
}

interface CompiledWrite extends CompiledExchange {
  settled: Settled;
  duplicateResponse: Mapping | undefined;
  probe:
    | (CompiledExchange & {
        missing: CompiledCondition;
        agrees: Mapping | undefined;
        paging: CompiledPaging | undefined;
      })
    | undefined;
}

interface CompiledStep {
  name: string;
  /** A read is recorded like a write, so that a replay sees the same. */
  isRead: boolean;
  when: Mapping | undefined;
  each: Mapping | undefined;
  write: CompiledWrite;
}

/** Compiles every expression of an operation. */
export function compileOperation(connection: Connection, operation: Operation, where: string): CompiledOperation {
  const { compiler } = connection;
  const compileSteps = (steps: Step[] | undefined, group: string) =>
    (steps ?? []).map((step, index): CompiledStep => {
      const at = `${where}.${group}[${index}]`;
      return {
        name: step.name,
        isRead: step.settle === undefined,
        when: step.when === undefined ? undefined : compiler.mapping(step.when, `${at}.when`),
        each: step.each === undefined ? undefined : compiler.mapping(step.each, `${at}.each`),
        write: compileWrite(connection, step, at),
      };
    });
  return {
    where,
    before: compileSteps(operation.before, 'before'),
    main: operation.path === undefined ? undefined : compileWrite(connection, operation as Settled, where),
    steps: compileSteps(operation.steps, 'steps'),
    result: operation.result === undefined ? undefined : compiler.mapping(operation.result, `${where}.result`),
  };
}

function compileWrite(connection: Connection, settled: Settled, where: string): CompiledWrite {
  const { compiler } = connection;
  const { probe, duplicate } = settled;
  return {
    ...compileExchange(compiler, settled, where),
    settled,
    duplicateResponse:
      duplicate?.response === undefined
        ? undefined
        : compiler.mapping(duplicate.response, `${where}.duplicate.response`),
    probe: probe && {
      ...compileExchange(compiler, probe, `${where}.probe`),
      missing: compileCondition(compiler, probe.missing, `${where}.probe.missing`),
      agrees: probe.agrees === undefined ? undefined : compiler.mapping(probe.agrees, `${where}.probe.agrees`),
      paging: compilePaging(compiler, probe.paging, `${where}.probe.paging`),
    },
  };
}

/**
 * Runs an operation: the steps before, the call itself, the steps after, each handed to the ledger with its own settlement.
 * @param run.documents what mappings see under these names; amounts of money get a `decimal` text
 * @param run.step the name of the main call in the effect's key
 */
export async function runOperation<Result extends Json>(
  connection: Connection,
  operation: CompiledOperation,
  run: {
    documents: Input;
    step: string;
    shape: Shape<Result>;
    write: Writer;
    summary: Record<string, Json>;
    look?: 'always';
  },
): Promise<Result> {
  const results: Record<string, Json> = {};
  const input: Input = { ...(withDecimals(run.documents, decimal) as Input), partner: connection.partner, results };
  for (const step of operation.before) await runStep(step);
  let result: Result | undefined;
  if (operation.main) {
    const here = { ...input, results: { ...results } };
    if (operation.result) results[run.step] = await settle(connection, operation.main, run.step, here, anything, run);
    else results[run.step] = result = await settle(connection, operation.main, run.step, here, run.shape, run);
  }
  for (const step of operation.steps) await runStep(step);
  if (operation.result) {
    const value = await operation.result.evaluate(input);
    try {
      return run.shape(value, false);
    } catch (thrown) {
      throw mappingFailed(connection.partner, operation.result.where, sentenceOf(thrown), thrown);
    }
  }
  return result ?? run.shape({}, true);

  async function runStep(step: CompiledStep): Promise<void> {
    const here = { ...input, results: { ...results } };
    if (step.when && !isTrue(await step.when.evaluate(here))) return;
    if (!step.each) {
      results[step.name] = await runOne(step, step.name, here);
      return;
    }
    const items = await step.each.evaluate(here);
    if (items !== undefined && (typeof items !== 'object' || items === null)) {
      throw mappingFailed(connection.partner, step.each.where, 'it must give a list');
    }
    const list: Json[] = [];
    const names = new Set<string>();
    for (const [index, item] of [items ?? []].flat().entries()) {
      const own = `${step.name}-${itemName(item, index)}`;
      // Two items of one id are two calls all the same.
      const name = names.has(own) ? `${own}-${index + 1}` : own;
      names.add(name);
      list.push(await runOne(step, name, { ...here, item }));
    }
    results[step.name] = list;
  }

  async function runOne(step: CompiledStep, name: string, here: Input): Promise<Json> {
    if (!step.isRead)
      return settle(connection, step.write, name, here, anything, { write: run.write, summary: run.summary });
    return run.write<Json>({
      step: name,
      summary: run.summary,
      settle: 'idempotent',
      async send(attempt) {
        const { answer, request } = await exchange(connection, step.write, here, {
          isRead: true,
          signal: attempt.signal,
        });
        const value = await mapResult(step.write.response, { ...answer, input: here });
        if (isNothing(value)) {
          throw unexpectedAnswer(request, connection.partner, `${step.write.where}.response finds nothing in it`);
        }
        return value as Json;
      },
    });
  }
}

/** The name of an item in the effect's key: its own id where it has one, because a list may change its order. */
function itemName(item: unknown, index: number): string {
  const fields = typeof item === 'object' && item !== null ? (item as Record<string, unknown>) : {};
  const own = fields['id'] ?? fields['line'] ?? fields['orderLine'] ?? fields['trackingNumber'];
  return typeof own === 'string' && own !== '' ? own : String(index + 1);
}

/** Hands one call to the ledger, with how its lost answer is settled. */
async function settle<Result extends Json>(
  connection: Connection,
  call: CompiledWrite,
  step: string,
  input: Input,
  shape: Shape<Result>,
  run: { write: Writer; summary: Record<string, Json>; look?: 'always' },
): Promise<Result> {
  const { settled } = call;
  const base = {
    step,
    summary: run.summary,
    adopt: (number: string) => adoptNumber(connection, call, input, shape, number),
  };
  const send = (attempt: Attempt) => sendOnce(connection, call, { ...input, key: attempt.key }, shape, attempt);
  let effect: Write<Result>;
  if (settled.settle === 'probe') {
    const look = settled.look ?? run.look;
    effect = {
      ...base,
      settle: 'probe',
      find: () => find(connection, call, input, shape),
      ...(look === undefined ? {} : { look }),
      ...(settled.whenMissing === undefined ? {} : { whenMissing: settled.whenMissing }),
      send,
    };
  } else {
    effect = { ...base, settle: settled.settle ?? 'ask', send };
  }
  return run.write(effect);
}

async function sendOnce<Result extends Json>(
  connection: Connection,
  call: CompiledWrite,
  input: Input,
  shape: Shape<Result>,
  attempt: Attempt,
): Promise<Result> {
  const place = keyPlace(call.settled, attempt.key);
  const { is, answer, request } = await exchange(connection, call, input, {
    isRead: false,
    signal: attempt.signal,
    ...(place ? { key: place } : {}),
  });
  if (is === 'duplicate') return adopt(connection, call, input, shape, request, answer);
  try {
    const value = await mapResult(call.response, { ...answer, input });
    // Without a response mapping nothing is expected of the answer.
    return shape(call.response ? value : {}, call.response === undefined);
  } catch (thrown) {
    throw unexpectedAnswer(request, connection.partner, sentence(call, 'response', thrown), thrown);
  }
}

/** The partner says that it has this document already: the first one is taken over, never a second one made. */
async function adopt<Result extends Json>(
  connection: Connection,
  call: CompiledWrite,
  input: Input,
  shape: Shape<Result>,
  request: HttpRequest,
  answer: { status: number },
): Promise<Result> {
  if (call.duplicateResponse) {
    try {
      return shape(await call.duplicateResponse.evaluate({ ...answer, input }), true);
    } catch (thrown) {
      throw unexpectedAnswer(request, connection.partner, sentence(call, 'duplicate.response', thrown), thrown);
    }
  }
  const found = await find(connection, call, input, shape).catch((thrown: unknown) => {
    if (thrown instanceof TemporaryFault) throw inDoubt(`and could not be asked for it (${thrown.message})`);
    throw thrown;
  });
  if (found !== undefined) return found;
  throw inDoubt('but does not find it by our reference');

  function inDoubt(what: string): InDoubt {
    return new InDoubt(
      'DUPLICATE_NOT_FOUND',
      `${connection.partner} says that it has this already (${describeCall(request)}, ${answer.status}), ${what}. Dropline asks again; check ${call.where}.probe if this stays.`,
    );
  }
}

/**
 * A person says that it is done, under this number. A partner that can be asked must have it, and under this number where it names one;
 * otherwise the number is believed.
 */
async function adoptNumber<Result extends Json>(
  connection: Connection,
  call: CompiledWrite,
  input: Input,
  shape: Shape<Result>,
  number: string,
): Promise<Result> {
  if (!call.probe) {
    const all = { id: number, number, supplierOrderId: number };
    return shape(isOpen(shape) ? all : number, true);
  }
  const found = await find(connection, call, input, shape);
  const { partner } = connection;
  if (found === undefined)
    throw new BusinessRefusal('NUMBER_UNKNOWN', `${partner} does not have it (${call.probe.where}).`);
  const names = namesOf(found);
  if (names.length === 0 || names.includes(number)) return found;
  throw new BusinessRefusal('NUMBER_DIFFERS', `${partner} has it as ${names.join(' or ')}, not as ${number}.`);
}

/** Shapes that take any object, whose fields a later mapping may read. */
function isOpen(shape: unknown): boolean {
  return shape === anything || shape === recordShape;
}

/** What a found document calls itself. */
function namesOf(found: Json): string[] {
  if (typeof found !== 'object' || found === null || Array.isArray(found))
    return found === null || found === '' ? [] : [String(found as string | number)];
  const fields = [found['id'], found['number'], found['supplierOrderId']];
  return [...new Set(fields.filter((field) => typeof field === 'string' || typeof field === 'number').map(String))];
}

/**
 * Asks the partner by our own reference. `undefined` only when the answer says that it is certainly not there.
 * @throws TemporaryFault `ANSWER_UNEXPECTED` when the answer is unclear, ConfigurationMistake `PROBE_UNCLEAR` when it refuses the question,
 * BusinessRefusal `FOUND_TWICE`, `FOUND_DIFFERENT`
 */
async function find<Result extends Json>(
  connection: Connection,
  call: CompiledWrite,
  input: Input,
  shape: Shape<Result>,
): Promise<Result | undefined> {
  const { probe } = call;
  if (!probe) return undefined;
  const { partner } = connection;
  // A status such as 404 is an answer to this question; exchange would take it for a refusal.
  const asking: CompiledExchange = { ...probe, duplicate: probe.missing };
  try {
    for await (const { answer, request, isLast, is } of pages(connection, asking, probe.paging, input)) {
      const seen = { ...answer, input };
      const isMissing = is === 'duplicate';
      const value = answer.status < 300 ? await mapProbe(request, () => mapResult(probe.response, seen)) : undefined;
      if (!isNothing(value)) {
        if (Array.isArray(value) && value.length > 1) {
          throw new BusinessRefusal(
            'FOUND_TWICE',
            `${partner} has ${value.length} documents with our reference (${describeCall(request)}). Remove the one too many there, then try again.`,
          );
        }
        if (probe.agrees && !isTrue(await mapProbe(request, async () => probe.agrees?.evaluate(seen)))) {
          throw new BusinessRefusal(
            'FOUND_DIFFERENT',
            `${partner} has a document with this reference already, but with another content (${describeCall(request)}). Compare the two and correct one.`,
          );
        }
        return await mapProbe(request, async () => shape(Array.isArray(value) ? value[0] : value, true));
      }
      if (isLast && isMissing) return undefined;
      if (isLast) {
        throw unexpectedAnswer(
          request,
          partner,
          `neither ${probe.where}.response finds the document nor ${probe.where}.missing says that it is not there`,
        );
      }
    }
  } catch (thrown) {
    if (!(thrown instanceof HttpRefusal)) throw thrown;
    throw new ConfigurationMistake(
      'PROBE_UNCLEAR',
      `${partner} answers the question of ${probe.where} with ${thrown.response.status}, so it is not known whether the document is there. If that status means "not there", add it to ${probe.where}.missing.`,
      { cause: thrown },
    );
  }
  return undefined;

  async function mapProbe<Value>(request: HttpRequest, evaluate: () => Promise<Value>): Promise<Value> {
    try {
      return await evaluate();
    } catch (thrown) {
      throw unexpectedAnswer(request, partner, sentence(call, 'probe', thrown), thrown);
    }
  }
}

/** One item of a list, and where it came from for messages. */
export interface ListItem {
  item: unknown;
  where: string;
  request: HttpRequest;
}

/** Reads a whole list, all its pages: `response` turns each answer into a list. */
export function compileList(
  connection: Connection,
  operation: Operation,
  where: string,
): (documents: Input) => Promise<ListItem[]> {
  const call = compileExchange(connection.compiler, operation as Settled, where);
  const paging = compilePaging(connection.compiler, operation.paging, `${where}.paging`);
  return async (documents) => {
    const input = { ...documents, partner: connection.partner };
    const all: ListItem[] = [];
    for await (const { answer, request } of pages(connection, call, paging, input)) {
      const list = listOf(
        await mapResult(call.response, { ...answer, input }),
        `${where}.response`,
        connection,
        request,
      );
      for (const item of list) all.push({ item, where: `${where}.response[${all.length}]`, request });
    }
    return all;
  };
}

async function mapResult(response: Mapping | undefined, seen: unknown): Promise<unknown> {
  return response?.evaluate(seen);
}

/** Also an object of empty fields: `{"id": body.data[0].id}` gives one when there is no data. */
function isNothing(value: unknown): boolean {
  if (value === undefined || value === null || value === '' || value === false) return true;
  if (typeof value !== 'object') return false;
  return Object.values(value).every((field) => field === undefined || field === null || field === '');
}

const anything: Shape<Json> = (value, found) => {
  if (!found && isNothing(value)) throw new Error('it finds nothing');
  return (value ?? {}) as Json;
};

/** `{id, number}`; a bare text or number is both. */
export const documentShape: Shape<{ id: string; number: string }> = (value) => {
  if (typeof value !== 'object' || value === null) {
    const id = identifier(value, 'id');
    return { id, number: id };
  }
  const { id, number } = value as { id?: unknown; number?: unknown };
  // Further fields stay: later steps may need them.
  return { ...value, id: identifier(id, 'id'), number: identifier(number ?? id, 'number') };
};

export const idShape: Shape<{ id: string }> = (value) => ({ id: documentShape(value, false).id });

/** Any object: what it holds is kept for the history. */
export const recordShape: Shape<Record<string, Json>> = (value, found) => {
  if (!found && isNothing(value)) throw new Error('it finds nothing');
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, Json>) : {};
};

/** Whoever maps an answer wants its number; a supplier that gives none has no `response`. */
export const supplierOrderShape: Shape<{ supplierOrderId?: string }> = (value, found) => {
  if (typeof value === 'string' || typeof value === 'number')
    return { supplierOrderId: identifier(value, 'supplierOrderId') };
  const { supplierOrderId } = (typeof value === 'object' && value !== null ? value : {}) as {
    supplierOrderId?: unknown;
  };
  if (found && supplierOrderId === undefined) return {};
  return { supplierOrderId: identifier(supplierOrderId, 'supplierOrderId') };
};

function keyPlace({ idempotency }: Settled, key: string): KeyPlace | undefined {
  if (!idempotency) return undefined;
  const value = { plain: () => key, sha256: () => digest(key), uuid: () => asUuid(digest(key)) }[
    idempotency.format ?? 'plain'
  ]();
  return { in: idempotency.in, name: idempotency.name, value };
}

function digest(key: string): string {
  return createHash('sha256').update(key, 'utf8').digest('hex');
}

/** RFC 9562 version 8: a UUID of our own making, always the same for the same key. */
function asUuid(hex: string): string {
  const variant = ((parseInt(hex[16] ?? '0', 16) & 0x3) | 0x8).toString(16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

function sentence(call: CompiledExchange, field: string, thrown: unknown): string {
  return `${call.where}.${field}: ${sentenceOf(thrown)}`;
}

function sentenceOf(thrown: unknown): string {
  if (thrown instanceof DroplineError) return thrown.message;
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** @throws ConfigurationMistake `OPERATION_MISSING` that says where to add it */
export function operationMissing(partner: string, operation: string): ConfigurationMistake {
  return new ConfigurationMistake(
    'OPERATION_MISSING',
    `${partner} does not know how to do "${operation}" yet. Add operations.${operation} to the options of its config node (see docs/generic-rest.md).`,
    { status: 'operation missing' },
  );
}
