import { describe, expect, it } from 'vitest';
import { keysFromTree, placeInFile } from '../../src/core/tree.ts';
import { rejections } from '../support/desired.ts';

function keysOf(tree: unknown): Record<string, unknown> {
  return Object.fromEntries([...keysFromTree(tree).keys].map(([key, raw]) => [key, JSON.parse(raw)]));
}

describe('keysFromTree', () => {
  it('gives each thing a key of its own, reals and overrides too', () => {
    expect(
      keysOf({
        settings: { seed: 'ab' },
        vips: { 'web-443': { port: 443 } },
        pools: { web: { encap: 'ipip', reals: { r1: { address: '10.0.0.11' } } }, api: {} },
        overrides: { web: { r1: { state: 'drain' } } },
      }),
    ).toEqual({
      'desired/settings': { seed: 'ab' },
      'desired/vips/web-443': { port: 443 },
      'desired/pools/web': { encap: 'ipip' },
      'desired/pools/web/reals/r1': { address: '10.0.0.11' },
      'desired/pools/api': {},
      'desired/overrides/web/r1': { state: 'drain' },
    });
  });

  it('knows which pools list their reals and whether overrides are spoken about', () => {
    const tree = keysFromTree({ pools: { a: { reals: {} }, b: {} } });
    expect([...tree.listsRealsOf]).toEqual(['a']);
    expect(tree.listsOverrides).toBe(false);
    expect(keysFromTree({ overrides: {} }).listsOverrides).toBe(true);
  });

  it('leaves reals that are no list of names in the pool, for its parser to judge', () => {
    expect(keysOf({ pools: { a: { reals: [] }, b: { reals: { consul: { service: 'x' } } } } })).toEqual({
      'desired/pools/a': { reals: [] },
      'desired/pools/b': { reals: { consul: { service: 'x' } } },
    });
    expect(keysOf({ pools: { a: { reals: { consul: { address: '10.0.0.1' } } } } })).toEqual({
      'desired/pools/a': {},
      'desired/pools/a/reals/consul': { address: '10.0.0.1' },
    });
  });

  it.each([{}, { vips: {}, pools: {} }])('takes %j as no keys', (tree) => {
    expect(keysOf(tree)).toEqual({});
    expect(keysFromTree(tree).problems).toEqual([]);
  });

  it.each([
    [{ vips: null, pools: {} }, 'vips', 'vips'],
    [{ pools: null }, 'pools', 'pools'],
    [{ pools: { a: { reals: null } } }, 'pools.a.reals', 'reals'],
    [{ overrides: null }, 'overrides', 'overrides'],
    [{ overrides: { a: null } }, 'overrides.a', 'a'],
  ])('does not take what has nothing under it for a list of none: %j', (tree, field, name) => {
    const { unclear } = keysFromTree(tree);
    const fix = `write ${name}: {} if there shall be none`;
    expect(unclear).toEqual([{ field, value: 'null', message: 'has nothing under it', fix }]);
  });

  it('leaves settings with nothing under them to their parser', () => {
    const { problems, keys } = keysFromTree({ settings: null });
    expect([problems, [...keys]]).toEqual([[], [['desired/settings', 'null']]]);
  });

  it.each([
    [5, '', '5', 'must be an object', 'write the sections settings, vips, pools, overrides'],
    [{ vip: {} }, 'vip', '{}', 'is not a known section', 'did you mean "vips"?'],
    [
      { services: {} },
      'services',
      '{}',
      'is not a known section',
      'remove it; the sections are settings, vips, pools, overrides',
    ],
    [{ prefilter: {} }, 'prefilter', '{}', 'is not supported by this version', 'remove it'],
    [{ vips: [1] }, 'vips', '[1]', 'must be an object', 'write names, each with its fields'],
    [
      { vips: { 'a/b': {} } },
      'vips',
      '"a/b"',
      'has "a/b", which is not a name',
      'use 1 to 63 letters, digits, dots, underscores or hyphens',
    ],
    [
      { pools: { w: { reals: { '': {} } } } },
      'pools.w.reals',
      '""',
      'has "", which is not a name',
      'use 1 to 63 letters, digits, dots, underscores or hyphens',
    ],
    [{ overrides: { w: 'drain' } }, 'overrides.w', '"drain"', 'must be an object', 'write names, each with its fields'],
  ])('says what is wrong with %j', (tree, field, value, message, fix) => {
    expect(keysFromTree(tree).problems).toEqual([{ field, value, message, fix }]);
  });
});

describe('what is wrong in a file', () => {
  it('leaves open what else it says when the shape is not that of a state', () => {
    const { problems, unclear, strays } = keysFromTree({ vip: {}, vips: [1], overrides: { w: 'drain' } });
    expect(unclear).toEqual(problems);
    expect(unclear.map(({ field }) => field)).toEqual(['vip', 'vips', 'overrides.w']);
    expect(strays.size).toBe(0);
  });

  it.each([
    [{ vips: { 'a b': { port: 1 } } }, 'desired/vips/a b', 'has "a b", which is not a name'],
    [{ pools: { 'w/reals/r': {} } }, 'desired/pools/w%2Freals%2Fr', 'has "w%2Freals%2Fr", which is not a name'],
    [{ pools: { 'a.b': { reals: { '': {} } } } }, 'desired/pools/a.b/reals/', 'has "", which is not a name'],
    [{ prefilter: { a: {} } }, 'desired/prefilter', 'is not supported by this version'],
  ])('is one key that the parser refuses where only one entry is to blame: %j', (tree, key, message) => {
    const { unclear, strays, problems } = keysFromTree(tree);
    expect([problems.length, unclear]).toEqual([1, []]);
    expect([...strays.keys()]).toEqual([key]);
    const values = Object.fromEntries([...strays].map(([stray, raw]) => [stray.replace('desired/', ''), raw]));
    expect(rejections(values)).toEqual([expect.objectContaining({ path: key, message, keptLastGood: false })]);
  });
});

describe('placeInFile', () => {
  it.each([
    ['desired/vips/web-443: port', 'vips.web-443.port'],
    ['desired/pools/web: checks[0].rise', 'pools.web.checks[0].rise'],
    ['desired/pools/web/reals/r1', 'pools.web.reals.r1'],
    ['desired/settings: seed', 'settings.seed'],
  ])('turns %s into %s', (path, place) => {
    expect(placeInFile(path)).toBe(place);
  });
});
