/** A random walk over desired states, the same for the same seed. */
import { keys as keyNames } from '../../src/core/key-path.ts';

/** One write to the store. */
export interface WalkStep {
  readonly what: string;
  readonly put: ReadonlyMap<string, string>;
  readonly delete: readonly string[];
}

/** The generator of Tommy Ettinger known as mulberry32: 32 bits of state, which is plenty for a walk. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const pools = ['blue', 'green', 'red', 'white'];
const vips = ['v1', 'v2', 'v3', 'v4', 'v5', 'v6'];
const mistakes = ['{', '[]', '{"weight":-1}', '{"address":"nowhere"}', '{"port":70000,"pool":7}'];

/** What VIPs of each protocol may ask for. */
const vipOptions = {
  tcp: [{}, {}, { hash: 'source' }, { tcpServerId: true }, { flowCache: false }, { fragments: 'hash' }],
  udp: [{}, {}, { hash: 'dest-port' }, { quic: 'katran' }, { quic: 'quic-lb' }, { udpStableRouting: true }],
} as const;
const clientPrefixes = ['198.51.100.0/24', '198.51.100.0/25', '198.51.0.0/16'];
const ways = [{}, {}, { encap: 'gue' }, { encap: 'gue', guePort: 6081, gueChecksum: false }, { encap: 'l2' }];

/** Judged within a tenth of a second or so, so that hundreds of steps are a matter of seconds. */
const poolValue = {
  checks: [{ type: 'tcp', port: 80, interval: '1s', timeout: '500ms', fastInterval: '100ms', rise: 1, fall: 5 }],
};

export class StateWalk {
  /** What the store holds, by key relative to its prefix. */
  readonly keys = new Map<string, string>();
  readonly #random: () => number;
  readonly #addresses: readonly string[];

  /** @param addresses of servers that answer on port 80 */
  constructor(seed: number, addresses: readonly string[]) {
    this.#random = randomFrom(seed);
    this.#addresses = addresses;
  }

  /** Some of everything. */
  begin(): WalkStep {
    const put = new Map<string, string>();
    for (const pool of pools) this.#addPool(put, pool);
    for (const name of vips.slice(0, 4)) put.set(keyNames.vip(name), this.#vipValue(name));
    return this.#take({ what: 'begin', put, delete: [] });
  }

  next(): WalkStep {
    for (;;) {
      const put = new Map<string, string>();
      const gone: string[] = [];
      const what = this.#change(put, gone);
      // A store says nothing to those who watch when a key is deleted that was not there.
      const existing = gone.filter((key) => this.keys.has(key));
      if (put.size + existing.length > 0) return this.#take({ what, put, delete: existing });
    }
  }

  /** Deletes keys. */
  remove(keys: readonly string[]): WalkStep {
    return this.#take({ what: `remove ${keys.join(', ')}`, put: new Map(), delete: keys });
  }

  #take(step: WalkStep): WalkStep {
    for (const [key, value] of step.put) this.keys.set(key, value);
    for (const key of step.delete) this.keys.delete(key);
    return step;
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  #pick<T>(of: readonly T[]): T {
    const picked = of[this.#below(of.length)];
    if (picked === undefined) throw new Error('nothing to pick from');
    return picked;
  }

  #realValue(pool: string, i: number): string {
    // One id for each real of each pool, and now and then that of another one: that is one of the mistakes to be made.
    const id = this.#below(20) === 0 ? 1 : 100 * (1 + pools.indexOf(pool)) + i;
    const serverIds = this.#random() < 0.3 ? [id] : [];
    const state = this.#pick(['active', 'active', 'active', 'active', 'active', 'drain', 'maintenance']);
    const weight = this.#pick([0, 1, 2, 50, 75, 99, 100, 150, 200, 1_000]);
    return JSON.stringify({ address: this.#addresses[i], weight, state, serverIds });
  }

  #vipValue(name: string, pool = this.#pick(pools)): string {
    // Of the last octet, so that two of them may clash over an address: that is one of the mistakes to be made.
    const octet = this.#below(12) === 0 ? 10 : 10 + vips.indexOf(name);
    const address = this.#below(6) === 0 ? `192.0.2.${octet & 0xfe}/31` : `192.0.2.${octet}`;
    const protocol = this.#pick(['tcp', 'udp'] as const);
    const options = this.#pick<object>(vipOptions[protocol]);
    const clients = clientPrefixes
      .filter(() => this.#random() < 0.2)
      .map((prefix) => ({ prefix, pool: this.#pick(pools) }));
    return JSON.stringify({ address, port: 80, protocol, pool, clients, ...options });
  }

  #addPool(put: Map<string, string>, pool: string): void {
    put.set(keyNames.pool(pool), JSON.stringify({ ...poolValue, ...this.#pick<object>(ways) }));
    for (const i of this.#addresses.keys())
      if (this.#random() < 0.7) put.set(keyNames.real(pool, `r${i}`), this.#realValue(pool, i));
  }

  #change(put: Map<string, string>, gone: string[]): string {
    const pool = this.#pick(pools);
    const i = this.#below(this.#addresses.length);
    const real = keyNames.real(pool, `r${i}`);
    const override = keyNames.override(pool, `r${i}`);
    const vip = this.#pick(vips);
    const kind = this.#random();
    // A pool that is gone makes all other steps about it pointless.
    if (!this.keys.has(keyNames.pool(pool)) && kind < 0.6) return this.#changePool(put, gone, pool);
    if (kind < 0.5) {
      put.set(real, this.#realValue(pool, i));
      return `put ${real}`;
    }
    if (kind < 0.57) return this.#delete(gone, real);
    if (kind < 0.68) {
      if (this.keys.has(override)) return this.#delete(gone, override);
      put.set(override, JSON.stringify({ state: this.#pick(['drain', 'maintenance']) }));
      return `put ${override}`;
    }
    if (kind < 0.79) {
      put.set(keyNames.vip(vip), this.#vipValue(vip, pool));
      return `put VIP ${vip}`;
    }
    if (kind < 0.83) return this.#delete(gone, keyNames.vip(vip));
    if (kind < 0.86) return this.#changePool(put, gone, pool);
    if (kind < 0.9) {
      put.set(
        keyNames.settings,
        JSON.stringify({
          seed: this.#below(2 ** 31)
            .toString(16)
            .padStart(8, '0'),
        }),
      );
      return 'put settings';
    }
    // A key of any kind, one that is there or a new one, that says nothing good; later steps put it right by chance.
    const key = this.#pick([real, override, keyNames.vip(vip), keyNames.pool(pool), keyNames.settings]);
    put.set(key, this.#pick(mistakes));
    return `spoil ${key}`;
  }

  #changePool(put: Map<string, string>, gone: string[], pool: string): string {
    if (!this.keys.has(keyNames.pool(pool))) {
      this.#addPool(put, pool);
      return `put pool ${pool}`;
    }
    // With its reals or without: then they are left over, and refused until the pool is back.
    if (this.#random() < 0.5)
      gone.push(...[...this.keys.keys()].filter((key) => key.startsWith(keyNames.real(pool, ''))));
    return this.#delete(gone, keyNames.pool(pool));
  }

  #delete(gone: string[], key: string): string {
    gone.push(key);
    return `delete ${key}`;
  }
}
