// The Ollama dialect end to end: a provider's answers and the local model's, streamed and not,
// errors before and after commit, heartbeats, a client that goes, and what clients ask of models.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { rawRequest, rawSocket, root, rows, startGateway, waitFor } from './lib.mjs';
import { startMock } from './mock_provider.mjs';
import { hybridConfig, logRow, png, post } from './support.mjs';

let mock, spark;
before(async () => {
  mock = await startMock();
  const folder = path.join(root, 'config');
  const config = JSON.parse(await readFile(path.join(folder, 'default.json'), 'utf8'));
  config.engine.model = path.resolve(folder, config.engine.model);
  config.listen = '127.0.0.1:0';
  spark = await startGateway({ config });
});
after(async () => {
  await mock.stop();
});

const words = 'word0 word1 word2 word3 word4 ';
const hello = { messages: [{ role: 'user', content: 'Hello' }] };

async function call(gw, target, fields, headers) {
  const body = JSON.stringify({ model: 'default', options: { temperature: 0 }, ...fields });
  const r = await post(gw, target, body, headers);
  const lines = r.text.split('\n').filter((line) => line);
  return { ...r, lines: lines.map((line) => JSON.parse(line)), last: JSON.parse(lines.at(-1)) };
}
const chat = (gw, fields, headers) => call(gw, '/api/chat', { ...hello, ...fields }, headers);
const generate = (gw, fields) => call(gw, '/api/generate', { prompt: 'Hello', ...fields });
const weather = { tools: [{ type: 'function', function: { name: 'get_weather' } }] };
const text = (r) => r.lines.map((l) => l.message?.content ?? l.response ?? '').join('');

// A gateway whose answers come from the mock.
async function withMock(model, body, top = {}) {
  mock.clear();
  const config = hybridConfig(mock, { models: [model], trigger: 'turns > 0', top });
  const gw = await startGateway({ config });
  try {
    await body(gw);
  } finally {
    await gw.stop();
  }
}

test('the local model: streamed by default, with its times and the note', async () => {
  const r = await chat(spark);
  assert.equal(r.status, 200);
  assert.equal(r.headers['content-type'], 'application/x-ndjson');
  assert.match(text(r), /^Hello! I am Spark/);
  assert.ok(r.lines.length > 3 && r.lines.every((l) => l.model === 'default'));
  assert.ok(r.lines.slice(0, -1).every((l) => l.done === false));
  assert.match(r.last.created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.ok(Math.abs(Date.parse(r.last.created_at) - Date.now()) < 60_000);
  assert.equal(r.last.done, true);
  assert.equal(r.last.done_reason, 'stop');
  assert.equal(r.last.tollgate.route, 'local');
  assert.ok(r.last.prompt_eval_count > 5 && r.last.eval_count > 5);
  const { total_duration: total, load_duration: load } = r.last;
  const parts = load + r.last.prompt_eval_duration + r.last.eval_duration;
  assert.ok(load > 0 && r.last.eval_duration > 0 && parts > total / 2 && parts <= total);
  const row = await logRow(spark, r.headers);
  assert.equal(row.dialect, 'ollama');
  assert.equal(row.stream, 1);
});

test('the local model: whole, and by generate', async () => {
  const r = await chat(spark, { stream: false, model: 'default:latest' });
  assert.equal(r.headers['content-type'], 'application/json');
  assert.equal(r.last.model, 'default:latest');
  assert.match(r.last.message.content, /^Hello! I am Spark/);
  assert.ok(r.last.done && r.last.eval_duration > 0 && !('tollgate' in r.last));
  const ask = { prompt: 'What is the capital of France?' };
  assert.equal(text(await generate(spark, ask)), 'Paris');
  const whole = await generate(spark, { ...ask, stream: false });
  assert.equal(whole.last.response, 'Paris');
  assert.equal((await logRow(spark, whole.headers)).dialect, 'ollama-generate');
});

test('num_predict ends an answer by length; without a limit the model ends it', async () => {
  const r = await chat(spark, { stream: false, options: { temperature: 0, num_predict: 2 } });
  assert.equal(r.last.done_reason, 'length');
  assert.equal(r.last.eval_count, 2);
  for (const num_predict of [-1, -2]) {
    const free = await chat(spark, { stream: false, options: { temperature: 0, num_predict } });
    assert.equal(free.last.done_reason, 'stop');
  }
});

const tools = [
  {
    type: 'function',
    function: {
      name: 'get_weather',
      description: 'Current weather of a city',
      parameters: {
        type: 'object',
        required: ['city'],
        properties: { city: { type: 'string' } },
      },
    },
  },
];

test('the local model: a tool call, and its result without ids', async () => {
  const question = { role: 'user', content: 'What is the weather in Paris?' };
  const r = await chat(spark, { messages: [question], tools });
  const message = r.lines.at(-2).message;
  assert.deepEqual(message.tool_calls[0].function, {
    index: 0,
    name: 'get_weather',
    arguments: { city: 'Paris' },
  });
  assert.equal(r.last.done_reason, 'stop');
  const { name, arguments: args } = message.tool_calls[0].function;
  const made = { function: { name, arguments: args } }; // without its id
  const said = { role: 'assistant', content: '', tool_calls: [made] };
  const result = { role: 'tool', tool_name: name, content: '{"temperature": 21}' };
  const next = await chat(spark, { messages: [question, said, result], tools, stream: false });
  assert.equal(next.status, 200, next.text);
  assert.equal(next.last.done, true);
});

test('load requests are answered without a run', async () => {
  const reasons = [];
  for (const r of [
    await generate(spark, { prompt: '', keep_alive: '10m' }),
    await call(spark, '/api/generate', {}),
    await chat(spark, { messages: [] }),
    await call(spark, '/api/chat', { keep_alive: 0 }),
    await call(spark, '/api/generate', { keep_alive: '0s', prompt: '' }),
  ]) {
    assert.equal(r.status, 200);
    assert.equal(r.headers['content-type'], 'application/json');
    reasons.push(r.last.done_reason);
    assert.ok(r.last.done && text(r) === '');
    assert.equal((await logRow(spark, r.headers)).status, 200);
  }
  assert.deepEqual(reasons, ['load', 'load', 'load', 'unload', 'unload']);
  assert.equal((await generate(spark, { prompt: '', model: 'nope' })).status, 404);
});

test('what cannot be honoured is refused by name', async () => {
  for (const [fields, says] of [
    [{ options: { num_ctx: 0 } }, /^options\.num_ctx: must be/],
    [{ ...weather, tool_choice: 'required' }, /^tool_choice: the local model/],
    [{ ...weather, tool_choice: 'any' }, /^tool_choice: must be one of/],
    [{ tool_choice: 'required' }, /^tool_choice: no tools are given/],
    [{ top_p: 2 }, /^top_p: must be/],
    [{ options: { repeat_penalty: 1.1 } }, /^options\.repeat_penalty is not supported/],
    [{ options: { presence_penalty: 1 } }, /^options\.presence_penalty: the local model/],
    [{ format: 'json' }, /^format: the local model/],
    [{ truncate: true }, /^truncate is not supported/],
    [{ colour: 1 }, /^colour: unknown field/],
    [{ messages: [{ role: 'user', content: 'x', images: [png] }] }, /^messages\[0\].*image/],
    [{ model: undefined }, /^model: is missing/],
  ]) {
    const r = await chat(spark, fields);
    assert.equal(r.status, 400, r.text);
    assert.deepEqual(Object.keys(r.last), ['error']);
    assert.match(r.last.error, says);
  }
  const unknown = await chat(spark, { model: 'nope' });
  assert.equal(unknown.status, 404);
  assert.match(unknown.last.error, /"nope".*\/api\/tags/);
});

test('num_ctx is a hint: what fits is answered here, what does not is told', async () => {
  for (const num_ctx of [5, 2048, 32768]) {
    const r = await chat(spark, { options: { temperature: 0, num_ctx } });
    assert.equal(r.status, 200, r.text);
    assert.match(text(r), /^Hello! I am Spark/);
    assert.equal(r.last.tollgate.route, 'local');
  }
  const messages = [{ role: 'user', content: 'a word '.repeat(1500) }];
  const long = await chat(spark, { messages, options: { num_ctx: 32768 } });
  assert.equal(long.status, 400);
  assert.match(long.last.error, /^prompt too long; exceeded max context length by \d+ tokens/);
});

test('paths, methods and content types', async () => {
  const body = JSON.stringify({ model: 'default', ...hello, stream: false });
  const types = {
    'text/plain': 200,
    'application/x-www-form-urlencoded': 200,
    'application/json; charset=utf-8': 200,
    'multipart/form-data': 415,
    'application/xml': 415,
  };
  for (const [type, status] of Object.entries(types))
    assert.equal((await post(spark, '/api/chat', body, { 'content-type': type })).status, status);
  const strange = { 'content-type': 'text/plain', 'sec-fetch-site': 'cross-site' };
  assert.equal((await post(spark, '/api/chat', body, strange)).status, 415);
  const mine = { 'content-type': 'text/plain', origin: 'http://localhost:3000' };
  assert.equal((await post(spark, '/api/chat', body, mine)).status, 415);
  const declared = { origin: 'http://localhost:3000' };
  assert.equal((await post(spark, '/api/chat', body, declared)).status, 200);
  for (const headers of [{}, { 'content-type': 'text/plain' }]) {
    const r = await post(spark, '/api/chat', body, { ...headers, origin: 'http://evil.example' });
    assert.equal(r.status, 403);
    assert.equal(typeof JSON.parse(r.text).error, 'string');
  }
  const plain = { 'content-type': 'text/plain' };
  assert.equal((await post(spark, '/v1/chat/completions', body, plain)).status, 415);
  const none = await rawSocket(spark.port);
  await none.send(
    `POST /api/chat HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
  await none.until('HTTP/1.1 200 OK');
  none.destroy();
  const missing = await fetch(`${spark.url}/api/nothing`);
  assert.equal(missing.status, 404);
  assert.match((await missing.json()).error, /nothing is served/);
  const wrong = await fetch(`${spark.url}/api/chat`);
  assert.equal(wrong.status, 405);
  assert.equal(wrong.headers.get('allow'), 'POST, OPTIONS');
  assert.equal(typeof (await wrong.json()).error, 'string');
});

test('what clients ask of models', async () => {
  const get = async (target) => (await fetch(spark.url + target)).json();
  const { models } = await get('/api/tags');
  assert.deepEqual(
    models.map((m) => m.name),
    ['default:latest', 'local:latest'],
  );
  const { details, size } = models[0];
  assert.equal(details.family, 'gemma4');
  assert.equal(details.quantization_level, 'Q8_0');
  assert.match(details.parameter_size, /^4\.\dM$/);
  assert.ok(size > 1e6 && Date.parse(models[0].modified_at) > 0);
  await waitFor(async () => /^[0-9a-f]{64}$/.test((await get('/api/tags')).models[0].digest));
  const [loaded] = (await get('/api/ps')).models;
  assert.equal(loaded.context_length, 2048);
  assert.ok(Date.parse(loaded.expires_at) > Date.now());
  assert.match((await get('/api/version')).version, /^0\.\d+\.\d+$/);
  for (const name of ['default', 'local:latest']) {
    const r = await post(spark, '/api/show', JSON.stringify({ model: name }));
    const shown = JSON.parse(r.text);
    assert.equal(shown.model_info['gemma4.context_length'], 2048);
    assert.ok(shown.capabilities.includes('tools'));
  }
  const unknown = await post(spark, '/api/show', '{"model":"nope"}');
  assert.equal(unknown.status, 404);
  assert.equal((await post(spark, '/api/show', '{')).status, 400);
  for (const method of ['GET', 'HEAD']) {
    const r = await fetch(spark.url, { method });
    assert.equal(r.status, 200);
    if (method === 'GET') assert.match(await r.text(), /Ollama is running/);
  }
});

test('what is not here says what to do instead', async () => {
  for (const [target, says] of [
    ['pull', /tollgate pull/],
    ['push', /publishes no/],
    ['create', /engine\.model/],
    ['copy', /route/],
  ]) {
    const r = await post(spark, `/api/${target}`, '{"model":"x"}');
    assert.equal(r.status, 501);
    assert.match(JSON.parse(r.text).error, says);
  }
  const gone = await fetch(`${spark.url}/api/delete`, { method: 'DELETE', body: '{"model":"x"}' });
  assert.equal(gone.status, 501);
});

test('a provider: text, streamed and whole', async () => {
  await withMock('answer', async (gw) => {
    const r = await chat(gw, { options: { num_ctx: 512, num_predict: 30, stop: ['zz'] } });
    assert.equal(text(r), words);
    assert.equal(r.last.tollgate.route, 'mock/answer');
    assert.equal(r.last.prompt_eval_count, 11);
    assert.equal(r.last.eval_count, 5);
    assert.ok(r.last.total_duration > 0 && r.last.eval_duration > 0);
    const { body } = mock.log().requests[0];
    assert.equal(body.max_tokens, 30);
    assert.deepEqual(body.stop, ['zz']);
    const whole = await chat(gw, { stream: false, format: { type: 'object' } });
    assert.equal(whole.last.message.content, words);
    assert.equal(whole.last.eval_duration, undefined, 'it came in one piece');
    assert.equal(mock.log().requests[1].body.response_format.type, 'json_schema');
  });
});

test('a provider: settings beside the options, and the choice among tools', async () => {
  await withMock('answer', async (gw) => {
    const sent = async (fields) => {
      const r = await call(gw, '/api/chat', { ...hello, options: undefined, ...fields });
      assert.equal(r.status, 200, r.text);
      return mock.log().requests.at(-1).body;
    };
    const limits = { max_output_tokens: 20, max_tokens: 30 };
    const plain = await sent({ temperature: 0.5, top_p: 0.25, ...limits });
    assert.deepEqual([plain.temperature, plain.top_p, plain.max_tokens], [0.5, 0.25, 20]);
    const options = { temperature: 1, num_predict: 9 };
    const both = await sent({ options, temperature: 0, ...limits });
    assert.deepEqual([both.temperature, both.max_tokens], [1, 9]);
    const function_ = { type: 'function', function: { name: 'get_weather' } };
    const flat = { type: 'function', name: 'get_weather' };
    for (const [choice, want] of [
      ['required', 'required'],
      [function_, function_],
      [flat, function_],
    ])
      assert.deepEqual((await sent({ ...weather, tool_choice: choice })).tool_choice, want);
    assert.equal((await sent({ ...weather, tool_choice: 'auto' })).tools.length, 1);
    assert.equal((await sent({ ...weather, tool_choice: 'none' })).tools, undefined);
    const asked = { prompt: 'Hello', max_tokens: 7, temperature: 0.5 };
    assert.equal((await call(gw, '/api/generate', { options: undefined, ...asked })).status, 200);
    assert.equal(mock.log().requests.at(-1).body.max_tokens, 7);
  });
});

test('a provider: images and tool results reach it', async () => {
  await withMock('answer', async (gw) => {
    const made = { function: { name: 'get_weather', arguments: { city: 'Rome' } } };
    const r = await chat(gw, {
      messages: [
        { role: 'user', content: 'see', images: [png] },
        { role: 'assistant', content: '', tool_calls: [made, made] },
        { role: 'tool', tool_name: 'get_weather', content: 'one' },
        { role: 'tool', tool_name: 'get_weather', content: 'two' },
      ],
      tools,
    });
    assert.equal(text(r), words);
    const { messages } = mock.log().requests[0].body;
    const image = messages[0].content.find((p) => p.type === 'image_url');
    assert.equal(image.image_url.url, `data:image/png;base64,${png}`);
    const ids = messages[1].tool_calls.map((c) => c.id);
    assert.equal(new Set(ids).size, 2);
    assert.deepEqual(
      messages.slice(2).map((m) => m.tool_call_id),
      ids,
    );
    assert.equal(messages[1].tool_calls[0].function.arguments, '{"city":"Rome"}');
  });
});

test('a provider: tool calls are whole objects, and thinking is apart', async () => {
  await withMock('tool-call', async (gw) => {
    for (const stream of [true, false]) {
      const r = await chat(gw, { tools, stream });
      const said = r.lines.filter((l) => l.message.tool_calls);
      assert.equal(said.length, 1);
      const [made] = said[0].message.tool_calls;
      assert.deepEqual(made.function.arguments, { city: 'Paris' });
      assert.equal(made.id, 'call_mock');
      assert.equal(r.last.done_reason, 'stop');
    }
  });
  await withMock('reasoning', async (gw) => {
    const r = await chat(gw, { think: true });
    assert.equal(r.lines.map((l) => l.message.thinking ?? '').join(''), 'Let me think.');
    assert.equal(text(r), words);
    const flat = await generate(gw, { stream: false });
    assert.equal(flat.last.thinking, 'Let me think.');
    assert.equal(flat.last.response, words);
    for (const stream of [true, false]) {
      const quiet = await chat(gw, { think: false, stream });
      assert.ok(quiet.lines.every((l) => !('thinking' in l.message)));
      assert.equal(text(quiet), words);
    }
  });
});

test('arguments that are no object are an error, not a call', async () => {
  await withMock('tool-call:{"call":{"name":"get_weather","arguments":"[1:"}}', async (gw) => {
    const whole = await chat(gw, { tools, stream: false });
    assert.equal(whole.status, 502);
    assert.match(whole.last.error, /arguments/);
    assert.equal((await logRow(gw, whole.headers)).error, 'malformed-answer');
    const r = await chat(gw, { tools });
    assert.match(r.last.error, /arguments/);
    assert.ok(r.lines.every((l) => !l.done && !l.message?.tool_calls));
    assert.equal((await logRow(gw, r.headers)).error, 'malformed-answer');
  });
});

test('usage that a provider leaves out is left out', async () => {
  await withMock('usage-absent', async (gw) => {
    for (const stream of [true, false]) {
      const r = await chat(gw, { stream });
      assert.ok(r.last.done && r.last.total_duration > 0);
      assert.ok(!('eval_count' in r.last) && !('prompt_eval_count' in r.last));
    }
  });
});

test('a failure behind the commit is a last line with an error, never done', async () => {
  for (const model of ['cut:{"after":2}', 'malformed', 'error-inside'])
    await withMock(model, async (gw) => {
      const r = await chat(gw);
      assert.equal(r.status, 200);
      assert.equal(text(r), 'word0 word1 ');
      assert.equal(typeof r.last.error, 'string');
      assert.ok(r.last.tollgate.request_id && r.lines.every((l) => l.done !== true));
    });
});

test('heartbeats are lines that say nothing, before and between', async () => {
  const top = { heartbeat: '100ms' };
  await withMock(
    'answer:{"firstMs":450,"delayMs":150}',
    async (gw) => {
      const r = await chat(gw);
      const first = r.lines.findIndex((l) => l.message.content);
      assert.ok(first >= 2, `${first} before the first text`);
      assert.ok(r.lines.slice(first, -1).some((l) => l.message.content === ''));
      assert.equal(text(r), words);
      assert.equal(r.last.tollgate.route, 'mock/answer:{"firstMs":450,"delayMs":150}');
      const flat = await generate(gw, {});
      assert.ok(flat.lines[0].response === '' && flat.lines[0].done === false);
      assert.equal(text(flat), words);
    },
    top,
  );
});

test('heartbeats do not commit: an error behind them is told as a line', async () => {
  mock.clear();
  const config = hybridConfig(mock, {
    models: ['hang'],
    trigger: 'turns > 0',
    top: { heartbeat: '50ms' },
    route: { timeout: '1s' },
  });
  const gw = await startGateway({ config });
  const r = await chat(gw);
  assert.equal(r.status, 200);
  assert.match(r.last.error, /no complete answer/);
  assert.ok(r.lines.length > 3 && r.lines.every((l) => !l.done));
  await gw.stop();
});

test('a client that goes ends the work', async () => {
  await withMock('hang-mid', async (gw) => {
    const socket = await rawSocket(gw.port);
    await socket.send(rawRequest({ model: 'default', ...hello }, { target: '/api/chat' }));
    await socket.until('word1');
    socket.destroy();
    await waitFor(() => mock.aborts()[0]);
    const sql = "select * from request where dialect = 'ollama'";
    const row = await waitFor(async () => (await rows(gw.dataDir, 'log.db', sql))[0]);
    assert.equal(row.status, 499);
  });
});
