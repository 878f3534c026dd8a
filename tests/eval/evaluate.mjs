// The whole evaluation: set, mock cloud, gateway, runs, results.
import { analyse } from './analysis.mjs';
import { ones, operation, quantile, weigh } from './metrics.mjs';
import { startCloud } from './mock_cloud.mjs';
import { runCloud, runLocal, runRouted, startEvaluated } from './phases.mjs';
import { compare, paysBelow } from './predict.mjs';
import { targets } from './targets.mjs';

export const DEFAULTS = {
  thresholds: [0.5, 0.7, 0.85, 0.95],
  concurrency: 8,
  stream: false,
  maxTokens: 64,
  accuracy: 0.95,
  seed: 1,
  scale: 1, // of the mock cloud's latency
  resamples: 1000,
  device: 'cpu',
  precision: 'auto',
  hashMs: 60000, // to wait for the model's hash
  say: () => {}, // what is going on
};

// What a routed run came to, of the rows that the results are about, and how it was predicted.
function summary(rows, scope, threshold, routed) {
  const differences = compare(rows, threshold, routed);
  const mine = rows
    .map((row, i) => ({ row, real: routed[i] }))
    .filter(({ row }) => scope === 'all' || row.split === scope);
  const w = ones(mine.length);
  const mean = (value) => weigh(mine, w, value).mean;
  const waits = mine
    .map(({ real }, i) => ({ value: real.held, i }))
    .filter(({ value }) => value !== null)
    .sort((a, b) => a.value - b.value);
  const of = mine.map(({ row }) => row);
  const { accuracy, paid, cost } = operation(of, (row) => paysBelow(row, threshold))(w);
  return {
    threshold,
    paid: mean(({ real }) => Number(real.paid)),
    accuracy: mean(({ real }) => Number(real.right)),
    cost: 1000 * mean(({ real }) => real.cost),
    heldMean: waits.length ? waits.reduce((s, { value }) => s + value, 0) / waits.length : null,
    heldP50: quantile(waits, w, 0.5),
    heldP95: quantile(waits, w, 0.95),
    predicted: { accuracy, paid, cost },
    differences,
    unexplained: differences.filter((d) => !d.explained).length,
  };
}

async function phases(gw, cloud, items, options) {
  const phase = (name) => {
    const begun = Date.now(),
      n = items.length;
    options.say(`${name}: ${n} prompts`);
    return {
      ...options,
      progress: (done) => {
        if (done % 500 === 0 || done === n)
          options.say(`${name}: ${done} of ${n}, ${((Date.now() - begun) / 1000).toFixed(1)} s`);
      },
    };
  };
  const local = await runLocal(gw, items, phase('local only'));
  const paidFor = await runCloud(gw, cloud, items, phase('always cloud'));
  const rows = items.map(({ id, family, level, split }, i) => ({
    id,
    family,
    level,
    split,
    local: local[i],
    cloud: paidFor[i],
  }));
  const routed = [];
  for (const t of options.thresholds)
    routed.push({ t, of: await runRouted(gw, cloud, items, t, phase(`confidence < ${t}`)) });
  return { rows, routed };
}

// All keys that local answers were scored under, with how many. Streams may have two, since an
// answer that ends within the window is judged as a whole one; otherwise, or where only some were
// calibrated, something changed under way and the scores are not of one kind.
export function keysOf(rows) {
  const counts = new Map();
  for (const { key, calibrated } of rows.map((row) => row.local).filter((l) => l.key)) {
    const text = JSON.stringify({ key, calibrated });
    counts.set(text, (counts.get(text) ?? 0) + 1);
  }
  return [...counts].map(([text, n]) => ({ ...JSON.parse(text), n }));
}

export function mixed(keys) {
  const without = (key) => JSON.stringify({ ...key, span: null });
  const kinds = new Set(keys.map(({ key }) => without(key)));
  return kinds.size > 1 || new Set(keys.map(({ key }) => key.span)).size < keys.length;
}

// How many paid answers the gateway booked at another cost than their tokens and prices make.
export const misbilled = (rows) =>
  rows.filter(({ cloud: c }) => !c.failed && Math.abs(c.cost - c.owed) > 1e-9).length;

// items: of loadSet. options: DEFAULTS, and model, binary (needed), calibration, threads, about.
// { rows, results }; results are what report.mjs prints.
export async function evaluate(items, given) {
  const options = { ...DEFAULTS, ...given, probe: items[0] };
  const { accuracy, seed, scale } = options;
  const cloud = await startCloud(items, { accuracy, seed, scale });
  let rows, routed;
  try {
    const gw = await startEvaluated(cloud, options);
    try {
      ({ rows, routed } = await phases(gw, cloud, items, options));
    } finally {
      await gw.stop();
    }
  } finally {
    await cloud.stop();
  }
  options.say('working out the figures');
  const results = { about: options.about ?? {}, keys: keysOf(rows), ...analyse(rows, options) };
  results.real = routed.map(({ t, of }) => summary(rows, results.scope.split, t, of));
  results.misbilled = misbilled(rows);
  results.targets = targets(results);
  return { rows, results };
}

// Lines for `tollgate calibrate`: of rows that were scored.
export function calibrationLines(rows, label) {
  const scored = rows.filter((row) => row.local.key && row.local.features && !row.local.failed);
  return scored.map((row) =>
    JSON.stringify({
      key: row.local.key,
      features: row.local.features,
      label: label(row),
      id: row.id,
      family: row.family,
      level: row.level,
      split: row.split,
    }),
  );
}
