// What is evaluated is never trained on: the shipped prompts are held out, by the rule of
// config/models/spark/tasks.py written anew, and are those that its script makes.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { root, tempDir } from '../http/lib.mjs';

const here = path.join(root, 'tests/eval');
const read = (folder, split) => readFileSync(path.join(folder, `${split}.jsonl`), 'utf8');
const items = (split) => read(here, split).trim().split('\n').map((l) => JSON.parse(l));

// As Python's json.dumps writes it.
function dumped(v) {
  if (Array.isArray(v)) return `[${v.map(dumped).join(', ')}]`;
  if (typeof v === 'object')
    return `{${Object.entries(v).map(([k, x]) => `${dumped(k)}: ${dumped(x)}`).join(', ')}}`;
  const escape = (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return JSON.stringify(v).replace(/[\u0080-\uffff]/g, escape);
}

function number({ messages, tools }) {
  const key = dumped([messages, (tools ?? []).map((t) => t.function.name)]);
  return createHash('sha256').update(key).digest().readUInt32BE(0);
}

for (const split of ['fit', 'test'])
  test(`each prompt of ${split} is held out, for ${split}`, () => {
    const all = items(split);
    assert.ok(all.length >= 1000);
    for (const item of all) {
      assert.equal(item.split, split);
      if (item.level === 'unseen') continue;
      const n = number(item);
      assert.equal(n % 10, 0, `${item.id} may be trained on`);
      assert.equal(Math.floor(n / 10) % 2, split === 'test' ? 1 : 0, item.id);
    }
  });

// The names and sentences behind them, told by their answers.
test('what is unseen is in one of the two only', () => {
  const unseen = (split) => items(split).filter((item) => item.level === 'unseen');
  const fit = new Set(unseen('fit').map((item) => item.answer));
  const both = unseen('test').filter((item) => fit.has(item.answer));
  assert.ok(fit.size >= 20);
  assert.deepEqual(both.map((item) => item.id), []);
});

function python() {
  try {
    return execFileSync('python3', ['-c', 'print(1)'], { encoding: 'utf8' }).trim() === '1';
  } catch {
    return false;
  }
}

const skip = python() ? false : 'there is no python3';
test('the prompts are those that prompts.py makes', { skip }, async () => {
  const out = await tempDir();
  const script = path.join(root, 'config/models/spark/prompts.py');
  execFileSync('python3', ['-B', script, '--out', out]);
  for (const split of ['fit', 'test'])
    assert.ok(read(out, split) === read(here, split), `${split}.jsonl is of another tasks.py`);
});
