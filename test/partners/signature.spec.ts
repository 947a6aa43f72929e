import { createHmac, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import should from 'should';
import { ConfigurationMistake } from '../../orders/errors.ts';
import { verifyHmac, verifyStandardWebhook } from '../../partners/signature.ts';

const body = Buffer.from('{"number":"SH-1","name":"Zoë"}', 'utf8');
const NOW = Date.parse('2026-11-22T12:00:00Z');

function refused(check: () => unknown): void {
  should(check).throw(ConfigurationMistake, { code: 'NOT_AUTHENTIC' });
}

describe('HMAC header', () => {
  const secret = 'the-secret';
  const sign = (encoding: 'hex' | 'base64', key = secret) => createHmac('sha256', key).update(body).digest(encoding);

  for (const encoding of ['hex', 'base64'] as const) {
    it(`takes a valid ${encoding} signature, by the current secret or the one before`, () => {
      verifyHmac({ body, header: sign(encoding), secrets: [secret], encoding });
      verifyHmac({ body, header: [sign(encoding)], secrets: ['new', undefined, secret], encoding });
    });

    it(`refuses every flipped bit of a ${encoding} signature and of the body`, () => {
      const signature = Buffer.from(sign(encoding), encoding);
      for (let bit = 0; bit < signature.length * 8; bit++) {
        const wrong = Buffer.from(signature);
        wrong[bit >> 3] = (wrong[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        refused(() => verifyHmac({ body, header: wrong.toString(encoding), secrets: [secret], encoding }));
      }
      for (let bit = 0; bit < body.length * 8; bit++) {
        const wrong = Buffer.from(body);
        wrong[bit >> 3] = (wrong[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        refused(() => verifyHmac({ body: wrong, header: sign(encoding), secrets: [secret], encoding }));
      }
    });

    it(`refuses a missing, doubled, cut, lengthened or foreign ${encoding} signature`, () => {
      const good = sign(encoding);
      const other = encoding === 'hex' ? sign('base64') : sign('hex');
      const bad = [
        undefined,
        '',
        [good, good],
        [],
        `${good}, ${good}`,
        good.slice(0, -1),
        `${good}=`,
        ` ${good}`,
        other,
      ];
      for (const header of [...bad, 'é'.repeat(good.length)]) {
        refused(() => verifyHmac({ body, header, secrets: [secret], encoding }));
      }
    });
  }

  it('refuses base64url, which Buffer.from would take', () => {
    let nonce = 0;
    const of = () => createHmac('sha256', secret).update(String(nonce)).digest('base64');
    while (!/[+/]/.test(of())) nonce++;
    const signed = Buffer.from(String(nonce));
    verifyHmac({ body: signed, header: of(), secrets: [secret], encoding: 'base64' });
    const url = of().replaceAll('+', '-').replaceAll('/', '_');
    refused(() => verifyHmac({ body: signed, header: url, secrets: [secret], encoding: 'base64' }));
  });

  it('finds nothing authentic without a secret, not even what an empty one signs', () => {
    for (const secrets of [[], [undefined], ['']]) {
      refused(() => verifyHmac({ body, header: sign('hex', ''), secrets, encoding: 'hex' }));
    }
  });
});

describe('Standard Webhooks', () => {
  const key = Buffer.from('0123456789abcdef0123456789abcdef');
  const secret = `whsec_${key.toString('base64')}`;
  const at = Math.floor(NOW / 1000);

  function headers(change: { id?: string; timestamp?: number | string; key?: Buffer; body?: Buffer } = {}) {
    const id = change.id ?? 'msg_1';
    const timestamp = String(change.timestamp ?? at);
    const hmac = createHmac('sha256', change.key ?? key).update(`${id}.${timestamp}.`);
    const signature = hmac.update(change.body ?? body).digest('base64');
    return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${signature}` };
  }

  function check(
    of: Record<string, string | string[] | undefined>,
    secrets: (string | undefined)[] = [secret],
  ): string {
    return verifyStandardWebhook({ headers: of, body, secrets, now: NOW });
  }

  it('takes the example of the specification', () => {
    const id = verifyStandardWebhook({
      headers: {
        'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
        'webhook-timestamp': '1614265330',
        'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
      },
      body: Buffer.from('{"test": 2432232314}'),
      secrets: ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'],
      now: 1614265330_000,
    });
    should(id).equal('msg_p5jXN8AQM9LWM0D4loKWxJek');
  });

  it('takes a valid signature, by either of two secrets, with or without the prefix', () => {
    should(check(headers())).equal('msg_1');
    const other = `whsec_${randomBytes(32).toString('base64')}`;
    check(headers(), [other, secret]);
    check(headers(), [secret, undefined, other]);
    check(headers(), [key.toString('base64')]);
  });

  it('takes a list in which any signature fits, whatever else is in it', () => {
    const good = headers();
    const wrong = headers({ key: randomBytes(32) })['webhook-signature'];
    check({ ...good, 'webhook-signature': `v1a,AAAA v2,nonsense ${wrong} ${good['webhook-signature']}` });
    refused(() => check({ ...good, 'webhook-signature': `${wrong} ${wrong}` }));
    refused(() => check({ ...good, 'webhook-signature': good['webhook-signature'].replace('v1,', 'v2,') }));
  });

  it('refuses a missing or doubled header', () => {
    const good = headers();
    for (const name of ['webhook-id', 'webhook-timestamp', 'webhook-signature'] as const) {
      refused(() => check({ ...good, [name]: undefined }));
      refused(() => check({ ...good, [name]: '' }));
      refused(() => check({ ...good, [name]: [good[name], good[name]] }));
      refused(() => check({ ...good, [name]: `${good[name]}, ${good[name]}` }));
    }
  });

  it('signs id, time and body together', () => {
    const good = headers();
    refused(() => check({ ...good, 'webhook-id': 'msg_2' }));
    refused(() => check({ ...good, 'webhook-timestamp': String(at + 1) }));
    refused(() => check(headers({ body: Buffer.from('{}') })));
    refused(() => check(headers({ key: randomBytes(32) })));
  });

  it('takes five minutes of difference either way and no more', () => {
    for (const difference of [-300, 0, 300]) check(headers({ timestamp: at + difference }));
    for (const difference of [-301, 301, 86_400]) refused(() => check(headers({ timestamp: at + difference })));
    for (const timestamp of ['', 'now', `${at}.5`, `-${at}`, '1e9', `${at}000`, ' ']) {
      refused(() => check(headers({ timestamp })));
    }
  });

  it('refuses secrets that are empty or too short to be one', () => {
    const empty = headers({ key: Buffer.alloc(0) });
    for (const secrets of [[], [''], [undefined], ['whsec_'], ['whsec_YWJj'], ['$$$$']]) {
      refused(() => check(empty, secrets));
      refused(() => check(headers({ key: Buffer.from('abc') }), secrets));
    }
  });

  it('refuses anything random, and throws nothing else', () => {
    const header = fc.oneof(
      fc.string(),
      fc.array(fc.string()),
      fc.constant(undefined),
      fc.constant(`v1,${'A'.repeat(43)}=`),
    );
    fc.assert(
      fc.property(header, header, header, (id, timestamp, signature) => {
        refused(() => check({ 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature }));
      }),
      { numRuns: 200 },
    );
  });
});
