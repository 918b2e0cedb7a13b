import { hostname } from 'node:os';
import { type AnnounceConfig, announceSchema } from './announce/settings.ts';
import { maybe, readInterface, readPath } from './config-fields.ts';
import { shownOfConfig } from './config-secrets.ts';
import { defaultSource, type SourceConfig, sourceSchema } from './config-source.ts';
import { defaultLimits, type StateLimits } from './core/admission.ts';
import type { TunnelEnd } from './core/data-plane.ts';
import { MOST_VIPS } from './core/directory-keys.ts';
import { readDuration } from './core/duration.ts';
import { PilotfishError } from './core/errors.ts';
import {
  field,
  fields,
  list,
  oneOf,
  optional,
  problemsOf,
  readBoolean,
  readName,
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
  /** Where packets come in. */
  readonly interface: string;
  /** Where packets to reals go out; undefined: where they came in. Gateway, MTU and own MAC address are those of it. */
  readonly egress: string | undefined;
  /** Next hop of encapsulated packets; undefined: as the routing table has it. */
  readonly gateway: Address | undefined;
  /** Bytes; undefined: that of the interface where packets go out. */
  readonly mtu: number | undefined;
  /** Tunnels that end at this host, sorted by address text. */
  readonly decap: readonly TunnelEnd[];
  readonly source: SourceConfig;
  /** On a bpf file system. */
  readonly pinDir: string;
  readonly mode: (typeof attachModes)[number];
  readonly flowCache: {
    /** Room for so many flows, or a few more. */
    readonly entriesPerCpu: number;
    /** Of each CPU; flows beyond it are forwarded and not remembered. */
    readonly newFlowsPerSecond: number;
    /** Flows whose packets come close together have their outer header ready. */
    readonly hotFlows: boolean;
    /** Milliseconds. A TCP connection that is silent for longer may count as over once its slot of the ring has changed. */
    readonly longestIdleMs: number;
  };
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

const attachModes = ['auto', 'driver', 'generic'] as const;
const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
const onEmptyModes = ['keep', 'clear'] as const;

const MOST_NEW_FLOWS = 1_000_000_000;

function readNewFlows(value: unknown): number | Mistake {
  if (value === 0)
    return new Mistake(
      'would have no flow remembered',
      `write ${MOST_NEW_FLOWS} for no limit; flowCache of a VIP switches the cache off`,
    );
  return wholeNumber(1, MOST_NEW_FLOWS)(value);
}

const flowCacheDefaults: AgentConfig['flowCache'] = {
  entriesPerCpu: 2 ** 20,
  newFlowsPerSecond: 500_000,
  hotFlows: true,
  // What RFC 5382 (REQ-5) asks NATs to keep an idle connection for: what is silent for longer may be cut off anywhere.
  longestIdleMs: 124 * 60_000,
};

const MINUTE = 60_000;
/** The longest `udpTimeout`: no flow is forgotten before its time. */
const LEAST_IDLE = 30 * MINUTE;
/** Node’s timers hold 2^31 milliseconds, some 596 hours. */
const MOST_IDLE = 500 * 60 * MINUTE;

const flowCacheSchema = fields('flowCache', {
  entriesPerCpu: optional(wholeNumber(1, 2 ** 26), flowCacheDefaults.entriesPerCpu),
  newFlowsPerSecond: optional(readNewFlows, flowCacheDefaults.newFlowsPerSecond),
  hotFlows: optional(readBoolean, flowCacheDefaults.hotFlows),
  longestIdle: optional((value) => readDuration(value, LEAST_IDLE, MOST_IDLE), flowCacheDefaults.longestIdleMs),
}).transform(({ longestIdle, ...others }) => ({ ...others, longestIdleMs: longestIdle }));

const decapSchema = fields('decap', {
  addresses: list('addresses', field(readHost, '192.0.2.1')),
  guePort: optional(wholeNumber(1, 65_535), 6_080),
}).transform(({ addresses, guePort }, ctx): TunnelEnd[] => {
  addresses.forEach((address, at) => {
    if (addresses.indexOf(address) < at)
      report(ctx, ['addresses', at], new Mistake('is there twice', 'remove one of the two'));
  });
  return addresses.toSorted().map((address) => ({ address, guePort }));
});

const { vips, pools, reals, clients, serverIds } = defaultLimits;

function readMostVips(value: unknown): number | Mistake {
  if (Number.isInteger(value) && (value as number) > MOST_VIPS)
    return new Mistake(
      `is more than the directory has room for: ${MOST_VIPS} VIPs, each with an address of its own`,
      `write ${MOST_VIPS} or less; VIPs whose addresses follow one another can be one VIP with a prefix`,
    );
  return wholeNumber(1, MOST_VIPS)(value);
}

const configSchema = fields('the configuration', {
  name: maybe(readName),
  interface: field(readInterface, 'interface: eth0'),
  egress: maybe(readInterface),
  gateway: maybe(readHost),
  mtu: maybe(wholeNumber(576, 65_535)),
  decap: decapSchema.default([]),
  source: sourceSchema.default(defaultSource),
  pinDir: optional(readPath, '/sys/fs/bpf/pilotfish'),
  mode: optional(oneOf(attachModes), 'auto'),
  flowCache: flowCacheSchema.default(flowCacheDefaults),
  admin: fields('admin', { socket: optional(readPath, '/run/pilotfish/agent.sock') }).default({
    socket: '/run/pilotfish/agent.sock',
  }),
  announce: announceSchema.optional(),
  stateDir: optional(readPath, '/var/lib/pilotfish'),
  log: fields('log', { level: optional(oneOf(logLevels), 'info') }).default({ level: 'info' }),
  onEmpty: optional(oneOf(onEmptyModes), 'keep'),
  limits: fields('limits', {
    vips: optional(readMostVips, vips),
    pools: optional(wholeNumber(1, 65_535), pools),
    // Rings hold numbers of reals in 15 bits, and 0 is none.
    reals: optional(wholeNumber(1, 32_767), reals),
    clients: optional(wholeNumber(1, 4_000_000), clients),
    // The largest table surely holds so many.
    serverIds: optional(wholeNumber(1, serverIds), serverIds),
  }).default(defaultLimits),
}).transform((config, ctx) => {
  if (config.egress === config.interface)
    report(ctx, ['egress'], new Mistake('is the interface that packets come in by', 'remove it: that is the default'));
  return config;
});

const fewestFlows = 1_024;

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
  if (!result.success)
    throw invalid(
      path,
      problemsOf(result.error, tree, shownOfConfig).map(({ field: place, ...rest }) =>
        describeProblem({ place, ...rest }),
      ),
    );
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
  const entriesPerCpu = Math.max(fewestFlows, flowCache.entriesPerCpu);
  return { name, ...config, announce, flowCache: { ...flowCache, entriesPerCpu } };
}

/** @throws PilotfishError PF_CONFIG when the file cannot be read or has mistakes */
export function readConfig(path: string): AgentConfig {
  return parseConfig(readYamlFile(path, 'PF_CONFIG'), path);
}
