// The Anthropic dialect end to end: answers and streams of a provider and of the model in the box,
// errors before and after the first delta, heartbeats, counts, models.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { after, before, beforeEach, test } from 'node:test';
import { rawRequest, rawSocket, readSse, request, rows, startGateway, waitFor } from './lib.mjs';
import { startMock } from './mock_provider.mjs';
import { boxConfig, hybridConfig, named, png, prices } from './support.mjs';

const hi = [{ role: 'user', content: 'hi' }];
const schema = { type: 'object', required: ['city'], properties: { city: { type: 'string' } } };
const tools = [
  { name: 'get_weather', description: 'Current weather of a city', input_schema: schema },
];
const version = { 'anthropic-version': '2023-06-01' };

let mock;
let gw; // the model in the box, and routes to the mock by its models' names
const models = [
  'answer',
  'reasoning',
  'tool-call',
  'usage-absent',
  'error:{"status":529}',
  'cut:{"after":2}',
  'answer:{"firstMs":400}',
  'hang',
];

before(async () => {
  mock = await startMock();
  const top = { heartbeat: '100ms', limits: { body: '1MiB' } };
  gw = await startGateway({ config: boxConfig(mock, models, top) });
});
after(() => mock.stop());
beforeEach(() => mock.clear());

const send = (body, { to = '/v1/messages', headers = {} } = {}) =>
  request(gw.port, { method: 'POST', path: to, body, headers: { ...version, ...headers } });
const ask = (model, fields = {}) =>
  send({ model: named(model), max_tokens: 64, messages: hi, ...fields });

// A stream put together as clients do it, with its order checked.
async function stream(model, fields = {}) {
  const r = await ask(model, { stream: true, ...fields });
  assert.equal(r.status, 200, r.text);
  const out = { ...r, ...readSse(r.text), content: [], message: null, error: null, pings: 0 };
  for (const { event, json } of out.events) {
    assert.equal(event, json.type);
    const block = out.content[json.index];
    if (event === 'ping') out.pings++;
    else if (event === 'error') out.error = json;
    else if (event === 'message_start') out.message = json.message;
    else if (event === 'content_block_start') {
      assert.equal(json.index, out.content.length);
      out.content.push({ ...json.content_block, json: '' });
    } else if (event === 'content_block_delta') {
      const { delta } = json;
      assert.equal(json.index, out.content.length - 1);
      if (delta.type === 'text_delta') block.text += delta.text;
      else if (delta.type === 'thinking_delta') block.thinking += delta.thinking;
      else if (delta.type === 'signature_delta') block.signature = delta.signature;
      else block.json += delta.partial_json;
    } else if (event === 'content_block_stop') {
      if (block.json) block.input = JSON.parse(block.json);
      delete block.json;
    } else if (event === 'message_delta') {
      Object.assign(out.message, json.delta, { usage: json.usage });
    } else assert.equal(event, 'message_stop');
  }
  return out;
}

test('a provider answers, whole and streamed alike', async () => {
  for (const [model, content, reason, more] of [
    ['answer', [{ type: 'text', text: 'word0 word1 word2 word3 word4 ' }], 'end_turn'],
    [
      'tool-call',
      [{ type: 'tool_use', id: 'call_mock', name: 'get_weather', input: { city: 'Paris' } }],
      'tool_use',
      { tools },
    ],
  ]) {
    const { json, headers } = await ask(model, more);
    assert.match(json.id, /^msg_[0-9a-f]{16}$/);
    assert.deepEqual([json.type, json.role, json.model], ['message', 'assistant', model]);
    assert.deepEqual(json.content, content);
    assert.deepEqual([json.stop_reason, json.stop_sequence], [reason, null]);
    assert.deepEqual([json.usage.input_tokens, json.usage.output_tokens], [11, 5]);
    assert.equal(headers['request-id'], `req_${headers['x-tollgate-request-id']}`);
    assert.equal(headers['x-tollgate-route'], `mock/${model}`);
    const s = await stream(model, more);
    assert.deepEqual(s.content, content);
    assert.deepEqual([s.message.stop_reason, s.message.usage], [reason, json.usage]);
    assert.equal(s.events.at(-1).event, 'message_stop');
    const note = JSON.parse(s.comments.at(-1).replace(/^:? *tollgate /, ''));
    assert.equal(note.route, `mock/${model}`);
  }
});

test('what was thought is a signed block, and comes back as one', async () => {
  const thinking = { type: 'enabled', budget_tokens: 1024 };
  const { json } = await ask('reasoning', { thinking });
  assert.equal(json.content[0].thinking, 'Let me think.');
  assert.ok(json.content[0].signature);
  const s = await stream('reasoning', { thinking });
  assert.deepEqual(s.content, json.content);
  const unasked = [(await ask('reasoning')).json, await stream('reasoning')];
  for (const { content } of unasked) assert.deepEqual(content, json.content.slice(1));
  const hidden = await stream('reasoning', { thinking: { type: 'adaptive', display: 'omitted' } });
  assert.deepEqual(hidden.content[0], { ...json.content[0], thinking: '' });
  const messages = [...hi, { role: 'assistant', content: json.content }, ...hi];
  assert.equal((await ask('answer', { messages })).status, 200);
});

test('a conversation with tools reaches the provider in its own form', async () => {
  const source = { type: 'base64', media_type: 'image/png', data: png };
  const use = { type: 'tool_use', id: 'c1', name: 'get_weather', input: { city: 'Rome' } };
  const content = 'no such city';
  const result = { type: 'tool_result', tool_use_id: 'c1', is_error: true, content };
  const { status, text } = await ask('answer', {
    system: [{ type: 'text', text: 'Be brief.', cache_control: { type: 'ephemeral' } }],
    messages: [
      { role: 'user', content: [{ type: 'image', source }, { type: 'text', text: 'here?' }] },
      { role: 'assistant', content: [{ type: 'text', text: 'I look.' }, use] },
      { role: 'user', content: [result, { type: 'text', text: 'again' }] },
    ],
    tools,
    tool_choice: { type: 'tool', name: 'get_weather', disable_parallel_tool_use: true },
    output_config: { format: { type: 'json_schema', schema } },
    stop_sequences: ['END'],
    metadata: { user_id: 'u1' },
    temperature: 0.5,
  });
  assert.equal(status, 200, text);
  const { body } = mock.log().requests[0];
  assert.deepEqual(body.messages, [
    { role: 'system', content: 'Be brief.' },
    {
      role: 'user',
      content: [
        { type: 'image_url', image_url: { url: `data:image/png;base64,${png}` } },
        { type: 'text', text: 'here?' },
      ],
    },
    {
      role: 'assistant',
      content: 'I look.',
      tool_calls: [
        {
          id: 'c1',
          type: 'function',
          function: { name: 'get_weather', arguments: '{"city":"Rome"}' },
        },
      ],
    },
    { role: 'tool', tool_call_id: 'c1', content: 'Error: no such city' },
    { role: 'user', content: 'again' },
  ]);
  assert.deepEqual(body.tools[0].function.parameters, schema);
  assert.equal(body.tool_choice.function.name, 'get_weather');
  assert.equal(body.parallel_tool_calls, false);
  assert.deepEqual(body.response_format.json_schema.schema, schema);
  assert.deepEqual([body.stop, body.user, body.temperature], [['END'], 'u1', 0.5]);
});

test('tools that are found late, and what is said for a turn, as agents send it', async () => {
  const input = { query: 'select:Fetch' };
  const use = { type: 'tool_use', id: 'c1', name: 'ToolSearch', input };
  const found = [{ type: 'tool_reference', tool_name: 'Fetch' }];
  const effort = { output_config: { effort: 'medium' } };
  const reminder = { role: 'system', content: 'Hurry.', clear_at: 'next_user_message' };
  const sent = {
    tools: [...tools, { name: 'Fetch', input_schema: {}, defer_loading: true }],
    messages: [
      ...hi,
      { role: 'system', content: [{ type: 'text', text: 'Here.' }], ...effort },
      reminder,
      { role: 'assistant', content: [use] },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'c1', content: found }] },
      reminder,
      { role: 'system', content: [], ...effort },
    ],
  };
  const { status, text } = await ask('answer', sent);
  assert.equal(status, 200, text);
  const { body } = mock.log().requests[0];
  assert.deepEqual(body.tools.map((t) => t.function.name), ['get_weather', 'Fetch']);
  assert.deepEqual(
    body.messages.filter((m) => m.role !== 'assistant').map((m) => [m.role, m.content]),
    [['user', 'hi'], ['system', 'Here.'], ['tool', 'Found the tool Fetch.'], ['system', 'Hurry.']],
  );
  assert.equal(body.reasoning_effort, undefined);
  assert.equal((await ask('default', sent)).status, 200, 'the model in the box takes it too');
  const wrong = await ask('answer', { messages: [{ ...hi[0], ...effort }] });
  assert.equal(wrong.status, 400);
  assert.match(wrong.json.error.message, /^messages\[0\]\.output_config: only messages of system/);
});

test('arguments that are no JSON are told, not made up', async () => {
  const call = { name: 'get_weather', arguments: '{"city":Paris' };
  mock.control({ behaviour: 'tool-call', call });
  try {
    const { json } = await ask('answer', { tools });
    assert.deepEqual(json.content[0].input, { INVALID_JSON: call.arguments });
    const r = await ask('answer', { tools, stream: true });
    const parts = readSse(r.text).events.map((e) => e.json.delta?.partial_json ?? '');
    assert.equal(parts.join(''), call.arguments);
    assert.match(r.text, /message_stop/);
  } finally {
    mock.control();
  }
});

test('usage that nobody told is no obstacle to a client that wants numbers', async () => {
  const { json } = await ask('usage-absent');
  assert.deepEqual([json.usage.input_tokens, json.usage.output_tokens], [0, 0]);
  assert.equal(json.usage.cache_read_input_tokens, null);
});

test('the model in the box answers, calls tools and takes their results', async () => {
  const question = [{ role: 'user', content: 'What is the weather in Paris?' }];
  const { json } = await ask('default', { messages: question, tools, temperature: 0 });
  assert.equal(json.stop_reason, 'tool_use');
  const use = json.content.find((block) => block.type === 'tool_use');
  assert.deepEqual(use.input, { city: 'Paris' });
  const s = await stream('default', { messages: question, tools, temperature: 0 });
  assert.deepEqual(s.content.find((b) => b.type === 'tool_use').input, { city: 'Paris' });
  const result = { type: 'tool_result', tool_use_id: use.id, content: '{"temperature": 20}' };
  const messages = [
    ...question,
    { role: 'assistant', content: json.content },
    { role: 'user', content: [result] },
  ];
  const next = await ask('default', { messages, tools, temperature: 0 });
  assert.equal(next.status, 200, next.text);
  const plain = await stream('default', {
    messages: [{ role: 'user', content: 'What is the capital of France?' }],
    temperature: 0,
  });
  assert.equal(plain.content[0].text, 'Paris');
  assert.equal(plain.message.stop_reason, 'end_turn');
  const [start] = plain.events.filter((e) => e.event === 'message_start');
  assert.equal(start.json.message.usage.input_tokens, plain.message.usage.input_tokens);
  const stopped = await ask('default', {
    messages: [{ role: 'user', content: 'What is the capital of France?' }],
    stop_sequences: ['zz', 'ris'],
    temperature: 0,
  });
  assert.equal(stopped.json.content[0].text, 'Pa');
  assert.deepEqual(
    [stopped.json.stop_reason, stopped.json.stop_sequence],
    ['stop_sequence', 'ris'],
  );
  const cut = await ask('default', { max_tokens: 1 });
  assert.equal(cut.json.stop_reason, 'max_tokens');
});

test('what the local model cannot take is refused by the names of this dialect', async () => {
  const source = { type: 'url', url: 'https://example.org/a.png' };
  const image = [{ type: 'text', text: 'a' }, { type: 'image', source }];
  for (const [fields, says] of [
    [{ output_config: { format: { type: 'json_schema', schema } } }, /^output_config\.format: /],
    [{ tools, tool_choice: { type: 'any' } }, /^tool_choice: /],
    [
      { tools, tool_choice: { type: 'auto', disable_parallel_tool_use: true } },
      /^tool_choice\.disable_parallel_tool_use: /,
    ],
    [{ tools: [{ ...tools[0], strict: true }] }, /^tools\[0\]\.strict: /],
    [
      { system: 's', messages: [...hi, { role: 'user', content: image }] },
      /^messages\[1\]\.content\[1\]: .*images/,
    ],
    [
      { messages: [{ role: 'user', content: 'word '.repeat(60000) }] },
      /^prompt is too long: \d+ tokens > 2047 maximum/,
    ],
  ]) {
    const { status, json } = await ask('default', fields);
    assert.equal(status, 400, JSON.stringify(fields).slice(0, 200));
    assert.equal(json.error.type, 'invalid_request_error');
    assert.match(json.error.message, says);
  }
});

test('errors before the answer have their status and their type', async () => {
  const check = (r, status, type) => {
    const told = [r.status, r.json?.type, r.json?.error?.type];
    assert.deepEqual(told, [status, 'error', type], r.text);
    if (r.headers['request-id']) assert.equal(r.json.request_id, r.headers['request-id']);
  };
  check(await ask('default', { max_tokens: null }), 400, 'invalid_request_error');
  check(await ask('nobody'), 404, 'not_found_error');
  check(await send('{'), 400, 'invalid_request_error');
  const plain = { 'content-type': 'text/plain' };
  check(await send('{}', { headers: plain }), 415, 'invalid_request_error');
  // nobody but the provider may answer it
  const image = { type: 'image', source: { type: 'url', url: 'http://u' } };
  const messages = [{ role: 'user', content: [image] }];
  const failed = await ask('error:{"status":529}', { messages });
  check(failed, 529, 'overloaded_error');
  assert.match(failed.json.error.message, /answered 529/);
  check(await send({}, { headers: { origin: 'https://example.org' } }), 403, 'permission_error');
  check(await send({}, { to: '/v1/messages/batches' }), 404, 'not_found_error');
  check(await request(gw.port, { path: '/v1/messages' }), 405, 'invalid_request_error');
  check(await request(gw.port, { path: '/v1/nothing', headers: version }), 404, 'not_found_error');
  const big = await rawSocket(gw.port);
  const headers = { 'content-length': 2 << 20 };
  await big.send(rawRequest('', { target: '/v1/messages', headers }));
  await big.until('request_too_large');
  assert.match(big.text, /^HTTP\/1\.1 413 /);
  big.destroy();
  const openai = await request(gw.port, { path: '/v1/nothing' });
  assert.deepEqual([openai.json.type, openai.json.error.code], [undefined, 'not_found']);
});

test('behind the first delta a failure is an error event, and no clean end', async () => {
  const s = await stream('cut:{"after":2}');
  assert.equal(s.content[0].text, 'word0 word1 ');
  assert.equal(s.error.error.type, 'api_error');
  assert.equal(s.error.request_id, s.headers['request-id']);
  assert.equal(s.events.at(-1).event, 'error');
  assert.ok(!s.text.includes('message_stop') && !s.text.includes('message_delta'));
});

test('calls whose pieces come interleaved fail a stream, and no other answer', async () => {
  const piece = (index, text, name) => ({
    index,
    ...(name && { id: name, type: 'function' }),
    function: { ...(name && { name }), arguments: text },
  });
  const pieces = [piece(0, '{"a"', 'f'), piece(1, '{"b"', 'g'), piece(0, ':1}'), piece(1, ':2}')];
  const provider = http.createServer((req, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    const chunks = pieces.map((p) => ({ choices: [{ index: 0, delta: { tool_calls: [p] } }] }));
    for (const chunk of chunks) res.write(`data: ${JSON.stringify(chunk)}\n\n`);
    const end = { choices: [{ index: 0, delta: {}, finish_reason: 'tool_calls' }] };
    res.end(`data: ${JSON.stringify(end)}\n\ndata: [DONE]\n\n`);
  });
  provider.listen(0, '127.0.0.1');
  await once(provider, 'listening');
  const url = `http://127.0.0.1:${provider.address().port}`;
  const odd = await startGateway({ config: hybridConfig({ url }, { trigger: 'turns > 0' }) });
  const post = (fields) =>
    request(odd.port, {
      method: 'POST',
      path: '/v1/messages',
      body: { model: 'default', max_tokens: 9, messages: hi, tools, ...fields },
    });
  const whole = await post({});
  assert.deepEqual(whole.json.content.map((b) => b.input), [{ a: 1 }, { b: 2 }]);
  const { events } = readSse((await post({ stream: true })).text);
  assert.equal(events.at(-1).event, 'error');
  assert.match(events.at(-1).json.error.message, /interleaved/);
  await odd.stop();
  provider.close();
});

test('heartbeats are pings, before anything else', async () => {
  const s = await stream('answer:{"firstMs":400}');
  assert.ok(s.pings >= 2);
  assert.equal(s.events[0].event, 'ping');
  assert.equal(s.content[0].text, 'word0 word1 word2 word3 word4 ');
});

test('a client that goes ends the work', async () => {
  const raw = await rawSocket(gw.port);
  const body = { model: 'hang', max_tokens: 9, stream: true, messages: hi };
  await raw.send(rawRequest(body, { target: '/v1/messages' }));
  await raw.until('event: ping');
  await waitFor(() => mock.log().requests.length === 1);
  raw.destroy();
  await waitFor(() => mock.aborts().length === 1);
});

test('tokens are counted as the engine would, and no row is left', async () => {
  const count = (body) => send(body, { to: '/v1/messages/count_tokens' });
  const body = { model: 'default', system: 'Be brief.', messages: hi, tools };
  const answered = await ask('default', { ...body, max_tokens: 1 });
  const counted = await count(body);
  assert.deepEqual(counted.json, { input_tokens: answered.json.usage.input_tokens });
  assert.match(counted.headers['request-id'], /^req_[0-9a-f]{16}$/);
  const cache_control = { type: 'ephemeral', padding: 'x'.repeat(16384) }; // read on a worker
  const padded = [{ role: 'user', content: [{ type: 'text', text: 'hi', cache_control }] }];
  assert.deepEqual((await count({ ...body, messages: padded })).json, counted.json);
  const long = [{ role: 'user', content: 'word '.repeat(60000) }];
  const above = await count({ model: 'default', messages: long }); // than what can be answered
  assert.ok(above.json.input_tokens > 60000, JSON.stringify(above.json));
  const refused = await count({ model: 'default', max_tokens: 5, messages: hi });
  assert.equal(refused.json.error.message, 'max_tokens: unknown field');
  const image = { type: 'image', source: { type: 'url', url: 'http://u' } };
  const pictured = await count({ ...body, messages: [{ role: 'user', content: [image] }] });
  assert.match(pictured.json.error.message, /^messages\[0\]\.content\[0\]: /);
  assert.equal((await count({ model: 'nobody', messages: hi })).status, 404);
  await waitFor(async () => (await gw.rows('log.db', 'select * from request')).length > 0);
  const logged = await rows(gw.dataDir, 'log.db', 'select dialect from request');
  assert.ok(logged.every((row) => row.dialect === 'anthropic'));
});

test('models come in the shape of who asks, a page at a time', async () => {
  const get = (target, headers = version) => request(gw.port, { path: target, headers });
  const { json } = await get('/v1/models');
  const ids = json.data.map((m) => m.id);
  const remote = models.map((m) => `mock/${m}`);
  assert.deepEqual(ids, ['default', ...models.map(named), 'local', ...remote]);
  assert.deepEqual(Object.keys(json.data[0]), ['type', 'id', 'display_name', 'created_at']);
  assert.ok(Date.parse(json.data[0].created_at) > 0);
  assert.deepEqual([json.has_more, json.first_id, json.last_id], [false, ids[0], ids.at(-1)]);
  const page = async (query) => {
    const r = (await get(`/v1/models?${query}`)).json;
    return [r.data.map((m) => m.id), r.has_more];
  };
  assert.deepEqual(await page('limit=2'), [ids.slice(0, 2), true]);
  assert.deepEqual(await page(`limit=2&after_id=${ids[1]}`), [ids.slice(2, 4), true]);
  const escaped = encodeURIComponent(ids.at(-2)).replace('-', '%2D');
  assert.deepEqual(await page(`after_id=${escaped}`), [[ids.at(-1)], false]);
  assert.deepEqual(await page(`before_id=${ids[3]}&limit=2`), [ids.slice(1, 3), true]);
  assert.deepEqual(await page(`before_id=${ids[1]}`), [ids.slice(0, 1), false]);
  assert.equal((await get('/v1/models?limit=0')).status, 400);
  assert.equal((await get('/v1/models?after_id=nobody')).status, 400);
  assert.equal((await get('/v1/models/default')).json.display_name, 'default');
  assert.equal((await get('/v1/models/nobody')).json.error.type, 'not_found_error');
  assert.equal((await get('/v1/models/default', {})).json.object, 'model');
  assert.equal((await get('/v1/models/nobody', {})).json.error.code, 'model_not_found');
  assert.equal((await get('/v1/models', {})).json.data.length, ids.length);
  assert.equal((await send({}, { to: '/v1/models/default' })).status, 405);
});
