// The tools of the other tests do what those rely on.
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { rawRequest, rawSocket, readSse, request, waitFor } from './lib.mjs';
import { startMock } from './mock_provider.mjs';

let mock;
before(async () => {
  mock = await startMock();
});
after(async () => {
  await mock.stop();
});
beforeEach(() => {
  mock.clear();
  mock.control();
});

const ask = (model, fields = {}) =>
  request(mock.port, {
    method: 'POST',
    path: '/v1/chat/completions',
    body: { model, messages: [], ...fields },
  });
const streamed = (model) => ask(model, { stream: true, stream_options: { include_usage: true } });

test('an answer, whole and streamed, with known usage', async () => {
  const whole = (await ask('m:{"chunks":3}')).json;
  assert.equal(whole.choices[0].message.content, 'word0 word1 word2 ');
  assert.deepEqual(whole.usage, { prompt_tokens: 11, completion_tokens: 3, total_tokens: 14 });
  const { events } = readSse((await streamed('m:{"text":"abcd","chunks":2}')).text);
  assert.equal(events.map((e) => e.json?.choices[0]?.delta.content ?? '').join(''), 'abcd');
  assert.equal(events.at(-1).data, '[DONE]');
  assert.equal(events.at(-2).json.usage.completion_tokens, 2);
});

test('usage may be absent or zero', async () => {
  assert.equal((await ask('usage-absent')).json.usage, undefined);
  assert.equal((await ask('usage-zero')).json.usage.completion_tokens, 0);
  assert.ok(!(await streamed('usage-absent')).text.includes('prompt_tokens'));
});

test('a script decides by the request', async () => {
  const call = { name: 'add', arguments: '{"a":1}' };
  const script = (body, entry) =>
    body.tools
      ? { behaviour: 'tool-call', call }
      : { behaviour: 'answer', text: `no. ${entry.id}` };
  const scripted = await startMock({ script });
  const to = (body) =>
    request(scripted.port, { method: 'POST', path: '/v1/chat/completions', body });
  try {
    assert.equal((await to({ messages: [] })).json.choices[0].message.content, 'no. 1');
    const whole = await to({ tools: [] });
    assert.deepEqual(whole.json.choices[0].message.tool_calls[0].function, call);
    const { events } = readSse((await to({ tools: [], stream: true })).text);
    const parts = events.flatMap((e) => e.json?.choices[0].delta.tool_calls ?? []);
    assert.equal(parts[0].function.name, 'add');
    assert.equal(parts.map((c) => c.function.arguments).join(''), call.arguments);
  } finally {
    await scripted.stop();
  }
});

test('errors, by the name of the model and by control', async () => {
  const error = await ask('error:{"status":429,"retryAfter":3}');
  assert.equal(error.status, 429);
  assert.equal(error.headers['retry-after'], '3');
  mock.control({ behaviour: 'error', status: 503, times: 2 });
  assert.equal((await ask('m')).status, 503);
  assert.equal((await ask('m')).status, 503);
  assert.equal((await ask('m')).status, 200);
  const refused = await request(mock.port, {
    method: 'POST',
    path: '/control',
    body: { behaviour: 'x' },
  });
  assert.equal(refused.status, 400);
});

test('what breaks a stream', async () => {
  assert.ok(!(await streamed('no-done')).text.includes('[DONE]'));
  assert.ok(!(await streamed('no-finish')).text.includes('"stop"'));
  assert.ok((await streamed('error-inside')).text.includes('"error"'));
  await assert.rejects(streamed('cut'));
  await assert.rejects(streamed('cut:{"after":0}'));
  await assert.rejects(streamed('not-http'));
  assert.equal((await ask('redirect')).status, 302);
  assert.equal((await ask('huge:{"bytes":200000}')).json.choices[0].message.content.length, 262144);
});

test('an aborted request is in the log with its time', async () => {
  for (const model of ['hang', 'hang-mid', 'slow']) {
    mock.clear();
    const raw = await rawSocket(mock.port);
    await raw.send(rawRequest({ model, stream: true, messages: [] }));
    await waitFor(() => mock.log().requests[0]?.behaviour === model);
    if (model !== 'hang') await raw.until('200 OK');
    const at = performance.timeOrigin + performance.now();
    raw.destroy();
    const [{ aborted }] = await waitFor(() => mock.aborts().length && mock.aborts());
    assert.ok(aborted >= at - 1 && aborted - at < 100, `${aborted - at} ms`);
  }
});

test('the log counts connections that asked, and what they sent', async () => {
  assert.equal((await request(mock.port, { path: '/control/log' })).json.connections, 0);
  await ask('m', { max_tokens: 9 });
  await ask('m');
  const { connections, requests } = (await request(mock.port, { path: '/control/log' })).json;
  assert.equal(connections, 2);
  assert.equal(requests.length, 2);
  assert.equal(requests[0].body.max_tokens, 9);
  assert.ok(requests[0].ended >= requests[0].time);
});
