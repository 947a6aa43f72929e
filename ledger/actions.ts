/** What a person can do about an exception. */
export type ActionName = 'retry' | 'done' | 'reroute' | 'cancel' | 'settle';

/** An action that is safe as things stand. */
export interface Action {
  name: ActionName;
  /** For people: what pressing it says or does. */
  means: string;
  /** The person must state that it was certainly not done: `{"certain": true}`. */
  certain?: true;
}

/** Everything that decides which actions are safe. */
export interface Situation {
  code: string;
  /** The event behind it, unless there is none. */
  event: { state: string } | undefined;
  /** The effect that it is about, unless there is none. `given`: a person's number for it is kept with it. */
  effect: { kind: string; state: string; adopts: boolean; given: boolean } | undefined;
  /** The order, once it was taken. `left`: some of it is, or may be, with a supplier. */
  order: { state: string; left: boolean } | undefined;
  /** A person has decided already, and the decision is on its way through the flow. */
  decided: boolean;
}

type Verdict = Omit<Action, 'name'> | { why: string };

/**
 * Exceptions that tell of a recorded decision, of a deadline or of money: what running their event again would come to, and what settling
 * them by hand says. Every other exception is about a call, a step of a node or an event that stopped there, and is told by the state of that.
 */
const CODES: Record<string, { retry: Verdict; settle: string }> = {
  NOBODY_DELIVERS: {
    retry: { why: 'The routing is decided and recorded. Have it routed again instead.' },
    settle: 'The lines have been seen to outside of Dropline. Neither the shop nor a supplier is told.',
  },
  ORDER_CHANGED: notice('Shop, ERP and suppliers have been made to agree.'),
  ACKNOWLEDGEMENT_DIFFERS: notice('It has been agreed with the supplier.'),
  BILL_MISMATCH: notice('It has been agreed with the supplier. A corrected bill comes in by itself.'),
  OPEN_AMOUNT_DIFFERS: notice('The ERP has been corrected, or the bill paid by hand.'),
  BENEFICIARY_MISSING: notice('The account has been entered and approved; the next payment run takes the bill.'),
  CURRENCY_MISMATCH: notice('The bill has been paid, or waits for a payment run in its currency.'),
  RUN_REFUSED: notice('It has been seen to; the next payment run takes the bills.'),
  PAYMENT_REJECTED: notice('The account has been corrected; the next payment run takes the bill.'),
  PAYMENT_UNCLEAR: notice('The bank has said what became of the payment.'),
  PAYMENT_UNKNOWN: notice('The bank has said whose the payments are.'),
  NOT_PROGRESSING: {
    retry: {
      means:
        'The flow has been mended: what it was told runs through it once more. What is done already is not done again.',
    },
    settle: 'The step has been done outside of Dropline, or is not needed.',
  },
};

/** What was decided and recorded: its event would only find the same decision. */
function notice(settle: string): { retry: Verdict; settle: string } {
  return {
    retry: { why: 'It tells of something that is decided and recorded: trying again would only find it once more.' },
    settle,
  };
}

/** Where asking twice may pay twice. */
const MONEY = new Set(['pay-send', 'pay-register']);

const UNDER_WAY: Verdict = { why: 'It is under way by itself at this moment. Wait for how it ends.' };
const CHECKED: Verdict = { why: 'A number was given for it and is being checked. Wait for how that ends.' };
const DECIDED: Verdict = { why: 'Somebody has decided about it already, and that is being carried out.' };
const CANCELLED: Verdict = { why: 'The order is cancelled.' };

const ACTIONS: Record<ActionName, (about: Situation) => Verdict> = {
  retry(about) {
    const { effect, event } = about;
    if (isChecked(about)) return CHECKED;
    if (effect) return retryEffect(effect);
    const setAside = event?.state === 'unusable' || event?.state === 'quarantined';
    const known = CODES[about.code];
    if (!setAside && known) return known.retry;
    switch (event?.state) {
      case undefined:
        return { why: 'There is nothing behind it that could be tried again.' };
      case 'unusable':
        return { means: 'The document is read and judged again, as the settings are now.' };
      case 'quarantined':
        return {
          means: 'What made it fail has been mended: it is run again, and what is done already is not done again.',
        };
      case 'stored':
      case 'waiting':
        return { why: 'Its event is waiting to be judged and goes on by itself.' };
      default:
        return {
          means: 'The cause has been removed: its event runs through the flow again. What is done is not done again.',
        };
    }
  },

  done(about) {
    const { effect } = about;
    if (!effect) return { why: 'It is about no call to a partner that a number could stand for.' };
    if (effect.state === 'done') return { why: 'It has been done meanwhile.' };
    if (isChecked(about)) return CHECKED;
    if (effect.state !== 'asked' && effect.state !== 'refused') return UNDER_WAY;
    if (!effect.adopts) return { why: 'There is no number that could stand for this call. Settle it by hand.' };
    return {
      means: 'It is done at the partner: enter the number that it has there. It is looked up where that can be done.',
    };
  },

  reroute(about) {
    if (about.code !== 'NOBODY_DELIVERS') return { why: 'Only lines that nobody delivers can be routed again.' };
    if (about.decided) return DECIDED;
    if (about.order?.state === 'cancelled') return CANCELLED;
    if (!about.order) return { why: 'The ledger has no such order.' };
    return { means: 'Suppliers are looked for again, with the offers, the stock and the rules of now.' };
  },

  cancel(about) {
    if (isChecked(about)) return CHECKED;
    if (about.decided) return DECIDED;
    if (!about.order) return { why: 'It is about no order that could be cancelled.' };
    if (about.order.state === 'cancelled') return CANCELLED;
    if (about.order.state === 'complete') return { why: 'The order is complete.' };
    if (about.code === 'NOBODY_DELIVERS')
      return {
        means: 'The lines are given up: the shop is told, and so the customer. What suppliers have is not touched.',
      };
    if (about.order.left)
      return { why: 'Some of the order is with a supplier, or may be. Ask the supplier to cancel it first.' };
    return {
      means:
        'The whole order is given up, of which nothing has left for a supplier: the shop is told, and so the customer.',
    };
  },

  settle(about) {
    const { code, effect } = about;
    if (isChecked(about)) return CHECKED;
    if (CODES[code]) return { means: CODES[code].settle };
    if (effect)
      return {
        means:
          'It is seen to outside of Dropline. The call is not made, and what follows on it in the flow does not happen.',
      };
    return { means: 'It is seen to outside of Dropline, or nothing is to be done.' };
  },
};

function retryEffect(effect: NonNullable<Situation['effect']>): Verdict {
  switch (effect.state) {
    case 'done':
      return { why: 'It has been done meanwhile.' };
    case 'refused':
      return { means: 'What the message says has been mended: the call is made again.' };
    case 'asked':
      if (MONEY.has(effect.kind)) {
        return {
          means: 'You have asked, and it certainly was not done: the call is made again, which pays or books it.',
          certain: true,
        };
      }
      return { means: 'You have looked, and it certainly is not there: the call is made again.' };
    default:
      return UNDER_WAY;
  }
}

/** Once its event has come to an end without the number being looked at (the step is gone from the flow), another may be given. */
function isChecked({ effect, event }: Situation): boolean {
  return effect?.given === true && event?.state === 'open' && (effect.state === 'asked' || effect.state === 'refused');
}

/** The actions that are safe, in the order in which they are offered. */
export function actionsOf(about: Situation): Action[] {
  return (Object.keys(ACTIONS) as ActionName[]).flatMap((name) => {
    const verdict = ACTIONS[name](about);
    return 'why' in verdict ? [] : [{ name, ...verdict }];
  });
}

/** Why an action is not safe; undefined when it is. */
export function whyNot(name: ActionName, about: Situation): string | undefined {
  const verdict = ACTIONS[name](about);
  return 'why' in verdict ? verdict.why : undefined;
}
