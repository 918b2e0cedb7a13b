import { readdirSync, readFileSync } from 'node:fs';

/** Local and remote IPv4 sockets of a port in state TIME_WAIT. */
export function timeWaits(port: number): number {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  return readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, remote, state]) => state === '06' && (local?.endsWith(`:${hex}`) || remote?.endsWith(`:${hex}`)))
    .length;
}

/** Descriptors that this process holds. */
export function descriptors(): number {
  return readdirSync('/proc/self/fd').length;
}
