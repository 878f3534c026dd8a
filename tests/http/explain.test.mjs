// x-tollgate-explain: what scores are made of, for whole answers, streams, escalated ones and those
// without a local run.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startGateway } from './lib.mjs';
import { startMock } from './mock_provider.mjs';
import { chat, hybridConfig, localConfig, sse } from './support.mjs';

const why = { 'x-tollgate-explain': 'true' };
const names = [
  ...['mean', 'median', 'p90', 'max', 'total'].map((n) => `${n}_uncertainty`),
  ...['min_probability', 'mean_doubt', 'max_entropy', 'first_entropy', 'first_doubt'],
  ...['low_margin', 'few_tokens'],
];

let mock;
before(async () => {
  mock = await startMock();
});
after(async () => {
  await mock.stop();
});

async function withGateway(config, body) {
  const gw = await startGateway({ config });
  try {
    await body(gw);
  } finally {
    await gw.stop();
  }
}

function looksRight(explain, { span, precision = 'fast' }) {
  const { key, calibrated, value, raw, features } = explain.confidence;
  assert.equal(key.precision, precision);
  assert.equal(key.features, 2);
  assert.equal(key.span, span);
  assert.equal(key.thinking, false);
  assert.equal(calibrated, false);
  assert.equal(value, raw);
  assert.ok(value >= 0 && value <= 0.9);
  assert.deepEqual(Object.keys(features), names);
  assert.ok(Object.values(features).every((v) => v >= 0 && v <= 1));
  assert.ok(Math.abs(features.min_probability - Math.exp(-features.max_uncertainty /
    (1 - features.max_uncertainty))) < 1e-6);
  assert.ok('value' in explain.complexity && 'length' in explain.complexity.features);
}

test('a whole local answer', async () => {
  await withGateway(localConfig(), async (gw) => {
    const r = await chat(gw, {}, why);
    const explain = JSON.parse(r.headers['x-tollgate-explain']);
    looksRight(explain, { span: 'answer' });
    assert.equal(explain.confidence.value.toFixed(4), r.headers['x-tollgate-confidence']);
    assert.ok(r.headers['x-tollgate-explain'].length < 2048);
    assert.equal((await chat(gw)).headers['x-tollgate-explain'], undefined);
    const off = await chat(gw, {}, { 'x-tollgate-explain': 'false' });
    assert.equal(off.headers['x-tollgate-explain'], undefined);
    const odd = await chat(gw, {}, { 'x-tollgate-explain': '1' });
    assert.equal(odd.status, 400);
    assert.match(odd.json.error.message, /x-tollgate-explain takes true or false/);
  });
});

test('exact precision is told as what runs', async () => {
  await withGateway(localConfig({ engine: { precision: 'exact' } }), async (gw) => {
    const r = await chat(gw, {}, why);
    looksRight(JSON.parse(r.headers['x-tollgate-explain']), {
      span: 'answer',
      precision: 'exact',
    });
  });
});

test('a stream: the window where it could decide, else the whole answer', async () => {
  const hold = { holdBack: { tokens: 4 } };
  await withGateway(hybridConfig(mock, { trigger: 'confidence < 0', route: hold }), async (gw) => {
    const r = await sse(gw, { max_tokens: 32 }, why);
    assert.equal(r.headers['x-tollgate-route'], 'local');
    assert.equal(r.headers['x-tollgate-explain'], undefined);
    looksRight(r.comment.explain, { span: 'window' });
    assert.equal(
      r.comment.explain.confidence.value.toFixed(4),
      r.headers['x-tollgate-confidence'],
    );
    assert.equal((await sse(gw)).comment.explain, undefined);
    const only = await sse(gw, {}, { ...why, 'x-tollgate-local-only': 'true' });
    looksRight(only.comment.explain, { span: 'answer' });
    const whole = await chat(gw, {}, why);
    const same = JSON.parse(whole.headers['x-tollgate-explain']).confidence;
    assert.deepEqual(same.features, only.comment.explain.confidence.features);
  });
});

test('an escalated answer explains the local one that was judged', async () => {
  await withGateway(hybridConfig(mock, { trigger: 'confidence < 0.99' }), async (gw) => {
    const whole = await chat(gw, {}, why);
    assert.equal(whole.headers['x-tollgate-route'], 'mock/answer');
    looksRight(JSON.parse(whole.headers['x-tollgate-explain']), { span: 'answer' });
    const stream = await sse(gw, { max_tokens: 64 }, why);
    assert.equal(stream.headers['x-tollgate-route'], 'mock/answer');
    const confidence = stream.comment.explain.confidence;
    assert.equal(confidence.value.toFixed(4), stream.headers['x-tollgate-confidence']);
  });
});

test('without a local run there is no confidence', async () => {
  await withGateway(hybridConfig(mock, { trigger: 'turns > 0' }), async (gw) => {
    const whole = JSON.parse((await chat(gw, {}, why)).headers['x-tollgate-explain']);
    const stream = (await sse(gw, {}, why)).comment.explain;
    for (const explain of [whole, stream]) {
      assert.equal(explain.confidence, null);
      assert.equal(explain.complexity.value, null); // terse: it abstains
      assert.ok('length' in explain.complexity.features);
    }
  });
});
