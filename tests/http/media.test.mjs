// Images, audio and video: they reach a provider byte for byte in every dialect, have limits, are
// refused by the local model in the dialect's words, and are fetched only where that is allowed.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { request, startGateway, waitFor } from './lib.mjs';
import { startMock } from './mock_provider.mjs';
import { answerCost, hybridConfig, ledger, png, prices } from './support.mjs';

const bytes = Buffer.from(png, 'base64');
const large = Buffer.concat([bytes, Buffer.alloc(900 << 10, 0xa5)]);
const wav = Buffer.from('RIFF\x24\0\0\0WAVEfmt ', 'latin1').toString('base64');
const dataUrl = (data) => `data:image/png;base64,${data}`;

const user = (content) => ({
  model: 'default',
  max_tokens: 8,
  messages: [{ role: 'user', content }],
});
const see = (part) => user([{ type: 'text', text: 'see' }, part]);

// One image with a question, as each dialect writes it; url: its URL instead of its bytes.
const dialects = {
  openai: {
    path: '/v1/chat/completions',
    body: (data, url) => see({ type: 'image_url', image_url: { url: url ?? dataUrl(data) } }),
    place: 'messages[0].content[1]',
    text: (json) => json.error.message,
  },
  anthropic: {
    path: '/v1/messages',
    body: (data, url) =>
      see({
        type: 'image',
        source: url ? { type: 'url', url } : { type: 'base64', media_type: 'image/png', data },
      }),
    place: 'messages[0].content[1]',
    text: (json) => json.error.message,
  },
  ollama: {
    path: '/api/chat',
    body: (data) => ({
      model: 'default',
      stream: false,
      options: { num_predict: 8 },
      messages: [{ role: 'user', content: 'see', images: [data] }],
    }),
    place: 'messages[0].images[0]',
    text: (json) => json.error,
  },
};

let mock;
let pictures; // a host of images: { port, url(path), seen, gone }
before(async () => {
  mock = await startMock();
  pictures = await startPictures();
});
after(async () => {
  await mock.stop();
  pictures.server.closeAllConnections();
  pictures.server.close();
});

async function startPictures() {
  const state = { seen: [], gone: 0 };
  const image = { 'content-type': 'image/png' };
  state.server = http.createServer((ask, res) => {
    state.seen.push(ask.url);
    const [, what, argument] = ask.url.split('/');
    if (what === 'png') res.writeHead(200, image).end(bytes);
    else if (what === 'html') res.writeHead(200, { 'content-type': 'text/html' }).end('<b>');
    else if (what === 'lies') res.writeHead(200, image).end('<b>not at all</b>');
    else if (what === 'to')
      res.writeHead(302, { location: decodeURIComponent(argument) }).end();
    else if (what === 'huge') {
      res.writeHead(200, image);
      const more = () => {
        while (!res.destroyed && res.write(large));
        if (!res.destroyed) res.once('drain', more);
      };
      more();
    } else if (what === 'slow') {
      res.writeHead(200, image);
      const timer = setInterval(() => res.write('x'), 20);
      res.on('close', () => {
        clearInterval(timer);
        state.gone++;
      });
    } else res.writeHead(404).end();
  });
  await new Promise((done) => state.server.listen(0, '127.0.0.1', done));
  state.port = state.server.address().port;
  state.url = (path) => `http://127.0.0.1:${state.port}${path}`;
  return state;
}

const serve = (top = {}, more = {}) =>
  startGateway({ config: hybridConfig(mock, { top, ...more }) });
const fetching = (fetch, more) =>
  serve(
    {
      media: {
        fetch: { hosts: [`127.0.0.1:${pictures.port}`], allowPrivate: true, ...fetch },
      },
    },
    more,
  );
const send = (gw, dialect, body, headers = {}) =>
  request(gw.port, { method: 'POST', path: dialect.path, body, headers });
const newest = async () => (await mock.log()).requests.at(-1);
const sentImage = async () => {
  const parts = (await newest()).body.messages.at(-1).content;
  return parts.find((p) => p.type === 'image_url').image_url.url;
};

test('an image reaches the provider byte for byte, in every dialect', async () => {
  const gw = await serve();
  for (const [name, dialect] of Object.entries(dialects)) {
    for (const image of [bytes, large]) {
      const text = image.toString('base64');
      for (const data of [text, text.replace(/=+$/, ''), text.replace(/.{76}/g, '$&\r\n')]) {
        const r = await send(gw, dialect, dialect.body(data));
        assert.equal(r.status, 200, `${name}: ${r.text}`);
        assert.equal(await sentImage(), dataUrl(text), name);
      }
    }
  }
  const audio = { type: 'input_audio', input_audio: { data: wav, format: 'wav' } };
  const { openai } = dialects;
  const r = await send(gw, openai, user([audio]));
  assert.equal(r.status, 200, r.text);
  assert.deepEqual((await newest()).body.messages[0].content, [audio]);
  await gw.stop();
});

test('limits and bad media are refused by the field', async () => {
  const media = { part: '1KiB', total: '1KiB', parts: 2 };
  const gw = await serve({ limits: { media } });
  const jpeg = Buffer.from('\xff\xd8\xff\xe0', 'latin1').toString('base64');
  for (const dialect of Object.values(dialects)) {
    const before = (await mock.log()).requests.length;
    const tooBig = await send(gw, dialect, dialect.body(large.toString('base64')));
    assert.equal(tooBig.status, 400);
    const said = dialect.text(tooBig.json);
    assert.ok(said.startsWith(`${dialect.place}: the image has ${large.length} bytes`), said);
    assert.match(said, /at most 1024 are taken \(limits.media.part\)/);
    const broken = await send(gw, dialect, dialect.body('!!'));
    assert.equal(broken.status, 400);
    assert.match(dialect.text(broken.json), /must be base64/);
    const other = dialect === dialects.ollama ? 'AAAA' : jpeg;
    const unfit = await send(gw, dialect, dialect.body(other));
    assert.equal(unfit.status, 400);
    assert.match(dialect.text(unfit.json), /first bytes are those of image\/jpeg|none of: png/);
    assert.equal((await mock.log()).requests.length, before);
  }
  const { ollama } = dialects;
  const many = ollama.body(png);
  many.messages[0].images = [png, png, png];
  const r = await send(gw, ollama, many);
  assert.match(r.json.error, /^messages\[0\]\.images\[2\]: the request has more than 2 images/);
  await gw.stop();
});

test('the local model refuses in the words of each dialect', async () => {
  const gw = await serve();
  const local = { 'x-tollgate-local-only': 'true' };
  for (const dialect of Object.values(dialects)) {
    const r = await send(gw, dialect, dialect.body(png), local);
    assert.equal(r.status, 400);
    assert.equal(
      dialect.text(r.json),
      `${dialect.place}: the local model of this version takes no images`,
    );
  }
  const video = { type: 'video_url', video_url: { url: 'https://h.example/v.mp4' } };
  const { openai } = dialects;
  const r = await send(gw, openai, user([video]));
  assert.equal(r.status, 400);
  assert.equal(r.json.error.message, 'messages[0].content[0]: provider mock takes no video');
  await gw.stop();
});

test('a URL is passed on and not opened, as long as fetching is off', async () => {
  const gw = await serve();
  const url = pictures.url('/png');
  const seen = pictures.seen.length;
  for (const dialect of [dialects.openai, dialects.anthropic]) {
    const r = await send(gw, dialect, dialect.body(null, url));
    assert.equal(r.status, 200, r.text);
    assert.equal(await sentImage(), url);
    const local = await send(gw, dialect, dialect.body(null, url), {
      'x-tollgate-local-only': 'true',
    });
    assert.equal(local.status, 400);
  }
  assert.equal(pictures.seen.length, seen);
  await gw.stop();
});

test('a URL of an allowed host is fetched, redirects too', async () => {
  const gw = await fetching();
  assert.ok(gw.log().some((e) => e.event === 'fetch-private' && e.level === 'warn'));
  for (const dialect of [dialects.openai, dialects.anthropic])
    for (const path of ['/png', '/to/%2Fpng', `/to/${encodeURIComponent(pictures.url('/png'))}`]) {
      const r = await send(gw, dialect, dialect.body(null, pictures.url(path)));
      assert.equal(r.status, 200, r.text);
      assert.equal(await sentImage(), dataUrl(png));
    }
  await gw.stop();
});

test('what may not be fetched is refused at its part', async () => {
  const gw = await fetching({ maxBytes: '1MiB', timeout: '300ms', redirects: 1 });
  const loop = `/to/${encodeURIComponent('/to/%2Fpng')}`;
  const other = `http://localhost:${pictures.port}/png`;
  const inner = `/to/${encodeURIComponent('http://169.254.169.254/latest/meta-data/')}`;
  const before = (await mock.log()).requests.length;
  for (const [url, says] of [
    [other, /localhost, port \d+, is not among the hosts/],
    [pictures.url(inner), /redirects, and 169.254.169.254, port 80, is not among the hosts/],
    [pictures.url(`/to/${encodeURIComponent(other)}`), /redirects, and localhost/],
    [pictures.url('/to/file%3A%2F%2F%2Fetc%2Fpasswd'), /malformed/],
    [pictures.url(loop), /redirects more than 1 times/],
    [pictures.url('/missing'), /answered 404/],
    [pictures.url('/html'), /says that it is "text\/html"/],
    [pictures.url('/lies'), /first bytes are not those of image\/png/],
    [pictures.url('/huge'), /larger than 1048576 bytes/],
    [pictures.url('/slow'), /in time|too long/],
  ]) {
    const { openai } = dialects;
    const r = await send(gw, openai, openai.body(null, url));
    assert.equal(r.status, 400, r.text);
    assert.match(r.json.error.message, /^messages\[0\]\.content\[1\]: the image cannot be fet/);
    assert.match(r.json.error.message, says);
    assert.equal(r.json.error.param, 'messages[0].content[1]');
  }
  const anthropic = dialects.anthropic;
  const r = await send(gw, anthropic, anthropic.body(null, other));
  assert.equal(r.json.error.type, 'invalid_request_error');
  assert.match(r.json.error.message, /^messages\[0\]\.content\[1\]: /);
  assert.equal((await mock.log()).requests.length, before);
  await gw.stop();
});

test('private addresses are not reached, whatever their name or the proxy', async () => {
  const hosts = [`127.0.0.1:${pictures.port}`, `localhost:${pictures.port}`];
  const gw = await startGateway({
    config: hybridConfig(mock, { top: { media: { fetch: { hosts } } } }),
    env: { http_proxy: pictures.url(''), ALL_PROXY: pictures.url('') },
  });
  const seen = pictures.seen.length;
  for (const host of ['127.0.0.1', 'localhost', '0x7f.0.0.1', '2130706433']) {
    const { openai } = dialects;
    const url = `http://${host}:${pictures.port}/png`;
    const r = await send(gw, openai, openai.body(null, url));
    assert.equal(r.status, 400);
    assert.match(r.json.error.message, /no address on the public internet/);
  }
  assert.equal(pictures.seen.length, seen);
  await gw.stop();
});

test('a local-only request fetches nothing', async () => {
  const gw = await fetching();
  const seen = pictures.seen.length;
  const { openai } = dialects;
  const body = openai.body(null, pictures.url('/png'));
  for (const r of [
    await send(gw, openai, body, { 'x-tollgate-local-only': 'true' }),
    await send(gw, openai, { ...body, model: 'local' }),
  ]) {
    assert.equal(r.status, 400);
    assert.match(r.json.error.message, /stays on this machine fetches nothing/);
  }
  assert.equal(pictures.seen.length, seen);
  await gw.stop();
});

test('a client that goes ends its fetch', async () => {
  const gw = await fetching({ timeout: '60s' });
  const { openai } = dialects;
  const { gone } = pictures;
  const seen = pictures.seen.length;
  const abort = new AbortController();
  const asked = request(gw.port, {
    method: 'POST',
    path: openai.path,
    body: openai.body(null, pictures.url('/slow')),
    signal: abort.signal,
  }).catch((cause) => cause);
  await waitFor(() => pictures.seen.length > seen);
  abort.abort();
  await asked;
  await waitFor(() => pictures.gone === gone + 1, { ms: 1000 });
  await gw.stop();
});

test('a budget bounds an image by the table; what is not in it is not paid for', async () => {
  const gw = await serve({}, { budget: '$1/month' });
  const { openai } = dialects;
  const body = openai.body(png);
  const r = await send(gw, openai, body);
  assert.equal(r.status, 200, r.text);
  // 3 bytes of text, 8 tokens of the message, 8 of the request, 100 of the image; 8 of answer
  const most = (3 + 8 + 8 + prices.tokensPerImage) * 1000 + 8 * 2000;
  assert.equal(Number(r.headers['x-tollgate-cost-usd']), answerCost / 1e9);
  const poor = await serve({}, { budget: `$${(most - 1) / 1e9}/month` });
  const refused = await send(poor, openai, body);
  assert.equal(refused.status, 429, refused.text);
  assert.match(refused.json.error.message, /may cost up to \$0\.000135/);
  const audio = { type: 'input_audio', input_audio: { data: wav, format: 'wav' } };
  const heard = await send(gw, openai, user([audio]));
  assert.equal(heard.status, 400, heard.text);
  assert.match(heard.json.error.message, /takes no audio/);
  await waitFor(async () => (await ledger(gw)).spent_nano === answerCost);
  await Promise.all([gw.stop(), poor.stop()]);
});
