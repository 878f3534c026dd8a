// `tollgate pull`: what it fetches, how it goes on after every kind of interruption, and what it
// leaves. Wrong answers and hostile hosts are in pull_bad.test.mjs.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import {
  filesOf,
  model,
  place,
  pull,
  sendFile,
  sha256,
  startHost,
  startHub,
  startPull,
} from './file_host.mjs';
import { tempDir, waitFor } from './lib.mjs';

const name = 'gemma-4-E2B_q4_0-it.gguf';

test('a model of the catalogue: redirected, checked, in place; who gets the token', async () => {
  const body = model();
  const h = await startHub(() => body);
  const home = await tempDir();
  const env = { XDG_DATA_HOME: home, HF_TOKEN: 'hf_secret_of_the_test' };
  const r = await pull(['gemma-4-e2b-it', '--url', `${h.url}/`], { env });
  assert.equal(r.code, 0, r.err);
  const f = filesOf(path.join(home, 'tollgate/models'), name);
  assert.deepEqual(f.body(), body);
  assert.equal(f.partSize(), null);
  const state = f.state();
  assert.equal(
    state.url,
    `${h.url}/google/gemma-4-E2B-it-qat-q4_0-gguf/resolve/main/gemma-4-E2B_q4_0-it.gguf`,
  );
  assert.equal(state.sha256, sha256(body));
  assert.equal(state.size, body.length);
  assert.ok(state.complete && state.checked);
  assert.match(state.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  assert.equal(r.out.split('\n')[0], f.file);
  assert.match(r.out, /"engine": \{ "model": "gemma-4-E2B_q4_0-it\.gguf" \}/);
  assert.match(r.err, new RegExp(`SHA-256 is right: ${sha256(body)}`));
  assert.doesNotMatch(r.err + r.out, /hf_secret|signature/);
  for (const q of h.hub.seen)
    assert.equal(q.headers.authorization, 'Bearer hf_secret_of_the_test');
  assert.ok(h.cdn.seen.length > 0);
  for (const q of h.cdn.seen) assert.equal(q.headers.authorization, undefined);

  const again = h.hub.seen.length;
  const second = await pull(['gemma-4-e2b-it', '--url', h.url], { env });
  assert.equal(second.code, 0, second.err);
  assert.match(second.err, /there already; nothing was fetched/);
  assert.equal(h.hub.seen.length, again, 'nothing is asked for what is there');
  await h.stop();
});

test('modelDir of a configuration whose model is not there yet; --dir; --quiet', async () => {
  const body = model();
  const h = await startHub(() => body);
  const dir = await tempDir();
  writeFileSync(
    path.join(dir, 'c.json'),
    JSON.stringify({ modelDir: 'sub/models', engine: { model: name } }),
  );
  const config = path.join(dir, 'c.json');
  const r = await pull(['gemma-4-e2b-it:Q4_0', '--url', h.url, '--config', config, '--quiet']);
  assert.equal(r.code, 0, r.err);
  assert.equal(r.out, `${path.join(dir, 'sub/models', name)}\n`);
  assert.equal(r.err, '');
  const other = path.join(dir, 'else');
  const s = await pull(['some/Repo/deep/x.gguf', '--url', h.url, '--dir', other]);
  assert.equal(s.code, 0, s.err);
  assert.ok(h.hub.seen.some((q) => q.url === '/some/Repo/resolve/main/deep/x.gguf'));
  assert.match(s.out, new RegExp(`"model": "${other}/x\\.gguf"`));
  await h.stop();
});

test('a connection that drops at random points: every byte once, in ranges', async () => {
  const body = model(3 << 20);
  const cuts = Array.from({ length: 6 }, () => 1 + Math.floor(Math.random() * 500000));
  const host = await startHost((req, res, n) =>
    sendFile(req, res, body, {
      etag: '"one"',
      cut: req.method === 'GET' ? cuts[n] : undefined,
    }),
  );
  const at = await place();
  const hash = ['--sha256', sha256(body)];
  const r = await pull(['--url', `${host.url}/m.gguf`, '--dir', at.dir, ...hash]);
  assert.equal(r.code, 0, `cuts ${cuts}: ${r.err}`);
  assert.deepEqual(at.body(), body);
  assert.equal(host.gets().length, 7);
  assert.equal(r.err.match(/trying again in/g).length, 6);
  for (const q of host.gets().slice(1)) {
    assert.match(q.headers.range, /^bytes=\d+-$/);
    assert.equal(q.headers['if-range'], '"one"');
  }
  await host.stop();
});

test('kill -9 at any time; the next run goes on where it was', async () => {
  const body = model(4 << 20);
  const asked = [];
  const h = await startHub(() => body, {
    cdn: (req, res) => {
      const from = Number(/\d+/.exec(req.headers.range ?? '0')[0]);
      asked.push(from);
      res.writeHead(from ? 206 : 200, {
        'content-length': body.length - from,
        ...(from && { 'content-range': `bytes ${from}-${body.length - 1}/${body.length}` }),
      });
      let sent = from;
      const timer = setInterval(() => {
        res.write(body.subarray(sent, sent + 65536));
        sent += 65536;
        if (sent < body.length) return;
        clearInterval(timer);
        res.end();
      }, 4);
      res.on('close', () => clearInterval(timer));
    },
  });
  const at = await place(name);
  const args = ['pull', 'gemma-4-e2b-it', '--url', h.url, '--dir', at.dir];
  let before = 0;
  for (let round = 0; round < 4; round++) {
    const run = startPull(args);
    const goal = before + 100000 + Math.floor(Math.random() * 500000);
    await waitFor(() => at.partSize() >= goal, { ms: 20000, what: `${goal} bytes` });
    run.child.kill('SIGKILL');
    assert.equal((await run.done).signal, 'SIGKILL');
    assert.equal(at.body(), null, 'nothing appears under the name before it is whole');
    assert.equal(at.state().sha256, sha256(body));
    before = at.partSize();
  }
  const last = await startPull(args).done;
  assert.equal(last.code, 0, last.err);
  assert.deepEqual(at.body(), body);
  assert.equal(asked.at(-1), before);
  for (let i = 1; i < asked.length; i++) assert.ok(asked[i] > asked[i - 1], `ranges ${asked}`);
  await h.stop();
});

test('killed between the last byte and the rename: nothing is fetched again', async () => {
  const body = model();
  const h = await startHub(() => body);
  const at = await place(name);
  const args = ['gemma-4-e2b-it', '--url', h.url, '--dir', at.dir];
  assert.equal((await pull(args)).code, 0);
  writeFileSync(at.part, readFileSync(at.file));
  rmSync(at.file);
  const asked = h.cdn.seen.length;
  const r = await pull(args);
  assert.equal(r.code, 0, r.err);
  assert.deepEqual(at.body(), body);
  assert.equal(h.cdn.seen.length, asked);
  await h.stop();
});

test('Ctrl-C keeps what has come and says how to go on', async () => {
  const body = model();
  const host = await startHost((req, res) =>
    sendFile(req, res, body, { etag: '"a"', hang: req.headers.range ? undefined : 300000 }),
  );
  const at = await place();
  const args = ['pull', '--url', `${host.url}/m.gguf`, '--dir', at.dir];
  const run = startPull(args);
  await waitFor(() => at.partSize() === 300000, { what: 'the first part' });
  run.child.kill('SIGINT');
  const r = await run.done;
  assert.equal(r.code, 130);
  assert.match(r.err, /stopped; what has come is kept: run the same command to go on/);
  assert.equal((await startPull(args).done).code, 0);
  assert.deepEqual(at.body(), body);
  assert.equal(host.gets().at(-1).headers.range, 'bytes=300000-');
  await host.stop();
});

test('a server that ignores ranges starts anew', async () => {
  const body = model();
  const host = await startHost((req, res, n) =>
    sendFile(req, res, body, { etag: '"a"', ranges: false, cut: n === 0 ? 200000 : undefined }),
  );
  const at = await place();
  const r = await pull(['--url', `${host.url}/m.gguf`, '--dir', at.dir]);
  assert.equal(r.code, 0, r.err);
  assert.match(r.err, /sends the file from its beginning again/);
  assert.deepEqual(at.body(), body);
  await host.stop();
});

test('a file that changes on the server meanwhile: the new one, whole', async () => {
  const [old, fresh] = [model(), model(1500000)];
  const plain = await startHost((req, res, n) => {
    if (req.method === 'HEAD' || n === 0)
      sendFile(req, res, old, { etag: '"old"', cut: req.method === 'GET' ? 400000 : undefined });
    else sendFile(req, res, fresh, { etag: '"new"' });
  });
  const a = await place();
  const r = await pull(['--url', `${plain.url}/m.gguf`, '--dir', a.dir]);
  assert.equal(r.code, 0, r.err);
  assert.deepEqual(a.body(), fresh);
  await plain.stop();

  // A server that gives ranges of the new file though the tag no longer holds.
  const careless = await startHost((req, res, n) => {
    const cut = req.method === 'GET' ? 400000 : undefined;
    if (req.method === 'HEAD' || n === 0) return sendFile(req, res, old, { etag: '"old"', cut });
    delete req.headers['if-range'];
    return sendFile(req, res, fresh.subarray(0, old.length), { etag: '"new"' });
  });
  const b = await place();
  const s = await pull(['--url', `${careless.url}/m.gguf`, '--dir', b.dir]);
  assert.equal(s.code, 0, s.err);
  assert.match(s.err, /has changed: fetching it from its beginning/);
  assert.deepEqual(b.body(), fresh.subarray(0, old.length));
  await careless.stop();

  // The host tells another hash than when it was begun.
  let now = old;
  const h = await startHub(() => now, {
    cdn: (req, res, n) => {
      const cut = now === old ? 400000 : undefined;
      if (n === 0) setTimeout(() => (now = fresh), 100);
      sendFile(req, res, now, { cut });
    },
  });
  const c = await place(name);
  const t = await pull(['gemma-4-e2b-it', '--url', h.url, '--dir', c.dir]);
  assert.equal(t.code, 0, t.err);
  assert.match(t.err, /has changed: fetching it from its beginning/);
  assert.deepEqual(c.body(), fresh);
  await h.stop();
});

test('what cannot be told to be the same is not continued', async () => {
  const body = model();
  const host = await startHost((req, res, n) =>
    sendFile(req, res, body, { cut: req.method === 'GET' && n === 0 ? 400000 : undefined }),
  );
  const at = await place();
  const r = await pull(['--url', `${host.url}/m.gguf`, '--dir', at.dir]);
  assert.equal(r.code, 0, r.err);
  assert.match(r.err, /nothing tells whether the file has changed/);
  assert.equal(host.gets()[1].headers.range, undefined);
  assert.match(r.err, /Nobody told a SHA-256/);
  assert.deepEqual(at.body(), body);
  assert.deepEqual([at.state().checked, at.state().sha256], [false, sha256(body)]);
  // A date will do where there is no tag.
  const modified = 'Mon, 01 Jan 2024 00:00:00 GMT';
  const dated = await startHost((req, res, n) =>
    sendFile(req, res, body, { modified, cut: req.method === 'GET' && n === 0 ? 4e5 : undefined }),
  );
  const b = await place();
  const s = await pull(['--url', `${dated.url}/m.gguf`, '--dir', b.dir]);
  assert.equal(s.code, 0, s.err);
  assert.equal(dated.gets()[1].headers['if-range'], modified);
  assert.equal(dated.gets()[1].headers.range, 'bytes=400000-');
  assert.deepEqual(b.body(), body);
  await host.stop();
  await dated.stop();
});

test('a part that rotted on the disk: fetched anew, once', async () => {
  const body = model();
  const h = await startHub(() => body, {
    cdn: (req, res, n) => sendFile(req, res, body, { cut: n === 0 ? 500000 : undefined }),
  });
  const at = await place(name);
  const args = ['gemma-4-e2b-it', '--url', h.url, '--dir', at.dir];
  assert.equal((await pull([...args, '--tries', '1'])).code, 1);
  const rotten = readFileSync(at.part);
  rotten.fill(0, 100000, 100100);
  writeFileSync(at.part, rotten);
  const r = await pull(args);
  assert.equal(r.code, 0, r.err);
  assert.match(r.err, /may be damaged: fetching it from its beginning/);
  assert.deepEqual(at.body(), body);
  await h.stop();
});

test('without HEAD, without a length', async () => {
  const body = model(300000);
  const host = await startHost((req, res) => {
    if (req.method === 'HEAD') {
      res.writeHead(405);
      return res.end();
    }
    return sendFile(req, res, body, { chunked: true });
  });
  const at = await place();
  const r = await pull(['--url', `${host.url}/m.gguf`, '--dir', at.dir]);
  assert.equal(r.code, 0, r.err);
  assert.deepEqual(at.body(), body);
  assert.equal(at.state().size, body.length);
  await host.stop();
});

test('a split model: all parts are looked at first, then fetched in order', async () => {
  const parts = [model(400000), model(300000)];
  const missing = { second: true };
  const host = await startHost((req, res) => {
    const n = Number(/-0000(\d)-of-00002\.gguf$/.exec(req.url)?.[1]);
    if (!n || (n === 2 && missing.second)) {
      res.writeHead(404);
      return res.end();
    }
    const body = parts[n - 1];
    const linked = { 'x-linked-size': body.length, 'x-linked-etag': `"${sha256(body)}"` };
    return sendFile(req, res, body, { headers: linked });
  });
  const dir = await tempDir();
  const args = ['gemma-4-31b-it:bf16', '--url', host.url, '--dir', dir];
  const first = filesOf(dir, 'gemma-4-31B-it-BF16-00001-of-00002.gguf');
  const second = filesOf(dir, 'gemma-4-31B-it-BF16-00002-of-00002.gguf');
  const refused = await pull(args);
  assert.equal(refused.code, 1);
  assert.match(refused.err, /00002-of-00002\.gguf: the server has no such file/);
  assert.equal(first.body(), null, 'nothing is fetched of a set that is not whole');
  missing.second = false;
  const r = await pull(args);
  assert.equal(r.code, 0, r.err);
  assert.deepEqual(first.body(), parts[0]);
  assert.deepEqual(second.body(), parts[1]);
  assert.equal(r.out.split('\n')[0], first.file);
  assert.match(r.err, /first part; the others too/);
  await host.stop();
});

test('two at once: the second is refused and told who is at it', async () => {
  const body = model();
  let release;
  const host = await startHost((req, res, n) => {
    if (req.method === 'GET' && n === 0) {
      sendFile(req, res, body, { etag: '"a"', hang: 100000 });
      release = () => res.end(body.subarray(100000));
    } else sendFile(req, res, body, { etag: '"a"' });
  });
  const at = await place();
  const args = ['pull', '--url', `${host.url}/m.gguf`, '--dir', at.dir];
  const one = startPull(args);
  await waitFor(() => at.partSize() === 100000, { what: 'the first to be under way' });
  const two = await startPull(args).done;
  assert.equal(two.code, 1);
  assert.match(two.err, new RegExp(`process ${one.child.pid} is fetching it already`));
  release();
  assert.equal((await one.done).code, 0);
  assert.deepEqual(at.body(), body);
  await host.stop();
});

test('files that are there: kept, doubted, read again', async () => {
  const body = model();
  const h = await startHub(() => body);
  const at = await place(name);
  const args = ['gemma-4-e2b-it', '--url', h.url, '--dir', at.dir];
  writeFileSync(at.file, 'mine');
  const foreign = await pull(args);
  assert.equal(foreign.code, 1);
  assert.match(foreign.err, /is there already, and nothing tells where it is from/);
  assert.equal(readFileSync(at.file, 'utf8'), 'mine');
  rmSync(at.file);
  assert.equal((await pull(args)).code, 0);
  const other = await pull(['other/Repo/gemma-4-E2B_q4_0-it.gguf', ...args.slice(1)]);
  assert.equal(other.code, 1);
  assert.match(other.err, /is there already, fetched from .*google\/gemma-4-E2B/);
  const good = await pull([...args, '--check']);
  assert.equal(good.code, 0, good.err);
  assert.match(good.err, /SHA-256 is right/);
  const rotten = Buffer.from(body);
  rotten[5000] ^= 1;
  writeFileSync(at.file, rotten);
  assert.equal((await pull(args)).code, 0, 'the length alone is looked at');
  const bad = await pull([...args, '--check']);
  assert.equal(bad.code, 1);
  assert.match(bad.err, /it is damaged\. Delete it and fetch it again/);
  writeFileSync(at.file, body.subarray(0, 5000));
  const short = await pull(args);
  assert.equal(short.code, 1);
  assert.match(short.err, /has 5000 bytes, 1048576 were fetched: it is damaged/);
  await h.stop();
});

test('the catalogue, and what a repository has now', async () => {
  const r = await pull(['--list']);
  assert.equal(r.code, 0);
  for (const size of ['e2b', 'e4b', '12b', '26b-a4b', '31b'])
    assert.match(r.out, new RegExp(`gemma-4-${size}-it:q4_0 .*\\(default\\)`));
  const host = await startHost((req, res) => {
    if (req.url !== '/api/models/some/Repo/tree/main?recursive=true') {
      res.writeHead(404);
      return res.end();
    }
    return res.end(
      JSON.stringify([
        { type: 'file', path: 'README.md', size: 10 },
        { type: 'file', path: 'Q8/model-Q8_0.gguf', size: 5 << 20 },
        { type: 'file', path: 'new.gguf' },
        { type: 'file', path: 'steers\x1b[2Jthe-terminal.gguf' },
      ]),
    );
  });
  const list = await pull(['--list', 'some/Repo', '--url', host.url]);
  assert.equal(list.code, 0, list.err);
  assert.deepEqual(
    list.out.trim().split(/\s*\n\s*/),
    ['Q8/model-Q8_0.gguf'.padEnd(60) + '      5.0 MiB', 'new.gguf'],
  );
  const typo = await pull(['--list', 'some/Rebo', '--url', host.url]);
  assert.equal(typo.code, 1);
  assert.match(typo.err, /Rebo\/tree.*: HTTP 404: is the repository's name right\? .* HF_TOKEN$/m);
  const gone = await pull(['some/Repo/old.gguf', '--url', host.url, '--dir', await tempDir()]);
  assert.equal(gone.code, 1);
  assert.match(gone.err, /some\/Repo has these now[\s\S]*Q8\/model-Q8_0\.gguf\n {2}new\.gguf/);
  assert.match(gone.err, /old\.gguf: the server has no such file \(HTTP 404\)/);
  await host.stop();
});

test('a bar on a terminal, lines elsewhere', async (t) => {
  if (spawnSync('script', ['--version']).status !== 0) return t.skip('no script(1)');
  const body = model(2 << 20);
  const host = await startHost((req, res) => {
    if (req.method === 'HEAD') return sendFile(req, res, body, {});
    res.writeHead(200, { 'content-length': body.length });
    let sent = 0;
    const timer = setInterval(() => {
      res.write(body.subarray(sent, sent + 262144));
      sent += 262144;
      if (sent < body.length) return;
      clearInterval(timer);
      res.end();
    }, 150);
    return undefined;
  });
  const at = await place();
  const line = `${process.env.TOLLGATE_BIN} pull --url ${host.url}/m.gguf --dir ${at.dir}`;
  const seen = await startPull([], { shell: `script -qec '${line}' /dev/null` }).done;
  assert.equal(seen.code, 0, seen.out + seen.err);
  assert.match(seen.out, /\r\x1b\[Km\.gguf \[#+\.+\] +\d+% [\d.]+ MiB of 2\.0 MiB/);
  assert.match(seen.out, /, [\d.]+ MiB\/s, 0:0\d left/);
  assert.match(seen.out, /\[#+\] 100% 2\.0 MiB of 2\.0 MiB/);
  rmSync(at.file);
  const plain = await pull(['--url', `${host.url}/m.gguf`, '--dir', at.dir]);
  assert.equal(plain.code, 0, plain.err);
  assert.doesNotMatch(plain.err, /[\r\x1b]/);
  assert.ok(existsSync(at.file) && statSync(at.file).mode & 0o400);
  await host.stop();
});
