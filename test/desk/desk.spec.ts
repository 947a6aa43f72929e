import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, BrowserContext, Locator, Page } from 'playwright-core';
import should from 'should';
import type { Exception } from '../../ledger/exceptions.ts';
import type { OrderView } from '../../ledger/views.ts';
import { findChromium, launchChromium } from '../../scripts/chromium.ts';
import { freePort, startNodeRed, type NodeRed } from '../../scripts/node-red.ts';
import { openHouse, type Basket, type House } from '../support/house.ts';

const { hashSync } = createRequire(import.meta.url)('bcryptjs') as { hashSync(text: string, rounds: number): string };
const executable = findChromium();

/** Runs as code wherever it is taken for markup. */
const MARKUP = `"'><img src=x onerror="window.pwned=1"><script>window.pwned=1</script>`;

const title = executable
  ? 'the desk'
  : 'the desk (no Chromium was found: install it, on Debian by apt-get install chromium, or set CHROMIUM to its path)';

(executable ? describe : describe.skip)(title, function () {
  this.timeout(90_000);
  let browser: Browser;
  let house: House;
  let context: BrowserContext;
  let page: Page;
  /** What went wrong in the page, by itself or stopped by its policy. */
  let complaints: string[];

  before(async () => {
    [browser, house] = await Promise.all([launchChromium(executable!), openHouse({ speed: 50 })]);
  });
  after(async () => {
    await browser?.close();
    await house?.close();
  });

  beforeEach(async () => {
    context = await browser.newContext({ viewport: { width: 1200, height: 800 } });
    complaints = [];
    page = watched(await context.newPage());
  });
  afterEach(async () => {
    await context?.close();
    should(complaints).deepEqual([]);
  });

  function watched(opened: Page): Page {
    opened.on('pageerror', (error) => complaints.push(String(error)));
    opened.on('console', (message) => {
      if (message.type() === 'error' && !/status of 40[1349]/.test(message.text())) complaints.push(message.text());
    });
    return opened;
  }

  const open = (hash = '') => page.goto(`${house.red.url}/dropship/desk/${hash}`);
  const main = () => page.locator('main');
  const button = (scope: Locator, name: string) => scope.getByRole('button', { name });
  const notice = () => page.locator('#notice');
  const answered = (path: string) =>
    page.waitForResponse((response) => new URL(response.url()).pathname.endsWith(path));
  const openExceptions = (order: string) =>
    house.red.get<Exception[]>('/dropship/exceptions').then((all) => all.filter(({ orderId }) => orderId === order));

  /** Nobody delivers these to Italy. */
  async function stuckOrder(): Promise<{ order: string; exception: Exception }> {
    const order = await house.place({ lines: [{ sku: 'GLASS-BURGUNDY', quantity: 1 }], country: 'IT' });
    await house.until([order], (view) => view.exceptions.some(({ state }) => state === 'open'));
    const [exception] = await openExceptions(order);
    return { order, exception: exception! };
  }

  /** The supplier refuses it once. */
  async function refusedOrder(): Promise<{ order: string; exception: Exception }> {
    const order = await house.place({ lines: [{ sku: 'WINE-PINOT', quantity: 1 }], country: 'AT' });
    house.sandbox.world.faults.push({
      kind: 'refuse',
      times: 1,
      partner: 'prompt',
      operation: 'order.accept',
      reference: `${order}-1`,
    });
    await house.until([order], (view) => view.exceptions.some(({ state }) => state === 'open'));
    const [exception] = await openExceptions(order);
    return { order, exception: exception! };
  }

  describe('the timeline of an order', () => {
    let order: string;
    let view: OrderView;
    before(async () => {
      order = await house.place({
        lines: [
          { sku: 'WINE-PINOT', quantity: 3 },
          { sku: 'GLASS-BURGUNDY', quantity: 1 },
        ],
        country: 'AT',
      });
      [view] = (await house.settled([order])) as [OrderView];
    });

    it('is reached from the list, and tells what shop, ERP, each supplier and bank did, with their numbers', async () => {
      await open();
      await main().getByRole('link', { name: view.order.number, exact: true }).click();
      await page.waitForURL(`**/#/orders/${order}`);
      await main().locator('.timeline').waitFor();
      const rows = await main().locator('.timeline > li').allInnerTexts();
      const told = (...parts: string[]) =>
        should(rows.some((row) => parts.every((part) => row.includes(part)))).equal(true, parts.join(' / '));
      told('Shop', 'The customer placed the order', view.order.number, '3 × WINE-PINOT', '1 × GLASS-BURGUNDY');
      told('ERP', 'The sale was entered', view.order.erp!.number);
      should(view.purchaseOrders.length).equal(2);
      for (const po of view.purchaseOrders) {
        told('ERP', 'The purchase order was entered', po.id, po.erp!.number);
        told('Supplier', po.supplier, 'The purchase order was sent', po.id, po.supplierOrderId!);
        told('Supplier', po.supplier, 'accepted', po.id);
      }
      for (const { number, parcels, supplier } of view.shipments)
        told('Supplier', supplier, 'shipped', number, parcels[0]!.trackingNumber);
      for (const bill of view.bills) {
        told('Supplier', bill.supplier, 'bill', bill.number, (bill.total.minor / 100).toFixed(2));
        told('ERP', 'The bill was entered', bill.number, bill.erp!.number);
        told('Bank', 'The bank has paid', bill.number);
      }
      told('Shop', 'The order was completed in the shop');
      should(await main().locator('.progress > li.done').count()).equal(6);
      // A history entry that the desk has no sentence for would stand there as its code.
      for (const row of rows) should(row).not.match(/\n[a-z]+(-[a-z]+)+\n/);
    });

    it('is found by what somebody types, and by its address', async () => {
      await open();
      await Promise.all([answered('/orders'), page.getByLabel('Find an order').fill(view.order.number)]);
      await main().getByRole('link', { name: view.order.number, exact: true }).waitFor();
      await page.getByLabel('Find an order').fill('no such order');
      await main().getByText('No order begins with “no such order”').waitFor();
      await open('#/orders/nobody-knows-this');
      await main().getByText('There is no order “nobody-knows-this”').waitFor();
    });

    it('can be read party by party', async () => {
      await open(`#/orders/${order}`);
      await button(main(), 'Bank').click();
      should(await button(main(), 'Bank').getAttribute('aria-pressed')).equal('true');
      const tags = await main().locator('.timeline .party').allInnerTexts();
      should(tags.length).be.above(3);
      should([...new Set(tags)]).deepEqual(['Bank']);
    });

    it('grows by itself while somebody reads it, and leaves focus and selection where they are', async () => {
      const next = await house.place({ lines: [{ sku: 'WINE-PINOT', quantity: 1 }], country: 'AT' });
      await house.until([next], () => true);
      await open(`#/orders/${next}`);
      const filter = button(main(), 'Everyone');
      await filter.focus();
      const before = await filter.elementHandle();
      await house.settled([next]);
      await main().getByText('The bank has paid').waitFor();
      should(await before!.evaluate((element) => element === document.activeElement)).equal(true);
    });

    it('rests while nobody sees it', async () => {
      await open(`#/orders/${order}`);
      await main().locator('.timeline').waitFor();
      const hide = (hidden: boolean) =>
        page.evaluate((is) => {
          Object.defineProperty(document, 'hidden', { configurable: true, get: () => is });
          document.dispatchEvent(new Event('visibilitychange'));
        }, hidden);
      await hide(true);
      let asked = 0;
      page.on('request', () => (asked += 1));
      await page.waitForTimeout(5000);
      should(asked).equal(0);
      await Promise.all([answered(`/orders/${order}`), hide(false)]);
    });
  });

  describe('an exception', () => {
    it('is shown with its order and what may be done; settled by keyboard alone, it is gone, and that is said', async () => {
      const { order, exception } = await stuckOrder();
      await open('#/exceptions');
      const card = main().locator('article', { has: page.getByRole('link', { name: order, exact: true }) });
      await card.getByText(exception.message).waitFor();
      should(await page.locator('#header nav').innerText()).match(/Exceptions\s*\d+/);
      await button(card, 'Settled by hand').focus();
      await page.keyboard.press('Enter');
      await card.getByText('It then leaves this list.').waitFor();
      // The field has the focus: nothing is done without saying how.
      await page.keyboard.press('Enter');
      await card.getByRole('alert').getByText('Please fill this in.').waitFor();
      should((await openExceptions(order)).length).equal(1);
      await page.keyboard.type('The customer took another set.');
      await page.keyboard.press('Enter');
      await notice().getByText('Settled.').waitFor();
      should(await notice().getAttribute('aria-live')).equal('polite');
      await card.waitFor({ state: 'detached' });
      should(await openExceptions(order)).deepEqual([]);
      should(await page.evaluate(() => document.activeElement?.tagName)).equal('H1');
      await page.getByRole('link', { name: 'Settled', exact: true }).click();
      await main().getByText('The customer took another set.').waitFor();
    });

    it('is tried again, and the order goes on', async () => {
      const { order, exception } = await refusedOrder();
      await open(`#/orders/${order}`);
      await main()
        .getByRole('link', { name: /Look and settle/ })
        .click();
      await page.waitForURL(`**/#/exceptions/${exception.id}`);
      await button(main(), 'Try again').click();
      await button(main(), 'Try again now').click();
      await notice().getByText('It is being tried again.').waitFor();
      await main().getByText('Settled', { exact: true }).first().waitFor();
      const [view] = await house.until([order]);
      should(view!.state).equal('complete');
    });

    it("is marked as done only with the partner's number", async () => {
      const { exception } = await refusedOrder();
      await open(`#/exceptions/${exception.id}`);
      const sent: unknown[] = [];
      await page.route('**/done*', (route) => {
        sent.push(route.request().postDataJSON());
        return route.fulfill({ json: exception });
      });
      await button(main(), 'I have done it').click();
      await button(main(), 'It is done').click();
      await main().getByRole('alert').getByText('Please fill this in.').waitFor();
      await page.getByLabel('number for it').fill(' SO-777 ');
      await button(main(), 'It is done').click();
      await notice().getByText('Noted as done').waitFor();
      should(sent).deepEqual([{ number: 'SO-777' }]);
    });

    it('does nothing when somebody thinks better of it, and gives the focus back', async () => {
      const { order, exception } = await stuckOrder();
      await open(`#/exceptions/${exception.id}`);
      const settle = button(main(), 'Settled by hand');
      await settle.click();
      await page.keyboard.press('Escape');
      await main().locator('form.confirm').waitFor({ state: 'detached' });
      should(await settle.evaluate((element) => element === document.activeElement)).equal(true);
      should((await openExceptions(order)).length).equal(1);
    });

    it('keeps what somebody types while the page looks again', async () => {
      const { exception } = await stuckOrder();
      await open(`#/exceptions/${exception.id}`);
      await button(main(), 'Settled by hand').click();
      await page.keyboard.type('half a sen');
      await answered('/exceptions');
      await answered('/exceptions');
      await page.keyboard.type('tence');
      should(await page.getByLabel('How it was settled').inputValue()).equal('half a sentence');
    });

    it('is not done twice by two clicks, and cannot be clicked meanwhile', async () => {
      const { order, exception } = await stuckOrder();
      await open(`#/exceptions/${exception.id}`);
      let posts = 0;
      await page.route('**/settle*', async (route) => {
        posts += 1;
        await new Promise((resolve) => setTimeout(resolve, 500));
        await route.continue();
      });
      await button(main(), 'Settled by hand').click();
      await page.getByLabel('How it was settled').fill('by phone');
      await page.locator('form.confirm [type=submit]').dblclick();
      should(await main().locator('.actions button:not(:disabled)').count()).equal(0);
      await notice().getByText('Settled.').waitFor();
      should(posts).equal(1);
      should(await openExceptions(order)).deepEqual([]);
    });

    it('says why when it was refused, or when no answer came, and stays as it was', async () => {
      const { order, exception } = await stuckOrder();
      await open(`#/exceptions/${exception.id}`);
      const attempt = async () => {
        await page.locator('form.confirm [type=submit]').click();
        const alert = main().getByRole('alert').filter({ hasText: /\w/ });
        await alert.waitFor();
        return alert.innerText();
      };
      await button(main(), 'Settled by hand').click();
      await page.getByLabel('How it was settled').fill('by phone');
      const refusal = { error: { code: 'LOGIN_REQUIRED', message: 'Set adminAuth in the settings file.' } };
      await page.route('**/settle*', (route) => route.fulfill({ status: 403, json: refusal }));
      should(await attempt()).equal('This was not done. Set adminAuth in the settings file.');
      should(await page.getByLabel('How it was settled').inputValue()).equal('by phone');
      await page.unroute('**/settle*');
      await page.route('**/settle*', (route) => route.fulfill({ status: 401, body: 'Unauthorized' }));
      should(await attempt()).match(/Your login does not allow this/);
      should((await openExceptions(order)).length).equal(1);
    });
  });

  it('shows a name that is markup as the text that it is', async () => {
    const basket = {
      lines: [{ sku: 'WINE-PINOT', quantity: 1 }],
      country: 'AT',
      customer: {
        name: MARKUP,
        street: 'Ring 1',
        postalCode: '1010',
        city: 'Wien',
        country: 'AT',
        email: 'a@customer.example',
      },
    } satisfies Basket & { customer: object };
    const order = await house.place(basket);
    const [view] = await house.until([order], () => true);
    should(view!.order.shipTo.name).equal(MARKUP);
    await open(`#/orders/${order}`);
    await main().getByText(MARKUP).first().waitFor();
    should(await page.evaluate(() => 'pwned' in window)).equal(false);
  });

  it('takes no text of any document for markup, nor follows a link that is code', async () => {
    const { order, exception } = await stuckOrder();
    const settled = await stuckOrder();
    await house.red.post(`/dropship/exceptions/${settled.exception.id}/settle`, { how: 'The customer was told.' });
    const poisoned = (value: unknown, spared: string[]): unknown => {
      if (typeof value === 'string') return /^https?:/.test(value) ? 'javascript:window.pwned=1' : value + MARKUP;
      if (Array.isArray(value)) return value.map((each) => poisoned(each, spared));
      if (typeof value !== 'object' || value === null) return value;
      return Object.fromEntries(
        Object.entries(value).map(([name, each]) => [name, spared.includes(name) ? each : poisoned(each, spared)]),
      );
    };
    await page.route(/\/dropship\/(orders|exceptions)\b/, async (route) => {
      const response = await route.fetch();
      const body = (await response.json()) as unknown;
      // By these the page decides what it shows: once as they are, and once they are markup too.
      const deciding = ['state', 'what', 'name', 'document'];
      const json = Array.isArray(body)
        ? body.flatMap((row) => [poisoned(row, deciding), poisoned(row, [])])
        : poisoned(body, deciding);
      await route.fulfill({ response, json });
    });
    await page.route('**/dropship/ledgers', async (route) => {
      const response = await route.fetch();
      const ledgers = [...((await response.json()) as object[]), { id: 'default', name: '' }];
      await route.fulfill({ response, json: poisoned(ledgers, ['id']) });
    });
    const [shipped] = await house.settled([
      await house.place({ lines: [{ sku: 'WINE-PINOT', quantity: 1 }], country: 'AT' }),
    ]);
    for (const hash of [
      '#/orders',
      `#/orders/${shipped!.order.id}`,
      `#/orders/${order}`,
      '#/exceptions',
      '#/exceptions/settled',
      `#/exceptions/${exception.id}`,
    ]) {
      await open();
      await open(hash);
      await main()
        .getByText('window.pwned=1')
        .first()
        .waitFor()
        .catch((error: Error) => {
          throw new Error(`Nothing of the poisoned documents shows at ${hash}: ${error.message}`);
        });
      should(await page.locator('img, body script, iframe').count()).equal(0, hash);
      const links = await page
        .locator('a')
        .evaluateAll((found) => found.map((link) => (link as HTMLAnchorElement).protocol));
      should([...new Set(links)]).deepEqual(['http:'], hash);
    }
    should(await page.evaluate(() => 'pwned' in window)).equal(false);
  });

  it('has the ledger chosen where there are several, and asks no other', async () => {
    const asked: string[] = [];
    const ledgers = [
      { id: 'dl-ledger', name: 'Wine' },
      { id: 'default', name: '' },
    ];
    await page.route('**/dropship/ledgers', (route) => route.fulfill({ json: ledgers }));
    await page.route(/\/dropship\/(orders|exceptions)\?/, (route) => {
      asked.push(new URL(route.request().url()).searchParams.get('ledger') ?? 'none');
      return route.fulfill({ json: [] });
    });
    await open();
    await main().getByText('No orders yet.').waitFor();
    should([...new Set(asked)]).deepEqual(['dl-ledger']);
    asked.length = 0;
    await page.getByLabel('Ledger').selectOption('Default ledger');
    await answered('/exceptions');
    await answered('/exceptions');
    should([...new Set(asked)]).deepEqual(['default']);
    await page.reload();
    await main().getByText('No orders yet.').waitFor();
    should(await page.getByLabel('Ledger').inputValue()).equal('default');
  });

  it('is served with a policy that lets nothing in but its own files, and serves nothing else', async () => {
    const address = `${house.red.url}/dropship/desk`;
    const bare = await fetch(address, { redirect: 'manual' });
    should(bare.status).equal(302);
    should(new URL(bare.headers.get('location')!, address).href).equal(`${address}/`);
    for (const file of ['', 'main.js', 'desk.css', 'locales/en-US.json']) {
      const { status, headers } = await fetch(`${address}/${file}`);
      should(status).equal(200, file);
      should(headers.get('content-security-policy')).match(/default-src 'none'.*frame-ancestors 'none'/);
      should(headers.get('content-security-policy')).not.match(/unsafe|\*|https?:/);
      should(headers.get('x-content-type-options')).equal('nosniff');
    }
    for (const file of [
      '..%2fnodes%2fadmin.js',
      'locales/..%2f..%2fnodes%2fadmin.js',
      'nothing.js',
      'main.ts',
      '%00',
    ]) {
      should([400, 404].includes((await fetch(`${address}/${file}`)).status)).equal(true, file);
    }
  });

  it('follows the theme of the system until somebody chooses one, and remembers that', async () => {
    const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await page.emulateMedia({ colorScheme: 'dark' });
    await open();
    const dark = await background();
    await page.emulateMedia({ colorScheme: 'light' });
    const light = await background();
    should(dark).not.equal(light);
    await page.getByLabel('Theme').selectOption('dark');
    should(await background()).equal(dark);
    await page.reload();
    await main().locator('h1').waitFor();
    should(await background()).equal(dark);
  });

  it('has contrast enough and nothing cut off, in both themes, on a laptop and a phone', async () => {
    const { exception } = await stuckOrder();
    for (const colorScheme of ['light', 'dark'] as const) {
      for (const width of [1200, 360]) {
        await page.emulateMedia({ colorScheme });
        await page.setViewportSize({ width, height: 800 });
        for (const hash of ['#/orders', `#/orders/${exception.orderId}`, `#/exceptions/${exception.id}`]) {
          await open();
          await open(hash);
          await main().locator('table, .actions').first().waitFor();
          const where = `${hash} ${colorScheme} ${width}`;
          should(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth)).equal(
            true,
            where,
          );
          should(await page.evaluate(faintTexts)).deepEqual([], where);
        }
      }
    }
  });

  describe('with an admin login', () => {
    let folder: string;
    let red: NodeRed;
    before(async () => {
      folder = mkdtempSync(join(tmpdir(), 'dropline-desk-'));
      const user = { username: 'olivia', password: hashSync('olivia-password', 4), permissions: '*' };
      red = await startNodeRed({
        userDir: folder,
        port: await freePort(),
        adminRoot: '/admin',
        settings: `httpAdminRoot: '/admin', adminAuth: ${JSON.stringify({ type: 'credentials', users: [user] })},`,
      });
    });
    after(async () => {
      await red?.stop();
      if (folder) rmSync(folder, { recursive: true, force: true });
    });

    it('says where to log in, and works with the login of the editor', async () => {
      await page.goto(`${red.url}/admin/dropship/desk/`);
      await main().getByRole('heading', { name: 'Log in to Node-RED, then come back' }).waitFor();
      const link = main().getByRole('link', { name: 'Open Node-RED' });
      should(await link.evaluate((anchor) => (anchor as HTMLAnchorElement).href)).equal(`${red.url}/admin/`);

      const editor = await context.newPage();
      await editor.goto(`${red.url}/admin/`);
      await editor.fill('#node-dialog-login-username', 'olivia');
      await editor.fill('#node-dialog-login-password', 'olivia-password');
      await editor.click('#node-dialog-login-submit');
      await editor.waitForFunction(() => localStorage.getItem('auth-tokens-admin') !== null);
      await editor.close();

      // By itself: the page keeps looking.
      await main().getByText('No orders yet.').waitFor();
    });
  });
});

/** Texts whose contrast against what is behind them is below 4.5 (WCAG 2.2, 1.4.3). Runs in the page. */
function faintTexts(): string[] {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true })!;
  const rgba = (colour: string) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data] as [number, number, number, number];
  };
  const luminance = ([r, g, b]: number[]) => {
    const [x, y, z] = [r!, g!, b!].map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * x! + 0.7152 * y! + 0.0722 * z!;
  };
  const behind = (element: Element): number[] => {
    for (let at: Element | null = element; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255];
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const faint: string[] = [];
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement!;
    if (!texts.currentNode.nodeValue?.trim() || element.closest('option, script, noscript, :disabled')) continue;
    const [a, b] = [luminance(rgba(getComputedStyle(element).color)), luminance(behind(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) faint.push(`${contrast.toFixed(2)} ${texts.currentNode.nodeValue.trim().slice(0, 40)}`);
  }
  return faint;
}
