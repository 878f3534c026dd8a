// The npm client `openai` against the gateway.
import assert from 'node:assert/strict';
import { after } from 'node:test';
import {
  asked, breakOff, call, clientTest as test, counter, load, mock, now, paris, png, resultsFit,
  rome, say, served, slow, start, thrown, wav, weather,
} from './lib.mjs';

const openai = await load('openai');
const { zodFunction, zodResponseFormat } = await load('openai/helpers/zod');
const { z } = await load('zod');
const { gw, provider } = await start({ heartbeat: '200ms' });

const clientAt = (url, more = {}) =>
  new openai.OpenAI({ baseURL: `${url}/v1`, apiKey: 'sk-none', maxRetries: 0, ...more });
const client = gw && clientAt(gw.url);
const user = (content) => [{ role: 'user', content }];
const create = (content, more = {}, options) =>
  client.chat.completions.create({ model: 'gpt-4o', messages: user(content), ...more }, options);
const local = { model: 'local', messages: user('What is the capital of France?'), temperature: 0 };

async function collect(stream) {
  const out = { text: '', reasoning: '', chunks: [], finish: null, usage: null };
  for await (const chunk of stream) {
    const [choice] = chunk.choices;
    out.chunks.push(chunk);
    out.text += choice?.delta.content ?? '';
    out.reasoning += choice?.delta.reasoning_content ?? '';
    out.finish = choice?.finish_reason ?? out.finish;
    out.usage = chunk.usage ?? out.usage;
  }
  return out;
}

test('openai: the model in the box, plain and streamed', async () => {
  const { data, response, request_id: id } = await client.chat.completions
    .create(local)
    .withResponse();
  assert.equal(data.choices[0].message.content, 'Paris');
  assert.deepEqual([data.object, data.model], ['chat.completion', 'local']);
  assert.equal(data.choices[0].finish_reason, 'stop');
  assert.equal(data.usage.total_tokens, data.usage.prompt_tokens + data.usage.completion_tokens);
  assert.equal(response.headers.get('x-tollgate-route'), 'local');
  assert.equal(id, `req_${response.headers.get('x-tollgate-request-id')}`);
  assert.equal(data._request_id, id);
  const got = await collect(
    await client.chat.completions.create({
      ...local,
      stream: true,
      stream_options: { include_usage: true },
    }),
  );
  assert.deepEqual([got.text, got.finish, got.usage], ['Paris', 'stop', data.usage]);
  assert.ok(got.chunks.every((c) => c.id === got.chunks[0].id && c.model === 'local'));
  const helper = client.chat.completions.stream(local);
  assert.equal(await helper.finalContent(), 'Paris');
});

test('openai: the model in the box calls a tool and takes its result', async () => {
  const messages = user('What is the weather in Paris?');
  const asks = { ...local, messages, tools: [weather] };
  const whole = await client.chat.completions.create(asks);
  const streamed = await client.chat.completions.stream(asks).finalChatCompletion();
  for (const { choices } of [whole, streamed]) {
    assert.equal(choices[0].finish_reason, 'tool_calls');
    const [{ function: f, type }] = choices[0].message.tool_calls;
    assert.deepEqual([type, f.name, JSON.parse(f.arguments)], ['function', ...paris]);
  }
  const [{ id }] = whole.choices[0].message.tool_calls;
  const result = { role: 'tool', tool_call_id: id, content: '{"temperature": 20}' };
  messages.push(whole.choices[0].message, result);
  const next = await client.chat.completions.create({ ...asks, messages });
  assert.equal(next.choices[0].finish_reason, 'stop');
});

test('openai: a provider, plain and streamed, with usage', async () => {
  const plain = await create(mock(say('word by word', { promptTokens: 21, cachedTokens: 4 })));
  assert.equal(plain.choices[0].message.content, 'word by word');
  assert.deepEqual(plain.usage, {
    prompt_tokens: 21,
    completion_tokens: 5,
    total_tokens: 26,
    prompt_tokens_details: { cached_tokens: 4 },
  });
  const options = { stream: true, stream_options: { include_usage: true } };
  const got = await collect(await create(mock(say('a b c d')), options));
  assert.deepEqual([got.text, got.finish, got.usage.total_tokens], ['a b c d', 'stop', 16]);
  const silent = await collect(await create(mock(say('a b c d')), { stream: true }));
  assert.deepEqual([silent.text, silent.usage], ['a b c d', null]);
  const waited = await collect(await create(mock(say('late', { firstMs: 700 })), options));
  assert.equal(waited.text, 'late');
});

test('openai: runTools with parallel calls, plain and streamed', async () => {
  const script = mock(call(paris, rome), call(['get_weather', { city: 'Oslo' }]), say('All cold.'));
  for (const stream of [false, true]) {
    const cities = [];
    const run = (args) => {
      cities.push(args.city);
      return { temperature: 20, of: args.city };
    };
    const runner = client.chat.completions.runTools({
      model: 'gpt-4o',
      messages: user(script),
      stream,
      tools: [
        zodFunction({
          name: 'get_weather',
          description: 'Current weather of a city',
          parameters: z.object({ city: z.string() }),
          function: run,
        }),
      ],
    });
    assert.equal(await runner.finalContent(), 'All cold.');
    assert.deepEqual(cities, ['Paris', 'Rome', 'Oslo']);
    const { messages, tools } = asked(provider).body;
    assert.equal(tools[0].function.strict, true);
    assert.deepEqual(
      messages.map((m) => m.role),
      ['user', 'assistant', 'tool', 'tool', 'assistant', 'tool'],
    );
    resultsFit(messages);
    assert.equal(JSON.parse(messages[3].content).of, 'Rome');
  }
});

test('openai: structured output', async () => {
  const schema = z.object({ city: z.string(), people: z.number() });
  const asks = {
    model: 'gpt-4o',
    messages: user(mock(say('{"city":"Oslo","people":709037}'))),
    response_format: zodResponseFormat(schema, 'place'),
  };
  const parsed = { city: 'Oslo', people: 709037 };
  const { choices } = await client.chat.completions.parse(asks);
  assert.deepEqual(choices[0].message.parsed, parsed);
  const sent = asked(provider).body.response_format;
  assert.deepEqual([sent.json_schema.name, sent.json_schema.strict], ['place', true]);
  assert.deepEqual(sent.json_schema.schema.required, ['city', 'people']);
  const streamed = await client.chat.completions.stream(asks).finalChatCompletion();
  assert.deepEqual(streamed.choices[0].message.parsed, parsed);
  await assert.rejects(client.chat.completions.parse({ ...asks, model: 'local' }), (e) => {
    assert.ok(e instanceof openai.BadRequestError);
    assert.equal(e.param, 'response_format');
    return true;
  });
});

test('openai: a refusal is no answer to parse, and may be gone on from', async () => {
  const schema = zodResponseFormat(z.object({ city: z.string() }), 'place');
  const messages = user(mock({ behaviour: 'refusal' }, say('{"city":"Oslo"}')));
  const asks = { model: 'gpt-4o', messages, response_format: schema };
  const declined = 'I cannot help with "that".';
  const streamed = client.chat.completions.stream(asks);
  const pieces = [];
  streamed.on('refusal.delta', ({ delta }) => pieces.push(delta));
  for (const { choices } of [
    await client.chat.completions.parse(asks),
    await streamed.finalChatCompletion(),
  ]) {
    const [{ message, finish_reason: finish }] = choices;
    assert.deepEqual([message.refusal, message.parsed, finish], [declined, null, 'stop']);
    assert.ok(!message.content);
    const { parsed: _, ...said } = message;
    const next = [...messages, said, ...user('Go on.')];
    const got = await client.chat.completions.parse({ ...asks, messages: next });
    assert.equal(got.choices[0].message.parsed.city, 'Oslo');
    assert.equal(asked(provider).body.messages[1].content, declined);
  }
  assert.deepEqual(pieces.join(''), declined);
});

test('openai: an image reaches the provider', async () => {
  const url = `data:image/png;base64,${png}`;
  const content = [
    { type: 'text', text: mock(say('a dot')) },
    { type: 'image_url', image_url: { url } },
  ];
  const got = await create(content);
  assert.equal(got.choices[0].message.content, 'a dot');
  assert.equal(asked(provider).body.messages[0].content[1].image_url.url, url);
  await assert.rejects(create(content, { model: 'local' }), openai.BadRequestError);
});

test('openai: audio reaches the provider', async () => {
  const audio = { type: 'input_audio', input_audio: { data: wav, format: 'wav' } };
  const content = [{ type: 'text', text: mock(say('a hum')) }, audio];
  const got = await create(content);
  assert.equal(got.choices[0].message.content, 'a hum');
  assert.deepEqual(asked(provider).body.messages[0].content[1], audio);
  await assert.rejects(create(content, { model: 'local' }), openai.BadRequestError);
});

test('openai: reasoning', async () => {
  const script = mock({ behaviour: 'reasoning', text: '42' });
  const { message } = (await create(script, { reasoning_effort: 'high' })).choices[0];
  assert.deepEqual([message.reasoning_content, message.content], ['Let me think.', '42']);
  const got = await collect(await create(script, { stream: true }));
  assert.deepEqual([got.reasoning, got.text], ['Let me think.', '42']);
});

test('openai: an abort reaches the provider, in a stream and before its answer', async () => {
  for (const asks of [{ behaviour: 'hang-mid' }, say('slow', { chunks: 400, delayMs: 20 })]) {
    const stream = await create(mock(asks), { stream: true });
    await breakOff(provider, stream, () => stream.controller.abort());
  }
  const aborter = new AbortController();
  const before = provider.aborts().length;
  setTimeout(() => aborter.abort(), 200);
  await assert.rejects(
    create(mock({ behaviour: 'hang' }), {}, { signal: aborter.signal }),
    openai.APIUserAbortError,
  );
  const at = now();
  while (provider.aborts().length === before) await new Promise(setImmediate);
  assert.ok(provider.aborts().at(-1).aborted - at < 100 * slow);
});

test('openai: errors have their classes', async () => {
  const upstream = (status, more) => create(mock({ behaviour: 'error', status, ...more }));
  const bad = await thrown(create('hi', { temperature: 9 }));
  assert.ok(bad instanceof openai.BadRequestError);
  assert.deepEqual([bad.param, bad.type], ['temperature', 'invalid_request_error']);
  assert.match(bad.requestID, /^req_[0-9a-f]{16}$/);
  const missing = await thrown(create('hi', { model: 'nobody' }));
  assert.ok(missing instanceof openai.NotFoundError);
  assert.equal(missing.code, 'model_not_found');
  assert.ok((await thrown(client.get('/nothing'))) instanceof openai.NotFoundError);
  const busy = await thrown(upstream(429, { retryAfter: 7 }));
  assert.ok(busy instanceof openai.RateLimitError);
  assert.equal(busy.headers.get('retry-after'), '7');
  assert.equal(busy.code, 'rate_limit_exceeded');
  for (const [status, told] of [[500, 502], [503, 503], [401, 502]]) {
    const e = await thrown(upstream(status));
    assert.ok(e instanceof openai.InternalServerError, String(e));
    assert.deepEqual([e.status, e.type], [told, 'upstream_error']);
  }
  assert.ok((await thrown(upstream(400))) instanceof openai.BadRequestError);
  assert.ok((await thrown(upstream(404))) instanceof openai.NotFoundError);
  const hasty = create(mock({ behaviour: 'hang' }), {}, { timeout: 100 });
  assert.ok((await thrown(hasty)) instanceof openai.APIConnectionTimeoutError);
});

test('openai: a failure in the middle of a stream is an error, no end', async () => {
  for (const behaviour of ['error-inside', 'cut', 'malformed', 'no-finish']) {
    const stream = await create(mock({ behaviour, after: 2 }), { stream: true });
    let text = '';
    await assert.rejects(
      async () => {
        for await (const chunk of stream) text += chunk.choices[0].delta.content ?? '';
      },
      (e) => {
        assert.ok(e instanceof openai.APIError, String(e));
        assert.equal(e.type, 'upstream_error');
        return true;
      },
    );
    assert.match(text, /^word0 word1 /, behaviour);
  }
});

test('openai: what passes is tried again when the provider says', async () => {
  const patient = clientAt(gw.url, { maxRetries: 2 });
  provider.control({ behaviour: 'error', status: 429, retryAfter: 1, times: 1 });
  const at = now();
  const messages = user(mock(say('second time')));
  const got = await patient.chat.completions.create({ model: 'gpt-4o', messages });
  assert.equal(got.choices[0].message.content, 'second time');
  assert.ok(now() - at >= 1000);
  provider.control({ behaviour: 'error', status: 503, retryAfter: 0, times: 1 });
  const again = now();
  await patient.chat.completions.create({ model: 'gpt-4o', messages });
  assert.ok(now() - again < 1000 * slow); // at once, as it said
  const sent = provider.log().requests.length;
  const bad = mock({ behaviour: 'error', status: 400 });
  await thrown(patient.chat.completions.create({ model: 'gpt-4o', messages: user(bad) }));
  assert.equal(provider.log().requests.length, sent + 1); // what is wrong is not tried again
});

test('openai: models', async () => {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert.deepEqual(names, served);
  assert.equal((await client.models.retrieve('gpt-4o')).object, 'model');
  await assert.rejects(client.models.retrieve('nobody'), openai.NotFoundError);
});

test('openai: connections carry one request after another', async () => {
  const line = await counter(gw.port);
  after(line.stop);
  const there = clientAt(line.url);
  for (let i = 0; i < 5; i++) {
    const asks = { model: 'gpt-4o', messages: user(mock(say(`no ${i}`))) };
    const whole = await there.chat.completions.create(asks);
    assert.equal(whole.choices[0].message.content, `no ${i}`);
    assert.equal(await there.chat.completions.stream(asks).finalContent(), `no ${i}`);
    await assert.rejects(there.chat.completions.create({ ...asks, n: 0 }), openai.BadRequestError);
  }
  // A second one: the client calls a stream ended at [DONE], before its connection is free again.
  assert.ok(line.connections <= 2, String(line.connections));
});
