// Rows as the runs make them, for tests: what a gateway would have answered, by a script.
import { random } from './metrics.mjs';

// One row. local and cloud: right or not; more: members of row.local.
export const row = (id, local, cloud, confidence, more = {}) => ({
  id,
  family: 'fake',
  level: 'plain',
  split: 'test',
  local: {
    right: Boolean(local),
    failed: false,
    answer: local ? 'right' : 'wrong',
    confidence,
    raw: confidence,
    complexity: null,
    calibrated: true,
    key: { model: 'fake' },
    features: { a: 1 },
    ms: 10,
    ...more,
  },
  cloud: {
    right: Boolean(cloud),
    failed: false,
    answer: cloud ? 'right' : 'wrong',
    cost: 0.001,
    ms: 100,
  },
});

// n rows whose confidence is what it says, as often as n allows; half of them to fit. blind: the
// confidence says nothing. Complexity is a noisy 1 - confidence, unknown for a third.
export function rows(n, { seed = 1, blind = false, cloud = 0.95 } = {}) {
  const next = random(seed);
  return Array.from({ length: n }, (_, i) => {
    const p = next() < 0.55 ? 0.9 + 0.1 * next() : 0.2 * next();
    const made = row(`fake-${i}`, next() < p, next() < cloud, blind ? next() : p, {
      complexity: next() < 1 / 3 ? null : Math.min(1, Math.max(0, 1 - p + 0.8 * (next() - 0.5))),
      ms: 5 + Math.floor(20 * next()),
    });
    return { ...made, level: p > 0.5 ? 'easy' : 'hard', split: i % 2 ? 'test' : 'fit' };
  });
}
