import fc from 'fast-check';
import should from 'should';
import { BusinessRefusal, DroplineError } from '../../orders/errors.ts';
import {
  child,
  childrenOf,
  decodeXml,
  element,
  parseXml,
  textOf,
  writeXml,
  type XmlElement,
  type XmlOutput,
} from '../../partners/xml.ts';

const unreadable = (text: string): void => {
  should(() => parseXml(text)).throw(BusinessRefusal, { code: 'BODY_UNREADABLE' });
};

describe('XML from outside', () => {
  it('is read by local name, whatever the prefix or namespace', () => {
    const root = parseXml(
      '<?xml version="1.0"?><n:A xmlns:n="urn:x"><n:B> one </n:B><C>&amp;<![CDATA[<2>]]></C><n:B/></n:A>',
    );
    should(root.name).equal('A');
    should(childrenOf(root, 'B').map(({ text }) => text)).eql(['one', '']);
    should(textOf(root, 'C')).equal('&<2>');
    should(textOf(root, 'B')).equal('one');
    should(child(root, 'B', 'C')).be.undefined();
    should(textOf(undefined, 'B')).be.undefined();
  });

  it('may use an undeclared prefix and character references', () => {
    should(textOf(parseXml('<x:A><x:B>&#65;&#x42;&lt;&gt;&quot;&apos;</x:B></x:A>'), 'B')).equal('AB<>"\'');
  });

  it('has no DOCTYPE and no entities but the five of XML', () => {
    unreadable('<!DOCTYPE a><a/>');
    unreadable('<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>');
    unreadable('<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>');
    unreadable('<a>&x;</a>');
    unreadable('<a>&nbsp;</a>');
    unreadable('<a b="&x;"/>');
  });

  it('is well-formed and complete', () => {
    for (const text of [
      '',
      ' ',
      'no xml',
      '<a>',
      '<a></b>',
      '<a/><b/>',
      '</a>',
      '<a b=1/>',
      '<a',
      '<a>&#0;</a>',
      '<a>\u0001</a>',
    ]) {
      unreadable(text);
    }
  });

  it('is at most 32 deep, 10 MB long and 300,000 elements', () => {
    const nested = (depth: number) => '<a>'.repeat(depth) + '</a>'.repeat(depth);
    should(parseXml(nested(32)).name).equal('a');
    unreadable(nested(33));
    unreadable(nested(100_000));
    unreadable(`<a>${' '.repeat(10_000_000)}</a>`);
    unreadable(`<a>${'<b/>'.repeat(300_000)}</a>`);
  });

  it('cannot reach any prototype', () => {
    const root = parseXml('<__proto__><constructor>1</constructor><x __proto__="1" constructor="2"/></__proto__>');
    should(root.name).equal('__proto__');
    should(textOf(root, 'constructor')).equal('1');
    should(textOf(root, 'toString')).be.undefined();
    should(Object.getPrototypeOf(root)).equal(Object.prototype);
    should(({} as Record<string, unknown>)['x']).be.undefined();
  });

  it('throws nothing but a DroplineError, whatever it is', () => {
    const good = '<?xml version="1.0" encoding="UTF-8"?><a b="c"><d>&amp;<![CDATA[x]]></d><!-- e --><?f g?></a>';
    const mutated = fc
      .array(
        fc.tuple(
          fc.nat(good.length),
          fc.nat(4),
          fc.oneof(fc.string(), fc.constantFrom('<', '>', '&', '<!DOCTYPE', ']]>', '\u0000')),
        ),
      )
      .map((changes) => changes.reduce((text, [at, cut, put]) => text.slice(0, at) + put + text.slice(at + cut), good));
    fc.assert(
      fc.property(fc.oneof(mutated, fc.string({ unit: 'binary' })), (text) => {
        try {
          parseXml(text);
        } catch (error) {
          should(error).be.instanceof(DroplineError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('the encoding of XML', () => {
  const of = (encoding: string, bytes: BufferEncoding) =>
    Buffer.from(`<?xml version="1.0" encoding="${encoding}"?><a>Zoë</a>`, bytes);

  it('is what the declaration says, UTF-8 otherwise', () => {
    should(textOf(parseXml(decodeXml(of('ISO-8859-1', 'latin1'))))).equal('Zoë');
    should(textOf(parseXml(decodeXml(of('utf-8', 'utf8'))))).equal('Zoë');
    should(decodeXml(Buffer.from('\ufeff<a>Zoë</a>'))).equal('<a>Zoë</a>');
  });

  it('is refused when the bytes do not fit it, or when it is exotic', () => {
    for (const bytes of [
      of('UTF-8', 'latin1'),
      of('utf-7', 'utf8'),
      of('UTF-16', 'utf8'),
      Buffer.from([0xff, 0xfe, 0x3c, 0]),
    ]) {
      should(() => decodeXml(bytes)).throw(BusinessRefusal, { code: 'BODY_UNREADABLE' });
    }
  });
});

describe('written XML', () => {
  it('escapes texts and attributes, and leaves out what is absent', () => {
    const text = writeXml(element('a', [element('b', `<&>"'\r`, { c: '"<&' }), undefined, element('d', '')]));
    should(text).equal(
      '<?xml version="1.0" encoding="UTF-8"?>\n<a>\n  <b c="&#34;&#60;&#38;">&#60;&#38;&#62;&#34;&#39;&#13;</b>\n  <d></d>\n</a>\n',
    );
  });

  it('refuses characters that XML cannot write', () => {
    for (const text of ['\u0000', '\u0008', '\u000b', '\ud800', 'a\udc00b', '\ufffe', '\uffff']) {
      should(() => writeXml(element('a', text))).throw(BusinessRefusal, { code: 'TEXT_INVALID' });
    }
    should(writeXml(element('a', '\u{1f377}\t'))).containEql('\u{1f377}\t');
  });

  it('reads back as it was written', () => {
    const name = fc.constantFrom('A', 'Bc', 'd-e');
    const tree = fc.letrec<{ node: XmlOutput }>((tie) => ({
      node: fc
        .tuple(
          name,
          fc.oneof(
            { maxDepth: 4 },
            fc.string({ unit: 'grapheme' }),
            fc.array(tie('node'), { minLength: 1, maxLength: 3 }),
          ),
        )
        .map(([of, content]) => element(of, content)),
    })).node;
    const plain = (node: XmlElement): unknown => [
      node.name,
      node.children.length ? node.children.map(plain) : node.text,
    ];
    const expected = (node: XmlOutput): unknown => [
      node.name,
      typeof node.content === 'string' ? node.content.trim() : node.content.map((each) => each && expected(each)),
    ];
    fc.assert(
      fc.property(tree, (node) => {
        should(plain(parseXml(writeXml(node)))).eql(expected(node));
      }),
    );
  });
});
