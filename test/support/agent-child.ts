import { pino } from 'pino';
import { Agent } from '../../src/agent.ts';
import type { AgentConfig } from '../../src/config.ts';
import { MapDataPlane } from '../../src/dataplane/dataplane.ts';

/**
 * An agent in a process of its own, so that it can be in a network namespace of its own, with times that agent.yaml does not allow.
 * Its AgentConfig comes as JSON in the first argument. It writes a line for each time that it settles slots.
 */

const { settle } = MapDataPlane.prototype;
MapDataPlane.prototype.settle = function (): void {
  settle.call(this);
  console.log('settled');
};

const config = JSON.parse(process.argv[2] ?? '{}') as AgentConfig;
await Agent.start(config, pino({ level: 'silent' }));
