// Certificates for tests, made by the openssl program: EC keys.
import { execFileSync } from 'node:child_process';
import { chmodSync, readFileSync } from 'node:fs';
import path from 'node:path';

// NAME.pem and NAME.key in dir, signed by issuer (another one's answer) or by itself:
// { certFile, keyFile, cert, key }.
export function makeCertificate(dir, name, issuer, days = 30) {
  const certFile = path.join(dir, `${name}.pem`);
  const keyFile = path.join(dir, `${name}.key`);
  const by = issuer ? ['-CA', issuer.certFile, '-CAkey', issuer.keyFile] : [];
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
      ...['-days', `${days}`, '-subj', `/CN=${name}`, '-keyout', keyFile, '-out', certFile, ...by],
      ...['-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost'],
      ...(issuer ? ['-addext', 'basicConstraints=CA:FALSE'] : []),
    ],
    { stdio: 'pipe' },
  );
  chmodSync(keyFile, 0o600);
  return { certFile, keyFile, cert: readFileSync(certFile), key: readFileSync(keyFile) };
}
