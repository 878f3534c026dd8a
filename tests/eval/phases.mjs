// The three runs over HTTP: local only, always cloud, and routed by thresholds of confidence.
import { existsSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import path from 'node:path';
import { sleep, startGateway, tempDir, waitFor } from '../http/program.mjs';
import { ask, shown } from './client.mjs';
import { right } from './judge.mjs';
import { CLOUD_MODEL, CLOUD_PRICES } from './mock_cloud.mjs';

// Never true, but there: a stream is held back and judged as a routed one is.
const NEVER = 'confidence < 0';
const ALWAYS = 'turns >= 0';

export const routedName = (t) => `routed-${t}`;

function settings(cloud, { model, device, precision, threads, thresholds, maxTokens }) {
  const route = (name, trigger) => ({
    name,
    primary: { provider: 'local' },
    fallback: [{ provider: 'cloud', model: CLOUD_MODEL, maxTokens, trigger }],
  });
  return {
    listen: '127.0.0.1:0',
    engine: { model, device, precision, context: 2048, ...(threads && { threads }) },
    providers: {
      cloud: {
        kind: 'openai',
        baseUrl: `${cloud.url}/v1`,
        prices: { [CLOUD_MODEL]: CLOUD_PRICES },
      },
    },
    routes: [
      route('eval-local', NEVER),
      route('eval-cloud', ALWAYS),
      ...thresholds.map((t) => route(routedName(t), `confidence < ${t}`)),
    ],
  };
}

// A gateway in front of the mock cloud, with a data folder of its own. It knows its model's hash
// before it is returned (or hashMs have passed), so that one calibration holds for the whole run.
export async function startEvaluated(cloud, options) {
  const dataDir = await tempDir();
  if (options.calibration)
    await copyFile(options.calibration, path.join(dataDir, 'calibration.json'));
  const config = { dataDir, ...settings(cloud, options) };
  const gw = await startGateway({ config, dataDir, binary: options.binary });
  const known = async () => {
    const { explain, confidence } = await ask(gw.port, 'eval-local', options.probe, options);
    if (!explain || !explain.confidence) return confidence === null ? 'no score' : 'no explain';
    return explain.confidence.key?.model ?? (await sleep(100));
  };
  await waitFor(known, { ms: options.hashMs }).catch(() =>
    options.say("the model's hash is not known: scores are made without a calibration"),
  );
  return gw;
}

// f over all items, n at a time; results in the items' order. progress(done) after each.
export async function pool(items, n, f, progress = () => {}) {
  const out = new Array(items.length);
  let next = 0,
    done = 0;
  const worker = async () => {
    while (next < items.length) {
      const i = next++;
      out[i] = await f(items[i]);
      progress(++done);
    }
  };
  await Promise.all(Array.from({ length: Math.min(n, items.length) }, worker));
  return out;
}

// Milliseconds that requests took without waiting for their turn, by request id, from the log.
async function times(gw, ids) {
  const want = new Set(ids);
  const read = async () => {
    if (!existsSync(path.join(gw.dataDir, 'log.db'))) return null;
    const rows = await gw.rows('log.db', 'select request, total_ms, queue_ms from request');
    const mine = rows.filter((row) => want.has(row.request));
    return mine.length >= want.size ? mine : null;
  };
  const rows = await waitFor(read, { ms: 20000, what: 'the rows of the log' });
  return new Map(rows.map((r) => [r.request, r.total_ms - Math.max(0, r.queue_ms)]));
}

// Per item: { answer, right, failed, confidence, raw, complexity, features, key, calibrated, ms }.
// failed: the local model gave no answer, so a route with a cloud pays whatever its trigger says.
export async function runLocal(gw, items, options) {
  const answers = await pool(
    items,
    options.concurrency,
    (item) => ask(gw.port, 'eval-local', item, options),
    options.progress,
  );
  const took = await times(gw, answers.map((a) => a.id));
  return answers.map((a, i) => {
    const failed = !a.ok || a.route !== 'local';
    const scored = failed ? null : (a.explain?.confidence ?? null);
    return {
      answer: shown(a.message),
      right: !failed && right(items[i], a.message),
      failed,
      error: failed ? (a.error ?? a.reason) : null,
      confidence: failed ? null : a.confidence,
      raw: scored ? (scored.raw ?? null) : null,
      calibrated: scored ? scored.calibrated : false,
      complexity: a.complexity,
      features: scored ? scored.features : null,
      complexityFeatures: a.explain?.complexity?.features ?? null,
      key: scored ? scored.key : null,
      ms: took.get(a.id),
    };
  });
}

// Per item: { answer, right, failed, cost, owed, ms }; owed: dollars by the cloud's own reckoning.
export async function runCloud(gw, cloud, items, options) {
  const answers = await pool(
    items,
    options.concurrency,
    (item) => ask(gw.port, 'eval-cloud', item, options),
    options.progress,
  );
  return answers.map((a, i) => {
    const failed = !a.ok || a.route === 'local';
    return {
      answer: shown(a.message),
      right: !failed && right(items[i], a.message),
      failed,
      error: failed ? (a.error ?? a.reason) : null,
      cost: a.cost ?? 0,
      owed: cloud.owed(items[i]),
      ms: a.ms,
    };
  });
}

// Per item: { paid, right, cost, confidence, held, ms }; held: ms from the client's request until
// the cloud had it, waiting in line included, null when it was not asked.
export async function runRouted(gw, cloud, items, threshold, options) {
  cloud.forget();
  const answers = await pool(
    items,
    options.concurrency,
    (item) => ask(gw.port, routedName(threshold), item, options),
    options.progress,
  );
  const arrivals = cloud.arrivals();
  return answers.map((a, i) => {
    const asked = arrivals.get(items[i].id);
    return {
      answer: shown(a.message),
      paid: asked !== undefined,
      right: a.ok && right(items[i], a.message),
      error: a.ok ? null : a.error,
      cost: a.cost ?? 0,
      confidence: a.confidence,
      held: asked === undefined ? null : asked - a.sent,
      ms: a.ms,
    };
  });
}
