// Low confidence, complexity, slowness and failure: who answers, what the client sees,
// what it costs.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fewUnderTsan, slow, startGateway, waitFor } from './lib.mjs';
import { startMock } from './mock_provider.mjs';
import { answerCost, chat, hybridConfig, ledger, logRow, png, sse } from './support.mjs';

let mock;
before(async () => {
  mock = await startMock();
});
after(async () => {
  await mock.stop();
});

async function withGateway(options, body) {
  mock.clear();
  const gw = await startGateway({ config: hybridConfig(mock, options) });
  try {
    await body(gw);
  } finally {
    await gw.stop();
  }
}

const low = 'confidence < 0.99';
const dollars = (nano) => (nano / 1e9).toFixed(9);

test('low confidence: the provider answers, and the client sees only that', async () => {
  await withGateway({ trigger: low, budget: '$1/day' }, async (gw) => {
    const whole = await chat(gw);
    assert.equal(whole.status, 200);
    assert.equal(whole.headers['x-tollgate-route'], 'mock/answer');
    assert.equal(whole.headers['x-tollgate-reason'], 'trigger: confidence < 0.99');
    assert.equal(whole.headers['x-tollgate-cost-usd'], dollars(answerCost));
    assert.ok(Number(whole.headers['x-tollgate-confidence']) < 0.99);
    assert.equal(whole.json.choices[0].message.content, 'word0 word1 word2 word3 word4 ');
    assert.equal(whole.json.model, 'default');
    const row = await logRow(gw, whole.headers);
    assert.equal(row.escalated, 1);
    assert.equal(row.cost_nano, answerCost);

    const stream = await sse(gw);
    assert.equal(stream.text, 'word0 word1 word2 word3 word4 ');
    assert.equal(stream.headers['x-tollgate-route'], 'mock/answer');
    assert.ok(Number(stream.headers['x-tollgate-cost-usd-reserved']) >= answerCost / 1e9);
    assert.equal(stream.headers['x-tollgate-cost-usd'], undefined);
    assert.equal(stream.comment.cost_usd.toFixed(9), dollars(answerCost));
    assert.equal(stream.usage, null, 'usage was not asked for');
    assert.equal(new Set(stream.chunks.map((c) => c.id)).size, 1);
    assert.equal(mock.log().requests.length, 2);
    assert.ok(mock.log().requests.every((r) => r.body.max_tokens > 0));
    await logRow(gw, stream.headers);
    await waitFor(async () => (await ledger(gw)).spent_nano === 2 * answerCost);
  });
});

test('a trigger that is true before the run skips the local model', async () => {
  await withGateway({ trigger: 'turns >= 2' }, async (gw) => {
    const turn = (role, content) => ({ role, content });
    const two = await chat(gw, {
      messages: [turn('user', 'a'), turn('assistant', 'b'), turn('user', 'c')],
    });
    assert.equal(two.headers['x-tollgate-route'], 'mock/answer');
    assert.equal(two.headers['x-tollgate-confidence'], undefined);
    assert.equal((await chat(gw)).headers['x-tollgate-route'], 'local');
  });
});

test('a trigger that stays false or unknown pays nothing', async () => {
  await withGateway({ trigger: 'confidence < 0 OR ttft_ms > 100000' }, async (gw) => {
    assert.equal((await chat(gw)).headers['x-tollgate-route'], 'local');
    assert.equal((await sse(gw)).headers['x-tollgate-route'], 'local');
    assert.equal(mock.log().requests.length, 0);
  });
});

test('local-only: no upstream connection opens, whatever the trigger says', async () => {
  await withGateway({ trigger: `${low} OR turns > 0` }, async (gw) => {
    for (const ask of [chat, sse]) {
      const r = await ask(gw, {}, { 'x-tollgate-local-only': 'true' });
      assert.equal(r.status, 200);
      assert.equal(r.headers['x-tollgate-route'], 'local');
    }
    const named = await chat(gw, { model: 'local' });
    assert.equal(named.headers['x-tollgate-route'], 'local');
    assert.equal((await chat(gw, {}, { 'x-tollgate-local-only': 'perhaps' })).status, 400);
    assert.equal(mock.log().connections, 0);
  });
});

test('what the local model cannot take goes to a tier, or is refused by field', async () => {
  const messages = [
    {
      role: 'user',
      content: [
        { type: 'text', text: 'What is this?' },
        { type: 'image_url', image_url: { url: `data:image/png;base64,${png}` } },
      ],
    },
  ];
  await withGateway({}, async (gw) => {
    assert.equal((await chat(gw, { messages })).headers['x-tollgate-route'], 'mock/answer');
    const only = await chat(gw, { messages }, { 'x-tollgate-local-only': 'true' });
    assert.equal(only.status, 400);
    assert.match(only.json.error.message, /messages\[0\]\.content\[1\]/);
  });
});

const failures = [
  'error:{"status":500}',
  'cut:{"after":0}',
  'error:{"status":429,"retryAfter":3}',
  'malformed:{"after":0}',
  'not-http',
  'error-inside:{"after":0}',
  'redirect',
];
for (const behaviour of fewUnderTsan(failures, 2))
  for (const ask of [chat, sse])
    test(`before commit ${behaviour} gives way to local (${ask.name})`, async () => {
      await withGateway({ models: [behaviour], trigger: low, budget: '$1/day' }, async (gw) => {
        const r = await ask(gw);
        assert.equal(r.status, 200);
        assert.equal(r.headers['x-tollgate-route'], 'local');
        assert.equal(r.headers['x-tollgate-reason'], 'provider-failed');
        assert.ok((r.json?.choices[0].message.content ?? r.text).length > 0);
      });
    });

test('a dead provider, a second tier, and a slow start', async () => {
  const dead = { url: 'http://127.0.0.1:9/v1' };
  const gw = await startGateway({ config: hybridConfig(dead, { trigger: low, budget: '$1/day' }) });
  const r = await chat(gw);
  assert.equal(r.headers['x-tollgate-route'], 'local');
  assert.equal(r.headers['x-tollgate-reason'], 'provider-failed');
  assert.equal(r.headers['x-tollgate-cost-usd'], '0.000000000');
  await gw.stop();
  await withGateway({ models: ['error', 'answer'], trigger: low }, async (g) => {
    assert.equal((await chat(g)).headers['x-tollgate-route'], 'mock/answer');
    assert.deepEqual(
      mock.log().requests.map((q) => q.model),
      ['error', 'answer'],
    );
  });
  await withGateway(
    { models: ['hang'], trigger: low, route: { timeout: slow > 1 ? '4500ms' : '1500ms' } },
    async (g) => {
      const late = await chat(g, { max_tokens: 4 });
      assert.equal(late.status, 200, 'the local answer was there all the time');
      assert.equal(late.headers['x-tollgate-route'], 'local');
      assert.equal(late.headers['x-tollgate-reason'], 'timeout');
    },
  );
});

test('after commit a broken stream is an error event, never a clean end', async () => {
  const broken = [
    'cut:{"after":2}',
    'cut:{"after":2,"running":true}' /* usage so far in each chunk */,
    'malformed:{"after":2}',
    'no-done',
    'error-inside:{"after":2}',
  ];
  for (const model of fewUnderTsan(broken, 1))
    await withGateway({ models: [model], trigger: low, budget: '$1/day' }, async (gw) => {
      const r = await sse(gw);
      assert.equal(r.status, 200, model);
      assert.ok(r.text.startsWith('word0 word1 '), model);
      assert.equal(r.done, false, model);
      assert.equal(typeof r.error?.message, 'string', model);
      const row = await logRow(gw, r.headers);
      assert.equal(row.estimated, 1, model);
      const end = await waitFor(
        async () => (await gw.rows('ledger.db', 'select * from settlement'))[0],
      );
      assert.equal(end.cost_nano, end.reserved_nano, 'what was told before the end bounds nothing');
    });
});

test('max latency: too slow a start is a paid escalation', async () => {
  await withGateway(
    { route: { primary: { provider: 'local', maxLatency: '1ms' } } },
    async (gw) => {
      const r = await sse(gw, { messages: [{ role: 'user', content: 'word '.repeat(600) }] });
      assert.equal(r.headers['x-tollgate-route'], 'mock/answer');
      assert.equal(r.headers['x-tollgate-reason'], 'max-latency');
    },
  );
});

test('heartbeats come before the first byte of a slow answer', async () => {
  await withGateway(
    { models: ['answer:{"firstMs":700}'], trigger: 'turns > 0', top: { heartbeat: '200ms' } },
    async (gw) => {
      const r = await sse(gw);
      assert.ok(r.heartbeats >= 2);
      assert.equal(r.text, 'word0 word1 word2 word3 word4 ');
      assert.equal(r.comment.route, 'mock/answer:{"firstMs":700}');
    },
  );
});

test('usage: absent is booked at the bound and flagged, zero is zero', async () => {
  await withGateway({ models: ['usage-absent'], trigger: low, budget: '$1/day' }, async (gw) => {
    const r = await chat(gw);
    const row = await logRow(gw, r.headers);
    assert.equal(row.estimated, 1);
    assert.ok(row.cost_nano > answerCost);
    assert.equal(r.json.usage ?? null, null);
  });
  await withGateway({ models: ['usage-zero'], trigger: low, budget: '$1/day' }, async (gw) => {
    const r = await chat(gw);
    assert.equal(r.headers['x-tollgate-cost-usd'], '0.000000000');
    assert.equal((await logRow(gw, r.headers)).estimated, 0);
    assert.equal(r.json.usage.prompt_tokens, 0);
  });
});

test('without a budget an unknown price is paid, and its cost is told as unknown', async () => {
  mock.clear();
  const config = hybridConfig(mock, { trigger: low });
  config.providers.mock.prices = {};
  const gw = await startGateway({ config });
  const whole = await chat(gw);
  assert.equal(whole.headers['x-tollgate-route'], 'mock/answer');
  assert.equal(whole.headers['x-tollgate-cost-usd'], undefined);
  const stream = await sse(gw);
  assert.equal(stream.comment.cost_usd, undefined);
  await gw.stop();
});
