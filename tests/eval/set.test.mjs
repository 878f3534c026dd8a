// Sets of prompts, and the mock cloud that knows their answers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { request, readSse } from '../http/lib.mjs';
import { right } from './judge.mjs';
import { cloudAnswers, startCloud } from './mock_cloud.mjs';
import { chance, keyOf, readSet, thin } from './set.mjs';
import { standIn } from './standin.mjs';

const line = (more = {}) =>
  JSON.stringify({
    id: 'a',
    family: 'facts',
    level: 'known',
    split: 'fit',
    messages: [{ role: 'user', content: 'Capital of France?' }],
    answer: 'Paris',
    ...more,
  });
const set = (...lines) => readSet([{ name: 'x.jsonl', text: lines.join('\n') }]);
const ask = (content) => [{ role: 'user', content }];

test('a set is read; duplicates count once', () => {
  const other = line({ id: 'c', messages: ask('?') });
  const { items, duplicates } = set(line(), '', line({ id: 'b' }), other);
  assert.deepEqual(
    items.map((i) => i.id),
    ['a', 'c'],
  );
  assert.equal(duplicates, 1);
  assert.equal(readSet([{ name: 'stand-in', text: standIn() }]).items.length, 40);
});

test('what is wrong with a set is told with its line', () => {
  const cases = [
    ['{', /x\.jsonl, line 2: is not JSON/],
    ['[]', /line 2: "id"/],
    [line({ split: 'train' }), /"split"/],
    [line({ messages: [] }), /"messages"/],
    [line({ answer: undefined }), /either "answer" or "call"/],
    [line({ call: { name: 'f' } }), /either "answer" or "call"/],
    [line({ answer: 5 }), /must be a text/],
    [line({ family: 'extraction', answer: '{' }), /must be JSON/],
    [line({ messages: ask('?') }), /the id a is there twice/],
    [line({ id: 'b', split: 'test' }), /the prompt of a in the other split/],
    [line({ id: 'b', answer: 'Rome' }), /the prompt of a with another answer/],
  ];
  for (const [bad, why] of cases) assert.throws(() => set(line(), bad), why);
  assert.throws(() => set(''), /no prompts/);
});

test('the key of a prompt survives a rewritten request', () => {
  const parts = [{ role: 'user', content: [{ type: 'text', text: 'Hi' }] }];
  assert.equal(keyOf({ messages: ask('Hi') }), keyOf({ messages: parts, model: 'x', tools: [] }));
  assert.notEqual(keyOf({ messages: ask('Hi') }), keyOf({ messages: ask('hi') }));
  const tools = [{ function: { name: 'f' } }];
  assert.notEqual(keyOf({ messages: ask('Hi') }), keyOf({ messages: ask('Hi'), tools }));
});

test('a thinned set is even over families and splits, and always the same', () => {
  const { items } = readSet([{ name: 'stand-in', text: standIn(400) }]);
  const few = thin(items, 60);
  assert.equal(few.length, 60);
  const count = (name) => few.filter((i) => i.family === name || i.split === name).length;
  assert.deepEqual(
    ['arithmetic', 'extraction', 'tools', 'fit', 'test'].map(count),
    [20, 20, 20, 30, 30],
  );
  assert.equal(few.filter((i) => i.split === 'test' && i.level === 'sum-1').length, 5);
  assert.deepEqual(thin([...items].reverse(), 60).reverse(), few);
  assert.equal(thin(items, 0), items);
  assert.equal(thin(items, 400), items);
});

test('the cloud is right as often as it is told, the same each time', () => {
  const { items } = readSet([{ name: 'stand-in', text: standIn(1000) }]);
  const answers = cloudAnswers(items, { accuracy: 0.9 });
  const share = [...answers.values()].filter((a) => a.right).length / 1000;
  assert.ok(Math.abs(share - 0.9) < 0.03, `${share}`);
  assert.deepEqual(cloudAnswers(items, { accuracy: 0.9 }), answers);
  assert.notDeepEqual(cloudAnswers(items, { accuracy: 0.9, seed: 2 }), answers);
  for (const { item, message, right: is } of answers.values()) {
    assert.equal(right(item, message), is);
    if (!is && item.call) assert.equal(message.tool_calls.length, 1, 'a wrong call is a call');
    if (!is && !item.call) assert.match(message.content, /\S/);
  }
  const sure = cloudAnswers(items, { accuracy: 1 });
  assert.ok([...sure.values()].every((a) => a.right));
  const never = cloudAnswers(items.slice(0, 1), { accuracy: 0 });
  assert.equal([...never.values()][0].right, false, 'with no other answer to take');
});

test('the cloud over HTTP: whole and streamed alike, with usage; others are refused', async () => {
  const { items } = readSet([{ name: 'stand-in', text: standIn() }]);
  const cloud = await startCloud(items, { accuracy: 1, scale: 0 });
  const to = (item, more = {}) =>
    request(cloud.port, {
      method: 'POST',
      path: '/v1/chat/completions',
      body: { model: 'm', messages: item.messages, tools: item.tools, ...more },
    });
  try {
    for (const item of items.slice(0, 4)) {
      const whole = (await to(item)).json;
      assert.equal(right(item, whole.choices[0].message), true);
      assert.ok(whole.usage.prompt_tokens > 5 && whole.usage.completion_tokens > 0);
      const { events } = readSse((await to(item, { stream: true })).text);
      const deltas = events.map((e) => e.json?.choices[0]?.delta ?? {});
      const text = deltas.map((d) => d.content ?? '').join('');
      const args = deltas.flatMap((d) => d.tool_calls ?? []).map((c) => c.function.arguments);
      if (item.call) assert.deepEqual(JSON.parse(args.join('')), item.call.arguments);
      else assert.equal(text, item.answer);
      assert.ok(cloud.arrivals().has(item.id));
    }
    assert.equal((await to({ messages: ask('Who?') })).status, 400);
    cloud.forget();
    assert.equal(cloud.arrivals().size, 0);
  } finally {
    await cloud.stop();
  }
});

test('the cloud takes its time, by the scale', async () => {
  const { items } = readSet([{ name: 'stand-in', text: standIn(4) }]);
  const cloud = await startCloud(items, { scale: 0.5 });
  try {
    const body = { model: 'm', messages: items[0].messages };
    const begun = performance.now();
    await request(cloud.port, { method: 'POST', path: '/v1/chat/completions', body });
    const took = performance.now() - begun;
    assert.ok(took > 100, `${took} ms`); // 175 ms +- 40% and a token
  } finally {
    await cloud.stop();
  }
});

test('chance is even and depends on the seed', () => {
  const all = Array.from({ length: 2000 }, (_, i) => chance(1, `x${i}`));
  assert.ok(Math.abs(all.reduce((a, b) => a + b, 0) / 2000 - 0.5) < 0.03);
  assert.ok(all.every((v) => v >= 0 && v < 1));
  assert.notEqual(chance(1, 'x'), chance(2, 'x'));
});
