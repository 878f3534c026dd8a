import assert from 'node:assert/strict';
import { test } from 'node:test';
import { askings, mistyped } from './difficulty.mjs';
import { fit, heldOut, logLoss, ranked, score } from './logistic.mjs';
import { random } from './metrics.mjs';

test('at the minimum the gradient is zero, and the truth is recovered', () => {
  const next = random(3),
    truth = { bias: -1, weights: [2, -3] };
  const x = Array.from({ length: 4000 }, () => [next(), next()]);
  const y = x.map((row) => Number(next() < score(truth, row)));
  const model = fit(x, y, 0.5);
  for (let k = 0; k < 2; k++) {
    const slope = x.reduce((s, row, i) => s + (y[i] - score(model, row)) * row[k], 0);
    assert.ok(Math.abs(slope - 0.5 * model.weights[k]) < 1e-6);
    assert.ok(Math.abs(model.weights[k] - truth.weights[k]) < 0.4, String(model.weights));
  }
  const bias = x.reduce((s, row, i) => s + y[i] - score(model, row), 0);
  assert.ok(Math.abs(bias) < 1e-5);
});

test('separable classes end in finite weights', () => {
  const model = fit([[0], [0], [1], [1]], [0, 0, 1, 1]);
  assert.ok(model.weights[0] > 0 && Number.isFinite(model.weights[0]));
});

test('what is judged has not been seen: labels by group alone cannot be learnt', () => {
  const groups = Array.from({ length: 400 }, (_, i) => `g${i % 40}`),
    next = random(9);
  const label = Object.fromEntries([...new Set(groups)].map((g) => [g, Number(next() < 0.5)]));
  const ids = Object.keys(label);
  const x = groups.map((g) => ids.map((id) => Number(id === g))); // each group has its column
  const y = groups.map((g) => label[g]);
  const fold = (g) => Number(g.slice(1)) % 5;
  assert.ok(ranked(x.map((row) => score(fit(x, y), row)), y) > 0.99);
  assert.ok(ranked(heldOut(x, y, groups, fold), y) < 0.6);
});

test('ranked and log loss by hand', () => {
  assert.equal(ranked([0.1, 0.4, 0.4, 0.9], [0, 0, 1, 1]), 3.5 / 4);
  assert.equal(ranked([0.5], [1]), null);
  assert.ok(Math.abs(logLoss([0.5, 0.25], [1, 0]) - (Math.log(2) - Math.log(0.75)) / 2) < 1e-12);
});

test('a mistyped text has the same letters, another order, and is always the same', () => {
  const text = 'Explain the difference between these things, please.';
  const got = mistyped(text);
  assert.notEqual(got, text);
  assert.equal([...got].sort().join(''), [...text].sort().join(''));
  assert.equal(mistyped(text), got);
  assert.equal(mistyped('P = NP?'), 'P = NP?');
  assert.equal(askings([{ id: 'a', kind: 'k', hard: 1, asks: [text, 'Other'] }]).length, 3);
});
