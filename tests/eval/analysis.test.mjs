// From rows to results, targets, the report and the pictures, on scripted answers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { analyse, fitBoth, goodEnough } from './analysis.mjs';
import { calibrationLines, keysOf, mixed } from './evaluate.mjs';
import { row, rows as fakeRows } from './fake.mjs';
import { compare, paysBelow } from './predict.mjs';
import { markdown, table } from './report.mjs';
import { costQuality, reliability } from './svg.mjs';
import { targets } from './targets.mjs';

const near = (a, b, by = 1e-9) => assert.ok(Math.abs(a - b) <= by, `${a} is not ${b}`);
const quick = { thresholds: [0.5], resamples: 50 };
const at = (results, name) => results.operations.find((o) => o.name === name);

// What a routed run gives when all goes as predicted.
const asPredicted = (rows, t) =>
  rows.map((r) => {
    const paid = paysBelow(r, t),
      from = paid ? r.cloud : r.local;
    return { paid, right: from.right, answer: from.answer, cost: paid ? r.cloud.cost : 0, held: 1 };
  });
const withReal = (results) => ({
  about: { model: 'm', set: 's', prompts: 1, accuracy: 0.95 },
  keys: [],
  ...results,
  real: [
    {
      threshold: 0.5,
      paid: 0.4,
      accuracy: 0.9,
      cost: 0.1,
      heldMean: 1,
      heldP50: 1,
      heldP95: null,
      predicted: { accuracy: 0.9, paid: 0.4, cost: 0.1 },
      differences: [],
      unexplained: 0,
    },
  ],
});

test('figures are of the test split; the points are what plain counting gives', () => {
  const rows = fakeRows(600);
  const results = analyse(rows, quick);
  const mine = rows.filter((r) => r.split === 'test');
  assert.equal(results.scope.n, 300);
  const share = (list, f) => list.filter(f).length / list.length;
  near(at(results, 'always local').accuracy.value, share(mine, (r) => r.local.right));
  near(at(results, 'always cloud').accuracy.value, share(mine, (r) => r.cloud.right));
  const below = (r) => r.local.confidence < 0.85;
  near(at(results, 'confidence < 0.85').paid.value, share(mine, below));
  near(
    at(results, 'confidence < 0.85').accuracy.value,
    share(mine, (r) => (below(r) ? r.cloud : r.local).right),
  );
  const oracle = at(results, 'oracle');
  near(oracle.paid.value, share(mine, (r) => !r.local.right && r.cloud.right));
  near(oracle.accuracy.value, share(mine, (r) => r.local.right || r.cloud.right));
  const random = at(results, 'random, share of confidence < 0.85');
  near(random.paid.value, at(results, 'confidence < 0.85').paid.value);
  assert.equal(results.sweep.length, 101);
  near(results.sweep[85].paid.value, at(results, 'confidence < 0.85').paid.value);
  const { low, value, high } = results.routers.confidence.apgr;
  assert.ok(low < value && value < high);
});

test('a level that is all right is not right for certain', () => {
  const easy = Array.from({ length: 30 }, (_, i) => row(`e${i}`, 1, i % 2, 0.9));
  const levels = (resamples) => analyse(easy, { thresholds: [], resamples }).levels[0];
  const { accuracy, paid, cloud } = levels(20);
  assert.deepEqual([accuracy.value, accuracy.high, paid.value, paid.low], [1, 1, 0, 0]);
  near(accuracy.low, 0.8865, 5e-4);
  near(paid.high, 0.1135, 5e-4);
  assert.ok(cloud.low > 0.3 && cloud.low < 0.4 && cloud.value === 0.5);
  assert.equal(levels(0).accuracy.low, null);
});

test('who has no local answer pays by every route', () => {
  const rows = Array.from({ length: 10 }, (_, i) =>
    i < 5
      ? row(`f${i}`, 0, 1, null, { failed: true, complexity: null, ms: 0 })
      : row(`l${i}`, 1, 1, 0.9, { complexity: i / 10 }),
  );
  const results = analyse(rows, { thresholds: [], resamples: 0 });
  const byComplexity = results.operations.find((o) => o.name.startsWith('complexity >'));
  assert.deepEqual([byComplexity.paid.value, byComplexity.accuracy.value], [0.5, 1]);
});

test('a good confidence nears the oracle, a blind one is a coin', () => {
  const good = analyse(fakeRows(2000), quick);
  assert.ok(good.against.apgr.ofOracle.value > 0.88);
  assert.ok(good.against.cpt80.aboveOracle.value < 0.1);
  const ece = good.calibration.find((c) => c.name === 'confidence').ece.value;
  assert.ok(ece < 0.06, `${ece}`);
  const blind = analyse(fakeRows(2000, { blind: true }), quick);
  assert.ok(blind.against.apgr.ofOracle.value < 0.75);
  near(blind.routers.confidence.apgr.value, 0.5, 0.05);
});

test('both is fitted where complexity helps', () => {
  // confidence is sure of hard ones too; complexity above 0.6 tells them
  const fit = [];
  for (let i = 0; i < 100; i++)
    fit.push(
      i % 2
        ? row(`h${i}`, 0, 1, 0.99, { complexity: 0.7 + i / 1000 })
        : row(`e${i}`, 1, 1, 0.5 + i / 1000, { complexity: 0.5 - i / 1000 }),
    );
  const best = fitBoth(fit);
  assert.ok(best.b >= 0.5 && best.b < 0.72, `${best.b}`);
  assert.ok(best.point.paid <= 50 && best.point.paid >= 40, `${best.point.paid}`);
  const none = fitBoth([row('a', 1, 0, 0.5)]);
  assert.equal(none.point, null, 'no gap, nothing to reach');
});

test('the label: local right, or the cloud wrong too', () => {
  const label = (local, cloud) => goodEnough(row('x', local, cloud, 0.5));
  assert.deepEqual([label(1, 1), label(1, 0), label(0, 0), label(0, 1)], [1, 1, 1, 0]);
});

test('lines for calibrate are of scored answers', () => {
  const rows = [
    row('a', 1, 1, 0.9),
    row('b', 0, 1, null, { failed: true }),
    row('c', 0, 1, null, { features: null }),
  ];
  const lines = calibrationLines(rows, goodEnough).map((l) => JSON.parse(l));
  assert.equal(lines.length, 1);
  assert.deepEqual(lines[0].key, { model: 'fake' });
  assert.deepEqual([lines[0].label, lines[0].features.a, lines[0].split], [1, 1, 'test']);
});

test('scores of several kinds are noticed', () => {
  const scored = (key, calibrated = true) => row('x', 1, 1, 0.5, { key, calibrated });
  const is = (...list) => mixed(keysOf(list));
  const [answer, span] = [{ model: 'a', span: 'answer' }, { model: 'a', span: 'window' }];
  assert.equal(is(scored(answer), scored(answer), scored(null)), false);
  assert.equal(is(scored(answer), scored(span)), false);
  assert.equal(is(scored(answer), scored(span, false)), false);
  assert.equal(is(scored(answer), scored(answer, false)), true);
  assert.equal(is(scored(answer), scored({ ...answer, model: null })), true);
  assert.equal(is(scored(answer), scored({ ...span, model: null })), true);
  assert.deepEqual(keysOf([scored(answer), scored(answer)])[0].n, 2);
});

test('a routed run is compared answer by answer', () => {
  const rows = [row('a', 1, 1, 0.9), row('b', 0, 1, 0.2), row('c', 0, 1, null)];
  const real = asPredicted(rows, 0.5);
  assert.deepEqual(compare(rows, 0.5, real), []);
  assert.equal(real.filter((r) => r.paid).length, 1, 'unknown does not pay');
  const wrong = (i, more) =>
    compare(rows, 0.5, real.map((r, k) => (k === i ? { ...r, ...more } : r)));
  assert.match(wrong(0, { paid: true, cost: 0.001 })[0].what.join(), /paid true.*cost/);
  assert.match(wrong(1, { right: false })[0].what.join(), /right false/);
  assert.match(wrong(0, { answer: 'other' })[0].what.join(), /another answer/);
  assert.ok(wrong(0, { paid: true }).every((d) => !d.explained));
  // a score on the threshold, as far as its digits tell
  const edge = [row('a', 1, 1, 0.5)],
    paid = [{ paid: true, right: true, answer: 'right', cost: 0.001 }];
  assert.ok(compare(edge, 0.5, paid)[0].explained);
  assert.ok(!compare(edge, 0.50001, asPredicted(edge, 0.4))[0].explained);
});

test('targets: met by good routing, missed by blind', () => {
  const judge = (rows) =>
    Object.fromEntries(targets(withReal(analyse(rows, quick))).map((t) => [t.name, t]));
  const good = judge(fakeRows(4000));
  for (const name of [
    'held-out test prompts',
    'the mock cloud is right',
    "accuracy at confidence < 0.85, of the cloud's",
    'routed runs go as predicted',
    'ECE after calibration',
  ])
    assert.equal(good[name].met, true, `${name}: ${good[name].found}`);
  const blind = judge(fakeRows(400, { blind: true, cloud: 0.6 }));
  for (const name of [
    'held-out test prompts',
    'the mock cloud is right',
    "APGR, of the oracle's",
    "paid at confidence < 0.85, above the oracle's",
    'ECE after calibration',
  ])
    assert.equal(blind[name].met, false, `${name}: ${blind[name].found}`);
  const raw = fakeRows(400).map((r) => ({ ...r, local: { ...r.local, calibrated: false } }));
  assert.equal(judge(raw)['ECE after calibration'].met, false, 'not calibrated');
});

test('a level that the set has not got is not met', () => {
  const judge = (names) => {
    const rows = names.map((name, i) => {
      const [family, level] = name.split(' ');
      return { ...row(`r${i}`, 1, 1, 0.9), family, level };
    });
    return targets(withReal(analyse(rows, quick))).find((t) => t.name === 'easy levels');
  };
  const some = judge(['talk plain', 'facts known']);
  assert.equal(some.met, false);
  assert.match(some.found, /none of extraction one/);
});

test('a report has no holes, whatever is unknown', () => {
  const nothing = [row('a', 0, 0, null), row('b', 0, 0, null)];
  for (const [rows, resamples] of [
    [fakeRows(100), 50],
    [nothing, 50],
    [fakeRows(3), 50],
    [fakeRows(100), 0],
  ]) {
    const results = withReal(analyse(rows, { ...quick, resamples }));
    results.targets = targets(results);
    const text = markdown(results);
    assert.doesNotMatch(text, /undefined|NaN|Infinity|\[object/);
    JSON.parse(JSON.stringify(results));
    for (const svg of [
      costQuality({ ...results, title: 'a < b & c' }),
      reliability({ scores: results.calibration, title: 't' }),
    ]) {
      assert.doesNotMatch(svg, /undefined|NaN|Infinity/);
      const open = [...svg.matchAll(/<([a-z]+)[^>]*[^/]>/g)].map((t) => t[1]).sort();
      const closed = [...svg.matchAll(/<\/([a-z]+)>/g)].map((t) => t[1]).sort();
      assert.deepEqual(open, closed);
      assert.match(svg, /^<svg xmlns/);
    }
  }
  assert.match(costQuality({ curves: {}, real: [], title: 'a < b' }), /a &lt; b/);
  assert.equal(table(['a', 'b'], [[1, 2]]), '| a | b |\n| --- | --- |\n| 1 | 2 |');
});
