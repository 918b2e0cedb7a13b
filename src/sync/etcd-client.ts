import { readFile } from 'node:fs/promises';
import type {
  IDuplexStream,
  ILeaseKeepAliveResponse,
  IOptions,
  IRangeRequest,
  IRangeResponse,
  IResponseHeader,
  ITxnRequest,
  ITxnResponse,
  IWatchRequest,
  IWatchResponse,
} from 'etcd3';
import { Etcd3 } from 'etcd3';
import { messageOf } from '../core/errors.ts';
import { StoreError, storeError } from './etcd-errors.ts';

export const DEFAULT_PREFIX = '/pilotfish/v1/';

/** No call to etcd may take longer, in milliseconds. */
export const CALL_TIMEOUT_MS = 3_000;

export interface EtcdOptions {
  /** `host:port`, or with `http://` or `https://` in front; one of them is used at a time. */
  readonly endpoints: readonly string[];
  /** Default `/pilotfish/v1/`; a missing slash at the end is added. */
  readonly prefix?: string;
  readonly auth?: { readonly username: string; readonly password: string };
  /** Each is a PEM text or the path of a PEM file. Files are read for each connection, so that they can be rotated. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
}

export type WatchStream = IDuplexStream<IWatchRequest, IWatchResponse>;
export type RangeResponse = IRangeResponse;
export type TxnRequest = ITxnRequest;
export type TxnResponse = ITxnResponse;
export type WatchResponse = IWatchResponse;

/** Where a store stands, as each of its answers says. */
export interface StorePoint {
  /** 64-bit id of the cluster, 16 hex digits as etcd’s own log writes it. */
  readonly clusterId: string;
  readonly revision: number;
}

type Policy = NonNullable<NonNullable<IOptions['faultHandling']>['global']>;
type CallOptions = Exclude<NonNullable<IOptions['defaultCallOptions']>, (...args: never[]) => unknown>;
type Interceptor = NonNullable<CallOptions['interceptors']>[number];
type Call = ReturnType<Parameters<Interceptor>[1]>;

/**
 * The client library would retry by itself and then close its channel under a running watch. Whoever calls decides
 * about retries, so that each call is tried once.
 */
const onlyOnce = {
  execute: async (action: (context: object) => unknown) => action({}),
} as unknown as Policy;

let clients = 0;

/** A connection to one endpoint. It is never repaired: after a failure, close it and connect a new one. */
export class EtcdClient {
  readonly endpoint: string;
  readonly #etcd: Etcd3;
  readonly #signal: AbortSignal;
  readonly #onAbort = () => this.close();
  readonly #calls = new Set<Call>();
  #token: string | undefined;
  #closed = false;

  /**
   * Reads the TLS files and logs in where the options say so. Without a login nothing has been sent yet when this
   * resolves. Throws StoreError.
   *
   * @param signal closes the client when it aborts, also later
   */
  static async connect(endpoint: string, options: EtcdOptions, signal: AbortSignal): Promise<EtcdClient> {
    const credentials = await readCredentials(endpoint, options);
    if (signal.aborted) {
      throw new StoreError('closed', endpoint, 'the request was given up');
    }
    let client: EtcdClient;
    try {
      client = new EtcdClient(endpoint, credentials, signal);
    } catch (error) {
      throw new StoreError('tls', endpoint, `the TLS files cannot be used: ${messageOf(error)}`, error);
    }
    try {
      await client.#worded(client.#login(options.auth));
      return client;
    } catch (error) {
      client.close();
      throw error;
    }
  }

  private constructor(endpoint: string, credentials: IOptions['credentials'], signal: AbortSignal) {
    this.endpoint = endpoint;
    this.#signal = signal;
    this.#etcd = new Etcd3({
      hosts: endpoint,
      ...(credentials === undefined ? {} : { credentials }),
      grpcOptions: {
        'grpc.keepalive_time_ms': 5_000,
        'grpc.keepalive_timeout_ms': 3_000,
        // gRPC refuses answers above 4 MiB otherwise, and a catch-up after an outage can be larger.
        'grpc.max_receive_message_length': -1,
        'grpc.enable_http_proxy': 0,
        // gRPC shares connections between channels whose options are equal; a fresh client must not inherit a dead one.
        'pilotfish.client': ++clients,
      },
      faultHandling: { global: onlyOnce, host: () => onlyOnce },
      defaultCallOptions: (context) => ({
        interceptors: [this.#intercept],
        ...(context.isStream ? {} : { deadline: Date.now() + CALL_TIMEOUT_MS }),
      }),
    });
    signal.addEventListener('abort', this.#onAbort);
  }

  range(request: IRangeRequest): Promise<IRangeResponse> {
    return this.#worded(this.#etcd.kv.range(request));
  }

  txn(request: ITxnRequest): Promise<ITxnResponse> {
    return this.#worded(this.#etcd.kv.txn(request));
  }

  /** @param ttlSeconds etcd raises values below its minimum (two seconds by default). */
  async grantLease(ttlSeconds: number): Promise<{ id: string; point: StorePoint }> {
    const answer = await this.#worded(this.#etcd.leaseClient.leaseGrant({ TTL: ttlSeconds, ID: 0 }));
    return { id: answer.ID, point: pointOf(answer.header) };
  }

  async revokeLease(id: string): Promise<void> {
    await this.#worded(this.#etcd.leaseClient.leaseRevoke({ ID: id }));
  }

  /** Renews a lease once. Throws StoreError of kind `lease-lost` when the store no longer knows it. */
  async renewLease(id: string): Promise<StorePoint> {
    const stream = await this.#worded(
      this.#etcd.leaseClient.leaseKeepAlive({ deadline: Date.now() + CALL_TIMEOUT_MS }),
    );
    const answer = await this.#worded(
      new Promise<ILeaseKeepAliveResponse>((resolve, reject) => {
        stream.on('data', resolve);
        stream.on('error', reject);
        stream.on('end', () => reject(new Error('UNAVAILABLE: the answer to a lease renewal is missing')));
        stream.write({ ID: id });
      }),
    ).finally(() => stream.cancel());
    if (Number(answer.TTL) <= 0) {
      throw storeError(new Error('requested lease not found'), this.endpoint);
    }
    return pointOf(answer.header);
  }

  /** The raw watch stream; without a deadline, so whoever uses it watches over its silence. */
  watch(): Promise<WatchStream> {
    return this.#worded(this.#etcd.watchClient.watch());
  }

  /** Cancels every running call; they throw StoreError of kind `closed`. Idempotent. */
  close(): void {
    if (this.#closed) {
      return;
    }
    this.#closed = true;
    this.#signal.removeEventListener('abort', this.#onAbort);
    for (const call of this.#calls) {
      call.cancelWithStatus(1, 'the client was closed');
    }
    this.#etcd.close();
  }

  /**
   * The library has its own login, but leaks a channel for each and sets no deadline; so the token is fetched and
   * added here.
   */
  async #login(auth: EtcdOptions['auth']): Promise<void> {
    if (auth === undefined) {
      return;
    }
    try {
      const answer = await this.#etcd.auth.authenticate({ name: auth.username, password: auth.password });
      this.#token = answer.token;
    } catch (error) {
      // A store whose authentication is switched off serves everybody, also those who know a password.
      if (!messageOf(error).includes('authentication is not enabled')) {
        throw error;
      }
    }
  }

  /** Adds what etcd expects as metadata, and remembers running calls so that `close` can end them. */
  readonly #intercept: Interceptor = (options, nextCall) => {
    const call = nextCall(options);
    const start = call.start.bind(call);
    call.start = (metadata, listener) => {
      metadata.set('hasleader', 'true');
      if (this.#token !== undefined) {
        metadata.set('token', this.#token);
      }
      this.#calls.add(call);
      start(metadata, {
        onReceiveMetadata: (received) => listener?.onReceiveMetadata?.(received),
        onReceiveMessage: (message) => listener?.onReceiveMessage?.(message),
        onReceiveStatus: (status) => {
          this.#calls.delete(call);
          // On etcd's own words the library would log in and repeat the call for ever; the login is not its business.
          const details = status.details.replace('invalid auth token', 'stale authentication token');
          listener?.onReceiveStatus?.({ ...status, details });
        },
      });
    };
    return call as ReturnType<Interceptor>;
  };

  async #worded<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      throw this.#closed
        ? new StoreError('closed', this.endpoint, 'the request was given up', error)
        : storeError(error, this.endpoint);
    }
  }
}

export function pointOf(header: IResponseHeader): StorePoint {
  return {
    clusterId: BigInt(header.cluster_id).toString(16).padStart(16, '0'),
    revision: Number(header.revision),
  };
}

/** The prefix of `options`, with exactly the one slash at its end that all relative keys rely on. */
export function prefixOf(options: EtcdOptions): string {
  const prefix = options.prefix ?? DEFAULT_PREFIX;
  return prefix === '' || prefix.endsWith('/') ? prefix : `${prefix}/`;
}

/** The first key after all keys that start with `prefix`; `prefix` is not empty and no byte of UTF-8 is 0xff. */
export function prefixEnd(prefix: string): Buffer {
  const end = Buffer.from(prefix);
  end[end.length - 1]! += 1;
  return end;
}

async function readCredentials(endpoint: string, options: EtcdOptions): Promise<IOptions['credentials']> {
  if (options.tls === undefined || endpoint.startsWith('http://')) {
    return undefined;
  }
  const [ca, cert, key] = await Promise.all([
    readPem(endpoint, options.tls.ca),
    readPem(endpoint, options.tls.cert),
    readPem(endpoint, options.tls.key),
  ]);
  // The library passes an absent CA on as "the system's own", though its type asks for one.
  return {
    rootCertificate: ca as Buffer,
    ...(cert === undefined ? {} : { certChain: cert }),
    ...(key === undefined ? {} : { privateKey: key }),
  };
}

async function readPem(endpoint: string, value: string | undefined): Promise<Buffer | undefined> {
  if (value === undefined || value.includes('-----BEGIN')) {
    return value === undefined ? undefined : Buffer.from(value);
  }
  try {
    return await readFile(value);
  } catch (error) {
    throw new StoreError('tls', endpoint, `the file ${value} cannot be read: ${messageOf(error)}`, error);
  }
}
