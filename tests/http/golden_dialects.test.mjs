// Each dialect's answers, byte for byte: fixed requests, a fixed provider, and what the gateway
// answers to them and sends on, as they stand in tests/golden/dialects (see its README).
// UPDATE_GOLDEN=1 writes the files anew.
import assert from 'node:assert/strict';
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { cases, dialects } from './golden_dialects.mjs';
import { root, startGateway } from './lib.mjs';
import { startMock } from './mock_provider.mjs';
import { hybridConfig } from './support.mjs';

const folder = path.join(root, 'tests/golden/dialects');
const update = process.env.UPDATE_GOLDEN === '1';

let provider;
let gw;
before(async () => {
  provider = await startMock();
  const config = hybridConfig(provider);
  config.aliases = Object.fromEntries(
    ['gpt-4o', 'claude-sonnet-4-5', 'llama3.2'].map((name) => [name, 'mock/answer']),
  );
  gw = await startGateway({ config });
});
after(() => provider.stop());

// A whole answer as text: status line, headers as they came, body without its chunks' sizes.
function answerTo(target, headers, body) {
  return new Promise((done, failed) => {
    const rq = http.request({
      port: gw.port,
      host: '127.0.0.1',
      method: 'POST',
      path: target,
      agent: false,
      headers: { 'content-type': 'application/json', ...headers },
    });
    rq.on('error', failed).on('response', (res) => {
      let text = `HTTP/${res.httpVersion} ${res.statusCode} ${res.statusMessage}\n`;
      for (let i = 0; i < res.rawHeaders.length; i += 2)
        text += `${res.rawHeaders[i]}: ${res.rawHeaders[i + 1]}\n`;
      text += '\n';
      res.setEncoding('utf8').on('data', (part) => {
        text += part;
      });
      res.on('error', failed).on('end', () => done(text));
    });
    rq.end(JSON.stringify(body));
  });
}

// What differs from run to run: numbers of requests become ID1, ID2 and so on in their order; an
// item's number of four digits may follow one.
function stable(text) {
  const ids = new Map();
  return text
    .replace(/(?<![0-9a-f])[0-9a-f]{16}(?=\d{4}"|[^0-9a-f])/g, (id) => {
      if (!ids.has(id)) ids.set(id, `ID${ids.size + 1}`);
      return ids.get(id);
    })
    .replace(/^(date|content-length|x-tollgate-cost-usd-reserved): .*$/gim, '$1: *')
    .replace(/("(?:created|created_at|completed_at)"):\d{10}(?=[,}])/g, '$1:TIME')
    .replace(/("created_at"):"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z"/g, '$1:"TIME"')
    .replace(/("\w+_duration"):\d+/g, '$1:TIME')
    .replace(/(x-tollgate-complexity: |"complexity":)[\d.]+/g, '$1SCORE');
}

async function compare(file, text) {
  const full = path.join(folder, file);
  if (update) {
    await mkdir(path.dirname(full), { recursive: true });
    await writeFile(full, text);
    return;
  }
  assert.equal(text, await readFile(full, 'utf8').catch(() => ''), file);
}

// The files that belong to a dialect: of each case an answer whole and streamed, and what the
// provider was sent for the whole one.
const filesOf = (name) =>
  Object.keys(dialects[name].requests).flatMap((one) => [
    ...(one === 'refused' ? [] : [`${one}.provider.json`]),
    ...(dialects[name].streamed ? [`${one}.stream.txt`] : []),
    `${one}.whole.txt`,
  ]);

for (const [name, { target, headers, whole, streamed, requests }] of Object.entries(dialects))
  test(`golden: ${name}`, async () => {
    for (const [one, body] of Object.entries(requests)) {
      for (const [kind, fields] of Object.entries({ whole, stream: streamed })) {
        if (!fields) continue;
        provider.clear();
        provider.control(cases[one]);
        const text = await answerTo(target, headers, { ...body, ...fields });
        await compare(`${name}/${one}.${kind}.txt`, stable(text));
        const [sent] = provider.log().requests;
        if (one === 'refused') assert.equal(sent, undefined);
        else if (kind === 'whole')
          await compare(`${name}/${one}.provider.json`, `${JSON.stringify(sent.body, null, 2)}\n`);
      }
    }
    assert.deepEqual((await readdir(path.join(folder, name))).sort(), filesOf(name).sort());
  });

test('golden: no other folders', async () => {
  const found = (await readdir(folder)).filter((name) => name !== 'README.md');
  assert.deepEqual(found.sort(), Object.keys(dialects).sort());
});
