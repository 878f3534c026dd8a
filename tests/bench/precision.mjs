// What precisions cost: the engine's logits over every position of the fixtures' prompts, per model
// and weight type, as a markdown table beside llama.cpp's.
//
// The truth is a float32 run on the same dequantised weights. It is stored for some positions, and
// its top-1 for all; `exact` is measured against it there. `fast` is measured against `exact` at
// every position (exact lies within 1e-8 nats of the truth), as llama.cpp's column is against the
// truth at every position (agreement.json).
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = path.dirname(fileURLToPath(import.meta.url));
const usage = `usage: precision.mjs [options]
  --fixtures DIR   the fixtures' models (default ../shared/fixtures/models beside the checkout)
  --engine FILE    default build/tollgate-engine
  --device NAME    cpu (default) or vulkan
  --models LIST    default tiny-dense,tiny-e,tiny-moe
  --types LIST     default all that are there
  --also LIST      further files of the first model's vocabulary, without a stored truth: fast
                   against exact
  --json           everything, as JSON
`;

class Wrong extends Error {}

function readOptions() {
  let values;
  try {
    ({ values } = parseArgs({
      options: {
        fixtures: {
          type: 'string',
          default: path.resolve(here, '../../../shared/fixtures/models'),
        },
        engine: { type: 'string', default: 'build/tollgate-engine' },
        device: { type: 'string', default: 'cpu' },
        models: { type: 'string', default: 'tiny-dense,tiny-e,tiny-moe' },
        types: { type: 'string', default: '' },
        also: { type: 'string', default: '' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }));
  } catch (error) {
    throw new Wrong(error.message);
  }
  if (!values.help && !existsSync(values.fixtures))
    throw new Wrong(`${values.fixtures} is not there: name the fixtures with --fixtures`);
  return values;
}

const readJson = (...parts) => JSON.parse(readFileSync(path.join(...parts), 'utf8'));

function floats(buffer, offset, n) {
  const copy = new Uint8Array(buffer.subarray(offset, offset + 4 * n));
  if (copy.length !== 4 * n) throw new Wrong(`a file of logits ends before ${offset + 4 * n}`);
  return new Float32Array(copy.buffer);
}

// Logits of every position of ids: an array of rows.
function runEngine(o, model, ids, precision, dir) {
  const idsFile = path.join(dir, 'ids');
  const raw = path.join(dir, 'raw');
  writeFileSync(idsFile, ids.join(' '));
  const args = ['logits', '--model', model, '--ids', idsFile, '--positions', 'all', '--top', '1'];
  args.push('--device', o.device, '--precision', precision, '--raw', raw);
  const done = spawnSync(o.engine, args, { encoding: 'utf8', maxBuffer: 1 << 28 });
  if (done.error || done.status !== 0)
    throw new Wrong(`${o.engine} ${args.join(' ')}: ${done.error?.message ?? done.stderr}`);
  const bytes = readFileSync(raw);
  const n = bytes.length / 4 / ids.length;
  return ids.map((_, i) => floats(bytes, i * n * 4, n));
}

function logSumExp(x) {
  let max = -Infinity;
  let sum = 0;
  for (const v of x) max = Math.max(max, v);
  for (const v of x) sum += Math.exp(v - max);
  return max + Math.log(sum);
}

// KL(want || got) and the largest difference.
function compareRows(want, got) {
  const [zw, zg] = [logSumExp(want), logSumExp(got)];
  let [kl, maxAbs] = [0, 0];
  for (let i = 0; i < want.length; i++) {
    const lw = want[i] - zw;
    kl += Math.exp(lw) * (lw - (got[i] - zg));
    maxAbs = Math.max(maxAbs, Math.abs(want[i] - got[i]));
  }
  return { kl, maxAbs };
}

// The index of the largest, and how far the second is behind.
function best(x) {
  let [at, second] = [0, -Infinity];
  for (let i = 1; i < x.length; i++) {
    if (x[i] > x[at]) {
      second = x[at];
      at = i;
    } else if (x[i] > second) {
      second = x[i];
    }
  }
  return { at, gap: x[at] - second };
}

function summarise(pairs) {
  const kl = pairs.map((p) => p.kl).sort((a, b) => a - b);
  return {
    n: pairs.length,
    klMean: kl.reduce((a, b) => a + b, 0) / kl.length,
    klMedian: (kl[(kl.length - 1) >> 1] + kl[kl.length >> 1]) / 2,
    klMax: kl.at(-1),
    maxAbs: Math.max(...pairs.map((p) => p.maxAbs)),
  };
}

// Logits of every position of every prompt, in both precisions; at: each prompt's first row.
function runPrompts(o, file, prompts, dir) {
  const rows = { exact: [], fast: [], at: [] };
  for (const { ids } of prompts) {
    rows.at.push(rows.exact.length);
    for (const precision of ['exact', 'fast'])
      rows[precision].push(...runEngine(o, file, ids, precision, dir));
  }
  return rows;
}

const fastAgainstExact = (rows) => rows.exact.map((want, i) => compareRows(want, rows.fast[i]));

// The share of positions whose top-1 is the truth's: of all, and where its lead is above 0.25.
function topShare(rows, truth, exact) {
  const same = rows.map((row, i) => best(row).at === truth[i]);
  const clear = same.filter((_, i) => best(exact[i]).gap > 0.25);
  const share = (list) => list.filter(Boolean).length / list.length;
  return { top1: share(same), top1Clear: share(clear) };
}

function measure(o, name, type, dir) {
  const folder = path.join(o.fixtures, name);
  const golden = readJson(folder, 'golden.json');
  const file = path.join(folder, `${name}-${type}.gguf`);
  const source = `hfdeq_${type}` in golden.logit_sources ? `hfdeq_${type}` : 'hf_fp32';
  const { layout, file: bin } = golden.logit_sources[source];
  const stored = readFileSync(path.join(folder, bin));
  const rows = runPrompts(o, file, golden.prompts, dir);
  const truth = golden.argmax_every_position[source].flat();
  const n = rows.exact[0].length;
  const exactPairs = layout.map((e) =>
    compareRows(floats(stored, e.offset, n), rows.exact[rows.at[e.prompt] + e.position]),
  );
  const reference = source === 'hf_fp32' ? 'hf_fp32' : `hfdeq/${type}`;
  const theirs = readJson(folder, 'agreement.json')[`llamacpp/${type} vs ${reference}`];
  return {
    model: name,
    type,
    exact: { ...summarise(exactPairs), ...topShare(rows.exact, truth, rows.exact) },
    fast: { ...summarise(fastAgainstExact(rows)), ...topShare(rows.fast, truth, rows.exact) },
    llamacpp: theirs && {
      klMean: theirs.kl_mean,
      klMedian: theirs.kl_median,
      maxAbs: theirs.max_abs,
      top1: theirs.top1,
      top1Clear: theirs.top1_where_gap_gt_0p25,
    },
  };
}

function measureAlso(o, file, dir) {
  const { prompts } = readJson(o.fixtures, o.models.split(',')[0], 'golden.json');
  const rows = runPrompts(o, file, prompts, dir);
  const truth = rows.exact.map((row) => best(row).at);
  return {
    model: path.basename(file, '.gguf'),
    type: '',
    fast: { ...summarise(fastAgainstExact(rows)), ...topShare(rows.fast, truth, rows.exact) },
  };
}

const types = [
  ...['F32', 'F16', 'BF16', 'Q8_0', 'Q6_K', 'Q5_K_M', 'Q5_1', 'Q5_0', 'Q4_K_M', 'Q4_1', 'Q4_0'],
  ...['IQ4_XS', 'Q3_K_M', 'Q2_K'],
];

function list(o) {
  const wanted = o.types ? o.types.split(',') : types;
  return o.models.split(',').flatMap((model) => {
    const there = wanted.filter((type) =>
      existsSync(path.join(o.fixtures, model, `${model}-${type}.gguf`)),
    );
    if (there.length === 0) throw new Wrong(`${o.fixtures}/${model}: no model of ${wanted}`);
    return there.map((type) => [model, type]);
  });
}

const number = (v) => (v === 0 ? '0' : v < 1e-3 ? v.toExponential(1) : v.toPrecision(2));
const percent = (v) => `${(100 * v).toFixed(1)}`;
const figures = (r) =>
  r
    ? `${number(r.klMean)} | ${number(r.klMedian)} | ${number(r.maxAbs)} | ` +
      `${percent(r.top1)} / ${percent(r.top1Clear)}`
    : ' | | | ';

function print(results) {
  console.log(
    '| model, type | exact: KL mean | max abs | top-1 % | fast: KL mean | median | max abs | ' +
      'top-1 % | llama.cpp: KL mean | median | max abs | top-1 % |',
  );
  console.log(`|---|${'---|'.repeat(11)}`);
  for (const r of results) {
    const exact = r.exact
      ? `${number(r.exact.klMean)} | ${number(r.exact.maxAbs)} | ${percent(r.exact.top1)}`
      : ' | | ';
    const name = `${r.model} ${r.type}`.trim();
    console.log(`| ${name} | ${exact} | ${figures(r.fast)} | ${figures(r.llamacpp)} |`);
  }
}

const dir = mkdtempSync(path.join(os.tmpdir(), 'tollgate-precision-'));
try {
  const o = readOptions();
  if (o.help) {
    process.stdout.write(usage);
  } else {
    const results = list(o).map(([model, type]) => measure(o, model, type, dir));
    for (const file of o.also.split(',').filter(Boolean)) results.push(measureAlso(o, file, dir));
    if (o.json) console.log(JSON.stringify(results, null, 2));
    else print(results);
  }
} catch (error) {
  if (!(error instanceof Wrong)) throw error;
  process.stderr.write(`precision.mjs: ${error.message}\n`);
  process.exitCode = 2;
} finally {
  rmSync(dir, { recursive: true });
}
