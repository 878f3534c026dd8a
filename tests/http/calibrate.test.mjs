// tollgate calibrate: from JSON lines to the file that the gateway reads.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { chmod, readFile, readdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { tempDir } from './lib.mjs';

const featureNames = [
  ...['mean', 'median', 'p90', 'max', 'total'].map((n) => `${n}_uncertainty`),
  ...['min_probability', 'mean_doubt', 'max_entropy', 'first_entropy', 'first_doubt'],
  ...['low_margin', 'few_tokens'],
];
const key = (fields = {}) => ({
  ...{ model: 'ab'.repeat(32), precision: 'fast', features: 2, span: 'answer', thinking: false },
  ...fields,
});

// A truth that is known: right with probability 0.05 + 0.9 / (1 + exp(-8 (min_probability - 0.5))).
function* examples(n, seed, of = key()) {
  let state = BigInt(seed);
  const uniform = () => {
    state = (state * 6364136223846793005n + 1442695040888963407n) & ((1n << 64n) - 1n);
    return Number(state >> 11n) / 2 ** 53;
  };
  for (let i = 0; i < n; i++) {
    const features = Object.fromEntries(featureNames.map((name) => [name, uniform()]));
    const right = 0.05 + 0.9 / (1 + Math.exp(-8 * (features.min_probability - 0.5)));
    yield { family: 'x', id: i, key: of, features, label: uniform() < right ? 1 : 0 };
  }
}
const lines = (list) => [...list].map((e) => JSON.stringify(e)).join('\n') + '\n';

const calibrate = (args, input) =>
  spawnSync(process.env.TOLLGATE_BIN, ['calibrate', ...args], { encoding: 'utf8', input });

async function folder() {
  const dir = await tempDir();
  const file = (name) => path.join(dir, name);
  return { dir, out: file('calibration.json'), file };
}
const stored = async (out) => JSON.parse(await readFile(out, 'utf8')).calibrations;

test('fits, writes and says how good it is', async () => {
  const { dir, out, file } = await folder();
  await writeFile(file('fit.jsonl'), lines(examples(1200, 1)));
  await writeFile(file('test.jsonl'), lines(examples(1200, 2)));
  const args = ['--from', file('fit.jsonl'), '--test', file('test.jsonl'), '--data-dir', dir];
  const r = calibrate([...args, '--json']);
  assert.equal(r.status, 0, r.stderr);
  const report = JSON.parse(r.stdout);
  assert.equal(report.written, out);
  const [one] = report.keys;
  assert.deepEqual(one.key, key());
  assert.equal(one.map, 'isotonic');
  assert.ok(one.kept.includes('min_probability') && one.dropped.length >= 6);
  for (const judged of [one, one.test]) {
    assert.ok(judged.after.ece < 0.05 && judged.before.ece > 2 * judged.after.ece);
    assert.ok(judged.after.brier < judged.before.brier && judged.after.auc > 0.8);
    assert.equal(judged.reliability_after.reduce((sum, b) => sum + b.n, 0), 1200);
  }
  const [c] = await stored(out);
  const { model, precision, features, span, thinking } = c;
  assert.deepEqual({ model, precision, features, span, thinking }, key());
  assert.equal(c.n, 1200);
  assert.match(c.made, /^\d{4}-\d\d-\d\d$/);
  assert.deepEqual(Object.keys(c.weights), one.kept);
  assert.ok(c.map.y.every((y, i) => y > 0 && y < 1 && (i === 0 || y >= c.map.y[i - 1])));
  assert.deepEqual((await readdir(dir)).sort(), ['calibration.json', 'fit.jsonl', 'test.jsonl']);
  const before = await readFile(out, 'utf8');
  const tables = calibrate(args);
  assert.match(tables.stdout, /held out +1200/);
  assert.match(tables.stdout, /--test +1200/);
  assert.match(tables.stdout, /reliability, held out\n.*\n  0\.0 to 0\.1/);
  assert.equal(await readFile(out, 'utf8'), before, 'the same examples give the same file');
});

test('keys are fitted apart, other keys of the file are kept', async () => {
  const { dir, out } = await folder();
  const of = [key(), key({ span: 'window' }), key({ precision: 'exact' })];
  const first = lines([...examples(100, 1, of[0]), ...examples(100, 2, of[1])]);
  assert.equal(calibrate(['--from', '-', '--data-dir', dir], first).status, 0);
  const one = await stored(out);
  assert.deepEqual(one.map((c) => c.span), ['answer', 'window']);
  assert.equal(one[0].map.kind, 'platt');
  // One key again, one that is new, one with too little.
  const second = lines([
    ...examples(120, 3, of[1]),
    ...examples(100, 4, of[2]),
    ...examples(49, 5, key({ thinking: true })),
  ]);
  const r = calibrate(['--from', '-', '--out', out], second);
  assert.equal(r.status, 0, r.stderr);
  assert.match(r.stdout, /thinking on\n  not calibrated: 49 examples are too few: at least 50/);
  const two = await stored(out);
  assert.equal(two.length, 3);
  assert.deepEqual(two[0], one[0]);
  assert.equal(two[1].n, 120);
  assert.equal(two[2].precision, 'exact');
});

test('nothing is written by a dry run, nor when no key has enough', async () => {
  const { dir, file } = await folder();
  const r = calibrate(['--from', '-', '--dry-run'], lines(examples(100, 1)));
  assert.equal(r.status, 0, r.stderr);
  assert.match(r.stdout, /nothing was written/);
  const few = calibrate(['--from', '-', '--data-dir', dir], lines(examples(20, 1)));
  assert.equal(few.status, 1);
  assert.match(few.stderr, /20 examples are too few/);
  const sure = [...examples(80, 1)].map((e) => ({ ...e, label: 1 }));
  const one = calibrate(['--from', '-', '--data-dir', dir], lines(sure));
  assert.equal(one.status, 1);
  assert.match(one.stderr, /of 80 examples 80 are right: at least 10 right and 10 wrong/);
  assert.deepEqual(await readdir(dir), []);
  assert.equal(calibrate(['--from', file('none'), '--data-dir', dir]).status, 1);
  assert.equal(calibrate(['--from', dir, '--data-dir', dir]).status, 1);
  assert.equal(calibrate([]).status, 2);
  assert.equal(calibrate(['--from', '-', 'more']).status, 2);
  assert.equal(calibrate(['--help']).status, 0);
});

test('a bad line is named, and nothing is written', async () => {
  const { dir } = await folder();
  const good = [...examples(60, 1)];
  const [one] = good;
  const without = { ...one.features };
  delete without.low_margin;
  const bad = [
    ['{"key":', /line 61: line 1, column 8/],
    ['[]', /line 61: must be an object/],
    [JSON.stringify({ ...one, label: 2 }), /line 61: label: must be 1/],
    [JSON.stringify({ ...one, label: true }), /line 61: label: must be 1/],
    [JSON.stringify({ ...one, key: { ...one.key, model: null } }), /line 61: key.model: is null/],
    [JSON.stringify({ ...one, key: null }), /line 61: key: must be an object/],
    [JSON.stringify({ ...one, key: key({ features: 1 }) }), /key.features: .* version 1,/],
    [JSON.stringify({ ...one, features: null }), /line 61: features: must be an object/],
    [JSON.stringify({ ...one, features: {} }), /features: are empty: .*: leave the line out/],
    [JSON.stringify({ ...one, features: without }), /features.low_margin: is missing/],
    [
      JSON.stringify({ ...one, features: { ...one.features, few_tokens: 1.5 } }),
      /features.few_tokens: must be a number from 0 to 1/,
    ],
    [
      JSON.stringify({ ...one, features: { ...one.features, mood: 1 } }),
      /features.mood: there is no feature of that name/,
    ],
    [JSON.stringify({ ...one, id: 'x'.repeat(70000) }), /line 61: is above 65536 bytes/],
  ];
  for (const [line, error] of bad) {
    const r = calibrate(['--from', '-', '--data-dir', dir], `${lines(good)}${line}\n`);
    assert.equal(r.status, 1);
    assert.match(r.stderr, /^tollgate calibrate: standard input, line 61: /);
    assert.match(r.stderr, error);
    assert.equal(r.stdout, '');
  }
  assert.deepEqual(await readdir(dir), []);
  assert.match(calibrate(['--from', '-', '--data-dir', dir], '\n').stderr, /there is no example/);
});

test('a file that cannot be read, or not be written, stays as it is', async () => {
  const { dir, out } = await folder();
  const input = lines(examples(80, 1));
  await writeFile(out, '{"version":1,"calibrations":[{"model":"x"}]}');
  const r = calibrate(['--from', '-', '--data-dir', dir], input);
  assert.equal(r.status, 1);
  assert.match(r.stderr, /calibration\.json: calibrations\[0\]\.model: must be the SHA-256/);
  assert.match(await readFile(out, 'utf8'), /"model":"x"/);
  const gone = calibrate(['--from', '-', '--data-dir', path.join(dir, 'none')], input);
  assert.equal(gone.status, 1);
  assert.match(gone.stderr, /none\/calibration\.json cannot be written: No such file.*--out FILE/);
  assert.equal(gone.stdout, '');
  assert.deepEqual(await readdir(dir), ['calibration.json']);
  // Both are found before a line of examples is read.
  const never = calibrate(['--from', path.join(dir, 'nothing'), '--data-dir', dir]);
  assert.match(never.stderr, /calibrations\[0\]\.model: .*--config FILE, --data-dir DIR or --out/);
  const lost = calibrate(['--from', '-', '--config', path.join(dir, 'no.json')], input);
  assert.match(lost.stderr, /no\.json.*; --config FILE, --data-dir DIR or --out FILE names/);
});

test('figures are told even when there is no room to write', async () => {
  const { dir, file } = await folder();
  await writeFile(file('fit.jsonl'), lines(examples(80, 1)));
  // A file of any length fails with EFBIG, as it would on a full disk; the look ahead makes none.
  const script = 'trap "" XFSZ; ulimit -f 0; exec "$0" calibrate --from "$1" --data-dir "$2" $3';
  const bin = process.env.TOLLGATE_BIN;
  const full = (...more) =>
    spawnSync('sh', ['-c', script, bin, file('fit.jsonl'), dir, ...more], { encoding: 'utf8' });
  const r = full();
  assert.equal(r.status, 1);
  assert.match(r.stdout, /held out +80 [^]*nothing was written \(it failed\)/);
  assert.match(r.stderr, /calibration\.json cannot be written: File too large; --config FILE/);
  const json = JSON.parse(full('--json').stdout);
  assert.equal(json.written, null);
  assert.match(json.failure, /cannot be written: File too large/);
  assert.equal(json.keys[0].after.n, 80);
  assert.deepEqual(await readdir(dir), ['fit.jsonl']);
});

test('runs at the same time lose nothing of each other', async () => {
  const { dir, out } = await folder();
  const run = (i) =>
    new Promise((resolve) => {
      const args = ['calibrate', '--from', '-', '--data-dir', dir];
      const child = spawn(process.env.TOLLGATE_BIN, args, { stdio: ['pipe', 'ignore', 'inherit'] });
      child.on('exit', resolve);
      child.stdin.end(lines(examples(60, i, key({ model: `${i}`.repeat(64) }))));
    });
  const ended = await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map(run));
  assert.deepEqual(ended, Array(8).fill(0));
  const models = (await stored(out)).map((c) => c.model[0]);
  assert.deepEqual(models.sort(), ['1', '2', '3', '4', '5', '6', '7', '8']);
  assert.deepEqual(await readdir(dir), ['calibration.json']);
  assert.equal((await stat(out)).mode & 0o777, 0o600);
  await chmod(out, 0o644);
  assert.equal(await run(9), 0);
  assert.equal((await stat(out)).mode & 0o777, 0o644);
});

test('a --test of other keys is told', async () => {
  const { file } = await folder();
  await writeFile(file('test.jsonl'), lines(examples(60, 2, key({ span: 'window' }))));
  const args = ['--from', '-', '--test', file('test.jsonl'), '--dry-run'];
  const r = calibrate(args, lines(examples(80, 1)));
  assert.equal(r.status, 0);
  assert.match(r.stdout, /--test +has no example of this key/);
  assert.match(r.stderr, /: --test has no example of model abababababababab, fast, answer, /);
  assert.match(r.stderr, /: --from has no example of model abababababababab, fast, window, /);
  const json = JSON.parse(calibrate([...args, '--json'], lines(examples(80, 1))).stdout);
  assert.equal(json.keys[0].test, null);
  const without = calibrate(['--from', '-', '--dry-run', '--json'], lines(examples(80, 1)));
  assert.equal(without.stderr, '');
  assert.ok(!('test' in JSON.parse(without.stdout).keys[0]));
});

test('examples that are copies count once', async () => {
  const twice = [...examples(40, 1), ...examples(40, 1)];
  const r = calibrate(['--from', '-', '--dry-run'], lines(twice));
  assert.equal(r.status, 1);
  assert.match(r.stderr, /40 different \(of 80, the others are copies\) examples are too few/);
});

test('ablation: what tells is missed, what does not is not', async () => {
  const r = calibrate(['--from', '-', '--dry-run', '--ablate', '--json'], lines(examples(400, 7)));
  assert.equal(r.status, 0, r.stderr);
  const [one] = JSON.parse(r.stdout).keys;
  assert.deepEqual(one.ablation.map((a) => a.feature), featureNames);
  const of = (name) => one.ablation.find((a) => a.feature === name);
  assert.ok(of('min_probability').alone.auc > 0.8 && of('min_probability').without.auc < 0.6);
  assert.ok(of('low_margin').alone.auc < 0.6 && of('low_margin').without.auc > 0.8);
  assert.ok(of('min_probability').without.log_loss > one.all_features.log_loss + 0.1);
  const table = calibrate(['--from', '-', '--dry-run', '--ablate'], lines(examples(400, 7)));
  assert.match(table.stdout, /min_probability .*kept/);
  assert.match(table.stdout, /\(all features\)/);
});
