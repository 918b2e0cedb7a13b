/**
 * Every error a person can meet. `code` is stable and documented in docs/reference/errors.md (a test
 * compares the two lists); the message says what, where and the value, `fix` says what to do about it.
 */
export const errorCodes = {
  PF_USAGE: 'wrong command line',
  PF_CONFIG: 'the agent’s own configuration cannot be used',
  PF_STATE: 'the desired state has mistakes',
  PF_CAPABILITY: 'the process lacks a capability',
  PF_KERNEL: 'the kernel is too old or lacks a feature',
  PF_INTERFACE: 'the interface cannot be used',
  PF_GATEWAY: 'there is no usable gateway',
  PF_BPFFS: 'the pin directory is not on a bpf file system',
  PF_OBJECT: 'the BPF object file cannot be opened',
  PF_VERIFIER: 'the kernel refused the program',
  PF_LAYOUT: 'the BPF object and this build disagree about a struct',
  PF_MAP: 'a map operation failed',
  PF_MAP_FULL: 'a map is full',
  PF_PROGRAM: 'a loaded program cannot be run or examined',
  PF_ATTACH: 'the program cannot be attached',
  PF_PIN: 'a pin cannot be made, opened or removed',
  PF_ADDON: 'the native addon cannot be loaded',
  PF_STORE: 'the store refused or failed a request',
  PF_LB_NAME: 'another live LB has this name',
  PF_AGENT: 'the agent on this host does not answer',
  PF_ANNOUNCE: 'this LB cannot be taken out of the routers’ paths, or back',
  PF_PCAP: 'a capture file cannot be used',
  PF_LAB: 'the lab cannot be built or used',
} as const;

export type ErrorCode = keyof typeof errorCodes;

export interface ErrorDetails {
  /** What the reader should do next; one sentence. */
  readonly fix?: string;
  /** True when the same call may succeed later without anybody changing anything. */
  readonly retryable?: boolean;
  readonly cause?: unknown;
}

export class PilotfishError extends Error {
  override readonly name = 'PilotfishError';
  readonly code: ErrorCode;
  readonly fix: string | undefined;
  readonly retryable: boolean;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.fix = details.fix;
    this.retryable = details.retryable ?? false;
  }

  /** The two lines a terminal or a log shows. */
  describe(): string {
    return this.fix === undefined
      ? `${this.code}: ${this.message}`
      : `${this.code}: ${this.message}\n  fix: ${this.fix}`;
  }
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
