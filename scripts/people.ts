import type { PaymentRun } from '../orders/payment.ts';
import { suppliers } from '../sandbox/catalogue.ts';
import type { NodeRed } from './node-red.ts';

/** What finance people do in earnest, done for the demo, the screenshots and the tests. */

/** Enters and approves the bank account of each sandbox supplier that has none yet. */
export async function approveBankAccounts(red: NodeRed): Promise<void> {
  for (const { name, company, iban, bic, address } of Object.values(suppliers)) {
    const path = `/dropship/suppliers/${name}/beneficiary`;
    if ((await red.get<unknown[]>(path)).length > 0) continue;
    const { street, postalCode, city, country } = address;
    const account = { name: company, iban, bic, street, postalCode, city, country };
    const { version } = await red.post<{ version: number }>(path, account);
    await red.post(`${path}/${version}/approve`);
  }
}

/** Approves the payment runs that wait, exactly as they were seen. Answers those that it approved. */
export async function approveWaitingRuns(red: NodeRed): Promise<PaymentRun[]> {
  const approved: PaymentRun[] = [];
  for (const run of await red.get<PaymentRun[]>('/dropship/runs?limit=1000')) {
    if (run.state !== 'waiting-for-approval') continue;
    try {
      await red.post(`/dropship/runs/${run.id}/approve`, { contentHash: run.contentHash });
      approved.push(run);
    } catch (error) {
      // An approval of a moment ago that the ledger has not judged yet, or has judged meanwhile.
      if (!/RUN_NOT_WAITING|APPROVER_IS_CREATOR/.test(String(error))) throw error;
    }
  }
  return approved;
}
