import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

/** A CA that lives as long as a test, made by openssl, so that no key is ever committed. */
export class TestCa {
  readonly #dir = mkdtempSync(join(tmpdir(), 'pilotfish-ca-'));
  #made = 0;

  constructor() {
    this.#selfSigned('ca', 'Pilotfish test CA');
  }

  /** Path of its certificate. */
  get path(): string {
    return join(this.#dir, 'ca.pem');
  }

  /** @param names as openssl writes them: `DNS:www.example.com,IP:127.0.0.1` */
  issue(names: string, options: { readonly expired?: boolean } = {}): Certificate {
    const name = `leaf${++this.#made}`;
    writeFileSync(join(this.#dir, `${name}.ext`), `subjectAltName=${names}\n`);
    this.#openssl('req', '-new', '-subj', `/CN=${name}`, '-out', `${name}.csr`, ...newKey(name));
    const days = options.expired ? '-1' : '2';
    const signer = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', `${name}.ext`];
    this.#openssl('x509', '-req', '-in', `${name}.csr`, '-out', `${name}.pem`, '-days', days, ...signer);
    return this.#read(name);
  }

  selfSigned(commonName: string): Certificate {
    const name = `self${++this.#made}`;
    this.#selfSigned(name, commonName);
    return this.#read(name);
  }

  remove(): void {
    rmSync(this.#dir, { recursive: true, force: true });
  }

  #selfSigned(name: string, commonName: string): void {
    this.#openssl('req', '-x509', '-subj', `/CN=${commonName}`, '-days', '2', '-out', `${name}.pem`, ...newKey(name));
  }

  #read(name: string): Certificate {
    const file = (extension: string) => readFileSync(join(this.#dir, `${name}.${extension}`), 'utf8');
    return { key: file('key'), cert: file('pem') };
  }

  #openssl(...args: string[]): void {
    execFileSync('openssl', args, { cwd: this.#dir, stdio: ['ignore', 'ignore', 'pipe'] });
  }
}

function newKey(name: string): string[] {
  return ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', `${name}.key`];
}
