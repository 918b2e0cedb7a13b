import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const bpfDirectory = fileURLToPath(new URL('../../bpf', import.meta.url));
const supportDirectory = fileURLToPath(new URL('./bpf', import.meta.url));

/** BPF objects of a test’s own, in a directory that goes with them. */
export class BpfCompiler implements Disposable {
  readonly #directory = mkdtempSync(join(tmpdir(), 'pilotfish-bpf-'));

  /** Compiles a file of test/support/bpf, which may include all of bpf/. Returns the object’s path. */
  compileProbe(name: string): string {
    return this.#compile(join(supportDirectory, `${name}.bpf.c`), bpfDirectory, name);
  }

  /**
   * Compiles the program with one text in one of its headers replaced.
   * @throws Error when the header does not contain the text exactly once
   */
  compileChanged(header: string, from: string, to: string): string {
    const copy = mkdtempSync(join(this.#directory, 'changed-'));
    cpSync(bpfDirectory, copy, { recursive: true });
    const parts = readFileSync(join(copy, header), 'utf8').split(from);
    if (parts.length !== 2) throw new Error(`${header} has ${parts.length - 1} times: ${from}`);
    writeFileSync(join(copy, header), parts.join(to));
    return this.#compile(join(copy, 'pilotfish.bpf.c'), copy, 'changed');
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #compile(source: string, include: string, name: string): string {
    const object = join(mkdtempSync(join(this.#directory, 'object-')), `${name}.bpf.o`);
    const multiarch = execFileSync('gcc', ['-print-multiarch'], { encoding: 'utf8' }).trim();
    const headers = [`-I${include}`, `-I/usr/include/${multiarch}`];
    const digest = createHash('sha256')
      .update(readFileSync(join(include, 'layout.h')))
      .digest('hex');
    const fingerprint = `-DPF_LAYOUT_FINGERPRINT=0x${digest.slice(0, 16)}ULL`;
    const flags = ['-O2', '-g', '-target', 'bpf', '-mcpu=v3', fingerprint, ...headers];
    execFileSync('clang', [...flags, '-c', source, '-o', object]);
    return object;
  }
}
