// POST /admin/reload: what SIGHUP does, answered when it is over.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { makeCertificate } from './certificates.mjs';
import { bearer } from './key_support.mjs';
import {
  fewUnderTsan,
  rawRequest,
  rawSocket,
  request,
  startGateway,
  tempDir,
  waitFor,
} from './lib.mjs';
import { startMock } from './mock_provider.mjs';
import { chat, hybridConfig, localConfig } from './support.mjs';

const adminPort = (gw) =>
  Number(/:(\d+)/.exec(gw.log().find((e) => e.event === 'admin-listening').text)[1]);
const count = (gw, event) => gw.log().filter((e) => e.event === event).length;
const listened = { admin: { listen: '127.0.0.1:0' } };

let gw, port, base;
before(async () => {
  gw = await startGateway({ config: localConfig({ top: listened }) });
  port = adminPort(gw);
  base = JSON.parse(await readFile(gw.configFile));
});
after(() => gw.stop());

const reload = (body, headers = {}) =>
  request(port, { method: 'POST', path: '/admin/reload', body, headers });
// The configuration with these aliases of its route.
const text = (...aliases) =>
  JSON.stringify({ ...base, aliases: Object.fromEntries(aliases.map((a) => [a, 'default'])) });
const put = (...aliases) => writeFile(gw.configFile, text(...aliases));
const serves = async (model) => (await chat(gw, { model, max_tokens: 1 })).status === 200;

// Until n requests wait for their answer, beside the one that asks.
const running = (at, n) =>
  waitFor(async () => {
    const { text: metrics } = await request(at, { path: '/metrics' });
    return metrics.includes(`tollgate_http_requests_running ${n + 1}\n`);
  });

// A reload reads a pipe until the test has written: { write(text), unmake() }.
async function hold(g) {
  const kept = `${g.configFile}.kept`;
  await rename(g.configFile, kept);
  execFileSync('mkfifo', [g.configFile]);
  return {
    async write(content) {
      const file = await open(g.configFile, 'w'); // when there is who reads
      await file.write(content);
      await file.close();
    },
    async unmake() {
      await rm(g.configFile);
      await rename(kept, g.configFile);
    },
  };
}

test('the answer comes when it is in force; a bad one is refused and changes nothing', async () => {
  await put('first');
  const r = await reload();
  assert.equal(r.status, 200, r.text);
  assert.equal(r.headers['cache-control'], 'no-store');
  const { prices, ...rest } = r.json;
  assert.match(prices, /^\d{4}-\d\d-\d\d$/);
  assert.deepEqual(rest, {
    reloaded: true,
    config: gw.configFile,
    routes: 1,
    providers: 0,
    certificate_ends: null,
  });
  assert.equal(await serves('first'), true);

  const bad = [
    ['{"routes": 5}', /routes/],
    ['{', /line 1/],
    [JSON.stringify({ ...base, listen: '127.0.0.1:1' }), /listen: a change of this key needs/],
    [JSON.stringify({ ...base, colour: 1 }), /colour/],
  ];
  for (const [i, [content, error]] of bad.entries()) {
    await writeFile(gw.configFile, content);
    const refused = await reload({});
    assert.equal(refused.status, 400, content);
    assert.equal(refused.json.error.code, 'reload_refused');
    assert.match(refused.json.error.message, error);
    assert.match(refused.json.error.message, /; the old configuration stays in force$/);
    await waitFor(() => count(gw, 'reload-refused') === i + 1);
    const logged = gw.log().filter((e) => e.event === 'reload-refused')[i].text;
    assert.equal(logged, refused.json.error.message);
  }
  assert.equal(await serves('first'), true);
  await put('second');
  assert.equal((await reload('')).status, 200);
  assert.deepEqual([await serves('first'), await serves('second')], [false, true]);
});

test('who may ask, and how, is as for keys', async () => {
  const ask = (method, headers, target = '/admin/reload', body) =>
    request(port, { method, path: target, body, headers });
  const before = count(gw, 'reloaded');
  for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS']) {
    const r = await ask(method);
    assert.deepEqual([r.status, r.headers.allow], [405, 'POST'], method);
  }
  assert.equal((await ask('POST', {}, '/admin/reload/now')).status, 404);
  assert.equal((await ask('POST', {}, '/admin/reloads')).status, 404);
  assert.equal((await ask('POST', { host: 'evil.example' })).status, 403);
  assert.equal((await ask('POST', { origin: 'https://example.com' })).status, 403);
  const typed = { origin: 'http://localhost:3000', 'content-type': 'text/plain' };
  assert.equal((await reload('{}', typed)).status, 415);
  const main = await gw.post({}, { path: '/admin/reload' });
  assert.equal(main.status, 404);
  assert.match(main.json.error.message, /listener of its own/);
  for (const [body, error] of [
    [{ config: '/etc/passwd' }, /config: no such member/],
    ['[]', /must be a JSON object/],
    ['{', /./],
    [`{${' '.repeat(70000)}}`, /above 64 KiB/],
  ]) {
    const r = await reload(body);
    assert.equal(r.status, 400);
    assert.match(r.json.error.message, error);
  }
  assert.equal(count(gw, 'reloaded'), before);
});

test('with admin.key that key reloads, until the new one is in force', async () => {
  const dataDir = await tempDir();
  const certificate = makeCertificate(dataDir, 'here');
  const admin = { key: { file: 'admin.key' } };
  const secret = 'admin-0123456789abcdef';
  await writeFile(path.join(dataDir, 'admin.key'), secret);
  const off = await startGateway({ config: localConfig() });
  assert.equal((await off.post(undefined, { path: '/admin/reload' })).status, 404);
  await off.stop();
  const keyed = await startGateway({
    dataDir,
    config: { ...localConfig({ top: { admin } }), dataDir },
  });
  const ask = (k) =>
    keyed.post(undefined, { path: '/admin/reload', headers: k ? bearer(k) : {} });
  const stranger = await ask();
  assert.equal(stranger.status, 401);
  assert.equal(stranger.headers['www-authenticate'], 'Bearer');
  assert.equal((await ask(`${secret}x`)).status, 401);
  await writeFile(path.join(dataDir, 'admin.key'), `${secret}-new`);
  assert.equal((await ask(secret)).status, 200);
  assert.equal((await ask(secret)).status, 401);
  // The certificate of new connections is what the answer tells of.
  const tls = { certificate: certificate.certFile, key: certificate.keyFile };
  const config = { ...localConfig({ top: { admin, tls } }), dataDir };
  await writeFile(keyed.configFile, JSON.stringify(config));
  const r = await ask(`${secret}-new`);
  assert.match(r.json.certificate_ends, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  assert.ok(Date.parse(r.json.certificate_ends) > Date.now() + 29 * 86400e3);
  assert.doesNotMatch(r.text, /key|pem|admin-/);
  await keyed.stop();
});

test('several at once, and HUP: each is answered by one that began after it asked', async () => {
  const pipe = await hold(gw);
  const before = count(gw, 'reloaded');
  const first = reload();
  // Once the pipe is open for writing the first one reads; who asks now waits for the next.
  const writer = await open(gw.configFile, 'w');
  const gone = await rawSocket(port);
  await gone.send(rawRequest('', { target: '/admin/reload' }));
  const others = Array.from({ length: 4 }, () => reload());
  gw.signal('SIGHUP');
  await running(port, 6);
  gone.reset();
  await running(port, 5);
  assert.equal(await serves('second'), true); // nothing waits but they
  let answered = 0;
  for (const other of others) other.then(() => answered++);
  await writer.write(text('one'));
  await writer.close();
  assert.equal((await first).status, 200);
  assert.deepEqual([await serves('one'), await serves('two'), answered], [true, false, 0]);
  await pipe.write(text('two'));
  for (const other of await Promise.all(others)) assert.equal(other.status, 200);
  assert.equal(await serves('two'), true);
  assert.equal(count(gw, 'reloaded'), before + 2);

  // There is room for 16.
  const got = [];
  const many = Array.from({ length: 20 }, () => reload().then((r) => got.push(r.status)));
  await waitFor(() => got.length === 4);
  await pipe.write(text('three'));
  await waitFor(() => got.length === 5);
  await pipe.write(text('three'));
  await Promise.all(many);
  assert.deepEqual(got, [...Array(4).fill(503), ...Array(16).fill(200)]);
  await pipe.unmake();
  assert.equal((await reload()).status, 200);
});

test('under load not one request fails', async () => {
  let loading = true;
  let answered = 0;
  const clients = Array.from({ length: 4 }, async () => {
    while (loading) {
      const r = await gw.get('/v1/models');
      assert.equal(r.status, 200, r.text);
      assert.equal((await chat(gw, { max_tokens: 1 })).status, 200);
      answered++;
    }
  });
  for (let i = 0; i < 8; i++) {
    await put(`alias${i}`);
    const seen = answered;
    for (const r of await Promise.all(Array.from({ length: 5 }, () => reload())))
      assert.equal(r.status, 200, r.text);
    assert.equal(await serves(`alias${i}`), true);
    await waitFor(() => answered > seen);
  }
  loading = false;
  await Promise.all(clients);
});

test('a drain: one that runs is answered, one behind it gets 503; a second TERM cuts', async () => {
  const config = localConfig({ top: { ...listened, limits: { drain: '500ms' } } });
  for (const end of fewUnderTsan(['cut', 'in time', 'late'], 1)) {
    const dying = await startGateway({ config });
    const at = adminPort(dying);
    const ask = () => request(at, { method: 'POST', path: '/admin/reload' });
    const content = await readFile(dying.configFile);
    await hold(dying);
    const first = ask();
    const writer = await open(dying.configFile, 'w');
    const behind = ask();
    await running(at, 2);
    dying.signal('SIGTERM');
    await waitFor(() => count(dying, 'draining'));
    if (end === 'late') await waitFor(() => count(dying, 'drain-timeout'));
    const cut = end === 'cut' && [first, behind].map((asked) => assert.rejects(asked));
    if (cut) {
      dying.signal('SIGTERM');
      await waitFor(() => count(dying, 'stopping'));
    }
    await writer.write(content);
    await writer.close();
    if (cut) {
      await Promise.all(cut);
    } else {
      assert.equal((await first).status, end === 'late' ? 503 : 200);
      const r = await behind;
      assert.deepEqual([r.status, r.json.error.code], [503, 'shutting_down']);
    }
    assert.equal((await dying.ended).code, 0);
  }
});

test('fewer connections, and more again: nobody fails, nobody waits for ever', async () => {
  const mock = await startMock();
  const config = (connections) =>
    hybridConfig(mock, { trigger: 'turns > 0', top: { ...listened, limits: { connections } } });
  const g = await startGateway({ config: config(40) });
  const at = adminPort(g);
  const kept = JSON.parse(await readFile(g.configFile));
  const limit = async (n) => {
    await writeFile(g.configFile, JSON.stringify({ ...kept, limits: { connections: n } }));
    assert.equal((await request(at, { method: 'POST', path: '/admin/reload' })).status, 200);
  };
  const keeping = () => new http.Agent({ keepAlive: true, maxSockets: 40, maxFreeSockets: 40 });
  let agent = keeping();
  const ask = (firstMs) =>
    request(g.port, {
      agent,
      method: 'POST',
      path: '/v1/chat/completions',
      body: {
        model: `mock/answer:{"firstMs":${firstMs}}`,
        messages: [{ role: 'user', content: 'q' }],
        max_tokens: 4,
      },
    });
  const many = (n, firstMs) => Array.from({ length: n }, () => ask(firstMs));
  const fine = async (asked) => {
    for (const r of await Promise.all(asked)) assert.equal(r.status, 200, r.text);
  };
  await fine(many(12, 100));
  await limit(3); // idle connections are used on, and end with their answers
  const under = await Promise.all(many(12, 0));
  assert.ok(under.every((r) => r.status === 200));
  assert.ok(under.some((r) => r.headers.connection === 'close'));
  if (!process.env.TOLLGATE_SANITIZER) { // idle ones make room after 5 s
    agent.destroy();
    agent = keeping();
    await limit(40);
    await fine(many(12, 100));
    await limit(3);
    const fresh = await request(g.port, { path: '/healthz', ms: 20000 });
    assert.equal(fresh.status, 200);
  }
  agent.destroy();
  agent = keeping();
  await limit(40);
  const before = mock.log().requests.length;
  const slow = many(12, 300); // with more connections than the limit that comes
  await waitFor(() => mock.log().requests.length === before + 12);
  await limit(3);
  const waiting = many(6, 0);
  await limit(40);
  await fine([...slow, ...waiting]);
  agent.destroy();
  await g.stop();
  await mock.stop();
});

test('a file that never comes does not keep the process from ending', async () => {
  if (process.env.TOLLGATE_SANITIZER) return; // waits for seconds
  const config = localConfig({ top: { ...listened, limits: { drain: '100ms' } } });
  const stuck = await startGateway({ config });
  await hold(stuck);
  const at = adminPort(stuck);
  const asked = request(at, { method: 'POST', path: '/admin/reload' });
  await running(at, 1);
  stuck.signal('SIGTERM');
  assert.equal((await asked).status, 503);
  assert.equal((await stuck.ended).code, 1);
  assert.equal(count(stuck, 'worker-stuck'), 1);
});
