import { type AgentConfig, readConfig } from '../config.ts';
import { defaultLimits, type StateLimits } from '../core/admission.ts';
import { PilotfishError } from '../core/errors.ts';
import type { EtcdOptions } from '../sync/etcd-client.ts';
import { defaultConfigPath } from './config-path.ts';

/** How a command that reads or writes the store is told where it is. */
export interface StoreOptions {
  /** Of an agent on this host; its store is meant. */
  readonly config?: string;
  /** Endpoints, separated by commas. */
  readonly etcd?: string;
  readonly prefix?: string;
}

export interface StorePlace {
  readonly etcd: EtcdOptions;
  /** Those of the configuration that names the store, else the defaults. */
  readonly limits: StateLimits;
}

export interface FilePlace {
  readonly file: string;
  readonly limits: StateLimits;
}

/**
 * The store to use.
 * @throws PilotfishError PF_CONFIG, PF_USAGE; also when the state is a file
 */
export function storePlace(options: StoreOptions): StorePlace {
  const place = statePlace(options);
  if ('etcd' in place) return place;
  throw new PilotfishError('PF_USAGE', `the desired state is the file ${place.file}: there is no store, and no fleet`, {
    fix: `edit the file (\`pilotfish check -f ${place.file}\` shows its mistakes), or name a store with --etcd`,
  });
}

/**
 * Where the desired state is: a store, or the file of the agent on this host.
 * @throws PilotfishError PF_CONFIG, PF_USAGE
 */
export function statePlace({ config, etcd, prefix }: StoreOptions): StorePlace | FilePlace {
  const wanted = prefix === undefined ? {} : { prefix };
  if (etcd !== undefined) return { etcd: { endpoints: endpointsOf(etcd), ...wanted }, limits: defaultLimits };
  const { source, limits } = configOf(config);
  if ('etcd' in source) return { etcd: { ...source.etcd, ...wanted }, limits };
  if (prefix === undefined) return { ...source, limits };
  throw new PilotfishError(
    'PF_USAGE',
    `--prefix "${prefix}" is for a store, and the desired state is the file ${source.file}`,
    {
      fix: 'leave it out, or name a store with --etcd',
    },
  );
}

function configOf(config: string | undefined): AgentConfig {
  try {
    return readConfig(config ?? defaultConfigPath);
  } catch (error) {
    if (config !== undefined || !(error instanceof PilotfishError)) throw error;
    throw new PilotfishError('PF_USAGE', `no store is named, and ${error.message}`, {
      fix: 'name it with --etcd 127.0.0.1:2379, or name an agent’s configuration with --config',
      cause: error,
    });
  }
}

/**
 * @param timeout seconds to wait at most, as is `quiet`
 * @param quiet how long nothing must come until the wait is over
 * @throws PilotfishError PF_USAGE when the wait could not but fail
 */
export function refuseShortWait(timeout: number, quiet: number): void {
  if (timeout > quiet) return;
  throw new PilotfishError('PF_USAGE', `--timeout ${timeout} leaves no time for ${quiet} s without a packet`, {
    fix: `write --timeout ${quiet + 1} or more`,
  });
}

function endpointsOf(text: string): string[] {
  const endpoints = text.split(',').map((endpoint) => endpoint.trim());
  if (!endpoints.includes('')) return endpoints;
  throw new PilotfishError('PF_USAGE', `--etcd "${text}" has an empty endpoint`, {
    fix: 'write host and client port, such as 127.0.0.1:2379',
  });
}
