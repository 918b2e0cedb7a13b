import { describe, expect, it } from 'vitest';
import { etcd, failure, least } from '../support/agent-config.ts';

describe('mistakes in agent.yaml', () => {
  it.each<[string, unknown, string, string, string]>([
    [
      'no interface',
      { ...least, interface: undefined },
      'interface',
      'is missing',
      'add it, for example interface: eth0',
    ],
    [
      'a source that is none',
      { ...least, source: 'etcd' },
      'source',
      'must be an object',
      'write source as an object with the fields etcd, file',
    ],
    [
      'an empty file',
      null,
      '',
      'must be an object',
      'write the configuration as an object with the fields name, interface',
    ],
    [
      'an unknown field',
      { ...least, iface: 'eth0' },
      'iface',
      'is not a known field',
      'remove it; the fields here are name, interface',
    ],
    ['a misspelt field', { ...least, gatway: '10.0.0.1' }, 'gatway', 'is not a known field', 'did you mean "gateway"?'],
    [
      'an inner one',
      etcd({ endpoint: 'x' }),
      'source.etcd.endpoint',
      'is not a known field',
      'did you mean "endpoints"?',
    ],
    [
      'two sources',
      { ...least, source: { ...least.source, file: '/etc/pilotfish/state.yaml' } },
      'source.file',
      'stands beside etcd',
      'keep one of the two',
    ],
    [
      'a relative state file',
      { ...least, source: { file: 'state.yaml' } },
      'source.file',
      'is not an absolute path',
      'write a path that starts with a slash',
    ],
    [
      'Consul',
      { ...least, source: { ...least.source, consul: {} } },
      'source.consul',
      'is not supported by this version',
      'remove it',
    ],
    [
      'no endpoints',
      etcd({ endpoints: [] }),
      'source.etcd.endpoints',
      'must be a list of at least one',
      'write a list of endpoints',
    ],
    [
      'an endpoint without port',
      etcd({ endpoints: ['etcd'] }),
      'source.etcd.endpoints[0]',
      'is not an endpoint',
      'write host and client port, such as 127.0.0.1:2379',
    ],
    [
      'a plain endpoint with TLS',
      etcd({ endpoints: ['http://a:1'], tls: {} }),
      'source.etcd.endpoints[0]',
      'is without TLS although tls is set',
      'write https:// instead',
    ],
    [
      'a certificate without key',
      etcd({ tls: { cert: '/c' } }),
      'source.etcd.tls.key',
      'is missing',
      'cert and key go together',
    ],
    [
      'a user without password',
      etcd({ username: 'lb' }),
      'source.etcd.username',
      'and password go together',
      'write both, or neither',
    ],
    [
      'two passwords',
      etcd({ username: 'lb', password: 'a', passwordFile: '/dev/null' }),
      'source.etcd.passwordFile',
      'stands beside a password',
      'keep one of the two',
    ],
    [
      'a password file that is not there',
      etcd({ username: 'lb', passwordFile: '/nonexistent/x' }),
      'source.etcd.passwordFile',
      'cannot be read: ENOENT',
      'check the path and the rights of the file',
    ],
    [
      'an interface name',
      { ...least, interface: 'a very long name' },
      'interface',
      'is not the name of an interface',
      'write a name that `ip link` shows',
    ],
    [
      'an egress interface',
      { ...least, egress: 'eth0/1' },
      'egress',
      'is not the name of an interface',
      'write a name that `ip link` shows',
    ],
    [
      'an egress that is the interface',
      { ...least, egress: 'eth0' },
      'egress',
      'is the interface that packets come in by',
      'remove it: that is the default',
    ],
    [
      'tunnels without an address',
      { ...least, decap: { guePort: 6_080 } },
      'decap.addresses',
      'must be a list of at least one',
      'write a list of addresses',
    ],
    [
      'a tunnel to an address that no host has',
      { ...least, decap: { addresses: ['192.0.2.1', '127.0.0.1'] } },
      'decap.addresses[1]',
      'is a loopback address',
      'write the address of a host',
    ],
    [
      'a tunnel twice',
      { ...least, decap: { addresses: ['2001:db8::1', '192.0.2.1', '2001:DB8:0::1'] } },
      'decap.addresses[2]',
      'is there twice',
      'remove one of the two',
    ],
    [
      'a port of tunnels',
      { ...least, decap: { addresses: ['192.0.2.1'], guePort: 0 } },
      'decap.guePort',
      'must be a whole number from 1 to 65535',
      'choose a number from 1 to 65535',
    ],
    [
      'no new flows',
      { ...least, flowCache: { newFlowsPerSecond: 0 } },
      'flowCache.newFlowsPerSecond',
      'would have no flow remembered',
      'write 1000000000 for no limit; flowCache of a VIP switches the cache off',
    ],
    [
      'a fraction of a new flow',
      { ...least, flowCache: { newFlowsPerSecond: 0.5 } },
      'flowCache.newFlowsPerSecond',
      'must be a whole number from 1 to 1000000000',
      'choose a number from 1 to 1000000000',
    ],
    [
      'too many clients',
      { ...least, limits: { clients: 4_000_001 } },
      'limits.clients',
      'must be a whole number from 1 to 4000000',
      'choose a number from 1 to 4000000',
    ],
    [
      'a gateway',
      { ...least, gateway: 'router' },
      'gateway',
      'is not an IP address',
      'write an address such as 192.0.2.10',
    ],
    [
      'an MTU',
      { ...least, mtu: '1500' },
      'mtu',
      'must be a whole number from 576 to 65535',
      'write 1500 without quotes',
    ],
    [
      'a mode',
      { ...least, mode: 'native' },
      'mode',
      'must be "auto" or "driver" or "generic"',
      'use one of: auto, driver, generic',
    ],
    [
      'a relative path',
      { ...least, pinDir: 'bpf' },
      'pinDir',
      'is not an absolute path',
      'write a path that starts with a slash',
    ],
    [
      'a way in without a way out',
      { ...least, announce: { join: ['true'] } },
      'announce.leave',
      'must be a list of at least one',
      'write a list of the command and its arguments',
    ],
    [
      'a hook as one text',
      { ...least, announce: { join: 'ip route add', leave: ['true'] } },
      'announce.join',
      'must be a list of at least one',
      'write a list of the command and its arguments',
    ],
    [
      'an argument that is no text',
      { ...least, announce: { join: ['sleep', 1], leave: ['true'] } },
      'announce.join[1]',
      'must be a text that is not empty',
      'write it in quotes',
    ],
    [
      'what happens at a stop',
      { ...least, announce: { join: ['true'], leave: ['true'], onStop: 'go' } },
      'announce.onStop',
      'must be "stay" or "leave"',
      'use one of: stay, leave',
    ],
    [
      'a time without a unit',
      { ...least, announce: { join: ['true'], leave: ['true'], timeout: 10 } },
      'announce.timeout',
      'must be a duration with its unit',
      'write "10ms" or "10s"',
    ],
    [
      'a relative state directory',
      { ...least, stateDir: 'state' },
      'stateDir',
      'is not an absolute path',
      'write a path that starts with a slash',
    ],
    [
      'a name',
      { ...least, name: 'lb 1' },
      'name',
      'is not a name',
      'use 1 to 63 letters, digits, dots, underscores or hyphens',
    ],
    [
      'more VIPs than the largest directory holds',
      { ...least, limits: { vips: 10_241 } },
      'limits.vips',
      'is more than the directory has room for: 10240 VIPs, each with an address of its own',
      'write 10240 or less; VIPs whose addresses follow one another can be one VIP with a prefix',
    ],
    [
      'no VIPs at all',
      { ...least, limits: { vips: 0 } },
      'limits.vips',
      'must be a whole number from 1 to 10240',
      'choose a number from 1 to 10240',
    ],
    [
      'more server ids than the largest table holds',
      { ...least, limits: { serverIds: 32_769 } },
      'limits.serverIds',
      'must be a whole number from 1 to 32768',
      'choose a number from 1 to 32768',
    ],
    [
      'too many reals',
      { ...least, limits: { reals: 32_768 } },
      'limits.reals',
      'must be a whole number from 1 to 32767',
      'choose a number from 1 to 32767',
    ],
  ])('%s', (_what, tree, place, message, fix) => {
    const error = failure(tree);
    expect(error.code).toBe('PF_CONFIG');
    const [first, mistake, remedy, ...rest] = error.message.split('\n');
    expect(first).toBe('agent.yaml has 1 mistake:');
    expect(mistake).toContain(`  ${place === '' ? '' : `${place}: `}${message}`);
    expect(remedy).toContain(`    fix: ${fix}`);
    expect(rest).toEqual([]);
  });

  it('are all listed', () => {
    const { message } = failure({ interface: 1, mode: 'x', onEmpty: 'x', log: { level: 'x' }, source: { etcd: {} } });
    expect(message.split('\n')[0]).toBe('agent.yaml has 5 mistakes:');
  });

  const source = { etcd: { endpoints: ['127.0.0.1:2379'], username: 'lb', password: 'hunter2' } };

  it.each<[string, unknown]>([
    ['that is a number', etcd({ username: 'lb', password: 72_762 })],
    ['in a misspelt field', etcd({ username: 'lb', passwd: 'hunter2' })],
    ['in a field of any name', etcd({ username: 'lb', pw: 'hunter2' })],
    ['in a list of settings', { ...least, source: { etcd: [source.etcd] } }],
    ['in a text of settings', { ...least, source: { etcd: 'password:hunter2' } }],
    ['one level too high', { ...least, source: source.etcd }],
    ['two levels too high', { ...least, ...source.etcd }],
    ['in a section that is misplaced', { ...least, etcd: source.etcd }],
    ['in a section that is misspelt', { ...least, sorce: source }],
    ['of a later source', { ...least, source: { consul: { token: 'hunter2' } } }],
    ['in an endpoint', etcd({ endpoints: ['https://lb:hunter2@etcd.example:2379'] })],
    ['in an endpoint without a scheme', etcd({ endpoints: ['lb:hu@nter2hunter2@etcd.example:2379'] })],
    ['in an endpoint elsewhere', { ...least, etdc: 'https://lb:hunter2@etcd.example:2379' }],
    ['in place of its file', etcd({ username: 'lb', passwordFile: 'hunter2' })],
    ['in place of the path of a key', etcd({ tls: { cert: '/c', key: '-----BEGIN hunter2' } })],
    ['in an argument of a hook', { ...least, announce: { jion: ['bgp', '--auth', 'hunter2'] } }],
    ['in a file that is not YAML', 'interface=eth0 password=hunter2'],
  ])('never show a password %s', (_what, tree) => {
    expect(failure(tree).message).not.toMatch(/hunter2|72762/);
  });

  it('show what else is wrong in an endpoint that has a password', () => {
    expect(failure(etcd({ endpoints: ['https://lb:hunter2@etcd.example'] })).message).toContain(
      'source.etcd.endpoints[0]: is not an endpoint (found "https://…@etcd.example")',
    );
    expect(failure(etcd({ endpoints: ['etcd'] })).message).toContain('(found "etcd")');
  });
});
