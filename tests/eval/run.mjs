// The evaluation as a command: node tests/eval/run.mjs --help
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { endAll, root } from '../http/program.mjs';
import { goodEnough } from './analysis.mjs';
import { calibrationLines, DEFAULTS, evaluate, mixed } from './evaluate.mjs';
import { markdown } from './report.mjs';
import { loadSet, readSet, thin } from './set.mjs';
import { standIn } from './standin.mjs';
import { costQuality, reliability } from './svg.mjs';

const here = path.join(root, 'tests/eval');
const SPARK = path.join(root, 'config/models/spark.gguf');
const USAGE = `Runs a set of prompts through a gateway with a mock cloud and measures the routing.

    node tests/eval/run.mjs [OPTIONS]

  --set PATH          JSON lines, or a folder of *.jsonl; again for more
                      (tests/eval/fit.jsonl and test.jsonl; without them a small stand-in)
  --split fit|test    only these prompts (all are run, figures are of the test split)
  --limit N           at most N prompts, spread evenly over families and levels
  --model FILE        config/models/spark.gguf
  --calibration FILE  put into dataDir: goes before what lies beside the model
  --stream            streamed: judged by the window
  --thresholds LIST   of the routed runs (0.5,0.7,0.85,0.95); none: no routed runs
  --concurrency N     requests at a time (8)
  --max-tokens N      of an answer (64)
  --device, --precision, --threads   of the engine (cpu, auto, one for each core)
  --accuracy SHARE    of the mock cloud (0.95)
  --latency FACTOR    of the mock cloud's times (1; 0 answers at once)
  --seed N            of the mock and the resamples (1)
  --resamples N       for the intervals (1000)
  --out DIR           report.md, results.json, rows.jsonl and two SVGs (build/eval)
  --emit FILE         input of tollgate calibrate: of the fit split, or of --split
  --check             exit status 1 when a target is missed

TOLLGATE_BIN names the program (build/tollgate). Exit status 1 too when a routed run went
another way than predicted and nothing explains it, or an answer was booked at another cost than
its price; 2 for a wrong command line.
`;

const kinds = {
  set: { type: 'string', multiple: true },
  stream: { type: 'boolean' },
  check: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
};
for (const name of [
  'split',
  'limit',
  'model',
  'calibration',
  'thresholds',
  'concurrency',
  'max-tokens',
  'device',
  'precision',
  'threads',
  'accuracy',
  'latency',
  'seed',
  'resamples',
  'out',
  'emit',
])
  kinds[name] = { type: 'string' };

class Usage extends Error {}

function number(name, text, { low = 0, high = Infinity, whole = true }) {
  const value = Number(text);
  if (text.trim() === '' || !(value >= low && value <= high) || (whole && !Number.isInteger(value)))
    throw new Usage(`--${name}: ${text} is not a ${whole ? 'whole ' : ''}number in its range`);
  return value;
}

function thresholdsOf(text) {
  if (text === undefined) return DEFAULTS.thresholds;
  if (text === 'none') return [];
  const found = text.split(',').map((t) => number('thresholds', t, { high: 1, whole: false }));
  if (found.length > 29) throw new Usage('--thresholds: at most 29');
  return [...new Set(found)].sort((a, b) => a - b);
}

function read(argv) {
  let v;
  try {
    v = parseArgs({ args: argv, options: kinds, strict: true }).values;
  } catch (cause) {
    throw new Usage(cause.message);
  }
  if (v.split && !['fit', 'test'].includes(v.split)) throw new Usage('--split is fit or test');
  const count = (name, otherwise, range = { low: 1 }) =>
    v[name] === undefined ? otherwise : number(name, v[name], range);
  return {
    ...v,
    model: path.resolve(v.model ?? SPARK),
    binary: process.env.TOLLGATE_BIN ?? path.join(root, 'build/tollgate'),
    out: path.resolve(v.out ?? path.join(root, 'build/eval')),
    thresholds: thresholdsOf(v.thresholds),
    limit: count('limit', 0),
    concurrency: count('concurrency', DEFAULTS.concurrency),
    maxTokens: count('max-tokens', DEFAULTS.maxTokens),
    threads: count('threads', undefined),
    seed: count('seed', DEFAULTS.seed, { low: 0 }),
    resamples: count('resamples', DEFAULTS.resamples, { low: 0 }),
    accuracy: count('accuracy', DEFAULTS.accuracy, { high: 1, whole: false }),
    scale: count('latency', DEFAULTS.scale, { whole: false }),
    device: v.device ?? DEFAULTS.device,
    precision: v.precision ?? DEFAULTS.precision,
  };
}

function prompts(options) {
  const shipped = ['fit.jsonl', 'test.jsonl'].map((name) => path.join(here, name));
  const paths = options.set ?? (shipped.every(existsSync) ? shipped : null);
  const { items, duplicates } = paths
    ? loadSet(paths)
    : readSet([{ name: 'the stand-in', text: standIn() }]);
  const mine = options.split ? items.filter((item) => item.split === options.split) : items;
  if (!mine.length) throw new Usage(`--split ${options.split}: the set has none of these`);
  const set = paths ? paths.map((p) => path.basename(p)).join(', ') : 'stand-in';
  return { items: thin(mine, options.limit), duplicates, set };
}

async function emit(file, rows, split) {
  const mine = rows.filter((row) => row.split === (split ?? 'fit'));
  const lines = calibrationLines(mine, goodEnough);
  if (!lines.length) throw new Error(`--emit: none of ${mine.length} answers has a score to emit`);
  await writeFile(file, `${lines.join('\n')}\n`);
  process.stderr.write(`${lines.length} lines of ${mine.length} prompts written to ${file}\n`);
}

async function write(out, rows, results) {
  const model = results.about.model.replace(/\.gguf$/, '');
  const title = `${model} and a mock cloud, ${results.scope.n} prompts`;
  const files = {
    'report.md': markdown(results),
    'results.json': `${JSON.stringify(results, null, 1)}\n`,
    'rows.jsonl': `${rows.map((row) => JSON.stringify(row)).join('\n')}\n`,
    'cost-quality.svg': costQuality({ ...results, title }),
    'reliability.svg': reliability({ scores: results.calibration, title }),
  };
  await mkdir(out, { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFile(path.join(out, name), text);
}

async function main() {
  const options = read(process.argv.slice(2));
  if (options.help) return process.stdout.write(USAGE), 0;
  for (const file of [options.model, options.binary])
    if (!existsSync(file)) throw new Usage(`${file} is not there`);
  const { items, duplicates, set } = prompts(options);
  const { rows, results } = await evaluate(items, {
    ...options,
    say: (text) => process.stderr.write(`${text}\n`),
    about: {
      model: path.basename(options.model),
      set,
      prompts: items.length,
      duplicates,
      stream: Boolean(options.stream),
      accuracy: options.accuracy,
      seed: options.seed,
      latency: options.scale,
      concurrency: options.concurrency,
    },
  });
  if (options.emit) await emit(options.emit, rows, options.split);
  await write(options.out, rows, results);
  process.stdout.write(markdown(results));
  if (mixed(results.keys))
    throw new Error(`scores of several kinds: ${JSON.stringify(results.keys)}`);
  const unexplained = results.real.some((r) => r.unexplained > 0);
  const missed = options.check && results.targets.some((t) => !t.met);
  return unexplained || results.misbilled || missed ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (cause) {
  process.stderr.write(`${cause instanceof Usage ? cause.message : cause.stack}\n`);
  if (cause instanceof Usage) process.stderr.write('node tests/eval/run.mjs --help tells more\n');
  process.exitCode = cause instanceof Usage ? 2 : 1;
} finally {
  await endAll();
}
