// Where a request meets the edges of the program: slow readers, a drain, a refused reload, a
// provider that never takes the request, errors behind heartbeats.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { rawRequest, rawSocket, rows, sleep, slow, startGateway, waitFor } from './lib.mjs';
import { startMock } from './mock_provider.mjs';
import { chat, hybridConfig, ledger, logRow, png, sse } from './support.mjs';

let mock;
before(async () => {
  mock = await startMock();
});
after(async () => {
  await mock.stop();
});

const always = 'turns > 0';
const messages = [{ role: 'user', content: 'x' }];
const image = [
  {
    role: 'user',
    content: [{ type: 'image_url', image_url: { url: `data:image/png;base64,${png}` } }],
  },
];

async function withGateway(options, body) {
  mock.clear();
  const gw = await startGateway({ config: hybridConfig(mock, options) });
  try {
    await body(gw);
  } finally {
    await gw.stop();
  }
}

const memory = (gw) =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${gw.child.pid}/status`))[1]) * 1024;

test('a drain waits until the answers have left', async () => {
  const gw = await startGateway({
    config: hybridConfig(mock, { models: ['huge:{"bytes":12582912}'], trigger: always }),
  });
  const raw = await rawSocket(gw.port);
  raw.pause();
  await raw.send(rawRequest({ messages }, { headers: { connection: 'close' } }));
  await waitFor(async () => (await gw.rows('log.db', 'select * from request')).length > 0);
  gw.signal('SIGTERM');
  await sleep(300);
  raw.resume();
  await waitFor(() => raw.closed || raw.ended, { ms: 10000 });
  const length = Number(/content-length: (\d+)/i.exec(raw.text)[1]);
  assert.equal(raw.text.length - raw.text.indexOf('\r\n\r\n') - 4, length);
  raw.destroy();
  assert.equal((await gw.ended).code, 0);
});

test('a slow reader of a stream holds the provider back, not memory', async () => {
  await withGateway({ models: ['huge:{"bytes":15728640}'], trigger: always }, async (gw) => {
    await chat(gw, { model: 'local', max_tokens: 1 });
    const raw = await rawSocket(gw.port);
    raw.pause();
    const before = memory(gw);
    await raw.send(rawRequest({ stream: true, messages }, { headers: { connection: 'close' } }));
    await waitFor(() => mock.log().requests[0]?.body);
    await sleep(500 * slow);
    assert.equal(mock.log().requests[0].ended, null, 'the provider was not held back');
    const grown = memory(gw) - before;
    assert.ok(grown < (3 << 20) * slow, `${grown} bytes more`);
    raw.resume();
    await raw.until('data: [DONE]', 20000);
    assert.ok(raw.text.length > 15728640);
    raw.destroy();
  });
});

test('reloads with other routes each time never run out of budgets', async () => {
  await withGateway({ trigger: always, budget: '$1/day' }, async (gw) => {
    const base = JSON.parse(readFileSync(gw.configFile));
    const extra = (n, prefix) =>
      Array.from({ length: n }, (_, i) => ({
        name: `${prefix}${i}`,
        primary: { provider: 'local' },
      }));
    const reloads = () => gw.log().filter((e) => e.event === 'reloaded').length;
    for (let i = 1; i <= 40; i++) { // 40 * 31 are more than a process may know at once
      const routes = [...base.routes, ...extra(31, `a${i}-`)];
      writeFileSync(gw.configFile, JSON.stringify({ ...base, routes }));
      gw.signal('SIGHUP');
      await waitFor(() => reloads() === i);
    }
    const r = await chat(gw);
    assert.equal(r.headers['x-tollgate-reason'], 'trigger: turns > 0');
    assert.equal(r.headers['x-tollgate-route'], 'mock/answer');
  });
});

test('a request that never left costs nothing when its client gives up', async () => {
  const sockets = [];
  const mute = net.createServer((socket) => sockets.push(socket.on('error', () => {})));
  await new Promise((done) => mute.listen(0, '127.0.0.1', done));
  const config = hybridConfig(
    { url: `https://127.0.0.1:${mute.address().port}/v1` }, // no TLS ever comes
    { trigger: always, budget: '$1/day' },
  );
  const gw = await startGateway({ config });
  const raw = await rawSocket(gw.port);
  await raw.send(rawRequest({ messages }));
  await waitFor(() => sockets.length > 0);
  await sleep(50);
  raw.destroy();
  const [row] = await waitFor(async () => {
    const found = await rows(gw.dataDir, 'log.db', 'select * from request');
    return found.length && found;
  });
  assert.equal(row.status, 499);
  assert.equal(row.error, 'client-gone');
  assert.equal(row.cost_nano, 0);
  for (const socket of sockets) socket.destroy();
  mute.close();
  await gw.stop('SIGTERM');
});

test('behind heartbeats an error is an event with its cost, and no clean end', async () => {
  await withGateway(
    {
      models: ['hang'],
      budget: '$1/day',
      route: { timeout: '600ms' },
      top: { heartbeat: '100ms' },
    },
    async (gw) => {
      const r = await sse(gw, { messages: image });
      assert.equal(r.status, 200);
      assert.ok(r.heartbeats > 0);
      assert.equal(r.error.code, 'timeout');
      assert.equal(r.done, false);
      assert.equal(r.text, '');
      assert.ok(r.comment.cost_usd > 0 && r.comment.estimated);
      assert.equal(r.comment.route, undefined);
      const row = await logRow(gw, r.headers);
      assert.equal(row.error, 'timeout');
      assert.equal(row.backend, '');
      assert.ok(Math.abs(row.cost_nano / 1e9 - r.comment.cost_usd) < 1e-9);
    },
  );
});

test('an error tells request, reason and cost; its row and the ledger agree', async () => {
  await withGateway(
    { models: ['hang'], budget: '$1/day', route: { timeout: '300ms' } },
    async (gw) => {
      const r = await chat(gw, { messages: image });
      assert.equal(r.status, 504);
      assert.match(r.headers['x-tollgate-request-id'], /^[0-9a-f]{16}$/);
      assert.match(r.headers['x-tollgate-reason'], /^local-cannot: /);
      const cost = Number(r.headers['x-tollgate-cost-usd']);
      assert.ok(cost > 0);
      const row = await logRow(gw, r.headers);
      assert.ok(Math.abs(row.cost_nano / 1e9 - cost) < 1e-9);
      await waitFor(async () => (await ledger(gw)).spent_nano === row.cost_nano);
    },
  );
});

test("a provider's Retry-After reaches the client", async () => {
  await withGateway({ models: ['error:{"status":429,"retryAfter":17}'] }, async (gw) => {
    const r = await chat(gw, { messages: image });
    assert.equal(r.status, 429);
    assert.equal(r.headers['retry-after'], '17');
  });
});

test('a stream that breaks behind commit leaves a row that says so', async () => {
  await withGateway({ models: ['cut:{"after":2}'], trigger: always }, async (gw) => {
    const r = await sse(gw);
    assert.equal(r.done, false);
    const row = await logRow(gw, r.headers);
    assert.equal(row.error, 'provider-failed');
    assert.equal(row.backend, 'mock/cut:{"after":2}');
  });
});

test('clients that leave with megabytes to read do not heap them up', async () => {
  const limits = { body: '8MiB', bodiesInFlight: '16MiB' };
  await withGateway({ trigger: always, top: { limits } }, async (gw) => {
    const body = rawRequest({ messages: [{ role: 'user', content: 'word '.repeat(1 << 20) }] });
    const before = memory(gw);
    let most = 0;
    for (let i = 0; i < (slow > 1 ? 8 : 40); i++) {
      const raw = await rawSocket(gw.port);
      await raw.send(body);
      raw.destroy();
      most = Math.max(most, memory(gw) - before);
    }
    assert.ok(most < (160 << 20) * slow, `${most} bytes more`);
    await waitFor(async () => (await chat(gw, { max_tokens: 1 })).status === 200, { ms: 20000 });
  });
});
