import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse as parseYaml } from 'yaml';
import { parseConfig } from '../../src/config.ts';
import type { Snapshot } from '../../src/core/model.ts';
import { parseState } from '../../src/core/parse-state.ts';
import { keysFromTree } from '../../src/core/tree.ts';
import { parse, revision, type Values, web } from '../support/desired.ts';

function reference(file: string): string {
  return readFileSync(new URL(`../../docs/reference/${file}`, import.meta.url), 'utf8');
}

function examples(file: string): unknown[] {
  return [...reference(file).matchAll(/```yaml\n(.*?)```/gs)].map(([, text = '']) => parseYaml(text));
}

/** Rows of the tables between two places of the reference of keys, as field and default. */
function documented(from: string, to: string): Map<string, string> {
  const text = reference('keys.md');
  const part = text.slice(text.indexOf(from), text.indexOf(to));
  return new Map(
    [...part.matchAll(/^\| `(\w+)` \|.*\| ([^|]+) \|$/gm)].map(([, name = '', value = '']) => [name, value]),
  );
}

function snapshotOf(tree: unknown): Snapshot {
  const { keys, problems } = keysFromTree(tree);
  expect(problems).toEqual([]);
  const { snapshot } = parseState(keys, revision, null);
  expect(snapshot.rejected).toEqual([]);
  return snapshot;
}

/** Fields of a parsed value by the names that people write; its own name is in its key. */
function fieldsOf(value: object | undefined): string[] {
  return Object.keys(value ?? {})
    .filter((name) => name !== 'name' && name !== 'id')
    .map((name) => name.replace(/Ms$/, ''))
    .sort();
}

const reals = { r1: { address: '10.0.0.11' } };
const state = (vip: object = {}, pool: object = {}, real: object = {}): Values => ({
  'vips/web': { ...web, ...vip },
  'pools/web': { encap: 'gue', checks: [{ type: 'tcp', port: 80 }], ...pool },
  'pools/web/reals/r1': { ...reals.r1, ...real },
});
const checkOf = (check: object) => parse(state({}, { checks: [check] })).snapshot.pools.get('web')?.checks[0];

const tables = {
  settings: documented('### settings', '### VIP'),
  vip: documented('### VIP', '### pool'),
  pool: documented('### pool', '### check'),
  check: documented('### check', 'Fields of `http` and'),
  http: documented('Fields of `http` and', 'Fields of `https` alone'),
  https: documented('Fields of `https` alone', '### real'),
  real: documented('### real', '### override'),
};

/** Defaults that stand there as they are written: `30s`, 6080, `true`. */
function defaults(table: ReadonlyMap<string, string>): Record<string, unknown> {
  const plain = [...table].filter(([, value]) => /^(`[^`]+`|\d+|required)$/.test(value) && value !== 'required');
  return Object.fromEntries(
    plain.map(([name, value]) => [
      name,
      /^`?(true|false|\d+)`?$/.test(value) ? JSON.parse(value.replaceAll('`', '')) : value.replaceAll('`', ''),
    ]),
  );
}

describe('the examples of the reference', () => {
  const [first, vips, check] = examples('keys.md') as [object, object, { checks: object[] }];

  it('have a good state', () => {
    expect([...snapshotOf(first).vips.keys()]).toEqual(['dns', 'web-443']);
  });

  it('have good VIPs of every kind', () => {
    expect([...snapshotOf(vips).vips.keys()]).toEqual(['edge', 'quic', 'sip']);
  });

  it('have a good check', () => {
    expect(parse(state({}, check)).snapshot.rejected).toEqual([]);
    expect(checkOf(check.checks[0]!)).toMatchObject({ type: 'https', path: '/healthz' });
  });

  it('have a good configuration', () => {
    expect(parseConfig(examples('config.md')[0], 'config.md').name).toBe('lb1');
  });
});

describe('the fields of the reference', () => {
  const { settings, vips, pools } = parse(state()).snapshot;

  it.each<[keyof typeof tables, string[]]>([
    ['settings', fieldsOf(settings)],
    ['vip', fieldsOf(vips.get('web'))],
    ['pool', fieldsOf(pools.get('web'))],
    ['real', fieldsOf(pools.get('web')?.reals[0])],
    ['check', fieldsOf(checkOf({ type: 'tcp', port: 80 }))],
  ])('of a %s are those that the parser has', (name, fields) => {
    expect([...tables[name].keys()].sort()).toEqual(fields);
  });

  it('of checks by HTTP are those that the parser has', () => {
    const { check, http, https } = tables;
    expect([...check.keys(), ...http.keys()].sort()).toEqual(fieldsOf(checkOf({ type: 'http', port: 80 })));
    expect([...check.keys(), ...http.keys(), ...https.keys()].sort()).toEqual(
      fieldsOf(checkOf({ type: 'https', port: 80 })),
    );
  });

  it('have the defaults that stand there', () => {
    expect(Object.keys(defaults(tables.vip))).toHaveLength(8);
    expect(Object.keys(defaults(tables.pool))).toHaveLength(6);
    const { encap, ...pool } = defaults(tables.pool);
    const written = parse({
      ...state(defaults(tables.vip), pool, defaults(tables.real)),
      settings: defaults(tables.settings),
    });
    expect(written.snapshot).toEqual(parse(state()).snapshot);
    expect(encap).toBe('ipip');
    expect(parse({ 'pools/web': {} }).snapshot.pools.get('web')?.encap).toBe('ipip');
  });
});
