import { createHash } from 'node:crypto';
import type { Address, Customer } from '../../orders/address.ts';
import { ConfigurationMistake } from '../../orders/errors.ts';
import type { Money } from '../../orders/money.ts';
import type { Order, OrderLine } from '../../orders/order.ts';
import type { AdapterSettings, AdapterTools } from '../adapter.ts';
import { receiveFacts } from '../generic/inbound.ts';
import { idShape, recordShape } from '../generic/operation.ts';
import { createPartner, skipped } from '../generic/partner.ts';
import { compilePolls } from '../generic/poll.ts';
import { createReader, type Reader } from '../generic/read.ts';
import type { Fields, PartnerKind } from '../generic/schema.ts';
import type { EcommercePlatform, ShopOrder } from './port.ts';

const REQUIRED = ['fulfil', 'cancelLines'];

const ADDRESS: Fields = {
  name: 'optional',
  company: 'optional',
  street: 'needed',
  street2: 'optional',
  postalCode: 'optional',
  city: 'needed',
  region: 'optional',
  country: 'needed',
  phone: 'optional',
  email: 'optional',
};

const KIND: PartnerKind = {
  name: 'a shop',
  operations: { fulfil: 'fulfil', complete: 'complete', cancelLines: 'cancel', cancelOrder: 'cancel' },
  answering: ['fulfil'],
  facts: ['order'],
  reads: {
    order: {
      shopOrderId: 'needed',
      number: 'optional',
      placedAt: 'needed',
      changedAt: 'optional',
      currency: 'needed',
      customer: {
        as: 'group',
        fields: {
          name: 'optional',
          email: 'optional',
          phone: 'optional',
          company: 'optional',
          shopCustomerId: 'optional',
        },
      },
      shipTo: { as: 'group', needed: true, fields: ADDRESS },
      billTo: { as: 'group', fields: ADDRESS },
      lines: {
        as: 'list',
        needed: true,
        fields: {
          id: 'optional',
          sku: 'needed',
          name: 'optional',
          quantity: 'needed',
          unitPrice: 'needed',
          tax: 'optional',
        },
      },
      shipping: 'optional',
      discount: 'optional',
      tax: 'optional',
      total: 'needed',
      note: 'optional',
      paid: 'needed',
      cancelled: 'optional',
    },
  },
};

/** A changed order is another fact than the order before the change. */
const defaultKey = () => ['shopOrderId', 'changedAt'];

/**
 * A shop with any REST API, described in the options (`docs/generic-rest.md`). `complete` may be left out; so may `cancelOrder`,
 * and `cancelLines` is then used when nothing is left of an order as well.
 * @throws ConfigurationMistake `OPTIONS_INVALID`, `MAPPING_ENGINE_MISSING`
 */
export function createGenericShop(settings: AdapterSettings, tools: AdapterTools): EcommercePlatform {
  const partner = createPartner(KIND, REQUIRED, settings, tools);
  const { options } = partner;
  const poll = compilePolls<'order'>(partner.connection, options, tools.now, 'order', defaultKey);

  return {
    product: 'generic',
    settleTime: partner.settleTime,
    testConnection: partner.testConnection,

    receive: (request) => receiveFacts(request, settings, tools, options, 'order', defaultKey),

    async poll(cursor) {
      if (poll) return poll(cursor);
      throw new ConfigurationMistake(
        'POLL_MISSING',
        `${settings.reference} is to be asked for orders, but its options have no "poll". Add it to its config node, or switch polling off in the receive node.`,
        { status: 'poll missing' },
      );
    },

    readOrder(body) {
      const rules = options.read?.['order'];
      if (!rules) {
        throw new ConfigurationMistake(
          'OPTIONS_INVALID',
          `${settings.reference} sent an order, but its options do not say how to read it. Add read.order in its config node.`,
          { status: 'options invalid' },
        );
      }
      return shopOrder(createReader(rules, { value: body }, settings.reference, 'read.order'), settings.reference);
    },

    async fulfil(shipment, order, write) {
      return partner.run('fulfil', { shipment, order }, idShape, write, { shipment: shipment.id, order: order.id });
    },

    async complete(order, write) {
      if (!partner.can('complete')) return skipped('complete');
      return partner.run('complete', { order }, recordShape, write, { order: order.id });
    },

    async cancelLines(lines, order, whole, reason, write) {
      const operation = whole && partner.can('cancelOrder') ? 'cancelOrder' : 'cancelLines';
      const summary = { order: order.id, lines: lines.length, whole };
      return partner.run(operation, { lines, order, whole, reason }, recordShape, write, summary);
    },
  };
}

function shopOrder(reader: Reader, shop: string): ShopOrder {
  const shopOrderId = reader.neededText('shopOrderId');
  const currency = reader.neededText('currency').toUpperCase();
  const placedAt = reader.neededTime('placedAt');
  const lines = reader.list('lines').map((line, index) => orderLine(line, index, currency));
  if (lines.length === 0) throw reader.wrong('lines', 'has no lines', 'ORDER_WITHOUT_LINES');
  const shipTo = address(reader, 'shipTo');
  if (!shipTo) throw reader.wrong('shipTo', 'is not in the document', 'ADDRESS_MISSING');
  const billTo = address(reader, 'billTo');
  const order: Order = {
    type: 'order',
    id: orderId(shop, shopOrderId),
    shop,
    shopOrderId,
    number: reader.text('number') ?? shopOrderId,
    placedAt,
    changedAt: reader.time('changedAt') ?? placedAt,
    currency,
    customer: customer(reader, shipTo),
    shipTo,
    ...(billTo ? { billTo } : {}),
    lines,
    ...amount('shipping', reader.money('shipping', currency)),
    ...amount('discount', reader.money('discount', currency)),
    ...amount('tax', reader.money('tax', currency)),
    total: reader.neededMoney('total', currency),
    revision: 0,
    ...text('note', reader.text('note')),
  };
  const paid = reader.flag('paid');
  if (paid === undefined)
    throw reader.wrong('paid', 'is not in the document: map it with a default', 'DOCUMENT_INVALID');
  return { order, paid, cancelled: reader.flag('cancelled') ?? false };
}

function orderLine(line: Reader, index: number, currency: string): OrderLine {
  const sku = line.neededText('sku');
  return {
    id: line.text('id') ?? String(index + 1),
    sku,
    name: line.text('name') ?? sku,
    quantity: line.quantity('quantity'),
    unitPrice: line.neededMoney('unitPrice', currency),
    ...amount('tax', line.money('tax', currency)),
  };
}

function customer(reader: Reader, shipTo: Address): Customer {
  const given = reader.group('customer');
  return {
    name: given?.text('name') ?? shipTo.name,
    ...text('email', given?.text('email') ?? shipTo.email),
    ...text('phone', given?.text('phone') ?? shipTo.phone),
    ...text('company', given?.text('company')),
    ...text('shopCustomerId', given?.text('shopCustomerId')),
  };
}

function address(reader: Reader, field: string): Address | undefined {
  const parts = reader.group(field);
  if (!parts) return undefined;
  const country = parts.text('country')?.toUpperCase();
  if (country === undefined) throw parts.wrong('country', 'is not in the document', 'ADDRESS_WITHOUT_COUNTRY');
  if (!/^[A-Z]{2}$/.test(country)) {
    throw parts.wrong(
      'country',
      `is "${country.slice(0, 40)}", and a code of two letters is needed: add a table`,
      'ADDRESS_WITHOUT_COUNTRY',
    );
  }
  return {
    name: needed('name', parts.text('name') ?? parts.text('company')),
    ...text('company', parts.text('company')),
    street: needed('street', parts.text('street')),
    ...text('street2', parts.text('street2')),
    ...text('postalCode', parts.text('postalCode')),
    city: needed('city', parts.text('city')),
    ...text('region', parts.text('region')),
    country,
    ...text('phone', parts.text('phone')),
    ...text('email', parts.text('email')),
  };

  function needed(name: string, value: string | undefined): string {
    if (value) return value;
    throw parts?.wrong(name, 'is not in the document', 'ADDRESS_INCOMPLETE') ?? new Error(name);
  }
}

/**
 * Our id of the order is part of keys, URLs and purchase order numbers. A shop's id that cannot stand there ("gid://shop/Order/1")
 * is written without the odd characters and with a short check sum, so that two ids never become one.
 */
function orderId(shop: string, shopOrderId: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$/.test(shopOrderId)) return `${shop}-${shopOrderId}`;
  const plain = shopOrderId
    .replace(/[^A-Za-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
    .slice(-24);
  const sum = createHash('sha256').update(shopOrderId, 'utf8').digest('hex').slice(0, 8);
  return `${shop}-${plain}-${sum}`;
}

function amount<Field extends string>(field: Field, value: Money | undefined): { [name in Field]?: Money } {
  return (value === undefined ? {} : { [field]: value }) as { [name in Field]?: Money };
}

function text<Field extends string>(field: Field, value: string | undefined): { [name in Field]?: string } {
  return (value === undefined || value === '' ? {} : { [field]: value }) as { [name in Field]?: string };
}
