import { readDuration } from '../../src/core/duration.ts';
import { Mistake } from '../../src/core/mistake.ts';
import type { Observation, Protocol } from '../../src/core/model.ts';
import type { StoreCall } from '../../src/dataplane/faulty-store.ts';
import { ScenarioWorld } from './scenario-world.ts';

/** Scenario files: steps, each group of them followed by what the maps then hold. docs/testing.md lists the steps. */

interface Group {
  /** Comments, blank lines and steps as they stand in the file. */
  readonly head: readonly string[];
  readonly steps: readonly string[];
}

function groupsOf(text: string): Group[] {
  const groups: { head: string[]; steps: string[] }[] = [{ head: [], steps: [] }];
  for (const line of text.trimEnd().split('\n')) {
    const isStep = line.startsWith('> ');
    if (!isStep && groups.at(-1)?.steps.length !== 0) groups.push({ head: [], steps: [] });
    if (isStep || line === '' || line.startsWith('#')) groups.at(-1)?.head.push(line);
    if (isStep) groups.at(-1)?.steps.push(line.slice(2));
  }
  return groups;
}

function words<const T extends readonly string[]>(
  step: string,
  rest: string,
  ..._names: T
): { [K in keyof T]: string } {
  const parts = rest.split(' ');
  if (parts.length !== _names.length || parts.includes('')) throw new Error(`${step}: write ${_names.join(' ')}`);
  return parts as unknown as { [K in keyof T]: string };
}

/** `from=198.51.100.7`, a client’s address, and `id=7`, an id that its packets carry: in any order, or not at all. */
function traitsOf(step: string, rest: string): { readonly source: string; readonly id: number | null } {
  const written = rest === '' ? [] : rest.split(' ');
  const traits = new Map(written.map((trait) => trait.split('=', 2) as [string, string]));
  for (const name of traits.keys())
    if (name !== 'from' && name !== 'id') throw new Error(`${step}: a flow has no ${name}`);
  const id = traits.get('id');
  return { source: traits.get('from') ?? '203.0.113.7', id: id === undefined ? null : Number(id) };
}

function vipOf(text: string): { address: string; port: number; protocol: Protocol } {
  const [, address = '', port, protocol] = /^([\d.]+):(\d+)\/(tcp|udp)$/.exec(text) ?? [];
  if (protocol === undefined) throw new Error(`${text} is no VIP such as 192.0.2.10:80/tcp`);
  return { address, port: Number(port), protocol: protocol as Protocol };
}

async function wait(world: ScenarioWorld, text: string): Promise<void> {
  const ms = readDuration(text, 0, 24 * 3_600_000);
  if (ms instanceof Mistake) throw new Error(`wait ${text}: ${ms.message}`);
  await world.wait(ms);
}

async function take(world: ScenarioWorld, step: string): Promise<void> {
  const [, verb = '', rest = ''] = /^(\S+) ?(.*)$/.exec(step) ?? [];
  switch (verb) {
    case 'put': {
      const [, key = '', value = ''] = /^(\S+) (.+)$/.exec(rest) ?? [];
      return world.edit(key, value);
    }
    case 'delete':
      return world.edit(rest, null);
    case 'wipe':
      return world.wipe();
    case 'health': {
      const [real, verdict] = words(step, rest, 'pool/address', 'verdict');
      const [pool = '', address = ''] = real.split('/');
      return world.judge(`${pool}|${address}`, verdict as Observation);
    }
    case 'wait':
      return wait(world, rest);
    case 'fail':
      return world.failNext(rest as StoreCall);
    case 'restart':
      return world.restart(rest === 'onEmpty=clear' ? 'clear' : 'keep');
    case 'flow': {
      const [, basics = '', traits = ''] = /^(\S+ \S+ \S+) ?(.*)$/.exec(rest) ?? [];
      const [name, vip, slot] = words(step, basics, 'name', 'vip', 'slot');
      return world.open(name, { vip: vipOf(vip), slot: Number(slot), ...traitsOf(step, traits) });
    }
    case 'neighbour': {
      const [address, mac] = words(step, rest, 'address', 'mac');
      return world.learn(address, mac);
    }
    case 'own':
      return world.own(...words(step, rest, 'address'));
    case 'traffic': {
      const [what, number, packets] = words(step, rest, 'vip or real', 'number', 'packets');
      if (what !== 'vip' && what !== 'real') throw new Error(`${step}: ${what} has no traffic`);
      return world.count(what, Number(number), Number(packets));
    }
    case 'maps': {
      const [vips, pools, reals] = words(step, rest, 'vips', 'pools', 'reals').map(Number);
      return world.resize({ vips: vips ?? 0, pools: pools ?? 0, reals: reals ?? 0 });
    }
    default:
      throw new Error(`a scenario has no step "${step}"`);
  }
}

/** Plays the steps of a scenario. @returns the file as it should be: with what really happened after every group */
export async function playScenario(text: string): Promise<string> {
  const world = new ScenarioWorld();
  const lines: string[] = [];
  try {
    for (const { head, steps } of groupsOf(text)) {
      lines.push(...head);
      for (const step of steps) await take(world, step);
      if (steps.length > 0) lines.push(...(await world.report()));
    }
  } finally {
    await world.close();
  }
  return `${lines.join('\n')}\n`;
}
