// What is demanded of model, mix and routing, and whether results meet it.
import { DEFAULT_TRIGGER } from './analysis.mjs';

// Levels that a trained model must know, and those that it must not.
const EASY = [
  'talk plain',
  'facts known',
  'facts long',
  'arithmetic sum-1',
  'arithmetic sum-2',
  'arithmetic product-1',
  'strings short',
  'extraction one',
  'extraction two',
  'tools weather',
  'tools calculator',
  'tools none',
  'turns follow-up',
  'turns system',
];
const HARD = [
  'facts unseen',
  'arithmetic product-2',
  'arithmetic product-3',
  'strings long',
  'other unseen',
];

export const LIMITS = {
  prompts: 1000,
  local: [0.5, 0.65],
  cloud: 0.95,
  easy: 0.95,
  hard: 0.5,
  apgrOfOracle: 0.93,
  cpt80AboveOracle: 0.08,
  ece: 0.05,
  accuracyOfCloud: 0.92,
  paidAboveOracle: 0.1,
};

const percent = (v) => `${(100 * v).toFixed(1)}%`;
const plain = (v) => v.toFixed(3);

const interval = (f, show) => (f.low === null ? '' : ` [${show(f.low)}, ${show(f.high)}]`);

// figure: { value, low, high }, low and high null where nothing was resampled; within(value):
// whether a value meets the target.
function judged(name, wanted, figure, within, show) {
  if (!figure || figure.value === null) return { name, wanted, met: false, found: 'no value' };
  const found = show(figure.value) + interval(figure, show);
  const sure = figure.low !== null && within(figure.low) && within(figure.high);
  return { name, wanted, met: within(figure.value), sure, found };
}

function counted(name, wanted, met, found) {
  return { name, wanted, met, sure: met, found };
}

// Levels on the wrong side of the limit, and those that the set has not got.
function levelTarget(name, wanted, results, names, bad) {
  const there = results.levels.filter((l) => names.includes(l.name));
  const missed = there.filter((l) => bad(l.accuracy.value));
  const found = missed.map((l) => `${l.name} ${percent(l.accuracy.value)}`);
  const absent = names.filter((level) => !there.some((l) => l.name === level));
  found.push(...absent.map((level) => `none of ${level}`));
  const text = found.join(', ') || `all ${there.length} levels`;
  return counted(name, wanted, found.length === 0, text);
}

// [{ name, wanted, found, met, sure }]; sure: the whole interval meets it.
export function targets(results) {
  const at = (name) => results.operations.find((o) => o.name === name);
  const ece = results.calibration.find((c) => c.name === 'confidence')?.ece;
  const { against, scope } = results;
  const n = scope.split === 'test' ? scope.n : 0;
  const unexplained = results.real.reduce((sum, r) => sum + r.unexplained, 0);
  const [low, high] = LIMITS.local;
  const levels = (name, wanted, names, bad) => levelTarget(name, wanted, results, names, bad);
  const trigger = `at confidence < ${DEFAULT_TRIGGER}`;
  return [
    counted('held-out test prompts', `>= ${LIMITS.prompts}`, n >= LIMITS.prompts, String(n)),
    judged(
      'local alone is right',
      `${percent(low)} to ${percent(high)}`,
      at('always local').accuracy,
      (v) => v >= low && v <= high,
      percent,
    ),
    cloudTarget(at('always cloud').accuracy),
    levels('easy levels', `each >= ${percent(LIMITS.easy)}`, EASY, (v) => v < LIMITS.easy),
    levels('hard levels', `each <= ${percent(LIMITS.hard)}`, HARD, (v) => v > LIMITS.hard),
    judged(
      "APGR, of the oracle's",
      `>= ${percent(LIMITS.apgrOfOracle)}`,
      against.apgr.ofOracle,
      (v) => v >= LIMITS.apgrOfOracle,
      percent,
    ),
    judged(
      "CPT80, above the oracle's",
      `<= ${percent(LIMITS.cpt80AboveOracle)}`,
      against.cpt80.aboveOracle,
      (v) => v <= LIMITS.cpt80AboveOracle,
      percent,
    ),
    eceTarget(ece, scope.calibrated),
    judged(
      `accuracy ${trigger}, of the cloud's`,
      `>= ${percent(LIMITS.accuracyOfCloud)}`,
      against.accuracy.ofCloud,
      (v) => v >= LIMITS.accuracyOfCloud,
      percent,
    ),
    judged(
      `paid ${trigger}, above the oracle's`,
      `<= ${percent(LIMITS.paidAboveOracle)}`,
      against.paid.aboveOracle,
      (v) => v <= LIMITS.paidAboveOracle,
      percent,
    ),
    counted(
      'routed runs go as predicted',
      '0 differences unexplained',
      results.real.length > 0 && unexplained === 0,
      results.real.length ? `${unexplained} in ${results.real.length} runs` : 'not run',
    ),
  ];
}

// The mock draws its errors by chance: the rate it was set to must lie in the interval.
function cloudTarget(figure) {
  const { low, high } = figure;
  const within = low !== null && low <= LIMITS.cloud && LIMITS.cloud <= high;
  const found = percent(figure.value) + interval(figure, percent);
  const wanted = `${percent(LIMITS.cloud)}, in the interval`;
  return counted('the mock cloud is right', wanted, within, found);
}

function eceTarget(figure, calibrated) {
  const wanted = `<= ${plain(LIMITS.ece)}`;
  const t = judged('ECE after calibration', wanted, figure, (v) => v <= LIMITS.ece, plain);
  return calibrated ? t : { ...t, met: false, sure: false, found: `${t.found}, not calibrated` };
}
