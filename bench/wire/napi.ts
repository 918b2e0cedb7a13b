import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { PilotfishError } from '../../src/core/errors.ts';

/** Name of a process; null when it has ended since it was listed. */
function nameOf(pid: string): string | null {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8');
  } catch {
    return null;
  }
}

function threadOf(device: string): string {
  const thread = readdirSync('/proc').find((pid) => /^\d+$/.test(pid) && nameOf(pid)?.startsWith(`napi/${device}-`));
  if (thread !== undefined) return thread;
  throw new PilotfishError('PF_KERNEL', `${device} has no thread that receives its packets`, {
    fix: 'use a kernel with threaded NAPI (5.12 or newer)',
  });
}

/**
 * The kernel thread that receives a device’s packets, instead of whichever CPU sends them: what it runs is accounted for
 * by itself, to the nanosecond and without what else the CPU does.
 */
export class NapiThread {
  readonly #pid: string;

  /**
   * Before anything else that is not of the real-time class: woken by a burst it runs at once, so that the ring of the
   * veth (256 frames) does not overflow.
   *
   * @param device with one receive queue and an XDP program, in the namespace that /sys was mounted in
   */
  static start(device: string, cpu: number): NapiThread {
    writeFileSync(`/sys/class/net/${device}/threaded`, '1');
    const pid = threadOf(device);
    execFileSync('taskset', ['--pid', '--cpu-list', `${cpu}`, pid], { stdio: 'pipe' });
    execFileSync('chrt', ['--fifo', '--pid', '1', pid], { stdio: 'pipe' });
    return new NapiThread(pid);
  }

  private constructor(pid: string) {
    this.#pid = pid;
  }

  /** CPU time so far. */
  ns(): number {
    return Number(readFileSync(`/proc/${this.#pid}/schedstat`, 'utf8').split(' ')[0]);
  }
}
