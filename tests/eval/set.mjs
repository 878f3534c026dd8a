// Sets of prompts with right answers, as JSON lines:
//   {"id","family","level","split":"fit"|"test","messages",["tools"],"answer"|"call"}
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { equal } from './judge.mjs';

const textOf = (content) =>
  Array.isArray(content) ? content.map((part) => part.text ?? '').join('') : (content ?? '');

// What makes two requests the same prompt, however a gateway has rewritten them on the way.
export function keyOf({ messages, tools }) {
  const turns = messages.map((m) => [m.role, textOf(m.content)]);
  return JSON.stringify([turns, (tools ?? []).map((t) => t.function.name)]);
}

// A number in [0, 1) that is always the same for the same seed and text.
export function chance(seed, text) {
  const bytes = createHash('sha256').update(`${seed}\n${text}`).digest();
  return bytes.readUIntBE(0, 6) / 2 ** 48;
}

const isText = (v) => typeof v === 'string' && v.length > 0;
const isMessages = (v) => Array.isArray(v) && v.length > 0 && v.every((m) => isText(m?.role));
const isJson = (text) => {
  try {
    return JSON.parse(text) !== undefined;
  } catch {
    return false;
  }
};

// What is wrong with a prompt, or null.
function fault(item) {
  if (typeof item !== 'object' || item === null) return 'is not an object';
  for (const name of ['id', 'family', 'level'])
    if (!isText(item[name])) return `"${name}" must be a text`;
  if (item.split !== 'fit' && item.split !== 'test') return '"split" must be "fit" or "test"';
  if (!isMessages(item.messages)) return '"messages" must be a list of messages';
  if (item.tools !== undefined && !Array.isArray(item.tools)) return '"tools" must be a list';
  if ((item.answer === undefined) === (item.call === undefined))
    return 'needs either "answer" or "call"';
  if (item.call && !isText(item.call.name)) return '"call" must have a "name"';
  if (item.answer !== undefined && typeof item.answer !== 'string')
    return '"answer" must be a text';
  if (item.family === 'extraction' && item.answer !== undefined && !isJson(item.answer))
    return '"answer" of an extraction must be JSON';
  return null;
}

// Lines to items. Of prompts that are there twice only the first counts; in both splits, or with
// two answers, they are an error, for then fit and test are not apart or the judge is not fair.
export function readSet(sources) {
  const items = [],
    byKey = new Map(),
    ids = new Set();
  let duplicates = 0;
  for (const { name, text } of sources)
    text.split('\n').forEach((line, i) => {
      if (!line.trim()) return;
      const refuse = (why) => {
        throw new Error(`${name}, line ${i + 1}: ${why}`);
      };
      if (!isJson(line)) refuse('is not JSON');
      const item = JSON.parse(line);
      const why = fault(item);
      if (why) refuse(why);
      const key = keyOf(item),
        twin = byKey.get(key);
      if (twin && twin.split !== item.split) refuse(`the prompt of ${twin.id} in the other split`);
      if (twin && !(twin.answer === item.answer && equal(twin.call, item.call)))
        refuse(`the prompt of ${twin.id} with another answer`);
      if (twin) {
        duplicates++;
        return;
      }
      if (ids.has(item.id)) refuse(`the id ${item.id} is there twice`);
      ids.add(item.id);
      byKey.set(key, item);
      items.push({ ...item, key });
    });
  if (!items.length) throw new Error('the set has no prompts');
  return { items, duplicates };
}

// Files, or folders of *.jsonl.
export function loadSet(paths) {
  const files = paths.flatMap((p) =>
    statSync(p).isDirectory()
      ? readdirSync(p)
          .filter((name) => name.endsWith('.jsonl'))
          .sort()
          .map((name) => path.join(p, name))
      : [p],
  );
  return readSet(files.map((name) => ({ name, text: readFileSync(name, 'utf8') })));
}

function groups(items, name) {
  const out = new Map();
  for (const item of items) out.set(item[name], [...(out.get(item[name]) ?? []), item]);
  return [...out.values()];
}

// Takes from each list in turn.
function turns(lists) {
  const longest = Math.max(...lists.map((list) => list.length));
  const out = [];
  for (let i = 0; i < longest; i++)
    for (const list of lists) if (i < list.length) out.push(list[i]);
  return out;
}

// At most n prompts, evenly over splits, in them over families, in those over levels; which ones
// depends on the prompts alone. In the order of the set. Its mix is then another one.
export function thin(items, n) {
  if (!n || items.length <= n) return items;
  const at = new Map(items.map((item) => [item, chance('thin', item.key)]));
  const level = (list) => [...list].sort((a, b) => at.get(a) - at.get(b));
  const family = (list) => turns(groups(list, 'level').map(level));
  const split = (list) => turns(groups(list, 'family').map(family));
  const kept = new Set(turns(groups(items, 'split').map(split)).slice(0, n));
  return items.filter((item) => kept.has(item));
}
