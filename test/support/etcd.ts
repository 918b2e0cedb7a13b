import { spawnSync } from 'node:child_process';
import type { Need } from './require.ts';
import { need } from './require.ts';

export interface EtcdFlags {
  /** The cluster token; with the same token and addresses a wiped store keeps its cluster id. */
  readonly token?: string;
  readonly extra?: readonly string[];
  /** Paths of PEM files; clients then have to speak TLS. */
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string };
}

/** A real etcd server of one member. */
export interface EtcdServer extends AsyncDisposable {
  /** `host:port` */
  readonly endpoint: string;
  /** Runs etcdctl against this server; resolves with its standard output, throws when it fails. */
  ctl(...args: string[]): Promise<string>;
}

/** For tests that stop, freeze or wipe the server, which only a process of our own allows. */
export const needEtcdProcess = (): Need => need('etcd', 'etcdctl');

/** Whether real etcd servers can be had: as a program, or else in a container. */
export function needEtcd(): Need {
  const program = needEtcdProcess();
  if (program.ok) {
    return program;
  }
  const engine = spawnSync('docker', ['info'], { stdio: 'ignore', timeout: 5_000 });
  return engine.status === 0
    ? { ok: true }
    : { ok: false, reason: `${program.reason}, and no container engine answers` };
}

/** Starts a server in whichever way `needEtcd` found; dispose of it at the end of the test. */
export async function startEtcd(flags: EtcdFlags = {}): Promise<EtcdServer> {
  if (needEtcdProcess().ok) {
    const { EtcdProcess } = await import('./etcd-process.ts');
    return EtcdProcess.start(flags);
  }
  const { EtcdContainer } = await import('./etcd-container.ts');
  return EtcdContainer.start(flags);
}
