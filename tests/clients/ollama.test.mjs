// The npm client `ollama` against the gateway.
import assert from 'node:assert/strict';
import { after } from 'node:test';
import {
  asked, breakOff, call, clientTest as test, counter, load, mock, paris, png, resultsFit, rome,
  say, start, thrown, weather,
} from './lib.mjs';

const { Ollama } = await load('ollama');
const { z } = await load('zod/v4');
const { gw, provider } = await start({ heartbeat: '200ms' });

const client = gw && new Ollama({ host: gw.url });
const user = (content, more = {}) => [{ role: 'user', content, ...more }];
const chat = (content, more = {}) =>
  client.chat({ model: 'llama3.2', messages: user(content), ...more });
const france = 'What is the capital of France?';
const local = { model: 'local', options: { temperature: 0 } };

async function collect(stream) {
  const out = { text: '', thinking: '', calls: [], parts: [], last: null };
  for await (const part of stream) {
    out.parts.push(part);
    out.text += part.message?.content ?? part.response;
    out.thinking += part.message?.thinking ?? '';
    out.calls.push(...(part.message?.tool_calls ?? []));
    out.last = part;
  }
  return out;
}

test('ollama: the model in the box, plain and streamed, chat and generate', async () => {
  const whole = await client.chat({ ...local, messages: user(france) });
  assert.deepEqual(whole.message, { role: 'assistant', content: 'Paris' });
  assert.deepEqual([whole.model, whole.done, whole.done_reason], ['local', true, 'stop']);
  assert.ok(whole.prompt_eval_count > 0 && whole.eval_count > 0 && whole.total_duration > 0);
  assert.ok(Math.abs(new Date(whole.created_at) - Date.now()) < 60000);
  const got = await collect(await client.chat({ ...local, messages: user(france), stream: true }));
  assert.deepEqual([got.text, got.last.eval_count], ['Paris', whole.eval_count]);
  assert.equal((await client.generate({ ...local, prompt: france })).response, 'Paris');
  const stream = await client.generate({ ...local, prompt: france, stream: true });
  assert.equal((await collect(stream)).text, 'Paris');
});

test('ollama: the model in the box calls a tool and takes its result', async () => {
  const messages = user('What is the weather in Paris?');
  const asks = { ...local, messages, tools: [weather] };
  const { message } = await client.chat(asks);
  const { calls } = await collect(await client.chat({ ...asks, stream: true }));
  for (const tool_calls of [message.tool_calls, calls]) {
    const [{ function: f }] = tool_calls;
    assert.deepEqual([f.name, f.arguments], paris);
  }
  messages.push(message, { role: 'tool', tool_name: 'get_weather', content: '20 degrees' });
  assert.equal((await client.chat({ ...asks, messages })).done_reason, 'stop');
});

test('ollama: a provider, plain and streamed, with counts', async () => {
  const plain = await chat(mock(say('word by word', { promptTokens: 21 })));
  assert.equal(plain.message.content, 'word by word');
  assert.deepEqual([plain.prompt_eval_count, plain.eval_count], [21, 5]);
  const late = mock(say('word by word', { firstMs: 450 }));
  const got = await collect(await chat(late, { stream: true })); // with heartbeats before it
  const { done_reason: reason, eval_count: count } = got.last;
  assert.deepEqual([got.text, reason, count], ['word by word', 'stop', 5]);
  assert.ok(got.parts.length > 5);
});

test('ollama: parallel calls and their results, by name and without ids', async () => {
  const script = mock(call(paris, rome), say('All cold.'));
  for (const stream of [false, true]) {
    const asks = { tools: [weather], stream };
    const first = stream ? await collect(await chat(script, asks)) : await chat(script, asks);
    const tool_calls = first.calls ?? first.message.tool_calls;
    assert.deepEqual(
      tool_calls.map((c) => [c.function.name, c.function.arguments]),
      [paris, rome],
    );
    const messages = [
      ...user(script),
      { role: 'assistant', content: '', tool_calls },
      { role: 'tool', tool_name: 'get_weather', content: '20 degrees' },
      { role: 'tool', tool_name: 'get_weather', content: '30 degrees' },
    ];
    const next = await client.chat({ model: 'llama3.2', messages, tools: [weather] });
    assert.equal(next.message.content, 'All cold.');
    const sent = asked(provider).body.messages;
    resultsFit(sent);
    assert.deepEqual([sent[2].content, sent[3].content], ['20 degrees', '30 degrees']);
  }
});

test('ollama: structured output', async () => {
  const format = z.toJSONSchema(z.object({ city: z.string(), people: z.number() }));
  const got = await chat(mock(say('{"city":"Oslo","people":709037}')), { format });
  assert.deepEqual(JSON.parse(got.message.content), { city: 'Oslo', people: 709037 });
  const sent = asked(provider).body.response_format;
  assert.deepEqual(sent.json_schema.schema.required, ['city', 'people']);
  await chat(mock(say('{}')), { format: 'json' });
  assert.equal(asked(provider).body.response_format.type, 'json_object');
  const refused = await thrown(client.chat({ ...local, messages: user('hi'), format }));
  assert.equal(refused.status_code, 400);
  assert.match(refused.error, /^format: /);
});

test('ollama: an image reaches the provider, as bytes and as base64', async () => {
  for (const image of [Buffer.from(png, 'base64'), png]) {
    const messages = user(mock(say('a dot')), { images: [image] });
    const got = await client.chat({ model: 'llama3.2', messages });
    assert.equal(got.message.content, 'a dot');
    const part = asked(provider).body.messages[0].content.find((p) => p.type === 'image_url');
    assert.equal(part.image_url.url, `data:image/png;base64,${png}`);
  }
  const messages = user('What is this?', { images: [png] });
  assert.equal((await thrown(client.chat({ ...local, messages }))).status_code, 400);
});

test('ollama: thinking', async () => {
  const script = mock({ behaviour: 'reasoning', text: '42' });
  const { message } = await chat(script, { think: true });
  assert.deepEqual([message.thinking, message.content], ['Let me think.', '42']);
  const got = await collect(await chat(script, { think: true, stream: true }));
  assert.deepEqual([got.thinking, got.text], ['Let me think.', '42']);
});

test('ollama: an abort reaches the provider', async () => {
  for (const does of [{ behaviour: 'hang-mid' }, say('slow', { chunks: 400, delayMs: 20 })]) {
    const stream = await chat(mock(does), { stream: true });
    const e = await breakOff(provider, stream, () => stream.abort());
    assert.equal(e.name, 'AbortError');
  }
  const stream = await chat(mock({ behaviour: 'hang-mid' }), { stream: true });
  await breakOff(provider, stream, () => client.abort());
});

test('ollama: errors have their status', async () => {
  const upstream = (status, more) => chat(mock({ behaviour: 'error', status, ...more }));
  for (const [asks, status, says] of [
    [() => chat('hi', { options: { temperature: -1 } }), 400, /temperature/],
    [() => chat('hi', { model: 'nobody' }), 404, /nobody/],
    [() => upstream(429, { retryAfter: 7 }), 429, /mock error 429/],
    [() => upstream(500), 502, /500/],
    [() => client.pull({ model: 'llama3.2' }), 501, /tollgate pull/],
  ]) {
    const e = await thrown(asks());
    assert.deepEqual([e.name, e.status_code], ['ResponseError', status], String(e));
    assert.match(e.message, says);
  }
});

test('ollama: a failure in the middle of a stream is an error, no end', async () => {
  for (const behaviour of ['error-inside', 'cut', 'malformed', 'no-finish']) {
    const stream = await chat(mock({ behaviour, after: 2 }), { stream: true });
    let text = '';
    const e = await thrown(
      (async () => {
        for await (const part of stream) text += part.message.content;
      })(),
    );
    assert.doesNotMatch(e.message, /Did not receive done/);
    assert.match(text, /^word0 word1 /, behaviour);
  }
});

test('ollama: what is served', async () => {
  const { models } = await client.list();
  assert.deepEqual(
    models.map((m) => m.name),
    ['default:latest', 'local:latest'], // what the model in the box may answer
  );
  const shown = await client.show({ model: 'local' });
  assert.ok(shown.capabilities.includes('tools'));
  assert.ok(shown.details.parameter_size);
  assert.ok(Array.isArray((await client.ps()).models));
  assert.match((await client.version()).version, /^\d+\.\d+\.\d+/);
  assert.equal((await thrown(client.show({ model: 'nobody' }))).status_code, 404);
});

test('ollama: connections carry one request after another', async () => {
  const line = await counter(gw.port);
  after(line.stop);
  const there = new Ollama({ host: line.url });
  for (let i = 0; i < 5; i++) {
    const asks = { model: 'llama3.2', messages: user(mock(say(`no ${i}`))) };
    assert.equal((await there.chat(asks)).message.content, `no ${i}`);
    assert.equal((await collect(await there.chat({ ...asks, stream: true }))).text, `no ${i}`);
    assert.equal((await thrown(there.chat({ ...asks, think: 'so' }))).status_code, 400);
  }
  // The client leaves each stream at its last line, before the connection is free: those are lost.
  assert.ok(line.connections <= 7, String(line.connections));
});
