import { BusinessRefusal } from '../../orders/errors.ts';
import { describeMoney, sameMoney, type Money } from '../../orders/money.ts';
import type { OdooDesk } from './odoo-purchases.ts';
import type { Domain, Row } from './odoo-records.ts';

/**
 * Documents that a person entered in Odoo by hand and names by their number there, because the call that should have made them was
 * refused or its answer lost. What Odoo says of them must fit, or a later receipt, bill or payment would go to the wrong one.
 */

/**
 * The one document with this number that is not cancelled.
 * @param also further fields that may hold the number
 * @throws BusinessRefusal `NUMBER_UNKNOWN`
 */
export async function byNumber(
  desk: OdooDesk,
  model: string,
  number: string,
  fields: string[],
  domain: Domain = [],
  also: string[] = [],
): Promise<Row> {
  const names = ['name', ...also].map((field): [string, string, unknown] => [field, '=', number]);
  const rows = await desk.odoo.find(
    model,
    [...domain, ...also.map(() => '|'), ...names],
    [...new Set(['name', 'state', ...fields])],
    { limit: 2 },
  );
  const [row, ...more] = rows.filter((each) => !['cancel', 'canceled', 'rejected'].includes(each.text('state')));
  if (row && more.length === 0) return row;
  const found = row ? 'has several documents' : rows.length > 0 ? 'has only cancelled documents' : 'has no document';
  throw new BusinessRefusal('NUMBER_UNKNOWN', `${desk.partner} (Odoo) ${found} with the number "${number}".`);
}

/** @throws BusinessRefusal `NUMBER_DIFFERS` that says what does not fit */
export function mustFit(desk: OdooDesk, number: string, fits: boolean, what: string): void {
  if (!fits) throw new BusinessRefusal('NUMBER_DIFFERS', `${number} in ${desk.partner} (Odoo) ${what}.`);
}

/** A reference of ours that somebody else's document carries; an empty one is a document that was entered by hand. */
export function mustBeOurs(desk: OdooDesk, number: string, reference: string, ours: string): void {
  mustFit(desk, number, reference === '' || reference === ours, `belongs to ${reference}, not to ${ours}`);
}

/** @throws BusinessRefusal `NUMBER_DIFFERS` */
export function mustAmountTo(desk: OdooDesk, number: string, found: Money, expected: Money): void {
  const what = `is about ${describeMoney(found)} instead of ${describeMoney(expected)}`;
  mustFit(desk, number, sameMoney(found, expected), what);
}
