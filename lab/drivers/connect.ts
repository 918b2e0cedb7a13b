/** One TCP connection with one HTTP request, as the drivers make them. */
import { request } from 'node:http';

export interface Target {
  readonly address: string;
  readonly port: number;
  readonly path: string;
  /** For the whole exchange. */
  readonly timeoutMs: number;
}

/** Either `real` or `error` is set. */
export interface Connection {
  /** Wall clock at the start, in milliseconds: comparable between processes of one machine. */
  readonly start: number;
  /** From connect to the end of the answer. */
  readonly ms: number;
  /** What the real calls itself in X-Real. */
  readonly real?: string;
  /** An error code of the system, `TIMEOUT`, or `STATUS_` and the number. */
  readonly error?: string;
}

/** @param localPort source port; undefined: the kernel chooses */
export function connectOnce(target: Target, localPort?: number): Promise<Connection> {
  const start = Date.now();
  const begun = performance.now();
  return new Promise((resolve) => {
    const finish = (outcome: { real: string } | { error: string }) => {
      clearTimeout(timer);
      resolve({ start, ms: Math.round((performance.now() - begun) * 1000) / 1000, ...outcome });
    };
    const fail = (error: NodeJS.ErrnoException) => finish({ error: error.code ?? error.message });
    const { address, port, path } = target;
    const headers = { connection: 'close' };
    const asked = request(
      { host: address, port, path, headers, agent: false, ...(localPort && { localPort }) },
      (response) => {
        response.once('error', fail);
        response.once('end', () => {
          const real = response.headers['x-real'];
          if (response.statusCode !== 200) finish({ error: `STATUS_${response.statusCode}` });
          else finish(typeof real === 'string' ? { real } : { error: 'NO_X_REAL' });
        });
        response.resume();
      },
    );
    const timer = setTimeout(() => {
      asked.destroy(Object.assign(new Error('no answer in time'), { code: 'TIMEOUT' }));
    }, target.timeoutMs);
    asked.once('error', fail);
    asked.end();
  });
}
