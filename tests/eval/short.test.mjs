// A minute of the evaluation, in the test suite: Spark through a gateway with the mock cloud. Fails
// when routing breaks; how good it is, the full run tells (README.md).
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { root } from '../http/lib.mjs';
import { expected } from './calibrated.mjs';
import { evaluate, mixed } from './evaluate.mjs';
import { loadSet, thin } from './set.mjs';

// [least, most]. Of the thinned set, whose mix is not the full one's.
const BOUNDS = {
  local: [0.6, 0.85], // accuracy of always local
  cloud: [0.88, 1], // of always cloud
  gained: [0.15, 0.38], // accuracy at the default trigger, above always local; by chance 0.01
  ofCloud: [0.96, 1.1], // accuracy at the default trigger, of the cloud's
  paid: [0.18, 0.4], // share at the default trigger
  abovePaid: [-0.05, 0.12], // that, above the oracle's
  ofOracle: [0.8, 1.001], // APGR of confidence, of the oracle's
};
const PROMPTS = 150;
const STREAMED = 40;
const DEFAULT = 'confidence < 0.85';

const model = path.join(root, 'config/models/spark.gguf');
const sets = ['fit.jsonl', 'test.jsonl'].map((name) => path.join(root, 'tests/eval', name));
const missing = [model, ...sets].find((file) => !existsSync(file));
const skip = missing ? `${path.relative(root, missing)} is not there yet` : false;

const options = {
  model,
  binary: process.env.TOLLGATE_BIN,
  scale: 0,
  resamples: 0,
  thresholds: [0.5, 0.85],
};
const prompts = (n) => thin(loadSet(sets).items.filter((item) => item.split === 'test'), n);

function within(name, value) {
  const [low, high] = BOUNDS[name];
  assert.ok(value >= low && value <= high, `${name}: ${value} is not in ${low} to ${high}`);
}

// The shipped calibration made every score of a whole answer, as it says; streams longer than the
// window have none. precision: what the engine was told to run with.
function assertCalibrated(rows, precision) {
  const file = model.replace(/\.gguf$/, '.calibration.json');
  const { calibrations } = JSON.parse(readFileSync(file, 'utf8'));
  const whole = rows.filter(({ local }) => local.key.span === 'answer');
  assert.ok(whole.length > rows.length / 2, `${whole.length} of ${rows.length} answers are whole`);
  for (const { id, local } of whole) {
    const score = expected(calibrations, local);
    assert.ok(score !== null, `no calibration of ${JSON.stringify(local.key)}: ${file} is stale`);
    assert.ok(local.calibrated, `${id} is not calibrated`);
    const told = local.confidence;
    assert.ok(Math.abs(score - told) < 1e-6, `${id}: ${told}, not ${score}`);
    if (precision) assert.equal(local.key.precision, precision);
  }
}

test('routing pays for what local gets wrong', { skip }, async (t) => {
  const { rows, results } = await evaluate(prompts(PROMPTS), options);
  const at = (name) => results.operations.find((o) => o.name === name);
  const local = at('always local').accuracy.value,
    routed = at(DEFAULT),
    { against } = results;
  const found = {
    local,
    cloud: at('always cloud').accuracy.value,
    gained: routed.accuracy.value - local,
    ofCloud: against.accuracy.ofCloud.value,
    paid: routed.paid.value,
    abovePaid: against.paid.aboveOracle.value,
    ofOracle: against.apgr.ofOracle.value,
  };
  t.diagnostic(JSON.stringify(found));
  assert.equal(results.scope.localFailed + results.scope.cloudFailed, 0);
  assert.equal(mixed(results.keys), false, JSON.stringify(results.keys));
  assertCalibrated(rows);
  assert.equal(results.misbilled, 0, 'costs are tokens by price');
  for (const [name, value] of Object.entries(found)) within(name, value);
  for (const r of results.real)
    assert.equal(r.unexplained, 0, JSON.stringify(r.differences.slice(0, 3)));
});

test('streams too', { skip }, async () => {
  const given = { ...options, stream: true, precision: 'exact' };
  const { rows, results } = await evaluate(prompts(STREAMED), given);
  assertCalibrated(rows, 'exact');
  assert.equal(results.misbilled, 0, 'costs are tokens by price');
  for (const r of results.real)
    assert.equal(r.unexplained, 0, JSON.stringify(r.differences.slice(0, 3)));
  const [, byDefault] = results.real;
  assert.ok(byDefault.paid > 0 && byDefault.paid < 1, `${byDefault.paid}`);
});
