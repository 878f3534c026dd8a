// A small set to try the evaluation with where there is no real one.
const tool = (name, field) => ({
  type: 'function',
  function: {
    name,
    description: name,
    parameters: { type: 'object', required: [field], properties: { [field]: { type: 'string' } } },
  },
});
const cities = ['Paris', 'Rome', 'Oslo', 'Athens', 'Vienna', 'Lisbon', 'Madrid', 'Dublin'];
const names = ['Anna', 'Ben', 'Clara', 'David', 'Emma', 'Felix', 'Greta', 'Hugo'];

// The i-th prompt of each kind: family, level, text, and what is right.
const kinds = [
  (i) => ['arithmetic', 'sum-1', `What is ${i % 7} + ${i % 9}? (${i})`, `${(i % 7) + (i % 9)}`],
  (i) => ['arithmetic', 'product-2', `${12 + i} times ${47 - i}?`, `${(12 + i) * (47 - i)}`],
  (i) => {
    const [name, age] = [names[i % 8], 20 + i];
    const text = `Extract name and age as JSON: ${name} is ${age}.`;
    return ['extraction', 'two', text, JSON.stringify({ name, age })];
  },
  (i) => {
    const city = cities[i % 8];
    const call = { name: 'get_weather', arguments: { city } };
    return ['tools', 'weather', `Weather in ${city}, day ${i}?`, call];
  },
];

// n prompts, half of them to fit, as JSON lines.
export function standIn(n = 40) {
  const lines = Array.from({ length: n }, (_, at) => {
    const i = Math.floor(at / kinds.length);
    const [family, level, text, answer] = kinds[at % kinds.length](i);
    return JSON.stringify({
      id: `stand-in-${at}`,
      family,
      level,
      split: i % 2 ? 'test' : 'fit',
      messages: [{ role: 'user', content: text }],
      ...(family === 'tools' && { tools: [tool('get_weather', 'city')] }),
      ...(typeof answer === 'string' ? { answer } : { call: answer }),
    });
  });
  return lines.join('\n');
}
