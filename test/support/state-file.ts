import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FileTimes } from '../../src/sync/file-source.ts';
import { FileSource } from '../../src/sync/file-source.ts';
import { recordingLogger, SourceRecorder } from './source-recorder.ts';

/** A folder of its own with a state file in it, which the test may write or not, and sources that read it. */
export class StateFile implements AsyncDisposable {
  readonly folder: string;
  path: string;
  readonly #sources: FileSource[] = [];

  static async make(name = 'state.yaml'): Promise<StateFile> {
    return new StateFile(await mkdtemp(join(tmpdir(), 'pilotfish-file-')), name);
  }

  private constructor(folder: string, name: string) {
    this.folder = folder;
    this.path = join(folder, name);
  }

  write(content: string): Promise<void> {
    return writeFile(this.path, content);
  }

  /** As deploy tools do: the file is whole under another name before it takes the place of the old one. */
  async replace(content: string): Promise<void> {
    await writeFile(`${this.path}.new`, content);
    await rename(`${this.path}.new`, this.path);
  }

  /** Starts a source that reads the file. */
  watch(times: Partial<FileTimes> = {}): {
    readonly source: FileSource;
    readonly recorder: SourceRecorder;
    readonly lines: Record<string, unknown>[];
  } {
    const recorder = new SourceRecorder();
    const { log, lines } = recordingLogger();
    const source = new FileSource({ path: this.path, log }, times);
    this.#sources.push(source);
    source.start(recorder);
    return { source, recorder, lines };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#sources.map((source) => source.close()));
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** A state of this one VIP port, so that tests can tell states apart. */
export function stateOf(port: number): string {
  return `vips:\n  web: {address: 192.0.2.10, port: ${port}, protocol: tcp, pool: web}\npools:\n  web: {}\n`;
}

/** The port that the last key set has; undefined when there is no VIP. */
export function portOf(recorder: SourceRecorder): number | undefined {
  const vip = recorder.value('desired/vips/web');
  return vip === undefined ? undefined : (JSON.parse(vip) as { port: number }).port;
}
