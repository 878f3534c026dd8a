// compare.mjs with our real engine and a peer that prints known figures.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const model = path.resolve(here, '../golden/tiny-dense-Q8_0.gguf');
const engine = process.env.TOLLGATE_ENGINE;
const dir = mkdtempSync(path.join(os.tmpdir(), 'tollgate-compare-'));
after(() => rmSync(dir, { recursive: true }));

// A peer that is asked for -p P -n N -d D says P/10 and N/10 tokens/s, and notes its arguments.
const peer = path.join(dir, 'peer.mjs');
const seen = path.join(dir, 'seen');
writeFileSync(
  peer,
  `import { appendFileSync } from 'node:fs';
const args = process.argv.slice(2);
const number = (name) => Number(args[args.indexOf(name) + 1]);
const device = process.env.GGML_VK_VISIBLE_DEVICES ?? 'none';
appendFileSync(${JSON.stringify(seen)}, args.join(' ') + ' device ' + device + '\\n');
const [p, n, d] = [number('-p'), number('-n'), number('-d')];
const test = (n_prompt, n_gen) => ({
  n_prompt, n_gen, n_depth: d, samples_ts: [n_prompt || n_gen].map((v) => v / 10),
  build_number: 7, cpu_info: 'a processor', gpu_info: 'a driver', backends: 'Vulkan',
});
console.log('some noise');
console.log(JSON.stringify([...(p ? [test(p, 0)] : []), ...(n ? [test(0, n)] : [])]));
`,
);

function compare(...args) {
  writeFileSync(seen, '');
  return spawnSync(
    process.execPath,
    [path.join(here, 'compare.mjs'), '--model', model, '--ours', engine, ...args],
    { encoding: 'utf8' },
  );
}

const peerCommand = `${process.execPath} ${peer}`;

test('ratios are ours by theirs, of each round', () => {
  const done = compare('--peer', peerCommand, '-p', '40', '-n', '6', '--rounds', '2', '--json');
  assert.equal(done.status, 0, done.stderr);
  const { rows, rounds } = JSON.parse(done.stdout);
  assert.deepEqual(
    rows.map((r) => [r.test, r.theirs]),
    [
      ['pp40', [4, 4]],
      ['tg6', [0.6, 0.6]],
    ],
  );
  for (const [i, test] of ['pp40', 'tg6'].entries()) {
    const ours = rounds.map((r) => r.ours.rate[test]);
    assert.ok(ours.every((v) => v > 0));
    assert.deepEqual(
      rows[i].ratios,
      ours.map((v) => v / rows[i].theirs[0]),
    );
    assert.equal(rows[i].ratio, (rows[i].ratios[0] + rows[i].ratios[1]) / 2);
  }
  assert.ok(rows[1].gbPerS > 0);
  assert.match(readFileSync(seen, 'utf8'), /^-m \S+ -o json -t 2 -p 40 .*-dev none device none$/m);
});

test('the table has both, a generation at a depth has its own name', () => {
  const done = compare('--peer', peerCommand, '-p', '0', '-n', '5', '-d', '8', '--rounds', '1');
  assert.equal(done.status, 0, done.stderr);
  assert.match(done.stdout, /peer: llama-bench build 7, CPU \(a processor\)/);
  assert.match(done.stdout, /^\| tg5 @ d8 \| [\d.]+ \(.*\) \| 0\.50 \(0\.50 to 0\.50\) \| /m);
});

test('without a peer ours stands alone', () => {
  const done = compare('-p', '8', '-n', '0', '--rounds', '1');
  assert.equal(done.status, 0, done.stderr);
  assert.match(done.stdout, /^\| test \| ours \|$/m);
  assert.match(done.stdout, /^\| pp8 \| [\d.]+ \(.*\) \|$/m);
});

test('what goes wrong is said', () => {
  for (const [args, text] of [
    [['-p', '0', '-n', '0'], /nothing to measure/],
    [['--rounds', '0'], /--rounds is "0"; it must be a number from 1/],
    [['--device', 'gpu'], /--device is "gpu"/],
    [['-d', '5'], /add --prompt 0/],
    [['--peer', '/nowhere/llama-bench', '-p', '4', '-n', '2'], /nowhere\/llama-bench.*ENOENT/],
    [['--peer', 'false', '-p', '4', '-n', '2'], /exit status 1/],
    [['--peer', 'echo x', '-p', '4', '-n', '2'], /printed no JSON array/],
    [['--ours-args=--bogus', '-p', '4', '-n', '2'], /unknown option --bogus/],
  ]) {
    const done = compare(...args);
    assert.equal(done.status, 2, `${args}: ${done.stdout}${done.stderr}`);
    assert.match(done.stderr, text);
  }
});
