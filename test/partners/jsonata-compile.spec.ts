import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import jsonata from 'jsonata';
import should from 'should';
import { droplineFlow } from '../../bench/dropline-flow.ts';
import { compileAst, LEFT_TO_JSONATA } from '../../partners/generic/jsonata-compile.ts';
import { createCompiler } from '../../partners/generic/mapping.ts';

/** What came of one evaluation, in a form that can be compared. */
type Outcome = { gives: string | undefined } | { throws: string };

/** As JSON text, because the order of fields is seen by partners. */
function seen(value: unknown): Outcome {
  return { gives: JSON.stringify(value) };
}

async function byJsonata(expression: string, input: unknown): Promise<Outcome> {
  try {
    return seen(await jsonata(expression).evaluate(input));
  } catch (thrown) {
    return { throws: String((thrown as { message: unknown }).message) };
  }
}

const compiler = createCompiler(
  {
    jsonata(expression) {
      const prepared = jsonata(expression);
      return Object.assign(async (input: unknown) => prepared.evaluate(input) as Promise<unknown>, {
        ast: prepared.ast(),
      });
    },
  },
  'acme',
);

async function byMapping(expression: string, input: unknown): Promise<Outcome> {
  try {
    return seen(await compiler.mapping(expression, 'here').evaluate(input));
  } catch (thrown) {
    const { cause } = thrown as { cause: { message: unknown } };
    return { throws: String(cause.message) };
  }
}

function compiledFrom(expression: string): ReturnType<typeof compileAst> {
  return compileAst(jsonata(expression).ast());
}

/** Nothing in it is lost or changed by JSON, such as -0 and the marks that JSONata leaves on lists. */
function isPlainJson(value: unknown): boolean {
  return value === undefined || isDeepStrictEqual(value, JSON.parse(JSON.stringify(value)));
}

/** All objects and lists in a value. */
function compounds(value: unknown, found = new Set<unknown>()): Set<unknown> {
  if (typeof value !== 'object' || value === null) return found;
  found.add(value);
  for (const item of Object.values(value)) compounds(item, found);
  return found;
}

const NAMES = ['a', 'b', 'c', 'odd name', 'length', 'sequence'];

const scalars = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom('1', '2.50', '-0.1', '007', '1e3', '0x1f', 'x', '', ' 1', '123456789012345678'),
  },
  {
    weight: 4,
    arbitrary: fc.constantFrom(0, 1, -1, 2.5, 0.1 + 0.2, 1e21, 9007199254740991, 123456789012345, -0, Infinity),
  },
  { weight: 2, arbitrary: fc.constantFrom(true, false, null) },
);

/** Documents full of what makes JSONata's lists surprising: lists of one, empty ones, lists in lists, gaps. */
function documents(names: readonly string[]): fc.Arbitrary<Record<string, unknown>> {
  const { object } = fc.letrec<{ value: unknown; object: Record<string, unknown> }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 5, depthIdentifier: 'document' },
      { weight: 2, arbitrary: scalars },
      { weight: 4, arbitrary: tie('object') },
      { weight: 3, arbitrary: fc.array(tie('object'), { maxLength: 3, depthIdentifier: 'document' }) },
      { weight: 1, arbitrary: fc.array(tie('value'), { maxLength: 3, depthIdentifier: 'document' }) },
    ),
    object: fc.dictionary(
      fc.oneof(
        { weight: 60, arbitrary: fc.constantFrom(...names) },
        {
          weight: 1,
          arbitrary: fc.constantFrom('tupleStream', '_jsonata_lambda', '_jsonata_function', 'outerWrapper'),
        },
      ),
      fc.oneof({ weight: 30, arbitrary: tie('value') }, { weight: 1, arbitrary: fc.constantFrom(true, undefined) }),
      { minKeys: 1, maxKeys: 5, noNullPrototype: true, depthIdentifier: 'document' },
    ),
  }));
  return object;
}

const nameTexts = NAMES.map((name) => (name.includes(' ') ? `\`${name}\`` : name));
const literals = fc.constantFrom("'x'", "'1'", "'['", "''", '1', '-1', '2.5', '0', 'true', 'false', 'null');

/** Mostly what is compiled; some of everything else as well. */
const { expression: expressions } = fc.letrec<{ expression: string; path: string; object: string; list: string }>(
  (tie) => {
    const list = (items: string[]) => items.join(', ');
    const step = fc
      .tuple(
        fc.constantFrom(...nameTexts),
        fc.constantFrom('', '', '', '', '', '', '', '[0]', '[-1]', '[1]', '[]', '[a]', '^(a)'),
      )
      .map((parts) => parts.join(''));
    return {
      path: fc.array(step, { minLength: 1, maxLength: 4 }).map((steps) => steps.join('.')),
      object: fc
        .uniqueArray(fc.tuple(fc.constantFrom("'p'", "'q'", "'10'", "'2'", "'$number'", 'a'), tie('expression')), {
          maxLength: 3,
          selector: ([key]) => key,
        })
        .map((pairs) => `{ ${list(pairs.map(([key, value]) => `${key}: ${value}`))} }`),
      list: fc.array(tie('expression'), { maxLength: 3 }).map((items) => `[${list(items)}]`),
      expression: fc.oneof(
        { maxDepth: 3, depthIdentifier: 'expression' },
        { weight: 8, arbitrary: tie('path') },
        { weight: 2, arbitrary: literals },
        { weight: 6, arbitrary: tie('object') },
        { weight: 8, arbitrary: fc.tuple(tie('path'), tie('object')).map(([path, object]) => `${path}.${object}`) },
        { weight: 4, arbitrary: tie('list') },
        {
          weight: 3,
          arbitrary: fc
            .tuple(fc.constantFrom('number', 'string', 'number', 'string', 'count'), tie('expression'))
            .map(([name, of]) => `$${name}(${of})`),
        },
        {
          weight: 5,
          arbitrary: fc
            .tuple(
              tie('path'),
              fc.constantFrom('=', '!=', '&', '=', '!=', '&', '>', 'and', '+'),
              fc.oneof(literals, tie('path'), fc.constant('[]')),
            )
            .map((parts) => parts.join(' ')),
        },
        {
          weight: 2,
          arbitrary: fc
            .tuple(tie('path'), literals, tie('expression'), fc.option(tie('expression'), { nil: undefined }))
            .map(([path, value, yes, no]) => `${path} = ${value} ? ${yes}${no === undefined ? '' : ` : ${no}`}`),
        },
        { weight: 1, arbitrary: fc.tuple(tie('path'), tie('object')).map(([path, object]) => `${path}${object}`) },
        { weight: 1, arbitrary: fc.tuple(tie('path'), tie('list')).map(([path, items]) => `${path}.${items}`) },
        { weight: 1, arbitrary: tie('expression').map((inner) => `(${inner})`) },
        {
          weight: 1,
          arbitrary: fc.constantFrom('$', '$$', '*', '**', '%', 'toString', 'constructor', '$.a', 'a.$', 'a.*'),
        },
      ),
    };
  },
);

/** The expressions that stand somewhere in options. */
function expressionsIn(options: unknown, found: string[] = []): string[] {
  if (typeof options !== 'object' || options === null) return found;
  for (const [name, value] of Object.entries(options)) {
    const isExpression = /^(request|response|refused|success|tryLater|missing|agrees|result|when)$/.test(name);
    const text = Array.isArray(value) && value.every((line) => typeof line === 'string') ? value.join('\n') : value;
    if (isExpression && typeof text === 'string') found.push(text);
    else expressionsIn(value, found);
  }
  return found;
}

function documentation(): string[] {
  const text = readFileSync(new URL('../../docs/generic-rest.md', import.meta.url), 'utf8');
  return [...text.matchAll(/^```json \S+\n(.*?)^```/gms)].flatMap(([, block = '']) => expressionsIn(JSON.parse(block)));
}

describe('a compiled mapping', () => {
  it('gives and refuses what JSONata does, whatever the expression and the document', async function () {
    this.timeout(120_000);
    const counts = { compiled: 0, something: 0 };
    await fc.assert(
      fc.asyncProperty(
        expressions,
        fc.array(documents(NAMES), { minLength: 4, maxLength: 4 }),
        async (text, inputs) => {
          let compiled: ReturnType<typeof compileAst>;
          try {
            compiled = compiledFrom(text);
          } catch {
            return; // No valid expression.
          }
          for (const input of inputs) {
            const expected = await byJsonata(text, structuredClone(input));
            should(await byMapping(text, structuredClone(input))).eql(expected);
            const before = structuredClone(input);
            const result = compiled ? compiled(input) : LEFT_TO_JSONATA;
            if (result === LEFT_TO_JSONATA) continue;
            should(seen(result)).eql(expected);
            should(isPlainJson(result)).be.true();
            should(input).eql(before);
            const given = compounds(input);
            for (const part of compounds(result)) should(given.has(part)).be.false();
            counts.compiled += 1;
            if (result !== undefined) counts.something += 1;
          }
        },
      ),
      { numRuns: 3000, seed: 20261123 },
    );
    // Most of it went the compiled way, and found something.
    should(counts.compiled).be.above(3000);
    should(counts.something).be.above(1800);
  });

  for (const [where, texts] of [
    ['the documentation', documentation()],
    ['the benchmark', expressionsIn(droplineFlow({ partners: 'http://localhost', reach: 'whole' }))],
  ] as const) {
    it(`gives and refuses what JSONata does for the mappings of ${where}`, async function () {
      this.timeout(120_000);
      should(texts.length).be.above(5);
      for (const text of new Set(texts)) {
        const names = new Set(text.replace(/'[^']*'/g, '').match(/[A-Za-z_]\w*/g) ?? []);
        await fc.assert(
          fc.asyncProperty(documents(['a', ...names]), async (input) => {
            should(await byMapping(text, structuredClone(input))).eql(await byJsonata(text, input));
          }),
          { numRuns: 200, seed: 1123 },
        );
      }
    });
  }

  it('is there for what the benchmark maps, or its numbers would say nothing about it', () => {
    for (const text of expressionsIn(droplineFlow({ partners: 'http://localhost', reach: 'whole' }))) {
      should(compiledFrom(text)).be.a.Function();
    }
  });

  it('is not made of what is more than paths, objects, lists and comparisons', () => {
    for (const text of [
      'a[b = 1]',
      'a[]',
      'a{b: c}',
      'a.(b)',
      'a.[b]',
      '$sum(a)',
      '$number()',
      '$string(a, true)',
      '($number := $string; $number(a))',
      '{ b: 1 }',
      "{ 'b': 1, 'b': 2 }",
      "{ 'a': 1 }.a",
      'a.toString',
      '$$.a',
      '**.a',
      'a ~> $number',
    ]) {
      should(compiledFrom(text)).be.undefined();
    }
  });

  it('leaves to JSONata what it would refuse, so that the sentence is the same', async () => {
    for (const [text, input] of [
      ['$number(a)', { a: 'twelve' }],
      ['$number(a)', { a: null }],
      ['$number(a)', { a: [1, 2] }],
      ["a & 'x' = $number(b)", { b: '' }],
    ] as const) {
      should(compiledFrom(text)?.(input)).equal(LEFT_TO_JSONATA);
      should(await byMapping(text, input)).eql(await byJsonata(text, input));
      should(await byJsonata(text, input)).have.property('throws');
    }
  });

  it('leaves a list that is handed in instead of a document to JSONata', async () => {
    for (const text of ['a', "{ 'b': a }"]) {
      should(compiledFrom(text)?.([{ a: 1 }, { a: 2 }])).equal(LEFT_TO_JSONATA);
      should(await byMapping(text, [{ a: 1 }, { a: 2 }])).eql({ gives: text === 'a' ? '[1,2]' : '{"b":[1,2]}' });
    }
  });

  it('needs no waiting: the result is there at once', () => {
    const { evaluate } = compiler.mapping("a.{ 'b': $number(b) }", 'here');
    should(evaluate({ a: { b: '2' } })).eql({ b: 2 });
  });
});
