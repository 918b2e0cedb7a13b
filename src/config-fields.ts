import type * as z from 'zod';
import { optional } from './core/fields.ts';
import { Mistake } from './core/mistake.ts';

/** Field types of agent.yaml that the desired state does not have. */

/** A field that may be left out and then has no value. */
export function maybe<T>(read: (value: unknown) => T | Mistake): z.ZodType<T | undefined> {
  return optional<T | undefined>(read, undefined);
}

export function readPath(value: unknown): string | Mistake {
  if (typeof value === 'string' && value.startsWith('/')) return value;
  return new Mistake('is not an absolute path', 'write a path that starts with a slash');
}

export function readInterface(value: unknown): string | Mistake {
  // IFNAMSIZ is 16 with the final zero; the kernel refuses slashes, colons and white space.
  if (typeof value === 'string' && /^[^\s/:]{1,15}$/.test(value)) return value;
  return new Mistake('is not the name of an interface', 'write a name that `ip link` shows, such as eth0');
}
