import { BusinessRefusal, ConfigurationMistake } from '../../orders/errors.ts';
import { describeMoney } from '../../orders/money.ts';
import { runContentHash, type PaymentRun } from '../../orders/payment.ts';
import type { AdapterSettings, AdapterTools } from '../adapter.ts';
import { settleTime, textOption, webhookSecrets } from '../settings.ts';
import { verifyHmac } from '../signature.ts';
import { decodeXml } from '../xml.ts';
import { handOver, readStatusFolder, tryFolder } from './folder.ts';
import { writePain001, type FileSettings } from './pain001.ts';
import { readPain002, statusReportKey } from './pain002.ts';
import type { Bank } from './port.ts';
import { postFile, tryBank } from './post.ts';

/** Renaming a file has happened, or not, as soon as the process is gone. */
const FOLDER_SETTLE_TIME = 1000;

/** A bank that takes pain.001 files from a folder (the base URL) and puts pain.002 files into another (option `statusFolder`). */
export function createIsoFolder(settings: AdapterSettings, tools: AdapterTools): Bank {
  const folder = settings.baseUrl;
  const statusFolder = textOption(settings, 'statusFolder');
  return {
    ...common(settings),
    product: 'iso20022-folder',
    settleTime: settings.options['settleSeconds'] === undefined ? FOLDER_SETTLE_TIME : settleTime(settings),

    testConnection: () =>
      tested(settings, async () => {
        await tryFolder(folder);
        if (statusFolder !== undefined) await readStatusFolder(statusFolder, tools.now());
        return `Payment files can be put into ${folder}.`;
      }),

    async submit(run, write) {
      return await handOver(folder, checkedId(run), () => approvedFile(run, settings), summary(run), write);
    },

    ...(statusFolder === undefined
      ? {}
      : {
          async poll(cursor) {
            return { cursor: cursor ?? '', ...(await readStatusFolder(statusFolder, tools.now())) };
          },
        }),
  };
}

/** A bank that takes pain.001 files by HTTP and posts pain.002 files to us. */
export function createIsoHttp(settings: AdapterSettings, tools: AdapterTools): Bank {
  return {
    ...common(settings),
    product: 'iso20022-http',
    settleTime: settleTime(settings),

    testConnection: () =>
      tested(settings, async () => {
        await tryBank(settings, tools);
        return `${settings.reference} answers and accepts the API key.`;
      }),

    async submit(run, write) {
      return await postFile(settings, tools, checkedId(run), () => approvedFile(run, settings), summary(run), write);
    },
  };
}

/** What does not depend on the way that files go. */
function common(settings: AdapterSettings): Pick<Bank, 'check' | 'receive' | 'readStatus'> {
  return {
    check(run) {
      writePain001(run, fileSettings(settings));
    },

    receive({ headers, body }) {
      verifyHmac({ body, header: headers['x-signature'], secrets: webhookSecrets(settings), encoding: 'hex' });
      const xml = decodeXml(body);
      return [{ kind: 'payment-status', dedupeKey: statusReportKey(xml), body: xml }];
    },

    readStatus(body) {
      if (typeof body !== 'string') {
        throw new BusinessRefusal(
          'STATUS_UNREADABLE',
          'A payment status report is XML text. Look at what the bank sent.',
        );
      }
      return readPain002(body);
    },
  };
}

/** The file, if the run is what was approved: the last look before money moves. */
function approvedFile(run: PaymentRun, settings: AdapterSettings): string {
  const approvers = new Set(run.approvals.map(({ by }) => by)).size;
  const isApproved = (run.state === 'approved' || run.state === 'sent') && approvers >= run.approvalsNeeded;
  if (!isApproved || runContentHash(run) !== run.contentHash) {
    throw new BusinessRefusal(
      'NOT_APPROVED',
      `The payment run ${run.id} is not approved as it is now. Have it approved, or make a new one.`,
    );
  }
  if (run.account !== settings.reference) {
    throw new BusinessRefusal(
      'WRONG_ACCOUNT',
      `The payment run ${run.id} was approved for the account ${run.account}, not for ${settings.reference}. Send it there.`,
    );
  }
  return writePain001(run, fileSettings(settings));
}

/** The id becomes a file name and part of an address: nothing but what our own ids are made of. */
function checkedId(run: PaymentRun): string {
  if (!/^[A-Za-z0-9-]{1,30}$/.test(run.id)) {
    throw new BusinessRefusal('RUN_INVALID', 'The payment run has no usable id. Make a new run.');
  }
  return run.id;
}

function summary(run: PaymentRun): Record<string, string | number> {
  return { messageId: run.id, payments: run.payments.length, total: describeMoney(run.total) };
}

/** @throws ConfigurationMistake `ACCOUNT_INCOMPLETE`, `SCHEMA_UNKNOWN` */
function fileSettings(settings: AdapterSettings): FileSettings {
  const option = (name: string): string | undefined => textOption(settings, name);
  const schema = option('schema') ?? 'pain.001.001.09';
  const characterSet = option('characterSet') ?? 'sepa';
  if (schema !== 'pain.001.001.09' || (characterSet !== 'sepa' && characterSet !== 'utf8')) {
    throw new ConfigurationMistake(
      'SCHEMA_UNKNOWN',
      `${settings.reference} asks for ${schema} in ${characterSet}, which Dropline does not write. Choose pain.001.001.09, and sepa or utf8.`,
    );
  }
  const [name, iban, city, country] = [option('accountName'), option('iban'), option('city'), option('country')];
  if (name === undefined || iban === undefined || (city === undefined) !== (country === undefined)) {
    throw new ConfigurationMistake(
      'ACCOUNT_INCOMPLETE',
      `The bank account ${settings.reference} wants the account's name and IBAN, and city and country together. Enter them in its config node.`,
    );
  }
  const [bic, postalCode] = [option('bic'), option('postalCode')];
  const [accountCurrency, buildingNumber] = [option('currency'), option('buildingNumber')];
  return {
    account: {
      name,
      iban,
      ...(bic === undefined ? {} : { bic }),
      ...(city === undefined || country === undefined
        ? {}
        : {
            address: {
              name,
              street: option('street') ?? '',
              ...(postalCode === undefined ? {} : { postalCode }),
              city,
              country,
            },
          }),
    },
    ...(accountCurrency === undefined ? {} : { accountCurrency }),
    ...(buildingNumber === undefined ? {} : { buildingNumber }),
    characterSet,
  };
}

async function tested(
  settings: AdapterSettings,
  test: () => Promise<string>,
): Promise<{ ok: boolean; message: string }> {
  try {
    fileSettings(settings);
    return { ok: true, message: await test() };
  } catch (error) {
    return { ok: false, message: error instanceof Error ? error.message : String(error) };
  }
}
