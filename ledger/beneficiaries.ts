import { BusinessRefusal } from '../orders/errors.ts';
import type { Beneficiary } from '../orders/payment.ts';
import type { Core } from './core.ts';
import { note } from './history.ts';
import { query, queryOne, type Transaction } from './store.ts';

/** One version of where a supplier's money goes. Versions are never changed and never deleted. */
export interface BeneficiaryVersion extends Beneficiary {
  state: 'proposed' | 'approved';
  proposedBy: string;
  approvedBy: string | null;
  /** Milliseconds since 1970. */
  usableFrom: number | null;
}

/** The newest version that is approved and whose waiting time is over. */
export function* activeBeneficiary(supplier: string, now: number): Transaction<Beneficiary | undefined> {
  const row = yield* queryOne<{ body: string }>(
    `SELECT body FROM beneficiary WHERE supplier = ? AND state = 'approved' AND usable_from <= ? ORDER BY version DESC LIMIT 1`,
    supplier,
    now,
  );
  return row ? (JSON.parse(row.body) as Beneficiary) : undefined;
}

/** All versions, oldest first. */
export function* beneficiaries(supplier: string): Transaction<BeneficiaryVersion[]> {
  const rows = yield* query<{
    body: string;
    state: string;
    proposed_by: string;
    approved_by: string | null;
    usable_from: number | null;
  }>(
    `SELECT body, state, proposed_by, approved_by, usable_from FROM beneficiary WHERE supplier = ? ORDER BY version`,
    supplier,
  );
  return rows.map((row) => ({
    ...(JSON.parse(row.body) as Beneficiary),
    state: row.state as 'proposed' | 'approved',
    proposedBy: row.proposed_by,
    approvedBy: row.approved_by,
    usableFrom: row.usable_from,
  }));
}

/** A new version; it counts only once another person has approved it. */
export function proposeBeneficiary(
  core: Core,
  details: Omit<Beneficiary, 'version'>,
  by: string,
): Promise<BeneficiaryVersion> {
  return core.transact('propose beneficiary', function* (): Transaction<BeneficiaryVersion> {
    const row = yield* queryOne<{ version: number | null }>(
      `SELECT MAX(version) AS version FROM beneficiary WHERE supplier = ?`,
      details.supplier,
    );
    const beneficiary: Beneficiary = { ...details, version: Number(row?.version ?? 0) + 1 };
    const now = core.now();
    yield* query(
      `INSERT INTO beneficiary (supplier, version, state, body, proposed_by, proposed_at) VALUES (?, ?, 'proposed', ?, ?, ?)`,
      beneficiary.supplier,
      beneficiary.version,
      JSON.stringify(beneficiary),
      by,
      now,
    );
    yield* note(now, {
      what: 'bank account proposed',
      subject: beneficiary.supplier,
      detail: { version: beneficiary.version, by },
    });
    return { ...beneficiary, state: 'proposed', proposedBy: by, approvedBy: null, usableFrom: null };
  });
}

/**
 * @param rules `waitingTime` milliseconds between the approval of a change and its first use; `fourEyes` false only for development
 * @throws BusinessRefusal `BENEFICIARY_UNKNOWN`, `APPROVER_IS_CREATOR`
 */
export function approveBeneficiary(
  core: Core,
  supplier: string,
  version: number,
  by: string,
  rules: { waitingTime: number; fourEyes: boolean },
): Promise<BeneficiaryVersion> {
  return core.transact('approve beneficiary', function* (): Transaction<BeneficiaryVersion> {
    const known = (yield* beneficiaries(supplier)).find((candidate) => candidate.version === version);
    if (!known || known.state !== 'proposed')
      throw new BusinessRefusal('BENEFICIARY_UNKNOWN', `There is no proposed account ${version} of ${supplier}.`);
    if (rules.fourEyes && known.proposedBy === by) {
      throw new BusinessRefusal('APPROVER_IS_CREATOR', `${by} entered this account. Another person must approve it.`);
    }
    const now = core.now();
    const usableFrom = now + rules.waitingTime;
    yield* query(
      `UPDATE beneficiary SET state = 'approved', approved_by = ?, usable_from = ? WHERE supplier = ? AND version = ?`,
      by,
      usableFrom,
      supplier,
      version,
    );
    yield* note(now, { what: 'bank account approved', subject: supplier, detail: { version, by } });
    return { ...known, state: 'approved', approvedBy: by, usableFrom };
  });
}
