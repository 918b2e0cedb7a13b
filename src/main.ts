#!/usr/bin/env node
import { Command, InvalidArgumentError, Option } from 'commander';
import { defaultConfigPath } from './cli/config-path.ts';
import { exitCodes, reportError } from './cli/report-error.ts';
import { PilotfishError } from './core/errors.ts';
import { suggest } from './core/hints.ts';
import { version } from './version.ts';

/** The command line. Each command is a file of src/cli/ that is loaded only when it runs. */

let exitCode: number = exitCodes.done;

/** Wraps a command so that its result becomes the exit code. */
function exitWith<A extends unknown[]>(run: (...args: A) => Promise<number>): (...args: A) => Promise<void> {
  return async (...args) => {
    exitCode = await run(...args);
  };
}

function output(...formats: string[]): Option {
  return new Option('-o, --output <format>', 'how to print').choices(formats).default('table');
}

/** An option's argument as a whole number; commander adds which option it was. */
function between(min: number, max: number): (text: string) => number {
  return (text) => {
    if (/^\d{1,6}$/.test(text) && Number(text) >= min && Number(text) <= max) return Number(text);
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
  };
}

function macAddress(text: string): string {
  if (/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text)) return text.toLowerCase();
  throw new InvalidArgumentError('It must be a MAC address such as 02:00:00:00:00:01.');
}

function examples(...lines: string[]): string {
  return ['', lines.length === 1 ? 'Example:' : 'Examples:', ...lines.map((line) => `  ${line}`)].join('\n');
}

/** @throws PilotfishError PF_USAGE naming the nearest */
function knownWord<T extends string>(word: string, known: readonly T[]): T {
  const found = known.find((candidate) => candidate === word);
  if (found === undefined)
    throw new PilotfishError('PF_USAGE', `unknown word "${word}"`, { fix: suggest(word, known) });
  return found;
}

function withStore(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--config <file>',
        `an agent's configuration, for its store and limits (default: ${defaultConfigPath})`,
      ),
    )
    .addOption(new Option('--etcd <endpoints>', 'endpoints of etcd, separated by commas').conflicts('config'))
    .option('--prefix <prefix>', 'prefix of the keys in the store');
}

const program = new Command('pilotfish')
  .description('An event-driven layer 4 load balancer: state in etcd, health checks, Maglev rings, XDP.')
  .version(version)
  .exitOverride()
  .configureOutput({ outputError: () => {} })
  .addHelpText(
    'after',
    [
      examples(
        'pilotfish check -f state.yaml                    # is this state good?',
        'pilotfish apply -f state.yaml --dry-run          # what would it change?',
        'pilotfish run --config /etc/pilotfish/agent.yaml # the agent, on each LB',
      ),
      '',
      'Exit codes: 0 done, 1 failed, 2 wrong usage or invalid input.',
      'With PILOTFISH_DEBUG=1 errors are printed with their stack.',
    ].join('\n'),
  );

program
  .command('run')
  .description('run the agent of this LB; forwarding goes on when it ends')
  .option('--config <file>', 'configuration of the agent', defaultConfigPath)
  .addHelpText('after', examples('pilotfish run --config agent.yaml'))
  .action(
    exitWith(async (options) => {
      const { runRun } = await import('./cli/run.ts');
      return runRun(options);
    }),
  );

program
  .command('check')
  .description('validate a state file offline and show every mistake in it')
  .requiredOption('-f, --file <file>', 'state as YAML or JSON; - is the standard input')
  .option('--config <file>', "an agent's configuration, for its limits")
  .addHelpText(
    'after',
    `${examples('pilotfish check -f state.yaml')}\n\nExit codes: 0 the file is good, 2 it has mistakes.`,
  )
  .action(
    exitWith(async (options) => {
      const { runCheck } = await import('./cli/check.ts');
      return runCheck(options);
    }),
  );

withStore(
  program
    .command('apply')
    .description('bring the store to what a state file says')
    .requiredOption('-f, --file <file>', 'state as YAML or JSON; - is the standard input')
    .option('--dry-run', 'show the difference and write nothing')
    .option('--prune', 'remove what the file does not have')
    .addOption(output('table', 'json')),
)
  .addHelpText(
    'after',
    [
      examples(
        'pilotfish apply -f state.yaml --dry-run',
        'pilotfish apply -f state.yaml --prune --etcd 127.0.0.1:2379',
      ),
      '',
      'Lines start with + (added), ~ (changed), - (removed) or = (not in the file, kept).',
      'Exit codes: 0 the store is as the file says, 1 it could not be written, 2 the file has mistakes.',
    ].join('\n'),
  )
  .action(
    exitWith(async (options) => {
      const { runApply } = await import('./cli/apply.ts');
      return runApply(options);
    }),
  );

withStore(
  program
    .command('get')
    .description('show what the store holds')
    .argument('<what>', 'vips, pools, reals, lbs or rejected')
    .addOption(output('table', 'json', 'yaml')),
)
  .addHelpText('after', examples('pilotfish get reals', 'pilotfish get rejected -o json --etcd 127.0.0.1:2379'))
  .action(
    exitWith(async (what: string, options) => {
      const { kinds, runGet } = await import('./cli/get.ts');
      return runGet(knownWord(what, kinds), options);
    }),
  );

withStore(
  program
    .command('drain')
    .description('a real takes no new flows and keeps its old ones, until `pilotfish undrain`')
    .argument('<real>', 'pool and real as `pilotfish get reals` lists them, such as web/r1')
    .option('--maintenance', 'take no flows at all: its old ones go to other reals at once')
    .option('--wait', 'wait until this LB has forwarded nothing to it for a while')
    .option('--quiet-for <seconds>', 'how long that while is', between(1, 3_600), 5)
    .option('--timeout <seconds>', 'how long to wait at most', between(1, 86_400), 600)
    .option('--socket <path>', "admin socket of this LB's agent, for --wait"),
)
  .addHelpText(
    'after',
    [
      examples('pilotfish drain web/r1', 'pilotfish drain web/r1 --wait --quiet-for 30', 'pilotfish undrain web/r1'),
      '',
      '--wait watches the packets that the LB on this host forwards to the real, and ends when there was none for the time',
      'of --quiet-for. So a flow that is open and silent for longer counts as ended, and other LBs are not looked at: run it',
      'on each of them, or count the connections on the real itself.',
      'Exit codes: 0 done, 1 the store failed or packets still come, 2 there is no such real.',
    ].join('\n'),
  )
  .action(
    exitWith(async (real: string, options) => {
      const { runDrain } = await import('./cli/drain.ts');
      return runDrain(real, options);
    }),
  );

withStore(
  program
    .command('undrain')
    .description('end `pilotfish drain`: a real is again what its own key says')
    .argument('<real>', 'pool and real as `pilotfish get reals` lists them, such as web/r1'),
)
  .addHelpText('after', examples('pilotfish undrain web/r1'))
  .action(
    exitWith(async (real: string, options) => {
      const { runUndrain } = await import('./cli/drain.ts');
      return runUndrain(real, options);
    }),
  );

program
  .command('status')
  .description('show this LB as its agent sees it now')
  .option('--config <file>', 'configuration of the agent, for its socket', defaultConfigPath)
  .option('--socket <path>', 'admin socket of the agent')
  .addOption(output('table', 'json'))
  .addHelpText('after', `${examples('pilotfish status -o json')}\n\nExit codes: 0 ready, 1 not ready or no answer.`)
  .action(
    exitWith(async (options) => {
      const { runStatus } = await import('./cli/status.ts');
      return runStatus(options);
    }),
  );

program
  .command('explain')
  .description('say why a flow goes to its real, step by step')
  .argument('<flow...>', 'protocol, source > destination; quote it, or the shell takes the > for itself')
  .addOption(new Option('--state <file>', 'explain from a state file, every real taken as up; - is the standard input'))
  .addOption(
    new Option(
      '--config <file>',
      `configuration of the agent, for its socket (default: ${defaultConfigPath})`,
    ).conflicts('state'),
  )
  .addOption(new Option('--socket <path>', 'admin socket of the agent').conflicts('state'))
  .addOption(output('table', 'json'))
  .addHelpText(
    'after',
    [
      examples(
        'pilotfish explain "tcp 198.51.100.7:40000 > 192.0.2.10:443"',
        'pilotfish explain "udp [2001:db8::7]:5000 > [2001:db8::53]:53" --state state.yaml',
        'pilotfish explain "udp 198.51.100.7:5000 > 192.0.2.10:443 cid 4012a8c0ffee0000"',
      ),
      '',
      'Without --state the agent on this host explains what is in force, with the flow cache as it is now.',
      'Behind the flow what else decides may stand: cid HEX (of QUIC), stable N, server-id N, payload HEX, or frag N.',
      'Exit codes: 0 explained, 1 no agent answers, 2 the words are no flow, or the file has mistakes.',
    ].join('\n'),
  )
  .action(
    exitWith(async (flow: string[], options) => {
      const { runExplain } = await import('./cli/explain.ts');
      return runExplain(flow, options);
    }),
  );

program
  .command('trace')
  .description('send packets through the program, which is attached to nothing, and say what becomes of each')
  .requiredOption('--state <file>', 'state as YAML or JSON, every real taken as up; - is the standard input')
  .addOption(new Option('--in <file>', 'pcap file of Ethernet frames; - is the standard input').conflicts('packet'))
  .option('--packet <words>', 'a packet in words, in place of --in; may be repeated', (words, all: string[] = []) => [
    ...all,
    words,
  ])
  .option('--out <file>', 'write what leaves, or goes up to the host, as a pcap file')
  .option('--gateway-mac <mac>', 'next hop of what leaves', macAddress, '02:00:00:00:00:01')
  .option('--own-mac <mac>', 'MAC address of this LB', macAddress, '02:00:00:00:00:02')
  .option('--mtu <bytes>', 'largest IP packet that may leave', between(576, 65_535), 65_535)
  .option('--egress', 'what leaves does so by another interface (REDIRECT)')
  .option('--local <addresses>', 'addresses of this LB, separated by commas: packets to reals there are passed up')
  .option('--own <addresses>', 'addresses of its interfaces and gateway, by commas: no VIP’s prefix takes them')
  .option('--neighbour <list>', 'MAC addresses of reals with encap l2: 10.0.0.11=02:00:00:00:00:0b,...')
  .option('--decap <addresses>', 'ends of tunnels here, separated by commas')
  .option('--gue-port <port>', 'UDP port of GUE at those ends', between(1, 65_535), 6_080)
  .option('--json', 'one JSON object a line, which is the default')
  .addOption(
    new Option('-o, --output <format>', 'how to print').choices(['json', 'table']).default('json').conflicts('json'),
  )
  .addHelpText(
    'after',
    [
      examples(
        'pilotfish trace --state state.yaml --in in.pcap --out out.pcap',
        'pilotfish trace --state state.yaml --packet "tcp 198.51.100.7:40000 > 192.0.2.10:443 syn" -o table',
        'pilotfish trace --state state.yaml --packet "icmp 198.51.100.7 > 192.0.2.10 echo"',
      ),
      '',
      'Words of a packet, in any order behind its addresses:',
      '  tcp, udp   len N, payload HEX, tos N, ttl N, vlan N, nodf, frag N (bytes: 0 is the first)',
      '  tcp        syn ack fin rst, server-id N',
      '  udp        cid HEX (of QUIC), stable N',
      '  icmp       echo id N seq N; too-big mtu N about <flow>: "icmp 203.0.113.1 > 192.0.2.10 too-big about tcp ..."',
      'Needs root, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON. A running agent is not touched.',
      'Exit codes: 0 done; 1 the kernel refused, a frame is too long to be tried, or the capture breaks off;',
      '2 the state or the capture cannot be used.',
    ].join('\n'),
  )
  .action(
    exitWith(async (options) => {
      const { runTrace } = await import('./cli/trace.ts');
      return runTrace(options);
    }),
  );

withStore(
  program
    .command('fleet')
    .description('show every LB, and whether all of them send every packet to the same real')
    .option('--expect <names>', 'LBs that there have to be, separated by commas')
    .addOption(output('table', 'json')),
)
  .addHelpText(
    'after',
    [
      examples('pilotfish fleet', 'pilotfish fleet --expect lb1,lb2 -o json'),
      '',
      'Exit codes: 0 all LBs agree, 1 they do not, one has nothing in force yet, or one is missing.',
    ].join('\n'),
  )
  .action(
    exitWith(async (options) => {
      const { runFleet } = await import('./cli/fleet.ts');
      return runFleet(options);
    }),
  );

program
  .command('leave')
  .description("take this LB out of the routers' paths; it stays out until `pilotfish join`")
  .option('--config <file>', 'configuration of the agent, for its announce hooks', defaultConfigPath)
  .option('--wait', 'wait until it has forwarded nothing for 2 s')
  .option('--timeout <seconds>', 'how long to wait at most', between(1, 86_400), 60)
  .addHelpText(
    'after',
    `${examples('pilotfish leave --wait')}\n\nExit codes: 0 it is out, 1 the hook failed or packets still come.`,
  )
  .action(
    exitWith(async (options) => {
      const { runLeave } = await import('./cli/announce.ts');
      return runLeave(options);
    }),
  );

program
  .command('join')
  .description("take this LB back into the routers' paths")
  .option('--config <file>', 'configuration of the agent, for its announce hooks', defaultConfigPath)
  .option('--force', 'also when its agent is not ready, or does not run')
  .addHelpText('after', `${examples('pilotfish join')}\n\nExit codes: 0 it is in, 1 not ready or the hook failed.`)
  .action(
    exitWith(async (options) => {
      const { runJoin } = await import('./cli/announce.ts');
      return runJoin(options);
    }),
  );

program
  .command('lab')
  .description('a fleet, a router, a client and reals in network namespaces of this machine')
  .argument('<action>', 'up, down or status')
  .option('--lbs <count>', 'how many LBs (up)', between(1, 9))
  .option('--reals <count>', 'how many reals (up)', between(1, 99))
  .option('--no-agents', 'start no agent on the LBs (up)')
  .addHelpText('after', examples('pilotfish lab up --lbs 2', 'pilotfish lab down'))
  .action(
    exitWith(async (action: string, options) => {
      const { labActions, runLab } = await import('./cli/lab.ts');
      return runLab(knownWord(action, labActions), options);
    }),
  );

program
  .command('detach')
  .description('remove program, maps and pins; the VIPs are no longer served by this host')
  .option('--config <file>', 'configuration of the agent, for its pins', defaultConfigPath)
  .option('--pin-dir <directory>', 'where the pins are')
  .addHelpText('after', examples('pilotfish detach', 'pilotfish detach --pin-dir /sys/fs/bpf/pilotfish'))
  .action(
    exitWith(async (options) => {
      const { runDetach } = await import('./cli/detach.ts');
      return runDetach(options);
    }),
  );

// A reader that has seen enough, such as head, is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(exitCode);
});

try {
  await program.parseAsync();
} catch (error) {
  exitCode = reportError(error);
}
process.exitCode = exitCode;
