// What a calibration makes of an answer's features, worked out apart from the program, so that a
// score can be held against it. The formulas are DESIGN.md's section 5. Pure.

const sigmoid = (z) => 1 / (1 + Math.exp(-z));

// Straight lines between the points, the outermost values beyond them.
function between({ x, y }, at) {
  const above = x.findIndex((v) => v > at);
  if (above === 0) return y[0];
  if (above < 0) return y.at(-1);
  const share = (at - x[above - 1]) / (x[above] - x[above - 1]);
  return y[above - 1] + share * (y[above] - y[above - 1]);
}

const KEY = ['model', 'precision', 'span', 'features', 'thinking'];

// calibrations: of a calibration file. local: { key, features } as explained. The score, or null
// where no calibration has that key.
export function expected(calibrations, { key, features }) {
  const one = calibrations.find((c) => KEY.every((name) => c[name] === key[name]));
  if (!one) return null;
  const weighed = Object.entries(one.weights).map(([name, w]) => w * features[name]);
  const logit = weighed.reduce((sum, v) => sum + v, one.bias);
  if (one.map.kind === 'platt') return sigmoid(one.map.a * logit + one.map.b);
  return one.map.kind === 'isotonic' ? between(one.map, sigmoid(logit)) : sigmoid(logit);
}
