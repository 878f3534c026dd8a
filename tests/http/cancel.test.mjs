// A client that goes away ends the work within 100 ms: local and remote, streamed and not.
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { slow, startGateway, waitFor } from './lib.mjs';
import { startMock } from './mock_provider.mjs';
import { chat, hybridConfig, localConfig } from './support.mjs';

let mock;
before(async () => {
  mock = await startMock();
});
after(async () => {
  await mock.stop();
});

const now = () => performance.timeOrigin + performance.now();
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// Sends a request on a raw socket; end() is a half-close, destroy() a close.
function raw(gw, fields) {
  const body = JSON.stringify({
    model: 'default',
    messages: [{ role: 'user', content: 'x' }],
    ...fields,
  });
  const socket = net.connect(gw.port, '127.0.0.1');
  socket.on('error', () => {});
  socket.resume();
  socket.write(
    'POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n' +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  return socket;
}

const running = async (gw) => (await (await fetch(`${gw.url}/healthz`)).json()).requests - 1;

for (const stream of [true, false])
  for (const how of ['destroy', 'end'])
    test(`remote: ${how}, ${stream ? 'streamed' : 'whole'}`, async () => {
      mock.clear();
      const gw = await startGateway({
        config: hybridConfig(mock, {
          models: [stream ? 'hang-mid' : 'hang'],
          trigger: 'turns > 0',
        }),
      });
      const socket = raw(gw, { stream });
      await waitFor(() => mock.log().requests[0]?.body);
      await sleep(50);
      const left = now();
      socket[how]();
      const gone = await waitFor(() => mock.aborts()[0]);
      assert.ok(gone.aborted - left < 100 * slow, `${gone.aborted - left} ms`);
      await gw.stop();
    });

for (const fields of [
  { stream: true, max_tokens: 1500 },
  { max_tokens: 1500 },
  { max_tokens: 9, messages: [{ role: 'user', content: 'word '.repeat(1900) }] } /* in prefill */,
])
  test(`local: ${JSON.stringify(fields).slice(0, 40)}`, async () => {
    const gw = await startGateway({ config: localConfig({ engine: { context: 4096 } }) });
    let best = Infinity; /* of three: what else runs on the machine is not the gateway's */
    for (let i = 0; i < 3; i++) {
      const socket = raw(gw, fields);
      await sleep(30);
      const left = now();
      socket.destroy();
      await waitFor(async () => (await running(gw)) === 0);
      const r = await chat(gw, { max_tokens: 1 }); /* the engine is free for the next one */
      assert.equal(r.status, 200);
      best = Math.min(best, now() - left);
    }
    assert.ok(best < 100 * slow, `${best} ms`);
    await gw.stop();
  });
