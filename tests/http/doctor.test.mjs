// `tollgate doctor`: what it finds well, what it finds wrong, and that it changes and betrays
// nothing.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { startPull } from './file_host.mjs';
import { startGateway, tempDir } from './lib.mjs';
import { model } from './support.mjs';

const quick = ['--no-selftest'];

// Runs doctor on a configuration (an object or text) in a folder of its own.
async function doctor(config, { args = quick, env = {}, uid, dir } = {}) {
  const at = dir ?? (await tempDir());
  const file = path.join(at, 'config.json');
  writeFileSync(file, typeof config === 'string' ? config : JSON.stringify(config));
  const r = await startPull(['doctor', '--config', file, '--json', ...args], { env, uid }).done;
  const report = JSON.parse(r.out);
  const of = (area) => report.checks.filter((c) => c.area === area);
  const fails = report.checks.filter((c) => c.state === 'fail').map((c) => c.area);
  assert.equal(r.code, fails.length ? 1 : 0, r.err);
  assert.equal(report.ok, fails.length === 0);
  for (const c of report.checks)
    if (c.state === 'fail' && c.area !== 'model') assert.ok(c.remedy, `${c.text}: no remedy`);
  return { ...r, at, report, of, fails };
}

const good = (extra = {}, engine = {}) => ({
  listen: '127.0.0.1:0',
  dataDir: 'data',
  modelDir: 'models',
  engine: { model, device: 'cpu', ...engine },
  ...extra,
});

test('all is well; nothing is made', async () => {
  const r = await doctor(good(), { args: [] });
  assert.deepEqual(r.fails, []);
  assert.match(r.of('config')[0].text, /1 route\(s\), 0 provider\(s\)/);
  assert.match(r.of('data')[0].text, /will be made when it is needed, [\d.]+ GiB free/);
  assert.match(r.of('memory')[0].text, /GiB, [\d.]+ [GM]iB of it available/);
  assert.match(r.of('cpu')[0].text, /\d+ cores; CPU, /);
  assert.match(r.of('model')[0].text, /Tiny Dense, 2\.7 MiB, 3 layers/);
  assert.match(r.of('model')[1].text, /needs [\d.]+ MiB at context 4096 on CPU/);
  assert.match(r.of('self-test')[0].text, /^passed on CPU/);
  assert.ok(!existsSync(path.join(r.at, 'data')) && !existsSync(path.join(r.at, 'models')));
  const text = await startPull(['doctor', '--config', path.join(r.at, 'config.json'), ...quick])
    .done;
  assert.equal(text.code, 0);
  assert.match(text.out, /^ok {4}config {5}.*config\.json: 1 route/m);
  assert.doesNotMatch(text.out, /self-test|\x1b/);
  assert.equal(text.err, '');
});

test('a database that serve would not open is told', async () => {
  const data = await tempDir();
  writeFileSync(path.join(data, 'log.db'), 'x'.repeat(5000));
  const r = await doctor({ ...good(), dataDir: data });
  assert.deepEqual(r.fails, ['data']);
  assert.match(r.of('data')[1].text, /log\.db: .*the file is damaged: put a backup/);
});

test('a configuration that is wrong: all else is looked at as far as it goes', async () => {
  const typo = await doctor({ ...good(), liste: 1 });
  assert.deepEqual(typo.fails, ['config']);
  assert.match(typo.of('config')[0].text, /liste: unknown key; did you mean "listen"/);
  assert.equal(typo.of('model')[0].state, 'ok');
  const broken = await doctor('{ "listen": ');
  assert.ok(broken.fails.includes('config') && broken.fails.includes('model'));
  assert.match(broken.of('model')[0].remedy, /tollgate pull NAME fetches it/);
  const none = await startPull(['doctor', '--config', '/no/such/file', ...quick]).done;
  assert.equal(none.code, 1);
  assert.match(none.out, /fail {2}config {5}\/no\/such\/file: No such file/);
});

test('calibrations that serve would refuse are told, with what helps', async () => {
  const dir = await tempDir();
  mkdirSync(path.join(dir, 'data'));
  writeFileSync(path.join(dir, 'data', 'calibration.json'), '{"version":2}');
  const { of, fails } = await doctor(good(), { dir });
  assert.deepEqual(fails, ['config']);
  const [told] = of('config');
  assert.match(told.text, /calibration\.json: version: .*; move this file away: tollgate/);
  assert.match(told.remedy, /gateway\/README\.md what calibrations are/);
});

test('keys are told by name, never by value', async () => {
  const dir = await tempDir();
  const openai = (apiKey) => ({ kind: 'openai', apiKey });
  writeFileSync(path.join(dir, 'key'), 'sk-secret-of-the-file\n');
  const providers = {
    a: openai({ env: 'DOCTOR_SET' }),
    b: openai({ env: 'DOCTOR_UNSET' }),
    c: openai({ file: 'key' }),
    d: openai({ file: 'none' }),
    e: openai({ env: 'DOCTOR_EMPTY' }),
    f: openai('sk-secret-literal-0123'),
  };
  const env = { DOCTOR_SET: 'sk-secret-of-the-env', DOCTOR_EMPTY: ' ' };
  const r = await doctor(good({ providers }), { dir, env });
  const lines = r.of('keys').map((c) => `${c.state} ${c.text} ${c.remedy}`);
  assert.match(lines[0], /^ok providers\.a\.apiKey: the environment variable DOCTOR_SET is set/);
  assert.match(lines[1], /^fail providers\.b.* DOCTOR_UNSET is not set export DOCTOR_UNSET=/);
  assert.match(lines[2], /^ok providers\.c\.apiKey: the file .*\/key is set/);
  assert.match(lines[3], /^fail providers\.d\.apiKey: the file .*\/none is not there/);
  assert.match(lines[4], /^fail providers\.e.* DOCTOR_EMPTY is empty/);
  assert.match(lines[5], /^fail providers\.f\.apiKey: is neither/);
  assert.doesNotMatch(r.out + r.err, /sk-secret/);
});

test('the port: free, held by somebody, held by a gateway', async () => {
  const other = net.createServer();
  await new Promise((done) => other.listen(0, '127.0.0.1', done));
  const taken = await doctor(good({ listen: `127.0.0.1:${other.address().port}` }));
  assert.deepEqual(taken.fails, ['port']);
  assert.match(taken.of('port')[0].text, new RegExp(`is held by .* \\(pid ${process.pid}\\)`));
  assert.match(taken.of('port')[0].remedy, /stop it, or give another "listen"/);
  other.close();
  const gw = await startGateway({
    config: { listen: '127.0.0.1:0', engine: { model, device: 'cpu', context: 256 } },
  });
  const runs = await doctor(good({ listen: `127.0.0.1:${gw.port}` }));
  assert.deepEqual(runs.fails, []);
  assert.equal(runs.of('port')[0].state, 'warn');
  const holder = new RegExp(`by tollgate \\(pid ${gw.child.pid}\\)`);
  assert.match(runs.of('port')[0].text, holder);
  const second = await doctor(good({ dataDir: gw.dataDir }));
  assert.deepEqual(second.fails, []);
  assert.equal(second.of('data')[1].state, 'warn');
  assert.match(second.of('data')[1].text, holder);
  assert.match(second.of('data')[1].remedy, /a second one .* needs another "dataDir"/);
  await gw.stop();
  assert.equal((await doctor(good({ dataDir: gw.dataDir }))).of('data').length, 1);
  const odd = await tempDir();
  execFileSync('mkfifo', [path.join(odd, 'lock')]); // which nobody writes
  assert.deepEqual((await doctor(good({ dataDir: odd }))).fails, []);
  const v6 = await doctor(good({ listen: '[::1]:0' }));
  assert.notEqual(v6.of('port').length, 0);
});

test('a folder that cannot be made', async () => {
  const r = await doctor(good({ dataDir: '/proc/tollgate' }));
  assert.deepEqual(r.fails, ['data']);
  assert.match(r.of('data')[0].text, /no space is left at \/proc$/);
});

test('the model: missing, no GGUF file, broken off, not to be read', async () => {
  const missing = await doctor(good({}, { model: 'none.gguf' }));
  assert.deepEqual(missing.fails, ['config', 'model']);
  const text = missing.of('model')[0].text;
  assert.match(text, /\/none\.gguf is not there, nor is .*models\/none\.gguf/);
  const dir = await tempDir();
  writeFileSync(path.join(dir, 'm.gguf'), 'not a model');
  const wrong = await doctor(good({}, { model: 'm.gguf' }), { dir });
  assert.deepEqual(wrong.fails, ['model']);
  assert.match(wrong.of('model')[0].text, /m\.gguf: /);
  assert.match(wrong.of('model')[0].remedy, /fetch it again/);
  mkdirSync(path.join(dir, 'models'));
  copyFileSync(model, path.join(dir, 'models/in-model-dir.gguf'));
  const found = await doctor(good({}, { model: 'in-model-dir.gguf' }), { dir });
  assert.deepEqual(found.fails, []);
  if (process.getuid() === 0) {
    chmodSync(dir, 0o755);
    chmodSync(path.join(dir, 'm.gguf'), 0o600);
    const closed = await doctor(good({}, { model: 'm.gguf' }), { dir, uid: 65534 });
    assert.ok(closed.fails.includes('model'));
    assert.match(closed.of('model')[0].text, /m\.gguf: Permission denied/);
    assert.ok(closed.fails.includes('data'), 'dataDir cannot be made by this user');
    assert.match(closed.of('data')[0].text, /dataDir .*data: .*: Permission denied/);
  }
});

// Where a GGUF file says how many rows a tensor has, and where its data begin.
function tensor(file, name) {
  const at = (p) => Number(file.readBigUInt64LE(p));
  let p = file.indexOf('output_norm.weight') - 8; // the first in the tests' model
  let found = null;
  for (let i = 0; i < at(8); i++) {
    const text = file.toString('latin1', p + 8, p + 8 + at(p));
    p += 8 + at(p);
    const dims = file.readUInt32LE(p);
    if (text === name) found = { rows: p + 12, offset: at(p + 4 + 8 * dims + 4) };
    p += 4 + 8 * dims + 12;
  }
  return { rows: found.rows, data: Math.ceil(p / 32) * 32 + found.offset };
}

async function modelWith(change) {
  const dir = await tempDir();
  const file = readFileSync(model);
  change(file);
  writeFileSync(path.join(dir, 'm.gguf'), file);
  return dir;
}

test('the model: what serve refuses, and what it runs', async () => {
  const long = await doctor(good({}, { context: 65536 }));
  assert.deepEqual(long.fails, ['model']);
  const says = long.of('model').find((c) => c.state === 'fail');
  assert.match(says.text, /a context of 65536 is not possible; the model allows 2 to 4096/);
  assert.match(says.remedy, /engine\.context/);
  const rows = await modelWith((file) => {
    file.writeBigUInt64LE(4095n, tensor(file, 'token_embd.weight').rows);
  });
  const fewer = await doctor(good({}, { model: 'm.gguf' }), { dir: rows });
  assert.deepEqual(fewer.fails, ['model']);
  assert.match(fewer.of('model')[0].text, /tokenizer has 4096 tokens, the embedding 4095/);
  const nan = await modelWith((file) => {
    file.writeUInt16LE(0x7e7e, tensor(file, 'blk.0.ffn_down.weight').data);
  });
  const odd = await doctor(good({}, { model: 'm.gguf' }), { dir: nan, args: [] });
  assert.deepEqual(odd.fails, []);
  assert.equal(odd.of('self-test')[0].state, 'warn');
  assert.doesNotMatch(odd.of('self-test')[0].remedy, /GPU|driver/);
});

test('nothing in a file steers the terminal', async () => {
  const dir = await modelWith((file) => {
    file.write('\x1b]0;\x07\x9b', file.indexOf('general.name') + 12 + 4 + 8, 'latin1');
  });
  const config = good({ 'a\x1b[31m': 1, providers: { a: { apiKey: { env: 'A\x1b[32m' } } } });
  config.engine.model = 'm.gguf';
  const r = await doctor(config, { dir });
  const text = await startPull(['doctor', '--config', path.join(dir, 'config.json'), ...quick])
    .done;
  for (const line of [...text.out.split('\n'), ...r.report.checks.map((c) => c.text + c.remedy)])
    assert.doesNotMatch(line, /[\x00-\x1f\x7f-\x9f]/);
  assert.match(text.out, /\\x1b\]0;\\x07\\x9b/);
  assert.match(text.out, /\\x1b\[3[12]m/);
});

test('folders that are files', async () => {
  const dir = await tempDir();
  writeFileSync(path.join(dir, 'file'), 'x');
  const r = await doctor(good({ dataDir: 'file' }), { dir });
  assert.deepEqual(r.fails, ['data']);
  assert.match(r.of('data')[0].text, /file is not a folder/);
  const homeless = await doctor(
    { listen: '127.0.0.1:0', engine: { model, device: 'cpu' } },
    { env: { HOME: '', XDG_STATE_HOME: '', XDG_DATA_HOME: '' } },
  );
  assert.deepEqual(homeless.fails, ['config', 'data', 'models']);
});

test('devices: a driver that is not there matters when it is asked for', async () => {
  const env = { VK_DRIVER_FILES: '/none.json', VK_ICD_FILENAMES: '/none.json' };
  const cpu = await doctor(good(), { env });
  assert.deepEqual(cpu.fails, []);
  assert.equal(cpu.of('vulkan')[0].state, 'warn');
  const vulkan = await doctor(good({}, { device: 'vulkan' }), { env });
  assert.deepEqual(vulkan.fails, ['vulkan', 'model']);
  assert.match(vulkan.of('vulkan')[0].remedy, /set engine\.device to "cpu"/);
  const here = await doctor(good());
  const told = here.of('vulkan')[0];
  if (!/^none: /.test(told.text))
    assert.match(told.text, /; driver .*; Vulkan \d+\.\d+\.\d+; subgroups of \d+; memory [\d.]+ /);
});

test('options', async () => {
  for (const [args, code, says] of [
    [['--help'], 0, /usage: tollgate doctor/],
    [['--nonsense'], 2, /usage: tollgate doctor/],
    [['extra'], 2, /unexpected argument "extra"/],
  ]) {
    const r = await startPull(['doctor', ...args]).done;
    assert.equal(r.code, code);
    assert.match(r.out + r.err, says);
  }
});
