// A strict reader of Prometheus' text format 0.0.4: throws at whatever a scraper might mind.
import assert from 'node:assert/strict';

const nameRule = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const numberRule = /^(-?\d+(\.\d+)?|\+Inf)$/;

// name{a="b"} 1 as { name, labels, text } with text the number as it stands there.
function readSample(line) {
  const head = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{)?/.exec(line);
  assert.ok(head, `no sample: ${line}`);
  const labels = {};
  let at = head[0].length;
  if (head[2]) {
    const label = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(,|\} )/y;
    for (let more = ','; more === ','; ) {
      label.lastIndex = at;
      const found = label.exec(line);
      assert.ok(found, `bad labels: ${line}`);
      assert.ok(!(found[1] in labels), `label twice: ${line}`);
      labels[found[1]] = found[2].replace(/\\(.)/g, (_, c) => (c === 'n' ? '\n' : c));
      more = found[3];
      at = label.lastIndex;
    }
  } else {
    assert.equal(line[at], ' ', line);
    at++;
  }
  const text = line.slice(at);
  assert.match(text, numberRule, line);
  return { name: head[1], labels, text };
}

const keyOf = (labels) =>
  Object.entries(labels)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
    .sort()
    .join();

function checkHistogram(family) {
  const sets = new Map();
  for (const s of family.samples) {
    const { le, ...rest } = s.labels;
    const key = keyOf(rest);
    if (!sets.has(key)) sets.set(key, { buckets: [] });
    const set = sets.get(key);
    if (s.name === `${family.name}_bucket`) set.buckets.push([le, Number(s.text)]);
    else set[s.name.slice(family.name.length)] = Number(s.text);
  }
  for (const [key, set] of sets) {
    const where = `${family.name}{${key}}`;
    assert.equal(set.buckets.at(-1)[0], '+Inf', where);
    assert.equal(set.buckets.at(-1)[1], set._count, where);
    assert.ok(set._sum >= 0 && (set._count > 0 || set._sum === 0), where);
    for (let i = 1; i < set.buckets.length; i++) {
      assert.ok(set.buckets[i][1] >= set.buckets[i - 1][1], `${where} sinks`);
      const bound = (b) => (b === '+Inf' ? Infinity : Number(b));
      assert.ok(bound(set.buckets[i][0]) > bound(set.buckets[i - 1][0]), `${where}: bounds`);
    }
  }
}

// Families by name: { name, help, type, samples: [{ name, labels, text }] }.
export function readExposition(text) {
  assert.ok(text.endsWith('\n'));
  const families = new Map(),
    seen = new Set();
  let now = null;
  for (const line of text.slice(0, -1).split('\n')) {
    const help = /^# HELP (\S+) (\S.*)$/.exec(line);
    const type = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line);
    if (help) {
      assert.match(help[1], nameRule);
      assert.ok(!families.has(help[1]), `${help[1]} twice`);
      now = { name: help[1], help: help[2], type: null, samples: [] };
      families.set(now.name, now);
      continue;
    }
    if (type) {
      assert.ok(now.name === type[1] && !now.type, `TYPE of ${type[1]}`);
      now.type = type[2];
      assert.equal(type[2] === 'counter', now.name.endsWith('_total'), now.name);
      continue;
    }
    const s = readSample(line);
    const suffixes = now.type === 'histogram' ? ['_bucket', '_sum', '_count'] : [''];
    assert.ok(suffixes.some((end) => s.name === now.name + end), `${s.name} below ${now.name}`);
    assert.ok(now.type !== 'counter' || Number(s.text) >= 0, line);
    const key = `${s.name}{${keyOf(s.labels)}}`;
    assert.ok(!seen.has(key), `${key} twice`);
    seen.add(key);
    now.samples.push(s);
  }
  for (const family of families.values()) {
    assert.ok(family.type, `${family.name} has no type`);
    if (family.type === 'histogram') checkHistogram(family);
  }
  return families;
}

// The number of one series as text; undefined: there is none. Of a histogram: its count.
export function valueOf(families, name, labels = {}) {
  const family = families.get(name);
  assert.ok(family, `no family ${name}`);
  const wanted = family.type === 'histogram' ? `${name}_count` : name;
  return family.samples.find((s) => s.name === wanted && keyOf(s.labels) === keyOf(labels))?.text;
}

// The sum over all series that have these labels.
export const sumOf = (families, name, labels = {}) =>
  families
    .get(name)
    .samples.filter((s) => !s.name.endsWith('_bucket') && !s.name.endsWith('_sum'))
    .filter((s) => Object.entries(labels).every(([label, value]) => s.labels[label] === value))
    .reduce((sum, s) => sum + Number(s.text), 0);
