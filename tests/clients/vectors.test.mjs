// Embeddings with the npm clients that have them: `openai`, `ollama`, and `ai` with its
// OpenAI-compatible provider and with OpenAI's.
import assert from 'node:assert/strict';
import { asked, clientTest as test, load, start, thrown } from './lib.mjs';

const openai = await load('openai');
const { Ollama } = await load('ollama');
const ai = await load('ai');
const { createOpenAICompatible } = await load('@ai-sdk/openai-compatible');
const { createOpenAI } = await load('@ai-sdk/openai');
const { gw, provider } = await start();

const base = gw && { baseURL: `${gw.url}/v1`, apiKey: 'sk-none' };
const client = gw && new openai.OpenAI({ ...base, maxRetries: 0 });
const ollama = gw && new Ollama({ host: gw.url });
const texts = ['cold', 'warm'];
const vector = (i, n = 4) => [i + 1, 0.5, -0.25, 0.25].slice(0, n);
const vectors = [vector(0), vector(1)];

// Without an encoding the client asks for base64 and decodes it by itself.
test('openai: embeddings as numbers, as base64, and as the client asks', async () => {
  const asks = { model: 'gpt-4o', input: texts };
  for (const encoding of ['float', undefined]) {
    const got = await client.embeddings.create({ ...asks, encoding_format: encoding });
    assert.deepEqual(
      got.data.map((d) => [d.index, [...d.embedding]]),
      vectors.map((v, i) => [i, v]),
    );
    assert.deepEqual(got.usage, { prompt_tokens: 11, total_tokens: 11 });
  }
  const coded = await client.embeddings.create({ ...asks, encoding_format: 'base64' });
  const bytes = Buffer.from(coded.data[1].embedding, 'base64');
  assert.deepEqual([0, 4, 8, 12].map((at) => bytes.readFloatLE(at)), vectors[1]);
  const one = await client.embeddings.create({ ...asks, input: 'cold', dimensions: 2 });
  assert.deepEqual([...one.data[0].embedding], vector(0, 2));
  const ids = await client.embeddings.create({ ...asks, input: [[7, 8], [9]] });
  assert.equal(ids.data.length, 2);
  assert.deepEqual(asked(provider).body.input, [[7, 8], [9]]);
});

test('openai: embeddings of the model in the box are refused by name', async () => {
  const e = await thrown(client.embeddings.create({ model: 'local', input: 'cold' }));
  assert.ok(e instanceof openai.BadRequestError, String(e));
  assert.equal(e.param, 'input');
});

test('ollama: embed and embeddings', async () => {
  const got = await ollama.embed({ model: 'llama3.2', input: texts });
  assert.deepEqual([got.model, got.embeddings], ['llama3.2', vectors]);
  assert.ok(got.prompt_eval_count === 11 && got.total_duration > 0);
  const one = await ollama.embed({ model: 'llama3.2', input: 'cold', dimensions: 2 });
  assert.deepEqual(one.embeddings, [vector(0, 2)]);
  const old = await ollama.embeddings({ model: 'llama3.2', prompt: 'cold' });
  assert.deepEqual(old.embedding, vector(0));
  const e = await thrown(ollama.embed({ model: 'local', input: 'cold' }));
  assert.deepEqual([e.name, e.status_code], ['ResponseError', 400]);
});

test('ai: embed and embedMany', async () => {
  const own = createOpenAICompatible({ ...base, name: 'tollgate' });
  for (const model of [own.embeddingModel('gpt-4o'), createOpenAI(base).embedding('gpt-4o')]) {
    const many = await ai.embedMany({ model, values: texts, maxRetries: 0 });
    assert.deepEqual([many.embeddings, many.usage.tokens], [vectors, 11]);
    const one = await ai.embed({ model, value: 'cold', maxRetries: 0 });
    assert.deepEqual(one.embedding, vector(0));
  }
});
