// GET /metrics: what is documented is told, in the format to the letter, and the numbers are those
// of what happened.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { readExposition, sumOf, valueOf } from './exposition.mjs';
import { rawSocket, request, root, startGateway, waitFor } from './lib.mjs';
import { startMock } from './mock_provider.mjs';
import { answerCost, chat, hybridConfig, localConfig, post, sse } from './support.mjs';

let mock, gw, config;
before(async () => {
  mock = await startMock();
  config = hybridConfig(mock, { models: ['answer', 'error'], budget: '$1/day' });
  const [local] = config.routes;
  const one = (name, tier, trigger) => ({
    ...local,
    name,
    fallback: [{ ...local.fallback[tier], trigger }],
  });
  const cloud = one('cloud', 0, 'turns > 0');
  const shaky = one('shaky', 1, 'turns > 0');
  const judged = one('judged', 0, 'confidence >= 0');
  const free = { name: 'free', primary: { provider: 'local' } };
  config.providers.own = { ...config.providers.mock, prices: {} };
  free.fallback = [{ provider: 'own', model: 'answer', maxTokens: 64 }];
  config.routes = [local, cloud, shaky, judged, free];
  gw = await startGateway({ config });
});
after(async () => {
  await gw?.stop();
  await mock.stop();
});

async function scrape(from = gw) {
  const r = await from.get('/metrics');
  assert.equal(r.status, 200);
  return readExposition(r.text);
}

// The value told in a header, or in the last comment of a stream, in nano-dollars.
const costOf = (r) => {
  const told = r.headers['x-tollgate-cost-usd'] ?? /"cost_usd":([\d.]+)/.exec(r.text + r.raw)?.[1];
  assert.match(told, /^\d+\.\d{9}$/);
  return BigInt(told.replace('.', ''));
};

test('HELP, TYPE and labels are those of the table in README.md', async () => {
  const text = readFileSync(path.join(root, 'gateway/README.md'), 'utf8');
  const row = /^\| `((?:tollgate|process)_\w+)` \| (\w+) \| (.*?) \| (.*) \|$/gm;
  const rows = [...text.matchAll(row)];
  const families = await scrape();
  assert.deepEqual(families.get('tollgate_tls_certificate_not_after_seconds').samples, []);
  assert.deepEqual(
    rows.map((cells) => cells[1]),
    [...families.keys()],
  );
  for (const [, name, type, labels, help] of rows) {
    const family = families.get(name);
    assert.equal(family.type, type, name);
    assert.equal(family.help, help, name);
    const named = labels.split(', ').filter((label) => label);
    for (const s of family.samples)
      assert.deepEqual(Object.keys(s.labels).filter((l) => l !== 'le'), named, name);
  }
});

test('the endpoint: its type, HEAD, other methods', async () => {
  const get = await gw.get('/metrics');
  assert.equal(get.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
  const head = await gw.get('/metrics', { method: 'HEAD' });
  assert.equal(head.status, 200);
  assert.equal(head.text, '');
  assert.ok(Number(head.headers['content-length']) > 4000);
  const wrong = await gw.get('/metrics', { method: 'POST', body: {} });
  assert.equal(wrong.status, 405);
  assert.equal(wrong.headers.allow, 'GET, HEAD, OPTIONS');
});

test('requests, tokens and money are those that were', async () => {
  const before = await scrape();
  const answers = [];
  for (let i = 0; i < 3; i++) answers.push(await chat(gw, { max_tokens: 3 }));
  answers.push(await sse(gw, { max_tokens: 3 }), await sse(gw, { max_tokens: 3, model: 'local' }));
  for (let i = 0; i < 2; i++) answers.push(await chat(gw, { model: 'cloud' }));
  for (let i = 0; i < 3; i++) answers.push(await sse(gw, { model: 'cloud' }));
  answers.push(await chat(gw, { model: 'judged', max_tokens: 3 }));
  answers.push(await chat(gw, { model: 'shaky', max_tokens: 3 }));
  answers.push(await chat(gw, { model: 'mock/answer' }));
  const message = { model: 'cloud', messages: [{ role: 'user', content: 'Hi' }] };
  answers.push(await post(gw, '/v1/messages', JSON.stringify({ ...message, max_tokens: 9 })));
  answers.push(await post(gw, '/api/chat', JSON.stringify({ ...message, stream: false })));
  for (const r of answers) assert.equal(r.status, 200);
  assert.equal((await chat(gw, { model: 'nobody-knows' })).status, 404);
  assert.equal((await chat(gw, { temperature: 'warm' })).status, 400);
  const count = { model: 'local', messages: message.messages };
  assert.equal((await post(gw, '/v1/messages/count_tokens', JSON.stringify(count))).status, 200);
  const idle = { model: 'local', messages: [] };
  assert.equal((await post(gw, '/api/chat', JSON.stringify(idle))).status, 200);

  const now = await scrape();
  const requests = (dialect, route, outcome) =>
    Number(valueOf(now, 'tollgate_requests_total', { dialect, route, outcome }) ?? 0);
  assert.equal(requests('openai', 'default', 'local'), 5);
  assert.equal(requests('openai', 'cloud', 'provider'), 5);
  assert.equal(requests('openai', 'judged', 'escalated'), 1);
  assert.equal(requests('openai', 'shaky', 'local'), 1);
  assert.equal(requests('openai', 'default', 'provider'), 1, 'PROVIDER/MODEL is of its payer');
  assert.equal(requests('anthropic', 'cloud', 'provider'), 1);
  assert.equal(requests('ollama', 'cloud', 'provider'), 1);
  assert.equal(requests('openai', 'none', 'refused'), 2);
  assert.equal(requests('anthropic-count', 'default', 'counted'), 1);
  assert.equal(requests('ollama', 'default', 'idle'), 1);
  assert.equal(sumOf(now, 'tollgate_requests_total'), answers.length + 4);
  const kind = (k) => valueOf(now, 'tollgate_request_errors_total', { dialect: 'openai', kind: k });
  assert.equal(kind('model-not-found'), '1');
  assert.equal(kind('invalid-request'), '1');

  for (const name of ['request_duration', 'time_to_first_byte', 'time_to_first_token']) {
    const of = (dialect, route) => valueOf(now, `tollgate_${name}_seconds`, { dialect, route });
    assert.equal(of('openai', 'default'), '6', name);
    assert.equal(of('openai', 'cloud'), '5', name);
    assert.equal(sumOf(now, `tollgate_${name}_seconds`), answers.length, name);
  }
  assert.equal(sumOf(now, 'tollgate_queue_wait_seconds'), 7, 'local jobs');

  const paid = answers.map(costOf);
  const spent = now
    .get('tollgate_spend_dollars_total')
    .samples.map((s) => BigInt(s.text.replace('.', '')))
    .reduce((a, b) => a + b, 0n);
  assert.equal(spent, paid.reduce((a, b) => a + b, 0n));
  assert.equal(spent, BigInt(9 * answerCost));
  const cloud = { route: 'cloud', backend: 'mock/answer' };
  assert.equal(valueOf(now, 'tollgate_spend_dollars_total', cloud), '0.000147000');
  const budget = (what, name) => valueOf(now, `tollgate_budget_${what}_dollars`, { budget: name });
  assert.equal(budget('spent', 'cloud'), '0.000147000');
  assert.equal(budget('cap', 'cloud'), '1.000000000');
  assert.equal(budget('cap', 'free'), '+Inf');
  assert.equal(budget('reserved', 'cloud'), '0.000000000');
  assert.equal(valueOf(now, 'tollgate_reservations', { state: 'open' }), '0');
  assert.equal(valueOf(now, 'tollgate_ledger_available'), '1');

  const tokens = (backend, direction) =>
    Number(valueOf(now, 'tollgate_tokens_total', { backend, direction }));
  assert.equal(tokens('mock/answer', 'input'), 9 * 11);
  assert.equal(tokens('mock/answer', 'output'), 9 * 5);
  assert.equal(tokens('local', 'output'), 7 * 3);
  const engine = (name) => Number(valueOf(now, `tollgate_engine_${name}_tokens_total`));
  assert.equal(engine('generated') - sumOf(before, 'tollgate_engine_generated_tokens_total'), 21);
  assert.equal(engine('prompt'), tokens('local', 'input'));
  const tries = (backend, outcome) =>
    valueOf(now, 'tollgate_attempts_total', { backend, outcome });
  assert.equal(tries('local', 'finished'), '7');
  assert.equal(tries('mock/answer', 'finished'), '9');
  assert.equal(tries('mock/error', 'status'), '1');
  const calls = (route, reason) => valueOf(now, 'tollgate_escalations_total', { route, reason });
  assert.equal(calls('cloud', 'trigger'), '7');
  assert.equal(calls('shaky', 'trigger'), '1');
  assert.equal(calls('judged', 'judged'), '1');
  assert.equal(calls('default', 'named'), '1');
  assert.equal(sumOf(now, 'tollgate_escalations_total'), 10);
});

test('the engine, HTTP and the process tell of themselves', async () => {
  const raw = await rawSocket(gw.port);
  await raw.send('GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n');
  await raw.until('HTTP/1.1 400');
  const now = await scrape();
  const [info] = now.get('tollgate_engine_info').samples;
  assert.equal(info.text, '1');
  assert.equal(info.labels.model, 'Tiny Dense');
  assert.equal(info.labels.precision, 'fast');
  assert.equal(valueOf(now, 'tollgate_engine_context_tokens'), '2048');
  assert.ok(Number(valueOf(now, 'tollgate_engine_memory_bytes', { of: 'kv' })) > 1000);
  assert.ok(Number(valueOf(now, 'tollgate_engine_tokens_per_second', { phase: 'prompt' })) > 0);
  assert.equal(valueOf(now, 'tollgate_http_refused_total', { code: '400' }), '1');
  assert.ok(Number(valueOf(now, 'tollgate_http_responses_total', { class: '2xx' })) > 10);
  assert.ok(Number(valueOf(now, 'tollgate_http_responses_total', { class: '4xx' })) >= 3);
  assert.equal(valueOf(now, 'tollgate_http_requests_running'), '1', 'this one');
  assert.ok(Number(valueOf(now, 'tollgate_http_connections')) >= 1);
  assert.ok(Number(valueOf(now, 'tollgate_upstream_connections_total')) >= 1);
  assert.ok(Number(valueOf(now, 'process_resident_memory_bytes')) > 4 << 20);
  assert.ok(Number(valueOf(now, 'process_open_fds')) > 5);
  assert.ok(Number(valueOf(now, 'process_cpu_seconds_total')) > 0);
  const started = Number(valueOf(now, 'process_start_time_seconds'));
  assert.ok(Math.abs(Date.now() / 1000 - started) < 600);
  assert.ok(Number(valueOf(now, 'tollgate_loop_lag_seconds')) > 10);
  raw.destroy();
});

test('a request under way and one whose client went', async () => {
  mock.control({ behaviour: 'hang' });
  const abort = new AbortController();
  const asked = chat(gw, { model: 'cloud' }, {}, abort.signal).catch(() => null);
  const during = await waitFor(async () => {
    const now = await scrape();
    return valueOf(now, 'tollgate_reservations', { state: 'open' }) === '1' ? now : null;
  });
  assert.equal(valueOf(during, 'tollgate_upstream_transfers'), '1');
  assert.ok(Number(valueOf(during, 'tollgate_budget_reserved_dollars', { budget: 'cloud' })) > 0);
  abort.abort();
  await asked;
  const gone = { dialect: 'openai', route: 'cloud', outcome: 'gone' };
  const ended = await waitFor(async () => {
    const now = await scrape();
    return valueOf(now, 'tollgate_requests_total', gone) === '1' ? now : null;
  });
  mock.control({});
  const given = { backend: 'mock/answer', outcome: 'given-up' };
  assert.equal(valueOf(ended, 'tollgate_attempts_total', given), '1');
  assert.equal(valueOf(ended, 'tollgate_reservations', { state: 'open' }), '0');
});

test('what clients make up is never a label', async () => {
  const before = await scrape();
  const series = (families) => [...families.values()].reduce((n, f) => n + f.samples.length, 0);
  for (let i = 0; i < 20; i++) {
    assert.equal((await chat(gw, { model: `own/made-up-${i}`, max_tokens: 3 })).status, 200);
    assert.equal((await chat(gw, { model: `made-up-${i}` })).status, 404);
    await gw.get(`/made-up-${i}`);
  }
  const r = await gw.get('/metrics');
  assert.ok(!r.text.includes('made-up'));
  const now = readExposition(r.text);
  const own = { backend: 'own/other', outcome: 'finished' };
  assert.equal(valueOf(now, 'tollgate_attempts_total', own), '20');
  assert.ok(series(now) - series(before) < 80, 'four histograms and a few counters');
});

test('a reload keeps what was counted; a route that went keeps its series, no budget', async () => {
  const before = await scrape();
  const fewer = { ...config, dataDir: gw.dataDir, routes: config.routes.slice(0, 2) };
  await writeFile(gw.configFile, JSON.stringify(fewer));
  gw.signal('SIGHUP');
  await waitFor(() => gw.log().some((e) => e.event === 'reloaded'));
  assert.equal((await chat(gw, { model: 'judged' })).status, 404);
  const now = await scrape();
  const judged = { dialect: 'openai', route: 'judged', outcome: 'escalated' };
  assert.equal(valueOf(now, 'tollgate_requests_total', judged), '1');
  const spent = async (budget) =>
    valueOf(await scrape(), 'tollgate_budget_spent_dollars', { budget });
  assert.ok(valueOf(before, 'tollgate_budget_cap_dollars', { budget: 'judged' }));
  assert.ok(await spent('cloud'));
  await waitFor(async () => (await spent('judged')) === undefined);
  const [book] = await gw.rows('ledger.db', "select * from period where budget = 'judged'");
  assert.deepEqual([book.leased_nano, book.spent_nano], [0, answerCost]);
  for (const family of before.values())
    for (const s of family.type === 'counter' ? family.samples : [])
      assert.ok(Number(valueOf(now, family.name, s.labels)) >= Number(s.text), family.name);
});

test('scrapes under load are whole and never sink', async () => {
  let running = true,
    before = await scrape();
  const load = Array.from({ length: 8 }, async (_, i) => {
    for (let k = 0; k < 6; k++) await (i % 2 ? chat : sse)(gw, { model: 'cloud', max_tokens: 4 });
  });
  Promise.all(load).finally(() => {
    running = false;
  });
  let scrapes = 0;
  do {
    const now = await scrape();
    const of = (f) => sumOf(f, 'tollgate_requests_total');
    assert.ok(of(now) >= of(before));
    before = now;
    scrapes++;
  } while (running);
  await Promise.all(load);
  assert.ok(scrapes > 1);
  const cloud = { dialect: 'openai', route: 'cloud', outcome: 'provider' };
  assert.equal(valueOf(await scrape(), 'tollgate_requests_total', cloud), String(5 + 48));
});

test('with a listener for the administrator it is there, and counts both', async () => {
  const top = { admin: { listen: '127.0.0.1:0' } };
  const governed = await startGateway({ config: localConfig({ top }) });
  const admin = governed.log().find((e) => e.event === 'admin-listening').text;
  const port = Number(/:(\d+)/.exec(admin)[1]);
  assert.equal((await governed.get('/metrics')).status, 404);
  const made = await request(port, { method: 'POST', path: '/admin/keys', body: { name: 'shop' } });
  assert.equal(made.status, 201);
  assert.equal((await chat(governed, { max_tokens: 1 })).status, 401);
  const bearer = { authorization: `Bearer ${made.json.key}` };
  assert.equal((await chat(governed, { max_tokens: 1 }, bearer)).status, 200);
  const r = await request(port, { path: '/metrics' });
  assert.equal(r.status, 200);
  assert.ok(!r.text.includes(made.json.key));
  const now = readExposition(r.text);
  assert.equal(valueOf(now, 'tollgate_http_requests_running'), '1');
  assert.equal(valueOf(now, 'tollgate_http_responses_total', { class: '2xx' }), '2');
  assert.equal(valueOf(now, 'tollgate_http_responses_total', { class: '4xx' }), '2');
  assert.equal(sumOf(now, 'tollgate_requests_total'), 1);
  await governed.stop();
});

test("a revoked key's budget is gone, its spending is not", async () => {
  const top = { admin: { listen: '127.0.0.1:0' } };
  const cloud = hybridConfig(mock, { trigger: 'turns > 0', top });
  const governed = await startGateway({ config: cloud });
  const admin = governed.log().find((e) => e.event === 'admin-listening').text;
  const ask = (method, path, body) =>
    request(Number(/:(\d+)/.exec(admin)[1]), { method, path, body });
  const spent = async (budget) => {
    const r = await ask('GET', '/metrics');
    return valueOf(readExposition(r.text), 'tollgate_budget_spent_dollars', { budget });
  };
  const made = (await ask('POST', '/admin/keys', { name: 'app', budget: '$1/month' })).json;
  const bearer = { authorization: `Bearer ${made.key}` };
  assert.equal((await chat(governed, {}, bearer)).headers['x-tollgate-route'], 'mock/answer');
  const name = `key:${made.id}`;
  const told = (answerCost / 1e9).toFixed(9);
  await waitFor(async () => (await spent(name)) === told);
  assert.equal((await ask('DELETE', `/admin/keys/${made.id}`)).status, 200);
  await waitFor(async () => (await spent(name)) === undefined);
  assert.equal(await spent('default'), told);
  const [book] = await governed.rows('ledger.db', `select * from period where budget = '${name}'`);
  assert.deepEqual([book.leased_nano, book.spent_nano], [0, answerCost]);
  await governed.stop();
});
