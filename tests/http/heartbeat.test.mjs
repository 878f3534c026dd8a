// Heartbeats of streams that wait before anybody is asked: for a slot of the log, and for media
// that are fetched. Those behind the first call of a backend are tested with their dialects.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { rawRequest, rawSocket, readSse, request, sleep, startGateway, waitFor } from './lib.mjs';
import { startMock } from './mock_provider.mjs';
import { chat, hybridConfig, logRow, png, sse } from './support.mjs';

const words = 'word0 word1 word2 word3 word4 ';
const messages = [{ role: 'user', content: 'x' }];
const heartbeat = '100ms';
let mock;
let pictures; // answers /KIND/MS after so long: png with an image, missing with 404
before(async () => {
  mock = await startMock();
  pictures = http.createServer(async (ask, res) => {
    const [, kind, ms] = ask.url.split('/');
    await sleep(Number(ms));
    if (kind === 'png') res.writeHead(200, { 'content-type': 'image/png' });
    else res.writeHead(404);
    res.end(Buffer.from(png, 'base64'));
  });
  await new Promise((done) => pictures.listen(0, '127.0.0.1', done));
});
after(async () => {
  await mock.stop();
  pictures.closeAllConnections();
  pictures.close();
});

// A stream of Anthropic's dialect.
async function anthropic(gw, content) {
  const body = {
    model: 'mock/answer',
    max_tokens: 9,
    stream: true,
    messages: [{ role: 'user', content }],
  };
  const r = await request(gw.port, { method: 'POST', path: '/v1/messages', body });
  const { events } = readSse(r.text);
  const of = (name) => events.filter((e) => e.event === name);
  return {
    ...r,
    pings: events.findIndex((e) => e.event !== 'ping'), // in front of all else
    text: of('content_block_delta').map((e) => e.json.delta.text).join(''),
    stopped: of('message_stop').length === 1,
    error: of('error')[0]?.json.error,
  };
}

// Two requests may be under way, and more connections are there, from before a reload. What comes
// to gw.port goes on one of these, until gw.shut.
async function startNarrow() {
  const config = (connections) =>
    hybridConfig(mock, { trigger: 'turns > 0', top: { heartbeat, limits: { connections } } });
  const gw = await startGateway({ config: config(40) });
  const made = Array.from({ length: 20 }, () => net.connect(gw.port, '127.0.0.1'));
  await gw.get('/healthz'); // accepted behind them
  const text = JSON.parse(readFileSync(gw.configFile));
  writeFileSync(gw.configFile, JSON.stringify({ ...text, ...config(2), listen: text.listen }));
  gw.signal('SIGHUP');
  await waitFor(() => gw.log().some((e) => e.event === 'reloaded'));
  let used = 0;
  const door = net.createServer((client) => {
    const server = made[used++];
    client.pipe(server).pipe(client);
    client.on('error', () => {}).on('close', () => server.destroy());
    server.on('error', () => {}).on('close', () => client.destroy());
  });
  await new Promise((done) => door.listen(0, '127.0.0.1', done));
  const { port, url } = gw;
  gw.port = door.address().port;
  gw.url = `http://127.0.0.1:${gw.port}`;
  gw.shut = () => {
    Object.assign(gw, { port, url });
    for (const socket of made) socket.destroy();
    door.close();
  };
  gw.busy = [];
  for (let i = 0; i < 2; i++) {
    const raw = await rawSocket(gw.port);
    await raw.send(rawRequest({ model: 'mock/hang', messages, stream: true }));
    await raw.until(': heartbeat');
    gw.busy.push(raw);
  }
  return gw;
}

test('a stream that waits for a slot gets them, then its answer', async () => {
  const gw = await startNarrow();
  const waiting = [
    sse(gw, { model: 'mock/answer', messages }),
    anthropic(gw, 'x'),
    chat(gw, { model: 'mock/answer', messages }),
    sse(gw, { model: 'mock/answer', messages: [{ role: 'user', content: 'x'.repeat(20000) }] }),
  ];
  const beats = await rawSocket(gw.port);
  await beats.send(rawRequest({ messages, stream: true }));
  await beats.until(/^HTTP\/1.1 200 (.|\r\n)*: heartbeat(.|\r\n|\n)*: heartbeat/);
  assert.equal(mock.log().requests.filter((r) => r.model !== 'hang').length, 0);
  assert.doesNotMatch(beats.text, /x-tollgate-route/);
  beats.destroy();
  // What its body alone forbids is refused by a status, while it waits.
  const refused = await chat(gw, { model: 'nobody', messages, stream: true });
  assert.deepEqual([refused.status, refused.json.error.code], [404, 'model_not_found']);
  const wrong = await chat(gw, { messages, stream: 'yes' });
  assert.equal(wrong.status, 400);

  for (const raw of gw.busy) raw.destroy();
  const [openai, claude, whole, large] = await Promise.all(waiting);
  for (const r of [openai, large]) {
    assert.ok(r.heartbeats >= 2, `${r.heartbeats} heartbeats`);
    assert.deepEqual([r.status, r.text, r.done], [200, words, true]);
    assert.equal(r.headers['x-tollgate-route'], undefined);
    assert.equal(r.comment.route, 'mock/answer');
  }
  assert.ok(claude.pings >= 2);
  assert.deepEqual([claude.text, claude.stopped], [words, true]);
  assert.equal(whole.headers['x-tollgate-route'], 'mock/answer');
  assert.equal(whole.json.choices[0].message.content, words);
  gw.shut();
  await waitFor(async () => (await gw.get('/healthz')).json.requests === 1); // the one who went
  await gw.stop();
});

test('a stream whose image is fetched gets them, then its answer or an error event', async () => {
  const host = `127.0.0.1:${pictures.address().port}`;
  const media = { fetch: { hosts: [host], allowPrivate: true } };
  const gw = await startGateway({
    config: hybridConfig(mock, { trigger: 'turns > 0', top: { heartbeat, media } }),
  });
  const url = (path) => `http://${host}${path}`;
  const see = (path) => [
    { role: 'user', content: [{ type: 'image_url', image_url: { url: url(path) } }] },
  ];
  const look = (path) => [{ type: 'image', source: { type: 'url', url: url(path) } }];
  const [openai, claude, lost, none, atOnce] = await Promise.all([
    sse(gw, { model: 'mock/answer', messages: see('/png/500') }),
    anthropic(gw, look('/png/500')),
    sse(gw, { model: 'mock/answer', messages: see('/missing/500') }),
    anthropic(gw, look('/missing/500')),
    sse(gw, { model: 'mock/answer', messages: see('/missing/0') }),
  ]);
  assert.ok(openai.heartbeats >= 2 && claude.pings >= 2);
  assert.deepEqual([openai.text, openai.done], [words, true]);
  assert.deepEqual([claude.text, claude.stopped], [words, true]);

  assert.ok(lost.status === 200 && lost.heartbeats >= 2 && none.pings >= 2);
  assert.equal(lost.error.code, 'media_not_fetched');
  assert.equal(lost.error.param, 'messages[0].content[0]');
  assert.match(none.error.message, /^messages\[0\]\.content\[0\]: the image cannot be fetched/);
  assert.equal(none.error.type, 'invalid_request_error');
  assert.ok(!lost.done && !none.stopped);
  assert.equal((await logRow(gw, lost.headers)).error, 'media-not-fetched');
  assert.equal(atOnce.status, 400);
  await gw.stop();
});
