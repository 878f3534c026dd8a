// The Responses API end to end: answers and streams of a provider and of the model in the box,
// conversations that go on, what is kept and for whom, errors before and after the first delta.
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { readSse, request, startGateway, waitFor } from './lib.mjs';
import { startMock } from './mock_provider.mjs';
import { boxConfig, named, png } from './support.mjs';

const parameters = { type: 'object', properties: { city: { type: 'string' } } };
const tools = [{ type: 'function', name: 'get_weather', parameters, strict: false }];

let mock;
let gw; // the model in the box, and routes to the mock by its models' names
const models = [
  'answer',
  'reasoning',
  'tool-call',
  'usage-absent',
  'error:{"status":500}',
  'cut:{"after":2}',
  'answer:{"firstMs":400}',
  'hang-mid',
];

before(async () => {
  mock = await startMock();
  const top = { heartbeat: '100ms', responses: { maxBytes: '64KiB', ttl: '1h' } };
  gw = await startGateway({ config: boxConfig(mock, models, top) });
});
after(() => mock.stop());
beforeEach(() => mock.clear());

const call = (method, target, body, headers) =>
  request(gw.port, { method, path: `/v1/responses${target}`, body, headers });
const ask = (model, fields = {}, headers = {}) =>
  call('POST', '', { model: named(model), input: 'hi', ...fields }, headers);

// A stream put together as clients do it, with its order checked.
async function stream(model, fields = {}) {
  const r = await ask(model, { stream: true, ...fields });
  assert.equal(r.status, 200, r.text);
  const out = { ...r, ...readSse(r.text), output: [], response: null, error: null };
  for (const [i, { event, json }] of out.events.entries()) {
    assert.equal(event, json.type);
    assert.equal(json.sequence_number, i);
    const item = out.output[json.output_index];
    if (json.item_id) assert.equal(json.item_id, item.id);
    const last = item?.content?.[json.content_index] ?? item?.summary?.[json.summary_index];
    if (json.response) out.response = json.response;
    if (event === 'error') out.error = json;
    else if (event === 'response.output_item.added') {
      assert.equal(json.output_index, out.output.length);
      out.output.push(json.item);
    } else if (event === 'response.output_item.done') {
      assert.deepEqual(json.item, { ...item, ...json.item, status: json.item.status });
      out.output[json.output_index] = json.item;
    } else if (event === 'response.content_part.added') (item.content ??= []).push(json.part);
    else if (event === 'response.reasoning_summary_part.added') item.summary.push(json.part);
    else if (/part\.done$/.test(event)) assert.deepEqual(json.part, last);
    else if (event === 'response.function_call_arguments.delta') item.arguments += json.delta;
    else if (event === 'response.custom_tool_call_input.delta') item.input += json.delta;
    else if (event === 'response.custom_tool_call_input.done')
      assert.equal(json.input, item.input);
    else if (event === 'response.function_call_arguments.done')
      assert.equal(json.arguments, item.arguments);
    else if (/text\.delta$/.test(event)) last.text += json.delta;
    else if (/text\.done$/.test(event)) assert.equal(json.text, last.text);
    else assert.ok(json.response, event);
  }
  return out;
}
// Without the number of the request.
const bare = (items) => JSON.parse(JSON.stringify(items).replace(/_[0-9a-f]{16}/g, '_N'));

const message = (id, text) => ({
  id,
  type: 'message',
  status: 'completed',
  role: 'assistant',
  content: [{ type: 'output_text', annotations: [], logprobs: [], text }],
});
const words = 'word0 word1 word2 word3 word4 ';

test('a provider answers, whole and streamed alike', async () => {
  const thought = { id: 'rs_N0000', type: 'reasoning', status: 'completed', summary: [] };
  const text = 'Let me think.';
  for (const [model, output, more] of [
    ['answer', [message('msg_N0000', words)]],
    [
      'reasoning',
      [
        { ...thought, content: [{ type: 'reasoning_text', text }] },
        message('msg_N0001', words),
      ],
    ],
    [
      'reasoning',
      [{ ...thought, summary: [{ type: 'summary_text', text }] }, message('msg_N0001', words)],
      { reasoning: { effort: 'low', summary: 'auto' } },
    ],
    [
      'tool-call',
      [
        {
          id: 'fc_N0000',
          type: 'function_call',
          status: 'completed',
          arguments: '{"city":"Paris"}',
          call_id: 'call_mock',
          name: 'get_weather',
        },
      ],
      { tools },
    ],
  ]) {
    const { json, headers } = await ask(model, more);
    assert.match(json.id, /^resp_[0-9a-f]{16}$/);
    assert.deepEqual([json.object, json.status, json.model], ['response', 'completed', model]);
    assert.deepEqual(bare(json.output), output);
    assert.deepEqual([json.usage.input_tokens, json.usage.output_tokens], [11, 5]);
    assert.equal(json.usage.total_tokens, 16);
    assert.equal(headers['x-tollgate-route'], `mock/${model}`);
    const s = await stream(model, more);
    assert.deepEqual(bare(s.output), output);
    assert.deepEqual(s.response.output, s.output);
    assert.deepEqual(s.response.usage, json.usage);
    assert.equal(s.events.at(-1).event, 'response.completed');
    const note = JSON.parse(s.comments.at(-1).replace(/^:? *tollgate /, ''));
    assert.equal(note.route, `mock/${model}`);
  }
});

test('items and settings reach the provider in its own form', async () => {
  const { status, text } = await ask('answer', {
    instructions: 'Be brief.',
    input: [
      {
        role: 'user',
        content: [
          { type: 'input_image', image_url: `data:image/png;base64,${png}`, detail: 'auto' },
          { type: 'input_text', text: 'here?' },
        ],
      },
      { type: 'reasoning', id: 'rs_1', summary: [{ type: 'summary_text', text: 'hm' }] },
      { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'I look.' }] },
      { type: 'function_call', call_id: 'c1', name: 'get_weather', arguments: '{"city":"Rome"}' },
      { type: 'function_call_output', call_id: 'c1', output: 'rain' },
    ],
    tools,
    tool_choice: { type: 'function', name: 'get_weather' },
    parallel_tool_calls: false,
    text: { format: { type: 'json_schema', name: 'n', schema: parameters, strict: true } },
    max_output_tokens: 32,
    temperature: 0.5,
  });
  assert.equal(status, 200, text);
  const { body } = mock.log().requests[0];
  const [system, user, assistant, result, ...rest] = body.messages;
  assert.deepEqual(system, { role: 'system', content: 'Be brief.' });
  const kinds = user.content.map((part) => part.image_url?.url ?? part.text);
  assert.deepEqual(kinds, [`data:image/png;base64,${png}`, 'here?']);
  const [{ function: asked, id }, ...others] = assistant.tool_calls;
  assert.deepEqual(asked, { name: 'get_weather', arguments: '{"city":"Rome"}' });
  assert.deepEqual([assistant.content, id, others], ['I look.', 'c1', []]);
  assert.deepEqual(result, { role: 'tool', tool_call_id: 'c1', content: 'rain' });
  assert.deepEqual(rest, []);
  assert.deepEqual(body.tools[0].function.parameters, parameters);
  assert.equal(body.tool_choice.function.name, 'get_weather');
  assert.equal(body.parallel_tool_calls, false);
  assert.deepEqual(body.response_format.json_schema.schema, parameters);
  assert.equal(body.temperature, 0.5);
  assert.equal(body.max_tokens ?? body.max_completion_tokens, 32);
});

test('a conversation goes on from its last response', async () => {
  const first = await ask('tool-call', { tools, instructions: 'old', input: 'weather?' });
  const { call_id } = first.json.output[0];
  const more = { previous_response_id: first.json.id, instructions: 'new' };
  const result = { type: 'function_call_output', call_id, output: 'sunny' };
  const silent = await ask('answer', { ...more, input: 'so?' });
  assert.equal(silent.status, 400);
  assert.match(silent.json.error.message, /No tool output found for function call call_mock/);
  const second = await ask('answer', { ...more, input: [result] });
  assert.equal(second.json.previous_response_id, first.json.id);
  await stream('answer', { previous_response_id: second.json.id, input: 'and?' });
  const roles = mock.log().requests.at(-1).body.messages.map((m) => [m.role, m.content]);
  assert.deepEqual(roles, [
    ['user', 'weather?'],
    ['assistant', null],
    ['tool', 'sunny'],
    ['assistant', words],
    ['user', 'and?'],
  ]);
  const references = [...first.json.output, ...second.json.output].map(({ id }) => ({
    type: 'item_reference',
    id,
  }));
  references.splice(1, 0, result);
  references.push({ role: 'user', content: 'ok?' });
  const referred = await ask('answer', { input: references, store: false });
  assert.equal(referred.status, 200, referred.text);
  assert.equal(mock.log().requests.at(-1).body.messages.length, 4);
});

test('what is kept can be read and deleted', async () => {
  const input = ['a', 'b', 'c'].map((content) => ({ role: 'user', content }));
  const { json } = await ask('answer', { input, metadata: { k: 'v' } });
  const got = await call('GET', `/${json.id}`);
  assert.deepEqual([got.status, got.json], [200, json]);
  const page = async (query) => (await call('GET', `/${json.id}/input_items${query}`)).json;
  const texts = (list) => list.data.map((i) => i.content[0].text).join('');
  const all = await page('');
  assert.equal(texts(all), 'cba');
  assert.deepEqual([all.object, all.has_more, all.first_id], ['list', false, all.data[0].id]);
  assert.match(all.last_id, /^msg_[0-9a-f]{16}8000$/);
  assert.deepEqual(all.data[0].content, [{ type: 'input_text', text: 'c' }]);
  const two = await page('?order=asc&limit=2');
  assert.deepEqual([texts(two), two.has_more], ['ab', true]);
  assert.equal(texts(await page(`?order=asc&after=${two.last_id}`)), 'c');
  for (const query of ['limit=0', 'limit=101', 'order=up', 'after=msg_x', 'include=x'])
    assert.equal((await call('GET', `/${json.id}/input_items?${query}`)).status, 400, query);
  for (const query of ['stream=true', 'starting_after=1', 'include[]=file_search_call.results'])
    assert.equal((await call('GET', `/${json.id}?${query}`)).status, 400, query);
  const cancel = await call('POST', `/${json.id}/cancel`);
  assert.equal(cancel.status, 400);
  assert.match(cancel.json.error.message, /background is not supported/);
  const gone = await call('DELETE', `/${json.id}`);
  assert.deepEqual(gone.json, { id: json.id, object: 'response', deleted: true });
  for (const [method, tail] of [
    ['GET', ''],
    ['GET', '/input_items'],
    ['DELETE', ''],
    ['POST', '/cancel'],
  ])
    assert.equal((await call(method, `/${json.id}${tail}`)).status, 404, method + tail);
  const later = await ask('answer', { previous_response_id: json.id });
  assert.deepEqual(
    [later.status, later.json.error.code, later.json.error.param],
    [400, 'previous_response_not_found', 'previous_response_id'],
  );
});

test('store: false keeps nothing, and the rest makes room', async () => {
  const { json } = await ask('answer', { store: false });
  assert.equal(json.store, false);
  assert.equal((await call('GET', `/${json.id}`)).status, 404);
  const old = await ask('answer');
  assert.equal((await call('GET', `/${old.json.id}`)).status, 200);
  const instructions = 'x'.repeat(15000); // 64 KiB hold four of those
  for (let i = 0; i < 5; i++) await ask('answer', { instructions });
  assert.equal((await call('GET', `/${old.json.id}`)).status, 404);
});

test('what was local-only stays so when it is gone on from', async () => {
  const mark = { 'x-tollgate-local-only': 'true' };
  const first = await ask('answer', { input: 'a secret', max_output_tokens: 4 }, mark);
  assert.equal(first.headers['x-tollgate-route'], 'local');
  const { id, output } = first.json;
  for (const fields of [
    { previous_response_id: id },
    { input: [{ id: output[0].id }, { role: 'user', content: 'hi' }] },
  ]) {
    const r = await ask('answer', { ...fields, max_output_tokens: 4 });
    assert.deepEqual([r.status, r.headers['x-tollgate-route']], [200, 'local'], r.text);
  }
  const model = 'mock/answer'; // nobody else may answer that
  const named = await call('POST', '', { model, previous_response_id: id, input: 'hi' });
  assert.deepEqual([named.status, named.json.error.code], [403, 'local_only'], named.text);
  assert.match(named.json.error.message, /it goes on from a response that was local-only/);
  assert.equal(mock.log().requests.length, 0);
});

test('sealed thoughts come back, damaged ones do not', async () => {
  const include = ['reasoning.encrypted_content'];
  const { json } = await ask('reasoning', { store: false, include });
  const [thought] = json.output;
  const { id, type, summary, encrypted_content } = thought;
  const item = { id, type, summary, encrypted_content };
  const user = { role: 'user', content: 'hi' };
  assert.equal((await ask('answer', { input: [item, user] })).status, 200);
  item.encrypted_content = encrypted_content.replace(/.$/, '!');
  const bad = await ask('answer', { input: [item, user] });
  assert.equal(bad.json.error.code, 'invalid_encrypted_content');
  assert.equal(bad.json.error.param, 'input[0].encrypted_content');
});

test('the model in the box answers, calls tools and takes their results', async () => {
  const input = 'What is the weather in Paris?';
  const { json } = await ask('default', { input, tools, temperature: 0 });
  const made = json.output.find((i) => i.type === 'function_call');
  assert.deepEqual(JSON.parse(made.arguments), { city: 'Paris' });
  const s = await stream('default', { input, tools, temperature: 0 });
  assert.deepEqual(bare(s.output), bare(json.output));
  const output = '{"temperature": 20}';
  const next = await ask('default', {
    previous_response_id: json.id,
    input: [{ type: 'function_call_output', call_id: made.call_id, output }],
    tools,
    temperature: 0,
  });
  assert.equal(next.status, 200, next.text);
  const cut = await stream('default', { input: 'Hello', max_output_tokens: 1 });
  assert.equal(cut.response.status, 'incomplete');
  assert.deepEqual(cut.response.incomplete_details, { reason: 'max_output_tokens' });
  assert.equal(cut.output[0].status, 'incomplete');
  assert.equal(cut.events.at(-1).event, 'response.incomplete');
});

test('tokens of a prompt are counted, with what it goes on from', async () => {
  const count = (fields) => call('POST', '/input_tokens', { model: 'default', ...fields });
  const first = await ask('default', { input: 'Hello', temperature: 0 });
  const same = await count({ input: 'Hello' });
  assert.match(same.headers['x-request-id'], /^req_[0-9a-f]{16}$/);
  assert.deepEqual(same.json, {
    object: 'response.input_tokens',
    input_tokens: first.json.usage.input_tokens,
  });
  const more = await count({ previous_response_id: first.json.id, input: 'Thanks' });
  assert.ok(more.json.input_tokens > same.json.input_tokens + first.json.usage.output_tokens);
  assert.equal((await count({ input: 'Hello', stream: true })).json.error.param, 'stream');
});

test('what cannot be done is refused by name', async () => {
  const image = { type: 'input_image', image_url: 'https://example.org/a.png' };
  for (const [fields, param, says] of [
    [{ tools: [{ type: 'other' }] }, 'tools[0].type', /other is not supported/],
    [{ background: true }, 'background', /not supported/],
    [{ conversation: 'conv_1' }, 'conversation', /not supported/],
    [{ input: undefined }, 'input', /expected/],
    [{ text: { format: { type: 'json_object' } } }, 'text.format', /^text\.format: /],
    [{ tools, tool_choice: 'required' }, 'tool_choice', /^tool_choice: /],
    [{ tools: [{ ...tools[0], strict: true }] }, 'tools[0].strict', /^tools\[0\]\.strict: /],
    [{ input: [{ role: 'user', content: [image] }] }, 'input[0].content[0]', /images/],
  ]) {
    const { status, json } = await ask('default', fields);
    assert.deepEqual([status, json.error.param], [400, param], JSON.stringify(json));
    assert.match(json.error.message, says);
  }
  const path = '/v1/responses';
  for (const [method, target, status, allow] of [
    ['GET', path, 405, 'POST, OPTIONS'],
    ['PUT', `${path}/resp_1`, 405, 'GET, HEAD, POST, DELETE, OPTIONS'],
    ['GET', `${path}/resp_1/other`, 404, undefined],
    ['POST', `${path}/compact`, 404, undefined],
  ]) {
    const r = await request(gw.port, { method, path: target, headers: {} });
    assert.deepEqual([r.status, r.headers.allow], [status, allow], `${method} ${target}`);
    assert.equal(r.json.error.type, 'invalid_request_error');
  }
});

// As Codex asks: text in, groups of tools, tools among the items, some that nobody here can run.
test('custom tools and namespaces are called as they were given', async () => {
  const patch = '*** Begin Patch\n+"hi"\n*** End Patch';
  const grammar = { type: 'grammar', syntax: 'lark', definition: 'start: /x/' };
  const custom = { type: 'custom', name: 'apply_patch', description: 'Edits.', format: grammar };
  const group = { type: 'namespace', name: 'crm', description: 'Customers.', tools };
  const list = [...tools, { type: 'web_search' }, custom, group];
  const groups = [{ ...group, name: 'c2' }];
  const more = { type: 'additional_tools', role: 'developer', tools: groups };
  const calls = [
    { name: 'apply_patch', arguments: JSON.stringify({ input: patch }) },
    { name: 'c2__get_weather', arguments: '{"city":"Rome"}' },
  ];
  const input = [more, { role: 'user', content: 'hi' }];
  const asks = { tools: list, input, client_metadata: { a: 'b' }, truncation: 'auto' };
  for (const [i, how] of [ask, stream].entries()) {
    mock.control({ behaviour: 'tool-call', calls, times: 1 });
    const got = await how('answer', asks);
    assert.equal(got.status, 200, got.text);
    assert.equal(got.headers['x-tollgate-ignored'], 'tools[1]');
    const { id, output, tools: told } = got.response ?? got.json;
    assert.deepEqual(bare(output), [
      {
        id: 'ctc_N0000',
        type: 'custom_tool_call',
        status: 'completed',
        input: patch,
        call_id: 'call_mock',
        name: 'apply_patch',
      },
      {
        id: 'fc_N0001',
        type: 'function_call',
        status: 'completed',
        arguments: '{"city":"Rome"}',
        call_id: 'call_mock_1',
        name: 'get_weather',
        namespace: 'c2',
      },
    ]);
    assert.deepEqual(told[2], custom);
    const sent = mock.log().requests.at(-1).body.tools.map((t) => t.function);
    assert.deepEqual(
      sent.map((f) => f.name),
      ['get_weather', 'apply_patch', 'crm__get_weather', 'c2__get_weather'],
    );
    assert.match(sent[1].description, /^Edits\.[^]*\(lark\):\nstart: \/x\/$/);
    assert.equal(sent[2].description, 'Of all tools of crm: Customers.\n\n');
    // On from what is kept, and from the items that the client has kept itself.
    const results = [
      { type: 'custom_tool_call_output', call_id: 'call_mock', output: 'done' },
      { type: 'function_call_output', call_id: 'call_mock_1', output: 'rain' },
    ];
    for (const next of [
      { previous_response_id: id, input: results },
      { input: [...input, ...output, ...results], store: i === 0 },
    ]) {
      const end = await ask('answer', { tools: list, ...next });
      assert.equal(end.status, 200, end.text);
      const { messages } = mock.log().requests.at(-1).body;
      const said = messages.map((m) => m.tool_calls?.map((c) => c.function) ?? m.content);
      assert.deepEqual(said, ['hi', calls, 'done', 'rain']);
    }
  }
  for (const [choice, says] of [
    [{ type: 'web_search' }, /web_search is not supported/],
    [{ type: 'custom', name: 'get_weather' }, /no custom tool is named/],
  ]) {
    const { status, json } = await ask('answer', { tools: list, tool_choice: choice });
    assert.equal(status, 400);
    assert.match(json.error.message, says);
  }
  const strict = { ...group, tools: [{ ...tools[0], strict: true }] };
  const { json } = await ask('default', { tools: [{ type: 'mcp' }, strict] });
  assert.equal(json.error.param, 'tools[1].tools[0].strict', json.error.message);
  const count = await call('POST', '/input_tokens', { input: 'hi', tools: [{ type: 'mcp' }] });
  assert.equal(count.headers['x-tollgate-ignored'], 'tools[0]');
});

test('a long text with a call behind it is told, and told again at its end', async () => {
  const text = 'abcdefgh'.repeat(400 << 10);
  mock.control({ behaviour: 'tool-call', text, chunks: 100, times: 1 });
  const s = await stream('answer', { store: false, tools });
  assert.equal(s.response.status, 'completed');
  assert.deepEqual(
    s.output.map((item) => item.type),
    ['message', 'function_call'],
  );
  assert.equal(s.output[0].content[0].text, text);
});

test('failures behind the first delta are events, and no clean end', async () => {
  const s = await stream('cut:{"after":2}');
  assert.equal(s.response.status, 'failed');
  assert.equal(s.response.error.code, 'server_error');
  assert.equal(s.events.at(-1).event, 'response.failed');
  assert.ok(!s.text.includes('response.completed') && !s.text.includes('[DONE]'));
  assert.equal((await call('GET', `/${s.response.id}`)).status, 404);
  const slow = await stream('answer:{"firstMs":400}');
  assert.ok(slow.comments.some((c) => c.includes('heartbeat')));
  assert.equal(slow.response.status, 'completed');
  assert.equal((await ask('usage-absent')).json.usage, null);
});

test('a client that goes ends the provider’s work', async () => {
  const ac = new AbortController();
  const body = { model: 'hang-mid', input: 'hi', stream: true };
  const gone = request(gw.port, { method: 'POST', path: '/v1/responses', body, signal: ac.signal });
  await waitFor(() => mock.log().requests.length === 1);
  ac.abort();
  await assert.rejects(gone);
  await waitFor(() => mock.log().requests[0].aborted);
});
