/** A postal address in parts. `country` is ISO 3166-1 alpha-2 in capitals and always there: routing and banks need it. */
export interface Address {
  name: string;
  company?: string;
  street: string;
  /** A second line: flat, building, care of. */
  street2?: string;
  postalCode?: string;
  city: string;
  /** State or region, as the shop wrote it. */
  region?: string;
  country: string;
  phone?: string;
  email?: string;
}

export interface Customer {
  name: string;
  email?: string;
  phone?: string;
  company?: string;
  /** The shop's own id of a registered customer; a guest has none. */
  shopCustomerId?: string;
}

/** The address with its fields in one order and without the empty ones: equal addresses become equal JSON. */
export function addressContent(address: Address): Record<string, string> {
  const content: Record<string, string> = {};
  for (const field of FIELDS) {
    const value = address[field];
    if (value !== undefined && value !== '') content[field] = value;
  }
  return content;
}

const FIELDS = [
  'name',
  'company',
  'street',
  'street2',
  'postalCode',
  'city',
  'region',
  'country',
  'phone',
  'email',
] as const satisfies (keyof Address)[];
