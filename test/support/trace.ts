import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Snapshot } from '../../src/core/model.ts';
import { frameOf } from '../../src/core/packet-frame.ts';
import { readPacket } from '../../src/core/packet-words.ts';
import type { HostImage } from '../../src/core/target.ts';
import { type Traced, Tracer, type TracerOptions } from '../../src/dataplane/tracer.ts';
import { type CommandResult, pilotfish } from './command.ts';
import type { Segment } from './frames.ts';
import { ethernet, ipv4, tcp } from './frames.ts';
import { host } from './in-force.ts';

/** What tests of `pilotfish trace` share: a state of all kinds of VIPs and reals, and a folder for captures. */

const state = `
vips:
  web-443: {address: 192.0.2.10, port: 443, protocol: tcp, pool: web}
  web-6:   {address: '2001:db8:ffff::10', port: 443, protocol: tcp, pool: web}
  quic:    {address: 192.0.2.10, port: 443, protocol: udp, pool: web}
  all:     {address: 198.51.100.7, port: 0, protocol: tcp, pool: six}
  empty:   {address: 192.0.2.20, port: 80, protocol: tcp, pool: empty}
  idle:    {address: 192.0.2.21, port: 80, protocol: tcp, pool: idle}
  near:    {address: 192.0.2.22, port: 80, protocol: tcp, pool: near}
pools:
  web:
    checks: [{type: tcp, port: 80}]
    reals:
      drained:  {address: 10.0.0.9, state: drain}
      r1:       {address: 10.0.0.11}
      weight-0: {address: 10.0.0.12, weight: 0}
      mended:   {address: 10.0.0.13, state: maintenance}
  six:   {checks: [{type: tcp, port: 80}], reals: {r1: {address: '2001:db8:1::1'}}}
  empty: {}
  near:  {encap: l2, reals: {r1: {address: 10.0.0.41}}}
  idle:  {reals: {r1: {address: 10.0.0.14, state: drain}, r2: {address: 10.0.0.15, weight: 0}}}
`;

export const client = '198.51.100.7';

export function to(address: string, segment: Segment, header: object = {}): Uint8Array {
  return ethernet(ipv4({ from: client, to: address, ...header }, segment));
}

/** Of a flow to the VIP web-443. */
export const flowFrame = (flags: number, port = 40_000): Uint8Array =>
  to('192.0.2.10', tcp({ from: port, to: 443, flags }));

/** What the real program makes of these frames, or packets in words, one after the other. */
export async function traced(
  snapshot: Snapshot,
  packets: readonly (Uint8Array | string)[],
  options: Partial<HostImage & Pick<TracerOptions, 'egress'>> = {},
): Promise<Traced[]> {
  const { egress = false, ...image } = options;
  using tracer = await Tracer.load({ snapshot, host: { ...host, ...image }, egress, frames: packets.length });
  const macs = { from: host.gatewayMac, to: host.ownMac };
  return packets.map((packet) => tracer.trace(typeof packet === 'string' ? frameOf(readPacket(packet), macs) : packet));
}

export interface TraceLine {
  readonly n: number;
  readonly action: string;
  readonly reason: string | null;
  readonly real: string | null;
  readonly path: string | null;
  readonly outLen: number | null;
  readonly events: readonly string[] | null;
}

export function linesOf({ stdout }: CommandResult): TraceLine[] {
  return stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as TraceLine);
}

export class TraceFolder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'pilotfish-trace-'));
  /** The arguments that name command and state. */
  readonly args: readonly string[] = ['trace', '--state', this.save('state.yaml', Buffer.from(state))];

  file(name: string): string {
    return join(this.path, name);
  }

  save(name: string, content: Uint8Array): string {
    writeFileSync(this.file(name), content);
    return this.file(name);
  }

  /** @param prefix as of CommandOptions */
  trace(args: readonly string[], prefix: readonly string[] = []): Promise<CommandResult> {
    return pilotfish([...this.args, ...args], { prefix });
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
