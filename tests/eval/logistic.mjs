// Logistic regression with L2 by Newton's method, and its cross-validation by groups. Pure.

const sigmoid = (z) => 1 / (1 + Math.exp(-z));

// Solves a x = b in place, a symmetric and positive definite (Gauss, largest pivot first).
function solve(a, b) {
  const n = b.length;
  for (let k = 0; k < n; k++) {
    let p = k;
    for (let i = k + 1; i < n; i++) if (Math.abs(a[i][k]) > Math.abs(a[p][k])) p = i;
    [a[k], a[p]] = [a[p], a[k]];
    [b[k], b[p]] = [b[p], b[k]];
    for (let i = k + 1; i < n; i++) {
      const f = a[i][k] / a[k][k];
      for (let j = k; j < n; j++) a[i][j] -= f * a[k][j];
      b[i] -= f * b[k];
    }
  }
  for (let k = n - 1; k >= 0; k--) {
    for (let j = k + 1; j < n; j++) b[k] -= a[k][j] * b[j];
    b[k] /= a[k][k];
  }
  return b;
}

// x [n][d], y [n] of 0 and 1 -> { bias, weights [d] }; penalty on the weights, not on the bias.
export function fit(x, y, penalty = 1) {
  const d = x[0].length + 1;
  const w = new Array(d).fill(0);
  for (let step = 0; step < 50; step++) {
    const h = Array.from({ length: d }, (_, i) => {
      const row = new Array(d).fill(0);
      row[i] = i ? penalty : 1e-9;
      return row;
    });
    const g = w.map((v, i) => (i ? -penalty * v : 0));
    x.forEach((row, n) => {
      const v = [1, ...row];
      const p = sigmoid(v.reduce((s, f, i) => s + f * w[i], 0));
      for (let i = 0; i < d; i++) {
        g[i] += (y[n] - p) * v[i];
        for (let j = 0; j < d; j++) h[i][j] += p * (1 - p) * v[i] * v[j];
      }
    });
    const move = solve(h, g);
    move.forEach((m, i) => (w[i] += Math.max(-2, Math.min(2, m))));
    if (Math.max(...move.map(Math.abs)) < 1e-9) break;
  }
  return { bias: w[0], weights: w.slice(1) };
}

export const score = ({ bias, weights }, row) =>
  sigmoid(row.reduce((s, v, i) => s + v * weights[i], bias));

// What each row scores under a fit that has not seen its group. fold(group) -> 0 .. folds - 1.
export function heldOut(x, y, groups, fold, folds = 5, penalty = 1) {
  const out = new Array(y.length);
  for (let k = 0; k < folds; k++) {
    const seen = y.map((_, i) => i).filter((i) => fold(groups[i]) !== k);
    const model = fit(
      seen.map((i) => x[i]),
      seen.map((i) => y[i]),
      penalty,
    );
    x.forEach((row, i) => {
      if (fold(groups[i]) === k) out[i] = score(model, row);
    });
  }
  return out;
}

// The chance that a row of class 1 scores above one of class 0, ties half.
export function ranked(scores, y) {
  let won = 0,
    pairs = 0;
  scores.forEach((a, i) =>
    scores.forEach((b, j) => {
      if (y[i] !== 1 || y[j] !== 0) return;
      pairs++;
      won += a > b ? 1 : a === b ? 0.5 : 0;
    }),
  );
  return pairs ? won / pairs : null;
}

export const logLoss = (scores, y) =>
  scores.reduce((s, p, i) => s - Math.log(Math.max(1e-12, y[i] ? p : 1 - p)), 0) / y.length;
