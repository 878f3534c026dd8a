// The npm package `@langchain/openai` (on its own, older copy of `openai`) against the gateway.
import assert from 'node:assert/strict';
import {
  asked, breakOff, call, clientTest as test, fifty, load, mock, now, paris, png, resultsFit, rome,
  say, slow, start, thrown, wav,
} from './lib.mjs';

const { ChatOpenAI } = await load('@langchain/openai');
const { HumanMessage, ToolMessage } = await load('@langchain/core/messages');
const { tool } = await load('@langchain/core/tools');
const { z } = await load('zod');
const { gw, provider } = await start();

const chat = (more = {}) =>
  new ChatOpenAI({
    model: 'gpt-4o',
    apiKey: 'sk-none',
    maxRetries: 0,
    configuration: { baseURL: `${gw.url}/v1` },
    ...more,
  });
const weather = () =>
  tool(({ city }) => `20 degrees in ${city}`, {
    name: 'get_weather',
    description: 'Current weather of a city',
    schema: z.object({ city: z.string() }),
  });

// A stream's chunks put together as LangChain does it.
async function gather(stream) {
  let all;
  for await (const chunk of await stream) all = all ? all.concat(chunk) : chunk;
  return all;
}

test('langchain: the model in the box, plain, streamed and with a tool', async () => {
  const local = chat({ model: 'local', temperature: 0 });
  const got = await local.invoke('What is the capital of France?');
  assert.equal(got.content, 'Paris');
  assert.equal(got.response_metadata.finish_reason, 'stop');
  const streamed = await gather(local.stream('What is the capital of France?'));
  const total = (message) => message.usage_metadata.total_tokens;
  assert.deepEqual([streamed.content, total(streamed)], ['Paris', total(got)]);
  const messages = [new HumanMessage('What is the weather in Paris?')];
  const bound = local.bindTools([weather()]);
  const called = await bound.invoke(messages);
  assert.deepEqual([called.tool_calls[0].name, called.tool_calls[0].args], paris);
  messages.push(called, await weather().invoke(called.tool_calls[0]));
  assert.equal((await bound.invoke(messages)).response_metadata.finish_reason, 'stop');
});

test('langchain: a provider, with usage', async () => {
  const prompt = mock(say('word by word', { promptTokens: 21, cachedTokens: 4 }));
  for (const got of [await chat().invoke(prompt), await gather(chat().stream(prompt))]) {
    assert.equal(got.content, 'word by word');
    const { input_tokens: input, output_tokens: output, input_token_details: details } =
      got.usage_metadata;
    assert.deepEqual([input, output, details.cache_read], [21, 5, 4]);
  }
});

test('langchain: parallel calls and their results', async () => {
  const bound = chat().bindTools([weather()]);
  const prompt = mock(call(paris, rome), say('All cold.'));
  for (const ask of [(m) => bound.invoke(m), (m) => gather(bound.stream(m))]) {
    const messages = [new HumanMessage(prompt)];
    const called = await ask(messages);
    assert.deepEqual(
      called.tool_calls.map((c) => [c.name, c.args]),
      [paris, rome],
    );
    messages.push(called);
    for (const c of called.tool_calls) messages.push(await weather().invoke(c));
    assert.ok(messages.at(-1) instanceof ToolMessage);
    assert.equal((await ask(messages)).content, 'All cold.');
    const sent = asked(provider).body.messages;
    resultsFit(sent);
    assert.equal(sent[3].content, '20 degrees in Rome');
  }
});

test('langchain: structured output, by schema and by a function', async () => {
  const schema = z.object({ city: z.string(), people: z.number() });
  const wanted = { city: 'Oslo', people: 709037 };
  const bySchema = chat().withStructuredOutput(schema, { name: 'place' });
  assert.deepEqual(await bySchema.invoke(mock(say(JSON.stringify(wanted)))), wanted);
  assert.equal(asked(provider).body.response_format.json_schema.name, 'place');
  const options = { name: 'place', method: 'functionCalling' };
  const byCall = chat().withStructuredOutput(schema, options);
  assert.deepEqual(await byCall.invoke(mock(call(['place', wanted]))), wanted);
  assert.equal(asked(provider).body.tool_choice.function.name, 'place');
});

test('langchain: an image reaches the provider', async () => {
  const url = `data:image/png;base64,${png}`;
  const content = [
    { type: 'text', text: mock(say('a dot')) },
    { type: 'image_url', image_url: { url } },
  ];
  assert.equal((await chat().invoke([new HumanMessage({ content })])).content, 'a dot');
  assert.equal(asked(provider).body.messages[0].content[1].image_url.url, url);
});

test('langchain: audio reaches the provider', async () => {
  const audio = { type: 'input_audio', input_audio: { data: wav, format: 'wav' } };
  const content = [{ type: 'text', text: mock(say('a hum')) }, audio];
  assert.equal((await chat().invoke([new HumanMessage({ content })])).content, 'a hum');
  assert.deepEqual(asked(provider).body.messages[0].content[1], audio);
});

test('langchain: an abort reaches the provider, in a stream and before its answer', async () => {
  const aborter = new AbortController();
  const { signal } = aborter;
  const stream = await chat().stream(mock({ behaviour: 'hang-mid' }), { signal });
  await breakOff(provider, stream, () => aborter.abort());
  const second = new AbortController();
  const before = provider.aborts().length;
  setTimeout(() => second.abort(), 100);
  await thrown(chat().invoke(mock({ behaviour: 'hang' }), { signal: second.signal }));
  const at = now();
  while (provider.aborts().length === before) await new Promise(setImmediate);
  assert.ok(provider.aborts().at(-1).aborted - at < 100 * slow);
});

test('langchain: errors have their status', async () => {
  const fails = (status, more) => mock({ behaviour: 'error', status, ...more });
  const bad = await thrown(chat({ topP: 7 }).invoke('hi'));
  assert.deepEqual([bad.status, bad.param], [400, 'top_p']);
  const missing = await thrown(chat({ model: 'nobody' }).invoke('hi'));
  assert.deepEqual([missing.status, missing.code], [404, 'model_not_found']);
  const busy = await thrown(chat().invoke(fails(429, { retryAfter: 7 })));
  assert.deepEqual([busy.status, busy.headers.get('retry-after')], [429, '7']);
  assert.equal((await thrown(chat().invoke(fails(500)))).status, 502);
  const code = 'context_length_exceeded'; // later versions know it by the phrase
  const long = await thrown(chat().invoke(fails(400, { more: { code, param: 'messages' } })));
  assert.deepEqual([long.status, long.code, long.param], [400, code, 'messages']);
  assert.match(long.message, /exceeds the context window/);
  const here = await thrown(chat({ model: 'local' }).invoke('word '.repeat(9000)));
  assert.deepEqual([here.status, here.code, here.param], [400, code, 'messages']);
  assert.match(here.message, /exceeds the context window.*maximum context length/);
});

test('langchain: a failure in the middle of a stream is an error, no end', async () => {
  for (const behaviour of ['error-inside', 'cut', 'malformed', 'no-finish']) {
    let text = '';
    const e = await thrown(
      (async () => {
        for await (const chunk of await chat().stream(mock({ behaviour, after: 2 })))
          text += chunk.content;
      })(),
    );
    assert.equal(e.type, 'upstream_error', String(e));
    assert.match(text, /^word0 word1 /, behaviour);
  }
});

test('langchain: a batch', async () => {
  const prompts = Array.from({ length: 8 }, (_, i) => mock(say(`no ${i}`)));
  const got = await chat().batch(prompts, { maxConcurrency: 4 });
  assert.deepEqual(
    got.map((message) => message.content),
    prompts.map((_, i) => `no ${i}`),
  );
});

test('langchain: 50 parallel streams', () =>
  fifty(async (prompt) => (await gather(chat().stream(prompt))).content),
);
