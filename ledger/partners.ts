import { ConfigurationMistake } from '../orders/errors.ts';
import type { Bank } from '../partners/bank/port.ts';
import type { EcommercePlatform } from '../partners/ecommerce/port.ts';
import type { Supplier } from '../partners/supplier/port.ts';
import type { Core } from './core.ts';
import { query, queryOne } from './store.ts';

export type PartnerRole = 'ecommerce' | 'erp' | 'supplier' | 'bank';

/** What the ledger must know of a partner to bind its reference and to read its documents. */
export interface LedgerPartner {
  reference: string;
  role: PartnerRole;
  product: string;
  baseUrl: string;
  /** `<product> <base URL>` that a person has confirmed to be still the same system. */
  movedTo?: string;
  /** Shops: whether an order is taken when it is placed or only when the shop says that it is paid. */
  takeWhen?: 'placed' | 'paid';
  readOrder?: EcommercePlatform['readOrder'];
  readSupplier?: Supplier['read'];
  readStatus?: Bank['readStatus'];
}

/** The partners that are configured now, by reference. */
export class Partners {
  readonly #core: Core;
  readonly #known = new Map<string, LedgerPartner>();

  constructor(core: Core) {
    this.#core = core;
  }

  /**
   * Binds a reference to what it stands for. The reference is in every key, so it may not silently come to mean another system.
   * @throws ConfigurationMistake `PARTNER_MOVED`, `REFERENCE_TAKEN`
   */
  async bind(partner: LedgerPartner): Promise<void> {
    const now = this.#core.now();
    await this.#core.transact('bind partner', function* () {
      const bound = yield* queryOne<{ role: string; product: string; base_url: string }>(
        `SELECT role, product, base_url FROM partner WHERE reference = ?`,
        partner.reference,
      );
      if (bound && bound.role !== partner.role) {
        throw new ConfigurationMistake(
          'REFERENCE_TAKEN',
          `The reference "${partner.reference}" already belongs to a partner of another kind (${bound.role}). Choose another one.`,
          { status: 'reference taken' },
        );
      }
      const moved = bound && (bound.product !== partner.product || bound.base_url !== partner.baseUrl);
      if (moved && partner.movedTo !== `${partner.product} ${partner.baseUrl}`) {
        throw new ConfigurationMistake(
          'PARTNER_MOVED',
          `"${partner.reference}" was ${bound.product} at ${bound.base_url} until now. If ${partner.baseUrl} is the same system, tick "This is still the same system" in its config node; otherwise give it a reference of its own.`,
          { status: 'partner moved' },
        );
      }
      if (!bound || moved) {
        yield* query(
          `INSERT INTO partner (reference, role, product, base_url, bound_at) VALUES (?, ?, ?, ?, ?)
           ON CONFLICT (reference) DO UPDATE SET product = excluded.product, base_url = excluded.base_url, bound_at = excluded.bound_at`,
          partner.reference,
          partner.role,
          partner.product,
          partner.baseUrl,
          now,
        );
      }
    });
    this.#known.set(partner.reference, partner);
  }

  unbind(partner: LedgerPartner): void {
    if (this.#known.get(partner.reference) === partner) this.#known.delete(partner.reference);
  }

  get(reference: string): LedgerPartner | undefined {
    return this.#known.get(reference);
  }
}
