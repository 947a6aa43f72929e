import type { Json, Write, Writer } from '../../partners/write.ts';

const attempt = (number: number) => ({ key: 'test/key', number, signal: AbortSignal.timeout(5000) });

/** Sends every write once, as the ledger does when nothing goes wrong. */
export const sending: Writer = (write) => write.send(attempt(1));

/** Keeps the steps that were asked for, in order. */
export function recording(steps: Write<Json>[]): Writer {
  return (write) => {
    steps.push(write as unknown as Write<Json>);
    return write.send(attempt(1));
  };
}

/** As the ledger after a crash: recorded steps answer from the record, the others are looked for first. */
export function recovering(record: Record<string, Json> = {}, number = 2): Writer {
  return async <Result extends Json>(write: Write<Result>): Promise<Result> => {
    if (Object.hasOwn(record, write.step)) return record[write.step] as Result;
    const found = write.settle === 'probe' ? await write.find() : undefined;
    return found ?? (await write.send(attempt(number)));
  };
}
