// Web pages of other origins, and OPTIONS without one.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { tollgate } from './key_support.mjs';
import { rawSocket, request, startGateway, waitFor } from './lib.mjs';
import { startMock } from './mock_provider.mjs';
import { hybridConfig, localConfig } from './support.mjs';

const page = 'https://app.example.com';
let mock, off, listed, any;
const origins = (list) => ({ trigger: 'turns > 0', top: { cors: { origins: list } } });
before(async () => {
  mock = await startMock();
  [off, listed, any] = await Promise.all([
    startGateway({ config: localConfig() }),
    startGateway({ config: hybridConfig(mock, origins([page, 'http://localhost:3000'])) }),
    startGateway({ config: hybridConfig(mock, origins(['*'])) }),
  ]);
});
after(async () => {
  await mock.stop();
});

const chatPath = '/v1/chat/completions';
const call = (gw, method, path, headers, body) =>
  request(gw.port, { method, path, headers, body });
const preflight = (gw, origin, path = chatPath, wants = 'authorization,content-type') =>
  call(gw, 'OPTIONS', path, {
    origin,
    'access-control-request-method': 'POST',
    'access-control-request-headers': wants,
  });
const chat = (gw, origin, fields = {}) =>
  call(gw, 'POST', chatPath, origin ? { origin } : {}, {
    messages: [{ role: 'user', content: 'x' }],
    ...fields,
  });
const told = (r) =>
  Object.keys(r.headers).filter((name) => name.startsWith('access-control-')).sort();

test('OPTIONS tells what a path takes', async () => {
  for (const gw of [off, listed]) {
    const of = async (path) => {
      const r = await call(gw, 'OPTIONS', path, {});
      assert.deepEqual([r.status, r.text, told(r)], [204, '', []]);
      return r.headers.allow;
    };
    assert.equal(await of(chatPath), 'POST, OPTIONS');
    assert.equal(await of('/v1/models'), 'GET, HEAD, OPTIONS');
    assert.equal(await of('/v1/models/local'), 'GET, HEAD, OPTIONS');
    assert.equal(await of('/api/delete'), 'DELETE, OPTIONS');
    assert.equal((await call(gw, 'OPTIONS', '/nowhere', {})).status, 404);
    const raw = await rawSocket(gw.port);
    await raw.send('OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n');
    await raw.until('\r\n\r\n');
    assert.match(raw.text, /^HTTP\/1\.1 204 [^]*\r\nallow: GET, HEAD, POST, DELETE, OPTIONS\r\n/);
    raw.destroy();
  }
});

test('off: nothing is told to any page, foreign ones are refused', async () => {
  const refused = await preflight(off, page);
  assert.deepEqual([refused.status, told(refused), refused.headers.vary], [403, [], undefined]);
  assert.equal(refused.json.error.code, 'origin');
  const local = await preflight(off, 'http://localhost:3000');
  assert.deepEqual([local.status, told(local)], [204, []]);
  assert.equal((await chat(off, page)).status, 403);
  const served = await chat(off, 'http://localhost:3000', { max_tokens: 1 });
  assert.deepEqual([served.status, told(served)], [200, []]);
});

test('a listed origin: the preflight permits what it asks for', async () => {
  const wants =
    'authorization, content-type, x-api-key, anthropic-version, ' +
    'anthropic-dangerous-direct-browser-access, anthropic-beta, x-stainless-os, ' +
    'openai-organization, x-tollgate-local-only';
  for (const path of [chatPath, '/v1/messages', '/api/chat']) {
    const r = await preflight(listed, page, path, wants);
    assert.equal(r.status, 204);
    assert.equal(r.headers['access-control-allow-origin'], page);
    assert.equal(r.headers['access-control-allow-methods'], 'POST, OPTIONS');
    assert.equal(r.headers['access-control-allow-headers'], wants);
    assert.equal(r.headers['access-control-max-age'], '600');
    assert.equal(r.headers.vary, 'Origin');
    assert.equal(r.headers['access-control-allow-credentials'], undefined);
  }
  assert.equal((await preflight(listed, page, '/nowhere')).status, 404);
  const odd = await preflight(listed, page, chatPath, 'a b, "x", x-good');
  assert.equal(odd.headers['access-control-allow-headers'], 'x-good');
});

test('a listed origin: whole answers, streams and errors can be read', async () => {
  const answers = [
    await chat(listed, page),
    await chat(listed, page, { stream: true }),
    await chat(listed, page, { model: 'nobody' }),
    await chat(listed, page, { temperature: 'hot' }),
    await call(listed, 'GET', '/v1/models', { origin: page }),
    await call(listed, 'GET', '/nowhere', { origin: page }),
    await call(listed, 'GET', chatPath, { origin: page }),
  ];
  assert.deepEqual(
    answers.map((r) => r.status),
    [200, 200, 404, 400, 200, 404, 405],
  );
  for (const r of answers) {
    assert.equal(r.headers['access-control-allow-origin'], page);
    assert.equal(r.headers['access-control-expose-headers'], '*');
    assert.equal(r.headers.vary, 'Origin');
  }
  const plain = await chat(listed);
  assert.deepEqual([plain.status, told(plain), plain.headers.vary], [200, [], 'Origin']);
});

test('other origins beside a list: as without one', async () => {
  for (const origin of ['https://evil.example', 'null', `${page}.evil.example`, `${page}:444`]) {
    mock.clear();
    assert.deepEqual([(await preflight(listed, origin)).status], [403]);
    const r = await chat(listed, origin);
    assert.deepEqual([r.status, told(r)], [403, []]);
    assert.equal(mock.log().requests.length, 0);
  }
  const other = await chat(listed, 'http://localhost:3001');
  assert.deepEqual([other.status, told(other)], [200, []]);
});

test('"*" without an API key: the start, --check, doctor and a reload warn', async () => {
  const lines = (gw) => gw.log().filter((e) => e.event === 'cors-open');
  assert.deepEqual([lines(off), lines(listed)], [[], []]);
  assert.match(lines(any)[0].text, /every web page .*`tollgate key create --config \S+ --name/);
  any.signal('SIGHUP');
  await waitFor(() => lines(any).length === 2);
  const look = (gw, ...args) => tollgate(...args, '--config', gw.configFile);
  assert.match((await look(any, 'serve', '--check')).stderr, /"cors-open"/);
  const doctor = (await look(any, 'doctor', '--no-selftest')).stdout;
  assert.match(doctor, /^warn +access +cors\.origins is "\*".*\n +-> tollgate key create/m);
  assert.doesNotMatch((await look(listed, 'serve', '--check')).stderr, /cors-open/);
  assert.doesNotMatch((await look(listed, 'doctor', '--no-selftest')).stdout, /cors\.origins/);
});

test('"*": every page may call, never with credentials', async () => {
  for (const origin of ['https://anybody.example', 'null']) {
    const r = await preflight(any, origin);
    assert.deepEqual([r.status, r.headers['access-control-allow-origin']], [204, '*']);
    const answer = await chat(any, origin);
    assert.deepEqual([answer.status, answer.headers['access-control-allow-origin']], [200, '*']);
    assert.ok(!told(answer).includes('access-control-allow-credentials'));
  }
});

test('with keys a preflight needs none, a 401 can be read; admin has no pages', async () => {
  const config = localConfig({
    top: { cors: { origins: ['*'] }, admin: { key: { env: 'TG_ADMIN' } } },
  });
  const secret = 'an-admin-key-of-the-test';
  const gw = await startGateway({ config, env: { TG_ADMIN: secret } });
  const bearer = { authorization: `Bearer ${secret}` };
  const made = await call(gw, 'POST', '/admin/keys', bearer, { name: 'app' });
  assert.equal(made.status, 201, made.text);
  const checked = await promisify(execFile)(
    process.env.TOLLGATE_BIN,
    ['serve', '--check', '--config', gw.configFile],
    { env: { ...process.env, TG_ADMIN: secret } },
  );
  assert.equal(checked.stderr, '', 'with a key there is nothing to warn of');
  const asked = await preflight(gw, page);
  assert.deepEqual([asked.status, asked.headers['access-control-allow-origin']], [204, '*']);
  const refused = await chat(gw, page, { max_tokens: 1 });
  assert.deepEqual([refused.status, refused.headers['access-control-allow-origin']], [401, '*']);
  for (const origin of [page, 'null']) {
    const admin = await call(gw, 'POST', '/admin/keys', { ...bearer, origin }, { name: 'b' });
    assert.deepEqual([admin.status, told(admin)], [403, []]);
    const leave = await preflight(gw, origin, '/admin/keys');
    assert.ok(leave.status >= 400 && told(leave).length === 0, leave.text);
  }
});
