// Whether an answer is right.

// White space as Python's strip() has it: U+FEFF is none, U+001C to U+001F and U+0085 are.
const spaces = [
  '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a',
  '\\u2028\\u2029\\u202f\\u205f\\u3000',
].join('');
const around = new RegExp(`^[${spaces}]+|[${spaces}]+$`, 'g');
export const strip = (text) => text.replace(around, '');

// Equality of JSON values: members in any order, lists in theirs.
export function equal(a, b) {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const names = Object.keys(a);
  if (names.length !== Object.keys(b).length) return false;
  return names.every((name) => Object.hasOwn(b, name) && equal(a[name], b[name]));
}

function parsed(text) {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return null;
  }
}

// item: one prompt of a set; message: the assistant's, as in an OpenAI answer.
export function right(item, message) {
  if (item.call) {
    const calls = message.tool_calls ?? [];
    if (calls.length !== 1 || calls[0].function?.name !== item.call.name) return false;
    const given = parsed(calls[0].function.arguments);
    return given !== null && equal(given.value, item.call.arguments);
  }
  if (message.tool_calls?.length) return false; // a client would run them
  const text = strip(message.content ?? '');
  if (item.family === 'extraction') {
    const given = parsed(text);
    return given !== null && equal(given.value, JSON.parse(item.answer));
  }
  return text === item.answer;
}

// The right answer as a message.
export function answerOf(item) {
  if (!item.call) return { content: item.answer };
  const f = { name: item.call.name, arguments: JSON.stringify(item.call.arguments) };
  return { content: null, tool_calls: [{ function: f }] };
}
