import { describe, expect, it } from 'vitest';
import { Tracer } from '../../src/dataplane/tracer.ts';
import { FrameFuzzer, shares } from '../fuzz/frames.ts';
import { readByTshark } from '../fuzz/tshark.ts';
import { needs } from '../support/require.ts';

/** Wireshark reads what leaves the program when nothing was wrong with what came in. */

const FRAMES = 6_000;
const SEED = 20_261_121;
const GUE_PORTS = [5555, 6080];

interface Treated {
  readonly from: Uint8Array;
  readonly to: Uint8Array;
}

async function emitted(): Promise<Treated[]> {
  const frames: Treated[] = [];
  for (const [{ snapshot, host, ...fuzzCase }, count] of shares(FRAMES)) {
    using tracer = await Tracer.load({ snapshot, host, egress: host.egress, frames: count });
    const fuzzer = new FrameFuzzer(SEED, { ...fuzzCase, snapshot, host });
    for (let n = 0; n < count; n++) {
      const { bytes, valid } = fuzzer.next(0);
      const { action, frame } = tracer.trace(bytes);
      if (valid && frame !== null && (action === 'TX' || action === 'REDIRECT'))
        frames.push({ from: bytes, to: frame });
    }
  }
  return frames;
}

/** Outer and inner headers, by encapsulation and both families. */
const kinds: readonly (readonly [what: string, protocols: RegExp])[] = [
  ['IPIP, IPv4 in IPv4', /^eth:ethertype:ip:ip:/],
  ['IPIP, IPv6 in IPv4', /^eth:ethertype:ip:ipv6:/],
  ['IPIP, IPv4 in IPv6', /^eth:ethertype:ipv6:ip:/],
  ['IPIP, IPv6 in IPv6', /^eth:ethertype:ipv6:ipv6:/],
  ['GUE, IPv4 in IPv4', /^eth:ethertype:ip:udp:ip:(tcp|udp|icmp)/],
  ['GUE, IPv6 in IPv4', /^eth:ethertype:ip:udp:ip:ipv6:/],
  ['GUE, IPv4 in IPv6', /^eth:ethertype:ipv6:udp:ip:(tcp|udp|icmp)/],
  ['GUE, IPv6 in IPv6', /^eth:ethertype:ipv6:udp:ip:ipv6:/],
  ['no outer header', /^eth:ethertype:ip(v6)?:tcp/],
  ['ICMP errors on the way', /^eth:ethertype:ip:(udp:ip:|ip:)icmp:ip:/],
  ['ICMPv6 errors on the way', /^eth:ethertype:ip:(udp:)?(ip:)?ipv6:icmpv6:ipv6:/],
  ['answers to what was too big', /^eth:ethertype:ip:icmp:ip:/],
  ['the same of IPv6', /^eth:ethertype:ipv6:icmpv6:ipv6:/],
  ['echo replies', /^eth:ethertype:ip(v6)?:icmp(v6)?:data/],
  ['tags', /^eth:ethertype:(vlan|ieee8021ad):ethertype:/],
];

describe.skipIf(needs('tshark'))('what the program emits', () => {
  it('has right checksums and lengths throughout', async () => {
    const treated = await emitted();
    // A fragment may be too short for what it starts, which is no fault of the program.
    const before = readByTshark(
      treated.map(({ from }) => from),
      GUE_PORTS,
    );
    const strange = new Set(before.complaints.map(({ frame }) => frame));
    expect(strange.size).toBeLessThan(treated.length / 50);
    const frames = treated.filter((_, n) => !strange.has(n)).map(({ to }) => to);
    expect(frames.length).toBeGreaterThan(FRAMES / 3);
    const { protocols, complaints } = readByTshark(frames, GUE_PORTS);
    expect(protocols).toHaveLength(frames.length);
    const shown = complaints
      .slice(0, 5)
      .map(({ frame, message }) => `${message}: ${protocols[frame]}\n${Buffer.from(frames[frame]!).toString('hex')}`);
    expect(shown.join('\n\n')).toBe('');
    for (const [what, pattern] of kinds)
      expect(protocols.filter((text) => pattern.test(text)).length, what).toBeGreaterThan(0);
  });
});
