/** Days on which the euro settlement system TARGET is open, as YYYY-MM-DD. Source: ECB, TARGET long-term closing days. */

const FIXED_HOLIDAYS = new Set(['01-01', '05-01', '12-25', '12-26']);
const DAY = 86_400_000;

/** The day itself or the next one that is neither a weekend nor a TARGET holiday. */
export function businessDayFrom(day: string): string {
  let at = Date.parse(`${day}T00:00:00Z`);
  while (!isBusinessDay(new Date(at))) at += DAY;
  return iso(new Date(at));
}

function isBusinessDay(date: Date): boolean {
  const weekday = date.getUTCDay();
  if (weekday === 0 || weekday === 6 || FIXED_HOLIDAYS.has(iso(date).slice(5))) return false;
  const easter = easterSunday(date.getUTCFullYear());
  return ![easter - 2 * DAY, easter + DAY].includes(date.getTime());
}

/** Gregorian Easter, by the rule of Meeus, Jones and Butcher; milliseconds since 1970. */
function easterSunday(year: number): number {
  const a = year % 19;
  const century = Math.floor(year / 100);
  const rest = year % 100;
  const g = Math.floor((8 * century + 13) / 25);
  const epact = (19 * a + century - Math.floor(century / 4) - g + 15) % 30;
  const weekday = (32 + 2 * (century % 4) + 2 * Math.floor(rest / 4) - epact - (rest % 4)) % 7;
  const m = Math.floor((a + 11 * epact + 19 * weekday) / 433);
  const month = Math.floor((epact + weekday - 7 * m + 90) / 25);
  const day = (epact + weekday - 7 * m + 33 * month + 19) % 32;
  return Date.UTC(year, month - 1, day);
}

function iso(date: Date): string {
  return date.toISOString().slice(0, 10);
}
