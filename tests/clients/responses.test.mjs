// OpenAI's Responses API with the npm clients that have it: `openai`, and on its older copy of that
// @langchain/openai.
import assert from 'node:assert/strict';
import {
  asked, breakOff, call, clientTest as test, fifty, load, mock, paris, png, resultsFit, rome, say,
  start, thrown, weather,
} from './lib.mjs';

const openai = await load('openai');
const { zodTextFormat } = await load('openai/helpers/zod');
const { ChatOpenAI } = await load('@langchain/openai');
const { z } = await load('zod');
const { gw, provider } = await start({ heartbeat: '200ms' });

const base = gw && { baseURL: `${gw.url}/v1`, apiKey: 'sk-none', maxRetries: 0 };
const client = gw && new openai.OpenAI(base);
const create = (input, more = {}, options) =>
  client.responses.create({ model: 'gpt-4o', input, ...more }, options);
const stream = (input, more = {}) =>
  client.responses.stream({ model: 'gpt-4o', input, ...more }).finalResponse();
const tool = weather && { type: 'function', ...weather.function, strict: false };
const callsOf = (response) =>
  response.output
    .filter((item) => item.type === 'function_call')
    .map((item) => [item.name, JSON.parse(item.arguments)]);

test('responses: the model in the box, plain, streamed and with a tool', async () => {
  const local = { model: 'local', temperature: 0 };
  const asks = 'What is the capital of France?';
  for (const got of [await create(asks, local), await stream(asks, local)]) {
    assert.deepEqual([got.output_text, got.status], ['Paris', 'completed']);
    assert.ok(got.usage.total_tokens > 0);
  }
  const got = await create('What is the weather in Paris?', { ...local, tools: [tool] });
  assert.deepEqual(callsOf(got), [paris]);
});

test('responses: a provider, with usage and its cached part', async () => {
  const script = mock(say('word by word', { promptTokens: 21, cachedTokens: 4, firstMs: 450 }));
  const more = { instructions: 'Be brief.' };
  for (const got of [await create(script, more), await stream(script, more)]) {
    assert.equal(got.output_text, 'word by word');
    const { input_tokens: input, output_tokens: output, input_tokens_details: details } = got.usage;
    assert.deepEqual([input, output, details.cached_tokens], [21, 5, 4]);
    assert.equal(asked(provider).body.messages[0].content, 'Be brief.');
  }
});

test('responses: parallel calls, and their results to the stored response', async () => {
  const script = mock(call(paris, rome), say('All cold.'));
  for (const ask of [create, stream]) {
    const first = await ask(script, { tools: [tool] });
    assert.deepEqual(callsOf(first), [paris, rome]);
    const results = first.output
      .filter((item) => item.type === 'function_call')
      .map((item) => ({ type: 'function_call_output', call_id: item.call_id, output: '20' }));
    const next = await ask(results, { tools: [tool], previous_response_id: first.id });
    assert.equal(next.output_text, 'All cold.');
    resultsFit(asked(provider).body.messages);
    // Without what the client adds, which OpenAI refuses too.
    const items = first.output.map(({ parsed_arguments: _, ...item }) => item);
    const again = await ask([{ role: 'user', content: script }, ...items, ...results]);
    assert.equal(again.output_text, 'All cold.');
  }
});

test('responses: a custom tool, and one in a namespace', async () => {
  const edited = ['edit', { input: 'a\n"b"' }];
  const script = mock(call(edited, ['world__get_weather', paris[1]]), say('ok'));
  const tools = [
    { type: 'web_search' },
    { type: 'custom', name: 'edit', format: { type: 'text' } },
    { type: 'namespace', name: 'world', description: 'All of it.', tools: [tool] },
  ];
  for (const ask of [create, stream]) {
    const first = await ask(script, { tools });
    const [edit, look] = first.output;
    assert.deepEqual([edit.type, edit.name, edit.input], ['custom_tool_call', 'edit', 'a\n"b"']);
    assert.deepEqual([look.namespace, look.name], ['world', paris[0]]);
    assert.deepEqual(JSON.parse(look.arguments), paris[1]);
    const results = [
      { type: 'custom_tool_call_output', call_id: edit.call_id, output: 'done' },
      { type: 'function_call_output', call_id: look.call_id, output: '20' },
    ];
    const next = await ask(results, { tools, previous_response_id: first.id });
    assert.equal(next.output_text, 'ok');
    resultsFit(asked(provider).body.messages);
  }
});

test('responses: structured output', async () => {
  const schema = z.object({ city: z.string(), people: z.number() });
  const asks = {
    model: 'gpt-4o',
    input: mock(say('{"city":"Oslo","people":709037}')),
    text: { format: zodTextFormat(schema, 'place') },
  };
  const wanted = { city: 'Oslo', people: 709037 };
  assert.deepEqual((await client.responses.parse(asks)).output_parsed, wanted);
  assert.equal(asked(provider).body.response_format.json_schema.name, 'place');
  const streamed = await client.responses.stream(asks).finalResponse();
  assert.deepEqual(streamed.output_parsed, wanted);
});

test('responses: a refusal is no answer to parse, and is gone on from', async () => {
  const asks = {
    model: 'gpt-4o',
    input: mock({ behaviour: 'refusal' }, say('{"city":"Oslo"}')),
    text: { format: zodTextFormat(z.object({ city: z.string() }), 'place') },
  };
  const refusal = 'I cannot help with "that".';
  for (const got of [
    await client.responses.parse(asks),
    await client.responses.stream(asks).finalResponse(),
  ]) {
    assert.deepEqual([got.output_parsed, got.output_text, got.status], [null, '', 'completed']);
    assert.deepEqual(
      got.output.map(({ type, content }) => [type, content]),
      [['message', [{ type: 'refusal', refusal }]]],
    );
    const more = { ...asks, input: 'Go on.', previous_response_id: got.id };
    assert.equal((await client.responses.parse(more)).output_parsed.city, 'Oslo');
    const [, said, next] = asked(provider).body.messages;
    assert.deepEqual([said.role, said.content, next.content], ['assistant', refusal, 'Go on.']);
  }
});

test('responses: an image reaches the provider', async () => {
  const url = `data:image/png;base64,${png}`;
  const content = [
    { type: 'input_text', text: mock(say('a dot')) },
    { type: 'input_image', image_url: url, detail: 'auto' },
  ];
  assert.equal((await create([{ role: 'user', content }])).output_text, 'a dot');
  const part = asked(provider).body.messages[0].content[1];
  assert.equal(part.image_url.url, url);
});

test('responses: reasoning, as a summary where it is asked for', async () => {
  const script = mock({ behaviour: 'reasoning', text: '42' });
  const reasoning = { effort: 'high', summary: 'auto' };
  for (const got of [await create(script, { reasoning }), await stream(script, { reasoning })]) {
    const [thought] = got.output;
    assert.deepEqual([thought.type, got.output_text], ['reasoning', '42']);
    assert.equal(thought.summary.map((part) => part.text).join(''), 'Let me think.');
  }
});

test('responses: what is stored is found, and deleted', async () => {
  const { id } = await create(mock(say('kept')));
  assert.equal((await client.responses.retrieve(id)).output_text, 'kept');
  const items = [];
  for await (const item of client.responses.inputItems.list(id)) items.push(item.type);
  assert.deepEqual(items, ['message']);
  await client.responses.delete(id);
  assert.ok((await thrown(client.responses.retrieve(id))) instanceof openai.NotFoundError);
  const secret = await create(mock(say('not kept')), { store: false });
  assert.ok((await thrown(client.responses.retrieve(secret.id))) instanceof openai.NotFoundError);
});

test('responses: an abort reaches the provider', async () => {
  const events = await create(mock({ behaviour: 'hang-mid' }), { stream: true });
  const pieces = (async function* deltas() {
    for await (const event of events) if (event.type.endsWith('.delta')) yield event;
  })();
  await breakOff(provider, pieces, () => events.controller.abort());
});

test('responses: errors have their classes; a stream that breaks is an error, no end', async () => {
  const bad = await thrown(create('hi', { temperature: 9 }));
  assert.ok(bad instanceof openai.BadRequestError);
  assert.equal(bad.param, 'temperature');
  const gone = await thrown(create('hi', { previous_response_id: 'resp_0' }));
  assert.ok(gone instanceof openai.NotFoundError || gone instanceof openai.BadRequestError);
  const busy = mock({ behaviour: 'error', status: 429, retryAfter: 7 });
  const limited = await thrown(create(busy, { stream: true }));
  assert.ok(limited instanceof openai.RateLimitError);
  assert.equal(limited.headers.get('retry-after'), '7');
  for (const behaviour of ['error-inside', 'cut', 'malformed', 'no-finish']) {
    let text = '';
    let last = null;
    const e = await thrown(
      (async () => {
        const events = await create(mock({ behaviour, after: 2 }), { stream: true });
        for await (const event of events) {
          last = event;
          if (event.type === 'response.output_text.delta') text += event.delta;
        }
        if (last.type === 'response.failed') throw new Error(last.response.error.message);
      })(),
    );
    assert.doesNotMatch(e.message, /nothing failed/);
    assert.match(text, /^word0 word1 /, behaviour);
  }
});

test('responses: 50 parallel streams', () =>
  fifty(async (text) => (await stream(text)).output_text),
);

test('langchain by responses: plain, streamed, tools', async () => {
  const configuration = { baseURL: base?.baseURL };
  const options = { model: 'gpt-4o', apiKey: 'none', maxRetries: 0, configuration };
  const chat = new ChatOpenAI({ ...options, useResponsesApi: true });
  assert.equal((await chat.invoke(mock(say('word by word')))).text, 'word by word');
  let text = '';
  for await (const chunk of await chat.stream(mock(say('word by word')))) text += chunk.text;
  assert.equal(text, 'word by word');
  const called = await chat.bindTools([weather]).invoke(mock(call(paris, rome)));
  assert.deepEqual(
    called.tool_calls.map((c) => [c.name, c.args]),
    [paris, rome],
  );
});
