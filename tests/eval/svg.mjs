// The two pictures of a report, as SVG text: cost against quality, and reliability.

const WIDTH = 640,
  HEIGHT = 420,
  LEFT = 64,
  RIGHT = 200, // the legend's
  TOP = 40,
  BOTTOM = 56;

const colours = {
  oracle: '#7a7a7a',
  both: '#b35900',
  confidence: '#0057b8',
  complexity: '#1e8449',
  random: '#a0a0a0',
};
const dashes = { oracle: '6 4', random: '2 4' };

const escapes = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
const escape = (text) => String(text).replace(/[&<>"]/g, (c) => escapes[c]);
const fixed = (v) => v.toFixed(1);

function tag(name, attributes, inside) {
  const list = Object.entries(attributes).map(([k, v]) => ` ${k}="${escape(v)}"`);
  return inside === undefined
    ? `<${name}${list.join('')}/>`
    : `<${name}${list.join('')}>${inside}</${name}>`;
}
const text = (x, y, content, more = {}) =>
  tag('text', { x: fixed(x), y: fixed(y), ...more }, escape(content));
const line = (x1, y1, x2, y2, stroke) =>
  tag('line', { x1: fixed(x1), y1: fixed(y1), x2: fixed(x2), y2: fixed(y2), stroke });

// A frame with axes from 0 to 1 (x) and low to high (y), in percent.
class Plot {
  constructor(title, xName, yName, low, high) {
    Object.assign(this, { low, high, parts: [], entries: 0 });
    const right = WIDTH - RIGHT,
      bottom = HEIGHT - BOTTOM,
      middle = (LEFT + right) / 2;
    this.parts.push(text(LEFT, 24, title, { 'font-weight': 'bold' }));
    for (let i = 0; i <= 5; i++) {
      const x = i / 5,
        y = low + ((high - low) * i) / 5;
      this.parts.push(line(this.x(x), TOP, this.x(x), bottom, '#e4e4e4'));
      this.parts.push(line(LEFT, this.y(y), right, this.y(y), '#e4e4e4'));
      this.parts.push(text(this.x(x), bottom + 18, `${20 * i}%`, { 'text-anchor': 'middle' }));
      const label = `${Math.round(100 * y)}%`;
      this.parts.push(text(LEFT - 8, this.y(y) + 4, label, { 'text-anchor': 'end' }));
    }
    this.parts.push(line(LEFT, bottom, right, bottom, '#333'));
    this.parts.push(line(LEFT, TOP, LEFT, bottom, '#333'));
    this.parts.push(text(middle, HEIGHT - 14, xName, { 'text-anchor': 'middle' }));
    const turn = { 'text-anchor': 'middle', transform: `rotate(-90 16 ${(TOP + bottom) / 2})` };
    this.parts.push(text(16, (TOP + bottom) / 2, yName, turn));
  }
  x(v) {
    return LEFT + v * (WIDTH - RIGHT - LEFT);
  }
  y(v) {
    const bottom = HEIGHT - BOTTOM;
    return bottom - ((v - this.low) / (this.high - this.low)) * (bottom - TOP);
  }
  curve(points, stroke, dash) {
    const at = points.map(([x, y]) => `${fixed(this.x(x))},${fixed(this.y(y))}`).join(' ');
    this.parts.push(
      tag('polyline', {
        points: at,
        fill: 'none',
        stroke,
        'stroke-width': 2,
        ...(dash && { 'stroke-dasharray': dash }),
      }),
    );
  }
  dot(x, y, fill, radius = 4) {
    const at = { cx: fixed(this.x(x)), cy: fixed(this.y(y)) };
    this.parts.push(tag('circle', { ...at, r: fixed(radius), fill, stroke: '#fff' }));
  }
  legend(name, stroke, { dash, dot } = {}) {
    const x = WIDTH - RIGHT + 16,
      y = TOP + 10 + 20 * this.entries++;
    if (dot) this.parts.push(tag('circle', { cx: x + 12, cy: y - 4, r: 4, fill: stroke }));
    else
      this.parts.push(
        tag('line', {
          x1: x,
          y1: y - 4,
          x2: x + 24,
          y2: y - 4,
          stroke,
          'stroke-width': 2,
          ...(dash && { 'stroke-dasharray': dash }),
        }),
      );
    this.parts.push(text(x + 32, y, name));
  }
  toString() {
    const size = { width: WIDTH, height: HEIGHT, viewBox: `0 0 ${WIDTH} ${HEIGHT}` };
    const font = { 'font-family': 'sans-serif', 'font-size': 12, fill: '#222' };
    const back = tag('rect', { width: WIDTH, height: HEIGHT, fill: '#fff' });
    return `${tag(
      'svg',
      { xmlns: 'http://www.w3.org/2000/svg', ...size, ...font },
      `\n${[back, ...this.parts].join('\n')}\n`,
    )}\n`;
  }
}

// curves: { name: [{ share, accuracy }] }; real: [{ threshold, paid, accuracy }], drawn as dots.
export function costQuality({ curves, real, title }) {
  const all = Object.values(curves)
    .flat()
    .map((p) => p.accuracy);
  const low = Math.max(0, Math.floor(Math.min(...all) * 10 - 0.2) / 10);
  const high = Math.max(low + 0.1, Math.min(1, Math.ceil(Math.max(...all) * 10) / 10));
  const plot = new Plot(title, 'requests paid for', 'answered rightly', low, high);
  for (const name of ['random', 'oracle', 'complexity', 'both', 'confidence']) {
    if (!curves[name]) continue;
    plot.curve(
      curves[name].map((p) => [p.share, p.accuracy]),
      colours[name],
      dashes[name],
    );
  }
  for (const name of ['oracle', 'confidence', 'both', 'complexity', 'random'])
    if (curves[name]) plot.legend(name, colours[name], { dash: dashes[name] });
  for (const r of real) plot.dot(r.paid, r.accuracy, '#c0143c');
  if (real.length) plot.legend('routed over HTTP', '#c0143c', { dot: true });
  return plot.toString();
}

// scores: [{ name, bins: [{ score, share, n }] }]: dots by the bins' mass.
export function reliability({ scores, title }) {
  const plot = new Plot(title, 'confidence (mean of the bin)', 'good enough', 0, 1);
  plot.curve(
    [
      [0, 0],
      [1, 1],
    ],
    '#a0a0a0',
    '2 4',
  );
  plot.legend('perfect', '#a0a0a0', { dash: '2 4' });
  const palette = { confidence: '#0057b8', raw: '#b35900' };
  for (const { name, bins } of [...scores].reverse()) {
    plot.curve(
      bins.map((b) => [b.score, b.share]),
      palette[name],
    );
    for (const b of bins) plot.dot(b.score, b.share, palette[name]);
    plot.legend(name, palette[name]);
  }
  return plot.toString();
}
