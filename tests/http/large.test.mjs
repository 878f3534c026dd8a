// Requests and answers that are read and written on workers: they arrive as they are, money is
// booked as always, and others are served meanwhile.
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { request, slow, startGateway, waitFor } from './lib.mjs';
import { startMock } from './mock_provider.mjs';
import { answerCost, chat, hybridConfig, png } from './support.mjs';

const text = 'All work and no play makes "Jack" a dull b\u00f6y.\n'.repeat(slow > 1 ? 4000 : 40000);
const ask = (content, fields) => ({ messages: [{ role: 'user', content }], ...fields });
const image = Buffer.concat([Buffer.from(png, 'base64'), Buffer.alloc(600000, 7)]);
const picture = {
  type: 'image_url',
  image_url: { url: `data:image/png;base64,${image.toString('base64')}` },
};
let mock;
let gw;
before(async () => {
  mock = await startMock({
    script: (body) => ({ behaviour: 'answer', ...(body.user === 'long' ? { text } : {}) }),
  });
  gw = await startGateway({
    config: hybridConfig(mock, { trigger: 'turns > 0', budget: '$100/month' }),
  });
});
after(async () => {
  await gw.stop();
  await mock.stop();
});
beforeEach(() => mock.clear());

test('a long answer comes whole, to several at once', async () => {
  const all = await Promise.all(
    Array.from({ length: 4 }, () => chat(gw, ask('Hello', { user: 'long' }))),
  );
  for (const r of all) {
    assert.equal(r.status, 200, r.text.slice(0, 200));
    assert.ok(r.json.choices[0].message.content === text);
    assert.equal(r.headers['x-tollgate-cost-usd'], (answerCost / 1e9).toFixed(9));
  }
});

test('a long text and an image reach the provider as they are', async () => {
  const r = await chat(gw, ask([{ type: 'text', text }, picture]));
  assert.equal(r.status, 200, r.text.slice(0, 200));
  const [seen] = mock.log().requests;
  assert.deepEqual(seen.body.messages[0].content, [{ type: 'text', text }, picture]);
  assert.equal(r.headers['x-tollgate-route'], 'mock/answer');
});

test('clients that go at any moment leave nothing behind', async () => {
  for (let ms = 0; ms < 60; ms += 6) {
    const gone = chat(gw, ask(text, { user: 'long' }), {}, AbortSignal.timeout(ms));
    await gone.then(
      (r) => assert.equal(r.status, 200),
      (e) => assert.match(e.name, /Timeout|Abort/),
    );
  }
  await waitFor(async () => {
    const health = (await request(gw.port, { path: '/healthz' })).json;
    return health.requests === 1;
  });
  const r = await chat(gw, ask(text, { user: 'long' }));
  assert.ok(r.json.choices[0].message.content === text);
  const metrics = (await request(gw.port, { path: '/metrics' })).text;
  assert.match(metrics, /^tollgate_reservations\{state="open"\} 0$/m);
});
