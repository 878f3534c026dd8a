// Start, reload, drain, end; configurations that are wrong.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import {
  rawRequest,
  rawSocket,
  request,
  rows,
  sleep,
  slow,
  startGateway,
  tempDir,
  waitFor,
} from './lib.mjs';
import { startMock } from './mock_provider.mjs';
import { answerCost, chat, hybridConfig, localConfig, sse } from './support.mjs';

const bin = process.env.TOLLGATE_BIN;
let mock;
before(async () => {
  mock = await startMock();
});
after(async () => {
  await mock.stop();
});

function check(config) {
  const file = path.join(mkdtempSync(path.join(os.tmpdir(), 'tollgate-')), 'config.json');
  writeFileSync(file, typeof config === 'string' ? config : JSON.stringify(config));
  const r = spawnSync(bin, ['serve', '--check', '--config', file], { encoding: 'utf8' });
  return { status: r.status, text: r.stdout + r.stderr };
}

test('--check accepts a good configuration and names the path of each mistake', () => {
  assert.equal(check(hybridConfig(mock, { trigger: 'confidence < 0.5' })).status, 0);
  const cases = [
    ['{', /line 1/],
    [{ ...localConfig(), liste: 1 }, /liste/],
    [{ ...localConfig(), listen: 'example.com:80' }, /listen/],
    [{ ...localConfig(), routes: [] }, /routes/],
    [
      { ...localConfig(), routes: [{ name: 'local', primary: { provider: 'local' } }] },
      /routes\[0\].*built-in/,
    ],
    [
      hybridConfig(mock, { trigger: 'confidence < ' }),
      /routes\[0\]\.fallback\[0\]\.trigger.*column/,
    ],
    [
      hybridConfig(mock, { trigger: 'confidense < 1' }),
      /routes\[0\]\.fallback\[0\]\.trigger.*column 1/,
    ],
    [hybridConfig(mock, { budget: '500' }), /routes\[0\]\.costPolicy\.cloudBudget/],
    [
      hybridConfig(mock, { route: { monitoring: { compareModels: true } } }),
      /compareModels.*not in this version/,
    ],
    [hybridConfig(mock, { tier: { provider: 'nobody' } }), /routes\[0\]\.fallback\[0\]\.provider/],
    [
      { ...localConfig(), providers: { a: { kind: 'openai', apiKey: 'sk-literal-secret' } } },
      /providers\.a\.apiKey/,
    ],
    [
      { ...localConfig(), providers: { a: { kind: 'anthropic' } } },
      /providers\.a\.kind.*not in this version/,
    ],
  ];
  for (const [config, pattern] of cases) {
    const r = check(config);
    assert.equal(r.status, 1, JSON.stringify(config));
    assert.match(r.text, pattern);
    assert.doesNotMatch(r.text, /sk-literal-secret/);
  }
});

test('SIGTERM finishes what runs, refuses what comes, and exits 0', async () => {
  const gw = await startGateway({
    config: hybridConfig(mock, { models: ['answer:{"delayMs":100}'], trigger: 'turns > 0' }),
  });
  const stream = sse(gw);
  await waitFor(() => mock.log().requests.length > 0);
  gw.signal('SIGTERM');
  await waitFor(() => gw.stderr.includes('"event":"draining"'));
  await assert.rejects(request(gw.port, { path: '/healthz' }), /ECONNREFUSED/);
  const r = await stream;
  assert.equal(r.done, true);
  assert.equal(r.text, 'word0 word1 word2 word3 word4 ');
  assert.equal((await gw.ended).code, 0);
});

test('limits.drain bounds the wait, and who waits on is told', async () => {
  const config = hybridConfig(mock, { models: ['hang', 'hang-mid'], trigger: 'turns > 0' });
  const gw = await startGateway({ config: { ...config, limits: { drain: '300ms' } } });
  mock.clear();
  const whole = chat(gw);
  const stream = sse(gw, { model: 'mock/hang-mid' });
  await waitFor(() => mock.log().requests.length > 1);
  const asked = performance.now();
  gw.signal('SIGTERM');
  assert.equal((await gw.ended).code, 0);
  const took = performance.now() - asked;
  assert.ok(took >= 290 && took < 2000 * slow, `${took} ms`);
  const r = await whole;
  assert.equal(r.status, 503);
  assert.equal(r.json.error.code, 'shutting_down');
  const s = await stream;
  assert.equal(s.status, 200);
  assert.equal(s.error?.code, 'shutting_down', JSON.stringify(s));
});

test('who is not whole at the end of limits.drain is told, and nothing is paid', async () => {
  const config = hybridConfig(mock, { models: ['hang'], trigger: 'turns > 0' });
  const gw = await startGateway({ config: { ...config, limits: { drain: '300ms' } } });
  mock.clear();
  const bytes = rawRequest({ messages: [{ role: 'user', content: 'hi' }] });
  const client = await rawSocket(gw.port);
  await client.send(bytes.slice(0, -20));
  await sleep(50);
  gw.signal('SIGTERM');
  await client.until('shutting_down');
  await client.send(bytes.slice(-20));
  assert.match(client.text, /^HTTP\/1.1 503 /);
  client.destroy();
  assert.equal((await gw.ended).code, 0);
  assert.equal(mock.log().requests.length, 0);
  const [row, ...others] = await rows(gw.dataDir, 'log.db', 'select status, error from request');
  assert.deepEqual([row, others], [{ status: 503, error: 'shutting-down' }, []]);
});

test('a second SIGTERM ends now, with exit 0', async () => {
  const gw = await startGateway({
    config: hybridConfig(mock, { models: ['hang'], trigger: 'turns > 0' }),
  });
  const lost = chat(gw).catch((cause) => cause);
  mock.clear();
  await waitFor(() => mock.log().requests.length > 0);
  gw.signal('SIGTERM');
  await new Promise((done) => setTimeout(done, 100));
  const asked = performance.now();
  gw.signal('SIGTERM');
  assert.equal((await gw.ended).code, 0);
  assert.ok(performance.now() - asked < 2000);
  assert.ok((await lost) instanceof Error);
});

test('SIGHUP: a good file is in force, a bad one changes nothing', async () => {
  const gw = await startGateway({ config: localConfig() });
  const logged = (event) => waitFor(() => gw.stderr.includes(`"event":"${event}`));
  const old = JSON.parse(readFileSync(gw.configFile));
  const next = { ...old, routes: [{ name: 'other', primary: { provider: 'local' } }] };
  writeFileSync(gw.configFile, JSON.stringify(next));
  gw.signal('SIGHUP');
  await logged('reloaded');
  assert.equal((await chat(gw, { model: 'other', max_tokens: 1 })).status, 200);
  assert.equal((await chat(gw, { model: 'default', max_tokens: 1 })).status, 404);
  writeFileSync(gw.configFile, '{"routes": 5}');
  gw.signal('SIGHUP');
  await logged('reload-refused');
  assert.equal((await chat(gw, { model: 'other', max_tokens: 1 })).status, 200);
  // Slots for requests are as many as at the start.
  writeFileSync(gw.configFile, JSON.stringify({ ...old, limits: { connections: 5000 } }));
  gw.signal('SIGHUP');
  await logged('reload-refused","text":"limits.connections: 5000 is more than at the start');
  assert.equal((await chat(gw, { model: 'other', max_tokens: 1 })).status, 200);
  await gw.stop();
});

test('a second gateway on the same data or port is refused with who holds it', async () => {
  const gw = await startGateway({ config: localConfig() });
  const file = path.join(mkdtempSync(path.join(os.tmpdir(), 'tollgate-')), 'config.json');
  const start = (config) => {
    writeFileSync(file, JSON.stringify(config));
    const r = spawnSync(bin, ['serve', '--config', file], { encoding: 'utf8', timeout: 10000 });
    return { status: r.status, text: r.stderr };
  };
  const same = start({ ...localConfig(), dataDir: gw.dataDir });
  assert.equal(same.status, 1);
  assert.match(same.text, new RegExp(`\\b${gw.child.pid}\\b`));
  const other = mkdtempSync(path.join(os.tmpdir(), 'tollgate-'));
  const port = start({ ...localConfig(), dataDir: other, listen: `127.0.0.1:${gw.port}` });
  assert.equal(port.status, 1);
  assert.match(port.text, new RegExp(`pid ${gw.child.pid}`));
  await gw.stop();
});

test('report: totals of what happened', async () => {
  const gw = await startGateway({
    dataDir: await tempDir(),
    config: hybridConfig(mock, { trigger: 'turns >= 2', budget: '$1/day' }),
  });
  const turn = (role, content) => ({ role, content });
  await chat(gw, { max_tokens: 2 });
  await chat(gw, { messages: [turn('user', 'a'), turn('assistant', 'b'), turn('user', 'c')] });
  await gw.stop();
  const text = execFileSync(bin, ['report', '--data-dir', gw.dataDir, '--last', '1h', '--json'], {
    encoding: 'utf8',
  });
  const report = JSON.parse(text);
  assert.equal(report.requests, 2);
  assert.equal(report.local, 1);
  assert.equal(report.escalated, 0, 'the trigger was true before the run');
  assert.equal(report.cost_usd.toFixed(9), (answerCost / 1e9).toFixed(9));
  assert.ok(report.saved_usd > 0);
  assert.ok(report.mean_confidence >= 0 && report.mean_confidence <= 1);
  assert.deepEqual(report.backends.map((b) => b.name).sort(), ['local', 'mock/answer']);
  assert.equal(report.budgets[0].spent_usd, report.cost_usd);
});
