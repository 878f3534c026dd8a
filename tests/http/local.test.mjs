// A request answered by the local engine: whole and streamed, its headers, rows and errors.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { before, test } from 'node:test';
import { rawSocket, request, slow, startGateway, waitFor } from './lib.mjs';
import { chat, localConfig, logRow, model, png, post, sse } from './support.mjs';

let gw;
before(async () => {
  gw = await startGateway({ config: localConfig() });
});

test('a whole answer says where it came from and what it cost', async () => {
  const { status, headers, json } = await chat(gw, { max_tokens: 8 });
  assert.equal(status, 200);
  assert.equal(headers['x-tollgate-route'], 'local');
  assert.equal(headers['x-tollgate-reason'], 'primary');
  assert.equal(headers['x-tollgate-cost-usd'], '0.000000000');
  assert.match(headers['x-tollgate-request-id'], /^[0-9a-f]{16}$/);
  assert.equal(headers['x-request-id'], `req_${headers['x-tollgate-request-id']}`);
  assert.ok(
    Number(headers['x-tollgate-confidence']) >= 0 && Number(headers['x-tollgate-confidence']) <= 1,
  );
  assert.equal(json.object, 'chat.completion');
  assert.equal(json.choices[0].finish_reason, 'length');
  assert.ok(json.choices[0].message.content.length > 0);
  assert.equal(json.usage.completion_tokens, 8);
});

test('a stream says the same words, and tells the rest in its last comment', async () => {
  const body = { max_tokens: 12, temperature: 0, seed: 7 };
  const whole = await chat(gw, body);
  const stream = await sse(gw, { ...body, stream_options: { include_usage: true } });
  assert.equal(stream.status, 200);
  assert.equal(stream.text, whole.json.choices[0].message.content);
  assert.equal(stream.headers['x-tollgate-route'], 'local');
  assert.equal(stream.done, true);
  assert.equal(stream.comment.route, 'local');
  assert.equal(stream.comment.request_id, stream.headers['x-tollgate-request-id']);
  assert.equal(stream.usage.completion_tokens, 12);
});

test('the same seed gives the same answer, another one another', async () => {
  const ask = async (seed) =>
    (await chat(gw, { max_tokens: 12, temperature: 1, seed })).json.choices[0].message.content;
  assert.equal(await ask(1), await ask(1));
  assert.notEqual(await ask(1), await ask(2));
});

test('each request leaves its row', async () => {
  const { headers } = await chat(gw, { max_tokens: 3 });
  const row = await logRow(gw, headers);
  assert.equal(row.backend, 'local');
  assert.equal(row.status, 200);
  assert.equal(row.output_tokens, 3);
});

test('tools, calls and results are part of the local prompt, as render has it', async () => {
  const call = { id: 'c1', type: 'function', function: { name: 'f', arguments: '{"x":[1,null]}' } };
  const parameters = { type: 'object', properties: { x: { type: 'array' } } };
  const tools = [{ type: 'function', function: { name: 'f', description: 'does', parameters } }];
  const messages = [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: 'go' },
    { role: 'assistant', content: null, reasoning_content: 'hm', tool_calls: [call] },
    { role: 'tool', tool_call_id: 'c1', content: 'done' },
  ];
  const { status, headers, json } = await chat(gw, { messages, tools, max_tokens: 4 });
  assert.equal(status, 200);
  assert.equal(headers['x-tollgate-route'], 'local');
  const input = JSON.stringify({ messages, tools });
  const out = execFileSync(process.env.TOLLGATE_BIN, ['render', '-m', model], { input });
  assert.equal(json.usage.prompt_tokens, JSON.parse(out).ids.length);
  const apart = [...messages, { role: 'user', content: 'v' }, messages[3]];
  const refused = await chat(gw, { messages: apart, tools, max_tokens: 4 });
  assert.ok(refused.status >= 400 && refused.status < 500);
  assert.match(refused.json.error.message, /messages\[5\]\.role: .*directly behind/);
});

test('malformed requests get a 4xx that names the field, and the server goes on', async () => {
  const messages = [{ role: 'user', content: 'x' }];
  const deep = '['.repeat(100) + ']'.repeat(100);
  const cases = [
    ['{"model":', 400, ''],
    ['[]', 400, ''],
    ['{"messages":"x"}', 400, 'messages'],
    ['{"messages":[]}', 400, 'messages'],
    [`{"messages":${deep}}`, 400, ''],
    ['{"messages":[{"role":"user","content":"\xff"}]}', 400, '', 'latin1'],
    [JSON.stringify({ messages: [{ role: 'king', content: 'x' }] }), 400, 'messages[0].role'],
    [JSON.stringify({ messages: [{ role: 'user', content: 5 }] }), 400, 'messages[0].content'],
    [JSON.stringify({ messages, max_tokens: -1 }), 400, 'max_tokens'],
    [JSON.stringify({ messages, max_tokens: 1e12 }), 400, 'max_tokens'],
    [JSON.stringify({ messages, temperature: 'hot' }), 400, 'temperature'],
    [JSON.stringify({ messages, temperature: 3 }), 400, 'temperature'],
    [JSON.stringify({ messages, top_p: 0 }), 400, 'top_p'],
    [JSON.stringify({ messages, stop: ['a', 'b', 'c', 'd', 'e'] }), 400, 'stop'],
    [JSON.stringify({ messages, n: 2 }), 400, 'n'],
    [JSON.stringify({ messages, frobnicate: true }), 400, 'frobnicate'],
    [JSON.stringify({ model: 'no-such', messages }), 404, 'model'],
    [
      JSON.stringify({ messages: [{ role: 'user', content: 'word '.repeat(20000) }] }),
      400,
      'messages',
    ],
    [
      JSON.stringify({
        messages: [
          {
            role: 'user',
            content: [{ type: 'image_url', image_url: { url: `data:image/png;base64,${png}` } }],
          },
        ],
      }),
      400,
      'messages',
    ],
  ];
  for (const [body, status, param, encoding] of cases) {
    const r = await post(gw, '/v1/chat/completions', Buffer.from(body, encoding ?? 'utf8'));
    assert.equal(r.status, status, `${body.slice(0, 80)}: ${r.text}`);
    const { error } = JSON.parse(r.text);
    assert.equal(typeof error.message, 'string');
    if (param) assert.ok(String(error.param).startsWith(param), `${body.slice(0, 80)}: ${r.text}`);
  }
  assert.equal((await chat(gw, { max_tokens: 1 })).status, 200);
  assert.equal((await chat(gw, { max_tokens: 1, top_p: 1e-46 })).status, 200);
});

test('paths, methods and types', async () => {
  assert.equal((await post(gw, '/nowhere', '{}')).status, 404);
  const wrong = await fetch(`${gw.url}/v1/chat/completions`);
  assert.equal(wrong.status, 405);
  assert.equal(wrong.headers.get('allow'), 'POST, OPTIONS');
  const typed = await fetch(`${gw.url}/v1/chat/completions`, {
    method: 'POST',
    body: 'x',
    headers: { 'content-type': 'text/plain' },
  });
  assert.equal(typed.status, 415);
  const raw = (headers) =>
    request(gw.port, { method: 'POST', path: '/v1/chat/completions', body: '{}', headers });
  const json = { 'content-type': 'application/json' };
  assert.equal((await raw({ ...json, origin: 'http://evil.example.com' })).status, 403);
  assert.equal((await raw({ ...json, origin: 'http://localhost.evil.example' })).status, 403);
  assert.equal((await raw({ ...json, origin: 'http://localhost:3000' })).status, 400);
  assert.equal((await raw({ ...json, 'content-encoding': 'gzip' })).status, 415);
  const untyped = await rawSocket(gw.port);
  await untyped.send(
    'POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}',
  );
  await untyped.until('HTTP/1.1 415');
  untyped.destroy();
  const models = await (await fetch(`${gw.url}/v1/models`)).json();
  assert.deepEqual(
    models.data.map((m) => m.id),
    ['default', 'local'],
  );
  const health = await (await fetch(`${gw.url}/healthz`)).json();
  assert.equal(health.status, 'ok');
});

test('a body above the limit is refused before it is read', async () => {
  const r = await post(gw, '/v1/chat/completions', Buffer.alloc(40 << 20, 0x20));
  assert.equal(r.status, 413);
});

test('a body of megabytes is read off the loop, others are answered meanwhile', async () => {
  const messages = Array.from({ length: 200 }, (_, i) => ({
    role: 'user',
    content: `line ${i} `.repeat(2000),
  }));
  const big = post(gw, '/v1/chat/completions', JSON.stringify({ messages }));
  const health = await fetch(`${gw.url}/healthz`);
  assert.equal(health.status, 200);
  const r = await big;
  assert.equal(r.status, 400);
  assert.equal(JSON.parse(r.text).error.code, 'context_length_exceeded');
});

test('a stop string ends the answer before it', async () => {
  const free = (await chat(gw, { max_tokens: 24, temperature: 0 })).json.choices[0].message.content;
  const stop = [...free].slice(4, 7).join('');
  const cut = (await chat(gw, { max_tokens: 24, temperature: 0, stop: [stop] })).json.choices[0];
  assert.equal(cut.finish_reason, 'stop');
  assert.equal(cut.message.content, free.slice(0, free.indexOf(stop)));
});

test('requests that wait get heartbeats and are answered in order', async () => {
  const busy = await startGateway({ config: localConfig({ top: { heartbeat: '50ms' } }) });
  const order = [];
  const ask = async (name, max_tokens) => {
    const r = await sse(busy, { max_tokens });
    order.push(name);
    return r;
  };
  const long = slow > 1 ? 150 : 1200;
  const asked = [];
  for (const [name, n] of [['first', long], ['second', 2], ['third', 2]]) {
    asked.push(ask(name, n)); // connections of one moment arrive in any order
    await waitFor(async () => {
      const { requests } = await (await fetch(`${busy.url}/healthz`)).json();
      return requests - 1 >= asked.length || order.length > 0;
    });
  }
  const answers = await Promise.all(asked);
  assert.deepEqual(order, ['first', 'second', 'third']);
  assert.ok(answers.every((r) => r.done && r.text.length > 0));
  assert.ok(answers[1].heartbeats > 0 && answers[2].heartbeats > 0);
  await busy.stop();
});

test('each dialect switches thinking on, which is off otherwise', async () => {
  const q = 'What is 12 plus 5?';
  const messages = [{ role: 'user', content: q }];
  const short = { messages, max_tokens: 1 };
  const ollama = { model: 'local', stream: false, options: { num_predict: 1 } };
  const budget = { type: 'enabled', budget_tokens: 1024 };
  const named = { ...short, model: 'local' };
  const tokens = async (path, body) => {
    const { json } = await request(gw.port, { method: 'POST', path, body });
    const { prompt_tokens: chat, input_tokens: other } = json.usage ?? {};
    return chat ?? other ?? json.input_tokens ?? json.prompt_eval_count;
  };
  for (const [path, plain, off, on] of [
    ['/v1/chat/completions', short, [{ reasoning_effort: 'none' }, { reasoning_effort: 'minimal' }],
      [{ reasoning_effort: 'low' }, { reasoning_effort: 'high' }]],
    ['/v1/responses', { input: q, max_output_tokens: 1 }, [{ reasoning: { effort: 'none' } }],
      [{ reasoning: { effort: 'medium' } }]],
    ['/v1/messages', named, [{ thinking: { type: 'disabled' } }],
      [{ thinking: budget }, { thinking: { type: 'adaptive' } }]],
    ['/v1/messages/count_tokens', { model: 'local', messages }, [], [{ thinking: budget }]],
    ['/api/chat', { ...ollama, messages }, [{ think: false }], [{ think: true }, { think: 'low' }]],
    ['/api/generate', { ...ollama, prompt: q }, [{ think: false }], [{ think: true }]],
  ]) {
    const least = await tokens(path, plain);
    for (const more of off) assert.equal(await tokens(path, { ...plain, ...more }), least, path);
    for (const more of on) {
      const n = await tokens(path, { ...plain, ...more });
      assert.ok(n > least, `${path} ${JSON.stringify(more)}: ${n} of ${least}`);
    }
  }
});
