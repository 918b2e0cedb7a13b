import { readFileSync } from 'node:fs';
import type * as z from 'zod';
import { maybe, readPath } from './config-fields.ts';
import { messageOf } from './core/errors.ts';
import { field, fields, list, optional, readText, report } from './core/fields.ts';
import { Mistake } from './core/mistake.ts';

/** Where the desired state comes from. */
export type SourceConfig = { readonly etcd: EtcdConfig } | { /** An absolute path. */ readonly file: string };

export interface EtcdConfig {
  /** `host:port`, with or without `http://` or `https://`. */
  readonly endpoints: readonly string[];
  /** Ends with a slash. */
  readonly prefix: string;
  readonly auth?: { readonly username: string; readonly password: string };
  /** Paths of PEM files. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
}

function readEndpoint(value: unknown): string | Mistake {
  if (typeof value === 'string' && /^(https?:\/\/)?([\w.-]+|\[[0-9a-f:.]+\]):\d{1,5}$/i.test(value)) return value;
  return new Mistake('is not an endpoint', 'write host and client port, such as 127.0.0.1:2379');
}

function readPrefix(value: unknown): string | Mistake {
  const text = readText(value);
  return text instanceof Mistake || text.endsWith('/') ? text : `${text}/`;
}

interface Login {
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly passwordFile: string | undefined;
}

function readSecret(path: string): string | Mistake {
  try {
    return readFileSync(path, 'utf8').trimEnd();
  } catch (error) {
    return new Mistake(`cannot be read: ${messageOf(error)}`, 'check the path and the rights of the file');
  }
}

function readAuth({ username, password, passwordFile }: Login, ctx: z.core.$RefinementCtx): Pick<EtcdConfig, 'auth'> {
  const secret = passwordFile === undefined ? password : readSecret(passwordFile);
  if (secret instanceof Mistake) report(ctx, ['passwordFile'], secret);
  else if (password !== undefined && passwordFile !== undefined)
    report(ctx, ['passwordFile'], new Mistake('stands beside a password', 'keep one of the two'));
  else if ((username === undefined) !== (secret === undefined))
    report(ctx, ['username'], new Mistake('and password go together', 'write both, or neither'));
  else if (username !== undefined && secret !== undefined) return { auth: { username, password: secret } };
  return {};
}

const tlsSchema = fields('tls', { ca: maybe(readPath), cert: maybe(readPath), key: maybe(readPath) }).transform(
  ({ ca, cert, key }, ctx): NonNullable<EtcdConfig['tls']> => {
    if ((cert === undefined) !== (key === undefined))
      report(ctx, [cert === undefined ? 'cert' : 'key'], new Mistake('is missing', 'cert and key go together'));
    return {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    };
  },
);

const etcdSchema = fields('etcd', {
  endpoints: list('endpoints', field(readEndpoint, '127.0.0.1:2379')),
  prefix: optional(readPrefix, '/pilotfish/v1/'),
  username: maybe(readText),
  password: maybe(readText),
  passwordFile: maybe(readPath),
  tls: tlsSchema.optional(),
}).transform(({ endpoints, prefix, tls, ...login }, ctx): EtcdConfig => {
  // With a plain endpoint among them the password would go over the wire in the clear for all that tls says.
  const plain = tls === undefined ? -1 : endpoints.findIndex((endpoint) => endpoint.startsWith('http://'));
  if (plain >= 0)
    report(ctx, ['endpoints', plain], new Mistake('is without TLS although tls is set', 'write https:// instead'));
  return { endpoints, prefix, ...readAuth(login, ctx), ...(tls === undefined ? {} : { tls }) };
});

export const defaultSource: SourceConfig = { file: '/etc/pilotfish/state.yaml' };

/** `source` of agent.yaml. */
export const sourceSchema = fields(
  'source',
  { etcd: etcdSchema.optional(), file: maybe(readPath) },
  { consul: [] },
).transform(({ etcd, file }, ctx): SourceConfig => {
  if (etcd !== undefined && file !== undefined)
    report(ctx, ['file'], new Mistake('stands beside etcd', 'keep one of the two'));
  if (etcd !== undefined) return { etcd };
  return file === undefined ? defaultSource : { file };
});
