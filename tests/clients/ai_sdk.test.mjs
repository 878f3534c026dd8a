// The npm package `ai` with @ai-sdk/openai-compatible and @ai-sdk/anthropic against the gateway:
// each test with both.
import assert from 'node:assert/strict';
import {
  asked, breakOff, call, clientTest, fifty, load, mock, now, paris, png, resultsFit, rome, say,
  slow, start, thrown, wav,
} from './lib.mjs';

const ai = await load('ai');
const { createOpenAICompatible } = await load('@ai-sdk/openai-compatible');
const { createAnthropic } = await load('@ai-sdk/anthropic');
const { z } = await load('zod/v4');
const { gw, provider } = await start();

globalThis.AI_SDK_LOG_WARNINGS = false;

const base = gw && { baseURL: `${gw.url}/v1`, apiKey: 'sk-none' };
const openai =
  gw &&
  createOpenAICompatible({
    ...base,
    name: 'tollgate',
    includeUsage: true,
    supportsStructuredOutputs: true,
  });
const anthropic = gw && createAnthropic(base);
const dialects = gw && {
  'openai-compatible': {
    cloud: openai('gpt-4o'),
    local: openai('local'),
    missing: openai('nobody'),
  },
  anthropic: {
    cloud: anthropic('claude-sonnet-4-5'),
    local: anthropic('local'),
    missing: anthropic('nobody'),
  },
};
const test = (name, body) => {
  for (const dialect of ['openai-compatible', 'anthropic'])
    clientTest(`ai, ${dialect}: ${name}`, () => body({ ...dialects[dialect], dialect }));
};
const once = { maxRetries: 0, maxOutputTokens: 64 };
const city = z.object({ city: z.string() });

test('the model in the box, plain and streamed', async ({ local }) => {
  const asks = { ...once, model: local, prompt: 'What is the capital of France?', temperature: 0 };
  const got = await ai.generateText(asks);
  assert.deepEqual([got.text, got.finishReason], ['Paris', 'stop']);
  assert.equal(got.usage.totalTokens, got.usage.inputTokens + got.usage.outputTokens);
  const stream = ai.streamText(asks);
  let text = '';
  for await (const piece of stream.textStream) text += piece;
  assert.deepEqual([text, await stream.usage], ['Paris', got.usage]);
});

test('the model in the box calls a tool in a loop that ends', async ({ local }) => {
  let ran = null;
  const execute = (input) => {
    ran = input;
    return { temperature: 20 };
  };
  const description = 'Current weather of a city';
  const got = await ai.generateText({
    ...once,
    model: local,
    prompt: 'What is the weather in Paris?',
    temperature: 0,
    tools: { get_weather: ai.tool({ description, inputSchema: city, execute }) },
    stopWhen: ai.stepCountIs(4),
  });
  assert.deepEqual(ran, paris[1]);
  assert.deepEqual([got.steps.length, got.finishReason], [2, 'stop']);
});

test('a loop of tools of many steps runs to its end', async ({ cloud }) => {
  const oslo = ['get_weather', { city: 'Oslo' }];
  const prompt = mock(call(paris, rome), call(oslo), call(oslo), say('All cold.'));
  for (const run of [ai.generateText, ai.streamText]) {
    const cities = [];
    const execute = (input) => {
      cities.push(input.city);
      return { temperature: 20, of: input.city };
    };
    const tools = { get_weather: ai.tool({ description: 'Weather', inputSchema: city, execute }) };
    const got = run({ ...once, model: cloud, prompt, tools, stopWhen: ai.stepCountIs(9) });
    const { text, steps } = run === ai.generateText ? await got : await settled(got);
    assert.equal(text, 'All cold.');
    assert.deepEqual(cities, ['Paris', 'Rome', 'Oslo', 'Oslo']);
    assert.deepEqual(
      steps.map((s) => s.finishReason),
      ['tool-calls', 'tool-calls', 'tool-calls', 'stop'],
    );
    const { messages } = asked(provider).body;
    assert.deepEqual(
      messages.map((m) => m.role[0]).join(''),
      'uattatat', // user, assistant, tool, tool, ...
    );
    resultsFit(messages);
  }
});

async function settled(stream) {
  await stream.consumeStream({ onError: (e) => assert.fail(e) });
  return { text: await stream.text, steps: await stream.steps };
}

test('structured output', async ({ cloud }) => {
  const schema = z.object({ city: z.string(), people: z.number() });
  const asks = { ...once, model: cloud, prompt: mock(say('{"city":"Oslo","people":709037}')) };
  const wanted = { city: 'Oslo', people: 709037 };
  const got = await ai.generateObject({ ...asks, schema });
  assert.deepEqual(got.object, wanted);
  const sent = asked(provider).body.response_format;
  assert.deepEqual(sent.json_schema.schema.required, ['city', 'people']);
  const output = ai.Output.object({ schema });
  const stream = ai.streamText({ ...asks, output });
  await stream.consumeStream();
  assert.deepEqual(await stream.output, wanted);
});

test('a provider, with usage', async ({ cloud }) => {
  const prompt = mock(say('word by word', { promptTokens: 21, cachedTokens: 4 }));
  const whole = await ai.generateText({ ...once, model: cloud, system: 'Be brief.', prompt });
  const stream = ai.streamText({ ...once, model: cloud, prompt });
  await stream.consumeStream();
  for (const { text, usage } of [whole, { text: await stream.text, usage: await stream.usage }]) {
    assert.equal(text, 'word by word');
    assert.deepEqual([usage.inputTokens, usage.outputTokens], [21, 5]);
    assert.equal(usage.inputTokenDetails.cacheReadTokens, 4);
  }
});

test('an image reaches the provider', async ({ cloud }) => {
  const content = [
    { type: 'text', text: mock(say('a dot')) },
    { type: 'image', image: Buffer.from(png, 'base64') },
  ];
  const messages = [{ role: 'user', content }];
  assert.equal((await ai.generateText({ ...once, model: cloud, messages })).text, 'a dot');
  const part = asked(provider).body.messages[0].content[1];
  assert.equal(part.image_url.url, `data:image/png;base64,${png}`);
});

clientTest('ai, openai-compatible: audio reaches the provider', async () => {
  const content = [
    { type: 'text', text: mock(say('a hum')) },
    { type: 'file', mediaType: 'audio/wav', data: Buffer.from(wav, 'base64') },
  ];
  const { cloud } = dialects['openai-compatible'];
  const messages = [{ role: 'user', content }];
  assert.equal((await ai.generateText({ ...once, model: cloud, messages })).text, 'a hum');
  const { input_audio: audio } = asked(provider).body.messages[0].content[1];
  assert.deepEqual(audio, { data: wav, format: 'wav' });
});

test('reasoning, and its way back', async ({ cloud }) => {
  const prompt = mock({ behaviour: 'reasoning', text: '42' }, say('As I said.'));
  const providerOptions = { anthropic: { thinking: { type: 'enabled', budgetTokens: 1024 } } };
  const asks = { ...once, model: cloud, prompt, providerOptions };
  const first = await ai.generateText(asks);
  assert.deepEqual([first.reasoningText, first.text], ['Let me think.', '42']);
  const stream = ai.streamText(asks);
  await stream.consumeStream();
  assert.deepEqual([await stream.reasoningText, await stream.text], ['Let me think.', '42']);
  const messages = [
    { role: 'user', content: prompt },
    ...first.response.messages,
    { role: 'user', content: 'Why?' },
  ];
  assert.equal((await ai.generateText({ ...once, model: cloud, messages })).text, 'As I said.');
});

test('an abort reaches the provider, in a stream and before its answer', async ({ cloud }) => {
  const aborter = new AbortController();
  const abortSignal = aborter.signal;
  const hangs = { ...once, model: cloud, prompt: mock({ behaviour: 'hang-mid' }), abortSignal };
  await breakOff(provider, ai.streamText(hangs).textStream, () => aborter.abort());
  const second = new AbortController();
  const before = provider.aborts().length;
  setTimeout(() => second.abort(), 100);
  const prompt = mock({ behaviour: 'hang' });
  const whole = ai.generateText({ ...hangs, prompt, abortSignal: second.signal });
  assert.equal((await thrown(whole)).name, 'AbortError');
  const at = now();
  while (provider.aborts().length === before) await new Promise(setImmediate);
  assert.ok(provider.aborts().at(-1).aborted - at < 100 * slow);
});

test('errors have their status, and say whether to try again', async (models) => {
  const ask = (model, prompt, more) => thrown(ai.generateText({ ...once, model, prompt, ...more }));
  const fails = (status, more) => mock({ behaviour: 'error', status, ...more });
  for (const [asks, status, again] of [
    [() => ask(models.cloud, 'hi', { topP: 7 }), 400, false],
    [() => ask(models.missing, 'hi'), 404, false],
    [() => ask(models.cloud, fails(429, { retryAfter: 7 })), 429, true],
    [() => ask(models.cloud, fails(500)), 502, true],
  ]) {
    const e = await asks();
    assert.ok(ai.APICallError.isInstance(e), String(e));
    assert.deepEqual([e.statusCode, e.isRetryable], [status, again], e.message);
    assert.ok(!/^(Bad|Not|Too)/.test(e.message), e.message); // the text of ours, not the status's
    if (status === 429) assert.equal(e.responseHeaders['retry-after'], '7');
  }
});

test('a failure in the middle of a stream is an error, no end', async ({ cloud }) => {
  for (const behaviour of ['error-inside', 'cut', 'malformed', 'no-finish']) {
    const asks = { ...once, model: cloud, prompt: mock({ behaviour, after: 2 }), onError() {} };
    let text = '';
    let error;
    let reason = null;
    for await (const part of ai.streamText(asks).fullStream)
      if (part.type === 'text-delta') text += part.text;
      else if (part.type === 'error') error = part.error;
      else if (part.type === 'finish') reason = part.finishReason;
    assert.ok(error, behaviour);
    assert.notEqual(reason, 'stop');
    assert.match(text, /^word0 word1 /, behaviour);
  }
});

test('50 parallel streams', ({ cloud }) =>
  fifty(async (prompt) => {
    const stream = ai.streamText({ ...once, model: cloud, prompt });
    return (await settled(stream)).text;
  }),
);
