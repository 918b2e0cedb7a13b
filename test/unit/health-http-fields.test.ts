import { describe, expect, it } from 'vitest';
import type { Check } from '../../src/core/model.ts';
import { readValue } from '../../src/core/schema.ts';
import { good, parse, rejections } from '../support/desired.ts';

type Written = Readonly<Record<string, unknown>>;

function read(check: Written): Check | undefined {
  const { snapshot } = parse({ ...good, 'pools/web': { checks: [check] } });
  expect(snapshot.rejected).toEqual([]);
  return snapshot.pools.get('web')?.checks[0];
}

/** Place, message and fix of everything that is wrong with a check, without what follows from it for the VIP. */
function mistakes(check: Written): string[][] {
  return rejections({ ...good, 'pools/web': { checks: [check] } })
    .filter(({ path }) => path.startsWith('desired/pools/web'))
    .map(({ path, message, fix }) => [path.replace('desired/pools/web: checks[0]', ''), message, fix]);
}

const timing = {
  port: null,
  intervalMs: 2_000,
  timeoutMs: 1_000,
  fastIntervalMs: 500,
  downIntervalMs: 2_000,
  rise: 2,
  fall: 3,
};
const request = {
  method: 'GET',
  path: '/',
  host: null,
  headers: [],
  status: [{ from: 200, to: 399 }],
  body: null,
};

describe('a check by HTTP', () => {
  it('gets every default', () => {
    expect(read({ type: 'http' })).toEqual({ type: 'http', ...timing, ...request });
    expect(read({ type: 'https' })).toEqual({ type: 'https', ...timing, ...request, sni: null, verify: true });
  });

  it('takes every field', () => {
    const written = {
      type: 'https',
      port: 8443,
      interval: '1s',
      timeout: '300ms',
      rise: 1,
      via: 'direct',
      method: 'OPTIONS',
      path: '/healthz?full=1',
      host: 'www.example.com:8443',
      headers: { 'X-Check': 'one', accept: '*/*' },
      status: [200, '204', '300-399'],
      body: '/^ok$/i',
      sni: 'a.example.com',
      verify: false,
    };
    expect(read(written)).toEqual({
      type: 'https',
      ...timing,
      port: 8443,
      intervalMs: 1_000,
      timeoutMs: 300,
      downIntervalMs: 1_000,
      rise: 1,
      method: 'OPTIONS',
      path: '/healthz?full=1',
      host: 'www.example.com:8443',
      headers: [
        ['x-check', 'one'],
        ['accept', '*/*'],
      ],
      status: [
        { from: 200, to: 200 },
        { from: 204, to: 204 },
        { from: 300, to: 399 },
      ],
      body: { matches: '^ok$', ignoreCase: true },
      sni: 'a.example.com',
      verify: false,
    });
  });

  it.each([
    ['www.example.com', 'www.example.com'],
    ['www.example.com:8443', 'www.example.com'],
    ['192.0.2.10', null],
    ['192.0.2.10:8443', null],
    ['[2001:db8::1]:8443', null],
  ])('asks the handshake for the name in the host %s', (host, sni) => {
    expect(read({ type: 'https', host })).toMatchObject({ host, sni });
    expect(read({ type: 'https', host, sni: 'x.example' })).toMatchObject({ host, sni: 'x.example' });
  });

  it.each([
    [204, [{ from: 204, to: 204 }]],
    ['204', [{ from: 204, to: 204 }]],
    ['200-299', [{ from: 200, to: 299 }]],
  ])('takes the status %j without a list', (status, ranges) => {
    expect(read({ type: 'http', status })).toMatchObject({ status: ranges });
  });

  it.each([
    ['ok', { contains: 'ok' }],
    ['a/b', { contains: 'a/b' }],
    ['"status": "ok"', { contains: '"status": "ok"' }],
    ['/a\\/b/', { matches: 'a\\/b', ignoreCase: false }],
    ['/a/b/i', { matches: 'a/b', ignoreCase: true }],
  ])('takes the body %j', (body, expected) => {
    expect(read({ type: 'http', body })).toMatchObject({ body: expected });
  });
});

// biome-ignore format: one mistake a line
const cases: readonly (readonly [check: Written, place: string, message: string, fix: string])[] = [
  [{ type: 'http', pth: '/' }, '.pth', 'is not a known field', 'did you mean "path"?'],
  [{ type: 'tcp', path: '/' }, '.path', 'is no field of tcp checks', 'remove it, or make the type "http" or "https"'],
  [{ type: 'tcp', sni: 'a' }, '.sni', 'is no field of tcp checks', 'remove it, or make the type "https"'],
  [{ type: 'http', verify: true }, '.verify', 'is no field of http checks', 'remove it, or make the type "https"'],
  [{ type: 'htps', path: '/' }, '.type', 'must be "tcp" or "http" or "https"', 'did you mean "https"?'],
  [{ path: '/' }, '.type', 'is missing', 'add it, for example "type": "tcp"'],
  [{ type: 'http', method: 'POST' }, '.method', 'must be "GET" or "HEAD" or "OPTIONS"', 'use one of: GET, HEAD, OPTIONS'],
  [{ type: 'http', method: 'get' }, '.method', 'must be "GET" or "HEAD" or "OPTIONS"', 'did you mean "GET"?'],
  [{ type: 'http', path: 'healthz' }, '.path', 'must start with a slash', 'write the path alone, such as "/healthz"'],
  [{ type: 'http', path: 'http://a/healthz' }, '.path', 'must start with a slash', 'write the path alone, such as "/healthz"'],
  [{ type: 'http', path: '/a b#c' }, '.path', 'has characters that a request cannot carry', 'write "/a%20b%23c"'],
  [{ type: 'http', path: '/ü\r\n' }, '.path', 'has characters that a request cannot carry', 'write "/%C3%BC%0D%0A"'],
  [{ type: 'http', path: `/${'x'.repeat(1_000)}` }, '.path', 'is longer than 1000 characters', 'write less'],
  [{ type: 'http', host: 'http://a' }, '.host', 'is not what a Host header can be', 'write a name, with a port if need be: "www.example.com"'],
  [{ type: 'http', host: 'a\r\nb: c' }, '.host', 'is not what a Host header can be', 'write a name, with a port if need be: "www.example.com"'],
  [{ type: 'http', headers: ['a: b'] }, '.headers', 'must be an object', 'write names and values: {"x-check": "pilotfish"}'],
  [{ type: 'http', headers: { Host: 'a' } }, '.headers.Host', 'is a header that a check sets itself', 'write the field "host" of the check instead'],
  [{ type: 'http', headers: { Connection: 'close' } }, '.headers.Connection', 'is a header that a check sets itself', 'remove it: every check has a connection of its own'],
  [{ type: 'http', headers: { 'a b': 'c' } }, '.headers', 'have a name that is none', 'use letters, digits and hyphens: {"x-check": "pilotfish"}'],
  [{ type: 'http', path: '/ä?token=x' }, '.path', 'has characters that a request cannot carry', 'write "/%C3%A4?…"'],
  [{ type: 'http', headers: { a: 1 } }, '.headers.a', 'must be a text', 'write it in quotes'],
  [{ type: 'http', headers: { a: 'b\nc' } }, '.headers.a', 'must be at most 1000 characters of ASCII in one line', 'leave out all others'],
  [{ type: 'http', headers: { a: 'b', A: 'c' } }, '.headers.A', 'is there twice', 'keep one: case makes no difference'],
  [{ type: 'http', headers: Object.fromEntries(Array.from({ length: 33 }, (_, n) => [`h${n}`, 'x'])) }, '.headers', 'are more than 32 headers', 'leave out what the real does not need'],
  [{ type: 'http', status: [] }, '.status', 'is empty', 'write what is expected, such as "200-299"'],
  [{ type: 'http', status: '2xx' }, '.status', 'must be a status from 200 to 599, or a range', 'write a status or a range: 204, "200-299"'],
  [{ type: 'http', status: [200, '100-199'] }, '.status[1]', 'must be a status from 200 to 599, or a range', 'write a status or a range: 204, "200-299"'],
  [{ type: 'http', status: [200, '399-300'] }, '.status[1]', 'is a range that ends before it starts', 'write "300-399"'],
  [{ type: 'http', body: '' }, '.body', 'must be a text that is not empty', 'write it in quotes'],
  [{ type: 'http', body: '/var/log' }, '.body', 'starts with a slash, and is no pattern such as "/ok/" or "/ok/i"', 'write "/\\\\/var\\\\/log/" to look for this very text'],
  [{ type: 'http', body: '/ok/g' }, '.body', 'starts with a slash, and is no pattern such as "/ok/" or "/ok/i"', 'write "/\\\\/ok\\\\/g/" to look for this very text'],
  [{ type: 'http', body: '/a(b/' }, '.body', 'is no pattern: unterminated group', 'put a \\ before each of . * + ? ( ) [ ] { } | ^ $ \\ / that is meant as such'],
  [{ type: 'http', body: '/{"ok":1}/' }, '.body', 'is no pattern: lone quantifier brackets', 'put a \\ before each of . * + ? ( ) [ ] { } | ^ $ \\ / that is meant as such'],
  [{ type: 'http', body: '/(a)\\1/' }, '.body', 'has "\\1", which patterns do not have here', 'do without looking around, references to groups, names and modes'],
  [{ type: 'http', body: '/((a{50}){50}){50}/' }, '.body', 'is a pattern of more than 200 characters once its repetitions are written out', 'look for less, or repeat less often'],
  [{ type: 'http', method: 'HEAD', body: 'ok' }, '.body', 'cannot be expected of HEAD, whose answer has no body', 'remove it, or make the method "GET"'],
  [{ type: 'https', sni: '192.0.2.10' }, '.sni', 'is not a server name', 'write a DNS name such as "www.example.com"'],
  [{ type: 'https', verify: 'false' }, '.verify', 'must be true or false', 'write false without quotes'],
  [{ type: 'https', interval: '100ms', timeout: '1s' }, '.timeout', 'is longer than the interval', 'make it at most as long as the interval'],
];

describe('a mistake in a check by HTTP is reported with place, message and fix', () => {
  it.each(cases)('%j', (check, place, message, fix) => {
    expect(mistakes(check)).toEqual([[place, message, fix]]);
  });
});

const HUNTER = 'hunter2';
const long = { type: 'http', port: 8080, path: '/healthz', interval: '2s', timeout: '1s', status: '200-299' };

it.each([
  ['a header', [{ ...long, headers: { authorization: `Bearer ${HUNTER}\n` } }]],
  ['a header written as one text', [{ ...long, headers: { [`authorization: Bearer ${HUNTER}`]: '' } }]],
  ['the headers', [{ ...long, headers: [`authorization: Bearer ${HUNTER}`] }]],
  ['a field that is misspelt', [{ ...long, haeders: { 'x-api-key': HUNTER } }]],
  ['a field in the wrong place', [{ ...long, 'x-api-key': HUNTER }]],
  ['a path', [{ ...long, path: `healthz?api_key=${HUNTER}` }]],
  ['a path that is a URL', [{ ...long, path: `http://admin:${HUNTER}@10.0.0.1/healthz` }]],
  ['a path with characters that cannot be', [{ ...long, path: `/healthz ?api_key=${HUNTER}` }]],
  ['a host', [{ ...long, host: `admin:${HUNTER}@www.example.com` }]],
  ['a check that is no object', [`curl -H "authorization: ${HUNTER}"`]],
  ['the list of checks', { ...long, headers: { 'x-auth': HUNTER } }],
])('shows no secret where %s is a mistake', (_, checks) => {
  const text = JSON.stringify(readValue('pool', JSON.stringify({ checks })));
  expect(text).toContain('what may be a secret');
  expect(text).not.toContain(HUNTER);
});

it.each([
  ['without quotes', (text: string) => text.replace(`"${HUNTER}"`, HUNTER)],
  ['with one too many', (text: string) => text.replace(HUNTER, `"${HUNTER}`)],
])('shows no secret that stands in what is no JSON: %s', (_, spoil) => {
  const raw = spoil(JSON.stringify({ checks: [{ ...long, headers: { authorization: HUNTER } }] }));
  const text = JSON.stringify(readValue('pool', raw));
  expect(text).toContain('is not JSON');
  expect(text).not.toContain(HUNTER);
});

it('shows other values as they are', () => {
  const values = (value: string) => (readValue('pool', value) as { value: string }[]).map((problem) => problem.value);
  expect(values('{"checks":[{"type":"http","path":"healthz","port":"80","headers":null}]}')).toEqual([
    '"80"',
    '"healthz"',
    'null',
  ]);
  expect(values('{"encap":"gre"}')).toEqual(['"gre"']);
  expect(readValue('pool', '{"encap":gue}')).toMatchObject([
    { value: '"{\\"encap\\":gue}"', message: expect.stringMatching('is not JSON: Unexpected token') },
  ]);
});

it('reports every mistake of a check', () => {
  const check = { type: 'http', path: 'x', status: [1, 2], sni: 'a', headers: { a: 1, b: 2 }, rise: 0 };
  const places = ['.sni', '.rise', '.path', '.headers.a', '.headers.b', '.status[0]', '.status[1]'];
  expect(mistakes(check).map(([place]) => place)).toEqual(places);
});
