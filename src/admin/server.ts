import { chmodSync, mkdirSync, unlinkSync } from 'node:fs';
import type { Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import type { Logger } from 'pino';
import { PilotfishError } from '../core/errors.ts';

/** What the admin API tells. It only reads: changes go through the store. */
export interface AdminView {
  /** Empty when this LB forwards what it should; else what is missing. */
  notReady(): readonly string[];
  /** Plain data for GET /v1/state. */
  state(): unknown;
  /**
   * Plain data for GET /v1/explain.
   * @param flow in words
   * @throws PilotfishError PF_USAGE when they are no flow; another when it cannot be explained now
   */
  explain(flow: string): unknown;
}

function send(response: ServerResponse, status: number, body: unknown): void {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  response.writeHead(status, {
    'content-type': typeof body === 'string' ? 'text/plain; charset=utf-8' : 'application/json',
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}

/** Words that are no flow are the asker's mistake; all else that is foreseen passes by itself. */
function explain(view: AdminView, flow: string, response: ServerResponse): void {
  try {
    send(response, 200, view.explain(flow));
  } catch (error) {
    if (!(error instanceof PilotfishError)) throw error;
    send(response, error.code === 'PF_USAGE' ? 400 : 503, `${error.describe()}\n`);
  }
}

function answer(view: AdminView, url: string, response: ServerResponse): void {
  const [path = '', query] = url.split('?', 2);
  switch (path) {
    case '/healthz':
      send(response, 200, 'ok\n');
      break;
    case '/readyz': {
      const missing = view.notReady();
      send(response, missing.length === 0 ? 200 : 503, `${missing.length === 0 ? 'ready' : missing.join('\n')}\n`);
      break;
    }
    case '/v1/state':
      send(response, 200, view.state());
      break;
    case '/v1/explain':
      explain(view, new URLSearchParams(query).get('flow') ?? '', response);
      break;
    default:
      send(response, 404, `no ${path} here; try /healthz /readyz /v1/state /v1/explain?flow=\n`);
  }
}

/** Is somebody listening on this socket, or is it left over from an agent that died? */
function isLive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** Admin API on a unix socket that only root and its group can open. */
export class AdminServer {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @throws PilotfishError PF_CONFIG: the socket cannot be made, or another agent answers on it */
  static async listen(path: string, view: AdminView, log: Logger): Promise<AdminServer> {
    if (await isLive(path))
      throw new PilotfishError('PF_CONFIG', `another agent answers on ${path}`, {
        fix: 'stop it first, or give this one another admin.socket, name and pinDir',
      });
    const server = createServer((request, response) => {
      if (request.method !== 'GET' && request.method !== 'HEAD') {
        send(response, 405, 'the admin API only reads; changes go through the store\n');
        return;
      }
      try {
        answer(view, request.url ?? '/', response);
      } catch (err) {
        log.error({ err, path: request.url }, 'admin request failed');
        send(response, 500, 'internal error; see the log\n');
      }
    });
    try {
      mkdirSync(dirname(path), { recursive: true });
      unlinkSync(path);
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code !== 'ENOENT')
        throw new PilotfishError('PF_CONFIG', `admin.socket ${path} cannot be made: ${(err as Error).message}`, {
          fix: 'choose a path in a directory that the agent may write',
          cause: err,
        });
    }
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause) =>
        reject(
          new PilotfishError('PF_CONFIG', `admin.socket ${path} cannot be made: ${cause.message}`, {
            fix: 'choose a path in a directory that the agent may write',
            cause,
          }),
        ),
      );
      server.listen(path, resolve);
    });
    chmodSync(path, 0o660);
    return new AdminServer(server);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
