// API keys: who is let in, for what, and how much. Keys are made by the real command, beside the
// gateway that runs.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { bearer, key, tollgate } from './key_support.mjs';
import {
  now,
  rawRequest,
  rawSocket,
  rows,
  sleep,
  slow,
  startGateway,
  tempDir,
  waitFor,
} from './lib.mjs';
import { startMock } from './mock_provider.mjs';
import { answerCost, chat, hybridConfig, localConfig, logRow, post, sse } from './support.mjs';

let mock, gw;
before(async () => {
  mock = await startMock();
});
after(async () => {
  await mock.stop();
});

const always = 'turns > 0';
const hello = { model: 'default', max_tokens: 1, messages: [{ role: 'user', content: 'Hi' }] };
const known = (k, ms = 1000) =>
  waitFor(async () => (await gw.get('/v1/models', { headers: bearer(k) })).status === 200, { ms });

test('without keys this machine is served, and no other address is listened on', async () => {
  const away = await startGateway({
    config: localConfig({ top: { listen: '0.0.0.0:0' } }),
    wait: false,
  });
  assert.equal((await away.ended).code, 1);
  assert.match(away.stderr, /listen: 0\.0\.0\.0 is not this machine alone.*`tollgate key create/);
  gw = await startGateway({
    config: hybridConfig(mock, {
      trigger: "tag('cloud')",
      top: { heartbeat: '10s' },
    }),
  });
  assert.ok(gw.log().some((e) => e.event === 'no-keys'));
  await waitFor(() => /No API key exists: only this machine is served/.test(gw.stdout));
  assert.equal((await chat(gw, { max_tokens: 1 })).status, 200);
  assert.equal((await chat(gw, { max_tokens: 1 }, bearer('whatever'))).status, 200);
  const through = await chat(gw, {}, { 'x-forwarded-for': '203.0.113.9' });
  assert.equal(through.status, 401);
  assert.match(through.json.error.message, /no API keys.*behind a proxy/);
});

test('a key made beside the gateway is needed within a second, in every dialect', async () => {
  const app = await key(gw.dataDir, 'create', '--name', 'app');
  const begun = now();
  await waitFor(async () => (await gw.get('/v1/models')).status === 401, { ms: 1000 });
  assert.ok(now() - begun < 1000 * slow);
  const openai = await chat(gw);
  assert.equal(openai.status, 401);
  assert.equal(openai.headers['www-authenticate'], 'Bearer');
  assert.deepEqual(
    [openai.json.error.type, openai.json.error.code],
    ['invalid_request_error', 'invalid_api_key'],
  );
  const anthropic = await post(gw, '/v1/messages', JSON.stringify(hello));
  assert.equal(anthropic.status, 401);
  assert.equal(JSON.parse(anthropic.text).error.type, 'authentication_error');
  const ollama = await post(gw, '/api/chat', JSON.stringify({ model: 'local', messages: [] }));
  assert.equal(ollama.status, 401);
  assert.equal(typeof JSON.parse(ollama.text).error, 'string');
  assert.equal((await gw.get('/api/tags')).status, 401);
  assert.equal((await gw.get('/healthz')).status, 200);
  assert.equal((await gw.get('/nothing')).status, 404);
  assert.equal((await gw.get('/metrics')).status, 401);
  const figures = await gw.get('/metrics', { headers: bearer(app) });
  assert.equal(figures.status, 403, 'they tell what other keys spend');
  assert.match(figures.json.error.message, /admin\.listen/);

  for (const headers of [bearer(app), { 'x-api-key': app.key }, { 'api-key': app.key }]) {
    assert.equal((await chat(gw, { max_tokens: 1 }, headers)).status, 200);
    assert.equal((await post(gw, '/v1/messages', JSON.stringify(hello), headers)).status, 200);
  }
  const both = { ...bearer(app), 'x-api-key': app.key };
  assert.equal((await chat(gw, { max_tokens: 1 }, both)).status, 200);
  assert.equal((await chat(gw, {}, { ...both, 'x-api-key': `${app.key}x` })).status, 401);
  assert.equal((await chat(gw, {}, { authorization: `Basic ${app.key}` })).status, 401);
  const typo = app.key.replace(/.$/, (c) => (c === 'a' ? 'b' : 'a'));
  assert.match((await chat(gw, {}, bearer(typo))).json.error.message, /not whole/);
  const row = await logRow(gw, (await chat(gw, { max_tokens: 1 }, bearer(app))).headers);
  assert.equal(row.key, app.id);
});

test('who has no key is not listened to: no body is awaited, the log stays small', async () => {
  const raw = await rawSocket(gw.port);
  await raw.send(rawRequest('', { headers: { 'content-length': 20000000 } }));
  await raw.until(/HTTP\/1\.1 401 [^]*Connection: close[^]*invalid_api_key/, 2000);
  raw.destroy();
  await Promise.all(Array.from({ length: 40 }, () => chat(gw, {}, bearer('tg-guess'))));
  const lines = gw.log().filter((e) => e.event === 'unauthorized');
  assert.ok(lines.length >= 1 && lines.length < 4, `${lines.length} lines`);
  assert.match(lines[0].text, /the latest from 127\.0\.0\.1/);
});

test('a rotation overlaps; a revoked key ends at once, what runs is finished', async () => {
  const first = await key(gw.dataDir, 'create', '--name', 'turning');
  const second = await key(gw.dataDir, 'rotate', first.id, '--overlap', '1h');
  await known(second);
  assert.equal((await chat(gw, { max_tokens: 1 }, bearer(first))).status, 200);
  const third = await key(gw.dataDir, 'rotate', first.id, '--overlap', '0s');
  await known(third);
  assert.match((await chat(gw, {}, bearer(second))).json.error.message, /not known/);
  const running = sse(gw, { model: 'mock/answer:{"delayMs":250}' }, bearer(third));
  await waitFor(() => mock.log().requests.length > 0);
  await key(gw.dataDir, 'revoke', first.id);
  await waitFor(async () => (await chat(gw, {}, bearer(third))).status === 401, { ms: 1000 });
  assert.match((await chat(gw, {}, bearer(third))).json.error.message, /revoked/);
  const whole = await running;
  assert.ok(whole.done && whole.text.includes('word4'));
  const shorts = await key(gw.dataDir, 'create', '--name', 'short', '--expires', '1500ms');
  await known(shorts);
  await sleep(1500);
  assert.match((await chat(gw, {}, bearer(shorts))).json.error.message, /expired/);
});

test('a key has its routes and models, and sees no others', async () => {
  const k = await key(gw.dataDir, 'create', '--name', 'narrow', '--routes', 'local');
  await known(k);
  assert.equal((await chat(gw, { model: 'local', max_tokens: 1 }, bearer(k))).status, 200);
  for (const model of ['default', 'mock/answer']) {
    const r = await chat(gw, { model }, bearer(k));
    assert.equal(r.status, 403);
    assert.equal(r.json.error.type, 'permission_denied');
  }
  const none = (await chat(gw, { model: undefined }, bearer(k))).json.error.message;
  assert.match(none, /the model "default", the first route, which is asked where none is named/);
  const anthropic = await post(
    gw,
    '/v1/messages',
    JSON.stringify({ ...hello, model: 'default' }),
    bearer(k),
  );
  assert.equal(anthropic.status, 403);
  assert.equal(JSON.parse(anthropic.text).error.type, 'permission_error');
  const list = (await gw.get('/v1/models', { headers: bearer(k) })).json.data.map((m) => m.id);
  assert.deepEqual(list, ['local']);
  const tags = (await gw.get('/api/tags', { headers: bearer(k) })).json.models.map((m) => m.name);
  assert.equal(tags.length, 1);
  assert.equal((await gw.get('/v1/models/default', { headers: bearer(k) })).status, 404);
  await key(gw.dataDir, 'update', k.id, '--models', 'mock/answer');
  await waitFor(
    async () => (await chat(gw, { model: 'mock/answer' }, bearer(k))).status === 200,
    { ms: 1000 },
  );
});

test('requests and tokens a minute, requests at once: 429, and headers tell before', async () => {
  const rpm = await key(gw.dataDir, 'create', '--name', 'rpm', '--rpm', '2', '--tpm', '100000');
  const tpm = await key(gw.dataDir, 'create', '--name', 'tpm', '--tpm', '60');
  const one = await key(gw.dataDir, 'create', '--name', 'one', '--concurrent', '1');
  await known(one);
  const good = await chat(gw, { max_tokens: 1 }, bearer(rpm));
  assert.equal(good.headers['x-ratelimit-limit-requests'], '2');
  assert.equal(good.headers['x-ratelimit-remaining-requests'], '1');
  assert.equal(good.headers['x-ratelimit-limit-tokens'], '100000');
  const claude = await post(gw, '/v1/messages', JSON.stringify(hello), bearer(rpm));
  assert.equal(claude.headers['anthropic-ratelimit-requests-remaining'], '0');
  assert.match(claude.headers['anthropic-ratelimit-requests-reset'], /^\d{4}-.*T.*Z$/);
  const refused = await chat(gw, {}, bearer(rpm));
  assert.equal(refused.status, 429);
  assert.equal(refused.json.error.code, 'rate_limit_exceeded');
  assert.ok(Number(refused.headers['retry-after']) >= 1);
  assert.equal(refused.headers['x-ratelimit-remaining-requests'], '0');
  const other = await post(gw, '/v1/messages', JSON.stringify(hello), bearer(rpm));
  assert.equal(JSON.parse(other.text).error.type, 'rate_limit_error');
  assert.ok(other.headers['retry-after']);

  assert.equal((await chat(gw, { max_tokens: 8 }, bearer(tpm))).status, 200);
  const much = await chat(gw, { max_tokens: 50 }, bearer(tpm));
  assert.equal(much.status, 429);
  assert.equal(much.json.error.type, 'tokens');
  assert.equal((await logRow(gw, much.headers)).error, 'rate-limited');

  mock.clear();
  const slowly = sse(gw, { model: 'mock/answer:{"delayMs":60}' }, bearer(one));
  await waitFor(() => mock.log().requests.length > 0);
  const second = await chat(gw, { max_tokens: 1 }, bearer(one));
  assert.equal(second.status, 429);
  assert.match(second.json.error.message, /1 requests at once/);
  assert.ok((await slowly).done);
  assert.equal((await chat(gw, { max_tokens: 1 }, bearer(one))).status, 200);
});

test('a local-only key makes no connection; tags of the key reach triggers', async () => {
  const tagged = ['--tags', 'cloud'];
  const local = await key(gw.dataDir, 'create', '--name', 'local', '--local-only', ...tagged);
  const cloud = await key(gw.dataDir, 'create', '--name', 'cloud', ...tagged);
  await known(cloud);
  mock.clear();
  const off = { 'x-tollgate-local-only': 'false' };
  const r = await chat(gw, { max_tokens: 1 }, { ...bearer(local), ...off });
  assert.equal(r.headers['x-tollgate-route'], 'local');
  assert.equal((await chat(gw, { model: 'mock/answer' }, bearer(local))).status, 403);
  assert.equal((await sse(gw, { max_tokens: 1 }, bearer(local))).status, 200);
  assert.equal(mock.log().connections, 0);
  assert.equal((await chat(gw, {}, bearer(cloud))).headers['x-tollgate-route'], 'mock/answer');
});

test('no secret lies in the log, the rows or what went upstream', async () => {
  const all = (await key(gw.dataDir, 'list')).keys;
  assert.ok(all.length > 5 && all.every((k) => !k.key && k.prefix.startsWith('tg-')));
  const stored = await gw.rows('log.db', 'select * from request');
  assert.ok(stored.some((r) => r.key === all[0].id));
  await gw.stop();
  const text = gw.stderr + gw.stdout + JSON.stringify(mock.log()) + JSON.stringify(stored);
  assert.doesNotMatch(text, /tg-[A-Za-z0-9]{40}/);
});

test('budgets of key and route both hold under 50 parallel requests', async () => {
  mock.clear();
  const dataDir = await tempDir();
  const dollars = (answers) => `$${((answers * answerCost) / 1e9).toFixed(9)}/day`;
  const small = await key(dataDir, 'create', '--name', 'small', '--budget', dollars(20));
  const large = await key(dataDir, 'create', '--name', 'large', '--budget', dollars(500));
  gw = await startGateway({
    dataDir,
    config: hybridConfig(mock, {
      models: ['answer:{"firstMs":20}'],
      trigger: always,
      budget: dollars(60),
      tier: { maxTokens: 8 },
      top: { listen: '0.0.0.0:0' },
    }),
  });
  assert.equal((await chat(gw)).status, 401);
  await waitFor(() => /try: .*-H 'authorization: Bearer tg-\.\.\.' -d/.test(gw.stdout));
  const served = () => mock.log().requests.filter((r) => r.ended).length;
  const told = (r, name) => r.headers[`x-tollgate-${name}`] ?? r.comment?.[name];
  const burst = (k) =>
    Promise.all(
      Array.from({ length: 50 }, (_, i) => (i % 2 ? chat : sse)(gw, { max_tokens: 4 }, bearer(k))),
    );
  const first = await burst(small);
  assert.ok(first.every((r) => r.status === 200));
  const paid = served();
  assert.ok(paid > 0 && paid <= 20, `${paid} were paid of a budget for 20`);
  const refused = first.filter((r) => told(r, 'route') === 'local');
  assert.equal(refused.length, 50 - paid);
  assert.ok(refused.every((r) => told(r, 'reason') === 'key-budget-exhausted'));
  await burst(large);
  await burst(large);
  assert.ok(served() <= 60, `${served()} were paid of the route's budget for 60`);
  const last = await chat(gw, { max_tokens: 4 }, bearer(large));
  if (told(last, 'route') === 'local') assert.equal(told(last, 'reason'), 'budget-exhausted');
  await gw.stop();
  const book = await rows(dataDir, 'ledger.db', 'select * from period');
  const spent = (name) => book.find((b) => b.budget === name).spent_nano;
  assert.equal(spent(`key:${small.id}`), paid * answerCost);
  assert.equal(spent(`key:${small.id}`) + spent(`key:${large.id}`), spent('default'));
  assert.ok(book.every((b) => b.leased_nano === 0 && b.overage_nano === 0));
  const report = JSON.parse(
    (await tollgate('report', '--data-dir', dataDir, '--json')).stdout,
  );
  const group = report.keys.find((k) => k.name === small.id);
  assert.deepEqual([group.requests, group.key_name], [50, 'small']);
  assert.ok(report.budgets.some((b) => b.name === `key:${small.id}` && b.key_name === 'small'));
  assert.ok(report.routes.every((g) => !g.key_name));
  const table = (await tollgate('report', '--data-dir', dataDir)).stdout;
  assert.match(table, /\nkeys\n(small|large) \(key_/);
  assert.match(table, /\nsmall \(key:key_/);
});

test('damaged keys serve nobody; doctor says so, and what is open', async () => {
  const dataDir = await tempDir();
  const config = localConfig({ top: { listen: '0.0.0.0:0', dataDir } });
  gw = await startGateway({ dataDir, config, wait: false });
  await gw.ended;
  const look = async () => {
    const r = await tollgate('doctor', '--config', gw.configFile, '--json', '--no-selftest');
    return JSON.parse(r.stdout).checks.filter((c) => ['access', 'data'].includes(c.area));
  };
  assert.ok((await look()).some((c) => c.state === 'fail' && /no API key/.test(c.text)));
  await key(dataDir, 'create', '--name', 'app');
  assert.ok((await look()).some((c) => c.state === 'ok' && /1 API key/.test(c.text)));
  const file = path.join(dataDir, 'keys.db');
  const bytes = await readFile(file);
  bytes.fill(0xa5, 0, 100);
  await writeFile(file, bytes);
  assert.ok((await look()).some((c) => c.state === 'fail' && /keys\.db/.test(c.text)));
  const broken = await startGateway({ dataDir, config, wait: false });
  assert.equal((await broken.ended).code, 1);
  assert.match(broken.stderr, /keys\.db: .*damaged/);
});

test('the command teaches and refuses by name', async () => {
  const dir = await tempDir();
  const refused = [
    [['create'], /name: needed/],
    [['create', '--name', 'a', '--rpm', '0'], /rpm: must be a whole number/],
    [['create', '--name', 'a', '--budget', '20'], /budget: must be an amount/],
    [['create', '--name', 'a', '--expires', 'soon'], /expires: must be/],
    [['create', '--name', 'a', '--expires', '2001-01-01'], /expires: that time has passed/],
    [['create', '--name', 'a', '--models', 'gpt'], /models: "gpt" is not/],
    [['rotate', 'key_000000000000'], /no key has the id/],
    [['rotate', 'app'], /needs the ID of a key/],
    [['revoke', 'key_000000000000', '--rpm', '1'], /takes no limits/],
    [['update', 'key_000000000000'], /says nothing that is to change/],
    [['list', 'more'], /unexpected argument/],
    [['sing'], /there is no command "sing"/],
  ];
  for (const [args, error] of refused) {
    const r = await tollgate('key', ...args, '--data-dir', dir);
    assert.ok(r.code === 1 || r.code === 2, args.join(' '));
    assert.match(r.stderr, error);
  }
  assert.match((await tollgate('key', '--help')).stdout, /Example: KEY=\$\(tollgate key create/);
  const made = await tollgate('key', 'create', '--name', 'app', '--data-dir', dir);
  assert.match(made.stdout, /^tg-[A-Za-z0-9]{48}\n$/, 'for a shell variable');
  assert.match(made.stderr, /shown this once[^]*active\s+app\nIt opens the gateway/);
  assert.ok(made.stderr.includes(dir));
  assert.match((await tollgate('key', 'list', '--data-dir', dir)).stdout, /active\s+app/);
});

test('commands beside the gateway work where the keys of its providers are not set', async () => {
  const dir = await tempDir();
  const file = path.join(dir, 'there.json');
  const config = {
    ...localConfig({ top: { dataDir: path.join(dir, 'data'), timeZone: 'local' } }),
    providers: { away: { kind: 'openai', apiKey: { env: 'TOLLGATE_TEST_NOT_SET' } } },
  };
  await writeFile(file, JSON.stringify(config));
  const made = await tollgate('key', 'create', '--name', 'a', '--routes', 'x', '--config', file);
  assert.equal(made.code, 0);
  assert.match(made.stderr, /were not checked: .*TOLLGATE_TEST_NOT_SET is not set/);
  assert.ok(made.stderr.includes(path.join(dir, 'data')));
  const report = await tollgate('report', '--config', file);
  assert.match(report.stderr, /data\/log\.db: no such file: no gateway has run on this dataDir/);
  assert.doesNotMatch(report.stderr, /TOLLGATE_TEST_NOT_SET/);
  const nowhere = await tollgate('report', '--config', path.join(dir, 'none.json'));
  assert.match(nowhere.stderr, /none\.json: No such file/);
});
