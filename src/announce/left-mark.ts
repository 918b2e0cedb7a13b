import { mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { messageOf, PilotfishError } from '../core/errors.ts';

/**
 * The file that says: a person has taken this LB out of the routers' paths. `pilotfish leave` makes it, `pilotfish join`
 * removes it, and an agent that finds it does not join. It is there or not; what is in it is for people.
 */
export class LeftMark {
  readonly path: string;

  /** @param lb name of the LB, so that two agents may share a directory */
  constructor(stateDir: string, lb: string) {
    this.path = join(stateDir, `${lb}.left`);
  }

  /** Since when this LB is out, in wall-clock milliseconds; null when nobody took it out. @throws PF_CONFIG */
  since(): number | null {
    return this.#attempt('read', () => statSync(this.path, { throwIfNoEntry: false })?.mtimeMs ?? null);
  }

  /** Keeps the time of an earlier one. @throws PF_CONFIG */
  set(): void {
    if (this.since() !== null) return;
    this.#attempt('written', () => {
      mkdirSync(dirname(this.path), { recursive: true });
      writeFileSync(this.path, '`pilotfish leave` took this LB out; `pilotfish join` takes it back.\n');
    });
  }

  /** @throws PF_CONFIG */
  clear(): void {
    this.#attempt('removed', () => rmSync(this.path, { force: true }));
  }

  #attempt<T>(verb: string, access: () => T): T {
    try {
      return access();
    } catch (cause) {
      throw new PilotfishError('PF_CONFIG', `${this.path} cannot be ${verb}: ${messageOf(cause)}`, {
        fix: 'run as root, or set stateDir in agent.yaml to a directory that agent and commands may use',
        cause,
      });
    }
  }
}
