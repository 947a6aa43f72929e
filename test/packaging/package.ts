import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

export const ROOT = join(import.meta.dirname, '..', '..');

interface Manifest {
  name: string;
  version: string;
  license?: string;
  keywords?: string[];
  repository?: { url: string };
  bugs?: { url: string };
  engines?: { node: string };
  dependencies: Record<string, string>;
  optionalDependencies?: Record<string, string>;
  peerDependencies?: Record<string, string>;
  devDependencies: Record<string, string>;
  'node-red': { version: string; nodes: Record<string, string> };
}

export function readJson<T>(...path: string[]): T {
  return JSON.parse(readFileSync(join(ROOT, ...path), 'utf8')) as T;
}

export const manifest = readJson<Manifest>('package.json');

export interface Packed {
  filename: string;
  files: { path: string }[];
}

/**
 * `npm pack` of what is built: the tarball in `folder`, or only the list of what would be in it.
 * It does not build again, because other tests run on `dist` at the same time.
 */
export async function pack(folder?: string): Promise<Packed> {
  const args = ['pack', '--json', '--ignore-scripts', ...(folder ? ['--pack-destination', folder] : ['--dry-run'])];
  const { stdout } = await promisify(execFile)('npm', args, { cwd: ROOT, maxBuffer: 16 * 1024 * 1024 });
  const [packed] = JSON.parse(stdout) as Packed[];
  if (!packed) throw new Error(`npm pack packed nothing: ${stdout}`);
  return packed;
}
