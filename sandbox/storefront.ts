import { CURRENCY, products } from './catalogue.ts';
import type { ShopOrder } from './shop-documents.ts';

/** The pages that a customer of the pretend shop sees: plain HTML without scripts or outside files, light and dark. */

const COUNTRIES: [code: string, name: string][] = [
  ['AT', 'Austria'],
  ['BE', 'Belgium'],
  ['CZ', 'Czechia'],
  ['FR', 'France'],
  ['DE', 'Germany'],
  ['IT', 'Italy'],
  ['NL', 'Netherlands'],
  ['PL', 'Poland'],
];

const STATUS_WORDS: Record<string, string> = {
  processing: 'We are preparing your order',
  completed: 'Complete: everything is on its way',
  cancelled: 'Cancelled',
  refunded: 'Refunded',
};

/** The catalogue and the checkout. `problem` tells the customer what to correct. */
export function shopPage(problem?: string): string {
  const cards = products
    .map(
      ({ sku, name, price }) => `
      <li>
        <label for="qty-${escape(sku)}">${escape(name)}</label>
        <span class="price">${escape(price)} ${CURRENCY}</span>
        <input id="qty-${escape(sku)}" name="qty:${escape(sku)}" type="number" min="0" max="999" value="0" inputmode="numeric">
      </li>`,
    )
    .join('');
  const options = COUNTRIES.map(
    ([code, name]) => `<option value="${code}"${code === 'DE' ? ' selected' : ''}>${name}</option>`,
  ).join('');
  return page(
    'Cork & Pan',
    `
    <p class="lead">Wine and what goes with it, sent straight from those who make it.</p>
    ${problem === undefined ? '' : `<p class="problem" role="alert">${escape(problem)}</p>`}
    <form method="post" action="/storefront/orders">
      <ul class="products">${cards}
      </ul>
      <fieldset>
        <legend>Where shall it go?</legend>
        <label>Name <input name="name" required autocomplete="name" value="Erika Mustermann"></label>
        <label>E-mail <input name="email" type="email" autocomplete="email" value="erika@customer.example"></label>
        <label>Street <input name="street" required autocomplete="street-address" value="Musterweg 1"></label>
        <label>Post code <input name="postalCode" autocomplete="postal-code" value="10115"></label>
        <label>City <input name="city" required autocomplete="address-level2" value="Berlin"></label>
        <label>Country <select name="country" autocomplete="country">${options}</select></label>
      </fieldset>
      <p class="send"><button>Place the order</button> <span>plus 5.00 ${CURRENCY} for shipping; nobody is charged</span></p>
    </form>`,
  );
}

/** How one order stands, as its customer may see it. */
export function orderPage(order: ShopOrder, total: string, parcels: string[]): string {
  const lines = order.lines
    .map(({ name, quantity, price }) =>
      row(`${quantity} × ${name}`, `${((price * quantity) / 100).toFixed(2)} ${CURRENCY}`),
    )
    .join('');
  const notes = order.notes.filter((note) => note.customer);
  return page(
    `Order ${order.id}`,
    `
    <p class="lead"><strong class="status ${escape(order.status)}">${escape(STATUS_WORDS[order.status] ?? order.status)}</strong></p>
    <table>${lines}${row('Shipping', `5.00 ${CURRENCY}`)}${row('Total', `${total} ${CURRENCY}`, 'total')}</table>
    <h2>Parcels</h2>
    ${parcels.length === 0 ? '<p>None yet.</p>' : `<ul>${parcels.map((parcel) => `<li><code>${escape(parcel)}</code></li>`).join('')}</ul>`}
    <h2>Messages</h2>
    ${notes.length === 0 ? '<p>None yet.</p>' : `<ul>${notes.map(({ note }) => `<li>${escape(note.replaceAll('&amp;', '&'))}</li>`).join('')}</ul>`}
    <p><a href="/storefront/orders/${order.id}">Look again</a> · <a href="/">Back to the shop</a></p>`,
  );
}

function row(name: string, value: string, kind = ''): string {
  return `<tr class="${kind}"><td>${escape(name)}</td><td>${escape(value)}</td></tr>`;
}

function page(title: string, content: string): string {
  return `<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>${escape(title)}</title>
  <style>${STYLE}</style>
</head>
<body>
  <header><a href="/">Cork &amp; Pan</a><small>a pretend shop</small></header>
  <main>
    <h1>${escape(title)}</h1>${content}
  </main>
</body>
</html>
`;
}

const STYLE = `
  :root { color-scheme: light dark; --ink: light-dark(#2b2024, #efe6e2); --paper: light-dark(#fbf7f2, #1d1719); --card: light-dark(#fff, #292124);
    --wine: light-dark(#7a1f3d, #e58aa6); --line: light-dark(#e4d9d0, #463a3e); --on-wine: light-dark(#fff, #1d1719); }
  * { box-sizing: border-box; }
  body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
  header { display: flex; gap: .75rem; align-items: baseline; padding: 1rem 1.5rem; border-bottom: 1px solid var(--line); }
  header a { color: var(--wine); font: 600 1.25rem Georgia, serif; text-decoration: none; }
  main { max-width: 54rem; margin: 0 auto; padding: 1.5rem; }
  h1, h2 { font-family: Georgia, serif; line-height: 1.2; }
  a { color: var(--wine); }
  .products { list-style: none; padding: 0; display: grid; grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); gap: 1rem; }
  .products li { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: 1rem; display: grid; grid-template-columns: 1fr 4.5rem;
    gap: .5rem; align-items: center; }
  .products label { grid-column: 1 / -1; font-weight: 600; }
  input, select, button { font: inherit; padding: .45rem .6rem; border: 1px solid var(--line); border-radius: .35rem; background: var(--card); color: inherit;
    width: 100%; }
  fieldset { border: 1px solid var(--line); border-radius: .5rem; padding: 1rem; display: grid; grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr));
    gap: .75rem; }
  .send { display: flex; flex-wrap: wrap; gap: 1rem; align-items: center; }
  button { width: auto; background: var(--wine); border-color: var(--wine); color: var(--on-wine); font-weight: 600; padding: .6rem 1.2rem; cursor: pointer; }
  :focus-visible { outline: 2px solid var(--wine); outline-offset: 2px; }
  .problem { border-left: 4px solid var(--wine); padding: .5rem 1rem; background: var(--card); }
  table { border-collapse: collapse; width: 100%; background: var(--card); }
  td { padding: .5rem .75rem; border-bottom: 1px solid var(--line); }
  td:last-child { text-align: right; white-space: nowrap; }
  .total { font-weight: 700; }
`;

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
