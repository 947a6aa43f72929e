import fc from 'fast-check';
import 'should';
import {
  endToEndId,
  forwardPaymentState,
  paymentId,
  runContentHash,
  type Payment,
  type PaymentState,
} from '../../orders/payment.ts';
import { address, beneficiary, eur, payment } from './samples.ts';

describe('the end-to-end id', () => {
  const bills = fc.record({
    supplier: fc.stringMatching(/^[a-z][a-z0-9-]{1,19}$/),
    number: fc.oneof(
      fc.string({ minLength: 1, maxLength: 40, unit: 'binary' }),
      fc.stringMatching(/^[A-Za-z0-9/.-]{1,40}$/),
    ),
  });

  it('is readable where the bill’s number allows it', () => {
    endToEndId(paymentId({ supplier: 'vineyard', number: 'INV-5' })).should.equal('vineyard/INV-5');
    endToEndId('pay/vineyard/2026/00017').should.match(/^vineyard\/20260001\/[A-Z2-7]{16}$/);
  });

  it('is of at most 35 characters that every bank takes, without a slash at an end or two in a row', () => {
    fc.assert(
      fc.property(bills, fc.integer({ min: 1, max: 3 }), (bill, attempt) => {
        const id = endToEndId(paymentId(bill), attempt);
        id.should.match(/^[A-Za-z0-9.-](?:[A-Za-z0-9./-]{0,33}[A-Za-z0-9.-])?$/);
        id.should.not.match(/\/\//);
        id.should.equal(endToEndId(paymentId(bill), attempt));
      }),
    );
  });

  it('differs between any two bills and attempts, also for a bank that changes the case', () => {
    fc.assert(
      fc.property(bills, bills, fc.integer({ min: 1, max: 2 }), (a, b, attempt) => {
        fc.pre(paymentId(a) !== paymentId(b));
        endToEndId(paymentId(a))
          .toLowerCase()
          .should.not.equal(endToEndId(paymentId(b), attempt).toLowerCase());
      }),
    );
    for (const [a, b] of [
      ['INV-5', 'inv-5'],
      ['2026/1', '20261'],
      ['INV 5', 'INV5'],
    ] as const) {
      endToEndId(`pay/vineyard/${a}`)
        .toLowerCase()
        .should.not.equal(endToEndId(`pay/vineyard/${b}`).toLowerCase());
    }
    endToEndId('pay/vineyard/INV-5', 2).should.not.equal(endToEndId('pay/vineyard/INV-5', 1));
    const imitated = endToEndId('pay/vineyard/2026/00017').slice('vineyard/'.length);
    endToEndId(`pay/vineyard/${imitated}`).should.not.equal(endToEndId('pay/vineyard/2026/00017'));
  });
});

describe('the content hash of a payment run', () => {
  const second = payment({ id: 'pay/cellar/7', endToEndId: 'cellar/7', amount: eur('1.00') });
  const run = (payments: Payment[], executeOn?: string) =>
    runContentHash({
      id: 'run-1',
      account: 'bank-main',
      currency: 'EUR',
      total: eur('59.30'),
      payments,
      ...(executeOn === undefined ? {} : { executeOn }),
    });
  const hash = run([payment(), second]);

  it('does not depend on the order or state of the payments', () => {
    run([second, payment({ state: 'sent', reason: 'x' })]).should.equal(hash);
    hash.should.match(/^[0-9a-f]{64}$/);
  });

  it('changes with every amount, payee, bank detail, bill and day', () => {
    const changed: Partial<Payment>[] = [
      { amount: eur('58.31') },
      { beneficiary: beneficiary({ iban: 'AT483200000012345864' }) },
      { beneficiary: beneficiary({ version: 2 }) },
      { beneficiary: beneficiary({ name: 'Vineyard GmbH' }) },
      { beneficiary: beneficiary({ address: { ...address, city: 'Linz' } }) },
      { billNumber: 'INV-6' },
      { endToEndId: 'vineyard/INV-6' },
    ];
    const hashes = changed.map((changes) => run([payment(changes), second]));
    new Set([
      hash,
      ...hashes,
      run([payment()]),
      run([payment(), second, second]),
      run([payment(), second], '2026-12-01'),
    ]).size.should.equal(changed.length + 4);
  });
});

describe('the state of a payment', () => {
  const states: PaymentState[] = ['reserved', 'sent', 'accepted', 'paid', 'rejected', 'returned', 'unclear'];

  it('goes forward: sent, accepted, paid; rejected after accepted; returned after paid', () => {
    const steps: [PaymentState, PaymentState][] = [
      ['reserved', 'sent'],
      ['sent', 'accepted'],
      ['accepted', 'paid'],
      ['accepted', 'rejected'],
      ['paid', 'returned'],
      ['unclear', 'paid'],
      ['sent', 'unclear'],
    ];
    for (const [current, next] of steps) forwardPaymentState(current, next).should.equal(next);
  });

  it('does not go back on late or repeated news', () => {
    const late: [PaymentState, PaymentState][] = [
      ['paid', 'accepted'],
      ['paid', 'sent'],
      ['paid', 'unclear'],
      ['accepted', 'sent'],
      ['returned', 'paid'],
      ['rejected', 'accepted'],
      ['rejected', 'unclear'],
      ['unclear', 'sent'],
    ];
    for (const [current, next] of late) forwardPaymentState(current, next).should.equal(current);
    for (const state of states) forwardPaymentState(state, state).should.equal(state);
  });

  it('is unclear when the bank contradicts itself about money that has moved', () => {
    forwardPaymentState('rejected', 'paid').should.equal('unclear');
    forwardPaymentState('paid', 'rejected').should.equal('unclear');
  });

  it('never returns to one in which the payment may be sent', () => {
    for (const current of states.slice(1)) {
      for (const next of states) forwardPaymentState(current, next).should.not.equal('reserved');
    }
  });
});
