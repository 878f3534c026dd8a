// What is installed is pinned, comes from no particular host, and runs on Debian 12's Node.js.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

const read = async (name) => readFile(new URL(name, import.meta.url), 'utf8');

test('packages: exact versions, all of them in the lock file', async () => {
  const { dependencies } = JSON.parse(await read('package.json'));
  const { packages } = JSON.parse(await read('package-lock.json'));
  for (const [name, version] of Object.entries(dependencies)) {
    assert.match(version, /^\d+\.\d+\.\d+$/);
    assert.equal(packages[`node_modules/${name}`].version, version);
  }
  for (const [name, { integrity }] of Object.entries(packages))
    if (name) assert.match(integrity, /^sha512-/, name);
});

test('packages: the lock file names no host', async () => {
  const text = await read('package-lock.json');
  assert.doesNotMatch(text, /"resolved"|:\/\//);
});

test('packages: each client says that it runs on Node.js 18, or nothing', async () => {
  const { dependencies } = JSON.parse(await read('package.json'));
  const { packages } = JSON.parse(await read('package-lock.json'));
  for (const name of Object.keys(dependencies)) {
    const least = /(\d+)/.exec(packages[`node_modules/${name}`].engines?.node ?? '0');
    assert.ok(Number(least[1]) <= 18, name);
  }
});
