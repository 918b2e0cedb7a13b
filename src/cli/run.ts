import { pino } from 'pino';
import { Agent } from '../agent.ts';
import { readConfig } from '../config.ts';
import { checkCapabilities, checkKernel } from '../dataplane/preflight.ts';

export interface RunOptions {
  readonly config: string;
}

/** Runs the agent until a signal; forwarding goes on after it. */
export async function runRun(options: RunOptions): Promise<number> {
  const config = readConfig(options.config);
  checkKernel();
  checkCapabilities();
  const log = pino({ level: config.log.level, base: { lb: config.name } });
  const stopped = new Promise<string>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve(signal));
  });
  const agent = await Agent.start(config, log);
  let leave = false;
  try {
    const signal = await Promise.race([stopped, agent.failed]);
    log.info({ signal }, 'stopping; the program stays attached and forwards on (`pilotfish detach` removes it)');
    leave = true;
    return 0;
  } finally {
    await agent.stop({ leave });
  }
}
