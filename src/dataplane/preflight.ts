import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { PilotfishError } from '../core/errors.ts';

/** What a kernel must at least be: 6.1, the oldest that the project is tested for. */
const MINIMUM = [6, 1] as const;

/** Bits of Linux capabilities (include/uapi/linux/capability.h) and what each is needed for. */
const CAPABILITIES = [
  { name: 'CAP_NET_ADMIN', bit: 12, why: 'attach to an interface' },
  { name: 'CAP_PERFMON', bit: 38, why: 'have the program verified without speculation barriers' },
  { name: 'CAP_BPF', bit: 39, why: 'load the program and make its maps' },
] as const;

/** @throws PilotfishError PF_KERNEL */
export function checkKernel(kernel: string = release()): void {
  const [major = 0, minor = 0] = kernel.split('.').map((part) => Number.parseInt(part, 10));
  if (major > MINIMUM[0] || (major === MINIMUM[0] && minor >= MINIMUM[1])) return;
  throw new PilotfishError('PF_KERNEL', `this kernel is ${kernel}; Pilotfish needs ${MINIMUM.join('.')} or newer`, {
    fix: 'boot a newer kernel (Debian 12 has 6.1)',
  });
}

/**
 * @param status text of /proc/self/status
 * @throws PilotfishError PF_CAPABILITY that names every capability that is missing
 */
export function checkCapabilities(status: string = readFileSync('/proc/self/status', 'utf8')): void {
  const hex = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0';
  const effective = BigInt(`0x${hex}`);
  const missing = CAPABILITIES.filter(({ bit }) => ((effective >> BigInt(bit)) & 1n) === 0n);
  if (missing.length === 0) return;
  const names = missing.map(({ name }) => name);
  throw new PilotfishError(
    'PF_CAPABILITY',
    `the process lacks ${missing.map(({ name, why }) => `${name} (to ${why})`).join(', ')}`,
    { fix: `run as root, or give the unit AmbientCapabilities=${names.join(' ')}` },
  );
}
