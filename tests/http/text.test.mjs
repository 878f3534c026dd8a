// The commands about text as a person runs them: tokenize, detokenize, render and parse, against
// the golden data, with bad input, and with readers that go away.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { open, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { root, slow, tempDir } from './lib.mjs';

const tollgate = process.env.TOLLGATE_BIN;
const engine = path.join(path.dirname(tollgate), 'tollgate-engine');
const golden = (name) => path.join(root, 'tests/golden', name);
const model = golden('tiny-dense-Q8_0.gguf');
const read = (name) => JSON.parse(readFileSync(golden(name), 'utf8'));

// Runs a program to its end: { code, out, err }, out as bytes.
function run(program, args, input = '', { stdout = 'pipe' } = {}) {
  return new Promise((done, failed) => {
    const child = spawn(program, args, { stdio: ['pipe', stdout, 'pipe'] });
    const out = [];
    let err = '';
    child.stdout?.on('data', (part) => out.push(part));
    child.stderr.setEncoding('utf8').on('data', (part) => {
      err += part;
    });
    child.stdin.on('error', () => {}); // it may end without having read
    child.on('error', failed);
    child.on('close', (code, signal) => {
      done({ code: code ?? signal, out: Buffer.concat(out), err });
    });
    child.stdin.end(input);
  });
}

async function good(program, args, input) {
  const r = await run(program, args, input);
  assert.equal(r.code, 0, `${args.join(' ')}: ${r.err}`);
  return r;
}

// Runs as many at once as the machine may bear.
async function each(list, job) {
  const todo = [...list];
  const worker = async () => {
    for (let item = todo.shift(); item !== undefined; item = todo.shift()) await job(item);
  };
  await Promise.all(Array.from({ length: 4 }, worker));
}

// All, or a few of each kind in a build whose programs are slow to start.
const some = (cases) => cases.filter((c, i) => slow === 1 || i % 5 === 0);

// Strings of the golden file, long ones too, some of each kind.
const samples = () => {
  const { cases } = read('tokenizer-reduced.json');
  return some(cases.filter((c, i) => i % 9 === 0 || c.category === 'very long'));
};

test('tokenize: ids of the golden strings, special tokens on and off', async () => {
  await each(samples(), async (c) => {
    const on = await good(engine, ['tokenize', '--model', model, '--no-bos', '--special'], c.text);
    assert.deepEqual(JSON.parse(on.out), c.ids_parse_special, JSON.stringify(c.text));
    const off = await good(tollgate, ['tokenize', '-m', model, '--no-bos'], c.text);
    if (!c.text.includes('<')) {
      assert.deepEqual(JSON.parse(off.out), c.ids_no_parse_special ?? c.ids_parse_special);
    }
    const back = await good(engine, ['detokenize', '--model', model], off.out);
    assert.equal(back.out.toString(), c.text.replaceAll('\u2581', ' '));
  });
});

test('tokenize: <bos> exactly once', async () => {
  const ids = async (text, ...args) =>
    JSON.parse((await good(engine, ['tokenize', '--model', model, ...args], text)).out);
  assert.deepEqual(await ids(''), [2]);
  assert.deepEqual(await ids('', '--no-bos'), []);
  assert.deepEqual(await ids('<bos>', '--special'), [2]);
  assert.deepEqual(await ids('<bos>', '--special', '--no-bos'), [2]);
  assert.equal((await ids('<bos>')).filter((id) => id === 2).length, 1);
  assert.equal((await ids('\n'))[1], 107);
});

test('bytes that are no UTF-8 survive with --raw and are replaced without', async () => {
  const bytes = Buffer.from([0x61, 0xff, 0xc3, 0x0a, 0x00, 0xe2, 0x96, 0xf0, 0x9f, 0x99, 0x82]);
  const ids = (await good(engine, ['tokenize', '--model', model, '--no-bos'], bytes)).out;
  const raw = await good(engine, ['detokenize', '--model', model, '--raw'], ids);
  assert.deepEqual(raw.out, bytes);
  const text = await good(engine, ['detokenize', '--model', model], ids);
  assert.equal(text.out.toString('utf8'), 'a\ufffd\ufffd\n\0\ufffd\ufffd\u{1f642}');
});

test('detokenize: ids in any of its forms, and the faults of others by item', async () => {
  const args = ['detokenize', '--model', model];
  for (const input of ['[2, 107]', ' [2,107]\n', '2 107', '2,107\n', '2\n107\n'])
    assert.equal((await good(engine, args, input)).out.toString(), '<bos>\n');
  assert.equal((await good(engine, args, '[]')).out.length, 0);
  assert.equal((await good(engine, args, '')).out.length, 0);
  const faults = [
    ['[2, 107', /does not go on with ',' or '\]' behind item 2/],
    ['[2, 107] 5', /more behind/],
    ['[2, -1]', /item 2 is "-1"/],
    ['[1.5]', /item 1 is "1.5"/],
    ['[2,,3]', /item 2 is ""/],
    ['[2 3]', /behind item 1/],
    ['["a"]', /item 1/],
    ['{"ids":[1]}', /item 1/],
    ['[99999999999]', /item 1 is "99999999999"/],
    ['[5, 4096]', /item 2 is 4096; the vocabulary has the ids 0 to 4095/],
  ];
  for (const [input, wanted] of faults) {
    const r = await run(engine, args, input);
    assert.equal(r.code, 1, input);
    assert.match(r.err, wanted);
    assert.match(r.err, /^detokenize: standard input: /);
    assert.equal(r.out.length, 0);
  }
});

// A GGUF file of strings and numbers only.
function gguf(pairs) {
  const u32 = (v) => Buffer.from(Uint32Array.of(v).buffer);
  const u64 = (v) => Buffer.from(BigUint64Array.of(BigInt(v)).buffer);
  const str = (s) => Buffer.concat([u64(Buffer.byteLength(s)), Buffer.from(s)]);
  const value = (v) =>
    typeof v === 'string'
      ? [u32(8), str(v)]
      : typeof v[0] === 'string'
        ? [u32(9), u32(8), u64(v.length), ...v.map(str)]
        : [u32(9), u32(5), u64(v.length), ...v.map(u32)];
  const all = Object.entries(pairs).flatMap(([key, v]) => [str(key), ...value(v)]);
  const head = [Buffer.from('GGUF'), u32(3), u64(0), u64(Object.keys(pairs).length), ...all];
  const n = head.reduce((sum, b) => sum + b.length, 0);
  return Buffer.concat([...head, Buffer.alloc((32 - (n % 32)) % 32)]);
}

const hex = (b) => `<0x${b.toString(16).toUpperCase().padStart(2, '0')}>`;
const bytes = Array.from({ length: 256 }, (_, b) => hex(b));
const vocabulary = (texts, more = {}) => ({
  'general.architecture': 'gemma4',
  'tokenizer.ggml.model': 'gemma4',
  'tokenizer.ggml.tokens': [...bytes, ...texts],
  'tokenizer.ggml.token_type': [...bytes.map(() => 6), ...texts.map(() => 3)],
  'tokenizer.ggml.merges': ['a b'],
  ...more,
});

test('a vocabulary without weights is enough; one without <bos> says so', async () => {
  const dir = await tempDir();
  const file = path.join(dir, 'vocabulary.gguf');
  await writeFile(file, gguf(vocabulary(['<bos>', '<|turn>', '<turn|>'])));
  const ids = await good(engine, ['tokenize', '--model', file], 'ab');
  assert.deepEqual(JSON.parse(ids.out), [256, 0x61, 0x62]);
  const chat = { messages: [{ role: 'user', content: 'a' }], add_generation_prompt: false };
  const r = await good(tollgate, ['render', '--model', file], JSON.stringify(chat));
  assert.equal(JSON.parse(r.out).prompt, '<bos><|turn>user\na<turn|>\n');
  await writeFile(file, gguf(vocabulary(['<|turn>'])));
  let bad = await run(engine, ['tokenize', '--model', file], 'ab');
  assert.equal(bad.code, 1);
  assert.match(bad.err, /vocabulary\.gguf: the vocabulary has no token <bos>; --no-bos/);
  await good(engine, ['tokenize', '--model', file, '--no-bos'], 'ab');
  bad = await run(tollgate, ['render', '--model', file], JSON.stringify(chat));
  assert.equal(bad.code, 1);
  assert.match(bad.err, /the vocabulary has no token <bos>/);
});

test('render warns of a template that is not known, with both hashes', async () => {
  const dir = await tempDir();
  const file = path.join(dir, 'changed.gguf');
  const chat = JSON.stringify({ messages: [{ role: 'user', content: 'a' }] });
  const specials = ['<bos>', '<|turn>', '<turn|>', '<|channel>', '<channel|>'];
  const render = async (template) => {
    const more = template === undefined ? {} : { 'tokenizer.chat_template': template };
    await writeFile(file, gguf(vocabulary(specials, more)));
    const r = await good(tollgate, ['render', '--model', file], chat);
    return { ...JSON.parse(r.out), log: r.err };
  };
  const none = await render(undefined);
  assert.equal(none.log, '');
  assert.match(none.prompt, /<\|channel>thought\n<channel\|>$/);
  const unknown = await render("{{ bos_token }}{{ '<|turn>' }}");
  assert.match(unknown.log, /"template-unknown".*[0-9a-f]{64}.*85a08664/);
  assert.match(unknown.prompt, /<\|turn>model\n$/);
  const old = await render('<start_of_turn>user');
  assert.match(old.log, /"template-foreign".*85a08664/);
  assert.match(old.prompt, /<\|channel>thought\n<channel\|>$/);
});

test('render: the golden conversations', async () => {
  const { cases } = read('render.json');
  assert.equal(cases.length, 47);
  await each(some(cases), async (c) => {
    const { messages, tools, add_generation_prompt, enable_thinking } = c;
    const input = { messages, tools, add_generation_prompt, enable_thinking };
    const r = await good(tollgate, ['render', '--model', model], JSON.stringify(input));
    const { prompt, ids } = JSON.parse(r.out);
    assert.equal(prompt, c.expected_prompt, c.name);
    assert.equal(r.err, '');
    const back = await good(engine, ['detokenize', '--model', model], JSON.stringify(ids));
    assert.equal(back.out.toString(), prompt, c.name);
    if (c.name === 'special tokens in text') return; // which stay text in ids
    const args = ['tokenize', '--model', model, '--special'];
    assert.deepEqual(JSON.parse((await good(engine, args, prompt)).out), ids, c.name);
  });
});

test('render: numbers are kept as written, in arguments and schemas', async () => {
  const f = (name, more) => ({ function: { name, ...more } });
  const items = { type: 'integer', enum: ['BIG', 'HALF'] };
  const parameters = { type: 'object', properties: { l: { type: 'array', items } } };
  const call = { role: 'assistant', tool_calls: [f('f', { arguments: { n: 'BIG', x: 'HALF' } })] };
  const messages = [{ role: 'user', content: 'u' }, call];
  const input = JSON.stringify({ messages, tools: [f('f', { parameters })] })
    .replaceAll('"BIG"', '9007199254740993')
    .replaceAll('"HALF"', '1.50');
  const { prompt } = JSON.parse((await good(tollgate, ['render', '-m', model], input)).out);
  assert.ok(prompt.includes('items:{enum:[9007199254740993,1.50],'), prompt);
  assert.ok(prompt.includes('call:f{n:9007199254740993,x:1.50}'), prompt);
});

test('render: arguments as text keep their numbers; reasoning may be a list', async () => {
  const text = '{"n":123456789012345678901,"x":1.50}';
  const call = { id: 'c', function: { name: 'f', arguments: text } };
  const messages = [
    { role: 'user', content: 'u' },
    {
      role: 'assistant',
      content: null,
      reasoning: [{ type: 'text', text: 'a' }, 'b'],
      tool_calls: [call],
    },
    { role: 'tool', tool_call_id: 'c', content: [{ type: 'text', text: 'r' }] },
  ];
  const r = await good(tollgate, ['render', '--model', model], JSON.stringify({ messages }));
  const { prompt } = JSON.parse(r.out);
  assert.ok(prompt.includes('call:f{n:123456789012345678901,x:1.50}'), prompt);
  assert.ok(prompt.includes('<|channel>thought\nab\n<channel|>'), prompt);
  assert.ok(prompt.endsWith('response:f{value:<|"|>r<|"|>}<tool_response|>'), prompt);
});

test('render: faults are named by their path', async () => {
  const user = { role: 'user', content: 'u' };
  const calls = (f) => ({ role: 'assistant', tool_calls: [{ function: f }] });
  const faults = [
    ['', /not acceptable JSON/],
    ['{"messages":[', /not acceptable JSON/],
    ['[]', /must be a JSON object, not an array/],
    [{}, /messages: is missing/],
    [{ messages: [] }, /messages: has 0 messages; 1 to 4096/],
    [{ messages: 'x' }, /messages: an array was expected/],
    [{ messages: [{ content: 'u' }] }, /messages\[0\]\.role: is missing/],
    [{ messages: [{ role: 'robot', content: '' }] }, /messages\[0\]\.role: unknown role/],
    [{ messages: [{ role: 'user' }] }, /messages\[0\]\.content: is missing/],
    [{ messages: [{ ...user, contents: 1 }] }, /messages\[0\]\.contents: unknown field/],
    [{ messages: [user, { role: 'user', content: [{}] }] }, /messages\[1\]\.content\[0\]\.type/],
    [{ messages: [{ ...user, audio: { id: 'a' } }] }, /messages\[0\]\.audio is not supported/],
    [{ messages: [{ ...user, function_call: {} }] }, /messages\[0\]\.function_call is not supp/],
    [{ messages: [{ ...user, tool_calls: [] }] }, /messages\[0\]\.tool_calls: only an assistant/],
    [{ messages: [calls({})] }, /messages\[0\]\.tool_calls\[0\]\.function\.name: is missing/],
    [
      { messages: [calls({ name: 'f', arguments: 1 })] },
      /messages\[0\]\.tool_calls\[0\]\.function\.arguments: a string was expected/,
    ],
    [{ messages: [user], enable_thinkin: true }, /enable_thinkin: unknown field/],
    [{ messages: [user], enable_thinking: 1 }, /enable_thinking: a boolean was expected/],
    [{ messages: [user], tools: [{ type: 'function' }] }, /tools\[0\]\.function: is missing/],
    [{ messages: [user], tools: [{ function: { name: 'f', parameters: [] } }] }, /parameters/],
  ];
  for (const [input, wanted] of faults) {
    const text = typeof input === 'string' ? input : JSON.stringify(input);
    const r = await run(tollgate, ['render', '--model', model], text);
    assert.equal(r.code, 1, text);
    assert.match(r.err, wanted, text);
    assert.match(r.err, /^render: /);
    assert.equal(r.out.length, 0);
  }
});

test('render: a prompt out of proportion to its conversation ends early', async () => {
  const name = 'f'.repeat(1 << 20);
  const call = { role: 'assistant', tool_calls: [{ id: 'c', function: { name } }] };
  const results = Array(80).fill({ role: 'tool', tool_call_id: 'c', content: 'r' });
  const input = JSON.stringify({ messages: [call, ...results] });
  const r = await run(tollgate, ['render', '--model', model], input);
  assert.equal(r.code, 1);
  assert.match(r.err, /^render: the prompt cannot be made: it is longer than 64 MiB/);
  assert.equal(r.out.length, 0);
});

// What we do otherwise, on purpose (tests/golden/README.md).
const otherwise = {
  'reasoning_format none': { role: 'assistant', content: 'Answer', reasoning_content: 't\n' },
  'malformed: json quotes': {
    role: 'assistant',
    content: '',
    tool_calls: [
      { type: 'function', function: { name: 'get_weather', arguments: '{"city":"Rome"}' } },
    ],
  },
};

test('parse: the golden answers, as text and as ids', async () => {
  const { cases } = read('parse.json');
  assert.equal(cases.length, 47);
  await each(some(cases), async (c) => {
    const more = { tools: c.tools, parallel_tool_calls: c.parallel };
    const parse = async (input) => {
      const text = JSON.stringify({ ...input, ...more });
      const r = await good(tollgate, ['parse', '--model', model], text);
      assert.equal(r.err, '', c.name);
      const message = JSON.parse(r.out);
      message.tool_calls?.forEach((call, i) => {
        assert.equal(call.id, `call_${i}`);
        delete call.id;
      });
      return message;
    };
    const wanted = otherwise[c.name] ?? c.expected;
    assert.deepEqual(await parse({ text: c.raw }), wanted, c.name);
    const args = ['tokenize', '--model', model, '--special', '--no-bos'];
    const ids = JSON.parse((await good(engine, args, c.raw)).out);
    assert.deepEqual(await parse({ ids }), wanted, c.name);
  });
});

test('parse: calls, thoughts and what cannot be read', async () => {
  const parse = async (input) => {
    const r = await good(tollgate, ['parse', '--model', model], JSON.stringify(input));
    return { ...JSON.parse(r.out), err: r.err };
  };
  const call = (inside) => `<|tool_call>call:f{${inside}}<tool_call|>`;
  const tools = [{ type: 'function', function: { name: 'f' } }];
  let m = await parse({ text: call('n:123456789012345678901,x:1.50') + '<|tool_response>', tools });
  assert.equal(m.tool_calls[0].function.arguments, '{"n":123456789012345678901,"x":1.50}');
  assert.equal((await parse({ text: call('x:1'), tools: [] })).tool_calls, undefined);
  assert.equal((await parse({ text: call('x:1'), tools: ['g'] })).tool_calls, undefined);
  assert.equal((await parse({ text: call('x:1'), tools: null })).tool_calls.length, 1);
  assert.equal((await parse({ text: call('x:1') + call('x:2') })).tool_calls.length, 2);
  m = await parse({ text: 'so<channel|>yes', in_thought: true });
  assert.deepEqual([m.content, m.reasoning_content], ['yes', 'so']);
  m = await parse({ text: 'a' + call('x:`y') });
  assert.deepEqual([m.content, m.tool_calls], ['a', undefined]);
  assert.match(m.err, /^parse: 1 tool call could not be read/);
  m = await parse({ text: 'a<|tool_call>bad<|"|>x<tool_call|>, the answer' });
  assert.deepEqual([m.content, m.tool_calls], ['a, the answer', undefined]);
});

test('parse: faults are named', async () => {
  const faults = [
    ['', /line 1/],
    ['[1]', /a JSON object was expected, not an array/],
    [{}, /text and ids are both missing/],
    [{ text: 'a', ids: [] }, /text and ids are both there/],
    [{ text: 5 }, /text: a string was expected, not a number/],
    [{ ids: 'a' }, /ids: an array was expected, not a string/],
    [{ ids: [5, 4096] }, /ids\[1\]: not an id of the vocabulary, which has 0 to 4095/],
    [{ ids: [1.5] }, /ids\[0\]/],
    [{ text: 'a', in_thought: 1 }, /in_thought: true or false was expected, not a number/],
    [{ text: 'a', tool: [] }, /tool: unknown field/],
    [{ text: 'a', tools: [{}] }, /tools\[0\]\.function/],
    [{ text: 'a', tools: {} }, /tools: an array was expected/],
  ];
  for (const [input, wanted] of faults) {
    const text = typeof input === 'string' ? input : JSON.stringify(input);
    const r = await run(tollgate, ['parse', '--model', model], text);
    assert.equal(r.code, 1, text);
    assert.match(r.err, wanted, text);
    assert.match(r.err, /^parse: standard input: /);
    assert.equal(r.out.length, 0);
  }
});

test('help teaches, wrong options are told, in every command', async () => {
  const commands = [
    ['tokenize', engine],
    ['detokenize', engine],
    ['tokenize', tollgate],
    ['render', tollgate],
    ['parse', tollgate],
  ];
  for (const [name, program] of commands) {
    const help = await good(program, [name, '--help']);
    assert.match(help.out.toString(), /--model FILE/);
    assert.match(help.out.toString(), /Exit status/);
    const list = await good(program, ['--help']);
    assert.match(list.out.toString(), new RegExp(`^ *${name} `, 'm'));
    let r = await run(program, [name]);
    assert.equal(r.code, 2);
    assert.match(r.err, /no model is given/);
    r = await run(program, [name, '--mode', model]);
    assert.equal(r.code, 2);
    assert.match(r.err, /unknown option --mode/);
    r = await run(program, [name, '--model', model, 'more']);
    assert.equal(r.code, 2);
    r = await run(program, [name, '--model', path.join(root, 'missing.gguf')]);
    assert.equal(r.code, 1);
    assert.match(r.err, /missing\.gguf/);
    r = await run(program, [name, '--model', path.join(root, 'README.md')]);
    assert.equal(r.code, 1);
    assert.match(r.err, /README\.md/);
  }
});

test('input above the limit, output that cannot be written', async () => {
  const large = Buffer.alloc((16 << 20) + 1, 'a');
  for (const [name, program] of [
    ['tokenize', engine],
    ['render', tollgate],
    ['parse', tollgate],
  ]) {
    const r = await run(program, [name, '--model', model], large);
    assert.equal(r.code, 1);
    assert.match(r.err, new RegExp(`^${name}: standard input is larger than 16 MiB`));
  }
  const full = await open('/dev/full', 'w');
  const inputs = {
    tokenize: 'a',
    detokenize: '[5]',
    render: '{"messages":[{"role":"user","content":"u"}]}',
    parse: '{"text":"a"}',
  };
  for (const [name, input] of Object.entries(inputs)) {
    const r = await run(tollgate, [name, '--model', model], input, { stdout: full.fd });
    assert.equal(r.code, 1);
    assert.match(r.err, new RegExp(`^${name}: standard output cannot be written`));
  }
  await full.close();
});

test('a reader that goes away ends the command with an error, not with a signal', async () => {
  const child = spawn(engine, ['tokenize', '--model', model], { stdio: ['pipe', 'pipe', 'pipe'] });
  let err = '';
  child.stderr.setEncoding('utf8').on('data', (part) => {
    err += part;
  });
  child.stdin.on('error', () => {});
  child.stdout.destroy();
  child.stdin.end(Buffer.alloc(1 << 20, 'abc '));
  const [code, signal] = await new Promise((done) => child.on('close', (...how) => done(how)));
  assert.deepEqual([code, signal], [1, null]);
  assert.match(err, /standard output cannot be written: Broken pipe/);
});
