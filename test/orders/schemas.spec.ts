import should from 'should';
import { faultOf } from '../../ledger/validate.ts';
import { schemas, type DocumentType } from '../../orders/schemas.ts';
import * as samples from './samples.ts';

const documents = [
  samples.order(),
  samples.purchaseOrder(),
  samples.shipment('SH-1', { '1': '3' }),
  samples.bill(),
  samples.payment(),
];

describe('JSON Schemas of the documents', () => {
  for (const document of documents) {
    it(`take a complete ${document.type}, also with properties that a flow has added`, () => {
      should(faultOf(document)).be.undefined();
      should(faultOf(Object.assign({ giftWrap: true }, document))).be.undefined();
    });

    for (const field of schemas[document.type].required as string[]) {
      if (field === 'type') continue;
      it(`name "${field}" when a ${document.type} lacks it`, () => {
        const { [field as 'id']: _left, ...rest } = document;
        String(faultOf(rest as { type: string })).should.containEql(field);
      });
    }
  }

  it('name the place of a fault deep inside', () => {
    const order = samples.order();
    order.lines[1]!.quantity = '-1';
    String(faultOf(order)).should.startWith('lines.1.quantity ');
  });

  it('exist for every document that a port declares', () => {
    const types: DocumentType[] = [
      'order',
      'order-lines',
      'purchase-order',
      'acknowledgement',
      'cancellation',
      'shipment',
      'bill',
      'payables',
      'payment-run',
      'payment',
    ];
    Object.keys(schemas)
      .sort()
      .should.eql([...types].sort());
  });
});
