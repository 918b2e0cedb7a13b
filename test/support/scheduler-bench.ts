import type { ResolvedCheck } from '../../src/core/check-targets.ts';
import type { HealthTransition } from '../../src/core/health-state.ts';
import type { Checker } from '../../src/health/checker.ts';
import type { SchedulerOptions } from '../../src/health/scheduler.ts';
import { Scheduler } from '../../src/health/scheduler.ts';
import { FakeClock } from './fake-clock.ts';

type Behaviour = 'answer' | 'refuse' | 'hang';

/** A scheduler over reals that do as told, on a clock that only the test moves. */
export class SchedulerBench {
  readonly clock = new FakeClock();
  readonly transitions: HealthTransition[] = [];
  readonly runs: { readonly address: string; readonly port: number; readonly host: string; readonly at: number }[] = [];
  /** By address and port, Host header or address. */
  readonly behaviour = new Map<string, Behaviour>();
  /** Time that an answer or a refusal takes. */
  answerMs = 0;
  running = 0;
  mostRunning = 0;
  aborted = 0;
  readonly scheduler: Scheduler;

  constructor(options: Partial<SchedulerOptions> = {}) {
    this.scheduler = new Scheduler({
      lb: 'lb1',
      runCheck: this.#runCheck,
      onTransition: (transition) => this.transitions.push(transition),
      clock: this.clock,
      random: () => 0,
      ...options,
    });
  }

  #runCheck: Checker<ResolvedCheck> = async (address, check, signal) => {
    const host = (check.type === 'tcp' ? null : check.host) ?? address;
    this.runs.push({ address, port: check.port, host, at: this.clock.steadyMs() });
    this.running += 1;
    this.mostRunning = Math.max(this.mostRunning, this.running);
    const behaviour = this.behaviour.get(`${address}:${check.port}`) ?? this.behaviour.get(host) ?? 'answer';
    await new Promise<void>((resolve) => {
      this.clock.after(behaviour === 'hang' ? check.timeoutMs : this.answerMs, resolve);
      signal.addEventListener('abort', () => {
        this.aborted += 1;
        resolve();
      });
    });
    this.running -= 1;
    if (behaviour === 'answer') return { ok: true, latencyMs: this.answerMs };
    return { ok: false, reason: behaviour === 'hang' ? `timeout after ${check.timeoutMs} ms` : 'connection refused' };
  };

  /** Start times of the checks of one real since the last call. */
  starts(address: string): number[] {
    const starts = this.runs.filter((run) => run.address === address).map((run) => run.at);
    this.runs.length = 0;
    return starts;
  }

  changes(): string[] {
    return this.transitions.splice(0).map(({ address, from, to, reason }) => `${address} ${from}>${to} ${reason}`);
  }

  observed(): string[] {
    return this.scheduler.snapshot().map(({ address, observation }) => `${address} ${observation}`);
  }
}
