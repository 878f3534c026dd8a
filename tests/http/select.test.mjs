// What the model of a request selects: routes, local, a provider's model, aliases; and its money.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startGateway, waitFor } from './lib.mjs';
import { startMock } from './mock_provider.mjs';
import { answerCost, chat, hybridConfig, ledger, logRow, post, sse } from './support.mjs';

let mock, gw;
before(async () => {
  mock = await startMock();
  const config = hybridConfig(mock, { trigger: 'confidence < 0', budget: '$1/day' });
  Object.assign(config.providers.mock.prices, { usage: config.providers.mock.prices.answer });
  config.routes.push({ name: 'second' });
  config.aliases = {
    'gpt-4o': 'default',
    'claude-*': 'second',
    'here-*': 'local',
    'big-model': 'mock/answer',
  };
  gw = await startGateway({ config });
});
after(async () => {
  await gw?.stop();
  await mock.stop();
});

test('routes, local and aliases answer under the name that was asked for', async () => {
  for (const [model, route, only] of [
    ['second', 'second', 0],
    ['gpt-4o', 'default', 0],
    ['claude-sonnet-4-20250514', 'second', 0],
    ['local', 'default', 1],
    ['here-or-there', 'default', 1],
  ]) {
    const r = await chat(gw, { model });
    assert.equal(r.status, 200, r.text);
    assert.equal(r.json.model, model);
    assert.equal(r.headers['x-tollgate-route'], 'local');
    const row = await logRow(gw, r.headers);
    assert.deepEqual([row.route, row.local_only], [route, only], model);
  }
  assert.equal(mock.log().requests.length, 0);
});

test("a provider's model answers alone, and spends from its route's budget", async () => {
  const before = (await ledger(gw))?.spent_nano ?? 0;
  for (const model of ['mock/answer', 'big-model']) {
    const r = await chat(gw, { model });
    assert.equal(r.status, 200, r.text);
    assert.equal(r.json.model, model);
    assert.equal(r.headers['x-tollgate-route'], 'mock/answer');
    assert.equal(r.headers['x-tollgate-reason'], 'model-named');
    assert.equal(r.headers['x-tollgate-confidence'], undefined);
    const row = await logRow(gw, r.headers);
    assert.deepEqual([row.route, row.backend], ['default', 'mock/answer']);
    assert.equal(row.cost_nano, answerCost);
  }
  const stream = await sse(gw, { model: 'mock/usage' });
  assert.equal(stream.headers['x-tollgate-route'], 'mock/usage');
  assert.ok(stream.done);
  const spent = 2 * answerCost + Math.round(stream.comment.cost_usd * 1e9);
  await waitFor(async () => (await ledger(gw)).spent_nano - before === spent);
});

test('what may not be called is refused, and nothing leaves', async () => {
  const sent = mock.log().requests.length;
  const only = await chat(gw, { model: 'mock/answer' }, { 'x-tollgate-local-only': 'true' });
  assert.equal(only.status, 403);
  assert.equal(only.json.error.param, 'model');
  assert.match(only.json.error.message, /local-only request cannot be answered by mock\/answer/);
  const unpriced = await chat(gw, { model: 'mock/unpriced' });
  assert.equal(unpriced.status, 400);
  assert.match(unpriced.json.error.message, /add it to providers\.mock\.prices/);
  for (const model of ['nobody', 'nobody/m', 'mock/', 'mock/a b', 'GPT-4o']) {
    const r = await chat(gw, { model });
    assert.equal(r.status, 404, model);
    assert.equal(r.json.error.code, 'model_not_found');
    assert.match(r.json.error.message, /"aliases"/);
  }
  const dear = await chat(gw, { model: 'mock/answer', max_tokens: 900000 });
  assert.equal(dear.status, 429, 'above the cap');
  assert.equal(dear.json.error.code, 'budget_exhausted');
  assert.equal(dear.headers['x-should-retry'], 'false');
  assert.equal(dear.headers['retry-after'], undefined, 'it never fits');
  assert.equal(mock.log().requests.length, sent);
});

test('a failure of the named model is told: nobody else answers', async () => {
  const r = await chat(gw, { model: 'mock/error' });
  assert.equal(r.status, 400, 'no price');
  const config = hybridConfig(mock, { models: ['error'], trigger: 'confidence < 0' });
  const other = await startGateway({ config });
  try {
    const failed = await chat(other, { model: 'mock/error' });
    assert.equal(failed.status, 502, failed.text);
    mock.control({ behaviour: 'error', status: 401, message: 'Incorrect key: mo****ey', times: 1 });
    const key = await chat(other, { model: 'mock/error' });
    assert.equal(key.status, 502);
    assert.match(key.json.error.message, /does not accept the key that this gateway has/);
    assert.doesNotMatch(key.text, /mo\*/, 'parts of the key are for the log alone');
    assert.ok(other.log().some((e) => e.event === 'provider-key' && /mo\*{4}ey/.test(e.text)));
    for (let i = 0; i < 10; i++) await chat(other, { model: 'mock/error' });
    const lines = other.log().filter((e) => e.event === 'attempt-failed');
    assert.equal(lines.length, 2, 'of each cause the first'); /* 500 and 401 */
    assert.match(lines[0].text, /^request \w{16}: provider-failed: mock\/error answered 500: /);
    const free = await chat(other, { model: 'mock/anything' });
    assert.equal(free.status, 200, 'no budget, no price needed');
  } finally {
    await other.stop();
  }
});

test('lists have every name once, and single ones may be asked for', async () => {
  const list = JSON.parse(await (await fetch(gw.url + '/v1/models')).text());
  assert.deepEqual(
    list.data.map((m) => m.id),
    ['default', 'second', 'local', 'gpt-4o', 'big-model', 'mock/answer'],
  );
  const tags = JSON.parse(await (await fetch(gw.url + '/api/tags')).text());
  assert.deepEqual(
    tags.models.map((m) => m.name.replace(':latest', '')),
    ['default', 'second', 'local', 'gpt-4o'],
  );
  for (const id of ['claude-opus-4', 'mock/answer', 'mock%2Fanswer'])
    assert.equal((await fetch(`${gw.url}/v1/models/${id}`)).status, 200, id);
  assert.equal((await fetch(gw.url + '/v1/models/nobody')).status, 404);
  assert.equal((await post(gw, '/api/show', '{"model":"gpt-4o:latest"}')).status, 200);
  for (const model of ['mock/answer', 'big-model:latest']) {
    const shown = await post(gw, '/api/show', JSON.stringify({ model }));
    assert.equal(shown.status, 200, shown.text);
    const { details, model_info, remote_model, capabilities } = JSON.parse(shown.text);
    assert.deepEqual([details.family, details.families, model_info], ['', [], {}]);
    assert.equal(remote_model, 'answer');
    assert.ok(['completion', 'tools', 'embedding'].every((c) => capabilities.includes(c)));
  }
});

test('a base URL without /v1, or with one too many, is told', async () => {
  const told = async (target) => (await post(gw, target, '{}')).text;
  assert.match(await told('/chat/completions'), /base URL has to end with \/v1;/);
  assert.match(await told('/models'), /has to end with/);
  for (const target of ['/v1/v1/messages', '/v1/api/chat'])
    assert.match(await told(target), /base URL has to end without \/v1;/, target);
  for (const target of ['/v1', '/v1/', '/', '/completion'])
    assert.doesNotMatch(await told(target), /base URL/, target);
});
