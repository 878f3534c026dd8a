// Many at once: idle connections and streams, readers that stop reading, clients that go in every
// state, a drain and reloads under load.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, beforeEach, test } from 'node:test';
import { rawRequest, rawSocket, request, slow, startGateway, waitFor } from './lib.mjs';
import { startMock } from './mock_provider.mjs';
import { chat, hybridConfig, sse } from './support.mjs';

const many = slow > 1 ? 4 : 1; // sanitizers: a part of them
let mock;
before(async () => {
  mock = await startMock();
});
after(async () => {
  await mock.stop();
});
beforeEach(() => mock.clear());

const always = { trigger: 'turns > 0' };
const start = (options, top = {}) =>
  startGateway({ config: { ...hybridConfig(mock, { ...always, ...options }), ...top } });
const health = async (gw) => (await request(gw.port, { path: '/healthz' })).json;
const words = 'word0 word1 word2 word3 word4 ';
const body = (fields = {}) => ({
  model: 'default',
  stream: true,
  max_tokens: 16,
  messages: [{ role: 'user', content: 'Hello' }],
  ...fields,
});
const calm = (gw) =>
  waitFor(async () => (await health(gw)).requests === 1, { what: 'no request but the question' });

test('1,000 idle connections and 500 streams: each is whole, others are served', async () => {
  const gw = await start({ models: ['answer:{"delayMs":200}'] });
  const idle = await Promise.all(Array.from({ length: 1000 / many }, () => rawSocket(gw.port)));
  const streams = Array.from({ length: 500 / many }, () => sse(gw));
  await waitFor(async () => (await health(gw)).requests > 400 / many, { ms: 20000 });
  for (const r of await Promise.all(streams)) assert.deepEqual([r.text, r.done], [words, true]);
  await Promise.all(idle.map((raw) => raw.send('GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n')));
  await Promise.all(idle.map((raw) => raw.until('"status":"ok"', 20000)));
  idle.forEach((raw) => raw.destroy());
  await gw.stop();
});

test('readers that stop reading hold the providers back, and nobody else', async () => {
  const bytes = 8 << 20;
  const gw = await start({ models: [`huge:{"bytes":${bytes}}`, 'answer'] });
  const stalled = [];
  for (let i = 0; i < 20 / many; i++) {
    const raw = await rawSocket(gw.port);
    await raw.send(rawRequest(body()));
    await raw.until('"content"');
    raw.pause();
    stalled.push(raw);
  }
  const chat1 = await chat(gw, { model: 'mock/answer' });
  assert.equal(chat1.status, 200);
  assert.ok(mock.log().requests.every((r) => r.model !== `huge` || r.ended === null));
  for (const raw of stalled) raw.resume();
  await waitFor(() => stalled.every((raw) => raw.text.endsWith('0\r\n\r\n')), { ms: 60000 });
  assert.ok(stalled.every((raw) => raw.text.length > bytes && raw.text.includes('[DONE]')));
  stalled.forEach((raw) => raw.destroy());
  await gw.stop();
});

// What a client has sent and seen when it goes; then how it goes.
const states = {
  'in the head': async (gw) => {
    const raw = await rawSocket(gw.port);
    await raw.send('POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\n');
    return raw;
  },
  'in the body': async (gw) => {
    const raw = await rawSocket(gw.port);
    await raw.send(rawRequest(body()).slice(0, -10));
    return raw;
  },
  'while the provider is silent': async (gw) => {
    const raw = await rawSocket(gw.port);
    await raw.send(rawRequest(body({ model: 'mock/hang' })));
    await waitFor(() => mock.log().requests.some((r) => r.ended === null));
    return raw;
  },
  'behind the first words': async (gw) => {
    const raw = await rawSocket(gw.port);
    await raw.send(rawRequest(body({ model: 'mock/hang-mid' })));
    await raw.until('word1');
    return raw;
  },
  'while a whole answer comes': async (gw) => {
    const raw = await rawSocket(gw.port);
    await raw.send(rawRequest(body({ model: 'mock/hang', stream: false })));
    await waitFor(() => mock.log().requests.some((r) => r.ended === null));
    return raw;
  },
  'while the local model answers': async (gw) => {
    const raw = await rawSocket(gw.port);
    await raw.send(rawRequest(body({ model: 'local', max_tokens: 1900, temperature: 0 })));
    await raw.until('"content"', 20000);
    return raw;
  },
  'in the queue of the local model': async (gw) => {
    const first = await states['while the local model answers'](gw);
    const raw = await rawSocket(gw.port);
    await raw.send(rawRequest(body({ model: 'local' })));
    await waitFor(async () => (await health(gw)).requests === 3);
    first.destroy();
    return raw;
  },
};

test('clients that go in any state, in any way, leave nothing behind', async () => {
  const models = ['hang', 'hang-mid'];
  const gw = await start({ models, budget: '$1/day' });
  for (const [name, reach] of Object.entries(states))
    for (const way of ['destroy', 'halfClose', 'reset']) {
      mock.clear();
      const raw = await reach(gw);
      raw[way]();
      await calm(gw);
      const open = () => mock.log().requests.filter((r) => r.ended === null && !r.aborted);
      await waitFor(() => open().length === 0, { what: `${name}: the provider's end` });
      raw.destroy();
    }
  assert.equal((await chat(gw, { model: 'local', max_tokens: 2 })).status, 200);
  const metrics = (await request(gw.port, { path: '/metrics' })).text;
  assert.match(metrics, /tollgate_budget_reserved_dollars\{budget="default"\} 0(\.0+)?\n/);
  assert.match(metrics, /tollgate_budget_spent_dollars\{budget="default"\} 0\.0/);
  await gw.stop();
});

test('a drain under load: every stream is whole, and the exit is clean', async () => {
  const gw = await start({ models: ['answer:{"delayMs":150}'] });
  const streams = Array.from({ length: 60 / many }, () => sse(gw));
  await waitFor(() => mock.log().requests.length === 60 / many, { ms: 20000 });
  gw.signal('SIGTERM');
  for (const r of await Promise.all(streams)) assert.deepEqual([r.text, r.done], [words, true]);
  assert.equal((await gw.ended).code, 0);
});

test('reloads under load: not one request fails', async () => {
  const gw = await start({ models: ['answer'], budget: '$1000/day' });
  const config = JSON.parse(JSON.stringify(hybridConfig(mock, always)));
  let loading = true;
  let answered = 0;
  const client = async (k) => {
    while (loading) {
      const r = k % 2 ? await chat(gw) : await sse(gw);
      assert.equal(r.status, 200, r.text);
      assert.ok(k % 2 ? r.json.choices[0].message.content === words : r.done);
      answered++;
    }
  };
  const clients = Array.from({ length: 8 }, (_, k) => client(k));
  const reloaded = () => gw.stderr.split('"event":"reloaded"').length - 1;
  for (let i = 1; i <= 8; i++) {
    config.routes[0].timeout = `${i}m`;
    config.aliases = { [`alias${i}`]: 'default' };
    writeFileSync(gw.configFile, JSON.stringify({ dataDir: gw.dataDir, ...config }));
    gw.signal('SIGHUP');
    const seen = answered;
    await waitFor(() => reloaded() === i && answered > seen, { ms: 20000 });
  }
  loading = false;
  await Promise.all(clients);
  assert.equal((await chat(gw, { model: 'alias8' })).status, 200);
  assert.equal((await chat(gw, { model: 'alias7' })).status, 404);
  await gw.stop();
});
