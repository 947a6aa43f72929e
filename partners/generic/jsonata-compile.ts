/**
 * Most mappings are plain: an object whose fields are paths into the document, a list of such objects, a comparison. JSONata walks
 * its syntax tree anew for each document, asynchronously at every node, which costs more than all the rest of a call. What is
 * plain is therefore compiled once, from JSONata's own syntax tree, into functions.
 *
 * JSONata stays the authority. An expression with anything in it that is not known here is not compiled; a document in which a
 * compiled one meets something unusual (lists in lists, a text that is no number) is `LEFT_TO_JSONATA`, so that all
 * errors are its own. `test/partners/jsonata-compile.spec.ts` compares the two over many documents.
 */

/** The answer of a compiled expression where JSONata itself is to be asked. */
export const LEFT_TO_JSONATA = Symbol('left to JSONata');

/** Gives the result as plain JSON that shares nothing with the input, `undefined`, or `LEFT_TO_JSONATA`. */
export type Compiled = (input: unknown) => unknown;

/** A part of an expression: from what stands around it to its value. */
interface Part {
  of: (context: unknown) => unknown;
  /** Its lists and objects are made here; those of other parts belong to the input. */
  isNew: boolean;
}

type Node = Record<string, unknown>;

/** Thrown, so that no part has to look whether the parts in it gave up. */
const UNUSUAL = new Error('left to JSONata');

/** Versions of JSONata differ in what they do with these. */
const ODD_NAMES = new Set([...Object.getOwnPropertyNames(Object.prototype), '_jsonata_function', '_jsonata_lambda']);

/** @param ast JSONata's syntax tree, or `undefined` where the engine shows none; the answer is `undefined` then as well */
export function compileAst(ast: unknown): Compiled | undefined {
  const part = compile(ast);
  if (!part) return undefined;
  return (input) => {
    try {
      return detached(part, input);
    } catch (thrown) {
      if (thrown === UNUSUAL) return LEFT_TO_JSONATA;
      throw thrown;
    }
  };
}

function compile(ast: unknown): Part | undefined {
  const node = (typeof ast === 'object' && ast !== null ? ast : {}) as Node;
  switch (node['type']) {
    case 'string':
    case 'number':
    case 'value': {
      const { value } = node;
      return hasOnly(node, 'value') ? { of: () => value, isNew: false } : undefined;
    }
    case 'path':
      return hasOnly(node, 'steps') ? compilePath(node['steps'] as Node[]) : undefined;
    case 'unary':
      if (node['value'] === '{') return compileObject(node);
      return node['value'] === '[' ? compileList(node) : undefined;
    case 'binary':
      return compileOperator(node);
    case 'condition':
      return compileChoice(node);
    case 'function':
      return compileCast(node);
    default:
      return undefined;
  }
}

/** What else a node may hold (a filter, a group, a kept list, a binding) changes its meaning. */
function hasOnly(node: Node, ...names: string[]): boolean {
  const known = ['type', 'position', ...names];
  return Object.entries(node).every(([key, value]) => value === undefined || known.includes(key));
}

/** From one item to what it has for the next step of a path. */
type Step = (item: unknown) => unknown;

function compilePath(nodes: Node[]): Part | undefined {
  const steps: Step[] = [];
  let isNew = false;
  for (const [index, node] of nodes.entries()) {
    isNew = index > 0 && index === nodes.length - 1 && node['type'] === 'unary' && node['value'] === '{';
    const step = isNew ? compileObject(node)?.of : compileName(node);
    if (!step) return undefined;
    steps.push(step);
  }
  return { of: (context) => walk(steps, context), isNew };
}

function walk(steps: Step[], context: unknown): unknown {
  if (Array.isArray(context)) throw UNUSUAL;
  let item = context;
  for (let index = 0; index < steps.length; index += 1) {
    if (Array.isArray(item)) return walkList(steps, index, item);
    item = (steps[index] as Step)(item);
    if (item === undefined) return undefined;
  }
  return item;
}

/** Each step finds something in each item; the lists among that are joined, and one item alone is no list. */
function walkList(steps: Step[], from: number, list: unknown[]): unknown {
  let items = list;
  for (let index = from; index < steps.length; index += 1) {
    const found: unknown[] = [];
    for (const item of items) {
      if (Array.isArray(item)) throw UNUSUAL;
      const value = (steps[index] as Step)(item);
      if (value !== undefined) found.push(value);
    }
    // A list that is all there is remains the list that it was, be it empty or of one item.
    if (index === steps.length - 1 && found.length === 1 && Array.isArray(found[0])) return found[0];
    items = found.flat();
  }
  return items.length > 1 ? items : items[0];
}

function compileName(node: Node): Step | undefined {
  const name = node['value'];
  if (node['type'] !== 'name' || typeof name !== 'string' || ODD_NAMES.has(name)) return undefined;
  if (hasOnly(node, 'value')) return (item) => field(item, name);
  const place = hasOnly(node, 'value', 'stages') ? placeOf(node['stages'] as Node[]) : undefined;
  if (place === undefined) return undefined;
  return (item) => {
    const value = field(item, name);
    const chosen: unknown = (Array.isArray(value) ? value : [value]).at(place);
    if (Array.isArray(chosen)) throw UNUSUAL;
    return chosen;
  };
}

/** The number in `[0]` and `[-1]`; `undefined` for every other filter. */
function placeOf(stages: Node[]): number | undefined {
  const [filter] = stages;
  if (stages.length !== 1 || filter?.['type'] !== 'filter' || !hasOnly(filter, 'expr')) return undefined;
  const place = filter['expr'] as Node;
  return place['type'] === 'number' && Number.isSafeInteger(place['value']) && hasOnly(place, 'value')
    ? (place['value'] as number)
    : undefined;
}

function field(item: unknown, name: string): unknown {
  if (typeof item !== 'object' || item === null) return undefined;
  const fields = item as Node;
  // JSONata knows its own functions by these, and would take a document that has one for a function.
  if (fields['_jsonata_function'] === true || fields['_jsonata_lambda'] === true) throw UNUSUAL;
  return Object.hasOwn(fields, name) ? fields[name] : undefined;
}

function compileObject(node: Node): Part | undefined {
  if (!hasOnly(node, 'value', 'lhs')) return undefined;
  const pairs = node['lhs'] as [Node, Node][];
  const fields: { name: string; part: Part }[] = [];
  for (const [key, value] of pairs) {
    const name = key['type'] === 'string' && hasOnly(key, 'value') ? key['value'] : undefined;
    const part = compile(value);
    if (typeof name !== 'string' || ODD_NAMES.has(name) || !part) return undefined;
    fields.push({ name, part });
  }
  if (new Set(fields.map(({ name }) => name)).size < fields.length) return undefined;
  return {
    of(context) {
      // JSONata makes one object of all items of a list, and marks lists of its own by that name.
      if (Array.isArray(context) || hasMark(context)) throw UNUSUAL;
      const object: Node = {};
      for (const { name, part } of fields) {
        const value = detached(part, context);
        if (value !== undefined) object[name] = value;
      }
      return object;
    },
    isNew: true,
  };
}

function hasMark(context: unknown): boolean {
  return typeof context === 'object' && context !== null && Boolean((context as Node)['tupleStream']);
}

function compileList(node: Node): Part | undefined {
  if (!hasOnly(node, 'value', 'expressions')) return undefined;
  const nodes = node['expressions'] as Node[];
  const parts = nodes.map(compile);
  if (!parts.every((part) => part !== undefined)) return undefined;
  return {
    of(context) {
      const list: unknown[] = [];
      for (const [index, part] of parts.entries()) {
        const value = detached(part, context);
        // A list within is joined, except one that is written as a list.
        if (Array.isArray(value) && nodes[index]?.['value'] !== '[') for (const item of value) list.push(item);
        else if (value !== undefined) list.push(value);
      }
      return list;
    },
    isNew: true,
  };
}

function compileOperator(node: Node): Part | undefined {
  const left = compile(node['lhs']);
  const right = compile(node['rhs']);
  if (!left || !right || !hasOnly(node, 'value', 'lhs', 'rhs')) return undefined;
  switch (node['value']) {
    case '=':
      return { of: (context) => isEqual(left.of(context), right.of(context), true), isNew: false };
    case '!=':
      return { of: (context) => isEqual(left.of(context), right.of(context), false), isNew: false };
    case '&':
      return { of: (context) => (text(left.of(context)) ?? '') + (text(right.of(context)) ?? ''), isNew: false };
    default:
      return undefined;
  }
}

/** Whether the question is answered with yes: what is missing is neither equal nor different. */
function isEqual(left: unknown, right: unknown, wanted: boolean): boolean {
  if (left === undefined || right === undefined) return false;
  if (!isCompound(left) && !isCompound(right)) return (left === right) === wanted;
  if (Array.isArray(left) && Array.isArray(right) && (left.length === 0 || right.length === 0)) {
    return (left.length === right.length) === wanted;
  }
  throw UNUSUAL;
}

function isCompound(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}

/** `question ? yes : no`, where the question is a comparison. */
function compileChoice(node: Node): Part | undefined {
  const question = node['condition'] as Node;
  if (question['type'] !== 'binary' || (question['value'] !== '=' && question['value'] !== '!=')) return undefined;
  const asked = compile(question);
  const yes = compile(node['then']);
  const no = node['else'] === undefined ? { of: () => undefined, isNew: true } : compile(node['else']);
  if (!asked || !yes || !no || !hasOnly(node, 'condition', 'then', 'else')) return undefined;
  return { of: (context) => (asked.of(context) === true ? yes : no).of(context), isNew: yes.isNew && no.isNew };
}

/** `$number` and `$string` of one argument. */
function compileCast(node: Node): Part | undefined {
  if (!hasOnly(node, 'value', 'arguments', 'procedure')) return undefined;
  const procedure = node['procedure'] as Node;
  const given = node['arguments'] as Node[];
  const argument = given.length === 1 ? compile(given[0]) : undefined;
  if (!argument || procedure['type'] !== 'variable' || !hasOnly(procedure, 'value')) return undefined;
  switch (procedure['value']) {
    case 'number':
      return { of: (context) => number(argument.of(context)), isNew: false };
    case 'string':
      return { of: (context) => text(argument.of(context)), isNew: false };
    default:
      return undefined;
  }
}

function number(value: unknown): number | undefined {
  if (value === undefined || typeof value === 'number') return value;
  if (typeof value === 'string' && /^-?\d{1,15}(\.\d{1,15})?$/.test(value)) return Number(value);
  throw UNUSUAL;
}

function text(value: unknown): string | undefined {
  if (value === undefined || typeof value === 'string') return value;
  // Versions of JSONata write fractions and long numbers differently.
  if (typeof value === 'boolean' || (Number.isInteger(value) && Math.abs(value as number) < 1e15)) return String(value);
  throw UNUSUAL;
}

/** The value of a part as JSON carries it, without what belongs to the input. */
function detached(part: Part, context: unknown): unknown {
  const value = part.of(context);
  if (part.isNew || typeof value === 'string' || typeof value === 'boolean' || value === undefined) return value;
  if (value === null || (Number.isFinite(value) && !Object.is(value, -0))) return value;
  return JSON.parse(JSON.stringify(value)) as unknown;
}
