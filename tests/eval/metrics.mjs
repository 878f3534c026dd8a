// The figures of an evaluation. Pure. Everything takes a weight for each row (how often a resample
// drew it), so that the bootstrap costs one pass a resample. Formulas: README.md.

// Numbers in [0, 1), the same for the same seed (a Weyl sequence through a 32 bit mixer).
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32;
  };
}

export const ones = (n) => new Float64Array(n).fill(1);

// Sums of w, and of w x value(row), over rows.
export function weigh(rows, w, value) {
  let total = 0,
    sum = 0;
  rows.forEach((row, i) => {
    total += w[i];
    if (w[i]) sum += w[i] * value(row);
  });
  return { total, sum, mean: total ? sum / total : null };
}

// --- routers ------------------------------------------------------------------------------------

// A router is the order in which it comes to pay, when its threshold goes from the lowest to the
// highest: groups of row indices, ties together. Rows in no group are never paid.
export function orderBy(rows, score) {
  const scored = rows
    .map((row, i) => ({ i, s: score(row) }))
    .filter(({ s }) => s !== null)
    .sort((a, b) => a.s - b.s);
  const groups = [];
  let last;
  for (const { i, s } of scored) {
    if (groups.length && s === last) groups.at(-1).push(i);
    else groups.push([i]);
    last = s;
  }
  return groups;
}

const first = (row) => (row.local.failed ? -Infinity : null);
const confidence = (row) => first(row) ?? row.local.confidence;
const complexity = (row) =>
  first(row) ?? (row.local.complexity === null ? null : -row.local.complexity);
const known = (row, b) => row.local.complexity !== null && row.local.complexity > b;

export const routers = {
  confidence: (rows) => orderBy(rows, confidence),
  complexity: (rows) => orderBy(rows, complexity),
  // `confidence < a OR complexity > b`, b fixed
  both: (rows, b) => orderBy(rows, (row) => (known(row, b) ? -Infinity : confidence(row))),
  // What helps, then what changes nothing, then what harms: the most that any order can reach.
  oracle: (rows) => orderBy(rows, (row) => Number(row.local.right) - Number(row.cloud.right)),
  random: (rows) => [rows.map((_, i) => i)],
};

// The cost-quality points of a router, both ends included: [{ share, accuracy }], by share paid.
export function curve(rows, groups, w) {
  const local = weigh(rows, w, (row) => Number(row.local.right));
  const cloud = weigh(rows, w, (row) => Number(row.cloud.right));
  const points = [{ share: 0, accuracy: local.mean }];
  let paid = 0,
    right = local.sum;
  for (const group of groups) {
    const before = paid;
    for (const i of group) {
      paid += w[i];
      right += w[i] * (rows[i].cloud.right - rows[i].local.right);
    }
    if (paid > before) points.push({ share: paid / local.total, accuracy: right / local.total });
  }
  points.push({ share: 1, accuracy: cloud.mean });
  return points;
}

// Performance gap recovered; null where the cloud is no better than local.
export const pgr = (accuracy, local, cloud) =>
  cloud > local ? (accuracy - local) / (cloud - local) : null;

// Area under PGR over the share paid, by trapezoids: 0.5 is a coin's.
export function apgr(points) {
  const local = points[0].accuracy,
    cloud = points.at(-1).accuracy;
  if (!(cloud > local)) return null;
  let area = 0;
  for (let i = 1; i < points.length; i++) {
    const mean = (points[i].accuracy + points[i - 1].accuracy) / 2;
    area += (points[i].share - points[i - 1].share) * pgr(mean, local, cloud);
  }
  return area;
}

// The smallest share paid at which PGR reaches x, between points by a straight line.
export function cpt(points, x) {
  const local = points[0].accuracy,
    cloud = points.at(-1).accuracy;
  if (!(cloud > local)) return null;
  const reached = points.map((p) => pgr(p.accuracy, local, cloud));
  const i = reached.findIndex((g) => g >= x - 1e-12);
  if (i <= 0) return i < 0 ? null : 0;
  const along = (x - reached[i - 1]) / (reached[i] - reached[i - 1]);
  return points[i - 1].share + Math.min(1, along) * (points[i].share - points[i - 1].share);
}

// --- operating points ---------------------------------------------------------------------------

// The smallest value with at least the fraction q of the weight at or below it; null of nothing.
// sorted: [{ value, i }], ascending.
export function quantile(sorted, w, q) {
  const total = sorted.reduce((sum, { i }) => sum + w[i], 0);
  let below = 0;
  for (const { value, i } of sorted) {
    below += w[i];
    if (w[i] && below >= q * total - 1e-9) return value;
  }
  return null;
}

// A way to route as a function of weights. pays(row): whether the cloud answers; held(row): ms that
// local took before it was known, for rows that pay, null where local did not run.
export function operation(rows, pays, held = () => null) {
  const paid = rows.map(pays);
  const waits = rows
    .map((row, i) => ({ i, value: paid[i] ? held(row) : null }))
    .filter(({ value }) => value !== null)
    .sort((a, b) => a.value - b.value);
  return (w) => {
    let total = 0,
      right = 0,
      share = 0,
      cost = 0;
    rows.forEach((row, i) => {
      total += w[i];
      right += w[i] * (paid[i] ? row.cloud.right : row.local.right);
      share += w[i] * paid[i];
      cost += paid[i] ? w[i] * row.cloud.cost : 0;
    });
    const waited = waits.reduce((sum, { i }) => sum + w[i], 0);
    const sum = waits.reduce((all, { value, i }) => all + w[i] * value, 0);
    return {
      accuracy: right / total,
      paid: share / total,
      local: 1 - share / total,
      cost: (1000 * cost) / total,
      heldMean: waited ? sum / waited : null,
      heldP50: quantile(waits, w, 0.5),
      heldP95: quantile(waits, w, 0.95),
    };
  };
}

// Paying the share s without looking: what is to be expected.
export const atRandom = (local, cloud, s) => ({
  accuracy: (1 - s) * local.accuracy + s * cloud.accuracy,
  paid: s,
  local: 1 - s,
  cost: s * cloud.cost,
});

// --- calibration --------------------------------------------------------------------------------

// Bins of equal mass. groups: from orderBy; a tie that a bin's edge cuts is shared out by mass, so
// the order of equal scores does not matter. [{ score, share, n }]: means of score and label.
export function bins(scores, labels, groups, w, n = 15) {
  const total = groups.reduce((sum, g) => sum + g.reduce((s, i) => s + w[i], 0), 0);
  const size = total / n,
    out = [];
  let bin = { n: 0, score: 0, label: 0 };
  const close = () => {
    if (bin.n) out.push({ score: bin.score / bin.n, share: bin.label / bin.n, n: bin.n });
    bin = { n: 0, score: 0, label: 0 };
  };
  for (const group of groups) {
    let mass = 0,
      label = 0;
    for (const i of group) {
      mass += w[i];
      label += w[i] * labels[i];
    }
    const score = scores[group[0]],
      share = mass ? label / mass : 0;
    while (mass > 1e-9) {
      const part = Math.min(mass, size - bin.n);
      bin.n += part;
      bin.score += part * score;
      bin.label += part * share;
      mass -= part;
      if (bin.n > size - 1e-9 && out.length < n - 1) close();
      else if (part <= 0) break; // rounding at the last edge
    }
  }
  close();
  return out;
}

// Expected calibration error: the bins' mean distance, by mass.
export function ece(made) {
  const total = made.reduce((sum, b) => sum + b.n, 0);
  return total ? made.reduce((s, b) => s + b.n * Math.abs(b.score - b.share), 0) / total : null;
}

// The chance that a row of label 1 scores above one of label 0, ties counted half.
export function auc(labels, groups, w) {
  let below = 0,
    won = 0,
    ups = 0;
  for (const group of groups) {
    let up = 0,
      down = 0;
    for (const i of group) {
      if (labels[i]) up += w[i];
      else down += w[i];
    }
    won += up * (below + down / 2);
    below += down;
    ups += up;
  }
  return ups && below ? won / (ups * below) : null;
}

// The ECE that a perfectly calibrated score would show on so few rows: labels drawn by the scores.
export function eceFloor(scores, groups, { n = 15, draws = 200, seed = 1 } = {}) {
  const next = random(seed),
    w = ones(scores.length);
  let sum = 0;
  for (let d = 0; d < draws; d++) {
    const labels = scores.map((s) => (next() < s ? 1 : 0));
    sum += ece(bins(scores, labels, groups, w, n));
  }
  return sum / draws;
}

// --- intervals ----------------------------------------------------------------------------------

// The 95% interval of a share, hits of n, after Wilson (1927). Resampling finds none where all or
// none of the n are hits, however few they are.
export function wilson(hits, n) {
  const z = 1.959964,
    p = hits / n,
    d = 1 + (z * z) / n;
  const middle = (p + (z * z) / (2 * n)) / d;
  const half = (z / d) * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n));
  return { low: Math.max(0, middle - half), high: Math.min(1, middle + half) };
}

// 95% intervals by resampling n rows with replacement: stats(w) gives an object of numbers (null:
// no value), the result for each { value, low, high }, all null where there is no value.
export function bootstrap(n, stats, { resamples = 1000, seed = 1 } = {}) {
  const next = random(seed),
    value = stats(ones(n));
  const drawn = Object.fromEntries(Object.keys(value).map((name) => [name, []]));
  for (let r = 0; r < resamples; r++) {
    const w = new Float64Array(n);
    for (let i = 0; i < n; i++) w[Math.floor(next() * n)]++;
    for (const [name, v] of Object.entries(stats(w)))
      if (v !== null && Number.isFinite(v)) drawn[name].push(v);
  }
  const at = (sorted, q) => (sorted.length ? sorted[Math.round(q * (sorted.length - 1))] : null);
  return Object.fromEntries(
    Object.entries(value).map(([name, v]) => {
      const sorted = drawn[name].sort((a, b) => a - b);
      return [name, { value: v, low: at(sorted, 0.025), high: at(sorted, 0.975) }];
    }),
  );
}
