// What counts as right.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answerOf, equal, right, strip } from './judge.mjs';

const text = (content) => ({ content });
const called = (...calls) => ({
  content: null,
  tool_calls: calls.map(([name, args]) => ({ function: { name, arguments: args } })),
});

test('text is equal after trimming, and nothing else', () => {
  const item = { family: 'arithmetic', answer: '51' };
  assert.equal(right(item, text('51')), true);
  assert.equal(right(item, text(' 51\n')), true);
  for (const wrong of ['52', '51.', '5 1', '', 'It is 51'])
    assert.equal(right(item, text(wrong)), false, wrong);
  assert.equal(right(item, { content: null }), false);
  const calls = called(['add', '{}']).tool_calls;
  assert.equal(right(item, { content: '51', tool_calls: calls }), false, 'and a call besides');
  assert.equal(right(item, { content: '51', tool_calls: [] }), true);
  assert.equal(right({ family: 'talk', answer: 'Goodbye!' }, text('goodbye!')), false);
});

test('what is trimmed is what Python trims', () => {
  assert.equal(strip('\u0085 \x1c\u3000a b\xa0\n'), 'a b');
  assert.equal(strip('\ufeffa\u200b'), '\ufeffa\u200b');
  assert.equal(strip(' \n'), '');
});

test('an extraction is equal as JSON', () => {
  const item = { family: 'extraction', answer: '{"name": "Anna", "age": 30}' };
  assert.equal(right(item, text('{"age":30,"name":"Anna"}')), true);
  for (const wrong of [
    '{"age":"30","name":"Anna"}',
    '{"name":"Anna"}',
    '{"name":"Anna","age":30,"city":"Rome"}',
    '{"name":"Anna","age":30',
    'null',
    '',
  ])
    assert.equal(right(item, text(wrong)), false, wrong);
});

test('a call is one call of that name with equal arguments', () => {
  const item = { family: 'tools', call: { name: 'add', arguments: { a: '1', b: '2' } } };
  assert.equal(right(item, called(['add', '{"b":"2","a":"1"}'])), true);
  assert.equal(right(item, called(['sub', '{"b":"2","a":"1"}'])), false);
  assert.equal(right(item, called(['add', '{"a":"1"}'])), false);
  assert.equal(right(item, called(['add', '{"a":"1",'])), false);
  assert.equal(right(item, called()), false);
  const twice = ['add', '{"a":"1","b":"2"}'];
  assert.equal(right(item, called(twice, twice)), false);
  assert.equal(right(item, text('{"a":"1","b":"2"}')), false);
});

test('equality of JSON', () => {
  assert.ok(equal({ a: [1, { b: null }] }, { a: [1, { b: null }] }));
  assert.ok(!equal([1, 2], [2, 1]));
  assert.ok(!equal({ a: undefined }, { b: undefined }));
  assert.ok(!equal([], {}));
  assert.ok(!equal(null, {}));
  assert.ok(!equal('1', 1));
  assert.ok(!equal({ toString: 1 }, { valueOf: 1 }));
});

test('the right answer is right', () => {
  for (const item of [
    { family: 'facts', answer: 'Paris' },
    { family: 'extraction', answer: '{"a": 1}' },
    { family: 'tools', call: { name: 'f', arguments: { x: [1] } } },
  ])
    assert.equal(right(item, answerOf(item)), true);
});
