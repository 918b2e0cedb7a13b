import { rename } from 'node:fs/promises';
import type { Logger } from 'pino';
import { desiredPrefix } from '../../src/core/key-path.ts';
import { EtcdSource } from '../../src/sync/etcd-source.ts';
import { EtcdStore } from '../../src/sync/etcd-store.ts';
import { FileSource } from '../../src/sync/file-source.ts';
import type { Source } from '../../src/sync/source.ts';
import { keySet, type Values } from './desired.ts';
import { StateFile } from './state-file.ts';
import { TcpProxy } from './tcp-proxy.ts';

/** A place that a kind of source reads from, as the contract of all sources needs it. */
export interface SourceWorld extends AsyncDisposable {
  /** As a current source names it. */
  readonly endpoint: string;
  open(log: Logger): Source;
  /** Makes this the whole desired state, at once. Works also while the sources cannot see the place. */
  set(state: Values): Promise<void>;
  /** Sources cannot see the place any more. */
  goAway(): Promise<void>;
  comeBack(): Promise<void>;
}

type Branch = { [name: string]: unknown };

/** The file form of keys such as `pools/web/reals/r1`. */
function treeOf(state: Values): Branch {
  const tree: Branch = {};
  for (const [key, value] of Object.entries(state)) {
    let at = tree;
    for (const step of key.split('/')) {
      at[step] ??= {};
      at = at[step] as Branch;
    }
    Object.assign(at, value);
  }
  return tree;
}

export class FileWorld implements SourceWorld {
  readonly #file: StateFile;
  readonly endpoint: string;

  static async make(): Promise<FileWorld> {
    return new FileWorld(await StateFile.make());
  }

  private constructor(file: StateFile) {
    this.#file = file;
    this.endpoint = file.path;
  }

  open(log: Logger): Source {
    return new FileSource({ path: this.endpoint, log });
  }

  set(state: Values): Promise<void> {
    return this.#file.replace(JSON.stringify(treeOf(state)));
  }

  async goAway(): Promise<void> {
    this.#file.path = `${this.endpoint}.away`;
    await rename(this.endpoint, this.#file.path);
  }

  async comeBack(): Promise<void> {
    await rename(this.#file.path, this.endpoint);
    this.#file.path = this.endpoint;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#file[Symbol.asyncDispose]();
  }
}

let prefixes = 0;

export class EtcdWorld implements SourceWorld {
  readonly #proxy: TcpProxy;
  readonly #store: EtcdStore;
  readonly #prefix: string;

  /** @param server `host:port` of a real server; the world has a prefix of its own there */
  static async make(server: string): Promise<EtcdWorld> {
    return new EtcdWorld(server, await TcpProxy.start(server));
  }

  private constructor(server: string, proxy: TcpProxy) {
    this.#prefix = `/pf-world-${++prefixes}/`;
    this.#proxy = proxy;
    this.#store = new EtcdStore({ endpoints: [server], prefix: this.#prefix });
  }

  get endpoint(): string {
    return this.#proxy.endpoint;
  }

  open(log: Logger): Source {
    return new EtcdSource({ endpoints: [this.endpoint], prefix: this.#prefix, log });
  }

  async set(state: Values): Promise<void> {
    const { keys } = await this.#store.list(desiredPrefix);
    const put = keySet(state);
    await this.#store.apply({ put, delete: [...keys.keys()].filter((key) => !put.has(key)) });
  }

  async goAway(): Promise<void> {
    this.#proxy.refusing = true;
    this.#proxy.cut();
  }

  async comeBack(): Promise<void> {
    this.#proxy.refusing = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#store.close();
    await this.#proxy[Symbol.asyncDispose]();
  }
}
