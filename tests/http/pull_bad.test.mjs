// `tollgate pull` against hosts that lie, refuse, stall and redirect, disks that are full or
// closed, and names with tricks in them.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { model, place, pull, sendFile, sha256, startHost, startHub } from './file_host.mjs';
import { now, tempDir } from './lib.mjs';

const name = 'gemma-4-E2B_q4_0-it.gguf';
const one = ['--tries', '1'];

// Runs `pull --url HOST/m.gguf` against answers; the host is stopped.
async function against(answer, args = [], options = {}) {
  const host = await startHost(answer);
  const at = await place();
  const r = await pull(['--url', `${host.url}/m.gguf`, '--dir', at.dir, ...args], options);
  await host.stop();
  return { ...r, at, host };
}

test('the wrong hash: thrown away, with both hashes', async () => {
  const [told, sent] = [model(), model()];
  const h = await startHub(() => told, { cdn: (req, res) => sendFile(req, res, sent) });
  const at = await place(name);
  const r = await pull(['gemma-4-e2b-it', '--url', h.url, '--dir', at.dir]);
  assert.equal(r.code, 1);
  assert.match(r.err, new RegExp(`has the SHA-256 ${sha256(sent)}, not ${sha256(told)}`));
  assert.deepEqual(readdirSync(at.dir), []);
  await h.stop();

  const s = await against((req, res) => sendFile(req, res, sent), ['--sha256', sha256(told)]);
  assert.equal(s.code, 1);
  assert.match(s.err, new RegExp(`has the SHA-256 ${sha256(sent)}, not ${sha256(told)}`));
  assert.deepEqual(readdirSync(s.at.dir), []);

  const both = await startHub(() => told);
  const args = ['gemma-4-e2b-it', '--url', both.url, '--dir', at.dir];
  const t = await pull([...args, '--sha256', sha256(sent)]);
  assert.equal(t.code, 1);
  assert.match(t.err, /one of them is wrong/);
  assert.equal(both.cdn.seen.length, 0);
  await both.stop();
});

test('a damaged file that also keeps breaking off is not fetched for ever', async () => {
  const [told, sent] = [model(), model()];
  const h = await startHub(() => told, {
    cdn: (req, res, n) => sendFile(req, res, sent, { cut: n % 2 === 0 ? 500000 : undefined }),
  });
  const at = await place(name);
  const r = await pull(['gemma-4-e2b-it', '--url', h.url, '--dir', at.dir]);
  assert.equal(r.code, 1);
  assert.match(r.err, /it was thrown away/);
  assert.ok(h.cdn.seen.length <= 4, `${h.cdn.seen.length} requests`);
  assert.deepEqual(readdirSync(at.dir), []);
  await h.stop();
});

test('lies about lengths', async () => {
  const body = model();
  const cases = [
    ['the host says more than there is', { size: 2 << 20 }, {}, /1048576 .* that has 2097152/],
    ['the host says less than there is', { size: 1000 }, {}, /announces 1048576 .* that has 1000/],
    [
      'less, and no length is told',
      { size: 1000 },
      { chunked: true },
      /sends more than the 1000 bytes of the file, again and again/,
    ],
    [
      'more, and no length is told',
      { size: 2 << 20 },
      { chunked: true },
      /ended after 1048576 of 2097152 bytes/,
    ],
    ['Content-Length above the body', {}, { length: 2 << 20 }, /2097152 .* that has 1048576/],
    ['Content-Length below the body', {}, { length: 1000 }, /announces 1000 .* that has 1048576/],
  ];
  for (const [what, linked, options, error] of cases) {
    const h = await startHub(() => body, {
      linked,
      cdn: (req, res) => sendFile(req, res, body, options),
    });
    const at = await place(name);
    const r = await pull(['gemma-4-e2b-it', '--url', h.url, '--dir', at.dir, ...one]);
    assert.equal(r.code, 1, what);
    assert.match(r.err, error, what);
    assert.equal(at.body(), null, what);
    await h.stop();
  }
  // A plain server whose Content-Length nobody can contradict but the connection's end.
  const long = await against(
    (req, res) => sendFile(req, res, body, { etag: '"a"', length: 2 << 20 }),
    one,
  );
  assert.equal(long.code, 1);
  assert.match(long.err, /What has come is kept/);
  assert.equal(long.at.body(), null);
  const hash = ['--sha256', sha256(body), ...one];
  const short = await against((req, res) => sendFile(req, res, body, { length: 1000 }), hash);
  assert.equal(short.code, 1);
  assert.match(short.err, /thrown away/);
  // A range that is not what was asked for, of the right length, once.
  const odd = await against((req, res, n) => {
    if (req.method === 'HEAD' || n === 0)
      return sendFile(req, res, body, { etag: '"a"', cut: req.method === 'GET' ? 1e5 : undefined });
    if (n > 1) return sendFile(req, res, body, { etag: '"a"' });
    const range = `bytes 7-${body.length - 1}/${body.length}`;
    res.writeHead(206, { 'content-range': range, etag: '"a"' });
    return res.end(body.subarray(7, 7 + body.length - 1e5));
  });
  assert.equal(odd.code, 0, odd.err);
  assert.match(odd.err, /sends another range than was asked for: fetching it from its beginning/);
  assert.deepEqual(odd.at.body(), body);
});

test('what is refused: missing, gated, private', async () => {
  const cases = [
    [404, {}, /m\.gguf: the server has no such file \(HTTP 404\)/],
    [401, {}, /without a token \(HTTP 401\).*Accept the model's licence at .*HF_TOKEN/],
    [401, { HF_TOKEN: 'hf_0123456789' }, /does not accept the token in HF_TOKEN \(HTTP 401\)/],
    [403, { HF_TOKEN: 'hf_0123456789' }, /to the token in HF_TOKEN \(HTTP 403\): accept the/],
    [400, {}, /answers HTTP 400, which is of no use here/],
    [204, {}, /answers HTTP 204/],
  ];
  for (const [status, env, error] of cases) {
    const r = await against((req, res) => res.writeHead(status).end(), [], { env });
    assert.equal(r.code, 1, `${status}`);
    assert.match(r.err, error);
    assert.doesNotMatch(r.err, /hf_0123456789/);
    assert.ok(r.host.seen.length <= 2, 'it is not asked again');
    assert.deepEqual(readdirSync(r.at.dir), []);
  }
  const page = await startHost((req, res) => res.writeHead(403).end());
  const r = await pull(['gemma-4-e2b-it', '--url', page.url, '--dir', await tempDir()]);
  const repository = `${page.url}/google/gemma-4-E2B-it-qat-q4_0-gguf`;
  assert.match(r.err, new RegExp(`${repository} and set HF_TOKEN`));
  await page.stop();
});

test('errors that pass: 500, 429 with Retry-After; and those that do not', async () => {
  const body = model();
  const begun = now();
  const r = await against((req, res, n) => {
    if (req.method === 'HEAD' || n === 2) return sendFile(req, res, body);
    return n === 0 ? res.writeHead(500).end() : res.writeHead(429, { 'retry-after': '2' }).end();
  });
  assert.equal(r.code, 0, r.err);
  assert.match(r.err, /answers HTTP 500; trying again in 0\.5 s/);
  assert.match(r.err, /answers HTTP 429; trying again in 2\.0 s/);
  assert.ok(now() - begun >= 2500);
  assert.deepEqual(r.at.body(), body);
  const never = await against((req, res) => res.writeHead(503).end(), ['--tries', '2']);
  assert.equal(never.code, 1);
  assert.match(never.err, /answers HTTP 503; gave up after 2 tries without progress/);
  const later = await against((req, res) => res.writeHead(429, { 'retry-after': '7200' }).end());
  assert.equal(later.code, 1);
  assert.match(later.err, /asks to come back in 120 minutes/);
  const nobody = await startHost(() => {});
  await nobody.stop();
  const none = await pull(['--url', `${nobody.url}/m.gguf`, '--dir', await tempDir(), ...one]);
  assert.equal(none.code, 1);
  assert.match(none.err, /127\.0\.0\.1:\d+: Failed to connect/);
});

// A label longer than DNS allows is refused on this machine; nobody is asked.
test('a host that is not found is asked for again, and named', async () => {
  const at = await place();
  const url = `https://${'a'.repeat(64)}.invalid/m.gguf`;
  const r = await pull(['--url', url, '--dir', at.dir, '--tries', '3'], { env: { no_proxy: '*' } });
  assert.equal(r.code, 1);
  assert.equal(r.err.match(/trying again/g).length, 2);
  assert.match(r.err, /resolve host/);
  assert.doesNotMatch(r.err, /out of memory/);
});

test('a server that falls silent is left and asked again', async () => {
  const body = model();
  const r = await against(
    (req, res, n) =>
      sendFile(req, res, body, {
        etag: '"a"',
        hang: req.method === 'GET' && n === 0 ? 300000 : undefined,
      }),
    ['--timeout', '1s'],
  );
  assert.equal(r.code, 0, r.err);
  assert.match(r.err, /no byte came for too long; trying again/);
  assert.equal(r.host.gets()[1].headers.range, 'bytes=300000-');
  assert.deepEqual(r.at.body(), body);
});

test('redirects: too many, without a place, away from https, to other schemes', async () => {
  const to = (location) => (req, res) => res.writeHead(302, location && { location }).end();
  const cases = [
    ['/m.gguf', /redirects more than 8 times/],
    ['', /redirects \(HTTP 302\) without saying where to/],
    ['http://192.0.2.1/m.gguf', /redirects to a place that is not https \(192\.0\.2\.1\)/],
    ['file:///etc/passwd', /redirects to/],
    ['ftp://127.0.0.1/m.gguf', /redirects to a place that is not https/],
    ['http://user:pw@127.0.0.1/m.gguf', /redirects to a place that is not https/],
    ['http://[::1', /which is no URL/],
  ];
  for (const [location, error] of cases) {
    const r = await against(to(location));
    assert.equal(r.code, 1, location);
    assert.match(r.err, error, location);
    assert.deepEqual(readdirSync(r.at.dir), []);
  }
  // What a server says does not steer the terminal.
  const escapes = await against((req, res) =>
    res.socket.end('HTTP/1.1 302 Found\r\nlocation: http://[\x1b[2J\xc2\x9b1m\r\n\r\n', 'latin1'),
  );
  assert.equal(escapes.code, 1);
  assert.match(escapes.err, /redirects to "http:\/\/\[\?\[2J\?1m", which is no URL/);
  // Another name for this machine is another host: the token stays.
  const body = model();
  const target = await startHost((req, res) => sendFile(req, res, body));
  const r = await against(to(`http://localhost:${target.port}/m.gguf`), [], {
    env: { HF_TOKEN: 'hf_0123456789' },
  });
  assert.equal(r.code, 0, r.err);
  assert.ok(r.host.seen.every((q) => q.headers.authorization === 'Bearer hf_0123456789'));
  assert.ok(target.seen.every((q) => q.headers.authorization === undefined));
  await target.stop();
});

test('what is no GGUF file, or comes packed', async () => {
  const page = Buffer.from('<!DOCTYPE html><title>Log in</title>'.repeat(1000));
  const html = await against((req, res) => sendFile(req, res, page));
  assert.equal(html.code, 1);
  assert.match(html.err, /sends something that is not a GGUF file/);
  assert.deepEqual(readdirSync(html.at.dir), []);
  const empty = await against((req, res) => sendFile(req, res, Buffer.alloc(0)));
  assert.equal(empty.code, 1);
  assert.match(empty.err, /not a GGUF file/);
  const packed = await against((req, res) =>
    sendFile(req, res, model(), { headers: { 'content-encoding': 'gzip' } }),
  );
  assert.equal(packed.code, 1);
  assert.match(packed.err, /in a coding that was not asked for/);
});

test('disks: too small, at a limit, closed', async () => {
  const body = model();
  const h = await startHub(() => body, { linked: { size: 4e15 } });
  const at = await place(name);
  const big = await pull(['gemma-4-e2b-it', '--url', h.url, '--dir', at.dir]);
  assert.equal(big.code, 1);
  assert.match(big.err, /3725290\.\d GiB are needed and [\d.]+ [GM]iB are free: make room/);
  assert.equal(h.cdn.seen.length, 0, 'nothing is fetched that does not fit');
  await h.stop();

  // Two parts that are together more than 64 bits can count.
  const huge = await startHub(() => body, { linked: { size: '9223372036854775807' } });
  const sum = await pull(['gemma-4-31b-it:bf16', '--url', huge.url, '--dir', at.dir]);
  assert.equal(sum.code, 1);
  assert.match(sum.err, /8589934592\.0 GiB are needed/);
  assert.equal(huge.hub.gets().length, 0, 'that is known before anything is fetched');
  await huge.stop();

  const host = await startHost((req, res) => sendFile(req, res, body, { etag: '"a"' }));
  const b = await place();
  const args = ['--url', `${host.url}/m.gguf`, '--dir', b.dir];
  // 600 blocks of 512 or 1024 bytes, as the shell has it: less than the file either way.
  const tight = await pull(args, { shell: 'ulimit -f 600; exec "$0" "$@"' });
  assert.equal(tight.code, 1);
  assert.match(tight.err, /m\.gguf\.part: cannot write: File too large/);
  assert.ok(b.partSize() > 0 && b.partSize() < body.length);
  const rest = await pull(args);
  assert.equal(rest.code, 0, rest.err);
  assert.deepEqual(b.body(), body);

  const dir = await tempDir();
  writeFileSync(path.join(dir, 'file'), 'x');
  const inFile = await pull(['--url', `${host.url}/m.gguf`, '--dir', path.join(dir, 'file/sub')]);
  assert.equal(inFile.code, 1);
  assert.match(inFile.err, /the folder .*file\/sub cannot be made: Not a directory/);
  const onFile = await pull(['--url', `${host.url}/m.gguf`, '--dir', path.join(dir, 'file')]);
  assert.match(onFile.err, /is not a folder \(--dir names another\)/);
  if (process.getuid() === 0) {
    chmodSync(dir, 0o555);
    const closed = await pull(['--url', `${host.url}/m.gguf`, '--dir', dir], { uid: 65534 });
    assert.equal(closed.code, 1);
    assert.match(closed.err, /m\.gguf\.part: cannot write: Permission denied/);
    const below = await pull(['--url', `${host.url}/m.gguf`, '--dir', `${dir}/a`], { uid: 65534 });
    assert.match(below.err, /the folder .*\/a cannot be made: No such file or directory/);
  }
  await host.stop();
});

test('names with tricks are refused before anything is asked', async () => {
  const host = await startHost((req, res) => sendFile(req, res, model()));
  const dir = await tempDir();
  const names = [
    ['../x'],
    ['a/b/../../../x.gguf'],
    ['a/b/.hidden.gguf'],
    ['a/b/-x.gguf'],
    ['a/b/x%2f..%2fy.gguf'],
    ['gemma-4-e2b-it:../q4_0'],
    ['gemma-9'],
    ['--url', `${host.url}/..%2f..%2fx.gguf`],
    ['--url', `${host.url}/a/.gguf`],
    ['--url', `${host.url}/a\\b.gguf`],
    ['--url', `${host.url}/x y.gguf`],
    ['--url', 'ftp://127.0.0.1/x.gguf'],
    ['--url', 'file:///etc/x.gguf'],
    ['--url', 'http://192.0.2.1/x.gguf'],
    ['--url', 'https://user:pw@127.0.0.1/x.gguf'],
    ['--url', 'x.gguf'],
  ];
  for (const args of names) {
    const base = args.length === 1 ? ['--url', host.url] : [];
    const r = await pull([...args, ...base, '--dir', dir]);
    assert.equal(r.code, 1, `${args}: ${r.err}`);
    assert.match(r.err, /^tollgate pull: /m);
  }
  assert.equal(host.seen.length, 0);
  assert.deepEqual(readdirSync(dir), []);
  await host.stop();
});

test('plain http to another machine: only with --insecure, and without the token', async () => {
  const body = model();
  const host = await startHost((req, res) => sendFile(req, res, body));
  const at = await place();
  const url = `http://0.0.0.0:${host.port}/m.gguf`; // this machine, by a name that does not say so
  const env = { HF_TOKEN: 'hf_0123456789' };
  const refused = await pull(['--url', url, '--dir', at.dir], { env });
  assert.equal(refused.code, 1);
  assert.match(refused.err, /must begin with https:\/\/ \(--insecure/);
  const r = await pull(['--url', url, '--dir', at.dir, '--insecure'], { env });
  assert.equal(r.code, 0, r.err);
  assert.ok(host.seen.every((q) => q.headers.authorization === undefined));
  await host.stop();
});

test('TLS: an authority that nobody knows is refused, --cacert makes it known', async () => {
  const dir = await tempDir();
  const [key, cert] = ['key.pem', 'cert.pem'].map((f) => path.join(dir, f));
  const make = 'req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test';
  const to = ['-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert];
  execFileSync('openssl', [...make.split(' '), ...to], { stdio: 'ignore' });
  const body = model();
  const host = await startHost((req, res) => sendFile(req, res, body), {
    key: readFileSync(key),
    cert: readFileSync(cert),
  });
  const at = await place();
  const args = ['--url', `${host.url}/m.gguf`, '--dir', at.dir];
  const unknown = await pull(args);
  assert.equal(unknown.code, 1);
  assert.match(unknown.err, /127\.0\.0\.1:\d+ cannot be trusted: .*certificate.*--cacert/);
  assert.doesNotMatch(unknown.err, /trying again/);
  assert.equal(host.seen.length, 0);
  const alias = `https://localhost:${host.port}/m.gguf`;
  const elsewhere = await pull(['--url', alias, '--dir', at.dir, '--cacert', cert]);
  assert.equal(elsewhere.code, 1, 'the certificate is of another name');
  assert.match(elsewhere.err, /cannot be trusted/);
  const none = await pull([...args, '--cacert', path.join(dir, 'none.pem')]);
  assert.equal(none.code, 1);
  assert.match(none.err, /cannot be trusted: .*none\.pem/);
  const r = await pull([...args, '--cacert', cert], { env: { HF_TOKEN: 'hf_0123456789' } });
  assert.equal(r.code, 0, r.err);
  assert.deepEqual(at.body(), body);
  assert.ok(host.seen.every((q) => q.headers.authorization === 'Bearer hf_0123456789'));
  // From https to http is a step down, on this machine too.
  const plain = await startHost((req, res) => sendFile(req, res, body));
  const down = await startHost(
    (req, res) => res.writeHead(302, { location: `${plain.url}/m.gguf` }).end(),
    { key: readFileSync(key), cert: readFileSync(cert) },
  );
  const b = await place();
  const s = await pull(['--url', `${down.url}/m.gguf`, '--dir', b.dir, '--cacert', cert]);
  assert.equal(s.code, 1);
  assert.match(s.err, /redirects to a place that is not https/);
  assert.equal(plain.seen.length, 0);
  await Promise.all([host.stop(), plain.stop(), down.stop()]);
});

test('options that are wrong', async () => {
  const cases = [
    [[], 2, /a NAME is missing/],
    [['a', 'b'], 2, /one NAME only/],
    [['--nonsense'], 2, /usage:/],
    [['x', '--sha256', 'abc'], 2, /--sha256 abc: 64 digits 0-9 a-f was expected/],
    [['x', '--timeout', 'soon'], 2, /--timeout soon: a time such as 30s was expected/],
    [['x', '--tries', '0'], 2, /--tries 0: a number from 1 to 1000 was expected/],
    [['x', '--url', 'https://h/m.gguf'], 2, /leave NAME out/],
    [['--list', 'nonsense'], 1, /"nonsense" is not OWNER\/REPOSITORY/],
    [['gemma-4-e2b-it', '--config', '/no/such/file'], 1, /\/no\/such\/file: No such file/],
    [['gemma-4-31b-it:bf16', '--sha256', 'a'.repeat(64)], 1, /of one file, this model has 2/],
    [['gemma-4-e2b-it', '--dir', ''], 2, /--dir/],
  ];
  for (const [args, code, error] of cases) {
    const r = await pull(args);
    assert.equal(r.code, code, `${args}: ${r.err}`);
    assert.match(r.err, error);
  }
  const help = await pull(['--help']);
  assert.equal(help.code, 0);
  assert.match(help.out, /usage: tollgate pull NAME/);
  const token = await pull(['gemma-4-e2b-it'], { env: { HF_TOKEN: 'a b' } });
  assert.equal(token.code, 1);
  assert.match(token.err, /HF_TOKEN has a character that no token has/);
  const homeless = await pull(['gemma-4-e2b-it'], { env: { HOME: '', XDG_DATA_HOME: '' } });
  assert.equal(homeless.code, 1);
  assert.match(homeless.err, /HOME is not set: name a folder with --dir/);
});
