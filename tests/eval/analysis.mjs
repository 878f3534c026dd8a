// From rows to results: routers, operating points, sweep, calibration, levels. Pure.
//
// A row is a prompt with what the local and the cloud run made of it:
//   { id, family, level, split, local: { right, failed, confidence, raw, complexity, ms, ... },
//     cloud: { right, cost, ms, ... } }
import * as m from './metrics.mjs';
import { paysBelow } from './predict.mjs';

export const DEFAULT_TRIGGER = 0.85;
export const SWEEP = Array.from({ length: 101 }, (_, i) => i / 100);
const PGR_WANTED = 0.8;

const ran = (row) => (row.local.failed ? null : row.local.ms);
const aboveComplexity = (row, b) => row.local.complexity !== null && row.local.complexity > b;
const paysAbove = (row, b) => row.local.failed || aboveComplexity(row, b);
// Local right, or the cloud would be wrong too: what a confidence is the probability of.
export const goodEnough = (row) => Number(row.local.right || !row.cloud.right);

// The best `confidence < a OR complexity > b` on rows: b by the largest APGR of its curve (a tie to
// the larger b), and the (a, b) of the sweep that reaches PGR 0.8 with the fewest paid calls.
export function fitBoth(rows) {
  const w = m.ones(rows.length);
  const best = { b: 1, apgr: -Infinity, point: null };
  const local = m.weigh(rows, w, (row) => Number(row.local.right)).mean;
  const cloud = m.weigh(rows, w, (row) => Number(row.cloud.right)).mean;
  for (const b of [...SWEEP].reverse()) {
    const area = m.apgr(m.curve(rows, m.routers.both(rows, b), w));
    if (area !== null && area > best.apgr) Object.assign(best, { b, apgr: area });
    for (const a of SWEEP) {
      let right = 0,
        paid = 0;
      for (const row of rows) {
        const pays = paysBelow(row, a) || aboveComplexity(row, b);
        right += pays ? row.cloud.right : row.local.right;
        paid += pays;
      }
      const gained = m.pgr(right / rows.length, local, cloud);
      if (gained === null || gained < PGR_WANTED) continue;
      if (!best.point || paid < best.point.paid) best.point = { a, b, paid };
      break; // a larger a only pays more
    }
  }
  return best;
}

// The threshold of `complexity > b` whose share comes nearest to `paid`: every one is tried.
function complexityAt(rows, paid) {
  let best = { b: 1, off: Infinity };
  const values = rows.map((row) => row.local.complexity).filter((v) => v !== null);
  for (const b of [1, ...new Set(values)].sort((x, y) => y - x)) {
    const share = rows.filter((row) => paysAbove(row, b)).length / rows.length;
    if (Math.abs(share - paid) < best.off) best = { b, off: Math.abs(share - paid) };
  }
  return best.b;
}

const digits = (v) => Number(v.toFixed(4));

// The ways to route that the table shows: [{ name, at(w) }].
function operations(rows, thresholds, both) {
  const below = (t) => m.operation(rows, (row) => paysBelow(row, t), ran);
  const never = m.operation(rows, () => false),
    always = m.operation(rows, () => true),
    byDefault = below(DEFAULT_TRIGGER);
  const b = complexityAt(rows, byDefault(m.ones(rows.length)).paid);
  const out = [
    { name: 'always local', at: never },
    { name: 'always cloud', at: always },
    {
      name: 'oracle',
      at: m.operation(rows, (row) => !row.local.right && row.cloud.right, ran),
    },
    ...thresholds.map((t) => ({ name: `confidence < ${t}`, at: below(t) })),
    {
      name: `random, share of confidence < ${DEFAULT_TRIGGER}`,
      at: (w) => m.atRandom(never(w), always(w), byDefault(w).paid),
    },
    {
      name: `complexity > ${digits(b)}, share nearest to that`,
      at: m.operation(rows, (row) => paysAbove(row, b)),
    },
  ];
  if (both.point) {
    const { a, b: high } = both.point;
    const pays = (row) => paysBelow(row, a) || aboveComplexity(row, high);
    out.push({
      name: `confidence < ${a} OR complexity > ${high}`,
      at: m.operation(rows, pays, (row) => (aboveComplexity(row, high) ? null : ran(row))),
    });
  }
  return out;
}

const FIGURES = ['accuracy', 'paid', 'local', 'cost', 'pgr', 'heldMean', 'heldP50', 'heldP95'];

function operationFigures(prefix, list, w, out) {
  const local = list[0].at(w).accuracy,
    cloud = list[1].at(w).accuracy;
  for (const { name, at } of list) {
    const o = at(w);
    o.pgr = m.pgr(o.accuracy, local, cloud);
    for (const figure of FIGURES) out[`${prefix}/${name}/${figure}`] = o[figure] ?? null;
  }
}

// APGR and CPT of every router, and how confidence stands to the oracle.
function routerFigures(rows, orders, w, out) {
  for (const [name, groups] of Object.entries(orders)) {
    const points = m.curve(rows, groups, w);
    out[`routers/${name}/apgr`] = m.apgr(points);
    out[`routers/${name}/cpt50`] = m.cpt(points, 0.5);
    out[`routers/${name}/cpt80`] = m.cpt(points, 0.8);
  }
  const minus = (a, b) => (a === null || b === null ? null : a - b);
  const over = (a, b) => (a === null || b === null || b === 0 ? null : a / b);
  out['against/apgr/ofOracle'] = over(out['routers/confidence/apgr'], out['routers/oracle/apgr']);
  out['against/cpt80/aboveOracle'] = minus(
    out['routers/confidence/cpt80'],
    out['routers/oracle/cpt80'],
  );
  const at = (name, figure) => out[`operations/${name}/${figure}`];
  const trigger = `confidence < ${DEFAULT_TRIGGER}`;
  out['against/accuracy/ofCloud'] = over(at(trigger, 'accuracy'), at('always cloud', 'accuracy'));
  out['against/paid/aboveOracle'] = minus(at(trigger, 'paid'), at('oracle', 'paid'));
}

// One score's calibration: what is asked of it for weights, and what does not need them.
function calibrationOf(rows, score) {
  const scored = rows.map((row, i) => ({ row, i })).filter(({ row }) => score(row) !== null);
  if (!scored.length) return null;
  const scores = scored.map(({ row }) => score(row)),
    labels = scored.map(({ row }) => goodEnough(row)),
    groups = m.orderBy(scores, (s) => s);
  const weights = (w) => scored.map(({ i }) => w[i]);
  return {
    n: scored.length,
    bins: m.bins(scores, labels, groups, m.ones(scores.length)),
    floor: m.eceFloor(scores, groups),
    at(w) {
      const mine = weights(w),
        total = mine.reduce((sum, v) => sum + v, 0);
      return {
        ece: m.ece(m.bins(scores, labels, groups, mine)),
        auc: m.auc(labels, groups, mine),
        brier: total
          ? mine.reduce((sum, v, i) => sum + v * (scores[i] - labels[i]) ** 2, 0) / total
          : null,
      };
    },
  };
}

function levelsOf(rows) {
  const out = new Map();
  rows.forEach((row, i) => {
    const name = `${row.family} ${row.level}`;
    out.set(name, [...(out.get(name) ?? []), i]);
  });
  return [...out].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, at]) => ({ name, at }));
}

function levelFigures(rows, levels, w, out) {
  const mean = (at, value) => {
    let total = 0,
      sum = 0;
    for (const i of at) {
      const v = value(rows[i]);
      if (v === null) continue;
      total += w[i];
      sum += w[i] * v;
    }
    return total ? sum / total : null;
  };
  for (const { name, at } of levels) {
    out[`levels/${name}/accuracy`] = mean(at, (row) => Number(row.local.right));
    out[`levels/${name}/cloud`] = mean(at, (row) => Number(row.cloud.right));
    out[`levels/${name}/confidence`] = mean(at, (row) => row.local.confidence);
    out[`levels/${name}/paid`] = mean(at, (row) => Number(paysBelow(row, DEFAULT_TRIGGER)));
  }
}

// Of a level's few prompts often all are right or none is: its shares have Wilson's intervals.
function sharesOfLevels(rows, levels, made) {
  const shares = {
    accuracy: (row) => row.local.right,
    cloud: (row) => row.cloud.right,
    paid: (row) => paysBelow(row, DEFAULT_TRIGGER),
  };
  for (const { name, at } of levels)
    for (const [figure, of] of Object.entries(shares)) {
      const hits = at.filter((i) => of(rows[i])).length;
      Object.assign(made[name][figure], m.wilson(hits, at.length));
    }
}

// 'a/b/c': v to { a: { b: { c: v } } }.
function nested(flat) {
  const out = {};
  for (const [name, value] of Object.entries(flat)) {
    const [a, b, c] = name.split('/');
    ((out[a] ??= {})[b] ??= {})[c] = value;
  }
  return out;
}

const listOf = (group, more = () => ({})) =>
  Object.entries(group ?? {}).map(([name, figures]) => ({ name, ...more(name), ...figures }));

// rows: of both splits; figures are of the test split, or of all rows where there is none, and what
// is chosen is chosen on the fit split (on the same rows where there is none).
export function analyse(all, { thresholds, resamples = 1000, seed = 1 }) {
  const of = (split) => all.filter((row) => row.split === split);
  const rows = of('test').length ? of('test') : all,
    fit = of('fit').length ? of('fit') : rows;
  const both = fitBoth(fit);
  const shown = [...new Set([...thresholds, DEFAULT_TRIGGER])].sort((a, b) => a - b);
  const ops = operations(rows, shown, both);
  const ends = ops.slice(0, 2);
  const sweep = SWEEP.map((t) => ({
    name: `confidence < ${t}`, // no bare number: an object would sort its keys by those
    at: m.operation(rows, (row) => paysBelow(row, t), ran),
  }));
  const orders = Object.fromEntries(
    Object.entries(m.routers).map(([name, order]) => [name, order(rows, both.b)]),
  );
  const levels = levelsOf(rows);
  const scores = {
    confidence: calibrationOf(rows, (row) => row.local.confidence),
    raw: calibrationOf(rows, (row) => row.local.raw),
  };
  const stats = (w) => {
    const out = {};
    operationFigures('operations', ops, w, out);
    operationFigures('sweep', [...ends, ...sweep], w, out);
    routerFigures(rows, orders, w, out);
    levelFigures(rows, levels, w, out);
    for (const [name, c] of Object.entries(scores))
      for (const [figure, v] of Object.entries(c?.at(w) ?? {}))
        out[`calibration/${name}/${figure}`] = v;
    return out;
  };
  const made = nested(m.bootstrap(rows.length, stats, { resamples, seed }));
  if (resamples) sharesOfLevels(rows, levels, made.levels);
  const w = m.ones(rows.length);
  const scored = rows.filter((row) => row.local.confidence !== null);
  return {
    scope: {
      n: rows.length,
      split: of('test').length ? 'test' : 'all',
      nFit: fit.length,
      fitOnSame: fit === rows,
      unknownConfidence: rows.length - scored.length,
      unknownComplexity: rows.filter((row) => row.local.complexity === null).length,
      localFailed: rows.filter((row) => row.local.failed).length,
      cloudFailed: rows.filter((row) => row.cloud.failed).length,
      calibrated: scored.length > 0 && scored.every((row) => row.local.calibrated),
    },
    routers: made.routers,
    against: made.against,
    both: { b: both.b, point: both.point },
    operations: listOf(made.operations),
    sweep: listOf(made.sweep).slice(2),
    calibration: listOf(made.calibration, (name) => {
      const { n, bins, floor } = scores[name];
      return { n, bins, floor };
    }),
    levels: listOf(made.levels, (name) => ({ n: levels.find((l) => l.name === name).at.length })),
    curves: Object.fromEntries(
      Object.entries(orders).map(([name, groups]) => [name, m.curve(rows, groups, w)]),
    ),
  };
}
