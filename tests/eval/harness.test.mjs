// The evaluation against the real program, with a model that is always wrong.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { root, tempDir } from '../http/lib.mjs';
import { goodEnough } from './analysis.mjs';
import { calibrationLines, evaluate, mixed } from './evaluate.mjs';
import { compare } from './predict.mjs';
import { readSet } from './set.mjs';
import { standIn } from './standin.mjs';

const model = path.join(root, 'tests/golden/tiny-e-Q4_0.gguf');
const options = {
  model,
  binary: process.env.TOLLGATE_BIN,
  scale: 0,
  maxTokens: 8,
  resamples: 20,
};
const { items } = readSet([{ name: 'stand-in', text: standIn(32) }]);

// A threshold with about half of the scores below it, and on none of them.
function between(scores) {
  const sorted = [...new Set(scores)].sort((a, b) => a - b),
    i = Math.floor(sorted.length / 2);
  return (sorted[i - 1] + sorted[i]) / 2;
}

for (const stream of [false, true])
  test(`routed ${stream ? 'streams' : 'answers'} go as predicted, paid for or not`, async () => {
    const maxTokens = stream ? 32 : 8; // longer than the window, or shorter
    const common = { ...options, stream, maxTokens };
    const first = await evaluate(items, { ...common, thresholds: [] });
    const scores = first.rows.map((r) => r.local.confidence);
    assert.ok(scores.every((s) => s > 0 && s < 1));
    const keys = first.results.keys.sort((a, b) => b.n - a.n);
    assert.equal(keys[0].key.span, stream ? 'window' : 'answer');
    assert.equal(mixed(keys), false);
    const thresholds = [between(scores), 1];
    const { rows, results } = await evaluate(items, { ...common, thresholds });
    assert.deepEqual(rows.map((r) => r.local.confidence), scores, 'scores are reproducible');
    const [half, all] = results.real;
    assert.deepEqual([half.differences, all.differences], [[], []]);
    assert.ok(half.paid > 0.1 && half.paid < 0.9, `${half.paid}`);
    assert.equal(all.paid, 1);
    assert.equal(half.paid, half.predicted.paid);
    assert.equal(results.misbilled, 0);
    assert.ok(half.cost > 0 && half.cost < all.cost);
    assert.ok(half.heldMean > 0);
    assert.ok(rows.every((r) => !r.local.right && !r.local.failed && !r.cloud.failed));
    assert.ok(rows.every((r) => r.cloud.cost > 0 && r.local.ms >= 0));
    const lines = calibrationLines(rows, goodEnough).map((l) => JSON.parse(l));
    assert.equal(lines.length, 32);
    assert.ok(Object.values(lines[0].features).every((v) => v >= 0 && v <= 1));
  });

// The set is made so that the model is right where it is sure of what it says: its own answers are
// the right ones there.
test('with a confidence that knows, routing pays for no more than the oracle', async () => {
  const texts = items.filter((item) => item.family === 'arithmetic');
  const { rows } = await evaluate(texts, { ...options, thresholds: [] });
  const middle = between(rows.map((r) => r.local.confidence));
  const sure = (i) => rows[i].local.confidence > middle && rows[i].local.answer.trim();
  const knowing = texts.map((item, i) =>
    sure(i) ? { ...item, answer: rows[i].local.answer.trim() } : item,
  );
  const known = knowing.filter((_, i) => sure(i)).length;
  assert.ok(known >= 4 && known <= 12, `${known} of 16`);
  const { results } = await evaluate(
    knowing.map((item) => ({ ...item, split: 'test' })),
    { ...options, thresholds: [middle], accuracy: 1 },
  );
  const at = (name) => results.operations.find((o) => o.name === name);
  assert.equal(at('always local').accuracy.value, known / 16);
  assert.equal(at('always cloud').accuracy.value, 1);
  const routed = at(`confidence < ${middle}`);
  assert.equal(routed.accuracy.value, 1);
  assert.equal(routed.paid.value, at('oracle').paid.value);
  assert.equal(results.against.apgr.ofOracle.value, 1);
  assert.deepEqual(results.real[0].differences, []);
  assert.equal(results.real[0].accuracy, 1);
  assert.equal(results.real[0].paid, 1 - known / 16);
});

test('a calibration is in use from the first prompt on, and routed by', async () => {
  const few = items.slice(0, 16);
  const before = await evaluate(few, { ...options, thresholds: [] });
  assert.equal(before.results.scope.calibrated, false);
  const [{ key }] = before.results.keys;
  assert.match(key.model, /^[0-9a-f]{64}$/);
  const made = {
    ...key,
    made: '2026-11-29',
    n: 100,
    right: 50,
    bias: 4,
    weights: { mean_uncertainty: -4 },
    map: { kind: 'platt', a: 2, b: 1 },
    ece: 0.1,
    ece_raw: 0.2,
  };
  const calibration = path.join(await tempDir(), 'c.json');
  await writeFile(calibration, JSON.stringify({ version: 1, calibrations: [made] }));
  const after = await evaluate(few, { ...options, thresholds: [], calibration });
  assert.equal(after.results.scope.calibrated, true);
  after.rows.forEach(({ local }, i) => {
    const logit = 2 * (4 - 4 * local.features.mean_uncertainty) + 1;
    assert.ok(Math.abs(local.confidence - 1 / (1 + Math.exp(-logit))) < 1e-6);
    assert.equal(local.raw, before.rows[i].local.confidence);
  });
  const thresholds = [between(after.rows.map((r) => r.local.confidence))];
  const routed = await evaluate(few, { ...options, thresholds, calibration });
  assert.deepEqual(routed.results.real[0].differences, []);
  assert.ok(routed.results.real[0].paid > 0.1 && routed.results.real[0].paid < 0.9);
});

test('a route that does not do what it says is found out', async () => {
  // the run at 0.5 is judged as one at 0: everything pays where nothing should
  const { rows } = await evaluate(items.slice(0, 4), { ...options, thresholds: [] });
  const paid = rows.map((r) => ({ paid: true, right: true, answer: 'x', cost: r.cloud.cost }));
  const found = compare(rows, 0, paid);
  assert.equal(found.length, 4);
  assert.ok(found.every((d) => !d.explained));
});

const run = (...args) =>
  new Promise((done) => {
    const child = execFile(
      process.execPath,
      [path.join(root, 'tests/eval/run.mjs'), ...args],
      (cause, stdout, stderr) => done({ code: child.exitCode, stdout, stderr }),
    );
  });

test('the command: its files, its exit status', async () => {
  const out = await tempDir();
  const common = ['--model', model, '--latency', '0', '--max-tokens', '8', '--limit', '12'];
  const emit = path.join(out, 'emit.jsonl');
  const set = path.join(out, 'set.jsonl');
  await writeFile(set, standIn());
  const ran = await run(...common, '--set', set, '--out', out, '--resamples', '10', '--emit', emit);
  assert.equal(ran.code, 0, ran.stderr);
  assert.match(ran.stdout, /^# Evaluation of routing/);
  const results = JSON.parse(await readFile(path.join(out, 'results.json'), 'utf8'));
  assert.equal(results.real.length, 4);
  const read = async (file) => {
    const text = await readFile(file, 'utf8');
    return text.trim().split('\n').map((l) => JSON.parse(l));
  };
  assert.equal((await read(path.join(out, 'rows.jsonl'))).length, 12);
  const lines = await read(emit);
  assert.ok(lines.length > 3 && lines.every((l) => l.split === 'fit'));
  for (const name of ['report.md', 'cost-quality.svg', 'reliability.svg'])
    assert.ok((await readFile(path.join(out, name), 'utf8')).length > 500);

  const more = ['--set', set, '--out', out, '--thresholds', 'none', '--check'];
  const missed = await run(...common, ...more);
  assert.equal(missed.code, 1, 'a model that is always wrong misses targets');
});

test('a wrong command line is told and does nothing', async () => {
  for (const [args, why] of [
    [['--limit', 'x'], /--limit: x is not/],
    [['--accuracy', '1.5'], /--accuracy/],
    [['--thresholds', '0.5,2'], /--thresholds: 2/],
    [['--split', 'train'], /--split is fit or test/],
    [['--no-such'], /no-such/],
    [['--model', '/no/such/file'], /is not there/],
  ]) {
    const r = await run(...args);
    assert.equal(r.code, 2, r.stderr);
    assert.match(r.stderr, why);
    assert.equal(r.stdout, '');
  }
  assert.match((await run('--help')).stdout, /--check/);
});
