import type { LinkInfo, NativeLink, NativeProgram, NativeTestRun, ProgramInfo, TestRunResult } from './binding.ts';
import { attempt, attemptAsync, type Doing } from './errors.ts';
import { pin } from './pin.ts';

export interface TestRunOptions {
  /** An Ethernet frame of at least 14 bytes; without multi-buffer support the kernel takes at most about 3,500. */
  readonly data: Uint8Array;
  /** Rounds; default 1. The frame is not restored between them. Of live frames: how many. */
  readonly repeat?: number;
  /** Room for the frame that comes out; default 4,096 more than goes in. */
  readonly dataOutSize?: number;
  /** The CPU to run on: the calling thread, or that of the worker pool, goes there for the call. */
  readonly cpu?: number;
  /** What the program sees as the receiving interface; it must have an XDP program attached. */
  readonly ingressIfindex?: number;
  /** Really do what the verdicts say (BPF_F_TEST_XDP_LIVE_FRAMES): TX sends on the receiving interface. */
  readonly liveFrames?: boolean;
  /** Live frames at once, 1 to 256; default 64. */
  readonly batchSize?: number;
}

/** Interfaces whose driver runs XDP itself, or any (slower, after the kernel has built its packet). */
export type XdpMode = 'driver' | 'generic';

/** XDP_FLAGS_DRV_MODE and XDP_FLAGS_SKB_MODE of linux/if_link.h. */
const xdpFlags: Readonly<Record<XdpMode, number>> = { driver: 1 << 2, generic: 1 << 1 };

const attachFixes = {
  EBUSY: 'Another XDP program is attached there: detach it first (ip link set dev <interface> xdp off).',
  EEXIST: 'An XDP program is attached there in the other mode: detach it first, or use its mode.',
  EINVAL: 'Lower the MTU of the interface (3,506 bytes is the most on common drivers), or attach in generic mode.',
  ENODEV: 'Name an interface of this network namespace.',
  ENOSPC: 'Give both ends of a veth pair equally many queues.',
  EOPNOTSUPP: 'The driver has no native XDP: attach in generic mode.',
  ERANGE: 'Lower the MTU of the interface (3,506 bytes is the most on common drivers), or attach in generic mode.',
};

export class BpfProgram {
  readonly #native: NativeProgram;
  readonly #doing: Doing;
  readonly info: ProgramInfo;

  /** @internal Use BpfObject.program or openPinnedProgram. */
  constructor(native: NativeProgram) {
    this.#native = native;
    this.info = native.info();
    this.#doing = { code: 'PF_PROGRAM', what: `program ${this.info.name}` };
  }

  get id(): number {
    return this.info.id;
  }

  get fd(): number {
    return attempt(this.#doing, () => this.#native.fd());
  }

  /** Attaches for as long as the link, or a pin of it, lives. @throws PilotfishError PF_ATTACH */
  attachXdp(ifindex: number, mode: XdpMode): BpfLink {
    const what = `attaching ${this.#doing.what} to interface ${ifindex} in ${mode} mode`;
    const doing: Doing = { code: 'PF_ATTACH', what, fixes: attachFixes };
    return attempt(doing, () => new BpfLink(this.#native.attachXdp(ifindex, xdpFlags[mode])));
  }

  /** Runs the program on one frame without attaching it (BPF_PROG_TEST_RUN). */
  testRun(options: TestRunOptions): TestRunResult {
    return attempt(this.#doing, () => this.#native.testRun(...testRunArguments(options)));
  }

  /** The same on the worker pool, for long runs. */
  testRunAsync(options: TestRunOptions): Promise<TestRunResult> {
    return attemptAsync(this.#doing, () => this.#native.testRunAsync(...testRunArguments(options)));
  }

  pin(path: string): void {
    pin(this.#native, this.#doing.what, path);
  }

  close(): void {
    this.#native.close();
  }
}

function testRunArguments(options: TestRunOptions): NativeTestRun {
  return [
    options.data,
    options.repeat ?? 1,
    options.dataOutSize ?? options.data.length + 4096,
    options.cpu ?? null,
    options.ingressIfindex ?? 0,
    options.liveFrames ?? false,
    options.batchSize ?? 0,
  ];
}

export class BpfLink {
  readonly #native: NativeLink;
  readonly #doing: Doing = { code: 'PF_ATTACH', what: 'XDP link' };

  /** @internal Use BpfProgram.attachXdp or openPinnedLink. */
  constructor(native: NativeLink) {
    this.#native = native;
  }

  get info(): LinkInfo {
    return attempt(this.#doing, () => this.#native.info());
  }

  /** Puts another program in place; no packet goes without one. Takes up to 0.1 s, in which route changes wait. */
  update(program: BpfProgram): void {
    attempt(this.#doing, () => this.#native.update(program.fd));
  }

  /** Ends the attachment although handles or pins remain. */
  detach(): void {
    attempt(this.#doing, () => this.#native.detach());
  }

  pin(path: string): void {
    pin(this.#native, this.#doing.what, path);
  }

  /** Detaches when this is the last handle and there is no pin. */
  close(): void {
    this.#native.close();
  }
}
