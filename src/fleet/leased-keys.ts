/** Keys that live as long as this process does, in whichever store. Keys are relative to the prefix. */
export interface LeasedKeys {
  /**
   * Grants a new lease and keeps it alive until it is released, abandoned or lost.
   *
   * @param ttlSeconds how long its keys outlive a process that died
   * @throws PilotfishError when the store does not serve
   */
  grant(ttlSeconds: number): Promise<Lease>;
  /** Gives up what is running and releases the connection. */
  close(): void;
}

export interface Lease {
  /** Resolves with the reason when the lease no longer holds its keys; never rejects. */
  readonly lost: Promise<string>;
  /**
   * Creates `key` under this lease if nobody holds it, or takes it over if `isMine` says that its present value is our
   * own.
   *
   * @returns null when the key is ours, else the value of its holder
   */
  claim(key: string, value: string, isMine: (value: string) => boolean): Promise<string | null>;
  /**
   * Writes under this lease, null deletes, but only as long as `claimed` is still held by it; otherwise nothing is
   * written, the lease counts as lost, and this throws.
   */
  write(claimed: string, changes: ReadonlyMap<string, string | null>): Promise<void>;
  /** Ends the lease; its keys vanish at once. Throws when the store does not serve: they then vanish with the TTL. */
  release(): Promise<void>;
  /** Stops keeping it alive; its keys vanish with the TTL unless another lease takes them over. */
  abandon(): void;
}
