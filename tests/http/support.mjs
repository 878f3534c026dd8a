// What the end-to-end tests share on top of lib.mjs: configurations, and requests as clients
// send them.
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { rows, waitFor } from './lib.mjs';

const golden = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../golden');
// The first bytes of a PNG file, which is as far as anybody here looks.
export const png = 'iVBORw0KGgoAAAANSUhEUg==';
export const model = path.join(golden, 'tiny-dense-Q8_0.gguf');

// Prices of the mock's models: $1 and $2 a million tokens.
export const prices = {
  input: '$1',
  output: '$2',
  tokensPerMessage: 8,
  tokensPerRequest: 8,
  tokensPerImage: 100,
};

export const localConfig = (extra = {}) => ({
  listen: '127.0.0.1:0',
  engine: { model, device: 'cpu', context: 2048, ...extra.engine },
  routes: [{ name: 'default', primary: { provider: 'local' } }],
  ...extra.top,
});

// A route with the mock behind the local model. models: one tier each, by the mock's model
// names; trigger undefined: a tier only answers when what comes before it failed.
export function hybridConfig(
  mock,
  { models = ['answer'], trigger, budget, tier = {}, route = {}, top = {} } = {},
) {
  return {
    listen: '127.0.0.1:0',
    engine: { model, device: 'cpu', context: 2048 },
    providers: {
      mock: {
        kind: 'openai',
        baseUrl: mock.url,
        prices: Object.fromEntries(models.map((m) => [m, prices])),
        connectTimeout: '2s',
        idleTimeout: '5s',
        timeout: '20s',
      },
    },
    routes: [
      {
        name: 'default',
        primary: { provider: 'local' },
        fallback: models.map((m) => ({
          provider: 'mock',
          model: m,
          maxTokens: 64,
          ...(trigger ? { trigger } : {}),
          ...tier,
        })),
        ...(budget ? { costPolicy: { cloudBudget: budget } } : {}),
        ...route,
      },
    ],
    ...top,
  };
}

// What the mock bills for one answer with its default counts: 11 tokens in at $1, 5 out at $2
// a million.
export const answerCost = 11 * 1000 + 5 * 2000;

// The model in the box, and a route to the mock for each of its models: named(model).
const box = path.resolve(golden, '../../config/models/spark.gguf');
export const named = (model) => model.replace(/\W+/g, '-');
export function boxConfig(mock, models, top = {}) {
  const hybrid = hybridConfig(mock, { trigger: 'turns > 0' });
  const [base] = hybrid.routes;
  hybrid.providers.mock.prices = Object.fromEntries(models.map((m) => [m, prices]));
  return {
    ...hybrid,
    engine: { model: box, device: 'cpu' },
    routes: [
      { name: 'default', primary: { provider: 'local' } },
      ...models.map((model) => ({
        ...base,
        name: named(model),
        fallback: [{ ...base.fallback[0], model }],
      })),
    ],
    ...top,
  };
}

export async function post(gw, target, body, headers = {}, signal) {
  const r = await fetch(gw.url + target, {
    method: 'POST',
    body,
    signal,
    headers: { 'content-type': 'application/json', ...headers },
  });
  return { status: r.status, headers: Object.fromEntries(r.headers), text: await r.text() };
}

const request = (fields) =>
  JSON.stringify({
    model: 'default',
    max_tokens: 16,
    temperature: 0, // sampled, an answer of the test model may end at any token
    messages: [{ role: 'user', content: 'What is the capital of France?' }],
    ...fields,
  });

export async function chat(gw, fields = {}, headers = {}, signal) {
  const r = await post(gw, '/v1/chat/completions', request(fields), headers, signal);
  let json = null;
  try {
    json = JSON.parse(r.text);
  } catch {
    /* the test looks at the text then */
  }
  return { ...r, json };
}

// A streamed answer, read to its end and taken apart.
export async function sse(gw, fields = {}, headers = {}) {
  const r = await post(gw, '/v1/chat/completions', request({ stream: true, ...fields }), headers);
  const out = {
    ...r,
    text: '',
    reasoning: '',
    done: false,
    comment: null,
    usage: null,
    error: null,
    finish: null,
    heartbeats: 0,
    raw: r.text,
    chunks: [],
  };
  for (const event of r.text.split('\n\n')) {
    if (event.startsWith(': tollgate ')) out.comment = JSON.parse(event.slice(11));
    else if (event.startsWith(':')) out.heartbeats++;
    else if (event === 'data: [DONE]') out.done = true;
    else if (event.startsWith('data: ')) {
      const chunk = JSON.parse(event.slice(6));
      out.chunks.push(chunk);
      if (chunk.error) out.error = chunk.error;
      if (chunk.usage) out.usage = chunk.usage;
      out.text += chunk.choices?.[0]?.delta?.content ?? '';
      out.finish = chunk.choices?.[0]?.finish_reason ?? out.finish;
    }
  }
  return out;
}

// The row of a request, once it is written.
export const logRow = (gw, headers) =>
  waitFor(
    async () =>
      (
        await rows(
          gw.dataDir,
          'log.db',
          `select * from request where request = '${headers['x-tollgate-request-id']}'`,
        )
      )[0],
  );

export const ledger = async (gw) =>
  (await rows(gw.dataDir, 'ledger.db', 'select * from period order by start desc'))[0];
