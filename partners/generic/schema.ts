import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import { ConfigurationMistake } from '../../orders/errors.ts';
import { checkRules, type Rule, type RuleObject } from './read.ts';
import type { GenericOptions, Operation, Paging, Probe, Settled, Step } from './options.ts';

/** What a kind of partner can be asked, and what it tells. */
export interface PartnerKind {
  /** For messages: "an ERP". */
  name: string;
  /** Each with the name of its main call in the effect's key. */
  operations: Readonly<Record<string, string>>;
  /** Operations that only read a list: they need no settlement. */
  lists?: readonly string[];
  /** Operations whose answer must name a document, so that a `response` or `result` is needed. */
  answering: readonly string[];
  facts: readonly string[];
  /** The fields of `read` for each kind of fact. */
  reads: Record<string, Fields>;
}

/** What can be read of a document: a value that is needed or may be missing, a group of fields, or a list of them. */
export interface Fields {
  [name: string]: 'needed' | 'optional' | { as: 'group' | 'list'; needed?: boolean; fields: Fields };
}

const text = { type: 'string', minLength: 1 };
const expression = { type: ['string', 'array'], items: { type: 'string' }, minLength: 1, minItems: 1 };
const flag = { type: 'boolean' };
const texts = { type: 'object', additionalProperties: { type: 'string' } };
const query = { type: 'object', additionalProperties: { type: ['string', 'number', 'boolean'] } };
const method = { enum: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] };
const condition = { type: ['array', 'string'], items: { type: 'integer' }, minItems: 1, minLength: 1 };

const call = {
  method,
  path: text,
  query,
  headers: texts,
  request: expression,
  bodyType: { enum: ['json', 'form', 'text'] },
};

const paging = object(
  {
    type: { enum: ['next', 'page', 'offset', 'link'] },
    next: expression,
    parameter: text,
    first: { type: 'integer', minimum: 0 },
    size: { type: 'integer', minimum: 1 },
    sizeParameter: text,
    items: expression,
  },
  ['type'],
);

const settled = {
  ...call,
  response: expression,
  success: condition,
  refused: expression,
  tryLater: condition,
  settle: { enum: ['idempotent', 'probe', 'ask'] },
  idempotency: object(
    { in: { enum: ['header', 'query', 'body'] }, name: text, format: { enum: ['plain', 'uuid', 'sha256'] } },
    ['in', 'name'],
  ),
  repeatable: flag,
  probe: { $ref: '#/$defs/probe' },
  look: { enum: ['when-in-doubt', 'always'] },
  whenMissing: { enum: ['send', 'ask'] },
  duplicate: object({ when: condition, response: expression }, ['when']),
};

const probe = object(
  { ...call, response: expression, missing: condition, agrees: expression, paging: { $ref: '#/$defs/paging' } },
  ['path', 'response', 'missing'],
);

const step = object(
  {
    name: { type: 'string', pattern: '^[a-z][A-Za-z0-9]{0,30}$' },
    when: expression,
    each: expression,
    ...settled,
  },
  ['name', 'path'],
);

const steps = { type: 'array', items: { $ref: '#/$defs/step' } };

const operation = object(
  { ...settled, before: steps, steps, result: expression, paging: { $ref: '#/$defs/paging' } },
  [],
);

const auth = object(
  {
    type: { enum: ['none', 'header', 'query', 'basic', 'bearer', 'oauth2', 'login'] },
    header: text,
    prefix: { type: 'string' },
    parameter: text,
    tokenUrl: text,
    scope: { type: 'string' },
    grant: { enum: ['client_credentials', 'password'] },
    clientAuth: { enum: ['basic', 'body'] },
    fields: texts,
    userField: text,
    passwordField: text,
    token: text,
    tokenLifetime: { type: 'number', minimum: 1 },
  },
  ['type'],
);

const callbacks = object(
  {
    signature: { enum: ['standard-webhooks', 'hmac-sha256', 'header-key', 'basic', 'none'] },
    header: text,
    encoding: { enum: ['hex', 'base64'] },
    prefix: { type: 'string' },
    user: text,
    acceptUnsigned: flag,
    facts: {
      type: ['object', 'array'],
      properties: factFields(),
      additionalProperties: false,
      items: object(factFields(), []),
    },
  },
  ['signature'],
);

function factFields() {
  return {
    list: text,
    document: text,
    kind: {
      type: ['string', 'object'],
      properties: { path: text, header: text, table: texts, otherwise: text },
      required: ['table'],
      additionalProperties: false,
    },
    key: { type: 'array', items: text, minItems: 1 },
  };
}

const pollFields = {
  name: { type: 'string', pattern: '^[a-z][A-Za-z0-9]{0,30}$' },
  ...call,
  items: expression,
  kind: text,
  key: { type: 'array', items: text, minItems: 1 },
  changedAt: text,
  cursor: expression,
  overlap: { type: 'number', minimum: 0 },
  paging: { $ref: '#/$defs/paging' },
  detail: object({ ...call, response: expression }, ['path']),
};

function object(properties: Record<string, object>, required: string[]) {
  return { type: 'object', properties, required, additionalProperties: false };
}

/** The JSON Schema of the options of one kind of partner. */
export function optionsSchema(kind: PartnerKind): Record<string, unknown> {
  const options = object(
    {
      auth,
      headers: texts,
      query,
      settleSeconds: { type: 'number', minimum: 0 },
      timeout: { type: 'number', minimum: 0 },
      test: object({ method, path: text, query }, ['path']),
      operations: object(
        Object.fromEntries(Object.keys(kind.operations).map((name) => [name, { $ref: '#/$defs/operation' }])),
        [],
      ),
      ...(kind.facts.length === 0
        ? {}
        : {
            callbacks,
            poll: {
              type: ['object', 'array'],
              properties: pollFields,
              required: ['path', 'items'],
              additionalProperties: false,
              items: object(pollFields, ['path', 'items']),
            },
            read: object(Object.fromEntries(kind.facts.map((fact) => [fact, { type: 'object' }])), []),
          }),
    },
    [],
  );
  return { ...options, $defs: { paging, probe, step, operation } };
}

/** Compiling takes a while, and there are three kinds. */
const validators = new Map<PartnerKind, ValidateFunction>();

function validatorOf(kind: PartnerKind): ValidateFunction {
  const known = validators.get(kind);
  if (known) return known;
  const ajv = new Ajv({
    allErrors: true,
    allowUnionTypes: true,
    strict: true,
    strictTypes: false,
    strictRequired: false,
  });
  const validate = ajv.compile(optionsSchema(kind));
  validators.set(kind, validate);
  return validate;
}

/**
 * The options as typed settings, or one error that names every field that is wrong and what it should be.
 * @throws ConfigurationMistake `OPTIONS_INVALID`
 */
export function checkOptions(kind: PartnerKind, options: Record<string, unknown>, partner: string): GenericOptions {
  const validate = validatorOf(kind);
  const wrong = validate(options)
    ? rulesBeyondSchema(kind, options as GenericOptions)
    : (validate.errors ?? []).map((error) => sentence(error, kind));
  if (wrong.length > 0) throw invalid(partner, [...new Set(wrong)]);
  return options as GenericOptions;
}

export function invalid(partner: string, sentences: string[]): ConfigurationMistake {
  const shown = sentences.slice(0, 5).join('; ');
  const more = sentences.length > 5 ? `; and ${sentences.length - 5} more` : '';
  return new ConfigurationMistake(
    'OPTIONS_INVALID',
    `The options of ${partner} are not complete: ${shown}${more}. Correct them in its config node.`,
    { status: 'options invalid' },
  );
}

/** "operations.createOrder.settle must be idempotent, probe or ask" */
function sentence(error: ErrorObject, kind: PartnerKind): string {
  const where = fieldName(error.instancePath);
  const params = error.params as Record<string, unknown>;
  switch (error.keyword) {
    case 'required':
      return `${join(where, String(params['missingProperty']))} is missing${explain(String(params['missingProperty']))}`;
    case 'additionalProperties': {
      const name = String(params['additionalProperty']);
      if (where === 'operations')
        return `operations.${name} is not an operation of ${kind.name}; it has ${list(Object.keys(kind.operations), 'and')}`;
      if (where === 'read') return `read.${name} is no document of ${kind.name}; it has ${list(kind.facts, 'and')}`;
      return `${join(where, name)} is not a known field`;
    }
    case 'enum':
      return `${where} must be ${list((params['allowedValues'] as unknown[]).map(String), 'or')}`;
    case 'type':
      return `${where || 'options'} must be ${list([params['type']].flat().map(typeName), 'or')}`;
    case 'minLength':
    case 'minItems':
      return `${where} must not be empty`;
    case 'pattern':
      return `${where} must be a short word of letters and digits that begins with a small letter`;
    default:
      return `${where} ${error.message ?? 'is wrong'}`;
  }
}

function explain(field: string): string {
  return field === 'missing'
    ? ': say which answer means "certainly not there", by statuses such as [404] or a condition such as "body.items = []"'
    : '';
}

function rulesBeyondSchema(kind: PartnerKind, options: GenericOptions): string[] {
  const wrong: string[] = [];
  wrong.push(...authRules(options));
  for (const [name, operation] of Object.entries(options.operations ?? {})) {
    const where = `operations.${name}`;
    if (kind.lists?.includes(name)) wrong.push(...listRules(operation, where));
    else wrong.push(...operationRules(operation, where, kind.answering.includes(name), kind.operations[name] ?? ''));
  }
  wrong.push(...inboundRules(kind, options));
  return wrong;
}

function authRules({ auth: chosen }: GenericOptions): string[] {
  if (!chosen) return [];
  const needs: Record<string, (keyof typeof chosen)[]> = {
    header: ['header'],
    query: ['parameter'],
    oauth2: ['tokenUrl'],
    login: ['tokenUrl', 'token'],
  };
  return (needs[chosen.type] ?? [])
    .filter((field) => !chosen[field])
    .map((field) => `auth.${field} is missing (auth.type is ${chosen.type})`);
}

function listRules(operation: Operation, where: string): string[] {
  const wrong: string[] = [];
  if (!operation.path) wrong.push(`${where}.path is missing`);
  if (!operation.response) wrong.push(`${where}.response is missing: it turns the answer into the list`);
  if (operation.settle) wrong.push(`${where}.settle does not apply: this operation only reads`);
  return [...wrong, ...pagingRules(operation.paging, `${where}.paging`)];
}

function operationRules(operation: Operation, where: string, answering: boolean, mainStep: string): string[] {
  const wrong: string[] = [];
  const all = [...(operation.before ?? []), ...(operation.steps ?? [])];
  if (operation.paging) wrong.push(`${where}.paging applies to lists only`);
  if (operation.path === undefined) {
    if (all.length === 0) wrong.push(`${where}.path is missing`);
    if (answering && !operation.result)
      wrong.push(`${where}.result is missing: without a path of its own, it says what the steps gave`);
  } else {
    wrong.push(...settlementRules(operation as Settled, where));
    if (answering && !operation.result && !operation.response) {
      wrong.push(`${where}.response is missing: it says what the partner calls the document`);
    }
  }
  const names = new Set([mainStep]);
  for (const [group, members] of Object.entries({ before: operation.before ?? [], steps: operation.steps ?? [] })) {
    for (const [index, step] of members.entries()) {
      if (names.has(step.name)) wrong.push(`${where}.${group}[${index}].name "${step.name}" is taken by another step`);
      names.add(step.name);
      wrong.push(...stepRules(step, `${where}.${group}[${index}]`));
    }
  }
  return wrong;
}

function stepRules(step: Step, where: string): string[] {
  const reads = (step.method ?? 'GET') === 'GET' && step.settle === undefined;
  if (!reads) return settlementRules(step, where);
  return step.response ? [] : [`${where}.response is missing: it says what to keep of the answer`];
}

function settlementRules(call: Settled, where: string): string[] {
  const wrong: string[] = [];
  if (!call.method) wrong.push(`${where}.method is missing`);
  if (!call.settle) wrong.push(`${where}.settle must be idempotent, probe or ask`);
  if (call.settle === 'probe' && !call.probe) wrong.push(`${where}.probe is missing (settle is probe)`);
  if (call.settle === 'idempotent' && call.method === 'POST' && !call.idempotency && !call.repeatable) {
    wrong.push(
      `${where}.idempotency is missing (settle is idempotent): say where the partner takes our key, or set repeatable to true if the same call twice changes nothing more`,
    );
  }
  if (call.idempotency?.in === 'body' && !call.request)
    wrong.push(`${where}.request is missing: the key goes into its body`);
  if (call.duplicate && !call.duplicate.response && !call.probe) {
    wrong.push(`${where}.duplicate needs a response of its own, or a probe that finds the document`);
  }
  if (call.probe) wrong.push(...pagingRules((call.probe as Probe).paging, `${where}.probe.paging`));
  return wrong;
}

function pagingRules(chosen: Paging | undefined, where: string): string[] {
  if (!chosen) return [];
  if (chosen.type === 'next' && !chosen.next) return [`${where}.next is missing (type is next)`];
  if ((chosen.type === 'page' || chosen.type === 'offset') && !chosen.items) {
    return [`${where}.items is missing: it names the list in the answer, so that the last page is known`];
  }
  return [];
}

function inboundRules(kind: PartnerKind, options: GenericOptions): string[] {
  const wrong: string[] = [];
  const { callbacks: chosen, read } = options;
  if (chosen) {
    if ((chosen.signature === 'hmac-sha256' || chosen.signature === 'header-key') && !chosen.header) {
      wrong.push(`callbacks.header is missing (signature is ${chosen.signature})`);
    }
    if (chosen.signature === 'basic' && !chosen.user) wrong.push('callbacks.user is missing (signature is basic)');
    if (chosen.signature === 'none' && chosen.acceptUnsigned !== true) {
      wrong.push(
        'callbacks.acceptUnsigned must be true, because with signature none anybody who knows the address is believed',
      );
    }
    const facts = [chosen.facts ?? []].flat();
    for (const [index, fact] of facts.entries()) {
      wrong.push(
        ...kindRules(kind, fact.kind, `callbacks.facts${Array.isArray(chosen.facts) ? `[${index}]` : ''}.kind`),
      );
    }
    if (facts.length === 0 && kind.facts.length > 1) {
      wrong.push('callbacks.facts is missing: it says what kind of document a callback holds');
    }
  }
  const polls = [options.poll ?? []].flat();
  const names = new Set<string>();
  for (const [index, poll] of polls.entries()) {
    const where = Array.isArray(options.poll) ? `poll[${index}]` : 'poll';
    if (polls.length > 1 && !poll.name) wrong.push(`${where}.name is missing: it tells several polls apart`);
    if (poll.name && names.has(poll.name)) wrong.push(`${where}.name "${poll.name}" is taken by another poll`);
    names.add(poll.name ?? '');
    wrong.push(...kindRules(kind, poll.kind, `${where}.kind`), ...pagingRules(poll.paging, `${where}.paging`));
  }
  for (const fact of incomingKinds(kind, options)) {
    if (!read?.[fact])
      wrong.push(`read.${fact} is missing: documents of this kind come in, and it says how to read them`);
  }
  for (const [fact, rules] of Object.entries(read ?? {})) {
    wrong.push(...fieldRules(kind.reads[fact] ?? {}, rules, `read.${fact}`));
    wrong.push(...checkRules(rules, `read.${fact}`));
  }
  return wrong;
}

/** The kinds that callbacks and polls can bring. */
function incomingKinds(kind: PartnerKind, { callbacks: chosen, poll }: GenericOptions): Set<string> {
  const kinds = new Set<string>();
  const add = (fact: string | undefined) => {
    if (fact !== undefined && kind.facts.includes(fact)) kinds.add(fact);
  };
  const only = kind.facts.length === 1 ? kind.facts[0] : undefined;
  if (chosen) {
    for (const { kind: choice } of chosen.facts === undefined ? [{ kind: only }] : [chosen.facts].flat()) {
      if (typeof choice === 'object') [...Object.values(choice.table), choice.otherwise].forEach(add);
      else add(choice ?? only);
    }
  }
  for (const one of [poll ?? []].flat()) add(one.kind ?? only);
  return kinds;
}

/** A misspelt field would be left out in silence, so each name is checked. */
function fieldRules(fields: Fields, rules: Record<string, Rule>, where: string): string[] {
  const wrong = Object.keys(rules)
    .filter((name) => !Object.hasOwn(fields, name))
    .map((name) => `${where}.${name} is not a field of this document; it has ${list(Object.keys(fields), 'and')}`);
  for (const [name, field] of Object.entries(fields)) {
    const rule = rules[name];
    const isNeeded = field === 'needed' || (typeof field === 'object' && field.needed === true);
    if (rule === undefined) {
      if (isNeeded) wrong.push(`${where}.${name} is missing`);
    } else if (typeof field === 'object') {
      const inner = typeof rule === 'object' ? (field.as === 'list' ? (rule as RuleObject).fields : rule) : undefined;
      if (inner === undefined || (field.as === 'list' && (rule as RuleObject).each === undefined)) {
        const form =
          field.as === 'list' ? '{"each": the path of the list, "fields": {...}}' : 'an object with its fields';
        wrong.push(`${where}.${name} must be ${form}`);
      } else {
        const at = field.as === 'list' ? `${where}.${name}.fields` : `${where}.${name}`;
        wrong.push(...fieldRules(field.fields, inner as Record<string, Rule>, at));
      }
    }
  }
  return wrong;
}

function kindRules(kind: PartnerKind, chosen: unknown, where: string): string[] {
  if (chosen === undefined)
    return kind.facts.length > 1 ? [`${where} is missing: it must be ${list(kind.facts, 'or')}`] : [];
  const choice = chosen as
    string | { path?: string; header?: string; table: Record<string, string>; otherwise?: string };
  if (typeof choice !== 'string' && !choice.path && !choice.header)
    return [`${where}.path is missing (or header): where the kind stands`];
  const values =
    typeof choice === 'string'
      ? [choice]
      : [...Object.values(choice.table), ...(choice.otherwise === undefined ? [] : [choice.otherwise])];
  return values
    .filter((value) => !kind.facts.includes(value) && !(typeof choice !== 'string' && value === 'ignore'))
    .map(
      (value) =>
        `${where} "${value}" must be ${list(typeof choice === 'string' ? kind.facts : [...kind.facts, 'ignore'], 'or')}`,
    );
}

/** "/operations/createOrder/steps/0/path" is "operations.createOrder.steps[0].path". */
function fieldName(pointer: string): string {
  return pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce((name, part) => (/^\d+$/.test(part) ? `${name}[${part}]` : join(name, part)), '');
}

function join(where: string, field: string): string {
  return where ? `${where}.${field}` : field;
}

function list(values: readonly string[], word: 'or' | 'and'): string {
  return values.length < 2 ? (values[0] ?? '') : `${values.slice(0, -1).join(', ')} ${word} ${values.at(-1)}`;
}

function typeName(type: unknown): string {
  const names: Record<string, string> = {
    string: 'a text',
    object: 'an object',
    array: 'a list',
    number: 'a number',
    integer: 'a whole number',
    boolean: 'true or false',
  };
  return names[String(type)] ?? String(type);
}
