// One prompt through a gateway: what it answered, and what it said about that.
import { now, readSse, request } from '../http/program.mjs';

const number = (text) => (text === undefined || text === null ? null : Number(text));

// The message that the deltas of a stream make up.
function assemble(events) {
  const message = { content: null },
    calls = [];
  for (const { json } of events) {
    const delta = json?.choices?.[0]?.delta ?? {};
    if (delta.content) message.content = (message.content ?? '') + delta.content;
    for (const part of delta.tool_calls ?? []) {
      const call = (calls[part.index] ??= { function: { name: '', arguments: '' } });
      call.function.name += part.function?.name ?? '';
      call.function.arguments += part.function?.arguments ?? '';
    }
  }
  if (calls.length) message.tool_calls = calls.filter(Boolean);
  return message;
}

function readStream(r) {
  const { events, comments } = readSse(r.text);
  const last = comments.find((c) => c.startsWith('tollgate '));
  const tail = last ? JSON.parse(last.slice('tollgate '.length)) : {};
  const whole = events.some((e) => e.data === '[DONE]') && !events.some((e) => e.json?.error);
  return {
    ok: r.status === 200 && whole,
    message: assemble(events),
    // the header's is of the window, which decided; behind a heartbeat only the comment tells
    confidence: number(r.headers['x-tollgate-confidence'] ?? tail.confidence),
    complexity: number(r.headers['x-tollgate-complexity'] ?? tail.complexity),
    cost: number(tail.cost_usd),
    route: r.headers['x-tollgate-route'] ?? tail.route ?? null,
    reason: r.headers['x-tollgate-reason'] ?? tail.reason ?? null,
    explain: tail.explain ?? null,
  };
}

function readWhole(r) {
  const told = r.headers['x-tollgate-explain'];
  return {
    ok: r.status === 200 && Boolean(r.json?.choices?.[0]),
    message: r.json?.choices?.[0]?.message ?? { content: null },
    confidence: number(r.headers['x-tollgate-confidence']),
    complexity: number(r.headers['x-tollgate-complexity']),
    cost: number(r.headers['x-tollgate-cost-usd']),
    route: r.headers['x-tollgate-route'] ?? null,
    reason: r.headers['x-tollgate-reason'] ?? null,
    explain: told ? JSON.parse(told) : null,
  };
}

// How an answer came to be read: { ok, message, confidence, complexity (both null when unknown),
// cost (dollars, null when not told), route, reason, explain, status, error, id, sent, ms }.
// route: the configuration's; the scores come from `explain` where it is there: its digits are not
// rounded as those of the headers.
export async function ask(port, route, item, { stream = false, maxTokens = 64, ms = 120000 } = {}) {
  const body = {
    model: route,
    messages: item.messages,
    ...(item.tools && { tools: item.tools }),
    temperature: 0,
    max_tokens: maxTokens,
    ...(stream && { stream: true }),
  };
  const sent = now();
  const r = await request(port, {
    method: 'POST',
    path: '/v1/chat/completions',
    body,
    headers: { 'x-tollgate-explain': 'true' },
    ms,
  });
  const out = stream && r.status === 200 ? readStream(r) : readWhole(r);
  if (out.explain?.confidence) out.confidence = out.explain.confidence.value;
  if (out.explain?.complexity) out.complexity = out.explain.complexity.value;
  return {
    ...out,
    status: r.status,
    error: out.ok ? null : r.text.slice(0, 300),
    id: r.headers['x-tollgate-request-id'],
    sent,
    ms: now() - sent,
  };
}

// The text that an answer is kept as in the reports.
export const shown = (message) =>
  message.tool_calls
    ? message.tool_calls.map((c) => `${c.function.name}(${c.function.arguments})`).join(' ')
    : (message.content ?? '');
