/**
 * The desired state after parsing: checked, defaulted and canonical. Everything here is immutable data; how it
 * is written in a store or a file is the business of parse-state.ts.
 */

export const protocols = ['tcp', 'udp'] as const;
export type Protocol = (typeof protocols)[number];

export const encaps = ['ipip', 'gue', 'l2'] as const;
export type Encap = (typeof encaps)[number];

export const hashModes = ['5-tuple', 'source', 'dest-port'] as const;
/** What of a packet chooses the ring slot of a flow that is not remembered. */
export type HashMode = (typeof hashModes)[number];

export const quicModes = ['off', 'katran', 'quic-lb'] as const;
/** How a QUIC connection id carries the id of a real. */
export type QuicMode = (typeof quicModes)[number];

export const fragmentModes = ['drop', 'hash'] as const;
/** `hash`: a flow is a pair of addresses, so that fragments, which have no ports, find it. */
export type FragmentMode = (typeof fragmentModes)[number];

export const realStates = ['active', 'drain', 'maintenance'] as const;
export type RealState = (typeof realStates)[number];

export const onDownModes = ['keep', 'rehash'] as const;
export type OnDown = (typeof onDownModes)[number];

/** An IP address in canonical text: IPv4 dotted quad, IPv6 as RFC 5952 writes it. */
export type Address = string;

export interface Settings {
  /** 1 to 16 bytes as lower-case hex; keys the flow hash and the rings. */
  readonly seed: string;
  /** Prefixes that sources of outer headers are drawn from. */
  readonly outerSource: { readonly v4: string; readonly v6: string };
}

export interface Vip {
  readonly name: string;
  /** An address, or an aligned prefix such as `192.0.2.0/24`. The most specific VIP that matches a packet takes it. */
  readonly address: Address;
  /** 0 to 65535; 0 stands for every port. */
  readonly port: number;
  readonly protocol: Protocol;
  /** Name of a pool of the same snapshot. */
  readonly pool: string;
  readonly hash: HashMode;
  /** False: flows are not remembered. */
  readonly flowCache: boolean;
  /** A UDP flow is forgotten when it was silent for this long: 2 s to 30 min. */
  readonly udpTimeoutMs: number;
  readonly quic: QuicMode;
  /** TCP may carry the id of a real in option 0xB7. */
  readonly tcpServerId: boolean;
  /** UDP payloads may start with the id of a real. */
  readonly udpStableRouting: boolean;
  /** Whether echo requests to the address are answered; one VIP of the address that says no is enough. */
  readonly icmpEcho: boolean;
  readonly fragments: FragmentMode;
  /** Clients of these prefixes go to another pool; the longest match wins. Canonical, sorted by text, no prefix twice. */
  readonly clients: readonly { readonly prefix: string /** Name. */; readonly pool: string }[];
}

/** What checks of every type have. */
interface CheckBase {
  /** 1 to 65535; `null` means the VIP’s port, which parsing has already proven to be a single one. */
  readonly port: number | null;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Interval while the outcome is changing: between the first deviating result and the transition. */
  readonly fastIntervalMs: number;
  /** Interval while the real is down. */
  readonly downIntervalMs: number;
  /** Consecutive successes that turn a real up. */
  readonly rise: number;
  /** Consecutive failures that turn a real down. */
  readonly fall: number;
}

export interface TcpCheck extends CheckBase {
  readonly type: 'tcp';
}

export const httpMethods = ['GET', 'HEAD', 'OPTIONS'] as const;
export type HttpMethod = (typeof httpMethods)[number];

/** Status codes of HTTP, both ends included. */
export interface StatusRange {
  readonly from: number;
  readonly to: number;
}

/** A text, or a pattern as pattern-syntax.ts has it. */
export type BodyExpectation =
  | { readonly contains: string }
  | { readonly matches: string; readonly ignoreCase: boolean };

interface HttpRequestCheck extends CheckBase {
  readonly method: HttpMethod;
  /** Starts with a slash; printable ASCII without spaces. */
  readonly path: string;
  /** The Host header; `null` means the real’s address and port. */
  readonly host: string | null;
  /** In addition to what every request has; names in lower case. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Any of these will do. Never empty. */
  readonly status: readonly StatusRange[];
  readonly body: BodyExpectation | null;
}

export interface HttpCheck extends HttpRequestCheck {
  readonly type: 'http';
}

export interface HttpsCheck extends HttpRequestCheck {
  readonly type: 'https';
  /** The server name that the handshake asks for and the certificate has to have; `null` means the real’s address. */
  readonly sni: string | null;
  /** Whether a certificate that is expired, of another name or of an unknown issuer makes the check fail. */
  readonly verify: boolean;
}

export type Check = TcpCheck | HttpCheck | HttpsCheck;

export interface Real {
  readonly id: string;
  readonly address: Address;
  /** 0 to 1000; 0 takes no new flows. */
  readonly weight: number;
  readonly state: RealState;
  /** 1 to 2^32 - 1, ascending. No other real of the state has one of them. */
  readonly serverIds: readonly number[];
}

export interface Pool {
  readonly name: string;
  readonly encap: Encap;
  /** UDP destination port of outer headers; with encap `gue`. */
  readonly guePort: number;
  /** Whether outer UDP headers have a checksum; with encap `gue`. */
  readonly gueChecksum: boolean;
  /** Never empty. */
  readonly checks: readonly Check[];
  /** 0 to 1: less weight up than this, and every real that people have not drained counts as up. */
  readonly minHealthy: number;
  readonly onDown: OnDown;
  /** How long a real whose key vanished keeps its flows, in milliseconds. */
  readonly removeAfterMs: number;
  /** Sorted by address bytes, no address twice: the order that the ring is built in. */
  readonly reals: readonly Real[];
}

/**
 * The source’s own version of a state. The number alone does not order states: it restarts when a store is
 * restored or rebuilt, and then the generation (for etcd the cluster id) differs.
 */
export interface Revision {
  readonly generation: string;
  readonly number: number;
}

/** A key or file path that was refused, and the value that stays in force instead. */
export interface Rejection {
  /** Relative to the prefix (`desired/vips/web`), with the field where one is to blame (`desired/vips/web: port`). */
  readonly path: string;
  readonly value: string;
  readonly message: string;
  readonly fix: string;
  /** True when an earlier good value of the same key stays in force. */
  readonly keptLastGood: boolean;
}

export interface Snapshot {
  readonly revision: Revision;
  readonly settings: Settings;
  /** By name, in name order. */
  readonly vips: ReadonlyMap<string, Vip>;
  readonly pools: ReadonlyMap<string, Pool>;
  readonly rejected: readonly Rejection[];
}

/** The identity of a real across everything: pool and address, never its id or number. */
export type RealKey = `${string}|${Address}`;

export function realKey(pool: string, address: Address): RealKey {
  return `${pool}|${address}`;
}

/** What one LB has concluded about a real by its own checks. */
export type Observation = 'up' | 'down' | 'unknown';
