// The admin API: keys over HTTP, on a listener of its own or with a key of its own.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { bearer, key, tollgate } from './key_support.mjs';
import { rawRequest, rawSocket, request, startGateway, tempDir, waitFor } from './lib.mjs';
import { chat, localConfig } from './support.mjs';

const adminPort = (gw) =>
  Number(/:(\d+)/.exec(gw.log().find((e) => e.event === 'admin-listening').text)[1]);

let gw, port;
before(async () => {
  gw = await startGateway({
    config: localConfig({ top: { admin: { listen: '127.0.0.1:0' } } }),
  });
  port = adminPort(gw);
});
after(() => gw.stop());

const admin = (method, target, body, headers = {}) =>
  request(port, { method, path: target, body, headers });

test('keys are made, shown, changed, rotated and revoked; each holds at once', async () => {
  assert.equal((await chat(gw, { max_tokens: 1 })).status, 200);
  const made = await admin('POST', '/admin/keys', {
    name: 'shop',
    routes: ['default'],
    tags: ['a', 'b'],
    budget: '$20/month',
    rpm: 60,
    local_only: true,
    expires: '30d',
  });
  assert.equal(made.status, 201);
  assert.match(made.json.key, /^tg-[A-Za-z0-9]{48}$/);
  assert.equal(made.headers['cache-control'], 'no-store');
  const use = (k) => chat(gw, { max_tokens: 1 }, bearer(k));
  assert.equal((await use(made.json)).status, 200);
  assert.equal((await chat(gw)).status, 401);

  const list = await admin('GET', '/admin/keys');
  assert.equal(list.json.keys.length, 1);
  assert.equal(list.json.has_more, false);
  const { key: secret, ...shown } = made.json;
  assert.deepEqual(list.json.keys[0], shown);
  assert.doesNotMatch(list.text, new RegExp(secret));
  assert.deepEqual((await admin('GET', `/admin/keys/${shown.id}`)).json, shown);
  assert.deepEqual([shown.budget, shown.rpm, shown.tpm], ['$20/month', 60, null]);

  const patched = await admin('PATCH', `/admin/keys/${shown.id}`, { rpm: null, name: 'store' });
  assert.deepEqual([patched.json.rpm, patched.json.name], [null, 'store']);
  assert.deepEqual(patched.json.tags, ['a', 'b']);
  const turned = await admin('POST', `/admin/keys/${shown.id}/rotate`, { overlap: '1h' });
  assert.ok(turned.json.old_secret_until);
  assert.equal((await use(turned.json)).status, 200);
  assert.equal((await use(made.json)).status, 200);
  const again = await admin('POST', `/admin/keys/${shown.id}/rotate`);
  assert.equal((await use(made.json)).status, 401);
  assert.equal((await use(turned.json)).status, 200);
  const gone = await admin('DELETE', `/admin/keys/${shown.id}`);
  assert.equal(gone.json.state, 'revoked');
  assert.equal((await use(again.json)).status, 401);
  const late = await admin('DELETE', `/admin/keys/${shown.id}`);
  assert.equal(late.status, 400);
  assert.match(late.json.error.message, /was revoked/);
  assert.ok(gw.log().some((e) => e.event === 'key-created' && e.text.includes(shown.id)));
});

test('what is wrong is told by field, and nothing changes', async () => {
  const before = (await admin('GET', '/admin/keys')).text;
  const bad = [
    [{}, /name: needed/],
    [{ name: 5 }, /name: must be a text/],
    [{ name: 'a', rpm: 0 }, /rpm: must be a whole number/],
    [{ name: 'a', rpm: '60' }, /rpm: must be a whole number/],
    [{ name: 'a', routes: 'default' }, /routes: must be an array/],
    [{ name: 'a', routes: ['a,b'] }, /routes: must be an array of texts without commas/],
    [{ name: 'a', routes: ['nowhere'] }, /routes: no route is named "nowhere"; there are default/],
    [{ name: 'a', models: ['x/y'] }, /models: "x\/y" is no PROVIDER\/MODEL/],
    [{ name: 'a', budget: '20' }, /budget: must be an amount/],
    [{ name: 'a', local_only: 'yes' }, /local_only: must be true or false/],
    [{ name: 'a', colour: 1 }, /colour: no such member/],
    [{ name: 'x'.repeat(65) }, /name: at most 64 bytes/],
    [{ name: 'a', expires: '2001-01-01' }, /expires: that time has passed/],
    ['[]', /must be a JSON object/],
    ['{"name":"a","name":"b"}', /duplicate/],
    ['{', /./],
    [`{"name":"a"${' '.repeat(70000)}}`, /above 64 KiB/],
  ];
  for (const [body, error] of bad) {
    const r = await admin('POST', '/admin/keys', body);
    assert.equal(r.status, 400, JSON.stringify(body).slice(0, 80));
    assert.match(r.json.error.message, error);
  }
  assert.equal((await admin('GET', '/admin/keys')).text, before);
  assert.equal((await admin('PATCH', '/admin/keys/key_000000000000', { rpm: 1 })).status, 404);
  assert.equal((await admin('GET', '/admin/keys/key_000000000000')).status, 404);
  assert.equal((await admin('GET', '/admin/keys/x/y')).status, 404);
  assert.equal((await admin('GET', '/admin/keys?limit=0')).status, 400);
  assert.equal((await admin('GET', '/admin/keys?after=key_0')).status, 400);
  const put = await admin('PUT', '/admin/keys', {});
  assert.deepEqual([put.status, put.headers.allow], [405, 'GET, HEAD, POST']);
});

test('pages, and other names of this machine, stay outside; so does all else', async () => {
  const page = { origin: 'https://example.com' };
  assert.equal((await admin('POST', '/admin/keys', { name: 'a' }, page)).status, 403);
  const local = { origin: 'http://localhost:3000', 'content-type': 'text/plain' };
  assert.equal((await admin('POST', '/admin/keys', '{"name":"a"}', local)).status, 415);
  const rebound = await admin('GET', '/admin/keys', undefined, { host: 'evil.example:80' });
  assert.equal(rebound.status, 403);
  for (const host of ['localhost', '127.0.0.1:9', '[::1]:9'])
    assert.equal((await admin('GET', '/admin/keys', undefined, { host })).status, 200);
  assert.equal((await admin('GET', '/v1/models')).status, 404);
  assert.equal((await admin('POST', '/v1/chat/completions', {})).status, 404);
  assert.equal((await admin('GET', '/healthz')).status, 200);
  const main = await gw.get('/admin/keys');
  assert.equal(main.status, 404);
  assert.match(main.json.error.message, /listener of its own/);
});

test('lists have pages; a change goes on when its client has gone', async () => {
  for (let i = 0; i < 3; i++) await admin('POST', '/admin/keys', { name: `k${i}` });
  const first = await admin('GET', '/admin/keys?limit=2');
  assert.deepEqual([first.json.keys.length, first.json.has_more], [2, true]);
  const rest = await admin('GET', `/admin/keys?limit=2&after=${first.json.keys[1].id}`);
  assert.deepEqual(rest.json.keys.map((k) => k.name), ['k1', 'k2']);
  const raw = await rawSocket(port);
  await raw.send(rawRequest({ name: 'hasty' }, { target: '/admin/keys' }));
  raw.reset();
  await waitFor(async () => (await admin('GET', '/admin/keys')).text.includes('hasty'));
  const many = await Promise.all(
    Array.from({ length: 40 }, (_, i) => admin('POST', '/admin/keys', { name: `m${i}` })),
  );
  assert.ok(many.every((r) => r.status === 201 || r.status === 503)); /* 16 at once are taken */
  const made = many.filter((r) => r.status === 201);
  assert.ok(made.length >= 16 && new Set(made.map((r) => r.json.key)).size === made.length);
});

test('an admin key opens the API where the gateway listens, and nothing else does', async () => {
  const dataDir = await tempDir();
  const secret = 'admin-0123456789abcdef';
  await writeFile(path.join(dataDir, 'admin.key'), secret);
  const config = (top) => ({ ...localConfig(), dataDir, ...top });
  const keyed = await startGateway({
    dataDir,
    config: config({ admin: { key: { file: 'admin.key' } } }),
  });
  const ask = (headers) => keyed.get('/admin/keys', { headers });
  const stranger = await ask({});
  assert.equal(stranger.status, 401);
  assert.equal(stranger.headers['www-authenticate'], 'Bearer');
  const app = await key(dataDir, 'create', '--name', 'app');
  await waitFor(async () => (await chat(keyed)).status === 401);
  assert.equal((await ask(bearer(app))).status, 401);
  assert.equal((await ask(bearer(`${secret}x`))).status, 401);
  assert.equal((await ask({ 'x-api-key': secret })).json.keys[0].name, 'app');
  assert.equal((await chat(keyed, {}, bearer(secret))).status, 401);
  const doctor = await tollgate('doctor', '--config', keyed.configFile, '--no-selftest');
  assert.match(doctor.stdout, /admin API: where the gateway listens, with a key/);
  await writeFile(path.join(dataDir, 'admin.key'), `${secret}-new`);
  keyed.signal('SIGHUP');
  await waitFor(async () => (await ask(bearer(`${secret}-new`))).status === 200);
  assert.equal((await ask(bearer(secret))).status, 401);
  await writeFile(keyed.configFile, JSON.stringify(config({})));
  keyed.signal('SIGHUP');
  await waitFor(async () => (await ask(bearer(`${secret}-new`))).status === 404);
  assert.match((await ask({})).json.error.message, /the admin API is off: set admin\.listen/);
  await keyed.stop();
  assert.doesNotMatch(keyed.stderr + keyed.stdout, /admin-0123456789abcdef/);
  const open = await startGateway({
    dataDir,
    config: config({ admin: { listen: '0.0.0.0:0' } }),
    wait: false,
  });
  assert.equal((await open.ended).code, 1);
  assert.match(open.stderr, /admin: listen is not this machine alone, so "key" is needed too/);
});
