import { createHash, createHmac } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CALLBACK, createCallbacks } from './callbacks.ts';
import { retailer } from './catalogue.ts';
import { Pain001Invalid, readPain001, type Reason, type Transfer } from './pain001.ts';
import { writePain002, type StatusReport } from './pain002.ts';
import type { Answer, Json, Partner, Request, World } from './world.ts';

export interface BankOptions {
  apiKey: string;
  /** Key of the header `x-signature` of posted reports. */
  webhookSecret: string;
  dropline: { url: string };
  /** Watched for payment files `*.xml`; missing: files come by `POST /payments` only. */
  folder?: string;
  /** Where status reports are put; missing: nowhere. */
  statusFolder?: string;
  /** Whether status reports are posted to Dropline. Default: yes. */
  post?: boolean;
  /** Accounts that may be debited. Default: the retailer's. */
  accounts?: string[];
  /** Accounts that payments cannot reach: AC04 when they are executed, after they were accepted. */
  closedIbans?: string[];
  /** Milliseconds at speed 1 from a file to the execution of its payments, whatever day the file names. Default 2000. */
  executeAfter?: number;
}

export interface Bank extends Partner {
  /** Takes the payment files that are in the folder now. */
  scan(): void;
  /** Scans every 200 ms; the function that comes back ends it. */
  watch(): () => void;
}

type Message = {
  msgId: string;
  digest: string;
  /** Name of the file, while it still has to be moved out of the folder. */
  toMove?: string;
  count: string;
  controlSum?: string;
  /** Why the whole file was rejected. */
  reason?: Reason;
  instructions: { id: string; reason?: Reason; transfers: Payment[] }[];
  /** Reports that a `shuffle-callbacks` fault holds back until the last is there. */
  held?: Report[];
};

type Payment = Transfer & { status: 'ACSP' | 'ACSC' | 'RJCT' };

type Report = { msgId: string; name: string; xml: string };

type Outcome =
  | { kind: 'stored'; message: Message; early: boolean }
  | { kind: 'duplicate'; message: Message }
  | { kind: 'unreadable'; error: Pain001Invalid };

/** Milliseconds at speed 1. */
const REPORT_AFTER = 500;

/**
 * A pretend bank that takes pain.001.001.09 from a folder or by HTTP and answers with pain.002.001.10: first ACTC with ACSP at each transfer,
 * after the execution ACSC, and RJCT with the reason where something is wrong. The effect log holds `file.accept`, `payment.execute` and
 * `payment.reject`.
 */
export function createBank(world: World, options: BankOptions): Bank {
  const name = 'bank';
  const accounts = options.accounts ?? [retailer.iban];
  let messages = new Map<string, Message>();
  let reports = 0;
  const callbacks = createCallbacks(world, name, `${options.dropline.url}/dropship/bank/bank`, ({ body }) => ({
    'content-type': 'application/xml',
    'x-signature': createHmac('sha256', options.webhookSecret).update(body).digest('hex'),
  }));
  for (const folder of [options.folder, options.statusFolder]) {
    if (folder !== undefined) mkdirSync(folder, { recursive: true });
  }
  if (options.folder !== undefined) {
    for (const done of ['accepted', 'rejected']) mkdirSync(join(options.folder, done), { recursive: true });
  }

  function receive(bytes: Buffer, toMove?: string): Outcome {
    let read: ReturnType<typeof readPain001>;
    try {
      read = readPain001(bytes);
    } catch (error) {
      if (error instanceof Pain001Invalid) return { kind: 'unreadable', error };
      throw error;
    }
    const { file, reason } = read;
    const known = messages.get(file.msgId);
    if (known) return { kind: 'duplicate', message: known };
    const { msgId, count, controlSum } = file;
    const message: Message = {
      msgId,
      digest: digestOf(bytes),
      ...(toMove === undefined ? {} : { toMove }),
      count,
      ...(controlSum === undefined ? {} : { controlSum }),
      ...(reason ? { reason } : {}),
      instructions: [],
    };
    const paid = knownEndToEndIds();
    for (const instruction of file.instructions) {
      const { id, debtorIban } = instruction;
      const whole =
        instruction.reason ??
        (accounts.includes(debtorIban) ? undefined : { code: 'AC02', text: 'This account is not yours.' });
      const transfers = instruction.transfers.map((transfer) => {
        const wrong = reason ?? whole ?? transfer.reason ?? duplicateReason(paid, transfer.endToEndId);
        if (!wrong) paid.add(transfer.endToEndId);
        return {
          ...transfer,
          status: wrong ? ('RJCT' as const) : ('ACSP' as const),
          ...(wrong ? { reason: wrong } : {}),
        };
      });
      message.instructions.push({ id, transfers, ...(whole ? { reason: whole } : {}) });
    }
    messages.set(msgId, message);
    if (!reason) {
      world.record(name, 'file.accept', msgId, msgId, { count, controlSum: controlSum ?? null });
      if (world.takeFault(name, ['shuffle-callbacks'], 'file.accept', msgId)) message.held = [];
    }
    for (const transfer of paymentsOf(message)) if (transfer.status === 'RJCT') recordRejection(transfer);
    const early = world.takeFault(name, ['early-callback'], 'file.accept', msgId) !== undefined;
    if (!early) publish(message, REPORT_AFTER, reportOn(message, 'ACTC'));
    if (paymentsOf(message).some(({ status }) => status === 'ACSP')) {
      world.schedule(name, options.executeAfter ?? 2000, 'execute', msgId);
    }
    world.changed();
    return { kind: 'stored', message, early };
  }

  /** Of payments that were not rejected: a rejected one may be sent again. */
  function knownEndToEndIds(): Set<string> {
    const payments = [...messages.values()].flatMap(paymentsOf);
    return new Set(payments.filter(({ status }) => status !== 'RJCT').map(({ endToEndId }) => endToEndId));
  }

  function execute(message: Message): void {
    for (const payment of paymentsOf(message)) {
      if (payment.status !== 'ACSP') continue;
      if (options.closedIbans?.includes(payment.iban)) {
        payment.status = 'RJCT';
        payment.reason = { code: 'AC04', text: 'The account to be credited is closed.' };
        recordRejection(payment);
        continue;
      }
      payment.status = 'ACSC';
      const { endToEndId, iban, amount, currency, creditor, remittance } = payment;
      const detail = { iban, amount, currency, creditor, remittance, messageId: message.msgId };
      world.record(name, 'payment.execute', endToEndId, `TX-${endToEndId}`, detail);
    }
    publish(message, 0, reportOn(message, 'ACSC'));
    world.changed();
  }

  function recordRejection({ endToEndId, iban, amount, currency, reason }: Payment): void {
    world.record(name, 'payment.reject', endToEndId, `TX-${endToEndId}`, {
      iban,
      amount,
      currency,
      reason: reason?.code ?? '',
    });
  }

  function reportOn(message: Message, fine: 'ACTC' | 'ACSC'): Report {
    const { msgId, count, controlSum, reason } = message;
    return report({
      original: { msgId, count, ...(controlSum === undefined ? {} : { controlSum }) },
      status: statusOf(paymentsOf(message), fine),
      ...(reason ? { reason } : {}),
      instructions: message.instructions.map((instruction) => ({
        ...instruction,
        status: statusOf(instruction.transfers, fine),
      })),
    });
  }

  function rejection(msgId: string, reason: Reason): Report {
    return report({ original: { msgId }, status: 'RJCT', reason, instructions: [] });
  }

  function report(content: Omit<StatusReport, 'id' | 'createdAt'>): Report {
    reports += 1;
    const count = String(reports).padStart(6, '0');
    const { msgId } = content.original;
    const xml = writePain002({
      id: `STS-${count}-${digestOf(msgId).slice(0, 8)}`,
      createdAt: new Date(world.now()).toISOString(),
      ...content,
    });
    return { msgId, name: `pain.002-${count}-${msgId.replace(/[^\w.-]/g, '_')}.xml`, xml };
  }

  /** Sends a report, or holds it back until the last one of the message is there: then the last leaves first. */
  function publish(message: Message, inMs: number, ready: Report): void {
    if (!message.held) return world.schedule(name, inMs, 'report', ready);
    message.held.push(ready);
    if (paymentsOf(message).some(({ status }) => status === 'ACSP')) return;
    for (const [index, each] of message.held.toReversed().entries()) world.schedule(name, index * 200, 'report', each);
    delete message.held;
  }

  function sendReport({ msgId, name: file, xml }: Report): void {
    if (options.post ?? true) callbacks.send(0, 'report.send', msgId, { id: file, body: xml });
    if (options.statusFolder === undefined) return;
    writeInto(options.statusFolder, file, xml);
    const twice = options.post === false && world.takeFault(name, ['duplicate-callback'], 'report.send', msgId);
    if (twice) writeInto(options.statusFolder, file.replace(/\.xml$/, '-again.xml'), xml);
  }

  function postPayments(request: Request): Answer | Promise<Answer> {
    if (!/^(application|text)\/xml\b/.test(String(request.headers['content-type']))) {
      return refusal(415, 'not_xml', 'Send a pain.001.001.09 as application/xml.');
    }
    const outcome = receive(request.body);
    if (outcome.kind === 'unreadable') return refusal(400, 'schema_invalid', outcome.error.message);
    const { msgId } = outcome.message;
    if (outcome.kind === 'duplicate')
      return refusal(409, 'duplicate_message', `We already have a file with the MsgId ${msgId}.`);
    const answer = { status: 202, body: { messageId: msgId, status: 'RCVD' } };
    if (!outcome.early) return answer;
    const early = reportOn(outcome.message, 'ACTC');
    if (options.post === false) {
      sendReport(early);
      return answer;
    }
    return callbacks.deliver({ id: early.name, body: early.xml, attempt: 1 }).then(() => answer);
  }

  function scan(): void {
    const { folder } = options;
    if (folder === undefined) return;
    const names = readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isFile() && /^[^.].*\.xml$/.test(entry.name))
      .map((entry) => entry.name);
    for (const file of names.toSorted()) {
      const bytes = readFileSync(join(folder, file));
      // Taken before a crash that came between the state file and the move.
      const taken = [...messages.values()].find(({ toMove, digest }) => toMove === file && digest === digestOf(bytes));
      move(folder, file, taken ? (taken.reason ? 'rejected' : 'accepted') : takeFile(folder, file, bytes));
      for (const message of messages.values()) if (message.toMove === file) delete message.toMove;
      world.changed();
    }
  }

  /** Where the file belongs afterwards. */
  function takeFile(folder: string, file: string, bytes: Buffer): 'accepted' | 'rejected' {
    const outcome = receive(bytes, file);
    if (outcome.kind === 'unreadable') {
      const { message, msgId } = outcome.error;
      writeFileSync(join(folder, 'rejected', `${file}.txt`), `${message}\n`);
      if (msgId !== undefined && !messages.has(msgId)) {
        world.schedule(name, REPORT_AFTER, 'report', rejection(msgId, { code: 'FF01', text: message }));
      }
    } else if (outcome.kind === 'duplicate') {
      const reason = { code: 'DUPL', text: 'We already have a file with this MsgId. It stays as it was.' };
      world.schedule(name, REPORT_AFTER, 'report', rejection(outcome.message.msgId, reason));
    } else if (outcome.early) sendReport(reportOn(outcome.message, 'ACTC'));
    world.changed();
    world.flush();
    return outcome.kind === 'stored' && !outcome.message.reason ? 'accepted' : 'rejected';
  }

  return {
    name,
    describe(request) {
      const msgId = msgIdOf(request.path);
      if (request.path === '/health') return { operation: 'health', reference: '', write: false };
      if (request.method !== 'POST') return { operation: 'file.get', reference: msgId, write: false };
      const named = /<(?:\w+:)?MsgId>([^<]*)</.exec(request.body.toString('utf8'));
      return { operation: 'file.accept', reference: named?.[1]?.trim() ?? '', write: true };
    },
    handle(request) {
      if (request.headers.authorization !== `Bearer ${options.apiKey}`)
        return refusal(401, 'unauthorized', 'The API key is missing or wrong.');
      const { method, path } = request;
      if (method === 'GET' && path === '/health') return { status: 200, body: { ok: true } };
      if (method === 'POST' && path === '/payments') return postPayments(request);
      const message = messages.get(msgIdOf(path));
      if (method === 'GET' && message) return { status: 200, body: describeMessage(message) };
      return refusal(404, 'not_found', 'There is no such thing here.');
    },
    error: (status, message) =>
      refusal(status, status === 429 ? 'rate_limited' : status < 500 ? 'refused' : 'internal', message),
    due(action, data) {
      if (action === CALLBACK) return callbacks.deliver(data);
      if (action === 'report') return sendReport(data as Report);
      const message = messages.get(String(data));
      if (!message) throw new Error(`The bank has a timer "${action}" for ${String(data)}, which it does not know.`);
      return execute(message);
    },
    save: () => ({ reports, messages: [...messages.values()] as unknown as Json }),
    load(state) {
      const saved = state as unknown as { reports: number; messages: Message[] };
      reports = saved.reports;
      messages = new Map(saved.messages.map((message) => [message.msgId, message]));
    },
    scan,
    watch() {
      const interval = setInterval(scan, 200);
      return () => clearInterval(interval);
    },
  };
}

function paymentsOf(message: Message): Payment[] {
  return message.instructions.flatMap((instruction) => instruction.transfers);
}

function duplicateReason(known: Set<string>, endToEndId: string): Reason | undefined {
  return known.has(endToEndId) ? { code: 'DUPL', text: 'We already have a payment with this EndToEndId.' } : undefined;
}

function statusOf(payments: Payment[], fine: 'ACTC' | 'ACSC'): string {
  const rejected = payments.filter(({ status }) => status === 'RJCT').length;
  return rejected === 0 ? fine : rejected === payments.length ? 'RJCT' : 'PART';
}

function describeMessage(message: Message): Json {
  const payments = paymentsOf(message);
  return {
    messageId: message.msgId,
    status: statusOf(payments, payments.some(({ status }) => status === 'ACSP') ? 'ACTC' : 'ACSC'),
    ...(message.reason ? { reason: message.reason.code } : {}),
    payments: payments.map(({ endToEndId, status, reason }) => ({
      endToEndId,
      status,
      ...(reason ? { reason: reason.code } : {}),
    })),
  };
}

function msgIdOf(path: string): string {
  try {
    return decodeURIComponent(/^\/payments\/([^/]+)$/.exec(path)?.[1] ?? '');
  } catch {
    return '';
  }
}

/** Under another name first, so that nobody reads half a file. */
function writeInto(folder: string, file: string, content: string): void {
  writeFileSync(join(folder, `.${file}.tmp`), content);
  renameSync(join(folder, `.${file}.tmp`), join(folder, file));
}

function move(folder: string, file: string, to: 'accepted' | 'rejected'): void {
  let target = join(folder, to, file);
  for (let count = 2; existsSync(target); count++) target = join(folder, to, file.replace(/\.xml$/, `-${count}.xml`));
  renameSync(join(folder, file), target);
}

function digestOf(content: Buffer | string): string {
  return createHash('sha256').update(content).digest('hex');
}

function refusal(status: number, code: string, message: string): Answer {
  return { status, body: { error: { code, message } } };
}
