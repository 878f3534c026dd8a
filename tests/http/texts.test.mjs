// Logprobs in the dialects that have them, and OpenAI's older completions, end to end.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { readSse, request, startGateway } from './lib.mjs';
import { startMock } from './mock_provider.mjs';
import { answerCost, chat, hybridConfig, logRow, post, sse } from './support.mjs';

let mock, cloud, local, bad;
before(async () => {
  mock = await startMock();
  cloud = await startGateway({ config: hybridConfig(mock, { trigger: 'turns > 0' }) });
  const broken = { models: ['bad-logprobs'], trigger: 'turns > 0' };
  bad = await startGateway({ config: hybridConfig(mock, broken) });
  local = await startGateway({ config: hybridConfig(mock, { models: [] }) });
});
after(() => mock.stop());

const words = 'word0 word1 word2 word3 word4 ';
const lastAsk = () => mock.log().requests.at(-1).body;

async function complete(gw, fields, headers) {
  const body = JSON.stringify({ prompt: 'Say "hi"', temperature: 0, ...fields });
  const r = await post(gw, '/v1/completions', body, headers);
  const events = r.text.split('\n\n').filter((e) => e.startsWith('data: {'));
  const chunks = fields.stream ? events.map((e) => JSON.parse(e.slice(6))) : [];
  return { ...r, chunks, json: fields.stream ? null : JSON.parse(r.text) };
}
const said = (r) => r.chunks.map((c) => c.choices[0]?.text ?? '').join('');

test('logprobs of a provider: streamed and whole, with alternatives', async () => {
  const whole = await chat(cloud, { logprobs: true, top_logprobs: 2 });
  const { content, refusal } = whole.json.choices[0].logprobs;
  assert.equal(refusal, null);
  assert.equal(content[0].token, words);
  assert.deepEqual(content[0].bytes, [...Buffer.from(words)]);
  assert.deepEqual(
    content[0].top_logprobs.map((t) => [t.token, t.logprob]),
    [
      ['ALT0', -1],
      ['ALT1', -2],
    ],
  );
  assert.deepEqual([lastAsk().logprobs, lastAsk().top_logprobs], [true, 2]);
  const stream = await sse(cloud, { logprobs: true });
  const tokens = stream.chunks.flatMap((c) => c.choices[0]?.logprobs?.content ?? []);
  assert.equal(tokens.map((t) => t.token).join(''), words);
  assert.ok(tokens.every((t) => t.logprob === -0.5 && t.top_logprobs.length === 0));
  const plain = await chat(cloud);
  assert.equal(plain.json.choices[0].logprobs, null);
  assert.ok(!('logprobs' in lastAsk()));
});

test('responses: logprobs, whole and streamed, of a provider and of the local model', async () => {
  const fields = { model: 'default', input: 'Say "hi"', temperature: 0, max_output_tokens: 24 };
  const include = ['message.output_text.logprobs'];
  const part = (json) => json.output.at(-1).content[0];
  for (const [gw, more] of [
    [cloud, { include, top_logprobs: 1 }],
    [local, { include }],
  ]) {
    const body = (rest) => JSON.stringify({ ...fields, ...more, ...rest });
    const ask = (rest) => post(gw, '/v1/responses', body(rest));
    const whole = await ask({});
    assert.equal(whole.status, 200, whole.text);
    const { text, logprobs } = part(JSON.parse(whole.text));
    assert.ok(logprobs.length > 0);
    assert.equal(logprobs.map((t) => t.token).join(''), text);
    assert.equal(logprobs[0].top_logprobs.length, more.top_logprobs ?? 0);
    const { events } = readSse((await ask({ stream: true })).text);
    const of = (type) => events.map((e) => e.json).filter((e) => e.type === `response.${type}`);
    const tokens = of('output_text.delta').flatMap((e) => e.logprobs);
    assert.equal(tokens.map((t) => t.token).join(''), text);
    const [done] = of('output_text.done');
    const [{ response }] = of('completed').concat(of('incomplete'));
    assert.deepEqual([done.logprobs, part(response).logprobs], [tokens, tokens]);
    const kept = await request(gw.port, { path: `/v1/responses/${response.id}` });
    assert.deepEqual([part(kept.json).text, part(kept.json).logprobs], [text, []]);
  }
  const top = { ...fields, top_logprobs: 1 };
  const refused = await post(local, '/v1/responses', JSON.stringify(top));
  assert.equal(JSON.parse(refused.text).error.param, 'top_logprobs');
});

test('a provider whose logprobs are none fails honestly', async () => {
  const r = await chat(bad, { logprobs: true });
  assert.equal(r.status, 200); // the local model answers behind it
  assert.equal(r.headers['x-tollgate-route'], 'local');
  assert.equal(r.headers['x-tollgate-reason'], 'provider-failed');
});

test('logprobs of the local model spell its text', async () => {
  const fields = { logprobs: true, max_tokens: 24 };
  const whole = await chat(local, fields);
  const { content } = whole.json.choices[0].logprobs;
  const text = (tokens) => Buffer.from(tokens.flatMap((t) => t.bytes)).toString();
  const plain = (s) => s.replace(/\ufffd+/g, '?'); // its random bytes are not all text
  assert.equal(plain(text(content)), plain(whole.json.choices[0].message.content));
  assert.ok(content.every((t) => t.logprob <= 0 && t.logprob > -50));
  const stream = await sse(local, fields);
  const tokens = stream.chunks.flatMap((c) => c.choices[0]?.logprobs?.content ?? []);
  assert.deepEqual(tokens, content);
  const more = await chat(local, { ...fields, top_logprobs: 1 });
  assert.equal(more.status, 400);
  assert.equal(more.json.error.param, 'top_logprobs');
  const alone = await chat(local, { top_logprobs: 1 });
  assert.equal(alone.json.error.param, 'top_logprobs');
});

test('Ollama: a list beside the message, in each line', async () => {
  const ask = { model: 'default', messages: [{ role: 'user', content: 'Hi' }], logprobs: true };
  const lines = async (gw, target, fields) => {
    const r = await post(gw, target, JSON.stringify(fields));
    return r.text.trim().split('\n').map((line) => JSON.parse(line));
  };
  const streamed = await lines(cloud, '/api/chat', { ...ask, top_logprobs: 1 });
  const tokens = streamed.flatMap((l) => l.logprobs ?? []);
  assert.equal(tokens.map((t) => t.token).join(''), words);
  assert.equal(tokens[0].top_logprobs[0].token, 'ALT0');
  const [whole] = await lines(local, '/api/generate', {
    model: 'default',
    prompt: 'Hi',
    stream: false,
    logprobs: true,
    options: { num_predict: 8, temperature: 0 },
  });
  assert.ok(whole.logprobs.length > 0 && !('top_logprobs' in whole.logprobs[0]));
});

test('reasoning_effort and verbosity go to providers, the latter to them alone', async () => {
  await chat(cloud, { reasoning_effort: 'xhigh', verbosity: 'low' });
  assert.deepEqual([lastAsk().reasoning_effort, lastAsk().verbosity], ['xhigh', 'low']);
  await chat(cloud);
  assert.ok(!('reasoning_effort' in lastAsk()) && !('verbosity' in lastAsk()));
  const r = await chat(local, { verbosity: 'high' });
  assert.equal(r.json.error.param, 'verbosity');
});

test('cache_control is taken, and stays here', async () => {
  const cache_control = { type: 'ephemeral' };
  const named = { name: 'f', parameters: {} };
  const content = [{ type: 'text', text: 'hi', cache_control }];
  const messages = [{ role: 'user', content, cache_control }];
  const tools = [{ type: 'function', function: named, cache_control }];
  for (const gw of [cloud, local])
    assert.equal((await chat(gw, { messages, tools, cache_control })).status, 200);
  assert.doesNotMatch(JSON.stringify(lastAsk()), /cache_control/);
  assert.equal(lastAsk().tools.length, 1);
  const wrong = await chat(cloud, { messages: [{ role: 'user', content: 'a', cache_control: 1 }] });
  assert.equal(wrong.status, 400);
  assert.equal(wrong.json.error.param, 'messages[0].cache_control');
});

test('completions: whole, with the log row and what it cost', async () => {
  const r = await complete(cloud, { model: 'default', max_tokens: 9 });
  assert.equal(r.json.object, 'text_completion');
  assert.match(r.json.id, /^cmpl-/);
  assert.deepEqual(r.json.choices, [
    { text: words, index: 0, logprobs: null, finish_reason: 'stop' },
  ]);
  assert.deepEqual(r.json.usage, { prompt_tokens: 11, completion_tokens: 5, total_tokens: 16 });
  assert.deepEqual(lastAsk().messages, [{ role: 'user', content: 'Say "hi"' }]);
  assert.equal(lastAsk().max_tokens, 9);
  assert.equal(Number(r.headers['x-tollgate-cost-usd']) * 1e9, answerCost);
  assert.equal((await logRow(cloud, r.headers)).dialect, 'openai-completions');
  const echoed = await complete(cloud, { echo: true, logprobs: null });
  assert.equal(echoed.json.choices[0].text, `Say "hi"${words}`);
  assert.equal(lastAsk().max_tokens, 16);
});

test('completions: streamed, with logprobs and the prompt in front', async () => {
  const r = await complete(cloud, {
    stream: true,
    logprobs: 2,
    stream_options: { include_usage: true },
  });
  assert.equal(r.headers['content-type'], 'text/event-stream');
  assert.equal(said(r), words);
  assert.ok(r.text.endsWith('data: [DONE]\n\n') && r.text.includes(': tollgate {'));
  const lists = r.chunks.map((c) => c.choices[0]?.logprobs).filter(Boolean);
  assert.deepEqual(
    lists.flatMap((l) => l.text_offset),
    [0, 6, 12, 18, 24],
  );
  assert.deepEqual(lists[0].top_logprobs, [{ ALT0: -1, ALT1: -2 }]);
  assert.equal(r.chunks.at(-2).choices[0].finish_reason, 'stop');
  assert.equal(r.chunks.at(-1).usage.total_tokens, 16);
  const echoed = await complete(cloud, { stream: true, echo: true });
  assert.equal(said(echoed), `Say "hi"${words}`);
  const own = await complete(local, { stream: true, max_tokens: 8, logprobs: 0 });
  const tokens = own.chunks.flatMap((c) => c.choices[0]?.logprobs?.tokens ?? []);
  assert.ok(tokens.length > 0 && said(own).length > 0);
});

test('completions: errors name the field as the client wrote it', async () => {
  const several = await complete(cloud, { prompt: ['a', 'b'] });
  assert.equal(several.status, 400);
  assert.equal(several.json.error.param, 'prompt');
  const top = await complete(local, { logprobs: 3 });
  assert.equal(top.json.error.param, 'logprobs');
  const long = await complete(local, { prompt: 'abcdefgh '.repeat(4000) });
  assert.equal(long.status, 400);
  assert.equal(long.json.error.param, 'prompt');
  assert.equal(long.json.error.code, 'context_length_exceeded');
  const gone = await complete(cloud, { model: 'nobody' });
  assert.equal(gone.status, 404);
});
