// The gateway with calibrations: beside the model and in dataDir, when the model's hash comes late,
// at a reload, and when a file is bad.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFile, readFile, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { slow, startGateway, tempDir, waitFor } from './lib.mjs';
import { startMock } from './mock_provider.mjs';
import { chat, hybridConfig, localConfig, model, sse } from './support.mjs';

const why = { 'x-tollgate-explain': 'true' };
let mock, sha;
before(async () => {
  mock = await startMock();
  sha = createHash('sha256').update(await readFile(model)).digest('hex');
});
after(async () => {
  await mock.stop();
});

const calibration = (fields = {}) => ({
  ...{ model: sha, precision: 'fast', features: 2, span: 'answer', thinking: false },
  ...{ made: '2026-11-29', n: 100, right: 60, bias: 0.5, weights: {}, map: { kind: 'none' } },
  ...{ ece: 0.03, ece_raw: 0.2, ...fields },
});
const file = (...list) => JSON.stringify({ version: 1, calibrations: list });
const sigmoid = (z) => 1 / (1 + Math.exp(-z));
const event = (gw, name) => gw.log().find((e) => e.event === name);
const logged = (gw, name) =>
  waitFor(() => event(gw, name), { ms: 30000, what: `the log line ${name}` });

// A folder with a copy of the model, and a configuration that names it.
async function copied(config = localConfig()) {
  const dir = await tempDir();
  const gguf = path.join(dir, 'copy.gguf');
  await copyFile(model, gguf);
  config.engine.model = gguf;
  const beside = (text) => writeFile(path.join(dir, 'copy.calibration.json'), text);
  const own = (text) => writeFile(path.join(dir, 'calibration.json'), text);
  return { dir, gguf, beside, own, config };
}
const start = (place) => startGateway({ config: place.config, dataDir: place.dir });

async function confidence(gw, ask = chat) {
  const r = await ask(gw, {}, why);
  const explain = r.comment?.explain ?? JSON.parse(r.headers['x-tollgate-explain']);
  return explain.confidence;
}

test('the hash is computed once, and told; without a calibration that is told too', async () => {
  const place = await copied();
  const first = await start(place);
  const told = await logged(first, 'model-hash');
  assert.ok(told.text.includes(sha) && told.text.includes('computed in'), told.text);
  assert.equal(event(first, 'model-hashing'), undefined, 'a small file is read at once');
  assert.match((await logged(first, 'uncalibrated')).text, /tollgate calibrate/);
  const c = await confidence(first);
  assert.equal(c.key.model, sha);
  assert.equal(c.calibrated, false);
  await first.stop();
  const cache = JSON.parse(await readFile(path.join(place.dir, 'model-hashes.json'), 'utf8'));
  assert.deepEqual(Object.values(cache.files), [sha]);
  const second = await start(place);
  assert.match(event(second, 'model-hash').text, /known from an earlier start/);
  assert.equal((await confidence(second)).key.model, sha);
  await second.stop();
  await utimes(place.gguf, 1e9, 1e9);
  const third = await start(place);
  assert.match(event(third, 'model-hash').text, /computed in/, 'another time of modification');
  await third.stop();
});

test('beside the model; dataDir comes first for the same key; other keys do not fit', async () => {
  const place = await copied();
  const weights = { min_probability: 2, few_tokens: -1 };
  const y = [0.1, 0.3, 0.8];
  const map = { kind: 'isotonic', x: [0.2, 0.5, 0.9], y };
  await place.beside(
    file(
      calibration({ weights, map: { kind: 'platt', a: 0.5, b: 0.25 } }),
      calibration({ span: 'window', bias: -1, map }),
    ),
  );
  const others = [{ precision: 'exact' }, { model: 'a'.repeat(64) }];
  await place.own(file(...others.map(calibration)));
  const gw = await start(place);
  assert.match((await logged(gw, 'calibrated')).text, /answer: .*beside the model; window: /);
  const answer = await confidence(gw);
  const { min_probability: p, few_tokens: few } = answer.features;
  assert.ok(answer.calibrated);
  assert.ok(Math.abs(answer.value - sigmoid(0.5 * (0.5 + 2 * p - few) + 0.25)) < 1e-6);
  assert.ok(answer.raw < 0.5, 'random weights are not sure');
  const r = await chat(gw);
  assert.equal(r.headers['x-tollgate-confidence'], answer.value.toFixed(4));
  await gw.stop();
  await place.own(file(calibration({ bias: 3 })));
  const other = await start(place);
  assert.match((await logged(other, 'calibrated')).text, /answer: .*in dataDir; window: .*beside/);
  assert.ok(Math.abs((await confidence(other)).value - sigmoid(3)) < 1e-6);
  await other.stop();
});

test('an answer behind thoughts has a calibration of its own', async () => {
  const place = await copied();
  await place.beside(file(calibration({ bias: 3 }), calibration({ bias: -3, thinking: true })));
  const gw = await start(place);
  assert.match(
    (await logged(gw, 'calibrated')).text,
    /: answer: of .*; window: none; thinking: answer: of .*; window: none$/,
  );
  for (const effort of ['none', 'low', 'high']) {
    const r = await chat(gw, { reasoning_effort: effort }, why);
    const { key, calibrated, value } = JSON.parse(r.headers['x-tollgate-explain']).confidence;
    assert.equal(key.thinking, effort !== 'none');
    assert.ok(calibrated);
    // Random weights need not come to an end of their thoughts: nothing is judged then.
    if (value !== null) assert.ok(Math.abs(value - sigmoid(key.thinking ? -3 : 3)) < 1e-6);
  }
  await gw.stop();
});

test('the calibrated score decides: answer, window, and the last comment', async () => {
  const place = await copied(hybridConfig(mock, { trigger: 'confidence < 0.5' }));
  place.config.routes[0].holdBack = { tokens: 4 };
  await place.beside(file(calibration({ bias: 3 }), calibration({ bias: -3, span: 'window' })));
  const gw = await start(place);
  await logged(gw, 'calibrated');
  const whole = await chat(gw, {}, why);
  assert.equal(whole.headers['x-tollgate-route'], 'local');
  const stream = await sse(gw, { max_tokens: 32 }, why);
  assert.equal(stream.headers['x-tollgate-route'], 'mock/answer');
  assert.equal(stream.headers['x-tollgate-confidence'], sigmoid(-3).toFixed(4));
  assert.equal(stream.comment.explain.confidence.key.span, 'window');
  assert.ok(stream.comment.explain.confidence.calibrated);
  const only = await sse(gw, {}, { ...why, 'x-tollgate-local-only': 'true' });
  assert.equal(only.comment.confidence.toFixed(4), sigmoid(3).toFixed(4));
  assert.ok(Math.abs(only.comment.explain.confidence.value - sigmoid(3)) < 1e-6);
  await gw.stop();
});

test('until the hash is known the default holds; the end does not wait for it', async () => {
  const place = await copied();
  const size = (await stat(place.gguf)).size;
  // Zeros behind the tensors are no part of the model, but of its hash; they take no disk.
  const tail = (slow > 1 ? 128 : 400) << 20; /* some seconds of hashing */
  await truncate(place.gguf, size + tail);
  const hash = createHash('sha256').update(await readFile(model));
  for (let i = 0; i < tail; i += 1 << 20) hash.update(Buffer.alloc(1 << 20));
  await place.own(file(calibration({ model: hash.digest('hex'), bias: 3 })));
  const gw = await start(place);
  const early = await confidence(gw);
  assert.equal(early.key.model, null);
  assert.equal(early.calibrated, false);
  assert.equal(early.value, early.raw);
  assert.ok(event(gw, 'model-hashing') && !event(gw, 'uncalibrated'), 'it is not known yet');
  await logged(gw, 'calibrated');
  const late = await confidence(gw);
  assert.ok(late.calibrated && Math.abs(late.value - sigmoid(3)) < 1e-6);
  assert.deepEqual(late.features, early.features);
  await gw.stop();
  await truncate(place.gguf, size + 40 * 2 ** 30);
  const long = await start(place);
  const asked = performance.now();
  await long.stop();
  assert.ok(performance.now() - asked < 5000 * slow);
  assert.equal(event(long, 'model-hash'), undefined);
});

test('SIGHUP reads calibrations again; a bad file changes nothing', async () => {
  const place = await copied();
  const gw = await start(place);
  await logged(gw, 'uncalibrated');
  // Judged answers of this model, right and wrong by turns, by the program's own command; by the
  // least bit different, so that they count, but too little to be told apart by.
  const { key, features } = await confidence(gw);
  const lines = Array.from({ length: 60 }, (_, i) =>
    JSON.stringify({
      ...{ key, label: i % 3 ? 1 : 0 },
      features: { ...features, few_tokens: 1e-8 * i },
    }),
  );
  const made = spawnSync(
    process.env.TOLLGATE_BIN,
    ['calibrate', '--from', '-', '--config', gw.configFile],
    { encoding: 'utf8', input: lines.join('\n') },
  );
  assert.equal(made.status, 0, made.stderr);
  assert.equal((await confidence(gw)).calibrated, false, 'not before it is read');
  gw.signal('SIGHUP');
  assert.match((await logged(gw, 'calibrated')).text, /answer: .* 60 examples.*window: none/);
  const good = await confidence(gw);
  assert.ok(good.calibrated && Math.abs(good.value - 2 / 3) < 0.03, `${good.value}`);
  await place.own(file(calibration({ weights: { mood: 1 } })));
  gw.signal('SIGHUP');
  const refused = await logged(gw, 'reload-refused');
  assert.match(refused.text, /calibration\.json: calibrations\[0\]\.weights\.mood: there is no/);
  assert.deepEqual(await confidence(gw), good);
  await gw.stop();
});

test('a bad file at the start is an error, for --check too; old features are left', async () => {
  const place = await copied();
  const bad = file(calibration({ map: { kind: 'isotonic', x: [0.1, 0.2], y: [0.9, 0.1] } }));
  const run = async (...args) => {
    const config = path.join(place.dir, 'config.json');
    await writeFile(config, JSON.stringify({ dataDir: place.dir, ...place.config }));
    return spawnSync(process.env.TOLLGATE_BIN, ['serve', '--config', config, ...args], {
      encoding: 'utf8',
      timeout: 20000,
    });
  };
  for (const put of [place.own, place.beside]) {
    await put(bad);
    for (const args of [[], ['--check']]) {
      const r = await run(...args);
      assert.equal(r.status, 1);
      assert.match(r.stderr, /calibration\.json: calibrations\[0\]\.map\.y\[1\]: falls/);
      assert.match(r.stderr, /; move this file away: tollgate calibrate makes another/);
    }
    await put(file());
  }
  await place.own(file({ ...calibration(), features: 1 }));
  const gw = await start(place);
  assert.match((await logged(gw, 'calibrations-stale')).text, /1 calibrations .*another version/);
  await logged(gw, 'uncalibrated');
  await gw.stop();
});
