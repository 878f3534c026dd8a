// Embeddings end to end: OpenAI's and Ollama's endpoints over a mock provider, their money,
// privacy, tiers behind each other, and what a provider may get wrong.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { rows, startGateway, waitFor } from './lib.mjs';
import { startMock } from './mock_provider.mjs';
import { hybridConfig, logRow, post } from './support.mjs';

let mock, gw;
const routes = {
  default: ['embed'], // the mock answers by path
  floats: ['embed-floats'],
  shuffled: ['embed-shuffled'],
  second: ['error', 'embed'],
  short: ['embed-short'],
  nan: ['embed-nan'],
  hang: ['hang'],
};
before(async () => {
  mock = await startMock();
  const models = [...new Set(Object.values(routes).flat())];
  const config = hybridConfig(mock, { models, budget: '$1/month' });
  const [first] = config.routes;
  config.routes = Object.entries(routes).map(([name, tiers]) => ({
    ...first,
    name,
    fallback: tiers.map((model) => ({ provider: 'mock', model })),
  }));
  gw = await startGateway({ config });
});
after(() => mock.stop());

async function embed(fields, headers, target = '/v1/embeddings', signal) {
  const r = await post(gw, target, JSON.stringify(fields), headers, signal);
  return { ...r, json: JSON.parse(r.text) };
}
const last = () => mock.log().requests.at(-1);
const vector = (i) => [i + 1, 0.5, -0.25, 0.25];

test('texts: numbers, in the order of the inputs, with usage, cost and row', async () => {
  const r = await embed({ input: ['a', 'b'], model: 'default', user: 'u' });
  assert.equal(r.status, 200);
  assert.deepEqual(r.json, {
    object: 'list',
    data: [0, 1].map((index) => ({ object: 'embedding', index, embedding: vector(index) })),
    model: 'default',
    usage: { prompt_tokens: 11, total_tokens: 11 },
  });
  assert.equal(last().path, '/embeddings');
  assert.deepEqual(last().body, {
    model: 'embed',
    input: ['a', 'b'],
    encoding_format: 'base64',
    user: 'u',
  });
  assert.equal(r.headers['x-tollgate-route'], 'mock/embed');
  assert.match(r.headers['x-tollgate-reason'], /^local-cannot: input/);
  assert.equal(r.headers['x-tollgate-cost-usd'], '0.000011000'); // 11 tokens at $1 a million
  const row = await logRow(gw, r.headers);
  assert.equal(row.dialect, 'openai-embeddings');
  assert.deepEqual([row.prompt_tokens, row.output_tokens, row.stream], [11, 0, 0]);
  const booked = () =>
    rows(gw.dataDir, 'ledger.db', "select * from period where budget = 'default'");
  await waitFor(async () => JSON.stringify(await booked()).includes('11000'), { what: 'booking' });
});

test('base64 to who asks for it; token ids and dimensions go on', async () => {
  const r = await embed({ input: [[5, 6], [7]], encoding_format: 'base64', dimensions: 2 });
  const bytes = Buffer.from(r.json.data[1].embedding, 'base64');
  assert.deepEqual([bytes.readFloatLE(0), bytes.readFloatLE(4), bytes.length], [2, 0.5, 8]);
  assert.deepEqual(last().body.input, [[5, 6], [7]]);
  assert.equal(last().body.dimensions, 2);
  const one = await embed({ input: 'a' });
  assert.deepEqual(one.json.data[0].embedding, vector(0));
});

test('providers that answer numbers, or in another order', async () => {
  for (const model of ['floats', 'shuffled']) {
    const r = await embed({ input: ['a', 'b', 'c'], model });
    assert.deepEqual(
      r.json.data.map((d) => d.embedding),
      [0, 1, 2].map(vector),
    );
  }
});

test('the next tier answers; without one the failure is told', async () => {
  const r = await embed({ input: 'a', model: 'second' });
  assert.equal(r.headers['x-tollgate-route'], 'mock/embed');
  assert.equal(r.headers['x-tollgate-reason'], 'provider-failed');
  for (const [model, says] of [
    ['short', /not as many/],
    ['nan', /no number/],
  ]) {
    const bad = await embed({ input: ['a', 'b'], model });
    assert.equal(bad.status, 502);
    assert.match(bad.json.error.message, says);
  }
});

test('nothing local, and nothing leaves a local-only request', async () => {
  const asked = mock.log().requests.length;
  for (const [fields, headers] of [
    [{ input: 'a', model: 'local' }],
    [{ input: 'a' }, { 'x-tollgate-local-only': 'true' }],
  ]) {
    const r = await embed(fields, headers);
    assert.equal(r.status, 400);
    assert.equal(r.json.error.param, 'input');
    assert.match(r.json.error.message, /local model of this version makes no embeddings/);
  }
  assert.equal(mock.log().requests.length, asked);
});

test('a cap that the inputs could break is kept', async () => {
  const r = await embed({ input: 'x'.repeat(1_100_000) }); // above $1 at $1 a million bytes
  assert.equal(r.status, 429);
  assert.equal(r.json.error.code, 'budget_exhausted');
  const unknown = await embed({ model: 'text-embedding-3-small', input: 'x' });
  assert.equal(unknown.status, 404);
  assert.match(unknown.json.error.message, /"text-embedding-3-small": "PROVIDER\/EMBEDDING-MODEL"/);
});

test('a client that goes ends the call', async () => {
  const stop = new AbortController();
  const asked = embed({ input: 'a', model: 'hang' }, {}, undefined, stop.signal);
  await waitFor(() => last().behaviour === 'hang');
  stop.abort();
  await assert.rejects(asked);
  await waitFor(() => last().aborted !== null);
});

test('many vectors, printed by a worker', async () => {
  const inputs = Array.from({ length: 64 }, (_, i) => `text ${i}`);
  const r = await embed({ input: inputs, dimensions: 512 });
  assert.equal(r.json.data.length, 64);
  assert.ok(r.json.data.every((d, i) => d.embedding.length === 512 && d.embedding[0] === i + 1));
  assert.equal((await logRow(gw, r.headers)).status, 200);
});

test('Ollama: embed, embeddings, and loading', async () => {
  const r = await embed({ model: 'default', input: ['a', 'b'], truncate: true }, {}, '/api/embed');
  assert.deepEqual(r.json.embeddings, [vector(0), vector(1)]);
  assert.equal(r.json.model, 'default');
  assert.equal(r.json.prompt_eval_count, 11);
  assert.ok(r.json.total_duration > 0 && r.json.load_duration > 0);
  assert.equal((await logRow(gw, r.headers)).dialect, 'ollama-embed');
  const old = await embed({ model: 'default', prompt: 'a' }, {}, '/api/embeddings');
  assert.deepEqual(old.json, { embedding: vector(0) });
  const load = await embed({ model: 'default' }, {}, '/api/embed');
  assert.deepEqual(load.json, { model: 'default', embeddings: [] });
  const local = await embed({ model: 'local', prompt: 'a' }, {}, '/api/embeddings');
  assert.equal(local.status, 400);
  assert.match(local.json.error, /^prompt: the local model/);
});
