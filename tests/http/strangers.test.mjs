// Who is kept out where no key exists, or where keys.db vanishes under a gateway that runs.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { bearer, key } from './key_support.mjs';
import { startGateway, waitFor } from './lib.mjs';
import { localConfig, post } from './support.mjs';

test('without keys a page whose name was made to lead here reads nothing', async () => {
  const gw = await startGateway({ config: localConfig() });
  const rebound = { host: `evil.example:${gw.port}` };
  const said = await post(gw, '/v1/responses', JSON.stringify({ model: 'local', input: 'Hi' }));
  assert.equal(said.status, 200);
  const target = `/v1/responses/${JSON.parse(said.text).id}`;
  for (const place of [target, `${target}/input_items`, '/metrics', '/v1/models', '/api/ps']) {
    const r = await gw.get(place, { headers: rebound });
    assert.equal(r.status, 403, place);
    assert.match(r.text, /without API keys this gateway is asked by address/);
  }
  const spends = await gw.post({ messages: [] }, { headers: rebound });
  assert.equal(spends.status, 403);
  assert.equal((await gw.get('/healthz', { headers: rebound })).status, 200);
  for (const host of ['localhost', '[::1]:1', '127.0.0.1', 'tollgate', 'host.docker.internal'])
    assert.equal((await gw.get(target, { headers: { host } })).status, 200, host);
  const app = await key(gw.dataDir, 'create', '--name', 'app');
  await waitFor(
    async () =>
      (await gw.get('/v1/models', { headers: { ...rebound, ...bearer(app) } })).status === 200,
  );
  await gw.stop();
});

test('keys that vanish while it runs stay in force, until the file has some again', async () => {
  const gw = await startGateway({ config: localConfig() });
  const ask = async (k) => (await gw.get('/v1/models', { headers: k ? bearer(k) : {} })).status;
  const event = (name) => gw.log().filter((e) => e.event === name).length;
  const app = await key(gw.dataDir, 'create', '--name', 'app');
  await waitFor(async () => (await ask()) === 401);
  const file = (name) => path.join(gw.dataDir, name);
  const remove = () =>
    Promise.all(['', '-wal', '-shm'].map((x) => rm(file(`keys.db${x}`), { force: true })));
  execFileSync('sqlite3', [file('keys.db'), `.backup ${file('backup.db')}`]);
  await remove();
  await waitFor(() => event('keys-lost'));
  assert.deepEqual([await ask(), await ask(app)], [401, 200]);
  await remove();
  await rename(file('backup.db'), file('keys.db'));
  const other = await key(gw.dataDir, 'create', '--name', 'other');
  await waitFor(async () => (await ask(other)) === 200);
  assert.deepEqual([await ask(), await ask(app)], [401, 200]);
  assert.deepEqual([event('keys-lost'), event('no-keys')], [1, 1]);
  await gw.stop();
});
