/** What crosses a leg of the router, as tcpdump sees it there. */
import { setTimeout as sleep } from 'node:timers/promises';
import { runIn } from './netns.ts';
import { type Host, routerNamespace, vipPrefix } from './topology.ts';

/** Ends after `milliseconds`, or when it has seen what it was told to see. */
function tcpdump(args: readonly string[], milliseconds: number): Promise<string> {
  // timeout ends it by SIGINT, as a person would, and then it ends with 124; tcpdump writes what it has.
  const script = `timeout --signal=INT ${milliseconds / 1000} "$@" || [ $? = 124 ]`;
  return runIn(routerNamespace, 'sh', ['-c', script, 'sh', 'tcpdump', '-nl', ...args]);
}

/**
 * The client's ports of TCP flows towards VIPs that cross the router's leg to this LB within a time; a flow that
 * sends nothing meanwhile is not seen.
 */
export async function clientPortsTo(lb: Host, milliseconds: number): Promise<Set<number>> {
  // The filter wants packets as the client sent them: the tunnelled ones that come back are of protocol 4.
  const filter = `tcp and dst net ${vipPrefix}`;
  const output = await tcpdump(['-qt', '-i', lb.routerDevice, filter], milliseconds);
  const ports = new Set<number>();
  for (const [, port] of output.matchAll(/^IP \d+\.\d+\.\d+\.\d+\.(\d+) > /gm)) ports.add(Number(port));
  return ports;
}

/** How many datagrams tcpdump found right, found wrong, and found without a checksum. */
export interface UdpChecksums {
  readonly right: number;
  readonly wrong: number;
  readonly none: number;
}

/** Looks at the first `count` UDP datagrams to a port that come from this LB while something happens. */
export async function udpChecksumsFrom(
  lb: Host,
  port: number,
  count: number,
  meanwhile: () => Promise<unknown>,
): Promise<UdpChecksums> {
  const captured = tcpdump(
    ['-vv', '-c', String(count), '-i', lb.routerDevice, '-Q', 'in', `udp dst port ${port}`],
    5_000,
  );
  // Until it listens; what comes later than that is seen.
  await sleep(500);
  await meanwhile();
  const output = await captured;
  const lines = (pattern: RegExp): number => [...output.matchAll(pattern)].length;
  return {
    right: lines(/\[udp sum ok\]/g),
    wrong: lines(/\[bad udp cksum /g),
    none: lines(/\[no cksum\]/g),
  };
}
