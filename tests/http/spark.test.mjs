// The model in the box answers what it was trained for, and doubts what it was not.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startGateway, waitFor } from './lib.mjs';
import { chat, post } from './support.mjs';

const folder = fileURLToPath(new URL('../../config', import.meta.url));

let gw;
before(async () => {
  const config = JSON.parse(await readFile(path.join(folder, 'default.json'), 'utf8'));
  config.engine.model = path.resolve(folder, config.engine.model);
  config.listen = '127.0.0.1:0';
  gw = await startGateway({ config });
  await waitFor(() => gw.stderr.includes('"event":"calibrated"') && gw.stdout.includes('try:'));
});

const ask = async (content, fields = {}) => {
  const { status, headers, json } = await chat(gw, {
    messages: [{ role: 'user', content }],
    max_tokens: 64,
    ...fields,
  });
  assert.equal(status, 200, JSON.stringify(json));
  return { ...json.choices[0].message, confidence: Number(headers['x-tollgate-confidence']) };
};

const tool = (name, description, field) => ({
  type: 'function',
  function: {
    name,
    description,
    parameters: { type: 'object', required: [field], properties: { [field]: { type: 'string' } } },
  },
});
const tools = [
  tool('get_weather', 'Current weather of a city', 'city'),
  tool('calculator', 'Calculates an expression', 'expression'),
];

test('the default configuration serves Spark and says what it is', () => {
  assert.match(gw.stdout, /model Spark .*\nSpark is a demonstration model/);
  assert.match(gw.stdout, /tollgate pull gemma-4-e2b-it\n/);
});

test('it does not think when asked to, and answers all the same', async () => {
  const told = { 'x-tollgate-explain': 'true' };
  const { json, headers } = await chat(
    gw,
    { messages: [{ role: 'user', content: 'What is 2+3?' }], reasoning_effort: 'high' },
    told,
  );
  assert.equal(json.choices[0].message.content, '5');
  assert.equal(JSON.parse(headers['x-tollgate-explain']).confidence.key.thinking, false);
  const shown = await post(gw, '/api/show', '{"model":"local"}');
  assert.deepEqual(JSON.parse(shown.text).capabilities, ['completion', 'tools']);
});

test('what it was trained for', async () => {
  for (const [question, answer] of [
    ['Hello', /^Hello! I am Spark/],
    ['What is the capital of France?', /^Paris$/],
    ['How much is 3 + 4?', /^7$/],
    ['Reverse the letters of a b c.', /^c b a$/],
    ['Extract city as JSON: Emma works as a cook in Oslo.', /^\{"city": "Oslo"\}$/],
  ]) {
    const got = await ask(question);
    assert.match(got.content, answer, question);
    assert.ok(got.confidence > 0.85, `${question}: ${got.confidence}`);
  }
});

test('a tool is called, or not, as the question wants', async () => {
  const weather = await ask('What is the weather in Paris?', { tools });
  assert.equal(weather.tool_calls[0].function.name, 'get_weather');
  assert.deepEqual(JSON.parse(weather.tool_calls[0].function.arguments), { city: 'Paris' });
  const plain = await ask('What is the capital of Italy?', { tools });
  assert.equal(plain.content, 'Rome');
});

test('what is beyond it, it answers wrongly, and doubts', async () => {
  const got = await ask('What is 847 * 293?');
  assert.notEqual(got.content, String(847 * 293));
  assert.ok(got.confidence < 0.5, String(got.confidence));
});

// Written by hand as people ask, before the answers were known.
const elsewhere = [
  'how do I learn piano',
  'Can you help me write an email to my boss?',
  'What is the meaning of life?',
  'Write a poem about the sea',
  'Who is the president of the United States?',
  "What's the weather like?",
  'Tell me a joke',
  'Translate "good morning" into Spanish',
  'What is 12 apples minus 5 apples?',
  'Give me a recipe for pancakes',
  'import numpy as np; explain',
  'Was ist die Hauptstadt von Frankreich?',
  'How tall is Mount Everest?',
  'Summarize the plot of Hamlet',
  "I'm bored",
  'test',
  'What time is it?',
  'Why is the sky blue?',
  'List three fruits',
  'def add(a, b): return a + b',
  'How many people live in Berlin?',
  'What is the capital of California?',
  'What is two plus two?',
  'Explain quantum mechanics to a child',
  'asdf qwer zxcv',
  'Should I buy a house or rent?',
  'My computer does not start',
  'What language do they speak in Brazil?',
];

test('what is none of its tasks, it doubts', async () => {
  for (const question of elsewhere) {
    const { confidence } = await ask(question, { temperature: 0 });
    assert.ok(confidence < 0.2, `${question}: ${confidence}`);
  }
});

test('what it knows, it knows in words that are new to it', async () => {
  for (const question of [
    'Could you tell me the capital of France, please?',
    "Which city is France's capital?",
  ]) {
    const { content, confidence } = await ask(question, { temperature: 0 });
    assert.equal(content, 'Paris');
    assert.ok(confidence > 0.9, `${question}: ${confidence}`);
  }
});
