// A scriptable OpenAI-compatible provider on loopback, for end-to-end tests.
//
//   import { startMock } from './mock_provider.mjs';
//   const mock = await startMock();            // { port, url, log(), aborts(), control(), stop() }
//   node tests/http/mock_provider.mjs          // prints {"port":N} and serves until it is killed
//
// What it does with a request is chosen by the model's name, NAME or NAME:{"option":value,...}, or
// for every request by POST /control {"behaviour":"NAME", options...} (POST /control {} undoes it):
//
//   answer         whole or streamed, as asked, with usage (the default)
//   usage-absent   the same without usage                  usage-zero    with usage 0 and 0
//   tool-call      calls `call` (get_weather in Paris), or all of `calls`, behind `text` if given
//   reasoning      thinks first
//   refusal        declines in `refusal`, behind `text` if given; its tokens are logprobs.refusal
//   error          HTTP `status` (500) with an OpenAI error body; with `retryAfter` its header,
//                  with `more` those members
//   error-inside   200, then an error object in the stream
//   hang           never answers                           hang-mid      stops after `after` chunks
//   cut            destroys the socket after `after` chunks (0: before the head)
//   no-done        streams everything but [DONE]           no-finish     no finish_reason
//   malformed      a broken JSON chunk                     not-http      no HTTP response at all
//   huge           `bytes` of text, 64 KiB a chunk         slow          `bytes` one at a time
//   redirect       302 to /elsewhere
//
// Where the request has logprobs, text comes with its tokens (each chunk is one, at -0.5) and as
// many alternatives as it asks for (ALT0, ...); bad-logprobs: with a list that is none.
//
// POST /embeddings answers vectors of `dimensions` (4, or what is asked for) floats in the encoding
// that is asked for: [input + 1, 0.5, -0.25, 0.25, ...]. Behaviours there: error, hang, cut,
// malformed, and
//   embed-floats   as numbers, whatever was asked      embed-shuffled  last one first
//   embed-short    one too few                         embed-nan       not a number
//
// or by a function: startMock({ script: (body, entry) => ({ behaviour, options... }) }), which sees
// each request and its entry in the log.
//
// Options: running (false; true: usage so far in each chunk),
// chunks (5), delayMs (0, before each chunk), firstMs (0, before the head), text,
// promptTokens (11), completionTokens (as many as chunks), cachedTokens, after (2), status,
// retryAfter, message, bytes, times (control only: so many requests, then the model's name again).
//
// GET /control/log: { connections, requests: [{ id, time, path, model, behaviour, stream, headers,
// body, ended, aborted }] }: times are milliseconds since 1970 with fractions, null: not (yet).
// connections counts those that asked for an answer. POST /control/clear empties the log.
import http from 'node:http';
import { pathToFileURL } from 'node:url';

const BODY_MAX = 64 << 20;
const defaults = {
  chunks: 5,
  delayMs: 0,
  firstMs: 0,
  promptTokens: 11,
  after: 2,
  status: 500,
  bytes: 4 << 20,
  dimensions: 4,
  call: { name: 'get_weather', arguments: '{"city":"Paris"}' },
};
const now = () => performance.timeOrigin + performance.now();
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

function plan(model, forced) {
  if (forced && forced.behaviour) return { ...defaults, ...forced };
  const colon = String(model).indexOf(':{');
  const name = colon < 0 ? String(model) : model.slice(0, colon);
  const options = colon < 0 ? {} : JSON.parse(model.slice(colon + 1));
  const behaviour = name in behaviours ? name : 'answer';
  return { ...defaults, ...options, behaviour };
}

function pieces(p) {
  if (p.text === undefined) return Array.from({ length: p.chunks }, (_, i) => `word${i} `);
  const n = Math.max(1, p.chunks),
    size = Math.ceil(p.text.length / n) || 1;
  const out = [];
  for (let i = 0; i < p.text.length; i += size) out.push(p.text.slice(i, i + size));
  return out;
}

// The logprobs of one piece of text, or undefined when they were not asked for.
function logprobsOf(x, text) {
  if (!x.ask.logprobs) return undefined;
  if (x.p.behaviour === 'bad-logprobs') return { content: [{ token: text }] };
  const entry = (token, logprob) => ({ token, logprob, bytes: [...Buffer.from(token)] });
  const tops = Array.from({ length: x.ask.top_logprobs ?? 0 }, (_, i) => entry(`ALT${i}`, -1 - i));
  return { content: [{ ...entry(text, -0.5), top_logprobs: tops }], refusal: null };
}

function usageOf(p) {
  if (p.behaviour === 'usage-absent') return undefined;
  const zero = p.behaviour === 'usage-zero';
  const prompt = zero ? 0 : p.promptTokens;
  const completion = zero ? 0 : (p.completionTokens ?? p.chunks);
  const usage = {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
  };
  if (p.cachedTokens !== undefined) usage.prompt_tokens_details = { cached_tokens: p.cachedTokens };
  return usage;
}

class Exchange {
  constructor(p, ask, res, entry) {
    Object.assign(this, { p, ask, res, entry });
    this.base = {
      id: `chatcmpl-mock-${entry.id}`,
      created: Math.floor(now() / 1000),
      model: ask.model,
    };
    this.gone = false;
    res.on('close', () => {
      this.gone = true;
    });
  }
  head() {
    this.res.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
    this.res.flushHeaders();
  }
  async raw(text) {
    if (this.gone) return;
    if (!this.res.write(text))
      await new Promise((done) => {
        this.res.once('drain', done);
        this.res.once('close', done);
      });
  }
  event(members) {
    const value = { ...this.base, object: 'chat.completion.chunk', ...members };
    return this.raw(`data: ${JSON.stringify(value)}\n\n`);
  }
  logprobs({ content, refusal: declined }) {
    const told = content ? logprobsOf(this, content) : undefined;
    const tokens = declined ? logprobsOf(this, declined)?.content : undefined;
    return tokens ? { content: null, ...told, refusal: tokens } : told;
  }
  chunk(delta, finish = null) {
    const logprobs = this.logprobs(delta);
    const choices = [{ index: 0, delta, logprobs, finish_reason: finish }];
    const soFar = { ...this.p, completionTokens: 1 };
    return this.event({ choices, ...(this.p.running && { usage: usageOf(soFar) }) });
  }
  usage() {
    const usage = usageOf(this.p);
    if (!usage || !this.ask.stream_options?.include_usage) return undefined;
    return this.event({ choices: [], usage });
  }
  done() {
    return this.raw('data: [DONE]\n\n');
  }
  json(status, value, headers = {}) {
    const text = JSON.stringify(value);
    this.res.writeHead(status, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(text),
      ...headers,
    });
    this.res.end(text);
  }
  whole(message, finish) {
    const logprobs = this.logprobs(message);
    this.json(200, {
      ...this.base,
      object: 'chat.completion',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', ...message },
          logprobs,
          finish_reason: finish,
        },
      ],
      usage: usageOf(this.p),
    });
  }
  // The text in chunks; stop(i) true: break off before chunk i. False when broken off.
  async texts(stop = () => false) {
    this.head();
    await this.chunk({ role: 'assistant', content: '' });
    for (const [i, piece] of pieces(this.p).entries()) {
      if (this.gone || stop(i)) return false;
      if (this.p.delayMs) await sleep(this.p.delayMs);
      await this.chunk({ content: piece });
    }
    return true;
  }
}

async function answer(x) {
  if (!x.ask.stream) return x.whole({ content: pieces(x.p).join('') }, 'stop');
  if (!(await x.texts())) return undefined;
  await x.chunk({}, 'stop');
  await x.usage();
  await x.done();
  return x.res.end();
}

async function toolCall(x) {
  const calls = (x.p.calls ?? [x.p.call]).map((f, i) => ({
    id: i ? `call_mock_${i}` : 'call_mock',
    type: 'function',
    function: f,
  }));
  const { text = null } = x.p;
  if (!x.ask.stream) return x.whole({ content: text, tool_calls: calls }, 'tool_calls');
  x.head();
  for (const content of text === null ? [] : pieces(x.p)) await x.chunk({ content });
  for (const [index, { function: f, ...call }] of calls.entries()) {
    const half = f.arguments.indexOf(':') + 1;
    const begun = { index, ...call, function: { name: f.name, arguments: '' } };
    await x.chunk({ ...(!index && { role: 'assistant' }), tool_calls: [begun] });
    for (const part of [f.arguments.slice(0, half), f.arguments.slice(half)]) {
      if (x.p.delayMs) await sleep(x.p.delayMs);
      await x.chunk({ tool_calls: [{ index, function: { arguments: part } }] });
    }
  }
  await x.chunk({}, 'tool_calls');
  await x.usage();
  await x.done();
  return x.res.end();
}

async function reasoning(x) {
  if (!x.ask.stream)
    return x.whole({ reasoning_content: 'Let me think.', content: pieces(x.p).join('') }, 'stop');
  x.head();
  await x.chunk({ role: 'assistant', reasoning_content: 'Let me ' });
  await x.chunk({ reasoning_content: 'think.' });
  for (const piece of pieces(x.p)) await x.chunk({ content: piece });
  await x.chunk({}, 'stop');
  await x.usage();
  await x.done();
  return x.res.end();
}

async function refusal(x) {
  const said = x.p.text === undefined ? [] : pieces(x.p);
  const declined = ['I cannot ', 'help with "that".'];
  const whole = { content: said.join('') || null, refusal: declined.join('') };
  if (!x.ask.stream) return x.whole(whole, 'stop');
  x.head();
  await x.chunk({ role: 'assistant', content: '', refusal: null });
  for (const content of said) await x.chunk({ content });
  for (const piece of declined) await x.chunk({ refusal: piece });
  await x.chunk({}, 'stop');
  await x.usage();
  await x.done();
  return x.res.end();
}

function error(x) {
  const { status, retryAfter, message = `mock error ${x.p.status}`, more } = x.p;
  const headers = retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) };
  const error = { message, type: 'mock_error', param: null, code: null, ...more };
  x.json(status, { error }, headers);
}

async function errorInside(x) {
  const value = { error: { message: x.p.message ?? 'mock error inside', code: x.p.status } };
  if (!x.ask.stream) return x.json(200, value);
  x.head();
  for (let i = 0; i < x.p.after; i++) await x.chunk({ content: `word${i} ` });
  await x.raw(`data: ${JSON.stringify(value)}\n\n`);
  return x.res.end();
}

async function cut(x) {
  if (x.p.after > 0 && x.ask.stream) await x.texts((i) => i >= x.p.after);
  if (x.p.after > 0 && !x.ask.stream) {
    x.res.writeHead(200, { 'content-type': 'application/json', 'content-length': 1000 });
    await x.raw('{"choices":[');
  }
  await sleep(10); // let it leave before the reset
  x.res.socket?.destroy();
}

async function noDone(x) {
  if (!x.ask.stream) return answer(x);
  await x.texts();
  await x.chunk({}, 'stop');
  await x.usage();
  return x.res.end();
}

async function noFinish(x) {
  if (!x.ask.stream) return x.whole({ content: pieces(x.p).join('') }, null);
  await x.texts();
  await x.done();
  return x.res.end();
}

async function malformed(x) {
  if (!x.ask.stream) {
    x.res.writeHead(200, { 'content-type': 'application/json' });
    return x.res.end('{"choices":[{"message"');
  }
  x.head();
  for (let i = 0; i < x.p.after; i++) await x.chunk({ content: `word${i} ` });
  await x.raw('data: {"choices":[{"delta"\n\n');
  return x.res.end();
}

function notHttp(x) {
  x.res.socket.write('this is not HTTP\r\n\r\n');
  x.res.socket.end();
}

async function huge(x) {
  const piece = 'x'.repeat(65536);
  const times = Math.ceil(x.p.bytes / piece.length);
  if (!x.ask.stream) return x.whole({ content: piece.repeat(times) }, 'stop');
  x.head();
  for (let i = 0; i < times && !x.gone; i++) await x.chunk({ content: piece });
  await x.chunk({}, 'stop');
  await x.usage();
  await x.done();
  return x.res.end();
}

async function slow(x) {
  const text = 'data: {"choices":[{"index":0,"delta":{"content":"slow "}}]}\n\n';
  x.head();
  for (let i = 0; i < x.p.bytes && !x.gone; i++) {
    await x.raw(text[i % text.length]);
    await sleep(x.p.delayMs || 5);
  }
  x.res.end();
}

async function hangMid(x) {
  if (x.ask.stream) await x.texts((i) => i >= x.p.after);
  else x.res.writeHead(200, { 'content-type': 'application/json' }).write('{"choices":');
}

// POST /embeddings
function embed(x) {
  const { ask, p } = x;
  const inputs =
    typeof ask.input === 'string' || typeof ask.input[0] === 'number' ? [ask.input] : ask.input;
  const n = ask.dimensions ?? p.dimensions;
  let data = inputs.map((_, index) => {
    const floats = Array.from({ length: n }, (__, i) => [index + 1, 0.5, -0.25, 0.25][i % 4]);
    if (p.behaviour === 'embed-nan') floats[1] = NaN;
    const bytes = Buffer.from(new Float32Array(floats).buffer);
    const plain = p.behaviour === 'embed-floats' || ask.encoding_format !== 'base64';
    return { object: 'embedding', index, embedding: plain ? floats : bytes.toString('base64') };
  });
  if (p.behaviour === 'embed-shuffled') data.reverse();
  if (p.behaviour === 'embed-short') data = data.slice(1);
  const usage = { prompt_tokens: p.promptTokens, total_tokens: p.promptTokens };
  x.json(200, { object: 'list', data, model: ask.model, usage });
}

const behaviours = {
  answer,
  reasoning,
  refusal,
  error,
  cut,
  malformed,
  huge,
  slow,
  'bad-logprobs': answer,
  embed,
  'embed-floats': embed,
  'embed-shuffled': embed,
  'embed-short': embed,
  'embed-nan': embed,
  'usage-absent': answer,
  'usage-zero': answer,
  'tool-call': toolCall,
  'error-inside': errorInside,
  hang: () => {},
  'hang-mid': hangMid,
  'no-done': noDone,
  'no-finish': noFinish,
  'not-http': notHttp,
  redirect: (x) => x.res.writeHead(302, { location: '/elsewhere', 'content-length': 0 }).end(),
};

async function readBody(req) {
  const parts = [];
  let n = 0;
  for await (const part of req) {
    n += part.length;
    if (n > BODY_MAX) throw new Error('body too large for the mock');
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}

class Mock {
  constructor(script) {
    this.script = script;
    this.requests = [];
    this.connections = 0;
    this.forced = null;
    this.sockets = new Set();
    this.server = http.createServer((req, res) => {
      this.serve(req, res).catch((cause) => {
        if (!res.headersSent) res.writeHead(400).end(String(cause));
        else res.destroy();
      });
    });
    this.server.keepAliveTimeout = 60000;
    this.server.on('connection', (socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
      socket.on('error', () => {});
    });
  }
  report() {
    return { connections: this.connections, requests: this.requests };
  }
  force(options) {
    if (options.behaviour && !(options.behaviour in behaviours))
      throw new Error(`unknown behaviour ${options.behaviour}`);
    this.forced = options.behaviour ? { ...options } : null;
  }
  clear() {
    this.requests = [];
    this.connections = 0;
    for (const socket of this.sockets) socket.counted = false;
  }
  take() {
    const forced = this.forced;
    if (forced?.times !== undefined && --forced.times <= 0) this.forced = null;
    return forced;
  }
  async control(req, res) {
    const json = (value) =>
      res.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
    if (req.method === 'GET' && req.url === '/control/log') return json(this.report());
    if (req.method === 'POST' && req.url === '/control/clear') return json(this.clear() ?? {});
    if (req.method === 'POST' && req.url === '/control')
      return json(this.force(JSON.parse((await readBody(req)) || '{}')) ?? {});
    return res.writeHead(404).end();
  }
  async serve(req, res) {
    if (req.url.startsWith('/control')) return this.control(req, res);
    if (!req.socket.counted) {
      // by what was asked on it: control does not count
      req.socket.counted = true;
      this.connections++;
    }
    const entry = {
      id: this.requests.length + 1,
      time: now(),
      path: req.url,
      headers: req.headers,
      ended: null,
      aborted: null,
    };
    this.requests.push(entry);
    res.on('close', () => {
      if (res.writableFinished) entry.ended = now();
      else entry.aborted = now();
    });
    const text = await readBody(req);
    const embeds = req.url.endsWith('/embeddings');
    if (req.method !== 'POST' || !(embeds || req.url.endsWith('/chat/completions')))
      return res
        .writeHead(404, { 'content-type': 'application/json' })
        .end('{"error":{"message":"not found"}}');
    const ask = JSON.parse(text);
    const p = plan(ask.model, this.take() ?? this.script?.(ask, entry));
    Object.assign(entry, {
      model: ask.model,
      behaviour: p.behaviour,
      stream: Boolean(ask.stream),
      body: ask,
    });
    if (p.firstMs) await sleep(p.firstMs);
    const does = embeds && p.behaviour === 'answer' ? embed : behaviours[p.behaviour];
    return does(new Exchange(p, ask, res, entry));
  }
}

// port: 0 takes a free one. The base URL to configure is url + '/v1'.
export async function startMock({ port = 0, behaviour, script, ...options } = {}) {
  const mock = new Mock(script);
  if (behaviour) mock.force({ behaviour, ...options });
  await new Promise((done, failed) => {
    mock.server.once('error', failed);
    mock.server.listen(port, '127.0.0.1', done);
  });
  const bound = mock.server.address().port;
  return {
    port: bound,
    url: `http://127.0.0.1:${bound}`,
    control: (value) => mock.force(value ?? {}),
    clear: () => mock.clear(),
    log: () => mock.report(),
    aborts: () => mock.requests.filter((r) => r.aborted !== null),
    stop: () =>
      new Promise((done) => {
        mock.server.close(() => done());
        for (const socket of mock.sockets) socket.destroy();
      }),
  };
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const mock = await startMock();
  console.log(JSON.stringify({ port: mock.port, url: mock.url }));
  const end = () => mock.stop().then(() => process.exit(0));
  process.on('SIGTERM', end);
  process.on('SIGINT', end);
}
