// The npm package `ai` with @ai-sdk/openai, which speaks OpenAI's Responses API unless it is told
// otherwise, against the gateway.
import assert from 'node:assert/strict';
import {
  asked, call, clientTest as test, load, mock, paris, png, resultsFit, rome, say, start, thrown,
} from './lib.mjs';

const ai = await load('ai');
const { createOpenAI } = await load('@ai-sdk/openai');
const { z } = await load('zod/v4');
const { gw, provider } = await start({ heartbeat: '200ms' });

globalThis.AI_SDK_LOG_WARNINGS = false;

const openai = gw && createOpenAI({ baseURL: `${gw.url}/v1`, apiKey: 'sk-none' });
const model = gw && openai('gpt-4o');
const once = { maxRetries: 0, maxOutputTokens: 64 };

async function streamed(asks) {
  const errors = [];
  const stream = ai.streamText({ ...once, ...asks, onError: ({ error }) => errors.push(error) });
  const parts = [];
  for await (const part of stream.fullStream) parts.push(part);
  const text = parts.map((p) => (p.type === 'text-delta' ? p.text : '')).join('');
  return { errors, parts, text, end: parts.findLast((p) => p.type === 'finish') };
}

test('ai, responses: plain and streamed, with usage, of both models', async () => {
  const script = mock(say('word by word', { promptTokens: 21, cachedTokens: 4, firstMs: 450 }));
  const got = await ai.generateText({ ...once, model, prompt: script });
  assert.deepEqual([got.text, got.finishReason], ['word by word', 'stop']);
  assert.deepEqual([got.usage.inputTokens, got.usage.outputTokens], [21, 5]);
  assert.equal(got.usage.inputTokenDetails.cacheReadTokens, 4);
  const { text, end } = await streamed({ model, prompt: script });
  assert.deepEqual([text, end.finishReason], ['word by word', 'stop']);
  assert.equal(end.totalUsage.inputTokens, 21);
  const question = 'What is the capital of France?';
  const france = { model: openai('local'), prompt: question, temperature: 0 };
  assert.equal((await ai.generateText({ ...once, ...france })).text, 'Paris');
  assert.equal((await streamed(france)).text, 'Paris');
});

test('ai, responses: usage that the provider does not tell', async () => {
  const asks = { model, prompt: mock({ behaviour: 'usage-absent' }) };
  const got = await ai.generateText({ ...once, ...asks });
  assert.deepEqual([got.finishReason, got.usage.inputTokens], ['stop', undefined]);
  const { errors, end } = await streamed(asks);
  assert.deepEqual([errors, end.finishReason], [[], 'stop']);
});

test('ai, responses: a loop with parallel calls, which refers to what is stored', async () => {
  const script = mock(call(paris, rome), say('All cold.'));
  for (const run of [ai.generateText, streamed]) {
    const cities = [];
    const execute = ({ city }) => {
      cities.push(city);
      return { temperature: 20 };
    };
    const inputSchema = z.object({ city: z.string() });
    const tools = { get_weather: ai.tool({ inputSchema, execute }) };
    const asks = { ...once, model, prompt: script, tools, stopWhen: ai.stepCountIs(3) };
    assert.equal((await run(asks)).text, 'All cold.');
    assert.deepEqual(cities.sort(), ['Paris', 'Rome']);
    resultsFit(asked(provider).body.messages);
  }
});

test('ai, responses: reasoning, stored and sealed', async () => {
  const script = mock({ behaviour: 'reasoning', text: '42' });
  for (const more of [{}, { store: false, include: ['reasoning.encrypted_content'] }]) {
    const providerOptions = {
      openai: { forceReasoning: true, reasoningEffort: 'high', reasoningSummary: 'auto', ...more },
    };
    const asks = { ...once, model, prompt: script, providerOptions };
    const got = await ai.generateText(asks);
    assert.deepEqual([got.text, got.reasoningText], ['42', 'Let me think.']);
    assert.equal(asked(provider).body.reasoning_effort, 'high');
    const { text, parts } = await streamed(asks);
    const thought = parts.map((p) => (p.type === 'reasoning-delta' ? p.text : '')).join('');
    assert.deepEqual([text, thought], ['42', 'Let me think.']);
    const messages = [
      { role: 'user', content: script },
      ...got.response.messages,
      { role: 'user', content: mock(say('and on')) },
    ];
    const next = await ai.generateText({ ...once, model, messages, providerOptions });
    assert.equal(next.text, 'and on');
  }
});

test('ai, responses: structured output, an image, a response to go on from', async () => {
  const schema = z.object({ city: z.string(), people: z.number() });
  const json = mock(say('{"city":"Oslo","people":709037}'));
  const { object } = await ai.generateObject({ ...once, model, schema, prompt: json });
  assert.deepEqual(object, { city: 'Oslo', people: 709037 });
  assert.equal(asked(provider).body.response_format.type, 'json_schema');
  const content = [
    { type: 'text', text: mock(say('a dot')) },
    { type: 'image', image: Buffer.from(png, 'base64') },
  ];
  const seen = await ai.generateText({ ...once, model, messages: [{ role: 'user', content }] });
  assert.equal(seen.text, 'a dot');
  const part = asked(provider).body.messages[0].content[1];
  assert.equal(part.image_url.url, `data:image/png;base64,${png}`);
  const { responseId } = seen.providerMetadata.openai;
  const providerOptions = { openai: { previousResponseId: responseId } };
  await ai.generateText({ ...once, model, prompt: mock(say('yes')), providerOptions });
  assert.deepEqual(
    asked(provider).body.messages.map((m) => m.role),
    ['user', 'assistant', 'user'],
  );
});

test('ai, responses: errors, before the first words and behind them', async () => {
  const asks = (does) => ({ model, prompt: mock(does) });
  const busy = { behaviour: 'error', status: 429, retryAfter: 7 };
  const limited = await thrown(ai.generateText({ ...once, ...asks(busy) }));
  assert.ok(ai.APICallError.isInstance(limited), String(limited));
  assert.deepEqual([limited.statusCode, limited.isRetryable], [429, true]);
  assert.equal(limited.responseHeaders['retry-after'], '7');
  const missing = await thrown(ai.generateText({ ...once, model: openai('nobody'), prompt: 'hi' }));
  assert.deepEqual([missing.statusCode, missing.isRetryable], [404, false]);
  for (const behaviour of ['error-inside', 'cut', 'malformed', 'no-finish']) {
    const { errors, text, end } = await streamed(asks({ behaviour, after: 2 }));
    assert.match(text, /^word0 word1 /, behaviour);
    assert.ok(errors.length > 0 || end.finishReason === 'error', behaviour);
  }
});
