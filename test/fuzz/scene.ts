import { addressBytes } from '../../src/core/address.ts';
import type { Vip } from '../../src/core/model.ts';
import type { Ends, Ports } from './layers.ts';
import type { Random } from './random.ts';
import type { FuzzCase } from './state.ts';

/** Who talks to whom. */

export interface FuzzFlow {
  readonly vip: Vip;
  readonly ends: Ends;
  readonly ports: Ports;
  readonly protocol: 6 | 17;
}

/** So that the flow cache is hit. */
const REMEMBERED = 400;

const clients4 = ['198.51.100.65', '198.51.100.64', '198.51.100.127', '198.51.100.63', '198.51.100.255', '203.0.113.7'];
const clients6 = ['2001:db8:c::1', '2001:db8:c:1::1', '2001:db8:c:1:ffff::', '2001:db8:d::1', '2001:db8:b:ffff::1'];

export class Scene {
  readonly random: Random;
  readonly case: FuzzCase;
  readonly #vips: readonly Vip[];
  /** Those that look for ids in packets. */
  readonly #identifying: readonly Vip[];
  readonly #recent: FuzzFlow[] = [];

  constructor(random: Random, fuzzCase: FuzzCase) {
    this.random = random;
    this.case = fuzzCase;
    this.#vips = [...fuzzCase.snapshot.vips.values()];
    this.#identifying = this.#vips.filter((vip) => vip.quic !== 'off' || vip.tcpServerId || vip.udpStableRouting);
  }

  /** An address of the VIP: any one of a prefix, its first and last among them. */
  addressOf({ address }: Pick<Vip, 'address'>): Buffer {
    const { random } = this;
    const [text = '', length] = address.split('/');
    const bytes = Buffer.from(addressBytes(text));
    if (length === undefined) return bytes;
    const filler = random.pick([random.bytes(16), Buffer.alloc(16), Buffer.alloc(16, 0xff)]);
    return Buffer.from(
      bytes.map((byte, i) => byte | (filler[i]! & (0xff >> Math.min(8, Math.max(0, Number(length) - i * 8))))),
    );
  }

  /** An address of the LB itself, which prefixes of VIPs may contain. */
  #own(): Buffer {
    return Buffer.from(addressBytes(this.random.pick([...this.case.host.own])));
  }

  client(bytes: number): Buffer {
    const { random } = this;
    const known = random.pick(bytes === 4 ? clients4 : clients6);
    const address = Buffer.from(addressBytes(known));
    if (random.chance(0.4)) address[bytes - 1] = random.below(256);
    return random.chance(0.15) ? random.bytes(bytes) : address;
  }

  /** None of GUE: tshark takes whatever has one for a tunnel. */
  #port(): number {
    const { random } = this;
    return random.chance(0.2) ? random.pick([0, 1, 0xffff, 53, 80, 443, 5000]) : random.between(7_000, 0xffff);
  }

  #newFlow(): FuzzFlow {
    const { random } = this;
    const vip = random.pick(random.chance(0.2) ? this.#identifying : this.#vips);
    const destination = random.chance(0.04) ? this.#own() : this.addressOf(vip);
    return {
      vip,
      ends: { source: this.client(destination.length), destination },
      ports: { source: this.#port(), destination: vip.port === 0 ? this.#port() : vip.port },
      protocol: vip.protocol === 'tcp' ? 6 : 17,
    };
  }

  /** Half of them are known already. */
  flow(): FuzzFlow {
    const { random } = this;
    if (this.#recent.length > 0 && random.chance(0.5)) return random.pick(this.#recent);
    const flow = this.#newFlow();
    if (this.#recent.length < REMEMBERED) this.#recent.push(flow);
    else this.#recent[random.below(REMEMBERED)] = flow;
    return flow;
  }

  /** An address that no VIP has. */
  stranger(bytes: number): Buffer {
    const near =
      bytes === 4 ? ['192.0.2.9', '198.20.0.0', '10.0.1.1', '192.0.2.200'] : ['2001:db8:ffff::9', '2001:db8::1'];
    return this.random.chance(0.5) ? this.random.bytes(bytes) : Buffer.from(addressBytes(this.random.pick(near)));
  }
}
