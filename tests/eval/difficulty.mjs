// How well complexity tells hard requests from easy ones, on a mixed set: terse but hard, long but
// easy, paraphrased and mistyped. The set is difficulty.jsonl, hard or easy by who wrote it.
//
//     node tests/eval/difficulty.mjs [--model FILE] [--fit]
//
// --fit: also weights fitted to the set, judged by prompts they have not seen, and what each
// feature is worth.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { endAll, root, startGateway } from '../http/program.mjs';
import { ask } from './client.mjs';
import { fit, heldOut, logLoss, ranked } from './logistic.mjs';
import { pool } from './phases.mjs';
import { table } from './report.mjs';
import { chance } from './set.mjs';

const FOLDS = 5;

// Two letters swapped inside two of the longer words, chosen by a hash of the text.
export function mistyped(text) {
  const words = text.split(' ');
  const long = words.map((w, i) => i).filter((i) => /^[A-Za-z]{5,}[.,:?!]?$/.test(words[i]));
  for (const turn of [0, 1]) {
    if (!long.length) break;
    const at = long.splice(Math.floor(chance(turn, text) * long.length), 1)[0];
    const w = words[at],
      k = 1 + Math.floor(chance(turn + 2, text) * (w.length - 3));
    words[at] = w.slice(0, k) + w[k + 1] + w[k] + w.slice(k + 2);
  }
  return words.join(' ');
}

// Every asking of every prompt: { id, kind, hard, form, text }.
export function askings(lines) {
  return lines.flatMap(({ id, kind, hard, asks }) => [
    ...asks.map((text, i) => ({ id, kind, hard, form: i ? 'paraphrased' : 'plain', text })),
    { id, kind, hard, form: 'mistyped', text: mistyped(asks[0]) },
  ]);
}

async function explained(items, model) {
  const gw = await startGateway({
    config: {
      listen: '127.0.0.1:0',
      engine: { model, device: 'cpu', context: 2048 },
      routes: [{ name: 'default', primary: { provider: 'local' } }],
    },
    binary: process.env.TOLLGATE_BIN ?? path.join(root, 'build/tollgate'),
  });
  return pool(items, 4, async (item) => {
    const messages = [{ role: 'user', content: item.text }];
    const { explain } = await ask(gw.port, 'default', { messages }, { maxTokens: 1 });
    return { ...item, ...explain.complexity };
  });
}

const share = (rows, f) => (rows.length ? rows.filter(f).length / rows.length : NaN);
const percent = (v) => (Number.isNaN(v) ? '-' : `${(100 * v).toFixed(0)}%`);

// A line of the table: of these rows, how many are scored, and how far each class scores.
function line(name, rows) {
  const known = rows.filter((r) => r.value !== null);
  const of = (hard) => rows.filter((r) => r.hard === hard);
  const high = (limit) => (r) => r.value !== null && r.value > limit;
  const auc = ranked(
    known.map((r) => r.value),
    known.map((r) => r.hard),
  );
  return [
    name,
    String(rows.length),
    percent(share(rows, (r) => r.value !== null)),
    auc === null ? '-' : auc.toFixed(3),
    ...[0.5, 0.9].flatMap((t) => [percent(share(of(1), high(t))), percent(share(of(0), high(t)))]),
  ];
}

function fitted(rows) {
  const names = Object.keys(rows[0].features);
  const y = rows.map((r) => r.hard),
    groups = rows.map((r) => r.id);
  const fold = (id) => Math.floor(chance(7, id) * FOLDS);
  const columns = (use) => rows.map((r) => use.map((n) => r.features[n]));
  const tried = (use) => {
    const scores = heldOut(columns(use), y, groups, fold, FOLDS);
    return { auc: ranked(scores, y), loss: logLoss(scores, y) };
  };
  const all = tried(names),
    model = fit(columns(names), y);
  const known = rows.map((r, i) => i).filter((i) => rows[i].value !== null);
  const held = heldOut(columns(names), y, groups, fold, FOLDS);
  console.log(
    `\nFitted to all ${rows.length}, judged by held-out prompts: AUC ${all.auc.toFixed(3)}, ` +
      `log loss ${all.loss.toFixed(3)}; bias ${model.bias.toFixed(2)}. ` +
      `On those ${known.length} that the shipped weights score: shipped ` +
      `${ranked(known.map((i) => rows[i].value), known.map((i) => y[i])).toFixed(3)}, fitted ` +
      `${ranked(known.map((i) => held[i]), known.map((i) => y[i])).toFixed(3)}.\n`,
  );
  const lines = names.map((name, i) => {
    const without = tried(names.filter((n) => n !== name)),
      alone = tried([name]);
    return [
      name,
      model.weights[i].toFixed(2),
      (without.auc - all.auc).toFixed(3),
      (without.loss - all.loss).toFixed(3),
      alone.auc.toFixed(3),
    ];
  });
  console.log(table(['feature', 'weight', 'AUC without', 'log loss without', 'AUC alone'], lines));
}

async function main() {
  const { values } = parseArgs({
    options: { model: { type: 'string' }, fit: { type: 'boolean' } },
  });
  const lines = readFileSync(path.join(root, 'tests/eval/difficulty.jsonl'), 'utf8').trim();
  const items = askings(lines.split('\n').map((l) => JSON.parse(l)));
  const model = values.model ?? path.join(root, 'config/models/spark.gguf');
  const rows = await explained(items, path.resolve(model));
  const head = ['', 'n', 'scored', 'AUC', 'hard > 0.5', 'easy > 0.5', 'hard > 0.9', 'easy > 0.9'];
  const kinds = [...new Set(rows.map((r) => r.kind))],
    forms = [...new Set(rows.map((r) => r.form))];
  const made = [
    line('all', rows),
    ...kinds.map((k) => line(k, rows.filter((r) => r.kind === k))),
    ...forms.map((f) => line(f, rows.filter((r) => r.form === f))),
  ];
  console.log(table(head, made));
  if (values.fit) fitted(rows);
}

if (process.argv[1] === new URL(import.meta.url).pathname)
  try {
    await main();
  } finally {
    await endAll();
  }
