// The npm client `@anthropic-ai/sdk` against the gateway.
import assert from 'node:assert/strict';
import { after } from 'node:test';
import {
  asked, breakOff, call, clientTest as test, counter, load, mock, now, paris, png, resultsFit,
  rome, say, served, slow, start, thrown,
} from './lib.mjs';

const sdk = await load('@anthropic-ai/sdk');
const { zodOutputFormat } = await load('@anthropic-ai/sdk/helpers/zod');
const { betaZodTool } = await load('@anthropic-ai/sdk/helpers/beta/zod');
const { z } = await load('zod/v4');
const { gw, provider } = await start({ heartbeat: '200ms' });

const clientAt = (baseURL, more = {}) =>
  new sdk.Anthropic({ baseURL, apiKey: 'sk-ant-none', maxRetries: 0, ...more });
const client = gw && clientAt(gw.url);
const user = (content) => [{ role: 'user', content }];
const asks = (content, more = {}) => ({
  model: 'claude-sonnet-4-5',
  max_tokens: 64,
  messages: user(content),
  ...more,
});
const create = (content, more, options) => client.messages.create(asks(content, more), options);
const local = asks('What is the capital of France?', { model: 'local', temperature: 0 });
const weather = {
  name: 'get_weather',
  description: 'Current weather of a city',
  input_schema: { type: 'object', required: ['city'], properties: { city: { type: 'string' } } },
};

test('anthropic: the model in the box, plain and streamed', async () => {
  const { data, response, request_id: id } = await client.messages.create(local).withResponse();
  assert.deepEqual(data.content, [{ type: 'text', text: 'Paris' }]);
  assert.deepEqual([data.type, data.role, data.stop_reason], ['message', 'assistant', 'end_turn']);
  assert.ok(data.usage.input_tokens > 0 && data.usage.output_tokens > 0);
  assert.equal(id, `req_${response.headers.get('x-tollgate-request-id')}`);
  assert.equal(data._request_id, id);
  const stream = client.messages.stream(local);
  const texts = [];
  stream.on('text', (text) => texts.push(text));
  const message = await stream.finalMessage();
  assert.equal(texts.join(''), 'Paris');
  assert.deepEqual([message.content, message.usage], [data.content, data.usage]);
  const counted = await client.messages.countTokens({ model: 'local', messages: local.messages });
  assert.equal(counted.input_tokens, data.usage.input_tokens);
});

test('anthropic: the model in the box calls a tool and takes its result', async () => {
  const first = { ...local, messages: user('What is the weather in Paris?'), tools: [weather] };
  const whole = await client.messages.create(first);
  const streamed = await client.messages.stream(first).finalMessage();
  for (const message of [whole, streamed]) {
    assert.equal(message.stop_reason, 'tool_use');
    const use = message.content.find((block) => block.type === 'tool_use');
    assert.deepEqual([use.name, use.input], paris);
  }
  const { id } = whole.content.find((block) => block.type === 'tool_use');
  const result = { type: 'tool_result', tool_use_id: id, content: '{"temperature": 20}' };
  const messages = [
    ...first.messages,
    { role: 'assistant', content: whole.content },
    { role: 'user', content: [result] },
  ];
  const next = await client.messages.create({ ...first, messages });
  assert.equal(next.stop_reason, 'end_turn');
});

test('anthropic: a provider, plain and streamed, with usage', async () => {
  const script = mock(say('word by word', { promptTokens: 21, cachedTokens: 4, firstMs: 450 }));
  const plain = await create(script, { system: 'Be brief.', stop_sequences: ['zz'] });
  assert.equal(plain.content[0].text, 'word by word');
  const { usage } = plain;
  assert.deepEqual(
    [usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens],
    [17, 4, 5],
  );
  assert.equal(asked(provider).body.messages[0].role, 'system');
  const message = await client.messages.stream(asks(script)).finalMessage(); // with pings before it
  assert.equal(message.content[0].text, 'word by word');
  assert.equal(message.usage.output_tokens, 5);
  let text = '';
  for await (const event of await create(script, { stream: true }))
    if (event.type === 'content_block_delta') text += event.delta.text;
  assert.equal(text, 'word by word');
});

test('anthropic: toolRunner with parallel calls, plain and streamed', async () => {
  const script = mock(call(paris, rome), call(['get_weather', { city: 'Oslo' }]), say('All cold.'));
  for (const stream of [false, true]) {
    const cities = [];
    const tool = betaZodTool({
      name: 'get_weather',
      description: 'Current weather of a city',
      inputSchema: z.object({ city: z.string() }),
      run: ({ city }) => {
        cities.push(city);
        return `20 degrees in ${city}`;
      },
    });
    const runner = client.beta.messages.toolRunner(asks(script, { stream, tools: [tool] }));
    const last = await runner.runUntilDone();
    assert.deepEqual([last.content[0].text, last.stop_reason], ['All cold.', 'end_turn']);
    assert.deepEqual(cities, ['Paris', 'Rome', 'Oslo']);
    const { messages } = asked(provider).body;
    assert.deepEqual(
      messages.map((m) => m.role),
      ['user', 'assistant', 'tool', 'tool', 'assistant', 'tool'],
    );
    resultsFit(messages);
    assert.equal(messages[3].content, '20 degrees in Rome');
  }
});

test('anthropic: structured output', async () => {
  const schema = z.object({ city: z.string(), people: z.number() });
  const body = asks(mock(say('{"city":"Oslo","people":709037}')), {
    output_config: { format: zodOutputFormat(schema) },
  });
  const got = await client.messages.parse(body);
  assert.deepEqual(got.parsed_output, { city: 'Oslo', people: 709037 });
  const sent = asked(provider).body.response_format;
  assert.deepEqual(sent.json_schema.schema.required, ['city', 'people']);
  const streamed = await client.messages.stream(body).finalMessage();
  assert.deepEqual(streamed.parsed_output, got.parsed_output);
  const refused = await thrown(client.messages.parse({ ...body, model: 'local' }));
  assert.ok(refused instanceof sdk.BadRequestError);
  assert.match(refused.message, /output_config\.format: /);
});

test('anthropic: an image reaches the provider', async () => {
  const content = [
    { type: 'image', source: { type: 'base64', media_type: 'image/png', data: png } },
    { type: 'text', text: mock(say('a dot')) },
  ];
  assert.equal((await create(content)).content[0].text, 'a dot');
  const [part] = asked(provider).body.messages[0].content;
  assert.equal(part.image_url.url, `data:image/png;base64,${png}`);
  const refused = await thrown(create(content, { model: 'local' }));
  assert.ok(refused instanceof sdk.BadRequestError);
});

test('anthropic: thinking comes as a block, and may be sent back', async () => {
  const script = mock({ behaviour: 'reasoning', text: '42' }, say('As I said.'));
  const thinking = { type: 'enabled', budget_tokens: 1024 };
  const body = asks(script, { thinking, max_tokens: 2048 });
  const whole = await client.messages.create(body);
  const stream = client.messages.stream(body);
  let thought = '';
  stream.on('thinking', (delta) => {
    thought += delta;
  });
  const streamed = await stream.finalMessage();
  assert.equal(thought, 'Let me think.');
  for (const { content } of [whole, streamed]) {
    assert.deepEqual([content[0].type, content[0].thinking], ['thinking', 'Let me think.']);
    assert.ok(content[0].signature);
    assert.deepEqual(content[1], { type: 'text', text: '42' });
  }
  const messages = [...body.messages, { role: 'assistant', content: streamed.content }];
  const next = await create('', { messages: [...messages, ...user('Why?')], max_tokens: 2048 });
  assert.equal(next.content[0].text, 'As I said.');
});

test('anthropic: an abort reaches the provider, in a stream and before its answer', async () => {
  for (const does of [{ behaviour: 'hang-mid' }, say('slow', { chunks: 400, delayMs: 20 })]) {
    const stream = client.messages.stream(asks(mock(does)));
    const e = await breakOff(provider, stream, () => stream.abort());
    assert.ok(e === undefined || e instanceof sdk.APIUserAbortError, String(e));
  }
  const aborter = new AbortController();
  const before = provider.aborts().length;
  setTimeout(() => aborter.abort(), 200);
  const e = await thrown(create(mock({ behaviour: 'hang' }), {}, { signal: aborter.signal }));
  assert.ok(e instanceof sdk.APIUserAbortError);
  const at = now();
  while (provider.aborts().length === before) await new Promise(setImmediate);
  assert.ok(provider.aborts().at(-1).aborted - at < 100 * slow);
});

test('anthropic: errors have their classes and types', async () => {
  const upstream = (status, more) => create(mock({ behaviour: 'error', status, ...more }));
  const check = async (promise, type, name) => {
    const e = await thrown(promise);
    assert.ok(e instanceof type, String(e));
    assert.deepEqual([e.error.type, e.error.error.type, e.type], ['error', name, name]);
    assert.match(e.requestID, /^req_[0-9a-f]{16}$/);
    assert.equal(e.error.request_id, e.requestID);
    return e;
  };
  await check(create('hi', { temperature: 9 }), sdk.BadRequestError, 'invalid_request_error');
  await check(create('hi', { model: 'nobody' }), sdk.NotFoundError, 'not_found_error');
  await check(client.get('/v1/messages/batches'), sdk.NotFoundError, 'not_found_error');
  const limited = upstream(429, { retryAfter: 7 });
  const busy = await check(limited, sdk.RateLimitError, 'rate_limit_error');
  assert.equal(busy.headers.get('retry-after'), '7');
  for (const status of [500, 401])
    assert.equal((await check(upstream(status), sdk.InternalServerError, 'api_error')).status, 502);
  for (const status of [503, 529])
    await check(upstream(status), sdk.OverloadedError, 'overloaded_error');
  await check(upstream(400), sdk.BadRequestError, 'invalid_request_error');
  await check(upstream(404), sdk.NotFoundError, 'not_found_error');
  const long = upstream(413, { message: 'This exceeds the context window.' });
  const refused = await check(long, sdk.BadRequestError, 'invalid_request_error');
  assert.match(refused.message, /prompt is too long: mock/);
  const hasty = create(mock({ behaviour: 'hang' }), {}, { timeout: 100 });
  assert.ok((await thrown(hasty)) instanceof sdk.APIConnectionTimeoutError);
});

test('anthropic: a failure in the middle of a stream is an error, no end', async () => {
  for (const behaviour of ['error-inside', 'cut', 'malformed', 'no-finish']) {
    const stream = client.messages.stream(asks(mock({ behaviour, after: 2 })));
    let text = '';
    stream.on('text', (piece) => {
      text += piece;
    });
    const e = await thrown(stream.finalMessage());
    assert.ok(e instanceof sdk.APIError, String(e));
    assert.equal(e.type, 'api_error');
    assert.match(text, /^word0 word1 /, behaviour);
  }
});

test('anthropic: what passes is tried again when the provider says', async () => {
  const patient = clientAt(gw.url, { maxRetries: 2 });
  provider.control({ behaviour: 'error', status: 429, retryAfter: 1, times: 1 });
  const at = now();
  const got = await patient.messages.create(asks(mock(say('second time'))));
  assert.equal(got.content[0].text, 'second time');
  assert.ok(now() - at >= 1000);
});

test('anthropic: models, a page at a time', async () => {
  const names = [];
  for await (const model of client.models.list({ limit: 2 })) names.push(model.id);
  assert.deepEqual(names, served);
  const one = await client.models.retrieve('claude-sonnet-4-5');
  assert.deepEqual([one.type, one.id], ['model', 'claude-sonnet-4-5']);
  assert.ok((await thrown(client.models.retrieve('nobody'))) instanceof sdk.NotFoundError);
});

test('anthropic: connections carry one request after another', async () => {
  const line = await counter(gw.port);
  after(line.stop);
  const there = clientAt(line.url);
  for (let i = 0; i < 5; i++) {
    const body = asks(mock(say(`no ${i}`)));
    assert.equal((await there.messages.create(body)).content[0].text, `no ${i}`);
    assert.equal(await there.messages.stream(body).finalText(), `no ${i}`);
    const e = await thrown(there.messages.create({ ...body, top_k: -1 }));
    assert.ok(e instanceof sdk.BadRequestError);
  }
  assert.ok(line.connections <= 2, String(line.connections));
});
