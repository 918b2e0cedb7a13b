import type { Snapshot } from '../src/core/model.ts';
import { parseState } from '../src/core/parse-state.ts';
import type { HostImage } from '../src/core/target.ts';

/** What stands in for the host’s interface. */
export const host: HostImage = {
  mtu: 1500,
  gatewayMac: '02:00:00:00:00:01',
  ownMac: '02:00:00:00:00:02',
  local: new Set(),
  neighbours: new Map(),
  tunnels: [],
  own: new Set(),
};

/** A desired state that must be taken whole. @throws when a key is rejected */
export function snapshotOf(values: ReadonlyMap<string, object>): Snapshot {
  const texts = new Map([...values].map(([key, value]) => [key, JSON.stringify(value)]));
  const { snapshot } = parseState(texts, { generation: 'bench', number: 1 }, null);
  for (const { path, value, message } of snapshot.rejected) throw new Error(`${path} ${value}: ${message}`);
  return snapshot;
}
