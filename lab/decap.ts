/** Other ways for a real to take the outer header off than decap.bpf.c: by code of others, or of no kinship with it. */
import { join } from 'node:path';
import { runIn } from './netns.ts';
import { packageRoot } from './paths.ts';
import { LabProcess } from './process.ts';
import type { Host } from './topology.ts';

/** Takes decap.bpf.c off. What follows is for a real without it. */
export async function stopDecap({ namespace, device }: Host): Promise<void> {
  await runIn(namespace, 'tc', ['filter', 'del', 'dev', device, 'ingress']);
}

/** IPIP and GUE, over both families, by a program in user space, sockets and a TUN device. Needs python3. */
export async function decapInUserSpace({ name, namespace, address, address6 }: Host, guePort: number): Promise<void> {
  const program = new LabProcess({
    name: `tun-decap-${name}`,
    namespace,
    command: 'python3',
    args: [join(packageRoot, 'lab/drivers/tun-decap.py'), address, address6, String(guePort)],
  });
  await program.start();
  await program.waitUntil(() => program.hasLogged('listening'), 'listens');
}

/** The first of two tables, of numbers that the kernel does not use. */
const TABLE = 100;

/**
 * IPv4 and IPv6 in IPv6, by the kernel’s own segment routing (RFC 8986): End.DX4 and End.DT6. Their routes have to come
 * before the local table, which knows the real’s address as well, and are for tunnel packets alone.
 */
export async function decapBySegmentRouting({ namespace, device, address6 }: Host): Promise<void> {
  const route = (table: number, action: string): string =>
    `route add ${address6}/128 table ${table} encap seg6local ${action} dev ${device}`;
  const commands = [
    'rule add pref 30 lookup local',
    `rule add pref 10 ipproto 4 lookup ${TABLE}`,
    `rule add pref 20 ipproto 41 lookup ${TABLE + 1}`,
    'rule del pref 0',
    // The next hop 0.0.0.0 stands for where the inner packet says.
    route(TABLE, 'action End.DX4 nh4 0.0.0.0'),
    route(TABLE + 1, 'action End.DT6 table local'),
  ];
  await runIn(namespace, 'ip', ['-6', '-batch', '-'], `${commands.join('\n')}\n`);
}
