// Logprobs and OpenAI's older completions with the npm clients that have them.
import assert from 'node:assert/strict';
import { clientTest as test, load, mock, say, start, thrown } from './lib.mjs';

const openai = await load('openai');
const { Ollama } = await load('ollama');
const { ChatOpenAI } = await load('@langchain/openai');
const { createOpenAICompatible } = await load('@ai-sdk/openai-compatible');
const ai = await load('ai');
const { gw } = await start();

const base = gw && { baseURL: `${gw.url}/v1`, apiKey: 'sk-none' };
const client = gw && new openai.OpenAI({ ...base, maxRetries: 0 });
const ollama = gw && new Ollama({ host: gw.url });
const user = (content) => [{ role: 'user', content }];
const france = user('What is the capital of France?');
const spelt = (tokens) => tokens.map((t) => t.token).join('');
const script = mock(say('word by word'));

test('openai: logprobs, plain and streamed, with alternatives', async () => {
  const asks = { model: 'gpt-4o', messages: user(script), logprobs: true, top_logprobs: 2 };
  const whole = await client.chat.completions.create(asks);
  const streamed = await client.chat.completions.stream(asks).finalChatCompletion();
  for (const { choices } of [whole, streamed]) {
    const { content } = choices[0].logprobs;
    assert.equal(spelt(content), 'word by word');
    assert.ok(content.every((t) => t.logprob <= 0 && t.top_logprobs.length === 2));
  }
  const without = { ...asks, logprobs: false, top_logprobs: null };
  const plain = await client.chat.completions.create(without);
  assert.equal(plain.choices[0].logprobs, null);
});

test('openai: logprobs of a response, plain and streamed', async () => {
  const include = ['message.output_text.logprobs'];
  const asks = { model: 'gpt-4o', input: script, include, top_logprobs: 2 };
  const whole = await client.responses.create(asks);
  const streamed = client.responses.stream(asks);
  const tokens = [];
  streamed.on('response.output_text.delta', (event) => tokens.push(...event.logprobs));
  for (const { output_text: text, output } of [whole, await streamed.finalResponse()]) {
    const { logprobs } = output[0].content[0];
    assert.deepEqual([text, spelt(logprobs)], ['word by word', 'word by word']);
    assert.ok(logprobs.every((t) => t.logprob <= 0 && t.top_logprobs.length === 2));
  }
  assert.equal(spelt(tokens), 'word by word');
});

test('openai: logprobs of the model in the box', async () => {
  const asks = { model: 'local', messages: france, temperature: 0, logprobs: true };
  const whole = await client.chat.completions.create(asks);
  const streamed = await client.chat.completions.stream(asks).finalChatCompletion();
  for (const { choices } of [whole, streamed]) {
    assert.equal(spelt(choices[0].logprobs.content), 'Paris');
    assert.ok(choices[0].logprobs.content.every((t) => t.logprob <= 0 && t.logprob > -1));
  }
});

test('langchain and ollama: logprobs', async () => {
  const configuration = { baseURL: base.baseURL };
  const chat = new ChatOpenAI({ model: 'gpt-4o', apiKey: 'none', logprobs: true, configuration });
  const { response_metadata: told } = await chat.invoke(script);
  assert.equal(spelt(told.logprobs.content), 'word by word');
  const asks = { model: 'llama3.2', messages: user(script), logprobs: true, top_logprobs: 1 };
  const whole = await ollama.chat(asks);
  assert.equal(spelt(whole.logprobs), 'word by word');
  const tokens = [];
  for await (const part of await ollama.chat({ ...asks, stream: true }))
    tokens.push(...(part.logprobs ?? []));
  assert.equal(spelt(tokens), 'word by word');
  assert.equal(tokens[0].top_logprobs.length, 1);
});

test('openai: completions, plain and streamed, with logprobs', async () => {
  const asks = { model: 'gpt-4o', prompt: script, max_tokens: 64, logprobs: 1 };
  const whole = await client.completions.create(asks);
  assert.equal(whole.choices[0].text, 'word by word');
  assert.equal(whole.choices[0].logprobs.tokens.join(''), 'word by word');
  assert.deepEqual([whole.object, whole.usage.total_tokens], ['text_completion', 16]);
  let text = '';
  let reason = null;
  for await (const { choices } of await client.completions.create({ ...asks, stream: true })) {
    text += choices[0].text;
    reason = choices[0].finish_reason ?? reason;
  }
  assert.deepEqual([text, reason], ['word by word', 'stop']);
  const own = { model: 'local', prompt: france[0].content, temperature: 0 };
  assert.equal((await client.completions.create(own)).choices[0].text, 'Paris');
});

test('openai: completions that fail, before and behind the first words', async () => {
  const asks = (does) => ({ model: 'gpt-4o', prompt: mock(does), stream: true });
  const busy = asks({ behaviour: 'error', status: 429, retryAfter: 7 });
  assert.ok((await thrown(client.completions.create(busy))) instanceof openai.RateLimitError);
  let text = '';
  const stream = await client.completions.create(asks({ behaviour: 'cut' }));
  const e = await thrown(
    (async () => {
      for await (const { choices } of stream) text += choices[0].text;
    })(),
  );
  assert.ok(e instanceof openai.APIError, String(e));
  assert.equal(text, 'word0 word1 ');
});

test('ai: completions', async () => {
  const model = createOpenAICompatible({ ...base, name: 'tollgate' }).completionModel('gpt-4o');
  const asks = { model, prompt: script, maxRetries: 0, maxOutputTokens: 64 };
  assert.equal((await ai.generateText(asks)).text, 'word by word');
  const stream = ai.streamText(asks);
  await stream.consumeStream();
  assert.equal(await stream.text, 'word by word');
});
