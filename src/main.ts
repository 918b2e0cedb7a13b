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
    .addOption(new Option('--config <file>', `an agent's configuration, for its store (default: ${defaultConfigPath})`))
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
