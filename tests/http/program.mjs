// The real program on a temporary data folder, requests to it, an SSE reader, and rows of its
// databases. Outside of node's test runner call endAll() at the end; in it lib.mjs does.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
// A build under a sanitizer is this many times slower than its limits allow for.
export const slow = Number(process.env.TOLLGATE_SLOW ?? 1);
// Under TSan each start takes a second, and what differs only within the loop's thread is left to
// ASan: the first n of a list of such cases.
export const fewUnderTsan = (list, n) =>
  process.env.TOLLGATE_SANITIZER === 'thread' ? list.slice(0, n) : list;

// What is left at the end: gateways and folders of everything that ran, or of what failed.
const living = new Set();
const folders = new Set();
export async function endAll() {
  await Promise.all([...living].map((gateway) => gateway.stop('SIGTERM', 5000)));
  await Promise.all([...folders].map((dir) => rm(dir, { recursive: true, force: true })));
}

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
export const now = () => performance.timeOrigin + performance.now();

// The first true value of check(), asked every few milliseconds; an error names what was awaited.
export async function waitFor(check, { ms = 5000, what = String(check) } = {}) {
  const until = now() + ms * slow;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (now() > until) throw new Error(`waited ${ms} ms for ${what}`);
    await sleep(5);
  }
}

export async function tempDir() {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'tollgate-test-'));
  folders.add(dir);
  return dir;
}

class Gateway {
  constructor(child, dir, ownsDir) {
    Object.assign(this, { child, dataDir: dir, ownsDir, stderr: '', stdout: '', exit: null });
    child.stderr.setEncoding('utf8').on('data', (text) => {
      this.stderr += text;
    });
    child.stdout.setEncoding('utf8').on('data', (text) => {
      this.stdout += text;
    });
    living.add(this);
    this.ended = new Promise((done) => {
      child.on('close', (code, signal) => {
        living.delete(this);
        done((this.exit = { code, signal }));
      });
      child.on('error', (cause) => {
        this.stderr += String(cause);
        done((this.exit = { code: -1, signal: null }));
      });
    });
  }
  // The log so far, one object a line.
  log() {
    return this.stderr
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => {
        try {
          return JSON.parse(line);
        } catch {
          return { event: 'unreadable', text: line };
        }
      });
  }
  async ready(ms) {
    await waitFor(() => this.exit || this.log().some((e) => e.event === 'listening'), {
      ms,
      what: 'the gateway to listen',
    });
    if (this.exit) throw new Error(`the gateway ended with ${this.exit.code}:\n${this.stderr}`);
    this.port = Number(/:(\d+)$/.exec(this.log().find((e) => e.event === 'listening').text)[1]);
    this.url = `http://127.0.0.1:${this.port}`;
  }
  signal(name) {
    this.child.kill(name);
  }
  // Ends it in good order; kill ends it as a crash would. Both resolve to { code, signal }.
  async stop(name = 'SIGTERM', ms = 40000 * slow) {
    if (!this.exit) this.child.kill(name);
    const late = setTimeout(() => this.child.kill('SIGKILL'), ms);
    const exit = await this.ended;
    clearTimeout(late);
    if (name === 'SIGTERM' && exit.code !== 0)
      throw new Error(`the gateway ended with ${exit.code ?? exit.signal}:\n${this.stderr}`);
    if (this.ownsDir) await rm(this.dataDir, { recursive: true, force: true });
    return exit;
  }
  async kill() {
    this.child.kill('SIGKILL');
    return this.ended;
  }
  post(body, options = {}) {
    return request(this.port, { method: 'POST', path: '/v1/chat/completions', body, ...options });
  }
  get(target, options = {}) {
    return request(this.port, { path: target, ...options });
  }
  rows(file, sql) {
    return rows(this.dataDir, file, sql);
  }
}

// Starts `tollgate serve` and waits until it listens. config: an object (dataDir is added) or a
// path. dataDir: kept by stop() when given, else a temporary one. wait: false returns at once.
export async function startGateway({
  config,
  dataDir,
  env = {},
  binary,
  args = [],
  wait = true,
  ms = 60000,
} = {}) {
  const program = binary ?? process.env.TOLLGATE_BIN;
  assert.ok(program, 'TOLLGATE_BIN must name the tollgate program');
  const dir = dataDir ?? (await tempDir());
  let file = config;
  if (typeof config === 'object') {
    file = path.join(dir, 'config.json');
    await writeFile(file, JSON.stringify({ dataDir: dir, ...config }));
  }
  const child = spawn(program, ['serve', '--config', file, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const gateway = new Gateway(child, dir, dataDir === undefined);
  gateway.configFile = file;
  if (!wait) return gateway;
  try {
    await gateway.ready(ms);
  } catch (cause) {
    await gateway.stop('SIGKILL');
    throw cause;
  }
  return gateway;
}

// One request on a connection of its own: { status, headers, text, json }. body: an object or text.
export function request(
  port,
  {
    method = 'GET',
    path: target = '/',
    body,
    headers = {},
    ms = 60000,
    signal,
    agent = false,
  } = {},
) {
  return new Promise((done, failed) => {
    const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
    const all = { ...(text !== undefined && { 'content-type': 'application/json' }), ...headers };
    const rq = http.request({
      host: '127.0.0.1',
      port,
      method,
      path: target,
      headers: all,
      signal,
      agent,
      timeout: ms,
    });
    rq.on('timeout', () => rq.destroy(new Error(`no answer in ${ms} ms`)));
    rq.on('error', failed);
    rq.on('response', (res) => {
      let got = '';
      res.setEncoding('utf8').on('data', (part) => {
        got += part;
      });
      res.on('error', failed);
      res.on('end', () => {
        let json;
        try {
          json = JSON.parse(got);
        } catch {
          /* not JSON */
        }
        done({ status: res.statusCode, headers: res.headers, text: got, json });
      });
    });
    rq.end(text);
  });
}

// The events of an SSE text: [{ event, data, json }], and its comment lines.
export function readSse(text) {
  const events = [],
    comments = [];
  let event = { data: [] };
  for (const line of text.split(/\r\n|\n|\r/)) {
    if (line === '') {
      if (event.data.length) {
        const data = event.data.join('\n');
        let json;
        try {
          json = JSON.parse(data);
        } catch {
          /* [DONE] */
        }
        events.push({ event: event.event, data, json });
      }
      event = { data: [] };
    } else if (line.startsWith(':')) {
      comments.push(line.slice(1).trim());
    } else {
      const at = line.indexOf(':');
      const name = at < 0 ? line : line.slice(0, at);
      const value = at < 0 ? '' : line.slice(at + 1).replace(/^ /, '');
      if (name === 'data') event.data.push(value);
      else if (name === 'event') event.event = value;
    }
  }
  return { events, comments };
}

// Rows of dataDir/file as objects, by the sqlite3 program, which opens the file read-only.
export function rows(dataDir, file, sql) {
  return new Promise((done, failed) => {
    execFile(
      'sqlite3',
      ['-readonly', '-json', '-cmd', '.timeout 5000', path.join(dataDir, file), sql],
      { maxBuffer: 64 << 20 },
      (cause, stdout, stderr) => {
        if (cause) failed(new Error(`sqlite3 ${file}: ${stderr || cause.message}`));
        else done(stdout.trim() ? JSON.parse(stdout) : []);
      },
    );
  });
}
