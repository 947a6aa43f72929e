import should from 'should';
import { BusinessRefusal } from '../../orders/errors.ts';
import { parseJson } from '../../partners/json.ts';

const refused = (body: Buffer | string, sentence: RegExp): void => {
  should(() => parseJson(body)).throw(BusinessRefusal, { code: 'BODY_UNREADABLE', message: sentence });
};

describe('JSON from outside', () => {
  it('keeps all digits of whole numbers that a number of JavaScript cannot hold', () => {
    should(parseJson('{"id": 9007199254740993, "below": [-9007199254740993]}')).eql({
      id: '9007199254740993',
      below: ['-9007199254740993'],
    });
    should(parseJson('9007199254740992')).equal('9007199254740992');
    should(parseJson('[9007199254740991, 0.1234567890123456, 1e300, "9007199254740993"]')).eql([
      9007199254740991,
      0.1234567890123456,
      1e300,
      '9007199254740993',
    ]);
  });

  it('refuses keys that could become a prototype, at any depth and however they are written', () => {
    for (const key of [
      '__proto__',
      'constructor',
      'prototype',
      '\\u005f_proto__',
      'c\\u006fnstructor',
      'prot\\u006Ftype',
    ]) {
      refused(`{"a": [{"${key}": {"x": 1}}]}`, /has the key "(__proto__|constructor|prototype)"/);
    }
  });

  it('takes the same words where they are no keys, and longer keys that hold them', () => {
    const body = {
      note: 'the constructor of a prototype',
      proto: '__proto__',
      constructors: 'Ren\u00e9',
      my__proto__: 1,
    };
    should(parseJson(JSON.stringify(body))).eql(body);
    should(parseJson('{"name": "Ren\\u00e9"}')).eql({ name: 'Ren\u00e9' });
  });

  it('refuses what is nested deeper than 32 levels', () => {
    const nested = (levels: number) => '{"a":['.repeat(levels / 2) + ']}'.repeat(levels / 2);
    should(parseJson(nested(32))).be.an.Object();
    refused(nested(34), /deeper than 32/);
  });

  it('refuses what is cut off, and what is no UTF-8', () => {
    refused('{"a": 1', /not complete/);
    refused('{"id": 9007199254740993', /not complete/);
    refused(Buffer.from([0x22, 0xc3, 0x22]), /not valid UTF-8/);
    should(parseJson(Buffer.from('"é"'))).equal('é');
  });
});
