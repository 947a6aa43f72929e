import { PARTNERS, startSandbox } from './index.ts';

/**
 * `npm run sandbox`: the pretend partners until Ctrl+C. Options by environment: SANDBOX_PORT (first of six ports, 4010), SANDBOX_STATE (a file
 * that brings everything back after a restart), SANDBOX_BANK_FOLDER and SANDBOX_BANK_STATUS_FOLDER (payment files and status reports), and
 * DROPLINE_URL (where webhooks and callbacks go, http://127.0.0.1:1880).
 */
const {
  SANDBOX_PORT,
  SANDBOX_STATE,
  SANDBOX_BANK_FOLDER: folder,
  SANDBOX_BANK_STATUS_FOLDER: statusFolder,
  DROPLINE_URL: url = 'http://127.0.0.1:1880',
} = process.env;

const sandbox = await startSandbox({
  port: Number(SANDBOX_PORT ?? 4010),
  ...(SANDBOX_STATE ? { stateFile: SANDBOX_STATE } : {}),
  dropline: { url },
  bank: { ...(folder ? { folder } : {}), ...(statusFolder ? { statusFolder } : {}) },
});

console.log(`The sandbox calls Dropline at ${url}. These secrets are fakes, the same for everybody.\n`);
for (const name of PARTNERS) {
  console.log(`${name.padEnd(8)} ${sandbox.urls[name]}`);
  for (const [key, value] of Object.entries(sandbox.keys[name]))
    console.log(`${' '.repeat(9)}${key.padEnd(15)} ${value}`);
}
console.log(
  `\nOrder something at ${sandbox.urls.shop}/ and see what happened at ${sandbox.urls.shop}/__sandbox/effects. Ctrl+C ends it.`,
);

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    void sandbox.close().then(() => process.exit(0));
  });
}
