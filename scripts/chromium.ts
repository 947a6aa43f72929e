import { execFileSync } from 'node:child_process';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium, type Browser } from 'playwright-core';

/** What the browser is called, by system and package. */
const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome', 'microsoft-edge'];
const PLACES = [
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
];

/** Where the one of the npm package is unpacked. */
const UNPACKED = join(dirname(fileURLToPath(import.meta.url)), '..', '.build', 'chromium');

/**
 * A Chromium: `CHROMIUM=/path`, /usr/bin/chromium or one of the usual names, otherwise that of the package `@sparticuz/chromium` (Linux on
 * x64), which is unpacked once. Undefined: there is none.
 */
export function findChromium(): string | undefined {
  const chosen = process.env['CHROMIUM'];
  if (chosen) return chosen;
  const folders = ['/usr/bin', ...(process.env['PATH'] ?? '').split(delimiter)].filter(Boolean);
  const candidates = [...NAMES.flatMap((name) => folders.map((folder) => join(folder, name))), ...PLACES];
  return candidates.find(isExecutable) ?? packagedChromium();
}

/** Without a window, and without asking anything of the internet. */
export function launchChromium(executablePath: string): Promise<Browser> {
  return chromium.launch({
    executablePath,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
    ...(executablePath.startsWith(UNPACKED) ? { env: surroundings(dirname(executablePath)) } : {}),
  });
}

/** The package brings the libraries and the font that a machine without any browser lacks. */
function surroundings(folder: string): Record<string, string> {
  const env = Object.fromEntries(
    Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
  const libraries = [join(folder, 'al2023', 'lib'), env['LD_LIBRARY_PATH']].filter(Boolean);
  return { ...env, LD_LIBRARY_PATH: libraries.join(delimiter), FONTCONFIG_PATH: join(folder, 'fonts') };
}

function packagedChromium(): string | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64') return undefined;
  const version = packagedVersion();
  if (version === undefined) return undefined;
  const folder = join(UNPACKED, version);
  const executable = join(folder, 'chromium');
  if (!isExecutable(executable)) {
    try {
      unpack(folder);
    } catch (error) {
      process.stderr.write(`The Chromium of @sparticuz/chromium could not be unpacked: ${String(error)}\n`);
      return undefined;
    }
  }
  return executable;
}

/** The package tells nobody its package.json, so it is found beside its code. */
function packagedVersion(): string | undefined {
  try {
    const entry = createRequire(import.meta.url).resolve('@sparticuz/chromium');
    const { version } = JSON.parse(readFileSync(join(dirname(entry), '..', 'package.json'), 'utf8')) as {
      version: string;
    };
    return version;
  } catch {
    // It is not installed.
    return undefined;
  }
}

/**
 * The package unpacks into the system's temporary folder, under a name that anybody there could take first: so it is given a folder of ours, in a
 * process of its own. The variable has it unpack the libraries (NSS) as well.
 */
function unpack(folder: string): void {
  mkdirSync(UNPACKED, { recursive: true });
  const partial = mkdtempSync(join(UNPACKED, 'partial-'));
  try {
    const script = `const { default: chromium } = await import('@sparticuz/chromium'); await chromium.executablePath();`;
    execFileSync(process.execPath, ['--input-type=module', '--eval', script], {
      cwd: dirname(UNPACKED),
      env: { ...process.env, TMPDIR: partial, AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x' },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    writeFileSync(join(partial, 'fonts', 'fonts.conf'), fontsConf(join(folder, 'fonts')));
    if (!existsSync(folder)) renameSync(partial, folder);
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
}

/** The package's own names folders of the service that it is made for. */
function fontsConf(folder: string): string {
  return `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>${folder}</dir>
  <dir>/usr/share/fonts</dir>
  <cachedir>${folder}-cache</cachedir>
</fontconfig>
`;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
