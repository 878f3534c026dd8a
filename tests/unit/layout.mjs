// The rules of the house as a program: layers, confined headers, limits, banned words and calls,
// prefixes. Each rule is a function from a file to complaints; each is first shown planted faults,
// which it must find. An exception that is no longer needed is itself a complaint.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

const topLevel = new Set([
  'config',
  'local_engine',
  'telemetry',
  'providers',
  'policy',
  'gateway',
  'tests',
  'CMakeLists.txt',
  'README.md',
  'LICENSE',
]);

// What each layer may include of ours (besides itself).
const mayInclude = {
  'config/base': [],
  config: ['config/base'],
  local_engine: ['config/base'],
  telemetry: ['config/base', 'config'],
  providers: ['config/base', 'config', 'local_engine', 'telemetry'],
  policy: ['config/base', 'config', 'local_engine', 'telemetry', 'providers'],
  gateway: ['config/base', 'config', 'local_engine', 'telemetry', 'providers', 'policy'],
  tests: [
    'config/base',
    'config',
    'local_engine',
    'telemetry',
    'providers',
    'policy',
    'gateway',
    'tests',
  ],
};

// Third-party headers, and the files that wrap them.
const confined = [
  [/^cjson\//, /^config\/base\/json\.c$/],
  [/^sqlite3\.h$/, /^telemetry\/sql\.h$|^tests\/unit\/telemetry\//],
  [/^curl\//, /^providers\/(http_client\w*|curl_events|download)\.[ch]$/],
  [
    /^event2?\//,
    new RegExp(
      '^gateway/(loop|http_\\w+)\\.[ch]$|^providers/(http_client\\w*|curl_events|local)\\.[ch]$|' +
        '^tests/unit/(gateway|providers)/',
    ),
  ],
  [/^vulkan\//, /^local_engine\/vulkan\//],
  [/^openssl\//, /^gateway\/(http_)?tls\.c$|^tests\/unit\/gateway\//],
];

const prefixes = {
  'config/base': /^tg_/,
  config: /^cfg_/,
  local_engine: /^(le_|gpu_|cpu_)/,
  telemetry: /^tel_/,
  providers: /^(prov_|chat_)/,
  policy: /^pol_/,
  gateway: /^(gw_|api_|oai_|ant_|oll_)/,
};

// path: rule names it is excepted from.
const exceptions = JSON.parse(readFileSync(path.join(root, 'tests/unit/layout-exceptions.json')));

const limits = { c: 600, js: 600, mjs: 600, h: 200, comp: 250, glsl: 250 };
const banned =
  new RegExp(
    '\\b(sprintf|vsprintf|strcpy|strcat|strncpy|strtok|atoi|atol|atof|gets|alloca|system|' +
      'malloc|calloc|realloc|free|strdup|strndup|abort|exit)\\s*\\(',
  );
const mayExit = /^(tests\/|gateway\/main\.c|local_engine\/engine_main\.c)/;
const mayAlloc = /^config\/base\/alloc\.c$|^tests\//;
const mayGetenv = /^config\/(files|settings_providers|survey)\.c$|^tests\//;

const extension = (file) => path.extname(file).slice(1);
const isSource = (file) => extension(file) in limits;
const isC = (file) => /\.[ch]$/.test(file);

function layerOf(file) {
  if (file.startsWith('config/base/')) return 'config/base';
  const top = file.split('/')[0];
  return top in mayInclude ? top : null;
}

// The text with comments and string contents blanked, lines kept.
function bare(text) {
  return text.replace(
    /\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'/g,
    (all) => (all[0] === '"' ? '""' : '') + all.replace(/[^\n]/g, ''),
  );
}

const lineOf = (text, at) => text.slice(0, at).split('\n').length;

const rules = {
  'top-level'(file) {
    const top = file.split('/')[0];
    return topLevel.has(top) || top.startsWith('.') ? [] : [`${top} does not belong at the top`];
  },

  layers(file, text) {
    const layer = layerOf(file);
    if (!isC(file) || !layer) return [];
    return [...text.matchAll(/^\s*#\s*include\s+"([^"]+)"/gm)].flatMap((m) => {
      const target = layerOf(m[1]);
      if (m[1].startsWith('gen/') || (layer === 'local_engine' && m[1].startsWith('shaders/')))
        return [];
      if (!target) return [`line ${lineOf(text, m.index)}: include "${m[1]}" is not from the root`];
      if (target === layer || mayInclude[layer].includes(target)) return [];
      return [`line ${lineOf(text, m.index)}: ${layer} may not include ${target}`];
    });
  },

  confined(file, text) {
    if (!isC(file)) return [];
    return [...text.matchAll(/^\s*#\s*include\s+<([^>]+)>/gm)].flatMap((m) =>
      confined
        .filter(([header, files]) => header.test(m[1]) && !files.test(file))
        .map(
          () => `line ${lineOf(text, m.index)}: <${m[1]}> is confined to the files that wrap it`,
        ),
    );
  },

  length(file, text) {
    const max = limits[extension(file)];
    const lines = text.split('\n').length - 1;
    return max && lines > max ? [`${lines} lines, at most ${max}`] : [];
  },

  width(file, text) {
    if (!isSource(file)) return [];
    return text
      .split('\n')
      .flatMap((line, i) =>
        [...line].length > 100 ? [`line ${i + 1}: ${[...line].length} columns`] : [],
      );
  },

  functions(file, text) {
    if (!/\.(c|comp|glsl)$/.test(file)) return [];
    const out = [];
    let start = 0;
    text.split('\n').forEach((line, i) => {
      if (line === '{') start = i + 1;
      if (line === '}' && start) {
        if (i - start > 70) out.push(`line ${start}: a function of ${i - start} lines, at most 70`);
        start = 0;
      }
    });
    return out;
  },

  banned(file, text) {
    if (!/\.[ch]$/.test(file)) return [];
    return bare(text)
      .split('\n')
      .flatMap((line, i) => {
        const found = banned.exec(line);
        if (found && /^(abort|exit|system)$/.test(found[1]) && mayExit.test(file)) return [];
        if (found && mayAlloc.test(file)) return [];
        const env = /\bgetenv\s*\(/.test(line) && !mayGetenv.test(file);
        return found || env ? [`line ${i + 1}: ${found ? found[1] : 'getenv'} is banned`] : [];
      });
  },

  unfinished(file, text) {
    if (!isSource(file)) return [];
    const words = new RegExp('\\b(TO' + 'DO|FIX' + 'ME|XX' + 'X|HA' + 'CK)\\b');
    return text
      .split('\n')
      .flatMap((line, i) => (words.test(line) ? [`line ${i + 1}: unfinished work`] : []));
  },

  prefixes(file, text) {
    const prefix = prefixes[layerOf(file)];
    if (!file.endsWith('.h') || !prefix) return [];
    const flat = bare(text);
    return [...flat.matchAll(/^[a-z][\w \t*]*?[ \t*]([a-z_]\w*)\s*\(/gm)].flatMap((m) =>
      /^(static|typedef|return|else|if|while|for)\b/.test(m[0]) ||
      m[1] === '__attribute__' ||
      prefix.test(m[1])
        ? []
        : [`line ${lineOf(flat, m.index)}: ${m[1]} lacks the folder's prefix`],
    );
  },

  typedefs(file, text) {
    if (!file.endsWith('.h')) return [];
    return bare(text)
      .split('\n')
      .flatMap((line, i) =>
        /^\s*typedef\s+(struct|union|enum)\b[^(]*$/.test(line) && !/typedef [^(]*_fn\b/.test(line)
          ? [`line ${i + 1}: a struct is named as one`]
          : [],
      );
  },
};

// Every rule must find its planted fault, or it proves nothing.
const planted = [
  ['top-level', 'stuff/a.c', ''],
  ['layers', 'policy/a.c', '#include "gateway/app.h"\n'],
  ['layers', 'local_engine/a.c', '#include "config/settings.h"\n'],
  ['layers', 'gateway/a.c', '#include "app.h"\n'],
  ['confined', 'gateway/a.c', '#include <sqlite3.h>\n'],
  ['length', 'gateway/a.h', 'x\n'.repeat(201)],
  ['width', 'gateway/a.c', 'x'.repeat(101) + '\n'],
  ['functions', 'gateway/a.c', 'int f(void)\n{\n' + 'x;\n'.repeat(71) + '}\n'],
  ['banned', 'gateway/a.c', 'p = malloc(3);\n'],
  ['banned', 'gateway/a.c', 'x = getenv("A");\n'],
  ['unfinished', 'gateway/a.c', '/* TO' + 'DO */\n'],
  ['prefixes', 'policy/a.h', 'int other_call(int x);\n'],
  ['typedefs', 'policy/a.h', 'typedef struct a b;\n'],
];

const complaints = [];
for (const [rule, file, text] of planted)
  if (rules[rule](file, text).length === 0)
    complaints.push(`rule ${rule} missed ${JSON.stringify(text.slice(0, 40))}`);

const files = execFileSync('git', [
  '-c',
  'safe.directory=*', // the suite may run as root in somebody else's checkout
  '-C',
  root,
  'ls-files',
  '-z',
  '--cached',
  '--others',
  '--exclude-standard',
])
  .toString()
  .split('\0')
  .filter(Boolean);
const used = new Set();
for (const file of files) {
  let text;
  try {
    text = isSource(file) ? readFileSync(path.join(root, file), 'utf8') : '';
  } catch {
    continue;
  }
  for (const [name, rule] of Object.entries(rules))
    for (const complaint of rule(file, text)) {
      const excepted = (exceptions[file] ?? {})[name];
      if (excepted) used.add(`${file} ${name}`);
      else complaints.push(`${file}: ${complaint} [${name}]`);
    }
}
for (const [file, names] of Object.entries(exceptions))
  for (const name of Object.keys(names))
    if (!used.has(`${file} ${name}`))
      complaints.push(`${file}: the exception from ${name} is not needed any more`);

complaints.forEach((c) => console.error(c));
console.log(`${files.length} files, ${complaints.length} complaints`);
process.exit(complaints.length ? 1 : 0);
