// Shows the main job as a person would see it, with curl and sqlite3:
//
//   TOLLGATE_BIN=build/tollgate node tests/http/transcript.mjs
//
// a local answer on the CPU and on Vulkan, an escalated one, the same with the cap reached, and the
// rows that they left.
import { execFile } from 'node:child_process';
import path from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { root, startGateway, tempDir } from './lib.mjs';
import { startMock } from './mock_provider.mjs';
import { hybridConfig, localConfig } from './support.mjs';

const body = JSON.stringify({
  model: 'default',
  max_tokens: 8,
  messages: [{ role: 'user', content: 'What is the capital of France?' }],
});
// Not the synchronous one: the mock provider answers from this process.
const run = async (program, ...args) => (await promisify(execFile)(program, args)).stdout;
const model = path.join(root, 'tests/golden/tiny-e-Q4_0.gguf');
const mock = await startMock();
after(() => mock.stop());

async function ask(gw) {
  const url = `${gw.url}/v1/chat/completions`;
  const json = 'content-type: application/json';
  console.log(`$ curl -si ${url} -H '${json}' -d '${body}'`);
  const answer = (await run('curl', '-si', url, '-H', json, '-d', body)).replaceAll('\r', '');
  console.log(answer.replace(/^(Date|Content-\w+): .*\n/gm, ''), '\n');
}

async function table(gw, file, sql) {
  console.log(`$ sqlite3 ${file} '${sql}'`);
  console.log(await run('sqlite3', '-header', '-column', path.join(gw.dataDir, file), sql));
}

test('transcript', async () => {
  for (const device of ['cpu', 'vulkan']) {
    const engine = { model, device, context: 2048 };
    const gw = await startGateway({ config: localConfig({ engine }) });
    console.log(
      `== (a) local, device ${device}\n${gw.log().find((e) => e.event === 'engine-ready').text}`,
    );
    await ask(gw);
    await gw.stop();
  }
  const options = { trigger: 'confidence < 0.85', budget: '$0.0002/day' };
  const config = {
    ...hybridConfig(mock, options),
    engine: { model, device: 'cpu', context: 2048 },
  };
  const gw = await startGateway({ config, dataDir: await tempDir() });
  console.log('== (b) escalated: confidence < 0.85');
  await ask(gw);
  console.log('== (c) the same with the cap of $0.0002 reached');
  for (let i = 0; i < 8; i++)
    await run(
      'curl',
      '-s',
      `${gw.url}/v1/chat/completions`,
      '-H',
      'content-type: application/json',
      '-d',
      body,
    );
  await ask(gw);
  await gw.stop();
  console.log('== (d) the rows');
  await table(
    gw,
    'log.db',
    'select request, backend, reason, status, escalated, ' +
      'round(confidence, 4) as confidence, cost_nano, saved_nano from request',
  );
  await table(
    gw,
    'ledger.db',
    'select id, request, state, reserved_nano, cost_nano from settlement',
  );
  await table(
    gw,
    'ledger.db',
    'select budget, period, start, cap_nano, spent_nano, leased_nano from period',
  );
  console.log(
    await run(process.env.TOLLGATE_BIN, 'report', '--data-dir', gw.dataDir, '--period', 'day'),
  );
});
