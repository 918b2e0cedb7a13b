import { describe, expect, it } from 'vitest';
import { good, rejections, type Values, web } from '../support/desired.ts';

type Mistake = readonly [what: string, written: Values, path: string, value: string, message: string, fix: string];

// biome-ignore format: one mistake a line
const mistakes: readonly Mistake[] = [
  ['no JSON', { 'vips/web': '{' }, 'vips/web', '"{"', 'is not JSON: ', 'write the value as a JSON object'],
  ['no object', { 'vips/web': '[]' }, 'vips/web', '[]', 'must be an object', 'write a VIP as an object with the fields address, port, protocol, pool'],
  ['an unknown field', { 'vips/web': { ...web, prot: 1 } }, 'vips/web: prot', '1', 'is not a known field', 'did you mean "port"?'],
  ['a far-off field', { 'vips/web': { ...web, comment: 1 } }, 'vips/web: comment', '1', 'is not a known field', 'remove it; the fields here are address, port, protocol, pool'],
  ['an unknown field __proto__', { 'vips/web': `{"__proto__":1,${JSON.stringify(web).slice(1)}` }, 'vips/web: __proto__', '1', 'is not a known field', 'remove it; the fields here are address, port, protocol, pool'],
  ['a missing field', { 'vips/web': { ...web, port: undefined } }, 'vips/web: port', 'nothing', 'is missing', 'add it, for example "port": 443'],
  ['a quoted number', { 'vips/web': { ...web, port: '443' } }, 'vips/web: port', '"443"', 'must be a whole number from 0 to 65535', 'write 443 without quotes'],
  ['a port out of range', { 'vips/web': { ...web, port: 65_536 } }, 'vips/web: port', '65536', 'must be a whole number from 0 to 65535', 'choose a number from 0 to 65535'],
  ['a broken number', { 'pools/web/reals/r1': { address: '10.0.0.11', weight: 1.5 } }, 'pools/web/reals/r1: weight', '1.5', 'must be a whole number from 0 to 1000', 'choose a number from 0 to 1000'],
  ['a short word', { 'vips/web': { ...web, protocol: 'tpc' } }, 'vips/web: protocol', '"tpc"', 'must be "tcp" or "udp"', 'use one of: tcp, udp'],
  ['a near word', { 'pools/web/reals/r1': { address: '10.0.0.11', state: 'drian' } }, 'pools/web/reals/r1: state', '"drian"', 'must be "active" or "drain" or "maintenance"', 'did you mean "drain"?'],
  ['a text that is no address', { 'vips/web': { ...web, address: 'www' } }, 'vips/web: address', '"www"', 'is not an IP address', 'write an address such as 192.0.2.10'],
  ['a prefix as VIP', { 'vips/web': { ...web, address: '192.0.2.0/24' } }, 'vips/web: address', '"192.0.2.0/24"', 'is a prefix, which is not supported by this version', 'write a single address such as 192.0.2.0'],
  ['a link-local VIP', { 'vips/web': { ...web, address: 'fe80::1' } }, 'vips/web: address', '"fe80::1"', 'is a link-local address', 'write the address of a host'],
  ['an outer source without room for the hash', { settings: { outerSource: { v6: '100::/48' } } }, 'settings: outerSource.v6', '"100::/48"', 'is shorter than /64', 'write a prefix such as 100::/64'],
  ['a multicast VIP', { 'vips/web': { ...web, address: '224.0.0.1' } }, 'vips/web: address', '"224.0.0.1"', 'is a multicast address', 'write the address of a host'],
  ['a loopback real', { 'pools/web/reals/r1': { address: '127.0.0.1' } }, 'pools/web/reals/r1: address', '"127.0.0.1"', 'is a loopback address', 'write the address of a host'],
  ['a mode of later', { 'vips/web': { ...web, hash: 'source' } }, 'vips/web: hash', '"source"', 'is not supported by this version', 'remove it, or write "5-tuple"'],
  ['a field of later', { 'vips/web': { ...web, icmpEcho: true } }, 'vips/web: icmpEcho', 'true', 'is not supported by this version', 'remove it'],
  ['an encap of later', { 'pools/web': { encap: 'gue' } }, 'pools/web: encap', '"gue"', 'is not supported by this version', 'use "ipip"'],
  ['slowStart', { 'pools/web': { slowStart: { steps: 4 } } }, 'pools/web: slowStart', '{"steps":4}', 'is not supported by this version', 'remove it'],
  ['agreement', { 'pools/web': { agreement: 'majority' } }, 'pools/web: agreement', '"majority"', 'is not supported by this version', 'remove it, or write "local"'],
  ['reals of Consul', { 'pools/web': { reals: { consul: { service: 'web' } } } }, 'pools/web: reals.consul', '{"service":"web"}', 'is not supported by this version', 'write each real with its address'],
  ['a check of later', { 'pools/web': { checks: [{ type: 'grpc', service: 'x' }] } }, 'pools/web: checks[0].type', '"grpc"', 'is not supported by this version', 'use "tcp" or "http" or "https"'],
  ['an unknown check', { 'pools/web': { checks: [{ type: 'ping' }] } }, 'pools/web: checks[0].type', '"ping"', 'must be "tcp" or "http" or "https"', 'use one of: tcp, http, https'],
  ['no check at all', { 'pools/web': { checks: [] } }, 'pools/web: checks', '[]', 'must be a list of at least one', 'write a list of checks, or leave it out for one tcp check'],
  ['a bare number as duration', { 'pools/web': { removeAfter: 5 } }, 'pools/web: removeAfter', '5', 'must be a duration with its unit', 'write "5ms" or "5s", whichever is meant'],
  ['a text that is no duration', { 'pools/web': { removeAfter: '5 min' } }, 'pools/web: removeAfter', '"5 min"', 'must be a duration', 'write a duration from 0ms to 24h, such as "500ms", "2s" or "5m"'],
  ['a short interval', { 'pools/web': { checks: [{ type: 'tcp', interval: '99ms' }] } }, 'pools/web: checks[0].interval', '"99ms"', 'must be a duration from 100ms to 1h', 'choose a value from 100ms to 1h'],
  ['a long timeout', { 'pools/web': { checks: [{ type: 'tcp', timeout: '3s' }] } }, 'pools/web: checks[0].timeout', '"3s"', 'is longer than the interval', 'make it at most as long as the interval'],
  ['rise 0', { 'pools/web': { checks: [{ type: 'tcp', rise: 0 }] } }, 'pools/web: checks[0].rise', '0', 'must be a whole number from 1 to 100', 'choose a number from 1 to 100'],
  ['a bare number as percentage', { 'pools/web': { minHealthy: 0.5 } }, 'pools/web: minHealthy', '0.5', 'must be a percentage from "0%" to "100%"', 'write a percentage in quotes, such as "50%"'],
  ['more than all', { 'pools/web': { minHealthy: '101%' } }, 'pools/web: minHealthy', '"101%"', 'must be a percentage from "0%" to "100%"', 'write a percentage in quotes, such as "50%"'],
  ['an inline real', { 'pools/web': { reals: { r2: { adress: '10.0.0.12' } } } }, 'pools/web: reals.r2.address', 'nothing', 'is missing', 'add it, for example "address": "10.0.0.11"'],
  ['inline reals as a list', { 'pools/web': { reals: [] } }, 'pools/web: reals', '[]', 'must be an object', 'write ids and reals: {"r1": {"address": "10.0.0.11"}}'],
  ['an inline id', { 'pools/web': { reals: { 'r 2': { address: '10.0.0.12' } } } }, 'pools/web: reals.r 2', '{"address":"10.0.0.12"}', 'is not a name', 'use 1 to 63 letters, digits, dots, underscores or hyphens'],
  ['inline reals with one address', { 'pools/web': { reals: { a: { address: '10.0.0.12' }, b: { address: '10.0.0.12' } } } }, 'pools/web: reals.b.address', '"10.0.0.12"', 'is the address of real "a" too', 'keep one of the two'],
  ['an odd seed', { settings: { seed: 'abc' } }, 'settings: seed', '"abc"', 'must be 1 to 16 bytes in hex', 'write two hex digits a byte, such as "70696c6f7466697368"'],
  ['a prefix that is not aligned', { settings: { outerSource: { v4: '10.0.0.1/8' } } }, 'settings: outerSource.v4', '"10.0.0.1/8"', 'has bits set after the first 8', 'write 10.0.0.0/8'],
  ['a prefix of the other family', { settings: { outerSource: { v6: '10.0.0.0/8' } } }, 'settings: outerSource.v6', '"10.0.0.0/8"', 'must be an IPv6 prefix', 'write a prefix such as 100::/64'],
  ['an override to active', { 'overrides/web/r1': { state: 'active' } }, 'overrides/web/r1: state', '"active"', 'must be "drain" or "maintenance"', 'use one of: drain, maintenance'],
  ['a misspelt section', { 'vip/web': web }, 'vip/web', '"desired/vip/web"', 'has "vip", which is not a known section', 'did you mean "vips"?'],
  ['a misspelt level', { 'pools/web/real/r1': {} }, 'pools/web/real/r1', '"desired/pools/web/real/r1"', 'has "real" where only "reals" can stand', 'did you mean "reals"?'],
  ['a level too many', { 'vips/web/x': web }, 'vips/web/x', '"desired/vips/web/x"', 'is not a key that means anything', 'keys look like desired/vips/<name>'],
  ['a section of later', { 'prefilter/drop': {} }, 'prefilter/drop', '"desired/prefilter/drop"', 'is not supported by this version', 'remove the key'],
  ['a name', { 'vips/w eb': web }, 'vips/w eb', '"desired/vips/w eb"', 'has "w eb", which is not a name', 'use 1 to 63 letters, digits, dots, underscores or hyphens'],
  ['a long name', { [`vips/${'x'.repeat(64)}`]: web }, `vips/${'x'.repeat(64)}`, `"desired/vips/${'x'.repeat(64)}"`, `has "${'x'.repeat(64)}", which is not a name`, 'use 1 to 63 letters, digits, dots, underscores or hyphens'],
  ['a pool that does not exist', { 'vips/api': { ...web, port: 80, pool: 'wbe' } }, 'vips/api: pool', '"wbe"', 'pool "wbe" does not exist', 'add pool "wbe", or name one that exists'],
  ['a pool that is spelt nearly so', { 'vips/api': { ...web, port: 80, pool: 'webb' } }, 'vips/api: pool', '"webb"', 'pool "webb" does not exist', 'did you mean "web"?'],
  ['a real without its pool', { 'pools/api/reals/r1': { address: '10.0.0.12' } }, 'pools/api/reals/r1', '"api"', 'pool "api" does not exist', 'add pool "api", or name one that exists'],
  ['two VIPs in one place', { 'vips/zeb': web }, 'vips/zeb: address', '"192.0.2.10"', '192.0.2.10 port 443 tcp is VIP "web" already', 'change address, port or protocol of one of the two'],
  ['two reals with one address', { 'pools/web/reals/r2': { address: '10.0.0.11' } }, 'pools/web/reals/r2: address', '"10.0.0.11"', 'is the address of real "r1" of the same pool', 'keep one of the two'],
  ['one id inline and as a key', { 'pools/web': { reals: { r1: { address: '10.0.0.12' } } } }, 'pools/web/reals/r1', '"r1"', 'is a real of the pool already', 'write each real either in its pool or as its own key'],
  ['a VIP at a real', { 'vips/api': { ...web, address: '10.0.0.11' } }, 'vips/api: address', '"10.0.0.11"', 'is the address of real web/r1', 'use an address that no real has'],
  ['VIPs whose ports differ', { 'vips/zeb': { ...web, port: 80 } }, 'vips/zeb: port', '80', 'is not the port of VIP "web", and pool "web" is checked at the port of its VIPs', 'give the checks of pool "web" a port'],
  ['a VIP for every port', { 'vips/web': { ...web, port: 0 } }, 'vips/web: port', '0', 'stands for every port, and pool "web" is checked at the port of its VIPs', 'give the checks of pool "web" a port'],
];

describe('a mistake is reported with place, value, message and fix', () => {
  it.each(mistakes)('%s', (_what, changes, path, value, message, fix) => {
    const found = rejections({ ...good, ...changes }).find((rejection) => rejection.path === `desired/${path}`);
    expect(found).toEqual({
      path: `desired/${path}`,
      value,
      message: expect.stringContaining(message),
      fix,
      keptLastGood: false,
    });
  });

  it.each(mistakes)('and alone: %s', (_what, changes) => {
    const paths = new Set(rejections({ ...good, ...changes }).map(({ path }) => path.split(': ')[0]));
    const [key] = Object.keys(changes);
    const own = [...paths].filter((path) => path === `desired/${key}` || path?.startsWith(`desired/${key}/`));
    // A VIP is lost with its pool; nothing else may be.
    expect([...paths].filter((path) => !own.includes(path) && path !== 'desired/vips/web')).toEqual([]);
  });
});

describe('several mistakes', () => {
  it('are all reported, of one key and of several', () => {
    const found = rejections({
      ...good,
      'vips/bad': { address: 'x', port: -1, protocol: 'sctp', pool: '', more: 1 },
      'pools/bad': { encap: 'gre', minHealthy: 1, checks: [{ type: 'tcp', rise: 0, fall: 0 }] },
    });
    expect(found.map(({ path }) => path)).toEqual([
      'desired/pools/bad: encap',
      'desired/pools/bad: checks[0].rise',
      'desired/pools/bad: checks[0].fall',
      'desired/pools/bad: minHealthy',
      'desired/vips/bad: more',
      'desired/vips/bad: address',
      'desired/vips/bad: port',
      'desired/vips/bad: protocol',
      'desired/vips/bad: pool',
    ]);
  });

  it('are not repeated for each real of a pool that is refused', () => {
    const found = rejections({ ...good, 'pools/web': { encap: 'gre' } });
    expect(found.map(({ path, message }) => [path, message])).toEqual([
      ['desired/pools/web: encap', 'must be "ipip"'],
      ['desired/vips/web: pool', 'pool "web" is refused itself'],
    ]);
  });
});
