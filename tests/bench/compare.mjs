// Our bench and the peer's, alternately, in one run, on the same file: a table of medians and of
// the ratio ours / theirs. Figures of two runs at different times say little on a machine with
// other work; neighbours within a round see the same machine. README.md has examples.
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';

const usage = `usage: compare.mjs --model FILE [options]
  --model FILE        a GGUF file of a Gemma 4 model
  --ours COMMAND      our engine (default build/tollgate-engine)
  --ours-prefix CMD   words in front of it, to run it elsewhere (such as in the peer's tree)
  --ours-model FILE   the file as our command sees it (default: --model)
  --ours-args=ARGS    further options of ours, such as --ours-args="--precision exact"
  --peer COMMAND      llama-bench, with any words in front of it (default: none, ours alone)
  --peer-model FILE   the file as the peer sees it (default: --model)
  --peer-args=ARGS    further options of the peer, such as --peer-args="-fa 1"
  --device NAME       cpu or vulkan (default cpu)
  -t, --threads N     of both, on the cpu (default 2)
  -p, --prompt N      tokens of the prompt; 0 skips (default 128)
  -n, --generate N    tokens to generate; 0 skips (default 32)
  -d, --depth N       tokens in the context before those to generate (with -p 0)
  -r, --repetitions N runs of each test in a round (default 1)
  --rounds N          default 3
  --json              everything, as JSON
`;

const options = {
  model: { type: 'string' },
  ours: { type: 'string', default: 'build/tollgate-engine' },
  'ours-prefix': { type: 'string', default: '' },
  'ours-model': { type: 'string' },
  'ours-args': { type: 'string', default: '' },
  peer: { type: 'string' },
  'peer-model': { type: 'string' },
  'peer-args': { type: 'string', default: '' },
  device: { type: 'string', default: 'cpu' },
  threads: { type: 'string', short: 't', default: '2' },
  prompt: { type: 'string', short: 'p', default: '128' },
  generate: { type: 'string', short: 'n', default: '32' },
  depth: { type: 'string', short: 'd', default: '0' },
  repetitions: { type: 'string', short: 'r', default: '1' },
  rounds: { type: 'string', default: '3' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
};

class Wrong extends Error {}

const words = (text) => text.split(/\s+/).filter(Boolean);

function readOptions() {
  let values;
  try {
    values = parseArgs({ options }).values;
  } catch (error) {
    throw new Wrong(error.message);
  }
  for (const [name, least] of [
    ['threads', 1],
    ['prompt', 0],
    ['generate', 0],
    ['depth', 0],
    ['repetitions', 1],
    ['rounds', 1],
  ]) {
    if (!/^\d{1,7}$/.test(values[name]) || Number(values[name]) < least)
      throw new Wrong(`--${name} is "${values[name]}"; it must be a number from ${least}`);
    values[name] = Number(values[name]);
  }
  if (values.help) return values;
  if (!values.model) throw new Wrong('--model is missing');
  if (!['cpu', 'vulkan'].includes(values.device))
    throw new Wrong(`--device is "${values.device}"; it must be cpu or vulkan`);
  if (values.prompt === 0 && values.generate === 0)
    throw new Wrong('--prompt and --generate are 0: there is nothing to measure');
  if (values.depth > 0 && values.prompt > 0)
    throw new Wrong('--depth is about generation: add --prompt 0');
  return values;
}

// Runs a command to its end and returns the JSON array in what it prints.
function runJson(command, env) {
  const done = spawnSync(command[0], command.slice(1), {
    encoding: 'utf8',
    env: { ...process.env, ...env },
    maxBuffer: 1 << 26,
  });
  const what = command.join(' ');
  if (done.error) throw new Wrong(`${what}: ${done.error.message}`);
  if (done.status !== 0)
    throw new Wrong(`${what}: exit status ${done.status ?? done.signal}\n${done.stderr}`);
  const at = done.stdout.search(/^\[/m);
  try {
    return JSON.parse(done.stdout.slice(at));
  } catch {
    throw new Wrong(`${what}: printed no JSON array:\n${done.stdout.slice(0, 400)}`);
  }
}

const testName = (kind, n, depth) => `${kind}${n}${depth ? ` @ d${depth}` : ''}`;

// Both return { name of test: tokens/s }, and what they ran on.
function runOurs(o) {
  const results = runJson([
    ...words(o['ours-prefix']),
    ...words(o.ours),
    'bench',
    ...['--model', o['ours-model'] ?? o.model, '--device', o.device],
    ...(o.device === 'cpu' ? ['-t', o.threads] : []).map(String),
    ...['-p', o.prompt, '-n', o.generate, '-d', o.depth, '-r', o.repetitions].map(String),
    '--json',
    ...words(o['ours-args']),
  ]);
  return {
    rate: Object.fromEntries(results.map((r) => [r.test, r.median])),
    gb: Object.fromEntries(results.map((r) => [r.test, r.weight_bytes_per_token / 1e9])),
    label: results[0].device,
  };
}

function runPeer(o) {
  const cpu = o.device === 'cpu';
  const results = runJson(
    [
      ...words(o.peer),
      ...['-m', o['peer-model'] ?? o.model, '-o', 'json', '-t', String(o.threads)],
      ...['-p', o.prompt, '-n', o.generate, '-d', o.depth, '-r', o.repetitions].map(String),
      ...(cpu ? ['-dev', 'none'] : ['-ngl', '99']),
      ...words(o['peer-args']),
    ],
    cpu ? {} : { GGML_VK_VISIBLE_DEVICES: '0' }, // a software driver is taken only when named
  );
  const rate = {};
  for (const r of results) {
    const kind = r.n_gen > 0 ? 'tg' : 'pp';
    rate[testName(kind, r.n_gen || r.n_prompt, r.n_depth)] = median(r.samples_ts ?? [r.avg_ts]);
  }
  const first = results[0];
  const device = cpu ? `CPU (${first.cpu_info})` : `${first.backends} (${first.gpu_info})`;
  return { rate, label: `llama-bench build ${first.build_number}, ${device}` };
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const n = sorted.length;
  return (sorted[(n - 1) >> 1] + sorted[n >> 1]) / 2;
}

// Whoever goes first changes from round to round.
function measure(o) {
  const rounds = [];
  for (let i = 0; i < o.rounds; i++) {
    const round = {};
    const turns = [() => (round.ours = runOurs(o)), () => (round.peer = o.peer && runPeer(o))];
    for (const turn of i % 2 ? turns.reverse() : turns) turn();
    rounds.push(round);
    process.stderr.write(`round ${i + 1} of ${o.rounds}\n`);
  }
  return rounds;
}

function summarise(rounds) {
  const tests = Object.keys(rounds[0].ours.rate);
  return tests.map((test) => {
    const ours = rounds.map((r) => r.ours.rate[test]);
    const row = { test, ours, median: median(ours) };
    if (test.startsWith('tg')) row.gbPerS = row.median * rounds[0].ours.gb[test];
    if (!rounds[0].peer) return row;
    const theirs = rounds.map((r) => r.peer.rate[test]);
    if (theirs.some((v) => !(v > 0)))
      throw new Wrong(`the peer measured no ${test}, but ${Object.keys(rounds[0].peer.rate)}`);
    const ratios = ours.map((v, i) => v / theirs[i]);
    return { ...row, theirs, peerMedian: median(theirs), ratios, ratio: median(ratios) };
  });
}

function spread(values) {
  const [middle, least, most] = [median(values), Math.min(...values), Math.max(...values)];
  return `${middle.toFixed(2)} (${least.toFixed(2)} to ${most.toFixed(2)})`;
}

function printTable(rows, rounds, o) {
  const peer = Boolean(rounds[0].peer);
  console.log(`ours: ${rounds[0].ours.label}`);
  if (peer) console.log(`peer: ${rounds[0].peer.label}`);
  const where = o.device === 'cpu' ? `cpu, ${o.threads} threads` : o.device;
  console.log(`${o.model}, ${where}, medians of ${o.rounds} rounds (least to most), tokens/s\n`);
  console.log(peer ? '| test | ours | peer | ours / peer |' : '| test | ours |');
  console.log(peer ? '|---|---|---|---|' : '|---|---|');
  for (const r of rows)
    console.log(
      peer
        ? `| ${r.test} | ${spread(r.ours)} | ${spread(r.theirs)} | ${spread(r.ratios)} |`
        : `| ${r.test} | ${spread(r.ours)} |`,
    );
}

try {
  const o = readOptions();
  if (o.help) {
    process.stdout.write(usage);
  } else {
    const rounds = measure(o);
    const rows = summarise(rounds);
    if (o.json) console.log(JSON.stringify({ rows, rounds }, null, 2));
    else printTable(rows, rounds, o);
  }
} catch (error) {
  if (!(error instanceof Wrong)) throw error;
  process.stderr.write(`compare.mjs: ${error.message}\n--help lists the options.\n`);
  process.exitCode = 2;
}
