import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { applyDiff, diffState } from '../../src/core/apply-diff.ts';
import { keysFromTree } from '../../src/core/tree.ts';
import { keySet, type Values } from '../support/desired.ts';

const file = {
  vips: { web: { port: 443 } },
  pools: { web: { minHealthy: '30%', reals: { r1: { address: '10.0.0.11' } } } },
};

function diff(tree: unknown, store: Values, prune = false) {
  return diffState(keysFromTree(tree), keySet(store), prune);
}

const same: Values = {
  'vips/web': { port: 443 },
  'pools/web': { minHealthy: '30%' },
  'pools/web/reals/r1': { address: '10.0.0.11' },
};

describe('diffState', () => {
  it('adds all to an empty store, so that no VIP comes before its pool and no pool before its reals', () => {
    const { put, changes } = diff(file, {});
    expect([...put.keys()]).toEqual(['desired/pools/web/reals/r1', 'desired/pools/web', 'desired/vips/web']);
    expect(changes.map(({ op, key }) => [op, key])).toEqual([
      ['add', 'desired/pools/web'],
      ['add', 'desired/pools/web/reals/r1'],
      ['add', 'desired/vips/web'],
    ]);
  });

  it('finds nothing where only the writing differs', () => {
    const store = { ...same, 'pools/web': '{ "minHealthy" : "30%" }' };
    expect(diff(file, store)).toEqual({ put: new Map(), delete: [], changes: [], kept: [] });
  });

  it('says which fields change, from what to what', () => {
    const { put, changes } = diff(file, {
      ...same,
      'pools/web': { minHealthy: '50%', onDown: 'keep' },
      'vips/web': '{',
    });
    expect(changes).toEqual([
      {
        op: 'change',
        key: 'desired/pools/web',
        fields: [
          { field: 'minHealthy', from: '50%', to: '30%' },
          { field: 'onDown', from: 'keep', to: undefined },
        ],
      },
      { op: 'change', key: 'desired/vips/web', fields: [{ field: '', from: '{', to: { port: 443 } }] },
    ]);
    expect([...put.keys()]).toEqual(['desired/pools/web', 'desired/vips/web']);
  });

  it('says of clients which ones differ, not in which order they stand', () => {
    const vip = (...clients: unknown[]) => ({ port: 443, clients });
    const [a, b, c] = ['198.51.100.0/24', '203.0.113.0/24', '2001:db8::/32'];
    const tree = { vips: { web: vip({ prefix: a, pool: 'near' }, { prefix: b, pool: 'far' }) } };
    const stored = (...clients: unknown[]) => ({ 'vips/web': vip(...clients) });
    const fields = (values: Values) => diff(tree, values).changes.flatMap((change) => change.fields);
    expect(fields(stored({ pool: 'far', prefix: b }, { prefix: a, pool: 'near' }))).toEqual([]);
    expect(fields(stored({ prefix: b, pool: 'near' }, { prefix: c, pool: 'far' }))).toEqual([
      { field: `clients[${b}]`, from: 'near', to: 'far' },
      { field: `clients[${c}]`, from: 'far', to: undefined },
      { field: `clients[${a}]`, from: undefined, to: 'near' },
    ]);
    expect(fields({ 'vips/web': { port: 443 } })).toEqual([
      { field: `clients[${a}]`, from: undefined, to: 'near' },
      { field: `clients[${b}]`, from: undefined, to: 'far' },
    ]);
    const odd = [{ prefix: a }, { prefix: b, pool: 'far' }];
    expect(fields(stored(...odd))).toEqual([{ field: 'clients', from: odd, to: tree.vips.web.clients }]);
  });

  it.each([
    ['vips/web', { hash: 'source' }, { field: 'hash', from: undefined, to: 'source' }],
    ['vips/web', { fragments: 'hash' }, { field: 'fragments', from: undefined, to: 'hash' }],
    ['pools/web', { encap: 'gue' }, { field: 'encap', from: undefined, to: 'gue' }],
    ['pools/web/reals/r1', { serverIds: [1, 2] }, { field: 'serverIds', from: undefined, to: [1, 2] }],
  ])('sees a new field: %s %j', (key, value, change) => {
    const { vips, pools } = structuredClone(file);
    const values: Readonly<Record<string, object>> = {
      'vips/web': vips.web,
      'pools/web': pools.web,
      'pools/web/reals/r1': pools.web.reals.r1,
    };
    Object.assign(values[key]!, value);
    expect(diff({ vips, pools }, same).changes).toEqual([{ op: 'change', key: `desired/${key}`, fields: [change] }]);
  });

  const more: Values = {
    ...same,
    'vips/old': {},
    'pools/old': {},
    'pools/old/reals/r1': {},
    'pools/web/reals/r2': {},
    'overrides/web/r1': { state: 'drain' },
    'overrides/web/r2': { state: 'drain' },
    settings: { seed: 'ab' },
    'prefilter/x': {},
  };

  it('keeps what the file does not have, and names it', () => {
    const { put, delete: removed, kept } = diff(file, more);
    expect([put.size, removed]).toEqual([0, []]);
    expect(kept).toEqual([
      'desired/pools/old',
      'desired/pools/old/reals/r1',
      'desired/pools/web/reals/r2',
      'desired/vips/old',
    ]);
  });

  it('prunes that, VIPs first, with the overrides of reals that go, and leaves settings and strange keys', () => {
    const { delete: removed, kept } = diff(file, more, true);
    expect(removed).toEqual([
      'desired/vips/old',
      'desired/pools/old',
      'desired/pools/web/reals/r2',
      'desired/pools/old/reals/r1',
      'desired/overrides/web/r2',
    ]);
    expect(kept).toEqual([]);
  });

  it('prunes no reals of a pool whose reals the file does not list: they may register themselves', () => {
    const tree = { ...file, pools: { web: { minHealthy: '30%' } } };
    expect(diff(tree, same, true).delete).toEqual([]);
    expect(diff({ ...file, pools: { web: { minHealthy: '30%', reals: {} } } }, same, true).delete).toEqual([
      'desired/pools/web/reals/r1',
    ]);
  });

  it('prunes overrides only when the file speaks about overrides', () => {
    expect(diff({ ...file, overrides: {} }, { ...same, 'overrides/web/r1': {} }, true).delete).toEqual([
      'desired/overrides/web/r1',
    ]);
  });

  it('moves reals out of the pool’s value, so that none is lost', () => {
    const inline = { reals: { r1: { address: '10.0.0.11' }, r2: { address: '10.0.0.12' } } };
    const store = { 'vips/web': { port: 443 }, 'pools/web': inline };
    const result = diff(file, store);
    expect([...result.put]).toEqual([
      ['desired/pools/web/reals/r1', '{"address":"10.0.0.11"}'],
      ['desired/pools/web/reals/r2', '{"address":"10.0.0.12"}'],
      ['desired/pools/web', '{"minHealthy":"30%"}'],
    ]);
    expect(result.kept).toEqual(['desired/pools/web/reals/r2']);
    expect([...diff(file, store, true).put.keys()]).toEqual(['desired/pools/web/reals/r1', 'desired/pools/web']);
  });

  it('leads to a store that has no difference any more', () => {
    const name = fc.constantFrom('a', 'b');
    const reals = fc.dictionary(name, fc.record({ weight: fc.nat(3) }));
    const pool = fc.record({ onDown: fc.constantFrom('keep', 'rehash'), reals }, { requiredKeys: [] });
    const tree = fc.record({
      vips: fc.dictionary(name, fc.record({ port: fc.nat(3) })),
      pools: fc.dictionary(name, pool),
    });
    const written = fc.tuple(tree, fc.boolean()).map(([t, inline]) => {
      const keys = new Map(keysFromTree(t).keys);
      if (inline) for (const [n, p] of Object.entries(t.pools)) keys.set(`desired/pools/${n}`, JSON.stringify(p));
      return keys;
    });
    fc.assert(
      fc.property(tree, written, fc.boolean(), (wanted, store, prune) => {
        const keys = keysFromTree(wanted);
        const after = applyDiff(store, diffState(keys, store, prune));
        const again = diffState(keys, after, prune);
        expect([again.put.size, again.delete, again.changes]).toEqual([0, [], []]);
        for (const [key, raw] of keys.keys) expect(JSON.parse(after.get(key)!)).toEqual(JSON.parse(raw));
      }),
    );
  });
});
