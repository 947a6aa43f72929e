import { createBank, type Bank, type BankOptions } from './bank.ts';
import { closedIban } from './catalogue.ts';
import { createOdoo, type Odoo, type OdooOptions } from './odoo.ts';
import { serve, type Listener } from './serve.ts';
import { createShop, type ShopOptions } from './shop.ts';
import { createSupplier } from './suppliers.ts';
import { createWorld, type Partner, type World, type WorldOptions } from './world.ts';

export interface SandboxOptions extends WorldOptions {
  /** Of the shop; the others follow in the order of `PARTNERS`. 0: any free ones. Default 4010. */
  port?: number;
  /** Where webhooks and callbacks go. Default http://127.0.0.1:1880. */
  dropline?: { url: string };
  shop?: Partial<ShopOptions>;
  erp?: Partial<OdooOptions>;
  bank?: Partial<BankOptions>;
}

export const PARTNERS = ['shop', 'erp', 'prompt', 'parcels', 'moody', 'bank'] as const;

export type PartnerName = (typeof PARTNERS)[number];

export interface Sandbox {
  world: World;
  partners: Record<PartnerName, Partner> & { erp: Odoo; bank: Bank };
  urls: Record<PartnerName, string>;
  keys: typeof keys;
  close(): Promise<void>;
}

/** The pretend partners' secrets: fixed, the same for everybody, and good for nothing else. */
export const keys = {
  shop: {
    consumerKey: 'ck_sandbox-consumer-key',
    consumerSecret: 'cs_sandbox-consumer-secret',
    webhookSecret: 'sandbox-shop-webhook-secret',
  },
  erp: { database: 'sandbox', apiKey: 'sandbox-erp-api-key' },
  prompt: supplierKeys('prompt'),
  parcels: supplierKeys('parcels'),
  moody: supplierKeys('moody'),
  bank: { apiKey: 'sandbox-bank-api-key', webhookSecret: 'sandbox-bank-webhook-secret' },
};

/**
 * Starts all pretend partners in this process, each on a port of its own on the loopback interface.
 * @throws Error of the operating system when a port is taken; then nothing is left running
 */
export async function startSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const { port = 4010, dropline = { url: 'http://127.0.0.1:1880' } } = options;
  const world = createWorld(options);
  const { shop, erp } = keys;
  const bank = createBank(world, { ...keys.bank, dropline, closedIbans: [closedIban], ...options.bank });
  const partners = {
    shop: createShop(world, {
      key: shop.consumerKey,
      secret: shop.consumerSecret,
      webhook: { url: `${dropline.url}/dropship/orders/shop`, secret: shop.webhookSecret },
      ...options.shop,
    }),
    erp: createOdoo(world, { ...erp, ...options.erp }),
    prompt: createSupplier(world, 'prompt', { ...keys.prompt, dropline }),
    parcels: createSupplier(world, 'parcels', { ...keys.parcels, dropline }),
    moody: createSupplier(world, 'moody', { ...keys.moody, dropline }),
    bank,
  };
  const listeners: Listener[] = [];
  const urls: Partial<Record<PartnerName, string>> = {};
  let unwatch = (): void => undefined;

  async function close(): Promise<void> {
    unwatch();
    await Promise.all(listeners.splice(0).map((listener) => listener.close()));
    world.close();
  }

  try {
    for (const [index, name] of PARTNERS.entries()) {
      const listener = await serve(world, partners[name], port === 0 ? 0 : port + index);
      listeners.push(listener);
      urls[name] = listener.url;
    }
  } catch (error) {
    await close();
    throw error;
  }
  unwatch = bank.watch();
  return { world, partners, urls: urls as Record<PartnerName, string>, keys, close };
}

function supplierKeys(name: string): { apiKey: string; webhookSecret: string } {
  const secret = Buffer.from(`sandbox-${name}-webhook-secret`).toString('base64');
  return { apiKey: `sandbox-${name}-api-key`, webhookSecret: `whsec_${secret}` };
}
