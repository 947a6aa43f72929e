import type { AffectedLine, Order } from '../../orders/order.ts';
import type { Shipment } from '../../orders/shipment.ts';
import type { ConnectionTest, InboundFact, InboundRequest, Patience } from '../adapter.ts';
import type { Json, Writer } from '../write.ts';

/** A shop (e-commerce platform). */
export interface EcommercePlatform extends Patience {
  readonly product: string;

  testConnection(): Promise<ConnectionTest>;

  /**
   * Checks the signature over the raw bytes and finds the facts in a webhook. An authentic request that holds nothing for us
   * (a ping) gives an empty list.
   * @throws ConfigurationMistake `NOT_AUTHENTIC` (answered 401), BusinessRefusal `BODY_UNREADABLE` (answered 400)
   */
  receive(request: InboundRequest): InboundFact<'order'>[];

  /** Orders changed since the cursor, oldest first, a page at a time; `cursor` undefined: from now minus one day. */
  poll(cursor: string | undefined): Promise<{ facts: InboundFact<'order'>[]; cursor: string; more: boolean }>;

  /**
   * The shop's document in our words. Pure.
   * @throws BusinessRefusal with a code that says what is wrong with the order (`ORDER_WITHOUT_LINES`, `ADDRESS_WITHOUT_COUNTRY`, ...)
   */
  readOrder(body: unknown): ShopOrder;

  /** One shipment: fulfilment with tracking in the shop, which informs the customer. */
  fulfil(shipment: Shipment, order: Order, write: Writer): Promise<FulfilmentRecord>;

  /** Everything has shipped: closes the order. */
  complete(order: Order, write: Writer): Promise<Record<string, Json>>;

  /** Tells the shop and the customer what will not come; cancels the order when nothing is left of it. */
  cancelLines(
    lines: AffectedLine[],
    order: Order,
    whole: boolean,
    reason: string,
    write: Writer,
  ): Promise<Record<string, Json>>;
}

/** An order as the shop has it now, and what the shop says of its payment and life. */
export interface ShopOrder {
  order: Order;
  paid: boolean;
  cancelled: boolean;
}

export type FulfilmentRecord = { id: string };
