import type { Logger } from 'pino';
import { PilotfishError } from '../core/errors.ts';
import type { AttachOptions } from './attachment.ts';
import { readDetails, readLinks } from './iproute.ts';

/** Kinds of virtual interfaces whose drivers take redirected frames (ndo_xdp_xmit). Hardware has no kind. */
const takesRedirected: readonly string[] = ['veth', 'tun', 'bond'];

const CHECK = 'xdp_redirect_err and xdp_devmap_xmit of `perf trace -e xdp:*` tell whether frames get through';

/**
 * Frames that an interface cannot send vanish without a counter of ours, so what can be known is said before. The
 * kernel asks that the driver has ndo_xdp_xmit and that it is ready: most NICs make its queues when an XDP program is
 * attached to them, a veth sends while its other end has one or has GRO on (net/core/filter.c, drivers/net/veth.c).
 *
 * @throws PilotfishError PF_INTERFACE when no packet could leave by this interface
 */
export async function checkEgress(name: string, mode: AttachOptions['mode'], log: Logger): Promise<void> {
  const link = await readDetails(name);
  if (link.link_type !== 'ether')
    throw new PilotfishError(
      'PF_INTERFACE',
      `egress ${name} carries no Ethernet frames, its type is ${link.link_type}`,
      {
        fix: 'set egress in agent.yaml to an Ethernet interface, or remove it',
      },
    );
  // In generic mode the kernel sends redirected packets as it sends its own.
  if (mode === 'generic') return;
  const kind = link.linkinfo?.info_kind;
  if (kind === undefined) {
    if (link.xdp === undefined)
      log.warn(
        { interface: name, check: CHECK },
        'most drivers send redirected frames only while some XDP program is attached to the egress interface, and none is',
      );
  } else if (!takesRedirected.includes(kind)) {
    throw new PilotfishError(
      'PF_INTERFACE',
      `egress ${name} is a ${kind}, which cannot send what XDP redirects to it`,
      {
        fix: `set egress in agent.yaml to the interface below ${name}, or set mode: generic`,
      },
    );
  } else if (kind === 'veth' && !(await peerHasProgram(link))) {
    log.warn(
      { interface: name, check: CHECK },
      'the egress interface is a veth: it sends only while its other end has an XDP program, or GRO on',
    );
  }
}

/** False also when the other end is in another network namespace, where nobody can look from here. */
async function peerHasProgram(link: {
  readonly link_index?: number;
  readonly link_netnsid?: number;
}): Promise<boolean> {
  if (link.link_netnsid !== undefined) return false;
  const peer = (await readLinks()).find(({ ifindex }) => ifindex === link.link_index);
  return peer !== undefined && (await readDetails(peer.ifname)).xdp !== undefined;
}
