import { readDuration } from '../core/duration.ts';
import { field, fields, list, oneOf, optional, readText } from '../core/fields.ts';
import type { Mistake } from '../core/mistake.ts';

const onStopModes = ['stay', 'leave'] as const;

/** A command and its arguments; run without a shell. */
export type Argv = readonly string[];

/** How this host is taken into the paths of the routers before it, and out of them. */
export interface AnnounceConfig {
  readonly join: Argv;
  readonly leave: Argv;
  /** How long either may take, in milliseconds. */
  readonly timeoutMs: number;
  /** What a regular stop of the agent does. Forwarding goes on without it, so `stay` is the default. */
  readonly onStop: (typeof onStopModes)[number];
}

const readTimeout = (value: unknown): number | Mistake => readDuration(value, 100, 300_000);

/** `announce` of agent.yaml. */
export const announceSchema = fields('announce', {
  join: list('the command and its arguments', field(readText, '/usr/local/bin/announce')),
  leave: list('the command and its arguments', field(readText, '/usr/local/bin/withdraw')),
  timeout: optional(readTimeout, 10_000),
  onStop: optional(oneOf(onStopModes), 'stay'),
}).transform(({ timeout, ...commands }): AnnounceConfig => ({ ...commands, timeoutMs: timeout }));
