import { readName } from './fields.ts';
import { suggest } from './hints.ts';
import { Mistake } from './mistake.ts';

/** What a key under desired/ is about. */
export type KeyPath =
  | { readonly kind: 'settings' }
  | { readonly kind: 'vip'; readonly name: string }
  | { readonly kind: 'pool'; readonly pool: string }
  | { readonly kind: 'real' | 'override'; readonly pool: string; readonly id: string };

export const desiredPrefix = 'desired/';

export const keys = {
  settings: `${desiredPrefix}settings`,
  vip: (name: string) => `${desiredPrefix}vips/${name}`,
  pool: (name: string) => `${desiredPrefix}pools/${name}`,
  real: (pool: string, id: string) => `${desiredPrefix}pools/${pool}/reals/${id}`,
  override: (pool: string, id: string) => `${desiredPrefix}overrides/${pool}/${id}`,
} as const;

const sections = ['settings', 'vips', 'pools', 'overrides'];

/** Sections that the design has and this version does not carry. */
const laterSections = ['prefilter'];

function strange(form: string): Mistake {
  return new Mistake('is not a key that means anything', `keys look like ${form}`);
}

function readPoolKey(pool: string, rest: readonly string[]): KeyPath | Mistake {
  const [reals, id = ''] = rest;
  if (reals === undefined) return { kind: 'pool', pool };
  if (reals !== 'reals') return new Mistake(`has "${reals}" where only "reals" can stand`, suggest(reals, ['reals']));
  return rest.length === 2 ? { kind: 'real', pool, id } : strange(keys.real('<pool>', '<id>'));
}

function readSection(section: string, rest: readonly string[]): KeyPath | Mistake {
  const [name = '', id = ''] = rest;
  switch (section) {
    case 'settings':
      return rest.length === 0 ? { kind: 'settings' } : strange(keys.settings);
    case 'vips':
      return rest.length === 1 ? { kind: 'vip', name } : strange(keys.vip('<name>'));
    case 'pools':
      return rest.length === 0 ? strange(keys.pool('<name>')) : readPoolKey(name, rest.slice(1));
    case 'overrides':
      return rest.length === 2 ? { kind: 'override', pool: name, id } : strange(keys.override('<pool>', '<real id>'));
    default:
      return laterSections.includes(section)
        ? new Mistake('is not supported by this version', 'remove the key')
        : new Mistake(`has "${section}", which is not a known section`, suggest(section, sections));
  }
}

/** Reads a key that starts with `desired/`. */
export function readKey(key: string): KeyPath | Mistake {
  const [section = '', ...rest] = key.slice(desiredPrefix.length).split('/');
  const path = readSection(section, rest);
  if (path instanceof Mistake) return path;
  for (const name of 'name' in path
    ? [path.name]
    : 'id' in path
      ? [path.pool, path.id]
      : 'pool' in path
        ? [path.pool]
        : []) {
    const checked = readName(name);
    if (checked instanceof Mistake) return new Mistake(`has "${name}", which ${checked.message}`, checked.fix);
  }
  return path;
}
