// A model host for the tests of `tollgate pull`: files with ranges, entity tags and faults, and the
// program run beside it.
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';
import { after } from 'node:test';
import { slow, tempDir } from './lib.mjs';

// Hosts that a failed test left.
const living = new Set();
after(() => Promise.all([...living].map((host) => host.stop())));

export const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

// Something that begins as a GGUF file does.
export function model(bytes = 1 << 20) {
  return Buffer.concat([Buffer.from('GGUF'), randomBytes(bytes - 4)]);
}

// Answers one request for `body` as a good server does, but for the faults that are asked for:
//   etag, modified   validators; ranges false: Range is ignored
//   cut              bytes of the answer's body after which the connection is dropped
//   hang             bytes after which nothing more comes
//   length           Content-Length that is told (lie); chunked true: none is
//   headers          more of them
export function sendFile(req, res, body, o = {}) {
  const range = /^bytes=(\d+)-$/.exec(req.headers.range ?? '');
  const validator = o.etag ?? o.modified;
  const stale = req.headers['if-range'] && req.headers['if-range'] !== validator;
  const headers = { ...(o.etag && { etag: o.etag }), ...o.headers };
  if (o.modified) headers['last-modified'] = o.modified;
  let from = 0;
  let status = 200;
  if (range && (o.ranges ?? true) && !stale) {
    from = Number(range[1]);
    if (from >= body.length) {
      res.writeHead(416, { 'content-range': `bytes */${body.length}` });
      res.end();
      return;
    }
    status = 206;
    headers['content-range'] = `bytes ${from}-${body.length - 1}/${o.total ?? body.length}`;
  }
  if (!o.chunked) headers['content-length'] = o.length ?? body.length - from;
  res.writeHead(status, headers);
  if (req.method === 'HEAD') {
    res.end();
    return;
  }
  const end = Math.min(o.cut ?? o.hang ?? Infinity, body.length - from);
  const part = body.subarray(from, from + end);
  if (o.cut !== undefined && end === o.cut) res.write(part, () => req.socket.destroy());
  else if (o.hang !== undefined && end === o.hang) res.write(part);
  else if (o.length !== undefined) res.write(part, () => req.socket.end());
  else res.end(part);
}

// A server whose answers `answer(req, res, n)` gives (n: requests of this path so far); .seen has
// what was asked.
export async function startHost(answer, tls) {
  const seen = [];
  const counts = new Map();
  const listener = (req, res) => {
    const key = `${req.method} ${req.url}`;
    const n = counts.get(key) ?? 0;
    counts.set(key, n + 1);
    seen.push({ method: req.method, url: req.url, headers: req.headers });
    answer(req, res, n);
  };
  const server = tls ? https.createServer(tls, listener) : http.createServer(listener);
  server.on('tlsClientError', () => {});
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address();
  const host = {
    seen,
    port,
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    gets: () => seen.filter((r) => r.method === 'GET'),
    stop: () => {
      living.delete(host);
      server.closeAllConnections();
      return new Promise((done) => server.close(done));
    },
  };
  living.add(host);
  return host;
}

// A host that keeps a file's size and hash and redirects to where its bytes are, as the catalogue's
// does. linked: what it tells of `file()`; cdn: answers for the bytes.
export async function startHub(file, { linked = {}, cdn: answerCdn, hub: before } = {}) {
  const cdn = await startHost(
    answerCdn ?? ((req, res) => sendFile(req, res, file(), { etag: '"cdn"' })),
  );
  const hub = await startHost((req, res, n) => {
    if (before?.(req, res, n)) return;
    const body = file();
    res.writeHead(302, {
      location: `${cdn.url}/bytes?signature=secret`,
      'x-linked-size': linked.size ?? body.length,
      'x-linked-etag': `"${linked.sha256 ?? sha256(body)}"`,
    });
    res.end('Found');
  });
  return { hub, cdn, url: hub.url, stop: () => Promise.all([hub.stop(), cdn.stop()]) };
}

// Starts `tollgate pull`; .done resolves to { code, signal, out, err }.
export function startPull(args, { env = {}, uid, shell } = {}) {
  const program = process.env.TOLLGATE_BIN;
  const child = spawn(shell ? 'sh' : program, shell ? ['-c', shell, program, ...args] : args, {
    env: { ...process.env, HF_TOKEN: '', no_proxy: '*', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(uid !== undefined && { uid, gid: uid }),
  });
  const run = { child, out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => (run.out += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (run.err += text));
  run.done = new Promise((done, failed) => {
    const late = setTimeout(() => child.kill('SIGKILL'), 60000 * slow);
    child.on('error', failed);
    child.on('close', (code, signal) => {
      clearTimeout(late);
      done({ code, signal, out: run.out, err: run.err });
    });
  });
  return run;
}

export const pull = (args, options) => startPull(['pull', ...args], options).done;

// The files of a download in dir.
export function filesOf(dir, name) {
  const file = path.join(dir, name);
  return {
    file,
    part: `${file}.part`,
    json: `${file}.json`,
    body: () => (existsSync(file) ? readFileSync(file) : null),
    partSize: () => (existsSync(`${file}.part`) ? readFileSync(`${file}.part`).length : null),
    state: () => (existsSync(`${file}.json`) ? JSON.parse(readFileSync(`${file}.json`)) : null),
  };
}

// A folder of its own and what `pull --url HOST/m.gguf` leaves in it.
export async function place(name = 'm.gguf') {
  const dir = await tempDir();
  return { dir, ...filesOf(dir, name) };
}
