import { fork } from 'node:child_process';
import { join } from 'node:path';
import type { Count, News, Question, Report } from './partners.ts';

/** The running partners. */
export interface Partners {
  /** Without a slash at its end; the ERP is at `<url>/erp`, a supplier at `<url>/<reference>`. */
  url: string;
  /** Milliseconds until each creation is answered. */
  delay(milliseconds: number): Promise<void>;
  /** Everything that was created, so that memory stays small and a later comparison is about its own run. */
  forget(): Promise<void>;
  count(): Promise<Count>;
  /** @param orders our numbers of the orders that must have been placed */
  report(orders: string[]): Promise<Report>;
  /** Hears of each order that both suppliers have answered for. One listener at a time. */
  onPlaced: (order: string) => void;
  /** When the first call since `forget` came in; milliseconds since 1970. */
  firstCall(): number | undefined;
  close(): Promise<void>;
}

/** Starts the partners in a process of their own. */
export async function startPartners(): Promise<Partners> {
  const child = fork(join(import.meta.dirname, 'partners.ts'), [], {
    execArgv: ['--disable-warning=ExperimentalWarning'],
  });
  const killAtExit = () => void child.kill('SIGKILL');
  process.once('exit', killAtExit);
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const waiting: ((answer: Report | Count | null) => void)[] = [];
  let firstCall: number | undefined;

  const port = await new Promise<number>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`The partners have ended (${code}).`)));
    child.on('message', (news: News) => {
      switch (news.is) {
        case 'open':
          return resolve(news.port);
        case 'placed':
          for (const order of news.orders) partners.onPlaced(order);
          return undefined;
        case 'called':
          firstCall = news.at;
          return undefined;
        case 'answer':
          return waiting.shift()?.(news.answer);
      }
    });
  });

  function ask<Answer>(question: Question): Promise<Answer> {
    return new Promise((resolve) => {
      waiting.push(resolve as (answer: Report | Count | null) => void);
      child.send(question);
    });
  }

  const partners: Partners = {
    url: `http://127.0.0.1:${port}`,
    delay: (milliseconds) => ask({ ask: 'delay', milliseconds }),
    async forget() {
      await ask({ ask: 'forget' });
      firstCall = undefined;
    },
    count: () => ask({ ask: 'count' }),
    report: (orders) => ask({ ask: 'report', orders }),
    onPlaced: () => undefined,
    firstCall: () => firstCall,
    async close() {
      process.removeListener('exit', killAtExit);
      child.kill('SIGKILL');
      await exited;
    },
  };
  return partners;
}
