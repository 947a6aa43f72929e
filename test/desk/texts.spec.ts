import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import should from 'should';

const ROOT = join(import.meta.dirname, '..', '..');
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');
const sources = (pattern: string) => globSync(pattern, { cwd: ROOT }).map(read).join('\n');

type Texts = { [key: string]: string | Texts };
const texts = JSON.parse(read('desk/locales/en-US.json')) as Texts;
const group = (name: string) => texts[name] as Record<string, string>;

/** The texts in a piece of source, but for those that something is compared with. */
const quoted = (source: string) =>
  [...source.replace(/=== '[^']*'/g, '').matchAll(/'([^']+)'/g)].map(([, text]) => text!);
const isText = (path: string[]) =>
  typeof path.reduce<string | Texts | undefined>(
    (at, step) => (typeof at === 'object' ? at[step] : undefined),
    texts,
  ) === 'string';

describe('the texts of the desk', () => {
  it('have a sentence for all that the ledger notes in a history', () => {
    const noted = [...sources('ledger/*.ts').matchAll(/\bnote\([^;]*?\bwhat: ([^;]*?)[,\n]\s*subject/g)].flatMap(
      ([, what]) => quoted(what!),
    );
    should(noted.length).be.above(15);
    should(noted.filter((what) => !group('history')[what])).deepEqual([]);
  });

  it('have a sentence for each operation and decision of a node, and words for those that can be in doubt', () => {
    const nodes = sources('nodes/*/*.ts');
    const kinds = (pattern: RegExp) => [...new Set([...nodes.matchAll(pattern)].map(([, kind]) => kind!))];
    const operations = kinds(/\boperation(?:<[^>]*>)?\(\{\s*kind: '([\w-]+)'/g);
    const decisions = kinds(/\bonce(?:<[^(]*>)?\(\{\s*kind: '([\w-]+)'/g);
    should(operations.length).be.above(10);
    should(decisions.length).be.above(2);
    should([...operations, ...decisions].filter((kind) => !group('history')[kind])).deepEqual([]);
    should(operations.filter((kind) => !group('action')[kind])).deepEqual([]);
  });

  it('have words for each state of an order, a purchase order and a payment', () => {
    const states = (file: string, type: string) => {
      const [, union = ''] = new RegExp(`export type ${type} =([^;]+);`).exec(read(file)) ?? [];
      return quoted(union);
    };
    const known: [string, string[]][] = [
      ['orderState', ['taken', 'complete', 'cancelled']],
      ['poState', states('orders/purchase-order.ts', 'PurchaseOrderState')],
      ['paymentState', states('orders/payment.ts', 'PaymentState')],
    ];
    for (const [name, all] of known) {
      should(all.length).be.above(2);
      should(all.filter((state) => !group(name)[state])).deepEqual([], name);
    }
    const statuses = states('orders/payment.ts', 'PaymentState').filter((state) => !/^(reserved|sent)$/.test(state));
    should(statuses.filter((state) => !group('history')[`payment ${state}`])).deepEqual([]);
  });

  it('have words for each action: what it is called, and what is said when it is done', () => {
    const [, union = ''] = /export type ActionName =([^;]+);/.exec(read('ledger/actions.ts')) ?? [];
    const actions = quoted(union);
    should(actions.length).be.above(4);
    const needed = actions.flatMap((action) =>
      ['button', 'consequence', 'go', 'said'].map((part) => ['act', action, part]),
    );
    should(needed.filter((path) => !isText(path))).deepEqual([]);
  });

  it('are all there that the page asks for by name', () => {
    const page = sources('desk/*.ts');
    const asked = [...page.matchAll(/\bt\('([\w.]+)'/g)].map(([, path]) => path!);
    const facts = [...page.matchAll(/\b(?:fact|add)\('(\w+)'/g)].map(([, name]) => `fact.${name}`);
    should(asked.length).be.above(30);
    should(facts.length).be.above(15);
    should([...asked, ...facts].filter((path) => !isText(path.split('.')))).deepEqual([]);
  });
});
