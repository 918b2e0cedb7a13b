import { parseConfig } from '../../src/config.ts';
import { PilotfishError } from '../../src/core/errors.ts';

/** Settings of an agent as tests write them. */

/** As few as will do. */
export const least = { name: 'lb1', interface: 'eth0', source: { etcd: { endpoints: ['127.0.0.1:2379'] } } };

/** The same with other settings of etcd. */
export function etcd(changes: object): object {
  return { ...least, source: { etcd: { ...least.source.etcd, ...changes } } };
}

/** Why these are refused; fails when they are not. */
export function failure(tree: unknown): PilotfishError {
  try {
    parseConfig(tree, 'agent.yaml');
  } catch (error) {
    if (error instanceof PilotfishError) return error;
    throw error;
  }
  throw new Error('the configuration was accepted');
}
