// A prompt that is too long, of the local model and of a provider's: each dialect says so in the
// words by which its clients know it. The phrases are theirs, so each stands here as it is.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startGateway } from './lib.mjs';
import { startMock } from './mock_provider.mjs';
import { hybridConfig, post } from './support.mjs';

let mock, gw;
before(async () => {
  mock = await startMock();
  gw = await startGateway({ config: hybridConfig(mock, { trigger: 'confidence < 0' }) });
});
after(async () => {
  await gw?.stop();
  await mock.stop();
});

const said = (content) => ({ messages: [{ role: 'user', content }] });
const dialects = {
  chat: ['/v1/chat/completions', said, 'messages'],
  text: ['/v1/completions', (prompt) => ({ prompt }), 'prompt'],
  responses: ['/v1/responses', (input) => ({ input }), 'input'],
  anthropic: ['/v1/messages', (content) => ({ max_tokens: 9, ...said(content) })],
  ollama: ['/api/chat', (content) => ({ stream: false, ...said(content) })],
};

async function ask(dialect, model, text) {
  const [path, body] = dialects[dialect];
  const r = await post(gw, path, JSON.stringify({ model, ...body(text) }));
  return { ...r, json: JSON.parse(r.text) };
}

test('the local model: the phrase, both numbers and the remedy', async () => {
  const long = 'abcdefgh '.repeat(700); // of 2048 tokens: tokenised; the next is refused unread
  for (const [text, least] of [[long, ''], ['z '.repeat(50000), 'at least ']])
    for (const name of Object.keys(dialects)) {
      const r = await ask(name, 'local', text);
      assert.equal(r.status, 400, r.text);
      const { error } = r.json;
      const message = error.message ?? error;
      assert.match(message, /shorten the prompt, name a model with a larger context/, name);
      if (name === 'anthropic') {
        assert.equal(error.type, 'invalid_request_error');
        const [, has, most] = /^prompt is too long: (\d+) tokens > (\d+) maximum/.exec(message);
        assert.ok(+has > +most && +most === 2047, message);
      } else if (name === 'ollama') {
        assert.match(message, /^prompt too long; exceeded max context length by \d+ tokens/);
      } else {
        const known = 'exceeds the context window: this model\'s maximum context length is 2048';
        assert.ok(message.includes(`${known} tokens, and the input has ${least}`), message);
        const { type, code, param } = error;
        assert.deepEqual(
          [type, code, param],
          ['invalid_request_error', 'context_length_exceeded', dialects[name][2]],
        );
      }
    }
});

test('a provider: its code and the phrase, whatever it calls it', async () => {
  const message = 'the request exceeds the available context size';
  const code = 'context_length_exceeded';
  for (const [status, more] of [
    [400, { code, param: 'messages', type: 'invalid_request_error', message: 'too much' }],
    [400, { type: 'exceed_context_size_error', code: 400, n_prompt_tokens: 5000, n_ctx: 4096 }],
    [500, {}],
  ])
    for (const name of Object.keys(dialects)) {
      mock.control({ behaviour: 'error', status, message, more, times: 1 });
      const r = await ask(name, 'mock/anything', 'hello');
      assert.equal(r.status, 400, r.text);
      const { error } = r.json;
      const told = error.message ?? error;
      const theirs = more.message ?? message;
      assert.ok(told.endsWith(`: mock/anything answered ${status}: ${theirs}`), told);
      if (name === 'anthropic') {
        assert.equal(error.type, 'invalid_request_error');
        const numbers = more.n_ctx ? ': 5000 tokens > 4095 maximum' : '';
        assert.ok(told.startsWith(`prompt is too long${numbers}: mock`), told);
      } else if (name === 'ollama') {
        assert.match(told, /^prompt too long; exceeded max context length/);
      } else {
        assert.match(told, /^the input exceeds the context window/);
        assert.deepEqual(
          [error.type, error.code, error.param],
          ['invalid_request_error', code, dialects[name][2]],
        );
      }
    }
});

test('what else a provider refuses keeps its words for programs', async () => {
  const refusal = { type: 'odd_error', code: 'string_above_max_length', param: 'tools[0].name' };
  const told = async (status, more) => {
    mock.control({ behaviour: 'error', status, more, times: 1 });
    const { status: got, json } = await ask('chat', 'mock/anything', 'hello');
    return [got, json.error.type, json.error.code, json.error.param];
  };
  assert.deepEqual(await told(422, refusal), [400, ...Object.values(refusal)]);
  const missing = { type: 'x', code: 'model_not_found' };
  assert.deepEqual(await told(404, missing), [404, 'x', 'model_not_found', null]);
  const odd = { type: 'Not A Word', code: 'http://inside:80/', param: 'x'.repeat(65) };
  assert.deepEqual(await told(400, odd), [400, 'invalid_request_error', null, null]);
  assert.deepEqual(await told(403, refusal), [502, 'upstream_error', 'status', null]);
  assert.deepEqual(await told(429, refusal), [429, 'upstream_error', 'rate_limit_exceeded', null]);
});
