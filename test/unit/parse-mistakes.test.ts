import { describe, expect, it } from 'vitest';
import { good, rejections, type Values, web } from '../support/desired.ts';

type Mistake = readonly [what: string, written: Values, path: string, value: string, message: string, fix: string];

const udp = { ...web, address: '192.0.2.53', protocol: 'udp' };
const near = (prefix: string) => ({ prefix, pool: 'web' });

// biome-ignore format: one mistake a line
const mistakes: readonly Mistake[] = [
  ['no JSON', { 'vips/web': '{' }, 'vips/web', '"{"', 'is not JSON: ', 'write the value as a JSON object'],
  ['no object', { 'vips/web': '[]' }, 'vips/web', '[]', 'must be an object', 'write a VIP as an object with the fields address, port, protocol, pool, hash, flowCache, udpTimeout, quic, tcpServerId, udpStableRouting, icmpEcho, fragments, …'],
  ['an unknown field', { 'vips/web': { ...web, prot: 1 } }, 'vips/web: prot', '1', 'is not a known field', 'did you mean "port"?'],
  ['a far-off field', { 'vips/web': { ...web, comment: 1 } }, 'vips/web: comment', '1', 'is not a known field', 'remove it; the fields here are address, port, protocol, pool, hash, flowCache, udpTimeout, quic, tcpServerId, udpStableRouting, icmpEcho, fragments, …'],
  ['an unknown field __proto__', { 'vips/web': `{"__proto__":1,${JSON.stringify(web).slice(1)}` }, 'vips/web: __proto__', '1', 'is not a known field', 'remove it; the fields here are address, port, protocol, pool, hash, flowCache, udpTimeout, quic, tcpServerId, udpStableRouting, icmpEcho, fragments, …'],
  ['a missing field', { 'vips/web': { ...web, port: undefined } }, 'vips/web: port', 'nothing', 'is missing', 'add it, for example "port": 443'],
  ['a quoted number', { 'vips/web': { ...web, port: '443' } }, 'vips/web: port', '"443"', 'must be a whole number from 0 to 65535', 'write 443 without quotes'],
  ['a port out of range', { 'vips/web': { ...web, port: 65_536 } }, 'vips/web: port', '65536', 'must be a whole number from 0 to 65535', 'choose a number from 0 to 65535'],
  ['a broken number', { 'pools/web/reals/r1': { address: '10.0.0.11', weight: 1.5 } }, 'pools/web/reals/r1: weight', '1.5', 'must be a whole number from 0 to 1000', 'choose a number from 0 to 1000'],
  ['a short word', { 'vips/web': { ...web, protocol: 'tpc' } }, 'vips/web: protocol', '"tpc"', 'must be "tcp" or "udp"', 'use one of: tcp, udp'],
  ['a near word', { 'pools/web/reals/r1': { address: '10.0.0.11', state: 'drian' } }, 'pools/web/reals/r1: state', '"drian"', 'must be "active" or "drain" or "maintenance"', 'did you mean "drain"?'],
  ['a text that is no address', { 'vips/web': { ...web, address: 'www' } }, 'vips/web: address', '"www"', 'is not an IP address', 'write an address such as 192.0.2.10'],
  ['a link-local VIP', { 'vips/web': { ...web, address: 'fe80::1' } }, 'vips/web: address', '"fe80::1"', 'is a link-local address', 'write the address of a host'],
  ['an outer source without room for the hash', { settings: { outerSource: { v6: '100::/48' } } }, 'settings: outerSource.v6', '"100::/48"', 'is shorter than /64', 'write a prefix such as 100::/64'],
  ['a multicast VIP', { 'vips/web': { ...web, address: '224.0.0.1' } }, 'vips/web: address', '"224.0.0.1"', 'is a multicast address', 'write the address of a host'],
  ['a loopback real', { 'pools/web/reals/r1': { address: '127.0.0.1' } }, 'pools/web/reals/r1: address', '"127.0.0.1"', 'is a loopback address', 'write the address of a host'],
  ['a VIP prefix that is not aligned', { 'vips/web': { ...web, address: '192.0.2.10/24' } }, 'vips/web: address', '"192.0.2.10/24"', 'has bits set after the first 24', 'write 192.0.2.0/24'],
  ['an IPv6 VIP prefix that is not aligned', { 'vips/web': { ...web, address: '2001:db8::1/64' } }, 'vips/web: address', '"2001:db8::1/64"', 'has bits set after the first 64', 'write 2001:db8::/64'],
  ['a VIP prefix that is too long', { 'vips/web': { ...web, address: '192.0.2.0/33' } }, 'vips/web: address', '"192.0.2.0/33"', 'must be an address, a slash and a length', 'write a prefix such as 172.16.0.0/16 or 100::/64'],
  ['a VIP prefix of all addresses', { 'vips/web': { ...web, address: '0.0.0.0/0' } }, 'vips/web: address', '"0.0.0.0/0"', 'is every address there is', 'write prefixes of at least one bit'],
  ['a multicast VIP prefix', { 'vips/web': { ...web, address: '224.0.0.0/24' } }, 'vips/web: address', '"224.0.0.0/24"', 'is a multicast address', 'write a prefix of hosts'],
  ['a loopback VIP written as a prefix', { 'vips/web': { ...web, address: '127.0.0.1/32' } }, 'vips/web: address', '"127.0.0.1/32"', 'is a loopback address', 'write the address of a host'],
  ['a hash mode', { 'vips/web': { ...web, hash: 'sorce' } }, 'vips/web: hash', '"sorce"', 'must be "5-tuple" or "source" or "dest-port"', 'did you mean "source"?'],
  ['a switch in words', { 'vips/web': { ...web, flowCache: 'off' } }, 'vips/web: flowCache', '"off"', 'must be true or false', 'write true or false'],
  ['a switch in quotes', { 'vips/web': { ...web, icmpEcho: 'false' } }, 'vips/web: icmpEcho', '"false"', 'must be true or false', 'write false without quotes'],
  ['a short UDP timeout', { 'vips/dns': { ...udp, udpTimeout: '1s' } }, 'vips/dns: udpTimeout', '"1s"', 'must be a duration from 2s to 30m', 'choose a value from 2s to 30m'],
  ['a long UDP timeout', { 'vips/dns': { ...udp, udpTimeout: '31m' } }, 'vips/dns: udpTimeout', '"31m"', 'must be a duration from 2s to 30m', 'choose a value from 2s to 30m'],
  ['a QUIC mode', { 'vips/dns': { ...udp, quic: 'on' } }, 'vips/dns: quic', '"on"', 'must be "off" or "katran" or "quic-lb"', 'use one of: off, katran, quic-lb'],
  ['QUIC over TCP', { 'vips/web': { ...web, quic: 'katran' } }, 'vips/web: quic', '"katran"', 'is for udp alone', 'remove it, or make the protocol "udp"'],
  ['stable routing over TCP', { 'vips/web': { ...web, udpStableRouting: true } }, 'vips/web: udpStableRouting', 'true', 'is for udp alone', 'remove it, or make the protocol "udp"'],
  ['ids in TCP options of UDP', { 'vips/dns': { ...udp, tcpServerId: true } }, 'vips/dns: tcpServerId', 'true', 'is for tcp alone', 'remove it, or make the protocol "tcp"'],
  ['a fragment mode', { 'vips/web': { ...web, fragments: 'accept' } }, 'vips/web: fragments', '"accept"', 'must be "drop" or "hash"', 'use one of: drop, hash'],
  ['fragments hashed by a port', { 'vips/web': { ...web, fragments: 'hash', hash: 'dest-port' } }, 'vips/web: fragments', '"hash"', 'cannot be "hash" where hash is "dest-port": fragments have no port', 'remove one of the two'],
  ['fragments of two VIPs', { 'vips/zeb': { ...web, port: 80, pool: 'own', fragments: 'hash' }, 'pools/own': {} }, 'vips/zeb: fragments', '"hash"', 'lets no other VIP be at 192.0.2.10 tcp, and VIP "web" is there', 'remove it, or use an address without another VIP'],
  ['a VIP beside one whose fragments are taken', { 'vips/all': { ...web, port: 0, pool: 'own', fragments: 'hash' }, 'pools/own': { checks: [{ type: 'tcp', port: 80 }] } }, 'vips/web: address', '"192.0.2.10"', 'has VIP "all", whose fragments "hash" lets no other be there', 'use another address, or remove fragments from VIP "all"'],
  ['clients as an object', { 'vips/web': { ...web, clients: {} } }, 'vips/web: clients', '{}', 'must be a list', 'write a list: [{"prefix": "198.51.100.0/24", "pool": "near"}]'],
  ['a client as a text', { 'vips/web': { ...web, clients: ['198.51.100.0/24'] } }, 'vips/web: clients[0]', '"198.51.100.0/24"', 'must be an object', 'write a client prefix as an object with the fields prefix, pool'],
  ['a client without a pool', { 'vips/web': { ...web, clients: [{ prefix: '198.51.100.0/24' }] } }, 'vips/web: clients[0].pool', 'nothing', 'is missing', 'add it, for example "pool": "near"'],
  ['a client that is misspelt', { 'vips/web': { ...web, clients: [{ prefix: '198.51.100.0/24', pol: 'web' }] } }, 'vips/web: clients[0].pol', '"web"', 'is not a known field', 'did you mean "pool"?'],
  ['a client prefix that is not aligned', { 'vips/web': { ...web, clients: [near('198.51.100.7/24')] } }, 'vips/web: clients[0].prefix', '"198.51.100.7/24"', 'has bits set after the first 24', 'write 198.51.100.0/24'],
  ['a client address', { 'vips/web': { ...web, clients: [near('198.51.100.7')] } }, 'vips/web: clients[0].prefix', '"198.51.100.7"', 'must be an address, a slash and a length', 'write a prefix such as 172.16.0.0/16 or 100::/64'],
  ['a client prefix of the other family', { 'vips/web': { ...web, clients: [near('198.51.100.0/24'), near('2001:db8::/32')] } }, 'vips/web: clients[1].prefix', '"2001:db8::/32"', 'must be an IPv4 prefix, since the VIP’s address is one of IPv4', 'remove it, or move it to a VIP of its own family'],
  ['a client prefix twice', { 'vips/six': { ...udp, address: '2001:db8::10', clients: [near('2001:DB8:1::/48'), near('2001:db8::/48'), near('2001:db8:1::/48')] } }, 'vips/six: clients[2].prefix', '"2001:db8:1::/48"', 'is the prefix of clients[0] too', 'keep one of the two'],
  ['clients for a pool that does not exist', { 'vips/web': { ...web, clients: [{ prefix: '198.51.100.0/24', pool: 'web' }, { prefix: '10.9.0.0/16', pool: 'near' }] } }, 'vips/web: clients[1].pool', '"near"', 'pool "near" does not exist', 'add pool "near", or name one that exists'],
  ['clients for a pool that is refused', { 'pools/near': '{', 'vips/web': { ...web, clients: [{ prefix: '10.9.0.0/16', pool: 'near' }] } }, 'vips/web: clients[0].pool', '"near"', 'pool "near" is refused itself', 'mend pool "near" first'],
  ['clients for a pool that is checked at another port', { 'vips/zeb': { ...web, port: 80, pool: 'own', clients: [near('198.51.100.0/24')] }, 'pools/own': {} }, 'vips/zeb: port', '80', 'is not the port of VIP "web", and pool "web" is checked at the port of its VIPs', 'give the checks of pool "web" a port'],
  ['an encap', { 'pools/web': { encap: 'l3' } }, 'pools/web: encap', '"l3"', 'must be "ipip" or "gue" or "l2"', 'did you mean "l2"?'],
  ['a GUE port', { 'pools/web': { encap: 'gue', guePort: 0 } }, 'pools/web: guePort', '0', 'must be a whole number from 1 to 65535', 'choose a number from 1 to 65535'],
  ['a GUE port without GUE', { 'pools/web': { guePort: 6080 } }, 'pools/web: guePort', '6080', 'has no effect with encap "ipip"', 'remove it, or make encap "gue"'],
  ['a GUE checksum without GUE', { 'pools/web': { encap: 'l2', gueChecksum: false } }, 'pools/web: gueChecksum', 'false', 'has no effect with encap "l2"', 'remove it, or make encap "gue"'],
  ['a single server id', { 'pools/web/reals/r1': { address: '10.0.0.11', serverIds: 7 } }, 'pools/web/reals/r1: serverIds', '7', 'must be a list', 'write a list of numbers, such as [7]'],
  ['the server id 0', { 'pools/web/reals/r1': { address: '10.0.0.11', serverIds: [7, 0] } }, 'pools/web/reals/r1: serverIds[1]', '0', 'must be a whole number from 1 to 4294967295', 'choose a number from 1 to 4294967295'],
  ['a server id of more than 32 bits', { 'pools/web/reals/r1': { address: '10.0.0.11', serverIds: [4_294_967_296] } }, 'pools/web/reals/r1: serverIds[0]', '4294967296', 'must be a whole number from 1 to 4294967295', 'choose a number from 1 to 4294967295'],
  ['a server id twice', { 'pools/web/reals/r1': { address: '10.0.0.11', serverIds: [7, 8, 7] } }, 'pools/web/reals/r1: serverIds[2]', '7', 'is there twice', 'keep one of the two'],
  ['one server id of two inline reals', { 'pools/web': { reals: { a: { address: '10.0.0.12', serverIds: [7] }, b: { address: '10.0.0.13', serverIds: [6, 7] } } } }, 'pools/web: reals.b.serverIds', '[6,7]', '7 names real "a" too', 'keep one of the two'],
  ['one server id of two reals', { 'pools/web/reals/r2': { address: '10.0.0.12', serverIds: [8, 7] }, 'pools/web/reals/r1': { address: '10.0.0.11', serverIds: [7] } }, 'pools/web/reals/r2: serverIds', '7', '7 names real web/r1 already', 'give every real ids of its own'],
  ['one server id of one server in two pools', { 'pools/zoo': { reals: { r1: { address: '10.0.0.11', serverIds: [7] } } }, 'pools/web/reals/r1': { address: '10.0.0.11', serverIds: [7] } }, 'pools/zoo: reals.r1.serverIds', '7', '7 names real web/r1 already', 'give every real ids of its own'],
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
  ['a VIP prefix around a real', { 'vips/api': { ...web, address: '10.0.0.0/28' } }, 'vips/api: address', '"10.0.0.0/28"', 'contains the address of real web/r1', 'use a prefix that no real is in'],
  ['two VIPs of one prefix', { 'vips/zeb': { ...web, address: '192.0.2.0/24' }, 'vips/web': { ...web, address: '192.0.2.0/24' } }, 'vips/zeb: address', '"192.0.2.0/24"', '192.0.2.0/24 port 443 tcp is VIP "web" already', 'change address, port or protocol of one of the two'],
  ['an address and its longest prefix', { 'vips/zeb': { ...web, address: '192.0.2.10/32' } }, 'vips/zeb: address', '"192.0.2.10"', '192.0.2.10 port 443 tcp is VIP "web" already', 'change address, port or protocol of one of the two'],
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

  it('are cut off where clients have a great many', () => {
    const clients = Array.from({ length: 1_000 }, () => near('198.51.101.0/23'));
    const found = rejections({ ...good, 'vips/web': { ...web, clients } });
    expect(found.map(({ path }) => path)).toEqual([
      ...Array.from({ length: 20 }, (_, n) => `desired/vips/web: clients[${n}].prefix`),
      'desired/vips/web: clients',
    ]);
    expect(found.at(-1)?.message).toBe('may have more mistakes, further on');
    const six = Array.from({ length: 1_000 }, (_, n) => near(`2001:db8:${n}::/48`));
    expect(rejections({ ...good, 'vips/web': { ...web, clients: six } })).toHaveLength(20);
  });

  it('are not repeated for each real of a pool that is refused', () => {
    const found = rejections({ ...good, 'pools/web': { encap: 'gre' } });
    expect(found.map(({ path, message }) => [path, message])).toEqual([
      ['desired/pools/web: encap', 'must be "ipip" or "gue" or "l2"'],
      ['desired/vips/web: pool', 'pool "web" is refused itself'],
    ]);
  });
});
