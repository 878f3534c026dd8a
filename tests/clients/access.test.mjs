// Where an API key is needed: what each npm client makes of a wrong one, and of its own.
import assert from 'node:assert/strict';
import { bearer, key } from '../http/key_support.mjs';
import { waitFor } from '../http/lib.mjs';
import { clientTest as test, load, mock, say, start, thrown } from './lib.mjs';

const openai = await load('openai');
const anthropic = await load('@anthropic-ai/sdk');
const { Ollama } = await load('ollama');
const ai = await load('ai');
const { createOpenAI } = await load('@ai-sdk/openai');
const { createAnthropic } = await load('@ai-sdk/anthropic');
const { ChatOpenAI } = await load('@langchain/openai');
const { gw } = await start();
const may = ['--name', 'clients', '--models', 'mock/answer'];
const mine = gw && (await key(gw.dataDir, 'create', ...may));
if (gw) // it hears of its first key within a second
  await waitFor(async () => {
    const { status } = await fetch(`${gw.url}/v1/models`, { headers: bearer('sk-wrong') });
    return status === 401;
  });

const never = { maxRetries: 0 };
const prompt = mock(say('let in'));
const messages = [{ role: 'user', content: prompt }];
const cloud = { model: 'gpt-4o', messages };

// What each client gets as text with a key.
const clients = gw && {
  openai: async (apiKey) => {
    const client = new openai.OpenAI({ baseURL: `${gw.url}/v1`, apiKey, ...never });
    return (await client.chat.completions.create(cloud)).choices[0].message.content;
  },
  responses: async (apiKey) => {
    const client = new openai.OpenAI({ baseURL: `${gw.url}/v1`, apiKey, ...never });
    return (await client.responses.create({ model: 'gpt-4o', input: prompt })).output_text;
  },
  anthropic: async (apiKey) => {
    const client = new anthropic.Anthropic({ baseURL: gw.url, apiKey, ...never });
    return (await client.messages.create({ ...cloud, max_tokens: 64 })).content[0].text;
  },
  ollama: async (apiKey) => {
    const client = new Ollama({ host: gw.url, headers: { authorization: `Bearer ${apiKey}` } });
    return (await client.chat(cloud)).message.content;
  },
  ai: async (apiKey) => {
    const model = createOpenAI({ baseURL: `${gw.url}/v1`, apiKey })('gpt-4o');
    return (await ai.generateText({ model, prompt, ...never })).text;
  },
  'ai, anthropic': async (apiKey) => {
    const model = createAnthropic({ baseURL: `${gw.url}/v1`, apiKey })('claude-sonnet-4-5');
    return (await ai.generateText({ model, prompt, ...never })).text;
  },
  langchain: async (apiKey) => {
    const configuration = { baseURL: `${gw.url}/v1` };
    const chat = new ChatOpenAI({ model: 'gpt-4o', apiKey, configuration, ...never });
    return (await chat.invoke(prompt)).text;
  },
};

test('access: the right key is let in by every client', async () => {
  for (const [name, ask] of Object.entries(clients))
    assert.equal(await ask(mine.key), 'let in', name);
});

test('access: a wrong key is each client\'s error of authentication', async () => {
  const got = {};
  for (const [name, ask] of Object.entries(clients)) got[name] = await thrown(ask('sk-wrong'));
  for (const name of ['openai', 'responses']) {
    assert.ok(got[name] instanceof openai.AuthenticationError, String(got[name]));
    assert.equal(got[name].code, 'invalid_api_key');
  }
  assert.ok(got.anthropic instanceof anthropic.AuthenticationError, String(got.anthropic));
  assert.equal(got.anthropic.type, 'authentication_error');
  assert.deepEqual([got.ollama.name, got.ollama.status_code], ['ResponseError', 401]);
  for (const name of ['ai', 'ai, anthropic']) {
    assert.ok(ai.APICallError.isInstance(got[name]), String(got[name]));
    assert.deepEqual([got[name].statusCode, got[name].isRetryable], [401, false]);
  }
  assert.deepEqual([got.langchain.status, got.langchain.code], [401, 'invalid_api_key']);
});

test('access: a model that the key may not use', async () => {
  const client = new openai.OpenAI({ baseURL: `${gw.url}/v1`, apiKey: mine.key, ...never });
  const e = await thrown(client.chat.completions.create({ ...cloud, model: 'default' }));
  assert.ok(e instanceof openai.PermissionDeniedError, String(e));
  const sdk = new anthropic.Anthropic({ baseURL: gw.url, apiKey: mine.key, ...never });
  const own = await thrown(sdk.messages.create({ ...cloud, model: 'default', max_tokens: 8 }));
  assert.ok(own instanceof anthropic.PermissionDeniedError, String(own));
  assert.equal(own.type, 'permission_error');
});
