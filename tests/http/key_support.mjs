// `tollgate key` as people run it, and the headers that clients send keys in.
import { execFile } from 'node:child_process';

// Resolves to { code, stdout, stderr }.
export const tollgate = (...args) =>
  new Promise((done) => {
    execFile(process.env.TOLLGATE_BIN, args, (cause, stdout, stderr) =>
      done({ code: cause ? cause.code : 0, stdout, stderr }),
    );
  });

// The object that --json prints; an error is thrown.
export async function key(dir, command, ...args) {
  const r = await tollgate('key', command, '--data-dir', dir, '--json', ...args);
  if (r.code !== 0) throw new Error(r.stderr);
  return JSON.parse(r.stdout);
}

export const bearer = (k) => ({ authorization: `Bearer ${k.key ?? k}` });
