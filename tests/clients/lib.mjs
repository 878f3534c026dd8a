// What the tests of real clients share: the clients themselves, and a gateway with the model in the
// box (`local`) and a mock provider, which answers to the names that code out there has (gpt-4o,
// claude-sonnet-4-5, llama3.2) and does what the prompt says: see mock().
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { root, sleep, slow, startGateway } from '../http/lib.mjs';
import { startMock } from '../http/mock_provider.mjs';
import { hybridConfig } from '../http/support.mjs';

export { png } from '../http/golden_dialects.mjs';
export { now, slow } from '../http/lib.mjs';

// The head of a WAVE file: as much of one as is looked at.
export const wav = Buffer.from('RIFF\x24\0\0\0WAVEfmt ', 'latin1').toString('base64');

const here = path.dirname(fileURLToPath(import.meta.url));

// Not false: why the tests are skipped. tests/run.sh puts the lock file beside what it installed.
export const skip = existsSync(path.join(here, 'node_modules/.installed'))
  ? false
  : 'the clients are not installed: npm ci in tests/clients, as tests/run.sh does';

// A package's module; empty where nothing is installed, as no test runs there.
export const load = (name) => (skip ? {} : import(name));

export const clientTest = (name, body) => test(name, { skip }, body);

// A prompt that tells the mock provider what to do in each turn of a conversation: behaviours of
// mock_provider.mjs with their options. The last one holds for all further turns.
export const mock = (...turns) => `mock: ${JSON.stringify(turns)}`;

const textOf = ({ content }) =>
  typeof content === 'string' ? content : (content ?? []).map((part) => part.text ?? '').join('');

function script({ messages = [] }) {
  const at = messages.findLastIndex((m) => m.role === 'user' && textOf(m).includes('mock: '));
  if (at < 0) return { behaviour: 'answer', text: 'no script' };
  const turns = JSON.parse(/mock: (.*)/.exec(textOf(messages[at]))[1]);
  const turn = messages.slice(at).filter((m) => m.role === 'assistant').length;
  return turns[Math.min(turn, turns.length - 1)];
}

export const say = (text, more = {}) => ({ behaviour: 'answer', text, ...more });
export const call = (...calls) => ({
  behaviour: 'tool-call',
  calls: calls.map(([name, args]) => ({ name, arguments: JSON.stringify(args) })),
});
export const paris = ['get_weather', { city: 'Paris' }];
export const rome = ['get_weather', { city: 'Rome' }];

// The tool that is called, as OpenAI and Ollama describe it.
export const weather = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'Current weather of a city',
    parameters: { type: 'object', required: ['city'], properties: { city: { type: 'string' } } },
  },
};

// In what the provider got, the results behind two parallel calls are theirs, in their order.
export const resultsFit = ([, { tool_calls: calls }, first, second]) =>
  assert.deepEqual(
    calls.map((c) => c.id),
    [first.tool_call_id, second.tool_call_id],
  );

// { gw, mock: what startMock gives }. Called once in a file; nothing starts when it is skipped.
export async function start(top = {}) {
  if (skip) return {};
  const provider = await startMock({ script });
  after(() => provider.stop());
  const config = hybridConfig(provider);
  const gw = await startGateway({
    config: {
      ...config,
      engine: { model: path.join(root, 'config/models/spark.gguf'), device: 'cpu' },
      aliases: {
        'gpt-4o': 'mock/answer',
        'claude-sonnet-4-5': 'mock/answer',
        'llama3.2': 'mock/answer',
      },
      ...top,
    },
  });
  return { gw, provider };
}

// All names that a model has here, as they are listed.
export const served = [
  'default',
  'local',
  'gpt-4o',
  'claude-sonnet-4-5',
  'llama3.2',
  'mock/answer',
];

// The newest request that the provider got.
export const asked = (provider) => provider.log().requests.at(-1);

// What a promise fails with.
export const thrown = (promise) =>
  Promise.resolve(promise).then(
    () => {
      throw new Error('nothing failed');
    },
    (cause) => cause,
  );

// 50 streams at the same time, each of a text of its own, in pieces at a pace of its own.
// ask(prompt) gives a stream's text.
export const fifty = (ask) =>
  Promise.all(
    Array.from({ length: 50 }, async (_, i) => {
      const text = `no ${i}: ${`<${i}>`.repeat(30 + (i % 7))}`;
      const script = say(text, { chunks: 9 + (i % 4), delayMs: 1 + (i % 3) });
      assert.equal(await ask(mock(script)), text);
    }),
  );

// Passes connections on to a port and counts them.
export async function counter(port) {
  const open = new Set();
  const server = net.createServer((socket) => {
    counted.connections++;
    const inner = net.connect(port, '127.0.0.1');
    for (const [from, to] of [
      [socket, inner],
      [inner, socket],
    ]) {
      open.add(from);
      from.pipe(to);
      from.on('error', () => to.destroy());
      from.on('close', () => open.delete(from));
    }
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const counted = {
    connections: 0,
    url: `http://127.0.0.1:${server.address().port}`,
    stop() {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
  return counted;
}

// Breaks off a stream of the provider that hangs by abort() behind its first piece; the provider
// must see it within 100 ms. Returns what the client threw, or undefined.
export async function breakOff(provider, pieces, abort) {
  const before = provider.aborts().length;
  let at = 0;
  let error;
  try {
    for await (const piece of pieces) {
      if (at || !piece) continue;
      at = performance.timeOrigin + performance.now();
      abort();
    }
  } catch (cause) {
    error = cause;
  }
  for (let i = 0; i < 400 * slow && provider.aborts().length === before; i++) await sleep(5);
  const gone = provider.aborts()[before];
  if (!gone)
    throw new Error(at ? 'the provider saw no end' : 'no piece came', { cause: error });
  const ms = gone.aborted - at;
  if (ms > 100 * slow) throw new Error(`the provider saw the end after ${ms} ms`);
  return error;
}
