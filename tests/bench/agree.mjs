// The engine and a llama-server on the same file: the distribution of the next token after prompts
// of several lengths. With make_model's files this compares every released shape (head sizes,
// ratios of query to key heads, windows, experts) at lengths beyond the window, without the real
// weights. A small vocabulary (--vocab-size 512) makes the comparison whole: every token counts.
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';

const usage = `usage: agree.mjs --model FILE --server COMMAND [options]
  --model FILE         a GGUF file of a Gemma 4 model
  --server COMMAND     llama-server, with any words in front of it and its own options behind
  --server-model FILE  the file as the server sees it (default: --model)
  --engine FILE        default build/tollgate-engine
  --engine-args=ARGS   further options of ours (default "--device cpu --precision exact")
  --lengths LIST       of the prompts (default 1,33,257,700)
  --top N              most probable tokens that are compared, those of the server (default 512)
  --port N             default 9911
  -t, --threads N      default 2
`;

class Wrong extends Error {}

const words = (text) => text.split(/\s+/).filter(Boolean);

function readOptions() {
  const text = (value) => ({ type: 'string', default: value });
  let values;
  try {
    ({ values } = parseArgs({
      options: {
        model: { type: 'string' },
        server: { type: 'string' },
        'server-model': { type: 'string' },
        engine: text('build/tollgate-engine'),
        'engine-args': text('--device cpu --precision exact'),
        lengths: text('1,33,257,700'),
        top: text('512'),
        port: text('9911'),
        threads: { type: 'string', short: 't', default: '2' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }));
  } catch (error) {
    throw new Wrong(error.message);
  }
  if (!values.help && (!values.model || !values.server))
    throw new Wrong('--model and --server are needed');
  values.lengths = values.lengths.split(',').map(Number);
  if (!values.lengths.every((n) => n >= 1)) throw new Wrong('--lengths are numbers from 1');
  return values;
}

// BOS and ordinary ids that every vocabulary of make_model's has, the same on every run.
function makePrompt(n, seed) {
  let state = seed;
  const next = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0);
  const ordinary = () => 110 + Math.floor((next() / 2 ** 32) * 400);
  return Array.from({ length: n }, (_, i) => (i === 0 ? 2 : ordinary()));
}

// Log probabilities of every token behind ids. (Waiting without blocking: the server's connection
// would be closed behind our back.)
async function askEngine(o, ids, dir) {
  const [file, raw] = [path.join(dir, 'ids'), path.join(dir, 'raw')];
  writeFileSync(file, ids.join(' '));
  const args = ['logits', '--model', o.model, '--ids', file, '--top', '1', '--raw', raw];
  args.push('--threads', o.threads, ...words(o['engine-args']));
  await promisify(execFile)(o.engine, args, { maxBuffer: 1 << 28 }).catch((error) => {
    throw new Wrong(`${o.engine} ${args.join(' ')}: ${error.stderr || error.message}`);
  });
  const logits = new Float32Array(new Uint8Array(readFileSync(raw)).buffer);
  const max = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const z = max + Math.log(logits.reduce((sum, v) => sum + Math.exp(v - max), 0));
  return logits.map((v) => v - z);
}

async function startServer(o) {
  const args = [...words(o.server).slice(1), '-m', o['server-model'] ?? o.model];
  args.push('--port', o.port, '-t', o.threads, '-c', String(Math.max(...o.lengths) + 64));
  args.push('-np', '1', '-ctk', 'f32', '-ctv', 'f32', '-fa', 'off', '--no-warmup');
  const child = spawn(words(o.server)[0], args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  let ended = false;
  child.stderr.on('data', (chunk) => (log = (log + chunk).slice(-2000)));
  child.on('error', (error) => (log += error.message));
  child.on('close', () => (ended = true));
  for (let i = 0; i < 600 && !ended; i++) {
    const answer = await fetch(`http://127.0.0.1:${o.port}/health`).catch(() => null);
    if (answer?.ok) return child;
    await sleep(500);
  }
  child.kill();
  throw new Wrong(`${o.server}: does not answer\n${log}`);
}

async function askServer(o, ids) {
  const answer = await fetch(`http://127.0.0.1:${o.port}/completion`, {
    method: 'POST',
    body: JSON.stringify({
      prompt: ids,
      n_predict: 1,
      n_probs: Number(o.top),
      temperature: -1, // probabilities of the logits, before any sampler
      cache_prompt: false,
    }),
  });
  if (!answer.ok) throw new Wrong(`the server says ${answer.status}: ${await answer.text()}`);
  const first = (await answer.json()).completion_probabilities?.[0];
  if (!first) return null; // its token is an end token, which it keeps to itself
  return first.top_logprobs.map((t) => ({ id: t.id, logprob: t.logprob }));
}

// Over the server's tokens: KL(ours || server) where they are all, the largest difference among
// tokens that either finds possible.
function compare(ours, theirs) {
  let [kl, mass, most] = [0, 0, 0];
  for (const { id, logprob } of theirs) {
    const p = Math.exp(ours[id]);
    kl += p * (ours[id] - logprob);
    mass += p;
    if (logprob > -12) most = Math.max(most, Math.abs(ours[id] - logprob));
  }
  const best = ours.reduce((at, v, i) => (v > ours[at] ? i : at), 0);
  const entropy = -ours.reduce((sum, v) => sum + Math.exp(v) * v, 0);
  return { kl, mass, most, entropy, same: best === theirs[0].id };
}

const dir = mkdtempSync(path.join(os.tmpdir(), 'tollgate-agree-'));
let server;
try {
  const o = readOptions();
  if (o.help) {
    process.stdout.write(usage);
  } else {
    server = await startServer(o);
    console.log('| prompt | KL | largest difference of log p | mass compared | entropy | top-1 |');
    console.log('|---|---|---|---|---|---|');
    for (const n of o.lengths) {
      let [ids, theirs] = [null, null];
      for (let seed = 12345; !theirs && seed < 12355; seed++) {
        ids = makePrompt(n, seed);
        theirs = await askServer(o, ids);
      }
      if (!theirs) throw new Wrong(`the server ends after each of ten prompts of ${n}`);
      const r = compare(await askEngine(o, ids, dir), theirs);
      console.log(
        `| ${n} | ${r.kl.toExponential(1)} | ${r.most.toPrecision(2)} | ${r.mass.toFixed(6)} | ` +
          `${r.entropy.toFixed(2)} | ${r.same ? 'same' : 'differs'} |`,
      );
    }
  }
} catch (error) {
  if (!(error instanceof Wrong)) throw error;
  process.stderr.write(`agree.mjs: ${error.message}\n`);
  process.exitCode = 2;
} finally {
  server?.kill();
  rmSync(dir, { recursive: true });
}
