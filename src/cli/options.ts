import { readConfig } from '../config.ts';
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

/** @throws PilotfishError PF_CONFIG, PF_USAGE */
export function etcdOptions({ config, etcd, prefix }: StoreOptions): EtcdOptions {
  const wanted = prefix === undefined ? {} : { prefix };
  if (etcd !== undefined) return { endpoints: endpointsOf(etcd), ...wanted };
  try {
    return { ...readConfig(config ?? defaultConfigPath).source.etcd, ...wanted };
  } catch (error) {
    if (config !== undefined || !(error instanceof PilotfishError)) throw error;
    throw new PilotfishError('PF_USAGE', `no store is named, and ${error.message}`, {
      fix: 'name it with --etcd 127.0.0.1:2379, or name an agent’s configuration with --config',
      cause: error,
    });
  }
}

function endpointsOf(text: string): string[] {
  const endpoints = text.split(',').map((endpoint) => endpoint.trim());
  if (!endpoints.includes('')) return endpoints;
  throw new PilotfishError('PF_USAGE', `--etcd "${text}" has an empty endpoint`, {
    fix: 'write host and client port, such as 127.0.0.1:2379',
  });
}
