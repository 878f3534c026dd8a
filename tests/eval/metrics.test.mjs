// The figures, against cases worked out by hand and against plainer ways to compute them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { row, rows as fakeRows } from './fake.mjs';
import * as m from './metrics.mjs';

const near = (a, b, by = 1e-9) => assert.ok(Math.abs(a - b) <= by, `${a} is not ${b}`);
const points = (list) => list.map(({ share, accuracy }) => [share, accuracy]);

// local right on a and d, the cloud on a, b and c; paid in the order b, c, d, a
const four = [
  row('a', 1, 1, 0.9),
  row('b', 0, 1, 0.2),
  row('c', 0, 1, 0.6),
  row('d', 1, 0, 0.8),
];

test('the curve of four prompts, by hand', () => {
  const found = m.curve(four, m.routers.confidence(four), m.ones(4));
  assert.deepEqual(points(found), [
    [0, 0.5],
    [0.25, 0.75],
    [0.5, 1],
    [0.75, 0.75],
    [1, 0.75],
    [1, 0.75],
  ]);
  near(m.apgr(found), 1.125); // PGR 0, 1, 2, 1, 1: (0.5 + 1.5 + 1.5 + 1) / 4
  near(m.cpt(found, 0.5), 0.125);
  near(m.cpt(found, 0.8), 0.2);
  near(m.cpt(found, 1), 0.25);
  assert.equal(m.cpt(found, 0), 0);
  assert.equal(m.cpt(found, 2.5), null);
});

test('the oracle is the best at every share', () => {
  const found = m.curve(four, m.routers.oracle(four), m.ones(4));
  assert.deepEqual(points(found).slice(0, 4), [
    [0, 0.5],
    [0.5, 1],
    [0.75, 1],
    [1, 0.75],
  ]);
  near(m.apgr(found), 1.375); // PGR 0, 2, 2, 1: 0.5 + 0.5 + 0.375
  for (const seed of [1, 2, 3]) {
    const all = fakeRows(200, { seed }),
      w = m.ones(200);
    const best = m.apgr(m.curve(all, m.routers.oracle(all), w));
    assert.ok(best >= m.apgr(m.curve(all, m.routers.confidence(all), w)));
    assert.ok(best >= m.apgr(m.curve(all, m.routers.complexity(all), w)));
  }
});

test('a coin has 0.5, and a router that knows nothing about the same', () => {
  const found = m.curve(four, m.routers.random(four), m.ones(4));
  near(m.apgr(found), 0.5);
  near(m.cpt(found, 0.5), 0.5);
  near(m.cpt(found, 0.8), 0.8);
  const blind = fakeRows(4000, { blind: true });
  near(m.apgr(m.curve(blind, m.routers.confidence(blind), m.ones(4000))), 0.5, 0.04);
});

test('ties are paid for together; what is unknown is never paid for', () => {
  const tied = [row('a', 0, 1, 0.5), row('b', 1, 1, 0.5), row('c', 0, 1, null)];
  const groups = m.routers.confidence(tied);
  assert.deepEqual(groups, [[0, 1]]);
  assert.deepEqual(
    points(m.curve(tied, groups, m.ones(3))).map(([s]) => s),
    [0, 2 / 3, 1],
  );
  const failed = [row('a', 1, 1, 0.1), row('b', 0, 1, null, { failed: true })];
  assert.deepEqual(m.routers.confidence(failed), [[1], [0]], 'who has no local answer pays first');
});

test('complexity pays from above; both pays for either', () => {
  const list = [
    row('a', 1, 1, 0.9, { complexity: 0.9 }),
    row('b', 0, 1, 0.2, { complexity: 0.3 }),
    row('c', 0, 1, 0.6, { complexity: null }),
  ];
  assert.deepEqual(m.routers.complexity(list), [[0], [1]]);
  assert.deepEqual(m.routers.both(list, 0.5), [[0], [1], [2]]);
  assert.deepEqual(m.routers.both(list, 0.9), [[1], [2], [0]]);
});

test('where the cloud is no better there is no gap to recover', () => {
  const same = [row('a', 1, 0, 0.1), row('b', 0, 1, 0.9)];
  const found = m.curve(same, m.routers.confidence(same), m.ones(2));
  assert.equal(m.apgr(found), null);
  assert.equal(m.cpt(found, 0.5), null);
  assert.equal(m.pgr(0.5, 0.5, 0.5), null);
});

test('a weight of two is the row twice', () => {
  const list = fakeRows(40, { seed: 7 }),
    w = list.map((_, i) => i % 3);
  const repeated = list.flatMap((r, i) => Array(w[i]).fill(r));
  for (const name of ['confidence', 'complexity', 'oracle']) {
    const a = m.curve(list, m.routers[name](list), w);
    const b = m.curve(repeated, m.routers[name](repeated), m.ones(repeated.length));
    near(m.apgr(a), m.apgr(b));
    near(m.cpt(a, 0.8), m.cpt(b, 0.8));
  }
  const pays = (r) => r.local.confidence < 0.5,
    held = (r) => r.local.ms;
  const once = m.operation(list, pays, held)(w);
  const twice = m.operation(repeated, pays, held)(m.ones(repeated.length));
  for (const [name, v] of Object.entries(once)) near(v, twice[name]);
});

test('the curve is what each threshold makes of the rows', () => {
  const list = fakeRows(120, { seed: 5 });
  const found = m.curve(list, m.routers.confidence(list), m.ones(120)).slice(1, -1);
  const thresholds = list.map((r) => r.local.confidence).sort((a, b) => a - b);
  thresholds.forEach((t, i) => {
    const paid = list.filter((r) => r.local.confidence <= t);
    const right = list.filter((r) => (r.local.confidence <= t ? r.cloud : r.local).right);
    near(found[i].share, paid.length / 120);
    near(found[i].accuracy, right.length / 120);
  });
});

test('an operating point, by hand', () => {
  const list = [
    row('a', 1, 1, 0.9, { ms: 1 }),
    row('b', 0, 1, 0.2, { ms: 10 }),
    row('c', 0, 0, 0.6, { ms: 30 }),
    row('d', 1, 0, 0.3, { ms: 20 }),
  ];
  const o = m.operation(
    list,
    (r) => r.local.confidence < 0.7,
    (r) => r.local.ms,
  )(m.ones(4));
  assert.deepEqual([o.accuracy, o.paid, o.local], [0.5, 0.75, 0.25]);
  near(o.cost, 0.75); // of a thousand requests at $0.001
  assert.deepEqual([o.heldMean, o.heldP50, o.heldP95], [20, 20, 30]);
  const none = m.operation(list, () => false)(m.ones(4));
  assert.deepEqual([none.cost, none.heldMean, none.heldP95], [0, null, null]);
  const coin = m.atRandom(
    none,
    m.operation(list, () => true)(m.ones(4)),
    0.5,
  );
  assert.deepEqual([coin.accuracy, coin.paid], [0.5, 0.5]);
  near(coin.cost, 0.5);
});

test('quantiles of weighted values', () => {
  const sorted = [3, 5, 8, 9].map((value, i) => ({ value, i }));
  assert.equal(m.quantile(sorted, [1, 1, 1, 1], 0.5), 5);
  assert.equal(m.quantile(sorted, [1, 1, 1, 1], 0.51), 8);
  assert.equal(m.quantile(sorted, [0, 0, 5, 1], 0.5), 8);
  assert.equal(m.quantile(sorted, [1, 0, 0, 0], 0.95), 3);
  assert.equal(m.quantile([], [], 0.5), null);
});

const binned = (scores, labels, n) =>
  m.bins(scores, labels, m.orderBy(scores, (s) => s), m.ones(scores.length), n);

test('bins of equal mass, by hand', () => {
  const found = binned([0.1, 0.9, 0.3, 0.7], [0, 1, 1, 1], 2);
  near(found[0].score, 0.2);
  near(found[1].score, 0.8);
  assert.deepEqual(
    found.map((b) => [b.share, b.n]),
    [
      [0.5, 2],
      [1, 2],
    ],
  );
  near(m.ece(found), 0.25); // (0.3 + 0.2) / 2
});

test('the order of equal scores does not matter', () => {
  const labels = [1, 0, 0, 1, 1, 0];
  const scores = labels.map(() => 0.5);
  for (const b of binned(scores, labels, 4)) near(b.share, 0.5);
  near(m.ece(binned(scores, labels, 4)), 0);
  // a tie over an edge: 0.2 (0), 0.6 (1, 0, 1), two bins of 2: 0.6's share of the first is 1 of 3
  const cut = binned([0.2, 0.6, 0.6, 0.6], [0, 1, 0, 1], 2);
  near(cut[0].share, (0 + 2 / 3) / 2);
  near(cut[1].share, 2 / 3);
});

test('bins hold everything, however many there are', () => {
  for (const n of [1, 2, 14, 15, 16, 100, 1000]) {
    const scores = Array.from({ length: n }, (_, i) => ((i * 7919) % 1000) / 1000);
    const found = binned(scores, scores, 15);
    near(
      found.reduce((sum, b) => sum + b.n, 0),
      n,
      1e-6,
    );
    assert.ok(found.length <= 15);
    near(m.ece(found), 0);
  }
  assert.deepEqual(binned([], [], 15), []);
  assert.equal(m.ece([]), null);
});

test('AUC by hand, and against all pairs', () => {
  const auc = (scores, labels) =>
    m.auc(labels, m.orderBy(scores, (s) => s), m.ones(scores.length));
  assert.equal(auc([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1]), 1);
  assert.equal(auc([0.1, 0.2, 0.3, 0.4], [1, 1, 0, 0]), 0);
  assert.equal(auc([0.5, 0.5], [0, 1]), 0.5);
  assert.equal(auc([0.5, 0.6], [1, 1]), null);
  const next = m.random(3);
  const scores = Array.from({ length: 60 }, () => Math.floor(10 * next())),
    labels = scores.map((s) => Number(next() * 10 < s));
  let won = 0,
    pairs = 0;
  for (let i = 0; i < 60; i++)
    for (let k = 0; k < 60; k++)
      if (labels[i] && !labels[k]) {
        pairs++;
        won += scores[i] > scores[k] ? 1 : scores[i] === scores[k] ? 0.5 : 0;
      }
  near(auc(scores, labels), won / pairs);
});

test('a calibrated score has about the ECE of a perfect one, a wrong one has more', () => {
  const next = m.random(11);
  const scores = Array.from({ length: 3000 }, () => next());
  const groups = m.orderBy(scores, (s) => s);
  const of = (labels) => m.ece(m.bins(scores, labels, groups, m.ones(3000)));
  const floor = m.eceFloor(scores, groups, { draws: 50 });
  assert.ok(floor > 0.01 && floor < 0.04, `${floor}`);
  near(of(scores.map((s) => Number(next() < s))), floor, 0.015);
  assert.ok(of(scores.map((s) => Number(next() < s * s))) > 0.12);
});

test('intervals are of about the known width, and the same each time', () => {
  const next = m.random(2);
  const hits = Array.from({ length: 400 }, () => Number(next() < 0.3));
  const stats = (w) => ({
    mean: m.weigh(hits, w, (v) => v).mean,
    none: null,
    sometimes: w[0] ? 1 : null,
  });
  const a = m.bootstrap(400, stats, { resamples: 1000, seed: 5 });
  const p = a.mean.value,
    half = 1.96 * Math.sqrt((p * (1 - p)) / 400);
  near(a.mean.low, p - half, 0.01);
  near(a.mean.high, p + half, 0.01);
  assert.deepEqual(a.none, { value: null, low: null, high: null });
  assert.equal(a.sometimes.value, 1);
  assert.deepEqual(m.bootstrap(400, stats, { resamples: 1000, seed: 5 }), a);
  assert.notDeepEqual(m.bootstrap(400, stats, { resamples: 1000, seed: 6 }), a);
  const bare = m.bootstrap(400, stats, { resamples: 0 }).mean;
  assert.deepEqual(bare, { value: p, low: null, high: null });
});

test("Wilson's interval, by known values", () => {
  const is = (hits, n, low, high) => {
    const found = m.wilson(hits, n);
    near(found.low, low, 5e-4);
    near(found.high, high, 5e-4);
  };
  is(30, 30, 0.8865, 1); // n / (n + z^2)
  is(0, 30, 0, 0.1135);
  is(5, 10, 0.2366, 0.7634);
  is(1, 10, 0.0179, 0.4042);
});

test('random numbers are even', () => {
  const next = m.random(1),
    counts = new Array(10).fill(0);
  for (let i = 0; i < 10000; i++) counts[Math.floor(10 * next())]++;
  for (const c of counts) near(c, 1000, 120);
});
