// TLS on the listener: versions, client certificates, streams, leaving clients, reload under load.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { chmodSync, copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import { after, before, test } from 'node:test';
import tls from 'node:tls';
import { makeCertificate } from './certificates.mjs';
import { now, rawRequest, rawSocket, request, slow } from './lib.mjs';
import { startGateway, tempDir, waitFor } from './lib.mjs';
import { startMock } from './mock_provider.mjs';
import { hybridConfig, localConfig } from './support.mjs';

let mock, dir, ca, first, second;
before(async () => {
  mock = await startMock();
  dir = await tempDir();
  ca = makeCertificate(dir, 'ca');
  first = makeCertificate(dir, 'first', ca);
  second = makeCertificate(dir, 'second', ca, 40);
});
after(async () => {
  await mock.stop();
});

const messages = [{ role: 'user', content: 'x' }];
const remote = { models: ['answer'], trigger: 'turns > 0' };
const files = (pair, more = {}) => ({
  certificate: pair.certFile,
  key: pair.keyFile,
  ...more,
});

// options: models of the mock; more of the key "tls".
function startTls({ models = ['answer'], more = {}, pair = first, top = {} } = {}) {
  const config = hybridConfig(mock, { ...remote, models, top: { ...top, tls: files(pair, more) } });
  return startGateway({ config });
}

// One request: { status, text, subject } (of the certificate that was shown).
function ask(gw, { path: target = '/v1/chat/completions', body, ...options } = {}) {
  return new Promise((done, failed) => {
    const text = body && JSON.stringify(body);
    const rq = https.request({
      ...{ host: '127.0.0.1', port: gw.port, path: target, ca: ca.cert, agent: false },
      ...(text && { method: 'POST', headers: { 'content-type': 'application/json' } }),
      ...options,
    });
    rq.on('error', failed);
    rq.on('response', (res) => {
      const subject = res.socket.getPeerCertificate()?.subject?.CN;
      let got = '';
      res.setEncoding('utf8').on('data', (part) => (got += part));
      res.on('error', failed);
      res.on('end', () => done({ status: res.statusCode, text: got, subject }));
    });
    rq.end(text);
  });
}

const chat = (gw, fields = {}, options = {}) =>
  ask(gw, { body: { model: 'default', messages, ...fields }, ...options });

// A connection to write to as one likes.
async function rawTls(gw, options = {}) {
  const socket = tls.connect({ host: '127.0.0.1', port: gw.port, ca: ca.cert, ...options });
  const raw = { socket, text: '', ended: false, error: null };
  socket.setEncoding('latin1').on('data', (part) => (raw.text += part));
  socket.on('end', () => (raw.ended = true)).on('error', (cause) => (raw.error = cause));
  await new Promise((done) => socket.once('secureConnect', done).once('close', done));
  return raw;
}

test('whole answers, streams, large ones, and what the start says', async () => {
  const gw = await startTls({ models: ['answer', 'huge:{"bytes":3000000}'] });
  const told = /ready at https:\/\/127\.0\.0\.1:\d+\n[^]*curl -s https:\/\//;
  await waitFor(() => told.test(gw.stdout));
  const whole = await chat(gw);
  assert.equal(JSON.parse(whole.text).choices[0].message.content, 'word0 word1 word2 word3 word4 ');
  assert.equal(whole.subject, 'first');
  const stream = await chat(gw, { stream: true });
  assert.match(stream.text, /word4[^]*data: \[DONE\]\n\n$/);
  const large = await chat(gw, { messages: [{ role: 'user', content: 'x'.repeat(2000000) }] });
  assert.equal(large.status, 200);
  const many = await chat(gw, { model: 'mock/huge:{"bytes":3000000}', stream: true });
  assert.ok(many.text.length > 3000000 && many.text.endsWith('data: [DONE]\n\n'), many.text);
  const head = await ask(gw, { path: '/healthz', method: 'HEAD' });
  assert.ok(head.status === 200 && head.text === '');
  await gw.stop();
});

test('versions, protocols, and plain HTTP', async () => {
  const gw = await startTls();
  for (const version of ['TLSv1.2', 'TLSv1.3']) {
    const raw = await rawTls(gw, { minVersion: version, maxVersion: version });
    assert.equal(raw.socket.getProtocol(), version);
    raw.socket.destroy();
  }
  const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' };
  assert.match(String((await rawTls(gw, old)).error), /alert protocol version/i);
  const http1 = await rawTls(gw, { ALPNProtocols: ['h2', 'http/1.1'] });
  assert.equal(http1.socket.alpnProtocol, 'http/1.1');
  http1.socket.destroy();
  assert.match(String((await rawTls(gw, { ALPNProtocols: ['h2'] })).error), /no application pro/i);
  const plain = await request(gw.port, { path: '/healthz' });
  assert.equal(plain.status, 400);
  assert.match(plain.json.error.message, /speaks TLS: use https:\/\//);
  await waitFor(() => gw.log().some((e) => e.event === 'tls-refused'));
  await gw.stop();
  const strict = await startTls({ more: { minVersion: '1.3' } });
  assert.ok((await rawTls(strict, { maxVersion: 'TLSv1.2' })).error);
  assert.equal((await ask(strict, { path: '/healthz' })).status, 200);
  await strict.stop();
});

test('the listener of the admin API speaks TLS too', async () => {
  const gw = await startTls({ top: { admin: { listen: '127.0.0.1:0' } } });
  const { text } = gw.log().find((e) => e.event === 'admin-listening');
  const admin = { port: Number(/:(\d+)/.exec(text)[1]) };
  assert.equal((await ask(admin, { path: '/admin/keys' })).status, 200);
  assert.equal((await request(admin.port, { path: '/admin/keys' })).status, 400);
  await gw.stop();
});

test('client certificates: only those of clientCa', async () => {
  const own = makeCertificate(dir, 'own-ca');
  const mine = makeCertificate(dir, 'mine', own);
  const gw = await startTls({ more: { clientCa: own.certFile } });
  const healthz = (pair) =>
    ask(gw, { path: '/healthz', ...(pair && { cert: pair.cert, key: pair.key }) });
  assert.equal((await healthz(mine)).status, 200);
  await assert.rejects(healthz(null));
  await assert.rejects(healthz(first)); // the right sort, of another authority
  await gw.stop();
});

for (const how of ['destroy', 'end'])
  test(`a client that goes (${how}) ends the work`, async () => {
    mock.clear();
    const gw = await startTls({ models: ['hang-mid'] });
    const raw = await rawTls(gw);
    raw.socket.write(rawRequest({ stream: true, messages }));
    await waitFor(() => raw.text.includes('word'));
    const left = now();
    raw.socket[how]();
    const gone = await waitFor(() => mock.aborts()[0]);
    assert.ok(gone.aborted - left < 100 * slow, `${gone.aborted - left} ms`);
    await gw.stop();
  });

test('a reader that stops holds the provider back, and then gets all of it', async () => {
  mock.clear();
  const gw = await startTls({ models: ['huge:{"bytes":15728640}'] });
  const raw = await rawTls(gw);
  raw.socket.pause();
  raw.socket.write(rawRequest({ stream: true, messages }, { headers: { connection: 'close' } }));
  await waitFor(() => mock.log().requests[0]?.body);
  await new Promise((done) => setTimeout(done, 300 * slow));
  assert.equal(mock.log().requests[0].ended, null, 'the provider was not held back');
  raw.socket.resume();
  await waitFor(() => raw.ended || raw.error, { ms: 20000 });
  assert.equal(raw.error, null);
  assert.ok(raw.text.length > 15728640 && raw.text.includes('data: [DONE]'));
  await gw.stop();
});

test('200 connections at once', async () => {
  const gw = await startTls({ models: ['answer:{"delayMs":100}'] });
  const answers = await Promise.all(
    Array.from({ length: 200 }, () => chat(gw, { stream: true })),
  );
  for (const r of answers) assert.match(r.text, /word4[^]*data: \[DONE\]\n\n$/);
  await gw.stop();
});

test('a new certificate under load: nothing fails, a bad one changes nothing', async () => {
  const at = { certFile: path.join(dir, 'now.pem'), keyFile: path.join(dir, 'now.key') };
  const put = (cert, key) => {
    copyFileSync(cert.certFile, at.certFile);
    copyFileSync(key.keyFile, at.keyFile);
  };
  put(first, first);
  const gw = await startTls({ pair: at });
  const agent = new https.Agent({ keepAlive: true, maxSockets: 4 });
  let on = true;
  let asked = 0;
  const load = Array.from({ length: 8 }, async (_, i) => {
    for (; on; asked++) {
      const r = await chat(gw, { stream: i % 2 > 0 }, { agent: i < 4 ? agent : false });
      assert.equal(r.status, 200);
    }
  });
  const lines = (event) => gw.log().filter((e) => e.event === event);
  const reload = async (event) => {
    const before = lines(event).length;
    const requests = asked;
    gw.signal('SIGHUP');
    await waitFor(() => lines(event).length > before && asked > requests + 10, { ms: 20000 });
  };
  await reload('reloaded');
  const ends = async () =>
    /^tollgate_tls_certificate_not_after_seconds (\d+)$/m.exec(
      (await ask(gw, { path: '/metrics' })).text,
    )?.[1];
  const endOf = (pair) => String(Date.parse(new X509Certificate(pair.cert).validTo) / 1000);
  assert.equal(await ends(), endOf(first));
  put(second, first);
  await reload('reload-refused');
  assert.match(lines('reload-refused')[0].text, /now\.key is not the key of the certificate in/);
  assert.equal((await ask(gw, { path: '/healthz' })).subject, 'first');
  put(second, second);
  await reload('reloaded');
  assert.equal((await ask(gw, { path: '/healthz' })).subject, 'second');
  assert.equal(await ends(), endOf(second));
  on = false;
  await Promise.all(load);
  const kept = await ask(gw, { path: '/healthz', agent });
  assert.equal(kept.subject, 'first', 'a connection from before was dropped');
  agent.destroy();
  await gw.stop();
});

test('a drain finishes what runs, with a proper end', async () => {
  mock.clear();
  const gw = await startTls({ models: ['answer:{"delayMs":100}'] });
  const raw = await rawTls(gw);
  raw.socket.write(rawRequest({ stream: true, messages }));
  await waitFor(() => mock.log().requests.length > 0);
  gw.signal('SIGTERM');
  await waitFor(() => raw.ended || raw.error);
  assert.equal(raw.error, null);
  assert.ok(raw.text.endsWith('data: [DONE]\n\n\r\n0\r\n\r\n'));
  raw.socket.destroy();
  assert.equal((await gw.ended).code, 0);
});

test('--check and doctor name file and remedy', async () => {
  const file = path.join(dir, 'config.json');
  const run = (config, ...args) => {
    const all = { ...localConfig(), dataDir: path.join(dir, 'd'), ...config };
    writeFileSync(file, JSON.stringify(all));
    const bin = process.env.TOLLGATE_BIN;
    const r = spawnSync(bin, [...args, '--config', file], { encoding: 'utf8' });
    return { status: r.status, text: r.stdout + r.stderr };
  };
  const config = { tls: files(first) };
  assert.equal(run(config, 'serve', '--check').status, 0);
  chmodSync(first.keyFile, 0o644);
  assert.match(run(config, 'serve', '--check').text, /tls-key-exposed.*first\.key.*chmod 600/);
  const loose = run(config, 'doctor', '--no-selftest');
  chmodSync(first.keyFile, 0o600);
  assert.match(loose.text, /^ok +tls +\S+first\.pem: CN = first, EC, 256 bits, until 20\d\d-/m);
  assert.match(loose.text, /^warn +tls .*first\.key: others.*\n +-> chmod 600/m);
  const mixed = { tls: { certificate: first.certFile, key: second.keyFile } };
  for (const args of [['serve', '--check'], ['doctor', '--no-selftest'], ['serve']]) {
    const r = run(mixed, ...args);
    assert.equal(r.status, 1);
    assert.match(r.text, /config\.json: tls: \S+second\.key is not the key of the certificate/);
  }
  assert.match(run(mixed, 'doctor', '--no-selftest').text, /^fail +tls /m);
  assert.match(run({}, 'doctor', '--no-selftest').text, /^ok +tls +off/m);
  assert.match(run({ tls: {} }, 'serve', '--check').text, /tls: needs "certificate" and "key"/);
  assert.ok(!readFileSync(file, 'utf8').includes('PRIVATE'));
});

test('a connection without a word in it holds up nobody', async () => {
  const gw = await startTls({ top: { limits: { headerTimeout: '300ms', connections: 50 } } });
  const silent = await Promise.all(Array.from({ length: 40 }, () => rawSocket(gw.port)));
  await silent[0].send('\x16\x03\x01\x02');
  assert.equal((await chat(gw)).status, 200);
  await waitFor(() => silent.every((s) => s.closed || s.ended));
  for (const s of silent) s.destroy();
  await gw.stop();
});
