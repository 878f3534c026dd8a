// A cloud provider that knows the right answers of a set and gives them at a given accuracy, with
// the price and the pace of a small cloud model. Everything about an answer depends on seed and
// prompt alone, so it is the same in every run, whole or streamed.
import { startMock } from '../http/mock_provider.mjs';
import { answerOf, right } from './judge.mjs';
import { chance, keyOf } from './set.mjs';

export const CLOUD_MODEL = 'mock-cloud';
// Dollars a million tokens, as gpt-4o-mini's.
export const CLOUD_PRICES = { input: '$0.15', output: '$0.60' };

const BASE_MS = 350; // to the first token
const TOKEN_MS = 12;
const JITTER = 0.4; // +- of both
const CHUNKS_MAX = 24;

// About four characters a token, as English has, and a few for each message's frame.
const tokens = (text) => Math.max(1, Math.ceil(text.length / 4));
const promptTokens = (item) =>
  item.messages.reduce((sum, m) => sum + 4 + tokens(m.content ?? ''), 3) +
  (item.tools ? tokens(JSON.stringify(item.tools)) : 0);

// A wrong answer that looks like one: another prompt's of the same level, else of the same family,
// and kind (text or call), the first by chance that is wrong here.
function wrongAnswer(item, items, seed) {
  const alike = items.filter((o) => o.family === item.family && !o.call === !item.call);
  const ranked = alike
    .map((o) => ({
      answer: answerOf(o),
      at: chance(seed, `${item.key}\n${o.key}`) + (o.level === item.level ? 0 : 1),
    }))
    .sort((a, b) => a.at - b.at);
  const found = ranked.find((o) => !right(item, o.answer));
  return found ? found.answer : { content: 'I am not sure about that.' };
}

// What the cloud answers to each item: Map from key to { item, message, right }.
export function cloudAnswers(items, { accuracy = 0.95, seed = 1 } = {}) {
  return new Map(
    items.map((item) => {
      const knows = chance(`${seed}/accuracy`, item.key) < accuracy;
      const message = knows ? answerOf(item) : wrongAnswer(item, items, seed);
      return [item.key, { item, message, right: right(item, message) }];
    }),
  );
}

// The mock's options for one answer. scale: of all times; 0 answers at once.
function script({ item, message }, seed, scale) {
  const call = message.tool_calls?.[0].function;
  const text = call ? call.name + call.arguments : message.content;
  const n = tokens(text) + (call ? 6 : 0);
  const pace = (what) => 1 + JITTER * (2 * chance(`${seed}/${what}`, item.key) - 1);
  const chunks = call ? 2 : Math.min(CHUNKS_MAX, n);
  const first = BASE_MS * pace('base'),
    rest = n * TOKEN_MS * pace('token');
  return {
    behaviour: call ? 'tool-call' : 'answer',
    ...(call ? { call } : { text }),
    chunks,
    promptTokens: promptTokens(item),
    completionTokens: n,
    times: { first: first * scale, rest: rest * scale },
  };
}

// What one answer costs, in dollars: its tokens by CLOUD_PRICES.
function owed(answer) {
  const { promptTokens, completionTokens } = script(answer, 1, 0);
  const dollars = (price) => Number(price.slice(1)) / 1e6;
  return (
    promptTokens * dollars(CLOUD_PRICES.input) + completionTokens * dollars(CLOUD_PRICES.output)
  );
}

// A mock provider (see mock_provider.mjs) with, beside what that has, .arrivals(): a Map from the
// items' ids to when they were last asked for (ms since 1970), .forget(), and .owed(item): dollars.
export async function startCloud(items, { accuracy, seed = 1, scale = 1 } = {}) {
  const known = cloudAnswers(items, { accuracy, seed });
  let arrivals = new Map();
  const mock = await startMock({
    script: (body, entry) => {
      const answer = known.get(keyOf(body));
      if (!answer) return { behaviour: 'error', status: 400, message: 'not a prompt of the set' };
      arrivals.set(answer.item.id, entry.time);
      const { times, ...options } = script(answer, seed, scale);
      // Streamed, the tokens come one after the other; whole, all of them at the end.
      return body.stream
        ? { ...options, firstMs: times.first, delayMs: times.rest / options.chunks }
        : { ...options, firstMs: times.first + times.rest };
    },
  });
  mock.owed = (item) => owed(known.get(item.key));
  mock.arrivals = () => arrivals;
  mock.forget = () => {
    arrivals = new Map();
    mock.clear();
  };
  return mock;
}
