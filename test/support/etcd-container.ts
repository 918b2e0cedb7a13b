import { GenericContainer, type StartedTestContainer, Wait } from 'testcontainers';
import type { EtcdFlags, EtcdServer } from './etcd.ts';

const IMAGE = 'quay.io/coreos/etcd:v3.5.16';
const CLIENT_PORT = 2379;

/** A real etcd server in a container, for machines that have a container engine and no etcd. */
export class EtcdContainer implements EtcdServer {
  readonly endpoint: string;
  readonly #container: StartedTestContainer;

  static async start(flags: EtcdFlags): Promise<EtcdContainer> {
    const listen = `http://0.0.0.0:${CLIENT_PORT}`;
    const container = await new GenericContainer(IMAGE)
      .withExposedPorts(CLIENT_PORT)
      .withCommand([
        'etcd',
        ...['--listen-client-urls', listen],
        ...['--advertise-client-urls', listen],
        ...['--initial-cluster-token', flags.token ?? 'pilotfish-test'],
        ...(flags.extra ?? []),
      ])
      .withWaitStrategy(Wait.forLogMessage(/ready to serve client requests/))
      .start();
    return new EtcdContainer(container);
  }

  private constructor(container: StartedTestContainer) {
    this.#container = container;
    this.endpoint = `${container.getHost()}:${container.getMappedPort(CLIENT_PORT)}`;
  }

  async ctl(...args: string[]): Promise<string> {
    const { output, exitCode } = await this.#container.exec(['etcdctl', ...args]);
    if (exitCode !== 0) {
      throw new Error(`etcdctl ${args.join(' ')}: ${output}`);
    }
    return output;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#container.stop();
  }
}
