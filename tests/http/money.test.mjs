// The cap: concurrency, crashes, disks that fail. What was paid is what the mock served.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { execFileSync } from 'node:child_process';
import { bearer, key } from './key_support.mjs';
import { slow, startGateway, tempDir, waitFor } from './lib.mjs';
import { startMock } from './mock_provider.mjs';
import { answerCost, chat, hybridConfig, ledger, sse } from './support.mjs';

let mock;
before(async () => {
  mock = await startMock();
});
after(async () => {
  await mock.stop();
});

const always = 'turns > 0'; /* true before the run: every request wants the cloud */
const served = () => mock.log().requests.filter((r) => r.ended).length;

test('200 concurrent requests never exceed a small cap; the rest is local', async () => {
  mock.clear();
  const requests = slow > 1 ? 60 : 200;
  const cap = 20 * answerCost;
  const dataDir = await tempDir();
  const gw = await startGateway({
    dataDir,
    config: hybridConfig(mock, {
      models: ['answer:{"firstMs":20}'],
      trigger: always,
      budget: `$${(cap / 1e9).toFixed(9)}/day`,
      tier: { maxTokens: 16 },
    }),
  });
  const answers = await Promise.all(
    Array.from({ length: requests }, (_, i) => (i % 2 ? chat : sse)(gw, { max_tokens: 4 })),
  );
  /* a stream whose headers left with a heartbeat tells its route in the last comment */
  const told = (r, name) => r.headers[`x-tollgate-${name}`] ?? r.comment?.[name];
  const by = (route) => answers.filter((r) => told(r, 'route')?.startsWith(route)).length;
  assert.equal(answers.filter((r) => r.status !== 200).length, 0);
  assert.equal(by('mock') + by('local'), requests);
  assert.ok(by('mock') > 0);
  assert.equal(served(), by('mock'));
  assert.ok(served() * answerCost <= cap, `${served()} calls were paid under a cap for 20`);
  const refused = answers.filter((r) => told(r, 'route') === 'local');
  assert.ok(refused.every((r) => told(r, 'reason') === 'budget-exhausted'));
  await gw.stop();
  const book = await ledger(gw);
  assert.equal(book.spent_nano, served() * answerCost);
  assert.equal(book.leased_nano, 0);
  assert.equal(book.overage_nano, 0);
});

test('an unknown price is not callable under a budget', async () => {
  mock.clear();
  const config = hybridConfig(mock, { trigger: always, budget: '$1/day' });
  config.providers.mock.prices = {};
  const gw = await startGateway({ config });
  const r = await chat(gw);
  assert.equal(r.headers['x-tollgate-route'], 'local');
  assert.equal(r.headers['x-tollgate-reason'], 'primary, price-unknown');
  assert.equal(mock.log().connections, 0);
  await gw.stop();
});

test('crashes without a paid request cost no budget', async () => {
  const dataDir = await tempDir();
  const config = hybridConfig(mock, { trigger: always, budget: '$1/month' });
  for (let i = 0; i < 3; i++) {
    const gw = await startGateway({ config, dataDir });
    assert.equal((await chat(gw, { model: 'local', max_tokens: 1 })).status, 200);
    await gw.kill();
  }
  const gw = await startGateway({ config, dataDir });
  assert.equal((await ledger(gw)).spent_nano, 0);
  await gw.stop();
});

// Rounds of load that a crash ends, then what one more start finds in the ledger.
async function crash({ dataDir, config, headers = {}, rounds }) {
  for (let round = 0; round < rounds; round++) {
    const gw = await startGateway({ config, dataDir });
    const load = Array.from({ length: 40 }, (_, i) =>
      (i % 2 ? chat : sse)(gw, { max_tokens: 4 }, headers).catch(() => null),
    );
    if (round === 0) await waitFor(() => served() > 0); /* or nothing was at stake */
    await new Promise((done) => setTimeout(done, 20 + Math.random() * 250));
    await gw.kill();
    await Promise.all(load);
  }
  return startGateway({ config, dataDir });
}

async function checkBook(gw, caps) {
  const before = served();
  const book = await waitFor(() => gw.rows('ledger.db', 'select * from period'));
  const ends = await gw.rows(
    'ledger.db',
    'select budget, sum(cost_nano) as nano from settlement group by budget',
  );
  for (const [budget, cap] of Object.entries(caps)) {
    const row = book.find((r) => r.budget === budget);
    const booked = ends.find((r) => r.budget === budget)?.nano ?? 0;
    const { spent_nano: spent, overage_nano: overage, lost_nano: lost } = row;
    assert.ok(spent >= before * answerCost, `${budget}: ${spent} for ${before} answers`);
    assert.ok(spent <= cap, `${budget}: crashes never push spending over the cap`);
    assert.equal(overage, 0);
    assert.equal(spent, booked + lost, `${budget}: each end is booked once`);
  }
}

const capped = (cap) => ({
  models: ['answer:{"delayMs":2}'],
  trigger: always,
  budget: `$${(cap / 1e9).toFixed(9)}/month`,
  tier: { maxTokens: 16 },
});

test('kill -9 under load loses and doubles nothing', async () => {
  mock.clear();
  const cap = 300 * answerCost;
  const config = hybridConfig(mock, capped(cap));
  const gw = await crash({ dataDir: await tempDir(), config, rounds: slow > 1 ? 3 : 6 });
  await checkBook(gw, { default: cap });
  const r = await chat(gw, { max_tokens: 2 });
  assert.equal(r.status, 200);
  await gw.stop();
});

test('nor does it where a key has a budget beside its route', async () => {
  mock.clear();
  const caps = { key: 60 * answerCost, default: 300 * answerCost };
  const config = hybridConfig(mock, capped(caps.default));
  const dataDir = await tempDir();
  const budget = `$${(caps.key / 1e9).toFixed(9)}/month`;
  const app = await key(dataDir, 'create', '--name', 'app', '--budget', budget);
  const gw = await crash({ dataDir, config, headers: bearer(app), rounds: slow > 1 ? 2 : 4 });
  await checkBook(gw, { [`key:${app.id}`]: caps.key, default: caps.default });
  for (let i = 0; i < 80; i++) await chat(gw, { max_tokens: 2 }, bearer(app));
  await gw.stop();
  assert.ok(served() * answerCost <= caps.key, `${served()} were paid of a budget for 60`);
  assert.ok(served() > 0);
});

test('a full disk: no paid call, local answers, and the reason', async () => {
  mock.clear();
  const config = hybridConfig(mock, { trigger: always, budget: '$1/day' });
  const gw = await startGateway({ config });
  execFileSync('prlimit', ['--pid', String(gw.child.pid), '--fsize=0']); /* every write fails */
  await waitFor(
    async () =>
      (await chat(gw, { max_tokens: 1 })).headers['x-tollgate-reason'] === 'ledger-unavailable',
    { ms: 10000 },
  );
  mock.clear();
  const r = await chat(gw);
  assert.equal(r.status, 200);
  assert.equal(r.headers['x-tollgate-route'], 'local');
  assert.equal(r.headers['x-tollgate-reason'], 'ledger-unavailable');
  assert.equal(mock.log().connections, 0);
  await gw.stop();
});
