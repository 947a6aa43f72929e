import type { NodeAPI, Node, NodeDef } from 'node-red';
import { askPayables, reservePayables } from '../../ledger/payments.ts';
import { asError, DroplineError } from '../../orders/errors.ts';
import type { Payables } from '../../orders/payment.ts';
import { chosenPartner, partnerLedger } from '../choices.ts';
import {
  receiveEvents,
  shortly,
  showMistake,
  type AnswersEvents,
  type DocumentNode,
  type Payload,
} from '../document-node.ts';
import { whenOpen } from '../ledgers.ts';
import { emitThroughStep } from '../receive-node.ts';
import { clearStatus, showStatus } from '../status.ts';

interface Config extends NodeDef {
  erp: string;
  dailyAt: string;
  dueWithinDays: string | number;
}

/** Asks the ERP what is to be paid, and reserves it: at a time of day, or when any message arrives. */
export default function (RED: NodeAPI): void {
  const step: DocumentNode<Payload, Config> = {
    accepts: ['payables-question'],
    ledger: (red, config) => partnerLedger(red, 'erp', config.erp),
    async run({ payload, config, ledger, eventId, once }) {
      const erp = chosenPartner(RED, 'erp', config.erp);
      const day = new Date(ledger.core.now() + (Number(config.dueWithinDays) || 0) * 86_400_000)
        .toISOString()
        .slice(0, 10);
      const due = await erp.adapter().payables(day);
      const { id } = payload as Payload & { id: string };
      const { result } = await once<{ payables: Payables }>({
        kind: 'payables',
        document: id,
        orderId: undefined,
        content: id,
        *decide() {
          return { payables: yield* reservePayables(ledger.core, eventId, id, erp.reference, due) };
        },
      });
      return result.payables.bills.length > 0 ? result.payables : undefined;
    },
  };

  const asked: AnswersEvents<Config> = {
    kind: 'payables-asked',
    partner: (red, config) => chosenPartner(red, 'erp', config.erp).reference,
    emit: (node, config, event, emits) => emitThroughStep(RED, node, config, step, event, emits),
  };

  function construct(this: Node, config: Config): void {
    RED.nodes.createNode(this, config);
    const fail = (thrown: unknown) => showMistake(this, thrown);
    const missing = (error: Error) => showStatus(this, { fill: 'yellow', shape: 'ring', text: shortly(error) });
    const stop = new AbortController();
    let leave: (() => void) | undefined;
    whenOpen(() => step.ledger(RED, config), missing, stop.signal)
      .then((ledger) => {
        if (ledger && !stop.signal.aborted) leave = receiveEvents(RED, this, config, asked, ledger);
      })
      .catch(fail);

    const ask = async (question: string) => {
      const ledger = await step.ledger(RED, config);
      await askPayables(ledger.core, chosenPartner(RED, 'erp', config.erp).reference, question);
      ledger.dispatcher.wake();
    };
    this.on('input', (msg, _send, done) => {
      ask(`message ${String(msg._msgid ?? RED.util.generateId())}`).then(
        () => done(),
        (thrown: unknown) => {
          const error = asError(thrown);
          showStatus(this, {
            fill: 'red',
            shape: 'ring',
            text: error instanceof DroplineError ? error.status : 'status.error',
          });
          done(error);
        },
      );
    });
    const stopClock = config.dailyAt
      ? everyDayAt(config.dailyAt, (day) =>
          ask(`day ${day}`).then(
            () => true,
            (thrown: unknown) => {
              fail(thrown);
              return false;
            },
          ),
        )
      : undefined;
    this.on('close', (_removed: boolean, done: () => void) => {
      stopClock?.();
      stop.abort();
      leave?.();
      clearStatus(this);
      done();
    });
  }
  RED.nodes.registerType('erp-payables', construct as (this: Node, config: NodeDef) => void);
}

/**
 * Once a day from the time of day on (local time); the day is the question's name, so that a restart asks no second time.
 * @param action answers whether it was asked; if not it is asked again
 */
function everyDayAt(time: string, action: (day: string) => Promise<boolean>): () => void {
  let last = '';
  const look = () => {
    const now = new Date();
    const clock = `${String(now.getHours()).padStart(2, '0')}:${String(now.getMinutes()).padStart(2, '0')}`;
    const day = `${now.getFullYear()}-${String(now.getMonth() + 1).padStart(2, '0')}-${String(now.getDate()).padStart(2, '0')}`;
    if (clock >= time && day !== last) {
      last = day;
      void action(day).then((asked) => {
        if (!asked && last === day) last = '';
      });
    }
  };
  const timer = setInterval(look, 30_000);
  look();
  return () => clearInterval(timer);
}
