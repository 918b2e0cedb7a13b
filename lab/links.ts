/** Links that are narrower than what stands at their ends. */
import { ipBatch, runIn } from './netns.ts';
import { type Host, routerNamespace } from './topology.ts';

/**
 * From now on no packet of more than `mtu` bytes reaches the host: the router tells the sender, as it does before a link of
 * that MTU. The host’s own device stays as it is, so that it promises more than the way can carry.
 */
export async function narrowPathTo({ address, address6, routerDevice }: Host, mtu: number): Promise<void> {
  await ipBatch(
    [
      `route replace ${address}/32 dev ${routerDevice} mtu ${mtu}`,
      `route replace ${address6}/128 dev ${routerDevice} mtu ${mtu}`,
    ],
    routerNamespace,
  );
}

/** What a host takes for the MTU of its path to an address now; of its device, as long as nobody has told it less. */
export async function pathMtu({ namespace, mtu }: Host, to: string, from?: string): Promise<number> {
  const args = ['-json', 'route', 'get', to, ...(from === undefined ? [] : ['from', from])];
  const [route] = JSON.parse(await runIn(namespace, 'ip', args)) as { metrics?: { mtu?: number }[] }[];
  return route?.metrics?.[0]?.mtu ?? mtu;
}

/** What the host was told about paths is void. */
export async function forgetPathMtus({ namespace }: Host): Promise<void> {
  for (const family of ['-4', '-6']) await runIn(namespace, 'ip', [family, 'route', 'flush', 'cache']);
}
