import type { Rejection } from '../../src/core/model.ts';
import { type ParsedState, parseState } from '../../src/core/parse-state.ts';

/** Desired state as tests write it: keys without `desired/`; text stands for itself, so that it may be no JSON. */
export type Values = Readonly<Record<string, unknown>>;

export const revision = { generation: 'test', number: 1 };

export const web = { address: '192.0.2.10', port: 443, protocol: 'tcp', pool: 'web' };

export const good: Values = {
  'vips/web': web,
  'pools/web': {},
  'pools/web/reals/r1': { address: '10.0.0.11' },
};

export function keySet(values: Values): Map<string, string> {
  return new Map(
    Object.entries(values).map(([key, value]) => [
      `desired/${key}`,
      typeof value === 'string' ? value : JSON.stringify(value),
    ]),
  );
}

export function parse(values: Values, previous: ParsedState | null = null): ParsedState {
  return parseState(keySet(values), revision, previous);
}

export function rejections(values: Values, previous: ParsedState | null = null): readonly Rejection[] {
  return parse(values, previous).snapshot.rejected;
}

/** The states of a store one after the other; what is in force after the last. */
export function after(...states: readonly Values[]): ParsedState {
  return states.reduce<ParsedState | null>((previous, values) => parse(values, previous), null)!;
}

export function refused({ snapshot }: ParsedState): [string, boolean][] {
  return snapshot.rejected.map(({ path, keptLastGood }) => [path, keptLastGood]);
}
