import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type * as z from 'zod';
import { type AnnounceConfig, announceSchema } from './announce/settings.ts';
import { defaultLimits, type StateLimits } from './core/admission.ts';
import { messageOf, PilotfishError } from './core/errors.ts';
import {
  field,
  fields,
  list,
  oneOf,
  optional,
  problemsOf,
  readName,
  readText,
  report,
  wholeNumber,
} from './core/fields.ts';
import { describeProblem, Mistake } from './core/mistake.ts';
import type { Address } from './core/model.ts';
import { readHost } from './core/schema.ts';
import { readYamlFile } from './yaml-file.ts';

/** What is this host’s own. All that decides where a packet goes is in the store instead. */
export interface AgentConfig {
  /** No other live LB of the fleet has it. */
  readonly name: string;
  readonly interface: string;
  /** Next hop of encapsulated packets; undefined: as the routing table has it. */
  readonly gateway: Address | undefined;
  /** Bytes; undefined: the interface’s. */
  readonly mtu: number | undefined;
  readonly source: SourceConfig;
  /** On a bpf file system. */
  readonly pinDir: string;
  readonly mode: (typeof attachModes)[number];
  readonly flowCache: { /** A power of two. */ readonly entriesPerCpu: number };
  readonly admin: { readonly socket: string };
  /** Undefined: this host does not announce itself. */
  readonly announce: AnnounceConfig | undefined;
  /** What has to outlive the agent and the host's restarts. */
  readonly stateDir: string;
  readonly log: { readonly level: (typeof logLevels)[number] };
  /** What an empty store means after there was a state. */
  readonly onEmpty: (typeof onEmptyModes)[number];
  /** What the maps are sized for. */
  readonly limits: StateLimits;
}

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

const attachModes = ['auto', 'driver', 'generic'] as const;
const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
const onEmptyModes = ['keep', 'clear'] as const;

function readInterface(value: unknown): string | Mistake {
  // IFNAMSIZ is 16 with the final zero; the kernel refuses slashes, colons and white space.
  if (typeof value === 'string' && /^[^\s/:]{1,15}$/.test(value)) return value;
  return new Mistake('is not the name of an interface', 'write a name that `ip link` shows, such as eth0');
}

function readEndpoint(value: unknown): string | Mistake {
  if (typeof value === 'string' && /^(https?:\/\/)?([\w.-]+|\[[0-9a-f:.]+\]):\d{1,5}$/i.test(value)) return value;
  return new Mistake('is not an endpoint', 'write host and client port, such as 127.0.0.1:2379');
}

function readPath(value: unknown): string | Mistake {
  if (typeof value === 'string' && value.startsWith('/')) return value;
  return new Mistake('is not an absolute path', 'write a path that starts with a slash');
}

function readPrefix(value: unknown): string | Mistake {
  const text = readText(value);
  return text instanceof Mistake || text.endsWith('/') ? text : `${text}/`;
}

function maybe<T>(read: (value: unknown) => T | Mistake): z.ZodType<T | undefined> {
  return optional<T | undefined>(read, undefined);
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

const defaultSource: SourceConfig = { file: '/etc/pilotfish/state.yaml' };

const sourceSchema = fields('source', { etcd: etcdSchema.optional(), file: maybe(readPath) }, { consul: [] }).transform(
  ({ etcd, file }, ctx): SourceConfig => {
    if (etcd !== undefined && file !== undefined)
      report(ctx, ['file'], new Mistake('stands beside etcd', 'keep one of the two'));
    if (etcd !== undefined) return { etcd };
    return file === undefined ? defaultSource : { file };
  },
);

const { vips, pools, reals } = defaultLimits;

const configSchema = fields('the configuration', {
  name: maybe(readName),
  interface: field(readInterface, 'interface: eth0'),
  gateway: maybe(readHost),
  mtu: maybe(wholeNumber(576, 65_535)),
  source: sourceSchema.default(defaultSource),
  pinDir: optional(readPath, '/sys/fs/bpf/pilotfish'),
  mode: optional(oneOf(attachModes), 'auto'),
  flowCache: fields('flowCache', { entriesPerCpu: optional(wholeNumber(1, 2 ** 26), 2 ** 20) }).default({
    entriesPerCpu: 2 ** 20,
  }),
  admin: fields('admin', { socket: optional(readPath, '/run/pilotfish/agent.sock') }).default({
    socket: '/run/pilotfish/agent.sock',
  }),
  announce: announceSchema.optional(),
  stateDir: optional(readPath, '/var/lib/pilotfish'),
  log: fields('log', { level: optional(oneOf(logLevels), 'info') }).default({ level: 'info' }),
  onEmpty: optional(oneOf(onEmptyModes), 'keep'),
  limits: fields('limits', {
    vips: optional(wholeNumber(1, 65_535), vips),
    pools: optional(wholeNumber(1, 65_535), pools),
    // Rings and flows hold numbers of reals in 16 bits, and 0 is none.
    reals: optional(wholeNumber(1, 65_535), reals),
  }).default(defaultLimits),
});

const fewestFlows = 1_024;

function powerOfTwo(entries: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(fewestFlows, entries)));
}

function invalid(path: string, lines: readonly string[]): PilotfishError {
  const count = lines.length === 1 ? '1 mistake' : `${lines.length} mistakes`;
  return new PilotfishError('PF_CONFIG', [`${path} has ${count}:`, ...lines].join('\n'));
}

/**
 * Checks the settings and fills in the defaults.
 * @param tree what the file says
 * @param path of the file, for messages
 * @throws PilotfishError PF_CONFIG listing every mistake with its place
 */
export function parseConfig(tree: unknown, path: string): AgentConfig {
  const result = configSchema.safeParse(tree);
  if (!result.success) {
    const secret = (place: string): boolean => place.endsWith('.password');
    throw invalid(
      path,
      problemsOf(result.error, tree).map(({ field: place, value, ...rest }) =>
        describeProblem({ place, value: secret(place) ? 'a secret' : value, ...rest }),
      ),
    );
  }
  const { name: given, flowCache, announce, ...config } = result.data;
  const name = readName(given ?? hostname());
  if (name instanceof Mistake)
    throw invalid(path, [
      describeProblem({
        place: 'name',
        value: hostname(),
        message: 'is the host’s, and it is no name here',
        fix: `set name: ${name.fix}`,
      }),
    ]);
  return { name, ...config, announce, flowCache: { entriesPerCpu: powerOfTwo(flowCache.entriesPerCpu) } };
}

/** @throws PilotfishError PF_CONFIG when the file cannot be read or has mistakes */
export function readConfig(path: string): AgentConfig {
  return parseConfig(readYamlFile(path, 'PF_CONFIG'), path);
}
