/** Which flows cross a leg of the router, as tcpdump sees them there. */
import { runIn } from './netns.ts';
import { type Host, routerNamespace, vipPrefix } from './topology.ts';

/**
 * The client's ports of TCP flows towards VIPs that cross the router's leg to this LB within a time; a flow that
 * sends nothing meanwhile is not seen.
 */
export async function clientPortsTo(lb: Host, milliseconds: number): Promise<Set<number>> {
  // The filter wants packets as the client sent them: the tunnelled ones that come back are of protocol 4.
  const filter = `tcp and dst net ${vipPrefix}`;
  const tcpdump = ['tcpdump', '-nqtl', '-i', lb.routerDevice, filter];
  // timeout ends it by SIGINT, as a person would, and then it ends with 124; tcpdump writes what it has.
  const script = `timeout --signal=INT ${milliseconds / 1000} "$@" || [ $? = 124 ]`;
  const output = await runIn(routerNamespace, 'sh', ['-c', script, 'sh', ...tcpdump]);
  const ports = new Set<number>();
  for (const [, port] of output.matchAll(/^IP \d+\.\d+\.\d+\.\d+\.(\d+) > /gm)) ports.add(Number(port));
  return ports;
}
