import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { poolsView } from '../../src/cli/get-views.ts';
import { parseState } from '../../src/core/parse-state.ts';
import { keySet, revision } from '../support/desired.ts';

const parsed = (checks: unknown) =>
  parseState(keySet({ 'pools/web': { checks, reals: { r1: { address: '10.0.0.11' } } } }), revision, null).snapshot;

describe('checks as `get pools` writes them', () => {
  it.each<[string, object]>([
    ['tcp', { type: 'tcp', port: 80, interval: '1.5s', timeout: '300ms', downInterval: '1m', rise: 7, fall: 9 }],
    ['http', { type: 'http', port: 80 }],
    ['https', { type: 'https', port: 443 }],
    ['all of http', { type: 'http', port: 80, method: 'OPTIONS', path: '/a?b=%20', host: 'a.example:81', status: 204 }],
    ['headers', { type: 'http', port: 80, headers: { 'X-Check': '"1": 2', __proto__x: '', 'user-agent': 'x' } }],
    ['ranges', { type: 'http', port: 80, status: [200, '300-302', '404'] }],
    ['a text', { type: 'http', port: 80, body: "it's fine: # \\d/" }],
    ['a pattern', { type: 'http', port: 80, body: '/^"ok"\\/(a|b): \\d+$/' }],
    ['a pattern in any case', { type: 'https', port: 443, body: '/ok/i' }],
    ['a server name', { type: 'https', port: 443, host: 'a.example', sni: 'b.example', verify: false }],
    ['the server name of the host', { type: 'https', port: 443, host: 'a.example' }],
    ['no server name', { type: 'https', port: 443, host: '192.0.2.1' }],
  ])('say the same when they are read again: %s', (_what, check) => {
    const before = parsed([check]);
    expect(before.rejected).toEqual([]);
    const { data } = poolsView(before);
    for (const text of [JSON.stringify(data, null, 2), stringify(data)]) {
      const [pool] = parse(text) as { checks: unknown }[];
      const after = parsed(pool?.checks);
      expect(after.rejected).toEqual([]);
      expect(after.pools.get('web')?.checks).toEqual(before.pools.get('web')?.checks);
    }
  });
});
