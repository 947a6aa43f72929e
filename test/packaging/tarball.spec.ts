import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import should from 'should';
import type { FlowNode } from '../../scripts/examples.ts';
import { startNodeRed, type NodeRed } from '../../scripts/node-red.ts';
import { manifest, pack } from './package.ts';

const TYPES = Object.keys(manifest['node-red'].nodes);
/** Seconds that npm may take to fetch the dependencies. */
const PATIENCE = 90;

for (const line of ['node-red', 'node-red-4']) {
  const { version } = createRequire(import.meta.url)(`${line}/package.json`) as { version: string };

  describe(`the packed package in an empty Node-RED ${version}`, function () {
    this.timeout(PATIENCE * 1000);
    let folder: string;
    let red: NodeRed;

    before(async () => {
      folder = mkdtempSync(join(tmpdir(), 'dropline-tarball-'));
      const { filename } = await pack(folder);
      red = await startNodeRed({
        userDir: join(folder, 'user'),
        port: await freePort(),
        red: createRequire(import.meta.url).resolve(`${line}/red.js`),
        link: false,
        // The tarballs that the lock file brought are in npm's cache.
        env: { npm_config_prefer_offline: 'true' },
      });
      await upload(red, join(folder, filename));
    });

    after(async () => {
      await red?.stop();
      if (folder) rmSync(folder, { recursive: true, force: true });
    });

    const log = () => readFileSync(join(folder, 'user', 'node-red.log'), 'utf8');
    /** As the editor asks: Node-RED answers in JSON or in HTML. */
    const ask = async (path: string, accept = 'application/json') => {
      const response = await fetch(`${red.url}/${path}`, { headers: { accept } });
      should(response.status).equal(200, path);
      return response.text();
    };

    it('is installed by the palette manager, and each node is there without an error', async () => {
      interface NodeSet {
        module: string;
        name: string;
        types: string[];
        enabled: boolean;
        err?: string;
      }
      const sets = (JSON.parse(await ask('nodes')) as NodeSet[]).filter(({ module }) => module === manifest.name);
      should(sets.flatMap(({ err }) => err ?? [])).deepEqual([]);
      should(sets.every(({ enabled }) => enabled)).equal(true);
      should(sets.flatMap(({ types }) => types).sort()).deepEqual([...TYPES].sort());
    });

    it('serves the page and the help of each node, and the code that they share', async () => {
      for (const type of TYPES) {
        const page = await ask(`nodes/${manifest.name}/${type}`, 'text/html');
        for (const part of [`registerType('${type}'`, `data-template-name="${type}"`, `data-help-name="${type}"`]) {
          should(page.includes(part)).equal(true, part);
        }
      }
      should(await ask(`resources/${manifest.name}/dropship-editor.js`, '*/*')).containEql('dropship');
    });

    it('serves the texts of each node', async () => {
      const catalogues = JSON.parse(await ask('nodes/messages?lng=en-US')) as Record<string, { title?: object }>;
      const without = TYPES.filter((type) => !catalogues[`${manifest.name}/${type}`]?.title);
      should(without).deepEqual([]);
    });

    it('serves each icon that a node names', async () => {
      const pages = await ask('nodes', 'text/html');
      const icons = new Set([...pages.matchAll(/icon: ["'](dropship-[\w-]+\.svg)["']/g)].map(([, name = '']) => name));
      should(icons.size).be.above(10);
      for (const name of icons) should(await ask(`icons/${manifest.name}/${name}`, '*/*')).containEql('<svg');
    });

    it('offers its examples, and each of them starts without an error', async () => {
      const examples = await examplesIn(red, manifest.name);
      should(examples.length).be.above(2);
      for (const example of examples) {
        const flow = await red.get<FlowNode[]>(`/library/examples/flows/${example}`);
        const before = log().length;
        await red.deploy(flow);
        await started(() => log().slice(before));
        const complaints = log()
          .slice(before)
          .split('\n')
          .filter((text) => /\[(error|fatal)\]|missing types/i.test(text));
        should(complaints).deepEqual([], example);
        should((await red.get<FlowNode[]>('/flows')).map(({ id }) => id).sort()).deepEqual(
          flow.map(({ id }) => id).sort(),
        );
      }
    });

    it('stops when it is asked to', async () => {
      const asked = Date.now();
      await red.stop();
      should(await red.exited).equal(0);
      should(Date.now() - asked).be.below(14_000);
    });
  });
}

/** The files of a folder of the Import menu, and of the folders in it. */
async function examplesIn(red: NodeRed, folder: string): Promise<string[]> {
  const entries = await red.get<(string | { fn: string })[]>(`/library/examples/flows/${folder}`);
  const files: string[] = [];
  for (const entry of entries) {
    if (typeof entry === 'string') files.push(...(await examplesIn(red, `${folder}/${entry}`)));
    else files.push(`${folder}/${entry.fn}`);
  }
  return files;
}

/** What the button "upload module tgz file" of the palette manager does. */
async function upload(red: NodeRed, tarball: string): Promise<void> {
  const form = new FormData();
  form.set('tarball', new Blob([readFileSync(tarball)]), tarball);
  const response = await fetch(`${red.url}/nodes`, { method: 'POST', body: form });
  should(response.status).equal(200, await response.text());
}

/** The flows run, and what they begin with (ledger, partners) has had a moment to fail. */
async function started(log: () => string): Promise<void> {
  for (let tries = 0; tries < 100 && !log().includes('Started'); tries += 1) await delay(100);
  await delay(500);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
