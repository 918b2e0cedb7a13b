import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { connect, createServer } from 'node:net';

/** A TCP relay on 127.0.0.1 whose connections a test can cut, freeze or meter. */
export class TcpProxy implements AsyncDisposable {
  readonly endpoint: string;
  readonly #server: ReturnType<typeof createServer>;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  /** Called with each piece that the server sends; may cut. */
  onServerData: ((total: number) => void) | undefined;
  /** Connections that came. */
  accepted = 0;
  #fromServer = 0;
  #frozen = false;
  /** True: new connections are closed at once, as if nobody listened. */
  refusing = false;

  /** @param target `host:port` */
  static async start(target: string): Promise<TcpProxy> {
    const server = createServer({ pauseOnConnect: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new TcpProxy(server, target);
  }

  private constructor(server: ReturnType<typeof createServer>, target: string) {
    this.#server = server;
    this.endpoint = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const [host, port] = target.split(':') as [string, string];
    server.on('connection', (client) => {
      this.accepted++;
      if (this.refusing) {
        client.resetAndDestroy();
      } else {
        this.#relay(client, connect(Number(port), host));
      }
    });
  }

  /** Ends every connection of the moment at once with a reset; new ones are accepted. */
  cut(): void {
    for (const pair of this.#pairs) {
      for (const socket of pair) {
        socket.resetAndDestroy();
      }
    }
    this.#pairs.clear();
    this.#fromServer = 0;
  }

  /** Passes nothing on in either direction while the connections stay open, like a half-open path. */
  freeze(): void {
    this.#frozen = true;
    for (const socket of [...this.#pairs].flat()) {
      socket.pause();
    }
  }

  /** Passes on what clients say, and nothing that the server says on the connections of the moment. */
  mute(): void {
    for (const [, server] of this.#pairs) {
      server.pause();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #relay(client: Socket, server: Socket): void {
    const pair = [client, server] as const;
    this.#pairs.add(pair);
    for (const [from, to] of [pair, [server, client] as const]) {
      from.on('data', (piece) => {
        if (from === server) {
          this.#fromServer += piece.length;
          this.onServerData?.(this.#fromServer);
        }
        to.write(piece);
      });
      from.on('error', () => to.destroy());
      from.on('close', () => {
        to.destroy();
        this.#pairs.delete(pair);
      });
    }
    if (this.#frozen) {
      server.pause();
    } else {
      client.resume();
    }
  }
}
