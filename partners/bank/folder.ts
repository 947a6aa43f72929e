import { createHash } from 'node:crypto';
import { lstat, mkdir, open, readdir, readFile, rename, stat, unlink } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { BusinessRefusal, ConfigurationMistake, DroplineError, InDoubt, TemporaryFault } from '../../orders/errors.ts';
import type { InboundFact } from '../adapter.ts';
import type { Writer } from '../write.ts';
import { decodeXml } from '../xml.ts';
import { statusReportKey } from './pain002.ts';

/**
 * Payment files in a folder that the bank's own program (or an SFTP mount) collects from.
 *
 * A file is handed over exactly once, whenever the process dies. Two steps, each of which the ledger records:
 * 1. `stage` puts the whole content on the disk, in a subfolder that nobody collects from.
 * 2. `hand-over` renames the staged file into the folder, in one atomic move.
 * After a crash between the move and its record, the staged file tells: it is there, so nothing was handed over; it is gone,
 * so it was, because nothing else takes it away. This holds only if nothing puts it back: a replay does not, because a
 * recorded `stage` answers from the ledger, and a process that wakes up too late in an old attempt writes under that
 * attempt's name, which no record leads to.
 */

const STAGING = '.dropline';
const READ = 'read';

/** Milliseconds without a change after which a status file counts as written to its end. */
const STABLE_AFTER = 2000;

const MOST_AT_ONCE = 50;

/** Larger files are cut: they are no report that can be read, and a person gets to see that. */
const MOST_BYTES = 10_000_001;

/** Hands `content()` over as `<msgId>.xml`. `msgId` is one of our own ids. */
export async function handOver(
  folder: string,
  msgId: string,
  content: () => string,
  summary: Record<string, string | number>,
  write: Writer,
): Promise<{ file: string }> {
  const file = `${msgId}.xml`;
  const staged = await write<{ staged: string; sha256: string }>({
    step: 'stage',
    summary,
    settle: 'idempotent',
    async send({ number }) {
      const bytes = Buffer.from(content(), 'utf8');
      return await explained(folder, async () => {
        const name = `${msgId}-${number}.xml`;
        await stage(absolute(folder), name, bytes);
        return { staged: name, sha256: sha256(bytes) };
      });
    },
  });
  return await write<{ file: string }>({
    step: 'hand-over',
    summary,
    settle: 'probe',
    find: () =>
      explained(folder, async () => {
        // Without the subfolder nothing can be told: the disk is perhaps not mounted.
        await stat(join(absolute(folder), STAGING));
        return (await exists(join(folder, STAGING, staged.staged))) ? undefined : { file };
      }),
    send: () => explained(folder, () => moveOut(absolute(folder), staged, file)),
  });
}

async function stage(folder: string, name: string, bytes: Buffer): Promise<void> {
  const staging = join(folder, STAGING);
  // Not recursive: a folder that is missing is not mounted, and a file in its place would reach nobody.
  await mkdir(staging, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  const temporary = join(staging, `${name}.part`);
  const handle = await open(temporary, 'w', 0o640);
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, join(staging, name));
  await syncFolder(staging);
}

async function moveOut(
  folder: string,
  staged: { staged: string; sha256: string },
  file: string,
): Promise<{ file: string }> {
  const from = join(folder, STAGING, staged.staged);
  const to = join(folder, file);
  await stat(join(folder, STAGING));
  if (!(await exists(from))) {
    // An attempt that was given up for dead has come to life and moved it first: the probe tells.
    throw new InDoubt('FILE_UNSURE', `The staged payment file ${staged.staged} is gone: it may have been handed over.`);
  }
  if (sha256(await readFile(from)) !== staged.sha256) {
    throw new BusinessRefusal(
      'FILE_CHANGED',
      `The payment file ${file} was changed after it was written. Find out by whom; then make a new run.`,
    );
  }
  // A rename would overwrite it without a word. Nobody else makes a file of this name between here and the rename.
  if (await exists(to)) {
    throw new BusinessRefusal(
      'FILE_EXISTS',
      `There is already a payment file ${file} in ${folder}. Find out where it comes from before anything is paid.`,
    );
  }
  await rename(from, to);
  try {
    await syncFolder(folder);
    await syncFolder(join(folder, STAGING));
  } catch (cause) {
    throw new InDoubt('FILE_UNSURE', `The payment file ${file} was handed over, but the disk reports a fault.`, {
      cause,
    });
  }
  return { file };
}

/** Makes the entries of a folder durable. Windows has no such call, and needs none. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * The status files that wait in a folder, oldest first. Every `*.xml` becomes a fact, whatever is in it: what cannot be read is
 * for a person to see. `done` moves the files into the subfolder `read`.
 */
export async function readStatusFolder(
  folder: string,
  now: number,
): Promise<{ facts: InboundFact<'payment-status'>[]; more: boolean; done: () => Promise<void> }> {
  return await explained(folder, async () => {
    const waiting: { name: string; changed: number }[] = [];
    for (const entry of await readdir(absolute(folder), { withFileTypes: true })) {
      if (!entry.isFile() || entry.name.startsWith('.') || !entry.name.toLowerCase().endsWith('.xml')) continue;
      const { mtimeMs } = await stat(join(folder, entry.name));
      if (mtimeMs + STABLE_AFTER <= now) waiting.push({ name: entry.name, changed: mtimeMs });
    }
    waiting.sort((a, b) => a.changed - b.changed || (a.name < b.name ? -1 : 1));
    const names = waiting.slice(0, MOST_AT_ONCE).map(({ name }) => name);
    const facts: InboundFact<'payment-status'>[] = [];
    for (const name of names) facts.push(factFrom(await readBeginning(join(folder, name))));
    return {
      facts,
      more: waiting.length > names.length,
      done: () => explained(folder, () => putAway(folder, names)),
    };
  });
}

function factFrom(bytes: Buffer): InboundFact<'payment-status'> {
  try {
    const xml = decodeXml(bytes);
    return { kind: 'payment-status', dedupeKey: statusReportKey(xml), body: xml };
  } catch (error) {
    if (!(error instanceof DroplineError)) throw error;
    // Kept as it is; reading it will say again what is wrong with it.
    return { kind: 'payment-status', dedupeKey: `report:unreadable:${sha256(bytes)}`, body: bytes.toString('latin1') };
  }
}

async function readBeginning(path: string): Promise<Buffer> {
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    const buffer = Buffer.alloc(Math.min(size, MOST_BYTES));
    let length = 0;
    while (length < buffer.length) {
      const { bytesRead } = await handle.read(buffer, length, buffer.length - length, length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return buffer.subarray(0, length);
  } finally {
    await handle.close();
  }
}

/** A file of the same name that was read before keeps its place. */
async function putAway(folder: string, names: string[]): Promise<void> {
  await mkdir(join(folder, READ), { recursive: true });
  for (const name of names) {
    let target = join(folder, READ, name);
    for (let count = 2; await exists(target); count++) target = join(folder, READ, `${count}-${name}`);
    await rename(join(folder, name), target);
  }
}

/** Whether files can be put into the folder and taken from it; throws what to do otherwise. */
export async function tryFolder(folder: string): Promise<void> {
  await explained(folder, async () => {
    const name = 'connection-test.txt';
    await stage(absolute(folder), name, Buffer.from('Made by "Test connection". It can be deleted.\n'));
    await unlink(join(folder, STAGING, name));
  });
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

function absolute(folder: string): string {
  if (!isAbsolute(folder)) {
    throw new ConfigurationMistake(
      'FOLDER_INVALID',
      `"${folder}" is not the full path of a folder. Enter it from the root.`,
    );
  }
  return folder;
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Runs work on the folder and says what its failure means: before the rename nothing has happened. */
async function explained<Result>(folder: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (thrown) {
    if (thrown instanceof DroplineError) throw thrown;
    const code = (thrown as NodeJS.ErrnoException).code ?? '';
    const options = { cause: thrown };
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw new ConfigurationMistake(
        'FOLDER_MISSING',
        `The folder ${folder} or a file in it is not there. Check the path, and that the disk is mounted.`,
        options,
      );
    }
    if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
      throw new ConfigurationMistake(
        'RIGHTS_MISSING',
        `Node-RED may not write in ${folder}. Give its user the right to.`,
        options,
      );
    }
    if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'EMFILE') {
      throw new TemporaryFault(
        'FOLDER_FULL',
        `${folder} takes no files now (${code}). Make room on the disk.`,
        options,
      );
    }
    throw new InDoubt('FOLDER_FAULT', `Work in ${folder} failed (${code || String(thrown)}).`, options);
  }
}
