// Hostile bytes on a real connection: what each gets, whether the connection lives on, and that
// nothing smuggled behind it is ever answered. The grammar has its own tests (unit.gateway.http_*).
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { rawRequest, rawSocket, request, sleep, slow, startGateway, waitFor } from './lib.mjs';
import { localConfig } from './support.mjs';

const MIB = 1 << 20;
let gw;
before(async () => {
  const limits = { body: '64MiB', headerTimeout: '1s', bodyTimeout: `${slow}s`, idleTimeout: '3s' };
  gw = await startGateway({ config: localConfig({ top: { limits } }) });
});
after(() => gw?.stop());

const hidden = 'GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n';
const health = (more = '') => `GET /healthz HTTP/1.1\r\nhost: a\r\n${more}\r\n`;
const post = (headers, body = '') =>
  `POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n` +
  `${headers}\r\n${body}`;
const te = 'transfer-encoding';
const chunked = (body) => post('transfer-encoding: chunked\r\n', body);
const statuses = (text) => [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((m) => Number(m[1]));

// [name, bytes, statuses in order, whether the connection then takes another request]
const table = [
  // Two ways to see where a request ends: refused, and the rest is never read as a request.
  ['CL and TE', post(`content-length: 4\r\n${te}: chunked\r\n`, `0\r\n\r\n${hidden}`), [400]],
  ['TE and CL', post(`${te}: chunked\r\ncontent-length: 4\r\n`, `0\r\n\r\n${hidden}`), [400]],
  ['two CL', post('content-length: 0\r\ncontent-length: 39\r\n', hidden), [400]],
  ['two equal CL', post('content-length: 2\r\ncontent-length: 2\r\n', `{}${hidden}`), [400]],
  ['a list of CL', post('content-length: 2, 2\r\n', `{}${hidden}`), [400]],
  ['CL with a sign', post('content-length: +2\r\n', `{}${hidden}`), [400]],
  ['CL in hex', post('content-length: 0x2\r\n', `{}${hidden}`), [400]],
  ['TE of two kinds', post('transfer-encoding: gzip, chunked\r\n', `0\r\n\r\n${hidden}`), [501]],
  ['TE twice', post(`${te}: chunked\r\n${te}: identity\r\n`, hidden), [400]],
  ['TE unknown', post('transfer-encoding: xchunked\r\n', `0\r\n\r\n${hidden}`), [501]],
  ['space before a colon', post('content-length : 2\r\n', `{}${hidden}`), [400]],
  ['TE with a tab', post('transfer-encoding:\x0bchunked\r\n', `0\r\n\r\n${hidden}`), [400]],
  ['folded header', health('x: a\r\n content-length: 5\r\n') + hidden, [400]],
  ['folded first line', `GET /healthz HTTP/1.1\r\n x: y\r\nhost: a\r\n\r\n`, [400]],
  ['bare LF', 'GET /healthz HTTP/1.1\nhost: a\n\n', [400]],
  ['bare LF in a header', health('x: a\ncontent-length: 30\r\n'), [400]],
  ['bare CR', health('x: a\rb\r\n'), [400]],
  // Chunks.
  ['a chunk without size', chunked('\r\n'), [400]],
  ['a chunk size with 0x', chunked(`0x2\r\n{}\r\n0\r\n\r\n`), [400]],
  ['a negative chunk', chunked('-1\r\n'), [400]],
  ['a chunk of 2^64', chunked('10000000000000000\r\n'), [400]],
  ['a chunk of 2^63', chunked('8000000000000000\r\n'), [413]],
  ['a chunk that is longer', chunked(`2\r\n{}x\r\n0\r\n\r\n${hidden}`), [400]],
  ['a chunk with LF', chunked(`2\n{}\r\n0\r\n\r\n${hidden}`), [400]],
  ['chunk extensions', chunked('2;a="b"\r\n{}\r\n0;x\r\n\r\n'), [400], true], // of the JSON alone
  ['16 KiB of extensions', chunked(`2;${'a'.repeat(16384)}\r\n{}\r\n0\r\n\r\n`), [400]],
  ['a length in a trailer', chunked(`2\r\n{}\r\n0\r\ncontent-length: 9\r\n\r\n`), [400], true],
  ['a folded trailer', chunked(`2\r\n{}\r\n0\r\nx: y\r\n z\r\n\r\n`), [400]],
  // The target and the host.
  ['absolute target', 'GET http://b/healthz HTTP/1.1\r\nhost: a\r\n\r\n', [200], true],
  ['absolute target with a user', 'GET http://u@b/healthz HTTP/1.1\r\nhost: a\r\n\r\n', [400]],
  ['https target', 'GET https://b/healthz HTTP/1.1\r\nhost: a\r\n\r\n', [200], true],
  ['encoded target', 'GET /%68ealthz HTTP/1.1\r\nhost: a\r\n\r\n', [200], true],
  ['encoded slash', 'GET /v1%2Fmodels HTTP/1.1\r\nhost: a\r\n\r\n', [200], true],
  ['dots', 'GET /v1/../healthz HTTP/1.1\r\nhost: a\r\n\r\n', [404], true],
  ['encoded NUL', 'GET /healthz%00 HTTP/1.1\r\nhost: a\r\n\r\n', [400]],
  ['NUL in the target', 'GET /health\0z HTTP/1.1\r\nhost: a\r\n\r\n', [400]],
  ['NUL in a header', health('x: a\0b\r\n'), [400]],
  ['NUL in a name', health('x\0y: a\r\n'), [400]],
  ['no host', 'GET /healthz HTTP/1.1\r\n\r\n', [400]],
  ['two hosts', 'GET /healthz HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n', [400]],
  ['a host with a path', 'GET /healthz HTTP/1.1\r\nhost: a/b\r\n\r\n', [400]],
  // Methods, versions, other protocols.
  ['HEAD', 'HEAD /healthz HTTP/1.1\r\nhost: a\r\n\r\n', [200], true],
  ['HEAD of nothing', 'HEAD /nothing HTTP/1.1\r\nhost: a\r\n\r\n', [404], true],
  ['CONNECT', 'CONNECT b:443 HTTP/1.1\r\nhost: b:443\r\n\r\n', [405]],
  ['TRACE', 'TRACE /healthz HTTP/1.1\r\nhost: a\r\n\r\n', [405], true],
  ['a method in lower case', 'get /healthz HTTP/1.1\r\nhost: a\r\n\r\n', [405], true],
  ['HTTP/2 without TLS', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', [505]],
  ['upgrade to h2c', health('upgrade: h2c\r\nconnection: upgrade\r\n'), [200], true],
  ['upgrade to websocket', health('upgrade: websocket\r\nconnection: upgrade\r\n'), [200], true],
  ['TLS to a plain port', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', [400]],
  ['SSH', 'SSH-2.0-OpenSSH_9.2\r\n', [400]],
  ['an expectation', post('expect: the-best\r\ncontent-length: 2\r\n', '{}'), [417]],
  // The body came along: nobody waits for a 100.
  ['100-continue', post('expect: 100-continue\r\ncontent-length: 2\r\n', '{}'), [400], true],
  // Sizes.
  ['a long line', `GET /${'a'.repeat(9000)} HTTP/1.1\r\nhost: a\r\n\r\n`, [414]],
  ['a long header', health(`x: ${'a'.repeat(70000)}\r\n`), [431]],
  ['101 headers', health(Array.from({ length: 101 }, (_, i) => `x${i}: a\r\n`).join('')), [431]],
  ['a large body', post(`content-length: ${64 * MIB + 1}\r\n`), [413]],
  ['a body of 10^30', post(`content-length: 1${'0'.repeat(30)}\r\n`), [413]],
  // Pipelining: answered in order, and a bad one ends it.
  ['three at once', health() + health() + health(), [200, 200, 200], true],
  ['a bad one between', health() + 'GET / HTTP/1.1\r\n\r\n' + health(), [200, 400]],
  ['a last one', health('connection: close\r\n') + health(), [200]],
];

for (const [name, bytes, want, lives = false] of table)
  test(name, async () => {
    const raw = await rawSocket(gw.port);
    await raw.send(bytes);
    await waitFor(() => statuses(raw.text).length >= want.length || raw.closed, { what: name });
    if (lives) {
      await raw.send(hidden);
      await waitFor(() => statuses(raw.text).length > want.length, { what: 'the next answer' });
      assert.deepEqual(statuses(raw.text), [...want, 200]);
    } else {
      await waitFor(() => raw.ended, { what: 'the end of the connection' });
      await raw.send(hidden);
      await sleep(20);
      assert.deepEqual(statuses(raw.text), want);
      assert.match(raw.text, /connection: close/i);
    }
    raw.destroy();
  });

test('a head or a body that trickles is cut off in time, whatever it sends', async () => {
  const trickle = async (first, drop) => {
    const raw = await rawSocket(gw.port);
    await raw.send(first);
    const drip = setInterval(() => raw.send(drop), 100);
    await waitFor(() => raw.ended, { ms: 20000, what: `the end of ${first}` });
    clearInterval(drip);
    assert.deepEqual(statuses(raw.text), [408]);
    raw.destroy();
  };
  const silent = async () => {
    const idle = await rawSocket(gw.port);
    await waitFor(() => idle.ended, { ms: 20000, what: 'the end of a silent connection' });
    assert.ok([0, 1].includes(statuses(idle.text).length));
  };
  await Promise.all([
    trickle('GET /healthz HTTP/1.1\r\n', 'x: y\r\n'),
    trickle(post('content-length: 100000\r\n'), ' '),
    trickle(chunked(''), '1\r\n \r\n'),
    silent(),
  ]);
});

// --- JSON: the reader is bounded, and says what is wrong ---

const say = (content) => `{"messages":[{"role":"user","content":${content}}]}`;
const bombs = [
  ['100,000 lists deep', `{"messages":${'['.repeat(100000)}`, /deep/],
  ['100,000 objects deep', `{"messages":${'{"a":'.repeat(100000)}1`, /deep/],
  ['a number of 100,000 digits', `{"max_tokens":${'9'.repeat(100000)}}`, /number|integer/],
  ['an exponent of 10^9', '{"temperature":1e999999999}', /number/],
  ['many members of one name', `{${'"a":1,'.repeat(50000)}"a":1}`, /twice|duplicate/],
  ['a name twice', '{"model":"a","model":"b"}', /twice|duplicate/],
  ['a lone surrogate', say('"\\ud800"'), /surrogate/],
  ['surrogates turned round', say('"\\udc00\\ud800"'), /surrogate/],
  ['bytes that are no UTF-8', say('"\xff\xfe"'), /UTF-8/],
  ['an overlong slash', say('"\xc0\xaf"'), /UTF-8/],
  ['U+0000', say('"a\\u0000b"'), /U\+0000|NUL/i],
  ['a control character', say('"a\x01b"'), /control/],
  ['two values', '{} {}', /behind|after|trailing/],
  ['half a value', '{"messages":[', /end/],
  ['nothing', '', /empty|end/],
  ['a million values', `{"messages":[${'0,'.repeat(1100000)}0]}`, /values/],
];

test('JSON that is a bomb or no JSON gets a 400 that says so', async () => {
  for (const [name, body, why] of bombs) {
    const raw = await rawSocket(gw.port);
    const head = post(`content-length: ${body.length}\r\nconnection: close\r\n`);
    await raw.send(head + body);
    await waitFor(() => raw.ended, { ms: 30000, what: name });
    assert.deepEqual(statuses(raw.text), [400], name);
    assert.match(raw.text.split('\r\n\r\n')[1], why, name);
    raw.destroy();
  }
});

const memory = () => {
  const text = readFileSync(`/proc/${gw.child.pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+)/.exec(text)[1]) * 1024;
};

test('bodies of 64 MiB: bounded memory, and others are answered meanwhile', async () => {
  const before = memory();
  const size = (slow > 1 ? 8 : 64) * MIB - 100; // sanitizers: memory is used the same way
  const bodies = [
    say(`"${'a'.repeat(size - 50)}"`),
    `{"messages":[${'[[[],[]],[[],[]]],'.repeat((size - 40) / 18)}1]}`,
    `{"messages":[{"role":"user","content":"${'\\u00e9'.repeat((size - 60) / 6)}"}]}`,
  ];
  for (const body of bodies) {
    let answered = false;
    const headers = { 'content-type': 'application/json' };
    const big = request(gw.port, { method: 'POST', path: '/v1/chat/completions', body, headers });
    big.finally(() => (answered = true)).catch(() => {});
    let worst = 0;
    while (!answered) {
      const asked = performance.now();
      await request(gw.port, { path: '/healthz' });
      worst = Math.max(worst, performance.now() - asked);
      await sleep(10);
    }
    assert.equal((await big).status, 400); // too long for the model, or not messages
    assert.ok(worst < 1000 * slow, `another request waited ${worst} ms`);
  }
  const grown = (memory() - before) / MIB;
  if (slow === 1) assert.ok(grown < 64 * 10, `${grown} MiB more`);
});

test('after all that, it serves', async () => {
  const raw = await rawSocket(gw.port);
  const ask = { max_tokens: 2, messages: [{ role: 'user', content: 'Hello' }] };
  await raw.send(rawRequest(ask, { headers: { connection: 'close' } }));
  await raw.until('"finish_reason"', 20000);
  assert.deepEqual(statuses(raw.text), [200]);
});
