import should from 'should';
import { actionsOf, whyNot, type Situation } from '../../ledger/actions.ts';

const names = (about: Partial<Situation>) => actionsOf({ ...NOTHING, ...about }).map((action) => action.name);

const NOTHING: Situation = { code: 'ANY', event: undefined, effect: undefined, order: undefined, decided: false };
const open = { state: 'open' };
const closed = { state: 'closed' };
const effect = (state: string, more: Partial<NonNullable<Situation['effect']>> = {}) => ({
  kind: 'po-send',
  state,
  adopts: false,
  given: false,
  ...more,
});
const order = { state: 'taken', left: true };
const untouched = { state: 'taken', left: false };

describe('the actions of an exception', () => {
  const cases: [string, Partial<Situation>, string[]][] = [
    ['a call that was refused', { effect: effect('refused'), event: closed, order }, ['retry', 'settle']],
    [
      'one that a number can stand for',
      { effect: effect('asked', { adopts: true }), event: closed, order },
      ['retry', 'done', 'settle'],
    ],
    [
      'one of an order of which nothing has left',
      { effect: effect('refused'), event: closed, order: untouched },
      ['retry', 'cancel', 'settle'],
    ],
    ['one that is under way again', { effect: effect('sending', { adopts: true }), event: open, order }, ['settle']],
    [
      'one in doubt, which settles itself',
      { effect: effect('in-doubt', { adopts: true }), event: open, order },
      ['settle'],
    ],
    ['one that was done meanwhile', { effect: effect('done', { adopts: true }), event: open, order }, ['settle']],
    [
      'one whose number is being checked',
      { effect: effect('asked', { adopts: true, given: true }), event: open, order: untouched },
      [],
    ],
    [
      'one whose number nobody came to check',
      { effect: effect('asked', { adopts: true, given: true }), event: closed, order },
      ['retry', 'done', 'settle'],
    ],
    ['lines that nobody delivers', { code: 'NOBODY_DELIVERS', event: closed, order }, ['reroute', 'cancel', 'settle']],
    [
      'lines that somebody has decided about',
      { code: 'NOBODY_DELIVERS', event: closed, order, decided: true },
      ['settle'],
    ],
    [
      'lines of a cancelled order',
      { code: 'NOBODY_DELIVERS', event: closed, order: { state: 'cancelled', left: false } },
      ['settle'],
    ],
    ['a recorded decision', { code: 'BILL_MISMATCH', event: closed, order }, ['settle']],
    ['a bill without an account', { code: 'BENEFICIARY_MISSING', event: closed, order }, ['settle']],
    ['a missed step', { code: 'NOT_PROGRESSING', order }, ['retry', 'settle']],
    [
      'a document that cannot be used',
      { code: 'CURRENCY_MISMATCH', event: { state: 'unusable' } },
      ['retry', 'settle'],
    ],
    [
      'an event that was set aside',
      { code: 'EVENT_FAILS', event: { state: 'quarantined' }, order },
      ['retry', 'settle'],
    ],
    ['an event that is tried again already', { code: 'PO_UNKNOWN', event: { state: 'stored' } }, ['settle']],
    ['an error of a node', { code: 'DOCUMENT_CHANGED', event: closed, order }, ['retry', 'settle']],
    ['a message that lost its event', { code: 'EVENT_LOST' }, ['settle']],
  ];
  for (const [what, about, expected] of cases)
    it(`of ${what} are ${expected.join(', ')}`, () => should(names(about)).deepEqual(expected));

  it('of money whose fate is unknown demand the word that it was certainly not done', () => {
    const unknown: Situation = { ...NOTHING, effect: effect('asked', { kind: 'pay-send' }), event: closed };
    should(actionsOf(unknown).find(({ name }) => name === 'retry')?.certain).be.true();
    const refused: Situation = { ...NOTHING, effect: effect('refused', { kind: 'pay-send' }), event: closed };
    should(actionsOf(refused).find(({ name }) => name === 'retry')?.certain).be.undefined();
  });

  it('say in a sentence why one of them is not safe', () => {
    const about: Situation = { ...NOTHING, code: 'BILL_MISMATCH', event: closed, order };
    should(whyNot('retry', about)).match(/decided and recorded/);
    should(whyNot('cancel', about)).match(/Ask the supplier to cancel it first/);
    should(whyNot('settle', about)).be.undefined();
  });
});
