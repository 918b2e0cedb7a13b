import { createInterface } from 'node:readline';
import { pino } from 'pino';
import { HostLink, type HostLinkOptions } from '../../src/dataplane/host-link.ts';

/**
 * A HostLink in a process of its own, so that it can be in a network namespace of its own. Its options come as JSON in
 * the first argument. A line of standard input is a list of addresses that it shall look after, or the word `problems`.
 * It writes one JSON object a line: `{opened}`, `{image}`, `{log}` or `{problems}`.
 */

const say = (what: object): void => console.log(JSON.stringify(what));
const tell = (image: HostLink['image']): void =>
  say({
    image: {
      ...image,
      local: [...image.local].sort(),
      neighbours: Object.fromEntries(image.neighbours),
      own: [...image.own].sort(),
    },
  });

const log = pino({ base: null }, { write: (line: string) => say({ log: JSON.parse(line) }) });
const options = JSON.parse(process.argv[2] ?? '{}') as Omit<HostLinkOptions, 'log'>;
const link = await HostLink.open({ ...options, log });
say({ opened: { gateway: link.gateway, egressIndex: link.egressIndex } });
tell(link.image);
link.watch(tell);
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'problems') say({ problems: link.problems });
  else link.want(new Set(JSON.parse(line)));
}
await link.close();
