// What the end-to-end tests share: program.mjs, ended with each test file, and raw sockets.
import net from 'node:net';
import { after } from 'node:test';
import { endAll, now, waitFor } from './program.mjs';

export * from './program.mjs';

after(endAll);

// A connection that the test writes to byte by byte: .send(text), .text (all that came), .closed.
export async function rawSocket(port) {
  const socket = net.connect({ host: '127.0.0.1', port, allowHalfOpen: true, noDelay: true });
  const raw = { socket, text: '', ended: false, closed: false, closedAt: null };
  socket.setEncoding('latin1').on('data', (part) => {
    raw.text += part;
  });
  socket.on('end', () => {
    raw.ended = true;
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    raw.closed = true;
    raw.closedAt = now();
  });
  raw.send = (text) => new Promise((done) => socket.write(text, 'latin1', done));
  raw.halfClose = () => socket.end();
  raw.destroy = () => socket.destroy();
  raw.reset = () => socket.resetAndDestroy();
  raw.pause = () => socket.pause();
  raw.resume = () => socket.resume();
  raw.until = (found, ms) =>
    waitFor(() => (found instanceof RegExp ? found.test(raw.text) : raw.text.includes(found)), {
      ms,
      what: `${found} on the socket`,
    });
  await new Promise((done, failed) => {
    socket.once('connect', done);
    socket.once('error', failed);
  });
  return raw;
}

// A whole HTTP request as bytes.
export function rawRequest(
  body,
  { method = 'POST', target = '/v1/chat/completions', headers = {} } = {},
) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const lines = Object.entries({
    host: 'localhost',
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${target} HTTP/1.1\r\n${lines.join('')}\r\n${text}`;
}
