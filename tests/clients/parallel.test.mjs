// 50 streams at the same time with each client, and of all together: each gets its own text, whole,
// and its own tool calls.
import assert from 'node:assert/strict';
import { call, clientTest as test, load, mock, say, start } from './lib.mjs';

const { OpenAI } = await load('openai');
const { Anthropic } = await load('@anthropic-ai/sdk');
const { Ollama } = await load('ollama');
const { gw, provider } = await start({ heartbeat: '200ms' });

const openai = gw && new OpenAI({ baseURL: `${gw.url}/v1`, apiKey: 'sk-none', maxRetries: 0 });
const anthropic = gw && new Anthropic({ baseURL: gw.url, apiKey: 'sk-none', maxRetries: 0 });
const ollama = gw && new Ollama({ host: gw.url });

const user = (content) => [{ role: 'user', content }];
const schema = { type: 'object', properties: { of: { type: 'string' } } };
const named = { name: 'look', description: 'Looks something up' };

// A client's stream as { text, of }: its text, or the argument of the call in it.
const clients = {
  async openai(prompt) {
    const { choices } = await openai.chat.completions
      .stream({
        model: 'gpt-4o',
        messages: user(prompt),
        tools: [{ type: 'function', function: { ...named, parameters: schema } }],
      })
      .finalChatCompletion();
    const [{ message }] = choices;
    const args = message.tool_calls?.[0].function.arguments;
    return { text: message.content ?? '', of: args && JSON.parse(args).of };
  },
  async anthropic(prompt) {
    const { content } = await anthropic.messages
      .stream({
        model: 'claude-sonnet-4-5',
        max_tokens: 64,
        messages: user(prompt),
        tools: [{ ...named, input_schema: schema }],
      })
      .finalMessage();
    const text = content.find((block) => block.type === 'text')?.text ?? '';
    return { text, of: content.find((block) => block.type === 'tool_use')?.input.of };
  },
  async ollama(prompt) {
    const out = { text: '', of: undefined };
    const stream = await ollama.chat({
      model: 'llama3.2',
      messages: user(prompt),
      stream: true,
      tools: [{ type: 'function', function: { ...named, parameters: schema } }],
    });
    for await (const { message } of stream) {
      out.text += message.content;
      out.of = message.tool_calls?.[0].function.arguments.of ?? out.of;
    }
    return out;
  },
};

// One stream of many: every fifth is a call, the others are text in pieces at a pace of their own.
async function one(name, i) {
  const text = `${name} ${i}: ` + `<${i}>`.repeat(30 + (i % 7));
  if (i % 5 === 4) {
    const got = await clients[name](mock(call(['look', { of: text }])));
    assert.deepEqual(got, { text: '', of: text });
  } else {
    const got = await clients[name](mock(say(text, { chunks: 9 + (i % 4), delayMs: 1 + (i % 3) })));
    assert.deepEqual(got, { text, of: undefined });
  }
}

const many = (names, n) =>
  Promise.all(Array.from({ length: n }, (_, i) => one(names[i % names.length], i)));

for (const name of Object.keys(clients))
  test(`50 parallel streams with ${name}`, async () => {
    const before = provider.log().requests.length;
    await many([name], 50);
    assert.equal(provider.log().requests.length - before, 50);
  });

test('150 parallel streams of all clients together', () => many(Object.keys(clients), 150));
