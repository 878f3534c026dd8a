// Results as markdown.

const percent = (v) => (v === null ? '-' : (100 * v).toFixed(1));
const milli = (v) => (v === null ? '-' : v.toFixed(v < 10 ? 1 : 0));
const plain = (v) => (v === null ? '-' : v.toFixed(3));
const money = (v) => (v === null ? '-' : `$${v.toFixed(4)}`);

// A figure with its interval.
export function figure(f, show) {
  if (!f || f.value === null || f.value === undefined) return '-';
  if (f.low === null) return show(f.value);
  return `${show(f.value)} [${show(f.low)}, ${show(f.high)}]`;
}

export function table(head, rows) {
  const cells = [head, head.map(() => '---'), ...rows];
  return cells.map((row) => `| ${row.join(' | ')} |`).join('\n');
}

function keyOf({ key, calibrated, n }) {
  const made = `${key.precision}, ${key.span}, features ${key.features}, model `;
  const model = key.model ? key.model.slice(0, 12) : 'unknown';
  return `${made}${model}, ${calibrated ? 'calibrated' : 'not calibrated'}: ${n}`;
}

function aboutSection({ about, scope, keys, misbilled }) {
  const lines = [
    `Model ${about.model}, set ${about.set} (${about.prompts} prompts run` +
      `${about.duplicates ? `, ${about.duplicates} duplicates left out` : ''}), ` +
      `${about.stream ? 'streamed' : 'whole answers'}, mock cloud at accuracy ${about.accuracy}.`,
    `Figures are of ${scope.n} prompts (split ${scope.split}), with 95% intervals; what had to ` +
      `be chosen was on ${scope.fitOnSame ? 'the same prompts' : `${scope.nFit} others`}.`,
    `Confidence is ${scope.calibrated ? 'calibrated' : 'NOT calibrated'}; unknown for ` +
      `${scope.unknownConfidence}, complexity for ${scope.unknownComplexity}. Local failed on ` +
      `${scope.localFailed}, the cloud on ${scope.cloudFailed}.`,
    ...(misbilled
      ? [`**${misbilled} paid answers were booked at another cost than their price.**`]
      : []),
    ...keys.map((k) => `Scored under ${keyOf(k)} of the prompts run.`),
  ];
  return lines.join('\n\n');
}

function routersSection({ routers, against, both }) {
  const rows = Object.entries(routers).map(([name, r]) => [
    name === 'both' ? `both (complexity > ${both.b})` : name,
    figure(r.apgr, plain),
    figure(r.cpt50, percent),
    figure(r.cpt80, percent),
  ]);
  return [
    table(['router', 'APGR', 'CPT50 %', 'CPT80 %'], rows),
    '',
    `Confidence has ${figure(against.apgr.ofOracle, percent)} % of the oracle's APGR; its CPT80 ` +
      `is ${figure(against.cpt80.aboveOracle, percent)} points above the oracle's.`,
  ].join('\n');
}

const operationHead = [
  'route',
  'accuracy %',
  'local %',
  '$/1000 requests',
  'PGR',
  'held mean ms',
  'p50',
  'p95',
];
const operationRow = (o) => [
  o.name,
  figure(o.accuracy, percent),
  figure(o.local, percent),
  figure(o.cost, money),
  figure(o.pgr, plain),
  figure(o.heldMean, milli),
  figure(o.heldP50, milli),
  figure(o.heldP95, milli),
];

function sweepSection({ sweep }) {
  const rows = sweep.filter((_, i) => i % 5 === 0).map((o) => operationRow(o).slice(0, 6));
  return table(['trigger', ...operationHead.slice(1, 6)], rows);
}

function realSection({ real }) {
  if (!real.length) return 'No routed runs.';
  const rows = real.map((r) => [
    r.threshold,
    `${percent(r.predicted.paid)} / ${percent(r.paid)}`,
    `${percent(r.predicted.accuracy)} / ${percent(r.accuracy)}`,
    `${money(r.predicted.cost)} / ${money(r.cost)}`,
    `${milli(r.heldMean)} / ${milli(r.heldP50)} / ${milli(r.heldP95)}`,
    `${r.differences.length} (${r.unexplained})`,
  ]);
  const head = [
    'confidence <',
    'paid %',
    'accuracy %',
    '$/1000 requests',
    'held with its wait, mean / p50 / p95 ms',
    'differences (unexplained)',
  ];
  const found = real.flatMap((r) =>
    r.differences.slice(0, 10).map((d) => `- ${r.threshold}: ${d.id}: ${d.what.join('; ')}`),
  );
  return [table(head, rows), ...(found.length ? ['', ...found] : [])].join('\n');
}

function calibrationSection({ calibration }) {
  if (!calibration.length) return 'No scores.';
  const head = ['score', 'n', 'ECE', 'of a perfect one', 'AUC', 'Brier'];
  const rows = calibration.map((c) => [
    c.name,
    c.n,
    figure(c.ece, plain),
    plain(c.floor),
    figure(c.auc, plain),
    figure(c.brier, plain),
  ]);
  const longest = Math.max(...calibration.map((c) => c.bins.length));
  const bins = Array.from({ length: longest }, (_, i) => [
    i + 1,
    ...calibration.flatMap(({ bins: b }) =>
      b[i] ? [b[i].n.toFixed(0), plain(b[i].score), plain(b[i].share)] : ['-', '-', '-'],
    ),
  ]);
  const binHead = calibration.flatMap((c) => [`${c.name} n`, 'mean score', 'good enough']);
  return [table(head, rows), '', table(['bin', ...binHead], bins)].join('\n');
}

function levelsSection({ levels }) {
  const rows = levels.map((l) => [
    l.name,
    l.n,
    figure(l.accuracy, percent),
    figure(l.cloud, percent),
    figure(l.confidence, plain),
    figure(l.paid, percent),
  ]);
  const head = ['family, level', 'n', 'local right %', 'cloud right %', 'mean confidence'];
  return table([...head, 'paid % at the default'], rows);
}

function targetsSection({ targets }) {
  const rows = targets.map((t) => [
    t.name,
    t.wanted,
    t.found,
    t.met ? (t.sure ? 'met' : 'met, not by the whole interval') : 'NOT MET',
  ]);
  return table(['target', 'wanted', 'found', ''], rows);
}

export function markdown(results) {
  const sections = [
    ['Evaluation of routing', aboutSection(results)],
    ['Targets', targetsSection(results)],
    ['Routers', routersSection(results)],
    ['Operating points', table(operationHead, results.operations.map(operationRow))],
    ['Sweep', sweepSection(results)],
    ['Predicted / really routed', realSection(results)],
    ['Calibration', calibrationSection(results)],
    ['Families and levels', levelsSection(results)],
  ];
  const parts = sections.map(([name, text], i) => `${i ? '##' : '#'} ${name}\n\n${text}\n`);
  return parts.join('\n');
}
