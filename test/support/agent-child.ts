import { pino } from 'pino';
import { Agent } from '../../src/agent.ts';
import type { AgentConfig } from '../../src/config.ts';
import { MapDataPlane } from '../../src/dataplane/dataplane.ts';

/**
 * An agent in a process of its own, so that it can be in a network namespace of its own, with times that agent.yaml does not allow.
 * Its AgentConfig comes as JSON in the first argument. It writes the time, in milliseconds, each time that it settles slots,
 * and ends when it fails, or on SIGTERM as an agent does.
 */

const { settle } = MapDataPlane.prototype;
MapDataPlane.prototype.settle = function (): void {
  settle.call(this);
  console.log(performance.now());
};

const config = JSON.parse(process.argv[2] ?? '{}') as AgentConfig;
const agent = await Agent.start(config, pino({ level: 'silent' }));
process.once('SIGTERM', () => void agent.stop({ leave: false }).then(() => process.exit(0)));
await agent.failed;
