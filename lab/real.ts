/** A real of the lab: nginx in a namespace, behind the decapsulation that network.ts attached. */
import { mkdir, open, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { listening, type UdpServerJob } from './drivers/listen-udp.ts';
import type { QuicServerJob } from './drivers/quic-server.ts';
import { namespaceInode, runIn } from './netns.ts';
import { driverFile, runDir } from './paths.ts';
import { LabProcess } from './process.ts';
import { type Host, routerNamespace } from './topology.ts';

export const realPorts = [80, 8080] as const;

/** Bytes of /large, which every real serves: long enough to be in transit while something is tried. */
export const largeFileBytes = 20 * 1024 * 1024;

const www = join(runDir, 'www');

/** One process and no master, so that a kill leaves nothing behind that would still answer. */
function nginxConfig(name: string): string {
  const folders = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return `
user root;
daemon off;
master_process off;
pid nginx.pid;
events { worker_connections 8192; }
http {
  ${folders.map((folder) => `${folder}_temp_path tmp/${folder};`).join('\n  ')}
  access_log access.log;
  default_type text/plain;
  client_max_body_size 0;
  add_header X-Real ${name} always;
  server {
    ${realPorts.map((port) => `listen 0.0.0.0:${port} backlog=4096;\n    listen [::]:${port} ipv6only=on backlog=4096;`).join('\n    ')}
    location = /healthz { access_log off; return 200 "ok\\n"; }
    # Bytes per second by the query (?rate=65536), unlimited without.
    location = /large { alias ${join(www, 'large')}; limit_rate $arg_rate; }
    # 201 or 204, once the whole body has arrived.
    location = /upload { alias ${join(runDir, name, 'upload')}; dav_methods PUT; }
    location / { return 200 "${name}: $remote_addr:$remote_port asked $server_addr:$server_port\\n"; }
  }
}
`;
}

/** Zeros, and a hole in the file system: it costs no memory. */
export async function makeLargeFile(): Promise<void> {
  await mkdir(www, { recursive: true });
  await using file = await open(join(www, 'large'), 'w');
  await file.truncate(largeFileBytes);
}

/** Whether a TCP port is listened on in a namespace; seen from outside, so that it works on an isolated real too. */
async function hasListener(namespace: string, pid: number, port: number): Promise<boolean> {
  const entered = (await stat(`/proc/${pid}/ns/net`)).ino === (await namespaceInode(namespace));
  if (!entered) return false;
  const table = await readFile(`/proc/${pid}/net/tcp`, 'utf8');
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return table.split('\n').some((line) => {
    const [, address, , state] = line.trim().split(/\s+/);
    return state === '0A' && address?.endsWith(local);
  });
}

export class LabReal {
  readonly host: Host;
  readonly #directory: string;
  readonly #process: LabProcess;

  constructor(host: Host) {
    this.host = host;
    this.#directory = join(runDir, host.name);
    this.#process = new LabProcess({
      name: `nginx-${host.name}`,
      namespace: host.namespace,
      command: 'nginx',
      args: ['-p', this.#directory, '-c', 'nginx.conf', '-e', 'error.log'],
    });
  }

  get name(): string {
    return this.host.name;
  }

  get address(): string {
    return this.host.address;
  }

  pid(): Promise<number | null> {
    return this.#process.pid();
  }

  /** Starts nginx, for the first time or again. */
  async start(): Promise<void> {
    await mkdir(join(this.#directory, 'tmp'), { recursive: true });
    await writeFile(join(this.#directory, 'nginx.conf'), nginxConfig(this.name));
    await this.#process.start();
    await this.#process.waitUntil((pid) => hasListener(this.host.namespace, pid, realPorts[0]), 'listens');
  }

  /** Stops nginx at once: the host lives on, new connections are refused, open ones are cut. */
  kill(): Promise<void> {
    return this.#process.end('SIGKILL');
  }

  /** As an init system stops it; being one process, nginx cuts what it is serving. */
  stop(): Promise<void> {
    return this.#process.end('SIGTERM');
  }

  /** Starts a UDP server beside nginx; it ends with the lab. */
  async serve(driver: 'udp-echo', job: Omit<UdpServerJob, 'name'>): Promise<void>;
  async serve(driver: 'quic-server', job: Omit<QuicServerJob, 'name'>): Promise<void>;
  async serve(driver: string, job: Omit<UdpServerJob, 'name'>): Promise<void> {
    const server = new LabProcess({
      name: `${driver}-${this.name}-${job.addresses[0]}-${job.port}`,
      namespace: this.host.namespace,
      command: process.execPath,
      args: [driverFile(driver), JSON.stringify({ name: this.name, ...job })],
    });
    await server.start();
    await server.waitUntil(() => server.hasLogged(listening), 'listens');
  }

  /** Pulls the cable: the router finds no carrier, and nothing comes or goes. */
  async isolate(): Promise<void> {
    await runIn(routerNamespace, 'ip', ['link', 'set', this.host.port, 'down']);
  }

  async rejoin(): Promise<void> {
    await runIn(routerNamespace, 'ip', ['link', 'set', this.host.port, 'up']);
  }
}
