import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import type { OrderView } from '../ledger/views.ts';
import { demoOrders, type DemoOrder } from '../sandbox/catalogue.ts';
import { startSandbox, type Sandbox } from '../sandbox/index.ts';
import { findChromium, launchChromium } from './chromium.ts';
import { demoFlows } from './demo-flows.ts';
import { Journey } from './journey.ts';
import { freePort, startNodeRed, type NodeRed } from './node-red.ts';
import { approveBankAccounts, approveWaitingRuns } from './people.ts';

/**
 * The pictures of the documentation, `docs/images/`: runs the demo orders through the shipped flows in a folder of its own, so that
 * status texts stand under the nodes, and photographs the editor and the desk in both themes. Needs Chromium: `CHROMIUM=/path/to/chromium`,
 * otherwise the one that is installed.
 */
const images = join(dirname(fileURLToPath(import.meta.url)), '..', 'docs', 'images');
const executablePath = findChromium();
const THEMES = ['light', 'dark'] as const;
type Theme = (typeof THEMES)[number];

const TABS = [
  { id: 'dl-intake', file: 'intake' },
  { id: 'dl-fulfil', file: 'fulfilment' },
  { id: 'dl-pay', file: 'payment' },
];
const DIALOGS = [
  { node: 'dl-in-route', file: 'dialog-supplier-route' },
  { node: 'dl-shop', file: 'dialog-ecommerce-platform' },
];

/** What these pictures use of the editor's global. */
interface Editor {
  nodes: { node(id: string): { type: string } | null };
  workspaces: { show(id: string): void };
  editor: { edit(node: unknown): void; editConfig(name: string, type: string, id: string): void };
  sidebar: { help: { show(type: string): void } };
}

if (!executablePath) {
  console.error('There is no Chromium on this machine. Install it, or set CHROMIUM to its path.');
  process.exit(1);
}

const folder = mkdtempSync(join(tmpdir(), 'dropline-pictures-'));
let sandbox: Sandbox | undefined;
let nodeRed: NodeRed | undefined;
let browser: Browser | undefined;
try {
  const bankFolder = join(folder, 'bank');
  mkdirSync(bankFolder);
  mkdirSync(images, { recursive: true });
  const port = await freePort();
  sandbox = await startSandbox({
    port: 0,
    dropline: { url: `http://127.0.0.1:${port}` },
    bank: { folder: bankFolder },
  });
  nodeRed = await startNodeRed({ userDir: join(folder, 'node-red'), port });
  await nodeRed.deploy(demoFlows(sandbox, bankFolder, { 'dl-ledger': { quietTime: 5 } }));
  await approveBankAccounts(nodeRed);
  const placed = await placeOrders(sandbox, demoOrders);
  await settleOrders(nodeRed, placed);
  // The simplest once more alone: what stands under the nodes then is how one order leaves them.
  await settleOrders(nodeRed, await placeOrders(sandbox, demoOrders.slice(0, 1)));
  const split = placed[demoOrders.findIndex(({ outcome }) => outcome.length > 1)]!;

  browser = await launchChromium(executablePath);
  for (const theme of THEMES) {
    await photographEditor(browser, nodeRed.url, theme);
    await photographDesk(browser, nodeRed.url, theme, split);
  }
  await photographShop(browser, sandbox.urls.shop);
} finally {
  await browser?.close();
  await nodeRed?.stop();
  await sandbox?.close();
  rmSync(folder, { recursive: true, force: true });
}

async function photographEditor(from: Browser, url: string, theme: Theme): Promise<void> {
  const context = await from.newContext({ viewport: { width: 1440, height: 760 }, colorScheme: theme });
  await context.addInitScript((chosen) => localStorage.setItem('view-dark-theme', JSON.stringify(chosen)), theme);
  const page = await context.newPage();
  await page.goto(url);
  await page.waitForSelector(".red-ui-palette-node[data-palette-type='supplier-route']");
  // Room for the canvas: only the palette with the nodes of drop shipping stays.
  await toggle(page, "button[data-tab-id='explorer']", false);
  await toggle(page, '.red-ui-sidebar-toggle-button-right', false);
  await page.click("button[aria-label='Collapse all categories']");
  await page.click('#red-ui-palette-header-drop_shipping');
  for (const { id, file } of TABS) {
    await page.evaluate((tab) => (globalThis as unknown as { RED: Editor }).RED.workspaces.show(tab), id);
    await shoot(page, `${file}-${theme}`);
  }
  await page.setViewportSize({ width: 1440, height: 900 });
  await page.evaluate(() => (globalThis as unknown as { RED: Editor }).RED.workspaces.show('dl-intake'));
  for (const { node, file } of DIALOGS) {
    await page.evaluate((id) => {
      const { RED } = globalThis as unknown as { RED: Editor };
      const found = RED.nodes.node(id)!;
      if (id === 'dl-in-route') RED.editor.edit(found);
      else RED.editor.editConfig('', found.type, id);
    }, node);
    await page.waitForSelector('.red-ui-tray-body .dropship-form');
    await shoot(page, `${file}-${theme}`);
    await page.click('#node-dialog-cancel, #node-config-dialog-cancel');
    await page.waitForSelector('.red-ui-tray', { state: 'detached' });
  }
  await toggle(page, '.red-ui-sidebar-toggle-button-right', true);
  await toggle(page, "button[data-tab-id='debug']", false);
  await page.evaluate(() => (globalThis as unknown as { RED: Editor }).RED.sidebar.help.show('supplier-route'));
  await shoot(page, `help-${theme}`);
  await context.close();
}

/** One order (the `order` that several suppliers share), and what waits for a person. */
async function photographDesk(from: Browser, url: string, theme: Theme, order: string): Promise<void> {
  const context = await from.newContext({ viewport: { width: 1280, height: 1100 }, colorScheme: theme });
  const page = await context.newPage();
  await page.goto(`${url}/dropship/desk/`);
  await page.click(`.orders a[href='#/orders/${order}']`);
  await page.waitForSelector('.timeline');
  await shoot(page, `desk-order-${theme}`);
  await page.click("header a[href='#/exceptions']");
  await page.click("button[data-action='reroute']");
  await page.setViewportSize({ width: 1280, height: 800 });
  await shoot(page, `desk-exceptions-${theme}`);
  await context.close();
}

async function photographShop(from: Browser, url: string): Promise<void> {
  const page = await from.newPage({ viewport: { width: 1000, height: 900 } });
  await page.goto(url);
  await shoot(page, 'storefront');
}

/** The editor remembers its sidebars for the next visit, so what is open depends on what was done before. */
async function toggle(page: Page, button: string, open: boolean): Promise<void> {
  const isOpen = (await page.getAttribute(button, 'class'))?.split(' ').includes('selected') ?? false;
  if (isOpen !== open) await page.click(button);
}

/** The canvas and the dialogs slide in; a second later they stand. */
async function shoot(page: Page, name: string): Promise<void> {
  await page.mouse.move(700, 745);
  await delay(1000);
  await page.screenshot({ path: join(images, `${name}.png`) });
}

async function placeOrders({ urls }: Sandbox, orders: readonly DemoOrder[]): Promise<string[]> {
  const ids: string[] = [];
  for (const { lines, customer } of orders) {
    const response = await fetch(`${urls.shop}/__sandbox/shop/orders`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ lines, country: customer.country, customer }),
    });
    ids.push(`shop-${((await response.json()) as { id: number }).id}`);
  }
  return ids;
}

/** Until every order is paid or waits for a person; payment runs are approved on the way. */
async function settleOrders(red: NodeRed, ids: string[]): Promise<void> {
  const journey = new Journey(() => undefined);
  const until = Date.now() + 120_000;
  for (let round = 0; Date.now() < until; round += 1) {
    const views = await Promise.all(
      ids.map((id) => red.get<OrderView>(`/dropship/orders/${id}`).catch(() => undefined)),
    );
    if (views.every((view) => view && journey.isSettled(view))) return;
    if (round % 10 === 9 && views.some((view) => view?.bills.some((bill) => bill.state === 'entered')))
      await red.post('/inject/dl-pay-ask');
    await approveWaitingRuns(red);
    await delay(300);
  }
  throw new Error('The demo orders were not settled within two minutes. Run "npm start" and look at what is missing.');
}
