// What a gateway costs on the way to a provider: a direct call, nginx as a plain proxy, the npm
// package @portkey-ai/gateway and Tollgate (log, metrics and ledger on), in turns in one run, each
// on one core, in front of the same upstream. README.md has how to read it.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const portkeyVersion = '1.15.2';
const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const usage = `usage: proxy.mjs [options]
  --build DIR       where tollgate, proxy_load and proxy_upstream are (default build)
  --rounds N        each measurement so often, in turns (default 3)
  --seconds N       of each (default 4)
  --streams N       simultaneous streams of the storm (default 2000; 0: none)
  --settle N        seconds behind the storm before memory is looked at (default 60)
  --only A,B        of direct, nginx, portkey, tollgate
  --json            everything, as JSON

Needs nginx and taskset; portkey is fetched with npm into a temporary folder.
`;

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const median = (list) => list.toSorted((a, b) => a - b)[Math.floor((list.length - 1) / 2)];

const { values: options } = parseArgs({
  options: {
    build: { type: 'string', default: path.join(root, 'build') },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '4' },
    streams: { type: 'string', default: '2000' },
    settle: { type: 'string', default: '60' },
    only: { type: 'string', default: 'direct,nginx,portkey,tollgate' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (options.help) {
  process.stdout.write(usage);
  process.exit(0);
}

const dir = mkdtempSync(path.join(tmpdir(), 'proxy-bench-'));
const children = [];
// The one under test has core 0 for itself; those around it share core 1, or have one each.
const cores = availableParallelism();
const coreOf = { gateway: 0, load: 1, upstream: cores > 2 ? 2 : 1 };

function start(core, command, args, extra = {}) {
  const child = spawn('taskset', ['-c', String(core), command, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...extra,
  });
  child.errors = '';
  child.stderr.on('data', (data) => (child.errors += data));
  children.push(child);
  return child;
}

async function startUpstream(gapUs) {
  const child = start(coreOf.upstream, path.join(options.build, 'proxy_upstream'), [
    '--gap-us',
    String(gapUs),
  ]);
  const [text] = await once(child.stdout, 'data');
  return Number(text);
}

async function waitForPort(port, child) {
  for (let i = 0; i < 200; i++) {
    if (child.exitCode !== null) throw new Error(`ended with ${child.exitCode}: ${child.errors}`);
    try {
      await fetch(`http://127.0.0.1:${port}/healthz`);
      return;
    } catch {
      await sleep(50);
    }
  }
  throw new Error(`nothing listens on ${port}: ${child.errors}`);
}

async function startNginx(upstream, port) {
  const at = path.join(dir, `nginx-${port}`);
  mkdirSync(at);
  const temp = ['client_body', 'proxy', 'fastcgi', 'scgi', 'uwsgi'];
  writeFileSync(
    path.join(at, 'nginx.conf'),
    `daemon off; worker_processes 1; pid ${at}/pid; error_log ${at}/error.log warn;
events { worker_connections 16384; }
http {
  access_log ${at}/access.log; keepalive_requests 1000000000;
  ${temp.map((name) => `${name}_temp_path ${at}/${name};`).join(' ')}
  upstream up { server 127.0.0.1:${upstream}; keepalive 4096; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off;
    }
  }
}
`,
  );
  const child = start(coreOf.gateway, 'nginx', ['-p', at, '-c', path.join(at, 'nginx.conf')]);
  await waitForPort(port, child);
  return { child, port, args: [] };
}

async function startPortkey(upstream, port) {
  const at = path.join(dir, 'portkey');
  if (!readdirSync(dir).includes('portkey')) {
    mkdirSync(at);
    const got = spawnSync('npm', ['install', `@portkey-ai/gateway@${portkeyVersion}`], { cwd: at });
    assert.equal(got.status, 0, String(got.stderr));
  }
  const program = path.join(at, 'node_modules/@portkey-ai/gateway/build/start-server.js');
  const child = start(coreOf.gateway, process.execPath, [program, `--port=${port}`, '--headless'], {
    cwd: at,
  });
  child.stdout.resume();
  await waitForPort(port, child);
  const headers = ['x-portkey-provider: openai', 'authorization: Bearer none'];
  headers.push(`x-portkey-custom-host: http://127.0.0.1:${upstream}/v1`);
  return { child, port, args: headers.flatMap((h) => ['--header', h]) };
}

async function startTollgate(upstream) {
  const at = mkdtempSync(path.join(dir, 'tollgate-'));
  const config = {
    listen: '127.0.0.1:0',
    dataDir: path.join(at, 'data'),
    engine: { model: path.join(root, 'config/models/spark.gguf'), device: 'cpu' },
    providers: {
      up: {
        kind: 'openai',
        baseUrl: `http://127.0.0.1:${upstream}/v1`,
        prices: { m: { input: '$1', output: '$2' } },
      },
    },
    routes: [
      {
        name: 'default',
        fallback: [{ provider: 'up', model: 'm', trigger: 'turns > 0' }],
        costPolicy: { cloudBudget: '$1000000/month' },
      },
    ],
    limits: { connections: 8192 },
  };
  writeFileSync(path.join(at, 'config.json'), JSON.stringify(config));
  const program = path.join(options.build, 'tollgate');
  const child = start(coreOf.gateway, program, ['serve', '--config', path.join(at, 'config.json')]);
  child.stdout.resume();
  for (let i = 0; i < 400 && !/"listening"/.test(child.errors); i++) await sleep(50);
  const port = Number(/"listening","text":"127\.0\.0\.1:(\d+)"/.exec(child.errors)?.[1]);
  assert.ok(port, child.errors);
  return { child, port, args: [] };
}

// CPU time of a process and those it started, in microseconds, and its memory in KiB.
function used(pid) {
  let ticks = 0;
  let kib = 0;
  const family = new Set([pid]);
  for (const name of readdirSync('/proc').filter((n) => /^\d+$/.test(n))) {
    try {
      const fields = readFileSync(`/proc/${name}/stat`, 'utf8').replace(/.*\) /, '').split(' ');
      if (Number(name) !== pid && !family.has(Number(fields[1]))) continue;
      family.add(Number(name));
      ticks += Number(fields[11]) + Number(fields[12]);
      const status = readFileSync(`/proc/${name}/status`, 'utf8');
      kib += Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0);
    } catch {
      /* it ended meanwhile */
    }
  }
  return { us: ticks * 10000, kib };
}

// One measurement; cpu_us: of the gateway, for each request (or chunk).
async function load(target, args, seconds = options.seconds) {
  const child = start(coreOf.load, path.join(options.build, 'proxy_load'), [
    '--port',
    String(target.port),
    '--seconds',
    String(seconds),
    ...target.args,
    ...args,
  ]);
  let text = '';
  let before;
  let during;
  child.stdout.on('data', (data) => (text += data));
  child.stderr.on('data', (data) => {
    const now = target.child ? used(target.child.pid) : { us: 0, kib: 0 };
    if (/begin/.test(data)) before = now;
    if (/end/.test(data)) during = now;
  });
  await once(child, 'close');
  assert.equal(child.exitCode, 0, child.errors);
  const r = JSON.parse(text);
  const n = r.chunks || r.requests;
  if (r.errors) process.stderr.write(`${r.errors} errors: ${child.errors}\n`);
  return { ...r, cpu_us: n ? (during.us - before.us) / n : 0, kib: during.kib };
}

const shapes = {
  one: ['--connections', '1'],
  many: ['--connections', '32'],
  stream: ['--connections', '32', '--stream', '--tokens', '50'],
};

async function rounds(targets) {
  const out = {};
  for (let i = 0; i < Number(options.rounds); i++)
    for (const [shape, args] of Object.entries(shapes))
      for (const [name, target] of Object.entries(targets)) {
        process.stderr.write(`round ${i + 1}, ${shape}, ${name}\n`);
        ((out[name] ??= {})[shape] ??= []).push(await load(target, args));
      }
  return out;
}

function tell(out) {
  const row = (cells) => process.stdout.write(`| ${cells.join(' | ')} |\n`);
  row(['', 'p50, 1 at once', 'requests/s, 32', 'p99, 32', 'CPU/request', 'chunk p50', 'errors']);
  row(Array(7).fill('---'));
  for (const [name, r] of Object.entries(out)) {
    const of = (shape, key) => median(r[shape].map((m) => m[key]));
    const errors = Object.values(r).flat().reduce((sum, m) => sum + m.errors, 0);
    row([
      name,
      `${of('one', 'p50_us').toFixed(0)} us`,
      of('many', 'per_second').toFixed(0),
      `${of('many', 'p99_us').toFixed(0)} us`,
      name === 'direct' ? '-' : `${of('many', 'cpu_us').toFixed(1)} us`,
      `${of('stream', 'chunk_p50_us').toFixed(0)} us`,
      errors,
    ]);
  }
}

// Memory: idle, with all streams open, and when they have gone.
async function storm(slowUpstream) {
  const n = Number(options.streams);
  const target = await startTollgate(slowUpstream);
  await sleep(1000);
  const idle = used(target.child.pid).kib;
  const args = ['--connections', String(n), '--stream', '--tokens', '20', '--warm', '6'];
  const r = await load(target, args, 10);
  await sleep(1000 * Number(options.settle));
  const after = used(target.child.pid).kib;
  target.child.kill('SIGTERM');
  const perStream = (r.kib - idle) / n;
  return { ...r, idle_kib: idle, storm_kib: r.kib, after_kib: after, kib_per_stream: perStream };
}

try {
  const fast = await startUpstream(10000);
  const want = new Set(options.only.split(','));
  const targets = {};
  if (want.has('direct')) targets.direct = { port: fast, args: [] };
  if (want.has('nginx')) targets.nginx = await startNginx(fast, 18390);
  if (want.has('portkey')) targets.portkey = await startPortkey(fast, 18391);
  if (want.has('tollgate')) targets.tollgate = await startTollgate(fast);
  const measured = await rounds(targets);
  for (const t of Object.values(targets)) t.child?.kill('SIGTERM');
  const out = { measured };
  if (Number(options.streams)) out.storm = await storm(await startUpstream(1000000));
  if (options.json) {
    process.stdout.write(`${JSON.stringify(out, null, 2)}\n`);
  } else {
    tell(measured);
    const s = out.storm;
    if (s)
      process.stdout.write(
        `\n${s.connections} streams: ${s.chunks} chunks, ${s.errors} errors, chunk p50 ` +
          `${s.chunk_p50_us.toFixed(0)} us, p99 ${s.chunk_p99_us.toFixed(0)} us; memory ` +
          `${(s.idle_kib / 1024).toFixed(1)} MiB idle, ${s.kib_per_stream.toFixed(1)} KiB ` +
          `a stream, ${(s.after_kib / 1024).toFixed(1)} MiB ${options.settle} s later\n`,
      );
  }
} finally {
  for (const child of children) child.kill('SIGTERM');
  await sleep(200);
  rmSync(dir, { recursive: true, force: true });
}
